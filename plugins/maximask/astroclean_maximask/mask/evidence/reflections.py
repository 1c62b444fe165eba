"""GHOST and CROSSTALK: a figure with an edge all around; a trace of the star that it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean_maximask.mask.evidence.strips import CONNECTED, components, widened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from astroclean_maximask.mask.evidence.strips import Strip

__all__ = ["keep_crosstalk", "keep_ghosts"]

_JOINED = 2
"""Pixels by which flags are widened before they are groups: faint figures come in pieces."""
# Ghosts.
_SMALLEST_GHOST = 250
"""Pixels; a pupil out of focus is 12 pixels in radius at least."""
_SECTORS = 12
_WITH_EDGE = 0.55
"""Share of the sectors with an edge: a halo is brighter outside on the side of its galaxy, a piece
of a nebula on the side of the nebula."""
_EDGE = 0.3
"""Step at the edge over the light of the figure."""
_RIM, _GAP, _OUTSIDE = 4, 2, 6
"""Pixels inside the edge, on it, and from within it to outside, that are compared."""
_FEWEST = 3
# Cross-talk.
_COUPLED = 100.0
"""Star over cross-talk, at least: amplifiers couple by less than a hundredth."""
_APART = 40
"""Pixels; nearer than that, the light of the star itself may be there."""
_BLEED = 8
"""Pixels of each of two pieces beyond the figure that show the trace of a bleed trail."""
_BESIDE = 8
_EVEN = 0.5
"""Of the trace, in either piece."""
_THIN = 0.6
"""Of the light of the trace that is within one pixel of it."""
_SEEN = 6.0
"""Standard deviations of that trace: of hundreds of columns and rows none is so by chance."""


def keep_ghosts(strip: Strip, found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of ghosts.

    The star of a ghost may be outside the frame, so none is asked for.

    Parameters
    ----------
    strip : Strip
        What was observed.
    found : (ny, nx) bool
        What the network takes for ghosts.

    Returns
    -------
    (ny, nx) bool
        Of these: figures as large as a pupil out of focus that are brighter than what is around
        them on most sides. Pieces of halos and nebulae are not.
    """
    kept = np.zeros_like(found)
    for box, own in _figures(found, margin=_OUTSIDE + _JOINED):
        if np.count_nonzero(own) >= _SMALLEST_GHOST and _has_edge(strip.light[box], own):
            kept[box] |= own
    return kept


def keep_crosstalk(strip: Strip, found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of cross-talk.

    Parameters
    ----------
    strip : Strip
        What was observed.
    found : (ny, nx) bool
        What the network takes for cross-talk.

    Returns
    -------
    (ny, nx) bool
        Of these: figures with a star that is a hundred times as bright in the same rows, at the
        place that is read at the same time; and figures with the trace of a bleed trail, which no
        galaxy has.
    """
    kept = np.zeros_like(found)
    for box, own in _figures(found, margin=_JOINED):
        if _has_counterpart(strip, box, own) or _has_bleeding(strip, box, own):
            kept[box] |= own
    return kept


def _figures(
    found: NDArray[np.bool_], *, margin: int
) -> Iterator[tuple[tuple[slice, slice], NDArray[np.bool_]]]:
    """Yield box and flagged pixels of groups that nearly touch."""
    if found.any():
        for box, group in components(widened(found, _JOINED), margin=margin):
            yield box, found[box] & group


def _has_edge(light: NDArray[np.float32], own: NDArray[np.bool_]) -> bool:
    from scipy.ndimage import (  # noqa: PLC0415 - heavy
        binary_closing,
        binary_dilation,
        binary_erosion,
        binary_fill_holes,
    )

    # What is enclosed is the hole of a pupil, or a star that the network knew.
    filled = binary_fill_holes(binary_closing(own, CONNECTED, iterations=_JOINED) | own)
    rim = own & ~binary_erosion(filled, CONNECTED, iterations=_RIM, border_value=1)
    outside = binary_dilation(filled, CONNECTED, iterations=_OUTSIDE)
    outside &= ~binary_dilation(filled, CONNECTED, iterations=_GAP)
    rows, columns = np.indices(light.shape)
    y, x = np.nonzero(filled)
    angle = np.arctan2(rows - y.mean(), columns - x.mean())
    sector = ((angle + np.pi) / (2 * np.pi) * _SECTORS).astype(int) % _SECTORS
    least = _EDGE * float(np.median(light[own]))
    steps = []
    for number in range(_SECTORS):
        inner = light[rim & (sector == number)]
        outer = light[outside & (sector == number)]
        if len(inner) >= _FEWEST and len(outer) >= _FEWEST:
            # Medians scatter 1.25 times as much as means.
            noise = 1.25 * np.sqrt(1 / len(inner) + 1 / len(outer))
            steps.append((np.median(inner) - np.median(outer)) / max(least, noise))
    # A figure that the border cuts has fewer sectors; one of which little is seen has no edge.
    return len(steps) >= _SECTORS // 2 and float(np.mean(np.array(steps) > 1)) >= _WITH_EDGE


def _has_counterpart(strip: Strip, box: tuple[slice, slice], own: NDArray[np.bool_]) -> bool:
    rows, columns = np.nonzero(own)
    rows, columns = rows + box[0].start, columns + box[1].start
    faint = abs(float(np.median(strip.light[rows, columns])))
    width = strip.data.shape[1]
    # Two amplifiers are read towards opposite corners, or both in the same direction.
    for there in (width - 1 - columns, (columns + width // 2) % width):
        if abs(float(np.median(there - columns))) < _APART:
            continue
        bright = float(np.median(strip.light[rows, there]))
        if bright > _COUPLED * max(faint, 1.0):
            return True
    return False


def _has_bleeding(strip: Strip, box: tuple[slice, slice], own: NDArray[np.bool_]) -> bool:
    sign = np.sign(np.median(strip.light[box][own]))
    rows, columns = np.nonzero(own)
    top, bottom = int(rows.min()) + box[0].start, int(rows.max()) + box[0].start + 1
    left, right = int(columns.min()) + box[1].start, int(columns.max()) + box[1].start + 1
    light = strip.light[strip.own] * sign
    top, bottom = top - strip.own.start, bottom - strip.own.start
    return _line_seen(light, (top, bottom), (left, right)) or _line_seen(
        light.T, (left, right), (top, bottom)
    )


def _line_seen(light: NDArray[np.float32], along: tuple[int, int], across: tuple[int, int]) -> bool:
    """Return whether a thin line of one brightness is in or at a figure, along the first axis."""
    first, last = max(across[0] - _BESIDE, 0), min(across[1] + _BESIDE, light.shape[1])
    if last - first <= 2 * _BESIDE:
        return False
    noise = 1.25 * np.sqrt(1.5 / (2 * _BLEED))
    # The figure may hold the beginning of the trail, or all of it.
    for start in range(along[0] - 2 * _BLEED, along[1] + 1, _BLEED):
        end = light[max(start, 0) : start + 2 * _BLEED, first:last]
        if len(end) < 2 * _BLEED:
            continue
        # Medians along the line: a star on it is none.
        whole, near, far = (
            _ridge(np.median(part, axis=0)) for part in (end, end[:_BLEED], end[_BLEED:])
        )
        # Of a galaxy there is less further out, and the columns beside have most of its light.
        even = np.minimum(near[0], far[0]) > _EVEN * whole[0]
        thin = whole[0] > _THIN * whole[1]
        if np.any((whole[0] > _SEEN * noise) & even & thin):
            return True
    return False


def _ridge(level: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return by how much columns are above those two off, and those further off, on both sides."""
    middle = level[_BESIDE:-_BESIDE]
    inner = np.maximum(level[_BESIDE - 2 : -_BESIDE - 2], level[_BESIDE + 2 :][: len(middle)])
    outer = np.minimum(level[: len(middle)], level[2 * _BESIDE :])
    return np.array([middle - inner, middle - outer])
