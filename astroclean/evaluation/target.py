"""The PSF at which deconvolved images are judged, and images brought to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.psf.stamp import FWHM_PER_SIGMA
from astroclean.core.psf.target import TARGET_FWHM, target_psf
from astroclean.errors import ConfigurationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.simulate.scene import Scene

__all__ = ["TARGET", "AtTarget", "at_target", "blurred", "true_image"]

TARGET = target_psf()
"""Narrow, and still sampled well by pixels."""
_SAME = 0.02
"""Difference of widths up to which a PSF is that of the target."""
_REACH = 12
"""Pixels by which an image is continued over its borders."""


@dataclass(frozen=True, eq=False)
class AtTarget:
    """A result, as it is compared with the truth."""

    image: NDArray[np.float64]
    """With the target's width, or more where the method leaves more."""
    smoothed: NDArray[np.float64] | None = None
    """Of a result that is not at the target by what it states: convolved with the target."""
    deviation: NDArray[np.float64] | None = None
    """Stated standard deviation of ``image``; None where the result is not at the target."""


def true_image(scene: Scene) -> NDArray[np.float64]:
    """Return the true image at the target PSF.

    Parameters
    ----------
    scene : Scene
        Tells it in ``target``, or else the image before the PSF in ``sharp``, which is convolved
        with the target. That is right for what its pixels sample: the peak of a galaxy with a cusp
        may be off by several percent.

    Returns
    -------
    (ny, nx) float64
        A new array.

    Raises
    ------
    ConfigurationError
        The scene tells neither.
    """
    if scene.target is not None:
        return np.array(scene.target.data, dtype=np.float64)
    if scene.sharp is None:
        raise ConfigurationError(
            f"{scene.frame.frame_id}: the scene does not tell the image before the PSF"
        )
    return blurred(scene.sharp, TARGET_FWHM)


def at_target(result: Frame) -> AtTarget:
    """Bring a result to the target PSF, as far as convolution can.

    One whose PSF is narrower is convolved with what that lacks; a wider one cannot be helped. Of
    linear and iterative methods the stated PSF is that of bright sources alone, and what is noise
    at the scale of a pixel is nobody's structure: for pixels such a result may be convolved with
    the target, too.

    Parameters
    ----------
    result : Frame
        With the PSF that the plugin states. Not modified.
    """
    data = np.asarray(result.data, dtype=np.float64)
    assert result.psf is not None  # deconvolvers state one
    width, wanted = result.psf.fwhm_pixels, TARGET.fwhm_pixels
    if abs(width / wanted - 1) <= _SAME:
        deviation = None if result.uncertainty is None else result.uncertainty.array
        told = None if deviation is None else np.asarray(deviation, dtype=np.float64)
        return AtTarget(data, deviation=told)
    image = blurred(data, float(np.sqrt(wanted**2 - width**2))) if width < wanted else data
    return AtTarget(image, smoothed=blurred(data, TARGET_FWHM))


def blurred(image: NDArray[Any], fwhm: float) -> NDArray[np.float64]:
    """Return an image convolved with a Gaussian; its borders are continued as they are.

    Parameters
    ----------
    image : (ny, nx)
        Pixels that are not finite are interpolated, and stay what they are.
    fwhm : float
        Pixels; by Fourier transform, so that less than a pixel is exact, too.
    """
    from scipy.ndimage import fourier_gaussian  # noqa: PLC0415 - slow to import

    known = np.isfinite(image)
    parts = []
    for part in (np.where(known, image, 0.0), known):
        padded = np.pad(np.asarray(part, dtype=np.float64), _REACH, mode="edge")
        spectrum = fourier_gaussian(np.fft.fft2(padded), fwhm / FWHM_PER_SIGMA)
        parts.append(np.fft.ifft2(spectrum).real[_REACH:-_REACH, _REACH:-_REACH])
    with np.errstate(divide="ignore", invalid="ignore"):
        smooth = parts[0] / parts[1]
    return np.where(known, smooth, np.nan)
