"""From stamps to deconvolved ones with the network of the paper: shape from it, flux from data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.psf.target import target_psf
from astroclean_psf_cae.paper.channels import paper_channels, reconvolved, scaled
from astroclean_psf_cae.renormalize import recovered_snr, renormalization

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from astroclean_psf_cae.paper.channels import ChannelSettings

__all__ = ["MULTIPLE", "Restored", "renormalized", "restored_stamps"]

MULTIPLE = 8
"""Sides of what the network is given are multiples of this."""


@dataclass(frozen=True, eq=False)
class Restored:
    """Deconvolved stamps."""

    images: NDArray[np.float32]
    """(n, ny, nx) at the target PSF, in the unit of the data. NaN throughout
    where no usable pixel tells the flux."""
    blurred: NDArray[np.float32]
    """(n, ny, nx): the same as the PSF of the data shows it."""
    snr: NDArray[np.float64]
    """(n,): recovered S/N, of the flux of each stamp; NaN where the variance is not known."""


def restored_stamps(
    network: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    images: NDArray[np.floating],
    psfs: NDArray[np.floating],
    settings: ChannelSettings,
    *,
    usable: NDArray[np.bool_] | None = None,
    variance: NDArray[np.floating] | None = None,
) -> Restored:
    """Deconvolve stamps, one source in each, as the paper does.

    Parameters
    ----------
    network : callable
        (n, channels, ny, nx) to (n, 1, ny, nx), float32, sides multiples of 8.
    images : (n, ny, nx) float
        Without sky, in any unit; sides of any length.
    psfs : (n, ky, kx) or (ky, kx) float
        PSF of each, or of all.
    settings : ChannelSettings
        With which the network was trained.
    usable : (n, ny, nx) bool, optional
        Pixels to be believed; none: all that are finite.
    variance : (n, ny, nx) float, optional
        Of the noise, for the flux; none: of all pixels the same.

    Returns
    -------
    Restored
        New arrays.
    """
    made, _ = scaled(paper_channels(images, psfs, settings, usable=usable), settings.scaling)
    ny, nx = made.shape[-2:]
    pads = [(0, 0), (0, 0), (0, -ny % MULTIPLE), (0, -nx % MULTIPLE)]
    answers = network(np.pad(made, pads))[:, 0, :ny, :nx]
    return renormalized(answers, images, psfs, usable=usable, variance=variance)


def renormalized(
    answers: NDArray[np.floating],
    images: NDArray[np.floating],
    psfs: NDArray[np.floating],
    *,
    usable: NDArray[np.bool_] | None = None,
    variance: NDArray[np.floating] | None = None,
) -> Restored:
    """Return answers of the network as bright as the data are (equation 2 of the paper).

    Parameters
    ----------
    answers : (n, ny, nx) float
        Of the network, in a unit of their own.
    images, psfs, usable, variance
        As of `restored_stamps`.

    Returns
    -------
    Restored
        New arrays.
    """
    target = target_psf().stamps[0]
    blurred = reconvolved(answers, psfs, target)
    factor = renormalization(blurred, images, variance, usable)
    snr = np.full(len(answers), np.nan)
    if variance is not None:
        snr = recovered_snr(blurred, images, variance, usable)
    return Restored(_times(answers, factor), _times(blurred, factor), snr)


def _times(images: Any, factor: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(images * factor[:, np.newaxis, np.newaxis], dtype=np.float32)
