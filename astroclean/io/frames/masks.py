"""`MaskReader`: the DQs of a file as flags, and what is to be said of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.flags.planes import REJECTING
from astroclean.io.frames.quality import (
    Meaning,
    meaning_from_headers,
    meaning_from_values,
    note_of_unknown,
    whole_numbers,
)
from astroclean.io.header.cards import values_by_keyword

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from astroclean.io.fits.source import FitsSource
    from astroclean.io.frames.grouping import FrameSlot
    from astroclean.io.frames.instruments import Instrument

__all__ = ["MaskReader"]

Window = tuple[slice, slice]

_STRIP = 1024
"""Rows that are looked at together where only the values of a whole DQ are wanted."""
_MOST_REJECTED = 0.5
"""Share of a frame that a DQ can be believed to reject."""


def _rejecting(flags: NDArray[np.uint32]) -> tuple[int, int]:
    """Return how many pixels are rejected, and of how many."""
    return int(np.count_nonzero(flags & np.uint32(REJECTING))), flags.size


class MaskReader:
    """Reads the DQs of an open file.

    Parameters
    ----------
    source : FitsSource
        Open file.
    instrument : Instrument
        Its rules.
    settings : mapping
        The user's own; see `astroclean.io.frames.quality.MASK_SETTINGS`.
    """

    def __init__(
        self, source: FitsSource, instrument: Instrument, settings: Mapping[str, Any]
    ) -> None:
        self._source = source
        self._instrument = instrument
        self._settings = settings
        self._meanings: dict[tuple[int, int | None], Meaning] = {}
        self._unknown: dict[tuple[int, int | None], dict[int, int]] = {}
        self._rejecting: dict[tuple[int, int | None], tuple[int, int]] = {}

    def meaning(self, slot: FrameSlot) -> Meaning | None:
        """Return what the DQ values of a frame mean, None where it has none."""
        dq = slot.companions.get("dq")
        if dq is None:
            return None
        key = (dq.index, slot.plane)
        if key not in self._meanings:
            told = self.declared(slot)
            # Of the whole DQ: a window must not read otherwise than the frame.
            self._meanings[key] = told or meaning_from_values(self._strips(slot))
        return self._meanings[key]

    def declared(self, slot: FrameSlot) -> Meaning | None:
        """Return what the DQ values of a frame mean as far as settings and headers tell."""
        dq = slot.companions.get("dq")
        if dq is None:
            return None
        header = self._source.merged_header(dq.index)
        science = self._source.merged_header(slot.science.index)
        lookup = values_by_keyword(science) | values_by_keyword(header)
        return meaning_from_headers(header, lookup, self._instrument, self._settings)

    def values(self, slot: FrameSlot, window: Window | None = None) -> NDArray[np.integer]:
        """Return the DQ of a frame that has one, or a window of it, as the file has it."""
        index = slot.companions["dq"].index
        return whole_numbers(self._source.read(index, plane=slot.plane, window=window))

    def flags(self, slot: FrameSlot, window: Window | None = None) -> NDArray[np.uint32]:
        """Return the DQ of a frame, or a window of it, as flags.

        Parameters
        ----------
        slot : FrameSlot
            The frame.
        window : (slice, slice), optional
            (y, x) part to read.

        Returns
        -------
        (ny, nx) uint32, or ()
            A new array; a zero where the frame has no DQ.
        """
        meaning = self.meaning(slot)
        if meaning is None:
            return np.zeros((), dtype=np.uint32)
        values = self.values(slot, window)
        flags = meaning.convention.to_planes(values)
        if window is None:  # so that it need not be read once more
            key = (slot.companions["dq"].index, slot.plane)
            self._unknown.setdefault(key, meaning.convention.unknown(values))
            self._rejecting.setdefault(key, _rejecting(flags))
        return flags

    def doubts(self, slots: Sequence[FrameSlot]) -> list[str]:
        """Return what cannot be meant: a DQ that rejects most of its frame."""
        found = []
        for slot in slots:
            meaning = self.meaning(slot)
            if meaning is None:
                continue
            dq = slot.companions["dq"]
            key = (dq.index, slot.plane)
            if key not in self._rejecting:
                strips = [meaning.convention.to_planes(strip) for strip in self._strips(slot)]
                counts = np.sum([_rejecting(strip) for strip in strips], axis=0)
                self._rejecting[key] = int(counts[0]), int(counts[1])
            bad, pixels = self._rejecting[key]
            if bad > _MOST_REJECTED * pixels:
                found.append(
                    f"[{dq.label}] rejects {100 * bad / pixels:.3g} % of {slot.label} as "
                    f"'{meaning.convention.title}' ({meaning.why}); do its values mean the "
                    "opposite, or something else? Tell by [instrument] bad_bits, good_bits or dq"
                )
        return found

    def notes(self, slots: Sequence[FrameSlot]) -> list[str]:
        """Return what is to be said of the DQs of some frames, their pixels counted together."""
        sums: dict[tuple[str, str], dict[int, int]] = {}
        meanings: dict[tuple[str, str], Meaning] = {}
        for slot in slots:
            meaning = self.meaning(slot)
            if meaning is None:
                continue
            key = (meaning.convention.name, meaning.why)
            meanings[key] = meaning
            total = sums.setdefault(key, {})
            for value, count in self._unknown_in(slot, meaning).items():
                total[value] = total.get(value, 0) + count
        assumed = [f"DQ: {m.why}" for m in meanings.values() if m.is_assumed]
        return assumed + [note_of_unknown(meanings[key], sums[key]) for key in sums if sums[key]]

    def _unknown_in(self, slot: FrameSlot, meaning: Meaning) -> dict[int, int]:
        """Return the number of pixels of each value that the convention does not know."""
        key = (slot.companions["dq"].index, slot.plane)
        if key not in self._unknown:
            counts: dict[int, int] = {}
            for strip in self._strips(slot):
                for value, count in meaning.convention.unknown(strip).items():
                    counts[value] = counts.get(value, 0) + count
            self._unknown[key] = counts
        return self._unknown[key]

    def _strips(self, slot: FrameSlot) -> Iterator[NDArray[np.integer]]:
        ny, nx = slot.science.shape[-2:]
        for start in range(0, ny, _STRIP):
            yield self.values(slot, (slice(start, min(start + _STRIP, ny)), slice(0, nx)))
