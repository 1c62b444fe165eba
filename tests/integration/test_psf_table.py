"""`[psf]` reaches `lacosmic` with `fsmode = "convolve"`; `check` says where it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.io import fits

import astroclean.cli.main as command_line

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


def test_without_one_check_says_so_before_the_first_pixel(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exposure(tmp_path / "two.fits")
    for verb in ("check", "run"):
        assert run(tmp_path, verb, "") != 0
        assert "needs psf" in "".join(capsys.readouterr())
    assert run(tmp_path, "check", "", ", psf_fwhm = 2.0") == 0
