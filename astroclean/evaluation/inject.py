"""Known truth added to a real frame: particle hits, trails, point sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u
from astropy.table import QTable

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.arrays import overlap
from astroclean.core.image.fluxes import flux_scale
from astroclean.core.sources.holes import HoleRule, disks
from astroclean.core.sources.sources import Sources, SourceStamp
from astroclean.errors import ConfigurationError
from astroclean.evaluation.matching import mapped
from astroclean.simulate.compact import draw_fluxes
from astroclean.simulate.scene import ClassTruth, Scene

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.image.frameset import FrameSet
    from astroclean.core.psf.draw import Drawn
    from astroclean.core.psf.psf import Psf

__all__ = ["inject_contaminants", "inject_source_set", "inject_sources"]

_PIXELS_A_HIT = 2500
_PIXELS_A_SOURCE = 1600
_USABLE_SHARE = 0.9
"""Least part of the largest hole of a source that must be pixels of the frame to believe."""
_TRIES = 20
"""Places tried for each source: in a small or ragged map most do not fit."""
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
    sigma = frame.noise("scatter")
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


def inject_sources(frame: Frame, *, seed: int, classes: bool = False) -> Scene:
    """Add point sources with the frame's PSF, at most one in 40 x 40 usable pixels.

    Positions are uniform over the usable pixels around which at least 90 percent of the largest
    hole of a source are usable. The photons of a source add no noise: the noise is that of the
    frame.

    Parameters
    ----------
    frame : Frame
        A real one, with a PSF. Not modified.
    seed : int
        The same seed gives the same truth.
    classes : bool
        Draw fluxes evenly from six classes of S/N (equation 1 of the paper on compact source
        removal, by the scatter around each place before anything is added; see
        `astroclean.simulate.compact`), rather than so that the S/N of the best fit is log-uniform
        from 5 to 300.

    Returns
    -------
    Scene
        ``background`` is the frame as it was, with its noise and its own sources; ``sources`` are
        those that were added, with their stamps.

    Raises
    ------
    ConfigurationError
        The frame has no PSF, or no place for a source.
    """
    psf, rng = _psf_of(frame), np.random.default_rng(seed)
    sigma, usable = frame.noise("scatter"), frame.usable
    sizes = HoleRule().in_pixels(fwhm_pixels=psf.fwhm_pixels)
    places = _usable_places(rng, usable, sizes.radii[-1])
    images = _images(psf, places)
    if classes:
        peaks = np.array([psf.at(x, y).max() for x, y in places])
        flux = draw_fluxes(rng, frame.data, usable, places, sizes=sizes, peak=peaks)
    else:
        flux = _fluxes_of_fits(images, places, sigma, _draw_snr(rng, len(places)))
    kept = np.flatnonzero(flux > 0)
    shown = [images[index] for index in kept]
    return _with_sources(frame, places[kept], flux[kept], shown, sigma=sigma, seed=seed)


def inject_source_set(frames: FrameSet, *, seed: int) -> Scene:
    """Add the same point sources to all bands of a field, each with the PSF of the band.

    Positions are drawn on the first band as by :func:`inject_sources`, among those that are usable
    in every band. The S/N of the best fit in the first band is log-uniform from 5 to 300; that in
    each other band is up to a magnitude larger or smaller.

    Parameters
    ----------
    frames : FrameSet
        Real ones, with a PSF each; on the same pixels, or with a celestial WCS. Not modified.
    seed : int
        The same seed gives the same truth.

    Returns
    -------
    Scene
        Of several bands, each as of :func:`inject_sources`; the joint catalogue has ``flux_BAND``.

    Raises
    ------
    ConfigurationError
        A frame has no PSF, nothing tells where its pixels lie, or there is no place for a source.
    """
    rng = np.random.default_rng(seed)
    first, places = frames[frames.bands[0]], np.empty((0, 2))
    seen: dict[str, NDArray[np.float64]] = {}
    for band, frame in frames.frames.items():
        usable = frame.usable
        radius = HoleRule().in_pixels(fwhm_pixels=_psf_of(frame).fwhm_pixels).radii[-1]
        if not seen:
            places = seen[band] = _usable_places(rng, usable, radius)
            continue
        mapped = _seen_by(places, first, frame)
        shares = [_usable_share(usable, p, radius) if np.isfinite(p).all() else 0.0 for p in mapped]
        kept = np.array(shares) >= _USABLE_SHARE
        places, mapped = places[kept], mapped[kept]
        seen = {**{other: known[kept] for other, known in seen.items()}, band: mapped}
    snr, scenes = _draw_snr(rng, len(places)), {}
    for index, (band, frame) in enumerate(frames.frames.items()):
        color = rng.uniform(-1, 1, len(places)) if index else np.zeros(len(places))
        sigma, images = frame.noise("scatter"), _images(_psf_of(frame), seen[band])
        flux = _fluxes_of_fits(images, seen[band], sigma, snr * 10 ** (0.4 * color))
        scenes[band] = _with_sources(frame, seen[band], flux, images, sigma=sigma, seed=seed)
    table = QTable({"id": np.arange(1, len(places) + 1), "x": places[:, 0], "y": places[:, 1]})
    for band, scene in scenes.items():
        assert scene.sources is not None
        table[f"flux_{band}"] = scene.sources.table["flux"]
    return Scene.of_bands(scenes, sources=Sources(table), notes={"injected": 1.0})


def _psf_of(frame: Frame) -> Psf:
    if frame.psf is None:
        raise ConfigurationError(
            f"{frame.frame_id}: sources can only be added with a PSF. Give `--psf FILE`, "
            "`--psf estimate` or `--psf-fwhm WIDTH`."
        )
    return frame.psf


def _seen_by(places: NDArray[np.float64], first: Frame, other: Frame) -> NDArray[np.float64]:
    """Return places of one frame in the pixels of another."""
    if first.shape == other.shape and not all(f.wcs is not None for f in (first, other)):
        return places
    try:
        return mapped(places, first.wcs, other.wcs)
    except ConfigurationError as error:
        raise ConfigurationError(error.problems, where=other.frame_id) from error


def _with_sources(
    frame: Frame,
    places: NDArray[np.float64],
    flux: NDArray[np.float64],
    images: list[Drawn],
    *,
    sigma: NDArray[np.float64],
    seed: int,
) -> Scene:
    """Return a frame with point sources: their places, fluxes in its unit, and images."""
    if not flux.size:
        raise ConfigurationError(
            f"{frame.frame_id}: no place for a source: nowhere are nine tenths of its hole usable "
            "pixels with some scatter around. Leave the frame out, or give a narrower PSF."
        )
    stamps = tuple(
        SourceStamp(number, tuple(image.origin.tolist()), (image.data * one).astype(np.float32))
        for number, (image, one) in enumerate(zip(images, flux, strict=True), start=1)
    )
    light = np.zeros(frame.shape)
    for stamp in stamps:
        stamp.add_to(light)
    table = QTable({"id": np.arange(1, len(flux) + 1), "x": places[:, 0], "y": places[:, 1]})
    scale = flux_scale(frame)
    table["flux"] = u.Quantity(np.asarray(flux) * scale.factor, scale.unit)
    sources = Sources(table, _segmentation(stamps, sigma), stamps)
    return Scene(
        frame.replace(data=(frame.data + light).astype(np.float32)),
        background=frame.data,
        sources=sources,
        notes={"injected": 1.0, "seed": float(seed)},
    )


def _draw_snr(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Return S/N, log-uniform from 5 to 300."""
    return np.asarray(10 ** rng.uniform(np.log10(5), np.log10(300), count))


def _usable_places(
    rng: np.random.Generator, usable: NDArray[np.bool_], radius: float
) -> NDArray[np.float64]:
    """Return x, y of sources whose holes have enough usable pixels; beyond the frame are none."""
    pixels = np.flatnonzero(usable)
    if not pixels.size:
        return np.empty((0, 2))
    count = max(pixels.size // _PIXELS_A_SOURCE, 1)
    y, x = np.divmod(rng.choice(pixels, _TRIES * count), usable.shape[1])
    tried = np.column_stack([x, y]) + rng.uniform(-0.5, 0.5, (len(x), 2))
    found: list[NDArray[np.float64]] = []
    for place in tried:
        if len(found) < count and _usable_share(usable, place, radius) >= _USABLE_SHARE:
            found.append(place)
    return np.array(found).reshape(-1, 2)


def _usable_share(usable: NDArray[np.bool_], place: NDArray[np.float64], radius: float) -> float:
    reach = int(np.ceil(radius)) + 1
    column, row = (int(v) for v in np.rint(place))
    side, first = 2 * reach + 1, np.array([column - reach, row - reach])
    disk = disks((side, side), (place - first)[None], np.array([radius]))
    on_frame, of_disk = overlap((row - reach, column - reach), disk.shape, usable.shape)
    return float(np.count_nonzero(disk[of_disk] & usable[on_frame]) / np.count_nonzero(disk))


def _images(psf: Psf, places: NDArray[np.float64]) -> list[Drawn]:
    """Return the image of each source, of sum 1: what lies beyond its box is put back."""
    drawn = [psf.drawn_at(x, y) for x, y in places]
    return [one._replace(data=one.data / one.data.sum()) for one in drawn]


def _fluxes_of_fits(
    images: list[Drawn],
    places: NDArray[np.float64],
    sigma: NDArray[np.float64],
    snr: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the fluxes of sources whose best fits have these S/N."""
    noise = np.array([sigma[round(y), round(x)] for x, y in places])
    return np.asarray(snr * noise / [np.sqrt(np.sum(one.data**2)) for one in images])


def _segmentation(stamps: tuple[SourceStamp, ...], sigma: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return which source is the brightest in each pixel where one is above the noise."""
    labels, best = np.zeros(sigma.shape, dtype=np.int32), sigma.copy()
    for stamp in stamps:
        on_frame, of_stamp = stamp.overlap(sigma.shape)
        light = stamp.data[of_stamp]
        brighter = light > best[on_frame]
        labels[on_frame][brighter] = stamp.id
        best[on_frame][brighter] = light[brighter]
    return labels
