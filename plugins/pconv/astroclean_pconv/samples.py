"""Training samples: sources of known light on extended emission, in cut-outs with holes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from astroclean.inference.normalize import SigmaClipZscore
from astroclean.simulate.draws import log_uniform, uniform, whole
from astroclean.simulate.fields import render_stars
from astroclean_pconv import grounds
from astroclean_pconv.cutouts import SIDE, CutOut, cut
from astroclean_pconv.holes import HoleRule, measure_peaks, source_holes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from astroclean_pconv.grounds import Ground

__all__ = [
    "CUTS",
    "ORIENTATIONS",
    "SNR_CLASSES",
    "TABLE_1",
    "VALIDATION",
    "SampleMaker",
    "draw_defects",
    "normalized",
    "turned",
]

CUTS = 4
"""Cut-outs of one sample."""
VALIDATION = 40_000_000
"""Numbers of validation samples begin here: no step reaches them."""
ORIENTATIONS = 8
SNR_CLASSES = (2.0, 4.0, 8.0, 13.0, 140.0, 300.0, 3000.0)
"""Edges of the six classes of S/N that are drawn evenly (paper, table 3; its ends are ours)."""
TABLE_1 = np.concatenate(
    [
        [10, *range(20, 100, 20), *range(100, 200, 25), *range(200, 400, 50)],
        [*range(400, 1000, 100), *range(1000, 2000, 250), *range(2000, 5000, 500)],
        [*range(5000, 16000, 1000), 16000, 18000, 20000, *range(22500, 42500, 2500)],
    ]
).astype(np.float64)
"""Fluxes of the paper's simulations, mJy."""
_MAP = grounds.SIDE
_BORDER = 24
"""Least distance of a source from its edge: some cut-outs reach beyond."""
_SHIFT = 2.0
"""Most error of a catalogue's position along an axis, pixels (paper, section 2.4.3)."""
_SOURCES = (5, 14)
_COMPANION = 0.35
"""Chance of a source to lie near an earlier one, so that their holes touch."""
_DEFECTS = 0.3
"""Chance of bad columns and hits besides the sources."""
_SEEDS = 3_000_000_000
"""Seeds of training; those of evaluations and validation are others."""


@dataclass(frozen=True)
class SampleMaker:
    """Makes the sample of a number; a function that other processes can be given."""

    seed: int
    """Of the training."""
    offset: int = 0
    """Added to numbers, for a set of its own."""
    maps: tuple[Path, ...] = ()
    """Real maps; sources are put on them too."""
    share: float = 0.5
    """Part of the samples that are on real maps, where there are any."""

    def __call__(self, number: int) -> dict[str, NDArray[np.generic]]:
        """Return cut-outs of one map.

        Parameters
        ----------
        number : int
            The same number gives the same bytes.

        Returns
        -------
        dict
            ``image``, (4, 96, 96) float32: normalized, with all sources; ``target``, float16: the
            same without them; ``sky``, float16: without noise too, where that is known; ``valid``,
            bool: what the network may see; ``hole``, bool: what it is to fill; ``snr``, (4,)
            float32: of the source in the middle, by the paper's equation 1. Beyond the border of
            the map images are 0, and neither ``valid`` nor ``hole``.
        """
        rng = np.random.default_rng(self.seed_of(number))
        scene = _draw_map(rng, self._ground(rng))
        cuts = [_cut_out(scene, one) for one in _chosen(rng, scene)]
        return {name: np.stack([one[name] for one in cuts]) for name in cuts[0]}

    def _ground(self, rng: np.random.Generator) -> Ground:
        if self.maps and rng.random() < self.share:
            return grounds.real_ground(rng, self.maps[int(rng.integers(len(self.maps)))])
        return grounds.simulated_ground(rng)

    def seed_of(self, number: int) -> int:
        """Return the seed of a sample."""
        return _SEEDS + 50_000_000 * self.seed + self.offset + number


class _Scene(NamedTuple):
    """A map with sources, and the truth of it."""

    image: NDArray[np.float64]
    target: NDArray[np.float64]
    sky: NDArray[np.float64]
    holes: NDArray[np.bool_]
    positions: NDArray[np.float64]
    """x, y of the catalogue, which errs."""
    snr: NDArray[np.float64]


def _draw_map(rng: np.random.Generator, ground: Ground) -> _Scene:
    target, psf, shape = ground.target, ground.psf, ground.target.shape
    sizes = HoleRule().in_pixels(fwhm_pixels=psf.fwhm_pixels)
    places = _draw_places(rng, psf.fwhm_pixels)
    everywhere = np.ones(shape, dtype=bool)
    scatter = measure_peaks(target, everywhere, places, sizes).deviation
    flux = [_draw_flux(rng, unit) for unit in scatter / psf.stamp().max()]
    image = target + render_stars(np.column_stack([places, flux]), psf, shape)
    catalogue = places + rng.uniform(-_SHIFT, _SHIFT, places.shape)
    found = source_holes(image, everywhere, catalogue, sizes)
    holes = found.holes
    if rng.random() < _DEFECTS:
        holes = holes | draw_defects(rng, shape)
    return _Scene(image, target, ground.sky, holes, catalogue, found.snr)


def _draw_places(rng: np.random.Generator, fwhm: float) -> NDArray[np.float64]:
    low, high = _BORDER, _MAP - 1 - _BORDER
    places: list[NDArray[np.float64]] = []
    for _ in range(whole(rng, _SOURCES)):
        place = rng.uniform(low, high, 2)
        if places and rng.random() < _COMPANION:
            angle, distance = uniform(rng, (0, 2 * np.pi)), fwhm * uniform(rng, (1.0, 5.0))
            other = places[int(rng.integers(len(places)))]
            place = other + distance * np.array([np.cos(angle), np.sin(angle)])
        places.append(np.clip(place, low, high))
    return np.array(places)


def _draw_flux(rng: np.random.Generator, unit: float) -> float:
    """Return a flux of table 1 of a class of S/N; where it has none, any of that class.

    ``unit`` is the flux of a source whose peak is as high as the scatter around it.
    """
    index = int(rng.integers(len(SNR_CLASSES) - 1))
    if not unit > 0:  # a flat part of a real map
        return 0.0
    span = (SNR_CLASSES[index] * unit, SNR_CLASSES[index + 1] * unit)
    first, end = np.searchsorted(TABLE_1, span)
    return float(rng.choice(TABLE_1[first:end])) if first < end else log_uniform(rng, span)


def draw_defects(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Draw flagged pixels of a detector: columns, rows, tracks of hits.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    shape : (int, int)
        (ny, nx).

    Returns
    -------
    (ny, nx) bool
        A new array.
    """
    found = np.zeros(shape, dtype=bool)
    for _ in range(whole(rng, (0, 3))):
        lines = found if rng.random() < 0.3 else found.T  # noqa: PLR2004 - a chance
        first = int(rng.integers(len(lines)))
        lines[first : first + whole(rng, (1, 3))] = True
    for _ in range(whole(rng, (1, 40))):
        length, angle = log_uniform(rng, (1.0, 30.0)), uniform(rng, (0, np.pi))
        steps = np.arange(0, length, 0.5)
        start = rng.uniform(0, shape)
        rows, columns = (
            np.rint(begin + steps * slope).astype(int)
            for begin, slope in zip(start, (np.sin(angle), np.cos(angle)), strict=True)
        )
        for wide in range(whole(rng, (1, 2))):
            inside = (rows >= 0) & (rows < shape[0]) & (columns + wide < shape[1]) & (columns >= 0)
            found[rows[inside], columns[inside] + wide] = True
    return found


def _chosen(rng: np.random.Generator, scene: _Scene) -> list[tuple[CutOut, float]]:
    """Return cut-outs around sources; one source twice where there are few."""
    count = len(scene.positions)
    order = rng.permutation(max(count, CUTS)) % count
    own = np.ones((SIDE, SIDE), dtype=bool)
    chosen = []
    for index in order[:CUTS]:
        x, y = (int(np.floor(v + 0.5)) - SIDE // 2 for v in scene.positions[index])
        chosen.append((CutOut(y, x, own), float(scene.snr[index])))
    return chosen


def _cut_out(scene: _Scene, chosen: tuple[CutOut, float]) -> dict[str, NDArray[np.generic]]:
    one, snr = chosen
    hole = cut(scene.holes, one, outside=False)
    valid = cut(~scene.holes, one, outside=False)
    inside = hole | valid
    images = [
        cut(part.astype(np.float32), one, outside=0)
        for part in (scene.image, scene.target, scene.sky)
    ]
    offset, width = normalized(images[0], valid)
    image, target, sky = (np.where(inside, (part - offset) / width, 0) for part in images)
    return {
        "image": image.astype(np.float32),
        "target": target.astype(np.float16),
        "sky": sky.astype(np.float16),
        "valid": valid,
        "hole": hole,
        "snr": np.array(snr, dtype=np.float32),
    }


def normalized(image: NDArray[np.float32], valid: NDArray[np.bool_]) -> tuple[float, float]:
    """Return what a cut-out is normalized by: ``(pixel - offset) / width``.

    Parameters
    ----------
    image : (ny, nx) float32
        Pixels; those that are not valid are not read.
    valid : (ny, nx) bool
        What the network may see.

    Returns
    -------
    offset, width : float
        Clipped median and standard deviation. (The paper takes minimum and maximum of all pixels:
        then the source in the hole sets the scale.)
    """
    _, state = SigmaClipZscore().forward(image, valid)
    return float(state.offset), float(state.width)


def turned(image: NDArray[np.generic], turn: int) -> NDArray[np.generic]:
    """Return images flipped and turned by a multiple of 90 degrees.

    Parameters
    ----------
    image : (..., side, side) array
        Not modified.
    turn : int
        0 to 7; 0 leaves them as they are.

    Returns
    -------
    (..., side, side) array
        A view.
    """
    flipped = image[..., ::-1] if turn >= ORIENTATIONS // 2 else image
    return np.rot90(flipped, turn % (ORIENTATIONS // 2), axes=(-2, -1))
