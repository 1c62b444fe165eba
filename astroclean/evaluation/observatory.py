"""Observed truth: what the DQ of the observatory says of each pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.errors import ConfigurationError
from astroclean.io.frames.read import open_exposure
from astroclean.simulate.scene import ClassTruth, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from astroclean.core.flags.conventions import Convention, ConventionValue
    from astroclean.io.frames.read import ReadSettings

__all__ = ["classes_of_quality", "observatory_dq"]

_DEFECTS = (
    MaskPlane.HOT_LINE
    | MaskPlane.DEAD_LINE
    | MaskPlane.HOT_PIXEL
    | MaskPlane.DEAD_PIXEL
    | MaskPlane.BAD_PIXEL
)
"""What a bad pixel of an observatory's map may be: it does not say which."""


def observatory_dq(path: str, settings: ReadSettings) -> Iterator[Scene]:
    """Yield the frames of a file with the classes that their DQ names.

    Parameters
    ----------
    path : str
        A file whose frames have DQ, in the convention of their instrument.
    settings : ReadSettings
        How it is read.

    Yields
    ------
    Scene
        A class for each value of the DQ that occurs in the file, and one for those that share an
        answer. Neither flags nor uncertainty of the frame tell what the DQ says; pixels without a
        value stay flagged and are not scored.

    Raises
    ------
    ConfigurationError
        A frame has no DQ, or no frame has any pixel that its DQ calls bad.
    """
    with open_exposure(path, settings) as exposure:
        qualities = [exposure.quality(slot) for slot in exposure.slots]
        # Where a value says by itself what is unusable, the others of other pixels are no defect.
        found = [(c, c.of_unusable(v)) for c, v in (q for q in qualities if q is not None)]
        if len(found) < len(qualities):
            raise ConfigurationError(f"{path}: `--truth dq` needs frames with DQ")
        rows = _occurring(found)
        if not rows:
            raise ConfigurationError(f"{path}: the DQ calls no pixel bad, so it tells no truth")
        for slot, (convention, values) in zip(exposure.slots, found, strict=True):
            frame = exposure.frame(slot)
            hidden = (convention.provides | MaskPlane.BAD_PIXEL) & ~MaskPlane.NO_DATA
            # Observatories give bad pixels no weight: the uncertainty knows the truth.
            frame = frame.replace(flags=frame.flags & ~np.uint32(hidden), uncertainty=None)
            planes = convention.to_planes(values)
            yield Scene(
                frame,
                planes,
                classes=classes_of_quality(rows, values, encoding=convention.encoding),
            )


def _occurring(
    found: Sequence[tuple[Convention, NDArray[np.integer]]],
) -> list[ConventionValue]:
    """Return the values of the table that some pixel has and that name a defect."""
    rows: dict[int, ConventionValue] = {}
    for convention, values in found:
        for row in convention.values:
            defect = row.sets & ~MaskPlane.NO_DATA
            if defect and _has(values, row, convention.encoding).any():
                rows[row.value] = row
    return [rows[value] for value in sorted(rows)]


def classes_of_quality(
    rows: Sequence[ConventionValue], values: NDArray[np.integer], *, encoding: str
) -> dict[str, ClassTruth]:
    """Return the truth of each value, and of those together that the same planes answer.

    Parameters
    ----------
    rows : sequence of ConventionValue
        Values to score.
    values : (ny, nx) int
        DQ of a frame.
    encoding : str
        ``bits`` or ``codes``.

    Returns
    -------
    dict of str to ClassTruth
        By the convention's own names. BAD_PIXEL is answered by any plane of a defective pixel or
        line. Where several values have one answer, each leaves the pixels of the others out, and
        ``a or b`` has them all.
    """
    groups: dict[MaskPlane, list[ConventionValue]] = {}
    for row in rows:
        groups.setdefault(_answers(row), []).append(row)
    classes = {}
    for answers, group in groups.items():
        where = [_has(values, row, encoding) for row in group]
        anywhere = np.logical_or.reduce(where)
        for row, true in zip(group, where, strict=True):
            classes[row.name] = ClassTruth(true, answers, ignored=anywhere & ~true)
        if len(group) > 1:
            classes[" or ".join(row.name for row in group)] = ClassTruth(anywhere, answers)
    return classes


def _answers(row: ConventionValue) -> MaskPlane:
    return row.sets | _DEFECTS if row.sets & MaskPlane.BAD_PIXEL else row.sets


def _has(values: NDArray[np.integer], row: ConventionValue, encoding: str) -> NDArray[np.bool_]:
    if encoding == "codes":
        return np.asarray(values == row.value)
    return np.asarray((values.astype(np.int64) & row.value) != 0)
