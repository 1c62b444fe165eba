"""Science images that a stage made other ones of, with what belongs to them: written anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.errors import FitsWriteError
from astroclean.io.header.window_cards import in_window
from astroclean.io.products.layers import NewImage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astropy.io import fits

    from astroclean.core.image.rewriting import Rewriting
    from astroclean.io.fits.hdu_info import HduInfo
    from astroclean.io.fits.source import FitsSource
    from astroclean.io.products.output import FrameOutput

__all__ = ["moved_header", "rewriting_of", "whole_images"]

_UNTRUE = ("DATAMIN", "DATAMAX", "IRAF-MIN", "IRAF-MAX")
"""Cards that tell of pixel values."""
_SCALING = ("BSCALE", "BZERO", "BLANK")
_OWN = ("flags", "psf", "fine_psf")
"""Companions that are products of an earlier run."""


def rewriting_of(group: Sequence[FrameOutput]) -> Rewriting | None:
    """Return how a science HDU was rewritten; None where pixels were changed alone.

    Raises
    ------
    FitsWriteError
        Planes of a cube became images of different pixels or units.
    """
    first = group[0].rewriting
    same = all(
        (first is None and output.rewriting is None)
        or (
            first is not None
            and output.rewriting is not None
            and output.rewriting.window == first.window
            and output.rewriting.unit == first.unit
        )
        for output in group
    )
    if not same:
        raise FitsWriteError(
            "planes of a cube became images of different pixels or units",
            where=f"HDU [{group[0].slot.science.label}]",
            remedy="Split the cube into files of one image.",
        )
    return first


def moved_header(header: fits.Header, output: FrameOutput) -> fits.Header:
    """Return a header of the input as it is of the pixels that were left of its image."""
    return header if output.rewriting is None else in_window(header, output.rewriting.origin)


def whole_images(
    source: FitsSource,
    group: Sequence[FrameOutput],
    values: Mapping[int, Sequence[Any]],
    history: Sequence[str],
) -> dict[int, NewImage]:
    """Return the HDUs of the input that are to be written anew, by their index.

    Parameters
    ----------
    source : FitsSource
        The input, open.
    group : sequence of FrameOutput
        The frame, or the planes of a cube, of a science HDU.
    values : mapping of int to sequence of (ny, nx) array
        Index to the new planes: of the science HDU, and of its uncertainty where it has one.
    history : sequence of str
        Text of HISTORY cards of the science HDU.

    Returns
    -------
    dict of int to NewImage
        None where the science image was not rewritten. Other companions, such as the DQ, lose the
        rows and columns that it lost.
    """
    rewriting = rewriting_of(group)
    if rewriting is None:
        return {}
    slot = group[0].slot
    science = _header(source, slot.science, group[0])
    for keyword, value in rewriting.cards_of(group[0].meta).items():
        if value is None:
            science.remove(keyword, ignore_missing=True, remove_all=True)
        else:
            science[keyword] = value
    for line in history:
        science.add_history(line)
    images = {slot.science.index: NewImage(slot.science.name, values[slot.science.index], science)}
    is_cut = rewriting.shape != slot.science.shape[-2:]
    for role, info in slot.companions.items():
        if role in _OWN or info.shape[-2:] != slot.science.shape[-2:]:
            continue
        if info.index in values:
            header = _header(source, info, group[0])
            if "BUNIT" in header:
                header["BUNIT"] = _stored_unit(role, rewriting.unit).to_string()
            images[info.index] = NewImage(info.name, values[info.index], header)
        elif is_cut:
            planes = _planes(source, info, rewriting)
            images[info.index] = NewImage(info.name, planes, _header(source, info, group[0]))
    return images


def _header(source: FitsSource, info: HduInfo, output: FrameOutput) -> fits.Header:
    header = moved_header(source.header(info.index), output)
    for keyword in (*_SCALING, *_UNTRUE):
        header.remove(keyword, ignore_missing=True)
    return header


def _stored_unit(role: str, unit: Any) -> Any:
    return {"variance": unit**2, "inverse_variance": unit**-2}.get(role, unit)


def _planes(source: FitsSource, info: HduInfo, rewriting: Rewriting) -> list[Any]:
    planes = int(np.prod(info.shape[:-2], dtype=int))
    several = range(planes) if info.shape[:-2] else (None,)
    return [source.read(info.index, plane=plane, window=rewriting.window) for plane in several]
