"""What the HDUs of one science image have in common: frames, history, cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astropy.io import fits

from astroclean import __version__
from astroclean.io.header.wcs_cards import wcs_cards_of
from astroclean.io.products.names import OWNER_KEYWORD, WRITER_KEYWORD
from astroclean.io.products.rewritten import moved_header

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astroclean.io.fits.source import FitsSource
    from astroclean.io.products.output import FrameOutput

__all__ = ["by_science", "common_cards", "history_of"]


def by_science(outputs: Sequence[FrameOutput]) -> dict[int, list[FrameOutput]]:
    """Return index of the science HDU to its frames: one, or the planes of a cube."""
    groups: dict[int, list[FrameOutput]] = {}
    for output in outputs:
        groups.setdefault(output.slot.science.index, []).append(output)
    return groups


def history_of(group: Sequence[FrameOutput]) -> tuple[str, ...]:
    """Return the history of an HDU; of a cube, that of each plane under its number."""
    if len(group) == 1:
        return group[0].history
    return tuple(line for o in group for line in (f"astroclean plane {o.slot.plane}:", *o.history))


def common_cards(source: FitsSource, output: FrameOutput, *, lookups: bool) -> fits.Header:
    """Return the cards that all new HDUs of a science image have, its WCS among them.

    Parameters
    ----------
    source : FitsSource
        The input, open.
    output : FrameOutput
        Its frame, or the first of a cube.
    lookups : bool
        Whether the file holds the lookup tables that cards may name.
    """
    science = output.slot.science
    header = fits.Header()
    header["EXTVER"] = (output.slot.ordinal, "number of the science HDU, from 1")
    header[OWNER_KEYWORD] = (science.label, "science HDU that this belongs to")
    header[WRITER_KEYWORD] = (__version__, "version of astroclean")
    cards = wcs_cards_of(source.header(science.index), lookups=lookups)
    header.extend(moved_header(cards, output), strip=False)
    return header
