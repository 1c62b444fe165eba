"""Objects that masks mistake for defects: stars, edge-on discs, arcs, halos and rings, with truth.

Added to an exposure they tell what a pipeline does to light that is the sky's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["SHAPES", "AddedShape", "Shape", "add_shapes", "draw_shape"]

Shape = Literal["star", "disc", "arc", "halo", "ring"]

SHAPES: tuple[Shape, ...] = get_args(Shape)
"""``star``: the PSF. ``disc``: exponential, edge-on. ``arc``: a piece of a thin circle, as lenses
make it. ``halo``: a de Vaucouleurs profile, round, with its core. ``ring``: a thin ellipse."""

_FINE = 3
"""Subpixels along a pixel."""
_MOFFAT_BETA = 3.5
_SERSIC_B4 = 7.669  # Ciotti & Bertin 1999, A&A 352, 447: b(4)


@dataclass(frozen=True, eq=False)
class AddedShape:
    """One object that was added to an image."""

    shape: Shape
    snr: float
    """Flux over its error in a fit of the true profile, with the noise of the sky alone."""
    y: float
    x: float
    """Center in pixels."""
    box: tuple[slice, slice]
    """Part of the image that holds it."""
    light: NDArray[np.float64]
    """Of the pixels of ``box``, in the unit of the image; without noise."""


def draw_shape(
    shape: Shape, rng: np.random.Generator, *, fwhm: float, side: int
) -> NDArray[np.float64]:
    """Draw one object as the PSF shows it, at a random angle, size and place within a pixel.

    Parameters
    ----------
    shape : str
        Among `SHAPES`.
    rng : numpy.random.Generator
        Of angle and size.
    fwhm : float
        Of the PSF (Moffat, beta 3.5), in pixels.
    side : int
        Odd side of the stamp, in pixels; sizes scale with it.

    Returns
    -------
    (side, side) float64
        Sum 1, integrated over pixels. A new array.
    """
    fine = side * _FINE
    offsets = (np.arange(fine) + 0.5) / _FINE - side / 2
    shift_y, shift_x = rng.uniform(-0.5, 0.5, 2)
    dy, dx = np.meshgrid(offsets - shift_y, offsets - shift_x, indexing="ij")
    if shape == "star":
        image = _moffat(dx, dy, fwhm)
    else:
        angle = rng.uniform(0, np.pi)
        along = dx * np.cos(angle) + dy * np.sin(angle)
        across = dy * np.cos(angle) - dx * np.sin(angle)
        image = _seen(_profile(shape, rng, along, across, side), fwhm)
    binned: NDArray[np.float64] = image.reshape(side, _FINE, side, _FINE).sum(axis=(1, 3))
    drawn: NDArray[np.float64] = binned / binned.sum()
    return drawn


def _profile(
    shape: Shape,
    rng: np.random.Generator,
    along: NDArray[np.float64],
    across: NDArray[np.float64],
    side: int,
) -> NDArray[np.float64]:
    scale = side * rng.uniform(0.06, 0.11)
    if shape == "disc":
        return np.exp(-np.hypot(along, across / 0.12) / scale)
    if shape == "halo":
        radius = np.hypot(along, across / rng.uniform(0.6, 1.0))
        return np.exp(-_SERSIC_B4 * (np.maximum(radius, 0.3 / _FINE) / scale) ** 0.25)
    width = rng.uniform(0.5, 1.0)
    if shape == "ring":
        radius = np.hypot(along, across / rng.uniform(0.4, 0.9))
        return np.exp(-0.5 * ((radius - 2 * scale) / width) ** 2)
    # An arc: of a circle whose center lies far to one side, bright in the middle.
    bend = side * rng.uniform(0.4, 1.0)
    distance = np.hypot(along, across + bend) - bend
    half = np.arctan2(along, across + bend) * bend
    return np.exp(-0.5 * (distance / width) ** 2 - (half / (2.5 * scale)) ** 4)


def _moffat(dx: NDArray[np.float64], dy: NDArray[np.float64], fwhm: float) -> NDArray[np.float64]:
    core = fwhm / (2 * np.sqrt(2 ** (1 / _MOFFAT_BETA) - 1))
    profile: NDArray[np.float64] = (1 + (dx**2 + dy**2) / core**2) ** -_MOFFAT_BETA
    return profile


def _seen(image: NDArray[np.float64], fwhm: float) -> NDArray[np.float64]:
    """Return an image on subpixels as the PSF shows it."""
    from scipy.signal import fftconvolve  # noqa: PLC0415 - heavy

    reach = int(np.ceil(4 * fwhm)) * _FINE
    offsets = np.arange(-reach, reach + 1) / _FINE
    psf = _moffat(*np.meshgrid(offsets, offsets), fwhm)
    seen: NDArray[np.float64] = fftconvolve(image, psf / psf.sum(), mode="same")
    return np.maximum(seen, 0)


def add_shapes(
    image: NDArray[np.floating],
    rng: np.random.Generator,
    *,
    noise: float,
    fwhm: float,
    snr: tuple[float, float] = (20.0, 300.0),
    shapes: Sequence[Shape] = SHAPES,
) -> tuple[NDArray[np.float64], list[AddedShape]]:
    """Add objects to an image, on a grid of places so that they do not overlap.

    Parameters
    ----------
    image : (ny, nx) float
        Not modified.
    rng : numpy.random.Generator
        Of places, sizes and fluxes.
    noise : float
        Standard deviation of the sky of a pixel, in the unit of the image. The light that is added
        brings no noise of its own.
    fwhm : float
        Of the PSF, in pixels.
    snr : (float, float)
        Limits of the signal-to-noise ratios, which are drawn evenly in the logarithm.
    shapes : sequence of str
        Drawn in turn; each place has one.

    Returns
    -------
    (ny, nx) float64
        The image with the objects.
    list of AddedShape
        What was added.
    """
    side = int(8 * fwhm) * 2 + 1
    step = side + 4
    out = np.array(image, dtype=np.float64)
    places = [
        (y, x)
        for y in range(step // 2, out.shape[0] - step // 2, step)
        for x in range(step // 2, out.shape[1] - step // 2, step)
    ]
    added = []
    for number, (y, x) in enumerate(places):
        shape = shapes[number % len(shapes)]
        profile = draw_shape(shape, rng, fwhm=fwhm, side=side)
        wanted = float(np.exp(rng.uniform(*np.log(snr))))
        light = profile * wanted * noise / np.sqrt(np.sum(profile**2))
        box = (slice(y - side // 2, y + side // 2 + 1), slice(x - side // 2, x + side // 2 + 1))
        out[box] += light
        added.append(AddedShape(shape, wanted, float(y), float(x), box, light))
    return out, added
