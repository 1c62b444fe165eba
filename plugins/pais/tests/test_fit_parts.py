"""Fits of overlapping parts say of each source what the fit of the whole says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from astroclean_pais.fit import joint_fit
from astroclean_pais.fit_parts import FitPart, joined_fit

SHAPE = (60, 160)


def test_parts_give_the_fit_of_the_whole(profile: Any) -> None:
    """Two blends far from where the frame is cut, and one across it, which both parts see whole."""
    places = [(20, 30), (23, 31), (79, 30), (82, 29), (130, 20), (48, 48)]
    profiles = [profile(i, x, y) for i, (x, y) in enumerate(places, start=11)]
    data = np.random.default_rng(1).normal(0, 1, SHAPE)
    one = np.ones(SHAPE)
    whole = joint_fit(profiles, data, one, one > 0)
    parts = []
    for low, high, first, stop in ((0, 80, 0, 120), (80, 160, 40, 160)):
        rows = [i for i, (x, _) in enumerate(places) if first + 12 <= x < stop - 12]
        own = [
            replace(
                profiles[i], id=k + 1, origin=(profiles[i].origin[0], profiles[i].origin[1] - first)
            )
            for k, i in enumerate(reversed(rows))
        ]
        box = slice(0, 60), slice(first, stop)
        fit = joint_fit(own, data[box], one[box], one[box] > 0)
        ids = np.array([profiles[i].id for i in reversed(rows)])
        kept = np.array([low <= places[i][0] < high for i in reversed(rows)])
        assert not kept.all()
        parts.append(FitPart(fit, ids, kept))
    joined = joined_fit(parts, whole.residual, whole.weight)
    for name in ("id", "neighbor", "lit", "flags"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))
        assert getattr(joined, name).dtype == np.int32
    for name in ("flux", "flux_err", "covariance", "chi2"):
        np.testing.assert_allclose(getattr(joined, name), getattr(whole, name), rtol=1e-9)
    assert joined.neighbor.tolist() == [12, 11, 14, 13, 0, 0]


def test_no_parts_are_no_sources() -> None:
    joined = joined_fit([], np.zeros(SHAPE), np.ones(SHAPE))
    assert joined.id.shape == joined.flux.shape == joined.neighbor.shape == (0,)
