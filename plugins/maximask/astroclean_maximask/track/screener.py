"""`maxitrack`: is a whole exposure spoiled, by tracking, focus or lost charge?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from astroclean.core.image.arrays import fill_box
from astroclean.core.parallel import in_threads
from astroclean.core.stage.kinds.screen import Screener
from astroclean.core.stage.results import Score
from astroclean.core.stage.scope import Scope, Survey, chunk_of
from astroclean.errors import StageError
from astroclean.inference.stage_network import NetworkOptions, StageNetwork
from astroclean.inference.tiles.predictor import valid_pixels
from astroclean_maximask.mask.priors import update_priors
from astroclean_maximask.shipped import card_path
from astroclean_maximask.track.average_star import INPUT, average_star
from astroclean_maximask.track.conditions import CONDITIONS, REASONS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.needs import Identity
    from astroclean.inference.cards.card import NetworkCard
    from astroclean.inference.tiles.normalize import Measurement

    _Judged = Callable[[Sequence[NDArray[np.float32]]], NDArray[np.float64]]

__all__ = ["MaxiTrack", "MaxiTrackOptions"]

_PUBLISHED = "published"
_SIDE, _PUBLISHED_SIDE = 256, 400
"""Pixels of a tile; the published network takes no other."""
_OUTPUT = "chances"
_TRAINED, _PUBLISHED_TRAINED = 0.6, 0.5
"""Part of the exposures of the training set that were spoiled."""


class MaxiTrackOptions(NetworkOptions):
    """Settings of :class:`MaxiTrack`."""

    weights: str = "astroclean"
    """``astroclean``, our own compact network; ``published``, the authors', imported with
    `astroclean weights import maximask`; or the card that `astroclean train maxitrack` left."""
    prior: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Fraction of exposures that are expected to be spoiled."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Probability above which an exposure is rejected."""
    tiles: Annotated[int, Field(ge=1)] = 64
    """Most tiles that are judged; of a larger frame these are spread evenly."""
    batch: Annotated[int, Field(ge=1, le=256)] = 8
    """Tiles given to the engine together."""


class MaxiTrack(Screener):
    """Scores exposures with MaxiTrack (Paillassa, Bertin & Bouy 2020, A&A 634, A48).

    The frame is cut into tiles that do not overlap; the score is the mean over tiles and, by the
    runner, over the frames of an exposure. The network that `astroclean train maxitrack` makes also
    knows a telescope out of focus and charge lost in the readout, and names them.
    """

    Options = MaxiTrackOptions

    def __init__(
        self, options: MaxiTrackOptions | None = None, *, identity: Identity | None = None
    ) -> None:
        super().__init__(options, identity=identity)
        self._network = StageNetwork(card_path("maxitrack", self.options.weights), self.options)
        self._is_published = self.options.weights == _PUBLISHED

    def fingerprint(self) -> dict[str, str]:
        """Return weights, engine and precision."""
        return self._network.fingerprint()

    def scope(self, frame: Frame) -> Scope:
        """Return a survey, which measures the sky, then judges tiles, as their rows come."""
        card = self._network.card
        side = _PUBLISHED_SIDE if self._is_published else _SIDE
        plan = _TilePlan(chunk_of(frame).shape, side, self.options.tiles)
        return Scope(0, survey=_Sky(card, plan, self._judged, self.options.threads))

    def score(self, frame: Frame) -> Score:
        """Return the probability that the exposure is spoiled.

        Parameters
        ----------
        frame : Frame
            Any unit, sky included. Not modified.

        Returns
        -------
        Score
            Mean over tiles; the reasons name the likeliest condition where it is rejected.

        Raises
        ------
        StageError
            No pixel has a value.
        """
        self._network.warn_outside_domain(frame)
        chances: NDArray[np.float64] | None = self.measured(frame)
        if chances is None:
            raise StageError("no pixel has a value", where=self.where(frame))
        mean = chances.mean(axis=0)
        probability = float(1 - mean[0])
        threshold = self.options.threshold
        metrics = {"tiles": float(len(chances))}
        metrics |= {f"probability {name}": float(value) for name, value in self._named(mean)}
        reasons: tuple[str, ...] = ()
        if probability > threshold:
            likeliest = max(self._named(mean), key=lambda pair: pair[1])[0]
            reasons = (REASONS[likeliest],)
        return Score(probability, threshold, reasons, metrics=metrics)

    @staticmethod
    def _named(mean: NDArray[np.float64]) -> list[tuple[str, float]]:
        return [(name, float(value)) for name, value in zip(CONDITIONS[1:], mean[1:], strict=False)]

    def _judged(self, tiles: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """Return (tiles, conditions) under the expected prior."""
        engine = self._network.predictor.engine
        name = self._network.card.inputs[0].name
        seen = average_star if name == INPUT else _alone
        batches = np.array_split(np.arange(len(tiles)), -(-len(tiles) // self.options.batch))

        def judged(batch: NDArray[np.intp]) -> NDArray[np.float32]:
            stacked = np.stack([seen(tiles[index]) for index in batch])
            return engine.infer({name: stacked})[_OUTPUT]

        answers = in_threads(judged, batches, engine.parallel)
        chances = np.concatenate(answers).astype(np.float64)
        trained = _PUBLISHED_TRAINED if self._is_published else _TRAINED
        return _with_prior(chances, trained=trained, wanted=self.options.prior)


class _TilePlan:
    """Which tiles of a frame are judged: they do not overlap, and are spread evenly.

    The last of a row or column overlap where sides are no multiples.
    """

    def __init__(self, shape: tuple[int, int], side: int, most: int) -> None:
        self.side = side
        self.shape = shape
        corners = [(y, x) for y in self._starts(shape[0]) for x in self._starts(shape[1])]
        chosen = np.unique(np.linspace(0, len(corners) - 1, most).astype(int))
        self.corners = [corners[index] for index in chosen]

    def _starts(self, length: int) -> list[int]:
        regular = list(range(0, length - self.side + 1, self.side)) or [0]
        return regular if regular[-1] + self.side >= length else [*regular, length - self.side]

    def empty(self) -> list[NDArray[np.float32]]:
        """Return tiles without pixels; those of a frame that is smaller than a tile are, too."""
        ny, nx = (min(self.side, length) for length in self.shape)
        return [np.zeros((ny, nx), dtype=np.float32) for _ in self.corners]

    def whole(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a tile as the network takes it: a small one continued by its mirror image."""
        missing = [(0, self.side - length) for length in tile.shape]
        return np.pad(tile, missing, mode="symmetric")


class _Sky(Survey):
    """Measures sky and noise of the whole frame; the tiles are surveyed after that."""

    def __init__(self, card: NetworkCard, plan: _TilePlan, judged: _Judged, threads: int) -> None:
        self._card, self._plan, self._judge = card, plan, judged
        self._gatherer = card.normalization.gatherer(plan.shape, threads=threads)
        self._any = False

    def add(self, frame: Frame, rows: slice) -> None:
        """Take the next rows."""
        valid = valid_pixels(self._card, frame)[rows]
        self._any = self._any or bool(valid.any())
        self._gatherer.add(frame.data[rows], valid)

    def finish(self) -> Survey | None:
        """Return what surveys the tiles; None where no pixel has a value."""
        if not self._any:
            return None
        measured = self._card.normalization.measurement(self._gatherer.finish())
        return _Tiles(self._card, self._plan, self._judge, measured)


class _Tiles(Survey):
    """Gathers the tiles as their rows come, and judges them in the end."""

    def __init__(
        self, card: NetworkCard, plan: _TilePlan, judged: _Judged, measured: Measurement
    ) -> None:
        self._card, self._plan, self._judge, self._measured = card, plan, judged, measured
        self._tiles = plan.empty()

    def add(self, frame: Frame, rows: slice) -> None:
        """Take the next rows."""
        start, _, _ = rows.indices(frame.shape[0])
        top, left = chunk_of(frame).origin
        pixels, _ = self._card.normalization.forward(
            frame.data[rows],
            valid_pixels(self._card, frame)[rows],
            measured=self._measured,
            origin=(top + start, left),
        )
        for (y, x), tile in zip(self._plan.corners, self._tiles, strict=True):
            fill_box(tile, pixels, (y - top - start, x))

    def finish(self) -> NDArray[np.float64]:
        """Return (tiles, conditions): probabilities."""
        return self._judge([self._plan.whole(tile) for tile in self._tiles])


def _alone(tile: NDArray[np.float32]) -> NDArray[np.float32]:
    return tile[np.newaxis]


def _with_prior(
    chances: NDArray[np.float64], *, trained: float, wanted: float
) -> NDArray[np.float64]:
    """Update the probability of being spoiled; the conditions keep their shares of it."""
    spoiled = 1 - chances[:, 0]
    updated = update_priors(
        spoiled[np.newaxis].astype(np.float32), np.array([trained]), np.array([wanted])
    )[0].astype(np.float64)
    shares = chances[:, 1:] / np.maximum(chances[:, 1:].sum(axis=1, keepdims=True), 1e-30)
    return np.column_stack([1 - updated, shares * updated[:, np.newaxis]])
