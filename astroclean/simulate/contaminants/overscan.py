"""Overscan (OVERSCAN): strips at the border that were never exposed to the sky."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.stage.options import Options
from astroclean.simulate.contaminants.layers import empty_planes
from astroclean.simulate.contaminants.lines import dead_values
from astroclean.simulate.draws import whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["OverscanRange", "add_overscan"]


class OverscanRange(Options):
    """What overscan is drawn from."""

    strips: tuple[int, int] = (1, 2)
    width: tuple[int, int] = (5, 50)
    """Pixels; at most a quarter of the frame."""


def add_overscan(
    image: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    sky: float,
    noise: float,
    limits: OverscanRange | None = None,
) -> NDArray[np.uint32]:
    """Replace strips at the border by overscan.

    Parameters
    ----------
    image : (ny, nx) float64
        Electrons; changed.
    rng : Generator
        Source of chance.
    sky, noise : float
        Level and standard deviation of empty sky, electrons.
    limits : OverscanRange, optional
        Number and width.

    Returns
    -------
    (ny, nx) uint32
        OVERSCAN on the strips.
    """
    limits = limits or OverscanRange()
    ny, nx = image.shape
    planes = empty_planes((ny, nx))
    for side in rng.choice(4, whole(rng, limits.strips), replace=False):
        length = ny if side < 2 else nx  # noqa: PLR2004 - bottom, top; left, right
        width = max(min(whole(rng, limits.width), length // 4), 1)
        strip = slice(0, width) if side % 2 == 0 else slice(length - width, length)
        box = (strip, slice(None)) if side < 2 else (slice(None), strip)  # noqa: PLR2004
        values = dead_values(rng, image[box].size, sky=sky, noise=noise)
        image[box] = values.reshape(image[box].shape)
        planes[box] = MaskPlane.OVERSCAN
    return planes
