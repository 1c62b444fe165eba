"""The catalogue that the detection plugins share: one meaning for one column name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from astropy.table import QTable

from astroclean.core.image.fluxes import flux_scale
from astroclean.core.sources.sources import Sources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["COLUMNS", "make_sources", "no_sources", "rows_around"]

# Name: (type, unit, meaning); "frame" stands for the unit of the frame, "flux" for that of sums of
# its pixels, which are given as sums.
COLUMNS: dict[str, tuple[str, str | None, str]] = {
    "id": ("i4", None, "label in the segmentation, from 1"),
    "x": ("f8", None, "flux-weighted centroid, pixels; the first pixel's center is 0"),
    "y": ("f8", None, "flux-weighted centroid, pixels; the first pixel's center is 0"),
    "flux": ("f8", "flux", "sum over the source's pixels, background subtracted"),
    "flux_err": ("f8", "flux", "standard deviation of flux, from the noise of the pixels"),
    "flux_auto": ("f8", "flux", "sum in the Kron ellipse of 2.5 Kron radii"),
    "flux_auto_err": ("f8", "flux", "standard deviation of flux_auto"),
    "peak": ("f8", "frame", "highest value, background subtracted"),
    "a": ("f8", "pix", "standard deviation along the major axis"),
    "b": ("f8", "pix", "standard deviation along the minor axis"),
    "theta": ("f8", "deg", "angle of the major axis from +x towards +y, -90 to 90"),
    "fwhm": ("f8", "pix", "of the circular Gaussian with these moments"),
    "kron_radius": ("f8", None, "in units of a and b"),
    "npix": ("i4", None, "pixels in the segmentation"),
    "flag": ("i4", None, "flags of the library, 0 for none"),
}
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
    frame: Frame, columns: Mapping[str, Any], segmentation: NDArray[np.int32]
) -> Sources:
    """Return sources with the columns of :data:`COLUMNS`.

    Parameters
    ----------
    frame : Frame
        Gives the unit of fluxes: see :func:`~astroclean.core.image.fluxes.flux_scale`.
    columns : mapping
        Name to plain values, one a source; those that a method does not give are left out. Fluxes
        are sums of pixels.
    segmentation : (ny, nx) int32
        Labels.

    Returns
    -------
    Sources
        Table with units and descriptions.
    """
    table = QTable()
    scale = flux_scale(frame)
    for name, (kind, unit, meaning) in COLUMNS.items():
        if name not in columns:
            continue
        values = np.asarray(columns[name]).astype(kind)
        if unit == "flux":
            values = u.Quantity(values * scale.factor, scale.unit)
        elif unit is not None:
            values = u.Quantity(values, frame.unit if unit == "frame" else unit)
        table[name] = values
        table[name].info.description = meaning
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
