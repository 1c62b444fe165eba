"""Shapes of models: centroid, moments, radius of half the light, and how well a place is known."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.image.arrays import read_only

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from astroclean.core.sources.sources import SourceStamp

__all__ = ["ellipses", "half_light_radius", "moments", "place_errors", "place_information"]

_STEP = 0.1
"""Pixels from one radius to the next; the light within is straight between."""
_SINGULAR = 1e-12
"""Determinant of a scaled information matrix from which a place is not known."""


def moments(image: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return centroid and central second moments of an image, unweighted.

    Parameters
    ----------
    image : (my, mx) float
        Without noise. Not modified.

    Returns
    -------
    (5,) float64
        x, y (pixels of the box), x2, y2, xy (pixels squared); NaN where the light adds up to none.
    """
    light = np.asarray(image, dtype=np.float64)
    total = light.sum()
    if total == 0 or not np.isfinite(total):
        return np.full(5, np.nan)
    light = light / total
    columns, rows = light.sum(axis=0), light.sum(axis=1)
    x, y = columns @ np.arange(columns.size), rows @ np.arange(rows.size)
    dx, dy = np.arange(columns.size) - x, np.arange(rows.size) - y
    return np.array([x, y, columns @ dx**2, rows @ dy**2, dy @ light @ dx])


def ellipses(x2: Any, y2: Any, xy: Any) -> dict[str, NDArray[np.float64]]:
    """Return the ellipses of second moments.

    Parameters
    ----------
    x2, y2, xy : (n,) array_like
        Central second moments, pixels squared.

    Returns
    -------
    dict of str to (n,) float64
        ``a`` and ``b`` (standard deviations along the axes, pixels), ``theta`` (of the major axis
        from +x towards +y, degrees, -90 to 90), ``ellipticity`` (1 - b / a) and ``fwhm`` (of the
        circular Gaussian with these moments); NaN where the moments are those of no ellipse.
    """
    x2, y2, xy = (np.asarray(value, dtype=np.float64) for value in (x2, y2, xy))
    half, root = (x2 + y2) / 2, np.hypot((x2 - y2) / 2, xy)
    with np.errstate(invalid="ignore", divide="ignore"):
        known = half - root > 0
        a = np.sqrt(np.where(known, half + root, np.nan))
        b = np.sqrt(np.where(known, half - root, np.nan))
    theta = np.where(known, np.degrees(np.arctan2(2 * xy, x2 - y2)) / 2, np.nan)
    fwhm = 2 * np.sqrt(np.log(2) * (a**2 + b**2))
    return {"a": a, "b": b, "theta": theta, "ellipticity": 1 - b / a, "fwhm": fwhm}


def half_light_radius(
    image: NDArray[np.floating], center: tuple[float, float], total: float
) -> float:
    """Return the radius of the circle that holds half of the light.

    A circle takes of a pixel the part by which it passes its center, from -0.5 to 0.5 pixels. So
    the light within is piecewise linear in the radius. Of round Gaussians of 2 pixels FWHM and
    more it is right to 2 %.

    Parameters
    ----------
    image : (my, mx) float
        Without noise. Not modified.
    center : (float, float)
        (x, y) in pixels of the box.
    total : float
        All light, that beyond the box included; negative if the image is.

    Returns
    -------
    float
        Pixels; NaN where the box does not hold half.
    """
    if not np.isfinite(total) or total == 0 or not np.isfinite(center).all():
        return float("nan")
    ny, nx = image.shape
    y, x = np.arange(ny)[:, np.newaxis] - center[1], np.arange(nx) - center[0]
    distance = np.hypot(y, x).ravel()
    order = np.argsort(distance, kind="stable")
    light = (np.asarray(image, dtype=np.float64) / total).ravel()[order]
    distance = distance[order]
    # Up to a radius, pixels that have begun less those that have ended give the slope.
    whole = np.concatenate([[0.0], np.cumsum(light)])
    reach = np.concatenate([[0.0], np.cumsum(light * distance)])

    def within(radius: NDArray[np.float64]) -> NDArray[np.float64]:
        begun, ended = (np.searchsorted(distance, radius + edge) for edge in (0.5, -0.5))
        part = (radius + 0.5) * (whole[begun] - whole[ended]) - (reach[begun] - reach[ended])
        return np.asarray(whole[ended] + part)

    light_within = within(np.arange(0, distance[-1] + 1, _STEP))
    beyond = int(np.argmax(light_within >= 0.5))  # noqa: PLR2004 - half the light
    if beyond == 0:
        return float("nan")
    low, high = light_within[beyond - 1 : beyond + 1]
    return _STEP * float(beyond - 1 + (0.5 - low) / (high - low))


def place_information(model: SourceStamp, weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what the pixels tell of flux and place of a source.

    Fisher information of relative flux, x and y, with slopes of the cubic spline through the model.

    Parameters
    ----------
    model : SourceStamp
        Light of the source in the unit of the frame. Not modified.
    weight : (ny, nx) float64
        1 / variance, 0 where a pixel does not count. Not modified.

    Returns
    -------
    (3, 3) float64
        New.
    """
    on_image, of_box = model.overlap(weight.shape)
    light = np.asarray(model.data, dtype=np.float64)
    ny, nx = light.shape
    columns = np.empty((3, ny, nx))
    columns[0], columns[1], columns[2] = light, light @ _slope(nx).T, _slope(ny) @ light
    seen = columns[:, *of_box].reshape(3, -1)
    information: NDArray[np.float64] = (seen * weight[on_image].ravel()) @ seen.T
    return information


@functools.cache
def _slope(side: int) -> NDArray[np.float64]:
    """Return the matrix that makes of values those of the slope of their cubic spline."""
    from scipy.ndimage import correlate1d, spline_filter1d  # noqa: PLC0415 - heavy

    if side == 1:
        return np.zeros((1, 1))
    splines = spline_filter1d(np.eye(side), axis=0)
    matrix: NDArray[np.float64] = correlate1d(splines, [-0.5, 0.0, 0.5], axis=0, mode="mirror")
    return read_only(matrix)


def place_errors(information: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the least standard deviations of places (Cramer-Rao), with the flux free.

    Parameters
    ----------
    information : sequence of (3, 3) float64
        n of `place_information`.

    Returns
    -------
    (n, 2) float64
        Of x and y in pixels; NaN where no pixel tells.
    """
    matrices = np.reshape(np.asarray(information, dtype=np.float64), (-1, 3, 3))
    scale = np.sqrt(np.diagonal(matrices, axis1=1, axis2=2))
    known: NDArray[np.bool_] = np.asarray((scale > 0).all(axis=1))
    unit = np.where(known[:, np.newaxis], scale, 1.0)
    scaled = matrices / (unit[:, :, np.newaxis] * unit[:, np.newaxis])
    known = known & (np.linalg.det(scaled) > _SINGULAR)
    scaled[~known] = np.eye(3)
    variance = np.diagonal(np.linalg.inv(scaled), axis1=1, axis2=2)[:, 1:]
    return np.where(known[:, np.newaxis], np.sqrt(variance) / unit[:, 1:], np.nan)
