"""Networks on stamps: the same answer whichever other sources there are, and nothing unsaid."""

from __future__ import annotations

import importlib.util
import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import toy_networks
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf

from astroclean.core.image.frame import Frame
from astroclean.core.psf.psf import Psf
from astroclean.core.stage.scope import Chunk
from astroclean.errors import AstrocleanWarning, ContractError, FrameError, SuspectWarning
from astroclean.inference.cards import card as card_module
from astroclean.inference.engines.engine import EngineError, open_engine
from astroclean.inference.stamped.predictor import StampPredictor
from astroclean.inference.stamped.views import SourceBox, SourceStamps
from astroclean.inference.tiles.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ENGINES = ["onnxruntime", "openvino", "torch", "keras"]
NETWORK = {"torch": "toy_networks:torch_stamps", "keras": "toy_networks:keras_stamps"}
SIDE = 24


@pytest.fixture(autouse=True)
def _toys_are_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the toy networks pass for those of an installed plugin, whose code may be run."""
    monkeypatch.setattr(card_module, "plugin_packages", lambda: {"toy_networks"})
    monkeypatch.setattr(card_module, "_folders_of", lambda _: [str(tmp_path)])


def needed(library: str) -> None:
    if importlib.util.find_spec(library) is None:
        problem = f"{library} is not installed; see requirements/test.txt"
        if os.environ.get("ASTROCLEAN_CI") == "1":
            pytest.fail(f"{problem}; it must run where ASTROCLEAN_CI=1")
        pytest.skip(problem)


def predictor(
    folder: Path, engine: str = "onnxruntime", *, threads: int = 0, **more: Any
) -> StampPredictor:
    needed(engine)
    model = toy_networks.stamps(keras=engine == "keras")
    card, path = toy_networks.save(
        model, folder, **toy_networks.stamp_card(network=NETWORK, **more)
    )
    return StampPredictor(
        card, open_engine(card, path, prefer=engine, threads=threads or running(engine))
    )


def running(engine: str) -> int:
    """Return 1, or the threads with which an earlier test has started TensorFlow for good."""
    if engine != "keras":
        return 1
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
    except RuntimeError:
        return int(tf.config.threading.get_intra_op_parallelism_threads())
    return 1


def field(shape: tuple[int, int] = (150, 120), count: int = 23) -> tuple[Frame, np.ndarray]:
    """Stars of many fluxes, some beyond the border, with bad pixels, and where they are."""
    rng = np.random.default_rng(8)
    psf = Psf.gaussian(fwhm_pixels=3.0)
    places = rng.uniform(-3, np.array(shape[::-1]) + 2, (count, 2))
    y, x = np.indices(shape)
    data = rng.normal(0, 1, shape)
    for (px, py), flux in zip(places, 10 ** rng.uniform(1, 4, count), strict=True):
        data += flux * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * 1.274**2)) / 10.2
    data[rng.random(shape) < 0.01] = np.nan
    flags = (rng.random(shape) < 0.01).astype(np.uint32)
    frame = Frame(data.astype(np.float32), unit="adu", flags=flags, psf=psf)
    return frame, places


OTHERS = np.random.default_rng(9).uniform(0, 3, (150, 120)).astype(np.float32)


def asked(network: StampPredictor, frame: Frame, places: np.ndarray, **more: Any) -> Any:
    told = {"noise": 1.0, "given": {"others": OTHERS}, **more}
    with warnings.catch_warnings():
        # Of a source in a corner next to nothing is seen; another test asks for the message.
        warnings.filterwarnings("ignore", message=".*too few valid pixels", category=UserWarning)
        return network.predict(frame, places, told.pop("given"), **told)


def both(answers: Any) -> np.ndarray:
    return np.concatenate([answers.stacked("light"), answers.stacked("weight")], axis=1)


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_engines_agree_within_the_tolerance_of_the_card(tmp_path: Path, engine: str) -> None:
    frame, places = field()
    answers = [asked(predictor(tmp_path, name), frame, places) for name in (engine, ENGINES[0])]
    found, expected = (answer.stacked("light") for answer in answers)
    known = np.isfinite(expected)
    np.testing.assert_array_equal(np.isfinite(found), known)
    width = answers[0].scales[:, None, None, None]
    np.testing.assert_allclose(
        (found / width)[known], (expected / width)[known], rtol=1e-4, atol=1e-5
    )
    assert np.nanstd(expected / width) > 0.05, "there is something to agree on"
    found, expected = (answer.stacked("weight")[answers[0].asked] for answer in answers)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_neither_order_nor_company_changes_a_bit(tmp_path: Path, engine: str) -> None:
    frame, places = field()
    network = predictor(tmp_path, engine)
    first = asked(network, frame, places)
    expected = both(first)
    assert first.asked.sum() > 15
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(places))
        some = order[: 23 - 5 * seed]
        found = asked(network, frame, places[some])
        assert both(found).tobytes() == expected[some].tobytes()
        assert found.scales.tobytes() == first.scales[some].tobytes()


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_the_number_of_threads_changes_no_bit(tmp_path: Path, engine: str) -> None:
    frame, places = field()
    one, three = (
        both(asked(predictor(tmp_path, engine, threads=n), frame, places)) for n in (1, 3)
    )
    assert one.tobytes() == three.tobytes()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("scaling", ["normalization", "noise", "matched_filter"])
def test_a_chunk_with_the_halo_gives_the_bytes_of_the_frame(
    tmp_path: Path, engine: str, scaling: str
) -> None:
    if engine in {"torch", "keras"} and scaling != "matched_filter":
        pytest.skip("the scale is found before the engine is asked")
    network = predictor(
        tmp_path,
        engine,
        stamp={"scaling": scaling},
        normalization={"name": "sigma_clip_zscore", "scope": "tile"},
    )
    frame, places = field()
    nodes = np.array([[0.0, 0], [119, 0], [0, 149], [119, 149]])
    stamps = [Psf.gaussian(fwhm_pixels=w).stamps[0] for w in (2.6, 2.61, 2.62, 2.63)]
    frame = frame.replace(psf=Psf(np.stack(stamps), nodes, computed=True))
    expected = both(asked(network, frame, places))
    done = np.zeros(len(places), dtype=bool)
    for start in range(0, 150, 40):
        stop, low = min(start + 40, 150), max(start - network.halo, 0)
        high = min(stop + network.halo, 150)
        row = np.clip(np.floor(places[:, 1] + 0.5), 0, 149)
        own = (row >= start) & (row < stop)
        chunk = Chunk((low, 0), frame.shape, own=slice(start - low, stop - low))
        given = {"others": OTHERS[low:high]}
        found = asked(
            network,
            frame[low:high].replace(chunk=chunk),
            places[own] - np.array([0, low]),
            given=given,
        )
        assert both(found).tobytes() == expected[own].tobytes()
        done |= own
    assert done.all()


def test_a_source_whose_stamp_leaves_the_halo_is_told(tmp_path: Path) -> None:
    network = predictor(tmp_path)
    frame, _ = field()
    low, high = 40 - network.halo + 6, 80 + network.halo
    chunk = Chunk((low, 0), frame.shape, own=slice(40 - low, 80 - low))
    cut = frame[low:high].replace(chunk=chunk)
    # In the middle; above, in the halo, which is wide enough; below, where it is not; in the halo,
    # so far out that the stamp is another chunk's.
    places = np.array([[60.0, 60], [50, 90], [50, 29], [70, 24]]) - np.array([0, low])
    given = {"others": OTHERS[low:high]}
    with pytest.warns(SuspectWarning, match=r"1 sources \(x 50.0 y 29.0\).*halo of 26 pixels"):
        answers = network.predict(cut, places, given, noise=1.0)
    np.testing.assert_array_equal(answers.asked, [True, True, False, False])
    assert list(answers.kept[2:]) == [None, None]
    assert np.isnan(answers.stacked("light")[2:]).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network.predict(cut, places[[0, 1, 3]], given, noise=1.0)


def test_at_the_border_there_is_nothing_and_the_mask_says_so(tmp_path: Path) -> None:
    """In a frame that goes on with pixels that are not valid, the answer is the same."""
    frame, _ = field()
    places = np.array([[0.0, 0], [119, 149], [-1.1, 60], [60.3, -1.2]])
    wide = Frame(
        np.pad(frame.data, 30, constant_values=np.nan),
        unit="adu",
        flags=np.pad(frame.flags, 30),
        psf=frame.psf,
    )
    network = predictor(tmp_path)
    found = asked(network, frame, places)
    other = asked(network, wide, places + 30, given={"others": np.pad(OTHERS, 30)})
    assert found.asked.all()
    assert both(found).tobytes() == both(other).tobytes()
    light = found.stacked("light")
    assert np.isnan(light[0, :, : SIDE // 2 - 1]).all()
    assert np.isfinite(light[0, :, -SIDE // 2 + 2 :]).any()
    assert np.isfinite(found.stacked("weight")).all(), "the card says keep"


def test_a_pixel_without_a_value_is_not_seen_and_has_no_answer(tmp_path: Path) -> None:
    frame, _ = field()
    places = np.array([[60.0, 75], [80, 75]])
    network = predictor(tmp_path)
    rest = np.isfinite(frame.data) & ~frame.mask
    answers = []
    for value in (np.nan, 1e30, -3.0):
        data = np.where(rest, frame.data, 0)
        data[74, 66] = value
        flags = (~rest).astype(np.uint32)
        flags[74, 66] = 1
        bad = frame.replace(data=data, flags=flags)
        answers.append(both(asked(network, bad, places)))
    assert answers[0].tobytes() == answers[1].tobytes() == answers[2].tobytes()
    row, column = (74 - 75 + 12, 66 - 60 + 12)
    found = answers[0][0]
    assert np.isnan(found[:2, row, column]).all()
    assert np.isfinite(found[2]).all()
    assert np.isfinite(answers[0]).mean() > 0.9


def test_no_source(tmp_path: Path) -> None:
    frame, _ = field()
    answers = asked(predictor(tmp_path), frame, np.zeros((0, 2)))
    assert answers.stacked("light").shape == (0, 2, SIDE, SIDE)
    assert answers.boxes == ()
    assert answers.asked.shape == (0,)


def test_what_cannot_be_scaled_is_told_and_left(tmp_path: Path) -> None:
    frame, _ = field()
    data = np.array(frame.data)
    data[60:73, 60:73] = np.nan
    places = np.array([[66.0, 66], [20, 20], [500, 500]])
    with pytest.warns(AstrocleanWarning, match=r"2 sources \(x 66.0 y 66.0; x 500.0 y 500.0\)"):
        answers = predictor(tmp_path).predict(
            frame.replace(data=data), places, {"others": OTHERS}, noise=1.0
        )
    np.testing.assert_array_equal(answers.asked, [False, True, False])
    with pytest.raises(FrameError, match="finite position"):
        asked(predictor(tmp_path), frame, np.array([[np.nan, 3.0]]))


@settings(deadline=None, max_examples=30)
@given(
    st.floats(0.3, 1e5),
    st.floats(20, 40),
    st.floats(20, 40),
    st.floats(1.8, 5.0),
    st.floats(0.5, 1e4),
)
def test_the_scale_is_the_peak_of_the_source_or_its_noise(
    snr: float, x: float, y: float, fwhm: float, noise: float
) -> None:
    """For a lone point source without any noise drawn: the brightness of its peak."""
    psf = Psf.gaussian(fwhm_pixels=fwhm)
    sigma = fwhm / 2.3548
    steps = (np.arange(61)[:, np.newaxis] - [x, y] + [[[0.5]], [[-0.5]]]) / (sigma * np.sqrt(2))
    high, low = erf(steps)
    along_x, along_y = ((high - low) / 2).T
    image = np.outer(along_y, along_x)
    least = noise / np.sqrt(np.sum(image**2))
    flux = snr * least
    frame = Frame((flux * image).astype("f4"), unit="adu", psf=psf)
    card = card_module.NetworkCard.model_validate(
        {
            "schema": 1,
            "name": "a",
            "architecture": "a",
            "paper": "none",
            "license": "MIT",
            "unit": "any",
            "precision": {"f32": {}},
            "weights": {"file": "a", "sha256": "0" * 64, "size": 1},
            **toy_networks.stamp_card(),
        }
    )
    stamps = SourceStamps(card, frame, np.ones((61, 61), dtype=bool), {"others": 0.0}, None, noise)
    view = stamps.view(SourceBox(int(y) - 12, int(x) - 12, SIDE, 0, (x, y)))
    assert view is not None
    assert view.scale is not None
    expected = max(flux, least) * psf.stamps[0].max()
    assert view.scale == pytest.approx(expected, rel=0.03)


def test_intensities_follow_the_unit_of_the_frame(tmp_path: Path) -> None:
    """What is a thousand times brighter is answered a thousand times brighter, weights are not."""
    frame, places = field()
    network = predictor(tmp_path)
    first = asked(network, frame, places)
    factor = np.float32(1024)  # exact
    bright = asked(
        network,
        frame.replace(data=frame.data * factor),
        places,
        noise=1024.0,
        given={"others": OTHERS * factor},
    )
    np.testing.assert_allclose(bright.scales, 1024 * first.scales, rtol=1e-6)
    np.testing.assert_allclose(
        bright.stacked("light"), 1024 * first.stacked("light"), rtol=1e-4, atol=1e-2
    )
    np.testing.assert_allclose(bright.stacked("weight"), first.stacked("weight"), rtol=1e-5)


def _shown(network: StampPredictor, frame: Frame, place: tuple[float, float], **more: Any) -> Any:
    """What the engine was given for one source."""
    seen: list[np.ndarray] = []
    inner = network.engine

    class Spy:
        name, device, precision, parallel = inner.name, inner.device, inner.precision, 1

        def infer(self, inputs: Any) -> Any:
            seen.append(np.array(inputs["stamp"]))
            return inner.infer(inputs)

        def close(self) -> None:
            """Not called."""

    spied = StampPredictor(network.card, Spy())
    told = asked(spied, frame, np.array([place]), **more)
    return seen[0], told


def test_what_the_network_is_shown(tmp_path: Path) -> None:
    """Each plane by its definition, written down anew; empty places of a batch are zero."""
    frame, _ = field()
    less = np.full(frame.shape, 0.25, dtype=np.float32)
    batch, told = _shown(predictor(tmp_path), frame, (60.3, 74.8), less=less, noise=2.0)
    assert batch.shape == (4, 5, SIDE, SIDE)
    assert not batch[1:].any()
    rows, columns = slice(63, 87), slice(49, 73)
    assert (told.boxes[0].y, told.boxes[0].x) == (rows.start, columns.start)
    scale = told.scales[0]
    valid = ~frame.mask[rows, columns]
    data, mask, kernel, noise, others = batch[0]
    np.testing.assert_array_equal(mask, valid)
    expected = np.where(valid, (frame.data[rows, columns] - 0.25) / scale, 0)
    np.testing.assert_allclose(data, expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(noise, 2.0 / scale, rtol=1e-6)
    np.testing.assert_allclose(others, OTHERS[rows, columns] / scale, rtol=1e-6)
    assert frame.psf is not None
    half = frame.psf.shape[0] // 2
    middle = kernel[12 - half : 13 + half, 12 - half : 13 + half]
    np.testing.assert_allclose(middle, frame.psf.stamps[0], rtol=1e-6)
    assert kernel.sum() == pytest.approx(1, abs=1e-6)


def test_planes_come_as_numbers_maps_stamps_or_functions(tmp_path: Path) -> None:
    frame, places = field()
    network = predictor(tmp_path, stamp={"intensities": []})
    flat = np.full(frame.shape, 0.5, dtype=np.float32)
    some = places[(places > 15).all(axis=1) & (places < 105).all(axis=1)]
    count = len(some)
    forms: list[Any] = [
        0.5,
        np.full(count, 0.5),
        flat,
        np.full((count, SIDE, SIDE), 0.5),
        lambda box: np.full((box.side, box.side), 0.5),
    ]
    answers = {
        both(asked(network, frame, some, given={"others": form})).tobytes() for form in forms
    }
    assert len(answers) == 1
    numbered = asked(network, frame, some, given={"others": np.arange(count) / count})
    for k in range(count):
        alone = asked(network, frame, some[[k]], given={"others": k / count})
        assert both(numbered)[k].tobytes() == both(alone)[0].tobytes()


def test_what_is_kept_is_for_the_stage_to_say(tmp_path: Path) -> None:
    frame, places = field()
    network = predictor(tmp_path)
    everything = asked(network, frame, places)
    light = everything.stacked("light")
    sums = asked(
        network,
        frame,
        places,
        keep=lambda box, _, answer: (box.number, float(np.nansum(answer["light"][0]))),
    )
    np.testing.assert_array_equal(sums.asked, everything.asked)
    for k in np.flatnonzero(sums.asked):
        assert sums.kept[k] == (k, pytest.approx(float(np.nansum(light[k, 0]))))


WRONG: dict[str, tuple[Callable[..., Any], type[Exception], str]] = {
    "no plane": (lambda n, f, p: asked(n, f, p, given={}), EngineError, "planes others .got none"),
    "a plane of another shape": (
        lambda n, f, p: asked(n, f, p, given={"others": np.zeros((len(p), 3, 3))}),
        EngineError,
        "'others' must have the shape",
    ),
    "a plane with NaN": (
        lambda n, f, p: asked(n, f, p, given={"others": np.nan * OTHERS}),
        EngineError,
        "must be finite",
    ),
    "no noise": (
        lambda n, f, p: asked(
            n, f[:90].replace(chunk=Chunk((0, 0), f.shape)), p[p[:, 1] < 70], noise=None
        ),
        ContractError,
        "needs the noise",
    ),
    "no PSF": (lambda n, f, p: asked(n, f.replace(psf=None), p), ContractError, "needs the PSF"),
    "tiles": (lambda n, *_: Predictor(n.card, n.engine), ContractError, "looks at stamps"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_missing_or_wrong_is_an_error(tmp_path: Path, case: str) -> None:
    call, kind, match = WRONG[case]
    frame, places = field()
    with pytest.raises(kind, match=match):
        call(predictor(tmp_path), frame, places)


def test_a_network_for_tiles_is_no_network_for_stamps(tmp_path: Path) -> None:
    card, path = toy_networks.save(toy_networks.three_convolutions(), tmp_path)
    with pytest.raises(ContractError, match=r"no table \[stamp\]"):
        StampPredictor(card, open_engine(card, path, prefer="onnxruntime"))


CARDS = {
    "side": ({"stamp": {"side": 25}}, "25 is no multiple of 2"),
    "twice": ({"inputs": [{"name": "stamp", "planes": ["data", "others", "data"]}]}, "two planes"),
    "intensities": ({"stamp": {"intensities": ["psf", "what"]}}, "stage gives: psf, what"),
    "scope": (
        {"stamp": {"scaling": "normalization"}, "normalization": {"name": "asinh"}},
        'it is "tile"',
    ),
}


@pytest.mark.parametrize("case", CARDS)
def test_cards_that_do_not_fit_together_are_refused(tmp_path: Path, case: str) -> None:
    content, match = CARDS[case]
    with pytest.raises(ValueError, match=match):
        toy_networks.save(toy_networks.stamps(), tmp_path, **toy_networks.stamp_card(**content))
    with pytest.raises(ValueError, match="need the table"):
        toy_networks.save(
            toy_networks.stamps(), tmp_path, inputs=[{"name": "stamp", "planes": ["data"]}]
        )
