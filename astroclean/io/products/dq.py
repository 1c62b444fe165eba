"""``[products] dq = "update"``: the DQ of the output gains the bits of what stages have found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.flags.planes import REJECTING, MaskPlane
from astroclean.errors import FitsWriteError
from astroclean.io.fits.added_bits import check_holds_bits, with_bits_hdu
from astroclean.io.fits.images import copied_hdu
from astroclean.io.frames.quality import whole_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from numpy.typing import NDArray

    from astroclean.core.flags.conventions import Convention
    from astroclean.io.fits.source import FitsSource
    from astroclean.io.frames.grouping import FrameSlot
    from astroclean.io.frames.read import Exposure
    from astroclean.io.products.output import FrameOutput

__all__ = ["added_planes", "dq_convention", "untold_planes", "write_updated_dq"]

_KEY = '`[products] dq = "update"`'
_ROWS = 512
"""At a time."""
_OTHERWISE = "Or leave that out, and write a mask of its own: `mask_as`."


def dq_convention(exposure: Exposure, slot: FrameSlot) -> Convention:
    """Return what the values of a DQ mean that is to be updated.

    Parameters
    ----------
    exposure : Exposure
        The input, open.
    slot : FrameSlot
        One of its frames.

    Raises
    ------
    FitsWriteError
        The frame has no DQ in its file; nothing tells the meaning of each of its bits; it holds
        codes, or numbers that cannot take the bits.
    """
    source, dq = exposure.source, slot.companions.get("dq")
    if dq is None:
        raise FitsWriteError(
            f"has no DQ that {_KEY} could update",
            where=f"{source.path}{slot.label}",
            remedy="Name its HDU in the instrument file, or leave that key out.",
        )
    told, where = exposure.masks.declared(slot), f"{source.path}[{dq.label}]"
    bits = 0
    if told is not None:
        bits = sum(row.value for row in told.convention.values if row.answers)
    if told is None or not bits or told.convention.name in {"bad_bits", "good_bits"}:
        raise FitsWriteError(
            f"{_KEY} needs to know what each bit of the DQ means",
            where=where,
            received="nothing tells" if told is None else told.why,
            remedy=f"Name its convention: `[instrument] dq`. {_OTHERWISE}",
        )
    if told.convention.encoding == "codes":
        raise FitsWriteError(
            f"{_KEY} adds bits, and this DQ has one code a pixel",
            where=where,
            received=f"convention '{told.convention.name}' ({told.why})",
            remedy="Leave that out, and write a mask of its own: `mask_as`.",
        )
    check_holds_bits(source, dq, bits)
    return told.convention


def write_updated_dq(
    source: FitsSource,
    group: Sequence[FrameOutput],
    target: BinaryIO,
    *,
    convention: Convention,
    reject: MaskPlane,
) -> None:
    """Write the DQ of a science HDU with the bits of what the flags tell more than it did.

    Parameters
    ----------
    source : FitsSource
        The input, open.
    group : sequence of FrameOutput
        The frame, or all planes of a cube.
    target : BinaryIO
        Where to write.
    convention : Convention
        As `dq_convention` gives it.
    reject : MaskPlane
        Planes that make a pixel unusable.
    """
    info = group[0].slot.companions["dq"]
    planes = [_Added(source, output, convention, reject) for output in group]
    names = [str(plane.name) for plane in MaskPlane if any(plane & p.found for p in planes)]
    if not names:
        copied_hdu(source, info, target)
        return
    history = [
        f"astroclean: bits were added by the convention '{convention.name}'",
        *(f"  for {name}" for name in names),
    ]
    with_bits_hdu(source, info, planes, history, target)


def added_planes(source: FitsSource, output: FrameOutput, convention: Convention) -> MaskPlane:
    """Return the planes that some pixel of a frame has and its DQ did not tell."""
    found, ny = 0, output.flags.shape[0]
    for start in range(0, ny, _ROWS):
        new = _added(source, output, convention, slice(start, start + _ROWS))
        found |= int(np.bitwise_or.reduce(new, axis=None))
    return MaskPlane(found)


def _added(
    source: FitsSource, output: FrameOutput, convention: Convention, rows: slice
) -> NDArray[np.uint32]:
    """Return the flags of some rows that the DQ does not tell."""
    slot = output.slot
    window = (rows, slice(None))
    index = slot.companions["dq"].index
    values = whole_numbers(source.read(index, plane=slot.plane, window=window))
    new: NDArray[np.uint32] = output.flags[rows] & ~convention.to_planes(values)
    return new


class _Added:
    """The bits that a frame adds to its DQ, made when rows are asked for."""

    def __init__(
        self, source: FitsSource, output: FrameOutput, convention: Convention, reject: MaskPlane
    ) -> None:
        self._source, self._output = source, output
        self._convention, self._reject = convention, reject
        found = 0
        for start in range(0, output.flags.shape[0], _ROWS):
            rows = slice(start, start + _ROWS)
            new = self._new(rows)[self[rows] != 0]
            found |= int(np.bitwise_or.reduce(new)) if new.size else 0
        self.found = found
        """Planes that are written as any bit."""

    def _new(self, rows: slice) -> NDArray[np.uint32]:
        return _added(self._source, self._output, self._convention, rows)

    def __getitem__(self, rows: slice) -> NDArray[np.int64]:
        return self._convention.from_planes(self._new(rows), reject=self._reject)


def untold_planes(convention: Convention, found: MaskPlane) -> list[str]:
    """Return the names of planes that were found and that no bit of a convention tells.

    Where a convention marks whatever is rejected, the planes that reject are told by that.
    """
    lost = convention.untranslated(np.array([[int(found)]], dtype=np.uint32))
    if any(row.written_for_rejected for row in convention.values):
        lost &= ~REJECTING
    return [str(plane.name) for plane in MaskPlane if plane & lost]
