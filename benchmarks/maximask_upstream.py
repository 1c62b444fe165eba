"""Compare `maximask` with published weights, and our own, with the authors' command.

    python benchmarks/maximask_upstream.py FILE.fits [FILE.fits[HDU] ...] [--into MODEL_CARD.md]

Needs MaxiMask 1.4.1 (benchmarks/requirements.txt) and `astroclean weights import maximask`. The
command may be in another environment: ``MAXIMASK=/path/of/maximask``; its package must then be on
``PYTHONPATH``, for its estimate of the sky. Each frame is written as plain float32 FITS, masked by
the authors' command in a process of its own, and by astroclean in this one.

For each class the share of pixels on which both agree is printed: over all pixels, away from the
seams of the authors' tiles, and there with the authors' sky subtracted for both; then the speeds,
start-up included for both. ``--into`` writes the agreement as a table between ``<!-- parity -->``
and ``<!-- end -->``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astroclean_maximask.classes import CONTAMINANTS
from astroclean_maximask.mask.priors import raw_threshold, read_classes
from astroclean_maximask.shipped import card_path
from astropy.io import fits
from machine import told_machine

from astroclean.core.image.frame import Frame
from astroclean.inference.cards.card import load_card
from astroclean.inference.cards.weights import find_weights
from astroclean.inference.engines.engine import open_engine
from astroclean.inference.tiles.normalize import Identity
from astroclean.inference.tiles.predictor import Predictor
from astroclean.registry.load import load_stage

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TILE = 400
_STEP, _RIM, _MARGIN = 200, 100, 12
"""The authors' tiles of 400 pixels keep their central 200; seams are so far from the first pixel,
and so wide."""
_MARKED = re.compile(r"(<!-- parity -->\n).*?(<!-- end -->)", re.DOTALL)
_WAYS = ("all", "away from seams", "same sky")


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


def same_sky_mask(image: NDArray[np.float32], options: dict[str, Any]) -> NDArray[np.uint32]:
    """Return the flags of the published network on what the authors' code makes of the pixels."""
    from maximask_and_maxitrack.utils import image_norm  # noqa: PLC0415 - a peer

    path = card_path("maximask", "published")
    card = load_card(path)
    classes = read_classes(path.with_name(path.name.replace(".card.", ".classes.")))
    engine = open_engine(
        card, find_weights(card), precision=options["precision"], threads=options["threads"]
    )
    bare = card.model_copy(update={"normalization": Identity()})
    seen, _ = image_norm(image.copy())
    predictor = Predictor(bare, engine, tile=options["tile"], batch=1)
    found = predictor.predict(Frame(seen, unit=""))["probabilities"]
    flags = np.zeros(image.shape, dtype=np.uint32)
    for channel, plane in enumerate(CONTAMINANTS):
        limit = np.float32(raw_threshold(classes[plane.alias]))
        flags |= (found[channel] > limit) * np.uint32(plane)
    return flags


def compare(name: str, image: NDArray[np.float32], options: dict[str, Any]) -> dict[str, Any]:
    """Return agreement and speeds for one frame."""
    with tempfile.TemporaryDirectory() as folder:
        theirs, seconds = upstream_mask(image, Path(folder))
    ours, own_seconds = own_mask(image, weights="published", **options)
    _, compact_seconds = own_mask(image, weights="astroclean", **options)
    same_sky = same_sky_mask(image, options)
    away = ~seams((image.shape[0], image.shape[1]))
    agreement, flagged = {}, {}
    for plane in CONTAMINANTS:
        bit = np.int64(plane)
        differs = ((theirs.astype(np.int64) ^ ours) & bit) != 0
        differs_then = ((theirs.astype(np.int64) ^ same_sky) & bit) != 0
        shares = (1 - differs.mean(), 1 - differs[away].mean(), 1 - differs_then[away].mean())
        agreement[plane.alias] = dict(zip(_WAYS, map(float, shares), strict=True))
        flagged[plane.alias] = int(np.count_nonzero(theirs.astype(np.int64) & bit))
    megapixels = image.size / 1e6
    speeds = {"upstream": seconds, "published": own_seconds, "compact": compact_seconds}
    return {
        "frame": name,
        "shape": image.shape,
        "agreement": agreement,
        "flagged by the authors": flagged,
        "Mpix/s": {key: round(megapixels / value, 4) for key, value in speeds.items()},
    }


def to_markdown(compared: list[dict[str, Any]], told: str) -> str:
    """Return the agreement away from seams: percent as they are, then with the authors' sky."""
    names = [f"`{one['frame']}`, {one['shape'][0]} x {one['shape'][1]}" for one in compared]
    lines = [f"| class | {' | '.join(names)} |", "|" + " --- |" * (len(names) + 1)]
    for plane in CONTAMINANTS:
        shares = [one["agreement"][plane.alias] for one in compared]
        cells = [" / ".join(f"{100 * s[way]:.3f}" for way in _WAYS[1:]) for s in shares]
        lines.append(f"| {plane.alias} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", told, ""])


def read(word: str, side: int) -> tuple[str, NDArray[np.float32]]:
    """Return name and image of ``file.fits`` or ``file.fits[HDU]``, at most ``side`` pixels."""
    name, _, hdu = word.removesuffix("]").partition("[")
    with fits.open(name) as hdus:
        wanted = [hdus[int(hdu)]] if hdu else [h for h in hdus if np.ndim(h.data) == 2]  # noqa: PLR2004
        image = np.asarray(wanted[0].data, dtype=np.float32)[:side, :side]
        if min(image.shape) <= _TILE:
            raise SystemExit(f"{word}: the authors' command wants more than {_TILE} pixels a side")
        label = Path(name).name.partition(".")[0] + (f"[{hdu}]" if hdu else "")
        return label, np.ascontiguousarray(image)


def main() -> None:
    """Compare frame by frame."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("frames", nargs="+", metavar="FILE[HDU]")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--tile", type=int, default=1024)
    parser.add_argument("--precision", default="f32", help="f32 or bf16")
    parser.add_argument("--side", type=int, default=2048, help="frames are cut to so many pixels")
    parser.add_argument("--into", type=Path, help="file with a marked place for the table")
    arguments = parser.parse_args()
    options = {name: getattr(arguments, name) for name in ("threads", "tile", "precision")}
    compared = []
    for word in arguments.frames:
        compared.append(compare(*read(word, arguments.side), options))
        print(json.dumps(compared[-1], indent=2), flush=True)
    if arguments.into is not None:
        told = told_machine("numpy", "sep", "openvino", "onnxruntime", "MaxiMask")
        table = to_markdown(compared, f"{arguments.precision}; {told}")
        text = arguments.into.read_text("utf-8")
        arguments.into.write_text(_MARKED.sub(lambda m: m[1] + table + m[2], text), "utf-8")


if __name__ == "__main__":
    main()
