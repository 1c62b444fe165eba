"""A training of the variant `talk` lowers its loss, and leaves a network that the stage runs."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from astroclean_spire_sr.catalogue import COLUMNS
from astroclean_spire_sr.stage import SpireOptions, SpireSuperResolver
from astroclean_spire_sr.talk.peaks import peak_catalogue
from astroclean_spire_sr.talk.restore import talk_sky
from astroclean_spire_sr.talk.samples import SIDE, TalkSampleMaker
from astroclean_spire_sr.talk.scales import INPUT, TOP, scaled
from astroclean_spire_sr.talk.scoring import map_scores
from astroclean_spire_sr.talk.train import TalkRecipe, TalkTrainer
from scipy.ndimage import gaussian_filter

from astroclean.core.image.frameset import FrameSet
from astroclean.errors import AstrocleanWarning, ConfigurationError
from astroclean.simulate.far_infrared.band import MapRange
from astroclean.simulate.far_infrared.scene import FarInfraredConfig, simulate_far_infrared
from astroclean.training.folder import TrainingFolder
from astroclean.training.loop import Report, run_training
from astroclean.training.trainer import make_recipe

if TYPE_CHECKING:
    from pathlib import Path

    from astroclean.core.image.frame import Frame
    from astroclean.simulate.scene import Scene

pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
TINY = {
    "filters": 4,
    "levels": 4,
    "side": 64,
    "batch": 2,
    "first": 2,
    "keep": 2,
    "fresh": 0,
    "validation": 1,
    "precision": "f32",
    "device": "cpu",
}
MAKE = TalkSampleMaker(3)


class Trained(NamedTuple):
    card: Path
    losses: list[float]
    batch: dict[str, Any]


def silent(report: Report) -> None:
    """Tell nothing."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Return what a short training leaves."""
    trainer = TalkTrainer()
    folder = tmp_path_factory.mktemp("training")
    recipe = make_recipe(trainer, None, {**TINY, "steps": 2, "validate_every": 2})
    place = TrainingFolder(folder)
    place.claim("spire-sr-talk", recipe)
    files = {path.name: path for path in run_training(trainer, recipe, place, silent)}
    # Its samples are used again, one batch again and again.
    training = trainer.begin(make_recipe(trainer, None, {**TINY, "rate": 0.03}), folder)
    batch = training._batch(7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_batch", lambda number: dict(batch))  # noqa: ARG005
        losses = [training.step(number)["loss"] for number in range(1, 81)]
    training.close()
    return Trained(files["spire-sr-talk.card.toml"], losses, batch)


@pytest.fixture(scope="module")
def scene() -> Scene:
    config = FarInfraredConfig(bands=("250", "350"), maps=MapRange(uncovered=0))
    return simulate_far_infrared(seed=8, shape=(40, 31), config=config)


def stage(card: Path, **options: Any) -> SpireSuperResolver:
    return SpireSuperResolver(SpireOptions(variant="talk", weights=str(card), **options))


@pytest.mark.slow
def test_the_loss_falls(trained: Trained) -> None:
    assert np.mean(trained.losses[-6:]) < 0.6 * np.mean(trained.losses[:6])


@pytest.mark.slow
def test_samples_are_those_of_their_number_clean_and_real_in_turns() -> None:
    first, again, other = MAKE(4), MAKE(4), MAKE(5)
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name])
        assert array.shape == (() if name == "is_real" else (SIDE, SIDE))
    assert not np.array_equal(first["data"], other["data"])
    assert not first["is_real"]
    assert other["is_real"]
    # The truth seen by the wider beam is what the data show.
    seen = gaussian_filter(first["truth"].astype(float), np.sqrt(18.1**2 - 7.9**2) / 2.3548)
    data = gaussian_filter(first["data"].astype(float), 3)
    assert np.corrcoef(seen.ravel(), data.ravel())[0, 1] > 0.7


def test_a_step_learns_from_data_and_truth_of_one_place(trained: Trained) -> None:
    """In whatever orientation."""
    batch = trained.batch
    low, top = INPUT
    samples = [TalkSampleMaker(TalkRecipe().seed)(number) for number in range(2)]
    for image, truth in zip(batch["image"][:, 0], batch["truth"][:, 0], strict=True):
        found = [(s, at) for s in samples for at in np.argwhere(s["truth"] == truth[0, 0])]
        data = image[0, 0] * (top - low) + low
        assert any(abs(float(s["data"][tuple(at)]) - data) < 0.05 for s, at in found)
        assert min(image.min(), 1 - image.max()) >= 0


def test_defaults_are_those_of_galaxygan_and_sides_must_fit() -> None:
    recipe = TalkRecipe()
    assert (recipe.filters, recipe.levels, recipe.side, recipe.rate) == (64, 8, 256, 2e-4)
    with pytest.raises(ConfigurationError, match="must be a multiple of 256"):
        make_recipe(TalkTrainer(), None, {"side": 192})


def test_the_truth_scores_best() -> None:
    samples = {name: array[np.newaxis] for name, array in MAKE(4).items()}
    # A network that knows it: blocks are looked up by what they show.
    truth, seen = samples["truth"][0].astype(np.float32), scaled(samples["data"][0])
    room = ((48, 112), (48, 112))
    true, shown = (np.pad(image, room, mode="symmetric") for image in (truth / TOP, seen))

    def knows(image: Any) -> Any:
        rows, columns = np.nonzero(shown == image[0, 0, 0, 0])
        for y, x in zip(rows, columns, strict=True):
            if np.array_equal(shown[y : y + 256, x : x + 256], image[0, 0]):
                return true[np.newaxis, np.newaxis, y : y + 256, x : x + 256]
        raise AssertionError("a block of another image")

    told = map_scores(knows, samples, side=256)
    assert told["correlation"] == pytest.approx(1, abs=1e-4)
    assert told["rms"] == pytest.approx(0, abs=0.01)
    assert told["flux ratio"] == pytest.approx(1, abs=0.03)
    assert told["light"] == pytest.approx(1, abs=0.01)
    half = map_scores(lambda image: 0.5 * knows(image), samples, side=256)
    assert half["flux ratio"] == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("shape", [(40, 300), (256, 256), (1, 70)])
def test_blocks_cover_a_field_of_any_shape(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    data = rng.uniform(-10, 60, shape).astype(np.float32)
    known = np.ones(shape, bool)
    known[:, :5] = False
    found = talk_sky(data, known, lambda image: image, side=64, threads=2)
    assert np.isnan(found.image[~known]).all()
    expected = TOP * scaled(data)
    np.testing.assert_allclose(found.image[known], expected[known], rtol=1e-6)


def test_what_is_beyond_the_range_is_counted() -> None:
    data = np.zeros((64, 64), np.float32)
    data[3, 4], data[5, 6:9], data[7, 7] = INPUT[1] + 1, INPUT[0] - 1, INPUT[1] - 1
    found = talk_sky(data, np.ones((64, 64), bool), lambda image: image, side=64)
    assert (found.clipped, found.saturated) == (4, 2)


def test_peaks_are_listed_with_their_places_and_heights() -> None:
    y, x = np.indices((60, 60), dtype=float)
    image = np.zeros((60, 60), np.float32)
    true = [(20.3, 31.4, 8.0), (44.0, 12.7, 15.0), (50.0, 50.0, 1.5)]
    for row, column, flux in true:
        square = (y - row) ** 2 + (x - column) ** 2
        image += (flux * np.exp(-4 * np.log(2) * square / 7.9**2)).astype(np.float32)
    image[:, :3] = np.nan
    table = peak_catalogue(image)
    assert tuple(table.colnames) == COLUMNS
    np.testing.assert_allclose(table["flux"].to_value("mJy"), [15, 8], rtol=0.003)
    np.testing.assert_allclose(table["x"], [12.7, 31.4], atol=0.02)
    np.testing.assert_allclose(table["y"], [44.0, 20.3], atol=0.02)
    assert np.isnan(table["flux_err"]).all()
    flat = np.zeros((30, 30), np.float32)
    flat[10:13, 8:11] = TOP
    assert len(peak_catalogue(flat)) == 1
    # A source beyond the border is listed at the border.
    y, x = np.indices((30, 30), dtype=float)
    rising = y * np.exp(-((x - 4) ** 2) / 50)
    (row,) = peak_catalogue(rising)
    assert (row["y"], row["x"]) == (29, 4)
    assert len(peak_catalogue(np.full((30, 30), np.nan, np.float32))) == 0


def test_the_stage_runs_with_weights_of_a_training(trained: Trained, scene: Scene) -> None:
    frame = scene.bands["250"].frame
    data = np.array(frame.data)
    data[:10, :8] = np.nan
    given = frame.replace(data=data)
    result = stage(trained.card).run(given)
    (layer,) = result.layers.values()
    assert set(result.layers) == {"SUPERRES"}
    assert layer.data.shape == (240, 186)
    assert np.isnan(layer.data[:54, :42]).all()
    assert np.isfinite(layer.data[70:, 60:]).all()
    assert layer.grid.pixel_scale == pytest.approx(1.0)
    assert str(result.frame.unit) in {"mJy / beam", "mJy beam-1"}
    assert result.frame.psf is not None
    assert result.metrics["pixels clipped"] == 0
    assert result.frame.sources is not None
    assert len(result.frame.sources.table) == result.metrics["sources"]


def test_other_bands_change_nothing_and_that_is_told(trained: Trained, scene: Scene) -> None:
    frames = FrameSet({name: one.frame for name, one in scene.bands.items()})
    alone = stage(trained.card).run(scene.bands["250"].frame)
    with pytest.warns(AstrocleanWarning, match="uses 250 um alone"):
        both = stage(trained.card).run_set(frames)
    np.testing.assert_array_equal(
        both["250"].layers["SUPERRES"].data, alone.layers["SUPERRES"].data
    )


def test_values_beyond_the_range_are_told(trained: Trained, scene: Scene) -> None:
    frame: Frame = scene.bands["250"].frame
    data = np.array(frame.data)
    data[20, 20] = 900.0
    with pytest.warns(AstrocleanWarning, match="beyond what the network of the talk can see"):
        result = stage(trained.card).run(frame.replace(data=data))
    assert result.metrics["pixels clipped"] > 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stage(trained.card).run(frame)


def test_the_variant_needs_its_own_weights(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="set variant = "):
        SpireSuperResolver(SpireOptions(weights=str(trained.card)))
    with pytest.raises(ConfigurationError, match="astroclean train spire-sr-talk"):
        SpireSuperResolver(SpireOptions(variant="talk", weights=str(tmp_path / "no.card.toml")))
