"""Measures of models of sources: their images and profiles, and how they explain the frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Chi2", "cosine", "lit_chi2", "profile_difference"]

_MOST = 0.9
"""Share of the light within the radius up to which profiles are compared."""


@dataclass(frozen=True)
class Chi2:
    """Squared residuals over their variance; add two to pool frames."""

    total: float = 0.0
    pixels: int = 0

    def __add__(self, other: Chi2) -> Chi2:
        return Chi2(self.total + other.total, self.pixels + other.pixels)

    @property
    def mean(self) -> float:
        """Of a pixel; 1 for a model that leaves the noise. NaN without pixels."""
        return self.total / self.pixels if self.pixels else float("nan")


def lit_chi2(
    residual: NDArray[Any], light: NDArray[Any], sigma: NDArray[Any], usable: NDArray[np.bool_]
) -> Chi2:
    """Return what the models leave where the true light is above the noise.

    Parameters
    ----------
    residual : (ny, nx) float
        Data less background and all models.
    light : (ny, nx) float
        True light of all sources, without noise.
    sigma : (ny, nx) float
        Noise of each pixel, positive.
    usable : (ny, nx) bool
        Pixels to believe.
    """
    lit = (light > sigma) & usable & np.isfinite(residual)
    pulls = np.asarray(residual, dtype=np.float64)[lit] / sigma[lit]
    return Chi2(float(np.sum(pulls**2)), int(np.count_nonzero(lit)))


def cosine(found: NDArray[Any], true: NDArray[Any]) -> float:
    """Return the cosine between two images: ``sum a b / sqrt(sum a^2 sum b^2)``.

    1 for the same image at any flux; NaN where one of them is empty.
    """
    a, b = (np.asarray(image, dtype=np.float64) for image in (found, true))
    scale = float(np.sqrt(np.sum(a**2) * np.sum(b**2)))
    return float(np.sum(a * b)) / scale if scale > 0 else float("nan")


def profile_difference(
    found: NDArray[Any], true: NDArray[Any], center: tuple[float, float]
) -> float:
    """Return the largest difference of two cumulative profiles, as of a Kolmogorov-Smirnov test.

    A profile is the light within a radius over that within R90, which holds 90 percent of the
    true light of the box. Negative light counts as none.

    Parameters
    ----------
    found, true : (ny, nx) float
        Images of one source on the same pixels.
    center : (float, float)
        (y, x) of the true source in these pixels.

    Returns
    -------
    float
        0 to 1; NaN without true light, 1 where nothing was found within R90.
    """
    a, b = (np.maximum(np.asarray(i, dtype=np.float64), 0).ravel() for i in (found, true))
    rows, columns = np.indices(true.shape)
    r = np.hypot(rows - center[0], columns - center[1]).ravel()
    order = np.argsort(r, kind="stable")
    r, a, b = r[order], np.cumsum(a[order]), np.cumsum(b[order])
    if not b.size or b[-1] <= 0:
        return float("nan")
    most = r[np.searchsorted(b, _MOST * b[-1])]
    # Pixels at one radius enter a profile together.
    ends = np.flatnonzero(np.append(np.diff(r) > 0, True) & (r <= most))
    if a[ends[-1]] <= 0:
        return 1.0
    return float(np.max(np.abs(a[ends] / a[ends[-1]] - b[ends] / b[ends[-1]])))
