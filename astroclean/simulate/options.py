"""Options of a simulator as text names them: its keyword parameters and the fields of its config.

A simulator declares options by having them: keyword parameters with annotations beside ``seed``
and ``shape``. Where one is called ``config`` and is a dataclass, its fields are options too, and
theirs below them: ``psf.fwhm``, ``chances.trails``.
"""

from __future__ import annotations

import functools
import inspect
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from astroclean.core.suggest import did_you_mean
from astroclean.errors import AstrocleanError, ConfigurationError, PluginLoadError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import ValidationError

    from astroclean.simulate.scene import Scene, Simulator

__all__ = ["configured"]

_GIVEN = ("seed", "shape", "return")
_CONFIG = "config"


def configured(simulator: Simulator, settings: Mapping[str, Any]) -> Simulator:
    """Return a simulator with options set.

    Parameters
    ----------
    simulator : Simulator
        With keyword parameters beside ``seed`` and ``shape``.
    settings : mapping of str to object
        Option to value, such as ``{"psf.fwhm": [2, 3], "data": "hits"}``. A table sets what is
        below it.

    Returns
    -------
    Simulator
        The same where nothing is set.

    Raises
    ------
    ConfigurationError
        With every option that is not known, or not of its type.
    PluginLoadError
        The annotations of the simulator name what its module does not import.
    """
    if not settings:
        return simulator
    hints = _hints(simulator)
    config = _dataclass_in(hints.pop(_CONFIG, None))
    defaults = asdict(config()) if config else {}
    tree: dict[str, Any] = {**dict.fromkeys(hints), **defaults}
    problems: list[str] = []
    changed = set()
    for name, value in settings.items():
        changed.add(name.partition(".")[0])
        _enter(tree, name.split("."), value, name, problems)
    if problems:
        raise ConfigurationError(problems)
    keywords = {name: _valid(hints[name], tree[name], name) for name in hints if name in changed}
    if config and changed & defaults.keys():
        keywords[_CONFIG] = _valid(config, {name: tree[name] for name in defaults})
    return functools.partial(_simulated, simulator, keywords)


def _simulated(
    simulator: Callable[..., Scene], keywords: dict[str, Any], *, seed: int, shape: tuple[int, int]
) -> Scene:
    """Run a simulator; a value of the right type that it cannot use is told as such."""
    try:
        return simulator(seed=seed, shape=shape, **keywords)
    except (AstrocleanError, ImportError):
        raise
    except Exception as error:
        told = f"the simulator fails with these options: {type(error).__name__}: {error}"
        raise ConfigurationError(told) from error


def _hints(simulator: Simulator) -> dict[str, Any]:
    try:
        hints = get_type_hints(simulator)
    except NameError as error:
        raise PluginLoadError(
            f"its options cannot be read: the annotation {error.name} is not imported",
            where=f"simulator {simulator!r}",
        ) from error
    parameters = inspect.signature(simulator).parameters
    return {n: hint for n, hint in hints.items() if n in parameters and n not in _GIVEN}


def _dataclass_in(hint: Any) -> Any:
    """Return the dataclass within ``X | None``; None where there is none."""
    if isinstance(hint, type):
        return hint if is_dataclass(hint) else None
    return next((found for part in get_args(hint) if (found := _dataclass_in(part))), None)


def _enter(
    tree: dict[str, Any], path: list[str], value: Any, told: str, problems: list[str]
) -> None:
    """Set a value in a tree of the defaults; what is not there is a problem."""
    key, *rest = path
    if key not in tree:
        problems.append(f"no option '{told}'. {did_you_mean(key, tree)}".rstrip())
    elif isinstance(tree[key], dict) and rest:
        _enter(tree[key], rest, value, told, problems)
    elif isinstance(tree[key], dict) and isinstance(value, dict):
        for inner, one in value.items():
            _enter(tree[key], [inner], one, f"{told}.{inner}", problems)
    elif rest:
        problems.append(f"'{told}': there is nothing below '{key}'")
    else:
        tree[key] = value


def _valid(hint: Any, value: Any, name: str = "") -> Any:
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 - a run may set nothing

    try:
        return TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        raise ConfigurationError(_explained(error, name)) from error


def _explained(error: ValidationError, name: str) -> list[str]:
    lines = []
    for item in error.errors(include_url=False):
        path = ".".join(str(part) for part in (*([name] if name else []), *item["loc"]))
        message = item["msg"].removeprefix("Value error, ")
        lines.append(f"'{path}': {message[:1].lower()}{message[1:]} (got {item['input']!r})")
    return lines
