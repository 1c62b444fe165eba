"""What a run on Dask costs beside the work itself. Runs on demand; Linux only.

    python benchmarks/dask_scaling.py sizes
    python benchmarks/dask_scaling.py stubs --workers 8 --seconds 0.1 --items 640
    python benchmarks/dask_scaling.py simulated --workers 64 --seconds 10 --items 6400
    python benchmarks/dask_scaling.py giant --workers 1 2 8 16 64
    python benchmarks/dask_scaling.py frames FRAME --count 6

``sizes``: bytes of what is sent for a file, and seconds of the process that runs.

``stubs``: a real scheduler and client, and worker processes whose stages are stubs that sleep: how
many items a second, and seconds of client and scheduler for each.

``simulated``: a cluster on paper, with stages that are stubs and the costs that were measured: an
event for each time that client, scheduler, disk or a worker is free, two calls with each worker.

``giant``: one frame of 20000 x 20000 on paper, cut into chunks for so many workers by the code of
a run, with the seconds that `giant_frame.py` and its scratch files told.

``frames``: the same frames on one and on two workers.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import heapq
import multiprocessing
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from machine import told_machine
from many_frames import make_frames

import astroclean
from astroclean.runner.executors import DaskExecutor, SerialExecutor, installation
from astroclean.runner.plan.chunks import Pass
from astroclean.simulate.exposure import write_exposure

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

# What 64 machines would do at the same time is left out.
os.environ |= {
    "OMP_NUM_THREADS": "1",
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "5s",
}
_AHEAD = 2  # calls with each worker
_TICKS = os.sysconf("SC_CLK_TCK")
_PIPELINE = {"schema": 1, "stage": [{"plugin": "lacosmic"}, {"plugin": "interpolate"}]}


def used(process: int) -> float:
    """Return the seconds of the processor that a process has used."""
    numbers = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(numbers[11]) + int(numbers[12])) / _TICKS


@contextlib.contextmanager
def scheduler(folder: Path) -> Iterator[tuple[Path, int]]:
    """Give a scheduler: its file, and its process."""
    path = folder / "scheduler.json"
    words = ["--port", "0", "--no-dashboard", "--no-show", "--host", "127.0.0.1"]
    command = [sys.executable, "-m", "dask", "scheduler", *words, "--scheduler-file", str(path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as made:  # noqa: S603
        try:
            while not path.exists():
                time.sleep(0.1)
            yield path, made.pid
        finally:
            made.kill()


def work(path: Path, found: dict[str, str]) -> None:
    """Be a worker of one thread, which knows what it would find when it is compared."""
    installation.installation = lambda: found
    from distributed import Worker  # noqa: PLC0415 - in the process of the worker

    async def serve() -> None:
        async with Worker(scheduler_file=str(path), nthreads=1, host="127.0.0.1") as worker:
            await worker.finished()

    with contextlib.suppress(OSError), open(os.devnull, "w") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 2)
        asyncio.run(serve())


@contextlib.contextmanager
def workers(path: Path, count: int) -> Iterator[list[int]]:
    """Give worker processes, forked from this one, so that they need not import anything."""
    import distributed  # noqa: F401, PLC0415

    import astroclean.runner.work.work  # noqa: F401, PLC0415 - for all of them

    context = multiprocessing.get_context("fork")
    found = installation.installation()
    made = [context.Process(target=work, args=(path, found), daemon=True) for _ in range(count)]
    for process in made:
        process.start()
    try:
        yield [int(process.pid or 0) for process in made]
    finally:
        for process in made:
            process.kill()


def stub(item: tuple[float, bytes]) -> bytes:
    """Be as long as a file, and send as much for it."""
    seconds, sent = item
    time.sleep(seconds)
    return sent


def stubs(arguments: argparse.Namespace) -> None:
    """Measure client and scheduler with workers that sleep."""
    items = [(arguments.seconds, os.urandom(arguments.bytes))] * arguments.items
    with (
        tempfile.TemporaryDirectory() as temporary,
        scheduler(Path(temporary)) as (path, process),
        workers(path, arguments.workers),
        contextlib.closing(DaskExecutor(path)) as executor,
    ):
        while executor.workers < arguments.workers:
            time.sleep(0.5)
        # All are compared before: that is once a run.
        list(executor.map(stub, [(2.0, b"")] * (2 * arguments.workers)))
        began = time.perf_counter(), time.process_time(), used(process)
        count = sum(1 for _ in executor.map(stub, items))
        wall, client, at_scheduler = (
            now - then
            for now, then in zip(
                (time.perf_counter(), time.process_time(), used(process)), began, strict=True
            )
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ideal = arguments.seconds * count / arguments.workers
    print(
        f"{arguments.workers} workers, {count} items of {arguments.seconds} s and "
        f"{arguments.bytes} bytes:\n"
        f"{wall:.1f} s (ideal {ideal:.1f} s), {count / wall:.1f} a second; "
        f"client {1e3 * client / count:.2f} ms an item, scheduler {1e3 * at_scheduler / count:.2f} "
        f"ms; peak of the client {peak:.0f} MiB; load {os.getloadavg()[0]:.1f}"
    )


class Queue:
    """What serves one call after the other: client, scheduler, disk; in seconds of a clock."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.free_at, self.busy = seconds, 0.0, 0.0

    def served(self, now: float) -> float:
        """Return when a call that comes now is served."""
        self.free_at = max(now, self.free_at) + self.seconds
        self.busy += self.seconds
        return self.free_at


def simulated(arguments: argparse.Namespace) -> None:
    """Compare a simulated cluster with the arithmetic."""
    client, at_scheduler = Queue(arguments.client / 2e3), Queue(arguments.scheduler / 2e3)
    disk = Queue(arguments.megabytes / arguments.disk)
    waiting, is_idle = [0] * arguments.workers, [True] * arguments.workers
    events = [(0.0, "room", worker) for worker in range(arguments.workers) for _ in range(_AHEAD)]
    given, now = 0, 0.0
    while events:  # in the order of time, so that who comes first is served first
        now, what, worker = heapq.heappop(events)
        if what == "room" and given < arguments.items:
            given += 1
            heapq.heappush(events, (client.served(now), "given", worker))
        elif what == "given":
            heapq.heappush(events, (at_scheduler.served(now), "there", worker))
        elif what == "there":
            waiting[worker] += 1
        elif what == "worked":
            is_idle[worker] = True
            heapq.heappush(events, (at_scheduler.served(now), "back", worker))
        elif what == "back":
            heapq.heappush(events, (client.served(now), "room", worker))
        if waiting[worker] and is_idle[worker]:
            waiting[worker] -= 1
            is_idle[worker] = False
            heapq.heappush(events, (disk.served(now) + arguments.seconds, "worked", worker))
    each = {
        "workers": (arguments.seconds + disk.seconds) / arguments.workers,
        "client": 2 * client.seconds,
        "scheduler": 2 * at_scheduler.seconds,
        "disk": disk.seconds,
    }
    fullest = max(each, key=lambda name: each[name])
    print(
        f"{arguments.workers} workers, {arguments.items} calls of {arguments.seconds} s: "
        f"{now:.0f} s; on paper {arguments.items * each[fullest]:.0f} s, full are the {fullest}; "
        f"busy: client {client.busy / now:.0%}, scheduler {at_scheduler.busy / now:.0%}, "
        f"disk {disk.busy / now:.0%}"
    )


def giant(arguments: argparse.Namespace) -> None:
    """Give the chunks of a frame to the workers that are free first, and add what is not shared."""
    side = arguments.side
    alone = Pass(1, arguments.rows, arguments.halo, arguments.step)
    for count in arguments.workers:
        cut = alone.shared(side, count) if count > 1 else alone
        free_at = [0.0] * count
        chunks = list(cut.chunks(side))
        for seen, _ in chunks:
            work = arguments.seconds * (seen.stop - seen.start) * side / 1e6
            heapq.heapreplace(free_at, free_at[0] + work)
        total = arguments.survey + max(free_at) + arguments.gather
        print(
            f"{count} workers: {len(chunks)} chunks of {cut.rows} rows and {cut.halo} of halo, "
            f"{total:.0f} s: survey {arguments.survey:.0f}, chunks {max(free_at):.0f}, "
            f"put together and written {arguments.gather:.0f}"
        )


class Recording(SerialExecutor):
    """Tells what a run sends."""

    def map(
        self, function: Callable[[Any], Any], items: Sequence[Any]
    ) -> Generator[tuple[int, Any]]:
        """Make the calls, and add up bytes."""
        sent, received, began = 0, 0, time.process_time()
        for index, outcome in super().map(function, items):
            sent += len(pickle.dumps((function, items[index])))
            received += len(pickle.dumps(outcome))
            yield index, outcome
        if items:
            name = getattr(function, "function", function).__name__
            print(
                f"{name}: {len(items)} items, {sent / len(items):.0f} bytes sent and "
                f"{received / len(items):.0f} received each; "
                f"{1e3 * (time.process_time() - began) / len(items):.0f} ms each with the work"
            )


def sizes(arguments: argparse.Namespace) -> None:
    """Tell the bytes of a run over small simulated frames."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "raw").mkdir()
        for seed in range(arguments.count):
            write_exposure(folder / "raw" / f"night{seed}.fits", seed=seed, shape=(128, 128))
        for report in (False, True):
            config = {**_PIPELINE, "products": {"report": report}}
            print("with report" if report else "without report")
            out = folder / f"out{report}"
            astroclean.run(config, folder / "raw", output=out, executor=Recording())
            print(f"run.json: {(out / 'run.json').stat().st_size / arguments.count:.0f} bytes each")
            records = [p.stat().st_size for p in (out / ".astroclean" / "records").iterdir()]
            print(f"records: {sum(records) / len(records):.0f} bytes each")


def frames(arguments: argparse.Namespace) -> None:
    """Compare one worker with two, in turns."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "raw").mkdir()
        make_frames(arguments.frame, folder / "raw", arguments.count)
        for turn in range(arguments.turns):
            for count in (1, 2):
                with scheduler(folder) as (path, process), workers(path, count) as processes:
                    _timed(path, process, processes, folder / "raw", folder / f"{turn}-{count}")
                path.unlink()


def _timed(path: Path, process: int, processes: list[int], raw: Path, out: Path) -> None:
    with contextlib.closing(DaskExecutor(path)) as executor:
        while executor.workers < len(processes):
            time.sleep(0.2)
        began = time.perf_counter(), time.process_time()
        report = astroclean.run(_PIPELINE, raw, output=out, executor=executor)
        assert report.exit_code == 0, [file.error for file in report.files]
        wall, client = time.perf_counter() - began[0], time.process_time() - began[1]
        working = sum(map(used, processes))
    print(
        f"{len(processes)} workers, {len(report.files)} frames: {wall:.1f} s; of the processor "
        f"workers {working:.1f} s, client {client:.1f} s, scheduler {used(process):.1f} s; "
        f"load {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(required=True)
    one = verbs.add_parser("sizes")
    one.add_argument("--count", type=int, default=20)
    one.set_defaults(run=sizes)
    one = verbs.add_parser("stubs")
    one.add_argument("--workers", type=int, default=8)
    one.add_argument("--items", type=int, default=640)
    one.add_argument("--seconds", type=float, default=0.1)
    one.add_argument("--bytes", type=int, default=10_000)
    one.set_defaults(run=stubs)
    one = verbs.add_parser("simulated")
    one.add_argument("--workers", type=int, default=64)
    one.add_argument("--items", type=int, default=6400)
    one.add_argument("--seconds", type=float, default=10.0)
    one.add_argument("--client", type=float, default=1.8, help="milliseconds a call")
    one.add_argument("--scheduler", type=float, default=2.7, help="milliseconds a call")
    one.add_argument("--megabytes", type=float, default=33.0, help="of the disk, a call")
    one.add_argument("--disk", type=float, default=1000.0, help="megabytes a second")
    one.set_defaults(run=simulated)
    one = verbs.add_parser("giant")
    one.add_argument("--workers", type=int, nargs="+", default=[1, 2, 8, 16, 64])
    one.add_argument("--side", type=int, default=20000)
    one.add_argument("--rows", type=int, default=2250, help="that the memory limit allows")
    one.add_argument("--halo", type=int, default=225)
    one.add_argument("--step", type=int, default=1)
    one.add_argument("--seconds", type=float, default=2.6, help="of one core, a million pixels")
    one.add_argument("--survey", type=float, default=48.0)
    one.add_argument("--gather", type=float, default=64.0)
    one.set_defaults(run=giant)
    one = verbs.add_parser("frames")
    one.add_argument("frame", type=Path)
    one.add_argument("--count", type=int, default=6)
    one.add_argument("--turns", type=int, default=1)
    one.set_defaults(run=frames)
    arguments = parser.parse_args()
    print(told_machine("numpy", "astropy", "distributed"))
    arguments.run(arguments)


if __name__ == "__main__":
    main()
