"""Fluxes of sources on a sky that is known are those that were put there."""

from __future__ import annotations

from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astroclean_pconv.photometry import Apertures, Measured, Quality, encircled, photometry
from photutils.aperture import (
    ApertureStats,
    CircularAnnulus,
    CircularAperture,
    aperture_photometry,
)
from scipy.special import erf

from astroclean.core.image.frame import Frame
from astroclean.core.psf.psf import Psf
from astroclean.core.sources.holes import HoleRule, disks

SHAPE = (90, 110)
FWHM = 3.4
PSF = Psf.gaussian(fwhm_pixels=FWHM)
SIZES = HoleRule().in_pixels(fwhm_pixels=FWHM)
PLACES = np.array([[30.2, 30.4], [75.0, 40.0], [52.6, 66.1]])
FLUXES = np.array([100.0, 7.0, 2500.0])
SKY = 12.0


def point(x: float, y: float) -> np.ndarray:
    """A Gaussian of flux 1, integrated over pixels."""
    width = FWHM / 2.3548200450309493 * np.sqrt(2)
    profiles = [
        np.diff(erf((np.arange(side + 1) - 0.5 - place) / width)) / 2
        for side, place in zip(SHAPE, (y, x), strict=True)
    ]
    return np.outer(*profiles)


def frame_of(places: np.ndarray = PLACES, fluxes: np.ndarray = FLUXES, **more: Any) -> Frame:
    light = sum(flux * point(*place) for place, flux in zip(places, fluxes, strict=True))
    return Frame(SKY + light + np.zeros(SHAPE), unit=more.pop("unit", "Jy"), psf=PSF, **more)


def measured(
    frame: Frame, places: np.ndarray = PLACES, *, radius: float = 9.0, **more: Any
) -> Measured:
    radii = np.full(len(places), radius)
    holes = more.pop("holes", disks(SHAPE, places, radii))
    light = np.where(holes & ~frame.mask, frame.data.astype(np.float64) - SKY, 0.0)
    told = {"deviation": np.zeros(SHAPE), "sigma": 0.0, "psfs": PSF.images_at(places)} | more
    return Measured(places, np.full(len(places), 50.0), radii, light, holes=holes, **told)


def apertures(*radii: float) -> Apertures:
    parts = tuple(encircled(PSF, radius) for radius in radii)
    return Apertures(radii, parts, tuple(f"{radius:g}_pixel" for radius in radii))


@pytest.mark.parametrize("radius", [3.0, 5.0, 9.0])
def test_the_flux_of_the_whole_source_comes_from_any_hole(radius: float) -> None:
    frame = frame_of()
    table = photometry(frame, measured(frame, radius=radius), SIZES, apertures(4.0))
    np.testing.assert_allclose(table["flux"].value, FLUXES, rtol=1e-3)


def test_apertures_are_those_of_photutils_and_give_the_flux_after_correction() -> None:
    frame, radii = frame_of(), (3.0, 6.0)
    found = measured(frame)
    table = photometry(frame, found, SIZES, apertures(*radii))
    data = frame.data.astype(np.float64)
    sky = ApertureStats(data, CircularAnnulus(PLACES, *SIZES.annulus)).mean
    for radius in radii:
        circle = CircularAperture(PLACES, radius)
        part = encircled(PSF, radius)
        # Of a round Gaussian; pixels widen it, and so does the sum over parts of pixels.
        width = np.sqrt((FWHM / 2.3548200450309493) ** 2 + 2 / 12)
        assert part == pytest.approx(1 - np.exp(-(radius**2) / (2 * width**2)), abs=4e-3)
        alone = aperture_photometry(found.light, circle)["aperture_sum"] / part
        np.testing.assert_allclose(table[f"aperture_{radius:g}_pixel"].value, alone, rtol=1e-9)
        np.testing.assert_allclose(alone, FLUXES, rtol=5e-3)
        whole = aperture_photometry(data, circle)["aperture_sum"] - sky * circle.area
        wanted = np.asarray(whole) / part
        np.testing.assert_allclose(table[f"annulus_{radius:g}_pixel"].value, wanted, rtol=1e-6)
        np.testing.assert_allclose(wanted, FLUXES, rtol=1e-2)


def test_rejected_pixels_are_in_no_aperture_and_in_no_annulus() -> None:
    bad = np.zeros(SHAPE, dtype=bool)
    bad[30, 38] = bad[55, 80] = bad[30, 31] = True
    tables = []
    for rubbish in (-1e6, 1e9):
        frame = frame_of().add_planes(bad, "CR")
        frame = frame.replace(data=np.where(bad, np.float32(rubbish), frame.data))
        tables.append(photometry(frame, measured(frame), SIZES, apertures(4.0)))
    for name in tables[0].colnames:
        np.testing.assert_array_equal(tables[0][name], tables[1][name])
    assert tables[0]["quality"][0] & Quality.BAD_PIXELS
    assert not tables[0]["quality"][2] & Quality.BAD_PIXELS
    # Two apertures whole, one without its brightest pixel.
    found = np.asarray(tables[0]["annulus_4_pixel"].value)
    np.testing.assert_allclose(found[1:], FLUXES[1:], rtol=1e-2)
    assert found[0] < 0.97 * FLUXES[0]


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("mJy / pix", u.mJy),
        ("electron", u.electron),
        ("", u.dimensionless_unscaled),
    ],
)
def test_fluxes_are_in_the_unit_of_a_pixel_times_pixels(unit: Any, expected: Any) -> None:
    frame = frame_of(unit=unit)
    table = photometry(frame, measured(frame), SIZES, apertures(4.0))
    for name in ("flux", "flux_err", "aperture_4_pixel", "annulus_4_pixel"):
        assert table[name].unit == expected
    assert all(table[name].info.description for name in table.colnames)


def test_errors_of_fillings_go_together_and_noise_does_not() -> None:
    frame = frame_of()
    deep = measured(frame, deviation=np.full(SHAPE, 0.2), sigma=0.0)
    noisy = measured(frame, sigma=0.2)
    pixels = disks(SHAPE, PLACES[:1], np.array([9.0])).sum()
    one, other = (photometry(frame, m, SIZES, apertures(4.0)) for m in (deep, noisy))
    assert one["flux_err"].value[0] == pytest.approx(0.2 * pixels, rel=0.01)
    assert other["flux_err"].value[0] == pytest.approx(0.2 * np.sqrt(pixels), rel=0.01)


def test_the_noise_of_a_sum_is_that_of_many_realizations() -> None:
    rng, frame = np.random.default_rng(3), frame_of()
    fluxes = []
    for _ in range(60):
        noisy = frame.replace(data=frame.data + rng.normal(0, 0.5, SHAPE).astype(np.float32))
        table = photometry(noisy, measured(noisy, sigma=0.5), SIZES, apertures(4.0))
        fluxes.append(table["flux"].value)
    errors = table["flux_err"].value
    np.testing.assert_allclose(np.std(fluxes, axis=0), errors, rtol=0.4)
    np.testing.assert_allclose(np.mean(fluxes, axis=0), FLUXES, atol=4 * errors.max() / 60**0.5)


def test_quality_says_what_is_to_be_known() -> None:
    places = np.array([[30.0, 30.0], [44.0, 31.0], [80.0, 2.0], [-40.0, 20.0], [80.0, 60.0]])
    fluxes = np.array([10.0, 10, 10, 0, -5])
    frame = frame_of(places, fluxes)
    table = photometry(frame, measured(frame, places), SIZES, apertures(4.0))
    expected = [
        Quality.CROWDED,
        Quality.CROWDED,
        Quality.AT_BORDER,
        Quality.NOT_FILLED | Quality.AT_BORDER | Quality.NEGATIVE,
        Quality.NEGATIVE,
    ]
    assert table["quality"].tolist() == [int(bits) for bits in expected]
    # Half of a source is in the frame; the PSF tells the rest.
    assert table["flux"].value[2] == pytest.approx(10, rel=2e-3)
    empty = measured(frame, places, holes=np.zeros(SHAPE, dtype=bool))
    assert (photometry(frame, empty, SIZES, apertures(4.0))["quality"] & 1).all()


def test_no_sources_give_all_columns() -> None:
    frame, none = frame_of(), PLACES[:0]
    table = photometry(frame, measured(frame, none), SIZES, apertures(4.0, 6.0))
    whole = photometry(frame, measured(frame), SIZES, apertures(4.0, 6.0))
    assert len(table) == 0
    assert table.colnames == whole.colnames
    assert [table[n].unit for n in ("flux", "annulus_6_pixel")] == [u.Jy, u.Jy]


def test_fluxes_of_a_fit_are_taken_as_they_are() -> None:
    frame = frame_of()
    fitted = measured(frame, flux=np.array([1.0, 2.0, -3.0]), flux_error=np.array([0.1, 0.2, 0.3]))
    table = photometry(frame, fitted, SIZES, apertures(4.0))
    assert table["flux"].value.tolist() == [1, 2, -3]
    assert table["flux_err"].value.tolist() == [0.1, 0.2, 0.3]
    assert table["quality"].tolist() == [0, 0, int(Quality.NEGATIVE)]


def test_without_a_psf_the_sum_is_of_the_hole_alone() -> None:
    frame = frame_of()
    table = photometry(frame, measured(frame, psfs=None, radius=9.0), SIZES, apertures(4.0))
    np.testing.assert_allclose(table["flux"].value, FLUXES, rtol=1e-3)


def test_light_within_a_radius_grows_to_all_of_it() -> None:
    parts = [encircled(PSF, radius) for radius in (0.5, 1, 2, 4, 8, 100)]
    assert parts == sorted(parts)
    assert parts[-1] == pytest.approx(1, abs=1e-9)
    assert 0 < parts[0] < 0.1


@pytest.mark.parametrize("rows", [7, 31, 64])
def test_a_large_map_is_measured_band_by_band_as_in_one(
    monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    places = np.concatenate([PLACES, [[20.0, 0.3], [60.0, 88.9], [95.0, 62.9], [9.0, -3.0]]])
    frame = frame_of(places, np.full(len(places), 50.0))
    whole = photometry(frame, measured(frame, places), SIZES, apertures(3.0, 6.0))
    monkeypatch.setattr("astroclean_pconv.photometry._BAND", rows)
    parts = photometry(frame, measured(frame, places), SIZES, apertures(3.0, 6.0))
    for name in whole.colnames:
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-9, atol=1e-9)
