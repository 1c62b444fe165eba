"""Turn and width of the PSF, from the frame's own bright sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from astroclean_pconv.clumps import Clump
    from astroclean_pconv.separation import Sources, Stretch

__all__ = ["Tuning", "tuned"]

_MOST = 12
_GAIN = 30.0
"""Fall of chi squared from which another PSF is believed."""
_DOUBTS = (float(np.radians(2.0)), 0.02)
"""Standard deviations of turn and width of a PSF of which no source tells."""
_SURE = (float(np.radians(0.005)), 5e-5)
"""Least of them: less does not show in the brightest sources."""
_STEPS = (float(np.radians(2.0)), 0.02)
"""Over which the curvature of chi squared is measured."""


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

    def __init__(self, clump: Clump, stretch: Stretch, sources: Sources) -> None:
        from scipy.linalg import cho_factor  # noqa: PLC0415 - costs a tenth of a second

        used = stretch.used
        self._index = int(clump.members[0])
        self._rows, self._columns = clump.rows[used], clump.columns[used]
        covariance = stretch.prior[np.ix_(used, used)]
        self._factor = cho_factor(covariance, lower=True, check_finite=False)[0]
        self._rest = self._whiten((stretch.data - stretch.mean)[used])
        self._sources = sources

    def _whiten(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values whose errors are independent, of variance 1."""
        from scipy.linalg import solve_triangular  # noqa: PLC0415 - costs a tenth of a second

        white = solve_triangular(self._factor, values, lower=True, check_finite=False)
        return np.asarray(white)

    def chi_squared(self, turn: float, width: float) -> float:
        """Return what is left with a PSF, flux and place free."""
        x, y = self._sources.positions[self._index]
        psf = self._sources.psfs[self._index].changed(turn=turn, width=width)
        dy, dx = self._rows - y, self._columns - x
        design = np.column_stack([psf.at(dy, dx), *psf.slopes(dy, dx)[:2]])
        left = self._whiten(design)
        solution = np.linalg.lstsq(left, self._rest, rcond=None)[0]
        return float(np.sum((self._rest - left @ solution) ** 2))


def tuned(
    clumps: Sequence[Clump],
    stretches: Sequence[Stretch],
    sources: Sources,
    *,
    limits: tuple[float, float],
) -> Tuning:
    """Return turn and width of the PSF that fit the brightest lonely sources best.

    Parameters
    ----------
    clumps, stretches : sequence
        With one source each; the brightest twelve by S/N are taken.
    sources : Sources
        With fluxes.
    limits : (float, float)
        Most turn in radians, and most part by which the width may differ.

    Returns
    -------
    Tuning
        No change where that does not fit better by far.
    """
    from scipy.optimize import minimize  # noqa: PLC0415 - heavy

    def brightness(pair: tuple[Clump, Stretch]) -> tuple[float, ...]:
        member = pair[0].members[0]
        error = float(np.sqrt(max(sources.variance[member], np.finfo(float).tiny)))
        return -float(sources.flux[member]) / error, *sources.positions[member]

    lonely = [p for p in zip(clumps, stretches, strict=True) if len(p[0].members) == 1]
    lonely = sorted((p for p in lonely if p[1].used.sum() > _MOST), key=brightness)[:_MOST]
    if not any(limits):  # the user is sure
        return Tuning(turn_error=_SURE[0], width_error=_SURE[1])
    if not lonely:
        return Tuning()
    stars = [_Star(clump, stretch, sources) for clump, stretch in lonely]

    def left(change: NDArray[np.float64]) -> float:
        turn, width = (float(v * limit) for v, limit in zip(change, limits, strict=True))
        # Robust: a star that is double, or saturated, must not decide for all.
        return float(sum(2 * np.sqrt(1 + s.chi_squared(turn, 1 + width)) for s in stars))

    ends = [np.linspace(-1, 1, 9 if limits[0] else 1), np.linspace(-1, 1, 3 if limits[1] else 1)]
    starts = [np.array([a, b]) for a in ends[0] for b in ends[1]]
    best = min(starts, key=left)
    simplex = best + np.array([[0.0, 0.0], [0.2, 0.0], [0.0, 0.4]])
    told = {"initial_simplex": simplex, "xatol": 0.01, "fatol": 0.01, "maxiter": 60}
    found = minimize(left, best, method="Nelder-Mead", options=told)
    turn, width = (
        float(v * limit) for v, limit in zip(np.clip(found.x, -1, 1), limits, strict=True)
    )

    def chi_squared(turn: float, width: float) -> float:
        return sum(star.chi_squared(turn, width) for star in stars)

    if chi_squared(0.0, 1.0) - chi_squared(turn, 1 + width) < _GAIN:
        turn, width = 0.0, 0.0
    pixels = sum(len(pair[0].rows) for pair in lonely)
    errors = _errors(chi_squared, turn, 1 + width, pixels)
    return Tuning(turn, 1 + width, *errors, len(stars))


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
