"""What a stage says of itself before the first pixel: its needs, what it provides, who it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from astroclean.core.flags.planes import NO_PLANE, MaskPlane
from astroclean.errors import StageError

if TYPE_CHECKING:
    from astroclean.core.image.frame import Frame

__all__ = ["Identity", "Needs", "Provides"]

_REMEDIES = {
    "psf": 'Give `[psf]` with `file`, `fwhm = "0.9 arcsec"` or `estimate = true`.',
    "sources": "Put a stage of kind `deblend` before it.",
    "segmentation": "Put a stage of kind `deblend` before it.",
}


@dataclass(frozen=True)
class Needs:
    """What a stage cannot do without; checked before the first pixel."""

    fields: frozenset[str] = frozenset()
    """Frame fields, among ``psf``, ``sources``, ``segmentation``, ``uncertainty``, ``wcs``."""
    planes: MaskPlane = NO_PLANE
    """Planes of which at least one must be found earlier, or come with the file."""
    bands: tuple[str, ...] = ()
    """Bands of the set."""
    wishes: frozenset[str] = frozenset()
    """Frame fields that the stage uses where they are given; it can do without. Only ``psf``."""
    aligned: bool = True
    """Whether the bands of a set must lie on the same pixels."""

    @property
    def uses_psf(self) -> bool:
        """Whether the frame is to have its PSF, if one is told."""
        return "psf" in self.fields | self.wishes

    def require(self, frame: Frame, *, stage: str) -> None:
        """Raise where a frame has not what is needed.

        Parameters
        ----------
        frame : Frame
            What the stage is to work on.
        stage : str
            Name of the stage, for the message.

        Raises
        ------
        StageError
            A field is missing, or the frame has no pixel.
        """
        where = f"{frame.frame_id}, stage '{stage}'"
        if not frame.data.size:
            raise StageError("the frame has no pixels", where=where, received=frame.data.shape)
        held = {"segmentation": frame.sources is not None and frame.sources.segmentation}
        for name in sorted(self.fields):
            value = held[name] if name in held else getattr(frame, name)
            if value is None or value is False:
                raise StageError(
                    f"needs '{name}', which the frame does not have",
                    where=where,
                    remedy=_REMEDIES.get(name),
                )


@dataclass(frozen=True)
class Provides:
    """What later stages find in the frame."""

    fields: frozenset[str] = frozenset()
    planes: MaskPlane = NO_PLANE


@dataclass(frozen=True)
class Identity:
    """Who a stage is: its name in the pipeline, its plugin, its version and code."""

    name: str
    plugin: str
    version: str = "unknown"
    code: str = ""
    """Digest of the files of its package: what is being developed keeps its version for long."""
