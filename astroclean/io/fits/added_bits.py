"""An image of bits of the input with further bits set: all others stay as they are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from astroclean.errors import FitsWriteError
from astroclean.io.fits.blocks import SUMS, card, keyword_of
from astroclean.io.fits.packing import PackedForm, scratch_stream, write_data, write_packed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from astroclean.io.fits.hdu_info import HduInfo
    from astroclean.io.fits.source import FitsSource

__all__ = ["check_holds_bits", "with_bits_hdu"]

_ROWS = 512


def check_holds_bits(source: FitsSource, info: HduInfo, bits: int) -> None:
    """Refuse an image that cannot hold some bits.

    Parameters
    ----------
    source : FitsSource
        The input, open.
    info : HduInfo
        An image.
    bits : int
        All that may be set.

    Raises
    ------
    FitsWriteError
        It holds no whole numbers as they are, or too narrow ones.
    """
    where = f"{source.path}[{info.label}]"
    header = source.header(info.index)
    width, zero = int(header["BITPIX"]), header.get("BZERO", 0)
    is_gapped = info.is_compressed and bool({"BLANK", "ZBLANK"} & set(header))
    if width < 0 or header.get("BSCALE", 1) != 1 or zero not in (0, _half(width)) or is_gapped:
        raise FitsWriteError(
            "holds no whole numbers as they are stored, so no bit can be set in them",
            where=where,
            received=f"BITPIX = {width}, BSCALE = {header.get('BSCALE', 1)}, BZERO = {zero}",
            remedy="Leave out `[products] dq`; `mask_as` writes a mask of its own.",
        )
    # The bit of the sign is a bit, too: HST stores 32768 in 16 bits.
    if bits >> width:
        raise FitsWriteError(
            f"holds {width} bits a pixel, and such as {1 << bits.bit_length() - 1} may be set",
            where=where,
            remedy="Leave out `[products] dq`; `mask_as` writes a mask of its own.",
        )


def _half(width: int) -> int:
    """Return the BZERO of integers without a sign."""
    return 1 << width - 1 if width > 8 else 0  # noqa: PLR2004 - as above


def with_bits_hdu(
    source: FitsSource,
    info: HduInfo,
    bits: Sequence[Any],
    history: Sequence[str],
    target: BinaryIO,
) -> None:
    """Write an image of the input with further bits set; no bit is cleared.

    Parameters
    ----------
    source : FitsSource
        The input, open.
    info : HduInfo
        The HDU, of which `check_holds_bits` has nothing to say.
    bits : sequence of (ny, nx) int64 array or RowStore
        Bits to be set, one image a plane. Pixels that are BLANK stay.
    history : sequence of str
        HISTORY cards to add.
    target : BinaryIO
        Where to write.
    """
    cards = [c for c in source.raw_cards(info) if keyword_of(c) not in SUMS]
    cards += [card("HISTORY", line) for line in history]
    summed = source.is_summed(info.index)
    if info.is_compressed:
        blocks = _unpacked(source, info, bits)
        kind = source.read(info.index, plane=0, window=(slice(0, 1), slice(0, 1))).dtype
        form = PackedForm(info.shape, kind, tile=source.tile_shape(info.index))
        write_packed(form, blocks, target, stored=cards, summed=summed)
        return
    with scratch_stream() as data:
        for block in _stored(source, info, bits):
            data.write(block.tobytes())
        write_data(cards, data, target, summed=summed)


def _blocks(info: HduInfo) -> Iterator[tuple[int, slice]]:
    ny = info.shape[-2]
    for plane in range(int(np.prod(info.shape[:-2], dtype=int))):
        for start in range(0, ny, _ROWS):
            yield plane, slice(start, min(start + _ROWS, ny))


def _stored(source: FitsSource, info: HduInfo, bits: Sequence[Any]) -> Iterator[NDArray[Any]]:
    """Yield rows as they are stored; integers without a sign lack half of what they can hold."""
    header = source.header(info.index)
    size, blank = int(header["BITPIX"]) // 8, header.get("BLANK")
    stored = np.dtype("u1") if size == 1 else np.dtype(f">i{size}")
    plain = stored.newbyteorder("=")
    half = np.array(int(header.get("BZERO", 0))).astype(f"u{size}")
    for plane, rows in _blocks(info):
        block = source.raw_rows(info, plane, rows, stored).astype(plain)
        added = np.asarray(bits[plane][rows]).astype(f"u{size}")
        joined = (((block.view(f"u{size}") ^ half) | added) ^ half).view(plain)
        changed = joined if blank is None else np.where(block == blank, block, joined)
        yield changed.astype(stored)


def _unpacked(source: FitsSource, info: HduInfo, bits: Sequence[Any]) -> Iterator[NDArray[Any]]:
    for plane, rows in _blocks(info):
        block = source.read(info.index, plane=plane, window=(rows, slice(None)))
        yield block | np.asarray(bits[plane][rows]).astype(block.dtype)
