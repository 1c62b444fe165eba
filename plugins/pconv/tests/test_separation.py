"""Sources and what is beneath are told apart as well as the model says, in worlds drawn from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astroclean_pconv.separate.clumps import Places, find_clumps
from astroclean_pconv.separate.equations import Doubts
from model_worlds import (
    FWHM,
    PSF,
    SHAPE,
    STRENGTH,
    TOLD,
    Draw,
    filling,
    light,
    world_of,
)

from astroclean.core.sources.holes import disks

ONE = np.array([[30.3, 28.8]])
TWO = np.array([[29.0, 30.2], [32.5, 29.4]])
DRAWS = 150


def test_one_source_is_that_of_generalized_least_squares() -> None:
    """An implementation of its own, dense, with the equations of the model."""
    world = world_of(ONE, [40.0])
    (clump,), draw = world.clumps, world.drawn(1)
    sources, (solution,) = world.solved(draw)
    y, x = clump.rows.astype(float), clump.columns.astype(float)
    image = PSF.at(y - ONE[0, 1], x - ONE[0, 0])
    data = draw.data[clump.rows, clump.columns]
    stretch = world.stretch(clump, draw.filled)
    told = stretch.told
    strength = stretch.fitted(data, image[:, None]).strength
    emission = strength**2 * _emission(np.hypot(np.subtract.outer(y, y), np.subtract.outer(x, x)))
    squared = np.subtract.outer(y, y) ** 2 + np.subtract.outer(x, x) ** 2
    noise = 0.1**2 * 0.3**squared
    scaled = np.sqrt(5 * squared[np.ix_(told, told)]) / clump.length
    doubt = 0.3**2 * ((1 + scaled + scaled**2 / 3) * np.exp(-scaled) + 1e-5 * np.eye(len(told)))
    answers = emission[np.ix_(told, told)] + doubt
    covariance = np.block([[emission + noise, emission[:, told]], [emission[told], answers]])
    covariance += strength**2 * 1e-5 * np.eye(len(covariance))
    inverse = np.linalg.inv(covariance)
    nothing = np.zeros(len(told))
    design = np.column_stack([np.r_[image, nothing], np.ones(len(covariance))])
    seen = np.r_[data, draw.filled.background[clump.rows[told], clump.columns[told]]]
    normal = np.linalg.inv(design.T @ inverse @ design)
    flux = (normal @ design.T @ inverse @ seen)[0]
    assert sources.flux[0] == pytest.approx(flux, rel=1e-4)
    assert sources.variance[0] == pytest.approx(normal[0, 0], rel=1e-3)
    np.testing.assert_allclose(solution.values, data - flux * image, atol=2e-3)
    # What is left of the noise that the model takes for rough emission.
    np.testing.assert_allclose(solution.deviation, np.abs(image) * np.sqrt(normal[0, 0]), atol=3e-3)


def _emission(distance: np.ndarray) -> np.ndarray:
    """A power law of slope 4 through a beam: Gaussians from 0.8 to 4 FWHM, ten of them."""
    beam = FWHM / 2.354820045
    scales = np.geomspace(0.8, 4, 10) * FWHM
    widths = scales**2 + 2 * beam**2
    weights = scales**4 / widths
    parts = weights * np.exp(-0.5 * distance[..., None] ** 2 / widths)
    return parts.sum(-1) / weights.sum()


def test_the_strength_of_the_emission_is_found() -> None:
    world = world_of(ONE, [40.0])
    (clump,) = world.clumps
    found = []
    for seed in range(40):
        draw = world.drawn(seed)
        image = PSF.at(clump.rows - ONE[0, 1], clump.columns - ONE[0, 0])
        stretch = world.stretch(clump, draw.filled)
        data = draw.data[clump.rows, clump.columns]
        found.append(stretch.fitted(data, image[:, None]).strength)
    assert 0.5 * STRENGTH < np.median(found) < 2 * STRENGTH


def test_with_the_true_psf_what_is_beneath_is_the_frame_less_the_sources() -> None:
    world = world_of(TWO, [40.0, 15.0])
    (clump,), draw = world.clumps, world.drawn(2)
    sources, (solution,) = world.solved(draw)
    less = draw.data - light(TWO, sources.flux)
    np.testing.assert_allclose(solution.values, less[clump.rows, clump.columns], atol=1e-3)
    assert solution.misfit == 0
    assert solution.noise_lost.max() < 1e-3, "every pixel was measured"


@pytest.mark.slow
@pytest.mark.parametrize("positions", [ONE, TWO], ids=["one", "two that overlap"])
def test_fluxes_are_unbiased_and_their_errors_are_those_told(positions: np.ndarray) -> None:
    fluxes = np.array([5.0, 3.0])[: len(positions)]
    world, pulls, scores = world_of(positions, fluxes), [], []
    clump = world.clumps[0]
    core = np.hypot(clump.rows - positions[0, 1], clump.columns - positions[0, 0]) < 2
    for seed in range(DRAWS):
        draw = world.drawn(seed)
        sources, (solution,) = world.solved(draw)
        pulls.append((sources.flux - fluxes) / np.sqrt(sources.variance))
        off = solution.values - draw.truth[clump.rows, clump.columns]
        scores.append((off / solution.deviation)[core])
    pulls = np.array(pulls)
    np.testing.assert_allclose(pulls.mean(axis=0), 0, atol=4 / np.sqrt(DRAWS))
    # The standard deviation of a chi-square over its mean is sqrt(2 / n).
    np.testing.assert_allclose((pulls**2).mean(axis=0), 1, atol=4 * np.sqrt(2 / DRAWS))
    assert 0.8 < np.std(scores) < 1.25


@pytest.mark.slow
@pytest.mark.parametrize("flux", [4.0, 40.0])
def test_positions_that_err_cost_what_is_told(flux: float) -> None:
    doubts = Doubts(place=0.15, turn=1e-4, width=1e-4, misfit=False)
    world, pulls, scores, moved = world_of(ONE, [flux], radius=7.0), [], [], []
    clump = world.clumps[0]
    core = np.hypot(clump.rows - 28.8, clump.columns - 30.3) < 3
    for seed in range(DRAWS):
        draw = world.drawn(seed)
        wrong = ONE + np.random.default_rng(1000 + seed).normal(0, 0.15, (1, 2))
        sources, (solution,) = world.solved(draw, doubts=doubts, positions=wrong)
        pulls.append((sources.flux[0] - flux) / np.sqrt(sources.variance[0]))
        moved.append(wrong[0] + sources.shape[0, :2] - ONE[0])
        off = solution.values - draw.truth[clump.rows, clump.columns]
        scores.append((off / solution.deviation)[core])
    assert np.mean(pulls) == pytest.approx(0, abs=4 / np.sqrt(DRAWS))
    assert np.std(pulls) == pytest.approx(1, abs=0.2)
    assert 0.8 < np.std(scores) < 1.25
    assert np.std(moved) < 0.15, "the frame tells more than the catalogue"


@pytest.mark.slow
def test_a_pixel_that_is_not_usable_is_predicted() -> None:
    place, scores, lost = (30, 32), [], []
    world = world_of(ONE, [20.0], bad=(place,))
    clump = world.clumps[0]
    index = np.flatnonzero((clump.rows == place[0]) & (clump.columns == place[1]))[0]
    for seed in range(DRAWS):
        draw = world.drawn(seed)
        sources, (solution,) = world.solved(draw)
        scores.append((solution.values[index] - draw.truth[place]) / solution.deviation[index])
        lost.append(solution.noise_lost[index])
        assert np.isfinite(sources.flux).all()
    assert np.mean(scores) == pytest.approx(0, abs=0.4)
    assert np.std(scores) == pytest.approx(1, abs=0.3)
    # Its noise was not measured; its neighbors tell the rest.
    assert 0.05 < min(lost) <= max(lost) < 1


def test_what_stands_in_a_pixel_that_is_not_usable_is_not_read() -> None:
    world = world_of(ONE, [20.0], bad=((29, 31), (27, 30)))
    draw = world.drawn(3)
    (one, first), (two, second) = (
        world.solved(draw._replace(data=np.where(world.usable, draw.data, rubbish)))
        for rubbish in (0, -1e30)
    )
    np.testing.assert_array_equal(one.flux, two.flux)
    np.testing.assert_array_equal(first[0].values, second[0].values)


def test_the_order_of_sources_changes_no_bit() -> None:
    positions = np.array([[29.0, 30.2], [33.5, 29.4], [31.0, 34.0], [50.0, 14.5], [12.0, 40.0]])
    fluxes = np.array([20.0, 8.0, 3.0, 10.0, 0.5])
    doubts = Doubts(place=0.1, turn=0.02, width=0.02)
    order = np.array([3, 0, 4, 2, 1])
    world, shuffled = world_of(positions, fluxes), world_of(positions[order], fluxes[order])
    draw = world.drawn(4)
    one, first = world.solved(draw, doubts=doubts)
    two, second = shuffled.solved(draw, doubts=doubts)
    np.testing.assert_array_equal(one.flux[order], two.flux)
    np.testing.assert_array_equal(one.shape[order], two.shape)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.values, b.values)
        np.testing.assert_array_equal(a.deviation, b.deviation)


@pytest.mark.parametrize("scale", [2.0**-30, 2.0**20])
def test_the_unit_does_not_matter(scale: float) -> None:
    doubts = Doubts(place=0.1, turn=0.02, width=0.02)
    world = world_of(TWO, [20.0, 9.0])
    planes = ("background", "deviation", "sigma")
    draw = world.drawn(5)
    filled = replace(draw.filled, **{n: scale * getattr(draw.filled, n) for n in planes})
    one, first = world.solved(draw, doubts=doubts)
    two, second = world.solved(Draw(draw.truth, scale * draw.data, filled), doubts=doubts)
    np.testing.assert_allclose(two.flux / scale, one.flux, rtol=1e-6)
    np.testing.assert_allclose(two.shape, one.shape, atol=1e-7)
    np.testing.assert_allclose(second[0].values / scale, first[0].values, rtol=1e-6)


def test_an_image_that_does_not_fit_leaves_more_to_the_filling() -> None:
    """Where the PSF is wrong the frame less the fit would be worse than what was filled in."""
    world = world_of(ONE, [400.0], deviation=0.1, sigma=0.02)
    (clump,), draw = world.clumps, world.drawn(6)
    wide = PSF.changed(width=1.2)
    y, x = np.indices(SHAPE).astype(float)
    wrong = draw.truth + 400 * wide.at(y - 28.8, x - 30.3)
    strict = Doubts(place=0.05, turn=1e-4, width=1e-4, misfit=False)
    errors, misfits = [], []
    for doubts in (strict, replace(strict, misfit=True)):
        _, (solution,) = world.solved(draw._replace(data=wrong), doubts=doubts)
        off = solution.values - draw.truth[clump.rows, clump.columns]
        errors.append(np.sqrt(np.mean(off**2)))
        misfits.append(solution.misfit)
    assert misfits[0] == 0 < misfits[1]
    assert errors[1] < 0.5 * errors[0]


def test_clumps_are_holes_that_touch() -> None:
    positions = np.array([[20.0, 20.0], [28.0, 22.0], [50.0, 40.0], [-30.0, 5.0]])
    radii = np.array([5.0, 5.0, 4.0, 3.0])
    holes = disks(SHAPE, positions, radii)
    holes[50:55, 5:8] = True  # a hole without a source
    filled = filling(holes, deviation=1.0, sigma=0.1, correlation=0.0)
    clumps = find_clumps(filled, Places(positions, radii, FWHM), ~holes)
    members = sorted(sorted(clump.members.tolist()) for clump in clumps)
    assert members == [[0, 1], [2]]
    for clump in clumps:
        assert not clump.shared
        own = disks(SHAPE, positions[clump.members], radii[clump.members])
        assert clump.inside.sum() == own.sum()
        # Around them lie pixels of no hole, those within two FWHM of a source among them.
        near = disks(SHAPE, positions[clump.members], np.full(len(clump.members), 2 * FWHM))
        seen = np.zeros(SHAPE, dtype=bool)
        seen[clump.rows, clump.columns] = True
        assert not (seen & holes & ~own).any()
        assert seen[near & ~holes].all()


def test_a_crowd_is_shared_among_its_sources() -> None:
    shape = (140, 140)
    rng = np.random.default_rng(1)
    positions = rng.uniform(20, 120, (60, 2))
    radii = np.full(60, 9.0)
    holes = disks(shape, positions, radii)
    filled = filling(holes, deviation=1.0, sigma=0.1, correlation=0.0)
    clumps = find_clumps(filled, Places(positions, radii, FWHM), ~holes)
    owned = np.zeros(shape, dtype=int)
    for clump in clumps:
        np.add.at(owned, (clump.rows[clump.own], clump.columns[clump.own]), 1)
    np.testing.assert_array_equal(owned, holes.astype(int))
    crowd = [clump for clump in clumps if clump.shared]
    assert len(crowd) > 20
    assert max(len(clump.rows) for clump in clumps) <= 1200
    assert sorted(int(m) for clump in clumps for m in clump.members) == list(range(60))


def test_a_clump_without_a_usable_pixel_is_what_the_network_says() -> None:
    world = replace(world_of(ONE, [20.0]), usable=np.zeros(SHAPE, dtype=bool))
    (clump,), draw = world.clumps, world.drawn(7)
    sources, (solution,) = world.solved(draw)
    told = world.stretch(clump, draw.filled).told
    off = solution.values[told] - draw.filled.background[clump.rows[told], clump.columns[told]]
    assert np.abs(off).mean() < TOLD["deviation"]
    np.testing.assert_allclose(solution.noise_lost[clump.inside], 1)
    assert sources.flux[0] == 0


def test_pixels_around_are_left_out_where_they_do_not_sample_the_psf() -> None:
    positions, radii = np.array([[20.0, 20.0]]), np.array([5.0])
    holes = disks(SHAPE, positions, radii)
    filled = filling(holes, deviation=1.0, sigma=0.1, correlation=0.0)
    (coarse,), (fine,) = (
        find_clumps(filled, Places(positions, radii, 3.0, sampled), ~holes)
        for sampled in (False, True)
    )
    assert coarse.inside.all()
    assert len(fine.rows) > len(coarse.rows)
