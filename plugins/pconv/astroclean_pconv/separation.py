"""Sources and what lies beneath them, solved together under what the network expects.

In the pixels of a hole ``d = m + e + n + sum_k A_k p_k``: m is what the network fills in, e how far
it is off, n noise, A_k and p_k flux and image of source k. e and n are taken for Gaussian, with the
deviations that the network tells and the noise of the surroundings. Fluxes are free; places, turn
and width of the PSF lie around what is given. Then all of them, and ``m + e + n``, have a best
estimate in closed form (generalized least squares; Rasmussen & Williams 2006, section 2.7). Where
the PSF is known that is the frame without the fitted source; the less it fits, the more the filling
counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from astroclean_pconv.noise import Noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean_pconv.clumps import Clump
    from astroclean_pconv.filling import Filled
    from astroclean_pconv.psf_image import PsfImage

__all__ = ["Doubts", "Solution", "Sources", "Stretch", "solve"]

_ROUNDS = 3
_MISFITS = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3)
"""Errors of the image of a source, in parts of its brightness; the likeliest is taken."""
_ROUGH = 1e-3
"""Part of the variance of the errors of a filling that neighbors do not share."""
_SHAPES = 4
"""Shifts in x and y, turn, width."""
_STILL = 0.02
"""Change of a shape, in standard deviations of what is told, after which it is found."""
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
        return np.array([self.place, self.place, self.turn, self.width]) ** -2.0


@dataclass(frozen=True, eq=False)
class Sources:
    """Sources of a frame; k of them. Arrays are written to as they become known."""

    positions: NDArray[np.float64]
    """(k, 2) x, y as told, pixels."""
    psfs: list[PsfImage]
    """One each."""
    flux: NDArray[np.float64]
    """(k,), 0 until they are solved."""
    variance: NDArray[np.float64]
    shape: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, _SHAPES)))
    """(k, 4): how far from what is told: x, y (pixels), turn (radians), width (a part)."""

    def image_of(
        self, index: int, rows: NDArray[np.intp], columns: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """Return the image of flux 1 of a source at some pixels, (n,)."""
        psf, dy, dx = self._seen_from(index, rows, columns)
        return psf.at(dy, dx)

    def drawn(
        self, index: int, rows: NDArray[np.intp], columns: NDArray[np.intp]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return image of flux 1, (n,), and slopes, (4, n), of a source at some pixels."""
        psf, dy, dx = self._seen_from(index, rows, columns)
        return psf.at(dy, dx), psf.slopes(dy, dx)

    def _seen_from(
        self, index: int, rows: NDArray[np.intp], columns: NDArray[np.intp]
    ) -> tuple[PsfImage, NDArray[np.float64], NDArray[np.float64]]:
        """Return the PSF of a source, and where pixels lie from it."""
        x, y = self.positions[index] + self.shape[index, :2]
        psf = self.psfs[index].changed(
            turn=self.shape[index, 2], width=1 + float(self.shape[index, 3])
        )
        return psf, rows - y, columns - x


class Stretch(NamedTuple):
    """Pixels of a clump in numbers; n of them."""

    data: NDArray[np.float64]
    """Less the light of sources that are solved elsewhere."""
    used: NDArray[np.bool_]
    """Pixels whose data is to be believed."""
    mean: NDArray[np.float64]
    """What the network fills in."""
    prior: NDArray[np.float64]
    """(n, n): covariance of what is truly there, noise included, about it."""
    squared: NDArray[np.float64]
    """(n, n): squared distances, pixels squared."""

    @classmethod
    def of(
        cls,
        clump: Clump,
        filled: Filled,
        data: NDArray[np.float64],
        usable: NDArray[np.bool_],
    ) -> Stretch:
        """Collect what is known of the pixels of a clump."""
        squared = clump.squared()
        noise = Noise(
            float(np.median(clump.of(filled.sigma))), float(np.median(clump.of(filled.correlation)))
        )
        deviation = clump.of(filled.deviation)
        smooth = _correlation(np.sqrt(squared) / clump.length)
        prior = deviation[:, None] * deviation * smooth + noise.covariance(squared)
        # What is rougher than that; rounding alone would make smooth covariances indefinite.
        rough = _ROUGH * deviation**2 + np.finfo(np.float64).tiny
        prior[np.diag_indices(len(prior))] += rough
        used = usable[clump.rows, clump.columns]
        return cls(data, used, clump.of(filled.background), prior, squared)


def _correlation(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Matern's correlation of index 5/2: power falls as the seventh power of frequency.

    Clouds fall as the third, and the PSF smooths them.
    """
    scaled = np.sqrt(5.0) * distance
    return np.asarray((1 + scaled + scaled**2 / 3) * np.exp(-scaled))


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


def solve(clump: Clump, stretch: Stretch, sources: Sources, doubts: Doubts) -> Solution:
    """Find fluxes and shapes of the sources of a clump, and what lies beneath.

    Parameters
    ----------
    clump : Clump
        Where.
    stretch : Stretch
        What is known of its pixels.
    sources : Sources
        Those of the clump are brought up to date.
    doubts : Doubts
        Of what is told of them.

    Returns
    -------
    Solution
        In the pixels of the clump.
    """
    drawn = _Drawn.of(clump, sources)
    _first_fluxes(clump, stretch, sources, drawn)
    misfit, best = 0.0, -np.inf
    for part in _MISFITS if doubts.misfit else _MISFITS[:1]:
        told = _System(clump, stretch, sources, drawn, part).evidence()
        if told < best:
            break  # the likelihood has one maximum along this line
        misfit, best = part, told
    for _ in range(_ROUNDS):
        moved = _System(clump, stretch, sources, drawn, misfit).step(doubts)
        drawn = _Drawn.of(clump, sources)
        if moved < _STILL:
            break
    return _System(clump, stretch, sources, drawn, misfit).solution(doubts)


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


def _first_fluxes(clump: Clump, stretch: Stretch, sources: Sources, drawn: _Drawn) -> None:
    """Set fluxes, where there are none, as they are if all that is told is right."""
    if np.any(sources.flux[clump.members]):
        return
    system = _System(clump, stretch, sources, drawn, 0.0)
    weighted = system.solved(system.images)
    normal = system.images.T @ weighted
    sources.flux[clump.members] = np.linalg.lstsq(normal, weighted.T @ system.rest, rcond=None)[0]


class _System:
    """The equations of a clump at what is known of its sources by now."""

    def __init__(
        self, clump: Clump, stretch: Stretch, sources: Sources, drawn: _Drawn, misfit: float
    ) -> None:
        from scipy.linalg import cho_factor  # noqa: PLC0415 - costs a tenth of a second

        self._clump, self._stretch, self._sources, self._misfit = clump, stretch, sources, misfit
        used, flux = stretch.used, sources.flux[clump.members]
        count, (pixels, _) = len(flux), drawn.images.shape
        self._slopes = (drawn.slopes * flux[:, None]).reshape(pixels, count * _SHAPES)
        light = drawn.images @ flux
        self.images = drawn.images[used]
        self.rest = (stretch.data - stretch.mean - light)[used]
        covariance = stretch.prior[np.ix_(used, used)]
        if misfit:
            narrow = np.exp(-stretch.squared[np.ix_(used, used)])
            covariance = covariance + misfit**2 * light[used, None] * light[used] * narrow
        factor = cho_factor(covariance, lower=True, check_finite=False) if used.any() else None
        self._factor = factor

    def solved(self, right: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the inverse covariance times a matrix or vector."""
        from scipy.linalg import cho_solve  # noqa: PLC0415 - costs a tenth of a second

        if self._factor is None:
            return right
        return np.asarray(cho_solve(self._factor, right, check_finite=False))

    def evidence(self) -> float:
        """Return the logarithm of the likelihood of what is left, fluxes free, less a constant."""
        if self._factor is None:
            return 0.0
        weighted = self.solved(self.images)
        rest = (
            self.rest
            - self.images
            @ np.linalg.lstsq(self.images.T @ weighted, weighted.T @ self.rest, rcond=None)[0]
        )
        spread = float(np.log(np.diag(self._factor[0])).sum())
        return -0.5 * float(rest @ self.solved(rest)) - spread

    def step(self, doubts: Doubts) -> float:
        """Bring fluxes and shapes up to date; return the most that a shape changed.

        In standard deviations of what is told.
        """
        members, sources = self._clump.members, self._sources
        count = len(members)
        change, covariance = self._changes(doubts)
        sources.flux[members] += change[:count]
        sources.variance[members] = np.diag(covariance)[:count]
        shape = sources.shape[members] + change[count:].reshape(count, _SHAPES)
        limits = _FARTHEST / np.sqrt(doubts.precision)
        before = sources.shape[members]
        sources.shape[members] = np.clip(shape, -limits, limits)
        moved = np.abs(sources.shape[members] - before) * np.sqrt(doubts.precision)
        return float(moved.max(initial=0.0))

    def _changes(self, doubts: Doubts) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return changes of fluxes and shapes for the best, and their covariance."""
        members = self._clump.members
        design = np.concatenate([self.images, self._slopes[self._stretch.used]], axis=1)
        precision = np.concatenate(
            [np.zeros(len(members)), np.tile(doubts.precision, len(members))]
        )
        now = np.concatenate([np.zeros(len(members)), self._sources.shape[members].ravel()])
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
        stretch, used = self._stretch, self._stretch.used
        change, covariance = self._changes(doubts)
        design = np.concatenate([self.images, self._slopes[used]], axis=1)
        rest = self.rest - design @ change
        self.step(doubts)
        towards = stretch.prior[:, used]
        gain = self.solved(towards.T).T
        values = stretch.mean + gain @ rest
        spread = gain @ design
        variance = np.diag(stretch.prior) - np.sum(gain * towards, axis=1)
        lost = np.clip(variance / np.diag(stretch.prior), 0, 1)
        variance = np.clip(variance, 0, None) + np.sum((spread @ covariance) * spread, axis=1)
        return Solution(values, np.sqrt(variance), np.sqrt(lost), self._misfit)
