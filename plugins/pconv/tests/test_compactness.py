"""Galaxies, knots and bumps of noise are left and told of; compact sources go."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astroclean_pconv.compactness import compactness
from astropy.table import QTable
from maps_of_sources import FWHM, PSF, listed
from scipy.ndimage import gaussian_filter, maximum_filter

from astroclean.core.image.frame import Frame
from astroclean.core.psf.psf import Psf
from astroclean.core.sources.sources import Sources
from astroclean.errors import AstrocleanWarning
from astroclean.registry.load import load_stage
from astroclean.simulate.fields import render_stars

if TYPE_CHECKING:
    from astroclean.core.stage.results import StageResult

SHAPE = (200, 220)
NOISE = 0.1
Y, X = np.indices(SHAPE, dtype=float)
STARS = np.array(
    [[40.2, 40.4, 60.0], [160.0, 36.2, 25.0], [90.6, 28.0, 250.0], [30.0, 160.0, 90.0]]
)
FAINT = np.array([[190.2, 100.4, 1.0], [60.0, 130.0, 1.2]])
DISKS = {"small": (110.0, 90.0, 3.5), "large": (150.0, 150.0, 11.0)}


def sky(*, knots: bool = False) -> np.ndarray:
    """Emission with two galaxies; with knots on the larger one."""
    image = 10 + np.sin(X / 37.0) * np.cos(Y / 41.0)
    for x, y, scale in DISKS.values():
        image += 8 * np.exp(-np.hypot(0.8 * (X - x), Y - y) / scale)
    if knots:
        for dx, dy in ((6, 2), (-5, -4), (3, -8)):
            image += 1.5 * np.exp(-((X - 150 - dx) ** 2 + (Y - 150 - dy) ** 2) / 2 / 2.2**2)
    return image


def frame(rows: np.ndarray, *, found: bool = True, psf: Any = PSF.psf, **told: bool) -> Frame:
    stars = np.concatenate([STARS, FAINT])
    image = sky(**told) + render_stars(stars, PSF, SHAPE)
    image += NOISE * np.random.default_rng(1).standard_normal(SHAPE)
    sources = listed(rows)
    if found:
        labels = np.zeros(SHAPE, dtype=np.int32)
        sources = Sources(QTable(sources.table), segmentation=labels)
    return Frame(
        image.astype(np.float32), unit="Jy / pix", psf=psf, sources=sources, frame_id="map"
    )


GALAXIES = np.array([place[:2] for place in DISKS.values()])
KNOTS = np.array([[156.0, 152.0], [145.0, 146.0], [153.0, 142.0]])
ALL = np.concatenate([STARS[:, :2], GALAXIES, FAINT[:, :2]])


def run(one: Frame, **options: Any) -> tuple[StageResult, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = load_stage("pconv", noise="none", **options).run(one)
    return result, [str(w.message) for w in caught if issubclass(w.category, AstrocleanWarning)]


@pytest.mark.parametrize("mode", ["inpaint", "separate"])
def test_galaxies_stay_to_the_bit_and_stars_go(mode: str) -> None:
    before = frame(ALL)
    result, told = run(before, mode=mode)
    table = result.frame.sources.table
    assert table["left"].tolist() == [""] * 4 + ["resolved"] * 2 + ["faint"] * 2
    assert result.metrics["sources left: resolved"] == 2
    assert result.metrics["sources left: faint"] == 2
    assert result.metrics["sources removed"] == 4
    for x, y, scale in DISKS.values():
        near = np.hypot(X - x, Y - y) < 2 * scale
        changed = result.frame.where("INPAINTED") & near
        assert not changed.any()
    off = result.frame.data - sky()
    for x, y, _ in STARS:
        assert np.abs(off[np.hypot(X - x, Y - y) < 4]).max() < 1
    flux = np.asarray(table["flux"].value)
    np.testing.assert_allclose(flux[:4], STARS[:, 2], rtol=0.1)
    assert np.isnan(flux[4:]).all()
    assert (np.asarray(table["quality"])[4:] == 1).all()
    np.testing.assert_array_equal(table["x"], ALL[:, 0])
    (message,) = told
    assert re.search("map, stage 'pconv': of 8 sources 2 are left .* resolved", message)
    assert "2 because they are below S/N 5" in message


def test_knots_of_a_galaxy_stay() -> None:
    result, _ = run(frame(np.concatenate([STARS[:, :2], KNOTS]), knots=True))
    assert result.frame.sources.table["left"].tolist()[:4] == [""] * 4
    assert all(result.frame.sources.table["left"].tolist()[4:])


def test_a_catalogue_is_respected_and_told_of() -> None:
    result, told = run(frame(ALL, found=False))
    assert "left" not in result.frame.sources.table.colnames
    assert result.metrics["sources removed"] == len(ALL)
    (message,) = told
    assert re.search("of the 8 brightest sources of the catalogue [12] are more than 1.5", message)
    assert "leave" in message
    result, told = run(frame(ALL, found=False), leave="all")
    assert result.metrics["sources removed"] == 4
    result, told = run(frame(ALL), leave="none")
    assert result.metrics["sources removed"] == len(ALL)
    assert not told


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"max_size": 100.0, "min_contrast": 0.0}, ["", "", "faint", "faint"]),
        ({"min_snr": 1e-6, "max_size": 100.0, "min_contrast": 0.0}, [""] * 3),
    ],
)
def test_limits_can_be_lifted(options: dict[str, Any], left: list[str]) -> None:
    result, _ = run(frame(ALL), **options)
    assert result.frame.sources.table["left"].tolist()[4 : 4 + len(left)] == left


def test_without_any_width_all_go_and_that_is_said() -> None:
    sizes = {"hole_unit": "pixel", "hole_limits": (), "hole_radii": (7.0,)}
    sizes |= {"hole_source": 7.0, "hole_annulus": (9.0, 18.0)}
    result, told = run(frame(ALL, psf=None), **sizes)
    assert result.metrics["sources removed"] == len(ALL)
    assert "neither PSF nor FWHM" in told[0]
    assert "[psf]" in told[0]


def test_a_psf_too_narrow_for_all_is_told() -> None:
    rows = np.array([(x, y, 80.0) for x in range(30, 200, 40) for y in range(30, 190, 40)])
    image = 10 + render_stars(rows, PSF, SHAPE)
    image += NOISE * np.random.default_rng(1).standard_normal(SHAPE)
    labels = np.zeros(SHAPE, dtype=np.int32)
    sources = Sources(listed(rows).table, segmentation=labels)
    narrow = Psf.gaussian(fwhm_pixels=0.4 * FWHM)
    one = Frame(image.astype(np.float32), unit="Jy", psf=narrow, sources=sources, frame_id="map")
    _, told = run(one)
    assert any("times as wide as the PSF" in message for message in told)
    _, told = run(one.replace(psf=PSF.psf), limits={"changed": 1})
    assert not told


@pytest.mark.parametrize("grain", [0.0, 1.2, 2.5])
def test_bumps_of_correlated_noise_are_no_sources(grain: float) -> None:
    """Resampled and smoothed maps have bumps as wide as the PSF; a star among them is one."""
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(260, 260))
    if grain:
        noise = gaussian_filter(noise, grain)
    noise /= noise.std()
    y, x = np.indices(noise.shape)
    fwhm = 6.0
    star = np.exp(-((x - 130) ** 2 + (y - 130) ** 2) / (2 * (fwhm / 2.3548) ** 2))
    image = noise + 40 * star
    peaks = np.argwhere((maximum_filter(image, 9) == image) & (image > 1.5))[:, ::-1].astype(float)
    assert len(peaks) > 20
    psf = Psf.gaussian(fwhm_pixels=fwhm)
    found = compactness(image, np.isfinite(image), peaks, psf.images_at(peaks), fwhm)
    bright = found.snr > 5
    own = np.hypot(*(peaks - 130).T) < 3
    assert bright[own].all()
    assert np.count_nonzero(bright & ~own) <= 1
