"""Galaxies by luminosity, redshift and dust: how many there are, and what they radiate."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from astroclean.core.stage.options import Options
from astroclean.simulate.draws import Range, uniform
from astroclean.simulate.far_infrared.spectrum import (
    LEAST_REDSHIFT,
    band_fluxes,
    comoving_volume,
    mid_infrared,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

__all__ = ["BANDS", "TARGET", "Galaxies", "Population", "PopulationRange", "draw_population"]

BANDS = ("24", "250", "350", "500")
TARGET = "450"
_FAR = (250.0, 350.0, 500.0, 450.0)
_Z = np.geomspace(1 + LEAST_REDSHIFT, 7.0, 141) - 1
_LOG_L = np.linspace(8.5, 14.0, 111)
_MIDDLE = 2.0
"""Redshift at which the temperature of the dust is told."""
_COLDEST = 12.0


class PopulationRange(Options):
    """What populations are drawn from."""

    model: Literal["luminosity", "counts"] = "luminosity"
    """``luminosity``: an evolving luminosity function. ``counts``: fluxes at 450 um from counts,
    redshifts beside them; no training has it."""
    brighter: Range = (-0.2, 0.0)
    """Logarithm of a factor on all luminosities."""
    denser: Range = (-0.1, 0.1)
    """Logarithm of a factor on all densities, or counts."""
    faint_slope: Range = (1.1, 1.3)
    """Of the luminosity function below its knee."""
    temperature: Range = (30.0, 36.0)
    """Of dust at redshift 2, kelvin."""
    warming: Range = (2.5, 5.5)
    """Kelvin for each unit of redshift."""
    temperature_scatter: Range = (0.08, 0.18)
    """Standard deviation over the mean."""
    beta: Range = (1.6, 2.0)
    """Exponent of the emissivity."""
    beta_scatter: Range = (0.05, 0.2)
    mid_scatter: Range = (0.2, 0.35)
    """Of the flux at 24 um, dex."""
    faintest: float = Field(default=0.02, gt=0)
    """Flux at 450 um of the faintest galaxies, mJy."""


@dataclass(frozen=True, eq=False)
class Galaxies:
    """Some galaxies."""

    z: Values
    temperature: Values
    """Kelvin."""
    fluxes: dict[str, Values]
    """Band, and `TARGET`, to flux in mJy."""

    def __len__(self) -> int:
        return len(self.z)


@dataclass(frozen=True, eq=False)
class Population:
    """How galaxies are distributed, and what their dust is like."""

    density: Values
    """(redshift, second) galaxies per square degree in each cell of the two."""
    second: Values
    """Edges: logarithm of the luminosity, or of the flux at 450 um."""
    is_flux: bool
    dust: tuple[float, float, float, float, float]
    """Temperature at redshift 2, its rise, its scatter; beta, its scatter."""
    mid_scatter: float
    faintest: float

    def draw(self, rng: np.random.Generator, area: float) -> Galaxies:
        """Return the galaxies of an area.

        Parameters
        ----------
        rng : Generator
            Source of chance.
        area : float
            Square degrees.

        Returns
        -------
        Galaxies
            Those above the faintest flux.
        """
        expected = self.density.ravel() * area
        count = rng.poisson(expected.sum())
        share = np.cumsum(expected) / expected.sum()
        cells = np.minimum(np.searchsorted(share, rng.random(count)), expected.size - 1)
        row, column = np.unravel_index(cells, self.density.shape)
        z = _Z[row] + rng.random(count) * np.diff(_Z)[row]
        second = self.second[column] + rng.random(count) * np.diff(self.second)[column]
        temperature, beta = self._dust(rng, z)
        unit = 1e11
        fluxes = band_fluxes(np.full(count, unit), z, temperature, beta, _FAR)
        luminosity = 10**second
        if self.is_flux:
            luminosity = unit * 10**second / fluxes[:, -1]
        fluxes *= (luminosity / unit)[:, np.newaxis]
        scatter = 10 ** (self.mid_scatter * rng.standard_normal(count))
        named = dict(zip(("250", "350", "500", TARGET), fluxes.T, strict=True))
        named["24"] = mid_infrared(luminosity, z) * scatter
        kept = named[TARGET] > self.faintest
        return Galaxies(
            z[kept], temperature[kept], {name: values[kept] for name, values in named.items()}
        )

    def _dust(self, rng: np.random.Generator, z: Values) -> tuple[Values, Values]:
        middle, warming, scatter, beta, beta_scatter = self.dust
        mean = middle + warming * (z - _MIDDLE)
        temperature = mean * (1 + scatter * rng.standard_normal(z.size))
        return np.maximum(temperature, _COLDEST), beta + beta_scatter * rng.standard_normal(z.size)


def draw_population(rng: np.random.Generator, limits: PopulationRange) -> Population:
    """Draw what the galaxies of a sky are like.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    limits : PopulationRange
        Ranges.

    Returns
    -------
    Population
        Whose galaxies can be drawn.
    """
    names = ("temperature", "warming", "temperature_scatter", "beta", "beta_scatter")
    temperature, warming, scatter, beta, beta_scatter = (
        uniform(rng, getattr(limits, name)) for name in names
    )
    made = partial(
        Population,
        dust=(temperature, warming, scatter, beta, beta_scatter),
        mid_scatter=uniform(rng, limits.mid_scatter),
        faintest=limits.faintest,
    )
    brighter, denser = uniform(rng, limits.brighter), uniform(rng, limits.denser)
    if limits.model == "counts":
        edges = np.linspace(np.log10(limits.faintest), 2.5, 90)
        return made(_of_counts(edges, brighter, denser), edges, is_flux=True)
    density = _of_luminosity(brighter, denser, uniform(rng, limits.faint_slope))
    # Cells too faint at every temperature need not be drawn.
    z, log_l = (0.5 * (edges[:-1] + edges[1:]) for edges in (_Z, _LOG_L))
    warm = np.maximum(temperature + warming * (z - _MIDDLE), _COLDEST) * (1 - 2 * scatter)
    flux = band_fluxes(np.ones_like(z), z, np.maximum(warm, _COLDEST), np.full_like(z, beta), _FAR)
    brightest = flux[:, -1:] * 10**log_l
    return made(np.where(brightest > limits.faintest / 2, density, 0), _LOG_L, is_flux=False)


def _of_luminosity(brighter: float, denser: float, slope: float) -> Values:
    """Return galaxies per square degree in cells of redshift and luminosity.

    The total infrared luminosity function of Gruppioni et al. (2013, MNRAS 432, 23): knee and
    density evolve as powers of 1 + z that change at z = 1.85 and 1.1.
    """
    z, log_l = (0.5 * (edges[:-1] + edges[1:])[:, np.newaxis] for edges in (_Z, _LOG_L))
    ratio = (1 + z) / np.array(1 + 1.85)
    knee = 10.12 + np.log10(np.where(ratio < 1, (1 + z) ** 3.55, 2.85**3.55 * ratio**1.62))
    ratio = (1 + z) / np.array(1 + 1.1)
    rest = np.log10(np.where(ratio < 1, (1 + z) ** -0.57, 2.1**-0.57 * ratio**-3.92))
    x = log_l.T - knee - brighter
    function = 10 ** (-2.29 + denser + rest + (1 - slope) * x)
    function *= np.exp(-0.5 * (np.log10(1 + 10**x) / 0.46) ** 2)
    cells = np.diff(_Z)[:, np.newaxis] * np.diff(_LOG_L)
    return np.asarray(function * comoving_volume(z) * cells)


def _of_counts(edges: Values, brighter: float, denser: float) -> Values:
    """Return galaxies per square degree in cells of redshift and flux at 450 um."""
    middle = 10 ** (0.5 * (edges[:-1] + edges[1:]) - brighter)
    knee, height, faint, bright = 9.0, 400.0, 1.5, 4.0
    per_mjy = height / ((middle / knee) ** faint + (middle / knee) ** bright) * 2
    counts = 10**denser * per_mjy * middle * np.log(10) * np.diff(edges)
    z = 0.5 * (_Z[:-1] + _Z[1:])
    # Bright sources are farther (lognormal; medians 1.4 at 1 mJy, 2 at 10).
    median = 1.4 * np.clip(middle, 0.1, 50) ** 0.15
    spread = np.log((1 + z[:, np.newaxis]) / (1 + median)) / 0.28
    shares = np.exp(-0.5 * spread**2) * np.diff(np.log1p(_Z))[:, np.newaxis]
    return np.asarray(shares / shares.sum(axis=0) * counts)
