"""What `pconv` is told: flagged pixels, catalogues in files, options that do not fit."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from maps_of_sources import FWHM, NOISE, ONE_SIZE, PSF, ROWS, SHAPE, frame_of, image_of, run, sky

from astroclean.core.image.detector import DETECTOR_KEYWORDS
from astroclean.core.image.uncertainty import deviation_of
from astroclean.core.sources.holes import disks
from astroclean.core.stage.results import Outcome
from astroclean.errors import AstrocleanWarning, ConfigurationError, FitsReadError, StageError
from astroclean.registry.load import load_stage
from astroclean.testing.frames import synthetic_frame

if TYPE_CHECKING:
    from pathlib import Path

    from astroclean.core.image.frame import Frame


def defects() -> dict[str, np.ndarray]:
    """Columns, hits, and planes that are no holes."""
    y, x = np.indices(SHAPE)
    return {
        "DEAD_LINE": (x >= 60) & (x < 62),
        "COSMIC_RAY": (np.abs(y - 0.7 * x - 5) < 1) & (x < 40),
        "BAD_PIXEL": np.random.default_rng(1).random(SHAPE) < 2e-3,
        "OVERSCAN": y >= 105,
        "FRINGE": y < 5,
    }


def flagged(value: float = 1e6) -> tuple[Frame, np.ndarray]:
    """A frame without sources, and what is to be filled."""
    image, planes = image_of(np.zeros((0, 3))), defects()
    holes = planes["DEAD_LINE"] | planes["COSMIC_RAY"] | planes["BAD_PIXEL"]
    frame = frame_of(np.where(holes | planes["OVERSCAN"], value, image), np.zeros((0, 2)))
    for name, plane in planes.items():
        frame = frame.add_planes(plane, name)
    return frame, holes


def test_columns_and_hits_are_filled_by_what_is_around_them() -> None:
    frame, holes = flagged()
    result = run(frame, fill="flags")
    where = result.frame.where("INPAINTED")
    np.testing.assert_array_equal(where & ~defects()["OVERSCAN"], holes & ~defects()["OVERSCAN"])
    assert result.frame.data[~where].tobytes() == frame.data[~where].tobytes()
    other, _ = flagged(-1e9)
    second = run(other, fill="flags").frame
    assert second.data[where].tobytes() == result.frame.data[where].tobytes()
    kept = ~where & (deviation_of(result.frame.uncertainty) != np.float32(NOISE))
    assert not kept.any()


def test_the_planes_to_fill_can_be_named() -> None:
    frame, _ = flagged()
    result = run(frame, fill="flags", planes=("CR",))
    np.testing.assert_array_equal(result.frame.where("INPAINTED"), defects()["COSMIC_RAY"])
    none = run(frame_of(rows=np.zeros((0, 2))), fill="flags")
    assert none.outcome is Outcome.NO_WORK
    assert load_stage("pconv", fill="flags", planes=("CR",)).needs().planes
    assert load_stage("pconv", fill="flags").scope(frame).halo > 0
    assert load_stage("pconv").scope(frame).halo is None


def test_a_frame_that_is_one_hole_stays_as_it_is() -> None:
    frame = frame_of().add_planes(np.ones(SHAPE, dtype=bool), "BAD_PIXEL")
    result = run(frame, fill="flags")
    assert result.outcome is Outcome.NO_WORK
    assert result.metrics["pixels left"] == np.prod(SHAPE)
    assert result.frame.data.tobytes() == frame.data.tobytes()


@pytest.mark.parametrize("fill", ["flags", "sources"])
def test_what_is_filled_is_nearer_than_the_mean_of_the_surroundings(fill: str) -> None:
    """The one test here that asks how good the weights are, with room for others."""
    if fill == "flags":
        (frame, holes), truth = flagged(), sky()
        filled = run(frame, fill="flags", noise="none").frame.data
        holes = holes & ~defects()["OVERSCAN"]
        flat = np.full(SHAPE, np.median(frame.data[~frame.mask]))
    else:
        frame, truth = frame_of(), sky()
        filled = run(frame, noise="none", **ONE_SIZE).frame.data
        holes, flat = disks(SHAPE, ROWS[:, :2], np.full(len(ROWS), 7.0)), np.zeros(SHAPE)
        y, x = np.indices(SHAPE)
        for cx, cy in ROWS[:, :2]:
            distance = np.hypot(y - cy, x - cx)
            flat[distance <= 7] = frame.data[(distance > 9) & (distance < 18) & ~holes].mean()
    error, simple = (np.abs(image - truth)[holes].mean() for image in (filled, flat))
    assert error < 0.8 * simple


@pytest.mark.parametrize("mode", ["inpaint", "separate"])
def test_fluxes_of_sources_come_back(mode: str) -> None:
    result = run(frame_of(), mode=mode)
    table = result.frame.sources.table
    assert table["flux"].unit == u.Jy
    bright = ROWS[:, 2] > 50
    np.testing.assert_allclose(table["flux"].value[bright], ROWS[bright, 2], rtol=0.25)
    if mode == "separate":
        pulls = (table["flux"].value - ROWS[:, 2]) / table["flux_err"].value
        assert np.abs(pulls).max() < 6
    assert {"x", "y", "snr", "mask_radius", "quality", "flux_err"} <= set(table.colnames)
    apertures = [name for name in table.colnames if name.startswith(("aperture_", "annulus_"))]
    assert len(apertures) == 4
    assert all(table[name].unit == u.Jy for name in apertures)


def test_apertures_and_their_corrections_can_be_told() -> None:
    scale = 3.2
    keys = {DETECTOR_KEYWORDS["pixel_scale"]: scale, DETECTOR_KEYWORDS["psf_fwhm"]: scale * FWHM}
    options = {"apertures": (4.0,), **ONE_SIZE}
    plain, told = (
        run(frame_of(meta=keys), **options, **more).frame.sources.table
        for more in ({}, {"aperture_corrections": ((6.4, 0.4), (19.2, 0.8))})
    )
    # 4 pixels are 12.8 arcsec, midway.
    own = (plain["aperture_4_pixel"] / told["aperture_4_pixel"]).to_value("")
    circle = disks((61, 61), np.array([[30.0, 30.0]]), np.array([4.0]))
    np.testing.assert_allclose(own * PSF.psf.stamps[0][circle].sum(), 0.6, rtol=0.03)


def on_the_sky() -> Frame:
    """A frame with a WCS and no sources of its own."""
    frame = synthetic_frame(seed=7, flagged=False)
    return frame.replace(sources=None)


@pytest.mark.parametrize("kind", ["csv", "ecsv", "reg"])
def test_a_catalogue_comes_from_a_file(tmp_path: Path, kind: str) -> None:
    frame = on_the_sky()
    x, y = np.array([40.3, 80.0, 500.0]), np.array([30.2, 60.7, 20.0])
    where = frame.wcs.pixel_to_world(x, y).icrs
    path = tmp_path / f"sources.{kind}"
    if kind == "reg":
        pytest.importorskip("regions", reason="needs the extra astroclean[regions]")
        lines = [f"point({p.ra.deg:.8f}, {p.dec.deg:.8f})" for p in where]
        path.write_text("\n".join(["# Region file format: DS9", "icrs", *lines]) + "\n")
    else:
        table = QTable({"ra": where.ra.deg, "dec": where.dec.deg, "id": [7, 3, 9]})
        table.write(path)
    stage = load_stage("pconv", catalog=path)
    assert stage.needs().fields == set()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = stage.run(frame)
    told = [str(one.message) for one in caught]
    assert any("1 sources of the catalogue lie off the frame" in text for text in told)
    table = result.frame.sources.table
    np.testing.assert_allclose(table["x"], x[:2], atol=1e-3)
    np.testing.assert_allclose(table["y"], y[:2], atol=1e-3)
    assert {"ra", "dec"} <= set(table.colnames)
    assert result.metrics["sources outside"] == 1
    if kind != "reg":
        assert table["id"].tolist() == [7, 3]
    assert result.frame.where("INPAINTED")[30, 40]


def test_a_catalogue_in_memory_and_one_that_is_not_there(tmp_path: Path) -> None:
    table = QTable({"id": np.arange(len(ROWS)) + 1, "x": ROWS[:, 0] + 1, "y": ROWS[:, 1] + 1})
    two = run(frame_of())
    one = run(frame_of().replace(sources=None), catalog=table, first_pixel=1)
    assert one.frame.data.tobytes() == two.frame.data.tobytes()
    with pytest.warns(AstrocleanWarning, match="first pixel is 0 .*first_pixel = 1"):
        shifted = run(frame_of().replace(sources=None), catalog=table)
    assert shifted.frame.data.tobytes() != two.frame.data.tobytes()
    with pytest.raises(FitsReadError, match="no such file"):
        load_stage("pconv", catalog=tmp_path / "no.csv")
    with pytest.raises(StageError, match="option 'catalog'"):
        run(frame_of(), catalog=QTable({"a": [1.0]}))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"fill": "flags", "mode": "separate"}, "flagged pixels tell nothing"),
        ({"fill": "flags", "catalog": "a.csv"}, "takes no sources"),
        ({"fill": "flags", "planes": ()}, "name at least one plane"),
        ({"planes": ("COSMIC_RAYS",)}, "COSMIC_RAY"),
        ({"hole_radii": (1.0, 2.0)}, "need 6 radii"),
        ({"hole_radii": (2.0, 1.0), "hole_limits": (3.0,)}, "must rise"),
        ({"apertures": (-1.0,)}, "greater than 0"),
        ({"position_error": -0.1}, "greater than or equal to 0"),
        ({"tile": 512}, "no such option"),
        ({"noise": "none", "seed": -1}, "greater than or equal to 0"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        load_stage("pconv", **options)


def test_weights_are_named_or_a_card() -> None:
    stage = load_stage("pconv")
    assert stage.fingerprint()["weights"]
    with pytest.raises(ConfigurationError, match="Did you mean 'astroclean'"):
        load_stage("pconv", weights="astrocleen")
    with pytest.raises(ConfigurationError, match="there is no card"):
        load_stage("pconv", weights="/no/such/one.card.toml")
