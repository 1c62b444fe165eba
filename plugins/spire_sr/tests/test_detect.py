"""Peaks of the probability become sources, each once."""

from __future__ import annotations

import numpy as np
from astroclean_spire_sr.calibration import Calibration, Depth, Line
from astroclean_spire_sr.detect import detections_of
from astroclean_spire_sr.predict import Prediction
from astroclean_spire_sr.train.samples import source_targets


def said(probability: np.ndarray) -> Prediction:
    nothing = np.zeros_like(probability)
    return Prediction(nothing, nothing, probability, nothing + 0.3, nothing, nothing + 1, nothing)


def test_a_probability_spread_over_pixels_is_one_source() -> None:
    probability = np.zeros((40, 40), np.float32)
    probability[10:12, 20:22] = 0.2
    probability[30, 5] = 0.9
    found = detections_of(said(probability), np.ones((40, 40), bool), threshold=0.3, separation=2)
    assert len(found) == 2
    np.testing.assert_allclose(sorted(found.score), [0.8, 0.9], atol=1e-5)
    assert found.y[0] == 30
    np.testing.assert_allclose(found.x[0], 5.3, rtol=1e-6)


def test_nothing_is_found_where_nothing_was_observed() -> None:
    probability = np.full((40, 40), 0.001, np.float32)
    probability[10, 10] = probability[30, 30] = 0.8
    known = np.ones((40, 40), bool)
    known[:20] = False
    found = detections_of(said(probability), known, threshold=0.3, separation=2)
    assert list(found.y) == [30]


def test_of_two_that_are_too_near_the_more_probable_is_kept() -> None:
    probability = np.zeros((40, 40), np.float32)
    probability[10, 10], probability[10, 14] = 0.8, 0.7
    near = detections_of(said(probability), np.ones((40, 40), bool), threshold=0.3, separation=5)
    apart = detections_of(said(probability), np.ones((40, 40), bool), threshold=0.3, separation=2)
    assert (len(near), len(apart)) == (1, 2)


def test_targets_tell_the_brightest_around() -> None:
    rows = np.array([[30.0, 30.0, 5.0], [33.0, 30.0, 9.0], [np.nan] * 3], np.float32)
    own, dx, dy, flux = source_targets(rows, (20, 20))
    assert own[10, 10] == 5
    assert own[11, 10] == 9
    assert flux[10, 10] == 9  # the brighter one is next to it
    assert flux[9, 10] == 5
    np.testing.assert_allclose(dy[10, 10], (33.5 / 3 - 0.5) - 10, atol=1e-5)
    np.testing.assert_allclose(dx[9, 9], (30.5 / 3 - 0.5) - 9, atol=1e-5)
    assert flux[13, 13] == 0


def test_the_depth_most_like_a_field_counts() -> None:
    line = Line(points=((0.0, 1.0),))
    lines = {"completeness": line, "reliability": line, "flux": line, "flux_error": line}
    three, one = ("250", "350", "500"), ("250",)
    calibration = Calibration(
        depths=tuple(
            Depth(bands=bands, noise=noise, **lines) for bands in (three, one) for noise in (1.5, 6)
        )
    )
    chosen = calibration.depth_of(["250", "350"], 5.0)
    assert chosen is not None
    assert (chosen.bands, chosen.noise) == (three, 6)
    assert Calibration().depth_of(["250"], 2.0) is None
