"""Fits of overlapping parts of a frame, joined into that of the frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from astroclean_pais.fit import AmplitudeFit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["FitPart", "joined_fit"]

_EACH = ("flux", "flux_err", "covariance", "chi2", "lit", "flags")


class FitPart(NamedTuple):
    """The fit of a part, and what is kept of it."""

    fit: AmplitudeFit
    """Of n sources, with ids of the part's own."""
    ids: NDArray[np.integer]
    """(n,) their ids in the frame."""
    kept: NDArray[np.bool_]
    """(n,) whether the source is taken from this part, such as one whose center lies in it."""


def joined_fit(
    parts: Sequence[FitPart], residual: NDArray[np.floating], weight: NDArray[np.float64]
) -> AmplitudeFit:
    """Return the fit of a frame from those of its parts.

    Parameters
    ----------
    parts : sequence of FitPart
        Each source of the frame is kept of one of them.
    residual, weight : (ny, nx) float
        Of the frame, as of `AmplitudeFit`.

    Returns
    -------
    AmplitudeFit
        Sorted by the ids in the frame. A neighbor is named by its id there, also where it is kept
        of another part.
    """
    ids = _joined([np.asarray(part.ids)[part.kept] for part in parts])
    order = np.argsort(ids, kind="stable")
    values = {
        name: _joined([getattr(part.fit, name)[part.kept] for part in parts])[order]
        for name in _EACH
    }
    neighbors = _joined([_neighbors(part)[part.kept] for part in parts])
    for name in ("lit", "flags"):
        values[name] = values[name].astype(np.int32)
    return AmplitudeFit(
        id=ids[order].astype(np.int32),
        neighbor=neighbors[order].astype(np.int32),
        residual=np.asarray(residual, dtype=np.float64),
        weight=weight,
        **values,
    )


def _joined(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    """Return arrays one after the other; without any, an empty one."""
    return np.concatenate(arrays) if arrays else np.empty(0)


def _neighbors(part: FitPart) -> NDArray[np.int32]:
    """Return the ids in the frame of the neighbors; 0 for none."""
    known = {0: 0, **dict(zip(part.fit.id.tolist(), np.asarray(part.ids).tolist(), strict=True))}
    return np.array([known[number] for number in part.fit.neighbor.tolist()], dtype=np.int32)
