"""Numbers of a frame before and after that are drawn as plots: values, and power spectra."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.spectrum import power_spectrum
from astroclean.io.scratch.rowstore import blocks_of, window_of
from astroclean.report.picture_records import Histogram, Spectrum

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["finite_sample", "make_histogram", "make_spectrum"]

_TIMES = "\N{MULTIPLICATION SIGN}"
_BINS = 64
_SAMPLE = 4_000_000
_SIDE = 2048  # so many pixels squared take half a second and 0.1 GB to transform
_UNCOVERED = MaskPlane.NO_DATA | MaskPlane.OVERSCAN


def make_histogram(
    before: Any, after: Any, *, sample: NDArray[np.float64] | None = None
) -> Histogram | None:
    """Count pixel values before and after on the same bins.

    Parameters
    ----------
    before, after : (ny, nx) float32 array or RowStore
        Pixel values in one unit. Not modified. Pixels that are not finite are left out.
    sample : 1-D float64, optional
        `finite_sample` of ``before``, where it is known.

    Returns
    -------
    Histogram or None
        About 64 bins between percentiles 0.1 and 99.9 of ``before``; values beyond are counted in
        the first and last bin. None where no pixel of ``before`` is finite.
    """
    sample = finite_sample(before) if sample is None else sample
    if not sample.size:
        return None
    edges = _bin_edges(sample)
    return Histogram(
        edges=edges.tolist(), before=_counts(before, edges), after=_counts(after, edges)
    )


def finite_sample(image: Any) -> NDArray[np.float64]:
    """Return the finite values of an image; of a large one, every so many of them.

    Parameters
    ----------
    image : (ny, nx) array or RowStore
        Not modified.

    Returns
    -------
    1-D float64
        At most four million, in the order of the pixels.
    """
    count = sum(int(np.count_nonzero(np.isfinite(rows))) for (rows,) in blocks_of(image))
    step = 1 + count // _SAMPLE
    parts, passed = [np.empty(0)], 0
    for (rows,) in blocks_of(image):
        values = rows[np.isfinite(rows)]
        parts.append(values[-passed % step :: step].astype(np.float64))
        passed += values.size
    return np.concatenate(parts)


def _counts(image: Any, edges: NDArray[np.float64]) -> list[int]:
    span = (float(edges[0]), float(edges[-1]))
    counts = np.zeros(len(edges) - 1, dtype=np.int64)
    for (rows,) in blocks_of(image):
        values = rows[np.isfinite(rows)]
        # In float64, since the span of float32 values may not fit into float32.
        found = np.histogram(values.astype(np.float64), bins=len(edges) - 1, range=span)[0]
        found[0] += np.count_nonzero(values < edges[0])
        found[-1] += values.size - found.sum()
        counts += found
    return [int(n) for n in counts]


def make_spectrum(
    before: Any, after: Any, flags_after: Any, *, limit: int = _SIDE
) -> Spectrum | None:
    """Measure the power spectrum before and after.

    Pixels that are not finite before or after, and those flagged as outside the coverage
    (``NO_DATA``, ``OVERSCAN``), get one value in both images, the median of all others before. So
    the spectra differ by what was changed, and not by how many pixels have a value; what was
    filled in where there was none is not shown.

    Parameters
    ----------
    before, after : (ny, nx) float32 array or RowStore
        Pixel values in one unit. Not modified.
    flags_after : (ny, nx) uint32 array or RowStore
        Bits of :class:`~astroclean.core.flags.planes.MaskPlane`. Not modified.
    limit : int, optional
        Longest side in pixels that is transformed; of a larger frame the middle is.

    Returns
    -------
    Spectrum or None
        `~astroclean.core.spectrum.power_spectrum` averaged in up to 64 bins of equal width in the
        logarithm of the frequency. None where the images are equal, or where there is no line to
        draw: fewer than two frequencies, or no power.
    """
    rows, columns = (_middle(n, limit) for n in before.shape)
    old, new, flags = (window_of(image, rows, columns) for image in (before, after, flags_after))
    unseen = ~np.isfinite(old) | ~np.isfinite(new) | ((flags & np.uint32(_UNCOVERED)) != 0)
    if not np.any((old != new) & ~unseen):
        return None
    if unseen.any():
        value = np.median(old[~unseen])
        old, new = np.where(unseen, value, old), np.where(unseen, value, new)
    (frequency, first), (_, second) = power_spectrum(old), power_spectrum(new)
    if frequency.size < 2 or not max(first.max(), second.max()):  # noqa: PLR2004 - a line
        return None
    bins = _logarithmic_bins(frequency)
    whole = old.shape == before.shape
    return Spectrum(
        frequency=_mean_of_bins(frequency, bins),
        before=_mean_of_bins(first, bins),
        after=_mean_of_bins(second, bins),
        note="" if whole else f"Of the central {old.shape[1]} {_TIMES} {old.shape[0]} pixels",
    )


def _middle(length: int, limit: int) -> slice:
    start = max(0, length - limit) // 2
    return slice(start, start + min(length, limit))


def _logarithmic_bins(frequency: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the bin of each frequency, numbered without gaps."""
    edges = np.geomspace(frequency[0], frequency[-1], _BINS + 1)
    # At low frequencies bins are narrower than their distance, and many are empty.
    return np.unique(np.digitize(frequency, edges[1:-1]), return_inverse=True)[1]


def _mean_of_bins(values: NDArray[np.float64], bins: NDArray[np.intp]) -> list[float]:
    means: list[float] = (np.bincount(bins, weights=values) / np.bincount(bins)).tolist()
    return means


def _bin_edges(sample: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = (float(p) for p in np.percentile(sample, [0.1, 99.9]))
    if np.array_equal(sample, np.rint(sample)) and max(-low, high) < 2**52:
        # A width that is no integer would give whole numbers a comb of empty bins.
        low, high = math.floor(low), math.ceil(high)
        width = math.ceil((high - low + 1) / _BINS)
        count = math.ceil((high - low + 1) / width)
        return np.asarray(low - 0.5 + width * np.arange(count + 1), dtype=np.float64)
    if not low < high:
        span = max(abs(low) * 1e-3, 1e-30)
        low, high = low - span, high + span
    return np.linspace(low, high, _BINS + 1)
