"""A figure of curves as SVG, written as text: no plotting library is needed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Axes", "Curve", "draw_figure"]

# Okabe & Ito: told apart by color-blind readers too.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("", "7 4", "2 3")
_NAMESPACE = "http://www.w3.org/2000/svg"
_WIDTH, _HEIGHT = 640, 460
_LEFT, _TOP, _RIGHT, _BOTTOM = 62, 34, 618, 402
_LEGEND_LINE = 18
_MOST_POINTS = 400


@dataclass(frozen=True)
class Curve:
    """A line, or single points where ``joined`` is false."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    joined: bool = True


@dataclass(frozen=True)
class Axes:
    """Titles and ranges; ``x`` is logarithmic."""

    title: str
    x: str
    y: str
    x_range: tuple[float, float] = (1e-5, 1.0)
    y_range: tuple[float, float] = (0.0, 1.0)


def draw_figure(curves: Sequence[Curve], axes: Axes) -> str:
    """Return the figure as the text of an SVG file.

    Parameters
    ----------
    curves : sequence of Curve
        Points left of the range are drawn at its edge; those not finite are left out.
    axes : Axes
        Titles and ranges.

    Returns
    -------
    str
        The same curves give the same text.
    """
    height = _HEIGHT + _LEGEND_LINE * ((len(curves) + 1) // 2)
    parts = [
        f'<svg xmlns="{_NAMESPACE}" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif">',
        f"<title>{escape(axes.title)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        *_frame(axes),
    ]
    for index, curve in enumerate(curves):
        color = _COLORS[index % len(_COLORS)]
        dash = _DASHES[index // len(_COLORS) % len(_DASHES)]
        parts += _drawn(curve, axes, color, dash)
        parts += _entry(curve.label, index, color, dash)
    return "\n".join([*parts, "</svg>", ""])


def _frame(axes: Axes) -> list[str]:
    low, high = axes.x_range
    parts = [
        f'<path d="M{_LEFT} {_TOP}H{_RIGHT}V{_BOTTOM}H{_LEFT}Z" fill="none" stroke="#444"/>',
        _text((_LEFT + _RIGHT) / 2, 20, axes.title, size=14),
        _text((_LEFT + _RIGHT) / 2, _BOTTOM + 38, axes.x),
        f'<g transform="rotate(-90 16 {(_TOP + _BOTTOM) / 2})">'
        + _text(16, (_TOP + _BOTTOM) / 2, axes.y)
        + "</g>",
    ]
    for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1):
        x = _x(10.0**power, axes)
        parts.append(f'<path d="M{x:.1f} {_TOP}V{_BOTTOM}" stroke="#ddd"/>')
        parts.append(_text(x, _BOTTOM + 17, f"1e{power}" if power else "1"))
    bottom, top = axes.y_range
    for step in range(6):
        value = bottom + (top - bottom) * step / 5
        y = _y(value, axes)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_RIGHT}" stroke="#ddd"/>')
        parts.append(_text(_LEFT - 8, y + 4, f"{value:.1f}", anchor="end"))
    return parts


def _x(value: float, axes: Axes) -> float:
    low, high = (math.log10(v) for v in axes.x_range)
    place = (math.log10(max(value, axes.x_range[0])) - low) / (high - low)
    return _LEFT + (_RIGHT - _LEFT) * min(place, 1)


def _y(value: float, axes: Axes) -> float:
    low, high = axes.y_range
    return _BOTTOM - (_BOTTOM - _TOP) * min(max((value - low) / (high - low), 0), 1)


def _drawn(curve: Curve, axes: Axes, color: str, dash: str) -> list[str]:
    points = [
        (_x(x, axes), _y(y, axes))
        for x, y in zip(curve.x, curve.y, strict=True)
        if math.isfinite(x) and math.isfinite(y)
    ]
    if not points:
        return []
    if not curve.joined or len(points) == 1:
        return [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{color}"/>' for x, y in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in _thinned(points))
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return [f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"{dashed}/>']


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Drop points that fall on their neighbor, then all but an even choice."""
    kept = [points[0]]
    for point in points[1:]:
        if math.dist(point, kept[-1]) > 0.5:  # noqa: PLR2004 - half a pixel
            kept.append(point)
    step = len(kept) // _MOST_POINTS + 1
    chosen = kept[::step]
    return chosen if chosen[-1] == points[-1] else [*chosen, points[-1]]


def _entry(label: str, index: int, color: str, dash: str) -> list[str]:
    x = _LEFT + (index % 2) * (_RIGHT - _LEFT) / 2
    y = _HEIGHT + _LEGEND_LINE * (index // 2)
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    line = f'<path d="M{x:.0f} {y - 4}h26" stroke="{color}" stroke-width="3"{dashed}/>'
    return [line, _text(x + 32, y, label, anchor="start")]


def _text(x: float, y: float, text: str, *, anchor: str = "middle", size: int = 12) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">'
        f"{escape(text)}</text>"
    )
