"""A third party's plugin: made by `plugins new`, installed by pip, tested, used in a pipeline."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.io import fits

from astroclean.errors import ConfigurationError
from astroclean.registry.discover import kind_names
from astroclean.registry.scaffold import write_plugin
from astroclean.runner.plan.chunks import BASE_BYTES, BYTES_PER_PIXEL
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


@pytest.mark.slow
def test_generated_plugins_are_used_from_a_pipeline(site: Path, tmp_path: Path) -> None:
    write_exposure(tmp_path / "raw.fits", seed=3, shape=(80, 90))
    (tmp_path / "pipeline.toml").write_text(
        "schema = 1\n"
        '[psf]\nfwhm = "1.2 arcsec"\n'
        '[[stage]]\nplugin = "third-screen"\n'
        '[[stage]]\nplugin = "third-calibrate"\noptions = { level = 100 }\n'
        '[[stage]]\nplugin = "third-mask"\noptions = { nsigma = 100 }\n'
        '[[stage]]\nplugin = "third-remove"\n'
        '[[stage]]\nplugin = "third-deblend"\n'
        '[[stage]]\nplugin = "third-deconvolve"\n'
    )
    done = _run(["astroclean", "run", "pipeline.toml", "raw.fits"], site=site, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "astroclean_out" / "run.json").read_text())
    stages = record["files"][0]["frames"][0]["stages"]
    kinds = ["screen", "calibrate", "mask", "remove", "deblend", "deconvolve"]
    assert [s["kind"] for s in stages] == kinds
    assert stages[2]["metrics"]["pixels HOT_PIXEL"] > 0
    replaced = stages[3]["metrics"]["pixels replaced"]
    assert replaced == record["files"][0]["frames"][0]["pixels_changed"] > 0


LAYERED = """

from dataclasses import replace as _replace

from astroclean.plugin import LayerSpec, Scope

_Plain = {name}


class {name}(_Plain):
    def layers(self):
        return (*super().layers(), LayerSpec("TWICE", "the frame, twice"))

    def scope(self, frame):
        return Scope(40)

    def {hook}(self, frame):
        return _replace(super().{hook}(frame), layers={{"TWICE": 2 * frame.data}})
"""
HOOKS = {
    "screen": "score",
    "calibrate": "calibrate",
    "mask": "find",
    "remove": "remove",
    "deblend": "separate",
    "deconvolve": "deconvolve",
    "superres": "upsample",
}


@pytest.fixture(scope="module")
def layered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Put plugins that give a layer of their own where they are found, without pip."""
    folder = tmp_path_factory.mktemp("layered")
    for kind, hook in HOOKS.items():
        made = write_plugin(f"layered-{kind}", kind=kind, parent=folder / "sources")
        settings = tomllib.loads((made / "pyproject.toml").read_text("utf-8"))
        (points,) = settings["project"]["entry-points"].items()
        (entry,) = points[1].items()
        module, name = entry[1].split(":")
        source = made / f"{module.replace('.', '/')}.py"
        text = source.read_text("utf-8") + LAYERED.format(name=name, hook=hook)
        if kind == "calibrate":  # gets the whole frame
            text = text.replace("def scope(", "def _scope(")
        source.write_text(text, "utf-8")
        shutil.copytree(made / module.split(".")[0], folder / module.split(".")[0])
        info = folder / f"layered_{kind}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: layered-{kind}\nVersion: 1\n", "utf-8"
        )
        (info / "entry_points.txt").write_text(f"[{points[0]}]\n{entry[0]} = {entry[1]}\n", "utf-8")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", HOOKS)
def test_a_layer_of_a_third_party_is_written_whole_and_in_chunks(
    kind: str, layered: Path, tmp_path: Path
) -> None:
    write_exposure(tmp_path / "raw.fits", seed=3, shape=(300, 90))
    (tmp_path / "pipeline.toml").write_text(
        'schema = 1\n[psf]\nfwhm = "1.2 arcsec"\n[products]\nkeep = ["twice"]\nreport = false\n'
        f'[[stage]]\nplugin = "layered-{kind}"\n'
    )
    memory = f"{(BASE_BYTES + 200 * 90 * BYTES_PER_PIXEL) / 1e6:.3f} MB"
    results = []
    for name, more in (("whole", []), ("cut", ["--max-memory", memory])):
        words = ["astroclean", "run", "pipeline.toml", "raw.fits", "-o", name, *more]
        done = _run(words, site=layered, folder=tmp_path)
        if more and kind == "superres":
            assert done.returncode != 0
            assert "has a grid of its own" in done.stderr
            return
        if more and kind == "calibrate":
            assert done.returncode != 0
            assert "whole" in done.stderr
            return
        assert done.returncode == 0, done.stderr
        results.append(fits.getdata(tmp_path / name / "raw_clean.fits", "TWICE"))
        record = json.loads((tmp_path / name / "run.json").read_text())
        (frame,) = record["files"][0]["frames"]
        (told,) = [layer for layer in frame["layers"] if layer["name"] == "TWICE"]
        assert told["meaning"] == "the frame, twice"
        assert any("chunks of" in note for note in record["files"][0]["notes"]) == bool(more)
    raw = fits.getdata(tmp_path / "raw.fits")
    assert np.array_equal(results[0], 2 * raw.astype("f4"))
    assert np.array_equal(results[0], results[1])


@pytest.mark.parametrize("name", ["Bad", "1st", "a_b", "lacosmic", "-x", ""])
def test_unusable_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        write_plugin(name, kind="mask", parent=tmp_path)
    assert list(tmp_path.iterdir()) == []
