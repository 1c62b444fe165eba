"""Super-resolvers: perfect, blurred, biased and inventive ones, and scores that tell them apart."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tiny_scenes
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from astropy.table import QTable
from astropy.wcs import WCS
from scipy.ndimage import zoom

from astroclean.core.image.frame import Frame
from astroclean.core.image.grid import Grid
from astroclean.core.image.layer import Layer
from astroclean.core.psf.psf import Psf
from astroclean.core.sources.sources import Sources
from astroclean.core.stage.kinds.superres import SuperResolver
from astroclean.core.stage.results import Upsampling
from astroclean.errors import ConfigurationError, ContractError
from astroclean.evaluation.contest import Contestant, hold_contest
from astroclean.evaluation.metrics.superres import find_peaks, moved, on_grid, rms
from astroclean.evaluation.superres import SuperresEvaluation
from astroclean.simulate.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPE = (96, 112)
FINE_SIGMA, SIGMA, NOISE = 1.3, 1.6, 1.0  # fine pixels, pixels of the frame, of the frame
PSF = Psf.gaussian(fwhm_pixels=FINE_SIGMA * 2.3548)


def crowded(*, seed: int = 1, wcs: WCS | None = None) -> Scene:
    """Point sources, some in pairs that only the finer image shows apart."""
    rng = np.random.default_rng(seed)
    ny, nx = SHAPE
    rows, columns = np.mgrid[14 : ny - 12 : 20, 14 : nx - 12 : 20]
    places = np.column_stack([columns.ravel(), rows.ravel()]) + rng.uniform(-2, 2, (rows.size, 2))
    pairs = places[::4] + np.array([2.9, 0.6])
    places = np.concatenate([places, pairs])
    flux = 10 ** rng.uniform(1.9, 3.2, len(rows.ravel()))
    flux = np.concatenate([flux, 0.8 * flux[::4]])
    stamps = tuple(
        tiny_scenes.gaussian_stamp(i, x, y, f, axes=(SIGMA, SIGMA))
        for i, ((x, y), f) in enumerate(zip(places, flux, strict=True), start=1)
    )
    finer = tuple(
        tiny_scenes.gaussian_stamp(s.id, 2 * x + 0.5, 2 * y + 0.5, f, axes=(FINE_SIGMA, FINE_SIGMA))
        for s, (x, y), f in zip(stamps, places, flux, strict=True)
    )
    table = QTable({"id": np.arange(1, len(flux) + 1), "x": places[:, 0], "y": places[:, 1]})
    table["flux"] = u.Quantity(flux, "adu")
    clean = tiny_scenes.light(stamps, SHAPE)
    frame = Frame(
        clean + rng.normal(0, NOISE, SHAPE),
        unit="adu",
        uncertainty=StdDevUncertainty(np.full(SHAPE, NOISE, np.float32)),
        psf=Psf.gaussian(fwhm_pixels=SIGMA * 2.3548),
        wcs=wcs,
        frame_id="crowded",
    )
    grid = Grid.from_frame(frame).finer(2)
    truth = tiny_scenes.light(finer, grid.shape).astype(np.float32)
    fine = Layer(truth, grid, frame.unit, None, PSF)
    return Scene(
        frame, clean=clean.astype(np.float32), fine=fine, sources=Sources(table, None, stamps)
    )


class AnyUpsampler(SuperResolver):
    answer: Any = None

    def upsample(self, frame: Frame) -> Upsampling:
        return type(self).answer(frame)


def scored(answer: Callable[[Frame], Upsampling], *scenes: Scene) -> dict[str, dict[str, float]]:
    stage = type("Toy", (AnyUpsampler,), {"answer": staticmethod(answer)})()
    verdict = hold_contest(SuperresEvaluation(), [Contestant("toy", stage)], scenes)
    names = {column.name for column in SuperresEvaluation.columns} | {"speed", "time"}
    assert all(set(row.values) <= names for row in verdict.rows)
    return {row.of: dict(row.values) for row in verdict.rows}


def bicubic(frame: Frame) -> Upsampling:
    """The frame between its own pixels, with the PSF that it has: nothing is gained but looks."""
    data = zoom(frame.data, 2, order=3, grid_mode=True, mode="grid-constant") / 4
    return Upsampling(data, Psf.gaussian(fwhm_pixels=2 * frame.psf.fwhm_pixels))


def nearest(frame: Frame) -> Upsampling:
    return Upsampling(np.repeat(np.repeat(frame.data, 2, 0), 2, 1) / 4, PSF)


def of(data: Any, **fields: Any) -> Callable[[Frame], Upsampling]:
    return lambda _frame: Upsampling(np.asarray(data, np.float32), PSF, **fields)


def test_the_true_image_is_perfect() -> None:
    scene = crowded()
    rows = scored(of(scene.fine.data), scene)
    row = rows["all"]
    assert row["RMS"] == 0
    assert row["gain"] == math.inf
    assert row["FWHM"] == pytest.approx(1)
    assert (row["completeness"], row["purity"], row["F1"]) == (1, 1, 1)
    assert row["sources"] == len(scene.sources)
    assert row["dm"] == row["scatter"] == 0
    assert math.isnan(row["lost"])  # no support is told
    assert sum(r["sources"] for name, r in rows.items() if name != "all") == row["sources"]


def test_scores_rank_what_is_nearer_to_the_truth() -> None:
    scene = crowded()
    rng = np.random.default_rng(2)
    noisy = scene.fine.data + rng.normal(0, NOISE / 4, scene.fine.data.shape)
    own, smooth, good = (scored(one, scene)["all"] for one in (nearest, bicubic, of(noisy)))
    assert own["gain"] == pytest.approx(0, abs=1e-6)
    assert own["RMS"] > smooth["RMS"] > good["RMS"] == pytest.approx(1, abs=0.02)
    assert good["gain"] > smooth["gain"] > 0
    assert smooth["FWHM"] == pytest.approx(2 * SIGMA / FINE_SIGMA, rel=0.02)
    # Two sources within a PSF are one to interpolation.
    assert good["completeness"] > smooth["completeness"] + 0.1
    assert smooth["completeness"] > 0.5
    assert smooth["dm"] == pytest.approx(0, abs=0.3)


def test_light_that_is_lost_or_made_up_is_seen() -> None:
    scene = crowded()
    truth = scene.fine.data
    faint = scored(of(0.9 * truth), scene)["all"]
    assert faint["dm"] == pytest.approx(-2.5 * math.log10(0.9), abs=1e-3)
    made_up = truth.copy()
    made_up[3::40, 3::40] += 50
    inventive = scored(of(made_up), scene)["all"]
    assert inventive["purity"] < 0.9
    assert inventive["completeness"] == 1
    assert inventive["RMS"] > 0
    shifted = scored(of(np.roll(truth, 4, axis=1)), scene)["all"]
    assert shifted["completeness"] < 0.2


def test_what_lies_outside_the_support() -> None:
    scene = crowded()
    truth = scene.fine.data
    half = np.ones(truth.shape, np.float32)
    half[:, : truth.shape[1] // 2] = 0
    wrong = truth + np.where(half > 0, 0.1, 1.0) * np.random.default_rng(1).normal(0, 1, half.shape)
    row = scored(of(wrong, support=half), scene)["all"]
    assert row["unsupported"] == 0.5
    assert row["lost"] == pytest.approx(float(truth[half == 0].sum() / truth.sum()), rel=1e-4)
    assert row["beyond"] == pytest.approx(10, rel=0.05)


def test_the_catalogue_of_the_plugin_counts_where_it_gives_one() -> None:
    scene = crowded()
    table = scene.sources.table[:10].copy()
    table["x"], table["y"] = 2 * table["x"] + 0.5, 2 * table["y"] + 0.5
    table["x"][0] += 30
    row = scored(of(np.zeros_like(scene.fine.data), sources=Sources(table)), scene)["all"]
    assert row["completeness"] == 9 / len(scene.sources)
    assert row["purity"] == 0.9


def test_a_result_on_other_pixels_is_compared_on_those_of_the_truth() -> None:
    scene = crowded()
    grid = Grid((SHAPE[0] * 3, SHAPE[1] * 3), None, (0.0, 0.0), 1 / 3)
    image = on_grid(scene.fine.data, scene.fine.grid, grid)
    row = scored(of(image, grid=grid), scene)["all"]
    assert row["RMS"] < 0.15
    assert row["completeness"] == 1
    assert row["dm"] == pytest.approx(0, abs=0.01)
    part = Grid((60, 60), None, (10.0, 20.0), 0.5)  # of the frame alone
    rows = scored(of(scene.fine.data[20:80, 40:100], grid=part), scene)
    assert rows["all"]["RMS"] == pytest.approx(0, abs=1e-6)
    assert 0 < rows["all"]["completeness"] < 1


def test_a_grid_that_contradicts_its_wcs_is_refused() -> None:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.cdelt, wcs.wcs.cunit = (
        ("RA---TAN", "DEC--TAN"),
        (-1e-4, 1e-4),
        ("deg",) * 2,
    )
    scene = crowded(wcs=wcs)
    fine = scene.fine.grid
    assert scored(of(scene.fine.data), scene)["all"]["RMS"] == 0
    with pytest.raises(ContractError, match=r"step 1, and 0\.18 arcsec where the frame has 0\.36"):
        scored(of(scene.fine.data, grid=Grid(fine.shape, fine.wcs)), scene)


def test_no_truth_is_no_score() -> None:
    scene = crowded()
    with pytest.raises(ConfigurationError, match="--simulator finer"):
        scored(bicubic, replace(scene, fine=None))
    with pytest.raises(ConfigurationError, match="leave out"):
        SuperresEvaluation().inject(scene.frame, seed=1)


def test_grids_of_one_frame() -> None:
    fine, coarse = Grid((40, 60), None, (0.0, 0.0), 0.5), Grid((20, 30))
    places = np.array([[0.0, 0.0], [3.0, 7.0]])
    np.testing.assert_allclose(moved(places, coarse, fine), 2 * places + 0.5)
    np.testing.assert_allclose(moved(moved(places, coarse, fine), fine, coarse), places)
    flat = on_grid(np.full((20, 30), 4.0), coarse, fine)
    np.testing.assert_allclose(flat, 1.0)
    hole = np.full((20, 30), 4.0)
    hole[5, 6] = np.nan
    unknown = np.isnan(on_grid(hole, coarse, fine))
    assert unknown[10:12, 12:14].all()
    assert unknown.sum() == 4
    beyond = on_grid(np.full((20, 30), 4.0), coarse, Grid((20, 30), None, (10.0, 0.0)))
    assert np.isnan(beyond[10:]).all()
    np.testing.assert_allclose(beyond[:10], 4)
    assert math.isnan(rms(np.full(3, np.nan)))
    assert not len(find_peaks(np.zeros((20, 20)), fwhm=3, noise=1.0))
