"""Score astroclean's plugins and the peers of the field on the same truth.

    python benchmarks/compare.py DATA_FOLDER RESULT_FOLDER [--only mask,deblend] [--again]

Every plugin runs in a process of its own, one after the other. Writes ``NAME.json`` and ``NAME.md``
for each contest of ``contests.py`` into RESULT_FOLDER. Entries whose result is there already are
kept, so that a run can go on after a stop; ``--again`` scores them anew.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from contests import CONTESTS, Contest, Entry
from machine import processor

from astroclean.evaluation.contest import SPEED
from astroclean.evaluation.evaluation import find_evaluation
from astroclean.evaluation.table import Column
from astroclean.report.environment import versions

CHILD = Path(__file__).with_name("score_entry.py")
PEERS = ("MaxiMask", "deepCR", "cosmic-conn", "scarlet2", "torch", "tensorflow-cpu", "jax")
COSTS = (
    Column("first run, s", "with loading and compiling", "s", ".1f"),
    Column("memory before, MB", "", "MB", ".0f"),
    Column("peak memory, MB", "", "MB", ".0f"),
)


def main() -> None:
    """Run the contests that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("data", type=Path, help="folder with the STIS file")
    parser.add_argument("results", type=Path, help="where tables are written")
    parser.add_argument("--only", default="", help="names of contests, with commas")
    parser.add_argument("--again", action="store_true", help="score all anew")
    arguments = parser.parse_args()
    arguments.results.mkdir(parents=True, exist_ok=True)
    wanted = [name for name in arguments.only.split(",") if name]
    for contest in CONTESTS:
        if not wanted or contest.name in wanted:
            run_contest(contest, arguments.data, arguments.results, again=arguments.again)


def run_contest(contest: Contest, data: Path, results: Path, *, again: bool) -> None:
    """Score every entry and write the table after each."""
    path = results / f"{contest.name}.json"
    known = {} if again or not path.exists() else json.loads(path.read_text("utf-8"))["entries"]
    kept = {label: found for label, found in known.items() if "failed" not in found}
    for entry in contest.entries:
        if entry.label not in kept:
            print(f"{contest.name}: {entry.label}", flush=True)
            kept[entry.label] = score_apart(contest, entry, data)
            ordered = {e.label: kept[e.label] for e in contest.entries if e.label in kept}
            told = {**about(contest), "entries": ordered}
            path.write_text(json.dumps(told, indent=1), "utf-8")
            path.with_suffix(".md").write_text(to_markdown(contest, told), "utf-8")


def score_apart(contest: Contest, entry: Entry, data: Path) -> dict[str, Any]:
    """Return what a child process found, or how it failed."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        words = [sys.executable, str(CHILD), contest.name, entry.label, str(data), str(result)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            print(f"  failed: {last}", flush=True)
            return {"label": entry.label, "failed": last, "rows": []}
        told: dict[str, Any] = json.loads(result.read_text("utf-8"))
        return {**told, "date": time.strftime("%Y-%m-%d")}


def about(contest: Contest) -> dict[str, Any]:
    """Return what was scored, and on what machine."""
    found = versions()
    for name in PEERS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "contest": contest.name,
        "kind": contest.kind,
        "simulator": contest.simulator,
        "settings": dict(contest.settings),
        "seed": contest.seed,
        "count": contest.count,
        "shape": contest.shape,
        "cpu": processor(),
        "versions": found,
    }


def to_markdown(contest: Contest, told: dict[str, Any]) -> str:
    """Return the scores and the costs as two tables."""
    columns = [
        column
        for column in find_evaluation(contest.kind).columns
        if any(row.get(column.name) is not None for row in _rows(told))
    ]
    lines = [_caption(told), "", _heading(["plugin", "class", *(c.name for c in columns)])]
    for entry in told["entries"].values():
        for row in entry["rows"]:
            cells = [_cell(row, column) for column in columns]
            lines.append(_line([f"`{entry['label']}`", row["class"], *cells]))
    lines += ["", _heading(["plugin", "speed, Mpix/s", *(column.name for column in COSTS)])]
    for entry in told["entries"].values():
        speed = _cell(entry["rows"][0], SPEED) if entry["rows"] else entry.get("failed", "-")
        cells = [_cell(entry, column) for column in COSTS]
        lines.append(_line([f"`{entry['label']}`", speed, *cells]))
    return "\n".join(lines) + "\n"


def _caption(told: dict[str, Any]) -> str:
    """Return what was scored, when and on what, in one line."""
    dates = sorted({entry["date"] for entry in told["entries"].values() if "date" in entry})
    ny, nx = told["shape"]
    scenes = f"{told['simulator']}, {told['count']} of {ny} x {nx}, from seed {told['seed']}"
    settings = ", ".join(f"{key} = {value}" for key, value in told["settings"].items())
    versions = ", ".join(f"{name} {version}" for name, version in told["versions"].items())
    return "; ".join(filter(None, [scenes, settings, *dates, told["cpu"], versions]))


def _rows(told: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for entry in told["entries"].values() for row in entry["rows"]]


def _heading(titles: list[str]) -> str:
    return _line(titles) + "\n" + _line(["---"] * len(titles))


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(row: dict[str, Any], column: Column) -> str:
    value = row.get(column.name)
    return "-" if value is None else format(value, column.form)


if __name__ == "__main__":
    main()
