"""A run on any executor: elsewhere, long-lived, shared. What changed is seen."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits
from toy_runs import digests, report_of, sky, unfinished, write_fits

import astroclean
from astroclean.core.run_cache import begin_run
from astroclean.errors import ConfigurationError, PluginLoadError
from astroclean.runner.executors import SerialExecutor, called
from astroclean.runner.executors.processes import ProcessExecutor
from astroclean.runner.plan.plan import PlanRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path

    from astroclean.runner.executors import Executor

CAMERA = """\
title = "A camera"
source = "this test"
[values]
gain = {{ default = {gain} }}
pixel_scale = {{ default = 1.0 }}
"""
TABLE = """\
name = "{name}"
title = "A table"
source = "this test"
encoding = "bits"
good = 0
[[value]]
value = {value}
name = "HIT"
meaning = "hit"
planes = ["COSMIC_RAY"]
"""


class Field:
    """A file with a DQ, and all that a pipeline may read beside it, by relative paths."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        dq = np.zeros((24, 32), np.int16)
        dq[3, 4], dq[5, 6] = 2, 4
        write_fits(folder / "a.fits", sky(1), dq, names=("SCI", "DQ"))
        self.write_map(7)
        self.write_psf(2.0)
        self.write_camera(3.0)
        self.write_table("read", 2)
        self.write_table("give", 8)
        self.config: dict[str, Any] = {
            "schema": 1,
            "instrument": {"name": "./camera.toml", "dq": "./read.toml"},
            "psf": {"file": "psf.fits_"},
            "stage": [
                {"plugin": "toy-bright", "options": {"map": "map.fits_"}},
                {"plugin": "toy-psf-width"},
                {"plugin": "toy-fill"},
            ],
            "products": {"mask_as": "./give.toml", "report": False},
            "run": {"keep_stages": True},
        }

    def _same_stat(self, name: str, write: Callable[[Path], Any]) -> None:
        """Write a file so that neither size nor time tell that it is another."""
        path = self.folder / name
        write(path)
        os.utime(path, ns=(0, 0))

    def write_map(self, row: int) -> None:
        image = np.zeros((24, 32), np.uint8)
        image[row, 9] = 1
        self._same_stat("map.fits_", lambda path: write_fits(path, image))

    def write_psf(self, fwhm: float) -> None:
        y, x = np.mgrid[-7:8, -7:8]
        stamp = np.exp(-(x**2 + y**2) * 4 * np.log(2) / fwhm**2)
        self._same_stat(
            "psf.fits_", lambda path: write_fits(path, stamp / stamp.sum(), PIXSCALE=1.0)
        )

    def write_camera(self, gain: float) -> None:
        self._same_stat("camera.toml", lambda path: path.write_text(CAMERA.format(gain=gain)))

    def write_table(self, name: str, value: int) -> None:
        text = TABLE.format(name=name, value=value)
        self._same_stat(f"{name}.toml", lambda path: path.write_text(text))

    def run(self, executor: Executor | None, out: str = "out") -> str:
        """Run; return the status of the file."""
        report = astroclean.run(self.config, "a.fits", output=out, executor=executor)
        (record,) = report.files
        assert record.status != "failed", record.error
        return str(record.status)

    def seen(self) -> dict[str, float]:
        """Return one number for each file that the result depends on."""
        (record,) = report_of(self.folder / "out")["files"]
        with fits.open(self.folder / "out" / "a_clean.fits") as hdus:
            flags = np.asarray(hdus["FLAGS"].data)
        (psf_stage,) = (s for s in record["frames"][0]["stages"] if s["name"] == "toy-psf-width")
        mask = fits.getdata(self.folder / "out" / "a_mask.fits", 1)
        return {
            "map": float(np.flatnonzero(flags[:, 9] & 1)[-1]),
            "psf": round(psf_stage["metrics"]["fwhm"]),
            "read": float(flags[5, 6] & 1),
            "give": float(mask.max()),
        }


@pytest.fixture
def field(tmp_path: Path, toys: Path, monkeypatch: pytest.MonkeyPatch) -> Field:
    monkeypatch.chdir(tmp_path)
    return Field(tmp_path)


@pytest.fixture(params=["serial", "process"])
def long_lived(request: pytest.FixtureRequest) -> Iterator[Executor]:
    made = SerialExecutor() if request.param == "serial" else ProcessExecutor(1)
    with contextlib.closing(made):
        yield made


@pytest.mark.slow
def test_a_long_lived_worker_sees_every_file_that_changed(
    field: Field, long_lived: Executor
) -> None:
    assert field.run(long_lived) == "done"
    assert field.run(long_lived) == "up to date"
    assert field.seen() == {"map": 7, "psf": 2, "read": 0, "give": 8}
    field.write_map(8)
    assert field.run(long_lived) == "done"
    assert field.seen() == {"map": 8, "psf": 2, "read": 0, "give": 8}
    field.write_psf(4.0)
    assert field.run(long_lived) == "done"
    assert field.seen() == {"map": 8, "psf": 4, "read": 0, "give": 8}
    field.write_table("read", 4)
    assert field.run(long_lived) == "done"
    assert field.seen() == {"map": 8, "psf": 4, "read": 1, "give": 8}
    field.write_table("give", 4)
    assert field.run(long_lived) == "done"
    assert field.seen() == {"map": 8, "psf": 4, "read": 1, "give": 4}
    field.write_camera(4.0)
    assert field.run(long_lived) == "done"
    assert field.run(long_lived) == "up to date"


class Elsewhere(SerialExecutor):
    """A worker with another working directory, to which everything goes as bytes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def map(
        self, function: Callable[[Any], Any], items: Sequence[Any]
    ) -> Generator[tuple[int, Any]]:
        for index, item in enumerate(items):
            call = pickle.dumps((function, item))
            with contextlib.chdir(self.folder):
                outcome = pickle.dumps(called(*pickle.loads(call)))  # noqa: S301
            yield index, pickle.loads(outcome)  # noqa: S301


def test_a_worker_may_have_another_working_directory(field: Field, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    there = Elsewhere(tmp_path / "elsewhere")
    assert field.run(SerialExecutor(), "here") == "done"
    assert field.run(there, "there") == "done"
    assert digests(tmp_path / "here") == digests(tmp_path / "there")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert unfinished(tmp_path / "there") == []
    # Both know the file again.
    assert field.run(SerialExecutor(), "there") == "up to date"
    assert field.run(there, "here") == "up to date"


def test_messages_name_files_as_the_user_did(field: Field, tmp_path: Path) -> None:
    content = (tmp_path / "a.fits").read_bytes()
    (tmp_path / "a.fits").write_bytes(content[: len(content) // 2])
    (tmp_path / "elsewhere").mkdir()
    told = []
    for executor in (SerialExecutor(), Elsewhere(tmp_path / "elsewhere")):
        report = astroclean.run(field.config, "a.fits", output="out", executor=executor)
        told += [record.error for record in report.files]
    assert told[0] == told[1]
    assert str(told[0]).startswith("a.fits: truncated")


class Meddling(SerialExecutor):
    """Something changes between plan and pixels, which another worker takes up."""

    def __init__(self, meddle: Callable[[], Any]) -> None:
        self.meddle = meddle

    def map(
        self, function: Callable[[Any], Any], items: Sequence[Any]
    ) -> Generator[tuple[int, Any]]:
        if items and not isinstance(items[0], PlanRequest):
            self.meddle()
            begin_run("a worker that knows nothing")
        yield from super().map(function, items)


@pytest.mark.parametrize("what", ["input", "map", "psf"])
def test_what_changed_since_the_headers_were_read_is_taken_as_it_is(
    field: Field, tmp_path: Path, what: str
) -> None:
    """Record, key and pixels are of one content: of what is there when its turn comes."""
    meddle = {
        "input": lambda: write_fits(tmp_path / "a.fits", sky(2)),
        "map": lambda: field.write_map(8),
        "psf": lambda: field.write_psf(4.0),
    }[what]
    report = astroclean.run(field.config, "a.fits", output="out", executor=Meddling(meddle))
    (record,) = report.files
    assert record.status == "done"
    assert record.content == hashlib.sha256((tmp_path / "a.fits").read_bytes()).hexdigest()
    field.run(SerialExecutor(), "anew")
    assert digests(tmp_path / "out") == digests(tmp_path / "anew")
    assert field.run(SerialExecutor(), "out") == "up to date"


def test_a_frame_of_which_others_have_a_part_and_that_changed_is_refused(
    field: Field, tmp_path: Path
) -> None:
    """Frames that workers share are planned before; those of one file must be of one content."""
    write_fits(tmp_path / "a.fits", sky(1), sky(2))
    del field.config["products"]["mask_as"], field.config["instrument"]["dq"]
    meddling = Meddling(lambda: write_fits(tmp_path / "a.fits", sky(3), sky(4)))
    meddling.workers = 2
    report = astroclean.run(field.config, "a.fits", output="out", executor=meddling)
    (record,) = report.files
    assert record.status == "failed"
    assert "was changed" in str(record.error) or "not what it was" in str(record.error)
    assert digests(tmp_path / "out") == {}


def test_an_input_that_was_only_touched_is_no_other(field: Field, tmp_path: Path) -> None:
    touch = Meddling((tmp_path / "a.fits").touch)
    assert field.run(touch) == "done"


class Cluster(SerialExecutor):
    """Says that it has four workers, two to a machine; remembers what it was given."""

    workers = 4
    workers_of_host = 2

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.closed = 0

    def map(
        self, function: Callable[[Any], Any], items: Sequence[Any]
    ) -> Generator[tuple[int, Any]]:
        self.items += items
        yield from super().map(function, items)

    def close(self) -> None:
        self.closed += 1


def test_memory_is_shared_by_the_workers_of_a_machine_and_frames_by_all(
    tmp_path: Path, toys: Path
) -> None:
    write_fits(tmp_path / "a.fits", sky(1), sky(2), sky(3))
    config: dict[str, Any] = {
        "schema": 1,
        "stage": [{"plugin": "toy-bright"}],
        "products": {"report": False},
        "run": {"max_memory": "1 GB"},
    }
    cluster = Cluster()
    report = astroclean.run(config, tmp_path, output=tmp_path / "out", executor=cluster)
    assert report.exit_code == 0
    assert report.jobs == 4
    requests = [item for item in cluster.items if isinstance(item, PlanRequest)]
    assert {request.sharing for request in requests} == {2}
    # Each frame, and the file.
    assert len([item for item in cluster.items if not isinstance(item, PlanRequest)]) == 3 + 1
    assert cluster.closed == 0  # it may serve other runs


class Half:
    """What a newcomer writes first: it makes calls, and no more."""

    workers = 0

    def map(self, function: Any, items: Any) -> Any:
        return ((index, called(function, item)) for index, item in enumerate(items))


@pytest.mark.parametrize("executor", [Half(), Half])
def test_an_executor_that_lacks_something_is_named(tmp_path: Path, executor: Any) -> None:
    with pytest.raises(PluginLoadError) as caught:
        astroclean.run("demo", output=tmp_path, executor=executor)
    assert f"{__name__}.Half" in str(caught.value)
    for word in ("`prepare()`", "`close()`", "`workers_of_host`", "`workers` is 0"):
        assert word in str(caught.value)
    assert "`map()`" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_jobs_and_executor_are_two_answers_to_one_question(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="jobs or executor"):
        astroclean.run("demo", output=tmp_path, jobs=2, executor=SerialExecutor())
