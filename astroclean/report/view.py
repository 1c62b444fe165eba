"""Numbers and rows as the page shows them: what is not worth writing in a template."""

from __future__ import annotations

import bisect
import json
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from astroclean.core.flags.planes import REJECTING, MaskPlane
from astroclean.report.axes import plot_of, spectrum_of
from astroclean.report.chances import THRESHOLDS
from astroclean.report.drawing import PLANE_COLORS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from astroclean.report.model import FileRecord, FrameRecord, RunReport
    from astroclean.report.picture_records import ThresholdRecord

__all__ = ["FILTERS", "FUNCTIONS", "number", "settings"]

_ROUNDING = 1e-9
_CAUSES = {str(plane.name) for plane in REJECTING}
_TREATED = {"INTERPOLATED", "INPAINTED", "REMOVED", "CLIPPED"}
_NOTHING = "\N{EN DASH}"

Row = tuple[str, str, str]


def number(value: float | None) -> str:
    """Spell a number for a table.

    Parameters
    ----------
    value : float or None
        A count, a measured value, or nothing.

    Returns
    -------
    str
        Whole numbers with thousands separators, others with four significant digits.
    """
    if value is None:
        return _NOTHING
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "-∞"}.get(value, "NaN")
    if float(value).is_integer() and abs(value) < 1e15:  # noqa: PLR2004 - exact in a double
        return f"{int(value):,}"
    if not 1e-3 <= abs(value) < 1e10:  # noqa: PLR2004 - where digits are counted with difficulty
        return f"{value:.3e}"
    rounded = float(f"{value:.3e}")  # 0.99999 has the digits of 1
    return f"{value:,.{max(0, 3 - math.floor(math.log10(abs(rounded))))}f}"


def _duration(seconds: float) -> str:
    if seconds < 0.9995:  # noqa: PLR2004 - what rounds to one second
        return f"{1000 * seconds:.0f} ms"
    if seconds < 59.95:  # noqa: PLR2004 - what rounds to one minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _moment(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    moment = moment.astimezone(UTC) if moment.tzinfo else moment
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _percent(part: float, total: float) -> str:
    if not total:
        return _NOTHING
    share = 100 * part / total
    return f"{share:.2g} %" if share < 9.95 else f"{share:.0f} %"  # noqa: PLR2004 - two digits


def _href(name: str, root: str = "./") -> str:
    # The leading "./" keeps a name with a colon or two slashes from naming another scheme or host.
    return root + quote(name)


def _planes_of(frame: FrameRecord) -> list[dict[str, Any]]:
    """Return one row for each plane that the frame had, has, or shows."""
    drawn = {name for preview in frame.previews for name in preview.planes}
    names = {*frame.flagged_before, *frame.flagged_after, *drawn}
    known = list(MaskPlane.__members__)
    ordered = sorted(names, key=lambda n: (known.index(n) if n in known else len(known), n))
    return [
        {
            "name": name,
            "color": _color_of(name),
            "meaning": MaskPlane[name].meaning if name in known else "",
            "before": frame.flagged_before.get(name, 0),
            "after": frame.flagged_after.get(name, 0),
            "drawn": name in drawn,
        }
        for name in ordered
    ]


def _outlined_of(frame: FrameRecord) -> set[str]:
    """Return the planes whose outlines are shown from the beginning: what is wrong with pixels.

    Where nothing is, what was done to them.
    """
    drawn = {name for view in frame.previews if view.is_outlined for name in view.planes}
    causes = {name for name in drawn if name in _CAUSES}
    return causes or drawn & _TREATED


def _statistics_of(frame: FrameRecord) -> list[tuple[str, float | None, float | None, bool]]:
    """Return rows (name, before, after, paired) from keys such as ``median before``."""
    rows: dict[str, dict[str, float | None]] = {}
    for key, value in frame.statistics.items():
        words = key.replace("_", " ").split()
        side = next((w for w in ("before", "after") if w in words), "")
        name = " ".join(w for w in words if w != side)
        rows.setdefault(name, {})[side] = value
    return [
        (name, row.get("before", row.get("")), row.get("after"), "" not in row)
        for name, row in rows.items()
    ]


def settings(report: RunReport) -> list[tuple[str, list[Row]]]:
    """List the configuration as tables.

    Parameters
    ----------
    report : RunReport
        The run. Not modified.

    Returns
    -------
    list of (str, list of (str, str, str))
        Title and rows; a row is key, value and the layer that set it.
    """
    top: list[Row] = []
    tables: list[tuple[str, list[Row]]] = [("pipeline", top)]
    for section, value in report.config.items():
        if section == "stage" and isinstance(value, (list, tuple)):
            tables.extend(
                _stage_settings(i, stage, report.origins) for i, stage in enumerate(value)
            )
        elif isinstance(value, dict):
            tables.append((section, _rows(section, value, report.origins)))
        else:
            top.append((section, _literal(value), report.origins.get(section, "")))
    return [(title, rows) for title, rows in tables if rows]


def _stage_settings(index: int, stage: Any, origins: Mapping[str, str]) -> tuple[str, list[Row]]:
    if not isinstance(stage, dict):
        return f"stage {index + 1}", [("", _literal(stage), "")]
    name = str(stage.get("name") or stage.get("plugin", ""))
    options = stage.get("options") or {}
    rows = [("plugin", _literal(stage.get("plugin", name)), "pipeline")]
    return f"stage {index + 1}: {name}", rows + _rows(name, options, origins)


def _rows(target: str, table: Mapping[str, Any], origins: Mapping[str, str]) -> list[Row]:
    return [
        (str(key), _literal(value), origins.get(f"{target}.{key}", "default"))
        for key, value in table.items()
    ]


def _words(name: str) -> str:
    return name.replace("_", " ").replace("psf fwhm", "PSF, FWHM")


def _step_of(told: ThresholdRecord) -> int | None:
    """Return the place of a threshold among those of the slider; of one between them, the next."""
    if told.threshold is None:
        return None
    return min(bisect.bisect_left(THRESHOLDS, told.threshold - _ROUNDING), len(THRESHOLDS) - 1)


def _color_of(plane: str) -> str:
    return PLANE_COLORS.get(plane, "#888888")


def _literal(value: Any) -> str:
    return _NOTHING if value is None else json.dumps(value, ensure_ascii=False, default=str)


def _parts_of(file: FileRecord) -> list[str]:
    """Return what a person would say of a file in one line."""
    changed = sum(frame.pixels_changed for frame in file.frames)
    frames = len(file.frames)
    parts = [file.instrument] if file.instrument else []
    if frames:
        parts.append(f"{frames:,} frame{'s' * (frames != 1)}")
        parts.append(f"{changed:,} pixel{'s' * (changed != 1)} changed")
        for word in ("replaced_by", "result"):
            names = dict.fromkeys(getattr(frame, word) for frame in file.frames)
            told = ", ".join(name for name in names if name)
            if told:
                parts.append(f"replaced by {told}" if word == "replaced_by" else f"{told} made")
                break
    return [*parts, _duration(file.seconds)]


def _squared(unit: str) -> str:
    return f"{unit}²" if unit.isalpha() else f"({unit})²"


FILTERS: dict[str, Callable[..., str]] = {
    "number": number,
    "duration": _duration,
    "moment": _moment,
    "percent": _percent,
    "href": _href,
    "squared": _squared,
    "words": _words,
    "literal": _literal,
}
"""Filters of the template."""

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "planes_of": _planes_of,
    "outlined_of": _outlined_of,
    "statistics_of": _statistics_of,
    "plot_of": plot_of,
    "spectrum_of": spectrum_of,
    "parts_of": _parts_of,
    "color_of": _color_of,
    "step_of": _step_of,
}
"""Functions that the template calls."""
