"""One raw frame on its way into a master: without level, bias and dark; a flat over its level."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.nddata import CCDData

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.stage.masters import LeftOut
from astroclean.errors import StageError
from astroclean_classical.calibrate.cards import level_cards
from astroclean_classical.calibrate.planes import lost_pixels
from astroclean_classical.calibrate.raw import check_overscan, middle
from astroclean_classical.calibrate.selection import is_same_exposure
from astroclean_classical.calibrate.steps import without_bias, without_dark

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from astroclean_classical.calibrate.raw import RawFrame

__all__ = ["Part", "TakenOff", "alike", "written_part"]

_FAINT = 20.0
"""Noises of a pixel that a flat must have on average."""
_FULL = 0.01
"""Part of the pixels of a flat that may be saturated."""
_OTHER = 5.0
"""Noises by which the level of a bias or dark may differ from that of the others, ..."""
_OTHER_PART = 0.2
"""... or the part of its level."""
_SAMPLES = 20000


@dataclass(frozen=True, eq=False)
class TakenOff:
    """A master that is taken off the parts of another."""

    name: str
    ccd: CCDData
    """float64, with uncertainty."""
    exposure: float | None = None
    """Of a dark, seconds."""

    def factor(self, exposure: float | None) -> float:
        """Return what it is multiplied by for a frame of that exposure time."""
        if self.exposure is None or is_same_exposure(exposure or 0.0, self.exposure):
            return 1.0
        return (exposure or 0.0) / self.exposure

    @property
    def bare(self) -> CCDData:
        """Without uncertainty: that of frames that are combined is their scatter."""
        return CCDData(self.ccd.data, unit=self.ccd.unit)


@dataclass(frozen=True, eq=False)
class Part:
    """What is remembered of a raw frame whose pixels wait in a file."""

    name: str
    path: Path
    level: float
    """Median of its usable pixels; of a flat their mean."""
    noise: float
    """Read noise in data numbers."""
    exposure: float | None
    sample: NDArray[np.float64]
    """Some of the pixels."""
    meta: Mapping[str, Any]
    unit: Any
    cards: Mapping[str, Any] = field(default_factory=dict)
    """Of level and trim."""
    notes: tuple[str, ...] = ()


def written_part(
    raw: RawFrame, path: Path, *, is_flat: bool, bias: TakenOff | None, dark: TakenOff | None
) -> Part:
    """Write a raw frame as it is combined.

    Parameters
    ----------
    raw : RawFrame
        What a master is made of.
    path : Path
        File to write, for `ccdproc.combine`.
    is_flat : bool
        Whether it is divided by its own level: lamps fade.
    bias, dark : TakenOff or None
        Masters.

    Returns
    -------
    Part
        Without the pixels.

    Raises
    ------
    StageError
        A flat is too faint, too bright, or nothing takes the level of the camera off it.
    """
    ccd = raw.levelled()
    ccd.uncertainty = None
    exposure = raw.frame.detector.exposure
    if bias is not None:
        ccd = without_bias(ccd, bias.bare)
    elif is_flat and not raw.is_levelled:
        raise StageError("neither bias nor overscan take the level of the camera off a flat")
    lost = _lost(raw, ccd, bias)
    if dark is not None:
        ccd = without_dark(ccd, dark.bare, factor=dark.factor(exposure))
    full = _full(raw)
    usable = raw.frame.usable[raw.sections.trim] & ~full & np.isfinite(ccd.data)
    usable &= ~lost
    level = middle(ccd.data[usable])
    if is_flat:
        check_overscan(raw)
        level = _checked_level(ccd, usable, full, raw)
        ccd = ccd.divide(level)
    ccd.mask = ~usable
    ccd.data = ccd.data.astype(np.float32)
    ccd.write(path)
    return Part(
        name=raw.frame.frame_id,
        path=path,
        level=level,
        noise=raw.noise,
        exposure=exposure,
        sample=_thinned(np.where(usable, ccd.data, np.nan)),
        meta=raw.frame.meta,
        unit=raw.frame.unit,
        cards=level_cards(raw),
        notes=_notes(raw),
    )


def _lost(raw: RawFrame, ccd: CCDData, bias: TakenOff | None) -> NDArray[np.bool_]:
    """Return the pixels that were not read; of a frame that still has its level, none is known."""
    if not raw.is_levelled and bias is None:
        return np.zeros(ccd.data.shape, dtype=bool)
    level = raw.level if raw.is_levelled or bias is None else middle(bias.ccd.data)
    error = 0.0 if bias is None else bias.ccd.uncertainty.array
    return lost_pixels(raw, ccd.data, level=level, error=np.hypot(raw.level_error, error))


def _notes(raw: RawFrame) -> tuple[str, ...]:
    if not raw.is_levelled or not raw.odd.any():
        return ()
    return (f"{raw.frame.frame_id}: {raw.odd_text}",)


def _thinned(image: NDArray[np.floating]) -> NDArray[np.float64]:
    step = max(1, image.size // _SAMPLES)
    return np.array(image.ravel()[::step], dtype=float)


def _full(raw: RawFrame) -> NDArray[np.bool_]:
    window, level = raw.sections.trim, raw.frame.detector.saturation
    flagged: NDArray[np.bool_] = raw.frame.where(MaskPlane.SATURATED)[window]
    return flagged if level is None else flagged | (raw.frame.data[window] >= level)


def _checked_level(
    ccd: CCDData, usable: NDArray[np.bool_], full: NDArray[np.bool_], raw: RawFrame
) -> float:
    """Return the mean of a flat, or raise where it is too faint or too bright."""
    if full.mean() > _FULL:
        raise StageError(f"overexposed: {100 * full.mean():.3g} % of the pixels are saturated")
    level = float(ccd.data[usable].mean()) if usable.any() else 0.0
    if not level > _FAINT * raw.noise:
        raise StageError(f"underexposed: a mean of {level:.4g} at a read noise of {raw.noise:.3g}")
    return level


def alike(parts: Sequence[Part], kind: str) -> tuple[list[Part], list[LeftOut]]:
    """Leave out biases and darks whose level is not that of the others: mislabelled frames."""
    if kind == "flat" or not parts:
        return list(parts), []
    usual = float(np.median([part.level for part in parts]))
    kept, left = [], []
    for part in parts:
        if abs(part.level - usual) <= max(_OTHER * part.noise, _OTHER_PART * abs(usual)):
            kept.append(part)
            continue
        why = f"its level is {part.level:.4g}, that of the others {usual:.4g}: is it a {kind}?"
        left.append(LeftOut(part.name, why))
    return kept, left
