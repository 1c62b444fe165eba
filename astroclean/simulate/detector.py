"""A simulated camera: Poisson noise, read noise, bleeding, saturation, overscan, whole numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits

from astroclean.core.image.detector import DETECTOR_KEYWORDS
from astroclean.core.stage.options import Options
from astroclean.simulate.composition import LARGEST, exposed, stored
from astroclean.simulate.draws import Range, log_uniform, uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Camera", "CameraRange", "draw_camera"]


class CameraRange(Options):
    """What cameras and skies are drawn from."""

    sky: Range = (30.0, 6000.0)
    """Electrons a pixel."""
    gain: Range = (0.8, 6.0)
    """Electrons per adu."""
    read_noise: Range = (2.0, 12.0)
    """Electrons."""
    full_well: Range = (5e4, 1.8e5)
    """Electrons."""
    bias: Range = (100.0, 1500.0)
    """adu."""


@dataclass(frozen=True)
class Camera:
    """A camera, and the sky that it looks at."""

    sky: float = 330.0
    """Electrons a pixel."""
    gain: float = 1.5
    """Electrons per adu."""
    read_noise: float = 5.0
    """Electrons."""
    full_well: float = 7.8e4
    """Electrons; a pixel never holds more."""
    bias: float = 300.0
    """adu."""
    instrument: str = field(default="simulated")

    @property
    def noise(self) -> float:
        """Standard deviation of an empty pixel of sky, in electrons."""
        return float(np.hypot(np.sqrt(self.sky), self.read_noise))

    @property
    def ceiling(self) -> float:
        """Electrons at which a pixel is saturated: full well or the end of the converter."""
        return min(self.full_well, (LARGEST - self.bias) * self.gain)

    def expose(
        self, expected: NDArray[np.float64], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Return electrons with Poisson noise; `expected` has the sky in it, and is not negative.

        Parameters
        ----------
        expected : (ny, nx) float64
            Electrons without noise.
        rng : Generator
            Source of chance.

        Returns
        -------
        (ny, nx) float64
            Electrons; the noise of large counts is drawn from the normal law, which is faster.
        """
        counted: NDArray[np.float64] = exposed(
            expected, rng.standard_normal(expected.shape), rng.poisson
        )
        return counted

    def read_out(
        self, electrons: NDArray[np.float64], rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Return adu as a camera writes them: read noise, bias, whole numbers of 16 bits."""
        noisy = electrons + self.read_noise * rng.standard_normal(electrons.shape)
        return np.asarray(stored(noisy, gain=self.gain, bias=self.bias), dtype=np.float32)

    def to_adu(self, electrons: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return electrons as adu with bias, without noise and not rounded."""
        return np.asarray(electrons / self.gain + self.bias, dtype=np.float32)

    def uncertainty(self, expected: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the standard deviation in adu of expected electrons."""
        variance = np.maximum(expected, 0) + self.read_noise**2
        return np.asarray(np.sqrt(variance) / self.gain, dtype=np.float32)

    def meta(self) -> fits.Header:
        """Return what ``Frame.meta`` holds of the camera."""
        header = fits.Header()
        values = {
            "instrument": self.instrument,
            "gain": self.gain,
            "read_noise": self.read_noise,
            "saturation": self.ceiling / self.gain + self.bias,
            "pixel_scale": 0.4,
            "exposure": 300.0,
        }
        for name, value in values.items():
            header[DETECTOR_KEYWORDS[name]] = value
        return header


def draw_camera(rng: np.random.Generator, limits: CameraRange | None = None) -> Camera:
    """Draw a camera and a sky.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    limits : CameraRange, optional
        Ranges.

    Returns
    -------
    Camera
        The camera.
    """
    limits = limits or CameraRange()
    return Camera(
        sky=log_uniform(rng, limits.sky),
        gain=log_uniform(rng, limits.gain),
        read_noise=uniform(rng, limits.read_noise),
        full_well=log_uniform(rng, limits.full_well),
        bias=uniform(rng, limits.bias),
    )
