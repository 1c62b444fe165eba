"""A frame of sources is taken apart; turn and width of its PSF are found where it tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astroclean_pconv.fill.filling import Filled, Surroundings
from astroclean_pconv.separate.separator import Separated, Separation

from astroclean.core.sources.holes import disks
from astroclean.simulate.fields import render_stars
from astroclean.simulate.psfs import PsfModel, make_psf

if TYPE_CHECKING:
    from astroclean.core.psf.psf import Psf

SHAPE = (120, 150)
FWHM = 3.2
NOISE = 0.05
SKY = 10.0
PACS = make_psf("pacs", fwhm_pixels=FWHM)
TURNED = make_psf("pacs", fwhm_pixels=FWHM, angle=np.radians(20))
ROUND = make_psf("gaussian", fwhm_pixels=FWHM)
# In fifths of a pixel, on which simulated stars lie.
PLACES = np.array(
    [(x + 0.2 * (x % 4), y + 0.2 * (y % 3)) for y in range(20, 110, 26) for x in range(22, 140, 26)]
)
RADII = np.full(len(PLACES), 8.0)


def fill(around: Surroundings, seed: int | None) -> Filled:
    """What a network would say that knows the sky."""
    planes = (SKY, 0.02, NOISE, 0.0, 0.0, 0.0)
    return Filled(*(np.where(around.holes, v, np.nan).astype(np.float32) for v in planes))


def frame(psf: PsfModel, flux: Any, *, places: np.ndarray = PLACES, seed: int = 1) -> np.ndarray:
    fluxes = np.broadcast_to(flux, len(places))
    light = render_stars(np.column_stack([places, fluxes]), psf, SHAPE)
    return SKY + light + NOISE * np.random.default_rng(seed).standard_normal(SHAPE)


def separated(
    data: np.ndarray,
    told: Psf,
    *,
    places: np.ndarray = PLACES,
    limits: tuple[float, float] = (np.radians(30), 0.15),
    usable: np.ndarray | None = None,
    wings: bool = False,
) -> Separated:
    separation = Separation(fill, position_error=0.1, limits=limits, seed=None, wings=wings)
    holes = disks(SHAPE, places, RADII[: len(places)])
    seen = np.ones(SHAPE, dtype=bool) if usable is None else usable
    around = Surroundings(data, seen, holes)
    return separation.of(around, places, RADII[: len(places)], told)


@pytest.mark.slow
def test_a_turned_psf_is_found_from_bright_sources() -> None:
    found = separated(frame(TURNED, 60.0), PACS.psf)
    assert found.metrics["psf turned"] == pytest.approx(20, abs=3)
    assert found.metrics["psf widened"] == pytest.approx(1, abs=0.02)
    assert found.metrics["psf sources"] >= 8
    np.testing.assert_allclose(found.flux, 60, rtol=0.05)


@pytest.mark.slow
def test_a_wider_psf_is_found_from_bright_sources() -> None:
    wider = make_psf("gaussian", fwhm_pixels=1.08 * FWHM)
    found = separated(frame(wider, 60.0), ROUND.psf)
    # The pixel itself is not widened.
    assert found.metrics["psf widened"] == pytest.approx(1.08, abs=0.02)
    np.testing.assert_allclose(found.flux, 60, rtol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("truth", "told", "flux"),
    [(PACS, PACS, 60.0), (ROUND, ROUND, 60.0), (TURNED, PACS, 1.0)],
    ids=["right", "symmetric", "faint"],
)
def test_a_psf_of_which_nothing_better_is_known_stays(
    truth: PsfModel, told: PsfModel, flux: float
) -> None:
    found = separated(frame(truth, flux), told.psf)
    assert found.metrics["psf turned"] == pytest.approx(0, abs=1)
    assert found.metrics["psf widened"] == pytest.approx(1, abs=0.01)


def test_a_psf_that_may_not_change_does_not() -> None:
    found = separated(frame(TURNED, 60.0), PACS.psf, limits=(0.0, 0.0))
    expected = {"psf turned": 0.0, "psf widened": 1.0, "psf sources": 0.0}
    assert expected.items() <= found.metrics.items()
    assert separated(np.full(SHAPE, SKY), PACS.psf, places=PLACES[:0]).flux.shape == (0,)


@pytest.mark.slow
def test_wings_beyond_the_holes_are_taken_out_on_request() -> None:
    data, bare = frame(PACS, np.linspace(2, 80, len(PLACES))), frame(PACS, 0.0)
    found = separated(data, PACS.psf, wings=True).filled
    holes = disks(SHAPE, PLACES, RADII)
    wings = found.known & ~holes
    assert found.known[holes].all()
    left = np.abs(data - bare)
    assert left[wings].min() > 0.05 * NOISE
    assert left[~found.known].max() < 0.2 * NOISE
    assert np.abs(found.background - bare)[wings].mean() < 0.1 * left[wings].mean()
    assert not found.made_up[wings].any()
    np.testing.assert_allclose(found.sigma[wings], NOISE, rtol=0.1)


@pytest.mark.slow
def test_what_is_beneath_is_the_frame_less_the_sources() -> None:
    data = frame(PACS, np.linspace(2, 80, len(PLACES)))
    found = separated(data, PACS.psf)
    bare = frame(PACS, 0.0)
    known = found.filled.known
    np.testing.assert_array_equal(known, disks(SHAPE, PLACES, RADII))
    off = (found.filled.background - bare)[known] / np.hypot(found.filled.deviation[known], 1e-6)
    assert np.abs(found.filled.background - bare)[known].std() < 0.5 * NOISE
    assert np.std(off) < 2
    pulls = (found.flux - np.linspace(2, 80, len(PLACES))) / found.flux_error
    assert np.abs(pulls.mean()) < 1
    assert 0.4 < pulls.std() < 1.6


@pytest.mark.slow
def test_the_order_of_the_catalogue_changes_no_bit() -> None:
    data = frame(TURNED, np.linspace(2, 80, len(PLACES)))
    order = np.random.default_rng(2).permutation(len(PLACES))
    one, two = separated(data, PACS.psf), separated(data, PACS.psf, places=PLACES[order])
    np.testing.assert_array_equal(one.flux[order], two.flux)
    np.testing.assert_array_equal(one.flux_error[order], two.flux_error)
    for name in ("background", "deviation", "noise"):
        np.testing.assert_array_equal(getattr(one.filled, name), getattr(two.filled, name))


@pytest.mark.slow
def test_pixels_that_are_not_usable_are_not_read() -> None:
    data, usable = frame(PACS, 40.0), np.ones(SHAPE, dtype=bool)
    usable[[20, 46, 47], [23, 22, 50]] = False
    found = [
        separated(np.where(usable, data, rubbish), PACS.psf, usable=usable)
        for rubbish in (np.nan, -1e9)
    ]
    np.testing.assert_array_equal(found[0].flux, found[1].flux)
    np.testing.assert_array_equal(found[0].filled.background, found[1].filled.background)
    np.testing.assert_allclose(found[0].flux, 40, rtol=0.05)
