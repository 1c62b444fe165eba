"""Charge left behind: conserved, trailing away from the readout, more so far from it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from astroclean.simulate.charge_transfer import trail_charge
from astroclean.simulate.tracking import CHARGE, DEFOCUS, TrackingConfig, simulate_tracking


@given(
    row=st.integers(0, 40), loss=st.floats(0.01, 0.9), length=st.floats(0.3, 5), charge=st.just(1e4)
)
def test_charge_is_conserved_and_trails_away_from_the_readout(
    row: int, loss: float, length: float, charge: float
) -> None:
    image = np.zeros((120, 3))
    image[row, 1] = charge
    trailed = trail_charge(image, loss=loss, length=length)
    np.testing.assert_allclose(trailed.sum(), charge, rtol=1e-6)
    np.testing.assert_allclose(charge - trailed[row, 1], charge * loss * row / 120, atol=1e-6)
    assert not trailed[:row].any()
    assert not trailed[:, [0, 2]].any()
    tail = trailed[row + 1 :, 1]
    assert (np.diff(tail) <= 1e-9).all()


def test_the_mean_length_of_a_trail_is_as_asked() -> None:
    image = np.zeros((600, 1))
    image[100] = 1.0
    tail = trail_charge(image, loss=0.6, length=12.0)[101:, 0]
    mean = (tail * np.arange(tail.size)).sum() / tail.sum()
    np.testing.assert_allclose(mean + 0.5, 12.0, rtol=0.01)


def test_spoiled_exposures_of_other_kinds() -> None:
    for kind in (DEFOCUS, CHARGE):
        config = TrackingConfig(share=1.0, kinds=(kind,), extent=(3.0, 4.0))
        scene = simulate_tracking(seed=3, shape=(128, 128), config=config)
        assert scene.notes["kind"] == kind
        assert scene.notes["tracking_error"] == 1.0
        assert float(scene.notes["extent_pixels"]) > 0
