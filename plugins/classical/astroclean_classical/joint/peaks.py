"""Catalogue of a jointly deconvolved map: its peaks, their fluxes and the errors of these."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u

from astroclean.core.psf.stamp import half_maximum_width
from astroclean.core.sources.columns import catalogue_table
from astroclean.core.sources.sources import Sources
from astroclean_classical.restore.restoration import sky_statistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from astroclean_classical.joint.bands import Band

__all__ = ["catalogue", "flux_errors", "noise_at", "source_width", "sources_in"]

_LEAST_PEAK = 0.1
"""Of the flux limit: a source that is as wide as its radius has a peak well above this."""
_APART = 0.4
"""Least distance of peaks, over the radius."""
_BRIGHTEST = 20
_TOLD = 1.3
"""By what errors are larger than the scatters tell: of simulated fields three sources in five then
lie within one and nine in ten within two, faint neighbors that no peak shows included."""
_MEANINGS = {
    "id": "number, from the brightest down",
    "x": "of the peak, pixels of the finer grid; the first center is 0",
    "y": "of the peak, pixels of the finer grid; the first center is 0",
    "flux": "at 450 um if the colors hold: of the estimate within the FWHM of the result",
    "flux_err": "standard deviation, from noise, blends and colors",
    "snr": "flux over what noise alone makes of it",
    "peak": "of the map",
}


def sources_in(
    image: NDArray[np.float32],
    estimate: NDArray[np.float32],
    *,
    radius: float,
    spacing: int,
    limit: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the peaks of a map with their fluxes, from the brightest down.

    Parameters
    ----------
    image : (my, mx) float32
        mJy/beam, finite.
    estimate : (ny, nx) float32
        mJy per pixel, what the map was drawn from.
    radius : float
        Around a peak within which flux is its own, unless another peak is nearer; pixels of the
        map.
    spacing : int
        Pixels of the map along one of the estimate.
    limit : float
        Least flux, mJy.

    Returns
    -------
    places : (n, 2) int64
        Pixels (y, x) of the map.
    flux : (n,) float64
        mJy.
    """
    places = _peaks(image, least=_LEAST_PEAK * limit, apart=_APART * radius)
    flux = _fluxes(estimate, places, radius=radius, spacing=spacing)
    order = np.argsort(-flux, kind="stable")
    order = order[flux[order] >= limit]
    return places[order], flux[order]


def noise_at(
    places: NDArray[np.int64], bands: Sequence[Band], *, spacing: int
) -> NDArray[np.float64]:
    """Return the standard deviation that noise alone gives the flux of a point source, mJy.

    Parameters
    ----------
    places : (n, 2) int64
        Pixels (y, x) of the map.
    bands : sequence of Band
        What the map was made of.
    spacing : int
        Pixels of the map along one of the bands' common grid.
    """
    from scipy.signal import oaconvolve  # noqa: PLC0415 - heavy

    collected = np.zeros(len(places))
    for band in bands:
        square = np.square(np.asarray(band.image.beam, dtype=np.float32))[::-1, ::-1]
        seen = oaconvolve(band.noise_weights, square, mode="same")
        collected += band.image.gain**2 * seen[tuple((places // spacing).T)]
    return np.asarray(1 / np.sqrt(np.maximum(collected, 1e-12)))


def flux_errors(
    flux: NDArray[np.float64], noise: NDArray[np.float64], bands: Sequence[Band]
) -> NDArray[np.float64]:
    """Return the standard deviation of fluxes.

    Parameters
    ----------
    flux, noise : (n,) float64
        mJy; noise as `noise_at` gives it.
    bands : sequence of Band
        Each tells a flux with an error from blends, which is what its pixels scatter more than
        their noise, and one from its color.
    """
    weight = np.zeros(len(flux))
    for band in bands:
        _, deviation = sky_statistics(band.image.data[band.noise_weights > 0])
        blends = max(deviation**2 - band.noise**2, 0.0)
        colors = (band.color.scatter * band.color.mean * flux) ** 2
        weight += band.color.mean**2 / np.maximum(blends + colors, 1e-12)
    return np.asarray(_TOLD * np.sqrt(noise**2 + 1 / weight))


def catalogue(
    image: NDArray[np.float32],
    places: NDArray[np.int64],
    flux: NDArray[np.float64],
    *,
    noise: NDArray[np.float64],
    error: NDArray[np.float64],
) -> Sources:
    """Return sources as a catalogue.

    Parameters
    ----------
    image : (my, mx) float32
        mJy/beam.
    places, flux : (n, 2) int64 and (n,) float64
        As `sources_in` gives them.
    noise, error : (n,) float64
        As `noise_at` and `flux_errors` give them.
    """
    y, x = _subpixel(image, places).T
    rows, columns = places.T
    values = {
        "id": np.arange(1, len(flux) + 1),
        "x": x,
        "y": y,
        "flux": u.Quantity(flux, u.mJy),
        "flux_err": u.Quantity(error, u.mJy),
        "snr": flux / noise,
        "peak": u.Quantity(image[rows, columns], u.mJy / u.beam),
    }
    return Sources(catalogue_table(values, meanings=_MEANINGS))


def source_width(image: NDArray[np.float32], sources: Sources) -> float | None:
    """Return the median FWHM of the brightest sources, in pixels; None where there is none."""
    widths = []
    half = 15
    for x, y in zip(sources.table["x"], sources.table["y"], strict=True):
        row, column = round(float(y)), round(float(x))
        stamp = image[
            max(row - half, 0) : row + half + 1, max(column - half, 0) : column + half + 1
        ]
        if stamp.shape == (2 * half + 1, 2 * half + 1) and stamp[half, half] > 0:
            widths.append(half_maximum_width(np.minimum(stamp, stamp[half, half]).astype(float)))
        if len(widths) == _BRIGHTEST:
            break
    return float(np.median(widths)) if widths else None


def _peaks(image: NDArray[np.float32], *, least: float, apart: float) -> NDArray[np.int64]:
    """Return (n, 2) pixels (y, x) of the peaks."""
    from skimage.feature import peak_local_max  # noqa: PLC0415 - heavy

    distance = max(round(apart), 1)
    found = peak_local_max(image, min_distance=distance, threshold_abs=least, exclude_border=False)
    return np.asarray(found, dtype=np.int64).reshape(-1, 2)


def _fluxes(
    flux: NDArray[np.float32], places: NDArray[np.int64], *, radius: float, spacing: int
) -> NDArray[np.float64]:
    """Return the flux of the pixels that are nearest to each place, and not too far from it."""
    from scipy.spatial import cKDTree  # noqa: PLC0415 - heavy

    total = np.zeros(len(places))
    if not len(places):
        return total
    lit = np.argwhere(flux > 0)
    middles = spacing * lit + spacing // 2
    distance, owner = cKDTree(places).query(middles, distance_upper_bound=radius)
    own = np.isfinite(distance)
    np.add.at(total, owner[own], flux[tuple(lit[own].T)])
    return total


def _subpixel(image: NDArray[np.float32], places: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the places of peaks between pixels: of the parabola through three of them."""
    exact = places.astype(float)
    for axis in (0, 1):
        before, after = places.copy(), places.copy()
        before[:, axis] = np.maximum(places[:, axis] - 1, 0)
        after[:, axis] = np.minimum(places[:, axis] + 1, image.shape[axis] - 1)
        low, middle, high = (image[tuple(part.T)].astype(float) for part in (before, places, after))
        bend = low - 2 * middle + high
        step = np.where(bend < 0, 0.5 * (low - high) / np.where(bend < 0, bend, -1), 0)
        exact[:, axis] += np.clip(step, -0.5, 0.5)
    return exact
