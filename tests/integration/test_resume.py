"""Interrupted, changed, damaged: a second run does what is missing, to the byte, and no more."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import pytest
from astropy.io import fits
from toy_runs import (
    digests,
    install_toys,
    processes_of,
    report_of,
    sky,
    statuses,
    unfinished,
    wait_for,
    write_batch,
    write_fits,
    write_pipeline,
)

import astroclean
from astroclean.errors import PluginLoadError
from astroclean.registry import load
from astroclean.runner.output.folder import OutputFolder
from astroclean.simulate.exposure import write_exposure

if TYPE_CHECKING:
    from collections.abc import Callable

    from toy_runs import CommandLine

    from astroclean.report.model import FileRecord

KILLS = 5


def prints(out: Path) -> dict[str, tuple[int, int]]:
    """Return what changes when a file is written anew, even with the same bytes."""
    return {n: ((out / n).stat().st_ino, (out / n).stat().st_mtime_ns) for n in digests(out)}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="counts processes in /proc")
@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_moments(cli: CommandLine, tmp_path: Path, jobs: int, seed: int) -> None:
    write_batch(tmp_path / "raw")
    stages = ("toy-bright: delay = 0.2", "toy-fill", "toy-peaks")
    pipeline = write_pipeline(tmp_path / "p.toml", *stages)
    assert cli("run", pipeline, "raw", "-o", "whole", "-j", 2).status == 0
    wanted = digests(tmp_path / "whole")
    out = tmp_path / "out"
    words = ("run", pipeline, "raw", "-o", out, "-j", jobs)
    moments = np.random.default_rng(seed).uniform(0, 1.2, KILLS)

    killed = sum(kill_in_the_middle(cli, words, out, moment) for moment in moments)
    assert killed >= KILLS - 1
    seen = digests(out)
    assert seen == {name: wanted[name] for name in seen}
    before = prints(out)

    assert cli(*words).status == 0
    assert digests(out) == wanted
    assert unfinished(out) == []
    after = prints(out)
    for record in report_of(out)["files"]:
        for name in record["outputs"]:
            assert (after[name] == before.get(name)) == (record["status"] == "up to date")


def kill_in_the_middle(cli: CommandLine, words: tuple[Any, ...], out: Path, moment: float) -> bool:
    """Kill a run some time after it has begun; return whether it was still running."""
    unpacked = out / ".astroclean" / "scratch"
    with cli.start(*words, start_new_session=True) as process:
        wait_for(lambda: unpacked.is_dir() or process.poll() is not None)
        time.sleep(moment)
        process.kill()
        process.wait()
        wait_for(lambda: not processes_of(process.pid))
    return process.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_interrupt(cli: CommandLine, tmp_path: Path, jobs: int) -> None:
    for number in range(5):
        write_fits(tmp_path / f"x{number}.fits", sky(number))
    pipeline = write_pipeline(tmp_path / "p.toml", "toy-bright: delay = 0.5", report=True)
    words = ("run", pipeline, tmp_path, "-o", "out", "-j", jobs)
    out = tmp_path / "out"

    with cli.start(*words, start_new_session=True) as process:
        wait_for(lambda: len(list(out.glob("*_clean.fits"))) >= 3)  # then one is on record
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
        wait_for(lambda: not processes_of(process.pid))

    assert process.returncode == 130
    assert "Traceback" not in err
    report = report_of(out)
    assert report["exit_code"] == 130
    assert "interrupted" in " ".join(report["notes"])
    assert len(report["files"]) < 5
    assert {f["status"] for f in report["files"]} <= {"done"}
    told = [name for f in report["files"] for name in f["outputs"]]
    assert set(told) <= set(digests(out))
    assert (out / "report.html").is_file()
    assert unfinished(out) == []

    assert cli(*words).status == 0
    kept = [name for name, status in statuses(out).items() if status == "up to date"]
    # A file may have been finished without its worker having been able to say so.
    assert 1 <= len(kept) < 5
    assert len(kept) >= len(told)


class Batch:
    """Two files and a pipeline that can be changed between runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.settings: list[str] = []
        write_fits(folder / "a.fits", sky(1), EXPTIME=10.0)
        write_fits(folder / "b.fits", sky(2), EXPTIME=10.0)
        for name in ("map", "a_own", "b_own"):
            write_fits(folder / f"{name}.fits_", np.zeros((24, 32), np.uint8))
        self.write_psf(2.0)
        stage = {"plugin": "toy-bright", "options": {"map": str(folder / "map.fits_")}}
        own = {"plugin": "toy-bright", "name": "own"}
        own["options"] = {"map": f"{folder}/{{stem}}_own.fits_"}
        self.config: dict[str, Any] = {
            "schema": 1,
            "instrument": {"name": "generic-ccd", "pixel_scale": 1.0},
            "psf": {"file": str(folder / "psf.fits_")},
            "stage": [stage, own, {"plugin": "toy-psf-width"}, {"plugin": "toy-fill"}],
            "products": {"report": False},
        }

    def write_psf(self, fwhm: float) -> None:
        stamp = astroclean.Psf.gaussian(fwhm_pixels=fwhm).stamps[0]
        header = fits.Header({"PIXELSCL": 1.0})
        fits.PrimaryHDU(stamp, header).writeto(self.folder / "psf.fits_", overwrite=True)

    def run(self, **options: Any) -> dict[str, str]:
        report = astroclean.run(
            self.config, self.folder, output=self.out, settings=self.settings, **options
        )
        return {Path(f.input).stem: str(f.status) for f in report.files}


@pytest.fixture
def batch(tmp_path: Path, toys: Path) -> Batch:
    return Batch(tmp_path)


BOTH_DONE = {"a": "done", "b": "done"}
BOTH_KEPT = {"a": "up to date", "b": "up to date"}
ONLY_A = {"a": "done", "b": "up to date"}


def _new_map(name: str) -> Callable[[Batch], None]:
    def change(batch: Batch) -> None:
        write_fits(batch.folder / f"{name}.fits_", np.eye(24, 32, dtype=np.uint8))

    return change


def _set(text: str) -> Callable[[Batch], None]:
    return lambda batch: batch.settings.append(text)


CHANGES: dict[str, tuple[Callable[[Batch], None], dict[str, str]]] = {
    "nothing": (lambda _: None, BOTH_KEPT),
    "input": (lambda b: write_fits(b.folder / "a.fits", sky(7), EXPTIME=10.0) and None, ONLY_A),
    "header card of an input": (
        lambda b: fits.setval(b.folder / "a.fits", "EXPTIME", value=11.0),
        ONLY_A,
    ),
    "input touched only": (lambda b: os.utime(b.folder / "a.fits", (1, 1)), BOTH_KEPT),
    "resource": (_new_map("map"), BOTH_DONE),
    "resource of one input": (_new_map("a_own"), ONLY_A),
    "option": (_set("toy-bright.level=2000"), BOTH_DONE),
    "instrument value": (_set("instrument.gain=3"), BOTH_DONE),
    "unit": (_set("instrument.unit=electron"), BOTH_DONE),
    "psf file": (lambda b: b.write_psf(3.0), BOTH_DONE),
    "psf width": (lambda b: b.config.update(psf={"fwhm": "2 pixel"}), BOTH_DONE),
    "rejecting planes": (_set("run.reject_bits=['HOT_PIXEL']"), BOTH_DONE),
    "stage added": (lambda b: b.config["stage"].append({"plugin": "toy-peaks"}), BOTH_DONE),
    "order of stages": (lambda b: b.config["stage"].reverse(), BOTH_DONE),
    "products": (_set("products.keep=['flags', 'removed']"), BOTH_DONE),
    "convention": (_set("products.mask_as=jwst"), BOTH_DONE),
    "report": (_set("products.report=true"), BOTH_KEPT),
    "description": (lambda b: b.config.update(description="again"), BOTH_KEPT),
    "stages to be kept": (_set("run.keep_stages=true"), BOTH_DONE),
    "damaged output": (lambda b: b.out.joinpath("a_clean.fits").write_bytes(b"?") and None, ONLY_A),
    "truncated output": (lambda b: os.truncate(b.out / "a_clean.fits", 2880), ONLY_A),
    "deleted output": (lambda b: b.out.joinpath("a_clean.fits").unlink(), ONLY_A),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_changed_is_done_again(batch: Batch, what: str) -> None:
    change, wanted = CHANGES[what]
    assert batch.run() == BOTH_DONE
    before, old = prints(batch.out), digests(batch.out)
    change(batch)

    assert batch.run() == wanted

    after = prints(batch.out)
    for stem, status in wanted.items():
        name = f"{stem}_clean.fits"
        assert (after[name] == before[name]) == (status == "up to date")
    if "output" in what:
        assert digests(batch.out) == old
    assert batch.run() == BOTH_KEPT


def test_each_kind_of_output_is_watched(batch: Batch) -> None:
    batch.config["stage"].append({"plugin": "toy-peaks"})
    batch.settings = ["products.keep=['flags', 'sources', 'stamps']", "products.mask_as=jwst"]
    assert batch.run() == BOTH_DONE
    whole = digests(batch.out)
    of_a = [name for name in whole if name.startswith("a_")]
    assert len(of_a) == 5
    for name in of_a:
        (batch.out / name).unlink()
        assert batch.run() == ONLY_A, name
        assert digests(batch.out) == whole


def test_overwrite_does_all_again(batch: Batch) -> None:
    batch.run()
    before, old = prints(batch.out), digests(batch.out)

    assert batch.run(overwrite=True) == BOTH_DONE

    assert digests(batch.out) == old
    after = prints(batch.out)
    assert all(after[name] != before[name] for name in before)


def test_new_version_of_a_plugin_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "path").mkdir()
    folder = install_toys(tmp_path / "path")
    monkeypatch.syspath_prepend(str(folder))
    write_fits(tmp_path / "a.fits", sky(1))
    config = {"schema": 1, "stage": [{"plugin": "toy-bright"}], "products": {"report": False}}

    def status() -> str:
        report = astroclean.run(config, tmp_path / "a.fits", output=tmp_path / "out")
        return str(report.files[0].status)

    assert [status(), status()] == ["done", "up to date"]
    (metadata,) = folder.glob("*.dist-info/METADATA")
    metadata.write_text(metadata.read_text("utf-8").replace("0.1.0", "0.1.1"), "utf-8")
    with pytest.raises(PluginLoadError, match=r"0\.1\.1 was installed after .* imported 0\.1\.0"):
        status()  # the code that this process has is that of before
    monkeypatch.setattr(load, "_imported", WeakKeyDictionary())  # as in a new process
    assert [status(), status()] == ["done", "up to date"]


def test_failed_file_is_tried_again(batch: Batch) -> None:
    batch.config["stage"].append({"plugin": "toy-fault"})
    write_fits(batch.folder / "a.fits", sky(1), TOYFAULT="KeyError")
    for expected in ("done", "up to date"):
        assert batch.run() == {"a": "failed", "b": expected}
    assert not [name for name in digests(batch.out) if name.startswith("a_")]

    write_fits(batch.folder / "a.fits", sky(1))
    assert batch.run() == ONLY_A


def test_failure_after_success_is_no_success(batch: Batch) -> None:
    batch.config["stage"].append({"plugin": "toy-fault"})
    assert batch.run() == BOTH_DONE
    write_fits(batch.folder / "a.fits", sky(1), TOYFAULT="KeyError")
    for _ in range(2):
        assert batch.run() == {"a": "failed", "b": "up to date"}


def test_stop_between_output_and_record(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without FLAGS nothing in the file says who wrote it; astroclean must know it all the same.
    batch.settings = ["products.keep=[]"]
    save = OutputFolder.finish

    def interrupted(self: OutputFolder, stem: str, record: FileRecord) -> None:
        if record.key:
            raise KeyboardInterrupt
        save(self, stem, record)

    with monkeypatch.context() as patch:
        patch.setattr(OutputFolder, "finish", interrupted)
        report = astroclean.run(
            batch.config, batch.folder, output=batch.out, settings=batch.settings
        )
    assert report.exit_code == 130
    assert list(digests(batch.out)) == ["a_clean.fits"]

    assert batch.run() == BOTH_DONE


@pytest.mark.slow
def test_same_bytes_however_the_work_is_shared(
    cli: CommandLine, tmp_path: Path, toys: Path
) -> None:
    raw = tmp_path / "raw"
    write_batch(raw)
    # A copy under another name has the same content and must not be taken for the original.
    (raw / "copy.fits").write_bytes((raw / "mosaic.fits").read_bytes())
    stages = ("toy-bright", "toy-fill", "toy-peaks")
    tables = "[products]\nreport = false\n"
    tables += 'keep = ["flags", "sources", "removed", "probabilities", "stamps"]\n'
    pipeline = write_pipeline(tmp_path / "p.toml", *stages, tables=tables)

    assert cli("run", pipeline, "raw", "-o", "one").status == 0
    assert cli("run", pipeline, "raw", "-o", "two", "-j", 2).status == 0
    mosaics = ("raw/mosaic.fits", "raw/copy.fits")
    assert cli("run", pipeline, *mosaics, "-o", "split", "-j", 3).status == 0
    assert astroclean.run(pipeline, raw, output=tmp_path / "python").exit_code == 0

    one = digests(tmp_path / "one")
    assert len(one) == 7 * 4
    assert digests(tmp_path / "two") == one
    assert digests(tmp_path / "python") == one
    split = {name: one[name] for name in one if name.startswith(("mosaic_", "copy_"))}
    assert digests(tmp_path / "split") == split


@pytest.mark.slow
def test_wrong_frame_of_a_split_file_fails_it_whole(cli: CommandLine, tmp_path: Path) -> None:
    write_fits(tmp_path / "bad.fits", *(sky(n) for n in range(3)))
    fits.setval(tmp_path / "bad.fits", "TOYFAULT", value="KeyError", ext=2)
    pipeline = write_pipeline(tmp_path / "p.toml", "toy-bright", "toy-fault")

    ended = cli("run", pipeline, "bad.fits", "-o", "out", "-j", 2)

    assert ended.status == 1
    assert len(ended.failures) == 1
    assert "bad.fits[SCI,2], stage 'toy-fault'" in ended.failures[0]
    assert digests(tmp_path / "out") == {}
    assert unfinished(tmp_path / "out") == []


def test_outputs_that_new_options_no_longer_write_are_removed(tmp_path: Path) -> None:
    write_exposure(tmp_path / "a.fits", seed=1, shape=(64, 64))
    out = tmp_path / "out"
    (tmp_path / "out").mkdir()
    (out / "a_mine.txt").write_text("of the user")
    astroclean.run("ccd", tmp_path / "a.fits", output=out)
    assert (out / "a_sources.ecsv").exists()
    report = astroclean.run(
        "ccd", tmp_path / "a.fits", output=out, settings=['products.keep=["flags"]']
    )
    assert report.exit_code == 0
    names = {path.name for path in out.iterdir() if not path.name.startswith(".")}
    assert names == {"a_clean.fits", "a_mine.txt", "run.json", "report.html"}
