"""Whether a frame is like those that the networks were trained on."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.stage.scope import chunk_of
from astroclean.errors import AstrocleanWarning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["correlation_of", "tell_of_domain", "unexplained"]

_DENSEST = 500.0
"""Sources in 256 x 256 pixels."""
_CORRELATED = 0.6
"""Correlation of the noise of neighbors; that of the training is less."""
_DARK = 3.0
_LEFT = 5.0
"""Noise of a pixel above which light that no model has is light."""
_EXPLAINED = 0.5
"""Part of the light of a pixel that models must have."""
_GROUP = 20
"""Pixels of such light that touch each other, from which it is no hit and no misfit of a core."""


def correlation_of(light: NDArray[np.floating], dark: NDArray[np.bool_]) -> float:
    """Return the correlation of the noise of horizontal neighbors.

    Parameters
    ----------
    light : (ny, nx) float
        Data, sky subtracted, over the noise.
    dark : (ny, nx) bool
        Pixels without sources.

    Returns
    -------
    float
        0 for white noise; NaN where there are too few pixels.
    """
    both = dark[:, 1:] & dark[:, :-1]
    if np.count_nonzero(both) < 100:  # noqa: PLR2004 - enough for a tenth
        return float("nan")
    first, second = light[:, 1:][both], light[:, :-1][both]
    power = float(np.mean(first**2) + np.mean(second**2)) / 2
    return float(np.mean(first * second)) / power if power > 0 else float("nan")


def unexplained(
    light: NDArray[np.floating], model: NDArray[np.floating], noise: NDArray[np.floating]
) -> NDArray[np.bool_]:
    """Return pixels with light that no source explains: large galaxies, nebulae, trails, spikes.

    Parameters
    ----------
    light : (ny, nx) float
        Data, sky subtracted; 0 where a pixel is not usable.
    model : (ny, nx) float
        Light of all sources.
    noise : (ny, nx) float
        Of the sky.

    Returns
    -------
    (ny, nx) bool
        Groups of at least 20 pixels above 5 times the noise, of whose light models have less than
        half.
    """
    from scipy.ndimage import label  # noqa: PLC0415 - slow to import

    # A bright core that is drawn to a few per cent is explained, and is no new light.
    left = (light - model > _LEFT * noise) & (model < _EXPLAINED * light)
    groups, _ = label(left)
    sizes = np.bincount(groups.ravel())
    return np.asarray(left & (sizes[groups] >= _GROUP))


def tell_of_domain(bands: Sequence[Any], count: int, *, stage: str) -> None:
    """Warn where noise or density are not those of the training; of the PSF the cards tell.

    Parameters
    ----------
    bands : sequence
        With ``frame``, ``light``, ``noise`` and ``usable``.
    count : int
        Sources that were found.
    stage : str
        Its name, for messages.

    Warns
    -----
    AstrocleanWarning
        One for each difference.
    """
    for band in bands:
        # A chunk tells nothing that the whole would not tell.
        if chunk_of(band.frame).origin != (0, 0):
            return
        part = np.s_[:1024, :1024]
        scaled = band.light[part] / band.noise[part]
        found = correlation_of(scaled, band.usable[part] & (np.abs(scaled) < _DARK))
        where = f"{band.frame.frame_id}, stage '{stage}'"
        # What reads as no more than that is no more.
        if round(found, 2) > _CORRELATED:
            _warn(
                f"{where}: the noise of neighbors has a correlation of {found:.2f}, more than the "
                f"networks were trained on ({_CORRELATED:g}): faint sources may be noise, and "
                "errors are too small"
            )
        density = count / (band.usable.size / 256**2)
        if density > _DENSEST:
            _warn(
                f"{where}: {density:.0f} sources in 256 x 256 pixels, the networks were trained "
                f"on at most {_DENSEST:.0f}"
            )


def _warn(text: str) -> None:
    warnings.warn(text, AstrocleanWarning, stacklevel=4)
