"""The arrays of a frame: what may become one, parts of it, and how none is written to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.errors import FrameError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astropy.nddata import NDData
    from numpy.typing import NDArray

__all__ = [
    "add_box",
    "as_bits",
    "as_pixels",
    "checked_filled",
    "fields_over",
    "joined_flags",
    "overlap",
    "read_only",
    "require_shape",
]

# CCDData wraps the scalar operand of `frame.multiply(2)` in the class of the frame: 0-D.
_DIMENSIONS = (0, 2)


def as_pixels(data: Any, frame_id: str | None) -> NDArray[np.float32]:
    """Return pixel values as frames hold them: native float32 in C order.

    Raises
    ------
    FrameError
        Not a 2-D array of real numbers.
    """
    array = np.asarray(data)
    if array.ndim not in _DIMENSIONS or array.dtype.kind not in "fiub":
        raise FrameError(
            "a frame is a 2-D array of real numbers",
            where=frame_id,
            received=f"shape {array.shape}, type {array.dtype}",
            remedy="Take one plane of a cube; several bands make a FrameSet.",
        )
    with np.errstate(over="ignore"):  # beyond float32 becomes inf, hence NO_DATA
        return np.asarray(array, dtype=np.float32, order="C")


def as_bits(flags: Any, frame_id: str) -> NDArray[np.uint32]:
    """Return flags as frames hold them, in a new array.

    Raises
    ------
    FrameError
        Not whole numbers from 0 to 2**32 - 1: 0.3 would become 0 and -1 every plane.
    """
    given = np.asarray(flags)
    signed = given.dtype.kind == "i"
    wide = given.dtype.itemsize > np.dtype(np.uint32).itemsize
    if (
        given.dtype.kind not in "iub"
        or (signed and np.any(given < 0))
        or (wide and np.any(given > np.iinfo(np.uint32).max))
    ):
        raise FrameError(
            "flags are bits: whole numbers from 0 to 2**32 - 1",
            where=frame_id,
            received=f"type {given.dtype}",
            remedy="Give uint32 bits of MaskPlane.",
        )
    return np.array(given, dtype=np.uint32, order="C", copy=True)


def require_shape(name: str, array: NDArray[Any], shape: tuple[int, ...], *, where: str) -> None:
    """Raise where an array has not the shape of the data.

    Raises
    ------
    FrameError
        It has another.
    """
    if array.shape != shape:
        raise FrameError(
            f"{name} must have the shape of the data {shape}", where=where, received=array.shape
        )


def joined_flags(
    data: NDArray[np.float32],
    flags: Any,
    mask: NDArray[np.bool_] | None,
    reject: MaskPlane,
    frame_id: str,
) -> NDArray[np.uint32]:
    """Return the flags of a frame: those given, what is not finite, and what others masked.

    Raises
    ------
    FrameError
        They are no bits, or have another shape than the data.
    """
    if flags is None:
        joined = np.zeros(data.shape, dtype=np.uint32)
    else:
        joined = as_bits(flags, frame_id)
        require_shape("flags", joined, data.shape, where=frame_id)
    joined[~np.isfinite(data)] |= np.uint32(MaskPlane.NO_DATA)
    if mask is not None and np.any(mask):
        rejected = (joined & np.uint32(reject)) != 0
        joined[np.broadcast_to(mask, data.shape) & ~rejected] |= np.uint32(MaskPlane.BAD_PIXEL)
    return joined


def checked_filled(data: NDArray[np.float32], filled: Any, frame_id: str) -> NDArray[np.bool_]:
    """Return which pixels a stage has filled; those that are not finite are not.

    Raises
    ------
    FrameError
        It has another shape than the data.
    """
    if filled is None:
        return np.zeros(data.shape, dtype=bool)
    given = np.asarray(filled, dtype=bool)
    require_shape("filled", given, data.shape, where=frame_id)
    return given & np.isfinite(data)


def fields_over(data: NDData, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an NDData, with those that are given in their place.

    astropy does the same and tells of each on the standard output, which is that of the caller.

    Parameters
    ----------
    data : NDData
        Not modified.
    given : mapping of str to object
        Arguments of a CCDData; those that are None are as good as not given.
    """
    names = ["unit", "uncertainty", "mask", "wcs"]
    names += [] if given.get("header") is not None else ["meta"]
    fields = {name: getattr(data, name) for name in names if given.get(name) is None}
    return {**given, **fields}


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view of an array that cannot be written to; the array itself still can.

    Nor can the view be made writable again, as one that has the array itself as its base can.
    """
    buffer: Any = array
    return np.asarray(memoryview(buffer).toreadonly())


def overlap(
    origin: Sequence[int], size: Sequence[int], shape: Sequence[int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return which pixels of an image a box covers, and which of the box these are.

    Parameters
    ----------
    origin : (int, int)
        (y, x) of the first pixel of the box in the image; it may lie outside.
    size, shape : (int, int)
        (ny, nx) of the box, and of the image.

    Returns
    -------
    on_image, of_box : (slice, slice)
        Empty where they do not meet.
    """
    on_image, of_box = [], []
    for first, side, limit in zip(origin, size, shape, strict=True):
        start = min(max(int(first), 0), limit)
        stop = max(min(int(first) + side, limit), start)
        on_image.append(slice(start, stop))
        of_box.append(slice(start - int(first), stop - int(first)))
    return (on_image[0], on_image[1]), (of_box[0], of_box[1])


def fill_box(data: NDArray[Any], image: NDArray[Any], origin: Sequence[int]) -> None:
    """Set the pixels of a box in place to those of an image; where it has none, they stay.

    Parameters
    ----------
    data : (my, mx) array
        The box; changed.
    image : (ny, nx) array
        Not modified.
    origin : (int, int)
        (y, x) of the first pixel of the box in the image; it may lie outside.
    """
    on_image, of_box = overlap(origin, data.shape, image.shape)
    data[of_box] = image[on_image]


def add_box(image: NDArray[Any], data: NDArray[Any], origin: Sequence[int]) -> None:
    """Add the pixels of a box to an image in place; what reaches beyond the image is lost."""
    on_image, of_box = overlap(origin, data.shape, image.shape)
    image[on_image] += data[of_box]
