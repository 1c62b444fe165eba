"""The option of stages that fill flagged pixels: which planes they fill, hence which pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import AfterValidator

from astroclean.core.flags.planes import FILLABLE, NO_PLANE, MaskPlane, parse_planes
from astroclean.errors import PlaneError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["ISOLATED_REACH", "PlaneChoice", "chosen_planes", "pixels_to_fill"]

ISOLATED_PIXELS = 25
"""Most pixels of a group without data that is a defect, not the edge of what was observed."""

ISOLATED_REACH = ISOLATED_PIXELS + 1
"""Pixels around one within which it is decided whether its group is isolated."""


def _known(planes: str | tuple[str, ...]) -> str | tuple[str, ...]:
    if planes in {"fillable", "reject"}:
        return planes
    if not planes:
        raise ValueError("name at least one plane")
    try:
        parse_planes(planes)
    except PlaneError as error:
        # pydantic collects ValueErrors into one report.
        raise ValueError(str(error)) from error
    return planes


PlaneChoice = Annotated[Literal["fillable", "reject"] | tuple[str, ...], AfterValidator(_known)]
"""``fillable``: those that say that the value is not the sky's (`pixels_to_fill`); ``reject``:
those that the run rejects, OVERSCAN apart; or names or aliases of planes."""


def chosen_planes(choice: str | tuple[str, ...], frame: Frame | None = None) -> MaskPlane:
    """Return the planes that an option names.

    Parameters
    ----------
    choice : ``"fillable"``, ``"reject"`` or tuple of str
        Value of a `PlaneChoice`.
    frame : Frame, optional
        Tells what the run rejects; without it that is nothing.

    Returns
    -------
    MaskPlane
        OVERSCAN only where it is named: it has no sky to restore, and calibration measures it.
    """
    if choice not in {"fillable", "reject"}:
        return parse_planes(choice)
    rejected = NO_PLANE if frame is None else MaskPlane(frame.reject_bits)
    if choice == "fillable":
        return rejected & (FILLABLE | MaskPlane.NO_DATA)
    return rejected & ~MaskPlane.OVERSCAN


def pixels_to_fill(choice: str | tuple[str, ...], frame: Frame) -> NDArray[np.bool_]:
    """Return the pixels that a stage is to fill.

    Parameters
    ----------
    choice : ``"fillable"``, ``"reject"`` or tuple of str
        Value of a `PlaneChoice`.
    frame : Frame
        Its flags count. Not modified.

    Returns
    -------
    (ny, nx) bool
        Pixels of the planes that were chosen and have not been filled yet. With ``fillable``, a
        pixel that is rejected for another reason too is left: a hit on a saturated star is no
        licence to fill the star. Of NO_DATA, groups of at most 25 pixels (joined at edges and
        corners) that do not touch the border are filled.
    """
    chosen: NDArray[np.bool_] = frame.where(chosen_planes(choice, frame)) & ~frame.filled
    if choice != "fillable" or not chosen.any():
        return chosen
    planes = chosen_planes(choice, frame)
    others = MaskPlane(frame.reject_bits) & ~(planes | MaskPlane.NO_DATA)
    chosen &= ~frame.where(others)
    without_cause = chosen & ~frame.where(planes & ~MaskPlane.NO_DATA)
    if without_cause.any():
        chosen &= ~(without_cause & ~_isolated(frame.where(MaskPlane.NO_DATA)))
    return chosen


def _isolated(empty: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the groups of a few pixels that do not touch the border."""
    from scipy.ndimage import label  # noqa: PLC0415 - heavy

    labels, _ = label(empty, structure=np.ones((3, 3)))
    small = np.bincount(labels.ravel()) <= ISOLATED_PIXELS
    small[0] = False
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        small[edge] = False
    isolated: NDArray[np.bool_] = small[labels]
    return isolated
