"""Bad input, bad configuration, bad surroundings: one clear message each, the rest is done."""

from __future__ import annotations

import ctypes
import gzip
import os
import re
import resource
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.io import fits
from toy_runs import (
    digests,
    report_of,
    sky,
    statuses,
    unfinished,
    wait_for,
    write_fits,
    write_pipeline,
)

if TYPE_CHECKING:
    from pathlib import Path

    from toy_runs import CommandLine, Ended

CHEAP = ("toy-bright", "toy-fault", "toy-fill")


def write_damaged(raw: Path) -> dict[str, tuple[str, ...]]:
    """Write files that cannot be cleaned; return name to what the message must say."""
    whole = write_fits(raw / "truncated.fits", sky(1, (100, 100))).read_bytes()
    (raw / "truncated.fits").write_bytes(whole[: len(whole) // 2])
    (raw / "text.fits").write_text("this is not FITS\n" * 300, "utf-8")
    (raw / "no_bytes.fits").write_bytes(b"")
    (raw / "half_packed.fits.gz").write_bytes(gzip.compress(whole)[:-200])
    fits.PrimaryHDU().writeto(raw / "primary_only.fits")
    cards = ["SIMPLE  =                    T", "BITPIX  =                  -32"]
    cards += ["NAXIS   =                    2", "NAXIS1  =                    0"]
    cards += ["NAXIS2  =                   10", "END"]
    block = "".join(card.ljust(80) for card in cards).ljust(2880)
    (raw / "zero_axis.fits").write_bytes(block.encode())
    write_fits(raw / "four_axes.fits", sky(2, (2, 3, 8, 8)))
    spoil_tiles(raw / "tiles.fits.fz")
    write_fits(raw / "twin.fits", sky(4))
    write_fits(raw / "twin.fit", sky(5))
    return {
        "truncated.fits": ("truncated",),
        "text.fits": ("not", "FITS"),
        "no_bytes.fits": ("not a readable FITS file",),
        "half_packed.fits.gz": ("gzip",),
        "primary_only.fits": ("no image to clean",),
        "zero_axis.fits": ("no pixels",),
        "four_axes.fits": ("[0]", "4 axes"),
        "tiles.fits.fz": ("compress",),
        "twin.fits": ("twin.fit", "same names"),
        "twin.fit": ("twin.fits", "same names"),
    }


def spoil_tiles(path: Path) -> None:
    """Write a tile-compressed image whose compressed bytes are damaged."""
    image = sky(6, (64, 64), "int16")
    fits.CompImageHDU(image, compression_type="RICE_1").writeto(path)
    with fits.open(path, disable_image_compression=True) as hdus:
        start = hdus[1].fileinfo()["datLoc"] + hdus[1].header["NAXIS1"] * hdus[1].header["NAXIS2"]
    content = bytearray(path.read_bytes())
    content[start : start + 80] = b"\xff" * 80
    path.write_bytes(bytes(content))


def write_odd(raw: Path) -> list[str]:
    """Write files that look bad but can be cleaned."""
    write_fits(raw / "plain.fits", sky(10))
    write_fits(raw / "all_nan.fits", np.full((20, 20), np.nan, np.float32))
    write_fits(raw / "constant.fits", np.full((20, 20), 7, np.float32))
    write_fits(raw / "one_pixel.fits", np.full((1, 1), 7, np.float32))
    islands = sky(11)
    islands[5:9, 5:12] = np.nan
    write_fits(raw / "islands.fits", islands)
    endless = sky(12)
    endless[3, 4:6] = np.inf, -np.inf
    write_fits(raw / "endless.fits", endless)
    (raw / "späte Nacht").mkdir()
    write_fits(raw / "späte Nacht" / "Ωmega Cen 1.fits", sky(13))
    return sorted(p.name for p in raw.rglob("*.fits"))


def assert_one_message_each(ended: Ended, wanted: dict[str, tuple[str, ...]]) -> None:
    assert len(ended.failures) == len(wanted), ended.err
    for name, words in wanted.items():
        start = re.compile(rf"(.*/)?{re.escape(name)}(\[0\](, stage .*)?)?")
        told = [line for line in ended.failures if start.fullmatch(line.split(": ")[0])]
        assert len(told) == 1, (name, ended.failures)
        assert all(word in told[0] for word in words), told[0]


def assert_clean_folder(out: Path, done: list[str]) -> None:
    """Each file that was done has its output, nothing else has, nothing unfinished stays."""
    stems = {name.split(".fits")[0] for name in done}
    cleaned = {n.split("_clean.fits")[0] for n in digests(out) if "_clean.fits" in n}
    assert cleaned == stems
    assert {name.rsplit("_", 1)[0] for name in digests(out)} == stems
    assert unfinished(out) == []
    for name in digests(out):
        if name.endswith(".fits"):
            with fits.open(out / name) as hdus:
                hdus.verify("exception")


@pytest.mark.slow
def test_damaged_files_fail_alone(cli: CommandLine, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    good = write_odd(raw)
    wanted = write_damaged(raw)
    write_fits(tmp_path / "wrong_hdu.fits", sky(7), names=("SCI",))
    wrong = f"{tmp_path}/wrong_hdu.fits[NOPE,2]"
    inputs = [raw, raw / "späte Nacht", wrong, raw / "not_there.fits"]
    pipeline = write_pipeline(tmp_path / "p.toml", *CHEAP)
    wanted["wrong_hdu.fits[NOPE,2]"] = ("no such HDU", "[SCI,1]")
    wanted["not_there.fits"] = ("no such file",)

    ended = cli("run", pipeline, *inputs, "-o", "out", "-j", 2)

    assert ended.status == 1
    assert_one_message_each(ended, wanted)
    assert_clean_folder(tmp_path / "out", good)
    counts = [s for s in statuses(tmp_path / "out").values() if s == "done"]
    assert len(counts) == len(good)
    nan = fits.getdata(tmp_path / "out" / "all_nan_clean.fits")
    assert np.isnan(nan).all()
    islands = fits.getdata(tmp_path / "out" / "islands_clean.fits", ext=0)
    assert np.isfinite(islands).all()

    again = cli("run", pipeline, *inputs, "-o", "out")
    assert again.status == 1
    ended_as = [s for s in statuses(tmp_path / "out").values() if s == "up to date"]
    assert len(ended_as) == len(good)


@pytest.mark.slow
def test_plugins_that_misbehave_fail_their_file_alone(cli: CommandLine, tmp_path: Path) -> None:
    faults = {
        "SystemExit": ("[0]", "stage 'toy-fault'", "SystemExit", "fault of the plugin"),
        "KeyError": ("[0]", "stage 'toy-fault'", "KeyError", "fault of the plugin"),
        "AssertionError": ("[0]", "stage 'toy-fault'", "toy is false"),
        "TypeError": ("[0]", "stage 'toy-fault'", "toy has no length"),
        "contract": ("[0]", "stage 'toy-fault'", "COSMIC_RAY", "fault of the plugin"),
        "shape": ("[0]", "stage 'toy-fault'", "(1, 1)", "fault of the plugin"),
    }
    for kind in [*faults, "warning", "none"]:
        write_fits(tmp_path / f"{kind}.fits", sky(1), TOYFAULT=kind)
    pipeline = write_pipeline(tmp_path / "p.toml", *CHEAP)

    ended = cli("run", pipeline, tmp_path, "-o", "out")

    assert ended.status == 1
    assert_one_message_each(ended, {f"{kind}.fits": words for kind, words in faults.items()})
    assert_clean_folder(tmp_path / "out", ["warning.fits", "none.fits"])
    records = {f["input"].split("/")[-1]: f for f in report_of(tmp_path / "out")["files"]}
    assert "the toy is uneasy" in " ".join(records["warning.fits"]["notes"])
    assert "_misbehave" in records["KeyError.fits"]["traceback"]


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_dying_workers_fail_their_file_alone(cli: CommandLine, tmp_path: Path, jobs: int) -> None:
    # As an exit, the killer of a system without memory, and crashes in C code do.
    deaths = {"b": "os._exit", "c": "SIGKILL", "d": "SIGSEGV", "e": "SIGABRT"}
    for name, kind in {"a": "", **deaths, "f": ""}.items():
        write_fits(tmp_path / f"{name}.fits", sky(1), TOYFAULT=kind)
    pipeline = write_pipeline(tmp_path / "p.toml", *CHEAP)

    ended = cli("run", pipeline, tmp_path, "-o", "out", "-j", jobs)

    assert ended.status == 1
    assert_one_message_each(ended, {f"{name}.fits": ("died", "crash") for name in deaths})
    assert_clean_folder(tmp_path / "out", ["a.fits", "f.fits"])


def test_missing_psf_is_refused_before_the_first_pixel(cli: CommandLine, tmp_path: Path) -> None:
    write_fits(tmp_path / "x.fits", sky())
    pipeline = write_pipeline(tmp_path / "p.toml", "toy-bright", "toy-psf-width")

    ended = cli("run", pipeline, "x.fits", "-o", "out")

    assert ended.status == 2
    assert ended.err.count("astroclean:") == 1
    for word in ("toy-psf-width", "x.fits", "psf", "[psf]"):
        assert word in ended.err
    assert digests(tmp_path / "out") == {}


def without_override() -> None:
    """Take from root the right to write and read everything; permissions then hold."""
    if os.geteuid() == 0:
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


@pytest.fixture
def locked_folder(tmp_path: Path) -> Path:
    """A folder that nobody may read or write; skips where permissions do not hold."""
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0)
    looked = subprocess.run(
        [sys.executable, "-c", "import os, sys; os.listdir(sys.argv[1])", str(folder)],
        preexec_fn=without_override,
        capture_output=True,
        check=False,
    )
    if looked.returncode == 0:
        pytest.skip("permissions do not bind this user, and the right cannot be given up")
    return folder


@pytest.mark.slow
def test_folders_without_permission(cli: CommandLine, tmp_path: Path, locked_folder: Path) -> None:
    write_fits(tmp_path / "x.fits", sky())
    pipeline = write_pipeline(tmp_path / "p.toml", *CHEAP)

    ended = cli("run", pipeline, "x.fits", "-o", locked_folder, preexec_fn=without_override)
    assert ended.status == 2
    assert str(locked_folder) in ended.err
    assert "Permission denied" in ended.err
    assert "-o" in ended.err

    ended = cli("run", pipeline, "x.fits", locked_folder, "-o", "out", preexec_fn=without_override)
    assert ended.status == 1
    assert_one_message_each(ended, {"locked": ("cannot be read", "Permission denied")})
    assert_clean_folder(tmp_path / "out", ["x.fits"])


def test_output_below_a_file(cli: CommandLine, tmp_path: Path) -> None:
    write_fits(tmp_path / "x.fits", sky())
    pipeline = write_pipeline(tmp_path / "p.toml", *CHEAP)

    ended = cli("run", pipeline, "x.fits", "-o", tmp_path / "x.fits" / "out")

    assert ended.status == 2
    assert ended.err.count("\n") == 1
    assert "x.fits/out" in ended.err
    assert "-o" in ended.err


def small_files_only() -> None:
    """Let every write beyond 64 KiB fail, as a full disk does."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))


@pytest.mark.slow
def test_full_disk(cli: CommandLine, tmp_path: Path) -> None:
    write_fits(tmp_path / "large.fits", sky(1, (300, 300)))
    write_fits(tmp_path / "small.fits", sky(2))
    pipeline = write_pipeline(tmp_path / "p.toml", "toy-bright", "toy-fill", "toy-peaks")

    ended = cli("run", pipeline, tmp_path, "-o", "out", preexec_fn=small_files_only)

    assert ended.status == 1
    assert_one_message_each(ended, {"large.fits": ("large_clean.fits", "cannot be written")})
    assert_clean_folder(tmp_path / "out", ["small.fits"])


MISTAKES = """\
schema = 2
instrument = { name = "auto", gain = -1, colour = "red" }

[run]
on_reject = "drop"
reject_bits = ["COSMIC_RYA"]

[input]
simulate = { kind = "sky" }

[psf]
fwhm = "0.9 arcsec"
estimate = true

[produts]
keep = ["flags"]

[products]
keep = ["flgs"]
mask_as = "jswt"

[[stage]]
plugni = "toy-bright"

[[stage]]
plugin = "toy-fill"
name = "Fill It"
"""


def test_every_mistake_of_a_pipeline_is_told_at_once(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(MISTAKES, "utf-8")

    ended = cli("run", "p.toml", "x.fits", "--set", "toy-bird.level=3")

    assert ended.status == 2
    assert "p.toml: " in ended.err.splitlines()[0]
    for key, word in {
        "line 1, schema": "2",
        "line 2, instrument.gain": "-1",
        "line 2, instrument.colour": "Known:",
        "line 5, run.on_reject": "drop",
        "line 6, run.reject_bits": "COSMIC_RAY",
        "line 9, input.simulate.kind": "exposure",
        "line 11, psf": "exactly one",
        "line 15, produts": "'products'",
        "line 20, products.mask_as": "'jwst'",
        "line 23, stage 1, plugni": "'plugin'",
        "line 22, stage 1, plugin": "missing",
        "line 27, stage 2 'Fill It' (plugin toy-fill), name": "lower-case",
        "--set toy-bird.level=3": "toy-bird",
    }.items():
        lines = [x for x in ended.err.splitlines() if x.strip().startswith(f"{key}:")]
        assert len(lines) == 1, (key, ended.err)
        assert word in lines[0]


def test_every_wrong_option_is_told_at_once(cli: CommandLine, tmp_path: Path) -> None:
    write_fits(tmp_path / "x.fits", sky())
    stages = ["toy-bright: levle = 3, delay = -1", "toy-score: threshold = 'high'"]
    pipeline = write_pipeline(tmp_path / "p.toml", *stages, "toy-sharpen: map = 'none.fits'")

    ended = cli("run", pipeline, "x.fits", "-o", "out")

    assert ended.status == 2
    assert "None" not in ended.err
    for words in (
        ("toy-bright", "levle", "'level'"),
        ("toy-bright", "delay", "-1"),
        ("toy-score", "threshold", "high"),
        ("toy-sharpen", "map"),
    ):
        assert [x for x in ended.err.splitlines() if all(w in x for w in words)], words
    assert digests(tmp_path / "out") == {}


def test_missing_resource_file_is_a_mistake_of_the_pipeline(
    cli: CommandLine, tmp_path: Path
) -> None:
    write_fits(tmp_path / "x.fits", sky())
    pipeline = write_pipeline(tmp_path / "p.toml", "toy-bright: map = 'nowhere.fits'")

    ended = cli("run", pipeline, "x.fits", "-o", "out")

    assert ended.status == 2
    assert "toy-bright" in ended.err
    assert "nowhere.fits" in ended.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("schema = 1\n[[stage]\n", ("p.toml", "line 2")),
        ("schema = 1\nstage = 3\n", ("p.toml", "stage")),
        ("schema = 1\n", ("p.toml", "stage", "missing")),
        ("\xff", ("p.toml", "UTF-8")),
    ],
)
def test_broken_pipeline_files(
    cli: CommandLine, tmp_path: Path, text: str, words: tuple[str, ...]
) -> None:
    (tmp_path / "p.toml").write_bytes(text.encode("latin-1"))

    ended = cli("run", "p.toml", "x.fits")

    assert ended.status == 2
    assert all(word in ended.err for word in words), ended.err


@pytest.mark.slow
def test_statuses_of_what_is_missing(cli: CommandLine, tmp_path: Path) -> None:
    write_fits(tmp_path / "x.fits", sky())
    (tmp_path / "nothing").mkdir()
    good = write_pipeline(tmp_path / "good.toml", *CHEAP)
    unknown = write_pipeline(tmp_path / "unknown.toml", "toy-brigth")
    broken = write_pipeline(tmp_path / "broken.toml", "toy-broken")

    no_input = cli("run", good, "*.fit", "nothing", "-o", "out")
    assert (no_input.status, "*.fit" in no_input.err) == (4, True)
    no_plugin = cli("run", unknown, "x.fits", "-o", "out")
    assert (no_plugin.status, "'toy-bright'" in no_plugin.err) == (3, True)
    no_import = cli("run", broken, "x.fits", "-o", "out")
    assert no_import.status == 3
    assert all(word in no_import.err for word in ("toy-broken", "astroclean-toys", "is broken"))
    no_pipeline = cli("run", "deom", "x.fits", "-o", "out")
    assert (no_pipeline.status, "'demo'" in no_pipeline.err) == (2, True)


@pytest.mark.slow
def test_no_file_of_others_is_overwritten(cli: CommandLine, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in ("a", "a_clean", "b", "b_sources", "c", "d"):
        write_fits(raw / f"{name}.fits", sky(len(name)))
    (raw / "c_clean.fits").write_bytes(b"a letter to a friend")
    before = {path.name: path.read_bytes() for path in raw.iterdir()}
    pipeline = write_pipeline(tmp_path / "p.toml", *CHEAP, "toy-peaks")
    inputs = [raw / f"{name}.fits" for name in ("a", "a_clean", "b", "b_sources", "c", "d")]

    ended = cli("run", pipeline, *inputs, "-o", raw)

    assert ended.status == 1
    wanted = {"a.fits": ("overwrite", "a_clean.fits"), "b.fits": ("overwrite", "b_sources.fits")}
    wanted["c.fits"] = ("c_clean.fits", "not written by astroclean", "--overwrite")
    assert_one_message_each(ended, wanted)
    assert {name: (raw / name).read_bytes() for name in before} == before
    assert {"a_clean_clean.fits", "b_sources_clean.fits", "d_clean.fits"} < set(digests(raw))

    forced = cli("run", pipeline, raw / "c.fits", "-o", raw, "--overwrite")
    assert forced.status == 0
    assert (raw / "c_clean.fits").read_bytes() != before["c_clean.fits"]


@pytest.mark.slow
def test_one_run_at_a_time_in_a_folder(cli: CommandLine, tmp_path: Path) -> None:
    write_fits(tmp_path / "x.fits", sky())
    pipeline = write_pipeline(tmp_path / "p.toml", "toy-bright: delay = 30")

    with cli.start("run", pipeline, "x.fits", "-o", "out") as first:
        try:
            wait_for((tmp_path / "out" / ".astroclean" / "scratch").is_dir)
            second = cli("run", pipeline, "x.fits", "-o", "out")
        finally:
            first.kill()
    assert second.status == 2
    assert "another run" in second.err
    assert "out" in second.err

    third = cli("run", pipeline, "x.fits", "-o", "out", "--set", "toy-bright.delay=0")
    assert third.status == 0


@pytest.mark.slow
def test_name_that_is_no_text(cli: CommandLine, tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/caf\xe9.fits"
    write_fits(tmp_path / "x.fits", sky())
    with open(odd, "wb") as stream:  # noqa: PTH123 - pathlib takes no bytes
        stream.write((tmp_path / "x.fits").read_bytes())
    pipeline = write_pipeline(tmp_path / "p.toml", *CHEAP, report=True)

    ended = cli("run", pipeline, tmp_path, "-o", "out")

    assert ended.status == 1
    assert_one_message_each(ended, {"caf\\xe9.fits": ("UTF-8",)})
    assert_clean_folder(tmp_path / "out", ["x.fits"])
