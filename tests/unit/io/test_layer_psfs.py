"""PSFs of the planes of a cube are written and read again, whichever planes have one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits

from astroclean.core.image.frame import Frame
from astroclean.core.image.grid import Grid
from astroclean.core.image.layer import Layer
from astroclean.core.psf.psf import Psf
from astroclean.io.fits.encode import encode_hdu
from astroclean.io.products.layers import layer_images
from astroclean.io.products.names import OWNER_KEYWORD, WRITER_KEYWORD

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (12, 14)


def narrow() -> Psf:
    return Psf.gaussian(fwhm_pixels=2.0)


def wide() -> Psf:
    return Psf.gaussian(fwhm_pixels=5.0)


def varying() -> Psf:
    stamps = [Psf.gaussian(fwhm_pixels=width).stamps[0] for width in (3.0, 4.0, 5.0)]
    side = min(len(stamp) for stamp in stamps)
    first = [(len(stamp) - side) // 2 for stamp in stamps]
    even = np.stack([s[n : n + side, n : n + side] for s, n in zip(stamps, first, strict=True)])
    return Psf(even, [(1.0, 2.0), (10.0, 3.5), (6.0, 9.0)], computed=True)


def written(path: Path, psfs: list[Psf | None]) -> fits.HDUList:
    cards = fits.Header()
    for keyword, value in (("EXTVER", 1), (OWNER_KEYWORD, "SCI,1"), (WRITER_KEYWORD, "0")):
        cards[keyword] = value
    cube = np.zeros((len(psfs), *SHAPE), np.float32)
    science = fits.ImageHDU(cube, fits.Header({"BUNIT": "adu"}), name="SCI")
    layers = [Layer(p, Grid(SHAPE), u.adu, psf=psf) for p, psf in zip(cube, psfs, strict=True)]
    images = layer_images("DECONV", layers, cards)
    hdus = [
        fits.ImageHDU(np.stack(i.planes) if len(i.planes) > 1 else i.planes[0], i.header, i.name)
        for i in images
    ]
    path.write_bytes(b"".join(map(encode_hdu, [fits.PrimaryHDU(), science, *hdus])))
    return fits.open(path)


def assert_same(seen: Psf | None, given: Psf | None) -> None:
    if given is None:
        assert seen is None
        return
    assert seen is not None
    np.testing.assert_allclose(seen.stamps, given.stamps, rtol=0, atol=1e-12)
    np.testing.assert_allclose(seen.fine, given.fine, rtol=0, atol=1e-9)
    assert (seen.positions is None) == (given.positions is None)
    if given.positions is not None:
        np.testing.assert_allclose(seen.positions, given.positions)


@pytest.mark.parametrize(
    "makers",
    [
        (narrow, wide, narrow),
        (wide, varying, narrow),
        (varying, varying),
        (None, narrow),
        (narrow, None, wide),
    ],
)
def test_each_plane_gets_its_own_again(tmp_path: Path, makers: tuple[Any, ...]) -> None:
    given = [None if make is None else make() for make in makers]
    written(tmp_path / "x.fits", given).close()
    for plane, psf in enumerate(given):
        assert_same(Frame.read(f"{tmp_path / 'x.fits'}[DECONV]", plane=plane).psf, psf)


def test_equal_psfs_are_written_once(tmp_path: Path) -> None:
    with written(tmp_path / "x.fits", [varying(), varying()]) as hdus:
        assert len(hdus["DECONV_PSF"].data) == 3
        assert not [card for card in hdus["DECONV_PSF"].header if card.startswith("ACPL")]


def test_images_of_several_sizes_are_centred(tmp_path: Path) -> None:
    """Others read them as stamps of one size: the light is where it was, nothing is added."""
    with written(tmp_path / "x.fits", [narrow(), wide()]) as hdus:
        images = hdus["DECONV_PSF"].data
    assert narrow().shape != wide().shape
    np.testing.assert_allclose(images.sum(axis=(1, 2)), 1, atol=1e-12)
    middle = images.shape[1] // 2
    assert [np.unravel_index(image.argmax(), image.shape) for image in images] == [
        (middle, middle)
    ] * 2
