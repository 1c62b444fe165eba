"""The image of a point source is the PSF, wherever it lies, however it is turned or widened."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf

from astroclean.core.psf.draw import PsfImage
from astroclean.core.psf.psf import Psf
from astroclean.simulate.psfs import make_psf

PACS = make_psf("pacs", fwhm_pixels=3.2)
STAMP = PACS.psf.stamps[0]
IMAGE = PsfImage(PACS.psf.fine[0])
DY, DX = np.mgrid[-25:26, -25:26].astype(float)


def gaussian(x: float, y: float, fwhm: float = 3.2) -> np.ndarray:
    """A Gaussian of flux 1 at (x, y), integrated over pixels."""
    width = fwhm / 2.3548200450309493 * np.sqrt(2)
    edges = np.arange(-25, 27) - 0.5
    lines = [np.diff(erf((edges - place) / width)) / 2 for place in (y, x)]
    return np.outer(*lines)


def test_on_whole_pixels_it_is_the_stamp() -> None:
    image = IMAGE
    half = STAMP.shape[0] // 2
    dy, dx = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
    np.testing.assert_allclose(image.at(dy, dx), STAMP, atol=1e-9)
    assert not image.at(np.array([half + 2.0, 0]), np.array([0, -half - 2.0])).any()
    assert image.reach > half


@settings(deadline=None, max_examples=25)
@given(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_between_pixels_a_gaussian_is_itself(x: float, y: float) -> None:
    image = PsfImage(Psf.gaussian(fwhm_pixels=3.2).fine[0])
    truth = gaussian(x, y)
    np.testing.assert_allclose(image.at(DY - y, DX - x), truth, atol=1e-3 * truth.max())


@pytest.mark.parametrize("place", [(0.2, 0.4), (-0.4, 0.2), (0.4, -0.4)])
def test_between_pixels_the_psf_of_a_map_is_itself(place: tuple[float, float]) -> None:
    x, y = place
    drawn = PACS.stamp((round(5 * y), round(5 * x)), half=25)
    found = IMAGE.at(DY - y, DX - x)
    np.testing.assert_allclose(found, drawn, atol=2e-3 * drawn.max())


@settings(deadline=None, max_examples=25)
@given(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.floats(-np.pi, np.pi), st.floats(0.85, 1.15))
def test_no_light_is_lost(x: float, y: float, turn: float, width: float) -> None:
    image = IMAGE.changed(turn=turn, width=width)
    half = image.reach + 1
    dy, dx = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
    assert image.at(dy - y, dx - x).sum() == pytest.approx(1, abs=5e-3)


@pytest.mark.parametrize("angle", [20.0, -35.0])
def test_turned_it_is_the_psf_drawn_at_that_angle(angle: float) -> None:
    turned = make_psf("pacs", fwhm_pixels=3.2, angle=np.radians(angle)).stamp(half=25)
    found = IMAGE.changed(turn=np.radians(angle)).at(DY, DX)
    np.testing.assert_allclose(found, turned, atol=0.01 * turned.max())
    assert np.abs(IMAGE.at(DY, DX) - turned).max() > 0.05 * turned.max()


@pytest.mark.parametrize("width", [0.88, 1.1])
def test_widened_it_is_the_wider_psf(width: float) -> None:
    # The pixel itself is not widened.
    own = np.sqrt(3.2**2 + 8 * np.log(2) / 12)
    wider = np.sqrt((width * own) ** 2 - 8 * np.log(2) / 12)
    found = PsfImage(Psf.gaussian(fwhm_pixels=3.2).fine[0]).changed(width=width).at(DY, DX)
    truth = gaussian(0, 0, fwhm=wider)
    np.testing.assert_allclose(found, truth, atol=0.01 * truth.max())


@pytest.mark.parametrize(("turn", "width"), [(0.0, 1.0), (0.3, 1.08)])
def test_slopes_are_finite_differences(turn: float, width: float) -> None:
    image, step = IMAGE.changed(turn=turn, width=width), 1e-3
    dy, dx = DY - 0.3, DX + 0.2
    values, found = image.varied(dy, dx)
    changes = [
        (image.at(dy, dx - step), image.at(dy, dx + step)),
        (image.at(dy - step, dx), image.at(dy + step, dx)),
        tuple(image.changed(turn=s * step).at(dy, dx) for s in (1, -1)),
        tuple(image.changed(width=1 + s * step).at(dy, dx) for s in (1, -1)),
    ]
    assert found.shape == (4, *dy.shape)
    np.testing.assert_array_equal(values, image.at(dy, dx))
    for slope, (more, less) in zip(found, changes, strict=True):
        expected = (more - less) / (2 * step)
        np.testing.assert_allclose(slope, expected, atol=0.01 * np.abs(expected).max())


def test_changes_add_up() -> None:
    one = IMAGE.changed(turn=0.1, width=1.1).changed(turn=0.2, width=0.95)
    other = IMAGE.changed(turn=0.3, width=1.1 * 0.95)
    np.testing.assert_allclose(one.at(DY, DX), other.at(DY, DX), atol=1e-12)


def test_a_varying_psf_is_taken_at_each_source() -> None:
    positions = np.array([[10.0, 20.0], [90.0, 80.0]])
    constant = Psf(STAMP).images_at(positions)
    assert constant[0] is constant[1]
    wide = make_psf("gaussian", fwhm_pixels=5.0).psf.stamps[0]
    nodes = np.array([[0.0, 0.0], [100, 0], [0, 100], [100, 100]])
    psf = Psf(np.stack([STAMP, wide, STAMP, wide]), positions=nodes)
    for image, (x, y) in zip(psf.images_at(positions), positions, strict=True):
        np.testing.assert_array_equal(image.fine, psf.fine_at(x, y))


# ------------------------------------------------------------------------- sources


def test_a_source_is_drawn_where_it_is() -> None:
    drawn = PACS.psf.drawn_at(41.4, 27.8, 250.0)
    image = np.zeros((60, 70))
    drawn.add_to(image)
    y, x = np.indices(image.shape)
    truth = 250 * IMAGE.at(y - 27.8, x - 41.4)
    np.testing.assert_allclose(image, truth, atol=1e-12 * truth.max())
    rows, columns = (
        slice(max(o, 0), o + n) for o, n in zip(drawn.origin, drawn.data.shape, strict=True)
    )
    outside = truth.copy()
    outside[rows, columns] = 0
    assert not outside.any()  # the box holds all that the PSF reaches


@settings(deadline=None, max_examples=30)
@given(
    st.floats(-40, 40),
    st.floats(-40, 40),
    st.integers(-300, 300),
    st.integers(-300, 300),
    st.floats(-1e4, 1e4),
)
def test_whole_pixels_move_the_box_alone(
    x: float, y: float, columns: int, rows: int, flux: float
) -> None:
    # Multiples of 1/256, so that the sums are exact and so must the images be.
    x, y = round(x * 256) / 256, round(y * 256) / 256
    here = PACS.psf.drawn_at(x, y, flux)
    # Two pixels: a half is rounded to even.
    there = PACS.psf.drawn_at(x + 2 * columns, y + 2 * rows, flux)
    np.testing.assert_array_equal(there.data, here.data)
    np.testing.assert_array_equal(there.origin - here.origin, [2 * rows, 2 * columns])


@settings(deadline=None, max_examples=30)
@given(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.floats(0.1, 1e5))
def test_the_flux_is_what_the_psf_has_within_the_box(x: float, y: float, flux: float) -> None:
    psf = Psf.gaussian(fwhm_pixels=3.2)
    assert psf.drawn_at(x, y, flux).data.sum() == pytest.approx(flux, rel=2e-4)
    box = slice(-3, 4), slice(-2, 3)
    truth = gaussian(x, y)[25 - 3 : 25 + 4, 25 - 2 : 25 + 3]
    part = psf.drawn_at(x, y, flux, box=box)
    assert part.data.shape == (7, 5)
    assert part.origin.tolist() == [-3, -2]
    assert part.data.sum() == pytest.approx(flux * truth.sum(), rel=2e-4)


@pytest.mark.parametrize("varying", [False, True])
def test_many_sources_are_each_drawn_as_alone(varying: bool) -> None:
    psf = Psf(STAMP)
    if varying:
        wide = make_psf("gaussian", fwhm_pixels=5.0).psf.stamps[0]
        psf = Psf(np.stack([STAMP, wide, STAMP]), [(0, 0), (90, 10), (20, 70)])
    x, y, flux = [3.25, 40.0, 77.9], [60.5, 2.1, 33.0], [1.0, 5.0, -2.0]
    many = psf.drawn_at(x, y, flux)
    together, one_by_one = np.zeros((2, 80, 90))
    many.add_to(together)
    for number, source in enumerate(zip(x, y, flux, strict=True)):
        alone = psf.drawn_at(*source)
        np.testing.assert_array_equal(many.data[number], alone.data)
        np.testing.assert_array_equal(many.origin[number], alone.origin)
        alone.add_to(one_by_one)
    np.testing.assert_array_equal(together, one_by_one)


@pytest.mark.parametrize("box", [None, (slice(5, 5), slice(0, 3))])
def test_no_sources_and_empty_boxes_are_nothing(box: tuple[slice, slice] | None) -> None:
    image = np.zeros((20, 20))
    Psf(STAMP).drawn_at([], [], []).add_to(image)
    Psf(STAMP).drawn_at(9, 9, 1, box=box or (slice(5, 5), slice(5, 5))).add_to(image)
    Psf(STAMP).drawn_at(-500, 9, 1).add_to(image)
    assert not image.any()
