"""Plugins are found without import; a broken one harms nobody else; a name clash is an error."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import astroclean
from astroclean.cli.main import main
from astroclean.core.flags.planes import MaskPlane
from astroclean.errors import (
    ConfigurationError,
    PluginClashError,
    PluginLoadError,
    PluginNotFoundError,
)
from astroclean.registry.discover import kind_names, list_plugins, misplaced_plugins
from astroclean.registry.doctor import diagnose
from astroclean.registry.load import (
    find_plugin,
    load_stage,
    load_stage_class,
    require_current_code,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STAGE = """
import numpy as np
from astroclean.core.stage.kinds.mask import Masker
from astroclean.core.stage.results import Mask
class Stage(Masker):
    def find(self, frame):
        return Mask(np.zeros(frame.shape, dtype=np.uint32))
"""
MANIFEST = (
    '[[plugin]]\nname = "{name}"\nkind = "{kind}"\nsummary = "s"\napi = {api}\nlicense = "MIT"\n'
)


class Site:
    """A folder on sys.path in which distributions can be put."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(
        self,
        name: str,
        *,
        code: str = STAGE,
        kind: str = "mask",
        manifest: str | None = "",
        api: int = 1,
        package: str | None = None,
        target: str = "stage:Stage",
    ) -> str:
        package = package or f"toy_{name.replace('-', '_')}"
        folder = self.folder / package
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        (folder / "stage.py").write_text(code)
        if manifest is not None:
            text = manifest or MANIFEST.format(name=name, kind="mask", api=api)
            (folder / "manifest.toml").write_text(text)
        info = self.folder / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            f"[astroclean.{kind}]\n{name} = {package}.{target}\n"
        )
        importlib.invalidate_caches()
        return package


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    # stevedore keeps a cache of entry points; tests must not write to the user's.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    from stevedore import _cache

    monkeypatch.setattr(_cache, "_c", _cache.Cache(str(tmp_path / "cache")))
    yield Site(folder)
    for name in [name for name in sys.modules if name.startswith("toy_")]:
        del sys.modules[name]
    importlib.invalidate_caches()


def test_the_seven_kinds_are_found() -> None:
    assert set(kind_names()) >= {
        "calibrate",
        "screen",
        "mask",
        "remove",
        "deblend",
        "deconvolve",
        "superres",
    }


def test_installed_plugin_is_listed_and_loads(site: Site) -> None:
    package = site.install("toy")
    entry = find_plugin("toy")
    assert (entry.distribution, entry.version, entry.kind) == (package, "1.0", "mask")
    assert package not in sys.modules
    stage = load_stage("toy")
    assert stage.name == "toy"
    assert stage.identity.version == "1.0"


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("import a_package_that_is_not_there", "ModuleNotFoundError"),
        ("assert False, 'no GPU'", "AssertionError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("raise RuntimeError('boom')", "boom"),
        ("def (", "SyntaxError"),
        ("Other = 1", "Stage"),
        ("Stage = 3", "subclass of Masker"),
    ],
)
def test_broken_plugin_is_told_and_harms_nobody(site: Site, code: str, word: str) -> None:
    site.install("broken", code=code)
    site.install("sound")
    assert {"broken", "sound", "lacosmic"} <= {entry.name for entry in list_plugins()}
    with pytest.raises(PluginLoadError, match=word) as error:
        load_stage("broken")
    assert "toy_broken" in str(error.value)
    assert error.value.exit_code == 3
    assert load_stage("sound").name == "sound"
    told = {entry.name: problem for entry, problem in diagnose()}
    assert word in str(told["broken"])
    assert told["sound"] is None


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"manifest": None}, "no manifest.toml"),
        ({"manifest": "not toml ["}, "cannot be read"),
        ({"manifest": '[[plugin]]\nname = "toy"\n'}, "kind"),
        ({"manifest": MANIFEST.format(name="other", kind="mask", api=1)}, "other"),
        ({"manifest": MANIFEST.format(name="toy", kind="mask", api=1) + "x = 1\n"}, "x"),
        ({"manifest": MANIFEST.format(name="toy", kind="remove", api=1)}, "kind 'remove'"),
        ({"api": 99}, "Update astroclean"),
        ({"api": 0}, "Update the plugin"),
    ],
)
def test_wrong_manifest_is_told_without_import(
    site: Site, settings: dict[str, object], word: str
) -> None:
    package = site.install("toy", code="raise SystemExit", **settings)  # type: ignore[arg-type]
    (entry,) = [entry for entry in list_plugins() if entry.name == "toy"]
    assert word in str(entry.problem)
    with pytest.raises(PluginLoadError):
        load_stage("toy")
    assert package not in sys.modules


@pytest.mark.parametrize("second_kind", ["mask", "remove"])
def test_name_clash_names_both_and_spares_others(site: Site, second_kind: str) -> None:
    site.install("twin", package="toy_a")
    site.install(
        "twin",
        package="toy_b",
        kind=second_kind,
        manifest=MANIFEST.format(name="twin", kind=second_kind, api=1),
    )
    with pytest.raises(PluginClashError, match=r"toy_a.*toy_b"):
        load_stage("twin")
    assert load_stage("lacosmic").kind == "mask"


def test_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(PluginNotFoundError, match="Did you mean 'lacosmic'"):
        load_stage("lacosmc")


def test_wrong_options_are_all_told() -> None:
    with pytest.raises(ConfigurationError) as error:
        load_stage("lacosmic", sigclp=4, niter=-1)
    text = str(error.value)
    assert "sigclp: no such option. Did you mean 'sigclip'?" in text
    assert "niter" in text
    assert "-1" in text


@pytest.mark.slow
def test_every_plugin_of_the_repository_declares_what_its_class_does() -> None:
    for entry in list_plugins():
        assert entry.problem is None
        assert entry.manifest is not None
        stage_class = load_stage_class(entry)
        assert stage_class.kind == entry.kind
        stage = load_stage(entry.name)
        planes = MaskPlane.union(p for p in MaskPlane if p.name in entry.manifest.provides)
        if entry.kind == "mask":
            assert planes == stage.provides().planes
        assert set(stage.needs().fields) <= set(entry.manifest.needs)


@pytest.mark.slow
def test_command_line_lives_with_a_plugin_that_kills(site: Site) -> None:
    site.install("killer", code="import os; raise SystemExit(42)")
    environment = {
        "PYTHONPATH": str(site.folder),
        "PATH": "/usr/bin:/bin",
        "HOME": str(site.folder),
    }
    for words, status in (
        (["--help"], 0),
        (["plugins", "list", "--json"], 0),
        (["plugins", "doctor"], 3),
        (["plugins", "show", "lacosmic"], 0),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "astroclean", *words],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
            timeout=120,
        )
        assert done.returncode == status, (words, done.stderr)
        if words[-1] == "--json":
            assert "killer" in {entry["name"] for entry in json.loads(done.stdout)}
        if words[-1] == "doctor":
            assert "SystemExit: 42" in done.stderr


def test_options_take_content_in_python() -> None:
    import numpy as np

    bad = np.zeros((20, 30), dtype=np.uint8)
    bad[3, 4] = 1
    result = load_stage("badpix", map=bad).run(np.full((20, 30), 10.0))
    assert result.frame.where("BAD").sum() == 1
    assert astroclean.MaskPlane.BAD_PIXEL == MaskPlane.BAD_PIXEL


@pytest.mark.parametrize(
    ("group", "meant"), [("maskers", "mask"), ("Mask", "mask"), ("trainer", "trainers")]
)
def test_a_plugin_in_a_group_that_nobody_looks_into_is_told(
    site: Site, group: str, meant: str
) -> None:
    site.install("toy", kind=group)
    (entry,) = misplaced_plugins()
    assert f"'astroclean.{group}'" in str(entry.problem)
    assert f"Did you mean 'astroclean.{meant}'?" in str(entry.problem)
    with pytest.raises(PluginNotFoundError, match=rf"Did you mean 'astroclean\.{meant}'"):
        find_plugin("toy")


def test_doctor_tells_of_such_a_group(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("astroclean.registry.doctor.list_plugins", tuple)  # none is imported
    site.install("toy", kind="maskers")
    assert main(["plugins", "doctor"]) == 3
    ended = capsys.readouterr()
    assert ended.out.split()[:3] == ["broken", "maskers", "toy"]
    assert "Did you mean 'astroclean.mask'" in ended.err


def test_groups_of_what_is_installed_are_all_looked_into() -> None:
    assert misplaced_plugins() == ()


def test_what_was_installed_again_at_once_is_what_is_loaded(site: Site) -> None:
    """stevedore's cache tells times of change of two minutes apart no better than equal."""
    package = site.install("again", code=STAGE + "\n\nclass Other(Stage):\n    pass\n")
    assert type(load_stage("again")).__name__ == "Stage"
    points = site.folder / f"{package}-1.0.dist-info" / "entry_points.txt"
    times = points.stat()
    points.write_text(f"[astroclean.mask]\nagain = {package}.stage:Other\n")
    os.utime(points, ns=(times.st_atime_ns, times.st_mtime_ns + 10**9))
    from stevedore import _cache

    _cache._c._internal.clear()  # as in a new process
    importlib.invalidate_caches()
    assert find_plugin("again").target.endswith(":Other")
    assert type(load_stage("again")).__name__ == "Other"


def test_a_stage_tells_the_code_that_was_imported(site: Site) -> None:
    package = site.install("edited")
    first = load_stage("edited").identity
    assert len(first.code) == 12
    require_current_code(find_plugin("edited"))
    code = site.folder / package / "stage.py"
    code.write_text(code.read_text() + "\nWIDTH = 2\n")
    assert load_stage("edited").identity == first  # this process has not imported it anew
    with pytest.raises(PluginLoadError, match=f"code of '{package}' was changed"):
        require_current_code(find_plugin("edited"))
    for name in [name for name in sys.modules if name.startswith(package)]:
        del sys.modules[name]
    again = load_stage("edited").identity
    assert (again.version, again.code == first.code) == (first.version, False)
    require_current_code(find_plugin("edited"))
