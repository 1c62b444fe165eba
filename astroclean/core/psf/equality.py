"""Whether two PSFs are the same, though one is a copy, or was counted from other pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.psf.psf import Psf

__all__ = ["is_same_psf"]

_SAME = 1e-9
"""Of light, and of pixels: places that were counted from another pixel, and what is made of them,
differ in their last digits."""


def is_same_psf(psf: Psf | None, other: Psf | None) -> bool:
    """Return whether two PSFs, or none, are the same by value: workers and chunks have copies."""
    if psf is other or psf is None or other is None:
        return psf is other
    return all(
        _is_close(getattr(psf, name), getattr(other, name))
        for name in ("stamps", "positions", "measured_fine")
    )


def _is_close(ours: NDArray[np.float64] | None, theirs: NDArray[np.float64] | None) -> bool:
    # None is equal to None alone; what is equal to the bit needs no differences of large images.
    if np.array_equal(ours, theirs):  # type: ignore[arg-type]
        return True
    if ours is None or theirs is None or ours.shape != theirs.shape:
        return False
    return np.allclose(ours, theirs, rtol=0, atol=_SAME)
