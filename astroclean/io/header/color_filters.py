"""Color mosaics: each color of a filter array is a frame of its own, and joined again on writing.

A camera with a Bayer mosaic has one HDU in which every second pixel of every second row is of one
color. To a method that compares neighbors, half of such a frame are defects.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.image.cutting import meta_at_scale, stepped_wcs
from astroclean.errors import FitsReadError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from astropy.wcs import WCS
    from numpy.typing import NDArray

    from astroclean.core.image.layer import Layer
    from astroclean.io.products.output import FrameOutput

__all__ = ["Color", "colors_of", "joined_colors"]

_KEYWORDS = ("BAYERPAT", "COLORTYP", "CFAPAT", "BAYRPAT")
"""Of ASCOM, N.I.N.A., INDI and SharpCap; of MaxIm DL; of others."""
_NO_MOSAIC = frozenset({"", "NONE", "MONO", "FALSE", "F", "0"})
_OFFSETS = (("XBAYROFF", "YBAYROFF"), ("BAYOFFX", "BAYOFFY"))
_SIDE = 2


@dataclass(frozen=True)
class Color:
    """The pixels of one color: every second one of every second row."""

    name: str
    """``R``, ``G1``, ``G2``, ``B``; or ``C1`` to ``C4`` where the pattern is of other colors."""
    first: tuple[int, int]
    """(y, x) of the first pixel, 0 or 1."""

    def of(self, mosaic: Any) -> Any:
        """Return the pixels of this color of an array (a view) or of a frame."""
        y, x = self.first
        return mosaic[y::_SIDE, x::_SIDE]

    def wcs_of(self, wcs: WCS | None) -> WCS | None:
        """Return the world coordinates of this color's pixels; None where they are distorted."""
        if wcs is None or wcs.has_distortion:
            return None
        return stepped_wcs(wcs, self.first, (_SIDE, _SIDE))

    def meta_of(self, meta: Any) -> Any:
        """Return the header of this color's pixels, which are twice as far apart."""
        return meta_at_scale(meta, _SIDE)


def colors_of(header: Mapping[str, Any], *, where: str) -> tuple[Color, ...]:
    """Return the colors of a mosaic.

    Parameters
    ----------
    header : mapping
        ``BAYERPAT``, or another of the keywords in use, names the colors of the first two pixels of
        the first two rows; ``XBAYROFF`` and ``YBAYROFF`` shift them.
    where : str
        File and HDU, for the message.

    Returns
    -------
    tuple of Color
        Four, by row and column; none where the header tells of no mosaic.

    Raises
    ------
    FitsReadError
        The mosaic is no square of two by two pixels.
    """
    told = {key: str(header.get(key, "")).strip().upper() for key in _KEYWORDS}
    keyword = next((key for key, pattern in told.items() if pattern not in _NO_MOSAIC), None)
    if keyword is None:
        return ()
    pattern = told[keyword]
    if pattern in {"TRUE", "T", "1", "VALID"}:  # a color camera that does not say which
        pattern = "????"
    if len(pattern) != _SIDE**2 or not (pattern.isalpha() or pattern == "????"):
        raise FitsReadError(
            f"{keyword} names a color mosaic that is not understood",
            where=where,
            received=repr(pattern),
            remedy="Mosaics of two by two pixels are, such as RGGB. Split the file by color first, "
            f"or take {keyword} out of the header where the pixels are all of one color.",
        )
    x_off, y_off = _offsets(header)
    places = [(y, x) for y in range(_SIDE) for x in range(_SIDE)]
    letters = [pattern[_SIDE * ((y + y_off) % _SIDE) + (x + x_off) % _SIDE] for y, x in places]
    return tuple(Color(_named(letters, number), place) for number, place in enumerate(places))


def _offsets(header: Mapping[str, Any]) -> tuple[int, int]:
    for x_key, y_key in _OFFSETS:
        if x_key in header or y_key in header:
            return int(header.get(x_key) or 0), int(header.get(y_key) or 0)
    return 0, 0


def _named(letters: Sequence[str], number: int) -> str:
    letter = letters[number]
    if letter == "?":
        return f"C{number + 1}"
    same = [n for n, other in enumerate(letters) if other == letter]
    return letter if len(same) == 1 else f"{letter}{same.index(number) + 1}"


def joined_colors(outputs: Sequence[FrameOutput]) -> list[FrameOutput]:
    """Return outputs in which the colors of a mosaic are one frame again.

    Parameters
    ----------
    outputs : sequence of FrameOutput
        All frames of a file, in order. Frames of no mosaic stay as they are.

    Returns
    -------
    list of FrameOutput
        One for each mosaic, in the place of its first color.
    """
    joined: dict[Any, FrameOutput | list[FrameOutput]] = {}
    for number, output in enumerate(outputs):
        if output.slot.color is None:
            joined[number] = output
        else:
            parts = joined.setdefault(("mosaic", output.slot.science.index), [])
            assert isinstance(parts, list)
            parts.append(output)
    return [_mosaic(part) if isinstance(part, list) else part for part in joined.values()]


def _mosaic(parts: Sequence[FrameOutput]) -> FrameOutput:
    first = parts[0]

    def whole(of: Callable[[FrameOutput], Any]) -> Any:
        images = [of(part) for part in parts]
        if any(image is None for image in images):
            return _where_given(parts, images, first.slot.science.shape)
        return _woven(parts, images, first.slot.science.shape)

    def layer(name: str) -> Layer:
        given = next(part.layers[name] for part in parts if name in part.layers)
        image = whole(lambda part: part.layers[name].data if name in part.layers else None)
        deviation = whole(
            lambda part: part.layers[name].uncertainty if name in part.layers else None
        )
        # The PSF would be that of one color.
        return replace(given, data=image, grid=None, uncertainty=deviation, psf=None)

    names = list(dict.fromkeys(name for part in parts for name in part.layers))
    history = tuple(
        line
        for part in parts
        if part.slot.color is not None
        for line in (f"astroclean color {part.slot.color.name}:", *part.history)
    )
    return replace(
        first,
        slot=replace(first.slot, color=None),
        data=whole(lambda part: part.data),
        changed=whole(lambda part: part.changed),
        flags=whole(lambda part: part.flags),
        uncertainty=whole(lambda part: part.uncertainty),
        uncertainty_changed=whole(lambda part: part.uncertainty_changed),
        history=history,
        layers={name: layer(name) for name in names},
    )


def _where_given(
    parts: Sequence[FrameOutput], images: Sequence[Any], shape: tuple[int, ...]
) -> NDArray[Any] | None:
    """Return a mosaic of what only some colors have; nothing of the others."""
    given = next((image for image in images if image is not None), None)
    if given is None:
        return None
    blank = np.nan if np.asarray(given).dtype.kind == "f" else 0
    kind = np.asarray(given).dtype
    filled = [
        np.full(np.shape(part.data), blank, dtype=kind) if image is None else image
        for part, image in zip(parts, images, strict=True)
    ]
    return _woven(parts, filled, shape)


def _woven(
    parts: Sequence[FrameOutput], images: Sequence[Any], shape: tuple[int, ...]
) -> NDArray[Any]:
    mosaic = np.empty(shape[-2:], dtype=np.asarray(images[0]).dtype)
    for part, image in zip(parts, images, strict=True):
        assert part.slot.color is not None
        part.slot.color.of(mosaic)[...] = image
    return mosaic
