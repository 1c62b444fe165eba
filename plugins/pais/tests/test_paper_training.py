"""A training of the variant `paper` runs, lowers its losses and leaves a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from astroclean_pais.contributions import Contributions, decode, find_centers
from astroclean_pais.train.paper import PaperRecipe, PaperTrainer
from astroclean_pais.train.paper_samples import VALIDATION, PaperSampleMaker

from astroclean.inference.cards.card import load_card
from astroclean.inference.cards.verify import read_example, verify_network
from astroclean.training.folder import TrainingFolder
from astroclean.training.loop import Report, run_training
from astroclean.training.trainer import make_recipe

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("keras", reason="Keras is not installed")
TINY = {"side": 32, "batch": 2, "first": 2, "keep": 2, "validation": 1, "workers": 1}


def silent(report: Report) -> None:
    """Tell nothing."""


def test_samples_are_those_of_their_number_and_hold_their_sources() -> None:
    make = PaperSampleMaker(3, side=64)
    first, again, other = make(5), make(5), make(6)
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name])
    assert not np.array_equal(first["pixels"], other["pixels"])
    assert {name: array.shape[-1] for name, array in first.items()} == {
        "pixels": 1,
        "center": 1,
        "vectors": 6,
        "maps": 3,
    }
    shapes = np.moveaxis(first["vectors"].astype(np.float32), -1, 0).reshape(3, 2, 64, 64)
    maps = {"": np.moveaxis(first["maps"].astype(np.float32), -1, 0)}
    center = first["center"][..., 0].astype(np.float32)
    centers = find_centers(center)
    image = np.full((64, 64), 2.0)
    stamps = decode(Contributions(center, shapes, maps), image, centers)
    assert len(stamps) == len(centers) > 0
    total = np.zeros((64, 64))
    for stamp in stamps:
        stamp.add_to(total)
    # Shares are kept in half precision.
    np.testing.assert_allclose(total, image, rtol=2e-3)


def test_defaults_are_those_of_the_paper() -> None:
    recipe = PaperRecipe()
    assert (recipe.side, recipe.batch, recipe.rate) == (256, 100, 1e-4)
    assert recipe.steps * recipe.batch == 1000 * recipe.first
    assert recipe.first + recipe.fresh * recipe.steps < VALIDATION


@pytest.mark.slow
def test_a_training_leaves_a_network_that_engines_run(tmp_path: Path) -> None:
    trainer = PaperTrainer()
    recipe = make_recipe(trainer, None, {**TINY, "steps": 3, "validate_every": 3})
    place = TrainingFolder(tmp_path)
    place.claim("pais-paper", recipe)
    files = {path.name: path for path in run_training(trainer, recipe, place, silent)}
    card = load_card(files["pais-paper.card.toml"])
    findings = list(verify_network(card))
    assert all(finding.passed is not False for finding in findings)
    assert sum(finding.passed is True for finding in findings) > 1
    inputs, answers = read_example(card)
    ny, nx = inputs["pixels"].shape[2:]
    assert {name: values.shape[1:] for name, values in answers.items()} == {
        "center": (1, ny, nx),
        "vectors": (6, ny, nx),
        "maps": (3, ny, nx),
    }


@pytest.mark.slow
def test_losses_fall_on_a_batch_that_is_seen_again_and_again(tmp_path: Path) -> None:
    # The rate rises over 300 steps, so that it is small in the first hundred.
    few = {"batch": 1, "first": 1, "keep": 1, "steps": 120, "rate": 0.05}
    recipe = make_recipe(PaperTrainer(), None, {**TINY, **few})
    training = PaperTrainer().begin(recipe, tmp_path)
    losses = [training.step(number) for number in range(1, 121)]
    for name in ("loss", "center", "vectors", "maps"):
        values = [loss[name] for loss in losses]
        assert np.mean(values[-3:]) < 0.9 * np.mean(values[:3]), name
    training.close()
