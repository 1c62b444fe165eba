"""What every training of a network shares, in any framework: schedule, average, stream."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import Field

from astroclean.training.trainer import Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from astroclean.training.samples import SampleStream

__all__ = ["Kept", "NetworkRecipe", "StreamTraining", "averaging_share", "learning_rate"]

_RISING = 300
_LEAST = 0.01
"""Learning rate at the end, as a part of the highest."""
_AVERAGING = 0.999
"""Part of the averaged weights that a step leaves."""


class NetworkRecipe(Recipe):
    """Settings of every training of a network."""

    batch: int = Field(default=8, ge=1, le=4096)
    """Tiles in a step."""
    rate: float = Field(default=1.5e-3, gt=0)
    """Highest learning rate; it rises over the first 300 steps and falls with a cosine."""
    decay: float = Field(default=1e-4, ge=0)
    """Weight decay."""
    precision: Literal["f32", "bf16"] = "bf16"
    """Of activations; weights are float32."""

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step, the first being number 1; subclasses have others."""
        return learning_rate(self, step)


def learning_rate(recipe: NetworkRecipe, number: int) -> float:
    """Return the learning rate of a step, the first being number 1."""
    rising = min(1.0, number / _RISING)
    falling = 0.5 * (1 + math.cos(math.pi * min(1.0, number / recipe.steps)))
    return recipe.rate * rising * (_LEAST + (1 - _LEAST) * falling)


def averaging_share(number: int) -> float:
    """Return how far averaged weights go towards those of a step.

    Averaged weights score better than the last ones: what single steps add is noise.
    """
    return 1 - min(_AVERAGING, (1 + number) / (10 + number))


class Kept(Protocol):
    """What a training keeps in its checkpoints."""

    def save(self, folder: Path) -> None:
        """Write what `restore` needs."""

    def restore(self, folder: Path) -> None:
        """Take up what `save` wrote."""


class StreamTraining:
    """Base of trainings of one model on a stream of samples: all but what a step learns.

    Parameters
    ----------
    trained : Kept
        The model.
    stream : SampleStream
        Its samples.
    """

    def __init__(self, trained: Kept, stream: SampleStream) -> None:
        # Subclasses know what else it can do.
        self._trained: Any = trained
        self._stream = stream

    def save(self, folder: Path) -> None:
        """Write weights, their average, and the optimizer."""
        self._trained.save(folder)

    def restore(self, folder: Path) -> None:
        """Take up what `save` wrote."""
        self._trained.restore(folder)

    def close(self) -> None:
        """Stop the processes that simulate."""
        self._stream.close()
