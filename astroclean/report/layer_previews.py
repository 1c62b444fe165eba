"""Pictures of what stages give beside the science image, each beside the image where it helps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.stage.kinds.mask import PROBABILITY
from astroclean.io.scratch.rowstore import window_of
from astroclean.report.drawing import (
    BLOCK,
    TIMES,
    WINDOW,
    Stretch,
    Symmetric,
    bin_mean,
    draw_gray,
    reduced,
    side_of_blocks,
    window_at,
)
from astroclean.report.picture_records import Preview

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from astroclean.core.image.grid import Grid
    from astroclean.core.image.layer import Layer

__all__ = ["make_layer_previews", "make_raw_preview"]

_ZOOM = 4
_MOST = 8
"""Layers that are drawn of a frame."""


def make_layer_previews(
    layers: Mapping[str, Layer], science: Any, grid: Grid, *, limit: int = 600
) -> list[Preview]:
    """Draw the layers of a frame: what a stage is for, in two pictures beside the image.

    Parameters
    ----------
    layers : mapping of str to Layer
        By name, with grids. Not modified. Labels and probabilities are left out.
    science : (ny, nx) float32 array or RowStore
        The image that they belong to. Not modified.
    grid : Grid
        Its pixels.
    limit : int, optional
        Longest side of a picture in pixels.

    Returns
    -------
    list of Preview
        A deconvolved or finer image: the whole of it, and every pixel around its brightest place,
        each with the science image at the same place of the sky. Others: one picture alone.
    """
    drawn: list[Preview] = []
    shown = [name for name, layer in layers.items() if _is_image(name, layer)]
    # What a stage is for comes first, then what is told of it.
    for name in sorted(shown, key=lambda name: not _is_result(layers[name]))[:_MOST]:
        layer = layers[name]
        if _is_result(layer):
            drawn += _Pair(name, layer, science, grid).previews(limit)
        else:
            drawn.append(_alone(name, layer, limit))
    return drawn


def make_raw_preview(raw: NDArray[Any], calibrated: Any, *, limit: int = 600) -> Preview:
    """Draw a raw image beside what became of it.

    Parameters
    ----------
    raw : (ny, nx) array
        The pixels that are left of it, in its own unit. Not modified.
    calibrated : (ny, nx) array
        The image that it became. Not modified.
    limit : int, optional
        Longest side of the picture in pixels.
    """
    ny, nx = raw.shape
    factor = side_of_blocks(raw.shape, limit)
    pictures = [bin_mean(image, factor) for image in (raw, calibrated)]
    pair = [(picture, _stretch(picture)) for picture in pictures]
    before, after = draw_gray(pair)
    note = f"{nx} {TIMES} {ny} pixels; each with a stretch of its own: {pair[0][1]}, {pair[1][1]}"
    return Preview(
        title="calibration",
        width=pictures[0].shape[1],
        height=pictures[0].shape[0],
        before=before,
        after=after,
        note=note,
        step=factor,
        labels=("raw", "calibrated"),
    )


def _is_image(name: str, layer: Layer) -> bool:
    is_number = np.dtype(layer.data.dtype).kind == "f"
    return is_number and not name.startswith(PROBABILITY) and 0 not in layer.data.shape


def _is_result(layer: Layer) -> bool:
    """Whether a layer is an image of the same sky, in the unit of the frame."""
    assert layer.declared is not None
    return layer.declared.always and layer.declared.unit is None


def _stretch(picture: NDArray[np.float64]) -> Stretch:
    return Stretch.of(picture, np.ones(picture.shape, dtype=bool))


def _alone(name: str, layer: Layer, limit: int) -> Preview:
    ny, nx = layer.data.shape
    factor = side_of_blocks(layer.data.shape, limit)
    picture = bin_mean(layer.data, factor)
    stretch = _stretch(picture)
    if not str(layer.unit or ""):
        if (picture < 0).any():
            stretch = Symmetric.around_zero(picture)
        elif not (picture > 1).any():
            stretch = Stretch(0.0, 1.0)
    (drawn,) = draw_gray([(picture, stretch)])
    assert layer.declared is not None
    return Preview(
        title=name,
        width=picture.shape[1],
        height=picture.shape[0],
        before="",
        after=drawn,
        note=f"{layer.declared.meaning}; {nx} {TIMES} {ny} pixels; {stretch}",
        step=factor,
        labels=("", name),
    )


@dataclass(frozen=True)
class _Cut:
    """What of a layer a picture shows: blocks of so many of its pixels."""

    rows: slice
    columns: slice
    factor: int = 1

    def middles(self, shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return rows and columns of the middles of the blocks, in pixels of the layer."""
        y, x = (
            (np.arange(count) + 0.5) * self.factor - 0.5 + side.start
            for side, count in zip((self.rows, self.columns), shape, strict=True)
        )
        rows, columns = np.meshgrid(y, x, indexing="ij")
        return rows, columns


@dataclass(frozen=True, eq=False)
class _Pair:
    """A layer that shows the same sky as the science image."""

    name: str
    layer: Layer
    science: Any
    grid: Grid

    def previews(self, limit: int) -> list[Preview]:
        """Return the pictures of all of it, and of its brightest place."""
        ny, nx = self.layer.data.shape
        factor = side_of_blocks(self.layer.data.shape, limit)
        whole = _Cut(slice(0, ny), slice(0, nx), factor)
        picture = bin_mean(self.layer.data, factor)
        image = self._image(whole, picture.shape)
        scale = f"; one pixel is the mean of {factor} {TIMES} {factor}" if factor > 1 else ""
        note = f"Whole layer, {nx} {TIMES} {ny} pixels{scale}"
        drawn = [self._draw(whole, image, picture, note)]
        if max(ny, nx) > WINDOW:
            cut = self._brightest()
            values = window_of(self.layer.data, cut.rows, cut.columns).astype(np.float64)
            note = (
                f"Pixels x {cut.columns.start} to {cut.columns.stop - 1}, y {cut.rows.start} to "
                f"{cut.rows.stop - 1} of the layer (from 0), shown at {_ZOOM}{TIMES}"
            )
            detail = self._draw(cut, self._image(cut, values.shape), values, note)
            drawn.append(detail.model_copy(update={"title": f"{self.name}, detail", "zoom": _ZOOM}))
        return drawn

    def _brightest(self) -> _Cut:
        """Return the window around the brightest block."""
        sums = reduced(np.add, self.layer.data, BLOCK, np.float64, np.nan_to_num)
        peak = np.unravel_index(int(np.argmax(sums)), sums.shape)
        y, x = (int(place) * BLOCK + (BLOCK - WINDOW) // 2 for place in peak)
        return _Cut(*window_at(self.layer.data.shape, (y, x)))

    def _image(self, cut: _Cut, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Return the science image at the places that a picture of the layer shows."""
        grid, declared = self.layer.grid, self.layer.declared
        assert grid is not None
        assert declared is not None
        if not declared.own_grid:
            if cut.factor == 1:
                return window_of(self.science, cut.rows, cut.columns).astype(np.float64)
            return bin_mean(self.science, cut.factor)
        # A stage with a grid of its own sees the whole frame, so it is in memory.
        step = max(1, round(cut.factor * grid.step / self.grid.step)) if cut.factor > 1 else 1
        science = bin_mean(self.science, step)
        rows, columns = cut.middles(shape)
        y, x = (np.floor((p + 0.5) / step) for p in grid.places_of(rows, columns, self.grid))
        # NaN, where the other WCS does not reach, is inside of nothing.
        inside = (y >= 0) & (x >= 0) & (y < science.shape[0]) & (x < science.shape[1])
        image = np.full(shape, np.nan)
        image[inside] = science[y[inside].astype(int), x[inside].astype(int)]
        return image

    def _draw(
        self, cut: _Cut, image: NDArray[np.float64], picture: NDArray[np.float64], note: str
    ) -> Preview:
        pair = [(image, _stretch(image)), (picture, _stretch(picture))]
        before, after = draw_gray(pair)
        ny, nx = picture.shape
        return Preview(
            title=self.name,
            width=nx,
            height=ny,
            before=before,
            after=after,
            note=f"{note}; science image {pair[0][1]}, {self.name} {pair[1][1]}",
            x=cut.columns.start,
            y=cut.rows.start,
            step=cut.factor,
            labels=("science", self.name),
        )
