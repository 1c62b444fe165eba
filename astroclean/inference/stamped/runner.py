"""`StampRunner`: one network on many stamps, batch by batch.

The runner knows nothing of frames: a stage shows it stamps and takes the answers.
`astroclean.inference.stamped.predictor` makes the stamps around sources.

Each batch is filled up to its length, and no stamp sees another. So the answer for a stamp does not
depend on which others there are, on their order, or on the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from astroclean.core.parallel import in_threads
from astroclean.inference.cards.stamp_card import DATA, NOISE, VALID, planes_of
from astroclean.inference.engines.engine import EngineError
from astroclean.inference.tiles.normalize import Measurement, NormalizationState
from astroclean.tiling.stamps import StampBox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from astroclean.inference.cards.card import NetworkCard, Output
    from astroclean.inference.engines.engine import Engine

    Plane = NDArray[Any] | float
    Answer = dict[str, NDArray[np.float32]]

__all__ = ["StampRunner", "StampView"]

Box = TypeVar("Box", bound=StampBox)
Kept = TypeVar("Kept")


@dataclass(frozen=True, eq=False)
class StampView:
    """What is known of one stamp, before the network sees it."""

    data: NDArray[np.floating]
    """(side, side) pixels; read only where ``valid``."""
    valid: NDArray[np.bool_]
    """(side, side): pixels to believe; False beyond the border of the frame."""
    planes: Mapping[str, Plane] = field(default_factory=dict)
    """The other planes of the network by name, each (side, side), or a number that stands in all of
    its pixels. A tensor whose content is ``extra`` may be (channels, side, side)."""
    scale: float | None = None
    """What pixels and intensities are divided by, in their unit; None where the normalization of
    the card measures it."""

    @property
    def side(self) -> int:
        """Pixels along a side."""
        return int(self.valid.shape[0])


class StampRunner:
    """Takes stamps through one network.

    Parameters
    ----------
    card : NetworkCard
        The network.
    engine : Engine
        Its weights, opened.
    batches : mapping of int to int, optional
        Stamps of each side that the engine is given at once; by default those of the card.
    """

    def __init__(
        self, card: NetworkCard, engine: Engine, *, batches: Mapping[int, int] | None = None
    ) -> None:
        self.card = card
        self.engine = engine
        self.batches = dict(batches or {side: count for count, side, _ in card.shapes})

    def run(
        self,
        boxes: Sequence[Box],
        show: Callable[[Box], StampView | None],
        keep: Callable[[Box, StampView, Answer], Kept],
    ) -> list[Kept | None]:
        """Ask the network about stamps.

        Parameters
        ----------
        boxes : sequence of StampBox
            In any order, of any sides for which there are batches.
        show : callable
            Gives what is known of a stamp; None where the network is not to be asked. It may be
            called from several threads at once, as ``keep``.
        keep : callable
            Of a box, what was shown, and each output of the card, (channels, side * scale, side *
            scale) float32: intensities in the unit of the pixels, NaN where a pixel is not valid
            unless the card says ``keep``. What it returns is all that stays in memory.

        Returns
        -------
        list
            What ``keep`` returned, in the order of the boxes; None where it was not asked.

        Raises
        ------
        EngineError
            There is no batch for a side, a plane is missing, or has another shape or values that
            are not finite, or the engine failed.
        """
        kept: list[Kept | None] = [None] * len(boxes)

        def work(batch: Sequence[int]) -> None:
            shown = [(index, show(boxes[index])) for index in batch]
            asked = [(index, view) for index, view in shown if view is not None]
            if not asked:
                return
            answers = self._answers([view for _, view in asked])
            for (index, view), answer in zip(asked, answers, strict=True):
                kept[index] = keep(boxes[index], view, answer)

        in_threads(work, list(self._batched(boxes)), self.engine.parallel)
        return kept

    def _batched(self, boxes: Sequence[StampBox]) -> Iterator[Sequence[int]]:
        """Yield which stamps of one side go together."""
        alike: dict[int, list[int]] = {}
        for index, box in enumerate(boxes):
            alike.setdefault(box.side, []).append(index)
        for side, group in alike.items():
            if side not in self.batches:
                known = ", ".join(map(str, self.batches)) or "none"
                raise self._wrong(f"takes stamps of sides {known}", side)
            for first in range(0, len(group), self.batches[side]):
                yield group[first : first + self.batches[side]]

    def _answers(self, views: Sequence[StampView]) -> Iterator[Answer]:
        """Yield the outputs for each stamp of one batch."""
        side = views[0].side
        count = self.batches[side]
        fed = {
            tensor.name: np.zeros((count, len(tensor.planes) or tensor.channels, side, side), "f4")
            for tensor in self.card.inputs
        }
        states = []
        for index, view in enumerate(views):
            data, state = self._scaled(view)
            states.append(state)
            for tensor in self.card.inputs:
                target = fed[tensor.name][index]
                if tensor.content == "extra" and not tensor.planes:
                    target[...] = self._plane(view, tensor.name, state, target.shape)
                    continue
                for channel, name in zip(target, planes_of(tensor), strict=True):
                    if name == DATA:
                        channel[...] = data
                    elif name == VALID:
                        channel[...] = view.valid
                    else:
                        channel[...] = self._plane(view, name, state, channel.shape)
        answers = self.engine.infer(fed)
        outputs = {
            o.name: self._checked(answers[o.name], o, count, side) for o in self.card.outputs
        }
        for index, (view, state) in enumerate(zip(views, states, strict=True)):
            yield {
                output.name: self._undone(outputs[output.name][index], output, view, state)
                for output in self.card.outputs
            }

    def _scaled(self, view: StampView) -> tuple[NDArray[np.float32], NormalizationState]:
        measured = None
        if view.scale is not None:
            measured = Measurement(NormalizationState(0.0, view.scale))
        return self.card.normalization.forward(view.data, view.valid, measured=measured)

    def _plane(
        self, view: StampView, name: str, state: NormalizationState, shape: tuple[int, ...]
    ) -> NDArray[np.float32]:
        """Return what the network sees of a plane that is neither pixels nor their validity."""
        if name not in view.planes:
            raise self._wrong(f"needs the plane '{name}'", ", ".join(view.planes) or "none")
        values = np.asarray(view.planes[name], dtype=np.float32)
        if values.ndim and values.shape != shape and values.shape != shape[-2:]:
            raise self._wrong(f"plane '{name}' must have the shape {shape}", values.shape)
        if not np.isfinite(values).all():
            raise self._wrong(f"plane '{name}' must be finite; a NaN would spread in the network")
        if name == NOISE:
            return np.asarray(values / state.width, dtype=np.float32)
        if self.card.stamp is not None and name in self.card.stamp.intensities:
            light = Measurement(NormalizationState(0.0, state.width))
            everywhere = np.ones(shape[-2:], dtype=bool)
            spread = np.broadcast_to(values, shape[-2:])
            return self.card.normalization.forward(spread, everywhere, measured=light)[0]
        return values

    def _checked(
        self, answer: NDArray[np.float32], output: Output, count: int, side: int
    ) -> NDArray[np.float32]:
        fine = side * self.card.scale
        expected = (count, len(output.channels), fine, fine)
        if answer.shape != expected:
            problem = f"output '{output.name}' must have the shape {expected}"
            raise self._wrong(problem, answer.shape, "a fault of the card or of the weights")
        return answer

    def _undone(
        self,
        values: NDArray[np.float32],
        output: Output,
        view: StampView,
        state: NormalizationState,
    ) -> NDArray[np.float32]:
        normalization, scale = self.card.normalization, self.card.scale
        if output.content == "intensity":
            values = normalization.inverse(values, state)
        elif output.content == "width":
            values = normalization.inverse_width(values, state)
        else:
            values = values.copy()  # a view would hold the memory of the batch
        if output.at_invalid == "nan" and not view.valid.all():
            values[:, np.repeat(np.repeat(~view.valid, scale, axis=0), scale, axis=1)] = np.nan
        return values

    def _wrong(self, problem: str, received: Any = None, remedy: str | None = None) -> EngineError:
        where = f"network '{self.card.name}' in {self.engine.name}"
        return EngineError(problem, where=where, received=received, remedy=remedy)
