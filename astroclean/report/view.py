"""Numbers, rows and axes as the page shows them: what is not worth writing in a template."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from astroclean.core.flags.planes import MaskPlane
from astroclean.report.drawing import PLANE_COLORS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from astroclean.report.model import FileRecord, FrameRecord, Histogram, RunReport, Spectrum

__all__ = ["FILTERS", "FUNCTIONS", "number", "settings"]

_PLOT = (420, 240)
_MARGIN = (54, 14, 42, 10)  # left, right, bottom, top
_FLOOR = -0.3  # log of half a pixel, so that a single one stands above the axis

_DYNAMIC = 12  # decades of power that a page can show
_DECADE_APART = 1.5  # decades of an axis above which 2 and 5 have no room beside 1

_KEY = 0.1  # of the height of a plot, left to the key above lines that do not fall
_NYQUIST = 0.5  # cycles a pixel
_ROUNDING = 1e-9

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


def _href(name: str) -> str:
    # The leading "./" keeps a name with a colon or two slashes from naming another scheme or host.
    return "./" + quote(name)


def _planes_of(frame: FrameRecord) -> list[dict[str, Any]]:
    """Return one row for each plane that the frame had, has, or shows."""
    drawn = {name for preview in frame.previews for name in preview.planes}
    names = {*frame.flagged_before, *frame.flagged_after, *drawn}
    known = list(MaskPlane.__members__)
    ordered = sorted(names, key=lambda n: (known.index(n) if n in known else len(known), n))
    return [
        {
            "name": name,
            "color": PLANE_COLORS.get(name, "#888888"),
            "meaning": MaskPlane[name].meaning if name in known else "",
            "before": frame.flagged_before.get(name, 0),
            "after": frame.flagged_after.get(name, 0),
            "drawn": name in drawn,
        }
        for name in ordered
    ]


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
    return [*parts, _duration(file.seconds)]


def _plot_of(histogram: Histogram) -> dict[str, Any]:
    """Return the geometry of a histogram with logarithmic counts."""
    (width, height), (left, right, bottom, top) = _PLOT, _MARGIN
    edges = histogram.edges
    decades = max(1, math.ceil(math.log10(max(*histogram.before, *histogram.after, 2))))

    def across(value: float) -> float:
        return left + (width - left - right) * (value - edges[0]) / (edges[-1] - edges[0])

    def up(count: float) -> float:
        level = math.log10(count) if count > 0 else _FLOOR
        return height - bottom - (height - bottom - top) * (level - _FLOOR) / (decades - _FLOOR)

    def steps(counts: list[int]) -> str:
        path = f"M{left} {up(0):.1f}"
        for start, stop, count in zip(edges, edges[1:], counts, strict=False):
            path += f"L{across(start):.1f} {up(count):.1f}L{across(stop):.1f} {up(count):.1f}"
        return path + f"L{width - right} {up(0):.1f}"

    return {
        "width": width,
        "height": height,
        "box": (left, top, width - right, height - bottom),
        "before": steps(histogram.before),
        "after": steps(histogram.after),
        "x_ticks": [(across(v), label) for v, label in _ticks(edges[0], edges[-1])],
        "y_ticks": [(up(10**d), _power(d)) for d in range(0, decades + 1, 1 + decades // 5)],
    }


def _spectrum_of(spectrum: Spectrum) -> dict[str, Any]:
    """Return the geometry of power spectra with both axes logarithmic."""
    (width, height), (left, right, bottom, top) = _PLOT, _MARGIN
    first, last = math.log10(spectrum.frequency[0]), math.log10(_NYQUIST)
    low, high = _power_range(spectrum)

    def across(frequency: float) -> float:
        return left + (width - left - right) * (math.log10(frequency) - first) / (last - first)

    def up(power: float) -> float:
        level = max(math.log10(power), low) if power > 0 else low
        return height - bottom - (height - bottom - top) * (level - low) / (high - low)

    def line(powers: list[float]) -> str:
        points = zip(spectrum.frequency, powers, strict=True)
        return "M" + "L".join(f"{across(f):.1f} {up(power):.1f}" for f, power in points)

    decades = range(math.ceil(low), math.floor(high) + 1)
    return {
        "width": width,
        "height": height,
        "box": (left, top, width - right, height - bottom),
        "before": line(spectrum.before),
        "after": line(spectrum.after),
        "x_ticks": [(across(f), label) for f, label in _frequency_ticks(first, last)],
        "y_ticks": [(up(10.0**d), _power(d)) for d in decades[:: 1 + len(decades) // 6]],
    }


def _power_range(spectrum: Spectrum) -> tuple[float, float]:
    """Return limits of an axis of log power that has two decades to read it by."""
    levels = [math.log10(p) for p in (*spectrum.before, *spectrum.after) if p > 0]
    high = max(levels) + 0.1
    low = max(min(levels) - 0.1, high - _DYNAMIC)
    if math.floor(high) - math.ceil(low) < 1:
        low, high = math.floor(low), math.ceil(high)
        high += low == high
    return low, high + _KEY * (high - low)


def _frequency_ticks(first: float, last: float) -> list[tuple[float, str]]:
    """Return round frequencies between two logarithms, with their labels."""
    wide = last - first >= _DECADE_APART
    ticks: list[tuple[float, str]] = []
    for place in range(math.floor(first), math.floor(last) + 1):
        for digit in range(1, 10):
            value = float(f"{digit}e{place}")
            shown = digit == 1 or value == _NYQUIST or (digit in {2, 5} and not wide)
            if first - _ROUNDING <= math.log10(value) <= last + _ROUNDING:
                ticks.append((value, f"{value:g}" if shown else ""))
    return ticks


def _squared(unit: str) -> str:
    return f"{unit}²" if unit.isalpha() else f"({unit})²"


def _power(exponent: int) -> str:
    digits = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
    if exponent in {-1, 0, 1}:
        return f"{10.0**exponent:g}"
    return "10" + str(exponent).translate(digits)


def _ticks(low: float, high: float, wanted: int = 5) -> list[tuple[float, str]]:
    """Return round values between two limits, with their labels."""
    raw = (high - low) / wanted
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= raw * 0.999)
    values = [step * n for n in range(math.ceil(low / step), math.floor(high / step) + 1)]
    if any(v and not 1e-3 <= abs(v) < 1e6 for v in (low, high, step)):  # noqa: PLR2004 - as number
        return [(v, f"{v:.4g}") for v in values]
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    return [(v, f"{v:,.{places}f}") for v in values]


FILTERS: dict[str, Callable[..., str]] = {
    "number": number,
    "duration": _duration,
    "moment": _moment,
    "percent": _percent,
    "href": _href,
    "squared": _squared,
}
"""Filters of the template."""

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "planes_of": _planes_of,
    "statistics_of": _statistics_of,
    "plot_of": _plot_of,
    "spectrum_of": _spectrum_of,
    "parts_of": _parts_of,
}
"""Functions that the template calls."""
