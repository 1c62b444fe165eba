"""Galaxies by GalSim, spirals and rings, and arcs by the equation of a gravitational lens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.simulate.draws import add_stamp, log_uniform, uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.simulate.injected.optics import Optics

__all__ = ["add_arcs", "add_discs", "add_ellipticals", "add_galaxies", "add_spirals"]


def _placed(
    image: NDArray[np.float64], profile: Any, place: tuple[float, float], peak: float, half: int
) -> None:
    """Add a profile of GalSim, whose brightest pixel gets `peak` electrons."""
    import galsim as library  # noqa: PLC0415 - optional extra

    x, y = place
    column, row = int(np.floor(x)), int(np.floor(y))
    side = 2 * half + 1
    drawn = library.ImageD(side, side)
    profile.drawImage(image=drawn, scale=1.0, offset=(x - column - 0.5, y - row - 0.5))
    stamp = np.clip(np.asarray(drawn.array), 0, None)
    stamp *= peak / max(float(stamp.max()), 1e-30)
    # The border of a stamp must not show.
    rim = max(float(stamp[0].max()), float(stamp[:, 0].max()))
    add_stamp(image, np.clip(stamp - rim, 0, None), row - half, column - half)


def _anywhere(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[float, float]:
    return uniform(rng, (0, shape[1])), uniform(rng, (0, shape[0]))


def _rough(library: Any) -> Any:
    return library.GSParams(folding_threshold=2e-2, maxk_threshold=5e-3, maximum_fft_size=8192)


def add_galaxies(
    image: NDArray[np.float64],
    rng: np.random.Generator,
    optics: Optics,
    *,
    noise: float,
    count: int,
) -> None:
    """Add small galaxies: Sersic profiles, a third of them with knots of young stars.

    Parameters
    ----------
    image : (ny, nx) float64
        Electrons; changed.
    rng : Generator
        Source of chance.
    optics : Optics
        Image of a star.
    noise : float
        Standard deviation of empty sky, electrons.
    count : int
        How many.
    """
    import galsim as library  # noqa: PLC0415 - optional extra

    rough = _rough(library)
    for _ in range(count):
        radius = log_uniform(rng, (0.4, 2.2)) * max(optics.fwhm, 2.0)
        index = float(rng.choice([0.7, 1.0, 1.0, 1.5, 2.5]))
        body = library.Sersic(n=index, half_light_radius=radius, trunc=6 * radius, gsparams=rough)
        if rng.random() < 0.3:  # noqa: PLR2004 - those that form stars
            seed = library.BaseDeviate(int(rng.integers(1, 2**31)))
            knots = library.RandomKnots(12, half_light_radius=radius, rng=seed)
            body = 0.7 * body + 0.3 * knots
        shape = library.Shear(
            q=uniform(rng, (0.25, 1.0)), beta=uniform(rng, (0, np.pi)) * library.radians
        )
        seen = library.Convolve(body.shear(shape), optics.profile, gsparams=rough)
        half = int(np.ceil(6 * radius + 3 * optics.fwhm)) + 3
        peak = noise * log_uniform(rng, (2, 150))
        _placed(image, seen, _anywhere(rng, image.shape), peak, min(half, 90))


def add_discs(
    image: NDArray[np.float64],
    rng: np.random.Generator,
    optics: Optics,
    *,
    noise: float,
    count: int,
) -> None:
    """Add discs seen edge-on: GalSim's inclined exponential with the thickness of real ones.

    Parameters as for :func:`add_galaxies`.
    """
    import galsim as library  # noqa: PLC0415 - optional extra

    rough = _rough(library)
    for _ in range(count):
        scale = log_uniform(rng, (4, 28))
        disc = library.InclinedExponential(
            inclination=uniform(rng, (84, 90)) * library.degrees,
            scale_radius=scale,
            scale_h_over_r=uniform(rng, (0.05, 0.12)),
            gsparams=rough,
        )
        if rng.random() < 0.5:  # noqa: PLR2004 - a bulge or none
            share = uniform(rng, (0.05, 0.3))
            bulge = library.Sersic(n=2, half_light_radius=0.3 * scale, trunc=3 * scale)
            disc = (1 - share) * disc + share * bulge
        turned = disc.rotate(uniform(rng, (0, 180)) * library.degrees)
        seen = library.Convolve(turned, optics.profile, gsparams=rough)
        half = min(int(np.ceil(8 * scale + 3 * optics.fwhm)), 200)
        _placed(image, seen, _anywhere(rng, image.shape), noise * log_uniform(rng, (4, 200)), half)


def add_ellipticals(
    image: NDArray[np.float64],
    rng: np.random.Generator,
    optics: Optics,
    *,
    peaks: tuple[float, float],
    count: int,
) -> None:
    """Add large ellipticals: Sersic cores in shallow halos.

    Parameters
    ----------
    image, rng, optics, count
        As for :func:`add_galaxies`.
    peaks : (float, float)
        Electrons of the brightest pixel, least and most.
    """
    for _ in range(count):
        _add_elliptical(image, rng, optics, peaks=peaks, place=_anywhere(rng, image.shape))


def _add_elliptical(
    image: NDArray[np.float64],
    rng: np.random.Generator,
    optics: Optics,
    *,
    peaks: tuple[float, float],
    place: tuple[float, float],
) -> None:
    import galsim as library  # noqa: PLC0415 - optional extra

    rough, radius = _rough(library), log_uniform(rng, (8, 30))
    core = library.Sersic(n=2.5, half_light_radius=radius, gsparams=rough)
    halo = library.Sersic(n=1.2, half_light_radius=2.5 * radius, gsparams=rough)
    share = uniform(rng, (0.1, 0.5))
    body = (1 - share) * core + share * halo
    shape = library.Shear(
        q=uniform(rng, (0.5, 1.0)), beta=uniform(rng, (0, np.pi)) * library.radians
    )
    seen = library.Convolve(body.shear(shape), optics.profile, gsparams=rough)
    half = min(int(np.ceil(10 * radius)), 280)
    _placed(image, seen, place, log_uniform(rng, peaks), half)


def _blurred(stamp: NDArray[np.float64], optics: Optics) -> NDArray[np.float64]:
    """Return a stamp as seen through the air; spirals and arcs are no profiles of GalSim."""
    from scipy.signal import fftconvolve  # noqa: PLC0415 - slow to import

    kernel = optics.drawn(int(np.ceil(3 * optics.fwhm)) + 2)
    return np.asarray(np.clip(fftconvolve(stamp, kernel / kernel.sum(), mode="same"), 0, None))


def add_spirals(
    image: NDArray[np.float64],
    rng: np.random.Generator,
    optics: Optics,
    *,
    noise: float,
    count: int,
) -> None:
    """Add spirals, whose arms are logarithmic, and galaxies with a ring.

    Parameters as for :func:`add_galaxies`.
    """
    for _ in range(count):
        scale = log_uniform(rng, (6, 25))
        half = min(int(6 * scale) + 10, 150)
        y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
        turn, ratio = uniform(rng, (0, np.pi)), uniform(rng, (0.35, 1.0))
        along = x * np.cos(turn) + y * np.sin(turn)
        across = (y * np.cos(turn) - x * np.sin(turn)) / ratio
        r, angle = np.hypot(along, across) + 0.3, np.arctan2(across, along)
        if rng.random() < 0.35:  # noqa: PLR2004 - rings are rarer than arms
            ring, width = uniform(rng, (1.2, 2.5)) * scale, uniform(rng, (0.08, 0.25)) * scale
            light = 0.4 * np.exp(-0.5 * ((r - ring) / max(width, 1.0)) ** 2)
            light += np.exp(-r / (0.25 * scale))
        else:
            arms, pitch = int(rng.choice([2, 2, 3, 4])), np.tan(np.radians(uniform(rng, (10, 28))))
            wave = np.cos(arms * (angle - np.log(r / scale) / pitch))
            light = np.exp(-r / scale) * (1 + uniform(rng, (0.4, 0.95)) * wave)
            light += 2 * np.exp(-r / (0.15 * scale))
        fade = np.clip((half - np.hypot(x, y)) / 8, 0, 1)
        seen = _blurred(light * fade, optics)
        seen *= noise * log_uniform(rng, (8, 200)) / seen.max()
        px, py = _anywhere(rng, image.shape)
        add_stamp(image, seen, int(py) - half, int(px) - half)


def add_arcs(
    image: NDArray[np.float64],
    rng: np.random.Generator,
    optics: Optics,
    *,
    noise: float,
    count: int,
) -> None:
    """Add lenses: an elliptical, and galaxies behind it, imaged by an isothermal sphere.

    The source of a pixel at ``t`` is at ``t - b t / |t|`` with the Einstein radius b; tides of the
    surroundings shear it. Sources near the middle become rings, others arcs.

    Parameters as for :func:`add_galaxies`.
    """
    for _ in range(count):
        radius = log_uniform(rng, (12, 90))
        half = int(2.2 * radius) + 12
        y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
        shear, turn = uniform(rng, (0, 0.12)), uniform(rng, (0, np.pi))
        r = np.hypot(x, y) + 1e-6
        c, s = shear * np.cos(2 * turn), shear * np.sin(2 * turn)
        bx, by = x - radius * x / r - c * x - s * y, y - radius * y / r - s * x + c * y
        light = np.zeros_like(x)
        for _ in range(int(rng.integers(1, 4))):
            size = log_uniform(rng, (0.02, 0.08)) * radius + 0.5
            angle, away = uniform(rng, (0, 2 * np.pi)), uniform(rng, (0.02, 0.5)) * radius
            distance = np.hypot(bx - away * np.cos(angle), by - away * np.sin(angle))
            light += uniform(rng, (0.3, 1)) * np.exp(-distance / size)
        seen = _blurred(light, optics)
        seen *= noise * log_uniform(rng, (4, 150)) / seen.max()
        rim = max(seen[0].max(), seen[:, 0].max())
        px, py = _anywhere(rng, image.shape)
        add_stamp(image, np.clip(seen - rim, 0, None), int(py) - half, int(px) - half)
        lens = 30 * noise, 600 * noise
        _add_elliptical(image, rng, optics, peaks=lens, place=(px, py))
