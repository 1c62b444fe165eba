"""Bits are set in an image of the input: whatever its type, all other bits stay as they are."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from astroclean.errors import FitsWriteError
from astroclean.io.fits.added_bits import check_holds_bits, with_bits_hdu
from astroclean.io.fits.images import own_primary
from astroclean.io.fits.source import FitsSource

if TYPE_CHECKING:
    from pathlib import Path

TYPES = ["u1", "i2", "u2", "i4", "u4", "i8", "u8"]


def stored(path: Path, data: Any, *, packed: bool = False, **cards: Any) -> Path:
    header = fits.Header(cards)
    make = fits.CompImageHDU if packed else fits.ImageHDU
    hdu = make(data, header, name="DQ")
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True, checksum=True)
    return path


def written(path: Path, planes: Any) -> Any:
    target = io.BytesIO()
    target.write(own_primary())
    with FitsSource(path) as source:
        with_bits_hdu(source, source.hdus[1], planes, ["told"], target)
    with fits.open(io.BytesIO(target.getvalue()), checksum=True) as hdus:
        return np.array(hdus[1].data), hdus[1].header.copy()


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(kind=st.sampled_from(TYPES), packed=st.booleans(), seed=st.integers(0, 99))
def test_bits_are_joined_by_or(kind: str, packed: bool, seed: int, tmp_path: Path) -> None:
    packed = packed and kind not in {"i8", "u8"}  # FITS compresses no such integers
    rng, limits = np.random.default_rng(seed), np.iinfo(kind)
    old = rng.integers(limits.min, limits.max, (5, 7), dtype=kind, endpoint=True)
    wide = min((1 << 8 * old.itemsize) - 1, (1 << 62) - 1)
    added = rng.integers(0, wide, old.shape, dtype=np.int64, endpoint=True)
    added[rng.random(old.shape) < 0.5] = 0
    new, header = written(stored(tmp_path / "x.fits", old, packed=packed), [added])
    assert new.dtype.newbyteorder("=") == old.dtype
    np.testing.assert_array_equal(new, old | added.astype(f"u{old.itemsize}").view(kind))
    assert list(header["HISTORY"]) == ["told"]


def test_planes_of_a_cube_and_pixels_without_a_value(tmp_path: Path) -> None:
    cube = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    path = stored(tmp_path / "x.fits", cube, BLANK=7)
    bits = [np.full((3, 4), 32, np.int64), np.full((3, 4), 64, np.int64)]
    target = io.BytesIO()
    with FitsSource(path) as source:
        with_bits_hdu(source, source.hdus[1], bits, [], target)
    with fits.open(
        io.BytesIO(own_primary() + target.getvalue()), do_not_scale_image_data=True
    ) as hdus:
        expected = np.where(cube == 7, 7, cube | np.array([32, 64]).reshape(2, 1, 1))
        np.testing.assert_array_equal(hdus[1].data, expected)


@pytest.mark.parametrize(
    ("data", "cards", "bits", "what"),
    [
        (np.zeros((2, 3), np.float32), {}, 1, "no whole numbers.*BITPIX = -32"),
        (np.zeros((2, 3), np.int16), {"BSCALE": 2}, 1, "no whole numbers.*BSCALE = 2"),
        (np.zeros((2, 3), np.uint8), {}, 256, "8 bits.*256"),
        (np.zeros((2, 3), np.int16), {}, 3 << 16, "16 bits.*131072"),
    ],
)
def test_what_cannot_hold_them_is_refused(
    data: Any, cards: dict[str, Any], bits: int, what: str, tmp_path: Path
) -> None:
    path = stored(tmp_path / "x.fits", data)
    for key, value in cards.items():
        fits.setval(path, key, value=value, ext=1)
    with FitsSource(path) as source, pytest.raises(FitsWriteError, match=rf"DQ(?s:.*){what}"):
        check_holds_bits(source, source.hdus[1], bits)
