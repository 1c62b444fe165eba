"""A line on the frame, straight or slightly bent, and the pixels along it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean_maximask.trails.maps import Sky

    Floats = NDArray[np.floating[Any]]

__all__ = ["Path", "Strip", "sampled"]


@dataclass(frozen=True)
class Path:
    """A parabola of which one sees hardly more than a straight line.

    ``t`` is the place along it and ``u`` the distance from it, to the left of its direction in
    columns and rows; both in pixels.
    """

    y: float
    x: float
    """The place where ``t`` is 0."""
    angle: float
    """Of its direction there: radians from +x towards +y."""
    bend: float = 0.0
    """Second derivative of the line over ``t``, per pixel."""

    def at(self, t: Any, u: Any = 0.0) -> tuple[Any, Any]:
        """Return (y, x) of places."""
        across = u + 0.5 * self.bend * t * t
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return self.y + t * sin + across * cos, self.x + t * cos - across * sin

    def coordinates(self, y: Any, x: Any) -> tuple[Any, Any]:
        """Return (t, u) of places."""
        dy, dx = y - self.y, x - self.x
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        t = dx * cos + dy * sin
        return t, dy * cos - dx * sin - 0.5 * self.bend * t * t

    def within(self, shape: tuple[int, int]) -> tuple[float, float]:
        """Return where the line, if it were straight, enters and leaves a frame."""
        first, last = -math.inf, math.inf
        steps = (math.sin(self.angle), math.cos(self.angle))
        for start, step, length in zip((self.y, self.x), steps, shape, strict=True):
            if abs(step) < 1e-9:  # noqa: PLR2004 - along the axis
                continue
            ends = sorted((-start / step, (length - 1 - start) / step))
            first, last = max(first, ends[0]), min(last, ends[1])
        return first, last

    def moved(self, along: float, across: float, turn: float, bend: float) -> Path:
        """Return the line about the place ``along``, shifted, turned and bent.

        Parameters
        ----------
        along, across : float
            Place in ``t``, and shift in ``u``.
        turn : float
            By which ``u`` changes for each pixel of ``t``.
        bend : float
            Added to :attr:`bend`.
        """
        y, x = self.at(along, across)
        angle = self.angle + math.atan(self.bend * along) + math.atan(turn)
        return Path(float(y), float(x), angle, self.bend + bend)


@dataclass(frozen=True, eq=False)
class Strip:
    """The light along a path: rows follow it, columns go across; NaN where nothing is known."""

    values: NDArray[np.float32]
    t: NDArray[np.float64]
    u: NDArray[np.float64]


def sampled(
    sky: Sky, path: Path, span: tuple[float, float], half: int, *, compact: bool = False
) -> Strip:
    """Return the light along a path, in pixels that are nearest: noise stays what it is.

    Parameters
    ----------
    sky : Sky
        Of the frame.
    path : Path
        Where to look.
    span : (float, float)
        From and to, in ``t``.
    half : int
        Pixels on either side.
    compact : bool
        Whether compact sources are wanted, too.

    Returns
    -------
    Strip
        A pixel of the path a row.
    """
    t = np.arange(math.floor(span[0]), math.ceil(span[1]) + 1, dtype=np.float64)
    u = np.arange(-half, half + 1, dtype=np.float64)
    y, x = path.at(t[:, np.newaxis], u)
    rows, columns = np.rint(y).astype(np.intp), np.rint(x).astype(np.intp)
    return Strip(sky.light(rows, columns, compact=compact), t, u)
