"""Cosmic rays (COSMIC_RAY): real hits from dark exposures, or simulated tracks, worms and points.

The simulator follows the physics of thick sensors. A muon crosses the silicon in a straight line
and leaves about 80 electrons a micron, with the fluctuations of Landau's law, here by Moyal's; its
projected length is the thickness times the tangent of its angle. A slow electron wanders: a worm.
Gamma rays leave points. Charge diffuses on its way to the pixels, more so from greater depth.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.stage.options import Options
from astroclean.errors import FitsReadError
from astroclean.simulate.contaminants.layers import add_layer
from astroclean.simulate.draws import Range, Share, add_stamp, log_uniform, uniform, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "HITS_FILE",
    "CosmicRayRange",
    "add_cosmic_rays",
    "load_hits",
    "rims_of_hits",
    "simulate_hit",
]

HITS_FILE = "cosmic_rays_itl_even.fits.gz"
"""Name of the table of real hits."""
_TEST_EVERY = 4
_PER = 256 * 256
_KNOT = 12
"""Steps of a path with the same loss of energy."""
_ALONG_AXES = 0.1
_STEP = 0.1
"""Pixels between two deposits along a path."""


class CosmicRayRange(Options):
    """What cosmic rays are drawn from."""

    count: Range = (4.0, 90.0)
    """Hits in 256 x 256 pixels."""
    gain: Range = (0.08, 1.0)
    """Factor on all charge: sensors differ in thickness and exposures in depth."""
    shares: tuple[float, float, float, float] = (0.355, 0.135, 0.14, 0.37)
    """Of specks, points, worms and tracks, as in dark exposures of 100 micron of silicon."""
    point_length: Range = (0.1, 2.0)
    """Pixels; points are what gamma rays leave."""
    thickness: float = 10.0
    """Thickness of the sensor in pixels."""
    deposit: float = 930.0
    """Electrons a pixel of path of a muon, most probable."""
    diffusion: Range = (0.10, 0.46)
    """Pixels, standard deviation, from the least to the greatest depth."""
    footprint: float = 50.0
    """Electrons above which a pixel belongs to a hit."""
    threshold: float = 3.0
    """Standard deviations of a pixel without it above which it is true COSMIC_RAY."""
    real: Share = 0.5
    """Share of real hits, where a file of them is given."""
    test: bool = False
    """Whether these are the hits set apart for tests, which no training may see."""


@functools.lru_cache(maxsize=4)
def load_hits(folder: Path, *, test: bool = False) -> tuple[NDArray[np.float64], ...]:
    """Load real hits.

    Parameters
    ----------
    folder : Path
        Holds ``cosmic_rays_itl_even.fits.gz``; or the file itself.
    test : bool
        Whether to take the hits set apart for tests (``fp_id`` a multiple of 4) or the others.

    Returns
    -------
    tuple of (h, w) float64
        Charge in electrons, zero outside the footprint.

    Raises
    ------
    FitsReadError
        The file is missing or no such table.
    """
    from astropy.table import Table  # noqa: PLC0415 - half a second to import

    path = Path(folder).expanduser()
    path = path / HITS_FILE if path.is_dir() else path
    try:
        table = Table.read(path, hdu=1)
        spans: dict[int, list[tuple[int, int, NDArray[np.float64]]]] = {}
        for row in table:
            values = np.asarray(row["pixel_values"], dtype=np.float64)
            spans.setdefault(int(row["fp_id"]), []).append((int(row["y0"]), int(row["x0"]), values))
    except (OSError, KeyError) as error:
        raise FitsReadError("no table of cosmic-ray hits", where=str(path)) from error
    chosen = (s for number, s in spans.items() if (number % _TEST_EVERY == 0) == test)
    return tuple(_stamp(pieces) for pieces in chosen)


def _stamp(pieces: list[tuple[int, int, NDArray[np.float64]]]) -> NDArray[np.float64]:
    top, left = min(y for y, _, _ in pieces), min(x for _, x, _ in pieces)
    height = max(y for y, _, _ in pieces) - top + 1
    width = max(x + v.size for _, x, v in pieces) - left
    stamp = np.zeros((height, width))
    for y, x, values in pieces:
        stamp[y - top, x - left : x - left + values.size] += values
    return stamp


def simulate_hit(
    rng: np.random.Generator, limits: CosmicRayRange | None = None
) -> NDArray[np.float64]:
    """Simulate one hit.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    limits : CosmicRayRange, optional
        Shares of the kinds, and the sensor.

    Returns
    -------
    (h, w) float64
        Charge in electrons, zero outside the footprint, cut to it.
    """
    limits = limits or CosmicRayRange()
    kind = rng.choice(4, p=limits.shares)
    if kind == 0:
        return _speck(rng, limits)
    path = (_point, _worm, _track)[kind - 1](rng, limits)
    stamp = _diffused(rng, *path, limits)
    stamp[stamp < limits.footprint] = 0
    rows, columns = np.nonzero(stamp.any(axis=1))[0], np.nonzero(stamp.any(axis=0))[0]
    if not rows.size:
        return _speck(rng, limits)
    return stamp[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _speck(rng: np.random.Generator, limits: CosmicRayRange) -> NDArray[np.float64]:
    """One pixel just above the footprint's limit: most hits of a dark exposure are such."""
    return np.full((1, 1), limits.footprint * (1.04 + 0.35 * rng.pareto(1.6)))


def _moyal(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Return fluctuations of energy loss in units of its width; the most probable is 0."""
    return np.asarray(-np.log(rng.chisquare(1, size)))


Path3 = tuple["NDArray[np.float64]", "NDArray[np.float64]", "NDArray[np.float64]", float]
"""Rows, columns, depth from 0 to 1, and charge of all."""


def _straight(
    rng: np.random.Generator, length: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    steps = np.arange(0, max(length, _STEP), _STEP)
    angle = uniform(rng, (0, 2 * np.pi))
    if rng.random() < _ALONG_AXES:
        # Rare among all angles, and all too like a hot line.
        angle = np.pi / 2 * round(angle / (np.pi / 2)) + rng.normal(0, 0.01)
    return steps * np.sin(angle), steps * np.cos(angle)


def _track(rng: np.random.Generator, limits: CosmicRayRange) -> Path3:
    # Particles from all sides: their number through a plane goes with the cosine of the angle.
    cosine = np.sqrt(rng.uniform(2e-4, 1))
    length = limits.thickness * np.sqrt(1 / cosine**2 - 1)
    y, x = _straight(rng, min(length, 250.0))
    depth = np.linspace(0, 1, y.size)
    way = np.hypot(length, limits.thickness)
    charge = way * limits.deposit * max(1 + 0.13 * float(_moyal(rng, 1)[0]), 0.4)
    return y, x, depth, charge


def _worm(rng: np.random.Generator, limits: CosmicRayRange) -> Path3:
    steps = max(int(rng.gamma(1.3, 9.0) / _STEP), 5)
    turns = np.cumsum(rng.normal(0, 0.16, steps)) + uniform(rng, (0, 2 * np.pi))
    y, x = np.cumsum(np.sin(turns)) * _STEP, np.cumsum(np.cos(turns)) * _STEP
    depth = np.abs((uniform(rng, (0, 1)) + np.cumsum(rng.normal(0, 0.012, steps))) % 2 - 1)
    # Electrons lose more as they slow down; they also move in depth, which the picture hides.
    charge = steps * _STEP * limits.deposit * uniform(rng, (1.0, 2.4)) + 2500.0
    return y, x, depth, charge


def _point(rng: np.random.Generator, limits: CosmicRayRange) -> Path3:
    y, x = _straight(rng, uniform(rng, limits.point_length))
    return y, x, np.full(y.size, uniform(rng, (0, 1))), log_uniform(rng, (300.0, 15000.0))


def _diffused(
    rng: np.random.Generator,
    y: NDArray[np.float64],
    x: NDArray[np.float64],
    depth: NDArray[np.float64],
    charge: float,
    limits: CosmicRayRange,
) -> NDArray[np.float64]:
    # Single collisions with much energy make knots: fluctuations along about a pixel of path.
    knots = np.clip(1 + 1.0 * _moyal(rng, y.size // _KNOT + 1), 0.08, 15.0)
    weight = np.repeat(knots, _KNOT)[: y.size]
    low, high = limits.diffusion
    width = np.sqrt(low**2 + (high**2 - low**2) * depth)
    # Each deposit is spread over packets that diffuse on their own.
    packets = max(8, 400 // y.size)
    offsets = rng.standard_normal((2, packets, y.size)) * width
    rows = np.rint(y + offsets[0] + rng.random()).astype(int).ravel()
    columns = np.rint(x + offsets[1] + rng.random()).astype(int).ravel()
    share = np.tile(charge * weight / (weight.sum() * packets), packets)
    rows, columns = rows - rows.min(), columns - columns.min()
    shape = rows.max() + 1, columns.max() + 1
    flat = np.bincount(rows * shape[1] + columns, share, minlength=shape[0] * shape[1])
    return np.asarray(flat.reshape(shape))


def add_cosmic_rays(
    image: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    noise: float,
    limits: CosmicRayRange | None = None,
    data: Path | None = None,
) -> NDArray[np.uint32]:
    """Add cosmic rays; they fall on the sensor, so the PSF does not blur them.

    Parameters
    ----------
    image : (ny, nx) float64
        Electrons; changed.
    rng : Generator
        Source of chance.
    noise : float
        Standard deviation of empty sky, electrons.
    limits : CosmicRayRange, optional
        Counts and shapes.
    data : Path, optional
        Folder or file with real hits; ``limits`` has how many of the hits come from there.

    Returns
    -------
    (ny, nx) uint32
        COSMIC_RAY where the charge exceeds ``limits.threshold`` times the noise.
    """
    limits = limits or CosmicRayRange()
    real = load_hits(data, test=limits.test) if data is not None else ()
    gain = log_uniform(rng, limits.gain)
    ny, nx = image.shape
    layer = np.zeros((ny, nx))
    for _ in range(rng.poisson(log_uniform(rng, limits.count) * image.size / _PER)):
        if real and rng.random() < limits.real:
            stamp = np.rot90(real[whole(rng, (0, len(real) - 1))], whole(rng, (0, 3)))
        else:
            stamp = simulate_hit(rng, limits)
        height, width = stamp.shape
        y, x = whole(rng, (1 - height, ny - 1)), whole(rng, (1 - width, nx - 1))
        add_stamp(layer, gain * stamp, y, x)
    return add_layer(image, layer, MaskPlane.COSMIC_RAY, noise=noise, threshold=limits.threshold)


def rims_of_hits(planes: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Return the pixels beside particle hits: some charge is there, but too little to be true.

    Parameters
    ----------
    planes : (..., ny, nx) uint32
        True planes.

    Returns
    -------
    (..., ny, nx) bool
        Neighbors of COSMIC_RAY that are not COSMIC_RAY themselves.
    """
    from scipy.ndimage import binary_dilation  # noqa: PLC0415 - slow to import

    hits = (planes & np.uint32(MaskPlane.COSMIC_RAY)) != 0
    beside = np.ones((1,) * (hits.ndim - 2) + (3, 3))
    rims: NDArray[np.bool_] = binary_dilation(hits, beside) & ~hits
    return rims
