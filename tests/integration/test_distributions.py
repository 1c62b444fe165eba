"""The distributions fit together, say where they come from, and hold what they should."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_string
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import astroclean
from astroclean.registry.discover import kind_names

ROOT = Path(__file__).parents[2]
HOME = "https://github.com/astroclean/astroclean"
PLUGIN_FOLDERS = sorted(p.parent for p in ROOT.glob("plugins/*/astroclean_*/"))
FOLDERS = [ROOT, *PLUGIN_FOLDERS]
ENGINES = {"onnxruntime", "openvino", "torch", "tensorflow", "keras"}

pytestmark = pytest.mark.skipif(
    not (ROOT / "plugins" / "classical").is_dir(), reason="needs a checkout of the repository"
)


def project(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    return told


def needs(folder: Path, *extras: str) -> list[Requirement]:
    told = project(folder)
    chosen = [told["optional-dependencies"][extra] for extra in extras]
    return [Requirement(text) for text in sum(chosen, list(told["dependencies"]))]


NAMES = {project(folder)["name"]: folder for folder in FOLDERS}


def test_every_plugin_and_trainer_has_a_line_that_names_its_distribution() -> None:
    told = tomllib.loads((ROOT / "configs" / "distributions.toml").read_text("utf-8"))
    offered = {}
    for folder in PLUGIN_FOLDERS:
        points = project(folder).get("entry-points", {})
        stages = [name for kind in kind_names() for name in points.get(f"astroclean.{kind}", {})]
        trainers = points.get("astroclean.trainers", {})
        if stages or trainers:
            offered[project(folder)["name"]] = (sorted(stages), sorted(trainers))
    assert {name: (o["plugins"], o["trainers"]) for name, o in told.items()} == offered


def test_versions_agree() -> None:
    version = Version(astroclean.__version__)
    assert {project(folder)["version"] for folder in FOLDERS} == {str(version)}
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\n  version: {version}\n" in (ROOT / "conda/recipe/recipe.yaml").read_text("utf-8")
    series = f"<{version.major}.{version.minor + 1},>={version.major}.{version.minor}"
    for folder in FOLDERS:
        extras = ("networks",) if folder == ROOT else ()
        for need in needs(folder, *extras):
            if need.name in NAMES and need.name != project(folder)["name"]:
                assert str(need.specifier) == series, f"{folder}: {need}"


def test_the_core_brings_classical_plugins_and_networks_bring_those_with_an_engine() -> None:
    assert "astroclean-classical" in {need.name for need in needs(ROOT)}
    with_engine = {
        name
        for name, folder in NAMES.items()
        if any("engine" in need.extras for need in needs(folder))
    }
    assert "astroclean-maximask" in with_engine
    brought = {need.name for need in needs(ROOT, "networks")} & set(NAMES)
    assert brought == with_engine | {"astroclean", "astroclean-classical"}
    folders = {NAMES[name] for name in brought - {"astroclean"}}
    for file in ("run.txt", "packages.txt"):
        words = (ROOT / "requirements" / file).read_text("utf-8").split()
        assert {f"./plugins/{folder.name}" for folder in folders} <= set(words)


def test_a_run_installs_one_engine_and_no_galsim() -> None:
    engine = {
        need.name for need in map(Requirement, project(ROOT)["optional-dependencies"]["engine"])
    }
    assert len(engine) == 1
    wanted = {n.name for n in needs(ROOT, "networks", "engine")}
    wanted |= {n.name for name in wanted & set(NAMES) for n in needs(NAMES[name])}
    assert wanted & ENGINES == engine
    assert "galsim" not in wanted


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_metadata_and_readme_stand_alone_on_a_package_index(folder: Path) -> None:
    told = project(folder)
    assert told["urls"]["Homepage"] == HOME
    readme = (folder / told["readme"]).read_text("utf-8")
    targets = re.findall(r"\]\(([^)]+)\)|^\[[^\]]+\]: (\S+)$", readme, re.MULTILINE)
    pages = [*told["urls"].values(), *(first or second for first, second in targets)]
    assert [page for page in pages if not page.startswith(("https://", "http://", "#"))] == []
    for page in pages:
        inside = re.fullmatch(rf"{HOME}/(?:blob|tree)/main/([^#]+)(?:#.*)?", page)
        assert inside is None or (ROOT / inside[1]).exists(), page
    defined = re.findall(r"^\[([^\]]+)\]: ", readme, re.MULTILINE)
    assert set(re.findall(r"\]\[([^\]]+)\]", readme)) == set(defined)


def test_the_conda_recipe_needs_what_pip_needs() -> None:
    yaml = pytest.importorskip("yaml", reason="needs PyYAML")
    recipe = yaml.safe_load((ROOT / "conda" / "recipe" / "recipe.yaml").read_text("utf-8"))
    outputs = {output["package"]["name"]: output for output in recipe["outputs"]}
    assert set(outputs) == set(NAMES)
    engine = [Requirement(text) for text in project(ROOT)["optional-dependencies"]["engine"]]
    for name, folder in NAMES.items():
        wanted = needs(folder)
        wanted += engine if any("engine" in need.extras for need in wanted) else []
        expected = {(n.name, str(n.specifier)) for n in wanted}
        expected.add(("python", project(folder)["requires-python"]))
        run = (Requirement(text) for text in outputs[name]["requirements"]["run"])
        assert {(need.name, str(need.specifier)) for need in run} == expected
        assert (ROOT / outputs[name]["about"]["license_file"]).is_file()


@pytest.mark.slow
def test_sdists_and_wheels_hold_what_they_should(tmp_path: Path) -> None:
    """One test, because to build them takes a quarter of a minute."""
    pytest.importorskip("hatchling", reason="needs hatchling, which requirements/test.txt brings")
    _build_all(tmp_path)
    wheels = sorted((tmp_path / "wheels").iterdir())
    assert len(wheels) == len(FOLDERS)
    for wheel in wheels:
        assert _names(wheel) == _names(tmp_path / "of_tree" / wheel.name)
        _check_wheel(wheel)
    for name, folder in NAMES.items():
        (top,) = (tmp_path / "unpacked").glob(f"{name.replace('-', '_')}-[0-9]*")
        _check_sdist(top, folder)
    pytest.importorskip("twine", reason="needs twine, which requirements/test.txt brings")
    files = [*(tmp_path / "sdists").iterdir(), *wheels]
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *map(str, files)],
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASSED") == len(files)


def _build_all(out: Path) -> None:
    """Build an sdist of each distribution, a wheel from it, and one from the tree."""
    left = (".git", ".venv", ".*_cache", ".hypothesis", "astroclean_out", "_build", "dist")
    copy = shutil.copytree(ROOT, out / "tree", ignore=shutil.ignore_patterns(*left))
    stray = copy / "plugins" / "tests" / "README.md"  # what a pattern without slash takes too
    stray.parent.mkdir()
    stray.write_text("stray")
    for folder in (copy, *(copy / "plugins" / f.name for f in PLUGIN_FOLDERS)):
        _build(folder, "sdist", out / "sdists")
        _build(folder, "wheel", out / "of_tree")
    for archive in (out / "sdists").glob("*.tar.gz"):
        with tarfile.open(archive) as packed:
            packed.extractall(out / "unpacked", filter="data")
    for folder in (out / "unpacked").iterdir():
        _build(folder, "wheel", out / "wheels")


def _build(folder: Path, target: str, out: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as packed:
        return sorted(packed.namelist())


def _check_wheel(wheel: Path) -> None:
    """Its licence is in, all files of its package are, and for the core what is no package."""
    names = _names(wheel)
    (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
    with zipfile.ZipFile(wheel) as packed:
        metadata = message_from_string(packed.read(f"{info}/METADATA").decode())
    assert f"{info}/licenses/LICENSE" in names
    assert metadata["License-Expression"] == "BSD-3-Clause"
    folder = NAMES[canonicalize_name(metadata["Name"])]
    package = metadata["Name"].replace("-", "_")
    sources = {folder / package: package}
    if folder == ROOT:
        sources |= {ROOT / "configs": "astroclean/_configs"}
        sources |= {ROOT / "plugins" / "template": "astroclean/_template"}
    expected = {
        f"{inside}/{path.relative_to(source)}"
        for source, inside in sources.items()
        for path in source.rglob("*")
        if _is_kept(path)
    }
    assert {name for name in names if not name.startswith(info)} == expected


def _check_sdist(top: Path, folder: Path) -> None:
    """All that a packager builds, tests and reads is in, and nothing else."""
    inside = {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file()}
    wanted = ["LICENSE", "README.md", "pyproject.toml", "tests"]
    if folder == ROOT:
        wanted += ["docs", "examples", "benchmarks", "requirements", "conftest.py", "configs"]
        wanted += ["CITATION.cff", "CHANGES.md", "CONTRIBUTING.md", "plugins/template"]
    for entry in wanted:
        files = [folder / entry] if (folder / entry).is_file() else (folder / entry).rglob("*")
        there = {str(file.relative_to(folder)) for file in files if _is_kept(file)}
        assert there, entry
        assert there <= inside, sorted(there - inside)
    strays = [p for p in inside if p.startswith("plugins/") and "plugins/template/" not in p]
    assert strays == []
    known = {*wanted, "astroclean", "plugins", "PKG-INFO", ".gitignore"}
    known |= {"MODEL_CARD.md", "metrics.json", "metrics.toml", "figures"}
    known.add(project(folder)["name"].replace("-", "_"))
    assert {path.split("/")[0] for path in inside} <= known


def _is_kept(path: Path) -> bool:
    return path.is_file() and not {"__pycache__", "_build", "generated"} & set(path.parts)
