"""Standard deviations of a frame, whatever kind of uncertainty it carries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.nddata import StdDevUncertainty

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["deviation_of", "with_deviation"]


def deviation_of(uncertainty: Any) -> NDArray[np.float32] | None:
    """Return the standard deviation of each pixel.

    Parameters
    ----------
    uncertainty : NDUncertainty or None
        Standard deviation, variance or inverse variance.

    Returns
    -------
    (ny, nx) float32 or None
        In the unit of the frame; infinite where the inverse variance is zero.
    """
    if uncertainty is None:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):  # weight 0: deviation infinite
        deviation = uncertainty.represent_as(StdDevUncertainty).array
    return np.asarray(deviation, dtype=np.float32)


def with_deviation(uncertainty: Any, deviation: NDArray[Any]) -> Any:
    """Return an uncertainty of the same kind with other standard deviations."""
    changed = StdDevUncertainty(np.asarray(deviation, dtype=np.float32))
    if uncertainty is None or isinstance(uncertainty, StdDevUncertainty):
        return changed
    with np.errstate(divide="ignore", invalid="ignore"):
        return changed.represent_as(type(uncertainty))
