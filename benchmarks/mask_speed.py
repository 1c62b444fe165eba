"""Seconds that maskers need for one frame, beside the authors' command of MaxiMask.

    python benchmarks/mask_speed.py kpno09m_a671_r_1200s.fits.fz --side 4096 --threads 2

The frame is repeated to ``--side``. Each masker runs in a process of its own, on a small frame
first, so that no import and no compilation is counted. The authors' command (``--upstream``, the
program ``maximask`` of the package MaxiMask) is counted as a whole, the seconds of its start too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from astropy.io import fits
from machine import told_machine

MASKERS = {
    "published, f32": ("maximask", {"weights": "published"}),
    "published, bf16": ("maximask", {"weights": "published", "precision": "bf16"}),
    "astroclean, f32": ("maximask", {}),
    "astroclean, bf16": ("maximask", {"precision": "bf16"}),
    "lacosmic": ("lacosmic", {}),
}
TIMED = """
import json, sys, time, warnings
from astroclean.io.frames.read import open_exposure
from astroclean.registry.load import load_stage
warnings.simplefilter("ignore")
path, plugin, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
stage = load_stage(plugin, **options)
with open_exposure(path) as exposure:
    slot = exposure.slots[0]
    stage.run(exposure.frame(slot, (slice(0, 512), slice(0, 512))))
    frame = exposure.frame(slot)
start = time.perf_counter()
stage.run(frame)
print(time.perf_counter() - start)
"""


def repeated(path: Path, side: int, folder: Path) -> Path:
    """Write the first image of a file, repeated to a square, with its header's cards."""
    with fits.open(path) as hdus:
        hdu = next(hdu for hdu in hdus if hdu.header.get("NAXIS") == 2 and hdu.data is not None)  # noqa: PLR2004
        times = [-(-side // length) for length in hdu.data.shape]
        data = np.tile(hdu.data.astype(np.float32), times)[:side, :side]
    header = fits.Header()
    header["BUNIT"], header["GAIN"], header["RDNOISE"] = "adu", 1.5, 5.0
    frame = folder / "frame.fits"
    fits.PrimaryHDU(data, header).writeto(frame)
    return frame


def seconds_of(name: str, frame: Path, threads: int) -> float:
    """Return the seconds that a masker takes for the frame."""
    plugin, options = MASKERS[name]
    if plugin == "maximask":
        options = {**options, "threads": threads}
    command = [sys.executable, "-c", TIMED, str(frame), plugin, json.dumps(options)]
    told = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    return float(told.stdout.split()[-1])


def seconds_upstream(program: str, frame: Path) -> float:
    """Return the seconds of the authors' command, its start included."""
    begun = time.perf_counter()
    command = [program, str(frame), "--single_mask", "True"]
    subprocess.run(command, capture_output=True, check=True)  # noqa: S603 - what is benchmarked
    return time.perf_counter() - begun


def main() -> None:
    """Time all, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("frame", type=Path)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", help="maskers, separated by ;")
    parser.add_argument("--upstream", default=os.environ.get("MAXIMASK"))
    arguments = parser.parse_args()
    names = arguments.only.split(";") if arguments.only else list(MASKERS)
    with tempfile.TemporaryDirectory() as folder:
        frame = repeated(arguments.frame, arguments.side, Path(folder))
        found = {name: seconds_of(name, frame, arguments.threads) for name in names}
        if arguments.upstream:
            found["the authors' command"] = seconds_upstream(arguments.upstream, frame)
    print(told_machine("numpy", "openvino", "onnxruntime", "astroscrappy"))
    print(f"{arguments.side} x {arguments.side} pixels, {arguments.threads} threads\n")
    print("| | seconds | Mpix/s |\n| --- | --- | --- |")
    for name, seconds in found.items():
        print(f"| {name} | {seconds:.1f} | {arguments.side**2 / 1e6 / seconds:.3f} |")


if __name__ == "__main__":
    main()
