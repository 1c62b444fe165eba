"""`Evaluation`: how a kind of stage is scored; each kind brings its own by an entry point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

from astroclean.core.sources.points import load_point, point_names
from astroclean.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astroclean.core.image.frame import Frame
    from astroclean.core.image.frameset import FrameSet
    from astroclean.core.stage.results import StageResult
    from astroclean.core.stage.stage import Stage
    from astroclean.evaluation.figure import Panel
    from astroclean.evaluation.table import Column, Row
    from astroclean.simulate.scene import Scene, Simulator

__all__ = [
    "SIMULATORS_GROUP",
    "Evaluation",
    "JudgesJointly",
    "JudgesSets",
    "Poolable",
    "Trial",
    "evaluated_kinds",
    "find_evaluation",
    "find_simulator",
    "nothing_to_inject",
]

EVALUATIONS_GROUP = "astroclean.evaluations"
SIMULATORS_GROUP = "astroclean.simulators"


@dataclass(frozen=True, eq=False)
class Trial:
    """What one plugin made of one scene, of one band."""

    scene: Scene
    stage: Stage
    frame: Frame
    """What the plugin was given."""
    result: StageResult
    sweep: tuple[StageResult, ...] = ()
    """The same with other values of one option."""
    band: str = ""
    """Name of the band, in a scene of several."""


@runtime_checkable
class Poolable(Protocol):
    """What ``measure`` may return, so that memory does not grow with the number of scenes."""

    def pooled(self, other: Self) -> Self:
        """Return what was measured on the scenes of both."""


@runtime_checkable
class JudgesSets(Protocol):
    """What an evaluation has beside the rest where it judges the bands of a field together.

    Others judge every band for itself, and all bands pooled.
    """

    def inject_set(self, frames: FrameSet, *, seed: int) -> Scene:
        """Return a scene of several bands with known truth added to frames of the user."""

    def measure_set(self, trials: Mapping[str, Trial]) -> Any:
        """Return what is kept of the trials of all bands; of the type that ``measure`` returns."""


@runtime_checkable
class JudgesJointly(Protocol):
    """What an evaluation has beside the rest where bands of a field may have one truth for all.

    There is then one result, that of the first band, and no row of a band for itself. A plugin of
    frames is given the first band alone.
    """

    def has_joint_truth(self, scene: Scene) -> bool:
        """Return whether that is so of a scene."""

    def measure_joint(self, scene: Scene, trials: Mapping[str, Trial]) -> Any:
        """Return what is kept of the trials of a scene; the scene is that of all bands."""


class Evaluation(Protocol):
    """Scores the stages of one kind; entry points in group ``astroclean.evaluations``.

    A class without arguments, named by its kind. Nothing of a scene is kept but what ``measure``
    returns, so any number of scenes can be pooled.
    """

    simulator: str
    """Simulator that is used unless another is named."""
    columns: tuple[Column, ...]
    """Every measure that rows may have."""

    def present(self, scene: Scene, stage: Stage) -> Frame:
        """Return the frame that a stage is given: without truth, but with what it may ask for."""

    def inject(self, frame: Frame, *, seed: int) -> Scene:
        """Return a scene with known truth added to a frame of the user."""

    def measure(self, trial: Trial) -> Any:
        """Return what is kept of a trial; what is `Poolable` is pooled scene by scene."""

    def rows(self, measured: Sequence[Any]) -> list[Row]:
        """Return the rows of one plugin from what was measured on all scenes."""

    def panels(self, measured: Sequence[Any]) -> list[Panel]:
        """Return what the figure shows of one plugin; panels with the same axes are joined."""


def evaluated_kinds() -> tuple[str, ...]:
    """Return the kinds that have an evaluation; nothing is imported."""
    return point_names(EVALUATIONS_GROUP)


def find_evaluation(kind: str) -> Evaluation:
    """Return the evaluation of a kind.

    Parameters
    ----------
    kind : str
        Such as ``mask``.

    Returns
    -------
    Evaluation
        Ready to use.

    Raises
    ------
    ConfigurationError
        The kind has none.
    PluginLoadError
        It cannot be imported.
    """
    made: Evaluation = load_point(EVALUATIONS_GROUP, kind, "no evaluation for kind")()
    return made


def find_simulator(name: str) -> Simulator:
    """Return a simulator by its name.

    Parameters
    ----------
    name : str
        An entry point in group ``astroclean.simulators``.

    Returns
    -------
    Simulator
        A function of ``seed`` and ``shape``.

    Raises
    ------
    ConfigurationError
        None of that name is installed.
    PluginLoadError
        It cannot be imported.
    """
    simulator: Simulator = load_point(SIMULATORS_GROUP, name, "no simulator")
    return simulator


def nothing_to_inject(frame: Frame, what: str) -> ConfigurationError:
    """Return the error of an evaluation whose truth cannot be added to a real frame.

    Parameters
    ----------
    frame : Frame
        The real one.
    what : str
        That cannot be added, such as ``no truth for `deconvolve```.
    """
    return ConfigurationError(
        f"{frame.frame_id}: {what} can be added to a real frame; leave out `--frames`"
    )
