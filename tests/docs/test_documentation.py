"""What the documentation says is done: pages build, their code runs, shown output is what comes.

Blocks of a page are taken in order, in one temporary folder and one namespace:

- ``python``: executed; a ``text`` block right after it is what it prints;
- ``console``: each ``$ command`` is run, the lines below it are its output, ``...`` is anything;
  a command ends with 0 unless ``$ echo $?`` shows another status;
- ``toml``: a first line ``# name.toml`` writes the file, others are validated as part of one;
- ``bash``: a script; its first line but for ``#!`` is ``# name``, and it is written;
- a comment ``<!-- setup ... -->`` is Python that readers do not see.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from astroclean.cli.main import main
from astroclean.config.load import load_pipeline
from astroclean.config.schema import PipelineConfig
from astroclean.io.frames.instruments import Instrument

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$|^<!-- (setup)\n(.*?)^-->$", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"(?:#!.*\n)?# ([\w./-]+\.\w+)\n")
NOT_RUN = (
    "python -m pip",
    "python -m pytest",
    "python -m sphinx",
    "python docs/tables.py",
    "python -m venv",
    ". ",
    "astroclean train maximask",
    "ruff ",
    "mypy",
)
# Without redirection, variables, several processes: nothing that needs a shell or a main module.
PLAIN = re.compile(r"astroclean (?!.*(-j|[<>|;$])).*")
PLUGIN_TESTS = "python -m pytest astroclean-"


def blocks_of(text: str) -> list[tuple[str, str]]:
    """Return (language, content) of each block of a page."""
    return [(m[1] or m[3], m[2] if m[1] else m[4]) for m in BLOCK.finditer(text)]


def matches(shown: str, came: str) -> bool:
    """Return whether output is as shown; ``...`` stands for anything."""
    pattern = "".join(
        r"(?:.*\n)*?"
        if line.strip() == "..."
        else re.escape(line.rstrip()).replace(r"\.\.\.", ".*") + r"\n"
        for line in shown.strip().splitlines()
    )
    printed = "".join(f"{line.rstrip()}\n" for line in came.strip().splitlines())
    return re.fullmatch(pattern, printed) is not None


@dataclass
class Reader:
    """Somebody who does what a page says."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "page"})
    printed: str | None = None
    status: int = 0

    def check(self, language: str, content: str, place: str) -> None:
        """Do one block."""
        printed, self.printed = self.printed, None
        file = FILE_NAME.match(content)
        if file and language in {"toml", "python", "bash"}:
            path = self.folder / file[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        elif language in {"python", "setup"}:
            self._execute(content, place)
        elif language == "toml":
            _validate(tomllib.loads(content))
        elif language == "console":
            self._commands(content, place)
        elif language == "text":
            assert printed is not None, f"{place}: no Python block printed this"
            assert matches(content, printed), f"{place}: shown\n{content}\nprinted\n{printed}"

    def _execute(self, content: str, place: str) -> None:
        caught = io.StringIO()
        with contextlib.redirect_stdout(caught):
            exec(compile(content, place, "exec"), self.names)  # noqa: S102 - our own pages
        self.printed = caught.getvalue()

    def _commands(self, content: str, place: str) -> None:
        joined = content.replace("\\\n", " ")
        steps = [part.partition("\n") for part in re.split(r"^\$ ", joined, flags=re.MULTILINE)[1:]]
        assert steps, f"{place}: a console block needs a line that starts with '$ '"
        for number, (command, _, shown) in enumerate(steps):
            if command == "echo $?":
                assert shown.strip() == str(self.status), f"{place}: status {self.status}"
                continue
            came = self._run(command)
            told = number + 1 < len(steps) and steps[number + 1][0] == "echo $?"
            assert told or self.status == 0, f"{place}: {command}\n{came}"
            if shown.strip():
                assert matches(shown, came), f"{place}: {command}\nshown\n{shown}\ncame\n{came}"

    def _run(self, command: str) -> str:
        parts = [part.strip() for part in command.split("&&")]
        installed = [
            m[1] for p in parts if (m := re.match(r"python -m pip install -e \"?([^\[ \"]+)", p))
        ]
        for folder in installed:
            self._install(self.folder / folder)
        kept = [p for p in parts if not p.startswith(NOT_RUN) or p.startswith(PLUGIN_TESTS)]
        if not kept:
            self.status = 0
            return ""
        if len(kept) == 1 and PLAIN.fullmatch(kept[0]):
            return self._called(shlex.split(kept[0])[1:])
        command = " && ".join(kept).replace("python -m", f"{sys.executable} -m")
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.status = done.returncode
        return done.stdout

    def _called(self, words: list[str]) -> str:
        """Run the command line in this process: most of a short command's time is its imports."""
        caught = io.StringIO()
        with contextlib.redirect_stdout(caught), contextlib.redirect_stderr(caught):
            try:
                self.status = main(words)
            except SystemExit as ended:
                self.status = int(ended.code or 0)
        return caught.getvalue()

    def _install(self, folder: Path) -> None:
        """Do what an editable install does to a plugin, without asking pip for anything."""
        project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
        lines = [
            f"[{group}]\n{name} = {target}"
            for group, points in project["entry-points"].items()
            for name, target in points.items()
        ]
        info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        info.mkdir()
        (info / "entry_points.txt").write_text("\n".join(lines))
        told = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        (info / "METADATA").write_text(told)
        self.monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        self.monkeypatch.syspath_prepend(str(folder))


def _validate(fragment: dict[str, Any]) -> None:
    """Check some tables of a pipeline, or of an instrument file."""
    known = {f.alias or name for name, f in PipelineConfig.model_fields.items()}
    if set(fragment) <= known:
        load_pipeline({"schema": 1, "stage": [{"plugin": "sep"}], **fragment}, environment={})
    else:
        Instrument.model_validate({"name": "x", "title": "x", "source": "x", **fragment})


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_does_what_it_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = page.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    for variable in [name for name in os.environ if name.startswith("ASTROCLEAN_")]:
        monkeypatch.delenv(variable)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    reader = Reader(tmp_path, monkeypatch)
    for number, (language, content) in enumerate(blocks_of(text), 1):
        reader.check(language, content, f"{page.relative_to(ROOT)}, block {number}")


@pytest.mark.slow
@pytest.mark.parametrize("script", EXAMPLES, ids=lambda script: script.name)
def test_example_runs(script: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), "an example prints what it found"


@pytest.mark.slow
def test_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    try:
        import furo  # noqa: F401
        import myst_parser  # noqa: F401
        import numpydoc  # noqa: F401
        import sphinx  # noqa: F401
    except ImportError as error:
        problem = f"the documentation needs {error.name}; see requirements/test.txt"
        if os.environ.get("ASTROCLEAN_CI") == "1":
            pytest.fail(f"{problem}; it must be built where ASTROCLEAN_CI=1")
        pytest.skip(problem)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n"]
    done = subprocess.run(
        [*command, "-d", tmp_path / "doctrees", DOCS, tmp_path / "html"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    built = (tmp_path / "html" / "reference" / "mask_planes.html").read_text(encoding="utf-8")
    assert re.search("<td>.*COSMIC_RAY", built), "tables of the pages are tables"


@pytest.fixture(scope="module")
def tables() -> Iterator[ModuleType]:
    """Return the tool that writes the tables."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS)
        yield importlib.import_module("tables")


@pytest.mark.slow
def test_tables_are_those_of_the_code(tables: ModuleType) -> None:
    differences = {page.name: told for page in tables.PAGES if (told := tables.stale(page))}
    assert not differences, f"run `python docs/tables.py`: {differences}"


def test_a_page_that_is_not_current_is_told_and_mended(
    tables: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- generate: exits -->\n\nold\n<!-- end: exits -->\nafter\n")
    monkeypatch.setattr(tables, "PAGES", [page])
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    assert tables.tables(["--check"]) == 1
    told = capsys.readouterr().out
    assert told.startswith("page.md is not current\n")
    assert "\n-old\n+| status |" in told
    assert tables.tables([]) == 0
    assert tables.tables(["--check"]) == 0
    text = page.read_text()
    assert text.startswith("before\n")
    assert "| 130 | Ended by Ctrl-C" in text
    assert text.endswith("<!-- end: exits -->\nafter\n")


def _anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    without_code = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", without_code, flags=re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = sum(
            other == slug or re.fullmatch(f"{slug}-\\d+", other) is not None for other in found
        )
        found.add(f"{slug}-{number}" if number else slug)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_is_read_on_github(page: Path) -> None:
    """Links lead somewhere, and nothing is left that Sphinx alone would understand."""
    text = page.read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)|^\[[^]]+\]: (\S+)$", prose, flags=re.MULTILINE)
    for link in ("".join(pair) for pair in links):
        ours = link.removeprefix("https://github.com/astroclean/astroclean/blob/main/")
        if re.match(r"\w+:", ours):
            continue
        path, _, anchor = ours.partition("#")
        target = (ROOT if ours != link else page.parent) / path if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in _anchors(target.read_text(encoding="utf-8")), link
    if page.parent.name != "python" or page.name == "index.md":
        assert not re.search(r"^(```|:::)\{", text, flags=re.MULTILINE)
        assert not re.search(r"\{(doc|ref|term|py:\w+|class|func|mod|eval-rst)\}`", prose)


def test_shown_output_is_compared() -> None:
    """The comparison itself can fail."""
    assert matches("a ... c\n...\nz", "a b c\nmore\nand more\nz")
    assert matches("...\na", "a")
    assert not matches("a ... c", "a b d")
    assert not matches("a", "a\nb")
    assert not matches("1 done", "1 failed")
