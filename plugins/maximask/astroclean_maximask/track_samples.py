"""Training samples of the screening network: exposures, good and spoiled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.simulate.contaminants.cosmic_rays import CosmicRayRange
from astroclean.simulate.fields import FieldRange
from astroclean.simulate.psfs import PsfRange
from astroclean.simulate.tracking import (
    CHARGE,
    DEFOCUS,
    KINDS,
    TrackingConfig,
    simulate_tracking,
)
from astroclean_maximask.average_star import average_star
from astroclean_maximask.conditions import condition_of
from astroclean_maximask.samples import normalized

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TILES", "TRACK_TILE", "TrackSampleMaker"]

TRACK_TILE = 256
"""Pixels of a tile."""
_SEEDS = 5_000_000_000
"""Seeds of this training; those of evaluations and of the masks are others."""
_EXPOSURES = TrackingConfig(
    share=0.6,
    extent=(0.4, 5.0),
    defocus=(1.5, 6.0),
    residual=(0.0, 0.25),
    aberration=(0.0, 0.5),
    charge_loss=(0.12, 0.5),
    kinds=(*KINDS, DEFOCUS, CHARGE),
    psf=PsfRange(
        fwhm=(1.3, 8.5),
        kinds=("moffat", "moffat", "kolmogorov", "airy"),
        ellipticity=(0.0, 0.055),
    ),
    sources=FieldRange(stars=(8.0, 3000.0)),
    cosmic_rays=CosmicRayRange(count=(1.0, 120.0)),
)
TILES = 2
"""Tiles of an exposure, side by side: they share the PSF, which takes longest to make."""
_BOXES = (64, 128, 256)


@dataclass(frozen=True)
class TrackSampleMaker:
    """Makes the sample of a number; a function that other processes can be given."""

    seed: int
    """Of the training."""
    offset: int = 0
    """Added to numbers, for a set of its own."""

    def __call__(self, number: int) -> dict[str, NDArray[Any]]:
        """Return one exposure.

        Parameters
        ----------
        number : int
            The same number gives the same bytes.

        Returns
        -------
        dict
            ``star``, (2, 21, 21, 13) float16: what `average_star` gives for each tile, channels
            last;
            ``condition``, uint8: place in `CONDITIONS`.
        """
        seed = _SEEDS + 50_000_000 * self.seed + self.offset + number
        shape = (TRACK_TILE, TILES * TRACK_TILE)
        scene = simulate_tracking(seed=seed, shape=shape, config=_EXPOSURES)
        box = int(np.random.default_rng(seed).choice(_BOXES))
        tiles = np.split(normalized(scene.frame.data, box=box), TILES, axis=1)
        stars = np.stack([average_star(tile) for tile in tiles]).astype(np.float16)
        condition = np.array(condition_of(str(scene.notes["kind"])), dtype=np.uint8)
        return {"star": np.ascontiguousarray(np.moveaxis(stars, 1, -1)), "condition": condition}
