"""Far-infrared maps: cirrus with compact sources, seen through a PSF like PACS' or SPIRE's."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import astropy.units as u
import numpy as np
from astropy.nddata import StdDevUncertainty

from astroclean.core.image.detector import DETECTOR_KEYWORDS
from astroclean.core.image.frame import Frame
from astroclean.core.sources.holes import HoleRule
from astroclean.core.sources.sources import Sources, SourceStamp
from astroclean.core.stage.options import Options
from astroclean.simulate.clouds import CloudRange, draw_cloud
from astroclean.simulate.compact import draw_fluxes
from astroclean.simulate.draws import Range, log_uniform, uniform
from astroclean.simulate.fields import draw_stars, power_law_flux, render_stars
from astroclean.simulate.psfs import OVERSAMPLING, PsfModel, PsfRange, draw_psf
from astroclean.simulate.scene import Scene

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CirrusConfig", "Emission", "draw_emission", "mapping_noise", "simulate_cirrus"]

UNIT = u.Unit("mJy / pix")
_PER = 256 * 256
_BOX = 31
"""Half side of the stamps of the truth, pixels."""


class CirrusConfig(Options):
    """What far-infrared maps are drawn from."""

    cloud: CloudRange = CloudRange(filaments=(0, 4))
    level: Range = (0.5, 20.0)
    """Mean of the cirrus, mJy a pixel."""
    noise: Range = (0.004, 0.06)
    """Standard deviation of the noise over the mean of the cirrus."""
    correlation: Range = (0.0, 0.8)
    """Pixels over which mapping correlates the noise (sigma of a Gaussian)."""
    sources: Range = (8.0, 80.0)
    """In 256 x 256 pixels."""
    faintest: Range = (2.0, 6.0)
    """S/N of the faintest source for a matched filter, against noise alone."""
    brightest: float = 300.0
    """Flux of the brightest source over that of the faintest."""
    slope: Range = (0.7, 1.3)
    """Cumulative counts fall as flux to this power, negative."""
    psf: PsfRange = PsfRange(fwhm=(2.0, 5.0), kinds=("pacs",))
    classes: bool = False
    """Sources drawn evenly from six classes of S/N of their peak (eq. 1 of the paper on compact
    source removal) instead of number counts: ``faintest``, ``brightest``, ``slope`` are not used.
    """
    psf_turn: float = 0.0
    """Angle by which the PSF that the frame carries is turned against the true one, degrees."""
    catalog_error: float = 0.0
    """Error of the positions that stages are given, standard deviation along an axis, pixels."""


def simulate_cirrus(
    *, seed: int, shape: tuple[int, int] = (256, 256), config: CirrusConfig | None = None
) -> Scene:
    """Simulate a far-infrared map.

    Parameters
    ----------
    seed : int
        The same seed gives the same bytes.
    shape : (int, int)
        (ny, nx) in pixels.
    config : CirrusConfig, optional
        Ranges.

    Returns
    -------
    Scene
        ``frame`` in mJy a pixel with uncertainty and PSF; ``background`` the cirrus through the
        PSF, ``clean`` the same with the sources, ``sources`` with total flux (mJy), ``snr`` (of
        a matched filter) and stamps. ``psf`` is the true PSF where that of the frame is turned,
        ``catalogue`` what stages are given where positions err.
    """
    config = config or CirrusConfig()
    rng = np.random.default_rng(seed)
    # The same draw, turned: everything else of the map stays as it is.
    turned = _turned_psf(copy.deepcopy(rng), config)
    psf = draw_psf(rng, config.psf)
    background, sigma, level = draw_emission(rng, shape, psf, config)
    if config.classes:
        rows = _draw_places(rng, shape, config)
        noise = sigma * mapping_noise(rng, shape, uniform(rng, config.correlation))
        rows[:, 2] = _fluxes_of_classes(rng, background + noise, psf, rows[:, :2])
    else:
        rows = _draw_sources(rng, shape, sigma * _noise_pixels(psf), config)
        noise = sigma * mapping_noise(rng, shape, uniform(rng, config.correlation))
    clean = background + render_stars(rows, psf, shape)
    header = _header(psf)
    frame = Frame(
        clean + noise,
        unit=UNIT,
        uncertainty=StdDevUncertainty(np.full(shape, sigma, dtype=np.float32)),
        psf=psf.psf if turned is None else turned.psf,
        meta=header,
        frame_id=f"cirrus {seed}",
    )
    sources = _catalog(rows, psf, shape, sigma * _noise_pixels(psf))
    notes = {
        "fwhm_pixels": psf.fwhm_pixels,
        "noise": sigma,
        "level": level,
        "psf_turn": config.psf_turn,
        "catalog_error": config.catalog_error,
    }
    return Scene(
        frame,
        clean=clean.astype(np.float32),
        background=background.astype(np.float32),
        sources=sources,
        catalogue=_moved(rng, sources, shape, config.catalog_error),
        psf=None if turned is None else psf.psf,
        notes=notes,
    )


def _turned_psf(rng: np.random.Generator, config: CirrusConfig) -> PsfModel | None:
    if not config.psf_turn:
        return None
    return draw_psf(rng, config.psf, turn=float(np.deg2rad(config.psf_turn)))


def _moved(
    rng: np.random.Generator, sources: Sources, shape: tuple[int, int], error: float
) -> Sources | None:
    """Return a catalogue whose positions err, within the frame; without stamps, which do not."""
    if not error > 0:
        return None
    table = sources.table.copy()
    for name, side in (("x", shape[1]), ("y", shape[0])):
        table[name] = np.clip(table[name] + rng.normal(0, error, len(table)), 0, side - 1)
    return replace(sources, table=table, segmentation=None, stamps=())


class Emission(NamedTuple):
    """Extended emission of a map."""

    background: NDArray[np.float64]
    """(ny, nx) mJy a pixel, through the PSF, without noise."""
    noise: float
    """Standard deviation of the noise to add, mJy a pixel."""
    level: float
    """Mean of the emission, mJy a pixel."""


def draw_emission(
    rng: np.random.Generator,
    shape: tuple[int, int],
    psf: PsfModel,
    config: CirrusConfig | None = None,
) -> Emission:
    """Draw a cloud as a map shows it.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    shape : (int, int)
        (ny, nx) in pixels.
    psf : PsfModel
        Of the map.
    config : CirrusConfig, optional
        Ranges.

    Returns
    -------
    Emission
        Without noise, and how much of it belongs there.
    """
    config = config or CirrusConfig()
    level = log_uniform(rng, config.level)
    sigma = level * log_uniform(rng, config.noise)
    cloud = draw_cloud(rng, _padded(shape), config.cloud)
    return Emission(_through(psf, cloud, shape) * level, sigma, level)


def _padded(shape: tuple[int, int]) -> tuple[int, int]:
    return shape[0] + 2 * _BOX, shape[1] + 2 * _BOX


def _through(
    psf: PsfModel, cloud: NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.float64]:
    from scipy.signal import fftconvolve  # noqa: PLC0415 - slow to import

    seen = fftconvolve(cloud, psf.stamp(half=_BOX), mode="same")
    return np.asarray(seen[_BOX : _BOX + shape[0], _BOX : _BOX + shape[1]])


def mapping_noise(
    rng: np.random.Generator, shape: tuple[int, int], width: float
) -> NDArray[np.float64]:
    """Return noise of variance 1, correlated over some pixels by a map maker that spreads samples.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    shape : (int, int)
        (ny, nx) in pixels.
    width : float
        Standard deviation of the Gaussian that correlates it, pixels.

    Returns
    -------
    (ny, nx) float64
        A new array.
    """
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - slow to import

    white = rng.standard_normal(shape)
    smooth = gaussian_filter(white, width, mode="wrap")
    return np.asarray(smooth / smooth.std())


def _noise_pixels(psf: PsfModel) -> float:
    """Return the noise of a matched filter on white noise of 1."""
    return float(1 / np.sqrt(np.sum(psf.stamp() ** 2)))


def _draw_sources(
    rng: np.random.Generator, shape: tuple[int, int], noise: float, config: CirrusConfig
) -> NDArray[np.float64]:
    faintest = uniform(rng, config.faintest) * noise
    count = _draw_count(rng, shape, config)
    slope = uniform(rng, config.slope)
    flux = power_law_flux(rng, count, (faintest, faintest * config.brightest), slope)
    return _in_frame(rng, shape, draw_stars(rng, shape, flux=flux))


def _in_frame(
    rng: np.random.Generator, shape: tuple[int, int], rows: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Draw the places of rows (x, y, flux) anew, in place, in fifths of a pixel.

    All lie in the frame: what lies beyond would be light without a row in the catalogue.
    """
    ny, nx = shape
    for column, side in ((0, nx), (1, ny)):
        rows[:, column] = rng.integers(0, (side - 1) * OVERSAMPLING + 1, len(rows)) / OVERSAMPLING
    return rows


def _draw_places(
    rng: np.random.Generator, shape: tuple[int, int], config: CirrusConfig
) -> NDArray[np.float64]:
    """Return rows (x, y, 0)."""
    return _in_frame(rng, shape, np.zeros((_draw_count(rng, shape, config), 3)))


def _draw_count(rng: np.random.Generator, shape: tuple[int, int], config: CirrusConfig) -> int:
    ny, nx = shape
    return max(int(rng.poisson(log_uniform(rng, config.sources) * ny * nx / _PER)), 1)


def _fluxes_of_classes(
    rng: np.random.Generator,
    beneath: NDArray[np.float64],
    psf: PsfModel,
    places: NDArray[np.float64],
) -> NDArray[np.float64]:
    sizes = HoleRule().in_pixels(fwhm_pixels=psf.fwhm_pixels)
    usable = np.ones(beneath.shape, dtype=bool)
    peak = float(psf.stamp().max())
    return draw_fluxes(rng, beneath, usable, places, sizes=sizes, peak=peak)


def _catalog(
    rows: NDArray[np.float64], psf: PsfModel, shape: tuple[int, int], noise: float
) -> Sources:
    from astropy.table import QTable  # noqa: PLC0415 - half a second to import

    count = len(rows)
    columns = {
        "id": np.arange(1, count + 1),
        "x": rows[:, 0],
        "y": rows[:, 1],
        "flux": rows[:, 2] * u.mJy,
        "snr": rows[:, 2] / noise,
    }
    stamps = []
    for number, row in enumerate(rows, start=1):
        y, x = (int(np.floor(v + 0.5)) for v in (row[1], row[0]))
        top, left = max(y - _BOX, 0), max(x - _BOX, 0)
        box = min(y + _BOX + 1, shape[0]) - top, min(x + _BOX + 1, shape[1]) - left
        shifted = row[None, :] - [left, top, 0]
        image = render_stars(shifted, psf, box)
        stamps.append(SourceStamp(number, (top, left), image.astype(np.float32)))
    return Sources(QTable(columns), stamps=tuple(stamps))


def _header(psf: PsfModel) -> dict[str, float | str]:
    scale = 3.2
    return {
        DETECTOR_KEYWORDS["instrument"]: "simulated",
        DETECTOR_KEYWORDS["pixel_scale"]: scale,
        DETECTOR_KEYWORDS["psf_fwhm"]: round(psf.fwhm_pixels * scale, 3),
    }
