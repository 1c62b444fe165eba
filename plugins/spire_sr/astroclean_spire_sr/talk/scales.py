"""What the numbers of the network of the talk mean: 0 to 1 stands for fixed ranges of flux."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["INPUT", "SATURATED", "TOP", "scaled"]

INPUT = (-50.0, 200.0)
"""mJy a beam of 18.1 arcsec at 250 um above the median sky that are 0 and 1 to the network; values
beyond are clipped. Below zero there is noise: the largest of the training is 9."""
TOP = 100.0
"""mJy a beam of 7.9 arcsec at 450 um, for which the answer is 1: a sigmoid gives no more. It is
what a mean galaxy at the top of the input has there; STUDIES has no source half as bright."""
SATURATED = 0.95
"""Answer from which a sigmoid hardly follows its input."""


def scaled(data: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return a map at 250 um as the network sees it.

    Parameters
    ----------
    data : float array
        mJy a beam, 0 where not known.

    Returns
    -------
    float32 array
        0 to 1.
    """
    low, top = INPUT
    share = (data - np.float32(low)) / np.float32(top - low)
    return np.asarray(np.clip(share, 0, 1), dtype=np.float32)
