"""Measured PSF stamps with a pedestal are repaired and said; what has no clear peak is refused."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.noise import SIGMA_PER_MAD
from astroclean.errors import AstrocleanWarning, PsfError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["repaired_stamps"]

# Shares of the distance from the peak to the nearest side.
_INNER, _OUTER = (0.55, 0.75), (0.9, 1.0)
_LEAST_REACH = 4
"""Pixels around the peak from which wings can be told from a pedestal."""
_PEDESTAL_LIGHT = 0.02
"""Least share of the light in a pedestal that is taken away; of the measured and modelled PSFs of
Herschel, Spitzer, WISE, HST, JWST, HSC and DECam that were tried, the largest was 0.01."""
_PEDESTAL_SIGMA = 5.0
_MEDIAN_ERROR = 1.2533  # of the median of normal deviates, in standard errors of their mean
_APART_PIXELS, _APART_WIDTHS = 3.0, 2.0
"""Light above half maximum farther from the peak than this belongs to no core."""
_TRUNCATED = 0.1
"""Of the peak: a stamp whose border is brighter ends within the PSF."""


def repaired_stamps(
    stamps: Sequence[NDArray[np.float64]], *, where: str | None = None
) -> list[NDArray[np.float64]]:
    """Return stamps of a PSF without pedestal, or raise where one shows no PSF.

    A pedestal is what the outermost pixels have in common and no wing explains: below zero their
    median; above zero the part that is left if wings fall as slowly as the inverse square of the
    distance. It is taken away where it is significant and holds over 2 % of the light.

    Parameters
    ----------
    stamps : sequence of (ky, kx) float64
        Images of a point source; the peak may lie anywhere. Not modified.
    where : str, optional
        File or frame, for messages.

    Returns
    -------
    list of (ky, kx) float64
        New arrays where a pedestal was taken away, else the given ones.

    Raises
    ------
    PsfError
        A stamp is not finite, has no positive value, light above half its maximum far from its
        peak, or no positive sum.

    Warns
    -----
    AstrocleanWarning
        A pedestal was taken away, or the stamp ends within the PSF; with numbers.
    """
    repaired, levels, cut = [], [], []
    unknown = sum(int(np.count_nonzero(~np.isfinite(stamp))) for stamp in stamps)
    if unknown:
        raise PsfError(
            "PSF stamp has pixels that are not finite",
            where=where,
            received=f"{unknown} of {sum(stamp.size for stamp in stamps)}",
            remedy="Cut the stamp to the pixels that are known, or fill the others with 0.",
        )
    for stamp in stamps:
        if not stamp.max() > 0:
            raise PsfError(
                "PSF stamp has no positive value, hence no peak and no positive sum",
                where=where,
                received=f"highest {stamp.max():.4g}, lowest {stamp.min():.4g}",
                remedy="Check that it is the image of a star, background subtracted.",
            )
        level = _pedestal(stamp)
        flat = stamp - level if level else stamp
        _require_one_peak(flat, where)
        if not flat.sum() > 0:
            raise PsfError(
                "PSF stamp must have a positive sum",
                where=where,
                received=f"{flat.sum():.4g} with a peak of {flat.max():.4g}",
                remedy="Subtract the background around the star, or cut the stamp smaller.",
            )
        repaired.append(flat)
        levels.append(level * stamp.size / flat.sum())
        cut.append(float(np.median(flat[_rim(flat.shape)])) / flat.max())
    _say(stamps, repaired, levels=levels, cut=cut, where=where)
    return repaired


def _say(
    stamps: Sequence[NDArray[np.float64]],
    repaired: Sequence[NDArray[np.float64]],
    *,
    levels: list[float],
    cut: list[float],
    where: str | None,
) -> None:
    place = f"{where}: " if where else ""
    changed = [number for number, level in enumerate(levels) if level]
    if changed:
        worst = max(changed, key=lambda number: abs(levels[number]))
        height = (stamps[worst] - repaired[worst]).flat[0] / repaired[worst].max()
        count = f"{len(changed)} of {len(levels)} stamps, at most " if len(levels) > 1 else ""
        warnings.warn(
            f"{place}a pedestal under the PSF was taken away: {count}{height:.3g} of the peak in "
            f"each pixel, together {levels[worst]:.3g} of the light of the PSF. Subtract the "
            "background from the stamp to be sure of it.",
            AstrocleanWarning,
            stacklevel=3,
        )
    if max(cut) > _TRUNCATED:
        side = "x".join(str(n) for n in stamps[0].shape)
        warnings.warn(
            f"{place}the stamp of the PSF ({side} pixels) ends where the PSF has still "
            f"{max(cut):.2g} of its peak: the light beyond counts as none. Give a larger stamp.",
            AstrocleanWarning,
            stacklevel=3,
        )


def _rim(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the outermost pixels, a twentieth of the side wide."""
    width = max(1, min(shape) // 20)
    rim = np.ones(shape, dtype=bool)
    rim[width:-width, width:-width] = False
    return rim


def _pedestal(stamp: NDArray[np.float64]) -> float:
    """Return the level that all pixels have in common; 0 where none is sure or it matters not."""
    py, px = np.unravel_index(int(np.argmax(stamp)), stamp.shape)
    reach = int(min(py, px, stamp.shape[0] - 1 - py, stamp.shape[1] - 1 - px))
    if reach < _LEAST_REACH:
        return 0.0
    around = stamp[py - reach : py + reach + 1, px - reach : px + reach + 1]
    y, x = np.indices(around.shape) - reach
    distance = np.hypot(y, x) / reach
    inner, outer = (
        float(np.median(around[(distance >= least) & (distance <= most)]))
        for least, most in (_INNER, _OUTER)
    )
    border = around[_rim(around.shape)]
    rim = float(np.median(border))
    # Wings are never negative, so below zero the larger is nearer to the pedestal.
    level = max(rim, outer) if rim < 0 else min(rim, outer, 2 * outer - inner)
    if level * rim <= 0:
        return 0.0
    scatter = SIGMA_PER_MAD * float(np.median(np.abs(border - rim)))
    error = _MEDIAN_ERROR * scatter / math.sqrt(border.size)
    light = float(stamp.sum()) - level * stamp.size
    matters = light <= 0 or abs(level) * stamp.size > _PEDESTAL_LIGHT * light
    return level if matters and abs(rim) > _PEDESTAL_SIGMA * error else 0.0


def _require_one_peak(stamp: NDArray[np.float64], where: str | None) -> None:
    """Raise where light above half maximum lies apart from the peak: noise, or another star."""
    from scipy.ndimage import label  # noqa: PLC0415 - slow to import

    py, px = np.unravel_index(int(np.argmax(stamp)), stamp.shape)
    bright = stamp >= stamp[py, px] / 2
    groups, _ = label(bright, np.ones((3, 3)))
    core = groups == groups[py, px]
    width = 2 * math.sqrt(np.count_nonzero(core) / math.pi)
    y, x = np.nonzero(bright & ~core)
    distance = np.hypot(y - py, x - px)
    apart = distance > max(_APART_PIXELS, _APART_WIDTHS * width)
    if not apart.any():
        return
    raise PsfError(
        "PSF stamp has no clear peak",
        where=where,
        received=f"{np.count_nonzero(apart)} pixels above half of the maximum lie apart from it, "
        f"up to {distance.max():.1f} pixels away",
        remedy="Mask or subtract other stars; noise alone is no PSF.",
    )
