"""Bands of Herschel/SPIRE, and of MIPS beside it: names, beams, and the maps of a set by band."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.frameset import FrameSet
from astroclean.core.image.grid import Grid
from astroclean.errors import AstrocleanWarning, StageError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from astroclean.core.image.frame import Frame

__all__ = ["BEAMS", "band_name", "bands_of", "map_scale"]

BEAMS: Mapping[str, float] = {"250": 18.1, "350": 24.9, "500": 36.6, "24": 5.9}
"""Band in micrometers to the FWHM of its beam in arcsec (SPIRE Handbook; MIPS at 24 um)."""
_NAMES: Mapping[str, tuple[str, ...]] = {
    "250": ("psw", "spire250", "250um"),
    "350": ("pmw", "spire350", "350um"),
    "500": ("plw", "spire500", "500um"),
    "24": ("mips24", "24um", "mips1"),
}
"""Other names, in small letters without blanks and signs."""
_WIDTHS = (0.85, 1.18)
"""Width of a beam over the one above, within which a frame alone is taken to be of that band."""
_SQUARE = 0.01


def band_name(told: str) -> str | None:
    """Return the band of `BEAMS` that a name means, such as ``PSW``; None: none of them."""
    plain = "".join(letter for letter in told.lower() if letter.isalnum())
    return next((name for name, others in _NAMES.items() if plain in (name, *others)), None)


def bands_of(given: Frame | FrameSet, known: Collection[str], *, where: str) -> dict[str, Frame]:
    """Return the maps by band.

    Parameters
    ----------
    given : Frame or FrameSet
        A frame alone is taken to be of the band whose beam it has, or that its header names.
    known : collection of str
        Bands that the method has a use for.
    where : str
        Who asks.

    Returns
    -------
    dict of str to Frame
        In the order of the set.

    Raises
    ------
    StageError
        The first band is none of those known, a band is there twice, a header names another, or
        nothing tells that of a frame alone.

    Warns
    -----
    AstrocleanWarning
        Of other bands, which are not used.
    """
    if not isinstance(given, FrameSet):
        return {_band_of_frame(given, known, where): given}
    found: dict[str, Frame] = {}
    unused = []
    for told in given:
        name = band_name(told)
        if name in found:
            raise StageError(
                f"there are two maps at {name} um", where=where, received=", ".join(given.bands)
            )
        if name is None or name not in known:
            unused.append(told)
            continue
        header = band_name(str(given[told].detector.filter or ""))
        if header not in (None, name):
            raise StageError(
                f"the map that is given as {name} um says that it is at {header} um",
                where=f"{given[told].frame_id}, {where}",
                received=f"filter {given[told].detector.filter!r}",
                remedy="Look at `[bands]`, or set `instrument.filter`.",
            )
        found[name] = given[told]
    first = band_name(given.bands[0])
    if first is None or first not in known:
        raise StageError(
            f"the first band must be one of {', '.join(known)}, in micrometers: the result goes to "
            "its file",
            where=where,
            received=", ".join(given.bands),
            remedy="Name the bands so in `[bands]`, and the one of the narrowest beam first.",
        )
    if unused:
        text = f"{where}: bands {', '.join(unused)} are not used"
        warnings.warn(text, AstrocleanWarning, stacklevel=2)
    return found


def _band_of_frame(frame: Frame, known: Collection[str], where: str) -> str:
    """Return the band of a frame alone."""
    told = frame.detector.filter
    if frame.psf is None:
        band = band_name(str(told or ""))
        if band is not None and band in known:
            return band
        received = f"filter {told!r}, no PSF"
    else:
        fwhm = frame.psf.fwhm_pixels * map_scale(frame)
        # A width between two bands is that of neither.
        near = {band: fwhm / BEAMS[band] for band in known}
        band = min(near, key=lambda name: abs(np.log(near[name])))
        if _WIDTHS[0] <= near[band] <= _WIDTHS[1]:
            return band
        received = f"a beam with a FWHM of {fwhm:.1f} arcsec"
    beams = ", ".join(f"{BEAMS[band]:g}" for band in known)
    raise StageError(
        f"nothing tells that this is a map at {' or '.join(known)} um",
        where=where,
        received=received,
        remedy=f"Give its beam: `[psf] fwhm = ...`; those known have FWHMs of {beams} arcsec.",
    )


def map_scale(frame: Frame) -> float:
    """Return the side of a pixel in arcsec.

    Raises
    ------
    StageError
        The WCS is not celestial, or pixels are not square.
    """
    from astropy.wcs.utils import proj_plane_pixel_scales  # noqa: PLC0415 - heavy

    scale = Grid.from_frame(frame).pixel_scale
    if scale is None:
        raise StageError(
            "the WCS of a map must be celestial",
            where=frame.frame_id,
            remedy="Bands are brought together by their places on the sky.",
        )
    sides = proj_plane_pixel_scales(frame.wcs.celestial)
    if abs(sides[0] / sides[1] - 1) > _SQUARE:
        raise StageError(
            "pixels must be square",
            where=frame.frame_id,
            received=f"{sides[0] * 3600:.3f} x {sides[1] * 3600:.3f} arcsec",
            remedy="Resample the map first.",
        )
    return scale
