"""Read a PSF from FITS: a stamp with its pixel scale, or a position-dependent grid."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np

from astroclean.core.psf import Psf
from astroclean.errors import PsfError
from astroclean.io.source import FitsSource
from astroclean.io.values import frame_wcs

if TYPE_CHECKING:
    from pathlib import Path

    from astropy.io.fits import Header

__all__ = ["read_psf"]

_STAMP, _GRID = 2, 3
_SCALE_KEYWORDS = ("PIXELSCL", "PIXSCALE", "PIXSCAL1", "SECPIX")
_ARCSEC_PER_DEG = 3600.0
_SAME_SCALE = 1e-3


def read_psf(
    path: Path, frame_pixel_scale: float | None, *, file_pixel_scale: str | None = None
) -> Psf:
    """Read a PSF and sample it on a frame's pixels.

    Parameters
    ----------
    path : Path
        FITS file. The first image is the PSF: (ky, kx), or (n, ky, kx) with positions in the
        cards ``DET_YX0 = "(y, x)"``, ... as STScI's and photutils' grids have them.
    frame_pixel_scale : float or None
        Pixel of the frame in arcsec; needed unless the PSF tells its oversampling.
    file_pixel_scale : str, optional
        Pixel of the file, such as ``"0.4 arcsec"``, before that of its header.

    Returns
    -------
    Psf
        On the frame's pixels, centred, of sum 1.

    Raises
    ------
    PsfError
        No image, or the scale of file or frame is not known.
    FitsReadError
        The file is damaged.
    """
    if not path.is_file():
        raise PsfError("no such file", where=str(path), remedy="Check psf.file.")
    with FitsSource(path) as source:
        images = [hdu for hdu in source.hdus if len(hdu.shape) in (_STAMP, _GRID)]
        if not images:
            raise PsfError("has no image of a PSF", where=str(path))
        info = images[0]
        header = source.header(info.index)
        wcs = frame_wcs(header, source.hdulist(), [])
        count = info.shape[0] if len(info.shape) == _GRID else 1
        planes = [source.read(info.index, plane=n) for n in range(count)]
    scale = _ratio(header, wcs, frame_pixel_scale, file_pixel_scale, str(path))
    positions = [_position(header, n, str(path)) for n in range(count)] if count > 1 else None
    if _fits(planes[0].shape, scale):
        return Psf(np.stack(planes), positions)
    images = [Psf.resampled(plane, scale=scale).fine[0] for plane in planes]
    # Their centroids differ, so they may not reach equally far.
    side = min(image.shape[0] for image in images)
    return Psf.from_fine(np.stack([_central(image, side) for image in images]), positions)


def _fits(shape: tuple[int, ...], scale: float) -> bool:
    """Return whether a stamp is on the frame's pixels, with one in its middle."""
    return abs(scale - 1) < _SAME_SCALE and shape[0] == shape[1] and shape[0] % 2 == 1


def _central(image: Any, side: int) -> Any:
    margin = (image.shape[0] - side) // 2
    return image[margin : margin + side, margin : margin + side]


def _ratio(
    header: Header, wcs: Any, frame_scale: float | None, told: str | None, where: str
) -> float:
    """Return the size of the frame's pixel in pixels of the file."""
    oversampling = header.get("OVERSAMP", header.get("DET_SAMP"))
    if told is None and oversampling:
        return float(oversampling)
    file_scale = _file_scale(header, wcs, told, where)
    if file_scale is None or frame_scale is None:
        missing = "the PSF file" if file_scale is None else "the frame"
        raise PsfError(
            f"the pixel scale of {missing} is not known",
            where=where,
            remedy='Give `psf.file_pixel_scale = "0.4 arcsec"` or `instrument.pixel_scale`.',
        )
    return frame_scale / file_scale


def _file_scale(header: Header, wcs: Any, told: str | None, where: str) -> float | None:
    if told is not None:
        try:
            return float(u.Quantity(told).to_value(u.arcsec))
        except (TypeError, ValueError) as error:
            raise PsfError(
                "psf.file_pixel_scale is not an angle", where=where, received=repr(told)
            ) from error
    for keyword in _SCALE_KEYWORDS:
        if isinstance(header.get(keyword), (int, float)) and header[keyword] > 0:
            return float(header[keyword])
    if wcs is not None and wcs.has_celestial:
        scales = wcs.celestial.proj_plane_pixel_scales()
        return float(scales[0].to_value(u.arcsec))
    step = header.get("CDELT1", header.get("CD1_1"))
    return abs(float(step)) * _ARCSEC_PER_DEG if step else None


def _position(header: Header, number: int, where: str) -> tuple[float, float]:
    text = str(header.get(f"DET_YX{number}", ""))
    numbers = re.findall(r"-?\d+(?:\.\d+)?", text)
    if len(numbers) != 2:  # noqa: PLR2004
        raise PsfError(
            f"card DET_YX{number} must give the position of plane {number}",
            where=where,
            received=repr(text),
            remedy='Write it as "(y, x)" in pixels of the frame.',
        )
    return float(numbers[1]), float(numbers[0])
