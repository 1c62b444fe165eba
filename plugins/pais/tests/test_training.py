"""Trainings of finder and profiles run, go on, lower losses, and leave what the stage uses."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astroclean_pais.detect import detections_of
from astroclean_pais.stage import PaisDeblender, PaisOptions
from astroclean_pais.train import scenes
from astroclean_pais.train.finder import FinderRecipe, FinderSampleMaker, FinderTrainer
from astroclean_pais.train.labels import COLUMNS, maps_of
from astroclean_pais.train.profile import (
    ProfileRecipe,
    ProfileTrainer,
    _normalized,
    profile_scores,
)
from astroclean_pais.train.scenes import SIDE, draw_scene
from astroclean_pais.train.scoring import detection_scores
from astroclean_pais.train.stamps import PER_SCENE, STAMP, StampSampleMaker

from astroclean.core.image.frame import Frame
from astroclean.core.psf.psf import Psf
from astroclean.inference.cards.card import load_card
from astroclean.inference.cards.verify import read_example, verify_network
from astroclean.inference.cards.weights import find_weights
from astroclean.inference.engines.engine import open_engine
from astroclean.simulate.galaxy_library import build_galaxies
from astroclean.training import samples
from astroclean.training.folder import TrainingFolder
from astroclean.training.loop import Report, run_training
from astroclean.training.trainer import find_trainer, make_recipe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

keras = pytest.importorskip("keras", reason="Keras is not installed")
pytest.importorskip("galsim", reason="GalSim is not installed")

TINY: dict[str, Any] = {
    "batch": 1,
    "first": 1,
    "fresh": 0.0,
    "keep": 1,
    "validation": 1,
    "workers": 1,
    "precision": "f32",
}
TRAINERS = {"pais": FinderTrainer, "pais-profile": ProfileTrainer}
CARDS = {"pais": "pais-astroclean", "pais-profile": "pais-astroclean-profile"}


SEEDS = (scenes._LIBRARY_SEED, scenes._HELD_OUT_SEED)


@pytest.fixture(scope="module", autouse=True)
def _few_galaxies_in_this_process() -> Iterator[None]:
    """The whole libraries, in a process each, take most of a minute."""
    few = {seed: build_galaxies(seed=seed, per_family=1) for seed in SEEDS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "_library", few.__getitem__)
        patch.setattr(samples, "ProcessPoolExecutor", _threads)
        yield


def _threads(workers: int, **_settings: Any) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers)


def silent(report: Report) -> None:
    """Tell nothing."""


def test_trainers_are_found_by_their_names() -> None:
    for name, trainer in TRAINERS.items():
        assert isinstance(find_trainer(name), trainer)
    for recipe in (FinderRecipe(), ProfileRecipe()):
        assert recipe.first + recipe.fresh * recipe.steps < 40_000_000


@pytest.mark.parametrize("seed", range(4))
def test_scenes_are_the_sum_of_their_sources_and_noise(seed: int) -> None:
    scene = draw_scene(np.random.default_rng(seed))
    total = np.zeros((3 * SIDE, 3 * SIDE))
    for image, (top, left) in zip(scene.images, scene.origins + SIDE, strict=True):
        assert image.min() >= 0
        total[top : top + image.shape[0], left : left + image.shape[1]] += image
    clean = total[SIDE : 2 * SIDE, SIDE : 2 * SIDE]
    np.testing.assert_allclose(scene.clean, clean, rtol=1e-4, atol=1e-3)
    pull = (scene.data - scene.clean) / scene.noise
    assert np.median(np.abs(pull)) == pytest.approx(0.6745, rel=0.25)
    assert scene.fwhm == pytest.approx(scene.width, rel=0.25)
    for flux, snr, image in zip(scene.flux, scene.snr, scene.images, strict=True):
        assert image.sum() <= 1.01 * flux
        assert np.sqrt(np.sum(image.astype(float) ** 2)) == pytest.approx(snr, rel=1e-3)
    assert not scene.moments[scene.is_star].any()
    yy, xx, xy = scene.moments[~scene.is_star].T
    radius = scene.radius[~scene.is_star]
    np.testing.assert_allclose(np.sqrt(yy * xx - xy**2), radius**2, rtol=1e-6)


def test_light_lies_where_the_scene_says() -> None:
    scene = draw_scene(np.random.default_rng(9))
    seen = 0
    for row in np.flatnonzero(scene.snr > 5):
        image = scene.images[row].astype(float)
        y, x = np.indices(image.shape)
        middle = np.array([np.sum(image * y), np.sum(image * x)]) / image.sum()
        place = middle + scene.origins[row]
        away = np.hypot(*(place - [scene.y[row], scene.x[row]]))
        assert away < (0.05 if scene.radius[row] == 0 else 0.6 + 0.15 * scene.radius[row])
        seen += 1
    assert seen > 5


@pytest.mark.parametrize("make", [FinderSampleMaker(3), StampSampleMaker(3)])
def test_samples_are_those_of_their_number(make: Any) -> None:
    first, again, other = make(5), make(5), make(6)
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name])
        assert np.isfinite(array).all()
    seen = next(iter(first))
    assert not np.array_equal(first[seen], other[seen])


def test_stamps_hold_their_sources_and_models_like_them() -> None:
    sample = StampSampleMaker(3)(2)
    assert sample["inputs"].shape == (PER_SCENE, 7, STAMP, STAMP)
    shape, true, weight = np.moveaxis(sample["target"].astype(np.float32), 1, 0)
    used = sample["about"][:, 0] > 0
    assert used.any()
    assert not sample["inputs"][~used].any()
    np.testing.assert_allclose(shape[used].max(axis=(1, 2)), 1, atol=1e-3)
    assert (weight >= 0).all()
    for model, light in zip(shape[used], true[used], strict=True):
        if light.sum() < 900:
            continue  # its light reaches beyond the stamp
        cosine = np.sum(model * light) / np.sqrt(np.sum(model**2) * np.sum(light**2))
        assert cosine > 0.6
        peak = np.array(np.unravel_index(np.argmax(model), model.shape)) - STAMP // 2
        assert np.abs(peak).max() <= 2


class Answering:
    """A finder that says what is true: the maps of the rows."""

    def __init__(self, rows: np.ndarray) -> None:
        self._maps = np.stack([maps_of(one[one[:, 0] > 0], SIDE) for one in rows])

    def __call__(self, planes: Any, *, training: bool) -> np.ndarray:
        assert not training
        assert planes is None or planes.shape[1:3] == (SIDE, SIDE)
        height = np.clip(self._maps[..., :1], 1e-4, 1 - 1e-4)
        return np.concatenate([np.log(height / (1 - height)), self._maps[..., 3:]], axis=-1)


def test_a_finder_that_says_the_truth_has_the_best_scores() -> None:
    """Labels, detections and scores mean the same; a finder that says nothing scores nothing."""
    drawn = [FinderSampleMaker(3)(number) for number in range(2)]
    known = {name: np.stack([one[name] for one in drawn]) for name in drawn[0]}
    scores = detection_scores(Answering(known["rows"]), known, batch=2)
    assert scores["completeness"] > 0.85
    assert scores["purity"] > 0.95
    assert scores["f1"] > 0.9
    assert scores["place"] < 0.05
    # The FWHM is known to 5 %, and fluxes are told in it.
    assert scores["flux"] < 0.1
    silent_rows = np.zeros_like(known["rows"])
    assert detection_scores(Answering(silent_rows), known, batch=2)["f1"] == 0


def test_asked_for_sources_come_back_from_their_maps() -> None:
    rows = FinderSampleMaker(3)(4)["rows"]
    wanted = rows[rows[:, 0] == 1]
    maps = Answering(rows[np.newaxis])(None, training=False)[0].transpose(2, 0, 1)
    found = detections_of(maps, np.ones((SIDE, SIDE), dtype=bool), 3.0, level=0.5)
    away = np.hypot(
        found.y[:, np.newaxis] - wanted[:, COLUMNS.index("y")],
        found.x[:, np.newaxis] - wanted[:, COLUMNS.index("x")],
    )
    assert away.min(axis=1).max() < 0.6
    assert np.mean(away.min(axis=0) < 0.6) > 0.85


def test_a_profile_network_that_changes_nothing_scores_as_the_models() -> None:
    known = {name: array[np.newaxis] for name, array in StampSampleMaker(3)(2).items()}

    def nothing(stamps: Any, *, training: bool) -> np.ndarray:
        assert not training
        return np.zeros((*stamps.shape[:3], 2), dtype=np.float32)

    scores = profile_scores(nothing, known)
    assert scores["iou"] == pytest.approx(scores["iou_before"], abs=1e-4)
    assert 0.3 < scores["iou"] < 1


def learned(training: Any, number: int) -> float:
    """Take a step on all stamps of one scene: of a usual one the loss tells which were drawn."""
    sample = StampSampleMaker(3)(2)
    rows = sample["about"][:, 0] > 0
    fed = sample["inputs"][rows].transpose(0, 2, 3, 1).astype(np.float32)
    true = _normalized(sample["target"][rows].astype(np.float32)).transpose(0, 2, 3, 1)
    return float(training._trained.learn(number, fed, [true])[0])


def trained(name: str, folder: Path) -> dict[str, Path]:
    trainer = TRAINERS[name]()
    recipe = make_recipe(trainer, None, {**TINY, "steps": 2, "validate_every": 2})
    place = TrainingFolder(folder)
    place.claim(name, recipe)
    return {path.name: path for path in run_training(trainer, recipe, place, silent)}


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the cards of networks that were trained for two steps."""
    return {
        name: trained(name, tmp_path_factory.mktemp(name))[f"{CARDS[name]}.card.toml"]
        for name in TRAINERS
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINERS)
def test_a_training_leaves_a_network_that_engines_run(name: str, networks: Any) -> None:
    card = load_card(networks[name])
    findings = list(verify_network(card))
    assert all(finding.passed is not False for finding in findings)
    assert sum(finding.passed is True for finding in findings) > 1
    inputs, answers = read_example(card)
    engine = open_engine(card, find_weights(card))
    for output, values in engine.infer(inputs).items():
        assert np.ptp(values) > 0
        np.testing.assert_allclose(values, answers[output], atol=2e-4, rtol=2e-4)


@pytest.mark.slow
def test_the_stage_runs_networks_that_were_just_trained(networks: Any) -> None:
    """They find nothing yet; without a calibration they are taken as they are."""
    options = PaisOptions(
        weights=str(networks["pais"]), profiles=str(networks["pais-profile"]), min_snr=0
    )
    stage = PaisDeblender(options)
    assert stage.fingerprint()["calibration"] == "none"
    psf = Psf.gaussian(fwhm_pixels=3.0)
    star = psf.drawn_at(30.2, 35.7, 5000.0, box=(slice(0, 64), slice(0, 64))).data
    noise = np.random.default_rng(0).normal(0, 3, star.shape)
    frame = Frame((star + noise).astype(np.float32), unit="adu", psf=psf, frame_id="star")
    result = stage.run(frame)
    assert np.isfinite(result.products["UNASSIGNED"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINERS)
def test_losses_fall_and_a_restored_training_goes_on_alike(name: str, tmp_path: Path) -> None:
    trainer = TRAINERS[name]()
    recipe = make_recipe(trainer, None, {**TINY, "steps": 30, "rate": 5e-3})
    training = trainer.begin(recipe, tmp_path / "first")
    losses = [
        training.step(number)["loss"] if name == "pais" else learned(training, number)
        for number in range(1, 15)
    ]
    assert np.isfinite(losses).all()
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
    (tmp_path / "kept").mkdir()
    training.save(tmp_path / "kept")
    wanted = [training.step(number) for number in (15, 16)]
    assert np.isfinite(list(training.validate().values())).all()
    training.close()
    other = trainer.begin(recipe, tmp_path / "first")
    other.restore(tmp_path / "kept")
    for number, values in zip((15, 16), wanted, strict=True):
        assert other.step(number) == pytest.approx(values, rel=1e-3)
    other.close()
