"""Fluxes of the sources that were taken out: a table with apertures, annulus and quality."""

from __future__ import annotations

from enum import IntFlag
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from astroclean.core.sources.columns import catalogue_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.table import QTable
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.psf.draw import PsfImage
    from astroclean.core.psf.psf import Psf
    from astroclean.core.sources.holes import HoleSizes

    _Disk = tuple[NDArray[np.intp], NDArray[np.intp]]

__all__ = ["Apertures", "Measured", "Quality", "encircled", "photometry"]


_BAND = 512
"""Rows of a map that are measured at once."""


class Quality(IntFlag):
    """What to know of a source; 0 for nothing."""

    NOT_FILLED = 1
    """Its hole stayed as it was: outside the frame, or nothing around it to fill it from."""
    BAD_PIXELS = 2
    """The frame rejects pixels in its hole."""
    CROWDED = 4
    """Its hole touches that of another source."""
    AT_BORDER = 8
    """Part of its hole lies beyond the border."""
    NEGATIVE = 16
    """Its flux is not positive."""
    PSF_MISFIT = 32
    """The PSF does not fit it, or does not fit the frame's bright sources: ``separate``."""


class Apertures(NamedTuple):
    """Circles in which fluxes are summed."""

    radii: tuple[float, ...]
    """Pixels."""
    fractions: tuple[float, ...]
    """Part of the light of a point source within each; NaN where it is not known."""
    names: tuple[str, ...]
    """Of the columns."""


class Measured(NamedTuple):
    """What is known of the sources of a frame, n of them."""

    positions: NDArray[np.float64]
    """(n, 2) x, y, pixels."""
    snr: NDArray[np.float64]
    radii: NDArray[np.float64]
    """Of the holes, pixels."""
    light: NDArray[np.float32]
    """(ny, nx): taken out, without the noise of the frame where that is known; 0 elsewhere."""
    deviation: NDArray[np.float32]
    """(ny, nx): of what was filled in; read in the holes alone."""
    sigma: float
    """Noise of a pixel."""
    holes: NDArray[np.bool_]
    """(ny, nx): filled."""
    psfs: Sequence[PsfImage] | None
    flux: NDArray[np.float64] | None = None
    """(n,): of the fit, where sources were separated."""
    flux_error: NDArray[np.float64] | None = None
    misfit: NDArray[np.bool_] | None = None
    """(n,): sources that the PSF does not fit."""


def photometry(frame: Frame, measured: Measured, sizes: HoleSizes, apertures: Apertures) -> QTable:
    """Return the table of the sources.

    Parameters
    ----------
    frame : Frame
        As it was, with its sources. Not modified.
    measured : Measured
        What was found.
    sizes : HoleSizes
        Annulus, pixels.
    apertures : Apertures
        Circles.

    Returns
    -------
    QTable
        Columns ``x``, ``y``, ``snr`` (peak, equation 1 of the paper), ``mask_radius`` (pixels),
        ``flux`` and ``flux_err``: the sum over the hole over the part of the PSF in it, or of the
        fit; ``aperture_<r>`` on the extracted source and ``annulus_<r>`` on the frame, background
        from the annulus, both corrected for the light beyond; ``quality``. Fluxes are
        Jy for maps in Jy a pixel, and for surface brightness where pixel and beam are known
        (:func:`~astroclean.core.image.fluxes.flux_scale`).
    """
    disks = [_disk(measured, index) for index in range(len(measured.positions))]
    flux, error = (
        _of_holes(measured, disks)
        if measured.flux is None
        else (measured.flux, measured.flux_error)
    )
    quality = _quality(frame, measured, disks, flux)
    if measured.misfit is not None:
        quality[measured.misfit] |= Quality.PSF_MISFIT
    columns: dict[str, Any] = {
        "x": measured.positions[:, 0],
        "y": measured.positions[:, 1],
        "snr": measured.snr,
        "mask_radius": measured.radii,
        "flux": flux,
        "flux_err": error,
        **_in_apertures(frame, measured, sizes, apertures),
        "quality": quality,
    }
    meanings = {name: _MEANINGS.get(name.split("_")[0], "") for name in columns} | _MEANINGS
    return catalogue_table(columns, frame, meanings=meanings)


_MEANINGS = {
    "x": "position in pixels; the first pixel's center is 0",
    "y": "position in pixels; the first pixel's center is 0",
    "snr": "peak less mean over deviation in the annulus",
    "mask_radius": "radius of the hole, pixels",
    "flux": "of the whole source",
    "flux_err": "standard deviation",
    "aperture": "within a radius, on the extracted source, corrected for the light beyond",
    "annulus": "the same on the frame, background from the annulus",
    "quality": "sum of: 1 not filled, 2 bad pixels, 4 crowded, 8 at border, 16 negative, "
    "32 PSF does not fit",
}


def _of_holes(
    measured: Measured, disks: Sequence[_Disk]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return light in the holes over the part of the PSF in it, and its error."""
    found = np.full((2, len(disks)), np.nan)
    for index, (rows, columns) in enumerate(disks):
        if not len(rows):
            continue
        weight = np.ones(len(rows))
        if measured.psfs is not None:
            x, y = measured.positions[index]
            weight = measured.psfs[index].at(rows - y, columns - x)
        part = float(weight.sum()) if measured.psfs is not None else 1.0
        errors = measured.deviation[rows, columns].astype(np.float64)
        # Errors of a filling go together; noise does not.
        spread = np.hypot(float(errors.sum()), measured.sigma * np.sqrt(len(rows)))
        if part > 0:
            light = float(measured.light[rows, columns].sum(dtype=np.float64))
            found[:, index] = light / part, spread / part
    return found[0], found[1]


def _disk(measured: Measured, index: int) -> _Disk:
    """Return the filled pixels of the hole of a source."""
    (x, y), radius = measured.positions[index], measured.radii[index]
    ny, nx = measured.holes.shape
    top, bottom = max(int(np.ceil(y - radius)), 0), min(int(y + radius) + 1, ny)
    left, right = max(int(np.ceil(x - radius)), 0), min(int(x + radius) + 1, nx)
    if top >= bottom or left >= right:
        return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
    rows, columns = np.mgrid[top:bottom, left:right]
    inside = np.hypot(rows - y, columns - x) <= radius
    inside &= measured.holes[top:bottom, left:right]
    return rows[inside], columns[inside]


def _in_apertures(
    frame: Frame, measured: Measured, sizes: HoleSizes, apertures: Apertures
) -> dict[str, NDArray[np.float64]]:
    positions = measured.positions
    every = [f"{kind}_{name}" for name in apertures.names for kind in ("aperture", "annulus")]
    found = {name: np.empty(len(positions)) for name in every}
    reach = int(np.ceil(max(*sizes.annulus, *apertures.radii))) + 1
    rows = np.clip(positions[:, 1].astype(int), 0, len(frame.data) - 1)
    # photutils makes copies of what it is given: of a large map it gets a band at a time.
    for band in np.unique(rows // _BAND):
        part = np.flatnonzero(rows // _BAND == band)
        first = max(band * _BAND - reach, 0)
        seen = slice(first, (band + 1) * _BAND + reach)
        places = positions[part] - (0, first)
        images = frame.data[seen], frame.mask[seen], measured.light[seen]
        for name, values in _in_band(*images, places, sizes, apertures).items():
            found[name][part] = values
    return found


def _in_band(
    data: NDArray[Any],
    mask: NDArray[np.bool_],
    light: NDArray[np.float32],
    positions: NDArray[np.float64],
    sizes: HoleSizes,
    apertures: Apertures,
) -> dict[str, NDArray[np.float64]]:
    from photutils.aperture import (  # noqa: PLC0415 - heavy
        ApertureStats,
        CircularAnnulus,
        CircularAperture,
        aperture_photometry,
    )

    bad = mask | ~np.isfinite(data)
    data = np.where(bad, np.float32(0), data)
    annulus = CircularAnnulus(positions, *sizes.annulus)
    sky = np.atleast_1d(ApertureStats(data, annulus, mask=bad).mean)
    found = {}
    for radius, fraction, name in zip(*apertures, strict=True):
        circle = CircularAperture(positions, radius)
        alone = aperture_photometry(light, circle)["aperture_sum"]
        whole = aperture_photometry(data, circle, mask=bad)["aperture_sum"]
        area = circle.area_overlap(data, mask=bad)
        found[f"aperture_{name}"] = np.asarray(alone) / fraction
        found[f"annulus_{name}"] = (np.asarray(whole) - sky * np.asarray(area)) / fraction
    return found


def _quality(
    frame: Frame, measured: Measured, disks: Sequence[_Disk], flux: NDArray[np.float64]
) -> NDArray[np.int32]:
    positions, radii = measured.positions, measured.radii
    quality = np.zeros(len(positions), dtype=np.int32)
    if not len(positions):
        return quality
    for index, (rows, columns) in enumerate(disks):
        if not len(rows):
            quality[index] |= Quality.NOT_FILLED
        elif frame.mask[rows, columns].any():
            quality[index] |= Quality.BAD_PIXELS
    quality[_crowded(positions, radii)] |= Quality.CROWDED
    ny, nx = frame.shape
    reach = [positions[:, 0] - radii, positions[:, 1] - radii]
    ends = [positions[:, 0] + radii - nx + 1, positions[:, 1] + radii - ny + 1]
    beyond = np.any([low < 0 for low in reach] + [high > 0 for high in ends], axis=0)
    quality[beyond] |= Quality.AT_BORDER
    quality[~(flux > 0)] |= Quality.NEGATIVE
    return quality


def _crowded(positions: NDArray[np.float64], radii: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which holes touch another."""
    from scipy.spatial import cKDTree  # noqa: PLC0415 - costs a fifth of a second

    touching = np.zeros(len(positions), dtype=bool)
    pairs = cKDTree(positions).query_pairs(2 * float(radii.max()) + 1, output_type="ndarray")
    if len(pairs):
        first, second = pairs.T
        apart = np.hypot(*(positions[first] - positions[second]).T)
        close = apart < radii[first] + radii[second] + 1
        touching[first[close]] = touching[second[close]] = True
    return touching


def encircled(psf: Psf, radius: float) -> float:
    """Return the part of the light of a point source within a radius.

    Parameters
    ----------
    psf : Psf
        Where it varies, the first of its stamps counts.
    radius : float
        Pixels.

    Returns
    -------
    float
        0 to 1; 1 beyond the stamp.
    """
    from photutils.aperture import CircularAperture  # noqa: PLC0415 - heavy

    stamp = psf.stamps[0]
    ky, kx = stamp.shape
    circle = CircularAperture((kx // 2, ky // 2), radius)
    return float(np.sum(circle.to_mask(method="exact").multiply(stamp)))
