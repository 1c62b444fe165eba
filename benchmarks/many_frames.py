"""Peak memory of worker processes, and time, of a run over many frames. Runs on demand.

    python benchmarks/many_frames.py FRAME --count 20 --jobs 2

Makes copies of a frame that differ in one pixel, takes them through ``lacosmic -> interpolate ->
sep`` (or the stages of ``--stages``), and prints the highest memory (VmHWM) of the command and of
its workers, and the seconds of the processor of all of them together. Linux only.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from astropy.io import fits
from machine import told_machine

_INTERVAL = 0.1  # seconds between looks at the processes
_TICKS = os.sysconf("SC_CLK_TCK")


def make_frames(frame: Path, folder: Path, count: int) -> None:
    """Write copies of the first image of a file; each has another pixel changed."""
    with fits.open(frame) as hdus:
        image = next(hdu for hdu in hdus if hdu.is_image and hdu.data is not None)
        for number in range(count):
            image.data[0, number] += 1
            name = f"frame{number:03d}{'.fits.fz' if frame.suffix == '.fz' else '.fits'}"
            hdus.writeto(folder / name)


def looked_at(root: int) -> dict[int, tuple[int, float]]:
    """Return process to (VmHWM in kB, seconds of the processor), of one and its descendants."""
    parents, known = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "status").read_text()
            # The name in parentheses may hold blanks.
            numbers = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        peak = re.search(r"VmHWM:\s+(\d+)", status)
        if peak is not None:
            process = int(folder.name)
            parents[process] = int(numbers[1])
            known[process] = int(peak[1]), (int(numbers[11]) + int(numbers[12])) / _TICKS
    found = {root} & parents.keys()
    while more := {p for p, above in parents.items() if above in found} - found:
        found |= more
    return {process: known[process] for process in found}


def watched(command: list[str]) -> tuple[dict[int, tuple[int, float]], int, float]:
    """Run a command; return its processes as they were last seen, its own number, seconds."""
    seen: dict[int, tuple[int, float]] = {}
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:  # noqa: S603
        while process.poll() is None:
            seen |= looked_at(process.pid)
            time.sleep(_INTERVAL)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    return seen, process.pid, time.perf_counter() - start


def main() -> None:
    """Make the frames, run the pipeline, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("frame", type=Path)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--stages", default="lacosmic,interpolate,sep")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pipeline = folder / "pipeline.toml"
        stages = "".join(f'[[stage]]\nplugin = "{name}"\n' for name in arguments.stages.split(","))
        pipeline.write_text(f"schema = 1\n{stages}")
        (folder / "raw").mkdir()
        make_frames(arguments.frame, folder / "raw", arguments.count)
        command = [sys.executable, "-m", "astroclean", "run", str(pipeline), str(folder / "raw")]
        command += ["-o", str(folder / "out"), "-j", str(arguments.jobs), "-q"]
        seen, itself, seconds = watched(command)
        written = len(list((folder / "out").glob("*_clean*")))
    workers = sorted((peak for process, (peak, _) in seen.items() if process != itself))
    used = sum(cpu for _, cpu in seen.values())
    print(told_machine("numpy", "astropy", "scipy", "astroscrappy", "sep"))
    print(
        f"{written} of {arguments.count} frames cleaned by {arguments.stages}, -j {arguments.jobs}"
    )
    print(f"{seconds:.0f} s, of the processor {used:.0f} s")
    others = ", ".join(f"{peak / 1024:.0f}" for peak in workers)
    print(f"command {seen[itself][0] / 1024:.0f} MiB; its processes {others}")


if __name__ == "__main__":
    main()
