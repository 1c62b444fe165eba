"""`pip install astroclean` alone: it cleans, and says what would come with what is missing."""

from __future__ import annotations

import json
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits

import astroclean
from astroclean.cli.main import main
from astroclean.config import optional
from astroclean.config.load import load_pipeline
from astroclean.errors import ConfigurationError, PluginNotFoundError
from astroclean.registry.discover import PluginEntry
from astroclean.report.model import FileStatus
from astroclean.simulate.exposure import simulate_exposure, write_exposure

if TYPE_CHECKING:
    from pathlib import Path

BARE = ("astroclean", "astroclean-classical")
OF_MAXIMASK = "`python -m pip install astroclean-maximask`"
CR = np.uint32(astroclean.MaskPlane.COSMIC_RAY)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide every distribution but the two."""
    of_all = metadata.entry_points

    def of_two(**wanted: str) -> Any:
        points = of_all(**wanted)
        if not wanted:  # stevedore's own reading, by which it loads what was found before
            return points
        return metadata.EntryPoints(p for p in points if p.dist and p.dist.name in BARE)

    monkeypatch.setattr(metadata, "entry_points", of_two)


@pytest.mark.slow
@pytest.mark.usefixtures("bare")
def test_the_demo_runs_without_networks_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "demo", "-j", "0", "-o", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    record = json.loads((tmp_path / "run.json").read_text("utf-8"))
    for name in ("maxitrack", "maximask"):
        note = f"the optional stage '{name}' is left out: no plugin '{name}' is installed"
        assert f"note: {note}. It comes with astroclean-maximask: {OF_MAXIMASK}." in told
        assert any(note in text for text in record["notes"])
    assert "is left out" in (tmp_path / "report.html").read_text("utf-8")
    stages = [s["name"] for s in record["files"][0]["frames"][0]["stages"]]
    assert stages == ["saturation", "badpix", "lacosmic", "interpolate", "sep"]
    flags = fits.getdata(tmp_path / "simulated_exposure_clean.fits", "FLAGS")
    hits = (simulate_exposure(seed=1).truth & CR) != 0
    assert ((flags & CR) != 0)[hits].mean() > 0.8


def test_a_file_is_done_again_when_its_optional_plugin_has_come(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_exposure(tmp_path / "raw.fits", seed=1, shape=(128, 128))
    pipeline = {
        "schema": 1,
        "stage": [{"plugin": "saturation"}, {"plugin": "maximask", "optional": True}],
    }

    def run() -> Any:
        done = astroclean.run(pipeline, tmp_path / "raw.fits", output=tmp_path / "out", jobs=0)
        return done.files[0].status, [s.name for s in done.files[0].frames[0].stages]

    request.getfixturevalue("bare")
    assert run() == (FileStatus.DONE, ["saturation"])
    assert run() == (FileStatus.UP_TO_DATE, ["saturation"])
    monkeypatch.undo()
    assert run() == (FileStatus.DONE, ["saturation", "maximask"])


@pytest.mark.usefixtures("bare")
def test_what_is_left_out_may_be_skipped_and_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_exposure(tmp_path / "raw.fits", seed=1, shape=(64, 64))
    words = ["check", "demo", str(tmp_path / "raw.fits"), "--skip", "maximask", "--skip", "sep"]
    assert main([*words, "--set", "maxitrack.threads=1"]) == 0
    assert "saturation -> badpix -> lacosmic -> interpolate; new\n" in capsys.readouterr().out
    assert main([*words, "--skip", "maximsk"]) == 2


@pytest.mark.usefixtures("bare")
def test_a_pipeline_of_which_nothing_is_left_is_refused() -> None:
    stages = [{"plugin": "maximask", "optional": True}]
    with pytest.raises(ConfigurationError, match=r"no stage is left: .*'maximask'"):
        load_pipeline({"schema": 1, "stage": stages}, environment={})


def test_only_a_plugin_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = PluginEntry("mine", "mask", "x", "1", "x:X", None, problem="no manifest.toml")
    monkeypatch.setattr(optional, "list_plugins", lambda: (broken,))
    stages = [{"plugin": "mine", "optional": True}, {"plugin": "theirs", "optional": True}]
    loaded = load_pipeline({"schema": 1, "stage": stages}, environment={})
    assert [stage.name for stage in loaded.config.stage] == ["mine"]
    assert loaded.notes == (
        "the optional stage 'theirs' is left out: no plugin 'theirs' is installed.",
    )


def test_a_mistyped_name_of_an_optional_stage_is_no_missing_plugin() -> None:
    stages = [{"plugin": "saturation"}, {"plugin": "lacosmik", "optional": True}]
    with pytest.raises(ConfigurationError, match="Did you mean 'lacosmic'"):
        load_pipeline({"schema": 1, "stage": stages}, environment={})


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("plugins", "show", "maximask"), 3, OF_MAXIMASK),
        (("check", "maximask", "raw.fits"), 3, OF_MAXIMASK),
        (("run", "deblend", "raw.fits"), 3, "`python -m pip install astroclean-pais`"),
        (("schema", "options", "psf-cae"), 3, "`python -m pip install astroclean-psf-cae`"),
        (("train", "spire-sr"), 2, "`python -m pip install 'astroclean-spire-sr[train]'`"),
        (("plugins", "show", "maximsk"), 3, "Did you mean 'maximask'?"),
    ],
)
def test_a_missing_plugin_names_its_distribution(
    words: tuple[str, ...], status: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(list(words)) == status
    assert told in capsys.readouterr().err


@pytest.mark.usefixtures("bare")
def test_so_it_does_from_python() -> None:
    with pytest.raises(PluginNotFoundError, match="pip install astroclean-deepcr"):
        astroclean.load_stage("deepcr")


@pytest.mark.usefixtures("bare")
def test_doctor_and_version_tell_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["problems"] == []
    assert "astroclean-maximask" in facts["not installed"]
    assert "astroclean-classical" not in facts["not installed"]
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    first, classical, libraries = capsys.readouterr().out.splitlines()
    assert first == f"astroclean {astroclean.__version__}"
    assert classical.startswith(f"astroclean-classical {astroclean.__version__}: badpix, ")
    assert f"numpy {np.__version__}" in libraries
