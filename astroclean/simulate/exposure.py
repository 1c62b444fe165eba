"""A small CCD exposure with exact truth: stars, galaxies and the commonest contaminants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits
from astropy.modeling.models import Moffat2D, Sersic2D
from astropy.table import Table

from astroclean.core.flags.planes import MaskPlane
from astroclean.io.fits.encode import encode_hdu
from astroclean.io.scratch.atomic import atomic_file

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["SimulatedExposure", "simulate_exposure", "write_exposure"]

GAIN = 1.5
"""Electrons per adu."""
READ_NOISE = 5.0
"""Electrons."""
SATURATION = 52000.0
"""adu."""
SKY = 220.0
"""adu a pixel."""
FWHM = 3.2
"""Pixels."""
PIXEL_SCALE = 0.4
"""Arcsec."""
_MOFFAT_BETA = 3.0
_BIAS = 300.0


@dataclass(frozen=True, eq=False)
class SimulatedExposure:
    """An exposure and all that is true of it."""

    data: NDArray[np.uint16]
    """(ny, nx) adu, as a camera writes it."""
    clean: NDArray[np.float64]
    """(ny, nx) adu, the sky without noise and contaminants."""
    truth: NDArray[np.uint32]
    """(ny, nx) bits of `MaskPlane`: COSMIC_RAY, SATURATED, HOT_LINE, DEAD_LINE, HOT_PIXEL."""
    stars: Table
    """``x``, ``y`` (pixels), ``flux`` (adu)."""


def simulate_exposure(
    *, seed: int, shape: tuple[int, int] = (512, 512), cosmic_rays: int = 60, stars: int = 120
) -> SimulatedExposure:
    """Simulate an exposure.

    Parameters
    ----------
    seed : int
        The same seed gives the same bytes.
    shape : (int, int)
        (ny, nx) in pixels.
    cosmic_rays, stars : int
        How many.

    Returns
    -------
    SimulatedExposure
        Pixels and truth.
    """
    rng = np.random.default_rng(seed)
    truth = np.zeros(shape, dtype=np.uint32)
    catalog = _draw_stars(rng, shape, stars)
    clean = SKY + _render_stars(catalog, shape) + _render_galaxies(rng, shape, count=12)
    electrons = rng.poisson(clean * GAIN).astype(np.float64)
    electrons += rng.normal(0, READ_NOISE, shape)
    electrons += _cosmic_rays(rng, shape, cosmic_rays, truth)
    adu = electrons / GAIN
    _bleed(adu, truth)
    _defects(rng, adu, truth)
    stored = np.clip(np.rint(adu + _BIAS), 0, 65535).astype(np.uint16)
    return SimulatedExposure(stored, clean + _BIAS, truth, catalog)


def _draw_stars(rng: np.random.Generator, shape: tuple[int, int], count: int) -> Table:
    ny, nx = shape
    # Number counts rise as 10^(0.3 m): flux is a power law of index -0.75, cumulatively.
    flux = 2.5e3 * (1 - rng.random(count)) ** (-1 / 0.75)
    flux = np.minimum(flux, 2.0e5)
    if count:
        flux[0] = 3.0e6  # one saturated star
    x, y = rng.uniform(0, nx - 1, count), rng.uniform(0, ny - 1, count)
    return Table({"x": x, "y": y, "flux": flux})


def _render_stars(catalog: Table, shape: tuple[int, int]) -> NDArray[np.float64]:
    image = np.zeros(shape)
    gamma = FWHM / (2 * np.sqrt(2 ** (1 / _MOFFAT_BETA) - 1))
    peak = (_MOFFAT_BETA - 1) / (np.pi * gamma**2)
    for x, y, flux in catalog.iterrows():
        half = 60 if flux > 1e5 else 20  # noqa: PLR2004 - wings of bright stars reach further
        rows, columns = _box(x, y, half, shape)
        yy, xx = np.mgrid[rows, columns]
        image[rows, columns] += Moffat2D.evaluate(xx, yy, flux * peak, x, y, gamma, _MOFFAT_BETA)
    return image


def _render_galaxies(
    rng: np.random.Generator, shape: tuple[int, int], *, count: int
) -> NDArray[np.float64]:
    ny, nx = shape
    image = np.zeros(shape)
    for _ in range(count):
        x, y = rng.uniform(0, nx), rng.uniform(0, ny)
        model = Sersic2D(
            amplitude=10 ** rng.uniform(1.2, 2.3),
            r_eff=rng.uniform(3, 9),
            n=rng.uniform(0.8, 2.5),
            x_0=x,
            y_0=y,
            ellip=rng.uniform(0, 0.6),
            theta=rng.uniform(0, np.pi),
        )
        rows, columns = _box(x, y, 50, shape)
        yy, xx = np.mgrid[rows, columns]
        image[rows, columns] += model(xx, yy)
    return image


def _box(x: float, y: float, half: int, shape: tuple[int, int]) -> tuple[slice, slice]:
    ny, nx = shape
    return (
        slice(max(int(y) - half, 0), min(int(y) + half + 1, ny)),
        slice(max(int(x) - half, 0), min(int(x) + half + 1, nx)),
    )


def _cosmic_rays(
    rng: np.random.Generator, shape: tuple[int, int], count: int, truth: NDArray[np.uint32]
) -> NDArray[np.float64]:
    """Return the charge (electrons) of straight tracks, not blurred by the PSF."""
    ny, nx = shape
    charge = np.zeros(shape)
    for _ in range(count):
        length = min(rng.exponential(6.0) + 1, 60)
        angle, deposit = rng.uniform(0, 2 * np.pi), 10 ** rng.uniform(2.7, 3.8)
        steps = np.arange(0, length, 0.25)
        y = np.floor(rng.uniform(0, ny) + steps * np.sin(angle)).astype(int)
        x = np.floor(rng.uniform(0, nx) + steps * np.cos(angle)).astype(int)
        inside = (y >= 0) & (y < ny) & (x >= 0) & (x < nx)
        np.add.at(charge, (y[inside], x[inside]), deposit * 0.25)
    # Truth is what stands out of the noise of the sky.
    visible = charge > 3 * np.sqrt(SKY * GAIN + READ_NOISE**2)
    truth[visible] |= np.uint32(MaskPlane.COSMIC_RAY)
    return charge


def _bleed(adu: NDArray[np.float64], truth: NDArray[np.uint32]) -> None:
    """Limit pixels to full well; the surplus runs along columns."""
    ny = adu.shape[0]
    limit = SATURATION - _BIAS
    for x in np.flatnonzero((adu > limit).any(axis=0)):
        column = adu[:, x]
        full = np.flatnonzero(column > limit)
        surplus = float(np.sum(column[full] - limit))
        extra = int(np.ceil(surplus / (2 * limit)))
        first, last = max(full[0] - extra, 0), min(full[-1] + extra, ny - 1)
        column[first : last + 1] = limit
        truth[first : last + 1, x] |= np.uint32(MaskPlane.SATURATED)


def _defects(rng: np.random.Generator, adu: NDArray[np.float64], truth: NDArray[np.uint32]) -> None:
    ny, nx = adu.shape
    hot, dead = rng.choice(nx, size=2, replace=False)
    start = int(rng.integers(0, ny // 2))
    adu[start:, hot] += 900
    truth[start:, hot] |= np.uint32(MaskPlane.HOT_LINE)
    adu[:start, dead] = rng.normal(0, READ_NOISE / GAIN, start)
    truth[:start, dead] |= np.uint32(MaskPlane.DEAD_LINE)
    y, x = rng.integers(0, ny, 15), rng.integers(0, nx, 15)
    adu[y, x] += rng.uniform(1500, 8000, 15)
    truth[y, x] |= np.uint32(MaskPlane.HOT_PIXEL)


def write_exposure(path: Path, *, seed: int, shape: tuple[int, int] = (512, 512)) -> None:
    """Write a simulated exposure as a camera would: one HDU, unsigned integers, header, WCS.

    Parameters
    ----------
    path : Path
        File to write; replaced when it is there.
    seed, shape
        As for :func:`simulate_exposure`.

    Raises
    ------
    FitsWriteError
        The file cannot be written.
    """
    exposure = simulate_exposure(seed=seed, shape=shape)
    ny, nx = shape
    header = fits.Header()
    header["BUNIT"] = "adu"
    header["TELESCOP"], header["INSTRUME"] = "simulated", "astroclean.simulate"
    header["OBJECT"], header["FILTER"] = f"simulated field {seed}", "r"
    header["EXPTIME"] = (300.0, "[s] exposure time")
    header["GAIN"] = (GAIN, "[electron/adu] gain")
    header["RDNOISE"] = (READ_NOISE, "[electron] read noise")
    header["SATURATE"] = (SATURATION, "[adu] full well")
    header["SIMSEED"] = (seed, "seed of the simulation")
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = 150.1, 2.2
    header["CRPIX1"], header["CRPIX2"] = nx / 2, ny / 2
    header["CD1_1"], header["CD2_2"] = -PIXEL_SCALE / 3600, PIXEL_SCALE / 3600
    header["CUNIT1"], header["CUNIT2"] = "deg", "deg"
    header["RADESYS"] = "ICRS"
    with atomic_file(path) as target:
        target.write(encode_hdu(fits.PrimaryHDU(exposure.data, header), primary=True))
