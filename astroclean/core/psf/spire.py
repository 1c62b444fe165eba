"""Bands of Herschel/SPIRE, and of MIPS beside it: names, beams, and the maps of a set by band."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.frameset import FrameSet
from astroclean.core.image.grid import Grid
from astroclean.errors import AstrocleanWarning, StageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from astroclean.core.image.frame import Frame

__all__ = ["BEAMS", "band_name", "bands_of", "beams_of", "map_scale", "seen_width"]

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
    """Return the band of a frame alone: that of its header, which its beam must not contradict."""
    told = frame.detector.filter
    named = band_name(str(told or ""))
    where, wanted = f"{frame.frame_id}, {where}", " or ".join(known)
    if named is not None and named not in known:
        # Whatever beam is given, it is another map.
        raise StageError(
            f"the map says that it is at {named} um, not at {wanted}",
            where=where,
            received=f"filter {told!r}",
            remedy="Give a map of that band; with those of other bands, by `[bands]`. If the "
            f"header is wrong: `--set instrument.filter={next(iter(known))}`.",
        )
    if frame.psf is None:
        if named is not None:
            return named
        raise StageError(
            f"nothing tells that this is a map at {wanted} um",
            where=where,
            received="no PSF" if told is None else f"filter {told!r}, no PSF",
            remedy=f"If it is: `--set instrument.filter={next(iter(known))}`, or give its beam, "
            f"`[psf] fwhm = ...`; those known have FWHMs of {beams_of(known)} arcsec.",
        )
    scale = map_scale(frame)
    fwhm = frame.psf.fwhm_pixels * scale
    # A width between two bands is that of neither.
    near = {band: fwhm / BEAMS[band] for band in ([named] if named else known)}
    band = min(near, key=lambda name: abs(np.log(near[name])))
    if _WIDTHS[0] <= near[band] <= _WIDTHS[1]:
        return band
    raise StageError(
        f"the beam is none of a map at {named or wanted} um: FWHM {beams_of(near)} arcsec",
        where=where,
        received=seen_width(frame.psf.fwhm_pixels, scale),
        remedy="Is it another band, or the pixel scale wrong? Give the map, and its own beam by "
        "`[psf]`.",
    )


def beams_of(bands: Iterable[str]) -> str:
    """Return the widths of the beams of bands, for a message."""
    return ", ".join(f"{BEAMS[band]:g}" for band in bands)


def seen_width(fwhm_pixels: float, scale: float) -> str:
    """Return what a PSF is on the pixels of a map, which are part of its width, for a message.

    Parameters
    ----------
    fwhm_pixels : float
        As `Psf.fwhm_pixels` tells it.
    scale : float
        Side of a pixel in arcsec.
    """
    return (
        f"{fwhm_pixels * scale:.1f} arcsec ({fwhm_pixels:.2f} pixels of {scale:.3g} arcsec, whose "
        "own width is part of it)"
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
