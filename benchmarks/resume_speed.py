"""Processor time and memory of a run over many files that are all up to date. Runs on demand.

    python benchmarks/resume_speed.py --count 1000 --repeat 5
    python benchmarks/resume_speed.py --count 100000 --repeat 1

One tiny file is cleaned by ``lacosmic -> interpolate``. Input, outputs and record are then copied
under other names until there are as many as asked for, each with the stamps of its own files: the
copies are up to date, because a key tells of content and not of names. The command is run once to
write ``run.json`` of all, and then as often as asked. Printed are the smallest seconds of the
processor (user and system, with all child processes) and the highest memory. ``--help`` and
``--version`` are timed, too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from astropy.io import fits
from machine import told_machine

_PIPELINE = """\
schema = 1
[[stage]]
plugin = "lacosmic"
[[stage]]
plugin = "interpolate"
[instrument]
gain = 1.0
read_noise = 5.0
"""
_PROGRAM = "import sys; from astroclean.cli.main import main; sys.exit(main())"


def command(*words: str | Path) -> list[str]:
    """Return a command line of astroclean."""
    return [sys.executable, "-c", _PROGRAM, *map(str, words)]


def measured(words: list[str]) -> tuple[float, float]:
    """Run a command; return its seconds of the processor, and of the clock."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, time.perf_counter() - start


def _record_path(out: Path, base: str) -> Path:
    digest = hashlib.sha256(base.encode()).hexdigest()[:24]
    return out / ".astroclean" / "records" / f"{digest}.json"


def _copy(path: Path, target: Path) -> dict[str, int]:
    """Copy a file; return what its stamp has of its own."""
    target.write_bytes(path.read_bytes())
    told = target.stat()
    return {"size": told.st_size, "mtime_ns": told.st_mtime_ns, "inode": told.st_ino}


def make_files(folder: Path, count: int) -> None:
    """Make inputs and their finished results."""
    raw, out = folder / "raw", folder / "out"
    raw.mkdir()
    (folder / "pipeline.toml").write_text(_PIPELINE)
    first = raw / "f0000000.fits"
    pixels = np.random.default_rng(1).normal(100, 10, (24, 24)).astype(np.float32)
    pixels[12, 12] = 5000
    header = fits.Header({"BUNIT": "electron"})
    fits.PrimaryHDU(pixels, header).writeto(first)
    subprocess.run(  # noqa: S603
        command("run", folder / "pipeline.toml", raw, "-o", out, "-q"), check=True
    )
    (kept,) = (out / ".astroclean" / "records").glob("*[0-9a-f].json")
    record = json.loads(kept.read_text())
    names = list(record["outputs"])
    for number in range(1, count):
        stem = f"f{number:07d}"
        now = time.time_ns() + 1_000_000_000  # looked at later than it was changed
        seen = record["seen"]
        other = dict(record)
        other["input"], other["source"], other["base"] = (
            record[key].replace("f0000000", stem) for key in ("input", "source", "base")
        )
        own = {name.replace("f0000000", stem): out / name for name in names}
        other["outputs"] = {
            name.replace("f0000000", stem): record["outputs"][name] for name in names
        }
        stamps = {
            name: {**seen["outputs"][path.name], **_copy(path, out / name), "seen_ns": now}
            for name, path in own.items()
        }
        told = {**seen["input"], **_copy(first, raw / f"{stem}.fits"), "seen_ns": now}
        other["seen"] = {**seen, "input": told, "outputs": stamps}
        _record_path(out, other["base"]).write_text(json.dumps(other, separators=(",", ":")))


def _told(name: str, words: list[str], repeat: int) -> None:
    found = [measured(words) for _ in range(repeat)]
    used, clock = min(found)
    print(f"{name}: {used:.2f} s of the processor, {clock:.2f} s", flush=True)


def main() -> None:
    """Make the files, run, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the files stay; by default nowhere")
    parser.add_argument("--option", action="append", default=[], help="of `astroclean run`")
    arguments = parser.parse_args()
    print(told_machine("numpy", "astropy", "pydantic"))
    for words in (["--version"], ["--help"], ["run", "--help"]):
        _told(f"astroclean {' '.join(words)}", command(*words), arguments.repeat)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        if not (folder / "raw").exists():
            folder.mkdir(exist_ok=True)
            make_files(folder, arguments.count)
        words = command("run", folder / "pipeline.toml", folder / "raw", "-o", folder / "out")
        words += ["-q", *arguments.option]
        measured(words)
        _told(f"{arguments.count} files up to date", words, arguments.repeat)
        report = json.loads((folder / "out" / "run.json").read_text())
        counts = report["runs"][-1]["files"]
        sizes = [f"{n} {(folder / 'out' / n).stat().st_size / 1e6:.1f} MB" for n in _FILES]
        print(f"{counts}; {', '.join(sizes)}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"highest memory of one process: {peak:.0f} MiB")


_FILES = ("run.json", "report.html")

if __name__ == "__main__":
    main()
