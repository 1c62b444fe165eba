"""Fields to learn from: what the network sees, and the truth at 450 um."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.image.grid import Grid
from astroclean.simulate.far_infrared.band import MapRange
from astroclean.simulate.far_infrared.population import PopulationRange
from astroclean.simulate.far_infrared.scene import FarInfraredConfig, simulate_far_infrared
from astroclean_spire_sr.bands import PER_COARSE, coarse_grid, on_grid
from astroclean_spire_sr.planes import BANDS, first_guess, planes_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.simulate.scene import Scene
    from astroclean_spire_sr.bands import BandMap

__all__ = [
    "SIDE",
    "VALIDATION",
    "SampleMaker",
    "clean_sky",
    "drawn_scene",
    "is_real",
    "maps_of",
    "real_sky",
    "source_targets",
]

SIDE = 192
"""Pixels of 3 arcsec along a field: 576 arcsec."""
_FRAME = 96
VALIDATION = 10_000_000
"""Added to the number of a sample of the validation."""
_LISTED = 1024
"""Sources of a field that are kept, the brightest."""
_FAINTEST = 0.5
"""mJy."""
_SUBSETS = (
    (("250", "350", "500"), 0.50),
    (("250", "350", "500", "24"), 0.20),
    (("250",), 0.14),
    (("250", "350"), 0.07),
    (("250", "500"), 0.04),
    (("250", "24"), 0.05),
)
_WITH_GUESS = 0.75


def clean_sky() -> FarInfraredConfig:
    """Return skies as one would wish them, of any depth."""
    return FarInfraredConfig(
        bands=BANDS,
        population=PopulationRange(brighter=(-0.25, 0.05), denser=(-0.15, 0.15)),
        maps=MapRange(noise=(0.8, 9.0)),
        clustering=(0.1, 0.9),
    )


def real_sky() -> FarInfraredConfig:
    """Return skies as they are: cirrus, stripes, beams and gains that err, galaxies near by."""
    return FarInfraredConfig(
        bands=BANDS,
        population=PopulationRange(
            brighter=(-0.3, 0.1),
            denser=(-0.2, 0.2),
            faint_slope=(1.0, 1.4),
            temperature=(28.0, 39.0),
            warming=(1.5, 6.0),
            temperature_scatter=(0.06, 0.22),
            beta=(1.4, 2.2),
        ),
        maps=MapRange(
            noise=(0.8, 9.0),
            noise_ratio=(0.6, 1.6),
            noise_error=(0.85, 1.2),
            uneven=(1.0, 2.0),
            correlated=(0.0, 0.5),
            gain=(0.93, 1.07),
            shift=(0.0, 1.5),
            wider=(0.97, 1.04),
            ellipticity=(0.0, 0.05),
            wings=(0.0, 0.04),
            cirrus=(-6.0, 8.0),
            uncovered=0.15,
        ),
        clustering=(0.0, 1.1),
        resolved=(0.0, 60.0),
    )


def maps_of(scene: Scene, bands: tuple[str, ...]) -> dict[str, BandMap]:
    """Return bands of a scene on the grid that the network sees."""
    grid = coarse_grid(Grid.from_frame(scene.bands["250"].frame))
    maps = {}
    for name in bands:
        frame = scene.bands[name].frame
        assert frame.uncertainty is not None  # simulated ones tell it
        own = Grid.from_frame(frame)
        maps[name] = on_grid(frame.data, frame.uncertainty.array, own=own, grid=grid)
    return maps


def is_real(number: int) -> bool:
    """Return whether the field of a number has the faults of real maps: every second one."""
    return bool(number % 2)


def drawn_scene(rng: np.random.Generator, number: int, *, bands: tuple[str, ...]) -> Scene:
    """Return the field of a number, clean ones and real ones in turns."""
    config = (real_sky() if is_real(number) else clean_sky()).model_copy(update={"bands": bands})
    seed = int(rng.integers(2**62))
    return simulate_far_infrared(seed=seed, shape=(_FRAME, _FRAME), config=config)


class SampleMaker:
    """Makes the field of a number: clean ones and real ones in turns.

    Parameters
    ----------
    seed : int
        Of the training.
    offset : int
        Added to the numbers of fields.
    """

    def __init__(self, seed: int, *, offset: int = 0) -> None:
        self.seed, self.offset = seed, offset

    def __call__(self, index: int) -> dict[str, NDArray[Any]]:
        """Return ``planes``, ``truth``, ``known`` and ``sources`` of a field."""
        number = index + self.offset
        rng = np.random.default_rng((self.seed, number))
        scene = drawn_scene(rng, number, bands=BANDS)
        share = np.cumsum([part for _, part in _SUBSETS])
        bands = _SUBSETS[int(np.searchsorted(share, rng.random() * share[-1]))][0]
        maps = maps_of(scene, bands)
        guess = first_guess(maps) if rng.random() < _WITH_GUESS else None
        assert scene.fine is not None
        return {
            "planes": planes_of(maps, guess).astype(np.float16),
            "truth": scene.fine.data.astype(np.float16),
            "known": maps["250"].known,
            "sources": _listed(scene),
        }


def _listed(scene: Scene) -> NDArray[np.float32]:
    """Return rows (y, x, flux) of the brightest sources: pixels of 1 arcsec, mJy; then NaN."""
    assert scene.sources is not None
    assert scene.fine is not None
    table = scene.sources.table
    step = scene.fine.grid.step if scene.fine.grid is not None else 1.0
    flux = np.asarray(table["flux"], dtype=float)
    chosen = np.flatnonzero(flux >= _FAINTEST)[:_LISTED]
    rows = np.full((_LISTED, 3), np.nan, dtype=np.float32)
    for column, name in enumerate(("y", "x")):
        rows[: chosen.size, column] = (np.asarray(table[name])[chosen] + 0.5) / step - 0.5
    rows[: chosen.size, 2] = flux[chosen]
    return rows


def source_targets(rows: NDArray[np.floating], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return what the source head is to say.

    Parameters
    ----------
    rows : (n, 3) float
        (y, x, flux) in pixels of 1 arcsec and mJy; NaN: none.
    shape : (int, int)
        (ny, nx) in pixels of 3 arcsec.

    Returns
    -------
    (4, ny, nx) float32
        Flux of the brightest source whose centre lies in a pixel, 0 where there is none; of the
        brightest in the 3 x 3 pixels around: its offset (x, y) from the pixel's middle, in pixels,
        and its flux, 0 where there is none.
    """
    targets = np.zeros((4, *shape), dtype=np.float32)
    rows = rows[np.isfinite(rows[:, 2])]
    rows = rows[np.argsort(rows[:, 2], kind="stable")]  # brighter ones are written last
    y, x = ((rows[:, i] + 0.5) / PER_COARSE - 0.5 for i in (0, 1))
    row, column = np.rint(y).astype(int), np.rint(x).astype(int)
    inside = (row >= 0) & (column >= 0) & (row < shape[0]) & (column < shape[1])
    targets[0, row[inside], column[inside]] = rows[inside, 2]
    # Each source in the 3 x 3 pixels around it, faint ones first.
    j, i = (np.repeat(step, len(rows)) for step in np.indices((3, 3)).reshape(2, 9) - 1)
    order = np.argsort(np.tile(rows[:, 2], 9), kind="stable")
    j, i = (np.tile(own, 9)[order] + step[order] for own, step in ((row, j), (column, i)))
    x, y, flux = (np.tile(values, 9)[order] for values in (x, y, rows[:, 2]))
    near = (j >= 0) & (i >= 0) & (j < shape[0]) & (i < shape[1])
    j, i = j[near], i[near]
    targets[1:, j, i] = x[near] - i, y[near] - j, flux[near]
    return targets
