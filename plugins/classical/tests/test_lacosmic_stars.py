"""`lacosmic`: stars keep their light whatever their sampling; what lies outside the domain."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astroclean_classical.lacosmic.stage import LACosmic, LACosmicOptions
from astroscrappy import detect_cosmics
from scipy.special import erf

from astroclean.core.image.frame import Frame
from astroclean.core.psf.psf import Psf
from astroclean.errors import AstrocleanWarning, SuspectWarning
from astroclean.registry.load import load_stage
from astroclean.testing.chunks import run_in_chunks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHAPE = (300, 300)
SKY = 100.0
DETECTOR = {"ACGAIN": 1.5, "ACRDNOIS": 5.0}


def star_field(
    fwhm: float, *, seed: int = 4, crowded: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Return an image without hits and rows of (x, y, flux); stars integrated over pixels."""
    generator = np.random.default_rng(seed)
    grid = [(x, y) for x in range(20, 281, 20) for y in range(20, 281, 20)][:150]
    image, stars, sigma = np.full(SHAPE, SKY), [], fwhm / 2.3548
    edges = np.arange(-12, 14) - 0.5
    for place in grid:
        x, y = generator.uniform(16, 284, 2) if crowded else place + generator.uniform(-3, 3, 2)
        flux = 10 ** generator.uniform(3.3, 5.3)
        row, column = round(y), round(x)
        across, along = (
            np.diff(0.5 * (1 + erf((middle + edges - center) / sigma / 2**0.5)))
            for middle, center in ((column, x), (row, y))
        )
        image[row - 12 : row + 13, column - 12 : column + 13] += flux * np.outer(along, across)
        stars.append((x, y, flux))
    noisy = generator.poisson(image * 1.5) / 1.5 + generator.normal(0, 3.3, SHAPE)
    return noisy, np.array(stars)


def shares_lost(image: np.ndarray, mask: np.ndarray, stars: np.ndarray) -> np.ndarray:
    """Return the share of each star's light that is in flagged pixels."""
    shares = []
    for x, y, flux in stars:
        box = (slice(round(y) - 3, round(y) + 4), slice(round(x) - 3, round(x) + 4))
        shares.append(((image[box] - SKY) * mask[box]).sum() / flux)
    return np.array(shares)


def flagged(frame: Frame, **options: object) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstrocleanWarning)
        return LACosmic(LACosmicOptions(**options)).run(frame).frame.where("COSMIC_RAY")


@pytest.mark.parametrize("header", [{}, {"ACPIXSC": 0.4}])
@pytest.mark.parametrize("fwhm", [1.2, 1.4, 1.6, 2.0, 2.5, 3.0])
def test_stars_keep_their_light(fwhm: float, header: dict[str, float]) -> None:
    """Where the header tells the width, and where only the stars do."""
    if header:
        header = {**header, "ACFWHM": 0.4 * fwhm}
    image, stars = star_field(fwhm)
    lost = shares_lost(image, flagged(Frame(image, unit="adu", meta=DETECTOR | header)), stars)
    # Of pairs closer than two pixels some are taken for hits, and the width is said.
    assert (lost > 0.02).sum() <= (4 if fwhm < 1.8 else 0)
    image, stars = star_field(fwhm, crowded=False)
    lost = shares_lost(image, flagged(Frame(image, unit="adu", meta=DETECTOR | header)), stars)
    assert not (lost > 0.02).any()


@pytest.mark.parametrize("told", ["header", "psf", "option", "stars"])
def test_few_stars_keep_their_light_where_their_width_is_told(told: str) -> None:
    image, stars = star_field(1.3, crowded=False)
    count = 150 if told == "stars" else 5
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    near = np.min([np.hypot(columns - x, rows - y) for x, y, _ in stars[:count]], axis=0) < 9
    generator = np.random.default_rng(1)
    image = np.where(near, image, SKY + generator.normal(0, 8.8, SHAPE))
    frame = Frame(image, unit="adu", meta=DETECTOR)
    options = {}
    if told == "header":
        frame = frame.replace(meta={**DETECTOR, "ACPIXSC": 0.4, "ACFWHM": 0.52})
    elif told == "psf":
        frame = frame.replace(psf=Psf.gaussian(fwhm_pixels=1.3))
    elif told == "option":
        options = {"psf_fwhm": 1.3}
    assert not (shares_lost(image, flagged(frame, **options), stars[:count]) > 0.02).any()


def test_a_width_of_another_exposure_does_not_hide_hits() -> None:
    """A header of 1.0 pixels over stars of 3: hits of single pixels would look like its stars."""
    image, _ = star_field(3.0, crowded=False)
    image[10::20, 10::20] += 1000
    frame = Frame(image, unit="adu", meta={**DETECTOR, "ACPIXSC": 1.0, "ACFWHM": 1.0})
    assert flagged(frame)[10::20, 10::20].mean() > 0.95


@pytest.mark.parametrize(("fwhm", "least"), [(1.2, 0.8), (1.6, 0.9), (2.0, 0.97), (3.0, 0.98)])
def test_hits_among_stars_are_found(fwhm: float, least: float) -> None:
    image, _ = star_field(fwhm, crowded=False)
    generator = np.random.default_rng(3)
    hit = np.zeros(SHAPE, dtype=bool)
    for _ in range(80):
        x, y, angle = *generator.integers(9, 291, 2), generator.uniform(0, np.pi)
        for step in range(generator.integers(1, 8)):
            hit[round(y + step * np.sin(angle)), round(x + step * np.cos(angle))] = True
    image = image + hit * generator.uniform(300, 3000, SHAPE)
    clear = hit & (star_field(fwhm, crowded=False)[0] < SKY + 50)
    mask = flagged(Frame(image, unit="adu", meta=DETECTOR))
    assert (mask & clear).sum() >= least * clear.sum()


def test_on_well_sampled_frames_the_result_is_that_of_astroscrappy() -> None:
    image, stars = star_field(3.0, crowded=False)
    faint = np.full(SHAPE, SKY)
    keep = stars[:, 2] < 2e4
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    for x, y, flux in stars[keep]:
        square = (columns - x) ** 2 + (rows - y) ** 2
        faint += flux / 10.2 * np.exp(-square / 3.25)
    generator = np.random.default_rng(8)
    image = generator.poisson(faint * 1.5) / 1.5 + generator.normal(0, 3.3, SHAPE)
    image[15::40, 10:290:20] += 900  # single pixels
    image[30::40, 12:290:20] += 900  # pairs
    image[30::40, 13:290:20] += 700
    ours = flagged(Frame(image, unit="adu", meta=DETECTOR))
    theirs, _ = detect_cosmics(
        (image * 1.5).astype(np.float32), gain=1.0, readnoise=5.0, satlevel=np.inf, sepmed=True
    )
    inner = (slice(10, -10), slice(10, -10))
    bright = image > SKY + 300
    assert (ours & bright & (faint < SKY + 5))[inner].sum() > 100
    hits = bright & (faint < SKY + 30)
    assert np.array_equal((ours & hits)[inner], (theirs & hits)[inner])
    assert (ours & ~theirs)[inner].sum() == 0


@pytest.mark.parametrize(
    "cards",
    [
        {"NCOMBINE": 3},
        {"NDRIZIM": 8},
        {"RESAMPT1": "LANCZOS3"},
        {"D001SCAL": 0.06},
        {"S_RESAMP": "COMPLETE"},
        {"STACKCNT": 40},
    ],
)
def test_stacks_are_outside_the_domain_and_that_is_said(cards: dict[str, object]) -> None:
    image = np.random.default_rng(0).normal(100, 5, (80, 80))
    quiet = Frame(image, unit="adu", meta=cards)
    with pytest.warns(AstrocleanWarning, match="made for single exposures"):
        LACosmic().run(quiet)
    image[40, 40] += 500
    with pytest.warns(SuspectWarning, match="stacks carry no hits"):
        LACosmic().run(Frame(image, unit="adu", meta=cards))


def test_a_width_below_the_domain_is_said() -> None:
    image, _ = star_field(1.4)
    with pytest.warns(AstrocleanWarning, match=r"PSF width 1\.\d+ pixels, made for 1\.8") as told:
        LACosmic().run(Frame(image, unit="adu", meta=DETECTOR))
    assert not any(issubclass(w.category, SuspectWarning) for w in told)


@pytest.mark.parametrize("noise", ["detector", "background"])
def test_borders_and_gaps_of_zeros_are_no_data(noise: str) -> None:
    generator = np.random.default_rng(6)
    image = generator.normal(300, 10, (200, 220))
    rows, columns = np.mgrid[:200, :220]
    empty = (rows + columns < 60) | (columns > 200) | (abs(rows - 120) < 6) | (rows == 199)
    image[empty] = 0
    image[60, 60] += 1000
    meta = {"ACGAIN": 1.0, "ACRDNOIS": 5.0}
    mask = flagged(Frame(image, unit="adu", meta=meta), noise=noise)
    assert mask[60, 60]
    assert not mask[empty].any()
    assert mask.sum() < 12


def test_the_sky_beside_dark_pixels_is_not_flagged() -> None:
    image = np.random.default_rng(7).normal(300, 10, (120, 120))
    image[10::20, 10::20] = 0
    image[20::20, 20::20] += 1000
    mask = flagged(Frame(image, unit="Jy"))
    assert mask[20::20, 20::20].all()
    for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        assert mask[10 + dy : 119 : 20, 10 + dx : 119 : 20].mean() < 0.1


def test_what_is_thicker_than_any_track_is_no_hit() -> None:
    """Stars clipped at a level that nothing tells."""
    image = np.random.default_rng(9).normal(300, 10, (120, 120))
    rows, columns = np.mgrid[:120, :120]
    image += np.minimum(9e4 * np.exp(-((rows - 40) ** 2 + (columns - 40) ** 2) / 12), 6e4)
    image[90, 20:100] += 3000  # a long track
    mask = flagged(Frame(image, unit="adu", meta={"ACGAIN": 1.0, "ACRDNOIS": 5.0}))
    assert mask[90, 20:100].mean() > 0.95
    assert mask[30:50, 30:50].sum() <= 8


@pytest.mark.slow
def test_stars_are_told_alike_in_bands() -> None:
    image, _ = star_field(1.5)
    image = np.tile(image, (2, 1))
    image[::31, ::37] += 800
    stage = LACosmic()
    frame = Frame(image, unit="adu", meta=DETECTOR)
    with pytest.warns(AstrocleanWarning, match="PSF width"):
        whole = stage.run(frame)
    with pytest.warns(AstrocleanWarning, match="PSF width"):
        bands = run_in_chunks(stage, frame, rows=90)
    assert whole.frame.where("CR").any()
    assert np.array_equal(bands["flags"], whole.frame.flags)


@pytest.mark.slow
@pytest.mark.parametrize(("chip", "most"), [(1, 0.05), (3, 0.3)])
def test_stars_of_omega_centauri_are_left(
    real_data: Callable[[str], Path], chip: int, most: float
) -> None:
    """WFPC2, FWHM 1.4 and 1.2 pixels: astroscrappy flags 53 and 92 % of the cores."""
    path = real_data("hst_wfpc2_omegacen_pc1_wf3.fits.gz")
    frame = Frame.read(f"{path}[SCI,{chip}]")
    image = frame.data
    with pytest.warns(AstrocleanWarning, match="PSF width") as told:
        mask = LACosmic().run(frame).frame.where("COSMIC_RAY")
    is_suspect = any(issubclass(w.category, SuspectWarning) for w in told)
    assert is_suspect == (chip == 3), "a field so crowded that blends are flagged"
    # The profile of a star: the pixels beside the peak are bright on all sides.
    inner = image[2:-2, 2:-2]
    sides = [np.roll(image, shift, axis)[2:-2, 2:-2] for axis in (0, 1) for shift in (1, -1)]
    smooth = (inner > 200) & (np.min(sides, axis=0) > 0.15 * inner) & (np.max(sides, 0) < inner)
    stars = smooth & ~frame.mask[2:-2, 2:-2]
    assert stars.sum() > 100
    assert mask[2:-2, 2:-2][stars].mean() < most


@pytest.mark.parametrize("fwhm", [2.0, 2.5])
def test_flanks_of_saturated_stars_are_no_hits(fwhm: float) -> None:
    """They fall more steeply from a core that is cut off than those of any other star."""
    rng = np.random.default_rng(9)
    y, x = np.indices((240, 260))
    image = np.full(y.shape, 300.0)
    for row in range(30, 240, 45):
        for column in range(30, 260, 45):
            place = row + rng.uniform(-0.5, 0.5), column + rng.uniform(-0.5, 0.5)
            away = (y - place[0]) ** 2 + (x - place[1]) ** 2
            image += 4e5 * np.exp(-away / (2 * (fwhm / 2.3548) ** 2))
    image = rng.poisson(image) + rng.normal(0, 4, y.shape)
    meta = {"ACGAIN": 1.0, "ACRDNOIS": 4.0, "ACSATUR": 60000.0}
    frame = Frame(np.minimum(image, 60000), unit="adu", meta=meta)
    flagged = load_stage("saturation").run(frame).frame
    for plugin in ("badpix", "lacosmic"):
        flagged = load_stage(plugin).run(flagged).frame
    bright = image > 1500
    assert np.count_nonzero(flagged.where("CR|HP|DP") & bright) == 0
