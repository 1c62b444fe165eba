"""The deep of large holes, filled on a coarser grid, from which what is around them is seen.

The network has learned to fill from nearby. Far from all that is seen its answers are no guess but
nonsense, and it does not know. Seen half as finely, a hole is half as large.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean_pconv.fill.filling import Surroundings, fill_holes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.inference.stage_network import StageNetwork
    from astroclean_pconv.fill.filling import Filled

    Box = tuple[slice, slice]

__all__ = ["DEEPEST", "deeper_than", "fill_deep"]

DEEPEST = 32.0
"""Pixels from what is seen up to which the network knows how far off its fillings are."""
_DEEP = 20.0
"""Pixels from what is seen: a hole as deep as this is first filled on a coarser grid."""
_RIM = 12.0
"""Pixels from what is seen up to which such a hole is filled on the frame's own grid; of 12 and 16
the better one, for holes of 26 to 125 pixels radius."""
_RAMP = 8.0
"""Pixels over which the one filling goes over into the other."""
_CROP = 384
"""Pixels around holes that the coarser view shows."""


def deeper_than(around: Surroundings, least: float) -> NDArray[np.bool_]:
    """Return the pixels of holes, (ny, nx), that lie farther than that from what is seen."""
    return np.asarray(_depths(around, least) > least)


def _depths(around: Surroundings, least: float) -> NDArray[np.float32]:
    """Return how far pixels lie from what is seen, (ny, nx).

    0 in no hole, in holes that are nowhere deeper than ``least``, and where nothing is seen at all;
    not told apart beyond ``least``.
    """
    from scipy.ndimage import (  # noqa: PLC0415 - costs a fifth of a second
        distance_transform_edt,
        find_objects,
        label,
    )

    seen = around.usable & ~around.holes
    found = np.zeros(seen.shape, dtype=np.float32)
    if not seen.any():
        return found
    labels, _ = label(around.holes, np.ones((3, 3)))
    for number, box in enumerate(find_objects(labels), start=1):
        if min(part.stop - part.start for part in box) <= least:
            continue
        wide = _padded(box, int(least) + 2, seen.shape)
        if seen[wide].any():
            away = distance_transform_edt(~seen[wide]).astype(np.float32)
        else:
            away = np.full(seen[wide].shape, np.inf, dtype=np.float32)
        rows, columns = (
            slice(part.start - whole.start, part.stop - whole.start)
            for part, whole in zip(box, wide, strict=True)
        )
        own = np.where(labels[box] == number, away[rows, columns], 0)
        if own.max() > least:
            found[box] = np.maximum(found[box], own)
    return found


def fill_deep(
    network: StageNetwork,
    around: Surroundings,
    *,
    seed: int | None = None,
    coarse: StageNetwork | None = None,
) -> Filled:
    """Fill holes as `fill_holes` does, of any size.

    What is found of the deep on a grid half as fine, and if need be on grids coarser still, counts
    as seen on the next finer one. So all cut-outs that share a hole agree on its middle.

    Parameters
    ----------
    network, around, seed
        As of `fill_holes`. Of the whole frame: what decides may lie anywhere.
    coarse : StageNetwork, optional
        For coarser grids; the same without it. One that takes light of sources for granted would
        do so on each grid again.

    Returns
    -------
    Filled
        New arrays. What stays NaN has next to nothing around it on the coarsest grid.
    """
    depth = _depths(around, _DEEP)
    deep = depth > _RIM - _RAMP
    if not deep.any():
        return fill_holes(network, around, seed=seed)
    rows, columns = (np.flatnonzero(deep.any(axis=axis)) for axis in (1, 0))
    box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    box = _padded(box, _CROP, deep.shape)
    coarser = _coarsely(coarse or network, around, box)
    part = np.where(np.isfinite(coarser[0]), _part(depth[box]), 0)
    given = np.zeros(deep.shape, dtype=bool)
    given[box] = part == 1
    data = np.array(around.data, dtype=np.float32)
    data[box] = np.where(part == 1, coarser[0], data[box])
    filled = fill_holes(network, replace(around, data=data, given=given), seed=seed)
    for target, values in zip((filled.background, filled.deviation), coarser, strict=True):
        fine = np.where(np.isfinite(target[box]), target[box], values)
        target[box] = np.where(part > 0, part * values + (1 - part) * fine, target[box])
    return filled


def _part(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the coarser filling counts: 0 at the rim, 1 in the deep, smooth between."""
    ramp = np.clip((depth - (_RIM - _RAMP)) / _RAMP, 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp), dtype=np.float32)


def _padded(box: Box, margin: int, shape: tuple[int, ...]) -> Box:
    rows, columns = (
        slice(max(part.start - margin, 0), min(part.stop + margin, side))
        for part, side in zip(box, shape, strict=True)
    )
    return rows, columns


def _coarsely(
    network: StageNetwork, around: Surroundings, box: Box
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return background and its deviation in a box, each as its coarser view is filled."""
    from scipy.ndimage import map_coordinates  # noqa: PLC0415 - costs a fifth of a second

    first = tuple(part.start + start for part, start in zip(box, around.origin, strict=True))
    # The same blocks wherever a frame begins.
    before = tuple(value % 2 for value in first)
    seen = (around.usable & ~around.holes)[box]
    count = _blocks(seen, before)
    total = _blocks(np.where(seen, around.data[box], 0), before)
    usable = count > 0
    coarse = Surroundings(
        np.where(usable, total / np.maximum(count, 1), 0).astype(np.float32),
        usable,
        ~usable & (_blocks(around.holes[box], before) > 0),
        (first[0] // 2, first[1] // 2),
    )
    filled = fill_deep(network, coarse)
    lines = [(np.arange(n) + odd - 0.5) / 2 for n, odd in zip(seen.shape, before, strict=True)]
    places = np.meshgrid(*lines, indexing="ij")
    background, deviation = (
        map_coordinates(layer, places, order=1, mode="nearest")
        for layer in (
            np.where(usable, coarse.data, filled.background),
            np.where(usable, np.float32(0), filled.deviation),
        )
    )
    return background, deviation


def _blocks(image: NDArray[Any], before: tuple[int, ...]) -> NDArray[np.float64]:
    """Return sums of two by two pixels; beyond the image there is nothing."""
    pads = [(odd, (n + odd) % 2) for odd, n in zip(before, image.shape, strict=True)]
    whole = np.pad(image.astype(np.float64), pads)
    ny, nx = whole.shape
    return np.asarray(whole.reshape(ny // 2, 2, nx // 2, 2).sum(axis=(1, 3)))
