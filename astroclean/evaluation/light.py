"""Noise of a frame, light of its true sources, and the pixels that they cover."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from astropy.stats import mad_std

from astroclean.core.uncertainty import deviation_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.frame import Frame
    from astroclean.core.sources import Sources, SourceStamp
    from astroclean.simulate.scene import Scene

__all__ = ["add_stamp", "boxes_of", "light_of", "local_sigma", "own_and_total", "source_snr"]

_BOX = 64
_FEWEST = 16


def local_sigma(frame: Frame) -> NDArray[np.float32]:
    """Return the noise of each pixel, in the unit of the frame.

    Parameters
    ----------
    frame : Frame
        Its uncertainty is taken where it is finite and positive; elsewhere the scatter (1.4826
        MAD) of the usable pixels in a box of 64.

    Returns
    -------
    (ny, nx) float32
        Positive; 1 in a frame without scatter.
    """
    known = deviation_of(frame.uncertainty)
    if known is not None:
        usable = np.isfinite(known) & (known > 0)
        if usable.all():
            return known
    boxes = _scatter_in_boxes(frame)
    return boxes if known is None else np.where(usable, known, boxes)


def _scatter_in_boxes(frame: Frame) -> NDArray[np.float32]:
    values = np.where(frame.mask | ~np.isfinite(frame.data), np.nan, frame.data)
    everywhere = _scatter(values)
    sigma = np.empty(frame.shape, dtype=np.float32)
    ny, nx = frame.shape
    for y in range(0, ny, _BOX):
        for x in range(0, nx, _BOX):
            box = (slice(y, y + _BOX), slice(x, x + _BOX))
            sigma[box] = _scatter(values[box], otherwise=everywhere)
    return sigma


def _scatter(values: NDArray[np.float32], *, otherwise: float = 1.0) -> float:
    sample = values[np.isfinite(values)]
    if sample.size < _FEWEST:
        return otherwise
    sigma = float(mad_std(sample))
    return sigma if sigma > 0 else otherwise


def boxes_of(
    stamp: SourceStamp, shape: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return where a stamp lies on a frame, and which part of the stamp that is."""
    on_frame, of_stamp = [], []
    for first, size, limit in zip(stamp.origin, stamp.data.shape, shape, strict=True):
        start = min(max(first, 0), limit)
        stop = max(min(first + size, limit), start)
        on_frame.append(slice(start, stop))
        of_stamp.append(slice(start - first, stop - first))
    return (on_frame[0], on_frame[1]), (of_stamp[0], of_stamp[1])


def add_stamp(image: NDArray[np.float64], stamp: SourceStamp) -> None:
    """Add a stamp to an image in place; what reaches beyond the frame is lost."""
    on_frame, of_stamp = boxes_of(stamp, image.shape)
    image[on_frame] += stamp.data[of_stamp]


def light_of(scene: Scene) -> NDArray[np.float64] | None:
    """Return the light of all true sources, without noise: None where the scene does not tell it.

    Parameters
    ----------
    scene : Scene
        With stamps, or with both ``clean`` and ``background``.

    Returns
    -------
    (ny, nx) float64 or None
        In the unit of the frame.
    """
    if scene.sources is not None and scene.sources.stamps:
        image = np.zeros(scene.frame.shape)
        for stamp in scene.sources.stamps:
            add_stamp(image, stamp)
        return image
    if scene.clean is not None and scene.background is not None:
        return np.asarray(scene.clean - scene.background, dtype=np.float64)
    return None


def own_and_total(
    stamp: SourceStamp, total: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a source's light and that of all sources, in the part of its box on the frame."""
    on_frame, of_stamp = boxes_of(stamp, total.shape)
    return stamp.data[of_stamp].astype(np.float64), total[on_frame]


def source_snr(sources: Sources, sigma: NDArray[np.float32]) -> dict[int, float]:
    """Return the S/N of each source that has a stamp, for the best weights.

    ``sqrt(sum (f / sigma)^2)``: that of a fit of the source's own image in noise ``sigma``.
    """
    noise = sigma.astype(np.float64)
    found = {}
    for stamp in sources.stamps:
        own, around = own_and_total(stamp, noise)
        found[int(stamp.id)] = float(np.sqrt(np.sum((own / around) ** 2)))
    return found
