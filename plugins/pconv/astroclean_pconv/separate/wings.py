"""The light of sources beyond their holes: holes are not filled from it, and it goes with them.

A bright source lights the rim of its hole, and what fills the hole from there fills part of the
source in again. What the PSF says of that light is taken away beforehand.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from astroclean_pconv.fill.filling import Filled, Surroundings
    from astroclean_pconv.separate.fitted import Sources

__all__ = ["beyond", "first_fluxes", "light_of", "without_wings"]

_RIM = 2.0
"""Pixels around a hole that tell of the level it stands on."""
_FEWEST = 12
"""Pixels from which a flux is taken."""
_SEEN = 0.1
"""Least part of the light that these must have."""
_FAINT = 0.03
"""Light at the rim in deviations of the annulus that does no harm."""
_UNSEEN = 0.01
"""Light in deviations of the annulus that is not drawn."""
_WINGS = 0.1
"""Light in deviations of the noise from which it is taken out."""
_UNSURE = 0.05
"""Standard deviation of that light, as a part."""
_UNLIKE = 0.5
"""Part of its light that a fit leaves of what is no point source: a galaxy, a pixel gone wrong. The
PSF tells nothing of its wings."""


def light_of(
    around: Surroundings, sources: Sources, snr: NDArray[np.float64], radii: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the light of the sources of a frame, as far as the PSF tells it.

    Parameters
    ----------
    around : Surroundings
        Of the frame. Not modified.
    sources : Sources
        n of them; those that count get their flux, others 0.
    snr, radii : (n,) float64
        S/N of the peaks, and radii of the holes in pixels.

    Returns
    -------
    (ny, nx) float32
        Without sources that have next to no light beyond their holes, and those that are no points.
    """
    fit = _Fit(around, sources, radii)
    seen = _at_rim(sources, radii) * np.abs(snr) > _FAINT
    sources.flux[:] = np.where(seen & (fit.misfits < _UNLIKE), fit.fluxes, 0)
    parts = _UNSEEN / np.maximum(np.abs(snr), _UNSEEN)
    return sources.light(around.data.shape, faintest=parts, dtype=np.float32)


def without_wings(
    fill: Callable[[Surroundings], Filled], around: Surroundings, light: NDArray[np.float32]
) -> Filled:
    """Fill holes as if there were no light of sources around them, and take it away there.

    Parameters
    ----------
    fill : callable
        Fills holes.
    around : Surroundings
        Of a frame. Not modified.
    light : (ny, nx) float32
        Of the sources.

    Returns
    -------
    Filled
        Of the holes, and of pixels beyond from which light was taken.
    """
    left = np.asarray(around.data - light, dtype=np.float32)
    filled = fill(replace(around, data=left))
    wings = beyond(filled, light) & around.usable & np.isfinite(left)
    filled.put_measured(wings, left, _UNSURE * np.abs(light))
    return filled


def beyond(filled: Filled, light: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return the pixels, (ny, nx), that are in no hole, with light that shows in their noise."""
    if not filled.known.any():
        return np.zeros(light.shape, dtype=bool)
    return np.asarray(~filled.known & (np.abs(light) > _WINGS * filled.usual_sigma))


def _at_rim(sources: Sources, radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the light at the rims of the holes over that of the peaks."""
    made: dict[tuple[int, float], float] = {}
    for psf, radius in zip(sources.psfs, radii, strict=True):
        if (id(psf), radius) not in made:
            angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
            rim = psf.at(radius * np.sin(angles), radius * np.cos(angles))
            made[id(psf), radius] = float(np.abs(rim).max() / psf.at(np.zeros(1), np.zeros(1))[0])
    return np.array([made[id(p), r] for p, r in zip(sources.psfs, radii, strict=True)])


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
    return _Fit(around, sources, radii).fluxes


class _Row(NamedTuple):
    """A source in m pixels of its hole and around it."""

    pixels: NDArray[np.intp]
    """(m,): indices in the flat frame."""
    image: NDArray[np.float64]
    """(m,): of flux 1."""
    plane: NDArray[np.float64]
    """(m, 3): orthonormal columns that make any plane."""

    @property
    def weight(self) -> NDArray[np.float64]:
        """(m,): its sum with pixels is the flux of a source that is alone on a plane."""
        part = self.flat(self.image)
        power = part @ part
        return part / power if power > 0 else part

    def flat(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values less the plane that fits them best."""
        return np.asarray(values - self.plane @ (self.plane.T @ values))


class _Fit:
    """All sources of a frame, fitted together, each on a plane of its own."""

    def __init__(self, around: Surroundings, sources: Sources, radii: NDArray[np.float64]) -> None:
        usable = around.usable & np.isfinite(around.data)
        # Sums in another order round differently: sources go by their place.
        self._order = np.lexsort(sources.positions.T)
        self._rows = [_row_of(index, sources, radii[index], usable) for index in self._order]
        ends = np.cumsum([len(row.pixels) for row in self._rows], dtype=np.intp)
        every = np.concatenate([np.empty(0, dtype=np.intp), *(row.pixels for row in self._rows)])
        # Of a large map the pixels around sources are a small part.
        pixels, self._columns = np.unique(every, return_inverse=True)
        self._ends = np.concatenate([np.zeros(1, dtype=np.intp), ends])
        self._seen = around.data.ravel()[pixels].astype(np.float64)

    @cached_property
    def _images(self) -> csr_array:
        return self._matrix([row.image for row in self._rows])

    def _matrix(self, values: list[NDArray[np.float64]]) -> csr_array:
        """Return values of the rows' pixels, (sources, pixels seen)."""
        from scipy.sparse import csr_array  # noqa: PLC0415 - costs a fifth of a second

        filled = np.concatenate([np.empty(0), *values])
        shape = len(self._rows), self._seen.size
        return csr_array((filled, self._columns, self._ends), shape=shape)

    @cached_property
    def fluxes(self) -> NDArray[np.float64]:
        """(n,): not negative."""
        from scipy.sparse.linalg import lsmr  # noqa: PLC0415 - costs a fifth of a second

        fluxes = np.zeros(len(self._rows))
        if self._rows:
            weights = self._matrix([row.weight for row in self._rows])
            # Of sources at one place each gets its part: the least norm.
            told = lsmr(weights @ self._images.T, weights @ self._seen, atol=1e-9, btol=1e-9)
            fluxes[self._order] = np.maximum(told[0], 0)
        return fluxes

    @property
    def misfits(self) -> NDArray[np.float64]:
        """(n,): what the fit leaves around each source, over the light of it."""
        fluxes = self.fluxes[self._order]
        left = self._seen - self._images.T @ fluxes
        found = np.zeros(len(fluxes))
        # Where there is no source there is one part, of nothing.
        parts = np.split(left[self._columns], self._ends[1:-1])
        for row, flux, index, part in zip(self._rows, fluxes, self._order, parts, strict=False):
            light = flux * float(np.linalg.norm(row.image))
            rest = float(np.linalg.norm(row.flat(part)))
            found[index] = rest / light if light > 0 else np.inf
        return found


def _row_of(index: int, sources: Sources, radius: float, usable: NDArray[np.bool_]) -> _Row:
    x, y = sources.positions[index]
    reach = radius + _RIM
    nothing = _Row(np.empty(0, dtype=np.intp), np.empty(0), np.empty((0, 3)))
    box = sources.box_of(index, usable.shape, int(np.ceil(reach)) + 1)
    if box is None:
        return nothing
    near = (np.hypot(box[0] - y, box[1] - x) <= reach) & usable[box]
    rows, columns = box[0][near], box[1][near]
    image = sources.image_of(index, rows, columns)
    if len(image) < _FEWEST or image.sum() < _SEEN:
        return nothing
    slopes = (rows - y) / reach, (columns - x) / reach
    plane = np.linalg.qr(np.column_stack([np.ones(len(image)), *slopes]))[0]
    return _Row(rows * usable.shape[1] + columns, image, plane)
