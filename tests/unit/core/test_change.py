"""What a stage flags and replaces is measured, and what is implausible is said."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.stage.change import Change, change_between
from astroclean.core.stage.kinds.mask import Masker
from astroclean.core.stage.kinds.remove import SourceRemover
from astroclean.core.stage.options import StageOptions
from astroclean.core.stage.results import Mask, Removal
from astroclean.errors import SuspectWarning

SHAPE = (120, 140)


def sky_with(*, star: float = 0.0, hits: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return an image with a star of FWHM 4 and hits of one pixel, the star's pixels, the hits."""
    generator = np.random.default_rng(1)
    y, x = np.indices(SHAPE)
    profile = np.exp(-((x - 70) ** 2 + (y - 60) ** 2) / (2 * 1.7**2))
    image = generator.normal(100, 5, SHAPE) + star * profile
    hit = np.zeros(SHAPE, dtype=bool)
    hit.flat[generator.choice(hit.size, hits, replace=False)] = True
    return np.where(hit, image + 2000, image), profile > 0.05, hit & (profile < 1e-3)


def filled(image: np.ndarray, where: np.ndarray) -> Change:
    before = Frame(image, unit="adu").add_planes(where, "CR")
    after = before.replace(data=np.where(where, 100, image)).add_planes(where, "INTERPOLATED")
    return change_between(before, after, slice(None))


def test_a_star_that_is_filled_is_light_of_a_source_and_a_hit_is_not() -> None:
    image, core, hits = sky_with(star=3000, hits=100)
    assert filled(image, hits).shares()["source light"] < 0.01
    assert filled(image, hits | core).shares()["source light"] > 0.9
    assert "filled flagged pixels with" in "".join(filled(image, core).implausible({}))
    assert filled(image, hits).implausible({}) == []


def test_removing_a_source_that_was_not_rejected_is_no_filling_of_its_light() -> None:
    image, core, _ = sky_with(star=3000)
    before = Frame(image, unit="adu")
    after = before.replace(data=np.where(core, 100, image)).add_planes(core, "REMOVED")
    assert change_between(before, after, slice(None)).shares()["source light"] == 0


@given(cut=st.integers(1, SHAPE[0] - 1))
def test_parts_add_up(cut: int) -> None:
    image, core, hits = sky_with(star=3000, hits=50)
    before = Frame(image, unit="adu").add_planes(hits | core, "CR")
    after = before.replace(data=np.where(hits, 0, image)).add_planes(core, "TRAIL")
    whole = change_between(before, after, slice(None))
    parts = [change_between(before, after, rows) for rows in (slice(0, cut), slice(cut, None))]
    joined = parts[0] + parts[1]
    assert (joined.pixels, joined.flagged, joined.replaced) == (
        whole.pixels,
        whole.flagged,
        whole.replaced,
    )
    assert joined.light == pytest.approx(whole.light)
    assert joined.light_filled == pytest.approx(whole.light_filled)


class Painter(Masker):
    """Flags the upper rows."""

    sets = MaskPlane.COSMIC_RAY | MaskPlane.NEBULOSITY

    def find(self, frame: Frame) -> Mask:
        flags = np.zeros(frame.shape, dtype=np.uint32)
        flags[: int(frame.meta["ROWS"])] |= np.uint32(MaskPlane[str(frame.meta["PLANE"])])
        return Mask(flags)


class Eraser(SourceRemover):
    """Replaces the upper rows."""

    reason = MaskPlane.INTERPOLATED

    def remove(self, frame: Frame) -> Removal:
        where = np.zeros(frame.shape, dtype=bool)
        where[: int(frame.meta["ROWS"])] = True
        return Removal(np.where(where, 0, frame.data), where)


def rows_of(count: int, plane: str = "COSMIC_RAY") -> Frame:
    meta = {"ROWS": count, "PLANE": plane}
    return Frame(np.ones((100, 90)), unit="adu", meta=meta, frame_id="x.fits[1]")


def test_an_implausible_share_is_said_with_its_number_and_what_lifts_it() -> None:
    with pytest.warns(SuspectWarning, match=r"x\.fits\[1\], stage 'painter'.* 20 % .* 8 %.*limits"):
        Painter().run(rows_of(20))
    with pytest.warns(SuspectWarning, match="replaced 20 % of the pixels"):
        Eraser().run(rows_of(20))


@pytest.mark.parametrize(("pixels", "told"), [(1004, "10.04 %"), (1040, "10.4 %"), (2000, "20 %")])
def test_a_share_just_above_its_limit_is_told_with_the_digits_that_differ(
    pixels: int, told: str
) -> None:
    (text,) = Change(10_000, {}, pixels).implausible({"changed": 0.1})
    assert text.startswith(f"replaced {told} of the pixels, more than the plausible 10 % ")


@pytest.mark.parametrize("frame", [rows_of(8), rows_of(90, "NEBULOSITY"), rows_of(0)])
def test_a_plausible_share_is_not(frame: Frame) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Painter().run(frame)
        Painter(StageOptions(limits={"CR": 0.2})).run(rows_of(20))


def test_pixels_without_data_do_not_count() -> None:
    image = np.ones((100, 90))
    image[50:] = np.nan
    frame = Frame(image, unit="adu", meta={"ROWS": 10, "PLANE": "COSMIC_RAY"})
    assert Painter(StageOptions(limits={"CR": 1})).run(frame).change.shares() == {"COSMIC_RAY": 0.2}


def test_limits_name_planes_and_what_is_measured() -> None:
    named = StageOptions(limits={"cr": 0.1, "changed": 1, "source light": 0.5}).limits
    assert named == {"COSMIC_RAY": 0.1, "changed": 1, "source light": 0.5}
    with pytest.raises(ValueError, match=r"unknown mask plane.*changed"):
        StageOptions(limits={"cosmics": 0.1})
