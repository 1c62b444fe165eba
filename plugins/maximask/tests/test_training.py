"""Trainings run, go on where they stopped, and leave what the stage can use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astroclean_maximask.classes import CONTAMINANTS, EXTRA_CLASSES
from astroclean_maximask.track.conditions import CONDITIONS, condition_of
from astroclean_maximask.track.samples import TrackSampleMaker
from astroclean_maximask.train.samples import SampleMaker, labels_of
from astroclean_maximask.train.training import MaxiMaskRecipe, _loss_weights
from hypothesis import given
from hypothesis import strategies as st

from astroclean.core.flags.planes import MaskPlane
from astroclean.inference.cards.card import load_card
from astroclean.inference.cards.verify import read_example, verify_network
from astroclean.inference.cards.weights import find_weights
from astroclean.inference.engines.engine import open_engine
from astroclean.simulate.tracking import KINDS
from astroclean.training.folder import TrainingFolder
from astroclean.training.loop import Report, run_training
from astroclean.training.trainer import find_trainer, make_recipe

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("keras", reason="Keras is not installed")
ALL = [*CONTAMINANTS, *EXTRA_CLASSES]


@given(st.lists(st.sampled_from(ALL), unique=True))
def test_labels_are_the_planes_and_background_is_none_of_them(planes: list[MaskPlane]) -> None:
    bits = np.array([[np.uint32(MaskPlane.union(planes))]])
    labels = labels_of(bits)[0, 0]
    found = [*labels[: len(CONTAMINANTS)], *labels[len(CONTAMINANTS) + 1 :]]
    assert found == [float(plane in planes) for plane in ALL]
    assert labels[len(CONTAMINANTS)] == float(not planes)


def test_every_kind_of_spoiled_exposure_has_a_condition() -> None:
    assert CONDITIONS[condition_of("none")] == "good"
    assert {CONDITIONS[condition_of(kind)] for kind in KINDS} == {"tracking"}
    assert CONDITIONS[condition_of("defocus")] == "defocus"
    assert CONDITIONS[condition_of("charge-transfer")] == "charge-transfer"


def test_samples_are_those_of_their_number() -> None:
    for make, seen in ((SampleMaker(3), "pixels"), (TrackSampleMaker(3), "star")):
        first, again, other = make(5), make(5), make(6)
        for name, array in first.items():
            np.testing.assert_array_equal(array, again[name])
        assert not np.array_equal(first[seen], other[seen])
        assert np.isfinite(first[seen]).all()


SMALL = {
    "maximask": {
        "batch": 2,
        "first": 1,
        "fresh": 0.0,
        "keep": 1,
        "validation": 1,
        "calibration": 1,
    },
    "maxitrack": {"batch": 2, "first": 2, "fresh": 0.0, "keep": 2, "validation": 2},
}


def silent(report: Report) -> None:
    """Tell nothing."""


def trained(name: str, folder: Path, **settings: Any) -> list[Path]:
    trainer = find_trainer(name)
    recipe = make_recipe(trainer, None, {**SMALL[name], "workers": 1, **settings})
    place = TrainingFolder(folder)
    place.claim(name, recipe)
    return run_training(trainer, recipe, place, silent)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["maximask", "maxitrack"])
def test_a_training_leaves_a_network_that_engines_run(name: str, tmp_path: Path) -> None:
    files = {path.name: path for path in trained(name, tmp_path, steps=2, validate_every=2)}
    card = load_card(files[f"{name}-astroclean.card.toml"])
    assert all(finding.passed is not False for finding in verify_network(card))
    inputs, expected = read_example(card)
    engine = open_engine(card, find_weights(card))
    for output, values in engine.infer(inputs).items():
        np.testing.assert_allclose(values, expected[output], atol=1e-4)


@pytest.mark.slow
def test_an_interrupted_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    """In float32: on the CPU the sums of a step do not depend on what was before it."""
    whole = trained("maxitrack", tmp_path / "whole", steps=4, validate_every=4, precision="f32")
    part = {"validate_every": 2, "precision": "f32"}
    # The schedule of four steps in both parts: it depends on the number of steps.
    trainer = find_trainer("maxitrack")
    recipe = make_recipe(trainer, None, {**SMALL["maxitrack"], **part, "workers": 1, "steps": 4})
    place = TrainingFolder(tmp_path / "parts")
    place.claim("maxitrack", recipe)
    training = trainer.begin(recipe, place.path)
    for number in (1, 2):
        training.step(number)
    place.keep({"step": 2, "seconds": 1.0, "best": None}, training.save)
    place.append({"step": 2, "seconds": 1.0, "training": {"loss": 1.0}})
    training.close()
    parts = run_training(trainer, recipe, place, silent)
    answers = []
    for files in (whole, parts):
        card = load_card(next(path for path in files if path.name.endswith(".card.toml")))
        answers.append(read_example(card)[1]["chances"])
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-6)


def test_a_class_that_no_sample_has_outweighs_none() -> None:
    from astroclean_maximask.network.losses import class_weights  # imports keras

    weights = class_weights(np.array([1e-3, 2e-2, 0.0, 1e-5]), power=0.75)
    assert weights[2] == weights[1] == weights.min()


def test_fine_tuning_asks_nothing_of_layers_that_were_not_shipped() -> None:
    usual = (1.0, 0.2, 0.2, 0.2)
    assert _loss_weights(usual, MaxiMaskRecipe()) == usual
    assert _loss_weights(usual, MaxiMaskRecipe(start="astroclean")) == (1.0, 0.0, 0.0, 0.0)
    told = MaxiMaskRecipe(start="astroclean", coarse_weight=0.2)
    assert _loss_weights(usual, told) == usual
