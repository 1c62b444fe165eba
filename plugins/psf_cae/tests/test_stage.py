"""The stage sharpens, keeps flux and sky, tells its errors, and does not care how it is cut."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astroclean_psf_cae.moments import COLUMNS
from astroclean_psf_cae.paper.channels import ChannelSettings
from astroclean_psf_cae.stage import PsfCae, PsfCaeOptions
from astropy.nddata import StdDevUncertainty
from astropy.table import QTable

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.psf.psf import Psf
from astroclean.core.sources.sources import Sources, SourceStamp
from astroclean.errors import AstrocleanWarning, ConfigurationError, StageError
from astroclean.simulate.crowded import CrowdedConfig, simulate_crowded
from astroclean.simulate.stamps import StampConfig, simulate_stamp
from astroclean.testing.contracts import DeconvolverContract

if TYPE_CHECKING:
    from astroclean.core.stage.results import StageResult

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
galsim = pytest.importorskip("galsim", reason="GalSim is not installed")
pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:.*would not be so under other noise:astroclean.errors.AstrocleanWarning"
    ),
    # Frames of the contract have hits that nobody flagged.
    pytest.mark.filterwarnings(
        "ignore:.*the result under the PSF is not the frame:astroclean.errors.SuspectWarning"
    ),
]
SKY = 250.0


class TestContract(DeconvolverContract):
    plugin = "psf-cae"


def run(frame: Frame, **options: Any) -> StageResult:
    return PsfCae(PsfCaeOptions(**options)).run(frame)


def galaxy_frame(
    *, snr: float = 150.0, g1: float = 0.2, shape: tuple[int, int] = (64, 64), seed: int = 3
) -> tuple[Frame, np.ndarray]:
    """Return a stamp with one galaxy on a sky, and the galaxy at the target PSF."""
    psf_model = galsim.Moffat(beta=3.0, fwhm=4.0).shear(g1=0.08)
    galaxy = galsim.Exponential(half_light_radius=3.0).shear(g1=g1)
    ny, nx = shape

    def drawn(psf: Any) -> np.ndarray:
        return galsim.Convolve(galaxy, psf).drawImage(nx=nx, ny=ny, scale=1.0, dtype=float).array

    clean, true = drawn(psf_model), drawn(galsim.Gaussian(fwhm=2.0))
    flux = snr / np.sqrt(np.sum(clean**2))
    noise = np.random.default_rng(seed).standard_normal(shape)
    frame = Frame(
        SKY + flux * clean + noise,
        unit="adu",
        uncertainty=StdDevUncertainty(np.ones(shape, np.float32)),
        psf=Psf.from_model(psf_model, pixel_scale_arcsec=1.0, size=61),
        frame_id="galaxy",
    )
    return frame, flux * true


@pytest.fixture(scope="module")
def sharpened() -> tuple[StageResult, np.ndarray]:
    frame, true = galaxy_frame()
    return run(frame), true


def test_a_galaxy_is_that_at_the_target_psf(sharpened: tuple[StageResult, np.ndarray]) -> None:
    result, true = sharpened
    image = result.frame.data - SKY
    assert np.sqrt(np.mean((image - true) ** 2)) < 0.02 * true.max()
    assert result.frame.psf is not None
    assert result.frame.psf.fwhm_pixels == pytest.approx(2.13, abs=0.05)


def test_moments_are_told_with_errors(sharpened: tuple[StageResult, np.ndarray]) -> None:
    result, true = sharpened
    (row,) = result.tables["moments"]
    assert result.tables["moments"].colnames == ["id", *COLUMNS]
    assert row["flux"].value == pytest.approx(true.sum(), abs=4 * row["flux_err"].value)
    assert row["x"].value == pytest.approx(31.5, abs=4 * row["x_err"].value)
    assert row["flux"].unit == "adu"
    # Distortion at the target PSF is less than 2 g / (1 + g^2) of the galaxy itself.
    assert 0.2 < row["e1"] < 0.385
    assert abs(row["e2"]) < 4 * row["e2_err"]
    assert row["e1"] > row["e1_before"]


def test_layers_tell_how_good_the_result_is(sharpened: tuple[StageResult, np.ndarray]) -> None:
    result, true = sharpened
    chi, support = result.products["CHI"], result.products["SUPPORT"]
    assert np.std(chi) == pytest.approx(1, abs=0.1)
    bright = support[true > 0.3 * true.max()]
    assert bright.min() > 0.8
    assert np.median(bright) > 0.9
    assert np.median(support[true < 1e-4 * true.max()]) < 0.5
    assert support.min() >= 0
    assert support.max() <= 1


def test_blank_sky_stays_blank() -> None:
    frame, _ = galaxy_frame(snr=1e-3)
    result = run(frame)
    assert len(result.tables["moments"]) == 0
    assert np.abs(result.frame.data - SKY).max() < 1.0


def test_bad_pixels_are_not_read_and_have_no_error() -> None:
    frame, true = galaxy_frame()
    flags = np.zeros(frame.shape, np.uint32)
    flags[30:33, 33] = MaskPlane.HOT_PIXEL.bit
    data = np.array(frame.data)
    data[flags > 0] = 6e4
    bad = frame.replace(data=data, flags=flags)
    result = run(bad, draws=0)
    assert np.abs(result.frame.data - SKY - true).max() < 0.15 * true.max()
    assert result.frame.uncertainty is not None
    assert np.isnan(result.frame.uncertainty.array[flags > 0]).all()
    assert np.isfinite(result.frame.uncertainty.array[flags == 0]).all()
    assert "SUPPORT" not in result.products


def test_pixels_without_data_stay_without() -> None:
    frame, _ = galaxy_frame()
    data = np.array(frame.data)
    data[5, 7] = np.nan
    result = run(frame.replace(data=data), draws=0)
    assert np.isnan(result.frame.data[5, 7])
    assert np.count_nonzero(np.isnan(result.frame.data)) == 1


def test_units_do_not_matter() -> None:
    frame, _ = galaxy_frame()
    assert frame.uncertainty is not None
    large = frame.replace(
        data=1e4 * frame.data, uncertainty=StdDevUncertainty(1e4 * frame.uncertainty.array)
    )
    one, other = (run(f, draws=0).frame.data for f in (frame, large))
    assert np.abs(other / 1e4 - one).max() < 0.02


@pytest.mark.parametrize("turns", [1, 8])
def test_orientations(turns: int) -> None:
    frame, true = galaxy_frame()
    result = run(frame, turns=turns, draws=0)
    assert np.sqrt(np.mean((result.frame.data - SKY - true) ** 2)) < 0.02 * true.max()


def test_a_large_frame_without_catalogue_is_not_fitted() -> None:
    frame, _ = galaxy_frame(shape=(160, 144))
    result = run(frame, draws=0)
    assert result.metrics["sources fitted"] == 0
    assert len(result.tables["moments"]) == 0


@pytest.fixture(scope="module")
def field() -> Frame:
    scene = simulate_crowded(
        seed=5, shape=(160, 160), config=CrowdedConfig(sources=(60, 60), slope=0.4, view="ground")
    )
    assert scene.sources is not None
    return scene.frame.replace(sources=scene.sources, wcs=None)


def test_sources_of_a_catalogue_are_told_by_their_ids(field: Frame) -> None:
    result = run(field, draws=0)
    table = result.tables["moments"]
    assert field.sources is not None
    known = {int(one): row for row, one in enumerate(field.sources.table["id"])}
    bright = [row for row in table if row["snr"] > 50]
    assert len(bright) > 3
    for row in bright:
        true = field.sources.table[known[int(row["id"])]]
        assert float(getattr(true["x"], "value", true["x"])) == pytest.approx(
            row["x"].value, abs=1.5
        )


def test_no_usable_pixel_no_source_no_noise() -> None:
    frame, _ = galaxy_frame()
    flags = np.full(frame.shape, MaskPlane.NO_DATA.bit, np.uint32)
    empty = frame.replace(flags=flags)
    try:
        result = run(empty, draws=0)
    except StageError:
        return
    assert result.frame.uncertainty is not None
    assert np.isnan(result.frame.uncertainty.array).all()


def test_a_psf_outside_the_training_is_told() -> None:
    frame, _ = galaxy_frame()
    wide = frame.replace(psf=Psf.gaussian(fwhm_pixels=14.0))
    with pytest.warns(AstrocleanWarning, match="PSF width"):
        run(wide, draws=0)


def test_results_are_the_same_each_time() -> None:
    scene = simulate_stamp(seed=9, config=StampConfig(snr=(40, 40)))
    first, second = (run(scene.frame) for _ in range(2))
    np.testing.assert_array_equal(first.frame.data, second.frame.data)
    np.testing.assert_array_equal(first.products["SUPPORT"], second.products["SUPPORT"])


def test_the_variant_of_the_paper_tells_how_to_get_its_weights() -> None:
    with pytest.raises(ConfigurationError, match="astroclean train psf-cae-paper"):
        PsfCae(PsfCaeOptions(variant="paper"))


@pytest.mark.parametrize("with_models", [False, True])
@pytest.mark.parametrize("with_sources", [False, True])
def test_fluxes_of_the_paper_come_from_the_data(
    monkeypatch: pytest.MonkeyPatch, with_sources: bool, with_models: bool
) -> None:
    """Whatever the network answers, the result is as bright as the frame, source by source."""
    frame, true = galaxy_frame(shape=(192, 192) if with_sources else (64, 64))
    if with_sources:
        table = QTable({"id": [5], "x": [95.5], "y": [95.5]})
        true = true[64:128, 64:128]
        # As a deblender tells it: nothing is taken off a source by its own model.
        stamp = SourceStamp(5, (64, 64), true.astype(np.float32))
        stamps = (stamp,) if with_models else ()
        frame = frame.replace(sources=Sources(table, stamps=stamps))
    stage = PsfCae(PsfCaeOptions())
    stage._channels = ChannelSettings(names=("psf",))
    # The shape of the galaxy, in a unit of the network's own.
    answer = (0.37 * true / true.max())[np.newaxis, np.newaxis].astype(np.float32)
    monkeypatch.setattr(stage, "_answered", lambda _: answer)
    result = stage.run(frame)
    # Around the source there is the sky as it was measured, which is not quite flat.
    light = result.frame.data - np.median(result.frame.data)
    assert light.sum() == pytest.approx(true.sum(), rel=0.06)
    assert result.frame.uncertainty is None
    assert "CHI" not in result.products
    assert result.metrics["sources fitted"] == 1
