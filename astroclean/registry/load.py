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
from astroclean.registry.code import (
    before_import,
    code_as_imported,
    code_on_disk,
    package_of,
)
from astroclean.registry.discover import KINDS_GROUP, PluginEntry, list_plugins, misplaced_plugins
from astroclean.registry.distributions import how_to_get, known_distributions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astroclean.core.stage.stage import Stage

__all__ = ["find_plugin", "load_stage", "load_stage_class", "make_stage", "require_current_code"]


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
    from astroclean.registry.driver import load_listed  # noqa: PLC0415 - listing needs no stevedore

    where = f"plugin '{entry.name}' of {entry.distribution}"
    try:
        before_import(package_of(entry.target))
        loaded = load_listed(entry)
    except KeyboardInterrupt:
        raise
    # AssertionError and SystemExit pass through stevedore, and a plugin may raise anything.
    except BaseException as error:
        raise PluginLoadError(
            f"cannot be imported: {type(error).__name__}: {error}",
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


_NEW_PROCESS = "Start a new process (a notebook: its kernel; a cluster: its workers)."
_imported: WeakKeyDictionary[type[Stage], str] = WeakKeyDictionary()
"""Stage to the version of its distribution when it was first loaded here."""


def _check_version(loaded: type[Stage], entry: PluginEntry, where: str) -> None:
    """Refuse code that is older than what is installed: results would name the wrong version."""
    known = _imported.setdefault(loaded, entry.version)
    if known != entry.version:
        raise PluginLoadError(
            f"version {entry.version} was installed after this process had imported {known}",
            where=where,
            remedy=_NEW_PROCESS,
        )


def require_current_code(entry: PluginEntry) -> None:
    """Refuse a plugin of which this process has older code than there is on disk.

    A result would go on record with code that did not make it.

    Parameters
    ----------
    entry : PluginEntry
        Of a plugin that :func:`load_stage_class` has loaded.

    Raises
    ------
    PluginLoadError
        Its files were changed since.
    """
    package = package_of(entry.target)
    if code_on_disk(package) != code_as_imported(package):
        raise PluginLoadError(
            f"the code of '{package}' was changed after this process had imported it",
            where=f"plugin '{entry.name}' of {entry.distribution}",
            remedy=_NEW_PROCESS,
        )


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
    code = code_as_imported(package_of(entry.target))
    return stage_class(validated, identity=Identity(name, entry.name, entry.version, code))


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
