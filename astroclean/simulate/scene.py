"""`Scene`: a simulated frame and everything that is true of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from astroclean.core.image.frameset import FrameSet

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from astroclean.core.flags.planes import MaskPlane
    from astroclean.core.image.frame import Frame
    from astroclean.core.image.layer import Layer
    from astroclean.core.psf.psf import Psf
    from astroclean.core.sources.sources import Sources

__all__ = ["ClassTruth", "Scene", "Simulator"]


@dataclass(frozen=True, eq=False)
class ClassTruth:
    """Where one class of pixels is, in the words of those who tell the truth."""

    true: NDArray[np.bool_]
    """(ny, nx), pixels of the class."""
    answers: MaskPlane
    """Planes, any of which finds a pixel of the class."""
    ignored: NDArray[np.bool_] | None = None
    """(ny, nx), pixels that are not scored for this class alone."""


@dataclass(frozen=True, eq=False)
class Scene:
    """Frames as a stage would get them, with the truth by which the stage is judged.

    A scene of one band is a frame and its truth. One of several bands (:meth:`of_bands`) has a
    scene for each in ``bands``: its frame, on its own grid, and what is true of that band. Of the
    whole it tells ``sources``, ``notes`` and a ``fine`` that is of no band, so that nobody takes
    the truth of one band for that of all.
    """

    frame: Frame
    """What is observed: noise, contaminants, sources, PSF; no truth in its flags. Of several bands
    that of the first, on whose pixels the joint catalogue is."""
    planes: NDArray[Any] | None = None
    """(ny, nx) uint32, the mask planes that are true of each pixel."""
    clean: NDArray[Any] | None = None
    """(ny, nx) float32 in the unit of the frame: the image without noise and contaminants."""
    background: NDArray[Any] | None = None
    """(ny, nx) float32 in the unit of the frame: what lies beneath the compact sources."""
    sharp: NDArray[Any] | None = None
    """(ny, nx) float32 in the unit of the frame: the image before the PSF."""
    target: Layer | None = None
    """The image without noise on the pixels of the frame, at the PSF that it has: narrower than
    that of the frame, and well sampled. Deconvolvers are judged by it."""
    fine: Layer | None = None
    """The image without noise on finer pixels than those of the frame, with their grid, and with
    the PSF that it has."""
    ignored: NDArray[np.bool_] | None = None
    """(ny, nx), pixels of which the truth is not known: no plane and no hole is scored there."""
    sources: Sources | None = None
    """The true catalogue (``flux`` in the unit of the frame), with the stamp of each source."""
    catalogue: Sources | None = None
    """What stages that ask for sources are given, where it errs; None: the true one."""
    psf: Psf | None = None
    """The true PSF, where the frame carries a wrong one; None: see `true_psf`."""
    notes: Mapping[str, float | str] = field(default_factory=dict)
    """Parameters that were drawn, such as ``fwhm_pixels``."""
    classes: Mapping[str, ClassTruth] | None = None
    """What the truth tells, by name, where that is not every plane for itself."""
    bands: Mapping[str, Scene] = field(default_factory=dict)
    """Of several bands: the scene of each, in order. Empty for one band."""

    @classmethod
    def of_bands(
        cls,
        bands: Mapping[str, Scene],
        *,
        sources: Sources | None = None,
        notes: Mapping[str, float | str] | None = None,
        fine: Layer | None = None,
    ) -> Scene:
        """Return the scene of several bands.

        Parameters
        ----------
        bands : mapping of str to Scene
            Of one band each, from blue to red; the order is kept.
        sources : Sources, optional
            The joint catalogue: ``x`` and ``y`` in pixels of the first band, ``flux_BAND`` of each.
            The catalogue of each band has the same ``id``, and positions in its own pixels.
        notes : mapping of str to float or str, optional
            Parameters of the whole.
        fine : Layer, optional
            What is true of the field on finer pixels where that is of no band, with the grid in
            pixels of the first.
        """
        frame = next(iter(bands.values())).frame
        told = dict(notes or {})
        return cls(frame, sources=sources, notes=told, bands=dict(bands), fine=fine)

    @property
    def by_band(self) -> Mapping[str, Scene]:
        """The scene of each band; of one band, itself under an empty name."""
        return self.bands or {"": self}

    @property
    def frames(self) -> FrameSet:
        """The frames of all bands."""
        return FrameSet({band: scene.frame for band, scene in self.by_band.items()})

    @property
    def true_psf(self) -> Psf | None:
        """The PSF that the sources truly have: that of the frame, unless another is told."""
        return self.frame.psf if self.psf is None else self.psf


class Simulator(Protocol):
    """Makes scenes; the same seed gives the same bytes."""

    def __call__(self, *, seed: int, shape: tuple[int, int]) -> Scene:
        """Return the scene of a seed."""
