"""`astroclean train psf-cae`: the network that says what to take of each filter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from astroclean.evaluation.metrics.deconvolve import ssim
from astroclean.training.keras_model import (
    KerasRecipe,
    StreamTraining,
    TrainedModel,
    begin_with,
    built,
)
from astroclean.training.samples import fixed_samples, stream_of
from astroclean_psf_cae.channels import Seen, composed
from astroclean_psf_cae.sharpen import ORIENTATIONS, turned
from astroclean_psf_cae.train.stamps import PER_SAMPLE, StampMaker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from astroclean.training.trainer import Recipe

__all__ = ["ResidualRecipe", "ResidualTrainer", "ResidualTraining", "scores"]

_VALIDATION = 40_000_000
_CLASSES = ((3.0, 16.5), (16.5, 90.8), (90.8, 501.0))
"""Terciles of the S/N that stamps are drawn with."""


class ResidualRecipe(KerasRecipe):
    """How the network is trained; a sample is 16 stamps of 64 x 64 pixels under one PSF."""

    steps: int = Field(default=12_000, ge=1)
    """Steps of the optimizer, those before an interruption included."""
    validate_every: int = Field(default=1_000, ge=1)
    """Steps from one validation to the next."""
    batch: int = Field(default=64, ge=16, le=4096)
    """Stamps in a step, multiples of 16."""
    rate: float = Field(default=2e-3, gt=0)
    """Highest learning rate; it rises over the first 300 steps and falls with a cosine."""
    first: int = Field(default=300, ge=1)
    """Samples before the first step."""
    fresh: float = Field(default=0.7, ge=0)
    """New samples for each step."""
    keep: int = Field(default=2_500, ge=1)
    """Samples that a step draws from; 1.7 MB each on disk."""
    workers: int = Field(default=1, ge=1, le=256)
    """Processes that draw them."""
    validation: int = Field(default=40, ge=1)
    """Samples of the validation, with galaxies that no step sees."""


class ResidualTrainer:
    """Trains the default network; entry point ``psf-cae``."""

    recipe: ClassVar[type[Recipe]] = ResidualRecipe
    monitor: ClassVar[str] = "psnr"

    def begin(self, recipe: Any, folder: Path) -> ResidualTraining:
        """Return a new training."""
        return ResidualTraining(recipe, folder)


class ResidualTraining(StreamTraining):
    """The network, its optimizer, its samples."""

    def __init__(self, recipe: ResidualRecipe, folder: Path) -> None:
        from astroclean_psf_cae.network.residual import build_residual, residual_loss  # noqa: PLC0415 - imports keras

        self._recipe = recipe
        model = built(build_residual, recipe)
        if recipe.start is not None:
            begin_with(model, Path(recipe.start).expanduser())
        make = StampMaker(recipe.seed)
        self._validation = fixed_samples(
            replace(make, offset=_VALIDATION, held_out=True),
            folder / "validation",
            count=recipe.validation,
            workers=recipe.workers,
        )
        stream = stream_of(make, folder / "samples", recipe)
        super().__init__(TrainedModel(model, [residual_loss], recipe), stream)

    def step(self, number: int) -> Mapping[str, float]:
        """Take one step; return its loss."""
        rng = np.random.default_rng((self._recipe.seed, number))
        drawn = self._stream.draw(number, rng.random(self._recipe.batch // PER_SAMPLE))
        fed, told = [], []
        for sample in drawn:
            turn = int(rng.integers(ORIENTATIONS))
            planes = turned(sample["planes"].astype(np.float32), turn)
            truth = turned(sample["truth"].astype(np.float32), turn)
            fed.append(np.moveaxis(planes, 1, -1))
            told.append(_target(planes, truth))
        return {"loss": self._trained.learn(number, np.concatenate(fed), [np.concatenate(told)])[0]}

    def validate(self) -> Mapping[str, float]:
        """Score the averaged weights on sources that no step sees."""
        with self._trained.averaged() as model:
            return scores(model, self._validation)

    def export(self, folder: Path) -> Sequence[Path]:
        """Write ONNX file, card and example from the averaged weights."""
        from astroclean_psf_cae.train.shipping import export_residual  # noqa: PLC0415 - imports keras

        return export_residual(self._trained.average, self._validation, folder)


def _target(planes: NDArray[np.float32], truth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the loss is told, (n, s, s, 7)."""
    seen = Seen(planes, truth[:, 1])
    parts = [truth[:, :1], seen.fit[:, np.newaxis], seen.rest, truth[:, 1:]]
    return np.moveaxis(np.concatenate(parts, axis=1), 1, -1)


def scores(model: Any, samples: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Return PSNR and 1 - SSIM of stamps over their peaks, and how well errors are told.

    Parameters
    ----------
    model : keras.Model
        Of `astroclean_psf_cae.network.residual.build_residual`.
    samples : mapping of str to array
        As `StampMaker` makes them, in a row.

    Returns
    -------
    dict of str to float
        ``psnr`` (dB) and ``dissimilar``, means over sources; the first by terciles of S/N;
        ``flux`` (robust scatter of the flux of the stamp, %); ``pull`` (root mean square of errors
        over those told); ``blank`` (root mean square in empty stamps, noise).
    """
    snr = samples["snr"].ravel()
    results, truths, pulls = [], [], []
    for planes, truth in zip(samples["planes"], samples["truth"], strict=True):
        seen = Seen(planes.astype(np.float32), truth[:, 1].astype(np.float32))
        fed = np.moveaxis(seen.planes, 1, -1)
        answer = np.moveaxis(np.asarray(model(fed, training=False)), -1, 1)
        image, error = composed(answer, seen)
        light = truth[:, 0].astype(np.float32) * seen.scale
        results.append(image)
        truths.append(light)
        pulls.append(np.mean(((image - light) / error) ** 2))
    image, light = np.concatenate(results), np.concatenate(truths)
    peak = light.max(axis=(1, 2))
    is_source = snr > 0
    square = np.mean((image - light) ** 2, axis=(1, 2))
    depth = np.where(is_source, 10 * np.log10(np.maximum(peak, 1e-9) ** 2 / square), np.nan)
    alike = [
        ssim(a / p, b / p, peak=1.0)
        for a, b, p in zip(image[is_source], light[is_source], peak[is_source], strict=True)
    ]
    flux, true = image.sum(axis=(1, 2))[is_source], light.sum(axis=(1, 2))[is_source]
    missed = flux / true - 1
    named = {
        name: float(np.mean(depth[(snr >= low) & (snr < high)]))
        for name, (low, high) in zip(
            ("psnr low", "psnr medium", "psnr high"), _CLASSES, strict=True
        )
    }
    return {
        "psnr": float(np.nanmean(depth)),
        **named,
        "dissimilar": float(1 - np.mean(alike)),
        "flux": float(100 * 1.4826 * np.median(np.abs(missed - np.median(missed)))),
        "pull": float(np.sqrt(np.mean(pulls))),
        "blank": float(np.sqrt(np.mean(square[~is_source]))),
    }
