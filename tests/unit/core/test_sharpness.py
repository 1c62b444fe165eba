"""A PSF that is wider than sources is told, whatever the sky; the right one is not."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from astroclean.core.image.frame import Frame
from astroclean.core.psf.psf import Psf
from astroclean.core.psf.sharpness import sharpness_of, tell_of_sharpness
from astroclean.errors import AstrocleanWarning, SuspectWarning

FWHM = 3.0
SHAPE = (200, 220)


def frame_of(fwhm: float = FWHM, *, count: int = 12, sky: float = 100.0) -> Frame:
    """Return a frame of stars anywhere between pixels, and a galaxy, with noise of 1."""
    generator = np.random.default_rng(3)
    image = generator.normal(sky, 1.0, SHAPE)
    y, x = (generator.uniform(10, side - 10, count) for side in SHAPE)
    Psf.gaussian(fwhm_pixels=fwhm).drawn_at(x, y, np.geomspace(800, 30000, count)).add_to(image)
    Psf.gaussian(fwhm_pixels=4 * fwhm).drawn_at(110.0, 100.0, 40000).add_to(image)
    return Frame(image, unit="adu")


@pytest.mark.parametrize("sky", [0.0, 5000.0])
@pytest.mark.parametrize("fwhm", [1.5, 2.2, 3.0, 6.0])
def test_the_right_psf_is_not_told_of(fwhm: float, sky: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", AstrocleanWarning)
        tell_of_sharpness(frame_of(fwhm, sky=sky), Psf.gaussian(fwhm_pixels=fwhm), "here")


@pytest.mark.parametrize("factor", [1.4, 2.0, 5.0, 30.0])
def test_a_psf_that_is_wider_than_stars_is_suspect(factor: float) -> None:
    with pytest.warns(SuspectWarning, match="here: the PSF has"):
        tell_of_sharpness(frame_of(), Psf.gaussian(fwhm_pixels=factor * FWHM), "here")


@pytest.mark.parametrize("factor", [0.2, 0.4])
def test_a_psf_that_is_narrower_than_all_stars_is_a_note(factor: float) -> None:
    with pytest.warns(AstrocleanWarning, match="the narrowest by a factor of") as caught:
        tell_of_sharpness(frame_of(), Psf.gaussian(fwhm_pixels=factor * FWHM), "here")
    assert not issubclass(caught[0].category, SuspectWarning)


def test_hot_pixels_and_flagged_ones_are_no_sources() -> None:
    frame = frame_of()
    data, hits = frame.data.copy(), np.zeros(SHAPE, bool)
    data[5::20, 5::20] += 5000
    hits[7::20, 9:12] = True
    frame = frame.replace(data=np.where(hits, 1e5, data)).add_planes(hits, "CR")
    assert not sharpness_of(frame, Psf.gaussian(fwhm_pixels=FWHM)).told


def test_frames_without_anything_tell_nothing() -> None:
    for data in (np.zeros((20, 30)), np.full((20, 30), np.nan), np.ones((1, 5))):
        found = sharpness_of(Frame(data, unit="adu"), Psf.gaussian(fwhm_pixels=1.5))
        assert found.peaks == 0
    assert not sharpness_of(frame_of(count=0), Psf.gaussian(fwhm_pixels=FWHM)).told


def test_scale_of_values_does_not_matter() -> None:
    frame, psf = frame_of(), Psf.gaussian(fwhm_pixels=2 * FWHM)
    small = sharpness_of(frame.replace(data=frame.data * np.float32(2.0**-40)), psf)
    assert small == sharpness_of(frame, psf)
