"""A training goes on with the user's darks and frames, from our weights or the authors'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astroclean_maximask.network.architectures import COMPACT, PAPER, WIDE, architecture_of
from astroclean_maximask.shipped import card_path, start_path
from astroclean_maximask.train.frames import FrameSampleMaker, contaminated_anew
from astroclean_maximask.train.instrument import gather, makers
from astroclean_maximask.train.samples import SampleMaker, doubtful
from astropy.io import fits
from scipy.ndimage import binary_dilation

import astroclean
from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.detector import DETECTOR_KEYWORDS
from astroclean.core.image.frame import Frame
from astroclean.errors import AstrocleanWarning, ConfigurationError
from astroclean.inference.cards.card import load_card
from astroclean.inference.cards.verify import read_example
from astroclean.inference.cards.weights import (
    MissingWeightsError,
    find_weights,
    own_weights_folder,
)
from astroclean.inference.engines.engine import open_engine
from astroclean.io.products.names import OWNER_KEYWORD, WRITER_KEYWORD
from astroclean.simulate.contaminants.cosmic_rays import load_hits, simulate_hit
from astroclean.simulate.draws import add_stamp
from astroclean.training.folder import TrainingFolder
from astroclean.training.keras_onnx import export_keras
from astroclean.training.loop import Report, run_training
from astroclean.training.trainer import find_trainer, make_recipe

if TYPE_CHECKING:
    from pathlib import Path

keras = pytest.importorskip("keras", reason="Keras is not installed")
SIDE, SKY = 300, 400.0
GHOST, SUSPECT = np.uint32(MaskPlane.GHOST), np.uint32(MaskPlane.SUSPECT)
SMALL = {"batch": 2, "first": 3, "fresh": 0.0, "keep": 3, "validation": 2, "calibration": 2}


def exposure(rng: np.random.Generator, *, fwhm: float = 3.5) -> np.ndarray[Any, Any]:
    """Sky with stars, in electrons."""
    y, x = np.mgrid[:SIDE, :SIDE]
    light = np.full((SIDE, SIDE), SKY)
    for cy, cx in rng.uniform(20, SIDE - 20, (12, 2)):
        flux = np.exp(rng.uniform(5, 9))
        light += flux * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * (fwhm / 2.3548) ** 2))
    return rng.poisson(light) + rng.normal(0, 4, light.shape)


def frame_of(data: Any, **about: Any) -> Frame:
    header = fits.Header({DETECTOR_KEYWORDS["gain"]: 1.0, DETECTOR_KEYWORDS["read_noise"]: 4.0})
    return Frame(data, unit="electron", meta=header, **about)


def user_folder(folder: Path, *, frames: int = 6, darks: int = 3) -> Path:
    """A folder of an instrument; flags of every fifth frame say GHOST everywhere."""
    rng = np.random.default_rng(1)
    own = fits.Header({WRITER_KEYWORD: "1", OWNER_KEYWORD: "SCI,1"})
    header = fits.Header({"GAIN": 1.0, "BUNIT": "electron", "EXPTIME": 300.0})
    for name, count in (("frames", frames), ("darks", darks)):
        for number in range(count):
            (folder / name).mkdir(parents=True, exist_ok=True)
            hdus = [fits.PrimaryHDU()]
            data = exposure(rng) if name == "frames" else rng.normal(0, 5, (SIDE, SIDE))
            if name == "darks":
                for _ in range(12):
                    add_stamp(data, simulate_hit(rng), *rng.integers(0, SIDE, 2))
            hdus.append(fits.ImageHDU(data.astype(np.float32), header, name="SCI"))
            if name == "frames":
                flags = np.full((SIDE, SIDE), GHOST if number % 5 == 0 else 0, dtype=np.uint32)
                hdus.append(fits.ImageHDU(flags, own, name="FLAGS"))
            fits.HDUList(hdus).writeto(folder / name / f"{number:02}.fits")
    return folder


def nothing(folder: Path) -> None:
    """Write nothing."""


def silent(report: Report) -> None:
    """Tell nothing."""


def begun(folder: Path, **settings: Any) -> Any:
    trainer = find_trainer("maximask")
    folder.mkdir(parents=True, exist_ok=True)
    return trainer.begin(make_recipe(trainer, None, {**SMALL, **settings}), folder)


def test_a_folder_without_darks_and_frames_is_a_library_of_hits_as_before(tmp_path: Path) -> None:
    for data in (None, tmp_path):
        found = gather(data, tmp_path)
        assert (found.hits, found.frames, found.suffix) == (data, (), "")
        assert makers(found, seed=3, share=0.5)[0] == SampleMaker(3, data)
    assert not list(tmp_path.iterdir())


def test_hits_of_darks_join_the_library_and_a_quarter_is_set_apart(tmp_path: Path) -> None:
    found = gather(user_folder(tmp_path / "data", frames=0), tmp_path)
    assert found.hits is not None
    learned, apart = load_hits(found.hits), load_hits(found.hits, test=True)
    assert len(learned) + len(apart) >= 25
    assert len(apart) == (len(learned) + len(apart)) // 4
    assert gather(tmp_path / "data", tmp_path) == found


def test_darks_without_a_hit_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "darks").mkdir()
    rng = np.random.default_rng(2)
    for number in range(3):
        header = fits.Header({"GAIN": 2.0})
        data = rng.normal(0, 1, (64, 64)).astype(np.float32)
        fits.PrimaryHDU(data, header).writeto(tmp_path / "darks" / f"{number}.fits")
    with pytest.raises(ConfigurationError, match="no particle hit in 3 darks"):
        gather(tmp_path, tmp_path)


def test_frames_that_no_tile_fits_in_are_told_and_two_are_the_least(tmp_path: Path) -> None:
    data = user_folder(tmp_path / "data", frames=2, darks=0)
    fits.PrimaryHDU(np.zeros((40, 40), np.float32)).writeto(data / "frames" / "small.fits")
    with pytest.warns(AstrocleanWarning, match=r"small\.fits: not trained with: no frame of 256"):
        found = gather(data, tmp_path)
    assert (len(found.frames), len(found.held_out)) == (1, 1)
    (data / "frames" / "small.fits").write_bytes(b"SIMPLE  =    F")
    with pytest.warns(AstrocleanWarning, match=r"small\.fits: not trained with"):
        assert gather(data, tmp_path).frames == found.frames
    (data / "frames" / "small.fits").unlink()
    (data / "frames" / "01.fits").unlink()
    with pytest.raises(ConfigurationError, match="1 of 1 files can be used, and two"):
        gather(data, tmp_path)


@pytest.mark.slow
def test_nothing_of_the_frames_held_out_reaches_a_step(tmp_path: Path) -> None:
    data = user_folder(tmp_path / "data", darks=0)
    training = begun(tmp_path / "training", data=data, frames_share=1.0)
    try:
        for number in range(1, 6):
            _, planes = training._batch(number)
            assert not (planes & GHOST).any()
        assert ((training._validation["planes"] & GHOST) != 0).mean() > 0.8
    finally:
        training.close()


def test_a_training_does_not_go_on_with_other_files(tmp_path: Path) -> None:
    data, folder = user_folder(tmp_path / "data", darks=0), TrainingFolder(tmp_path / "training")
    before = gather(data, folder.path)
    folder.keep({"step": 1}, nothing)
    assert gather(data, folder.path) == before
    (data / "frames" / "01.fits").rename(data / "frames" / "07.fits")
    with pytest.raises(ConfigurationError, match=r"frames/01\.fits, frames/07\.fits"):
        gather(data, folder.path)
    folder.clear()
    assert gather(data, folder.path).suffix != before.suffix


@pytest.mark.slow
def test_the_share_says_how_many_samples_are_frames(tmp_path: Path) -> None:
    found = gather(user_folder(tmp_path / "data", frames=2, darks=0), tmp_path)
    plain = SampleMaker(1)
    for share, same in ((0.0, True), (1.0, False)):
        make = FrameSampleMaker(plain, found.frames, share)
        assert np.array_equal(make(4)["pixels"], plain(4)["pixels"]) == same
        np.testing.assert_array_equal(make(4)["pixels"], make(4)["pixels"])
        assert make(4)["pixels"].shape == plain(4)["pixels"].shape


@pytest.mark.parametrize("seed", range(6))
def test_what_is_not_flagged_in_a_frame_is_as_it_was_taken(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = frame_of(exposure(rng))
    data, planes = contaminated_anew(frame, rng, hits=None)
    added = planes & ~(SUSPECT | np.uint32(MaskPlane.BRIGHT)) != 0
    noise = np.sqrt(SKY + 16)
    change = np.abs(data - frame.data)
    # What is added spreads: the wings of a trail and the rims of hits are below their thresholds.
    assert (change[~added] < 4 * np.sqrt(noise**2 + frame.data[~added])).all()
    sharp = added & ((planes & np.uint32(MaskPlane.HOT_PIXEL)) != 0)
    assert (change[sharp] > 5 * noise).all()


def test_the_truth_of_a_frame_is_its_own_flags_and_doubt_where_nothing_vouches() -> None:
    data = exposure(np.random.default_rng(3))
    data[100:108, 100] += 3000  # a hit that nobody flagged
    flags = np.zeros(data.shape, dtype=np.uint32)
    data[:, 30] += 500
    flags[:, 30:32], flags[200, 200] = MaskPlane.HOT_LINE, MaskPlane.BAD_PIXEL
    rng = np.random.default_rng(4)
    _, planes = contaminated_anew(frame_of(data, flags=flags), rng, hits=None)
    unsure = doubtful(planes)
    assert unsure[100:108, 100].all()
    assert unsure[200, 200]
    assert ((planes[:, 30] & np.uint32(MaskPlane.HOT_LINE | MaskPlane.DEAD_LINE)) != 0).all()
    # The column beside it is flagged as well, but nothing is to be seen there.
    assert (unsure[:, 31] | (planes[:, 31] != 0)).mean() > 0.95
    assert ((planes[:, 31] & np.uint32(MaskPlane.HOT_LINE)) != 0).mean() < 0.1
    stars = (planes & np.uint32(MaskPlane.BRIGHT)) != 0
    assert 20 < stars.sum() < 0.1 * stars.size
    # Where the mask names hits and the level of saturation is known, it vouches for the others.
    flags[:, 30:32] = 0
    flags[100:108, 100] = MaskPlane.COSMIC_RAY
    frame = frame_of(data, flags=flags)
    frame.meta[DETECTOR_KEYWORDS["saturation"]] = 1e5
    _, planes = contaminated_anew(frame, np.random.default_rng(4), hits=None)
    # Beside a trail that was added it is a matter of taste where it ends.
    trails = binary_dilation((planes & np.uint32(MaskPlane.TRAIL)) != 0, np.ones((25, 25)))
    assert (((planes & SUSPECT) != 0) & ~trails).sum() == 1
    assert (planes[100:108, 100] & np.uint32(MaskPlane.COSMIC_RAY) != 0).all()


def test_pixels_without_a_value_stay_so_and_units_do_not_matter() -> None:
    data = exposure(np.random.default_rng(5)).astype(np.float32)
    data[40:60, 40:60] = np.nan
    for scale, unit in ((1.0, "electron"), (1e-3, "MJy/sr")):
        frame = Frame(data * np.float32(scale), unit=unit)
        changed, planes = contaminated_anew(frame, np.random.default_rng(6), hits=None)
        assert np.isnan(changed[45:55, 45:55]).all()
        assert np.isfinite(changed).sum() == np.isfinite(data).sum()
        assert (planes[45:55, 45:55] == SUSPECT).all()
        assert 0 < (planes & np.uint32(MaskPlane.HOT_PIXEL) != 0).sum() < 100


def paper_start(folder: Path) -> Path:
    """Weights of the paper's architecture, as an import writes them."""
    keras.utils.set_random_seed(1)
    from astroclean_maximask.network.network import build_maximask

    path = folder / "start.onnx"
    export_keras(build_maximask(), path, inputs={"pixels": 1}, outputs=("probabilities",))
    return path


# A network of some steps flags what has no evidence, and is told so.
@pytest.mark.filterwarnings("ignore:.*nothing else speaks:astroclean.errors.AstrocleanWarning")
@pytest.mark.slow
def test_the_network_of_the_paper_is_trained_exported_and_masks(tmp_path: Path) -> None:
    start = paper_start(tmp_path)
    assert architecture_of(start) is PAPER
    trainer = find_trainer("maximask")
    settings = {"batch": 1, "first": 1, "keep": 1, "validation": 1, "calibration": 1}
    settings |= {"precision": "f32"}
    recipe = make_recipe(
        trainer, None, {**SMALL, **settings, "start": str(start), "steps": 2, "rate": 1e-5}
    )
    files = run_training(trainer, recipe, TrainingFolder(tmp_path / "training"), silent)
    path = next(path for path in files if path.name == "maximask-paper.card.toml")
    card = load_card(path)
    # The same network sees the same sky.
    assert card.normalization == load_card(card_path("maximask", "published")).normalization
    inputs, expected = read_example(card)
    answers = open_engine(card, find_weights(card)).infer(inputs)["probabilities"]
    np.testing.assert_allclose(answers, expected["probabilities"], atol=1e-4)
    frame = frame_of(exposure(np.random.default_rng(7)))
    stage = astroclean.load_stage(
        "maximask", weights=str(path), probabilities=True, priors={"CR": 0.01}
    )
    result = stage.run(frame)
    found = result.products["PROB_CR"]
    assert found.shape == frame.shape
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.slow
def test_a_training_from_the_published_weights_begins_with_their_answers(tmp_path: Path) -> None:
    if not (own_weights_folder() / "maximask-published.onnx").is_file():
        pytest.skip("the published weights are not imported")
    training = begun(tmp_path, start="published", batch=1, first=1, keep=1, precision="f32")
    try:
        from astroclean_maximask.network.network import build_maximask

        from astroclean.training.keras_model import begin_with

        published = build_maximask()
        begin_with(published, start_path("maximask", "published"))
        pixels = np.sinh(training._validation["pixels"][:1].astype(np.float32))[..., np.newaxis]
        with training._trained.averaged() as model:
            logits = np.asarray(model.predict_on_batch(pixels), dtype=np.float64)
        expected = np.asarray(published.predict_on_batch(pixels))
        np.testing.assert_allclose(1 / (1 + np.exp(-logits)), expected, atol=1e-5)
        assert expected.max() > 0.5
    finally:
        training.close()


def test_published_weights_that_are_not_imported_say_how(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ASTROCLEAN_WEIGHTS", str(tmp_path))
    with pytest.raises(MissingWeightsError, match="astroclean weights import maximask"):
        start_path("maximask", "published")
    with pytest.raises(ConfigurationError, match="none called 'publishd'"):
        start_path("maximask", "publishd")


def test_shipped_weights_are_of_the_wide_network() -> None:
    assert architecture_of(None) is COMPACT
    assert architecture_of(start_path("maximask", "astroclean")) is WIDE
