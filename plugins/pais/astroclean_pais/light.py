"""The light of fitted sources on an image: their sum, and the image without all but one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.image.arrays import add_box, fill_box

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from astroclean.core.sources.sources import SourceStamp

__all__ = ["core_of", "model_image", "with_own", "without"]

_CORE = 0.5
"""The core of a source are its pixels with more than this part of the brightest one."""


def model_image(
    profiles: Sequence[SourceStamp], flux: NDArray[np.floating], shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Return the sum of sources on an image.

    Parameters
    ----------
    profiles : sequence of SourceStamp
        n images of unit flux. Not modified.
    flux : (n,) float
        Sums of pixels in the unit of the frame. A source without a flux (NaN) adds nothing.
    shape : (int, int)
        (ny, nx) of the image; what reaches beyond it is lost.

    Returns
    -------
    (ny, nx) float64
        New.
    """
    total = np.zeros(shape)
    for profile, amount in zip(profiles, np.asarray(flux, dtype=np.float64), strict=True):
        if np.isfinite(amount):
            add_box(total, amount * profile.data, profile.origin)
    return total


def without(
    data: NDArray[np.floating],
    profiles: Sequence[SourceStamp],
    flux: NDArray[np.floating],
    index: Iterable[int],
) -> list[NDArray[np.float64]]:
    """Return for some sources the image in their box less the light of all others.

    The sum of all is taken once, so this costs as much for all sources as for one.

    Parameters
    ----------
    data : (ny, nx) float
        Not modified.
    profiles : sequence of SourceStamp
        n images of unit flux. Not modified.
    flux : (n,) float
        As of `model_image`.
    index : iterable of int
        Which sources, as numbers from 0 to n - 1.

    Returns
    -------
    list of (my, mx) float64
        New, each in the shape of its box; NaN beyond the image and where the data are NaN.
    """
    residual = data - model_image(profiles, flux, (data.shape[0], data.shape[1]))
    return [with_own(residual, profiles[one], float(flux[one])) for one in index]


def with_own(
    residual: NDArray[np.floating], profile: SourceStamp, flux: float
) -> NDArray[np.float64]:
    """Return what is left of the image in the box of a source, with its own light.

    Parameters
    ----------
    residual : (ny, nx) float
        The image less all sources, as `AmplitudeFit.residual`. Not modified.
    profile : SourceStamp
        Image of unit flux. Not modified.
    flux : float
        That was taken off the image; none where NaN.

    Returns
    -------
    (my, mx) float64
        New, in the shape of the box; NaN beyond the image.
    """
    shown = np.full(profile.data.shape, np.nan)
    fill_box(shown, residual, profile.origin)
    if np.isfinite(flux):
        shown += np.float64(flux) * profile.data
    return shown


def core_of(image: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which pixels of a source are its core: those with half of the highest value or more.

    Parameters
    ----------
    image : (my, mx) float
        Light of the source; none is core where none is positive.
    """
    peak = image.max(initial=0.0)
    core: NDArray[np.bool_] = (image >= _CORE * peak) & (image > 0)
    return core
