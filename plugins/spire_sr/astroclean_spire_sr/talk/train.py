"""`astroclean train spire-sr-talk`: the network of the talk, from simulated fields."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from astroclean.training.network import StreamTraining
from astroclean.training.samples import fixed_samples, stream_of
from astroclean.training.torch_model import TorchRecipe, TrainedModule, begin_with, built
from astroclean_spire_sr.talk.samples import SIDE, TalkSampleMaker
from astroclean_spire_sr.talk.scales import TOP, scaled
from astroclean_spire_sr.talk.sizes import TALK, GeneratorSize
from astroclean_spire_sr.train.samples import VALIDATION
from astroclean_spire_sr.train.training import oriented

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from astroclean.training.trainer import Recipe

__all__ = ["TalkRecipe", "TalkTrainer", "TalkTraining"]


class TalkRecipe(TorchRecipe):
    """How the variant `talk` is trained.

    Size of the network, learning rate and dropout are those of GalaxyGAN (Schawinski et al. 2017),
    losses those of the talk, whose weights it does not tell. ``filters=32`` and ``levels=6`` are
    what a CPU can train. A field has 576 x 576 pixels of 1 arcsec.
    """

    filters: int = Field(default=TALK.filters, ge=2, le=256)
    """Of the first level; each further one has twice as many, up to 8 times as many."""
    levels: int = Field(default=TALK.levels, ge=2, le=9)
    """Each halves the resolution."""
    side: int = Field(default=256, ge=32, le=SIDE)
    """Side of the part of a field that a step sees, pixels of 1 arcsec, a multiple of 2 to the
    number of levels; the stage shows the network blocks of this size."""
    batch: int = Field(default=8, ge=2, le=256)
    """Windows in a step. One alone would leave nothing to normalize at the coarsest level."""
    steps: int = Field(default=40_000, ge=1)
    """Steps of the optimizer, those before an interruption included."""
    rate: float = Field(default=2e-4, gt=0)
    """Highest learning rate; it rises over the first 300 steps and falls with a cosine."""
    decay: float = Field(default=0.0, ge=0)
    """Weight decay; without it AdamW is Adam."""
    pixels: float = Field(default=1.0, ge=0)
    """Weight of the mean absolute difference of pixels, mJy a beam."""
    mean: float = Field(default=1.0, ge=0)
    """Weight of the difference of the means, mJy a beam."""
    median: float = Field(default=1.0, ge=0)
    """Weight of the difference of the medians, mJy a beam."""
    aperture: float = Field(default=1.0, ge=0)
    """Weight of the mean absolute difference of fluxes at sources of the target, mJy."""
    cross: float = Field(default=1.0, ge=0)
    """Weight of the same at sources of the generated image, of fields that stand for real ones."""
    first: int = Field(default=200, ge=1)
    """Fields before the first step."""
    fresh: float = Field(default=0.25, ge=0)
    """New fields for each step."""
    keep: int = Field(default=3_000, ge=1)
    """Fields that a step draws from; 1.7 MB each on disk."""
    workers: int = Field(default=1, ge=1, le=256)
    """Processes that simulate."""
    validation: int = Field(default=24, ge=1)
    """Fields of the validation."""

    @property
    def size(self) -> GeneratorSize:
        """Of the network."""
        return GeneratorSize(self.filters, self.levels)

    @model_validator(mode="after")
    def _side_fits(self) -> Self:
        if self.side % self.size.multiple:
            raise ValueError(
                f"side: must be a multiple of {self.size.multiple}, 2 to the number of levels "
                f"(got {self.side})"
            )
        return self


class TalkTrainer:
    """Trains the network of the talk; entry point ``spire-sr-talk``."""

    recipe: ClassVar[type[Recipe]] = TalkRecipe
    monitor: ClassVar[str] = "correlation"

    def begin(self, recipe: Any, folder: Path) -> TalkTraining:
        """Return a new training."""
        return TalkTraining(recipe, folder)


class TalkTraining(StreamTraining):
    """The network, its optimizer, its samples."""

    def __init__(self, recipe: TalkRecipe, folder: Path) -> None:
        from astroclean_spire_sr.talk.losses import LossWeights  # noqa: PLC0415 - imports torch
        from astroclean_spire_sr.talk.network import Generator  # noqa: PLC0415 - imports torch

        self._recipe = recipe
        weights = {name: getattr(recipe, name) for name in LossWeights.model_fields}
        self._weights = LossWeights(**weights)
        module = built(lambda: Generator(recipe.size), recipe)
        if recipe.start is not None:
            begin_with(module, Path(recipe.start).expanduser())
        self._validation = fixed_samples(
            TalkSampleMaker(recipe.seed, offset=VALIDATION),
            folder / f"validation-{recipe.seed}",
            count=recipe.validation,
            workers=recipe.workers,
        )
        maker = TalkSampleMaker(recipe.seed)
        stream = stream_of(maker, folder / f"samples-{recipe.seed}", recipe)
        super().__init__(TrainedModule(module, recipe), stream)

    def step(self, number: int) -> Mapping[str, float]:
        """Take one step; return its losses."""
        import torch  # noqa: PLC0415 - takes a second, and only training needs it

        from astroclean_spire_sr.talk.losses import talk_losses  # noqa: PLC0415 - imports torch

        drawn = self._trained.tensors(self._batch(number))
        image = drawn["image"].contiguous(memory_format=torch.channels_last)

        def losses(module: Any) -> Mapping[str, Any]:
            generated = module(image)
            # Sums over pixels need float32.
            with torch.autocast(image.device.type, enabled=False):
                told = TOP * generated.float()
                known, is_real = drawn["known"], drawn["is_real"]
                return talk_losses(told, drawn["truth"], known, is_real, self._weights)

        learned: dict[str, float] = self._trained.learn(number, losses)
        return learned

    def _batch(self, number: int) -> dict[str, NDArray[np.float32]]:
        rng = np.random.default_rng((self._recipe.seed, number))
        side = self._recipe.side
        parts: dict[str, list[NDArray[Any]]] = {}
        for sample in self._stream.draw(number, rng.random(self._recipe.batch)):
            y, x = (int(place) for place in rng.integers(0, SIDE - side + 1, 2))
            turn = int(rng.integers(8))
            for name in ("data", "truth", "known"):
                window = oriented(sample[name][y : y + side, x : x + side], turn)
                parts.setdefault(name, []).append(window[np.newaxis])
            parts.setdefault("is_real", []).append(sample["is_real"])
        batch = {name: np.stack(values).astype(np.float32) for name, values in parts.items()}
        return {"image": scaled(batch.pop("data")), **batch}

    def validate(self) -> Mapping[str, float]:
        """Score the averaged weights on fields that no step sees."""
        from astroclean_spire_sr.talk.scoring import map_scores  # noqa: PLC0415 - only here

        return map_scores(self._answer, self._validation, side=self._recipe.side)

    def _answer(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        told: NDArray[np.float32] = self._trained.answers(image)[0]
        return told

    def export(self, folder: Path) -> Sequence[Path]:
        """Write ONNX file, card and example from the averaged weights."""
        from astroclean_spire_sr.talk.export import export_talk  # noqa: PLC0415 - imports torch

        module = copy.deepcopy(self._trained.average).cpu()
        return export_talk(module, folder, size=self._recipe.size, side=self._recipe.side)
