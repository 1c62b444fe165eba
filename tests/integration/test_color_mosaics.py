"""Each color of a mosaic is a frame of its own; joined again, all other pixels are bit for bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits

import astroclean
from astroclean.errors import FitsReadError, NeedError
from astroclean.io.frames.read import open_exposure
from astroclean.io.header.color_filters import colors_of

if TYPE_CHECKING:
    from pathlib import Path

LEVELS = {"R": 900.0, "G": 2000.0, "B": 700.0}
WCS_CARDS = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 150.0,
    "CRVAL2": 2.0,
    "CRPIX1": 60.0,
    "CRPIX2": 50.0,
    "CD1_1": -1e-4,
    "CD1_2": 0.0,
    "CD2_1": 0.0,
    "CD2_2": 1e-4,
}


def mosaic_of(pattern: str, shape: tuple[int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return adu, and the hot pixels that were put in."""
    rng = np.random.default_rng(seed)
    sky = np.empty(shape)
    for number, letter in enumerate(pattern):
        sky[number // 2 :: 2, number % 2 :: 2] = LEVELS[letter]
    image = rng.poisson(sky * 0.8) / 0.8 + rng.normal(0, 2, shape)
    hot = np.zeros(shape, dtype=bool)
    hot[rng.integers(4, shape[0] - 4, 50), rng.integers(4, shape[1] - 4, 50)] = True
    image[hot] += rng.uniform(4000, 20000, hot.sum())
    return np.rint(image).astype(np.uint16), hot


def write(path: Path, image: np.ndarray, **cards: Any) -> None:
    hdu = fits.PrimaryHDU(image)
    hdu.header.update({"EGAIN": 0.8, "RDNOISE": 1.6, "BUNIT": "adu", **cards})
    hdu.writeto(path)


def run(path: Path, *plugins: str, **config: Any) -> Any:
    stages = [{"plugin": plugin} for plugin in plugins]
    pipeline = {"schema": 1, "stage": stages, "products": {"keep": ["flags", "removed"]}, **config}
    return astroclean.run(pipeline, path, output=path.parent / "out")


@pytest.mark.parametrize(
    ("pattern", "offsets", "shape"),
    [("RGGB", (0, 0), (200, 220)), ("GBRG", (0, 0), (201, 221)), ("RGGB", (1, 0), (200, 220))],
)
def test_hot_pixels_get_the_light_of_their_own_color(
    tmp_path: Path, pattern: str, offsets: tuple[int, int], shape: tuple[int, int]
) -> None:
    x_off, y_off = offsets
    seen = "".join(
        pattern[2 * ((y + y_off) % 2) + (x + x_off) % 2] for y in range(2) for x in range(2)
    )
    image, hot = mosaic_of(seen, shape, seed=4)
    path = tmp_path / "m.fits"
    write(path, image, BAYERPAT=pattern, XBAYROFF=x_off, YBAYROFF=y_off, **WCS_CARDS)
    report = run(path, "badpix", "lacosmic", "interpolate")
    assert [frame.frame_id.split()[-1] for frame in report.files[0].frames] == [
        color.name for color in colors_of({"BAYERPAT": seen}, where="m")
    ]
    with fits.open(tmp_path / "out" / "m_clean.fits") as hdus:
        cleaned, flags, removed = (hdus[n].data for n in (0, "FLAGS", "REMOVED"))
        assert flags.shape == removed.shape == shape
    changed = cleaned != image
    assert changed[hot].all()
    assert np.count_nonzero(changed & ~hot) <= 5
    interpolated = (flags & int(astroclean.MaskPlane.INTERPOLATED)) != 0
    assert not (changed & ~interpolated).any()
    for number, letter in enumerate(seen):
        own = (slice(number // 2, None, 2), slice(number % 2, None, 2))
        values = cleaned[own][hot[own]]
        assert abs(np.median(values) - LEVELS[letter]) < 0.03 * LEVELS[letter]
    np.testing.assert_array_equal(removed != 0, changed)


def test_a_color_has_its_own_pixels_on_the_same_sky(tmp_path: Path) -> None:
    image, _ = mosaic_of("RGGB", (100, 120), seed=1)
    path = tmp_path / "m.fits"
    write(path, image, BAYERPAT="RGGB", **WCS_CARDS)
    with open_exposure(path) as exposure:
        frames = [exposure.frame(slot) for slot in exposure.slots]
    plain = tmp_path / "plain.fits"
    write(plain, image, **WCS_CARDS)
    full = astroclean.Frame.read(plain)
    for frame, (y, x) in zip(frames, [(0, 0), (0, 1), (1, 0), (1, 1)], strict=True):
        assert np.array_equal(frame.data, full.data[y::2, x::2])
        there = full.wcs.pixel_to_world(x + 2 * 7, y + 2 * 9)
        assert frame.wcs.pixel_to_world(7, 9).separation(there).arcsec < 1e-6
        assert frame.meta["ACPIXSC"] == pytest.approx(2 * full.meta["ACPIXSC"])


@pytest.mark.parametrize("plugin", ["sep", "richardson-lucy", "matched-filter"])
def test_what_needs_every_pixel_of_the_sky_is_refused(tmp_path: Path, plugin: str) -> None:
    image, _ = mosaic_of("RGGB", (60, 60), seed=1)
    path = tmp_path / "m.fits"
    write(path, image, BAYERPAT="RGGB")
    with pytest.raises(NeedError, match=r"m\.fits.*mosaic.*debayer"):
        run(path, plugin, psf={"fwhm": "3 pixel"})


def test_a_mosaic_that_is_no_square_of_two_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FitsReadError, match=r"BAYERPAT.*not understood.*GGRGGB"):
        colors_of({"BAYERPAT": "GGRGGBGGBGGR"}, where="x.fits[0]")
    image, _ = mosaic_of("RGGB", (60, 60), seed=1)
    write(tmp_path / "m.fits", image, BAYERPAT="XTRANS")
    report = run(tmp_path / "m.fits", "badpix")
    assert report.exit_code == 1
    assert "BAYERPAT" in report.files[0].error


def test_colors_without_a_name_and_cameras_without_colors() -> None:
    assert [c.name for c in colors_of({"BAYERPAT": "TRUE"}, where="")] == ["C1", "C2", "C3", "C4"]
    for header in ({}, {"BAYERPAT": ""}, {"COLORTYP": "NONE"}, {"BAYERPAT": "MONO"}):
        assert colors_of(header, where="") == ()


def test_a_picture_whose_colors_were_interpolated_is_a_cube(tmp_path: Path) -> None:
    write(tmp_path / "rgb.fits", np.ones((3, 40, 50), dtype=np.uint16), BAYERPAT="RGGB")
    with open_exposure(tmp_path / "rgb.fits") as exposure:
        assert [slot.plane for slot in exposure.slots] == [0, 1, 2]
        assert any("left over" in note for note in exposure.notes)
