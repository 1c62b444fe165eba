"""Detections from the maps of the finder."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Detections", "detections_of", "joined_detections"]

_WINDOW = 3
"""Pixels along the window in which a centre is the highest."""
_LARGEST = 40.0
"""Half-light radius in pixels that a network is believed."""

_STEPS = 2.0**20
"""Places that are told apart along a pixel."""


@dataclass(frozen=True, eq=False)
class Detections:
    """Sources as the finder sees them; arrays of one length."""

    x: NDArray[np.float64]
    """Pixels."""
    y: NDArray[np.float64]
    probability: NDArray[np.float64]
    """Height of the map of centres, 0 to 1."""
    flux: NDArray[np.float64]
    """Over the noise of a pixel of sky."""
    radius: NDArray[np.float64]
    """Half-light radius before the PSF, pixels."""
    e1: NDArray[np.float64]
    e2: NDArray[np.float64]
    star: NDArray[np.float64]
    """0 to 1."""
    blend: NDArray[np.float64]
    """How probably there is a second source in it, 0 to 1."""

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: Any) -> Detections:
        """Return some of them."""
        return Detections(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def moved(self, y: float, x: float) -> Detections:
        """Return them with another origin of the pixels."""
        return replace(self, y=self.y + y, x=self.x + x)


def joined_detections(parts: Sequence[Detections], fwhm: float) -> Detections:
    """Return the detections of several blocks, each source once, sorted by rows.

    Parameters
    ----------
    parts : sequence of Detections
        Of blocks that overlap a little along their seams, at least one.
    fwhm : float
        Of the PSF, pixels.
    """
    every = Detections(
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(Detections)
        }
    )
    every = every.take(np.lexsort((every.x, every.y)))
    return every.take(_lonely(every, fwhm))


def detections_of(
    maps: NDArray[np.float32], usable: NDArray[np.bool_], fwhm: float, *, level: float
) -> Detections:
    """Return the peaks of the map of centres.

    Parameters
    ----------
    maps : (9, ny, nx) float32
        Answer of the finder.
    usable : (ny, nx) bool
        Pixels that could be read; centres lie on these or beside them.
    fwhm : float
        Of the PSF, pixels, as the finder was told.
    level : float
        Least height of a centre, 0 to 1.

    Returns
    -------
    Detections
        By rows of the frame.
    """
    from scipy.ndimage import binary_dilation, maximum_filter  # noqa: PLC0415 - slow to import

    centre = maps[0]
    near = binary_dilation(usable, np.ones((3, 3), dtype=bool))
    threshold = np.log(level / (1 - level))
    is_peak = (centre >= threshold) & (centre == maximum_filter(centre, _WINDOW)) & near
    rows, columns = np.nonzero(is_peak)
    # Not flux by flux: places, sizes and fluxes of pixels beside the peak would say the same.
    _, y, x, flux, radius, e1, e2, star, blend = maps[:, rows, columns].astype(np.float64)
    found = Detections(
        columns + _in_steps(x),
        rows + _in_steps(y),
        _chance(centre[rows, columns].astype(np.float64)),
        fwhm * np.exp(np.clip(flux, -5, 18)),
        np.minimum(fwhm * np.exp(np.clip(radius, -4, 5)), _LARGEST),
        e1,
        e2,
        _chance(star),
        _chance(blend),
    )
    return found.take(_lonely(found, fwhm))


def _in_steps(offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return offsets to which the first pixel of a chunk can be added without rounding."""
    return np.asarray(np.rint(np.clip(offset, -1, 1) * _STEPS) / _STEPS)


def _chance(logit: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-np.clip(logit, -50, 50))))


def _lonely(found: Detections, fwhm: float) -> NDArray[np.bool_]:
    """Leave out the less probable of two peaks that point to the same place."""
    from scipy.spatial import cKDTree  # noqa: PLC0415 - slow to import

    kept = np.ones(len(found), dtype=bool)
    if len(found) < 2:  # noqa: PLR2004 - a pair
        return kept
    places = np.column_stack([found.y, found.x])
    pairs = cKDTree(places).query_pairs(max(0.8, 0.3 * fwhm), output_type="ndarray")
    # The most probable first: one that is left out takes no other with it.
    weaker = np.minimum(found.probability[pairs[:, 0]], found.probability[pairs[:, 1]])
    for first, second in pairs[np.lexsort((pairs[:, 1], pairs[:, 0], -weaker))]:
        if kept[first] and kept[second]:
            loser = second if found.probability[first] >= found.probability[second] else first
            kept[loser] = False
    return kept
