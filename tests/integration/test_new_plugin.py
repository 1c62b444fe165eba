"""A third party's plugin: made by `plugins new`, installed by pip, tested, used in a pipeline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from astroclean.errors import ConfigurationError
from astroclean.registry.discover import kind_names
from astroclean.registry.scaffold import write_plugin
from astroclean.simulate.exposure import write_exposure

if TYPE_CHECKING:
    from pathlib import Path


def _run(words: list[str], *, site: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site), "XDG_CACHE_HOME": str(folder / "cache")}
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install one plugin of each kind, as a user would with pip, into a folder of its own."""
    folder = tmp_path_factory.mktemp("third_party")
    sources = [
        str(write_plugin(f"third-{kind}", kind=kind, parent=folder)) for kind in kind_names()
    ]
    target = folder / "site"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"),
            *("--no-build-isolation", "--target", str(target), *sources),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return target


@pytest.mark.slow
@pytest.mark.parametrize("kind", kind_names())
def test_generated_plugin_passes_its_contract_tests_unchanged(kind: str, site: Path) -> None:
    tests = site.parent / f"astroclean-third-{kind}"
    words = ["pytest", "-q", "-W", "error", "-p", "no:cacheprovider", str(tests)]
    done = _run(words, site=site, folder=tests)
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


def test_generated_plugins_are_used_from_a_pipeline(site: Path, tmp_path: Path) -> None:
    write_exposure(tmp_path / "raw.fits", seed=3, shape=(80, 90))
    (tmp_path / "pipeline.toml").write_text(
        "schema = 1\n"
        '[psf]\nfwhm = "1.2 arcsec"\n'
        '[[stage]]\nplugin = "third-screen"\n'
        '[[stage]]\nplugin = "third-mask"\noptions = { nsigma = 100 }\n'
        '[[stage]]\nplugin = "third-remove"\n'
        '[[stage]]\nplugin = "third-deblend"\n'
        '[[stage]]\nplugin = "third-deconvolve"\n'
    )
    done = _run(["astroclean", "run", "pipeline.toml", "raw.fits"], site=site, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "astroclean_out" / "run.json").read_text())
    stages = record["files"][0]["frames"][0]["stages"]
    assert [s["kind"] for s in stages] == ["screen", "mask", "remove", "deblend", "deconvolve"]
    assert stages[1]["metrics"]["pixels HOT_PIXEL"] > 0
    replaced = stages[2]["metrics"]["pixels replaced"]
    assert replaced == record["files"][0]["frames"][0]["pixels_changed"] > 0


@pytest.mark.parametrize("name", ["Bad", "1st", "a_b", "lacosmic", "-x", ""])
def test_unusable_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        write_plugin(name, kind="mask", parent=tmp_path)
    assert list(tmp_path.iterdir()) == []
