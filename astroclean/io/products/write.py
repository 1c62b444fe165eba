"""Write the cleaned file: what did not change is copied byte for byte, new HDUs come last."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from astroclean.core.flags.planes import REJECTING, MaskPlane, plane_cards
from astroclean.errors import FitsWriteError
from astroclean.io.fits.images import (
    copied_hdu,
    own_primary,
    patched_hdu,
    whole_hdu,
    write_image,
)
from astroclean.io.products.dq import write_updated_dq
from astroclean.io.products.groups import by_science, common_cards, history_of
from astroclean.io.products.layers import NewImage, layer_images, layer_names
from astroclean.io.products.rewritten import rewriting_of, whole_images
from astroclean.io.scratch.rowstore import mapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from astroclean.core.flags.conventions import Convention
    from astroclean.core.image.layer import Layer
    from astroclean.io.fits.hdu_info import HduInfo
    from astroclean.io.fits.source import FitsSource
    from astroclean.io.products.output import FrameOutput

__all__ = ["OutputPlan", "write_clean"]

_TO_STORED: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "error": lambda deviation: deviation,
    "variance": np.square,
    # What was filled is no measurement: a weight of zero, as readers of weights expect it.
    "inverse_variance": lambda deviation: np.nan_to_num(1 / np.square(deviation), nan=0.0),
}


@dataclass(frozen=True)
class OutputPlan:
    """What goes into the cleaned file."""

    science: bool = True
    """Whether the input's HDUs are written at all."""
    flags: bool = True
    uncertainty: bool = True
    replace: bool = False
    """Whether a deconvolved image takes the place of the science image."""
    dq: Mapping[int, Convention] = field(default_factory=dict)
    """Index of a science HDU to the convention of its DQ, of those whose DQ is to be updated."""
    reject: MaskPlane = REJECTING
    """Planes that make a pixel unusable, for the DQ."""


def write_clean(
    source: FitsSource, outputs: Sequence[FrameOutput], target: BinaryIO, plan: OutputPlan
) -> None:
    """Write the cleaned file of one exposure.

    Parameters
    ----------
    source : FitsSource
        The input, open.
    outputs : sequence of FrameOutput
        All its frames, in order.
    target : BinaryIO
        Where to write.
    plan : OutputPlan
        What to write.
    """
    groups = by_science(outputs)
    if plan.science:
        patches = _patches(groups, plan)
        anew = _anew(source, groups, plan)
        updated = _updated(groups, plan)
        renewed = {
            (group[0].slot.science.label, name)
            for group in groups.values()
            for name in _new_names(group[0], plan)
        }
        for info in source.hdus:
            patch = patches.get(info.index)
            if (info.belongs_to, info.name) in renewed:
                continue  # of an earlier run; its flags are among the new ones
            if info.index in updated:
                group, convention = updated[info.index]
                write_updated_dq(source, group, target, convention=convention, reject=plan.reject)
            elif info.index in anew:
                image = anew[info.index]
                whole_hdu(source, info, image.planes, image.header, target)
            elif patch is None:
                copied_hdu(source, info, target)
            else:
                patched_hdu(source, info, *patch, target)
    else:
        target.write(own_primary())
    for group in groups.values():
        science = group[0].slot.science
        packed = source.path.suffix.lower() == ".fz" or science.is_compressed
        for image in _new_images(source, group, plan):
            several = (len(image.planes),) if len(image.planes) > 1 else ()
            axes = science.shape[:-2] if len(group) == len(image.planes) else several
            write_image(
                image.name,
                image.planes,
                image.header,
                target,
                shape=(*axes, *image.planes[0].shape),
                packed=packed,
            )


Patch = tuple[list["NDArray[Any]"], list["NDArray[Any]"], tuple[str, ...]]


def _patches(groups: dict[int, list[FrameOutput]], plan: OutputPlan) -> dict[int, Patch]:
    """Return HDU index to (values by plane, changed pixels by plane, history cards)."""
    patches: dict[int, Patch] = {}
    for index, group in groups.items():
        if rewriting_of(group) is not None:
            continue
        history = history_of(group)
        values, changed = _science_values(group, plan), [o.changed for o in group]
        replaces = _all_replace(group, plan)
        if replaces:
            changed = [mapped(o.changed, np.ones_like) for o in group]
        if replaces or any(c.any() for c in changed):
            patches[index] = values, changed, history
        role, info = _stored_uncertainty(group[0])
        if info is not None and any(o.uncertainty_changed is not None for o in group):
            to_stored = _TO_STORED[role]
            none = mapped(group[0].changed, np.zeros_like)
            patches[info.index] = (
                [mapped(o.uncertainty, to_stored) for o in group],
                [none if o.uncertainty_changed is None else o.uncertainty_changed for o in group],
                (),
            )
    return patches


def _anew(
    source: FitsSource, groups: dict[int, list[FrameOutput]], plan: OutputPlan
) -> dict[int, NewImage]:
    """Return HDU index to what is written in its place, of images that a stage rewrote."""
    images: dict[int, NewImage] = {}
    for index, group in groups.items():
        values = {index: _science_values(group, plan)}
        role, info = _stored_uncertainty(group[0])
        if info is not None:
            values[info.index] = [mapped(o.uncertainty, _TO_STORED[role]) for o in group]
        images |= whole_images(source, group, values, history_of(group))
    return images


def _updated(
    groups: dict[int, list[FrameOutput]], plan: OutputPlan
) -> dict[int, tuple[list[FrameOutput], Convention]]:
    """Return index of a DQ to the frames that are to be told in it, and how."""
    updated = {}
    for index, convention in plan.dq.items():
        slot = groups[index][0].slot
        if rewriting_of(groups[index]) is not None:
            raise FitsWriteError(
                "the image was calibrated; its DQ cannot be updated in the same run",
                where=f"HDU [{slot.science.label}]",
                remedy='Leave out `[products] dq = "update"`, or give it a run of its own.',
            )
        updated[slot.companions["dq"].index] = groups[index], convention
    return updated


def _science_values(group: Sequence[FrameOutput], plan: OutputPlan) -> list[Any]:
    return [_result(o).data if _all_replace(group, plan) else o.data for o in group]


def _all_replace(group: Sequence[FrameOutput], plan: OutputPlan) -> bool:
    return plan.replace and all(o.can_be_replaced for o in group)


def _result(output: FrameOutput) -> Layer:
    assert output.result is not None
    return output.layers[output.result]


def _stored_uncertainty(output: FrameOutput) -> tuple[str, HduInfo | None]:
    for role in _TO_STORED:
        if role in output.slot.companions:
            return role, output.slot.companions[role]
    return "", None


def _new_names(output: FrameOutput, plan: OutputPlan) -> set[str]:
    flags = {"FLAGS"} if plan.flags else set()
    return flags.union(*(layer_names(name) for name in output.layers))


def _new_images(
    source: FitsSource, group: list[FrameOutput], plan: OutputPlan
) -> Iterable[NewImage]:
    first = group[0]
    common = common_cards(source, first, lookups=plan.science)
    if plan.flags:
        header = common.copy()
        header.extend(plane_cards(), strip=False)
        for line in history_of(group):
            header.add_history(line)
        yield NewImage("FLAGS", [o.flags for o in group], header)
    if plan.uncertainty and _stored_uncertainty(first)[1] is None:
        known = [o.uncertainty for o in group if o.uncertainty is not None]
        if len(known) == len(group):
            yield NewImage("UNCERT", known, common)
    for name in first.layers:
        layers = [o.layers[name] for o in group if name in o.layers]
        if len(layers) < len(group):
            continue
        history = history_of(group) if name == first.result else ()
        for image in layer_images(name, layers, common, history):
            # What took the place of the science image keeps an uncertainty and a PSF of its own.
            if not (image.name == first.result and _all_replace(group, plan)):
                yield image
