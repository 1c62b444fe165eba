"""Which of the masters that were given is the one for a frame."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from astroclean.errors import StageError
from astroclean_classical.calibrate.filters import filter_of
from astroclean_classical.calibrate.header import frame_type, type_card

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.resources import StoredFrame

__all__ = [
    "CAMERA_CARDS",
    "HDU_CARD",
    "TEMPERATURE_CARDS",
    "Wanted",
    "binning_of",
    "camera_of",
    "chosen_master",
    "hdu_of",
    "is_same_exposure",
    "tells_its_chip",
    "temperature_of",
]

HDU_CARD = "ACRAWHDU"
"""Card of a master: EXTNAME and EXTVER of the raw HDUs that it is for."""

CAMERA_CARDS = (
    *("INSTRUME", "DETECTOR", "CCDNAME", "CCDID", "CHIPID", "SERIALNO", "READOUTM", "OFFSET"),
)
"""Cards that tell camera, chip and how it is read."""
_CHIP_CARDS = ("DETECTOR", "CCDNAME", "CCDID", "CHIPID")
_NO_NAMES = frozenset({"", "PRIMARY"})
TEMPERATURE_CARDS = (
    "CCD-TEMP",
    "CCDTEMP",
    "CCD_TEMP",
    "DETTEMP",
    "DET-TEMP",
    "CAMTEMP",
    "CAM-TEMP",
)
_SAME_EXPOSURE = 0.005
_SAME_GAIN = 0.02


@dataclass(frozen=True)
class Wanted:
    """What a master must be."""

    type: str
    """``bias``, ``dark`` or ``flat``."""
    frame: Frame
    """The raw frame."""
    shapes: tuple[tuple[int, int], ...]
    """That fit: raw, and trimmed."""
    scales: bool = False
    """Of a dark: whether one of another exposure time may be scaled."""
    temperature: float = 5.0
    """Of a dark: largest difference, in K."""


def chosen_master(masters: Sequence[StoredFrame], wanted: Wanted, *, where: str) -> StoredFrame:
    """Return the one master that fits a frame.

    Parameters
    ----------
    masters : sequence of StoredFrame
        All that were given for this step.
    wanted : Wanted
        The frame, and what is asked for.
    where : str
        For messages.

    Returns
    -------
    StoredFrame
        Of its type, HDU, shape, camera and binning; a flat of its filter; a dark of its exposure
        time, else the nearest one where it may be scaled.

    Raises
    ------
    StageError
        None fits, or several do; each is told with what differs.
    """
    faults = {master.name: _faults(master, wanted) for master in masters}
    fitting = [master for master in masters if not faults[master.name]]
    if wanted.type == "dark" and fitting:
        fitting, faults = _by_exposure(fitting, faults, wanted)
    if len(fitting) == 1:
        return fitting[0]
    listed = [f"{name}: {', '.join(why) or 'fits'}" for name, why in faults.items()]
    raise StageError(
        f"{'several of the masters' if fitting else 'no master'} given as `{wanted.type}` "
        f"fit{'' if fitting else 's'} this frame",
        where=where,
        received="; ".join(listed[:12]) + (f"; {len(listed) - 12} more" if listed[12:] else ""),
        remedy=f"Give the {wanted.type} of this camera, binning, filter and exposure time"
        f"{', and no other that is' if fitting else ''}.",
    )


def _by_exposure(
    fitting: list[StoredFrame], faults: dict[str, list[str]], wanted: Wanted
) -> tuple[list[StoredFrame], dict[str, list[str]]]:
    """Leave the darks of the exposure time of the frame, else the nearest where it is scaled."""
    needed = wanted.frame.detector.exposure or 0.0
    times = {master.name: master.header.detector.exposure or 0.0 for master in fitting}
    same = [m for m in fitting if is_same_exposure(times[m.name], needed)]
    if same:
        return same, faults
    if not wanted.scales:
        why = (
            f"exposure {{:g}} s, not {needed:g} s, and it is scaled only where `bias` is given, too"
        )
        return [], {**faults, **{name: [why.format(time)] for name, time in times.items()}}
    nearest = min(abs(time - needed) for time in times.values())
    return [m for m in fitting if abs(times[m.name] - needed) == nearest], faults


def is_same_exposure(one: float, other: float) -> bool:
    """Whether two exposure times, in seconds, are those of one setting of the shutter."""
    return abs(one - other) <= max(_SAME_EXPOSURE * max(one, other), 1e-3)


def _faults(master: StoredFrame, wanted: Wanted) -> list[str]:
    """Return why a master cannot be the one for a frame; nothing where it can."""
    ours, theirs = wanted.frame.meta, master.header.meta
    faults = []
    told = frame_type(theirs)
    card = type_card(theirs)
    if card is not None and told != wanted.type:
        faults.append(f"is no {wanted.type}: {card[0]} = '{card[1]}'")
    if master.shape not in wanted.shapes:
        shapes = " or ".join(f"{nx} x {ny}" for ny, nx in dict.fromkeys(wanted.shapes))
        faults.append(f"{master.shape[1]} x {master.shape[0]} pixels, not {shapes}")
    faults += _hdu_fault(ours, theirs)
    for what, function in (("camera", camera_of), ("binning", binning_of)):
        faults += _different(what, function(theirs), function(ours))
    faults += _setting_faults(master, wanted)
    return faults


def _setting_faults(master: StoredFrame, wanted: Wanted) -> list[str]:
    """Return what differs of gain, filter, exposure time and temperature."""
    ours, theirs = wanted.frame.detector, master.header.detector
    faults = []
    same_unit = master.header.unit == wanted.frame.unit
    if same_unit and ours.gain and theirs.gain and not _close(ours.gain, theirs.gain):
        faults.append(f"gain {theirs.gain:g}, not {ours.gain:g}")
    if wanted.type == "flat":
        of, needed = filter_of(master.header), filter_of(wanted.frame)
        if of and needed and of != needed:
            faults.append(f"filter '{of}', not '{needed}'")
    if wanted.type == "dark":
        if not theirs.exposure:
            faults.append("tells no exposure time")
        of_dark, of_frame = (temperature_of(f.meta) for f in (master.header, wanted.frame))
        if of_dark is None or of_frame is None:
            return faults
        if abs(of_dark - of_frame) > wanted.temperature:
            faults.append(f"temperature {of_dark:g}, not {of_frame:g}")
    return faults


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= _SAME_GAIN * max(one, other)


def _different(what: str, theirs: Any, ours: Any) -> list[str]:
    """Return what is told by both and differs."""
    if isinstance(theirs, dict):
        both = [key for key in theirs if key in ours and theirs[key] != ours[key]]
        return [f"{key} = '{theirs[key]}', not '{ours[key]}'" for key in both]
    if theirs is None or ours is None or theirs == ours:
        return []
    return [f"{what} {theirs}, not {ours}"]


def hdu_of(meta: Mapping[str, Any]) -> str:
    """Return EXTNAME and EXTVER of a frame, as `HDU_CARD` has them."""
    name = str(meta.get("EXTNAME", "")).strip().upper()
    return f"{name},{int(meta.get('EXTVER', 1))}"


def _hdu_fault(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    meant, needed = _meant_hdu(theirs), hdu_of(ours)
    if meant == needed or _is_nameless(meant, theirs) or _is_nameless(needed, ours):
        return []
    return [f"is for HDU [{meant}], not [{needed}]"]


def _meant_hdu(meta: Mapping[str, Any]) -> str:
    return str(meta.get(HDU_CARD, "")).strip() or hdu_of(meta)


def _is_nameless(hdu: str, meta: Mapping[str, Any]) -> bool:
    """Whether an HDU has no name that would tell one from another, as in files of one image."""
    return HDU_CARD not in meta and hdu.rpartition(",")[0] in _NO_NAMES


def tells_its_chip(master: StoredFrame, frame: Frame) -> bool:
    """Whether it is told that a master is of the HDU, or chip, of a frame.

    Files of one image need not tell it: frame and master then have no other.
    """
    ours, theirs = frame.meta, master.header.meta
    if hdu_of(ours) == _meant_hdu(theirs) or hdu_of(ours).removeprefix("PRIMARY") == ",1":
        return True
    chips = camera_of(ours).keys() & camera_of(theirs).keys() & set(_CHIP_CARDS)
    return bool(chips)


def camera_of(meta: Mapping[str, Any]) -> dict[str, str]:
    """Return the cards that tell camera, chip and how it is read."""
    return {key: str(meta[key]).strip() for key in CAMERA_CARDS if str(meta.get(key, "")).strip()}


def binning_of(meta: Mapping[str, Any]) -> str | None:
    """Return the binning as ``2x1``; None where no card tells it."""
    for keywords in (("CCDSUM",), ("BINNING",), ("XBINNING", "YBINNING"), ("CCDBIN1", "CCDBIN2")):
        text = " ".join(str(meta.get(keyword, "")) for keyword in keywords)
        numbers = re.findall(r"\d+", text)
        if len(numbers) == 2:  # noqa: PLR2004 - along x and y
            return f"{int(numbers[0])}x{int(numbers[1])}"
    return None


def temperature_of(meta: Mapping[str, Any]) -> float | None:
    """Return the temperature of the detector, in the unit of its card; None where none tells it."""
    for keyword in TEMPERATURE_CARDS:
        try:
            return float(meta[keyword])
        except (KeyError, TypeError, ValueError):
            continue
    return None
