"""`astroclean --print-completion SHELL`: what a shell needs to complete verbs, flags and files."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["SHELLS", "PrintCompletion"]

SHELLS = ("bash", "zsh", "tcsh")

_FILES = ("CONFIG", "FILE", "FILE.toml", "FRAME", "INPUT", "RUN.json")
_FOLDERS = ("DIR",)
"""Metavariables of arguments that are paths; a pipeline may also be a name."""


class PrintCompletion(argparse.Action):
    """Print the script of a shell and end; ``build`` gives the parser with all verbs."""

    def __init__(
        self,
        option_strings: Sequence[str],
        dest: str,
        *,
        build: Callable[[], argparse.ArgumentParser],
        **settings: Any,
    ) -> None:
        settings = {**settings, "choices": SHELLS, "default": argparse.SUPPRESS}
        super().__init__(option_strings, dest, **settings)
        self._build = build

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,  # noqa: ARG002 - argparse's signature
        values: str | Sequence[Any] | None,
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        """Print and end."""
        import shtab  # noqa: PLC0415 - optional extra

        complete = self._build()
        for action in _actions(complete):
            if action.metavar in _FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
            elif action.metavar in _FOLDERS:
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        print(shtab.complete(complete, shell=str(values)))
        parser.exit()


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a parser and of all its verbs."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no public list of them
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for verb in action.choices.values():
                yield from _actions(verb)
        else:
            yield action
