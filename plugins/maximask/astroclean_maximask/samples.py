"""Training samples: simulated exposures, seen as the network sees them, with their classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.simulate.contaminants.cosmic_rays import CosmicRayRange
from astroclean.simulate.contaminated import CHANCES, ContaminatedConfig, simulate_contaminated
from astroclean.simulate.detector import CameraRange
from astroclean.simulate.fields import FieldRange
from astroclean.simulate.psfs import PsfRange
from astroclean_maximask.classes import CONTAMINANTS, EXTRA_CLASSES, OUTPUTS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["SIDE", "TILE", "SampleMaker", "labels_of", "normalized"]

SIDE = 512
"""Pixels of a simulated exposure."""
TILE = 256
"""Pixels of a training tile."""
_BOXES = (64, 128, 256, 512)
"""Mesh cells of the background, in pixels: the network must not depend on the choice."""
_LARGEST = 3e4
"""Values in units of the noise are held in half precision after arcsinh."""
_SEEDS = 1_000_000_000
"""Seeds of training; those of evaluations and validation are others."""
_QUIET = {"cosmic_rays": 0.95, "bright_star": 0.5, "spikes": 0.7, "hot_pixels": 0.4}


def _ground(data: Path | None) -> ContaminatedConfig:
    """Every class, any seeing: as `astroclean simulate contaminated`."""
    return ContaminatedConfig(data=data)


def _space(data: Path | None) -> ContaminatedConfig:
    """Undersampled and dark: stars are as sharp as hits, and hits are many."""
    return ContaminatedConfig(
        chances={name: _QUIET.get(name, 0.05) for name in CHANCES},
        psf=PsfRange(fwhm=(1.3, 2.4), kinds=("airy", "airy", "moffat")),
        camera=CameraRange(sky=(1.0, 300.0), gain=(0.8, 8.0), read_noise=(2.0, 10.0)),
        sources=FieldRange(stars=(30.0, 3000.0), galaxies=(1.0, 20.0), faintest=(2.0, 15.0)),
        cosmic_rays=CosmicRayRange(count=(10.0, 300.0)),
        data=data,
    )


def _quiet(data: Path | None) -> ContaminatedConfig:
    """A good night: few contaminants or none, so that false alarms cost."""
    return ContaminatedConfig(
        chances={name: 0.4 * _QUIET.get(name, 0.05) for name in CHANCES}, data=data
    )


_KINDS = (_ground, _space, _quiet)
_SHARES = (0.6, 0.28, 0.12)


@dataclass(frozen=True)
class SampleMaker:
    """Makes the sample of a number; a function that other processes can be given."""

    seed: int
    """Of the training."""
    data: Path | None = None
    """Folder with real cosmic-ray hits."""
    offset: int = 0
    """Added to numbers, for a set of its own."""

    def __call__(self, number: int) -> dict[str, NDArray[np.generic]]:
        """Return four tiles of one exposure.

        Parameters
        ----------
        number : int
            The same number gives the same bytes.

        Returns
        -------
        dict
            ``pixels``, (4, 256, 256) float16: arcsinh of sky-subtracted values in units of the
            noise; ``planes``, (4, 256, 256) uint32: bits of `MaskPlane`.
        """
        seed = _SEEDS + 50_000_000 * self.seed + self.offset + number
        rng = np.random.default_rng(seed)
        kind = _KINDS[int(rng.choice(len(_KINDS), p=_SHARES))]
        scene = simulate_contaminated(seed=seed, shape=(SIDE, SIDE), config=kind(self.data))
        assert scene.planes is not None
        box = int(rng.choice(_BOXES))
        pixels = np.arcsinh(normalized(scene.frame.data, box=box)).astype(np.float16)
        return {"pixels": _tiled(pixels), "planes": _tiled(scene.planes)}


def normalized(data: NDArray[np.floating], *, box: int) -> NDArray[np.float32]:
    """Return sky-subtracted values in units of the noise of the sky.

    Parameters
    ----------
    data : (ny, nx) float
        Any unit; finite.
    box : int
        Side of a mesh cell in pixels.

    Returns
    -------
    (ny, nx) float32
        Limited to 30 000 on both sides.
    """
    from astroclean.inference.normalize import BackgroundSigma  # noqa: PLC0415 - cheap start

    pixels = np.ascontiguousarray(data, dtype=np.float32)
    values, _ = BackgroundSigma(box=box).forward(pixels, np.ones(pixels.shape, dtype=bool))
    return np.clip(values, -_LARGEST, _LARGEST)


def labels_of(planes: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Return what the network shall answer.

    Parameters
    ----------
    planes : (...) uint32
        Bits of `MaskPlane`.

    Returns
    -------
    (..., outputs) float32
        13 contaminants, background (none of the others), ghosts, cross-talk: 1 or 0.
    """
    found = [np.uint32(plane) for plane in CONTAMINANTS]
    extra = [np.uint32(plane) for plane in EXTRA_CLASSES]
    count = len(OUTPUTS) + len(EXTRA_CLASSES)
    labels = np.empty((*planes.shape, count), dtype=np.float32)
    for channel, bits in enumerate([*found, np.bitwise_or.reduce([*found, *extra]), *extra]):
        labels[..., channel] = (planes & bits) != 0
    labels[..., len(found)] = 1 - labels[..., len(found)]
    return labels


def _tiled(image: NDArray[np.generic]) -> NDArray[np.generic]:
    count = SIDE // TILE
    blocks = image.reshape(count, TILE, count, TILE).swapaxes(1, 2)
    return np.ascontiguousarray(blocks.reshape(count**2, TILE, TILE))
