"""Whole pipelines over small frames whose answer is known: kinds, bands, needs, saved stages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from toy_runs import (
    digests,
    hdu_names,
    report_of,
    run,
    sky,
    statuses,
    write_fits,
    write_pipeline,
)

import astroclean
from astroclean.cli.main import main
from astroclean.config.load import load_pipeline
from astroclean.core.flags.planes import MaskPlane
from astroclean.errors import ConfigurationError, NeedError

if TYPE_CHECKING:
    from pathlib import Path

    from astroclean.report.model import RunReport

pytestmark = pytest.mark.usefixtures("toys")

PIXEL_WCS = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 150.0,
    "CRVAL2": 2.0,
    "CRPIX1": 16.0,
    "CRPIX2": 12.0,
    "CD1_1": -0.5 / 3600,
    "CD2_2": 0.5 / 3600,
}


def only_frame(report: RunReport) -> Any:
    assert [f.error for f in report.files] == [None]
    (frame,) = report.files[0].frames
    return frame


class TestScreening:
    """The exposure is judged by the mean over its frames."""

    def write(self, folder: Path, name: str, *probabilities: float) -> None:
        write_fits(folder / name, *(sky(n) for n in range(len(probabilities))))
        for number, probability in enumerate(probabilities, 1):
            ext = number if len(probabilities) > 1 else 0
            fits.setval(folder / name, "TOYPROB", value=probability, ext=ext)

    def test_flag(self, tmp_path: Path) -> None:
        self.write(tmp_path, "good.fits", 0.9, 0.0, 0.3)
        self.write(tmp_path, "bad.fits", 0.2, 0.7, 0.9)
        report = run(tmp_path, "toy-score", "toy-bright", inputs=["good.fits", "bad.fits"])

        bad, good = report.files
        assert report.exit_code == 0
        assert good.screening == pytest.approx({"toy-score": 0.4})
        assert bad.screening == pytest.approx({"toy-score": 0.6})
        assert (good.rejected_by, bad.rejected_by) == (None, "toy-score")
        assert {"good_clean.fits", "bad_clean.fits"} == set(digests(tmp_path / "out"))

    def test_skip(self, tmp_path: Path) -> None:
        self.write(tmp_path, "good.fits", 0.9, 0.0, 0.3)
        self.write(tmp_path, "bad.fits", 0.2, 0.7, 0.9)
        stages = ("toy-bright", "toy-score", "toy-fault")
        files = ["good.fits", "bad.fits"]
        # After the screening comes a stage that would fail: it must not be reached.
        fits.setval(tmp_path / "bad.fits", "TOYFAULT", value="KeyError", ext=1)
        report = run(tmp_path, *stages, inputs=files, run={"on_reject": "skip"})

        assert report.exit_code == 0
        assert statuses(tmp_path / "out") == {"good.fits": "done", "bad.fits": "rejected"}
        assert list(digests(tmp_path / "out")) == ["good_clean.fits"]
        assert report.files[0].screening == pytest.approx({"toy-score": 0.6})

        report = run(tmp_path, *stages, inputs=files, run={"on_reject": "flag"})
        assert statuses(tmp_path / "out") == {"good.fits": "done", "bad.fits": "failed"}

    def test_equal_to_the_threshold_is_kept(self, tmp_path: Path) -> None:
        self.write(tmp_path, "x.fits", 0.5)
        stage = {"plugin": "toy-score", "options": {"threshold": 0.5}}
        report = run(tmp_path, stage, run={"on_reject": "skip"})
        assert report.files[0].status == "done"

    @pytest.mark.slow
    def test_skip_in_several_processes(self, tmp_path: Path) -> None:
        self.write(tmp_path, "x.fits", 0.2, 0.7, 0.9)
        pipeline = write_pipeline(
            tmp_path / "p.toml", "toy-score", tables='[run]\non_reject = "skip"\n'
        )
        report = astroclean.run(pipeline, tmp_path / "x.fits", output=tmp_path / "out", jobs=2)
        assert report.files[0].screening == pytest.approx({"toy-score": 0.6})
        assert report.files[0].status == "rejected"


class TestBranches:
    """A deconvolved or finer image stands beside the science image."""

    psf: ClassVar = {"fwhm": "3 pixel"}

    def test_science_is_untouched(self, tmp_path: Path) -> None:
        image = sky(dtype="int16")
        write_fits(tmp_path / "x.fits", image)
        run(tmp_path, "toy-sharpen", psf=self.psf)

        out = tmp_path / "out" / "x_clean.fits"
        assert out.read_bytes().startswith((tmp_path / "x.fits").read_bytes())
        assert hdu_names(out) == [
            "PRIMARY",
            "FLAGS",
            "DECONV",
            "DECONV_UNCERT",
            "DECONV_PSF",
            "DECONV_PSF_FINE",
        ]
        np.testing.assert_array_equal(fits.getdata(out, "DECONV"), 2.0 * image)
        assert fits.getheader(out, "DECONV")["BUNIT"] == "adu"

    def test_replace(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", sky())
        run(tmp_path, "toy-sharpen", psf=self.psf, products={"replace": True})

        out = tmp_path / "out" / "x_clean.fits"
        assert hdu_names(out) == [
            "PRIMARY",
            "FLAGS",
            "DECONV_UNCERT",
            "DECONV_PSF",
            "DECONV_PSF_FINE",
        ]
        np.testing.assert_array_equal(fits.getdata(out), 2 * sky())

    def test_filled_pixels_reach_both(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", sky())
        run(tmp_path, "toy-bright", "toy-fill", "toy-sharpen", psf=self.psf)

        out = tmp_path / "out" / "x_clean.fits"
        cleaned = fits.getdata(out, 0)
        assert cleaned.max() < 1000
        np.testing.assert_array_equal(fits.getdata(out, "DECONV"), 2 * cleaned)

    def test_stages_behind_a_branch_do_not_touch_the_science(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", sky())
        run(tmp_path, "toy-sharpen", "toy-bright", "toy-fill", psf=self.psf)

        out = tmp_path / "out" / "x_clean.fits"
        np.testing.assert_array_equal(fits.getdata(out, 0), sky())
        assert fits.getdata(out, "DECONV").max() < 1000
        flags = fits.getdata(out, "FLAGS")
        np.testing.assert_array_equal(flags & 1, sky() > 1000)

    def test_finer_grid(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", sky(), **PIXEL_WCS)
        run(tmp_path, "toy-finer", psf=self.psf, products={"replace": True})

        out = tmp_path / "out" / "x_clean.fits"
        assert out.read_bytes().startswith((tmp_path / "x.fits").read_bytes())
        with fits.open(out) as hdus:
            names = ["SUPERRES", "SUPERRES_UNCERT", "SUPERRES_PSF", "SUPERRES_PSF_FINE", "SUPPORT"]
            assert [h.name for h in hdus] == ["PRIMARY", "FLAGS", *names]
            finer, header = hdus["SUPERRES"].data, hdus["SUPERRES"].header
        assert finer.shape == (48, 64)
        assert finer.sum() == pytest.approx(sky().sum(), rel=1e-5)
        assert header["CDELT2"] * header.get("PC2_2", 1) == pytest.approx(0.25 / 3600)
        assert header["CRPIX1"] == pytest.approx(2 * 16 - 0.5)


class TestBands:
    """Aligned bands are files, or HDUs of one file."""

    bands: ClassVar = {"g": "*_g.fits", "r": "*_r.fits"}

    def write(self, folder: Path, field: str, seed: int) -> Any:
        images = {band: sky(seed, hits=0) for band in "gr"}
        images["g"][2, 3] = images["r"][2, 3] = 5000
        images["g"][4, 5] = images["r"][6, 7] = 5000
        for band, image in images.items():
            write_fits(folder / f"{field}_{band}.fits", image)
        return images

    def test_by_file(self, tmp_path: Path) -> None:
        for number, field in enumerate(("m1", "m2")):
            self.write(tmp_path, field, number)
        names = ["m2_r.fits", "m1_g.fits", "m1_r.fits", "m2_g.fits"]
        stages = ("toy-bright", "toy-pair", "toy-fill")
        assert run(tmp_path, *stages, inputs=names, bands=self.bands).exit_code == 0

        for name in names:
            flags = fits.getdata(tmp_path / "out" / name.replace(".fits", "_clean.fits"), "FLAGS")
            both = np.argwhere(flags & int(MaskPlane.USER_1))
            assert both.tolist() == [[2, 3]]
            own = {"g": [[2, 3], [4, 5]], "r": [[2, 3], [6, 7]]}[name[3]]
            assert np.argwhere(flags & int(MaskPlane.COSMIC_RAY)).tolist() == own
        again = run(tmp_path, *stages, inputs=names, bands=self.bands)
        assert {str(f.status) for f in again.files} == {"up to date"}

    def test_change_of_one_band_counts_for_its_field(self, tmp_path: Path) -> None:
        for number, field in enumerate(("m1", "m2")):
            self.write(tmp_path, field, number)
        names = [f"{field}_{band}.fits" for field in ("m1", "m2") for band in "gr"]
        run(tmp_path, "toy-pair", inputs=names, bands=self.bands)
        write_fits(tmp_path / "m1_r.fits", sky(9))

        run(tmp_path, "toy-pair", inputs=names, bands=self.bands)

        assert statuses(tmp_path / "out") == {
            name: "done" if name.startswith("m1") else "up to date" for name in names
        }

    def test_by_hdu(self, tmp_path: Path) -> None:
        images = self.write(tmp_path, "m1", 1)
        write_fits(tmp_path / "x.fits", images["g"], images["r"])
        report = run(tmp_path, "toy-pair", bands={"r": "[SCI,2]", "g": "[SCI,1]"})

        assert report.exit_code == 0
        with fits.open(tmp_path / "out" / "x_clean.fits") as hdus:
            assert [(h.name, h.ver) for h in hdus[1:]] == [
                *(("SCI", 1), ("SCI", 2)),
                *(("FLAGS", 1), ("FLAGS", 2)),
            ]
            for number in (1, 2):
                both = hdus["FLAGS", number].data & int(MaskPlane.USER_1)
                assert np.argwhere(both).tolist() == [[2, 3]]

    def test_wrong_bands_are_told_together(self, tmp_path: Path) -> None:
        self.write(tmp_path, "m1", 1)
        for name in ("m2_g", "other"):
            write_fits(tmp_path / f"{name}.fits", sky())
        names = ["m1_g.fits", "m1_r.fits", "m2_g.fits", "other.fits"]
        with pytest.raises(ConfigurationError) as raised:
            run(tmp_path, "toy-pair", inputs=names, bands=self.bands)
        assert len(raised.value.problems) == 2
        assert "other.fits" in raised.value.problems[0]
        assert "'m2' lacks r" in raised.value.problems[1]

    def test_failed_band_fails_its_field_alone(self, tmp_path: Path) -> None:
        for number, field in enumerate(("m1", "m2")):
            self.write(tmp_path, field, number)
        (tmp_path / "m1_g.fits").write_bytes(b"nothing")
        names = [f"{field}_{band}.fits" for field in ("m1", "m2") for band in "gr"]
        report = run(tmp_path, "toy-pair", inputs=names, bands=self.bands)

        assert report.exit_code == 1
        assert statuses(tmp_path / "out") == {
            **dict.fromkeys(("m1_g.fits", "m1_r.fits"), "failed"),
            **dict.fromkeys(("m2_g.fits", "m2_r.fits"), "done"),
        }
        assert "m1_g.fits" in str(report.files[1].error)

    def test_unequal_numbers_of_frames_fail_their_field_alone(self, tmp_path: Path) -> None:
        self.write(tmp_path, "m1", 1)
        write_fits(tmp_path / "m2_g.fits", sky(1), sky(2))
        write_fits(tmp_path / "m2_r.fits", sky(3))
        names = [f"{field}_{band}.fits" for field in ("m1", "m2") for band in "gr"]
        report = run(tmp_path, "toy-pair", inputs=names, bands=self.bands)

        assert [str(f.status) for f in report.files] == ["done", "done", "failed", "failed"]
        for record in report.files[2:]:
            assert "same number of frames" in str(record.error)

    def test_bands_of_other_shapes_fail_with_both_named(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "m_g.fits", sky(1))
        write_fits(tmp_path / "m_r.fits", sky(2, (10, 10)))
        report = run(tmp_path, "toy-pair", inputs=["m_g.fits", "m_r.fits"], bands=self.bands)
        assert all("m_r.fits" in str(f.error) and "shape" in str(f.error) for f in report.files)

    def test_set_plugin_without_bands(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", sky())
        with pytest.raises(NeedError, match=r"toy-pair.*\[bands\]"):
            run(tmp_path, "toy-pair")

    def test_band_that_the_plugin_needs(self, tmp_path: Path) -> None:
        self.write(tmp_path, "m1", 1)
        bands = {"g": "*_g.fits", "i": "*_r.fits"}
        with pytest.raises(NeedError, match="needs bands r"):
            run(tmp_path, "toy-pair", inputs=["m1_g.fits", "m1_r.fits"], bands=bands)


class TestNeeds:
    """What a stage needs comes from the file or an earlier stage, or the run does not begin."""

    def test_order(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", sky())
        with pytest.raises(NeedError, match=r"toy-source-mask.*segmentation, sources"):
            run(tmp_path, "toy-source-mask", "toy-peaks")
        assert digests(tmp_path / "out") == {}

    def test_status(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write_fits(tmp_path / "x.fits", sky())
        pipeline = write_pipeline(tmp_path / "p.toml", "toy-source-mask", "toy-peaks")
        words = [str(pipeline), str(tmp_path / "x.fits"), "-o", str(tmp_path / "out")]
        assert main(["run", *words]) == 2
        assert main(["check", *words]) == 2
        assert capsys.readouterr().err.count("toy-source-mask") == 2

    def test_sources_reach_a_later_stage(self, tmp_path: Path) -> None:
        image = sky(hits=0)
        image[7, 9] = 4000
        write_fits(tmp_path / "x.fits", image, **PIXEL_WCS)
        report = run(tmp_path, "toy-peaks", "toy-bright", "toy-source-mask")

        assert only_frame(report).sources == 1
        flags = fits.getdata(tmp_path / "out" / "x_clean.fits", "FLAGS")
        wanted = MaskPlane.USER_2 | MaskPlane.SOURCE | MaskPlane.COSMIC_RAY
        assert flags[7, 9] == int(wanted)
        assert np.count_nonzero(flags) == 1

    def test_planes_must_be_found_before(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", sky())
        fill = {"plugin": "interpolate", "options": {"planes": ["CR"]}}
        with pytest.raises(NeedError, match="COSMIC_RAY"):
            run(tmp_path, fill, "toy-bright")
        assert run(tmp_path, "toy-bright", fill).exit_code == 0

    def test_need_of_one_file_fails_that_file(self, tmp_path: Path) -> None:
        fill = {"plugin": "interpolate", "options": {"planes": ["BAD_PIXEL"]}}
        write_fits(tmp_path / "bare.fits", sky())
        mask = (sky() > 1000).astype(np.uint8)
        write_fits(tmp_path / "with_dq.fits", sky(), mask, names=("SCI", "DQ"))
        report = run(tmp_path, fill, inputs=["bare.fits", "with_dq.fits"])

        assert report.exit_code == 1
        assert statuses(tmp_path / "out") == {"bare.fits": "failed", "with_dq.fits": "done"}
        assert "BAD_PIXEL" in str(report.files[0].error)
        assert "bare.fits" in str(report.files[0].error)


class TestPsf:
    """Every source of a PSF gives the width that it states."""

    def width(self, folder: Path, psf: dict[str, Any], **tables: Any) -> float:
        frame = only_frame(run(folder, "toy-psf-width", psf=psf, **tables))
        assert frame.psf
        return float(frame.stages[0].metrics["fwhm"])

    def test_pixel_width(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", sky())
        assert self.width(tmp_path, {"fwhm": "3.5 pixel"}) == pytest.approx(3.5, rel=0.05)

    def test_angle(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", sky(), **PIXEL_WCS)
        assert self.width(tmp_path, {"fwhm": "2 arcsec"}) == pytest.approx(4, rel=0.05)

    def test_angle_without_scale(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", sky())
        report = run(tmp_path, "toy-psf-width", psf={"fwhm": "2 arcsec"})
        assert "instrument.pixel_scale" in str(report.files[0].error)
        assert "x.fits" in str(report.files[0].error)
        told = {"instrument": {"pixel_scale": 0.4}}
        assert self.width(tmp_path, {"fwhm": "2 arcsec"}, **told) == pytest.approx(5, rel=0.05)

    @pytest.mark.parametrize("text", ["2 parsec", "wide", "3"])
    def test_no_width(self, tmp_path: Path, text: str) -> None:
        write_fits(tmp_path / "x.fits", sky())
        with pytest.raises(ConfigurationError, match=rf"psf\.fwhm: must .*{text}"):
            run(tmp_path, "toy-psf-width", psf={"fwhm": text})

    def test_width_below_a_pixel(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", sky())
        error = str(run(tmp_path, "toy-psf-width", psf={"fwhm": "0.1 pixel"}).files[0].error)
        assert "x.fits" in error
        assert "fwhm" in error.lower()

    def test_instrument(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", sky(), **PIXEL_WCS)
        told = {"instrument": {"psf_fwhm": 1.5}}
        assert self.width(tmp_path, {"instrument": True}, **told) == pytest.approx(3, rel=0.05)
        error = str(run(tmp_path, "toy-psf-width", psf={"instrument": True}).files[0].error)
        assert "instrument.psf_fwhm" in error

    def test_file_with_other_pixels(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", sky(), **PIXEL_WCS)
        stamp = astroclean.Psf.gaussian(fwhm_pixels=12.0).stamps[0]
        write_fits(tmp_path / "x_psf.fits", stamp, PIXELSCL=0.125)
        told = {"file": str(tmp_path / "{stem}_psf.fits")}
        assert self.width(tmp_path, told) == pytest.approx(3, rel=0.05)

    def test_missing_file_fails_its_input_alone(self, tmp_path: Path) -> None:
        for name in "xy":
            write_fits(tmp_path / f"{name}.fits", sky(), **PIXEL_WCS)
        stamp = astroclean.Psf.gaussian(fwhm_pixels=3.0).stamps[0]
        write_fits(tmp_path / "x_psf.fits", stamp, PIXELSCL=0.5)
        told = {"file": str(tmp_path / "{stem}_psf.fits")}
        report = run(tmp_path, "toy-psf-width", psf=told, inputs=["x.fits", "y.fits"])
        assert statuses(tmp_path / "out") == {"x.fits": "done", "y.fits": "failed"}
        assert "y_psf.fits" in str(report.files[1].error)
        assert "y.fits" in str(report.files[1].error)

    def test_estimate(self, tmp_path: Path) -> None:
        image = np.random.default_rng(1).normal(100, 2, (160, 160))
        y, x = np.mgrid[:160, :160]
        for cy in range(20, 150, 30):
            for cx in range(20, 150, 30):
                image += 4000 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * 1.5**2))
        write_fits(tmp_path / "x.fits", image.astype(np.float32))
        width = self.width(tmp_path, {"estimate": True})
        assert width == pytest.approx(2.355 * 1.5, rel=0.1)

    def test_estimate_without_stars_names_the_file(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", sky(hits=0))
        error = str(run(tmp_path, "toy-psf-width", psf={"estimate": True}).files[0].error)
        assert "x.fits" in error


STAGES = ("toy-bright", "toy-fill", "toy-peaks", "toy-source-mask")


class TestSelection:
    """``--from``, ``--until``, ``--only``, ``--skip``."""

    @pytest.fixture
    def words(self, tmp_path: Path) -> list[str]:
        write_fits(tmp_path / "x.fits", sky(1), sky(2))
        return [str(write_pipeline(tmp_path / "p.toml", *STAGES)), str(tmp_path / "x.fits")]

    def stages_of(self, out: Path) -> list[str]:
        return [stage["name"] for stage in report_of(out)["files"][0]["frames"][0]["stages"]]

    @pytest.mark.parametrize(
        ("told", "ran"),
        [
            ((), STAGES),
            (("--until", "toy-fill"), STAGES[:2]),
            (("--only", "toy-bright", "--only", "toy-peaks"), (STAGES[0], STAGES[2])),
            (("--skip", "toy-fill"), (STAGES[0], *STAGES[2:])),
            (("--until", "toy-peaks", "--skip", "toy-bright"), STAGES[1:3]),
        ],
    )
    def test_stages_that_run(
        self, words: list[str], tmp_path: Path, told: tuple[str, ...], ran: tuple[str, ...]
    ) -> None:
        assert main(["run", *words, "-o", str(tmp_path / "out"), *told]) == 0
        assert self.stages_of(tmp_path / "out") == list(ran)

    @pytest.mark.parametrize(
        ("start", "jobs"), [*((stage, "1") for stage in STAGES), ("toy-peaks", "2")]
    )
    def test_from_saved_stages_gives_the_same_bytes(
        self, words: list[str], tmp_path: Path, start: str, jobs: str
    ) -> None:
        out, keep = tmp_path / "out", ["--set", "run.keep_stages=true"]
        assert main(["run", *words, "-o", str(out), *keep]) == 0
        whole = digests(out)
        for name in whole:
            (out / name).unlink()

        assert main(["run", *words, "-o", str(out), "--from", start, "-j", jobs]) == 0
        assert digests(out) == whole

    def test_from_reads_what_was_saved(self, words: list[str], tmp_path: Path) -> None:
        # Another option of a later stage: the stages before it are not run again.
        out, keep = str(tmp_path / "out"), ["--set", "run.keep_stages=true"]
        assert main(["run", *words, "-o", out, *keep, "--until", "toy-fill"]) == 0
        kept = sorted((tmp_path / "out" / ".astroclean" / "stages").iterdir())
        times = {path: path.stat().st_mtime_ns for path in kept}
        assert main(["run", *words, "-o", out, "--from", "toy-fill"]) == 0
        assert {path: path.stat().st_mtime_ns for path in kept} == times

    def test_from_without_saved_stages(
        self, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = ["-o", str(tmp_path / "out")]
        assert main(["run", *words, *out]) == 0
        told = ["--from", "toy-fill", "--set", "toy-bright.level=3000"]
        assert main(["run", *words, *out, *told]) == 1
        error = capsys.readouterr().err
        assert "keep_stages" in error
        assert "x.fits" in error
        # The advice of the message works.
        advised = ["--set", "run.keep_stages=true", "--set", "toy-bright.level=3000"]
        assert main(["run", *words, *out, *advised]) == 0
        assert main(["run", *words, *out, *told, "--overwrite"]) == 0

    def test_from_notices_any_band(self, tmp_path: Path) -> None:
        for band in "gr":
            write_fits(tmp_path / f"m_{band}.fits", sky(hits=0))
        tables = '[bands]\ng = "*_g.fits"\nr = "*_r.fits"\n'
        pipeline = write_pipeline(tmp_path / "p.toml", "toy-pair", "toy-fill", tables=tables)
        files = [str(tmp_path / f"m_{band}.fits") for band in "gr"]
        words = [str(pipeline), *files, "-o", str(tmp_path / "out")]
        assert main(["run", *words, "--set", "run.keep_stages=true"]) == 0
        write_fits(tmp_path / "m_r.fits", sky(5))
        assert main(["run", *words, "--from", "toy-fill"]) == 1

    def test_unknown_names_are_told_together(
        self, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        told = ["--skip", "toy-brihgt", "--until", "toy-peak"]
        assert main(["run", *words, "-o", str(tmp_path / "out"), *told]) == 2
        error = capsys.readouterr().err
        assert "'toy-bright'" in error
        assert "'toy-peaks'" in error
        assert "None" not in error


class TestLayers:
    """Defaults, instrument, pipeline, environment, ``--set``: the later wins."""

    def level(self, folder: Path, settings: list[str], options: dict[str, Any]) -> float:
        stage = {"plugin": "toy-bright", "options": options}
        report = run(folder, stage, instrument={"name": str(folder / "i.toml")}, settings=settings)
        only_frame(report)
        with fits.open(folder / "out" / "x_clean.fits") as hdus:
            history = " ".join(str(hdus["FLAGS"].header["HISTORY"]).split())
        return float(history.split("level")[1].strip(" =:\"'").split(",")[0].split()[0])

    def test_the_later_layer_wins(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_fits(tmp_path / "x.fits", sky())
        plain = 'title = "t"\nsource = "s"\n[values.unit]\ndefault = "adu"\n'
        (tmp_path / "i.toml").write_text(plain, "utf-8")
        assert self.level(tmp_path, [], {}) == 1000

        other = tmp_path / "second"
        other.mkdir()
        write_fits(other / "x.fits", sky())
        (other / "i.toml").write_text(f"{plain}[options.toy-bright]\nlevel = 11\n", "utf-8")
        assert self.level(other, [], {}) == 11
        assert self.level(other, [], {"level": 12}) == 12
        monkeypatch.setenv("ASTROCLEAN_TOY_BRIGHT__LEVEL", "13")
        assert self.level(other, [], {"level": 12}) == 13
        assert self.level(other, ["toy-bright.level=14"], {"level": 12}) == 14
        assert self.level(other, ["toy-bright.level=14", "toy-bright.level=15"], {}) == 15

    def test_origins(self) -> None:
        stage = {"plugin": "toy-bright", "options": {"level": 12, "delay": 0.0}}
        loaded = load_pipeline(
            {"schema": 1, "instrument": {"gain": 2.0}, "stage": [stage]},
            settings=["toy-bright.delay=0.5", "run.keep_stages=true"],
            environment={"ASTROCLEAN_INSTRUMENT__GAIN": "3", "ASTROCLEAN_GONE__X": "1"},
        )
        assert loaded.origins == {
            "instrument.gain": "environment ASTROCLEAN_INSTRUMENT__GAIN",
            "toy-bright.level": "pipeline",
            "toy-bright.delay": "--set",
            "run.keep_stages": "--set",
        }
        assert loaded.config.instrument.gain == 3
        assert "ASTROCLEAN_GONE__X" in loaded.notes[0]


class TestProducts:
    """``[products]`` says what lies beside the cleaned frame."""

    def test_images(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", sky())
        keep = ["flags", "background", "removed", "probabilities", "residual"]
        run(tmp_path, "toy-bright", "toy-fill", products={"keep": keep})

        out = tmp_path / "out" / "x_clean.fits"
        with fits.open(out) as hdus:
            names = {h.name for h in hdus}
            assert names == {"PRIMARY", "FLAGS", "BACKGROUND", "REMOVED", "PROB_CR", "RESIDUAL"}
            assert all(h.header["EXTVER"] == 1 and h.header["ACSCI"] == "0" for h in hdus[1:])
            hit = sky() > 1000
            np.testing.assert_array_equal(hdus["PROB_CR"].data, hit)
            np.testing.assert_array_equal(hdus["BACKGROUND"].data, np.median(sky()))
            lost = np.where(hit, sky() - hdus[0].data, 0)
            np.testing.assert_array_equal(hdus["REMOVED"].data, lost)
            np.testing.assert_array_equal(hdus["RESIDUAL"].data, lost)

    def test_nothing(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", sky())
        run(tmp_path, "toy-bright", "toy-peaks", products={"keep": []})
        assert list(digests(tmp_path / "out")) == ["x_clean.fits"]
        before, after = tmp_path / "x.fits", tmp_path / "out" / "x_clean.fits"
        assert after.read_bytes() == before.read_bytes()

    def test_sources_regions_and_stamps(self, tmp_path: Path) -> None:
        pytest.importorskip("regions")
        image = sky(hits=0)
        image[7, 9] = 4000
        write_fits(tmp_path / "x.fits", image, **PIXEL_WCS)
        run(tmp_path, "toy-peaks", products={"keep": ["sources", "regions", "stamps"]})

        out = tmp_path / "out"
        table = QTable.read(out / "x_sources.ecsv")
        assert (table["x"][0], table["y"][0]) == (9, 7)
        assert str(table["flux"].unit) == "adu"
        assert table["dec"][0].to_value("deg") == pytest.approx(2 + (7 - 11) * 0.5 / 3600)
        assert (out / "x_sources.reg").read_text("utf-8").count("point(") == 1
        with fits.open(out / "x_stamps.fits") as hdus:
            (row,) = hdus["STAMPS"].data
            assert row["data"].tolist() == [[4000.0]]
            assert (row["id"], row["x0"], row["y0"], row["nx"], row["ny"]) == (1, 9, 7, 1, 1)

    def test_without_science(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", sky(1), sky(2))
        run(tmp_path, "toy-bright", "toy-fill", "toy-peaks", products={"science": False})
        out = tmp_path / "out"
        assert sorted(digests(out)) == ["x_flags.fits", "x_sources.ecsv", "x_sources.fits"]
        assert hdu_names(out / "x_flags.fits") == ["PRIMARY", "FLAGS", "FLAGS"]

    def test_mask_in_another_convention(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", sky())
        report = run(tmp_path, "toy-bright", "toy-peaks", products={"mask_as": "maximask"})
        mask = fits.getdata(tmp_path / "out" / "x_mask.fits", "MASK")
        np.testing.assert_array_equal(mask != 0, sky() > 1000)
        assert np.unique(mask).tolist() == [0, 1]
        assert "SOURCE" in " ".join(report.files[0].notes)

    def test_skipped_hdus_are_told(self, tmp_path: Path) -> None:
        table = fits.table_to_hdu(QTable({"a": [1]}))
        line = fits.ImageHDU(np.arange(5), name="LINE")
        science = fits.ImageHDU(sky(), fits.Header({"BUNIT": "adu"}), name="SCI")
        fits.HDUList([fits.PrimaryHDU(), science, line, table]).writeto(tmp_path / "x.fits")
        report = run(tmp_path, "toy-bright", "toy-fill")

        assert report.exit_code == 0
        skipped = report.files[0].skipped_hdus
        assert skipped["[LINE,1]"] == "one-dimensional"
        assert "a table" in skipped.values()
        assert json.loads((tmp_path / "out" / "run.json").read_text("utf-8"))["files"][0][
            "skipped_hdus"
        ] == dict(skipped)

    def test_assumed_unit_is_told(self, tmp_path: Path) -> None:
        fits.PrimaryHDU(sky()).writeto(tmp_path / "x.fits")
        report = run(tmp_path, "toy-bright")
        assert [n for n in report.files[0].notes if "assumed" in n and "adu" in n]


@pytest.mark.parametrize(
    ("stages", "drawn"),
    [
        (["toy-bright"], []),
        (["toy-fill"], []),
        (["toy-bright", "toy-fill"], [True, False]),
        (["toy-bright", "toy-fill", "toy-sharpen"], [True, False]),
        (["toy-sharpen", "toy-bright", "toy-fill"], []),
    ],
)
def test_power_spectrum_is_drawn_where_pixels_were_replaced(
    stages: list[str], drawn: list[bool], tmp_path: Path
) -> None:
    write_fits(tmp_path / "x.fits", sky(1), sky(2, hits=0))
    report = run(tmp_path, *stages, products={"report": True}, psf={"fwhm": "3 pixel"})
    frames = report.files[0].frames
    assert [f.spectrum is not None for f in frames] == (drawn or [False, False])
    assert all(f.histogram for f in frames)
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert page.count("Power spectrum before and after") == sum(drawn)


def test_check_tells_what_a_run_would(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_fits(tmp_path / "x.fits", sky())
    (tmp_path / "y.fits").write_bytes(b"nothing")
    pipeline = write_pipeline(tmp_path / "p.toml", *STAGES)
    words = [str(pipeline), str(tmp_path), "-o", str(tmp_path / "out"), "--json"]

    assert main(["check", *words]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [len(f["stages"]) for f in told["files"]] == [4]
    assert "y.fits" in told["failed"][0]["error"]
    assert not (tmp_path / "out").exists()

    assert main(["run", *words]) == 1
    ran = json.loads(capsys.readouterr().out)
    keys = {f["key"] for f in ran["files"] if f["key"]}
    assert keys == {f["key"] for f in told["files"]}
