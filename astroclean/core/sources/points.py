"""Load what an entry point names, with errors that say which one."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from astroclean.core.suggest import did_you_mean
from astroclean.errors import ConfigurationError, PluginLoadError

__all__ = ["load_point", "plugin_packages", "point_names"]

_KINDS = "astroclean.kinds"


def point_names(group: str) -> tuple[str, ...]:
    """Return the names of a group, sorted; nothing is imported."""
    return tuple(sorted({point.name for point in metadata.entry_points(group=group)}))


def plugin_packages() -> frozenset[str]:
    """Return the top-level packages of all installed plugins; nothing is imported."""
    groups = [f"astroclean.{kind}" for kind in point_names(_KINDS)]
    return frozenset(
        point.value.partition(":")[0].partition(".")[0]
        for group in groups
        for point in metadata.entry_points(group=group)
    )


def load_point(group: str, name: str, problem: str) -> Any:
    """Return what an entry point names.

    Parameters
    ----------
    group, name : str
        Where it is.
    problem : str
        What to say where it is not, before its name.

    Returns
    -------
    object
        Imported.

    Raises
    ------
    ConfigurationError
        Not installed.
    PluginLoadError
        Cannot be imported.
    """
    points = {point.name: point for point in metadata.entry_points(group=group)}
    if name not in points:
        names = ", ".join(sorted(points)) or "none"
        hint = did_you_mean(name, points)
        told = f"{problem} '{name}'. {hint} Installed: {names}."
        raise ConfigurationError(" ".join(told.split()))
    try:
        return points[name].load()
    except Exception as error:
        raise PluginLoadError(
            f"cannot be imported: {type(error).__name__}: {error}",
            where=f"entry point '{name}' of group '{group}' ({points[name].value})",
        ) from error
