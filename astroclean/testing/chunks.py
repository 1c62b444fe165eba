"""Run a stage on a frame in chunks of rows, as the runner does with frames larger than memory."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.image.uncertainty import deviation_of
from astroclean.core.stage.scope import Chunk, measure
from astroclean.runner.work.joined_sources import JoinedSources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.results import StageResult
    from astroclean.core.stage.stage import Stage

__all__ = ["frame_chunks", "run_in_chunks"]


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
        name; ``sources``, where the stage finds any, are `Sources` of the whole frame.
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
    with tempfile.TemporaryDirectory() as folder:
        joined = JoinedSources(frame.shape, Path(folder))
        for chunk, own in frame_chunks(frame, rows=rows, halo=halo, measured=measured):
            result = stage.run(chunk)
            if result.frame.sources is not None:
                joined.add(chunk, result.frame.sources, own)
            _add(pieces, result, own)
        images: dict[str, Any] = {name: np.concatenate(part) for name, part in pieces.items()}
        sources = joined.whole()
        if sources is not None:
            labels = sources.segmentation
            images["sources"] = replace(sources, segmentation=labels and labels[:])
    return images


def _add(pieces: dict[str, list[NDArray[Any]]], result: StageResult, own: slice) -> None:
    """Add the own rows of all images of a chunk."""
    images = {"data": result.frame.data, "flags": result.frame.flags, **result.products}
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
