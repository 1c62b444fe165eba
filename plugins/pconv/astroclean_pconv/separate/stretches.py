"""What is expected of the pixels of a clump before its sources are known.

Three things tell of what is beneath, b: the pixels themselves, ``d = b + n + light``; the network,
which says ``m = b + e`` in the hole; and that emission seen through a beam is smooth. b is taken
for a Gaussian process: a power law smoothed by the beam, of the strength that makes the data
likeliest (Rasmussen & Williams 2006, section 5.4.1), about a level of which nothing is known. e has
the deviation that the network tells. So where a filling is sure of itself it counts, and where
pixels are seen they do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from astroclean_pconv.fill.noise import Noise

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from astroclean_pconv.fill.filling import Filled
    from astroclean_pconv.separate.clumps import Clump

__all__ = ["Stretch", "evidence"]

_SLOPE = 4.0
"""Power of the emission falls as this power of frequency; that of clouds is 3 to 4."""
_SCALES = 10
_SMALLEST = 0.8
_LARGEST = 4.0
"""Largest scale in FWHM of the beam; more is a slope across the clump."""
_ROUGH = 1e-5
"""Part of the variance that neighbors do not share; rounding alone would make smooth covariances
indefinite."""
_ANSWERS = 9
"""Answers of the network that count in a clump. Their errors go together more than is known: with
64, errors under sources are a tenth larger, on simulated maps and on those of PACS and SPIRE."""
_FEW = 120
"""Pixels that tell how strong the emission is."""
_STRENGTHS = np.geomspace(0.03, 30.0, 9)
"""Standard deviations of emission to choose from, in those of the data."""
_FWHM = 2.354820045


@dataclass(frozen=True, eq=False)
class Stretch:
    """Pixels of a clump, n of them, of which the network tells m.

    What is seen are rows: the pixels that are usable, then the network's answers.
    """

    usable: NDArray[np.bool_]
    """(n,): pixels whose data is to be believed."""
    smooth: NDArray[np.float64]
    """(n, n): correlation of the emission."""
    noise: NDArray[np.float64]
    """(n, n): covariance of the noise."""
    told: NDArray[np.intp]
    """(m,): pixels of which the network tells."""
    answers: NDArray[np.float64]
    """(m,): what it says."""
    doubt: NDArray[np.float64]
    """(m, m): covariance of its errors."""
    strength: float = 1.0
    """Standard deviation of the emission."""

    @classmethod
    def of(cls, clump: Clump, filled: Filled, usable: NDArray[np.bool_], *, fwhm: float) -> Stretch:
        """Collect what is expected of a clump; of the strength nothing is known yet.

        Parameters
        ----------
        clump : Clump
            Its pixels.
        filled : Filled
            What the network says.
        usable : (ny, nx) bool
            Pixels of the frame to believe.
        fwhm : float
            Of the beam, pixels.
        """
        inside = np.flatnonzero(clump.inside)
        told = inside[_spread_out(clump.rows[inside], clump.columns[inside])]
        squared = clump.squared
        deviation = clump.of(filled.deviation)[told]
        least = np.finfo(np.float64).tiny * np.eye(len(told))
        noise = Noise(
            float(np.median(clump.of(filled.sigma)[inside])),
            float(np.median(clump.of(filled.correlation)[inside])),
        )
        # Squared distances of pixels are whole numbers, of which there are far fewer than pairs.
        steps = np.arange(int(squared.max()) + 1, dtype=np.float64)
        alike = _correlation(np.sqrt(steps) / clump.length) + _ROUGH * (steps == 0)
        emission = _smoothness(steps, fwhm / _FWHM)
        return cls(
            usable[clump.rows, clump.columns],
            emission[squared],
            noise.covariance(steps)[squared],
            told,
            clump.of(filled.background)[told],
            deviation[:, None] * deviation * alike[squared[np.ix_(told, told)]] + least,
        )

    @cached_property
    def beneath(self) -> NDArray[np.float64]:
        """Covariance of what is beneath, with noise: (n, n)."""
        beneath = self.strength**2 * self.smooth + self.noise
        beneath[np.diag_indices(len(beneath))] += self.strength**2 * _ROUGH
        return beneath

    @cached_property
    def towards(self) -> NDArray[np.float64]:
        """Covariance of what is beneath, with noise, and of the rows: (n, rows)."""
        emission = self.strength**2 * self.smooth[:, self.told]
        return np.concatenate([self.beneath[:, self.usable], emission], axis=1)

    @cached_property
    def covariance(self) -> NDArray[np.float64]:
        """Covariance of the rows: (rows, rows)."""
        emission, errors = self._parts
        return self.strength**2 * emission + errors

    @cached_property
    def _parts(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Covariance of the rows by emission of strength 1, and by noise and doubt."""
        pixels = np.flatnonzero(self.usable)
        both = np.concatenate([pixels, self.told])
        errors = np.zeros((len(both), len(both)))
        errors[: len(pixels), : len(pixels)] = self.noise[np.ix_(pixels, pixels)]
        errors[len(pixels) :, len(pixels) :] = self.doubt
        # What is rough no answer tells of: it is another one in each row.
        return self.smooth[np.ix_(both, both)] + _ROUGH * np.eye(len(both)), errors

    def seen(self, data: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the rows, (rows,), of the pixels of the clump."""
        return np.concatenate([data[self.usable], self.answers])

    def rows_of(self, images: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the rows of images, (n, k), of which the network's answers know nothing."""
        nothing = np.zeros((len(self.told), *images.shape[1:]))
        return np.concatenate([images[self.usable], nothing])

    @property
    def level(self) -> NDArray[np.float64]:
        """The rows, (rows, 1), of a level that is the same everywhere."""
        return np.ones((int(self.usable.sum()) + len(self.told), 1))

    def fitted(self, data: NDArray[np.float64], images: NDArray[np.float64]) -> Stretch:
        """Return the same with the strength that makes some of the rows likeliest.

        Parameters
        ----------
        data : (n,) float64
            Pixels.
        images : (n, k) float64
            Of the sources, whose fluxes are free.
        """
        from scipy.linalg import cho_factor  # noqa: PLC0415 - costs a tenth of a second

        count = int(self.usable.sum())
        step = max(-(-count // _FEW), 1)
        chosen = np.r_[:count:step, count : count + len(self.told)]
        seen = self.seen(data)[chosen]
        design = np.concatenate([self.rows_of(images), self.level], axis=1)[chosen]
        # A bright source must not make the sky beneath it seem strong.
        rest = seen - design @ np.linalg.lstsq(design, seen, rcond=None)[0]
        unit = float(rest.std()) if count else 0.0
        if not unit > 0:
            return self
        emission, errors = (part[np.ix_(chosen, chosen)] for part in self._parts)

        def likelihood(strength: float) -> float:
            factor = cho_factor(strength**2 * emission + errors, lower=True, check_finite=False)
            return evidence(factor[0], seen, design)

        found = replace(self, strength=_highest(likelihood, unit * _STRENGTHS))
        # They do not depend on the strength.
        found.__dict__["_parts"] = self._parts
        return found


def _highest(function: Callable[[float], float], places: NDArray[np.float64]) -> float:
    """Return the place with the highest value, of a function with one maximum."""
    known: dict[int, float] = {}

    def value(index: int) -> float:
        if index not in known:
            inside = 0 <= index < len(places)
            known[index] = function(float(places[index])) if inside else -np.inf
        return known[index]

    best = len(places) // 2
    step = 1 if value(best + 1) > value(best) else -1
    while value(best + step) > value(best):
        best += step
    return float(places[best])


def evidence(
    factor: NDArray[np.float64], seen: NDArray[np.float64], design: NDArray[np.float64]
) -> float:
    """Return the logarithm of the likelihood of rows, whatever the design has of them.

    Parameters
    ----------
    factor : (rows, rows) float64
        Lower Cholesky factor of their covariance.
    seen : (rows,) float64
        What is seen.
    design : (rows, k) float64
        Columns whose amplitudes are free, without a limit.

    Returns
    -------
    float
        Less a constant: of use for comparisons (restricted likelihood; Rasmussen & Williams 2006,
        equation 2.45).
    """
    from scipy.linalg import solve_triangular  # noqa: PLC0415 - a tenth of a second

    both = np.column_stack([design, seen])
    white = solve_triangular(factor, both, lower=True, check_finite=False)
    # The last column of R is what the design has not of the rows.
    corner = np.abs(np.diag(np.linalg.qr(white, mode="r")))
    free = np.log(np.maximum(corner[:-1], np.finfo(np.float64).tiny)).sum()
    return float(-0.5 * corner[-1] ** 2 - np.log(np.diag(factor)).sum() - free)


def _smoothness(squared: NDArray[np.float64], beam: float) -> NDArray[np.float64]:
    """Return the correlation of a power law seen through a Gaussian beam, by squared distance.

    A power law is a mixture of Gaussians of all scales; the beam widens each, and weakens the small
    ones.
    """
    total, norm = np.zeros_like(squared), 0.0
    for scale in np.geomspace(_SMALLEST * _FWHM, _LARGEST * _FWHM, _SCALES) * beam:
        width = scale**2 + 2 * beam**2
        weight = scale**_SLOPE / width
        total += weight * np.exp(-0.5 * squared / width)
        norm += weight
    return total / norm


def _correlation(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Matern's correlation of index 5/2, which is that of the errors of a filling."""
    scaled = np.sqrt(5.0) * distance
    return np.asarray((1 + scaled + scaled**2 / 3) * np.exp(-scaled))


def _spread_out(rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return indices of pixels on a grid that has few enough of them."""
    step = int(np.ceil(np.sqrt(len(rows) / _ANSWERS)))
    chosen = np.flatnonzero((rows % step == 0) & (columns % step == 0))
    return chosen if step > 1 else np.arange(len(rows))
