"""How well the images of fitted point sources are those of the frame: what a wrong PSF leaves.

A PSF that is wrong leaves a residual under each source that grows with its light. Noise and
emission leave no more there than around the source.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from astroclean.core.image.noise import SIGMA_PER_MAD

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = ["Misfit", "Misfits", "misfit_warning", "misfits_of"]

_CORE = 1.0
"""Radius in FWHM of the core of a source."""
_LEAST_CORE = 2.0
"""Of that radius, pixels: fewer pixels tell nothing."""
_WHOLE = 2.5
"""Radius in FWHM within which nearly all light lies; beyond, up to `_RING`, is the sky."""
_RING = 4.0
_FEWEST_PIXELS = 9
_STRONG = 10.0
"""Light of a core in deviations of the sky, from which a source tells of the PSF."""
_FEWEST = 5
"""Sources from which a frame tells of it."""
_SAMPLED = 2.0
"""FWHM in pixels. What is left of a narrower PSF is rather the fault of its sampling, up and down:
a third of the light of cores on IRAC's map with the PSF of the flight, and no flux."""
_LOST = 0.1
"""Part of the flux that is left by a narrow PSF that is wrong."""
_QUARTER = 25.0
"""Percentile of what is left that must be too much: some sources may be double, or galaxies, which
the right PSF does not fit; a wrong one fits none."""
_CHI2 = 4.0
"""Reduced chi squared from which a residual is none of the noise. Of right PSFs it is below 1 (a
fit takes part of the noise), of wrong ones above 7."""
_PART = 0.025
"""Part of the light of a core that may be left: sampling, and photons that come by chance."""
_TAKEN, _SURE = 0.05, 5.0
"""Part of the light that is taken beyond what there is, on the mean of the sources, and in standard
errors of that mean: a PSF that is too wide, though the fit of a curved background hides the shape
of what is left. Emission under sources, which a right PSF leaves, is of the other sign."""
_LARGE = 75.0
_SPREAD = 1.5
"""Error of fluxes over this percentile of what is left of their light; some lies too far out to be
counted. With a Gaussian in the place of five other kinds of PSF, fluxes are then off by .3 to 1.5
times (root mean square) what they say."""


class Misfit(NamedTuple):
    """What the fit of one source leaves; NaN where nothing tells."""

    chi2: float
    """Mean square of the residual in the core, over that of the sky around."""
    part: float
    """Residual beyond that of the sky, over the light of the core, as deviations."""
    lost: float
    """Sum of the residual, over the flux: light that the PSF does not know of."""
    strength: float
    """Light of the core, over the deviation of the sky."""

    least: float = 0.0
    """Of ``lost``, from which it counts: more where the PSF is hardly sampled."""

    @property
    def tells(self) -> bool:
        """Whether the source is bright enough to tell of its PSF."""
        return self.strength > _STRONG

    @property
    def bad(self) -> bool:
        """Whether the PSF does not fit this source."""
        return (
            self.tells and self.chi2 > _CHI2 and self.part > _PART and abs(self.lost) > self.least
        )


class Misfits(NamedTuple):
    """What the fits of the sources of a frame leave."""

    each: tuple[Misfit, ...]

    @property
    def _told(self) -> list[Misfit]:
        """Those that tell."""
        return [one for one in self.each if one.tells]

    @property
    def used(self) -> int:
        """Sources that tell."""
        return len(self._told)

    def _median(self, name: str) -> float:
        values = [getattr(one, name) for one in self._told]
        return float(np.median(values)) if values else float("nan")

    @property
    def chi2(self) -> float:
        """Median over the sources that tell; NaN where none does."""
        return self._median("chi2")

    @property
    def wrong(self) -> bool:
        """Whether the PSF of the frame is another than that of its sources."""
        told = self._told
        if len(told) < _FEWEST:
            return False
        if self.takes_too_much:
            return True
        if not self.chi2 > _CHI2:
            return False
        lost = abs(self._median("lost")) > max(one.least for one in told)
        return lost and bool(np.percentile([one.part for one in told], _QUARTER) > _PART)

    @property
    def takes_too_much(self) -> bool:
        """Whether the images of the sources hold more light than the sources, all together."""
        told = self._told
        lost = np.array([one.lost for one in told])
        error = float(np.std(lost, ddof=1)) / np.sqrt(len(lost)) if len(lost) > 1 else np.inf
        taken = max([_TAKEN, *(one.least for one in told)])
        return bool(len(lost)) and float(np.mean(lost)) < -max(taken, _SURE * error)

    @property
    def flux_part(self) -> float:
        """Standard deviation of fluxes by the PSF, as a part of each; 0 where it fits."""
        if not self.wrong:
            return 0.0
        left = [max(one.part, abs(one.lost)) for one in self._told]
        return _SPREAD * float(np.percentile(left, _LARGE))

    @property
    def bad(self) -> NDArray[np.bool_]:
        """(n,): sources that the PSF does not fit; all where it is wrong."""
        all_bad = self.wrong  # asks every source: once, not for each of them
        return np.array([all_bad or one.bad for one in self.each], dtype=bool)

    @property
    def metrics(self) -> dict[str, float]:
        """For the report."""
        told = {"psf chi2": self.chi2} if self.used else {}
        return {"psf sources judged": float(self.used), **told}


def misfits_of(
    left: NDArray[Any],
    usable: NDArray[np.bool_],
    *,
    fwhm: float,
    positions: NDArray[np.float64],
    light: Callable[[int, NDArray[np.intp], NDArray[np.intp]], NDArray[np.float64]],
    fluxes: Sequence[float] | NDArray[np.float64],
) -> Misfits:
    """Judge the PSF by what is left where sources were taken away.

    Parameters
    ----------
    left : (ny, nx)
        The frame less the images of its sources, any unit. Not modified.
    usable : (ny, nx) bool
        Pixels to believe.
    fwhm : float
        Of the PSF, pixels.
    positions : (n, 2) float64
        x, y of the sources, pixels.
    light : callable
        Of the index of a source, rows and columns: its image there, of its flux.
    fluxes : (n,) float
        In the unit of a pixel times pixels.

    Returns
    -------
    Misfits
        In the order of the sources.
    """
    return Misfits(
        tuple(
            _misfit(left, usable, fwhm, place, partial(light, index), float(flux))
            for index, (place, flux) in enumerate(zip(positions, fluxes, strict=True))
        )
    )


_NOTHING = Misfit(np.nan, np.nan, np.nan, np.nan)


def _misfit(
    left: NDArray[Any],
    usable: NDArray[np.bool_],
    fwhm: float,
    place: NDArray[np.float64],
    light: Callable[[NDArray[np.intp], NDArray[np.intp]], NDArray[np.float64]],
    flux: float,
) -> Misfit:
    reach = int(np.ceil(_RING * fwhm)) + 1
    if not np.isfinite([*place, flux]).all():
        return _NOTHING
    lines = [
        np.arange(max(round(p) - reach, 0), min(round(p) + reach + 1, side))
        for p, side in zip(place[::-1], left.shape, strict=True)
    ]
    if not all(len(line) for line in lines):
        return _NOTHING
    rows, columns = np.meshgrid(*lines, indexing="ij")
    away = np.hypot(rows - place[1], columns - place[0]) / fwhm
    seen = usable[rows, columns]
    core, whole = seen & (away <= max(_CORE, _LEAST_CORE / fwhm)), seen & (away <= _WHOLE)
    ring = seen & (away > _WHOLE) & (away <= _RING)
    if min(np.count_nonzero(core), np.count_nonzero(ring)) < _FEWEST_PIXELS:
        return _NOTHING
    rest = left[rows, columns].astype(np.float64)
    rest -= _background(rest, ring, rows - place[1], columns - place[0])
    sky = float(np.median(rest[ring]))
    scatter = SIGMA_PER_MAD * float(np.median(np.abs(rest[ring] - sky)))
    power = float(np.std(light(rows[core], columns[core])))
    if not (scatter > 0 and power > 0):
        return _NOTHING
    residual = float(np.std(rest[core]))
    beyond = np.sqrt(max(residual**2 - scatter**2, 0.0))
    lost = float(np.sum(rest[whole] - sky)) / flux
    least = 0.0 if fwhm >= _SAMPLED else _LOST
    return Misfit((residual / scatter) ** 2, beyond / power, lost, power / scatter, least)


def _background(
    image: NDArray[np.float64],
    ring: NDArray[np.bool_],
    y: NDArray[np.float64],
    x: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the curved sky through a ring: slopes are no noise, and would hide what is left."""
    terms = np.stack([np.ones_like(x), x, y, x * y, x**2, y**2], axis=-1)
    used = ring & np.isfinite(image)
    for _ in range(2):
        if np.count_nonzero(used) < 2 * terms.shape[-1]:
            return np.zeros_like(image)
        found = np.linalg.lstsq(terms[used], image[used], rcond=None)[0]
        off = np.abs(image - terms @ found)
        used = used & (off <= 3 * SIGMA_PER_MAD * np.median(off[used]))
    level: NDArray[np.float64] = terms @ found
    return level


def misfit_warning(misfits: Misfits, where: str) -> str:
    """Return what to tell of a PSF that is wrong.

    Parameters
    ----------
    misfits : Misfits
        Of a frame.
    where : str
        Frame and stage.
    """
    return (
        f"{where}: the PSF does not fit the sources: what is left under {misfits.used} bright ones "
        f"has a reduced chi squared of {misfits.chi2:.1f} (median; about 1 where it fits)"
        f"{', and more light was taken than they hold' if misfits.takes_too_much else ''}. Fluxes, "
        f"and what lies under the sources, may be off by {misfits.flux_part:.0%} of the light, "
        "which their errors now hold. Give the PSF of the instrument as a file or estimate it from "
        "stars ([psf] file, [psf] estimate); of a width measured on stars say that it includes the "
        "pixel ([psf] fwhm_includes_pixel); or take sources out without a PSF: pconv, "
        'mode = "inpaint", wings = false.'
    )
