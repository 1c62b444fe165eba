"""Whole frames through the network of the paper: a stamp around each source, on an empty sky."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.arrays import add_box, overlap
from astroclean_psf_cae.paper.restore import restored_stamps

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from astroclean_psf_cae.fits import Targets
    from astroclean_psf_cae.paper.channels import ChannelSettings
    from astroclean_psf_cae.region import Region

    Image = NDArray[np.float32]

__all__ = ["paper_image"]

_SIDE = 64
"""Pixels along a stamp, as in the training."""


def paper_image(
    network: Callable[[Image], Image],
    region: Region,
    targets: Targets | None,
    settings: ChannelSettings,
) -> Image:
    """Return a region at the target PSF.

    Parameters
    ----------
    network : callable
        As of `restored_stamps`.
    region : Region
        A whole frame. Not modified.
    targets : Targets or None
        Its sources: each is deconvolved alone, its neighbors taken off by their models, and nothing
        else is in the result. None: the region is one stamp.
    settings : ChannelSettings
        With which the network was trained.

    Returns
    -------
    (ny, nx) float32
        In the unit of the region. Zero for a source whose flux no usable pixel tells.
    """
    if targets is None:
        images, weights = region.data[np.newaxis], region.weights[np.newaxis]
        corners = np.zeros((1, 2), dtype=np.intp)
        psfs = region.psf.at(*_middle(region))
    else:
        corners = np.rint(targets.places).astype(np.intp) - _SIDE // 2
        images, weights = _stamps(region, targets, corners)
        psfs = np.stack([region.psf.at(*_place(region, corner)) for corner in corners])
    usable = weights > 0
    variance = 1 / np.where(usable, weights, 1)
    restored = restored_stamps(
        network, images, psfs, settings, usable=usable, variance=variance
    ).images
    image = np.zeros(region.shape)
    for stamp, (y, x) in zip(np.nan_to_num(restored), corners, strict=True):
        add_box(image, stamp, (int(y), int(x)))
    return image.astype(np.float32)


def _stamps(region: Region, targets: Targets, corners: NDArray[np.intp]) -> tuple[Image, Image]:
    """Return images and weights of stamps, neighbors taken off; 0 beyond the region."""
    models = targets.models
    rest = region.data if models is None else region.data - models.total
    images, weights = (np.zeros((len(targets), _SIDE, _SIDE), np.float32) for _ in range(2))
    for row, (y, x) in enumerate(corners):
        inside, own = overlap((int(y), int(x)), (_SIDE, _SIDE), region.shape)
        images[row][own], weights[row][own] = rest[inside], region.weights[inside]
        if models is not None:
            top, left = models.origins[row]
            add_box(images[row], models.images[row], (int(top - y), int(left - x)))
    return images, weights


def _middle(region: Region) -> tuple[float, float]:
    """Return the middle of a region in the frame, x and y."""
    (y, x), (ny, nx) = region.origin, region.shape
    return x + nx / 2, y + ny / 2


def _place(region: Region, corner: NDArray[np.intp]) -> tuple[float, float]:
    y, x = corner + _SIDE // 2 + np.array(region.origin)
    return float(x), float(y)
