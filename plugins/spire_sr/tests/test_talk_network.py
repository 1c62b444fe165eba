"""The network of the talk has its shape, and its ONNX file answers as it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from astroclean.errors import ConfigurationError
from astroclean.inference.cards.card import load_card
from astroclean.inference.cards.verify import verify_network

if TYPE_CHECKING:
    from pathlib import Path

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from astroclean_spire_sr.talk.export import export_talk  # noqa: E402 - imports torch
from astroclean_spire_sr.talk.network import (  # noqa: E402 - imports torch
    Generator,
    build_compact,
    build_talk,
)
from astroclean_spire_sr.talk.sizes import COMPACT, TALK, GeneratorSize  # noqa: E402 - beside it
from astroclean_spire_sr.talk.weights import block_side, talk_card  # noqa: E402 - beside it

TINY = GeneratorSize(4, 4)


def test_filters_are_those_of_galaxygan() -> None:
    assert TALK.widths == (64, 128, 256, 512, 512, 512, 512, 512)
    assert TALK.multiple == 256
    assert COMPACT.widths == (32, 64, 128, 256, 256, 256)


def test_blocks_are_those_of_the_talk() -> None:
    """Counted from the figure's key: dropout in three decoder blocks, a sigmoid at the end."""
    network = Generator(TALK)
    layers = [type(layer).__name__ for layer in network.modules()]
    assert layers.count("Conv2d") == layers.count("ConvTranspose2d") == 8
    assert layers.count("BatchNorm2d") == 15
    assert layers.count("LeakyReLU") == 15
    assert layers.count("Dropout") == 3
    assert layers[-1] == "Sigmoid"
    slopes = {m.negative_slope for m in network.modules() if isinstance(m, torch.nn.LeakyReLU)}
    assert slopes == {0.2}


@pytest.mark.parametrize("build", [build_talk, build_compact])
def test_an_answer_has_the_shape_of_its_input_and_lies_in_0_to_1(build: object) -> None:
    assert callable(build)
    network = build().eval()
    with torch.inference_mode():
        answer = network(torch.rand(1, 1, 256, 256))
    assert answer.shape == (1, 1, 256, 256)
    assert 0 <= float(answer.min()) < float(answer.max()) <= 1


def test_fine_detail_reaches_the_answer_past_the_coarse_levels() -> None:
    """By the skip connections: a pixel that changes shows at its place."""
    torch.manual_seed(3)
    network = Generator(TINY).eval()
    image = torch.full((1, 1, 32, 32), 0.2)
    changed = image.clone()
    changed[0, 0, 20, 9] = 0.9
    with torch.inference_mode():
        off = (network(changed) - network(image)).abs()[0, 0]
    row, column = np.unravel_index(int(off.argmax()), off.shape)
    assert abs(int(row) - 20) <= 3
    assert abs(int(column) - 9) <= 3


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the card of a network whose normalizations have seen something."""
    torch.manual_seed(5)
    network = Generator(TINY).train()
    for _ in range(3):
        network(torch.rand(4, 1, 64, 64))
    folder = tmp_path_factory.mktemp("talk")
    return export_talk(network, folder, size=TINY, side=64)[1]


def test_the_onnx_file_answers_as_the_module_does(exported: Path) -> None:
    """The stored answer is the module's; engines are compared with it."""
    findings = list(verify_network(load_card(exported)))
    assert all(finding.passed is not False for finding in findings)
    assert sum(finding.passed is True for finding in findings) > 1


def test_sizes_with_a_name_tell_engines_how_to_build_them(exported: Path) -> None:
    assert load_card(exported).network.torch is None
    network = build_compact()
    folder = exported.parent / "compact"
    folder.mkdir()
    card = export_talk(network, folder, size=COMPACT, side=64)[1]
    assert load_card(card).network.torch == "astroclean_spire_sr.talk.network:build_compact"


def test_who_asks_for_weights_that_are_not_there_is_told_how_to_train(tmp_path: Path) -> None:
    told = "astroclean train spire-sr-talk --out DIR"
    with pytest.raises(ConfigurationError, match=f"none that are shipped.*{told}"):
        talk_card(tmp_path, "astroclean")
    with pytest.raises(ConfigurationError, match=f"no card .*{told}"):
        talk_card(tmp_path, str(tmp_path / "mine.card.toml"))
    (tmp_path / "spire-sr-talk.card.toml").touch()
    assert talk_card(tmp_path, "astroclean") == tmp_path / "spire-sr-talk.card.toml"


def test_the_card_of_another_network_is_refused(exported: Path) -> None:
    card = load_card(exported)
    assert block_side(card) == 64
    other = card.model_copy(update={"batches": ()})
    with pytest.raises(ConfigurationError, match="is not of the variant 'talk'"):
        block_side(other)
