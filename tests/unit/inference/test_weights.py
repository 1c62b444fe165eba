"""Weights: found in a stated order, checked to the byte, imported through a hook."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest
from toy_networks import save, three_convolutions

from astroclean.errors import PluginLoadError, PluginNotFoundError
from astroclean.inference.cards.verify import verify_network
from astroclean.inference.cards.weights import (
    MissingWeightsError,
    WrongWeightsError,
    digest_of,
    find_weights,
    import_weights,
    own_weights_folder,
    weights_folders,
)

if TYPE_CHECKING:
    from pathlib import Path

    from astroclean.inference.cards.card import NetworkCard

HOOK = """\
def write(folder):
    path = folder / "toy.onnx"
    path.write_bytes(b"weights")
    return [path]

def lie(folder):
    return [folder / "nowhere.onnx"]

def fail(folder):
    raise ValueError("no published weights here")
"""


@pytest.fixture
def toy(tmp_path: Path) -> tuple[NetworkCard, Path]:
    folder = tmp_path / "package"
    folder.mkdir()
    return save(three_convolutions(), folder)


@pytest.fixture
def importers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site"
    info = folder / "toy_importers-1.dist-info"
    info.mkdir(parents=True)
    (folder / "toy_importers.py").write_text(HOOK)
    names = {"toy": "write", "liar": "lie", "failing": "fail"}
    lines = [f"{name} = toy_importers:{function}" for name, function in names.items()]
    (info / "entry_points.txt").write_text("\n".join(["[astroclean.weights]", *lines]))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-importers\nVersion: 1\n")
    monkeypatch.syspath_prepend(str(folder))


def test_the_package_goes_before_the_users_folders(
    toy: tuple[NetworkCard, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, path = toy
    other = tmp_path / "other"
    other.mkdir()
    (other / path.name).write_bytes(path.read_bytes())
    monkeypatch.setenv("ASTROCLEAN_WEIGHTS", os.pathsep.join([str(tmp_path / "none"), str(other)]))
    assert find_weights(card) == path
    path.unlink()
    assert find_weights(card) == other / path.name


def test_the_hash_is_that_of_the_bytes(toy: tuple[NetworkCard, Path]) -> None:
    _, path = toy
    assert digest_of(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_one_changed_byte_is_noticed_and_nothing_else_is_tried(
    toy: tuple[NetworkCard, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, path = toy
    good = tmp_path / "good"
    good.mkdir()
    (good / path.name).write_bytes(path.read_bytes())
    monkeypatch.setenv("ASTROCLEAN_WEIGHTS", str(good))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(WrongWeightsError) as caught:
        find_weights(card)
    assert card.weights.sha256 in str(caught.value)
    assert digest_of(path) in str(caught.value)
    assert caught.value.exit_code == 3


def test_missing_weights_tell_file_hash_folders_and_remedy(
    toy: tuple[NetworkCard, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    card, path = toy
    path.unlink()
    monkeypatch.delenv("ASTROCLEAN_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(MissingWeightsError) as caught:
        find_weights(card)
    told = str(caught.value)
    for part in ("toy.onnx", card.weights.sha256, "$ASTROCLEAN_WEIGHTS", "Reinstall the plugin"):
        assert part in told
    assert all(str(folder) in told for folder in weights_folders(card))
    assert own_weights_folder() == tmp_path / "cache" / "astroclean" / "weights"
    assert caught.value.exit_code == 3


@pytest.mark.usefixtures("importers")
def test_missing_weights_that_can_be_imported_say_so(toy: tuple[NetworkCard, Path]) -> None:
    card, path = toy
    path.unlink()
    with pytest.raises(MissingWeightsError, match="Run `astroclean weights import toy`"):
        find_weights(card)


@pytest.mark.usefixtures("importers")
def test_weights_are_imported_through_the_hook(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "own"
    (path,) = import_weights("toy", folder)
    assert path == folder / "toy.onnx"
    assert path.read_bytes() == b"weights"


@pytest.mark.usefixtures("importers")
def test_imports_that_go_wrong_say_why(tmp_path: Path) -> None:
    with pytest.raises(PluginLoadError, match="did not write"):
        import_weights("liar", tmp_path)
    with pytest.raises(PluginLoadError, match="ValueError: no published weights here"):
        import_weights("failing", tmp_path)
    with pytest.raises(PluginNotFoundError, match="Did you mean 'toy'"):
        import_weights("tyo", tmp_path)


@pytest.mark.usefixtures("importers")
@pytest.mark.parametrize(("importer", "passed"), [("toy", None), ("nobody", False)])
def test_absent_weights_that_a_user_imports_are_no_failure_of_an_installation(
    toy: tuple[NetworkCard, Path], importer: str, passed: bool | None
) -> None:
    card, path = toy
    path.unlink()
    card = card.model_copy(update={"importer": importer})
    (found,) = verify_network(card, required=False)
    assert (found.check, found.passed) == ("weights", passed)
    (asked_for,) = verify_network(card)
    assert asked_for.passed is False
    path.write_bytes(b"damaged")
    (damaged,) = verify_network(card, required=False)
    assert damaged.passed is False
