"""Training samples: simulated exposures, seen as the network sees them, with their classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.simulate.contaminants.cosmic_rays import CosmicRayRange, rims_of_hits
from astroclean.simulate.contaminated import (
    CHANCES,
    ContaminatedConfig,
    simulate_contaminated,
)
from astroclean.simulate.detector import CameraRange
from astroclean.simulate.fields import FieldRange
from astroclean.simulate.injected.scenes import simulate_injected
from astroclean.simulate.lookalikes import LookalikeRange
from astroclean.simulate.psfs import PsfRange
from astroclean_maximask.classes import CONTAMINANTS, EXTRA_CLASSES, OUTPUTS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from astroclean.simulate.scene import Scene

__all__ = [
    "CALIBRATION",
    "LEAST",
    "SIDE",
    "TILE",
    "VALIDATION",
    "InjectedSampleMaker",
    "SampleMaker",
    "doubtful",
    "labels_of",
    "normalized",
    "sample_of",
]

SIDE = 512
"""Pixels of a simulated exposure."""
TILE = 384
"""Pixels of a training tile: wide enough for what is large."""
LEAST = 256
"""Pixels that a frame must have on each side to be cut for training."""
VALIDATION = 40_000_000
"""Numbers of validation samples begin here: no step reaches them."""
CALIBRATION = 45_000_000
"""Numbers of the samples of the second recipe begin here."""
_BOXES = (64, 128, 256, 512)
"""Mesh cells of the background, in pixels: the network must not depend on the choice."""
_LARGEST = 3e4
"""Values in units of the noise are held in half precision after arcsinh."""
_SEEDS = 1_000_000_000
"""Seeds of training; those of evaluations and validation are others."""


def _ground(data: Path | None) -> ContaminatedConfig:
    """Every class, any seeing: as `astroclean simulate contaminated`."""
    return ContaminatedConfig(data=data)


def _space(data: Path | None) -> ContaminatedConfig:
    """Undersampled and dark: stars are as sharp as hits; hits are many, most of a few pixels."""
    return ContaminatedConfig(
        chances=_rarely(cosmic_rays=0.95, bright_star=0.5, spikes=0.7, hot_pixels=0.25),
        psf=PsfRange(fwhm=(1.2, 2.4), kinds=("airy", "airy", "moffat")),
        camera=CameraRange(sky=(1.0, 300.0), gain=(0.8, 8.0), read_noise=(2.0, 10.0)),
        sources=FieldRange(stars=(30.0, 3000.0), galaxies=(1.0, 20.0), faintest=(2.0, 15.0)),
        cosmic_rays=CosmicRayRange(count=(10.0, 300.0), diffusion=(0.03, 0.4)),
        data=data,
    )


def _bright(data: Path | None) -> ContaminatedConfig:
    """Beside the brightest stars: what they leave is rare elsewhere."""
    more = {"bright_star": 1.0, "spikes": 1.0, "persistence": 0.6, "trails": 0.5, "crosstalk": 0.5}
    return ContaminatedConfig(
        chances=CHANCES | more, sources=FieldRange(stars=(5.0, 300.0)), data=data
    )


def _quiet(data: Path | None) -> ContaminatedConfig:
    """A good night: few contaminants or none, so that false alarms cost."""
    chances = _rarely(0.02, cosmic_rays=0.4, lookalikes=0.9, shading=0.5, readout=0.3)
    return ContaminatedConfig(
        chances=chances, lookalikes=LookalikeRange(count=(3.0, 25.0)), data=data
    )


def _stacked(data: Path | None) -> ContaminatedConfig:
    """A sum of exposures: what changed from one to the next is gone, or nearly so."""
    return ContaminatedConfig(
        chances=_rarely(
            0.0,
            lookalikes=0.7,
            nebulosity=0.3,
            bright_star=0.5,
            spikes=0.6,
            trails=0.15,
            ghosts=0.2,
        ),
        lookalikes=LookalikeRange(count=(1.0, 15.0)),
        data=data,
    )


def _rarely(others: float = 0.05, **chances: float) -> dict[str, float]:
    """Return the chances of all classes: those given, and one for all others."""
    return dict.fromkeys(CHANCES, others) | chances


_KINDS = (_ground, _space, _bright, _quiet, _stacked)
_SHARES = (0.4, 0.2, 0.2, 0.12, 0.08)
_SMOOTHING = (0.35, 1.0)
"""Pixels, standard deviation: what resampling does to the noise of a stack."""


@dataclass(frozen=True)
class SampleMaker:
    """Makes the sample of a number; a function that other processes can be given."""

    seed: int
    """Of the training."""
    data: Path | None = None
    """Library of real cosmic-ray hits: a folder or a file."""
    offset: int = 0
    """Added to numbers, for a set of its own."""

    def __call__(self, number: int) -> dict[str, NDArray[np.generic]]:
        """Return one exposure.

        Parameters
        ----------
        number : int
            The same number gives the same bytes.

        Returns
        -------
        dict
            ``pixels``, (512, 512) float16: arcsinh of sky-subtracted values in units of the noise;
            ``planes``, (512, 512) uint32: bits of `MaskPlane`, with SUSPECT where the truth is not
            known.
        """
        seed = self.seed_of(number)
        rng = np.random.default_rng(seed)
        kind = _KINDS[int(rng.choice(len(_KINDS), p=_SHARES))]
        scene = simulate_contaminated(seed=seed, shape=(SIDE, SIDE), config=kind(self.data))
        data = scene.frame.data
        pixels = _resampled(data, rng) if kind is _stacked else data
        return sample_of(pixels, _with_doubt(scene), rng)

    def seed_of(self, number: int) -> int:
        """Return the seed of a sample."""
        return _seed_of(self.seed, self.offset + number)


def _seed_of(training: int, number: int) -> int:
    return _SEEDS + 50_000_000 * training + number


@dataclass(frozen=True)
class InjectedSampleMaker:
    """Makes samples by the second recipe, of which no training sees any."""

    seed: int
    """Of the training."""

    def __call__(self, number: int) -> dict[str, NDArray[np.generic]]:
        """Return one exposure, as `SampleMaker` does.

        Real frames, and the real hits that are kept for tests, stay out: scores on them are of what
        nothing was tuned on.
        """
        seed = _seed_of(self.seed, CALIBRATION + number)
        scene = simulate_injected(seed=seed, shape=(SIDE, SIDE))
        return sample_of(scene.frame.data, _with_doubt(scene), np.random.default_rng(seed))


def _with_doubt(scene: Scene) -> NDArray[np.uint32]:
    """Return the truth of a scene, with SUSPECT where it is not known."""
    assert scene.planes is not None
    assert scene.ignored is not None
    planes = scene.planes.astype(np.uint32)
    planes[scene.ignored] |= np.uint32(MaskPlane.SUSPECT)
    return planes


def sample_of(
    data: NDArray[np.floating], planes: NDArray[np.uint32], rng: np.random.Generator
) -> dict[str, NDArray[np.generic]]:
    """Return the sample that is made of an exposure, as `SampleMaker` gives it.

    Parameters
    ----------
    data : (ny, nx) float
        Any unit; pixels that are not finite become sky.
    planes : (ny, nx) uint32
        Their truth.
    rng : Generator
        Draws the mesh in which the sky is measured.

    Returns
    -------
    dict
        ``pixels`` and ``planes``; a smaller frame is mirrored at its borders.
    """
    pixels = np.arcsinh(normalized(data, box=int(rng.choice(_BOXES)))).astype(np.float16)
    return {"pixels": _mirrored(pixels), "planes": _mirrored(planes)}


def normalized(data: NDArray[np.floating], *, box: int) -> NDArray[np.float32]:
    """Return sky-subtracted values in units of the noise of the sky.

    Parameters
    ----------
    data : (ny, nx) float
        Any unit; pixels that are not finite become sky.
    box : int
        Side of a mesh cell in pixels.

    Returns
    -------
    (ny, nx) float32
        Limited to 30 000 on both sides.
    """
    from astroclean.inference.tiles.normalize import BackgroundSigma  # noqa: PLC0415 - cheap start

    pixels = np.ascontiguousarray(data, dtype=np.float32)
    values, _ = BackgroundSigma(box=box).forward(pixels, np.isfinite(pixels))
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


def doubtful(planes: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Return the pixels whose truth is a matter of taste, or not known.

    Parameters
    ----------
    planes : (..., ny, nx) uint32
        Bits of `MaskPlane`.

    Returns
    -------
    (..., ny, nx) bool
        Rims of hits; SUSPECT, which a real frame has where nothing tells what its pixels are.
    """
    unknown = (planes & np.uint32(MaskPlane.SUSPECT)) != 0
    return np.asarray(rims_of_hits(planes) | unknown)


def _resampled(data: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return pixels whose noise is correlated as that of a stack."""
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - slow to import

    return np.asarray(gaussian_filter(data, rng.uniform(*_SMOOTHING)), dtype=np.float32)


def _mirrored(image: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return the first pixels of an image, of the size of a simulated exposure."""
    missing = [(0, max(SIDE - side, 0)) for side in image.shape]
    return np.pad(image[:SIDE, :SIDE], missing, mode="reflect")
