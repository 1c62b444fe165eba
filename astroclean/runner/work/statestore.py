"""A frame between stages and in the end: in memory, or on scratch disk by rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from astroclean.core.stage.scope import chunk_of
from astroclean.io.scratch.rowstore import RowStore
from astroclean.runner.output.outputs import kept_layers
from astroclean.runner.work.joined_sources import JoinedSources, numbered_layers
from astroclean.runner.work.state import Account, FrameState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.image.history import HistoryEntry
    from astroclean.core.image.layer import Layer
    from astroclean.core.psf.psf import Psf

__all__ = [
    "HeldState",
    "Images",
    "StateStore",
    "Store",
    "Target",
    "images_of",
    "layers_of",
    "without_pixels",
]

_LAYER, _UNCERTAINTY = "layer ", " uncertainty"
_BLANK_ROWS = 256


class Images:
    """Images of one frame that grow together, a chunk at a time.

    Parameters
    ----------
    shape : (int, int)
        (ny, nx) of each image when it is whole.
    folder : Path, optional
        Where they lie, by rows; made where it is missing. Without it there is one chunk, and its
        images stay in memory as they are.
    """

    def __init__(self, shape: tuple[int, int], folder: Path | None = None) -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.shape = shape
        self.images: dict[str, Any] = {}
        """Name to array, or to `RowStore`."""
        self._rows = 0

    def append(self, images: Mapping[str, Any]) -> None:
        """Write the next rows of every image.

        A chunk may lack an image that another has: an uncertainty that a stage gives where it
        changed pixels only. It is NaN there, and any other image zero.
        """
        if self.folder is None:
            assert not self.images
            self.images = dict(images)
            return
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


class Store(Protocol):
    """Where a frame is between two passes."""

    @property
    def account(self) -> Account:
        """What stages said so far that the states do not tell."""

    @property
    def cut_sources(self) -> int:
        """Sources that reach beyond the rows that their chunk saw."""

    def state(self, before: Frame) -> FrameState:
        """Return the state of the rows that were read as ``before``."""


class Target(Protocol):
    """Where the chunks of a pass go."""

    def add(self, before: Frame, state: FrameState, own: slice) -> None:
        """Take the own rows of a chunk."""


class HeldState:
    """A frame of one chunk, in memory."""

    account = Account()
    cut_sources = 0

    def __init__(self, state: FrameState | None = None) -> None:
        self._state = state

    def add(self, before: Frame, state: FrameState, own: slice) -> None:  # noqa: ARG002
        """Hold the state."""
        self._state = state

    def state(self, before: Frame) -> FrameState:
        """Return what is held; of a frame that no stage has seen, the frame."""
        return FrameState(before) if self._state is None else self._state


class StateStore:
    """A frame after some of the stages, from which chunks of any height can be taken.

    Parameters
    ----------
    shape, folder
        As for :class:`Images`.
    keep : collection of str
        ``[products] keep``: layers that are not written are not stored.
    before : Store
        Where the frame was before: what was said of it then stays.
    """

    def __init__(
        self, shape: tuple[int, int], folder: Path, keep: Collection[str], before: Store
    ) -> None:
        self._images = Images(shape, folder)
        self._keep = keep
        self._psf: Psf | None = None
        self._history: tuple[HistoryEntry, ...] = ()
        self._layers: dict[str, Layer] = {}
        self._uncertainty: type | None = None
        self._sources = JoinedSources(shape, folder, before.cut_sources)
        self.account = before.account

    @property
    def cut_sources(self) -> int:
        """Sources that reach beyond the rows that their chunk saw."""
        return self._sources.cut

    def add(self, before: Frame, state: FrameState, own: slice) -> None:  # noqa: ARG002
        """Write the own rows of a chunk; as `FinishedFrame.add`."""
        frame = state.frame
        images = {name: getattr(frame, name)[own] for name in ("data", "flags", "filled")}
        if frame.uncertainty is not None:
            self._uncertainty = type(frame.uncertainty)
            images["uncertainty"] = frame.uncertainty.array[own]
        layers = kept_layers(state.layers, self._keep)
        self._layers |= without_pixels(layers)
        self._images.append({**images, **images_of(layers, own)})
        first, x = chunk_of(frame).origin
        # As the whole frame has it: each chunk counts from its own first row.
        psf = None if frame.psf is None else frame.psf.seen_from(-x, -first)
        self._psf, self._history = psf, frame.history
        if state.frame.sources is not None:
            self._sources.add(frame, state.frame.sources, own, given=state.given)
        self.account += state.account

    def state(self, before: Frame) -> FrameState:
        """Return the state of a chunk, with an account of its own.

        Parameters
        ----------
        before : Frame
            The same rows as they were read from the input; its ``chunk`` tells which.
        """
        first = chunk_of(before).origin[0]
        rows = slice(first, first + before.shape[0])
        images: dict[str, NDArray[Any]] = {
            name: store[rows] for name, store in self._images.images.items()
        }
        uncertainty = images.get("uncertainty")
        if uncertainty is not None and self._uncertainty is not None:
            uncertainty = self._uncertainty(uncertainty)
        frame = before.replace(
            data=images["data"],
            flags=images["flags"],
            filled=images["filled"],
            uncertainty=uncertainty,
            psf=None if self._psf is None else self._psf.seen_from(0, first),
            history=self._history,
        )
        sources = self._sources.within(frame)
        frame = frame if sources is None else frame.replace(sources=sources)
        layers = numbered_layers(layers_of(images, self._layers), sources)
        return FrameState(frame, sources=sources, given=sources, layers=layers)


def without_pixels(layers: Mapping[str, Layer]) -> dict[str, Layer]:
    """Return all that layers tell but their pixels."""
    nothing = np.zeros((0, 0))
    return {n: replace(one, data=nothing, uncertainty=None) for n, one in layers.items()}


def images_of(layers: Mapping[str, Layer], own: slice) -> dict[str, Any]:
    """Return the own rows of all images of layers, by names of their own."""
    images: dict[str, Any] = {}
    for name, layer in layers.items():
        images[f"{_LAYER}{name}"] = np.asarray(layer.data)[own]
        if layer.uncertainty is not None:
            images[f"{_LAYER}{name}{_UNCERTAINTY}"] = np.asarray(layer.uncertainty)[own]
    return images


def layers_of(images: Mapping[str, Any], like: Mapping[str, Layer]) -> dict[str, Layer]:
    """Return layers of images named by :func:`images_of`; ``like`` tells all but the pixels."""
    return {
        name: replace(
            layer,
            data=images[f"{_LAYER}{name}"],
            uncertainty=images.get(f"{_LAYER}{name}{_UNCERTAINTY}"),
        )
        for name, layer in like.items()
        if f"{_LAYER}{name}" in images
    }
