"""Columns of the catalogue against analytic truths, drawn noise and the same numbers by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
import pytest
from astroclean_pais.catalogue import COLUMNS, Found, catalogue_of
from astroclean_pais.fit import joint_fit
from astroclean_pais.fit_flags import FitFlag
from astroclean_pais.light import model_image
from astroclean_pais.segmentation import segmentation_of
from astroclean_pais.shapes import ellipses, half_light_radius, moments, place_errors
from astroclean_pais.shapes import place_information as information_of
from scipy.optimize import least_squares

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.sources.blendedness import blendedness
from astroclean.core.sources.columns import COLUMNS as KNOWN
from astroclean.core.sources.sources import Sources, SourceStamp
from astroclean.errors import StageError

if TYPE_CHECKING:
    from astropy.table import QTable

SHAPE = (60, 60)
PLACES = [(20.3, 20.1), (23.2, 21.0), (45.0, 40.4)]
FLUX = np.array([900.0, 400.0, 250.0])


def found(places: Any = PLACES, **changes: Any) -> Found:
    x, y = np.array(places, dtype=float).reshape(-1, 2).T
    told = np.linspace(0, 1, x.size)
    return replace(Found(x, y, told, 1 - told, told / 2), **changes)


def scaled(profiles: list[SourceStamp], flux: Any) -> list[SourceStamp]:
    return [
        replace(p, data=(f * p.data).astype(np.float32))
        for p, f in zip(profiles, flux, strict=True)
    ]


def catalogue(profiles: list[SourceStamp], frame: Frame, **changes: Any) -> tuple[QTable, Any]:
    places = PLACES[: len(profiles)]
    fit = joint_fit(profiles, frame.data, np.ones(SHAPE), frame.usable)
    models = scaled(profiles, fit.flux)
    labels = segmentation_of(models, np.ones(SHAPE), frame.usable)
    return catalogue_of(found(places, **changes), models, fit, frame, labels), labels


@pytest.fixture
def profiles(profile: Any) -> list[SourceStamp]:
    return [profile(i, x, y) for i, (x, y) in enumerate(PLACES, start=5)]


def noisy_frame(profiles: list[SourceStamp], **fields: Any) -> Frame:
    noise = np.random.default_rng(1).normal(0, 1, SHAPE)
    return Frame(model_image(profiles, FLUX, SHAPE) + noise, **{"unit": "electron", **fields})


def test_all_columns_have_type_unit_description_and_ucd(profiles: list[SourceStamp]) -> None:
    table, labels = catalogue(profiles, noisy_frame(profiles))
    assert table.colnames == list(COLUMNS)
    for name in COLUMNS:
        assert np.asarray(table[name]).dtype == np.dtype(KNOWN[name].type)
        assert len(table[name].info.description) >= len(KNOWN[name].meaning) > 0
        assert table[name].info.meta["ucd"] == KNOWN[name].ucd
    assert table["flux"].unit == table["flux_err"].unit == u.electron
    assert table["flux_covariance"].unit == u.electron**2
    assert table["x2"].unit == u.pix**2
    assert np.isnan(table["half_light_radius_intrinsic"]).all()
    for number, pixels in zip(table["id"], table["npix"], strict=True):
        assert pixels == np.count_nonzero(labels == number) > 0
    Sources(table, segmentation=labels)  # is a catalogue


def test_fluxes_are_those_of_the_fit_in_the_unit_of_sums(profiles: list[SourceStamp]) -> None:
    frame = noisy_frame(profiles, unit="MJy / sr", meta={"PIXAR_SR": 1e-12})
    fit = joint_fit(profiles, frame.data, np.ones(SHAPE), frame.usable)
    table, _ = catalogue(profiles, frame)
    assert table["flux"].unit == u.Jy
    np.testing.assert_allclose(table["flux"].value, fit.flux * 1e-6)
    np.testing.assert_allclose(table["flux_err"].value, fit.flux_err * 1e-6)
    np.testing.assert_allclose(table["flux_covariance"].to_value("Jy2"), fit.covariance * 1e-12)
    assert table["flux_covariance_id"].tolist() == [6, 5, 0]
    np.testing.assert_allclose(table["snr"], fit.flux / fit.flux_err)
    assert (np.abs(fit.flux - FLUX) < 5 * fit.flux_err).all()


def test_shapes_are_those_of_the_gaussian(profile: Any) -> None:
    """Half of the light of a round Gaussian lies within 1.1774 sigma; FWHM is twice that."""
    for sigma in (0.9, 1.5, 3.0):
        one = profile(1, 30.3, 29.6, sigma=sigma, half=16)
        x, y, x2, y2, xy = moments(one.data)
        assert (x + one.origin[1], y + one.origin[0]) == pytest.approx((30.3, 29.6), abs=1e-3)
        assert (x2, y2, xy) == pytest.approx((sigma**2, sigma**2, 0), abs=2e-3)
        assert ellipses(x2, y2, xy)["fwhm"] == pytest.approx(2.3548 * sigma, rel=1e-3)
        radius = half_light_radius(one.data, (x, y), 1.0)
        assert radius == pytest.approx(1.17741 * sigma, rel=0.02)
        assert half_light_radius(-7 * one.data, (x, y), -7.0) == pytest.approx(radius)
    assert np.isnan(half_light_radius(one.data, (x, y), 3.0))  # the box does not hold half


def test_an_ellipse_has_its_axes_and_angle() -> None:
    yy, xx = np.mgrid[-25:26, -25:26].astype(float)
    angle = np.deg2rad(-35.0)
    along, across = (
        xx * np.cos(angle) + yy * np.sin(angle),
        yy * np.cos(angle) - xx * np.sin(angle),
    )
    image = np.exp(-(along**2) / (2 * 4.0**2) - across**2 / (2 * 2.0**2))
    shape = ellipses(*moments(image)[2:])
    assert float(shape["a"]) == pytest.approx(4, rel=1e-3)
    assert float(shape["b"]) == pytest.approx(2, rel=1e-3)
    assert float(shape["theta"]) == pytest.approx(-35, abs=0.05)
    assert float(shape["ellipticity"]) == pytest.approx(0.5, abs=1e-3)
    for nothing in (np.zeros((5, 5)), np.eye(1)):
        assert np.isnan(ellipses(*moments(nothing)[2:])["a"])


def test_place_errors_are_those_of_drawn_noise(profile: Any) -> None:
    sigma, flux, noise = 1.3, 400.0, 1.5
    yy, xx = np.mgrid[:31, :31].astype(float)

    def light(x: float, y: float, amount: float) -> np.ndarray:
        return (
            amount
            * np.exp(-((yy - y) ** 2 + (xx - x) ** 2) / (2 * sigma**2))
            / (2 * np.pi * sigma**2)
        )

    used = np.ones((31, 31))
    used[:, 16] = 0  # a dead column beside the center: x is told worse than y
    rng, truth = np.random.default_rng(2), np.array([14.8, 15.1, flux])
    places = []
    for _ in range(300):
        data = light(*truth) + rng.normal(0, noise, xx.shape)
        answer = least_squares(lambda p, d=data: ((light(*p) - d) * used).ravel(), truth)
        places.append(answer.x[:2])
    model = SourceStamp(1, (0, 0), light(*truth).astype(np.float32))
    error = place_errors([information_of(model, used / noise**2)])[0]
    np.testing.assert_allclose(np.std(places, axis=0), error, rtol=0.12)
    assert error[0] > 1.1 * error[1]
    assert np.isnan(place_errors([information_of(model, 0 * used)])).all()


def test_blendedness_is_that_of_the_models(profiles: list[SourceStamp]) -> None:
    frame = noisy_frame(profiles)
    table, _ = catalogue(profiles, frame)
    fit = joint_fit(profiles, frame.data, np.ones(SHAPE), frame.usable)
    total = model_image(profiles, fit.flux, SHAPE)
    for one, own in enumerate(scaled(profiles, fit.flux)):
        expected = blendedness(own.data, total[own.slices()])
        assert table["blendedness"][one] == pytest.approx(expected, abs=1e-6)
    assert table["blendedness"][1] > 0.2 > table["blendedness"][0] > 0.02
    assert table["blendedness"][2] == pytest.approx(0, abs=1e-9)


def test_saturated_cores_and_all_flags_are_told(profiles: list[SourceStamp]) -> None:
    flags = np.zeros(SHAPE, dtype=np.uint32)
    flags[40, 45] = np.uint32(MaskPlane.SATURATED)
    flags[14, 20] = np.uint32(MaskPlane.SATURATED)  # far from the core of the first
    table, _ = catalogue(profiles, noisy_frame(profiles, flags=flags))
    bits = table["flags"]
    assert (bits & int(FitFlag.SATURATED) != 0).tolist() == [False, False, True]
    assert (bits & int(FitFlag.MASKED_CORE) != 0).tolist() == [False, False, True]
    for flag in FitFlag:
        assert f"{flag.bit} {flag.name}" in bits.info.description


def test_what_is_not_known_is_not_a_number(profiles: list[SourceStamp]) -> None:
    usable = np.ones(SHAPE, dtype=bool)
    usable[profiles[2].slices()] = False
    frame = noisy_frame(profiles, flags=np.where(usable, 0, int(MaskPlane.DEAD_PIXEL)))
    fit = joint_fit(profiles, frame.data, np.ones(SHAPE), frame.usable)
    models = scaled(profiles, np.nan_to_num(fit.flux))
    labels = segmentation_of(models, np.ones(SHAPE), frame.usable)
    table = catalogue_of(
        found(intrinsic_radius=np.array([0.5, np.nan, 2])), models, fit, frame, labels
    )
    for name in ("flux", "flux_err", "snr", "x_err", "a", "blendedness", "chi2"):
        assert np.isfinite(table[name]).tolist() == [True, True, False], name
    assert table["npix"].tolist()[2] == 0
    assert table["half_light_radius_intrinsic"].value[0] == 0.5


def test_an_empty_catalogue_has_all_columns() -> None:
    table, _ = catalogue([], Frame(np.zeros(SHAPE), unit="electron"))
    assert len(table) == 0
    assert table.colnames == list(COLUMNS)
    assert table["flux"].unit == u.electron


def test_sources_in_another_order_are_refused(profiles: list[SourceStamp]) -> None:
    frame = noisy_frame(profiles)
    fit = joint_fit(profiles, frame.data, np.ones(SHAPE), frame.usable)
    labels = np.zeros(SHAPE, dtype=np.int32)
    with pytest.raises(StageError, match="same sources"):
        catalogue_of(found(), profiles[::-1], fit, frame, labels)
    with pytest.raises(StageError, match="blend_probability"):
        catalogue_of(found(blend_probability=np.zeros(2)), profiles, fit, frame, labels)
