"""`sep` and `photutils`: noise has no sources, thresholds are SExtractor's, nothing gets lost."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astroclean_classical.sources.detection_noise import detection_noise
from astroclean_classical.sources.photutils_sources import PhotutilsDeblender, PhotutilsOptions
from astroclean_classical.sources.sep_sources import SepDeblender, SepOptions
from astropy.io import fits
from astropy.nddata import InverseVariance, StdDevUncertainty, VarianceUncertainty
from scipy.ndimage import gaussian_filter

from astroclean.core.image.frame import Frame
from astroclean.errors import SuspectWarning

if TYPE_CHECKING:
    from collections.abc import Callable

    from astropy.table import QTable

    from astroclean.core.stage.options import StageOptions
    from astroclean.core.stage.stage import Stage

MEGAPIXEL = (1000, 1000)
SIGMA = 5.0

both = pytest.mark.parametrize(
    ("stage", "options"),
    [(SepDeblender, SepOptions), (PhotutilsDeblender, PhotutilsOptions)],
    ids=["sep", "photutils"],
)


def generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def gaussian(seed: int) -> Frame:
    return Frame(generator(seed).normal(100, SIGMA, MEGAPIXEL), unit="adu")


def gaussian_with_err(seed: int) -> Frame:
    error = StdDevUncertainty(np.full(MEGAPIXEL, SIGMA, dtype=np.float32))
    return gaussian(seed).replace(uncertainty=error)


def poisson(seed: int) -> Frame:
    return Frame(generator(seed).poisson(30, MEGAPIXEL), unit="electron")


def poisson_with_variance(seed: int) -> Frame:
    # As pipelines make it: from the counts themselves, so low pixels claim low noise.
    counts = generator(seed).poisson(30, MEGAPIXEL).astype(np.float32)
    return Frame(counts, unit="electron", uncertainty=VarianceUncertainty(counts + 1))


def slope() -> np.ndarray:
    return np.add.outer(np.linspace(0, 400, MEGAPIXEL[0]), np.linspace(100, 900, MEGAPIXEL[1]))


def gradient(seed: int) -> Frame:
    return Frame(generator(seed).normal(slope(), np.sqrt(slope())), unit="electron")


def gradient_with_weight(seed: int) -> Frame:
    weight = InverseVariance((1 / slope()).astype(np.float32))
    return gradient(seed).replace(uncertainty=weight)


def vignetted(seed: int) -> Frame:
    y, x = np.indices(MEGAPIXEL) / 500 - 1
    sky = 1000 * (1 - 0.15 * (x**2 + y**2))
    return Frame(generator(seed).normal(sky, np.sqrt(sky)), unit="electron")


def two_depths(seed: int) -> Frame:
    sigma = np.where(np.arange(MEGAPIXEL[1]) < 500, SIGMA, 3 * SIGMA) * np.ones((MEGAPIXEL[0], 1))
    error = StdDevUncertainty(sigma.astype(np.float32))
    return Frame(generator(seed).normal(100, sigma), unit="adu", uncertainty=error)


def filled(seed: int) -> Frame:
    """Every seventh pixel was filled by a stage, and has no uncertainty."""
    frame = gaussian_with_err(seed)
    error = frame.uncertainty.array.copy()
    error[::7, ::3] = np.nan
    return frame.replace(uncertainty=StdDevUncertainty(error))


@both
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    "noise",
    [
        gaussian,
        gaussian_with_err,
        poisson,
        poisson_with_variance,
        gradient,
        gradient_with_weight,
        vignetted,
        two_depths,
        filled,
    ],
)
def test_a_million_pixels_of_noise_have_no_sources(
    stage: type[Stage],
    options: type[StageOptions],
    noise: Callable[[int], Frame],
    seed: int,
) -> None:
    assert len(stage(options()).run(noise(seed)).frame.sources) <= 5


@both
@pytest.mark.parametrize("factor", [0.1, 0.4])
def test_noise_stated_too_small_finds_no_noise_and_is_said(
    stage: type[Stage], options: type[StageOptions], factor: float
) -> None:
    error = StdDevUncertainty(np.full(MEGAPIXEL, factor * SIGMA, dtype=np.float32))
    frame = gaussian(3).replace(uncertainty=error)
    with pytest.warns(SuspectWarning, match="not its noise") as told:
        assert len(stage(options()).run(frame).frame.sources) <= 5
    assert len(told) == 1
    ratio = float(re.search(r"a factor of ([\d.]+)\.", str(told[0].message)).group(1))
    assert ratio == pytest.approx(1 / factor, rel=0.03)


@both
def test_crowding_is_not_taken_for_noise(
    stage: type[Stage],
    options: type[StageOptions],
    gaussian_stars: Callable[..., np.ndarray],
) -> None:
    random = generator(5)
    stars = np.column_stack([*random.uniform(0, 150, (2, 600)), random.uniform(500, 5000, 600)])
    image = gaussian_stars((150, 150), stars, fwhm=4) + random.normal(0, SIGMA, (150, 150))
    error = StdDevUncertainty(np.full((150, 150), SIGMA, dtype=np.float32))
    result = stage(options()).run(Frame(image, unit="adu", uncertainty=error))
    assert result.metrics["background rms"] > 3 * SIGMA
    assert len(result.frame.sources) > 100


@both
@pytest.mark.parametrize("width", [0.5, 0.8])
def test_noise_that_a_resampling_smoothed_is_not_said_to_be_less(
    stage: type[Stage], options: type[StageOptions], width: float
) -> None:
    image = gaussian_filter(generator(6).normal(0, 1, (300, 300)), width)
    image /= image.std()
    error = StdDevUncertainty(np.ones((300, 300), dtype=np.float32))
    stage(options()).run(Frame(image, unit="adu", uncertainty=error))  # warnings are errors


@both
def test_noise_stated_too_large_is_said(stage: type[Stage], options: type[StageOptions]) -> None:
    error = StdDevUncertainty(np.full((300, 300), 4 * SIGMA, dtype=np.float32))
    frame = Frame(generator(3).normal(0, SIGMA, (300, 300)), unit="adu", uncertainty=error)
    with pytest.warns(SuspectWarning, match="median 20 stated, 5.* measured, a factor of"):
        stage(options()).run(frame)


def test_noise_that_the_user_insists_on_counts_and_is_said() -> None:
    error = StdDevUncertainty(np.full((300, 300), 0.1 * SIGMA, dtype=np.float32))
    frame = Frame(generator(3).normal(100, SIGMA, (300, 300)), unit="adu", uncertainty=error)
    with pytest.warns(SuspectWarning, match="uncertainty counts"):
        found = SepDeblender(SepOptions(noise="uncertainty")).run(frame).frame.sources
    assert len(found) > 100


def test_unknown_noise_is_the_scatter_and_weightless_pixels_are_not_read() -> None:
    error = np.full((20, 20), 2.0, dtype=np.float32)
    error[3, 4], error[5, 6], error[7, 8] = np.nan, np.inf, 0
    frame = Frame(np.ones((20, 20)), unit="adu", uncertainty=StdDevUncertainty(error))
    bad = np.zeros((20, 20), dtype=bool)
    bad[0] = True
    noise, unread = detection_noise(frame, np.full((20, 20), 3.0, np.float32), bad, stage="s")
    assert noise[3, 4] == 3
    assert noise[10, 10] == 2
    assert not unread[3, 4]
    assert unread[5, 6]
    assert unread[7, 8]
    assert unread[0].all()
    assert unread.sum() == 22


def scene(seed: int, fwhm: float) -> tuple[np.ndarray, np.ndarray]:
    """Return noise with stars of 3 to 20 sigma in the best filter, and rows of (x, y, sigma)."""
    random = generator(seed)
    image = random.normal(100, SIGMA, MEGAPIXEL)
    columns, rows = np.meshgrid(np.arange(30, 980, 48), np.arange(30, 980, 48))
    places = np.column_stack([columns.ravel(), rows.ravel()])
    strengths = np.repeat([3, 4, 5, 6, 7, 8, 10, 12, 15, 20], 40)
    y, x = np.mgrid[-12:13, -12:13]
    stars = []
    for (column, row), strength in zip(places, strengths, strict=True):
        dx, dy = random.uniform(-0.5, 0.5, 2)
        star = np.exp(-((x - dx) ** 2 + (y - dy) ** 2) * 4 * np.log(2) / fwhm**2)
        star *= strength * SIGMA / np.sqrt((star**2).sum())
        image[row - 12 : row + 13, column - 12 : column + 13] += star
        stars.append((column + dx, row + dy, strength))
    return image.astype(np.float32), np.array(stars)


def found_of(table: QTable, stars: np.ndarray) -> np.ndarray:
    dx = np.asarray(table["x"])[:, None] - stars[:, 0]
    dy = np.asarray(table["y"])[:, None] - stars[:, 1]
    return np.hypot(dx, dy).min(axis=0) < 2


@both
@pytest.mark.parametrize("fwhm", [2.0, 3.0, 5.0])
def test_real_stars_are_found(stage: type[Stage], options: type[StageOptions], fwhm: float) -> None:
    image, stars = scene(0, fwhm)
    table = stage(options()).run(Frame(image, unit="adu")).frame.sources.table
    hit = found_of(table, stars)
    assert hit[stars[:, 2] >= 12].all()
    assert hit[stars[:, 2] == 10].mean() > 0.95
    assert len(table) <= hit.sum() + 5


@pytest.mark.parametrize("fwhm", [2.0, 3.0, 5.0])
def test_the_same_stars_as_sourceextractor(tmp_path: Path, fwhm: float) -> None:
    program = shutil.which("source-extractor") or shutil.which("sex")
    shared = Path("/usr/share/source-extractor")
    if program is None or not (shared / "default.conv").is_file():
        pytest.skip("SourceExtractor is not installed (benchmarks/apt.txt)")
    image, stars = scene(1, fwhm)
    fits.writeto(tmp_path / "image.fits", image)
    (tmp_path / "columns.param").write_text("X_IMAGE\nY_IMAGE\n")
    arguments = {
        "-c": shared / "default.sex",
        "-FILTER_NAME": shared / "default.conv",
        "-PARAMETERS_NAME": "columns.param",
        "-CATALOG_NAME": "out.fits",
        "-CATALOG_TYPE": "FITS_1.0",
        "-VERBOSE_TYPE": "QUIET",
        "-DETECT_THRESH": 1.5,
        "-DETECT_MINAREA": 5,
    }
    words = [str(word) for pair in arguments.items() for word in pair]
    subprocess.run([program, "image.fits", *words], cwd=tmp_path, check=True)
    theirs = fits.getdata(tmp_path / "out.fits", 1)
    theirs = {"x": theirs["X_IMAGE"] - 1, "y": theirs["Y_IMAGE"] - 1}
    frame = Frame(image, unit="adu")
    for noise, most in (("global", 4), ("auto", 8)):  # of 400; auto has a noise for each place
        ours = SepDeblender(SepOptions(noise=noise)).run(frame).frame.sources.table
        assert np.count_nonzero(found_of(ours, stars) != found_of(theirs, stars)) <= most


def with_stars(gaussian_stars: Callable[..., np.ndarray]) -> np.ndarray:
    stars = np.array([[30.2, 30.1, 2e4], [90.4, 40.3, 3e4], [60.0, 90.2, 1e4]])
    return gaussian_stars((128, 128), stars, fwhm=3) + generator(3).normal(100, SIGMA, (128, 128))


@both
@pytest.mark.parametrize("value", [1e10, 1e30, 3e38, -1e30, -3e38, np.inf, -np.inf, np.nan, 65535])
@pytest.mark.parametrize("where", ["pixel", "block", "column", "both signs"])
def test_damaged_values_do_not_lose_the_stars(
    stage: type[Stage],
    options: type[StageOptions],
    gaussian_stars: Callable[..., np.ndarray],
    value: float,
    where: str,
) -> None:
    image = with_stars(gaussian_stars)
    if where == "pixel":
        image[60, 10] = value
    elif where == "block":
        image[55:65, 8:12] = value
    elif where == "column":
        image[:, 10] = value
    else:
        image[55:65, 8:12], image[55:65, 12:16] = value, -value
    with np.errstate(all="ignore"):
        table = stage(options()).run(Frame(image, unit="adu")).frame.sources.table
    assert np.isfinite(np.asarray(table["x"])).all()
    assert np.isfinite(np.asarray(table["y"])).all()
    places = np.array([[30.2, 30.1], [90.4, 40.3], [60.0, 90.2]])
    # A value that fills boxes of the background with itself hides what lies in them.
    assert found_of(table, places)[1:].all()


def test_a_source_without_an_ellipse_keeps_its_row(
    gaussian_stars: Callable[..., np.ndarray],
) -> None:
    image = with_stars(gaussian_stars)
    image[55:65, 8:12] = 3e38  # second moments are beyond float32
    with np.errstate(all="ignore"):
        table = SepDeblender().run(Frame(image, unit="adu")).frame.sources.table
    row = table[np.argmin(np.hypot(np.asarray(table["x"]) - 9.5, np.asarray(table["y"]) - 59.5))]
    assert np.isnan([row[name].value for name in ("a", "b", "theta", "fwhm", "flux_auto")]).all()
    assert np.isnan(row["kron_radius"])
    assert row["flag"] != 0
    assert row["npix"] >= 40
    others = table[table["id"] != row["id"]]
    assert len(others) >= 2
    assert np.isfinite(others["a"].value).all()


@both
@pytest.mark.parametrize("value", [-3e38, -1.0, 0.0, 1e10, 3e38])
def test_constant_frames_are_no_fault(
    stage: type[Stage], options: type[StageOptions], value: float
) -> None:
    result = stage(options()).run(Frame(np.full((96, 80), value), unit="adu"))
    assert len(result.frame.sources) == 0
