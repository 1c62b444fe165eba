"""`StateStore`: a frame between two stages on scratch disk, written and read by rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.io.rowstore import RowStore
from astroclean.runner.frames import FrameState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from astroclean.core.frame import Frame

__all__ = ["ImageStores", "StateStore"]

_PRODUCT = "product "
_BLANK_ROWS = 256


class ImageStores:
    """Images of one shape that grow together, a band at a time.

    Parameters
    ----------
    folder : Path
        Empty folder, or one that does not exist yet.
    shape : (int, int)
        (ny, nx) of each image when it is whole.
    """

    def __init__(self, folder: Path, shape: tuple[int, int]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.shape = shape
        self.images: dict[str, RowStore] = {}
        self._rows = 0

    def append(self, images: Mapping[str, Any]) -> None:
        """Write the next rows of every image.

        A band may lack an image that another has: an uncertainty that a stage gives where it
        changed pixels only. It is NaN there, and any other image zero.
        """
        count = len(next(iter(images.values())))
        for name, rows in images.items():
            if name not in self.images:
                path = self.folder / f"{len(self.images)}.rows"
                self.images[name] = RowStore(path, self.shape, np.asarray(rows).dtype)
                self._append_blank(name, self._rows)
            self.images[name].append(rows)
        for name in self.images.keys() - images.keys():
            self._append_blank(name, count)
        self._rows += count

    def _append_blank(self, name: str, count: int) -> None:
        store = self.images[name]
        value = np.nan if name == "uncertainty" else 0
        for start in range(0, count, _BLANK_ROWS):
            rows = min(_BLANK_ROWS, count - start)
            store.append(np.full((rows, self.shape[1]), value, dtype=store.dtype))


class StateStore:
    """What the stages of a segment leave, for the next segment.

    Parameters
    ----------
    folder, shape
        As for :class:`ImageStores`.
    """

    def __init__(self, folder: Path, shape: tuple[int, int]) -> None:
        self._stores = ImageStores(folder, shape)
        self._common: dict[str, Any] = {}
        self._psf_origin = ""
        self._uncertainty: type | None = None

    def append(self, state: FrameState, own: slice, products: Mapping[str, Any]) -> None:
        """Write the own rows of a band.

        Parameters
        ----------
        state : FrameState
            Of the band.
        own : slice
            Its own rows.
        products : mapping of str to (ny, nx) array
            Those of its products that are kept.
        """
        frame = state.frame
        images = {name: getattr(frame, name)[own] for name in ("data", "flags", "filled")}
        if frame.uncertainty is not None:
            self._uncertainty = type(frame.uncertainty)
            images["uncertainty"] = frame.uncertainty.array[own]
        for name, image in products.items():
            images[f"{_PRODUCT}{name}"] = np.asarray(image)[own]
        self._stores.append(images)
        self._common = {"psf": frame.psf, "history": frame.history}
        self._psf_origin = state.psf_origin

    def state(self, before: Frame) -> FrameState:
        """Return the state of a band.

        Parameters
        ----------
        before : Frame
            The same rows as they were read from the input; its ``part`` tells which.
        """
        assert before.part is not None
        first = before.part.origin[0]
        rows = slice(first, first + before.shape[0])
        images: dict[str, NDArray[Any]] = {
            name: store[rows] for name, store in self._stores.images.items()
        }
        uncertainty = images.get("uncertainty")
        if uncertainty is not None and self._uncertainty is not None:
            uncertainty = self._uncertainty(uncertainty)
        frame = before.replace(
            data=images["data"],
            flags=images["flags"],
            filled=images["filled"],
            uncertainty=uncertainty,
            **self._common,
        )
        products = {
            name.removeprefix(_PRODUCT): image
            for name, image in images.items()
            if name.startswith(_PRODUCT)
        }
        return FrameState(frame, products=products, psf_origin=self._psf_origin)
