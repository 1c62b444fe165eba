"""How maskers are scored: per plane, pixel by pixel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.stage.kinds.mask import PROBABILITY
from astroclean.evaluation.figure import Axes, Axis, Counts, Curve, Panel
from astroclean.evaluation.inject import inject_contaminants
from astroclean.evaluation.metrics.calibration import reliability
from astroclean.evaluation.metrics.mask import (
    Confusion,
    ScoreCounts,
    area_under,
    completeness_at,
    confusion,
    count_scores,
)
from astroclean.evaluation.table import Column, Row
from astroclean.simulate.scene import ClassTruth

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.results import StageResult
    from astroclean.core.stage.stage import Stage
    from astroclean.evaluation.evaluation import Trial
    from astroclean.simulate.scene import Scene

__all__ = ["MaskEvaluation"]

_LEAST = 1e-4
"""First threshold shown; the last is as far from 1."""
_RAREST = 1e-6
"""First probability of the calibration; the last is as far from 1 as the first threshold."""
_FPR = Axis("false positive rate", 1e-5, 1.0, "log")
_COMPLETENESS = Axis("completeness", 0.0, 1.0)
_THRESHOLD = Axis("threshold of the probability", _LEAST, 1 - _LEAST, "logit")
_STATED = Axis("stated probability (outline below: pixels)", _RAREST, 1 - _LEAST, "logit")
_OBSERVED = Axis("observed frequency", _RAREST, 1 - _LEAST, "logit")


@dataclass(frozen=True, eq=False)
class _Measured:
    """What is kept of frames: name of the class to counts."""

    found: dict[str, Confusion] = field(default_factory=dict)
    scores: dict[str, ScoreCounts] = field(default_factory=dict)
    sweep: tuple[dict[str, Confusion], ...] = ()

    def pooled(self, other: _Measured) -> _Measured:
        """Return the counts of both; memory does not grow with frames."""
        return _Measured(
            _added(self.found, other.found),
            _added(self.scores, other.scores),
            tuple(_added(a, b) for a, b in zip(self.sweep, other.sweep, strict=True)),
        )


class MaskEvaluation:
    """Planes that a masker declares, against the planes that are true.

    Not scored are pixels that the frame rejected before, those without a value, and those whose
    truth is not known (``Scene.ignored``). Where the truth is told of some classes only
    (``Scene.classes``), these are scored. Where a plugin gives the probability of a plane, the
    curve comes from it, of several planes from the highest; else from the mask, and from those of
    a sweep. One mask is no curve: it has no AUC.
    """

    simulator = "contaminated"
    columns = (
        Column("pixels", "pixels that truly are of the class", form=".0f"),
        Column("MCC", "Matthews correlation coefficient of the mask"),
        Column("best MCC", "the same at the best threshold"),
        Column("TPR", "completeness: share of the true pixels that was found"),
        Column("FPR", "share of the other pixels that was flagged", form=".2e"),
        Column("purity", "share of the flagged pixels that is true"),
        Column("masks", "masks that AUC, C and best MCC go by; - probabilities", form=".0f"),
        Column("AUC", "area under the ROC curve; of masks: at least; - of one mask", form=".4f"),
        Column("C(1e-3)", "best completeness at an FPR of at most 1e-3; - not reached"),
        Column("C(1e-4)", "best completeness at an FPR of at most 1e-4; - not reached"),
        Column("ECE", "expected calibration error: mean of |observed - stated|", form=".1e"),
        Column("stated", "sum of the probabilities over the number of true pixels", form=".2f"),
    )

    def present(self, scene: Scene, stage: Stage) -> Frame:
        """Return the frame, with the catalogue only for those who ask for one."""
        asked = stage.needs().fields & {"sources", "segmentation"}
        return scene.frame if asked else scene.frame.replace(sources=None)

    def inject(self, frame: Frame, *, seed: int) -> Scene:
        """Return the frame with particle hits and trails of known place."""
        return inject_contaminants(frame, seed=seed)

    def measure(self, trial: Trial) -> _Measured:
        """Count pixels."""
        left_out = _ignored(trial)
        kept = _Measured(sweep=tuple({} for _ in trial.sweep))
        for name, truth in _classes(trial):
            ignored = left_out if truth.ignored is None else left_out | truth.ignored
            results = (trial.result, *trial.sweep)
            for counts, result in zip((kept.found, *kept.sweep), results, strict=True):
                new = result.frame.flags & ~trial.frame.flags & np.uint32(truth.answers)
                counts[name] = confusion(new != 0, truth.true, ignored=ignored)
            probability = _probability(trial.result, truth.answers)
            if probability is not None:
                kept.scores[name] = count_scores(probability, truth.true, ignored=ignored)
        return kept

    def rows(self, measured: Sequence[_Measured]) -> list[Row]:
        """Return a row for each class that the plugin can answer."""
        pooled = _pooled(measured)
        return [Row(name, _values(name, pooled)) for name in pooled.found]

    def panels(self, measured: Sequence[_Measured]) -> list[Panel]:
        """Return for each class completeness against FPR, MCC against threshold, calibration."""
        pooled = _pooled(measured)
        panels = []
        for name, counts in pooled.found.items():
            if counts.positives:
                panels.append(_roc_panel(name, pooled))
                if name in pooled.scores:
                    panels.append(_threshold_panel(name, pooled.scores[name]))
                    panels.append(_calibration_panel(name, pooled.scores[name]))
        return panels


def _classes(trial: Trial) -> Iterator[tuple[str, ClassTruth]]:
    """Yield the classes that are told and that the plugin can answer."""
    declared, scene = trial.stage.provides().planes, trial.scene
    if scene.classes is not None:
        yield from ((name, one) for name, one in scene.classes.items() if one.answers & declared)
        return
    truth = np.zeros(trial.frame.shape, np.uint32) if scene.planes is None else scene.planes
    for plane in MaskPlane:
        if plane & declared:
            yield plane.alias, ClassTruth((truth & np.uint32(plane)) != 0, plane)


def _ignored(trial: Trial) -> NDArray[np.bool_]:
    frame, unknown = trial.frame, trial.scene.ignored
    ignored: NDArray[np.bool_] = ~frame.usable
    return ignored if unknown is None else ignored | unknown


def _probability(result: StageResult, answers: MaskPlane) -> NDArray[Any] | None:
    """Return the highest probability that any of some planes has; None where none has one."""
    names = [plane.alias for plane in MaskPlane if plane & answers]
    found = [result.products.get(f"{PROBABILITY}{name}") for name in names]
    told = [values for values in found if values is not None]
    return np.maximum.reduce(told) if told else None


def _pooled(measured: Sequence[_Measured]) -> _Measured:
    if not measured:
        return _Measured()
    total, *others = measured
    for one in others:
        total = total.pooled(one)
    return total


def _added(total: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    summed = {name: total[name] + more[name] for name in total.keys() & more.keys()}
    return {name: summed.get(name, one) for name, one in {**total, **more}.items()}


def _points(name: str, pooled: _Measured) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the operating points: the whole curve, or the mask with those of the sweep."""
    if name in pooled.scores:
        return pooled.scores[name].roc()
    counts = [pooled.found[name], *(one[name] for one in pooled.sweep)]
    return np.array([c.fpr for c in counts]), np.array([c.tpr for c in counts])


def _roc_panel(name: str, pooled: _Measured) -> Panel:
    """Return the curve, where there is one, with the point at which the mask itself works."""
    counts = pooled.found[name]
    marks = []
    if name in pooled.scores or pooled.sweep:
        x, y = _points(name, pooled)
        order = np.lexsort((y, x))
        marks.append(Curve(tuple(x[order].tolist()), tuple(y[order].tolist())))
    marks.append(Curve((counts.fpr,), (counts.tpr,), joined=False))
    return Panel(Axes(f"{name}: ROC", _FPR, _COMPLETENESS), tuple(marks))


def _threshold_panel(name: str, scores: ScoreCounts) -> Panel:
    threshold, mcc = scores.mcc_curve()
    shown = (threshold >= _LEAST) & (threshold <= 1 - _LEAST)
    curve = Curve(tuple(threshold[shown].tolist()), tuple(mcc[shown].tolist()))
    axes = Axes(f"{name}: MCC", _THRESHOLD, Axis("MCC", 0.0, 1.0))
    return Panel(axes, (curve,))


def _calibration_panel(name: str, scores: ScoreCounts) -> Panel:
    """Return observed against stated, with the number of pixels in each bin."""
    found = reliability(scores)
    told = found.is_told
    x, y = found.stated[told] / found.pixels[told], found.true[told] / found.pixels[told]
    marks = (
        Counts(tuple(found.edges.tolist()), tuple(found.pixels.tolist())),
        Curve(tuple(x.tolist()), tuple(y.tolist())),
        Curve(tuple(x.tolist()), tuple(y.tolist()), joined=False),
    )
    return Panel(Axes(f"{name}: calibration", _STATED, _OBSERVED, diagonal=True), marks)


def _values(name: str, pooled: _Measured) -> dict[str, float]:
    counts = pooled.found[name]
    values = {
        "pixels": float(counts.positives),
        "MCC": counts.mcc,
        "TPR": counts.tpr,
        "FPR": counts.fpr,
        "purity": counts.purity,
    }
    if name in pooled.scores:
        stated = reliability(pooled.scores[name])
        values |= {"ECE": stated.error, "stated": stated.excess}
    if not counts.positives:
        return values
    fpr, tpr = _points(name, pooled)
    values["C(1e-3)"] = completeness_at(fpr, tpr, limit=1e-3)
    values["C(1e-4)"] = completeness_at(fpr, tpr, limit=1e-4)
    if name in pooled.scores:
        values["AUC"] = pooled.scores[name].auc()
        values["best MCC"] = pooled.scores[name].best_mcc()
        return values
    masks = [pooled.found, *pooled.sweep]
    values["masks"] = float(len(masks))
    if pooled.sweep:
        values["AUC"] = area_under(fpr, tpr)
        values["best MCC"] = float(np.nanmax([one[name].mcc for one in masks]))
    return values
