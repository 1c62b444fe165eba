"""OVERSCAN: a strip along a border, or a section of the header, darker than the sky beside it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.stats import mad_std

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean_maximask.mask.evidence.strips import Strip

__all__ = ["keep_overscan", "sections"]

_SECTION = re.compile(r"(BIASSEC|OVERSCAN|OVSC)[A-Z0-9]*")
_FILLED = 0.6
"""Share of the strip that the network must have flagged: it finds 97 percent."""
_BEGUN = 0.2
"""Share of a line of the border from which it may belong to the strip."""
_STEP = 1.0
"""Standard deviations of the sky by which the strip is below what lies beside it."""
_EDGE = 3
"""Lines within which half of the step is taken: nebulae and vignettes fade."""
_UNSURE = 6
"""Lines by which the network may miss the edge, or the border."""
_BESIDE = 8
_NOISE = 1.1
"""Scatter over that of the sky beside, at most: there are no photons to add any."""
_WIDEST = 0.25
"""Of the side of the frame."""


def sections(meta: Any, shape: tuple[int, int]) -> list[tuple[slice, slice]]:
    """Return the overscan that a header names.

    Parameters
    ----------
    meta : mapping
        Header. Cards such as BIASSEC, BIASSEC1 or OVERSCAN count, whose value is a section of IRAF
        ``[x1:x2,y1:y2]``.
    shape : (ny, nx)
        Of the whole frame. A section that reaches beyond it was left over when the frame was
        trimmed.

    Returns
    -------
    list of (slice, slice)
        Rows and columns.
    """
    found = []
    for key in meta:
        if not _SECTION.fullmatch(str(key).upper()):
            continue
        text = re.sub(r"\s", "", str(meta[key]))
        numbers = re.fullmatch(r"\[(\d+):(\d+),(\d+):(\d+)\]", text)
        if numbers is None:
            continue
        x1, x2, y1, y2 = (int(number) for number in numbers.groups())
        if 1 <= x1 <= x2 <= shape[1] and 1 <= y1 <= y2 <= shape[0]:
            found.append((slice(y1 - 1, y2), slice(x1 - 1, x2)))
    return found


def keep_overscan(strip: Strip, found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels that never saw the sky.

    Parameters
    ----------
    strip : Strip
        What was observed.
    found : (ny, nx) bool
        What the network takes for overscan.

    Returns
    -------
    (ny, nx) bool
        Of these: pixels of strips that run along a border from end to end, with a straight and
        sharp edge, below the sky beside them and no noisier; and of sections of the header that
        are below the sky. Never an island, a corner, or dark sky.
    """
    kept = np.zeros_like(found)
    if not found.any():
        return kept
    own = strip.own
    flags, data = found[own], strip.data[own]
    inside = kept[own]
    # A border of the strip that is none of the frame's has no overscan along it.
    sides = (("left", True), ("right", True), ("bottom", strip.is_first), ("top", strip.is_last))
    for side, is_border in sides:
        if is_border:
            turned = (_turned(values, side) for values in (flags, data, inside))
            _keep_side(*turned)
    for rows, columns in sections(strip.meta, strip.shape):
        first = max(rows.start - strip.origin, own.start)
        last = min(rows.stop - strip.origin, own.stop)
        if first < last:
            box = (slice(first, last), columns)
            if np.median(strip.light[box]) < -_STEP:
                kept[box] |= found[box]
    return kept


def _turned(values: NDArray[Any], side: str) -> NDArray[Any]:
    """Return a view in which the side is the first rows."""
    upright = values.T if side in {"left", "right"} else values
    return upright[::-1] if side in {"right", "top"} else upright


def _keep_side(flags: NDArray[np.bool_], data: NDArray[np.float32], kept: NDArray[Any]) -> None:
    """Write into ``kept`` the strip along the first row, if there is one."""
    from scipy.ndimage import maximum_filter1d  # noqa: PLC0415 - heavy

    share = flags[: int(_WIDEST * len(flags)) + 1].mean(axis=1)
    begun = maximum_filter1d(share, 2 * _UNSURE + 1, mode="constant") >= _BEGUN
    width = (len(begun) if begun.all() else int(np.argmin(begun))) - _UNSURE
    if width < 1 or share[:width].mean() < _FILLED:
        return
    beside = data[width + _UNSURE : width + _UNSURE + _BESIDE]
    (low, scatter), (level, noise) = _level(data[:width]), _level(beside)
    # Comparisons with NaN, where nothing is known of either, are false.
    if not (low + _STEP * noise < level and scatter <= _NOISE * noise):
        return
    lines = data[: width + _UNSURE]
    heights = (np.array([_level(line)[0] for line in lines]) - low) / (level - low)
    dark = np.flatnonzero(heights < 0.25)  # noqa: PLR2004 - a quarter of the step
    edge = int(dark[-1]) + 1 if len(dark) else 0
    after = heights[edge : edge + _EDGE]
    if edge >= width - _UNSURE and (not len(after) or after[-1] > 0.75):  # noqa: PLR2004
        kept[: edge + 1] |= flags[: edge + 1]


def _level(values: NDArray[np.float32]) -> tuple[float, float]:
    """Return median and robust scatter; NaN where there is no value."""
    valid = values[np.isfinite(values)]
    if not valid.size:
        return float("nan"), float("nan")
    median = float(np.median(valid))
    return median, float(mad_std(valid))
