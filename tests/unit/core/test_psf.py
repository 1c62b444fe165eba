"""PSFs are finite, odd, centred and of sum 1, wherever they come from."""

from __future__ import annotations

from typing import Any

import galsim
import numpy as np
import pytest
from astropy.nddata import NDData
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from photutils.psf import CircularGaussianPRF, GriddedPSFModel, ImagePSF, MoffatPSF
from scipy.special import erf

from astroclean.core.psf.psf import Psf
from astroclean.core.psf.stamp import FINER, FWHM_PER_SIGMA
from astroclean.errors import PsfError


def blob(
    shape: tuple[int, int], fwhm: float, *, centre: tuple[float, float] | None = None
) -> np.ndarray:
    """Return a Gaussian sampled on pixels, peak 1."""
    y, x = np.indices(shape)
    y0, x0 = centre or ((shape[0] - 1) / 2, (shape[1] - 1) / 2)
    return np.exp(-4 * np.log(2) * ((x - x0) ** 2 + (y - y0) ** 2) / fwhm**2)


# ------------------------------------------------------------------------- checks


def test_its_text_is_short_and_says_its_width() -> None:
    psf = Psf.gaussian(fwhm_pixels=3.0)
    assert repr(psf) == "<Psf: stamps 1 x 15 x 15, FWHM 3.07 pixels>"
    grid = Psf(np.stack([psf.stamps[0]] * 4), [(0, 0), (0, 9), (9, 0), (9, 9)], computed=True)
    assert repr(grid).startswith("<Psf: stamps 4 x 15 x 15")


@pytest.mark.parametrize("width", [2.0, 3.0, 5.0])
def test_a_width_that_includes_the_pixel_draws_stars_as_they_were_measured(width: float) -> None:
    star = blob((33, 33), width, centre=(16.3, 15.6))
    star *= 1000 / star.sum()

    def fitted(psf: Psf) -> float:
        model = psf.drawn_at(15.6, 16.3, box=(slice(0, 33), slice(0, 33))).data
        return float((star * model).sum() / (model**2).sum())

    measured = Psf.from_fwhm(f"{width} pixel", includes_pixel=True)
    assert fitted(measured) == pytest.approx(1000, rel=0.002)
    assert measured.fwhm_pixels == pytest.approx(width, rel=0.04)
    assert fitted(Psf.from_fwhm(f"{width} pixel")) > 1008


def test_a_width_that_is_too_small_tells_the_pixels_that_made_it_so() -> None:
    with pytest.raises(PsfError, match=r"0\.18 arcsec, which are 0\.3 pixels of 0\.6 arcsec"):
        Psf.from_fwhm("0.18 arcsec", pixel_scale_arcsec=0.6)
    with pytest.raises(PsfError, match=r"0\.84 pixels, the pixel included \(got 0\.8 pixels\)"):
        Psf.from_fwhm("0.8 pixel", includes_pixel=True)


def test_a_stamp_is_scaled_to_sum_one_and_not_modified() -> None:
    stamp = 7 * blob((9, 11), 3.0)
    before = stamp.copy()
    psf = Psf(stamp)
    assert psf.stamps.sum() == pytest.approx(1)
    assert (psf.shape, psf.is_constant, psf.stamps.dtype) == ((9, 11), True, np.float64)
    np.testing.assert_array_equal(stamp, before)


def stamps_that_are_none() -> dict[str, tuple[Any, str]]:
    hole, infinite = blob((9, 9), 3.0), blob((9, 9), 3.0)
    hole[2, 2], infinite[0, 0] = np.nan, np.inf
    return {
        "nan": (hole, "not finite"),
        "infinite": (infinite, "not finite"),
        "even": (blob((8, 9), 3.0), "odd"),
        "zero": (np.zeros((9, 9)), "positive sum"),
        "negative": (-blob((9, 9), 3.0), "positive sum"),
        "off-centre": (blob((9, 9), 3.0, centre=(4.0, 6.0)), "centre"),
        "line": (np.ones(9), "stamp"),
        "empty": (np.zeros((0, 0)), "stamp"),
        "two-without-positions": (np.ones((2, 3, 3)), "position each"),
    }


@pytest.mark.parametrize("case", stamps_that_are_none())
def test_what_is_no_stamp_is_refused(case: str) -> None:
    stamp, reason = stamps_that_are_none()[case]
    with pytest.raises(PsfError, match=reason):
        Psf(stamp)


def test_a_peak_within_one_pixel_of_the_centre_is_centred() -> None:
    psf = Psf(blob((9, 9), 3.0, centre=(4.4, 5.0)))
    assert psf.stamps.sum() == pytest.approx(1)


# ------------------------------------------------------------------------- Gaussian


@settings(deadline=None)
@given(fwhm=st.floats(1.5, 12))
def test_a_gaussian_has_the_width_asked_for(fwhm: float) -> None:
    psf = Psf.gaussian(fwhm_pixels=fwhm)
    # Integration over pixels adds their variance of 1/12.
    broadened = np.sqrt(fwhm**2 + 8 * np.log(2) / 12)
    assert psf.fwhm_pixels == pytest.approx(broadened, rel=0.06)
    stamp = psf.stamps[0]
    np.testing.assert_allclose(stamp, stamp[::-1, ::-1], atol=1e-15)
    np.testing.assert_allclose(stamp, stamp.T, atol=1e-15)


@pytest.mark.parametrize("fwhm", [0.49, 0.0, -2.0, np.nan, np.inf])
def test_a_gaussian_of_no_width_is_refused(fwhm: float) -> None:
    with pytest.raises(PsfError, match=r"0\.5 pixels"):
        Psf.gaussian(fwhm_pixels=fwhm)


# ------------------------------------------------------------------------- resampling


@settings(deadline=None, max_examples=40)
@given(
    scale=st.floats(0.6, 5),
    fwhm=st.floats(2.0, 4.0),
    dx=st.floats(-2, 2),
    dy=st.floats(-2, 2),
    even=st.booleans(),
)
def test_resampling_centres_and_keeps_the_width(
    scale: float, fwhm: float, dx: float, dy: float, even: bool
) -> None:
    wide = fwhm * scale  # in pixels of the stamp
    assume(wide >= 2.5)  # an undersampled core has no exact centroid
    side = (int(6 * wide) | 1) + 4 + even
    centre = (side - 1) / 2 + dy, (side - 1) / 2 + dx
    psf = Psf.resampled(blob((side, side), wide, centre=centre), scale=scale)
    stamp = psf.stamps[0]
    assert stamp.shape[0] % 2 == stamp.shape[1] % 2 == 1
    y, x = np.indices(stamp.shape)
    middle = (stamp.shape[0] - 1) / 2
    assert (stamp * y).sum() == pytest.approx(middle, abs=0.08)
    assert (stamp * x).sum() == pytest.approx(middle, abs=0.08)
    broadened = np.sqrt(fwhm**2 + 8 * np.log(2) / 12)
    assert psf.fwhm_pixels == pytest.approx(broadened, rel=0.07)


@pytest.mark.parametrize(
    ("stamp", "scale"),
    [(np.zeros((5, 5)), 1.0), (np.full((5, 5), np.nan), 1.0), (np.ones(5), 1.0)]
    + [(np.ones((5, 5)), scale) for scale in (0.0, -1.0, np.nan)],
)
def test_what_cannot_be_resampled_is_refused(stamp: np.ndarray, scale: float) -> None:
    with pytest.raises(PsfError):
        Psf.resampled(stamp, scale=scale)


# ----------------------------------------------------------------- between pixels


def integrated(x: float, y: float, fwhm: float, reach: int) -> np.ndarray:
    """A Gaussian of flux 1 at (x, y), integrated over pixels."""
    edges = (np.arange(-reach, reach + 2) - 0.5)[:, None] - np.array([x, y])
    columns, rows = np.diff(erf(edges / (fwhm / FWHM_PER_SIGMA * np.sqrt(2))), axis=0).T / 2
    return np.outer(rows, columns)


@pytest.mark.parametrize("fwhm", [1.2, 2.5])
@pytest.mark.parametrize("scale", [3.0, 4.0, 7.5])
def test_a_finer_image_tells_what_is_between_the_pixels(fwhm: float, scale: float) -> None:
    side = 2 * int(8 * scale) + 1
    psf = Psf.resampled(blob((side, side), fwhm * scale), scale=scale)
    assert psf.is_known_between_pixels
    reach = psf.shape[0] // 2
    for row, column in [(0, 0), (1, 2), (3, 1)]:
        found = psf.fine[0][row::FINER, column::FINER]
        # The point source lies above and left of the pixels by as much as these lie below.
        truth = integrated(-column / FINER, -row / FINER, fwhm, reach)
        ky, kx = found.shape
        np.testing.assert_allclose(found, truth[:ky, :kx], atol=4e-3 * truth.max())


def test_stamps_alone_tell_it_if_they_sample_the_psf() -> None:
    narrow, wide = (Psf(Psf.gaussian(fwhm_pixels=fwhm).stamps) for fwhm in (1.2, 3.0))
    assert (narrow.is_known_between_pixels, wide.is_known_between_pixels) == (False, True)
    reach = wide.shape[0] // 2
    truth = integrated(-0.25, 0, 3.0, reach)
    np.testing.assert_allclose(wide.fine[0][::FINER, 1::FINER], truth[:, :-1], atol=1e-4)


@pytest.mark.parametrize("fwhm", [0.8, 3.0])
def test_a_gaussian_is_known_everywhere(fwhm: float) -> None:
    models = (Psf.gaussian(fwhm_pixels=fwhm), Psf.from_model(CircularGaussianPRF(fwhm=fwhm)))
    for psf in models:
        assert psf.is_known_between_pixels
        reach = psf.shape[0] // 2
        found = psf.fine[0][2::FINER, 1::FINER]
        truth = integrated(-0.25, -0.5, fwhm, reach)[:-1, :-1]
        np.testing.assert_allclose(found, truth, atol=1e-6)


@given(x=st.floats(0, 100), y=st.floats(0, 50))
def test_every_fourth_pixel_of_the_fine_image_is_the_stamp(x: float, y: float) -> None:
    for psf in (grid(), Psf.resampled(blob((41, 41), 5.0), scale=3.0)):
        fine = psf.fine_at(x, y)
        np.testing.assert_allclose(fine[::FINER, ::FINER], psf.at(x, y), atol=1e-12)


@pytest.mark.parametrize("fine", [np.ones((17, 17)), np.full((33, 33), np.nan), np.ones(33)])
def test_fine_images_that_do_not_fit_are_refused(fine: np.ndarray) -> None:
    with pytest.raises(PsfError, match=r"\(1, 33, 33\)"):
        Psf(blob((9, 9), 3.0), fine=fine)


# ------------------------------------------------------------------------- grids

NODES = [(0.0, 0.0), (100.0, 0.0), (0.0, 50.0), (100.0, 50.0)]


def grid() -> Psf:
    return Psf(np.stack([blob((15, 15), width) for width in (2.0, 3.0, 4.0, 5.0)]), NODES)


def test_a_node_has_its_own_stamp() -> None:
    psf = grid()
    assert not psf.is_constant
    for stamp, (x, y) in zip(psf.stamps, NODES, strict=True):
        np.testing.assert_allclose(psf.at(x, y), stamp, atol=1e-15)


@given(x=st.floats(0, 100), y=st.floats(0, 50))
def test_between_nodes_the_stamp_is_bilinear(x: float, y: float) -> None:
    psf = grid()
    a, b = x / 100, y / 50
    weights = [(1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b]
    expected = sum(w * s for w, s in zip(weights, psf.stamps, strict=True))
    np.testing.assert_allclose(psf.at(x, y), expected, atol=1e-12)
    assert psf.at(x, y).sum() == pytest.approx(1)


def test_beyond_the_nodes_the_nearest_is_taken() -> None:
    psf = grid()
    np.testing.assert_allclose(psf.at(-80, 9e9), psf.at(0, 50), atol=1e-15)


def test_the_order_of_the_nodes_does_not_matter() -> None:
    psf = grid()
    order = [2, 0, 3, 1]
    shuffled = Psf(psf.stamps[order], [NODES[n] for n in order])
    np.testing.assert_allclose(shuffled.at(30, 20), psf.at(30, 20), atol=1e-15)


def test_a_stamp_that_is_given_out_can_be_written() -> None:
    for psf in (grid(), Psf.gaussian(fwhm_pixels=2)):
        before = psf.at(10, 10)
        psf.at(10, 10)[:] = 0
        np.testing.assert_array_equal(psf.at(10, 10), before)


@pytest.mark.parametrize(
    ("positions", "reason"),
    [
        ([(0, 0), (1, 0), (0, 1), (0, 1)], "same position"),
        ([(0, 0), (1, 0)], "need 4 positions"),
        ([(0, 0, 0)] * 4, "need 4 positions"),
        ([(0, 0), (1, 0), (0, 1), (np.nan, 1)], "finite"),
    ],
)
def test_positions_that_are_none_are_refused(
    positions: list[tuple[float, ...]], reason: str
) -> None:
    with pytest.raises(PsfError, match=reason):
        Psf(np.stack([blob((5, 5), 2.0)] * 4), positions)


# ------------------------------------------------------------------------- other packages


def test_a_galsim_profile_is_drawn_on_the_pixels_of_the_frame() -> None:
    profile = galsim.Moffat(beta=3.5, fwhm=0.8)
    psf = Psf.from_model(profile, pixel_scale_arcsec=0.2, size=41)
    assert psf.shape == (41, 41)
    assert psf.fwhm_pixels == pytest.approx(4.0, rel=0.06)


def test_a_galsim_profile_is_known_between_pixels() -> None:
    profile = galsim.Moffat(beta=3.5, fwhm=0.8)
    psf = Psf.from_model(profile, pixel_scale_arcsec=0.25, size=41)
    assert psf.is_known_between_pixels
    moved = profile.drawImage(nx=39, ny=39, scale=0.25, offset=(0.25, -0.5)).array
    # A source a quarter of a pixel to the right, half a one down.
    there = psf.fine[0][4 + 2 : -4 + 2 : 4, 4 - 1 : -4 - 1 : 4]
    np.testing.assert_allclose(there, moved, rtol=0, atol=2e-3 * moved.max())


def test_a_galsim_profile_needs_a_pixel_scale() -> None:
    with pytest.raises(PsfError, match="pixel scale"):
        Psf.from_model(galsim.Gaussian(fwhm=1))


@pytest.mark.parametrize(
    "model",
    [
        CircularGaussianPRF(flux=9, x_0=31.3, y_0=12.7, fwhm=3.0),
        MoffatPSF(flux=2, alpha=3.0 / (2 * np.sqrt(2 ** (1 / 3.0) - 1)), beta=3.0),
        ImagePSF(blob((61, 61), 9.0), oversampling=3),
    ],
    ids=["gaussian", "moffat", "image"],
)
def test_a_photutils_model_is_centred_wherever_it_stood(model: Any) -> None:
    before = model.parameters.copy()
    psf = Psf.from_model(model, size=19)
    stamp = psf.stamps[0]
    assert np.unravel_index(stamp.argmax(), stamp.shape) == (9, 9)
    np.testing.assert_allclose(stamp, stamp[::-1, ::-1], atol=1e-8)
    assert psf.fwhm_pixels == pytest.approx(3.0, rel=0.08)
    np.testing.assert_array_equal(model.parameters, before)


def test_a_grid_of_photutils_keeps_its_nodes() -> None:
    widths = (2.0, 3.0, 4.0, 5.0)
    stamps = np.stack([blob((33, 33), 2 * width) for width in widths])
    meta = {"grid_xypos": NODES, "oversampling": 2}
    psf = Psf.from_model(GriddedPSFModel(NDData(stamps, meta=meta)), size=15)
    np.testing.assert_array_equal(psf.positions, NODES)
    for stamp, width in zip(psf.stamps, widths, strict=True):
        assert Psf(stamp).fwhm_pixels == pytest.approx(width, rel=0.08)


def test_an_unknown_object_is_refused() -> None:
    with pytest.raises(PsfError, match="dict"):
        Psf.from_model({})
