"""Cards: read from TOML, every problem told, found without importing anything."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_networks import CARD

from astroclean.errors import ConfigurationError, PluginLoadError
from astroclean.inference.cards.calibration import ProbabilityMap
from astroclean.inference.cards.card import find_cards, load_card, named_card
from astroclean.inference.stage_network import NetworkOptions, StageNetwork

if TYPE_CHECKING:
    from pathlib import Path

TEXT = CARD.format(sha256="0" * 64, size=5)


def written(folder: Path, text: str) -> Path:
    path = folder / "card.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_card_is_read(tmp_path: Path) -> None:
    card = load_card(written(tmp_path, TEXT))
    assert (card.name, card.halo, card.multiple, card.scale) == ("toy", 3, 1, 1)
    assert card.normalization.name == "asinh"
    assert card.default_precision == "f32"
    assert card.precision["f32"].absolute == 1e-5
    assert card.domain.instruments == ("acs-wfc",)
    assert card.folder == tmp_path


def test_the_first_precision_is_the_default(tmp_path: Path) -> None:
    text = TEXT.replace("[precision.f32]", "[precision.bf16]\nabsolute = 0.1\n\n[precision.f32]")
    assert load_card(written(tmp_path, text)).default_precision == "bf16"


def test_every_problem_is_told(tmp_path: Path) -> None:
    text = TEXT.replace("halo = 3", "halo = -3\nhallo = 1").replace("asinh", "assinh")
    with pytest.raises(PluginLoadError) as caught:
        load_card(written(tmp_path, text))
    told = str(caught.value)
    assert "halo: Input should be greater than or equal to 0" in told
    assert "hallo: Extra inputs are not permitted" in told
    assert "normalization" in told
    assert str(tmp_path) in told


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("schema = 1", "schema = 1\nfolder = '/'", "no such key"),
        ("schema = 1", "schema = 2", "schema"),
        ('[{ name = "image" }]', '[{ name = "image" }, { name = "image" }]', "the same name"),
        ('file = "toy.onnx"', 'file = "../toy.onnx"', "weights.file"),
        ("halo = 3", "halo = ", "not valid TOML"),
    ],
)
def test_wrong_cards_are_refused(tmp_path: Path, old: str, new: str, problem: str) -> None:
    with pytest.raises(PluginLoadError, match=problem):
        load_card(written(tmp_path, TEXT.replace(old, new)))


def test_a_card_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PluginLoadError, match="cannot be read"):
        load_card(tmp_path / "card.toml")


def test_cards_are_found_without_an_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "toy_of_cards"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    paths = [package / "card.toml", package / "deep" / "second.card.toml"]
    for path in paths:
        path.write_text(TEXT)
    (package / "discard.toml").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_cards("toy_of_cards") == tuple(sorted(paths))
    assert "toy_of_cards" not in sys.modules
    assert find_cards("toy_of_nothing") == ()


def test_weights_are_a_name_beside_the_plugin_or_the_path_of_a_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = tmp_path / "cards"
    shipped.mkdir()
    for name in ("toy-first", "toy-second", "other-third"):
        (shipped / f"{name}.card.toml").write_text(TEXT)
    assert named_card(shipped, "toy", "second") == shipped / "toy-second.card.toml"
    own = tmp_path / "toy-mine.card.toml"
    own.write_text(TEXT)
    assert named_card(shipped, "toy", str(own)) == own
    monkeypatch.setenv("HOME", str(tmp_path))
    assert named_card(shipped, "toy", "~/toy-mine.card.toml") == own


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ("secnd", "toy has none called 'secnd'. Did you mean 'second'?"),
        ("third", "Known: first, second."),
        ("no/such.card.toml", "there is no card no/such.card.toml"),
        ("../cards/toy-first", "A path ends in .card.toml."),
    ],
)
def test_weights_that_are_not_there_are_told_with_those_that_are(
    tmp_path: Path, weights: str, told: str
) -> None:
    for name in ("toy-first", "toy-second", "other-third"):
        (tmp_path / f"{name}.card.toml").write_text(TEXT)
    with pytest.raises(ConfigurationError) as caught:
        named_card(tmp_path, "toy", weights)
    assert told in str(caught.value)


CLASSES = "[CR]\nthreshold = 0.4\n\n[TRL]\ntraining_prior = 0.1\nprior = 0.01\nthreshold = 0.5\n"


def test_classes_beside_the_card_are_in_it(tmp_path: Path) -> None:
    path = tmp_path / "toy.card.toml"
    path.write_text(TEXT, encoding="utf-8")
    assert load_card(path).calibration.classes == {}
    (tmp_path / "toy.classes.toml").write_text(CLASSES, encoding="utf-8")
    classes = load_card(path).calibration.classes
    assert list(classes) == ["CR", "TRL"]
    assert (classes["CR"].threshold, classes["TRL"].prior) == (0.4, 0.01)
    assert classes["CR"].prior == classes["CR"].training_prior, "nothing is updated"
    path.write_text(TEXT + "\n[calibration.classes]\nCR = { threshold = 0.3 }\n", encoding="utf-8")
    with pytest.raises(PluginLoadError, match=r"given twice, also in toy\.classes\.toml"):
        load_card(path)
    (tmp_path / "toy.classes.toml").write_text(CLASSES.replace("0.4", "4"), encoding="utf-8")
    path.write_text(TEXT, encoding="utf-8")
    with pytest.raises(PluginLoadError, match=r"CR\.threshold: Input should be less than"):
        load_card(path)


def test_a_stage_reads_a_card_anew_that_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "toy.card.toml"
    path.write_text(TEXT, encoding="utf-8")
    beside = tmp_path / "toy.classes.toml"
    found = []
    for threshold in ("0.4", "0.6"):
        beside.write_text(CLASSES.replace("0.4", threshold), encoding="utf-8")
        found.append(StageNetwork(path, NetworkOptions()).card.calibration.classes["CR"].threshold)
    assert found == [0.4, 0.6]


@given(st.floats(0.2, 5), st.floats(-4, 4))
def test_a_map_of_probabilities_keeps_their_order_and_its_inverse_undoes_it(
    slope: float, offset: float
) -> None:
    answers = np.linspace(0, 1, 101, dtype=np.float32)
    found = ProbabilityMap(slope=slope, offset=offset).of(answers)
    assert (np.diff(found) >= 0).all()
    assert found.min() >= 0
    assert found.max() <= 1
    inside = (answers > 0.2) & (answers < 0.8)
    back = ProbabilityMap(slope=1 / slope, offset=-offset / slope).of(found)
    told = inside & (found > 1e-3) & (found < 1 - 1e-3)
    np.testing.assert_allclose(back[told], answers[told], atol=2e-3)
    np.testing.assert_allclose(ProbabilityMap().of(answers), answers, atol=1e-6)
    half = ProbabilityMap(slope=slope, offset=offset).of(np.array([0.5], dtype=np.float32))
    assert half == pytest.approx(1 / (1 + np.exp(-offset)), abs=1e-6)


def test_fluxes_are_corrected_by_their_snr(tmp_path: Path) -> None:
    table = """
[calibration.fluxes.spergel]
coefficients = [1.3, -0.2, 0.02]
snr = [5.0, 500.0]

[calibration.deviations]
flux = 1.2
"""
    path = written(tmp_path, TEXT + table)
    calibration = load_card(path).calibration
    factor = calibration.fluxes["spergel"].factor(np.array([1.0, 5.0, 100.0, 500.0, 1e6, np.nan]))
    assert factor[0] == factor[1]
    assert factor[3] == factor[4]
    assert np.isnan(factor[5])
    assert factor[2] == pytest.approx(1.3 - 0.4 + 0.08)
    assert calibration.deviations == {"flux": 1.2}
    for wrong, problem in (("[1.3, -1.0]", "must be positive"), ("[]", "at least 1 item")):
        with pytest.raises(PluginLoadError, match=problem):
            load_card(written(tmp_path, (TEXT + table).replace("[1.3, -0.2, 0.02]", wrong)))
    with pytest.raises(PluginLoadError, match="snr: must rise"):
        load_card(written(tmp_path, (TEXT + table).replace("[5.0, 500.0]", "[50.0, 5.0]")))
