"""Load one plugin, guarded: whatever its import does, the host lives and says what happened."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from pydantic import ValidationError

from astroclean.core.stage.needs import Identity
from astroclean.core.stage.options import StageOptions, option_problems
from astroclean.core.suggest import did_you_mean
from astroclean.errors import (
    ConfigurationError,
    PluginClashError,
    PluginLoadError,
    PluginNotFoundError,
)
from astroclean.registry.discover import KINDS_GROUP, PluginEntry, list_plugins, misplaced_plugins
from astroclean.registry.distributions import how_to_get, known_distributions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astroclean.core.stage.stage import Stage

__all__ = ["find_plugin", "load_stage", "load_stage_class", "make_stage"]


def find_plugin(name: str, entries: Sequence[PluginEntry] | None = None) -> PluginEntry:
    """Return the entry of a usable plugin.

    Parameters
    ----------
    name : str
        What users type.
    entries : sequence of PluginEntry, optional
        All that are installed, where they have been listed already.

    Returns
    -------
    PluginEntry
        Its entry, without problem.

    Raises
    ------
    PluginNotFoundError, PluginClashError, PluginLoadError
        Not installed; offered twice; wrong manifest.
    """
    entries = list_plugins() if entries is None else entries
    matching = [entry for entry in entries if entry.name == name]
    if not matching:
        raise _not_found(name, entries)
    if len(matching) > 1:
        raise PluginClashError(str(matching[0].problem))
    if matching[0].problem is not None:
        raise PluginLoadError(matching[0].problem)
    return matching[0]


def _not_found(name: str, entries: Sequence[PluginEntry]) -> PluginNotFoundError:
    remedy = next((str(e.problem) for e in misplaced_plugins() if e.name == name), None)
    remedy = remedy or how_to_get(name)
    if remedy is None:
        known = {entry.name for entry in entries}
        known.update(*(offers["plugins"] for offers in known_distributions().values()))
        remedy = f"{did_you_mean(name, known)} `astroclean plugins list` shows all installed ones."
    return PluginNotFoundError(f"no plugin '{name}' is installed", remedy=remedy)


def load_stage_class(entry: PluginEntry) -> type[Stage]:
    """Import a plugin and return its stage class.

    Parameters
    ----------
    entry : PluginEntry
        From :func:`find_plugin`.

    Returns
    -------
    type of Stage
        A subclass of the base class of its kind.

    Raises
    ------
    PluginLoadError
        Import failed in any way, or the target is not a stage of its kind.
    """
    from stevedore.driver import DriverManager  # noqa: PLC0415 - listing needs no stevedore
    from stevedore.exception import NoMatches  # noqa: PLC0415

    where = f"plugin '{entry.name}' of {entry.distribution}"
    # stevedore remembers a group for the life of the process; in a notebook, plugins come later.
    DriverManager.ENTRY_POINT_CACHE.pop(entry.group, None)
    try:
        loaded = DriverManager(
            entry.group,
            entry.name,
            on_load_failure_callback=_raise,
        ).driver
    except KeyboardInterrupt:
        raise
    # AssertionError and SystemExit pass through stevedore, and a plugin may raise anything.
    except BaseException as error:
        cause = error.__cause__ if isinstance(error, NoMatches) and error.__cause__ else error
        raise PluginLoadError(
            f"cannot be imported: {type(cause).__name__}: {cause}",
            where=where,
            remedy=f"Mend or uninstall {entry.distribution}; see `astroclean plugins doctor`.",
        ) from error
    base = _kind_class(entry.kind)
    if not (isinstance(loaded, type) and issubclass(loaded, base)):
        raise PluginLoadError(
            f"'{entry.target}' must be a subclass of {base.__name__}",
            where=where,
            received=repr(loaded),
        )
    if not issubclass(loaded.Options, StageOptions):
        raise PluginLoadError("`Options` must be a subclass of StageOptions", where=where)
    _check_version(loaded, entry, where)
    return loaded


_imported: WeakKeyDictionary[type[Stage], str] = WeakKeyDictionary()
"""Stage to the version of its distribution when it was first loaded here."""


def _check_version(loaded: type[Stage], entry: PluginEntry, where: str) -> None:
    """Refuse code that is older than what is installed: results would name the wrong version."""
    known = _imported.setdefault(loaded, entry.version)
    if known != entry.version:
        raise PluginLoadError(
            f"version {entry.version} was installed after this process had imported {known}",
            where=where,
            remedy="Start a new process (a notebook: its kernel; a cluster: its workers).",
        )


def _raise(manager: Any, point: metadata.EntryPoint, error: BaseException) -> None:  # noqa: ARG001
    raise error


def _kind_class(kind: str) -> type[Stage]:
    (point,) = metadata.entry_points(group=KINDS_GROUP, name=kind)
    loaded: type[Stage] = point.load()
    return loaded


def make_stage(
    stage_class: type[Stage], entry: PluginEntry, options: Mapping[str, Any], *, name: str
) -> Stage:
    """Validate options and construct a stage.

    Parameters
    ----------
    stage_class : type of Stage
        From :func:`load_stage_class`.
    entry : PluginEntry
        Its entry.
    options : mapping
        Option to value.
    name : str
        Name of the stage in its pipeline.

    Returns
    -------
    Stage
        Ready to run.

    Raises
    ------
    ConfigurationError
        Options are wrong; every problem is listed.
    """
    try:
        validated = stage_class.Options.model_validate(dict(options))
    except ValidationError as error:
        problems = option_problems(error, stage_class.Options, options)
        raise ConfigurationError(problems, where=f"stage '{name}'") from error
    return stage_class(validated, identity=Identity(name, entry.name, entry.version))


def load_stage(name: str, **options: Any) -> Stage:
    """Load a stage by the name of its plugin.

    Parameters
    ----------
    name : str
        Name of an installed plugin; ``astroclean plugins list`` shows all.
    **options
        Its options; ``astroclean schema options NAME`` shows them. Options that name a file also
        take the content: an array or a table.

    Returns
    -------
    Stage
        ``load_stage(name).run(frame)`` returns a :class:`StageResult`.

    Raises
    ------
    PluginError
        The plugin is not installed, clashes or is broken.
    ConfigurationError
        An option is wrong.
    """
    from astroclean.io.resources import load_resources  # noqa: PLC0415 - only stages with files

    entry = find_plugin(name)
    stage = make_stage(load_stage_class(entry), entry, options, name=name)
    loaded = load_resources(stage.options, base=Path.cwd())
    return type(stage)(loaded, identity=stage.identity)
