"""One giant frame whose chunks go to several workers: the bytes of a single one."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from toy_runs import digests, write_fits

import astroclean
from astroclean.registry.load import find_plugin, load_stage_class
from astroclean.runner.executors import ProcessExecutor, SerialExecutor, WorkerDied
from astroclean.runner.plan.chunks import BASE_BYTES, BYTES_PER_PIXEL, Pass
from astroclean.simulate.exposure import write_exposure

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

CLEAN: list[dict[str, Any]] = [
    {"plugin": "saturation"},
    {"plugin": "lacosmic"},
    {"plugin": "interpolate", "options": {"max_distance": 4}},
]
SHAPE = (900, 90)


def limit_for(rows: int) -> str:
    return f"{(BASE_BYTES + rows * SHAPE[1] * BYTES_PER_PIXEL) / 1e6:.3f} MB"


class Several(SerialExecutor):
    """Makes its calls here, one after the other, as if it had several workers."""

    workers = 3

    def __init__(self) -> None:
        self.called: list[str] = []

    def map(
        self, function: Callable[[Any], Any], items: Sequence[Any]
    ) -> Generator[tuple[int, Any]]:
        self.called += [function.function.__name__] * len(items)  # type: ignore[attr-defined]
        # The last first: results come in any order.
        for index in reversed(range(len(items))):
            ((_, outcome),) = super().map(function, [items[index]])
            yield index, outcome


def cleaned(
    folder: Path, path: Path, stages: list[Any], *, memory: str = limit_for(600), **given: Any
) -> Any:
    config = {
        "schema": 1,
        "stage": stages,
        "run": {"max_memory": memory},
        "products": {"keep": ["flags", "uncertainty", "sources", "residual"], "report": True},
    }
    report = astroclean.run(config, path, output=folder, **given)
    assert report.exit_code == 0, report.files[0].error
    told = [
        frame.model_dump(exclude={"stages": {"__all__": {"seconds"}}})
        for frame in report.files[0].frames
    ]
    return digests(folder), told, report.files[0].suspect


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".fits", ".fits.fz"])
def test_chunks_over_workers_give_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"raw{suffix}"
    write_exposure(path, seed=2, shape=SHAPE)
    executor = Several()
    spread = cleaned(tmp_path / "spread", path, CLEAN, executor=executor)
    assert spread == cleaned(tmp_path / "alone", path, CLEAN, jobs=0)
    # Two passes, for saturation is measured first; more chunks than memory asks for.
    assert executor.called.count("advance") >= 3
    assert executor.called.count("do_chunk") >= 6
    assert executor.called[-1] == "assemble"


@pytest.mark.slow
def test_processes_give_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "raw.fits"
    write_exposure(path, seed=3, shape=SHAPE)
    with contextlib.closing(ProcessExecutor(2)) as executor:
        memory = f"{2 * float(limit_for(600).split()[0])} MB"
        spread = cleaned(tmp_path / "spread", path, CLEAN, memory=memory, executor=executor)
    assert spread[0] == cleaned(tmp_path / "alone", path, CLEAN, jobs=0)[0]


@pytest.mark.slow
def test_a_file_of_several_frames(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    images = [rng.normal(100, 5, SHAPE).astype("f4") for _ in range(2)]
    for image in images:
        image[::97, 5] = 5000
    write_fits(tmp_path / "raw.fits", *images, GAIN=2.0, RDNOISE=5.0)
    stages = [{"plugin": "lacosmic"}, {"plugin": "interpolate"}]
    spread = cleaned(tmp_path / "spread", tmp_path / "raw.fits", stages, executor=Several())
    assert spread == cleaned(tmp_path / "alone", tmp_path / "raw.fits", stages, jobs=0)


def test_catalogues_do_not_depend_on_the_workers(tmp_path: Path) -> None:
    """Chunks are those that memory asks for: a source is split by what its chunk sees."""
    path = tmp_path / "raw.fits"
    write_exposure(path, seed=4, shape=SHAPE)
    stages = [{"plugin": "sep"}]
    spread = cleaned(tmp_path / "spread", path, stages, executor=Several())
    assert spread == cleaned(tmp_path / "alone", path, stages, jobs=0)


class Deadly(Several):
    """Loses the worker of one chunk."""

    def map(
        self, function: Callable[[Any], Any], items: Sequence[Any]
    ) -> Generator[tuple[int, Any]]:
        for index, outcome in super().map(function, items):
            is_lost = function.function.__name__ == "do_chunk" and index == 1  # type: ignore[attr-defined]
            yield index, WorkerDied("the process that worked on it died") if is_lost else outcome


@pytest.mark.slow
def test_a_chunk_that_kills_its_worker_costs_its_file_alone(tmp_path: Path) -> None:
    write_exposure(tmp_path / "giant.fits", seed=2, shape=SHAPE)
    write_exposure(tmp_path / "small.fits", seed=3, shape=(60, 60))
    config = {
        "schema": 1,
        "stage": CLEAN,
        "run": {"max_memory": limit_for(600)},
        "products": {"report": False},
    }
    out = tmp_path / "out"
    report = astroclean.run(config, str(tmp_path), output=out, executor=Deadly())
    ended = {record.input.rpartition("/")[2]: record for record in report.files}
    assert ended["giant.fits"].status == "failed"
    assert "died" in str(ended["giant.fits"].error)
    assert ended["small.fits"].status == "done"
    assert not list((out / ".astroclean" / "scratch").glob("*"))
    astroclean.run(config, str(tmp_path), output=out, executor=Several())
    whole = tmp_path / "whole"
    astroclean.run(config, str(tmp_path), output=whole, jobs=0)
    assert digests(out) == digests(whole)


def test_a_stage_that_fails_on_a_chunk_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = load_stage_class(find_plugin("lacosmic"))
    find = stage.find

    def failing(self: Any, frame: Any) -> Any:
        if frame.chunk.origin[0] > 300:
            raise ValueError("only far down")
        return find(self, frame)

    monkeypatch.setattr(stage, "find", failing)
    write_exposure(tmp_path / "raw.fits", seed=2, shape=SHAPE)
    config = {
        "schema": 1,
        "stage": [{"plugin": "lacosmic"}],
        "run": {"max_memory": limit_for(600)},
        "products": {"report": False},
    }
    out = tmp_path / "out"
    report = astroclean.run(config, tmp_path / "raw.fits", output=out, executor=Several())
    assert "stage 'lacosmic': ValueError: only far down" in str(report.files[0].error)


class TestShared:
    """How many chunks there are for so many workers."""

    rows: ClassVar[Pass] = Pass(2, rows=6016, halo=127, step=64)

    @pytest.mark.parametrize("workers", [1, 2, 7, 64, 1000])
    def test_all_workers_have_some_and_halos_stay_small(self, workers: int) -> None:
        shared = self.rows.shared(20000, workers)
        assert shared.rows % 64 == 0
        assert shared.rows <= self.rows.rows
        assert shared.rows >= 4 * 127
        covered = [own.stop - own.start for _, own in shared.chunks(20000)]
        assert sum(covered) == 20000
        assert len(covered) >= min(2 * workers, 20000 // (4 * 127 + 64))

    @pytest.mark.parametrize("workers", [2, 3, 5])
    def test_each_worker_has_as_many(self, workers: int) -> None:
        """Nine chunks kept one of two workers waiting for the ninth."""
        shared = Pass(2, rows=2250, halo=225).shared(20000, workers)
        chunks = [own.stop - own.start for _, own in shared.chunks(20000)]
        assert len(chunks) % workers == 0
        assert max(chunks) - min(chunks) < len(chunks)

    def test_never_more_than_memory_allows(self) -> None:
        small = Pass(1, rows=128, halo=127, step=64)
        assert small.shared(20000, 2) == small
