"""Find the configuration files that come with astroclean, or the user's own before them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from astroclean.core.regular import is_there, kind_of_special, read_text
from astroclean.core.suggest import did_you_mean
from astroclean.core.toml import TomlError, parsed_toml
from astroclean.errors import ConfigurationError

__all__ = [
    "config_folders",
    "find_config",
    "is_name",
    "list_configs",
    "read_toml",
    "toml_value",
]

_LARGEST = 4 << 20  # bytes
_PACKAGE = Path(__file__).resolve().parents[1]


def config_folders() -> list[Path]:
    """Return the folders searched for named configurations, first match wins.

    Returns
    -------
    list of Path
        ``$ASTROCLEAN_CONFIG`` (several joined by the path separator), then the bundled folder.
    """
    own = [Path(part) for part in os.environ.get("ASTROCLEAN_CONFIG", "").split(os.pathsep) if part]
    bundled = _PACKAGE / "_configs"
    # In a source checkout the bundled folder has not been copied into the package.
    return [*own, bundled if bundled.is_dir() else _PACKAGE.parent / "configs"]


def list_configs(category: str) -> dict[str, Path]:
    """Return all named configurations of a category.

    Parameters
    ----------
    category : str
        Sub-folder of ``configs/``: ``instruments``, ``pipelines`` or ``conventions``.

    Returns
    -------
    dict of str to Path
        Name (file stem) to file, sorted by name.
    """
    found: dict[str, Path] = {}
    for folder in config_folders():
        for path in sorted((folder / category).glob("*.toml")):
            found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def find_config(category: str, name: str) -> Path:
    """Return the file of a named configuration; a value with ``/`` or ``.toml`` is a path.

    Parameters
    ----------
    category : str
        As for :func:`list_configs`.
    name : str
        Name or path.

    Returns
    -------
    Path
        An existing file.

    Raises
    ------
    ConfigurationError
        No such file.
    """
    if not is_name(name):
        path = Path(name)
        if kind_of_special(path) is not None:
            kind = kind_of_special(path)
            raise ConfigurationError(f"is {kind}, not a regular file", where=name)
        if not is_there(path):
            raise ConfigurationError("no such file; check the path", where=name)
        return path
    known = list_configs(category)
    if name not in known:
        hint = did_you_mean(name, known)
        raise ConfigurationError(f"no configuration '{name}' in {category}. {hint}")
    return known[name]


def is_name(text: str) -> bool:
    """Whether a text names a configuration; one with ``/`` or ``.toml`` is a path."""
    return "/" not in text and not text.endswith(".toml")


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict
        Its tables.

    Raises
    ------
    ConfigurationError
        The file cannot be read or is not TOML; the message gives line and column.
    """
    try:
        return parsed_toml(read_text(path, limit=_LARGEST))
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}"
        raise ConfigurationError(problem, where=str(path)) from error
    except UnicodeDecodeError as error:
        problem = "not UTF-8 text; a pipeline is a TOML file"
        raise ConfigurationError(problem, where=str(path)) from error
    except TomlError as error:
        raise ConfigurationError(f"not valid TOML: {error}", where=str(path)) from error


def toml_value(text: str) -> Any:
    """Return what a text spells in TOML, or the text itself where it spells nothing.

    Parameters
    ----------
    text : str
        From a command line or the environment, such as ``4``, ``[1, 2]``, ``true`` or ``gauss``.

    Returns
    -------
    object
        The value.
    """
    try:
        return parsed_toml(f"value = {text}")["value"]
    except TomlError:
        return text
