"""Particle hits (COSMIC_RAY): real ones that no training sees, and ionisation in silicon.

A charged particle loses energy in single collisions whose energies follow Rutherford's law,
``dN/dE ~ 1/E^2``; electrons of the track drift to the pixels and diffuse the more the deeper they
began. Muons are straight, electrons wander and stop, gamma rays hit one to three pixels.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from astroclean.errors import FitsReadError
from astroclean.simulate.draws import add_stamp, log_uniform, uniform, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["HITS", "draw_hits", "held_out_hits"]

HITS = "cosmic_rays_itl_even.fits.gz"
"""Table of hits cut from dark exposures of LSST's ITL sensors."""
_HELD_OUT = 4
_AREA = 256 * 256
_STEP = 0.25
"""Pixels between two points of a track."""
_COLLISIONS = 2.5
"""In a step, on average."""
_ENERGIES = (25.0, 9000.0)
"""Electrons that a collision frees, least and most."""
_REACH = 2
_SHARE_REAL = 0.5
_ALIGNED = 0.12
"""Share of tracks along rows or columns, which look like defects."""


@functools.lru_cache(maxsize=2)
def held_out_hits(folder: Path) -> tuple[NDArray[np.float64], ...]:
    """Return the real hits with ``fp_id`` a multiple of 4.

    Parameters
    ----------
    folder : Path
        Holds `HITS`.

    Returns
    -------
    tuple of (h, w) float64
        Electrons; none where the folder has no such file.

    Raises
    ------
    FitsReadError
        The file is no such table.
    """
    from astropy.table import Table  # noqa: PLC0415 - half a second to import

    path = Path(folder).expanduser() / HITS
    if not path.is_file():
        return ()
    try:
        table = Table.read(path, hdu=1)
        numbers = np.asarray(table["fp_id"], dtype=np.int64)
        columns = (table["y0"], table["x0"], table["pixel_values"])
    except (OSError, KeyError) as error:
        raise FitsReadError("no table of particle hits", where=str(path)) from error
    hits = []
    for number in np.unique(numbers[numbers % _HELD_OUT == 0]):
        rows = np.flatnonzero(numbers == number)
        spans = [(int(columns[0][r]), int(columns[1][r]), columns[2][r]) for r in rows]
        top, left = min(s[0] for s in spans), min(s[1] for s in spans)
        size = max(s[0] for s in spans) - top + 1, max(s[1] + len(s[2]) for s in spans) - left
        hit = np.zeros(size)
        for y, x, values in spans:
            hit[y - top, x - left : x - left + len(values)] = values
        hits.append(hit)
    return tuple(hits)


def draw_hits(
    rng: np.random.Generator, shape: tuple[int, int], *, data: Path | None
) -> NDArray[np.float64]:
    """Draw the hits of an exposure.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    shape : (int, int)
        (ny, nx) in pixels.
    data : Path, optional
        Folder with real hits; half of the hits are then real.

    Returns
    -------
    (ny, nx) float64
        Electrons.
    """
    real = held_out_hits(data) if data is not None else ()
    charge = np.zeros(shape)
    depth = log_uniform(rng, (0.08, 1.0))  # of the sensor: 10 to 250 micron
    count = rng.poisson(log_uniform(rng, (4, 80)) * charge.size / _AREA)
    for _ in range(count):
        if real and rng.random() < _SHARE_REAL:
            turned = np.rot90(real[whole(rng, (0, len(real) - 1))], whole(rng, (0, 3)))
            stamp = turned * depth
        else:
            stamp = _own_hit(rng, depth)
        y = whole(rng, (1 - stamp.shape[0], shape[0] - 1))
        x = whole(rng, (1 - stamp.shape[1], shape[1] - 1))
        add_stamp(charge, stamp, y, x)
    return charge


def _own_hit(rng: np.random.Generator, depth: float) -> NDArray[np.float64]:
    kind = rng.random()
    if kind < 0.4:  # noqa: PLR2004 - points are the most frequent
        return _point(rng)
    if kind < 0.55:  # noqa: PLR2004 - electrons
        return _spread(rng, *_wander(rng), strength=2.0)
    return _spread(rng, *_straight(rng, depth), strength=1.0)


def _point(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return one to three pixels that touch, with the charge of a gamma ray."""
    stamp = np.zeros((3, 3))
    y, x = 1, 1
    charge = log_uniform(rng, (150, 12000))
    for share in rng.dirichlet(np.ones(int(rng.choice([1, 2, 2, 3, 3])))):
        stamp[y, x] += max(share, 0.15) * charge
        y, x = np.clip([y + whole(rng, (-1, 1)), x + whole(rng, (-1, 1))], 0, 2)
    return stamp


def _straight(
    rng: np.random.Generator, depth: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return y, x and depth (0 to 1) of a muon, from the zenith angle with cos^2 of the air."""
    zenith = np.arccos(rng.random() ** (1 / 3))
    tilt = uniform(rng, (0, np.pi / 2))  # of the sensor against the zenith
    # The angle to the normal of a sensor that is turned with the telescope.
    azimuth = uniform(rng, (0, 2 * np.pi))
    cosine = abs(np.cos(zenith) * np.cos(tilt) + np.sin(zenith) * np.sin(tilt) * np.cos(azimuth))
    length = min(10 * depth**0.5 * np.sqrt(1 / max(cosine, 0.02) ** 2 - 1), 200.0)
    way = np.arange(0, max(length, _STEP), _STEP)
    angle = uniform(rng, (0, 2 * np.pi))
    if rng.random() < _ALIGNED:
        angle = np.pi / 2 * whole(rng, (0, 3)) + rng.normal(0, 0.01)
    return way * np.sin(angle), way * np.cos(angle), np.linspace(0, 1, way.size)


def _wander(
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return y, x and depth of an electron, which is turned the more the slower it is."""
    steps = max(int(rng.exponential(12) / _STEP), 6)
    speed = np.linspace(1, 0.15, steps)
    heading = uniform(rng, (0, 2 * np.pi)) + np.cumsum(rng.normal(0, 0.12, steps) / speed)
    depth = np.clip(rng.random() + np.cumsum(rng.normal(0, 0.02, steps)), 0, 1)
    return _STEP * np.cumsum(np.sin(heading)), _STEP * np.cumsum(np.cos(heading)), depth


def _spread(
    rng: np.random.Generator,
    y: NDArray[np.float64],
    x: NDArray[np.float64],
    depth: NDArray[np.float64],
    *,
    strength: float,
) -> NDArray[np.float64]:
    """Return the charge of a track in pixels, diffused by its depth."""
    from scipy.special import ndtr  # noqa: PLC0415 - slow to import

    low, high = _ENERGIES
    collisions = rng.poisson(_COLLISIONS, y.size)
    of = np.repeat(np.arange(y.size), collisions)
    energy = low / (1 - rng.random(of.size) * (1 - low / high))
    charge = strength * np.bincount(of, energy, minlength=y.size)
    y, x = y - y.min() + rng.random() + _REACH, x - x.min() + rng.random() + _REACH
    rows, columns = np.floor(y).astype(int), np.floor(x).astype(int)
    sigma = np.sqrt(0.15**2 + 0.4**2 * depth)
    shape = rows.max() + _REACH + 1, columns.max() + _REACH + 1
    stamp = np.zeros(shape[0] * shape[1])
    offsets = np.arange(-_REACH, _REACH + 1)

    def shares(place: NDArray[np.float64], pixel: NDArray[np.int64]) -> NDArray[np.float64]:
        edges = pixel[:, None] + offsets[None, :] - place[:, None]
        width = sigma[:, None]
        return np.asarray(ndtr((edges + 1) / width) - ndtr(edges / width))

    in_rows, in_columns = shares(y, rows), shares(x, columns)
    for i, dy in enumerate(offsets):
        for j, dx in enumerate(offsets):
            flat = (rows + dy) * shape[1] + columns + dx
            weight = charge * in_rows[:, i] * in_columns[:, j]
            stamp += np.bincount(flat, weight, minlength=stamp.size)
    stamp[stamp < 5] = 0  # noqa: PLR2004 - electrons that nobody could tell
    return stamp.reshape(shape)
