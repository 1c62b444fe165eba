"""How good a finder is, by scenes whose sources are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.evaluation.metrics.deblend import match_positions
from astroclean_pais.detect import detections_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["Scored", "detection_scores", "score_detections"]

_WANTED = 5.0
_LEVELS = np.arange(0.14, 0.62, 0.02)
_RADIUS = 1.5
_BORDER = 2


class Scored:
    """Detections of many scenes, each with its probability and whether it is true."""

    def __init__(self) -> None:
        self.centre: list[NDArray[np.float64]] = []
        self.is_true: list[NDArray[np.bool_]] = []
        self.blend: list[NDArray[np.float64]] = []
        self.is_blend: list[NDArray[np.bool_]] = []
        self.found: list[NDArray[np.float64]] = []
        """Of each wanted source: the probability of its detection, 0 where there is none."""
        self.errors: list[NDArray[np.float64]] = []
        """(n, 4) of matched sources with S/N above 10: flux (ln), radius (ln), place, star."""


def score_detections(
    model: Any, samples: Mapping[str, NDArray[Any]], *, batch: int, level: float = 0.1
) -> Scored:
    """Return how detections above a low level compare with what is there."""
    scored = Scored()
    count = len(samples["planes"])
    for start in range(0, count, batch):
        part = samples["planes"][start : start + batch].astype(np.float32)
        answers = np.asarray(model(part.transpose(0, 2, 3, 1), training=False), dtype=np.float32)
        for planes, maps, rows in zip(
            part, answers, samples["rows"][start : start + batch], strict=True
        ):
            _add(scored, planes, maps.transpose(2, 0, 1), rows[rows[:, 0] > 0], level)
    return scored


def _add(
    scored: Scored,
    planes: NDArray[np.float32],
    maps: NDArray[np.float32],
    rows: NDArray[np.float32],
    level: float,
) -> None:
    fwhm = 3 * float(np.exp(planes[-1, 0, 0]))
    found = detections_of(maps, planes[4] > 0.5, fwhm, level=level)  # noqa: PLR2004 - true
    radius = max(_RADIUS, 0.5 * fwhm)
    places = np.column_stack([found.x, found.y])
    true = rows[:, [2, 1]].astype(float)
    mine, theirs = match_positions(places, true, radius=radius)
    side = maps.shape[-1]
    is_inner = (true > _BORDER).all(axis=1) & (true < side - 1 - _BORDER).all(axis=1)
    is_true = np.zeros(len(places), dtype=bool)
    is_true[mine] = True
    chance = np.zeros(len(true))
    chance[theirs] = found.probability[mine]
    wanted = (rows[:, 3] >= _WANTED) & is_inner
    scored.centre.append(found.probability)
    scored.is_true.append(is_true)
    scored.found.append(chance[wanted])
    taken = np.zeros(len(true), dtype=bool)
    taken[theirs] = True
    missed = true[wanted & ~taken]
    has = np.zeros(len(places), dtype=bool)
    if len(missed) and len(places):
        away = np.hypot(*(places[:, np.newaxis] - missed[np.newaxis]).transpose(2, 0, 1))
        has = (away < radius).any(axis=1)
    scored.blend.append(found.blend[mine])
    scored.is_blend.append(has[mine])
    sure = rows[theirs, 3] > 10  # noqa: PLR2004 - S/N
    one, other = mine[sure], rows[theirs[sure]]
    scored.errors.append(
        np.column_stack(
            [
                np.log(found.flux[one]) - other[:, 5] - np.log(fwhm),
                np.log(np.maximum(found.radius[one] / fwhm, 0.1)) - other[:, 6],
                np.hypot(found.x[one] - other[:, 2], found.y[one] - other[:, 1]) / fwhm,
                np.abs(found.star[one] - other[:, 9]),
            ]
        )
    )


def detection_scores(
    model: Any, samples: Mapping[str, NDArray[Any]], *, batch: int
) -> dict[str, float]:
    """Return the best F1 over thresholds, and, if any match, how well sources are described."""
    scored = score_detections(model, samples, batch=batch)
    centre, is_true, found = (
        np.concatenate(part) for part in (scored.centre, scored.is_true, scored.found)
    )
    best = (0.0, 0.0, 0.0, 0.0)
    for level in _LEVELS:
        complete = float((found >= level).mean())
        pure = float(is_true[centre >= level].mean()) if (centre >= level).any() else 0.0
        f1 = 2 * complete * pure / max(complete + pure, 1e-9)
        best = max(best, (f1, level, complete, pure))
    scores = {
        "f1": best[0],
        "level": best[1],
        "completeness": best[2],
        "purity": best[3],
    }
    errors = np.concatenate(scored.errors)
    if len(errors):
        spread = 1.4826 * np.median(np.abs(errors - np.median(errors, axis=0)), axis=0)
        scores |= {
            "flux": float(spread[0]),
            "radius": float(spread[1]),
            "place": float(np.median(errors[:, 2])),
            "star": float(errors[:, 3].mean()),
        }
    return scores
