"""What a dusty galaxy radiates: a modified black body with a power law at short wavelengths."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Values = NDArray[np.float64]

__all__ = [
    "LEAST_REDSHIFT",
    "band_fluxes",
    "comoving_volume",
    "luminosity_distance",
    "mid_infrared",
]

_HUBBLE, _MATTER = 70.0, 0.3
LEAST_REDSHIFT, _FARTHEST = 0.02, 7.0
_H_OVER_K = 14387.77
"""Of Planck's law, micron kelvin."""
_C = 299792.458e9
"""Micron per second."""
_LIGHT = 3.828e26
"""Watt, of the sun."""
_MPC = 3.0857e22
_WATT = 1e29
"""mJy in W/m2/Hz."""
_GRID = np.geomspace(8.0, 1000.0, 64)
_COLD = 2.0
"""Slope of the power law at short wavelengths (Casey 2012)."""
_MICRONS = (4.0, 5.5, 6.5, 7.7, 8.8, 9.8, 11.4, 13.0, 15.0, 19.0, 24.0)
_PARTS = (0.06, 0.07, 0.15, 0.21, 0.15, 0.07, 0.13, 0.11, 0.10, 0.12, 0.15)
"""nu L_nu over L(8-1000 um) of galaxies on the main sequence, as a band of a quarter of its
wavelength sees them: about those of Elbaz et al. (2011), with the bands of PAH and the silicates'
trough."""


@cache
def _distances() -> tuple[Values, Values, Values]:
    """Return redshifts, luminosity distances (Mpc), and volumes (Mpc3 per square degree and z)."""
    from astropy.cosmology import FlatLambdaCDM  # noqa: PLC0415 - heavy

    cosmology = FlatLambdaCDM(H0=_HUBBLE, Om0=_MATTER)
    z = np.geomspace(1 + LEAST_REDSHIFT / 2, 1 + _FARTHEST, 300) - 1
    per_degree = (np.pi / 180) ** 2
    volume = cosmology.differential_comoving_volume(z).value * per_degree
    return z, cosmology.luminosity_distance(z).value, volume


def luminosity_distance(z: Values) -> Values:
    """Return luminosity distances, Mpc (flat, H0 = 70 km/s/Mpc, matter 0.3)."""
    known, distance, _ = _distances()
    return np.interp(z, known, distance)


def comoving_volume(z: Values) -> Values:
    """Return comoving volume, Mpc3 per square degree and unit of redshift."""
    known, _, volume = _distances()
    return np.interp(z, known, volume)


def _shape(wavelength: Values, temperature: Values, beta: Values) -> Values:
    """Return L_nu up to a factor: a modified black body, a power law where that falls faster."""
    hardness = _H_OVER_K / (wavelength * temperature)
    # Where nu^(3 + beta) / (exp(x) - 1) falls as nu^-2, about x = 5 + beta.
    edge = 3 + beta + _COLD
    cold = np.minimum(hardness, edge)
    body = cold ** (3 + beta) / np.expm1(cold)
    return np.asarray(body * (np.maximum(hardness, edge) / edge) ** -_COLD)


def band_fluxes(
    luminosity: Values,
    z: Values,
    temperature: Values,
    beta: Values,
    wavelengths: Sequence[float],
) -> Values:
    """Return flux densities.

    Parameters
    ----------
    luminosity : (n,) float64
        From 8 to 1000 micron in the rest frame, solar luminosities.
    z : (n,) float64
        Redshift.
    temperature, beta : (n,) float64
        Of the dust, kelvin; exponent of its emissivity.
    wavelengths : sequence of float
        As observed, micron; above 60, for warm dust and PAH are not in this spectrum.

    Returns
    -------
    (n, bands) float64
        mJy.
    """
    t, b = temperature[:, np.newaxis], beta[:, np.newaxis]
    spectrum = _shape(_GRID, t, b)
    # L = integral of L_nu dnu = integral of nu L_nu dln(lambda)
    total = np.asarray(np.trapezoid(spectrum * _C / _GRID, np.log(_GRID), axis=1))
    rest = np.asarray(wavelengths) / (1 + z[:, np.newaxis])
    per_hertz = _shape(rest, t, b) / total[:, np.newaxis]
    area = 4 * np.pi * (luminosity_distance(z) * _MPC) ** 2
    scale = luminosity * _LIGHT * (1 + z) / area * _WATT
    return np.asarray(per_hertz * scale[:, np.newaxis])


def mid_infrared(luminosity: Values, z: Values, wavelength: float = 24.0) -> Values:
    """Return flux densities (mJy) where PAH and warm dust shine, before scatter."""
    rest = wavelength / (1 + z)
    part = np.exp(np.interp(np.log(rest), np.log(_MICRONS), np.log(_PARTS)))
    area = 4 * np.pi * (luminosity_distance(z) * _MPC) ** 2
    # nu L_nu = nu_rest L_nu_rest; S = (1 + z) L_nu_rest / area
    hertz = _C / rest
    return np.asarray(part * luminosity * _LIGHT / hertz * (1 + z) / area * _WATT)
