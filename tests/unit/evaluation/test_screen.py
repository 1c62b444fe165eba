"""Screening stages are scored exposure by exposure, each kind of error by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from astroclean.core.image.frame import Frame
from astroclean.core.stage.kinds.screen import Screener
from astroclean.core.stage.results import Score
from astroclean.errors import ConfigurationError
from astroclean.evaluation.contest import Contestant, hold_contest
from astroclean.evaluation.screen import ScreenEvaluation
from astroclean.simulate.scene import Scene
from astroclean.simulate.tracking import TrackingConfig, simulate_tracking

if TYPE_CHECKING:
    from collections.abc import Iterator


class Level(Screener):
    """The mean of the frame is the probability."""

    def score(self, frame: Frame) -> Score:
        return Score(probability=float(frame.data.mean()), threshold=0.5)


class Width(Screener):
    """The width of the brightest star, measured crudely: spoiled exposures have wider ones."""

    def score(self, frame: Frame) -> Score:
        data = frame.data - np.median(frame.data)
        bright = np.count_nonzero(data > 0.3 * np.quantile(data, 0.9999))
        return Score(probability=min(bright / 1000, 1.0), threshold=0.1)


def scenes(*kinds_and_levels: tuple[str, float]) -> Iterator[Scene]:
    for number, (kind, level) in enumerate(kinds_and_levels):
        frame = Frame(np.full((4, 4), level), unit="adu", frame_id=str(number))
        yield Scene(frame, notes={"tracking_error": float(kind != "none"), "kind": kind})


def test_rates_and_areas_are_those_of_the_definition() -> None:
    told = scenes(
        ("none", 0.1), ("none", 0.6), ("walk", 0.7), ("walk", 0.2), ("drift", 0.9), ("drift", 0.8)
    )
    evaluation = ScreenEvaluation()
    verdict = hold_contest(evaluation, [Contestant("level", Level())], told)
    values = {row.of: row.values for row in verdict.rows}
    assert set(values) == {"walk", "drift", "all"}
    # Of four pairs of walk and good, three are won.
    assert values["walk"]["AUC"] == pytest.approx(0.75)
    assert values["drift"]["AUC"] == 1.0
    assert values["all"]["spoiled"] == 4
    assert values["all"]["TPR"] == pytest.approx(0.75)
    assert values["all"]["FPR"] == pytest.approx(0.5)
    assert values["all"]["accuracy"] == pytest.approx((0.75 + 0.5) / 2)
    assert len(verdict.panels) == 1


def test_simulated_exposures_can_be_told_apart_and_give_nothing_away() -> None:
    config = TrackingConfig(extent=(4.0, 6.0))
    told = [simulate_tracking(seed=s, shape=(96, 96), config=config) for s in range(16)]
    frame = ScreenEvaluation().present(told[0], Width())
    assert frame.psf is None
    assert frame.sources is None
    verdict = hold_contest(ScreenEvaluation(), [Contestant("width", Width())], iter(told))
    assert verdict.rows[-1].values["AUC"] > 0.6


def test_truth_that_is_missing_and_real_frames_are_refused() -> None:
    untold = iter([Scene(Frame(np.ones((4, 4)), unit="adu", frame_id="x"))])
    with pytest.raises(ConfigurationError, match="--simulator tracking"):
        hold_contest(ScreenEvaluation(), [Contestant("level", Level())], untold)
    with pytest.raises(ConfigurationError, match="real frame"):
        ScreenEvaluation().inject(Frame(np.ones((4, 4)), unit="adu", frame_id="x"), seed=1)
