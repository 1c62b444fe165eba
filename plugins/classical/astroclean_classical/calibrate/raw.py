"""A raw frame with what must be known of it, and the reasons why a frame is none."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np

from astroclean.core.image.sections import section_text
from astroclean.errors import AstrocleanWarning, StageError, SuspectWarning
from astroclean_classical.calibrate.header import done_to, doubts_of, frame_type, type_card
from astroclean_classical.calibrate.overscan import odd_lines, overscan_error, scatter_of
from astroclean_classical.calibrate.sections import Sections, refuse_amplifiers
from astroclean_classical.calibrate.steps import as_ccd, levelled

if TYPE_CHECKING:
    from astropy.nddata import CCDData
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = [
    "DATA_NUMBERS",
    "RawFrame",
    "check_overscan",
    "middle",
    "refuse_calibrated",
    "refuse_others",
    "require_read_noise",
    "tell_doubts",
]

DATA_NUMBERS = (u.adu, u.count)
_ROUNDING = 12**-0.5
_NOISY = 2.0
"""Scatter of an overscan over the read noise that is too much."""
_STRIP = 32
"""Pixels beside the overscan that it is compared with."""


@dataclass(frozen=True, eq=False)
class RawFrame:
    """A raw frame, its sections and its detector."""

    frame: Frame
    sections: Sections
    degree: int | None
    """Of the polynomial along the overscan; None: the median of each row."""
    gain: float
    """Electrons a data number."""
    read_noise: float
    """Electrons."""
    where: str
    """Frame and stage, for messages."""

    @property
    def is_levelled(self) -> bool:
        """Whether its overscan tells the level of the camera."""
        return self.sections.overscan is not None

    @property
    def noise(self) -> float:
        """Read noise with rounding, in data numbers."""
        return float(np.hypot(self.read_noise / self.gain, _ROUNDING))

    @cached_property
    def level(self) -> float:
        """Median of the overscan, in data numbers; NaN where there is none."""
        return middle(self._overscan) if self.is_levelled else float("nan")

    @cached_property
    def scatter(self) -> float:
        """Standard deviation of the pixels of the overscan from one to the next."""
        return scatter_of(self._overscan if self.sections.axis == 1 else self._overscan.T)

    @cached_property
    def odd(self) -> NDArray[np.bool_]:
        """Which lines of what is left have an overscan that cannot be believed; (ny,) or (nx,)."""
        assert self.sections.overscan is not None
        side = 1 - self.sections.axis
        left, along = self.sections.trim[side], self.sections.overscan[side]
        lines = odd_lines(self.frame.data, self.sections)
        return lines[left.start - along.start : left.stop - along.start]

    @property
    def odd_text(self) -> str:
        """What is to be said of these lines."""
        name = "rows" if self.sections.axis == 1 else "columns"
        count = int(self.odd.sum())
        first = self.sections.trim[1 - self.sections.axis].start + int(np.argmax(self.odd)) + 1
        return (
            f"the overscan of {count} of {self.odd.size} {name}, the first at {first} of the raw "
            "frame, lies far off that of its neighbours and is not believed (the charge of a star, "
            "a cosmic ray?); theirs is taken"
        )

    @property
    def _overscan(self) -> NDArray[np.float32]:
        assert self.sections.overscan is not None
        pixels: NDArray[np.float32] = self.frame.data[self.sections.overscan]
        return pixels

    @property
    def level_error(self) -> float:
        """Standard error of the level of a row, in data numbers; 0 without overscan."""
        if not self.is_levelled:
            return 0.0
        return overscan_error(self.scatter, self.sections, degree=self.degree)

    def levelled(self) -> CCDData:
        """Return it without the level of its overscan, trimmed, in float64."""
        return levelled(as_ccd(self.frame), self.sections, degree=self.degree)


def middle(values: NDArray[np.floating]) -> float:
    """Return the median of the finite values; NaN where there is none."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else float("nan")


def require_read_noise(frame: Frame, stage: str) -> float:
    """Return the read noise, in electrons, as `Detector.require` does.

    Raises
    ------
    StageError
        It is not told; 0 is how headers have it that do not know it.
    """
    value = frame.detector.require("read_noise", frame=frame, stage=stage)
    if value > 0:
        return value
    raise StageError(
        "read noise is needed, and no camera reads without",
        where=f"{frame.frame_id}, stage '{stage}'",
        received=f"{value:g}",
        remedy="Give it: `--set instrument.read_noise=...`.",
    )


def refuse_calibrated(frame: Frame, where: str) -> None:
    """Raise where a frame is not raw, or not of one amplifier; its header alone counts.

    Raises
    ------
    StageError
        Cards tell that it was calibrated, or its unit is no data number.
    """
    done = done_to(frame.meta)
    if done:
        raise StageError(
            "was calibrated before",
            where=where,
            received=", ".join(dict.fromkeys(done.values())),
            remedy="Give the raw frame; or leave this stage out, as in the pipeline `ccd`.",
        )
    if frame.unit not in DATA_NUMBERS:
        raise StageError(
            "is no raw frame: its values are no data numbers",
            where=where,
            received=str(frame.unit),
            remedy="Give the raw frame, or `--set instrument.unit=adu` where the header errs.",
        )
    refuse_amplifiers(frame.meta, where)


def refuse_others(frame: Frame, where: str) -> None:
    """Raise where a frame was made to calibrate others; its header alone counts.

    Raises
    ------
    StageError
        Its card says bias, dark or flat.
    """
    kind, card = frame_type(frame.meta), type_card(frame.meta)
    if card is not None and kind in {"bias", "dark", "flat"}:
        raise StageError(
            "is no exposure of the sky",
            where=where,
            received=f"{card[0]} = '{card[1]}'",
            remedy="Make masters of such frames: `astroclean calibrate make`.",
        )


def tell_doubts(frame: Frame, where: str) -> None:
    """Tell what of a header makes it doubtful that the frame is one raw exposure of the sky.

    Raises
    ------
    SuspectWarning
        (A warning) It is a mean of several, or words of HISTORY tell of a calibration.
    AstrocleanWarning
        (A warning) The word for its type is not known.
    """
    for doubt in doubts_of(frame.meta):
        warnings.warn(f"{where}: {doubt}", SuspectWarning, stacklevel=2)
    card = type_card(frame.meta)
    if card is not None and frame_type(frame.meta) is None:
        text = f"{where}: {card[0]} = '{card[1]}' is not known; taken for an exposure of the sky"
        warnings.warn(text, AstrocleanWarning, stacklevel=2)


def check_overscan(raw: RawFrame) -> None:
    """Compare the overscan with the read noise and with the exposed pixels beside it.

    Raises
    ------
    StageError
        It is as bright and as noisy as these: the section lies among exposed pixels.
    SuspectWarning
        (A warning) It is noisier than the read noise.
    """
    from astropy.stats import mad_std  # noqa: PLC0415 - heavy

    if not raw.is_levelled or raw.scatter <= _NOISY * raw.noise:
        return
    beside = _beside(raw)
    level = middle(beside)
    spread = float(mad_std(beside, ignore_nan=True)) if beside.size else 0.0
    assert raw.sections.overscan is not None
    text = (
        f"overscan {section_text(*raw.sections.overscan)} has a level of {raw.level:.6g} and a "
        f"scatter of {raw.scatter:.3g} {raw.frame.unit}, where the read noise is "
        f"{raw.noise:.3g}; beside it the level is {level:.6g}"
    )
    if abs(raw.level - level) <= max(spread, raw.scatter):
        raise StageError(
            "the overscan is as bright and as noisy as the exposed pixels beside it",
            where=raw.where,
            received=text,
            remedy="Give the option `overscan` with the pixels that see no light, or 'none'.",
        )
    warnings.warn(
        f"{raw.where}: {text}: is the section right, and the read noise?",
        SuspectWarning,
        stacklevel=2,
    )


def _beside(raw: RawFrame) -> NDArray[np.float32]:
    """Return the exposed pixels that lie nearest to the overscan."""
    assert raw.sections.overscan is not None
    data = raw.frame.data[raw.sections.trim]
    axis = raw.sections.axis
    first = raw.sections.overscan[axis].start < raw.sections.trim[axis].start
    strip = slice(0, _STRIP) if first else slice(-_STRIP, None)
    beside: NDArray[np.float32] = data[:, strip] if axis == 1 else data[strip]
    return beside
