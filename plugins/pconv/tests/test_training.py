"""Trainings learn, go on where they stopped to the same bits, and leave what engines run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astroclean_pconv.train.samples import VALIDATION, SampleMaker
from astroclean_pconv.train.scoring import hole_scores
from astroclean_pconv.train.training import PconvTrainer, _key_of
from pydantic import ValidationError

from astroclean.errors import ConfigurationError
from astroclean.inference.cards.card import load_card
from astroclean.inference.cards.verify import verify_network
from astroclean.inference.engines.initializers import read_initializers
from astroclean.training.folder import TrainingFolder
from astroclean.training.loop import run_training
from astroclean.training.trainer import make_recipe

if TYPE_CHECKING:
    from astroclean.training.loop import Report

pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")
SMALL = {"batch": 2, "first": 2, "fresh": 0.0, "keep": 2, "validation": 1, "device": "cpu"}
ENCODER = Path(__file__).parents[2] / "maximask/astroclean_maximask/cards/maximask-astroclean.onnx"


def prepared(folder: Path, **settings: Any) -> tuple[Any, Any, TrainingFolder]:
    trainer, place = PconvTrainer(), TrainingFolder(folder)
    recipe = make_recipe(trainer, None, {**SMALL, **settings})
    place.claim("pconv", recipe)
    return trainer, recipe, place


def silent(report: Report) -> None:
    """Tell nothing."""


@pytest.mark.slow
def test_a_training_that_was_stopped_ends_with_the_same_bits(tmp_path: Path) -> None:
    trainer, recipe, place = prepared(tmp_path / "whole", steps=4, validate_every=2)
    files = run_training(trainer, recipe, place, silent)
    card = load_card(next(path for path in files if path.name.endswith(".card.toml")))
    assert all(finding.passed is not False for finding in verify_network(card))
    assert card.name == "pconv-astroclean"
    trainer, recipe, place = prepared(tmp_path / "parts", steps=4, validate_every=2)
    training = trainer.begin(recipe, place.path)
    for number in (1, 2):
        training.step(number)
    score = training.validate()["score"]
    place.keep({"step": 2, "seconds": 1.0, "best": score}, training.save)
    place.keep_best({"step": 2, "seconds": 1.0, "best": score}, training.save)
    training.close()
    again = run_training(trainer, recipe, place, silent)
    assert [path.read_bytes() for path in again[:2]] == [path.read_bytes() for path in files[:2]]


@pytest.mark.slow
@pytest.mark.skipif(not ENCODER.is_file(), reason="MaxiMask's weights are not here")
def test_steps_lower_the_loss_with_every_term(tmp_path: Path) -> None:
    settings = {"weight_style": 120.0, "style_network": str(ENCODER), "rate": 0.05}
    settings |= {"weight_valid": 2.0, "weight_ssim": 0.4, "relative": False}
    trainer, recipe, place = prepared(tmp_path, truth="noiseless", steps=30, **settings)
    training = trainer.begin(recipe, place.path)
    try:
        losses = [training.step(number) for number in range(1, 31)]
    finally:
        training.close()
    assert set(losses[0]) == {"loss", "valid", "hole", "style", "ssim", "source", "spread"}
    first, last = (np.mean([told["loss"] for told in part]) for part in (losses[:5], losses[-5:]))
    assert last < 0.95 * first


@pytest.mark.slow
@pytest.mark.parametrize("network", ["compact", "paper"])
def test_a_training_begins_with_what_another_left(tmp_path: Path, network: str) -> None:
    # The paper's network needs cut-outs of 96 pixels.
    told = {"network": network, "window": 96}
    trainer, recipe, place = prepared(tmp_path / "one", **told, steps=1, validate_every=1)
    onnx = run_training(trainer, recipe, place, silent)[0]
    start = {**told, "start": str(onnx), "precision": "bf16"}
    trainer, recipe, place = prepared(tmp_path / "two", **start)
    training = trainer.begin(recipe, place.path)
    try:
        known = read_initializers(onnx)
        for name, values in training._trained.module.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                np.testing.assert_array_equal(values.numpy(), known[name])
        assert np.isfinite(training.step(1)["loss"])
    finally:
        training.close()


def test_recipes_that_cannot_be_followed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="weight_style needs style_network"):
        make_recipe(PconvTrainer(), None, {"weight_style": 120.0})
    with pytest.raises(ValidationError):
        PconvTrainer.recipe.model_validate({"device": "tpu"})
    trainer, recipe, place = prepared(tmp_path, start=str(tmp_path / "no.onnx"))
    with pytest.raises(ConfigurationError, match="there is no file"):
        trainer.begin(recipe, place.path)


def test_scores_are_of_the_holes_alone() -> None:
    made = [SampleMaker(1, offset=VALIDATION)(number) for number in range(2)]
    samples = {name: np.stack([one[name] for one in made]) for name in made[0]}
    sky = samples["sky"].reshape(-1, 1, 96, 96).astype(np.float32)
    hole = samples["hole"].reshape(sky.shape)
    places = iter(range(0, len(sky), 3))

    def answer(image: Any, valid: Any) -> Any:
        first = next(places)
        part = slice(first, first + len(image))
        # Wrong by 1 outside the holes, right within.
        return np.where(hole[part], sky[part], sky[part] + 1)

    found = hole_scores(answer, samples, batch=3)
    assert found["error mean"] == found["error median"] == 0
    assert found["flux"] < 0.2, "noise beneath the sources is not light"
    flat = hole_scores(lambda image, _: 0 * image, samples, batch=100)
    assert flat["score"] == -flat["error mean"] < -0.1


def test_samples_of_other_maps_are_kept_apart(tmp_path: Path) -> None:
    path = tmp_path / "one.fits"
    path.write_bytes(b"map")
    makers = [SampleMaker(1), SampleMaker(2), SampleMaker(1, maps=(path,))]
    makers.append(SampleMaker(1, stars=0.3))
    keys = {_key_of(maker) for maker in makers}
    path.write_bytes(b"another map")
    keys.add(_key_of(makers[2]))
    assert len(keys) == 5
    assert _key_of(SampleMaker(1)) in keys


@pytest.mark.slow
def test_processes_that_simulate_import_no_framework() -> None:
    code = (
        "import sys, astroclean_pconv.train.training, astroclean_pconv.train.samples as s\n"
        "s.SampleMaker(1)(0)\n"
        "assert not {'torch', 'onnx', 'keras', 'tensorflow'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
