"""What the hook of each kind returns, and what a stage makes of it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from astroclean.core.image.displayed import Shown
from astroclean.core.stage.change import Change

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.table import QTable
    from astropy.wcs import WCS
    from numpy.typing import NDArray

    from astroclean.core.flags.planes import MaskPlane
    from astroclean.core.image.frame import Frame
    from astroclean.core.image.grid import Grid
    from astroclean.core.image.layer import Layer
    from astroclean.core.image.rewriting import Rewriting
    from astroclean.core.psf.psf import Psf
    from astroclean.core.sources.sources import Sources

__all__ = [
    "Answer",
    "Calibration",
    "Deconvolution",
    "Mask",
    "Outcome",
    "Removal",
    "Score",
    "Separation",
    "StageResult",
    "Upsampling",
]


@dataclass(frozen=True, eq=False, kw_only=True)
class Answer:
    """Common part of every hook's result."""

    layers: Mapping[str, NDArray[Any] | Layer] = field(default_factory=dict)
    """Extra images by name, each declared by the stage: arrays (ny, nx) on the pixels of the frame,
    or a `Layer` with a grid, unit, uncertainty or PSF of its own."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Numbers for the report."""
    tables: Mapping[str, QTable] = field(default_factory=dict)
    """Tables by name, of those that the stage declares; one row a thing that was found. Where the
    stage has `Stage.y_columns`, in pixels of the frame at hand, which may be a chunk."""


@dataclass(frozen=True, eq=False)
class Score(Answer):
    """Answer of a `Screener`: the probability that the exposure is unusable."""

    probability: float
    threshold: float
    """The exposure is rejected where the mean over its frames is above this."""
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Mask(Answer):
    """Answer of a `Masker`."""

    flags: NDArray[Any]
    """uint32 bits to add, only planes that the stage declares in ``sets``."""
    probabilities: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Plane name or alias to float32 probability of each pixel."""


@dataclass(frozen=True, eq=False)
class Removal(Answer):
    """Answer of a `SourceRemover`."""

    data: NDArray[Any]
    """float32 values; those outside ``where`` equal the frame's."""
    where: NDArray[Any]
    """bool, the pixels that were replaced."""
    uncertainty: NDArray[Any] | None = None
    """Standard deviation of the replaced values; NaN is recorded where the method gives none."""
    sources: Sources | None = None
    """What was removed."""
    reasons: Mapping[MaskPlane, NDArray[Any]] | None = None
    """bool masks: which plane tells why a pixel was replaced, where that differs from pixel to
    pixel; together they are ``where``. None: everywhere the `SourceRemover.reason` of the stage."""


@dataclass(frozen=True, eq=False)
class Separation(Answer):
    """Answer of a `Deblender`."""

    sources: Sources
    unassigned: NDArray[Any] | None = None
    """float32 flux of the frame that no source owns."""


@dataclass(frozen=True, eq=False)
class Deconvolution(Answer):
    """Answer of a `Deconvolver`, on the grid of the frame."""

    data: NDArray[Any]
    psf: Psf
    """PSF of the result, its positions in pixels of the frame at hand. Every chunk of a frame must
    give that of the whole: with positions all over `Chunk.shape`, not over the chunk alone."""
    uncertainty: NDArray[Any] | None = None


@dataclass(frozen=True, eq=False)
class Upsampling(Answer):
    """Answer of a `SuperResolver`: an image on a finer grid; of a set, on that of no band.

    A grid that is given is told in pixels of the frame, of a set those of its first band; its step
    need not divide a pixel into whole parts.
    """

    data: NDArray[Any]
    psf: Psf
    uncertainty: NDArray[Any] | None = None
    grid: Grid | None = None
    """None: that of the frame made finer by a whole factor, which the shape of the data tells."""
    wcs: WCS | None = None
    """Of the finer pixels, where no grid is given and the core cannot derive it from the factor."""
    support: NDArray[Any] | None = None
    """float32, 0 where the input does not support what the method added, 1 where it does."""
    sources: Sources | None = None
    unit: Any = None
    """astropy unit of data and uncertainty; None: that of the frame, of a set its first band's."""


@dataclass(frozen=True, eq=False)
class Calibration(Answer):
    """Answer of a `Calibrator`: the image that the raw one becomes.

    Arrays lie on the pixels that are left of the frame.
    """

    data: NDArray[Any]
    """float32 values, in ``unit``."""
    unit: Any
    """astropy unit of data and uncertainty."""
    uncertainty: NDArray[Any] | None = None
    """Standard deviation; None only where the raw frame has none."""
    flags: NDArray[Any] | None = None
    """uint32 bits to add, only planes that the stage declares in ``sets``."""
    window: tuple[slice, slice] | None = None
    """Rows and columns that are left of the frame; None: all."""
    detector: Mapping[str, float | None] = field(default_factory=dict)
    """Field of `Detector` to what it is of the new image, such as ``gain`` 1 of one in electrons;
    None: not known. Others stay."""
    cards: Mapping[str, Any] = field(default_factory=dict)
    """Header cards that are other ones afterwards: keyword to value or to (value, comment), or to
    None where it is to go. Unit, WCS and those of ``detector`` follow by themselves."""


class Outcome(enum.StrEnum):
    """How a stage ended."""

    DONE = "done"
    NO_WORK = "no work"
    SKIPPED = "skipped"


@dataclass(frozen=True, eq=False)
class StageResult(Shown):
    """What a stage hands to the runner."""

    frame: Frame
    """What the next stage gets."""
    layers: Mapping[str, Layer] = field(default_factory=dict)
    """Images beside the frame, by name in capitals. Of a chunk, their PSFs have the positions that
    they have in the larger frame."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    outcome: Outcome = Outcome.DONE
    score: Score | None = None
    """Of a screening stage."""
    change: Change = field(default_factory=Change)
    """What the stage flagged and replaced; nothing where the result is a layer of its own."""
    tables: Mapping[str, QTable] = field(default_factory=dict)
    """Tables by name. Of a chunk, its own rows, in pixels of the larger frame."""
    rewriting: Rewriting | None = None
    """Of a stage that makes another science image of it; later stages are compared with that."""

    @property
    def products(self) -> dict[str, Any]:
        """The arrays of the layers, by name."""
        return {name: layer.data for name, layer in self.layers.items()}
