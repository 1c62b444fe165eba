"""A figure of panels as SVG, written as text: no plotting library is needed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from astroclean.evaluation.figure_marks import (
    Boxes,
    Counts,
    Curve,
    Style,
    draw_boxes,
    draw_counts,
    draw_curve,
    draw_sample,
)
from astroclean.evaluation.figure_scales import Axes, Axis

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Axes", "Axis", "Boxes", "Counts", "Curve", "Panel", "draw_figure", "merged_panels"]

_Mark = Boxes | Counts | Curve

_NAMESPACE = "http://www.w3.org/2000/svg"
_WIDTH, _HEIGHT = 560, 400
"""Of a panel."""
_LEFT, _TOP, _RIGHT, _BOTTOM = 68, 40, 544, 340
_COLUMNS, _FEW = 2, 6
"""Columns of a figure, one more where it has more than a few panels."""
_STRIP = 0.25
"""Share of a panel's height in which counts are drawn."""
_LEGEND_LINE, _LETTER = 22, 7.5
_GRID, _INK = "#ddd", "#222"


@dataclass(frozen=True)
class Panel:
    """Axes with what is drawn in them."""

    axes: Axes
    marks: tuple[_Mark, ...]

    @property
    def is_told(self) -> bool:
        """Whether any mark has a value that can be drawn."""
        return any(math.isfinite(y) for mark in self.marks for y in mark.extent()[1])

    def labeled(self, label: str) -> Panel:
        """Return the panel with all its marks belonging to a plugin."""
        return replace(self, marks=tuple(replace(mark, label=label) for mark in self.marks))


def merged_panels(panels: Sequence[Panel]) -> tuple[Panel, ...]:
    """Return panels with the marks of those that have the same axes together, in their order."""
    together: dict[Axes, list[_Mark]] = {}
    for panel in panels:
        together.setdefault(panel.axes, []).extend(panel.marks)
    return tuple(Panel(axes, tuple(marks)) for axes, marks in together.items())


def draw_figure(panels: Sequence[Panel], title: str) -> str:
    """Return the figure as the text of an SVG file.

    Parameters
    ----------
    panels : sequence of Panel
        Drawn in two columns, or three; values beyond an axis are drawn at its end.
    title : str
        For those who read the figure by ear; a description follows it.

    Returns
    -------
    str
        The same panels give the same text. Each label has a color, a dash and a symbol, alike in
        all panels.
    """
    labels = list(dict.fromkeys(mark.label for panel in panels for mark in panel.marks))
    styles = {label: Style.of(index) for index, label in enumerate(labels)}
    columns = min(_COLUMNS + (len(panels) > _FEW), len(panels))
    rows = -(-len(panels) // columns)
    legend, below = _legend(styles, columns * _WIDTH, rows * _HEIGHT + 8)
    width, height = columns * _WIDTH, below + 6
    box = f'viewBox="0 0 {width} {height}"'
    spoken = 'role="img" aria-labelledby="title description"'
    parts = [
        f'<svg xmlns="{_NAMESPACE}" {box} font-family="sans-serif" {spoken}>',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="description">{escape(_description(panels))}</desc>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for index, panel in enumerate(panels):
        x, y = index % columns * _WIDTH, index // columns * _HEIGHT
        label = quoteattr(panel.axes.title)
        parts.append(f'<g transform="translate({x} {y})" aria-label={label}>')
        parts += [*_drawn(panel, styles), "</g>"]
    return "\n".join([*parts, *legend, "</svg>", ""])


def _drawn(panel: Panel, styles: dict[str, Style]) -> list[str]:
    extents = [mark.extent() for mark in panel.marks]
    x_axis, y_axis = (
        axis.fitted(v for extent in extents for v in extent[way])
        for way, axis in enumerate((panel.axes.x, panel.axes.y))
    )

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            _LEFT + (_RIGHT - _LEFT) * x_axis.place(x),
            _BOTTOM - (_BOTTOM - _TOP) * y_axis.place(y),
        )

    parts = _frame(panel.axes.title, x_axis, y_axis)
    if panel.axes.diagonal:
        line = f"M{_LEFT} {_BOTTOM}L{_RIGHT} {_TOP}"
        parts.append(f'<path d="{line}" stroke="{_INK}" stroke-dasharray="1 3"/>')
    seats = [mark.label for mark in panel.marks if isinstance(mark, Boxes)]
    for mark in panel.marks:
        style = styles[mark.label]
        if isinstance(mark, Boxes):
            parts += draw_boxes(mark, style, place, seat=(seats.index(mark.label), len(seats)))
        elif isinstance(mark, Counts):
            strip = (_BOTTOM, _STRIP * (_BOTTOM - _TOP))
            parts += draw_counts(mark, style, place, strip=strip)
        else:
            parts += draw_curve(mark, style, place)
    return parts


def _frame(title: str, x_axis: Axis, y_axis: Axis) -> list[str]:
    center, middle = (_LEFT + _RIGHT) / 2, (_TOP + _BOTTOM) / 2
    parts = [
        _text(center, 24, title, size=15),
        _text(center, _BOTTOM + 42, x_axis.title),
        f'<g transform="rotate(-90 18 {middle})">' + _text(18, middle, y_axis.title) + "</g>",
    ]
    for value, name in x_axis.ticks():
        x = _LEFT + (_RIGHT - _LEFT) * x_axis.place(value)
        if not x_axis.names:
            parts.append(f'<path d="M{x:.1f} {_TOP}V{_BOTTOM}" stroke="{_GRID}"/>')
        # The name of the last tick shall not leave the panel.
        parts.append(_text(min(x, _WIDTH - _LETTER / 2 * len(name)), _BOTTOM + 19, name))
    for value, name in y_axis.ticks():
        y = _BOTTOM - (_BOTTOM - _TOP) * y_axis.place(value)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_RIGHT}" stroke="{_GRID}"/>')
        parts.append(_text(_LEFT - 8, y + 4, name, anchor="end"))
    box = f"M{_LEFT} {_TOP}H{_RIGHT}V{_BOTTOM}H{_LEFT}Z"
    return [*parts, f'<path d="{box}" fill="none" stroke="{_INK}"/>']


def _legend(styles: dict[str, Style], width: float, top: float) -> tuple[list[str], int]:
    """Return the entries of the legend, and where it ends."""
    parts: list[str] = []
    x, y = float(_LEFT), top
    for label, style in styles.items():
        wide = 70 + _LETTER * len(label)
        if x > _LEFT and x + wide > width:
            x, y = float(_LEFT), y + _LEGEND_LINE
        parts += draw_sample(x, y, style)
        parts.append(_text(x + 48, y + 4, label, anchor="start"))
        x += wide
    return parts, round(y + _LEGEND_LINE)


def _description(panels: Sequence[Panel]) -> str:
    """Return in words what each panel shows: who, and from where to where."""
    told = []
    for panel in panels:
        axes = panel.axes
        ranges = [
            f"{mark.label} {min(values):.3g} to {max(values):.3g}"
            for mark in panel.marks
            if (values := [v for v in mark.extent()[1] if math.isfinite(v)])
        ]
        against = f" against {axes.x.title}" if axes.x.title else ""
        told.append(f"{axes.title}: {axes.y.title}{against}; {', '.join(ranges) or 'empty'}.")
    return " ".join(told)


def _text(x: float, y: float, text: str, *, anchor: str = "middle", size: int = 13) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'fill="{_INK}">{escape(text)}</text>'
    )
