"""Particle hits from dark frames: what one dark has and others of the same detector do not.

Nobody has to mark anything: a dark sees no light, a hit is in one exposure alone, and a hot pixel
is in all of them.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from astropy.io import fits

from astroclean.core.flags.planes import REJECTING, MaskPlane
from astroclean.errors import AstrocleanWarning
from astroclean.inference.tiles.normalize import BackgroundSigma
from astroclean.io.frames.read import open_exposure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.io.frames.read import Exposure

    Stamp = NDArray[np.float64]

__all__ = ["TEST_EVERY", "Hit", "hits_of", "hits_of_files", "write_hits"]

_SEED, _MEMBER = 5.0, 3.0
"""Standard deviations that one pixel of a hit exceeds, and all of them."""
_HOT = 5.0
"""Standard deviations of the others' median from which a pixel is hot: no hit begins there."""
_BOX = 64
_MOST = 7
"""Darks in memory at a time."""
TEST_EVERY = 4
"""Hits whose number is a multiple of it are those that `load_hits` sets apart for tests."""
_BAD = np.uint32(REJECTING & ~MaskPlane.COSMIC_RAY)
_ONE_PIXEL = (1, 1)


class Hit(NamedTuple):
    """A particle hit in a dark."""

    charge: Stamp
    """Zero outside the hit: electrons where the gain is known, else the unit of the dark."""
    origin: tuple[int, int]
    """(y, x) of its first pixel."""


def hits_of(dark: Frame, others: Sequence[Frame]) -> list[Hit]:
    """Return the particle hits of a dark frame.

    A hit is a connected patch 3 sigma above the median of the other darks, with a pixel 5 sigma
    above it that is not hot in them. Without others every hot pixel that the DQ does not name
    would be one; then patches of a single pixel, which most hot ones are, are left out.

    Parameters
    ----------
    dark : Frame
        Any unit. Not modified; rejected pixels are left out.
    others : sequence of Frame
        Darks of the same detector, as long as this one.

    Returns
    -------
    list of Hit
        From the bottom up.
    """
    from scipy.ndimage import find_objects, label  # noqa: PLC0415 - slow to import

    usable = _usable(dark)
    sky = BackgroundSigma(box=_BOX)
    hot = np.zeros(dark.shape, dtype=bool)
    difference = dark.data
    if others:
        reference, known = _median(others)
        usable &= known
        difference = dark.data - reference
        hot = sky.forward(reference, usable)[0] > _HOT
    excess, state = sky.forward(difference, usable)
    labels, _ = label(usable & (excess > _MEMBER), np.ones((3, 3)))
    chosen = np.unique(labels[usable & ~hot & (excess > _SEED)])
    charge = (excess * state.width).astype(np.float64)
    charge *= dark.detector.scale(dark.unit) or 1.0
    boxes = find_objects(labels)
    found = [_hit(charge, labels, boxes[number - 1], number) for number in chosen]
    return found if others else [hit for hit in found if hit.charge.shape != _ONE_PIXEL]


def _hit(
    charge: NDArray[np.float64],
    labels: NDArray[np.integer],
    box: tuple[slice, slice],
    number: int,
) -> Hit:
    own = np.where(labels[box] == number, charge[box], 0.0)
    return Hit(own, (box[0].start, box[1].start))


def _usable(frame: Frame) -> NDArray[np.bool_]:
    # The flags may name hits, if another program has looked for them: these are wanted here.
    return np.asarray(np.isfinite(frame.data) & ((frame.flags & _BAD) == 0))


def _median(frames: Sequence[Frame]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the median of the usable values of each pixel, and where there is one."""
    stack = np.stack([np.where(_usable(frame), frame.data, np.nan) for frame in frames])
    known = np.isfinite(stack).any(axis=0)
    stack[:, ~known] = 0
    return np.nanmedian(stack, axis=0).astype(np.float32), known


class _Detector(NamedTuple):
    """What darks must have in common to be compared."""

    instrument: str
    label: str
    shape: tuple[int, ...]
    unit: str
    exposure: float | None


def hits_of_files(files: Sequence[str]) -> list[Hit]:
    """Return the particle hits of all dark frames in some files.

    Parameters
    ----------
    files : sequence of str
        Each holds a dark of one detector or several. Darks with the same instrument, HDU, plane,
        shape, unit and exposure time are compared, seven at a time.

    Returns
    -------
    list of Hit
        Dark by dark.

    Warns
    -----
    AstrocleanWarning
        A detector has one dark only, or its gain is not known.
    """
    groups: dict[_Detector, list[tuple[str, int]]] = {}
    for file in files:
        with open_exposure(file) as exposure:
            for index in range(len(exposure.slots)):
                groups.setdefault(_detector(exposure, index), []).append((file, index))
    found: list[Hit] = []
    for detector, places in groups.items():
        told = f"darks of {detector.instrument} {detector.label}"
        if len(places) == 1:
            _warn(
                f"{told}: there is one alone ({places[0][0]}), so hot pixels that its DQ does not "
                "name cannot be told from hits. Give three or more of the same exposure time."
            )
        for part in np.array_split(np.arange(len(places)), -(-len(places) // _MOST)):
            frames = [_read(*places[index]) for index in part]
            for number, frame in enumerate(frames):
                found += hits_of(frame, frames[:number] + frames[number + 1 :])
        if frames[0].detector.scale(frames[0].unit) is None:
            _warn(f"{told}: without a gain, the charge of hits is in {detector.unit}.")
    return found


def _detector(exposure: Exposure, index: int) -> _Detector:
    slot = exposure.slots[index]
    # One pixel is enough to know unit and exposure time.
    sample = exposure.frame(slot, (slice(0, 1), slice(0, 1)))
    seconds = sample.detector.exposure
    return _Detector(
        exposure.instrument.name,
        slot.label,
        tuple(slot.science.shape),
        str(sample.unit),
        None if seconds is None else round(float(seconds), 1),
    )


def _read(file: str, index: int) -> Frame:
    with open_exposure(file) as exposure:
        return exposure.frame(exposure.slots[index])


def _warn(text: str) -> None:
    warnings.warn(text, AstrocleanWarning, stacklevel=3)


def write_hits(path: Path, stamps: Sequence[Stamp], *, apart: Sequence[Stamp] = ()) -> None:
    """Write hits as `astroclean.simulate.contaminants.cosmic_rays.load_hits` reads them.

    Parameters
    ----------
    path : Path
        FITS file, replaced where it exists.
    stamps : sequence of (h, w) float64
        Charge, zero outside a hit.
    apart : sequence of (h, w) float64
        Hits that are set apart for tests.
    """
    training = (n for n in range(1, 2 * len(stamps) + 2) if n % TEST_EVERY)
    tests = range(TEST_EVERY, TEST_EVERY * len(apart) + 1, TEST_EVERY)
    numbered = [*zip(training, stamps, strict=False), *zip(tests, apart, strict=True)]
    rows = list(_rows(numbered))
    values = np.empty(len(rows), dtype=object)
    values[:] = [row[3] for row in rows]
    names = ("fp_id", "x0", "y0")
    columns = [
        fits.Column(name, "J", array=np.array([row[index] for row in rows], dtype=np.int32))
        for index, name in enumerate(names)
    ]
    columns.append(fits.Column("pixel_values", "PE()", array=values))
    fits.BinTableHDU.from_columns(columns, name="COSMIC_RAYS").writeto(path, overwrite=True)


def _rows(
    numbered: Sequence[tuple[int, Stamp]],
) -> Iterator[tuple[int, int, int, NDArray[np.float32]]]:
    """Yield number, first column, row and charges of each row of each hit."""
    for number, stamp in numbered:
        for y, row in enumerate(stamp):
            inside = np.flatnonzero(row)
            if inside.size:
                first, last = inside[0], inside[-1] + 1
                yield number, int(first), y, row[first:last].astype(np.float32)
