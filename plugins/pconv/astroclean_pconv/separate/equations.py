"""Sources and what lies beneath them, solved together.

In the pixels of a clump ``d = b + n + sum_k A_k p_k``, where of b, what is beneath, and n, noise, a
`Stretch` knows what to expect, and A_k and p_k are flux and image of source k. Fluxes are free, and
so is the level of b; places, turn and width of the PSF lie around what is given. Then all of them,
and ``b + n``, have a best estimate in closed form (generalized least squares; Rasmussen & Williams
2006, section 2.7). Where the PSF is known that is the frame without the fitted source; the less it
fits, the more counts what is expected.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from astroclean_pconv.separate.fitted import SHAPES
from astroclean_pconv.separate.stretches import evidence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean_pconv.separate.clumps import Clump
    from astroclean_pconv.separate.fitted import Sources
    from astroclean_pconv.separate.stretches import Stretch

__all__ = ["Doubts", "Pixels", "Solution", "measure", "solve"]

_ROUNDS = 3
_MISFITS = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3)
"""Errors of the image of a source, in parts of its brightness; the likeliest is taken."""
_STILL = 0.02
"""Change of a shape, in standard deviations of what is told, after which it is found."""
_SURE = 1e-7
"""Least standard deviation of a shape: what is certain moves no further."""
_FARTHEST = 3.0
"""Standard deviations that a place may move."""


@dataclass(frozen=True)
class Doubts:
    """Standard deviations of what is told of sources."""

    place: float
    """Of a position along an axis, pixels."""
    turn: float
    """Of the angle of the PSF, radians."""
    width: float
    """Of the width of the PSF, as a part."""
    misfit: bool = True
    """Whether the image of a source may differ from the PSF in other ways."""

    @property
    def precision(self) -> NDArray[np.float64]:
        """Of the four changes of shape: 1 / variance."""
        doubts = np.array([self.place, self.place, self.turn, self.width])
        return np.asarray(np.maximum(doubts, _SURE) ** -2.0)


class Solution(NamedTuple):
    """What lies in the pixels of a clump."""

    values: NDArray[np.float64]
    """(n,): without the sources, with the noise that was there."""
    deviation: NDArray[np.float64]
    """(n,): standard deviation of that."""
    noise_lost: NDArray[np.float64]
    """(n,): 0 where the value was measured, 1 where it is the filling's: part of the noise's
    deviation that is missing."""
    misfit: float
    """Error of the image, as a part."""


class Pixels(NamedTuple):
    """Pixels that are solved together, and what is known of them."""

    clump: Clump
    """Where."""
    stretch: Stretch
    """What is expected."""
    data: NDArray[np.float64]
    """(n,): what is seen, less the light of sources that are not of the clump."""


def solve(pixels: Pixels, sources: Sources, doubts: Doubts) -> Solution:
    """Find fluxes and shapes of the sources of a clump, and what lies beneath.

    Parameters
    ----------
    pixels : Pixels
        A clump, and what is known of it.
    sources : Sources
        Those of the clump are brought up to date.
    doubts : Doubts
        Of what is told of them.

    Returns
    -------
    Solution
        In the pixels of the clump.
    """
    return _settled(pixels, sources, doubts).solution(doubts)


def measure(pixels: Pixels, sources: Sources, doubts: Doubts) -> None:
    """Find fluxes and shapes alone; see `solve`."""
    _settled(pixels, sources, doubts).step(doubts)


def _settled(pixels: Pixels, sources: Sources, doubts: Doubts) -> _System:
    """Return the equations of a clump at the fluxes and shapes that solve them."""
    clump, stretch, data = pixels
    drawn = _Drawn.of(clump, sources)
    stretch = stretch.fitted(data, drawn.images)
    problem = _Problem(clump, stretch, stretch.seen(data), sources)
    _first_fluxes(problem, drawn)
    misfit, best = 0.0, -np.inf
    for part in _MISFITS if doubts.misfit else ():
        told = _System(problem, drawn, part).evidence()
        if told < best:
            break  # the likelihood has one maximum along this line
        misfit, best = part, told
    for _ in range(_ROUNDS):
        moved = _System(problem, drawn, misfit).step(doubts)
        drawn = _Drawn.of(clump, sources)
        if moved < _STILL:
            break
    return _System(problem, drawn, misfit)


class _Drawn(NamedTuple):
    """The sources of a clump, k of them, in its n pixels."""

    images: NDArray[np.float64]
    """(n, k), each of flux 1."""
    slopes: NDArray[np.float64]
    """(n, k, 4)"""

    @classmethod
    def of(cls, clump: Clump, sources: Sources) -> _Drawn:
        made = [sources.drawn(member, clump.rows, clump.columns) for member in clump.members]
        images, slopes = zip(*made, strict=True)
        return cls(np.stack(images, axis=1), np.stack([slope.T for slope in slopes], axis=1))


@dataclass(frozen=True, eq=False)
class _Problem:
    """What is to be solved."""

    clump: Clump
    stretch: Stretch
    seen: NDArray[np.float64]
    """(rows,)"""
    sources: Sources

    @cached_property
    def nearby(self) -> NDArray[np.float64]:
        """Correlation of misfits of the usable pixels: of neighbors, no further."""
        usable = self.stretch.usable
        return np.exp(-self.clump.squared[np.ix_(usable, usable)].astype(np.float64))

    @property
    def fluxes(self) -> NDArray[np.float64]:
        """Of the sources of the clump, as known by now."""
        return np.asarray(self.sources.flux[self.clump.members])


def _first_fluxes(problem: _Problem, drawn: _Drawn) -> None:
    """Set fluxes, where there are none, as they are if all that is told is right."""
    if np.any(problem.fluxes):
        return
    system = _System(problem, drawn, 0.0)
    design = np.concatenate([system.images, problem.stretch.level], axis=1)
    weighted = system.solved(design)
    best = np.linalg.lstsq(design.T @ weighted, weighted.T @ problem.seen, rcond=None)[0]
    problem.sources.flux[problem.clump.members] = best[: system.images.shape[1]]


class _System:
    """The equations of a clump at what is known of its sources by now."""

    def __init__(self, problem: _Problem, drawn: _Drawn, misfit: float) -> None:
        from scipy.linalg import cho_factor  # noqa: PLC0415 - costs a tenth of a second

        self._problem, self._misfit = problem, misfit
        stretch, flux = problem.stretch, problem.fluxes
        count, (pixels, _) = len(flux), drawn.images.shape
        self._slopes = stretch.rows_of(
            (drawn.slopes * flux[:, None]).reshape(pixels, count * SHAPES)
        )
        self.images = stretch.rows_of(drawn.images)
        light = self.images @ flux
        self.rest = problem.seen - light
        covariance = stretch.covariance
        if misfit:
            narrow = problem.nearby
            seen = light[: len(narrow)]
            covariance = covariance.copy()
            covariance[: len(narrow), : len(narrow)] += misfit**2 * seen[:, None] * seen * narrow
        self._factor = cho_factor(covariance, lower=True, check_finite=False)

    def solved(self, right: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the inverse covariance times a matrix or vector."""
        from scipy.linalg import cho_solve  # noqa: PLC0415 - costs a tenth of a second

        return np.asarray(cho_solve(self._factor, right, check_finite=False))

    def evidence(self) -> float:
        """Return the logarithm of the likelihood, fluxes free, less a constant."""
        design = np.concatenate([self.images, self._problem.stretch.level], axis=1)
        return evidence(self._factor[0], self._problem.seen, design)

    def step(self, doubts: Doubts) -> float:
        """Bring fluxes and shapes up to date; return the most that a shape changed.

        In standard deviations of what is told.
        """
        return self._take(*self._changes(doubts), doubts)

    def _take(
        self, change: NDArray[np.float64], covariance: NDArray[np.float64], doubts: Doubts
    ) -> float:
        """Bring fluxes and shapes up to date with changes found; see `step`."""
        members, sources = self._problem.clump.members, self._problem.sources
        count = len(members)
        sources.flux[members] += change[:count]
        sources.variance[members] = np.diag(covariance)[:count]
        shape = sources.shape[members] + change[count:-1].reshape(count, SHAPES)
        limits = _FARTHEST / np.sqrt(doubts.precision)
        before = sources.shape[members]
        sources.shape[members] = np.clip(shape, -limits, limits)
        moved = np.abs(sources.shape[members] - before) * np.sqrt(doubts.precision)
        return float(moved.max(initial=0.0))

    @property
    def _design(self) -> NDArray[np.float64]:
        """Columns of what is free: fluxes, shapes, the level."""
        return np.concatenate([self.images, self._slopes, self._problem.stretch.level], axis=1)

    def _changes(self, doubts: Doubts) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return changes of fluxes and shapes for the best, the level, and their covariance."""
        members, design = self._problem.clump.members, self._design
        nothing, told = np.zeros(len(members)), np.tile(doubts.precision, len(members))
        precision = np.concatenate([nothing, told, [0.0]])
        shapes = self._problem.sources.shape[members].ravel()
        now = np.concatenate([nothing, shapes, [0.0]])
        weighted = self.solved(design)
        normal = design.T @ weighted + np.diag(precision)
        # Fluxes and shapes have units of their own, which must not decide what counts as zero.
        size = np.sqrt(np.maximum(np.diag(normal), np.finfo(np.float64).tiny))
        inverse = np.linalg.pinv(normal / (size[:, None] * size), hermitian=True)
        covariance = inverse / (size[:, None] * size)
        change = covariance @ (weighted.T @ self.rest - precision * now)
        return np.asarray(change), np.asarray(covariance)

    def solution(self, doubts: Doubts) -> Solution:
        """Return what lies beneath, at the shapes found; fluxes are taken anew."""
        stretch = self._problem.stretch
        change, covariance = self._changes(doubts)
        rest = self.rest - self._design @ change
        gain = self.solved(stretch.towards.T).T
        values = change[-1] + gain @ rest
        # A pixel that is not measured has the level that the others have.
        spread = gain @ self._design
        spread[:, -1] -= 1
        self._take(change, covariance, doubts)
        variance = np.clip(
            np.diag(stretch.beneath) - np.sum(gain * stretch.towards, axis=1), 0, None
        )
        noise = np.maximum(np.diag(stretch.noise), np.finfo(np.float64).tiny)
        lost = np.sqrt(np.clip(variance / noise, 0, 1))
        variance = variance + np.sum((spread @ covariance) * spread, axis=1)
        return Solution(values, np.sqrt(variance), lost, self._misfit)
