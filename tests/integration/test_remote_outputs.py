"""Outputs in an object store: the objects of a local run, each whole, its record after it."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from stores import BUCKET, S3
from toy_clusters import toy_cluster
from toy_runs import digests, sky, wait_for, write_fits, write_pipeline

import astroclean
from astroclean.cli.main import main
from astroclean.config.load import load_pipeline
from astroclean.errors import AstrocleanError, ConfigurationError, OutputError
from astroclean.runner.calls import OfRun
from astroclean.runner.merge import merge
from astroclean.runner.output import store_depot, store_lock
from astroclean.runner.output.folder import OutputFolder
from astroclean.runner.plan.shard import Shard
from astroclean.runner.runner import Request, Runner

if TYPE_CHECKING:
    from toy_runs import CommandLine

    from astroclean.report.model import RunReport

OUT = f"s3://{BUCKET}/out"
NAMES = ("toy-bright", "toy-fill", "toy-peaks")
CONFIG: dict[str, Any] = {
    "schema": 1,
    "instrument": {"name": "generic-ccd"},
    "stage": [{"plugin": name} for name in NAMES],
    "products": {"report": True},
}


@pytest.fixture
def raw(tmp_path: Path, s3: S3) -> Path:
    (tmp_path / "raw").mkdir()
    for number in range(3):
        write_fits(tmp_path / "raw" / f"x{number}.fits", sky(number))
    return tmp_path / "raw"


@pytest.fixture
def one(tmp_path: Path, s3: S3) -> Path:
    return write_fits(tmp_path / "x.fits", sky(1))


def run(inputs: Any, output: Any = OUT, *settings: str, **request: Any) -> RunReport:
    """Run in this process, with what the command line can ask for."""
    loaded = load_pipeline(request.pop("config", CONFIG), settings=settings)
    given = (str(inputs),) if inputs else ()
    told: dict[str, Any] = {"inputs": given, "input_base": Path(), "jobs": 0, **request}
    stages = tuple(stage.name for stage in loaded.config.stage)
    return Runner(loaded, Request(stages=stages, **told), output=output).run()


def states(report: RunReport) -> set[str]:
    return {str(file.status) for file in report.files}


def left_behind() -> list[Path]:
    """Return what runs of this process left in its folder for temporary files."""
    return list(Path(tempfile.gettempdir()).glob(f"astroclean-*/{'[0-9a-f]' * 32}"))


@pytest.mark.slow
def test_a_bucket_gets_what_a_folder_gets_and_nothing_is_fetched_again(
    raw: Path, s3: S3, tmp_path: Path
) -> None:
    run(raw, tmp_path / "local")
    report = run(raw, jobs=2)
    assert (report.exit_code, report.output) == (0, OUT)
    assert s3.digests("out") == digests(tmp_path / "local")
    for told in (
        json.loads(s3.get("out/run.json")),
        json.loads((tmp_path / "local/run.json").read_text()),
    ):
        assert {file["status"] for file in told["files"]} == {"done"}
    page = s3.get("out/report.html").decode()
    assert page.count("<img") == (tmp_path / "local/report.html").read_text().count("<img") > 0
    assert "secret-of-tests" not in page
    assert any("a store has no locks" in note for note in report.notes)
    assert not [key for key in s3.keys("out/.astroclean") if "/records/" not in key]
    assert left_behind() == []

    data = tuple(s3.digests("out"))
    s3.counted.forget()
    assert states(run(raw, jobs=2)) == {"up to date"}
    moved = [text for text in s3.counted.order if text.startswith(("PUT", "GET"))]
    assert not [text for text in moved if text.endswith(data)]


def test_the_record_is_put_after_all_that_it_tells_of(one: Path, s3: S3) -> None:
    run(one)
    lock, *puts = [text for text in s3.counted.order if text.startswith("PUT out/")]
    assert lock.startswith("PUT out/.astroclean/locks/whole.")
    begun, *products, pictures, done, record, page = puts
    assert begun == done
    assert pictures == done.replace(".json", ".pictures.json")
    assert [record, page] == ["PUT out/run.json", "PUT out/report.html"]
    assert products[-1] == "PUT out/x_clean.fits"
    assert len(products) == len(s3.digests("out"))


@pytest.mark.slow
def test_what_was_changed_or_removed_is_made_again(
    raw: Path, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_depot, "_FEW", 0)  # as of many files, whose folder is listed
    run(raw)
    whole = s3.digests("out")
    s3.client.delete_object(Bucket=BUCKET, Key="out/x0_clean.fits")
    s3.put("out/x1_clean.fits", raw / "x1.fits")
    # The same bytes, put again, are the same result.
    same = tmp_path / "same.fits"
    same.write_bytes(s3.get("out/x2_clean.fits"))
    time.sleep(1.1)  # S3 keeps seconds
    s3.put("out/x2_clean.fits", same)
    report = run(raw)
    made = {Path(file.input).name for file in report.files if file.status == "done"}
    assert made == {"x0.fits", "x1.fits"}
    assert s3.digests("out") == whole
    assert states(run(raw, verify=True)) == {"up to date"}
    assert states(run(raw, overwrite=True)) == {"done"}
    assert s3.digests("out") == whole


@pytest.mark.slow
def test_products_that_are_not_written_any_more_are_removed(one: Path, s3: S3) -> None:
    run(one)
    assert "x_sources.ecsv" in s3.digests("out")
    (record,) = run(one, OUT, 'products.keep=["flags"]').files
    assert "removed x_sources.ecsv" in " ".join(record.notes)
    assert set(s3.digests("out")) == {"x_clean.fits"}


def test_objects_of_others_are_not_replaced(one: Path, s3: S3, tmp_path: Path) -> None:
    s3.put("out/x_clean.fits", one)
    (record,) = run(one).files
    assert f"{OUT}/x_clean.fits exists and was not written by astroclean" in (record.error or "")
    assert s3.get("out/x_clean.fits") == one.read_bytes()
    # Nor are the inputs.
    s3.put("both/y.fits", one)
    (record,) = run(
        f"s3://{BUCKET}/both/y.fits", f"s3://{BUCKET}/both", "products.name={stem}"
    ).files
    assert "overwrite the input" in (record.error or "")
    (tmp_path / "page.json").write_text("{}")
    s3.put("mine/run.json", tmp_path / "page.json")
    with pytest.raises(OutputError, match="was not written by astroclean"):
        run(one, f"s3://{BUCKET}/mine")


@pytest.mark.slow
def test_shards_of_a_bucket_are_merged(raw: Path, s3: S3, tmp_path: Path) -> None:
    run(raw, tmp_path / "whole")
    with pytest.raises(ConfigurationError, match="nothing to merge"):
        merge(Path(OUT))
    run(raw, shard=Shard(0, 2))
    with pytest.raises(ConfigurationError, match="no record of shard 1/2"):
        merge(Path(OUT))
    run(raw, shard=Shard(1, 2))
    assert merge(Path(OUT)).exit_code == 0
    assert s3.digests("out") == digests(tmp_path / "whole")
    assert len(json.loads(s3.get("out/run.json"))["files"]) == 3
    # One that is run again is merged with the other.
    assert states(run(raw, shard=Shard(1, 2))) == {"up to date"}
    assert len(merge(Path(OUT)).files) == 3
    assert states(run(raw)) == {"up to date"}


def test_bands_of_one_sky_go_to_a_bucket(s3: S3, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for band, seed in (("g", 1), ("r", 2)):
        write_fits(tmp_path / "raw" / f"f_{band}.fits", sky(seed))
    config = {**CONFIG, "bands": {"g": "*_g.fits", "r": "*_r.fits"}}
    config["stage"] = [{"plugin": "toy-bright"}, {"plugin": "toy-fill"}]
    run(tmp_path / "raw", tmp_path / "local", config=config)
    assert run(tmp_path / "raw", config=config).exit_code == 0
    assert s3.digests("out") == digests(tmp_path / "local")
    assert states(run(tmp_path / "raw", config=config)) == {"up to date"}


@pytest.mark.slow
def test_frames_that_are_shared_by_workers_go_to_a_bucket(s3: S3, tmp_path: Path) -> None:
    file = write_fits(tmp_path / "mosaic.fits", *(sky(20 + n) for n in range(3)))
    url = s3.put("raw/mosaic.fits", file)
    run(file, tmp_path / "local")
    s3.counted.forget()
    assert run(url, jobs=2).exit_code == 0
    assert s3.digests("out") == digests(tmp_path / "local")
    assert s3.counted.sent["raw/mosaic.fits"] == file.stat().st_size


def test_a_put_that_fails_costs_its_file_alone(
    raw: Path, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("astroclean.io.remote.failures._PAUSES", (0.0, 0.0))
    s3.counted.refused["PUT out/x2_clean"] = "403 Forbidden"
    report = run(raw)
    failed = {Path(file.input).name: file.error for file in report.files if file.status == "failed"}
    assert set(failed) == {"x2.fits"}
    assert failed["x2.fits"] == (
        f"{raw}/x2.fits: {OUT}/x2_clean.fits: may not be written: no permission. Set credentials "
        "in the environment or a profile, as fsspec and the s3fs package read them."
    )
    assert not [name for name in s3.digests("out") if name.startswith("x2_")]
    s3.counted.refused.clear()
    run(raw, tmp_path / "local")
    assert states(run(raw)) == {"up to date", "done"}
    assert s3.digests("out") == digests(tmp_path / "local")


def test_without_credentials_or_bucket_nothing_begins(
    one: Path, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutputError, match="there is no such object or bucket") as caught:
        run(one, "s3://no-bucket/out")
    assert "s3://no-bucket/out" in str(caught.value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    with pytest.raises(OutputError, match="there are no credentials") as caught:
        run(one)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_what_a_store_does_not_take_is_refused_by_name(
    one: Path, s3: S3, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(OutputError, match="a web server takes no outputs"):
        run(one, "https://host/out")
    with pytest.raises(ConfigurationError, match="is refused"):
        run(one, "s3://me:hidden@bucket/out")
    with pytest.raises(ConfigurationError, match=r"`run.keep_stages`, `--from`.*name a folder"):
        run(one, OUT, "run.keep_stages=true")
    config = {**CONFIG, "input": {"simulate": {"kind": "exposure", "seed": 3}}}
    with pytest.raises(ConfigurationError, match="simulated input"):
        run(None, config=config)
    for words in (("simulate", "tracking"), ("calibrate", "make", str(one))):
        assert main([*words, "-o", OUT]) == 2
        assert "are written to a folder of a file system, not to a URL" in capsys.readouterr().err
    assert s3.digests("out") == {}
    assert not list(tmp_path.glob("s3*"))


# Who may write


@pytest.mark.parametrize(
    ("shard", "other", "refused"),
    [
        (None, None, "another run is writing here"),
        (None, Shard(1, 2), "another run is writing here"),
        (Shard(1, 2), None, "shard 1/2 of a run is writing here"),
        (Shard(1, 2), Shard(1, 2), "shard 1/2 of a run is writing here"),
        (Shard(1, 2), Shard(0, 2), None),
    ],
)
def test_markers_hold_other_runs_off(
    s3: S3, shard: Shard | None, other: Shard | None, refused: str | None
) -> None:
    second = OutputFolder(Path(OUT), shard=other)
    with OutputFolder(Path(OUT), shard=shard).locked():
        if refused is None:
            with second.locked():
                assert len(s3.keys("out/.astroclean/locks/")) == 2
        else:
            with pytest.raises(OutputError, match=refused) as caught, second.locked():
                pass
            assert f"process {os.getpid()} on " in str(caught.value)
            assert "or remove s3://sky/out/.astroclean/locks/" in str(caught.value)
        assert len(s3.keys("out/.astroclean/locks/")) == 1
    assert s3.keys("out/.astroclean/locks/") == []


@pytest.mark.slow
def test_markers_are_renewed_and_old_ones_do_not_count(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "marker"
    marker.write_text(json.dumps({"process": 1, "host": "elsewhere", "processes": "other"}))
    s3.put("out/.astroclean/locks/whole.0.json", marker)
    with (
        pytest.raises(OutputError, match="process 1 on elsewhere"),
        OutputFolder(Path(OUT)).locked(),
    ):
        pass
    monkeypatch.setattr(store_lock, "_SILENT", 0.0)
    monkeypatch.setattr(store_lock, "_RENEWED", 0.05)
    with OutputFolder(Path(OUT)).locked() as notes:
        assert "process 1 on elsewhere was left by a run that was killed" in notes[-1]
        (own,) = s3.keys("out/.astroclean/locks/")
        s3.counted.forget()
        wait_for(lambda: s3.counted.requests[f"PUT {own}"] > 1)


@pytest.mark.slow
def test_a_run_that_was_killed_is_taken_up_by_the_next(
    raw: Path, s3: S3, cli: CommandLine, tmp_path: Path
) -> None:
    pipeline = write_pipeline(tmp_path / "p.toml", *NAMES)
    words = ("run", pipeline, "raw", "-o", OUT, "-q")
    cli.environment |= s3.environment
    with cli.start(*words, start_new_session=True) as process:
        wait_for(lambda: any(text.startswith("PUT out/x0_") for text in s3.counted.order))
        os.killpg(process.pid, signal.SIGKILL)
    # Of the two that could have happened by now: a begun file, or a whole one.
    assert s3.keys("out/.astroclean/locks/")
    again = cli(*words)
    assert (again.status, again.err) == (0, "")
    astroclean.run(pipeline, raw, output=tmp_path / "local")
    assert s3.digests("out") == digests(tmp_path / "local")
    assert s3.keys("out/.astroclean/locks/") == []


@pytest.mark.slow
def test_workers_of_dask_put_what_they_make(raw: Path, s3: S3, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="needs the extra `dask`")
    run(raw, tmp_path / "local")
    (tmp_path / "cluster").mkdir()
    with toy_cluster(tmp_path / "cluster", os.environ["PYTHONPATH"], ()) as cluster:
        config = {**CONFIG, "run": {"scheduler": cluster.address}}
        assert run(raw, config=config, jobs=1).exit_code == 0
    assert s3.digests("out") == digests(tmp_path / "local")


def test_a_worker_elsewhere_tells_that_it_does_not_see_the_folder(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    assert OfRun("run", abs, tmp_path / "there")(-1) == 1
    with pytest.raises(AstrocleanError, match=r"does not see the folder .* TMPDIR"):
        OfRun("run", abs, tmp_path / "missing" / "shared")(-1)
