"""Stages on frames, one after the other: what each says and changes is accounted for."""

from __future__ import annotations

import contextlib
import time
import traceback
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

from astroclean.core.image.frameset import FrameSet
from astroclean.core.image.layer import joined_layers, placed_layers
from astroclean.core.psf.beam import tell_of_beam
from astroclean.core.stage.scope import chunk_of
from astroclean.errors import AstrocleanError, StageError
from astroclean.report.model import StageRecord
from astroclean.runner.work.remarks import Remarks
from astroclean.runner.work.state import Account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from astroclean.core.psf.psf import Psf
    from astroclean.core.stage.results import StageResult
    from astroclean.core.stage.stage import Stage
    from astroclean.runner.plan.psf_source import PsfSource
    from astroclean.runner.work.state import FrameState

__all__ = ["faults_named", "psfs_of", "run_stages", "with_psf"]


def run_stages(
    states: Mapping[str, FrameState],
    stages: Sequence[Stage],
    *,
    psf_sources: Mapping[str, PsfSource | None],
    save: Callable[[str, Mapping[str, FrameState]], None] | None = None,
) -> dict[str, FrameState]:
    """Run stages on one frame, or on the bands of one field.

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
    tell_of_beam(state.frame, psf)
    y, x = chunk_of(state.frame).origin
    psf = psf.seen_from(x, y)
    account = state.account + Account(psf_origin=origin)
    return replace(state, frame=state.frame.replace(psf=psf), account=account)


def _one_stage(
    states: Mapping[str, FrameState], stage: Stage, psf_sources: Mapping[str, PsfSource | None]
) -> dict[str, FrameState]:
    """Run a stage on the bands together, if it takes them so; else what it says is of one."""
    if "set" in stage.accepts:
        return _together(states, stage, psf_sources)
    return {
        band: _together({band: state}, stage, psf_sources)[band] for band, state in states.items()
    }


def _together(
    states: Mapping[str, FrameState], stage: Stage, psf_sources: Mapping[str, PsfSource | None]
) -> dict[str, FrameState]:
    start = time.perf_counter()
    ids = {band: state.frame.frame_id for band, state in states.items()}
    own = {band: Remarks() for band in states}
    remarks = Remarks()
    if stage.needs().uses_psf:
        for band, state in states.items():
            with faults_named(stage, ids[band], own[band]):
                states = {**states, band: with_psf(state, psf_sources[band])}
    with faults_named(stage, next(iter(ids.values())), remarks):
        if len(states) == 1:
            results = {band: stage.run(state.frame) for band, state in states.items()}
        else:
            results = stage.run_set(FrameSet({band: s.frame for band, s in states.items()}))
    seconds = (time.perf_counter() - start) / len(states)
    return {
        band: _advanced(
            state, results[band], stage, seconds, own[band] + remarks.of(ids[band], ids.values())
        )
        for band, state in states.items()
    }


@contextlib.contextmanager
def faults_named(stage: Stage, frame_id: str, remarks: Remarks) -> Iterator[None]:
    """Turn whatever a plugin raises into an error that names it; keep its warnings."""
    where = stage.where(frame_id)
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
    said = Account(
        records={stage.name: _record(stage, result, seconds)},
        metrics={stage.name: result.metrics},
        changes={stage.name: result.change},
        scores={stage.name: result.score} if result.score else {},
        remarks=remarks,
        tables={stage.name: result.tables},
        psfs={stage.name: psfs_of(result)},
    )
    # Of bands that are taken together, one alone may be the result.
    branches = stage.branch is not None and stage.branch in result.layers
    branch = stage.branch if branches else state.branch
    given = None if state.branch is None else state.layers[state.branch]
    if result.rewriting is not None:
        state = _rewritten(state, result, stage)
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
        account=state.account + said,
    )


def _rewritten(state: FrameState, result: StageResult, stage: Stage) -> FrameState:
    """Return the state with another science image, where nothing was found on the old one."""
    found = [*state.layers, *(n for tables in state.account.tables.values() for n in tables)]
    if found:
        raise StageError(
            f"gives other pixels than those that {', '.join(found)} of earlier stages lie on",
            where=stage.where(state.frame),
            remedy="Put it before the stages that give them; masks without layers may come before.",
        )
    assert result.rewriting is not None
    earlier = state.rewriting
    whole = result.rewriting if earlier is None else earlier.then(result.rewriting)
    return replace(state, rewriting=whole, begun=result.frame)


def psfs_of(result: StageResult) -> dict[str, Psf | None]:
    """Return the PSFs of layers, by name, and under no name that of the frame; as of the whole."""
    psfs = {name: layer.psf for name, layer in result.layers.items()}
    return {"": chunk_of(result.frame).of_whole(result.frame.psf), **psfs}


def _record(stage: Stage, result: StageResult, seconds: float) -> StageRecord:
    return StageRecord(
        name=stage.name,
        plugin=stage.identity.plugin,
        kind=stage.kind,
        version=stage.identity.version,
        code=stage.identity.code,
        outcome=str(result.outcome),
        seconds=seconds,
    )
