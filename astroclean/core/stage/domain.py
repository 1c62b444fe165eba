"""`Domain`: the frames that a method was made for, classical or network, and how one differs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from astroclean.core.image.frame import Frame

__all__ = ["Domain", "combination_of", "known_fwhm_pixels"]

Range = tuple[float, float]

# Cards that count the exposures, or the pixels of input, that one image was made of.
_COUNTS = ("NCOMBINE", "NDRIZIM", "NIMCOMB", "STACKCNT", "NSTACK", "NIMAGES", "COMBSIZE")
# Cards that SWarp, drizzle and the pipelines of JWST leave in what they resampled.
_MARKS = {
    r"RESAMPT1|COMBINET": "by SWarp",
    r"D\d{3}(OUDA|VER|SCAL|PIXF)": "by drizzle",
    r"DRIZ(PIXF|SCAL|KERN)": "by drizzle",
    r"PIXFRAC|PXSCLRT": "by drizzle",
}
# Steps of the pipeline of JWST.
_STEPS = ("S_RESAMP",)


class Domain(BaseModel):
    """What a method was made for, or a network trained on. Empty means: not told, or no limit."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, populate_by_name=True
    )

    instruments: tuple[str, ...] = ()
    """Names of instrument files."""
    pixel_scale: Range | None = None
    """Arcsec, least and most."""
    fwhm_pixels: Range | None = None
    """Width of the PSF in pixels, least and most."""
    coadd: bool | None = None
    """Whether it is for coadded frames, or for single exposures."""
    description: str = ""
    """In words."""

    def differences(
        self, frame: Frame, *, fwhm_pixels: float | None = None, of: str = "made for"
    ) -> tuple[str, ...]:
        """Return how a frame differs.

        Parameters
        ----------
        frame : Frame
            What it does not tell (instrument, pixel scale, PSF) is not compared.
        fwhm_pixels : float, optional
            Width of its PSF, where it was measured; else as :func:`known_fwhm_pixels`.
        of : str
            How to say it: ``trained on`` for networks.

        Returns
        -------
        tuple of str
            One clause for each difference, for the report; empty where there is none.
        """
        detector = frame.detector
        found = []
        if self.instruments and detector.instrument and detector.instrument not in self.instruments:
            found.append(f"instrument {detector.instrument}, {of} {', '.join(self.instruments)}")
        found += _outside("pixel scale", detector.pixel_scale, self.pixel_scale, f"arcsec, {of}")
        width = known_fwhm_pixels(frame) if fwhm_pixels is None else fwhm_pixels
        found += _outside("PSF width", width, self.fwhm_pixels, f"pixels, {of}")
        combined = combination_of(frame.meta)
        if self.coadd is False and combined:
            found.append(f"{combined}, {of} single exposures")
        if self.coadd and frame.meta.get("NCOMBINE") is not None and combined is None:
            found.append(f"{frame.meta['NCOMBINE']} exposures combined, {of} coadds")
        return tuple(found)


def known_fwhm_pixels(frame: Frame) -> float | None:
    """Return the width of the PSF in pixels: of the frame's PSF, else as its header tells.

    Parameters
    ----------
    frame : Frame
        Any.

    Returns
    -------
    float or None
        FWHM; None where neither PSF nor header (width and pixel scale in arcsec) tell it.
    """
    if frame.psf is not None:
        return float(frame.psf.fwhm_pixels)
    detector = frame.detector
    if not detector.psf_fwhm or not detector.pixel_scale:
        return None
    width = float(detector.psf_fwhm) / float(detector.pixel_scale)
    return width if width > 0 else None


def combination_of(meta: Mapping[str, Any]) -> str | None:
    """Return how a header says that its image was made of several, or on another grid.

    Parameters
    ----------
    meta : mapping
        Cards of the header.

    Returns
    -------
    str or None
        A clause such as ``5 exposures combined``; None where it says no such thing.
    """
    for key in _COUNTS:
        count = _whole(meta.get(key))
        if count is not None and count > 1:
            return f"{count} exposures combined"
    if any(str(meta.get(key)).strip().upper() == "COMPLETE" for key in _STEPS):
        return "resampled"
    for key in meta:
        for pattern, told in _MARKS.items():
            if re.fullmatch(pattern, str(key)):
                return f"combined or resampled {told}"
    return None


def _whole(value: Any) -> int | None:
    """Return a count; None where a card holds something else."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _outside(what: str, value: float | None, limits: Range | None, said: str) -> list[str]:
    if value is None or limits is None or limits[0] <= value <= limits[1]:
        return []
    return [f"{what} {value:.3g} {said} {limits[0]:g} to {limits[1]:g}"]
