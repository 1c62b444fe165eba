"""Whose light is it? A frame shared out among models of its sources, and what is left.

The *model* of a source is its light without noise. Its *share* is the frame's light times the
model's fraction of all models in that pixel, with noise, and negative where the frame is. What no
share takes is *unassigned*, so that all shares and this are the frame again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.arrays import add_box
from astroclean.errors import FrameError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.sources.sources import Sources, SourceStamp

__all__ = ["LIT", "model_image", "with_shares"]

LIT = 2.0**-20
"""Part of its own highest value above which a model lights a pixel.

A model that was drawn by Fourier transforms in float32 holds rounding below some 1e-6 of its peak,
and a pixel must not go to the source whose rounding is the largest. It is a part of the peak of
the same model, not of the brightest of the frame: then it is the same however a frame is cut."""

_TINY = float(np.finfo(np.float32).tiny)
"""Below it float32 loses digits, and models would differ by rounding alone."""


def model_image(
    sources: Sources, shape: tuple[int, int], band: str | None = None
) -> NDArray[np.float32]:
    """Return the sum of all models.

    Parameters
    ----------
    sources : Sources
        With images; a source without one adds nothing.
    shape : (int, int)
        (ny, nx) of the image.
    band : str, optional
        Not needed where there is one alone.

    Returns
    -------
    (ny, nx) float32
        New. Summed in double precision in the order of the boxes, so that neither the order of the
        sources nor the cut of a frame in chunks changes a bit.

    Raises
    ------
    FrameError
        There are images in several bands, and it is not told which are meant.
    """
    total = np.zeros(shape)
    for stamp in _in_order(sources.images(band).values()):
        stamp.add_to(total)
    return total.astype(np.float32)


def with_shares(
    sources: Sources, frame: Frame, band: str = ""
) -> tuple[Sources, NDArray[np.float32]]:
    """Return sources with the shares that their models have of a frame, and what is left of it.

    Where models light a pixel (more than :data:`LIT` of their own peak), each gets the pixel times
    its fraction of their sum. Models light with positive values alone: the negative ones of a
    model, and one that is negative everywhere, get nothing. Unusable pixels are shared out to
    nobody; nor are those where no model has light.

    Parameters
    ----------
    sources : Sources
        With models as the ``data`` of their stamps; not modified. Boxes may overlap and reach
        beyond the frame.
    frame : Frame
        Less the sky, where models are light of sources alone: what is shared out is all of a
        pixel. A chunk of a frame is one, too: shares of sources whose boxes it holds are those of
        the whole to the bit. Not modified.
    band : str
        Whose models these are; the stamps of other bands stay as they are.

    Returns
    -------
    sources : Sources
        The same, with `SourceStamp.share` in the stamps of the band, in their order.
    unassigned : (ny, nx) float32
        New: frame less all shares; unusable pixels are those of the frame. All shares and this
        added in double precision, in any order, and rounded to float32 are the frame to the bit;
        added in float32 stamp by stamp, with this last, they are within n + 1 units of rounding of
        the pixel (2**-24 of it), where n boxes hold it.

    Raises
    ------
    FrameError
        There are models, and none in this band; or a model has values that are not finite.
    """
    stamps = [stamp for stamp in sources.stamps if stamp.band == band]
    if sources.stamps and not stamps:
        raise FrameError(
            f"the sources have no models in the band '{band}'",
            received=", ".join(f"'{one}'" for one in sources.bands),
            remedy="Tell `band` as the stamps do.",
        )
    usable, ordered = frame.usable, _in_order(stamps)
    light = np.where(usable, frame.data, np.float32(0))
    total, taken = np.zeros(frame.shape), np.zeros(frame.shape)
    for stamp in ordered:
        add_box(total, _lit(stamp), stamp.origin)
    shares: dict[int, NDArray[np.float32]] = {}
    for stamp in ordered:
        share = shares[int(stamp.id)] = _share(stamp, light, total)
        add_box(taken, share, stamp.origin)
    rest = np.where(usable, (frame.data - taken).astype(np.float32), frame.data)
    given = tuple(
        replace(stamp, share=shares[int(stamp.id)]) if stamp.band == band else stamp
        for stamp in sources.stamps
    )
    return replace(sources, stamps=given), rest


def _in_order(stamps: Iterable[SourceStamp]) -> list[SourceStamp]:
    """Return stamps in an order that only their pixels tell, and their place in the frame.

    Sums of floating point depend on their order. An ``id`` is another one in each chunk.
    """

    def place(stamp: SourceStamp) -> tuple[float, ...]:
        sums = (float(stamp.data.max(initial=0)), float(stamp.data.sum(dtype=float)))
        return (*stamp.origin, *stamp.data.shape, *sums)

    return sorted(stamps, key=place)


def _lit(stamp: SourceStamp) -> NDArray[np.float32]:
    """Return a model, 0 where it does not light its pixel."""
    peak = float(stamp.data.max(initial=0))
    if not np.isfinite(stamp.data).all():
        raise FrameError(
            "the model of a source has values that are not finite",
            where=f"source {stamp.id}",
            remedy="Leave the source out, or give it 0 there.",
        )
    floor = np.float32(max(peak * LIT, _TINY))
    return np.where(stamp.data > floor, stamp.data, np.float32(0))


def _share(
    stamp: SourceStamp, light: NDArray[np.float32], total: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the light of a frame that one of all models gets."""
    share = np.zeros(stamp.data.shape, dtype=np.float32)
    on_frame, of_box = stamp.overlap(light.shape)
    lit, everything = _lit(stamp)[of_box], total[on_frame]
    # Not above 1, and 1 where the source is alone: a sum is no less than what is in it.
    fraction = np.divide(lit, everything, out=np.zeros(lit.shape), where=lit > 0)
    share[of_box] = light[on_frame] * fraction
    return share
