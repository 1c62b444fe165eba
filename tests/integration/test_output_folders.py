"""What lies in an output folder: none of it runs, nothing outside is touched, nothing is lost."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import pickle
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits
from toy_runs import digests, report_of, sky, statuses, write_fits, write_pipeline

import astroclean
from astroclean.errors import ConfigurationError, OutputError
from astroclean.io.scratch.atomic import atomic_file
from astroclean.report.model import RunReport
from astroclean.runner.output import depot as depot_module
from astroclean.runner.output import folder as folder_module
from astroclean.runner.output import outputs as outputs_module
from astroclean.runner.output import stamps as stamps_module
from astroclean.simulate.exposure import write_exposure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from toy_runs import CommandLine

PLAIN: dict[str, Any] = {
    "schema": 1,
    "instrument": "generic-ccd",
    "stage": [{"plugin": "toy-bright"}, {"plugin": "toy-fill"}],
    "products": {"report": False},
}


def run(raw: Any, out: Path, **options: Any) -> RunReport:
    config = {**PLAIN, **options.pop("config", {})}
    return astroclean.run(config, raw, output=out, **options)


class Bomb:
    """An object that leaves a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


# -- folders that someone else prepared --------------------------------------------------------


@pytest.mark.slow
def test_saved_states_run_no_code(cli: CommandLine, tmp_path: Path) -> None:
    write_fits(tmp_path / "a.fits", sky(1))
    pipeline = write_pipeline(tmp_path / "p.toml", "toy-bright", "toy-fill")
    words = ("run", pipeline, "a.fits", "-o", "out")
    assert cli(*words, "--set", "run.keep_stages=true").status == 0
    states = sorted((tmp_path / "out/.astroclean/stages").iterdir())
    assert len(states) == 2
    mark = tmp_path / "mark"
    bomb = pickle.dumps(Bomb(mark))
    with (tmp_path / "objects.npz").open("wb") as stream:
        np.savez(stream, tree=np.array(Bomb(mark), dtype=object))
    for content in (bomb, (tmp_path / "objects.npz").read_bytes(), b"", b"PK\5\6" + bytes(18)):
        for state in states:
            state.write_bytes(content)
        ended = cli(*words, "--from", "toy-fill", "--overwrite")
        assert ended.status == 1
        assert "a.fits" in ended.failures[0]
        assert "keep_stages" in ended.failures[0] or "cannot be read" in ended.failures[0]
    assert not mark.exists()


def test_a_packed_state_does_not_fill_the_memory(tmp_path: Path) -> None:
    from astroclean.errors import FitsReadError
    from astroclean.io.scratch.arrays import read_arrays

    np.savez_compressed(tmp_path / "s.npz", tree=np.zeros(10_000_000, np.uint8))
    with pytest.raises(FitsReadError, match="packed"):
        read_arrays(tmp_path / "s.npz")


def test_a_state_that_is_a_link_is_not_read(tmp_path: Path, toys: Path) -> None:
    write_fits(tmp_path / "a.fits", sky(1))
    keep = ["run.keep_stages=true"]
    run(tmp_path / "a.fits", tmp_path / "out", settings=keep)
    for state in (tmp_path / "out/.astroclean/stages").iterdir():
        state.rename(tmp_path / state.name)
        state.symlink_to(tmp_path / state.name)
    # Not saved: done once more, and the links are replaced.
    assert run(tmp_path / "a.fits", tmp_path / "out", settings=keep).files[0].status == "done"
    assert not any(p.is_symlink() for p in (tmp_path / "out/.astroclean/stages").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("stages", [("toy-bright", "toy-peaks", "toy-fill"), ("toy-bright",)])
def test_from_gives_the_bytes_of_the_whole_run(
    cli: CommandLine, tmp_path: Path, stages: tuple[str, ...]
) -> None:
    write_fits(tmp_path / "a.fits", sky(1), sky(2))
    tables = '[products]\nreport = false\nkeep = ["flags", "sources", "removed", "stamps"]\n'
    pipeline = write_pipeline(tmp_path / "p.toml", *stages, tables=tables)
    assert cli("run", pipeline, "a.fits", "-o", "whole").status == 0
    words = ("run", pipeline, "a.fits", "-o", "out", "--set", "run.keep_stages=true")
    assert cli(*words).status == 0
    for stage in stages:
        assert cli(*words, "--from", stage, "--overwrite").status == 0
        assert digests(tmp_path / "out") == digests(tmp_path / "whole"), stage


@pytest.mark.parametrize("name", ["../victim", "/{}/victim", "..", ".", "sub/victim", "", "a\0b"])
def test_a_record_removes_nothing_outside(tmp_path: Path, toys: Path, name: str) -> None:
    write_fits(tmp_path / "a.fits", sky(1))
    out = tmp_path / "out"
    (out / "sub").mkdir(parents=True)
    victims = [tmp_path / "victim", out / "sub" / "victim"]
    for victim in victims:
        victim.write_text("of the user")
    run(tmp_path / "a.fits", out)
    (path,) = (out / ".astroclean" / "records").iterdir()
    record = json.loads(path.read_text("utf-8"))
    told = name.replace("{}", str(tmp_path).lstrip("/"))
    record["outputs"] = {told: "", "a_clean.fits": ""}
    path.write_text(json.dumps(record), "utf-8")

    assert run(tmp_path / "a.fits", out, settings=["toy-bright.level=900"]).exit_code == 0
    assert all(victim.read_text() == "of the user" for victim in victims)


def test_an_output_that_the_user_changed_is_not_removed(tmp_path: Path, toys: Path) -> None:
    write_fits(tmp_path / "a.fits", sky(1))
    masks = {"products": {"report": False, "mask_as": "jwst"}}
    run(tmp_path / "a.fits", tmp_path / "out", config=masks)
    (tmp_path / "out/a_mask.fits").write_text("mine now")
    report = run(tmp_path / "a.fits", tmp_path / "out")
    assert report.exit_code == 0
    assert (tmp_path / "out/a_mask.fits").read_text() == "mine now"


@pytest.mark.parametrize("part", ["", "scratch", "records", "stages", "lock"])
def test_no_link_is_followed(tmp_path: Path, toys: Path, part: str) -> None:
    write_fits(tmp_path / "a.fits", sky(1))
    elsewhere, out = tmp_path / "elsewhere", tmp_path / "out"
    for name in ("scratch", "stages", "records"):
        (elsewhere / name).mkdir(parents=True)
        (elsewhere / name / ".unfinished-thesis").write_text("of the user")
    own = out / ".astroclean"
    link = own / part if part else own
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere / part if part else elsewhere)

    with pytest.raises(OutputError, match="symbolic link"):
        run(tmp_path / "a.fits", out)
    assert len(list(elsewhere.rglob(".unfinished-thesis"))) == 3
    assert not (elsewhere / "lock").exists()


@pytest.mark.parametrize("what", ["link", "dangling", "pipe", "folder"])
def test_what_is_no_file_is_no_output_of_ours(tmp_path: Path, toys: Path, what: str) -> None:
    write_fits(tmp_path / "a.fits", sky(1))
    out = tmp_path / "out"
    run(tmp_path / "a.fits", out)
    target = out / "a_clean.fits"
    target.rename(tmp_path / "moved.fits")
    {
        "link": lambda: target.symlink_to(tmp_path / "moved.fits"),
        "dangling": lambda: target.symlink_to(tmp_path / "nothing"),
        "pipe": lambda: os.mkfifo(target),
        "folder": target.mkdir,
    }[what]()
    before = (tmp_path / "moved.fits").read_bytes()
    (record,) = run(tmp_path / "a.fits", out).files
    assert record.status == "failed"
    assert "not written by astroclean" in str(record.error)
    assert (tmp_path / "moved.fits").read_bytes() == before


def special(path: Path, kind: str) -> None:
    """Put something in the place of a file that is none: reading it would wait, or never end."""
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        before = Path.cwd()
        os.chdir(path.parent)  # the path of a socket must be short
        try:
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind(path.name)
        finally:
            os.chdir(before)
    else:
        try:
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))  # zeros for ever
        except PermissionError:
            pytest.skip("only root makes devices")


SPECIAL = ["pipe", "socket", "device"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", SPECIAL)
def test_records_that_are_no_files_are_none(tmp_path: Path, toys: Path, kind: str) -> None:
    raw, out = write_fits(tmp_path / "a.fits", sky(1)), tmp_path / "out"
    config = {"run": {"keep_stages": True}}
    run(raw, out, config=config)
    before = digests(out)
    (record,) = (out / ".astroclean/records").iterdir()
    for part in (record, *(out / ".astroclean/stages").iterdir()):
        special(part, kind)
    assert folder_module.OutputFolder(out).record("a") is None
    report = run(raw, out, config=config)
    # Without its record, the output is known by its own cards, and is made anew.
    assert [file.status for file in report.files] == ["done"]
    assert digests(out) == before
    assert record.is_file()
    assert [file.status for file in run(raw, out, config=config).files] == ["up to date"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", ["run.json", "report.html", "a_clean.fits", "lock"])
def test_special_files_are_not_read(tmp_path: Path, toys: Path, kind: str, name: str) -> None:
    raw, out = write_fits(tmp_path / "a.fits", sky(1)), tmp_path / "out"
    config = {"products": {"report": True}}
    run(raw, out, config=config)
    target = out / (".astroclean/lock" if name == "lock" else name)
    special(target, kind)
    if name == "a_clean.fits":
        (record,) = run(raw, out, config=config).files
        assert "not written by astroclean" in str(record.error)
    elif name == "lock":
        with pytest.raises(OutputError, match="lock"):
            run(raw, out, config=config)
    else:
        with pytest.raises(OutputError, match=f"{name} exists and was not written"):
            run(raw, out, config=config)
        assert folder_module.OutputFolder(out).read_text(name, 1 << 20) is None
    assert not target.is_file()


# -- files of the user -------------------------------------------------------------------------

EVERYTHING = {
    "keep": ["flags", "sources", "regions", "stamps"],
    "mask_as": "jwst",
    "report": False,
}


@pytest.mark.parametrize(
    "name",
    ["a_sources.ecsv", "a_sources.fits", "a_sources.reg", "a_stamps.fits", "a_mask.fits"],
)
def test_each_output_of_the_user_is_left(tmp_path: Path, toys: Path, name: str) -> None:
    write_fits(tmp_path / "a.fits", sky(1))
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("of the user")
    config = {"stage": [{"plugin": "toy-bright"}, {"plugin": "toy-peaks"}], "products": EVERYTHING}

    report = run(tmp_path / "a.fits", out, config=config)
    assert report.exit_code == 1
    assert name in str(report.files[0].error)
    assert "--overwrite" in str(report.files[0].error)
    assert (out / name).read_text() == "of the user"
    assert not (out / "a_clean.fits").exists()

    assert run(tmp_path / "a.fits", out, config=config, overwrite=True).exit_code == 0
    assert (out / name).read_bytes() != b"of the user"


@pytest.mark.parametrize("name", ["run.json", "report.html"])
@pytest.mark.parametrize("content", ["", "{}", '{"files": []}', "<html>my page</html>"])
def test_record_and_page_of_the_user_are_left(
    tmp_path: Path, toys: Path, name: str, content: str
) -> None:
    write_fits(tmp_path / "a.fits", sky(1))
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text(content)
    config = {"products": {"report": True}}
    with pytest.raises(OutputError, match=name):
        run(tmp_path / "a.fits", out, config=config)
    assert (out / name).read_text() == content
    assert run(tmp_path / "a.fits", out, config=config, overwrite=True).exit_code == 0
    # Now they are ours.
    assert run(tmp_path / "a.fits", out, config=config).exit_code == 0


def test_a_page_of_the_user_is_left_where_none_is_written(tmp_path: Path, toys: Path) -> None:
    write_fits(tmp_path / "a.fits", sky(1))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/report.html").write_text("mine")
    assert run(tmp_path / "a.fits", tmp_path / "out").exit_code == 0
    assert (tmp_path / "out/report.html").read_text() == "mine"


def test_a_simulated_input_takes_no_place_of_another(tmp_path: Path, toys: Path) -> None:
    (tmp_path / "simulated_exposure.fits").write_text("of the user")
    config = {"input": {"simulate": {"kind": "exposure"}}}
    with pytest.raises(OutputError, match="simulated_exposure"):
        run((), tmp_path, config=config)
    (tmp_path / "simulated_exposure.fits").unlink()
    for _ in range(2):
        assert run((), tmp_path, config=config).exit_code == 0


# -- two inputs of one name --------------------------------------------------------------------


@pytest.fixture
def nights(tmp_path: Path, toys: Path) -> Path:
    for number in (1, 2):
        (tmp_path / f"night{number}").mkdir()
        write_fits(tmp_path / f"night{number}" / "ccd0001.fits", sky(number))
    return tmp_path


def test_the_second_night_does_not_replace_the_first(nights: Path) -> None:
    out = nights / "out"
    assert run(nights / "night1", out).exit_code == 0
    first = digests(out)

    report = run(nights / "night2", out)

    assert report.exit_code == 1
    (failed,) = report.files
    assert "night1/ccd0001.fits" in str(failed.error)
    assert "night2/ccd0001.fits" in str(failed.error)
    assert "{parent}" in str(failed.error)
    assert digests(out) == first
    told = {Path(f["input"]).parent.name: f["status"] for f in report_of(out)["files"]}
    assert told == {"night1": "done", "night2": "failed"}
    assert len(report_of(out)["runs"]) == 2

    # Each way out that the message names.
    assert run(nights / "night2", nights / "other").exit_code == 0
    named = {"products": {"name": "{parent}_{stem}_clean", "report": False}}
    assert run(nights / "night2", out, config=named).exit_code == 0
    assert digests(out).keys() == {"ccd0001_clean.fits", "night2_ccd0001_clean.fits"}
    told = {Path(f["input"]).parent.name: f["status"] for f in report_of(out)["files"]}
    assert told == {"night1": "done", "night2": "done"}
    replaced = run(nights / "night2", out, overwrite=True)
    assert replaced.exit_code == 0
    assert "replaces" in " ".join(replaced.notes)
    assert digests(out)["ccd0001_clean.fits"] != first["ccd0001_clean.fits"]


def test_the_same_relative_path_is_another_file_elsewhere(
    nights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(nights / "night1")
    assert run("ccd0001.fits", nights / "out").exit_code == 0
    monkeypatch.chdir(nights / "night2")
    assert run("ccd0001.fits", nights / "out").exit_code == 1
    # And the same file under another path is the same.
    (nights / "night1").rename(nights / "archive")
    assert [str(f.status) for f in run(nights / "archive", nights / "out").files] == ["up to date"]
    again = run(nights / "archive", nights / "out", settings=["toy-bright.level=900"])
    assert [str(f.status) for f in again.files] == ["done"]


def test_lost_records_do_not_lose_results(nights: Path) -> None:
    import shutil

    out = nights / "out"
    run(nights / "night1", out)
    shutil.rmtree(out / ".astroclean")
    assert run(nights / "night2", out).exit_code == 1


def test_two_nights_in_one_run(nights: Path) -> None:
    both = [nights / "night1", nights / "night2"]
    report = run(both, nights / "out")
    assert [str(f.status) for f in report.files] == ["failed", "failed"]
    assert all("{parent}" in str(f.error) for f in report.files)
    named = {"products": {"name": "{parent}_{stem}", "report": False}}
    assert run(both, nights / "out", config=named).exit_code == 0
    assert digests(nights / "out").keys() == {"night1_ccd0001.fits", "night2_ccd0001.fits"}
    # Into the folder of the inputs: what was written is no input of the next run.
    for _ in range(2):
        report = run(nights / "night1", nights / "night1", config=named)
        assert [Path(f.input).name for f in report.files] == ["ccd0001.fits"]


def test_products_of_two_templates_do_not_meet(tmp_path: Path, toys: Path) -> None:
    for name in ("x", "x_mask"):
        write_fits(tmp_path / f"{name}.fits", sky(len(name)))
    config = {"products": {"name": "{stem}", "mask_as": "jwst", "report": False}}
    both = [tmp_path / "x.fits", tmp_path / "x_mask.fits"]
    report = run(both, tmp_path / "out", config=config)
    assert [str(f.status) for f in report.files] == ["failed", "failed"]
    assert run(both[0], tmp_path / "out", config=config).exit_code == 0
    before = digests(tmp_path / "out")
    assert run(both[1], tmp_path / "out", config=config).exit_code == 1
    assert digests(tmp_path / "out") == before


def test_two_hdus_of_one_file(tmp_path: Path, toys: Path) -> None:
    write_fits(tmp_path / "f.fits", *(sky(n) for n in range(4)))
    out = tmp_path / "out"
    assert run(f"{tmp_path}/f.fits[SCI,1]", out).exit_code == 0
    first = digests(out)
    report = run(f"{tmp_path}/f.fits[SCI,4]", out)
    assert report.exit_code == 1
    assert "f.fits[SCI,1]" in str(report.files[0].error)
    assert "f.fits[SCI,4]" in str(report.files[0].error)
    assert digests(out) == first
    assert run(f"{tmp_path}/f.fits[SCI,1]", out).files[0].status == "up to date"


@pytest.mark.parametrize(
    "name", ["fixed", "{stem}/x", "{other}", "{stem!r}", "{stem:>9}", ".{stem}", "{", "{stem}\n"]
)
def test_templates_that_cannot_be(tmp_path: Path, toys: Path, name: str) -> None:
    write_fits(tmp_path / "a.fits", sky(1))
    with pytest.raises(ConfigurationError, match=r"products\.name"):
        run(tmp_path / "a.fits", tmp_path / "out", config={"products": {"name": name}})


def test_a_name_that_is_too_long_fails_its_file_alone(tmp_path: Path, toys: Path) -> None:
    write_fits(tmp_path / f"{'x' * 245}.fits", sky(1))
    write_fits(tmp_path / "b.fits", sky(2))
    report = run(tmp_path, tmp_path / "out")
    assert {str(f.status) for f in report.files} == {"done", "failed"}
    assert "bytes" in next(str(f.error) for f in report.files if f.error)


# -- record and report of a folder -------------------------------------------------------------


def test_record_and_page_tell_all_outputs(tmp_path: Path, toys: Path) -> None:
    for name in ("a", "b", "c"):
        write_fits(tmp_path / f"{name}.fits", sky(ord(name), shape=(64, 64)))
    out, config = tmp_path / "out", {"products": {"report": True}}
    for name in ("a", "b"):
        run(tmp_path / f"{name}.fits", out, config=config)
    run([tmp_path / "b.fits", tmp_path / "missing.fits"], out, config=config)
    report = run(tmp_path / "c.fits", out, config=config)

    assert [Path(f.input).name for f in report.files] == ["c.fits"]
    assert statuses(out) == {"a.fits": "done", "b.fits": "done", "c.fits": "done"}
    record = report_of(out)
    assert [run["number"] for run in record["runs"]] == [1, 2, 3, 4]
    assert {Path(f["input"]).stem: f["run"] for f in record["files"]} == {"a": 1, "b": 2, "c": 4}
    told = {name for f in record["files"] for name in f["outputs"]}
    assert told == digests(out).keys()
    page = (out / "report.html").read_text("utf-8")
    assert all(f'href="./{name}_clean.fits"' in page for name in "abc")
    assert page.count('class="compare"') >= 3  # pictures of earlier runs, too
    RunReport.model_validate(record)


def test_what_is_gone_is_said(tmp_path: Path, toys: Path) -> None:
    for name in ("a", "b"):
        write_fits(tmp_path / f"{name}.fits", sky(ord(name)))
        run(tmp_path / f"{name}.fits", tmp_path / "out")
    (tmp_path / "out/a_clean.fits").unlink()
    for _ in range(2):
        run(tmp_path / "b.fits", tmp_path / "out")
        (a, _) = report_of(tmp_path / "out")["files"]
        assert a["outputs"] == {}
        assert [n for n in a["notes"] if "no longer" in n] == [
            "a_clean.fits is no longer in the folder"
        ]


def test_skip_says_what_it_removes(tmp_path: Path, toys: Path) -> None:
    write_exposure(tmp_path / "a.fits", seed=1, shape=(64, 64))
    config = {"stage": [{"plugin": "toy-bright"}, {"plugin": "toy-peaks"}]}
    run(tmp_path / "a.fits", tmp_path / "out", config=config)
    assert (tmp_path / "out/a_sources.ecsv").exists()
    without = {"stage": [{"plugin": "toy-bright"}]}
    (record,) = run(tmp_path / "a.fits", tmp_path / "out", config=without).files
    gone = {"a_sources.ecsv", "a_sources.fits"}
    assert not gone & digests(tmp_path / "out").keys()
    assert {n.split()[1].rstrip(",") for n in record.notes if n.startswith("removed ")} == gone


# -- no room, no memory ------------------------------------------------------------------------


@contextlib.contextmanager
def full_disk_for(
    monkeypatch: pytest.MonkeyPatch, module: Any, function: str, word: str
) -> Iterator[None]:
    """Let a function fail as on a full disk where any of its arguments holds a word."""
    true = getattr(module, function)

    def failing(*arguments: Any, **options: Any) -> Any:
        if any(word in str(argument) for argument in arguments):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return true(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(module, function, failing)
        yield


def test_a_full_disk_costs_one_file(
    tmp_path: Path, toys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        write_fits(tmp_path / f"{name}.fits", sky(ord(name)))
    out = tmp_path / "out"
    record_of_b = hashlib.sha256(b"b").hexdigest()[:24]
    wanted = ["done", "failed", "done"]

    with full_disk_for(monkeypatch, outputs_module, "file_digest", "b_clean"):
        assert [str(f.status) for f in run(tmp_path, out).files] == wanted
    for place in ("atomic_file", "open_regular"):
        with full_disk_for(monkeypatch, depot_module, place, record_of_b):
            report = run(tmp_path, out, overwrite=True)
        told = [str(f.status) for f in report.files]
        assert told == wanted or place == "open_regular", place
        assert "No space" in str(report.files[1].error) or told == ["done"] * 3
    assert run(tmp_path, out).exit_code == 0
    # An output that cannot be compared is made again. Its time is no longer the one on record.
    os.utime(out / "b_clean.fits", (1e9, 1e9))
    with full_disk_for(monkeypatch, stamps_module, "file_digest", "b_clean"):
        assert [str(f.status) for f in run(tmp_path, out).files] == [
            "up to date",
            "done",
            "up to date",
        ]
    assert not list((out / ".astroclean").glob("scratch/*"))


def test_no_room_for_the_record_of_the_run(
    tmp_path: Path, toys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_fits(tmp_path / "a.fits", sky(1))
    true = atomic_file

    def full(path: Path, **options: Any) -> Any:
        if path.name == "run.json":
            path = tmp_path / "no folder" / "run.json"
            options = {"scratch": tmp_path / "no folder"}
        return true(path, **options)

    monkeypatch.setattr("astroclean.runner.output.depot.atomic_file", full)
    report = run(tmp_path / "a.fits", tmp_path / "out")
    assert report.exit_code == 1
    assert "not on record" in " ".join(report.notes)
    assert report.files[0].status == "done"


LIMITED = """
import resource, sys
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
from astroclean.cli.main import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.slow
def test_too_little_memory_costs_the_large_file(
    cli: CommandLine, tmp_path: Path, toy_folder: Path
) -> None:
    for name, side in (("a", 32), ("b", 6000), ("c", 32)):
        write_fits(tmp_path / f"{name}.fits", sky(1, (side, side)))
    pipeline = write_pipeline(tmp_path / "p.toml", "toy-bright", "toy-fill")
    words = ["run", str(pipeline), *(f"{n}.fits" for n in "abc"), "-o", "out"]
    limit = _virtual_size(toy_folder) + 400_000_000
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{toy_folder}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 1, ended.stderr
    assert "memory" in ended.stderr
    assert statuses(tmp_path / "out") == {"a.fits": "done", "b.fits": "failed", "c.fits": "done"}


def _virtual_size(toy_folder: Path) -> int:
    """Return what a run of a small file takes of the address space, in bytes."""
    code = (
        "import re, pathlib, astropy.io.fits, scipy.ndimage, astroclean.runner.runner\n"
        "print(re.search(r'VmPeak:\\s+(\\d+)', pathlib.Path('/proc/self/status').read_text())[1])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(told.stdout) * 1024


def test_saved_states_hold_no_objects(tmp_path: Path, toys: Path) -> None:
    write_fits(tmp_path / "a.fits", sky(1))
    config = {"stage": [{"plugin": "toy-peaks"}, {"plugin": "toy-bright"}]}
    run(tmp_path / "a.fits", tmp_path / "out", config=config, settings=["run.keep_stages=true"])
    for state in (tmp_path / "out/.astroclean/stages").iterdir():
        with np.load(state, allow_pickle=False) as archive:
            assert all(archive[name].dtype.kind != "O" for name in archive.files)
    assert fits.getval(tmp_path / "out/a_clean.fits", "BUNIT") == "adu"
