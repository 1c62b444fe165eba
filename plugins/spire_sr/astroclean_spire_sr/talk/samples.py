"""Fields for the network of the talk: the map at 250 um on fine pixels, and the truth at 450 um."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.image.grid import Grid
from astroclean_spire_sr.bands import FINE, PER_COARSE, coarse_grid, on_grid
from astroclean_spire_sr.train.samples import SIDE as COARSE_SIDE
from astroclean_spire_sr.train.samples import drawn_scene, is_real

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SIDE", "TalkSampleMaker"]

SIDE = COARSE_SIDE * PER_COARSE
"""Pixels of 1 arcsec along a field: 576."""


class TalkSampleMaker:
    """Makes the field of a number: simulated ones and real ones in turns.

    The talk's real data, HerMES and STUDIES, are not public as pairs; maps that are simulated with
    what real ones have (cirrus, stripes, beams and gains that err, galaxies near by) stand for
    them. Their truth is without noise, where a map of SCUBA-2 has its own.

    Parameters
    ----------
    seed : int
        Of the training.
    offset : int
        Added to the numbers of fields.
    """

    def __init__(self, seed: int, *, offset: int = 0) -> None:
        self.seed, self.offset = seed, offset

    def __call__(self, index: int) -> dict[str, NDArray[Any]]:
        """Return a field.

        Parameters
        ----------
        index : int
            The same gives the same bytes.

        Returns
        -------
        dict of str to array
            ``data`` (576, 576), 250 um on pixels of 1 arcsec, and ``truth``, of the same shape,
            float16, mJy a beam; ``known``, bool; ``is_real``, whether it stands for real data.
        """
        number = index + self.offset
        rng = np.random.default_rng((self.seed, number))
        scene = drawn_scene(rng, number, bands=("250",))
        frame = scene.bands["250"].frame
        assert scene.fine is not None  # simulated ones have both
        assert frame.uncertainty is not None
        own = Grid.from_frame(frame)
        fine = coarse_grid(own).with_step(1 / PER_COARSE)
        band = on_grid(frame.data, frame.uncertainty.array, own=own, grid=fine, pixel=FINE)
        return {
            "data": band.data.astype(np.float16),
            "truth": scene.fine.data.astype(np.float16),
            "known": band.known,
            "is_real": np.array(is_real(number)),
        }
