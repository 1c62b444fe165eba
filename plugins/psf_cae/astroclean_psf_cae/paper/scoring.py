"""Scores of deconvolved stamps: those of the paper's tables 1 and 2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.evaluation.metrics.deconvolve import psnr, shape_of, ssim

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["StampScores", "stamp_scores"]

_LEAST_RADIUS = 3.0
"""Pixels: standard deviation of the weight of moments, or the half-light radius if that is more."""


@dataclass(frozen=True, eq=False)
class StampScores:
    """Of each stamp that holds a galaxy, (n,) float64."""

    psnr: NDArray[np.float64]
    """dB, of stamps over the range of the truth."""
    dissimilarity: NDArray[np.float64]
    """1 - SSIM."""
    flux: NDArray[np.float64]
    """Sum over the true sum, less 1."""
    size: NDArray[np.float64]
    """Size over the true one, less 1; NaN where there are no moments."""
    ellipticity: NDArray[np.float64]
    """``|e|`` less the true one; NaN where there are no moments."""

    def told(self) -> dict[str, float]:
        """Return means and medians of the first two, means and RMS of the others, per name.

        Moments of stamps that have none are left out; ``lost`` is their share.
        """
        values: dict[str, float] = {}
        for name in ("psnr", "dissimilarity"):
            found = getattr(self, name)
            values[name] = float(np.mean(found))
            values[f"{name} median"] = float(np.median(found))
        for name in ("flux", "size", "ellipticity"):
            found = getattr(self, name)[np.isfinite(getattr(self, name))]
            values[f"{name} mean"] = float(np.mean(found)) if found.size else np.nan
            values[f"{name} rms"] = float(np.sqrt(np.mean(found**2))) if found.size else np.nan
        values["lost"] = float(np.mean(~np.isfinite(self.size)))
        return values


def stamp_scores(
    images: NDArray[np.floating], truths: NDArray[np.floating], about: NDArray[np.floating]
) -> StampScores:
    """Score stamps; blanks are left out.

    Parameters
    ----------
    images, truths : (n, ny, nx) float
        In one unit, at one PSF.
    about : (n, 4) float
        As in a sample: S/N (0: blank), half-light radius, x, y.

    Returns
    -------
    StampScores
        In the order of the stamps.
    """
    rows = []
    for row in np.flatnonzero(about[:, 0] > 0):
        image, truth = images[row].astype(np.float64), truths[row].astype(np.float64)
        _, radius, x, y = map(float, about[row])
        weight = max(_LEAST_RADIUS, radius)
        found, true = (shape_of(one, center=(x, y), radius=weight) for one in (image, truth))
        rows.append(
            (
                psnr(image, truth),
                1 - ssim(image, truth),
                image.sum() / truth.sum() - 1,
                found.size / true.size - 1,
                abs(found.ellipticity) - abs(true.ellipticity),
            )
        )
    return StampScores(*np.array(rows, dtype=np.float64).reshape(-1, 5).T)
