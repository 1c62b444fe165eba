"""One frame through the stages: what each did, and what is left to write."""

from __future__ import annotations

import contextlib
import time
import traceback
import warnings
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.stats import mad_std

from astroclean.core.frameset import FrameSet
from astroclean.core.grid import Grid
from astroclean.core.kinds.remove import SourceRemover
from astroclean.core.layer import Layer, LayerSpec, joined_layers, placed_layers
from astroclean.core.planes import count_planes
from astroclean.core.results import Outcome
from astroclean.core.uncertainty import deviation_of
from astroclean.errors import AstrocleanError, StageError
from astroclean.io.output import FrameOutput
from astroclean.report.model import FrameRecord, StageRecord
from astroclean.report.plots import make_histogram, make_spectrum
from astroclean.report.preview import make_previews
from astroclean.runner.remarks import Remarks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from astropy.table import QTable
    from numpy.typing import NDArray

    from astroclean.core.change import Change
    from astroclean.core.frame import Frame
    from astroclean.core.results import Score, StageResult
    from astroclean.core.sources import Sources
    from astroclean.core.stage import Stage
    from astroclean.io.grouping import FrameSlot
    from astroclean.runner.psf_source import PsfSource

__all__ = [
    "RESIDUAL",
    "FrameState",
    "FrameWork",
    "faults_named",
    "finish_frame",
    "run_stages",
    "with_psf",
]

RESIDUAL = LayerSpec("RESIDUAL", "what the pipeline took away: before less after, where changed")
"""The layer that the runner itself gives."""
_ROUNDING = 1e-6  # a few units in the last place of float32


@dataclass(frozen=True, eq=False)
class FrameState:
    """A frame on its way through the stages."""

    frame: Frame
    science: Frame | None = None
    """The frame before it was deconvolved or upsampled; None where it was not."""
    branch: str | None = None
    """Layer that `frame` is then."""
    sources: Sources | None = None
    """Those that the last stage found that found any."""
    sources_of: str | None = None
    """Layer on whose pixels the sources were found; None: the science image."""
    layers: Mapping[str, Layer] = field(default_factory=dict)
    """By name in capitals."""
    records: tuple[StageRecord, ...] = ()
    scores: Mapping[str, Score] = field(default_factory=dict)
    psf_origin: str = ""
    changes: Mapping[str, Change] = field(default_factory=dict)
    """Stage to what it flagged and replaced."""
    remarks: Remarks = field(default_factory=Remarks)
    tables: Mapping[str, QTable] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class FrameWork:
    """What is left of a frame when all stages are done."""

    output: FrameOutput
    record: FrameRecord
    sources: Any
    """`Sources` or None."""
    scores: Mapping[str, Score]
    remarks: Remarks
    sources_label: str = ""
    """HDU on whose pixels the sources are, such as ``[SCI,1]``."""
    tables: Mapping[str, QTable] = field(default_factory=dict)
    """Name to what stages list, such as trails."""


def run_stages(
    states: Mapping[str, FrameState],
    stages: Sequence[Stage],
    *,
    psf_sources: Mapping[str, PsfSource | None],
    save: Callable[[str, Mapping[str, FrameState]], None] | None = None,
) -> dict[str, FrameState]:
    """Run stages on one frame, or on the aligned bands of one field.

    Parameters
    ----------
    states : mapping of str to FrameState
        Band to state; a single frame has one band of any name.
    stages : sequence of Stage
        In order.
    psf_sources : mapping of str to PsfSource or None
        Band to the place its PSF comes from.
    save : callable, optional
        Called before each stage with its name and the states, to keep them.

    Returns
    -------
    dict of str to FrameState
        The states after the last stage.

    Raises
    ------
    AstrocleanError
        A stage failed; the message names frame and stage.
    """
    current = dict(states)
    for stage in stages:
        if save is not None:
            save(stage.name, current)
        current = _one_stage(current, stage, psf_sources)
    return current


def with_psf(state: FrameState, source: PsfSource | None) -> FrameState:
    """Give the frame a PSF where it has none and the pipeline tells one."""
    if state.frame.psf is not None or source is None:
        return state
    psf, origin = source.psf_for(state.frame)
    return replace(state, frame=state.frame.replace(psf=psf), psf_origin=origin)


def _one_stage(
    states: Mapping[str, FrameState], stage: Stage, psf_sources: Mapping[str, PsfSource | None]
) -> dict[str, FrameState]:
    start = time.perf_counter()
    first = next(iter(states.values()))
    remarks = Remarks()
    with faults_named(stage, first.frame.frame_id, remarks):
        if stage.needs().uses_psf:
            states = {b: with_psf(state, psf_sources[b]) for b, state in states.items()}
        if len(states) == 1:
            results = {band: stage.run(state.frame) for band, state in states.items()}
        else:
            results = stage.run_set(FrameSet({band: s.frame for band, s in states.items()}))
    seconds = (time.perf_counter() - start) / len(states)
    return {
        band: _advanced(state, results[band], stage, seconds, remarks)
        for band, state in states.items()
    }


@contextlib.contextmanager
def faults_named(stage: Stage, frame_id: str, remarks: Remarks) -> Iterator[None]:
    """Turn whatever a plugin raises into an error that names it; keep its warnings."""
    where = f"{frame_id}, stage '{stage.name}'"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        try:
            yield
        except AstrocleanError as error:
            if error.where is not None:
                raise
            raise error.at(where) from error
        except MemoryError as error:
            raise StageError("not enough memory", where=where) from error
        # A plugin may raise anything, SystemExit among it; the batch goes on.
        except (Exception, SystemExit) as error:
            text = f"{type(error).__name__}: {error}".rstrip(".")
            fault = StageError(text, where=where, remedy="This is a fault of the plugin.")
            fault.add_note("".join(traceback.format_exception(error)))
            raise fault from error
    remarks.add_warnings(caught, where)


def _advanced(
    state: FrameState, result: StageResult, stage: Stage, seconds: float, remarks: Remarks
) -> FrameState:
    record = StageRecord(
        name=stage.name,
        plugin=stage.identity.plugin,
        kind=stage.kind,
        version=stage.identity.version,
        outcome=str(result.outcome),
        seconds=seconds,
        metrics={key: float(value) for key, value in result.metrics.items()},
        shares=result.change.shares(),
    )
    branches = stage.branch is not None
    branch = stage.branch if branches else state.branch
    given = None if state.branch is None else state.layers[state.branch]
    is_new = result.frame.sources is not None and result.frame.sources is not state.frame.sources
    return replace(
        state,
        frame=result.frame,
        science=state.frame if branches and state.science is None else state.science,
        branch=branch,
        # A finer grid has no catalogue; that of the science image is not lost for it.
        sources=result.frame.sources if is_new else state.sources,
        sources_of=branch if is_new else state.sources_of,
        layers=joined_layers(state.layers, placed_layers(result.layers, given)),
        records=(*state.records, record),
        scores={**state.scores, **({stage.name: result.score} if result.score else {})},
        remarks=state.remarks + remarks,
        changes={**state.changes, stage.name: result.change},
        tables={**state.tables, **result.tables},
    )


def finish_frame(before: Frame, state: FrameState, slot: FrameSlot, *, pictures: bool) -> FrameWork:
    """Return what is to be written and reported of a frame.

    Parameters
    ----------
    before : Frame
        As read.
    state : FrameState
        After the last stage.
    slot : FrameSlot
        Where it lies in its file.
    pictures : bool
        Whether to draw previews for the report.

    Returns
    -------
    FrameWork
        Output, record and catalogue.
    """
    after = state.science or state.frame
    flags = after.flags
    if state.frame.flags.shape == flags.shape:
        flags = flags | state.frame.flags
    changed = _differs(before.data, after.data)
    deviation = deviation_of(after.uncertainty)
    old_deviation = deviation_of(before.uncertainty)
    touched = (
        # Variances and weights go to deviations and back: what differs by rounding is unchanged.
        ~np.isclose(old_deviation, deviation, rtol=_ROUNDING, atol=0, equal_nan=True)
        if deviation is not None and old_deviation is not None
        else None
    )
    history = tuple(line for entry in state.frame.history for line in entry.cards())
    output = FrameOutput(
        slot=slot,
        data=after.data,
        changed=changed,
        flags=flags,
        uncertainty=deviation,
        uncertainty_changed=touched if touched is not None and touched.any() else None,
        history=history,
        layers={**state.layers, **_residual(before, after, changed), **_result_layer(state)},
        result=state.branch,
    )
    record = _record(before, after, state, output, pictures=pictures)
    label = slot.label if state.sources_of is None else slot.label_of(state.sources_of)
    return FrameWork(
        output,
        record,
        state.sources,
        state.scores,
        state.remarks,
        sources_label=label,
        tables=state.tables,
    )


def _differs(old: NDArray[Any], new: NDArray[Any]) -> NDArray[np.bool_]:
    different: NDArray[np.bool_] = (old != new) & ~(np.isnan(old) & np.isnan(new))
    return different


def _residual(before: Frame, after: Frame, changed: NDArray[np.bool_]) -> dict[str, Layer]:
    with np.errstate(invalid="ignore"):  # infinite pixels
        taken = np.where(changed, np.nan_to_num(before.data - after.data), 0)
    return {RESIDUAL.name: Layer(taken, Grid.of(before), before.unit, declared=RESIDUAL)}


def _result_layer(state: FrameState) -> dict[str, Layer]:
    """Return the layer that the frame is after all stages; later ones may have changed it."""
    if state.branch is None:
        return {}
    frame = state.frame
    made = state.layers[state.branch]
    deviation = deviation_of(frame.uncertainty)
    return {
        state.branch: replace(
            made, data=frame.data, unit=frame.unit, uncertainty=deviation, psf=frame.psf
        )
    }


def _record(
    before: Frame, after: Frame, state: FrameState, output: FrameOutput, *, pictures: bool
) -> FrameRecord:
    slot = output.slot
    sources = state.sources
    images = before.data, after.data
    shown = make_previews(*images, output.flags, output.changed) if pictures else []
    removed = pictures and _removes(state.records)
    return FrameRecord(
        frame_id=before.frame_id,
        hdu=slot.science.label,
        plane=slot.plane,
        shape=before.shape,
        unit=before.unit.to_string(),
        pixels_changed=int(np.count_nonzero(output.changed)),
        pixels_flagged=int(np.count_nonzero(output.flags)),
        flagged_before=count_planes(before.flags),
        flagged_after=count_planes(output.flags),
        statistics={
            **_statistics(before.data, "before"),
            **_statistics(after.data, "after"),
        },
        psf=state.psf_origin,
        sources=None if sources is None else len(sources),
        stages=list(state.records),
        histogram=make_histogram(*images) if pictures else None,
        spectrum=make_spectrum(*images, output.flags) if removed else None,
        previews=shown,
    )


def _removes(records: Sequence[StageRecord]) -> bool:
    """Whether a stage replaced pixels: those are judged by the power spectrum, too."""
    return any(r.kind == SourceRemover.kind and r.outcome == Outcome.DONE for r in records)


def _statistics(data: NDArray[np.float32], when: str) -> dict[str, float | None]:
    valid = data[np.isfinite(data)].astype(np.float64)
    if not valid.size:
        return {f"median {when}": None, f"noise {when}": None, f"sum {when}": None}
    return {
        f"median {when}": float(np.median(valid)),
        f"noise {when}": float(mad_std(valid)),
        f"sum {when}": float(valid.sum()),
    }
