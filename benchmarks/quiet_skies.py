"""The quiet set: what `maximask` rejects where nothing is contaminated.

python benchmarks/quiet_skies.py --count 24 --weights astroclean,published --data DATA

Skies of the simulator ``injected`` without contaminants, and windows of real frames that were
looked at (``quiet_windows.toml``). For each plane that rejects, the share of pixels that got it;
for each sky, the shares in total and the objects above 20 sigma that lost a pixel. With and without
the evidence after the network.
"""

from __future__ import annotations

import argparse
import functools
import tomllib
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import gaussian_filter, label

from astroclean.core.flags.planes import REJECTING, MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.image.noise import SIGMA_PER_MAD
from astroclean.errors import AstrocleanWarning
from astroclean.io.frames.read import ReadSettings, open_exposure
from astroclean.registry.load import load_stage
from astroclean.simulate.injected.scenes import InjectedConfig, simulate_injected
from astroclean.simulate.injected.skies import QUIET_KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


_WINDOWS = Path(__file__).with_name("quiet_windows.toml")
_FIRST = 1000
_SIDE = 320
_BRIGHT = 20.0
"""Standard deviations of the sky."""
_MARGIN = 96
"""Pixels around a window that the network sees too, where the frame has them."""


@dataclass(frozen=True, eq=False)
class Quiet:
    """A frame, and which of its pixels are counted."""

    sky: str
    frame: Frame
    objects: NDArray[np.bool_]
    """Above 20 sigma."""
    counted: NDArray[np.bool_]


@dataclass
class Tally:
    """Counts of one sky, or of all."""

    pixels: int = 0
    rejected: int = 0
    planes: Counter[str] = field(default_factory=Counter)
    objects: int = 0
    touched: int = 0

    def add(self, quiet: Quiet, flags: NDArray[np.uint32]) -> None:
        """Count a frame."""
        found = (flags & np.uint32(REJECTING)) * quiet.counted
        self.pixels += int(np.count_nonzero(quiet.counted))
        self.rejected += int(np.count_nonzero(found))
        for plane in MaskPlane:
            if plane & REJECTING:
                self.planes[plane.alias] += int(np.count_nonzero(found & np.uint32(plane)))
        labels, number = label(quiet.objects & quiet.counted)
        self.objects += number
        self.touched += len(set(labels[found != 0].tolist()) - {0})


def main() -> None:
    """Print two tables for each set of weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=24, help="simulated frames of each kind")
    parser.add_argument("--weights", default="astroclean", help="names or cards, joined by commas")
    parser.add_argument(
        "--data", type=Path, help="folder of real frames; without it simulated ones"
    )
    given = parser.parse_args()
    for weights in given.weights.split(","):
        _print(weights, [*_kinds(given.count, given.data)])


def _print(weights: str, sources: list[tuple[str, Any]]) -> None:
    stages = [load_stage("maximask", weights=weights, evidence=wanted) for wanted in (False, True)]
    total = [Tally(), Tally()]
    print(f"\nWeights `{weights}`; pixels with a plane that rejects:\n")
    print("| sky | network alone | with evidence | above 20 sigma | touched | with evidence |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, frames in sources:
        own = [Tally(), Tally()]
        for quiet in frames():
            for stage, *tallies in zip(stages, own, total, strict=True):
                flags = _flags(stage, quiet.frame)
                for tally in tallies:
                    tally.add(quiet, flags)
        _row(name, own)
    _row("all", total)
    print("\n| plane | network alone | with evidence |\n| --- | --- | --- |")
    for plane in (plane.alias for plane in MaskPlane if plane & REJECTING):
        if total[0].planes[plane] or total[1].planes[plane]:
            shares = " | ".join(f"{tally.planes[plane] / tally.pixels:.1e}" for tally in total)
            print(f"| {plane} | {shares} |")


def _row(name: str, tallies: list[Tally]) -> None:
    shares = " | ".join(f"{tally.rejected / tally.pixels:.1e}" for tally in tallies)
    touched = " | ".join(str(tally.touched) for tally in tallies)
    print(f"| {name} | {shares} | {tallies[0].objects} | {touched} |", flush=True)


def _flags(stage: Any, frame: Frame) -> NDArray[np.uint32]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstrocleanWarning)  # that much was dropped
        flags: NDArray[np.uint32] = stage.run(frame).frame.flags & ~frame.flags
    return flags


def _kinds(count: int, data: Path | None) -> Iterator[tuple[str, Any]]:
    """Yield the name of a sky, and a function that yields its frames."""
    for kind in QUIET_KINDS:
        yield kind, functools.partial(_simulated, kind, count)
    if data is not None:
        for row in tomllib.loads(_WINDOWS.read_text("utf-8"))["window"]:
            yield f"{row['name']} ({row['grid']})", functools.partial(_real, row, data)


def _simulated(kind: str, count: int) -> Iterator[Quiet]:
    config = InjectedConfig(quiet=True, skies=(kind,))
    for seed in range(_FIRST, _FIRST + count):
        scene = simulate_injected(seed=seed, shape=(_SIDE, _SIDE), config=config)
        assert scene.clean is not None
        noise = float(scene.notes["noise"])
        light = scene.clean - np.median(scene.clean)
        yield Quiet(
            kind, scene.frame, light > _BRIGHT * noise, np.ones(scene.frame.shape, dtype=bool)
        )


def _real(row: dict[str, Any], data: Path) -> Iterator[Quiet]:
    """Yield the one frame of a window, with what lies around it."""
    top, bottom, left, right = row["window"]
    with open_exposure(f"{data / row['file']}[{row['hdu']}]", ReadSettings()) as exposure:
        whole = exposure.frame(exposure.slots[0])
    y, x = max(top - _MARGIN, 0), max(left - _MARGIN, 0)
    box = slice(y, bottom + _MARGIN), slice(x, right + _MARGIN)
    frame = _cut(whole, box)
    counted = np.zeros(whole.shape, dtype=bool)
    counted[top:bottom, left:right] = True
    for one in row.get("contaminant", ()):
        first, last, begin, end = one["box"]
        counted[first:last, begin:end] = False
    smooth = gaussian_filter(np.nan_to_num(frame.data), 1.0)
    pairs = frame.data[:, 4:] - frame.data[:, :-4]
    noise = SIGMA_PER_MAD * float(np.nanmedian(np.abs(pairs))) / np.sqrt(2)
    objects = smooth - np.median(smooth) > _BRIGHT * noise
    yield Quiet(row["name"], frame, objects, counted[box])


def _cut(frame: Frame, box: tuple[slice, slice]) -> Frame:
    """Return a part of a frame without its WCS, which no mask needs."""
    return Frame(
        frame.data[box].copy(),
        unit=frame.unit,
        flags=frame.flags[box].copy(),
        meta=frame.meta,
        frame_id=frame.frame_id,
    )


if __name__ == "__main__":
    main()
