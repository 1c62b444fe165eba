"""The option of stages that fill flagged pixels: which planes they fill."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator

from astroclean.core.planes import NO_PLANE, MaskPlane, parse_planes
from astroclean.errors import PlaneError

if TYPE_CHECKING:
    from astroclean.core.frame import Frame

__all__ = ["PlaneChoice", "chosen_planes"]


def _known(planes: str | tuple[str, ...]) -> str | tuple[str, ...]:
    if planes == "reject":
        return planes
    if not planes:
        raise ValueError("name at least one plane")
    try:
        parse_planes(planes)
    except PlaneError as error:
        # pydantic collects ValueErrors into one report.
        raise ValueError(str(error)) from error
    return planes


PlaneChoice = Annotated[Literal["reject"] | tuple[str, ...], AfterValidator(_known)]
"""``reject``: those that the run rejects, OVERSCAN apart; or names or aliases of planes."""


def chosen_planes(choice: str | tuple[str, ...], frame: Frame | None = None) -> MaskPlane:
    """Return the planes that an option names.

    Parameters
    ----------
    choice : ``"reject"`` or tuple of str
        Value of a `PlaneChoice`.
    frame : Frame, optional
        Tells what the run rejects; without it that is nothing.

    Returns
    -------
    MaskPlane
        OVERSCAN only where it is named: it has no sky to restore, and calibration measures it.
    """
    if choice != "reject":
        return parse_planes(choice)
    rejected = NO_PLANE if frame is None else MaskPlane(frame.reject_bits)
    return rejected & ~MaskPlane.OVERSCAN
