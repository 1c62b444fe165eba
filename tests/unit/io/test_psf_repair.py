"""PSFs that are not quite: what is repaired is said with its size, what is none is refused."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.io import fits

from astroclean.core.psf.psf import Psf
from astroclean.errors import AstrocleanWarning, PsfError
from astroclean.io.frames.psf import read_psf

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Reader = Callable[[np.ndarray], tuple[Psf, list[str]]]

SIDE, FWHM = 31, 3.0


def star(*, dy: float = 0, dx: float = 0, shape: tuple[int, int] = (SIDE, SIDE)) -> np.ndarray:
    """Return a Gaussian on pixels, of sum 1."""
    y, x = np.indices(shape)
    y0, x0 = (shape[0] - 1) / 2 + dy, (shape[1] - 1) / 2 + dx
    image = np.exp(-4 * np.log(2) * ((x - x0) ** 2 + (y - y0) ** 2) / FWHM**2)
    return image / image.sum()


def moffat(beta: float, side: int) -> np.ndarray:
    y, x = np.indices((side, side)) - side // 2
    image = (1 + (x**2 + y**2) / 4.0) ** -beta
    return image / image.sum()


def with_notes(make: Callable[[], Psf]) -> tuple[Psf, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        psf = make()
    assert all(item.category is AstrocleanWarning for item in caught)
    return psf, [str(item.message) for item in caught]


@pytest.fixture(params=["array", "file", "finer file", "resampled"])
def reader(request: pytest.FixtureRequest, tmp_path: Path) -> Reader:
    """All the ways in which a measured stamp becomes a PSF."""
    path = tmp_path / "psf.fits"

    def read(stamp: np.ndarray) -> tuple[Psf, list[str]]:
        if request.param == "array":
            return with_notes(lambda: Psf(stamp))
        if request.param == "resampled":
            return with_notes(lambda: Psf.resampled(stamp, scale=1.0))
        fits.writeto(path, stamp, overwrite=True)
        scale = "1 arcsec" if request.param == "file" else "0.5 arcsec"
        return with_notes(lambda: read_psf(path, 1.0, file_pixel_scale=scale))

    read.kind = request.param  # type: ignore[attr-defined]
    return read


@pytest.mark.parametrize("share", [-0.03, -0.01, 0.01, 0.03])
@pytest.mark.parametrize("side", [21, 31, 63])
def test_a_pedestal_is_taken_away_and_said(share: float, side: int, reader: Reader) -> None:
    true = star(shape=(side, side))
    stamp = true + share * true.max()
    assert abs(stamp.sum() - 1) > 0.2  # it would spoil every flux
    psf, notes = reader(stamp)
    clean, _ = reader(true)
    np.testing.assert_allclose(psf.stamps, clean.stamps, atol=2e-3 * clean.stamps.max())
    assert any("a pedestal under the PSF was taken away" in note for note in notes)
    assert any(f"{share:.2g}" in note for note in notes)


@pytest.mark.parametrize("share", [-0.01, 0.01])
def test_a_pedestal_under_noise_is_taken_away(share: float, reader: Reader) -> None:
    true = star()
    noise = np.random.default_rng(4).normal(0, 0.003 * true.max(), true.shape)
    psf, notes = reader(true + noise + share * true.max())
    assert any("pedestal" in note for note in notes)
    clean, _ = reader(true)
    # The noise of the median over the rim, in all pixels of the stamp.
    assert psf.stamps.max() == pytest.approx(clean.stamps.max(), rel=0.12)


@pytest.mark.parametrize("seed", range(5))
def test_noise_in_the_wings_is_no_pedestal(seed: int, reader: Reader) -> None:
    true = star()
    noise = np.random.default_rng(seed).normal(0, 0.003 * true.max(), true.shape)
    _, notes = reader(true + noise)
    assert [note for note in notes if "pedestal" in note] == []


@pytest.mark.parametrize("beta", [1.2, 1.5, 2.5, 4.0])
@pytest.mark.parametrize("side", [15, 31, 101])
def test_wide_wings_are_no_pedestal(beta: float, side: int, reader: Reader) -> None:
    stamp = moffat(beta, side)
    psf, notes = reader(stamp)
    assert [note for note in notes if "pedestal" in note] == []
    if reader.kind == "array":  # type: ignore[attr-defined]
        np.testing.assert_allclose(psf.stamps[0], stamp, rtol=1e-12)


@pytest.mark.parametrize("total", [1.7, 0.3, 1e7])
def test_another_sum_is_scaled_and_said_of_a_file(total: float, tmp_path: Path) -> None:
    fits.writeto(tmp_path / "psf.fits", total * star())
    psf, notes = with_notes(
        lambda: read_psf(tmp_path / "psf.fits", 1.0, file_pixel_scale="1 arcsec")
    )
    assert psf.stamps.sum() == pytest.approx(1)
    (note,) = notes
    assert f"scaled from a sum of {total:.4g} to 1" in note
    assert str(tmp_path / "psf.fits") in note


def test_a_beam_of_peak_one_is_scaled_and_said(tmp_path: Path) -> None:
    fits.writeto(tmp_path / "psf.fits", star() / star().max())
    psf, notes = with_notes(
        lambda: read_psf(tmp_path / "psf.fits", 1.0, file_pixel_scale="1 arcsec")
    )
    np.testing.assert_allclose(psf.stamps[0], star(), rtol=1e-6, atol=1e-12)
    assert len(notes) == 1


@pytest.mark.parametrize("total", [0.93, 1.0, 1.05])
def test_a_sum_that_wings_explain_is_not_said(total: float, tmp_path: Path) -> None:
    fits.writeto(tmp_path / "psf.fits", total * star())
    _, notes = with_notes(lambda: read_psf(tmp_path / "psf.fits", 1.0, file_pixel_scale="1 arcsec"))
    assert notes == []


@pytest.mark.parametrize(
    ("shift", "told"),
    [(0.1, None), (0.3, "left there"), (1.0, "moved there"), (4.0, "moved there")],
)
def test_a_core_off_the_middle(shift: float, told: str | None, tmp_path: Path) -> None:
    fits.writeto(tmp_path / "psf.fits", star(dy=shift))
    psf, notes = with_notes(
        lambda: read_psf(tmp_path / "psf.fits", 1.0, file_pixel_scale="1 arcsec")
    )
    stamp = psf.stamps[0]
    y = np.indices(stamp.shape)[0] - stamp.shape[0] // 2
    if told == "moved there":
        assert (stamp * y).sum() == pytest.approx(0, abs=0.01)
        np.testing.assert_allclose(stamp, star(shape=stamp.shape), atol=2e-3 * stamp.max())
    else:
        np.testing.assert_allclose(stamp, star(dy=shift), rtol=1e-5, atol=1e-9)
    assert len(notes) == (told is not None)
    for note in notes:
        assert f"{shift:.2g} pixels" in note
        assert told in note


@pytest.mark.parametrize("shape", [(30, 30), (30, 31), (29, 33)])
def test_stamps_without_a_central_pixel_keep_their_width(
    shape: tuple[int, int], tmp_path: Path
) -> None:
    fits.writeto(tmp_path / "psf.fits", star(shape=shape))
    psf, notes = with_notes(
        lambda: read_psf(tmp_path / "psf.fits", 1.0, file_pixel_scale="1 arcsec")
    )
    assert notes == []
    # No pixel was integrated a second time.
    np.testing.assert_allclose(psf.stamps[0], star(shape=psf.shape), atol=3e-3 * star().max())


def not_finite() -> np.ndarray:
    stamp = star()
    stamp[3, 4] = np.nan
    return stamp


def noise(seed: int) -> np.ndarray:
    return np.abs(np.random.default_rng(seed).normal(1, 0.3, (SIDE, SIDE)))


def two_stars() -> np.ndarray:
    return star(dx=0) + 0.8 * star(dx=-10)


NONE = {
    "not finite": (not_finite, "not finite"),
    "zero": (lambda: np.zeros((SIDE, SIDE)), "no positive value"),
    "inverted": (lambda: -star(), "no positive value|no clear peak"),
    "noise": (lambda: noise(1), "no clear peak"),
    "other noise": (lambda: noise(2) ** 2, "no clear peak"),
    "noise about zero": (lambda: noise(3) - 1, "no clear peak|positive sum"),
    "two stars": (two_stars, "no clear peak"),
    "two equal stars": (lambda: star(dx=0) + star(dy=12), "no clear peak"),
}


@pytest.mark.parametrize("case", NONE)
def test_what_is_no_psf_is_refused_with_its_cause(case: str, reader: Reader) -> None:
    make, cause = NONE[case]
    with pytest.raises(PsfError, match=cause):
        reader(make())


def test_a_file_that_is_refused_is_named(tmp_path: Path) -> None:
    fits.writeto(tmp_path / "noise.fits", noise(1))
    with pytest.raises(
        PsfError, match=r"noise\.fits: PSF stamp has no clear peak \(got \d+ pixels"
    ):
        read_psf(tmp_path / "noise.fits", 1.0, file_pixel_scale="1 arcsec")


def test_a_stamp_that_ends_within_the_psf_is_said(reader: Reader) -> None:
    whole = star(shape=(41, 41))
    _, notes = reader(whole)
    assert notes == []
    y, x = np.indices((41, 41)) - 20
    wide = np.exp(-4 * np.log(2) * (x**2 + y**2) / 25.0**2)
    _, notes = reader(wide / wide.sum())
    assert any("ends where the PSF has still" in note for note in notes)


def lobed() -> np.ndarray:
    """Three lobes, each brighter than half of the core, and no symmetry."""
    image = star(shape=(41, 41)).copy()
    for number in range(3):
        angle = 0.3 + 2 * np.pi * number / 3
        image += 0.6 * star(dy=4 * np.sin(angle), dx=4 * np.cos(angle), shape=(41, 41))
    return image / image.sum()


def comet() -> np.ndarray:
    image = sum((0.7**n) * star(dx=0.8 * n, shape=(41, 41)) for n in range(12))
    return np.roll(image / image.sum(), -1, axis=1)


@pytest.mark.parametrize("make", [lobed, comet])
def test_psfs_without_symmetry_are_believed(make: Callable[[], np.ndarray]) -> None:
    psf, notes = with_notes(lambda: Psf(make()))
    np.testing.assert_allclose(psf.stamps[0], make() / make().sum(), rtol=1e-12)
    assert notes == []


def test_rings_that_a_method_made_are_meant() -> None:
    y, x = np.indices((41, 41)) - 20
    radius = np.hypot(x, y)
    rings = np.exp(-(radius**2) / 4) - 0.003
    psf, notes = with_notes(lambda: Psf(rings, computed=True))
    assert notes == []
    np.testing.assert_allclose(psf.stamps[0], rings / rings.sum())


def test_of_a_grid_the_worst_stamp_is_told(tmp_path: Path) -> None:
    stamps = np.stack([star(), star() - 0.005 * star().max(), star() - 0.01 * star().max(), star()])
    hdu = fits.PrimaryHDU(stamps)
    places = [(0, 0), (90, 0), (0, 40), (90, 40)]
    hdu.header.update({f"DET_YX{n}": f"({y}, {x})" for n, (x, y) in enumerate(places)})
    hdu.writeto(tmp_path / "grid.fits")
    psf, notes = with_notes(
        lambda: read_psf(tmp_path / "grid.fits", 1.0, file_pixel_scale="1 arcsec")
    )
    for stamp in psf.stamps:
        np.testing.assert_allclose(stamp, star(), atol=1e-3 * star().max())
    (note,) = notes
    assert "2 of 4 stamps, at most -0.01 of the peak" in note
