"""Packages that a training needs: all of them are looked for before its first step."""

from __future__ import annotations

import os
from importlib import metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from astroclean.errors import PluginError
from astroclean.training.trainer import TRAINERS_GROUP

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_packages", "missing_packages"]

_EXTRA = "train"
"""Extra of a plugin's distribution with what its training needs."""
_BACKENDS = {"tensorflow": "tensorflow", "torch": "torch", "jax": "jax"}
"""Backend of Keras, as `$KERAS_BACKEND` has it, to the distribution that brings it."""


def check_packages(name: str) -> None:
    """Refuse a training that would end hours later, at its export, for want of a package.

    Parameters
    ----------
    name : str
        Of the trainer. One that is not installed is left to `find_trainer`.

    Raises
    ------
    PluginError
        With every package that is missing or too old, and the command that brings them.
    """
    point = next(iter(metadata.entry_points(group=TRAINERS_GROUP, name=name)), None)
    if point is None or point.dist is None:
        return
    missing = list(missing_packages(point.dist.name))
    if missing:
        raise PluginError(
            f"needs {', '.join(missing)}",
            where=f"training of '{name}'",
            remedy=f"Install what is missing: `python -m pip install "
            f"'{point.dist.name}[{_EXTRA}]'`.",
        )


def missing_packages(distribution: str) -> Iterator[str]:
    """Yield what the training of a distribution's networks needs and is not there, in words."""
    for need in dict.fromkeys(map(str, _needs(distribution, _EXTRA, {(distribution, _EXTRA)}))):
        requirement = Requirement(need)
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            # Others build the same package under another name, such as tensorflow-cpu.
            if find_spec(requirement.name.replace("-", "_")) is None:
                yield f"{requirement.name} (not installed)"
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            yield f"{requirement.name}{requirement.specifier} ({version} is installed)"


def _needs(distribution: str, extra: str, seen: set[tuple[str, str]]) -> Iterator[Requirement]:
    """Yield the requirements of an extra; in place of other extras, theirs."""
    try:
        told = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return
    for text in told:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or marker.evaluate({"extra": ""}):
            continue  # of every installation
        if not marker.evaluate({"extra": extra}):
            continue  # of another extra or platform
        for inner in sorted(requirement.extras):
            if (requirement.name, inner) not in seen:
                seen.add((requirement.name, inner))
                yield from _needs(requirement.name, inner, seen)
        requirement.marker = None
        if not requirement.extras:
            yield _with_backend(requirement)


def _with_backend(requirement: Requirement) -> Requirement:
    """Return the backend of Keras that is asked for in place of the usual one."""
    backend = os.environ.get("KERAS_BACKEND", "")
    if requirement.name == "tensorflow" and backend in _BACKENDS and backend != "tensorflow":
        return Requirement(_BACKENDS[backend])
    return requirement
