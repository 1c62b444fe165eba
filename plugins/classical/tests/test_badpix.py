"""`badpix`: maps, hot and dead pixels and lines; stars are no bad pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from astroclean_classical.badpix import BadPixels, BadPixelsOptions
from astroclean_classical.saturation.stage import Saturation, SaturationOptions
from astropy.io import fits
from pydantic import ValidationError

import astroclean
from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.stage.results import Outcome
from astroclean.errors import AstrocleanWarning, StageError
from astroclean.testing.chunks import run_in_chunks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from astroclean.core.stage.results import StageResult

SHAPE = (200, 240)


def run(image: np.ndarray | Frame, **options: object) -> StageResult:
    frame = image if isinstance(image, Frame) else Frame(image, unit="adu")
    return BadPixels(BadPixelsOptions(**options)).run(frame)


@pytest.fixture(scope="module")
def starry(gaussian_stars: Callable[..., np.ndarray], star_grid: np.ndarray) -> np.ndarray:
    stars = gaussian_stars(SHAPE, star_grid, fwhm=2.5)
    return np.random.default_rng(1).normal(500, 10, SHAPE) + stars


def test_map_is_taken_as_it_is() -> None:
    bad = np.zeros(SHAPE, dtype=np.int16)
    bad[3, 4], bad[100, :] = 4, 1
    result = run(np.random.default_rng(1).normal(0, 1, SHAPE), map=bad)
    assert np.array_equal(result.frame.where("BAD_PIXEL"), bad != 0)
    assert np.array_equal(result.frame.flags != 0, bad != 0)


@pytest.mark.parametrize(
    ("options", "bad"),
    [
        ({}, [1, 4, 5, 4096]),
        ({"bad_bits": "4"}, [4, 5]),
        ({"bad_bits": "4096,1"}, [1, 5, 4096]),
        ({"bad_bits": "~4"}, [1, 5, 4096]),
        ({"good_bits": "4"}, [1, 5, 4096]),
        ({"good_bits": "~4096,1"}, [1, 5, 4096]),
        ({"good_bits": 4097}, [4, 5]),
    ],
)
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_bits_of_a_map_are_good_or_bad(
    options: dict[str, object], bad: list[int], dtype: type
) -> None:
    values = [0, 1, 4, 5, 4096]
    image = np.zeros(SHAPE, dtype=dtype)
    image[3, :5] = values
    result = run(np.random.default_rng(1).normal(0, 1, SHAPE), map=image, **options)
    flags = result.frame.flags
    assert [v for v, f in zip(values, flags[3], strict=False) if f & MaskPlane.BAD_PIXEL] == bad
    assert np.count_nonzero(flags) == len(bad)


def test_a_map_without_bits_has_none_that_are_bad() -> None:
    image = np.zeros(SHAPE, dtype=np.float32)
    image[0, 0], image[0, 1] = np.nan, 2
    with pytest.warns(AstrocleanWarning, match="which holds 2|hold no number"):
        result = run(np.random.default_rng(1).normal(0, 1, SHAPE), map=image, bad_bits="1")
    assert result.frame.where("BAD_PIXEL").sum() == 1  # NaN is no value at all
    image[5, 5] = 0.5
    with pytest.raises(StageError, match="fractions"):
        run(np.zeros(SHAPE), map=image, bad_bits="1")
    for options in ({"bad_bits": "1", "good_bits": "2"}, {"bad_bits": "1"}):
        with pytest.raises(ValidationError, match="give"):
            BadPixelsOptions(map=None if len(options) == 1 else image, **options)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"bad_bits": "2"}, "bad_bits = '2' matches no pixel of the map, which holds 1, 4"),
        ({"good_bits": "1,4"}, "good_bits = '1,4' matches no pixel of the map, which holds 1, 4"),
    ],
)
def test_bits_that_no_pixel_of_the_map_has_are_noted(options: dict[str, str], told: str) -> None:
    image = np.zeros(SHAPE, dtype=np.int16)
    image[3, 3], image[150, 4] = 1, 4
    frame = Frame(np.zeros(SHAPE), unit="adu")
    with pytest.warns(AstrocleanWarning, match=told) as caught:
        run_in_chunks(BadPixels(BadPixelsOptions(map=image, **options)), frame, rows=100)
    assert len({str(one.message) for one in caught}) == 1


@pytest.mark.filterwarnings("error")
def test_bits_that_other_chunks_of_the_frame_have_are_not_noted() -> None:
    image = np.zeros(SHAPE, dtype=np.int16)
    image[150, 4] = 4
    stage = BadPixels(BadPixelsOptions(map=image, bad_bits="4"))
    run_in_chunks(stage, Frame(np.zeros(SHAPE), unit="adu"), rows=100)
    run(np.zeros(SHAPE), map=np.zeros(SHAPE), bad_bits="4")  # a map of a chip without a bad pixel


def test_what_is_no_number_in_a_map_is_noted() -> None:
    image = np.zeros(SHAPE, dtype=np.float32)
    image[0, :2], image[5, 5] = (np.nan, np.inf), 1
    with pytest.warns(AstrocleanWarning, match=r"2 pixels of the map hold no number \(NaN, inf\)"):
        result = run(np.zeros(SHAPE), map=image)
    assert result.frame.where("BAD_PIXEL").sum() == 3


def test_map_of_another_shape_is_an_error() -> None:
    with pytest.raises(StageError, match="shape"):
        run(np.zeros((5, 5)), map=np.zeros((4, 5)))


def test_clean_frames_have_no_bad_pixels(starry: np.ndarray) -> None:
    result = run(starry)
    assert result.outcome is Outcome.NO_WORK


@pytest.mark.parametrize("scale", [1.0, 2.0**-30])
def test_hot_and_dead_pixels_are_found_exactly(starry: np.ndarray, scale: float) -> None:
    generator = np.random.default_rng(5)
    places = generator.choice(SHAPE[0] * SHAPE[1] // 25, 80, replace=False)
    rows, columns = 5 * (places // (SHAPE[1] // 5)) + 2, 5 * (places % (SHAPE[1] // 5)) + 2
    sky = np.abs(starry[rows, columns] - 500) < 40
    rows, columns = rows[sky], columns[sky]
    hot = np.arange(len(rows)) % 2 == 0
    image = starry.copy()
    image[rows, columns] += np.where(hot, 300, -300)
    result = run(image * scale)
    expected = np.zeros(SHAPE, dtype=bool)
    expected[rows[hot], columns[hot]] = True
    assert (result.frame.where("HOT_PIXEL") & expected).sum() >= 0.97 * expected.sum()
    assert not (result.frame.where("HOT_PIXEL") & ~expected).any()
    expected[:] = False
    expected[rows[~hot], columns[~hot]] = True
    assert (result.frame.where("DEAD_PIXEL") & expected).sum() >= 0.97 * expected.sum()
    assert not (result.frame.where("DEAD_PIXEL") & ~expected).any()


@pytest.mark.parametrize(("side", "value"), [((1, 2), -32768), ((2, 2), -500), ((3, 3), 0)])
def test_dead_groups_are_found_exactly(
    starry: np.ndarray, side: tuple[int, int], value: float
) -> None:
    where = np.zeros(SHAPE, dtype=bool)
    for y in range(12, 190, 37):
        for x in range(15, 230, 41):
            where[y : y + side[0], x : x + side[1]] = True
    flags = run(np.where(where, value, starry)).frame.flags
    assert np.array_equal(flags, where * np.uint32(MaskPlane.DEAD_PIXEL))


def test_hot_and_dead_columns_and_rows(starry: np.ndarray) -> None:
    image = starry.copy()
    image[:, 60] += 40  # four times the noise of a pixel: no pixel of it stands out
    image[:, 150:152] -= 60
    image[90, :] += 60
    result = run(image)
    hot, dead = result.frame.where("HOT_LINE"), result.frame.where("DEAD_LINE")
    assert hot[:, 60].all()
    assert hot[90, :].all()
    assert dead[:, 150:152].all()
    hot[:, 60], hot[90, :], dead[:, 150:152] = False, False, False
    assert not hot.any()
    assert not dead.any()
    columns_only = run(image, rows=False).frame.where("HOT_LINE")
    assert not columns_only[90, :60].any()


@pytest.mark.parametrize("rows", [4, 8, 12, 40])
def test_the_edge_of_an_area_is_no_line(rows: int) -> None:
    """Overscan rows, read with less noise at another level, of a frame with few counts."""
    generator = np.random.default_rng(5)
    image = np.rint(generator.normal(303, 6, SHAPE))
    image[-rows:] = np.rint(generator.normal(217, 1.5, (rows, SHAPE[1])))
    for frame in (image, image[::-1], 520 - image):
        flags = run(frame).frame
        assert not flags.where("DEAD_LINE").any()
        assert not flags.where("HOT_LINE").any()


def test_half_a_column(starry: np.ndarray) -> None:
    image = starry.copy()
    image[100:, 60] += 60
    hot = run(image, line_length=50).frame.where("HOT_LINE")
    assert hot[100:, 60].all()
    assert not hot[:100].any()


def test_statistics_beside_a_map_only_when_asked(starry: np.ndarray) -> None:
    image = starry.copy()
    image[40, 40] += 1000
    bad = np.zeros(SHAPE, dtype=bool)
    bad[40, 41] = True
    assert not run(image, map=bad).frame.where("HOT_PIXEL").any()
    both = run(image, map=bad, statistics=True).frame
    assert both.where("HOT_PIXEL")[40, 40]
    assert both.where("BAD_PIXEL").sum() == 1
    assert not run(image, statistics=False).frame.flags.any()


def test_empty_pixels_are_no_bad_pixels(starry: np.ndarray) -> None:
    image = starry.copy()
    image[:, :30] = np.nan
    image[80:90, 100:110] = np.nan
    assert run(image).outcome is Outcome.NO_WORK


def test_real_hot_columns_are_in_both_reads(real_data: Callable[[str], Path]) -> None:
    path = real_data("hst_stis_bias_hotcolumns.fits.gz")
    with fits.open(path) as hdus:
        reads = [hdus[i].data.astype(float) for i in (1, 4)]
    lines = [run(read).frame.where("HOT_LINE") for read in reads]
    assert lines[0].any()
    assert np.array_equal(lines[0].any(axis=0), lines[1].any(axis=0))
    columns = np.flatnonzero(lines[0].all(axis=0))
    for column in columns:  # an independent look at the other read
        beside = np.r_[column - 6 : column - 2, column + 3 : column + 7]
        beside = beside[(beside >= 0) & (beside < 128)]
        assert np.median(reads[1][:, column]) > np.median(reads[1][:, beside])


def test_real_map(real_data: Callable[[str], Path]) -> None:
    with fits.open(real_data("hst_wfc3ir_badpix.fits.gz")) as hdus:
        bad = next(hdu.data for hdu in hdus if hdu.data is not None)
    frame = run(np.ones(bad.shape), map=np.asarray(bad).astype(np.int32)).frame
    assert frame.where("BAD_PIXEL").sum() == np.count_nonzero(bad)


def test_a_map_is_cut_with_the_frame() -> None:
    """In bands, as frames larger than memory are processed."""
    rng = np.random.default_rng(3)
    bad = rng.random((90, 40)) < 0.1
    frame = Frame(rng.normal(100, 5, bad.shape), unit="adu")
    stage = BadPixels(BadPixelsOptions(map=bad.astype(np.uint8)))
    assert stage.scope(frame).halo == 0
    flags = run_in_chunks(stage, frame, rows=25)["flags"]
    assert np.array_equal(flags != 0, bad)
    assert BadPixels().scope(frame).halo is None, "statistics need the whole frame"


@pytest.fixture(scope="module")
def bled() -> np.ndarray:
    """Saturated stars whose charge bled along columns; a hot column through one, one beyond one."""
    rng = np.random.default_rng(8)
    y, x = np.indices((300, 280))
    image = rng.normal(500, 10, y.shape)
    for row, column, peak in ((140, 90, 4e5), (70, 200, 9e4), (210, 40, 2e5), (150, 240, 2e5)):
        image += peak * np.exp(-((x - column) ** 2 + (y - row) ** 2) / 18)
    image[:, 200] += 400
    image[160:, 240] += 300  # from a trap in the star on to the border
    image = np.minimum(image, 30000 + rng.normal(0, 200, y.shape))
    image[60:250, 89:92] = 28000 + rng.normal(0, 500, (190, 3))
    image[250:280, 90] = np.linspace(24000, 600, 30)  # where a trail ends
    image[40:60, 91] = np.linspace(600, 20000, 20)
    image[:, 40] += 9000 / (1 + np.abs(y[:, 40] - 210) / 4) ** 1.5  # a spike
    return image


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("order", ["saturation first", "badpix first", "badpix alone"])
def test_charge_of_a_saturated_star_is_no_hot_line_and_a_column_through_a_star_is(
    bled: np.ndarray, order: str, *, turned: bool
) -> None:
    frame = Frame(bled.T if turned else bled, unit="adu")
    axis = "x" if turned else "y"
    saturation = Saturation(SaturationOptions(level="clipped", bleed_axis=axis))
    if order == "saturation first":
        frame = run(saturation.run(frame).frame).frame
    else:
        with pytest.warns(AstrocleanWarning, match="no stage before has flagged"):
            frame = run(frame).frame
    lines, saturated = frame.where("HOT_LINE"), frame.where("SATURATED")
    if order == "badpix first":
        saturated = saturation.run(frame).frame.where("SATURATED")
    lines, saturated = (p.T if turned else p for p in (lines, saturated))
    assert lines[:, 200].mean() > 0.8
    assert lines[170:, 240].all()
    assert not lines[:130, 240].any()
    assert not (lines & saturated).any()
    lines[:, 200], lines[:, 240] = False, False
    assert not lines.any()
    assert not frame.where(MaskPlane.DEAD_LINE).any()


def test_lines_are_counted_not_their_pieces(starry: np.ndarray) -> None:
    image = starry.copy()
    image[:, 60] += 40
    image[90, :] -= 60
    metrics = run(image).metrics
    assert (metrics["hot lines"], metrics["dead lines"]) == (1, 1)


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("order", [("saturation", "badpix"), ("badpix", "saturation")])
@pytest.mark.filterwarnings("ignore::astroclean.errors.AstrocleanWarning")
def test_real_trails_are_no_hot_lines(
    real_data: Callable[[str], Path], version: int, order: tuple[str, str]
) -> None:
    with fits.open(real_data("decam_dq_cutouts_a.fits.gz")) as hdus:
        frame = Frame(hdus["SCI", version].data.astype(np.float32), unit="adu")
    for name in order:
        level = {"level": "clipped"} if name == "saturation" else {}
        frame = astroclean.load_stage(name, **level).run(frame).frame
    assert frame.where("SATURATED").any()
    assert not frame.where("HOT_LINE | DEAD_LINE | HOT_PIXEL").any()


def test_where_saturation_knew_no_level_its_level_is_asked_for(bled: np.ndarray) -> None:
    frame = Frame(bled, unit="adu")
    with pytest.warns(AstrocleanWarning, match="Put `saturation` before"):
        run(frame)
    with pytest.warns(AstrocleanWarning, match="level"):
        asked = Saturation(SaturationOptions()).run(frame).frame
    with pytest.warns(AstrocleanWarning, match="Give the stage `saturation` the option `level`"):
        run(asked)
