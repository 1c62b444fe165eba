"""Pictures of a frame before and after: one stretch for both, flags as transparent overlays."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.flags.planes import REJECTING, MaskPlane
from astroclean.io.scratch.rowstore import blocks_of, window_of
from astroclean.report.model import Preview

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["PLANE_COLORS", "make_previews"]

# After Okabe & Ito and Paul Tol: planes that usually meet in one frame differ in lightness as
# well as in hue, so that they stay apart for color-blind readers.
PLANE_COLORS: dict[str, str] = {
    "COSMIC_RAY": "#ff6a3d",
    "HOT_LINE": "#cc3311",
    "DEAD_LINE": "#4477aa",
    "HOT_PIXEL": "#ee3377",
    "DEAD_PIXEL": "#88ccee",
    "PERSISTENCE": "#aa4499",
    "TRAIL": "#e69f00",
    "FRINGE": "#bbcc33",
    "NEBULOSITY": "#99ddff",
    "SATURATED": "#f0e442",
    "SPIKE": "#eedd88",
    "OVERSCAN": "#77aadd",
    "BRIGHT": "#ffaabb",
    "GHOST": "#44bb99",
    "CROSSTALK": "#aaaa00",
    "BAD_PIXEL": "#2f8fdd",
    "NO_DATA": "#9aa3ad",
    "SUSPECT": "#ddcc77",
    "EDGE": "#bbbbbb",
    "SOURCE": "#56b4e9",
    "INTERPOLATED": "#33d1b8",
    "INPAINTED": "#00b377",
    "REMOVED": "#cc79a7",
    "CLIPPED": "#999933",
    "OUT_OF_DOMAIN": "#cc6677",
    "USER_0": "#ee8866",
    "USER_1": "#66ccee",
    "USER_2": "#b38fdd",
    "USER_3": "#d9d9d9",
}
"""Mask plane to the color of its overlay and legend."""

_TIMES = "\N{MULTIPLICATION SIGN}"
_MISSING = (86, 98, 116)  # bluish, so that it is taken neither for sky nor for black
_LEVELS = (127, 63, 31, 15)  # grays; noise does not compress, so large pictures get fewer
_MAX_BYTES = 280_000
_WINDOW = 160
_BLOCK = 16
_MAX_ZOOM = 4
_SOFTENING = 0.1
_HEADROOM = 8.0
_NOWHERE = MaskPlane.NO_DATA | MaskPlane.OVERSCAN


@dataclass(frozen=True)
class _Stretch:
    """Gray of a value: asinh between two limits."""

    low: float
    high: float

    @classmethod
    def of(cls, picture: NDArray[np.float64], usable: NDArray[np.bool_]) -> _Stretch:
        """Return the stretch that shows the sky dark and stars not all white."""
        from astropy.visualization import ZScaleInterval  # noqa: PLC0415 - slow to import

        finite = np.isfinite(picture)
        values = picture[finite & usable]
        if not values.size:
            values = picture[finite]
        if not values.size:
            return cls(0.0, 1.0)
        low, high = (float(limit) for limit in ZScaleInterval().get_limits(values))
        if not low < high:
            span = max(abs(low) * 1e-3, 1e-30)
            return cls(low - span, low + span)
        # zscale ends just above the sky; asinh has room for the stars beyond.
        return cls(low, low + _HEADROOM * (high - low))

    def index(self, picture: NDArray[np.float64], levels: int) -> NDArray[np.uint8]:
        """Return palette entries: 0 for a missing value, else 1 (black) to ``levels`` (white)."""
        finite = np.isfinite(picture)
        scaled = np.where(finite, picture, self.low) - self.low
        part = np.clip(scaled / (self.high - self.low), 0, 1)
        gray = np.arcsinh(part / _SOFTENING) / np.arcsinh(1 / _SOFTENING)
        return np.where(finite, 1 + np.rint(gray * (levels - 1)), 0).astype(np.uint8)

    def __str__(self) -> str:
        return f"asinh stretch from {self.low:.4g} to {self.high:.4g}"


def make_previews(
    before: Any, after: Any, flags_after: Any, changed: Any, *, limit: int = 720
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
    limit : int, optional
        Longest side of the overview in pixels; the detail shows 160 pixels, up to 4 times as large.

    Returns
    -------
    list of Preview
        ``overview`` (the mean of square blocks; a mask shows a block with any flagged pixel) and,
        where pixels changed or are flagged and the overview does not show them as large,
        ``detail``. Row 0 is at the bottom. No picture for a frame without pixels.
    """
    ny, nx = before.shape
    if not ny * nx:
        return []
    factor = max(1, -(-max(ny, nx) // limit))
    zoom = min(_MAX_ZOOM, max(1, limit // max(ny, nx))) if factor == 1 else 1
    small = _bin_mean(before, factor)
    usable = _reduced(np.bitwise_or, flags_after, factor, np.bool_, _is_usable)
    stretch = _Stretch.of(small, usable)
    scale = f"one pixel is the mean of {factor} {_TIMES} {factor}" if factor > 1 else _zoomed(zoom)
    overview = _draw(
        "overview",
        (small, _bin_mean(after, factor), _reduced(np.bitwise_or, flags_after, factor, np.uint32)),
        stretch,
        zoom=zoom,
        note=f"Whole frame, {nx} {_TIMES} {ny} pixels; {scale}; {stretch}",
    )
    window = _busiest(flags_after, changed)
    if window is None or (max(ny, nx) <= _WINDOW and zoom == _MAX_ZOOM):
        return [overview]
    return [overview, _draw_detail((before, after, flags_after), window, limit)]


def _is_usable(flags: NDArray[np.uint32]) -> NDArray[np.bool_]:
    return np.asarray((flags & np.uint32(REJECTING)) == 0)


def _draw_detail(images: tuple[Any, Any, Any], window: tuple[slice, slice], limit: int) -> Preview:
    before, after, flags = images
    rows, columns = window
    # A whole frame says more about the sky than a window that a bright star may fill.
    step = 1 + max(before.shape) // 2048
    sky = (slice(None, None, step), slice(None, None, step))
    seen = window_of(before, *sky).astype(np.float64)
    stretch = _Stretch.of(seen, _is_usable(window_of(flags, *sky)))
    zoom = max(1, min(_MAX_ZOOM, limit // _WINDOW))
    place = f"x {columns.start} to {columns.stop - 1}, y {rows.start} to {rows.stop - 1}"
    return _draw(
        "detail",
        (
            window_of(before, *window).astype(np.float64),
            window_of(after, *window).astype(np.float64),
            window_of(flags, *window),
        ),
        stretch,
        zoom=zoom,
        note=f"Pixels {place} (from 0), {_zoomed(zoom)}; {stretch}",
    )


def _zoomed(zoom: int) -> str:
    return f"shown at {zoom}{_TIMES}" if zoom > 1 else "every pixel shown"


def _busiest(flags: Any, changed: Any) -> tuple[slice, slice] | None:
    """Return the window with most changed pixels, else defects, else flags; None without any."""
    defects = np.uint32(REJECTING & ~_NOWHERE)
    for image, marked in (
        (changed, np.asarray),
        (flags, lambda rows: (rows & defects) != 0),
        (flags, lambda rows: rows != 0),
    ):
        counts = _reduced(np.add, image, _BLOCK, np.int64, marked)
        if counts.any():
            return _window_on(image, counts, marked)
    return None


def _window_on(
    image: Any, counts: NDArray[np.int64], marked: Callable[[Any], Any]
) -> tuple[slice, slice]:
    """Return the window with most marked pixels, moved so that these lie in its middle."""
    blocks = _WINDOW // _BLOCK
    totals = counts.cumsum(0).cumsum(1)
    totals = np.pad(totals, ((1, 0), (1, 0)))
    tall, wide = (min(blocks, n) for n in counts.shape)
    inside = totals[tall:, wide:] - totals[:-tall, wide:]
    inside = inside - totals[tall:, :-wide] + totals[:-tall, :-wide]
    row, column = np.unravel_index(int(inside.argmax()), inside.shape)
    first = _cut(image.shape, (int(row) * _BLOCK, int(column) * _BLOCK))
    ys, xs = np.nonzero(marked(window_of(image, *first)))
    middle = (first[0].start + round(ys.mean()), first[1].start + round(xs.mean()))
    centered = _cut(image.shape, (middle[0] - _WINDOW // 2, middle[1] - _WINDOW // 2))
    inside_centered = np.count_nonzero(marked(window_of(image, *centered)))
    return centered if inside_centered >= ys.size else first


def _cut(shape: tuple[int, ...], corner: tuple[int, int]) -> tuple[slice, slice]:
    """Return the window at a corner, moved into the frame."""
    starts = [max(0, min(c, n - _WINDOW)) for c, n in zip(corner, shape, strict=True)]
    rows, columns = (slice(s, min(n, s + _WINDOW)) for s, n in zip(starts, shape, strict=True))
    return rows, columns


def _reduced(
    ufunc: np.ufunc,
    image: Any,
    factor: int,
    dtype: type,
    of: Callable[[Any], Any] = np.asarray,
) -> NDArray[Any]:
    """Reduce square blocks; those at the upper and right edge may be smaller."""
    parts = []
    for (rows,) in blocks_of(image, multiple=factor):
        values = of(rows)
        ny, nx = values.shape
        tall = ufunc.reduceat(values, np.arange(0, ny, factor), axis=0, dtype=dtype)
        parts.append(ufunc.reduceat(tall, np.arange(0, nx, factor), axis=1, dtype=dtype))
    return np.concatenate(parts)


def _bin_mean(image: Any, factor: int) -> NDArray[np.float64]:
    """Return the mean of the finite pixels of each block; NaN where there is none."""
    total = _reduced(
        np.add, image, factor, np.float64, lambda rows: np.where(np.isfinite(rows), rows, 0)
    )
    count = _reduced(np.add, image, factor, np.int64, np.isfinite)
    mean = np.full(total.shape, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean


def _draw(
    title: str,
    images: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.uint32]],
    stretch: _Stretch,
    *,
    zoom: int,
    note: str,
) -> Preview:
    before, after, flags = images
    pictures: list[str] = []
    for levels in _LEVELS:
        pictures = [
            _png(stretch.index(image, levels), _gray_palette(levels), zoom=zoom)
            for image in (before, after)
        ]
        if max(len(picture) for picture in pictures) <= _MAX_BYTES:
            break
    present = int(np.bitwise_or.reduce(flags, axis=None))
    overlays = {
        str(plane.name): _overlay(flags & np.uint32(plane), str(plane.name), zoom)
        for plane in MaskPlane
        if plane & present
    }
    ny, nx = before.shape
    return Preview(
        title=title,
        width=nx * zoom,
        height=ny * zoom,
        before=pictures[0],
        after=pictures[1],
        planes=overlays,
        note=note,
    )


def _gray_palette(levels: int) -> bytes:
    grays = np.rint(np.linspace(0, 255, levels)).astype(np.uint8)
    return bytes(_MISSING) + np.repeat(grays, 3).tobytes()


def _overlay(plane: NDArray[np.uint32], name: str, zoom: int) -> str:
    palette = bytes(3) + bytes.fromhex(PLANE_COLORS[name][1:])
    return _png((plane != 0).astype(np.uint8), palette, zoom=zoom, transparent=True)


def _png(
    indices: NDArray[np.uint8], palette: bytes, *, zoom: int, transparent: bool = False
) -> str:
    """Return the data URI of a palette PNG, with row 0 at the bottom as FITS has it."""
    from PIL import Image  # noqa: PLC0415 - only reports need Pillow

    upright = np.ascontiguousarray(indices[::-1].repeat(zoom, axis=0).repeat(zoom, axis=1))
    image = Image.fromarray(upright)
    image.putpalette(palette)
    stream = io.BytesIO()
    # The entry 0 is see-through in an overlay; a palette with alpha is a fraction of true RGBA.
    alpha = {"transparency": b"\x00\xff"} if transparent else {}
    image.save(stream, format="PNG", optimize=True, **alpha)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
