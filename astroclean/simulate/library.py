"""A library of scenes and contaminants without noise, rendered once and read from disk.

To render a field takes most of the time of a simulation. A library holds fields and layers of each
class, from which any number of exposures are put together: other pairs, turned and mirrored, with
another camera, sky and noise. Nearly everything scales with the noise of empty sky, so layers are
stored in its units; hits are stored in electrons, dead values in units of the sky.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.errors import ConfigurationError, FitsReadError, OutputError
from astroclean.simulate.contaminants.bright import bright_planes
from astroclean.simulate.contaminants.cosmic_rays import add_cosmic_rays
from astroclean.simulate.contaminants.crosstalk import add_crosstalk
from astroclean.simulate.contaminants.fringes import add_fringes
from astroclean.simulate.contaminants.ghosts import add_ghosts
from astroclean.simulate.contaminants.lines import add_dead_lines, add_hot_lines
from astroclean.simulate.contaminants.nebulosity import add_nebulosity
from astroclean.simulate.contaminants.overscan import add_overscan
from astroclean.simulate.contaminants.persistence import add_persistence
from astroclean.simulate.contaminants.pixels import (
    add_dead_clusters,
    add_dead_pixels,
    add_hot_pixels,
)
from astroclean.simulate.contaminants.spikes import add_spikes
from astroclean.simulate.contaminants.trails import add_trails
from astroclean.simulate.contaminated import ContaminatedConfig, draw_light
from astroclean.simulate.detector import draw_camera
from astroclean.simulate.psfs import draw_psf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["KINDS", "LayerKind", "Library", "build_library", "open_library"]

_FORMAT = 1
_INDEX = "library.json"
_MARK = 76
"""Ends the seeds of a library: (5, 1, 0) would draw as (5, 1), which is another's seed."""


@dataclass(frozen=True)
class LayerKind:
    """How the layers of a class enter an exposure."""

    plane: MaskPlane
    step: str
    """``sky``, ``particles``, ``lost``, ``other`` or ``unexposed``: of `composition.Layers`."""
    unit: str = "noise"
    """What values are multiplied by: ``noise`` or ``sky`` of the camera, or ``electron``."""
    of_scene: bool = False
    """Whether layer n belongs to field n and to no other."""
    turns: bool = True
    """Whether rows may become columns; not where charge bleeds."""


KINDS = {
    "bright": LayerKind(MaskPlane.BRIGHT, "sky", of_scene=True),
    "spikes": LayerKind(MaskPlane.SPIKE, "sky", of_scene=True),
    "trails": LayerKind(MaskPlane.TRAIL, "sky", of_scene=True),
    "nebulosity": LayerKind(MaskPlane.NEBULOSITY, "sky"),
    "ghosts": LayerKind(MaskPlane.GHOST, "sky"),
    "fringes": LayerKind(MaskPlane.FRINGE, "sky"),
    "persistence": LayerKind(MaskPlane.PERSISTENCE, "sky", turns=False),
    "cosmic_rays": LayerKind(MaskPlane.COSMIC_RAY, "particles", "electron"),
    "hot_pixels": LayerKind(MaskPlane.HOT_PIXEL, "particles"),
    "hot_lines": LayerKind(MaskPlane.HOT_LINE, "particles"),
    "dead_pixels": LayerKind(MaskPlane.DEAD_PIXEL, "lost", "sky"),
    "dead_lines": LayerKind(MaskPlane.DEAD_LINE, "lost", "sky"),
    "dead_clusters": LayerKind(MaskPlane.DEAD_LINE, "lost", "sky"),
    "crosstalk": LayerKind(MaskPlane.CROSSTALK, "other", turns=False),
    "overscan": LayerKind(MaskPlane.OVERSCAN, "unexposed", "sky"),
}
"""Classes by the names of `contaminated.CHANCES`. ``bright`` is the light of the field itself."""


@dataclass(frozen=True, eq=False)
class Library:
    """Stored layers, mapped from disk: they are read when they are used."""

    folder: Path
    shape: tuple[int, int]
    values: dict[str, NDArray[np.float32]]
    """Class to (n, ny, nx) layers, in the unit of the class."""
    truth: dict[str, NDArray[np.bool_]]
    """Class to (n, ny, nx), where the class is true; not for hits, whose truth is a threshold."""
    hit_threshold: float
    """Standard deviations of empty sky above which charge is a true hit."""

    @property
    def scenes(self) -> int:
        """How many fields there are."""
        return len(self.values["bright"])


def build_library(
    folder: Path,
    *,
    seed: int,
    shape: tuple[int, int] = (256, 256),
    counts: tuple[int, int] = (64, 32),
    config: ContaminatedConfig | None = None,
) -> Library:
    """Render a library and write it.

    Parameters
    ----------
    folder : Path
        Made where it is missing; must not hold a library.
    seed : int
        The same seed gives the same bytes. Layer n of a class does not depend on how many there
        are.
    shape : (int, int)
        (ny, nx) in pixels; that of the tiles.
    counts : (int, int)
        Fields, and layers of each class. A tile of 256 x 256 pixels takes 320 kB a layer.
    config : ContaminatedConfig, optional
        Ranges; of its chances that of ``bright_star`` alone is used.

    Returns
    -------
    Library
        As :func:`open_library` gives it.

    Raises
    ------
    OutputError
        The folder cannot be made or holds a library.
    """
    config = config or ContaminatedConfig()
    if (folder / _INDEX).exists():
        raise OutputError("holds a library", where=str(folder), remedy="Name another folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot be made: {error.strerror}", where=str(folder)) from error
    scenes = ("bright", "spikes", "trails")
    _write(folder, scenes, counts[0], shape, lambda n: _scene(seed, n, shape, config))
    for number, (name, draw) in enumerate(_DRAWS.items()):
        layers = partial(_layer, draw, (seed, number + 1), shape, config)
        _write(folder, (name,), counts[1], shape, layers)
    told = {
        "format": _FORMAT,
        "seed": seed,
        "shape": shape,
        "hit_threshold": config.cosmic_rays.threshold,
        "config": config.model_dump(warnings=False),
    }
    # Written last: a folder with an index is whole.
    (folder / _INDEX).write_text(json.dumps(told, indent=2, default=str), "utf-8")
    return open_library(folder)


Layer = tuple["NDArray[np.float64]", "NDArray[np.bool_]"]


def _write(
    folder: Path,
    names: tuple[str, ...],
    count: int,
    shape: tuple[int, int],
    draw: Callable[[int], Iterator[Layer]],
) -> None:
    form: dict[str, Any] = {"mode": "w+", "shape": (count, *shape)}
    open_map = np.lib.format.open_memmap
    values = [open_map(folder / f"{name}.npy", dtype=np.float32, **form) for name in names]
    truth = [open_map(folder / f"{name}_truth.npy", dtype=np.bool_, **form) for name in names]
    for number in range(count):
        for index, (layer, is_true) in enumerate(draw(number)):
            values[index][number], truth[index][number] = layer, is_true


def _scene(
    seed: int, number: int, shape: tuple[int, int], config: ContaminatedConfig
) -> Iterator[Layer]:
    """Yield the light of a field, and the layers that belong to it, in units of the noise."""
    rng = np.random.default_rng((seed, 0, number, _MARK))
    psf = draw_psf(rng, config.psf)
    is_bright = bool(rng.random() < config.chances.get("bright_star", 0))
    light, _, stars = draw_light(rng, shape, psf, noise=1.0, config=config, is_bright=is_bright)
    yield light, bright_planes(light, noise=1.0) != 0
    fwhm = psf.fwhm_pixels
    layer = np.zeros(shape)
    yield layer, add_spikes(layer, rng, stars, noise=1.0, fwhm=fwhm) != 0
    layer = np.zeros(shape)
    yield layer, add_trails(layer, rng, noise=1.0, fwhm=fwhm) != 0


def _layer(
    draw: Callable[..., Any],
    seed: tuple[int, int],
    shape: tuple[int, int],
    config: ContaminatedConfig,
    number: int,
) -> Iterator[Layer]:
    """Yield one layer of a class."""
    layer = np.zeros(shape)
    rng = np.random.default_rng((*seed, number, _MARK))
    yield layer, draw(layer, rng, config) != 0


def _hits(layer: Any, rng: np.random.Generator, config: ContaminatedConfig) -> Any:
    # The truth is a threshold that the camera sets.
    return add_cosmic_rays(layer, rng, noise=1.0, limits=config.cosmic_rays, data=config.data)


def _crosstalk(layer: Any, rng: np.random.Generator, config: ContaminatedConfig) -> Any:
    """Draw cross-talk from a field of its own: another amplifier sees another part of the sky."""
    camera, psf = draw_camera(rng, config.camera), draw_psf(rng, config.psf)
    shape = (layer.shape[0], layer.shape[1])
    light, _, _ = draw_light(rng, shape, psf, noise=1.0, config=config, is_bright=False)
    image = light.copy()
    found = add_crosstalk(image, rng, noise=1.0, full_well=camera.ceiling / camera.noise)
    layer += image - light
    return found


_DRAWS: dict[str, Callable[..., Any]] = {
    "nebulosity": lambda layer, rng, _: add_nebulosity(layer, rng, noise=1.0),
    "ghosts": lambda layer, rng, _: add_ghosts(layer, rng, noise=1.0),
    "fringes": lambda layer, rng, _: add_fringes(layer, rng, noise=1.0),
    "persistence": lambda layer, rng, _: add_persistence(layer, rng, noise=1.0),
    "cosmic_rays": _hits,
    "hot_pixels": lambda layer, rng, _: add_hot_pixels(layer, rng, noise=1.0),
    "hot_lines": lambda layer, rng, _: add_hot_lines(layer, rng, noise=1.0),
    # Dead pixels have a share of the sky; the scatter of those without, 0.02 sigma, is left out.
    "dead_pixels": lambda layer, rng, _: add_dead_pixels(layer, rng, sky=1.0, noise=0.0),
    "dead_lines": lambda layer, rng, _: add_dead_lines(layer, rng, sky=1.0, noise=0.0),
    "dead_clusters": lambda layer, rng, _: add_dead_clusters(layer, rng, sky=1.0, noise=0.0),
    "crosstalk": _crosstalk,
    "overscan": lambda layer, rng, _: add_overscan(layer, rng, sky=1.0, noise=0.0),
}


def open_library(folder: Path) -> Library:
    """Open a library that was built before.

    Parameters
    ----------
    folder : Path
        Where :func:`build_library` wrote it.

    Returns
    -------
    Library
        Its arrays are copies on write: nothing that is done to them reaches the disk.

    Raises
    ------
    FitsReadError
        There is no library, or it was not finished.
    ConfigurationError
        It has another format.
    """
    try:
        told = json.loads((folder / _INDEX).read_text("utf-8"))
        values = {name: np.load(folder / f"{name}.npy", mmap_mode="c") for name in KINDS}
        truth = {name: np.load(folder / f"{name}_truth.npy", mmap_mode="c") for name in KINDS}
    except (OSError, ValueError) as error:
        raise FitsReadError(
            f"no library of layers: {error}", where=str(folder), remedy="Make it anew."
        ) from error
    if told["format"] != _FORMAT:
        raise ConfigurationError(
            f"{folder}: a library of format {told['format']}, not {_FORMAT}. Make it anew."
        )
    shape = (int(told["shape"][0]), int(told["shape"][1]))
    return Library(folder, shape, values, truth, float(told["hit_threshold"]))
