"""Write a new plugin distribution from the template."""

from __future__ import annotations

import re
from pathlib import Path

import astroclean
from astroclean.errors import ConfigurationError
from astroclean.registry.discover import kind_names, list_plugins

__all__ = ["template_folder", "write_plugin"]

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def template_folder() -> Path:
    """Return the folder of the template: in the installed package, or in a source checkout."""
    package = Path(astroclean.__file__).resolve().parent
    bundled = package / "_template"
    return bundled if bundled.is_dir() else package.parent / "plugins" / "template"


def write_plugin(name: str, *, kind: str, parent: Path) -> Path:
    """Write a distribution with one plugin that works and passes the contract tests.

    Parameters
    ----------
    name : str
        Name of the plugin: lower-case letters, digits and ``-``.
    kind : str
        Kind of stage.
    parent : Path
        Folder in which ``astroclean-NAME`` is made.

    Returns
    -------
    Path
        The new folder.

    Raises
    ------
    ConfigurationError
        The name is not usable or taken, the kind unknown or without template, or the folder
        is there.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"'{name}' is no plugin name: lower-case letters, digits and '-', as in my-masker"
        )
    if kind not in kind_names():
        raise ConfigurationError(f"no kind '{kind}'; known: {', '.join(kind_names())}")
    taken = [entry for entry in list_plugins() if entry.name == name]
    if taken:
        raise ConfigurationError(f"'{name}' is already a plugin of {taken[0].distribution}")
    stage_template = template_folder() / "stages" / f"{kind}.py"
    if not stage_template.is_file():
        raise ConfigurationError(f"there is no template for the kind '{kind}'")
    folder = parent / f"astroclean-{name}"
    if folder.exists():
        raise ConfigurationError(f"{folder} is already there; choose another name or folder")
    module = name.replace("-", "_")
    words = {
        "PLUGIN_NAME": name,
        "PLUGIN_KIND": kind,
        "PLUGIN_MODULE": module,
        "PLUGIN_CLASS": "".join(part.capitalize() for part in name.split("-")),
        "KIND_CONTRACT": _contract(kind),
    }
    package = folder / f"astroclean_{module}"
    for source, target in {
        "pyproject.toml": folder / "pyproject.toml",
        "README.md": folder / "README.md",
        "package/__init__.py": package / "__init__.py",
        "package/py.typed": package / "py.typed",
        "package/manifest.toml": package / "manifest.toml",
        f"stages/{kind}.py": package / "stage.py",
        "tests/test_contract.py": folder / "tests" / "test_contract.py",
    }.items():
        _fill(template_folder() / source, target, words)
    return folder


def _contract(kind: str) -> str:
    return {
        "calibrate": "CalibratorContract",
        "screen": "ScreenerContract",
        "mask": "MaskerContract",
        "remove": "SourceRemoverContract",
        "deblend": "DeblenderContract",
        "deconvolve": "DeconvolverContract",
        "superres": "SuperResolverContract",
    }.get(kind, "StageContract")


def _fill(source: Path, target: Path, words: dict[str, str]) -> None:
    text = source.read_text(encoding="utf-8")
    for word, meant in words.items():
        text = text.replace(word, meant)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
