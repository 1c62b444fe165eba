"""Masters as a stage uses them: on the pixels that are left, in the unit of the frame, checked."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.nddata import CCDData, StdDevUncertainty

from astroclean.errors import AstrocleanWarning, StageError, SuspectWarning
from astroclean_classical.calibrate.filters import filter_of
from astroclean_classical.calibrate.header import done_to
from astroclean_classical.calibrate.raw import DATA_NUMBERS, middle
from astroclean_classical.calibrate.steps import as_ccd, levelled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.stage.resources import StoredFrame
    from astroclean_classical.calibrate.raw import RawFrame

__all__ = ["Master", "check_bias", "check_dark", "check_flat", "in_unit_of", "prepared"]

_STILL_THERE = 0.5
"""Of the level of the camera: a master above still has it."""
_DOUBTFUL = 0.1
_NOISES = 5.0
_BRIGHT = 90.0
"""Percentile of a flat that is its level, or above."""
_NORMAL = (0.5, 2.0)
"""Means of flats that are called normalised."""


@dataclass(frozen=True, eq=False)
class Master:
    """One master, ready to be used."""

    name: str
    ccd: CCDData
    """float64, on the pixels that are left of the frame."""
    usable: NDArray[np.bool_]
    """(ny, nx)"""
    done: dict[str, str]
    """What was done to it, as :func:`done_to` tells, with what was done here."""
    exposure: float | None
    """Seconds."""
    filter: str | None

    @property
    def level(self) -> float:
        """Median of the usable pixels; NaN where there is none."""
        return middle(self.ccd.data[self.usable])

    @property
    def mean(self) -> float:
        """Mean of the usable pixels; NaN where there is none."""
        values = self.ccd.data[self.usable]
        return float(values.mean()) if values.size else float("nan")

    def mean_within(self, least: float, most: float) -> float:
        """Return the mean of the usable pixels from one part of it to another.

        Dead pixels and columns of a flat would make all others brighter, one pixel that a lamp of
        its own lights all others fainter.
        """
        values = self.ccd.data[self.usable]
        if not values.size:
            return float("nan")
        # Of many dark pixels, such as those beyond the circle of a camera, the median is no level.
        bright = np.percentile(values, _BRIGHT)
        usual = middle(values[values >= least * bright])
        values = values[values <= most * usual]
        above = values[values >= least * values.mean()] if values.size else values
        return float(above.mean()) if above.size else float("nan")


def prepared(stored: StoredFrame, raw: RawFrame) -> Master:
    """Return a master for a frame: one of raw shape is levelled and trimmed as the frame is."""
    frame, sections = stored.read(), raw.sections
    done, ccd, usable = done_to(frame.meta), as_ccd(frame), frame.usable
    if frame.shape == sections.shape and "trim" not in done:
        if raw.is_levelled and "overscan" not in done:
            ccd = levelled(ccd, sections, degree=raw.degree)
            done["overscan"] = "its own, taken off here"
        else:
            ccd = ccd[sections.trim]
        usable = usable[sections.trim]
    if ccd.uncertainty is None:
        text = f"{raw.where}: '{stored.name}' tells no uncertainty; its noise is not counted."
        warnings.warn(text, AstrocleanWarning, stacklevel=2)
    usable = usable & np.isfinite(ccd.data)
    return Master(stored.name, ccd, usable, done, frame.detector.exposure, filter_of(frame))


def in_unit_of(raw: RawFrame, master: Master) -> Master:
    """Return a bias or dark in the data numbers of a frame.

    Raises
    ------
    StageError
        It is neither in data numbers nor in electrons.
    """
    ccd, unit = master.ccd, raw.frame.unit
    if ccd.unit == unit:
        return master
    if ccd.unit not in (*DATA_NUMBERS, u.electron):
        raise StageError(
            f"'{master.name}' is in {ccd.unit}, the frame in {unit}",
            where=raw.where,
            remedy="Give a master in data numbers or electrons.",
        )
    factor = 1 / raw.gain if ccd.unit == u.electron else 1.0
    error = None if ccd.uncertainty is None else StdDevUncertainty(ccd.uncertainty.array * factor)
    return replace(master, ccd=CCDData(ccd.data * factor, unit=unit, uncertainty=error))


def check_bias(master: Master, raw: RawFrame) -> None:
    """Compare the level of a bias with that of the camera.

    Raises
    ------
    StageError
        The bias has the level that the overscan took off the frame, or has none where nothing
        else takes it off.
    SuspectWarning
        (A warning) It has a part of it.
    """
    if raw.is_levelled:
        _refuse_level(master, raw, raw.level, "the overscan of the frame takes it off, too")
        return
    low = _low(raw)
    if abs(master.level) <= max(_DOUBTFUL * low, _NOISES * raw.noise) < low:
        raise StageError(
            f"'{master.name}' has no level of the camera, and no overscan of the frame tells it",
            where=raw.where,
            received=f"bias {master.level:.4g}, darkest pixels of the frame {low:.4g}",
            remedy="Give the option `overscan`, or a bias of which no overscan was taken off.",
        )


def check_dark(master: Master, raw: RawFrame, bias: Master | None) -> None:
    """Check whether the level of the camera is still in a dark, where it must not or must be.

    Raises
    ------
    StageError
        It is there, though bias or overscan take it off the frame; or nothing takes it off.
    """
    taken = raw.level if raw.is_levelled else (bias.level if bias is not None else float("nan"))
    if raw.is_levelled or bias is not None:
        _refuse_level(master, raw, taken, "overscan or bias take it off the frame, too")
    elif "bias" in master.done or "overscan" in master.done:
        done = ", ".join(dict.fromkeys(master.done.values()))
        raise StageError(
            "nothing takes the level of the camera off the frame",
            where=raw.where,
            received=f"no overscan, no bias, and of the dark {done}",
            remedy="Give `bias` or `overscan`, or a dark that still holds the level.",
        )


def check_flat(master: Master, raw: RawFrame, *, is_trusted: bool) -> None:
    """Check that the level of the camera was taken off a flat.

    Raises
    ------
    StageError
        The flat has no positive mean, or data numbers and no word of bias or overscan.
    SuspectWarning
        (A warning) It is normalised and has no word of them; or no filter is told.
    """
    if not master.mean > 0:
        raise StageError(
            f"'{master.name}' has no positive mean", where=raw.where, received=f"{master.mean:g}"
        )
    ours, theirs = filter_of(raw.frame), master.filter
    if not ours or not theirs:
        whose = "the frame" if not ours else f"'{master.name}'"
        text = f"{raw.where}: {whose} tells no filter; that '{master.name}' is of it is not known."
        warnings.warn(text, SuspectWarning, stacklevel=2)
    if "bias" in master.done or "overscan" in master.done or is_trusted:
        return
    text = f"'{master.name}' does not tell that bias or overscan were taken off it"
    remedy = "Make it with them, or give `trusted = true` where you know that they were."
    if not _NORMAL[0] <= master.mean <= _NORMAL[1]:
        raise StageError(text, where=raw.where, received=f"mean {master.mean:.5g}", remedy=remedy)
    warnings.warn(f"{raw.where}: {text}. {remedy}", SuspectWarning, stacklevel=2)


def _refuse_level(master: Master, raw: RawFrame, taken: float, why: str) -> None:
    if not taken > _NOISES * raw.noise or not master.level > _DOUBTFUL * taken:
        return
    text = (
        f"'{master.name}' has a level of {master.level:.5g} {raw.frame.unit}, the camera one of "
        f"{taken:.5g}"
    )
    if master.level > _STILL_THERE * taken:
        raise StageError(
            f"a master still has the level of the camera; {why}",
            where=raw.where,
            received=text,
            remedy="Give a master that was made as the frame is treated.",
        )
    if "bias" in master.done:
        return  # its header tells that the level is off: a long dark has so much current
    warnings.warn(
        f"{raw.where}: {text}: is a part of the level still in it?", SuspectWarning, stacklevel=3
    )


def _low(raw: RawFrame) -> float:
    """Return the level of the darkest pixels that are left of a frame."""
    values = raw.frame.data[raw.sections.trim]
    values = values[np.isfinite(values)]
    return float(np.percentile(values, 1)) if values.size else 0.0
