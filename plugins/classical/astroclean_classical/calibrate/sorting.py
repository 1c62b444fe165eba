"""Raw frames of a night, sorted: which of them make one master together."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from astroclean.core.stage.masters import LeftOut
from astroclean.errors import AstrocleanError
from astroclean_classical.calibrate.filters import filter_of
from astroclean_classical.calibrate.header import doubts_of, frame_type, type_card
from astroclean_classical.calibrate.raw import refuse_calibrated
from astroclean_classical.calibrate.selection import (
    binning_of,
    camera_of,
    hdu_of,
    is_same_exposure,
    temperature_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from astroclean.core.stage.resources import StoredFrame

__all__ = ["Group", "Setup", "refused_groups", "sorted_frames"]

_ORDER = ("bias", "dark", "flat")
_LONG_BIAS = 1.0
"""Seconds, from which a frame is no bias."""


@dataclass(frozen=True, order=True)
class Setup:
    """What frames must share to be calibrated by each other."""

    camera: tuple[tuple[str, str], ...]
    binning: str
    shape: tuple[int, int]
    gain: float
    unit: str
    hdu: str

    @property
    def but_hdu(self) -> tuple[object, ...]:
        """What the chips of one camera share; names of chips differ among them."""
        names = tuple(pair for pair in self.camera if pair[0] in {"INSTRUME", "READOUTM", "OFFSET"})
        return names, self.binning


@dataclass(frozen=True, eq=False)
class Group:
    """Raw frames of one type and setup."""

    type: str
    setup: Setup
    frames: tuple[StoredFrame, ...]
    exposure: float | None = None
    """Of darks."""
    filter: str | None = None
    """Of flats."""

    @property
    def stem(self) -> str:
        """Name of the master, without what tells setups apart."""
        if self.type == "dark":
            return f"dark_{self.exposure:g}s"
        if self.type == "flat":
            return f"flat_{_plain(self.filter)}" if self.filter else "flat"
        return self.type


def _plain(text: str | None) -> str:
    return re.sub(r"[^A-Za-z0-9.+-]+", "-", str(text)).strip("-.") or "x"


def sorted_frames(
    frames: Iterable[StoredFrame], *, where: str
) -> tuple[list[Group], list[LeftOut]]:
    """Sort raw frames into groups of which one master each is made.

    Parameters
    ----------
    frames : iterable of StoredFrame
        Of any type.
    where : str
        For messages.

    Returns
    -------
    (list of Group, list of LeftOut)
        Groups: bias before dark before flat; and the frames of which none is made.
    """
    left: list[LeftOut] = []
    kinds: dict[tuple[str, Setup, str], list[StoredFrame]] = defaultdict(list)
    for frame in frames:
        why = _unfit(frame, where)
        if why is not None:
            left.append(LeftOut(frame.name, why))
            continue
        kind = str(frame_type(frame.header.meta))
        name = filter_of(frame.header) or "" if kind == "flat" else ""
        kinds[kind, _setup_of(frame), name].append(frame)
    groups = []
    for kind, setup, name in sorted(kinds, key=lambda key: (_ORDER.index(key[0]), *key[1:])):
        for part in _by_exposure(kinds[kind, setup, name], is_split=kind == "dark"):
            exposure = part[0].header.detector.exposure if kind == "dark" else None
            groups.append(Group(kind, setup, tuple(part), exposure, name or None))
    return groups, left


def _unfit(frame: StoredFrame, where: str) -> str | None:
    """Return why no master is made of a frame; None where one can be."""
    meta = frame.header.meta
    kind, card = frame_type(meta), type_card(meta)
    if card is None:
        return "no card tells its type (IMAGETYP and the like)"
    if kind not in _ORDER:
        what = "an exposure of the sky" if kind == "light" else "no bias, dark or flat"
        return f"{what}: {card[0]} = '{card[1]}'"
    try:
        refuse_calibrated(frame.header, where)
    except AstrocleanError as error:
        return f"{error.problem} ({error.received})"
    doubts = doubts_of(meta)
    return doubts[0] if doubts else _untold(frame, kind)


def _untold(frame: StoredFrame, kind: str | None) -> str | None:
    """Return what a header does not tell, or tells wrongly for its type."""
    detector = frame.header.detector
    # 0 is how headers have it that do not know it.
    unknown = [name for name in ("gain", "read_noise") if not getattr(detector, name)]
    if unknown:
        words = " and ".join(name.replace("_", " ") for name in unknown)
        options = " ".join(f"--set instrument.{name}=..." for name in unknown)
        return f"{words} not told: give {options}"
    if kind == "bias" and (detector.exposure or 0) > _LONG_BIAS:
        return f"a bias of {detector.exposure:g} s"
    if kind == "dark" and not detector.exposure:
        return "tells no exposure time"
    return None


def _setup_of(frame: StoredFrame) -> Setup:
    meta = frame.header.meta
    return Setup(
        tuple(sorted(camera_of(meta).items())),
        binning_of(meta) or "",
        frame.shape,
        float(frame.header.detector.gain or 0),
        str(frame.header.unit),
        hdu_of(meta),
    )


def _by_exposure(frames: Sequence[StoredFrame], *, is_split: bool) -> list[list[StoredFrame]]:
    """Return frames of one exposure time each; of those that are not split, all."""
    if not is_split:
        return [list(frames)]
    parts: list[list[StoredFrame]] = []
    for frame in sorted(frames, key=lambda f: (f.header.detector.exposure or 0, f.name)):
        time = frame.header.detector.exposure or 0
        if parts and is_same_exposure(parts[-1][0].header.detector.exposure or 0, time):
            parts[-1].append(frame)
        else:
            parts.append([frame])
    return parts


def refused_groups(
    groups: Sequence[Group], *, least: int, temperature: float
) -> tuple[list[Group], list[LeftOut]]:
    """Leave out groups of too few frames, and those whose temperatures differ.

    Parameters
    ----------
    groups : sequence of Group
        As sorted.
    least : int
        Frames that a master needs.
    temperature : float
        Largest difference within a group, in K.
    """
    kept, left = [], []
    for group in groups:
        told = [t for f in group.frames if (t := temperature_of(f.header.meta)) is not None]
        why = None
        if len(group.frames) < least:
            one = "one frame" if len(group.frames) == 1 else f"{len(group.frames)} frames"
            why = f"only {one} for {group.stem}; {least} are needed to find cosmic rays"
        elif told and max(told) - min(told) > temperature:
            why = f"{group.stem}: temperatures from {min(told):g} to {max(told):g}"
        if why is None:
            kept.append(group)
        else:
            left += [LeftOut(frame.name, why) for frame in group.frames]
    return kept, left
