"""Load the target that was listed with stevedore, past its cache of entry points."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

from stevedore.driver import DriverManager

if TYPE_CHECKING:
    from astroclean.registry.discover import PluginEntry

__all__ = ["load_listed"]


class _Listed(DriverManager):
    """A driver of one known entry point.

    stevedore keeps the entry points of all that is installed in the user's folder of caches. It
    knows times of change to some 128 s: of what is installed again sooner, it loads the old one.
    """

    def __init__(self, entry: PluginEntry) -> None:
        self._listed = metadata.EntryPoint(entry.name, entry.target, entry.group)
        super().__init__(entry.group, entry.name, on_load_failure_callback=_raise)

    def list_entry_points(self) -> list[metadata.EntryPoint]:
        """Return the one that was listed."""
        return [self._listed]


def load_listed(entry: PluginEntry) -> Any:
    """Import the target of an entry, whatever else was installed under its name before.

    Parameters
    ----------
    entry : PluginEntry
        As listed now.

    Returns
    -------
    object
        What it names.

    Raises
    ------
    BaseException
        Whatever the import raises.
    """
    return _Listed(entry).driver


def _raise(manager: Any, point: metadata.EntryPoint, error: BaseException) -> None:  # noqa: ARG001
    raise error
