"""From expected light to data numbers: photons, charge, full wells, defects, amplifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.simulate.injected.amplifiers import draw_crosstalk, draw_unexposed
from astroclean.simulate.injected.defects import dead_level, draw_defects, hot_charge
from astroclean.simulate.injected.ground import shown
from astroclean.simulate.injected.layers import beneath
from astroclean.simulate.injected.particles import draw_hits
from astroclean.simulate.injected.wells import filled_wells

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from astroclean.simulate.injected.ground import Ground
    from astroclean.simulate.injected.layers import Layers

__all__ = ["read_out"]

_LARGEST = 65535
_FEW = 1000.0
"""Electrons up to which Poisson's law is drawn from; above, the normal law is the same."""
_DEAD = np.uint32(MaskPlane.DEAD_LINE | MaskPlane.DEAD_PIXEL)


def read_out(
    rng: np.random.Generator,
    ground: Ground,
    layers: Layers,
    told: tuple[NDArray[np.uint32], frozenset[str]],
    data: Path | None,
) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """Return what is read, and everything that is true of it.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    ground : Ground
        Sky. Not modified.
    layers : Layers
        Light over it. Not modified.
    told : (array, frozenset of str)
        Planes that are true so far, and the classes chosen.
    data : Path, optional
        Folder of real hits and maps.

    Returns
    -------
    data : (ny, nx) float32
        adu.
    planes : (ny, nx) uint32
        A dead pixel or overscan has lost what was true of it before.
    """
    planes, chosen = told
    image = _counted(rng, ground, layers)
    image, found = _charged(rng, ground, layers, (image, chosen), data)
    planes = planes | found
    image, full = filled_wells(rng, image, ground.chip, noise=ground.noise)
    planes |= full
    image, planes, replaced = _defective(rng, ground, (image, planes), chosen, data)
    is_raw = not ground.counted and not ground.correlation
    everywhere = np.ones(ground.shape, dtype=bool)
    noisy = everywhere if is_raw else replaced
    image = image + np.where(noisy, rng.normal(0, ground.chip.read_noise, ground.shape), 0)
    numbers = image / ground.chip.gain + ground.chip.bias
    if ground.chip.whole:
        numbers = np.clip(np.round(numbers), 0, _LARGEST)
    return numbers.astype(np.float32), planes


def _counted(rng: np.random.Generator, ground: Ground, layers: Layers) -> NDArray[np.float64]:
    """Return electrons with the noise of photons; a measured frame gets that of the layers."""
    if ground.counted:
        added = np.sqrt(np.abs(layers.light)) * rng.standard_normal(ground.shape)
        return np.asarray(ground.image + layers.light + added)
    expected = np.maximum(ground.image + layers.light, 0)
    counted = expected + np.sqrt(expected) * rng.standard_normal(ground.shape)
    few = expected < _FEW
    counted[few] = rng.poisson(expected[few])
    if not ground.correlation:
        return np.asarray(counted)
    return _resampled(rng, ground, expected, counted)


def _resampled(
    rng: np.random.Generator,
    ground: Ground,
    expected: NDArray[np.float64],
    counted: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return a stack: noise of photons and readout, correlated by the kernel of resampling."""
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - slow to import

    noise = counted - expected + rng.normal(0, ground.chip.read_noise, ground.shape)
    smooth = gaussian_filter(noise, ground.correlation)
    return np.asarray(expected + smooth * (noise.std() / max(float(smooth.std()), 1e-12)))


def _charged(
    rng: np.random.Generator,
    ground: Ground,
    layers: Layers,
    told: tuple[NDArray[np.float64], frozenset[str]],
    data: Path | None,
) -> tuple[NDArray[np.float64], NDArray[np.uint32]]:
    """Add hits, hot pixels and hot columns."""
    image, chosen = told
    noise, planes = ground.noise, np.zeros(ground.shape, np.uint32)
    if "cosmic_rays" in chosen:
        hits = draw_hits(rng, ground.shape, data=data)
        under = np.maximum(beneath(ground) + layers.light, 0)
        planes |= shown(under, hits, MaskPlane.COSMIC_RAY, noise=noise, least=(3.0, 0.0))
        image = image + hits
    defects = draw_defects(rng, ground.shape, data=data)
    if "hot_pixels" in chosen:
        image = image + hot_charge(rng, defects.pixels, noise=noise, alike=False)
        planes[defects.pixels] |= np.uint32(MaskPlane.HOT_PIXEL)
    if "hot_lines" in chosen:
        image = image + hot_charge(rng, defects.lines, noise=noise, alike=True)
        planes[defects.lines] |= np.uint32(MaskPlane.HOT_LINE)
    return image, planes


def _defective(
    rng: np.random.Generator,
    ground: Ground,
    told: tuple[NDArray[np.float64], NDArray[np.uint32]],
    chosen: frozenset[str],
    data: Path | None,
) -> tuple[NDArray[np.float64], NDArray[np.uint32], NDArray[np.bool_]]:
    """Replace dead pixels and overscan, add cross-talk; return also what was replaced."""
    image, planes = told
    replaced = np.zeros(ground.shape, dtype=bool)
    defects = draw_defects(rng, ground.shape, data=data)
    lines = defects.lines | defects.clusters
    for name, where, plane in (
        ("dead_pixels", defects.pixels, MaskPlane.DEAD_PIXEL),
        ("dead_lines", lines, MaskPlane.DEAD_LINE),
    ):
        if name in chosen:
            image = np.where(where, dead_level(rng, where, sky=ground.sky), image)
            planes = np.where(where, (planes & _DEAD) | np.uint32(plane), planes)
            replaced |= where
    if "crosstalk" in chosen:
        layer = draw_crosstalk(rng, image, ground)
        under = np.maximum(image - ground.sky, 0)
        planes |= shown(under, layer, MaskPlane.CROSSTALK, noise=ground.noise, least=(1.0, 0.0))
        image = image + layer
    if "overscan" in chosen:
        where, charge = draw_unexposed(rng, ground.shape, sky=ground.sky)
        image = np.where(where, charge, image)
        planes = np.where(where, np.uint32(MaskPlane.OVERSCAN), planes)
        replaced |= where
    return image, planes, replaced
