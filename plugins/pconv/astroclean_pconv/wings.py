"""The light of sources beyond their holes, so that holes are not filled from it.

A bright source lights the rim of its hole, and what fills the hole from there fills part of the
source in again. What the PSF says of that light is taken from the surroundings beforehand.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from astroclean_pconv.psf_image import psf_images
from astroclean_pconv.separation import Sources

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.psf import Psf
    from astroclean_pconv.filling import Surroundings

__all__ = ["first_fluxes", "without_wings"]

_RIM = 2.0
"""Pixels around a hole that tell of the level it stands on."""
_FEWEST = 12
"""Pixels from which a flux is taken."""
_SEEN = 0.1
"""Least part of the light that these must have."""
_FAINT = 0.03
"""Light at the rim in deviations of the annulus that does no harm."""


def without_wings(
    around: Surroundings,
    positions: NDArray[np.float64],
    found: tuple[NDArray[np.float64], NDArray[np.float64]],
    psf: Psf,
) -> Surroundings:
    """Return the surroundings without the light of the sources, as far as the PSF tells it.

    Parameters
    ----------
    around : Surroundings
        Of a frame. Not modified.
    positions : (n, 2) float64
        x, y of the sources, pixels.
    found : ((n,), (n,)) float64
        S/N of the peaks, and radii of the holes in pixels.
    psf : Psf
        Of the frame.

    Returns
    -------
    Surroundings
        Of the same holes.
    """
    snr, radii = found
    sources = Sources.told(positions, psf_images(psf, positions))
    fluxes = first_fluxes(around, sources, radii)
    sources.flux[:] = np.where(_at_rim(sources, radii) * np.abs(snr) > _FAINT, fluxes, 0)
    light = sources.light(around.data.shape)
    return replace(around, data=(around.data - light).astype(np.float32))


def _at_rim(sources: Sources, radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the light at the rims of the holes over that of the peaks."""
    made: dict[tuple[int, float], float] = {}
    for psf, radius in zip(sources.psfs, radii, strict=True):
        if (id(psf), radius) not in made:
            angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
            rim = psf.at(radius * np.sin(angles), radius * np.cos(angles))
            made[id(psf), radius] = float(np.abs(rim).max() / psf.at(np.zeros(1), np.zeros(1))[0])
    return np.array([made[id(p), r] for p, r in zip(sources.psfs, radii, strict=True)])


class _Row(NamedTuple):
    """A source in m pixels of its hole and around it."""

    pixels: NDArray[np.intp]
    """(m,): indices in the flat frame."""
    image: NDArray[np.float64]
    """(m,): of flux 1."""
    weight: NDArray[np.float64]
    """(m,): whose sum with pixels is the flux, on a plane, of a source that is alone."""


def first_fluxes(
    around: Surroundings, sources: Sources, radii: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return fluxes of one fit of all sources, each on a plane of its own.

    That is good enough for the few percent of the light that are beyond a hole, and to begin with.

    Parameters
    ----------
    around : Surroundings
        Of a frame; its holes are looked into. Not modified.
    sources : Sources
        n of them; their fluxes are not read.
    radii : (n,) float64
        Of the holes, pixels.

    Returns
    -------
    (n,) float64
        0 where too little is seen, and where it would be negative: a compact source emits.
    """
    from scipy.sparse import csr_array  # noqa: PLC0415 - costs a fifth of a second
    from scipy.sparse.linalg import lsmr  # noqa: PLC0415 - the same

    usable = around.usable & np.isfinite(around.data)
    # Sums in another order round differently: sources go by their place.
    order = np.lexsort(sources.positions.T)
    rows = [_row_of(index, sources, radii[index], usable) for index in order]
    ends = np.r_[0, np.cumsum([len(row.pixels) for row in rows])]
    columns = np.concatenate([np.empty(0, dtype=np.intp), *(row.pixels for row in rows)])

    def matrix(values: list[NDArray[np.float64]]) -> csr_array:
        filled = np.concatenate([np.empty(0), *values])
        return csr_array((filled, columns, ends), shape=(len(rows), usable.size))

    weights = matrix([row.weight for row in rows])
    images = matrix([row.image for row in rows])
    seen = weights @ np.where(usable, around.data, 0).ravel().astype(np.float64)
    fluxes = np.zeros(len(rows))
    if rows:
        # Of sources at one place each gets its part: the least norm.
        fluxes[order] = lsmr(weights @ images.T, seen, atol=1e-9, btol=1e-9)[0]
    return np.maximum(fluxes, 0)


def _row_of(index: int, sources: Sources, radius: float, usable: NDArray[np.bool_]) -> _Row:
    x, y = sources.positions[index]
    reach = radius + _RIM
    rows, columns = (
        np.arange(max(int(np.ceil(middle - reach)), 0), min(int(middle + reach) + 1, size))
        for middle, size in zip((y, x), usable.shape, strict=True)
    )
    grid = np.meshgrid(rows, columns, indexing="ij")
    near = (np.hypot(grid[0] - y, grid[1] - x) <= reach) & usable[tuple(grid)]
    dy, dx = ((part[near] - middle) for part, middle in zip(grid, (y, x), strict=True))
    image = sources.psfs[index].at(dy, dx)
    if len(image) < _FEWEST or image.sum() < _SEEN:
        return _Row(np.empty(0, dtype=np.intp), np.empty(0), np.empty(0))
    peak = float(np.abs(image).max())
    design = np.column_stack([image / peak, np.ones(len(image)), dy / reach, dx / reach])
    pixels = grid[0][near] * usable.shape[1] + grid[1][near]
    return _Row(pixels, image, np.linalg.pinv(design)[0] / peak)
