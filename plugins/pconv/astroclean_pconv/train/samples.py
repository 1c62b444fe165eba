"""Training samples: sources of known light on extended emission, in cut-outs with holes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from astroclean.core.sources.holes import HoleRule, measure_peaks, source_holes
from astroclean.inference.tiles.normalize import SigmaClipZscore
from astroclean.simulate.compact import SNR_CLASSES, TABLE_1, draw_flux
from astroclean.simulate.draws import log_uniform, uniform, whole
from astroclean.simulate.fields import render_stars
from astroclean.tiling.stamps import StampBox
from astroclean_pconv.fill.cutouts import SIDE
from astroclean_pconv.train import grounds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from astroclean_pconv.train.grounds import Ground

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
    "windowed",
]

CUTS = 4
"""Cut-outs of one sample."""
VALIDATION = 40_000_000
"""Numbers of validation samples begin here: no step reaches them."""
ORIENTATIONS = 8
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
_FLUX_ERROR = 0.03
"""Error, as a part, of the light that was taken away beyond the holes."""
_PLACE_ERROR = 0.15
"""Error of its place along an axis, pixels."""
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
    stars: float = 0.0
    """Part of the samples that are fields of stars with defects."""
    freed: float = 0.0
    """Part of the others from which light of the sources beyond their holes was taken away, as is
    done where the PSF is known."""

    def __call__(self, number: int) -> dict[str, NDArray[np.generic]]:
        """Return cut-outs of one map.

        Parameters
        ----------
        number : int
            The same number gives the same bytes.

        Returns
        -------
        dict
            ``image``, (4, 96, 96) float32: normalized, with all sources, or with what is left
            of them; ``target``, float16: the
            same without them; ``sky``, float16: without noise too, where that is known; ``valid``,
            bool: what the network may see; ``hole``, bool: what it is to fill; ``snr``, (4,)
            float32: of the source in the middle, by the paper's equation 1 (NaN where there is
            none); ``known``, (4,) bool: whether ``sky`` is free of noise. Beyond the border of the
            map images are 0, and neither ``valid`` nor ``hole``.
        """
        rng = np.random.default_rng(self.seed_of(number))
        ground = self._ground(rng)
        if ground.bare:
            scene = _draw_defects(rng, ground)
        else:
            scene = _draw_map(rng, ground, freed=rng.random() < self.freed)
        cuts = [_cut_out(scene, one) for one in _chosen(rng, scene)]
        return {name: np.stack([one[name] for one in cuts]) for name in cuts[0]}

    def _ground(self, rng: np.random.Generator) -> Ground:
        if self.stars and rng.random() < self.stars:
            return grounds.star_ground(rng)
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
    """x, y of the catalogue, which errs, or of defects."""
    snr: NDArray[np.float64]
    known: bool


def _draw_map(rng: np.random.Generator, ground: Ground, *, freed: bool) -> _Scene:
    target, psf, shape = ground.target, ground.psf, ground.target.shape
    sizes = HoleRule().in_pixels(fwhm_pixels=psf.fwhm_pixels)
    places = _draw_places(rng, psf.fwhm_pixels)
    everywhere = np.ones(shape, dtype=bool)
    scatter = measure_peaks(target, everywhere, places, sizes).deviation
    flux = [draw_flux(rng, unit) for unit in scatter / psf.stamp().max()]
    image = target + render_stars(np.column_stack([places, flux]), psf, shape)
    catalogue = places + rng.uniform(-_SHIFT, _SHIFT, places.shape)
    found = source_holes(image, everywhere, catalogue, sizes)
    holes = found.holes
    if rng.random() < _DEFECTS:
        holes = holes | draw_defects(rng, shape)
    if freed:
        told = places + _PLACE_ERROR * rng.standard_normal(places.shape)
        taken = np.array(flux) * (1 + _FLUX_ERROR * rng.standard_normal(len(flux)))
        light = render_stars(np.column_stack([told, taken]), psf, shape)
        image = np.where(holes, image, image - light)
    return _Scene(image, target, ground.sky, holes, catalogue, found.snr, ground.known)


def _draw_defects(rng: np.random.Generator, ground: Ground) -> _Scene:
    """Return a field with holes by defects, and places to look at: half of them in bright light."""
    shape = ground.target.shape
    holes = draw_defects(rng, shape)
    y, x = np.nonzero(holes)
    light = np.maximum(ground.sky[y, x], 0)
    chance = 1 / len(y) + light / max(float(light.sum()), 1.0)
    index = rng.choice(len(y), CUTS, p=chance / chance.sum())
    places = np.column_stack([x[index], y[index]]).astype(np.float64)
    unknown = np.full(CUTS, np.nan)
    return _Scene(ground.target, ground.target, ground.sky, holes, places, unknown, ground.known)


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


def _chosen(rng: np.random.Generator, scene: _Scene) -> list[tuple[StampBox, float]]:
    """Return cut-outs around sources; one source twice where there are few."""
    count = len(scene.positions)
    order = rng.permutation(max(count, CUTS)) % count
    chosen = []
    for index in order[:CUTS]:
        x, y = (int(np.floor(v + 0.5)) - SIDE // 2 for v in scene.positions[index])
        chosen.append((StampBox(y, x, SIDE), float(scene.snr[index])))
    return chosen


def _cut_out(scene: _Scene, chosen: tuple[StampBox, float]) -> dict[str, NDArray[np.generic]]:
    one, snr = chosen
    hole = one.cut(scene.holes, outside=False)
    valid = one.cut(~scene.holes, outside=False)
    inside = hole | valid
    images = [
        one.cut(part.astype(np.float32), outside=0)
        for part in (scene.image, scene.target, scene.sky)
    ]
    offset, width = normalized(images[0], valid)
    image, target, sky = (np.where(inside, (part - offset) / width, 0) for part in images)
    return {
        "image": image.astype(np.float32),
        "target": _half(target),
        "sky": _half(sky),
        "valid": valid,
        "hole": hole,
        "snr": np.array(snr, dtype=np.float32),
        "known": np.array(scene.known),
    }


def _half(image: NDArray[np.floating]) -> NDArray[np.float16]:
    """Return an image in half precision; one infinite pixel would end a training.

    The middle of a bright star in a faint sky may be more than that holds.
    """
    most = float(np.finfo(np.float16).max)
    return np.asarray(np.clip(image, -most, most), dtype=np.float16)


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


def windowed(
    sample: Mapping[str, NDArray[np.generic]], side: int
) -> dict[str, NDArray[np.generic]]:
    """Return the middle of a cut-out, without the holes that its border cuts.

    Parameters
    ----------
    sample : mapping of str to (96, 96) array
        ``image``, ``target``, ``sky``, ``valid`` and ``hole``; not modified.
    side : int
        Of the middle, even.

    Returns
    -------
    dict of str to (side, side) array
        Pixels of holes that touch the border are neither valid nor to be filled.
    """
    from scipy.ndimage import label  # noqa: PLC0415 - slow to import

    first = (SIDE - side) // 2
    middle = slice(first, first + side)
    part = {name: image[middle, middle] for name, image in sample.items()}
    if side == SIDE:
        return part
    labels, count = label(part["hole"], np.ones((3, 3)))
    cut_off = np.zeros(count + 1, dtype=bool)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        cut_off[edge] = True
    # The one in the middle counts whatever it touches: a bad column crosses every cut-out.
    cut_off[labels[side // 2, side // 2]] = False
    part["hole"] = part["hole"] & ~cut_off[labels]
    return part
