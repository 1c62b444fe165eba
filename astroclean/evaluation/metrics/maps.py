"""Measures of maps: pooled pixel by pixel, and the beam of their sources."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.psf.stamp import centred_stamp, core_centroid, half_maximum_width

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MapSums", "Stack", "map_sums", "stacked"]


@dataclass(frozen=True)
class MapSums:
    """Sums over the pixels of a map and of the true one; add two to pool fields."""

    judged: int = 0
    """Pixels that are asked for."""
    count: int = 0
    """Of these, those that the map has; the sums are over them."""
    found: float = 0.0
    true: float = 0.0
    found2: float = 0.0
    true2: float = 0.0
    product: float = 0.0
    error2: float = 0.0
    """Of the squares of the differences."""

    def __add__(self, other: MapSums) -> MapSums:
        return MapSums(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def missing(self) -> float:
        """Share of the pixels that the map does not have."""
        return 1 - self.count / self.judged if self.judged else float("nan")

    @property
    def offset(self) -> float:
        """Mean of the differences."""
        return (self.found - self.true) / self.count if self.count else float("nan")

    @property
    def rms(self) -> float:
        """Root mean square of the differences."""
        return float(np.sqrt(self.error2 / self.count)) if self.count else float("nan")

    @property
    def correlation(self) -> float:
        """Pearson's, of map and truth; NaN where one of them is flat."""
        of_map, of_truth, of_both = self._moments()
        return of_both / float(np.sqrt(of_map * of_truth)) if of_map * of_truth > 0 else np.nan

    @property
    def fitted_rms(self) -> float:
        """Root mean square of what the best factor and offset of the map leave of the truth."""
        of_map, of_truth, of_both = self._moments()
        explained = of_both**2 / of_map if of_map > 0 else 0.0
        return float(np.sqrt(max(of_truth - explained, 0.0)))

    def _moments(self) -> tuple[float, float, float]:
        """Return the variances of map and truth, and their covariance."""
        if not self.count:
            return (float("nan"),) * 3
        a, b = self.found / self.count, self.true / self.count
        squares = (self.found2, self.true2, self.product)
        means = (a * a, b * b, a * b)
        of_map, of_truth, of_both = (
            total / self.count - mean for total, mean in zip(squares, means, strict=True)
        )
        return max(of_map, 0.0), max(of_truth, 0.0), of_both


def map_sums(image: NDArray[Any], truth: NDArray[Any], where: NDArray[np.bool_]) -> MapSums:
    """Return the sums of a map and the true one.

    Parameters
    ----------
    image, truth : (ny, nx)
        In one unit; pixels of the map that are not finite are missing.
    where : (ny, nx) bool
        Pixels that count.
    """
    used = where & np.isfinite(image)
    a, b = (np.asarray(one[used], dtype=np.float64) for one in (image, truth))
    sums = (a.sum(), b.sum(), a @ a, b @ b, a @ b, np.sum((a - b) ** 2))
    return MapSums(int(where.sum()), int(used.sum()), *map(float, sums))


@dataclass(frozen=True, eq=False)
class Stack:
    """The sum of cut-outs around sources, each with its peak in the middle; add two to pool."""

    total: NDArray[np.float64]
    """(k, k)."""
    count: int = 0
    """Sources."""

    def __add__(self, other: Stack) -> Stack:
        return Stack(self.total + other.total, self.count + other.count)

    @property
    def fwhm(self) -> float:
        """Diameter of the circle with the area above half the peak, in pixels.

        Both above the median of the outer third. NaN without sources, or without a peak.
        """
        middle = len(self.total) // 2
        radius = np.hypot(*(np.indices(self.total.shape) - middle))
        image = self.total - np.median(self.total[radius > 2 * middle / 3])
        if not self.count or image.max() <= 0 or image[middle, middle] < image.max() / 2:
            return float("nan")
        return half_maximum_width(image)


def stacked(image: NDArray[np.float64], places: NDArray[np.float64], *, reach: int) -> Stack:
    """Return the sum of cut-outs of an image around sources.

    Parameters
    ----------
    image : (ny, nx) float64
        Cut-outs with pixels that are not finite, or that reach beyond it, are left out.
    places : (n, 2) float64
        x, y near the peaks, in pixels: the centroid of each peak in the image counts.
    reach : int
        Pixels from the middle of a cut-out to its edges.
    """
    core = max(reach // 3, 2)
    # The centroid may lie so far away; the cut-out around it must still be whole.
    wide, side = reach + core, 2 * (reach + core) + 1
    total, count = np.zeros((2 * reach + 1, 2 * reach + 1)), 0
    for x, y in np.rint(places).astype(int):
        if min(x, y) < wide:
            continue
        cut = image[y - wide : y + wide + 1, x - wide : x + wide + 1]
        if cut.shape != (side, side) or not np.isfinite(cut).all():
            continue
        near = cut[reach : reach + 2 * core + 1, reach : reach + 2 * core + 1]
        if near.max() > near.min():
            y0, x0 = core_centroid(near - near.min())
            moved = centred_stamp(cut, (y0 + reach, x0 + reach))
            edge = len(moved) // 2 - reach
            total += moved[edge : len(moved) - edge, edge : len(moved) - edge]
            count += 1
    return Stack(total, count)
