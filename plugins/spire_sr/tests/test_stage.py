"""The stage finds galaxies, keeps units, borders and flux, and refuses what it does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
import pytest
from astroclean_spire_sr.catalogue import COLUMNS
from astroclean_spire_sr.stage import SpireOptions, SpireSuperResolver
from astropy.nddata import StdDevUncertainty
from astropy.table import QTable

from astroclean.core.image.frameset import FrameSet
from astroclean.core.psf.beam import beam_area
from astroclean.core.psf.psf import Psf
from astroclean.errors import AstrocleanWarning, StageError, SuspectWarning, UnitError
from astroclean.simulate.far_infrared.band import MapRange
from astroclean.simulate.far_infrared.scene import FarInfraredConfig, simulate_far_infrared
from astroclean.testing.contracts import SuperResolverContract

if TYPE_CHECKING:
    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.results import StageResult
    from astroclean.simulate.scene import Scene

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
SHAPE = (64, 70)
SHINES = pytest.mark.filterwarnings("ignore:.*does not shine as they do")


@pytest.fixture(scope="module")
def scene() -> Scene:
    config = FarInfraredConfig(maps=MapRange(noise=(1.5, 1.5)))
    return simulate_far_infrared(seed=77, shape=SHAPE, config=config)


class TestContract(SuperResolverContract):
    plugin = "spire-sr"

    @pytest.fixture
    def frame(self, scene: Scene) -> Frame:
        return scene.frames["250"]

    @pytest.fixture
    def bands(self, scene: Scene) -> FrameSet:
        return scene.frames


def run(frames: Any, **options: Any) -> StageResult:
    stage = SpireSuperResolver(SpireOptions(**options))
    return stage.run_set(frames)["250"] if isinstance(frames, FrameSet) else stage.run(frames)


@pytest.fixture(scope="module")
def resolved(scene: Scene) -> StageResult:
    return run(scene.frames)


def in_unit(frame: Frame, unit: str) -> Frame:
    """Return a map in another unit, with its errors."""
    assert frame.psf is not None
    assert frame.uncertainty is not None
    pixel = 6.0
    area = beam_area(frame.psf, pixel)
    factor = {
        "Jy / beam": 1e-3,
        "Jy / pix": 1e-3 * pixel**2 / area,
        "MJy / sr": (u.mJy / u.arcsec**2).to("MJy / sr") / area,
    }[unit]
    error = StdDevUncertainty(frame.uncertainty.array * factor)
    return frame.replace(data=frame.data * factor, unit=u.Unit(unit), uncertainty=error)


def test_the_map_is_nearer_the_truth_than_a_level(scene: Scene, resolved: StageResult) -> None:
    assert scene.fine is not None
    layer, true = resolved.layers["SUPERRES"], scene.fine.data
    assert layer.data.shape == true.shape
    assert str(layer.unit) == "mJy / beam"
    assert layer.psf is not None
    assert layer.psf.fwhm_pixels == pytest.approx(7.9, rel=0.02)
    faint = true < 50
    assert np.corrcoef(layer.data[faint], true[faint])[0, 1] > 0.7
    assert layer.data.min() >= 0
    assert layer.grid is not None
    assert layer.grid.pixel_scale == pytest.approx(1.0)


def test_bright_galaxies_are_found_at_their_places(scene: Scene, resolved: StageResult) -> None:
    assert scene.sources is not None
    sources = resolved.frame.sources
    assert sources is not None
    assert set(COLUMNS) <= set(sources.table.colnames)
    true = scene.sources.table
    every = np.asarray(true["flux"].value)
    true_x, true_y = ((np.asarray(true[n], dtype=float) + 0.5) * 6 - 0.5 for n in ("x", "y"))
    x, y = (np.asarray(sources.table[name], dtype=float) for name in ("x", "y"))
    for index in np.flatnonzero(every > 9):
        near = np.hypot(x - true_x[index], y - true_y[index])
        assert near.min() < 6
        measured = float(sources.table["flux"][near.argmin()].value)
        # What lies in half a beam of 250 um with it may have been taken for one galaxy.
        around = np.hypot(true_x - true_x[index], true_y - true_y[index]) < 12
        assert 0.4 * every[index] < measured < 1.5 * every[around].sum()
    flux, error = sources.table["flux"].value, sources.table["flux_err"].value
    assert (np.diff(flux) <= 0).all()
    assert (error > 0).all()


@pytest.mark.parametrize("unit", ["Jy / beam", "Jy / pix", "MJy / sr"])
def test_units_make_no_difference(scene: Scene, resolved: StageResult, unit: str) -> None:
    frames = scene.frames.replace(**{"250": in_unit(scene.frames["250"], unit)})
    other = run(frames)
    np.testing.assert_allclose(
        other.layers["SUPERRES"].data, resolved.layers["SUPERRES"].data, rtol=0.02, atol=0.02
    )


def test_flux_density_alone_is_refused(scene: Scene) -> None:
    frame = scene.frames["250"].replace(unit=u.Unit("mJy"), uncertainty=None)
    with pytest.raises(UnitError, match="flux density per"):
        run(scene.frames.replace(**{"250": frame}))


def test_what_was_not_observed_stays_so(scene: Scene) -> None:
    frame = scene.frames["250"]
    data = frame.data.copy()
    data[:20, :15] = np.nan
    result = run(scene.frames.replace(**{"250": frame.replace(data=data)}))
    image, sources = result.layers["SUPERRES"].data, result.frame.sources
    assert np.isnan(image[:114, :84]).all()
    assert np.isfinite(image[132:, :]).all()
    assert (result.layers["SUPPORT"].data[:114, :84] == 0).all()
    assert sources is not None
    hidden = (sources.table["x"] < 84) & (sources.table["y"] < 114)
    assert not np.asarray(hidden).any()


def test_other_bands_may_be_missing_or_have_another_name(scene: Scene) -> None:
    one = run(FrameSet({"PSW": scene.frames["250"]})["PSW"])
    two = SpireSuperResolver().run_set(
        FrameSet({"psw": scene.frames["250"], "PLW": scene.frames["500"]})
    )
    for result in (one, two["psw"]):
        assert result.metrics["sources"] > 10
    assert two["PLW"].layers == {}


def test_given_places_get_fluxes_in_their_order(scene: Scene) -> None:
    assert scene.sources is not None
    true = scene.sources.table
    chosen = true[np.asarray(true["flux"].value) > 6][::-1]
    ids = np.arange(len(chosen))[::-1] + 40
    table = QTable({"id": ids, "x": chosen["x"], "y": chosen["y"]})
    result = run(scene.frames, positions=table, first_pixel=0)
    assert result.frame.sources is not None
    found = result.frame.sources.table
    assert list(found["id"]) == list(ids)
    ratio = found["flux"].value / chosen["flux"].value
    assert 0.7 < np.median(ratio) < 1.3
    assert np.isnan(np.asarray(found["reliability"])).all()


def test_how_given_pixels_count_is_told_or_asked_for(scene: Scene) -> None:
    one = QTable({"x": [41.0], "y": [33.0]})
    with pytest.warns(AstrocleanWarning) as caught:
        zero = run(scene.frames["250"], positions=one).frame.sources
    said = [str(warning.message) for warning in caught]
    assert any("first pixel is 0 in columns x, y" in text for text in said)
    with pytest.warns(AstrocleanWarning, match="rows are numbered"):
        first = run(scene.frames["250"], positions=one, first_pixel=1).frame.sources
    assert zero is not None
    assert first is not None
    for name in ("x", "y"):
        moved = np.asarray(zero.table[name]) - np.asarray(first.table[name])
        np.testing.assert_allclose(moved, 6)  # of 1 arcsec


def test_places_none_of_which_is_on_the_map_are_suspect(scene: Scene) -> None:
    far = QTable({"id": [3], "x": [4000.0], "y": [20.0]}, meta={"astroclean": "0.1.0"})
    with pytest.warns(SuspectWarning, match="ids 3. None lies on it"):
        result = run(scene.frames["250"], positions=far)
    assert result.metrics["positions outside"] == 1


def test_the_beams_that_maps_were_read_by_are_told(scene: Scene) -> None:
    header = scene.frames["350"].meta.copy()
    header["BMAJ"] = 25.9 / 3600
    header.pop("PSFFWHM", None)
    own = scene.frames["350"].replace(psf=None, meta=header)
    metrics = run(scene.frames.replace(**{"350": own})).metrics
    assert metrics["beam 250"] == pytest.approx(18.1, rel=0.02)
    assert metrics["beam 350"] == pytest.approx(25.9, rel=0.01)


def test_without_errors_the_noise_is_measured_and_told(scene: Scene) -> None:
    frame = scene.frames["250"].replace(uncertainty=None)
    with pytest.warns(AstrocleanWarning, match="no uncertainty is told"):
        result = run(scene.frames.replace(**{"250": frame}))
    assert 1.0 < result.metrics["noise 250"] < 3.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"psf": Psf.gaussian(fwhm_pixels=6.1)}, "the beam is none of a map at 250 um"),
        ({"data": np.full(SHAPE, np.nan, np.float32)}, "no pixel at 250 um"),
    ],
)
def test_what_is_no_map_at_250_um_is_refused(
    scene: Scene, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(StageError, match=message):
        run(scene.frames["250"].replace(**change))


def test_a_beam_of_another_band_is_refused(scene: Scene) -> None:
    frame = scene.frames["350"].replace(psf=Psf.gaussian(fwhm_pixels=4.4))
    with pytest.raises(StageError, match="the beam is not that of a map at 350 um"):
        run(scene.frames.replace(**{"350": frame}))


def test_a_map_whose_header_names_another_band_is_refused(scene: Scene) -> None:
    with pytest.raises(StageError, match="given as 350 um says that it is at 500 um"):
        run(scene.frames.replace(**{"350": scene.frames["500"]}))


def test_a_map_alone_of_another_band_is_refused_whatever_its_beam(scene: Scene) -> None:
    frame = scene.frames["500"]
    own = Psf.gaussian(fwhm_pixels=18.1 / float(frame.detector.pixel_scale or 1))
    for psf in (None, own):
        with pytest.raises(StageError, match="says that it is at 500 um, not at 250") as caught:
            run(frame.replace(psf=psf))
        assert "[psf]" not in str(caught.value.remedy)


def test_pixels_that_are_too_wide_are_named(scene: Scene) -> None:
    frame = scene.frames["250"]
    assert frame.wcs is not None
    wcs = frame.wcs.deepcopy()
    wcs.wcs.cdelt = wcs.wcs.cdelt * 2
    psf = Psf.gaussian(fwhm_pixels=18.1 / 12)
    with pytest.raises(StageError, match=r"pixels must be at most 8\.1 arcsec") as caught:
        run(scene.frames.replace(**{"250": frame.replace(wcs=wcs, psf=psf)}))
    assert "12 arcsec" in str(caught.value)


def test_a_unit_that_is_none_is_not_advised_to_be_one(scene: Scene) -> None:
    frame = scene.frames["250"].replace(unit=u.Unit("mJy"), uncertainty=None)
    with pytest.raises(UnitError, match="`Jy/pix` or `MJy/sr`"):
        run(scene.frames.replace(**{"250": frame}))


def test_a_header_with_another_beam_is_refused(scene: Scene) -> None:
    frame = scene.frames["350"].replace(psf=None)
    header = frame.meta.copy()
    header["BMAJ"] = 36.0 / 3600
    with pytest.raises(StageError, match="the beam is not that of a map at 350 um"):
        run(scene.frames.replace(**{"350": frame.replace(meta=header)}))


def test_bands_that_do_not_show_the_same_sky_are_told(scene: Scene) -> None:
    frame = scene.frames["350"]
    with pytest.warns(SuspectWarning, match="does not shine as they do"):
        run(scene.frames.replace(**{"350": frame.replace(data=np.roll(frame.data, 8, axis=1))}))


@SHINES
def test_a_hot_pixel_is_told(scene: Scene) -> None:
    frame = scene.frames["250"]
    data = frame.data.copy()
    data[30, 30] = 1e5
    with pytest.warns(SuspectWarning, match="brighter or darker than all"):
        run(scene.frames.replace(**{"250": frame.replace(data=data)}))


def test_noise_that_no_map_has_is_refused(scene: Scene) -> None:
    frame = scene.frames["250"].replace(unit=u.Unit("Jy / beam"), uncertainty=None)
    with (
        pytest.raises(StageError, match="is none that a map has"),
        pytest.warns(AstrocleanWarning, match="no uncertainty"),
    ):
        run(scene.frames.replace(**{"250": frame}))


@SHINES
def test_errors_that_are_not_the_noise_are_told(scene: Scene) -> None:
    frame = scene.frames["250"]
    assert frame.uncertainty is not None
    error = StdDevUncertainty(frame.uncertainty.array * 10)
    with pytest.warns(SuspectWarning, match="the errors say"):
        run(scene.frames.replace(**{"250": frame.replace(uncertainty=error)}))


def test_a_band_beside_the_field_is_told_and_not_used(scene: Scene) -> None:
    frame = scene.frames["350"]
    data = np.full(frame.shape, np.nan, np.float32)
    with pytest.warns(AstrocleanWarning, match="350 um sees nothing of the field"):
        result = run(scene.frames.replace(**{"350": frame.replace(data=data)}))
    assert result.frame.sources is not None
    assert "flux_350" not in result.frame.sources.table.colnames


def test_light_is_that_of_the_map(resolved: StageResult) -> None:
    for band in ("250", "350", "500"):
        assert 0.6 < resolved.metrics[f"light {band}"] < 1.5


def test_bands_that_nobody_knows_are_told_and_wrong_ones_refused(scene: Scene) -> None:
    with pytest.warns(AstrocleanWarning, match="bands 850 are not used"):
        run(FrameSet({"250": scene.frames["250"], "850": scene.frames["500"]}))
    with pytest.raises(StageError, match="two maps at 250 um"):
        run(FrameSet({"250": scene.frames["250"], "PSW": scene.frames["250"]}))
    with pytest.raises(StageError, match="first band must be"):
        SpireSuperResolver().run_set(
            FrameSet({"350": scene.frames["350"], "250": scene.frames["250"]})
        )


def test_a_map_without_beam_and_name_is_refused(scene: Scene) -> None:
    frame = scene.frames["250"].replace(psf=None)
    header = frame.meta.copy()
    for key in [key for key in header if "FILT" in key.upper()]:
        del header[key]
    with pytest.raises(StageError, match="nothing tells that this is a map at 250 um"):
        run(frame.replace(meta=header))


def test_blank_sky_has_no_bright_galaxy(scene: Scene) -> None:
    rng = np.random.default_rng(4)
    frame = scene.frames["250"]
    noise = 3.0 * rng.standard_normal(SHAPE)
    error = StdDevUncertainty(np.full(SHAPE, 3.0, np.float32))
    result = run(frame.replace(data=noise.astype(np.float32), uncertainty=error))
    assert result.frame.sources is not None
    assert (result.frame.sources.table["flux"].value < 9).all()
