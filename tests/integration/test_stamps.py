"""Resume without reading: size, time and inode tell what is as it was, and when they cannot."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from toy_runs import TOYS, digests, install_toys, sky, write_fits

import astroclean
from astroclean.config.load import load_pipeline
from astroclean.errors import NeedError, PluginLoadError
from astroclean.registry import code
from astroclean.runner.output import file_records
from astroclean.runner.plan import preflight
from astroclean.runner.runner import Request, Runner
from astroclean.runner.work import whole

if TYPE_CHECKING:
    from astroclean.report.model import RunReport

OLD = 1_000_000_000_123_456_789  # ns: long before any run


class Batch:
    """Three files of long ago, run in this process."""

    def __init__(self, folder: Path) -> None:
        self.raw, self.out = folder / "raw", folder / "out"
        self.raw.mkdir()
        for number in range(3):
            self.write(number)
        self.config: dict[str, Any] = {
            "schema": 1,
            "stage": [{"plugin": "toy-bright"}, {"plugin": "toy-fill"}],
            "products": {"report": False},
        }

    def write(self, number: int, seed: int | None = None, time: int = OLD) -> Path:
        path = self.raw / f"x{number}.fits"
        write_fits(path, sky(number if seed is None else seed))
        os.utime(path, ns=(time, time))
        return path

    def run(self, **request: Any) -> dict[str, str]:
        return statuses(self.report(**request))

    def report(self, **request: Any) -> RunReport:
        return self.runner(**request).run()

    def runner(self, **request: Any) -> Runner:
        loaded = load_pipeline(self.config)
        names = tuple(stage.name for stage in loaded.config.stage)
        told = Request((str(self.raw),), Path(), stages=names, jobs=0, **request)
        return Runner(loaded, told, output=self.out)


def statuses(report: RunReport) -> dict[str, str]:
    return {Path(f.input).stem: str(f.status) for f in report.files}


def changed_unseen(path: Path) -> None:
    """Change the last pixel of a file of one HDU, and put its time back."""
    before = path.stat()
    with path.open("r+b") as stream:
        stream.seek(2880 * 2)
        stream.write(b"\x43\x00\x00\x01")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture
def batch(tmp_path: Path, toys: Path) -> Batch:
    return Batch(tmp_path)


KEPT = dict.fromkeys(("x0", "x1", "x2"), "up to date")


def test_nothing_is_opened_that_has_not_changed(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("opened")

    batch.run()
    for module in (whole, preflight):
        monkeypatch.setattr(module, "plan_file", refuse)
    assert batch.run() == KEPT
    monkeypatch.setattr("astroclean.runner.output.stamps.file_digest", refuse)
    monkeypatch.setattr("astroclean.runner.output.stamps._FINE", -(10**12))
    assert batch.run() == KEPT


def test_what_the_time_hides_is_found_by_verify(batch: Batch) -> None:
    batch.run()
    changed_unseen(batch.raw / "x1.fits")
    assert batch.run() == KEPT
    assert batch.run(verify=True) == {**KEPT, "x1": "done"}
    assert batch.run(verify=True) == KEPT


@pytest.mark.slow
def test_changed_output_is_found(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    batch.run()
    before = digests(batch.out)
    changed_unseen(batch.out / "x2_clean.fits")
    assert batch.run(verify=True) == {**KEPT, "x2": "done"}
    (batch.out / "x0_clean.fits").write_bytes((batch.out / "x1_clean.fits").read_bytes())
    assert batch.run() == {**KEPT, "x0": "done"}
    (batch.out / "x1_clean.fits").unlink()
    (batch.out / "x1_clean.fits").symlink_to(batch.out / "x2_clean.fits")
    assert batch.run()["x1"] == "failed"  # a link is nobody's output
    (batch.out / "x1_clean.fits").unlink()
    assert batch.run() == {**KEPT, "x1": "done"}
    assert digests(batch.out) == before


@pytest.mark.parametrize("ahead", [0, 3600])
def test_file_of_this_moment_or_of_the_future_is_hashed(batch: Batch, ahead: int) -> None:
    import time

    now = time.time_ns() + ahead * 10**9 + 5 * 10**9  # the run below may take a few seconds
    batch.write(1, time=now)
    batch.run()
    changed_unseen(batch.raw / "x1.fits")
    assert batch.run() == {**KEPT, "x1": "done"}


def test_copy_in_its_place_is_hashed_once(batch: Batch) -> None:
    batch.run()
    content = (batch.raw / "x1.fits").read_bytes()
    (batch.raw / "x1.fits").unlink()
    (batch.raw / "x1.fits").write_bytes(content)
    assert batch.run() == KEPT


def test_files_that_tell_how_inputs_are_read(
    batch: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "configs" / "instruments"
    own.mkdir(parents=True)
    monkeypatch.setenv("ASTROCLEAN_CONFIG", str(own.parent))
    head = 'name = "mine"\ntitle = "Mine"\nsource = "a test"\n'
    (own / "mine.toml").write_text(head)
    batch.config["instrument"] = "mine"
    batch.run()
    assert batch.run() == KEPT
    # Another instrument that no file is of: the basis is another, the keys are the same.
    (own / "other.toml").write_text(head.replace("mine", "other"))
    assert batch.run() == KEPT
    (own / "mine.toml").write_text(head.replace('"Mine"', '"Mine, again"'))
    assert set(batch.run().values()) == {"done"}


def test_units_are_opened_as_they_are_processed(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    (batch.raw / "x1.fits").write_text("not FITS")
    events: list[str] = []

    def noted(name: str, function: Any) -> Any:
        def call(item: Any) -> Any:
            told = item.unit.name if name == "process" else item.input
            events.append(f"{name} {Path(told).stem}")
            return function(item)

        return call

    monkeypatch.setattr(preflight, "plan_file", noted("plan", preflight.plan_file))
    monkeypatch.setattr(whole, "plan_file", noted("plan", whole.plan_file))
    monkeypatch.setattr(whole, "process", noted("process", whole.process))
    assert batch.run() == {"x0": "done", "x1": "failed", "x2": "done"}
    # The first is looked at before: a pipeline that cannot work ends there.
    assert events == ["plan x0", "plan x0", "process x0", "plan x1", "plan x2", "process x2"]


def test_wrong_pipeline_ends_the_run_at_the_first_file(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[str] = []
    plan = preflight.plan_file
    monkeypatch.setattr(
        preflight, "plan_file", lambda request: planned.append(request.input) or plan(request)
    )
    batch.config["stage"] = [{"plugin": "toy-psf-width"}]  # and no [psf]
    with pytest.raises(NeedError):
        batch.run()
    assert len(set(planned)) == len(planned) <= 3
    assert digests(batch.out) == {}


def test_record_of_an_earlier_version_is_taken_up(batch: Batch) -> None:
    batch.run()
    whole_run = digests(batch.out)
    for path in (batch.out / ".astroclean" / "records").glob("*.json"):
        text = path.read_text("utf-8")
        start = text.index(',"seen":')
        path.write_text(text[:start] + "}", "utf-8")
    assert batch.run() == KEPT
    assert digests(batch.out) == whole_run
    assert "seen" in path.read_text("utf-8")


def test_run_json_does_not_tell_stamps(batch: Batch) -> None:
    astroclean.run(batch.config, batch.raw, output=batch.out)
    assert '"seen"' not in (batch.out / "run.json").read_text("utf-8")


# -- what a run would do, and why ---------------------------------------------------------------


def told(batch: Batch, **request: Any) -> dict[str, tuple[str, str]]:
    found = batch.runner(**request).check().outlooks
    return {o.plan.stem: (str(o.prospect), "; ".join(o.reasons)) for o in found}


def test_what_a_run_would_do_is_told_and_nothing_is_written(batch: Batch) -> None:
    new = ("new", "nothing is on record of it")
    assert told(batch) == dict.fromkeys(KEPT, new)
    assert not batch.out.exists()
    batch.run()
    before = digests(batch.out)

    assert told(batch) == dict.fromkeys(KEPT, ("up to date", ""))

    batch.write(0, seed=9, time=OLD + 10**9)
    (batch.out / "x1_clean.fits").unlink()
    batch.write(3)
    assert told(batch) == {
        "x0": ("again", "the input was changed"),
        "x1": ("again", "the output x1_clean.fits is missing"),
        "x2": ("up to date", ""),
        "x3": new,
    }
    assert told(batch, overwrite=True)["x2"] == ("again", "--overwrite")
    assert {n: s for n, s in before.items() if n != "x1_clean.fits"} == digests(batch.out)


def test_a_dry_run_names_settings_stages_and_versions(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch.config["instrument"] = {"gain": 1.0}
    batch.run()
    batch.config["instrument"] = {"gain": 2.0}
    batch.config["stage"].pop()
    batch.config["description"] = "of which nothing depends"
    assert told(batch)["x0"] == ("again", "stage 'toy-fill' is gone; instrument.gain: 1.0 -> 2.0")

    batch.config["stage"].append({"plugin": "toy-fill"})
    batch.config["instrument"] = {"gain": 1.0}
    monkeypatch.setattr(preflight, "basis_of", lambda *_: "another")
    assert told(batch)["x0"] == ("up to date", "")


def test_a_dry_run_tells_of_damaged_and_unfinished_records(batch: Batch) -> None:
    batch.run()
    folder = batch.runner().folder
    folder.scratch.mkdir(parents=True)
    folder.depot.write(file_records._record_name("x0"), ["{"])
    folder.reopen("x1")
    assert told(batch) == {
        "x0": ("again", "its record is damaged"),
        "x1": ("again", "an earlier run did not finish it"),
        "x2": ("up to date", ""),
    }


def test_edited_code_of_the_same_version_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An editable plugin keeps its version for long; a process that has the old code says so."""

    def new_process() -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == TOYS]:
            monkeypatch.delitem(sys.modules, name)

    monkeypatch.setattr(code, "_at_first", dict(code._at_first))
    (tmp_path / "own").mkdir()
    own = install_toys(tmp_path / "own")
    monkeypatch.syspath_prepend(str(own))
    new_process()
    batch = Batch(tmp_path)
    assert set(batch.run().values()) == {"done"}
    assert set(batch.run().values()) == {"up to date"}
    edited = own / TOYS / "__init__.py"
    edited.write_text(edited.read_text("utf-8") + "\nWIDTH = 2\n", "utf-8")
    with pytest.raises(PluginLoadError, match=f"code of '{TOYS}' was changed after this process"):
        batch.run()
    new_process()
    reasons = {reason for one in batch.runner().check().outlooks for reason in one.reasons}
    assert reasons == {f"the code of plugin toy-{name} was changed" for name in ("bright", "fill")}
    assert set(batch.run().values()) == {"done"}
    assert set(batch.run().values()) == {"up to date"}
