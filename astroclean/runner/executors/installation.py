"""What results depend on besides inputs and options: versions and code, the same everywhere."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

from astroclean.core.configs import config_folders
from astroclean.inference.engines.engine import list_engines
from astroclean.registry.code import (
    code_as_imported,
    code_on_disk,
    digest_of_files,
    package_of,
)
from astroclean.registry.discover import list_plugins
from astroclean.report.environment import versions

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["differences", "installation"]

_ENGINES = ("openvino", "onnxruntime", "onnx", "torch", "keras", "tensorflow", "tensorflow-cpu")


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
    packages = {"astroclean", *(package_of(entry.target) for entry in plugins)}
    for package in sorted(packages):
        found[f"code of {package}"] = _as_imported(package)
    configurations = (p for folder in config_folders() for p in sorted(folder.rglob("*.toml")))
    return found | {"configurations": digest_of_files(configurations)}


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


def _as_imported(package: str) -> str:
    """Return a digest of the code that a process runs, and of that on disk where it is newer."""
    first, now = code_as_imported(package), code_on_disk(package)
    return now if now == first else f"{first}, updated while the process lived to {now}"
