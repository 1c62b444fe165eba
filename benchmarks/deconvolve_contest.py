"""Score deconvolvers on stamps of galaxies that no training sees, and print Markdown tables.

    OMP_NUM_THREADS=1 python benchmarks/deconvolve_contest.py --seed 20000 --count 200
    OMP_NUM_THREADS=1 python benchmarks/deconvolve_contest.py --entries parametric,psf-cae --json F

Half as many galaxies as stamps: each is shown through a PSF and through the same turned by 90
degrees, which is how the leak is measured. A fifth of the stamps is empty. Speeds are of processor
time, one stamp at a time. An entry that cannot run is named with the reason.

No peer of the field is among them: jolideco 0.3 does not import without a library of priors that
its package does not have (`JOLIDECO_GMM_LIBRARY`), and STARRED 1.7, which needs JAX, was not tried.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from machine import told_machine

from astroclean.errors import AstrocleanError
from astroclean.evaluation.contest import SPEED, TIME, Contestant, hold_contest
from astroclean.evaluation.deconvolve import DeconvolveEvaluation
from astroclean.evaluation.table import Column, Row
from astroclean.registry.load import load_stage
from astroclean.simulate.galaxies import GalaxyRange
from astroclean.simulate.held_out import HELD_OUT_KINDS
from astroclean.simulate.stamps import StampConfig, simulate_stamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.results import StageResult
    from astroclean.core.stage.stage import Stage
    from astroclean.simulate.scene import Scene

ENTRIES: dict[str, tuple[str, dict[str, Any]]] = {
    "parametric": ("parametric", {"target_fwhm": 2.0}),
    "richardson-lucy": ("richardson-lucy", {"num_iter": 30}),
    "wiener": ("wiener", {}),
    "psf-cae": ("psf-cae", {}),
    "psf-cae fast": ("psf-cae", {"fit": False, "draws": 0}),
}
# Radii of galaxies in ground-based surveys, 0.2 to 1 arcsec on pixels of 0.2 arcsec.
CONFIG = StampConfig(
    kinds=HELD_OUT_KINDS,
    blank=0.2,
    paired=True,
    galaxy=GalaxyRange(half_light_radius=(1.0, 5.0)),
)
STAMPS = Column("stamps/s", "stamps a second of processor time, one at a time", form=".1f")
BLOCKS = (
    ("frames", "PSNR", "1-SSIM", "spurious", STAMPS.name),
    ("sources", "lost", "flux", "flux RMS", "size", "size RMS"),
    ("abs e", "abs e RMS", "e RMS", "slope", "leak"),
    ("accuracy", "as blank", "as low", "as medium", "as high"),
    (
        *("pixels 68", "pixels 95", "lit 68", "lit 95", "flux 68", "flux 95"),
        *("place 68", "place 95", "e 68", "e 95", "size 68", "size 95"),
    ),
)


class Timed:
    """A stage that counts the processor time of its runs; the first, which loads, does not count.

    Other work on the machine is no fault of a plugin.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.seconds, self.runs = 0.0, -1

    def __getattr__(self, name: str) -> Any:
        """Return what the stage has."""
        return getattr(self.stage, name)

    def run(self, frame: Frame) -> StageResult:
        """Run the stage."""
        begun = time.process_time()
        result = self.stage.run(frame)
        self.runs += 1
        if self.runs:
            self.seconds += time.process_time() - begun
        return result

    @property
    def rate(self) -> float:
        """Stamps a second."""
        return self.runs / self.seconds if self.seconds else math.nan


def main() -> None:
    """Score, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=20000, help="of the first stamp; even")
    parser.add_argument("--count", type=int, default=200, help="stamps, two a galaxy")
    parser.add_argument("--shape", type=int, nargs=2, default=(64, 64), metavar=("NY", "NX"))
    parser.add_argument("--snr", type=float, nargs=2, default=CONFIG.snr)
    parser.add_argument("--entries", default=",".join(ENTRIES), help="with commas")
    parser.add_argument("--minutes", type=float, default=math.inf, help="end after so many")
    parser.add_argument("--json", type=Path, help="also write all numbers there")
    given = parser.parse_args()
    stages, missing = loaded(given.entries.split(","))
    config = CONFIG.model_copy(update={"snr": tuple(given.snr)})
    rows = scored(stages, stamps(given, config))
    scenes = int(rows[0].values["frames"]) if rows else 0
    print(f"{told_machine('numpy', 'scipy', 'scikit-image', 'galsim', 'onnxruntime')}.")
    print(
        f"{scenes} stamps of {given.shape[0]} x {given.shape[1]} pixels from seed "
        f"{given.seed}, in pairs; S/N {config.snr[0]:g} to {config.snr[1]:g}; "
        f"families {', '.join(config.kinds)}."
    )
    for names in BLOCKS:
        print(markdown(names, rows))
    for label, reason in missing.items():
        print(f"- `{label}` did not run: {reason}")
    if given.json:
        told = [{"plugin": row.plugin, "class": row.of, **row.values} for row in rows]
        given.json.write_text(json.dumps(told, indent=1), "utf-8")


def loaded(labels: Sequence[str]) -> tuple[dict[str, Timed], dict[str, str]]:
    """Return the stages that can be had, and why others cannot."""
    stages, missing = {}, {}
    for label in labels:
        if label not in ENTRIES:
            sys.exit(f"no entry {label!r}; there are {', '.join(ENTRIES)}")
        plugin, options = ENTRIES[label]
        try:
            stages[label] = Timed(load_stage(plugin, **options))
        except (AstrocleanError, ImportError) as error:
            missing[label] = str(error).splitlines()[0]
    return stages, missing


def stamps(given: argparse.Namespace, config: StampConfig) -> Iterator[Scene]:
    """Yield the scenes, each made when it is asked for; whole pairs, until the time is up."""
    end = time.monotonic() + 60 * given.minutes
    for number in range(given.seed, given.seed + given.count):
        if number % 2 == 0 and time.monotonic() > end:
            return
        yield simulate_stamp(seed=number, shape=tuple(given.shape), config=config)


def scored(stages: dict[str, Timed], scenes: Iterator[Scene]) -> list[Row]:
    """Return the rows of all stages, with their speeds."""
    contestants = [Contestant(label, stage) for label, stage in stages.items()]  # type: ignore[arg-type]
    verdict = hold_contest(DeconvolveEvaluation(), contestants, scenes)
    rates = {label: {STAMPS.name: stage.rate} for label, stage in stages.items()}
    return [
        replace(row, values={**row.values, **(rates[row.plugin] if row.of == "all" else {})})
        for row in verdict.rows
    ]


def markdown(names: Sequence[str], rows: Sequence[Row]) -> str:
    """Return a table of some columns; rows and columns without any number are left out."""
    every = {c.name: c for c in (*DeconvolveEvaluation.columns, SPEED, TIME, STAMPS)}
    columns = [every[name] for name in names if any(is_told(row, name) for row in rows)]
    if not columns:
        return ""
    titles = ["plugin", "class", *(f"{c.name}, {c.unit}" if c.unit else c.name for c in columns)]
    lines = ["", _line(titles), _line(["---"] * len(titles))]
    for row in rows:
        if any(is_told(row, c.name) for c in columns):
            cells = [
                format(row.values[c.name], c.form) if is_told(row, c.name) else "" for c in columns
            ]
            lines.append(_line([f"`{row.plugin}`", row.of, *cells]))
    return "\n".join(lines)


def is_told(row: Row, name: str) -> bool:
    """Return whether a row has a number of that name."""
    return not math.isnan(row.values.get(name, math.nan))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
