"""The scatter of a frame's sky, measured row by row, beside the noise that is predicted for it.

What stages believe of the noise comes from headers and planes that may be of another exposure, in
another unit, or of a sky that was subtracted since. The pixels themselves cannot lie about it.

The scatter is that of differences of neighbors in small cells, so that neither gradients nor
nebulae count; of each cell the largest differences are left out (stars, hits); and of all cells
the quiet ones count, with what is predicted there. Nothing is fitted, so the rows may come
in bands of any height: what is found is the same to the bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NOISE_FACTOR", "SkyNoise", "SkyNoiseGatherer"]

NOISE_FACTOR = 2.0
"""Predicted and measured noise that differ by more contradict each other."""

_CELL = 16
# So many cells tell the quartile to a percent.
_MOST_CELLS = 2048
_LEAST_GOOD = 0.5
# Fewer cells may all hold a star.
_FEWEST_CELLS = 16
_KEPT = 0.8
# Variance of a normal distribution of which the outer fifth is left out: 1 - 2 q p(q) / .8, q 1.28.
_KEPT_VARIANCE = 0.4377
# Percentiles of the scatter: of quiet cells, among which there are neither stars nor nebulae.
_QUIET = (15.0, 25.0, 35.0)
# The lower quartile of cells of pure noise lies this much below their noise (measured, 16 pixels).
_QUARTILE_BIAS = 0.957
# Above this share of cells without scatter there is no sky whose noise could be told.
_MOST_CONSTANT = 0.5
# Noisy skies about 0 and photon counts have more zeros than this among their pixels.
_FEW_ZEROS = 0.05
# At this distance drizzled and resampled pixels no longer share input pixels.
_FAR = 4


@dataclass(frozen=True)
class SkyNoise:
    """What the quiet cells of a frame tell of its noise; numbers in the unit of the frame."""

    measured: float
    """Standard deviation of neighbors about each other; 0 where most of the sky has none."""
    predicted: float | None
    """Standard deviation that was predicted for the same pixels; None where nothing was."""
    level: float
    """Sky."""
    correlation: float
    """Of the noise of neighbors: 0 for white noise, near 1 for an image that was resampled to much
    finer pixels, and where confusion is all there is."""
    constant: float
    """Share of the cells without any scatter, borders of zeros left out."""
    cells: int
    """Cells that were heard; 0 where the frame has too few pixels to believe."""
    has_empty_zeros: bool
    """Whether the zeros that fill whole cells are no data: elsewhere, no noisy pixel is just 0."""

    @property
    def ratio(self) -> float:
        """Measured over predicted noise; 1 where one of them is not known, as in tiny frames."""
        if not self.predicted or self.cells < _FEWEST_CELLS:
            return 1.0
        return self.measured / self.predicted

    @property
    def exceeds_prediction(self) -> bool:
        """Whether more noise was measured than can be reconciled with the prediction."""
        return self.ratio > NOISE_FACTOR

    @property
    def falls_short_of_prediction(self) -> bool:
        """Whether less noise was measured than can be reconciled with the prediction."""
        return self.ratio < 1 / NOISE_FACTOR


class SkyNoiseGatherer:
    """Gathers the noise of a frame from its rows, in order.

    Parameters
    ----------
    shape : (ny, nx)
        Of the whole frame.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        cells = (-(-shape[0] // _CELL), -(-shape[1] // _CELL))
        self._step = max(1, math.ceil(math.sqrt(cells[0] * cells[1] / _MOST_CELLS)))
        self._height = shape[0]
        self._row = 0
        self._pending: list[tuple[NDArray[np.float32], ...]] = []
        self._cells: list[NDArray[np.float64]] = []
        self._predicts = False

    def add(
        self,
        data: NDArray[np.float32],
        valid: NDArray[np.bool_],
        variance: NDArray[np.float32] | None = None,
    ) -> None:
        """Take the next rows.

        Parameters
        ----------
        data : (n, nx) float32
            Pixels; read only where ``valid``. Not modified.
        valid : (n, nx) bool
            Pixels to believe.
        variance : (n, nx) float32, optional
            What is predicted for them, square of the unit of ``data``.
        """
        self._predicts |= variance is not None
        start = 0
        while start < len(data):
            stop = min(start + _CELL - self._row % _CELL, len(data))
            if self._row // _CELL % self._step == 0:
                rows = slice(start, stop)
                image = np.where(valid[rows], data[rows], np.float32(np.nan))
                told = np.zeros_like(image) if variance is None else variance[rows]
                self._pending.append((image, told))
            self._row += stop - start
            start = stop
            if self._pending and (self._row % _CELL == 0 or self._row == self._height):
                image, told = (np.concatenate(parts) for parts in zip(*self._pending, strict=True))
                self._pending = []
                self._cells.append(_of_cells(image, told, self._step))

    def finish(self) -> SkyNoise:
        """Return what was found; no noise where no cell had enough pixels."""
        cells = np.concatenate(self._cells) if self._cells else np.zeros((0, 5))
        cells = cells[np.isfinite(cells).all(axis=1)]
        scatters, zeros = cells[:, 0] > 0, cells[:, 4] == 1
        empty = bool(zeros.any() and scatters.any())
        empty &= bool(np.median(cells[scatters, 4]) < _FEW_ZEROS) if empty else False
        if empty:
            cells, scatters = cells[~zeros], scatters[~zeros]
        told = self._predicts and len(cells) > 0
        constant = float(np.mean(~scatters)) if len(cells) else 0.0
        if not scatters.any() or constant > _MOST_CONSTANT:
            level = float(np.median(cells[:, 3])) if len(cells) else 0.0
            predicted = float(np.sqrt(np.median(cells[:, 2]))) if told else None
            return SkyNoise(0.0, predicted, level, 0.0, constant, len(cells), empty)
        count, cells = len(cells), cells[scatters]
        # Cells about the quartile, not below it: of equal cells those are low by chance.
        scatter = cells[:, 0]
        low, limit, high = np.percentile(scatter, _QUIET)
        low, high = scatter[scatter <= low].max(), scatter[scatter >= high].min()  # at least one
        quiet = cells[(scatter >= low) & (scatter <= high)]
        near, far, expected, level = np.median(quiet[:, :4], axis=0)
        predicted = math.sqrt(expected) if told else None
        measured = math.sqrt(limit) / _QUARTILE_BIAS
        tells = far > 0 and count >= _FEWEST_CELLS
        correlation = float(np.clip(1 - near / far, 0, 1)) if tells else 0.0
        return SkyNoise(measured, predicted, float(level), correlation, constant, count, empty)


def _of_cells(
    image: NDArray[np.float32], variance: NDArray[np.float32], step: int
) -> NDArray[np.float64]:
    """Return rows of (variance of neighbors, of far pixels, predicted, level, share of zeros).

    ``image`` is one row of cells, NaN where no pixel is to be believed. Cells with few pixels give
    NaN.
    """
    height, width = image.shape
    whole = width // _CELL
    if whole == 0:  # a frame narrower than a cell
        blocks = [part[np.newaxis] for part in (image, variance)]
    else:
        blocks = [
            part[:, : whole * _CELL].reshape(height, whole, _CELL).transpose(1, 0, 2)[::step]
            for part in (image, variance)
        ]
    cells = np.full((len(blocks[0]), 5), np.nan)
    values = blocks[0].astype(np.float64)
    share = np.isfinite(values).mean(axis=(1, 2))
    good = share >= _LEAST_GOOD
    if not good.any():
        return cells
    values = values[good]
    told = np.where(np.isfinite(values), blocks[1][good], np.nan)
    cells[good, 0] = _variance_of_differences(values, 1)
    cells[good, 1] = _variance_of_differences(values, _FAR)
    cells[good, 2] = np.nanmean(told, axis=(1, 2))
    cells[good, 3] = np.nanmedian(values, axis=(1, 2))
    cells[good, 4] = (values == 0).sum(axis=(1, 2)) / np.isfinite(values).sum(axis=(1, 2))
    return cells


def _variance_of_differences(cells: NDArray[np.float64], lag: int) -> NDArray[np.float64]:
    """Return the variance of pixels from differences at a distance, without the largest fifth."""
    pairs = [
        (cells[:, :, lag:] - cells[:, :, :-lag]).reshape(len(cells), -1),
        (cells[:, lag:, :] - cells[:, :-lag, :]).reshape(len(cells), -1),
    ]
    squares = np.sort(np.square(np.concatenate(pairs, axis=1)), axis=1)  # NaN last
    kept = (np.isfinite(squares).sum(axis=1) * _KEPT).astype(int)
    sums = np.cumsum(np.nan_to_num(squares), axis=1)
    variance = np.full(len(cells), np.nan)
    some = kept > 0
    variance[some] = sums[some, kept[some] - 1] / kept[some] / (2 * _KEPT_VARIANCE)
    return variance
