"""The classes of MaxiMask, in the order of the network's outputs."""

from __future__ import annotations

from astroclean.core.flags.planes import MaskPlane

__all__ = ["BACKGROUND", "CHANNELS", "CONTAMINANTS", "EXTRA_CLASSES", "OUTPUTS"]


CONTAMINANTS = (
    MaskPlane.COSMIC_RAY,
    MaskPlane.HOT_LINE,
    MaskPlane.DEAD_LINE,
    MaskPlane.HOT_PIXEL,
    MaskPlane.DEAD_PIXEL,
    MaskPlane.PERSISTENCE,
    MaskPlane.TRAIL,
    MaskPlane.FRINGE,
    MaskPlane.NEBULOSITY,
    MaskPlane.SATURATED,
    MaskPlane.SPIKE,
    MaskPlane.OVERSCAN,
    MaskPlane.BRIGHT,
)
"""The published network's; upstream's code of each is 2 to the power of its index."""
BACKGROUND = "BG"
"""The output after them: nothing of the kind."""
EXTRA_CLASSES = (MaskPlane.GHOST, MaskPlane.CROSSTALK)
"""Outputs that the own network has after the 14."""
OUTPUTS = (*(plane.alias for plane in CONTAMINANTS), BACKGROUND)
"""Names of the 14 outputs."""
CHANNELS = (*OUTPUTS, *(plane.alias for plane in EXTRA_CLASSES))
"""Names of the outputs of the own network."""
