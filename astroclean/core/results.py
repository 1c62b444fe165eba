"""What the hook of each kind returns. Arrays are (ny, nx); for a `FrameSet`, (band, ny, nx)."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.table import QTable
    from astropy.wcs import WCS
    from numpy.typing import NDArray

    from astroclean.core.planes import MaskPlane
    from astroclean.core.psf import Psf
    from astroclean.core.sources import Sources

__all__ = [
    "Answer",
    "Deconvolution",
    "Mask",
    "Removal",
    "Score",
    "Separation",
    "Upsampling",
]

_BAND_AXES = 3


@dataclass(frozen=True, eq=False, kw_only=True)
class Answer:
    """Common part of every hook's result."""

    products: Mapping[str, Any] = field(default_factory=dict)
    """Extra images (ny, nx) by name, such as ``background``."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Numbers for the report."""
    tables: Mapping[str, QTable] = field(default_factory=dict)
    """Tables by name, of those that the stage declares; one row a thing that was found."""

    def of_band(self, index: int) -> Self:
        """Return the part of a set's answer that belongs to one band."""

        def part(value: Any) -> Any:
            if isinstance(value, np.ndarray) and value.ndim == _BAND_AXES:
                return value[index]
            if isinstance(value, dict):
                return {key: part(item) for key, item in value.items()}
            return value

        return replace(self, **{f.name: part(getattr(self, f.name)) for f in fields(self)})


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
    """PSF of the result."""
    uncertainty: NDArray[Any] | None = None


@dataclass(frozen=True, eq=False)
class Upsampling(Answer):
    """Answer of a `SuperResolver`: an image on a grid finer by a whole factor."""

    data: NDArray[Any]
    psf: Psf
    uncertainty: NDArray[Any] | None = None
    wcs: WCS | None = None
    """None: the core derives it from the factor."""
    support: NDArray[Any] | None = None
    """float32, 0 where the input does not support what the method added, 1 where it does."""
    sources: Sources | None = None
