"""What reaches the chip as light: layers over a sky, each with its truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.simulate.draws import add_stamp, log_uniform, uniform
from astroclean.simulate.injected.afterglow import draw_afterglow
from astroclean.simulate.injected.clouds import draw_nebula
from astroclean.simulate.injected.ground import shown
from astroclean.simulate.injected.interference import draw_fringes
from astroclean.simulate.injected.passages import draw_passages, render_passage
from astroclean.simulate.injected.pupils import Pupil, diffraction, draw_pupil
from astroclean.simulate.injected.reflections import draw_reflections

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.simulate.injected.ground import Ground
    from astroclean.simulate.injected.passages import Passage

__all__ = ["Layers", "beneath", "lit"]

_HALF = 256
"""Pixels to which spikes are followed."""
_CORE = 3.0
"""FWHM inside which a spike is not told from its star."""
_FRINGE = 0.5
"""Local amplitude over the noise of empty sky from which it is true FRINGE."""


@dataclass(eq=False)
class Layers:
    """What was added to a sky as light."""

    light: NDArray[np.float64]
    """(ny, nx) electrons, also negative where fringes are dark."""
    planes: NDArray[np.uint32]
    """(ny, nx), what became true."""
    paths: NDArray[np.bool_]
    """(ny, nx), within half the greatest light across a passage, lit or not."""
    passages: list[Passage]


def beneath(ground: Ground) -> NDArray[np.float64]:
    """Return the electrons over the sky, without the noise of a measured frame."""
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - slow to import

    image = gaussian_filter(ground.image, 1.0) if ground.counted else ground.image
    return np.asarray(np.maximum(image - ground.sky, 0))


def lit(rng: np.random.Generator, ground: Ground, chosen: frozenset[str]) -> Layers:
    """Draw the layers of light of the classes chosen.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    ground : Ground
        Sky. Not modified.
    chosen : frozenset of str
        Names of classes; those that are no light are passed over.

    Returns
    -------
    Layers
        Their sum and their truth.
    """
    shape, noise, fwhm = ground.shape, ground.noise, ground.optics.fwhm
    layers = Layers(np.zeros(shape), np.zeros(shape, np.uint32), np.zeros(shape, bool), [])
    over, pupil = beneath(ground), draw_pupil(rng)

    def add(layer: NDArray[np.float64], plane: MaskPlane, least: float) -> None:
        under = np.maximum(over + layers.light, 0)
        layers.planes |= shown(under, layer, plane, noise=noise, least=(least, 0.0))
        layers.light += layer

    if "nebulosity" in chosen:
        add(noise * log_uniform(rng, (4, 60)) * draw_nebula(rng, shape), MaskPlane.NEBULOSITY, 1)
    if "spikes" in chosen:
        _add_spikes(rng, ground, layers, over=over, pupil=pupil)
    if "ghosts" in chosen:
        add(noise * draw_reflections(rng, shape, pupil), MaskPlane.GHOST, 0.5)
    if "trails" in chosen:
        for passage in draw_passages(rng, shape, fwhm=fwhm):
            light, path = render_passage(rng, shape, passage, fwhm=fwhm)
            add(noise * light, MaskPlane.TRAIL, 1)
            layers.paths |= path
            layers.passages.append(passage)
    if "fringes" in chosen:
        pattern, amplitude = draw_fringes(rng, shape)
        layers.planes[amplitude > _FRINGE] |= np.uint32(MaskPlane.FRINGE)
        layers.light += noise * pattern
    if "persistence" in chosen:
        add(noise * draw_afterglow(rng, shape, fwhm=fwhm), MaskPlane.PERSISTENCE, 1)
    return layers


def _add_spikes(
    rng: np.random.Generator,
    ground: Ground,
    layers: Layers,
    *,
    over: NDArray[np.float64],
    pupil: Pupil,
) -> None:
    """Add the diffraction of vanes to the bright stars: true above 2 sigma and a quarter."""
    if not len(ground.stars):
        return
    fwhm = ground.optics.fwhm
    pattern = diffraction(
        pupil,
        _HALF,
        pixels=min(log_uniform(rng, (0.25, 0.8)), fwhm / 1.1),
        band=uniform(rng, (0.05, 0.2)),
        seeing=fwhm,
    )
    y, x = np.ogrid[: ground.shape[0], : ground.shape[1]]
    spikes, far = np.zeros(ground.shape), np.ones(ground.shape, dtype=bool)
    for px, py, flux in ground.stars:
        add_stamp(spikes, flux * pattern, int(py) - _HALF, int(px) - _HALF)
        far &= np.hypot(x - px, y - py) > _CORE * fwhm
    under = np.maximum(over + layers.light, 0)
    truth = shown(under, spikes, MaskPlane.SPIKE, noise=ground.noise, least=(2.0, 0.25))
    layers.planes |= np.where(far, truth, np.uint32(0))
    layers.light += spikes
