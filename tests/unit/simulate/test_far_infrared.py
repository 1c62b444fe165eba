"""Far-infrared fields: fluxes, places, noise and truth are what they say."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from scipy.ndimage import map_coordinates

from astroclean.cli import simulate as verb
from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.image.grid import Grid
from astroclean.errors import AstrocleanError, ConfigurationError
from astroclean.simulate.far_infrared import scene as scenes
from astroclean.simulate.far_infrared.band import MapRange
from astroclean.simulate.far_infrared.population import Galaxies, PopulationRange
from astroclean.simulate.far_infrared.scene import FarInfraredConfig, simulate_far_infrared

if TYPE_CHECKING:
    from pathlib import Path

    from astroclean.simulate.scene import Scene

SHAPE = (40, 52)
BANDS = ("250", "350", "500", "24")
EMPTY = PopulationRange(denser=(-12, -12))
FLUXES = {"250": 60.0, "350": 45.0, "500": 25.0, "450": 30.0, "24": 2.0}
QUIET: dict[str, Any] = {
    "noise": (1e-6, 1e-6),
    "gain": (1, 1),
    "shift": (0, 0),
    "correlated": (0, 0),
}


@pytest.fixture(scope="module")
def scene() -> Scene:
    config = FarInfraredConfig(bands=BANDS, maps=MapRange(uncovered=1.0))
    return simulate_far_infrared(seed=5, shape=SHAPE, config=config)


def one_galaxy(monkeypatch: pytest.MonkeyPatch, x: float, y: float, **maps: Any) -> Scene:
    """Return a field with one galaxy at a place in pixels of 250 um."""
    shape = tuple(side * 6 + 200 for side in SHAPE)

    def sky(*_: Any) -> scenes._Sky:
        places = (
            np.array([(place - (side - 1) / 2) * 6 + (whole - 1) / 2])
            for place, side, whole in ((x, SHAPE[1], shape[1]), (y, SHAPE[0], shape[0]))
        )
        fluxes = {band: np.array([flux]) for band, flux in FLUXES.items()}
        galaxies = Galaxies(np.array([2.0]), np.array([35.0]), fluxes)
        return scenes._Sky(*places, galaxies, np.zeros(shape), np.zeros((1, 1)), shape)

    monkeypatch.setattr(scenes, "_draw_sky", sky)
    config = FarInfraredConfig(bands=BANDS, maps=MapRange(**{**QUIET, **maps}))
    return simulate_far_infrared(seed=1, shape=SHAPE, config=config)


def test_the_same_seed_gives_the_same_bytes(scene: Scene) -> None:
    config = FarInfraredConfig(bands=BANDS, maps=MapRange(uncovered=1.0))
    again = simulate_far_infrared(seed=5, shape=SHAPE, config=config)
    other = simulate_far_infrared(seed=6, shape=SHAPE, config=config)
    for band in BANDS:
        one = scene.bands[band].frame.data.tobytes()
        assert again.bands[band].frame.data.tobytes() == one
        assert other.bands[band].frame.data.tobytes() != one
    assert again.fine.data.tobytes() == scene.fine.data.tobytes()
    assert np.array_equal(again.sources.table["flux_24"], scene.sources.table["flux_24"])


def test_a_source_has_its_flux_as_peak_at_its_place_in_every_band(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y = 21.3, 17.8
    scene = one_galaxy(monkeypatch, x, y)
    sky = scene.frame.wcs.pixel_to_world(x, y)
    for band in BANDS:
        frame = scene.bands[band].frame
        assert frame.unit == u.mJy / u.beam
        light = frame.data.astype(float) - np.median(frame.data)  # the mean was taken off
        column, row = (float(place) for place in frame.wcs.world_to_pixel(sky))
        peak = map_coordinates(light, [[row], [column]], order=5)[0]
        assert peak == pytest.approx(FLUXES[band], rel=0.01), band
        rows, columns = np.indices(light.shape)
        assert np.sum(light * rows) / light.sum() == pytest.approx(row, abs=0.02), band
        assert np.sum(light * columns) / light.sum() == pytest.approx(column, abs=0.02), band
    (entry,) = scene.sources.table
    assert (entry["x"], entry["y"]) == pytest.approx((x, y))
    assert entry["flux"] == FLUXES["450"] * u.mJy
    assert entry["flux_500"] == FLUXES["500"] * u.mJy


def test_the_truth_shows_the_source_at_450_um_on_arcseconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y = 21.3, 17.8
    scene = one_galaxy(monkeypatch, x, y)
    fine = scene.fine
    assert fine.unit == u.mJy / u.beam
    assert fine.grid.shape == fine.data.shape == (SHAPE[0] * 6, SHAPE[1] * 6)
    assert fine.grid.pixel_scale == pytest.approx(1.0, rel=1e-6)
    assert fine.psf.fwhm_pixels == pytest.approx(7.9, rel=0.02)
    column, row = fine.grid.wcs.world_to_pixel(scene.frame.wcs.pixel_to_world(x, y))
    light = fine.data.astype(float)
    peak = map_coordinates(light, [[float(row)], [float(column)]], order=5)[0]
    assert peak == pytest.approx(FLUXES["450"], rel=0.01)
    rows, columns = np.indices(light.shape)
    assert np.sum(light * rows) / light.sum() == pytest.approx(float(row), abs=0.02)
    assert np.sum(light * columns) / light.sum() == pytest.approx(float(column), abs=0.02)
    # Gaussian of 7.9 arcsec: its solid angle tells the flux of all pixels.
    area = np.pi * 7.9**2 / (4 * np.log(2))
    assert light.sum() / area == pytest.approx(FLUXES["450"], rel=0.01)


def test_bands_show_the_same_field_on_their_own_pixels(scene: Scene) -> None:
    first = scene.frame
    middle = first.wcs.pixel_to_world((SHAPE[1] - 1) / 2, (SHAPE[0] - 1) / 2)
    for band, pixel in (("250", 6.0), ("350", 8.33), ("500", 12.0), ("24", 2.0)):
        frame = scene.bands[band].frame
        assert Grid.from_frame(frame).pixel_scale == pytest.approx(pixel, rel=1e-5)
        assert frame.detector.pixel_scale == pytest.approx(pixel)
        ny, nx = frame.shape
        assert 0 <= ny * pixel - SHAPE[0] * 6 < pixel
        here = frame.wcs.world_to_pixel(middle)
        assert [float(place) for place in here] == pytest.approx(
            [(nx - 1) / 2, (ny - 1) / 2], abs=1e-4
        )


def test_what_was_not_observed_is_nan_and_flagged_and_the_rest_has_no_mean(scene: Scene) -> None:
    for one in scene.bands.values():
        missing = np.isnan(one.frame.data)
        assert 0 < missing.mean() < 0.6
        assert np.array_equal(missing, (one.frame.flags & MaskPlane.NO_DATA) != 0)
        assert np.isfinite(one.frame.uncertainty.array).all()
        level = np.nanmean(one.frame.data, dtype=float)
        assert abs(level) < 1e-4 * np.nanstd(one.frame.data)


def test_noise_is_as_told_but_for_its_error() -> None:
    for error in (1.0, 1.5):
        maps = MapRange(noise=(2, 2), noise_error=(error, error), correlated=(0, 0), uneven=(2, 2))
        config = FarInfraredConfig(population=EMPTY, maps=maps)
        scene = simulate_far_infrared(seed=3, shape=(60, 60), config=config)
        for one in scene.bands.values():
            told = one.frame.uncertainty.array
            assert told.min() == pytest.approx(one.notes["noise"], rel=1e-3)
            assert told.max() == pytest.approx(2 * told.min(), rel=1e-3)
            assert (one.frame.data / told).std() == pytest.approx(error, rel=0.08)
        assert scene.bands["250"].notes["noise"] == pytest.approx(2)
        assert len(scene.sources) == 0


def test_gain_and_pointing_err_by_band_but_not_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    right = one_galaxy(monkeypatch, 20.0, 20.0)
    wrong = one_galaxy(monkeypatch, 20.0, 20.0, gain=(1.1, 1.1), shift=(3, 3))
    np.testing.assert_array_equal(right.fine.data, wrong.fine.data)
    for band in BANDS:
        frames = right.bands[band].frame, wrong.bands[band].frame
        pixel = frames[0].detector.pixel_scale
        light = [frame.data.astype(float) - np.median(frame.data) for frame in frames]
        assert light[1].sum() / light[0].sum() == pytest.approx(1.1, rel=0.005)
        middles = [[np.sum(i * w) / w.sum() for i in np.indices(w.shape)] for w in light]
        moved = np.hypot(*np.subtract(*middles)) * pixel
        # Positions of the truth are those of the first band.
        assert moved == pytest.approx(0.0 if band == "250" else 3.0, abs=0.05)


def test_the_catalogue_is_sorted_and_inside_the_field(scene: Scene) -> None:
    table, (ny, nx) = scene.sources.table, SHAPE
    flux = table["flux"].to_value("mJy")
    assert len(table) > 50
    assert (np.diff(flux) <= 0).all()
    assert flux.min() >= 0.1
    assert list(table["id"]) == list(range(1, len(table) + 1))
    assert (np.abs(table["x"] - (nx - 1) / 2) < nx / 2).all()
    assert (np.abs(table["y"] - (ny - 1) / 2) < ny / 2).all()
    for band in BANDS:
        assert table[f"flux_{band}"].unit == u.mJy
    assert (table["z"] > 0).all()
    assert table["temperature"].unit == u.K


def test_the_brightest_source_is_where_the_catalogue_says() -> None:
    scene = simulate_far_infrared(
        seed=11, shape=SHAPE, config=FarInfraredConfig(maps=MapRange(**QUIET))
    )
    row = scene.sources.table[0]
    column, line = scene.fine.grid.wcs.world_to_pixel(
        scene.frame.wcs.pixel_to_world(row["x"], row["y"])
    )
    here = scene.fine.data[round(float(line)), round(float(column))]
    # Neighbours can only add to it; half a pixel off the peak takes less than a percent.
    assert here > 0.98 * row["flux"].to_value("mJy")


@pytest.mark.parametrize("bands", [("350", "250"), ("250", "850"), ("250", "250"), ()])
def test_bands_that_are_none_are_refused(bands: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="must begin with 250"):
        simulate_far_infrared(seed=1, shape=(8, 8), config=FarInfraredConfig(bands=bands))


def test_the_command_line_writes_a_file_a_band_and_the_truth(tmp_path: Path) -> None:
    parser = ArgumentParser()
    verb.add_arguments(parser)
    words = ["far-infrared", "-o", str(tmp_path), "--seed", "3", "--shape", "32", "34"]
    told = ["--set", "bands=250,24", "--set", "maps.noise=[2,2]"]
    assert verb.run(parser.parse_args([*words, *told])) == 0
    config = FarInfraredConfig(bands=("250", "24"), maps=MapRange(noise=(2, 2)))
    scene = simulate_far_infrared(seed=3, shape=(32, 34), config=config)
    for band, shape in (("250", (32, 34)), ("24", (96, 102))):
        frame = Frame.read(tmp_path / f"far-infrared_000003_{band}.fits")
        assert frame.shape == shape
        assert frame.unit == u.mJy / u.beam
        np.testing.assert_array_equal(frame.data, scene.bands[band].frame.data)
        place = frame.wcs.world_to_pixel(scene.frame.wcs.pixel_to_world(3.0, 4.0))
        here = scene.bands[band].frame.wcs.world_to_pixel(scene.frame.wcs.pixel_to_world(3, 4))
        np.testing.assert_allclose(place, here, atol=1e-6)
    with fits.open(tmp_path / "far-infrared_000003_truth.fits") as hdus:
        np.testing.assert_array_equal(hdus["FINE"].data, scene.fine.data)
        assert hdus["FINE"].header["BUNIT"].replace(" ", "") in {"mJy/beam", "mJybeam-1"}
        assert len(hdus["SOURCES"].data) == len(scene.sources)
        assert {"flux_24", "flux_500", "z", "temperature"} <= set(hdus["SOURCES"].columns.names)


def test_a_beam_file_of_no_band_is_refused() -> None:
    with pytest.raises((AstrocleanError, ValueError), match="850"):
        FarInfraredConfig.model_validate({"maps": {"beam_files": {"850": "beam.fits"}}})


def test_resolved_galaxies_are_extended_and_in_no_catalogue() -> None:
    maps = MapRange(**QUIET)
    config = FarInfraredConfig(
        population=EMPTY,
        maps=maps,
        resolved=(3000, 3000),
        resolved_flux=(100, 100),
        resolved_size=(15, 15),
    )
    scene = simulate_far_infrared(seed=2, shape=SHAPE, config=config)
    assert len(scene.sources) == 0
    assert scene.frame.data.max() > 5
    # A tenth of the flux is in a beam of a disc three times as wide.
    assert scene.frame.data.max() < 60
    assert scene.fine.data.max() < 0.2 * 100


def test_cirrus_is_in_the_maps_but_not_in_the_truth() -> None:
    maps = {**QUIET, "cirrus": (5, 5)}
    config = FarInfraredConfig(population=EMPTY, maps=MapRange(**maps))
    scene = simulate_far_infrared(seed=2, shape=SHAPE, config=config)
    assert scene.fine.data.max() < 1e-9
    assert 1 < scene.frame.data.std() < 6
    first = scene.frame.data - scene.frame.data.mean()
    assert np.corrcoef(first[:, 1:].ravel(), first[:, :-1].ravel())[0, 1] > 0.9
