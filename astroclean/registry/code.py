"""The code of plugins: a digest of it, and whether a process still runs what is on disk."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["before_import", "code_as_imported", "code_on_disk", "digest_of_files", "package_of"]

_TEXTS = (".py", ".toml", ".json")
"""Code, manifests, cards of networks with the digests of their weights, calibrations."""
_ELSEWHERE = {"_configs", "_template"}
"""What a wheel has within the package, and a source tree beside it."""
_DIGITS = 12
_at_first: dict[str, str] = {}


def package_of(target: str) -> str:
    """Return the top-level package of ``module:Class``."""
    module, _, _ = target.partition(":")
    return module.partition(".")[0]


def code_on_disk(package: str) -> str:
    """Return a digest of the texts of a package, code and data, as they are on disk now.

    Parameters
    ----------
    package : str
        Top-level package, or module that is a file of its own. It is not imported.
    """
    return digest_of_files(_files_of(package))


def code_as_imported(package: str) -> str:
    """Return the digest of what this process has imported, or of what it found when it first asked.

    Parameters
    ----------
    package : str
        As for :func:`code_on_disk`.
    """
    if package not in _at_first:
        _at_first[package] = code_on_disk(package)
    return _at_first[package]


def before_import(package: str) -> None:
    """Take the digest of a package that is about to be imported; nothing where it has been."""
    if package not in sys.modules:
        _at_first[package] = code_on_disk(package)


def digest_of_files(paths: Iterable[Path]) -> str:
    """Return a digest of names and contents, the same wherever they are installed.

    Parameters
    ----------
    paths : iterable of Path
        Files, in an order that does not depend on the folder.
    """
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.parent.name}/{path.name}\n".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:_DIGITS]


def _files_of(package: str) -> Iterable[Path]:
    spec = importlib.util.find_spec(package)
    if spec is None:
        return
    if spec.submodule_search_locations is None and spec.has_location and spec.origin:
        yield Path(spec.origin)
    for folder in spec.submodule_search_locations or []:
        texts = (path for path in Path(folder).rglob("*") if path.suffix in _TEXTS)
        yield from sorted(path for path in texts if not _ELSEWHERE & set(path.parts))
