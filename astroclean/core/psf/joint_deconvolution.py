"""Joint Richardson-Lucy: one non-negative sky that explains images of several beams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.psf.stamp import FWHM_PER_SIGMA
from astroclean.errors import FrameError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "BandImage",
    "JointSky",
    "beam_convolved",
    "joint_richardson_lucy",
    "scattered_weights",
]

_ROOM = 1.5
"""Pixels of zero weight around the images, in FWHM of the widest beam: sources out there explain
light at the borders, and a Gaussian is below .002 of its peak, so the transform may wrap."""
_FLOOR = 0.3
"""Share of each image, seen through its own beam, that begins below zero. Of simulated fields of
faint sources, .3 recovers more than .1 (a level of noise and of blends stays) and than .02."""
_TOLD = 1e-4
"""Least weight through the beams, of the largest: below it are rounding errors of float32."""
_TINY = 1e-6  # of the largest value, against division by zero


@dataclass(frozen=True, eq=False)
class BandImage:
    """Image of the sky through one beam."""

    data: NDArray[np.floating]
    """(ny, nx), mJy/beam: the peak of a point source is its flux. Any zero point."""
    weights: NDArray[np.floating]
    """(ny, nx): inverse variance of what one pixel tells, finite; 0 where nothing is known. Values
    that were resampled from pixels ``k`` times as wide share theirs: divide by k squared."""
    beam: float | NDArray[np.floating]
    """FWHM of a Gaussian in pixels, or a stamp of odd sides, peak in its middle."""
    gain: float = 1.0
    """Flux in this band over the flux that is sought, of a mean source."""


@dataclass(frozen=True, eq=False)
class JointSky:
    """What joint deconvolution found."""

    flux: NDArray[np.float32]
    """(ny, nx), mJy per pixel, never negative; a new array."""
    offsets: tuple[float, ...]
    """Zero point of each image, mJy/beam: image = gain times flux through the beam + offset. Light
    that is the same everywhere cannot be told from it."""


def joint_richardson_lucy(
    bands: Sequence[BandImage], *, iterations: int = 20, accelerated: bool = True
) -> JointSky:
    """Return the non-negative flux on common pixels that explains images of several beams.

    The multiplicative update for Gaussian noise (image space reconstruction: Daube-Witherspoon &
    Muehllehner 1986, IEEE Trans. Med. Imaging 5, 61), with weights, over all bands, and with the
    momentum of Nesterov (1983, Sov. Math. Dokl. 27, 372). The zero point of each image follows the
    estimate, so that both agree in their weighted mean.

    Parameters
    ----------
    bands : sequence of BandImage
        On the same square pixels. Not modified.
    iterations : int
        At least 1. More are sharper, and noisier.
    accelerated : bool
        With momentum: an iteration then counts for several.

    Returns
    -------
    JointSky

    Raises
    ------
    FrameError
        No band, no pixel of positive weight, shapes that differ, iterations below 1.
    """
    _check(bands, iterations)
    problem = _Problem(bands)
    estimate, offsets = problem.flat(), [0.0] * len(bands)
    before, running = estimate, 0
    for _ in range(iterations):
        start = estimate
        if accelerated:
            start = np.maximum(estimate + running / (running + 3) * (estimate - before), 0)
        updated, pull, offsets = problem.updated(start)
        # Momentum that leads back is lost (O'Donoghue & Candes 2015, Found. Comput. Math. 15, 715).
        back = float(np.vdot(pull, updated - estimate)) < 0
        before, estimate, running = estimate, updated, 0 if back else running + 1
    ny, nx = bands[0].data.shape
    flux = np.ascontiguousarray(problem.own(estimate)[:ny, :nx])
    return JointSky(flux, problem.zero_points(offsets))


def beam_convolved(flux: NDArray[np.floating], fwhm: float) -> NDArray[np.float32]:
    """Return flux in pixels as a map through a Gaussian beam.

    Parameters
    ----------
    flux : (ny, nx)
        mJy per pixel, finite. Not modified; nothing lies outside it.
    fwhm : float
        Of the beam, in pixels. Below about 2 pixels cannot hold it.

    Returns
    -------
    (ny, nx) float32
        mJy/beam: a pixel alone has its flux as its peak. A new array.
    """
    from scipy.fft import irfft2, next_fast_len, rfft2  # noqa: PLC0415 - slow to import

    ny, nx = (next_fast_len(int(n + np.ceil(2 * _ROOM * fwhm)), real=True) for n in flux.shape)
    image = rfft2(np.asarray(flux, dtype=np.float32), s=(ny, nx))
    result = irfft2(image * _transfer(fwhm, (ny, nx)), s=(ny, nx))
    return np.ascontiguousarray(result[: flux.shape[0], : flux.shape[1]])


def scattered_weights(
    data: NDArray[np.floating],
    weights: NDArray[np.floating],
    *,
    scatter: float,
    shared: float = 1.0,
) -> NDArray[np.float32]:
    """Return weights of an image whose sources have not all the same gain.

    Without that, what the color of a bright source does not explain is explained by further sources
    around it.

    Parameters
    ----------
    data, weights : (ny, nx)
        As of a `BandImage`; data with their zero point taken off. Not modified.
    scatter : float
        Standard deviation of the gain from source to source, over the gain.
    shared : float
        By what weights were divided because pixels share what they tell.

    Returns
    -------
    (ny, nx) float32
        A new array, 0 where the weight was 0.
    """
    known = weights > 0
    variance = 1 / np.where(known, weights, 1) + shared * (scatter * np.where(known, data, 0)) ** 2
    return np.where(known, 1 / variance, 0).astype(np.float32)


def _check(bands: Sequence[BandImage], iterations: int) -> None:
    """Raise FrameError for what cannot be deconvolved."""
    if not bands or iterations < 1:
        raise FrameError(
            "joint deconvolution needs an image and an iteration",
            received=f"{len(bands)} images, {iterations} iterations",
        )
    shapes = {array.shape for band in bands for array in (band.data, band.weights)}
    if len(shapes) > 1:
        raise FrameError("images and weights must lie on the same pixels", received=sorted(shapes))
    for index, band in enumerate(bands):
        if not np.isfinite(band.weights).all() or not (band.weights > 0).any():
            raise FrameError(
                "weights must be finite, and positive somewhere", where=f"image {index}"
            )


def _transfer(beam: float | NDArray[np.floating], shape: tuple[int, int]) -> NDArray[np.complex64]:
    """Return the transform of a beam of peak 1 about the first pixel."""
    from scipy.fft import rfft2  # noqa: PLC0415 - slow to import

    kernel = np.zeros(shape, dtype=np.float32)
    if isinstance(beam, np.ndarray):
        half = [
            min(side // 2, (room - 1) // 2) for side, room in zip(beam.shape, shape, strict=True)
        ]
        middle = [side // 2 for side in beam.shape]
        cut = tuple(slice(m - h, m + h + 1) for m, h in zip(middle, half, strict=True))
        kernel[: 2 * half[0] + 1, : 2 * half[1] + 1] = beam[cut] / beam[middle[0], middle[1]]
        kernel = np.roll(kernel, (-half[0], -half[1]), axis=(0, 1))
    else:
        sigma = beam / FWHM_PER_SIGMA
        y, x = (np.exp(-0.5 * (np.fft.fftfreq(n, 1 / n) / sigma) ** 2) for n in shape)
        kernel += (y[:, np.newaxis] * x).astype(np.float32)
    return np.asarray(rfft2(kernel), dtype=np.complex64)


class _Problem:
    """Images with room around them, and what does not change between iterations."""

    def __init__(self, bands: Sequence[BandImage]) -> None:
        from scipy.fft import next_fast_len  # noqa: PLC0415 - slow to import

        widest = max(_width(band.beam) for band in bands)
        self._room = int(np.ceil(_ROOM * widest))
        ny, nx = bands[0].data.shape
        self._shape = (
            next_fast_len(ny + 2 * self._room, real=True),
            next_fast_len(nx + 2 * self._room, real=True),
        )
        self._beams = [np.float32(band.gain) * _transfer(band.beam, self._shape) for band in bands]
        largest = max(float(band.weights.max()) for band in bands)  # float32 must hold the sums
        self._weights = [self._placed(band.weights / largest) for band in bands]
        # Without their means: float32 would lose what is faint beside a high zero point.
        self._means = [
            float(np.average(np.where(band.weights > 0, band.data, 0), weights=band.weights))
            for band in bands
        ]
        data = [
            self._placed(np.where(band.weights > 0, band.data - mean, 0.0))
            for band, mean in zip(bands, self._means, strict=True)
        ]
        self._totals = [float(weights.sum(dtype=np.float64)) for weights in self._weights]
        # The transforms are linear, so a new zero point costs none.
        self._seen = [
            self._back([weights * image], [beam])
            for weights, image, beam in zip(self._weights, data, self._beams, strict=True)
        ]
        self._covered = [
            np.maximum(self._back([weights], [beam]), 0)
            for weights, beam in zip(self._weights, self._beams, strict=True)
        ]
        told = np.sum(self._covered, axis=0)
        self._told = told > _TOLD * told.max()

    def _placed(self, image: NDArray[np.floating]) -> NDArray[np.float32]:
        placed = np.zeros(self._shape, dtype=np.float32)
        placed[self._room :, self._room :][: image.shape[0], : image.shape[1]] = image
        return placed

    def own(self, estimate: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the pixels from the first of the images on."""
        return estimate[self._room :, self._room :]

    def zero_points(self, offsets: list[float]) -> tuple[float, ...]:
        """Return offsets of the images as they were given, from those without their means."""
        return tuple(mean + offset for mean, offset in zip(self._means, offsets, strict=True))

    def flat(self) -> NDArray[np.float32]:
        """Return flux without structure, so much that a share of each image is below zero."""
        light = of_one = 0.0
        for index, beam in enumerate(self._beams):
            seen, covered = self._seen[index], self._covered[index]
            known = self._weights[index] > 0
            smooth = seen[known] / np.maximum(covered[known], _TINY * covered.max())
            area = float(beam[0, 0].real)
            # The mean of an image is 0 here.
            light -= self._totals[index] * area * float(np.quantile(smooth, _FLOOR))
            of_one += self._totals[index] * area**2
        return np.full(self._shape, max(light / of_one, 1e-12), dtype=np.float32)

    def updated(
        self, estimate: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], list[float]]:
        """Return the next estimate, whereto the data pull this one, and its zero points."""
        from scipy.fft import irfft2, rfft2  # noqa: PLC0415 - slow to import

        spectrum = rfft2(estimate)
        wanted, images, offsets = np.zeros_like(estimate), [], []
        for index, (beam, weights) in enumerate(zip(self._beams, self._weights, strict=True)):
            image = irfft2(spectrum * beam, s=self._shape)
            image *= weights
            offsets.append(-float(image.sum(dtype=np.float64)) / self._totals[index])
            wanted += self._seen[index] - np.float32(offsets[-1]) * self._covered[index]
            images.append(image)
        explained = self._back(images, self._beams)
        least = np.float32(_TINY) * explained.max()
        ratio = np.maximum(wanted, 0) / np.maximum(explained, least)
        # Where no band sees anything, nothing is told.
        updated = np.where(self._told, estimate * ratio, estimate)
        return updated, wanted - explained, offsets

    def _back(
        self, images: list[NDArray[np.float32]], beams: list[NDArray[np.complex64]]
    ) -> NDArray[np.float32]:
        """Return weighted images correlated with their beams, over all of them."""
        from scipy.fft import irfft2, rfft2  # noqa: PLC0415 - slow to import

        spectrum = sum(
            rfft2(image) * beam.conj() for image, beam in zip(images, beams, strict=True)
        )
        return np.asarray(irfft2(spectrum, s=self._shape), dtype=np.float32)


def _width(beam: float | NDArray[np.floating]) -> float:
    """Return the FWHM in pixels, from its area if it is no Gaussian."""
    if not isinstance(beam, np.ndarray):
        return float(beam)
    above = np.count_nonzero(beam >= beam.max() / 2)
    return float(2 * np.sqrt(above / np.pi))
