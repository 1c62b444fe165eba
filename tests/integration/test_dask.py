"""Runs on a Dask cluster of real processes: the same bytes, whoever dies, joins late or differs."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from toy_clusters import toy_cluster
from toy_runs import (
    digests,
    report_of,
    sky,
    unfinished,
    wait_for,
    write_batch,
    write_fits,
    write_pipeline,
)

import astroclean
from astroclean.errors import ConfigurationError, ExecutorError
from astroclean.runner.executors import DaskExecutor, make_executor
from astroclean.testing.executors import ExecutorContract

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from toy_clusters import ToyCluster
    from toy_runs import CommandLine

distributed = pytest.importorskip("distributed", reason="needs the extra `dask`")
pytestmark = pytest.mark.usefixtures("toys")
TWO = ("--nworkers", 2)
PATIENCE = 300  # seconds, on a machine that others use
# Without a nanny a worker that dies stays away.
ONE_BARE = ("--no-nanny",)


@pytest.fixture(scope="module")
def path_with_toys(toy_folder: Path) -> str:
    return os.pathsep.join(filter(None, (str(toy_folder), os.environ.get("PYTHONPATH"))))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, path_with_toys: str) -> Iterator[ToyCluster]:
    """Two workers with nannies, for all tests that end neither."""
    with toy_cluster(tmp_path_factory.mktemp("cluster"), path_with_toys, TWO) as made:
        yield made


@pytest.fixture
def start(tmp_path: Path, path_with_toys: str) -> Iterator[Callable[..., ToyCluster]]:
    """Start clusters of one's own."""
    with contextlib.ExitStack() as stack:

        def started(*workers: tuple[Any, ...]) -> ToyCluster:
            folder = tmp_path / f"cluster{time.monotonic_ns()}"
            folder.mkdir()
            return stack.enter_context(toy_cluster(folder, path_with_toys, *workers))

        yield started


@contextlib.contextmanager
def executor_of(cluster: ToyCluster, workers: int = 0, **settings: Any) -> Iterator[DaskExecutor]:
    """Give an executor, when a number of workers is there."""
    with contextlib.closing(DaskExecutor(cluster.file, **settings)) as executor:
        if workers:
            wait_for(lambda: executor.workers == workers, seconds=PATIENCE)
        yield executor


class TestContract(ExecutorContract):
    @pytest.fixture(autouse=True)
    def _use(self, cluster: ToyCluster) -> None:
        self.scheduler = cluster.address

    def make(self) -> DaskExecutor:
        return DaskExecutor(self.scheduler)


# What a run writes


@pytest.mark.slow
def test_a_run_gives_the_bytes_of_this_process(cluster: ToyCluster, tmp_path: Path) -> None:
    write_batch(tmp_path / "raw")
    stages = ("toy-bright", "toy-fill", "toy-peaks")
    tables = '[run]\nscheduler = "{}"\n'
    shutil.copy(cluster.file, tmp_path)
    here = write_pipeline(tmp_path / "here.toml", *stages)
    # By the path of its file, relative to the pipeline.
    there = write_pipeline(
        tmp_path / "there.toml", *stages, tables=tables.format(cluster.file.name)
    )
    astroclean.run(here, tmp_path / "raw", output=tmp_path / "serial", jobs=0)
    report = astroclean.run(there, tmp_path / "raw", output=tmp_path / "dask")
    assert report.exit_code == 0
    assert report.jobs >= 1
    assert digests(tmp_path / "dask") == digests(tmp_path / "serial")
    assert unfinished(tmp_path / "dask") == []
    # Where calls are made is no part of what a result depends on.
    again = astroclean.run(here, tmp_path / "raw", output=tmp_path / "dask", jobs=0)
    assert {str(file.status) for file in again.files} == {"up to date"}


@pytest.mark.slow
def test_a_crash_costs_one_file(
    start: Callable[..., ToyCluster], cli: CommandLine, tmp_path: Path
) -> None:
    """Also where the next process has the address of the one that died."""
    cluster = start(("--worker-port", free_port()))
    (tmp_path / "raw").mkdir()
    for number in range(6):
        write_fits(tmp_path / "raw" / f"x{number}.fits", sky(number))
    write_fits(tmp_path / "raw" / "bad.fits", sky(9), TOYFAULT="SIGABRT")
    pipeline = write_pipeline(tmp_path / "p.toml", "toy-bright", "toy-fault")
    done = cli("run", pipeline, "raw", "-o", "out", "--scheduler", cluster.address)
    assert done.status == 1
    (failure,) = done.failures
    assert "bad.fits" in failure
    assert "two workers died" in failure
    assert len(digests(tmp_path / "out")) == 6


def test_a_client_of_the_caller_stays(cluster: ToyCluster) -> None:
    with distributed.Client(cluster.address, set_as_default=False) as client:
        executor = DaskExecutor(client)
        assert dict(executor.map(abs, [-1])) == {0: 1}
        executor.close()
        assert client.submit(abs, -2).result(timeout=60) == 2


# Who may join


@pytest.mark.slow
def test_workers_that_differ_get_no_call(
    start: Callable[..., ToyCluster],
    tmp_path: Path,
    toy_folder: Path,
    path_with_toys: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One of two threads, and one with another version of a plugin that joins late."""
    other = tmp_path / "other"
    shutil.copytree(toy_folder, other)
    (info,) = other.glob("*.dist-info")
    told = (info / "METADATA").read_text()
    (info / "METADATA").write_text(told.replace("\nVersion: ", "\nVersion: 9."))
    cluster = start()
    cluster.start_worker(WHO="fit")
    with executor_of(cluster, 1) as executor:
        calls = executor.map(os.getenv, ["WHO"] * 400)
        assert next(calls)[1] == "fit"
        cluster.start_worker("--nthreads", 2, "--no-nanny", WHO="threads")
        cluster.start_worker(
            "--no-nanny", WHO="late", PYTHONPATH=path_with_toys.replace(str(toy_folder), str(other))
        )
        asked = set()
        while sum("gets no call" in text for text in caplog.messages) < 2:
            asked.add(next(calls)[1])  # at the end of all it raises
            time.sleep(0.2)
        asked |= {outcome for _, outcome in calls}
    assert asked == {"fit"}
    text = "\n".join(caplog.messages)
    assert "has 2 threads; start it with --nthreads 1" in text
    assert "plugin toy-bright" in text


@pytest.mark.slow
def test_none_that_fits_is_an_error_that_names_all(start: Callable[..., ToyCluster]) -> None:
    cluster = start(("--nthreads", 3, "--no-nanny"))
    with executor_of(cluster, patience=8) as executor, pytest.raises(ExecutorError) as caught:
        executor.workers  # noqa: B018 - it asks the scheduler
    assert str(cluster.file) in str(caught.value)
    assert "has 3 threads; start it with --nthreads 1" in str(caught.value)


def test_a_scheduler_that_is_not_there(tmp_path: Path, cli: CommandLine) -> None:
    nobody = f"tcp://127.0.0.1:{free_port()}"
    with pytest.raises(ExecutorError, match=nobody):
        DaskExecutor(nobody, patience=1).workers  # noqa: B018 - it asks the scheduler
    with pytest.raises(ExecutorError, match=r"nowhere\.json"):
        DaskExecutor(tmp_path / "nowhere.json", patience=0).workers  # noqa: B018 - as above


def test_one_place_is_asked_for() -> None:
    assert isinstance(make_executor(1, scheduler="tcp://nobody:1"), DaskExecutor)
    with pytest.raises(ConfigurationError, match=r"-j 2.*tcp://nobody:1"):
        make_executor(2, scheduler="tcp://nobody:1")


# Who dies


@pytest.mark.slow
def test_a_lost_worker_costs_nothing(start: Callable[..., ToyCluster], tmp_path: Path) -> None:
    cluster = start(ONE_BARE, ONE_BARE)
    with executor_of(cluster, 2) as executor:
        outcomes = executor.map(time.sleep, [0.3] * 12)
        done = dict([next(outcomes), next(outcomes)])
        cluster.processes[1].kill()
        done |= dict(outcomes)
        assert done == dict.fromkeys(range(12))
        # Nobody is left when the other ends, too.
        cluster.processes[2].kill()
        wait_for(lambda: not executor._connected().workers(), seconds=PATIENCE)
        executor._patience = 4.0
        with pytest.raises(ExecutorError, match="no worker could be used for 4 s"):
            list(executor.map(abs, [1]))


@pytest.mark.slow
def test_a_paused_worker_gives_back_what_it_has_not_begun(
    cluster: ToyCluster,
) -> None:
    """One that is short of memory begins nothing, perhaps for ever."""

    def set_status(name: str, dask_worker: Any) -> None:  # goes to the worker as code
        from distributed.core import Status

        dask_worker.status = Status[name]

    with executor_of(cluster, 2) as executor:
        outcomes = executor.map(time.sleep, [0.4] * 16)
        done = dict([next(outcomes)])
        client = executor._connected().client
        one = next(iter(executor._connected().workers()))
        client.run(set_status, "paused", workers=[one])
        try:
            done |= dict(outcomes)
        finally:
            client.run(set_status, "running", workers=[one])
        assert done == dict.fromkeys(range(16))
        wait_for(lambda: executor.workers == 2, seconds=PATIENCE)


@pytest.mark.slow
def test_an_interrupt_waits_for_calls_that_have_begun(
    cluster: ToyCluster, cli: CommandLine, tmp_path: Path
) -> None:
    for number in range(8):
        write_fits(tmp_path / f"x{number}.fits", sky(number))
    pipeline = write_pipeline(tmp_path / "p.toml", "toy-bright: delay = 1", report=True)
    out = tmp_path / "out"
    words = ("run", pipeline, tmp_path, "-o", "out", "--scheduler", cluster.file)
    with cli.start(*words, start_new_session=True) as process:
        wait_for(lambda: len(list(out.glob("*_clean.fits"))) >= 1, seconds=PATIENCE)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "waiting for" in err
    there = digests(out)
    assert 1 <= len(there) < 8
    assert report_of(out)["exit_code"] == 130
    assert unfinished(out) == []
    # The workers are free again, and write no more.
    assert cli(*words).status == 0
    assert there.items() < digests(out).items()


TARGETS = ("worker", "scheduler", "client", "nanny")
KILLS = int(os.environ.get("ASTROCLEAN_DASK_KILLS", len(TARGETS)))


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_killed_at_random_moments(
    start: Callable[..., ToyCluster], cli: CommandLine, tmp_path: Path
) -> None:
    """Whoever is killed, nothing is lost, and the same command goes on to the same bytes."""
    write_batch(tmp_path / "raw")
    pipeline = write_pipeline(tmp_path / "p.toml", "toy-bright: delay = 0.3", "toy-fill")
    assert cli("run", pipeline, "raw", "-o", "whole", "-j", 2).status == 0
    rng = np.random.default_rng(22)
    cluster = start(TWO)
    for turn in range(KILLS):
        target, out = TARGETS[turn % len(TARGETS)], tmp_path / f"out{turn}"
        words = ["run", pipeline, "raw", "-o", out, "--scheduler"]
        code, err = killed_at_random(cli, [*words, cluster.file], cluster, rng, target)
        told = f"turn {turn}: {target} killed, {code}: {err}"
        assert "Traceback" not in err, told
        # Without its scheduler a run ends, if it has not ended before.
        allowed = {"client": {0, -signal.SIGKILL}, "scheduler": {0, 1}}.get(target, {0})
        assert code in allowed, told
        if code == 1:
            assert "connection to the scheduler of Dask was lost" in err, told
        if target == "scheduler":
            cluster = start(TWO)
        if code == 0:
            assert unfinished(out) == [], told
        assert cli(*words, cluster.file).status == 0, told
        assert digests(out) == digests(tmp_path / "whole"), told
        assert unfinished(out) == [], told


def killed_at_random(
    cli: CommandLine, words: list[Any], cluster: ToyCluster, rng: np.random.Generator, target: str
) -> tuple[int | None, str]:
    """Kill something while a run goes on; return the status of the run, and what it wrote."""
    begun = words[words.index("-o") + 1] / ".astroclean" / "scratch"
    with cli.start(*words, start_new_session=True) as process:
        wait_for(lambda: begun.exists() or process.poll() is not None, seconds=PATIENCE)
        time.sleep(rng.uniform(0, 4))
        victims = {
            "client": [process.pid],
            "scheduler": [cluster.processes[0].pid],
            "nanny": [cluster.processes[-1].pid],
            "worker": cluster.worker_processes(),
        }[target]
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(rng.choice(victims)), signal.SIGKILL)
        if target == "nanny":  # with it both of its workers end, and nobody starts others
            cluster.start_worker(*TWO)
        _, err = process.communicate(timeout=PATIENCE)
    return process.returncode, err


def free_port() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
