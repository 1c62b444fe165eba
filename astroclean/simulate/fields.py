"""Fields of stars and galaxies with number counts, rendered without noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.sources.sources import Sources
from astroclean.core.stage.options import Options
from astroclean.simulate.draws import Range, add_stamp, log_uniform
from astroclean.simulate.galaxies import FINE, GalaxyRange, library_galaxy
from astroclean.simulate.psfs import HALF, OVERSAMPLING, PsfModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Field", "FieldRange", "draw_field", "draw_stars", "power_law_flux", "render_stars"]

_PER = 256 * 256
_MARGIN = 24
"""Pixels around the frame in which sources lie whose wings reach into it."""


class FieldRange(Options):
    """What fields are drawn from; numbers are for 256 x 256 pixels."""

    stars: Range = (8.0, 600.0)
    """From an empty field at high latitude to a crowded one."""
    galaxies: Range = (2.0, 40.0)
    faintest: Range = (3.0, 15.0)
    """Flux of the faintest source in units of noise times FWHM, about its S/N."""
    slope: Range = (0.55, 0.95)
    """Cumulative counts fall as flux to this power, negative; 0.75 is 10^(0.3 m)."""
    brightest: float = 4.0e4
    """Flux of the brightest source over that of the faintest."""
    galaxy: GalaxyRange = GalaxyRange()


@dataclass(frozen=True, eq=False)
class Field:
    """Sources, and the light of all of them without sky."""

    image: NDArray[np.float64]
    """(ny, nx) electrons."""
    sources: Sources
    """``id``, ``x``, ``y``, ``flux`` (electrons), ``kind``, ``radius`` (pixels, 0 for stars)."""


def draw_stars(
    rng: np.random.Generator, shape: tuple[int, int], *, flux: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return rows (x, y, flux): positions drawn evenly, margin included, in fifths of a pixel."""
    ny, nx = shape
    low = -_MARGIN * OVERSAMPLING
    y = rng.integers(low, (ny + _MARGIN) * OVERSAMPLING, flux.size) / OVERSAMPLING
    x = rng.integers(low, (nx + _MARGIN) * OVERSAMPLING, flux.size) / OVERSAMPLING
    return np.column_stack([x, y, flux])


def power_law_flux(
    rng: np.random.Generator, count: int, limits: Range, slope: float
) -> NDArray[np.float64]:
    """Return fluxes whose cumulative counts fall as flux^-slope between two limits."""
    ratio = (limits[1] / limits[0]) ** -slope
    return np.asarray(limits[0] * (1 - rng.random(count) * (1 - ratio)) ** (-1 / slope))


def render_stars(
    stars: NDArray[np.float64], psf: PsfModel, shape: tuple[int, int], *, bright: float = 0.0
) -> NDArray[np.float64]:
    """Render stars.

    Parameters
    ----------
    stars : (n, 3) float64
        x, y in pixels, rounded here to a fifth of a pixel, and flux.
    psf : PsfModel
        Their image.
    shape : (int, int)
        (ny, nx) of the frame.
    bright : float
        Stars above this flux get stamps of 129 pixels, others smaller ones of the same sum.

    Returns
    -------
    (ny, nx) float64
        Light in the unit of flux.
    """
    image = np.zeros(shape)
    small = min(max(int(6 * psf.fwhm_pixels), 12), HALF)
    for x, y, flux in stars:
        half = HALF if flux > bright else small
        row, dy = _whole_and_phase(y)
        column, dx = _whole_and_phase(x)
        add_stamp(image, flux * psf.stamp((dy, dx), half=half), row - half, column - half)
    return image


def _whole_and_phase(value: float) -> tuple[int, int]:
    """Return the nearest pixel, and the rest in fifths of a pixel from -2 to 2."""
    fifths = int(np.rint(value * OVERSAMPLING))
    pixel = (fifths + OVERSAMPLING // 2) // OVERSAMPLING
    return pixel, fifths - pixel * OVERSAMPLING


def draw_field(
    rng: np.random.Generator,
    shape: tuple[int, int],
    psf: PsfModel,
    *,
    noise: float,
    limits: FieldRange | None = None,
) -> Field:
    """Draw and render a field.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    shape : (int, int)
        (ny, nx) in pixels.
    psf : PsfModel
        Image of a star.
    noise : float
        Standard deviation of empty sky in electrons, which sets the faintest flux.
    limits : FieldRange, optional
        Counts.

    Returns
    -------
    Field
        Light without sky and noise, and its catalogue.
    """
    limits = limits or FieldRange()
    area = (shape[0] + 2 * _MARGIN) * (shape[1] + 2 * _MARGIN) / _PER
    faintest = log_uniform(rng, limits.faintest) * noise * psf.fwhm_pixels
    span, slope = (faintest, faintest * limits.brightest), float(rng.uniform(*limits.slope))
    n_stars = rng.poisson(log_uniform(rng, limits.stars) * area)
    n_galaxies = rng.poisson(log_uniform(rng, limits.galaxies) * area)
    stars = draw_stars(rng, shape, flux=power_law_flux(rng, n_stars, span, slope))
    # Galaxies are spread over more pixels: fainter than three times that nobody would see them.
    span = (3 * faintest, 3 * faintest * limits.brightest / 20)
    flux = power_law_flux(rng, n_galaxies, span, slope)
    galaxies = draw_stars(rng, shape, flux=flux)
    image = render_stars(stars, psf, shape, bright=100 * faintest)
    light, radius = _render_galaxies(rng, galaxies, psf, shape, limits.galaxy)
    # Positions of the library's pixels: half pixels.
    galaxies[:, :2] = np.rint(galaxies[:, :2] * FINE - 0.5) / FINE + 0.5 / FINE
    return Field(image + light, _catalog(stars, galaxies, radius, shape))


def _render_galaxies(
    rng: np.random.Generator,
    galaxies: NDArray[np.float64],
    psf: PsfModel,
    shape: tuple[int, int],
    limits: GalaxyRange,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lay all galaxies on half pixels and convolve them at once."""
    from scipy.signal import fftconvolve  # noqa: PLC0415 - slow to import

    ny, nx = (FINE * (side + 2 * _MARGIN) for side in shape)
    sharp, radii = np.zeros((ny, nx)), np.zeros(len(galaxies))
    for number, (x, y, flux) in enumerate(galaxies):
        stamp, radii[number] = library_galaxy(rng, limits)
        half = stamp.shape[0] // 2
        # Centre of half pixel i lies at (i - 0.5) / 2 of the frame's pixels.
        row, column = (int(np.rint(v * FINE - 0.5)) + 1 + FINE * _MARGIN for v in (y, x))
        add_stamp(sharp, flux * stamp, row - half, column - half)
    if not len(galaxies):
        return np.zeros(shape), radii
    kernel = psf.kernel(per_pixel=FINE, half=40 * FINE)
    blurred = np.clip(fftconvolve(sharp, kernel, mode="same"), 0, None)
    folded = blurred.reshape(ny // FINE, FINE, nx // FINE, FINE).sum(axis=(1, 3))
    return folded[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN], radii


def _catalog(
    stars: NDArray[np.float64],
    galaxies: NDArray[np.float64],
    radius: NDArray[np.float64],
    shape: tuple[int, int],
) -> Sources:
    from astropy.table import QTable  # noqa: PLC0415 - half a second to import

    rows = np.concatenate([stars, galaxies])
    radii = np.concatenate([np.zeros(len(stars)), radius])
    ny, nx = shape
    x, y = rows[:, 0], rows[:, 1]
    inside = (x > -0.5) & (x < nx - 0.5) & (y > -0.5) & (y < ny - 0.5)  # noqa: PLR2004
    table = QTable(
        {
            "id": np.arange(1, int(inside.sum()) + 1),
            "x": x[inside],
            "y": y[inside],
            "flux": rows[inside, 2],
            "kind": np.where(radii[inside] > 0, "galaxy", "star"),
            "radius": radii[inside],
        }
    )
    return Sources(table)
