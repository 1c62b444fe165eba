"""`astroclean check`: everything that can be known before the first pixel."""

from __future__ import annotations

import contextlib
import json
import sys
from collections import Counter
from typing import TYPE_CHECKING

from astroclean.cli.pipeline_arguments import add_pipeline_arguments, pipeline_of, request_of
from astroclean.cli.results import print_result

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from astroclean.runner.plan.plan import FilePlan
    from astroclean.runner.runner import Preflight
    from astroclean.runner.work.outlook import Outlook

__all__ = ["add_arguments", "check", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_pipeline_arguments(parser)


def run(arguments: Namespace) -> int:
    """Run the verb; return the exit status."""
    return check(arguments)


def check(arguments: Namespace) -> int:
    """Check a pipeline and its inputs; print the plan of each file.

    Parameters
    ----------
    arguments : Namespace
        As added by :func:`add_arguments`.

    Returns
    -------
    int
        Exit status: 0 when a run would process every input.
    """
    pipeline = pipeline_of(arguments)
    # On use: `check --help` and a wrong path are told at once.
    from astroclean.report.model import ExitCode  # noqa: PLC0415
    from astroclean.runner.executors import make_executor  # noqa: PLC0415
    from astroclean.runner.runner import Runner  # noqa: PLC0415

    request = request_of(arguments, pipeline)
    made = make_executor(arguments.jobs, fork=arguments.is_program, scheduler=pipeline.scheduler)
    with contextlib.closing(made) as executor:
        preflight = Runner(pipeline, request, output=arguments.output, executor=executor).check()
    if arguments.json:
        print_result(json.dumps(_as_json(preflight), indent=2))
    elif not arguments.quiet:
        _print(preflight, origins=pipeline.origins if arguments.verbose else {})
    for record in preflight.failed:
        print(f"astroclean: would fail: {record.error}", file=sys.stderr)
    return int(ExitCode.SOME_FAILED if preflight.failed else ExitCode.DONE)


def _as_json(preflight: Preflight) -> dict[str, object]:
    return {
        "files": [
            {
                "input": plan.input,
                "instrument": plan.instrument,
                "frames": plan.frames,
                "key": plan.key,
                "outlook": outlook.prospect,
                "reasons": outlook.reasons,
                "contradictions": [*plan.contradictions, *plan.wrong_sums],
                "stages": [
                    {"name": s.name, "plugin": s.plugin, "options": dict(s.options)}
                    for s in plan.specs
                ],
            }
            for outlook in preflight.outlooks
            for plan in [outlook.plan]
        ],
        "failed": [{"input": r.input, "error": r.error} for r in preflight.failed],
        "notes": preflight.notes,
    }


def _print(preflight: Preflight, *, origins: object) -> None:
    for outlook in preflight.outlooks:
        plan = outlook.plan
        print(f"{_line(plan)}; {_told(outlook)}")
        for text in (*plan.contradictions, *plan.wrong_sums):
            print(f"    contradiction: {text}")
    for note in preflight.notes:
        print(f"note: {note}")
    counts = Counter(outlook.prospect.value for outlook in preflight.outlooks)
    counts["would fail"] = len(preflight.failed)
    print(", ".join(f"{count} {what}" for what, count in counts.items() if count))
    if isinstance(origins, dict) and origins:
        print("values and where they come from:")
        for key, origin in sorted(origins.items()):
            print(f"  {key}: {origin}")


def _told(outlook: Outlook) -> str:
    why = "; ".join(outlook.reasons) if outlook.prospect == "again" else ""
    return ": ".join(filter(None, [outlook.prospect.value, why]))


def _line(plan: FilePlan) -> str:
    stages = " -> ".join(spec.name for spec in plan.specs)
    plural = "s" if plan.frames != 1 else ""
    return f"{plan.input}: {plan.instrument}, {plan.frames} frame{plural}: {stages}"
