"""Models, shares and what is left: what a run writes of a frame, of bands, and of chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits
from toy_runs import digests, run, write_fits

import astroclean
from astroclean.core.image.frame import Frame
from astroclean.core.sources.sources import Sources
from astroclean.runner.plan.chunks import BASE_BYTES, BYTES_PER_PIXEL

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("toys")

KEEP = ["flags", "sources", "stamps", "regions", "model", "unassigned", "segmentation"]
PRODUCTS = {"keep": KEEP}
TAN = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 150.0,
    "CRVAL2": 2.0,
    "CRPIX1": 16.0,
    "CRPIX2": 12.0,
    "CDELT1": -0.5 / 3600,
    "CDELT2": 0.4 / 3600,
}


def peaks(seed: int, shape: tuple[int, int] = (24, 32), bands: str = "gr") -> dict[str, Any]:
    """Return noise around 0 with the same bright pixels in all bands, some beside each other."""
    rng = np.random.default_rng(seed)
    places = [tuple(rng.integers(0, shape)) for _ in range(shape[0] // 4)]
    images = {band: rng.normal(0, 5, shape).astype(np.float32) for band in bands}
    for y, x in places:
        for image in images.values():
            for row, column in ((y, x), (y, (x + 2) % shape[1])):
                image[row, column] = rng.uniform(1500, 9000)
    for image in images.values():
        image[3, 4] = np.nan
    return images


def assert_all_is_there(folder: Path, stem: str, ext: int, label: str, image: Any) -> Sources:
    """Add up what was written of one frame: models are the layer, shares and the rest the frame."""
    clean = folder / f"{stem}_clean.fits"
    found = Sources.read(
        folder / f"{stem}_sources.fits", hdu=label, stamps=folder / f"{stem}_stamps.fits"
    )
    with fits.open(clean) as hdus:
        model, left = (hdus[name, ext].data for name in ("MODEL", "UNASSIGNED"))
        assert hdus["MODEL", ext].header["BUNIT"] == "adu"
    shares, models = np.zeros(image.shape), np.zeros(image.shape)
    for stamp in found.stamps:
        on_image, of_box = stamp.overlap(image.shape)
        assert stamp.share is not None
        shares[on_image] += stamp.share[of_box]
        models[on_image] += stamp.data[of_box]
    assert np.isnan(left[3, 4])
    np.testing.assert_array_equal((shares + left).astype(np.float32), image)
    np.testing.assert_array_equal(models.astype(np.float32), model)
    assert np.count_nonzero(shares) > 4 * len(found)  # boxes of 9, some beyond the border
    with fits.open(folder / f"{stem}_stamps.fits") as hdus:
        columns = hdus["STAMPS"].columns
        assert {columns[name].unit for name in ("data", "share")} == {"adu"}
    return found


def test_of_a_frame_alone(tmp_path: Path) -> None:
    (image,) = peaks(1, bands="g").values()
    write_fits(tmp_path / "x.fits", image, **TAN)
    assert run(tmp_path, "toy-lights", products=PRODUCTS).exit_code == 0
    out = tmp_path / "out"
    found = assert_all_is_there(out, "x", 1, "[0]", image)
    assert found.bands == ("",)
    model = Frame.read(f"{out / 'x_clean.fits'}[MODEL]")
    assert model.unit == "adu"
    assert model.data.max() > 1500
    text = (out / "x_sources.reg").read_text("utf-8")
    system, *shapes = [line for line in text.splitlines() if not line.startswith("#")]
    assert system == "icrs"
    assert len(shapes) == len(found)
    assert all(line.startswith("ellipse(") and "color=cyan" in line for line in shapes)


def test_of_bands_in_files_of_their_own(tmp_path: Path) -> None:
    images = peaks(2)
    for band, image in images.items():
        write_fits(tmp_path / f"m_{band}.fits", image)
    names, bands = ["m_r.fits", "m_g.fits"], {"g": "*_g.fits", "r": "*_r.fits"}
    assert run(tmp_path, "toy-lights", inputs=names, bands=bands, products=PRODUCTS).exit_code == 0
    found = {}
    for band, image in images.items():
        found[band] = assert_all_is_there(tmp_path / "out", f"m_{band}", 1, "[0]", image)
        assert found[band].bands == (band,)
    assert found["g"].table["id"].tolist() == found["r"].table["id"].tolist()
    assert [s.origin for s in found["g"].stamps] == [s.origin for s in found["r"].stamps]
    pairs = zip(found["g"].stamps, found["r"].stamps, strict=True)
    assert all((green.data != red.data).all() for green, red in pairs)


def test_of_bands_in_one_file(tmp_path: Path) -> None:
    images = peaks(3)
    write_fits(tmp_path / "x.fits", images["r"], images["g"])
    bands = {"g": "[SCI,2]", "r": "[SCI,1]"}
    assert run(tmp_path, "toy-lights", bands=bands, products=PRODUCTS).exit_code == 0
    for number, band in ((1, "r"), (2, "g")):
        label = f"[SCI,{number}]"
        found = assert_all_is_there(tmp_path / "out", "x", number, label, images[band])
        assert found.bands == (band,)
    rows = fits.getdata(tmp_path / "out" / "x_stamps.fits", "STAMPS")
    assert {(row["hdu"], row["band"]) for row in rows} == {("[SCI,1]", "r"), ("[SCI,2]", "g")}


def test_units_that_differ_are_not_told(tmp_path: Path) -> None:
    images = peaks(3)
    write_fits(tmp_path / "x.fits", images["g"], images["r"])
    with fits.open(tmp_path / "x.fits", mode="update") as hdus:
        hdus[2].header["BUNIT"] = "electron"
    assert run(tmp_path, "toy-lights", products=PRODUCTS).exit_code == 0
    with fits.open(tmp_path / "out" / "x_stamps.fits") as hdus:
        assert hdus["STAMPS"].columns["share"].unit is None


@pytest.mark.parametrize("bands", ["g", "gr"])
def test_chunks_give_the_same_bytes(bands: str, tmp_path: Path) -> None:
    images = peaks(4, (420, 30), bands)
    for band, image in images.items():
        write_fits(tmp_path / f"m_{band}.fits", image, **TAN)
    told = {"bands": {b: f"*_{b}.fits" for b in bands}} if len(bands) > 1 else {}
    pipeline: dict[str, Any] = {
        "schema": 1,
        "stage": [{"plugin": "toy-lights"}],
        "products": {**PRODUCTS, "report": False},
        **told,
    }
    limit = f"{(BASE_BYTES + 120 * len(bands) * 30 * BYTES_PER_PIXEL) / 1e6:.3f} MB"
    found = []
    for name, settings in (("whole", {}), ("cut", {"max_memory": limit})):
        inputs = [tmp_path / f"m_{band}.fits" for band in bands]
        report = astroclean.run({**pipeline, "run": settings}, inputs, output=tmp_path / name)
        assert [file.error for file in report.files] == [None] * len(bands)
        assert bool(settings) == all("chunks of" in " ".join(f.notes) for f in report.files)
        found.append(digests(tmp_path / name))
    assert found[0] == found[1]
    for band, image in images.items():
        own = assert_all_is_there(tmp_path / "cut", f"m_{band}", 1, "[0]", image)
        assert len(own) > 100
    text = (tmp_path / "cut" / "m_g_sources.reg").read_text("utf-8")
    assert text.count("ellipse(") == len(own)


@pytest.mark.slow
def test_a_state_between_stages_keeps_shares_and_ellipses(tmp_path: Path, cli: Any) -> None:
    (image,) = peaks(5, bands="g").values()
    write_fits(tmp_path / "x.fits", image, **TAN)
    keep = ", ".join(f'"{word}"' for word in KEEP)
    text = f"""schema = 1
instrument = "generic-ccd"
[[stage]]
plugin = "toy-lights"
[[stage]]
plugin = "toy-source-mask"
[products]
keep = [{keep}]
report = false
[run]
keep_stages = true
"""
    (tmp_path / "p.toml").write_text(text, "utf-8")
    assert cli("run", "p.toml", "x.fits", "-o", "out").status == 0
    first = digests(tmp_path / "out")
    again = cli("run", "p.toml", "x.fits", "-o", "out", "--from", "toy-source-mask")
    assert again.status == 0, again.err
    assert digests(tmp_path / "out") == first
    assert_all_is_there(tmp_path / "out", "x", 1, "[0]", image)
    assert "ellipse(" in (tmp_path / "out" / "x_sources.reg").read_text("utf-8")
