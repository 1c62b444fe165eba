"""Image HDUs as bytes: new ones, and those of the input in which some pixels changed."""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from astropy.io import fits

from astroclean.io.blocks import parsed_header, with_sums, without_times
from astroclean.io.source import BLOCK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from astroclean.io.source import FitsSource, HduInfo

__all__ = ["copied_hdu", "encode_hdu", "new_image", "patched_hdu", "wcs_cards_of"]

_WCS_KEYWORD = re.compile(
    r"WCSAXES|CTYPE\d|CUNIT\d|CRVAL\d|CRPIX\d|CDELT\d|CROTA\d|CD\d_\d|PC\d_\d|P[VS]\d_\d+|CNAME\d"
    r"|LONPOLE|LATPOLE|RADESYS|RADECSYS|EQUINOX|SPECSYS|[AB]P?_(ORDER|DMAX|\d+_\d+)"
)
_REPLACED = ("BSCALE", "BZERO", "BLANK", "CHECKSUM", "DATASUM")
_COMPRESSION = ("SIMPLE", "EXTEND", "ZSIMPLE", "ZEXTEND", "ZTENSION", "ZPCOUNT", "ZGCOUNT")
_EXACT_IN_FLOAT32 = 16  # bits of an integer
_ROWS = 512


def wcs_cards_of(header: fits.Header) -> fits.Header:
    """Return the WCS cards of a header exactly as they stand (SIP, TPV and all)."""
    cards = fits.Header([c for c in header.cards if _WCS_KEYWORD.fullmatch(c.keyword)])
    # The standard deprecates EPOCH; what it meant is EQUINOX.
    epoch = header.get("EPOCH")
    if isinstance(epoch, (int, float)) and epoch > 0 and "EQUINOX" not in cards:
        cards["EQUINOX"] = float(epoch)
    return cards


def new_image(name: str, data: NDArray[Any], header: fits.Header, *, packed: bool) -> Any:
    """Return a new image HDU.

    Parameters
    ----------
    name : str
        EXTNAME.
    data : (..., ny, nx) array
        Integers or floats.
    header : Header
        Further cards.
    packed : bool
        Whether to tile-compress: integers RICE, floats GZIP_2 without quantisation (exact).

    Returns
    -------
    ImageHDU or CompImageHDU
        The HDU.
    """
    if not packed:
        return fits.ImageHDU(data, header, name=name)
    return _packed(data, header, name=name, tile=None)


def _packed(
    data: NDArray[Any], header: fits.Header, *, name: str | None, tile: tuple[int, ...] | None
) -> fits.CompImageHDU:
    exact = "GZIP_2" if data.dtype.kind == "f" else "RICE_1"
    cleaned = header.copy()
    # Of a compressed primary, astropy would write both SIMPLE and XTENSION, which CFITSIO refuses.
    for keyword in _COMPRESSION:
        cleaned.remove(keyword, ignore_missing=True)
    return fits.CompImageHDU(
        np.ascontiguousarray(data),
        cleaned,
        name=name,
        compression_type=exact,
        tile_shape=tile,
        quantize_level=0,
    )


def encode_hdu(hdu: Any, *, primary: bool = False) -> bytes:
    """Return the bytes of one HDU, padded to whole blocks."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Odd cards of the input (long keywords, non-standard units) are kept, not judged.
        warnings.simplefilter("ignore", fits.verify.VerifyWarning)
        hdus = fits.HDUList([hdu] if primary else [fits.PrimaryHDU(), hdu])
        hdus.writeto(buffer, output_verify="ignore")
    content = buffer.getvalue()[0 if primary else BLOCK :]
    return without_times(content) if isinstance(hdu, fits.CompImageHDU) else content


def copied_hdu(source: FitsSource, info: HduInfo, target: BinaryIO) -> None:
    """Write an HDU as it is stored; only a primary's ``EXTEND = F`` becomes T, as it must."""
    header = source.header(info.index)
    if info.index or header.get("EXTEND", True):
        source.copy_bytes(info, target)
        return
    header["EXTEND"] = True
    if not source.is_summed(info.index):
        target.write(_encoded_header(header))
        source.copy_bytes(info, target, data_only=True)
        return
    buffer = io.BytesIO(_encoded_header(header))
    buffer.seek(0, io.SEEK_END)
    source.copy_bytes(info, buffer, data_only=True)
    target.write(with_sums(buffer.getvalue()))


def patched_hdu(
    source: FitsSource,
    info: HduInfo,
    values: Sequence[NDArray[Any]],
    changed: Sequence[NDArray[Any]],
    history: Sequence[str],
    target: BinaryIO,
) -> None:
    """Write an image HDU of the input with some pixels changed; all others keep their value.

    Floats keep their type. Integers become float32 (float64 above 16 bits), since what is filled
    in is no integer; BSCALE, BZERO and BLANK then go.

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
    """
    header = source.header(info.index)
    stored = np.dtype(f">f{_float_size(header)}")
    as_stored = header["BITPIX"] < 0 and not _is_scaled(header) and not info.is_compressed
    header["BITPIX"] = -8 * stored.itemsize
    if info.index == 0 and not header.get("EXTEND", True):
        header["EXTEND"] = True  # HDUs follow now
    for keyword in _REPLACED:
        header.remove(keyword, ignore_missing=True)
    for line in history:
        header.add_history(line)
    blocks = _patched_rows(source, info, stored, as_stored, values, changed)
    summed = source.is_summed(info.index)
    if info.is_compressed:
        data = np.concatenate(list(blocks)).reshape(info.shape)
        content = _repacked(header, data, source.tile_shape(info.index))
        target.write(with_sums(content) if summed else content)
    elif summed:
        buffer = io.BytesIO()
        _stream(header, blocks, buffer)
        target.write(with_sums(buffer.getvalue()))
    else:
        _stream(header, blocks, target)


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
    for plane, (new, where) in enumerate(zip(values, changed, strict=True)):
        for start in range(0, ny, _ROWS):
            rows = slice(start, min(start + _ROWS, ny))
            if as_stored:
                block = source.raw_rows(info, plane, rows, stored)
            else:
                window = (rows, slice(None))
                block = source.read(info.index, plane=plane, window=window).astype(stored)
            block[where[rows]] = new[rows][where[rows]]
            yield block


def _encoded_header(header: fits.Header) -> bytes:
    text: str = header.tostring(sep="", endcard=True, padding=True)
    return text.encode("ascii", "replace")


def _stream(header: fits.Header, blocks: Iterator[NDArray[Any]], target: BinaryIO) -> None:
    target.write(_encoded_header(header))
    written = 0
    for block in blocks:
        written += target.write(block.tobytes())
    target.write(b"\0" * (-written % BLOCK))


def _repacked(header: fits.Header, data: NDArray[Any], tile: tuple[int, ...]) -> bytes:
    native = data.astype(data.dtype.newbyteorder("="))
    name = header.get("EXTNAME")
    content = encode_hdu(_packed(native, header, name=name, tile=tile))
    if name is not None:
        return content
    # Of an HDU without a name, astropy would make one called COMPRESSED_IMAGE.
    stored, data_start = parsed_header(content)
    stored.remove("EXTNAME", ignore_missing=True)
    return _encoded_header(stored) + content[data_start:]
