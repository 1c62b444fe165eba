"""`lacosmic`: hits are found, stars are left, whatever unit and source of the noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from astroclean_classical.lacosmic.stage import LACosmic, LACosmicOptions
from astropy.io import fits
from astropy.nddata import StdDevUncertainty
from scipy.ndimage import binary_dilation

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.psf.psf import Psf
from astroclean.errors import AstrocleanWarning, StageError
from astroclean.testing.chunks import run_in_chunks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Scene = tuple[np.ndarray, np.ndarray, np.ndarray]

SHAPE = (200, 240)
SKY, READ_NOISE = 150.0, 5.0
DETECTOR = {"ACGAIN": 2.0, "ACRDNOIS": READ_NOISE}


@pytest.fixture(scope="module")
def scene(
    gaussian_stars: Callable[..., np.ndarray], star_grid: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Electrons, pixels that were hit, pixels of stars."""
    generator = np.random.default_rng(2)
    stars = gaussian_stars(SHAPE, star_grid, fwhm=2.8)
    electrons = generator.poisson(SKY + stars) + generator.normal(0, READ_NOISE, SHAPE)
    hit = np.zeros(SHAPE, dtype=bool)
    for _ in range(60):
        y, x = generator.integers(2, SHAPE[0] - 2), generator.integers(2, SHAPE[1] - 8)
        dy, length = generator.choice([-1, 0, 1]), generator.integers(1, 7)
        for step in range(length):
            row = int(np.clip(y + dy * step, 0, SHAPE[0] - 1))
            hit[row, x + step] = True
    hit &= stars < 1  # on the sky, where there is a truth to be missed
    electrons = electrons + hit * generator.uniform(500, 3000, SHAPE)
    return electrons, hit, stars > 5


def found(frame: Frame, **options: object) -> np.ndarray:
    return LACosmic(LACosmicOptions(**options)).run(frame).frame.where("COSMIC_RAY")


def test_neighbors_of_pixels_far_below_the_sky_are_no_hits(scene: Scene) -> None:
    electrons, hit, _ = scene
    low = np.zeros(SHAPE, dtype=bool)
    for y, x in ((20, 30), (60, 100), (120, 70), (170, 200)):
        low[y : y + 2, x : x + 2] = True
    frame, spoilt = (
        Frame(image / 2, unit="adu", meta=DETECTOR)
        for image in (electrons, np.where(low, -65536, electrons))
    )
    with pytest.warns(AstrocleanWarning, match="far below the sky"):
        flagged = found(spoilt)
    beside = binary_dilation(low, np.ones((3, 3)), iterations=5)
    assert not (flagged & beside & ~hit).any()
    assert np.array_equal(flagged & ~beside, found(frame) & ~beside)


@pytest.mark.parametrize("noise", ["detector", "uncertainty", "background"])
def test_hits_are_found_and_stars_are_not(scene: Scene, noise: str) -> None:
    electrons, hit, stars = scene
    deviation = np.sqrt(np.maximum(electrons, 0) + READ_NOISE**2) / 2
    frame = Frame(
        electrons / 2, unit="adu", meta=DETECTOR, uncertainty=StdDevUncertainty(deviation)
    )
    mask = found(frame, noise=noise)
    assert (mask & hit).sum() > 0.95 * hit.sum()
    false = mask & ~binary_dilation(hit, np.ones((3, 3)))
    assert false.sum() < 1e-3 * false.size
    assert (false & stars).sum() < 0.01 * stars.sum()


def test_values_unit_and_uncertainty_do_not_change(scene: Scene) -> None:
    electrons, _, _ = scene
    frame = Frame(electrons / 2, unit="adu", meta=DETECTOR)
    result = LACosmic().run(frame).frame
    assert result.unit == "adu"
    assert result.data.tobytes() == frame.data.tobytes()
    assert (result.flags & ~frame.flags & ~np.uint32(MaskPlane.COSMIC_RAY)).sum() == 0


def test_the_same_light_in_other_units_gives_the_same_mask(scene: Scene) -> None:
    electrons, _, _ = scene
    as_electrons = found(Frame(electrons, unit="electron", meta={"ACRDNOIS": READ_NOISE}))
    as_adu = found(Frame(electrons / 2, unit="adu", meta=DETECTOR))
    as_rate = found(Frame(electrons / 64, unit="electron / s", meta={**DETECTOR, "ACEXPTIM": 64.0}))
    assert as_electrons.sum() > 50
    assert np.array_equal(as_adu, as_electrons)
    assert np.array_equal(as_rate, as_electrons)


@pytest.mark.parametrize("scale", [2.0**-40, 2.0**30])
@pytest.mark.parametrize("noise", ["uncertainty", "background"])
def test_without_a_detector_the_scale_of_the_unit_does_not_matter(
    scene: Scene, scale: float, noise: str
) -> None:
    electrons, _, _ = scene
    deviation = np.full(SHAPE, 13.0)
    frames = [
        Frame(electrons * s, unit="MJy / sr", uncertainty=StdDevUncertainty(deviation * s))
        for s in (1.0, scale)
    ]
    first, second = (found(frame, noise=noise) for frame in frames)
    assert first.sum() > 50
    assert np.array_equal(first, second)


def test_which_noise_was_used_is_reported(scene: Scene) -> None:
    electrons, _, _ = scene
    deviation = StdDevUncertainty(np.full(SHAPE, 13.0))
    cases = {
        "detector": Frame(electrons, unit="adu", meta=DETECTOR),
        "uncertainty": Frame(electrons, unit="adu", meta=DETECTOR, uncertainty=deviation),
        "background": Frame(electrons, unit="adu", meta={"ACGAIN": 2.0}),
    }
    for source, frame in cases.items():
        metrics = LACosmic().run(frame).metrics
        assert [name for name in metrics if name.startswith("noise from")] == [
            f"noise from {source}"
        ]
    with_option = LACosmic(LACosmicOptions(read_noise=4)).run(cases["uncertainty"]).metrics
    assert with_option["noise from detector"] == pytest.approx(
        4 / with_option["electrons per unit"]
    )
    assert with_option["read noise (electrons)"] == 4


@pytest.mark.parametrize(
    ("unit", "meta", "noise", "told"),
    [
        ("adu", {"ACGAIN": 2.0}, "detector", "instrument.read_noise"),
        ("adu", {"ACRDNOIS": 4.0}, "detector", "instrument.gain"),
        ("adu / s", DETECTOR, "detector", "instrument.exposure"),
        ("MJy / sr", DETECTOR, "detector", "background"),
        ("adu", DETECTOR, "uncertainty", "background"),
    ],
)
def test_unknown_noise_is_an_error_with_a_remedy(
    unit: str, meta: dict[str, float], noise: str, told: str
) -> None:
    frame = Frame(np.ones((30, 30)), unit=unit, meta=meta)
    with pytest.raises(StageError, match=told):
        found(frame, noise=noise)


@pytest.mark.parametrize("unit", ["electron", "electron / s"])
def test_a_gain_of_what_is_in_electrons_is_refused(unit: str) -> None:
    image = np.random.default_rng(0).normal(100, 5, (60, 60))
    frame = Frame(image, unit=unit, meta={"ACEXPTIM": 10.0})
    with pytest.raises(StageError, match=r"no gain makes.*gain = 1\.5.*instrument\.unit=adu"):
        found(frame, gain=1.5, read_noise=5.0)
    found(frame, gain=1.0, read_noise=5.0)
    found(frame, gain=1.5, noise="background")


def test_rejected_and_empty_pixels_are_not_flagged_but_their_neighbors_are() -> None:
    image = np.random.default_rng(0).normal(100, 5, (60, 60))
    image[30, 10:50:2] = 5000  # every other pixel of a row: bad ones and hits in turns
    image[10:20, 40:50] = np.nan
    flags = np.zeros(image.shape, dtype=np.uint32)
    flags[30, 10:50:4] = MaskPlane.HOT_PIXEL
    mask = found(Frame(image, unit="adu", flags=flags), noise="background")
    assert not mask[flags != 0].any()
    assert not mask[10:20, 40:50].any()
    assert mask[30, 12:50:4].all()


def test_hits_at_the_border_are_found() -> None:
    image = np.random.default_rng(0).normal(100, 5, (60, 60))
    places = [(0, 5), (1, 20), (59, 30), (30, 0), (40, 59), (0, 0)]
    for y, x in places:
        image[y, x] += 2000
    mask = found(Frame(image, unit="adu"), noise="background")
    assert all(mask[y, x] for y, x in places)


def test_growing_widens_by_so_many_pixels() -> None:
    image = np.random.default_rng(0).normal(100, 5, (40, 40))
    image[20, 20] = 5000
    frame = Frame(image, unit="adu")
    narrow, wide = found(frame), found(frame, grow=2)
    distance = np.hypot(*(np.indices(image.shape) - 20))
    assert narrow[20, 20]
    assert wide[distance <= 2].all()
    assert not wide[distance > 6].any()


def test_fine_structure_from_the_psf_keeps_undersampled_stars(
    gaussian_stars: Callable[..., np.ndarray], star_grid: np.ndarray
) -> None:
    stars = gaussian_stars(SHAPE, star_grid, fwhm=1.5)
    generator = np.random.default_rng(3)
    image = generator.poisson(SKY + stars) + generator.normal(0, READ_NOISE, SHAPE)
    image[::25, ::25] += 2000
    frame = Frame(image, unit="electron", meta={"ACRDNOIS": READ_NOISE})
    with_psf = frame.replace(psf=Psf.gaussian(fwhm_pixels=1.7))
    with pytest.warns(AstrocleanWarning, match="PSF width"):
        told = found(frame, fsmode="convolve", psf_fwhm=1.7, psf_size=13, objlim=1.5)
    with pytest.warns(AstrocleanWarning, match="PSF width"):
        known = found(with_psf, fsmode="convolve", objlim=1.5)
    for mask in (told, known):
        assert not (mask & (stars > 20))[:, 5:].any()
        assert mask[::25, ::25].mean() > 0.9
    with pytest.raises(StageError, match="needs 'psf'"):
        found(frame, fsmode="convolve")


@pytest.mark.parametrize("options", [{}, {"niter": 2, "grow": 3}])
def test_pixels_beyond_the_halo_have_no_influence(scene: Scene, options: dict[str, object]) -> None:
    electrons, _, _ = scene
    frame = Frame(electrons, unit="electron", meta={"ACRDNOIS": READ_NOISE})
    halo = LACosmic(LACosmicOptions(**options)).scope(frame).halo
    assert halo is not None
    assert 2 * halo < SHAPE[1]
    changed = frame.data.copy()
    changed[:, :100] = np.random.default_rng(8).permutation(changed[:, :100], axis=1)
    other = found(frame.replace(data=changed), **options)
    same = slice(100 + halo, None)
    assert np.array_equal(other[:, same], found(frame, **options)[:, same])
    assert not np.array_equal(other, found(frame, **options))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("noise", "known", "source"),
    [
        ("auto", 0.9, "uncertainty"),
        ("auto", 0.1, "background"),
        ("uncertainty", 0.9, "uncertainty"),
        ("background", 0.9, "background"),
    ],
)
def test_noise_is_chosen_and_measured_on_the_whole_frame(
    scene: Scene, noise: str, known: float, source: str
) -> None:
    """The uncertainty grows, and one half knows more of it than the other: the same in bands."""
    image = np.tile(scene[0], (2, 1))
    ny = len(image)
    deviation = np.broadcast_to(np.linspace(8, 25, ny)[:, np.newaxis], image.shape).copy()
    unknown = np.random.default_rng(8).random(image.shape) > known
    unknown[: ny // 2] &= np.arange(image.shape[1]) % 2 == 0
    deviation[unknown] = 0
    frame = Frame(image, unit="Jy", uncertainty=StdDevUncertainty(deviation))
    stage = LACosmic(LACosmicOptions(noise=noise))
    whole = stage.run(frame)
    assert 5 < whole.metrics[f"noise from {source}"] < 30
    assert whole.frame.where("CR").any()
    assert np.array_equal(run_in_chunks(stage, frame, rows=70)["flags"], whole.frame.flags)


@pytest.mark.slow
@pytest.mark.parametrize("exposure", [0, 1])
def test_real_hits_of_stis_are_found(real_data: Callable[[str], Path], exposure: int) -> None:
    path = real_data("hst_stis_m33_pair_top_flt.fits.gz")
    with fits.open(path) as hdus:
        planes = [hdus[i].data.astype(float) for i in (1, 4)]
        noise = [hdus[i].data.astype(float) for i in (2, 5)]
        quality = [hdus[i].data.astype(int) for i in (3, 6)]
    other = 1 - exposure
    rejected = (quality[exposure] & 8192) != 0
    usable = (quality[exposure] & ~8192) == 0
    excess = (planes[exposure] - planes[other]) / np.hypot(*noise)
    truth = rejected & usable & (excess > 8)
    negative = (quality[exposure] == 0) & ~binary_dilation(rejected, np.ones((3, 3)))
    frame = Frame.read(f"{path}[SCI,{exposure + 1}]")
    unsearched = frame.replace(flags=frame.flags & ~np.uint32(MaskPlane.COSMIC_RAY))
    with pytest.warns(AstrocleanWarning, match="PSF width 1.7"):
        mask = found(unsearched)
    assert truth.sum() > 600
    assert (mask & truth).sum() >= 0.95 * truth.sum()
    assert (mask & negative).sum() <= 3e-4 * negative.sum()
    # What is as bright as stars are, and in both exposures: astroscrappy alone flags 61 %.
    bright = negative & (planes[exposure] > 10 * noise[exposure])
    assert bright.sum() > 1500
    assert (mask & bright).sum() <= 0.03 * bright.sum()
