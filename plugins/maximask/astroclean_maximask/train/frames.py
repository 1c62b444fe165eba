"""Training samples cut from the user's own frames, with contaminants added to what is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.inference.tiles.normalize import BackgroundSigma
from astroclean.io.frames.read import open_exposure
from astroclean.simulate.contaminants.bright import bright_planes
from astroclean.simulate.contaminants.cosmic_rays import add_cosmic_rays
from astroclean.simulate.contaminants.lines import add_dead_lines, add_hot_lines
from astroclean.simulate.contaminants.persistence import add_persistence
from astroclean.simulate.contaminants.pixels import (
    add_dead_clusters,
    add_dead_pixels,
    add_hot_pixels,
)
from astroclean.simulate.contaminants.trails import add_trails
from astroclean.simulate.contaminated import CHANCES
from astroclean.simulate.draws import log_uniform
from astroclean.simulate.psfs import PsfRange
from astroclean_maximask.classes import CONTAMINANTS, EXTRA_CLASSES
from astroclean_maximask.train.samples import LEAST, SIDE, SampleMaker, sample_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.io.frames.grouping import FrameSlot
    from astroclean.io.frames.read import Exposure

__all__ = ["FrameSampleMaker", "contaminated_anew", "large_enough", "observed_truth"]

_TOLD = np.uint32(MaskPlane.union([*CONTAMINANTS, *EXTRA_CLASSES]))
_UNKNOWN = np.uint32(MaskPlane.BAD_PIXEL | MaskPlane.NO_DATA | MaskPlane.SUSPECT)
"""Planes after which a pixel may be of any class, or none."""
_CR, _SAT = np.uint32(MaskPlane.COSMIC_RAY), np.uint32(MaskPlane.SATURATED)
_SUSPECT = np.uint32(MaskPlane.SUSPECT)
_RAISED = np.uint32(MaskPlane.COSMIC_RAY | MaskPlane.HOT_PIXEL | MaskPlane.HOT_LINE)
_LOWERED = np.uint32(MaskPlane.DEAD_PIXEL | MaskPlane.DEAD_LINE)
_SEEN = 3.0
"""Standard deviations by which a pixel differs from the sky if what its flags tell shows."""
_SHARP = 5.0
_NEIGHBORS = np.full((3, 3), 1 / 8)
_NEIGHBORS[1, 1] = 0
_USUAL_NOISE = 20.0
"""Electrons that the noise of the sky is taken for where no gain tells them."""
_DARK = 4.0
"""Sky over its noise below which nobody could tell a dead pixel from a live one."""
_MESH = 128
_ADDED: dict[str, Callable[..., NDArray[np.uint32]]] = {
    "hot_pixels": add_hot_pixels,
    "hot_lines": add_hot_lines,
}
_DEAD: dict[str, Callable[..., NDArray[np.uint32]]] = {
    "dead_pixels": add_dead_pixels,
    "dead_lines": add_dead_lines,
    "dead_clusters": add_dead_clusters,
}


@dataclass(frozen=True)
class FrameSampleMaker:
    """Makes the sample of a number, from a frame or by simulation."""

    simulated: SampleMaker
    """Makes those that no frame is cut for."""
    frames: tuple[str, ...]
    """Files with frames that are `large_enough`."""
    share: float
    """Of the samples that are cut from frames."""

    def __call__(self, number: int) -> dict[str, NDArray[np.generic]]:
        """Return one exposure, as `SampleMaker` does.

        ``planes`` have SUSPECT where the truth of a frame is not known.
        """
        # Not the draws of the simulation: its samples stay those of a training without frames.
        rng = np.random.default_rng((self.simulated.seed_of(number), 1))
        if rng.random() >= self.share:
            return self.simulated(number)
        file = self.frames[int(rng.integers(len(self.frames)))]
        data, planes = contaminated_anew(_cut(file, rng), rng, hits=self.simulated.data)
        return sample_of(data, planes, rng)


def large_enough(exposure: Exposure) -> list[FrameSlot]:
    """Return the frames of a file that are large enough."""
    return [slot for slot in exposure.slots if min(slot.science.shape[-2:]) >= LEAST]


def _cut(file: str, rng: np.random.Generator) -> Frame:
    """Return a part of a frame, as large as a simulated exposure where it can be."""
    with open_exposure(file) as exposure:
        slots = large_enough(exposure)
        slot = slots[int(rng.integers(len(slots)))]
        sides = slot.science.shape[-2:]
        first = [int(rng.integers(max(side - SIDE, 0) + 1)) for side in sides]
        rows, columns = (slice(f, min(f + SIDE, s)) for f, s in zip(first, sides, strict=True))
        return exposure.frame(slot, (rows, columns))


def contaminated_anew(
    frame: Frame, rng: np.random.Generator, *, hits: Path | None
) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """Return a frame with contaminants added to its pixels, and its planes.

    Trails and persistence bring photon noise of their own; hits, hot pixels and hot lines do not;
    dead pixels and lines replace what was there. Nothing else is added: the light of a frame is
    its own.

    Parameters
    ----------
    frame : Frame
        Counted pixels. Not modified.
    rng : Generator
        Source of chance.
    hits : Path, optional
        Library of hits.

    Returns
    -------
    data : (ny, nx) float32
        In the unit of the frame; NaN where the frame has no value.
    planes : (ny, nx) uint32
        What was added, what the frame's own flags tell, BRIGHT, and SUSPECT where it is not known.
    """
    valid = np.isfinite(frame.data)
    values, state = BackgroundSigma(box=_MESH).forward(frame.data, valid)
    level, noise = float(np.median(state.offset)), float(np.median(state.width))
    detector = frame.detector
    scale = detector.scale(frame.unit) or _USUAL_NOISE / noise
    noise *= scale
    # Photons of the sky, whatever bias is left and whatever sky was subtracted: they made noise.
    sky = max(noise**2 - (detector.read_noise or 0.0) ** 2, 0.0)
    before = np.where(valid, frame.data.astype(np.float64) - level, 0.0) * scale + sky
    image, added = _with_contaminants(before.copy(), rng, sky=sky, noise=noise, hits=hits)
    if detector.saturation is not None:
        ceiling = (detector.saturation - level) * scale + sky
        image = np.minimum(image, np.maximum(before, ceiling))
    data = np.where(valid, (image - sky) / scale + level, np.nan).astype(np.float32)
    added[~valid] = 0
    own = observed_truth(frame, values, noise=noise)
    own[added != 0] &= ~_SUSPECT
    return data, np.where((added & _LOWERED) != 0, added, own | added)


def _with_contaminants(
    image: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    sky: float,
    noise: float,
    hits: Path | None,
) -> tuple[NDArray[np.float64], NDArray[np.uint32]]:
    chosen = {name for name, chance in CHANCES.items() if rng.random() < chance}
    before, planes = image.copy(), np.zeros(image.shape, dtype=np.uint32)
    if "trails" in chosen:
        fwhm = log_uniform(rng, PsfRange().fwhm)
        planes |= add_trails(image, rng, noise=noise, fwhm=fwhm)
    if "persistence" in chosen:
        planes |= add_persistence(image, rng, noise=noise)
    image += np.sqrt(np.maximum(image - before, 0)) * rng.standard_normal(image.shape)
    if "cosmic_rays" in chosen:
        planes |= add_cosmic_rays(image, rng, noise=noise, data=hits)
    for name, add in _ADDED.items():
        if name in chosen:
            planes |= add(image, rng, noise=noise)
    for name, replace in _DEAD.items():
        if name in chosen and sky >= _DARK * noise:
            dead = replace(image, rng, sky=sky, noise=noise)
            planes = np.where(dead != 0, dead, planes)
    return image, planes


def observed_truth(
    frame: Frame, values: NDArray[np.float32], *, noise: float
) -> NDArray[np.uint32]:
    """Return what is known of a frame as it was taken.

    What neither the frame's flags nor its values tell counts as absent, but for what is doubtful:
    pixels that are bad without a cause; hits, hot and dead pixels of the flags that cannot be
    seen; where no flag names a hit, pixels that stand out from their neighbors as hits do; where
    nothing tells saturation, bright ones.

    Parameters
    ----------
    frame : Frame
        Not modified.
    values : (ny, nx) float32
        Its pixels without sky, in units of the noise of the sky.
    noise : float
        That noise in electrons.

    Returns
    -------
    (ny, nx) uint32
        Planes that the network knows, and SUSPECT where it is doubtful which they are.
    """
    from scipy.ndimage import median_filter  # noqa: PLC0415 - slow to import

    planes = frame.flags & _TOLD
    doubtful = ((frame.flags & _UNKNOWN) != 0) & (planes == 0)
    names_hits = bool((planes & _CR).any())
    for kind, unseen in ((_RAISED, values < _SEEN), (_LOWERED, values > -_SEEN)):
        doubtful |= ((planes & kind) != 0) & unseen
        planes[unseen] &= ~kind
    # The median takes out hits and hot pixels, which are not light.
    bright = bright_planes(median_filter(values, 3), noise=1.0)
    limit = frame.detector.saturation
    if limit is not None:
        planes |= np.where(frame.data >= limit, _SAT, np.uint32(0))
    elif not (planes & _SAT).any():
        doubtful |= bright != 0
    if not names_hits:
        doubtful |= _sharp(values, noise=noise)
    return np.asarray(planes | bright | np.where(doubtful, _SUSPECT, np.uint32(0)))


def _sharp(values: NDArray[np.float32], *, noise: float) -> NDArray[np.bool_]:
    """Return pixels that differ from their neighbors more than those do from the sky, and rims.

    The core of a star does so only where its FWHM is below 2.5 pixels.
    """
    from scipy.ndimage import binary_dilation, convolve  # noqa: PLC0415 - slow to import

    around = convolve(values, _NEIGHBORS.astype(np.float32), mode="nearest")
    light = np.maximum(around, 0)
    detail = values - around
    # Variances of a pixel and of the mean of eight, with the photons of the light beneath.
    deviation = np.sqrt(9 / 8 * (1 + light / noise))
    found = (detail > _SHARP * deviation) & (detail > light)
    return np.asarray(binary_dilation(found, np.ones((3, 3))))
