"""A contaminant's plane is exactly the pixels that it changed by more than its threshold."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from astroclean.core.flags.planes import MaskPlane
from astroclean.errors import FitsReadError
from astroclean.simulate.contaminants.bright import bright_planes
from astroclean.simulate.contaminants.cosmic_rays import (
    HITS_FILE,
    CosmicRayRange,
    add_cosmic_rays,
    load_hits,
    simulate_hit,
)
from astroclean.simulate.contaminants.crosstalk import CrosstalkRange, add_crosstalk
from astroclean.simulate.contaminants.fringes import FringeRange, add_fringes
from astroclean.simulate.contaminants.ghosts import GhostRange, add_ghosts
from astroclean.simulate.contaminants.lines import add_dead_lines, add_hot_lines
from astroclean.simulate.contaminants.nebulosity import NebulosityRange, add_nebulosity
from astroclean.simulate.contaminants.overscan import add_overscan
from astroclean.simulate.contaminants.persistence import (
    PersistenceRange,
    add_persistence,
    fermi_charge,
)
from astroclean.simulate.contaminants.pixels import (
    add_dead_clusters,
    add_dead_pixels,
    add_hot_pixels,
)
from astroclean.simulate.contaminants.saturation import add_saturation
from astroclean.simulate.contaminants.spikes import SpikeRange, add_spikes
from astroclean.simulate.contaminants.trails import TrailRange, add_trails

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Add = Callable[[NDArray[np.float64], np.random.Generator], NDArray[np.uint32]]

NOISE, SKY, WELL = 20.0, 375.0, 5e4
DATA = Path(os.environ.get("ASTROCLEAN_TEST_DATA", "../shared/data"))
STARS = np.array([[60.0, 70.0, 5e6], [10.0, 10.0, 1e3]])


def _spikes(image: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.uint32]:
    return add_spikes(image, rng, STARS, noise=NOISE, fwhm=3.0)


# The threshold is in sigma.
LAYERS = [
    (
        lambda i, r: add_cosmic_rays(i, r, noise=NOISE),
        MaskPlane.COSMIC_RAY,
        CosmicRayRange().threshold,
    ),
    (
        lambda i, r: add_persistence(i, r, noise=NOISE),
        MaskPlane.PERSISTENCE,
        PersistenceRange().threshold,
    ),
    (lambda i, r: add_trails(i, r, noise=NOISE, fwhm=3.0), MaskPlane.TRAIL, TrailRange().threshold),
    (
        lambda i, r: add_nebulosity(i, r, noise=NOISE),
        MaskPlane.NEBULOSITY,
        NebulosityRange().threshold,
    ),
    (lambda i, r: add_ghosts(i, r, noise=NOISE), MaskPlane.GHOST, GhostRange().threshold),
    (
        lambda i, r: add_crosstalk(i, r, noise=NOISE, full_well=WELL),
        MaskPlane.CROSSTALK,
        CrosstalkRange().threshold,
    ),
    (_spikes, MaskPlane.SPIKE, SpikeRange().threshold),
    (lambda i, r: add_hot_lines(i, r, noise=NOISE), MaskPlane.HOT_LINE, 1.0),
    (lambda i, r: add_hot_pixels(i, r, noise=NOISE), MaskPlane.HOT_PIXEL, 1.0),
]
REPLACING = [
    (lambda i, r: add_dead_lines(i, r, sky=SKY, noise=NOISE), MaskPlane.DEAD_LINE),
    (lambda i, r: add_dead_pixels(i, r, sky=SKY, noise=NOISE), MaskPlane.DEAD_PIXEL),
    (lambda i, r: add_dead_clusters(i, r, sky=SKY, noise=NOISE), MaskPlane.DEAD_LINE),
    (lambda i, r: add_overscan(i, r, sky=SKY, noise=NOISE), MaskPlane.OVERSCAN),
]


def _image(shape: tuple[int, int] = (128, 160)) -> NDArray[np.float64]:
    return np.full(shape, SKY)


@pytest.mark.parametrize(
    ("add", "plane", "threshold"), LAYERS, ids=lambda v: getattr(v, "name", "")
)
def test_plane_is_what_changed(add: Add, plane: MaskPlane, threshold: float) -> None:
    seen = 0
    for seed in range(6):
        before, image = _image(), _image()
        planes = add(image, np.random.default_rng(seed))
        change = np.abs(image - before) / NOISE
        # Sums lose digits: values within rounding of the threshold may go either way.
        sure = np.abs(change - threshold) > 1e-6
        assert np.array_equal(((planes & plane) != 0)[sure], (change > threshold)[sure])
        assert not (planes & ~np.uint32(plane | MaskPlane.SUSPECT)).any()
        seen += int(((planes & plane) != 0).any())
    assert seen >= 3


def test_trails_that_are_hardly_seen_are_in_doubt() -> None:
    for seed in range(6):
        before, image = _image(), _image()
        planes = add_trails(image, np.random.default_rng(seed), noise=NOISE, fwhm=3.0)
        change = np.abs(image - before) / NOISE
        sure = (np.abs(change - 0.25) > 1e-6) & (np.abs(change - 1) > 1e-6)
        doubt = (planes & MaskPlane.SUSPECT) != 0
        assert np.array_equal(doubt[sure], ((change > 0.25) & (change < 1))[sure])


@pytest.mark.parametrize(("add", "plane"), REPLACING, ids=lambda v: getattr(v, "name", ""))
def test_dead_planes_are_what_was_replaced(add: Add, plane: MaskPlane) -> None:
    for seed in range(6):
        image = _image()
        planes = add(image, np.random.default_rng(seed))
        assert np.array_equal(planes == plane, image != SKY)
        assert (planes != 0).any()
        assert (planes == 0).any()
        assert image.max() <= SKY


def test_fringes_are_true_where_their_amplitude_is() -> None:
    # The same envelope with another pattern would differ in values, not in truth.
    image, rng = _image((256, 256)), np.random.default_rng(5)
    planes = add_fringes(image, rng, noise=NOISE)
    change = np.abs(image - SKY) / NOISE
    true = planes == MaskPlane.FRINGE
    assert 0.05 < true.mean() < 0.999
    assert change[~true].max() <= FringeRange().threshold + 1e-9
    assert np.mean(change[true] > 0.05) > 0.5


def test_saturation_keeps_charge() -> None:
    image = _image((200, 50))
    image[100:104, 20] = 8 * WELL
    image[110, 30] = 1.5 * WELL
    before, original = image.sum(), image.copy()
    planes = add_saturation(image, full_well=WELL)
    assert image.sum() == pytest.approx(before, rel=1e-9)
    assert image.max() == WELL
    assert np.array_equal(planes == MaskPlane.SATURATED, image != original)
    bled = np.flatnonzero(planes[:, 20])
    assert bled.size >= 32
    assert np.array_equal(bled, np.arange(bled[0], bled[-1] + 1))
    assert not planes[:, [19, 21]].any()


def test_saturation_without_bleeding_is_a_limit() -> None:
    image = _image((20, 20))
    image[5, 5] = 3 * WELL
    planes = add_saturation(image, full_well=WELL, bleeds=False)
    assert np.count_nonzero(planes) == 1
    assert image[5, 5] == WELL
    assert image[6, 5] == SKY


def test_charge_beyond_the_end_of_a_column_is_lost() -> None:
    image = np.zeros((4, 3))
    image[0, 1] = 100.0
    add_saturation(image, full_well=10.0)
    assert np.array_equal(image[:, 1], [10, 10, 10, 10])


def test_bright_is_a_threshold() -> None:
    light = np.array([[0.0, 10 * NOISE, 10.1 * NOISE]])
    assert np.array_equal(bright_planes(light, noise=NOISE), [[0, 0, MaskPlane.BRIGHT]])


def test_persistence_rises_with_charge_and_falls_with_time() -> None:
    charge = np.array([[1e4, 8e4, 1.5e5]])
    kwargs = {"well": (8e4, 1e4), "alpha": 0.2}
    early = fermi_charge(charge, decay=1.0, times=(100, 200), **kwargs)
    late = fermi_charge(charge, decay=1.0, times=(1000, 1100), **kwargs)
    assert np.all(np.diff(early) > 0)
    assert np.all(late < early)
    near = fermi_charge(charge, decay=1.0 + 1e-4, times=(100, 200), **kwargs)
    assert np.allclose(near, early, rtol=1e-3)


def test_hits_are_whole_and_above_their_footprint() -> None:
    rng, limits = np.random.default_rng(0), CosmicRayRange()
    hits = [simulate_hit(rng, limits) for _ in range(200)]
    sizes = np.array([np.count_nonzero(hit) for hit in hits])
    for hit in hits:
        assert hit[hit > 0].min() >= limits.footprint
        assert hit.any(axis=1)[[0, -1]].all()
        assert hit.any(axis=0)[[0, -1]].all()
    assert np.mean(sizes == 1) > 0.2
    assert sizes.max() > 60


def test_missing_hits_are_told(tmp_path: Path) -> None:
    with pytest.raises(FitsReadError, match=HITS_FILE):
        load_hits(tmp_path)


@pytest.mark.skipif(not (DATA / HITS_FILE).is_file(), reason="needs the real hits")
def test_real_hits_for_tests_are_kept_apart() -> None:
    ours, theirs = load_hits(DATA), load_hits(DATA, test=True)
    assert len(ours) + len(theirs) == 882
    assert len(ours) == 441
    image = _image((256, 256))
    limits = CosmicRayRange(count=(60, 61))
    add_cosmic_rays(image, np.random.default_rng(0), noise=NOISE, limits=limits, data=DATA)
    other = _image((256, 256))
    add_cosmic_rays(other, np.random.default_rng(0), noise=NOISE, limits=limits)
    assert not np.array_equal(image, other)


@pytest.mark.skipif(not (DATA / HITS_FILE).is_file(), reason="needs the real hits")
@pytest.mark.parametrize("test", [False, True])
def test_real_hits_alone_come_from_one_half_of_the_table(test: bool) -> None:
    limits = CosmicRayRange(count=(1, 1.1), gain=(1.0, 1.0), real=1.0, test=test)
    allowed = {tuple(sorted(hit[hit > 0])) for hit in load_hits(DATA, test=test)}
    found = 0
    for seed in range(40):
        layer = np.zeros((256, 256))
        add_cosmic_rays(layer, np.random.default_rng(seed), noise=NOISE, limits=limits, data=DATA)
        charge = tuple(np.sort(layer[layer > 0]))
        found += charge in allowed  # one hit, alone and within the frame
    assert found > 8


@pytest.mark.skipif(not (DATA / HITS_FILE).is_file(), reason="needs the real hits")
def test_simulated_hits_resemble_real_ones() -> None:
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(7)
    simulated = [simulate_hit(rng) for _ in range(1500)]
    real = load_hits(DATA)
    for measure, limit in (
        (lambda h: np.hypot(*h.shape), 0.15),
        (np.count_nonzero, 0.15),
        (np.sum, 0.15),
        (np.max, 0.2),
    ):
        one, other = ([float(measure(hit)) for hit in hits] for hits in (simulated, real))
        assert ks_2samp(one, other).statistic < limit
