"""Fluxes of all sources of an image at once, with the covariance of their blends.

Weighted linear least squares of known images of unit flux. Errors come from the inverse of the
normal matrix, so they hold what neighbors cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from astroclean.errors import StageError
from astroclean_pais.blends import Covariance, covariance_of, solved
from astroclean_pais.fit_flags import FitFlag
from astroclean_pais.light import core_of, model_image
from astroclean_pais.normal_equations import normal_equations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from astroclean.core.sources.sources import SourceStamp
    from astroclean_pais.normal_equations import NormalEquations

__all__ = ["AmplitudeFit", "BandPixels", "Prior", "fit_bands", "joint_fit"]

_LOST = 0.25
"""Part of the light of a core that may be on pixels that are not usable."""
_BEYOND = 0.1
"""Part of the light of a source that may lie beyond the border."""
_INFLATED = 100.0
"""Variance, with that of the source alone as unit, from which a blend is degenerate."""
_LEAST_VARIANCE = 1e-100
"""Noise below which a pixel is none: squares of its inverse would be beyond floating point."""
_CHI2, _SURE = 1.5, 5.0
"""Reduced chi2 of a poor fit, and by how many standard deviations it must be above 1."""


class BandPixels(NamedTuple):
    """What is fitted, in the unit of the frame."""

    data: NDArray[np.floating]
    """(ny, nx)"""
    variance: NDArray[np.floating]
    """(ny, nx)"""
    usable: NDArray[np.bool_]
    """(ny, nx)"""


class Prior(NamedTuple):
    """What is known of fluxes before: a Gaussian for each source."""

    flux: NDArray[np.floating]
    """(n,) mean."""
    sigma: NDArray[np.floating]
    """(n,) standard deviation; infinite or NaN where nothing is known."""


@dataclass(frozen=True, eq=False)
class AmplitudeFit:
    """Fluxes of n sources; the order is that of the images. Fluxes are sums of pixels."""

    id: NDArray[np.int32]
    """(n,) of the images."""
    flux: NDArray[np.float64]
    """(n,) NaN where no pixel tells."""
    flux_err: NDArray[np.float64]
    """(n,) standard deviation, what neighbors cost included; with a prior, after it."""
    neighbor: NDArray[np.int32]
    """(n,) id of the source whose flux is most correlated with this one's; 0 for none."""
    covariance: NDArray[np.float64]
    """(n,) of both fluxes; 0 for none."""
    chi2: NDArray[np.float64]
    """(n,) mean of residual^2 / variance over the lit pixels; NaN without any."""
    lit: NDArray[np.int32]
    """(n,) usable pixels where the model is above the noise, or above half of its highest value."""
    flags: NDArray[np.int32]
    """(n,) bits of `FitFlag`."""
    residual: NDArray[np.float64]
    """(ny, nx) data less all models, in every pixel."""
    weight: NDArray[np.float64]
    """(ny, nx) 1 / variance of the pixels that counted, 0 elsewhere."""


def joint_fit(
    profiles: Sequence[SourceStamp],
    data: NDArray[np.floating],
    variance: NDArray[np.floating],
    usable: NDArray[np.bool_],
    *,
    prior: Prior | None = None,
    positive: bool = False,
) -> AmplitudeFit:
    """Fit the fluxes of all sources together.

    Parameters
    ----------
    profiles : sequence of SourceStamp
        n images of sources of unit flux through the PSF, finite; the sum of a box is at most 1, the
        rest lies beyond it. Boxes may reach beyond the image. Not modified.
    data, variance : (ny, nx) float
        In the unit of the frame, and squared. Not modified.
    usable : (ny, nx) bool
        BandPixels that count, where data and variance are finite and the variance is positive.
    prior : Prior, optional
        What is known of the fluxes.
    positive : bool
        Whether no flux may be negative. Errors are those of the fit without that limit.

    Returns
    -------
    AmplitudeFit
        New arrays. Fluxes that no data tell apart are shared evenly; they are flagged, and their
        errors are as large as the doubt.

    Raises
    ------
    StageError
        Shapes differ, an image is not finite, or an id occurs twice.
    """
    pixels = BandPixels(np.asarray(data), np.asarray(variance), np.asarray(usable))
    _check(profiles, pixels, prior)
    weight = _weight(pixels)
    known = np.where(weight > 0, pixels.data, 0).astype(np.float64)
    equations = normal_equations(profiles, known, weight)
    flux, covariance, scale = _fluxes(equations, prior, positive=positive)
    shape = (weight.shape[0], weight.shape[1])
    residual = pixels.data - model_image(profiles, flux, shape)
    chi2, lit = _chi2(profiles, flux, residual, weight)
    ids = np.array([profile.id for profile in profiles], dtype=np.int32)
    partner, blended = covariance.partner, covariance.partner >= 0
    error = np.sqrt(covariance.variance) / scale
    shared = covariance.shared / (scale * scale[partner])
    flags = _seen(profiles, weight > 0) | _told(equations, flux, covariance, chi2, lit)
    return AmplitudeFit(
        id=ids,
        flux=flux,
        flux_err=np.where(np.isfinite(flux), error, np.nan),
        neighbor=np.where(blended, ids[partner], 0).astype(np.int32),
        covariance=np.where(blended, shared, 0.0),
        chi2=chi2,
        lit=lit,
        flags=flags,
        residual=residual,
        weight=weight,
    )


def fit_bands(
    profiles: Mapping[str, Sequence[SourceStamp]],
    pixels: Mapping[str, BandPixels],
    *,
    positive: bool = False,
) -> dict[str, AmplitudeFit]:
    """Fit the same sources in each of several bands.

    Parameters
    ----------
    profiles : mapping of str to sequence of SourceStamp
        Images of unit flux in each band, of the same ids in the same order.
    pixels : mapping of str to BandPixels
        What is fitted in each band.
    positive : bool
        As of `joint_fit`.

    Returns
    -------
    dict of str to AmplitudeFit
        In the order of ``profiles``.

    Raises
    ------
    StageError
        Bands differ, or their ids do; or as of `joint_fit`.
    """
    if profiles.keys() != pixels.keys():
        raise StageError(
            "images and pixels are of different bands",
            where="joint fit",
            received=f"{', '.join(profiles)}; {', '.join(pixels)}",
        )
    lists = {band: [profile.id for profile in own] for band, own in profiles.items()}
    first = next(iter(lists.values()), [])
    for band, ids in lists.items():
        if ids != first:
            raise StageError(
                "the bands have images of different sources",
                where=f"joint fit, band '{band}'",
                received=f"{len(ids)} and {len(first)} ids",
                remedy="Give each source an image in each band, in one order.",
            )
    return {
        band: joint_fit(own, *pixels[band], positive=positive) for band, own in profiles.items()
    }


def _check(profiles: Sequence[SourceStamp], pixels: BandPixels, prior: Prior | None) -> None:
    shapes = [array.shape for array in pixels]
    if len(set(shapes)) > 1 or len(shapes[0]) != 2:  # noqa: PLR2004
        raise StageError(
            "data, variance and usable pixels must be images of one shape",
            where="joint fit",
            received=", ".join(map(str, shapes)),
        )
    for profile in profiles:
        if not np.isfinite(profile.data).all():
            raise StageError(
                "the image of a source has pixels that are not finite",
                where=f"joint fit, source {profile.id}",
                remedy="The network that drew it is damaged, or was fed with such pixels.",
            )
    if len({profile.id for profile in profiles}) != len(profiles):
        raise StageError("a source has two images", where="joint fit")
    if prior is not None and {np.shape(prior.flux), np.shape(prior.sigma)} != {(len(profiles),)}:
        raise StageError(
            f"the prior must have a value for each of {len(profiles)} sources",
            where="joint fit",
            received=f"{np.shape(prior.flux)}, {np.shape(prior.sigma)}",
        )


def _weight(pixels: BandPixels) -> NDArray[np.float64]:
    counts = pixels.usable & np.isfinite(pixels.data) & np.isfinite(pixels.variance)
    counts &= pixels.variance > _LEAST_VARIANCE
    weight = np.zeros(pixels.data.shape)
    np.divide(1.0, pixels.variance, out=weight, where=counts)
    return weight


def _fluxes(
    equations: NormalEquations, prior: Prior | None, *, positive: bool
) -> tuple[NDArray[np.float64], Covariance, NDArray[np.float64]]:
    """Return fluxes, the covariance of fluxes times scales, and these scales: 1 / error alone."""
    from scipy.sparse import coo_array  # noqa: PLC0415 - costs a tenth of a second

    matrix, right = equations
    values, right = matrix.data.copy(), right.copy()
    diagonal = np.flatnonzero(matrix.row == matrix.col)  # one a source, in their order
    if prior is not None:
        told = np.isfinite(prior.flux) & np.isfinite(prior.sigma) & (prior.sigma > 0)
        precision = np.where(told, prior.sigma, np.inf) ** -2.0
        values[diagonal] += precision
        right += precision * np.where(told, prior.flux, 0)
    unknown = values[diagonal] <= 0
    scale = np.sqrt(np.where(unknown, 1.0, values[diagonal]))
    values[diagonal[unknown]] = 1.0
    values /= scale[matrix.row] * scale[matrix.col]
    values[diagonal] = 1.0  # to the last digit, so that a source alone has its own error
    scaled = coo_array((values, (matrix.row, matrix.col)), shape=matrix.shape)
    covariance = covariance_of(scaled)
    flux = solved(scaled, right / scale, covariance.ridge, positive=positive) / scale
    return np.where(unknown, np.nan, flux), covariance, scale


def _chi2(
    profiles: Sequence[SourceStamp],
    flux: NDArray[np.float64],
    residual: NDArray[np.float64],
    weight: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return the reduced chi2 of the lit pixels of each source, and their number."""
    chi2, lit = np.full(len(profiles), np.nan), np.zeros(len(profiles), dtype=np.int32)
    for one, (profile, amount) in enumerate(zip(profiles, flux, strict=True)):
        on_image, of_box = profile.overlap(weight.shape)
        light, inverse = profile.data[of_box], weight[on_image]
        shown = core_of(light) | (np.float64(amount) ** 2 * light**2 * inverse >= 1)
        shown &= inverse > 0
        lit[one] = np.count_nonzero(shown)
        if lit[one]:
            chi2[one] = np.mean(residual[on_image][shown] ** 2 * inverse[shown])
    return chi2, lit


def _told(
    equations: NormalEquations,
    flux: NDArray[np.float64],
    covariance: Covariance,
    chi2: NDArray[np.float64],
    lit: NDArray[np.int32],
) -> NDArray[np.int32]:
    """Return the flags that the fit tells."""
    with np.errstate(divide="ignore"):  # without a lit pixel chi2 is NaN
        poor = (chi2 > _CHI2) & (chi2 > 1 + _SURE * np.sqrt(2 / lit))
    found = {
        FitFlag.NO_PIXELS: equations.matrix.diagonal() <= 0,
        FitFlag.DEGENERATE: (covariance.variance > _INFLATED) | (covariance.ridge > 0),
        FitFlag.NEGATIVE: flux < 0,
        FitFlag.POOR_FIT: poor,
    }
    flags = np.zeros(flux.size, dtype=np.int32)
    for flag, has in found.items():
        flags[has] |= int(flag)
    return flags


def _seen(profiles: Sequence[SourceStamp], usable: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return the flags of sources that are seen in part."""
    flags = np.zeros(len(profiles), dtype=np.int32)
    ny, nx = usable.shape
    for one, profile in enumerate(profiles):
        on_image, of_box = profile.overlap(usable.shape)
        core, light = core_of(profile.data), profile.data
        seen = np.zeros(core.shape, dtype=bool)
        seen[of_box] = usable[on_image]
        lost = light[core & ~seen].sum() > _LOST * light[core].sum()
        if light.size and (lost or not seen.flat[int(light.argmax())]):
            flags[one] |= int(FitFlag.MASKED_CORE)
        (y, x), (my, mx) = profile.origin, light.shape
        at_border = y <= 0 or x <= 0 or y + my >= ny or x + mx >= nx
        if at_border and light[of_box].sum() < 1 - _BEYOND:
            flags[one] |= int(FitFlag.BORDER)
    return flags
