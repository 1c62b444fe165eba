"""Priors are Bayes' rule; thresholds and priors go by name."""

from __future__ import annotations

from pathlib import Path

import astroclean_maximask
import numpy as np
import pytest
from astroclean_maximask.classes import CONTAMINANTS
from astroclean_maximask.mask.masker import MaxiMask, MaxiMaskOptions
from astroclean_maximask.mask.priors import (
    raw_threshold,
    update_priors,
    with_overrides,
)
from hypothesis import given
from hypothesis import strategies as st

from astroclean.errors import ConfigurationError
from astroclean.inference.cards.calibration import ClassSettings, read_classes

CARDS = Path(astroclean_maximask.__file__).parent / "cards"
chance = st.floats(1e-4, 1 - 1e-4)


@given(p=chance, training=chance, wanted=chance)
def test_an_update_is_bayes_rule(p: float, training: float, wanted: float) -> None:
    """Odds are likelihood ratio times prior odds; only the latter change."""
    got = float(update_priors(np.array([p]), np.array([training]), np.array([wanted]))[0])
    ratio = p / (1 - p) / (training / (1 - training))
    odds = ratio * wanted / (1 - wanted)
    np.testing.assert_allclose(got, odds / (1 + odds), rtol=1e-4, atol=1e-6)


@given(p=chance, training=chance)
def test_the_same_prior_changes_nothing(p: float, training: float) -> None:
    got = update_priors(np.array([p]), np.array([training]), np.array([training]))
    np.testing.assert_allclose(got, [p], rtol=1e-5)


@given(p=st.lists(chance, min_size=2, max_size=9), training=chance, wanted=chance)
def test_an_update_keeps_the_order_of_pixels(
    p: list[float], training: float, wanted: float
) -> None:
    image = np.array([p])
    got = update_priors(image, np.array([training]), np.array([wanted]))
    order = np.argsort(image[0], kind="stable")
    assert (np.diff(got[0][order]) >= 0).all()


@given(p=chance, training=chance, wanted=chance, threshold=st.floats(0.01, 0.99))
def test_flags_need_no_update(p: float, training: float, wanted: float, threshold: float) -> None:
    settings = ClassSettings(training_prior=training, prior=wanted, threshold=threshold)
    limit = raw_threshold(settings)
    at_limit = update_priors(np.array([limit]), np.array([training]), np.array([wanted]))[0]
    np.testing.assert_allclose(at_limit, threshold, rtol=1e-3)
    updated = update_priors(np.array([p]), np.array([training]), np.array([wanted]))[0]
    if abs(p - limit) > 1e-5 * limit:
        assert (updated > threshold) == (p > limit) or abs(updated - threshold) < 1e-4


def test_the_published_table_is_that_of_upstream() -> None:
    """Defaults of MaxiMask 1.4.1, by class."""
    classes = read_classes(CARDS / "maximask-published.classes.toml")
    assert list(classes) == [plane.alias for plane in CONTAMINANTS]
    assert classes["CR"].model_dump() == {
        "training_prior": 0.010, "prior": 0.0005, "threshold": 0.43
    }  # fmt: skip
    assert classes["BBG"].model_dump() == {
        "training_prior": 0.126, "prior": 0.1, "threshold": 0.44
    }  # fmt: skip


def test_settings_go_by_name_or_alias_and_wrong_ones_are_told_at_once() -> None:
    classes = read_classes(CARDS / "maximask-published.classes.toml")
    changed = with_overrides(classes, "threshold", {"COSMIC_RAY": 0.9, "trl": 0.1})
    assert changed["CR"].threshold == 0.9
    assert changed["TRL"].threshold == 0.1
    assert changed["HP"] == classes["HP"]
    with pytest.raises(ConfigurationError) as caught:
        with_overrides(classes, "prior", {"CR": 2.0, "GHOST": 0.1, "COSMIC_RAI": 0.1})
    told = str(caught.value)
    for part in ("priors.CR: between 0 and 1", "no class 'GHOST'", "COSMIC_RAI"):
        assert part in told


def test_a_stage_declares_the_classes_it_was_asked_for() -> None:
    stage = MaxiMask(MaxiMaskOptions(classes=("CR", "TRAIL")))
    assert {plane.alias for plane in stage.provides().planes} == {"CR", "TRL"}
    with pytest.raises(ConfigurationError, match="EDGE"):
        MaxiMask(MaxiMaskOptions(classes=("EDGE",)))
