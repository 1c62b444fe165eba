"""Galaxies: bulge and disk, clumpy, irregular; drawn by GalSim, singly or from a library."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.stage.options import Options
from astroclean.simulate.draws import Range, log_uniform, uniform, whole
from astroclean.simulate.psfs import HALF, PsfModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Component",
    "GalaxyRange",
    "draw_components",
    "draw_galaxy",
    "galaxy_stamp",
    "library_galaxy",
]

KINDS = ("bulge_disk", "clumpy", "irregular")
FINE = 2
"""Pixels of the library along one pixel of the frame."""
_THIRDS = 3
"""Samples along a pixel where a galaxy is convolved by itself; odd, so that centres coincide."""
_SIZES = (1.5, 2.2, 3.2, 4.7, 6.8, 10.0)
_PER_SIZE = 9


class GalaxyRange(Options):
    """What galaxies are drawn from."""

    half_light_radius: Range = (1.5, 8.0)
    """Pixels."""
    bulge_fraction: Range = (0.0, 0.8)
    axis_ratio: Range = (0.25, 1.0)
    clump_fraction: Range = (0.15, 0.6)
    """Share of the light in clumps."""
    clumps: tuple[int, int] = (4, 25)


@dataclass(frozen=True, eq=False)
class Component:
    """Part of a galaxy whose stars are alike."""

    kind: str
    """``disk``, ``bulge``, ``clumps``, or ``patch`` of an irregular galaxy."""
    profile: Any
    """galsim.GSObject; lengths in pixels."""


def draw_galaxy(rng: np.random.Generator, limits: GalaxyRange, *, kind: str, radius: float) -> Any:
    """Draw the profile of a galaxy of flux 1.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    limits : GalaxyRange
        Ranges.
    kind : str
        ``bulge_disk``, ``clumpy`` or ``irregular``.
    radius : float
        Half-light radius in pixels.

    Returns
    -------
    galsim.GSObject
        Lengths in pixels.
    """
    import galsim  # noqa: PLC0415 - optional extra

    parts = draw_components(rng, limits, kind=kind, radius=radius)
    return galsim.Sum([part.profile for part in parts])


def draw_components(
    rng: np.random.Generator, limits: GalaxyRange, *, kind: str, radius: float
) -> list[Component]:
    """Draw a galaxy as :func:`draw_galaxy` does, its components apart; their fluxes add up to 1."""
    import galsim  # noqa: PLC0415 - optional extra

    q, angle = uniform(rng, limits.axis_ratio), uniform(rng, (0, np.pi)) * galsim.radians
    disk = galsim.Exponential(half_light_radius=radius).shear(q=q, beta=angle)
    if kind == "bulge_disk":
        share = uniform(rng, limits.bulge_fraction)
        # Rounder and smaller than the disk; index 3 keeps the cusp within what a pixel resolves.
        bulge = galsim.Sersic(n=3.0, half_light_radius=0.35 * radius)
        bulge = bulge.shear(q=min(0.5 + q / 2, 1.0), beta=angle)
        return [Component("disk", (1 - share) * disk), Component("bulge", share * bulge)]
    if kind == "clumpy":
        share = uniform(rng, limits.clump_fraction)
        clumps = _clumps(rng, limits, radius).shear(q=q, beta=angle)
        return [Component("disk", (1 - share) * disk), Component("clumps", share * clumps)]
    parts = []
    for weight in rng.dirichlet(np.full(whole(rng, (3, 5)), 2.0)):
        part = galsim.Exponential(half_light_radius=radius * uniform(rng, (0.35, 0.8)))
        part = part.shear(q=uniform(rng, limits.axis_ratio), beta=angle)
        shift = rng.normal(0, 0.6 * radius, 2)
        parts.append(Component("patch", weight * part.shift(*map(float, shift))))
    return parts


def _clumps(rng: np.random.Generator, limits: GalaxyRange, radius: float) -> Any:
    import galsim  # noqa: PLC0415 - optional extra

    count = whole(rng, limits.clumps)
    weights = rng.pareto(1.5, count) + 0.3
    places = rng.normal(0, 0.8 * radius, (count, 2))
    width = max(0.12 * radius, 0.3)
    knots = [
        weight * galsim.Gaussian(half_light_radius=width).shift(float(x), float(y))
        for weight, (x, y) in zip(weights / weights.sum(), places, strict=True)
    ]
    return galsim.Sum(knots)


def galaxy_stamp(
    profile: Any, psf: PsfModel | None, *, side: int, offset: tuple[float, float] = (0.0, 0.0)
) -> NDArray[np.float64]:
    """Return the image of one galaxy, exactly convolved.

    Parameters
    ----------
    profile : galsim.GSObject
        Lengths in pixels.
    psf : PsfModel or None
        None gives the galaxy before the PSF, on the same pixels.
    side : int
        Side of the stamp in pixels; odd.
    offset : (float, float)
        (y, x) of the galaxy from the middle pixel.

    Returns
    -------
    (side, side) float64
        Light within the stamp.
    """
    import galsim  # noqa: PLC0415 - optional extra
    from scipy.signal import fftconvolve  # noqa: PLC0415 - slow to import

    y, x = offset
    # Cusps have Fourier transforms without end; a third of a pixel is as fine as matters here.
    coarse = galsim.GSParams(folding_threshold=0.01, maxk_threshold=0.01)
    placed = profile.shift(x, y).withGSParams(coarse)
    count = side * _THIRDS
    fine = placed.drawImage(nx=count, ny=count, scale=1 / _THIRDS, dtype=float).array
    if psf is not None:
        kernel = psf.kernel(per_pixel=_THIRDS, half=min(count // 2, HALF * _THIRDS))
        fine = fftconvolve(fine, kernel, mode="same")
    folded = fine.reshape(side, _THIRDS, side, _THIRDS).sum(axis=(1, 3))
    return np.asarray(np.clip(folded, 0, None))


@functools.lru_cache(maxsize=1)
def _library() -> tuple[tuple[NDArray[np.float64], ...], ...]:
    """Return prototypes before the PSF on half pixels, by size; the same in every process."""
    import galsim  # noqa: PLC0415 - optional extra

    # The PSF removes what finer Fourier transforms would add; these take a tenth of the time.
    coarse = galsim.GSParams(folding_threshold=0.02, maxk_threshold=0.02)
    rng = np.random.default_rng(20240229)
    shelves = []
    for radius in _SIZES:
        shelf = []
        for number in range(_PER_SIZE):
            kind = KINDS[number % len(KINDS)]
            profile = draw_galaxy(rng, GalaxyRange(), kind=kind, radius=radius)
            side = 2 * int(5 * radius * FINE) + 1
            image = profile.withGSParams(coarse).drawImage(
                nx=side, ny=side, scale=1 / FINE, dtype=float
            )
            stamp = np.clip(image.array, 0, None)
            shelf.append(stamp / stamp.sum())
        shelves.append(tuple(shelf))
    return tuple(shelves)


def library_galaxy(
    rng: np.random.Generator, limits: GalaxyRange
) -> tuple[NDArray[np.float64], float]:
    """Return a galaxy of the library, mirrored and turned at random, and its radius.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    limits : GalaxyRange
        Only ``half_light_radius`` is heeded; the nearest size of the library is taken.

    Returns
    -------
    stamp : (n, n) float64
        Half pixels, odd, sum 1, before the PSF.
    radius : float
        Half-light radius in pixels.
    """
    wanted = log_uniform(rng, limits.half_light_radius)
    shelf = int(np.argmin(np.abs(np.log(np.array(_SIZES) / wanted))))
    stamp = _library()[shelf][whole(rng, (0, _PER_SIZE - 1))]
    stamp = np.rot90(stamp, whole(rng, (0, 3)))
    return (stamp[::-1] if rng.random() < 0.5 else stamp), _SIZES[shelf]  # noqa: PLR2004 - a coin
