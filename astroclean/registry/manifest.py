"""What a plugin declares: ``manifest.toml`` in its package, read without importing it."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from astroclean.errors import PluginLoadError

__all__ = ["API_VERSION", "Citation", "PluginManifest", "find_manifest"]

API_VERSION = 1
"""Version of the contract between core and plugins. Raised when a plugin must be changed."""


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Citation(_Declared):
    """A work to cite when the plugin was used."""

    key: str
    """Key of the BibTeX entry."""
    bibtex: str
    """The whole entry."""


class PluginManifest(_Declared):
    """Declaration of one plugin: a ``[[plugin]]`` table of ``manifest.toml``."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    """What users type."""
    kind: str
    """Kind of stage, the suffix of its entry-point group."""
    summary: str
    """One line for listings."""
    api: int
    """Version of the plugin contract that it was written for."""
    license: str
    """SPDX identifier of the code."""
    needs: tuple[str, ...] = ()
    """Frame fields and planes that it cannot do without, for listings."""
    provides: tuple[str, ...] = ()
    """Frame fields and planes that later stages find, for listings."""
    citation: tuple[Citation, ...] = ()
    """Works to cite."""


class _ManifestFile(_Declared):
    plugin: tuple[PluginManifest, ...]


def find_manifest(package: str, name: str) -> PluginManifest:
    """Read the manifest of a plugin without importing its package.

    Parameters
    ----------
    package : str
        Top-level import name of the plugin's distribution.
    name : str
        Name of the plugin (its entry point).

    Returns
    -------
    PluginManifest
        The declaration.

    Raises
    ------
    PluginLoadError
        No such package or file, malformed, no table for this plugin, or another API version.
    """
    where = f"plugin '{name}' of package '{package}'"
    manifest = _manifest_of(package, where)
    try:
        declared = _ManifestFile.model_validate(tomllib.loads(manifest.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PluginLoadError(f"manifest.toml cannot be read: {error}", where=where) from error
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        problem = "manifest.toml is wrong: " + "; ".join(lines)
        raise PluginLoadError(problem, where=where) from error
    for plugin in declared.plugin:
        if plugin.name == name:
            return _of_this_api(plugin, where)
    raise PluginLoadError(
        "manifest.toml has no [[plugin]] of this name",
        where=where,
        received=", ".join(p.name for p in declared.plugin),
        remedy="Entry point and manifest must agree.",
    )


def _manifest_of(package: str, where: str) -> Path:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError) as error:
        raise PluginLoadError(f"package cannot be located: {error}", where=where) from error
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    for folder in folders:
        path = Path(folder) / "manifest.toml"
        if path.is_file():
            return path
    raise PluginLoadError(
        "no manifest.toml in the package",
        where=where,
        remedy="Reinstall the distribution; its author should ship the file as package data.",
    )


def _of_this_api(plugin: PluginManifest, where: str) -> PluginManifest:
    if plugin.api != API_VERSION:
        side = "the plugin" if plugin.api < API_VERSION else "astroclean"
        raise PluginLoadError(
            f"written for plugin API {plugin.api}, this astroclean has {API_VERSION}",
            where=where,
            remedy=f"Update {side}.",
        )
    return plugin
