"""Read a PSF from FITS: a stamp with its pixel scale, or a position-dependent grid."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np

from astroclean.core.length import Length
from astroclean.core.psf.psf import Psf
from astroclean.core.psf.repair import repaired_stamps
from astroclean.core.psf.stamp import centred_stamp, core_centroid, sampled_stamp
from astroclean.errors import AstrocleanWarning, PsfError
from astroclean.io.fits.source import FitsSource
from astroclean.io.header.values import frame_wcs
from astroclean.io.products.layers import OF_PLANE, SIDES

if TYPE_CHECKING:
    from pathlib import Path

    from astropy.io.fits import Header
    from numpy.typing import NDArray

    from astroclean.io.fits.hdu_info import HduInfo

__all__ = ["read_psf", "written_psf"]

_STAMP, _GRID = 2, 3
_SCALE_KEYWORDS = ("PIXELSCL", "PIXSCALE", "PIXSCAL1", "SECPIX")
_ARCSEC_PER_DEG = 3600.0
_SAME_SCALE = 1e-3
_CENTRED, _TOLD = 0.55, 0.2
"""Pixels of the frame that a core may lie off the middle of its stamp before it is moved, because
another pixel is nearer, and before it is said; asymmetric PSFs are off by a tenth."""
_UNIT_SUM = 0.1
"""Wings beyond the stamp are a good reason to fall short of 1 by less."""


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
        No image, the scale of file or frame is not known, or what the image shows is no PSF.
    FitsReadError
        The file is damaged.

    Warns
    -----
    AstrocleanWarning
        What was changed, and by how much: a pedestal taken away, a sum scaled that was off 1 by a
        tenth, a core moved that was off the middle by half of the frame's pixel; or that it was
        left there where it was off by a fifth.
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
    planes = _believable(planes, str(path))
    centers = [core_centroid(plane) for plane in planes]
    off = max(_offset(plane, center) for plane, center in zip(planes, centers, strict=True))
    same_pixels = abs(scale - 1) < _SAME_SCALE
    ny, nx = planes[0].shape
    if same_pixels and ny == nx and ny % 2 == 1 and off <= _CENTRED:
        if off > _TOLD:
            _say_kept(off, str(path))
        return Psf(np.stack(planes), positions, computed=True)
    pairs = list(zip(planes, centers, strict=True))
    if same_pixels:
        moved = [centred_stamp(*pair) for pair in pairs]
    else:
        moved = [sampled_stamp(*pair, scale) for pair in pairs]
    # Their centroids differ, so they may not reach equally far.
    side = min(image.shape[0] for image in moved)
    stack = np.stack([_central(image, side) for image in moved])
    psf = Psf(stack, positions, computed=True) if same_pixels else Psf.from_fine(stack, positions)
    if off > _CENTRED * scale:
        _say_moved(off, side=psf.shape[0], reach=min(ny, nx) / scale, where=str(path))
    return psf


def written_psf(
    source: FitsSource, stamps: HduInfo, fine: HduInfo | None, *, plane: int | None = None
) -> Psf | None:
    """Read a PSF that astroclean wrote beside a layer, as it was.

    Parameters
    ----------
    source : FitsSource
        The file, open.
    stamps : HduInfo
        HDU of the stamps.
    fine : HduInfo or None
        HDU of what was measured between the pixels.
    plane : int, optional
        Of the layer, where that is a cube.

    Returns
    -------
    Psf or None
        On the pixels of the layer; None where the plane has none.
    """
    header, numbers = source.header(stamps.index), _numbers(source, stamps, plane)
    if not numbers:
        return None
    where = f"{source.path.name}[{stamps.label}]"
    several = len(numbers) > 1
    positions = [_position(header, n, where) for n in numbers] if several else None
    of_fine = [] if fine is None else _numbers(source, fine, plane)
    between = _images(source, fine, of_fine) if fine is not None and of_fine else None
    return Psf(_images(source, stamps, numbers), positions, fine=between, computed=True)


def _numbers(source: FitsSource, info: HduInfo, plane: int | None) -> list[int]:
    """Return which images of an HDU are the PSF of a plane: all where no cards tell."""
    count = info.shape[0] if len(info.shape) == _GRID else 1
    header = source.header(info.index)
    owners = [header.get(f"{OF_PLANE}{number}", plane) for number in range(count)]
    return [number for number, owner in enumerate(owners) if owner == plane]


def _images(source: FitsSource, info: HduInfo, numbers: list[int]) -> NDArray[np.float64]:
    """Return images of a PSF, without the zeros around those that are smaller than others."""
    header, images = source.header(info.index), []
    for number in numbers:
        image = source.read(info.index, plane=number)
        ny, nx = image.shape
        ky, kx = (int(header.get(f"{c}{number}", n)) for c, n in zip(SIDES, (ny, nx), strict=True))
        y, x = (ny - ky) // 2, (nx - kx) // 2
        images.append(image[y : y + ky, x : x + kx])
    return np.stack(images).astype(np.float64)


def _believable(planes: list[Any], where: str) -> list[NDArray[np.float64]]:
    """Return the planes without pedestal; say how their sum is scaled where that is no rounding."""
    arrays = [np.asarray(plane, dtype=np.float64) for plane in planes]
    arrays = repaired_stamps(arrays, where=where)
    sums = [float(array.sum()) for array in arrays]
    if max(abs(total - 1) for total in sums) > _UNIT_SUM:
        told = f"{sums[0]:.4g}" if len(sums) == 1 else f"{min(sums):.4g} to {max(sums):.4g}"
        warnings.warn(
            f"{where}: the PSF was scaled from a sum of {told} to 1.",
            AstrocleanWarning,
            stacklevel=3,
        )
    return arrays


def _offset(plane: NDArray[np.float64], center: tuple[float, float]) -> float:
    """Return how far a source lies from the middle of its stamp, in pixels, along one axis."""
    sides = zip(plane.shape, center, strict=True)
    return float(max(abs(place - (side - 1) / 2) for side, place in sides))


def _say_kept(off: float, where: str) -> None:
    warnings.warn(
        f"{where}: the core of the PSF lies {off:.2g} pixels off the middle of its stamp, and was "
        "left there: a deconvolved image or fitted position is off by as much.",
        AstrocleanWarning,
        stacklevel=3,
    )


def _say_moved(off: float, *, side: int, reach: float, where: str) -> None:
    warnings.warn(
        f"{where}: the core of the PSF lay {off:.2g} pixels of the file off the middle of its "
        f"stamp, and was moved there: of a side, {side} of {reach:.0f} pixels are left.",
        AstrocleanWarning,
        stacklevel=3,
    )


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
            return Length.parsed(told, only="arcsec").value
        except ValueError as error:
            raise PsfError(
                "psf.file_pixel_scale is not an angle",
                where=where,
                received=repr(told),
                remedy='Write `file_pixel_scale = "0.4 arcsec"`.',
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
