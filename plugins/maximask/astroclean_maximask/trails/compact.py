"""Cells of stars and galaxies: what a line must not be made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.errors import StageError
from astroclean_maximask.mask.evidence.strips import widened

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["compact_sources"]

_THRESHOLD = 3.0
_FEWEST = 3
"""Cells of a source."""
_SLENDER = 4.0
"""Length over width from which an object may be a piece of a trail."""
_LONG = 12.0
"""Cells of the box of an object that is no star: a piece of a trail, or of several."""
_OPEN = 0.3
"""Share of its box that an object fills at most that consists of lines; a galaxy fills half."""
_ELLIPSE = 3.0
"""Deviations of a round object's ellipse beyond which its light is below the noise."""
_ROUND = 2.0
"""Length over width up to which an object has an ellipse; others are several that touch."""
_LARGE = 60
"""Cells of an object that is no dash of a trail, either."""
_BLOB = 3
"""Cells of half width from which a part of an object is no trail, unless the whole is slender."""


def compact_sources(
    cells: NDArray[np.float32], unknown: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the cells of sources that are no piece of a trail.

    Parameters
    ----------
    cells : (my, mx) float32
        Light in units of the noise. Not modified.
    unknown : (my, mx) bool
        Cells not to be looked at.

    Returns
    -------
    compact : (my, mx) bool
        A new array: stars and galaxies whole, and of an object that has both lines and blobs, as a
        trail across a galaxy, the blobs.
    large : (my, mx) bool
        Of these the large ones alone: the others may be the dashes of a trail.

    Raises
    ------
    StageError
        One object of the frame is beyond the limits of sep.
    """
    found, labels = _extracted(cells, unknown)
    if not len(found):
        return np.zeros(cells.shape, dtype=bool), np.zeros(cells.shape, dtype=bool)
    sides = found["xmax"] - found["xmin"] + 1.0, found["ymax"] - found["ymin"] + 1.0
    long = np.hypot(*sides) >= _LONG
    ratio = found["a"] / np.maximum(found["b"], 0.3)
    slender = long & (ratio > _SLENDER)
    mixed = long & ~slender & (found["npix"] < _OPEN * sides[0] * sides[1])
    whole = ~(slender | mixed)
    blobs = _blobs(np.concatenate([[False], mixed])[labels]) if mixed.any() else False
    masks = []
    for chosen in (whole, whole & (found["npix"] >= _LARGE)):
        mask = widened(np.concatenate([[False], chosen])[labels], 1) | blobs
        _add_ellipses(mask, found[chosen & (ratio < _ROUND)])
        masks.append(mask)
    return masks[0], masks[1]


def _extracted(
    cells: NDArray[np.float32], unknown: NDArray[np.bool_]
) -> tuple[NDArray[Any], NDArray[np.int32]]:
    import sep  # noqa: PLC0415 - heavy

    settings = {"thresh": _THRESHOLD, "mask": unknown, "minarea": _FEWEST}
    limits = sep.get_extract_pixstack(), sep.get_sub_object_limit()
    sep.set_extract_pixstack(max(limits[0], cells.size))
    try:
        # Without deblending: a trail with the stars that it crosses is one object, as it should.
        found, labels = sep.extract(
            cells, err=1.0, segmentation_map=True, deblend_cont=1.0, clean=False, **settings
        )
    except Exception as error:  # sep raises plain Exceptions
        raise StageError(f"sep gave up: {error}", where="trails") from error
    finally:
        sep.set_extract_pixstack(limits[0])
        sep.set_sub_object_limit(limits[1])
    return found, labels


def _add_ellipses(compact: NDArray[np.bool_], found: NDArray[Any]) -> None:
    import sep  # noqa: PLC0415 - heavy

    if not len(found):
        return
    axes = (np.maximum(found["a"], 0.5), np.maximum(found["b"], 0.5))
    angle = np.clip(found["theta"], -np.pi / 2, np.pi / 2)
    sep.mask_ellipse(compact, found["x"], found["y"], *axes, angle, r=_ELLIPSE)


def _blobs(mixed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the parts of objects that are wider than a line."""
    inner = ~widened(~mixed, _BLOB)
    return widened(inner, _BLOB + 2)
