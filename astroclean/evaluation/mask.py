"""How maskers are scored: per plane, pixel by pixel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.planes import MaskPlane
from astroclean.evaluation.figure import Axes, Axis, Curve, Panel
from astroclean.evaluation.inject import inject_contaminants
from astroclean.evaluation.metrics.mask import (
    Confusion,
    ScoreCounts,
    area_under,
    completeness_at,
    count_scores,
    plane_confusions,
)
from astroclean.evaluation.table import Column, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from astroclean.core.frame import Frame
    from astroclean.core.stage import Stage, StageResult
    from astroclean.evaluation.evaluation import Trial
    from astroclean.simulate.scene import Scene

__all__ = ["MaskEvaluation"]

_LEAST = 1e-4
"""First threshold shown; the last is as far from 1."""
_FPR = Axis("false positive rate", 1e-5, 1.0, "log")
_COMPLETENESS = Axis("completeness", 0.0, 1.0)
_THRESHOLD = Axis("threshold of the probability", _LEAST, 1 - _LEAST, "logit")


@dataclass(frozen=True, eq=False)
class _Measured:
    """What is kept of one frame: plane to counts."""

    found: dict[MaskPlane, Confusion]
    scores: dict[MaskPlane, ScoreCounts] = field(default_factory=dict)
    sweep: tuple[dict[MaskPlane, Confusion], ...] = ()


class MaskEvaluation:
    """Planes that a masker declares, against the planes that are true.

    Not scored are pixels that the frame rejected before, those without a value, and those whose
    truth is not known (``Scene.ignored``). Where a plugin gives the probability of a plane, the
    curve comes from it; else from the mask, and from those of a sweep. One mask is no curve: it
    has no AUC.
    """

    simulator = "contaminated"
    columns = (
        Column("pixels", "pixels that truly have the plane", form=".0f"),
        Column("MCC", "Matthews correlation coefficient of the mask"),
        Column("best MCC", "the same at the best threshold"),
        Column("TPR", "completeness: share of the true pixels that was found"),
        Column("FPR", "share of the other pixels that was flagged", form=".2e"),
        Column("purity", "share of the flagged pixels that is true"),
        Column("masks", "masks that AUC, C and best MCC go by; - probabilities", form=".0f"),
        Column("AUC", "area under the ROC curve; of masks: at least; - of one mask", form=".4f"),
        Column("C(1e-3)", "best completeness at an FPR of at most 1e-3; - not reached"),
        Column("C(1e-4)", "best completeness at an FPR of at most 1e-4; - not reached"),
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
        truth = trial.scene.planes
        if truth is None:
            truth = np.zeros(trial.frame.shape, dtype=np.uint32)
        planes = _declared(trial.stage)
        left_out = _ignored(trial)

        def counted(result: StageResult) -> dict[MaskPlane, Confusion]:
            new = result.frame.flags & ~trial.frame.flags
            return plane_confusions(new, truth, planes=planes, ignored=left_out)

        scores = {}
        for plane in planes:
            probability = trial.result.products.get(f"PROB_{plane.alias}")
            if probability is not None:
                true = (truth & np.uint32(plane)) != 0
                scores[plane] = count_scores(probability, true, ignored=left_out)
        return _Measured(counted(trial.result), scores, tuple(map(counted, trial.sweep)))

    def rows(self, measured: Sequence[_Measured]) -> list[Row]:
        """Return a row for each plane that occurs in the truth or was set."""
        pooled = _pooled(measured)
        rows = []
        for plane, counts in pooled.found.items():
            if counts.positives or counts.false_alarms:
                rows.append(Row(plane.alias, _values(plane, counts, pooled)))
        return rows

    def panels(self, measured: Sequence[_Measured]) -> list[Panel]:
        """Return completeness against FPR for each plane, and MCC against the threshold."""
        pooled = _pooled(measured)
        panels = []
        for plane, counts in pooled.found.items():
            if counts.positives:
                panels += [_roc_panel(plane, pooled), *_threshold_panel(plane, pooled)]
        return panels


def _declared(stage: Stage) -> list[MaskPlane]:
    declared = stage.provides().planes
    return [plane for plane in MaskPlane if plane & declared]


def _ignored(trial: Trial) -> NDArray[np.bool_]:
    frame, unknown = trial.frame, trial.scene.ignored
    ignored: NDArray[np.bool_] = frame.mask | ~np.isfinite(frame.data)
    return ignored if unknown is None else ignored | unknown


def _pooled(measured: Sequence[_Measured]) -> _Measured:
    found: dict[MaskPlane, Confusion] = {}
    scores: dict[MaskPlane, ScoreCounts] = {}
    for one in measured:
        found = _added(found, one.found)
        scores = _added(scores, one.scores)
    sweeps = zip(*(one.sweep for one in measured), strict=True)
    summed = []
    for same_option in sweeps:
        total: dict[MaskPlane, Confusion] = {}
        for counts in same_option:
            total = _added(total, counts)
        summed.append(total)
    return _Measured(found, scores, tuple(summed))


def _added(total: dict[MaskPlane, Any], more: dict[MaskPlane, Any]) -> dict[MaskPlane, Any]:
    summed = {plane: total[plane] + more[plane] for plane in total.keys() & more.keys()}
    # The order of planes is that of their bits, whichever frame had them first.
    return dict(sorted({**total, **more, **summed}.items()))


def _points(plane: MaskPlane, pooled: _Measured) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the operating points: the whole curve, or the mask with those of the sweep."""
    if plane in pooled.scores:
        return pooled.scores[plane].roc()
    counts = [pooled.found[plane], *(one[plane] for one in pooled.sweep)]
    return np.array([c.fpr for c in counts]), np.array([c.tpr for c in counts])


def _roc_panel(plane: MaskPlane, pooled: _Measured) -> Panel:
    """Return the curve, where there is one, with the point at which the mask itself works."""
    counts = pooled.found[plane]
    marks = []
    if plane in pooled.scores or pooled.sweep:
        x, y = _points(plane, pooled)
        order = np.lexsort((y, x))
        marks.append(Curve(tuple(x[order].tolist()), tuple(y[order].tolist())))
    marks.append(Curve((counts.fpr,), (counts.tpr,), joined=False))
    return Panel(Axes(f"{plane.alias}: ROC", _FPR, _COMPLETENESS), tuple(marks))


def _threshold_panel(plane: MaskPlane, pooled: _Measured) -> list[Panel]:
    if plane not in pooled.scores:
        return []
    threshold, mcc = pooled.scores[plane].mcc_curve()
    shown = (threshold >= _LEAST) & (threshold <= 1 - _LEAST)
    curve = Curve(tuple(threshold[shown].tolist()), tuple(mcc[shown].tolist()))
    axes = Axes(f"{plane.alias}: MCC", _THRESHOLD, Axis("MCC", 0.0, 1.0))
    return [Panel(axes, (curve,))]


def _values(plane: MaskPlane, counts: Confusion, pooled: _Measured) -> dict[str, float]:
    values = {
        "pixels": float(counts.positives),
        "MCC": counts.mcc,
        "TPR": counts.tpr,
        "FPR": counts.fpr,
        "purity": counts.purity,
    }
    if not counts.positives:
        return values
    fpr, tpr = _points(plane, pooled)
    values["C(1e-3)"] = completeness_at(fpr, tpr, limit=1e-3)
    values["C(1e-4)"] = completeness_at(fpr, tpr, limit=1e-4)
    if plane in pooled.scores:
        values["AUC"] = pooled.scores[plane].auc()
        values["best MCC"] = pooled.scores[plane].best_mcc()
        return values
    masks = [pooled.found, *pooled.sweep]
    values["masks"] = float(len(masks))
    if pooled.sweep:
        values["AUC"] = area_under(fpr, tpr)
        values["best MCC"] = float(np.nanmax([one[plane].mcc for one in masks]))
    return values
