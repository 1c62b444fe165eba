"""The level that an overscan tells of each line, and lines in which it cannot be believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean_classical.calibrate.sections import Sections

__all__ = ["mended_overscan", "odd_lines", "overscan_error", "scatter_of"]

# The variance of a median of Gaussian values over that of their mean.
_MEDIAN_VARIANCE = np.pi / 2
_ODD = 6.0
"""Standard deviations by which the level of a line must lie off its neighbours'."""
_WINDOW = 51
"""Lines of the running median: half as many may be odd in a row."""
_NEAR = 5
"""Believed lines whose median is the level beside odd ones."""
_ALIKE = 0.5
"""Part of a step by which that of the exposed pixels may differ."""
_BLIND = 3.0
"""Standard deviations of the exposed pixels of a line, below which they tell nothing of a step."""


def scatter_of(pixels: NDArray[np.floating]) -> float:
    """Return the standard deviation of the pixels of an overscan from one to the next.

    Parameters
    ----------
    pixels : (n, m) float
        Lines along the overscan, of m pixels each.
    """
    from astropy.stats import sigma_clipped_stats  # noqa: PLC0415 - heavy

    steps = np.diff(pixels, axis=1 if pixels.shape[1] > 1 else 0)
    finite = steps[np.isfinite(steps)]
    return float(sigma_clipped_stats(finite, sigma=4)[2] / np.sqrt(2)) if finite.size else 0.0


def overscan_error(scatter: float, sections: Sections, *, degree: int | None) -> float:
    """Return the standard error of the level that the overscan told of a row.

    ccdproc does not count it. It is the same for all pixels of a row, which makes stripes.

    Parameters
    ----------
    scatter : float
        Standard deviation of the pixels of the overscan.
    sections : Sections
        Of the frame.
    degree : int or None
        Of the polynomial along the overscan; None: the median of each row.
    """
    assert sections.overscan is not None
    sides = [part.stop - part.start for part in sections.overscan]
    across, along = (sides[1], sides[0]) if sections.axis == 1 else sides
    share = 1.0 if degree is None else (degree + 1) / along
    median = _MEDIAN_VARIANCE if across > 2 else 1.0  # noqa: PLR2004 - of two it is the mean
    return float(scatter * np.sqrt(median * share / across))


def odd_lines(data: NDArray[np.floating], sections: Sections) -> NDArray[np.bool_]:
    """Return the lines whose overscan holds more than the level of the camera.

    Charge of a saturated star trails into the overscan, and a cosmic ray hits it. The level of such
    a line lies far off that of its neighbours, but its exposed pixels do not. Where these do, too,
    the camera made the step, and the level is right.

    Parameters
    ----------
    data : (ny, nx) float
        Raw frame. Not modified.
    sections : Sections
        Of it, with overscan.

    Returns
    -------
    (n,) bool
        For each line along the overscan: rows, where it is a strip of columns.
    """
    from astropy.stats import mad_std  # noqa: PLC0415 - heavy
    from scipy.ndimage import median_filter  # noqa: PLC0415 - heavy

    strip, exposed = _lines(data, sections)
    levels = _medians(strip)
    told = np.flatnonzero(np.isfinite(levels))
    odd = np.zeros(levels.size, dtype=bool)
    if told.size < 2 * _NEAR:
        return odd
    steps = levels[told] - median_filter(levels[told], size=min(_WINDOW, told.size), mode="reflect")
    error = overscan_error(scatter_of(strip), sections, degree=None)
    least = _ODD * max(error, float(mad_std(np.diff(levels[told]))) / np.sqrt(2))
    odd[told] = np.abs(steps) > least
    _believe_drift(levels, odd, least)
    if odd.any():
        # Not the median: the halo of a star whose charge trails must not look like a step.
        dark = np.percentile(exposed, 25, axis=1).astype(np.float64)
        odd[odd] = ~_is_of_camera(levels, dark, odd)
    return odd


def mended_overscan(
    data: NDArray[np.floating], sections: Sections, odd: NDArray[np.bool_]
) -> NDArray[np.floating]:
    """Return the pixels of the overscan; odd lines have the level of their neighbours.

    Parameters
    ----------
    data : (ny, nx) float
        Raw frame. Not modified.
    sections : Sections
        Of it, with overscan.
    odd : (n,) bool
        Lines, as :func:`odd_lines` finds them.

    Returns
    -------
    (n, m) or (m, n) float
        New array, as ``sections.overscan`` cuts it out.
    """
    strip, _ = _lines(data, sections)
    mended = strip.copy()
    mended[odd] = _smooth(_medians(strip), odd)[odd][:, np.newaxis]
    return mended if sections.axis == 1 else mended.T


def _lines(
    data: NDArray[np.floating], sections: Sections
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return the pixels of the overscan and the exposed ones, in lines along the overscan."""
    assert sections.overscan is not None
    axis = sections.axis
    along, across = sections.overscan[1 - axis], sections.overscan[axis]
    lines = data if axis == 1 else data.T
    strip = lines[along, across].astype(np.float64)
    return strip, lines[along, sections.trim[axis]]


def _medians(lines: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the median of each line, as ccdproc takes it; NaN where a pixel is none."""
    return np.asarray(np.median(lines, axis=1), dtype=np.float64)


def _smooth(values: NDArray[np.float64], odd: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the running median of the believed lines, drawn straight over the others."""
    from scipy.ndimage import median_filter  # noqa: PLC0415 - heavy

    believed = np.flatnonzero(np.isfinite(values) & ~odd)
    near = median_filter(values[believed], size=2 * _NEAR + 1, mode="reflect")
    drawn: NDArray[np.float64] = np.interp(np.arange(values.size), believed, near)
    return drawn


def _believe_drift(levels: NDArray[np.float64], odd: NDArray[np.bool_], least: float) -> None:
    """Take lines out of ``odd`` that go on from their neighbours as these drift; in place."""
    count = -1
    while count != (count := int(odd.sum())):
        lines = np.flatnonzero(odd)
        for line, side in [*((n, -1) for n in lines), *((n, 1) for n in lines[::-1])]:
            near = _believed_near(levels, odd, line, side) if odd[line] else np.empty(0, np.intp)
            if near.size > _NEAR:
                drift = np.polynomial.Polynomial.fit(near, levels[near], 1)
                odd[line] = abs(levels[line] - drift(line)) > least


def _believed_near(
    levels: NDArray[np.float64], odd: NDArray[np.bool_], line: int, side: int
) -> NDArray[np.intp]:
    """Return the believed lines next to one, on one side of it, as far as no odd one is between."""
    reach = 2 * _NEAR + 1
    lines = line + side * np.arange(1, reach + 1)
    lines = lines[(lines >= 0) & (lines < odd.size)]
    gaps = np.flatnonzero(odd[lines] | ~np.isfinite(levels[lines]))
    return lines[: gaps[0]] if gaps.size else lines


def _is_of_camera(
    levels: NDArray[np.float64], exposed: NDArray[np.float64], odd: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which of the odd lines make the same step among their exposed pixels."""
    from astropy.stats import mad_std  # noqa: PLC0415 - heavy

    if np.count_nonzero(np.isfinite(exposed) & ~odd) < _NEAR:
        return np.zeros(int(odd.sum()), dtype=bool)
    steps = (levels - _smooth(levels, odd))[odd]
    beside = exposed - _smooth(exposed, odd)
    least = _BLIND * float(mad_std(beside[~odd], ignore_nan=True))
    seen: NDArray[np.bool_] = np.abs(beside[odd] - steps) < _ALIKE * np.abs(steps)
    return seen & (np.abs(steps) > least)
