"""Geometry of the plots of the page: histograms and power spectra with their axes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from astroclean.report.picture_records import Histogram, Spectrum

__all__ = ["plot_of", "spectrum_of"]

_PLOT = (420, 240)
_MARGIN = (54, 14, 42, 10)  # left, right, bottom, top
_LETTER = 7.0  # width of a digit, at most
_FLOOR = -0.3  # log of half a pixel, so that a single one stands above the axis

_DYNAMIC = 12  # decades of power that a page can show
_DECADE_APART = 1.5  # decades of an axis above which 2 and 5 have no room beside 1

_KEY = 0.1  # of the height of a plot, left to the key above lines that do not fall
_NYQUIST = 0.5  # cycles a pixel
_ROUNDING = 1e-9


def plot_of(histogram: Histogram) -> dict[str, Any]:
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
        "x_ticks": _labelled((across(v), label) for v, label in _ticks(edges[0], edges[-1])),
        "y_ticks": [(up(10**d), _power(d)) for d in range(0, decades + 1, 1 + decades // 5)],
    }


def _labelled(ticks: Iterable[tuple[float, str]]) -> list[tuple[float, str, float]]:
    """Return ticks with the middles of their labels, which stay whole and apart."""
    placed: list[tuple[float, str, float]] = []
    start = math.inf
    for place, label in reversed(list(ticks)):  # what is last names the end of the axis
        half = _LETTER * len(label) / 2
        middle = min(max(place, half), _PLOT[0] - half)
        if label and middle + half > start - _LETTER / 2:
            label = ""  # noqa: PLW2901 - the tick stays
        start = middle - half if label else start
        placed.append((place, label, middle))
    return placed[::-1]


def spectrum_of(spectrum: Spectrum) -> dict[str, Any]:
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
        "x_ticks": _labelled((across(f), text) for f, text in _frequency_ticks(first, last)),
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
