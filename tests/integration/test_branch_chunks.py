"""Deconvolved images and tables of frames larger than memory: the same bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from toy_runs import digests, hdu_names, write_fits

import astroclean
from astroclean.errors import ContractError, NeedError
from astroclean.registry.load import load_stage
from astroclean.runner.plan.chunks import BASE_BYTES, BYTES_PER_PIXEL
from astroclean.runner.work.state import Account, FrameState
from astroclean.runner.work.states import load_states, save_states
from astroclean.testing.contracts import DeconvolverContract
from astroclean.testing.frames import synthetic_frame

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("toys")

SHAPE = (420, 90)
OPTIONS: dict[str, Any] = {"saturation": {"max_hole": 20}, "interpolate": {"max_distance": 4}}
"""So that halos are of few rows."""
KEEP = ["flags", "uncertainty", "residual", "added", "tables", "sources", "probabilities"]
CCD = {"GAIN": 2.0, "RDNOISE": 4.0, "SATURATE": 6e4}


def scene(seed: int = 3, dtype: str = "float32") -> Any:
    """Return noise of 500 +- 10 with knots of one pixel, many of them beside borders of chunks."""
    rng = np.random.default_rng(seed)
    image = rng.normal(500, 10, SHAPE)
    rows = np.concatenate([rng.choice(np.arange(2, 418), 60, replace=False), np.arange(3, 415, 4)])
    image[rows, rng.choice(np.arange(2, 86, 4), len(rows))] += rng.integers(1500, 9000, len(rows))
    image[200:204, 50:53] = 60000
    return image.astype(dtype)


def psf_cube(folder: Path) -> dict[str, Any]:
    """Write a PSF that is wider at the top, and return the table that names it."""
    y, x = np.indices((11, 11)) - 5
    planes = [np.exp(-(x**2 + y**2) / (2 * width**2)) for width in (1.0, 1.1, 1.3, 1.4)]
    planes = [plane / plane.sum() for plane in planes]
    places = [(0.1, 0.2), (0.1, 89.7), (419.3, 0.2), (419.3, 89.7)]
    header = fits.Header({"OVERSAMP": 1, **{f"DET_YX{n}": str(p) for n, p in enumerate(places)}})
    fits.PrimaryHDU(np.stack(planes), header).writeto(folder / "psf.fits")
    return {"file": str(folder / "psf.fits")}


def done(
    folder: Path,
    path: Path | Sequence[Path],
    stages: Sequence[str],
    *,
    rows: int | None = None,
    **tables: Any,
) -> tuple[dict[str, str], list[Any]]:
    """Return the hashes of all files, and what the report says of the frames."""
    listed = [
        {"plugin": one, "name": f"{one}{n}", "options": OPTIONS.get(one, {})}
        for n, one in enumerate(stages)
    ]
    config = {
        "schema": 1,
        "instrument": {"name": "generic-ccd"},
        "stage": listed,
        "psf": {"fwhm": "2.5 pixel"},
        **tables,
        "products": {"keep": KEEP, "report": False, **tables.get("products", {})},
    }
    if rows is not None:
        bands = len(tables.get("bands", "1"))
        limit = BASE_BYTES + rows * SHAPE[1] * bands * BYTES_PER_PIXEL
        config["run"] = {"max_memory": f"{limit / 1e6:.3f} MB"}
    report = astroclean.run(config, path, output=folder, jobs=0)
    assert [file.error for file in report.files] == [None] * len(report.files)
    for file in report.files:
        assert any("chunks of" in note for note in file.notes) == (rows is not None)
    hidden = {"stages": {"__all__": {"seconds"}}}
    return digests(folder), [f.model_dump(exclude=hidden) for r in report.files for f in r.frames]


@pytest.mark.parametrize(
    ("stages", "varies"),
    [
        (["toy-crisp"], True),
        (["toy-local-bright", "toy-crisp", "toy-local-bright"], False),
        (["saturation", "toy-crisp", "saturation", "toy-local-bright"], True),
        (["toy-crisp", "interpolate"], False),
        (["toy-lights", "toy-crisp", "toy-lights"], True),
        (["toy-crisp", "saturation", "toy-lights", "toy-source-mask"], True),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_deconvolved_in_chunks_is_deconvolved_whole(
    tmp_path: Path, stages: list[str], varies: bool
) -> None:
    """Image, uncertainty, PSF, layers, table, catalogue, and what later stages make of them."""
    path = write_fits(tmp_path / "x.fits", scene(), **CCD)
    psf = psf_cube(tmp_path) if varies else {"fwhm": "2.5 pixel"}
    whole = done(tmp_path / "whole", path, stages, psf=psf)
    cut = done(tmp_path / "cut", path, stages, psf=psf, rows=170)
    assert cut[1] == whole[1]
    assert cut[0] == whole[0]
    names = hdu_names(tmp_path / "cut" / "x_clean.fits")
    assert {"DECONV", "DECONV_UNCERT", "DECONV_PSF", "ADDED", "ADDED_UNCERT"} <= set(names)
    with fits.open(tmp_path / "cut" / "x_clean.fits") as hdus:
        assert hdus["DECONV_PSF"].data.shape[:-2] == ((4,) if varies else ())
        assert ("DET_YX2" in hdus["DECONV_PSF"].header) == varies


@pytest.mark.parametrize(
    ("form", "after"),
    [("float32", []), ("int16", ["toy-local-bright"]), ("fz", ["saturation"])],
    ids=["float32", "int16", "fz"],
)
def test_what_replaces_the_science_image(tmp_path: Path, form: str, after: list[str]) -> None:
    """All of its pixels, whether an earlier stage changed any of them or none."""
    image = scene(dtype="int16" if form == "int16" else "float32")
    path = tmp_path / ("x.fits.fz" if form == "fz" else "x.fits")
    if form == "fz":
        header = fits.Header({"BUNIT": "adu", **CCD})
        packed = fits.CompImageHDU(image, header, name="SCI", compression_type="GZIP_2")
        fits.HDUList([fits.PrimaryHDU(), packed]).writeto(path)
    else:
        write_fits(path, image, **CCD)
    stages = ["toy-crisp", *after]
    whole = done(tmp_path / "whole", path, stages, products={"replace": True})
    cut = done(tmp_path / "cut", path, stages, products={"replace": True}, rows=170)
    assert cut == whole
    (written,) = (tmp_path / "cut").glob("x_clean.*")
    with fits.open(written) as hdus:
        assert "DECONV" not in hdus
        assert "DECONV_UNCERT" in hdus
        replaced = hdus["SCI" if form == "fz" else 0].data
    kept = done(tmp_path / "kept", path, stages)
    assert kept != whole
    (written,) = (tmp_path / "kept").glob("x_clean.*")
    with fits.open(written) as hdus:
        np.testing.assert_array_equal(hdus["DECONV"].data, replaced)
        assert np.abs(replaced - image).max() > 1000


def test_an_uncertainty_of_the_file_goes_beside_that_of_the_result(tmp_path: Path) -> None:
    """The science image keeps its own, of its own type."""
    images = [scene(), np.full(SHAPE, 100, np.float32)]
    path = write_fits(tmp_path / "x.fits", *images, names=("SCI", "VAR"), **CCD)
    stages = ["saturation", "toy-crisp", "saturation", "interpolate"]
    whole = done(tmp_path / "whole", path, stages)
    assert done(tmp_path / "cut", path, stages, rows=170) == whole


def test_bands_side_by_side(tmp_path: Path) -> None:
    inputs = [write_fits(tmp_path / f"m_{b}.fits", scene(ord(b)), **CCD) for b in "gr"]
    stages = ["toy-crisp", "toy-pair", "saturation"]
    bands = {"g": "*_g.fits", "r": "*_r.fits"}
    whole = done(tmp_path / "whole", inputs, stages, bands=bands)
    assert done(tmp_path / "cut", inputs, stages, bands=bands, rows=150) == whole


@pytest.mark.slow
@pytest.mark.parametrize("rows", [7, 130])
def test_a_thing_between_two_chunks_has_one_row(tmp_path: Path, rows: int) -> None:
    """In order of its place, which is that in the frame; all knots lie half way between rows."""
    path = write_fits(tmp_path / "x.fits", scene(), **CCD)
    done(tmp_path / "cut", path, ["toy-crisp"], rows=rows)
    table = QTable.read(tmp_path / "cut" / "x_knots.ecsv")
    image = fits.getdata(tmp_path / "cut" / "x_clean.fits", "DECONV")
    y = np.asarray(table["top"]) - 1
    x = np.asarray(table["x"]).astype(int)
    np.testing.assert_array_equal(table["y"].value, y + 0.5)
    np.testing.assert_array_equal(image[y, x], table["peak"].value)
    assert len({*zip(y, x, strict=True)}) == len(table) > 100
    padded = np.pad(image, 1, constant_values=-np.inf)
    around = [padded[1 + j :, 1 + i :][:420, :90] for j in (-1, 0, 1) for i in (-1, 0, 1)]
    assert len(table) == np.count_nonzero((image > 1000) & (image == np.max(around, axis=0)))
    assert (np.diff(np.rint(table["y"].value)) >= 0).all()
    assert table["y"].info.description == "middle between two rows"


def failure(folder: Path, *, rows: int | None, **options: Any) -> str:
    """Return why a run of `toy-crisp` with a fault fails."""
    path = write_fits(folder / "x.fits", scene(), **CCD)
    limit = BASE_BYTES + (rows or 9999) * SHAPE[1] * BYTES_PER_PIXEL
    config = {
        "schema": 1,
        "stage": [{"plugin": "toy-crisp", "name": "crisp", "options": options}],
        "psf": {"fwhm": "2.5 pixel"},
        "products": {"keep": KEEP, "report": False},
        "run": {"max_memory": f"{limit / 1e6:.3f} MB"},
    }
    (file,) = astroclean.run(config, path, output=folder / "out", jobs=0).files
    assert not list((folder / "out").glob("*_clean*"))
    assert file.error is not None
    return str(file.error)


def test_a_psf_that_is_of_the_chunk_is_refused_with_the_name_of_the_stage(tmp_path: Path) -> None:
    told = failure(tmp_path, rows=170, fault="psf")
    assert "stage 'crisp'" in told
    assert "PSF" in told
    assert "differs from chunk to chunk" in told


@pytest.mark.parametrize("rows", [None, 170])
@pytest.mark.parametrize(
    ("fault", "why"), [("place", "column 'y'"), ("seconds", "in pixels")], ids=["place", "unit"]
)
def test_a_table_without_places_is_refused_whole_and_cut(
    tmp_path: Path, rows: int | None, fault: str, why: str
) -> None:
    told = failure(tmp_path, rows=rows, fault=fault)
    assert "stage 'crisp'" in told
    assert "knots" in told
    assert why in told


@pytest.mark.parametrize(
    ("stages", "why"),
    [
        (["toy-crisp", "toy-bright"], "stage 'toy-bright1' needs the whole frame"),
        (["toy-crisp", "toy-sharpen"], "stage 'toy-sharpen1' needs the whole frame"),
        (["toy-crisp", "toy-finer"], "stage 'toy-finer1' needs the whole frame"),
        (["toy-listing"], "the tables of stage 'toy-listing0' are of the whole frame"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_what_cannot_work_in_chunks_is_refused_by_name(
    tmp_path: Path, stages: list[str], why: str
) -> None:
    path = write_fits(tmp_path / "x.fits", scene(), **CCD)
    with pytest.raises(NeedError, match=why):
        done(tmp_path / "out", path, stages, rows=170)
    done(tmp_path / "whole", path, stages)


class TestCrisp(DeconvolverContract):
    plugin = "toy-crisp"
    flux_kept = 0.2


class TestContracts:
    """They find a stage whose chunks differ."""

    frame = synthetic_frame(seed=7)

    @pytest.mark.parametrize(("fault", "error"), [("halo", AssertionError), ("psf", ContractError)])
    def test_of_image_and_psf(self, fault: str, error: type[Exception]) -> None:
        stage = load_stage("toy-crisp", fault=fault)
        with pytest.raises(error):
            TestCrisp().test_chunks_give_the_same_bytes(stage, self.frame)

    def test_of_a_table(self) -> None:
        class Forgets(type(load_stage("toy-crisp"))):  # type: ignore[misc]
            y_columns = ("y",)

        assert len(Forgets().run(self.frame).tables["knots"]) > 10
        with pytest.raises(AssertionError, match="top"):
            TestCrisp().test_chunks_give_the_same_bytes(Forgets(), self.frame)


def test_a_saved_state_keeps_the_tables_of_its_stages(tmp_path: Path) -> None:
    """Each under the name of its stage."""
    state = FrameState(synthetic_frame(seed=7))
    given = load_stage("toy-crisp").run(state.frame)
    state = replace(state, account=Account(tables={"crisp": given.tables}))
    save_states(tmp_path / "state.npz", {"": state}, scratch=tmp_path)
    again = load_states(tmp_path / "state.npz", {"": state.frame})[""].account.tables
    table, kept = given.tables["knots"], again["crisp"]["knots"]
    assert len(table) > 10
    for name in ("x", "y", "top", "peak"):
        np.testing.assert_array_equal(kept[name], table[name])
