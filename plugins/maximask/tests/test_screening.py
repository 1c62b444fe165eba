"""What `maxitrack` finds and leaves alone, on exposures of the recipe that no training saw."""

from __future__ import annotations

import numpy as np
import pytest

from astroclean.evaluation.metrics.mask import count_scores
from astroclean.registry.load import load_stage
from astroclean.simulate.guiding import GuidingConfig, simulate_guiding

pytest.importorskip("galsim")
SHAPE = (256, 256)
STARS = (200.0, 1000.0)


def probabilities(config: GuidingConfig, *, seeds: range) -> np.ndarray:
    stage = load_stage("maxitrack")
    frames = (simulate_guiding(seed=seed, shape=SHAPE, config=config).frame for seed in seeds)
    return np.array([stage.score(frame).probability for frame in frames])


@pytest.mark.parametrize("fwhm", [2.0, 3.0, 5.0, 7.0])
def test_good_exposures_of_any_seeing_are_kept(fwhm: float) -> None:
    config = GuidingConfig(share=0.0, fwhm=(fwhm, fwhm), stars=STARS)
    assert (probabilities(config, seeds=range(300, 306)) < 0.5).all()


def test_errors_of_two_widths_are_rejected_and_small_ones_score_above_good_exposures() -> None:
    good = probabilities(
        GuidingConfig(share=0.0, fwhm=(2.0, 6.0), stars=STARS), seeds=range(400, 412)
    )
    for extent, least_auc, least_found in ((1.4, 0.8, 0.0), (2.5, 0.9, 0.5)):
        config = GuidingConfig(share=1.0, fwhm=(2.0, 6.0), stars=STARS, extent=(extent, extent))
        spoiled = probabilities(config, seeds=range(500, 512))
        truth = np.arange(good.size + spoiled.size) >= good.size
        assert count_scores(np.concatenate([good, spoiled]), truth).auc() > least_auc
        assert (spoiled > 0.5).mean() >= least_found
