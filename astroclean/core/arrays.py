"""The arrays of a frame: what may become one, and how they are kept from being written to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.errors import FrameError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["as_bits", "as_pixels", "read_only", "require_shape"]

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


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view of an array that cannot be written to; the array itself still can."""
    view = array.view()
    view.flags.writeable = False
    return view
