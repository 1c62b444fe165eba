"""Score one plugin of one contest in a process of its own, so that its peak memory is its own.

Called by ``compare.py``: ``python score_entry.py CONTEST LABEL DATA_FOLDER RESULT.json``.
"""

from __future__ import annotations

import itertools
import json
import math
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contests import CONTESTS

from astroclean.core.flags.planes import REJECTING
from astroclean.evaluation.contest import Contestant, hold_contest
from astroclean.evaluation.evaluation import find_evaluation
from astroclean.evaluation.scenes import observed_scenes, simulated_scenes
from astroclean.io.frames.read import ReadSettings
from astroclean.registry.load import load_stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contests import Contest, Entry

    from astroclean.simulate.scene import Scene

STIS = "hst_stis_m33_pair_top_flt.fits.gz"


def scenes_of(contest: Contest, data: Path) -> Iterator[Scene]:
    """Return the scenes, the same in every process."""
    if contest.simulator == "stis-pair":
        settings = ReadSettings("auto", {}, REJECTING)
        return observed_scenes(contest.simulator, [str(data / STIS)], settings=settings)
    return simulated_scenes(
        contest.simulator,
        seed=contest.seed,
        count=contest.count,
        shape=contest.shape,
        settings=contest.settings,
    )


def peak_memory() -> float:
    """Return the largest memory that this process or a child of it ever held, in MB."""
    users = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return max(resource.getrusage(user).ru_maxrss for user in users) * 1024 / 1e6


def score(contest: Contest, entry: Entry, data: Path) -> dict[str, Any]:
    """Return the rows of a plugin, with its time and memory."""
    evaluation = find_evaluation(contest.kind)
    stage = load_stage(entry.plugin, **entry.options)
    scenes = scenes_of(contest, data)
    first = next(scenes)
    before = peak_memory()
    begun = time.perf_counter()
    # The first run also loads libraries and weights and compiles; it does not count as speed.
    catalogued = replace(first, frame=first.frame.replace(sources=first.sources))
    stage.run(evaluation.present(catalogued, stage))
    loading = time.perf_counter() - begun
    sweep = tuple(load_stage(entry.plugin, **{**entry.options, **more}) for more in entry.sweep)
    contestant = Contestant(entry.label, stage, sweep)
    verdict = hold_contest(evaluation, [contestant], itertools.chain([first], scenes))
    rows = [
        {"class": row.of, **{key: _plain(value) for key, value in row.values.items()}}
        for row in verdict.rows
    ]
    return {
        "label": entry.label,
        "plugin": entry.plugin,
        "options": dict(entry.options),
        "rows": rows,
        "first run, s": loading,
        "memory before, MB": before,
        "peak memory, MB": peak_memory(),
    }


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def main() -> None:
    """Score and write."""
    name, label, data, result = sys.argv[1:]
    contest = next(contest for contest in CONTESTS if contest.name == name)
    entry = next(entry for entry in contest.entries if entry.label == label)
    Path(result).write_text(json.dumps(score(contest, entry, Path(data))), "utf-8")


if __name__ == "__main__":
    main()
