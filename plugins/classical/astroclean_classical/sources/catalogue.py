"""The catalogue that the detection plugins share: one meaning for one column name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.sources.columns import catalogue_table
from astroclean.core.sources.sources import Sources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["COLUMNS", "make_sources", "no_sources", "rows_around"]

_CENTROID = "flux-weighted centroid, pixels; the first pixel's center is 0"
_MEANINGS = {
    "id": "label in the segmentation, from 1",
    "x": _CENTROID,
    "y": _CENTROID,
    "flux": "sum over the source's pixels, background subtracted",
    "flux_err": "standard deviation of flux, from the noise of the pixels",
}
"""What these methods say of columns more than `astroclean.core.sources.columns` does."""
COLUMNS = (
    *_MEANINGS,
    "flux_auto",
    "flux_auto_err",
    "peak",
    "a",
    "b",
    "theta",
    "fwhm",
    "kron_radius",
    "npix",
    "flag",
)
"""Columns in their order."""

_REACH = 128
"""Rows to which a source may reach from its centre, at the least, to be seen whole."""


def rows_around(box: int, filtered: int) -> int:
    """Return how many rows around a chunk are looked at with it.

    Parameters
    ----------
    box : int
        Height of the boxes in which the background is measured, in pixels.
    filtered : int
        Height of the median filter over boxes, in boxes.

    Returns
    -------
    int
        Whole boxes: those of the filter, and two more, beyond which the end of the spline between
        boxes has faded to a fifteenth.
    """
    boxes = filtered // 2 + 2
    return max(boxes, -(-_REACH // box)) * box


def make_sources(
    frame: Frame,
    columns: Mapping[str, Any],
    segmentation: NDArray[np.int32],
    *,
    meanings: Mapping[str, str] | None = None,
) -> Sources:
    """Return sources with columns of catalogues, those of :data:`COLUMNS` first.

    Parameters
    ----------
    frame : Frame
        Gives the unit of fluxes: see :func:`~astroclean.core.image.fluxes.flux_scale`.
    columns : mapping
        Name to plain values, one a source; those that a method does not give are left out. Fluxes
        are sums of pixels.
    segmentation : (ny, nx) int32
        Labels.
    meanings : mapping of str to str, optional
        What columns are where it is not what sep and photutils give.

    Returns
    -------
    Sources
        Table with units and descriptions.
    """
    ordered = [name for name in COLUMNS if name in columns]
    ordered += [name for name in columns if name not in COLUMNS]
    values = {name: columns[name] for name in ordered}
    table = catalogue_table(values, frame, meanings={**_MEANINGS, **(meanings or {})})
    return Sources(table, segmentation=segmentation)


def no_sources(frame: Frame) -> Sources:
    """Return an empty catalogue with all columns, and a segmentation without a label.

    Parameters
    ----------
    frame : Frame
        Gives shape and unit.

    Returns
    -------
    Sources
        Zero rows.
    """
    columns: dict[str, list[float]] = {name: [] for name in COLUMNS}
    return make_sources(frame, columns, np.zeros(frame.shape, dtype=np.int32))
