"""Ended at random moments, by any signal, parent or worker: resume is exact, nothing stays behind.

``ASTROCLEAN_KILLS`` says how many times; ``benchmarks/kill_runs.py`` asks for 100.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import tempfile
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
    unfinished,
    wait_for,
    write_batch,
    write_fits,
    write_pipeline,
)

from astroclean.io.scratch import folders as scratch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from toy_runs import CommandLine

KILLS = int(os.environ.get("ASTROCLEAN_KILLS", "8"))
ASKED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
needs_proc = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="counts processes in /proc"
)


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Folder for temporary files; its path is short, as sockets need."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def workers_of(process: int) -> list[int]:
    """Return the workers of a run: forked from it, or from the server that it started."""
    found = []
    for number in processes_of(process):
        try:
            told = Path(f"/proc/{number}/stat").read_text("ascii", "replace")
            command = Path(f"/proc/{number}/cmdline").read_bytes()
            own = Path(f"/proc/{process}/cmdline").read_bytes()
        except OSError:
            continue
        parent = int(told.rsplit(")", 1)[1].split()[1])
        if number != process and (parent != process or command == own):
            found.append(number)
    return found


def send(number: signal.Signals, process: int, *, session: int) -> None:
    """Send a signal to a process of a session, never to one that has its number by now."""
    try:
        held = os.pidfd_open(process)
    except ProcessLookupError:
        return
    try:
        if process in processes_of(session):
            signal.pidfd_send_signal(held, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(held)


def ended_at_random(
    cli: CommandLine, words: tuple[Any, ...], out: Path, rng: np.random.Generator
) -> tuple[int | None, signal.Signals, str, str]:
    """Send a signal to a run; return its status, the signal, to whom, and what it wrote."""
    number = signal.Signals(rng.choice([*ASKED, signal.SIGKILL]))
    target = str(rng.choice(["parent", "worker", "group"]))
    scratch_folder, before = out / ".astroclean" / "scratch", time.time_ns()

    def has_begun() -> bool:
        try:  # what a killed run left is older
            return scratch_folder.stat().st_ctime_ns > before
        except OSError:
            return False

    with cli.start(*words, start_new_session=True) as process:
        wait_for(lambda: has_begun() or process.poll() is not None)
        time.sleep(rng.uniform(0, 2.5))
        workers = workers_of(process.pid)
        if target == "worker" and workers:
            send(number, int(rng.choice(workers)), session=process.pid)
        elif target == "group":
            for one in processes_of(process.pid):
                send(number, one, session=process.pid)
        else:
            target = "parent"
            process.send_signal(number)  # to nobody when it has ended
        try:
            _, err = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            for one in processes_of(process.pid):
                send(signal.SIGKILL, one, session=process.pid)
            pytest.fail(f"{number.name} to {target}: the run did not end")
        wait_for(lambda: not processes_of(process.pid))
    return process.returncode, number, target, err


@pytest.mark.slow
@needs_proc
def test_ended_at_random_moments(cli: CommandLine, tmp_path: Path, temporary: Path) -> None:
    write_batch(tmp_path / "raw")
    cli.environment["TMPDIR"] = str(temporary)
    pipeline = write_pipeline(tmp_path / "p.toml", "toy-bright: delay = 0.2", "toy-fill")
    assert cli("run", pipeline, "raw", "-o", "whole").status == 0
    rng = np.random.default_rng(15)
    out = tmp_path / "out"
    for turn in range(KILLS):
        words = ("run", pipeline, "raw", "-o", "out", "-j", int(rng.integers(1, 3)))
        words += ("--overwrite",) if turn % 3 == 0 else ()
        code, number, target, err = ended_at_random(cli, words, out, rng)
        told = f"turn {turn}: {number.name} to {target} gave {code}: {err}"
        # A worker that is born while the run ends may complain, within Python's own modules.
        assert "/astroclean/" not in err, told
        if target == "worker":
            # Its items are done by another.
            assert code == 0, told
        elif number is signal.SIGKILL:
            assert code in {0, -signal.SIGKILL}, told
        else:
            # A signal may come when the run is over and the program about to end.
            assert code in {0, 130, -number}, told
        if code in {0, 130}:
            assert list(temporary.iterdir()) == [], told
            assert unfinished(out) == [], told

    assert cli("run", pipeline, "raw", "-o", "out").status == 0
    assert digests(out) == digests(tmp_path / "whole")
    assert unfinished(out) == []
    assert list(temporary.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
@pytest.mark.parametrize("jobs", [1, 2])
def test_asked_to_end(
    cli: CommandLine, tmp_path: Path, temporary: Path, number: signal.Signals, jobs: int
) -> None:
    cli.environment["TMPDIR"] = str(temporary)
    for index in range(4):
        write_fits(tmp_path / f"x{index}.fits", sky(index))
    pipeline = write_pipeline(tmp_path / "p.toml", "toy-bright: delay = 1", report=True)
    out = tmp_path / "out"
    words = ("run", pipeline, tmp_path, "-o", "out", "-j", jobs)
    with cli.start(*words, start_new_session=True) as process:
        wait_for(lambda: len(list(out.glob("*_clean.fits"))) >= 2)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert report_of(out)["exit_code"] == 130
    assert list(temporary.iterdir()) == []
    assert unfinished(out) == []


def test_what_a_killed_process_left_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    victim = tmp_path / "victim"
    victim.mkdir()
    left, shared = tmp_path / "astroclean-left", tmp_path / "astroclean-shared"
    left.mkdir(mode=0o700)
    (left / "link").symlink_to(victim)
    (left / "file").touch()
    shared.mkdir()
    shared.chmod(0o755)  # not as astroclean makes them
    (tmp_path / "astroclean-link").symlink_to(victim)
    monkeypatch.setattr(scratch, "_own", {})
    held = scratch.temporary_folder()

    scratch.remove_left_behind()

    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        ["astroclean-link", "astroclean-shared", held.name, "victim"]
    )


def test_folder_for_temporary_files_that_refuses_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(scratch, "_own", {})
    held = scratch.temporary_folder()
    scratch.remove_left_behind()
    assert [held] == list(tmp_path.iterdir())
