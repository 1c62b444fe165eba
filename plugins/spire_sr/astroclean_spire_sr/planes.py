"""What the network sees: bands over a scale that is the same on every sky, and a first guess."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.psf.joint_deconvolution import BandImage, beam_convolved, joint_richardson_lucy
from astroclean.core.psf.spire import BEAMS
from astroclean_spire_sr.bands import COARSE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from astroclean_spire_sr.bands import BandMap

__all__ = ["BANDS", "CHANNELS", "COLORS", "GUESS_FWHM", "compressed", "first_guess", "planes_of"]

BANDS = ("250", "350", "500", "24")
CHANNELS = 2 * len(BANDS) + 1
COLORS: Mapping[str, float] = {"250": 1.85, "350": 1.48, "500": 0.81}
"""Flux over that at 450 um of a galaxy of 6 to 15 mJy there, of the simulator's middle."""
GUESS_FWHM = 9.0
"""Arcsec, of the first guess: three of its pixels."""
_ITERATIONS = 15
_SCALE: Mapping[str, float] = {"250": 15.0, "350": 15.0, "500": 15.0, "24": 0.06}
"""mJy, up to which values enter as they are, beyond as their logarithm."""
_NOISE: Mapping[str, float] = {"250": 3.0, "350": 3.0, "500": 4.0, "24": 0.03}
"""mJy a beam of a pixel, at which a band counts half."""
_LEAST_NOISE = 0.1
"""Of the noise above: with less, weights of one band would drown those of all others."""


def compressed(values: NDArray[np.floating], scale: float) -> NDArray[np.float32]:
    """Return values over a scale, in the logarithm where they are large."""
    return np.asarray(np.arcsinh(values / np.float32(scale)), dtype=np.float32)


def first_guess(maps: Mapping[str, BandMap]) -> NDArray[np.float32]:
    """Return the joint Richardson-Lucy estimate of the bands of SPIRE.

    Parameters
    ----------
    maps : mapping of str to BandMap
        On one grid of 3 arcsec.

    Returns
    -------
    (ny, nx) float32
        Sky at 450 um, mJy a beam of 9 arcsec.
    """
    images = []
    for name, color in COLORS.items():
        if name in maps and maps[name].known.any():
            one = maps[name]
            sigma = np.maximum(one.noise, _LEAST_NOISE * _NOISE[name])
            weights = np.where(one.known, (COARSE / one.pixel / sigma) ** 2, 0)
            images.append(BandImage(one.data, weights, BEAMS[name] / COARSE, color))
    sky = joint_richardson_lucy(images, iterations=_ITERATIONS)
    return beam_convolved(sky.flux, GUESS_FWHM / COARSE)


def planes_of(
    maps: Mapping[str, BandMap], guess: NDArray[np.floating] | None = None
) -> NDArray[np.float32]:
    """Return the input of the network.

    Parameters
    ----------
    maps : mapping of str to BandMap
        Of those of `BANDS` that there are, on one grid of 3 arcsec.
    guess : (ny, nx) float, optional
        As `first_guess` gives it; None: without.

    Returns
    -------
    (CHANNELS, ny, nx) float32
        Value and weight of each band, and the guess; 0 where there is none.
    """
    shape = next(iter(maps.values())).data.shape
    planes = np.zeros((CHANNELS, *shape), dtype=np.float32)
    for index, name in enumerate(BANDS):
        if name in maps:
            one = maps[name]
            planes[2 * index] = compressed(one.data, _SCALE[name])
            planes[2 * index + 1] = 1 / (1 + (one.noise / _NOISE[name]) ** 2)
    if guess is not None:
        planes[-1] = compressed(guess, _SCALE["250"])
    return planes
