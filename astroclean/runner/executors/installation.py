"""What results depend on besides inputs and options: versions and code, the same everywhere."""

from __future__ import annotations

import hashlib
import importlib.util
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from astroclean.core.configs import config_folders
from astroclean.inference.engines.engine import list_engines
from astroclean.registry.discover import list_plugins
from astroclean.report.environment import versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["differences", "installation"]

_ENGINES = ("openvino", "onnxruntime", "onnx", "torch", "keras", "tensorflow", "tensorflow-cpu")
_TEXTS = (".py", ".toml", ".json")
"""Code, manifests, cards of networks with the digests of their weights, calibrations."""
_ELSEWHERE = {"_configs", "_template"}
"""What a wheel has within the package, and a source tree beside it."""
_DIGITS = 12
_at_first: dict[str, str] = {}


def installation() -> dict[str, str]:
    """Return all that a worker must have in common with the process that runs.

    Returns
    -------
    dict of str to str
        Name of a library, engine, plugin, package or of the configurations, to its version or to
        a digest of its files. What was installed after this process had imported it is no longer
        what it runs, and is told as such.
    """
    plugins = list_plugins()
    found = {**versions(), **_engines()}
    for entry in plugins:
        found[f"plugin {entry.name}"] = f"{entry.distribution} {entry.version}"
    packages = {"astroclean", *(entry.target.split(":")[0].split(".")[0] for entry in plugins)}
    for package in sorted(packages):
        found[f"code of {package}"] = _as_imported(package, _digest(_files_of(package)))
    configurations = (p for folder in config_folders() for p in sorted(folder.rglob("*.toml")))
    return found | {"configurations": _digest(configurations)}


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """Return what differs between two installations, a text for each.

    Parameters
    ----------
    here, there : mapping of str to str
        From :func:`installation`: of the process that runs, and of a worker.

    Returns
    -------
    list of str
        Such as ``numpy 2.4.5 (here 2.4.6)``; empty where they are the same.
    """
    return [
        f"{name} {there.get(name, 'missing')} (here {here.get(name, 'missing')})"
        for name in sorted({*here, *there})
        if here.get(name) != there.get(name)
    ]


def _engines() -> dict[str, str]:
    """Return libraries that run networks; which are there decides which one ``auto`` takes."""
    found = {f"engine {name}": problem or "usable" for name, problem in list_engines().items()}
    for library in _ENGINES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found


def _files_of(package: str) -> Iterable[Path]:
    spec = importlib.util.find_spec(package)
    for folder in [] if spec is None else spec.submodule_search_locations or []:
        texts = (path for path in Path(folder).rglob("*") if path.suffix in _TEXTS)
        yield from sorted(path for path in texts if not _ELSEWHERE & set(path.parts))


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        # Names, not paths: it may be installed elsewhere.
        digest.update(f"{path.parent.name}/{path.name}\n".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:_DIGITS]


def _as_imported(package: str, digest: str) -> str:
    """Return a digest of the code that a process runs, and of that on disk where it is newer."""
    first = _at_first.setdefault(package, digest)
    return digest if digest == first else f"{first}, updated while the process lived to {digest}"
