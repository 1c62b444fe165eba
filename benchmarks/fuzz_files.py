"""Run batches of damaged files with good ones among them, and hold what comes of it to the rules.

::

    python benchmarks/fuzz_files.py --files 10000 --jobs 1 2 --seed 1 --log fuzz.jsonl

Every batch is a run of the command line in a process of its own for each of ``--jobs``, under a
limit on memory. It must end in time with the right exit code and without a traceback; each good
file must come out as it does alone; each damaged one is done or failed, with a message, and does
the same to the byte whatever the number of jobs; no unfinished file is left. A file that took long
is run again alone, and its time of processor counts: other work on the machine is no fault of it.
What breaks a rule is printed and kept in the folder ``--keep``. With ``--log``, batches that are
there are not done again.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BLOCK = 2880
CARD = 80
SHAPE = (48, 52)
MASKED = 400
MEMORY = 1 << 30
"""Bytes of address space that a process may have."""
SECONDS = 10.0
"""That a damaged file may take."""
SLOW = 4
"""How much longer a batch may take on a busy machine."""
GOOD = 3
"""Good files in each batch."""
PIPELINE = """
schema = 1
[instrument]
unit = "electron"
gain = 1.0
read_noise = 3.0
[[stage]]
plugin = "saturation"
[[stage]]
plugin = "badpix"
[[stage]]
plugin = "interpolate"
[[stage]]
plugin = "sep"
[products]
report = false
"""
RUN = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({memory}, {memory}))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
from astroclean.cli.main import main
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""
NUMBERS = ("0", "-1", "1", "7", "999", "1000", "65536", "1000000000", "9223372036854775807", "T")


def pixels(kind: str, *, mask: bool = False) -> np.ndarray:
    """Return a scene of a few stars on noise, or the mask of one."""
    random = np.random.default_rng(7)
    y, x = np.indices(SHAPE)
    scene = random.normal(300, 9, SHAPE)
    for cy, cx, flux in ((12, 14, 4000), (30, 40, 9000), (40, 10, 1500)):
        scene += flux / 14 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 4.5)
    return (scene > MASKED if mask else scene).astype(kind)


def encoded(*hdus: fits.ImageHDU, checksum: bool = False) -> bytes:
    """Return a file."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits.HDUList(list(hdus)).writeto(buffer, checksum=checksum)
    return buffer.getvalue()


def plain(kind: str) -> bytes:
    """Return an image in the primary HDU."""
    hdu = fits.PrimaryHDU(pixels(kind))
    hdu.header.update(BUNIT="electron", CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=10.0)
    hdu.header.update(CRVAL2=20.0, CRPIX1=5.0, CRPIX2=5.0, CDELT1=-1e-4, CDELT2=1e-4)
    return encoded(hdu)


def exposure(*, checksum: bool = False) -> bytes:
    """Return an image with error and data quality."""
    named = (("SCI", pixels("f4")), ("ERR", pixels("f4") / 30), ("DQ", pixels("i2", mask=True)))
    images = [fits.ImageHDU(data, name=name) for name, data in named]
    return encoded(fits.PrimaryHDU(), *images, checksum=checksum)


def tiled(kind: str, method: str, *, mask: bool = False, level: float = 16) -> bytes:
    """Return a tile-compressed image."""
    image = pixels(kind, mask=mask)
    packed = fits.CompImageHDU(image, compression_type=method, quantize_level=level)
    return encoded(fits.PrimaryHDU(), packed)


SEEDS: dict[str, Callable[[], bytes]] = {
    "int.fits": lambda: plain("i2"),
    "float.fits": lambda: plain("f4"),
    "unsigned.fits": lambda: plain("u2"),
    "exposure.fits": exposure,
    "summed.fits": lambda: exposure(checksum=True),
    "packed.fits.gz": lambda: gzip.compress(exposure(), mtime=0),
    "packed.fits.bz2": lambda: bz2.compress(plain("f4")),
    "rice.fits.fz": lambda: tiled("i2", "RICE_1"),
    "quantized.fits.fz": lambda: tiled("f4", "RICE_1"),
    "gzip.fits.fz": lambda: tiled("i4", "GZIP_1"),
    "shuffled.fits.fz": lambda: tiled("f4", "GZIP_2", level=0),
    "hcompress.fits.fz": lambda: tiled("i2", "HCOMPRESS_1"),
    "hfloat.fits.fz": lambda: tiled("f4", "HCOMPRESS_1"),
    "plio.fits.fz": lambda: tiled("i2", "PLIO_1", mask=True),
}


def header_ends(content: bytes) -> list[int]:
    """Return where headers end, in bytes."""
    ends, place = [], 0
    while (place := content.find(b"END" + b" " * 77, place)) >= 0:
        place = place // BLOCK * BLOCK + BLOCK
        ends.append(place)
    return ends


def flipped(content: bytes, first: int, last: int, random: np.random.Generator) -> bytes:
    """Return content with one to twenty bits of a stretch changed."""
    damaged = bytearray(content)
    for place in random.integers(first, max(last, first + 1), int(random.integers(1, 21))):
        damaged[min(place, len(damaged) - 1)] ^= 1 << int(random.integers(8))
    return bytes(damaged)


def with_wrong_number(content: bytes, random: np.random.Generator) -> bytes:
    """Return content with the number of a card replaced."""
    ends = header_ends(content)
    if not ends:
        return flipped(content, 0, len(content), random)
    cards = [at for at in range(0, ends[-1], CARD) if content[at + 8 : at + 10] == b"= "]
    at = int(random.choice(cards))
    value = str(random.choice(NUMBERS))
    return content[: at + 10] + value.rjust(20).encode() + content[at + 30 :]


def with_wrong_descriptor(content: bytes, random: np.random.Generator) -> bytes:
    """Return content with lengths or offsets of tiles changed, by little or by much."""
    start = header_ends(content)[-1] if header_ends(content) else 0
    words = np.frombuffer(content[start:], ">i4", (len(content) - start) // 4).copy()
    if not len(words):
        return content[:start]
    for _ in range(int(random.integers(1, 4))):
        place = int(random.integers(0, min(2 * SHAPE[0], len(words))))
        change = random.choice([-1, 1, -5, -40, 4000, 1 << 28])
        kept = int(words[place])
        words[place] = random.choice([0, kept // 2, max(min(kept + change, 2**31 - 1), -(2**31))])
    return content[:start] + words.tobytes() + content[start + 4 * len(words) :]


def damaged(content: bytes, random: np.random.Generator) -> bytes:
    """Return content with damage of a kind drawn at random."""
    ends = header_ends(content) or [min(BLOCK, len(content))]
    kind = int(random.integers(6))
    if kind == 0:
        return flipped(content, 0, ends[-1], random)
    if kind == 1:
        return flipped(content, min(ends[-1], len(content) - 1), len(content), random)
    if kind == 2:  # noqa: PLR2004 - kinds in order
        return content[: int(random.integers(0, len(content)))]
    if kind == 3:  # noqa: PLR2004
        return with_wrong_number(content, random)
    if kind == 4 and len(content) > 2 * BLOCK:  # noqa: PLR2004
        return with_wrong_descriptor(content, random)
    start = int(random.integers(0, len(content))) // BLOCK * BLOCK
    return content[:start] + content[start + BLOCK :]


@dataclass
class Outcome:
    """What came of some batches."""

    files: int = 0
    """Damaged files, each of them for each number of jobs."""
    statuses: dict[int, Counter[str]] = field(default_factory=dict)
    """Jobs to how many files, good ones among them, ended how."""
    longest: float = 0.0
    """Seconds of a batch."""
    slowest: float = 0.0
    """Seconds that a file was told to take, failed ones among them."""
    wrong: list[str] = field(default_factory=list)
    """Rules that were broken."""

    def add(self, batch: dict[str, Any]) -> None:
        """Add what is on record of a batch."""
        self.files += batch["files"]
        for jobs, counts in batch["statuses"].items():
            self.statuses.setdefault(int(jobs), Counter()).update(counts)
        self.longest = max(self.longest, batch["longest"])
        self.slowest = max(self.slowest, batch["slowest"])
        self.wrong += batch["wrong"]


def run(folder: Path, jobs: int, seconds: float) -> tuple[int | None, str, float]:
    """Run the pipeline over a folder into ``out`` beside it.

    Returns
    -------
    status : int or None
        None where it had to be ended.
    printed : str
        What it wrote.
    seconds : float
        How long it took.
    """
    script = folder.parent / "run.py"
    script.write_text(RUN.format(memory=MEMORY))
    (folder.parent / "fuzz.toml").write_text(PIPELINE)
    command = [sys.executable, str(script), "run", str(folder.parent / "fuzz.toml"), str(folder)]
    command += ["-o", str(folder.parent / "out"), "-j", str(jobs)]
    quiet = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    started = time.monotonic()
    try:
        done = subprocess.run(  # noqa: S603 - our own script
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
            env={**os.environ, **quiet},
        )
    except subprocess.TimeoutExpired:
        return None, "", time.monotonic() - started
    return done.returncode, done.stdout + done.stderr, time.monotonic() - started


def seconds_alone(path: Path) -> float:
    """Return the time of processor that a run over one file takes, start included."""

    def used() -> float:
        told = resource.getrusage(resource.RUSAGE_CHILDREN)
        return told.ru_utime + told.ru_stime

    with tempfile.TemporaryDirectory() as folder:
        inside = Path(folder) / "in"
        inside.mkdir()
        shutil.copy(path, inside)
        before = used()
        run(inside, 1, 60 * SECONDS)
        return used() - before


def broken_rules(folder: Path, status: int | None, printed: str, good: dict[str, str]) -> list[str]:
    """Return which rules a batch has broken."""
    if status is None:
        return ["did not end in time"]
    wrong = ["printed a traceback"] if "Traceback" in printed else []
    out = folder.parent / "out"
    if not (out / "run.json").is_file():
        return [*wrong, f"status {status}, no run.json: {printed[-300:]}"]
    records = json.loads((out / "run.json").read_text())["files"]
    failed = [record for record in records if record["status"] == "failed"]
    if status != (1 if failed else 0):
        wrong.append(f"status {status} with {len(failed)} failed files")
    by_name = {Path(record["input"]).name: record for record in records}
    wrong += [f"no record of {p.name}" for p in folder.iterdir() if p.name not in by_name]
    for record in records:
        name = Path(record["input"]).name
        if record["traceback"] or "fault of the plugin" in (record["error"] or ""):
            wrong.append(f"{name}: {record['error']}")
        if record["seconds"] > SECONDS and (alone := seconds_alone(folder / name)) > SECONDS:
            wrong.append(f"{name}: {record['seconds']:.1f} s, alone {alone:.1f} s of processor")
        wrong += [f"{name}: {o} is not there" for o in record["outputs"] if not (out / o).is_file()]
    for name, digest in good.items():
        told = by_name.get(name, {})
        if told.get("status") != "done" or digest not in told["outputs"].values():
            wrong.append(f"good file {name}: {told.get('status')}, {told.get('error')}")
    known = {o for record in records for o in record["outputs"]} | {"run.json", ".astroclean"}
    wrong += [f"left {path.name}" for path in out.iterdir() if path.name not in known]
    wrong += [f"left {p.name}" for p in (out / ".astroclean").rglob(".unfinished*")]
    return wrong


def batch_of(number: int, size: int, seed: int) -> list[tuple[str, bytes]]:
    """Return damaged files, by name; those of a batch do not depend on others."""
    whole = {name: make() for name, make in SEEDS.items()}
    names = list(whole)
    random = np.random.default_rng([seed, number])
    numbers = range(number * size, (number + 1) * size)
    chosen = [names[n % len(names)] for n in numbers]
    return [
        (f"bad{n:06}_{name}", damaged(whole[name], random))
        for n, name in zip(numbers, chosen, strict=True)
    ]


def good_digests(scratch: Path) -> dict[str, str]:
    """Return good file to the digest of its cleaned one, when it is alone."""
    folder = scratch / "good" / "in"
    folder.mkdir(parents=True)
    chosen = ("exposure.fits", "rice.fits.fz", "hcompress.fits.fz")[:GOOD]
    for number, name in enumerate(chosen):
        (folder / f"{'am'[number % 2]}good_{name}").write_bytes(SEEDS[name]())
    status, printed, _ = run(folder, 1, 120)
    if status != 0:
        raise SystemExit(f"the good files are not done: {printed}")
    records = json.loads((folder.parent / "out" / "run.json").read_text())["files"]
    return {Path(r["input"]).name: list(r["outputs"].values())[-1] for r in records}


def _ending(record: dict[str, Any]) -> str:
    died = record["status"] == "failed" and "worked on it died" in record["error"]
    return "failed, its process died" if died else str(record["status"])


def run_batch(
    folder: Path, jobs: Sequence[int], good: dict[str, str]
) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
    """Run a batch with each number of jobs; return what is put on record, and what came out."""
    told: dict[str, Any] = {"statuses": {}, "longest": 0.0, "slowest": 0.0, "wrong": []}
    outcomes: dict[int, dict[str, Any]] = {}
    out = folder.parent / "out"
    count = sum(1 for _ in folder.iterdir())
    for number in jobs:
        shutil.rmtree(out, ignore_errors=True)
        # A start takes seconds; all but one of the files take far less than theirs.
        status, printed, seconds = run(folder, number, SLOW * (2 * SECONDS + count))
        wrong = broken_rules(folder, status, printed, good)
        told["wrong"] += [f"-j {number}: {rule}" for rule in wrong]
        told["longest"] = max(told["longest"], seconds)
        record = out / "run.json"
        records = json.loads(record.read_text())["files"] if record.is_file() else []
        told["statuses"][number] = dict(Counter(_ending(r) for r in records))
        told["slowest"] = max([told["slowest"], *(r["seconds"] for r in records)])
        outcomes[number] = {
            Path(r["input"]).name: (r["status"], r["outputs"], r["error"]) for r in records
        }
    return told, outcomes


def differences(outcomes: dict[int, dict[str, Any]]) -> list[str]:
    """Return which files end otherwise, or have other bytes, with another number of jobs."""
    first, *others = outcomes
    return [
        f"{name}: {outcomes[first].get(name)} with -j {first}, {outcomes[other].get(name)} with "
        f"-j {other}"
        for other in others
        for name in sorted({*outcomes[first], *outcomes[other]})
        if outcomes[first].get(name) != outcomes[other].get(name)
    ]


def fuzz(
    files: int,
    *,
    jobs: Sequence[int],
    seed: int,
    size: int,
    keep: Path | None = None,
    log: Path | None = None,
) -> Outcome:
    """Run batches until so many damaged files have been processed with each number of jobs."""
    outcome = Outcome()
    lines = log.read_text().splitlines() if log is not None and log.is_file() else []
    known = {(b["seed"], b["size"], b["batch"], *b["jobs"]): b for b in map(json.loads, lines)}
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        good = good_digests(scratch)
        for number in range(-(-files // size)):
            if (seed, size, number, *jobs) in known:
                outcome.add(known[seed, size, number, *jobs])
                continue
            folder = scratch / f"{number}" / "in"
            folder.mkdir(parents=True)
            for path in (scratch / "good" / "in").iterdir():
                shutil.copy(path, folder)
            batch = batch_of(number, size, seed)
            for name, content in batch:
                (folder / name).write_bytes(content)
            told, outcomes = run_batch(folder, jobs, good)
            told["wrong"] += differences(outcomes)
            told["wrong"] = [f"seed {seed}, batch {number}: {rule}" for rule in told["wrong"]]
            told |= {"seed": seed, "size": size, "batch": number, "jobs": list(jobs)}
            told["files"] = len(batch)
            outcome.add(told)
            if log is not None:
                with log.open("a") as stream:
                    stream.write(json.dumps(told) + "\n")
            if told["wrong"] and keep is not None:
                shutil.copytree(folder.parent, keep / f"{seed}-{number}", dirs_exist_ok=True)
            shutil.rmtree(folder.parent)
    return outcome


def main() -> int:
    """Run; return 1 where a rule was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1000, help="damaged files, for each of --jobs")
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, default=100, help="damaged files in a batch")
    parser.add_argument("--keep", type=Path, help="folder for batches that broke a rule")
    parser.add_argument("--log", type=Path, help="file of the batches that are done")
    arguments = parser.parse_args()
    outcome = fuzz(
        arguments.files,
        jobs=arguments.jobs,
        seed=arguments.seed,
        size=arguments.size,
        keep=arguments.keep,
        log=arguments.log,
    )
    for jobs, counts in outcome.statuses.items():
        print(f"-j {jobs}: {outcome.files} damaged files, {dict(counts)}")
    print(
        f"longest batch {outcome.longest:.1f} s, slowest file {outcome.slowest:.1f} s, "
        f"{len(outcome.wrong)} rules broken"
    )
    print("\n".join(outcome.wrong))
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
