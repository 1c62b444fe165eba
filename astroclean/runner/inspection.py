"""What is understood of a file before any pipeline, and what told it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from astroclean.core.flags.planes import count_planes
from astroclean.core.image.uncertainty import deviation_of
from astroclean.core.stage.domain import known_fwhm_pixels
from astroclean.io.frames.instruments import GENERIC
from astroclean.io.frames.read import ReadSettings, open_exposure
from astroclean.runner.work.known import units_of
from astroclean.tiling.noise import SkyNoiseGatherer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.io.frames.grouping import FrameSlot
    from astroclean.io.frames.read import Exposure
    from astroclean.tiling.noise import SkyNoise

__all__ = ["FileInspection", "FrameInspection", "HduInspection", "MaskInspection", "inspect_file"]


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, ser_json_inf_nan="null")


class HduInspection(_Told):
    """One HDU."""

    hdu: str
    shape: tuple[int, ...]
    role: str
    """``science``, ``error variance inverse_variance dq coverage flags``, ``kept``."""
    why: str
    """The card, name or rule that told it."""


class ValueInspection(_Told):
    """One value, such as the gain."""

    value: Any
    origin: str
    """The card or rule that told it."""
    unit: str = ""
    """Of the value, where it is a quantity."""


class MaskInspection(_Told):
    """What the DQ values of a frame mean."""

    convention: str
    why: str
    """What told it: a card, the instrument, the values."""
    rejecting: dict[str, int]
    """Name to value of those that reject a pixel."""


class FrameInspection(_Told):
    """One frame."""

    frame_id: str
    shape: tuple[int, int]
    values: dict[str, ValueInspection]
    """``unit``, ``gain``, ``read_noise``, ``saturation``, ...: those that are known."""
    fwhm_pixels: float | None = None
    """Of the PSF, by header or instrument; nothing is measured."""
    mask: MaskInspection | None = None
    """None where the frame has no DQ."""
    flagged: dict[str, int] = Field(default_factory=dict)
    """Mask plane to pixels, as read."""
    sky: float | None = None
    """Level of the quiet parts of the frame, in its unit."""
    noise: float | None = None
    """Standard deviation that neighboring pixels of these parts have, in the same."""
    predicted_noise: float | None = None
    """What uncertainty, or gain and read noise, predict for the same pixels."""
    predicted_by: str = ""


class FileInspection(_Told):
    """What is understood of one file."""

    input: str
    instrument: str
    title: str
    why: str
    """What told the instrument."""
    hdus: list[HduInspection]
    frames: list[FrameInspection]
    notes: list[str]
    contradictions: list[str]


def inspect_file(path: str, settings: ReadSettings | None = None) -> FileInspection:
    """Say what is understood of a file, without any pipeline.

    Parameters
    ----------
    path : str
        File, with an optional address such as ``[SCI,1]``.
    settings : ReadSettings, optional
        Instrument, values that override the header, rejecting planes.

    Returns
    -------
    FileInspection
        Roles of HDUs, values and mask convention of each frame, each with what told it.

    Raises
    ------
    FitsReadError
        The file is damaged, not FITS, or has no frame.
    UnitError
        The unit is not told.
    """
    settings = settings or ReadSettings()
    with open_exposure(path, settings) as exposure:
        frames = [_frame(exposure, slot) for slot in exposure.slots]
        return FileInspection(
            input=path,
            instrument=exposure.instrument.name,
            title=exposure.instrument.title,
            why=_why(exposure, settings),
            hdus=[
                HduInspection(hdu=r.hdu.label, shape=r.hdu.shape, role=r.role, why=r.why)
                for r in exposure.grouping.roles
            ],
            frames=frames,
            notes=list(dict.fromkeys([*exposure.notes, *exposure.mask_notes()])),
            contradictions=[*exposure.contradictions, *exposure.masks.doubts(exposure.slots)],
        )


def _why(exposure: Exposure, settings: ReadSettings) -> str:
    if settings.instrument != "auto":
        return "named by the user"
    if exposure.instrument.name == GENERIC:
        return "no other instrument file matches the header"
    header = exposure.source.merged_header(exposure.slots[0].science.index)
    rules = [r for r in exposure.instrument.match if all(key in header for key in r)]
    keys = max(rules, key=len, default={})
    cards = ", ".join(f"{key} = {str(header[key]).strip()}" for key in keys)
    return f"header {cards}" if cards else "header of another HDU"


def _frame(exposure: Exposure, slot: FrameSlot) -> FrameInspection:
    frame = exposure.frame(slot)
    predicted, by = _predicted_variance(frame)
    sky = _sky_of(frame, predicted)
    quality, units = exposure.convention(slot), units_of(frame)
    return FrameInspection(
        frame_id=frame.frame_id,
        shape=frame.shape,
        values={
            name: ValueInspection(
                value=_plain(item.value), origin=item.origin, unit=units.get(name, "")
            )
            for name, item in exposure.resolved(slot).items()
            if name != "instrument"
        },
        fwhm_pixels=known_fwhm_pixels(frame),
        mask=None
        if quality is None
        else MaskInspection(
            convention=quality[0].title,
            why=quality[1],
            rejecting={row.name: row.value for row in quality[0].rejecting_values()},
        ),
        flagged=count_planes(frame.flags),
        sky=sky.level if sky.cells else None,
        noise=sky.measured if sky.measured > 0 else None,
        predicted_noise=sky.predicted if by else None,
        predicted_by=by,
    )


def _plain(value: Any) -> Any:
    return value if isinstance(value, (int, float, str)) else str(value)


def _predicted_variance(frame: Frame) -> tuple[NDArray[np.float32] | None, str]:
    """Return the variance of each pixel, and what predicts it."""
    deviation = deviation_of(frame.uncertainty)
    if deviation is not None:
        return np.nan_to_num(deviation**2), "uncertainty of the file"
    detector = frame.detector
    electrons = detector.scale(frame.unit)
    if not electrons or detector.read_noise is None:
        return None, ""
    photons = np.maximum(np.nan_to_num(frame.data), 0) / electrons
    return photons + np.float32((detector.read_noise / electrons) ** 2), "gain and read noise"


def _sky_of(frame: Frame, variance: NDArray[np.float32] | None) -> SkyNoise:
    gatherer = SkyNoiseGatherer(frame.shape)
    gatherer.add(frame.data, frame.usable, variance)
    return gatherer.finish()
