"""Give the same scenes to several plugins and pool what is measured."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from astroclean.core.image.frameset import FrameSet
from astroclean.errors import AstrocleanError, ConfigurationError, StageError
from astroclean.evaluation.evaluation import JudgesJointly, JudgesSets, Poolable, Trial
from astroclean.evaluation.figure import Panel, merged_panels
from astroclean.evaluation.table import Column, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.results import StageResult
    from astroclean.core.stage.stage import Stage
    from astroclean.evaluation.evaluation import Evaluation
    from astroclean.simulate.scene import Scene

__all__ = ["SPEED", "TIME", "Contestant", "Verdict", "hold_contest"]

SPEED = Column("speed", "pixels a second, in this run on this machine", "Mpix/s", ".2f")
TIME = Column("time", "seconds a scene, likewise", "s", ".2f")


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
        Made one at a time and dropped. Of those of several bands a stage gets the bands together,
        where it takes them so, else one by one; either is scored joined and band by band. Where
        bands have one truth for all (`JudgesJointly`), it is scored once.
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
    kept = [_Kept() for _ in contestants]
    seconds, pixels, count = [0.0] * len(contestants), [0] * len(contestants), 0
    for scene in scenes:
        count += 1
        given = _catalogued(scene, catalogue)
        for index, contestant in enumerate(contestants):
            stage = contestant.stage
            bands = _bands_for(stage, scene, evaluation)
            frames = {b: evaluation.present(given[b], stage) for b in bands}
            pixels[index] += sum(frame.data.size for frame in frames.values())
            _check_needs(contestant, frames)
            begun = time.perf_counter()
            results = _run(stage, frames)
            seconds[index] += time.perf_counter() - begun
            sweep = [_run(other, frames) for other in contestant.sweep]
            trials = {
                band: Trial(
                    scene.by_band[band], stage, frames[band], result,
                    tuple(other[band] for other in sweep), band,
                )
                for band, result in results.items()
            }  # fmt: skip
            kept[index].keep(evaluation, scene, trials)
    rows, panels = [], []
    for contestant, own, spent, seen in zip(contestants, kept, seconds, pixels, strict=True):
        speed = {SPEED.name: seen / 1e6 / spent, TIME.name: spent / count} if spent else {}
        rows += [
            replace(row, plugin=contestant.label, values={**row.values, **speed})
            for row in own.rows(evaluation)
        ]
        panels += [panel.labeled(contestant.label) for panel in evaluation.panels(own.joint)]
    return Verdict(tuple(rows), merged_panels(panels))


@dataclass(eq=False)
class _Kept:
    """What is kept of the trials of one plugin."""

    joint: list[Any] = field(default_factory=list)
    """Of every scene, the bands of each together."""
    bands: dict[str, list[Any]] = field(default_factory=dict)
    """Of each band for itself, where scenes have several."""

    def keep(self, evaluation: Evaluation, scene: Scene, trials: Mapping[str, Trial]) -> None:
        """Measure the trials of one scene."""
        if isinstance(evaluation, JudgesJointly) and evaluation.has_joint_truth(scene):
            _add(self.joint, evaluation.measure_joint(scene, trials))
            return
        measured = {band: evaluation.measure(trial) for band, trial in trials.items()}
        for band, one in measured.items():
            if band:
                _add(self.bands.setdefault(band, []), one)
        if "" not in trials and isinstance(evaluation, JudgesSets):
            _add(self.joint, evaluation.measure_set(trials))
        else:
            for one in measured.values():
                _add(self.joint, one)

    def rows(self, evaluation: Evaluation) -> list[Row]:
        """Return the joint rows, then those of each band."""
        return evaluation.rows(self.joint) + [
            replace(row, of=f"{band}: {row.of}")
            for band, own in self.bands.items()
            for row in evaluation.rows(own)
        ]


def _bands_for(stage: Stage, scene: Scene, evaluation: Evaluation) -> tuple[str, ...]:
    """Return the bands that a stage is given: the first alone where it would answer for each."""
    bands = tuple(scene.by_band)
    joint = isinstance(evaluation, JudgesJointly) and evaluation.has_joint_truth(scene)
    return bands[:1] if joint and "set" not in stage.accepts else bands


def _add(kept: list[Any], new: Any) -> None:
    """Keep what was measured; what can be pooled is, so that memory does not grow with scenes."""
    if kept and isinstance(new, Poolable):
        kept[:] = [kept[0].pooled(new)]
    else:
        kept.append(new)


def _catalogued(scene: Scene, catalogue: Stage | None) -> dict[str, Scene]:
    """Put the sources of a deblender into the frames, those of the scene where there is none."""
    scenes = scene.by_band
    told = {b: one.sources if one.catalogue is None else one.catalogue for b, one in scenes.items()}
    if catalogue is not None:
        results = _run(catalogue, {band: one.frame for band, one in scenes.items()})
        told = {band: results[band].frame.sources for band in scenes}
    return {
        band: replace(one, frame=one.frame.replace(sources=told[band]))
        for band, one in scenes.items()
    }


def _run(stage: Stage, frames: Mapping[str, Frame]) -> dict[str, StageResult]:
    """Run a stage; whatever it raises becomes an error that names it."""
    try:
        if "" in frames:
            return {"": stage.run(frames[""])}
        return stage.run_set(FrameSet(frames))
    except AstrocleanError:
        raise
    except Exception as error:
        names = ", ".join(frame.frame_id for frame in frames.values())
        raise StageError(
            f"{type(error).__name__}: {error}",
            where=f"{names}, stage '{stage.name}'",
            remedy="This is a fault of the plugin.",
        ) from error


def _check_needs(contestant: Contestant, frames: Mapping[str, Frame]) -> None:
    """Name what is missing before the stage does, with what this verb offers."""
    if "" in frames and "frame" not in contestant.stage.accepts:
        raise ConfigurationError(
            f"{contestant.label} works on several bands together, and {frames[''].frame_id} is "
            "one: give `--set simulator.bands=g,r`, or `--set bands.g='*_g.fits'` and so on with "
            "`--frames`"
        )
    for frame in frames.values():
        _check_frame(contestant, frame)


def _check_frame(contestant: Contestant, frame: Frame) -> None:
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
