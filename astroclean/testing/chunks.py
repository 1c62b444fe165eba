"""Run a stage on a frame in chunks of rows, as the runner does with frames larger than memory."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.image.uncertainty import deviation_of
from astroclean.core.psf.equality import is_same_psf
from astroclean.core.stage.scope import Chunk, measure
from astroclean.runner.work.joined_sources import JoinedSources
from astroclean.runner.work.stages import psfs_of
from astroclean.runner.work.state import Account

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from astropy.table import QTable
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.results import StageResult
    from astroclean.core.stage.stage import Stage

__all__ = ["assert_same_in_chunks", "frame_chunks", "run_in_chunks"]


def run_in_chunks(stage: Stage, frame: Frame, *, rows: int) -> dict[str, Any]:
    """Run a local stage chunk by chunk.

    Parameters
    ----------
    stage : Stage
        Its ``scope`` has a halo in pixels.
    frame : Frame
        Not modified.
    rows : int
        Rows of a chunk, without halo; rounded up to the step of the stage's ``scope``.

    Returns
    -------
    dict of str to (ny, nx) array
        ``data``, ``flags``, ``uncertainty`` (standard deviation) where there is one, and layers by
        name, with `` uncertainty`` where they have one; ``sources``, where the stage finds any, are
        `Sources` of the whole frame, ``psf`` is its `Psf` or None, ``tables`` is a dict.

    Raises
    ------
    ContractError
        PSFs differ from chunk to chunk.
    """
    corner = frame[:1, :1].replace(chunk=Chunk((0, 0), frame.shape))
    scope = stage.scope(corner)
    halo, survey = scope.halo, scope.survey
    assert halo is not None, f"stage '{stage.name}' needs the whole frame"
    rows = -(-rows // scope.step) * scope.step
    measured = {}
    if survey is not None:
        measured[stage.name] = measure(survey, lambda: frame_chunks(frame, rows=rows, halo=halo))
    pieces: dict[str, list[NDArray[Any]]] = {}
    account = Account()
    with tempfile.TemporaryDirectory() as folder:
        joined = JoinedSources(frame.shape, Path(folder))
        for chunk, own in frame_chunks(frame, rows=rows, halo=halo, measured=measured):
            result = stage.run(chunk)
            if result.frame.sources is not None:
                joined.add(chunk, result.frame.sources, own)
            account += Account(
                tables={stage.name: result.tables}, psfs={stage.name: psfs_of(result)}
            )
            _add(pieces, result, own)
        images: dict[str, Any] = {name: np.concatenate(part) for name, part in pieces.items()}
        sources = joined.whole()
        if sources is not None:
            labels = sources.segmentation
            images["sources"] = replace(sources, segmentation=labels and labels[:])
    images |= {"psf": account.psfs[stage.name][""], "tables": account.tables[stage.name]}
    return images


def _add(pieces: dict[str, list[NDArray[Any]]], result: StageResult, own: slice) -> None:
    """Add the own rows of all images of a chunk."""
    images = {"data": result.frame.data, "flags": result.frame.flags, **result.products}
    for name, layer in result.layers.items():
        if layer.uncertainty is not None:
            images[f"{name} uncertainty"] = layer.uncertainty
    deviation = deviation_of(result.frame.uncertainty)
    if deviation is not None:
        images["uncertainty"] = deviation
    for name, image in images.items():
        pieces.setdefault(name, []).append(np.asarray(image)[own])


def frame_chunks(
    frame: Frame, *, rows: int, halo: int, measured: Mapping[str, Any] | None = None
) -> Iterator[tuple[Frame, slice]]:
    """Yield chunks of a frame with their halo, and the rows of each that are its own."""
    height = frame.shape[0]
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        first, last = max(start - halo, 0), min(stop + halo, height)
        own = slice(start - first, stop - first)
        chunk = Chunk((first, 0), frame.shape, measured or {}, own)
        yield frame[first:last].replace(chunk=chunk), own


def assert_same_in_chunks(stage: Stage, frame: Frame, *, rows: int) -> None:
    """Check that a local stage gives of chunks, with what it surveys, what it gives in one piece.

    Parameters
    ----------
    stage, frame, rows
        As for :func:`run_in_chunks`.

    Raises
    ------
    AssertionError
        Pixels, layers, PSF or tables differ.
    ContractError
        PSFs differ from chunk to chunk.
    """
    whole = stage.run(frame)
    chunks = run_in_chunks(stage, frame, rows=rows)
    assert chunks["data"].tobytes() == whole.frame.data.tobytes()
    assert chunks["flags"].tobytes() == whole.frame.flags.tobytes()
    deviation = deviation_of(whole.frame.uncertainty)
    if deviation is not None:
        assert chunks["uncertainty"].tobytes() == deviation.tobytes()
    assert is_same_psf(chunks["psf"], whole.frame.psf)
    for name, layer in whole.layers.items():
        if layer.grid is not None and layer.grid.is_frame:
            assert chunks[name].tobytes() == np.asarray(layer.data).tobytes()
            if layer.uncertainty is not None:
                told = np.asarray(layer.uncertainty)
                assert chunks[f"{name} uncertainty"].tobytes() == told.tobytes()
    # A stage whose tables are of the whole frame is given no chunk.
    if stage.y_columns:
        assert set(chunks["tables"]) == set(whole.tables)
        for name, table in whole.tables.items():
            _same_rows(chunks["tables"][name], table)


def _same_rows(table: QTable, other: QTable) -> None:
    assert table.colnames == other.colnames
    for name in table.colnames:
        ours, theirs = (np.asarray(one[name]) for one in (table, other))
        if theirs.dtype.kind == "f":  # y that was counted from another row has other last digits
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9, err_msg=name)
        else:
            np.testing.assert_array_equal(ours, theirs, err_msg=name)
