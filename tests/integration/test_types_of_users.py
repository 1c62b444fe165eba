"""Code of users and plugins of the template pass `mypy --strict`, against what is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import astroclean
from astroclean.registry.discover import kind_names
from astroclean.registry.scaffold import write_plugin

USE = """\
from astroclean import Frame, FrameSet, MaskPlane, Psf, RunReport, Sources, __version__
from astroclean import Stage, StageResult, load_stage, run
from astroclean.plugin import IN_PIXELS, Mask, Masker, StageOptions


def flagged(frame: Frame) -> int:
    result = load_stage("lacosmic", sigclip=5).run(frame)
    reveal_type(result)
    return int((result.frame.flags > 0).sum())


def cleaned(paths: list[str]) -> RunReport:
    return run("demo", paths)
"""


def test_exported_names_are_those_of_the_table() -> None:
    assert sorted(astroclean.__all__) == sorted({"__version__", *astroclean._PUBLIC})


@pytest.mark.slow
def test_a_user_and_the_template_pass_strict_types(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is for the installation of developers")
    (tmp_path / "use.py").write_text(USE, "utf-8")
    made = [write_plugin(f"typed-{kind}", kind=kind, parent=tmp_path) for kind in kind_names()]
    packages = [folder / f"astroclean_typed_{folder.name.split('-')[-1]}" for folder in made]
    root = Path(astroclean.__file__).parents[1]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--config-file", str(made[0] / "pyproject.toml")),
            *("--cache-dir", str(root / ".mypy_cache" / "users")),
            *("use.py", *map(str, packages), str(made[0] / "tests")),
        ],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": os.pathsep.join([str(root), *map(str, made)])},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'Revealed type is "astroclean.core.stage.results.StageResult"' in done.stdout
