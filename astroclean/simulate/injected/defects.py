"""Defects of pixels and columns: where real maps have them, or drawn."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from astroclean.simulate.draws import log_uniform, uniform, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Defects", "dead_level", "draw_defects", "hot_charge"]

_MAPS = (
    ("bok90prime_static_badpix.fits.fz", (1, 2, 3, 4)),
    ("hst_wfc3ir_badpix.fits.gz", (0,)),
    ("jwst_nircam_along_badpix.fits.gz", (0,)),
)
_LONG = 25
"""Pixels from which a narrow group is a line."""
_NARROW = 4
_SINGLE = 3
"""Pixels up to which a group is single pixels."""
_CLUSTER = 9
"""Pixels from which a group is a cluster; smaller ones are between the classes, and left out."""
_MOST = 5e-4
"""Share of the frame that single pixels have at most."""
_HOT = (15.0, 100.0)
"""Standard deviations of the empty sky: below, nobody sees them; above, they are easy."""


@dataclass(frozen=True, eq=False)
class Defects:
    """Places of defects; (ny, nx) bool each."""

    pixels: NDArray[np.bool_]
    lines: NDArray[np.bool_]
    clusters: NDArray[np.bool_]


@functools.lru_cache(maxsize=8)
def _map(path: Path, hdu: int) -> NDArray[np.bool_]:
    from astropy.io import fits  # noqa: PLC0415 - only where a map is read

    return np.asarray(fits.getdata(path, hdu) != 0)


def draw_defects(rng: np.random.Generator, shape: tuple[int, int], *, data: Path | None) -> Defects:
    """Draw the places of defects.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    shape : (int, int)
        (ny, nx) in pixels.
    data : Path, optional
        Folder of real maps (Bok 90Prime, WFC3/IR, NIRCam); a cut of one is taken where it has
        defects, turned at random.

    Returns
    -------
    Defects
        Groups of up to three pixels are single pixels, of which at most 5e-4 of the frame are
        kept; narrow groups of 25 pixels and more are lines; others of nine pixels and more are
        clusters.
    """
    found = _of_map(rng, shape, data) if data is not None else None
    pixels = np.zeros(shape, dtype=bool)
    lines, clusters = pixels.copy(), pixels.copy()
    if found is not None:
        pixels, lines, clusters = _sorted(rng, found)
    if not pixels.any():
        count = max(rng.poisson(uniform(rng, (1e-4, _MOST)) * pixels.size), 1)
        pixels.flat[rng.choice(pixels.size, count, replace=False)] = True
    if not lines.any():
        for _ in range(whole(rng, (1, 4))):
            lines[_column(rng, shape)] = True
    return Defects(pixels & ~lines, lines, clusters & ~lines)


def _of_map(
    rng: np.random.Generator, shape: tuple[int, int], data: Path
) -> NDArray[np.bool_] | None:
    name, hdus = _MAPS[int(rng.integers(len(_MAPS)))]
    path = Path(data).expanduser() / name
    if not path.is_file():
        return None
    whole_map = _map(path, int(rng.choice(hdus)))
    if any(have < want for have, want in zip(whole_map.shape, shape, strict=True)):
        return None
    y = whole(rng, (0, whole_map.shape[0] - shape[0]))
    x = whole(rng, (0, whole_map.shape[1] - shape[1]))
    cut = whole_map[y : y + shape[0], x : x + shape[1]]
    if rng.random() < 0.5:  # noqa: PLR2004 - a coin
        cut = cut[::-1]
    return cut[:, ::-1] if rng.random() < 0.5 else cut  # noqa: PLR2004


def _sorted(
    rng: np.random.Generator, found: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return a map by kinds of groups; most single pixels are left out, where there are many."""
    from scipy.ndimage import find_objects, label  # noqa: PLC0415 - slow to import

    labels, count = label(found, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    kinds = np.zeros(count + 1, dtype=np.uint8)
    single = np.flatnonzero((sizes <= _SINGLE) & (np.arange(count + 1) > 0))
    share = uniform(rng, (0.4, 1.0)) * _MOST * found.size / max(int(sizes[single].sum()), 1)
    kinds[single[rng.random(single.size) < share]] = 1
    kept = 0
    for number, box in enumerate(find_objects(labels), start=1):
        if sizes[number] <= _SINGLE:
            continue
        height, width = (piece.stop - piece.start for piece in box)
        is_line = max(height, width) >= _LONG and min(height, width) <= _NARROW
        if is_line and kept < 6:  # noqa: PLR2004 - a chip with more is thrown away
            kinds[number], kept = 2, kept + 1
        elif not is_line and sizes[number] >= _CLUSTER and max(height, width) < _LONG:
            kinds[number] = 3 if rng.random() < 0.15 else 0  # noqa: PLR2004
    kind = kinds[labels]
    return kind == 1, kind == 2, kind == 3  # noqa: PLR2004 - the codes above


def _column(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Return a box: a column, or less often a row, from a defect to the end of the chip."""
    upright = rng.random() < 0.75  # noqa: PLR2004
    long, wide = shape if upright else shape[::-1]
    length = int(log_uniform(rng, (min(_LONG, long), long)))
    first = 0 if rng.random() < 0.4 else long - length  # noqa: PLR2004
    if rng.random() < 0.25:  # noqa: PLR2004 - that end at a second defect
        first = whole(rng, (0, long - length))
    width = int(rng.choice([1, 1, 1, 2, 3]))
    side = whole(rng, (0, wide - width))
    along, across = slice(first, first + length), slice(side, side + width)
    return (along, across) if upright else (across, along)


def hot_charge(
    rng: np.random.Generator, where: NDArray[np.bool_], *, noise: float, alike: bool
) -> NDArray[np.float64]:
    """Return the dark charge of hot pixels: 15 to 100 times the noise of the sky.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    where : (ny, nx) bool
        Hot pixels.
    noise : float
        Standard deviation of the empty sky, electrons.
    alike : bool
        Whether pixels that touch have one level, as in a column.

    Returns
    -------
    (ny, nx) float64
        Electrons, with photon-like noise.
    """
    from scipy.ndimage import label  # noqa: PLC0415 - slow to import

    labels, count = label(where, np.ones((3, 3)))
    if alike:
        levels = _levels(rng, count + 1) * noise
        mean = np.where(where, levels[labels], 0.0)
    else:
        mean = np.where(where, _levels(rng, where.size).reshape(where.shape) * noise, 0.0)
    return np.where(where, rng.poisson(mean), 0.0)


def _levels(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Return levels of hot pixels in standard deviations, their logarithms drawn evenly."""
    low, high = _HOT
    return np.asarray(low * (high / low) ** rng.random(count))


def dead_level(
    rng: np.random.Generator, where: NDArray[np.bool_], *, sky: float
) -> NDArray[np.float64]:
    """Return the electrons of dead pixels: none, or a share of what the sky gives others.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    where : (ny, nx) bool
        Dead pixels.
    sky : float
        Electrons of empty sky.

    Returns
    -------
    (ny, nx) float64
        Electrons; one share for all groups of a frame, or one for each.
    """
    from scipy.ndimage import label  # noqa: PLC0415 - slow to import

    labels, count = label(where, np.ones((3, 3)))
    shares = rng.choice([0.0, 0.0, 1.0], count + 1) * rng.uniform(0.05, 0.6, count + 1)
    if rng.random() < 0.4:  # noqa: PLR2004 - all of a kind
        shares[:] = shares[0]
    return np.where(where, rng.poisson(np.maximum(shares[labels] * sky, 0)), 0.0)
