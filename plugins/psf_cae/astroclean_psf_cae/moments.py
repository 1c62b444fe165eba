"""The table of sources before and after: flux, place, size and shape, with errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.arrays import overlap
from astroclean.evaluation.metrics.deconvolve import shape_of
from astroclean_psf_cae.spergel import PARAMETERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.table import QTable
    from numpy.typing import NDArray

    from astroclean.core.image.fluxes import FluxScale
    from astroclean_psf_cae.calibration import Calibration
    from astroclean_psf_cae.fits import Fits
    from astroclean_psf_cae.region import Region

    Image = NDArray[np.float32]
    Column = NDArray[np.float64]

__all__ = ["COLUMNS", "SourceMoments", "measured_moments", "moments_table"]

_FLUX = "flux"
# Name: (unit, meaning); "flux" stands for the unit of sums of pixels.
COLUMNS: dict[str, tuple[str | None, str]] = {
    "x": ("pix", "center, pixels; the first pixel's center is 0"),
    "y": ("pix", "center, pixels; the first pixel's center is 0"),
    "x_err": ("pix", "standard deviation of x"),
    "y_err": ("pix", "standard deviation of y"),
    "flux": (_FLUX, "of the profile fitted under the PSF"),
    "flux_err": (_FLUX, "standard deviation of flux"),
    "snr": (None, "flux over its standard deviation by the noise alone"),
    "size": ("pix", "root of half the trace of the second moments, at the target PSF"),
    "size_err": ("pix", "standard deviation of size"),
    "e1": (None, "(Ixx - Iyy) / (Ixx + Iyy), at the target PSF"),
    "e1_err": (None, "standard deviation of e1"),
    "e2": (None, "2 Ixy / (Ixx + Iyy), at the target PSF"),
    "e2_err": (None, "standard deviation of e2"),
    "size_before": ("pix", "size, as the frame shows it"),
    "e1_before": (None, "e1, as the frame shows it"),
    "e2_before": (None, "e2, as the frame shows it"),
    "half_light_radius": ("pix", "of the profile, before any PSF"),
    "chi2": (None, "of the fit of the profile, for each pixel of its stamp"),
}
"""Columns after ``id``, in their order."""
_RADIUS, _G1, _G2 = (PARAMETERS.index(name) for name in ("log_radius", "g1", "g2"))
_FLUX_ROW = PARAMETERS.index("flux")
_TARGET_SIZE = 0.9
"""Size of a star at the target PSF, pixels."""
_LEAST_WEIGHT = 3.0
"""Standard deviation of the weight of moments, pixels, where the PSF is not wider."""
_HALF = 4.0
"""Half side of the box of moments, standard deviations of the weight."""


@dataclass(frozen=True, eq=False)
class SourceMoments:
    """Of some sources."""

    rows: NDArray[np.intp]
    """(n,) of the catalogue."""
    columns: dict[str, Column]
    """(n,) each, of `COLUMNS`; fluxes in the unit of the pixels."""

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def none(cls) -> SourceMoments:
        """Return those of no source."""
        return cls(np.zeros(0, np.intp), {name: np.zeros(0) for name in COLUMNS})

    @classmethod
    def joined(cls, parts: Sequence[SourceMoments]) -> SourceMoments:
        """Return those of all parts, in the order of the catalogue."""
        every = [cls.none(), *parts]
        rows = np.concatenate([part.rows for part in every])
        columns = {n: np.concatenate([part.columns[n] for part in every]) for n in COLUMNS}
        return cls(rows, columns).taken(np.argsort(rows, kind="stable"))

    def taken(self, rows: NDArray[np.integer]) -> SourceMoments:
        """Return some of them."""
        columns = {name: column[rows] for name, column in self.columns.items()}
        return SourceMoments(self.rows[rows], columns)


def measured_moments(
    region: Region, fits: Fits, image: Image, noise: float, calibration: Calibration
) -> SourceMoments:
    """Return the moments of sources.

    Parameters
    ----------
    region : Region
        Not modified.
    fits : Fits
        To its sources.
    image : (ny, nx) float32
        The region at the target PSF.
    noise : float
        Unit of the region, in that of the frame.
    calibration : Calibration
        Of the errors.

    Returns
    -------
    SourceMoments
        Places in pixels of the frame at hand. Errors are those of the fit, calibrated; of size and
        shape as they change with radius and shear of the profile.
    """
    weight = max(region.fwhm, _LEAST_WEIGHT)
    before = _shapes(region.data - fits.blurred.total, fits, weight, is_sharp=False)
    after = _shapes(image - fits.sharp.total, fits, weight, is_sharp=True)
    values, covariance = fits.profiles.values, fits.profiles.covariance
    error = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    flux, snr = values[:, _FLUX_ROW], fits.profiles.snr
    size, e1, e2 = after
    # The profile's part of the second moments; the rest is that of the target PSF.
    own = np.clip(1 - (_TARGET_SIZE / np.maximum(size, _TARGET_SIZE)) ** 2, 0.02, 1)
    g = values[:, [_G1, _G2]]
    square = np.sum(g**2, axis=1)
    turn = 2 * own * (1 - np.minimum(square, 0.9)) / (1 + square) ** 2
    stretched = 2 * (1 - own) * error[:, _RADIUS]
    y, x = fits.places.T
    columns = {
        "x": x + region.origin[1],
        "y": y + region.origin[0],
        "x_err": calibration.place.of(error[:, 1], region.fwhm),
        "y_err": calibration.place.of(error[:, 0], region.fwhm),
        "flux": noise * calibration.corrected(flux, snr),
        "flux_err": noise * calibration.flux.of(error[:, _FLUX_ROW], flux),
        "snr": snr,
        "size": size,
        "size_err": calibration.size.of(size * own * error[:, _RADIUS], size),
        "e1": e1,
        "e1_err": calibration.shape.of(np.hypot(turn * error[:, _G1], e1 * stretched)),
        "e2": e2,
        "e2_err": calibration.shape.of(np.hypot(turn * error[:, _G2], e2 * stretched)),
        "size_before": before[0],
        "e1_before": before[1],
        "e2_before": before[2],
        "half_light_radius": fits.profiles.radius,
        "chi2": fits.profiles.chi2,
    }
    return SourceMoments(fits.rows, columns)


def moments_table(ids: NDArray[np.integer], told: SourceMoments, scale: FluxScale) -> QTable:
    """Return the table of a frame.

    Parameters
    ----------
    ids : (m,) integer
        Of all sources of the catalogue.
    told : SourceMoments
        Of some of them.
    scale : FluxScale
        What makes fluxes of sums of pixels.
    """
    from astropy.table import QTable  # noqa: PLC0415 - half a second to import

    table = QTable({"id": np.asarray(ids, dtype=np.int32)[told.rows]})
    table["id"].info.description = "as in the catalogue"
    for name, (unit, meaning) in COLUMNS.items():
        values = told.columns[name]
        if unit == _FLUX:
            table[name] = values * scale.factor * scale.unit
        else:
            table[name] = values
            table[name].unit = unit if unit is None else f"{unit}"
        table[name].info.description = meaning
    return table


def _shapes(rest: Image, fits: Fits, weight: float, *, is_sharp: bool) -> tuple[Column, ...]:
    """Return size, e1 and e2 of each source, alone: what no fit has is added to its profile."""
    light = fits.sharp if is_sharp else fits.blurred
    half = int(np.ceil(_HALF * weight))
    found = []
    for middle, place, image, origin in zip(
        fits.middles, fits.places, light.images, light.origins, strict=True
    ):
        corner = middle - half
        box = np.zeros((2 * half + 1, 2 * half + 1))
        for part, start in ((rest, (0, 0)), (image, origin)):
            first = (int(corner[0] - start[0]), int(corner[1] - start[1]))
            inside, own = overlap(first, box.shape, part.shape)
            box[own] += part[inside]
        y, x = place - corner
        shape = shape_of(box, center=(float(x), float(y)), radius=weight)
        found.append((shape.size, shape.e1, shape.e2))
    return tuple(np.array(found, dtype=np.float64).reshape(-1, 3).T)
