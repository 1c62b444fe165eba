"""Places of bright sources are those of the data, not of the finder; in blends and sets, too."""

from __future__ import annotations

import numpy as np
import pytest

from astroclean.core.image.frame import Frame
from astroclean.core.image.frameset import FrameSet
from astroclean.core.psf.psf import Psf
from astroclean.registry.load import load_stage

FWHM = 3.2
PSF = Psf.gaussian(fwhm_pixels=FWHM)


def image_of(stars: np.ndarray, *, side: int = 160, seed: int = 4) -> np.ndarray:
    """Draw stars of x, y and S/N on noise of 1."""
    data = np.zeros((side, side))
    for x, y, snr in stars:
        drawn = PSF.drawn_at(x, y, flux=snr * np.sqrt(4 * np.pi) * FWHM / 2.3548)
        rows, columns = (
            slice(max(o, 0), min(o + n, side))
            for o, n in zip(drawn.origin, drawn.data.shape, strict=True)
        )
        top, left = rows.start - drawn.origin[0], columns.start - drawn.origin[1]
        own = drawn.data[top:, left:][: rows.stop - rows.start, : columns.stop - columns.start]
        data[rows, columns] += own
    return (data + np.random.default_rng(seed).normal(0, 1, data.shape)).astype(np.float32)


def distances(table: object, stars: np.ndarray) -> np.ndarray:
    """Return how far the nearest row is from each star, pixels."""
    rows = np.column_stack([np.asarray(table[axis], dtype=float) for axis in ("x", "y")])
    gaps = np.hypot(*(rows[:, np.newaxis] - stars[:, :2]).T)
    return gaps.min(axis=1)


def grid(snr: float) -> np.ndarray:
    rng = np.random.default_rng(7)
    nodes = np.array([(x, y) for x in (30, 80, 130) for y in (30, 80, 130)], dtype=float)
    return np.column_stack([nodes + rng.uniform(-0.5, 0.5, nodes.shape), np.full(9, snr)])


@pytest.mark.parametrize(("snr", "most"), [(100, 0.09), (1000, 0.01), (5000, 0.003)])
def test_bright_stars_are_where_their_errors_say(snr: float, most: float) -> None:
    stars = grid(snr)
    table = load_stage("pais").run(Frame(image_of(stars), unit="adu", psf=PSF)).frame.sources.table
    assert distances(table, stars).max() < most
    errors = np.asarray(table["x_err"], dtype=float)
    assert distances(table, stars).max() < 5 * np.median(errors)


def test_a_neighbor_does_not_draw_them() -> None:
    bright = grid(400)
    faint = bright + np.array([1.6 * FWHM, 0, -300])
    stars = np.concatenate([bright, faint])
    table = load_stage("pais").run(Frame(image_of(stars), unit="adu", psf=PSF)).frame.sources.table
    gaps = distances(table, stars)
    assert gaps[:9].max() < 0.04
    assert gaps[9:].max() < 0.15


def test_all_bands_of_a_set_have_one_place() -> None:
    stars = grid(1000)
    faint = stars * [1, 1, 0.1]
    frames = {
        "g": Frame(image_of(faint), unit="adu", psf=PSF),
        "r": Frame(image_of(stars, seed=5), unit="adu", psf=PSF),
    }
    results = load_stage("pais").run_set(FrameSet(frames))
    tables = [result.frame.sources.table for result in results.values()]
    assert np.array_equal(tables[0]["x"], tables[1]["x"])
    assert distances(tables[0], stars).max() < 0.01
