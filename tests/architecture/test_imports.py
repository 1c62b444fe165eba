"""Imports point down, listing imports nothing, and starting costs little."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import astroclean

PACKAGE = Path(astroclean.__file__).parent
ROOT = PACKAGE.parent
# A module may import from its own layer and those before it (docs/explanation/architecture.md).
LAYERS = (
    ("errors", "moved"),
    ("core",),
    ("io", "tiling", "simulate"),
    ("inference",),
    ("registry",),
    ("config",),
    ("report",),
    ("runner",),
    ("evaluation", "training"),
    ("cli",),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
HEAVY = ("torch", "tensorflow", "keras", "onnxruntime", "openvino", "galsim", "photutils", "sep")


def _modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _imported(tree: ast.Module, *, lazy: bool) -> set[str]:
    """Return the modules imported: at module level, or (lazy) anywhere."""
    nodes = ast.walk(tree) if lazy else [n for n in tree.body if not _is_type_checking(n)]
    found = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return found


@pytest.mark.parametrize("path", _modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    own = _layer(path)
    if own in {"__init__", "__main__", "plugin", "testing"}:
        return
    for module in _imported(ast.parse(path.read_text("utf-8")), lazy=False):
        parts = module.split(".")
        if parts[0] == "astroclean" and len(parts) > 1 and parts[1] in RANK:
            assert RANK[parts[1]] <= RANK[own], f"{own} must not import {module}"


def test_testing_does_not_import_the_command_line() -> None:
    for path in (PACKAGE / "testing").glob("*.py"):
        modules = _imported(ast.parse(path.read_text("utf-8")), lazy=True)
        assert not [m for m in modules if m.startswith("astroclean.cli")]


def test_core_names_no_network_and_no_plugin() -> None:
    for path in _modules():
        modules = _imported(ast.parse(path.read_text("utf-8")), lazy=True)
        foreign = [m for m in modules if m.split(".")[0].startswith("astroclean_")]
        assert not foreign, f"{path} imports plugins: {foreign}"


def _imported_by(code: str) -> set[str]:
    script = f"{code}\nimport sys; print('\\n'.join(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stderr.split())


def test_importing_astroclean_imports_no_library() -> None:
    modules = _imported_by("import astroclean")
    assert not {"astropy", "numpy", "pydantic", *HEAVY} & modules


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_version_import_no_library(flag: str) -> None:
    code = f"from astroclean.cli.main import main\ntry: main(['{flag}'])\nexcept SystemExit: pass"
    modules = _imported_by(code)
    assert "astroclean.cli.main" in modules
    assert not {"astropy", "numpy", "pydantic", *HEAVY} & modules


@pytest.mark.parametrize(
    "words",
    [["run", "--help"], ["check", "--help"], ["merge", "--help"], ["run", "no/such.toml"], []],
    ids=" ".join,
)
def test_help_of_a_run_and_wrong_words_import_no_library(words: list[str]) -> None:
    code = (
        "import sys\nfrom astroclean.cli.main import main\n"
        f"try: status = main({words})\nexcept SystemExit as end: status = end.code\n"
        f"assert status == {0 if '--help' in words else 2}, status"
    )
    modules = _imported_by(code)
    assert "astroclean.cli.main" in modules
    assert not {"astropy", "numpy", "pydantic", *HEAVY} & modules


def test_frames_import_no_pictures() -> None:
    modules = _imported_by("from astroclean import Frame, Sources, StageResult")
    shown = {
        "PIL",
        "jinja2",
        "matplotlib",
        "astroclean.report.notebook",
        "astroclean.report.drawing",
    }
    assert not shown & modules


def test_listing_plugins_imports_none_of_them() -> None:
    modules = _imported_by("import astroclean; assert astroclean.list_plugins()")
    assert not [m for m in modules if m.startswith("astroclean_")]
    assert not set(HEAVY) & modules


@pytest.mark.slow
def test_running_the_demo_imports_no_framework(tmp_path: Path) -> None:
    code = (
        "import astroclean\n"
        f"report = astroclean.run('demo', output={str(tmp_path)!r}, jobs=0)\n"
        "assert report.exit_code == 0"
    )
    modules = _imported_by(code)
    assert "astroclean_classical" in modules
    assert not {"torch", "tensorflow", "keras"} & modules


def test_every_public_name_exists_and_is_documented() -> None:
    for name in astroclean.__all__:
        value = getattr(astroclean, name)
        assert name == "__version__" or value.__doc__, name


def test_house_limits_hold() -> None:
    """Modules of at most 350 lines, functions of at most 40 body lines."""
    too_long = []
    plugins = PACKAGE.parent / "plugins"
    for path in [*_modules(), *plugins.glob("*/astroclean_*/**/*.py")]:
        text = path.read_text("utf-8")
        if text.count("\n") > 350:
            too_long.append(f"{path.name}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                length = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                if length > 40:
                    too_long.append(f"{path.name}:{node.name}: {length} lines")
    assert too_long == []


def _dependencies() -> dict[str, set[str]]:
    """Return each module of the project to those that it imports, inside functions too."""
    roots = {"astroclean": PACKAGE}
    roots |= {path.name: path for path in ROOT.glob("plugins/*/astroclean_*") if path.is_dir()}
    files: dict[str, Path] = {}
    for name, root in roots.items():
        for path in root.rglob("*.py"):
            parts = (name, *path.relative_to(root).with_suffix("").parts)
            files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    found: dict[str, set[str]] = {}
    for module, path in files.items():
        tree = ast.parse(path.read_text("utf-8"))
        hidden = {id(n) for top in ast.walk(tree) if _is_type_checking(top) for n in ast.walk(top)}
        found[module] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and id(node) not in hidden:
                names = {f"{node.module}.{alias.name}" for alias in node.names} & files.keys()
                found[module] |= (names or {node.module} & files.keys()) - {module}
    return found


@pytest.mark.slow
def test_no_circle_of_imports() -> None:
    """Nor one that imports inside functions hide: in a circle nothing can be read by itself."""
    left = _dependencies()
    while True:
        # What nothing of the rest imports, or imports nothing of the rest, is in no circle.
        used = set().union(*left.values()) if left else set()
        free = {m for m, needs in left.items() if not needs & left.keys() or m not in used}
        if not free:
            break
        left = {m: needs & left.keys() - free for m, needs in left.items() if m not in free}
    assert left == {}
