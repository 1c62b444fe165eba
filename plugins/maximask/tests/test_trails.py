"""Trails whole: found, measured, listed and linked; what is long and thin and no trail."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
import pytest
from astroclean_maximask.trails.linking import linked
from astroclean_maximask.trails.maps import BIN, Sky
from astroclean_maximask.trails.radon import line_sums
from astroclean_maximask.trails.stage import Trails, TrailsOptions
from astroclean_maximask.trails.stars import star_fwhm
from astropy.wcs import WCS

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.stage.needs import Identity
from astroclean.errors import AstrocleanWarning, ContractError
from astroclean.testing.contracts import MaskerContract

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

    Image = NDArray[np.float64]

SHAPE = (512, 640)
FWHM = 3.0
NOISE = 20.0


class TestTrails(MaskerContract):
    plugin = "trails"
    options = {"tile": 256}  # noqa: RUF012 - as in the contract's example


def line(
    snr: float,
    ends: tuple[float, float, float, float],
    *,
    bend: float = 0.0,
    period: float = 0.0,
    shape: tuple[int, int] = SHAPE,
) -> Image:
    """A trail of this S/N in a box of one FWHM, in units of the noise; x0, y0, x1, y1."""
    x0, y0, x1, y1 = ends
    length = float(np.hypot(x1 - x0, y1 - y0))
    y, x = np.indices(shape, dtype=float)
    t = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length
    v = ((y - y0) * (x1 - x0) - (x - x0) * (y1 - y0)) / length
    v = v - bend * (1 - (2 * t / length - 1) ** 2)
    light = snr / (0.81 * FWHM) * np.exp(-0.5 * (v * 2.3548 / FWHM) ** 2)
    light *= (t >= 0) & (t <= length)
    return light * ((t / period) % 1 < 0.4) if period else light


def stars(rng: np.random.Generator, count: int, shape: tuple[int, int] = SHAPE) -> Image:
    image = np.zeros(shape)
    for _ in range(count):
        peak = np.exp(rng.uniform(np.log(5), np.log(300)))
        image += star(peak, rng.uniform(0, shape[0]), rng.uniform(0, shape[1]), shape)
    return image


def star(peak: float, y: float, x: float, shape: tuple[int, int] = SHAPE) -> Image:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    r2 = (rows - y) ** 2 + (columns - x) ** 2
    return np.asarray(peak * (1 + r2 / (FWHM / 1.02) ** 2) ** -3.0)


def run(light: Image, *, seed: int = 1, wcs: Any = None, **options: Any) -> tuple[Any, QTable]:
    rng = np.random.default_rng(seed)
    data = 400 + NOISE * (light + rng.normal(size=light.shape))
    frame = Frame(data, unit="adu", wcs=wcs)
    stage = Trails(TrailsOptions(**options), identity=Identity("trails", "trails"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstrocleanWarning)
        result = stage.run(frame)
    return result.frame.where(MaskPlane.TRAIL), result.tables["trails"]


def share(found: Any, light: Image, least: float = 0.3) -> float:
    """Share of the pixels with light that are flagged."""
    lit = light > least
    return float((found & lit).sum() / lit.sum())


def test_sums_along_lines_are_those_of_single_pixels() -> None:
    """Each sum has one pixel a row, and the ends of its line."""
    rng = np.random.default_rng(0)
    image = rng.normal(size=(16, 40)).astype(np.float32)
    sums = dict(zip((4, 8, 16), line_sums(image, shortest=4), strict=True))
    assert sums[16].shape == (1, 16, 40)
    np.testing.assert_allclose(sums[16][0, 0], image.sum(axis=0), rtol=1e-5, atol=1e-5)
    diagonal = sum(image[row, 5 + row] for row in range(16))
    np.testing.assert_allclose(sums[16][0, 15, 5], diagonal, rtol=1e-5)
    flat = next(iter(line_sums(np.ones((16, 40), dtype=np.float32), shortest=16)))
    assert flat[0, 7, :30].max() == flat[0, 7, :30].min() == 16


@pytest.mark.parametrize(
    ("ends", "settings"),
    [
        ((-20, 60, 660, 420), {}),
        ((-20, 60, 660, 420), {"bend": 4.0}),
        ((80, 470, 500, 90), {}),
        ((-20, 3, 660, 40), {}),
    ],
    ids=["across", "bent", "inside", "beside the border"],
)
def test_a_trail_is_flagged_whole(ends: Any, settings: Any) -> None:
    light = line(5, ends, **settings)
    found, table = run(light + stars(np.random.default_rng(2), 30))
    assert len(table) == 1
    assert share(found, light) > 0.9
    near = line(5, ends, **settings) > 1e-4
    assert (found & ~near).sum() < 0.1 * found.sum()
    assert abs(table["fwhm"][0].value - FWHM) < 1
    assert 0.7 < table["snr_fwhm"][0] / 5 < 1.3


def test_gaps_are_bridged() -> None:
    ends = (-20, 100, 660, 400)
    light = line(15, ends, period=40)
    found, table = run(light)
    assert len(table) == 1
    assert share(found, line(15, ends), 1.0) > 0.9
    assert table["n_glints"][0] >= 10
    assert table["glint_spacing"][0].value == pytest.approx(40, abs=4)


def test_two_that_cross_are_two() -> None:
    first, second = line(8, (-20, 60, 660, 420)), line(6, (60, -20, 500, 540))
    found, table = run(first + second)
    assert len(table) == 2
    assert share(found, first + second) > 0.9


def test_a_faint_one_is_found_by_its_length() -> None:
    light = line(1.5, (-20, 100, 660, 400))
    found, table = run(light)
    assert len(table) == 1
    assert share(found, light, 0.2) > 0.85
    flux = float(light.sum()) * NOISE
    assert abs(table["flux"][0].value - flux) < 4 * table["flux_err"][0].value + 0.1 * flux


def test_hits_are_not_taken_for_stars() -> None:
    """Three tracks for each star: the width is that of stars."""
    rng = np.random.default_rng(6)
    light = stars(rng, 40)
    for _ in range(120):
        y, x = rng.integers(30, np.array(SHAPE) - 30)
        step = rng.integers(-1, 2, size=2)
        step = step if step.any() else np.array([0, 1])
        for number in range(12):
            light[y + number * step[0], x + number * step[1]] += 400
    pixels = (light + rng.normal(size=SHAPE)).astype(np.float32)
    nothing = np.zeros((SHAPE[0] // BIN, SHAPE[1] // BIN), dtype=np.float32)
    sky = Sky(pixels, nothing + 1, nothing, nothing > 0)
    assert star_fwhm(Frame(pixels, unit="adu"), sky) == pytest.approx(FWHM, rel=0.2)


def test_a_trail_across_a_bright_star_is_no_spike() -> None:
    light = line(4, (-20, 60, 660, 420))
    found, table = run(light + star(1500, 240, 320))
    assert len(table) == 1
    assert share(found, light) > 0.8


def disc() -> Image:
    y, x = np.indices(SHAPE) - np.array([250, 300])[:, None, None]
    along, across = x * 0.9 + y * 0.436, y * 0.9 - x * 0.436
    return np.asarray(60 * np.exp(-np.hypot(along / 45, across / 4)))


def arc() -> Image:
    y, x = np.indices(SHAPE) - np.array([250, 300])[:, None, None]
    turn = np.abs(np.arctan2(y, x))
    return np.asarray(10 * np.exp(-(((np.hypot(y, x) - 120) / 1.5) ** 2) / 2) * (turn < 0.9))


def spikes() -> Image:
    y, x = np.indices(SHAPE) - np.array([250, 300])[:, None, None]
    along, across = np.abs(x * 0.8 + y * 0.6), y * 0.8 - x * 0.6
    arms = 30 / (1 + along / 20) ** 1.5 * np.exp(-((across / 1.3) ** 2) / 2)
    return star(5000, 250, 300) + arms


@pytest.mark.parametrize("draw", [disc, arc, spikes, lambda: np.zeros(SHAPE)])
def test_what_is_no_trail_is_left(draw: Any) -> None:
    found, table = run(draw() + stars(np.random.default_rng(3), 20))
    assert len(table) == 0
    assert not found.any()
    assert {"x0", "flux", "group"} <= set(table.colnames)


def test_nothing_is_flagged_where_nothing_is_known() -> None:
    light = line(6, (-20, 60, 660, 420))
    light[:, 250:330] = np.nan
    found, table = run(light)
    assert len(table) == 1
    assert not found[:, 250:330].any()
    assert found[:, 330:].any()
    assert found[:, :250].any()


def test_a_trail_that_is_known_already_is_found_again() -> None:
    light = line(8, (-20, 60, 660, 420))
    data = 400 + NOISE * (light + np.random.default_rng(1).normal(size=SHAPE))
    frame = Frame(data, unit="adu").add_planes(light > 1, MaskPlane.TRAIL)
    table = Trails().run(frame).tables["trails"]
    assert len(table) == 1


def test_chips_of_one_exposure_are_linked() -> None:
    """Two chips side by side see one passage; a second trail on one of them is another."""
    tables = []
    for chip, offset in enumerate((0, 700)):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.crval, wcs.wcs.cdelt = [150.0, 20.0], [-2e-4, 2e-4]
        wcs.wcs.crpix = [700 - offset, 300]
        light = line(8, (-300 - offset, 20, 1500 - offset, 460))
        if chip:
            light += line(8, (60, -20, 300, 540))
        tables.append(run(light, wcs=wcs)[1])
    joined = linked(tables)
    assert [len(table) for table in joined] == [1, 2]
    same = [int(group) for group in joined[1]["group"]]
    assert same.count(int(joined[0]["group"][0])) == 1
    assert len(set(same)) == 2
    assert joined[0]["ra0"].unit == u.deg


def test_without_a_wcs_nothing_is_linked() -> None:
    table = run(line(8, (-20, 60, 660, 420)))[1]
    assert linked([table, table])[1]["group"].tolist() == [0]


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ValueError, match="nsigma"):
        TrailsOptions(nsigma=0)
    with pytest.raises(Exception, match="there is no card"):
        Trails(TrailsOptions(weights="nowhere/x.card.toml"))


def test_a_table_that_is_not_declared_is_a_fault() -> None:
    class Undeclared(Trails):
        tables = frozenset()

    frame = Frame(np.random.default_rng(0).normal(size=(128, 128)), unit="adu")
    with pytest.raises(ContractError, match="tables that it declares"):
        Undeclared().run(frame)
