"""The evaluation of each kind on scenes with known answers: perfect, blind and biased plugins."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tiny_scenes

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.psf.psf import Psf
from astroclean.core.sources.holes import HoleRule
from astroclean.core.sources.sources import Sources
from astroclean.core.stage.kinds.deblend import Deblender
from astroclean.core.stage.kinds.deconvolve import Deconvolver
from astroclean.core.stage.kinds.mask import Masker
from astroclean.core.stage.kinds.remove import SourceRemover
from astroclean.core.stage.needs import Needs
from astroclean.core.stage.results import Deconvolution, Mask, Removal, Separation
from astroclean.errors import ConfigurationError, StageError
from astroclean.evaluation.contest import Contestant, hold_contest
from astroclean.evaluation.deblend import DeblendEvaluation
from astroclean.evaluation.deconvolve import DeconvolveEvaluation
from astroclean.evaluation.evaluation import Poolable, Trial
from astroclean.evaluation.holes import truth_of_holes
from astroclean.evaluation.inject import inject_sources
from astroclean.evaluation.mask import MaskEvaluation
from astroclean.evaluation.metrics.remove import local_scatter
from astroclean.evaluation.remove import RemoveEvaluation
from astroclean.evaluation.target import TARGET, true_image
from astroclean.simulate.scene import ClassTruth, Scene

if TYPE_CHECKING:
    from astroclean.core.image.frame import Frame

SHAPE = (100, 120)


class AnyMasker(Masker):
    sets = MaskPlane.COSMIC_RAY | MaskPlane.HOT_LINE | MaskPlane.TRAIL
    answer: Any = None

    def find(self, frame: Frame) -> Mask:
        return type(self).answer(frame)


class AnyRemover(SourceRemover):
    answer: Any = None
    asks: frozenset[str] = frozenset()

    def needs(self) -> Needs:
        return Needs(self.asks)

    def remove(self, frame: Frame) -> Removal:
        return type(self).answer(frame)


class AnyDeblender(Deblender):
    answer: Any = None

    def separate(self, frame: Frame) -> Separation:
        return type(self).answer(frame)


class AnyDeconvolver(Deconvolver):
    answer: Any = None

    def deconvolve(self, frame: Frame) -> Deconvolution:
        return type(self).answer(frame)


def plugin(base: type, answer: Any, **fields: Any) -> Any:
    """A stage of a kind that gives a set answer."""
    return type("Toy", (base,), {"answer": staticmethod(answer), **fields})()


def scored(evaluation: Any, stage: Any, *scenes: Scene) -> dict[str, dict[str, float]]:
    verdict = hold_contest(evaluation, [Contestant("toy", stage)], scenes)
    assert all(set(row.values) <= _names(evaluation) for row in verdict.rows)
    return {row.of: dict(row.values) for row in verdict.rows}


def _names(evaluation: Any) -> set[str]:
    return {column.name for column in evaluation.columns} | {"speed", "time"}


def contaminated() -> Scene:
    return tiny_scenes.contaminated(seed=3, shape=SHAPE)


def test_a_perfect_masker_gets_one_and_a_blind_one_nothing() -> None:
    scene = contaminated()
    perfect = plugin(AnyMasker, lambda _: Mask(scene.planes & np.uint32(AnyMasker.sets)))
    rows = scored(MaskEvaluation(), perfect, scene)
    assert set(rows) == {"CR", "HCL", "TRL"}
    nothing = rows.pop("TRL")  # none there, and none found: that is a score as well
    assert (nothing["pixels"], nothing["FPR"]) == (0, 0)
    assert math.isnan(nothing["TPR"])
    for row in rows.values():
        assert (row["TPR"], row["FPR"], row["purity"]) == (1, 0, 1)
        assert row["MCC"] == pytest.approx(1)
        assert row["C(1e-4)"] == 1
        assert "AUC" not in row
        assert row["masks"] == 1
    blind = plugin(AnyMasker, lambda _: Mask(np.zeros(SHAPE, np.uint32)))
    row = scored(MaskEvaluation(), blind, scene)["CR"]
    assert (row["MCC"], row["TPR"], row["FPR"]) == (0, 0, 0)
    assert math.isnan(row["C(1e-3)"])


@pytest.mark.slow
def test_probabilities_make_the_curve() -> None:
    scene = contaminated()
    true = (scene.planes & np.uint32(MaskPlane.COSMIC_RAY)) != 0

    def unsure(frame: Frame) -> Mask:
        nothing = np.zeros(SHAPE, np.uint32)
        return Mask(nothing, {"CR": np.where(true, 0.4, 0.1).astype(np.float32)})

    stage = plugin(AnyMasker, unsure)
    row = scored(MaskEvaluation(), stage, scene, scene)["CR"]
    assert (row["AUC"], row["MCC"], row["C(1e-4)"]) == (1, 0, 1)
    assert "masks" not in row
    assert row["best MCC"] == pytest.approx(1)
    panels = hold_contest(MaskEvaluation(), [Contestant("toy", stage)], [scene]).panels
    assert [p.axes.title for p in panels] == [
        *("CR: ROC", "CR: MCC", "CR: calibration"),
        "HCL: ROC",
    ]
    curve, point = panels[0].marks
    assert (point.joined, point.x, point.y) == (False, (0.0,), (0.0,))  # the mask is empty
    assert curve.joined
    assert 1.0 in curve.y[: curve.x.index(1.0)]
    (mcc,) = panels[1].marks
    best = [t for t, value in zip(mcc.x, mcc.y, strict=True) if value == max(mcc.y)]
    assert 0.1 < min(best) < max(best) < 0.401


def test_memory_does_not_grow_with_scenes_and_the_order_does_not_matter() -> None:
    evaluation, stage = MaskEvaluation(), plugin(AnyMasker, _every_tenth)
    scenes = [tiny_scenes.contaminated(seed=seed, shape=SHAPE) for seed in (3, 4, 5)]
    trials = [Trial(one, stage, one.frame, stage.run(one.frame)) for one in scenes]
    first, second, third = (evaluation.measure(trial) for trial in trials)
    listed = evaluation.rows([first, second, third])
    kept = third.pooled(first).pooled(second)
    assert isinstance(first, Poolable)
    assert repr(listed) == repr(evaluation.rows([kept]))  # repr: NaN is not equal to itself
    contest = scored(evaluation, stage, *scenes)
    assert [row.of for row in listed] == list(contest)
    for row in listed:
        assert row.values["FPR"] == contest[row.of]["FPR"]
        assert row.values["pixels"] == contest[row.of]["pixels"]


def _every_tenth(frame: Frame) -> Mask:
    flags = np.zeros(frame.shape, np.uint32)
    flags[::10] = MaskPlane.COSMIC_RAY
    return Mask(flags, {"CR": np.where(flags, 0.9, 0.2).astype(np.float32)})


def test_classes_that_the_truth_names_are_answered_by_any_of_their_planes() -> None:
    frame = contaminated().frame
    lines, unsure = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    lines[:, 5], unsure[50:, 5] = True, True
    answers = MaskPlane.HOT_LINE | MaskPlane.DEAD_LINE
    classes = {
        "line": ClassTruth(lines, answers),
        "upper": ClassTruth(lines & ~unsure, answers, ignored=unsure),
        "persistence": ClassTruth(lines, MaskPlane.PERSISTENCE),
    }
    flags = np.zeros(SHAPE, np.uint32)
    flags[:, 5] = MaskPlane.HOT_LINE
    flags[:, 7] = MaskPlane.COSMIC_RAY  # another class: no false alarm for lines
    rows = scored(
        MaskEvaluation(), plugin(AnyMasker, lambda _: Mask(flags)), Scene(frame, classes=classes)
    )
    assert set(rows) == {"line", "upper"}  # the plugin knows no persistence
    assert rows["line"]["pixels"] == SHAPE[0]
    assert rows["upper"]["pixels"] == 50
    for row in rows.values():
        assert (row["TPR"], row["FPR"], row["purity"]) == (1, 0, 1)


def test_a_sweep_makes_the_curve_of_a_plugin_without_probabilities() -> None:
    scene = contaminated()
    true = scene.planes & np.uint32(MaskPlane.COSMIC_RAY)
    everything = plugin(AnyMasker, lambda _: Mask(np.ones(SHAPE, np.uint32)))
    strict = plugin(AnyMasker, lambda _: Mask(true))
    contestant = Contestant("toy", everything, (strict,))
    row = hold_contest(MaskEvaluation(), [contestant], [scene]).rows[0]
    assert (row.values["TPR"], row.values["FPR"]) == (1, 1)
    assert row.values["C(1e-4)"] == 1
    assert row.values["best MCC"] == pytest.approx(1)
    assert (row.values["masks"], row.values["AUC"]) == (2, 1)


def test_pixels_that_nobody_may_judge_are_left_out() -> None:
    scene = contaminated()
    wrong = np.zeros(SHAPE, dtype=bool)
    wrong[40:60] = True
    unknown = replace(scene, ignored=wrong)
    rejected = replace(scene, frame=scene.frame.add_planes(wrong, "BAD_PIXEL"))
    stage = plugin(
        AnyMasker, lambda _: Mask(np.where(wrong, 1, scene.planes & np.uint32(1)).astype("u4"))
    )
    for each in (unknown, rejected):
        row = scored(MaskEvaluation(), stage, each)["CR"]
        assert (row["FPR"], row["TPR"]) == (0, 1)
    assert scored(MaskEvaluation(), stage, scene)["CR"]["FPR"] > 0.1


def test_flags_of_the_frame_are_not_credited_to_the_plugin() -> None:
    scene = contaminated()
    flagged = replace(scene, frame=scene.frame.add_planes(np.ones(SHAPE, bool), "FRINGE"))
    stage = plugin(AnyMasker, lambda _: Mask(np.zeros(SHAPE, np.uint32)))
    assert "FR" not in scored(MaskEvaluation(), stage, flagged)


def noise_in_scatter(scene: Scene) -> float:
    """Noise over local scatter in the holes, typically: the rest of the scatter is structure."""
    truth = truth_of_holes(scene)
    return float(np.median(tiny_scenes.SIGMA / local_scatter(truth.beneath)[truth.holes]))


def test_the_true_background_is_a_perfect_filling() -> None:
    scene = tiny_scenes.cirrus(seed=2, shape=SHAPE)

    def filled(frame: Frame) -> Removal:
        holes = frame.where("BAD_PIXEL")
        assert holes.any()
        return Removal(np.where(holes, scene.background, frame.data), holes)

    rows = scored(RemoveEvaluation(), plugin(AnyRemover, filled), scene)
    assert rows["all"]["hole mean"] < 1e-4
    noise = noise_in_scatter(scene)
    assert rows["all"]["fit hole median"] == pytest.approx(0.6745 * noise, rel=0.05)
    assert rows["S/N 140-300"]["flux"] == pytest.approx(1, abs=0.01)
    assert sum(r["holes"] for name, r in rows.items() if name != "all") == rows["all"]["holes"]


@pytest.mark.parametrize("stated", [0.5, 1.0, 2.0])
def test_a_stated_uncertainty_is_held_against_the_errors(stated: float) -> None:
    scene = tiny_scenes.cirrus(seed=2, shape=SHAPE)
    rng = np.random.default_rng(1)

    def filled(frame: Frame) -> Removal:
        holes = frame.where("BAD_PIXEL")
        error = tiny_scenes.SIGMA * rng.standard_normal(SHAPE)
        told = np.full(SHAPE, stated * tiny_scenes.SIGMA)
        return Removal(np.where(holes, scene.background + error, frame.data), holes, told)

    row = scored(RemoveEvaluation(), plugin(AnyRemover, filled), scene)["all"]
    assert row["stated"] == pytest.approx(1 / stated, rel=0.1)
    assert row["within"] == pytest.approx(math.erf(stated / math.sqrt(2)), abs=0.05)
    silent = plugin(AnyRemover, lambda frame: Removal(frame.data, np.zeros(SHAPE, bool)))
    bare = replace(scene, frame=scene.frame.replace(uncertainty=None))
    assert math.isnan(scored(RemoveEvaluation(), silent, bare)["all"]["stated"])


def test_a_filler_that_leaves_the_sources_has_taken_out_nothing() -> None:
    scene = tiny_scenes.cirrus(seed=2, shape=SHAPE)
    idle = plugin(AnyRemover, lambda frame: Removal(frame.data, np.zeros(SHAPE, bool)))
    rows = scored(RemoveEvaluation(), idle, scene)
    assert len(rows) > 3
    for row in rows.values():
        assert (row["flux"], row["flux IQR"], row["flux error"]) == (0, 0, 1)
    assert rows["all"]["IQR error"] == 0
    assert rows["S/N 140-300"]["hole mean"] > 2 * rows["S/N 4-8"]["hole mean"]


def test_holes_grow_with_the_snr_and_the_true_psf() -> None:
    scene = tiny_scenes.cirrus(seed=2, shape=SHAPE)
    truth = truth_of_holes(scene)
    sizes = HoleRule().in_pixels(fwhm_pixels=scene.frame.psf.fwhm_pixels)
    for row in scene.sources.table:
        number = truth.labels[round(row["y"]), round(row["x"])]
        area = np.count_nonzero(truth.labels == number)
        radius = sizes.radii_of(truth.snr[number - 1 : number])[0]
        assert area >= 0.95 * math.pi * radius**2 or not 12 < row["x"] < 107
    # What stages are told changes nothing: neither a wrong PSF nor wrong positions.
    table = scene.sources.table.copy()
    table["x"] += 4.0
    wrong = replace(
        scene,
        frame=scene.frame.replace(psf=Psf.gaussian(fwhm_pixels=6.0)),
        psf=scene.frame.psf,
        catalogue=Sources(table),
    )
    np.testing.assert_array_equal(truth_of_holes(wrong).labels, truth.labels)
    wide = replace(scene, frame=wrong.frame)
    assert truth_of_holes(wide).holes.sum() > 1.5 * truth.holes.sum()
    with pytest.raises(ConfigurationError, match="--psf-fwhm"):
        truth_of_holes(replace(scene, frame=scene.frame.replace(psf=None)))


def test_rejected_pixels_are_in_no_hole_and_do_not_cut_one() -> None:
    scene = tiny_scenes.cirrus(seed=2, shape=SHAPE)
    bad = np.zeros(SHAPE, bool)
    bad[:, 50], bad[30] = True, True
    data = np.where(bad, np.nan, scene.frame.data)
    unknown = np.eye(*SHAPE, dtype=bool)
    ragged = replace(scene, frame=scene.frame.replace(data=data), ignored=unknown)
    truth, whole = truth_of_holes(ragged), truth_of_holes(scene)
    assert not truth.holes[bad | unknown].any()
    assert len(truth.snr) == truth.labels.max() <= len(whole.snr)
    assert np.isfinite(truth.snr).all()


def test_touching_holes_have_the_largest_snr_of_their_sources() -> None:
    places, flux = np.array([[40.0, 50.0], [48.0, 50.0], [90.0, 50.0]]), np.array([200, 6000, 200])
    scene = tiny_scenes.scene_of(places, flux, seed=1, shape=SHAPE, axes=(1.3, 1.3))
    truth = truth_of_holes(scene)
    assert truth.labels[50, 40] == truth.labels[50, 48] != truth.labels[50, 90]
    assert truth.snr[truth.labels[50, 40] - 1] > 50 > truth.snr[truth.labels[50, 90] - 1]
    assert len(truth.snr) == 2


def test_a_catalogue_that_errs_is_what_stages_are_given() -> None:
    scene = tiny_scenes.cirrus(seed=2, shape=SHAPE)
    few = Sources(scene.sources.table[:3])
    seen = []

    def removed(frame: Frame) -> Removal:
        seen.append(len(frame.sources))
        return Removal(frame.data, np.zeros(SHAPE, bool))

    stage = plugin(AnyRemover, removed, asks=frozenset({"sources"}))
    scored(RemoveEvaluation(), stage, replace(scene, catalogue=few))
    assert seen == [3]


def test_a_perfect_subtraction_keeps_the_noise() -> None:
    scene = tiny_scenes.cirrus(seed=2, shape=SHAPE)
    light = scene.clean - scene.background

    def subtracted(frame: Frame, share: float = 1.0) -> Removal:
        assert not frame.where("BAD_PIXEL").any()
        assert frame.sources is not None
        return Removal(frame.data - share * light, np.ones(SHAPE, bool))

    asks = {"asks": frozenset({"sources"})}
    row = scored(RemoveEvaluation(), plugin(AnyRemover, subtracted, **asks), scene)["all"]
    assert row["fit hole median"] < 1e-3
    assert row["hole median"] == pytest.approx(0.6745 * noise_in_scatter(scene), rel=0.05)
    assert row["flux"] == pytest.approx(1, abs=1e-4)
    assert row["flux error"] < 1e-4
    for name in ("power", "PDF mean", "PDF median", "PDF std", "PDF skew", "PDF IQR"):
        assert row[name] < 1e-3, name
    assert row["KS"] < 0.01
    half = plugin(AnyRemover, lambda frame: subtracted(frame, 0.5), **asks)
    assert scored(RemoveEvaluation(), half, scene)["all"]["flux"] == pytest.approx(0.5, abs=0.01)


def test_fillers_are_scored_on_contaminants_where_there_are_no_sources() -> None:
    scene = contaminated()

    def filled(frame: Frame) -> Removal:
        return Removal(np.where(frame.mask, scene.clean + 1.0, frame.data), frame.mask)

    row = scored(RemoveEvaluation(), plugin(AnyRemover, filled), scene)["all"]
    assert 0 < row["hole median"] < 1
    assert math.isnan(row["flux"])
    assert math.isnan(row["fit hole mean"]), "what the noise would be there is not known"
    with pytest.raises(ConfigurationError, match="cannot be scored"):
        scored(RemoveEvaluation(), plugin(AnyRemover, filled), replace(scene, clean=None))


def test_on_real_frames_the_noiseless_background_is_not_known() -> None:
    frame = tiny_scenes.cirrus(seed=2, shape=SHAPE).frame
    scene = inject_sources(frame.replace(sources=None), seed=1)
    stage = plugin(AnyRemover, lambda f: Removal(np.where(f.mask, frame.data, f.data), f.mask))
    row = scored(RemoveEvaluation(), stage, scene)["all"]
    assert row["hole mean"] == row["fit hole mean"]


def test_the_true_catalogue_is_a_perfect_deblending() -> None:
    scene = tiny_scenes.blends(seed=2, shape=SHAPE)

    def separated(frame: Frame) -> Separation:
        assert frame.sources is None
        return Separation(scene.sources)

    rows = scored(DeblendEvaluation(), plugin(AnyDeblender, separated), scene)
    assert (rows["all"]["completeness"], rows["all"]["purity"], rows["all"]["F1"]) == (1, 1, 1)
    assert rows["all"]["soft IoU"] == 1
    assert rows["all"]["dm"] == rows["all"]["scatter"] == 0
    assert (rows["all"]["bias"], rows["all"]["ratio scatter"]) == (0, 0)
    assert rows["all"]["cosine"] == pytest.approx(1)
    assert rows["all"]["KS"] == rows["all"]["duplicates"] == rows["all"]["unrecognized"] == 0
    assert rows["all"]["chi2"] == pytest.approx(1, abs=0.15)
    assert {"isolated", "S/N > 100"} <= set(rows)


@pytest.mark.filterwarnings("ignore:.*sources lie off the frame")
def test_fluxes_misses_and_false_sources_are_seen() -> None:
    scene = tiny_scenes.blends(seed=2, shape=SHAPE)
    true = scene.sources
    table = true.table[: len(true) // 2].copy()
    table["flux"] = table["flux"] / 2
    table["x"][0] += 400.0
    stage = plugin(AnyDeblender, lambda _: Separation(Sources(table)))
    row = scored(DeblendEvaluation(), stage, scene)["all"]
    found = len(table) - 1
    assert row["completeness"] == found / len(true)
    assert row["purity"] == found / len(table)
    assert row["dm"] == pytest.approx(2.5 * math.log10(2))
    assert math.isnan(row["soft IoU"])


def test_purity_is_not_told_where_a_frame_has_sources_of_its_own() -> None:
    scene = inject_sources(tiny_scenes.blends(seed=2, shape=SHAPE).frame, seed=1)
    stage = plugin(AnyDeblender, lambda _: Separation(scene.sources))
    row = scored(DeblendEvaluation(), stage, scene)["all"]
    assert row["completeness"] == 1
    assert "purity" not in row


def test_the_image_at_the_target_is_a_perfect_deconvolution() -> None:
    scene = tiny_scenes.stamps(seed=2, shape=SHAPE)
    perfect = plugin(AnyDeconvolver, lambda _: Deconvolution(true_image(scene), TARGET))
    row = scored(DeconvolveEvaluation(), perfect, scene)["all"]
    assert row["PSNR"] > 100
    assert row["1-SSIM"] == pytest.approx(0, abs=1e-6)
    assert row["size"] == pytest.approx(0, abs=1e-4)
    assert math.isnan(row["leak"])  # there are no pairs
    idle = plugin(AnyDeconvolver, lambda frame: Deconvolution(scene.clean, frame.psf))
    row = scored(DeconvolveEvaluation(), idle, scene)["all"]
    wider = math.hypot(2, 3 / 2.3548) / math.hypot(2, 2 / 2.3548)
    assert row["size"] == pytest.approx(wider - 1, abs=0.01)
    assert row["gain"] > 0  # without noise, at least
    assert row["sources"] == 30


def test_scenes_without_the_truth_of_a_kind_are_refused() -> None:
    scene = replace(contaminated(), sources=None)
    deblender = plugin(AnyDeblender, lambda _: Separation(Sources(_no_table())))
    with pytest.raises(ConfigurationError, match="no true sources"):
        scored(DeblendEvaluation(), deblender, scene)
    deconvolver = plugin(AnyDeconvolver, lambda frame: Deconvolution(frame.data, frame.psf))
    with pytest.raises(ConfigurationError, match="before the PSF"):
        scored(DeconvolveEvaluation(), deconvolver, scene)
    with pytest.raises(ConfigurationError, match="leave out"):
        DeconvolveEvaluation().inject(scene.frame, seed=1)


def _no_table() -> Any:
    return tiny_scenes.blends(seed=1, shape=(40, 40)).sources.table[:0]


def test_needs_that_scenes_do_not_meet_are_named() -> None:
    scene = tiny_scenes.stamps(seed=2, shape=SHAPE)
    bare = replace(scene, frame=scene.frame.replace(psf=None))
    stage = plugin(AnyDeconvolver, lambda frame: Deconvolution(frame.data, frame.psf))
    with pytest.raises(ConfigurationError, match=r"toy needs 'psf'.*--psf-fwhm"):
        scored(DeconvolveEvaluation(), stage, bare)


def test_the_catalogue_of_a_deblender_takes_the_place_of_the_truth() -> None:
    scene = tiny_scenes.cirrus(seed=2, shape=SHAPE)
    few = Sources(scene.sources.table[:2])
    helper = plugin(AnyDeblender, lambda _: Separation(few))
    seen = []

    def removed(frame: Frame) -> Removal:
        seen.append(len(frame.sources))
        return Removal(frame.data, np.zeros(SHAPE, bool))

    stage = plugin(AnyRemover, removed, asks=frozenset({"sources"}))
    for catalogue in (None, helper):
        contestants = [Contestant("toy", stage)]
        hold_contest(RemoveEvaluation(), contestants, [scene], catalogue=catalogue)
    assert seen == [len(scene.sources), 2]


def test_a_plugin_that_fails_is_named() -> None:
    def failing(frame: Frame) -> Mask:
        raise ZeroDivisionError("by zero")

    with pytest.raises(StageError, match=r"ZeroDivisionError: by zero.*fault of the plugin"):
        scored(MaskEvaluation(), plugin(AnyMasker, failing), contaminated())
