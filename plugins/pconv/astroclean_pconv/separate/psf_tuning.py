"""Turn and width of the PSF, from the frame's own bright sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from astroclean_pconv.separate.clumps import Clump
    from astroclean_pconv.separate.equations import Pixels
    from astroclean_pconv.separate.field import Field
    from astroclean_pconv.separate.fitted import Sources

__all__ = ["Tuning", "tuned"]

_MOST = 12
_GAIN = 30.0
"""Fall of chi squared from which another turn, or another width, is believed."""
_FREE = ((False, True), (True, False), (True, True))
_STARTS = (9, 3)
"""Turns and widths from which the search may begin."""
_DOUBTS = (float(np.radians(2.0)), 0.02)
"""Standard deviations of turn and width of a PSF of which no source tells."""
_SURE = (float(np.radians(0.005)), 5e-5)
"""Least of them: less does not show in the brightest sources."""
_STEPS = (float(np.radians(2.0)), 0.02)
"""Over which the curvature of chi squared is measured."""
_SLIGHT = 3e-4
"""Change over which a slope is measured, in parts of the limits."""


class Tuning(NamedTuple):
    """How the PSF of a frame differs from the one that was told."""

    turn: float = 0.0
    """Radians."""
    width: float = 1.0
    """Times."""
    turn_error: float = _DOUBTS[0]
    """Standard deviation of the turn, radians."""
    width_error: float = _DOUBTS[1]
    """Of the width, as a part."""
    used: int = 0
    """Sources that told it."""

    @property
    def changes(self) -> bool:
        """Whether the PSF is another."""
        return (self.turn, self.width) != (0.0, 1.0)


class _Star:
    """A source that stands alone, with all that does not depend on the PSF."""

    def __init__(self, pixels: Pixels, sources: Sources) -> None:
        from scipy.linalg import cho_factor  # noqa: PLC0415 - costs a tenth of a second

        clump, stretch, data = pixels
        self._index = int(clump.members[0])
        (x, y) = sources.positions[self._index]
        self._dy, self._dx, self._sources = clump.rows - y, clump.columns - x, sources
        psf = sources.psfs[self._index]
        stretch = stretch.fitted(data, psf.at(self._dy, self._dx)[:, np.newaxis])
        self._factor = cho_factor(stretch.covariance, lower=True, check_finite=False)[0]
        self._stretch = stretch
        self._seen = self._whiten(stretch.seen(data))

    def _whiten(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values whose errors are independent, of variance 1."""
        from scipy.linalg import solve_triangular  # noqa: PLC0415 - costs a tenth of a second

        white = solve_triangular(self._factor, values, lower=True, check_finite=False)
        return np.asarray(white)

    def chi_squared(self, turn: float, width: float) -> float:
        """Return what is left with a PSF, flux and place free."""
        psf = self._sources.psfs[self._index].changed(turn=turn, width=width)
        dy, dx = self._dy, self._dx
        image, slopes = psf.moved(dy, dx)
        images = np.column_stack([image, *slopes])
        left = self._whiten(
            np.concatenate([self._stretch.rows_of(images), self._stretch.level], axis=1)
        )
        solution = np.linalg.lstsq(left, self._seen, rcond=None)[0]
        return float(np.sum((self._seen - left @ solution) ** 2))


def tuned(field: Field, *, limits: tuple[float, float]) -> Tuning:
    """Return turn and width of the PSF that fit the brightest lonely sources best.

    Parameters
    ----------
    field : Field
        Solved. Of the clumps with one source each the brightest twelve by S/N tell.
    limits : (float, float)
        Most turn in radians, and most part by which the width may differ.

    Returns
    -------
    Tuning
        No change where that does not fit better by far.
    """
    sources = field.sources

    def brightness(clump: Clump) -> tuple[float, ...]:
        member = clump.members[0]
        error = max(field.doubt_at(member), np.finfo(float).tiny)
        return -float(sources.flux[member]) / error, *sources.positions[member]

    lonely = [c for c in field.clumps if len(c.members) == 1 and len(c.rows) > _MOST]
    lonely = sorted(lonely, key=brightness)[:_MOST]
    if not any(limits):  # the user is sure
        return Tuning(turn_error=0.0, width_error=0.0)
    if not lonely:
        return Tuning()
    stars = [_Star(field.pixels(clump), sources) for clump in lonely]

    def chi_squared(turn: float, width: float) -> float:
        return sum(star.chi_squared(turn, width) for star in stars)

    def left(turn: float, width: float) -> float:
        # Robust: a star that is double, or saturated, must not decide for all.
        return float(sum(2 * np.sqrt(1 + star.chi_squared(turn, width)) for star in stars))

    # What is free must be worth it: a round PSF may be turned as one likes.
    may = [free for free in _FREE if all(limits[axis] for axis in (0, 1) if free[axis])]
    tried = [(0.0, 1.0), *(_best(left, limits, free) for free in may)]
    costs = [chi_squared(*place) + _GAIN * _changed(place) for place in tried]
    turn, width = tried[int(np.argmin(costs))]
    pixels = sum(len(clump.rows) for clump in lonely)
    errors = _errors(chi_squared, turn, width, pixels)
    return Tuning(turn, width, *errors, len(stars))


def _changed(place: tuple[float, float]) -> int:
    return sum(value != usual for value, usual in zip(place, (0.0, 1.0), strict=True))


def _best(
    left: Callable[[float, float], float], limits: tuple[float, float], free: tuple[bool, bool]
) -> tuple[float, float]:
    """Return turn and width with the least left, of which one may be held."""
    from scipy.optimize import minimize  # noqa: PLC0415 - heavy

    most = np.array([limit if told else 0.0 for limit, told in zip(limits, free, strict=True)])

    def place_of(change: NDArray[np.float64]) -> tuple[float, float]:
        turn, width = most * change
        return float(turn), 1 + float(width)

    ends = [np.linspace(-1, 1, n) if m else np.zeros(1) for n, m in zip(_STARTS, most, strict=True)]
    starts = [np.array([a, b]) for a in ends[0] for b in ends[1]]
    best = min(starts, key=lambda change: left(*place_of(change)))
    bounds = [(-1.0, 1.0) if limit else (0.0, 0.0) for limit in most]
    told = {"eps": _SLIGHT, "ftol": 1e-7, "gtol": 1e-3, "maxiter": 40}
    found = minimize(lambda c: left(*place_of(c)), best, bounds=bounds, options=told)
    return place_of(found.x)


def _errors(
    chi_squared: Callable[[float, float], float], turn: float, width: float, pixels: int
) -> tuple[float, float]:
    """Return the standard deviations of turn and width, from how fast chi squared rises."""
    least = chi_squared(turn, width)
    # Where the model does not fit, errors are larger than it says.
    scale = max(least / pixels, 1.0)
    found = []
    for index, (step, most, sure) in enumerate(zip(_STEPS, _DOUBTS, _SURE, strict=True)):
        moved = [
            (turn + s * step, width) if index == 0 else (turn, width + s * step) for s in (1, -1)
        ]
        rise = sum(chi_squared(*place) for place in moved) - 2 * least
        error = np.sqrt(2 * scale / rise) * step if rise > 0 else most
        found.append(float(np.clip(error, sure, most)))
    return found[0], found[1]
