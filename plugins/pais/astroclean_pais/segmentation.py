"""Which source owns each pixel, by the models of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from astroclean.core.sources.sources import SourceStamp

__all__ = ["segmentation_of"]


def segmentation_of(
    models: Sequence[SourceStamp],
    noise: NDArray[np.floating],
    usable: NDArray[np.bool_],
    *,
    k: float = 1.0,
) -> NDArray[np.int32]:
    """Return the source whose model is the largest in each pixel that the models light up.

    Parameters
    ----------
    models : sequence of SourceStamp
        Light of the sources in the unit of the frame; boxes may reach beyond it. Not modified.
    noise : (ny, nx) float
        Standard deviation of each pixel in the same unit; where it is not positive and finite no
        pixel is lit. Not modified.
    usable : (ny, nx) bool
        Pixels that a source without any other may have as its center.
    k : float
        A pixel is lit where the sum of the models exceeds so many times the noise.

    Returns
    -------
    (ny, nx) int32
        ``id`` of a source, 0 for sky. Each source has the brightest usable pixel of its model, or
        the next that is not the center of another: no source is without a pixel unless its light
        lies on none that is usable.
    """
    labels = np.zeros(noise.shape, dtype=np.int32)
    largest, total = np.zeros(noise.shape), np.zeros(noise.shape)
    for model in models:
        on_image, of_box = model.overlap(noise.shape)
        light = model.data[of_box]
        wins = light > largest[on_image]
        largest[on_image][wins] = light[wins]
        labels[on_image][wins] = model.id
        total[on_image] += light
    lit = np.isfinite(noise) & (noise > 0) & (total > k * noise)
    labels[~lit] = 0
    _give_centers(labels, models, usable)
    return labels


def _give_centers(
    labels: NDArray[np.int32], models: Sequence[SourceStamp], usable: NDArray[np.bool_]
) -> None:
    """Give each source its central pixel, in place; of one center the brighter source has it."""
    free = usable.copy()
    peaks = np.array([model.data.max(initial=0.0) for model in models])
    for one in np.argsort(-peaks, kind="stable"):
        model = models[one]
        on_image, of_box = model.overlap(labels.shape)
        light = np.where(free[on_image], model.data[of_box], 0)
        if light.max(initial=0.0) <= 0:
            continue
        y, x = np.unravel_index(int(light.argmax()), light.shape)
        labels[on_image][y, x] = model.id
        free[on_image][y, x] = False
