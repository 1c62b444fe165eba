"""Where the state of a field before each stage is kept, for ``--from``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astroclean.errors import ConfigurationError
from astroclean.runner.work.states import load_states, save_states

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from astroclean.core.image.frame import Frame
    from astroclean.runner.output.folder import OutputFolder
    from astroclean.runner.plan.units import Unit
    from astroclean.runner.work.state import FrameState

__all__ = ["is_saved", "saved_state", "saver"]


def saver(
    unit: Unit, folder: OutputFolder, number: int
) -> Callable[[str, Mapping[str, FrameState]], None] | None:
    """Return what keeps the state of a field before each stage; None where none is to be kept.

    Parameters
    ----------
    unit : Unit
        Whose field.
    folder : OutputFolder
        Output folder.
    number : int
        Of the field.
    """
    if not unit.plans[0].pipeline.config.run.keep_stages:
        return None
    places, scratch = _places(unit, folder, number), folder.scratch

    def save(name: str, states: Mapping[str, FrameState]) -> None:
        save_states(places[name], states, scratch=scratch)

    return save


def saved_state(
    unit: Unit, folder: OutputFolder, number: int, start: str, before: Mapping[str, Frame]
) -> dict[str, FrameState]:
    """Return the state of a field before a stage.

    Parameters
    ----------
    unit, folder, number
        As for :func:`saver`.
    start : str
        Name of the stage.
    before : mapping of str to Frame
        Band to the frame as read from the input.

    Raises
    ------
    ConfigurationError
        None was kept with these options.
    """
    path = _places(unit, folder, number)[start]
    if not path.exists():
        raise ConfigurationError(
            f"--from {start}: the stages before it have not been saved for "
            f"{unit.name} with these options; run with `--set run.keep_stages=true` first"
        )
    return load_states(path, before)


def is_saved(unit: Unit, folder: OutputFolder) -> bool:
    """Return whether the states before all stages of a unit have been kept."""
    return all(
        path.is_file() and not path.is_symlink()
        for number in range(unit.fields)
        for path in _places(unit, folder, number).values()
    )


def _places(unit: Unit, folder: OutputFolder, number: int) -> dict[str, Path]:
    """Return stage name to the file in which the state of a field before it is kept."""
    kept = folder.stages
    named = zip(unit.plans[0].specs, unit.prefix_keys, strict=True)
    return {spec.name: kept / f"{key[:32]}-{number}.npz" for spec, key in named}
