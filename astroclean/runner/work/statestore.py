"""A frame between stages and in the end: in memory, or on scratch disk by rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
_SCIENCE = "science "
"""Begins the names of the images of the frame before it was deconvolved."""
_PIXELS = ("data", "flags", "filled")
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
        self._frames: dict[str, _Told] = {}
        self._branch: str | None = None
        self._sources_of: str | None = None
        self._layers: dict[str, Layer] = {}
        self._sources = JoinedSources(shape, folder, before.cut_sources)
        self.account = before.account

    @property
    def cut_sources(self) -> int:
        """Sources that reach beyond the rows that their chunk saw."""
        return self._sources.cut

    def add(self, before: Frame, state: FrameState, own: slice) -> None:  # noqa: ARG002
        """Write the own rows of a chunk; as `FinishedFrame.add`."""
        frames = {"": state.frame, _SCIENCE: state.science}
        images: dict[str, Any] = {}
        for name, frame in frames.items():
            if frame is not None:
                images |= _pixels_of(frame, own, name)
                self._frames[name] = _Told.of(frame, self._frames.get(name))
        layers = kept_layers(state.layers, self._keep)
        if state.branch is not None:
            layers.setdefault(state.branch, state.layers[state.branch])
        self._layers |= without_pixels(layers, known=self._layers)
        self._images.append({**images, **images_of(layers, own)})
        self._branch, self._sources_of = state.branch, state.sources_of
        if state.frame.sources is not None:
            self._sources.add(state.frame, state.frame.sources, own, given=state.given)
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
        frames = {name: told.frame(before, images, name) for name, told in self._frames.items()}
        frame = frames[""]
        sources = self._sources.within(frame)
        frame = frame if sources is None else frame.replace(sources=sources)
        return FrameState(
            frame,
            science=frames.get(_SCIENCE),
            branch=self._branch,
            sources=sources,
            given=sources,
            sources_of=self._sources_of,
            layers=numbered_layers(layers_of(images, self._layers), sources),
        )


@dataclass(frozen=True, eq=False)
class _Told:
    """All that a frame tells but its pixels, as the whole of it has it."""

    psf: Psf | None
    history: tuple[HistoryEntry, ...]
    uncertainty: type | None
    """Of its uncertainty."""

    @classmethod
    def of(cls, frame: Frame, known: _Told | None) -> _Told:
        """Return what a chunk tells; what the chunks before it told stays."""
        kind = None if frame.uncertainty is None else type(frame.uncertainty)
        if known is None:
            return cls(chunk_of(frame).of_whole(frame.psf), frame.history, kind)
        return replace(known, uncertainty=known.uncertainty or kind)

    def frame(self, before: Frame, images: Mapping[str, NDArray[Any]], name: str) -> Frame:
        """Return a chunk with the pixels that `_pixels_of` named so."""
        top, x = chunk_of(before).origin
        deviation = images.get(f"{name}uncertainty")
        return before.replace(
            **{pixels: images[f"{name}{pixels}"] for pixels in _PIXELS},
            uncertainty=self.uncertainty and self.uncertainty(deviation),
            psf=self.psf and self.psf.seen_from(x, top),
            history=self.history,
        )


def _pixels_of(frame: Frame, own: slice, name: str) -> dict[str, Any]:
    """Return the own rows of all images of a frame, by names that begin as is told."""
    images = {f"{name}{pixels}": getattr(frame, pixels)[own] for pixels in _PIXELS}
    if frame.uncertainty is not None:
        images[f"{name}uncertainty"] = frame.uncertainty.array[own]
    return images


def without_pixels(layers: Mapping[str, Layer], *, known: Collection[str] = ()) -> dict[str, Layer]:
    """Return all that layers tell but their pixels, of those that are not known already."""
    nothing = np.zeros((0, 0))
    return {
        name: replace(layer, data=nothing, uncertainty=None)
        for name, layer in layers.items()
        if name not in known
    }


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
