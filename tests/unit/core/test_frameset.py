"""Bands of one sky lie on the same pixels."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from astroclean.core.image.frame import Frame
from astroclean.core.image.frameset import FrameSet
from astroclean.errors import FrameError


def band(value: float = 0.0, shape: tuple[int, int] = (6, 8), **sky: float) -> Frame:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval = 10.0, sky.get("dec", 20.0)
    wcs.wcs.crpix = 3.0 + sky.get("dx", 0.0), 2.0
    wcs.wcs.cdelt = -1e-4 * sky.get("scale", 1.0), 1e-4 * sky.get("scale", 1.0)
    return Frame(np.full(shape, value, np.float32), unit="adu", wcs=wcs, frame_id=f"b{value:g}")


def test_bands_keep_their_order_and_stack_in_it() -> None:
    bands = FrameSet({"r": band(1), "g": band(2), "z": band(3)})
    assert bands.bands == tuple(bands) == ("r", "g", "z")
    assert (len(bands), bands.shape) == (3, (6, 8))
    stacked = bands.stack()
    assert stacked.dtype == np.float32
    assert stacked[:, 0, 0].tolist() == [1, 2, 3]
    stacked[:] = 0
    assert bands["g"].data[0, 0] == 2


def test_replace_makes_another_set() -> None:
    bands = FrameSet({"r": band(1), "g": band(2)})
    other = bands.replace(g=band(9))
    assert (bands["g"].data[0, 0], other["g"].data[0, 0]) == (2, 9)
    assert other["r"] is bands["r"]
    assert other.bands == bands.bands


def test_a_set_does_not_follow_the_mapping_it_was_made_of() -> None:
    frames = {"r": band(1)}
    bands = FrameSet(frames)
    frames["g"] = band(2)
    assert bands.bands == ("r",)


def test_no_band_is_no_set() -> None:
    with pytest.raises(FrameError, match="at least one band"):
        FrameSet({})


def test_bands_may_have_grids_of_their_own_and_no_stack_then() -> None:
    bands = FrameSet({"r": band(1), "g": band(2, shape=(6, 9))})
    assert not bands.aligned
    assert bands["g"].shape == (6, 9)
    for need in (bands.stack, lambda: bands.shape, lambda: bands.require_aligned("a stage")):
        with pytest.raises(FrameError, match=r"'g'.*\(6, 9\).*'r'.*\(6, 8\)"):
            need()


@settings(deadline=None, max_examples=40)
@given(offset=st.floats(-3, 3), tolerance=st.floats(0.1, 2.0))
def test_bands_further_apart_than_the_tolerance_are_not_aligned(
    offset: float, tolerance: float
) -> None:
    frames = {"r": band(1), "g": band(2, dx=offset)}
    if abs(offset) > tolerance + 1e-3:
        with pytest.raises(FrameError, match=f"up to {abs(offset):.2f} pixels"):
            FrameSet(frames, tolerance=tolerance).require_aligned("a stage")
    elif abs(offset) < tolerance - 1e-3:
        assert FrameSet(frames, tolerance=tolerance).aligned


def test_another_scale_is_a_misalignment() -> None:
    with pytest.raises(FrameError, match="Resample"):
        FrameSet({"r": band(1), "g": band(2, scale=1.5)}).require_aligned("a stage")


def test_the_far_side_of_the_sky_is_a_misalignment() -> None:
    with pytest.raises(FrameError, match="'g'"):
        FrameSet({"r": band(1), "g": band(2, dec=-70.0)}).require_aligned("a stage")


def test_bands_without_a_wcs_are_taken_on_trust() -> None:
    plain = Frame(np.zeros((6, 8)), unit="adu")
    assert FrameSet({"r": band(1), "g": plain}).bands == ("r", "g")
