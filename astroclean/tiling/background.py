"""Sky and noise from a mesh of cells, gathered row by row, so that no frame is too large for it.

The statistics of a cell are photutils' (SExtractor's mode and the clipped standard deviation;
Bertin & Arnouts 1996, A&AS 117, 393). The mesh is small; what is made of it (cells without pixels,
median filter, spline) needs all of it. So the rows may come in bands of any height, and any part of
the map may be asked for: the values are the same to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.parallel import in_threads
from astroclean.core.stage.scope import Survey, chunk_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["Background", "BackgroundSurvey", "MeshGatherer", "MeshSettings"]

# Cells with fewer good pixels are made from their neighbors, as in SExtractor.
_LEAST_GOOD = 0.5
_CUBIC = 3
_ROWS = 256


@dataclass(frozen=True)
class MeshSettings:
    """How sky and noise are measured."""

    box: int = 64
    """Side of a cell in pixels."""
    filter_size: int = 3
    """Median filter over the mesh, in cells; odd."""
    sigma: float = 3.0
    """Pixels further than this from their cell's median are left out, in standard deviations."""
    maxiters: int = 10
    """Most rounds of clipping."""
    whole_cells: bool = False
    """Whether only whole cells are measured, in the middle of the frame, and what is left over is
    shared between its borders. Else the last row and column of cells are as narrow as the frame
    leaves them: a narrow one may hold nothing but overscan, and its level is then no sky. A side
    shorter than a cell is one cell."""


@dataclass(frozen=True, eq=False)
class Background:
    """Sky and noise of a frame."""

    shape: tuple[int, int]
    """(ny, nx) of the frame."""
    centers: tuple[NDArray[np.float64], NDArray[np.float64]]
    """(y, x) of the middles of the cells, in pixels."""
    level_mesh: NDArray[np.float64]
    """Sky of each cell, in the unit of the frame; 0 where the frame has no good pixel."""
    rms_mesh: NDArray[np.float64]
    """Standard deviation of the sky; 0 where the frame has no good pixel."""

    @property
    def typical_rms(self) -> float:
        """Median of the noise over the cells."""
        return float(np.median(self.rms_mesh))

    def level(
        self, origin: tuple[int, int] = (0, 0), shape: tuple[int, int] | None = None
    ) -> NDArray[np.float32]:
        """Return the sky of the frame, or of a part.

        Parameters
        ----------
        origin : (y, x)
            First pixel of the part.
        shape : (ny, nx), optional
            Of the part; of the frame where none is given.

        Returns
        -------
        (ny, nx) float32
            A new array. Bicubic spline through the middles of the cells, flat beyond the outermost.
        """
        return self._map(self.level_mesh, origin, shape or self.shape)

    def rms(
        self, origin: tuple[int, int] = (0, 0), shape: tuple[int, int] | None = None
    ) -> NDArray[np.float32]:
        """Return the noise of the frame, or of a part, as :meth:`level`; never below a cell's."""
        smooth = self._map(self.rms_mesh, origin, shape or self.shape)
        return np.maximum(smooth, np.float32(self.rms_mesh.min()))

    def _map(
        self, mesh: NDArray[np.float64], origin: tuple[int, int], shape: tuple[int, int]
    ) -> NDArray[np.float32]:
        spline = _spline(self.centers, mesh)
        columns = np.arange(origin[1], origin[1] + shape[1], dtype=float)
        values = np.empty(shape, dtype=np.float32)
        for start in range(0, shape[0], _ROWS):  # the spline works in float64
            stop = min(start + _ROWS, shape[0])
            rows = np.arange(origin[0] + start, origin[0] + stop, dtype=float)
            values[start:stop] = spline(rows, columns)
        return values


def _spline(centers: tuple[NDArray[np.float64], ...], mesh: NDArray[np.float64]) -> Any:
    from scipy.interpolate import RectBivariateSpline  # noqa: PLC0415 - slow to import

    axes = list(centers)
    for axis in (0, 1):
        if len(axes[axis]) == 1:  # a spline needs two points
            axes[axis] = np.append(axes[axis], axes[axis] + 1)
            mesh = np.concatenate([mesh, mesh], axis=axis)
    degrees = [min(_CUBIC, len(axis) - 1) for axis in axes]
    return RectBivariateSpline(*axes, mesh, kx=degrees[0], ky=degrees[1], s=0)


class MeshGatherer:
    """Gathers the cells of a frame from its rows, in order.

    Parameters
    ----------
    settings : MeshSettings
        Cells and clipping.
    shape : (ny, nx)
        Of the whole frame.
    threads : int
        Rows of cells that are measured at a time.
    """

    def __init__(self, settings: MeshSettings, shape: tuple[int, int], *, threads: int = 1) -> None:
        self._settings = settings
        self._shape = shape
        self._measured_rows, self._measured_columns = (_in_cells(side, settings) for side in shape)
        self._threads = threads
        self._pending: list[NDArray[np.float64]] = []
        self._waiting = 0
        self._seen = 0
        self._rows: list[tuple[NDArray[np.float64], ...]] = []

    def add(self, data: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
        """Take the next rows.

        Parameters
        ----------
        data : (n, nx) float32
            Pixels. Not modified; read only where ``valid``.
        valid : (n, nx) bool
            Pixels to believe.
        """
        box, wanted = self._settings.box, self._measured_rows
        part = (
            slice(max(wanted.start - self._seen, 0), max(wanted.stop - self._seen, 0)),
            self._measured_columns,
        )
        self._seen += data.shape[0]
        data, valid = data[part], valid[part]
        start = min(box - self._waiting, data.shape[0]) if self._waiting else 0
        if start:  # a row of cells was begun by earlier rows
            self._keep(data[:start], valid[:start])
        if self._waiting == box:
            self._close_row()
        end = start + (data.shape[0] - start) // box * box

        def measured(top: int) -> tuple[NDArray[np.float64], ...]:
            rows = slice(top, top + box)
            return self._statistics(_with_gaps(data[rows], valid[rows]))

        self._rows += in_threads(measured, range(start, end, box), self._threads)
        if end < data.shape[0]:
            self._keep(data[end:], valid[end:])

    def _keep(self, data: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
        """Keep rows that end no row of cells."""
        self._pending.append(_with_gaps(data, valid))
        self._waiting += data.shape[0]

    def _close_row(self) -> None:
        rows = np.concatenate(self._pending)
        self._pending, self._waiting = [], 0
        self._rows.append(self._statistics(rows))

    def _statistics(self, rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        """Return sky, noise and share of good pixels of a row of cells."""
        height, width = rows.shape
        box, whole = self._settings.box, width // self._settings.box
        blocks = rows[:, : whole * box].reshape(height, whole, box).transpose(1, 0, 2)
        parts = [blocks.reshape(whole, height * box)] if whole else []
        if width % box:
            parts.append(rows[:, whole * box :].reshape(1, -1))
        told = [_cell_statistics(cells, self._settings) for cells in parts]
        return tuple(np.concatenate(values) for values in zip(*told, strict=True))

    def finish(self) -> Background:
        """Return sky and noise."""
        if self._waiting:
            self._close_row()
        level, rms, share = (np.stack(values) for values in zip(*self._rows, strict=True))
        good = share >= _LEAST_GOOD
        if not good.any():
            good = share > 0
        box = self._settings.box
        centers = (_centers(self._measured_rows, box), _centers(self._measured_columns, box))
        meshes = (_smooth(mesh, good, self._settings.filter_size) for mesh in (level, rms))
        return Background(self._shape, centers, *meshes)


def _with_gaps(data: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.where(valid, data.astype(np.float64), np.nan)


def _cell_statistics(
    cells: NDArray[np.float64], settings: MeshSettings
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return sky, noise and share of good pixels of each row of pixels; NaN are not good."""
    from astropy.stats import SigmaClip  # noqa: PLC0415 - heavy
    from photutils.background import (  # noqa: PLC0415 - slow to import
        SExtractorBackground,
        StdBackgroundRMS,
    )

    share = np.count_nonzero(~np.isnan(cells), axis=1) / cells.shape[1]
    level, rms = np.zeros(len(cells)), np.zeros(len(cells))
    some = share > 0
    if some.any():
        clip = SigmaClip(sigma=settings.sigma, maxiters=settings.maxiters)
        clipped = clip(np.ma.masked_invalid(cells[some]), axis=1, masked=False)
        level[some] = SExtractorBackground(sigma_clip=None)(clipped, axis=1)
        rms[some] = StdBackgroundRMS(sigma_clip=None)(clipped, axis=1)
    return level, rms, share


def _smooth(
    mesh: NDArray[np.float64], good: NDArray[np.bool_], filter_size: int
) -> NDArray[np.float64]:
    """Fill cells that are not good from those near them, and filter."""
    from photutils.utils import ShepardIDWInterpolator  # noqa: PLC0415 - slow to import
    from scipy.ndimage import median_filter  # noqa: PLC0415 - slow to import

    filled = np.where(good, mesh, 0.0)
    if good.any() and not good.all():
        interpolator = ShepardIDWInterpolator(np.argwhere(good).astype(float), mesh[good])
        filled[~good] = interpolator(np.argwhere(~good).astype(float))
    smooth: NDArray[np.float64] = median_filter(filled, size=filter_size, mode="nearest")
    return smooth


def _in_cells(length: int, settings: MeshSettings) -> slice:
    """Return the part of a side that is measured."""
    over = length % settings.box
    if not settings.whole_cells or over == length:
        return slice(0, length)
    return slice(over // 2, length - over + over // 2)


def _centers(measured: slice, box: int) -> NDArray[np.float64]:
    edges = np.append(np.arange(measured.start, measured.stop, box), measured.stop)
    centers: NDArray[np.float64] = (edges[:-1] + edges[1:] - 1) / 2
    return centers


class BackgroundSurvey(Survey):
    """A survey of sky and noise; it finds a :class:`Background`.

    Parameters
    ----------
    settings : MeshSettings
        Cells and clipping.
    valid : callable, optional
        Gives the pixels of a frame to believe; those that are finite and not rejected where none.
    """

    def __init__(
        self, settings: MeshSettings, valid: Callable[[Frame], NDArray[np.bool_]] | None = None
    ) -> None:
        self._settings = settings
        self._gatherer: MeshGatherer | None = None
        self._valid = valid or _usable

    def add(self, frame: Frame, rows: slice) -> None:
        """Take the next rows."""
        if self._gatherer is None:  # the frame tells how large it is
            self._gatherer = MeshGatherer(self._settings, chunk_of(frame).shape)
        self._gatherer.add(frame.data[rows], self._valid(frame)[rows])

    def finish(self) -> Background:
        """Return sky and noise."""
        assert self._gatherer is not None  # a frame has rows
        return self._gatherer.finish()


def _usable(frame: Frame) -> NDArray[np.bool_]:
    usable: NDArray[np.bool_] = frame.usable
    return usable
