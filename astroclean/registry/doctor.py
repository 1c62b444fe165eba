"""Import every plugin, one after the other, and tell which are broken."""

from __future__ import annotations

from astroclean.errors import PluginError
from astroclean.registry.discover import PluginEntry, list_plugins, misplaced_plugins
from astroclean.registry.load import load_stage_class

__all__ = ["diagnose"]


def diagnose() -> list[tuple[PluginEntry, str | None]]:
    """Try to load every installed plugin.

    Returns
    -------
    list of (PluginEntry, str or None)
        Each plugin with its problem, None for one that works; and what is offered in a group of
        entry points that nobody looks into.
    """
    known = [(entry, entry.problem or _problem(entry)) for entry in list_plugins()]
    return [*known, *((entry, entry.problem) for entry in misplaced_plugins())]


def _problem(entry: PluginEntry) -> str | None:
    try:
        stage_class = load_stage_class(entry)
    except PluginError as error:
        return str(error)
    if entry.manifest is not None and stage_class.kind != entry.manifest.kind:
        return f"plugin '{entry.name}': stage is of kind '{stage_class.kind}'"
    return None
