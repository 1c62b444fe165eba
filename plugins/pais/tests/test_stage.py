"""The stage finds and measures simulated sources, and keeps its laws whatever it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astroclean_pais.bands import placed_in
from astroclean_pais.detect import Detections
from astroclean_pais.stage import PaisDeblender, PaisOptions
from astropy.nddata import StdDevUncertainty
from astropy.wcs import WCS

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.image.frameset import FrameSet
from astroclean.core.psf.psf import Psf
from astroclean.core.stage.scope import Chunk
from astroclean.errors import AstrocleanWarning, StageError, SuspectWarning
from astroclean.simulate.crowded import CrowdedConfig, simulate_crowded
from astroclean.testing.chunks import run_in_chunks
from astroclean.testing.contracts import DeblenderContract

if TYPE_CHECKING:
    from astroclean.core.stage.results import StageResult
    from astroclean.simulate.scene import Scene

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("galsim", reason="GalSim is not installed")

# Crowded frames of a few pixels have some such light; whether it is told is tested elsewhere.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*have light that no source explains:astroclean.errors.AstrocleanWarning"
)

FIELD = CrowdedConfig(sources=(80, 80), slope=0.4, clustered=0.2, view="ground")
"""Many bright sources, few of them blended."""


class TestContract(DeblenderContract):
    plugin = "pais"


@pytest.fixture(scope="module")
def scene() -> Scene:
    return simulate_crowded(seed=3, shape=(128, 128), config=FIELD)


@pytest.fixture(scope="module")
def result(scene: Scene) -> StageResult:
    return PaisDeblender().run(scene.frame)


def sky_of(scene: Scene, **changes: Any) -> Frame:
    """Return a frame of the scene on a sky, and no WCS."""
    frame = scene.frame
    given = {"data": frame.data, "wcs": None, **changes}
    return frame.replace(**given)


def conserved(frame: Frame, result: StageResult) -> None:
    """Shares and what nobody owns are the frame, pixel by pixel."""
    total = result.products["UNASSIGNED"].astype(float)
    for stamp in result.frame.sources.stamps:
        assert stamp.share is not None
        assert np.isfinite(stamp.share).all()
        on_image, of_box = stamp.overlap(frame.shape)
        total[on_image] += stamp.share[of_box]
    scale = 4e-7 * max(float(np.nanmax(np.abs(frame.data), initial=0)), 1e-30)
    np.testing.assert_allclose(total, frame.data, rtol=1e-6, atol=scale)


def test_bright_sources_that_are_alone_are_found_with_their_fluxes() -> None:
    errors, wanted = [], 0
    for seed in (3, 5):
        scene = simulate_crowded(seed=seed, shape=(128, 128), config=FIELD)
        found = PaisDeblender().run(scene.frame).frame.sources.table
        true = scene.sources.table
        x, y = np.asarray(true["x"]), np.asarray(true["y"])
        flux, fwhm = np.asarray(true["flux"].value), scene.notes["fwhm_pixels"]
        for row in np.flatnonzero(np.asarray(true["snr"]) > 30):
            near = np.hypot(x - x[row], y - y[row]) < 3 * fwhm
            inside = min(x[row], y[row]) > 8 and max(x[row], y[row]) < 119
            if not inside or flux[near].sum() > 1.1 * flux[row]:
                continue
            wanted += 1
            away = np.hypot(found["x"] - x[row], found["y"] - y[row])
            nearest = int(np.argmin(away))
            if away[nearest] < 0.5 * fwhm:
                errors.append(found["flux"][nearest].value / flux[row] - 1)
    assert wanted >= 6
    assert len(errors) >= 0.8 * wanted
    assert np.mean(np.abs(errors) < 0.15) >= 0.75


def test_the_catalogue_is_whole(scene: Scene, result: StageResult) -> None:
    table = result.frame.sources.table
    assert np.asarray(table["id"]).tolist() == list(range(1, len(table) + 1))
    assert (np.diff(np.asarray(table["y"])) >= 0).all()
    flux, error = table["flux"].value, table["flux_err"].value
    # Errors hold what profiles add, significance the noise alone.
    assert (np.asarray(table["snr"]) >= flux / error * (1 - 1e-9)).all()
    for name in ("star_probability", "detection_probability", "blend_probability"):
        values = np.asarray(table[name])
        assert ((values >= 0) & (values <= 1)).all()
    assert table["flux"].unit == scene.frame.unit
    for stamp, one in zip(result.frame.sources.stamps, flux, strict=True):
        assert stamp.data.min() >= 0
        assert 0.5 * one < stamp.data.sum() < 1.001 * one
    model = result.products["MODEL"]
    pull = (scene.frame.data - model) / scene.frame.uncertainty.array
    assert np.median(np.abs(pull)) < 1.0


def test_the_fitted_models_leave_less_than_no_models(scene: Scene) -> None:
    """Each sweep of the profiles is there for something."""
    sigma = scene.frame.uncertainty.array
    left = []
    for sweeps in (0, 2):
        stage = PaisDeblender(PaisOptions(sweeps=sweeps))
        result = stage.run(scene.frame)
        residual = scene.frame.data - result.products["MODEL"] - result.products["BACKGROUND"]
        left.append(float(np.sum((residual / sigma) ** 2)))
    assert left[1] < left[0] < np.sum((scene.frame.data / sigma) ** 2)


def test_shares_and_the_unassigned_are_the_frame(scene: Scene, result: StageResult) -> None:
    conserved(scene.frame, result)


def test_nothing_is_lost_of_odd_pixels(scene: Scene) -> None:
    """NaN, saturated and masked pixels, and a sky so deep that most pixels are negative."""
    rng = np.random.default_rng(0)
    data = np.array(scene.frame.data)
    data -= 5 * np.median(scene.frame.uncertainty.array)
    data[:2, 7:20] = np.nan
    data[rng.random(data.shape) < 0.01] = np.nan
    flags = np.zeros(data.shape, dtype=np.uint32)
    flags[rng.random(data.shape) < 0.02] |= np.uint32(MaskPlane.BAD_PIXEL)
    flags[data > np.nanpercentile(data, 99.8)] |= np.uint32(MaskPlane.SATURATED)
    flags[np.isnan(data)] |= np.uint32(MaskPlane.NO_DATA)
    frame = sky_of(scene, data=data, flags=flags)
    found = PaisDeblender().run(frame)
    assert len(found.frame.sources) > 3
    conserved(frame, found)
    assert np.isfinite(found.products["MODEL"]).all()
    assert np.isfinite(found.products["BACKGROUND"]).all()
    for stamp in found.frame.sources.stamps:
        on_image, of_box = stamp.overlap(frame.shape)
        assert not stamp.share[of_box][~frame.usable[on_image]].any()


@pytest.mark.parametrize("value", [1e9, -1e9])
def test_masked_pixels_change_nothing(scene: Scene, value: float) -> None:
    flags = np.zeros(scene.frame.shape, dtype=np.uint32)
    flags[np.random.default_rng(1).random(flags.shape) < 0.02] |= np.uint32(MaskPlane.BAD_PIXEL)
    clean = PaisDeblender().run(sky_of(scene, flags=flags))
    data = np.where(flags > 0, np.float32(value), scene.frame.data)
    spoiled = PaisDeblender().run(sky_of(scene, data=data, flags=flags))
    for name in ("x", "y", "flux", "flux_err", "star_probability"):
        np.testing.assert_array_equal(
            np.asarray(clean.frame.sources.table[name]),
            np.asarray(spoiled.frame.sources.table[name]),
        )
    assert clean.products["MODEL"].tobytes() == spoiled.products["MODEL"].tobytes()


def test_units_and_a_sky_change_nothing_but_units(scene: Scene, result: StageResult) -> None:
    """Hundred thousandth parts of a unit, on a sky of ten thousand times the noise."""
    noise = float(np.median(scene.frame.uncertainty.array))
    scaled = sky_of(
        scene,
        data=(1e-5 * scene.frame.data + 0.1 * noise).astype(np.float32),
        uncertainty=StdDevUncertainty(1e-5 * scene.frame.uncertainty.array),
    )
    found = PaisDeblender().run(scaled).frame.sources.table
    before = result.frame.sources.table
    assert abs(len(found) - len(before)) <= 0.2 * len(before)
    bright = before[np.argsort(-np.asarray(before["snr"]))[:5]]
    for row in bright:
        nearest = int(np.argmin(np.hypot(found["x"] - row["x"], found["y"] - row["y"])))
        ratio = found["flux"][nearest].value / row["flux"].value
        assert ratio == pytest.approx(1e-5, rel=0.1)


@pytest.mark.slow
def test_chunks_give_the_bytes_of_the_whole() -> None:
    """Three blocks one above the other; sources lie on their seams."""
    config = CrowdedConfig(sources=(120, 120), view="ground")
    frame = simulate_crowded(seed=1, shape=(1160, 96), config=config).frame
    stage = PaisDeblender()
    whole = stage.run(frame)
    chunks = run_in_chunks(stage, frame, rows=512)
    for name in ("MODEL", "UNASSIGNED", "BACKGROUND"):
        assert chunks[name].tobytes() == np.asarray(whole.products[name]).tobytes(), name
    ours, theirs = chunks["sources"], whole.frame.sources
    assert len(ours) == len(theirs) > 20
    rows = np.asarray(theirs.table["y"])
    assert ((np.abs(rows - 512) < 12) | (np.abs(rows - 1024) < 12)).any()
    for name in theirs.table.colnames:
        if name not in {"ra", "dec", "flux_covariance_id", "id"}:
            np.testing.assert_array_equal(
                np.asarray(ours.table[name]), np.asarray(theirs.table[name]), err_msg=name
            )
    for name in ("ra", "dec"):
        np.testing.assert_allclose(
            ours.table[name].value, theirs.table[name].value, rtol=0, atol=1e-10
        )
    for mine, other in zip(ours.stamps, theirs.stamps, strict=True):
        assert mine.origin == other.origin
        assert mine.data.tobytes() == other.data.tobytes()
        assert mine.share.tobytes() == other.share.tobytes()
    np.testing.assert_array_equal(ours.segmentation, theirs.segmentation)


def noise_of(shape: tuple[int, int], seed: int = 0, **changes: Any) -> Frame:
    """Return a frame of sky alone."""
    given = {
        "data": np.random.default_rng(seed).normal(100, 3, shape).astype(np.float32),
        "unit": "adu",
        "uncertainty": StdDevUncertainty(np.full(shape, 3, dtype=np.float32)),
        "psf": Psf.gaussian(fwhm_pixels=3.0),
        "frame_id": "sky",
        **changes,
    }
    return Frame(given.pop("data"), **given)


def test_an_empty_sky_has_next_to_no_sources() -> None:
    frame = noise_of((256, 256))
    result = PaisDeblender().run(frame)
    assert len(result.frame.sources) <= 8
    conserved(frame, result)
    np.testing.assert_allclose(result.products["BACKGROUND"], 100, atol=1.5)


@pytest.mark.parametrize("shape", [(60, 70), (16, 16), (9, 13), (3, 40), (1, 1)])
def test_frames_of_any_size_are_answered(shape: tuple[int, int]) -> None:
    frame = noise_of(shape, seed=2)
    conserved(frame, PaisDeblender().run(frame))


def test_a_constant_frame_has_no_sources() -> None:
    data = np.full((60, 70), 7, dtype=np.float32)
    for uncertainty in (None, StdDevUncertainty(np.ones_like(data))):
        frame = noise_of((60, 70), data=data, uncertainty=uncertainty)
        result = PaisDeblender().run(frame)
        assert len(result.frame.sources) == 0
        conserved(frame, result)


def test_a_frame_without_usable_pixels_has_no_sources() -> None:
    flags = np.full((60, 70), np.uint32(MaskPlane.BAD_PIXEL), dtype=np.uint32)
    for changes in ({"flags": flags}, {"data": np.full((60, 70), np.nan, dtype=np.float32)}):
        frame = noise_of((60, 70), **changes)
        result = PaisDeblender().run(frame)
        assert len(result.frame.sources) == 0
        conserved(frame, result)


def test_a_frame_without_a_psf_is_told_what_it_needs(scene: Scene) -> None:
    with pytest.raises(StageError, match=r"needs 'psf'.*Give `\[psf\]` with `file`"):
        PaisDeblender().run(scene.frame.replace(psf=None))


@pytest.mark.parametrize("factor", [5.0, 0.2])
def test_a_noise_that_is_not_the_noise_is_told(scene: Scene, factor: float) -> None:
    stated = StdDevUncertainty(factor * scene.frame.uncertainty.array)
    with pytest.warns(SuspectWarning, match="uncertainty of the frame is not its noise"):
        result = PaisDeblender().run(sky_of(scene, uncertainty=stated))
    assert result.metrics["noise ratio"] == pytest.approx(1 / factor, rel=0.3)


def test_correlated_noise_is_told() -> None:
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(np.random.default_rng(0).normal(size=(128, 128)), 1.5)
    data = (100 + 3 * smooth / smooth.std()).astype(np.float32)
    with pytest.warns(AstrocleanWarning, match="noise of neighbors has a correlation"):
        PaisDeblender().run(noise_of((128, 128), data=data))


def test_a_correlation_that_reads_as_the_limit_is_not_told_as_more(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    from types import SimpleNamespace

    from astroclean_pais import domain

    ones = np.ones((16, 16))
    bands = [
        SimpleNamespace(
            frame=noise_of((16, 16)).replace(frame_id=name), light=ones, noise=ones, usable=ones > 0
        )
        for name in ("g.fits", "r.fits")
    ]
    monkeypatch.setattr(domain, "correlation_of", lambda *_: 0.603)
    domain.tell_of_domain(bands, 1, stage="x")
    assert not recwarn
    monkeypatch.setattr(domain, "correlation_of", lambda *_: 0.61)
    domain.tell_of_domain(bands, 1, stage="x")
    # Each band's own is told, by its name.
    told = [str(warning.message) for warning in recwarn]
    assert [text.split(",")[0] for text in told] == ["g.fits", "r.fits"]
    assert all("0.61, more than" in text for text in told)


def test_the_networks_and_the_calibration_are_part_of_the_fingerprint() -> None:
    told = PaisDeblender().fingerprint()
    assert {"weights", "weights of profiles", "calibration"} <= set(told)
    assert told["weights"] != told["weights of profiles"]


def bands_of(scene: Scene) -> dict[str, Frame]:
    """Return three bands of one sky, of different depth."""
    rng = np.random.default_rng(5)
    sigma = float(np.median(scene.frame.uncertainty.array))
    bands = {}
    for name, flux, depth in (("g", 0.5, 1.0), ("r", 1.0, 1.0), ("i", 1.5, 1.5)):
        deviation = np.full(scene.frame.shape, depth * sigma, dtype=np.float32)
        data = flux * scene.clean + rng.normal(0, 1, scene.frame.shape) * deviation
        bands[name] = scene.frame.replace(
            data=data.astype(np.float32),
            uncertainty=StdDevUncertainty(deviation),
            frame_id=name,
        )
    return bands


def test_bands_have_one_list_of_sources_and_each_its_fluxes(scene: Scene) -> None:
    frames = FrameSet(bands_of(scene))
    results = PaisDeblender().run_set(frames)
    assert set(results) == {"g", "r", "i"}
    table = results["r"].frame.sources.table
    assert len(table) > 5
    for name, result in results.items():
        own = result.frame.sources
        for column in ("id", "flux_g", "flux_err_g", "flux_r", "flux_i"):
            np.testing.assert_array_equal(
                np.asarray(own.table[column]), np.asarray(table[column]), err_msg=column
            )
        np.testing.assert_array_equal(
            np.asarray(own.table["flux"]), np.asarray(table[f"flux_{name}"])
        )
        assert len(own.stamps) == len(table)
        conserved(frames[name], result)
    bright = np.argsort(-table["flux"].value)[:6]
    blue = (table["flux_g"] / table["flux_r"]).value[bright]
    red = (table["flux_i"] / table["flux_r"]).value[bright]
    assert np.median(blue) == pytest.approx(0.5, rel=0.1)
    assert np.median(red) == pytest.approx(1.5, rel=0.1)


def star_field(scale: float, shape: tuple[int, int], fwhm: float, name: str) -> Frame:
    """Return five stars of one sky, with pixels of ``scale`` arc seconds."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval = 150.1, 2.2
    wcs.wcs.crpix = (shape[1] + 1) / 2, (shape[0] + 1) / 2
    wcs.wcs.cdelt = -scale / 3600, scale / 3600
    wcs.wcs.set()
    sky = np.array([(-6.0, -7.1), (7.3, -5.0), (0.4, 0.7), (-7.0, 6.2), (6.1, 7.0)])  # arcsec
    x, y = (np.array(shape)[::-1, np.newaxis] - 1) / 2 + sky.T / scale
    psf = Psf.gaussian(fwhm_pixels=fwhm)
    box = (slice(0, shape[0]), slice(0, shape[1]))
    flux = 3000.0 * np.arange(1, 6)
    stars = psf.drawn_at(x, y, flux, box=box).data.sum(axis=0)
    noise = np.random.default_rng(len(name)).normal(0, 5, shape)
    return Frame(
        (stars + noise).astype(np.float32),
        unit="adu",
        uncertainty=StdDevUncertainty(np.full(shape, 5, dtype=np.float32)),
        wcs=wcs,
        psf=psf,
        frame_id=name,
    )


def test_bands_on_other_pixels_are_measured_through_the_sky() -> None:
    frames = FrameSet(
        {"r": star_field(0.2, (110, 120), 3.5, "r"), "k": star_field(0.3, (76, 80), 2.5, "kk")}
    )
    results = PaisDeblender().run_set(frames)
    for name, result in results.items():
        table = result.frame.sources.table
        bright = np.argsort(-table["flux_r"].value)[:5]
        for wanted, row in zip(3000.0 * np.arange(5, 0, -1), bright, strict=True):
            for band in ("r", "k"):
                assert table[f"flux_{band}"][row].value == pytest.approx(wanted, rel=0.15), name
        conserved(frames[name], result)
    places = [results[name].frame.sources.table for name in ("r", "k")]
    np.testing.assert_array_equal(*(np.asarray(table["id"]) for table in places))
    for column in ("ra", "dec"):
        ours, theirs = (table[column].to_value("arcsec") for table in places)
        np.testing.assert_allclose(ours, theirs, atol=0.03)


def test_chunks_of_bands_on_other_pixels_are_refused() -> None:
    """The same rows are another sky: sources would have no light in one of the bands."""
    red, blue = (star_field(0.2, (110, 120), 3.5, name) for name in ("r", "kk"))
    moved = WCS(blue.wcs.to_header())
    moved.wcs.crpix += [0, 20]
    none = np.array([10.0])
    found = Detections(*[none] * 9)
    whole = red, blue.replace(wcs=moved)
    np.testing.assert_allclose(placed_in(found, *whole).y, 30)
    cut = [one[:90].replace(chunk=Chunk((0, 0), one.shape)) for one in whole]
    assert placed_in(found, cut[0], cut[0]) is found
    with pytest.raises(StageError, match="different pixels, and do not fit into memory"):
        placed_in(found, *cut)


def test_bands_on_other_pixels_without_a_wcs_are_refused() -> None:
    frames = FrameSet({"r": noise_of((60, 70)), "k": noise_of((50, 70))})
    with pytest.raises(StageError, match="no WCS tells where they lie"):
        PaisDeblender().run_set(frames)
