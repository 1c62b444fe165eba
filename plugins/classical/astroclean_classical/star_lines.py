"""Lines that come out of stars: trails of bled charge, and spikes; not those of the detector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.stage.scope import measure
from astroclean_classical.saturation.holes import small_holes
from astroclean_classical.saturation.piles import ClippedSurvey

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["full_pixels", "lines_of_stars", "star_cores"]

# Of a star whose charge bleeds: so wide, and so high above the sky in deviations.
_THICK = 7
_BRIGHT = 50
_NEAR = 4
"""Pixels around a core in which a line is that of the star: its profile, and medians across it."""
_STEADY = 0.5
"""Height of a line far from a star over that near it. A trail ends and a spike falls; the charge
of a hot column is the same in all rows."""
_LONG = 0.5
"""Of the side of the frame: so long is a line of the detector that ends within it. Others go on to
the border, for charge is read out through them."""
_BORDER = 2
_BLED = 0.8
"""Of the level: charge that joins a saturated pixel."""
_HOLE = 100
"""Pixels of a hole in a saturated core."""


def full_pixels(frame: Frame) -> tuple[NDArray[np.bool_], bool]:
    """Return the saturated pixels of a frame, and whether a stage or a DQ has flagged them.

    Parameters
    ----------
    frame : Frame
        All of it. Not modified.

    Returns
    -------
    (ny, nx) bool, bool
        The plane SATURATED, if there is any; else pixels above the level of the detector, else
        those at which stars are cut off.
    """
    from scipy.ndimage import binary_dilation, binary_propagation  # noqa: PLC0415 - heavy

    flagged = frame.where(MaskPlane.SATURATED)
    if flagged.any():
        return flagged, True
    level: Any = frame.detector.saturation
    if level is None:
        survey = ClippedSurvey(frame.shape, fraction=1.0)
        found = measure(survey, lambda: [(frame, slice(0, frame.shape[0]))])
        level = found.levels.over(frame)
    full: NDArray[np.bool_] = frame.data >= level
    if full.any():
        # As the stage `saturation` follows, fills and widens what it flags.
        square = np.ones((3, 3))
        full = binary_propagation(full, square, mask=full | (frame.data >= _BLED * level))
        full = binary_dilation(full | small_holes(full, _HOLE))
    return full, False


def star_cores(data: NDArray[np.float32], full: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return saturated pixels, and the cores of stars so bright that they have spikes.

    Parameters
    ----------
    data : (ny, nx) float32
        Without NaN.
    full : (ny, nx) bool
        Saturated pixels.
    """
    from astropy.stats import mad_std  # noqa: PLC0415 - heavy
    from scipy.ndimage import binary_opening  # noqa: PLC0415 - heavy

    sky, noise = float(np.median(data)), float(mad_std(data))
    bright = (data > sky + _BRIGHT * noise) | full
    cores: NDArray[np.bool_] = binary_opening(bright, np.ones((_THICK, _THICK)))
    # Saturated trails are thinner than a star; a saturated pixel alone is a hit.
    cores |= binary_opening(full, np.ones((3, 3)))
    return cores


def lines_of_stars(
    lines: NDArray[np.bool_],
    height: NDArray[np.float32],
    cores: NDArray[np.bool_],
    *,
    shortest: int,
) -> NDArray[np.bool_]:
    """Return the lines that are trails or spikes of stars.

    Parameters
    ----------
    lines : (ny, nx) bool
        Lines along the first axis.
    height : (ny, nx) float32
        Of pixels over those beside their line; of dark lines, depth.
    cores : (ny, nx) bool
        As of :func:`star_cores`.
    shortest : int
        What is left of a line outside of stars is no line of its own where it is shorter, pixels.

    Returns
    -------
    (ny, nx) bool
        Of `lines`: those that come out of a star and end within the frame, or fade with the
        distance from it. Of the others, what lies upon a star.
    """
    from scipy.ndimage import binary_dilation, find_objects, label  # noqa: PLC0415 - heavy

    near = binary_dilation(cores, np.ones((3, 3)), iterations=_NEAR)
    labels, count = label(lines, structure=np.ones((3, 3)))
    touched = np.zeros(count + 1, dtype=bool)
    touched[labels[near]] = True
    from_stars: NDArray[np.bool_] = lines & near
    for number, box in enumerate(find_objects(labels), start=1):
        own = labels[box] == number
        rest = own & ~near[box]
        rows = np.flatnonzero(rest.any(axis=1))
        if not touched[number]:
            continue
        is_long = _is_long(rows + box[0].start, len(lines), shortest)
        if not (is_long and _is_steady(rest, height[box], near[box])):
            from_stars[box] |= own
            continue
        parts, count_of_parts = label(rest, structure=np.ones((3, 3)))
        least = _STEADY * np.median(height[box][rest])
        for part in range(1, count_of_parts + 1):
            # Lines are found in whole pieces, of which a star may hide where they end.
            if np.median(height[box][parts == part]) < least:
                from_stars[box] |= parts == part
    return from_stars


def _is_long(rows: NDArray[np.intp], length: int, shortest: int) -> bool:
    """Return whether rows of a frame of some length are many, or go on to its border."""
    if len(rows) < shortest:
        return False
    at_border = rows[0] < _BORDER or rows[-1] >= length - _BORDER
    return bool(at_border or len(rows) >= _LONG * length)


def _is_steady(
    rest: NDArray[np.bool_],
    height: NDArray[np.float32],
    near: NDArray[np.bool_],
) -> bool:
    """Return whether a line is as high far from the stars on it as it is near them."""
    rows = np.arange(len(rest))
    stars = np.flatnonzero(near.any(axis=1))
    after = np.clip(np.searchsorted(stars, rows), 0, len(stars) - 1)
    before = np.maximum(after - 1, 0)
    distance = np.minimum(np.abs(stars[after] - rows), np.abs(stars[before] - rows))
    away = np.broadcast_to(distance[:, None], rest.shape)[rest]
    thirds = np.quantile(away, (1 / 3, 2 / 3))
    inner = float(np.median(height[rest][away <= thirds[0]]))
    outer = float(np.median(height[rest][away >= thirds[1]]))
    return outer >= _STEADY * inner
