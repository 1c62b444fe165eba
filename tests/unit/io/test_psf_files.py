"""PSFs read from FITS files, sampled on the pixels of a frame."""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits

from astroclean.core.psf.stamp import FINER
from astroclean.errors import AstrocleanWarning, FitsReadError, PsfError
from astroclean.io.frames.psf import read_psf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def blob(shape: tuple[int, int], fwhm: float, *, dy: float = 0, dx: float = 0) -> np.ndarray:
    y, x = np.indices(shape)
    y0, x0 = (shape[0] - 1) / 2 + dy, (shape[1] - 1) / 2 + dx
    image = np.exp(-4 * np.log(2) * ((x - x0) ** 2 + (y - y0) ** 2) / fwhm**2)
    return image / image.sum()


def written(path: Path, data: np.ndarray, **cards: Any) -> Path:
    hdu = fits.PrimaryHDU(data.astype("f4"))
    hdu.header.update(cards)
    hdu.writeto(path)
    return path


@contextmanager
def notes_of() -> Iterator[list[str]]:
    """Gather what astroclean tells in warnings."""
    told: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield told
    assert all(issubclass(item.category, AstrocleanWarning) for item in caught)
    told += [str(item.message) for item in caught]


def check(psf: Any, fwhm: float) -> None:
    for stamp in psf.stamps:
        assert np.isfinite(stamp).all()
        assert stamp.sum() == pytest.approx(1)
        assert stamp.shape[0] % 2 == stamp.shape[1] % 2 == 1
    assert psf.fwhm_pixels == pytest.approx(fwhm, rel=0.1)


@pytest.mark.parametrize(
    "cards",
    [
        {"PIXELSCL": 0.1},
        {"PIXSCALE": 0.1},
        {"CDELT1": -0.1 / 3600},
        {"CD1_1": -0.1 / 3600},
        {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -0.1 / 3600, "CDELT2": 0.1 / 3600},
    ],
    ids="-".join,
)
def test_the_scale_of_a_stamp_is_found_in_its_header(cards: dict[str, Any], tmp_path: Path) -> None:
    path = written(tmp_path / "psf.fits", blob((61, 61), 12.0), **cards)
    check(read_psf(path, 0.4), 12 * 0.1 / 0.4)


def test_a_told_scale_wins_over_the_header(tmp_path: Path) -> None:
    path = written(tmp_path / "psf.fits", blob((61, 61), 12.0), PIXSCALE=9.0)
    check(read_psf(path, 0.4, file_pixel_scale="0.1 arcsec"), 3.0)


def test_a_told_oversampling_needs_no_scale(tmp_path: Path) -> None:
    path = written(tmp_path / "psf.fits", blob((61, 61), 12.0), OVERSAMP=4)
    check(read_psf(path, None), 3.0)


@pytest.mark.parametrize("shape", [(61, 61), (60, 60), (60, 61), (63, 59)])
@pytest.mark.parametrize("shift", [0.0, 2.3])
def test_even_and_off_centre_stamps_are_centred(
    shape: tuple[int, int], shift: float, tmp_path: Path
) -> None:
    path = written(tmp_path / "psf.fits", blob(shape, 10.0, dy=shift, dx=-shift), PIXSCALE=0.1)
    with notes_of() as notes:
        psf = read_psf(path, 0.25)
    check(psf, 4.0)
    assert [note for note in notes if "2.3 pixels of the file off the middle" not in note] == []
    assert len(notes) == (shift > 0)
    stamp = psf.stamps[0]
    y, x = np.indices(stamp.shape)
    middle = (stamp.shape[0] - 1) / 2
    assert (stamp * y).sum() == pytest.approx(middle, abs=0.05)
    assert (stamp * x).sum() == pytest.approx(middle, abs=0.05)


def test_a_stamp_on_the_pixels_of_the_frame_is_taken_as_it_is(tmp_path: Path) -> None:
    data = blob((21, 21), 3.0)
    psf = read_psf(written(tmp_path / "psf.fits", data, PIXSCALE=0.25), 0.25)
    np.testing.assert_allclose(psf.stamps[0], data / data.sum(), rtol=1e-6)


def test_a_grid_has_the_positions_of_its_cards(tmp_path: Path) -> None:
    stamps = np.stack([blob((41, 41), width) for width in (8.0, 10.0, 12.0, 14.0)])
    cards = {f"DET_YX{n}": f"({y}, {x})" for n, (x, y) in enumerate([(0, 0), (90, 0), (0, 40)])}
    path = written(tmp_path / "psf.fits", stamps, OVERSAMP=4, DET_YX3="(40.0, 90.0)", **cards)
    psf = read_psf(path, None)
    np.testing.assert_array_equal(psf.positions, [(0, 0), (90, 0), (0, 40), (90, 40)])
    np.testing.assert_allclose(psf.at(90, 0), psf.stamps[1], atol=1e-12)
    assert psf.is_known_between_pixels
    np.testing.assert_allclose(psf.fine[:, ::FINER, ::FINER], psf.stamps, atol=1e-12)
    check(psf, 11 / 4)


def test_a_grid_on_the_pixels_of_the_frame_tells_no_more_than_they_do(tmp_path: Path) -> None:
    stamps = np.stack([blob((21, 21), 1.2)] * 2)
    cards = {"DET_YX0": "(0, 0)", "DET_YX1": "(0, 90)"}
    psf = read_psf(written(tmp_path / "psf.fits", stamps, OVERSAMP=1, **cards), None)
    np.testing.assert_allclose(psf.stamps[1], stamps[1] / stamps[1].sum(), atol=1e-8)
    assert not psf.is_known_between_pixels


def test_a_grid_without_positions_is_refused(tmp_path: Path) -> None:
    stamps = np.stack([blob((21, 21), 4.0)] * 2)
    path = written(tmp_path / "psf.fits", stamps, OVERSAMP=1, DET_YX0="(0, 0)")
    with pytest.raises(PsfError, match=r"psf\.fits.*DET_YX1"):
        read_psf(path, None)


@pytest.mark.parametrize(
    ("cards", "frame_scale", "reason"),
    [
        ({}, 0.4, "scale of the PSF file"),
        ({"PIXSCALE": 0.1}, None, "scale of the frame"),
        ({"PIXSCALE": -1.0}, 0.4, "scale of the PSF file"),
    ],
)
def test_an_unknown_scale_is_an_error_that_names_what_lacks_it(
    cards: dict[str, Any], frame_scale: float | None, reason: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "psf.fits", blob((21, 21), 4.0), **cards)
    with pytest.raises(PsfError, match=rf"{reason}.*") as caught:
        read_psf(path, frame_scale)
    assert "psf.fits" in str(caught.value)


def test_a_scale_that_is_no_angle_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "psf.fits", blob((21, 21), 4.0))
    with pytest.raises(PsfError, match="not an angle"):
        read_psf(path, 0.4, file_pixel_scale="3 kg")


def test_files_that_hold_no_psf_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PsfError, match=r"no such file"):
        read_psf(tmp_path / "absent.fits", 1.0)
    with pytest.raises(PsfError, match="no image"):
        read_psf(written(tmp_path / "line.fits", np.ones(5)), 1.0)
    (tmp_path / "text.fits").write_text("no FITS")
    with pytest.raises(FitsReadError, match=r"text\.fits"):
        read_psf(tmp_path / "text.fits", 1.0)
    with pytest.raises(PsfError):
        read_psf(written(tmp_path / "nan.fits", np.full((9, 9), np.nan), PIXSCALE=1.0), 1.0)


# File, pixel of the file in arcsec (None: in its header), pixel of a frame, FWHM in arcsec as
# the data's own description gives it.
REAL = [
    ("psf_herschel_spire250_measured_beam_1arcsec.fits.gz", None, 6.0, 18.2),
    ("psf_herschel_spire250_measured_beam_1arcsec.fits.gz", "1 arcsec", 3.0, 18.2),
    ("psf_model_herschel_pacs.fits.gz", None, 1.5, 4.4),
    ("psf_model_herschel_spire_theoretical.fits.gz", None, 6.0, 17.8),
    ("psf_model_jwst_hst_ceers.fits.gz", "0.04 arcsec", 0.02, 0.064),
    ("psf_spitzer_irac_ch1_warm_empirical.fits.gz", None, 0.6, 1.32),
    ("psf_spitzer_irac_flight_ch1-4.fits.gz", None, 0.6, 1.65),
    ("psf_wise_w3_empirical.fits.gz", "2.75 arcsec", 1.375, 6.9),
    ("cosmos_blend_hst_acs_psf.fits.gz", "0.03 arcsec", 0.03, 0.10),
    ("decals_grz_cutout_psf.fits.gz", "0.262 arcsec", 0.262, 0.935),
]


@pytest.mark.parametrize(("name", "told", "pixel", "fwhm"), REAL)
def test_real_psfs_have_their_known_width(
    name: str, told: str | None, pixel: float, fwhm: float, real_data: Path
) -> None:
    with notes_of() as notes:
        psf = read_psf(real_data / name, pixel, file_pixel_scale=told)
    # Their wings are no pedestal.
    assert [note for note in notes if not re.search("scaled from a sum|off the middle", note)] == []
    assert psf.stamps[0].sum() == pytest.approx(1)
    # Sampling broadens by the variance of a pixel.
    pixel_width = pixel * np.sqrt(8 * np.log(2) / 12)
    assert psf.fwhm_pixels * pixel == pytest.approx(np.hypot(fwhm, pixel_width), rel=0.12)
