"""The catalogue of deblended sources: what the networks found and what the fit measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.sources.blendedness import blendedness
from astroclean.core.sources.columns import catalogue_table
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

    from astropy.table import QTable
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.sources.sources import SourceStamp
    from astroclean_pais.fit import AmplitudeFit

__all__ = ["COLUMNS", "Found", "blendedness_of", "catalogue_of"]

_MEANINGS = {
    "id": "label in the segmentation, from 1",
    "x_err": "standard deviation of x, pixels, by the noise; neighbors as fitted",
    "y_err": "standard deviation of y, pixels, by the noise; neighbors as fitted",
    "flux": "of the model, fitted together with all others",
    "flux_err": "standard deviation of flux, by noise, blend and profile",
    "snr": "flux over its standard deviation by noise and blend alone",
    "a": "standard deviation along the major axis, PSF included",
    "b": "standard deviation along the minor axis, PSF included",
    "ellipticity": "1 - b / a, PSF included",
    "chi2": "mean of residual^2 / variance over the model's lit pixels",
    "flags": f"flags of the fit, joined by OR; bits: {FitFlag.described()}",
}
"""What is said of columns more than `astroclean.core.sources.columns` does."""
COLUMNS = (
    "id",
    "x",
    "y",
    "x_err",
    "y_err",
    "flux",
    "flux_err",
    "snr",
    "flux_covariance",
    "flux_covariance_id",
    "half_light_radius_convolved",
    "half_light_radius_intrinsic",
    "x2",
    "y2",
    "xy",
    "a",
    "b",
    "theta",
    "ellipticity",
    "fwhm",
    "star_probability",
    "detection_probability",
    "blend_probability",
    "blendedness",
    "chi2",
    "npix",
    "flags",
)
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
    values = {name: columns[name] for name in COLUMNS}
    return catalogue_table(values, frame, meanings=_MEANINGS)


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
