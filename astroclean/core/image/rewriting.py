"""`Rewriting`: how a science image becomes another one, of fewer pixels or in another unit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from astroclean.core.image.detector import DETECTOR_KEYWORDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astroclean.core.image.frame import Frame

__all__ = ["UNIT_KEYWORD", "Rewriting"]

UNIT_KEYWORD = "BUNIT"
_FROM_HEADER = "header "
"""Begins what the reader says of a value that one card told."""


@dataclass(frozen=True, eq=False)
class Rewriting:
    """What else than pixels differs between a science image and the one that it has become.

    A stage of kind `calibrate` makes it: the image that is written in place of the one that was
    read has all its pixels anew.
    """

    window: tuple[slice, slice]
    """Rows and columns that are left, in pixels of the frame that was read; whole numbers."""
    unit: Any
    """astropy unit of the new image."""
    cards: Mapping[str, Any] = field(default_factory=dict)
    """Keyword to value, or to (value, comment); None takes the card out."""
    detector: Mapping[str, float | None] = field(default_factory=dict)
    """Field of `Detector` to its new value; None: not known any more."""

    @property
    def origin(self) -> tuple[int, int]:
        """(y, x) of the first pixel that is left."""
        rows, columns = self.window
        return rows.start, columns.start

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) of what is left."""
        rows, columns = self.window
        return rows.stop - rows.start, columns.stop - columns.start

    def applied(self, frame: Frame) -> Frame:
        """Return a frame with pixels, unit and header as they are afterwards.

        Its values are those that it had, and it has no uncertainty: that would be in another unit.

        Parameters
        ----------
        frame : Frame
            As it was read. Not modified.
        """
        left: Frame = frame.replace(uncertainty=None)[self.window]
        meta = left.meta.copy()
        for keyword, value in self.cards_of(meta).items():
            _put(meta, keyword, value)
        for name, known in self.detector.items():
            _put(meta, DETECTOR_KEYWORDS[name], known)
        return left.replace(unit=self.unit, meta=meta)

    def cards_of(self, meta: Any) -> dict[str, Any]:
        """Return all cards that change in the file: those told, the unit, and of the detector.

        Parameters
        ----------
        meta : Header
            Of the frame that was read: it tells which card told a value of the detector.
        """
        cards: dict[str, Any] = {UNIT_KEYWORD: (self.unit.to_string(), "unit of the pixel values")}
        for name, value in self.detector.items():
            origin = _origin_of(meta, DETECTOR_KEYWORDS[name])
            keyword = origin.removeprefix(_FROM_HEADER)
            if origin.startswith(_FROM_HEADER) and keyword in meta:
                cards[keyword] = value
        return {**cards, **self.cards}

    def then(self, later: Rewriting) -> Rewriting:
        """Return this and a later one, of its result, as one."""
        windows = zip(self.window, later.window, strict=True)
        rows, columns = (
            slice(ours.start + theirs.start, ours.start + theirs.stop) for ours, theirs in windows
        )
        return Rewriting(
            (rows, columns),
            later.unit,
            {**self.cards, **later.cards},
            {**self.detector, **later.detector},
        )


def _origin_of(meta: Any, keyword: str) -> str:
    """Return what the reader says of a value, which it leaves in the comment of a card."""
    comments = getattr(meta, "comments", None)
    return str(comments[keyword]) if comments is not None and keyword in meta else ""


def _put(meta: Any, keyword: str, value: Any) -> None:
    if value is None:
        meta.pop(keyword, None)
    elif hasattr(meta, "comments"):
        meta[keyword] = value
    else:
        meta[keyword] = value[0] if isinstance(value, tuple) else value
