"""`astroclean train psf-cae-paper`: the autoencoder of the paper, from simulated galaxies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from astroclean.training.keras_model import (
    KerasRecipe,
    StreamTraining,
    TrainedModel,
    begin_with,
    built,
)
from astroclean.training.samples import fixed_samples, stream_of
from astroclean_psf_cae.paper.channels import CHANNELS, FLOOR, ChannelName, ChannelSettings
from astroclean_psf_cae.paper.restore import MULTIPLE, renormalized
from astroclean_psf_cae.paper.samples import VALIDATION, PaperSampleMaker
from astroclean_psf_cae.paper.scoring import StampScores, stamp_scores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from astroclean.training.trainer import Recipe

__all__ = ["PaperRecipe", "PaperTrainer", "PaperTraining"]

_FALL, _FALL_STEPS = 0.6, 100_000
"""By what the learning rate is multiplied in how many steps."""


class PaperRecipe(KerasRecipe):
    """How the variant `paper` is trained.

    As Sreejith et al. (2023) do it: Adam at 1e-4, which falls by 0.6 in 100 000 steps, and binary
    cross-entropy. The text that we have lost how many epochs they take of what batches; these are
    ours. What the paper does not have: new samples for each step, gradients limited to a norm of 1,
    and averaged weights, which are the ones that are kept. No weights are shipped.
    """

    steps: int = Field(default=100_000, ge=1)
    """Steps of the optimizer, those before an interruption included."""
    validate_every: int = Field(default=1_000, ge=1)
    """Steps from one validation to the next."""
    batch: int = Field(default=64, ge=1, le=4096)
    """Stamps in a step."""
    rate: float = Field(default=1e-4, gt=0)
    """Learning rate of the first step."""
    decay: float = Field(default=0.0, ge=0)
    """Weight decay; without it AdamW is Adam."""
    precision: Literal["f32", "bf16"] = "f32"
    """Of activations; weights are float32."""
    channels: tuple[ChannelName, ...] = Field(default=CHANNELS, min_length=1)
    """What the network sees, in its order: the image convolved with the PSF, with its inverse, with
    the inverse and a Gaussian."""
    sigma: Annotated[float, Field(gt=0, le=100)] | None = None
    """Standard deviation of that Gaussian in pixels; none: 0.6 of the effective FWHM of the PSF."""
    floor: float = Field(default=FLOOR, gt=0, le=1)
    """Least modulus of the PSF's Fourier transform that is inverted as it is."""
    scaling: Literal["channel", "object"] = "channel"
    """Whether each channel of a stamp gets a maximum of 1, or the highest of them."""
    side: int = Field(default=64, ge=32, le=512, multiple_of=MULTIPLE)
    """Pixels of a stamp."""
    galaxies: int = Field(default=40, ge=1, le=1000)
    """Galaxies of each of the seven families that are drawn from, turned, sheared and scaled;
    each process takes a tenth of a second for one."""
    first: int = Field(default=10_000, ge=1)
    """Stamps before the first step; each takes a fiftieth of a second of one core."""
    fresh: float = Field(default=4.0, ge=0)
    """New stamps for each step."""
    keep: int = Field(default=20_000, ge=1)
    """Stamps that a step draws from; 32 kB each on disk."""
    workers: int = Field(default=1, ge=1, le=256)
    """Processes that simulate."""
    validation: int = Field(default=1_000, ge=1)
    """Stamps of the validation, with galaxies that no step sees."""
    start: str | None = None
    """ONNX file of weights to begin with; none: random ones."""

    @model_validator(mode="after")
    def _channels_fit(self) -> Self:
        # It refuses what cannot be.
        ChannelSettings(names=self.channels)
        return self

    @property
    def settings(self) -> ChannelSettings:
        """How the channels are made."""
        return ChannelSettings(
            names=self.channels, sigma=self.sigma, floor=self.floor, scaling=self.scaling
        )

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step, the first being number 1."""
        return float(self.rate * _FALL ** ((step - 1) / _FALL_STEPS))


class PaperTrainer:
    """Trains the autoencoder of the paper; entry point ``psf-cae-paper``."""

    recipe: ClassVar[type[Recipe]] = PaperRecipe
    monitor: ClassVar[str] = "psnr"

    def begin(self, recipe: Any, folder: Path) -> PaperTraining:
        """Return a new training."""
        return PaperTraining(recipe, folder)


class PaperTraining(StreamTraining):
    """The autoencoder, its optimizer, its samples."""

    def __init__(self, recipe: PaperRecipe, folder: Path) -> None:
        import keras  # noqa: PLC0415 - takes seconds

        from astroclean_psf_cae.paper.network import build_paper  # noqa: PLC0415 - imports keras

        self._recipe = recipe
        self._planes = [CHANNELS.index(name) for name in recipe.channels]
        model = built(lambda: build_paper(len(self._planes)), recipe)
        if recipe.start is not None:
            begin_with(model, Path(recipe.start).expanduser())
        make = PaperSampleMaker(recipe.seed, recipe.side, recipe.settings, recipe.galaxies)
        self._validation = fixed_samples(
            replace(make, offset=VALIDATION, held_out=True),
            folder / "validation",
            count=recipe.validation,
            workers=recipe.workers,
        )
        stream = stream_of(replace(make, scored=False), folder / "samples", recipe)
        # An output above 1 has no slope here: the loss takes it for 1. So it is in the paper.
        loss = keras.losses.BinaryCrossentropy()
        super().__init__(TrainedModel(model, [loss], recipe), stream)

    def step(self, number: int) -> Mapping[str, float]:
        """Take one step; return its loss."""
        rng = np.random.default_rng((self._recipe.seed, number))
        samples = self._stream.draw(number, rng.random(self._recipe.batch))
        channels, scales, targets = (
            np.stack([sample[name] for sample in samples])
            for name in ("channels", "scales", "target")
        )
        true = targets[..., np.newaxis].astype(np.float32)
        return {"loss": self._trained.learn(number, self._fed(channels, scales), [true])[0]}

    def _fed(
        self, channels: NDArray[np.float16], scales: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return what the network sees of samples, (n, ny, nx, channels)."""
        chosen = channels[:, self._planes].astype(np.float32)
        if self._recipe.scaling == "object":
            own = scales[:, self._planes, np.newaxis, np.newaxis]
            chosen *= own / own.max(axis=1, keepdims=True)
        return np.moveaxis(chosen, 1, -1)

    def validate(self) -> Mapping[str, float]:
        """Score the averaged weights on stamps that no step sees; fluxes as `restore` has them."""
        return self.scores().told()

    def scores(self) -> StampScores:
        """Return the scores of each stamp of the validation that holds a galaxy."""
        kept, batch = self._validation, self._recipe.batch
        with self._trained.averaged() as model:
            fed = self._fed(kept["channels"], kept["scales"])
            answers = model.predict(fed, batch_size=batch, verbose=0)
        restored = renormalized(answers[..., 0], kept["data"], kept["psf"])
        return stamp_scores(restored.images, kept["truth"], kept["about"])

    def export(self, folder: Path) -> Sequence[Path]:
        """Write ONNX file, card, example and how channels are made, with the averaged weights."""
        from astroclean_psf_cae.paper.export import export_paper  # noqa: PLC0415 - imports keras

        example = self._fed(self._validation["channels"][:1], self._validation["scales"][:1])
        return export_paper(self._trained.average, example, self._recipe.settings, folder)
