"""`astroclean inspect FILE...`: what is understood of a file, and what told it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from astroclean.cli.results import print_result
from astroclean.errors import AstrocleanError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

    from astroclean.runner.inspection import FileInspection, FrameInspection

__all__ = ["add_arguments", "run"]

_DOUBTFUL = 2.0
"""Ratio of measured and predicted noise beyond which it is said."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument(
        "inputs", metavar="FILE", nargs="+", help="file, file[HDU], folder, glob or @list.txt"
    )
    parser.add_argument(
        "--instrument", default="auto", metavar="NAME", help="instead of going by the header"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(arguments: Namespace) -> int:
    """Run the verb; return the exit status."""
    # On use: `inspect --help` is told at once.
    from astroclean.io.frames.read import ReadSettings  # noqa: PLC0415
    from astroclean.report.model import ExitCode  # noqa: PLC0415
    from astroclean.runner.inspection import inspect_file  # noqa: PLC0415
    from astroclean.runner.plan.inputs import find_inputs  # noqa: PLC0415

    found = find_inputs(arguments.inputs, base=Path())
    problems = list(found.failed.values())
    inspected: list[FileInspection] = []
    for path in found.files:
        try:
            inspected.append(inspect_file(path, ReadSettings(arguments.instrument)))
        except AstrocleanError as error:
            problems.append(str(error))
            continue
        if not arguments.json:
            print("\n".join(_lines(inspected[-1])))
    if arguments.json:
        print_result(json.dumps([one.model_dump(mode="json") for one in inspected], indent=2))
    for problem in problems:
        print(f"astroclean: {problem}", file=sys.stderr)
    return int(ExitCode.SOME_FAILED if problems else ExitCode.DONE)


def _lines(inspection: FileInspection) -> Iterator[str]:
    yield inspection.input
    yield f"  instrument {inspection.instrument} ({inspection.title}): {inspection.why}"
    for hdu in inspection.hdus:
        shape = " x ".join(str(n) for n in hdu.shape) or "no pixels"
        yield f"  [{hdu.hdu}] {shape}: {hdu.role}, {hdu.why}"
    for frame in inspection.frames:
        yield f"  frame {frame.frame_id}, {frame.shape[1]} x {frame.shape[0]} pixels"
        yield from (f"    {line}" for line in _of_frame(frame))
    for text in inspection.notes:
        yield f"  note: {text}"
    for text in inspection.contradictions:
        yield f"  contradiction: {text}"


def _of_frame(frame: FrameInspection) -> Iterator[str]:
    for name, resolved in frame.values.items():
        shown = f"{resolved.value:g}" if isinstance(resolved.value, float) else resolved.value
        quantity = f"{shown} {resolved.unit}".rstrip()
        yield f"{name.replace('_', ' ')} {quantity}: {resolved.origin}"
    absent = [
        name.replace("_", " ")
        for name in ("gain", "read_noise", "saturation", "pixel_scale", "psf_fwhm")
        if name not in frame.values
    ]
    if absent:
        yield f"not known: {', '.join(absent)}"
    if frame.fwhm_pixels is not None:
        yield f"FWHM {frame.fwhm_pixels:.3g} pixels"
    if frame.mask is not None:
        yield f"mask values: {frame.mask.convention} ({frame.mask.why})"
        values = ", ".join(f"{name} {value}" for name, value in frame.mask.rejecting.items())
        yield f"  rejecting: {values or 'none'}"
    if frame.flagged:
        counts = ", ".join(f"{name} {count}" for name, count in frame.flagged.items())
        yield f"flagged pixels: {counts}"
    yield from _noise(frame)


def _noise(frame: FrameInspection) -> Iterator[str]:
    if frame.noise is None:
        yield "noise: none is seen between neighboring pixels that are usable"
        return
    text = f"sky {frame.sky:.6g}, noise {frame.noise:.4g}"
    if frame.predicted_noise:
        text += f"; {frame.predicted_by} predict {frame.predicted_noise:.4g}"
        ratio = frame.noise / frame.predicted_noise
        if not 1 / _DOUBTFUL <= ratio <= _DOUBTFUL:
            text += ", which it is not"
    yield text
