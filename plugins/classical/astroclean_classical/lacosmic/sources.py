"""For `lacosmic`: images of point sources, and how well patches of a frame are such."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.psf.stamp import FINER, FWHM_PER_SIGMA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from astroclean.core.psf.psf import Psf

__all__ = [
    "BOX",
    "CORE",
    "MODEL_ERROR",
    "PEAK_ERROR",
    "PointSources",
    "patches_at",
    "windows_of",
    "without_sky",
]

BOX = 4
"""Half width of the patches: with sources of FWHM up to 4 pixels, their rims are sky."""
CORE = 2
"""Half width of the pixels that are compared: further out is the light of others, in crowds."""
MODEL_ERROR, PEAK_ERROR = 0.12, 0.02
"""What a PSF may be wrong by: relative to the model at the pixel, and to its peak."""

_PHASES = np.arange(-2, 3) / FINER
_SUBPIXELS = (np.arange(5) - 2) / 5
# Wings of real PSFs lie between a Gaussian and this profile (Moffat 1969, A&A 3, 455).
_MOFFAT_BETA = 2.5
_FREE = 3
_TRIES = 4


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
                    np.square(MODEL_ERROR * model) + np.square(PEAK_ERROR * peaks[index][:, None])
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
    core = slice(BOX - CORE, BOX + CORE + 1)
    return patches[:, core, core].reshape(len(patches), -1)


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


def patches_at(
    image: NDArray[np.float32], y: NDArray[np.intp], x: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return the patches around pixels; beyond the frame, NaN."""
    return windows_of(image, np.nan)[y, x].astype(np.float64)


def windows_of(image: NDArray[Any], beyond: float) -> NDArray[Any]:
    """Return the patch around each pixel, as views of a copy that is padded."""
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
