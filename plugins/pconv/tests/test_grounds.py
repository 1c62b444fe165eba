"""Sources are put on real maps, on usable pixels alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from astroclean_pconv.train.grounds import (
    SIDE,
    find_maps,
    real_ground,
    simulated_ground,
    star_ground,
)
from astroclean_pconv.train.samples import SampleMaker
from astropy.io import fits

from astroclean.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

PACS = {
    "TELESCOP": "Herschel",
    "INSTRUME": "PACS",
    "CAMERA": "PHOTBLUE",
    "CUSMODE": "PacsPhoto",
    "BUNIT": "Jy/pixel",
    "PIXSCALE": 1.6,
}


def write_map(folder: Path, name: str = "one", *, shape: tuple[int, int] = (220, 260)) -> Path:
    """A map whose pixels tell where they are, with a corner that is not covered."""
    (folder / "maps").mkdir(exist_ok=True)
    y, x = np.mgrid[: shape[0], : shape[1]]
    data = (1000.0 * y + x).astype(np.float32)
    data[:10, :40] = np.nan
    header = fits.Header(PACS)
    path = folder / "maps" / f"{name}.fits"
    fits.PrimaryHDU(data, header).writeto(path)
    return path


def test_a_window_of_a_map_lies_in_it_and_has_its_psf(tmp_path: Path) -> None:
    path = write_map(tmp_path)
    assert find_maps(tmp_path) == (path,)
    first = set()
    for seed in range(8):
        ground = real_ground(np.random.default_rng(seed), path)
        assert ground.target.shape == (SIDE, SIDE)
        assert np.isfinite(ground.target).all()
        row, column = divmod(int(ground.target[0, 0]), 1000)
        assert ground.target[-1, -1] == 1000 * (row + SIDE - 1) + column + SIDE - 1
        # Instrument file: 5.6 arcsec in scan maps.
        assert ground.psf.fwhm_pixels == pytest.approx(5.6 / 1.6, rel=0.06)
        first.add((row, column))
    assert len(first) > 4


def test_samples_are_on_real_maps_where_there_are_any(tmp_path: Path) -> None:
    path = write_map(tmp_path)
    real = SampleMaker(1, maps=(path,), share=1.0)(3)
    assert not real["known"].any()
    np.testing.assert_array_equal(real["target"], real["sky"])
    simulated = SampleMaker(1, maps=(path,), share=0.0)(3)
    assert simulated["known"].all()
    assert (simulated["target"] != simulated["sky"]).any()
    assert set(real) == set(simulated)
    assert (real["image"] - real["target"].astype(np.float32)).max() > 1


def test_a_flat_part_of_a_map_gives_a_sample_without_light(tmp_path: Path) -> None:
    path = write_map(tmp_path)
    fits.PrimaryHDU(np.full((SIDE, SIDE), 5.0), fits.Header(PACS)).writeto(path, overwrite=True)
    found = SampleMaker(1, maps=(path,), share=1.0)(0)
    for name in ("image", "target", "sky"):
        assert not found[name].any()


def test_maps_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no FITS file in"):
        find_maps(tmp_path)
    write_map(tmp_path, "small", shape=(100, 300))
    with pytest.raises(ConfigurationError, match=r"small.fits has no window of 192 x 192"):
        find_maps(tmp_path)


def test_simulated_grounds_have_noise_of_their_own() -> None:
    ground = simulated_ground(np.random.default_rng(1))
    noise = ground.target - ground.sky
    assert abs(noise.mean()) < 0.1 * noise.std()
    assert noise.std() > 0
    assert ground.known
    assert not ground.bare


def test_fields_of_stars_are_in_units_of_the_noise_of_their_sky() -> None:
    quiet, loud = [], []
    for seed in range(4):
        ground = star_ground(np.random.default_rng(seed))
        assert ground.bare
        assert ground.known
        assert ground.target.shape == (SIDE, SIDE)
        noise, dark = ground.target - ground.sky, ground.sky < np.percentile(ground.sky, 20)
        bright = ground.sky > np.percentile(ground.sky, 99.5)
        quiet.append(noise[dark].std())
        loud.append(noise[bright].std())
    assert np.mean(quiet) == pytest.approx(1, rel=0.15)
    assert np.mean(loud) > 1.2 * np.mean(quiet), "photons have noise of their own"
