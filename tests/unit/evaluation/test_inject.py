"""Truth added to real frames is exact, repeatable, and leaves everything else alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tiny_scenes
from astropy.nddata import StdDevUncertainty
from scipy.special import erf

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.psf.psf import Psf
from astroclean.core.psf.stamp import FWHM_PER_SIGMA
from astroclean.core.sources.holes import HoleRule
from astroclean.errors import ConfigurationError
from astroclean.evaluation.inject import inject_contaminants, inject_sources
from astroclean.evaluation.light import light_of, source_snr
from astroclean.simulate.compact import SNR_CLASSES
from astroclean.testing.frames import frame_digest, synthetic_frame

if TYPE_CHECKING:
    from collections.abc import Callable

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
    snr = np.array(list(source_snr(scene.sources, frame.noise("scatter")).values()))
    inside = [s.overlap(SHAPE)[1] == s.overlap((9999, 9999))[1] for s in scene.sources.stamps]
    assert 4.9 < snr[inside].min() < snr.max() < 301


@pytest.mark.parametrize("fwhm", [1.4, 2.0, 3.0])
def test_an_added_source_is_the_psf_at_its_place(fwhm: float) -> None:
    """Against a Gaussian drawn there; what is not sampled well is interpolated roughly."""
    errors = errors_of_added(Psf(gaussian(0, 0, fwhm)), lambda x, y: gaussian(x, y, fwhm))
    assert max(errors) < {1.4: 0.2, 2.0: 0.01, 3.0: 1e-4}[fwhm]


def test_a_psf_with_finer_pixels_is_added_well_however_narrow() -> None:
    """Against a Gaussian integrated over pixels."""
    y, x = np.mgrid[-60:61, -60:61] / 5
    psf = Psf.resampled(np.exp(-4 * np.log(2) * (x**2 + y**2) / 1.4**2), scale=5)
    reach, width = psf.shape[0] // 2, 1.4 / FWHM_PER_SIGMA * np.sqrt(2)
    edges = np.arange(-reach, reach + 2) - 0.5

    def integrated(x: float, y: float) -> np.ndarray:
        return np.outer(*(np.diff(erf((edges - place) / width)) / 2 for place in (y, x)))

    assert max(errors_of_added(psf, integrated)) < 4e-3


def gaussian(x: float, y: float, fwhm: float) -> np.ndarray:
    rows, columns = np.mgrid[-12:13, -12:13].astype(float)
    image = np.exp(-4 * np.log(2) * ((columns - x) ** 2 + (rows - y) ** 2) / fwhm**2)
    return image / image.sum()


def errors_of_added(psf: Psf, drawn: Callable[[float, float], np.ndarray]) -> list[float]:
    """Greatest errors of sources that were added, in parts of their peaks."""
    scene = inject_sources(plain_frame().replace(psf=psf), seed=5)
    assert scene.sources is not None
    errors = []
    for stamp, row in zip(scene.sources.stamps, scene.sources.table, strict=True):
        x, y = row["x"] - round(row["x"]), row["y"] - round(row["y"])
        image = stamp.data[1:-1, 1:-1] / row["flux"].value
        errors.append(np.abs(image - drawn(x, y)).max() / image.max())
    return errors


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


@pytest.mark.parametrize("classes", [False, True])
def test_added_sources_lie_on_usable_pixels(classes: bool) -> None:
    frame, bad = plain_frame(), np.zeros(SHAPE, bool)
    bad[:, 70:] = True
    bad[40:60, 20:40] = True
    flagged = np.zeros(SHAPE, bool)
    flagged[90:, :70] = True
    ragged = frame.replace(data=np.where(bad, np.nan, frame.data)).add_planes(flagged, "BAD_PIXEL")
    usable = ~(bad | flagged)
    radius = HoleRule().in_pixels(fwhm_pixels=frame.psf.fwhm_pixels).radii[-1]
    yy, xx = np.indices(SHAPE)
    for seed in range(8):
        scene = inject_sources(ragged, seed=seed, classes=classes)
        assert 1 <= len(scene.sources) <= max(usable.sum() / 1600, 1)
        for row in scene.sources.table:
            assert usable[round(row["y"]), round(row["x"])]
            hole = np.hypot(yy - row["y"], xx - row["x"]) <= radius
            assert np.count_nonzero(hole & usable) >= 0.9 * (math.pi * radius**2 - 2 * radius)
        np.testing.assert_array_equal(np.isnan(scene.frame.data), bad)


def test_a_frame_without_a_place_for_a_source_is_refused() -> None:
    frame = plain_frame()
    for nowhere in (np.full(SHAPE, np.nan), np.where(np.arange(SHAPE[1]) % 8, np.nan, frame.data)):
        with pytest.raises(ConfigurationError, match="no place for a source"):
            inject_sources(frame.replace(data=nowhere), seed=1)
    flat = frame.replace(data=np.ones(SHAPE))
    with pytest.raises(ConfigurationError, match="no place for a source"):
        inject_sources(flat, seed=1, classes=True)


def test_classes_of_snr_are_added_evenly() -> None:
    noise = np.random.default_rng(2).normal(50, 3, (400, 400))
    frame = Frame(noise, unit="adu", psf=Psf.gaussian(fwhm_pixels=3.0))
    snr = []
    for seed in range(4):
        scene = inject_sources(frame, seed=seed, classes=True)
        peaks = [stamp.data.max() for stamp in scene.sources.stamps]
        snr += list(np.array(peaks) / 3.0)
    counts = np.histogram(snr, SNR_CLASSES)[0]
    # Peaks between pixels are lower than that of a centered source, by up to a quarter.
    assert len(snr) > 300
    assert counts.min() > 0.5 * len(snr) / 6
    assert counts.max() < 1.6 * len(snr) / 6


def test_sources_need_a_psf() -> None:
    frame = plain_frame().replace(psf=None)
    with pytest.raises(ConfigurationError, match="--psf-fwhm"):
        inject_sources(frame, seed=1)


def test_light_is_that_of_the_stamps_or_of_the_difference() -> None:
    scene = tiny_scenes.cirrus(seed=1, shape=(60, 60))
    stamps = light_of(scene)
    difference = light_of(type(scene)(scene.frame, clean=scene.clean, background=scene.background))
    assert stamps is not None
    assert difference is not None
    np.testing.assert_allclose(stamps, difference, atol=1e-2)
    assert light_of(type(scene)(scene.frame)) is None
