"""Batches of contaminated tiles from a library, put together by torch on a CPU or a GPU.

The same order and arithmetic as a full simulation (`composition`), with layers in place of draws.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.stage.options import Options
from astroclean.simulate.composition import Layers, compose, exposed, stored
from astroclean.simulate.contaminated import BLEEDING, CHANCES
from astroclean.simulate.detector import Camera, CameraRange, draw_camera
from astroclean.simulate.library import KINDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.simulate.library import LayerKind, Library

__all__ = ["DrawConfig", "TileDraws", "Tiles"]

_MARK = 84
"""Ends the seeds of batches, so that they draw nothing alike with those of libraries."""
_STEPS = ("sky", "particles", "lost", "other", "unexposed")


class DrawConfig(Options):
    """What is drawn anew for every tile."""

    chances: Mapping[str, float] = CHANCES
    """Probability of each class."""
    camera: CameraRange = CameraRange()
    noisy: bool = True
    """Whether photons and the amplifier make noise."""


@dataclass(frozen=True, eq=False)
class Tiles:
    """A batch, on the device of its draws."""

    data: Any
    """(n, ny, nx) float32 tensor, adu with bias, whole numbers."""
    clean: Any
    """(n, ny, nx) float32 tensor, adu with bias: without noise and contaminants."""
    planes: Any
    """(n, ny, nx) uint32 tensor, bits of `MaskPlane`. Where a device has few operations for it,
    ``planes.view(torch.int32)`` has the same bits."""
    cameras: tuple[Camera, ...]
    """Of each tile: gain, noise, bias."""


@dataclass(frozen=True, eq=False)
class _Choice:
    """What a batch is made of; drawn with numpy, so that no device changes it."""

    cameras: tuple[Camera, ...]
    scenes: NDArray[np.int64]
    layers: dict[str, tuple[NDArray[np.int64], NDArray[np.int64], tuple[bool, bool, bool]]]
    """Class to (tiles that have it, their layers, how these are turned)."""
    bleeds: NDArray[np.bool_]
    noise_seed: int


class TileDraws:
    """Draws batches of tiles.

    Parameters
    ----------
    library : Library
        Layers; copied to the device where that is not the CPU.
    seed : int
        Batch n of a seed is the same on every run on one type of device. What is chosen is the
        same on all; the noise is each device's own.
    device : str
        As torch names it: ``cpu``, ``cuda``, ``cuda:1``.
    config : DrawConfig, optional
        Chances and cameras.
    """

    def __init__(
        self,
        library: Library,
        *,
        seed: int,
        device: str = "cpu",
        config: DrawConfig | None = None,
    ) -> None:
        import torch  # noqa: PLC0415 - optional extra

        self._torch = torch
        self._library, self._seed, self._device = library, seed, device
        self._config = config or DrawConfig()
        self._values = {n: torch.from_numpy(a).to(device) for n, a in library.values.items()}
        self._truth = {n: torch.from_numpy(a).to(device) for n, a in library.truth.items()}

    def batch(self, number: int, size: int) -> Tiles:
        """Return a batch.

        Parameters
        ----------
        number : int
            Which; batches do not depend on one another.
        size : int
            How many tiles.

        Returns
        -------
        Tiles
            Data and truth.
        """
        torch = self._torch
        choice = self._choice(number, size)
        generator = torch.Generator(self._device).manual_seed(choice.noise_seed)
        gain, bias, ceiling, noise, sky = (
            self._column(choice, name) for name in ("gain", "bias", "ceiling", "noise", "sky")
        )
        light, planes = self._gathered("bright", choice)
        expected = light + sky
        layers = self._layers(choice, generator if self._config.noisy else None)
        clean = expected / gain + bias
        electrons, planes = compose(expected, planes, layers, ceiling=ceiling, threshold=noise)
        if self._config.noisy:
            electrons = electrons + self._column(choice, "read_noise") * self._normal(
                electrons, generator
            )
        data = stored(electrons, gain=gain, bias=bias)
        return Tiles(data, clean, planes.view(torch.uint32), choice.cameras)

    def _choice(self, number: int, size: int) -> _Choice:
        rng = np.random.default_rng((self._seed, number, _MARK))
        cameras = tuple(draw_camera(rng, self._config.camera) for _ in range(size))
        scenes = rng.integers(0, self._library.scenes, size)
        ny, nx = self._library.shape
        of_scene = _turned(rng, ny == nx)
        layers = {"bright": (np.arange(size), scenes, of_scene)}
        for name, kind in KINDS.items():
            if name == "bright":
                continue
            tiles = np.flatnonzero(rng.random(size) < self._config.chances.get(name, 0.0))
            which = rng.integers(0, len(self._library.values[name]), tiles.size)
            turned = _turned(rng, ny == nx and kind.turns)
            if kind.of_scene:
                which, turned = scenes[tiles], of_scene
            layers[name] = (tiles, which, turned)
        bleeds = rng.random(size) < BLEEDING
        return _Choice(cameras, scenes, layers, bleeds, int(rng.integers(0, 2**62)))

    def _column(self, choice: _Choice, name: str) -> Any:
        """Return a value of each camera, (n, 1, 1)."""
        values = [getattr(camera, name) for camera in choice.cameras]
        return self._torch.tensor(values, device=self._device, dtype=self._torch.float32)[
            :, None, None
        ]

    def _gathered(self, name: str, choice: _Choice) -> tuple[Any, Any]:
        """Return the layers of a class in electrons, of those tiles that have it, and planes."""
        torch, kind = self._torch, KINDS[name]
        tiles, which, turned = choice.layers[name]
        index = torch.from_numpy(which).to(self._device)
        values = _mirrored(self._values[name].index_select(0, index), turned)
        factor = self._factor(kind, choice)[torch.from_numpy(tiles).to(self._device)]
        values = values * factor
        if kind.unit == "electron":
            noise = self._column(choice, "noise")[torch.from_numpy(tiles).to(self._device)]
            truth = values > self._library.hit_threshold * noise
        else:
            truth = _mirrored(self._truth[name].index_select(0, index), turned)
        return values, truth * torch.tensor(int(kind.plane), dtype=torch.int32)

    def _factor(self, kind: LayerKind, choice: _Choice) -> Any:
        if kind.unit == "electron":
            return self._torch.ones((len(choice.cameras), 1, 1), device=self._device)
        return self._column(choice, kind.unit)

    def _layers(self, choice: _Choice, generator: Any) -> Layers:
        """Return what happens to the tiles, all layers of a step together."""
        torch = self._torch
        shape = (len(choice.cameras), *self._library.shape)
        steps = {
            step: (
                torch.zeros(shape, device=self._device),
                torch.zeros(shape, device=self._device, dtype=torch.int32),
            )
            for step in _STEPS
        }
        for name, (tiles, _, _) in choice.layers.items():
            if name == "bright" or not tiles.size:
                continue
            values, found = self._gathered(name, choice)
            at = torch.from_numpy(tiles).to(self._device)
            total, planes = steps[KINDS[name].step]
            if KINDS[name].unit == "sky":  # it takes the place of what was there
                total[at] = torch.where(found != 0, values, total[at])
            else:
                total[at] += values
            planes[at] |= found
        bleeding = torch.from_numpy(choice.bleeds).to(self._device)[:, None, None]
        noise = None if generator is None else lambda e: self._counted(e, generator)
        return Layers(**steps, bleeding=bleeding, noise=noise)

    def _counted(self, expected: Any, generator: Any) -> Any:
        return exposed(
            expected,
            self._normal(expected, generator),
            lambda few: self._torch.poisson(few, generator=generator),
        )

    def _normal(self, like: Any, generator: Any) -> Any:
        return self._torch.randn(like.shape, generator=generator, device=self._device)


def _turned(rng: np.random.Generator, may_turn: bool) -> tuple[bool, bool, bool]:
    """Draw one of the eight ways to lay a square: upside down, mirrored, rows for columns."""
    flips = rng.random(3) < 0.5  # noqa: PLR2004 - coins
    return bool(flips[0]), bool(flips[1]), bool(flips[2]) and may_turn


def _mirrored(layers: Any, how: tuple[bool, bool, bool]) -> Any:
    rows, columns, turns = how
    axes = [axis for axis, flips in ((-2, rows), (-1, columns)) if flips]
    layers = layers.flip(axes) if axes else layers
    return layers.swapaxes(-1, -2) if turns else layers
