"""Prediction: tiles change nothing, pixels that are not valid are not seen, and units are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import toy_networks
from onnx import helper

from astroclean.core.image.frame import Frame
from astroclean.core.psf.psf import Psf
from astroclean.errors import UnitError
from astroclean.inference.cards.domain import check_domain
from astroclean.inference.engines.engine import Engine, EngineError, open_engine
from astroclean.inference.tiles.predictor import Predictor

if TYPE_CHECKING:
    from pathlib import Path

    from astroclean.inference.cards.card import NetworkCard

# Builder, and what its card says. `pooled` sees 1 + 4 + 3 + 1 + 1 pixels each way at most.
NETWORKS: dict[str, tuple[Any, dict[str, Any]]] = {
    "three_convolutions": (toy_networks.three_convolutions, {"halo": 3}),
    "pooled": (toy_networks.pooled, {"halo": 10, "multiple": 4}),
    "doubled": (toy_networks.doubled, {"halo": 1, "scale": 2}),
}
IDENTITY = {"identity": (toy_networks.identity, {"halo": 0})}
ENGINES = ["openvino", "onnxruntime"]


def opened(
    folder: Path, name: str, engine: str = "onnxruntime", **more: Any
) -> tuple[NetworkCard, Engine]:
    builder, content = {**NETWORKS, **IDENTITY}[name]
    card, path = toy_networks.save(builder(), folder, **{**content, **more})
    return card, open_engine(card, path, prefer=engine)


def noise(shape: tuple[int, int], seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def in_one_piece(card: NetworkCard, engine: Engine, image: np.ndarray) -> np.ndarray:
    """The engine alone on the frame, continued by numpy to whole multiples and to the halo."""
    more = [(0, -(-max(n, card.halo) // card.multiple) * card.multiple - n) for n in image.shape]
    whole = np.pad(image, more, mode="reflect")[np.newaxis, np.newaxis]
    ny, nx = (n * card.scale for n in image.shape)
    return engine.infer({"image": whole})["answer"][0, :, :ny, :nx]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("shape", [(97, 130), (40, 201), (64, 64), (5, 7), (11, 1)])
def test_tiles_equal_the_frame_in_one_piece(
    tmp_path: Path, name: str, engine: str, shape: tuple[int, int]
) -> None:
    card, network = opened(tmp_path, name, engine)
    frame = Frame(noise(shape), unit="adu")
    answer = Predictor(card, network, tile=48).predict(frame)["answer"]
    expected = in_one_piece(card, network, frame.data)
    assert answer.shape == expected.shape == (1, shape[0] * card.scale, shape[1] * card.scale)
    np.testing.assert_allclose(answer, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_halo_that_is_too_small_is_seen(tmp_path: Path, name: str) -> None:
    """The test above can fail."""
    card, network = opened(tmp_path, name, halo=0)
    frame = Frame(noise((97, 130)), unit="adu")
    answer = Predictor(card, network, tile=48).predict(frame)["answer"]
    assert np.max(np.abs(answer - in_one_piece(card, network, frame.data))) > 0.01


def test_tiles_out_of_step_with_the_pooling_are_seen(tmp_path: Path) -> None:
    """A halo alone does not do: tiles must begin at multiples."""
    card, network = opened(tmp_path, "pooled")
    frame = noise((96, 96))
    expected = in_one_piece(card, network, frame)[0]
    shifted = in_one_piece(card, network, frame[2:])[0]
    assert np.max(np.abs(shifted[20:60, 20:60] - expected[22:62, 20:60])) > 0.01


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("engine", ENGINES)
def test_batches_do_not_mix(tmp_path: Path, name: str, engine: str) -> None:
    card, network = opened(tmp_path, name, engine)
    frame = Frame(noise((97, 130)), unit="adu")
    one, many = (Predictor(card, network, tile=40, batch=n).predict(frame) for n in (1, 7))
    np.testing.assert_allclose(one["answer"], many["answer"], rtol=0, atol=1e-6)


def test_the_same_twice_to_the_bit(tmp_path: Path) -> None:
    for engine in ENGINES:
        card, network = opened(tmp_path, "pooled", engine)
        frame = Frame(noise((97, 130)), unit="adu")
        before = frame.data.copy()
        first, second = (Predictor(card, network, tile=48).predict(frame) for _ in range(2))
        assert np.array_equal(first["answer"], second["answer"])
        assert np.array_equal(frame.data, before), "the frame is not modified"


@pytest.mark.parametrize("engine", ENGINES)
def test_the_number_of_threads_changes_no_bit(tmp_path: Path, engine: str) -> None:
    card, path = toy_networks.save(
        toy_networks.pooled(),
        tmp_path,
        halo=10,
        multiple=4,
        normalization={"name": "background_sigma", "box": 16},
    )
    frame = Frame(noise((297, 130)) * 5 + 300, unit="adu")
    one, three = (
        Predictor(card, open_engine(card, path, prefer=engine, threads=n), tile=48).predict(frame)
        for n in (1, 3)
    )
    assert np.array_equal(one["answer"], three["answer"])


def test_normalization_is_undone(tmp_path: Path) -> None:
    """A network that does nothing gives intensities back in the unit of the frame."""
    frame = Frame(300 + 5 * noise((60, 70)), unit="electron")
    for scope in ("frame", "tile"):
        for name in ("asinh", "log", "sigma_clip_zscore", "background_sigma"):
            card, network = opened(
                tmp_path, "identity", normalization={"name": name, "scope": scope}
            )
            answer = Predictor(card, network, tile=32).predict(frame)["answer"][0]
            np.testing.assert_allclose(answer, frame.data, rtol=1e-5)
    plain = [{"name": "answer", "content": "plain"}]
    card, network = opened(
        tmp_path, "identity", outputs=plain, normalization={"name": "sigma_clip_zscore"}
    )
    answer = Predictor(card, network).predict(frame)["answer"]
    assert np.std(answer) == pytest.approx(1, abs=0.05), "plain answers are not undone"


@pytest.mark.parametrize("scope", ["frame", "tile"])
@pytest.mark.parametrize("name", ["sigma_clip_zscore", "background_sigma"])
def test_an_expected_error_is_undone_without_the_level_of_the_sky(
    tmp_path: Path, name: str, scope: str
) -> None:
    """A network that gives its input: undone as a width, that is the frame less its sky."""
    frame = Frame(300 + 5 * noise((60, 70)), unit="electron")
    answers = {}
    for content in ("width", "intensity"):
        card, network = opened(
            tmp_path,
            "identity",
            outputs=[{"name": "answer", "content": content}],
            normalization={"name": name, "scope": scope},
        )
        answers[content] = Predictor(card, network, tile=64).predict(frame)["answer"][0]
    sky = answers["intensity"] - answers["width"]
    assert np.median(sky) == pytest.approx(300, abs=2)
    assert sky.std() < 3
    assert answers["width"].std() == pytest.approx(5, rel=0.1)
    assert abs(np.median(answers["width"])) < 1


def test_statistics_of_tiles_differ_from_those_of_the_frame(tmp_path: Path) -> None:
    half = np.hstack([noise((64, 64)), 100 + 10 * noise((64, 64))])
    frame = Frame(half, unit="adu")
    answers = []
    for scope in ("frame", "tile"):
        card, network = opened(
            tmp_path,
            "three_convolutions",
            outputs=[{"name": "answer"}],
            normalization={"name": "sigma_clip_zscore", "scope": scope},
        )
        answers.append(Predictor(card, network, tile=70).predict(frame)["answer"])
    assert np.max(np.abs(answers[0] - answers[1])) > 0.1


@pytest.mark.parametrize("scale", [1, 2])
def test_pixels_that_are_not_valid_are_not_seen_and_are_marked(tmp_path: Path, scale: int) -> None:
    name = {1: "three_convolutions", 2: "doubled"}[scale]
    card, network = opened(tmp_path, name, normalization={"name": "sigma_clip_zscore"})
    flags = np.zeros((50, 60), dtype=np.uint32)
    flags[20:23, 30:34] = 1  # cosmic ray: rejected
    flags[40, 40] = 1 << 7  # fringes: not rejected
    answers = []
    for rubbish in (np.nan, 1e9, -3.0):
        data = noise((50, 60))
        data[5, 5] = np.nan
        data[20:23, 30:34] = rubbish
        answers.append(
            Predictor(card, network, tile=32).predict(Frame(data, unit="adu", flags=flags))
        )
    first = answers[0]["answer"][0]
    hidden = np.zeros((50, 60), bool)
    hidden[5, 5] = hidden[20:23, 30:34] = True
    assert np.array_equal(np.isnan(first), np.kron(hidden, np.ones((scale, scale))).astype(bool))
    for other in answers[1:]:
        assert np.array_equal(first, other["answer"][0], equal_nan=True)


def test_a_network_that_fills_keeps_its_answer(tmp_path: Path) -> None:
    card, network = opened(
        tmp_path,
        "three_convolutions",
        outputs=[{"name": "answer", "content": "intensity", "at_invalid": "keep"}],
    )
    data = noise((30, 30))
    data[3, 4] = np.nan
    assert np.isfinite(Predictor(card, network).predict(Frame(data, unit="adu"))["answer"]).all()


def test_a_network_that_looks_for_bad_pixels_sees_flagged_ones(tmp_path: Path) -> None:
    flags = np.zeros((30, 30), dtype=np.uint32)
    flags[10, 10] = 1 << 9  # saturated
    answers = []
    for value in (0.0, 50.0):
        card, network = opened(tmp_path, "three_convolutions", valid_pixels="finite")
        data = noise((30, 30))
        data[10, 10] = value
        answers.append(Predictor(card, network).predict(Frame(data, unit="adu", flags=flags)))
    difference = answers[0]["answer"][0] - answers[1]["answer"][0]
    assert np.isfinite(difference).all()
    assert np.abs(difference[10, 10]) > 0.1


def test_inputs_beside_the_pixels(tmp_path: Path) -> None:
    """The network adds what is valid and an image of the stage: 1 where seen, plus the image."""
    free: list[Any] = ["n", 1, "ny", "nx"]
    names = ("image", "seen", "prior")
    made = helper.make_graph(
        [
            helper.make_node("Mul", ["image", "seen"], ["kept"]),
            helper.make_node("Add", ["seen", "prior"], ["sum"]),
            helper.make_node("Mul", ["kept", "none"], ["nothing"]),
            helper.make_node("Add", ["sum", "nothing"], ["answer"]),
        ],
        "toy",
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, free) for name in names],
        [helper.make_tensor_value_info("answer", onnx.TensorProto.FLOAT, free)],
        [onnx.numpy_helper.from_array(np.array(0, np.float32), "none")],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    card, path = toy_networks.save(
        model,
        tmp_path,
        inputs=[
            {"name": "image"},
            {"name": "seen", "content": "valid"},
            {"name": "prior", "content": "extra"},
        ],
        outputs=[{"name": "answer", "at_invalid": "keep"}],
    )
    data, prior = noise((37, 41)), noise((37, 41), seed=6)
    data[2, 3] = np.nan
    frame = Frame(data, unit="adu")
    for engine in ENGINES:
        predictor = Predictor(card, open_engine(card, path, prefer=engine), tile=20)
        answer = predictor.predict(frame, {"prior": prior})["answer"][0]
        np.testing.assert_allclose(answer, np.isfinite(data) + prior, rtol=1e-6)
    with pytest.raises(EngineError, match="needs extra inputs prior"):
        predictor.predict(frame)
    with pytest.raises(EngineError, match="must have the shape"):
        predictor.predict(frame, {"prior": prior[1:]})


def test_an_answer_of_another_shape_is_an_error(tmp_path: Path) -> None:
    frame = Frame(noise((20, 20)), unit="adu")
    card, network = opened(tmp_path, "three_convolutions", scale=2)
    with pytest.raises(EngineError, match="fault of the card"):
        Predictor(card, network).predict(frame)
    two = [{"name": "answer", "channels": ["CR", "TRL"]}]
    card, network = opened(tmp_path, "three_convolutions", outputs=two)
    with pytest.raises(EngineError, match=r"must have the shape \(1, 2, 20, 20\)"):
        Predictor(card, network).predict(frame)


def test_another_unit_is_an_error(tmp_path: Path) -> None:
    card, network = opened(tmp_path, "three_convolutions", unit="electron")
    Predictor(card, network).predict(Frame(noise((20, 20)), unit="electron"))
    with pytest.raises(UnitError, match=r"needs pixels in electron \(got adu\)"):
        Predictor(card, network).predict(Frame(noise((20, 20)), unit="adu"))


def test_the_training_domain_is_compared_with_what_the_frame_tells(tmp_path: Path) -> None:
    domain = {
        "instruments": ["acs-wfc"],
        "pixel_scale": [0.04, 0.06],
        "fwhm_pixels": [1.5, 3.0],
        "coadd": False,
    }
    card, _ = opened(tmp_path, "three_convolutions", unit="electron", domain=domain)
    inside = {"ACINSTR": "acs-wfc", "ACPIXSC": 0.05, "NCOMBINE": 1}
    good = Frame(noise((20, 20)), unit="electron", meta=inside, psf=Psf.gaussian(fwhm_pixels=2.0))
    assert check_domain(card, good) == ()
    assert check_domain(card, Frame(noise((9, 9)), unit="electron")) == (), "nothing told"
    outside = {"ACINSTR": "decam", "ACPIXSC": 0.26, "NCOMBINE": 5}
    bad = Frame(noise((20, 20)), unit="adu", meta=outside, psf=Psf.gaussian(fwhm_pixels=5.0))
    told = check_domain(card, bad)
    assert [clause.split()[0] for clause in told] == ["instrument", "pixel", "PSF", "5", "unit"]
    assert told[0] == "instrument decam, trained on acs-wfc"
    assert told[1] == "pixel scale 0.26 arcsec, trained on 0.04 to 0.06"
