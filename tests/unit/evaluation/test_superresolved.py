"""Super-resolved fields of several bands: perfect, blurred, empty, shifted and faint answers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable, vstack
from scipy.ndimage import gaussian_filter

from astroclean.core.image.grid import Grid
from astroclean.core.psf.beam import beam_area
from astroclean.core.psf.psf import Psf
from astroclean.core.sources.sources import Sources
from astroclean.core.stage.kinds.superres import SuperResolver
from astroclean.core.stage.needs import Needs
from astroclean.core.stage.results import Upsampling
from astroclean.errors import ConfigurationError, ContractError, UnitError
from astroclean.evaluation.contest import Contestant, Verdict, hold_contest
from astroclean.evaluation.evaluation import JudgesJointly, JudgesSets
from astroclean.evaluation.superres import SuperresEvaluation
from astroclean.simulate.far_infrared.band import MapRange
from astroclean.simulate.far_infrared.scene import FarInfraredConfig, simulate_far_infrared
from astroclean.simulate.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Callable

CLASSES = {"3-6 mJy", "6-9 mJy", "9-15 mJy", "15-30 mJy", "> 9 mJy", "all"}
SHAPE = (100, 100)


@pytest.fixture(scope="module")
def field() -> Scene:
    """A sixth of a degree on a side, covered everywhere."""
    config = FarInfraredConfig(maps=MapRange(uncovered=0.0))
    return simulate_far_infrared(seed=3, shape=SHAPE, config=config)


class Together(SuperResolver):
    accepts = frozenset({"set"})
    answer: Any = None
    given: Any = None

    def needs(self) -> Needs:
        return Needs(frozenset({"psf"}), aligned=False)

    def upsample(self, frames: Any) -> Upsampling:
        self.given.append(frames)
        return type(self).answer(frames)


class Alone(Together):
    accepts = frozenset({"frame"})


def verdict(
    answer: Callable[..., Upsampling], *scenes: Scene, base: type = Together, given: Any = None
) -> Verdict:
    fields = {"answer": staticmethod(answer), "given": [] if given is None else given}
    stage = type("Toy", (base,), fields)()
    return hold_contest(SuperresEvaluation(), [Contestant("toy", stage)], scenes)


def scored(*arguments: Any, **words: Any) -> dict[str, dict[str, float]]:
    rows = verdict(*arguments, **words).rows
    names = {column.name for column in SuperresEvaluation.columns} | {"speed", "time"}
    assert all(set(row.values) <= names for row in rows)
    return {row.of: dict(row.values) for row in rows}


def catalogue(field: Scene, *, least: float = 2.0, **columns: Any) -> Sources:
    """The true sources from a flux on, in pixels of 250 um, with some columns changed."""
    table = field.sources.table["id", "x", "y", "flux"]
    table = table[table["flux"] >= least * u.mJy].copy()
    for name, make in columns.items():
        table[name] = make(table)
    return Sources(table, grid=field.sources.grid)


def answer(
    field: Scene, image: Any = None, sources: Sources | None = None, **fields: Any
) -> Callable[..., Upsampling]:
    data = field.fine.data if image is None else np.asarray(image, np.float32)
    found = catalogue(field) if sources is None else sources
    told = {"psf": field.fine.psf, "grid": field.fine.grid, "sources": found, **fields}
    return lambda _: Upsampling(data, **told)


def test_the_truth_is_perfect_and_the_bands_are_one(field: Scene) -> None:
    given: list[Any] = []
    rows = scored(answer(field), field, given=given)
    assert set(rows) >= CLASSES
    assert not any(":" in name for name in rows)
    assert [frames.bands for frames in given] == [("250", "350", "500")]
    for name in CLASSES:
        row = rows[name]
        for figure in ("compl", "purity", "half", "raw compl", "raw purity", "raw half"):
            assert row[f"{figure} 12"] == row[f"{figure} 5"] == 1
        assert row["counts"] == row["ratio"] == row["true ratio"] == row["mean ratio"] == 1
        assert row["ratio scatter"] == row["true ratio scatter"] == 0
        assert row["place"] == pytest.approx(0, abs=1e-9)
        assert row["entries"] == row["true"] > 0
    row = rows["all"]
    assert row["map RMS"] == row["offset"] == row["missing"] == 0
    assert row["map corr"] == pytest.approx(1)
    assert row["light"] == pytest.approx(1)
    assert row["width"] == pytest.approx(7.9, abs=0.25)
    assert row["stated width"] == pytest.approx(7.9, abs=0.1)
    assert row["faintest"] == pytest.approx(2, abs=0.1)
    assert "factor" not in row
    # What lies within half an arcminute of a border is not judged: 540 arcsec of 600 on a side.
    table = field.sources.table
    inside = [np.abs(table[name] - 49.5) < 45 for name in "xy"]
    count = np.count_nonzero(inside[0] & inside[1] & (table["flux"] >= 3 * u.mJy))
    assert row["true"] == pytest.approx(count, abs=2)


def test_a_blurred_map_is_wider_and_keeps_its_light(field: Scene) -> None:
    sigma = math.sqrt(11.3**2 - 7.9**2) / 2.3548
    wide = Psf.gaussian(fwhm_pixels=11.3)
    scale = beam_area(wide, 1.0) / beam_area(field.fine.psf, 1.0)
    image = gaussian_filter(field.fine.data, sigma) * scale
    row = scored(answer(field, image, psf=wide), field)["all"]
    assert row["width"] == pytest.approx(11.3, rel=0.06)
    assert row["stated width"] == pytest.approx(11.3, rel=0.02)
    assert row["light"] == pytest.approx(1, abs=0.05)
    assert 0.5 < row["map corr"] < 0.97
    assert row["map RMS"] > 0.3
    assert row["compl 12"] == 1
    lost = scored(answer(field, 0.7 * field.fine.data + 0.5), field)["all"]
    assert lost["light"] == pytest.approx(0.7, rel=1e-3)  # a level is no light of sources
    assert lost["map corr"] == pytest.approx(1)
    mean = float(field.fine.data[30:-30, 30:-30].mean())
    assert lost["offset"] == pytest.approx(0.5 - 0.3 * mean, rel=1e-3)


def test_nothing_is_found_in_an_empty_answer(field: Scene) -> None:
    empty = catalogue(field, least=1e6)
    assert len(empty) == 0
    made = answer(field, np.zeros_like(field.fine.data), empty)
    rows = scored(made, field)
    row = rows["all"]
    assert row["compl 12"] == row["compl 5"] == row["counts"] == row["entries"] == 0
    assert math.isnan(row["purity 12"])
    assert math.isnan(row["map corr"])
    assert math.isnan(row["width"])
    truth = field.fine.data[30:-30, 30:-30].astype(float)
    assert row["map RMS"] == pytest.approx(np.sqrt(np.mean(truth**2)), rel=1e-6)
    assert row["light"] == 0
    assert "place" not in row
    # Without a catalogue the peaks of the map count, here none.
    told = {"psf": field.fine.psf, "grid": field.fine.grid}
    flat = scored(lambda _: Upsampling(np.zeros_like(field.fine.data), **told), field)["all"]
    assert flat["compl 12"] == flat["entries"] == 0


def test_peaks_of_the_map_are_the_catalogue_where_there_is_none(field: Scene) -> None:
    told = {"psf": field.fine.psf, "grid": field.fine.grid}
    rows = scored(lambda _: Upsampling(field.fine.data, **told), field)
    assert rows["> 9 mJy"]["compl 5"] > 0.9
    assert rows["> 9 mJy"]["ratio"] == pytest.approx(1, abs=0.15)  # a peak has its neighbors, too
    assert rows["all"]["purity 12"] > 0.9


def test_a_shifted_catalogue_is_no_better_than_chance(field: Scene) -> None:
    def moved(arcsec: float) -> Sources:
        return catalogue(field, x=lambda table: table["x"] + arcsec / 6)

    away = scored(answer(field, sources=moved(37.0)), field)["all"]
    for figure in ("compl", "purity", "half"):
        assert abs(away[f"{figure} 12"]) < 0.2
    assert away["raw purity 12"] > away["raw half 12"] > 0.1
    near = scored(answer(field, sources=moved(8.0)), field)["all"]
    assert near["raw compl 12"] > 0.95
    assert near["compl 5"] < 0.35
    assert near["place"] == pytest.approx(8.0, abs=0.01)


def test_fluxes_and_their_stated_errors(field: Scene) -> None:
    def faint(error: float) -> dict[str, dict[str, float]]:
        sources = catalogue(
            field,
            least=1.0,
            flux_err=lambda table: error * table["flux"].to(u.Jy),
            flux=lambda table: (0.8 * table["flux"]).to(u.Jy),
        )
        return scored(answer(field, sources=sources), field)

    rows = faint(0.21)
    for name in CLASSES:
        assert rows[name]["ratio"] == pytest.approx(0.8)
        assert rows[name]["true ratio"] == pytest.approx(0.8)
        assert rows[name]["flux 68"] == rows[name]["flux 95"] == 1
    assert rows["all"]["counts"] < 0.9
    rows = faint(0.15)
    assert rows["all"]["flux 68"] == 0
    assert rows["all"]["flux 95"] == 1


def test_what_entries_tell_of_themselves(field: Scene) -> None:
    rng = np.random.default_rng(1)
    honest = catalogue(
        field,
        least=3.0,
        reliability=lambda table: np.full(len(table), 0.75),
        completeness=lambda table: np.full(len(table), 0.9),
    )
    # A quarter of all is made up.
    count = len(honest) // 3
    made_up = QTable({"id": 10**6 + np.arange(count)})
    for name in "xy":
        made_up[name] = rng.uniform(5, 94, count)
    made_up["flux"] = np.full(count, 4.0) * u.mJy
    made_up["reliability"], made_up["completeness"] = np.full(count, 0.75), np.full(count, 0.9)
    both = Sources(vstack([honest.table, made_up]), grid=honest.grid)
    row = scored(answer(field, sources=both), field)["all"]
    assert row["told purity"] == pytest.approx(0.75)
    assert row["told compl"] == pytest.approx(0.9)
    assert row["reliability ECE"] == pytest.approx(abs(row["raw half 12"] - 0.75))
    # Where sources lie dense, chance is overrated: those that were found are no longer free.
    right = row["true"] / row["entries"]
    assert right == pytest.approx(0.75, abs=0.05)
    for figure in ("purity 12", "purity 5", "half 12", "half 5"):
        assert right - 0.2 < row[figure] <= right <= row[f"raw {figure}"] < right + 0.2
    assert row["half 5"] == pytest.approx(right, abs=0.05)
    titles = [p.axes.title for p in verdict(answer(field, sources=both), field).panels]
    assert "Reliability" in titles


def test_a_plugin_of_frames_gets_the_first_band_and_one_factor(field: Scene) -> None:
    given: list[Any] = []
    other = catalogue(field, flux=lambda table: 26.0 * table["flux"].value)  # of no unit
    made = answer(field, 3.0 * field.fine.data + 7.0, other)
    rows = scored(made, field, base=Alone, given=given)
    assert [frame.frame_id for frame in given] == [field.bands["250"].frame.frame_id]
    row = rows["all"]
    assert row["factor"] == pytest.approx(1 / 26)
    for name in CLASSES:
        assert rows[name]["ratio"] == pytest.approx(1)
        assert rows[name]["purity 12"] == rows[name]["compl 12"] == 1
    assert row["map RMS"] == pytest.approx(0, abs=1e-3)
    assert row["map corr"] == pytest.approx(1)
    assert not {"offset", "light"} & set(row)


def test_nothing_is_judged_where_the_first_band_sees_nothing(field: Scene) -> None:
    first = field.bands["250"]
    data = first.frame.data.copy()
    data[:, :50] = np.nan
    half = replace(first, frame=first.frame.replace(data=data))
    scene = Scene.of_bands({**field.bands, "250": half}, sources=field.sources, fine=field.fine)
    image = field.fine.data.copy()
    image[:, :300] = np.nan
    right = catalogue(field)
    right = Sources(right.table[right.table["x"] > 48], grid=right.grid)
    row, whole = (scored(answer(scene, image, right), one)["all"] for one in (scene, field))
    assert row["compl 12"] == row["purity 12"] == 1
    assert row["missing"] == row["map RMS"] == 0
    assert 0.2 < row["true"] / whole["true"] < 0.6
    # Where it was covered, what the map leaves out is told.
    assert whole["missing"] == pytest.approx(0.5, abs=0.01)
    assert whole["compl 12"] < 0.7


def test_other_pixels_and_units_are_brought_to_those_of_the_truth(field: Scene) -> None:
    grid = Grid.from_frame(field.frame).finer(3)
    part = field.fine.data.reshape(300, 2, 300, 2).mean(axis=(1, 3))
    psf = Psf.gaussian(fwhm_pixels=4.0)
    area = (beam_area(psf, 2.0) * u.arcsec**2).to(u.sr)
    image = (part * u.mJy / area).to(u.MJy / u.sr)
    fine = catalogue(field)
    table = fine.table.copy()
    for name in "xy":
        table[name] = (table[name] + 0.5) * 3 - 0.5
    made = answer(
        field, image.value, Sources(table, grid=grid), grid=grid, psf=psf, unit=image.unit
    )
    row = scored(made, field)["all"]
    assert row["place"] == pytest.approx(0, abs=1e-6)
    assert row["compl 5"] == 1
    assert row["map RMS"] < 0.1 * np.sqrt(np.mean(field.fine.data.astype(float) ** 2))
    assert row["map corr"] > 0.99
    assert row["width"] == pytest.approx(8.1, abs=0.3)


def test_fields_are_pooled(field: Scene) -> None:
    once, twice = scored(answer(field), field), scored(answer(field), field, field)
    assert set(once) == set(twice)
    for name, row in once.items():
        assert twice[name]["true"] == 2 * row["true"]
        for figure in ("compl 12", "half 5", "ratio", "place"):
            assert twice[name][figure] == pytest.approx(row[figure])
    for figure in ("map corr", "width", "light"):
        assert twice["all"][figure] == pytest.approx(once["all"][figure])


def test_panels_show_what_the_table_tells(field: Scene) -> None:
    panels = {p.axes.title: p for p in verdict(answer(field), field).panels}
    assert set(panels) == {"Completeness", "Purity", "Counts", "Fluxes", "Flux ratio", "Offsets"}
    for title in ("Completeness", "Purity", "Counts"):
        (curve,) = panels[title].marks
        assert len(curve.x) > 3
        assert set(curve.y) == {1.0}
    (points,) = panels["Fluxes"].marks
    assert points.x == points.y
    assert not points.joined
    (steps,) = panels["Offsets"].marks
    assert max(steps.y) == 1.0
    assert steps.x[:2] == (0.0, 1.0)


def test_catalogues_without_flux_densities_are_refused(field: Scene) -> None:
    bare = catalogue(field, flux=lambda table: table["flux"].value)
    with pytest.raises(ContractError, match=r"must be a flux density.*no unit"):
        scored(answer(field, sources=bare), field)
    none = catalogue(field)
    none = Sources(none.table["id", "x", "y"], grid=none.grid)
    with pytest.raises(ContractError, match="must have a column 'flux'"):
        scored(answer(field, sources=none), field)
    with pytest.raises(UnitError, match="flux density per beam"):
        scored(answer(field, unit=u.electron), field)


def test_scenes_that_tell_too_little_are_refused(field: Scene) -> None:
    def without(**fields: Any) -> Scene:
        told = {"sources": field.sources, "fine": field.fine, **fields}
        return Scene.of_bands(field.bands, **told)

    evaluation = SuperresEvaluation()
    assert isinstance(evaluation, JudgesJointly)
    assert not isinstance(evaluation, JudgesSets)
    assert evaluation.has_joint_truth(field)
    assert not evaluation.has_joint_truth(field.bands["250"])
    with pytest.raises(ConfigurationError, match="no true sources with fluxes"):
        scored(answer(field), without(sources=None))
    bare = replace(field.fine, grid=replace(field.fine.grid, wcs=None))
    with pytest.raises(ConfigurationError, match="size of its pixels"):
        scored(answer(field), without(fine=bare))
    assert not evaluation.has_joint_truth(without(fine=None))
    with pytest.raises(ConfigurationError, match="--simulator finer"):
        scored(answer(field), without(fine=None))


def test_the_factor_of_another_band_is_not_drawn_to_what_happens_to_be_bright(field: Scene) -> None:
    rng = np.random.default_rng(4)

    def other_band(table: Any) -> Any:
        return 26.0 * table["flux"].value * 10 ** rng.normal(0, 0.15, len(table))

    rows = scored(answer(field, sources=catalogue(field, flux=other_band)), field, base=Alone)
    # Of galaxies that are bright in either band alone the other is fainter, and the factor off.
    assert rows["all"]["factor"] == pytest.approx(1 / 26, rel=0.1)
    assert rows["> 9 mJy"]["ratio"] > 1 > rows["> 9 mJy"]["true ratio"] * 0.95
