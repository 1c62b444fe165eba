"""Give the same scenes to several plugins and pool what is measured."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from astroclean.errors import AstrocleanError, ConfigurationError, StageError
from astroclean.evaluation.evaluation import Poolable, Trial
from astroclean.evaluation.figure import Panel, merged_panels
from astroclean.evaluation.table import Column, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from astroclean.core.frame import Frame
    from astroclean.core.results import StageResult
    from astroclean.core.stage import Stage
    from astroclean.evaluation.evaluation import Evaluation
    from astroclean.simulate.scene import Scene

__all__ = ["SPEED", "Contestant", "Verdict", "hold_contest"]

SPEED = Column("speed", "pixels a second, in this run on this machine", "Mpix/s", ".2f")


@dataclass(frozen=True, eq=False)
class Contestant:
    """A plugin with its options."""

    label: str
    stage: Stage
    sweep: tuple[Stage, ...] = ()
    """The same with other values of one option; they make its curve."""


@dataclass(frozen=True)
class Verdict:
    """What a contest found."""

    rows: tuple[Row, ...]
    panels: tuple[Panel, ...]


def hold_contest(
    evaluation: Evaluation,
    contestants: Sequence[Contestant],
    scenes: Iterable[Scene],
    *,
    catalogue: Stage | None = None,
) -> Verdict:
    """Score plugins on the same scenes.

    Parameters
    ----------
    evaluation : Evaluation
        Of their kind.
    contestants : sequence of Contestant
        In the order of the table.
    scenes : iterable of Scene
        Made one at a time and dropped.
    catalogue : Stage, optional
        A deblender whose sources stages are given in place of the true ones.

    Returns
    -------
    Verdict
        Rows, plugin by plugin, and the panels of the figure, with all plugins in each.

    Raises
    ------
    ConfigurationError
        A plugin needs what the scenes do not have.
    AstrocleanError
        A plugin failed.
    """
    measured: list[list[Any]] = [[] for _ in contestants]
    seconds, pixels = [0.0] * len(contestants), 0
    for scene in scenes:
        pixels += scene.frame.data.size
        given = _catalogued(scene, catalogue)
        for index, contestant in enumerate(contestants):
            frame = evaluation.present(given, contestant.stage)
            _check_needs(contestant, frame)
            begun = time.perf_counter()
            result = _run(contestant.stage, frame)
            seconds[index] += time.perf_counter() - begun
            sweep = tuple(_run(stage, frame) for stage in contestant.sweep)
            trial = Trial(scene, contestant.stage, frame, result, sweep)
            _keep(measured[index], evaluation.measure(trial))
    rows, panels = [], []
    for contestant, kept, spent in zip(contestants, measured, seconds, strict=True):
        speed = {SPEED.name: pixels / 1e6 / spent} if spent else {}
        rows += [
            replace(row, plugin=contestant.label, values={**row.values, **speed})
            for row in evaluation.rows(kept)
        ]
        panels += [panel.labeled(contestant.label) for panel in evaluation.panels(kept)]
    return Verdict(tuple(rows), merged_panels(panels))


def _keep(kept: list[Any], new: Any) -> None:
    """Keep what was measured; what can be pooled is, so that memory does not grow with scenes."""
    if kept and isinstance(new, Poolable):
        kept[:] = [kept[0].pooled(new)]
    else:
        kept.append(new)


def _catalogued(scene: Scene, catalogue: Stage | None) -> Scene:
    """Put the sources of a deblender into the frame, those of the scene where there is none."""
    told = scene.sources if scene.catalogue is None else scene.catalogue
    sources = told if catalogue is None else _run(catalogue, scene.frame).frame.sources
    return replace(scene, frame=scene.frame.replace(sources=sources))


def _run(stage: Stage, frame: Frame) -> StageResult:
    """Run a stage; whatever it raises becomes an error that names it."""
    try:
        return stage.run(frame)
    except AstrocleanError:
        raise
    except Exception as error:
        raise StageError(
            f"{type(error).__name__}: {error}",
            where=f"{frame.frame_id}, stage '{stage.name}'",
            remedy="This is a fault of the plugin.",
        ) from error


def _check_needs(contestant: Contestant, frame: Frame) -> None:
    """Name what is missing before the stage does, with what this verb offers."""
    remedies = {
        "psf": "give `--psf FILE`, `--psf estimate` or `--psf-fwhm WIDTH`",
        "sources": "give `--with PLUGIN`, a deblender",
        "segmentation": "give `--with PLUGIN`, a deblender that makes a segmentation",
    }
    for name in sorted(contestant.stage.needs().fields & remedies.keys()):
        held = frame.sources is not None and frame.sources.segmentation is not None
        present = held if name == "segmentation" else getattr(frame, name) is not None
        if not present:
            raise ConfigurationError(
                f"{contestant.label} needs '{name}', which {frame.frame_id} does not have: "
                f"{remedies[name]}"
            )
