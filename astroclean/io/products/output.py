"""What a run has to write for one frame: plain arrays and cards, cheap to send to a process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astroclean.core.image.layer import Layer
    from astroclean.core.image.rewriting import Rewriting
    from astroclean.io.frames.grouping import FrameSlot

__all__ = ["FrameOutput"]

Image = Any
"""An array, or a `RowStore` where the frame does not fit into memory."""


@dataclass(frozen=True, eq=False)
class FrameOutput:
    """The outcome of all stages on one frame."""

    slot: FrameSlot
    data: Image
    """(ny, nx) float32."""
    changed: Image
    """(ny, nx) bool, pixels whose value differs from the input's; where the image was rewritten,
    from the values that it was rewritten to."""
    flags: Image
    """(ny, nx) uint32."""
    uncertainty: Image | None = None
    """(ny, nx) standard deviation, or None."""
    uncertainty_changed: Image | None = None
    """(ny, nx) bool, or None where nothing changed."""
    history: tuple[str, ...] = ()
    """Text of HISTORY cards."""
    layers: Mapping[str, Layer] = field(default_factory=dict)
    """EXTNAME to layer."""
    result: str | None = None
    """Layer that the last stages left in place of a science image, ``DECONV`` or ``SUPERRES``."""
    rewriting: Rewriting | None = None
    """How the science image became another one, of which all pixels are written."""
    meta: Any = None
    """Header of the frame as it was read, where it was rewritten."""

    @property
    def can_be_replaced(self) -> bool:
        """Whether the result of the last stages lies on the pixels of the science image."""
        if self.result is None:
            return False
        return bool(self.layers[self.result].data.shape == self.data.shape)
