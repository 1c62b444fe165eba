"""Frames saved between stages, for ``--from``: arrays and plain values, never pickle.

An output folder may come from someone else. What lies in it is data: reading a state makes arrays,
numbers and text, and runs nothing. What the input itself tells (WCS, header, unit, name) is taken
from the input, which is open anyway.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from astroclean.core.image.history import HistoryEntry
from astroclean.core.image.rewriting import Rewriting
from astroclean.core.stage.change import Change
from astroclean.core.stage.metrics import Total
from astroclean.core.stage.results import Score
from astroclean.core.stage.scope import Chunk
from astroclean.errors import AstrocleanError, FitsReadError
from astroclean.io.scratch.arrays import read_arrays, write_arrays
from astroclean.io.scratch.atomic import atomic_file
from astroclean.report.model import StageRecord
from astroclean.runner.work.remarks import Remarks
from astroclean.runner.work.state import Account, FrameState
from astroclean.runner.work.state_parts import Packer, Unpacker

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from astroclean.core.image.frame import Frame

__all__ = ["load_states", "save_states"]

_REMEDY = "Run once more with `--set run.keep_stages=true --overwrite`."


def save_states(path: Path, states: Mapping[str, FrameState], *, scratch: Path) -> None:
    """Save the states of the bands of a field.

    Parameters
    ----------
    path : Path
        Where.
    states : mapping of str to FrameState
        Band to state.
    scratch : Path
        Folder for the unfinished file.

    Raises
    ------
    FitsWriteError
        No room, or a catalogue holds what cannot be saved.
    """
    packer = Packer()
    tree = {band: _packed(state, packer) for band, state in states.items()}
    with atomic_file(path, scratch=scratch) as target:
        write_arrays(target, tree, packer.arrays)


def load_states(path: Path, before: Mapping[str, Frame]) -> dict[str, FrameState]:
    """Load the states of the bands of a field.

    Parameters
    ----------
    path : Path
        What :func:`save_states` wrote, or anything else.
    before : mapping of str to Frame
        Band to the frame as read from the input.

    Returns
    -------
    dict of str to FrameState
        Band to state.

    Raises
    ------
    FitsReadError
        It is no state of these frames.
    """
    tree, arrays = read_arrays(path)
    try:
        return {band: _unpacked(tree[band], arrays, frame) for band, frame in before.items()}
    except (
        AstrocleanError,
        AssertionError,
        ArithmeticError,
        AttributeError,
        LookupError,
        OSError,
        TypeError,
        ValueError,
    ) as error:
        text = getattr(error, "problem", None) or f"{type(error).__name__}: {error}"
        raise FitsReadError(
            f"is no saved state: {text}", where=str(path), remedy=_REMEDY
        ) from error


def _packed(state: FrameState, packer: Packer) -> dict[str, Any]:
    branched = state.science is not None
    return {
        "frame": _packed_frame(state.frame, packer, with_wcs=branched),
        "science": _packed_frame(state.science, packer) if state.science is not None else None,
        "branch": state.branch,
        # Of the frame, or, where that has another grid, those of the science image.
        "sources": None if state.sources is state.frame.sources else packer.sources(state.sources),
        "sources_of": state.sources_of,
        "layers": [[name, packer.layer(layer)] for name, layer in state.layers.items()],
        "account": _packed_account(state.account, packer),
        "rewriting": _packed_rewriting(state),
        "begun": None if state.begun is None else _packed_frame(state.begun, packer),
    }


def _packed_rewriting(state: FrameState) -> Any:
    rewriting = state.rewriting
    if rewriting is None:
        return None
    return {
        "window": [[part.start, part.stop] for part in rewriting.window],
        "unit": rewriting.unit.to_string(),
        "cards": {k: list(v) if isinstance(v, tuple) else v for k, v in rewriting.cards.items()},
        "detector": dict(rewriting.detector),
    }


def _rewriting(kept: Any, before: Frame) -> Rewriting | None:
    if kept is None:
        return None
    rows, columns = (slice(*map(int, part)) for part in kept["window"])
    cards = {k: tuple(v) if isinstance(v, list) else v for k, v in kept["cards"].items()}
    return Rewriting((rows, columns), _unit(kept["unit"], before), cards, dict(kept["detector"]))


def _packed_account(account: Account, packer: Packer) -> dict[str, Any]:
    return {
        "records": {name: record.model_dump() for name, record in account.records.items()},
        "metrics": {
            stage: {name: float(value) for name, value in metrics.items()}
            for stage, metrics in account.metrics.items()
        },
        "changes": {name: asdict(change) for name, change in account.changes.items()},
        "scores": {name: _packed_score(score) for name, score in account.scores.items()},
        "psf_origin": account.psf_origin,
        "remarks": asdict(account.remarks),
        "tables": {
            stage: {name: packer.table(table) for name, table in tables.items()}
            for stage, tables in account.tables.items()
        },
    }


def _account(kept: Any, unpacker: Unpacker) -> Account:
    return Account(
        {name: StageRecord.model_validate(record) for name, record in kept["records"].items()},
        {stage: dict(metrics) for stage, metrics in kept["metrics"].items()},
        {name: _change(change) for name, change in kept["changes"].items()},
        {name: _score(score) for name, score in kept["scores"].items()},
        str(kept["psf_origin"]),
        Remarks(**kept["remarks"]),
        tables={
            str(stage): {str(name): unpacker.table(table) for name, table in tables.items()}
            for stage, tables in kept["tables"].items()
        },
    )


def _change(kept: Any) -> Change:
    light = {name: Total(kept[name]) for name in ("light", "light_filled")}
    return Change(**{**kept, **light})


def _packed_score(score: Score) -> dict[str, Any]:
    metrics = {name: float(value) for name, value in score.metrics.items()}
    numbers = {"probability": float(score.probability), "threshold": float(score.threshold)}
    return {**numbers, "reasons": [str(reason) for reason in score.reasons], "metrics": metrics}


def _packed_frame(frame: Frame, packer: Packer, *, with_wcs: bool = False) -> dict[str, Any]:
    return {
        **{name: packer.array(getattr(frame, name)) for name in ("data", "flags", "filled")},
        "uncertainty": packer.uncertainty(frame.uncertainty),
        "psf": packer.psf(frame.psf),
        "sources": packer.sources(frame.sources),
        "history": [asdict(entry) for entry in frame.history],
        "wcs": packer.wcs(frame.wcs) if with_wcs else None,
    }


def _unpacked(kept: Any, arrays: Any, before: Frame) -> FrameState:
    unpacker = Unpacker(arrays, lambda text: _unit(text, before))
    rewriting = _rewriting(kept["rewriting"], before)
    if rewriting is not None:
        before = _rewritten(before, rewriting)
    science = kept["science"]
    branch = kept["branch"]
    frame = _unpacked_frame(kept["frame"], unpacker, before)
    own = frame if science is None else _unpacked_frame(science, unpacker, before)
    if own.shape != before.shape:
        raise FitsReadError(f"of {own.shape} pixels, and the frame has {before.shape}")
    return FrameState(
        frame=frame,
        science=None if science is None else own,
        branch=branch if branch is None else str(branch),
        sources=unpacker.sources(kept["sources"]) or frame.sources,
        sources_of=kept["sources_of"],
        layers={str(name): unpacker.layer(layer) for name, layer in kept["layers"]},
        account=_account(kept["account"], unpacker),
        rewriting=rewriting,
        begun=None if rewriting is None else _unpacked_frame(kept["begun"], unpacker, before),
    )


def _rewritten(before: Frame, rewriting: Rewriting) -> Frame:
    """Return the frame that was read on the pixels that were left of it, as its stage gave it."""
    left = rewriting.applied(before.replace(chunk=None))
    return left.replace(chunk=Chunk((0, 0), left.shape))


def _unpacked_frame(kept: Any, unpacker: Unpacker, before: Frame) -> Frame:
    wcs = unpacker.wcs(kept["wcs"])
    return before.replace(
        **{name: unpacker.array(kept[name]) for name in ("data", "flags", "filled")},
        uncertainty=unpacker.uncertainty(kept["uncertainty"]),
        psf=unpacker.psf(kept["psf"]),
        sources=unpacker.sources(kept["sources"]),
        history=tuple(HistoryEntry(**entry) for entry in kept["history"]),
        **({} if wcs is None else {"wcs": wcs}),
    )


def _score(kept: Any) -> Score:
    return Score(**{**kept, "reasons": tuple(kept["reasons"])})


def _unit(text: str, before: Frame) -> Any:
    """Return a unit of a catalogue; that of the frame may be one that nobody understands."""
    if before.unit is not None and text == before.unit.to_string():
        return before.unit
    from astropy.units import Unit  # noqa: PLC0415 - on use

    return Unit(text, parse_strict="silent")
