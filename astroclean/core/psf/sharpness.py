"""Whether a PSF can be that of a frame: no source is narrower than it, and some are as narrow.

A source is the PSF convolved with light that is not negative. So around a peak there is at least as
much light, for its height, as around that of the PSF. Galaxies have more; a star has no less.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from astroclean.core.image.noise import SIGMA_PER_MAD
from astroclean.errors import AstrocleanWarning, SuspectWarning

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.psf.psf import Psf

__all__ = ["Sharpness", "sharpness_of", "tell_of_sharpness"]

_STRONG = 10.0
"""Height of a peak in standard deviations, from which it tells how wide it is."""
_MOST = 300
"""The brightest peaks that are looked at."""
_MARGIN = 3.0
"""Standard deviations by which a peak may be too sharp."""
_LESS = 0.85
"""Of the light around the peak of the PSF: less is too sharp. That is a PSF a tenth too wide."""
_ALONE = 0.1
"""Light of the pixels next to a peak, over its height: one with less is a hit or a hot pixel that
nobody flagged. Of a PSF of 1.3 pixels it is more."""
_FEWEST_SHARP, _SHARE = 2, 0.3
"""Peaks that are too sharp, and their share of all, from which the PSF is wrong."""
_FEWEST_WIDE, _WIDE, _WIDE_UNSAMPLED = 3, 1.6, 2.0
"""Peaks of which none is as narrow as the PSF, and by how much the narrowest tenth is wider; by how
much where pixels hardly sample the PSF, so that few peaks lie in the middle of a pixel."""
_SAMPLED = 2.0
_LARGEST = 1 / 3
"""FWHM of the PSF over the shorter side of a frame, above which it cannot be."""
_SMALL = 32
"""Pixels, the shorter side of a frame, below which it is a stamp, which may be as wide as that."""
_AROUND = 1.5, 3.0
"""Radii of the surroundings of a peak, FWHM of the PSF."""
_LEAST_AROUND = 20
_LEAST_RATIO, _MOST_RATIO = 1e-3, 0.999


class Sharpness(NamedTuple):
    """What peaks of a frame tell of its PSF."""

    peaks: int
    """Bright ones, whose width can be told."""
    sharp: int
    """Of these, narrower than the PSF."""
    width: float
    """Of the narrowest tenth of them, over that of the PSF; NaN without any."""
    fwhm: float
    """Of the PSF, pixels."""
    side: int
    """Of the frame, the shorter one, pixels."""

    @property
    def _fills_the_frame(self) -> bool:
        return self.side >= _SMALL and self.fwhm > _LARGEST * self.side

    @property
    def is_too_wide(self) -> bool:
        """Whether the PSF is wider than sources."""
        if self._fills_the_frame:
            return True
        return self.sharp >= _FEWEST_SHARP and self.sharp >= _SHARE * self.peaks

    @property
    def is_too_narrow(self) -> bool:
        """Whether all sources are wider than the PSF, as where it is of other pixels."""
        least = _WIDE if self.fwhm >= _SAMPLED else _WIDE_UNSAMPLED
        return not self.is_too_wide and self.peaks >= _FEWEST_WIDE and self.width > least

    @property
    def told(self) -> str:
        """What is wrong, for a message; empty where nothing is."""
        psf = f"the PSF has {self.fwhm:.3g} pixels FWHM"
        if self._fills_the_frame:
            return f"{psf}, the frame has {self.side}: nothing in it can be that wide and be known"
        if self.is_too_wide:
            return (
                f"{psf}, and {self.sharp} of {self.peaks} bright peaks are narrower, which no "
                "source can be: the PSF or the pixel scale is wrong, or hits and hot pixels are "
                "not flagged"
            )
        if self.is_too_narrow:
            return (
                f"{psf}, and all of {self.peaks} bright peaks are wider, the narrowest by a factor "
                f"of {self.width:.2g}. If there are point sources among them, PSF or pixel scale "
                "are wrong"
            )
        return ""


def tell_of_sharpness(frame: Frame, psf: Psf, where: str) -> None:
    """Warn where a PSF cannot be that of a frame.

    Parameters
    ----------
    frame : Frame
        The whole of it.
    psf : Psf
        On its pixels.
    where : str
        Frame and stage, for the message.

    Warns
    -----
    SuspectWarning
        Sources are narrower than the PSF.
    AstrocleanWarning
        None is nearly as narrow, which may be so where there are no stars.
    """
    found = sharpness_of(frame, psf)
    if found.told:
        category = SuspectWarning if found.is_too_wide else AstrocleanWarning
        warnings.warn(f"{where}: {found.told}.", category, stacklevel=2)


def sharpness_of(frame: Frame, psf: Psf) -> Sharpness:
    """Return what the peaks of a frame tell of a PSF.

    Parameters
    ----------
    frame : Frame
        The whole of it. Not modified.
    psf : Psf
        On its pixels; that of the middle counts.

    Returns
    -------
    Sharpness
    """
    ny, nx = frame.shape
    stamp, fwhm, side = psf.at(nx / 2, ny / 2), psf.fwhm_pixels, min(ny, nx)
    nothing = Sharpness(0, 0, float("nan"), fwhm, side)
    usable = frame.usable
    if fwhm > _LARGEST * side or not usable.any():
        return nothing
    ring = _ring(max(fwhm / 2, 1.0))
    of_psf = _around(stamp, np.ones(stamp.shape, bool), np.array(stamp.shape) // 2, ring)
    wanted = float(np.clip(of_psf / stamp.max(), _LEAST_RATIO, _MOST_RATIO))
    told = [
        one
        for place in _peaks(frame, usable, fwhm)
        if (one := _ratio(frame, usable, place, ring, fwhm)) is not None
    ]
    if not told:
        return nothing
    ratios, errors = np.array(told).T
    sharp = int(np.count_nonzero(ratios + _MARGIN * errors < _LESS * wanted))
    narrowest = np.clip(np.percentile(ratios, 10), _LEAST_RATIO, _MOST_RATIO)
    # As if they were Gaussians: light at a radius falls with the exponent of its square.
    width = float(np.sqrt(np.log(wanted) / np.log(narrowest)))
    return Sharpness(len(ratios), sharp, width, fwhm, side)


def _ring(radius: float) -> NDArray[np.intp]:
    """Return the pixels (y, x) at a distance from one in the middle."""
    half = int(np.ceil(radius)) + 1
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    return np.argwhere(np.abs(np.hypot(y, x) - radius) < 0.5) - half  # noqa: PLR2004


def _around(
    image: NDArray[np.floating],
    usable: NDArray[np.bool_],
    place: NDArray[np.integer],
    ring: NDArray[np.intp],
) -> float:
    """Return the mean of a ring about a place; NaN where less than half of it can be used."""
    places = ring + place
    inside = ((places >= 0) & (places < image.shape)).all(axis=1)
    y, x = places[inside].T
    seen = usable[y, x]
    if 2 * np.count_nonzero(seen) < len(ring):
        return float("nan")
    return float(image[y[seen], x[seen]].mean(dtype=np.float64))


def _peaks(frame: Frame, usable: NDArray[np.bool_], fwhm: float) -> NDArray[np.intp]:
    """Return the brightest (y, x) that are brighter than what is around them."""
    from astropy.stats import sigma_clipped_stats  # noqa: PLC0415 - heavy
    from scipy.ndimage import maximum_filter  # noqa: PLC0415 - heavy

    _, sky, deviation = sigma_clipped_stats(frame.data[usable], sigma=3.0, maxiters=5)
    height = np.where(usable, frame.data - sky, -np.inf)
    box = 2 * int(np.ceil(max(fwhm / 2, 1.0))) + 1
    found = np.argwhere((height == maximum_filter(height, size=box)) & (height > 0))
    bright = height[tuple(found.T)] / max(float(deviation), np.finfo(float).tiny)
    strong = np.argsort(-bright)[: min(_MOST, int(np.count_nonzero(bright > _STRONG)))]
    return found[strong]


def _ratio(
    frame: Frame,
    usable: NDArray[np.bool_],
    place: NDArray[np.intp],
    ring: NDArray[np.intp],
    fwhm: float,
) -> tuple[float, float] | None:
    """Return the light around a peak over its height, and the error; None where that is low."""
    inner, outer = (max(radius * fwhm, radius * 2) for radius in _AROUND)
    reach = int(np.ceil(outer))
    lines = [
        np.arange(max(p - reach, 0), min(p + reach + 1, side))
        for p, side in zip(place, frame.shape, strict=True)
    ]
    away = np.hypot(lines[0][:, None] - place[0], lines[1] - place[1])
    box = np.ix_(*lines)
    values = frame.data[box][usable[box] & (away > inner) & (away <= outer)]
    light = _around(frame.data, usable, place, ring)
    if len(values) < _LEAST_AROUND or not np.isfinite(light):
        return None
    sky = float(np.median(values))
    scatter = SIGMA_PER_MAD * float(np.median(np.abs(values - sky)))
    height = float(frame.data[tuple(place)]) - sky
    next_to_it = _around(frame.data, usable, place, _ring(1.0)) - sky
    if not (height > _STRONG * scatter and next_to_it > _ALONE * height):
        return None
    return (light - sky) / height, scatter / height
