"""`Field`: one frame, or the bands of one sky, through the stages in chunks of rows.

There is one loop. A frame that fits into memory is one chunk; a larger one is read by rows, with
those above and below that can influence them, goes through the stages of a pass, and leaves its own
rows on scratch disk for the next pass. Where every stage is local but for what it surveyed, the
result is that of the whole frame to the byte.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from astroclean.core.stage.scope import measure, scope_of
from astroclean.runner.plan.chunks import ChunkRows, Pass
from astroclean.runner.work.field_frames import FieldFrames
from astroclean.runner.work.finish import FinishedFrame
from astroclean.runner.work.joined_sources import JoinedSources
from astroclean.runner.work.remarks import Remarks
from astroclean.runner.work.stages import faults_named, run_stages, with_psf
from astroclean.runner.work.state import Account
from astroclean.runner.work.states import load_states, save_states
from astroclean.runner.work.statestore import HeldState, Images, StateStore
from astroclean.runner.work.under_way import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.results import Score
    from astroclean.core.stage.scope import Survey
    from astroclean.core.stage.stage import Stage
    from astroclean.runner.plan.plan import FilePlan
    from astroclean.runner.plan.psf_source import PsfSource
    from astroclean.runner.work.field_frames import Origin
    from astroclean.runner.work.state import FrameState, FrameWork
    from astroclean.runner.work.statestore import Store, Target

    Save = Callable[[str, Mapping[str, FrameState]], None]
    """Called before each stage with its name and the states, to keep them."""

__all__ = ["Field", "Progress"]


@dataclass(frozen=True, eq=False)
class Progress:
    """How far a field in chunks has come, for another process; its pixels lie on scratch disk."""

    stores: Mapping[str, Store]
    skies: Mapping[str, tuple[float, float] | None]
    surveys: Mapping[str, Account]
    psfs: Mapping[str, PsfSource | None]
    """Band to where its PSF comes from, measured where it is to be."""
    measured: Mapping[str, Mapping[str, Any]]
    """Band and stage to what its survey found, for the pass that comes."""


class Field:
    """What goes through the stages together: a frame, or the bands of one sky.

    Parameters
    ----------
    origins : mapping of str to Origin
        Band to where its frame comes from; a single frame has one band of any name.
    plan : FilePlan
        How frames are cut, and what is kept of them.
    folder : Path
        Empty folder on scratch disk, for frames that do not fit into memory.
    """

    def __init__(self, origins: Mapping[str, Origin], plan: FilePlan, folder: Path) -> None:
        self.frames = FieldFrames(origins, is_cut=plan.chunks is not None)
        self._folder, self._watch = folder, Watch(plan.input, folder)
        self._keep = frozenset(plan.pipeline.config.products.keep)
        self._plan = plan.chunks
        self._passes = list(plan.chunks.passes if plan.chunks is not None else ())
        self._stores: dict[str, Store] = {band: HeldState() for band in origins}
        self._aside: Path | None = None
        self._surveys = dict.fromkeys(origins, Account())
        """What was said, and the time that was taken, while frames were surveyed."""

    @property
    def scores(self) -> list[Mapping[str, Score]]:
        """What screening stages answered so far, band by band."""
        if self._plan is not None:
            return [store.account.scores for store in self._stores.values()]
        return [state.account.scores for state in self._states(self.frames.before()).values()]

    def before(self) -> dict[str, Frame]:
        """Return the frames as they are in the file, where they fit into memory."""
        return self.frames.before()

    def begin_with(self, states: Mapping[str, FrameState]) -> None:
        """Take up frames where an earlier run left them."""
        self._stores = {band: HeldState(state) for band, state in states.items()}

    def set_aside(self) -> None:
        """Hold nothing in memory until the field is needed again."""
        if self._plan is None:
            path = self._folder / "aside.npz"
            self._folder.mkdir(parents=True, exist_ok=True)
            save_states(path, self._states(self.frames.before()), scratch=self._folder)
            self._stores, self._aside = {}, path
            self.frames.forget()

    def through(self, stages: Sequence[Stage], save: Save | None = None) -> None:
        """Take the frames through some stages; they stay where the next pass finds them."""
        for rows, group in self._grouped(stages):
            self._pass_on(rows, group, save)

    def finished(
        self,
        stages: Sequence[Stage],
        *,
        all_stages: Sequence[Stage],
        pictures: bool,
        save: Save | None,
    ) -> list[FrameWork]:
        """Take the frames through the last stages; return what is left of each band.

        Parameters
        ----------
        stages : sequence of Stage
            Those that are left.
        all_stages : sequence of Stage
            Those and the ones before.
        pictures : bool
            Whether to draw previews for the report.
        save : callable, optional
            As for :meth:`through`.
        """
        *earlier, (rows, last) = self._grouped(stages) or [(self._one_chunk(0), [])]
        for chunk_rows, group in earlier:
            self._pass_on(chunk_rows, group, save)
        ends = {band: self._new_end(band) for band in self.frames.origins}
        self._take(rows, last, ends, save)
        return self.works(ends, all_stages, pictures=pictures)

    def works(
        self, ends: Mapping[str, FinishedFrame], all_stages: Sequence[Stage], *, pictures: bool
    ) -> list[FrameWork]:
        """Return what is left of each band whose frame is whole again."""
        works = []
        for band, end in ends.items():
            end.account += self._surveys[band]
            works.append(end.work(all_stages, pictures=pictures, note=self._note(end)))
        return works

    # The next four are the same loop with each chunk in a process of its own: `work/spread.py`.

    def go_on(self, progress: Progress) -> None:
        """Take up the field where another process left it."""
        self._stores, self.frames.skies = dict(progress.stores), dict(progress.skies)
        self._surveys = dict(progress.surveys)
        for band, psf in progress.psfs.items():
            self.frames.origins[band] = replace(self.frames.origins[band], psf=psf)

    def progress(self, rows: Pass, stages: Sequence[Stage]) -> Progress:
        """Survey the frames for a pass, and return what its chunks need to know."""
        self.frames.measure_sky()
        measured = self._surveyed(rows, stages)
        psfs = {band: origin.psf for band, origin in self.frames.origins.items()}
        return Progress(self._stores, self.frames.skies, self._surveys, psfs, measured)

    def chunk_after(
        self, chunk: ChunkRows, stages: Sequence[Stage], progress: Progress
    ) -> dict[str, FrameState]:
        """Return one chunk after the stages of a pass, band by band."""
        return self._after(self.frames.chunk(chunk, progress.measured), stages)

    def gather(
        self,
        chunks: Iterable[tuple[ChunkRows, Callable[[], Mapping[str, FrameState]]]],
        *,
        last: bool,
    ) -> Mapping[str, FinishedFrame] | None:
        """Put the chunks of a pass together, in order of their rows.

        Each comes with what gives it after the stages, so that one is in memory at a time. Those of
        the last pass are returned, band by band; others stay where the next pass finds them.
        """
        ends = {band: self._new_end(band) for band in self.frames.origins} if last else {}
        stores = {} if last else {band: self._new_store(band) for band in self.frames.origins}
        for chunk, load in chunks:
            self._put(chunk, load, ends or stores)
        if not last:
            self._stores = dict(stores)
        return ends or None

    def _put(
        self,
        chunk: ChunkRows,
        load: Callable[[], Mapping[str, FrameState]],
        targets: Mapping[str, Target],
    ) -> None:
        before, after = self.frames.chunk(chunk, {}), load()
        for band, target in targets.items():
            target.add(before[band], after[band], chunk.own)

    def _grouped(self, stages: Sequence[Stage]) -> list[tuple[Pass, list[Stage]]]:
        """Return the passes in which stages are taken, each with its stages."""
        if self._plan is None:
            return [(self._one_chunk(len(stages)), list(stages))]
        grouped, left = [], list(stages)
        while left:
            rows = self._passes.pop(0)
            grouped.append((rows, left[: rows.stages]))
            left = left[rows.stages :]
        return grouped

    def _one_chunk(self, stages: int) -> Pass:
        # With a plan, only what lies on disk is left to be gathered.
        return Pass(stages, 1 if self._plan is None else self._plan.passes[-1].rows, 0)

    def _new_store(self, band: str) -> HeldState | StateStore:
        if self._plan is None:
            return HeldState()
        shape, before = self.frames.origins[band].shape, self._stores[band]
        return StateStore(shape, self._new_folder(band), self._keep, before)

    def _new_end(self, band: str) -> FinishedFrame:
        origin = self.frames.origins[band]
        folder = None if self._plan is None else self._new_folder(band)
        before = self._stores.get(band, HeldState())
        shape = origin.shape if folder is not None else self.frames.before()[band].shape
        images = Images(shape, folder)
        joined = None
        if folder is not None:
            joined = JoinedSources(shape, folder, before.cut_sources)
        return FinishedFrame(origin.slot, shape, images, self._keep, before.account, joined=joined)

    def _new_folder(self, band: str) -> Path:
        taken = len(list(self._folder.iterdir())) if self._folder.is_dir() else 0
        folder = self._folder / f"{taken} {band}".strip()
        folder.mkdir(parents=True)
        return folder

    def _pass_on(self, rows: Pass, stages: Sequence[Stage], save: Save | None) -> None:
        """Take the frames through a pass; they stay where the next one finds them."""
        stores = {band: self._new_store(band) for band in self.frames.origins}
        self._take(rows, stages, stores, save)
        self._stores = dict(stores)

    def _take(
        self,
        rows: Pass,
        stages: Sequence[Stage],
        targets: Mapping[str, Target],
        save: Save | None,
    ) -> None:
        """Take each chunk through the stages of a pass.

        What belongs to a chunk lives in `_take_chunk` alone, so that it is gone before the next is
        read.
        """
        if self._plan is not None:
            self.frames.measure_sky()
        measured = self._surveyed(rows, stages)
        doing = ", ".join(stage.name for stage in stages)
        for chunk in self._watch.through(self._chunks(rows), doing):
            self._take_chunk(chunk, stages, measured, targets, save)

    def _take_chunk(
        self,
        chunk: ChunkRows,
        stages: Sequence[Stage],
        measured: Mapping[str, Mapping[str, Any]],
        targets: Mapping[str, Target],
        save: Save | None,
    ) -> None:
        before = self.frames.chunk(chunk, measured)
        after = self._after(before, stages, save)
        for band, target in targets.items():
            target.add(before[band], after[band], chunk.own)

    def _after(
        self, before: Mapping[str, Frame], stages: Sequence[Stage], save: Save | None = None
    ) -> dict[str, FrameState]:
        sources = {band: origin.psf for band, origin in self.frames.origins.items()}
        return run_stages(self._states(before), stages, psf_sources=sources, save=save)

    def _chunks(self, rows: Pass) -> Iterator[ChunkRows]:
        if self._plan is None:
            yield ChunkRows(slice(None), slice(None))
        else:
            yield from rows.chunks(self.frames.height)

    def _states(self, before: Mapping[str, Frame]) -> dict[str, FrameState]:
        """Return the states of rows as they are in the file."""
        if self._aside is not None:
            self.begin_with(load_states(self._aside, before))
            self._aside.unlink()
            self._aside = None
        return {band: self._stores[band].state(frame) for band, frame in before.items()}

    def _surveyed(self, rows: Pass, stages: Sequence[Stage]) -> dict[str, dict[str, Any]]:
        """Let the first stage of a pass measure the frames, as the stages before it left them.

        A frame of one chunk is measured by the stage itself.
        """
        if self._plan is None or not stages:
            return {}
        stage, found = stages[0], dict[str, dict[str, Any]]()
        for band, origin in self.frames.origins.items():
            row = self._state_of(band, ChunkRows(slice(0, 1), slice(0, 1))).frame
            frame_id, stars = row.frame_id, None
            if stage.needs().uses_psf and origin.psf is not None and row.psf is None:
                stars = origin.psf.survey(row)
            survey = scope_of(stage, row).survey
            del row  # before others are read
            start, remarks = time.perf_counter(), Remarks()
            with faults_named(stage, frame_id, remarks):
                if stars is not None and origin.psf is not None:
                    known = origin.psf.estimated(self._measured(band, rows, stars))
                    self.frames.origins[band] = replace(origin, psf=known)
                if survey is not None:
                    found[band] = {stage.name: self._measured(band, rows, survey, stage)}
            seconds = {stage.name: time.perf_counter() - start}
            self._surveys[band] += Account(survey_seconds=seconds, remarks=remarks)
        return found

    def _measured(self, band: str, rows: Pass, survey: Survey, stage: Stage | None = None) -> Any:
        """Return what a survey finds; with the PSF that its stage is to have."""
        needs_psf = stage is not None and stage.needs().uses_psf
        doing = "survey of stars" if stage is None else f"survey for {stage.name}"

        def frames() -> Iterator[tuple[Frame, slice]]:
            for chunk in self._watch.through(self._chunks(rows), doing):
                state = self._state_of(band, chunk)
                if needs_psf:
                    state = with_psf(state, self.frames.origins[band].psf)
                yield state.frame, chunk.own
                del state  # before the next is read

        return measure(survey, frames)

    def _state_of(self, band: str, chunk: ChunkRows) -> FrameState:
        return self._stores[band].state(self.frames.rows(band, chunk))

    def _note(self, end: FinishedFrame) -> str:
        """Return how a frame was cut, in words; nothing where it was one chunk."""
        if self._plan is None:
            return ""
        assert end.common is not None
        cut = self._plan.described(end.shape[0])
        return f"{end.common.frame_id}: processed in {cut}"
