"""Truth added to real frames is exact, repeatable, and leaves everything else alone."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_scenes
from astropy.nddata import StdDevUncertainty

from astroclean.core.frame import Frame
from astroclean.core.planes import MaskPlane
from astroclean.core.psf import Psf
from astroclean.errors import ConfigurationError
from astroclean.evaluation.inject import inject_contaminants, inject_sources
from astroclean.evaluation.light import boxes_of, light_of, local_sigma, source_snr
from astroclean.testing.frames import frame_digest, synthetic_frame

SHAPE = (120, 150)


def plain_frame(sigma: float = 3.0) -> Frame:
    noise = np.random.default_rng(1).normal(50, sigma, SHAPE)
    deviation = StdDevUncertainty(np.full(SHAPE, sigma, np.float32))
    return Frame(noise, unit="adu", uncertainty=deviation, psf=Psf.gaussian(fwhm_pixels=3.0))


@pytest.mark.parametrize("inject", [inject_contaminants, inject_sources])
def test_the_same_seed_gives_the_same_truth_and_the_frame_is_left_alone(inject: object) -> None:
    frame = synthetic_frame(shape=SHAPE)
    before = frame_digest(frame)
    assert callable(inject)
    first, again, other = (inject(frame, seed=seed) for seed in (4, 4, 5))
    assert frame_digest(frame) == before
    assert frame_digest(first.frame) == frame_digest(again.frame)
    assert frame_digest(first.frame) != frame_digest(other.frame)
    np.testing.assert_array_equal(first.frame.flags, frame.flags)


def test_true_pixels_are_those_that_stand_out() -> None:
    frame = plain_frame()
    scene = inject_contaminants(frame, seed=2)
    added = (scene.frame.data - frame.data) / 3.0
    assert scene.planes is not None
    rest, unknown = (scene.planes == 0) & ~scene.ignored, scene.ignored
    true = (scene.planes & (MaskPlane.COSMIC_RAY | MaskPlane.TRAIL)) != 0
    assert true.any()
    assert added[true].min() > 2.99
    assert np.abs(added[rest]).max() < 0.11
    assert np.abs(added[unknown]).min() > 0.09
    for plane in (MaskPlane.COSMIC_RAY, MaskPlane.TRAIL):
        assert (scene.planes & plane).any()


def test_added_sources_are_the_difference_of_the_frames() -> None:
    frame = plain_frame()
    scene = inject_sources(frame, seed=2)
    light = light_of(scene)
    assert light is not None
    assert scene.sources is not None
    np.testing.assert_allclose(scene.frame.data - frame.data, light, atol=2e-3)
    assert scene.background is frame.data
    flux = scene.sources.table["flux"].value
    for stamp, whole in zip(scene.sources.stamps, flux, strict=True):
        assert stamp.data.sum() == pytest.approx(whole, rel=1e-5)
    snr = np.array(list(source_snr(scene.sources, local_sigma(frame)).values()))
    inside = [boxes_of(s, SHAPE)[1] == boxes_of(s, (9999, 9999))[1] for s in scene.sources.stamps]
    assert 4.9 < snr[inside].min() < snr.max() < 301


def test_added_sources_lie_where_the_catalogue_says() -> None:
    scene = inject_sources(plain_frame(), seed=3)
    assert scene.sources is not None
    for row, stamp in zip(scene.sources.table, scene.sources.stamps, strict=True):
        yy, xx = np.indices(stamp.data.shape)
        total = stamp.data.sum()
        assert stamp.origin[1] + np.sum(xx * stamp.data) / total == pytest.approx(
            row["x"], abs=0.02
        )
        assert stamp.origin[0] + np.sum(yy * stamp.data) / total == pytest.approx(
            row["y"], abs=0.02
        )


def test_sources_need_a_psf() -> None:
    frame = plain_frame().replace(psf=None)
    with pytest.raises(ConfigurationError, match="--psf-fwhm"):
        inject_sources(frame, seed=1)


def test_local_sigma_is_the_uncertainty_or_the_scatter() -> None:
    frame = plain_frame()
    np.testing.assert_array_equal(local_sigma(frame), 3.0)
    measured = local_sigma(frame.replace(uncertainty=None))
    assert measured.mean() == pytest.approx(3, rel=0.05)
    partly = np.full(SHAPE, 7, np.float32)
    partly[0, 0] = np.nan
    mixed = local_sigma(frame.replace(uncertainty=StdDevUncertainty(partly)))
    assert mixed[5, 5] == 7
    assert 2 < mixed[0, 0] < 4
    assert (local_sigma(Frame(np.zeros((5, 5)), unit="adu")) == 1).all()


def test_light_is_that_of_the_stamps_or_of_the_difference() -> None:
    scene = tiny_scenes.cirrus(seed=1, shape=(60, 60))
    stamps = light_of(scene)
    difference = light_of(type(scene)(scene.frame, clean=scene.clean, background=scene.background))
    assert stamps is not None
    assert difference is not None
    np.testing.assert_allclose(stamps, difference, atol=1e-2)
    assert light_of(type(scene)(scene.frame)) is None
