"""What a stage says of itself before the first pixel: its needs, what it provides, who it is."""

from __future__ import annotations

from dataclasses import dataclass

from astroclean.core.flags.planes import NO_PLANE, MaskPlane

__all__ = ["Identity", "Needs", "Provides"]


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
