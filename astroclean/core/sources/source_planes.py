"""What is known of the pixels of each source: saturated, filled, flagged, and by which planes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.flags.planes import MADE_UP, MaskPlane
from astroclean.core.sources.columns import COLUMNS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.sources.sources import Sources

__all__ = ["PLANE_COLUMNS", "with_plane_columns", "with_plane_columns_of"]

# Every pixel of a source has this one once there is a catalogue; it tells nothing.
_TOLD = ~MaskPlane.SOURCE
_NAMES = ", ".join(f"{plane.bit} {plane.name}" for plane in MaskPlane if plane & _TOLD)

PLANE_COLUMNS = {
    name: COLUMNS[name].meaning for name in ("n_saturated", "n_filled", "n_flagged", "planes")
}
PLANE_COLUMNS["planes"] += f"; bits: {_NAMES}"
"""Columns that each catalogue with a segmentation has, with their meaning."""


def with_plane_columns(sources: Sources, frame: Frame) -> Sources:
    """Return sources with the columns of :data:`PLANE_COLUMNS`.

    The pixels of a source are those of its segmentation and, beside them and within their box, the
    rejected pixels that no source has: detection does not read these, so the saturated core of a
    star is a hole in its segmentation. Such pixels between sources belong to the nearest.

    Parameters
    ----------
    sources : Sources
        Not modified. Without a segmentation it is returned as it is: nothing tells which pixels
        belong to a source.
    frame : Frame
        Gives flags and rejecting planes, as they were when the sources were looked for.

    Returns
    -------
    Sources
        Its table is new: three counts (int32) and ``planes`` (uint32) at the end.
    """
    if sources.segmentation is None:
        return sources
    rejects = (frame.flags & np.uint32(frame.reject_bits)) != 0
    rows = _with_holes(_rows_of(sources), rejects)
    # Most pixels of sources have no flag, and only those that have one count.
    marked = (rows > 0) & (frame.flags != 0)
    row, flags = rows[marked] - 1, frame.flags[marked]

    def count(planes: MaskPlane) -> NDArray[np.int32]:
        has = (flags & np.uint32(planes)) != 0
        return np.bincount(row[has], minlength=len(sources)).astype(np.int32)

    joined = np.zeros(len(sources), dtype=np.uint32)
    np.bitwise_or.at(joined, row, flags & np.uint32(_TOLD))
    columns = {
        "n_saturated": count(MaskPlane.SATURATED),
        "n_filled": count(MADE_UP),
        "n_flagged": count(frame.reject_bits),
        "planes": joined,
    }
    table = sources.table.copy()
    for name, values in columns.items():
        table[name] = values
        table[name].info.description = PLANE_COLUMNS[name]
    return replace(sources, table=table)


def with_plane_columns_of(sources: Sources, earlier: Sources | None) -> Sources:
    """Return sources with what an earlier catalogue tells of the same ids.

    For a catalogue that a later stage made from the deblender's, such as one of fitted fluxes.

    Parameters
    ----------
    sources : Sources
        Not modified.
    earlier : Sources or None
        May have the columns of :data:`PLANE_COLUMNS`.

    Returns
    -------
    Sources
        With these columns if each of its ids is among the earlier ones; else as it is.
    """
    if earlier is None or not set(PLANE_COLUMNS) <= set(earlier.table.colnames):
        return sources
    rows = {int(number): row for row, number in enumerate(earlier.table["id"])}
    ids = [int(number) for number in sources.table["id"]]
    if not rows.keys() >= set(ids) or set(PLANE_COLUMNS) & set(sources.table.colnames):
        return sources
    table = sources.table.copy()
    for name, meaning in PLANE_COLUMNS.items():
        table[name] = np.asarray(earlier.table[name])[[rows[number] for number in ids]]
        table[name].info.description = meaning
    return replace(sources, table=table)


def _rows_of(sources: Sources) -> NDArray[np.int32]:
    """Return for each pixel the row of its source in the catalogue, from 1; 0 for none."""
    labels = np.asarray(sources.segmentation)
    ids = np.asarray(sources.table["id"])
    rows = np.zeros(labels.shape, dtype=np.int32)
    if not len(ids):
        return rows
    order = np.argsort(ids)
    owned = labels > 0
    place = np.minimum(np.searchsorted(ids, labels[owned], sorter=order), len(ids) - 1)
    # A label without a row belongs to no source of the catalogue.
    rows[owned] = np.where(ids[order[place]] == labels[owned], order[place] + 1, 0)
    return rows


def _with_holes(labels: NDArray[np.int32], rejects: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return labels that also cover the rejected pixels beside a source and within its box."""
    from scipy.ndimage import (  # noqa: PLC0415 - slow to import
        binary_dilation,
        distance_transform_edt,
        find_objects,
        label,
    )

    beside = rejects & (labels == 0)
    if not beside.any() or not labels.any():
        return labels
    around = np.ones((3, 3), dtype=bool)
    groups, _ = label(beside, around)
    touching = np.unique(groups[binary_dilation(labels > 0, around) & beside])
    boxes, extents = find_objects(groups), find_objects(labels)
    grown = labels.copy()
    for group in touching:
        box = tuple(
            slice(max(side.start - 1, 0), min(side.stop + 1, size))
            for side, size in zip(boxes[group - 1], labels.shape, strict=True)
        )
        near = labels[box]
        hole = groups[box] == group
        rows, columns = distance_transform_edt(
            near == 0, return_distances=False, return_indices=True
        )
        owner = near[rows[hole], columns[hole]]
        y, x = np.nonzero(hole)
        inside = _within(extents, owner, y + box[0].start, x + box[1].start)
        grown[y[inside] + box[0].start, x[inside] + box[1].start] = owner[inside]
    return grown


def _within(
    extents: list[tuple[slice, slice] | None],
    owner: NDArray[np.int32],
    y: NDArray[np.intp],
    x: NDArray[np.intp],
) -> NDArray[np.bool_]:
    """Return which pixels lie in the box of their owner: bleed trails and borders go far beyond."""
    inside = np.zeros(len(owner), dtype=bool)
    for one in np.unique(owner):
        extent = extents[one - 1]
        if extent is None:
            continue
        rows, columns = extent
        within = (y >= rows.start) & (y < rows.stop) & (x >= columns.start) & (x < columns.stop)
        inside |= (owner == one) & within
    return inside
