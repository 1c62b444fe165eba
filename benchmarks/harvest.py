"""How many of the hits in darks are harvested, and how much of the harvest are hits.

    python benchmarks/harvest.py [FOLDER] [--seed N]

``FOLDER`` holds ``cosmic_rays_itl_even.fits.gz``; its hits set apart for tests are added to darks.
Without it, hits are simulated.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astroclean_maximask.train.harvest import hits_of
from astropy.io import fits
from numpy.typing import NDArray

from astroclean.core.image.detector import DETECTOR_KEYWORDS
from astroclean.core.image.frame import Frame
from astroclean.simulate.contaminants.cosmic_rays import load_hits, simulate_hit
from astroclean.simulate.draws import add_stamp, whole

SIDE, COUNT, GAIN = 1024, 200, 2.0
DARK, READ_NOISE = 20.0, 6.0
"""Electrons; the median of a dark, and the noise of its reading."""
NOISE = float(np.hypot(READ_NOISE, np.sqrt(DARK)))
BRIGHT = 7.0
"""Standard deviations that the brightest pixel of a hit exceeds, for it to count."""

Image = NDArray[np.float64]


class Dark(NamedTuple):
    """A dark with known hits."""

    frame: Frame
    layer: Image
    """Charge of all hits."""
    peaks: list[tuple[int, int]]
    """Brightest pixel of each hit that counts."""


def hot_pixels(rng: np.random.Generator) -> Image:
    """Return the electrons of hot pixels, 3 in 10 000, and of one hot column."""
    hot = np.zeros((SIDE, SIDE))
    places = rng.choice(hot.size, int(3e-4 * hot.size), replace=False)
    hot.reshape(-1)[places] = np.exp(rng.uniform(np.log(50), np.log(2e4), places.size))
    hot[:, SIDE // 3] += 400
    return hot


def make_dark(rng: np.random.Generator, hot: Image, library: tuple[Image, ...]) -> Dark:
    """Return a dark with hits of a library, or simulated ones where it is empty."""
    layer, peaks = np.zeros((SIDE, SIDE)), []
    for _ in range(COUNT):
        hit = library[whole(rng, (0, len(library) - 1))] if library else simulate_hit(rng)
        y, x = (int(place) for place in rng.integers(0, SIDE, 2))
        add_stamp(layer, hit, y, x)
        row, column = np.unravel_index(hit.argmax(), hit.shape)
        peak = (y + int(row), x + int(column))
        if hit.max() > BRIGHT * NOISE and max(peak) < SIDE:
            peaks.append(peak)
    electrons = rng.poisson(DARK + hot) + layer + rng.normal(0, READ_NOISE, layer.shape)
    header = fits.Header({DETECTOR_KEYWORDS["gain"]: GAIN})
    adu = np.round(electrons / GAIN + 300 + rng.normal(0, 3))
    return Dark(Frame(adu, unit="adu", meta=header), layer, peaks)


def measured(darks: list[Dark]) -> tuple[float, float, float]:
    """Return completeness, purity, and harvested charge over that of all hits."""
    found = bright = true = hits = 0
    charge = 0.0
    for index, dark in enumerate(darks):
        others = [other.frame for other in darks[:index] + darks[index + 1 :]]
        image = np.zeros((SIDE, SIDE))
        for hit in hits_of(dark.frame, others):
            own = np.zeros_like(image)
            add_stamp(own, hit.charge, *hit.origin)
            true += bool((dark.layer[own > 0] > 2 * NOISE).any())
            hits += 1
            image += own
        found += sum(image[peak] > 0 for peak in dark.peaks)
        bright += len(dark.peaks)
        charge += image.sum() / dark.layer.sum()
    return found / bright, true / max(hits, 1), charge / len(darks)


def main() -> None:
    """Print a row for each number of darks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    told = parser.parse_args()
    library = load_hits(told.folder, test=True) if told.folder else ()
    print("| darks | completeness | purity | charge |\n| --- | --- | --- | --- |")
    for count in (1, 2, 3, 5, 9):
        rng = np.random.default_rng(told.seed)
        hot = hot_pixels(rng)
        row = measured([make_dark(rng, hot, library) for _ in range(count)])
        print(f"| {count} | " + " | ".join(f"{value:.3f}" for value in row) + " |", flush=True)


if __name__ == "__main__":
    main()
