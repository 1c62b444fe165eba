"""`wiener`: linear, the same flux, its PSF and uncertainty are those of the result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from astroclean_classical.restore.wiener import Wiener, WienerOptions
from astropy.nddata import StdDevUncertainty
from scipy.signal import fftconvolve

from astroclean.core.image.frame import Frame
from astroclean.core.image.uncertainty import deviation_of
from astroclean.core.psf.psf import Psf
from astroclean.errors import StageError, SuspectWarning
from astroclean.testing.contracts import DeconvolverContract

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from astroclean.core.stage.results import StageResult

SHAPE = (101, 121)
FWHM = 4.0
STARS = np.array([[60, 50, 5e4], [30, 30, 2e4], [95, 70, 1e4]])


class TestContract(DeconvolverContract):
    plugin = "wiener"


def run(frame: Frame, **options: object) -> StageResult:
    return Wiener(WienerOptions(**options)).run(frame)


def frame_of(image: np.ndarray, psf: Psf | None = None, **fields: object) -> Frame:
    return Frame(image, unit="adu", psf=psf or Psf.gaussian(fwhm_pixels=FWHM), **fields)


@pytest.fixture(scope="module")
def clean(gaussian_stars: Callable[..., np.ndarray]) -> np.ndarray:
    return 20 + gaussian_stars(SHAPE, STARS, fwhm=FWHM)


@pytest.fixture(scope="module")
def starry(clean: np.ndarray) -> np.ndarray:
    return clean + np.random.default_rng(2).normal(0, 1, SHAPE)


def width_of(image: np.ndarray, y: int, x: int) -> float:
    cut = image[y - 8 : y + 9, x - 8 : x + 9] - np.median(image)
    return 2 * np.sqrt(np.count_nonzero(cut >= cut.max() / 2) / np.pi)


def test_stars_become_narrower_and_keep_their_flux(starry: np.ndarray) -> None:
    result = run(frame_of(starry))
    data = result.frame.data
    assert width_of(data, 50, 60) < 0.95 * width_of(starry, 50, 60)  # in whole pixels
    assert result.frame.psf.fwhm_pixels < 0.8 * FWHM
    assert result.metrics["flux ratio"] == pytest.approx(1, abs=0.01)
    for x, y, flux in STARS.astype(int):
        box = (slice(y - 20, y + 21), slice(x - 20, x + 21))
        assert data[box].sum() - 20 * 41**2 == pytest.approx(flux, rel=0.01)


def test_psf_of_the_result_is_exact_for_every_star() -> None:
    psf = Psf.gaussian(fwhm_pixels=FWHM)
    points = np.zeros(SHAPE)
    for x, y, flux in STARS.astype(int):
        points[y, x] = flux
    image = fftconvolve(points, psf.at(0, 0), mode="same")
    result = run(frame_of(image, psf), balance=1e-3)
    expected = fftconvolve(points, result.frame.psf.at(0, 0), mode="same")
    np.testing.assert_allclose(result.frame.data, expected, atol=0.005 * expected.max())
    assert result.frame.psf.fwhm_pixels < 0.8 * FWHM


def test_it_is_linear(clean: np.ndarray, starry: np.ndarray) -> None:
    both = run(frame_of(3 * clean + starry), balance=1e-3).frame.data
    parts = [run(frame_of(image), balance=1e-3).frame.data for image in (clean, starry)]
    np.testing.assert_allclose(both, 3 * parts[0] + parts[1], atol=0.05)


def test_uncertainty_is_the_scatter_of_many_realizations(clean: np.ndarray) -> None:
    deviation = np.ones(SHAPE, dtype=np.float32)
    deviation[:, 60:] = 3
    generator = np.random.default_rng(5)
    uncertainty = StdDevUncertainty(deviation)
    results = [
        run(
            frame_of(clean + deviation * generator.normal(size=SHAPE), uncertainty=uncertainty),
            balance=1e-2,
        )
        for _ in range(40)
    ]
    scatter = np.std([result.frame.data for result in results], axis=0)
    told = deviation_of(results[0].frame.uncertainty)
    for part in (np.s_[30:70, 20:50], np.s_[30:70, 70:100]):
        assert np.median(scatter[part]) == pytest.approx(np.median(told[part]), rel=0.05)


def test_more_noise_is_sharpened_less(clean: np.ndarray) -> None:
    generator = np.random.default_rng(3)
    results = [run(frame_of(clean + generator.normal(0, s, SHAPE))) for s in (10, 100, 1000)]
    widths = [result.frame.psf.fwhm_pixels for result in results]
    balances = [result.metrics["balance"] for result in results]
    assert widths[0] < widths[1] <= widths[2]
    assert balances[0] < balances[1] <= balances[2]


def test_noise_grows_as_told_and_not_beyond_the_limit(starry: np.ndarray) -> None:
    for limit in (1.5, 4.0):
        result = run(frame_of(starry), max_noise_gain=limit)
        empty = np.s_[10:40, 80:115]
        gain = result.frame.data[empty].std() / starry[empty].std()
        assert result.metrics["noise gain"] <= limit
        assert gain == pytest.approx(result.metrics["noise gain"], rel=0.25)


def test_faint_structure_is_not_blurred(clean: np.ndarray) -> None:
    frame = frame_of(clean + np.random.default_rng(3).normal(0, 3e3, SHAPE))
    result = run(frame)
    assert result.metrics["fwhm after (pixels)"] <= result.metrics["fwhm before (pixels)"]


@pytest.mark.parametrize("scale", [2.0**-40, 2.0**30])
def test_scale_and_sky_do_not_matter(starry: np.ndarray, scale: float) -> None:
    plain = run(frame_of(starry)).frame.data
    scaled = run(frame_of(starry * scale)).frame.data
    np.testing.assert_allclose(scaled / scale, plain, atol=0.05)
    raised = run(frame_of(starry - 1000)).frame.data
    np.testing.assert_allclose(raised + 1000, plain, atol=0.05)


def test_rejected_pixels_are_not_read_and_empty_ones_stay_empty(starry: np.ndarray) -> None:
    bad = np.zeros(SHAPE, dtype=bool)
    bad[20, 80], bad[45:48, 20] = True, True
    results = []
    for value in (0.0, 1e12):
        frame = frame_of(np.where(bad, value, starry)).add_planes(bad, "CR")
        results.append(run(frame).frame.data)
    assert results[0].tobytes() == results[1].tobytes()
    np.testing.assert_allclose(np.median(results[0][bad]), 20, atol=15)
    image = starry.copy()
    image[:, :20] = np.nan
    data = run(frame_of(image)).frame.data
    assert np.array_equal(np.isnan(data), np.isnan(image))
    assert abs(np.median(data[:, 20:24]) - 20) < 5


def test_a_frame_without_structure_stays(starry: np.ndarray) -> None:
    data = run(frame_of(np.full((40, 41), 7.0))).frame.data
    np.testing.assert_allclose(data, 7, rtol=1e-6)


def test_a_psf_that_no_source_can_have_is_suspect(starry: np.ndarray) -> None:
    with pytest.warns(SuspectWarning, match="3 of 3 bright peaks are narrower"):
        run(frame_of(starry, Psf.gaussian(fwhm_pixels=2 * FWHM)))


def test_psf_and_a_usable_pixel_are_needed() -> None:
    with pytest.raises(StageError, match="psf"):
        run(Frame(np.ones((9, 9)), unit="adu"))
    with pytest.raises(StageError, match="no usable pixel"):
        run(frame_of(np.full((9, 9), np.nan)))


def test_real_map_with_its_measured_beam(real_data: Callable[[str], Path]) -> None:
    from astropy.io import fits

    with fits.open(real_data("psf_herschel_spire250_measured_beam_1arcsec.fits.gz")) as hdus:
        beam = next(hdu.data for hdu in hdus if hdu.data is not None)
    frame = Frame.read(real_data("herschel_spire250_ngc5584.fits.gz"))[200:400, 200:400]
    psf = Psf.resampled(np.asarray(beam, dtype=float)[200:401, 200:401], scale=6.0)
    result = run(frame.replace(psf=psf))
    assert result.metrics["flux ratio"] == pytest.approx(1, abs=0.01)
    assert result.metrics["fwhm after (pixels)"] < result.metrics["fwhm before (pixels)"]
