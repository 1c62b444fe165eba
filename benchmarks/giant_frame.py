"""Peak memory and time of a frame far larger than the memory limit. Runs on demand.

    python benchmarks/giant_frame.py --side 20000 --max-memory 2GB

Writes a simulated frame band by band, takes it through ``lacosmic -> interpolate`` (or the stages
of ``--stages``), and prints the peak memory of that process as Linux counted it. With ``--packed``
the frame is tile-compressed. With ``--jobs 1 2`` it is taken through by so many workers, to which
its chunks go; the hashes of what is written are told.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from astropy.io import fits
from machine import told_machine
from scipy.ndimage import gaussian_filter

from astroclean.io.fits.images import own_primary
from astroclean.io.fits.packing import PackedForm, write_packed

BAND = 500
# VmHWM starts anew with the program; ru_maxrss would count the process that forked it.
# With -j 0 this process does the work; the one that waits for a worker takes another 0.1 GB.
RUN_AND_TELL = """
import re, sys
from pathlib import Path
from astroclean.cli.main import main
status = main(sys.argv[1:])
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
sys.exit(status)
"""
PRODUCTS = '[products]\nkeep = ["flags"]\nreport = false\n'


def make_band(rows: int, width: int, seed: int) -> np.ndarray:
    """Return rows of sky, stars and hits, in adu."""
    rng = np.random.default_rng(seed)
    stars = np.zeros((rows, width), dtype=np.float32)
    count = rows * width // 3000
    stars[rng.integers(0, rows, count), rng.integers(0, width, count)] = rng.uniform(
        500, 5e4, count
    )
    band = gaussian_filter(stars, 1.6) + rng.normal(300, 15, (rows, width)).astype(np.float32)
    for _ in range(rows * width // 20000):
        y, x, length = rng.integers(0, rows), rng.integers(0, width - 9), rng.integers(1, 8)
        band[y, x : x + length] += rng.uniform(300, 4000)
    return band


def make_frame(path: Path, side: int, height: int) -> None:
    """Write a float32 frame, ``side`` pixels wide, without holding it in memory."""
    header = fits.Header()
    header["SIMPLE"], header["BITPIX"], header["NAXIS"] = True, -32, 2
    header["NAXIS1"], header["NAXIS2"] = side, height
    header["BUNIT"], header["GAIN"], header["RDNOISE"], header["SATURATE"] = "adu", 1.5, 5.0, 5e4
    written = 0
    with path.open("wb") as stream:
        stream.write(header.tostring(endcard=True, padding=True).encode("ascii"))
        for start in range(0, height, BAND):
            band = make_band(min(BAND, height - start), side, start)
            written += stream.write(band.astype(">f4").tobytes())
        stream.write(b"\0" * (-written % 2880))


def pack(path: Path) -> Path:
    """Tile-compress a frame by strips; return the new file."""
    packed = path.with_suffix(".fits.fz")
    with fits.open(path, memmap=True) as hdus, packed.open("wb") as stream:
        data, header = hdus[0].data, hdus[0].header
        blocks = (np.array(data[start : start + BAND]) for start in range(0, len(data), BAND))
        stream.write(own_primary())
        write_packed(PackedForm(data.shape, np.dtype("f4"), header, "SCI"), blocks, stream)
    path.unlink()
    return packed


def main() -> None:
    """Make the frame, run the pipeline, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=20000)
    parser.add_argument("--height", type=int, help="rows; as many as columns where not given")
    parser.add_argument("--max-memory", default="2GB")
    parser.add_argument("--stages", default="lacosmic,interpolate")
    parser.add_argument("--set", action="append", default=[], help="as for `astroclean run`")
    parser.add_argument("--jobs", type=int, nargs="*", default=[0], help="workers of each run")
    parser.add_argument("--packed", action="store_true", help="tile-compressed input and output")
    arguments = parser.parse_args()
    height = arguments.height or arguments.side
    with tempfile.TemporaryDirectory() as folder:
        frame, pipeline = Path(folder) / "giant.fits", Path(folder) / "pipeline.toml"
        make_frame(frame, arguments.side, height)
        frame = pack(frame) if arguments.packed else frame
        stages = "".join(f'[[stage]]\nplugin = "{name}"\n' for name in arguments.stages.split(","))
        pipeline.write_text(f"schema = 1\n{stages}{PRODUCTS}")
        words = ["run", str(pipeline), str(frame), "--max-memory", arguments.max_memory]
        words += [word for setting in arguments.set for word in ("--set", setting)]
        told = [measured(words, Path(folder) / f"out{jobs}", jobs) for jobs in arguments.jobs]
    pixels = arguments.side * height / 1e6
    print(told_machine("numpy", "astropy", "scipy", "astroscrappy"))
    print(f"{arguments.stages}{', tile-compressed' if arguments.packed else ''}")
    print(f"{pixels:.0f} Mpix, limit {arguments.max_memory}")
    for jobs, (seconds, peak, digest) in zip(arguments.jobs, told, strict=True):
        print(
            f"-j {jobs}: {seconds:.0f} s, {pixels / seconds:.2f} Mpix/s, "
            f"peak memory of this process {peak:.2f} GB, output {digest[:16]}"
        )


def measured(words: list[str], out: Path, jobs: int) -> tuple[float, float, str]:
    """Run a pipeline; return seconds, peak memory in GB, and the hash of the cleaned file."""
    start = time.perf_counter()
    command = [sys.executable, "-c", RUN_AND_TELL, *words, "-o", str(out), "-q", "-j", str(jobs)]
    # What went wrong is told where it is seen: on standard error.
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    seconds = time.perf_counter() - start
    with next(out.glob("*_clean.*")).open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return seconds, int(done.stdout.split()[-1]) * 1024 / 1e9, digest


if __name__ == "__main__":
    main()
