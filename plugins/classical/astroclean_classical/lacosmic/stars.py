"""For `lacosmic`: what looks like a star is no hit.

The contrast between Laplacian and fine structure fails where the PSF is narrow (van Dokkum 2001,
PASP 113, 1420), and astroscrappy's cleaning eats flanks of bright stars. So each candidate is held
against the PSF: where the pixels around the nearest peak are those of a point source, at any place
between pixels, whatever this source explains is not flagged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean_classical.lacosmic.sources import (
    BOX,
    CORE,
    MODEL_ERROR,
    PEAK_ERROR,
    windows_of,
    without_sky,
)

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from astroclean_classical.lacosmic.sources import PointSources

__all__ = ["REACH", "WIDEST", "explained_by_stars", "peaks_of"]

WIDEST = 4.0
"""FWHM in pixels above which stars are so smooth that their cores are not taken for hits."""
# As `PEAK_ERROR`, in the wings.
_WING_ERROR = 0.005
# Of the sum over 25 pixels, per degree of freedom.
_LARGEST_CHI2 = 3.0
_EXPLAINED_SIGMA = 4.0
# A peak beside a star takes its own pixels when it is so bright, relative to it and to the noise.
_NEIGHBOR, _NEIGHBOR_SIGMA = 0.05, 5.0
_ROUNDS = 3
# Peaks below are no stars that could be told; of the noise of a pixel.
_LEAST_SIGMA = 4.0
_AT_A_TIME = 4096

REACH = _ROUNDS * (2 * BOX + 1)
"""How far a pixel may be that decides on another: each round sees the stars of the one before."""


def peaks_of(image: NDArray[np.float32], near: NDArray[np.bool_] | None = None) -> Any:
    """Return (y, x) of pixels that no neighbor exceeds, where ``near``."""
    from scipy.ndimage import maximum_filter  # noqa: PLC0415 - heavy

    highest = maximum_filter(image, size=3, mode="nearest") == image
    return np.nonzero(highest if near is None else highest & near)


def explained_by_stars(
    image: NDArray[np.float32],
    variance: NDArray[np.float32],
    *,
    candidates: NDArray[np.bool_],
    bad: NDArray[np.bool_],
    sources: PointSources,
) -> NDArray[np.bool_]:
    """Return the candidates that a point source beside them, or in them, explains.

    Parameters
    ----------
    image : (ny, nx) float32
        In the unit of ``variance``; not modified.
    variance : (ny, nx) float32
        Noise of its pixels.
    candidates : (ny, nx) bool
        Pixels that may be hits.
    bad : (ny, nx) bool
        Pixels that are not to be read.
    sources : PointSources
        Of the frame.

    Returns
    -------
    (ny, nx) bool
        New; a part of ``candidates``.
    """
    from scipy.ndimage import maximum_filter  # noqa: PLC0415 - heavy

    near = maximum_filter(candidates, size=2 * BOX + 1) & ~bad
    if not near.any():
        return np.zeros(image.shape, dtype=bool)
    shown = np.where(bad, np.float32(np.nan), image)
    y, x = peaks_of(np.where(bad, -np.inf, image).astype(np.float32), near)
    light = _Light(shown, variance)
    clear = light.stand_out(y, x)
    y, x = y[clear], x[clear]
    left = np.ones(len(y), dtype=bool)
    for _ in range(_ROUNDS):  # stars in the light of others come after those
        found = light.add_stars(sources, y[left], x[left])
        if not found.any():
            break
        left[np.nonzero(left)[0][found]] = False
    return light.explains(y[~left], x[~left]) & candidates


class _Light:
    """The stars of an image, as far as they are known."""

    def __init__(self, image: NDArray[np.float32], variance: NDArray[np.float32]) -> None:
        self._shape = image.shape
        self._image = windows_of(image, np.nan)
        self._variance = windows_of(variance, np.inf)
        self._model = np.zeros([side + 2 * BOX for side in image.shape], dtype=np.float32)

    def _patches(self, y: NDArray[np.intp], x: NDArray[np.intp]) -> tuple[NDArray[np.float64], ...]:
        """Return what is beside the known stars, its noise, and the light of the known stars."""
        side = (2 * BOX + 1, 2 * BOX + 1)
        views = np.lib.stride_tricks.sliding_window_view(self._model, side)
        model: NDArray[np.float64] = views[y, x].astype(np.float64)
        patches = without_sky(self._image[y, x] - model)
        noise = self._variance[y, x].astype(np.float64) + np.square(MODEL_ERROR * model)
        noise[~np.isfinite(patches)] = np.inf
        return patches, noise, model

    def stand_out(self, y: NDArray[np.intp], x: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return which peaks are above the noise."""
        clear = [np.zeros(0, dtype=bool)]
        for some in _chunks(len(y)):
            patches, noise, _ = self._patches(y[some], x[some])
            clear.append(patches[:, BOX, BOX] > _LEAST_SIGMA * np.sqrt(noise[:, BOX, BOX]))
        return np.concatenate(clear)

    def add_stars(
        self, sources: PointSources, y: NDArray[np.intp], x: NDArray[np.intp]
    ) -> NDArray[np.bool_]:
        """Take peaks that are point sources for stars; return which are."""
        peaks = np.zeros(self._shape, dtype=bool)
        peaks[y, x] = True
        others = windows_of(peaks, False)
        found = np.zeros(len(y), dtype=bool)
        added = np.zeros_like(self._model)
        for some in _chunks(len(y)):
            patches, noise, _ = self._patches(y[some], x[some])
            noise[_belongs_to_others(patches, noise, others[y[some], x[some]])] = np.inf
            chi2, which, flux = sources.fit(np.nan_to_num(patches), noise)
            stars = np.nonzero(chi2 < _LARGEST_CHI2)[0]
            found[some.start + stars] = True
            models = sources.images[which[stars]] * flux[stars, None, None]
            for model, box in zip(models, _boxes(y[some][stars], x[some][stars]), strict=True):
                added[box] += model
        self._model += added
        return found

    def explains(self, y: NDArray[np.intp], x: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return the pixels around stars that are no brighter than the light of all of them."""
        explained = np.zeros(self._model.shape, dtype=bool)
        for some in _chunks(len(y)):
            patches, noise, model = self._patches(y[some], x[some])
            noise += np.square(model[:, BOX, BOX])[:, None, None] * np.square(_PEAK_ERRORS)
            told = patches <= _EXPLAINED_SIGMA * np.sqrt(noise)
            for patch, box in zip(told, _boxes(y[some], x[some]), strict=True):
                explained[box] |= patch
        return explained[BOX:-BOX, BOX:-BOX]


_PEAK_ERRORS = np.full((2 * BOX + 1, 2 * BOX + 1), _WING_ERROR)
_PEAK_ERRORS[BOX - CORE : BOX + CORE + 1, BOX - CORE : BOX + CORE + 1] = PEAK_ERROR


def _chunks(count: int) -> list[slice]:
    return [slice(start, start + _AT_A_TIME) for start in range(0, count, _AT_A_TIME)]


def _boxes(y: NDArray[np.intp], x: NDArray[np.intp]) -> list[tuple[slice, slice]]:
    """Return where patches lie in an image that is padded by half their width."""
    side = 2 * BOX + 1
    return [
        (slice(row, row + side), slice(column, column + side))
        for row, column in zip(y.tolist(), x.tolist(), strict=True)
    ]


def _belongs_to_others(
    patches: NDArray[np.float64], noise: NDArray[np.float64], peaks: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return the pixels of each patch that are nearer to another peak of weight than to its own."""
    count, side, _ = patches.shape
    own = patches[:, BOX, BOX]
    limit = np.maximum(_NEIGHBOR * own, _NEIGHBOR_SIGMA * np.sqrt(noise[:, BOX, BOX]))
    with np.errstate(invalid="ignore"):  # pixels that are not to be read
        others = peaks & (patches > limit[:, None, None])
    others[:, BOX, BOX] = False
    steps = np.indices((side, side)).reshape(2, -1).T - BOX
    away = np.square(steps[:, None] - steps).sum(axis=-1)
    nearer = away < np.square(steps).sum(axis=-1)
    taken = others.reshape(count, -1).astype(np.float32) @ nearer.astype(np.float32)
    belongs: NDArray[np.bool_] = (taken > 0).reshape(patches.shape)
    return belongs
