"""`Predictor`: one network on a whole frame, tile by tile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.parallel import in_threads
from astroclean.core.stage.scope import Scope, Survey, chunk_of
from astroclean.errors import ContractError
from astroclean.inference.cards.domain import check_unit
from astroclean.inference.engines.engine import EngineError
from astroclean.tiling.plan import cut_tile, plan_tiles, tiles_within
from astroclean.tiling.stitch import put_core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.inference.cards.card import NetworkCard, Output
    from astroclean.inference.engines.engine import Engine
    from astroclean.inference.tiles.normalize import Measurement, NormalizationState
    from astroclean.tiling.plan import Tile

    Planes = dict[str, NDArray[Any]]
    Digest = Callable[[NDArray[np.float32]], NDArray[Any]]

__all__ = ["Predictor", "valid_pixels"]

_MASK_AXES = 2
_BAND = 256
"""Rows that are normalized together: they fit into the cache of a processor."""


def valid_pixels(card: NetworkCard, frame: Frame) -> NDArray[np.bool_]:
    """Return the pixels of a frame that a network may see.

    Parameters
    ----------
    card : NetworkCard
        The network; its ``valid_pixels`` decides.
    frame : Frame
        The frame.

    Returns
    -------
    (ny, nx) bool
        A new array. Pixels that are not finite are never valid.
    """
    finite: NDArray[np.bool_] = np.isfinite(frame.data)
    return finite if card.valid_pixels == "finite" else finite & ~frame.mask


def _everything(answer: NDArray[np.float32]) -> NDArray[Any]:
    return answer


def _unseen(output: Output, keep: Digest, grid: tuple[int, int]) -> NDArray[Any]:
    """Return what is kept of an output before any tile was seen."""
    probe = keep(np.zeros((len(output.channels), 0, 0), dtype=np.float32))
    is_float = np.issubdtype(probe.dtype, np.floating)
    return np.full((probe.shape[0], *grid), np.nan if is_float else 0, dtype=probe.dtype)


class _FrameStatistics(Survey):
    """Measures what a normalization must know of the whole frame."""

    def __init__(self, card: NetworkCard, shape: tuple[int, int], threads: int) -> None:
        self._card = card
        self._gatherer = card.normalization.gatherer(shape, threads=threads)

    def add(self, frame: Frame, rows: slice) -> None:
        """Take the next rows."""
        self._gatherer.add(frame.data[rows], valid_pixels(self._card, frame)[rows])

    def finish(self) -> Measurement:
        """Return what was found."""
        return self._card.normalization.measurement(self._gatherer.finish())


class Predictor:
    """Applies one network to a whole frame: tile, normalize, infer, undo, stitch.

    Pixels that are not valid (`valid_pixels`) are filled with the sky before the network sees them
    (`astroclean.inference.tiles.normalize`), and its answer there is NaN, unless the card says
    ``keep``.

    A stage whose frames may be larger than memory returns :meth:`scope` from its method of that
    name, and gives `predict` what was measured. The tiles of a chunk are then those of the whole
    frame, and so are their batches: the same bytes.

    Parameters
    ----------
    card : NetworkCard
        The network.
    engine : Engine
        Its weights, opened.
    tile : int
        Side of a tile in pixels, margin included. A core is never narrower than the margin, so
        that a tile grows where the halo asks for it.
    batch : int
        Most tiles given to the engine together, of one row of tiles. It changes the speed, and
        the answer by rounding at most.

    Raises
    ------
    ContractError
        The network looks at stamps.
    """

    def __init__(
        self, card: NetworkCard, engine: Engine, *, tile: int = 512, batch: int = 4
    ) -> None:
        if card.stamp is not None:
            raise ContractError(
                "looks at stamps around sources: its card has a table [stamp]",
                where=f"network '{card.name}'",
                remedy="Use StampPredictor.",
            )
        self.card = card
        self.engine = engine
        margin = -(-card.halo // card.multiple) * card.multiple
        self._core = max(tile - 2 * margin, margin, card.multiple)
        self._batch = max(1, batch)

    @property
    def halo(self) -> int:
        """Rows around those that begin at the height of tiles which their tiles see."""
        multiple = self.card.multiple
        return max(-(-self.card.halo // multiple) * multiple, multiple - 1)

    def scope(self, frame: Frame) -> Scope:
        """Return the scope of a stage that takes the network over a frame tile by tile."""
        shape = chunk_of(frame).shape
        rows, _ = self._tiles(shape)[0].core
        needs_frame = self.card.normalization.scope != "tile"
        survey = _FrameStatistics(self.card, shape, self.engine.parallel) if needs_frame else None
        return Scope(self.halo, int(rows.stop), survey)

    def _tiles(self, shape: tuple[int, int]) -> tuple[Tile, ...]:
        return plan_tiles(shape, core=self._core, halo=self.card.halo, multiple=self.card.multiple)

    def predict(
        self,
        frame: Frame,
        extra: Mapping[str, NDArray[np.float32]] | None = None,
        *,
        measured: Measurement | None = None,
        digest: Digest | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Return what the network answers for a frame.

        Parameters
        ----------
        frame : Frame
            The frame, in the unit of the card. Not modified.
        extra : mapping of str to (ny, nx) or (channels, ny, nx) float32, optional
            Inputs that the card calls ``extra``.
        measured : Measurement, optional
            What the survey found, as ``stage.measured(frame)`` gives it; must be given for a
            part of a larger frame.
        digest : callable, optional
            What is kept of a tile: a function of the answer (channels, ty, tx) that returns (kept,
            ty, tx), such as flags from many probabilities; for networks whose outputs are no
            intensities. It spares the memory for what is not kept. Pixels that are not valid are
            NaN, or 0 in whole numbers. It may be called from several threads at once.

        Returns
        -------
        dict of str to (channels, ny * scale, nx * scale) float32
            Each output of the card; new arrays. Intensities are in the unit of the frame. NaN where
            a part of a larger frame does not hold all of a tile: in its halo.

        Raises
        ------
        UnitError
            The frame has another unit than the network needs.
        EngineError
            The engine failed, an extra input is missing or its shape is wrong, or an answer has
            another shape than the card says.
        ContractError
            The frame is a part of a larger one, which was not measured.
        """
        check_unit(self.card, frame)
        part = chunk_of(frame)
        valid = valid_pixels(self.card, frame)
        planes = self._extra_planes(frame, extra or {})
        state: NormalizationState | None = None
        pixels = frame.data
        if self.card.normalization.scope == "frame":
            measured = measured or self._measured(frame)
            pixels = self._normalized(frame, valid, measured)
            if any(output.content != "plain" for output in self.card.outputs):
                state = measured.state_of(part.origin, frame.shape)
        scale = self.card.scale
        fine = (frame.shape[0] * scale, frame.shape[1] * scale)
        keep = digest or _everything
        results = {output.name: _unseen(output, keep, fine) for output in self.card.outputs}
        tiles = tiles_within(self._tiles(part.shape), origin=part.origin, shape=frame.shape)
        in_threads(
            lambda batch: self._do_batch(batch, pixels, valid, planes, (keep, results)),
            self._batches(tiles),
            self.engine.parallel,
        )
        for output in self.card.outputs:
            self._finish(results, output, valid, state)
        return results

    def _measured(self, frame: Frame) -> Measurement:
        """Return what the normalization must know of a frame that is whole."""
        if chunk_of(frame).shape != frame.shape:
            raise ContractError(
                f"network '{self.card.name}' needs what was measured on the whole frame",
                where=frame.frame_id,
                remedy="The stage must survey, and pass on what was measured.",
            )
        survey = _FrameStatistics(self.card, frame.shape, self.engine.parallel)
        survey.add(frame, slice(None))
        return survey.finish()

    def _normalized(
        self, frame: Frame, valid: NDArray[np.bool_], measured: Measurement
    ) -> NDArray[np.float32]:
        """Return what the network sees of a frame, normalized band by band."""
        pixels = np.empty(frame.shape, dtype=np.float32)
        y, x = chunk_of(frame).origin

        def work(start: int) -> None:
            rows = slice(start, start + _BAND)
            pixels[rows], _ = self.card.normalization.forward(
                frame.data[rows], valid[rows], measured=measured, origin=(y + start, x)
            )

        in_threads(work, range(0, frame.shape[0], _BAND), self.engine.parallel)
        return pixels

    def _batches(self, tiles: tuple[Tile, ...]) -> Iterator[list[Tile]]:
        """Yield tiles of the same shape and row together, no more than a batch.

        Engines round differently in another batch; a window holds whole rows of tiles.
        """
        alike: dict[tuple[int, tuple[int, int]], list[Tile]] = {}
        for tile in tiles:
            alike.setdefault((tile.core[0].start, tile.shape), []).append(tile)
        for group in alike.values():
            for start in range(0, len(group), self._batch):
                yield group[start : start + self._batch]

    def _do_batch(
        self,
        batch: list[Tile],
        pixels: NDArray[np.float32],
        valid: NDArray[np.bool_],
        planes: Planes,
        kept: tuple[Digest, Planes],
    ) -> None:
        keep, results = kept
        states: list[NormalizationState | None] = []
        fed: dict[str, list[NDArray[np.float32]]] = {tensor.name: [] for tensor in self.card.inputs}
        for tile in batch:
            data, believed = cut_tile(pixels, tile), cut_tile(valid, tile)
            state = None
            if self.card.normalization.scope == "tile":
                data, state = self.card.normalization.forward(data, believed)
            states.append(state)
            for tensor in self.card.inputs:
                if tensor.content == "data":
                    fed[tensor.name].append(data[np.newaxis])
                elif tensor.content == "valid":
                    fed[tensor.name].append(believed[np.newaxis].astype(np.float32))
                else:
                    fed[tensor.name].append(cut_tile(planes[tensor.name], tile))
        answers = self.engine.infer({name: np.stack(parts) for name, parts in fed.items()})
        for output in self.card.outputs:
            answer = self._checked(answers[output.name], output, batch)
            for tile, state, part in zip(batch, states, answer, strict=True):
                undone = part if state is None else self._undone(part, output, state)
                put_core(results[output.name], tile, keep(undone), scale=self.card.scale)

    def _finish(
        self,
        results: Planes,
        output: Output,
        valid: NDArray[np.bool_],
        state: NormalizationState | None,
    ) -> None:
        """Undo the normalization of the whole frame and mark what was not seen."""
        if state is not None and output.content != "plain":
            values = results[output.name]
            for channel, image in enumerate(values):  # one at a time: a frame may be large
                values[channel] = self._undone(image, output, state)
        if output.at_invalid == "nan" and not valid.all():
            scale = self.card.scale
            unseen = np.repeat(np.repeat(~valid, scale, axis=0), scale, axis=1)
            values = results[output.name]
            values[:, unseen] = np.nan if np.issubdtype(values.dtype, np.floating) else 0

    def _undone(
        self, values: NDArray[np.float32], output: Output, state: NormalizationState
    ) -> NDArray[np.float32]:
        """Return an answer in the unit of the frame, where it is one of intensities."""
        if output.content == "plain":
            return values
        if output.content == "width":
            return self.card.normalization.inverse_width(values, state)
        return self.card.normalization.inverse(values, state)

    def _checked(
        self, answer: NDArray[np.float32], output: Output, batch: list[Tile]
    ) -> NDArray[np.float32]:
        ny, nx = (side * self.card.scale for side in batch[0].shape)
        expected = (len(batch), len(output.channels), ny, nx)
        if answer.shape != expected:
            raise EngineError(
                f"output '{output.name}' must have the shape {expected}",
                where=f"network '{self.card.name}' in {self.engine.name}",
                received=answer.shape,
                remedy="This is a fault of the card or of the weights.",
            )
        return answer

    def _extra_planes(self, frame: Frame, extra: Mapping[str, NDArray[np.float32]]) -> Planes:
        wanted = {t.name: t.channels for t in self.card.inputs if t.content == "extra"}
        where = f"network '{self.card.name}'"
        if set(extra) != set(wanted):
            raise EngineError(
                f"needs extra inputs {', '.join(wanted) or 'none'}",
                where=where,
                received=", ".join(extra) or "none",
            )
        planes = {}
        for name, channels in wanted.items():
            array = np.asarray(extra[name], dtype=np.float32)
            plane = array[np.newaxis] if array.ndim == _MASK_AXES else array
            if plane.shape != (channels, *frame.shape):
                raise EngineError(
                    f"extra input '{name}' must have the shape {(channels, *frame.shape)}",
                    where=where,
                    received=array.shape,
                )
            planes[name] = plane
        return planes
