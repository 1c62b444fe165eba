"""All rules on a frame, plane by plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.parallel import in_threads
from astroclean.core.stage.scope import chunk_of
from astroclean_maximask.mask.evidence.overscan import keep_overscan
from astroclean_maximask.mask.evidence.points import keep_dead_lines, keep_dead_pixels, keep_hits
from astroclean_maximask.mask.evidence.reflections import keep_crosstalk, keep_ghosts
from astroclean_maximask.mask.evidence.saturated import keep_saturated
from astroclean_maximask.mask.evidence.spikes import keep_spikes
from astroclean_maximask.mask.evidence.strips import strips_of
from astroclean_maximask.mask.evidence.trails import keep_trails

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.inference.tiles.normalize import Measurement
    from astroclean_maximask.mask.evidence.strips import Strip

__all__ = ["RULES", "judge"]

RULES: dict[MaskPlane, Callable[[Strip, NDArray[np.bool_]], NDArray[np.bool_]]] = {
    MaskPlane.SATURATED: keep_saturated,
    MaskPlane.OVERSCAN: keep_overscan,
    MaskPlane.TRAIL: keep_trails,
    MaskPlane.GHOST: keep_ghosts,
    MaskPlane.CROSSTALK: keep_crosstalk,
    MaskPlane.SPIKE: keep_spikes,
    MaskPlane.COSMIC_RAY: keep_hits,
    MaskPlane.DEAD_LINE: keep_dead_lines,
    MaskPlane.DEAD_PIXEL: keep_dead_pixels,
}


def judge(
    frame: Frame,
    flags: NDArray[np.uint32],
    measured: Measurement,
    *,
    height: int,
    margin: int,
    threads: int = 1,
) -> NDArray[np.uint32]:
    """Return the flags for which there is evidence.

    Parameters
    ----------
    frame : Frame
        Not modified; a part of a larger one, or all of it.
    flags : (ny, nx) uint32
        What the network says. Not modified.
    measured : Measurement
        Sky and noise of the whole frame.
    height, margin : int
        As for :func:`strips_of`.
    threads : int
        Strips that are judged at a time.

    Returns
    -------
    (ny, nx) uint32
        A new array: flags without those that nothing bears out. Planes without a rule, and rows of
        strips that the part does not hold whole, are as they were.
    """
    kept = flags.copy()
    y0 = chunk_of(frame).origin[0]

    def work(strip: Strip) -> None:
        first = strip.origin - y0
        rows = slice(first + strip.own.start, first + strip.own.stop)
        present = int(np.bitwise_or.reduce(flags[rows], axis=None))
        for plane, keep in RULES.items():
            if not present & plane:
                continue
            found = np.zeros(strip.data.shape, dtype=bool)
            found[strip.own] = (flags[rows] & np.uint32(plane)) != 0
            gone = found & ~keep(strip, found)
            kept[rows][gone[strip.own]] &= ~np.uint32(plane)

    in_threads(work, strips_of(frame, measured, height=height, margin=margin), threads)
    return kept
