"""For `streaks`: the frame in units of its noise, with compact sources masked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.errors import StageError

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["CLIP", "significance"]

CLIP = 4.0
"""Values are limited to this many sigma, so that no bright pixel makes a line."""

_LEAST_BOX = 32
# Boxes are so much wider than a trail that a box's clipped median does not see it.
_BOXES_PER_WIDTH = 4.0
_THRESHOLD, _FEWEST_PIXELS = 2.0, 5
# A piece of a trail, not a galaxy: so much longer than wide, or long and thin.
_ELONGATION, _LONG_SHARE = 5.0, 0.4
# Of its box, what an object fills at most that consists of lines; a galaxy fills a half.
_OPEN = 0.25
# Of the ellipse's deviations: beyond this the light of a star is below the noise.
_ELLIPSE = 4.5


def significance(
    frame: Frame, bad: NDArray[np.bool_], *, min_length: float, width: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the frame above its background in units of its noise, and the pixels to look at.

    Parameters
    ----------
    frame : Frame
        Not modified.
    bad : (ny, nx) bool
        Unusable pixels.
    min_length, width : float
        Shortest and widest trail in pixels: what looks like a piece of one is no source.

    Returns
    -------
    image : (ny, nx) float32
        Zero at unusable pixels.
    known : (ny, nx) bool
        Usable, and in no compact source.

    Raises
    ------
    StageError
        One object of the frame is beyond the limits of sep.
    """
    import sep  # noqa: PLC0415 - heavy

    box = int(max(_LEAST_BOX, _BOXES_PER_WIDTH * width))
    data = np.where(bad, np.float32(0), frame.data)
    background = sep.Background(data, mask=bad, bw=box, bh=box)
    noise = background.rms()
    usable = ~bad & (noise > 0) & np.isfinite(noise)
    flat = np.where(usable, data - background.back(), 0) / np.where(usable, noise, 1)
    image = flat.astype(np.float32)
    if not usable.any():
        return image, usable
    known = usable & ~_compact(image, ~usable, min_length, width)
    return image, known


def _compact(
    image: NDArray[np.float32], bad: NDArray[np.bool_], min_length: float, width: float
) -> NDArray[np.bool_]:
    """Return the pixels of sources that are no piece of a trail."""
    import sep  # noqa: PLC0415 - heavy

    settings = {"thresh": _THRESHOLD, "mask": bad, "minarea": _FEWEST_PIXELS}
    limits = sep.get_extract_pixstack(), sep.get_sub_object_limit()
    sep.set_extract_pixstack(max(limits[0], image.size))
    try:
        # Without deblending: a trail with the stars that it crosses is one object, as it should.
        found, labels = sep.extract(
            image, err=1.0, segmentation_map=True, deblend_cont=1.0, clean=False, **settings
        )
    except Exception as error:  # sep raises plain Exceptions
        raise StageError(f"sep gave up: {error}", where="streaks") from error
    finally:
        sep.set_extract_pixstack(limits[0])
        sep.set_sub_object_limit(limits[1])
    trails = _like_trails(found, min_length, width)
    chosen = np.concatenate([[False], ~trails])
    compact: NDArray[np.bool_] = chosen[labels]
    sources = found[~trails]
    if len(sources):
        places = (sources["x"], sources["y"])
        axes = (np.maximum(sources["a"], 0.7), np.maximum(sources["b"], 0.7))
        angle = np.clip(sources["theta"], -np.pi / 2, np.pi / 2)
        sep.mask_ellipse(compact, *places, *axes, angle, r=_ELLIPSE)
    return compact


def _like_trails(found: NDArray[Any], min_length: float, width: float) -> NDArray[np.bool_]:
    sides = found["xmax"] - found["xmin"] + 1.0, found["ymax"] - found["ymin"] + 1.0
    length = np.hypot(*sides)
    slender = found["a"] > _ELONGATION * np.maximum(found["b"], 1e-3)
    # Trails that cross are one object, neither slender nor full.
    open_shape = found["npix"] < _OPEN * sides[0] * sides[1]
    long = (length > _LONG_SHARE * min_length) & (open_shape | (found["a"] > 2 * found["b"]))
    trails: NDArray[np.bool_] = (found["npix"] < width * length) & (slender | long)
    return trails
