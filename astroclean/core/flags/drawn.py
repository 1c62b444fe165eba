"""Which pixels of a frame lie in regions that a person has drawn.

A pixel is in a region where its centre is, as DS9 and the package ``regions`` have it.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.stage.scope import chunk_of
from astroclean.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["SOURCE_TAG", "DrawnPixels", "drawn_pixels"]

SOURCE_TAG = "source"
"""Tag of the regions that products write of sources. They may be saved with what was drawn, and
mark nothing: a source is no defect."""

_ADDRESS = re.compile(r"\s*(\[[^\[\]]+\])")
"""Of a region's text: the frame that it is of, as ``[SCI,2]``, before anything else."""
_COLOR = re.compile(r"\]\s.*\b(R|G1|G2|B|C[1-4])$")
"""Of the identity of a frame: the color of a mosaic whose every second pixel it is."""
_DIGITS = 6
"""Of pixels and degrees, after the point: a WCS of some rows differs in the last digits from that
of all, and a centre may lie on the border of a region."""
_NUMBERS = (
    *("radius", "width", "height", "angle", "inner_radius", "outer_radius"),
    *("inner_width", "outer_width", "inner_height", "outer_height"),
)
_PLACES = ("center", "vertices")
_AT_ONCE = 1 << 20  # pixels


@dataclass(frozen=True, eq=False)
class DrawnPixels:
    """The pixels of a frame in drawn regions."""

    where: NDArray[np.bool_]
    """(ny, nx), of the chunk where the frame is one."""
    count: int
    """Regions that mark pixels of the whole frame."""
    notes: tuple[str, ...] = ()
    """What is to be said of regions that mark nothing here; the same for all chunks of a frame."""


@dataclass(frozen=True)
class _Placed:
    """A region in pixels of the whole frame."""

    shape: Any
    includes: bool
    was_on_sky: bool
    box: tuple[slice, slice]
    """(y, x) of the pixels around it, on the whole frame; empty where it is off the frame."""

    @property
    def is_off(self) -> bool:
        """Whether it lies beside the whole frame."""
        return any(side.start >= side.stop for side in self.box)


def drawn_pixels(shapes: Sequence[Any], frame: Frame, *, named: str) -> DrawnPixels:
    """Return the pixels of a frame whose centres lie in drawn regions.

    Parameters
    ----------
    shapes : sequence of regions.Region
        In pixels of the whole frame, from 0, or on the sky. A region whose text begins with a
        frame in brackets (``[SCI,2]``, as ``astroclean inspect`` names it) is of that frame, others
        are of all. A point marks its pixel. What excluded regions cover is not marked, wherever
        they stand in the file.
    frame : Frame
        Or a chunk of a larger one.
    named : str
        File that they come from, for messages.

    Returns
    -------
    DrawnPixels
        Of the frame.

    Raises
    ------
    StageError
        Regions on the sky and no celestial WCS; or regions in pixels that lie off the frame, or
        on one color of a mosaic, whose pixels are others.
    """
    drawn, notes = _of_frame(shapes, frame)
    placed = [_placed(shape, frame, named) for shape in drawn]
    _refuse_off(placed, frame, named)
    where = np.zeros(frame.shape, dtype=bool)
    excluded = np.zeros(frame.shape, dtype=bool)
    empty = 0
    for region in placed:
        found = _mark(region, frame, where if region.includes else excluded)
        empty += not found and not region.is_off and not _holds_any(region)
    off = sum(region.is_off for region in placed)
    if off:
        notes.append(f"{off} of {len(placed)} regions on the sky lie off this frame")
    if empty:
        notes.append(f"{empty} of {len(placed)} regions hold no centre of a pixel: too small")
    marking = sum(region.includes and not region.is_off for region in placed)
    return DrawnPixels(where & ~excluded, marking, tuple(notes))


def _of_frame(shapes: Sequence[Any], frame: Frame) -> tuple[list[Any], list[str]]:
    """Return the regions that are of a frame, and what is to be said of the others."""
    own = _plain(_label(frame))
    drawn, others, sources, unnamed = [], Counter[str](), 0, 0
    for shape in shapes:
        if SOURCE_TAG in (shape.meta.get("tag") or ()):
            sources += 1
            continue
        address = _ADDRESS.match(str(shape.meta.get("text") or ""))
        if address and _plain(address[1]) != own:
            others[address[1]] += 1
            continue
        unnamed += address is None and not _is_on_sky(shape)
        drawn.append(shape)
    notes = []
    if sources:
        notes.append(f"{sources} regions are sources that astroclean wrote; they mark nothing")
    if others:
        told = ", ".join(f"{count} of {name}" for name, count in sorted(others.items()))
        notes.append(f"regions of other frames than {_label(frame)}: {told}")
    if unnamed and not _is_first(own):
        notes.append(
            f"{unnamed} regions in pixels name no frame, and mark {_label(frame)} as they mark "
            f"the others; a text that begins with '{_label(frame)}' keeps one to this frame"
        )
    return drawn, notes


def _label(frame: Frame) -> str:
    found = re.search(r"\[[^\[\]]+\]", frame.frame_id)
    return found[0] if found else "[0]"


def _plain(address: str) -> str:
    return re.sub(r"\s", "", address).upper()


def _is_first(address: str) -> bool:
    """Return whether an address may be that of the only frame of a file."""
    number = re.search(r"(\d+)\]$", address)
    return number is None or int(number[1]) <= 1


def _is_on_sky(shape: Any) -> bool:
    return hasattr(shape, "to_pixel")


def _placed(shape: Any, frame: Frame, named: str) -> _Placed:
    chunk = chunk_of(frame)
    if _is_on_sky(shape):
        if frame.wcs is None or not frame.wcs.has_celestial:
            raise StageError(
                f"regions of '{named}' lie on the sky, and the frame has no celestial WCS",
                where=frame.frame_id,
                remedy="Save them in coordinates `image`.",
            )
        try:
            pixels = _moved(shape.to_pixel(frame.wcs.celestial), *chunk.origin)
        except ValueError:  # regions from 0.13 on, of a place that the projection does not show
            nowhere = slice(0, 0), slice(0, 0)
            return _Placed(shape, bool(shape.meta.get("include", True)), True, nowhere)
    elif _COLOR.search(frame.frame_id):
        raise StageError(
            f"regions of '{named}' are in pixels of the mosaic, and the frame is one color of it",
            where=frame.frame_id,
            remedy="Give a `map` of each color, or regions on the sky.",
        )
    else:
        pixels = shape
    includes = bool(shape.meta.get("include", True))
    return _Placed(pixels, includes, _is_on_sky(shape), _box_of(pixels, chunk.shape))


def _moved(shape: Any, y: int, x: int) -> Any:
    """Return a region by so many pixels further on, with rounded numbers."""
    from regions import PixCoord  # noqa: PLC0415 - optional, and heavy

    changes: dict[str, Any] = {
        name: np.round(getattr(shape, name), _DIGITS) for name in _NUMBERS if hasattr(shape, name)
    }
    for name in _PLACES:
        if hasattr(shape, name):
            at = getattr(shape, name)
            changes[name] = PixCoord(np.round(at.x + x, _DIGITS), np.round(at.y + y, _DIGITS))
    return shape.copy(**changes)


def _box_of(shape: Any, size: tuple[int, int]) -> tuple[slice, slice]:
    from regions import PointPixelRegion  # noqa: PLC0415 - optional, and heavy

    try:
        box = shape.bounding_box
        sides = (box.iymin, box.iymax), (box.ixmin, box.ixmax)
    except (ValueError, OverflowError):  # no finite place: behind the sky that the frame sees
        sides = (0, 0), (0, 0)
    if isinstance(shape, PointPixelRegion):  # its box is empty on the border of two pixels
        row, column = _pixel_of(shape)
        sides = (row, row + 1), (column, column + 1)
    y, x = (slice(max(a, 0), min(b, n)) for (a, b), n in zip(sides, size, strict=True))
    return y, x


def _pixel_of(point: Any) -> tuple[int, int]:
    """Return (y, x) of the pixel that a point marks."""
    at = point.center
    return int(np.floor(at.y + 0.5)), int(np.floor(at.x + 0.5))


def _refuse_off(placed: Sequence[_Placed], frame: Frame, named: str) -> None:
    off = [region for region in placed if region.is_off and not region.was_on_sky]
    if off:
        ny, nx = chunk_of(frame).shape
        raise StageError(
            f"regions of '{named}' lie off the frame of {nx} x {ny} pixels",
            where=frame.frame_id,
            received=f"{len(off)} of {len(placed)}",
            remedy="Is it the file of this frame? A text that begins with a frame, such as "
            "'[SCI,2]', keeps a region to that one.",
        )


def _mark(region: _Placed, frame: Frame, pixels: NDArray[np.bool_]) -> bool:
    """Mark the pixels in a region; return whether there is any in this chunk."""
    (y, x), (ny, _) = chunk_of(frame).origin, frame.shape
    rows, columns = region.box
    ours = slice(max(rows.start, y), min(rows.stop, y + ny))
    any_found = False
    for part, inside in _inside(region.shape, ours, columns):
        own = pixels[part.start - y : part.stop - y, columns.start - x : columns.stop - x]
        own |= inside
        any_found = any_found or bool(inside.any())
    return any_found


def _holds_any(region: _Placed) -> bool:
    return any(inside.any() for _, inside in _inside(region.shape, *region.box))


def _inside(shape: Any, rows: slice, columns: slice) -> Iterator[tuple[slice, NDArray[np.bool_]]]:
    """Yield some rows at a time, and which of their pixels have their centre in a region."""
    from regions import PixCoord, PointPixelRegion  # noqa: PLC0415 - optional, and heavy

    width = columns.stop - columns.start
    if width <= 0:
        return
    step = max(_AT_ONCE // width, 1)
    included = shape.copy(meta={})  # the package may turn an excluded region inside out
    for start in range(rows.start, rows.stop, step):
        part = slice(start, min(start + step, rows.stop))
        y, x = np.mgrid[part, columns]
        if isinstance(shape, PointPixelRegion):
            row, column = _pixel_of(shape)
            yield part, (y == row) & (x == column)
        else:
            yield part, np.asarray(included.contains(PixCoord(x, y)), dtype=bool)
