"""Simulator ``far-infrared``: one field in several bands, and its truth at 450 um."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BeforeValidator

from astroclean.core.image.grid import Grid
from astroclean.core.image.layer import Layer
from astroclean.core.psf.beam import MJY_PER_BEAM, TARGET_FWHM_ARCSEC, TARGET_PIXEL_ARCSEC
from astroclean.core.psf.psf import Psf
from astroclean.core.sources.sources import Sources
from astroclean.core.stage.options import Options
from astroclean.errors import ConfigurationError
from astroclean.simulate.draws import Range, log_uniform, uniform
from astroclean.simulate.far_infrared.band import (
    INSTRUMENTS,
    BandSky,
    MapRange,
    cirrus,
    observed,
)
from astroclean.simulate.far_infrared.light import Beam, Light
from astroclean.simulate.far_infrared.places import clustered_places
from astroclean.simulate.far_infrared.population import (
    BANDS,
    TARGET,
    Galaxies,
    PopulationRange,
    draw_population,
)
from astroclean.simulate.scene import Scene

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

    Values = NDArray[np.float64]

__all__ = ["FarInfraredConfig", "simulate_far_infrared"]

_FINE = TARGET_PIXEL_ARCSEC
"""Arcsec, pixels of the truth."""
_MARGIN = 80
"""Arcsec around the field that are rendered: sources there shine into it."""
_SQUARE_DEGREE = 3600.0**2
_LISTED = 0.1
"""Flux at 450 um of the faintest galaxy in the catalogue, mJy."""
_FACTOR = round(INSTRUMENTS["250"].pixel / _FINE)


def _split(told: Any) -> Any:
    # A band alone, on a command line, is a number.
    told = str(told) if isinstance(told, int) else told
    return [name.strip() for name in told.split(",")] if isinstance(told, str) else told


class FarInfraredConfig(Options):
    """What far-infrared fields are drawn from."""

    bands: Annotated[tuple[str, ...], BeforeValidator(_split)] = ("250", "350", "500")
    """Of 250, 350, 500 and 24 um; 250 must be the first."""
    population: PopulationRange = PopulationRange()
    maps: MapRange = MapRange()
    clustering: Range = (0.3, 0.8)
    """Standard deviation of the logarithm of the density in cells of 6 arcsec, in each of seven
    slices of redshift."""
    resolved: Range = (0.0, 0.0)
    """Galaxies near by that the beams resolve, per square degree."""
    resolved_flux: Range = (30.0, 3000.0)
    """Of such a galaxy at 250 um, mJy."""
    resolved_size: Range = (5.0, 40.0)
    """Scale length of its exponential disc, arcsec."""


@dataclass(frozen=True, eq=False)
class _Sky:
    """What shines, on the fine pixels of field and margin."""

    x: Values
    y: Values
    galaxies: Galaxies
    discs: Values
    """(ny, nx) mJy a pixel at 250 um, of resolved galaxies."""
    clouds: Values
    """(ny, nx) mJy a beam at 250 um."""
    shape: tuple[int, int]

    def light(self, band: str) -> Light:
        """Return the light of all galaxies in a band."""
        flux = self.galaxies.fluxes[band]
        light = Light(self.x, self.y, flux, shape=self.shape, pixel=_FINE)
        light.add(self.discs * _DISC_COLORS[band])
        return light


_DISC_COLORS = {"250": 1.0, "350": 0.42, "500": 0.15, TARGET: 0.2, "24": 0.02}
"""Flux of a galaxy near by over that at 250 um: dust at 20 K."""


def simulate_far_infrared(
    *, seed: int, shape: tuple[int, int] = (300, 300), config: FarInfraredConfig | None = None
) -> Scene:
    """Simulate a field of dusty galaxies in several bands.

    Parameters
    ----------
    seed : int
        The same seed gives the same bytes.
    shape : (int, int)
        (ny, nx) in pixels of 6 arcsec, those at 250 um.
    config : FarInfraredConfig, optional
        Ranges.

    Returns
    -------
    Scene
        Of bands, each on its own pixels, in mJy a beam. ``fine`` of the whole is the sky at 450
        um without noise and cirrus, seen by a Gaussian of 7.9 arcsec on pixels of 1 arcsec.
        ``sources`` has ``x``, ``y`` (pixels of 250 um), ``flux`` (450 um, mJy), ``flux_BAND``,
        ``z`` and ``temperature`` (kelvin) of galaxies above 0.1 mJy; fainter ones and resolved
        ones are in the pixels alone.

    Raises
    ------
    ConfigurationError
        The first band is not 250, or a band is unknown.
    """
    config = config or FarInfraredConfig()
    _check(config.bands)
    rng = np.random.default_rng(seed)
    field = shape[0] * INSTRUMENTS["250"].pixel, shape[1] * INSTRUMENTS["250"].pixel
    sky = _draw_sky(rng, (int(field[0] / _FINE), int(field[1] / _FINE)), config)
    covered = _covered(rng, sky.shape, config.maps.uncovered)
    noise = log_uniform(rng, config.maps.noise)
    scenes = {}
    for name in config.bands:
        band = BandSky.draw(rng, name, noise, config.maps)
        seen = sky.light(name).seen(band.beam) + INSTRUMENTS[name].cirrus * sky.clouds
        told = f"far-infrared {seed} {name}"
        frame = observed(rng, band, seen, field=field, covered=covered, name=told)
        scenes[name] = Scene(frame, notes={"noise": band.noise, "gain": band.gain})
    first = scenes["250"].frame
    return Scene.of_bands(
        scenes,
        sources=_catalogue(sky, first),
        notes={"noise": noise},
        fine=_truth(sky, first),
    )


def _check(bands: tuple[str, ...]) -> None:
    unknown = [name for name in bands if name not in BANDS]
    if unknown or bands[:1] != ("250",) or len(set(bands)) != len(bands):
        raise ConfigurationError(
            f"bands: must begin with 250, and name others of {', '.join(BANDS)} once "
            f"(got {', '.join(bands)})"
        )


def _draw_sky(rng: np.random.Generator, inner: tuple[int, int], config: FarInfraredConfig) -> _Sky:
    from scipy.fft import next_fast_len  # noqa: PLC0415 - slow to import

    # An even margin on both sides keeps the middle of the field where it is.
    ny, nx = (
        side + 2 * ((next_fast_len(side + 2 * _MARGIN, real=True) - side + 1) // 2)
        for side in inner
    )
    area = ny * nx * _FINE**2 / _SQUARE_DEGREE
    galaxies = draw_population(rng, config.population).draw(rng, area)
    strength = uniform(rng, config.clustering)
    x, y = clustered_places(rng, galaxies.z, shape=(ny, nx), pixel=_FINE, strength=strength)
    level = uniform(rng, config.maps.cirrus)
    clouds = cirrus(rng, (ny, nx), level) if level > 0 else np.zeros((1, 1))
    discs = _draw_discs(rng, (ny, nx), area, config)
    return _Sky(x, y, galaxies, discs, clouds, (ny, nx))


def _draw_discs(
    rng: np.random.Generator, shape: tuple[int, int], area: float, config: FarInfraredConfig
) -> Values:
    """Return inclined exponential discs, mJy a pixel at 250 um."""
    image = np.zeros(shape)
    rows, columns = np.arange(shape[0])[:, np.newaxis], np.arange(shape[1])[np.newaxis, :]
    for _ in range(int(rng.poisson(uniform(rng, config.resolved) * area))):
        flux, size = log_uniform(rng, config.resolved_flux), log_uniform(rng, config.resolved_size)
        angle, axis = uniform(rng, (0, np.pi)), uniform(rng, (0.2, 1.0))
        dx, dy = columns - uniform(rng, (0, shape[1])), rows - uniform(rng, (0, shape[0]))
        along = np.cos(angle) * dx + np.sin(angle) * dy
        across = (np.cos(angle) * dy - np.sin(angle) * dx) / axis
        image += flux * np.exp(-np.hypot(along, across) / size) / (2 * np.pi * size**2 * axis)
    return image


def _covered(
    rng: np.random.Generator, shape: tuple[int, int], probability: float
) -> NDArray[np.bool_]:
    """Return where the field was observed: all, or all but a corner beyond a slanted edge."""
    if rng.random() >= probability:
        return np.ones(shape, dtype=bool)
    angle, depth = uniform(rng, (0, 2 * np.pi)), uniform(rng, (0.1, 0.6))
    rows, columns = (np.linspace(-1, 1, side) for side in shape)
    place = np.sin(angle) * rows[:, np.newaxis] + np.cos(angle) * columns[np.newaxis, :]
    return np.asarray(place < 1 - depth)


def _truth(sky: _Sky, first: Frame) -> Layer:
    """Return the sky at 450 um on the fine pixels of the field."""
    grid = Grid.from_frame(first).finer(_FACTOR)
    top, left = ((whole - side) // 2 for whole, side in zip(sky.shape, grid.shape, strict=True))
    seen = sky.light(TARGET).seen(Beam(TARGET_FWHM_ARCSEC))
    image = seen[top : top + grid.shape[0], left : left + grid.shape[1]]
    psf = Psf.gaussian(fwhm_pixels=TARGET_FWHM_ARCSEC / _FINE)
    return Layer(np.maximum(image, 0).astype(np.float32), grid, MJY_PER_BEAM, None, psf)


def _catalogue(sky: _Sky, first: Frame) -> Sources:
    """Return the galaxies in the field."""
    from astropy.table import QTable  # noqa: PLC0415 - half a second to import

    (ny, nx), galaxies = first.shape, sky.galaxies
    x, y = (
        (place - (whole - 1) / 2) * _FINE / INSTRUMENTS["250"].pixel + (side - 1) / 2
        for place, whole, side in ((sky.x, sky.shape[1], nx), (sky.y, sky.shape[0], ny))
    )
    inside = (np.abs(x - (nx - 1) / 2) < nx / 2) & (np.abs(y - (ny - 1) / 2) < ny / 2)
    listed = np.flatnonzero(inside & (galaxies.fluxes[TARGET] >= _LISTED))
    listed = listed[np.argsort(-galaxies.fluxes[TARGET][listed], kind="stable")]
    table = QTable({"id": np.arange(1, listed.size + 1), "x": x[listed], "y": y[listed]})
    table["flux"] = galaxies.fluxes[TARGET][listed]
    for band in BANDS:
        table[f"flux_{band}"] = galaxies.fluxes[band][listed]
    for name in table.colnames[3:]:
        table[name].unit = "mJy"
    table["z"], table["temperature"] = galaxies.z[listed], galaxies.temperature[listed]
    table["temperature"].unit = "K"
    return Sources(table, grid=Grid.from_frame(first))
