"""How much of the trails `trails`, `streaks` and `maximask` find, and how much else they flag.

    python benchmarks/trail_recall.py --count 12
    python benchmarks/trail_recall.py --simulator injected --count 12 --shape 1024 1024

Without ``--simulator`` trails of known strength are put on simulated fields of stars and galaxies:
S/N is that of a box of one FWHM along and across, on the sky's noise. Recall is the share of the
pixels of the middle lines within the frame that are flagged, gaps of dashed ones included. Purity
by length is the share of the middle lines of what is flagged (its skeleton) that lies within
``NEAR`` pixels of a true trail, from end to end; by pixels, that of all flagged pixels.
With a simulator the truth is its plane TRAIL: gaps count as wrong, and faint wings too.
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from machine import told_machine
from scipy.ndimage import binary_dilation, label
from skimage.morphology import skeletonize

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.evaluation.evaluation import find_simulator
from astroclean.registry.load import load_stage
from astroclean.simulate.contaminants.cosmic_rays import CosmicRayRange
from astroclean.simulate.contaminated import CHANCES, ContaminatedConfig, simulate_contaminated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

NEAR = 3
"""Pixels from a true trail within which what is flagged is true."""
_PER_SIGMA = 2.3548
_BOX = 0.81
"""Light of a Gaussian ridge in a box of one FWHM along and across, over peak times FWHM."""
_SEEN = 0.1
"""Light in standard deviations of a pixel from which a pixel is true, besides the path."""
_SHORTEST_FALSE = 20
"""Pixels of a false line that is listed."""


@dataclass(frozen=True)
class Kind:
    """Trails of one row of the table."""

    snr: tuple[float, float]
    dashed: bool = False
    width: tuple[float, float] = (1.0, 1.0)
    """In FWHM of a star."""
    count: int = 1


KINDS = {
    "bright, S/N 10 to 100": Kind((10, 100)),
    "S/N 3 to 10": Kind((3, 10)),
    "faint, S/N 1 to 3": Kind((1, 3)),
    "dashed, S/N 3 to 30 where lit": Kind((3, 30), dashed=True),
    "out of focus, S/N 3 to 30": Kind((3, 30), width=(2, 7)),
    "two that cross, S/N 3 to 30": Kind((3, 30), count=2),
    "none": Kind((0, 0), count=0),
}


@dataclass
class Tally:
    """Sums over frames."""

    true: int = 0
    covered: int = 0
    flagged: int = 0
    right: int = 0
    pixels: int = 0
    right_pixels: int = 0
    frames: int = 0
    area: int = 0
    seconds: float = 0.0
    false_frames: int = 0
    each: list[float] = field(default_factory=list)

    def add(self, found: Mask, middle: Mask, whole: Mask) -> None:
        """Count a frame: flagged pixels, true middle lines, true pixels with the gaps."""
        near = binary_dilation(whole, np.ones((3, 3)), iterations=NEAR)
        line = skeletonize(found)
        self.true += int(middle.sum())
        covered = int((middle & found).sum())
        self.covered += covered
        self.flagged += int(line.sum())
        self.right += int((line & near).sum())
        self.pixels += int(found.sum())
        self.right_pixels += int((found & near).sum())
        self.frames += 1
        self.area += found.size
        self.false_frames += int((line & ~near).sum() > _SHORTEST_FALSE)
        if middle.any():
            self.each.append(covered / float(middle.sum()))

    def row(self, name: str) -> str:
        """Return a line of the table."""

        def share(part: int, whole: int) -> str:
            return f"{part / whole:.3f}" if whole else "-"

        missed = sum(part < 0.5 for part in self.each)  # noqa: PLR2004 - most of it
        return (
            f"| {name} | {share(self.covered, self.true)} | {share(self.right, self.flagged)} | "
            f"{share(self.right_pixels, self.pixels)} | {missed} of {len(self.each)} | "
            f"{self.false_frames} of {self.frames} | {self.area / 1e6 / self.seconds:.2f} |"
        )


def drawn_trail(
    rng: np.random.Generator, shape: tuple[int, int], kind: Kind, fwhm: float
) -> tuple[NDArray[np.float64], Mask, Mask]:
    """Return the light of a trail in units of the noise, its middle line, and all of its path."""
    ny, nx = shape
    angle = rng.uniform(0, np.pi)
    cy, cx = rng.uniform(0.15, 0.85) * ny, rng.uniform(0.15, 0.85) * nx
    y, x = np.indices(shape, dtype=float)
    along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
    across = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
    if rng.random() < 0.3:  # noqa: PLR2004 - bent
        across -= rng.uniform(-4, 4) * (1 - (along / (0.5 * np.hypot(ny, nx))) ** 2)
    width = fwhm * rng.uniform(*kind.width)
    snr = np.exp(rng.uniform(*np.log(kind.snr)))
    ridge = np.exp(-0.5 * (across * _PER_SIGMA / fwhm) ** 2)
    if width > fwhm:  # the chord of a pupil with a hole, blurred
        r = np.arange(-width - 4 * fwhm, width + 4 * fwhm, 0.1)
        chord = np.sqrt(np.clip(width**2 / 4 - r**2, 0, None))
        chord -= np.sqrt(np.clip((0.4 * width) ** 2 / 4 - r**2, 0, None))
        kernel = np.exp(-0.5 * (r * _PER_SIGMA / fwhm) ** 2)
        line = np.convolve(chord, kernel, mode="same")
        ridge = np.interp(across, r, line / line.max())
    light = snr / (_BOX * fwhm) * ridge
    within = np.ones(shape, dtype=bool)
    if rng.random() < 0.25:  # noqa: PLR2004 - ends in the frame
        within = along < rng.uniform(0.0, 0.3) * ny
    lit = within.astype(float)
    if kind.dashed:
        period, on = np.exp(rng.uniform(np.log(20), np.log(120))), rng.uniform(0.25, 0.65)
        lit *= ((along + rng.uniform(0, period)) / period) % 1 < on
    middle, path = (np.abs(across) <= half for half in (0.5, max(width, fwhm) / 2))
    return light * lit, within & middle, within & path


def scenes(kind: Kind, seeds: range, shape: tuple[int, int]) -> Iterator[tuple[Frame, Mask, Mask]]:
    """Yield frames, true middle lines and true pixels."""
    for seed in seeds:
        rng = np.random.default_rng((seed, 1616))
        chances = {name: float(name == "cosmic_rays") for name in CHANCES}
        chances["bright_star"] = 0.3
        chances["spikes"] = 0.5
        config = ContaminatedConfig(chances=chances, cosmic_rays=CosmicRayRange(count=(20.0, 80.0)))
        scene = simulate_contaminated(seed=9000 + seed, shape=shape, config=config)
        notes: dict[str, Any] = dict(scene.notes)
        fwhm, noise = float(notes["fwhm_pixels"]), float(notes["noise"])
        light = np.zeros(shape)
        middle, whole = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
        for _ in range(kind.count):
            one, line, path = drawn_trail(rng, shape, kind, fwhm)
            light += one
            middle |= line
            whole |= path
        # Its own photons scatter, too.
        gain = float(notes["gain"])
        own = rng.poisson(light * noise * gain) / gain
        data = scene.frame.data + own.astype(np.float32)
        ceiling = float(scene.frame.meta.get("ACSATUR", np.inf))
        frame = Frame(np.minimum(data, ceiling), unit="adu", meta=scene.frame.meta)
        yield frame, middle, whole | (light > _SEEN)


def simulated(
    name: str, seeds: range, shape: tuple[int, int]
) -> Iterator[tuple[Frame, Mask, Mask]]:
    """Yield the same of a simulator."""
    simulator: Callable[..., Any] = find_simulator(name)
    for seed in seeds:
        scene = simulator(seed=50000 + seed, shape=shape)
        truth = (scene.planes & np.uint32(MaskPlane.TRAIL)) != 0
        labels, number = label(truth, np.ones((3, 3)))
        sizes = np.bincount(labels.ravel(), minlength=number + 1)
        large = sizes[labels] >= 2 * NEAR
        yield scene.frame, skeletonize(truth & large), truth


def run(stage: Any, frame: Frame) -> tuple[Mask, float]:
    """Return what a stage flags, and its seconds: those of a core, whatever else runs."""
    begun = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flags = stage.run(frame).frame.flags
    return (flags & np.uint32(MaskPlane.TRAIL)) != 0, time.process_time() - begun


def parsed() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=12, help="frames of each kind")
    parser.add_argument("--first", type=int, default=0, help="seed of the first frame")
    parser.add_argument("--shape", type=int, nargs=2, default=(1024, 1024))
    parser.add_argument("--simulator")
    parser.add_argument("--plugins", default="trails,maximask,streaks")
    parser.add_argument("--only", default="", help="part of the names of the kinds")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="bf16")
    return parser.parse_args()


def main() -> None:
    """Print a table for each kind of trails."""
    arguments = parsed()
    network = {"threads": arguments.threads, "precision": arguments.precision}
    options = {"trails": network, "maximask": {**network, "classes": ["TRL"]}, "streaks": {}}
    names = arguments.plugins.split(",")
    stages = {name: load_stage(name, **options.get(name, {})) for name in names}
    shape = tuple(arguments.shape)
    seeds = range(arguments.first, arguments.first + arguments.count)
    print(told_machine("numpy", "openvino"))
    print(f"{shape[0]} x {shape[1]} pixels, {arguments.threads} threads")
    for kind in [arguments.simulator] if arguments.simulator else list(KINDS):
        if arguments.only not in kind:
            continue
        made = (
            simulated(kind, seeds, shape)
            if arguments.simulator
            else scenes(KINDS[kind], seeds, shape)
        )
        print(f"\n{kind}\n")
        print_table(stages, made)


def print_table(stages: dict[str, Any], made: Iterator[tuple[Frame, Mask, Mask]]) -> None:
    """Print a row for each stage."""
    tallies = {name: Tally() for name in stages}
    for frame, middle, whole in made:
        for name, stage in stages.items():
            found, seconds = run(stage, frame)
            tallies[name].add(found, middle, whole)
            tallies[name].seconds += seconds
    print("| plugin | recall | purity, length | purity, pixels | missed | false | Mpix/CPU s |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, tally in tallies.items():
        print(tally.row(name), flush=True)


if __name__ == "__main__":
    main()
