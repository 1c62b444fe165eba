"""What tests of whole runs share: toy plugins, small exposures, the command line as a process."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits

import astroclean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from astroclean.report.model import RunReport

_HERE = Path(__file__).parent
TOYS = "astroclean_toys"


def install_toys(folder: Path) -> Path:
    """Lay out the toy distribution as pip would, so that a folder on the path offers it."""
    shutil.copytree(_HERE / TOYS, folder / TOYS, ignore=shutil.ignore_patterns("__pycache__"))
    project = tomllib.loads((_HERE / "pyproject.toml").read_text("utf-8"))["project"]
    info = folder / f"{TOYS}-{project['version']}.dist-info"
    info.mkdir()
    told = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(told, "utf-8")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in points.items()), ""]
    (info / "entry_points.txt").write_text("\n".join(lines), "utf-8")
    return folder


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder that offers the toy plugins when it is on the path."""
    return install_toys(tmp_path_factory.mktemp("toys"))


@pytest.fixture
def toys(toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Offer the toy plugins to this process and to those that it starts."""
    _forget_listings()
    monkeypatch.syspath_prepend(str(toy_folder))
    monkeypatch.setenv("PYTHONPATH", _path_with(toy_folder))
    yield toy_folder
    _forget_listings()


def _path_with(folder: Path) -> str:
    """Return the path of the environment with a folder in front: it may name the tree in test."""
    return os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))


def _forget_listings() -> None:
    """Drop what stevedore remembers of the plugins that were there before."""
    from stevedore.extension import ExtensionManager

    ExtensionManager.ENTRY_POINT_CACHE.clear()
    importlib.invalidate_caches()


@dataclass
class Ended:
    """A run of the command line that has ended."""

    status: int
    out: str
    err: str

    @property
    def failures(self) -> list[str]:
        """The lines that tell why a file failed."""
        start = "astroclean: failed: "
        return [
            line.removeprefix(start) for line in self.err.splitlines() if line.startswith(start)
        ]


@dataclass
class CommandLine:
    """``astroclean`` in a process of its own."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def start(self, *words: Any, **options: Any) -> subprocess.Popen[str]:
        """Start it; the caller waits."""
        return subprocess.Popen(
            [sys.executable, "-m", "astroclean", *map(str, words)],
            cwd=self.folder,
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def __call__(self, *words: Any, **options: Any) -> Ended:
        """Run it to its end."""
        with self.start(*words, **options) as process:
            try:
                out, err = process.communicate(timeout=120)
            except BaseException:
                process.kill()
                raise
        assert "Traceback" not in err, err
        return Ended(process.returncode, out, err)


@pytest.fixture
def cli(toy_folder: Path, tmp_path: Path) -> CommandLine:
    """The command line, with the toy plugins, started in ``tmp_path``."""
    return CommandLine(tmp_path, {"PYTHONPATH": _path_with(toy_folder)})


def sky(
    seed: int = 0, shape: tuple[int, ...] = (24, 32), dtype: str = "float32", hits: int = 5
) -> Any:
    """Return noise of 100 +- 5 with a few pixels of 5000."""
    rng = np.random.default_rng(seed)
    image = rng.normal(100, 5, shape)
    flat = image.reshape(-1)
    flat[rng.choice(flat.size, hits, replace=False)] = 5000
    return image.astype(dtype)


def write_fits(path: Path, *images: Any, names: tuple[str, ...] = (), **cards: Any) -> Path:
    """Write one image as primary HDU, or several as extensions ``SCI`` 1, 2, ..."""
    header = fits.Header({"BUNIT": "adu", **cards})
    if len(images) == 1 and not names:
        fits.PrimaryHDU(images[0], header).writeto(path, overwrite=True)
        return path
    hdus: list[Any] = [fits.PrimaryHDU()]
    for number, image in enumerate(images, 1):
        name = names[number - 1] if names else "SCI"
        hdus.append(fits.ImageHDU(image, header, name=name, ver=1 if names else number))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def write_pipeline(path: Path, *stages: str, tables: str = "", report: bool = False) -> Path:
    """Write a pipeline; a stage is ``plugin`` or ``plugin: key = value, key = value``."""
    lines = ["schema = 1", 'instrument = "generic-ccd"', ""]
    for stage in stages:
        plugin, _, options = stage.partition(":")
        lines += ["[[stage]]", f'plugin = "{plugin}"', f"options = {{ {options.strip()} }}", ""]
    if "[products]" not in tables:
        tables += f"\n[products]\nreport = {str(report).lower()}\n"
    path.write_text("\n".join([*lines, tables]), "utf-8")
    return path


def digests(folder: Path) -> dict[str, str]:
    """Return the files that a run leaves for its user (not its own record) with their hashes."""
    own = {"run.json", "report.html"}
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name not in own
    }


def report_of(folder: Path) -> dict[str, Any]:
    """Return ``run.json``."""
    told: dict[str, Any] = json.loads((folder / "run.json").read_text("utf-8"))
    return told


def statuses(folder: Path) -> dict[str, str]:
    """Return the name of each input with how it ended."""
    return {Path(f["input"]).name: f["status"] for f in report_of(folder)["files"]}


def wait_for(holds: Callable[[], bool], *, seconds: float = 60) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def unfinished(folder: Path) -> list[Path]:
    """Return whatever a run should have cleared away."""
    inside = [p for p in (folder / ".astroclean" / "scratch").rglob("*") if p.is_file()]
    return inside + list(folder.glob(".*unfinished*"))


def processes_of(session: int) -> list[int]:
    """Return the living processes that were started under one of our runs."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = path.read_text("ascii", "replace").rsplit(")", 1)[1].split()
        except OSError:
            continue
        state, own = after_name[0], int(after_name[3])
        if own == session and state not in "ZX":
            found.append(int(path.parent.name))
    return found


def write_batch(raw: Path) -> None:
    """Write five small files, and one of three frames, into a new folder."""
    raw.mkdir()
    for number in range(5):
        write_fits(raw / f"x{number}.fits", sky(number, dtype=("int16", "float32")[number % 2]))
    write_fits(raw / "mosaic.fits", *(sky(20 + n) for n in range(3)))


def run(folder: Path, *stages: Any, inputs: Any = "x.fits", **tables: Any) -> RunReport:
    """Run stages on files of a folder, into ``out`` there."""
    listed = [inputs] if isinstance(inputs, str) else inputs
    products = {"report": False, **tables.pop("products", {})}
    settings = tables.pop("settings", ())
    config = {
        "schema": 1,
        "instrument": {"name": "generic-ccd", **tables.pop("instrument", {})},
        "stage": [{"plugin": s} if isinstance(s, str) else s for s in stages],
        "products": products,
        **tables,
    }
    paths = [str(folder / name) for name in listed]
    return astroclean.run(config, paths, output=folder / "out", settings=settings)


def hdu_names(path: Path) -> list[str]:
    with fits.open(path) as hdus:
        return [hdu.name for hdu in hdus]
