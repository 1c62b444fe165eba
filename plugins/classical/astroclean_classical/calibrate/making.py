"""Masters of raw frames: bias, then darks without it, then flats without both."""

from __future__ import annotations

import hashlib
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.nddata import CCDData, StdDevUncertainty

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.detector import DETECTOR_KEYWORDS
from astroclean.core.image.frame import Frame
from astroclean.core.stage.masters import LeftOut, MadeMaster
from astroclean.errors import AstrocleanError
from astroclean.io.scratch.folders import temporary_folder
from astroclean_classical.calibrate.cards import master_header
from astroclean_classical.calibrate.combining import Combined, combined, typical_scatter
from astroclean_classical.calibrate.parts import Part, TakenOff, alike, written_part
from astroclean_classical.calibrate.sorting import refused_groups, sorted_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from astroclean.core.stage.resources import StoredFrame
    from astroclean_classical.calibrate.raw import RawFrame
    from astroclean_classical.calibrate.sorting import Group, Setup

__all__ = ["Bench", "Made"]

_KINDS = ("bias", "dark", "flat")


@dataclass(frozen=True, eq=False)
class Made:
    """The master of one HDU."""

    group: Group
    frame: Frame
    taken_off: TakenOff
    """For the frames that need it."""
    parts: tuple[str, ...]
    notes: tuple[str, ...]
    is_without_bias: bool


@dataclass(eq=False)
class Bench:
    """Makes masters one after the other, and remembers those that the next need."""

    raw_frame: Callable[[Frame], RawFrame]
    memory: float
    """Bytes that may be held while frames are combined."""
    least: int
    """Frames that a master needs."""
    temperature: float
    """Largest difference among the frames of a master, in K."""
    made: dict[tuple[str, Setup], list[Made]] = field(default_factory=dict)

    def masters(
        self, frames: Sequence[StoredFrame], *, where: str
    ) -> Iterator[MadeMaster | LeftOut]:
        """Yield all masters that can be made, and the frames that were left out."""
        sorted_groups, left = sorted_frames(frames, where=where)
        groups, refused = refused_groups(
            sorted_groups, least=self.least, temperature=self.temperature
        )
        yield from (*left, *refused)
        for kind in _KINDS:
            done = []
            for group in groups:
                if group.type != kind:
                    continue
                made, others = self.make(group)
                yield from others
                if made is not None:
                    done.append(made)
                    self.made.setdefault((kind, group.setup), []).append(made)
            yield from _joined(done)

    def make(self, group: Group) -> tuple[Made | None, list[LeftOut]]:
        """Return the master of a group, and the frames that were left out of it."""
        bias, dark, notes = self._needed(group)
        parts, left = [], []
        copies: dict[bytes, str] = {}
        with tempfile.TemporaryDirectory(dir=temporary_folder()) as folder:
            for number, stored in enumerate(group.frames):
                path = Path(folder) / f"{number}.fits"
                try:
                    raw = self.raw_frame(_read(stored))
                    first = copies.setdefault(_digest(raw.frame), stored.name)
                    if first != stored.name:
                        left.append(LeftOut(stored.name, f"has the same pixels as {first}"))
                        continue
                    is_flat = group.type == "flat"
                    parts.append(written_part(raw, path, is_flat=is_flat, bias=bias, dark=dark))
                except AstrocleanError as error:
                    left.append(LeftOut(stored.name, _plain(error)))
            parts, others = alike(parts, group.type)
            left += others
            if len(parts) < self.least:
                why = f"only {len(parts)} usable for {group.stem}; {self.least} are needed"
                return None, left + [LeftOut(part.name, why) for part in parts]
            mean = _mean_of(parts, memory=self.memory)
        masters = {"ZEROCOR": bias, "DARKCOR": dark}
        used = {card: master for card, master in masters.items() if master is not None}
        notes += tuple(note for part in parts for note in part.notes)
        return _finished(group, parts, mean, used, notes), left

    def _needed(self, group: Group) -> tuple[TakenOff | None, TakenOff | None, tuple[str, ...]]:
        """Return bias and dark for a group, and what is to be said of them."""
        if group.type == "bias":
            return None, None, ()
        biases = self.made.get(("bias", group.setup), [])
        bias = biases[0].taken_off if biases else None
        notes = [] if biases else ["no bias of this camera and HDU: none was taken off"]
        dark = None
        if group.type == "flat":
            darks = [m for m in self.made.get(("dark", group.setup), []) if m.is_without_bias]
            time = float(np.mean([f.header.detector.exposure or 0.0 for f in group.frames]))
            near = sorted(darks, key=lambda m: abs((m.group.exposure or 0) - time))
            dark = near[0].taken_off if near else None
            notes += [] if near else ["no dark without bias: none was taken off"]
        return bias, dark, tuple(notes)


def _read(stored: StoredFrame) -> Frame:
    """Return a raw frame with the saturation level of its header.

    The reader does not believe a level that most pixels have; of a flat that is overexposed it is
    right.
    """
    frame, level = stored.read(), stored.header.detector.saturation
    if level is None or frame.detector.saturation is not None:
        return frame
    meta = frame.meta.copy()
    meta[DETECTOR_KEYWORDS["saturation"]] = level
    return frame.replace(meta=meta)


def _digest(frame: Frame) -> bytes:
    """Return what frames of the same pixels share: a copy tells nothing of the noise."""
    return hashlib.sha256(frame.data.tobytes()).digest()


def _mean_of(parts: Sequence[Part], *, memory: float) -> Combined:
    scatter = typical_scatter([part.sample for part in parts])
    return combined([part.path for part in parts], scatter=scatter, memory=memory)


def _finished(
    group: Group,
    parts: Sequence[Part],
    mean: Combined,
    used: Mapping[str, TakenOff],
    notes: tuple[str, ...],
) -> Made:
    """Return a master with header, and with the noise of those that were taken off its parts."""
    data, error = mean.data, mean.error
    level = float(np.mean([part.level for part in parts])) if group.type == "flat" else 1.0
    for master in used.values():
        factor = float(np.mean([master.factor(part.exposure) for part in parts]))
        assert master.ccd.uncertainty is not None
        error = np.hypot(error, factor * master.ccd.uncertainty.array / level)
    unit = parts[0].unit
    if group.type == "flat":
        scale = data[~mean.bad].mean()
        data, error, unit = data / scale, error / scale, u.dimensionless_unscaled
    frame = Frame(
        data.astype(np.float32),
        unit=unit,
        uncertainty=StdDevUncertainty(error.astype(np.float32)),
        flags=mean.bad * np.uint32(MaskPlane.BAD_PIXEL),
        meta=master_header(group, parts, {card: m.name for card, m in used.items()}),
        frame_id=group.stem,
    )
    ccd = CCDData(data, unit=unit, uncertainty=StdDevUncertainty(error))
    taken_off = TakenOff(group.stem, ccd, group.exposure)
    names = tuple(part.name for part in parts)
    return Made(group, frame, taken_off, names, notes, is_without_bias="ZEROCOR" in used)


def _joined(made: Sequence[Made]) -> Iterator[MadeMaster]:
    """Yield masters of all HDUs of one camera as one; names differ where cameras do."""
    files: dict[tuple[str, tuple[object, ...]], list[Made]] = defaultdict(list)
    for master in made:
        files[master.group.stem, master.group.setup.but_hdu].append(master)
    setups: dict[str, list[tuple[object, ...]]] = defaultdict(list)
    for stem, setup in files:
        setups[stem].append(setup)
    for (stem, setup), masters in files.items():
        number = setups[stem].index(setup) + 1
        yield MadeMaster(
            stem if len(setups[stem]) == 1 else f"{stem}_setup{number}",
            tuple(master.frame for master in masters),
            tuple(name for master in masters for name in master.parts),
            tuple(dict.fromkeys(note for master in masters for note in master.notes)),
        )


def _plain(error: AstrocleanError) -> str:
    """Return what an error says beside the name of the frame."""
    received = "" if error.received is None else f" ({error.received})"
    return f"{error.problem}{received}"
