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
from astroclean_maximask.track.average_star import average_star
from astroclean_maximask.track.conditions import condition_of
from astroclean_maximask.train.samples import normalized

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TRACK_TILE", "TrackSampleMaker"]

TRACK_TILE = 256
"""Pixels of a tile."""
_SEEDS = 3_000_000_000
"""Seeds of this training; those of evaluations and of the masks are others."""
_EXPOSURES = TrackingConfig(
    share=0.6,
    extent=(1.0, 6.0),
    charge_loss=(0.12, 0.5),
    kinds=(*KINDS, DEFOCUS, CHARGE),
    psf=PsfRange(fwhm=(1.5, 8.0), kinds=("moffat", "kolmogorov", "airy"), ellipticity=(0.0, 0.05)),
    sources=FieldRange(stars=(10.0, 1500.0)),
    cosmic_rays=CosmicRayRange(count=(3.0, 120.0)),
)
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
            ``star``, (81, 81, 2) float16: what `average_star` gives, channels last;
            ``condition``, uint8: place in `CONDITIONS`.
        """
        seed = _SEEDS + 50_000_000 * self.seed + self.offset + number
        shape = (TRACK_TILE, TRACK_TILE)
        scene = simulate_tracking(seed=seed, shape=shape, config=_EXPOSURES)
        box = int(np.random.default_rng(seed).choice(_BOXES))
        star = average_star(normalized(scene.frame.data, box=box)).astype(np.float16)
        condition = np.array(condition_of(str(scene.notes["kind"])), dtype=np.uint8)
        return {"star": np.ascontiguousarray(np.moveaxis(star, 0, -1)), "condition": condition}
