"""SATURATED: a pixel at a known level, or a plateau where none is known, and what bled from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.detector import Detector
from astroclean_maximask.mask.evidence.strips import CONNECTED, components

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean_maximask.mask.evidence.strips import Strip

__all__ = ["keep_saturated"]

# Full wells differ among the amplifiers of a detector, and flat fields stretch them, by some
# percent; a nucleus at nine tenths of the level may as well be left out of a measurement.
_OF_LEVEL = 0.9
_RIM = 2
_AROUND = 16
# Of the pixels of a Gaussian above half of its top 7 percent are above 0.95 of it, whatever its
# width, and of what is more peaked fewer. A star clipped at 0.85 of its peak has a quarter.
# Plateaus scatter by 2 percent once a flat field was divided out.
_TOP = 0.95
_HALF = 0.5
_FLAT = 0.2
_FEWEST = 5


def keep_saturated(strip: Strip, found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels that are saturated.

    Parameters
    ----------
    strip : Strip
        What was observed.
    found : (ny, nx) bool
        What the network takes for saturated.

    Returns
    -------
    (ny, nx) bool
        Of these: pixels at the level of the detector; where it is not known, those of a core that
        is flat; holes without a value; and what is joined to any of these along a column or a row.
    """
    level = Detector.from_meta(strip.meta).saturation
    kept = np.zeros_like(found)
    for box, group in components(found, margin=_AROUND):
        full = _without_value(strip.data[box], group)
        if level is not None:
            full |= group & (strip.data[box] >= _OF_LEVEL * level)
        else:
            full |= group & _plateau(strip.data[box] - strip.sky[0][box], group)
        if full.any():
            kept[box] |= _joined(full, group)
    return kept


def _without_value(data: NDArray[np.float32], group: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return pixels of a group around holes in which values wrapped around or were taken out."""
    from scipy.ndimage import binary_dilation, binary_fill_holes  # noqa: PLC0415 - heavy

    holes = ~np.isfinite(data)
    if not holes.any():
        return np.zeros_like(group)
    return np.asarray(binary_dilation(holes & binary_fill_holes(group | holes), CONNECTED) & group)


def _plateau(light: NDArray[np.float32], group: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels near the top of a group if so many of them are there as no star has."""
    from scipy.ndimage import label  # noqa: PLC0415 - heavy

    inside = np.where(group & np.isfinite(light), light, -np.inf)
    place = np.unravel_index(int(np.argmax(inside)), inside.shape)
    top = inside[place]
    if not top > 0:
        return np.zeros_like(group)

    flat = inside >= _TOP * top
    labels, _ = label(np.nan_to_num(light) >= _HALF * top, CONNECTED)
    core = labels == labels[place]
    if np.count_nonzero(flat) < max(_FEWEST, _FLAT * np.count_nonzero(core)):
        return np.zeros_like(group)
    return np.asarray(flat)


def _joined(full: NDArray[np.bool_], group: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return full pixels, their rim, and pixels of the group joined to them along an axis."""
    from scipy.ndimage import binary_dilation, binary_propagation  # noqa: PLC0415 - heavy

    near = binary_dilation(full, CONNECTED, iterations=_RIM) & group
    column = np.zeros((3, 3), dtype=bool)
    column[:, 1] = True
    bled = [binary_propagation(near, structure=line, mask=group) for line in (column, column.T)]
    return np.asarray(bled[0] | bled[1])
