"""What viewers are told: the HDUs of science, flags and layers, and region files."""

from __future__ import annotations

import json
import shlex
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

import astroclean
from astroclean.cli.main import main
from astroclean.errors import ConfigurationError
from astroclean.report.viewing import VIEWERS, shown_file
from astroclean.simulate.exposure import write_exposure

if TYPE_CHECKING:
    from pathlib import Path

FAKE = """#!{python}
import json, os, sys
with open(os.environ["RECORD"], "w") as stream:
    json.dump(sys.argv[1:], stream)
sys.exit(int(os.environ.get("ENDS_WITH", "0")))
"""


@pytest.fixture
def cleaned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_exposure(tmp_path / "x.fits", seed=1, shape=(90, 100))
    pipeline = {
        "schema": 1,
        "stage": [{"plugin": "saturation"}, {"plugin": "sep"}],
        "products": {"keep": ["flags", "sources", "regions", "background"]},
    }
    astroclean.run(pipeline, "x.fits", output="out", jobs=0)
    return tmp_path / "out" / "x_clean.fits"


@pytest.fixture
def ds9(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a `ds9` that records its arguments on the PATH, and nothing else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "ds9"
    program.write_text(FAKE.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("RECORD", str(tmp_path / "record.json"))
    return tmp_path / "record.json"


def options(words: list[str], name: str) -> list[list[str]]:
    """Return the words behind each occurrence of an option."""
    places = [n for n, word in enumerate(words) if word == name]
    ends = [
        next((m for m in range(n + 1, len(words)) if words[m].startswith("-")), len(words))
        for n in places
    ]
    return [words[n + 1 : end] for n, end in zip(places, ends, strict=True)]


def test_ds9_gets_science_flags_and_regions(
    cleaned: Path, ds9: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.reg").write_text("image\npoint(5,5)\n")
    assert main(["view", str(cleaned), "--with", "ds9", "--wait"]) == 0
    words = json.loads(ds9.read_text())
    assert shlex.split(capsys.readouterr().out) == ["ds9", *words]
    with fits.open(cleaned) as hdus:
        names = [hdu.name for hdu in hdus]
    flags = f"{cleaned}[{names.index('FLAGS')}]"
    assert words[0] == f"{cleaned}[0]"
    assert ["load", flags] in options(words, "-mask")
    assert ["new", flags] in options(words, "-frame")
    assert not any("BACKGROUND" in word for word in words)
    loaded = [given[1] for given in options(words, "-regions") if given[0] == "load"]
    assert loaded == [str(cleaned.with_name("x_sources.reg")), "x.reg"]
    # What is saved then can be read by `badpix`: DS9's own default cannot.
    assert options(words, "-regions")[-1] == ["system", "image"]


def test_layers_are_shown_when_they_are_asked_for(cleaned: Path) -> None:
    with fits.open(cleaned) as hdus:
        number = next(n for n, hdu in enumerate(hdus) if hdu.name == "BACKGROUND")
    for layers in (None, ["background"]):
        assert shown_file(str(cleaned), layers=layers).layers == (number,)
    with pytest.raises(ConfigurationError, match="no layer DECONV; there are: BACKGROUND"):
        shown_file(str(cleaned), layers=["DECONV"])


@pytest.mark.parametrize("on_sky", [True, False])
def test_of_several_detectors_regions_are_saved_on_the_sky(on_sky: bool, tmp_path: Path) -> None:
    """In pixels, a region that is drawn on one would be of all."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [10.0, 20.0]
    wcs.wcs.cdelt = [-1e-4, 1e-4]
    images = [
        fits.ImageHDU(
            np.ones((9, 9), np.float32), wcs.to_header() if on_sky else None, name="SCI", ver=n
        )
        for n in (1, 2)
    ]
    path = tmp_path / "two.fits"
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(path)
    shown = shown_file(str(path))
    words = VIEWERS["ds9"].command(shown)
    assert [frame.hdu for frame in shown.frames] == [1, 2]
    last = options(words, "-regions")[-2:]
    assert (last == [["system", "wcs"], ["sky", "icrs"]]) is on_sky
    assert shown_file(f"{path}[SCI,2]").frames[0].hdu == 2


def test_a_viewer_that_is_missing_leaves_its_command(
    cleaned: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    for words, program in ([], "ds9"), (["--with", "ginga"], "ginga"), (["--with", "jdaviz"], "jd"):
        assert main(["view", str(cleaned), *words]) == 3
        told = capsys.readouterr()
        assert told.out.startswith(program)
        assert "is not installed" in told.err
    assert main(["view", str(cleaned), "--print"]) == 0
    assert not capsys.readouterr().err


def test_the_first_that_is_installed_is_taken(
    cleaned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tmp_path / "record.json"
    (tmp_path / "ginga").write_text(FAKE.format(python=sys.executable))
    (tmp_path / "ginga").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("RECORD", str(record))
    assert main(["view", str(cleaned), "--wait"]) == 0
    assert record.read_text().startswith('["--sep", ')


def test_a_viewer_that_fails_is_told(
    cleaned: Path,
    ds9: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ENDS_WITH", "7")
    assert main(["view", str(cleaned), "--wait"]) == 1
    assert "ds9 ended with status 7" in capsys.readouterr().err
    assert ds9.exists()


def test_nothing_is_waited_for(cleaned: Path, ds9: Path) -> None:
    program = ds9.parent / "bin" / "ds9"
    program.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(20)\n")
    begun = time.monotonic()
    assert main(["view", str(cleaned)]) == 0
    assert time.monotonic() - begun < 15


def test_what_is_no_file_and_no_region_file_is_told(
    cleaned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["view", "nothing.fits"]) == 1
    assert "nothing.fits" in capsys.readouterr().err
    assert main(["view", str(cleaned), "--regions", "no.reg"]) == 2
    assert "no such region file" in capsys.readouterr().err
