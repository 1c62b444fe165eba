"""`interpolate`: holes get what is around them, and nothing else changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from astroclean_classical.filling import distance_to_good
from astroclean_classical.interpolate import Interpolate, InterpolateOptions
from astropy.nddata import StdDevUncertainty
from pydantic import ValidationError

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.stage.results import Outcome
from astroclean.errors import SuspectWarning
from astroclean.registry.load import load_stage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from astroclean.core.stage.results import StageResult

SHAPE = (100, 120)
METHODS = ["convolve", "maskfill"]


def run(frame: Frame, **options: object) -> StageResult:
    return Interpolate(InterpolateOptions(**options)).run(frame)


def holes() -> np.ndarray:
    """Points, a column through the frame, a disc, a track."""
    where = np.zeros(SHAPE, dtype=bool)
    where[10:90:20, 10:50:13] = True
    where[:, 60] = True
    where[np.hypot(*(np.indices(SHAPE) - np.array([50, 90])[:, None, None])) <= 5] = True
    where[range(5, 25), range(80, 100)] = True
    return where


def holed(image: np.ndarray, where: np.ndarray, planes: str = "COSMIC_RAY") -> Frame:
    """What lies in the holes must not matter, so it is absurd."""
    spoilt = np.where(where, 1e30, image)
    return Frame(spoilt, unit="adu").add_planes(where, planes)


@pytest.mark.parametrize("method", METHODS)
def test_constant_comes_back_exactly(method: str) -> None:
    result = run(holed(np.full(SHAPE, 128.0), holes()), method=method)
    np.testing.assert_allclose(result.frame.data, 128.0, rtol=1e-6)
    assert result.metrics["pixels left"] == 0


@pytest.mark.parametrize("method", METHODS)
def test_gradient_comes_back(method: str) -> None:
    y, x = np.indices(SHAPE)
    image = 500 + 2.0 * x - 1.5 * y
    where = holes()
    error = np.abs(run(holed(image, where), method=method).frame.data - image)
    # A weighted mean is exact where the surroundings are symmetric, else off by less than the
    # gradient (2.5) times the distance to them.
    assert error[5:-5, 60].max() < 0.01 if method == "convolve" else error[5:-5, 60].max() < 2.5
    assert error[where].max() < 2.5 * 5
    assert np.median(error[where]) < 1.0


@pytest.mark.parametrize("method", METHODS)
def test_other_pixels_stay_bit_for_bit(method: str) -> None:
    image = np.random.default_rng(0).normal(0, 1, SHAPE)
    where = holes()
    frame = holed(image, where)
    result = run(frame, method=method).frame
    assert result.data[~where].tobytes() == frame.data[~where].tobytes()
    assert np.array_equal(result.where(MaskPlane.INTERPOLATED), where)
    assert result.where("COSMIC_RAY")[where].all()


@pytest.mark.parametrize("method", METHODS)
def test_what_lies_in_rejected_pixels_is_not_read(method: str) -> None:
    image = np.random.default_rng(0).normal(100, 5, SHAPE)
    where = holes()
    beside = np.zeros(SHAPE, dtype=bool)
    beside[40:60, 62] = True
    results = []
    for value in (0.0, 1e20):
        frame = Frame(np.where(where | beside, value, image), unit="adu")
        frame = frame.add_planes(where, "CR").add_planes(beside, "SATURATED")
        result = run(frame, method=method, planes=("CR",)).frame
        assert (result.data[beside] == np.float32(value)).all()
        results.append(result.data[where])
    assert results[0].tobytes() == results[1].tobytes()
    assert abs(np.mean(results[0]) - 100) < 2


@pytest.mark.parametrize("method", METHODS)
def test_large_hole_is_left_and_counted(method: str) -> None:
    image = np.ones(SHAPE)
    where = np.zeros(SHAPE, dtype=bool)
    where[30:70, 40:80] = True
    where[5, 5] = True
    result = run(holed(image, where), method=method, max_distance=8)
    assert result.frame.where("INTERPOLATED").sum() == 1
    assert (result.frame.data[30:70, 40:80] == np.float32(1e30)).all()
    assert result.metrics["pixels left"] == result.metrics["pixels left too deep"] == 1600
    filled = run(holed(image, where), method=method, max_distance=25)
    np.testing.assert_allclose(filled.frame.data, 1, rtol=1e-5)


def test_border_without_data_stays_empty_and_a_dead_column_does_not() -> None:
    y, x = np.indices(SHAPE)
    image = np.full(SHAPE, 10.0)
    outside = (x < 4) | (y > 85) | (x + y < 40)
    image[outside] = np.nan
    image[:, 70] = np.nan
    image[50, 30:33] = np.nan
    result = run(Frame(image, unit="Jy"), planes="reject")
    empty = np.isnan(result.frame.data)
    assert np.array_equal(empty[:80, :], outside[:80, :])
    assert empty[outside].all()
    assert np.isfinite(result.frame.data[:84, 70]).all()
    left = result.metrics["pixels left outside coverage"] + result.metrics["pixels left too deep"]
    assert left == result.metrics["pixels left"]


def test_nothing_to_do_and_no_measured_pixel() -> None:
    clean = run(Frame(np.ones(SHAPE), unit="adu"))
    assert clean.outcome is Outcome.NO_WORK
    for planes in ("fillable", "reject"):
        empty = run(Frame(np.full(SHAPE, np.nan), unit="adu"), planes=planes)
        assert empty.outcome is Outcome.NO_WORK
        assert empty.metrics["pixels left"] == SHAPE[0] * SHAPE[1]


def test_uncertainty_of_filled_pixels_is_unknown() -> None:
    where = holes()
    frame = holed(np.ones(SHAPE), where).replace(
        uncertainty=StdDevUncertainty(np.full(SHAPE, 2.0, dtype=np.float32))
    )
    deviation = run(frame).frame.uncertainty.array
    assert np.isnan(deviation[where]).all()
    assert (deviation[~where] == 2).all()


@pytest.mark.parametrize("method", METHODS)
def test_matching_noise_has_the_scatter_of_the_surroundings(method: str) -> None:
    y, _ = np.indices((200, 240))
    generator = np.random.default_rng(3)
    where = generator.uniform(size=y.shape) < 0.05
    sigma = np.where(y < 100, 5.0, 15.0)
    image = 3.0 * y + generator.normal(0, 1, y.shape) * sigma
    smooth = run(holed(image, where), method=method).frame.data
    rough = run(holed(image, where), method=method, noise="match").frame.data
    added = rough - smooth
    assert not added[~where].any()
    assert np.std(added[:70][where[:70]]) == pytest.approx(5, rel=0.15)
    assert np.std(added[130:][where[130:]]) == pytest.approx(15, rel=0.15)
    assert abs(np.mean(added[where])) < 1.0


def test_noise_depends_on_seed_and_frame_alone() -> None:
    generator = np.random.default_rng(3)
    where = holes()
    first, second = (holed(generator.normal(0, 1, SHAPE), where) for _ in range(2))

    def added(frame: Frame, seed: int) -> np.ndarray:
        rough = run(frame, noise="match", seed=seed).frame.data
        return (rough - run(frame).frame.data)[where]

    assert np.array_equal(added(first, 1), added(first, 1))
    assert abs(np.corrcoef(added(first, 1), added(first, 2))[0, 1]) < 0.3
    assert abs(np.corrcoef(added(first, 1), added(second, 1))[0, 1]) < 0.3


@pytest.mark.parametrize("method", METHODS)
def test_pixels_beyond_the_halo_have_no_influence(method: str) -> None:
    generator = np.random.default_rng(0)
    image = generator.normal(100, 5, (80, 260))
    where = generator.uniform(size=image.shape) < 0.1
    where[30:45, 90:150] = True
    frame = holed(image, where)
    stage = Interpolate(InterpolateOptions(method=method, max_distance=9))
    halo = stage.scope(frame).halo
    assert halo is not None
    other = frame.data.copy()
    other[:, :80] = generator.normal(-1000, 5, (80, 80))
    flags = frame.flags.copy()
    flags[:, :80] = np.where(generator.uniform(size=(80, 80)) < 0.5, MaskPlane.COSMIC_RAY, 0)
    changed = stage.run(frame.replace(data=other, flags=flags)).frame
    same = slice(80 + halo, None)
    assert 80 + halo < 200
    assert changed.data[:, same].tobytes() == stage.run(frame).frame.data[:, same].tobytes()


@pytest.mark.parametrize("method", METHODS)
def test_pixels_far_below_the_sky_are_not_read(method: str) -> None:
    image = np.random.default_rng(0).normal(1000, 15, SHAPE)
    where = np.zeros(SHAPE, dtype=bool)
    where[20:80:15, 20:100:15] = True
    low = np.roll(where, 1, axis=1) | np.roll(where, (1, 1), axis=(0, 1))
    frame = holed(np.where(low, -32768, image), where)
    with pytest.warns(SuspectWarning, match="far below the sky"):
        result = run(frame, method=method)
    assert np.all(np.abs(result.frame.data[where] - 1000) < 60)
    assert result.frame.data[low].tobytes() == frame.data[low].tobytes()
    assert result.metrics["unflagged pixels far below the sky"] == low.sum()


def test_planes_are_checked_and_needed_only_when_named() -> None:
    with pytest.raises(ValidationError, match="COSMIC_RAY"):
        InterpolateOptions(planes=("COSMIC_RAI",))
    with pytest.raises(ValidationError, match="at least one"):
        InterpolateOptions(planes=())
    named = Interpolate(InterpolateOptions(planes=("CR", "HOT_PIXEL")))
    assert named.needs().planes == MaskPlane.COSMIC_RAY | MaskPlane.HOT_PIXEL
    assert not Interpolate().needs().planes


def test_real_coverage_edges_stay_empty(real_data: Callable[[str], Path]) -> None:
    frame = Frame.read(real_data("herschel_pacs100_ngc5584.fits.gz"))
    empty = np.isnan(frame.data)
    result = run(frame).frame
    # Clefts of the ragged edge are narrow enough to be bridged; the outside is not.
    assert np.isnan(result.data).sum() > 0.999 * empty.sum()
    assert result.data[~empty].tobytes() == frame.data[~empty].tobytes()


def test_filling_is_that_of_astropy() -> None:
    from astropy.convolution import Gaussian2DKernel, interpolate_replace_nans

    generator = np.random.default_rng(1)
    image = generator.normal(100, 10, (60, 70)).astype(np.float32)
    holes = generator.random(image.shape) < 0.2
    blank = np.where(holes, np.float32(np.nan), image)
    kernel = Gaussian2DKernel(1.0, x_size=9, y_size=9)
    expected = interpolate_replace_nans(blank, kernel, boundary="fill", fill_value=np.nan)
    frame = Frame(image, unit="adu").add_planes(holes, "BAD")
    shallow = holes & (distance_to_good(holes) <= 2)
    filled = Interpolate(InterpolateOptions(planes=("BAD",))).run(frame).frame.data
    assert np.allclose(filled[shallow], expected[shallow], rtol=1e-5)


def test_a_flag_is_no_licence_to_fill() -> None:
    """Saturated cores, trails and the rest are flagged; only what has no value of the sky is
    filled, and not where something else is wrong with the pixel too."""
    image = np.arange(SHAPE[0] * SHAPE[1], dtype=np.float32).reshape(SHAPE)
    frame = Frame(image, unit="adu")
    for column, plane in enumerate(MaskPlane, start=1):
        where = np.zeros(SHAPE, dtype=bool)
        where[4:80:8, 3 * column] = True
        frame = frame.add_planes(where, plane)
    both = np.zeros(SHAPE, dtype=bool)
    both[8, 3:90:3] = True
    frame = frame.add_planes(both, "CR").add_planes(both, "SAT")
    result = run(frame)
    changed = result.frame.where("INTERPOLATED") & ~frame.where("INTERPOLATED")
    wanted = frame.where(["CR", "HCL", "DCL", "HP", "DP", "BAD", "ND"]) & ~both
    assert np.array_equal(changed, wanted)
    everything = run(frame, planes="reject").frame
    rejected = frame.mask & ~frame.where("OV")
    assert everything.filled[rejected].all()


@pytest.mark.parametrize(
    ("side", "place", "filled"), [(5, 40, True), (6, 40, False), (3, 0, False)]
)
def test_only_small_groups_without_data_are_filled(side: int, place: int, filled: bool) -> None:
    image = np.ones(SHAPE)
    image[place : place + side, place : place + side] = np.nan
    result = run(Frame(image, unit="adu"))
    assert np.isfinite(result.frame.data).all() == filled
    assert result.metrics["pixels left unfillable"] == (0 if filled else side**2)


def test_a_pixel_without_data_whose_cause_is_known_is_filled_with_its_line() -> None:
    image = np.ones(SHAPE)
    image[:, 50] = np.nan
    frame = Frame(image, unit="adu")
    assert np.isnan(run(frame).frame.data[:, 50]).all()
    known = frame.add_planes(np.isnan(image), "DEAD_LINE")
    assert np.isfinite(run(known).frame.data).all()


def test_filled_pixels_reject_no_longer_until_something_else_is_found() -> None:
    frame = holed(np.ones(SHAPE), holes())
    filled = run(frame).frame
    assert filled.filled.any()
    assert not filled.mask[filled.filled].any()
    assert np.array_equal(filled.where("INTERPOLATED"), filled.filled)
    # What was filled is not filled again, whatever is asked for.
    assert run(filled, planes="reject").outcome is Outcome.NO_WORK
    level = load_stage("saturation", level=0.5, bleed_fraction=1.0, grow=0)
    assert level.run(filled).frame.mask.all()
