"""The second recipe of exposures with errors of guiding."""

from __future__ import annotations

import numpy as np
import pytest

from astroclean.simulate.guide_errors import GUIDE_ERRORS, guide_path
from astroclean.simulate.guiding import GuidingConfig, simulate_guiding
from astroclean.simulate.options import configured

pytest.importorskip("galsim")
SHAPE = (80, 96)


@pytest.mark.parametrize("kind", GUIDE_ERRORS)
def test_every_kind_blurs_as_an_even_drift_of_its_extent(kind: str) -> None:
    for seed in range(3):
        path = guide_path(np.random.default_rng(seed), kind=kind, extent=10.0)
        np.testing.assert_allclose(path.mean(axis=1), 0, atol=1e-9)
        assert np.linalg.eigvalsh(np.cov(path))[-1] == pytest.approx(10.0**2 / 12, rel=1e-6)


def test_the_same_seed_gives_the_same_bytes_and_another_another_sky() -> None:
    one, two, other = (simulate_guiding(seed=seed, shape=SHAPE) for seed in (4, 4, 5))
    assert one.frame.data.tobytes() == two.frame.data.tobytes()
    assert one.frame.data.tobytes() != other.frame.data.tobytes()
    assert one.frame.shape == SHAPE


def test_good_exposures_have_small_errors_and_spoiled_ones_those_of_the_level() -> None:
    for share, spoiled in ((0.0, 0.0), (1.0, 1.0)):
        config = GuidingConfig(level="hard", share=share, stars=(20, 40))
        for seed in range(3):
            notes = simulate_guiding(seed=seed, shape=SHAPE, config=config).notes
            error = float(notes["extent_pixels"]) / float(notes["seeing_pixels"])
            assert notes["tracking_error"] == spoiled
            assert (notes["kind"] == "none") == (not spoiled)
            assert (1 <= error <= 2) if spoiled else (error <= 0.25)


def test_light_is_where_the_truth_says() -> None:
    """The clean image is the mean of what is exposed: their difference is noise."""
    config = GuidingConfig(hits=(1e-9, 1e-9))
    scene = simulate_guiding(seed=2, shape=SHAPE, config=config)
    apart = (scene.frame.data - scene.clean) / scene.frame.uncertainty.array
    assert np.abs(np.median(apart)) < 0.1
    assert 1.4826 * np.median(np.abs(apart)) == pytest.approx(1, abs=0.1)


def test_levels_are_options() -> None:
    simulate = configured(simulate_guiding, {"level": "hard", "fwhm": [7.0, 7.0], "share": 0.0})
    notes = simulate(seed=1, shape=SHAPE).notes
    # Optics and the air of the dome widen what was asked for a little.
    assert 6 < float(notes["seeing_pixels"]) < 10
