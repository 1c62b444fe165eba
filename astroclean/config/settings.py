"""What environment and ``--set`` set, and where what they say cannot be meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from astroclean.config.places import OF_COMMAND_LINE
from astroclean.config.schema import SECTIONS
from astroclean.core.configs import toml_value
from astroclean.core.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Setting", "from_environment", "from_settings"]

ENVIRONMENT_PREFIX = "ASTROCLEAN_"


@dataclass(frozen=True)
class Setting:
    """A value for a key of a table, or an option of a stage."""

    target: str
    """Name of a stage, or a table."""
    key: str
    """With dots where it is within a table."""
    value: Any
    origin: str

    def into(self, table: Any) -> None:
        """Set the key; what is no table is left for the validation to name."""
        *above, last = self.key.split(".")
        for key in above:
            if not isinstance(table, dict):
                return
            inner = table.get(key, {})
            table[key] = dict(inner) if isinstance(inner, dict) else inner
            table = table[key]
        if isinstance(table, dict):
            table[last] = self.value


def from_environment(
    environment: Mapping[str, str], names: Sequence[str], notes: list[str]
) -> list[Setting]:
    """Return what variables such as ``ASTROCLEAN_LACOSMIC__NITER`` set.

    Parameters
    ----------
    environment : mapping of str to str
        Variables.
    names : sequence of str
        Of the stages.
    notes : list of str
        Gains what is for no stage.
    """
    targets = {name.upper().replace("-", "_"): name for name in (*SECTIONS, *names)}
    found = []
    for variable, text in sorted(environment.items()):
        stage, separator, key = variable.removeprefix(ENVIRONMENT_PREFIX).partition("__")
        if not variable.startswith(ENVIRONMENT_PREFIX) or not separator:
            continue
        if stage not in targets:
            notes.append(f"environment variable {variable} is for no stage of this pipeline")
            continue
        origin = f"environment {variable}"
        found.append(Setting(targets[stage], key.lower(), toml_value(text), origin))
    return found


def from_settings(
    settings: Sequence[str],
    stages: Sequence[tuple[str, str]],
    problems: list[str],
    *,
    options_of: Callable[[str], frozenset[str]],
) -> list[Setting]:
    """Return what ``--set`` sets.

    Parameters
    ----------
    settings : sequence of str
        ``stage.key=value`` or ``table.key=value``.
    stages : sequence of (str, str)
        Name and plugin of each.
    problems : list of str
        Gains what cannot be meant, with the form that can.
    options_of : callable
        Gives the options of a plugin; called for hints alone.
    """
    names = [name for name, _ in stages]
    found = []
    for text in settings:
        path, equals, value = (part.strip() for part in text.partition("="))
        target, dot, key = path.partition(".")
        if target == "stage" and dot:  # as the file has it
            target, dot, key = key.partition(".")
        key = key.removeprefix("options.") if target not in SECTIONS else key
        if not equals or not dot or not all(part.strip() for part in key.split(".")):
            form = _form(target, value, stages, options_of)
            problems.append(f"--set {text}: must read stage.key=value{form}")
        elif target not in (*SECTIONS, *names):
            named = [name for name, plugin in stages if plugin == target]
            hint = (
                f"The stage{'s' if len(named) > 1 else ''} of that plugin: write "
                f"{' or '.join(f'--set {name}.{key}={value}' for name in named)}."
                if named
                else did_you_mean(target, (*names, *SECTIONS))
            )
            problems.append(f"--set {text}: no stage or table '{target}'. {hint}".rstrip())
        else:
            found.append(Setting(target, key, toml_value(value), OF_COMMAND_LINE))
    return found


def _form(
    word: str,
    value: str,
    stages: Sequence[tuple[str, str]],
    options_of: Callable[[str], frozenset[str]],
) -> str:
    """Return an example of what a setting without a stage or without a key may mean."""
    value = value or "..."
    if word in SECTIONS:
        return f"; as in {word}.name=decam" if word == "instrument" else f"; as in {word}.key=..."
    having = [name for name, plugin in stages if word in options_of(plugin)]
    if having:
        return f"; as in {' or '.join(f'{name}.{word}={value}' for name in having)}"
    return f"; the stages are {', '.join(name for name, _ in stages)}" if stages else ""
