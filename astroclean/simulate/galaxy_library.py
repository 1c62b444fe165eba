"""A library of galaxies before the PSF: drawn once, then scaled, turned and sheared at will.

To draw a galaxy of many parts takes GalSim ten milliseconds, to place one of the library a fraction
of one; a training draws millions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.simulate.draws import log_uniform, uniform, whole
from astroclean.simulate.galaxies import GalaxyRange, draw_galaxy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["FAMILIES", "GalaxyLibrary", "Morphology", "build_galaxies", "draw_family"]

FAMILIES = ("bulge_disk", "sersic", "clumpy", "irregular", "knots", "edge_on", "spiral")
"""What a training sees; `astroclean.simulate.held_out` has what only evaluations see."""
_SIDE = 192
_RADIUS = 18.0
"""Half-light radius of the finest image of a galaxy, in its pixels."""
_LEVELS = 5
"""Images of a galaxy, each at half the scale of the one before."""


def draw_family(rng: np.random.Generator, family: str) -> Any:
    """Draw the profile of a galaxy of flux 1 and a half-light radius of about 1.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    family : str
        One of `FAMILIES`.

    Returns
    -------
    galsim.GSObject
        In units of the half-light radius that it was drawn with.
    """
    import galsim  # noqa: PLC0415 - optional extra

    if family in {"bulge_disk", "clumpy", "irregular"}:
        return draw_galaxy(rng, GalaxyRange(), kind=family, radius=1.0)
    angle = uniform(rng, (0, np.pi)) * galsim.radians
    if family == "sersic":
        profile = galsim.Sersic(n=log_uniform(rng, (0.5, 5.0)), half_light_radius=1.0)
        return profile.shear(q=uniform(rng, (0.25, 1.0)), beta=angle)
    if family == "edge_on":
        disk = galsim.InclinedExponential(
            np.arccos(uniform(rng, (0.0, 0.15))) * galsim.radians,
            half_light_radius=1.0,
            scale_h_over_r=uniform(rng, (0.08, 0.2)),
        )
        share = uniform(rng, (0.0, 0.35))
        bulge = galsim.Sersic(n=2.0, half_light_radius=uniform(rng, (0.15, 0.4)))
        return ((1 - share) * disk + share * bulge.shear(q=0.7, beta=0 * galsim.radians)).rotate(
            angle
        )
    q = uniform(rng, (0.4, 1.0))
    disk = galsim.Exponential(half_light_radius=1.0)
    if family == "knots":
        count, share = whole(rng, (2, 8)), uniform(rng, (0.05, 0.35))
        places = rng.normal(0, 0.9, (count, 2))
        parts = _spots(places, rng.pareto(1.5, count) + 0.3, uniform(rng, (0.05, 0.15)))
    else:
        share = uniform(rng, (0.2, 0.6))
        parts = _arms(rng)
    return ((1 - share) * disk + share * parts).shear(q=q, beta=angle)


def _spots(places: NDArray[np.float64], weights: NDArray[np.float64], width: float) -> Any:
    """Return round spots of a total flux of 1."""
    import galsim  # noqa: PLC0415 - optional extra

    spot = galsim.Gaussian(half_light_radius=width)
    shares = weights / weights.sum()
    return galsim.Sum(
        [
            share * spot.shift(float(x), float(y))
            for share, (x, y) in zip(shares, places, strict=True)
        ]
    )


def _arms(rng: np.random.Generator) -> Any:
    """Return logarithmic spiral arms of many spots, fading outwards as the disk does."""
    arms, pitch = whole(rng, (2, 4)), uniform(rng, (0.2, 0.5))
    along = rng.uniform(0.4, 2.6, 30)
    turn = np.log(along) / pitch * (1 if uniform(rng, (0, 1)) > 0.5 else -1)  # noqa: PLR2004 - a coin
    angle = turn + rng.integers(arms, size=30) * 2 * np.pi / arms + rng.normal(0, 0.08, 30)
    places = along[:, np.newaxis] * np.column_stack([np.cos(angle), np.sin(angle)])
    return _spots(places, np.exp(-along) * rng.uniform(0.5, 1.5, 30), 0.18)


@dataclass(frozen=True, eq=False)
class Morphology:
    """A galaxy of the library."""

    family: str
    images: tuple[NDArray[np.float32], ...]
    """Of sum 1, centred on the centroid of the light, each at half the scale of the one before."""
    second: NDArray[np.float64]
    """(2, 2) matrix of the second moments (yy, yx; xy, xx) within two half-light radii, in units
    of the half-light radius squared."""

    def placed(self, matrix: NDArray[np.float64], radius: float, side: int) -> NDArray[np.float64]:
        """Return the galaxy on other pixels.

        Parameters
        ----------
        matrix : (2, 2) float64
            Turn, mirror and shear, of determinant +-1: where (y, x) of the library goes.
        radius : float
            Half-light radius in the new pixels.
        side : int
            Of the new image, odd or even; the galaxy is at ``side // 2``.

        Returns
        -------
        (side, side) float64
            Sum 1: light beyond the image is put back in proportion.
        """
        from scipy.ndimage import affine_transform  # noqa: PLC0415 - slow to import

        level = int(np.clip(np.floor(np.log2(_RADIUS / radius)), 0, len(self.images) - 1))
        image = self.images[level]
        back = np.linalg.inv(matrix) * (_RADIUS / 2**level / radius)
        middle, centre = np.full(2, float(side // 2)), (np.array(image.shape) - 1) / 2
        drawn = affine_transform(
            image, back, centre - back @ middle, output_shape=(side, side), order=1
        )
        total = float(drawn.sum())
        if total > 0:
            return np.asarray(drawn / total, dtype=np.float64)
        point = np.zeros((side, side))
        point[side // 2, side // 2] = 1.0
        return point


@dataclass(frozen=True, eq=False)
class GalaxyLibrary:
    """Galaxies to draw from."""

    galaxies: tuple[Morphology, ...]

    def draw(self, rng: np.random.Generator) -> tuple[Morphology, NDArray[np.float64]]:
        """Return a galaxy, and a turn, mirror and shear for it."""
        one = self.galaxies[int(rng.integers(len(self.galaxies)))]
        angle = rng.uniform(0, 2 * np.pi)
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array([[cos, -sin], [sin, cos]])
        stretch = np.exp(rng.normal(0, 0.12))
        mirror = np.diag([stretch, 1 / stretch if rng.random() < 0.5 else -1 / stretch])  # noqa: PLR2004 - a coin
        return one, turn @ mirror


def build_galaxies(
    *, seed: int, per_family: int = 40, families: Sequence[str] = FAMILIES
) -> GalaxyLibrary:
    """Draw a library.

    Parameters
    ----------
    seed : int
        The same seed gives the same galaxies.
    per_family : int
        Galaxies of each family.
    families : sequence of str
        Some of `FAMILIES`.

    Returns
    -------
    GalaxyLibrary
        In order of the families; 0.2 MB a galaxy.
    """
    galaxies = []
    for number, family in enumerate(families):
        rng = np.random.default_rng((seed, number))
        galaxies += [_morphology(draw_family(rng, family), family) for _ in range(per_family)]
    return GalaxyLibrary(tuple(galaxies))


def _morphology(profile: Any, family: str) -> Morphology:
    import galsim  # noqa: PLC0415 - optional extra

    coarse = galsim.GSParams(folding_threshold=0.02, maxk_threshold=0.02)
    profile = profile.withGSParams(coarse).shift(-profile.centroid)
    image = _drawn(profile, _RADIUS / 1.0)
    # What was drawn with a radius of 1 has another one, once it has parts: measure, draw anew.
    image = _drawn(profile, _RADIUS**2 / _half_light_radius(image))
    levels = [image]
    for _ in range(_LEVELS - 1):
        last = levels[-1]
        half = last.shape[0] // 2
        levels.append(last.reshape(half, 2, half, 2).sum(axis=(1, 3)))
    images = tuple(np.ascontiguousarray(level, dtype=np.float32) for level in levels)
    return Morphology(family, images, _second_moments(image))


def _drawn(profile: Any, scale: float) -> NDArray[np.float64]:
    """Return a profile on the pixels of the library, a unit of length being so many of them."""
    stamp = profile.drawImage(nx=_SIDE, ny=_SIDE, scale=1 / scale, dtype=float).array
    light = np.clip(stamp, 0, None)
    return np.asarray(light / light.sum())


def _half_light_radius(image: NDArray[np.float64]) -> float:
    """Return the radius in pixels of the circle around the middle with half the light."""
    axis = np.arange(image.shape[0]) - (image.shape[0] - 1) / 2
    away = np.hypot(axis[:, np.newaxis], axis[np.newaxis]).ravel()
    order = np.argsort(away)
    inside = np.cumsum(image.ravel()[order])
    return float(away[order][np.searchsorted(inside, 0.5 * inside[-1])])


def _second_moments(image: NDArray[np.float64]) -> NDArray[np.float64]:
    axis = np.arange(image.shape[0]) - (image.shape[0] - 1) / 2
    y, x = axis[:, np.newaxis] / _RADIUS, axis[np.newaxis] / _RADIUS
    light = np.where(np.hypot(y, x) <= 2, image, 0)  # noqa: PLR2004 - two half-light radii
    light = light / light.sum()
    yy, xx, xy = (float(np.sum(light * part)) for part in (y * y + 0 * x, x * x + 0 * y, x * y))
    return np.array([[yy, xy], [xy, xx]])
