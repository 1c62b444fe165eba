"""Write what a run leaves of one file: cleaned FITS, mask, and what `catalogs` writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.flags.conventions import load_convention
from astroclean.core.flags.planes import MaskPlane, parse_planes
from astroclean.io.header.color_filters import joined_colors
from astroclean.io.products.dq import added_planes, dq_convention, untold_planes
from astroclean.io.products.masks import write_mask
from astroclean.io.products.names import clean_name, split_name
from astroclean.io.products.write import OutputPlan, write_clean
from astroclean.io.resources import file_digest
from astroclean.io.scratch.atomic import atomic_file
from astroclean.runner.output.catalogs import catalog_names, written_catalogs
from astroclean.runner.output.stamps import stamp_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import BinaryIO

    from astroclean.core.flags.conventions import Convention
    from astroclean.core.image.layer import Layer
    from astroclean.io.frames.read import Exposure
    from astroclean.report.model import FileStamp
    from astroclean.runner.plan.listing import Listed
    from astroclean.runner.plan.plan import FilePlan
    from astroclean.runner.work.state import FrameWork

__all__ = [
    "kept_layers",
    "main_output",
    "possible_outputs",
    "untranslated_planes",
    "write_outputs",
]


def main_output(plan: FilePlan | Listed) -> str:
    """Return the name of the file that every run of a plan writes."""
    products = plan.products
    if not products.science:
        return _product(plan, "flags", split_name(plan.path)[1])
    return clean_name(plan.path, products.name)


def possible_outputs(plan: FilePlan | Listed) -> tuple[str, ...]:
    """Return the names of all files that a run of a plan, or of a listed input, may write."""
    told = [*catalog_names(plan)]
    if plan.products.mask_as is not None:
        told.append(_product(plan, "mask", ".fits"))
    return (*told, main_output(plan))


def _product(plan: FilePlan | Listed, product: str, suffix: str) -> str:
    return f"{plan.base}_{product}{suffix}"


def write_outputs(
    plan: FilePlan, exposure: Exposure, works: Sequence[FrameWork], *, folder: Path, scratch: Path
) -> dict[str, tuple[str, FileStamp | None]]:
    """Write all files of one input; on failure none of them is left.

    Parameters
    ----------
    plan : FilePlan
        What was to be done.
    exposure : Exposure
        The input, open.
    works : sequence of FrameWork
        All its frames, in order.
    folder, scratch : Path
        Output folder, and a folder on the same disk for unfinished files.

    Returns
    -------
    dict of str to (str, FileStamp)
        File name to SHA-256, and to what the system said of it before it was hashed.

    Raises
    ------
    FitsWriteError
        A file could not be written.
    """
    written: dict[str, tuple[str, FileStamp | None]] = {}

    def opened(name: str) -> AbstractContextManager[BinaryIO]:
        return atomic_file(folder / name, scratch=scratch)

    try:
        for name in _written_files(plan, exposure, works, opened):
            stamp = stamp_of(folder / name)
            written[name] = (file_digest(folder / name), stamp)
    except BaseException:
        for name in written:
            (folder / name).unlink(missing_ok=True)
        raise
    return written


def _written_files(
    plan: FilePlan, exposure: Exposure, works: Sequence[FrameWork], opened: Any
) -> Iterator[str]:
    products = plan.pipeline.config.products
    keep: set[str] = set(products.keep)
    outputs = joined_colors([work.output for work in works])
    yield from written_catalogs(plan, exposure.source, works, opened)
    if products.mask_as is not None:
        name = _product(plan, "mask", ".fits")
        convention = load_convention(products.mask_as)
        reject = plan.pipeline.config.run.reject
        with opened(name) as target:
            write_mask(exposure.source, outputs, target, convention=convention, reject=reject)
        yield name
    name = main_output(plan)
    with opened(name) as target:
        layout = OutputPlan(
            science=products.science,
            flags="flags" in keep or not products.science,
            uncertainty="uncertainty" in keep,
            replace=products.replace,
            dq=_updated(plan, exposure),
            reject=plan.pipeline.config.run.reject,
        )
        write_clean(exposure.source, outputs, target, layout)
    yield name


def _updated(plan: FilePlan, exposure: Exposure) -> dict[int, Convention]:
    """Return index of a science HDU to the convention of its DQ, where that is to be updated."""
    if plan.products.dq != "update":
        return {}
    return {slot.science.index: dq_convention(exposure, slot) for slot in exposure.slots}


def kept_layers(layers: Mapping[str, Layer], keep: Collection[str]) -> dict[str, Layer]:
    """Return the layers that ``[products] keep`` names, and those that are always written."""
    return {name: layer for name, layer in layers.items() if _is_kept(layer, keep)}


def _is_kept(layer: Layer, keep: Collection[str]) -> bool:
    assert layer.declared is not None
    return layer.declared.always or layer.declared.word in keep


def untranslated_planes(
    plan: FilePlan, exposure: Exposure, works: Sequence[FrameWork]
) -> list[str]:
    """Return a note where a convention that is written cannot express what was found."""
    found = parse_planes({name for work in works for name in work.record.flagged_after})
    notes, mask_as = [], plan.products.mask_as
    if mask_as is not None:
        lost = load_convention(mask_as).untranslated(np.array([[int(found)]], dtype=np.uint32))
        names = [str(plane.name) for plane in MaskPlane if plane & lost]
        if names:
            notes.append(f"mask_as: no value for the planes {', '.join(names)}")
    conventions = _updated(plan, exposure)
    for work in works if conventions else ():
        convention = conventions[work.output.slot.science.index]
        if not untold_planes(convention, parse_planes({*work.record.flagged_after})):
            continue
        # What came from the DQ is told by it, also by a bit that is never written.
        added = added_planes(exposure.source, work.output, convention)
        untold = untold_planes(convention, added)
        if untold:
            notes.append(f"dq: '{convention.name}' has no bit for the planes {', '.join(untold)}")
    return list(dict.fromkeys(notes))
