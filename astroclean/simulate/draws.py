"""What every simulator uses: random draws, random fields, and placing stamps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import AfterValidator, Field

from astroclean.core.image.arrays import add_box

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Range", "Share", "add_stamp", "log_uniform", "power_law_field", "uniform", "whole"]


def _rising(limits: tuple[float, float]) -> tuple[float, float]:
    if not limits[0] <= limits[1]:
        raise ValueError("must be the lowest and the highest value, in this order")
    return limits


Range = Annotated[tuple[float, float], AfterValidator(_rising)]
"""Lowest and highest value."""
Share = Annotated[float, Field(ge=0, le=1)]
"""Part of a whole, or a probability."""


def uniform(rng: np.random.Generator, limits: Range) -> float:
    """Return a number drawn evenly."""
    return float(rng.uniform(*limits))


def log_uniform(rng: np.random.Generator, limits: Range) -> float:
    """Return a positive number whose logarithm is drawn evenly."""
    return float(np.exp(rng.uniform(np.log(limits[0]), np.log(limits[1]))))


def whole(rng: np.random.Generator, limits: tuple[int, int]) -> int:
    """Return an integer drawn evenly, both ends included."""
    return int(rng.integers(limits[0], limits[1] + 1))


def power_law_field(
    rng: np.random.Generator, shape: tuple[int, int], *, index: float
) -> NDArray[np.float64]:
    """Return a Gaussian random field of mean 0 and variance 1 with power spectrum k^index.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    shape : (int, int)
        (ny, nx) in pixels.
    index : float
        Exponent of the power spectrum; interstellar clouds have -2.5 to -3.5.

    Returns
    -------
    (ny, nx) float64
        The field; it does not wrap around at the edges.
    """
    from scipy.fft import irfft2, next_fast_len, rfft2  # noqa: PLC0415 - slow to import

    # A field made by FFT is periodic, which no sky is: make a larger one and cut.
    ny, nx = (next_fast_len(int(1.5 * side) + 2, real=True) for side in shape)
    k = np.hypot(np.fft.fftfreq(ny)[:, None], np.fft.rfftfreq(nx)[None, :])
    k[0, 0] = np.inf
    spectrum = rfft2(rng.standard_normal((ny, nx))) * k ** (index / 2)
    field: NDArray[np.float64] = irfft2(spectrum, s=(ny, nx))[: shape[0], : shape[1]]
    field -= field.mean()
    return np.asarray(field / field.std())


def add_stamp(image: NDArray[np.float64], stamp: NDArray[np.float64], y: int, x: int) -> None:
    """Add a stamp, in place, with its first pixel at (y, x); parts outside are left out."""
    add_box(image, stamp, (y, x))
