"""The stage on frames: contracts, units, tiles, what it tells; with small networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.errors import AstrocleanWarning, ConfigurationError, StageError
from astroclean.inference.cards.weights import MissingWeightsError
from astroclean.registry.load import load_stage
from astroclean.testing.chunks import run_in_chunks
from astroclean.testing.contracts import MaskerContract
from astroclean.testing.frames import synthetic_frame

if TYPE_CHECKING:
    from pathlib import Path

GAIN, TIME = 2.5, 40.0
NETWORKS = ("acs-wfc", "wfc3-uvis", "decam")


@pytest.fixture(autouse=True)
def small_networks(small_cards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("astroclean_deepcr.masker._CARDS", small_cards)


class _Contract(MaskerContract):
    plugin = "deepcr"
    camera: ClassVar[tuple[str, float]]

    @pytest.fixture
    def frame(self) -> Frame:
        """A frame of the camera for which the network is; others are warned of."""
        made = synthetic_frame(seed=7)
        meta = made.meta.copy()
        meta["ACINSTR"], meta["ACPIXSC"] = self.camera
        return made.replace(meta=meta)


class TestAcsWfc(_Contract):
    camera = ("hst-acs-wfc", 0.05)
    options = {"tile": 64}  # noqa: RUF012 - as in the contract's example


class TestWfc3Uvis(_Contract):
    camera = ("hst-wfc3-uvis", 0.04)
    options = {"tile": 64, "weights": "wfc3-uvis", "probabilities": True}  # noqa: RUF012


class TestDecam(_Contract):
    camera = ("decam", 0.2626)
    options = {"tile": 64, "weights": "decam", "threshold": 0.3}  # noqa: RUF012


def electrons(shape: tuple[int, int] = (150, 211), seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    data = rng.poisson(100, shape) + rng.normal(0, 4, shape)
    data[20:24, 30:60] += 900
    return data.astype(np.float32)


def probability(frame: Frame, **options: Any) -> np.ndarray:
    return load_stage("deepcr", probabilities=True, **options).run(frame).products["PROB_CR"]


@pytest.mark.parametrize("weights", NETWORKS)
def test_tiles_leave_no_seam(weights: str) -> None:
    """Small tiles, one tile and bands of a frame agree in every pixel, the rim among them."""
    data = electrons()
    data[60:64, 70:75] = np.nan
    frame = Frame(data, unit="electron", meta={"ACGAIN": GAIN})
    small, whole = (probability(frame, weights=weights, tile=tile) for tile in (64, 1024))
    assert np.nanstd(whole) > 1e-3
    np.testing.assert_allclose(small, whole, atol=2e-6)
    stage = load_stage("deepcr", weights=weights, tile=64, probabilities=True)
    assert np.array_equal(run_in_chunks(stage, frame, rows=50)["PROB_CR"], small, equal_nan=True)


def test_a_pixel_is_felt_as_far_as_the_halo_and_no_further() -> None:
    reach = 0
    for y, x in ((70, 80), (71, 81), (70, 81)):
        data = electrons()
        before = probability(Frame(data, unit="electron"))
        data[y, x] += 5e4
        changed = np.argwhere(probability(Frame(data, unit="electron")) != before)
        reach = max(reach, int(np.abs(changed - (y, x)).max()))
    assert reach == 9


@pytest.mark.parametrize("weights", NETWORKS)
def test_the_unit_of_the_frame_does_not_matter(weights: str) -> None:
    meta = {"ACGAIN": GAIN, "ACEXPTIM": TIME}
    frames = {
        "electron": 1.0,
        "adu": GAIN,
        "count": GAIN,
        "electron / s": TIME,
        "adu / s": GAIN * TIME,
    }
    found = [
        probability(Frame(electrons() / np.float32(width), unit=unit, meta=meta), weights=weights)
        for unit, width in frames.items()
    ]
    assert found[0].std() > 1e-3
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-4)


def test_each_network_sees_the_unit_that_it_was_trained_in() -> None:
    """Without a gain, electrons go to ACS/WFC, data numbers to DECam, and all to WFC3/UVIS."""
    for weights, unit in (("acs-wfc", "electron"), ("decam", "adu"), ("decam", "count")):
        assert np.isfinite(probability(Frame(electrons(), unit=unit), weights=weights)).all()
    for unit in ("electron", "adu / s", "MJy / sr"):
        frame = Frame(electrons(), unit=unit)
        assert np.isfinite(probability(frame, weights="wfc3-uvis")).all()


@pytest.mark.parametrize(
    ("weights", "unit", "told"),
    [
        ("acs-wfc", "adu", r"--set instrument\.gain"),
        ("acs-wfc", "electron / s", r"--set instrument\.exposure"),
        ("decam", "electron", r"--set instrument\.gain"),
        ("acs-wfc", "MJy / sr", "wfc3-uvis"),
    ],
)
def test_a_unit_that_cannot_be_converted_is_an_error(weights: str, unit: str, told: str) -> None:
    with pytest.raises(StageError, match=told):
        load_stage("deepcr", weights=weights).run(Frame(electrons(), unit=unit))


def test_flags_are_probabilities_above_the_threshold() -> None:
    frame = Frame(electrons(), unit="electron")
    values = probability(frame)
    middle = float(np.median(values))
    for told in (False, True):
        result = load_stage("deepcr", threshold=middle, probabilities=told).run(frame)
        assert np.array_equal(result.frame.where(MaskPlane.COSMIC_RAY), values > middle)
        assert result.metrics["threshold"] == middle
        assert set(result.products) == ({"PROB_CR"} if told else set())


def test_thresholds_are_those_that_the_authors_advise() -> None:
    frame = Frame(electrons(), unit="adu", meta={"ACGAIN": GAIN})
    used = [load_stage("deepcr", weights=w).run(frame).metrics["threshold"] for w in NETWORKS]
    assert used == [0.5, 0.15, 0.5]


def test_rejected_pixels_are_seen_and_empty_ones_are_not() -> None:
    data = electrons()
    flags = np.zeros(data.shape, dtype=np.uint32)
    flags[20:24, 30:60] = MaskPlane.HOT_PIXEL
    plain, flagged = (probability(Frame(data, unit="electron", flags=f)) for f in (None, flags))
    assert np.array_equal(plain, flagged)
    data[20:24, 30:60] = np.nan
    empty = probability(Frame(data, unit="electron"))
    assert np.isnan(empty[20:24, 30:60]).all()
    assert np.isfinite(np.delete(empty, slice(20, 24), axis=0)).all()


def test_frames_of_other_cameras_are_reported() -> None:
    meta = {"ACINSTR": "hst-stis", "ACPIXSC": 0.0507, "NCOMBINE": 3}
    frame = Frame(electrons(), unit="electron", meta=meta)
    with pytest.warns(AstrocleanWarning) as told:
        load_stage("deepcr").run(frame)
    text = " ".join(str(warning.message) for warning in told)
    assert "hst-stis, trained on hst-acs-wfc" in text
    assert "3 exposures combined" in text


def test_missing_weights_are_told_how_to_get(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cards: Path
) -> None:
    monkeypatch.setattr("astroclean_deepcr.masker._CARDS", cards)
    monkeypatch.setenv("ASTROCLEAN_WEIGHTS", str(tmp_path))
    for weights in NETWORKS:
        stage = load_stage("deepcr", weights=weights)
        with pytest.raises(MissingWeightsError, match="astroclean weights import deepcr"):
            stage.fingerprint()


def test_unknown_weights_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="weights"):
        load_stage("deepcr", weights="wfpc2")


def test_the_resume_key_names_weights_engine_and_precision() -> None:
    keys = [load_stage("deepcr", weights=weights).fingerprint() for weights in NETWORKS]
    assert set(keys[0]) == {"weights", "card", "engine", "precision"}
    assert keys[0]["weights"] != keys[1]["weights"]
