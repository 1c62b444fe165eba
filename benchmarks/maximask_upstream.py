"""Compare `maximask` with published weights, and our own, with the authors' command.

    python benchmarks/maximask_upstream.py FILE.fits [FILE.fits[HDU] ...] --threads 2

Needs MaxiMask 1.4.1 (benchmarks/requirements.txt) and `astroclean weights import maximask`. Each
frame is written as plain float32 FITS, masked by the authors' command in a process of its own, and
by astroclean in this one. For each class the share of pixels on which both agree is printed, over
all pixels and away from the seams of the authors' tiles; then the speeds, start-up included for
both.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from astroclean.core.frame import Frame
from astroclean.registry.load import load_stage

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLASSES = ("CR", "HCL", "DCL", "HP", "DP", "P", "TRL", "FR", "NEB", "SAT", "SP", "OV", "BBG")
_STEP, _RIM, _MARGIN = 200, 100, 12
"""The authors' tiles of 400 pixels keep their central 200; seams are so far from the first pixel,
and so wide."""


def seams(shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels beside seams, where the authors' tiles see too little."""
    near = np.zeros(shape, dtype=bool)
    for axis, length in enumerate(shape):
        places = [*range(_RIM, length, _STEP), length - 300, length - 100]
        for place in places:
            part = [slice(None), slice(None)]
            part[axis] = slice(max(place - _MARGIN, 0), max(place + _MARGIN, 0))
            near[tuple(part)] = True
    return near


def upstream_mask(image: NDArray[np.float32], folder: Path) -> tuple[NDArray[Any], float]:
    """Return the authors' single mask, and seconds."""
    path = folder / "frame.fits"
    fits.PrimaryHDU(image).writeto(path, overwrite=True)
    command = os.environ.get("MAXIMASK") or shutil.which("maximask")
    if command is None:
        raise SystemExit("no command `maximask`: pip install -r benchmarks/requirements.txt")
    begun = time.perf_counter()
    subprocess.run(  # noqa: S603 - the command that is benchmarked
        [command, str(path), "--single_mask", "True"], check=True, capture_output=True
    )
    seconds = time.perf_counter() - begun
    return fits.getdata(folder / "frame.mask.fits"), seconds


def own_mask(image: NDArray[np.float32], **options: Any) -> tuple[NDArray[np.uint32], float]:
    """Return the flags of the plugin, and seconds, loading of the weights included."""
    begun = time.perf_counter()
    flags = load_stage("maximask", **options).run(Frame(image, unit="adu")).frame.flags
    return flags, time.perf_counter() - begun


def compare(name: str, image: NDArray[np.float32], options: dict[str, Any]) -> dict[str, Any]:
    """Return agreement and speeds for one frame."""
    with tempfile.TemporaryDirectory() as folder:
        theirs, seconds = upstream_mask(image, Path(folder))
    ours, own_seconds = own_mask(image, weights="published", **options)
    _, compact_seconds = own_mask(image, weights="astroclean", **options)
    away = ~seams(image.shape)
    agreement = {}
    for bit, alias in enumerate(CLASSES):
        same = ((theirs.astype(np.int64) >> bit) & 1) == ((ours >> np.uint32(bit)) & 1)
        agreement[alias] = {"all": float(same.mean()), "away from seams": float(same[away].mean())}
    megapixels = image.size / 1e6
    speeds = {"upstream": seconds, "published": own_seconds, "compact": compact_seconds}
    return {
        "frame": name,
        "shape": image.shape,
        "agreement": agreement,
        "Mpix/s": {key: round(megapixels / value, 4) for key, value in speeds.items()},
    }


def read(word: str) -> NDArray[np.float32]:
    """Return the image of ``file.fits`` or ``file.fits[HDU]``."""
    name, _, hdu = word.removesuffix("]").partition("[")
    with fits.open(name) as hdus:
        wanted = [hdus[int(hdu)]] if hdu else [h for h in hdus if np.ndim(h.data) == 2]  # noqa: PLR2004
        return np.asarray(wanted[0].data, dtype=np.float32)


def main() -> None:
    """Compare frame by frame."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("frames", nargs="+", metavar="FILE[HDU]")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--tile", type=int, default=1024)
    parser.add_argument("--precision", default=None, help="f32 or bf16")
    arguments = parser.parse_args()
    options = {"threads": arguments.threads, "tile": arguments.tile}
    if arguments.precision:
        options["precision"] = arguments.precision
    for word in arguments.frames:
        print(json.dumps(compare(word, read(word), options), indent=2), flush=True)


if __name__ == "__main__":
    main()
