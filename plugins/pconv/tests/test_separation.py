"""Sources and what is beneath are told apart as well as the model says, in worlds drawn from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astroclean_pconv.clumps import find_clumps
from astroclean_pconv.separation import Doubts, solve
from model_worlds import CERTAIN, PSF, SHAPE, filling, light, told, world_of

from astroclean.core.holes import disks

ONE = np.array([[30.3, 28.8]])
TWO = np.array([[29.0, 30.2], [32.5, 29.4]])
DRAWS = 150


def test_one_source_is_that_of_generalized_least_squares() -> None:
    """An implementation of its own, dense, with the equations of the model."""
    world = world_of(ONE, [40.0])
    (clump,), draw = world.clumps, world.drawn(1)
    sources, (solution,) = world.solved(draw.data)
    y, x = clump.rows.astype(float), clump.columns.astype(float)
    squared = np.subtract.outer(y, y) ** 2 + np.subtract.outer(x, x) ** 2
    scaled = np.sqrt(5 * squared) / clump.length
    smooth = (1 + scaled + scaled**2 / 3) * np.exp(-scaled)
    covariance = 0.3**2 * (smooth + 1e-3 * np.eye(len(y))) + 0.1**2 * 0.3**squared
    inverse = np.linalg.inv(covariance)
    image = PSF.at(y - ONE[0, 1], x - ONE[0, 0])
    mean = 10 + 0.1 * x - 0.05 * y
    rest = draw.data[clump.rows, clump.columns] - mean
    flux = (image @ inverse @ rest) / (image @ inverse @ image)
    assert sources.flux[0] == pytest.approx(flux, rel=1e-5)
    assert sources.variance[0] == pytest.approx(1 / (image @ inverse @ image), rel=1e-4)
    np.testing.assert_allclose(solution.values, mean + rest - flux * image, atol=1e-3)
    np.testing.assert_allclose(
        solution.deviation, np.abs(image) * np.sqrt(sources.variance[0]), atol=2e-4
    )


def test_with_the_true_psf_what_is_beneath_is_the_frame_less_the_sources() -> None:
    world = world_of(TWO, [40.0, 15.0])
    (clump,), draw = world.clumps, world.drawn(2)
    sources, (solution,) = world.solved(draw.data)
    less = draw.data - light(TWO, sources.flux)
    np.testing.assert_allclose(solution.values, less[clump.rows, clump.columns], atol=1e-3)
    assert solution.misfit == 0
    assert solution.noise_lost.max() < 1e-3, "every pixel was measured"


@pytest.mark.parametrize("positions", [ONE, TWO], ids=["one", "two that overlap"])
def test_fluxes_are_unbiased_and_their_errors_are_those_told(positions: np.ndarray) -> None:
    fluxes = np.array([5.0, 3.0])[: len(positions)]
    world, pulls, scores = world_of(positions, fluxes), [], []
    clump = world.clumps[0]
    core = np.hypot(clump.rows - positions[0, 1], clump.columns - positions[0, 0]) < 2
    for seed in range(DRAWS):
        draw = world.drawn(seed)
        sources, (solution,) = world.solved(draw.data)
        pulls.append((sources.flux - fluxes) / np.sqrt(sources.variance))
        off = solution.values - draw.truth[clump.rows, clump.columns]
        scores.append((off / solution.deviation)[core])
    pulls = np.array(pulls)
    np.testing.assert_allclose(pulls.mean(axis=0), 0, atol=4 / np.sqrt(DRAWS))
    # The standard deviation of a chi-square over its mean is sqrt(2 / n).
    np.testing.assert_allclose((pulls**2).mean(axis=0), 1, atol=4 * np.sqrt(2 / DRAWS))
    assert 0.8 < np.std(scores) < 1.25


@pytest.mark.parametrize("flux", [4.0, 40.0])
def test_positions_that_err_cost_what_is_told(flux: float) -> None:
    doubts = Doubts(place=0.15, turn=1e-4, width=1e-4, misfit=False)
    world, pulls, scores, moved = world_of(ONE, [flux], radius=7.0), [], [], []
    clump = world.clumps[0]
    core = np.hypot(clump.rows - 28.8, clump.columns - 30.3) < 3
    for seed in range(DRAWS):
        draw = world.drawn(seed)
        wrong = ONE + np.random.default_rng(1000 + seed).normal(0, 0.15, (1, 2))
        sources, (solution,) = world.solved(draw.data, doubts=doubts, positions=wrong)
        pulls.append((sources.flux[0] - flux) / np.sqrt(sources.variance[0]))
        moved.append(wrong[0] + sources.shape[0, :2] - ONE[0])
        off = solution.values - draw.truth[clump.rows, clump.columns]
        scores.append((off / solution.deviation)[core])
    assert np.mean(pulls) == pytest.approx(0, abs=4 / np.sqrt(DRAWS))
    assert np.std(pulls) == pytest.approx(1, abs=0.2)
    assert 0.8 < np.std(scores) < 1.25
    assert np.std(moved) < 0.15, "the frame tells more than the catalogue"


def test_a_pixel_that_is_not_usable_is_predicted() -> None:
    place, scores, lost = (30, 32), [], []
    world = world_of(ONE, [20.0], bad=(place,))
    clump = world.clumps[0]
    index = np.flatnonzero((clump.rows == place[0]) & (clump.columns == place[1]))[0]
    for seed in range(DRAWS):
        draw = world.drawn(seed)
        sources, (solution,) = world.solved(draw.data)
        scores.append((solution.values[index] - draw.truth[place]) / solution.deviation[index])
        lost.append(solution.noise_lost[index])
        assert np.isfinite(sources.flux).all()
    assert np.mean(scores) == pytest.approx(0, abs=0.4)
    assert np.std(scores) == pytest.approx(1, abs=0.3)
    # Its noise was not measured; its neighbors tell the rest.
    assert 0.05 < min(lost) <= max(lost) < 1


def test_what_stands_in_a_pixel_that_is_not_usable_is_not_read() -> None:
    world = world_of(ONE, [20.0], bad=((29, 31), (27, 30)))
    data = world.drawn(3).data
    (one, first), (two, second) = (
        world.solved(np.where(world.usable, data, rubbish)) for rubbish in (0, -1e30)
    )
    np.testing.assert_array_equal(one.flux, two.flux)
    np.testing.assert_array_equal(first[0].values, second[0].values)


def test_the_order_of_sources_changes_no_bit() -> None:
    positions = np.array([[29.0, 30.2], [33.5, 29.4], [31.0, 34.0], [50.0, 14.5], [12.0, 40.0]])
    fluxes = np.array([20.0, 8.0, 3.0, 10.0, 0.5])
    doubts = Doubts(place=0.1, turn=0.02, width=0.02)
    order = np.array([3, 0, 4, 2, 1])
    world, shuffled = world_of(positions, fluxes), world_of(positions[order], fluxes[order])
    data = world.drawn(4).data
    one, first = world.solved(data, doubts=doubts)
    two, second = shuffled.solved(data, doubts=doubts)
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
    filled = replace(world.filled, **{n: scale * getattr(world.filled, n) for n in planes})
    data = world.drawn(5).data
    one, first = world.solved(data, doubts=doubts)
    two, second = replace(world, filled=filled).solved(scale * data, doubts=doubts)
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
        _, (solution,) = world.solved(wrong, doubts=doubts)
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
    clumps = find_clumps(filled, positions, radii)
    members = sorted(sorted(clump.members.tolist()) for clump in clumps)
    assert members == [[0, 1], [2]]
    for clump in clumps:
        assert clump.own.all()
        assert len(clump.rows) == disks(SHAPE, positions[clump.members], radii[clump.members]).sum()


def test_a_crowd_is_shared_among_its_sources() -> None:
    shape = (140, 140)
    rng = np.random.default_rng(1)
    positions = rng.uniform(20, 120, (60, 2))
    radii = np.full(60, 9.0)
    holes = disks(shape, positions, radii)
    filled = filling(holes, deviation=1.0, sigma=0.1, correlation=0.0)
    clumps = find_clumps(filled, positions, radii)
    owned = np.zeros(shape, dtype=int)
    for clump in clumps:
        np.add.at(owned, (clump.rows[clump.own], clump.columns[clump.own]), 1)
    np.testing.assert_array_equal(owned, holes.astype(int))
    crowd = [clump for clump in clumps if not clump.own.all()]
    assert len(crowd) > 20
    assert max(len(clump.rows) for clump in clumps) <= 1200
    assert sorted(int(m) for clump in clumps for m in clump.members) == list(range(60))


def test_a_clump_without_a_usable_pixel_stays_as_it_was_filled() -> None:
    world = replace(world_of(ONE, [20.0]), usable=np.zeros(SHAPE, dtype=bool))
    (clump,), (stretch,) = world.clumps, world.stretches
    sources = told(ONE)
    solution = solve(clump, stretch, sources, CERTAIN)
    np.testing.assert_allclose(solution.values, stretch.mean)
    np.testing.assert_allclose(solution.deviation, np.sqrt(np.diag(stretch.prior)), rtol=1e-6)
    np.testing.assert_allclose(solution.noise_lost, 1)
    assert sources.flux[0] == 0
