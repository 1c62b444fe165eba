"""What pictures are drawn with: stretch, reduction to blocks, palette PNGs as data URIs."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.image.noise import SIGMA_PER_MAD
from astroclean.io.scratch.rowstore import blocks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = [
    "BLOCK",
    "PLANE_COLORS",
    "TIMES",
    "WINDOW",
    "Stretch",
    "Symmetric",
    "bin_mean",
    "draw_flagged",
    "draw_gray",
    "draw_levels",
    "draw_marked",
    "reduced",
    "side_of_blocks",
    "window_at",
]

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

TIMES = "\N{MULTIPLICATION SIGN}"
_MISSING = (86, 98, 116)  # bluish, so that it is taken neither for sky nor for black
_LEVELS = (127, 63, 31, 15)  # grays; noise does not compress, so large pictures get fewer
_MAX_BYTES = 280_000
SOFTENING = 0.1
WINDOW = 160
"""Side of a detail, in pixels of the image."""
BLOCK = 16
"""Side of the blocks by whose sums the place of a detail is found."""
_HEADROOM = 8.0


@dataclass(frozen=True)
class Stretch:
    """Gray of a value: asinh between two limits."""

    low: float
    high: float
    only: float | None = None
    """Value of all usable pixels, where they have but one."""

    @classmethod
    def of(cls, picture: NDArray[np.float64], usable: NDArray[np.bool_]) -> Stretch:
        """Return the stretch that shows the sky dark and stars not all white."""
        from astropy.visualization import ZScaleInterval  # noqa: PLC0415 - slow to import

        finite = np.isfinite(picture)
        values = picture[finite & usable]
        if not values.size:
            values = picture[finite]
        if not values.size:
            return cls(0.0, 1.0)
        low, high = (float(limit) for limit in ZScaleInterval().get_limits(values))
        if not low < high:  # most pixels have one value, as where a layer holds a few sources
            low, high = float(values.min()), float(values.max())
            if low < high:
                return cls(low, high)
            span = max(abs(low) * 1e-3, 1e-30)
            return cls(low - span, low + span, only=low)
        # zscale ends just above the sky; asinh has room for the stars beyond.
        return cls(low, low + _HEADROOM * (high - low))

    def index(self, picture: NDArray[np.float64], levels: int) -> NDArray[np.uint8]:
        """Return palette entries: 0 for a missing value, else 1 (black) to ``levels`` (white)."""
        finite = np.isfinite(picture)
        gray = self._gray(np.where(finite, picture, self.low))
        return np.where(finite, 1 + np.rint(gray * (levels - 1)), 0).astype(np.uint8)

    def _gray(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return 0 for black to 1 for white."""
        part = np.clip((values - self.low) / (self.high - self.low), 0, 1)
        gray: NDArray[np.float64] = np.arcsinh(part / SOFTENING) / np.arcsinh(1 / SOFTENING)
        return gray

    def __str__(self) -> str:
        if self.only is not None:
            return f"all usable pixels are {self.only:.4g}"
        return f"asinh stretch from {self.low:.4g} to {self.high:.4g}"


class Symmetric(Stretch):
    """Gray of a value that is of either sign: linear, and zero is the middle gray."""

    @classmethod
    def around_zero(cls, picture: NDArray[np.float64]) -> Symmetric:
        """Return the stretch to five times the scatter of a picture, which few outliers widen."""
        size = np.abs(picture[np.isfinite(picture)])
        limit = 5 * SIGMA_PER_MAD * float(np.median(size)) if size.size else 0.0
        limit = limit or float(size.max(initial=0.0)) or 1.0
        return cls(-limit, limit)

    def _gray(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        gray: NDArray[np.float64] = np.clip((values / self.high + 1) / 2, 0, 1)
        return gray

    def __str__(self) -> str:
        return f"linear from {self.low:.4g} to {self.high:.4g}, 0 is the middle gray"


def draw_gray(pictures: Sequence[tuple[NDArray[Any], Stretch]]) -> list[str]:
    """Draw images in shades of gray, all with as many, so that none is too large.

    Parameters
    ----------
    pictures : sequence of ((ny, nx) array, Stretch)
        Images and how their values become gray. Not modified.

    Returns
    -------
    list of str
        PNG data URIs of so many pixels as the images have; row 0 is at the bottom.
    """
    drawn: list[str] = []
    for levels in _LEVELS:
        palette = _gray_palette(levels)
        drawn = [_png(stretch.index(image, levels), palette) for image, stretch in pictures]
        if max(map(len, drawn), default=0) <= _MAX_BYTES:
            break
    return drawn


def draw_marked(marked: NDArray[np.bool_], color: str, *, outline: int = 0) -> str:
    """Draw some pixels in a color that is clear elsewhere.

    Parameters
    ----------
    marked : (ny, nx) bool
        Not modified.
    color : str
        ``#rrggbb``.
    outline : int, optional
        Side in pixels of the picture of one of these, whose values are left to be seen: groups of
        them are drawn as outlines. 0: each is one pixel of that color.

    Returns
    -------
    str
        PNG data URI.
    """
    if outline:
        marked = marked.repeat(outline, axis=0).repeat(outline, axis=1)
        inside = np.pad(marked, 1)
        marked = marked & ~(
            inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
        )
    palette = bytes(3) + bytes.fromhex(color[1:])
    return _png(marked.astype(np.uint8), palette, transparent=True)


def draw_flagged(
    picture: NDArray[Any], stretch: Stretch, flagged: Mapping[str, NDArray[np.bool_]]
) -> str:
    """Draw an image in gray, and pixels of some planes in the colors of these.

    Parameters
    ----------
    picture : (ny, nx) array
        Values. Not modified.
    stretch : Stretch
        How they become gray.
    flagged : mapping of str to (ny, nx) bool
        Mask plane to its pixels; the first covers the others. Not modified.

    Returns
    -------
    str
        PNG data URI.
    """
    levels = _LEVELS[0]
    indices, palette = stretch.index(picture, levels), _gray_palette(levels)
    for number, marked in reversed(list(enumerate(flagged.values(), levels + 1))):
        indices[marked] = number
    palette += b"".join(bytes.fromhex(PLANE_COLORS[name][1:]) for name in flagged)
    return _png(indices, palette)


def draw_levels(levels: NDArray[np.uint8]) -> str:
    """Draw small whole numbers as the grays of their number, for scripts that read them again."""
    return _png(levels, bytes(np.repeat(np.arange(256, dtype=np.uint8), 3)))


def side_of_blocks(shape: tuple[int, ...], limit: int) -> int:
    """Return the side of the blocks by which a picture is no longer than a limit, in pixels."""
    return max(1, -(-max(shape) // limit))


def window_at(shape: tuple[int, ...], corner: tuple[int, int]) -> tuple[slice, slice]:
    """Return the window at a corner (y, x), moved into an image."""
    starts = [max(0, min(c, n - WINDOW)) for c, n in zip(corner, shape, strict=True)]
    rows, columns = (slice(s, min(n, s + WINDOW)) for s, n in zip(starts, shape, strict=True))
    return rows, columns


def reduced(
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


def bin_mean(image: Any, factor: int) -> NDArray[np.float64]:
    """Return the mean of the finite pixels of each block; NaN where there is none."""
    total = reduced(
        np.add, image, factor, np.float64, lambda rows: np.where(np.isfinite(rows), rows, 0)
    )
    count = reduced(np.add, image, factor, np.int64, np.isfinite)
    mean = np.full(total.shape, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean


def _gray_palette(levels: int) -> bytes:
    grays = np.rint(np.linspace(0, 255, levels)).astype(np.uint8)
    return bytes(_MISSING) + np.repeat(grays, 3).tobytes()


def _png(indices: NDArray[np.uint8], palette: bytes, *, transparent: bool = False) -> str:
    """Return the data URI of a palette PNG, with row 0 at the bottom as FITS has it."""
    from PIL import Image  # noqa: PLC0415 - only reports need Pillow

    upright = np.ascontiguousarray(indices[::-1])
    image = Image.fromarray(upright)
    image.putpalette(palette)
    stream = io.BytesIO()
    # The entry 0 is see-through in an overlay; a palette with alpha is a fraction of true RGBA.
    alpha = {"transparency": b"\x00\xff"} if transparent else {}
    image.save(stream, format="PNG", optimize=True, **alpha)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
