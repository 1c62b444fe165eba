"""How much of the light where a source lies is others'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["blendedness"]


def blendedness(own: NDArray[Any], total: NDArray[Any]) -> float:
    """Return how much of the light where a source lies is others' (Bosch et al. 2018, eq. 16).

    ``1 - sum(own own) / sum(own total)``: 0 for a source alone, towards 1 where others dominate
    (PASJ 70, S5, with the source's own image as its model).

    Parameters
    ----------
    own, total : arrays of one shape
        Light of the source; of all sources. Not modified.

    Returns
    -------
    float
        0 to 1 for light that is nowhere negative; NaN for a source without light.
    """
    mine = np.asarray(own, dtype=np.float64)
    shared = float(np.sum(mine * total))
    return 1.0 - float(np.sum(mine * mine)) / shared if shared > 0 else float("nan")
