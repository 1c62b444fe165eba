"""For `matched-filter`: the significance of a point source at each place, and its peaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean_classical.restore.restoration import sky_statistics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["peaks", "significance"]

_LEAST_BOX = 8
# Of the noise that a whole PSF collects: where less is known, the filter tells nothing.
_LEAST_WEIGHT = 0.1


def significance(
    frame: Frame,
    bad: NDArray[np.bool_],
    noise: NDArray[np.float64],
    *,
    psf: NDArray[np.float64],
    scale: float,
) -> tuple[NDArray[np.float64], float]:
    """Return the signal to noise of a point source at the center of each pixel.

    Parameters
    ----------
    frame : Frame
        Not modified.
    bad : (ny, nx) bool
        Unusable pixels; they count for nothing.
    noise : (ny, nx) float64
        Standard deviation of each pixel.
    psf : (ky, kx) float64
        Of sum 1.
    scale : float
        Structure wider than this is background, in pixels.

    Returns
    -------
    image : (ny, nx) float64
        In standard deviations of the sky as it is: structure between the sources counts.
    scale : float
        Scatter of the sky after the filter, in units of that from the noise; at least 1.
    """
    import sep  # noqa: PLC0415 - heavy
    from scipy.signal import fftconvolve  # noqa: PLC0415 - heavy

    box = int(max(round(scale), _LEAST_BOX))
    data = np.where(bad, np.float32(0), frame.data)
    level = sep.Background(data, mask=bad, bw=box, bh=box).back()
    weight = np.where(bad, 0.0, 1 / noise**2)
    flat = np.where(bad, 0.0, data - level)
    kernel = psf[::-1, ::-1]
    signal = fftconvolve(flat * weight, kernel, mode="same")
    collected = fftconvolve(weight, kernel**2, mode="same")
    enough = collected > _LEAST_WEIGHT * float(np.sum(psf**2)) * float(np.median(weight[~bad]))
    image = np.where(enough, signal / np.sqrt(np.where(enough, collected, 1)), 0)
    _, scatter = sky_statistics(image[enough]) if enough.any() else (0.0, 1.0)
    rough = max(scatter, 1.0)
    return image / rough, rough


def peaks(
    image: NDArray[np.float64], threshold: float, *, factor: int, separation: float
) -> NDArray[np.float64]:
    """Return the places of the peaks, found on a finer grid.

    Parameters
    ----------
    image : (ny, nx) float64
        Signal to noise; smooth, for it was filtered.
    threshold : float
        Least height.
    factor : int
        By how much the grid is finer.
    separation : float
        Least distance between two peaks, in pixels of the image.

    Returns
    -------
    (n, 2) float64
        (x, y) in pixels of the image, from the highest down.
    """
    from scipy.ndimage import zoom  # noqa: PLC0415 - heavy
    from skimage.feature import peak_local_max  # noqa: PLC0415 - heavy

    fine = zoom(image, factor, order=3, grid_mode=True, mode="nearest")
    distance = max(round(separation * factor), 1)
    found = peak_local_max(
        fine, min_distance=distance, threshold_abs=threshold, exclude_border=False
    )
    return (np.asarray(found, dtype=float).reshape(-1, 2)[:, ::-1] + 0.5) / factor - 0.5
