"""`Sources`: point sources of a frame, as far as they are known, and their light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.psf.draw import PsfImage

__all__ = ["SHAPES", "Sources"]

SHAPES = 4
"""What of a source may differ from what is told: places in x and y, turn, width."""


@dataclass(frozen=True, eq=False)
class Sources:
    """Sources of a frame; k of them. Arrays are written to as they become known."""

    positions: NDArray[np.float64]
    """(k, 2) x, y as told, pixels."""
    psfs: list[PsfImage]
    """One each."""
    flux: NDArray[np.float64]
    """(k,), 0 until they are solved."""
    variance: NDArray[np.float64]
    shape: NDArray[np.float64]
    """(k, 4): how far from what is told: x, y (pixels), turn (radians), width (a part)."""

    @classmethod
    def from_positions(cls, positions: NDArray[np.float64], psfs: list[PsfImage]) -> Sources:
        """Return sources of which nothing else is known yet."""
        count = len(positions)
        unknown = np.full(count, np.nan)
        return cls(positions, psfs, np.zeros(count), unknown, np.zeros((count, SHAPES)))

    def image_of(
        self, index: int, rows: NDArray[np.intp], columns: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """Return the image of flux 1 of a source at some pixels, (n,)."""
        psf, dy, dx = self._seen_from(index, rows, columns)
        return psf.at(dy, dx)

    def drawn(
        self, index: int, rows: NDArray[np.intp], columns: NDArray[np.intp]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return image of flux 1, (n,), and slopes, (4, n), of a source at some pixels."""
        psf, dy, dx = self._seen_from(index, rows, columns)
        return psf.varied(dy, dx)

    def light(
        self,
        shape: tuple[int, ...],
        fluxes: NDArray[np.float64] | None = None,
        *,
        faintest: NDArray[np.float64] | None = None,
        dtype: type[np.floating] = np.float64,
    ) -> NDArray[Any]:
        """Return the light of all sources in a frame, (ny, nx).

        Parameters
        ----------
        shape : (int, int)
            Of the frame.
        fluxes : (k,) float64, optional
            Other fluxes than those of the sources.
        faintest : (k,) float64, optional
            Parts of their peaks below which sources are not drawn.
        dtype : type
            Of the answer.
        """
        light = np.zeros(shape, dtype=dtype)
        fluxes = self.flux if fluxes is None else fluxes
        parts = np.zeros(len(fluxes)) if faintest is None else faintest
        # Sums in another order round differently: sources go by their place.
        for index in np.lexsort(self.positions.T):
            self.add(light, int(index), float(fluxes[index]), faintest=float(parts[index]))
        return light

    def add(self, image: NDArray[Any], index: int, flux: float, *, faintest: float = 0.0) -> None:
        """Add the light of a source to an image of the frame, but where it is fainter than that."""
        if not flux:
            return
        box = self.box_of(index, image.shape, self.psfs[index].reach_of(faintest))
        if box is not None:
            image[box] += flux * self.image_of(index, *box)

    def box_of(
        self, index: int, shape: tuple[int, ...], reach: int | None = None
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
        """Return rows and columns, (my, mx) each, of the pixels that a source, or less, reaches."""
        x, y = self.positions[index]
        reach = self.psfs[index].reach if reach is None else reach
        rows = np.arange(max(round(y) - reach, 0), min(round(y) + reach + 1, shape[0]))
        columns = np.arange(max(round(x) - reach, 0), min(round(x) + reach + 1, shape[1]))
        if not (len(rows) and len(columns)):
            return None
        found: tuple[Any, Any] = np.meshgrid(rows, columns, indexing="ij")
        return found

    def _seen_from(
        self, index: int, rows: NDArray[np.intp], columns: NDArray[np.intp]
    ) -> tuple[PsfImage, NDArray[np.float64], NDArray[np.float64]]:
        """Return the PSF of a source, and where pixels lie from it."""
        x, y = self.positions[index] + self.shape[index, :2]
        psf = self.psfs[index].changed(
            turn=self.shape[index, 2], width=1 + float(self.shape[index, 3])
        )
        return psf, rows - y, columns - x
