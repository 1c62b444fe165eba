"""Image HDUs as bytes: new ones, and those of the input in which some pixels changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from astropy.io import fits

from astroclean import __version__
from astroclean.io.fits.blocks import (
    BLOCK,
    SUMS,
    card,
    joined_cards,
    keyword_of,
    replaced,
    split_hdu,
)
from astroclean.io.fits.encode import encode_hdu, new_image
from astroclean.io.fits.packing import PackedForm, scratch_stream, write_data, write_packed
from astroclean.io.fits.wide_integers import STORED, needs_integers, patched_integers
from astroclean.io.header.asinh import softening_of
from astroclean.io.products.names import WRITER_KEYWORD
from astroclean.io.scratch.rowstore import RowStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from astroclean.io.fits.hdu_info import HduInfo
    from astroclean.io.fits.source import FitsSource

__all__ = [
    "copied_hdu",
    "own_primary",
    "patched_hdu",
    "whole_hdu",
    "write_image",
    "write_made",
]

_SCALING = {"BSCALE", "BZERO", "BLANK"}
_EXACT_IN_FLOAT32 = 16  # bits of an integer
_ROWS = 512
_PLANE = 2


def write_image(
    name: str,
    planes: Sequence[Any],
    header: fits.Header,
    target: BinaryIO,
    *,
    shape: tuple[int, ...],
    packed: bool,
) -> None:
    """Write a new image HDU, by rows where its planes are on scratch disk.

    Parameters
    ----------
    name : str
        EXTNAME.
    planes : sequence of (ny, nx) array or RowStore
        One for an image, all planes of a cube.
    header : Header
        Further cards.
    target : BinaryIO
        Where to write.
    shape : tuple of int
        Of the HDU.
    packed : bool
        As for :func:`new_image`.
    """
    if packed:
        form = PackedForm(shape, np.dtype(planes[0].dtype), header, name)
        write_packed(form, _rows(planes), target)
        return
    if not any(isinstance(plane, RowStore) for plane in planes):
        data = planes[0] if len(shape) == _PLANE else np.stack(planes).reshape(shape)
        target.write(encode_hdu(new_image(name, data, header, packed=False)))
        return
    # The header of a small image of this type, with the axes of this one.
    small = np.zeros((1,) * len(shape), dtype=planes[0].dtype)
    cards, _ = split_hdu(encode_hdu(new_image(name, small, header, packed=False)))
    for axis, length in enumerate(reversed(shape), 1):
        cards = replaced(cards, card(f"NAXIS{axis}", length))
    _stream(cards, _stored_rows(planes), target)


def _rows(planes: Sequence[Any]) -> Iterator[NDArray[Any]]:
    for plane in planes:
        for start in range(0, plane.shape[0], _ROWS):
            yield plane[slice(start, start + _ROWS)]


def _stored_rows(planes: Sequence[Any]) -> Iterator[NDArray[Any]]:
    """Yield rows as FITS stores them: big-endian, unsigned integers offset to signed ones."""
    for block in _rows(planes):
        signed = block
        if block.dtype.kind == "u":
            half = np.array(1 << 8 * block.dtype.itemsize - 1, block.dtype)
            signed = (block ^ half).view(f"i{block.dtype.itemsize}")
        yield signed.astype(signed.dtype.newbyteorder(">"))


def own_primary() -> bytes:
    """Return the empty primary HDU of a file that holds nothing of the input."""
    header = fits.Header()
    header[WRITER_KEYWORD] = (__version__, "version of astroclean")
    return encode_hdu(fits.PrimaryHDU(header=header), primary=True)


def copied_hdu(source: FitsSource, info: HduInfo, target: BinaryIO) -> None:
    """Write an HDU as it is stored; only a primary's ``EXTEND = F`` becomes T, as it must."""
    header = source.header(info.index)
    if info.index or header.get("EXTEND", True):
        source.copy_bytes(info, target)
        return
    cards = _extended(source.raw_cards(info))
    if not source.is_summed(info.index):
        target.write(joined_cards(cards))
        source.copy_bytes(info, target, data_only=True)
        return
    with scratch_stream() as data:
        source.copy_bytes(info, data, data_only=True)
        write_data(cards, data, target, summed=True)


def _extended(cards: list[bytes]) -> list[bytes]:
    return replaced(cards, card("EXTEND", True, "HDUs follow"))


def whole_hdu(
    source: FitsSource,
    info: HduInfo,
    planes: Sequence[NDArray[Any]],
    header: fits.Header,
    target: BinaryIO,
) -> None:
    """Write an image in place of one of the input, compressed and summed as that is.

    Parameters
    ----------
    source : FitsSource
        The input, open.
    info : HduInfo
        The HDU that it takes the place of.
    planes : sequence of (ny, nx) array
        One for an image, all planes of a cube.
    header : Header
        All cards but those of type and size.
    target : BinaryIO
        Where to write.
    """
    header = header.copy()
    for keyword in SUMS:
        header.remove(keyword, ignore_missing=True)
    summed = source.is_summed(info.index)
    shape = (*info.shape[:-_PLANE], *planes[0].shape)
    if info.is_compressed:
        form = PackedForm(shape, np.dtype(planes[0].dtype), header, info.name or None)
        write_packed(form, _rows(planes), target, summed=summed)
        return
    data = np.stack(planes).reshape(shape)
    is_primary = info.index == 0
    made = (
        fits.PrimaryHDU(data, header)
        if is_primary
        else new_image(info.name, data, header, packed=False)
    )
    write_made(made, target, primary=is_primary, summed=summed)


def write_made(
    made: fits.PrimaryHDU | fits.ImageHDU | fits.BinTableHDU,
    target: BinaryIO,
    *,
    summed: bool,
    primary: bool = False,
) -> None:
    """Write an HDU of astropy, with sums that tell no time or with none.

    Parameters
    ----------
    made : astropy.io.fits HDU
        Not modified.
    target : BinaryIO
        Where to write.
    summed : bool
        Whether it gets DATASUM and CHECKSUM.
    primary : bool
        Whether it is the first of its file.
    """
    cards, content = split_hdu(encode_hdu(made, primary=primary))
    with scratch_stream() as stored:
        stored.write(content)
        write_data(cards, stored, target, summed=summed)


def patched_hdu(
    source: FitsSource,
    info: HduInfo,
    values: Sequence[NDArray[Any]],
    changed: Sequence[NDArray[Any]],
    history: Sequence[str],
    target: BinaryIO,
) -> None:
    """Write an image HDU of the input with some pixels changed; all others keep their value.

    Values are linear; where the HDU is on an asinh scale (BSOFTEN), they are stored on it.
    Floats keep their type. Integers become float32 (float64 above 16 bits), since what is filled
    in is no integer; BSCALE, BZERO and BLANK then go. An image with integers that float64 does not
    hold keeps its type and its cards; what is filled in is rounded.

    Parameters
    ----------
    source : FitsSource
        The input, open.
    info : HduInfo
        The HDU.
    values : sequence of (ny, nx) float32
        New values, one image a plane.
    changed : sequence of (ny, nx) bool
        Where they hold.
    history : sequence of str
        HISTORY cards to add.
    target : BinaryIO
        Where to write.

    Raises
    ------
    FitsWriteError
        The image has to stay one of integers, and a new value is none that it can hold, or the
        image is compressed.
    """
    header = source.header(info.index)
    stays = needs_integers(source, info)
    stored = STORED if stays else np.dtype(f">f{_float_size(header)}")
    as_stored = header["BITPIX"] < 0 and not _is_scaled(header) and not info.is_compressed
    lost = SUMS if stays else SUMS | _SCALING
    cards = [c for c in source.raw_cards(info) if keyword_of(c) not in lost]
    if info.index == 0 and not header.get("EXTEND", True):
        cards = _extended(cards)
    cards += [card("HISTORY", line) for line in history]
    if stays:
        blocks = patched_integers(source, info, values, changed)
    else:
        blocks = _patched_rows(source, info, stored, as_stored, values, changed)
    summed = source.is_summed(info.index)
    if info.is_compressed:
        form = PackedForm(info.shape, stored, tile=source.tile_shape(info.index))
        write_packed(form, blocks, target, stored=cards, summed=summed)
        return
    if not stays:
        cards = replaced(cards, card("BITPIX", -8 * stored.itemsize, "array data type"))
    if not summed:
        _stream(cards, blocks, target)
        return
    with scratch_stream() as data:
        for block in blocks:
            data.write(block.tobytes())
        write_data(cards, data, target, summed=True)


def _float_size(header: fits.Header) -> int:
    bits = header["BITPIX"]
    if bits < 0:
        return int(abs(bits) // 8)
    return 4 if bits <= _EXACT_IN_FLOAT32 else 8


def _is_scaled(header: fits.Header) -> bool:
    return bool(header.get("BSCALE", 1) != 1 or header.get("BZERO", 0) != 0)


def _patched_rows(
    source: FitsSource,
    info: HduInfo,
    stored: np.dtype[Any],
    as_stored: bool,
    values: Sequence[NDArray[Any]],
    changed: Sequence[NDArray[Any]],
) -> Iterator[NDArray[Any]]:
    ny = info.shape[-2]
    scale = softening_of(source, info.index)
    for plane, (new, where) in enumerate(zip(values, changed, strict=True)):
        for start in range(0, ny, _ROWS):
            rows = slice(start, min(start + _ROWS, ny))
            if as_stored:
                block = source.raw_rows(info, plane, rows, stored)
            else:
                window = (rows, slice(None))
                block = source.read(info.index, plane=plane, window=window).astype(stored)
            fresh = new[rows][where[rows]]
            block[where[rows]] = fresh if scale is None else scale.stored(fresh)
            yield block


def _stream(cards: list[bytes], blocks: Iterator[NDArray[Any]], target: BinaryIO) -> None:
    target.write(joined_cards(cards))
    written = 0
    for block in blocks:
        written += target.write(block.tobytes())
    target.write(b"\0" * (-written % BLOCK))
