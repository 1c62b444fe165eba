"""The loop of all trainings: steps, log, validation, checkpoints, and going on after a stop."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from astroclean.errors import StageError
from astroclean.training.interrupts import deferred_interrupts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from astroclean.training.folder import TrainingFolder
    from astroclean.training.trainer import Recipe, Trainer, Training

__all__ = ["Report", "run_training"]


@dataclass(frozen=True)
class Report:
    """What is told of a training under way."""

    step: int
    steps: int
    values: Mapping[str, float]
    """Means over the steps since the last report, or what a validation found."""
    seconds: float
    """Spent in all, interrupted parts included."""
    rate: float
    """Steps a second since the last report."""
    validated: bool = False
    """Whether the values are those of a validation."""
    best: bool = False
    """Whether this validation was the best so far."""


@dataclass
class _Progress:
    """Where the training stands."""

    step: int = 0
    seconds: float = 0.0
    best: float = -math.inf
    sums: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    counted: int = 0

    def state(self) -> dict[str, float | None]:
        best = None if math.isinf(self.best) else self.best
        return {"step": self.step, "seconds": round(self.seconds, 3), "best": best}


def run_training(
    trainer: Trainer, recipe: Recipe, folder: TrainingFolder, tell: Callable[[Report], None]
) -> list[Path]:
    """Train a network to the end of its recipe; go on where an earlier run stopped.

    Parameters
    ----------
    trainer : Trainer
        Of the plugin.
    recipe : Recipe
        Of the trainer's class.
    folder : TrainingFolder
        Claimed for this recipe.
    tell : callable
        Called with each `Report`.

    Returns
    -------
    list of Path
        Exported files, made from the weights that scored best.

    Raises
    ------
    StageError
        A loss is not finite.
    KeyboardInterrupt
        The user stopped the training; a checkpoint has been written.
    """
    training = trainer.begin(recipe, folder.path)
    try:
        run = _Run(trainer, recipe, folder, tell, training)
        return run.to_the_end()
    finally:
        training.close()


class _Run:
    """One run of the loop."""

    def __init__(
        self,
        trainer: Trainer,
        recipe: Recipe,
        folder: TrainingFolder,
        tell: Callable[[Report], None],
        training: Training,
    ) -> None:
        self._monitor = trainer.monitor
        self._recipe = recipe
        self._folder = folder
        self._tell = tell
        self._training = training
        self._progress = self._taken_up()
        self._begun = time.perf_counter() - self._progress.seconds
        self._kept = self._reported = time.perf_counter()

    def _taken_up(self) -> _Progress:
        checkpoint = self._folder.checkpoint()
        if checkpoint is None:
            return _Progress()
        self._training.restore(checkpoint)
        state = self._folder.state(checkpoint)
        self._folder.shorten(state["step"])
        best = -math.inf if state["best"] is None else state["best"]
        return _Progress(state["step"], state["seconds"], best)

    def to_the_end(self) -> list[Path]:
        with deferred_interrupts() as interrupts:
            while self._progress.step < self._recipe.steps:
                self._step()
                if interrupts.asked:
                    self._keep()
                interrupts.heed()
        best = self._folder.best()
        if best is not None:
            self._training.restore(best)
        results = self._folder.path / "results"
        results.mkdir(exist_ok=True)
        return list(self._training.export(results))

    def _step(self) -> None:
        progress, recipe = self._progress, self._recipe
        losses = self._training.step(progress.step + 1)
        progress.step += 1
        progress.seconds = time.perf_counter() - self._begun
        self._count(losses)
        is_last = progress.step == recipe.steps
        if is_last or progress.step % recipe.log_every == 0:
            self._log()
        if is_last or progress.step % recipe.validate_every == 0:
            self._validate()
        minutes = (time.perf_counter() - self._kept) / 60
        # Means over the steps of one line of the log must not be split by a checkpoint.
        if is_last or (progress.counted == 0 and minutes >= recipe.checkpoint_minutes):
            self._keep()

    def _count(self, losses: Mapping[str, float]) -> None:
        for name, value in losses.items():
            if not math.isfinite(value):
                raise StageError(
                    f"'{name}' is not finite",
                    where=f"step {self._progress.step} of the training",
                    received=value,
                    remedy="Lower the learning rate; the last checkpoint is whole.",
                )
            self._progress.sums[name] += value
        self._progress.counted += 1

    def _log(self) -> None:
        progress = self._progress
        means = {name: total / progress.counted for name, total in progress.sums.items()}
        self._report(means, counted=progress.counted)
        progress.sums.clear()
        progress.counted = 0

    def _validate(self) -> None:
        found = dict(self._training.validate())
        score = found[self._monitor]
        best = score > self._progress.best
        if best:
            self._progress.best = score
            self._folder.keep_best(self._progress.state(), self._training.save)
        self._report(found, validated=True, best=best)

    def _report(self, values: Mapping[str, float], *, counted: int = 0, **kind: bool) -> None:
        now, progress = time.perf_counter(), self._progress
        rate = counted / max(now - self._reported, 1e-9)
        self._reported = now
        about: dict[str, Any] = {"step": progress.step, "seconds": round(progress.seconds, 1)}
        key = "validation" if kind.get("validated") else "training"
        self._folder.append({**about, key: dict(values)})
        self._tell(
            Report(progress.step, self._recipe.steps, values, progress.seconds, rate, **kind)
        )

    def _keep(self) -> None:
        self._folder.keep(self._progress.state(), self._training.save)
        self._kept = time.perf_counter()
