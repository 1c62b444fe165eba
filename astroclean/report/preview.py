"""Pictures of a frame before and after: one stretch for both, flags as transparent overlays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.flags.planes import REJECTING, MaskPlane
from astroclean.io.scratch.rowstore import window_of
from astroclean.report.chances import chance_levels
from astroclean.report.drawing import (
    BLOCK,
    PLANE_COLORS,
    TIMES,
    WINDOW,
    Stretch,
    bin_mean,
    draw_gray,
    draw_levels,
    draw_marked,
    reduced,
    side_of_blocks,
    window_at,
)
from astroclean.report.picture_records import Preview

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

__all__ = ["make_previews"]

_MAX_ZOOM = 4
_OUTLINED = 3
"""Times as large from which on the inside of an outlined pixel is still to be seen."""
_DETAILS = 3
_TRIES = 12
_WORTH_IT = 0.02
"""Part of the marked pixels of the first window that a further one must have."""
_NOWHERE = MaskPlane.NO_DATA | MaskPlane.OVERSCAN


@dataclass(frozen=True, eq=False)
class _Images:
    """A frame before and after, each (ny, nx): array or RowStore."""

    before: Any
    after: Any
    flags: Any
    chances: Mapping[str, Any]

    def binned(self, factor: int) -> _View:
        """Return all of it, by blocks."""
        return _View(
            bin_mean(self.before, factor),
            bin_mean(self.after, factor),
            reduced(np.bitwise_or, self.flags, factor, np.uint32),
            {
                name: reduced(np.maximum, image, factor, np.uint8, chance_levels)
                for name, image in self.chances.items()
            },
            step=factor,
        )

    def within(self, rows: slice, columns: slice) -> _View:
        """Return the pixels of a window."""
        return _View(
            window_of(self.before, rows, columns).astype(np.float64),
            window_of(self.after, rows, columns).astype(np.float64),
            window_of(self.flags, rows, columns),
            {
                name: chance_levels(window_of(image, rows, columns))
                for name, image in self.chances.items()
            },
            x=columns.start,
            y=rows.start,
        )


@dataclass(frozen=True)
class _View:
    """What of the images one picture shows: blocks of so many pixels, from a first pixel on."""

    before: NDArray[np.float64]
    after: NDArray[np.float64]
    flags: NDArray[np.uint32]
    chances: Mapping[str, NDArray[np.uint8]]
    x: int = 0
    y: int = 0
    step: int = 1


def make_previews(
    before: Any,
    after: Any,
    flags_after: Any,
    changed: Any,
    *,
    chances: Mapping[str, Any] | None = None,
    limit: int = 720,
) -> list[Preview]:
    """Draw a frame before and after: all of it, and at full resolution where most happened.

    Parameters
    ----------
    before, after : (ny, nx) float32 array or RowStore
        Pixel values in one unit. Not modified. Pixels that are not finite get a neutral color.
    flags_after : (ny, nx) uint32 array or RowStore
        Bits of :class:`~astroclean.core.flags.planes.MaskPlane`. Not modified.
    changed : (ny, nx) bool array or RowStore
        Pixels whose value differs. Not modified.
    chances : mapping of str to (ny, nx) array or RowStore, optional
        Mask plane to the probability that a pixel is of it; drawn for the sliders of thresholds.
    limit : int, optional
        Longest side of the overview in pixels; a detail shows 160 pixels, up to 4 times as large.

    Returns
    -------
    list of Preview
        ``overview`` (the mean of square blocks; a mask shows a block with any flagged pixel) and,
        where pixels changed or are flagged and the overview does not show them as large, up to
        three details, that with most of them first. Where a picture shows pixels that large, flags
        are outlines. Row 0 is at the bottom. No picture for a frame without pixels.
    """
    ny, nx = before.shape
    if not ny * nx:
        return []
    factor = side_of_blocks(before.shape, limit)
    zoom = min(_MAX_ZOOM, max(1, limit // max(ny, nx))) if factor == 1 else 1
    images = _Images(before, after, flags_after, dict(chances or {}))
    whole = images.binned(factor)
    usable = reduced(np.bitwise_or, flags_after, factor, np.bool_, _is_usable)
    stretch = Stretch.of(whole.before, usable)
    scale = f"one pixel is the mean of {factor} {TIMES} {factor}" if factor > 1 else _zoomed(zoom)
    note = f"Whole frame, {nx} {TIMES} {ny} pixels; {scale}; {stretch}"
    overview = _draw("overview", whole, stretch, zoom=zoom, note=note)
    windows = _busiest(flags_after, changed)
    if not windows or (max(ny, nx) <= WINDOW and zoom == _MAX_ZOOM):
        return [overview]
    zoom = max(1, min(_MAX_ZOOM, limit // WINDOW))
    sky = _sky_stretch(before, flags_after)
    return [
        overview,
        *(
            _draw_detail(
                f"detail {number}" if len(windows) > 1 else "detail",
                images.within(*window),
                sky,
                zoom=zoom,
            )
            for number, window in enumerate(windows, 1)
        ),
    ]


def _is_usable(flags: NDArray[np.uint32]) -> NDArray[np.bool_]:
    return np.asarray((flags & np.uint32(REJECTING)) == 0)


def _sky_stretch(before: Any, flags: Any) -> Stretch:
    # A whole frame says more about the sky than a window that a bright star may fill.
    step = 1 + max(before.shape) // 2048
    sky = (slice(None, None, step), slice(None, None, step))
    seen = window_of(before, *sky).astype(np.float64)
    return Stretch.of(seen, _is_usable(window_of(flags, *sky)))


def _draw_detail(title: str, view: _View, stretch: Stretch, *, zoom: int) -> Preview:
    ny, nx = view.before.shape
    place = f"x {view.x} to {view.x + nx - 1}, y {view.y} to {view.y + ny - 1}"
    note = f"Pixels {place} (from 0), {_zoomed(zoom)}; {stretch}"
    return _draw(title, view, stretch, zoom=zoom, note=note)


def _zoomed(zoom: int) -> str:
    return f"shown at {zoom}{TIMES}" if zoom > 1 else "every pixel shown"


def _busiest(flags: Any, changed: Any) -> list[tuple[slice, slice]]:
    """Return the windows with most changed pixels, else defects, else flags; none without any."""
    defects = np.uint32(REJECTING & ~_NOWHERE)
    for image, marked in (
        (changed, np.asarray),
        (flags, lambda rows: (rows & defects) != 0),
        (flags, lambda rows: rows != 0),
    ):
        counts = reduced(np.add, image, BLOCK, np.int64, marked)
        if counts.any():
            return _windows_on(image, counts, marked)
    return []


def _windows_on(
    image: Any, counts: NDArray[np.int64], marked: Callable[[Any], Any]
) -> list[tuple[slice, slice]]:
    """Return windows that do not overlap, that with most marked pixels first."""
    windows: list[tuple[slice, slice]] = []
    least = 1.0
    for _ in range(_TRIES):
        if len(windows) == _DETAILS or not counts.any():
            break
        window = _window_on(image, counts, marked)
        found = np.count_nonzero(marked(window_of(image, *window)))
        if found < least:
            break
        least = max(least, _WORTH_IT * found)
        if not any(_meet(window, other) for other in windows):
            windows.append(window)
        counts[tuple(slice(side.start // BLOCK, -(-side.stop // BLOCK)) for side in window)] = 0
    return windows


def _meet(one: tuple[slice, slice], other: tuple[slice, slice]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(a.start < b.stop and b.start < a.stop for a, b in pairs)


def _window_on(
    image: Any, counts: NDArray[np.int64], marked: Callable[[Any], Any]
) -> tuple[slice, slice]:
    """Return the window with most marked pixels, moved so that these lie in its middle."""
    blocks = WINDOW // BLOCK
    totals = counts.cumsum(0).cumsum(1)
    totals = np.pad(totals, ((1, 0), (1, 0)))
    tall, wide = (min(blocks, n) for n in counts.shape)
    inside = totals[tall:, wide:] - totals[:-tall, wide:]
    inside = inside - totals[tall:, :-wide] + totals[:-tall, :-wide]
    row, column = np.unravel_index(int(inside.argmax()), inside.shape)
    first = window_at(image.shape, (int(row) * BLOCK, int(column) * BLOCK))
    ys, xs = np.nonzero(marked(window_of(image, *first)))
    middle = (first[0].start + round(ys.mean()), first[1].start + round(xs.mean()))
    centered = window_at(image.shape, (middle[0] - WINDOW // 2, middle[1] - WINDOW // 2))
    inside_centered = np.count_nonzero(marked(window_of(image, *centered)))
    return centered if inside_centered >= ys.size else first


def _draw(title: str, view: _View, stretch: Stretch, *, zoom: int, note: str) -> Preview:
    before, after = draw_gray([(view.before, stretch), (view.after, stretch)])
    present = int(np.bitwise_or.reduce(view.flags, axis=None))
    is_outlined = view.step == 1 and zoom >= _OUTLINED
    ny, nx = view.before.shape
    return Preview(
        title=title,
        width=nx,
        height=ny,
        before=before,
        after=after,
        planes={
            str(plane.name): draw_marked(
                (view.flags & np.uint32(plane)) != 0,
                PLANE_COLORS[str(plane.name)],
                outline=zoom if is_outlined else 0,
            )
            for plane in MaskPlane
            if plane & present
        },
        chances={name: draw_levels(levels) for name, levels in view.chances.items()},
        note=note,
        zoom=zoom,
        x=view.x,
        y=view.y,
        step=view.step,
        is_outlined=is_outlined,
    )
