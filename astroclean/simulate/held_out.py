"""Galaxies of families that no training sees: rings, barred spirals, tidal ones, dust lanes.

Networks are trained on what `astroclean.simulate.galaxies` draws; how they do on light that is
arranged in another way can only be told from families of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.simulate.draws import uniform, whole
from astroclean.simulate.galaxies import KINDS, Component, GalaxyRange, draw_components

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["EVERY_KIND", "HELD_OUT_KINDS", "draw_any", "draw_held_out"]

HELD_OUT_KINDS = ("ring", "barred", "tidal", "dust_lane")
EVERY_KIND = (*KINDS, *HELD_OUT_KINDS)


def draw_any(rng: np.random.Generator, limits: GalaxyRange, *, kind: str, radius: float) -> Any:
    """Draw a galaxy of any family, seen by trainings or not, with its centroid at the origin.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    limits : GalaxyRange
        Ranges of the families of `astroclean.simulate.galaxies`.
    kind : str
        One of `EVERY_KIND`.
    radius : float
        About the half-light radius, in pixels.

    Returns
    -------
    galsim.GSObject
        Of flux 1; lengths in pixels.
    """
    import galsim  # noqa: PLC0415 - optional extra

    if kind in HELD_OUT_KINDS:
        parts = draw_held_out(rng, kind=kind, radius=radius)
    else:
        parts = draw_components(rng, limits, kind=kind, radius=radius)
    light = galsim.Sum([part.profile for part in parts])
    # Where an irregular galaxy is, is where its light is.
    return light.shift(-light.centroid)


def draw_held_out(rng: np.random.Generator, *, kind: str, radius: float) -> list[Component]:
    """Draw a galaxy of a family that no training sees; fluxes of its components add up to 1.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    kind : str
        ``ring`` (a ring with knots around a core), ``barred`` (bar, lens and two stubs of arms),
        ``tidal`` (a body off center in a disk, with shells and a tail) or ``dust_lane`` (an
        edge-on disk cut by its dust).
    radius : float
        About the half-light radius, in pixels: half the light of a dust-lane galaxy lies within it
        along the major axis; tails and rings reach two to three times as far.

    Returns
    -------
    list of Component
        Lengths in pixels. No light is negative but that of a lane, which takes from its disk alone.
    """
    draw: Callable[[np.random.Generator, float], list[Component]] = _DRAWS[kind]
    return draw(rng, radius)


def _ring(rng: np.random.Generator, radius: float) -> list[Component]:
    import galsim  # noqa: PLC0415 - optional extra

    # Two flat-topped profiles of one height: where they differ is a ring, nowhere negative.
    # GalSim makes a table for each index, so there are few.
    n, hole = float(rng.choice([0.3, 0.35, 0.4])), uniform(rng, (0.55, 0.8))
    outer, deep = 1.45 * radius, uniform(rng, (0.92, 1.0))
    light = galsim.Sersic(n=n, half_light_radius=outer)
    light -= deep * hole**2 * galsim.Sersic(n=n, half_light_radius=hole * outer)
    knots = whole(rng, (2, 6))
    angles = rng.uniform(0, 2 * np.pi, knots)
    where = (1 + hole) / 2 * 1.25 * outer * np.column_stack([np.cos(angles), np.sin(angles)])
    spots = _spots(where, rng.uniform(0.3, 1.0, knots), 0.2 * radius)
    core = galsim.Sersic(n=2.0, half_light_radius=uniform(rng, (0.2, 0.35)) * radius)
    tilted = _tilt(rng, (0.45, 1.0))
    core_share, spot_share = uniform(rng, (0.1, 0.35)), uniform(rng, (0.05, 0.2))
    ring = tilted(light / light.flux)
    return [
        Component("disk", (1 - core_share - spot_share) * ring),
        Component("clumps", spot_share * tilted(spots)),
        Component("bulge", core_share * tilted(core)),
    ]


def _barred(rng: np.random.Generator, radius: float) -> list[Component]:
    import galsim  # noqa: PLC0415 - optional extra

    tilted, length = _tilt(rng, (0.5, 1.0)), uniform(rng, (0.9, 1.4)) * radius
    q = uniform(rng, (0.18, 0.35))
    bar = galsim.Sersic(n=0.5, half_light_radius=0.75 * length * np.sqrt(q))
    bar = bar.shear(q=q, beta=0 * galsim.radians)
    lens = galsim.Sersic(n=0.6, half_light_radius=radius).shear(q=0.8, beta=0 * galsim.radians)
    # Stubs: from both ends of the bar, outward along a spiral, fading.
    steps = np.arange(5)
    turn = uniform(rng, (0.15, 0.3)) * steps
    reach = 1.1 * length * (1 + uniform(rng, (0.06, 0.16)) * steps)
    stub = np.column_stack([reach * np.cos(turn), reach * np.sin(turn)])
    arms = _spots(np.concatenate([stub, -stub]), np.tile(0.75**steps, 2), 0.28 * radius)
    shares = rng.dirichlet([3.0, 5.0, 3.0])
    return [
        Component("bulge", shares[0] * tilted(bar)),
        Component("disk", shares[1] * tilted(lens)),
        Component("clumps", shares[2] * tilted(arms)),
    ]


def _tidal(rng: np.random.Generator, radius: float) -> list[Component]:
    import galsim  # noqa: PLC0415 - optional extra

    tilted = _tilt(rng, (0.5, 1.0))
    body = galsim.Sersic(n=2.0, half_light_radius=0.5 * radius)
    disk = galsim.Exponential(half_light_radius=radius).shift(
        uniform(rng, (0.2, 0.5)) * radius, 0.0
    )
    steps = np.linspace(0, 1, 7)
    side = -1 if rng.random() < 0.5 else 1  # noqa: PLR2004 - a coin
    turn = side * uniform(rng, (0.8, 2.2)) * steps
    reach = radius * (0.9 + uniform(rng, (1.2, 2.4)) * steps)
    tail = _spots(_polar(reach, turn), 1 - 0.7 * steps, 0.35 * radius)
    shells = []
    for _ in range(whole(rng, (1, 2))):
        middle = uniform(rng, (0, 2 * np.pi))
        arc = np.linspace(middle - 0.5, middle + 0.5, 5)
        far = np.full(5, uniform(rng, (1.3, 2.1)) * radius)
        shells.append(_spots(_polar(far, arc), np.ones(5), 0.22 * radius))
    shares = rng.dirichlet([5.0, 5.0, 2.5, 1.5])
    return [
        Component("bulge", shares[0] * tilted(body)),
        Component("disk", shares[1] * tilted(disk)),
        Component("patch", shares[2] * tilted(tail)),
        Component("patch", shares[3] / len(shells) * tilted(galsim.Sum(shells))),
    ]


def _dust_lane(rng: np.random.Generator, radius: float) -> list[Component]:
    import galsim  # noqa: PLC0415 - optional extra

    angle = uniform(rng, (0, np.pi)) * galsim.radians
    q, thin = uniform(rng, (0.25, 0.4)), uniform(rng, (0.3, 0.5))
    shorter, depth = uniform(rng, (0.75, 0.95)), uniform(rng, (0.55, 0.9))
    disk = galsim.Exponential(half_light_radius=radius * np.sqrt(q)).shear(q=q, beta=angle)
    # The same law, shorter and thinner, of `depth` times the height: less than the disk everywhere.
    lane = galsim.Exponential(half_light_radius=shorter * radius * np.sqrt(q * thin))
    lane = lane.shear(q=q * thin, beta=angle)
    taken = depth * shorter**2 * thin
    bulge = galsim.Sersic(n=2.0, half_light_radius=0.3 * radius).shear(q=0.7, beta=angle)
    share = uniform(rng, (0.05, 0.3))
    cut = (disk - taken * lane) / (1 - taken)
    return [Component("disk", (1 - share) * cut), Component("bulge", share * bulge)]


def _polar(reach: NDArray[np.float64], turn: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack([reach * np.cos(turn), reach * np.sin(turn)])


def _spots(places: NDArray[np.float64], weights: NDArray[np.float64], width: float) -> Any:
    """Return Gaussians at places (x, y), of flux 1 in all, of one half-light radius."""
    import galsim  # noqa: PLC0415 - optional extra

    weights = weights / weights.sum()
    return galsim.Sum(
        [
            float(weight) * galsim.Gaussian(half_light_radius=max(width, 0.3)).shift(x, y)
            for weight, (x, y) in zip(weights, places.tolist(), strict=True)
        ]
    )


def _tilt(rng: np.random.Generator, axis_ratio: tuple[float, float]) -> Callable[[Any], Any]:
    """Return what turns and inclines all components of a galaxy alike."""
    import galsim  # noqa: PLC0415 - optional extra

    turn = uniform(rng, (0, 2 * np.pi)) * galsim.radians
    q, angle = uniform(rng, axis_ratio), uniform(rng, (0, np.pi)) * galsim.radians
    return lambda profile: profile.rotate(turn).shear(q=q, beta=angle)


_DRAWS = {"ring": _ring, "barred": _barred, "tidal": _tidal, "dust_lane": _dust_lane}
