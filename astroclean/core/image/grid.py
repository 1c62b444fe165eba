"""`Grid`: the pixels that an array lies on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.errors import ContractError, FrameError
from astroclean.moved import Renamed

if TYPE_CHECKING:
    from astropy.nddata import NDData
    from astropy.wcs import WCS
    from numpy.typing import NDArray

__all__ = ["Grid"]


@dataclass(frozen=True, eq=False)
class Grid:
    """Pixels: how many, where on the sky, and where in the frame that they belong to.

    Every array that leaves a stage lies on a grid, and a catalogue names the grid of its ``x`` and
    ``y``. Pixel centres are whole numbers, the first is (0, 0).
    """

    shape: tuple[int, int]
    """(ny, nx) in pixels."""
    wcs: WCS | None = None
    origin: tuple[float, float] = (0.0, 0.0)
    """(y, x) of the outer corner of the first pixel, in pixels of the frame from its own corner."""
    step: float = 1.0
    """Side of a pixel in pixels of the frame."""

    @classmethod
    def from_frame(cls, frame: NDData) -> Grid:
        """Return the grid of the pixels of a frame."""
        ny, nx = frame.data.shape
        return cls((ny, nx), frame.wcs)

    of = Renamed("from_frame")

    @property
    def is_frame(self) -> bool:
        """Whether the pixels are those of the frame."""
        return self.step == 1 and self.origin == (0.0, 0.0)

    @property
    def pixel_scale(self) -> float | None:
        """Side of a pixel in arcsec; None without celestial axes."""
        if self.wcs is None or not self.wcs.has_celestial:
            return None
        from astropy.wcs.utils import proj_plane_pixel_scales  # noqa: PLC0415 - heavy

        degrees = proj_plane_pixel_scales(self.wcs.celestial)
        return float(np.sqrt(degrees[0] * degrees[1])) * 3600.0

    def finer(self, factor: int) -> Grid:
        """Return the grid whose pixels are smaller by a whole factor.

        Parameters
        ----------
        factor : int
            Pixels along a side of one of these.

        Returns
        -------
        Grid
            Of the same area.

        Raises
        ------
        ContractError
            The WCS has distortions, which cannot be derived for smaller pixels.
        """
        ny, nx = self.shape
        shape = (ny * factor, nx * factor)
        wcs = _finer_wcs(self.wcs, factor, shape)
        return Grid(shape, wcs, self.origin, self.step / factor)

    def with_step(self, step: float) -> Grid:
        """Return a grid of pixels of any other size, from the same first corner on.

        Parameters
        ----------
        step : float
            Side of its pixels in pixels of this one.

        Returns
        -------
        Grid
            All of the area is covered; the last pixels may reach beyond it.

        Raises
        ------
        ContractError
            The WCS has distortions, which cannot be derived for other pixels.
        """
        # Sides that are whole but for rounding get no further pixel.
        ny, nx = (int(np.ceil(side / step - 1e-6)) for side in self.shape)
        wcs = _finer_wcs(self.wcs, 1 / step, (ny, nx))
        return Grid((ny, nx), wcs, self.origin, self.step * step)

    def places_in(self, other: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return where the middles of these pixels lie, (y, x) in pixels of another grid.

        Parameters
        ----------
        other : Grid
            Of the same sky, as both WCSs tell it; without two celestial WCSs, of the same frame.

        Returns
        -------
        two (ny, nx) float64
            NaN where the other WCS does not reach.
        """
        rows, columns = np.indices(self.shape, dtype=float)
        return self.places_of(rows, columns, other)

    def places_of(
        self, rows: NDArray[np.float64], columns: NDArray[np.float64], other: Grid
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return where places of this grid lie in another; see :meth:`places_in`.

        Parameters
        ----------
        rows, columns : float64 arrays of one shape
            Places in pixels of this grid. Not modified.
        other : Grid
            Of the same sky or frame.

        Returns
        -------
        two float64 arrays of that shape
            (y, x) in pixels of the other.
        """
        pair = (self.wcs, other.wcs)
        if any(wcs is None or not wcs.has_celestial for wcs in pair):
            ratio, (dy, dx) = self.step / other.step, other.offset(self)
            return (rows + 0.5) * ratio + dy - 0.5, (columns + 0.5) * ratio + dx - 0.5
        ours, theirs = (wcs.celestial for wcs in pair if wcs is not None)
        x, y = theirs.world_to_pixel(ours.pixel_to_world(columns, rows))
        return np.asarray(y), np.asarray(x)

    def within(self, outer: Grid) -> Grid:
        """Return the grid with its place in the frame that another grid belongs to.

        Parameters
        ----------
        outer : Grid
            Pixels that are the frame of this one.
        """
        y, x = (
            first + place * outer.step
            for first, place in zip(outer.origin, self.origin, strict=True)
        )
        return replace(self, origin=(y, x), step=self.step * outer.step)

    def seen_by(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Return the values that the frame's pixels have where the pixels of this grid lie.

        Parameters
        ----------
        pixels : (ny, nx) array
            On the pixels of the frame.

        Returns
        -------
        array of the shape of this grid
            Of the nearest pixel, a new array.
        """
        places = [
            np.clip(np.floor(first + (np.arange(count) + 0.5) * self.step), 0, side - 1).astype(int)
            for first, count, side in zip(self.origin, self.shape, pixels.shape, strict=True)
        ]
        return pixels[np.ix_(*places)]

    def rows(self, rows: slice) -> Grid:
        """Return the grid of some rows.

        Parameters
        ----------
        rows : slice
            Of step 1.
        """
        start, stop, _ = rows.indices(self.shape[0])
        wcs = None if self.wcs is None else self.wcs[start:stop, :]
        origin = (self.origin[0] + start * self.step, self.origin[1])
        return replace(self, shape=(stop - start, self.shape[1]), wcs=wcs, origin=origin)

    def offset(self, other: Grid) -> tuple[float, float]:
        """Return (y, x) of the corner of another grid of the same frame, in pixels of this one."""
        dy, dx = (theirs - ours for theirs, ours in zip(other.origin, self.origin, strict=True))
        return dy / self.step, dx / self.step

    def misalignment(self, other: Grid) -> float:
        """Return the largest distance between corners that both WCSs give, in pixels.

        0 where one of them has no celestial WCS: then nothing tells of any.

        Raises
        ------
        FrameError
            The shapes differ.
        """
        if self.shape != other.shape:
            raise FrameError(
                "the grids have different shapes", received=f"{self.shape} and {other.shape}"
            )
        ours, theirs = self.wcs, other.wcs
        if ours is None or theirs is None or ours is theirs:
            return 0.0
        if not (ours.has_celestial and theirs.has_celestial):
            return 0.0
        ny, nx = self.shape
        x, y = np.array([0.0, nx - 1, 0, nx - 1]), np.array([0.0, 0, ny - 1, ny - 1])
        seen_x, seen_y = theirs.celestial.world_to_pixel(ours.celestial.pixel_to_world(x, y))
        return float(np.max(np.hypot(seen_x - x, seen_y - y)))


def _finer_wcs(wcs: WCS | None, factor: float, shape: tuple[int, int]) -> WCS | None:
    """Return the WCS of pixels that are smaller by ``factor``, or larger if that is below 1."""
    if wcs is None or factor == 1:
        return wcs
    if wcs.has_distortion:
        raise ContractError(
            "a WCS with distortions cannot be derived for other pixels",
            remedy="The plugin must return the WCS itself.",
        )
    finer = wcs.deepcopy()
    finer.wcs.crpix = (wcs.wcs.crpix - 0.5) * factor + 0.5
    if finer.wcs.has_cd():
        finer.wcs.cd = wcs.wcs.cd / factor
    else:
        finer.wcs.cdelt = wcs.wcs.cdelt / factor
    finer.wcs.set()
    if wcs.array_shape is not None:
        # Slices of a WCS end where it says that its image does.
        finer.array_shape = shape
    return finer
