"""The folder of a training: its recipe, log, checkpoint, best weights and results."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from astroclean.errors import ConfigurationError, OutputError
from astroclean.io.scratch.atomic import atomic_text
from astroclean.training.trainer import SCHEDULE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from astroclean.training.trainer import Recipe

__all__ = ["TrainingFolder"]

_RECIPE, _LOG, _STATE = "recipe.json", "log.jsonl", "state.json"
_CHECKPOINT, _BEST = "checkpoint", "best"


class TrainingFolder:
    """Where a training keeps what it needs to go on.

    Parameters
    ----------
    path : Path
        Made where it is missing.

    Raises
    ------
    OutputError
        The folder cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot be made: {error.strerror}", where=str(path)) from error

    def claim(self, plugin: str, recipe: Recipe) -> None:
        """Write the recipe; refuse a folder in which another training was begun.

        Parameters
        ----------
        plugin : str
            What is trained.
        recipe : Recipe
            How.

        Raises
        ------
        ConfigurationError
            The folder's training has another recipe; each key that differs is listed.
        """
        wanted = {"plugin": plugin, **recipe.model_dump(mode="json")}
        file = self.path / _RECIPE
        if file.is_file() and self.checkpoint() is not None:
            begun = json.loads(file.read_text("utf-8"))
            keys = [key for key in {**begun, **wanted} if key not in SCHEDULE]
            problems = [
                f"{key}: begun with {begun.get(key)!r}, now {wanted.get(key)!r}"
                for key in keys
                if begun.get(key) != wanted.get(key)
            ]
            if problems:
                told = "begin anew with `--restart`, or name another folder with `--out`"
                raise ConfigurationError([*problems, told], where=str(self.path))
        atomic_text(file, json.dumps(wanted, indent=2) + "\n")

    def clear(self) -> None:
        """Forget what was trained here; other files stay."""
        for name in (_CHECKPOINT, _old(_CHECKPOINT), _BEST, _old(_BEST)):
            shutil.rmtree(self.path / name, ignore_errors=True)
        for name in (_RECIPE, _LOG):
            (self.path / name).unlink(missing_ok=True)

    def append(self, entry: Mapping[str, Any]) -> None:
        """Add a line to the log."""
        with (self.path / _LOG).open("a", encoding="utf-8") as log:
            log.write(json.dumps(dict(entry)) + "\n")

    def entries(self) -> list[dict[str, Any]]:
        """Return the lines of the log."""
        file = self.path / _LOG
        return [json.loads(line) for line in file.read_text("utf-8").splitlines() if line]

    def shorten(self, step: int) -> None:
        """Remove what was logged after a step: an interrupted training takes these steps again."""
        if (self.path / _LOG).is_file():
            kept = [json.dumps(entry) for entry in self.entries() if entry["step"] <= step]
            atomic_text(self.path / _LOG, "".join(f"{line}\n" for line in kept))

    def keep(self, state: Mapping[str, Any], save: Callable[[Path], None]) -> None:
        """Write a checkpoint; the one before it stays until the new one is whole."""
        self._replace(_CHECKPOINT, state, save)

    def keep_best(self, state: Mapping[str, Any], save: Callable[[Path], None]) -> None:
        """Write the weights that scored best so far."""
        self._replace(_BEST, state, save)

    def checkpoint(self) -> Path | None:
        """Return the folder of the last whole checkpoint, or None."""
        return self._found(_CHECKPOINT)

    def best(self) -> Path | None:
        """Return the folder of the best weights, or None."""
        return self._found(_BEST)

    @staticmethod
    def state(folder: Path) -> dict[str, Any]:
        """Return what `keep` was told."""
        loaded: dict[str, Any] = json.loads((folder / _STATE).read_text("utf-8"))
        return loaded

    def _found(self, name: str) -> Path | None:
        for folder in (self.path / name, self.path / _old(name)):
            if (folder / _STATE).is_file():
                return folder
        return None

    def _replace(self, name: str, state: Mapping[str, Any], save: Callable[[Path], None]) -> None:
        fresh, last, old = (self.path / part for part in (f"{name}.new", name, _old(name)))
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        save(fresh)
        # The state comes last: a folder without it is not whole.
        atomic_text(fresh / _STATE, json.dumps(dict(state)) + "\n")
        shutil.rmtree(old, ignore_errors=True)
        if last.exists():
            last.rename(old)
        fresh.rename(last)
        shutil.rmtree(old, ignore_errors=True)


def _old(name: str) -> str:
    return f"{name}.old"
