"""What a notebook shows of frames, sources, results and runs: a table and a small picture."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.flags.planes import MaskPlane, count_planes
from astroclean.core.image.frame import Frame
from astroclean.core.sources.sources import Sources
from astroclean.core.stage.results import StageResult
from astroclean.report.drawing import (
    PLANE_COLORS,
    TIMES,
    Stretch,
    bin_mean,
    draw_flagged,
    draw_marked,
    reduced,
    side_of_blocks,
)
from astroclean.report.model import FileStatus, RunReport
from astroclean.report.view import number

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

__all__ = ["html_of"]

_SIDE = 320
"""Longest side of a picture in pixels."""
_DOTS = 240
_ROWS = 10
_FILES = 20
_COLUMNS = 8
_DECIMALS = {"x": 2, "y": 2, "ra": 5, "dec": 5}
"""Of places, where four digits would not do."""
_SWATCH = "display:inline-block;width:0.7em;height:0.7em;margin-right:0.4em"


def html_of(shown: Any) -> str:
    """Return what a notebook shows of an object.

    Parameters
    ----------
    shown : Frame, Sources, StageResult or RunReport
        Not modified.

    Returns
    -------
    str
        HTML that loads nothing; all texts are escaped.
    """
    if isinstance(shown, Frame):
        return _of_frame(shown)
    if isinstance(shown, Sources):
        return _of_sources(shown)
    if isinstance(shown, StageResult):
        return _of_result(shown)
    return _of_run(shown)


def _of_frame(frame: Frame) -> str:
    ny, nx = frame.shape if len(frame.shape) == 2 else (0, 0)  # noqa: PLR2004 - of a scalar, 0-D
    detector = frame.detector
    rows: dict[str, Any] = {
        "size": f"{nx} {TIMES} {ny} pixels",
        "unit": str(frame.unit),
        "instrument": detector.instrument,
        "gain": _with_unit(detector.gain, "electrons per data number"),
        "read noise": _with_unit(detector.read_noise, "electrons"),
        "pixel scale": _with_unit(detector.pixel_scale, "arcsec"),
        "uncertainty": "yes" if frame.uncertainty is not None else "none",
        "PSF": f"{frame.psf.fwhm_pixels:.3g} pixels FWHM" if frame.psf is not None else "none",
        "sources": "none" if frame.sources is None else f"{len(frame.sources):,}",
        "masked": f"{number(int(np.count_nonzero(frame.mask)))} pixels",
        "stages": ", ".join(entry.stage for entry in frame.history) or "none",
    }
    counts = count_planes(frame.flags)
    picture = _picture_of(frame) if nx and ny else ""
    return _beside(
        picture, _title("Frame", frame.frame_id) + _pairs(rows) + _legend(counts, _drawn(frame))
    )


def _picture_of(frame: Frame) -> str:
    """Return the frame as an image element, with pixels that are masked in the plane's color."""
    factor = side_of_blocks(frame.shape, _SIDE)
    flags = reduced(np.bitwise_or, frame.flags, factor, np.uint32)
    picture = bin_mean(frame.data, factor)
    usable = reduced(np.bitwise_or, frame.usable, factor, np.bool_)
    marked = {name: (flags & np.uint32(MaskPlane[name])) != 0 for name in _drawn(frame)}
    seen = {name: where for name, where in marked.items() if where.any()}
    ny, nx = picture.shape
    zoom = max(1, _SIDE // max(ny, nx))
    uri = draw_flagged(picture, Stretch.of(picture, usable), seen)
    return _image(uri, (nx * zoom, ny * zoom), frame.frame_id)


def _drawn(frame: Frame) -> list[str]:
    """Return the planes whose pixels have their color in the picture: those that reject."""
    return [str(plane.name) for plane in MaskPlane if plane & frame.reject_bits]


def _of_result(result: StageResult) -> str:
    rows: dict[str, Any] = {
        "outcome": str(result.outcome),
        **{name: number(value) for name, value in result.metrics.items()},
        "layers": ", ".join(result.layers) or "none",
    }
    stage = result.frame.history[-1].stage if result.frame.history else ""
    return f"<div>{_title('Result', stage)}{_pairs(rows)}{_of_frame(result.frame)}</div>"


def _of_sources(sources: Sources) -> str:
    names = list(sources.table.colnames)[:_COLUMNS]
    head = [
        name if c.unit is None else f"{name} ({c.unit})" for name, c in _columns(sources, names)
    ]
    cells = [[_cell(name, row[name]) for name in names] for row in sources.table[:_ROWS]]
    left = len(sources) - len(cells)
    hidden = len(sources.table.colnames) - len(names)
    note = [f"{left:,} more sources"] * (left > 0) + [f"{hidden} more columns"] * (hidden > 0)
    picture = _places_of(sources) if len(sources) else ""
    title = _title("Sources", f"{len(sources):,}")
    return _beside(picture, title + _table(head, cells) + _small(", ".join(note)))


def _columns(sources: Sources, names: Iterable[str]) -> list[tuple[str, Any]]:
    return [(name, sources.table[name].info) for name in names]


def _places_of(sources: Sources) -> str:
    """Return where the sources lie as an image element: of each a dot, or the pixels it has."""
    labels = sources.segmentation
    if labels is not None and labels.size:
        factor = side_of_blocks(labels.shape, _SIDE)
        marked = reduced(np.bitwise_or, labels != 0, factor, np.bool_)
    else:
        x, y = (np.asarray(sources.table[name], dtype=float) for name in ("x", "y"))
        known = np.isfinite(x) & np.isfinite(y)
        ny, nx = sources.grid.shape if sources.grid is not None else _reach(y[known], x[known])
        step = max(nx, ny, 1) / _DOTS
        marked = np.zeros((int(ny / step) + 1, int(nx / step) + 1), dtype=bool)
        rows, columns = ((p[known] + 0.5) / step for p in (y, x))
        inside = (rows >= 0) & (columns >= 0) & (rows < ny / step) & (columns < nx / step)
        marked[rows[inside].astype(int), columns[inside].astype(int)] = True
    uri = draw_marked(marked, PLANE_COLORS["SOURCE"])
    height, width = marked.shape
    return _image(uri, (width, height), "places of the sources", "border:1px solid #888;")


def _reach(*places: Any) -> tuple[int, int]:
    y, x = (int(p.max()) + 1 if p.size else 1 for p in places)
    return max(y, 1), max(x, 1)


def _of_run(report: RunReport) -> str:
    counts = {str(s): report.count(s) for s in FileStatus if report.count(s)}
    rows: dict[str, Any] = {
        "files": ", ".join(f"{n:,} {status}" for status, n in counts.items()) or "none",
        "suspect": sum(bool(file.suspect) for file in report.files) or None,
        "exit status": report.exit_code,
        "folder": report.output,
        "report": None if report.page is None else str(report.page),
    }
    cells = [
        [str(f.status), f.input, f.error or ", ".join(f.outputs)] for f in report.files[:_FILES]
    ]
    left = len(report.files) - len(cells)
    table = _table(["status", "file", "written"], cells) + _small(
        f"{left:,} more files" if left > 0 else ""
    )
    frames = (frame for file in report.files for frame in file.frames if frame.previews)
    first = next(frames, None)
    picture = ""
    if first is not None:
        shown = first.previews[0]
        zoom = _SIDE / max(shown.width, shown.height)
        size = (round(shown.width * zoom), round(shown.height * zoom))
        picture = _image(shown.after, size, f"{first.frame_id} after the run")
    title = _title("Run", report.description)
    return _beside(picture, title + _pairs(rows) + (table if cells else ""))


def _cell(name: str, value: Any) -> str:
    """Return a value of a catalogue as text; an id is no quantity, and keeps its digits."""
    plain = getattr(value, "value", value)
    if np.ma.is_masked(plain):
        return number(None)
    if not isinstance(plain, (float, np.floating)):
        return str(plain)
    is_place = name in _DECIMALS and np.isfinite(plain)
    return f"{plain:.{_DECIMALS[name]}f}" if is_place else number(float(plain))


def _with_unit(value: float | None, unit: str) -> str | None:
    return None if value is None else f"{number(value)} {unit}"


def _title(kind: str, name: str) -> str:
    return f"<p style='margin:0 0 0.4em'><b>{kind}</b> {html.escape(name)}</p>"


def _small(text: str) -> str:
    return f"<p style='margin:0.4em 0 0'><small>{html.escape(text)}</small></p>" if text else ""


def _pairs(rows: Mapping[str, Any]) -> str:
    lines = [
        f"<tr><th style='text-align:left'>{html.escape(str(name))}</th>"
        f"<td style='text-align:left'>{html.escape(str(value))}</td></tr>"
        for name, value in rows.items()
        if value is not None
    ]
    return f"<table>{''.join(lines)}</table>"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = "".join(f"<th>{html.escape(title)}</th>" for title in head)
    lines = ["".join(f"<td>{html.escape(text)}</td>" for text in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"


def _legend(counts: Mapping[str, int], drawn: Collection[str]) -> str:
    """Return how many pixels have each plane; with its color where the picture has that."""
    colors = {name: f";background:{PLANE_COLORS[name]}" for name in drawn}
    lines = [
        f"<tr><td style='text-align:left'><span style='{_SWATCH}{colors.get(name, '')}'>"
        f"</span>{name}</td><td>{number(count)}</td></tr>"
        for name, count in counts.items()
    ]
    return f"<table>{''.join(lines)}</table>" if lines else ""


def _image(uri: str, size: tuple[int, int], text: str, style: str = "") -> str:
    width, height = size
    return (
        f"<img src='{uri}' width='{width}' height='{height}' alt='{html.escape(text)}' "
        f"style='image-rendering:pixelated;{style}'>"
    )


def _beside(picture: str, text: str) -> str:
    return (
        "<div style='display:flex;flex-wrap:wrap;gap:1em;align-items:flex-start'>"
        f"<div>{picture}</div><div>{text}</div></div>"
    )
