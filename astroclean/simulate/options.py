"""Options of a simulator as text names them: its keyword parameters and the fields of its config.

A simulator declares options by having them: keyword parameters with annotations beside ``seed``
and ``shape``. Where one is called ``config`` and is a model
(`astroclean.core.stage.options.Options`) or a dataclass, its fields are options too, and theirs
below them: ``psf.fwhm``, ``chances.trails``.
"""

from __future__ import annotations

import functools
import inspect
from dataclasses import MISSING, fields, is_dataclass
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from pydantic import BaseModel, Field, ValidationError, create_model

from astroclean.core.stage.options import Options, option_problems, unknown_option
from astroclean.errors import AstrocleanError, ConfigurationError, PluginLoadError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
    config = _config_in(hints.pop(_CONFIG, None))
    model = _model_of(simulator, hints, config)
    defaults = model.model_construct().model_dump(warnings=False)
    problems: list[str] = []
    given = _nested(settings, problems)
    merged = _laid_over(defaults, given, problems)
    try:
        valid = model.model_validate(merged)
    except ValidationError as error:
        problems += option_problems(error, model, merged)
    if problems:
        raise ConfigurationError(problems)
    keywords = {name: getattr(valid, name) for name in hints if name in given}
    if config is not None and given.keys() - hints.keys():
        names = model.model_fields.keys() - hints.keys()
        keywords[_CONFIG] = config(**{name: getattr(valid, name) for name in names})
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
        hints = get_type_hints(simulator, include_extras=True)
    except NameError as error:
        raise PluginLoadError(
            f"its options cannot be read: the annotation {error.name} is not imported",
            where=f"simulator {simulator!r}",
        ) from error
    parameters = inspect.signature(simulator).parameters
    return {n: hint for n, hint in hints.items() if n in parameters and n not in _GIVEN}


def _config_in(hint: Any) -> Any:
    """Return the model or dataclass within ``X | None``; None where there is none."""
    if isinstance(hint, type):
        return hint if issubclass(hint, BaseModel) or is_dataclass(hint) else None
    return next((found for part in get_args(hint) if (found := _config_in(part))), None)


def _model_of(simulator: Simulator, hints: dict[str, Any], config: Any) -> type[BaseModel]:
    """Return one model of the keyword parameters and the fields of the config."""
    parameters = inspect.signature(simulator).parameters
    options: dict[str, Any] = {n: (hint, parameters[n].default) for n, hint in hints.items()}
    if config is None or issubclass(config, BaseModel):
        return create_model("Simulator", __base__=config or Options, **options)
    of_fields = get_type_hints(config, include_extras=True)
    for one in fields(config):
        made = one.default_factory
        default = one.default if made is MISSING else Field(default_factory=made)
        options[one.name] = (of_fields[one.name], default)
    return create_model("Simulator", __base__=Options, **options)


def _nested(settings: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    """Return tables for names with dots; a name that is a table and a value is a problem."""
    given: dict[str, Any] = {}
    for name, value in settings.items():
        *above, last = name.split(".")
        table = given
        for key in above:
            table = table.setdefault(key, {})
            if not isinstance(table, dict):
                problems.append(f"{name}: '{key}' is set as a whole, too")
                break
        else:
            if isinstance(table.get(last), dict) and not isinstance(value, dict):
                problems.append(f"{name}: options below it are set, too")
            elif isinstance(value, dict):
                table[last] = {**value, **table.get(last, {})}
            else:
                table[last] = value
    return given


def _laid_over(
    table: Mapping[str, Any],
    given: Mapping[str, Any],
    problems: list[str],
    path: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Return a table with values set, those that it has; an empty table takes any name."""
    merged = dict(table)
    for key, value in given.items():
        place = (*path, key)
        if table and key not in table:
            problems.append(unknown_option(place, table))
        elif isinstance(value, dict) and isinstance(table.get(key), dict):
            merged[key] = _laid_over(table[key], value, problems, place)
        else:
            merged[key] = value
    return merged
