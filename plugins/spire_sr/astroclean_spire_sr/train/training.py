"""`astroclean train spire-sr`: from simulated fields, drawn on the fly."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from astroclean.training.network import StreamTraining
from astroclean.training.samples import fixed_samples, stream_of
from astroclean.training.torch_model import TorchRecipe, TrainedModule, begin_with, built
from astroclean_spire_sr.train.samples import SIDE, VALIDATION, SampleMaker, source_targets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from astroclean.training.trainer import Recipe

__all__ = ["SpireRecipe", "SpireTrainer", "SpireTraining", "oriented"]

_PER = 3


class SpireRecipe(TorchRecipe):
    """How the default network is trained; a field has 192 x 192 pixels of 3 arcsec."""

    batch: int = Field(default=8, ge=1, le=256)
    """Windows in a step."""
    steps: int = Field(default=9_000, ge=1)
    """Steps of the optimizer, those before an interruption included."""
    rate: float = Field(default=2e-3, gt=0)
    """Highest learning rate; it rises over the first 300 steps and falls with a cosine."""
    window: int = Field(default=128, ge=64, le=SIDE, multiple_of=32)
    """Side of the part of a field that a step sees, pixels of 3 arcsec."""
    first: int = Field(default=200, ge=1)
    """Fields before the first step."""
    fresh: float = Field(default=0.25, ge=0)
    """New fields for each step."""
    keep: int = Field(default=2_600, ge=1)
    """Fields that a step draws from; 1.4 MB each on disk."""
    workers: int = Field(default=1, ge=1, le=256)
    """Processes that simulate."""
    validation: int = Field(default=48, ge=2)
    """Fields of the validation."""


class SpireTrainer:
    """Trains the default network; entry point ``spire-sr``."""

    recipe: ClassVar[type[Recipe]] = SpireRecipe
    monitor: ClassVar[str] = "score"

    def begin(self, recipe: Any, folder: Path) -> SpireTraining:
        """Return a new training."""
        return SpireTraining(recipe, folder)


class SpireTraining(StreamTraining):
    """The network, its optimizer, its samples."""

    def __init__(self, recipe: SpireRecipe, folder: Path) -> None:
        from astroclean_spire_sr.network.unet import build_unet  # noqa: PLC0415 - imports torch

        self._recipe = recipe
        module = built(build_unet, recipe)
        if recipe.start is not None:
            begin_with(module, Path(recipe.start).expanduser())
        trained = TrainedModule(module, recipe)
        self._validation = fixed_samples(
            SampleMaker(recipe.seed, offset=VALIDATION),
            folder / f"validation-{recipe.seed}",
            count=recipe.validation,
            workers=recipe.workers,
        )
        maker = SampleMaker(recipe.seed)
        stream = stream_of(maker, folder / f"samples-{recipe.seed}", recipe)
        super().__init__(trained, stream)

    def step(self, number: int) -> Mapping[str, float]:
        """Take one step; return its losses."""
        import torch  # noqa: PLC0415 - takes a second, and only training needs it

        from astroclean_spire_sr.train.losses import losses_of  # noqa: PLC0415 - imports torch

        drawn = self._trained.tensors(self._batch(number))
        planes = drawn["planes"].contiguous(memory_format=torch.channels_last)

        def losses(module: Any) -> Mapping[str, Any]:
            answers = module(planes)
            # Sums over pixels need float32.
            with torch.autocast(planes.device.type, enabled=False):
                told = tuple(answer.float() for answer in answers)
                return losses_of(told, drawn["truth"], drawn["known"], drawn["targets"])

        learned: dict[str, float] = self._trained.learn(number, losses)
        return learned

    def _batch(self, number: int) -> dict[str, NDArray[np.float32]]:
        rng = np.random.default_rng((self._recipe.seed, number))
        parts: dict[str, list[NDArray[Any]]] = {}
        for sample in self._stream.draw(number, rng.random(self._recipe.batch)):
            y, x = rng.integers(0, SIDE - self._recipe.window + 1, 2)
            place = int(y), int(x)
            one = _windowed(sample, place, self._recipe.window, turn=int(rng.integers(8)))
            for name, values in one.items():
                parts.setdefault(name, []).append(values)
        return {name: np.stack(values).astype(np.float32) for name, values in parts.items()}

    def validate(self) -> Mapping[str, float]:
        """Score the averaged weights on fields that no step sees."""
        from astroclean_spire_sr.train.scoring import field_scores  # noqa: PLC0415

        return field_scores(self._trained.answers, self._validation)

    def export(self, folder: Path) -> Sequence[Path]:
        """Write ONNX file, card and example from the averaged weights."""
        from astroclean_spire_sr.train.export import export_network  # noqa: PLC0415

        module = copy.deepcopy(self._trained.average).cpu()
        return export_network(module, folder, name="spire-sr-astroclean")


def _windowed(
    sample: Mapping[str, NDArray[Any]], place: tuple[int, int], side: int, *, turn: int
) -> dict[str, NDArray[Any]]:
    """Return a window of a field, in one of eight orientations."""
    (y, x), rows = place, np.array(sample["sources"], dtype=np.float32)
    rows[:, :2] -= np.array([y, x]) * _PER
    targets = {
        "planes": sample["planes"][:, y : y + side, x : x + side],
        "known": sample["known"][np.newaxis, y : y + side, x : x + side],
        "truth": sample["truth"][np.newaxis, _PER * y : _PER * (y + side)][
            ..., _PER * x : _PER * (x + side)
        ],
    }
    last = _PER * side - 1
    if turn & 1:
        rows[:, 1] = last - rows[:, 1]
    if turn & 2:
        rows[:, 0] = last - rows[:, 0]
    if turn & 4:
        rows[:, :2] = rows[:, 1::-1]
    turned = {name: oriented(image, turn) for name, image in targets.items()}
    return {**turned, "targets": source_targets(rows, (side, side))}


def oriented(image: NDArray[Any], turn: int) -> NDArray[Any]:
    """Return an image (..., n, n) in one of eight orientations."""
    image = image[..., ::-1] if turn & 1 else image
    image = image[..., ::-1, :] if turn & 2 else image
    return np.swapaxes(image, -1, -2) if turn & 4 else image
