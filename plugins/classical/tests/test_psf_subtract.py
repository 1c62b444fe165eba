"""`psf-subtract`: what lies under a source comes back, to the noise, on structured background."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astroclean_classical.interpolate import Interpolate
from astroclean_classical.psf_subtract.fit import photutils_model
from astroclean_classical.psf_subtract.stage import PsfSubtract, PsfSubtractOptions
from astropy.nddata import StdDevUncertainty
from astropy.table import QTable
from scipy.special import erf

from astroclean.core.image.frame import Frame
from astroclean.core.image.uncertainty import deviation_of
from astroclean.core.psf.psf import Psf
from astroclean.core.sources.sources import Sources
from astroclean.core.stage.results import Outcome
from astroclean.errors import StageError
from astroclean.registry.load import load_stage
from astroclean.testing.contracts import SourceRemoverContract
from astroclean.testing.frames import synthetic_frame

if TYPE_CHECKING:
    from pathlib import Path

    from astroclean.core.stage.results import StageResult

SHAPE = (160, 180)
FWHM = 3.4  # of PACS at 70 micrometers on pixels of 1.6 arcsec
NOISE = 0.02


# The stars of that frame are no Gaussians, as which its PSF has them: that is told.
@pytest.mark.filterwarnings("ignore:.*the PSF does not fit:astroclean.errors.SuspectWarning")
class TestContract(SourceRemoverContract):
    plugin = "psf-subtract"

    @pytest.fixture
    def frame(self) -> Frame:
        return load_stage("sep", thresh=5).run(synthetic_frame(seed=7)).frame

    @pytest.mark.parametrize("case", ["all nan", "constant", "one pixel", "all flagged"])
    def test_odd_frames_do_not_crash(self, case: str) -> None:
        shape = (1, 1) if case == "one pixel" else (40, 50)
        image = np.full(shape, np.nan if case == "all nan" else 100.0)
        odd = frame_of(image, np.array([[0.2, 0.1], [20, 20], [-300, 9], [49.9, 39.9]]))
        if case == "all flagged":
            odd = odd.add_planes(np.ones(shape, dtype=bool), "BAD_PIXEL")
        result = run(odd)
        assert result.frame.shape == odd.shape
        self.changes_allowed(odd, result)


def run(frame: Frame, **options: object) -> StageResult:
    return PsfSubtract(PsfSubtractOptions(**options)).run(frame)


def point(x: float, y: float, *, fwhm: float = FWHM, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """A Gaussian of flux 1, integrated over pixels."""
    width = fwhm / 2.3548200450309493 * np.sqrt(2)
    profiles = [
        np.diff(erf((np.arange(side + 1) - 0.5 - place) / width)) / 2
        for side, place in zip(shape, (y, x), strict=True)
    ]
    return np.outer(*profiles)


def cirrus(seed: int) -> np.ndarray:
    """Emission with the power law of galactic cirrus as the telescope sees it, scatter 1."""
    ky, kx = np.fft.fftfreq(SHAPE[0])[:, None], np.fft.rfftfreq(SHAPE[1])
    k = np.hypot(ky, kx)
    k[0, 0] = np.inf
    beam = np.exp(-2 * (np.pi * FWHM / 2.3548 * np.where(np.isfinite(k), k, 0)) ** 2)
    white = np.fft.rfft2(np.random.default_rng(seed).normal(size=SHAPE))
    image = np.fft.irfft2(white * k**-1.45 * beam, s=SHAPE)
    return 10 + image / image.std()


def frame_of(image: np.ndarray, places: np.ndarray, **fields: object) -> Frame:
    ids = np.arange(1, len(places) + 1)
    table = QTable({"id": ids, "x": places[:, 0], "y": places[:, 1]})
    psf = fields.pop("psf", None) or Psf.gaussian(fwhm_pixels=FWHM)
    return Frame(image, unit="Jy", psf=psf, sources=Sources(table), **fields)


@pytest.fixture(scope="module")
def far_infrared() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Background, image, and rows of (x, y, flux)."""
    generator = np.random.default_rng(3)
    rows = np.array(
        [
            (x + generator.uniform(-4, 4), y + generator.uniform(-4, 4), generator.uniform(20, 200))
            for y in range(20, 150, 28)
            for x in range(20, 170, 28)
        ]
    )
    sky = cirrus(1)
    light = sum(flux * point(x, y) for x, y, flux in rows)
    return sky, sky + light + generator.normal(0, NOISE, SHAPE), rows


def hole_error(data: np.ndarray, sky: np.ndarray, rows: np.ndarray) -> float:
    """Median over the sources of the error within one FWHM, in units of the local scatter."""
    y, x = np.indices(SHAPE)
    errors = []
    for cx, cy, _ in rows:
        distance = np.hypot(x - cx, y - cy)
        hole, around = distance < FWHM, distance < 6 * FWHM
        errors.append(np.sqrt(np.mean((data - sky)[hole] ** 2)) / sky[around].std())
    return float(np.median(errors))


def test_hole_error_is_a_tenth_of_that_of_a_filling(
    far_infrared: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    sky, image, rows = far_infrared
    y, x = np.indices(SHAPE)
    holes = np.any([np.hypot(x - cx, y - cy) < 2 * FWHM for cx, cy, _ in rows], axis=0)
    frame = frame_of(image, rows)
    filled = Interpolate().run(frame.add_planes(holes, "BAD_PIXEL")).frame.data
    exact = run(frame, fix_positions=True).frame.data
    fitted = run(frame_of(image, rows + np.array([0.3, -0.2, 0]))).frame.data
    errors = {
        name: hole_error(data, sky, rows)
        for name, data in (("filled", filled), ("exact", exact), ("fitted", fitted))
    }
    # All pixels keep their noise, which is 0.03 of the scatter around.
    assert errors["exact"] < 0.13 * errors["filled"], errors
    assert errors["fitted"] < 0.25 * errors["filled"], errors


def test_flux_and_position_are_measured_in_spite_of_the_structure(
    far_infrared: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    _, image, rows = far_infrared
    offsets = np.random.default_rng(1).normal(0, 0.25, (len(rows), 2))
    result = run(frame_of(image, rows[:, :2] + offsets))
    table = result.frame.sources.table
    ratio = np.asarray(table["flux"].value) / rows[:, 2]
    assert table["removed"].all()
    assert table["flux"].unit == "Jy"
    assert np.median(ratio) == pytest.approx(1, abs=0.01)
    assert np.std(ratio) < 0.04
    distance = np.hypot(table["x"] - rows[:, 0], table["y"] - rows[:, 1])
    assert np.median(distance) < 0.05
    assert np.array_equal(table["id"], np.arange(1, len(rows) + 1))
    assert result.metrics["sources removed"] == len(rows)
    assert len(result.frame.sources.stamps) == len(rows)


def test_errors_of_flux_are_those_of_many_realizations() -> None:
    generator = np.random.default_rng(5)
    uncertainty = StdDevUncertainty(np.full(SHAPE, 0.5))
    fluxes, errors = [], []
    for _ in range(30):
        image = 10 + 100 * point(80.3, 70.8) + generator.normal(0, 0.5, SHAPE)
        frame = frame_of(image, np.array([[80.0, 71.0]]), uncertainty=uncertainty)
        row = run(frame).frame.sources.table[0]
        fluxes.append(row["flux"].value)
        errors.append(row["flux_err"].value)
    assert np.mean(fluxes) == pytest.approx(100, abs=3 * np.std(fluxes) / np.sqrt(30))
    assert np.std(fluxes) == pytest.approx(np.mean(errors), rel=0.4)


def test_neighbors_within_two_widths_are_told_apart() -> None:
    rows = np.array([(80, 70, 100), (80 + 1.3 * FWHM, 71, 60), (78, 70 - 1.5 * FWHM, 30)])
    image = 10 + sum(flux * point(x, y) for x, y, flux in rows)
    image += np.random.default_rng(2).normal(0, 0.01, SHAPE)
    result = run(frame_of(image, rows), fix_positions=True)
    np.testing.assert_allclose(result.frame.sources.table["flux"].value, rows[:, 2], rtol=0.02)
    assert np.abs(result.frame.data - 10).max() < 0.15


def test_only_pixels_of_sources_change_and_faint_ones_are_left() -> None:
    rows = np.array([(40.0, 40.0, 100.0), (100.0, 90.0, 0.02)])
    image = 10 + sum(flux * point(x, y) for x, y, flux in rows)
    image += np.random.default_rng(2).normal(0, NOISE, SHAPE)
    frame = frame_of(image, rows)
    result = run(frame, fix_positions=True, fraction=0.5)
    changed = result.frame.where("REMOVED")
    expected = 100 * point(40, 40) > 0.5 * NOISE
    assert np.mean(changed != expected) < 1e-3
    assert result.frame.data[~changed].tobytes() == frame.data[~changed].tobytes()
    table = result.frame.sources.table
    assert table["removed"].tolist() == [True, False]
    assert result.metrics["flux removed"] == pytest.approx(100, rel=0.02)
    stamp = result.frame.sources.stamps[0]
    np.testing.assert_allclose(result.products["REMOVED"][stamp.slices()], stamp.data, atol=0.02)


def test_uncertainty_grows_by_that_of_the_flux() -> None:
    image = 10 + 100 * point(40, 40) + np.random.default_rng(2).normal(0, 0.5, SHAPE)
    uncertainty = StdDevUncertainty(np.full(SHAPE, 0.5, dtype=np.float32))
    result = run(frame_of(image, np.array([[40.0, 40.0]]), uncertainty=uncertainty))
    after = deviation_of(result.frame.uncertainty)
    row = result.frame.sources.table[0]
    expected = np.hypot(0.5, row["flux_err"].value * point(40, 40).max())
    assert after[40, 40] == pytest.approx(expected, rel=0.02)
    assert after[0, 0] == 0.5


def test_rejected_pixels_are_not_read() -> None:
    rows = np.array([(40.2, 40.1, 100.0)])
    image = 10 + 100 * point(40.2, 40.1) + np.random.default_rng(2).normal(0, NOISE, SHAPE)
    bad = np.zeros(SHAPE, dtype=bool)
    bad[40, 41] = bad[38:43, 36] = True
    fluxes = []
    for value in (-1e6, 1e8):
        frame = frame_of(np.where(bad, value, image), rows).add_planes(bad, "CR")
        fluxes.append(run(frame).frame.sources.table["flux"].value[0])
    assert fluxes[0] == fluxes[1] == pytest.approx(100, rel=0.01)


def test_sources_that_cannot_be_fitted_are_told_and_left() -> None:
    rows = np.array([(40.0, 40.0, 100.0), (-200.0, 50.0, 1.0), (90.0, 90.0, 1.0)])
    image = 10 + 100 * point(40, 40)
    image -= 50 * point(90, 90)
    bad_frame = frame_of(image + np.random.default_rng(1).normal(0, 0.01, SHAPE), rows)
    result = run(bad_frame)
    table = result.frame.sources.table
    assert table["removed"].tolist() == [True, False, False]
    assert (np.asarray(table["flag"])[1:] != 0).all()


def test_varying_psf_is_taken_at_each_source() -> None:
    small, large = (Psf.gaussian(fwhm_pixels=w).at(0, 0) for w in (3.0, 4.5))
    pad = (large.shape[0] - small.shape[0]) // 2
    small = np.pad(small, pad)
    nodes = np.array([[0, 0], [179, 0], [0, 159], [179, 159]], dtype=float)
    psf = Psf(np.stack([small, large, small, large]), positions=nodes)
    image = 10 + 100 * point(0, 80, fwhm=3.0) + 100 * point(179, 80, fwhm=4.5)
    image += 100 * (point(40, 40, fwhm=3.0) + 0)
    frame = frame_of(image, np.array([[0.0, 80.0], [179.0, 80.0]]), psf=psf)
    result = run(frame, fix_positions=True)
    assert np.abs(result.frame.data[70:90] - 10).max() < 0.1


@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5])
@pytest.mark.parametrize("fwhm", [2.5, 3.4])
def test_model_is_exact_between_pixels(shift: float, fwhm: float) -> None:
    model = photutils_model(Psf.gaussian(fwhm_pixels=fwhm))
    y, x = np.mgrid[:41, :43].astype(float)
    drawn = model.evaluate(x, y, 1.0, 21 + shift, 20 - shift)
    truth = point(21 + shift, 20 - shift, fwhm=fwhm, shape=(41, 43))
    assert drawn.sum() == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(drawn, truth, atol=1e-3 * truth.max())


@pytest.mark.parametrize("scale", [2.0**-40, 2.0**30])
def test_scale_of_the_unit_does_not_matter(scale: float) -> None:
    rows = np.array([(40.2, 40.1, 100.0), (60.0, 80.5, 30.0)])
    image = cirrus(2) + sum(flux * point(x, y) for x, y, flux in rows)
    plain, scaled = (run(frame_of(image * s, rows)) for s in (1.0, scale))
    np.testing.assert_allclose(scaled.frame.data / scale, plain.frame.data, atol=1e-3)


def test_no_sources_no_work() -> None:
    result = run(frame_of(np.full(SHAPE, 3.0), np.zeros((0, 2))))
    assert result.outcome is Outcome.NO_WORK
    assert result.metrics["sources fitted"] == 0


def test_psf_and_sources_are_needed() -> None:
    assert PsfSubtract().needs().fields == {"psf", "sources"}
    frame = frame_of(np.ones(SHAPE), np.zeros((0, 2)))
    for field in ("psf", "sources"):
        with pytest.raises(StageError, match=field):
            run(frame.replace(**{field: None}))


def test_after_a_deblender_on_a_real_map(real_data: object) -> None:
    path: Path = real_data("herschel_pacs100_ngc5584.fits.gz")
    frame = Frame.read(path)
    frame = frame.replace(psf=Psf.gaussian(fwhm_pixels=4.3))
    found = load_stage("sep", thresh=5).run(frame).frame
    result = run(found)
    assert result.metrics["sources removed"] > 0
    assert np.isfinite(result.frame.data).sum() == np.isfinite(frame.data).sum()


@pytest.mark.parametrize("measured_on_pixels", [True, False])
def test_a_psf_that_is_slightly_too_wide_is_told(*, measured_on_pixels: bool) -> None:
    """Stars of FWHM 2.5 pixels as they look, drawn with such a PSF integrated over pixels again;
    the curved background that is fitted takes up the shape of what is left."""
    generator = np.random.default_rng(9)
    yy, xx = np.mgrid[:160, :160].astype(float)
    image = 50 + 20 * np.sin(xx / 40) * np.cos(yy / 35)
    places = [
        (x + generator.uniform(-0.5, 0.5), y + generator.uniform(-0.5, 0.5))
        for x in (20, 60, 100, 140)
        for y in (20, 80, 140)
    ]
    psf = Psf.gaussian(fwhm_pixels=2.5)
    for x, y in places:
        if measured_on_pixels:
            r2 = (xx - x) ** 2 + (yy - y) ** 2
            image += 2000 * 4 * np.log(2) / np.pi / 2.5**2 * np.exp(-4 * np.log(2) * r2 / 2.5**2)
        else:
            image += psf.drawn_at(x, y, 2000.0, box=(slice(0, 160), slice(0, 160))).data
    frame = Frame(image + generator.normal(0, 1.5, image.shape), unit="mJy", psf=psf)
    columns = {"id": range(1, 13), "x": [p[0] for p in places], "y": [p[1] for p in places]}
    sources = Sources(QTable({name: list(column) for name, column in columns.items()}))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        PsfSubtract().run(frame.replace(sources=sources))
    told = [w for w in caught if "does not fit the sources" in str(w.message)]
    assert bool(told) == measured_on_pixels
