"""``astroclean run`` as a user types it: what it prints, where it writes, how it ends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.io import fits
from toy_runs import digests, report_of, sky, statuses, write_fits, write_pipeline

from astroclean.core.flags.planes import MaskPlane
from astroclean.simulate.exposure import simulate_exposure

if TYPE_CHECKING:
    from pathlib import Path

    from toy_runs import CommandLine


@pytest.mark.slow
def test_demo_cleans_a_simulated_exposure(cli: CommandLine, tmp_path: Path) -> None:
    ended = cli("run", "demo")

    assert (ended.status, ended.err) == (0, "")
    assert ended.out.splitlines()[-1].startswith("1 done in ")
    out = tmp_path / "astroclean_out"
    assert (out / "report.html").is_file()
    (cleaned,) = out.glob("*_clean.fits")
    with fits.open(cleaned) as hdus:
        flags, image = hdus["FLAGS"].data, hdus[0].data
    truth = simulate_exposure(seed=1)
    hits = (truth.truth & np.uint32(MaskPlane.COSMIC_RAY)) != 0
    found = (flags & np.uint32(MaskPlane.COSMIC_RAY | MaskPlane.INTERPOLATED)) != 0
    assert found[hits].mean() > 0.8
    # What was filled is nearer to the sky without contaminants than what stood there.
    filled = (flags & np.uint32(MaskPlane.INTERPOLATED)) != 0
    hit = filled & hits
    after = np.abs(image[hit] - truth.clean[hit])
    before = np.abs(truth.data[hit] - truth.clean[hit])
    assert np.median(after) < 0.1 * np.median(before)

    again = cli("run", "demo")
    assert "1 up to date" in again.out


@pytest.mark.slow
def test_what_is_printed(cli: CommandLine, tmp_path: Path) -> None:
    write_fits(tmp_path / "a.fits", sky(1))
    fits.PrimaryHDU(sky(2)).writeto(tmp_path / "b.fits")
    (tmp_path / "c.fits").write_bytes(b"nothing")
    write_pipeline(tmp_path / "p.toml", "toy-bright", "toy-fill")
    words = ("run", "p.toml", "a.fits", "b.fits", "c.fits", "*.fit", "-o", "out")

    plain = cli(*words)
    assert plain.status == 1
    assert "a.fits: done, 1 frame, 5 pixels changed -> a_clean.fits" in plain.out
    assert plain.out.splitlines()[-2].startswith("2 done, 1 failed in ")
    assert plain.out.splitlines()[-1] == "1 note: see report.html (or -v)"
    assert "*.fit" in plain.out
    assert plain.err.count("\n") == 1
    assert "assumed" not in plain.out

    loud = cli(*words, "--overwrite", "-v")
    assert "note: unit adu assumed" in loud.out

    quiet = cli(*words, "-q")
    assert (quiet.out, quiet.status) == ("", 1)
    assert "c.fits" in quiet.err

    told = cli(*words, "--json")
    report = json.loads(told.out)
    assert [f["status"] for f in report["files"]] == ["up to date", "up to date", "failed"]
    # Printed is this run alone; the record of the folder numbers all of its runs.
    recorded = report_of(tmp_path / "out")["files"]
    assert [{**f, "run": 0} for f in report["files"]] == [{**f, "run": 0} for f in recorded]


@pytest.mark.slow
def test_inputs_of_every_form(cli: CommandLine, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in ("one.fits", "two.fit", "three.fts", "four.fits.gz", "note.txt"):
        if name != "note.txt":
            write_fits(raw / name, sky(len(name)))
    (raw / "note.txt").write_text("not an image", "utf-8")
    write_fits(tmp_path / "mosaic.fits", sky(1), sky(2))
    write_fits(tmp_path / "listed one.fits", sky(3))
    (tmp_path / "list.txt").write_text("# inputs\n\nlisted one.fits\nraw/one.fits\n", "utf-8")
    write_pipeline(tmp_path / "p.toml", "toy-bright", "toy-fill")

    ended = cli(
        "run", "p.toml", "raw", "raw/*.fit*", "mosaic.fits[SCI,2]", "@list.txt", "-o", "out"
    )

    assert (ended.status, ended.err) == (0, "")
    wanted = {"one_clean.fits", "two_clean.fit", "three_clean.fts", "four_clean.fits.gz"}
    assert set(digests(tmp_path / "out")) == wanted | {"mosaic_clean.fits", "listed one_clean.fits"}
    with fits.open(tmp_path / "out" / "mosaic_clean.fits") as hdus:
        assert [(h.name, h.ver) for h in hdus[1:]] == [("SCI", 1), ("SCI", 2), ("FLAGS", 2)]
        np.testing.assert_array_equal(hdus["SCI", 1].data, sky(1))
        assert hdus["SCI", 2].data.max() < 1000


@pytest.mark.slow
def test_outputs_are_no_inputs(cli: CommandLine, tmp_path: Path) -> None:
    write_fits(tmp_path / "x.fits", sky())
    write_pipeline(tmp_path / "p.toml", "toy-bright", "toy-fill", "toy-peaks")
    words = ("run", "p.toml", ".", "-o", ".", "--set", "products.mask_as=jwst")
    assert cli(*words).status == 0

    again = cli(*words)

    assert again.status == 0
    assert statuses(tmp_path) == {"x.fits": "up to date"}
    for product in ("clean", "mask", "sources"):
        assert f"x_{product}.fits: written by astroclean, skipped" in again.out


@pytest.mark.slow
def test_inputs_named_by_the_pipeline(cli: CommandLine, tmp_path: Path) -> None:
    folder = tmp_path / "night"
    folder.mkdir()
    write_fits(folder / "x.fits", sky())
    tables = '[input]\nfiles = ["*.fits"]\n'
    write_pipeline(folder / "p.toml", "toy-bright", tables=tables)
    # Relative to the pipeline file, not to where the command was typed.
    assert cli("run", "night/p.toml", "-o", "out").status == 0
    assert list(digests(tmp_path / "out")) == ["x_clean.fits"]


@pytest.mark.slow
def test_dry_run_writes_nothing(cli: CommandLine, tmp_path: Path) -> None:
    write_fits(tmp_path / "x.fits", sky())
    write_pipeline(tmp_path / "p.toml", "toy-bright", "toy-fill")
    ended = cli("run", "p.toml", "x.fits", "-o", "out", "--dry-run")
    assert ended.status == 0
    assert "x.fits: generic-ccd, 1 frame: toy-bright -> toy-fill" in ended.out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("-j", "-1"), "from 0"),
        (("-j", "two"), "from 0"),
        (("--overwrite", "--resume"), "not allowed"),
        (("-q", "-v"), "not allowed"),
        (("--no-such-option",), "no-such-option"),
    ],
)
def test_usage_errors(
    words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from astroclean.cli.main import main

    with pytest.raises(SystemExit) as raised:
        main(["run", "demo", *words])
    assert raised.value.code == 2
    assert told in capsys.readouterr().err
