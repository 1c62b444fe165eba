"""Light of the true sources of a frame, and how far it is above the noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.sources.sources import Sources, SourceStamp
    from astroclean.simulate.scene import Scene

__all__ = ["light_of", "own_and_total", "source_snr"]


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
            stamp.add_to(image)
        return image
    if scene.clean is not None and scene.background is not None:
        return np.asarray(scene.clean - scene.background, dtype=np.float64)
    return None


def own_and_total(
    stamp: SourceStamp, total: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a source's light and that of all sources, in the part of its box on the frame."""
    on_frame, of_stamp = stamp.overlap(total.shape)
    return stamp.data[of_stamp].astype(np.float64), total[on_frame]


def source_snr(sources: Sources, sigma: NDArray[np.float64]) -> dict[int, float]:
    """Return the S/N of each source that has a stamp, for the best weights.

    ``sqrt(sum (f / sigma)^2)``: that of a fit of the source's own image in noise ``sigma``.
    """
    found = {}
    for stamp in sources.stamps:
        own, around = own_and_total(stamp, sigma)
        found[int(stamp.id)] = float(np.sqrt(np.sum((own / around) ** 2)))
    return found
