"""Measure the figures of a plugin's model card, and write them into it.

    python benchmarks/model_card.py plugins/maximask [--only NAME,NAME] [--print-only]

``metrics.toml`` of the plugin names tables, each with the words of an `astroclean` command that
prints JSON, and the columns to show. The commands run in the folder of the plugin, so that figures
are written there. What was measured goes into ``metrics.json`` with date,
versions and processor; the tables of ``MODEL_CARD.md`` between ``<!-- table: NAME -->`` and
``<!-- end -->`` are written anew from there. ``--print-only`` measures nothing. Words may hold
``$NAME`` of the environment, such as the folder of real data,
``$ASTROCLEAN_TEST_DATA`` (by default ``../shared/data`` beside the repository).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import tomllib
from pathlib import Path
from typing import Any

from machine import processor, today

from astroclean.cli.main import main as astroclean
from astroclean.report.environment import versions

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
VARIABLE = re.compile(r"\$(\w+)")
MARKED = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def measure(words: list[str]) -> dict[str, Any]:
    """Run a command of astroclean and return the JSON that it prints."""
    given = [os.path.expandvars(word) for word in words]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = astroclean([*given, "--json"])
    if status:
        raise SystemExit(f"astroclean {' '.join(given)} ended with {status}")
    text = printed.getvalue()
    # The table repeats what it was given; where the data lay is nobody's business.
    for name in VARIABLE.findall(" ".join(words)):
        text = text.replace(os.environ[name], f"${name}")
    table: dict[str, Any] = json.loads(text)
    return {
        "command": "astroclean " + " ".join(words),
        "date": today(),
        "versions": versions(),
        "processor": processor(),
        **table,
    }


def shown(measured: dict[str, Any], columns: dict[str, str]) -> str:
    """Return a table in Markdown, with what it was measured with."""
    titles = ["plugin", "class", *columns]
    lines = [f"| {' | '.join(titles)} |", "|" + " --- |" * len(titles)]
    for row in measured["rows"]:
        cells = [
            "-" if row.get(name) is None else format(row[name], form)
            for name, form in columns.items()
        ]
        lines.append(f"| {' | '.join([row['plugin'], row['class'], *cells])} |")
    told = f"`{measured['command']}`, {measured['date']}, {measured['processor']}"
    return "\n".join([*lines, "", told, ""])


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("plugin", type=Path, help="folder of the plugin")
    parser.add_argument("--only", default="", help="names of tables, with commas")
    parser.add_argument("--print-only", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    plan = tomllib.loads((arguments.plugin / "metrics.toml").read_text("utf-8"))["table"]
    store = arguments.plugin / "metrics.json"
    known = json.loads(store.read_text("utf-8")) if store.is_file() else {}
    os.environ.setdefault("ASTROCLEAN_TEST_DATA", str(DATA))
    wanted = [name for name in arguments.only.split(",") if name] or list(plan)
    if not arguments.print_only:
        for name in wanted:
            print(name, flush=True)
            with contextlib.chdir(arguments.plugin):
                known[name] = measure(plan[name]["command"])
            store.write_text(json.dumps(known, indent=1) + "\n", "utf-8")
    card = arguments.plugin / "MODEL_CARD.md"
    card.write_text(
        MARKED.sub(
            lambda m: (
                m[1] + shown(known[m[2]], plan[m[2]]["columns"]) + m[3]
                if m[2] in known.keys() & plan
                else m[0]
            ),
            card.read_text("utf-8"),
        ),
        "utf-8",
    )


if __name__ == "__main__":
    main()
