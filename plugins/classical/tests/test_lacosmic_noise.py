"""`lacosmic`: where predicted noise and the sky contradict each other, the larger counts."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astroclean_classical.lacosmic.stage import LACosmic, LACosmicOptions
from astropy.nddata import StdDevUncertainty, VarianceUncertainty
from astroscrappy import detect_cosmics

from astroclean.core.image.frame import Frame
from astroclean.errors import StageError, SuspectWarning
from astroclean.testing.chunks import run_in_chunks

SHAPE = (256, 256)
GAIN, READ_NOISE, SKY = 1.5, 5.0, 1500.0
DETECTOR = {"ACGAIN": GAIN, "ACRDNOIS": READ_NOISE}


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Data numbers, pixels that were hit, and what is there without noise and hits."""
    generator = np.random.default_rng(1)
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
    truth = np.full(SHAPE, SKY)
    for _ in range(60):
        x, y = generator.uniform(8, 248, 2)
        flux = 10 ** generator.uniform(3.3, 5.3)
        truth += flux / 10.2 * np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / 3.25)
    image = generator.poisson(truth * GAIN) / GAIN
    image += generator.normal(0, READ_NOISE / GAIN, SHAPE)
    hit = np.zeros(SHAPE, dtype=bool)
    for _ in range(40):
        x, y, angle = *generator.integers(9, 247, 2), generator.uniform(0, np.pi)
        for step in range(generator.integers(1, 7)):
            hit[round(y + step * np.sin(angle)), round(x + step * np.cos(angle))] = True
    return image + hit * generator.uniform(800, 6000, SHAPE), hit, truth


def flagged(frame: Frame, **options: object) -> np.ndarray:
    return LACosmic(LACosmicOptions(**options)).run(frame).frame.where("COSMIC_RAY")


def assert_hits_and_no_more(mask: np.ndarray, hit: np.ndarray) -> None:
    assert (mask & hit).sum() > 0.95 * hit.sum()
    assert (mask & ~hit).sum() <= 50


def test_noise_that_fits_is_no_matter(scene: tuple[np.ndarray, ...]) -> None:
    image, hit, truth = scene
    variance = VarianceUncertainty(truth / GAIN + (READ_NOISE / GAIN) ** 2)
    for frame in (
        Frame(image, unit="adu", meta=DETECTOR),
        Frame(image, unit="adu", uncertainty=variance),
        Frame(image - SKY, unit="adu", uncertainty=variance),
    ):
        result = LACosmic().run(frame)  # a warning would fail the test
        assert_hits_and_no_more(result.frame.where("CR"), hit)
        predicted = result.metrics["predicted noise of the sky"]
        assert result.metrics["scatter of the sky"] == pytest.approx(predicted, rel=0.1)


def contradictions(image: np.ndarray, truth: np.ndarray) -> dict[str, Frame]:
    """Return frames whose noise is not what is told of it, all by much more than a factor of 2."""
    variance = truth / GAIN + (READ_NOISE / GAIN) ** 2
    subtracted = Frame(image - SKY, unit="adu", meta=DETECTOR)
    return {
        "A sky that was subtracted": subtracted,
        "A wrong gain": Frame(image, unit="adu", meta={"ACGAIN": 100.0, "ACRDNOIS": 1.5}),
        "of the read noise alone": Frame(
            image, unit="adu", uncertainty=VarianceUncertainty(np.full(SHAPE, 11.0))
        ),
        "in another unit, or": Frame(
            image, unit="adu", uncertainty=VarianceUncertainty(variance / 1e4)
        ),
        "An uncertainty": Frame(image, unit="adu", uncertainty=StdDevUncertainty(np.ones(SHAPE))),
        # Read noise in data numbers of 16 bits shifted by 4, in a subtracted frame.
        "is the likely cause: give its level": subtracted.replace(
            meta={"ACGAIN": GAIN, "ACRDNOIS": 0.3}
        ),
    }


@pytest.mark.parametrize("cause", list(contradictions(np.zeros(SHAPE), np.zeros(SHAPE))))
def test_too_little_noise_is_said_and_the_scatter_counts(
    scene: tuple[np.ndarray, ...], cause: str
) -> None:
    image, hit, truth = scene
    frame = contradictions(image, truth)[cause]
    with pytest.warns(SuspectWarning, match=cause) as caught:
        mask = flagged(frame)
    assert_hits_and_no_more(mask, hit)
    assert "the larger counts" in str(caught[0].message)
    assert "32" in str(caught[0].message), "the scatter of the sky"


@pytest.mark.parametrize(
    "frame_of",
    [
        # Electrons squared, while the data are in adu: 60 times too much.
        lambda image, truth: Frame(
            image,
            unit="adu",
            uncertainty=VarianceUncertainty((truth / GAIN + 11) * 60),
        ),
        lambda image, truth: Frame(image, unit="adu", meta={"ACGAIN": GAIN, "ACRDNOIS": 500.0}),  # noqa: ARG005
    ],
)
def test_too_much_noise_is_said(scene: tuple[np.ndarray, ...], frame_of: object) -> None:
    image, hit, truth = scene
    with pytest.warns(SuspectWarning, match="Hits are missed"):
        mask = flagged(frame_of(image, truth))
    assert (mask & ~hit).sum() <= 5
    assert mask.sum() < hit.sum()


def test_a_resampled_frame_has_less_scatter_than_its_uncertainty_and_that_is_said() -> None:
    white = np.random.default_rng(5).normal(0, 10, (300, 300))
    smooth = (white[1:, 1:] + white[:-1, 1:] + white[1:, :-1] + white[:-1, :-1]) / 4
    smooth = (smooth[1:, 1:] + smooth[:-1, 1:] + smooth[1:, :-1] + smooth[:-1, :-1]) / 4
    frame = Frame(smooth, unit="adu", uncertainty=StdDevUncertainty(np.full(smooth.shape, 10.0)))
    with pytest.warns(SuspectWarning, match="neighbors is correlated"):
        mask = flagged(frame)
    assert not mask.any()


def test_the_sky_level_resolves_the_contradiction(scene: tuple[np.ndarray, ...]) -> None:
    image, hit, _ = scene
    mask = flagged(Frame(image - SKY, unit="adu", meta=DETECTOR), sky=SKY)
    assert_hits_and_no_more(mask, hit)


def no_noise() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(2)
    dim = generator.normal(-20, 8, SHAPE)
    dim[100:104, 100:104] = 200
    return {
        "constant": np.full(SHAPE, 12.0),
        "zero": np.zeros(SHAPE),
        "8 bits, clipped at 0": np.clip(dim, 0, 255).astype(np.uint8),
        "single counts": generator.poisson(0.02, SHAPE),
        "a model": np.outer(np.hanning(256), np.hanning(256)).round(1),
    }


@pytest.mark.parametrize("content", list(no_noise()))
def test_a_frame_without_noise_is_refused_with_the_reason(content: str) -> None:
    with pytest.raises(StageError, match=r"no noise .* of the sky is constant"):
        flagged(Frame(no_noise()[content].astype(float), unit="adu"))


def test_clipped_values_with_a_detector_are_suspect() -> None:
    frame = Frame(no_noise()["8 bits, clipped at 0"].astype(float), unit="adu", meta=DETECTOR)
    with pytest.warns(SuspectWarning, match="of the sky is constant"):
        flagged(frame)


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["adu", "Jy"])
def test_contradictions_are_told_alike_in_bands(scene: tuple[np.ndarray, ...], unit: str) -> None:
    image, _, _ = scene
    tall = np.tile(image - SKY, (2, 1))
    tall[:40] = 0  # a border without data
    deviation = StdDevUncertainty(np.full(tall.shape, 3.0))
    frame = Frame(tall, unit=unit, meta=DETECTOR, uncertainty=None if unit == "adu" else deviation)
    stage = LACosmic()
    with pytest.warns(SuspectWarning) as once:
        whole = stage.run(frame)
    with pytest.warns(SuspectWarning) as often:
        bands = run_in_chunks(stage, frame, rows=100)
    assert {str(w.message) for w in often} == {str(w.message) for w in once}
    assert np.array_equal(bands["flags"], whole.frame.flags)
    assert not whole.frame.where("CR")[:40].any()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_pure_noise_gives_no_more_than_astroscrappy_with_the_true_noise(seed: int) -> None:
    generator = np.random.default_rng(seed)
    sky = generator.poisson(400, (1024, 1024)) + generator.normal(0, 5, (1024, 1024))
    image = sky.astype(np.float32)
    by_hand, _ = detect_cosmics(image, gain=1.0, readnoise=5.0, satlevel=np.inf, sepmed=True)
    for source, frame in {
        "detector": Frame(image, unit="electron", meta={"ACRDNOIS": 5.0}),
        "subtracted": Frame(image - 400, unit="electron", meta={"ACRDNOIS": 5.0}),
        "background": Frame(image, unit="Jy"),
    }.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SuspectWarning)
            mask = flagged(frame)
        # The rim, which astroscrappy does not examine.
        inner = mask[4:-4, 4:-4]
        assert inner.sum() <= 1.1 * by_hand.sum() + 10, source
    assert flagged(Frame(image, unit="electron", meta={"ACRDNOIS": 5.0}))[4:-4, 4:-4].sum() <= (
        by_hand.sum()
    )
