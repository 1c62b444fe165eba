"""Noise around a hole: how strong it is, how far correlated, and more of the same kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from astroclean.core.image.noise import SIGMA_PER_MAD

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Noise", "draw_noise", "measure_noise"]

_WHITE = 6.0
"""Mean square of a second difference of white noise of variance 1."""
_NARROWEST = 0.5
"""Least mean square of a second difference that is believed: correlation over a pixel."""
_FEWEST = 20
_THREE_TAPS = 0.6
"""Correlation of neighbors up to which a kernel of three pixels makes it."""


class Noise(NamedTuple):
    """Gaussian noise whose correlation falls as a Gaussian."""

    sigma: float
    """Standard deviation of a pixel, in the unit of the image."""
    correlation: float
    """Of neighboring pixels, 0 to 1."""

    def covariance(self, squared: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the covariance of pixels by the square of their distance in pixels."""
        if self.correlation <= 0:
            return np.asarray(self.sigma**2 * (squared == 0))
        return np.asarray(self.sigma**2 * self.correlation**squared)


def measure_noise(image: NDArray[Any], valid: NDArray[np.bool_]) -> Noise:
    """Measure the noise of an image whose structure is smooth from pixel to pixel.

    The second difference along both axes has 36 times the variance of white noise, along one axis 6
    times (Immerkaer 1996, CVIU 64, 300); of correlated noise both have less. For a correlation
    ``r^(d^2)`` at a distance d, the quotient of both variances is ``6 - 8 r + 2 r^4``: it tells r.

    Parameters
    ----------
    image : (ny, nx)
        Pixels, any unit.
    valid : (ny, nx) bool
        Pixels to believe; differences with others are left out.

    Returns
    -------
    Noise
        Of strength 0 where nothing tells.
    """
    pixels = np.where(valid, image, np.nan).astype(np.float64)
    along_x, along_y = _difference(pixels, 1), _difference(pixels, 0)
    both = _deviation(_difference(along_x, 0))
    one = np.sqrt(0.5 * (_deviation(along_x) ** 2 + _deviation(along_y) ** 2))
    if not (both > 0 and one > 0):
        return Noise(0.0, 0.0)
    # Structure is in the single difference more than in the double one: never less than white.
    quotient = float(np.clip((both / one) ** 2, _NARROWEST, _WHITE))
    return Noise(both / quotient, _correlation(quotient))


def _difference(image: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    return np.diff(image, 2, axis=axis)


def _deviation(values: NDArray[np.float64]) -> float:
    """Return a standard deviation that sources hardly touch; NaN of too few values."""
    known = np.abs(values[np.isfinite(values)])
    if known.size < _FEWEST:
        return float("nan")
    # Of two in the middle the larger one: half the time of a median, for each hole.
    middle = known.size // 2
    return SIGMA_PER_MAD * float(np.partition(known, middle)[middle])


def _correlation(quotient: float) -> float:
    """Return r of ``6 - 8 r + 2 r^4 = quotient``, which falls as r rises."""
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        if _WHITE - 8 * middle + 2 * middle**4 > quotient:
            low = middle
        else:
            high = middle
    return low


def draw_noise(
    rng: np.random.Generator, noise: Noise, shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Draw noise of a kind.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    noise : Noise
        Its kind.
    shape : (int, int)
        (ny, nx) in pixels.

    Returns
    -------
    (ny, nx) float64
        A new array.
    """
    from scipy.ndimage import convolve1d  # noqa: PLC0415 - costs a fifth of a second

    white = noise.sigma * rng.standard_normal(shape)
    if noise.correlation <= 0:
        return white
    kernel = _kernel(noise.correlation)
    return np.asarray(convolve1d(convolve1d(white, kernel, axis=0), kernel, axis=1))


def _kernel(correlation: float) -> NDArray[np.float64]:
    """Return a kernel that makes white noise correlate so along its axis, of power 1."""
    if correlation <= _THREE_TAPS:
        # 2 a / (1 + 2 a^2) of (a, 1, a); a Gaussian as narrow is not sampled well enough.
        side = (1 - np.sqrt(1 - 2 * correlation**2)) / (2 * correlation)
        kernel = np.array([side, 1.0, side])
    else:
        width = np.sqrt(-0.25 / np.log(correlation))
        offsets = np.arange(-int(4 * width + 0.5), int(4 * width + 0.5) + 1)
        kernel = np.exp(-0.5 * (offsets / width) ** 2)
    return np.asarray(kernel / np.sqrt(np.sum(kernel**2)))
