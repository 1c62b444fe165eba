"""Cards: read from TOML, every problem told, found without importing anything."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from toy_networks import CARD

from astroclean.errors import ConfigurationError, PluginLoadError
from astroclean.inference.card import find_cards, load_card, named_card

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
