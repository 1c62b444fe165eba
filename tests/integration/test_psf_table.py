"""`[psf]` reaches `lacosmic` with `fsmode = "convolve"`; `check` says where it cannot."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.io import fits

import astroclean.cli.main as command_line
from astroclean.config.load import load_pipeline

if TYPE_CHECKING:
    from pathlib import Path

STAGE = '[[stage]]\nplugin = "lacosmic"\noptions = { fsmode = "convolve", objlim = 2.0%s }\n'


def exposure(path: Path) -> None:
    """Write 20 stars of 2 pixels FWHM with hits; the header tells seeing and pixel scale."""
    generator = np.random.default_rng(0)
    yy, xx = np.mgrid[:160, :160]
    image = np.full((160, 160), 300.0)
    for x, y in generator.uniform(12, 148, (20, 2)):
        square = (xx - x) ** 2 + (yy - y) ** 2
        image += generator.uniform(2e3, 2e4) * np.exp(-square / (2 * 0.85**2))
    image = generator.poisson(image * 1.5) / 1.5 + generator.normal(0, 3.3, image.shape)
    image[20::40, 20::40] += 2000
    hdu = fits.PrimaryHDU(image.astype(np.float32))
    cards = {"GAIN": 1.5, "RDNOISE": 5.0, "BUNIT": "adu", "PIXSCALE": 0.4, "SEEING": 0.8}
    hdu.header.update(cards)
    hdu.writeto(path)


def run(folder: Path, verb: str, psf: str, option: str = "") -> int:
    (folder / "p.toml").write_text(f"schema = 1\n{psf}\n{STAGE % option}")
    words = [verb, str(folder / "p.toml"), str(folder / "two.fits")]
    try:
        status = command_line.main([*words, "-o", str(folder / "out")] if verb == "run" else words)
    except SystemExit as end:
        status = end.code
    return int(status or 0)


@pytest.mark.parametrize(
    "line", ['fwhm = "2.0 pixel"', 'fwhm = "0.8 arcsec"', "estimate = true", "instrument = true"]
)
def test_every_kind_of_psf_reaches_the_stage(tmp_path: Path, line: str) -> None:
    exposure(tmp_path / "two.fits")
    assert run(tmp_path, "check", f"[psf]\n{line}") == 0
    assert run(tmp_path, "run", f"[psf]\n{line}") == 0
    flags = fits.getdata(tmp_path / "out" / "two_clean.fits", "FLAGS")
    assert (flags[20::40, 20::40] & 1).mean() > 0.9  # one lies on a star


def test_a_width_measured_on_pixels_is_told_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exposure(tmp_path / "two.fits")
    told = 'fwhm_includes_pixel = true\nfwhm = "2.0 pixel"'
    assert run(tmp_path, "run", f"[psf]\n{told}") == 0
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    origin = record["files"][0]["frames"][0]["psf"]
    assert origin.startswith("Gaussian, fwhm = 2.0 pixel, the pixel included; ")
    # Of no width it says nothing, be it in the pipeline or instead of it.
    assert run(tmp_path, "check", "[psf]\nestimate = true\nfwhm_includes_pixel = true") != 0
    assert "of `fwhm` or `instrument`" in "".join(capsys.readouterr())
    source = tmp_path / "source.toml"
    source.write_text(f"schema = 1\n[psf]\n{told}\n{STAGE % ''}")
    psf = load_pipeline(source, settings=["psf.estimate=true"]).config.psf
    assert psf is not None
    assert (psf.fwhm, psf.estimate, psf.fwhm_includes_pixel) == (None, True, False)


def test_a_scale_says_which_kind_of_length_it_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exposure(tmp_path / "two.fits")
    for table, key in (("psf", 'file = "p.fits"\nfile_pixel_scale'), ("instrument", "pixel_scale")):
        for wrong in ("0.2 Jy", "1 pixel"):
            assert run(tmp_path, "check", f'[{table}]\n{key} = "{wrong}"') != 0
            message = "".join(capsys.readouterr())
            assert 'must be an angle, such as "0.4 arcsec"' in message
            assert "in pixels" not in message


def test_without_one_check_says_so_before_the_first_pixel(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exposure(tmp_path / "two.fits")
    for verb in ("check", "run"):
        assert run(tmp_path, verb, "") != 0
        assert "needs psf" in "".join(capsys.readouterr())
    assert run(tmp_path, "check", "", ", psf_fwhm = 2.0") == 0
