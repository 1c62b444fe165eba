"""Everything that a stage gives arrives in the file: grid, unit, uncertainty and PSF with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS
from toy_runs import digests, hdu_names, run, sky, write_fits, write_pipeline

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.image.grid import Grid
from astroclean.core.image.layer import Layer, LayerSpec
from astroclean.core.psf.psf import Psf
from astroclean.core.stage.kinds.mask import Masker
from astroclean.core.stage.results import Mask
from astroclean.errors import ConfigurationError, ContractError
from astroclean.io.frames.psf import read_psf
from astroclean.testing.frames import synthetic_frame

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("toys")
PSF: dict[str, Any] = {"fwhm": "3 pixel"}
PSF_OF = {name: (f"{name}_PSF", f"{name}_PSF_FINE") for name in ("DECONV", "SUPERRES", "BINNED")}
TAN = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 150.0,
    "CRVAL2": 2.0,
    "CRPIX1": 16.0,
    "CRPIX2": 12.0,
    "CDELT1": -0.5 / 3600,
    "CDELT2": 0.5 / 3600,
    "CUNIT1": "deg",
    "CUNIT2": "deg",
}


def corner_of(header: fits.Header) -> Any:
    return WCS(header).pixel_to_world(-0.5, -0.5)


class TestResults:
    """Deconvolved and finer images."""

    def test_uncertainty_and_psf_of_a_deconvolved_image_are_written(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", sky(), **TAN)
        run(tmp_path, "toy-sharpen", psf=PSF)
        out = tmp_path / "out" / "x_clean.fits"
        assert hdu_names(out) == ["PRIMARY", "FLAGS", "DECONV", "DECONV_UNCERT", *PSF_OF["DECONV"]]
        with fits.open(out) as hdus:
            np.testing.assert_allclose(
                hdus["DECONV_UNCERT"].data, 0.1 * np.abs(hdus["DECONV"].data), rtol=1e-6
            )
            assert {hdu.header["ACLAYER"] for hdu in hdus[2:]} == {"DECONV"}
            assert hdus["DECONV_UNCERT"].header["BUNIT"] == "adu"
            corners = [corner_of(hdus[name].header) for name in ("DECONV", 0)]
            assert corners[0].separation(corners[1]).arcsec < 1e-4
            hdus["DECONV_PSF"].writeto(tmp_path / "psf.fits")
        seen = read_psf(tmp_path / "psf.fits", 0.5, file_pixel_scale="0.5 arcsec")
        given = Psf.gaussian(fwhm_pixels=1.5)
        assert seen.fwhm_pixels == pytest.approx(given.fwhm_pixels, rel=0.02)

    def test_planes_of_a_cube_share_the_psf_that_each_has(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", np.stack([sky(), sky()]), **TAN)
        run(tmp_path, "toy-sharpen", psf=PSF)
        out = tmp_path / "out" / "x_clean.fits"
        with fits.open(out) as hdus:
            assert hdus["DECONV"].data.shape == (2, 24, 32)
            assert hdus["DECONV_PSF"].data.ndim == 2
            assert "ACPL0" not in hdus["DECONV_PSF"].header
        seen = [Frame.read(f"{out}[DECONV]", plane=plane).psf for plane in (0, 1)]
        for psf in seen:
            np.testing.assert_array_equal(psf.stamps, seen[0].stamps)

    def test_what_replaces_the_science_keeps_its_uncertainty(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", sky(), **TAN)
        run(tmp_path, "toy-sharpen", psf=PSF, products={"replace": True})
        names = hdu_names(tmp_path / "out" / "x_clean.fits")
        assert names == ["PRIMARY", "FLAGS", "DECONV_UNCERT", *PSF_OF["DECONV"]]

    def test_all_of_a_finer_image_lies_on_its_own_grid(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", sky(), **TAN)
        run(tmp_path, "toy-finer", psf=PSF)
        with fits.open(tmp_path / "out" / "x_clean.fits") as hdus:
            names = [hdu.name for hdu in hdus[2:]]
            assert names == ["SUPERRES", "SUPERRES_UNCERT", *PSF_OF["SUPERRES"], "SUPPORT"]
            for name in ("SUPERRES", "SUPERRES_UNCERT", "SUPPORT"):
                header = hdus[name].header
                assert hdus[name].shape == (48, 64)
                separation = corner_of(header).separation(corner_of(hdus[0].header))
                assert separation.arcsec < 1e-4
                assert header["CDELT2"] == pytest.approx(0.25 / 3600)
                assert header["ACSTEP"] == 0.5
            assert "BUNIT" not in hdus["SUPPORT"].header

    def test_a_catalogue_of_the_finer_grid_names_it(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", sky(), **TAN)
        run(tmp_path, "toy-finer", "toy-peaks", psf=PSF, products={"keep": ["sources", "stamps"]})
        table = QTable.read(tmp_path / "out" / "x_sources.ecsv")
        assert list(table["hdu"]) == ["[SUPERRES,1]"]
        rows = fits.getdata(tmp_path / "out" / "x_stamps.fits", "STAMPS")
        assert rows["hdu"].tolist() == ["[SUPERRES,1]"]
        write_fits(tmp_path / "y.fits", sky(), **TAN)
        run(tmp_path, "toy-peaks", "toy-finer", inputs="y.fits", psf=PSF)
        assert list(QTable.read(tmp_path / "out" / "y_sources.ecsv")["hdu"]) == ["[0]"]

    @pytest.mark.slow
    def test_a_state_between_stages_keeps_all_of_it(self, tmp_path: Path, cli: Any) -> None:
        write_fits(tmp_path / "x.fits", sky(), **TAN)
        tables = "[psf]\nfwhm = '3 pixel'\n[run]\nkeep_stages = true\n"
        write_pipeline(tmp_path / "p.toml", "toy-finer", "toy-peaks", tables=tables)
        assert cli("run", "p.toml", "x.fits", "-o", "out").status == 0
        first = digests(tmp_path / "out")
        again = cli("run", "p.toml", "x.fits", "-o", "out", "--from", "toy-peaks", "--overwrite")
        assert again.status == 0, again.err
        assert digests(tmp_path / "out") == first


class TestThirdParties:
    """A layer that astroclean does not know goes from a plugin to the file."""

    keep: ClassVar = {"keep": ["flags", "binned"]}

    def test_its_grid_unit_uncertainty_and_psf_arrive(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", sky(), **TAN)
        report = run(tmp_path, "toy-map", products=self.keep)
        out = tmp_path / "out" / "x_clean.fits"
        assert hdu_names(out) == ["PRIMARY", "FLAGS", "BINNED", "BINNED_UNCERT", *PSF_OF["BINNED"]]
        with fits.open(out) as hdus:
            header = hdus["BINNED"].header
            assert header["BUNIT"] == "electron"
            assert (header["ACSTEP"], header["ACORIG1"], header["ACORIG2"]) == (2, 2, 2)
            seen = WCS(header).pixel_to_world(-0.5, -0.5)
            true = WCS(hdus[0].header).pixel_to_world(1.5, 1.5)
            assert seen.separation(true).arcsec < 1e-4
            assert (hdus["BINNED_UNCERT"].data == 4).all()
        (layer,) = [one for one in report.files[0].frames[0].layers if one.name == "BINNED"]
        assert (layer.unit, layer.uncertainty, layer.psf) == ("electron", True, True)
        assert layer.meaning == "sums of 2 x 2 pixels"

    def test_it_is_not_written_unless_asked_for(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", sky())
        run(tmp_path, "toy-map")
        assert hdu_names(tmp_path / "out" / "x_clean.fits") == ["PRIMARY", "FLAGS"]

    def test_a_word_of_no_stage_is_refused_with_those_there_are(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", sky())
        with pytest.raises(ConfigurationError, match=r"'bined'.*Did you mean 'binned'"):
            run(tmp_path, "toy-map", products={"keep": ["bined"]})

    def test_the_frame_of_a_layer_can_be_read_again(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", sky(), **TAN)
        run(tmp_path, "toy-map", products=self.keep)
        frame = Frame.read(f"{tmp_path / 'out' / 'x_clean.fits'}[BINNED]")
        assert str(frame.unit) == "electron"
        assert frame.shape == (10, 14)
        assert frame.uncertainty is not None
        assert (frame.uncertainty.array == 4).all()
        assert frame.psf is not None
        given = Psf.gaussian(fwhm_pixels=2.0)
        np.testing.assert_allclose(frame.psf.stamps, given.stamps, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(frame.psf.fine, given.fine, rtol=1e-12, atol=1e-15)
        assert frame.wcs is not None


class Undeclared(Masker):
    """Gives what it does not declare."""

    sets = MaskPlane.USER_0
    given: ClassVar[Any] = None

    def layers(self) -> tuple[LayerSpec, ...]:
        """Return one layer on the frame, one on its own grid."""
        return (LayerSpec("KNOWN", "known"), LayerSpec("COARSE", "coarse", own_grid=True))

    def find(self, frame: Frame) -> Mask:
        """Return no flag."""
        return Mask(np.zeros(frame.shape, np.uint32), layers=self.given)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({"KNOWNS": np.zeros((96, 130))}, "not declare.*Did you mean 'KNOWN'"),
        ({"KNOWN": np.zeros((3, 3))}, r"shape \(96, 130\)"),
        ({"KNOWN": np.full((96, 130), "a")}, "real numbers"),
        ({"COARSE": np.zeros((96, 130))}, "grid of its own"),
        ({"COARSE": Layer(np.zeros((4, 4)), Grid((4, 5)))}, r"shape \(4, 5\)"),
        (
            {"KNOWN": Layer(np.zeros((96, 130)), uncertainty=np.zeros((2, 2)))},
            "uncertainty of layer",
        ),
    ],
)
def test_a_layer_that_is_not_what_was_declared_is_a_fault_of_the_plugin(
    layers: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Undeclared, "given", layers)
    with pytest.raises(ContractError, match=message):
        Undeclared().run(synthetic_frame())


def test_bands_on_grids_of_their_own_are_a_set(tmp_path: Path) -> None:
    bands = {"g": "*_g.fits", "r": "*_r.fits"}
    write_fits(tmp_path / "m_g.fits", sky(0))
    write_fits(tmp_path / "m_r.fits", sky(1)[:20, :25])
    names = ["m_g.fits", "m_r.fits"]
    assert run(tmp_path, "toy-same", inputs=names, bands=bands).exit_code == 0
    report = run(tmp_path, "toy-pair", inputs=names, bands=bands)
    assert {one.status for one in report.files} == {"failed"}
    assert "same pixels" in str(report.files[0].error)


def test_contracts_see_what_a_plugin_changes_in_place() -> None:
    """The digest of the contract tests holds the catalogue, its images and the fine PSF."""
    from astroclean.core.sources.sources import Sources, SourceStamp
    from astroclean.testing.frames import frame_digest

    table = QTable({"id": [1], "x": [3.0], "y": [4.0]})
    stamp = SourceStamp(1, (0, 0), np.ones((3, 3), np.float32))
    labels = np.zeros((96, 130), np.int32)
    frame = synthetic_frame().replace(sources=Sources(table, labels, (stamp,)))
    assert frame.psf is not None
    changes = {
        "column": lambda: table["x"].__setitem__(0, 5.0),
        "stamp": lambda: stamp.data.__setitem__((0, 0), 7),
        "labels": lambda: labels.__setitem__((0, 0), 7),
        "fine": lambda: frame.psf.fine.__setitem__((0, 0, 0), 7),
    }
    for change in changes.values():
        before = frame_digest(frame)
        change()
        assert frame_digest(frame) != before
