"""Shards: each does its part beside the others, and together they are a whole run, to the byte."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from toy_runs import (
    digests,
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
from astroclean.config.load import load_pipeline
from astroclean.errors import AstrocleanError, ConfigurationError, OutputError
from astroclean.runner.merge import merge
from astroclean.runner.output.folder import OutputFolder
from astroclean.runner.plan.shard import Shard
from astroclean.runner.runner import Request, Runner

if TYPE_CHECKING:
    from collections.abc import Callable

    from toy_runs import CommandLine

    from astroclean.report.model import RunReport

STAGES = ("toy-bright", "toy-fill", "toy-peaks")
KILLS = int(os.environ.get("ASTROCLEAN_KILLS", "6"))


class Batch:
    """A folder of inputs, run in shards in this process."""

    def __init__(self, folder: Path) -> None:
        self.raw, self.out = folder / "raw", folder / "out"
        write_batch(self.raw)
        stages = [{"plugin": name} for name in STAGES]
        self.config: dict[str, Any] = {
            "schema": 1,
            "instrument": {"name": "generic-ccd"},
            "stage": stages,
            "products": {"report": True},
        }

    def whole(self, output: Path) -> RunReport:
        return astroclean.run(self.config, self.raw, output=output)

    def shard(self, index: int, count: int, *settings: str, **request: Any) -> RunReport:
        loaded = load_pipeline(self.config, settings=settings)
        told = Request(
            inputs=(str(self.raw),),
            input_base=Path(),
            stages=tuple(stage.name for stage in loaded.config.stage),
            jobs=0,
            shard=Shard(index, count),
            **request,
        )
        return Runner(loaded, told, output=self.out).run()


@pytest.fixture
def batch(tmp_path: Path, toys: Path) -> Batch:
    return Batch(tmp_path)


def essence(report: dict[str, Any]) -> list[Any]:
    """Return what a record says of files, but for how long they took."""
    told = []
    for file in report["files"]:
        kept = {key: value for key, value in file.items() if key not in {"seconds", "run", "seen"}}
        frames = json.loads(json.dumps(file["frames"]))
        for frame in frames:
            for stage in frame["stages"]:
                del stage["seconds"]
        told.append({**kept, "frames": frames})
    return told


@pytest.mark.parametrize("count", [1, 3, 8])
def test_shards_are_together_a_whole_run(batch: Batch, tmp_path: Path, count: int) -> None:
    whole = tmp_path / "whole"
    batch.whole(whole)

    inputs = []
    for index in reversed(range(count)):  # in any order
        report = batch.shard(index, count)
        assert report.exit_code == 0
        inputs += [file.input for file in report.files]
    assert not (batch.out / "run.json").exists()
    merged = merge(batch.out)

    assert len(inputs) == len(set(inputs)) == 6
    assert merged.exit_code == 0
    assert digests(batch.out) == digests(whole)
    assert essence(report_of(batch.out)) == essence(report_of(whole))
    # 24 pictures at most are shown of either, and they are those of the same frames.
    pages = [(folder / "report.html").read_text("utf-8") for folder in (batch.out, whole)]
    assert pages[0].count("<img") == pages[1].count("<img") > 0
    assert unfinished(batch.out) == []
    (run,) = report_of(batch.out)["runs"]
    assert run["files"] == {"done": 6}


def test_whole_run_and_shards_take_up_one_another(batch: Batch, tmp_path: Path) -> None:
    batch.whole(batch.out)
    before = digests(batch.out)
    for index in range(2):
        assert {f.status for f in batch.shard(index, 2).files} == {"up to date"}
    merge(batch.out)
    assert set(statuses(batch.out).values()) == {"up to date"}

    write_fits(batch.raw / "x1.fits", sky(99))
    assert {f.status for i in range(3) for f in batch.shard(i, 3).files} == {"up to date", "done"}
    report = batch.whole(batch.out)
    assert {file.status for file in report.files} == {"up to date"}
    after = digests(batch.out)
    assert {name for name in before if before[name] != after[name]} >= {"x1_clean.fits"}
    assert all(name.startswith("x1_") for name in before if before[name] != after[name])


def test_fields_of_bands_stay_together(batch: Batch, tmp_path: Path, toys: Path) -> None:
    batch.raw = tmp_path / "bands"
    batch.raw.mkdir()
    for number in range(5):
        write_fits(batch.raw / f"f{number}_g.fits", sky(number))
        write_fits(batch.raw / f"r_f{number}.fits", sky(10 + number))
    batch.config["bands"] = {"g": "*_g.fits", "r": "r_*.fits"}
    batch.config["stage"] = [{"plugin": "toy-bright"}, {"plugin": "toy-fill"}]
    whole = tmp_path / "whole"
    batch.whole(whole)

    for index in range(3):
        names = {Path(file.input).stem for file in batch.shard(index, 3).files}
        fields = {name.removeprefix("r_").removesuffix("_g") for name in names}
        assert len(names) == 2 * len(fields)
        assert len(fields) in {1, 2}
    merge(batch.out)
    assert digests(batch.out) == digests(whole)


def test_failed_input_belongs_to_one_shard_and_moves_no_other(batch: Batch) -> None:
    of_shard = {i: [Path(f.input).name for f in batch.shard(i, 3).files] for i in range(3)}
    (batch.raw / "x2.fits").write_text("not FITS")
    again = {i: batch.shard(i, 3) for i in range(3)}

    assert {i: [Path(f.input).name for f in r.files] for i, r in again.items()} == of_shard
    assert sorted(report.exit_code for report in again.values()) == [0, 0, 1]
    merged = merge(batch.out)
    assert merged.exit_code == 1
    assert statuses(batch.out)["x2.fits"] == "failed"
    # Mended, its shard alone is run again, and merged with the others.
    write_fits(batch.raw / "x2.fits", sky(2))
    (mended,) = (i for i, names in of_shard.items() if "x2.fits" in names)
    batch.shard(mended, 3)
    assert merge(batch.out).exit_code == 0


def test_more_shards_than_inputs(batch: Batch) -> None:
    assert [len(batch.shard(i, 9).files) for i in range(9)].count(0) == 3
    assert len(merge(batch.out).files) == 6


def test_simulated_input_is_made_by_one_shard(batch: Batch, tmp_path: Path) -> None:
    batch.config["input"] = {"simulate": {"kind": "exposure", "seed": 3}}
    loaded = load_pipeline(batch.config)
    for index in (1, 0):
        names = tuple(stage.name for stage in loaded.config.stage)
        told = Request(stages=names, jobs=0, shard=Shard(index, 2))
        report = Runner(loaded, told, output=batch.out).run()
        assert len(report.files) == 1 - index
        assert (batch.out / "simulated_exposure.fits").exists() == (index == 0)
    assert merge(batch.out).exit_code == 0


def _damage(batch: Batch) -> None:
    (batch.out / ".astroclean" / "shards" / "1-of-3.json").write_text("{")


def _another_shard(*settings: str, index: int = 1, count: int = 3) -> Callable[[Batch], None]:
    return lambda batch: batch.shard(index, count, *settings) and None


def _another_input(batch: Batch) -> None:
    write_fits(batch.raw / "y.fits", sky(3))
    batch.shard(1, 3)


def _remove(batch: Batch) -> None:
    (batch.out / ".astroclean" / "shards" / "1-of-3.json").unlink()


def _newer_result(batch: Batch) -> None:
    write_fits(batch.raw / "x1.fits", sky(77))
    batch.whole(batch.out)


WRONG: dict[str, tuple[Callable[[Batch], None], str]] = {
    "missing": (_remove, r"no record of shard 1/3"),
    "damaged": (_damage, r"record of shard 1/3 is damaged(.|\n)*no record of shard 1/3"),
    "option": (
        _another_shard("toy-bright.level=77"),
        r"shards 0/3 and 1/3 differ in .*toy-bright\.options\.level \(.*77",
    ),
    "inputs": (_another_input, r"shards 0/3 and 1/3 differ in the inputs"),
    "number": (_another_shard(count=4), r"differ in the number of shards \(3, 4\)"),
    "result": (_newer_result, r"shard ./3 tells of another result of .*x1\.fits"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_whole_is_refused_by_name(batch: Batch, what: str) -> None:
    change, wanted = WRONG[what]
    for index in range(3):
        batch.shard(index, 3)
    change(batch)
    before = digests(batch.out)
    page = (batch.out / "report.html").exists()

    with pytest.raises(ConfigurationError, match=wanted) as raised:
        merge(batch.out)

    assert raised.value.exit_code == 2
    assert (batch.out / "report.html").exists() == page
    assert digests(batch.out) == before
    for index in range(3):
        batch.shard(index, 3)
    (batch.out / ".astroclean" / "shards" / "1-of-4.json").unlink(missing_ok=True)
    assert merge(batch.out).exit_code == 0


def test_other_content_of_a_file_that_an_option_names(batch: Batch, tmp_path: Path) -> None:
    told = tmp_path / "map.fits_"
    batch.config["stage"][0]["options"] = {"map": str(told)}
    write_fits(told, np.zeros((24, 32), np.uint8))
    batch.shard(0, 2)
    write_fits(told, np.eye(24, 32, dtype=np.uint8))
    batch.shard(1, 2)
    with pytest.raises(ConfigurationError, match="what stage 'toy-bright' is made of"):
        merge(batch.out)


def test_next_run_in_other_shards_takes_the_place_of_the_merged_one(batch: Batch) -> None:
    for count in (3, 2):
        for index in range(count):
            batch.shard(index, count, f"toy-bright.level={count * 100}")
        merge(batch.out)
    left = sorted(path.name for path in (batch.out / ".astroclean" / "shards").glob("*.json"))
    assert left == ["0-of-2.merged.json", "1-of-2.merged.json"]


@pytest.mark.parametrize("output", ["nothing", "raw"])
def test_nothing_to_merge(batch: Batch, output: str) -> None:
    with pytest.raises(ConfigurationError, match="nothing to merge"):
        merge(batch.raw.parent / output)
    assert not (batch.raw.parent / output / ".astroclean").exists()


def test_who_may_write_beside_whom(batch: Batch) -> None:
    def folder(shard: Shard | None = None) -> OutputFolder:
        return OutputFolder(batch.out, shard=shard)

    with folder(Shard(0, 2)).locked():
        begun = folder(Shard(0, 2)).shards
        assert begun.is_dir()
        with folder(Shard(1, 2)).locked():  # what the first has begun stays
            pass
        with pytest.raises(OutputError, match="shard 0/2"), folder(Shard(0, 2)).locked():
            pass
        with pytest.raises(OutputError, match="shards of one"), folder().locked():
            pass
        with pytest.raises(OutputError, match="shards of one"):
            merge(batch.out)
    refused = pytest.raises(OutputError, match="a whole one")
    with folder().locked(), refused, folder(Shard(1, 2)).locked():
        pass


@pytest.mark.parametrize("text", ["8/8", "-1/8", "1", "a/b", "1/0", "0/0", "1/8 ", "\u0661/8"])
def test_shards_count_from_zero(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"SLURM_ARRAY_TASK_ID"):
        Shard.parsed(text)


def test_link_in_place_of_the_shards(batch: Batch, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (batch.out / ".astroclean").mkdir(parents=True)
    (batch.out / ".astroclean" / "shards").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AstrocleanError, match="symbolic link"):
        batch.shard(0, 2)
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.slow
def test_command_line(cli: CommandLine, tmp_path: Path) -> None:
    write_batch(tmp_path / "raw")
    pipeline = write_pipeline(tmp_path / "p.toml", *STAGES, report=True)
    words = ("run", pipeline, "raw", "-o", "out")

    ended = cli(*words, "--shard", "2/2")
    assert ended.status == 2
    assert "0/2 to 1/2" in ended.err
    assert cli(*words, "--shard", "0/2").out.count("when all shards have ended") == 1
    ended = cli("merge", "out")
    assert ended.status == 2
    assert "no record of shard 1/2" in ended.err
    assert cli(*words, "--shard", "1/2", "-q").out == ""
    ended = cli("merge", "out")
    assert ended.status == 0
    assert ended.out.endswith("out/report.html\n")
    assert (tmp_path / "out" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="counts processes in /proc")
def test_shards_killed_at_random(cli: CommandLine, tmp_path: Path) -> None:
    write_batch(tmp_path / "raw")
    pipeline = write_pipeline(tmp_path / "p.toml", "toy-bright: delay = 0.2", "toy-fill")
    assert cli("run", pipeline, "raw", "-o", "whole").status == 0
    out = tmp_path / "out"
    rng = np.random.default_rng(11)
    shards = [("run", pipeline, "raw", "-o", "out", "--shard", f"{i}/2", "-q") for i in range(2)]

    for _ in range(KILLS):
        begun = [cli.start(*words, start_new_session=True) for words in shards]
        time.sleep(rng.uniform(1, 5))
        for process in begun:
            with process:
                process.send_signal(rng.choice([signal.SIGKILL, signal.SIGTERM]))
                _, err = process.communicate(timeout=60)
                assert "/astroclean/" not in err
                wait_for(lambda p=process: not processes_of(p.pid))  # type: ignore[misc]
        wanted = digests(tmp_path / "whole")
        assert all(
            wanted[name] == one for name, one in (digests(out) if out.exists() else {}).items()
        )

    for words in shards:
        assert cli(*words).status == 0
    assert cli("merge", "out").status == 0
    assert digests(out) == digests(tmp_path / "whole")
    assert unfinished(out) == []
