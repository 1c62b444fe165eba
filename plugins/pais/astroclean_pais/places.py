"""Places of sources on the data, where the finder's own error would be larger than the noise's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.psf.stamp import FWHM_PER_SIGMA
from astroclean_pais.light import model_image

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from astroclean.core.sources.sources import SourceStamp
    from astroclean_pais.bands import Band

__all__ = ["place_by_data"]

_RADIUS_OF_GAUSSIAN = FWHM_PER_SIGMA / 2
"""Half-light radius over standard deviation."""
_MIN_SNR = 20.0
"""From which on places are measured: below, the finder's are as good. Its own error is 0.04 to 0.18
pixels, whatever the S/N."""
_GRID = 2.0**20
"""Steps of a place in a pixel, so that sums with whole numbers of pixels are exact."""
_STEPS = 20
_STILL = 1e-4
"""Pixels: a step below is the last."""
_REACH = 4.0
"""Standard deviations of the window up to which pixels count."""
_FARTHEST = 1.0
"""Standard deviations of the window: a place farther from the finder's is another thing."""


def place_by_data(
    tables: Mapping[str, Any], bands: Mapping[str, Band], models: Mapping[str, list[SourceStamp]]
) -> None:
    """Set the places of bright sources to those of the data, the same in all bands.

    Bands on pixels of their own keep the finder's, which are one place on the sky.
    """
    if len({(*table["x"], *table["y"]) for table in tables.values()}) > 1:
        return
    measured = [
        _measured(bands[name].light, bands[name].usable, models[name], table)
        for name, table in tables.items()
    ]
    weight = np.sum([one.weight for one in measured], axis=0)
    known = weight > 0
    with np.errstate(invalid="ignore"):
        place = _rounded(np.sum([one.weight * one.place for one in measured], axis=0) / weight)
    for table in tables.values():
        for axis, values in zip(("x", "y"), place, strict=True):
            table[axis][known] = values[known]


@dataclass(frozen=True, eq=False)
class _Measured:
    """Where n sources are in one band, and how much that counts."""

    place: NDArray[np.float64]
    """(2, n) x, y in pixels; the finder's where none was measured."""
    weight: NDArray[np.float64]
    """(n,) S/N squared; 0 where none was measured."""


def _measured(
    light: NDArray[np.floating],
    usable: NDArray[np.bool_],
    models: Sequence[SourceStamp],
    table: Any,
) -> _Measured:
    """Return the centroids of bright sources within a Gaussian window, of the data less all others.

    They are those of SExtractor (XWIN, YWIN), in windows of the width of the sources: for a star as
    good as a fit of the PSF.

    Parameters
    ----------
    light : (ny, nx) float
        Data less the sky. Not modified.
    usable : (ny, nx) bool
        Where it counts; elsewhere the models do.
    models : sequence of SourceStamp
        n images of the sources in the unit of the light. Not modified.
    table : QTable
        Of the sources: the finder's ``x`` and ``y``, ``snr``, ``half_light_radius_convolved``.
        Not modified.
    """
    names = ("x", "y", "snr", "half_light_radius_convolved")
    x, y, snr, radius = (np.array(table[name], dtype=np.float64) for name in names)
    total = model_image(models, np.ones(len(models)), light.shape)
    left = np.where(usable, light - total, 0.0)
    place, weight = np.stack([x, y]), np.zeros(len(models))
    for one in map(int, np.flatnonzero((snr >= _MIN_SNR) & (radius > 0))):
        on_image, of_box = models[one].overlap(light.shape)
        corner = np.array([on_image[1].start, on_image[0].start], dtype=np.float64)
        own = left[on_image] + models[one].data[of_box].astype(np.float64)
        start = _rounded(place[:, one] - corner)
        center = _centroid(own, start, float(radius[one]) / _RADIUS_OF_GAUSSIAN)
        if center is not None:
            place[:, one], weight[one] = center + corner, snr[one] ** 2
    return _Measured(place, weight)


def _centroid(
    light: NDArray[np.float64], start: NDArray[np.float64], sigma: float
) -> NDArray[np.float64] | None:
    """Return the windowed centroid of a box, x and y; None where it runs away."""
    rows, columns = (np.arange(side, dtype=np.float64) for side in light.shape)
    center: NDArray[np.float64] = start
    for _ in range(_STEPS):
        dx, dy = columns - center[0], rows[:, np.newaxis] - center[1]
        square = (dx**2 + dy**2) / sigma**2
        window = np.where(square < _REACH**2, np.exp(-square / 2), 0.0) * light
        total = window.sum()
        if total <= 0:
            return None
        step = 2 * np.array([(window * dx).sum(), (window * dy).sum()]) / total
        center = _rounded(center + step)
        if not np.hypot(*(center - start)) < _FARTHEST * sigma:
            return None
        if np.abs(step).max() < _STILL:
            return center
    return None


def _rounded(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return places that have the same bytes in pixels of a chunk and of the whole frame."""
    found: NDArray[np.float64] = np.rint(places * _GRID) / _GRID
    return found
