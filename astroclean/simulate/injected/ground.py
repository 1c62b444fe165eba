"""What contaminants fall on: a sky, simulated or real, in electrons."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.flags.planes import MaskPlane
    from astroclean.simulate.injected.optics import Optics

__all__ = ["Chip", "Ground", "shown"]


@dataclass(frozen=True)
class Chip:
    """How electrons become data numbers."""

    gain: float
    """Electrons per adu."""
    read_noise: float
    """Electrons."""
    bias: float
    """adu; of sky-subtracted frames it is negative."""
    well: float
    """Electrons at which a pixel is full."""
    whole: bool = True
    """Whether data numbers are whole and end at 65535."""

    @property
    def level(self) -> float:
        """Electrons that the header calls saturated: the wells are not all alike."""
        return 0.97 * self.well


@dataclass(frozen=True, eq=False)
class Ground:
    """A sky without contaminants."""

    image: NDArray[np.float64]
    """(ny, nx) electrons with sky: expected ones, or measured ones where ``counted``."""
    light: NDArray[np.float64]
    """(ny, nx) electrons of stars and galaxies alone."""
    sky: float
    """Level of empty sky, electrons."""
    noise: float
    """Standard deviation of empty sky, electrons."""
    chip: Chip
    optics: Optics
    stars: NDArray[np.float64]
    """(n, 3) x, y and flux in electrons of the bright stars."""
    label: str
    """Kind of sky, or name of the real frame."""
    ignored: NDArray[np.bool_] | None = None
    """(ny, nx), where the real frame has contaminants of its own."""
    counted: bool = False
    """Whether the noise of photons and of readout is in ``image``."""
    correlation: float = 0.0
    """Pixels, width of the kernel by which resampling correlated the noise of a stack."""
    notes: dict[str, float | str] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return self.image.shape[0], self.image.shape[1]


def shown(
    beneath: NDArray[np.float64],
    layer: NDArray[np.float64],
    plane: MaskPlane,
    *,
    noise: float,
    least: tuple[float, float],
) -> NDArray[np.uint32]:
    """Return where a layer shows: the definition of the truth of every class that adds.

    Parameters
    ----------
    beneath : (ny, nx) float64
        Electrons of objects and earlier layers over the sky, not negative: their photons hide.
    layer : (ny, nx) float64
        Electrons added, or taken.
    plane : MaskPlane
        Plane of the truth.
    noise : float
        Standard deviation of empty sky, electrons.
    least : (float, float)
        Least change in standard deviations of the pixel without the layer, and as a part of the
        light beneath.

    Returns
    -------
    (ny, nx) uint32
        `plane` where the change exceeds both together, else 0.
    """
    limit = least[0] * np.sqrt(noise**2 + beneath) + least[1] * beneath
    return np.where(np.abs(layer) > limit, np.uint32(plane), np.uint32(0))
