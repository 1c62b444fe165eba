"""The table of trails: where each lies, how wide and bright it is, and its glints."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean_maximask.trails.profile import along

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean_maximask.trails.judge import Trail
    from astroclean_maximask.trails.maps import Sky

__all__ = ["trail_table"]

_GLINT = 4
"""Pixels of a piece in which glints are looked for."""
_GLINT_SIGMA = 5.0
_GLINT_SHARE = 1.8
"""Light of a glint over the median along the trail, at least."""
_LISTED = 50
"""Glints whose places are told."""

_COLUMNS: dict[str, tuple[str | None, str]] = {
    "id": (None, "number of the trail in its frame, from 1, the most significant first"),
    "group": (None, "trails with one number lie on one great circle; 0 without a WCS"),
    "frame_id": (None, "frame that the trail is in"),
    "x0": ("pix", "column of the first end; the centre of the first pixel is 0"),
    "y0": ("pix", "row of the first end"),
    "x1": ("pix", "column of the last end"),
    "y1": ("pix", "row of the last end"),
    "ra0": ("deg", "right ascension of the first end (ICRS); NaN without a WCS"),
    "dec0": ("deg", "declination of the first end (ICRS)"),
    "ra1": ("deg", "right ascension of the last end (ICRS)"),
    "dec1": ("deg", "declination of the last end (ICRS)"),
    "angle": ("deg", "direction from +x towards +y, from -90 to 90"),
    "length": ("pix", "from end to end, gaps included"),
    "at_border": (None, "ends that are at the border of the frame: 0, 1 or 2"),
    "fwhm": ("pix", "full width at half maximum of the mean profile across"),
    "flagged_width": ("pix", "width that is flagged, wings included, before `grow`"),
    "sagitta": ("pix", "height of the arc over its chord"),
    "peak": ("data", "highest value of the mean profile above the sky beside the trail"),
    "flux": (
        "data",
        "light within the flagged width; masked pixels count as the others' mean",
    ),
    "flux_err": ("data", "its standard deviation, of the noise of the sky alone"),
    "snr_fwhm": (None, "S/N of a box of one FWHM along and across, mean of the trail"),
    "significance": (None, "of the whole trail, in standard deviations"),
    "probability": (None, "mean probability of the network along it, above that beside it"),
    "n_glints": (None, "flashes: maxima along the trail that stand out"),
    "glint_spacing": ("pix", "median distance of neighbouring flashes; NaN of fewer than two"),
    "glints": (None, "places of the flashes along the trail, pixels from the first end"),
}


def trail_table(trails: list[Trail], sky: Sky, frame: Frame) -> QTable:
    """Return the table of the trails of a frame.

    Parameters
    ----------
    trails : list of Trail
        The most significant first.
    sky : Sky
        The frame with its noise.
    frame : Frame
        Its unit, WCS and name count.

    Returns
    -------
    QTable
        A row a trail, none where there is none; every column with unit and description.
    """
    import astropy.units as u  # noqa: PLC0415 - heavy
    from astropy.table import QTable  # noqa: PLC0415

    rows = [_row(number, trail, sky, frame) for number, trail in enumerate(trails, 1)]
    table = QTable()
    kinds = {"id": int, "group": int, "at_border": int, "n_glints": int}
    for name, (unit, description) in _COLUMNS.items():
        kind: Any = str if name in {"frame_id", "glints"} else kinds.get(name, float)
        values = np.array([row[name] for row in rows], dtype=kind)
        if unit is None:
            table[name] = values
        else:
            table[name] = u.Quantity(values, frame.unit if unit == "data" else unit)
        table[name].info.description = description
    return table


def _row(number: int, trail: Trail, sky: Sky, frame: Frame) -> dict[str, Any]:
    (y0, x0), (y1, x1) = trail.ends()
    noise = _noise(trail, sky)
    flux, error, snr = _photometry(trail)
    places = _glints(trail)
    fwhm = trail.across.fwhm
    sky_ends = _on_sky(frame, ((x0, y0), (x1, y1)))
    angle = math.degrees(math.atan2(y1 - y0, x1 - x0))
    return {
        "id": number,
        "group": 0,
        "frame_id": frame.frame_id,
        **dict(zip(("x0", "y0", "x1", "y1"), (x0, y0, x1, y1), strict=True)),
        **dict(zip(("ra0", "dec0", "ra1", "dec1"), sky_ends, strict=True)),
        "angle": (angle + 90) % 180 - 90,
        "length": math.hypot(x1 - x0, y1 - y0),
        "at_border": trail.ends_at_border,
        "fwhm": fwhm,
        "flagged_width": trail.edges[1] - trail.edges[0],
        "sagitta": trail.sagitta,
        "peak": trail.across.peak * noise,
        "flux": flux * noise,
        "flux_err": error * noise,
        "snr_fwhm": snr,
        "significance": trail.significance,
        "probability": trail.support,
        "n_glints": len(places),
        "glint_spacing": float(np.median(np.diff(places))) if len(places) > 1 else math.nan,
        "glints": " ".join(f"{place:.0f}" for place in places[:_LISTED]),
    }


def _photometry(trail: Trail) -> tuple[float, float, float]:
    """Return flux and its error in units of the noise of a pixel, and S/N of a box of one FWHM."""
    low, high = trail.edges
    width, u, fwhm = high - low, trail.across.u, trail.across.fwhm
    inside = (u >= low) & (u <= high)
    beside = np.abs(u - trail.across.middle) > fwhm + 2
    # The mean profile, not that of lit pieces alone: what is dark in between adds nothing.
    mean = _mean_profile(trail)
    mean = mean - (np.nanmedian(mean[beside]) if beside.any() else 0.0)
    flux = float(np.nansum(mean[inside])) * trail.length
    error = math.sqrt(trail.length * width * (1 + width / max(int(beside.sum()), 1)))
    core = np.abs(u - trail.across.middle) <= fwhm / 2
    return flux, error, float(np.mean(mean[core])) * fwhm if core.any() else math.nan


def _mean_profile(trail: Trail) -> NDArray[np.float64]:
    values = trail.strip.values
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(axis=0, dtype=np.float64)
    return np.asarray(total / np.maximum(known.sum(axis=0), 1))


def _noise(trail: Trail, sky: Sky) -> float:
    """Return the noise of a pixel in the middle of a trail, in the unit of the frame."""
    y, x = trail.path.at(0.5 * (trail.span[0] + trail.span[1]))
    row, column = (
        int(np.clip(round(float(place) * my / ny), 0, my - 1))
        for place, my, ny in zip((y, x), sky.noise.shape, sky.shape, strict=True)
    )
    return float(sky.noise[row, column])


def _glints(trail: Trail) -> NDArray[np.float64]:
    """Return the places of flashes, in pixels from the first end."""
    light, error = along(trail.strip, trail.across, _GLINT)
    known = np.isfinite(light)
    if known.sum() < 3:  # noqa: PLR2004 - no maximum among so few
        return np.zeros(0)
    filled = np.where(known, light, 0.0)
    noise = float(np.median(error[known]))
    level = float(np.median(light[known]))
    prominence = max(_GLINT_SIGMA * noise, (_GLINT_SHARE - 1) * level)
    height = max(_GLINT_SHARE * level, _GLINT_SIGMA * noise)
    if filled.max() < height:
        return np.zeros(0)
    from scipy.signal import find_peaks  # noqa: PLC0415 - takes a second, and few trails flash

    padded = np.concatenate([[0.0], filled, [0.0]])
    peaks, _ = find_peaks(padded, height=height, prominence=prominence)
    return np.asarray((peaks - 0.5) * _GLINT, dtype=np.float64)


def _on_sky(frame: Frame, ends: tuple[tuple[float, float], ...]) -> list[float]:
    if frame.wcs is None or not frame.wcs.has_celestial:
        return [math.nan] * 4
    told: list[float] = []
    for x, y in ends:
        place = frame.wcs.celestial.pixel_to_world(x, y).icrs
        told += [float(place.ra.deg), float(place.dec.deg)]
    return told
