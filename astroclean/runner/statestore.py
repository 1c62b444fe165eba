"""`StateStore`: a frame between two stages on scratch disk, written and read by rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.io.rowstore import RowStore
from astroclean.runner.frames import FrameState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from astroclean.core.frame import Frame
    from astroclean.core.layer import Layer

__all__ = ["ImageStores", "StateStore", "layer_rows", "layers_of"]

_LAYER, _UNCERTAINTY = "layer ", " uncertainty"
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
        value = np.nan if name.endswith("uncertainty") else 0
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
        self._layers: dict[str, Layer] = {}
        self._psf_origin = ""
        self._uncertainty: type | None = None

    def append(self, state: FrameState, own: slice, layers: Mapping[str, Layer]) -> None:
        """Write the own rows of a band.

        Parameters
        ----------
        state : FrameState
            Of the band.
        own : slice
            Its own rows.
        layers : mapping of str to Layer
            Those of its layers that are kept.
        """
        frame = state.frame
        images = {name: getattr(frame, name)[own] for name in ("data", "flags", "filled")}
        if frame.uncertainty is not None:
            self._uncertainty = type(frame.uncertainty)
            images["uncertainty"] = frame.uncertainty.array[own]
        self._layers |= layers
        self._stores.append({**images, **layer_rows(layers, own)})
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
        layers = layers_of(images, self._layers)
        return FrameState(frame, layers=layers, psf_origin=self._psf_origin)


def layer_rows(layers: Mapping[str, Layer], own: slice) -> dict[str, Any]:
    """Return the own rows of all images of layers, by names of their own."""
    images: dict[str, Any] = {}
    for name, layer in layers.items():
        images[f"{_LAYER}{name}"] = np.asarray(layer.data)[own]
        if layer.uncertainty is not None:
            images[f"{_LAYER}{name}{_UNCERTAINTY}"] = np.asarray(layer.uncertainty)[own]
    return images


def layers_of(images: Mapping[str, Any], like: Mapping[str, Layer]) -> dict[str, Layer]:
    """Return layers of images named by :func:`layer_rows`; ``like`` tells all but the pixels."""
    return {
        name: replace(
            layer,
            data=images[f"{_LAYER}{name}"],
            uncertainty=images.get(f"{_LAYER}{name}{_UNCERTAINTY}"),
        )
        for name, layer in like.items()
        if f"{_LAYER}{name}" in images
    }
