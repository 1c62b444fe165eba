"""Known truth added to a real frame: particle hits, trails, point sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u
from astropy.table import QTable

from astroclean.core.planes import MaskPlane
from astroclean.core.sources import Sources, SourceStamp
from astroclean.errors import ConfigurationError
from astroclean.evaluation.light import add_stamp, boxes_of, local_sigma
from astroclean.simulate.scene import ClassTruth, Scene

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.frame import Frame

__all__ = ["inject_contaminants", "inject_sources"]

_PIXELS_A_HIT = 2500
_PIXELS_A_SOURCE = 1600
_VISIBLE = 3.0
"""Charge in local sigma from which a pixel counts as hit; below it, nothing is scored."""
_SUBSTEPS = 8


def inject_contaminants(frame: Frame, *, seed: int) -> Scene:
    """Add particle hits and one straight trail.

    Hits are straight tracks that no PSF blurs; lengths are exponential (6 pixels on average, at
    most 60), charges log-uniform from 5 to 500 local sigma a pixel. The trail crosses the frame
    with a Gaussian profile of 1.5 to 3 pixels and a height of 2 to 20 sigma.

    Parameters
    ----------
    frame : Frame
        A real one. Not modified; what its own flags reject is not scored.
    seed : int
        The same seed gives the same truth.

    Returns
    -------
    Scene
        ``planes`` holds what was added; ``ignored`` is set where less than 3 sigma was. Hits that
        were in the frame before and that its flags do not name are not in the truth.
    """
    rng = np.random.default_rng(seed)
    sigma = local_sigma(frame)
    charge = _hits(rng, frame.shape) * sigma
    trail = _trail(rng, frame.shape) * sigma
    planes, ignored = np.zeros(frame.shape, dtype=np.uint32), np.zeros(frame.shape, dtype=bool)
    classes = {}
    for added, plane in ((charge, MaskPlane.COSMIC_RAY), (trail, MaskPlane.TRAIL)):
        shown = added > _VISIBLE * sigma
        planes[shown] |= np.uint32(plane)
        classes[plane.alias] = ClassTruth(shown, plane)
        # The wings of a trail never end: what is below a tenth of the noise is not there.
        ignored |= (added > 0.1 * sigma) & (added <= _VISIBLE * sigma)
    data = (frame.data + charge + trail).astype(np.float32)
    notes = {"injected": 1.0, "seed": float(seed)}
    return Scene(
        frame.replace(data=data), planes=planes, ignored=ignored, notes=notes, classes=classes
    )


def _hits(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    ny, nx = shape
    charge = np.zeros(shape)
    for _ in range(max(ny * nx // _PIXELS_A_HIT, 1)):
        length = min(rng.exponential(6.0) + 1, 60.0)
        angle, height = rng.uniform(0, 2 * np.pi), 10 ** rng.uniform(np.log10(5), np.log10(500))
        along = np.arange(0, length, 1 / _SUBSTEPS)
        y = np.floor(rng.uniform(0, ny) + along * np.sin(angle)).astype(int)
        x = np.floor(rng.uniform(0, nx) + along * np.cos(angle)).astype(int)
        inside = (y >= 0) & (y < ny) & (x >= 0) & (x < nx)
        np.add.at(charge, (y[inside], x[inside]), height / _SUBSTEPS)
    return charge


def _trail(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    ny, nx = shape
    angle, width = rng.uniform(0, np.pi), rng.uniform(1.5, 3.0) / 2.3548
    y0, x0 = rng.uniform(0.2, 0.8) * ny, rng.uniform(0.2, 0.8) * nx
    y, x = np.ogrid[:ny, :nx]
    distance = (y - y0) * np.cos(angle) - (x - x0) * np.sin(angle)
    height = 10 ** rng.uniform(np.log10(2), np.log10(20))
    profile: NDArray[np.float64] = height * np.exp(-0.5 * (distance / width) ** 2)
    return profile


def inject_sources(frame: Frame, *, seed: int) -> Scene:
    """Add point sources with the frame's PSF.

    Fluxes are log-uniform, so that the S/N of the best fit is 5 to 300. Positions are uniform.
    The photons of a source add no noise: the noise is that of the frame.

    Parameters
    ----------
    frame : Frame
        A real one, with a PSF. Not modified.
    seed : int
        The same seed gives the same truth.

    Returns
    -------
    Scene
        ``background`` is the frame as it was, with its noise and its own sources; ``sources`` are
        those that were added, with their stamps.

    Raises
    ------
    ConfigurationError
        The frame has no PSF.
    """
    if frame.psf is None:
        raise ConfigurationError(
            f"{frame.frame_id}: sources can only be added with a PSF. Give `--psf FILE`, "
            "`--psf estimate` or `--psf-fwhm WIDTH`."
        )
    rng = np.random.default_rng(seed)
    sigma = local_sigma(frame)
    ny, nx = frame.shape
    count = max(ny * nx // _PIXELS_A_SOURCE, 1)
    x, y = rng.uniform(0, nx - 1, count), rng.uniform(0, ny - 1, count)
    snr = 10 ** rng.uniform(np.log10(5), np.log10(300), count)
    light, stamps, flux = np.zeros(frame.shape), [], np.zeros(count)
    for index in range(count):
        noise = float(sigma[round(y[index]), round(x[index])])
        image, origin = _point_source(frame.psf.at(x[index], y[index]), x[index], y[index])
        flux[index] = snr[index] * noise / float(np.sqrt(np.sum(image**2)))
        stamps.append(SourceStamp(index + 1, origin, (image * flux[index]).astype(np.float32)))
        add_stamp(light, stamps[-1])
    table = QTable({"id": np.arange(1, count + 1), "x": x, "y": y})
    table["flux"] = u.Quantity(flux, frame.unit)
    data = (frame.data + light).astype(np.float32)
    sources = Sources(table, _segmentation(tuple(stamps), sigma), tuple(stamps))
    notes = {"injected": 1.0, "seed": float(seed)}
    return Scene(frame.replace(data=data), background=frame.data, sources=sources, notes=notes)


def _point_source(
    stamp: NDArray[np.float64], x: float, y: float
) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Return the PSF moved by a fraction of a pixel, of sum 1, and its first pixel (y, x)."""
    from scipy.ndimage import shift  # noqa: PLC0415 - optional extra

    ky, kx = stamp.shape
    row, column = round(y), round(x)
    moved = shift(np.pad(stamp, 1), (y - row, x - column), order=3, mode="constant")
    return moved / moved.sum(), (row - ky // 2 - 1, column - kx // 2 - 1)


def _segmentation(stamps: tuple[SourceStamp, ...], sigma: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return which source is the brightest in each pixel where one is above the noise."""
    labels, best = np.zeros(sigma.shape, dtype=np.int32), sigma.astype(np.float64)
    for stamp in stamps:
        on_frame, of_stamp = boxes_of(stamp, sigma.shape)
        light = stamp.data[of_stamp]
        brighter = light > best[on_frame]
        labels[on_frame][brighter] = stamp.id
        best[on_frame][brighter] = light[brighter]
    return labels
