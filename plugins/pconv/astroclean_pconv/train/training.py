"""`astroclean train pconv`: from simulated maps with sources of known light."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, FilePath, model_validator

from astroclean.training.network import StreamTraining
from astroclean.training.samples import fixed_samples, stream_of
from astroclean.training.torch_model import TorchRecipe, TrainedModule, begin_with, built
from astroclean_pconv.fill.cutouts import SIDE
from astroclean_pconv.train.grounds import find_maps
from astroclean_pconv.train.samples import (
    CUTS,
    ORIENTATIONS,
    VALIDATION,
    SampleMaker,
    turned,
    windowed,
)
from astroclean_pconv.train.scoring import hole_scores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from astroclean.training.trainer import Recipe

__all__ = ["PconvRecipe", "PconvTrainer", "PconvTraining"]

_IMAGES = ("image", "target", "sky", "valid", "hole")


class PconvRecipe(TorchRecipe):
    """How a network of partial convolutions is trained; a cut-out has 96 x 96 pixels.

    The folder ``data`` may hold ``maps/``, real maps with few sources, one FITS file each. The
    validation is on simulated maps alone: it is for choosing weights, not for judging them.
    """

    network: Literal["compact", "paper"] = "compact"
    """``compact``: 0.4 M parameters; ``paper``: 35 M."""
    batch: int = Field(default=32, ge=1, le=4096)
    """Cut-outs in a step (the paper has 64)."""
    steps: int = Field(default=12_000, ge=1)
    """Steps of the optimizer, those before an interruption included."""
    rate: float = Field(default=4e-3, gt=0)
    """Highest learning rate; it rises over the first 300 steps and falls with a cosine."""
    precision: Literal["f32", "bf16"] = "f32"
    """Of activations; weights are float32."""
    truth: Literal["noisy", "noiseless"] = "noiseless"
    """What is asked for in the holes: the map as it would be without sources (the paper), or the
    emission without noise, where that is known."""
    weight_valid: float = Field(default=0.0, ge=0)
    """Of the absolute error where the network sees pixels (the paper has 2); 0: left out."""
    weight_hole: float = Field(default=6.0, ge=0)
    """Of the absolute error in the holes."""
    weight_style: float = Field(default=0.0, ge=0)
    """Of the style; the paper has 120. It needs ``style_network``."""
    weight_ssim: float = Field(default=0.0, ge=0)
    """Of the structural dissimilarity (the paper has 0.4)."""
    weight_source: float = Field(default=1.0, ge=0)
    """Of the error of the extracted source, which is that of the holes once more."""
    relative: bool = True
    """Whether errors count in units of those of a simple filling (not in the paper)."""
    weight_spread: float = Field(default=0.05, ge=0)
    """Of the error that the compact network expects of itself."""
    style_network: FilePath | None = None
    """ONNX file of MaxiMask's compact network, whose encoder gives the features of the style."""
    first: int = Field(default=300, ge=1)
    """Simulated maps before the first step; each has four cut-outs."""
    fresh: float = Field(default=0.5, ge=0)
    """New maps for each step."""
    keep: int = Field(default=6_000, ge=1)
    """Maps that a step draws from; 0.4 MB each on disk."""
    workers: int = Field(default=1, ge=1, le=256)
    """Processes that simulate."""
    maps_share: float = Field(default=0.2, ge=0, le=1)
    """Share of the maps that are windows of those in ``data``; without it all are simulated."""
    window: int = Field(default=64, ge=48, le=SIDE, multiple_of=16)
    """Side of the part of a cut-out that a step sees, around its middle: fewer pixels, more steps.
    Holes that its border cuts are left out."""
    stars_share: float = Field(default=0.12, ge=0, le=1)
    """Share of the samples that are fields of stars with defects of a detector."""
    freed_share: float = Field(default=0.75, ge=0, le=1)
    """Share of the maps with sources whose light beyond the holes was taken away, as is done where
    the PSF is known."""
    validation: int = Field(default=100, ge=1)
    """Maps of the validation."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.network == "paper" and self.window != SIDE:
            raise ValueError(f"the paper's network needs window = {SIDE}")
        if self.weight_style and self.style_network is None:
            raise ValueError("weight_style needs style_network")
        return self


class PconvTrainer:
    """Trains the compact network or the paper's; entry point ``pconv``."""

    recipe: ClassVar[type[Recipe]] = PconvRecipe
    monitor: ClassVar[str] = "score"

    def begin(self, recipe: Any, folder: Path) -> PconvTraining:
        """Return a new training."""
        return PconvTraining(recipe, folder)


class PconvTraining(StreamTraining):
    """The network, its optimizer, its samples."""

    def __init__(self, recipe: PconvRecipe, folder: Path) -> None:
        from astroclean_pconv.network import build_compact, build_paper  # noqa: PLC0415
        from astroclean_pconv.network.layers import PullPush  # noqa: PLC0415 - imports torch
        from astroclean_pconv.train.losses import LossWeights  # noqa: PLC0415 - imports torch
        from astroclean_pconv.train.style import StyleFeatures  # noqa: PLC0415

        self._recipe = recipe
        maps = () if recipe.data is None else find_maps(recipe.data)
        maker = SampleMaker(
            recipe.seed,
            maps=maps,
            share=recipe.maps_share,
            stars=recipe.stars_share,
            freed=recipe.freed_share,
        )
        module = built(build_paper if recipe.network == "paper" else build_compact, recipe)
        if recipe.start is not None:
            begin_with(module, Path(recipe.start).expanduser())
        self._weights = LossWeights(
            **{name: getattr(recipe, f"weight_{name}") for name in LossWeights.model_fields}
        )
        trained = TrainedModule(module, recipe)
        self._simple = PullPush().to(trained.device)
        self._features = None
        if recipe.style_network is not None and self._weights.style:
            self._features = StyleFeatures(recipe.style_network).to(trained.device)
        self._validation = fixed_samples(
            SampleMaker(recipe.seed, offset=VALIDATION, freed=recipe.freed_share),
            folder / f"validation-{recipe.seed}",
            count=recipe.validation,
            workers=recipe.workers,
        )
        stream = stream_of(maker, folder / f"samples-{_key_of(maker)}", recipe)
        super().__init__(trained, stream)

    def step(self, number: int) -> Mapping[str, float]:
        """Take one step; return its losses."""
        import torch  # noqa: PLC0415 - takes a second, and only training needs it

        from astroclean_pconv.train.losses import (  # noqa: PLC0415 - imports torch
            Batch,
            losses_of,
            simple_error,
        )

        drawn = self._trained.tensors(self._batch(number))
        batch = Batch(**drawn, unit=torch.ones_like(drawn["known"]))
        if self._recipe.relative:
            with torch.no_grad():
                simple = self._simple(batch.image * batch.valid, batch.valid)
            batch = batch._replace(unit=simple_error(simple, batch))

        def losses(module: Any) -> Mapping[str, Any]:
            found, spread = _both(module(batch.image, batch.valid))
            # Sums over pixels need float32.
            with torch.autocast(found.device.type, enabled=False):
                return losses_of(
                    found, batch, self._weights, spread=spread, features=self._features
                )

        told: dict[str, float] = self._trained.learn(number, losses)
        return told

    def _batch(self, number: int) -> dict[str, NDArray[np.float32]]:
        rng = np.random.default_rng((self._recipe.seed, number))
        parts: dict[str, list[NDArray[Any]]] = {name: [] for name in _IMAGES}
        known = []
        for sample in self._stream.draw(number, rng.random(self._recipe.batch)):
            one, turn = int(rng.integers(CUTS)), int(rng.integers(ORIENTATIONS))
            seen = windowed({name: sample[name][one] for name in _IMAGES}, self._recipe.window)
            for name, image in seen.items():
                parts[name].append(turned(image, turn))
            known.append(sample["known"][one])
        stacked = {k: np.stack(v)[:, np.newaxis].astype(np.float32) for k, v in parts.items()}
        sky = stacked.pop("sky")
        if self._recipe.truth == "noiseless":
            stacked["target"] = np.where(stacked["hole"] > 0, sky, stacked["target"])
        stacked["known"] = np.array(known, dtype=np.float32).reshape(-1, 1, 1, 1)
        return stacked

    def validate(self) -> Mapping[str, float]:
        """Score the averaged weights on maps that no step sees."""
        return hole_scores(self._answer, self._validation, batch=self._recipe.batch)

    def _answer(
        self, image: NDArray[np.float32], valid: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        told: NDArray[np.float32] = self._trained.answers(image, valid)[0]
        return told

    def export(self, folder: Path) -> Sequence[Path]:
        """Write ONNX file, card and example from the averaged weights."""
        from astroclean_pconv.train.export import export_network  # noqa: PLC0415 - imports torch

        recipe = self._recipe
        name = {"compact": "pconv-astroclean", "paper": "pconv-paper"}[recipe.network]
        # One that saw light of the sources in all surroundings is for such alone.
        name = name if recipe.freed_share else f"{name}-lit"
        module = copy.deepcopy(self._trained.average).cpu()
        return export_network(module, folder, name=name)


def _both(answer: Any) -> tuple[Any, Any]:
    """Return background and expected error in float32; None where the network tells none."""
    if isinstance(answer, tuple):
        return answer[0].float(), answer[1].float()
    return answer.float(), None


def _key_of(maker: SampleMaker) -> str:
    """Return what tells samples from those that a training with other maps left."""
    files = [(path.name, path.stat().st_size) for path in maker.maps]
    told = (maker.seed, maker.share, maker.stars, maker.freed, files)
    return hashlib.sha256(repr(told).encode()).hexdigest()[:8]
