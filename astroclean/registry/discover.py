"""List plugins from entry-point metadata and manifests, importing none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from astroclean.core.sources.points import point_names
from astroclean.core.suggest import did_you_mean
from astroclean.errors import PluginLoadError
from astroclean.registry.manifest import PluginManifest, find_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["PluginEntry", "kind_names", "list_plugins", "misplaced_plugins"]

KINDS_GROUP = "astroclean.kinds"
_OTHER_GROUPS = tuple(
    f"astroclean.{name}"
    for name in ("engines", "evaluations", "simulators", "trainers", "truths", "weights")
)
_LIKE_OURS = re.compile(r"astro[-_ ]?clean([-_. ]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class PluginEntry:
    """One plugin as installed."""

    name: str
    kind: str
    distribution: str
    version: str
    target: str
    """``module:Class``, imported on use."""
    manifest: PluginManifest | None
    """None where ``problem`` says why."""
    problem: str | None = None
    """What keeps the plugin from being used."""

    @property
    def group(self) -> str:
        """The entry-point group."""
        return f"astroclean.{self.kind}"


def kind_names() -> tuple[str, ...]:
    """Return the names of all kinds, in order of installation metadata."""
    return point_names(KINDS_GROUP)


def list_plugins(kind: str | None = None) -> tuple[PluginEntry, ...]:
    """List the installed plugins. None is imported; broken ones are listed with their problem.

    Parameters
    ----------
    kind : str, optional
        Only this kind.

    Returns
    -------
    tuple of PluginEntry
        Sorted by kind and name. Plugins of the same name carry a problem that names both.
    """
    found = [
        _entry(name, point)
        for name in kind_names()
        for point in _unique(metadata.entry_points(group=f"astroclean.{name}"))
    ]
    entries = (_without_clash(entry, found) for entry in found)
    chosen = (entry for entry in entries if kind in (None, entry.kind))
    return tuple(sorted(chosen, key=lambda e: (e.kind, e.name, e.distribution)))


def misplaced_plugins() -> tuple[PluginEntry, ...]:
    """List what is offered in groups such as ``astroclean.maskers``, which nobody looks into.

    Returns
    -------
    tuple of PluginEntry
        Each with a problem that names the group that was meant.
    """
    known = {KINDS_GROUP, *_OTHER_GROUPS, *(f"astroclean.{kind}" for kind in kind_names())}
    points = metadata.entry_points()
    return tuple(
        _misplaced(point, known)
        for group in sorted(points.groups)
        if _LIKE_OURS.match(group) and group not in known
        for point in _unique(points.select(group=group))
    )


def _misplaced(point: metadata.EntryPoint, known: Iterable[str]) -> PluginEntry:
    distribution = point.dist.name if point.dist else "unknown"
    version = point.dist.version if point.dist else "unknown"
    problem = (
        f"plugin '{point.name}' of {distribution} is not found: its group of entry points is "
        f"'{point.group}', which is none of astroclean's. {did_you_mean(point.group, known)}"
    )
    kind = point.group.removeprefix("astroclean.")
    return PluginEntry(point.name, kind, distribution, version, point.value, None, problem)


def _unique(points: Iterable[metadata.EntryPoint]) -> list[metadata.EntryPoint]:
    """Drop repetitions of one distribution, which an editable install beside a path can give."""
    seen = {(p.name, p.value, p.dist.name if p.dist else ""): p for p in points}
    return list(seen.values())


def _entry(kind: str, point: metadata.EntryPoint) -> PluginEntry:
    distribution = point.dist.name if point.dist else "unknown"
    version = point.dist.version if point.dist else "unknown"
    manifest, problem = None, None
    try:
        manifest = find_manifest(point.value.split(":")[0].split(".")[0], point.name)
        if manifest.kind != kind:
            problem = f"manifest says kind '{manifest.kind}', entry point says '{kind}'"
    except PluginLoadError as error:
        problem = str(error)
    return PluginEntry(point.name, kind, distribution, version, point.value, manifest, problem)


def _without_clash(entry: PluginEntry, every: list[PluginEntry]) -> PluginEntry:
    rivals = [other for other in every if other.name == entry.name and other is not entry]
    if not rivals:
        return entry
    owners = sorted(f"{e.distribution} ({e.target})" for e in (entry, *rivals))
    problem = f"name clash: '{entry.name}' is offered by {' and '.join(owners)}; uninstall one"
    return PluginEntry(
        entry.name, entry.kind, entry.distribution, entry.version, entry.target, None, problem
    )
