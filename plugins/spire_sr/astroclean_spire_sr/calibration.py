"""What the numbers of the network mean, measured on fields of other seeds than the training's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    Values = NDArray[np.float64]

__all__ = ["Calibration", "Depth", "Line"]

Pairs = Annotated[tuple[tuple[float, float], ...], Field(min_length=1)]


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Line(_Told):
    """A value between points, as those at the ends beyond them."""

    points: Pairs
    """(x, y) of each, x rising."""

    def at(self, x: Values) -> Values:
        """Return values at some places (n,)."""
        known, values = np.array(self.points).T
        return np.asarray(np.interp(x, known, values))


class Depth(_Told):
    """Of fields of some bands and noise."""

    bands: tuple[str, ...]
    noise: float = Field(gt=0)
    """Median noise of a pixel of 6 arcsec at 250 um, mJy a beam."""
    completeness: Line
    """Of galaxies, by the logarithm of their flux (mJy)."""
    reliability: Line
    """Of entries, by the logit of their score: share that have a galaxy of 1 mJy or more, and half
    the flux told, within 12 arcsec."""
    flux: Line
    """Logarithm of what fluxes are multiplied with, by the logarithm of the flux (mJy)."""
    flux_error: Line
    """What their errors are multiplied with, by the same."""


class Calibration(_Told):
    """Of one network."""

    threshold: float = Field(default=0.25, gt=0, lt=1)
    """Score from which there is a source."""
    separation: float = Field(default=2.0, gt=0)
    """Least distance of two sources, pixels of 3 arcsec."""
    error_scale: float = Field(default=1.0, gt=0)
    """By which errors of pixels are multiplied."""
    error_floor: float = Field(default=0.0, ge=0)
    """What is added to them in squares, mJy a beam."""
    depths: tuple[Depth, ...] = ()
    """What was measured; that of the same bands and the nearest noise counts."""

    def depth_of(self, bands: Collection[str], noise: float) -> Depth | None:
        """Return what was measured on fields that are most like one.

        Parameters
        ----------
        bands : collection of str
            Of the field.
        noise : float
            Its median noise at 250 um, mJy a beam.

        Returns
        -------
        Depth or None
            Of as many of these bands as there are; None: nothing was measured.
        """

        def unlike(depth: Depth) -> tuple[int, float]:
            return len(set(depth.bands) ^ set(bands)), abs(np.log(depth.noise / noise))

        return min(self.depths, key=unlike, default=None)

    def pixel_error(self, error: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return errors of pixels, mJy a beam."""
        return np.asarray(np.hypot(self.error_scale * error, self.error_floor), dtype=np.float32)
