"""Fluxes of all bands at given places, fitted together under what colours galaxies have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.psf.stamp import FWHM_PER_SIGMA
from astroclean_spire_sr.bands import COARSE, FWHM
from astroclean_spire_sr.planes import COLORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from astroclean_spire_sr.bands import BandMap

    Values = NDArray[np.float64]

__all__ = ["COLOR_COVARIANCE", "JointFluxes", "joint_fluxes"]

_FAR = tuple(COLORS)
COLOR_COVARIANCE = np.array(
    [[0.276, 0.100, -0.034], [0.100, 0.039, -0.0128], [-0.034, -0.0128, 0.0062]]
)
"""Of the logarithms of the fluxes at 250, 350 and 500 um over that at 450 um, of the simulator's
galaxies of 3 to 15 mJy, and an error of 4 % of each band's calibration."""
_REACH = 2.5
"""FWHM of a beam up to which two sources see each other."""
_ROUNDS = 3
"""Fits, each with the colours' scatter in units of the fluxes of the one before."""
_CONFUSION = 3.0
"""mJy a beam, standard deviation of what galaxies below 3 mJy at 450 um add in each band."""
_LEAST = 0.5
"""mJy, flux whose scatter of colours even the faintest have."""


@dataclass(frozen=True, eq=False)
class JointFluxes:
    """Fluxes of n sources."""

    flux: Values
    """(n,) at 450 um, mJy: as the colours make it follow from the bands."""
    error: Values
    """(n,) standard deviation, mJy."""
    bands: dict[str, Values]
    """(n,) each, mJy."""
    band_errors: dict[str, Values]


def joint_fluxes(
    maps: Mapping[str, BandMap],
    x: Values,
    y: Values,
    *,
    prior: tuple[Values, Values] | None = None,
) -> JointFluxes:
    """Return fluxes at given places.

    Every source is a point; its fluxes in all bands follow from one flux at 450 um and colours of
    a known scatter. A level of each band, which fainter galaxies make, is fitted with them.

    Parameters
    ----------
    maps : mapping of str to BandMap
        Bands of SPIRE on one grid of 3 arcsec.
    x, y : (n,) float64
        Pixels of that grid.
    prior : tuple of two (n,) float64, optional
        Flux at 450 um and its error, mJy, as known beforehand; None: nothing is.

    Returns
    -------
    JointFluxes
        NaN where no band sees a source.
    """
    fit = _Fit(maps, x, y)
    flux = np.full(len(x), np.nan)
    mean = np.full(len(x), 3.0) if prior is None else prior[0]
    spread = np.full(len(x), 30.0) if prior is None else prior[1]
    result = JointFluxes(flux, flux, {}, {})
    scale = mean
    for _ in range(_ROUNDS):
        result = fit.solved(mean, spread, np.maximum(scale, _LEAST))
        scale = np.nan_to_num(result.flux, nan=_LEAST)
    return result


class _Fit:
    """Images of all sources in all bands; unknown are fluxes, and a level of each band."""

    def __init__(self, maps: Mapping[str, BandMap], x: Values, y: Values) -> None:
        from scipy.ndimage import map_coordinates  # noqa: PLC0415 - heavy

        self._names = [name for name in _FAR if name in maps and maps[name].known.any()]
        self._count = len(x)
        self._places = np.column_stack([x, y])
        self._parts = []
        self.seen = np.zeros(self._count, dtype=bool)
        for name in self._names:
            one, sigma = maps[name], FWHM[name] / FWHM_PER_SIGMA / COARSE
            weight = np.where(one.known, (COARSE / one.pixel / one.noise) ** 2, 0.0)
            at = np.array([y, x])
            # Of a beam whose peak is 1: sums over pixels of its square, and of itself.
            square = np.pi * sigma**2
            collected = _blurred(weight, sigma / np.sqrt(2)) * square
            # Galaxies that are not in the list are noise, too, which no depth takes away.
            weight = weight / (1 + collected * _CONFUSION**2)
            collected = collected / (1 + collected * _CONFUSION**2)
            data = _blurred(weight * one.data, sigma) * 2 * square
            level = _blurred(weight, sigma) * 2 * square
            sampled = [
                map_coordinates(image, at, order=3, mode="nearest")
                for image in (collected, data, level)
            ]
            sampled[0] = np.maximum(sampled[0], 1e-12)
            self.seen |= sampled[0] > 1e-6 * collected.max()
            total = float(weight.sum())
            self._parts.append((sigma, *sampled, total, float((weight * one.data).sum())))

    def solved(self, mean: Values, spread: Values, scale: Values) -> JointFluxes:
        """Return the most probable fluxes; ``scale`` is what the scatter of colours counts in."""
        from scipy.sparse import bmat, csc_matrix, diags  # noqa: PLC0415 - heavy
        from scipy.sparse.linalg import splu  # noqa: PLC0415 - heavy

        count, bands = self._count, len(self._names)
        if not count or not bands:
            nothing = np.full(count, np.nan)
            return JointFluxes(nothing, nothing, {}, {})
        rows: list[list[object]] = [[None] * (bands + 1) for _ in range(bands + 1)]
        right = []
        levels, seen = np.zeros(bands), np.zeros((bands, count))
        for index, (sigma, collected, data, level, total, summed) in enumerate(self._parts):
            rows[index][index] = self._overlaps(sigma, collected)
            right.append(data)
            seen[index] = level
            levels[index] = total
        prior, shift = self._prior(mean, spread, scale)
        for i in range(bands):
            for j in range(bands):
                block = diags(prior[i, j])
                rows[i][j] = block if rows[i][j] is None else rows[i][j] + block  # type: ignore[operator]
            column = np.zeros((count, bands))
            column[:, i] = seen[i]
            rows[i][bands] = csc_matrix(column)
            rows[bands][i] = csc_matrix(column.T)
        rows[bands][bands] = diags(levels)
        summed = np.array([part[5] for part in self._parts])
        vector = np.concatenate([*(right[i] + shift[i] for i in range(bands)), summed])
        solver = splu(bmat(rows, format="csc"))
        answer = solver.solve(vector)[: bands * count].reshape(bands, count)
        return self._told(answer, self._variances(prior, mean), mean, spread, scale)

    def _overlaps(self, sigma: float, collected: Values) -> object:
        """Return sums over pixels of the products of two sources' images, with weights."""
        from scipy.sparse import csc_matrix  # noqa: PLC0415 - heavy
        from scipy.spatial import cKDTree  # noqa: PLC0415 - heavy

        reach = _REACH * sigma * FWHM_PER_SIGMA
        pairs = cKDTree(self._places).query_pairs(reach, output_type="ndarray")
        first, second = (pairs[:, 0], pairs[:, 1]) if len(pairs) else (pairs.ravel(),) * 2
        square = np.sum((self._places[first] - self._places[second]) ** 2, axis=1)
        value = np.sqrt(collected[first] * collected[second]) * np.exp(-square / (4 * sigma**2))
        every = np.arange(self._count)
        i, j = np.concatenate([every, first, second]), np.concatenate([every, second, first])
        values = np.concatenate([collected, value, value])
        return csc_matrix((values, (i, j)), shape=(self._count, self._count))

    def _colors(self) -> tuple[Values, Values]:
        places = [_FAR.index(name) for name in self._names]
        colors = np.array([COLORS[name] for name in self._names])
        return colors, COLOR_COVARIANCE[np.ix_(places, places)] * np.outer(colors, colors)

    def _prior(self, mean: Values, spread: Values, scale: Values) -> tuple[Values, Values]:
        """Return, of each source, the inverse covariance of its fluxes and that times its mean."""
        colors, scatter = self._colors()
        covariance = scale[:, None, None] ** 2 * scatter
        covariance = covariance + spread[:, None, None] ** 2 * np.outer(colors, colors)
        inverse = np.linalg.inv(covariance)
        shift = np.einsum("nij,nj->in", inverse, mean[:, None] * colors)
        return np.moveaxis(inverse, 0, -1), shift

    def _variances(self, prior: Values, mean: Values) -> Values:
        """Return the covariance of the fluxes of each source, its neighbours' known: (n, b, b).

        Neighbours that are not known well widen it: the share of a source's information that they
        take is told by their overlaps.
        """
        bands = len(self._names)
        information = np.moveaxis(prior, -1, 0).copy()
        for index, part in enumerate(self._parts):
            overlaps = self._overlaps(part[0], part[1])
            squared = overlaps.multiply(overlaps).sum(axis=1)  # type: ignore[attr-defined]
            crowd = np.asarray(squared).ravel() / part[1] ** 2 - 1
            information[:, index, index] += part[1] / (1 + crowd)
        assert information.shape[1:] == (bands, bands)
        return np.linalg.inv(information)

    def _told(
        self, answer: Values, covariance: Values, mean: Values, spread: Values, scale: Values
    ) -> JointFluxes:
        """Return fluxes at 450 um, which the colours make follow from those of the bands."""
        colors, scatter = self._colors()
        prior = scale[:, None, None] ** 2 * scatter
        prior = prior + spread[:, None, None] ** 2 * np.outer(colors, colors)
        wanted = spread[:, None] ** 2 * colors
        gain = np.linalg.solve(prior, wanted[..., None])[..., 0]
        flux = mean + np.einsum("nb,nb->n", gain, answer.T - mean[:, None] * colors)
        rest = spread**2 - np.einsum("nb,nb->n", gain, wanted)
        variance = np.maximum(rest, 0) + np.einsum("nb,nbc,nc->n", gain, covariance, gain)
        nothing = ~self.seen
        errors = np.sqrt(np.einsum("nbb->bn", covariance))
        return JointFluxes(
            np.where(nothing, np.nan, flux),
            np.where(nothing, np.nan, np.sqrt(variance)),
            {n: np.where(nothing, np.nan, answer[i]) for i, n in enumerate(self._names)},
            {n: np.where(nothing, np.nan, errors[i]) for i, n in enumerate(self._names)},
        )


def _blurred(image: NDArray[np.floating], sigma: float) -> Values:
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - heavy

    return np.asarray(gaussian_filter(np.asarray(image, dtype=np.float64), sigma, mode="constant"))
