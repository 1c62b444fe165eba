"""A training of the variant `paper` lowers its loss, and leaves a network that engines run."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astroclean_psf_cae.paper.channels import CHANNELS, ChannelSettings, paper_channels, scaled
from astroclean_psf_cae.paper.restore import renormalized, restored_stamps
from astroclean_psf_cae.paper.samples import BLANK, VALIDATION, PaperSampleMaker
from astroclean_psf_cae.paper.scoring import stamp_scores
from astroclean_psf_cae.paper.train import PaperRecipe, PaperTrainer
from astroclean_psf_cae.paper.weights import paper_card, read_settings, write_settings

from astroclean.core.psf.target import TARGET_FWHM
from astroclean.errors import ConfigurationError
from astroclean.evaluation.metrics.deconvolve import shape_of
from astroclean.inference.cards.card import load_card
from astroclean.inference.cards.verify import read_example, verify_network
from astroclean.training.folder import TrainingFolder
from astroclean.training.loop import Report, run_training
from astroclean.training.trainer import make_recipe

if TYPE_CHECKING:
    from pathlib import Path

TINY = {"side": 32, "batch": 4, "galaxies": 1, "first": 4, "keep": 4, "fresh": 0, "validation": 3}
MAKE = PaperSampleMaker(3, galaxies=1)


@pytest.fixture(scope="module")
def samples() -> dict[str, np.ndarray[Any, Any]]:
    """Return samples, one beneath the other."""
    made = [MAKE(number) for number in range(40)]
    return {name: np.stack([one[name] for one in made]) for name in made[0]}


def silent(report: Report) -> None:
    """Tell nothing."""


def test_samples_are_those_of_their_number(samples: dict[str, Any]) -> None:
    for name, array in MAKE(5).items():
        np.testing.assert_array_equal(array, samples[name][5])
    assert not np.array_equal(samples["data"][5], samples["data"][6])
    held_out = PaperSampleMaker(3, galaxies=1, held_out=True)(5)
    assert not np.array_equal(held_out["truth"], samples["truth"][5])


def test_the_truth_is_what_the_data_show_through_the_psf(samples: dict[str, Any]) -> None:
    """Data less the truth, seen through the PSF again, are white noise of 1."""
    restored = renormalized(samples["truth"], samples["data"], samples["psf"])
    is_source = samples["about"][:, 0] > 30
    assert np.count_nonzero(is_source) > 10
    left = (samples["data"] - restored.blurred)[is_source]
    assert np.mean(left**2) == pytest.approx(1, abs=0.02)
    assert abs(np.mean(left[:, 1:] * left[:, :-1])) < 0.02
    ratio = restored.images[is_source].sum((1, 2)) / samples["truth"][is_source].sum((1, 2))
    np.testing.assert_allclose(ratio, 1, atol=0.15)


def test_the_told_signal_to_noise_is_that_of_the_best_fit(samples: dict[str, Any]) -> None:
    ones = np.ones_like(samples["data"])
    found = renormalized(samples["truth"], samples["data"], samples["psf"], variance=ones).snr
    snr = samples["about"][:, 0]
    is_source = snr > 0
    pulls = (found - snr)[is_source]
    assert np.abs(pulls).max() < 5
    assert np.isnan(found[~is_source]).all()


def test_a_small_galaxy_is_as_wide_as_the_target(samples: dict[str, Any]) -> None:
    """Its size is that of the target PSF with its own added in square."""
    about = samples["about"]
    row = int(np.argmin(np.where(about[:, 0] > 0, about[:, 1], np.inf)))
    _, radius, x, y = map(float, about[row])
    assert radius < 1.3
    size = shape_of(samples["truth"][row], center=(x, y), radius=6.0).size
    # The Gaussian and the pixel.
    narrow = np.hypot(TARGET_FWHM / 2.3548, np.sqrt(1 / 12))
    assert narrow < size < np.hypot(narrow, 1.3 * radius)


def test_blanks_are_as_many_as_in_the_paper_and_hold_nothing(samples: dict[str, Any]) -> None:
    is_blank = samples["about"][:, 0] == 0
    assert 2 <= np.count_nonzero(is_blank) <= 18  # of 40, 3/13 of which are 9
    assert not samples["target"][is_blank].any()
    assert not samples["truth"][is_blank].any()
    np.testing.assert_allclose(samples["target"][~is_blank].max((1, 2)), 1)
    assert samples["data"][is_blank].std() == pytest.approx(1, abs=0.03)


def test_what_steps_do_not_need_is_not_kept(samples: dict[str, Any]) -> None:
    seen = PaperSampleMaker(3, galaxies=1, scored=False)(5)
    assert set(seen) == {"channels", "scales", "target"}
    for name, array in seen.items():
        np.testing.assert_array_equal(array, samples[name][5])


@pytest.mark.slow
@pytest.mark.parametrize("scaling", ["channel", "object"])
def test_steps_see_the_channels_that_a_user_would_get(scaling: Any, tmp_path: Path) -> None:
    """Whichever of them, in any order, however scaled."""
    pytest.importorskip("keras", reason="Keras is not installed")
    wanted = {**TINY, "channels": ["ipsf1", "psf"], "scaling": scaling, "validation": 12}
    training = PaperTrainer().begin(make_recipe(PaperTrainer(), None, wanted), tmp_path)
    told = []

    class Model:
        def predict(self, fed: Any, **_: Any) -> Any:
            told.append(fed)
            return np.ones((*fed.shape[:3], 1), np.float32)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training._trained, "averaged", lambda: contextlib.nullcontext(Model()))
        training.validate()
    training.close()
    kept = training._validation
    settings = ChannelSettings(names=("ipsf1", "psf"), scaling=scaling)
    right, _ = scaled(paper_channels(kept["data"], kept["psf"], settings), scaling)
    np.testing.assert_allclose(np.moveaxis(told[0], -1, 1), right, atol=2e-3)


def test_defaults_are_those_of_the_paper() -> None:
    recipe = PaperRecipe()
    assert (recipe.rate, recipe.rate_at(1), recipe.channels) == (1e-4, 1e-4, CHANNELS)
    assert recipe.rate_at(100_001) == pytest.approx(0.6e-4)
    assert recipe.rate_at(50_001) == pytest.approx(0.6**0.5 * 1e-4)
    assert pytest.approx(3 / 13) == BLANK
    assert recipe.first + recipe.fresh * recipe.steps < VALIDATION


def test_a_recipe_refuses_channels_that_are_none() -> None:
    for wrong, said in ((["psf", "psf"], "each channel once"), (["image"], "ipsf1")):
        with pytest.raises(ConfigurationError, match=said):
            make_recipe(PaperTrainer(), None, {"channels": wrong})


def test_stamps_of_any_sides_come_back_as_bright_as_they_were() -> None:
    """A network that only sharpens, wrongly scaled, gives the true flux."""
    one = MAKE(next(n for n in range(40) if MAKE(n)["about"][0] > 60))
    data, usable = np.array(one["data"])[:, :59], np.ones((1, 64, 59), bool)
    data[5, 7], usable[0, 5, 7] = np.nan, False
    seen = []

    def network(channels: Any) -> Any:
        seen.append(channels.shape)
        return 1e-3 * one["truth"][np.newaxis, np.newaxis]

    settings = ChannelSettings(names=("ipsf1", "psf"))
    arguments = {"usable": usable, "variance": np.ones((1, 64, 59))}
    found = restored_stamps(network, data[np.newaxis], one["psf"], settings, **arguments)
    assert seen == [(1, 2, 64, 64)]
    assert found.images.shape == (1, 64, 59)
    snr = float(found.snr[0])
    assert found.images.sum() == pytest.approx(one["truth"][:, :59].sum(), rel=4 / snr)
    hidden = {**arguments, "usable": np.zeros_like(usable)}
    lost = restored_stamps(network, data[np.newaxis], one["psf"], settings, **hidden)
    assert np.isnan(lost.images).all()


def test_the_truth_scores_best_and_a_wrong_flux_is_told(samples: dict[str, Any]) -> None:
    truth, about = samples["truth"], samples["about"]
    best = stamp_scores(truth, truth, about)
    assert len(best.flux) == np.count_nonzero(about[:, 0] > 0)
    told = best.told()
    assert told["flux rms"] == told["size rms"] == told["ellipticity rms"] == told["lost"] == 0
    assert told["dissimilarity"] == pytest.approx(0, abs=1e-9)
    bright = stamp_scores(1.1 * truth, truth, about).told()
    assert bright["flux mean"] == pytest.approx(0.1, rel=1e-3)
    assert bright["size rms"] == pytest.approx(0, abs=1e-4)
    assert 20 < bright["psnr"] < 60 < best.told()["psnr"]
    none = stamp_scores(-truth, truth, about).told()
    assert none["lost"] == 1
    assert np.isnan(none["size rms"])


def test_settings_of_the_channels_are_kept_beside_the_card(tmp_path: Path) -> None:
    card = tmp_path / "psf-cae-paper.card.toml"
    with pytest.raises(ConfigurationError, match=r"psf-cae-paper\.channels\.toml is missing"):
        read_settings(card)
    for settings in (
        ChannelSettings(),
        ChannelSettings(names=("ipsf1", "psf"), sigma=2.5, floor=1e-2, scaling="object"),
    ):
        write_settings(settings, tmp_path)
        assert read_settings(card) == settings
    (tmp_path / "psf-cae-paper.channels.toml").write_text('names = ["gauss"]\n')
    with pytest.raises(ConfigurationError, match=r"names\.0"):
        read_settings(card)


def test_who_asks_for_weights_that_are_not_shipped_is_told_how_to_train(tmp_path: Path) -> None:
    told = r"astroclean train psf-cae-paper --out DIR"
    with pytest.raises(ConfigurationError, match=f"none called 'astroclean'.*{told}"):
        paper_card("astroclean")
    with pytest.raises(ConfigurationError, match=f"no card .*{told}"):
        paper_card(str(tmp_path / "psf-cae-paper.card.toml"))
    (tmp_path / "psf-cae-paper.card.toml").touch()
    assert paper_card(str(tmp_path / "psf-cae-paper.card.toml")).is_file()


@pytest.mark.slow
def test_a_training_leaves_a_network_that_engines_run(tmp_path: Path) -> None:
    pytest.importorskip("keras", reason="Keras is not installed")
    trainer = PaperTrainer()
    wanted = {**TINY, "channels": ["ipsf1", "psf"], "steps": 3, "validate_every": 3}
    recipe = make_recipe(trainer, None, wanted)
    place = TrainingFolder(tmp_path)
    place.claim("psf-cae-paper", recipe)
    files = {path.name: path for path in run_training(trainer, recipe, place, silent)}
    path = paper_card(str(tmp_path / "results" / "psf-cae-paper.card.toml"))
    assert path == files["psf-cae-paper.card.toml"]
    assert read_settings(path) == ChannelSettings(names=("ipsf1", "psf"))
    card = load_card(path)
    findings = list(verify_network(card))
    assert all(finding.passed is not False for finding in findings)
    assert sum(finding.passed is True for finding in findings) > 1
    inputs, answers = read_example(card)
    assert inputs["channels"].shape == (1, 2, 32, 32)
    assert answers["image"].shape == (1, 1, 32, 32)


@pytest.mark.slow
def test_the_loss_falls_on_stamps_that_are_seen_again_and_again(tmp_path: Path) -> None:
    pytest.importorskip("keras", reason="Keras is not installed")
    recipe = make_recipe(PaperTrainer(), None, {**TINY, "steps": 60, "rate": 3e-3})
    training = PaperTrainer().begin(recipe, tmp_path)
    losses = [training.step(number)["loss"] for number in range(1, 61)]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    training.close()
