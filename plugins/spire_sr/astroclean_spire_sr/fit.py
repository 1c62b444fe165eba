"""Fluxes of all bands at given places, fitted together under what colours galaxies have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.psf.spire import BEAMS
from astroclean.core.psf.stamp import FWHM_PER_SIGMA
from astroclean.errors import PluginError
from astroclean_spire_sr.bands import COARSE
from astroclean_spire_sr.planes import COLORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from scipy.sparse import csc_array

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
_ACCURACY, _MOST = 1e-7, 2000
"""Of the right side that a fit may leave; steps until it must be so."""
_ROUNDS = 3
"""Fits, each with the colours' scatter in units of the fluxes of the one before."""
_CONFUSION = 3.0
"""mJy a beam, standard deviation of what galaxies below 3 mJy at 450 um add in each band: the least
of what any list leaves."""
_TRIMMED = 1.02
"""Standard deviation of a Gaussian over that without .002 of it on either side."""
_USUAL = 3.0
"""mJy, flux of a source of which nothing is known, with ten times that as its error."""
_TINY, _LEAST_SEEN = 1e-9, 1e-6
"""Of the best place: what counts for nothing, and what is not seen at all."""
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


@dataclass(frozen=True, eq=False)
class _Prior:
    """What is known of n fluxes at 450 um beforehand, mJy."""

    flux: Values
    error: Values


def joint_fluxes(
    maps: Mapping[str, BandMap],
    x: Values,
    y: Values,
    *,
    flux: Values | None = None,
    flux_error: Values | None = None,
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
    flux, flux_error : (n,) float64, optional
        At 450 um, mJy, as known beforehand; None: nothing is.

    Returns
    -------
    JointFluxes
        NaN where no band sees a source.
    """
    nothing, places = np.full(len(x), np.nan), np.column_stack([x, y])
    fit = _Fit(maps, places, {}) if len(x) else None
    if fit is None or not fit.names:
        return JointFluxes(nothing, nothing, {}, {})
    prior = _Prior(
        np.full(len(x), _USUAL) if flux is None else flux,
        np.full(len(x), 10 * _USUAL) if flux_error is None else flux_error,
    )
    result = _solved(fit, prior, prior.flux)
    # A list of bright sources leaves more galaxies to the noise than one of all that are seen.
    left = {
        name: _confusion(maps[name], places, np.nan_to_num(fluxes), BEAMS[name])
        for name, fluxes in result.bands.items()
    }
    return _solved(_Fit(maps, places, left), prior, np.nan_to_num(result.flux, nan=_LEAST))


def _solved(fit: _Fit, prior: _Prior, scale: Values) -> JointFluxes:
    for _ in range(_ROUNDS):
        result = fit.solved(prior, np.maximum(scale, _LEAST))
        scale = np.nan_to_num(result.flux, nan=_LEAST)
    return result


def _confusion(one: BandMap, places: Values, fluxes: Values, fwhm: float) -> float:
    """Return the standard deviation, mJy a beam, of fluxes by what a list leaves in a map."""
    sigma = fwhm / FWHM_PER_SIGMA / COARSE
    ny, nx = one.data.shape
    model = np.zeros((ny, nx))
    column, row = np.rint(places).astype(int).T
    inside = (row >= 0) & (column >= 0) & (row < ny) & (column < nx)
    np.add.at(model, (row[inside], column[inside]), fluxes[inside])
    left = one.data - _blurred(model, sigma) * 2 * np.pi * sigma**2
    weight = one.weights
    collected = _blurred(weight, sigma / np.sqrt(2)) * np.pi * sigma**2
    seen = one.known & (collected > _LEAST_SEEN * collected.max())
    flux = _blurred(weight * left, sigma)[seen] * 2 * np.pi * sigma**2 / collected[seen]
    # Galaxies make a tail to bright fluxes, which is why this is no median of deviations.
    low, high = np.quantile(flux, [0.002, 0.998])
    scatter = float(np.std(flux[(flux > low) & (flux < high)])) * _TRIMMED
    white = float(np.mean(1 / collected[seen]))
    return max(float(np.sqrt(max(scatter**2 - white, 0.0))), _CONFUSION)


@dataclass(frozen=True, eq=False)
class _Seen:
    """What one band tells of n sources whose images are Gaussians of peak 1."""

    sigma: float
    """Of the beam, pixels."""
    collected: Values
    """(n,) sum over pixels of weight times the square of the image."""
    data: Values
    """(n,) the same of weight, image and data."""
    level: Values
    """(n,) the same of weight and image."""
    weight: float
    """Sum of all weights."""
    total: float
    """Sum of weight times data."""
    is_seen: NDArray[np.bool_]
    overlaps: csc_array
    """(n, n) sums over pixels of the products of two images, with weights."""


def _seen(one: BandMap, places: Values, fwhm: float, confusion: float) -> _Seen:
    """Return what a band tells of sources at places (n, 2), x and y.

    ``confusion`` is the standard deviation of what is not in the list, mJy a beam.
    """
    from scipy.ndimage import map_coordinates  # noqa: PLC0415 - heavy

    sigma = fwhm / FWHM_PER_SIGMA / COARSE
    square = np.pi * sigma**2
    weight = one.weights
    collected = _blurred(weight, sigma / np.sqrt(2)) * square
    # Galaxies that are not in the list are noise, too, which no depth takes away.
    share = 1 / (1 + collected * confusion**2)
    weight, collected = weight * share, collected * share
    at = places.T[::-1]
    data, level, own = (
        map_coordinates(image, at, order=3, mode="nearest")
        for image in (
            _blurred(weight * one.data, sigma) * 2 * square,
            _blurred(weight, sigma) * 2 * square,
            collected,
        )
    )
    own = np.maximum(own, _TINY * collected.max())
    return _Seen(
        sigma,
        own,
        data,
        level,
        float(weight.sum()),
        float((weight * one.data).sum()),
        own > _LEAST_SEEN * collected.max(),
        _overlaps(places, own, sigma),
    )


def _overlaps(places: Values, collected: Values, sigma: float) -> csc_array:
    from scipy.sparse import csc_array  # noqa: PLC0415 - heavy
    from scipy.spatial import cKDTree  # noqa: PLC0415 - heavy

    reach = _REACH * sigma * FWHM_PER_SIGMA
    first, second = cKDTree(places).query_pairs(reach, output_type="ndarray").reshape(-1, 2).T
    square = np.sum((places[first] - places[second]) ** 2, axis=1)
    value = np.sqrt(collected[first] * collected[second]) * np.exp(-square / (4 * sigma**2))
    every = np.arange(len(places))
    i, j = np.concatenate([every, first, second]), np.concatenate([every, second, first])
    values = np.concatenate([collected, value, value])
    return csc_array((values, (i, j)), shape=(len(places), len(places)))


class _Fit:
    """Fluxes of all sources in all bands, and a level of each band, are unknown."""

    def __init__(
        self, maps: Mapping[str, BandMap], places: Values, confusion: Mapping[str, float]
    ) -> None:
        self.names = [name for name in _FAR if name in maps and maps[name].known.any()]
        self._bands = [
            _seen(maps[name], places, BEAMS[name], confusion.get(name, _CONFUSION))
            for name in self.names
        ]
        chosen = [_FAR.index(name) for name in self.names]
        self._colors = np.array([COLORS[name] for name in self.names])
        scatter = COLOR_COVARIANCE[np.ix_(chosen, chosen)]
        self._scatter = scatter * np.outer(self._colors, self._colors)

    def solved(self, prior: _Prior, scale: Values) -> JointFluxes:
        """Return the most probable fluxes; ``scale`` is what the scatter of colours counts in."""
        covariance = scale[:, None, None] ** 2 * self._scatter
        covariance = covariance + prior.error[:, None, None] ** 2 * np.outer(
            self._colors, self._colors
        )
        inverse = np.linalg.inv(covariance)
        fluxes = self._fluxes(inverse, prior.flux[:, None] * self._colors)
        errors = self._covariances(inverse)
        # The flux at 450 um follows from those of the bands by their colours.
        wanted = prior.error[:, None] ** 2 * self._colors
        gain = np.linalg.solve(covariance, wanted[..., None])[..., 0]
        off = fluxes - prior.flux[:, None] * self._colors
        rest = prior.error**2 - np.sum(gain * wanted, axis=1)
        variance = np.maximum(rest, 0) + np.einsum("nb,nbc,nc->n", gain, errors, gain)
        is_seen = np.logical_or.reduce([band.is_seen for band in self._bands])

        def told(values: Values) -> Values:
            return np.where(is_seen, values, np.nan)

        return JointFluxes(
            told(prior.flux + np.sum(gain * off, axis=1)),
            told(np.sqrt(variance)),
            {name: told(fluxes[:, i]) for i, name in enumerate(self.names)},
            {name: told(np.sqrt(errors[:, i, i])) for i, name in enumerate(self.names)},
        )

    def _fluxes(self, inverse: Values, mean: Values) -> Values:
        """Return fluxes (n, bands) under a prior of some inverse covariance and mean."""
        from scipy.sparse.linalg import LinearOperator, cg  # noqa: PLC0415 - heavy

        count, bands = mean.shape
        levels = np.stack([band.level for band in self._bands], axis=1)
        weights = np.array([band.weight for band in self._bands])
        information = inverse.copy()
        for index, band in enumerate(self._bands):
            information[:, index, index] += band.collected
        alone = np.linalg.inv(information)

        def applied(vector: Values) -> Values:
            fluxes, level = vector[: count * bands].reshape(count, bands), vector[count * bands :]
            result = np.einsum("nij,nj->ni", inverse, fluxes) + levels * level
            for index, band in enumerate(self._bands):
                result[:, index] += band.overlaps @ fluxes[:, index]
            return np.concatenate([result.ravel(), weights * level + np.sum(levels * fluxes, 0)])

        def nearly(vector: Values) -> Values:
            """Return the solution if sources had no neighbours."""
            fluxes, level = vector[: count * bands].reshape(count, bands), vector[count * bands :]
            return np.concatenate([np.einsum("nij,nj->ni", alone, fluxes).ravel(), level / weights])

        told = [band.data for band in self._bands] + np.einsum("nij,nj->in", inverse, mean)
        right = np.append(told.T.ravel(), [band.total for band in self._bands])
        size = (right.size, right.size)
        answer, left = cg(
            LinearOperator(size, matvec=applied, dtype=float),
            right,
            rtol=_ACCURACY,
            maxiter=_MOST,
            M=LinearOperator(size, matvec=nearly, dtype=float),
        )
        if left:
            raise PluginError(
                "the joint fit of fluxes does not converge", received=f"{count} sources"
            )
        return np.asarray(answer[: count * bands].reshape(count, bands))

    def _covariances(self, inverse: Values) -> Values:
        """Return the covariance (n, bands, bands) of the fluxes of each source.

        What a source shares with neighbours is told of neither: overlaps take away information.
        """
        information = inverse.copy()
        for index, band in enumerate(self._bands):
            shared = np.asarray((band.overlaps**2).sum(axis=1)).ravel() / band.collected**2
            information[:, index, index] += band.collected / shared
        return np.asarray(np.linalg.inv(information))


def _blurred(image: NDArray[np.floating], sigma: float) -> Values:
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - heavy

    return np.asarray(gaussian_filter(np.asarray(image, dtype=np.float64), sigma, mode="constant"))
