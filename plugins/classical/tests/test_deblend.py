"""`sep` and `photutils`: injected stars come back in place and flux, in the same columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import sep
from astroclean_classical.sources.catalogue import COLUMNS
from astroclean_classical.sources.photutils_sources import PhotutilsDeblender, PhotutilsOptions
from astroclean_classical.sources.sep_sources import SepDeblender, SepOptions
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from astropy.wcs import WCS

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.sources.columns import COLUMNS as KNOWN
from astroclean.core.sources.columns import FLUX, PIXEL_VALUE
from astroclean.core.stage.results import Outcome
from astroclean.errors import StageError, SuspectWarning

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from astropy.table import QTable

    from astroclean.core.stage.options import StageOptions
    from astroclean.core.stage.stage import Stage

SHAPE = (200, 240)
SKY, NOISE, FWHM = 300.0, 5.0, 3.5

both = pytest.mark.parametrize(
    ("stage", "options"),
    [(SepDeblender, SepOptions), (PhotutilsDeblender, PhotutilsOptions)],
    ids=["sep", "photutils"],
)


@pytest.fixture(scope="module")
def starry(gaussian_stars: Callable[..., np.ndarray], star_grid: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(6).normal(SKY, NOISE, SHAPE)
    return noise + gaussian_stars(SHAPE, star_grid, fwhm=FWHM)


def matched(table: QTable, stars: np.ndarray) -> np.ndarray:
    """Row of the table nearest to each star."""
    dx = np.asarray(table["x"])[:, None] - stars[:, 0]
    dy = np.asarray(table["y"])[:, None] - stars[:, 1]
    return np.argmin(np.hypot(dx, dy), axis=0)


@both
def test_positions_fluxes_and_widths(
    stage: type[Stage], options: type[StageOptions], starry: np.ndarray, star_grid: np.ndarray
) -> None:
    result = stage(options(thresh=3)).run(Frame(starry, unit="adu"))
    table = result.frame.sources.table
    assert len(table) == len(star_grid)
    rows = table[matched(table, star_grid)]
    assert len(set(rows["id"])) == len(star_grid)
    distance = np.hypot(rows["x"] - star_grid[:, 0], rows["y"] - star_grid[:, 1])
    assert distance.max() < 0.2
    assert rows["flux_auto"].unit == u.adu
    ratio = rows["flux_auto"].value / star_grid[:, 2]
    # An aperture of 2.5 Kron radii holds more than nine tenths of the light of any profile.
    assert ratio.min() > 0.95
    assert ratio.max() < 1.03
    assert (rows["flux_auto_err"].value > NOISE).all()
    peak = star_grid[:, 2] * 4 * np.log(2) / (np.pi * FWHM**2)
    assert np.median(rows["peak"].value / peak) == pytest.approx(1, abs=0.06)
    # sep measures on the image that it smoothed for detection, photutils on the original.
    smoothed = np.hypot(FWHM, 1.67) if stage is SepDeblender else FWHM
    assert np.median(rows["fwhm"].value) == pytest.approx(smoothed, rel=0.05)
    assert (rows["flux"].value < rows["flux_auto"].value * 1.05).all()
    assert (rows["flux_err"].value > 0).all()


@both
def test_columns_mean_the_same(
    stage: type[Stage], options: type[StageOptions], starry: np.ndarray
) -> None:
    table = stage(options()).run(Frame(starry, unit="electron / s")).frame.sources.table
    names = [name for name in COLUMNS if name != "flag" or stage is SepDeblender]
    assert [n for n in table.colnames if n in COLUMNS] == names
    for name in names:
        unit = KNOWN[name].unit
        assert table[name].info.description
        assert table[name].info.meta["ucd"] == KNOWN[name].ucd
        if unit:
            assert table[name].unit == (
                u.electron / u.s if unit in {PIXEL_VALUE, FLUX} else u.Unit(unit)
            )


@both
def test_segmentation_agrees_with_the_catalogue(
    stage: type[Stage], options: type[StageOptions], starry: np.ndarray
) -> None:
    result = stage(options(thresh=3)).run(Frame(starry, unit="adu"))
    sources = result.frame.sources
    labels, counts = np.unique(sources.segmentation, return_counts=True)
    assert sources.segmentation.dtype == np.int32
    assert list(labels[1:]) == list(sources.table["id"])
    assert np.array_equal(counts[1:], sources.table["npix"])
    assert np.array_equal(result.frame.where("SOURCE"), sources.segmentation > 0)
    background = result.products["BACKGROUND"]
    for row in sources.table:
        inside = sources.segmentation == row["id"]
        flux = (starry - background)[inside].sum()
        assert row["flux"].value == pytest.approx(flux, rel=1e-3)


@both
def test_background_is_the_sky(
    stage: type[Stage], options: type[StageOptions], starry: np.ndarray
) -> None:
    gradient = np.linspace(0, 15, SHAPE[1])
    for slope in (0 * gradient, gradient):
        result = stage(options()).run(Frame(starry + slope, unit="adu"))
        background = result.products["BACKGROUND"]
        assert background.shape == SHAPE
        assert np.abs(background - SKY - slope).max() < NOISE
        assert result.metrics["background rms"] == pytest.approx(NOISE, rel=0.1)


@both
def test_shape_and_angle_of_an_ellipse(stage: type[Stage], options: type[StageOptions]) -> None:
    y, x = np.indices((101, 121)) - np.array([50, 60])[:, None, None]
    angle = np.radians(30)
    major = x * np.cos(angle) + y * np.sin(angle)
    minor = -x * np.sin(angle) + y * np.cos(angle)
    image = 1000 * np.exp(-(major**2) / (2 * 6**2) - minor**2 / (2 * 3**2))
    image += np.random.default_rng(0).normal(0, 0.5, image.shape)
    settings = {"thresh": 3, "bw": 101, "bh": 101, "fw": 1, "fh": 1}
    if stage is PhotutilsDeblender:
        settings = {"thresh": 3, "box": 121, "filter_boxes": 1}
    table = stage(options(**settings)).run(Frame(image, unit="adu")).frame.sources.table
    row = table[np.argmax(table["flux"])]
    assert row["a"].value == pytest.approx(6, rel=0.1)
    assert row["b"].value == pytest.approx(3, rel=0.1)
    assert row["theta"].to_value("deg") == pytest.approx(30, abs=2)


@both
def test_blended_pair_is_separated(
    stage: type[Stage], options: type[StageOptions], gaussian_stars: Callable[..., np.ndarray]
) -> None:
    pair = np.array([[50.3, 50.1, 3e4], [58.9, 50.4, 2e4]])
    image = gaussian_stars((101, 110), pair, fwhm=4)
    image += np.random.default_rng(0).normal(100, 3, image.shape)
    frame = Frame(image, unit="adu")
    table = stage(options(thresh=5)).run(frame).frame.sources.table
    assert len(table) == 2
    rows = table[matched(table, pair)]
    assert np.hypot(rows["x"] - pair[:, 0], rows["y"] - pair[:, 1]).max() < 0.5
    joined = {"deblend_cont": 1} if stage is SepDeblender else {"deblend": False}
    assert len(stage(options(thresh=5, **joined)).run(frame).frame.sources) == 1


@both
def test_sky_positions_where_there_is_a_wcs(
    stage: type[Stage], options: type[StageOptions], starry: np.ndarray
) -> None:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = [150, 2], [120, 100], [-1e-4, 1e-4]
    table = stage(options(thresh=3)).run(Frame(starry, unit="adu", wcs=wcs)).frame.sources.table
    ra, dec = wcs.wcs_pix2world(table["x"], table["y"], 0)
    np.testing.assert_allclose(table["ra"].to_value("deg"), ra, atol=1e-9)
    np.testing.assert_allclose(table["dec"].to_value("deg"), dec, atol=1e-9)


@both
def test_rejected_pixels_are_not_read(
    stage: type[Stage], options: type[StageOptions], starry: np.ndarray
) -> None:
    bad = np.zeros(SHAPE, dtype=bool)
    bad[::17, ::13] = True
    tables = []
    for value in (0.0, 1e25, np.nan):
        frame = Frame(np.where(bad, value, starry), unit="adu").add_planes(bad, "HOT_PIXEL")
        tables.append(stage(options(thresh=3)).run(frame).frame.sources.table)
    for table in tables[1:]:
        for name in ("x", "y", "flux", "flux_auto"):
            assert np.asarray(table[name]).tobytes() == np.asarray(tables[0][name]).tobytes()


@both
def test_uncertainty_of_the_frame_sets_the_threshold(
    stage: type[Stage], options: type[StageOptions], starry: np.ndarray
) -> None:
    def count(deviation: float) -> int:
        uncertainty = StdDevUncertainty(np.full(SHAPE, deviation, dtype=np.float32))
        frame = Frame(starry, unit="adu", uncertainty=uncertainty)
        return len(stage(options(thresh=5)).run(frame).frame.sources)

    assert count(NOISE) == 30
    with pytest.warns(SuspectWarning, match="is not its noise"):
        assert count(1e6) == 0


@both
@pytest.mark.parametrize("value", [0.0, 5.0, np.nan])
def test_frames_without_sources_give_an_empty_catalogue(
    stage: type[Stage], options: type[StageOptions], value: float
) -> None:
    result = stage(options()).run(Frame(np.full((64, 64), value), unit="adu"))
    assert result.outcome is Outcome.NO_WORK
    assert len(result.frame.sources) == 0
    assert set(COLUMNS) <= set(result.frame.sources.table.colnames)
    assert result.frame.sources.table["flux"].unit == u.adu
    assert not result.frame.sources.segmentation.any()
    assert not result.frame.where(MaskPlane.SOURCE).any()


def test_buffers_of_sep_grow_and_come_back(starry: np.ndarray) -> None:
    pixels, branches = sep.get_extract_pixstack(), sep.get_sub_object_limit()
    try:
        sep.set_extract_pixstack(1000)
        sep.set_sub_object_limit(2)
        small = SepDeblender().run(Frame(starry, unit="adu"))
        assert sep.get_extract_pixstack() == 1000
        assert sep.get_sub_object_limit() == 2
    finally:
        sep.set_extract_pixstack(pixels)
        sep.set_sub_object_limit(branches)
    large = SepDeblender().run(Frame(starry, unit="adu"))
    assert np.array_equal(small.frame.sources.segmentation, large.frame.sources.segmentation)
    assert sep.get_extract_pixstack() == pixels


def test_noise_that_is_missing_is_an_error() -> None:
    with pytest.raises(StageError, match="global"):
        SepDeblender(SepOptions(noise="uncertainty")).run(Frame(np.ones((9, 9)), unit="adu"))


def test_real_field_agrees_with_sep_itself_and_between_libraries(
    real_data: Callable[[str], Path],
) -> None:
    frame = Frame.read(real_data("ntt_emmi_na36_r.fits.gz"), unit="adu")
    ours = SepDeblender(SepOptions(noise="global")).run(frame).frame.sources
    # The example of the documentation of sep.
    background = sep.Background(frame.data)
    theirs = sep.extract(frame.data - background.back(), 1.5, err=background.globalrms)
    assert len(ours) == len(theirs)
    np.testing.assert_allclose(ours.table["flux"].value, theirs["flux"], rtol=1e-4)
    other = PhotutilsDeblender().run(frame).frame.sources.table
    bright = ours.table[np.argsort(ours.table["flux"].value)[-30:]]
    distance = np.hypot(
        bright["x"][:, None] - np.asarray(other["x"]), bright["y"][:, None] - np.asarray(other["y"])
    )
    assert np.mean(distance.min(axis=1) < 1) > 0.9
