"""A trainer whose network is a straight line, fitted by gradient descent with momentum."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from astroclean.training.trainer import Recipe

if TYPE_CHECKING:
    from pathlib import Path

TRUE = np.array([2.0, -1.0])


class LineRecipe(Recipe):
    steps: int = Field(default=40, ge=1)
    validate_every: int = Field(default=10, ge=1)
    log_every: int = Field(default=5, ge=1)
    checkpoint_minutes: float = Field(default=0.0, ge=0)
    rate: float = Field(default=0.2, gt=0)
    """Learning rate."""
    pause: float = Field(default=0.0, ge=0)
    """Seconds that a step waits."""


class LineTraining:
    def __init__(self, recipe: LineRecipe) -> None:
        self.recipe = recipe
        self.weights = np.random.default_rng(recipe.seed).normal(size=2)
        self.momentum = np.zeros(2)

    def step(self, number: int) -> dict[str, float]:
        time.sleep(self.recipe.pause)
        rng = np.random.default_rng((self.recipe.seed, number))
        x = rng.normal(size=16)
        design = np.stack([x, np.ones(16)])
        residual = self.weights @ design - (TRUE @ design + rng.normal(0, 0.01, 16))
        self.momentum = 0.5 * self.momentum + design @ residual / 16
        self.weights = self.weights - self.recipe.rate * self.momentum
        return {"loss": float(np.mean(residual**2))}

    def validate(self) -> dict[str, float]:
        return {"score": -float(np.abs(self.weights - TRUE).max())}

    def save(self, folder: Path) -> None:
        np.savez(folder / "state.npz", weights=self.weights, momentum=self.momentum)

    def restore(self, folder: Path) -> None:
        with np.load(folder / "state.npz") as kept:
            self.weights, self.momentum = kept["weights"], kept["momentum"]

    def export(self, folder: Path) -> list[Path]:
        path = folder / "line.npy"
        np.save(path, self.weights)
        return [path]

    def close(self) -> None:
        pass


class LineTrainer:
    recipe = LineRecipe
    monitor = "score"

    def begin(self, recipe: Any, folder: Path) -> LineTraining:
        return LineTraining(recipe)
