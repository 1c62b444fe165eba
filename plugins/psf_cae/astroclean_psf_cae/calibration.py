"""What the numbers of the network and the fits mean, measured on sources of another recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from astroclean.inference.cards.calibration import FluxCorrection  # noqa: TC001 - pydantic's

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Calibration", "ErrorScale", "PixelError"]


class ErrorScale(BaseModel):
    """How errors of one quantity follow from those by the curvature of the fit."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    scale: float = Field(default=1.0, gt=0)
    """By which they are multiplied."""
    floor: float = Field(default=0.0, ge=0)
    """What is added in squares: profiles are no galaxies. Relative for fluxes and sizes; of places
    in FWHM of the PSF."""

    def of(
        self, error: NDArray[np.floating], unit: NDArray[np.floating] | float = 1.0
    ) -> NDArray[np.float64]:
        """Return the error, in the unit of ``error``.

        Parameters
        ----------
        error : (n,) float
            By the fit.
        unit : (n,) float or float
            What the floor is told in.
        """
        return np.asarray(np.hypot(self.scale * np.asarray(error), self.floor * np.abs(unit)))


class PixelError(BaseModel):
    """How errors of pixels follow from what the network tells."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    scale: float = Field(default=1.0, gt=0)
    """By which they are multiplied."""
    floor: float = Field(default=0.0, ge=0)
    """What is added in squares, noise of a pixel of the frame: the sky is not known better."""
    relative: float = Field(default=0.0, ge=0)
    """The same, of the value of the pixel: no PSF is known better."""

    def of(self, error: NDArray[np.floating], image: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return errors of an image without sky, all in units of the noise, (...,) float32."""
        square = (self.scale * error) ** 2 + self.floor**2 + (self.relative * image) ** 2
        return np.asarray(np.sqrt(square), dtype=np.float32)


class Calibration(BaseModel):
    """Of one network."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    snr: float = Field(default=4.0, ge=0)
    """S/N of the fit from which a stamp has a source."""
    pixel: PixelError = PixelError()
    flux: ErrorScale = ErrorScale()
    place: ErrorScale = ErrorScale()
    size: ErrorScale = ErrorScale()
    shape: ErrorScale = ErrorScale()
    flux_correction: FluxCorrection | None = None
    """Recovered over true flux, by the S/N of the fit."""

    def corrected(
        self, flux: NDArray[np.floating], snr: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """Return fluxes without what they are off by on average."""
        if self.flux_correction is None:
            return np.asarray(flux, dtype=np.float64)
        return np.asarray(flux / self.flux_correction.factor(snr))
