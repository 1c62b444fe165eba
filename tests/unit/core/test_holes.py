"""Holes: radii by S/N as in the paper, unions that do not depend on the order of a catalogue."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from astroclean.core.sources.holes import HoleRule, HoleSizes, measure_peaks, source_holes
from astroclean.errors import StageError
from astroclean.io.frames.instruments import load_instrument

SIZES = HoleSizes((4.0, 8.0, 13.0, 140.0, 300.0), (5, 6, 7, 9, 11, 12), 8.0, (10.0, 22.0))
PACS = load_instrument("herschel-pacs")
SCAN = {"TELESCOP": "Herschel", "INSTRUME": "PACS", "CUSMODE": "PacsPhoto"}
PARALLEL = {**SCAN, "CUSMODE": "SpirePacsParallel"}
# Paper, table 3: pixels; the pixels' sides in arcsec.
TABLE = [
    (SCAN, "BLUE", 1.6, (4, 8, 13, 140, 300), (5, 6, 7, 9, 11, 12), 8, (10, 22)),
    (SCAN, "GREEN", 1.6, (4, 8, 13, 140, 300), (5, 6, 8, 10, 11, 13), 8, (10, 22)),
    (SCAN, "RED", 3.2, (4, 8, 13, 140, 300), (4, 6, 7, 8, 9, 10), 8, (10, 22)),
    (PARALLEL, "BLUE", 3.2, (13, 20, 300, 590, 855), (4, 5, 6, 7, 8, 9), 4, (8, 18)),
    (PARALLEL, "GREEN", 3.2, (13, 20, 300, 590, 855), (4, 5, 7, 8, 9, 10), 4, (8, 18)),
    (PARALLEL, "RED", 3.2, (4, 8, 13, 140, 300), (4, 6, 7, 8, 9, 10), 8, (10, 22)),
]


def measure_snr(*told: Any) -> Any:
    return measure_peaks(*told).snr


def rule_of(header: dict[str, Any], band: str) -> HoleRule:
    told = PACS.options_for("pconv", {**header, "CAMERA": f"PHOT{band}"})
    return HoleRule(**{key: told[key] for key in HoleRule.model_fields if key in told})


@pytest.mark.parametrize(("header", "band", "scale", "limits", "radii", "source", "ring"), TABLE)
def test_pacs_has_the_six_radii_of_the_paper(
    header: Any, band: str, scale: float, limits: Any, radii: Any, source: float, ring: Any
) -> None:
    sizes = rule_of(header, band).in_pixels(pixel_scale=scale)
    np.testing.assert_allclose(sizes.radii, radii)
    np.testing.assert_allclose([sizes.source, *sizes.annulus], [source, *ring])
    assert sizes.limits == limits
    # Each class with both of its ends: the upper one belongs to the next.
    for low, high, radius in zip((0, *limits), (*limits, np.inf), radii, strict=True):
        ends = np.array([low, np.nextafter(high, 0) if high < np.inf else 1e9])
        np.testing.assert_allclose(sizes.radii_of(ends), radius)


def test_other_maps_of_the_same_instrument_have_holes_of_the_same_size_on_the_sky() -> None:
    rule = rule_of(PARALLEL, "GREEN")
    fine, coarse = rule.in_pixels(pixel_scale=1.0), rule.in_pixels(pixel_scale=3.0)
    np.testing.assert_allclose(fine.radii, 3 * np.array(coarse.radii))


def test_the_rule_for_other_instruments_is_the_mean_of_pacs_in_units_of_its_psf() -> None:
    told = []
    for band in ("BLUE", "GREEN", "RED"):
        header = {**SCAN, "CAMERA": f"PHOT{band}"}
        fwhm = float(PACS.rule("psf_fwhm", header).default or 0)
        rule = rule_of(SCAN, band)
        lengths = [*rule.hole_radii, rule.hole_source, *rule.hole_annulus]
        told.append(np.array(lengths) / fwhm)
    default = HoleRule()
    ours = [*default.hole_radii, default.hole_source, *default.hole_annulus]
    np.testing.assert_allclose(ours, np.mean(told, axis=0), atol=0.07)
    assert default.hole_limits == rule.hole_limits
    sizes = default.in_pixels(fwhm_pixels=4.0)
    assert sizes.radii == tuple(4 * radius for radius in default.hole_radii)


def test_a_rule_that_needs_what_is_not_known_says_so() -> None:
    with pytest.raises(StageError, match="the PSF of the frame is not known"):
        HoleRule().in_pixels(pixel_scale=1.0)
    with pytest.raises(StageError, match="pixel scale"):
        HoleRule(hole_unit="arcsec").in_pixels(fwhm_pixels=3.0)
    with pytest.raises(ValidationError, match="6 radii, got 2"):
        HoleRule(hole_radii=(1.0, 2.0))
    with pytest.raises(ValidationError, match="must rise"):
        HoleRule(hole_limits=(8.0, 4.0, 13.0, 140.0, 300.0))


def test_snr_is_equation_1() -> None:
    rng = np.random.default_rng(1)
    data = rng.normal(50, 2, (60, 60))
    data[28, 33] = 90.0  # within 8 pixels of (31, 30)
    y, x = np.mgrid[:60, :60]
    distance = np.hypot(y - 30, x - 31)
    ring = data[(distance >= 10) & (distance <= 22)]
    found = measure_snr(data, np.ones((60, 60), bool), np.array([[31.0, 30.0]]), SIZES)
    np.testing.assert_allclose(found, (90.0 - ring.mean()) / ring.std())


def test_pixels_that_are_not_usable_are_not_read() -> None:
    rng = np.random.default_rng(2)
    data = rng.normal(0, 1, (60, 60))
    usable = rng.random((60, 60)) > 0.2
    place = np.array([[30.0, 30.0]])
    spoiled = np.where(usable, data, np.nan)
    np.testing.assert_array_equal(
        measure_snr(data, usable, place, SIZES), measure_snr(spoiled, usable, place, SIZES)
    )
    # Where nothing is known the hole is the largest.
    nothing = source_holes(data, np.zeros((60, 60), bool), place, SIZES)
    assert np.isnan(nothing.snr).all()
    assert nothing.radii == [12]


def crowd(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """A field with bright and faint sources, some beyond the border."""
    rng = np.random.default_rng(seed)
    positions = rng.uniform(-5, 85, (count, 2))
    y, x = np.mgrid[:80, :80]
    data = rng.normal(10, 1, (80, 80))
    for place, flux in zip(positions, 10 ** rng.uniform(0.5, 3.5, count), strict=True):
        data += flux * np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / 5)
    return data, positions


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000), st.integers(1, 12), st.randoms(use_true_random=False))
def test_the_order_of_the_catalogue_does_not_matter(seed: int, count: int, chance: Any) -> None:
    data, positions = crowd(seed, count)
    usable = np.ones(data.shape, bool)
    order = list(range(count))
    chance.shuffle(order)
    one, other = (source_holes(data, usable, p, SIZES) for p in (positions, positions[order]))
    np.testing.assert_array_equal(one.holes, other.holes)
    np.testing.assert_array_equal(one.radii[order], other.radii)


def test_neighbours_do_not_count_as_background() -> None:
    data = np.random.default_rng(3).normal(0, 1, (80, 80))
    data[40, 40] += 50
    usable, alone = np.ones(data.shape, bool), np.array([[40.0, 40.0]])
    expected = measure_snr(data, usable, alone, SIZES)[0]
    data[40, 56] += 1000
    both = np.array([[40.0, 40.0], [56.0, 40.0]])
    assert measure_snr(data, usable, both, SIZES)[0] == pytest.approx(expected, rel=0.1)
    assert measure_snr(data, usable, alone, SIZES)[0] < 0.5 * expected
