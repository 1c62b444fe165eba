"""Intensity transforms by name: what a network sees of pixel values, and the way back.

Each is ``value = bend((pixel - offset) / width)`` with a bend that has an inverse everywhere, so
every transform is undone exactly but for rounding. They differ in where offset and width come from.

Pixels that are not valid are never read. They are filled with the sky, which is 0 after a transform
that measures the sky, else with the median of the valid pixels (0 where there is none).

What is measured of a frame is gathered row by row, so that a frame larger than memory is measured
as it would be in one piece.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from astroclean.tiling.background import Background, MeshGatherer, MeshSettings
from astroclean.tiling.sample import Gatherer, MomentsGatherer, SampleGatherer

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Asinh",
    "BackgroundSigma",
    "Identity",
    "Log",
    "Measurement",
    "Normalization",
    "NormalizationState",
    "Scale",
    "SigmaClipZscore",
    "Zscore",
]


@dataclass(frozen=True, eq=False)
class NormalizationState:
    """What was measured on the way in and is needed on the way back."""

    offset: float | NDArray[np.float32]
    """Subtracted, in the unit of the pixels; a number or (ny, nx)."""
    width: float | NDArray[np.float32]
    """Divided by, in the unit of the pixels; a number or (ny, nx), positive."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """What a transform knows of a whole frame."""

    state: NormalizationState | None = None
    """None where ``background`` tells it for each part of the frame."""
    background: Background | None = None
    fill: float = 0.0
    """Normalized value for pixels that are not valid."""

    def state_of(self, origin: tuple[int, int], shape: tuple[int, int]) -> NormalizationState:
        """Return the state for a part of the frame that begins at ``origin``."""
        if self.background is None:
            return self.state or NormalizationState(0.0, 1.0)
        rms = self.background.rms(origin, shape)
        # Cells without noise (all masked, or constant) take the frame's.
        width = np.where(rms > 0, rms, np.float32(self.background.typical_rms or 1.0))
        return NormalizationState(self.background.level(origin, shape), width)


class _Transform(BaseModel):
    """A named, invertible transform of intensities. Frozen; the state travels beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    scope: Literal["frame", "tile"] = "frame"
    """Where statistics are measured: once over the frame, or anew in each tile."""

    measures_sky: ClassVar[bool] = True

    @property
    def measures_frame(self) -> bool:
        """Whether it must see all of a frame before it knows what to do with a part of it."""
        return self.scope == "frame" and self.measures_sky

    def gatherer(self, shape: tuple[int, int], *, threads: int = 1) -> Gatherer:  # noqa: ARG002
        """Return what takes the rows of a frame of this shape, for :meth:`measurement`."""
        return SampleGatherer(shape)

    def measurement(self, found: Any) -> Measurement:
        """Return what the transform needs to know, from what its gatherer found."""
        pixels: NDArray[np.float32] = found
        state = self._state_from(pixels)
        fill = 0.0
        if not self.measures_sky and pixels.size:
            fill = float(np.median(self._normalized(pixels, state)))
        return Measurement(state, fill=fill)

    def forward(
        self,
        data: NDArray[np.float32],
        valid: NDArray[np.bool_],
        *,
        measured: Measurement | None = None,
        origin: tuple[int, int] = (0, 0),
    ) -> tuple[NDArray[np.float32], NormalizationState]:
        """Return what the network sees, and the state for the way back.

        Parameters
        ----------
        data : (ny, nx) float32
            Pixels. Not modified; read only where ``valid``.
        valid : (ny, nx) bool
            Pixels to believe.
        measured : Measurement, optional
            Of the whole frame, where ``data`` is a part of one; else measured here.
        origin : (y, x)
            First pixel of that part.

        Returns
        -------
        normalized : (ny, nx) float32
            A new array without unit, finite everywhere.
        state : NormalizationState
            For :meth:`inverse`.
        """
        if measured is None:
            gatherer = self.gatherer((data.shape[0], data.shape[1]))
            gatherer.add(data, valid)
            measured = self.measurement(gatherer.finish())
        state = measured.state_of(origin, (data.shape[0], data.shape[1]))
        with np.errstate(invalid="ignore", over="ignore"):  # invalid pixels are replaced below
            normalized = self._normalized(data, state)
        return np.where(valid, normalized, np.float32(measured.fill)), state

    def _normalized(
        self, data: NDArray[np.float32], state: NormalizationState
    ) -> NDArray[np.float32]:
        return np.asarray(self._bend((data - state.offset) / state.width), dtype=np.float32)

    def inverse(
        self, values: NDArray[np.float32], state: NormalizationState
    ) -> NDArray[np.float32]:
        """Return intensities for what the network answered.

        Parameters
        ----------
        values : (..., ny * scale, nx * scale) float32
            Normalized values, on the grid of the frame or a whole number of times finer.
        state : NormalizationState
            From :meth:`forward` on the same pixels.

        Returns
        -------
        (..., ny * scale, nx * scale) float32
            A new array in the unit of the pixels. On a finer grid, maps of offset and width are
            interpolated linearly: intensities count for each input pixel's area.
        """
        grid = values.shape[-2:]
        offset, width = _on_grid(state.offset, grid), _on_grid(state.width, grid)
        return np.asarray(self._unbend(values) * width + offset, dtype=np.float32)

    def inverse_width(
        self, values: NDArray[np.float32], state: NormalizationState
    ) -> NDArray[np.float32]:
        """Return differences of intensities for what the network answered.

        Parameters
        ----------
        values, state
            As for :meth:`inverse`. What bends is undone as at the sky, where it is straight.

        Returns
        -------
        (..., ny * scale, nx * scale) float32
            A new array in the unit of the pixels; of the sign of the values.
        """
        return np.asarray(values * _on_grid(state.width, values.shape[-2:]), dtype=np.float32)

    def _state_from(
        self,
        pixels: NDArray[np.float32],  # noqa: ARG002 - some transforms measure nothing
    ) -> NormalizationState:
        return NormalizationState(0.0, 1.0)

    def _bend(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        return values

    def _unbend(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        return values


class Identity(_Transform):
    """Pixels as they are."""

    name: Literal["identity"] = "identity"
    measures_sky: ClassVar[bool] = False


class Scale(_Transform):
    """``(pixel - offset) / width`` with numbers from the card."""

    name: Literal["scale"] = "scale"
    offset: float = 0.0
    """In the unit of the frame."""
    width: float = Field(gt=0)
    """In the unit of the frame."""
    measures_sky: ClassVar[bool] = False

    def _state_from(
        self,
        pixels: NDArray[np.float32],  # noqa: ARG002 - the card gives the numbers
    ) -> NormalizationState:
        return NormalizationState(self.offset, self.width)


class Zscore(_Transform):
    """``(pixel - mean) / deviation`` of all valid pixels, stars and hits among them.

    For networks that were trained so. The mean stands for the sky where pixels are filled.
    """

    name: Literal["zscore"] = "zscore"

    def gatherer(self, shape: tuple[int, int], *, threads: int = 1) -> Gatherer:  # noqa: ARG002
        """Return what takes the rows of a frame."""
        return MomentsGatherer()

    def measurement(self, found: Any) -> Measurement:
        """Return mean and standard deviation."""
        mean, deviation = found
        # A constant image has no width; 1 keeps it finite and invertible.
        return Measurement(NormalizationState(mean, deviation or 1.0))


class _Clipped(_Transform):
    """Sky and noise by clipping (`astropy.stats.sigma_clipped_stats`)."""

    sigma: float = Field(default=3.0, gt=0)
    """Pixels further than this from the median are left out, in standard deviations."""
    maxiters: int = Field(default=5, ge=1)
    """Most rounds of clipping."""
    softening: float = Field(default=1.0, gt=0)
    """Width, in standard deviations of the sky."""

    def _state_from(self, pixels: NDArray[np.float32]) -> NormalizationState:
        from astropy.stats import sigma_clipped_stats  # noqa: PLC0415 - costs half a second

        if pixels.size == 0:
            return NormalizationState(0.0, 1.0)
        # In float64: a mean of millions of float32 values loses digits. Along an axis astropy
        # clips in C, up to three times as fast.
        _, median, deviation = sigma_clipped_stats(
            pixels.ravel().astype(np.float64), sigma=self.sigma, maxiters=self.maxiters, axis=0
        )
        # A constant image has no width; 1 keeps it finite and invertible.
        return NormalizationState(float(median), float(deviation * self.softening) or 1.0)


class SigmaClipZscore(_Clipped):
    """``(pixel - median) / sigma`` with the clipped median and standard deviation."""

    name: Literal["sigma_clip_zscore"] = "sigma_clip_zscore"


class Asinh(_Clipped):
    """``asinh((pixel - median) / (softening * sigma))``: linear in the noise, else logarithmic."""

    name: Literal["asinh"] = "asinh"

    def _bend(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.arcsinh(values)

    def _unbend(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.sinh(values)


class Log(_Clipped):
    """``sign(t) log(1 + |t|)`` of ``t = (pixel - median) / (softening * sigma)``.

    A plain logarithm has no value below the sky, and so no way back from there.
    """

    name: Literal["log"] = "log"

    def _bend(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.copysign(np.log1p(np.abs(values)), values)

    def _unbend(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.copysign(np.expm1(np.abs(values)), values)


class BackgroundSigma(_Transform):
    """``(pixel - background) / rms`` with maps of both from a mesh, as SourceExtractor makes them.

    Measured by `astroclean.tiling.background`.
    """

    name: Literal["background_sigma"] = "background_sigma"
    box: int = Field(default=64, ge=4)
    """Side of a mesh cell in pixels."""
    filter_size: int = Field(default=3, ge=1)
    """Median filter over the mesh, in cells; an odd number has a middle."""
    whole_cells: bool = False
    """Whether only whole cells are measured, in the middle of the frame: what lies along a border,
    such as overscan, is then no sky."""

    def gatherer(self, shape: tuple[int, int], *, threads: int = 1) -> Gatherer:
        """Return a mesh that takes the rows of a frame."""
        settings = MeshSettings(
            box=self.box, filter_size=self.filter_size, whole_cells=self.whole_cells
        )
        return MeshGatherer(settings, shape, threads=threads)

    def measurement(self, found: Any) -> Measurement:
        """Return sky and noise of the mesh."""
        return Measurement(background=found)


Normalization = Annotated[
    Identity | Scale | Zscore | SigmaClipZscore | Asinh | Log | BackgroundSigma,
    Field(discriminator="name"),
]
"""Any of the transforms, chosen by ``name``."""


def _on_grid(
    level: float | NDArray[np.float32], shape: tuple[int, ...]
) -> float | NDArray[np.float32]:
    """Return a map on a grid that is a whole number of times finer."""
    if not isinstance(level, np.ndarray) or level.shape == shape:
        return level
    return _finer(_finer(level, shape[0]).T, shape[1]).T


def _finer(level: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Interpolate linearly along the first axis, pixel centres to pixel centres."""
    count = level.shape[0]
    place = np.clip((np.arange(length) + 0.5) * count / length - 0.5, 0, count - 1)
    below = place.astype(np.intp)
    above = np.minimum(below + 1, count - 1)
    part = (place - below).astype(np.float32)[:, np.newaxis]
    finer: NDArray[np.float32] = level[below] * (1 - part) + level[above] * part
    return finer
