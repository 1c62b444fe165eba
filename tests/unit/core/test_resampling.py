"""Images on other pixels: what is sampled well stays what it is, and holes stay holes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy.wcs import WCS

from astroclean.core.image.grid import Grid
from astroclean.core.image.resampling import resampled


def grid_of(shape: tuple[int, int], scale: float, *, angle: float = 0.0) -> Grid:
    """Return pixels (arcsec) around one place of the sky, turned by an angle (deg)."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval = 150.0, 2.0
    wcs.wcs.crpix = (shape[1] + 1) / 2, (shape[0] + 1) / 2
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    wcs.wcs.cd = scale / 3600 * np.array([[-cosine, sine], [sine, cosine]])
    return Grid(shape, wcs)


def beam_on(grid: Grid, fwhm: float) -> np.ndarray:
    """Return a Gaussian (arcsec) 20 arcsec north and 40 west of the middle, of peak 1."""
    y, x = np.indices(grid.shape)
    sky = grid.wcs.pixel_to_world(x, y)
    west = (150.0 - sky.ra.deg) * np.cos(np.radians(2.0)) * 3600
    north = (sky.dec.deg - 2.0) * 3600
    return np.exp(-4 * np.log(2) * ((west - 40) ** 2 + (north - 20) ** 2) / fwhm**2)


@pytest.mark.parametrize("angle", [0.0, 33.0])
def test_a_beam_of_three_pixels_is_the_same_on_finer_ones(angle: float) -> None:
    own, grid = grid_of((60, 62), 12.0, angle=angle), grid_of((120, 130), 3.0)
    image, known = resampled(beam_on(own, 36.6), np.ones(own.shape, bool), own=own, grid=grid)
    assert known.all()
    np.testing.assert_allclose(image, beam_on(grid, 36.6), atol=0.01)


def test_what_is_next_to_a_hole_or_beyond_the_border_is_not_known() -> None:
    own = grid_of((20, 24), 6.0)
    grid = own.with_step(0.5)
    known = np.ones(own.shape, bool)
    known[8:11, 5] = False
    values = np.where(known, 7.0, np.nan)
    image, seen = resampled(values, known, own=own, grid=grid)
    np.testing.assert_allclose(image[seen], 7.0, rtol=1e-5)
    assert (image[~seen] == 0).all()
    assert not seen[16:22, 10:12].any()
    assert seen[4:8, 10:12].all()
    # A quarter of a pixel beyond the outermost middles is still on the pixels of the border.
    assert seen[0].all()
    beyond = replace(grid, shape=(44, 48), origin=(-1.0, 0.0))
    _, seen = resampled(values, known, own=replace(own, wcs=None), grid=replace(beyond, wcs=None))
    assert not seen[[0, 1, -2, -1]].any()


def test_nothing_known_is_nothing_known() -> None:
    own = grid_of((20, 24), 6.0)
    image, seen = resampled(
        np.full(own.shape, np.nan), np.zeros(own.shape, bool), own=own, grid=own
    )
    assert not seen.any()
    assert not image.any()


def test_its_own_pixels_are_its_own_values() -> None:
    own = grid_of((300, 24), 6.0)  # more rows than are taken at a time
    values = np.random.default_rng(1).normal(size=own.shape)
    image, seen = resampled(values, np.ones(own.shape, bool), own=own, grid=own)
    np.testing.assert_allclose(image[seen], values[seen], atol=1e-4)
    assert seen[1:-1, 1:-1].all()
