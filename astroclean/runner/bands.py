"""One frame through the stages, band by band: first what a stage surveys, then the stages.

A band is read with the rows above and below it that can influence it, goes through the stages of a
segment, and leaves its own rows on scratch disk. Where every stage is local but for what it
surveyed, the result is that of the whole frame to the byte.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.change import Change
from astroclean.core.planes import count_planes
from astroclean.core.survey import FramePart, measure
from astroclean.io.output import FrameOutput
from astroclean.report.model import FrameRecord, StageRecord
from astroclean.runner.frames import (
    FrameState,
    FrameWork,
    faults_named,
    finish_frame,
    run_stages,
    with_psf,
)
from astroclean.runner.outputs import kept_layers
from astroclean.runner.remarks import Remarks
from astroclean.runner.statestore import ImageStores, StateStore, layer_rows, layers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from astroclean.core.frame import Frame
    from astroclean.core.stage import Stage
    from astroclean.io.grouping import FrameSlot
    from astroclean.io.read import Exposure
    from astroclean.runner.plan import FilePlan
    from astroclean.runner.windows import Segment, WindowPlan

    _Use = Callable[[slice, Frame, FrameState], None]
    """Own rows, the band as it is in the file, its state after the segment."""

__all__ = ["run_by_windows"]


def run_by_windows(
    exposure: Exposure,
    slot: FrameSlot,
    stages: Sequence[Stage],
    *,
    file_plan: FilePlan,
    scratch: Path,
) -> FrameWork:
    """Run stages on one frame, band by band.

    Parameters
    ----------
    exposure : Exposure
        The input, open.
    slot : FrameSlot
        The frame.
    stages : sequence of Stage
        In order; all local, but for what they survey.
    file_plan : FilePlan
        How the frame is cut, where the PSF comes from, and what is kept.
    scratch : Path
        Empty folder for the images of the frame.

    Returns
    -------
    FrameWork
        Its images are `RowStore`; metrics of the stages are left out of the record, since bands
        overlap.
    """
    assert file_plan.windows is not None
    shape = (slot.science.shape[-2], slot.science.shape[-1])
    bands = _Bands(exposure, slot, file_plan, shape)
    sums = _Sums()
    todo = list(stages)
    *earlier, last = file_plan.windows.segments
    for number, segment in enumerate(earlier):
        group, todo = todo[: segment.stages], todo[segment.stages :]
        bands = _passed(bands, segment, group, sums, scratch / str(number))
    stores = ImageStores(scratch / "last", shape)
    common: list[FrameWork] = []
    keep = file_plan.pipeline.config.products.keep

    def finish(own: slice, before: Frame, state: FrameState) -> None:
        work = finish_frame(before, state, slot, pictures=False)
        output = replace(work.output, layers=kept_layers(work.output.layers, keep))
        stores.append(_images(output, own))
        sums.add(before, output, own)
        common[:] = [_without_pixels(work)]

    _take_through(bands, last, todo, sums, finish)
    sums.judge(stages, common[0].record.frame_id)
    return _joined(common[0], stores, sums, file_plan.windows)


def _without_pixels(work: FrameWork) -> FrameWork:
    """Return what all bands have in common."""
    none = np.zeros((0, 0))
    layers = {
        name: replace(layer, data=none, uncertainty=None)
        for name, layer in work.output.layers.items()
    }
    history = work.output.history
    output = FrameOutput(work.output.slot, none, none, none, history=history, layers=layers)
    return replace(work, output=output)


@dataclass(frozen=True)
class _Bands:
    """Where the bands of a segment come from: the file, or what the segment before left."""

    exposure: Exposure
    slot: FrameSlot
    file_plan: FilePlan
    shape: tuple[int, int]
    stored: StateStore | None = None

    def frame(self, rows: slice, own: slice, measured: Mapping[str, Any]) -> Frame:
        """Return rows of the frame as they are in the file; ``own`` are those that are wanted."""
        part = FramePart((rows.start, 0), self.shape, measured, own)
        window = (rows, slice(0, self.shape[1]))
        return self.exposure.frame(self.slot, window).replace(part=part)

    def state(self, frame: Frame) -> FrameState:
        """Return the state before the segment of rows as they are in the file."""
        return FrameState(frame) if self.stored is None else self.stored.state(frame)


@dataclass
class _Sums:
    """What is counted over the bands, own rows only."""

    changed: int = 0
    flagged: int = 0
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    total_before: float = 0.0
    total_after: float = 0.0
    stages: dict[str, StageRecord] = field(default_factory=dict)
    remarks: Remarks = field(default_factory=Remarks)
    changes: dict[str, Change] = field(default_factory=dict)
    survey_seconds: float = 0.0

    def add(self, before: Frame, output: FrameOutput, own: slice) -> None:
        """Count the pixels of a band that is done."""
        flags = output.flags[own]
        self.changed += int(np.count_nonzero(output.changed[own]))
        self.flagged += int(np.count_nonzero(flags))
        for counts, planes in ((self.before, before.flags[own]), (self.after, flags)):
            for name, count in count_planes(planes).items():
                counts[name] = counts.get(name, 0) + count
        self.total_before += float(np.nansum(before.data[own], dtype=np.float64))
        self.total_after += float(np.nansum(output.data[own], dtype=np.float64))

    def judge(self, stages: Sequence[Stage], frame_id: str) -> None:
        """Enter the shares that were changed, and what is implausible among them."""
        for stage in stages:
            change = self.changes[stage.name]
            self.remarks += Remarks(suspect=stage.implausible(change, frame_id))
            shares = {"shares": change.shares()}
            self.stages[stage.name] = self.stages[stage.name].model_copy(update=shares)

    def add_stages(self, state: FrameState) -> None:
        """Add the time of the stages that a band went through, and what they changed of it.

        Bands overlap: other metrics cannot be joined.
        """
        for record in state.records:
            known = self.stages.get(record.name)
            seconds = record.seconds + (self.survey_seconds if known is None else known.seconds)
            self.survey_seconds = 0.0
            self.stages[record.name] = record.model_copy(update={"seconds": seconds, "metrics": {}})
        for name, change in state.changes.items():
            self.changes[name] = self.changes.get(name, Change()) + change
        self.remarks += state.remarks


def _take_through(
    bands: _Bands, segment: Segment, stages: Sequence[Stage], sums: _Sums, use: _Use
) -> None:
    """Take each band through the stages of a segment, and use what comes out.

    What belongs to a band lives in `one` alone, so that it is gone before the next is read.
    """
    measured = _surveyed(bands, segment, stages, sums)

    def one(rows: slice, own: slice) -> None:
        before = bands.frame(rows, own, measured)
        sources = {"": bands.file_plan.psf_source}
        after = run_stages({"": bands.state(before)}, stages, psf_sources=sources)[""]
        sums.add_stages(after)
        use(own, before, after)

    for rows, own in segment.bands(bands.shape[0]):
        one(rows, own)


def _surveyed(
    bands: _Bands, segment: Segment, stages: Sequence[Stage], sums: _Sums
) -> dict[str, Any]:
    """Let the first stage of a segment measure the whole frame, as the stages before it left it."""
    row = bands.state(bands.frame(slice(0, 1), slice(0, 1), {})).frame
    survey, frame_id = stages[0].survey(row) if stages else None, row.frame_id
    del row
    if survey is None:
        return {}
    stage, remarks = stages[0], Remarks()
    needs_psf, source = stage.needs().uses_psf, bands.file_plan.psf_source

    def frames() -> Iterator[tuple[Frame, slice]]:
        for rows, own in segment.bands(bands.shape[0]):
            state = bands.state(bands.frame(rows, own, {}))
            yield (with_psf(state, source) if needs_psf else state).frame, own
            del state  # before the next is read

    start = time.perf_counter()
    with faults_named(stage, frame_id, remarks):
        found = measure(survey, frames)
    sums.survey_seconds = time.perf_counter() - start
    sums.remarks += remarks
    return {stage.name: found}


def _passed(
    bands: _Bands, segment: Segment, stages: Sequence[Stage], sums: _Sums, folder: Path
) -> _Bands:
    """Take the frame through one segment; return where its bands come from then."""
    store = StateStore(folder, bands.shape)
    keep = bands.file_plan.pipeline.config.products.keep

    def keep_state(own: slice, before: Frame, state: FrameState) -> None:  # noqa: ARG001
        store.append(state, own, kept_layers(state.layers, keep))

    _take_through(bands, segment, stages, sums, keep_state)
    return replace(bands, stored=store)


def _images(output: FrameOutput, own: slice) -> dict[str, Any]:
    """Return the own rows of all images of a band."""
    images = {name: getattr(output, name)[own] for name in ("data", "changed", "flags")}
    if output.uncertainty is not None:
        touched = output.uncertainty_changed
        images["uncertainty"] = output.uncertainty[own]
        if touched is not None:
            images["uncertainty_changed"] = touched[own]
    return {**images, **layer_rows(output.layers, own)}


def _joined(last: FrameWork, stores: ImageStores, sums: _Sums, plan: WindowPlan) -> FrameWork:
    """Return the work of the frame from its bands; ``last`` tells what all have in common."""
    images = stores.images
    touched = images.get("uncertainty_changed")
    output = FrameOutput(
        slot=last.output.slot,
        data=images["data"],
        changed=images["changed"],
        flags=images["flags"],
        uncertainty=images.get("uncertainty"),
        uncertainty_changed=touched if touched is not None and touched.any() else None,
        history=last.output.history,
        layers=layers_of(images, last.output.layers),
    )
    order = {name: number for number, name in enumerate(last.record.flagged_after)}
    record = FrameRecord(
        frame_id=last.record.frame_id,
        hdu=last.record.hdu,
        plane=last.record.plane,
        shape=stores.shape,
        unit=last.record.unit,
        pixels_changed=sums.changed,
        pixels_flagged=sums.flagged,
        flagged_before=sums.before,
        flagged_after=dict(sorted(sums.after.items(), key=lambda kv: order.get(kv[0], 99))),
        statistics={"sum before": sums.total_before, "sum after": sums.total_after},
        psf=last.record.psf,
        stages=list(sums.stages.values()),
    )
    note = (
        f"{last.record.frame_id}: processed in {_told(plan, stores.shape[0])}; no pictures, and "
        "metrics of the stages are left out"
    )
    return FrameWork(output, record, None, {}, sums.remarks + Remarks(notes=[note]))


def _told(plan: WindowPlan, height: int) -> str:
    """Return how the frame was cut, in words."""
    return ", then ".join(
        f"{-(-height // part.rows)} windows of {part.rows} rows with a halo of {part.halo}"
        for part in plan.segments
    )
