"""New image HDUs, and any HDU as the bytes of a file."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from astroclean.io.fits.blocks import BLOCK, without_times

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["encode_hdu", "new_image", "packed_image"]

_COMPRESSION = ("SIMPLE", "EXTEND", "ZSIMPLE", "ZEXTEND", "ZTENSION", "ZPCOUNT", "ZGCOUNT")


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
    return packed_image(data, header, name=name)


def packed_image(
    data: NDArray[Any],
    header: fits.Header,
    *,
    name: str | None = None,
    tile: tuple[int, ...] | None = None,
) -> fits.CompImageHDU:
    """Return a tile-compressed image; tiles are rows where none are told."""
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
