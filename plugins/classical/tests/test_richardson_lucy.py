"""`richardson-lucy`: narrower, the same flux, holes and borders do no harm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from astroclean_classical.restore.richardson_lucy import RichardsonLucy, RichardsonLucyOptions

from astroclean.core.image.frame import Frame
from astroclean.core.psf.psf import Psf
from astroclean.errors import AstrocleanWarning, StageError, SuspectWarning

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from astroclean.core.stage.results import StageResult

SHAPE = (101, 121)
FWHM = 4.0


def run(frame: Frame, **options: object) -> StageResult:
    return RichardsonLucy(RichardsonLucyOptions(**options)).run(frame)


@pytest.fixture(scope="module")
def starry(gaussian_stars: Callable[..., np.ndarray]) -> np.ndarray:
    stars = np.array([[60, 50, 5e4], [30, 30, 2e4], [95, 70, 1e4]])
    noise = np.random.default_rng(2).normal(20, 1, SHAPE)
    return noise + gaussian_stars(SHAPE, stars, fwhm=FWHM)


def frame_of(image: np.ndarray, psf: Psf | None = None, **fields: object) -> Frame:
    return Frame(image, unit="adu", psf=psf or Psf.gaussian(fwhm_pixels=FWHM), **fields)


def width_of(image: np.ndarray, y: int, x: int) -> float:
    cut = image[y - 8 : y + 9, x - 8 : x + 9] - np.median(image)
    return 2 * np.sqrt(np.count_nonzero(cut >= cut.max() / 2) / np.pi)


def test_stars_become_narrower_and_keep_their_flux(starry: np.ndarray) -> None:
    frame = frame_of(starry)
    result = run(frame, num_iter=30)
    data = result.frame.data
    assert width_of(data, 50, 60) < 0.7 * width_of(starry, 50, 60)
    assert result.metrics["flux ratio"] == pytest.approx(1, abs=0.01)
    for y, x in ((50, 60), (30, 30), (70, 95)):
        box = (slice(y - 12, y + 13), slice(x - 12, x + 13))
        flux = starry[box].sum() - 20 * 625
        assert data[box].sum() - 20 * 625 == pytest.approx(flux, rel=0.01)


def test_psf_of_the_result_is_that_of_the_brightest_star(starry: np.ndarray) -> None:
    result = run(frame_of(starry), num_iter=30)
    measured = Psf(result.frame.data[45:56, 55:66] - 20).fwhm_pixels
    assert result.frame.psf.fwhm_pixels < 0.7 * FWHM
    assert result.frame.psf.fwhm_pixels == pytest.approx(measured, rel=0.1)


def test_more_iterations_are_sharper(starry: np.ndarray) -> None:
    widths = [run(frame_of(starry), num_iter=n).frame.psf.fwhm_pixels for n in (1, 5, 25)]
    assert widths[0] > widths[1] > widths[2]


def test_psf_of_one_pixel_changes_nothing(starry: np.ndarray) -> None:
    point = np.zeros((5, 5))
    point[2, 2] = 1
    with pytest.warns(AstrocleanWarning, match="3 bright peaks are wider"):
        data = run(frame_of(starry, Psf(point))).frame.data
    np.testing.assert_allclose(data, starry, atol=0.01)


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
    np.testing.assert_allclose(np.median(results[0][bad]), 20, atol=5)
    image = starry.copy()
    image[:, :20] = np.nan
    data = run(frame_of(image)).frame.data
    assert np.array_equal(np.isnan(data), np.isnan(image))
    assert abs(np.median(data[:, 20:24]) - 20) < 2


def test_one_absurd_pixel_does_not_stop_the_sharpening(starry: np.ndarray) -> None:
    image = starry.copy()
    image[10, 100] = -32768
    result = run(frame_of(image), num_iter=30)
    assert result.metrics["pixels clipped"] >= 1
    assert width_of(result.frame.data, 50, 60) < 0.7 * width_of(starry, 50, 60)


def test_varying_psf_is_taken_at_the_center_and_counted(starry: np.ndarray) -> None:
    one = Psf.gaussian(fwhm_pixels=FWHM).stamps[0]
    nodes = np.array([[0, 0], [120, 0], [0, 100], [120, 100]], dtype=float)
    varying = Psf(np.stack([one] * 4), positions=nodes)
    result = run(frame_of(starry, varying))
    assert result.metrics["psf nodes"] == 4
    np.testing.assert_allclose(result.frame.data, run(frame_of(starry)).frame.data, atol=1e-3)


def test_a_psf_that_no_source_can_have_is_suspect(starry: np.ndarray) -> None:
    with pytest.warns(SuspectWarning, match="3 of 3 bright peaks are narrower"):
        run(frame_of(starry, Psf.gaussian(fwhm_pixels=2 * FWHM)))


def test_psf_is_needed() -> None:
    with pytest.raises(StageError, match="psf"):
        run(Frame(np.ones((9, 9)), unit="adu"))


def test_real_map_with_its_measured_beam(real_data: Callable[[str], Path]) -> None:
    from astropy.io import fits

    with fits.open(real_data("psf_herschel_spire250_measured_beam_1arcsec.fits.gz")) as hdus:
        beam = next(hdu.data for hdu in hdus if hdu.data is not None)
    frame = Frame.read(real_data("herschel_spire250_ngc5584.fits.gz"))[200:400, 200:400]
    psf = Psf.resampled(np.asarray(beam, dtype=float)[200:401, 200:401], scale=6.0)
    result = run(frame.replace(psf=psf), num_iter=10)
    assert result.metrics["flux ratio"] == pytest.approx(1, abs=0.01)
    assert result.metrics["fwhm after (pixels)"] < 0.9 * result.metrics["fwhm before (pixels)"]
