"""Kinds on sets of bands: given together or one by one, scored joined and band by band."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny_scenes
from astropy.wcs import WCS

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.image.frameset import FrameSet
from astroclean.core.image.grid import Grid
from astroclean.core.psf.psf import Psf
from astroclean.core.sources.sources import Sources
from astroclean.core.stage.kinds.deblend import Deblender
from astroclean.core.stage.kinds.mask import Masker
from astroclean.core.stage.needs import Needs
from astroclean.core.stage.results import Mask, Separation
from astroclean.errors import ConfigurationError
from astroclean.evaluation.contest import Contestant, hold_contest
from astroclean.evaluation.deblend import DeblendEvaluation
from astroclean.evaluation.evaluation import JudgesSets, Trial
from astroclean.evaluation.inject import inject_source_set
from astroclean.evaluation.mask import MaskEvaluation
from astroclean.evaluation.remove import RemoveEvaluation
from astroclean.simulate.scene import Scene

SHAPE = (100, 120)
FLUX = np.array([400.0, 900.0, 2000.0, 700.0, 20.0])
PLACES = np.array([[20.0, 20.0], [50.0, 30.0], [90.0, 70.0], [40.0, 80.0], [100.0, 20.0]])


def two_bands() -> Scene:
    """The same sources, redder in r, which has pixels of half the size; one is seen in r alone."""
    red = FLUX * 2 * np.array([1, 1, 1, 1, 20])
    axes = {"axes": (1.3, 1.3)}
    scenes = {
        "g": tiny_scenes.scene_of(PLACES, FLUX, seed=1, shape=SHAPE, **axes),
        "r": tiny_scenes.scene_of(2 * PLACES + 0.5, red, seed=2, shape=(200, 240), **axes),
    }
    return Scene.of_bands(scenes, notes={"fields": 1.0})


class Alone(Deblender):
    """One frame at a time."""

    given: Any = None
    answer: Any = None

    def separate(self, frame: Any) -> Any:
        self.given.append(frame)
        return type(self).answer(frame)


class Together(Alone):
    accepts = frozenset({"set"})

    def needs(self) -> Needs:
        return Needs(bands=("g", "r"), aligned=False)


def stage(base: type, answer: Any, given: list[Any]) -> Any:
    return type("Toy", (base,), {"answer": staticmethod(answer), "given": given})()


def scored(evaluation: Any, made: Any, *scenes: Scene, **words: Any) -> dict[str, dict[str, float]]:
    rows = hold_contest(evaluation, [Contestant("toy", made)], scenes, **words).rows
    assert len({row.of for row in rows}) == len(rows)
    return {row.of: dict(row.values) for row in rows}


def without(sources: Sources, ids: set[int]) -> Sources:
    keep = [int(i) not in ids for i in sources.table["id"]]
    return Sources(sources.table[keep], None, tuple(s for s in sources.stamps if s.id not in ids))


def test_a_scene_of_several_bands_holds_a_scene_of_each() -> None:
    scene = two_bands()
    assert scene.frames.bands == ("g", "r")
    assert not scene.frames.aligned
    assert scene.bands["r"].frame.shape == (200, 240)
    assert scene.frame is scene.bands["g"].frame
    assert scene.clean is scene.planes is None  # nobody takes the truth of g for that of all
    single = scene.bands["g"]
    assert single.by_band == {"": single}
    assert single.frames[""] is single.frame


def test_a_plugin_of_sets_gets_the_bands_together_and_is_scored_on_all_and_each() -> None:
    scene, given = two_bands(), []

    def answer(frames: FrameSet) -> dict[str, Separation]:
        assert all(frames[band].sources is None for band in frames)
        return {band: Separation(one.sources) for band, one in scene.bands.items()}

    assert isinstance(DeblendEvaluation(), JudgesSets)
    rows = scored(DeblendEvaluation(), stage(Together, answer, given), scene)
    assert len(given) == 1
    assert given[0].bands == ("g", "r")
    for name in ("all", "g: all", "r: all"):
        assert (rows[name]["completeness"], rows[name]["dm"], rows[name]["soft IoU"]) == (1, 0, 1)
    # The faint one has an S/N below 5 in g; together both bands show it.
    assert (rows["g: all"]["sources"], rows["r: all"]["sources"], rows["all"]["sources"]) == (
        4,
        5,
        5,
    )
    assert rows["all"]["color"] == rows["all"]["color scatter"] == 0
    assert "color" not in rows["g: all"]
    assert rows["all"]["purity"] == 1


def test_a_plugin_of_frames_gets_them_one_by_one() -> None:
    scene, given = two_bands(), []
    by_id = {one.frame.shape: one.sources for one in scene.bands.values()}
    made = stage(Alone, lambda frame: Separation(by_id[frame.shape]), given)
    rows = scored(DeblendEvaluation(), made, scene)
    assert [frame.shape for frame in given] == [SHAPE, (200, 240)]
    assert rows["all"]["F1"] == 1


def test_what_is_missed_in_one_band_is_found_in_the_other() -> None:
    scene = two_bands()
    lost = {"g": {1}, "r": {2, 3}}

    def answer(frames: FrameSet) -> dict[str, Separation]:
        found = {b: without(scene.bands[b].sources, lost[b]) for b in frames}
        found["r"].table["flux"] = found["r"].table["flux"] * 0.8
        return {band: Separation(sources) for band, sources in found.items()}

    rows = scored(DeblendEvaluation(), stage(Together, answer, []), scene)
    assert rows["g: all"]["completeness"] == 0.75
    assert rows["r: all"]["completeness"] == 0.6
    assert rows["all"]["completeness"] == 1
    # Sources 4 and 5 are seen in both bands; red is told too faint there.
    assert rows["all"]["color"] == pytest.approx(2.5 * math.log10(0.8))
    lost = {"g": {3}, "r": {3}}
    rows = scored(DeblendEvaluation(), stage(Together, answer, []), scene)
    assert rows["all"]["completeness"] == 0.8


def test_one_catalogue_for_all_bands_is_read_on_the_pixels_that_it_names() -> None:
    bare = two_bands()
    wcs = {}
    for band, scale in (("g", 1.0), ("r", 0.5)):
        ny, nx = bare.bands[band].frame.shape
        wcs[band] = WCS(naxis=2)
        wcs[band].wcs.ctype, wcs[band].wcs.crval = ("RA---TAN", "DEC--TAN"), (10.0, 20.0)
        wcs[band].wcs.cdelt = -scale / 3600, scale / 3600
        wcs[band].wcs.crpix = (nx + 1) / 2, (ny + 1) / 2
    scene = Scene.of_bands(
        {
            band: replace(one, frame=one.frame.replace(wcs=wcs[band]))
            for band, one in bare.bands.items()
        }
    )
    g, r = (scene.bands[band].sources for band in "gr")
    table = g.table["id", "x", "y"].copy()
    table["flux_g"], table["flux_r"] = g.table["flux"], r.table["flux"]
    stamps = tuple(replace(s, band=b) for b, own in (("g", g), ("r", r)) for s in own.stamps)
    joint = Sources(table, None, stamps, Grid.from_frame(scene.frame))
    results = []

    def answer(frames: FrameSet) -> dict[str, Separation]:
        return {band: Separation(joint) for band in frames}

    class Kept(DeblendEvaluation):
        def measure(self, trial: Trial) -> Any:
            results.append(trial.result.frame.sources)
            return super().measure(trial)

    rows = scored(Kept(), stage(Together, answer, []), scene)
    for name in ("all", "g: all", "r: all"):
        assert rows[name]["completeness"] == rows[name]["soft IoU"] == 1
        assert rows[name]["dm"] == 0
    # Its places of the sky are those of the pixels that it counts in, in every band.
    sky = wcs["g"].pixel_to_world(table["x"], table["y"])
    for sources in results:
        np.testing.assert_allclose(sources.table["ra"].value, sky.ra.deg, atol=1e-9)


def test_scores_add_up_over_scenes_and_single_scenes_stay_as_they_are() -> None:
    scene = two_bands()

    def answer(_frames: FrameSet) -> dict[str, Separation]:
        return {band: Separation(one.sources) for band, one in scene.bands.items()}

    rows = scored(DeblendEvaluation(), stage(Together, answer, []), scene, scene)
    assert rows["all"]["sources"] == 10
    single = scene.bands["r"]
    alone = stage(Alone, lambda _frame: Separation(single.sources), [])
    assert set(scored(DeblendEvaluation(), alone, single)) == {
        name.removeprefix("r: ") for name in rows if name.startswith("r: ")
    }


@pytest.mark.filterwarnings("ignore:.*sources lie off the frame")
def test_a_plugin_of_sets_needs_bands() -> None:
    scene = two_bands()
    made = stage(Together, lambda _: {}, [])
    with pytest.raises(ConfigurationError, match=r"several bands together.*simulator.bands=g,r"):
        scored(DeblendEvaluation(), made, scene.bands["g"])
    twisted = without(scene.bands["r"].sources, {3})
    bands = {**scene.bands, "r": replace(scene.bands["r"], sources=twisted)}
    alone = stage(Alone, lambda _frame: Separation(twisted), [])
    with pytest.raises(ConfigurationError, match="do not have the same sources"):
        scored(DeblendEvaluation(), alone, Scene.of_bands(bands))


class EveryTenth(Masker):
    sets = MaskPlane.COSMIC_RAY

    def find(self, frame: Frame) -> Mask:
        flags = np.zeros(frame.shape, np.uint32)
        flags[::10] = MaskPlane.COSMIC_RAY
        return Mask(flags)


def test_kinds_that_judge_frames_are_scored_on_each_band_and_on_all_pooled() -> None:
    bands = {b: tiny_scenes.contaminated(seed=i, shape=SHAPE) for i, b in enumerate("gr")}
    assert not isinstance(MaskEvaluation(), JudgesSets)
    rows = scored(MaskEvaluation(), EveryTenth(), Scene.of_bands(bands))
    pooled = scored(MaskEvaluation(), EveryTenth(), *bands.values())
    assert rows["CR"]["FPR"] == pooled["CR"]["FPR"]
    assert rows["CR"]["pixels"] == rows["g: CR"]["pixels"] + rows["r: CR"]["pixels"]


def test_the_deblender_that_gives_the_sources_gets_the_set() -> None:
    scene, given, seen = two_bands(), [], []
    few = {band: without(one.sources, {1, 2, 3}) for band, one in scene.bands.items()}
    helper = stage(Together, lambda frames: {b: Separation(few[b]) for b in frames}, given)

    class Looking(EveryTenth):
        def find(self, frame: Frame) -> Mask:
            seen.append(len(frame.sources))
            return super().find(frame)

    class Given(RemoveEvaluation):
        def measure(self, trial: Trial) -> Any:
            return None

        def rows(self, measured: Any) -> list[Any]:
            return []

        def panels(self, measured: Any) -> list[Any]:
            return []

    assert scored(Given(), Looking(), scene, catalogue=helper) == {}
    assert len(given) == 1
    assert seen == [2, 2]


def _empty_bands(*, offset: float = 0.0, wcs: bool = True) -> FrameSet:
    """Noise in two bands; red pixels have half the size, and lie elsewhere."""
    frames = {}
    for band, shape, scale in (("g", (120, 130), 1.0), ("r", (240, 260), 0.5)):
        noise = np.random.default_rng(1).normal(0, 2, shape).astype(np.float32)
        sky = WCS(naxis=2)
        sky.wcs.ctype, sky.wcs.cdelt = ("RA---TAN", "DEC--TAN"), (-scale / 3600, scale / 3600)
        sky.wcs.crpix = (shape[1] + 1) / 2 + offset * (band == "r"), (shape[0] + 1) / 2
        psf = Psf.gaussian(fwhm_pixels=3.0)
        frames[band] = Frame(noise, unit="adu", wcs=sky if wcs else None, psf=psf, frame_id=band)
    return FrameSet(frames)


def test_injected_sources_are_at_the_same_places_of_the_sky() -> None:
    frames = _empty_bands(offset=7.3)
    scene = inject_source_set(frames, seed=4)
    g, r = (scene.bands[band].sources.table for band in "gr")
    assert len(g) == len(r) > 3
    np.testing.assert_allclose(r["x"], 2 * g["x"] + 0.5 + 7.3, atol=1e-3)
    np.testing.assert_allclose(r["y"], 2 * g["y"] + 0.5, atol=1e-3)
    for band, one in scene.bands.items():
        added = one.frame.data - frames[band].data
        assert added.sum() == pytest.approx(one.sources.table["flux"].value.sum(), rel=1e-3)
    assert list(scene.sources.table["flux_g"]) == list(g["flux"])
    assert 0.1 < np.std(np.log10(r["flux"] / g["flux"])) < 1
    again = inject_source_set(frames, seed=4)
    np.testing.assert_array_equal(again.bands["r"].frame.data, scene.bands["r"].frame.data)


def test_bands_that_nothing_brings_together_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="no celestial WCS"):
        inject_source_set(_empty_bands(wcs=False), seed=1)
    bare = FrameSet({b: f.replace(psf=None) for b, f in _empty_bands().frames.items()})
    with pytest.raises(ConfigurationError, match="only be added with a PSF"):
        inject_source_set(bare, seed=1)
