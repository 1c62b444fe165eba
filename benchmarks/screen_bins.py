"""Where screening finds errors of tracking and where it rejects good exposures, bin by bin.

    python benchmarks/screen_bins.py [--simulator guiding] [--count 400] [--seed 90001]
        [--weights astroclean published] [--side 256]

Exposures have seeing of 1.4 to 8 pixels, 20 to 3000 stars in 256 x 256 pixels, errors of 0.3 to 3
FWHM. Each row is one bin of seeing, error, density or kind; prints Markdown: exposures, AUC against
the good ones (of the same bin where it is one of seeing or density; errors of at least 1 FWHM), and
what is rejected at the shipped threshold.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from machine import processor, today

from astroclean.evaluation.metrics.mask import count_scores
from astroclean.registry.load import load_stage
from astroclean.simulate.fields import FieldRange
from astroclean.simulate.guiding import GuidingConfig, simulate_guiding
from astroclean.simulate.psfs import PsfRange
from astroclean.simulate.tracking import TrackingConfig, simulate_tracking

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from astroclean.simulate.scene import Scene

WIDTHS, STARS, EXTENTS = (1.4, 8.0), (20.0, 3000.0), (0.3, 3.0)
SEEING_BINS = ((1.0, 2.0), (2.0, 3.0), (3.0, 4.0), (4.0, 6.0), (6.0, 9.0))
ERROR_BINS = ((0.3, 0.6), (0.6, 1.0), (1.0, 1.25), (1.25, 1.5), (1.5, 2.0), (2.0, 3.0))
DENSITY_BINS = ((0, 60), (60, 300), (300, 1000), (1000, 5000))


@dataclass(frozen=True, eq=False)
class Judged:
    """What is kept of all exposures: one entry for each."""

    kind: NDArray[np.str_]
    seeing: NDArray[np.float64]
    error: NDArray[np.float64]
    """In FWHM."""
    stars: NDArray[np.float64]
    """In 256 x 256 pixels."""
    probability: NDArray[np.float64]
    is_rejected: NDArray[np.bool_]


def tracking(seed: int, shape: tuple[int, int]) -> Scene:
    """Return an exposure of the first recipe."""
    config = TrackingConfig(
        share=0.45,
        extent=EXTENTS,
        residual=(0.0, 0.25),
        aberration=(0.0, 0.4),
        psf=PsfRange(fwhm=WIDTHS, kinds=("moffat", "kolmogorov"), ellipticity=(0.0, 0.05)),
        sources=FieldRange(stars=STARS),
    )
    return simulate_tracking(seed=seed, shape=shape, config=config)


def guiding(seed: int, shape: tuple[int, int]) -> Scene:
    """Return an exposure of the second recipe."""
    config = GuidingConfig(share=0.45, extent=EXTENTS, fwhm=WIDTHS, stars=STARS)
    return simulate_guiding(seed=seed, shape=shape, config=config)


SIMULATORS: dict[str, Callable[[int, tuple[int, int]], Scene]] = {
    "tracking": tracking,
    "guiding": guiding,
}


def judge(arguments: argparse.Namespace) -> dict[str, Judged]:
    """Simulate exposures, and have each judged with all weights."""
    stages = {name: load_stage("maxitrack", weights=name) for name in arguments.weights}
    shape = (arguments.side, arguments.side)
    rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in stages}
    for seed in range(arguments.seed, arguments.seed + arguments.count):
        scene = SIMULATORS[arguments.simulator](seed, shape)
        notes = scene.notes
        seeing = float(notes["seeing_pixels"])
        told = (
            str(notes["kind"]),
            seeing,
            float(notes["extent_pixels"]) / seeing,
            float(notes["stars"]) * 256**2 / (shape[0] * shape[1]),
        )
        frame = scene.frame.replace(psf=None, sources=None)
        for name, stage in stages.items():
            score = stage.score(frame)
            verdict = (score.probability, score.probability > score.threshold)
            rows[name].append((*told, *verdict))
    return {name: Judged(*map(np.array, zip(*kept, strict=True))) for name, kept in rows.items()}


def auc(judged: Judged, chosen: NDArray[np.bool_]) -> float:
    """Return the chance that a spoiled exposure scores above a good one."""
    return float(count_scores(judged.probability[chosen], judged.kind[chosen] != "none").auc())


def table(judged: Judged) -> list[str]:
    """Return the rows of one set of weights."""
    good = judged.kind == "none"
    large = ~good & (judged.error >= 1)
    bins: list[tuple[str, NDArray[np.bool_], NDArray[np.bool_]]] = [
        ("all, errors of at least 1 FWHM", good, large)
    ]
    for low, high in SEEING_BINS:
        within = (judged.seeing >= low) & (judged.seeing < high)
        bins.append((f"seeing {low:g} to {high:g} pixels", good & within, large & within))
    for low, high in DENSITY_BINS:
        within = (judged.stars >= low) & (judged.stars < high)
        bins.append((f"{low} to {high} stars", good & within, large & within))
    for low, high in ERROR_BINS:
        within = (judged.error >= low) & (judged.error < high)
        bins.append((f"errors of {low:g} to {high:g} FWHM", good, ~good & within))
    bins += [
        (str(kind), good, large & (judged.kind == kind)) for kind in np.unique(judged.kind[~good])
    ]
    lines = []
    for name, fine, spoiled in bins:
        cells = [str(int(spoiled.sum())), str(int(fine.sum()))]
        if spoiled.any() and fine.any():
            rates = (judged.is_rejected[spoiled].mean(), judged.is_rejected[fine].mean())
            cells += [f"{auc(judged, fine | spoiled):.3f}", *(f"{rate:.3f}" for rate in rates)]
        else:
            cells += ["-"] * 3
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Judge and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--simulator", choices=SIMULATORS, default="guiding")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=90_001)
    parser.add_argument("--side", type=int, default=256, help="pixels of an exposure")
    parser.add_argument("--weights", nargs="+", default=["astroclean"])
    arguments = parser.parse_args()
    for name, judged in judge(arguments).items():
        print(f"{name}, {arguments.simulator}, {today()}, {processor()}\n")
        print("| exposures | spoiled | good | AUC | found | good ones rejected |")
        print("| --- | --- | --- | --- | --- | --- |")
        print("\n".join(table(judged)), end="\n\n")


if __name__ == "__main__":
    main()
