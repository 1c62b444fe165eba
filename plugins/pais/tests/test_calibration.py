"""What is told of sources beside the networks: probabilities and errors that keep their laws."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from astroclean_pais.calibration import Calibration, Logistic
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from astroclean.inference.cards.beside import beside

if TYPE_CHECKING:
    from pathlib import Path

SCORES = np.linspace(0, 1, 101)


def test_a_network_without_one_is_taken_as_it_is(tmp_path: Path) -> None:
    told, digest = beside(tmp_path / "mine.card.toml", Calibration)
    assert (told, digest) == (Calibration(), "none")
    np.testing.assert_allclose(told.detection(SCORES), SCORES, atol=1e-5)
    errors = np.array([1.0, 2.0])
    np.testing.assert_array_equal(
        told.flux_error(errors, 100 * errors, 0 * errors, 0 * errors), errors
    )


def test_the_file_beside_a_card_is_read_and_its_digest_told(tmp_path: Path) -> None:
    path = tmp_path / "mine.calibration.toml"
    path.write_text("threshold = 0.25\nerror_scale = 1.5\n[star]\nslope = 2.0\n", "utf-8")
    told, digest = beside(tmp_path / "mine.card.toml", Calibration)
    assert (told.threshold, told.error_scale, told.star.slope) == (0.25, 1.5, 2.0)
    path.write_text("threshold = 0.26\n", "utf-8")
    assert beside(tmp_path / "mine.card.toml", Calibration)[1] not in {digest, "none"}
    path.write_text("treshold = 0.25\n", "utf-8")
    with pytest.raises(ValidationError, match="treshold"):
        beside(tmp_path / "mine.card.toml", Calibration)


@given(st.floats(0.1, 5), st.floats(-4, 4))
def test_probabilities_rise_with_scores_and_stay_probabilities(slope: float, offset: float) -> None:
    chance = Logistic(slope=slope, offset=offset)(SCORES)
    assert ((chance >= 0) & (chance <= 1)).all()
    assert (np.diff(chance) >= 0).all()


@given(st.floats(1, 5), st.floats(0, 0.5), st.floats(0, 0.5), st.floats(-1e6, 1e6), st.floats(0, 1))
def test_an_error_is_never_smaller_than_the_scaled_one_of_the_fit(
    scale: float, alone: float, blended: float, flux: float, blendedness: float
) -> None:
    told = Calibration(error_scale=scale, profile_error=alone, blend_error=blended)
    fluxes, errors = np.array([flux, -flux, 0.0]), np.array([3.0, 3.0, 3.0])
    galaxies = np.zeros(3)
    found = told.flux_error(errors, fluxes, np.full(3, blendedness), galaxies)
    assert (found >= scale * errors * (1 - 1e-12)).all()
    assert found[0] == found[1]
    assert found[2] == pytest.approx(scale * 3.0)
    more = told.flux_error(errors, fluxes, np.ones(3), galaxies)
    assert (more >= found * (1 - 1e-12)).all()
    stars = told.flux_error(errors, fluxes, np.zeros(3), np.ones(3))
    np.testing.assert_allclose(stars, scale * errors)


def test_what_is_unknown_of_a_blend_adds_nothing_and_no_flux_has_no_error() -> None:
    told = Calibration(profile_error=0.1, blend_error=0.2)
    nothing = np.array([np.nan])
    one, none = np.ones(1), np.zeros(1)
    assert told.flux_error(one, one, nothing, none) == told.flux_error(one, one, none, none)
    assert np.isnan(told.flux_error(nothing, nothing, none, none)).all()
