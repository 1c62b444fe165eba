"""`astroclean train pais-profile`: the network that draws profiles of single sources."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

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
from astroclean_pais.profiles import drawn_profile
from astroclean_pais.train.stamps import PER_SCENE, STAMP, StampSampleMaker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from astroclean.training.trainer import Recipe

__all__ = ["ProfileRecipe", "ProfileTrainer", "ProfileTraining"]

_VALIDATION = 40_000_000
_ORIENTATIONS = 8
_SMALL = 0.9
"""Half-light radius over FWHM up to which the middle of a stamp holds a source, if the PSF is
narrow enough for it."""
_NARROW = 4.5


class ProfileRecipe(KerasRecipe):
    """How the profile network is trained; a scene gives 12 stamps of 64 x 64 pixels."""

    steps: int = Field(default=10_000, ge=1)
    """Steps of the optimizer, those before an interruption included."""
    validate_every: int = Field(default=500, ge=1)
    """Steps from one validation to the next."""
    batch: int = Field(default=48, ge=1, le=4096)
    """Stamps of 64 x 64 in a step; of small sources four times as many, 32 x 32 of each."""
    rate: float = Field(default=2e-3, gt=0)
    """Highest learning rate; it rises over the first 300 steps and falls with a cosine."""
    first: int = Field(default=200, ge=1)
    """Scenes before the first step."""
    fresh: float = Field(default=0.6, ge=0)
    """New scenes for each step."""
    keep: int = Field(default=2_000, ge=1)
    """Scenes that a step draws from; 1 MB each on disk."""
    workers: int = Field(default=1, ge=1, le=256)
    """Processes that draw them."""
    validation: int = Field(default=60, ge=1)
    """Scenes of the validation, with galaxies that no step sees."""


class ProfileTrainer:
    """Trains the profile network; entry point ``pais-profile``."""

    recipe: ClassVar[type[Recipe]] = ProfileRecipe
    monitor: ClassVar[str] = "iou"

    def begin(self, recipe: Any, folder: Path) -> ProfileTraining:
        """Return a new training."""
        return ProfileTraining(recipe, folder)


class ProfileTraining(StreamTraining):
    """The profile network, its optimizer, its samples."""

    def __init__(self, recipe: ProfileRecipe, folder: Path) -> None:
        from astroclean_pais.network.profile import build_profile, profile_loss  # noqa: PLC0415

        self._recipe = recipe
        model = built(build_profile, recipe)
        if recipe.start is not None:
            begin_with(model, Path(recipe.start).expanduser())
        make = StampSampleMaker(recipe.seed)
        self._validation = fixed_samples(
            replace(make, offset=_VALIDATION, held_out=True),
            folder / "validation",
            count=recipe.validation,
            workers=recipe.workers,
        )
        stream = stream_of(make, folder / "samples", recipe)
        super().__init__(TrainedModel(model, [profile_loss], recipe), stream)

    def step(self, number: int) -> Mapping[str, float]:
        """Take one step; return its loss."""
        rng = np.random.default_rng((self._recipe.seed, number))
        is_small = number % 2 == 1
        wanted = self._recipe.batch * (4 if is_small else 1)
        scenes = max(wanted // 4, 1)
        inputs, targets = [], []
        for sample in self._stream.draw(number, rng.random(scenes)):
            rows = np.flatnonzero(_fits(sample["about"], is_small=is_small))
            turn = int(rng.integers(_ORIENTATIONS))
            for row in rng.permutation(rows)[: wanted // scenes]:
                inputs.append(_turned(_middle(sample["inputs"][row], is_small=is_small), turn))
                targets.append(_turned(_middle(sample["target"][row], is_small=is_small), turn))
        if not inputs:
            return {}
        # A shape for each number of stamps would be compiled anew: fill up with what is there.
        chosen = np.arange(wanted) % len(inputs)
        fed = np.stack(inputs)[chosen].transpose(0, 2, 3, 1).astype(np.float32)
        true = _normalized(np.stack(targets)[chosen].astype(np.float32)).transpose(0, 2, 3, 1)
        return {"loss": self._trained.learn(number, fed, [true])[0]}

    def validate(self) -> Mapping[str, float]:
        """Score the averaged weights on sources that no step sees."""
        with self._trained.averaged() as model:
            return profile_scores(model, self._validation)

    def export(self, folder: Path) -> Sequence[Path]:
        """Write ONNX file, card and example from the averaged weights."""
        from astroclean_pais.train.shipping import export_profile  # noqa: PLC0415 - imports keras

        return export_profile(self._trained.average, self._validation, folder)


def _fits(about: NDArray[np.float32], *, is_small: bool) -> NDArray[np.bool_]:
    snr, size, width = about.T
    small = (size < _SMALL) & (width < _NARROW)
    return np.asarray((snr > 0) & (small if is_small else np.ones_like(small)))


def _middle(stamp: NDArray[Any], *, is_small: bool) -> NDArray[Any]:
    if not is_small:
        return stamp
    quarter = STAMP // 4
    return stamp[:, quarter : STAMP - quarter, quarter : STAMP - quarter]


def _turned(stamp: NDArray[Any], turn: int) -> NDArray[Any]:
    # The source lies half a pixel beside the middle of the array: the network must not care.
    image = stamp[:, :, ::-1] if turn >= _ORIENTATIONS // 2 else stamp
    return np.rot90(image, turn % 4, axes=(1, 2))


def _normalized(target: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return targets with the true light of sum 1 in what is seen of the stamp."""
    whole = target[:, 1].sum(axis=(1, 2), keepdims=True)
    target[:, 2] *= whole / 1000
    target[:, 1] /= np.maximum(whole, 1e-9)
    return target


def profile_scores(model: Any, samples: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Return medians over sources with S/N above 5: soft IoU, cosine, error of the flux (ln).

    ``iou_before`` is that of the present models.
    """
    about = samples["about"].reshape(-1, 3)
    kept = np.flatnonzero(about[:, 0] > 5)  # noqa: PLR2004 - S/N
    inputs = samples["inputs"].reshape(-1, *samples["inputs"].shape[2:])[kept].astype(np.float32)
    target = samples["target"].reshape(-1, *samples["target"].shape[2:])[kept].astype(np.float32)
    target = _normalized(target)
    drawn = []
    for start in range(0, len(kept), PER_SCENE):
        part = slice(start, start + PER_SCENE)
        answer = np.asarray(model(inputs[part].transpose(0, 2, 3, 1), training=False))
        shape = target[part, 0]
        unit = shape / shape.sum(axis=(1, 2), keepdims=True)
        drawn.append(drawn_profile(answer.transpose(0, 3, 1, 2), unit))
    profiles = np.concatenate(drawn)
    before = target[:, 0] / target[:, 0].sum(axis=(1, 2), keepdims=True)
    true, weight = target[:, 1], target[:, 2]
    cosine = _sum(profiles * true) / np.sqrt(_sum(profiles**2) * _sum(true**2))
    ratio = _sum(profiles * true * weight**2) / np.maximum(_sum((profiles * weight) ** 2), 1e-9)
    error = np.log(np.clip(ratio, 1e-3, None))
    bright = about[kept, 0] > 30  # noqa: PLR2004 - S/N
    return {
        "iou": float(np.median(_overlap(profiles, true))),
        "iou_before": float(np.median(_overlap(before, true))),
        "iou_bright": float(np.median(_overlap(profiles, true)[bright])),
        "cosine": float(np.median(cosine)),
        "flux": float(1.4826 * np.median(np.abs(error - np.median(error)))),
        "flux_bias": float(np.median(error)),
    }


def _sum(images: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(images.sum(axis=(1, 2), dtype=np.float64))


def _overlap(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    return _sum(np.minimum(first, second)) / np.maximum(_sum(np.maximum(first, second)), 1e-12)
