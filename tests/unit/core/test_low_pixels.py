"""Pixels far below the sky: what no light tells is found, and nothing of the sky."""

from __future__ import annotations

import numpy as np
import pytest

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.stage.change import change_between
from astroclean.core.stage.low_pixels import LOW_REACH, far_below_sky, sky_of
from astroclean.core.stage.scope import Chunk

SHAPE = (160, 180)


def sky(level: float = 1000.0, noise: float = 15.0) -> np.ndarray:
    return np.random.default_rng(3).normal(level, noise, SHAPE)


def groups(side: tuple[int, int]) -> np.ndarray:
    """Groups all over the frame; those of 4 by 4 pixels at its border could be areas."""
    where = np.zeros(SHAPE, dtype=bool)
    far = 10 if min(side) > 3 else 0
    for y in (far, 40, 90, SHAPE[0] - side[0] - far):
        for x in (far, 50, 120, SHAPE[1] - side[1] - far):
            where[y : y + side[0], x : x + side[1]] = True
    return where


@pytest.mark.parametrize("side", [(1, 1), (1, 2), (2, 2), (3, 4), (5, 5), (1, 40)])
@pytest.mark.parametrize("value", [-32768.0, -500.0, 0.0])
def test_groups_are_found_exactly(side: tuple[int, int], value: float) -> None:
    where = groups(side)
    frame = Frame(np.where(where, value, sky()), unit="adu")
    assert np.array_equal(far_below_sky(frame), where)


def star(x: float, y: float, *, fwhm: float) -> np.ndarray:
    yy, xx = np.indices(SHAPE)
    profile: np.ndarray = np.exp(-4 * np.log(2) * ((xx - x) ** 2 + (yy - y) ** 2) / fwhm**2)
    return profile


def test_wrapped_pixels_within_a_saturated_star() -> None:
    image = np.minimum(sky() + 2e5 * star(80, 90, fwhm=9), 32000)
    image[88:90, 79:81], image[92, 83] = -32700, -32768
    found = far_below_sky(Frame(image, unit="adu"))
    assert np.array_equal(found, image < 0)


def test_what_is_of_the_sky_is_not_found() -> None:
    generator = np.random.default_rng(4)
    negative = sky()
    for x, y in generator.uniform(10, 150, (20, 2)):
        negative -= 4000 * star(x, y, fwhm=2.5)
    shadow = sky()
    shadow[:, :20], shadow[60:90, 60:100] = 100, 0
    noisy = sky()
    noisy[:60] = generator.normal(1000, 200, (60, SHAPE[1]))
    slope = sky() - 20.0 * np.arange(SHAPE[1])
    edge = sky()
    edge[:, 90:] = np.nan
    edge[::3, 89] -= 300
    for image in (negative, shadow, noisy, slope, edge, np.full(SHAPE, 5.0)):
        assert not far_below_sky(Frame(image, unit="adu")).any()


def test_flagged_pixels_are_none_and_do_not_make_an_area_narrow() -> None:
    image = sky()
    image[40:70, 40:90] = 0
    image[100, 100] = -32768
    generator = np.random.default_rng(5)
    flagged = (generator.random(SHAPE) < 0.5) | (image < -1000)
    frame = Frame(image, unit="adu").add_planes(flagged, "BAD")
    assert not far_below_sky(frame).any()


def test_a_chunk_answers_as_the_whole_frame() -> None:
    where = groups((2, 3))
    image = np.where(where, -32768.0, sky())
    image[70:140, 150:] = 0
    whole = far_below_sky(Frame(image, unit="adu"))
    for first in (30, 83, 91):
        cut = slice(first - LOW_REACH, first + 20 + LOW_REACH)
        chunk = Chunk((cut.start, 0), SHAPE, sky=sky_of(image.astype(np.float32)))
        part = far_below_sky(Frame(image[cut], unit="adu").replace(chunk=chunk))
        assert np.array_equal(part[LOW_REACH:-LOW_REACH], whole[first : first + 20])


def filled(image: np.ndarray, hole: tuple[int, int], value: float) -> float:
    where = np.zeros(SHAPE, dtype=bool)
    where[hole] = True
    before = Frame(image, unit="adu").add_planes(where, MaskPlane.COSMIC_RAY)
    change = change_between(before, before.replace(data=np.where(where, value, image)), slice(None))
    assert bool(change.implausible({})) == bool(change.below)
    assert not change.implausible({"below sky": 1.0})
    return float(change.below)


def test_what_is_filled_far_below_the_sky_is_implausible() -> None:
    image = sky()
    image[30:60, 40:80] = 200  # a shadow
    assert filled(image, (100, 100), 1000.0) == 0
    assert filled(image, (100, 100), 300.0) == 1
    assert filled(image, (45, 60), 200.0) == 0  # as what surrounds it
    assert filled(image, (28, 60), 400.0) == 1  # outside, from the shadow
