"""What the numbers of the networks mean, measured on scenes of another recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Calibration", "Logistic"]


class Logistic(BaseModel):
    """A probability from a score between 0 and 1: ``1 / (1 + exp(-(slope logit + offset)))``."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    slope: float = 1.0
    offset: float = 0.0

    def __call__(self, score: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return probabilities of scores (n,)."""
        inside = np.clip(np.asarray(score, dtype=np.float64), 1e-6, 1 - 1e-6)
        logit = np.log(inside / (1 - inside))
        return np.asarray(1 / (1 + np.exp(-(self.slope * logit + self.offset))))


class Calibration(BaseModel):
    """Of one pair of networks."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    threshold: float = Field(default=0.34, gt=0, lt=1)
    """Height of the map of centres from which there is a source."""
    detection: Logistic = Logistic()
    star: Logistic = Logistic()
    blend: Logistic = Logistic()
    error_scale: float = Field(default=1.0, gt=0)
    """By how much errors of fluxes from the noise are larger than the fit says."""
    profile_error: float = Field(default=0.0, ge=0)
    """Relative error of a flux from the profile of a galaxy that is alone; a star has none."""
    blend_error: float = Field(default=0.0, ge=0)
    """The same more, times the blendedness."""

    def flux_error(
        self,
        error: NDArray[np.floating],
        flux: NDArray[np.floating],
        blendedness: NDArray[np.floating],
        star: NDArray[np.floating],
    ) -> NDArray[np.float64]:
        """Return errors of fluxes with what the profiles add.

        Parameters
        ----------
        error, flux : (n,) float
            Of the fit.
        blendedness, star : (n,) float
            Blendedness, and calibrated probability of a star.

        Returns
        -------
        (n,) float64
            At least ``error_scale`` times the errors of the fit.
        """
        part = self.profile_error * (1 - np.nan_to_num(star))
        shape = (part + self.blend_error * np.nan_to_num(blendedness)) * np.abs(flux)
        return np.asarray(np.hypot(self.error_scale * np.asarray(error), shape))
