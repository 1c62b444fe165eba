"""Small scenes of which everything is known, as simulators and for direct use."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from astropy.table import QTable

from astroclean.core.image.frame import Frame
from astroclean.core.psf.psf import Psf
from astroclean.core.sources.sources import Sources, SourceStamp
from astroclean.simulate.scene import Scene
from astroclean.testing.frames import synthetic_frame, synthetic_truth

SIGMA = 2.0
FWHM = 3.0


def contaminated(*, seed: int, shape: tuple[int, int], level: float = 0.0) -> Scene:
    """Stars with hits, hot lines and bleeding, on a level that can be raised."""
    truth = synthetic_truth(seed=seed, shape=shape)
    frame = synthetic_frame(seed=seed, shape=shape, flagged=False)
    frame = frame.replace(data=frame.data + np.float32(level))
    return Scene(frame, planes=truth.truth, clean=truth.clean.astype(np.float32))


def gaussian_stamp(
    number: int, x: float, y: float, flux: float, *, axes: tuple[float, float], half: int = 12
) -> SourceStamp:
    """An elliptical Gaussian along the axes, sampled at the centers of pixels."""
    row, column = round(y), round(x)
    yy, xx = np.mgrid[row - half : row + half + 1, column - half : column + half + 1]
    a, b = axes
    image = np.exp(-0.5 * (((xx - x) / a) ** 2 + ((yy - y) / b) ** 2)) / (2 * np.pi * a * b)
    return SourceStamp(number, (row - half, column - half), (flux * image).astype(np.float32))


def light(stamps: tuple[SourceStamp, ...], shape: tuple[int, int]) -> Any:
    total = np.zeros(np.add(shape, 80))
    for stamp in stamps:
        (y, x), (ny, nx) = stamp.origin, stamp.data.shape
        total[y + 40 : y + 40 + ny, x + 40 : x + 40 + nx] += stamp.data
    return total[40:-40, 40:-40]


def scene_of(
    places: Any, flux: Any, *, seed: int, shape: tuple[int, int], axes: tuple[float, float]
) -> Scene:
    """Gaussian sources on a smooth background with white noise."""
    ny, nx = shape
    stamps = tuple(
        gaussian_stamp(i, x, y, f, axes=axes)
        for i, ((x, y), f) in enumerate(zip(places, flux, strict=True), start=1)
    )
    yy, xx = np.mgrid[:ny, :nx]
    background = 100 + 10 * np.sin(xx / 25.0) * np.cos(yy / 30.0)
    clean = background + light(stamps, shape)
    noise = np.random.default_rng(seed).normal(0, SIGMA, shape)
    table = QTable({"id": np.arange(1, len(stamps) + 1), "x": places[:, 0], "y": places[:, 1]})
    table["flux"] = u.Quantity(flux, "adu")
    frame = Frame(
        clean + noise,
        unit="adu",
        uncertainty=StdDevUncertainty(np.full(shape, SIGMA, np.float32)),
        psf=Psf.gaussian(fwhm_pixels=FWHM),
        frame_id=f"tiny {seed}",
    )
    segmentation = np.zeros(shape, dtype=np.int32)
    return Scene(
        frame,
        planes=np.zeros(shape, dtype=np.uint32),
        clean=clean.astype(np.float32),
        background=background.astype(np.float32),
        sources=Sources(table, segmentation, stamps),
    )


def _grid(seed: int, shape: tuple[int, int]) -> Any:
    """Places 20 pixels apart, each moved a little."""
    ny, nx = shape
    y, x = np.mgrid[10 : ny - 9 : 20, 10 : nx - 9 : 20]
    places = np.column_stack([x.ravel(), y.ravel()]).astype(float)
    return places + np.random.default_rng(seed).uniform(-1, 1, places.shape)


def cirrus(*, seed: int, shape: tuple[int, int]) -> Scene:
    """Point sources of all brightness on a background."""
    places = _grid(seed, shape)
    flux = 10 ** np.random.default_rng(seed + 1).uniform(1.5, 3.7, len(places))
    width = FWHM / 2.3548
    return scene_of(places, flux, seed=seed, shape=shape, axes=(width, width))


def blends(*, seed: int, shape: tuple[int, int]) -> Scene:
    """Bright sources, every second with a neighbor 5 pixels away."""
    first = _grid(seed, shape)
    places = np.concatenate([first, first[::2] + np.array((5.0, 0.0))])
    width = FWHM / 2.3548
    flux = np.full(len(places), 3000.0)
    return scene_of(places, flux, seed=seed, shape=shape, axes=(width, width))


def stamps(*, seed: int, shape: tuple[int, int]) -> Scene:
    """Round Gaussians of 2 pixels, seen through a Gaussian PSF."""
    places = _grid(seed, shape)
    flux = np.full(len(places), 5000.0)
    width = FWHM / 2.3548
    seen = float(np.hypot(2.0, width))
    scene = scene_of(places, flux, seed=seed, shape=shape, axes=(seen, seen))
    sharp = tuple(
        gaussian_stamp(s.id, x, y, f, axes=(2.0, 2.0))
        for s, (x, y), f in zip(scene.sources.stamps, places, flux, strict=True)
    )
    assert scene.background is not None
    image = (scene.background + light(sharp, shape)).astype(np.float32)
    return Scene(
        scene.frame,
        clean=scene.clean,
        background=scene.background,
        sharp=image,
        sources=scene.sources,
    )
