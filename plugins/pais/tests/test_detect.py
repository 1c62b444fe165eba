"""Peaks of the map of centres become sources, each once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from astroclean_pais.detect import Detections, detections_of, joined_detections

SHAPE = (60, 70)
FWHM = 3.0
LOW = -8.0


def empty_maps() -> np.ndarray:
    maps = np.zeros((9, *SHAPE), dtype=np.float32)
    maps[0] = LOW
    return maps


def planted(maps: np.ndarray, y: float, x: float, *, height: float = 3.0, **heads: float) -> None:
    """Plant a centre with what the pixels around it say of it."""
    py, px = round(y), round(x)
    rows, columns = np.mgrid[py - 3 : py + 4, px - 3 : px + 4]
    away = np.hypot(rows - y, columns - x)
    np.maximum.at(maps[0], (rows, columns), height - 2 * away.astype(np.float32))
    maps[1, rows, columns], maps[2, rows, columns] = y - rows, x - columns
    for channel, name in enumerate(("flux", "radius", "e1", "e2", "star", "blend"), start=3):
        maps[channel, py, px] = heads.get(name, 0.0)


def found_in(maps: np.ndarray, usable: Any = None, level: float = 0.3) -> Detections:
    usable = np.ones(SHAPE, dtype=bool) if usable is None else usable
    return detections_of(maps, usable, FWHM, level=level)


def test_planted_centres_are_found_with_what_is_said_of_them() -> None:
    maps = empty_maps()
    planted(maps, 10.3, 20.8, flux=2.0, radius=-0.5, e1=0.2, e2=-0.1, star=3.0, blend=-2.0)
    planted(maps, 40.0, 55.45, height=1.0, flux=1.0, star=-4.0)
    found = found_in(maps)
    np.testing.assert_allclose(found.y, [10.3, 40.0], atol=1e-5)
    np.testing.assert_allclose(found.x, [20.8, 55.45], atol=1e-5)
    np.testing.assert_allclose(found.flux, FWHM * np.exp([2.0, 1.0]))
    np.testing.assert_allclose(found.radius, FWHM * np.exp([-0.5, 0.0]))
    np.testing.assert_allclose(found.star, 1 / (1 + np.exp([-3.0, 4.0])))
    np.testing.assert_allclose([found.e1[0], found.e2[0]], [0.2, -0.1], rtol=1e-6)
    assert found.probability[0] > found.probability[1] > 0.3
    assert len(found_in(maps, level=0.7)) == 1


def test_an_empty_map_has_no_sources() -> None:
    found = found_in(empty_maps())
    assert len(found) == 0
    assert len(joined_detections([found, found], FWHM)) == 0


def test_nothing_is_found_where_nothing_could_be_read() -> None:
    maps = empty_maps()
    planted(maps, 10.0, 20.0)
    usable = np.ones(SHAPE, dtype=bool)
    usable[10, 20] = False
    assert len(found_in(maps, usable)) == 1  # a saturated core: read beside it
    usable[5:16, 15:26] = False
    assert len(found_in(maps, usable)) == 0


def test_wild_answers_stay_numbers() -> None:
    maps = empty_maps()
    planted(maps, 30.0, 30.0, flux=1e6, radius=1e6, star=1e6, blend=-1e6)
    maps[1:3] = 1e6
    found = found_in(maps)
    assert len(found) == 1
    for name in ("x", "y", "flux", "radius", "star", "blend"):
        assert np.isfinite(getattr(found, name)).all()
    assert abs(found.y[0] - 30) <= 1


def test_of_two_peaks_that_point_to_one_place_the_more_probable_is_kept() -> None:
    maps = empty_maps()
    maps[0, 20, 20], maps[2, 20, 20] = 1.0, 1.0
    maps[0, 20, 22], maps[2, 20, 22] = 2.0, -0.9
    found = found_in(maps)
    np.testing.assert_allclose(found.x, [21.1], atol=1e-5)
    assert found.probability[0] == pytest.approx(1 / (1 + np.exp(-2)))


def rows(*values: tuple[float, float, float]) -> Detections:
    """Return sources at (y, x) with a probability."""
    y, x, probability = np.array(values, dtype=float).reshape(-1, 3).T
    return Detections(x, y, probability, *(np.ones_like(x) for _ in range(6)))


def test_a_source_on_a_seam_is_joined_once() -> None:
    upper = rows((30, 5, 0.9), (99.45, 40, 0.6))
    lower = rows((99.6, 40.1, 0.8), (120, 5, 0.4), (110, 9, 0.4))
    for parts in ([upper, lower], [lower, upper]):
        joined = joined_detections(parts, FWHM)
        assert joined.y.tolist() == [30, 99.6, 110, 120]
        assert joined.probability.tolist() == [0.9, 0.8, 0.4, 0.4]
    # Two blocks that say the same give one source, too.
    assert len(joined_detections([upper, upper], FWHM)) == 2
    assert len(joined_detections([rows((5, 5, 0.5), (5, 5 + FWHM, 0.5))], FWHM)) == 2


def test_one_that_is_left_out_takes_no_other_with_it() -> None:
    chain = rows((50, 10.0, 0.9), (50, 10.8, 0.6), (50, 11.6, 0.5))
    assert joined_detections([chain], FWHM).x.tolist() == [10.0, 11.6]


def test_places_of_a_chunk_are_those_of_the_frame_to_the_bit() -> None:
    """There and back again, whatever the network says: else profiles would differ by rounding."""
    offsets = np.random.default_rng(0).normal(0, [[1e-7], [1e-3], [0.3]], (3, 50))
    for number in offsets.ravel().astype(np.float32):
        maps = empty_maps()
        maps[0, 31, 33], maps[1:3, 31, 33] = 2.0, number
        found = found_in(maps)
        whole, chunk = found.moved(7040, 384), found.moved(128, 384).moved(6912, 0)
        assert whole.y[0] == chunk.y[0]
        assert whole.moved(-7040, -384).y[0] == found.y[0]
