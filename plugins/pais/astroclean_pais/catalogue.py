"""The catalogue of deblended sources: what the networks found and what the fit measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from astropy.table import QTable

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.fluxes import flux_scale
from astroclean.core.sources.blendedness import blendedness
from astroclean.errors import StageError
from astroclean_pais.fit_flags import FitFlag
from astroclean_pais.light import core_of
from astroclean_pais.shapes import (
    ellipses,
    half_light_radius,
    moments,
    place_errors,
    place_information,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.sources.sources import SourceStamp
    from astroclean_pais.fit import AmplitudeFit

__all__ = ["COLUMNS", "Found", "blendedness_of", "catalogue_of"]

_FLUX, _FLUX2 = "flux", "flux2"
# Name: (type, unit, meaning); "flux" stands for the unit of sums of pixels, "flux2" for its square.
COLUMNS: dict[str, tuple[str, str | None, str]] = {
    "id": ("i4", None, "label in the segmentation, from 1"),
    "x": ("f8", None, "center, pixels; the first pixel's center is 0"),
    "y": ("f8", None, "center, pixels; the first pixel's center is 0"),
    "x_err": ("f8", None, "standard deviation of x, pixels, by the noise; neighbors as fitted"),
    "y_err": ("f8", None, "standard deviation of y, pixels, by the noise; neighbors as fitted"),
    "flux": ("f8", _FLUX, "of the model, fitted together with all others"),
    "flux_err": ("f8", _FLUX, "standard deviation of flux, by noise, blend and profile"),
    "snr": ("f8", None, "flux over its standard deviation by noise and blend alone"),
    "flux_covariance": ("f8", _FLUX2, "of flux and that of flux_covariance_id"),
    "flux_covariance_id": ("i4", None, "id whose flux is most correlated with this; 0: none"),
    "half_light_radius_convolved": (
        "f8",
        "pix",
        "circle with half of the light, PSF included",
    ),
    "half_light_radius_intrinsic": ("f8", "pix", "circle with half of the light, without the PSF"),
    "x2": ("f8", "pix2", "second moment of the model along x, PSF included"),
    "y2": ("f8", "pix2", "second moment of the model along y, PSF included"),
    "xy": ("f8", "pix2", "mixed second moment of the model, PSF included"),
    "a": ("f8", "pix", "standard deviation along the major axis, PSF included"),
    "b": ("f8", "pix", "standard deviation along the minor axis, PSF included"),
    "theta": ("f8", "deg", "angle of the major axis from +x towards +y, -90 to 90"),
    "ellipticity": ("f8", None, "1 - b / a, PSF included"),
    "fwhm": ("f8", "pix", "of the circular Gaussian with these moments"),
    "star_probability": ("f8", None, "that it is a point source"),
    "detection_probability": ("f8", None, "that there is a source"),
    "blend_probability": ("f8", None, "that it is two sources or more, unrecognized"),
    "blendedness": ("f8", None, "part of the light where it lies that is others': 1 - S.S / S.M"),
    "chi2": ("f8", None, "mean of residual^2 / variance over the model's lit pixels"),
    "npix": ("i4", None, "pixels in the segmentation"),
    "flags": ("i4", None, f"flags of the fit, joined by OR; bits: {FitFlag.described()}"),
}
"""Columns in their order."""
_PROBABILITIES = ("star_probability", "detection_probability", "blend_probability")


@dataclass(frozen=True, eq=False)
class Found:
    """What the networks tell of n sources, in the order of their models."""

    x: NDArray[np.floating]
    """(n,) center in pixels of the frame."""
    y: NDArray[np.floating]
    """(n,)"""
    star_probability: NDArray[np.floating]
    """(n,) 0 to 1; NaN where not told, as of all others."""
    detection_probability: NDArray[np.floating]
    """(n,)"""
    blend_probability: NDArray[np.floating]
    """(n,)"""
    intrinsic_radius: NDArray[np.floating] | None = None
    """(n,) half-light radius without the PSF, pixels."""


def catalogue_of(
    found: Found,
    models: Sequence[SourceStamp],
    fit: AmplitudeFit,
    frame: Frame,
    segmentation: NDArray[np.int32],
) -> QTable:
    """Return the catalogue of a frame.

    Parameters
    ----------
    found : Found
        What the networks tell.
    models : sequence of SourceStamp
        n images of the sources in the unit of the frame: profiles times fluxes. Not modified.
    fit : AmplitudeFit
        Of these sources on this frame, in the same order.
    frame : Frame
        Gives the unit of fluxes (`astroclean.core.image.fluxes.flux_scale`) and flags.
    segmentation : (ny, nx) int32
        Their labels.

    Returns
    -------
    QTable
        A row a source, columns of `COLUMNS`, with units and descriptions. What cannot be told is
        NaN: shape and errors of a source without flux, blendedness of a negative one.

    Raises
    ------
    StageError
        Models, fit and what was found are not of the same sources.
    """
    _check(found, models, fit)
    columns: dict[str, Any] = {
        "id": fit.id,
        "x": found.x,
        "y": found.y,
        "flux": fit.flux,
        "flux_err": fit.flux_err,
        "snr": fit.flux / fit.flux_err,
        "flux_covariance": fit.covariance,
        "flux_covariance_id": fit.neighbor,
        "chi2": fit.chi2,
        "npix": _pixels(fit.id, segmentation),
        "flags": fit.flags | _saturated(models, frame),
        "blendedness": blendedness_of(models, frame.shape),
        "half_light_radius_intrinsic": found.intrinsic_radius
        if found.intrinsic_radius is not None
        else np.full(len(models), np.nan),
        **{name: getattr(found, name) for name in _PROBABILITIES},
        **_shapes(models, fit),
    }
    information = [place_information(model, fit.weight) for model in models]
    columns["x_err"], columns["y_err"] = place_errors(information).T
    return _table(columns, frame)


def blendedness_of(models: Sequence[SourceStamp], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the blendedness of each source among the light of all.

    Parameters
    ----------
    models : sequence of SourceStamp
        n images of sources; what is negative counts as no light. Not modified.
    shape : (int, int)
        (ny, nx) of the frame; what lies beyond does not count.

    Returns
    -------
    (n,) float64
        0 to 1 (`astroclean.core.sources.blendedness`); NaN for a source without light.
    """
    total = np.zeros(shape)
    lights = [np.maximum(model.data, 0) for model in models]
    boxes = [model.overlap(shape) for model in models]
    for light, (on_image, of_box) in zip(lights, boxes, strict=True):
        total[on_image] += light[of_box]
    values = [
        blendedness(light[of_box], total[on_image])
        for light, (on_image, of_box) in zip(lights, boxes, strict=True)
    ]
    return np.array(values, dtype=np.float64)


def _check(found: Found, models: Sequence[SourceStamp], fit: AmplitudeFit) -> None:
    ids = [int(model.id) for model in models]
    given = {name: getattr(found, name) for name in ("x", "y", *_PROBABILITIES)}
    if found.intrinsic_radius is not None:
        given["intrinsic_radius"] = found.intrinsic_radius
    wrong = [name for name, values in given.items() if np.shape(values) != (len(ids),)]
    if ids != fit.id.tolist() or wrong:
        raise StageError(
            "models, fit and what was found must be of the same sources in one order",
            where="catalogue",
            received=f"{len(ids)} models, {fit.id.size} fluxes; other shapes: {', '.join(wrong)}",
        )


def _shapes(models: Sequence[SourceStamp], fit: AmplitudeFit) -> dict[str, Any]:
    measured = np.array([moments(model.data) for model in models]).reshape(-1, 5)
    radii = np.full(len(models), np.nan)
    for one, (model, flux) in enumerate(zip(models, fit.flux, strict=True)):
        # Of the light beyond the box only the flux tells.
        in_box = float(model.data.sum(dtype=np.float64))
        total = flux if abs(flux) > abs(in_box) and flux * in_box > 0 else in_box
        center = float(measured[one, 0]), float(measured[one, 1])
        radii[one] = half_light_radius(model.data, center, float(total))
    x2, y2, xy = measured[:, 2:].T
    shapes = {"x2": x2, "y2": y2, "xy": xy, **ellipses(x2, y2, xy)}
    return {"half_light_radius_convolved": radii, **shapes}


def _saturated(models: Sequence[SourceStamp], frame: Frame) -> NDArray[np.int32]:
    saturated = frame.where(MaskPlane.SATURATED)
    flags = np.zeros(len(models), dtype=np.int32)
    if saturated.any():
        for one, model in enumerate(models):
            on_image, of_box = model.overlap(frame.shape)
            if (core_of(model.data)[of_box] & saturated[on_image]).any():
                flags[one] = int(FitFlag.SATURATED)
    return flags


def _pixels(ids: NDArray[np.int32], segmentation: NDArray[np.int32]) -> NDArray[np.intp]:
    highest = int(max(ids.max(initial=0), segmentation.max(initial=0)))
    return np.bincount(segmentation.ravel(), minlength=highest + 1)[ids]


def _table(columns: dict[str, Any], frame: Frame) -> QTable:
    table, scale = QTable(), flux_scale(frame)
    for name, (kind, unit, meaning) in COLUMNS.items():
        values = np.asarray(columns[name]).astype(kind)
        if unit == _FLUX:
            values = u.Quantity(values * scale.factor, scale.unit)
        elif unit == _FLUX2:
            values = u.Quantity(values * scale.factor**2, scale.unit**2)
        elif unit is not None:
            values = u.Quantity(values, unit)
        table[name] = values
        table[name].info.description = meaning
    return table
