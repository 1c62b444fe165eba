"""Simulated skies of many kinds without any contaminant."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from astroclean.simulate.draws import log_uniform, uniform, whole
from astroclean.simulate.injected.clouds import draw_nebula
from astroclean.simulate.injected.galaxies import (
    add_arcs,
    add_discs,
    add_ellipticals,
    add_galaxies,
    add_spirals,
)
from astroclean.simulate.injected.ground import Chip, Ground
from astroclean.simulate.injected.optics import Optics, draw_optics, paint_stars

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["NOISE_ALONE", "QUIET_KINDS", "SKIES", "add_bright_star", "draw_sky"]

NOISE_ALONE = "noise"
_AREA = 256 * 256
_WIDTHS = {"undersampled": (1.2, 1.9), "crowded": (1.5, 4.0), "hazy": (5.0, 8.0)}
_SEEING = (1.3, 8.0)
_STACKED = "stack"
_SUBTRACTED = 0.2
"""How often the sky was subtracted from a frame that is no stack."""

SKIES = (
    "field",
    "field",
    "crowded",
    "undersampled",
    "discs",
    "arcs",
    "spirals",
    "halos",
    "hazy",
    "stack",
)
"""Kinds of skies; a name that is there twice is twice as frequent."""
QUIET_KINDS = (
    "field",
    "crowded",
    "undersampled",
    "discs",
    "arcs",
    "spirals",
    "halos",
    "hazy",
    "stack",
    "nebulae",
    "noise",
)
"""Kinds of skies of the quiet set."""


def draw_sky(rng: np.random.Generator, shape: tuple[int, int], kind: str) -> Ground:
    """Draw a sky.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    shape : (int, int)
        (ny, nx) in pixels.
    kind : str
        One of `SKIES` or `QUIET_KINDS`.

    Returns
    -------
    Ground
        Expected electrons; nothing is saturated. In ``halos`` there are nuclei of a tenth to eight
        tenths of full well.
    """
    chip, sky = _draw_chip(rng, kind)
    noise = float(np.hypot(np.sqrt(sky), chip.read_noise))
    optics = draw_optics(rng, log_uniform(rng, _WIDTHS.get(kind, _SEEING)))
    light = np.zeros(shape)
    if kind != NOISE_ALONE:
        _fill(light, rng, optics, kind=kind, noise=noise, well=chip.well)
        # Where galaxies lie over each other they must not saturate, which would be a contaminant.
        light *= min(1.0, 0.8 * chip.well / max(float(light.max()), 1e-12))
    haze = draw_nebula(rng, shape) if kind == "nebulae" else np.zeros(shape)
    haze = haze * noise * log_uniform(rng, (3, 60))
    return Ground(
        light + haze + sky,
        light,
        sky,
        noise,
        chip,
        optics,
        stars=np.empty((0, 3)),
        label=kind,
        correlation=uniform(rng, (0.45, 0.75)) if kind == _STACKED else 0.0,
        notes={"haze": float(haze.max() / noise)},
    )


def _draw_chip(rng: np.random.Generator, kind: str) -> tuple[Chip, float]:
    """Return a chip and the electrons of the sky; a stack has those of all its exposures."""
    sky, gain = log_uniform(rng, (25.0, 5000.0)), log_uniform(rng, (0.9, 7.0))
    read_noise, well = log_uniform(rng, (2.5, 11.0)), log_uniform(rng, (5.5e4, 1.7e5))
    bias = uniform(rng, (80.0, 1800.0))
    well = min(well, (65535 - bias) * gain)
    is_flat = kind == _STACKED or rng.random() < _SUBTRACTED
    if kind == _STACKED:
        frames = whole(rng, (3, 20))
        sky, read_noise, well = sky * frames, read_noise * frames**0.5, well * frames
        gain *= frames
    chip = Chip(gain, read_noise, -sky / gain if is_flat else bias, well, whole=not is_flat)
    return chip, sky


def _fill(
    light: NDArray[np.float64],
    rng: np.random.Generator,
    optics: Optics,
    *,
    kind: str,
    noise: float,
    well: float,
) -> None:
    """Add the stars and galaxies of a kind of sky."""
    area = light.size / _AREA
    stars = {"crowded": (300, 1500), "undersampled": (30, 400)}.get(kind, (4, 80))
    top = min(well * optics.fwhm**2 / 3 / noise, 3e4)
    paint_stars(
        light,
        _stars(rng, light.shape, log_uniform(rng, stars) * area, top * noise, noise),
        optics,
        noise=noise,
    )
    galaxies = {"crowded": (0, 2), "stack": (20, 60)}.get(kind, (3, 20))
    add_galaxies(light, rng, optics, noise=noise, count=int(uniform(rng, galaxies) * area**0.5))
    special: dict[str, Callable[..., None]] = {
        "discs": add_discs,
        "arcs": add_arcs,
        "spirals": add_spirals,
        "stack": add_discs,
    }
    if kind in special:
        count = max(int(whole(rng, (1, 3)) * area**0.5), 1)
        special[kind](light, rng, optics, noise=noise, count=count)
    if kind == "halos":
        peaks = 0.1 * well, 0.8 * well
        add_ellipticals(light, rng, optics, peaks=peaks, count=whole(rng, (1, 3)))


def _stars(
    rng: np.random.Generator, shape: tuple[int, ...], count: float, top: float, noise: float
) -> NDArray[np.float64]:
    """Return x, y and flux; numbers fall with flux as a power law of slope -1.6."""
    number = rng.poisson(count)
    low = 15.0 * noise
    power, u = -0.6, rng.random(number)
    top = max(top, 4 * low)
    flux = (low**power + u * (top**power - low**power)) ** (1 / power)
    return np.column_stack(
        [rng.uniform(0, shape[1], number), rng.uniform(0, shape[0], number), flux]
    )


def add_bright_star(rng: np.random.Generator, ground: Ground) -> Ground:
    """Return a ground with one or two stars more, brighter than the detector holds.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    ground : Ground
        Not modified.

    Returns
    -------
    Ground
        With the stars, and an aureole around each that falls as the distance squared.
    """
    added = np.zeros(ground.shape)
    y, x = np.ogrid[: ground.shape[0], : ground.shape[1]]
    full = ground.chip.well * 1.3 * (ground.optics.fwhm**2 + 1)
    rows = []
    for _ in range(whole(rng, (1, 2))):
        flux = full * log_uniform(rng, (1.2, 60))
        px, py = uniform(rng, (0, ground.shape[1])), uniform(rng, (0, ground.shape[0]))
        paint_stars(added, np.array([[px, py, flux]]), ground.optics, noise=ground.noise)
        core = 4 * ground.optics.fwhm
        share = log_uniform(rng, (0.004, 0.03))
        r2 = ((x - px) ** 2 + (y - py) ** 2) / core**2
        added += share * flux / (8 * np.pi * core**2) / (1 + r2) ** 1.15
        rows.append([px, py, flux])
    light = ground.light + added
    photons = rng.poisson(added) if ground.counted else added
    stars = np.concatenate([ground.stars, np.array(rows)])
    return replace(ground, image=ground.image + photons, light=light, stars=stars)
