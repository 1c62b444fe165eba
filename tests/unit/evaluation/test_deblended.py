"""Catalogues of known faults: each is told in the column and the class that it belongs to."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tiny_scenes
from astropy import units as u

from astroclean.core.image.layer import BACKGROUND
from astroclean.core.sources.shares import with_shares
from astroclean.core.sources.sources import Sources, SourceStamp
from astroclean.core.stage.kinds.deblend import Deblender
from astroclean.core.stage.results import Separation
from astroclean.evaluation.contest import Contestant, hold_contest
from astroclean.evaluation.deblend import DeblendEvaluation
from astroclean.evaluation.deblended import compared
from astroclean.evaluation.evaluation import Trial
from astroclean.evaluation.inject import inject_sources
from astroclean.evaluation.matching import total_flux, total_flux_error

if TYPE_CHECKING:
    from astroclean.core.image.frame import Frame
    from astroclean.simulate.scene import Scene

SHAPE = (120, 160)
WIDTH = tiny_scenes.FWHM / 2.3548
# Of two equal Gaussians d apart: blendedness is o / (1 + o), o = exp(-d^2 / 4 s^2).
MILD, STRONG = 3.0, 1.7


class Told(Deblender):
    sources: Any = None

    def separate(self, frame: Frame) -> Separation:
        return Separation(type(self).sources)


def scene_with(*apart: float, flux: float = 3000.0, seed: int = 1) -> Scene:
    """Pairs of sources so many pixels apart, 20 pixels from each other; 0 for a source alone."""
    places = []
    for index, distance in enumerate(apart):
        x, y = 12.0 + 20 * (index % 7), 12.0 + 20 * (index // 7)
        places += [(x, y)] if distance == 0 else [(x, y), (x + distance, y)]
    fluxes = np.full(len(places), flux)
    return tiny_scenes.scene_of(
        np.array(places), fluxes, seed=seed, shape=SHAPE, axes=(WIDTH, WIDTH)
    )


def rows_of(scene: Scene, sources: Sources) -> dict[str, dict[str, float]]:
    stage = type("Told", (Told,), {"sources": sources})()
    verdict = hold_contest(DeblendEvaluation(), [Contestant("told", stage)], [scene])
    return {row.of: dict(row.values) for row in verdict.rows}


def with_columns(sources: Sources, **columns: Any) -> Sources:
    table = sources.table.copy()
    for name, values in columns.items():
        table[name] = values
    return replace(sources, table=table)


def test_sources_are_sorted_by_the_decided_edges_of_blendedness() -> None:
    scene = scene_with(0, 0, 0, MILD, MILD, STRONG)
    overlap = [math.exp(-(d**2) / 4 / WIDTH**2) for d in (MILD, STRONG)]
    shares = [o / (1 + o) for o in overlap]
    assert 0.05 < shares[0] < 0.35 < shares[1]
    rows = rows_of(scene, scene.sources)
    assert [rows[n]["sources"] for n in ("isolated", "mild", "strong")] == [3, 4, 2]


def test_bias_scatter_and_pulls_are_told_by_class() -> None:
    scene = scene_with(*[0] * 21, *[MILD] * 14)
    true = scene.sources.table["flux"].value
    rng = np.random.default_rng(7)
    is_mild = np.arange(len(true)) >= 21
    wrong = rng.permutation(np.linspace(-1, 1, 49)) * np.where(is_mild, 0.3, 0.02)
    flux = true * np.where(is_mild, 1.1, 1.0) + true * wrong
    error = true * np.where(is_mild, 0.1, 0.02)
    told = with_columns(
        scene.sources, flux=u.Quantity(flux, "adu"), flux_err=u.Quantity(error, "adu")
    )
    rows = rows_of(scene, told)
    for name, kept, base in (("isolated", ~is_mild, 1.0), ("mild", is_mild, 1.1)):
        errors = flux[kept] / true[kept]
        mad = 1.4826 * np.median(np.abs(errors - np.median(errors)))
        assert rows[name]["bias"] == pytest.approx(np.median(errors) - 1, abs=1e-6)
        assert rows[name]["bias"] == pytest.approx(base - 1, abs=0.07)
        assert rows[name]["ratio scatter"] == pytest.approx(mad, rel=1e-3)
        pulls = (flux - true)[kept] / error[kept]
        mad = 1.4826 * np.median(np.abs(pulls - np.median(pulls)))
        assert rows[name]["pull"] == pytest.approx(mad, rel=1e-3)
    assert math.isnan(rows_of(scene, scene.sources)["all"]["pull"])


def test_models_are_judged_where_sources_were_found() -> None:
    scene = scene_with(0, 0, MILD, MILD)
    half = tuple(replace(s, data=s.data * np.float32(0.5)) for s in scene.sources.stamps)
    row = rows_of(scene, replace(scene.sources, stamps=half))["all"]
    assert (row["soft IoU"], row["KS"]) == (0.5, pytest.approx(0, abs=1e-6))
    assert row["cosine"] == pytest.approx(1)
    assert row["chi2"] > 10
    # What was not found lowers completeness and not the models of the others.
    few = Sources(scene.sources.table[1:], None, scene.sources.stamps[1:])
    row = rows_of(scene, few)["all"]
    assert row["completeness"] == 5 / 6
    assert (row["soft IoU"], row["cosine"]) == (1, pytest.approx(1))
    # An entry without its image has none of the light.
    few = Sources(scene.sources.table, None, scene.sources.stamps[:1])
    assert rows_of(scene, few)["all"]["soft IoU"] == 0


def test_models_wider_than_the_source_have_another_profile() -> None:
    scene = scene_with(0, 0, 0)
    table = scene.sources.table
    wide = tuple(
        tiny_scenes.gaussian_stamp(i, x, y, 3000.0, axes=(2 * WIDTH, 2 * WIDTH))
        for i, x, y in zip(table["id"], table["x"], table["y"], strict=True)
    )
    row = rows_of(scene, replace(scene.sources, stamps=wide))["all"]
    # 2 s t / (s^2 + t^2) is the cosine of two round Gaussians.
    assert row["cosine"] == pytest.approx(0.8, abs=0.01)
    assert 0.1 < row["KS"] < 0.4


def test_what_a_plugin_calls_background_is_no_light_of_sources() -> None:
    scene = scene_with(0, 0, MILD)
    kept = {"all": rows_of(scene, scene.sources)["all"]["chi2"]}
    assert kept["all"] == pytest.approx(1, abs=0.3)

    class WithLevel(Told):
        sources = scene.sources

        def layers(self) -> Any:
            return (*super().layers(), BACKGROUND)

        def separate(self, frame: Frame) -> Separation:
            level = np.full(frame.shape, 20.0, dtype=np.float32)
            return Separation(scene.sources, layers={"BACKGROUND": level})

    verdict = hold_contest(DeblendEvaluation(), [Contestant("told", WithLevel())], [scene])
    assert verdict.rows[0].values["chi2"] > 100


def test_a_real_frame_has_no_chi2_without_its_background() -> None:
    scene = inject_sources(scene_with(0, 0).frame, seed=1)
    assert math.isnan(rows_of(scene, scene.sources)["all"]["chi2"])


def test_light_that_is_lost_in_sharing_out_is_told() -> None:
    scene = scene_with(0, MILD)
    shared, rest = with_shares(scene.sources, scene.frame)

    class Sharing(Told):
        lost = 0.0

        def separate(self, frame: Frame) -> Separation:
            unassigned = rest.copy()
            unassigned[50, 60] += type(self).lost * tiny_scenes.SIGMA
            return Separation(shared, unassigned=unassigned)

    for lost in (0.0, 3.0):
        Sharing.lost = lost
        verdict = hold_contest(DeblendEvaluation(), [Contestant("told", Sharing())], [scene])
        assert verdict.rows[0].values["unshared"] == pytest.approx(lost, abs=1e-4)
    assert math.isnan(rows_of(scene, scene.sources)["all"]["unshared"])


def test_unrecognized_blends_are_counted_and_their_probability_is_judged() -> None:
    # Of 10 close pairs one source each is missing; 10 sources are alone.
    scene = scene_with(*[0] * 10, *[1.2] * 10)
    lost = set(range(12, 31, 2))
    kept = np.array([i not in lost for i in range(1, 31)])
    table = scene.sources.table[kept]
    told = Sources(table)
    assert rows_of(scene, told)["all"]["unrecognized"] == 0.5
    blended = np.arange(20) >= 10
    right = with_columns(told, blend_probability=np.where(blended, 1 - 1e-6, 1e-6))
    row = rows_of(scene, right)["all"]
    assert (row["stated"], row["blend ECE"]) == (pytest.approx(0.5), pytest.approx(0, abs=1e-3))
    wrong = with_columns(told, blend_probability=np.full(20, 0.2))
    row = rows_of(scene, wrong)["all"]
    assert row["stated"] == pytest.approx(0.2)
    assert row["blend ECE"] == pytest.approx(0.3, abs=0.05)
    assert "stated" not in rows_of(scene, told)["all"]


def test_duplicates_are_told_a_scene() -> None:
    scene = scene_with(0, 0, 0)
    table = scene.sources.table[[0, 0, 1, 2]].copy()
    table["id"] = np.arange(1, 5)
    table["x"][1] += 0.5
    row = rows_of(scene, Sources(table))["all"]
    assert row["duplicates"] == 1
    assert row["purity"] == 0.75


def test_completeness_and_purity_are_told_by_signal() -> None:
    places = np.array([(12.0 + 20 * i, 12.0) for i in range(6)])
    # A point source of FWHM 3 has 22.6 pixels of noise: S/N = flux / 4.7 / 2 or so.
    flux = np.array([60.0, 70.0, 150.0, 200.0, 600.0, 5000.0])
    scene = tiny_scenes.scene_of(places, flux, seed=3, shape=SHAPE, axes=(WIDTH, WIDTH))
    table = scene.sources.table[[1, 2, 3, 4, 5]].copy()
    table["x"][2] += 10.0  # a false one of S/N 21
    rows = rows_of(scene, Sources(table))
    names = ("S/N 5-10", "S/N 10-30", "S/N 30-100", "S/N > 100")
    assert [rows[n]["sources"] for n in names] == [2, 2, 1, 1]
    assert [rows[n]["completeness"] for n in names] == [0.5, 0.5, 1, 1]
    assert [rows[n]["purity"] for n in names] == [1, 0.5, 1, 1]


def test_errors_of_fluxes_are_those_of_the_flux_that_is_taken() -> None:
    table = scene_with(0, 0).sources.table
    sources = with_columns(
        Sources(table), flux_err=[1.0, 2.0], flux_auto=[9.0, 8.0], flux_auto_err=[3.0, 4.0]
    )
    assert total_flux(sources).tolist() == [9, 8]
    assert total_flux_error(sources).tolist() == [3, 4]
    of_band = with_columns(sources, flux_g=[5.0, 6.0], flux_err_g=[0.5, 0.6])
    assert total_flux_error(of_band, "g").tolist() == [0.5, 0.6]
    assert total_flux_error(of_band, "r").tolist() == [3, 4]
    assert np.isnan(total_flux_error(Sources(table))).all()


def test_the_time_of_a_scene_is_told() -> None:
    scene = scene_with(0)
    values = rows_of(scene, scene.sources)["all"]
    ny, nx = SHAPE
    assert values["time"] * values["speed"] == pytest.approx(ny * nx / 1e6)


def test_stamps_of_one_band_of_several_are_taken_by_name() -> None:
    scene = scene_with(0, MILD)
    others = tuple(
        SourceStamp(s.id, s.origin, np.zeros_like(s.data), "r") for s in scene.sources.stamps
    )
    own = tuple(replace(s, band="g") for s in scene.sources.stamps)
    sources = replace(scene.sources, stamps=(*own, *others))
    stage = type("Told", (Told,), {"sources": sources})()
    result = stage.run(scene.frame)
    fates = compared(Trial(scene, stage, scene.frame, result, band="g")).fates
    assert np.all(fates.iou == 1)
