"""The stages on frames: contracts, tiles, probabilities, real files."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astroclean_maximask.shipped import card_path

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.errors import AstrocleanWarning, ConfigurationError
from astroclean.evaluation.metrics.mask import Confusion, confusion
from astroclean.inference.cards.weights import MissingWeightsError
from astroclean.registry.load import load_stage
from astroclean.simulate.contaminants.cosmic_rays import CosmicRayRange
from astroclean.simulate.contaminated import CHANCES, ContaminatedConfig, simulate_contaminated
from astroclean.testing.contracts import MaskerContract, ScreenerContract

if TYPE_CHECKING:
    from pathlib import Path


# A frame of one value looks to it like an overscan; that this was dropped is told.
@pytest.mark.filterwarnings("ignore:.*for which nothing else speaks")
class TestMaxiMask(MaskerContract):
    plugin = "maximask"
    options = {"tile": 256}  # noqa: RUF012 - as in the contract's example


class TestMaxiMaskWithProbabilities(MaskerContract):
    plugin = "maximask"
    options = {"tile": 256, "probabilities": True, "classes": ["CR", "SAT"]}  # noqa: RUF012


@pytest.fixture(scope="session")
def track_card(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A screening network with random weights: its answers mean nothing, and are probabilities."""
    keras = pytest.importorskip("keras", reason="Keras is not installed")
    from astroclean_maximask.network.network import build_track
    from astroclean_maximask.train.shipping import export_track

    keras.utils.set_random_seed(3)
    folder = tmp_path_factory.mktemp("maxitrack")
    export_track(build_track().get_weights(), folder)
    return str(folder / "maxitrack-astroclean.card.toml")


class TestMaxiTrack(ScreenerContract):
    plugin = "maxitrack"

    @pytest.fixture(autouse=True)
    def _with_random_weights(self, track_card: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(type(self), "options", {"weights": track_card})


@pytest.fixture(scope="module")
def scene() -> Any:
    return simulate_contaminated(seed=11, shape=(300, 420))


def test_flags_are_probabilities_above_thresholds(scene: Any) -> None:
    options = {"thresholds": {"CR": 0.2}, "classes": ["CR", "BRIGHT"], "evidence": False}
    plain = load_stage("maximask", **options).run(scene.frame)
    told = load_stage("maximask", **options, probabilities=True).run(scene.frame)
    assert np.array_equal(plain.frame.flags, told.frame.flags)
    hits = plain.frame.where(MaskPlane.COSMIC_RAY) & ~scene.frame.where(MaskPlane.COSMIC_RAY)
    assert np.array_equal(hits, told.products["PROB_CR"] > 0.2)
    assert set(told.products) == {"PROB_CR", "PROB_BBG"}


@pytest.mark.parametrize("evidence", [True, False])
@pytest.mark.filterwarnings("ignore:.*nothing else speaks:astroclean.errors.AstrocleanWarning")
def test_fewer_classes_are_flagged_as_among_all(scene: Any, evidence: bool) -> None:
    """Channels that nobody asks for are left out of the network's answer, and nothing else."""
    every = load_stage("maximask", evidence=evidence).run(scene.frame).frame.flags
    two = ("BRIGHT", "COSMIC_RAY")
    some = load_stage("maximask", classes=two, evidence=evidence).run(scene.frame).frame.flags
    wanted = np.uint32(MaskPlane.BRIGHT | MaskPlane.COSMIC_RAY)
    added = ~scene.frame.flags
    assert np.array_equal(some & added, every & added & wanted)
    assert (some & added & MaskPlane.COSMIC_RAY).any()


def test_a_lower_prior_flags_less(scene: Any) -> None:
    flagged = [
        np.count_nonzero(
            load_stage("maximask", classes=["CR"], priors={"CR": prior})
            .run(scene.frame)
            .frame.where(MaskPlane.COSMIC_RAY)
        )
        for prior in (1e-6, 1e-3, 0.1)
    ]
    assert flagged[0] < flagged[1] < flagged[2]


def test_tiles_leave_no_seam(scene: Any) -> None:
    """The answer for small tiles is that for one tile over the whole frame."""
    small, whole = (
        load_stage("maximask", probabilities=True, classes=["CR", "TRL"], tile=tile)
        .run(scene.frame)
        .products
        for tile in (256, 1024)
    )
    for name in ("PROB_CR", "PROB_TRL"):
        # What is left is the frame's rim, which a whole tile continues differently, rounding, and
        # the weak influence of what lies further off than the halo of the coarsest resolutions.
        apart = np.abs(small[name] - whole[name])
        assert np.quantile(apart, 0.999) < 3e-3
        assert apart.max() < 0.05


@pytest.mark.slow
def test_most_cosmic_rays_are_found_and_little_else() -> None:
    chances = {name: float(name == "cosmic_rays") for name in CHANCES}
    config = ContaminatedConfig(chances=chances, cosmic_rays=CosmicRayRange(count=(60.0, 60.0)))
    counts = Confusion()
    for seed in range(4):
        made = simulate_contaminated(seed=700 + seed, shape=(256, 256), config=config)
        flags = load_stage("maximask", classes=["CR"]).run(made.frame).frame.flags
        found, truth = (
            (bits & np.uint32(MaskPlane.COSMIC_RAY)) != 0 for bits in (flags, made.planes)
        )
        counts += confusion(found, truth, ignored=made.ignored)
    assert counts.tpr > 0.6
    assert counts.fpr < 1e-3


def test_a_coadd_is_reported_as_outside_the_domain() -> None:
    frame = Frame(np.random.default_rng(1).normal(size=(64, 64)), unit="adu", meta={"NCOMBINE": 5})
    with pytest.warns(AstrocleanWarning, match="5 exposures combined"):
        load_stage("maximask").run(frame)


def test_published_weights_that_are_missing_are_told_how_to_get(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ASTROCLEAN_WEIGHTS", str(tmp_path))
    for plugin in ("maximask", "maxitrack"):
        stage = load_stage(plugin, weights="published")
        with pytest.raises(MissingWeightsError, match="astroclean weights import maximask"):
            stage.fingerprint()


def test_unknown_weights_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'published'"):
        load_stage("maximask", weights="publishd")
    with pytest.raises(ConfigurationError, match="there is no card"):
        load_stage("maxitrack", weights="nowhere/x.card.toml")


def test_the_resume_key_names_weights_engine_and_precision() -> None:
    key = load_stage("maximask").fingerprint()
    assert set(key) == {"weights", "card", "engine", "precision"}
    assert load_stage("maximask", precision="bf16").fingerprint() != key


def test_another_threshold_beside_the_same_weights_is_another_key(tmp_path: Path) -> None:
    """Finished files are done again: the card counts, not the weights alone."""
    shipped = card_path("maximask", "astroclean")
    name = shipped.name.removesuffix(".card.toml")
    for path in shipped.parent.glob(f"{name}.*"):
        shutil.copy(path, tmp_path / path.name)
    card = str(tmp_path / shipped.name)
    before = load_stage("maximask", weights=card).fingerprint()
    classes = tmp_path / f"{name}.classes.toml"
    text = classes.read_text("utf-8")
    classes.write_text(re.sub(r"threshold = [\d.]+", "threshold = 0.51", text, count=1))
    after = load_stage("maximask", weights=card).fingerprint()
    assert before["weights"] == after["weights"]
    assert before["card"] != after["card"]


def test_weights_without_classes_are_refused(tmp_path: Path) -> None:
    """Else nothing would be flagged, without a word."""
    shipped = card_path("maximask", "astroclean")
    shutil.copy(shipped, tmp_path / shipped.name)
    with pytest.raises(ConfigurationError, match=r"has no classes; .* NAME\.classes\.toml"):
        load_stage("maximask", weights=str(tmp_path / shipped.name))


def test_a_rejected_exposure_is_told_why(track_card: str) -> None:
    frame = Frame(np.random.default_rng(5).normal(100, 5, (256, 256)), unit="adu")
    stage = load_stage("maxitrack", weights=track_card, prior=0.5, threshold=0.01)
    score = stage.score(frame)
    assert len(score.reasons) == 1
    assert score.metrics["tiles"] == 1
    named = sum(value for key, value in score.metrics.items() if key.startswith("probability "))
    np.testing.assert_allclose(named, score.probability, rtol=1e-5)


def test_frames_of_any_size_are_scored(track_card: str) -> None:
    for shape in ((40, 700), (256, 257), (511, 300)):
        frame = Frame(np.random.default_rng(2).normal(100, 5, shape), unit="adu")
        assert 0 <= load_stage("maxitrack", weights=track_card).score(frame).probability <= 1
