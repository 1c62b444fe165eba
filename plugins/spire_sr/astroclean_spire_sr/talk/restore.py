"""The network of the talk on a field, block by block."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.parallel import in_threads
from astroclean_spire_sr.talk.scales import INPUT, SATURATED, TOP, scaled

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["TalkSky", "talk_sky"]

_AROUND = 48
"""Pixels of 1 arcsec around the part of a block that is kept, at most a fifth of its side."""


@dataclass(frozen=True, eq=False)
class TalkSky:
    """What the network says of a field."""

    image: NDArray[np.float32]
    """(ny, nx) mJy a beam at 450 um, NaN where 250 um is not known."""
    clipped: int
    """Pixels of the input, of 1 arcsec, whose values were beyond what the network can see."""
    saturated: int
    """Pixels of the answer so bright that a sigmoid tells them too faint."""


def talk_sky(
    data: NDArray[np.floating],
    known: NDArray[np.bool_],
    answer: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    *,
    side: int,
    threads: int = 1,
) -> TalkSky:
    """Return what the network says.

    The network sees blocks as large as those of its training, for at its coarsest levels it knows
    how large an image is. Beyond the borders of the field it sees its mirror image.

    Parameters
    ----------
    data : (ny, nx) float
        250 um in mJy a beam on pixels of 1 arcsec, above its zero point; 0 where not known.
    known : (ny, nx) bool
        Where it was observed.
    answer : callable
        The network: (1, 1, side, side) to the same, 0 to 1.
    side : int
        Of a block, pixels.
    threads : int
        Blocks at a time.

    Returns
    -------
    TalkSky
        The same whatever the number of threads.
    """
    (ny, nx), around = data.shape, min(_AROUND, side // 5)
    core = side - 2 * around
    room = tuple((around, around + -length % core) for length in (ny, nx))
    seen = np.pad(scaled(data), room, mode="symmetric")
    image = np.zeros((ny, nx), dtype=np.float32)

    def work(place: tuple[int, int]) -> None:
        y, x = place
        told = answer(seen[np.newaxis, np.newaxis, y : y + side, x : x + side])
        kept = told[0, 0, around : around + core, around : around + core]
        own = image[y : y + core, x : x + core]
        own[:] = kept[: own.shape[0], : own.shape[1]]

    in_threads(work, product(range(0, ny, core), range(0, nx, core)), threads)
    beyond = known & ((data < INPUT[0]) | (data > INPUT[1]))
    return TalkSky(
        np.where(known, TOP * image, np.nan).astype(np.float32),
        int(np.count_nonzero(beyond)),
        int(np.count_nonzero(known & (image > SATURATED))),
    )
