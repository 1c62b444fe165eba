"""Compressed images made by strips: bit for bit those that astropy makes in one piece."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import fitsio
import numpy as np
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from astroclean.io.fits.encode import encode_hdu, packed_image
from astroclean.io.fits.images import own_primary
from astroclean.io.fits.packing import PackedForm, write_packed

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

DTYPES = ["f4", "f8", "u4", "i2", "i4", "u1"]


def image(shape: tuple[int, ...], dtype: str, seed: int = 4) -> np.ndarray:
    values = np.random.default_rng(seed).normal(90, 9, shape)
    if dtype == "u4":
        values += 1 << 29
    return values.astype(dtype)


def by_strips(data: np.ndarray, heights: list[int], **more: Any) -> bytes:
    ny, nx = data.shape[-2:]
    blocks = []
    for plane in data.reshape(-1, ny, nx):
        start = 0
        for height in [*heights, ny]:
            blocks += [plane[start : start + height]] if start < ny else []
            start += height
    target = io.BytesIO()
    write_packed(PackedForm(data.shape, data.dtype, **more), blocks, target)
    return target.getvalue()


@given(
    dtype=st.sampled_from(DTYPES),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 30)),
    planes=st.integers(0, 3),
    heights=st.lists(st.integers(1, 12), max_size=5),
    tile=st.none() | st.tuples(st.integers(1, 15), st.integers(1, 15)),
)
@settings(max_examples=60, deadline=None)
def test_strips_give_the_bytes_of_one_piece(
    dtype: str,
    shape: tuple[int, int],
    planes: int,
    heights: list[int],
    tile: tuple[int, int] | None,
) -> None:
    data = image((planes, *shape) if planes else shape, dtype)
    header = fits.Header([("EXTVER", 2, "number"), ("HISTORY", "a line")])
    told = None
    if tile is not None:
        sides = tuple(min(side, length) for side, length in zip(tile, shape, strict=True))
        told = (1, *sides) if planes else sides
    whole = encode_hdu(packed_image(data, header, name="FLAGS", tile=told))
    assert by_strips(data, heights, header=header, name="FLAGS", tile=told) == whole


def test_tiles_of_several_planes() -> None:
    data = image((4, 9, 12), "f4")
    whole = encode_hdu(packed_image(data, fits.Header(), tile=(2, 3, 12)))
    assert by_strips(data, [4], tile=(2, 3, 12)) == whole


def test_offsets_of_64_bits_are_read_by_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they are in images whose heap goes beyond 2 GiB."""
    monkeypatch.setattr("astroclean.io.fits.packing._WIDE_HEAP", 100)
    data = image((60, 50), "f4")
    path = tmp_path / "wide.fits.fz"
    path.write_bytes(own_primary() + by_strips(data, [7], name="SCI"))
    assert np.array_equal(fitsio.read(str(path), ext="SCI"), data)
    with fits.open(path, disable_image_compression=True) as hdus:
        assert hdus[1].header["TFORM1"].startswith("1QB")
    assert np.array_equal(fits.getdata(path, "SCI"), data)
