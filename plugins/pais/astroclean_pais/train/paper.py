"""`astroclean train pais-paper`: the network of the paper, from simulated blends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from astroclean.training.keras_model import (
    KerasRecipe,
    StreamTraining,
    TrainedModel,
    begin_with,
    built,
)
from astroclean.training.samples import fixed_samples, stream_of
from astroclean_pais.train.paper_samples import VALIDATION, PaperSampleMaker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from astroclean.training.trainer import Recipe

__all__ = ["PaperRecipe", "PaperTrainer", "PaperTraining"]

_TARGETS = ("center", "vectors", "maps")


class PaperRecipe(KerasRecipe):
    """How the variant `paper` is trained.

    The defaults are those of Hausen & Robertson (2021), section 3: Adam, 2000 samples of 256 x 256
    pixels and 500 to validate, batches of 100, 1000 epochs. Samples are simulated, where theirs
    were Hubble images. What the paper does not have: the rate rises first and falls with a cosine,
    gradients are limited to a norm of 1, and averaged weights are kept.
    """

    steps: int = Field(default=20_000, ge=1)
    """Steps of the optimizer, those before an interruption included; 20 are an epoch."""
    validate_every: int = Field(default=500, ge=1)
    """Steps from one validation to the next."""
    batch: int = Field(default=100, ge=1, le=4096)
    """Images in a step."""
    rate: float = Field(default=1e-4, gt=0)
    """Highest learning rate."""
    decay: float = Field(default=0.0, ge=0)
    """Weight decay; without it AdamW is Adam."""
    precision: Literal["f32", "bf16"] = "f32"
    """Of activations; weights are float32."""
    side: int = Field(default=256, ge=32, le=2048, multiple_of=16)
    """Pixels of an image."""
    first: int = Field(default=2_000, ge=1)
    """Simulated images before the first step; each takes some seconds of one core."""
    fresh: float = Field(default=0.0, ge=0)
    """New images for each step."""
    keep: int = Field(default=2_000, ge=1)
    """Images that a step draws from; 1.4 MB each on disk at 256 x 256."""
    workers: int = Field(default=1, ge=1, le=256)
    """Processes that simulate."""
    validation: int = Field(default=500, ge=1)
    """Simulated images of the validation."""
    start: str | None = None
    """ONNX file of weights to begin with; none: random ones."""


class PaperTrainer:
    """Trains the network of the paper; entry point ``pais-paper``."""

    recipe: ClassVar[type[Recipe]] = PaperRecipe
    monitor: ClassVar[str] = "minus loss"

    def begin(self, recipe: Any, folder: Path) -> PaperTraining:
        """Return a new training."""
        return PaperTraining(recipe, folder)


class PaperTraining(StreamTraining):
    """The network of the paper, its optimizer, its samples."""

    def __init__(self, recipe: PaperRecipe, folder: Path) -> None:
        from astroclean_pais.network.paper import build_paper  # noqa: PLC0415 - imports keras
        from astroclean_pais.network.paper_losses import (  # noqa: PLC0415 - imports keras
            WEIGHTS,
            attribution_loss,
            center_loss,
            vector_loss,
        )

        self._recipe = recipe
        model = built(lambda: build_paper(logits=True), recipe)
        if recipe.start is not None:
            begin_with(model, Path(recipe.start).expanduser())
        make = PaperSampleMaker(recipe.seed, recipe.side)
        self._validation = fixed_samples(
            replace(make, offset=VALIDATION),
            folder / "validation",
            count=recipe.validation,
            workers=recipe.workers,
        )
        stream = stream_of(make, folder / "samples", recipe)
        losses = [center_loss, vector_loss, attribution_loss]
        super().__init__(TrainedModel(model, losses, recipe, weights=WEIGHTS), stream)

    def step(self, number: int) -> Mapping[str, float]:
        """Take one step; return its losses."""
        rng = np.random.default_rng((self._recipe.seed, number))
        samples = self._stream.draw(number, rng.random(self._recipe.batch))
        pixels, *targets = (
            np.stack([sample[name] for sample in samples]).astype(np.float32)
            for name in ("pixels", *_TARGETS)
        )
        return _told(self._trained.learn(number, pixels, targets))

    def validate(self) -> Mapping[str, float]:
        """Score the averaged weights on scenes that no step sees."""
        count, batch = self._recipe.validation, self._recipe.batch
        sums: NDArray[np.float64] = np.zeros(1 + len(_TARGETS))
        with self._trained.averaged() as model:
            for first in range(0, count, batch):
                part = slice(first, min(first + batch, count))
                pixels, *targets = (
                    self._validation[name][part].astype(np.float32)
                    for name in ("pixels", *_TARGETS)
                )
                losses = model.evaluate(pixels, targets, batch_size=len(pixels), verbose=0)
                sums += np.asarray(losses) * len(pixels)
        losses = _told(list(sums / count))
        return {"minus loss": -losses["loss"], **losses}

    def export(self, folder: Path) -> Sequence[Path]:
        """Write ONNX file, card and example from the averaged weights."""
        from astroclean_pais.train.paper_export import (  # noqa: PLC0415 - imports keras
            export_paper,
        )

        return export_paper(self._trained.average, folder)


def _told(losses: Sequence[float]) -> dict[str, float]:
    """Return the names of what Keras gives: the weighted sum, then each loss."""
    return dict(zip(("loss", *_TARGETS), map(float, losses), strict=True))
