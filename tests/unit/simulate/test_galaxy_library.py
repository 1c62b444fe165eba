"""Galaxies of a library keep light, size, place and shape, wherever they are placed."""

from __future__ import annotations

import numpy as np
import pytest

from astroclean.simulate.galaxy_library import (
    FAMILIES,
    GalaxyLibrary,
    Morphology,
    build_galaxies,
    draw_family,
)

pytest.importorskip("galsim", reason="GalSim is not installed")
EYE = np.eye(2)


@pytest.fixture(scope="module")
def library() -> GalaxyLibrary:
    return build_galaxies(seed=5, per_family=2)


def of_family(library: GalaxyLibrary, family: str) -> Morphology:
    return next(galaxy for galaxy in library.galaxies if galaxy.family == family)


def radius_of(image: np.ndarray) -> float:
    """Return the radius of the circle around ``side // 2`` with half the light."""
    y, x = np.indices(image.shape) - image.shape[0] // 2
    away = np.hypot(y, x).ravel()
    order = np.argsort(away)
    return float(away[order][np.searchsorted(np.cumsum(image.ravel()[order]), 0.5)])


def moments_of(image: np.ndarray, within: float) -> np.ndarray:
    y, x = np.indices(image.shape) - image.shape[0] // 2
    light = np.where(np.hypot(y, x) <= within, image, 0)
    light = light / light.sum()
    return np.array([[np.sum(light * a * b) for b in (y, x)] for a in (y, x)])


def test_the_seed_alone_decides(library: GalaxyLibrary) -> None:
    again = build_galaxies(seed=5, per_family=2, families=FAMILIES[:2])
    for ours, theirs in zip(library.galaxies, again.galaxies, strict=False):
        assert ours.family == theirs.family
        np.testing.assert_array_equal(ours.images[0], theirs.images[0])
    other = build_galaxies(seed=6, per_family=1, families=FAMILIES[:1])
    assert not np.array_equal(other.galaxies[0].images[0], library.galaxies[0].images[0])
    assert [galaxy.family for galaxy in library.galaxies] == [f for f in FAMILIES for _ in "12"]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_image_of_a_galaxy_is_the_same_light(library: GalaxyLibrary, family: str) -> None:
    galaxy = of_family(library, family)
    for level, image in enumerate(galaxy.images):
        assert image.min() >= 0
        assert image.sum() == pytest.approx(1, abs=1e-4)
        axis = np.arange(len(image)) - (len(image) - 1) / 2
        middle = [float(np.sum(image.sum(axis=1 - k) * axis)) * 2**level for k in (0, 1)]
        np.testing.assert_allclose(middle, 0, atol=2.5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("radius", [4.0, 11.0, 25.0])
def test_a_placed_galaxy_has_its_light_and_its_radius(
    library: GalaxyLibrary, family: str, radius: float
) -> None:
    image = of_family(library, family).placed(EYE, radius, int(12 * radius) | 1)
    assert image.min() >= 0
    assert image.sum() == pytest.approx(1)
    assert radius_of(image) == pytest.approx(radius, rel=0.1, abs=0.6)


def test_a_tiny_galaxy_is_a_point_in_the_middle(library: GalaxyLibrary) -> None:
    for galaxy in library.galaxies:
        image = galaxy.placed(EYE, 0.02, 15)
        assert image.sum() == pytest.approx(1)
        assert np.unravel_index(np.argmax(image), image.shape) == (7, 7)


def test_turns_and_shears_are_what_they_say(library: GalaxyLibrary) -> None:
    """A quarter turn is that of the array; moments follow the matrix, and those that are told."""
    galaxy, radius, side = of_family(library, "edge_on"), 9.0, 121
    image = galaxy.placed(EYE, radius, side)
    # (y, x) to (x, -y) leaves the middle of an odd image where it is.
    turned = galaxy.placed(np.array([[0.0, -1.0], [1.0, 0.0]]), radius, side)
    np.testing.assert_allclose(turned, np.rot90(image), atol=1e-3 * image.max())
    told = galaxy.second * radius**2
    np.testing.assert_allclose(moments_of(image, 2 * radius), told, rtol=0.05, atol=0.5)
    shear = np.diag([1.25, 0.8])
    before, after = (
        moments_of(galaxy.placed(matrix, radius, side), 6 * radius) for matrix in (EYE, shear)
    )
    np.testing.assert_allclose(after, shear @ before @ shear.T, rtol=0.08, atol=1.0)


def test_drawn_matrices_keep_areas(library: GalaxyLibrary) -> None:
    rng = np.random.default_rng(0)
    drawn = [library.draw(rng) for _ in range(200)]
    signs = [np.linalg.det(matrix) for _, matrix in drawn]
    np.testing.assert_allclose(np.abs(signs), 1)
    assert 50 < np.count_nonzero(np.array(signs) < 0) < 150
    assert {galaxy.family for galaxy, _ in drawn} == set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_families_have_a_flux_of_one(family: str) -> None:
    assert draw_family(np.random.default_rng(1), family).flux == pytest.approx(1, rel=1e-6)
