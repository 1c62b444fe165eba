"""Nebulosity (NEBULOSITY): clouds that reflect or emit light."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.stage.options import Options
from astroclean.simulate.clouds import CloudRange, draw_cloud
from astroclean.simulate.contaminants.layers import add_layer
from astroclean.simulate.draws import Range, Share, log_uniform, power_law_field, uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NebulosityRange", "add_nebulosity"]


class NebulosityRange(Options):
    """What nebulosity is drawn from."""

    brightness: Range = (2.0, 150.0)
    """The brightest percent, in standard deviations of empty sky."""
    cover: Range = (0.1, 0.95)
    """Share of the frame that it covers; what lies below counts as sky."""
    cloud: CloudRange = CloudRange(contrast=(0.4, 1.0))
    dark: Share = 0.3
    """Part with dark clouds before them."""
    threshold: float = 1.0
    """Standard deviations of a pixel without it above which it is true NEBULOSITY."""


def add_nebulosity(
    image: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    noise: float,
    limits: NebulosityRange | None = None,
) -> NDArray[np.uint32]:
    """Add a cloud.

    Parameters
    ----------
    image : (ny, nx) float64
        Electrons; changed.
    rng : Generator
        Source of chance.
    noise : float
        Standard deviation of empty sky, electrons.
    limits : NebulosityRange, optional
        Brightness, cover and structure.

    Returns
    -------
    (ny, nx) uint32
        NEBULOSITY where the light exceeds ``limits.threshold`` times the noise.
    """
    limits = limits or NebulosityRange()
    cloud = draw_cloud(rng, (image.shape[0], image.shape[1]), limits.cloud)
    cloud = np.clip(cloud - np.quantile(cloud, 1 - uniform(rng, limits.cover)), 0, None)
    if rng.random() < limits.dark:
        # Dust before the light: lanes as ragged as the cloud, of all depths.
        depth = np.exp(0.8 * power_law_field(rng, cloud.shape, index=uniform(rng, (-3.6, -2.8))))
        cloud = cloud * np.exp(-uniform(rng, (0.2, 1.5)) * depth)
    scale = log_uniform(rng, limits.brightness) * noise
    layer = cloud * scale / max(float(np.quantile(cloud, 0.99)), 1e-12)
    return add_layer(image, layer, MaskPlane.NEBULOSITY, noise=noise, threshold=limits.threshold)
