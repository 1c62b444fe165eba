"""The network on a field, block by block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.parallel import in_threads
from astroclean.core.stage.scope import Chunk
from astroclean.tiling.blocks import BlockGrid, within
from astroclean_spire_sr.answers import LARGEST, SCALE
from astroclean_spire_sr.bands import PER_COARSE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.inference.engines.engine import Engine
    from astroclean.tiling.blocks import Block

__all__ = ["MULTIPLE", "Prediction", "predict"]

MULTIPLE = 32
"""Sides of what the network sees are multiples of it, in pixels of 3 arcsec."""
_BLOCKS = BlockGrid(core=384, around=64)
_LOG_ERRORS = (-6.0, 5.0)
_LOG_FLUX_ERRORS = (-2.5, 2.0)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the network says of a field."""

    image: NDArray[np.float32]
    """(3 ny, 3 nx) mJy a beam at 450 um."""
    error: NDArray[np.float32]
    """(ny, nx) standard deviation of the image, as the network says."""
    probability: NDArray[np.float32]
    """(ny, nx) that the centre of a source lies in a pixel of 3 arcsec."""
    dx: NDArray[np.float32]
    """(ny, nx) of the brightest source around, from the middle of the pixel, in pixels."""
    dy: NDArray[np.float32]
    """(ny, nx)"""
    log_flux: NDArray[np.float32]
    """(ny, nx) logarithm of its flux, mJy."""
    log_flux_error: NDArray[np.float32]
    """(ny, nx) standard deviation of that."""


def predict(planes: NDArray[np.float32], engine: Engine) -> Prediction:
    """Return what the network says.

    Parameters
    ----------
    planes : (channels, ny, nx) float32
        As `astroclean_spire_sr.planes.planes_of` gives them.
    engine : Engine
        With the network.

    Returns
    -------
    Prediction
        The same whatever the number of threads.
    """
    shape = planes.shape[1:]
    image = np.zeros((PER_COARSE * shape[0], PER_COARSE * shape[1]), dtype=np.float32)
    maps = np.zeros((6, *shape), dtype=np.float32)

    def work(block: Block) -> None:
        seen = planes[(slice(None), *block.read)]
        ny, nx = seen.shape[1:]
        room = ((0, 0), (0, -ny % MULTIPLE), (0, -nx % MULTIPLE))
        told = engine.infer({"planes": np.pad(seen, room)[np.newaxis]})
        own = within(block.core, block.read)
        fine = tuple(slice(PER_COARSE * s.start, PER_COARSE * s.stop) for s in own)
        target = tuple(slice(PER_COARSE * s.start, PER_COARSE * s.stop) for s in block.core)
        image[target] = told["map"][0, 0][fine]
        maps[(slice(0, 1), *block.core)] = told["log_error"][0][(slice(None), *own)]
        maps[(slice(1, 6), *block.core)] = told["sources"][0][(slice(None), *own)]

    whole = Chunk((0, 0), (shape[0], shape[1]))
    in_threads(work, _BLOCKS.blocks((shape[0], shape[1]), whole), engine.parallel)
    log_error, logit, dx, dy, log_flux, log_flux_error = maps
    return Prediction(
        np.float32(SCALE) * np.exp(np.minimum(image, np.float32(LARGEST))),
        np.exp(np.clip(log_error, *_LOG_ERRORS)),
        1 / (1 + np.exp(-np.clip(logit, -30, 30))),
        dx,
        dy,
        np.minimum(log_flux, LARGEST) + np.float32(np.log(SCALE)),
        np.exp(np.clip(log_flux_error, *_LOG_FLUX_ERRORS)),
    )
