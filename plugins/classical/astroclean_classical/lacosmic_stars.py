"""For `lacosmic`: what looks like a star is no hit.

The contrast between Laplacian and fine structure fails where the PSF is narrow (van Dokkum 2001:
"the method requires well sampled data"), and astroscrappy's cleaning eats flanks of bright stars.
So each candidate is held against the PSF: where the pixels around the nearest peak are those of a
point source, at any position between pixels, whatever this source explains is not flagged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.stamp import FINER, FWHM_PER_SIGMA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from astroclean.core.psf import Psf

__all__ = ["BOX", "REACH", "PointSources", "explained_by_stars", "patches_at", "peaks_of"]

BOX = 4
"""Half width of the patches: with sources of FWHM up to 4 pixels, their rims are sky."""
WIDEST = 4.0
"""FWHM in pixels above which stars are so smooth that their cores are not taken for hits."""

# Half width of the pixels that are compared: what lies further out is other sources', in crowds.
_CORE = 2
_PHASES = np.arange(-2, 3) / FINER
_SUBPIXELS = (np.arange(5) - 2) / 5
# Wings of real PSFs lie between a Gaussian and this profile (Moffat 1969, A&A 3, 455).
_MOFFAT_BETA = 2.5
# What a PSF may be wrong by: relative to the model at the pixel, to its peak, and to its peak far
# from it.
_MODEL_ERROR, _PEAK_ERROR, _WING_ERROR = 0.12, 0.02, 0.005
# Of the sum over 25 pixels, per degree of freedom.
_LARGEST_CHI2 = 3.0
_FREE = 3
_EXPLAINED_SIGMA = 4.0
# A peak beside a star takes its own pixels when it is so bright, relative to it and to the noise.
_NEIGHBOR, _NEIGHBOR_SIGMA = 0.05, 5.0
_ROUNDS = 4
# Peaks below are no stars that could be told; of the noise of a pixel.
_LEAST_SIGMA = 4.0
_TRIES = 4
_AT_A_TIME = 4096


@dataclass(frozen=True, eq=False)
class PointSources:
    """Images of a point source: one for each width, profile and place between pixels."""

    images: NDArray[np.float64]
    """(n, 2 BOX + 1, 2 BOX + 1), each of peak about its share of the light in the middle pixel."""
    widths: NDArray[np.float64]
    """(n,) FWHM in pixels."""

    @classmethod
    def of_widths(cls, widths: Sequence[float], *, moffat: bool = True) -> PointSources:
        """Return Gaussians and Moffat profiles, integrated over pixels.

        Parameters
        ----------
        widths : sequence of float
            FWHM in pixels.
        moffat : bool
            Whether profiles with wings are among them.
        """
        images, of_image = [], []
        for width in widths:
            for winged in (False, True)[: 2 if moffat else 1]:
                for dy in _PHASES:
                    for dx in _PHASES:
                        images.append(_drawn(float(width), dy, dx, winged=winged))
                        of_image.append(float(width))
        return cls(np.stack(images), np.array(of_image))

    @classmethod
    def of_psf(cls, psf: Psf) -> PointSources:
        """Return images of a PSF; the mean where it varies."""
        return cls.of_fine(psf.fine.mean(axis=0), psf.fwhm_pixels)

    @classmethod
    def of_fine(cls, fine: NDArray[np.float64], fwhm_pixels: float) -> PointSources:
        """Return images from one at quarters of a pixel, centered, of odd sides."""
        middle = [side // 2 for side in fine.shape]
        reach = (BOX + 1) * FINER
        fine = np.pad(fine, reach)
        steps = np.arange(-BOX, BOX + 1) * FINER
        images = [
            fine[np.ix_(middle[0] + reach + steps - dy, middle[1] + reach + steps - dx)]
            for dy in range(-2, 3)
            for dx in range(-2, 3)
        ]
        return cls(np.stack(images), np.full(len(images), fwhm_pixels))

    def joined(self, other: PointSources) -> PointSources:
        """Return the images of both."""
        images, widths = (self.images, other.images), (self.widths, other.widths)
        return PointSources(np.concatenate(images), np.concatenate(widths))

    def fit(
        self, patches: NDArray[np.float64], variance: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.float64]]:
        """Return how well each patch is a point source.

        Parameters
        ----------
        patches : (n, 2 BOX + 1, 2 BOX + 1) float64
            Pixels around peaks, without sky.
        variance : (n, 2 BOX + 1, 2 BOX + 1) float64
            Noise; infinite for pixels that are not to be read.

        Returns
        -------
        chi2 : (n,) float64
            Per degree of freedom, of the best image.
        image : (n,) int
            Which that is.
        flux : (n,) float64
            What it is multiplied by.
        """
        models = _cores(without_sky(self.images))
        peaks = models.max(axis=1)
        data, noise = _cores(patches), _cores(variance)
        readable = np.isfinite(noise)
        data = np.where(readable, data, 0.0)
        # Without weights first, with all images at once; then the best few with their errors.
        projection = data @ models.T
        norms = readable.astype(float) @ np.square(models).T
        gain = np.where(projection > 0, np.square(projection) / np.maximum(norms, 1e-12), 0.0)
        tries = min(_TRIES, len(models))
        best = np.argsort(-gain, axis=1, kind="stable")[:, :tries]
        result = (
            np.full(len(data), np.inf),
            np.zeros(len(data), dtype=np.intp),
            np.zeros(len(data)),
        )
        for number in range(tries):
            index = best[:, number]
            model = models[index]
            flux = np.maximum(np.take_along_axis(projection, index[:, None], 1)[:, 0], 0)
            flux /= np.maximum(np.take_along_axis(norms, index[:, None], 1)[:, 0], 1e-12)
            for _ in range(2):
                error = np.square(flux[:, None]) * (
                    np.square(_MODEL_ERROR * model) + np.square(_PEAK_ERROR * peaks[index][:, None])
                )
                weight = 1 / (noise + error)
                flux = (weight * data * model).sum(1) / np.maximum(
                    (weight * np.square(model)).sum(1), 1e-300
                )
            chi2 = (weight * np.square(data - flux[:, None] * model)).sum(1)
            chi2 /= np.maximum(readable.sum(1) - _FREE, 1)
            better = (chi2 < result[0]) & (flux > 0)
            for kept, new in zip(result, (chi2, index, flux), strict=True):
                kept[better] = new[better]
        return result


def _cores(patches: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the pixels of patches that are compared, one row a patch."""
    core = slice(BOX - _CORE, BOX + _CORE + 1)
    return patches[:, core, core].reshape(len(patches), -1)


REACH = _ROUNDS * (2 * BOX + 1)
"""How far a pixel may be that decides on another: each round sees the stars of the one before."""


def _drawn(width: float, dy: float, dx: float, *, winged: bool) -> NDArray[np.float64]:
    pixels = np.arange(-BOX, BOX + 1)
    y = (pixels[:, None] - dy + _SUBPIXELS).reshape(-1)
    x = (pixels[:, None] - dx + _SUBPIXELS).reshape(-1)
    square = np.square(y)[:, None] + np.square(x)
    if winged:
        scale = np.square(width / 2) / (2 ** (1 / _MOFFAT_BETA) - 1)
        fine = (_MOFFAT_BETA - 1) / (np.pi * scale) * (1 + square / scale) ** -_MOFFAT_BETA
    else:
        sigma = width / FWHM_PER_SIGMA
        fine = np.exp(-square / (2 * sigma**2)) / (2 * np.pi * sigma**2)
    side, parts = len(pixels), len(_SUBPIXELS)
    drawn: NDArray[np.float64] = fine.reshape(side, parts, side, parts).mean(axis=(1, 3))
    return drawn


def peaks_of(image: NDArray[np.float32], near: NDArray[np.bool_] | None = None) -> Any:
    """Return (y, x) of pixels that no neighbor exceeds, where ``near``."""
    from scipy.ndimage import maximum_filter  # noqa: PLC0415 - heavy

    highest = maximum_filter(image, size=3, mode="nearest") == image
    return np.nonzero(highest if near is None else highest & near)


def patches_at(
    image: NDArray[np.float32], y: NDArray[np.intp], x: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return the patches around pixels; beyond the frame, NaN."""
    return _windows(image, np.nan)[y, x].astype(np.float64)


def _windows(image: NDArray[Any], beyond: float) -> NDArray[Any]:
    """Return the patch around each pixel, as views of a padded copy."""
    padded = np.pad(image, BOX, constant_values=beyond)
    return np.lib.stride_tricks.sliding_window_view(padded, (2 * BOX + 1, 2 * BOX + 1))


def without_sky(patches: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return patches less the median of their rims; NaN are left out."""
    side = patches.shape[1]
    rim = np.ones((side, side), dtype=bool)
    rim[1:-1, 1:-1] = False
    values = np.sort(patches[:, rim], axis=1)  # NaN last
    count = np.isfinite(values).sum(axis=1)
    rows = np.arange(len(values))
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    level = (values[rows, low] + values[rows, np.minimum(high, values.shape[1] - 1)]) / 2
    less: NDArray[np.float64] = patches - np.where(count > 0, level, 0.0)[:, None, None]
    return less


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
        self._image = _windows(image, np.nan)
        self._variance = _windows(variance, np.inf)
        self._model = np.zeros([side + 2 * BOX for side in image.shape], dtype=np.float32)

    def _patches(
        self, y: NDArray[np.intp], x: NDArray[np.intp]
    ) -> tuple[NDArray[np.float64], ...]:
        """Return what is beside the known stars, its noise, and the light of the known stars."""
        side = (2 * BOX + 1, 2 * BOX + 1)
        model = np.lib.stride_tricks.sliding_window_view(self._model, side)[y, x]
        model = model.astype(np.float64)
        patches = without_sky(self._image[y, x] - model)
        noise = self._variance[y, x] + np.square(_MODEL_ERROR * model)
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
        others = _windows(peaks, False)  # noqa: FBT003 - what lies beyond
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
_PEAK_ERRORS[BOX - _CORE : BOX + _CORE + 1, BOX - _CORE : BOX + _CORE + 1] = _PEAK_ERROR


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
    steps = np.stack(np.indices((side, side)), axis=-1).reshape(-1, 2) - BOX
    away = np.square(steps[:, None] - steps).sum(axis=-1)
    nearer = away < np.square(steps).sum(axis=-1)
    taken = others.reshape(count, -1).astype(np.float32) @ nearer.astype(np.float32)
    belongs: NDArray[np.bool_] = (taken > 0).reshape(patches.shape)
    return belongs
