"""Which pixels a map of bad pixels marks, and what is to be said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from astroclean.core.flags.bitflags import bits_convention
from astroclean.core.stage.scope import chunk_of
from astroclean.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from astroclean.core.flags.bitflags import BitFlags
    from astroclean.core.flags.conventions import Convention
    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.resources import ImageResource

__all__ = ["BadMap"]

_AT_ONCE = 1 << 22  # pixels
_LISTED = 8
"""Values of a map that are told."""


class BadMap(NamedTuple):
    """A map of bad pixels and the bits of it that count."""

    image: ImageResource
    bad_bits: BitFlags | None = None
    good_bits: BitFlags | None = None
    """Without either, every value but 0 is bad."""

    def bad_in(self, frame: Frame, *, where: str) -> NDArray[np.bool_]:
        """Return the bad pixels of a frame, (ny, nx); a value that is no number is bad.

        Parameters
        ----------
        frame : Frame
            Or a part of a larger one.
        where : str
            Frame and stage, for messages.

        Raises
        ------
        StageError
            The map does not fit the frame, or holds fractions where bits are asked for.
        """
        image = self.image.image_for(frame)
        return self._marked(image, self._convention(), where) | ~_known(image)

    def notes(self, frame: Frame, *, where: str) -> list[str]:
        """Return what is to be said of a map: of the whole, with the first part of its frame.

        Raises as :meth:`bad_in`.
        """
        if chunk_of(frame).origin != (0, 0):
            return []
        image, table = self.image.whole_for(frame), self._convention()
        unknown = sum(np.count_nonzero(~_known(part)) for part in _parts(image))
        notes = []
        if unknown:
            notes.append(f"{unknown} pixels of the map hold no number (NaN, inf): they are bad")
        if table is None or any(self._marked(p, table, where).any() for p in _parts(image)):
            return notes
        values = _values(image)
        if values:
            notes.append(f"{self._told()} matches no pixel of the map, which holds {values}")
        return notes

    def _told(self) -> str:
        if self.bad_bits is not None:
            return f"bad_bits = {self.bad_bits!r}"
        return f"good_bits = {self.good_bits!r}"

    def _convention(self) -> Convention | None:
        if self.bad_bits is None and self.good_bits is None:
            return None
        return bits_convention(bad_bits=self.bad_bits, good_bits=self.good_bits)

    def _marked(
        self, image: NDArray[Any], table: Convention | None, where: str
    ) -> NDArray[np.bool_]:
        """Return the pixels whose values are bad; NaN is none."""
        values = np.where(_known(image), image, 0)
        if table is None:
            anything: NDArray[np.bool_] = values != 0
            return anything
        whole = values.astype(np.int64)
        if (whole != values).any():
            raise StageError(
                "the map holds fractions, which have no bits",
                where=where,
                received=self._told(),
                remedy="Give a map of whole numbers, or neither option: all but 0 is bad.",
            )
        marked: NDArray[np.bool_] = table.to_planes(whole) != 0
        return marked


def _known(image: NDArray[Any]) -> NDArray[np.bool_]:
    if image.dtype.kind != "f":
        return np.ones(image.shape, dtype=bool)
    known: NDArray[np.bool_] = np.isfinite(image)
    return known


def _parts(image: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield some rows after others, so that a large map is not copied."""
    rows = max(1, _AT_ONCE // max(1, image.shape[1]))
    for start in range(0, image.shape[0], rows):
        yield image[start : start + rows]


def _values(image: NDArray[Any]) -> str:
    """Return the values of a map that are not 0, in words; empty where there is none."""
    found: set[Any] = set()
    for part in _parts(image):
        found.update(np.unique(part[_known(part) & (part != 0)]).tolist())
    told = [f"{value:g}" if isinstance(value, float) else str(int(value)) for value in found]
    told.sort(key=float)
    more = f" and {len(told) - _LISTED} other values" if len(told) > _LISTED else ""
    return ", ".join(told[:_LISTED]) + more
