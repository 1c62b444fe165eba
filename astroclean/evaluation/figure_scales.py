"""Axes of a figure: where a value lies, and which values are named."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Axes", "Axis"]

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_LOGIT_TICKS = (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)
_MOST_DECADES = 7
_PLAIN = 3
"""Powers of ten up to which a number is written out."""

_NARROWEST = 1e-9


@dataclass(frozen=True)
class Axis:
    """One axis of a panel; the ends that are None are taken from the data."""

    title: str
    low: float | None = None
    high: float | None = None
    scale: Literal["linear", "log", "logit"] = "linear"
    names: tuple[str, ...] = ()
    """Classes side by side; the first is at 0, the next at 1, and so on."""

    def fitted(self, values: Iterable[float]) -> Axis:
        """Return the axis with its open ends closed around the finite values, at whole steps."""
        if self.names:
            return replace(self, low=-0.5, high=len(self.names) - 0.5)
        if self.low is not None and self.high is not None:
            return self
        finite = [v for v in values if math.isfinite(v)] or [0.0, 1.0]
        low, high = min(finite), max(finite)
        if high - low <= _NARROWEST * max(abs(low), abs(high), 1.0):
            low, high = low - 0.5, high + 0.5  # rounding alone: steps would have no names
        step = _step(high - low)
        return replace(
            self,
            low=math.floor(low / step) * step if self.low is None else self.low,
            high=math.ceil(high / step) * step if self.high is None else self.high,
        )

    def place(self, value: float) -> float:
        """Return where a value lies between the ends, 0 to 1; what is beyond lies at the end."""
        low, high, here = (self._scaled(v) for v in (*self._ends(), value))
        return min(max((here - low) / (high - low), 0.0), 1.0)

    def ticks(self) -> list[tuple[float, str]]:
        """Return values to name, with their names."""
        low, high = self._ends()
        if self.names:
            return [(float(index), name) for index, name in enumerate(self.names)]
        if self.scale == "log":
            return _decades(low, high)
        if self.scale == "logit":
            return [(v, _odd(v)) for v in _LOGIT_TICKS if low <= v <= high]
        step = _step(high - low)
        digits = max(0, -math.floor(math.log10(step)))
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        return [(n * step, f"{n * step:.{digits}f}") for n in range(first, last + 1)]

    def _ends(self) -> tuple[float, float]:
        if self.low is None or self.high is None:
            raise ValueError(f"axis '{self.title}' has open ends: call fitted() first")
        return self.low, self.high

    def _scaled(self, value: float) -> float:
        low, high = self._ends()
        if self.scale == "linear":
            return value
        # Zero has no logarithm, one no log-odds; both lie beyond the ends.
        inside = min(max(value, low), high)
        odds = inside / (1 - inside) if self.scale == "logit" else inside
        return math.log10(odds)


@dataclass(frozen=True)
class Axes:
    """Title and axes of a panel; curves of all plugins with the same axes share a panel."""

    title: str
    x: Axis
    y: Axis
    diagonal: bool = False
    """Whether to draw the line on which both are equal; both axes have the same ends."""


def _step(span: float) -> float:
    """Return 1, 2 or 5 times a power of ten, so that four to nine steps make the span."""
    unit = 10.0 ** math.floor(math.log10(span / 4))
    return unit * max(m for m in (1, 2, 5) if m * unit <= span / 4)


def _decades(low: float, high: float) -> list[tuple[float, str]]:
    first = math.ceil(math.log10(low) - 1e-9)
    last = math.floor(math.log10(high) + 1e-9)
    stride = (last - first) // _MOST_DECADES + 1
    return [(10.0**n, _power(n)) for n in range(first, last + 1, stride)]


def _odd(value: float) -> str:
    """Return a probability: written out, or where it is too small for that as a power of ten."""
    exponent = round(math.log10(value))
    return _power(exponent) if exponent < -_PLAIN else f"{value:g}"


def _power(exponent: int) -> str:
    if abs(exponent) <= _PLAIN:
        return f"{10.0**exponent:g}"
    return "10" + str(exponent).translate(_SUPERSCRIPTS)
