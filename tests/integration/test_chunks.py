"""Frames larger than the memory limit: the same bytes, in less memory."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable

import astroclean
from astroclean.config.load import load_pipeline
from astroclean.core.sources.sources import Sources
from astroclean.core.stage.scope import chunk_of
from astroclean.core.stage.stage import Stage
from astroclean.errors import ConfigurationError, NeedError
from astroclean.io.frames.read import Exposure
from astroclean.io.scratch.rowstore import RowStore
from astroclean.runner.plan.chunks import BASE_BYTES, BYTES_PER_PIXEL, _Cost
from astroclean.runner.plan.plan import PlanRequest, plan_file
from astroclean.runner.work.statestore import Images
from astroclean.simulate.exposure import write_exposure

PIPELINE: dict[str, Any] = {
    "schema": 1,
    "stage": [
        {"plugin": "lacosmic"},
        {"plugin": "interpolate", "options": {"max_distance": 4}},
    ],
    "products": {"keep": ["flags", "uncertainty", "removed", "residual"], "report": False},
}


def limit_for(rows: int, width: int) -> str:
    """Return a limit that lets so many rows, halo among them, into memory."""
    return f"{(BASE_BYTES + rows * width * BYTES_PER_PIXEL) / 1e6:.3f} MB"


def cleaned(
    folder: Path, path: Path, pipeline: dict[str, Any] | None = None, **run: Any
) -> tuple[bytes, list[Any]]:
    """Return the bytes of the cleaned file, and what the report says of its frames."""
    report = astroclean.run({**(pipeline or PIPELINE), "run": run}, path, output=folder)
    assert report.exit_code == 0, report.files[0].error
    windows = any("chunks of" in note for note in report.files[0].notes)
    assert windows == bool(run)
    told = [
        frame.model_dump(exclude={"stages": {"__all__": {"seconds"}}})
        for frame in report.files[0].frames
    ]
    return next(folder.glob("*_clean.*")).read_bytes(), told


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".fits", ".fits.gz", ".fits.fz"])
def test_windows_give_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"raw{suffix}"
    write_exposure(path, seed=2, shape=(420, 90))
    drawn = {**PIPELINE, "products": {**PIPELINE["products"], "report": True}}
    whole = cleaned(tmp_path / "whole", path, drawn)
    # The halo of both stages is 127 rows; three chunks, the last shorter than the others.
    cut = cleaned(tmp_path / "cut", path, drawn, max_memory=limit_for(2 * 127 + 150, 90))
    (told,) = whole[1]
    assert [view["title"] for view in told["previews"]] == ["overview", "detail 1", "detail 2"]
    assert told["values"]["saturation"]["value"] > 0
    assert told["histogram"] is not None
    assert told["spectrum"] is not None
    assert cut == whole


@pytest.mark.slow
def test_stages_whose_halos_do_not_fit_together_go_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "raw.fits"
    write_exposure(path, seed=2, shape=(420, 90))
    whole, _ = cleaned(tmp_path / "whole", path)
    # Of the halo of both, 102 rows are those of lacosmic.
    limit = limit_for(2 * 102 + 67, 90)
    report = astroclean.run(
        {**PIPELINE, "run": {"max_memory": limit}}, path, output=tmp_path / "cut"
    )
    (note,) = [text for text in report.files[0].notes if "chunks of" in text]
    assert "with a halo of 102, then " in note
    assert note.endswith("with a halo of 39")
    assert (tmp_path / "cut" / "raw_clean.fits").read_bytes() == whole


@pytest.mark.slow
@pytest.mark.parametrize(("side", "limit"), [(12000, "1.1GB"), (20000, "2GB")])
def test_giant_frames_have_a_plan_within_the_limit(tmp_path: Path, side: int, limit: str) -> None:
    path, size = tmp_path / "giant.fits", 4 * side * side
    cards = {"SIMPLE": True, "BITPIX": -32, "NAXIS": 2, "NAXIS1": side, "NAXIS2": side}
    header = fits.Header({**cards, "BUNIT": "adu", "GAIN": 1.5, "RDNOISE": 5.0, "SATURATE": 5e4})
    content = header.tostring(endcard=True, padding=True).encode("ascii")
    with path.open("wb") as stream:  # sparse: it takes no room
        stream.write(content)
        stream.truncate(len(content) + size + -size % 2880)
    stages = [{"plugin": "lacosmic"}, {"plugin": "interpolate"}]
    pipeline = load_pipeline({"schema": 1, "stage": stages, "run": {"max_memory": limit}})
    plan = plan_file(PlanRequest(str(path), pipeline, ("lacosmic", "interpolate"), 1))
    assert plan.chunks is not None
    first, second = plan.chunks.passes
    most = pipeline.config.run.memory_bytes
    assert most is not None
    # What lacosmic loses is still lost when interpolate has its bands.
    examined = side * side * (first.rows + 2 * first.halo) / first.rows
    for segment in (first, second):
        band = side * (segment.rows + 2 * segment.halo)
        assert 215e6 + 75 * band + examined < most


def test_large_gzip_is_unpacked_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "raw.fits.gz"
    write_exposure(path, seed=2, shape=(420, 90))
    whole = cleaned(tmp_path / "memory", path)
    monkeypatch.setattr("astroclean.io.packed.unpacking._IN_MEMORY", 100)
    assert cleaned(tmp_path / "disk", path) == whole


def test_windows_with_uncertainty_dq_and_integers(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    data = rng.normal(500, 10, (400, 80)).astype(np.float32)
    data[rng.integers(0, 400, 60), rng.integers(0, 80, 60)] += 2000
    dq = np.zeros(data.shape, dtype=np.int16)
    dq[200:203, 30:33] = 1
    images = [("SCI", data), ("ERR", np.full_like(data, 10)), ("DQ", dq)]
    hdus = [fits.ImageHDU(image, name=name) for name, image in images]
    hdus[0].header["BUNIT"] = "adu"
    path = tmp_path / "mef.fits"
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    whole = cleaned(tmp_path / "whole", path)
    cut = cleaned(tmp_path / "cut", path, max_memory=limit_for(2 * 127 + 100, 80))
    assert cut == whole
    flags = fitsio.read(str(tmp_path / "cut" / "mef_clean.fits"), ext="FLAGS")
    error = fitsio.read(str(tmp_path / "cut" / "mef_clean.fits"), ext="ERR")
    filled = (flags & int(astroclean.MaskPlane.INTERPOLATED)) != 0
    assert filled[200:203, 30:33].all()
    assert np.isnan(error[filled]).all()


@pytest.mark.parametrize("level", [2500, "clipped"])
def test_a_stage_that_surveys_the_frame_between_others(tmp_path: Path, level: float | str) -> None:
    """A trail of 300 rows crosses all bands; its only saturated pixels are at one end."""
    rng = np.random.default_rng(5)
    data = rng.normal(500, 10, (400, 80)).astype(np.float32)
    data[50:350, 40:60] = 2100  # so wide that its middle is no cosmic ray
    data[340:348, 48:53] = 2500
    data[rng.integers(0, 400, 60), rng.integers(0, 36, 60)] += 1000
    header = fits.Header({"BUNIT": "adu", "GAIN": 2.0, "RDNOISE": 4.0})
    fits.PrimaryHDU(data, header).writeto(tmp_path / "raw.fits")
    stages = [
        {"plugin": "lacosmic"},
        {"plugin": "interpolate", "options": {"max_distance": 4, "planes": ["CR"]}},
        {"plugin": "saturation", "options": {"level": level, "max_hole": 20}},
        {"plugin": "interpolate", "name": "again", "options": {"max_distance": 4}},
    ]
    pipeline = {**PIPELINE, "stage": stages}
    whole = cleaned(tmp_path / "whole", tmp_path / "raw.fits", pipeline)
    limit = limit_for(2 * 127 + 60, 80)
    assert cleaned(tmp_path / "cut", tmp_path / "raw.fits", pipeline, max_memory=limit) == whole
    flags = fitsio.read(str(tmp_path / "cut" / "raw_clean.fits"), ext="FLAGS")
    assert (flags[55:340, 50] & int(astroclean.MaskPlane.SATURATED)).all()


@pytest.mark.slow
@pytest.mark.usefixtures("toys")
def test_a_network_between_others_sees_the_tiles_of_the_whole_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sky is measured on the frame as the stages before it left it."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "data" / "toy_networks"))
    toy_networks = importlib.import_module("toy_networks")
    card = toy_networks.write_package(tmp_path) / "card.toml"
    write_exposure(tmp_path / "raw.fits", seed=2, shape=(420, 90))
    stages = [
        {"plugin": "lacosmic"},
        {"plugin": "toy-restore", "options": {"card": str(card)}},
        {"plugin": "interpolate", "options": {"max_distance": 4}},
    ]
    pipeline = {**PIPELINE, "stage": stages}
    whole = cleaned(tmp_path / "whole", tmp_path / "raw.fits", pipeline)
    limit = limit_for(2 * 127 + 60, 90)
    assert cleaned(tmp_path / "cut", tmp_path / "raw.fits", pipeline, max_memory=limit) == whole
    assert whole != cleaned(tmp_path / "without", tmp_path / "raw.fits")


def test_an_image_that_some_bands_lack_keeps_its_rows(tmp_path: Path) -> None:
    stores = Images((5, 2), tmp_path)
    ones = np.ones((2, 2), np.float32)
    stores.append({"data": ones})
    stores.append({"data": ones, "uncertainty": 2 * ones, "product REMOVED": 3 * ones})
    stores.append({"data": ones[:1]})
    told = {name: store[slice(0, 5)][:, 0].tolist() for name, store in stores.images.items()}
    nan = pytest.approx(np.nan, nan_ok=True)
    assert told["data"] == [1] * 5
    assert told["uncertainty"] == [nan, nan, 2, 2, nan]
    assert told["product REMOVED"] == [0, 0, 3, 3, 0]


@pytest.mark.parametrize("tile", [None, (7, 40), (90, 80)])
def test_compressed_integers_with_checksums(tmp_path: Path, tile: tuple[int, int] | None) -> None:
    rng = np.random.default_rng(5)
    data = rng.normal(500, 10, (400, 80)).astype(np.int16)
    data[rng.integers(0, 400, 60), rng.integers(0, 80, 60)] += 2000
    header = fits.Header({"BUNIT": "adu", "GAIN": 2.0, "RDNOISE": 4.0, "SATURATE": 6e4})
    hdu = fits.CompImageHDU(data, header, compression_type="RICE_1", tile_shape=tile, name="SCI")
    path = tmp_path / "raw.fits.fz"
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, checksum=True)
    whole = cleaned(tmp_path / "whole", path)
    assert cleaned(tmp_path / "cut", path, max_memory=limit_for(2 * 127 + 90, 80)) == whole
    with fits.open(tmp_path / "cut" / "raw_clean.fits.fz", checksum=True) as hdus:
        assert np.isfinite(hdus["SCI"].data).all()


def test_a_file_compressed_in_one_tile_is_refused(tmp_path: Path) -> None:
    data = np.random.default_rng(5).normal(500, 10, (900, 80)).astype(np.float32)
    header = fits.Header({"BUNIT": "adu", "GAIN": 2.0, "RDNOISE": 4.0})
    hdu = fits.CompImageHDU(data, header, compression_type="GZIP_2", tile_shape=(900, 80))
    path = tmp_path / "raw.fits.fz"
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    with pytest.raises(NeedError, match="funpack"):
        cleaned(tmp_path / "out", path, max_memory=limit_for(2 * 127 + 90, 80))


def test_a_band_is_gone_before_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or two bands would be in memory together."""
    write_exposure(tmp_path / "raw.fits", seed=2, shape=(1400, 60))
    seen: list[weakref.ref[Any]] = []
    alive: list[int] = []
    read = Exposure.frame

    def frame(self: Exposure, *arguments: Any) -> Any:
        alive.append(sum(pixels() is not None for pixels in seen))
        found = read(self, *arguments)
        seen.append(weakref.ref(found.data))
        return found

    monkeypatch.setattr(Exposure, "frame", frame)
    stages = [{"plugin": "lacosmic"}, {"plugin": "interpolate", "options": {"max_distance": 4}}]
    pipeline = {**PIPELINE, "stage": [{"plugin": "saturation"}, *stages]}
    cleaned(
        tmp_path / "out", tmp_path / "raw.fits", pipeline, max_memory=limit_for(2 * 225 + 120, 60)
    )
    assert len(alive) > 2 * 10  # a survey, and the stages
    assert set(alive) == {0}


def test_cubes_go_plane_by_plane_and_band_by_band(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    cube = rng.normal(500, 10, (2, 380, 60)).astype(np.float32)
    cube[:, rng.integers(0, 380, 40), rng.integers(0, 60, 40)] += 3000
    path = tmp_path / "cube.fits"
    header = fits.Header({"BUNIT": "adu", "GAIN": 2.0, "RDNOISE": 4.0, "SATURATE": 6e4})
    fits.PrimaryHDU(cube, header).writeto(path)
    whole = cleaned(tmp_path / "whole", path)
    assert cleaned(tmp_path / "cut", path, max_memory=limit_for(2 * 127 + 90, 60)) == whole


@pytest.mark.slow
@pytest.mark.usefixtures("toys")
def test_bands_of_one_sky_go_through_side_by_side(tmp_path: Path) -> None:
    """A stage of a set sees the same rows of each; surveys and halos are those of the bands."""
    for seed, band in enumerate("gr"):
        write_exposure(tmp_path / f"m_{band}.fits", seed=seed, shape=(420, 90))
        with fits.open(tmp_path / f"m_{band}.fits", mode="update") as hdus:
            hdus[0].data[100:103, 50:53] = 60000
    stages = ["saturation", "lacosmic", "toy-pair", "interpolate"]
    pipeline = {
        **PIPELINE,
        "bands": {"g": "*_g.fits", "r": "*_r.fits"},
        "stage": [{"plugin": name} for name in stages],
    }
    limit = limit_for(2 * 2 * 200, 90)
    results = []
    for name, run in (("whole", {}), ("cut", {"max_memory": limit})):
        inputs = [tmp_path / f"m_{band}.fits" for band in "gr"]
        report = astroclean.run({**pipeline, "run": run}, inputs, output=tmp_path / name, jobs=0)
        assert [file.error for file in report.files] == [None, None]
        assert bool(run) == all("chunks of" in " ".join(f.notes) for f in report.files)
        hidden = {"stages": {"__all__": {"seconds"}}}
        told = [f.frames[0].model_dump(exclude=hidden) for f in report.files]
        cleaned_files = [tmp_path / name / f"m_{band}_clean.fits" for band in "gr"]
        results.append((told, [path.read_bytes() for path in cleaned_files]))
    assert results[0] == results[1]
    flags = fitsio.read(str(tmp_path / "cut" / "m_g_clean.fits"), ext="FLAGS")
    assert (flags[101, 51] & int(astroclean.MaskPlane.USER_1)) != 0


SHAPES = {"g": (640, 90), "r": (700, 70), "i": (180, 60)}
"""The last fits into memory where the others do not."""


@pytest.mark.slow
def test_bands_on_their_own_grids_go_through_one_by_one(tmp_path: Path) -> None:
    """In any order of sizes; files and records are those of whole frames."""
    stages = ["saturation", "lacosmic", "interpolate"]
    for order in (("g", "r", "i"), ("i", "r", "g")):
        folder = tmp_path / "".join(order)
        folder.mkdir()
        inputs = [folder / f"m_{band}.fits" for band in order]
        for path, band in zip(inputs, order, strict=True):
            write_exposure(path, seed=ord(band), shape=SHAPES[band])
            with fits.open(path, mode="update") as hdus:
                hdus[0].data[100:103, 50:53] = 60000
        pipeline = {
            **PIPELINE,
            "bands": {band: f"*_{band}.fits" for band in order},
            "stage": [{"plugin": name} for name in stages],
        }
        results = []
        for name, run in (("whole", {}), ("cut", {"max_memory": limit_for(3 * 370, 90)})):
            out = folder / name
            report = astroclean.run({**pipeline, "run": run}, inputs, output=out, jobs=0)
            assert [file.error for file in report.files] == [None] * 3
            cut = {Path(f.input).name[2]: "chunks of" in " ".join(f.notes) for f in report.files}
            assert cut == {"g": bool(run), "r": bool(run), "i": False}
            hidden = {"stages": {"__all__": {"seconds"}}}
            told = [f.frames[0].model_dump(exclude=hidden) for f in report.files]
            bytes_of = [(out / f"m_{band}_clean.fits").read_bytes() for band in order]
            results.append((told, bytes_of))
        assert results[0] == results[1]
        flags = fitsio.read(str(folder / "cut" / "m_r_clean.fits"), ext="FLAGS")
        assert flags.shape == SHAPES["r"]
        assert (flags[101, 51] & int(astroclean.MaskPlane.SATURATED)) != 0


@pytest.mark.usefixtures("toys")
def test_a_stage_of_a_set_gets_no_rows_of_bands_of_several_shapes(tmp_path: Path) -> None:
    inputs = [tmp_path / f"m_{band}.fits" for band in "gr"]
    for path in inputs:
        write_exposure(path, seed=1, shape=SHAPES[path.stem[-1]])
    pipeline = {
        **PIPELINE,
        "bands": {"g": "*_g.fits", "r": "*_r.fits"},
        "stage": [{"plugin": "lacosmic"}, {"plugin": "toy-pair"}],
        "run": {"max_memory": limit_for(2 * 370, 90)},
    }
    with pytest.raises(NeedError, match=r"stage 'toy-pair', which takes them together"):
        astroclean.run(pipeline, inputs, output=tmp_path / "out")
    assert not list((tmp_path / "out").glob("*_clean*"))


@pytest.mark.slow
def test_the_psf_is_estimated_from_the_stars_of_all_chunks(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    data = rng.normal(500, 10, (1200, 120))
    y, x = np.indices(data.shape)
    for number in range(20):
        cy, cx = 12 + 58.5 * number + rng.uniform(0, 1), rng.uniform(20, 100)
        data += 3e3 * (1 + number) * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * 1.4**2))
    header = fits.Header({"BUNIT": "adu", "GAIN": 2.0, "RDNOISE": 4.0, "SATURATE": 6e5})
    fits.PrimaryHDU(data.astype("f4"), header).writeto(tmp_path / "raw.fits")
    options = {"fsmode": "convolve", "objlim": 1.5}
    stages = [{"plugin": "lacosmic", "options": options}, {"plugin": "interpolate"}]
    pipeline = {**PIPELINE, "stage": stages, "psf": {"estimate": True}}
    whole = cleaned(tmp_path / "whole", tmp_path / "raw.fits", pipeline)
    limit = limit_for(2 * 330 + 150, 120)
    assert cleaned(tmp_path / "cut", tmp_path / "raw.fits", pipeline, max_memory=limit) == whole
    assert whole[1][0]["psf"].startswith("estimated from 20 stars")


@pytest.mark.parametrize("probability", [0.2, 0.9])
@pytest.mark.usefixtures("toys")
def test_a_screened_exposure_is_taken_through_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, probability: float
) -> None:
    """Whole or cut, of one frame or two: what comes before the screener runs once a frame."""
    path = tmp_path / "x.fits"
    rng = np.random.default_rng(3)
    header = fits.Header({"BUNIT": "adu", "GAIN": 2.0, "RDNOISE": 4.0, "TOYPROB": probability})
    images = [
        fits.ImageHDU(rng.normal(500, 10, (420, 80)).astype("f4"), header, name="SCI", ver=n)
        for n in (1, 2)
    ]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(path)
    calls: list[tuple[str, int]] = []
    run_stage = Stage.run

    def counted(self: Stage, frame: Any) -> Any:
        rows = range(frame.shape[0])[chunk_of(frame).own]
        calls.append((self.name, len(rows)))
        return run_stage(self, frame)

    monkeypatch.setattr(Stage, "run", counted)
    stages = [{"plugin": "lacosmic"}, {"plugin": "toy-local-score"}, {"plugin": "interpolate"}]
    outcomes = []
    for name, limit in (("whole", {}), ("cut", {"max_memory": limit_for(2 * 127 + 90, 80)})):
        calls.clear()
        pipeline = {**PIPELINE, "stage": stages, "run": {"on_reject": "skip", **limit}}
        report = astroclean.run(pipeline, path, output=tmp_path / name, jobs=0)
        (file,) = report.files
        assert file.error is None
        assert file.screening == {"toy-local-score": probability}
        rows = {stage: sum(n for one, n in calls if one == stage) for stage, _ in calls}
        left = {} if probability > 0.5 else {"interpolate": 840}
        assert rows == {"lacosmic": 840, "toy-local-score": 840, **left}
        hidden = {"stages": {"__all__": {"seconds"}}}
        outcomes.append([file.status, *(f.model_dump(exclude=hidden) for f in file.frames)])
    assert outcomes[0] == outcomes[1]
    if probability < 0.5:
        bytes_of = [(tmp_path / n / "x_clean.fits").read_bytes() for n in ("whole", "cut")]
        assert bytes_of[0] == bytes_of[1]


@pytest.mark.parametrize(
    ("plugin", "after"), [("sep", []), ("sep", ["toy-source-mask"]), ("photutils", [])]
)
@pytest.mark.usefixtures("toys")
def test_a_source_on_a_border_is_found_once_and_whole(
    tmp_path: Path, plugin: str, after: list[str]
) -> None:
    """Chunks of 64 rows and halos of 192; stars on every border, and a galaxy of 80 rows."""
    rng = np.random.default_rng(4)
    data = rng.normal(500, 5, (900, 160))
    y, x = np.indices(data.shape)
    places = [(64.0 * n + rng.uniform(-2, 2), rng.uniform(20, 90)) for n in range(1, 14)]
    places += [(64.0 * n + 30, rng.uniform(20, 90)) for n in range(14)]
    for cy, cx in places:
        data += 800 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * 2.0**2))
    data += 300 * np.exp(-(((y - 448) / 25) ** 2 + ((x - 130) / 5) ** 2) / 2)
    header = fits.Header({"BUNIT": "adu", "GAIN": 2.0, "RDNOISE": 4.0})
    fits.PrimaryHDU(data.astype("f4"), header).writeto(tmp_path / "raw.fits")
    keep = ["flags", "sources", "stamps", "segmentation"]
    pipeline = {
        "schema": 1,
        "stage": [{"plugin": one} for one in (plugin, *after)],
        "products": {"keep": keep, "segmentation": True, "report": False},
    }
    found = []
    for name, run in (("whole", {}), ("cut", {"max_memory": limit_for(2 * 192 + 64 + 30, 160)})):
        report = astroclean.run(
            {**pipeline, "run": run}, tmp_path / "raw.fits", output=tmp_path / name, jobs=0
        )
        (file,) = report.files
        assert file.error is None
        assert not file.suspect
        assert any("chunks of 64 rows" in note for note in file.notes) == bool(run)
        table = QTable.read(tmp_path / name / "raw_sources.ecsv")
        assert table["id"].tolist() == list(range(1, len(table) + 1))
        assert file.frames[0].sources == len(table)
        found.append(table[np.lexsort([table["x"], table["y"]])])
    whole, cut = found
    assert len(cut) == len(whole) == len(places) + 1
    for name in ("x", "y"):
        assert np.abs(np.asarray(cut[name]) - np.asarray(whole[name])).max() < 0.02
    assert np.asarray(cut["npix"]) == pytest.approx(np.asarray(whole["npix"]), rel=0.05)
    assert np.asarray(cut["flux"]) == pytest.approx(np.asarray(whole["flux"]), rel=0.01)
    for name in ("whole", "cut"):
        folder = tmp_path / name
        again = Sources.read(folder / "raw_sources.fits", segmentation=folder / "raw_clean.fits")
        labels = again.segmentation
        assert labels is not None
        assert set(np.unique(labels)) == {0, *again.table["id"].tolist()}
        pixels = np.bincount(labels.ravel())[np.asarray(again.table["id"])]
        np.testing.assert_array_equal(pixels > 0, True)
        at = labels[np.rint(again.table["y"]).astype(int), np.rint(again.table["x"]).astype(int)]
        np.testing.assert_array_equal(at, again.table["id"])
        own_file = fitsio.read(str(folder / "raw_segmentation.fits"), ext="SEGMENTATION")
        np.testing.assert_array_equal(own_file, labels)
    masks = [
        fitsio.read(str(tmp_path / name / "raw_clean.fits"), ext="FLAGS")
        for name in ("whole", "cut")
    ]
    assert np.count_nonzero(masks[0] != masks[1]) < 0.02 * np.count_nonzero(masks[0])


@pytest.mark.parametrize(
    ("stage", "why"),
    [("streaks", "'streaks' needs the whole frame"), ("badpix", "'badpix'")],
)
def test_stage_that_needs_the_whole_frame_is_refused_before_the_run(
    tmp_path: Path, stage: str, why: str
) -> None:
    write_exposure(tmp_path / "raw.fits", seed=2, shape=(420, 90))
    config = {"schema": 1, "stage": [{"plugin": stage}], "run": {"max_memory": "231 MB"}}
    with pytest.raises(NeedError, match=why):
        astroclean.run(config, tmp_path / "raw.fits", output=tmp_path / "out")


def test_limit_below_one_row_says_what_is_needed(tmp_path: Path) -> None:
    write_exposure(tmp_path / "raw.fits", seed=2, shape=(420, 90))
    with pytest.raises(NeedError, match=r"halo of \d+ rows that stage 'lacosmic' .* need \d+ MB"):
        cleaned(tmp_path / "out", tmp_path / "raw.fits", max_memory="230 MB")


@pytest.mark.parametrize("text", ["2", "two GB", "-1 GB", "2 TB", ""])
def test_sizes_without_meaning_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="max_memory"):
        load_pipeline({**PIPELINE, "run": {"max_memory": text}}, environment={})


def test_rows_come_back_as_they_were_stored(tmp_path: Path) -> None:
    image = np.arange(77, dtype=np.uint32).reshape(11, 7)
    store = RowStore(tmp_path / "rows", (11, 7), image.dtype)
    for start in (0, 4, 5):
        store.append(image[start : {0: 4, 4: 5, 5: 11}[start]])
    assert np.array_equal(store[slice(3, 9)], image[3:9])
    assert np.array_equal(store[slice(8, 99)], image[8:])
    assert store.any()
    squares = store.mapped(lambda rows: rows.astype(np.float32) ** 2)
    assert squares.dtype == np.float32
    assert np.array_equal(squares[slice(0, 2)], image[:2].astype(np.float32) ** 2)


def _peak(tmp_path: Path, path: Path, name: str, *extra: str) -> float:
    """Return the peak memory of a run in MB."""
    config = tmp_path / "pipeline.toml"
    config.write_text(
        'schema = 1\n[[stage]]\nplugin = "lacosmic"\n[[stage]]\nplugin = "interpolate"\n'
        'options = { max_distance = 4 }\n[products]\nkeep = ["flags"]\nreport = false\n'
    )
    words = ["run", str(config), str(path), "-q", "-o", str(tmp_path / name), "-j", "0", *extra]
    # VmHWM starts anew with the program; ru_maxrss would count the process that forked it.
    script = (
        "import json\nfrom pathlib import Path\nfrom astroclean.cli.main import main\n"
        f"status = main({words!r})\n"
        "lines = Path('/proc/self/status').read_text().splitlines()\n"
        "(peak,) = [int(line.split()[1]) / 1024 for line in lines if line.startswith('VmHWM')]\n"
        "print(json.dumps([status, peak]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=300
    )
    status, peak = json.loads(done.stdout.splitlines()[-1])
    assert status == 0, done.stderr
    return float(peak)


@pytest.mark.slow
def test_peak_memory_stays_below_the_limit(tmp_path: Path) -> None:
    """A frame of 10 million pixels needs 800 MB as a whole and stays within 450 MB by windows."""
    if not Path("/proc/self/status").is_file():
        pytest.skip("peak memory is read from /proc, which this system lacks")
    rng = np.random.default_rng(1)
    data = rng.normal(300, 15, (7_000, 1_500)).astype(np.float32)
    header = fits.Header({"BUNIT": "adu", "GAIN": 1.5, "RDNOISE": 5.0, "SATURATE": 5e4})
    fits.PrimaryHDU(data, header).writeto(tmp_path / "giant.fits")
    del data
    assert _peak(tmp_path, tmp_path / "giant.fits", "cut", "--max-memory", "450MB") < 450
    assert _peak(tmp_path, tmp_path / "giant.fits", "whole") > 600


@pytest.mark.parametrize("side", [8000, 12000, 20000])
@pytest.mark.parametrize("lost", [0.0, 1.0])
def test_bands_are_chosen_by_what_is_measured(side: int, lost: float) -> None:
    # Peaks of lacosmic and interpolate: 110 MB, 75 bytes a pixel in memory, and `lost` bytes for
    # each pixel that was examined, halos again and again.
    cost = _Cost((side, side), halo=207, step=1, kept=lost)
    for limit in (cost.least(), 1.2 * cost.least(), 4e9):
        rows = cost.rows_within(int(limit) + 1)
        assert rows > 0
        seen = rows + 414
        assert 110e6 + 75 * side * seen + lost * side * side * seen / rows < limit
    assert cost.rows_within(int(cost.least()) - 1) == 0
    if side == 12000:
        assert cost.least() < (1.5e9 if lost else 1e9)
