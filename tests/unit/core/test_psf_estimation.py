"""The PSF of simulated star fields comes back; frames without stars say what to do."""

from __future__ import annotations

import numpy as np
import pytest

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.psf.estimation import estimate_psf
from astroclean.core.psf.psf import Psf
from astroclean.errors import PsfError

SHAPE = (300, 320)


def moffat(y: np.ndarray, x: np.ndarray, *, fwhm: float, beta: float = 3.0) -> np.ndarray:
    """Unit sum in the plane."""
    core = fwhm / (2 * np.sqrt(2 ** (1 / beta) - 1))
    return (beta - 1) / (np.pi * core**2) * (1 + (x**2 + y**2) / core**2) ** -beta


def star_field(*, fwhm: float, count: int = 40, seed: int = 1) -> np.ndarray:
    """Stars on a jittered grid, so that they are isolated; sky 200, noise 5."""
    generator = np.random.default_rng(seed)
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    image = generator.normal(200, 5, SHAPE)
    places = [(y, x) for y in range(25, 280, 38) for x in range(25, 300, 38)]
    for y, x in places[:count]:
        dy, dx = generator.uniform(-3, 3, 2)
        flux = 10 ** generator.uniform(4.0, 5.0)
        image += flux * moffat(yy - y - dy, xx - x - dx, fwhm=fwhm)
    return image


@pytest.mark.parametrize("fwhm", [2.2, 3.5, 5.0])
def test_width_and_shape_come_back(fwhm: float) -> None:
    psf, metrics = estimate_psf(Frame(star_field(fwhm=fwhm), unit="adu"), size=25)
    half = 12
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
    # The truth, sampled like the stars: at the centers of pixels.
    truth = Psf(moffat(y, x, fwhm=fwhm))
    assert psf.fwhm_pixels == pytest.approx(truth.fwhm_pixels, rel=0.06)
    assert metrics["fwhm pixels"] == psf.fwhm_pixels
    assert metrics["stars used"] >= 10
    assert np.abs(psf.stamps[0] - truth.stamps[0]).max() < 0.06 * truth.stamps.max()
    assert psf.stamps.min() >= 0


def test_stamp_size_follows_the_width() -> None:
    narrow, _ = estimate_psf(Frame(star_field(fwhm=2.2), unit="adu"))
    wide, _ = estimate_psf(Frame(star_field(fwhm=5.0), unit="adu"))
    assert narrow.shape[0] < wide.shape[0]
    assert narrow.shape[0] % 2 == wide.shape[0] % 2 == 1


def test_flagged_saturated_and_wide_objects_are_not_used() -> None:
    fwhm = 3.0
    image = star_field(fwhm=fwhm)
    clean, _ = estimate_psf(Frame(image, unit="adu"), size=21)
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    # Saturated stars have flat tops, galaxies are wide: both brighter than any star.
    spoilt = image.copy()
    for x in (45, 121, 197, 273):
        spoilt += 3e6 * moffat(yy - 44, xx - x, fwhm=fwhm)
        spoilt += 4e5 * moffat(yy - 120, xx - x, fwhm=12)
    spoilt = np.minimum(spoilt, 30000)
    flags = np.zeros(SHAPE, dtype=np.uint32)
    flags[spoilt >= 30000] = MaskPlane.SATURATED
    spoilt[220:260:4, 30:300:8] = 30000  # hot pixels, known to the mask
    flags[220:260:4, 30:300:8] = MaskPlane.HOT_PIXEL
    frame = Frame(spoilt, unit="adu", flags=flags, meta={"ACSATUR": 30000.0})
    psf, _ = estimate_psf(frame, size=21)
    assert psf.fwhm_pixels == pytest.approx(clean.fwhm_pixels, rel=0.05)


def test_scattered_bad_pixels_do_not_matter() -> None:
    image = star_field(fwhm=2.5)
    clean, _ = estimate_psf(Frame(image, unit="adu"), size=15)
    bad = np.random.default_rng(9).uniform(size=SHAPE) < 0.05
    flags = bad * np.uint32(MaskPlane.HOT_PIXEL)
    spoilt, metrics = estimate_psf(
        Frame(np.where(bad, 1e6, image), unit="adu", flags=flags), size=15
    )
    assert metrics["stars used"] >= 3
    assert spoilt.fwhm_pixels == pytest.approx(clean.fwhm_pixels, rel=0.08)
    assert np.abs(spoilt.stamps - clean.stamps).max() < 0.06 * clean.stamps.max()


def test_at_most_max_stars_are_used() -> None:
    _, metrics = estimate_psf(Frame(star_field(fwhm=3.0), unit="adu"), max_stars=5)
    assert metrics["stars used"] == 5


def test_the_scale_of_the_unit_does_not_matter() -> None:
    image = star_field(fwhm=3.0)
    psf, _ = estimate_psf(Frame(image, unit="adu"))
    tiny, _ = estimate_psf(Frame(image * 2.0**-30, unit="Jy"))
    np.testing.assert_allclose(tiny.stamps, psf.stamps, atol=1e-6)


@pytest.mark.parametrize(
    "image",
    [
        star_field(fwhm=3.0, count=2),
        np.random.default_rng(3).normal(0, 1, SHAPE),
        np.zeros((50, 50)),
        np.full((50, 50), np.nan),
        np.ones((3, 3)),
    ],
    ids=["two stars", "noise", "zero", "all NaN", "tiny"],
)
def test_too_few_stars_is_an_error_with_a_remedy(image: np.ndarray) -> None:
    with pytest.raises(PsfError, match=r"needs 3 isolated.*fwhm"):
        estimate_psf(Frame(image, unit="adu", frame_id="field.fits"))


def test_even_size_is_refused() -> None:
    with pytest.raises(PsfError, match="odd"):
        estimate_psf(Frame(star_field(fwhm=3.0), unit="adu"), size=20)


def test_the_frame_is_not_modified_and_the_answer_is_the_same_twice() -> None:
    frame = Frame(star_field(fwhm=3.0), unit="adu")
    before = frame.data.tobytes()
    first, _ = estimate_psf(frame)
    second, _ = estimate_psf(frame)
    assert frame.data.tobytes() == before
    assert first.stamps.tobytes() == second.stamps.tobytes()
