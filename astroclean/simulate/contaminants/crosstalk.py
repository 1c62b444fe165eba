"""Cross-talk (CROSSTALK): bright pixels of one amplifier seen faintly through another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.stage.options import Options
from astroclean.simulate.contaminants.layers import add_layer
from astroclean.simulate.draws import Range, log_uniform, uniform, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CrosstalkRange", "add_crosstalk"]

_NEGATIVE = 0.15


class CrosstalkRange(Options):
    """What cross-talk is drawn from."""

    coupling: Range = (3e-4, 4e-3)
    stars: tuple[int, int] = (1, 3)
    """Saturated stars that the other amplifier reads at the same time."""
    radius: Range = (4.0, 14.0)
    """Of their saturated cores, pixels."""
    threshold: float = 1.0
    """Standard deviations of a pixel without it above which it is true CROSSTALK."""


def add_crosstalk(
    image: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    noise: float,
    full_well: float,
    limits: CrosstalkRange | None = None,
) -> NDArray[np.uint32]:
    """Add the faint image of what another amplifier reads; sometimes it is negative.

    Parameters
    ----------
    image : (ny, nx) float64
        Electrons; changed.
    rng : Generator
        Source of chance.
    noise : float
        Standard deviation of empty sky, electrons.
    full_well : float
        Electrons that a pixel of the other amplifier holds at most.
    limits : CrosstalkRange, optional
        Coupling, and the stars of the other amplifier.

    Returns
    -------
    (ny, nx) uint32
        CROSSTALK where the change exceeds ``limits.threshold`` times the noise.
    """
    limits = limits or CrosstalkRange()
    ny, nx = image.shape
    # The amplifiers of a chip are read towards opposite corners: the picture is mirrored.
    other = np.minimum(image[:, ::-1] - np.median(image), full_well)
    other = np.where(other > 0.1 * full_well, other, 0.0)
    y, x = np.ogrid[:ny, :nx]
    for _ in range(whole(rng, limits.stars)):
        cy, cx, radius = rng.uniform(0, ny), rng.uniform(0, nx), log_uniform(rng, limits.radius)
        r = np.hypot(y - cy, x - cx) / radius
        star = np.where(r < 4, full_well / np.maximum(r, 1) ** 3, 0.0)  # noqa: PLR2004
        bleed = (np.abs(x - cx) < 1) & (np.abs(y - cy) < uniform(rng, (1, 6)) * radius)
        other = np.maximum(other, np.where(bleed, full_well, star))
    sign = -1 if rng.random() < _NEGATIVE else 1
    # It must show: a coupling that gives less than two sigma is raised to that.
    coupling = max(log_uniform(rng, limits.coupling), 2 * noise / full_well)
    layer = sign * coupling * other
    return add_layer(image, layer, MaskPlane.CROSSTALK, noise=noise, threshold=limits.threshold)
