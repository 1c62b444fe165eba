"""What the profile network sees of a source, and the profile that its answer makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "ADDED",
    "FAINT",
    "INPUTS",
    "OUTPUTS",
    "SIDES",
    "drawn_profile",
    "profile_inputs",
    "side_of",
]

INPUTS = ("light", "relative", "shape", "model", "psf", "others", "valid")
"""Planes of a stamp: arcsinh of the data less the other models over the noise; the same over the
peak of the present model; this model over its peak; arcsinh of it over the noise; the PSF at the
source over its peak; arcsinh of the other models; 1 where a pixel is usable."""
OUTPUTS = ("factor", "added")
"""Logarithm of a factor for the present model, and light that it lacks."""
SIDES = (32, 64, 128)
"""Sides of stamps in pixels; the source lies on pixel side // 2."""
_MARGIN = 2.0
"""Noise of a pixel that is added to the peak where light is told relative to it."""
_LEAST, _MOST = -1.5, 3.0
ADDED, FAINT = 0.3, 1e-4
"""How much light may be added, and where there is none yet; the loss of the network has them."""


def side_of(radius: NDArray[np.floating], fwhm: float, *, reach: float = 3.0) -> NDArray[np.intp]:
    """Return the side of the stamp that holds each source, (n,) of `SIDES`.

    Parameters
    ----------
    radius : (n,) float
        Half-light radius before the PSF, pixels.
    fwhm : float
        Of the PSF, pixels.
    reach : float
        Half-light radii that are to lie in it.
    """
    needed = reach * np.asarray(radius) + 1.5 * fwhm
    index = np.searchsorted(np.array(SIDES[:-1]) // 2 - 1, needed)
    return np.asarray(np.array(SIDES)[index])


def profile_inputs(
    light: NDArray[np.floating],
    model: NDArray[np.floating],
    psf: NDArray[np.floating],
    others: NDArray[np.floating],
    valid: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Return the planes of stamps.

    Parameters
    ----------
    light : (n, s, s) float
        Data, sky subtracted, over the noise of the sky.
    model : (n, s, s) float
        Present model of the source, in the same unit.
    psf : (n, s, s) float
        The PSF at the place of the source.
    others : (n, s, s) float
        Sum of the models of all other sources, in the unit of the data.
    valid : (n, s, s) bool
        Usable pixels of the frame.

    Returns
    -------
    (n, 7, s, s) float32
        See `INPUTS`.
    """
    own = np.where(valid, light - others, 0)
    peak = np.maximum(model.max(axis=(1, 2), keepdims=True), 1e-6)
    planes = [
        np.arcsinh(own),
        np.clip(own / (peak + _MARGIN), _LEAST, _MOST),
        model / peak,
        np.arcsinh(model),
        psf / psf.max(axis=(1, 2), keepdims=True),
        np.arcsinh(others),
        valid,
    ]
    return np.stack(planes, axis=1).astype(np.float32)


def drawn_profile(answer: NDArray[np.floating], model: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the profiles of sources, of the light that the present models have in the stamps.

    Parameters
    ----------
    answer : (n, 2, s, s) float
        Of the network.
    model : (n, s, s) float
        Present models, of flux 1.

    Returns
    -------
    (n, s, s) float32
        Nowhere negative.
    """
    shape = model / np.maximum(model.max(axis=(1, 2), keepdims=True), 1e-12)
    drawn = shape * np.exp(3 * np.tanh(answer[:, 0] / 3))
    drawn = drawn + ADDED * np.maximum(answer[:, 1], 0) * np.sqrt(np.maximum(shape, 0) + FAINT)
    drawn = np.maximum(drawn, 0)
    whole = model.sum(axis=(1, 2), keepdims=True)
    scaled = drawn * (whole / np.maximum(drawn.sum(axis=(1, 2), keepdims=True), 1e-12))
    return np.asarray(scaled, dtype=np.float32)
