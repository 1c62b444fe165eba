"""`saturation` with ``level = "clipped"``: the level at which stars are cut off, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from astroclean_classical.saturation.stage import Saturation, SaturationOptions
from astropy.io import fits

from astroclean.core.image.frame import Frame
from astroclean.errors import AstrocleanWarning, SuspectWarning
from astroclean.simulate.contaminants.saturation import fill_wells
from astroclean.testing.chunks import run_in_chunks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from astroclean.core.stage.results import StageResult

SHAPE = (200, 220)
WELL = 40000.0
# Rows, columns, and peaks as multiples of the well: six are cut off.
STARS = [
    *((40, 30, 4.0), (150, 50, 1.6), (90, 80, 9.0), (60, 140, 2.5), (160, 170, 6.0)),
    *((110, 190, 1.7), (20, 100, 0.8), (180, 110, 0.5), (120, 130, 0.3), (30, 200, 0.1)),
]


def sky_with_stars(wells: float | np.ndarray = np.inf) -> tuple[np.ndarray, np.ndarray]:
    """Return an image whose charge bled along columns, and which pixels are full."""
    y, x = np.indices(SHAPE)
    image = np.random.default_rng(3).normal(500, 12, SHAPE)
    for row, column, peak in STARS:
        image += peak * WELL * (1 + ((y - row) ** 2 + (x - column) ** 2) / 9) ** -3.0
    full = fill_wells(image, np.broadcast_to(wells, SHAPE))[0].astype(np.float32)
    return full, full >= np.float32(wells)


def run(image: np.ndarray, **options: object) -> StageResult:
    return Saturation(SaturationOptions(level="clipped", grow=0, **options)).run(
        Frame(image, unit="adu")
    )


@pytest.fixture(scope="module")
def clipped() -> tuple[np.ndarray, np.ndarray]:
    return sky_with_stars(WELL)


def test_the_level_is_that_at_which_several_stars_end(
    clipped: tuple[np.ndarray, np.ndarray],
) -> None:
    image, truth = clipped
    result = run(image, bleed_fraction=1, max_hole=0)
    assert result.metrics["saturation level"] == WELL
    assert result.metrics["clipped stars"] == 6
    assert np.array_equal(result.frame.where("SATURATED"), truth)


@pytest.mark.parametrize("scale", [2.0**-20, 1.7, 2.0**12])
@pytest.mark.parametrize("offset", [0.0, -500.0, -3000.0])
def test_unit_and_zero_point_do_not_matter(
    clipped: tuple[np.ndarray, np.ndarray], scale: float, offset: float
) -> None:
    image, truth = clipped
    found = run((image + offset) * scale, bleed_fraction=1, max_hole=0)
    assert np.array_equal(found.frame.where("SATURATED"), truth)


def test_hot_pixels_hits_and_the_limit_of_the_converter_lie_above_it(
    clipped: tuple[np.ndarray, np.ndarray],
) -> None:
    image, truth = clipped
    image = image.copy()
    image[5, 7] = 65535.0
    image[70, 10:18] = np.linspace(50000, 65535, 8)  # a hit
    image[100, 150:154] = 65535.0
    result = run(image)
    assert result.metrics["saturation level"] == WELL
    assert result.frame.where("SATURATED")[truth].all()


@pytest.mark.parametrize("vignetting", [0.0, 0.15])
def test_a_flat_field_smears_the_level(vignetting: float) -> None:
    rng = np.random.default_rng(4)
    y, x = np.indices(SHAPE)
    image, truth = sky_with_stars(WELL)
    light = 1 - vignetting * ((y - 100) ** 2 + (x - 110) ** 2) / 22100
    image = image / (light * rng.normal(1, 0.015, SHAPE))
    image[5, 7] = 65535.0
    result = run(image)
    found = result.frame.where("SATURATED")
    assert 0.85 * WELL < result.metrics["saturation level"] < WELL
    assert found[truth].mean() > 0.99
    assert (found & ~truth).sum() < 0.2 * truth.sum()


@pytest.mark.parametrize("axis", ["rows", "columns"])
def test_amplifiers_have_levels_of_their_own(axis: str) -> None:
    wells = np.full(SHAPE, WELL)
    wells[
        (slice(100, None), slice(None)) if axis == "rows" else (slice(None), slice(110, None))
    ] *= 0.8
    image, truth = sky_with_stars(wells)
    with pytest.warns(AstrocleanWarning, match=rf"different levels: 40000.*32000.*{axis[:-1]} 1"):
        result = run(image, bleed_fraction=1, max_hole=0)
    assert result.metrics["saturation level"] == pytest.approx(0.8 * WELL)
    assert np.array_equal(result.frame.where("SATURATED"), truth)


def test_what_differs_and_not_by_place_is_doubted() -> None:
    image = np.random.default_rng(1).normal(100, 5, SHAPE)
    for number, place in enumerate(np.ndindex(4, 4)):
        row, column = 10 + 50 * np.array(place)
        image[row : row + 6, column : column + 6] = 9000 if number % 5 else 6500
    with pytest.warns(SuspectWarning, match="4 of 16 stars with flat tops stay below it"):
        assert run(image).metrics["saturation level"] == 9000


@pytest.mark.parametrize("fwhm", [1.3, 3.0, 15.0])
def test_stars_that_are_not_cut_off_have_no_level(
    gaussian_stars: Callable[..., np.ndarray], star_grid: np.ndarray, fwhm: float
) -> None:
    rng = np.random.default_rng(7)
    image = rng.poisson(300 + 400 * gaussian_stars((200, 240), star_grid, fwhm=fwhm)).astype(float)
    image[50, 50] = 65535
    with pytest.warns(AstrocleanWarning, match="no level at which stars are cut off.*`level`"):
        result = run(image)
    assert np.isnan(result.metrics["saturation level"])
    assert not result.frame.flags.any()


def test_disks_that_are_no_stars() -> None:
    y, x = np.indices(SHAPE)
    image = np.random.default_rng(1).normal(100, 5, SHAPE)
    disk = np.hypot(y - 100, x - 110) < 12
    image[disk] = np.random.default_rng(2).normal(9000, 60, disk.sum())
    with pytest.warns(SuspectWarning, match="only one star has a flat top"):
        run(image)
    image += 30000 * np.exp(-((y - 30) ** 2 + (x - 30) ** 2) / 12)  # and one that rises higher
    with pytest.warns(AstrocleanWarning, match="no level"):
        result = run(image)
    assert not result.frame.flags.any()


def test_values_that_are_no_pixels_are_not_counted(clipped: tuple[np.ndarray, np.ndarray]) -> None:
    image = clipped[0].copy()
    flags = np.zeros(SHAPE, dtype=np.uint32)
    image[:, 210:], flags[:, 210:] = 1e30, 1 << 16
    image[:5], image[-1] = np.nan, np.inf
    frame = Frame(image, unit="adu", flags=flags)
    result = Saturation(SaturationOptions(level="clipped")).run(frame)
    assert result.metrics["saturation level"] == WELL


@pytest.mark.parametrize("rows", [7, 64, 199])
def test_chunks_give_the_same(rows: int) -> None:
    wells = np.full(SHAPE, WELL)
    wells[100:] *= 0.8
    frame = Frame(sky_with_stars(wells)[0], unit="adu")
    stage = Saturation(SaturationOptions(level="clipped"))
    with pytest.warns(AstrocleanWarning, match="different levels"):
        chunks = run_in_chunks(stage, frame, rows=rows)
    with pytest.warns(AstrocleanWarning, match="different levels"):
        whole = stage.run(frame)
    assert np.array_equal(chunks["flags"], whole.frame.flags)


@pytest.mark.parametrize(
    ("file", "version", "bits"),
    [
        ("hst_wfpc2_omegacen_pc1_wf3.fits.gz", 1, 8),
        ("hst_wfpc2_omegacen_pc1_wf3.fits.gz", 2, 8),
        ("decam_dq_cutouts_a.fits.gz", 2, None),
    ],
)
@pytest.mark.filterwarnings("ignore::astroclean.errors.SuspectWarning")
def test_real_levels_are_those_of_the_observatories(
    real_data: Callable[[str], Path], file: str, version: int, bits: int | None
) -> None:
    with fits.open(real_data(file)) as hdus:
        science = [hdu for hdu in hdus if hdu.name == "SCI"][version - 1]
        quality = hdus["DQ", science.ver].data
        image = science.data.astype(float)
    truth = quality == 3 if bits is None else (quality & bits) != 0
    found = run(image, bleed_fraction=1).frame.where("SATURATED")
    assert found[truth].mean() > 0.8
    # Observatories leave what is a little below; of DECam the trail has a code of its own.
    assert (found & ~truth).sum() < 0.5 * truth.sum()


def test_real_stars_that_are_cut_off_without_a_word_in_the_header(
    real_data: Callable[[str], Path],
) -> None:
    with fits.open(real_data("kpno09m_a671_r_1200s.fits.fz")) as hdus:
        image = hdus[1].data.astype(np.float32)
    result = run(image)
    assert 29000 < result.metrics["saturation level"] < 32000
    assert result.metrics["clipped stars"] > 30
    assert 0 < result.frame.where("SATURATED").mean() < 0.002
