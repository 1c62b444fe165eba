"""The verbs beside `run`: explain masks, print schemas, show plugins, diagnose, cite."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import jsonschema
import pytest
from toy_runs import sky, write_fits, write_pipeline

from astroclean.cli.main import main
from astroclean.core.configs import list_configs, read_toml

if TYPE_CHECKING:
    from pathlib import Path

    from toy_runs import CommandLine


def told(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    assert main(list(words)) == status
    captured = capsys.readouterr()
    return captured.out if status == 0 else captured.err


def test_help_and_version_work_and_unknown_verbs_do_not() -> None:
    for words, status, stream in (
        (["--help"], 0, "run"),
        (["run", "--help"], 0, "--dry-run"),
        (["--version"], 0, "astroclean"),
        (["runn"], 2, "invalid choice"),
        ([], 2, "required"),
        (["run", "demo", "-j", "-1"], 2, "from 0"),
        (["run", "demo", "--resume", "--overwrite"], 2, "not allowed"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "astroclean", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == status, words
        assert stream in done.stdout + done.stderr


def test_mask_explain_names_every_bit(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(capsys, "mask", "explain", "1049603")
    for name in ("COSMIC_RAY", "HOT_LINE", "SPIKE", "INTERPOLATED"):
        assert name in text
    assert "TRAIL" not in text


def test_mask_explain_speaks_other_conventions(capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(told(capsys, "mask", "explain", "0x5", "--as", "jwst", "--json"))["rows"]
    assert [row["name"] for row in rows] == ["DO_NOT_USE", "JUMP_DET"]
    assert [row["effect"] for row in rows] == ["rejects", "rejects only with DO_NOT_USE"]
    assert "good pixel" in told(capsys, "mask", "explain", "0", "--as", "jwst")


@pytest.mark.parametrize(
    ("words", "effect"),
    [
        (
            ("32", "--as", "lsst"),
            "DETECTED: in the footprint of a source -> SOURCE (rejects nothing)",
        ),
        (("8", "--as", "lsst"), "-> COSMIC_RAY (rejects)"),
        (("64", "--as", "dragons"), "(rejects)"),
        (("2", "--as", "dragons"), "(rejects nothing)"),
        (("256", "--as", "dragons"), "?: unknown to this convention -> no plane (rejects nothing)"),
        (("9", "--as", "decam"), "no plane (rejects nothing)"),
        (("9", "--as", "boolean"), "-> BAD_PIXEL (rejects)"),
        (("SPIKE",), "(rejects)"),
        (("SUSPECT",), "(rejects nothing)"),
    ],
)
def test_mask_explain_says_what_rejects(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], effect: str
) -> None:
    assert effect in told(capsys, "mask", "explain", *words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("x", "--as", "jwst"), "not an integer"),
        (("-3",), "not negative"),
        (("3", "--as", "jwts"), "Did you mean 'jwst'"),
    ],
)
def test_mask_explain_says_what_is_wrong(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    if words[0].startswith("-"):
        words = ("--", *words)
    assert said in told(capsys, "mask", "explain", *words, status=2)


def test_schema_accepts_every_ready_pipeline(capsys: pytest.CaptureFixture[str]) -> None:
    schema = json.loads(told(capsys, "schema"))
    for path in list_configs("pipelines").values():
        content = read_toml(path)
        if isinstance(content.get("instrument"), str):
            content["instrument"] = {"name": content["instrument"]}
        jsonschema.validate(content, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"schema": 1, "stage": [{"plugn": "x"}]}, schema)


def test_schema_of_options_has_help_and_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    properties = json.loads(told(capsys, "schema", "options", "lacosmic"))["properties"]
    assert all(option.get("description") for option in properties.values())
    jsonschema.validate({"sigclip": 4}, {"properties": properties})
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"sigclip": -4}, {"properties": properties})


def test_plugins_show_tells_needs_options_and_licence(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(capsys, "plugins", "show", "richardson-lucy")
    assert "psf" in text
    assert "iterations" in text or "num_iter" in text or "niter" in text
    assert "BSD-3-Clause" in text
    assert "lucy" in text.lower()


def test_unknown_plugin_ends_with_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Did you mean 'lacosmic'" in told(capsys, "plugins", "show", "lacosmik", status=3)


def test_doctor_finds_a_sound_installation(capsys: pytest.CaptureFixture[str]) -> None:
    facts = json.loads(told(capsys, "doctor", "--json"))
    assert facts["problems"] == []
    assert "mask: lacosmic" in facts["plugins"]
    assert "decam" in facts["instruments"]


def test_doctor_finds_a_broken_instrument_of_the_user(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "instruments").mkdir()
    (tmp_path / "instruments" / "mine.toml").write_text('title = "x"\nsource = "y"\nwrong = 1\n')
    monkeypatch.setenv("ASTROCLEAN_CONFIG", str(tmp_path))
    assert "mine.toml: wrong" in told(capsys, "doctor", status=3)


@pytest.mark.slow
def test_cite_prints_the_works_of_the_plugins_used(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["run", "demo", "-q", "-o", str(tmp_path)]) == 0
    capsys.readouterr()
    text = told(capsys, "cite", str(tmp_path / "run.json"))
    assert "L.A.Cosmic" in text or "Laplacian" in text
    assert "Bertin" in text
    assert text.count("@") >= 4
    assert "Richardson" not in text
    assert "\\software{" in text


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"files": 3}'])
def test_cite_refuses_what_is_no_record(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str
) -> None:
    (tmp_path / "run.json").write_text(content)
    assert "no run.json" in told(capsys, "cite", str(tmp_path / "run.json"), status=2)


def test_check_and_dry_run_write_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from astroclean.simulate.exposure import write_exposure

    monkeypatch.chdir(tmp_path)
    write_exposure(tmp_path / "raw.fits", seed=1, shape=(40, 50))
    for words in (["check", "ccd", "raw.fits"], ["run", "ccd", "raw.fits", "--dry-run"]):
        assert "generic-ccd, 1 frame: saturation -> badpix" in told(capsys, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["raw.fits"]
    plan = json.loads(told(capsys, "check", "ccd", "raw.fits", "--json"))
    assert plan["files"][0]["stages"][2]["plugin"] == "lacosmic"


def test_missing_optional_package_names_its_extra(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "galsim", None)
    for name in [name for name in sys.modules if name.startswith("astroclean.simulate.")]:
        monkeypatch.delitem(sys.modules, name)
    words = ("evaluate", "mask", "--plugins", "saturation", "--count", "1", "--shape", "64", "64")
    assert "astroclean[evaluate]" in told(capsys, *words, status=3)


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [0, 1])
def test_json_comes_alone_whatever_a_plugin_prints(
    cli: CommandLine, tmp_path: Path, jobs: int
) -> None:
    write_fits(tmp_path / "x.fits", sky())
    pipeline = write_pipeline(tmp_path / "p.toml", "toy-loud")
    ended = cli("run", pipeline, "x.fits", "--json", "-j", jobs)
    assert ended.status == 0, ended.err
    assert json.loads(ended.out)["files"][0]["status"] == "done"
    for place in ("the import", "find", "the first stdout", "the descriptor", "C"):
        assert f"hello from {place}" in ended.err
