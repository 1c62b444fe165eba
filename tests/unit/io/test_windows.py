"""Reading a window of a file is reading the whole and slicing it, whatever the form of the file."""

from __future__ import annotations

import gzip
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from astroclean.io.frames.read import open_exposure, read_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NY, NX = 26, 33


def content(hdus: list[Any]) -> bytes:
    buffer = io.BytesIO()
    fits.HDUList(hdus).writeto(buffer)
    return buffer.getvalue()


def on_sky(hdu: Any) -> Any:
    hdu.header.update(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=30.0, CRVAL2=-5.0)
    hdu.header.update(CRPIX1=11.0, CRPIX2=7.0, CDELT1=-2e-4, CDELT2=2e-4)
    return hdu


def values(dtype: str, *leading: int) -> np.ndarray:
    noise = np.random.default_rng(1).normal(500, 90, (*leading, NY, NX)).astype(dtype)
    if np.dtype(dtype).kind == "f":
        noise[..., 5, 6] = np.nan
    return noise


def scaled() -> bytes:
    hdu = on_sky(fits.PrimaryHDU(values("i2")))
    hdu.header["BLANK"] = int(hdu.data[4, 4])
    hdu.header["BSCALE"], hdu.header["BZERO"] = 0.1, 3.5
    return content([hdu])


def exposure() -> bytes:
    hdus = [fits.PrimaryHDU(), on_sky(fits.ImageHDU(values("f4"), name="SCI"))]
    hdus += [fits.ImageHDU(np.abs(values("f4")) / 9, name="ERR")]
    hdus += [fits.ImageHDU((values("f4") > 600).astype("i2"), name="DQ")]
    hdus[1].header["TRIMSEC"] = f"[3:{NX - 2},2:{NY}]"
    return content(hdus)


def packed(dtype: str, *leading: int, tile: tuple[int, ...] | None = None) -> bytes:
    hdu = fits.CompImageHDU(values(dtype, *leading), compression_type="RICE_1", tile_shape=tile)
    return content([fits.PrimaryHDU(), on_sky(hdu)])


FORMS: dict[str, Callable[[], bytes]] = {
    "plain.fits": lambda: content([on_sky(fits.PrimaryHDU(values("f4")))]),
    "doubles.fits": lambda: content([on_sky(fits.PrimaryHDU(values("f8")))]),
    "unsigned.fits": lambda: content([on_sky(fits.PrimaryHDU(values("u2")))]),
    "scaled.fits": scaled,
    "exposure.fits": exposure,
    "cube.fits": lambda: content([on_sky(fits.PrimaryHDU(values("f4", 3)))]),
    "exposure.fits.gz": lambda: gzip.compress(exposure()),
    "rice.fits.fz": lambda: packed("i2"),
    "tiles.fits.fz": lambda: packed("u2", tile=(7, 10)),
    "quantized.fits.fz": lambda: packed("f4"),
    "cube.fits.fz": lambda: packed("f4", 2, tile=(1, 9, 33)),
}


@pytest.fixture(scope="module", params=FORMS)
def form(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("windows") / request.param
    path.write_bytes(FORMS[request.param]())
    return path


def spans(length: int) -> st.SearchStrategy[slice]:
    ends = st.tuples(st.integers(0, length - 1), st.integers(1, length))
    return ends.map(lambda pair: slice(pair[0], max(pair[1], pair[0] + 1)))


@settings(max_examples=12, deadline=None)
@given(rows=spans(NY), columns=spans(NX), data=st.data())
def test_a_window_is_a_slice_of_the_whole(
    form: Path, rows: slice, columns: slice, data: st.DataObject
) -> None:
    window = rows, columns
    with open_exposure(form) as exposed:
        slot = data.draw(st.sampled_from(exposed.slots))
        part, whole = exposed.frame(slot, window), exposed.frame(slot)
    cut = whole[window]
    np.testing.assert_array_equal(part.data, cut.data)
    np.testing.assert_array_equal(part.flags, cut.flags)
    np.testing.assert_array_equal(part.mask, cut.mask)
    assert (part.uncertainty is None) == (cut.uncertainty is None)
    if part.uncertainty is not None:
        np.testing.assert_array_equal(part.uncertainty.array, cut.uncertainty.array)
    assert part.unit == cut.unit
    x, y = np.array([0.0, 2.0]), np.array([1.0, 0.0])
    here = part.wcs.wcs_pix2world(x, y, 0)
    there = whole.wcs.wcs_pix2world(x + columns.start, y + rows.start, 0)
    np.testing.assert_allclose(here, there, rtol=0, atol=1e-10)


def test_rows_outside_the_section_are_overscan_in_any_window(tmp_path: Path) -> None:
    path = tmp_path / "raw.fits"
    path.write_bytes(exposure())
    frame = read_frame(path, window=(slice(0, 4), slice(0, 5)))
    expected = np.ones((4, 5), dtype=bool)
    expected[1:, 2:] = False
    np.testing.assert_array_equal(frame.where("OVERSCAN"), expected)
