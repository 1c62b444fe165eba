"""Trails of the chips of one exposure that are one passage: they lie on one great circle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.table import QTable
    from numpy.typing import NDArray

__all__ = ["linked"]

_WIDTHS = 1.5
"""Widths by which the ends of one trail may be off the circle of another."""
_TURN = 0.004
"""Radians by which the direction of a short trail may be wrong, at the least."""


def linked(tables: Sequence[QTable]) -> list[QTable]:
    """Return the tables of the frames of a file with their column ``group``.

    Parameters
    ----------
    tables : sequence of QTable
        One a frame, with columns ``ra0 dec0 ra1 dec1 fwhm length``. Not modified.

    Returns
    -------
    list of QTable
        New tables. Trails get the same number where each one's ends lie on the great circle of the
        other, as near as its width and the error of its direction tell; 0 where the sky is not
        known.
    """
    first, last, tolerance = (
        np.concatenate(part) for part in zip(*map(_ends, tables), strict=True)
    )
    count = len(first)
    group = np.arange(count)
    for i in range(count):
        for j in range(i + 1, count):
            if _on_one_circle(first[[i, j]], last[[i, j]], tolerance[[i, j]]):
                group[group == group[j]] = group[i]
    known = np.isfinite(tolerance)
    numbers = np.zeros(count, dtype=int)
    _, inverse = np.unique(group[known], return_inverse=True)
    numbers[known] = inverse + 1
    told, begin = [], 0
    for table in tables:
        new = table.copy()
        new["group"][:] = numbers[begin : begin + len(table)]
        begin += len(table)
        told.append(new)
    return told


def _ends(
    table: QTable,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return unit vectors of both ends, and half the tolerated distance, in radians."""
    vectors = []
    for number in (0, 1):
        ra, dec = (np.radians(table[f"{name}{number}"].to_value("deg")) for name in ("ra", "dec"))
        flat = np.cos(dec)
        vectors.append(np.stack([flat * np.cos(ra), flat * np.sin(ra), np.sin(dec)], axis=1))
    apart = np.linalg.norm(vectors[1] - vectors[0], axis=1)
    scale = apart / np.maximum(table["length"].to_value("pix"), 1)
    return vectors[0], vectors[1], _WIDTHS * table["fwhm"].to_value("pix") * scale


def _on_one_circle(
    first: NDArray[np.float64], last: NDArray[np.float64], tolerance: NDArray[np.float64]
) -> bool:
    """Return whether two arcs lie on each other's great circle; False where one is not known."""
    if not np.isfinite(tolerance).all():
        return False
    for own, other in ((0, 1), (1, 0)):
        pole = np.cross(first[own], last[own])
        size = float(np.linalg.norm(pole))
        if size == 0:
            return False
        for end in (first[other], last[other]):
            reach = min(np.linalg.norm(end - first[own]), np.linalg.norm(end - last[own]))
            # The ends are known to a part of the width; a short arc tells its direction less well.
            turn = max(_TURN, float(tolerance[own]) / size)
            if abs(float(end @ pole)) / size > float(tolerance.sum()) + turn * reach:
                return False
    return True
