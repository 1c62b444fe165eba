"""`maxitrack`: is a whole exposure spoiled, by tracking, focus or lost charge?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from astroclean.core.kinds.screen import Screener
from astroclean.core.parallel import in_threads
from astroclean.core.results import Score
from astroclean.errors import StageError
from astroclean.inference.predictor import valid_pixels
from astroclean.inference.stage_network import NetworkOptions, StageNetwork
from astroclean_maximask.average_star import INPUT, average_star
from astroclean_maximask.conditions import CONDITIONS, REASONS
from astroclean_maximask.priors import update_priors
from astroclean_maximask.shipped import card_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from astroclean.core.frame import Frame
    from astroclean.core.needs import Identity

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
        chances = self._chances(frame)
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

    def _chances(self, frame: Frame) -> NDArray[np.float64]:
        """Return (tiles, conditions) under the expected prior."""
        predictor = self._network.predictor
        card = self._network.card
        valid = valid_pixels(card, frame)
        if not valid.any():
            raise StageError("no pixel has a value", where=f"{frame.frame_id}, stage '{self.name}'")
        pixels, _ = card.normalization.forward(frame.data, valid)
        name = card.inputs[0].name
        seen = average_star if name == INPUT else _alone
        tiles = list(_tiles(pixels, _PUBLISHED_SIDE if self._is_published else _SIDE))
        chosen = np.unique(np.linspace(0, len(tiles) - 1, self.options.tiles).astype(int))
        batches = np.array_split(chosen, -(-chosen.size // self.options.batch))

        def judged(batch: NDArray[np.intp]) -> NDArray[np.float32]:
            stacked = np.stack([seen(tiles[index]) for index in batch])
            return predictor.engine.infer({name: stacked})[_OUTPUT]

        answers = in_threads(judged, batches, predictor.engine.parallel)
        chances = np.concatenate(answers).astype(np.float64)
        trained = _PUBLISHED_TRAINED if self._is_published else _TRAINED
        return _with_prior(chances, trained=trained, wanted=self.options.prior)


def _alone(tile: NDArray[np.float32]) -> NDArray[np.float32]:
    return tile[np.newaxis]


def _tiles(pixels: NDArray[np.float32], side: int) -> Iterator[NDArray[np.float32]]:
    """Yield tiles that do not overlap; the last ones overlap where sides are no multiples."""
    missing = [max(0, side - length) for length in pixels.shape]
    if any(missing):
        # Smaller than a tile: the frame is continued by its mirror image.
        pixels = np.pad(pixels, [(0, count) for count in missing], mode="symmetric")
    for y in _starts(pixels.shape[0], side):
        for x in _starts(pixels.shape[1], side):
            yield np.ascontiguousarray(pixels[y : y + side, x : x + side])


def _starts(length: int, side: int) -> list[int]:
    regular = list(range(0, length - side + 1, side))
    return regular if regular[-1] + side == length else [*regular, length - side]


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
