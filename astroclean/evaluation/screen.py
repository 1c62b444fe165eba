"""How screening stages are scored: exposure by exposure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.errors import ConfigurationError, ContractError
from astroclean.evaluation.evaluation import nothing_to_inject
from astroclean.evaluation.figure import Axes, Axis, Curve, Panel
from astroclean.evaluation.metrics.mask import Confusion, ScoreCounts, confusion, count_scores
from astroclean.evaluation.table import Column, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.stage import Stage
    from astroclean.evaluation.evaluation import Trial
    from astroclean.simulate.scene import Scene

__all__ = ["ScreenEvaluation"]

_TRUTH, _KIND = "tracking_error", "kind"
_GOOD = "none"
_ALL = "all"
_ROC = Axes(
    "Spoiled exposures found",
    Axis("false positive rate", 0.0, 1.0),
    Axis("completeness", 0.0, 1.0),
)


@dataclass(frozen=True)
class _Measured:
    """What is kept of one exposure."""

    kind: str
    """How it is spoiled, or ``none``."""
    probability: float
    is_rejected: bool


class ScreenEvaluation:
    """Scores of exposures, those that are spoiled against those that are not.

    Each kind of spoiled exposure has a row, against all good ones.
    """

    simulator = "tracking"
    columns = (
        Column("spoiled", "spoiled exposures", form=".0f"),
        Column("good", "good exposures", form=".0f"),
        Column("AUC", "chance that a spoiled exposure scores above a good one", form=".4f"),
        Column("accuracy", "share of exposures judged rightly, both kinds counting alike"),
        Column("TPR", "share of the spoiled exposures that was rejected"),
        Column("FPR", "share of the good exposures that was rejected"),
    )

    def present(self, scene: Scene, stage: Stage) -> Frame:  # noqa: ARG002 - alike for all
        """Return the frame without what tells the truth: catalogue and PSF."""
        return scene.frame.replace(sources=None, psf=None)

    def inject(self, frame: Frame, *, seed: int) -> Scene:  # noqa: ARG002 - nothing to inject
        """Raise: a real exposure cannot be exposed again with another guiding."""
        raise nothing_to_inject(frame, "no tracking error")

    def measure(self, trial: Trial) -> _Measured:
        """Keep the score."""
        notes, score = trial.scene.notes, trial.result.score
        if _TRUTH not in notes:
            raise ConfigurationError(
                f"{trial.frame.frame_id}: the scene does not tell whether it is spoiled; take "
                f"`--simulator {self.simulator}`"
            )
        if score is None:
            raise ContractError("a screening stage gave no score", where=trial.stage.name)
        kind = str(notes.get(_KIND, "spoiled")) if notes[_TRUTH] else _GOOD
        return _Measured(kind, score.probability, score.probability > score.threshold)

    def rows(self, measured: Sequence[_Measured]) -> list[Row]:
        """Return a row for each kind of spoiled exposures, and one for all."""
        if not measured:
            return []
        kinds = sorted({one.kind for one in measured} - {_GOOD})
        chosen = {kind: [m for m in measured if m.kind in {kind, _GOOD}] for kind in kinds}
        if len(kinds) != 1:
            chosen[_ALL] = list(measured)
        return [Row(kind, _values(part)) for kind, part in chosen.items()]

    def panels(self, measured: Sequence[_Measured]) -> list[Panel]:
        """Return the ROC curve of all exposures."""
        fpr, tpr = _scores(measured).roc()
        if not (np.isfinite(fpr).all() and np.isfinite(tpr).all()):
            return []
        return [Panel(_ROC, (Curve(tuple(fpr.tolist()), tuple(tpr.tolist())),))]


def _scores(measured: Sequence[_Measured]) -> ScoreCounts:
    spoiled = np.array([one.kind != _GOOD for one in measured], dtype=bool)
    return count_scores(np.array([one.probability for one in measured], dtype=float), spoiled)


def _values(measured: Sequence[_Measured]) -> dict[str, float]:
    spoiled = np.array([one.kind != _GOOD for one in measured], dtype=bool)
    rejected = np.array([one.is_rejected for one in measured], dtype=bool)
    counts: Confusion = confusion(rejected, spoiled)
    return {
        "spoiled": float(counts.positives),
        "good": float(counts.false_alarms + counts.rest),
        "AUC": _scores(measured).auc(),
        "accuracy": (counts.tpr + 1 - counts.fpr) / 2,
        "TPR": counts.tpr,
        "FPR": counts.fpr,
    }
