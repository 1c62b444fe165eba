"""Run a stage on a frame in bands of rows, as the runner does with frames larger than memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.scope import Chunk, measure
from astroclean.core.uncertainty import deviation_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from astroclean.core.frame import Frame
    from astroclean.core.stage import Stage

__all__ = ["frame_bands", "run_in_bands"]


def run_in_bands(stage: Stage, frame: Frame, *, rows: int) -> dict[str, NDArray[Any]]:
    """Run a local stage band by band.

    Parameters
    ----------
    stage : Stage
        Its ``scope`` has a halo in pixels.
    frame : Frame
        Not modified.
    rows : int
        Rows of a band, without halo; rounded up to the step of the stage's ``scope``.

    Returns
    -------
    dict of str to (ny, nx) array
        ``data``, ``flags``, ``uncertainty`` (standard deviation) where there is one, and products.
    """
    corner = frame[:1, :1].replace(chunk=Chunk((0, 0), frame.shape))
    scope = stage.scope(corner)
    halo, survey = scope.halo, scope.survey
    assert halo is not None, f"stage '{stage.name}' needs the whole frame"
    rows = -(-rows // scope.step) * scope.step
    measured = {}
    if survey is not None:
        measured[stage.name] = measure(survey, lambda: frame_bands(frame, rows=rows, halo=halo))
    pieces: dict[str, list[NDArray[Any]]] = {}
    for band, own in frame_bands(frame, rows=rows, halo=halo, measured=measured):
        result = stage.run(band)
        images = {"data": result.frame.data, "flags": result.frame.flags, **result.products}
        deviation = deviation_of(result.frame.uncertainty)
        if deviation is not None:
            images["uncertainty"] = deviation
        for name, image in images.items():
            pieces.setdefault(name, []).append(np.asarray(image)[own])
    return {name: np.concatenate(parts) for name, parts in pieces.items()}


def frame_bands(
    frame: Frame, *, rows: int, halo: int, measured: Mapping[str, Any] | None = None
) -> Iterator[tuple[Frame, slice]]:
    """Yield bands of a frame with their halo, and the rows of each that are its own."""
    height = frame.shape[0]
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        first, last = max(start - halo, 0), min(stop + halo, height)
        chunk = Chunk((first, 0), frame.shape, measured or {})
        yield frame[first:last].replace(chunk=chunk), slice(start - first, stop - first)
