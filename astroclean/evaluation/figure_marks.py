"""What is drawn in a panel: lines, points, boxes; each plugin in a color, dash and symbol."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "Boxes",
    "Counts",
    "Curve",
    "Style",
    "draw_boxes",
    "draw_counts",
    "draw_curve",
    "draw_sample",
]

# Okabe & Ito: told apart by color-blind readers too.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("", "8 4", "2 3", "10 3 2 3", "5 2")
_SYMBOLS = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0Z",  # circle
    "M-4 -4h8v8h-8Z",
    "M0 -5L5 4H-5Z",
    "M0 -5.5L5 0L0 5.5L-5 0Z",
    "M-5 -1.5h3.5v-3.5h3v3.5h3.5v3h-3.5v3.5h-3v-3.5h-3.5Z",  # cross
)
_MOST_POINTS = 400
_MOST_DECADES = 8
"""Counts of ten to this power fill the strip that they are drawn in."""
_GROUP = 0.8
"""Share of a class's width that its boxes fill."""

Quantiles = tuple[float, float, float, float, float]


@dataclass(frozen=True)
class Curve:
    """A line, or single points where ``joined`` is false."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    joined: bool = True
    label: str = ""
    """The plugin; entered by the contest."""

    def extent(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return all x and all y."""
        return self.x, self.y


@dataclass(frozen=True)
class Boxes:
    """For each class of the x axis the 5, 25, 50, 75 and 95 percent quantiles, or None."""

    quantiles: tuple[Quantiles | None, ...]
    label: str = ""
    """The plugin; entered by the contest."""

    def extent(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return all x and all y."""
        told = [(float(n), q) for n, q in enumerate(self.quantiles) if q is not None]
        return tuple(x for x, _ in told), tuple(v for _, q in told for v in q)


@dataclass(frozen=True)
class Counts:
    """How many values there are between edges: an outline at the foot of the panel, logarithmic."""

    edges: tuple[float, ...]
    """One more than counts, on the x axis."""
    counts: tuple[float, ...]
    label: str = ""
    """The plugin; entered by the contest."""

    def extent(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return nothing: the outline is on no axis but x, whose ends are given."""
        return (), ()


@dataclass(frozen=True)
class Style:
    """How the marks of one plugin look; the color is never the only difference."""

    color: str
    dash: str
    symbol: str

    @classmethod
    def of(cls, index: int) -> Style:
        """Return the style of a plugin by its place; 35 differ."""
        return cls(
            _COLORS[index % len(_COLORS)],
            _DASHES[index % len(_DASHES)],
            _SYMBOLS[index % len(_SYMBOLS)],
        )

    @property
    def stroke(self) -> str:
        """Attributes of a line."""
        dashed = f' stroke-dasharray="{self.dash}"' if self.dash else ""
        return f'stroke="{self.color}"{dashed}'


def draw_curve(
    curve: Curve, style: Style, place: Callable[[float, float], tuple[float, float]]
) -> list[str]:
    """Return the elements of a curve; values that are not finite are left out."""
    points = [
        place(x, y)
        for x, y in zip(curve.x, curve.y, strict=True)
        if math.isfinite(x) and math.isfinite(y)
    ]
    if not curve.joined or len(points) == 1:
        return [_symbol(x, y, style) for x, y in points]
    if not points:
        return []
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in _thinned(points))
    return [f'<polyline points="{line}" fill="none" stroke-width="2" {style.stroke}/>']


def draw_counts(
    counts: Counts,
    style: Style,
    place: Callable[[float, float], tuple[float, float]],
    *,
    strip: tuple[float, float],
) -> list[str]:
    """Return the outline; ``strip`` is (foot, height), of which 10^8 fill all."""
    foot, height = strip
    points = []
    for left, right, count in zip(counts.edges, counts.edges[1:], counts.counts, strict=False):
        share = min(math.log10(max(count, 1.0)) / _MOST_DECADES, 1.0)
        points += [(place(x, 0.0)[0], foot - height * share) for x in (left, right)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return [f'<polyline points="{line}" fill="none" stroke-width="1" {style.stroke}/>']


def draw_boxes(
    boxes: Boxes,
    style: Style,
    place: Callable[[float, float], tuple[float, float]],
    *,
    seat: tuple[int, int],
) -> list[str]:
    """Return the elements of boxes with whiskers; ``seat`` is (which, of how many) in a class."""
    which, of_all = seat
    width = _GROUP / of_all
    parts = []
    for index, quantiles in enumerate(boxes.quantiles):
        if quantiles is None:
            continue
        middle = index + (which + 0.5) * width - _GROUP / 2
        x, lowest = place(middle, quantiles[0])
        (left, lower), (right, upper) = (
            place(middle + side * 0.4 * width, q)
            for side, q in ((-1, quantiles[1]), (1, quantiles[3]))
        )
        median, highest = place(middle, quantiles[2])[1], place(middle, quantiles[4])[1]
        color = f'stroke="{style.color}"'
        size = f'width="{right - left:.1f}" height="{lower - upper:.1f}"'
        face = f'fill="{style.color}" fill-opacity="0.15" stroke-width="1.5" {style.stroke}'
        whiskers = f"M{x:.1f} {lowest:.1f}V{lower:.1f}M{x:.1f} {upper:.1f}V{highest:.1f}"
        parts += [
            f'<path d="{whiskers}" stroke-width="1.5" {color}/>',
            f'<rect x="{left:.1f}" y="{upper:.1f}" {size} {face}/>',
            f'<path d="M{left:.1f} {median:.1f}H{right:.1f}" stroke-width="3" {color}/>',
            _symbol(x, median, style),
        ]
    return parts


def draw_sample(x: float, y: float, style: Style) -> list[str]:
    """Return a line with a symbol on it, for the legend; 40 wide from x."""
    line = f'<path d="M{x:.0f} {y:.0f}h40" stroke-width="2.5" {style.stroke}/>'
    return [line, _symbol(x + 20, y, style)]


def _symbol(x: float, y: float, style: Style) -> str:
    return (
        f'<path d="{style.symbol}" transform="translate({x:.1f} {y:.1f})" fill="{style.color}" '
        'stroke="white" stroke-width="0.7"/>'
    )


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Drop points that fall on their neighbor, then all but an even choice."""
    kept = [points[0]]
    for point in points[1:]:
        if math.dist(point, kept[-1]) > 0.5:  # noqa: PLR2004 - half a pixel
            kept.append(point)
    step = len(kept) // _MOST_POINTS + 1
    chosen = kept[::step]
    return chosen if chosen[-1] == points[-1] else [*chosen, points[-1]]
