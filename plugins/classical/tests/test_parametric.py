"""`parametric`: nearer to the truth than the other deconvolvers, with figures for both."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.table import QTable

from astroclean.core.image.frame import Frame
from astroclean.core.psf.psf import Psf
from astroclean.core.sources.sources import Sources
from astroclean.errors import StageError
from astroclean.registry.load import load_stage
from astroclean.testing.contracts import DeconvolverContract
from astroclean.testing.frames import synthetic_frame

if TYPE_CHECKING:
    from astroclean.core.stage.results import StageResult

galsim = pytest.importorskip("galsim", reason="extra `parametric` is not installed")

SIDE, FWHM, NOISE, SKY = 48, 3.5, 1.0, 20.0


class TestContract(DeconvolverContract):
    plugin = "parametric"
    flux_kept = 0.1
    """Models have the light of a star beneath its saturated pixels, too."""

    @pytest.fixture
    def frame(self) -> Frame:
        frame = load_stage("sep", thresh=10).run(synthetic_frame(seed=7)).frame
        few = frame.sources.table[np.argsort(-frame.sources.table["flux"])[:4]]
        return frame.replace(sources=Sources(few, segmentation=frame.sources.segmentation))


def run(frame: Frame, **options: object) -> StageResult:
    return load_stage("parametric", **options).run(frame)


def galaxy(seed: int, *, flux: float = 8000.0) -> tuple[np.ndarray, np.ndarray]:
    """Return a Sersic galaxy without PSF and as observed, on a sky."""
    generator = np.random.default_rng(seed)
    profile = galsim.Sersic(
        n=generator.uniform(0.8, 2.5), half_light_radius=generator.uniform(2.5, 5), flux=flux
    )
    profile = profile.shear(g1=generator.uniform(-0.3, 0.3), g2=generator.uniform(-0.3, 0.3))
    profile = profile.shift(*generator.uniform(-1, 1, 2))
    psf = galsim.Gaussian(fwhm=FWHM)
    size = {"nx": SIDE, "ny": SIDE, "scale": 1.0, "dtype": float}
    truth = profile.drawImage(**size).array
    seen = galsim.Convolve(profile, psf).drawImage(**size).array
    return SKY + truth, SKY + seen + generator.normal(0, NOISE, truth.shape)


def frame_of(image: np.ndarray, **fields: object) -> Frame:
    return Frame(image, unit="adu", psf=Psf.gaussian(fwhm_pixels=FWHM), **fields)


def psnr(image: np.ndarray, truth: np.ndarray) -> float:
    error = np.sqrt(np.mean((np.asarray(image, dtype=float) - truth) ** 2))
    return float(20 * np.log10((truth.max() - SKY) / error))


@pytest.mark.slow
def test_nearer_to_the_truth_than_the_other_deconvolvers() -> None:
    plugins = {
        "none": None,
        "wiener": load_stage("wiener"),
        "richardson-lucy": load_stage("richardson-lucy"),
        "parametric": load_stage("parametric"),
    }
    scores: dict[str, list[float]] = {name: [] for name in plugins}
    for seed in range(8):
        truth, seen = galaxy(seed)
        frame = frame_of(seen)
        for name, stage in plugins.items():
            scores[name].append(psnr(seen if stage is None else stage.run(frame).frame.data, truth))
    means = {name: round(float(np.mean(values)), 1) for name, values in scores.items()}
    sys.stdout.write(f"PSNR in dB: {means}\n")
    assert means["parametric"] > means["richardson-lucy"] + 3, means
    assert means["parametric"] > means["wiener"] + 3, means


@pytest.mark.parametrize("profile", ["spergel", "sersic"])
def test_flux_and_size_come_back(profile: str) -> None:
    truth, seen = galaxy(3)
    result = run(frame_of(seen), profile=profile)
    assert result.metrics["sources fitted"] == 1
    assert result.metrics["median chi2"] == pytest.approx(1, abs=0.15)
    assert result.metrics["flux ratio"] == pytest.approx(1, abs=0.01)
    light = result.frame.data - np.median(result.frame.data)
    assert light.sum() == pytest.approx((truth - SKY).sum(), rel=0.05)
    y, x = np.indices(truth.shape)
    for axis in (x, y):
        centers = [np.sum(axis * part) / part.sum() for part in (light, truth - SKY)]
        assert centers[0] == pytest.approx(centers[1], abs=0.2)


def test_narrow_target_is_what_the_result_says() -> None:
    _, seen = galaxy(2)
    result = run(frame_of(seen), target_fwhm=1.5)
    assert result.metrics["fwhm after (pixels)"] == pytest.approx(1.5, rel=0.15)
    assert result.frame.data.max() < run(frame_of(seen)).frame.data.max()


def test_remainder_is_noise_and_can_be_kept() -> None:
    _, seen = galaxy(4)
    result = run(frame_of(seen))
    rest = result.products["REMAINDER"]
    assert rest.std() == pytest.approx(NOISE, rel=0.1)
    kept = run(frame_of(seen), keep_rest=True).frame.data
    np.testing.assert_allclose(kept - result.frame.data, rest, atol=1e-3)


def field() -> tuple[Frame, np.ndarray]:
    """Return a frame of four galaxies, and its truth; the third is too large for a box of 64."""
    truth = np.full((120, 130), SKY)
    image = truth.copy()
    places = ((5, 5), (8, 70), (62, 10), (64, 72))
    for seed, (y, x) in enumerate(places):
        sharp, seen = galaxy(seed + 10)
        truth[y : y + SIDE, x : x + SIDE] += sharp - SKY
        image[y : y + SIDE, x : x + SIDE] += seen - SKY
    image += np.random.default_rng(1).normal(0, NOISE, image.shape) * (image == SKY)
    return load_stage("sep", thresh=2).run(frame_of(image)).frame, truth


def test_every_source_of_a_frame_is_fitted() -> None:
    frame, truth = field()
    assert len(frame.sources) >= 4
    result = run(frame)
    assert result.metrics["sources fitted"] >= 4
    assert result.metrics["flux ratio"] == pytest.approx(1, abs=0.01)
    assert psnr(result.frame.data, truth) > psnr(frame.data, truth) + 5


def test_large_and_many_sources_are_left_as_they_are() -> None:
    frame, _ = field()
    result = run(frame, max_sources=2)
    assert result.metrics["sources fitted"] == 2
    assert result.metrics["sources left"] == len(frame.sources) - 2
    table = frame.sources.table
    faint = int(table["id"][np.argsort(-table["flux"])[-1]])
    pixels = frame.sources.segmentation == faint
    change = np.abs(result.frame.data - frame.data)[pixels]
    assert np.median(change) < NOISE
    with pytest.raises(StageError, match="needs the sources"):
        run(frame.replace(sources=None), max_size=64)


def test_rejected_pixels_are_not_read_and_empty_ones_stay_empty() -> None:
    _, seen = galaxy(5)
    bad = np.zeros(seen.shape, dtype=bool)
    bad[22:24, 25] = bad[10, :] = True
    results = [
        run(frame_of(np.where(bad, value, seen)).add_planes(bad, "CR")).frame.data
        for value in (0.0, 1e9)
    ]
    assert results[0].tobytes() == results[1].tobytes()
    seen[:, 40:] = np.nan
    assert np.array_equal(np.isnan(run(frame_of(seen)).frame.data), np.isnan(seen))


@pytest.mark.parametrize("scale", [2.0**-30, 2.0**20])
def test_scale_of_the_unit_does_not_matter(scale: float) -> None:
    _, seen = galaxy(6)
    plain, scaled = (run(frame_of(seen * s)).frame.data for s in (1.0, scale))
    np.testing.assert_allclose(scaled / scale, plain, rtol=0.01)


def test_missing_library_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "galsim", None)
    with pytest.raises(StageError, match=r"astroclean-classical\[parametric\]"):
        run(frame_of(np.ones((20, 20))))


def test_catalogue_without_segmentation_serves() -> None:
    truth, seen = galaxy(7)
    table = QTable({"id": [1], "x": [23.5], "y": [23.5]})
    result = run(frame_of(seen, sources=Sources(table)))
    assert result.metrics["sources fitted"] == 1
    assert psnr(result.frame.data, truth) > psnr(seen, truth)


def test_psf_and_a_usable_pixel_are_needed() -> None:
    with pytest.raises(StageError, match="psf"):
        run(Frame(np.ones((9, 9)), unit="adu"))
    with pytest.raises(StageError, match="no usable pixel"):
        run(frame_of(np.full((9, 9), np.nan)))
