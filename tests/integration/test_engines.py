"""Engines agree, are chosen in a fixed order, and say why where none works."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "data" / "toy_networks"))

import toy_networks

from astroclean.cli import weights as weights_verb
from astroclean.errors import AstrocleanWarning, ConfigurationError, PluginNotFoundError
from astroclean.inference.cards import card as card_module
from astroclean.inference.cards.card import Output
from astroclean.inference.cards.verify import verify_network
from astroclean.inference.engines import engine as engine_module
from astroclean.inference.engines.engine import (
    AUTO_ORDER,
    Engine,
    EngineError,
    choose_engine,
    engine_names,
    list_engines,
    open_engine,
)

LIBRARIES = {"openvino": "openvino", "onnxruntime": "onnxruntime", "torch": "torch"}
TORCH = {"torch": "toy_networks:torch_three_convolutions"}
IMAGES = np.random.default_rng(3).normal(size=(3, 1, 32, 40)).astype(np.float32)


def needed(library: str) -> None:
    """Skip where a library is not installed; it must be where everything is tested."""
    if importlib.util.find_spec(library) is None:
        problem = f"{library} is not installed; see requirements/test.txt"
        if os.environ.get("ASTROCLEAN_CI") == "1":
            pytest.fail(f"{problem}; it must run where ASTROCLEAN_CI=1")
        pytest.skip(problem)


def hide(monkeypatch: pytest.MonkeyPatch, *libraries: str) -> None:
    """Let libraries look as if they were not installed."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        engine_module.importlib.util,
        "find_spec",
        lambda name, *more: None if name in libraries else find(name, *more),
    )


@pytest.fixture(autouse=True)
def _toys_are_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the toy networks pass for those of an installed plugin, whose code may be run."""
    monkeypatch.setattr(card_module, "plugin_packages", lambda: {"toy_networks"})
    found = card_module._folders_of
    own = {"toy_networks": [str(tmp_path)]}
    monkeypatch.setattr(card_module, "_folders_of", lambda name: own.get(name) or found(name))


AGREEING = [
    ("three_convolutions", "openvino", {}),
    ("three_convolutions", "torch", TORCH),
    ("pooled", "openvino", {}),
    ("doubled", "openvino", {}),
    ("every_layer", "openvino", {}),
    (
        "every_layer",
        "torch",
        {"torch": "toy_networks:torch_every_layer", "constants": ["ones"]},
    ),
    ("mixed", "openvino", {}),
    ("mixed", "keras", {"keras": "toy_networks:keras_mixed"}),
]


@pytest.mark.parametrize(("name", "engine", "network"), AGREEING)
def test_engines_agree_within_the_tolerance_of_the_card(
    tmp_path: Path, name: str, engine: str, network: dict[str, Any]
) -> None:
    needed(engine)
    card, path = toy_networks.save(getattr(toy_networks, name)(), tmp_path, network=network)
    expected = open_engine(card, path, prefer="onnxruntime").infer({"image": IMAGES})["answer"]
    opened = open_engine(card, path, prefer=engine)
    assert isinstance(opened, Engine)
    assert (opened.name, opened.precision) == (engine, "f32")
    answer = opened.infer({"image": IMAGES})["answer"]
    tolerance = card.precision["f32"]
    np.testing.assert_allclose(answer, expected, rtol=tolerance.relative, atol=tolerance.absolute)
    assert answer.dtype == np.float32
    assert np.std(expected) > 0.05, "there is something to agree on"
    # Batch axis first: each image alone gives the same.
    alone = opened.infer({"image": IMAGES[1:2]})["answer"]
    np.testing.assert_allclose(alone[0], answer[1], rtol=0, atol=2e-6)
    opened.close()


FIVE = ("CR", "TRL", "SAT", "OV", "BG")


@pytest.mark.parametrize("channels", [("CR",), ("BG", "TRL"), FIVE])
@pytest.mark.parametrize(
    ("engine", "precision"),
    [("openvino", "f32"), ("openvino", "bf16"), ("onnxruntime", "f32"), ("torch", "f32")],
)
def test_an_engine_answers_with_the_channels_that_are_asked_for(
    tmp_path: Path, engine: str, precision: str, channels: tuple[str, ...]
) -> None:
    needed(engine)
    card, path = toy_networks.save(
        toy_networks.classes(),
        tmp_path,
        outputs=[{"name": "answer", "channels": FIVE}],
        network={"torch": "toy_networks:torch_classes"},
        precision={"f32": {}, "bf16": {"absolute": 0.05}},
    )
    how: dict[str, Any] = {"prefer": engine, "precision": precision}
    try:
        everything = open_engine(card, path, **how).infer({"image": IMAGES})["answer"]
    except EngineError as error:
        if "this processor computes in" in error.problem:
            pytest.skip(error.problem)
        raise
    opened = open_engine(card, path, **how, channels=channels)
    assert isinstance(opened, Engine)
    assert (opened.name, opened.precision) == (engine, precision)
    places = [place for place, name in enumerate(FIVE) if name in channels]
    answer = opened.infer({"image": IMAGES})["answer"]
    assert np.array_equal(answer, everything[:, places]), "to the bit, in the order of the card"
    assert card.limited(channels).outputs[0].channels == tuple(FIVE[place] for place in places)
    opened.close()


def test_channels_that_a_network_does_not_have_are_refused(tmp_path: Path) -> None:
    card, path = toy_networks.save(
        toy_networks.classes(), tmp_path, outputs=[{"name": "answer", "channels": FIVE}]
    )
    with pytest.raises(ConfigurationError, match="no channel 'GH'; it has CR, TRL, SAT, OV, BG"):
        open_engine(card, path, prefer="onnxruntime", channels=("CR", "GH"))
    two = card.model_copy(update={"outputs": (card.outputs[0], Output(name="other"))})
    with pytest.raises(ConfigurationError, match="output 'other' has no channel left"):
        two.limited(["CR"])
    assert two.limited(["CR", "image"]).outputs[1] == two.outputs[1]
    assert two.places(["CR", "image"]) == {"answer": [0]}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("engine", ["openvino", "onnxruntime", "torch"])
def test_a_fixed_number_of_threads_gives_the_same_bits_twice(
    tmp_path: Path, engine: str, threads: int
) -> None:
    needed(engine)
    card, path = toy_networks.save(toy_networks.three_convolutions(), tmp_path, network=TORCH)
    answers = [
        open_engine(card, path, prefer=engine, threads=threads).infer({"image": IMAGES})["answer"]
        for _ in range(2)
    ]
    assert np.array_equal(*answers)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime", "torch"])
def test_batches_that_the_card_names_are_answered_as_all_others(
    tmp_path: Path, engine: str
) -> None:
    needed(engine)
    card, path = toy_networks.save(toy_networks.three_convolutions(), tmp_path, network=TORCH)
    count, _, *sides = IMAGES.shape
    named = card.model_copy(update={"batches": ((1, 16, 16), (count, *sides))})
    tolerance = card.precision["f32"]
    opened, other = (open_engine(told, path, prefer=engine) for told in (named, card))
    for images in (IMAGES, IMAGES[:1], IMAGES[:, :, :16, :16], IMAGES[:1, :, :16, :16]):
        found, expected = (one.infer({"image": images})["answer"] for one in (opened, other))
        np.testing.assert_allclose(
            found, expected, rtol=tolerance.relative, atol=tolerance.absolute
        )


def test_an_answer_stays_when_the_engine_is_asked_again(tmp_path: Path) -> None:
    card, path = toy_networks.save(toy_networks.three_convolutions(), tmp_path, network=TORCH)
    for name in ("openvino", "onnxruntime", "torch"):
        needed(name)
        opened = open_engine(card, path, prefer=name)
        first = opened.infer({"image": IMAGES})["answer"]
        kept = first.copy()
        opened.infer({"image": 0 * IMAGES})
        assert np.array_equal(first, kept)


def test_auto_is_a_fixed_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card, path = toy_networks.save(toy_networks.three_convolutions(), tmp_path, network=TORCH)
    hidden: list[str] = []
    assert engine_names()[:4] == AUTO_ORDER
    for expected in ("openvino", "onnxruntime", "torch"):
        needed(expected)
        hide(monkeypatch, *hidden)
        assert choose_engine(card) == expected
        assert open_engine(card, path).name == expected
        hidden.append(LIBRARIES[expected])


def test_all_reasons_in_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card, path = toy_networks.save(toy_networks.three_convolutions(), tmp_path)
    hide(monkeypatch, "openvino", "onnxruntime")
    with pytest.raises(EngineError) as caught:
        open_engine(card, path)
    told = str(caught.value)
    assert "openvino: needs openvino; `pip install 'astroclean[openvino]'`" in told
    assert "onnxruntime: needs onnxruntime; `pip install 'astroclean[onnx]'`" in told
    assert "torch: " in told
    assert "keras: " in told
    assert caught.value.exit_code == 3
    assert list_engines()["openvino"] is not None


def test_an_engine_asked_for_is_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, path = toy_networks.save(toy_networks.three_convolutions(), tmp_path)
    hide(monkeypatch, "openvino")
    with pytest.raises(EngineError, match=r"pip install 'astroclean\[openvino\]'"):
        open_engine(card, path, prefer="openvino")
    with pytest.raises(EngineError, match="Did you mean 'onnxruntime'"):
        open_engine(card, path, prefer="onxruntime")
    with pytest.raises(EngineError, match=r"allows precision f32 \(got bf16\)"):
        open_engine(card, path, precision="bf16")


def test_auto_tells_which_engine_it_passed_over(tmp_path: Path) -> None:
    """OpenVINO has no MaxUnpool, onnxruntime has."""
    card, path = toy_networks.save(toy_networks.unpooled(), tmp_path)
    with pytest.warns(AstrocleanWarning, match="openvino was passed over: .*MaxUnpool"):
        opened = open_engine(card, path)
    assert opened.name == "onnxruntime"


def test_verifying_skips_an_engine_without_the_operators(tmp_path: Path) -> None:
    example = {"file": "toy.npz"}
    card, path = toy_networks.save(toy_networks.unpooled(), tmp_path, example=example)
    answer = open_engine(card, path, prefer="onnxruntime").infer({"image": IMAGES})
    toy_networks.write_example(tmp_path / "toy.npz", {"image": IMAGES}, answer)
    found = {finding.check: finding for finding in verify_network(card)}
    assert found["openvino f32"].passed is None
    assert "MaxUnpool" in found["openvino f32"].detail
    assert found["onnxruntime f32"].passed


@pytest.mark.parametrize("engine", ["onnxruntime", "torch", "openvino"])
def test_a_device_that_is_not_there_is_an_error(tmp_path: Path, engine: str) -> None:
    needed(engine)
    card, path = toy_networks.save(toy_networks.three_convolutions(), tmp_path, network=TORCH)
    with pytest.raises(EngineError, match="device cuda:99"):
        open_engine(card, path, prefer=engine, device="cuda:99")


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_files_that_do_not_fit_the_card_are_refused(tmp_path: Path, engine: str) -> None:
    model = toy_networks.three_convolutions()
    card, path = toy_networks.save(model, tmp_path, outputs=[{"name": "mask"}])
    with pytest.raises(EngineError, match="the card says"):
        open_engine(card, path, prefer=engine)
    card, path = toy_networks.save(model, tmp_path)
    with pytest.raises(EngineError, match=r"needs inputs image \(got picture\)"):
        open_engine(card, path, prefer=engine).infer({"picture": IMAGES})
    path.write_bytes(b"no network")
    with pytest.raises(EngineError, match=r"cannot load toy\.onnx"):
        open_engine(card, path, prefer=engine)


def test_parameters_are_matched_by_name_and_shape(tmp_path: Path) -> None:
    needed("torch")
    wrong = {"torch": "toy_networks:torch_wider"}
    card, path = toy_networks.save(toy_networks.three_convolutions(), tmp_path, network=wrong)
    with pytest.raises(EngineError) as caught:
        open_engine(card, path, prefer="torch")
    told = str(caught.value)
    assert "'0.weight' must be (5, 1, 3, 3), the file has (4, 1, 3, 3)" in told
    assert "'4.weight' (1, 4, 3, 3) belongs to no parameter" in told
    missing = {"torch": "toy_networks:torch_nothing"}
    card, path = toy_networks.save(toy_networks.three_convolutions(), tmp_path, network=missing)
    with pytest.raises(EngineError, match="builder toy_networks:torch_nothing failed"):
        open_engine(card, path, prefer="torch")


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_low_precision_is_near_and_is_named(tmp_path: Path, engine: str) -> None:
    needed(engine)
    card, path = toy_networks.save(
        toy_networks.three_convolutions(),
        tmp_path,
        network=TORCH,
        precision={"bf16": {"absolute": 0.05}, "f32": {}},
    )
    try:
        opened = open_engine(card, path, prefer=engine)
    except EngineError as error:
        if "this processor computes in" in error.problem:
            pytest.skip(error.problem)
        raise
    assert opened.precision == "bf16"
    answer = opened.infer({"image": IMAGES})["answer"]
    exact = open_engine(card, path, prefer=engine, precision="f32").infer({"image": IMAGES})
    assert 1e-4 < np.max(np.abs(answer - exact["answer"])) < 0.05


def test_listing_engines_imports_none_of_their_libraries() -> None:
    code = (
        "from astroclean.inference.engines.engine import list_engines\n"
        "assert len(list_engines()) >= 4\n"
        "import sys; print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    heavy = {"openvino", "onnxruntime", "torch", "keras", "tensorflow", "onnx"}
    assert not heavy & set(done.stdout.split())


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed plugin with one network."""
    made = toy_networks.write_package(tmp_path)
    info = tmp_path / "toy_network_plugin-1.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text("[astroclean.mask]\ntoy-net = toy_network_plugin:Toy\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-network-plugin\nVersion: 1\n")
    (made / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("ASTROCLEAN_WEIGHTS", str(tmp_path / "own"))
    return made


def weights(*words: str) -> int:
    parser = ArgumentParser()
    weights_verb.add_arguments(parser)
    return weights_verb.run(parser.parse_args(words))


def test_networks_are_listed(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert weights("list", "--json") == 0
    (row,) = [r for r in json.loads(capsys.readouterr().out) if r["name"] == "toy"]
    assert row["state"] == "ok"
    assert row["path"] == str(package / "weights" / "toy.onnx")
    (package / "weights" / "toy.onnx").unlink()
    assert weights("list") == 0
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("toy "))
    assert "missing" in line
    assert "toy-network-plugin" in line


def test_folders_are_told(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert weights("where", "toy") == 0
    shown = capsys.readouterr().out.split()
    assert shown == [str(package / "weights"), str(package), str(package.parent / "own")]


def test_good_weights_are_verified_in_every_engine(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert weights("verify", "toy") == 0
    shown = capsys.readouterr().out
    assert "ok      toy: openvino f32: differs by up to" in shown
    assert "ok      toy: onnxruntime f32: differs by up to 0" in shown
    assert "skipped toy: torch f32: " in shown


def test_a_changed_byte_of_the_weights_is_caught(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = package / "weights" / "toy.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert weights("verify", "toy") == 3
    assert "FAILED  toy: weights: " in capsys.readouterr().out


def test_another_stored_answer_is_caught(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with np.load(package / "toy.npz") as stored:
        image, answer = stored["in_image"], stored["out_answer"].copy()
    answer[1, 0, 3, 4] += 0.01
    toy_networks.write_example(package / "toy.npz", {"image": image}, {"answer": answer})
    assert weights("verify", "toy", "--json") == 3
    rows = {row["check"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["weights"]["state"] == "ok"
    for engine in ("openvino f32", "onnxruntime f32"):
        assert rows[engine]["state"] == "FAILED"
        assert "differs by up to 0.01" in rows[engine]["detail"]
    answer[1, 0, 3, 4] = np.nan
    toy_networks.write_example(package / "toy.npz", {"image": image}, {"answer": answer})
    assert weights("verify", "toy") == 3, "NaN is no agreement"
    toy_networks.write_example(package / "toy.npz", {"image": image}, {"other": answer})
    assert weights("verify", "toy") == 3
    assert "has no array" in capsys.readouterr().out
    (package / "toy.npz").write_bytes(b"PK")
    assert weights("verify", "toy") == 3
    assert "cannot be read" in capsys.readouterr().out


def test_a_network_that_is_not_there(package: Path) -> None:
    with pytest.raises(PluginNotFoundError, match="Did you mean 'toy'"):
        weights("verify", "tyo")


def test_a_broken_card_is_told_and_disturbs_no_other(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (package / "second.card.toml").write_text("schema = 1\n")
    assert weights("list") == 3
    shown = capsys.readouterr()
    assert "toy " in shown.out
    assert "second.card.toml: card is wrong" in shown.err


def test_weights_are_imported_and_compared_with_the_card(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = package.parent
    (folder / "toy_hook.py").write_text(
        "from pathlib import Path\n"
        f"GOOD = Path({str(package / 'weights' / 'toy.onnx')!r})\n"
        "def write(target):\n"
        "    path = target / 'toy.onnx'\n"
        "    path.write_bytes(GOOD.read_bytes())\n"
        "    return [path]\n"
        "def write_other(target):\n"
        "    path = target / 'toy.onnx'\n"
        "    path.write_bytes(b'other')\n"
        "    return [path]\n"
    )
    info = folder / "toy_network_plugin-1.dist-info" / "entry_points.txt"
    hooks = "[astroclean.weights]\ntoy = toy_hook:write\nother = toy_hook:write_other\n"
    info.write_text(info.read_text() + hooks)
    assert weights("import", "toy") == 0
    shown = capsys.readouterr().out
    assert f"wrote {folder / 'own' / 'toy.onnx'}: SHA-256 " in shown
    assert shown.endswith(", license BSD-3-Clause\n")
    assert weights("import", "other") == 3
    assert "is not what the card of network 'toy' describes" in capsys.readouterr().err
