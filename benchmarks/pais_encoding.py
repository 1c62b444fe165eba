"""What the Partial Contribution Representation keeps of sources: the paper's two tests of it.

    python benchmarks/pais_encoding.py --count 6

Sources of simulated blends are encoded and decoded again, without noise, by the n nearest and by
the n with the most light. Flux error: how far the light of a decoded source is from the true
light, as a part of it; what its neighbors lost to it counts as well as what it lost. Lost: the part
of its light that lies in pixels which do not have it among theirs. KS: the greatest difference
between the normalized cumulative profiles, true and decoded, within the true radius of 90 % of the
light; p: `scipy.stats.ks_2samp` of the two profiles at the same radii. Counted are sources whose
best fit has an S/N of 5 or more; all are encoded. (Hausen & Robertson 2021, section 3.1, table 2.)
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

import numpy as np
from astroclean_pais.contributions import Encoding, decode, encode
from machine import told_machine
from scipy.stats import ks_2samp

from astroclean.core.image.arrays import add_box
from astroclean.evaluation.light import source_snr
from astroclean.evaluation.matching import WANTED_SNR
from astroclean.simulate.blend_images import sum_of
from astroclean.simulate.blends import BlendConfig, simulate_blends
from astroclean.simulate.galaxies import GalaxyRange
from astroclean.simulate.psfs import PsfRange

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.sources.sources import SourceStamp
    from astroclean.simulate.scene import Scene

    Profile = tuple[NDArray[np.float64], NDArray[np.float64]]

ENCODINGS = {
    f"{n} {mode}": Encoding(n=n, mode=mode) for mode in ("nearest", "largest") for n in (3, 5)
}
_ALL = BlendConfig(separation=(0.8, 3.0), snr=(5.0, 1000.0))
_SPACE = {
    "psf": PsfRange(fwhm=(1.6, 2.4), kinds=("airy", "moffat")),
    "galaxy": GalaxyRange(half_light_radius=(1.5, 8.0)),
    "separation": (1.5, 6.0),
}
_GROUND = {
    "psf": PsfRange(fwhm=(3.0, 5.0), kinds=("moffat", "kolmogorov")),
    "galaxy": GalaxyRange(half_light_radius=(0.6, 3.5)),
}
FAMILIES = {
    f"{name}, {density}": _ALL.model_copy(update={**kind, "groups": groups})
    for name, kind in (("space", _SPACE), ("ground", _GROUND))
    for density, groups in (("dense", (25.0, 80.0)), ("sparse", (8.0, 25.0)))
}
"""FWHM and separations as with 0.06 and 0.2 arcsec a pixel."""
_ENCLOSED, _LOST, _BRIGHT = 0.9, 0.1, 50.0
_UNLIKE = 0.05
_FAINT = 0.1
"""Light in standard deviations of the noise that no one measures in a pixel."""
_DECIMALS = 6
"""To which radii are equal."""


class Tally:
    """What became of the sources of some scenes, by one encoding."""

    def __init__(self) -> None:
        self.error: list[float] = []
        self.lost: list[float] = []
        self.light_lost = 0.0
        self.faint_lost = 0.0
        self.distance: list[float] = []
        self.chance: list[float] = []
        self.snr: list[float] = []

    def row(self, name: str) -> str:
        """Return a line of the table."""
        error, distance = np.array(self.error), np.array(self.distance)
        bright = error[np.array(self.snr) > _BRIGHT]
        return (
            f"| {name} | {np.median(error):.1e} | {error.mean():.4f} | "
            f"{np.percentile(error, 90):.4f} | {(error > _LOST).mean():.3f} | "
            f"{np.median(self.lost):.1e} | {np.mean(self.lost):.4f} | "
            f"{bright.mean():.4f} | {(bright > _LOST).mean():.3f} | {np.median(distance):.4f} | "
            f"{np.percentile(distance, 90):.4f} | {(np.array(self.chance) < _UNLIKE).mean():.3f} |"
        )


def on_box(true: SourceStamp, found: SourceStamp) -> NDArray[np.float64]:
    """Return the decoded light of a source on the box of its true image."""
    light = np.zeros(true.data.shape)
    away = [mine - here for mine, here in zip(found.origin, true.origin, strict=True)]
    add_box(light, found.data, away)
    return light


def profiles(true: SourceStamp, found: SourceStamp, place: tuple[float, float]) -> Profile:
    """Return both cumulative profiles within the true radius of 90 % of the light, from 0 to 1."""
    own = true.data.astype(np.float64)
    other = on_box(true, found)
    rows, columns = np.indices(own.shape)
    radius = np.hypot(rows + true.origin[0] - place[0], columns + true.origin[1] - place[1])
    _, ring = np.unique(radius.round(_DECIMALS), return_inverse=True)
    sums = [np.cumsum(np.bincount(ring.ravel(), light.ravel())) for light in (own, other)]
    last = int(np.searchsorted(sums[0], _ENCLOSED * sums[0][-1])) + 1
    first, second = (total[:last] / max(total[last - 1], 1e-30) for total in sums)
    return first, second


def judge(scene: Scene, encoding: Encoding, tally: Tally) -> None:
    """Encode and decode a scene, and count its sources."""
    sources, clean = scene.sources, scene.clean
    shape = clean.shape
    x, y = (np.asarray(sources.table[name], dtype=float) for name in "xy")
    centers = np.stack([y, x], axis=-1)
    total = sum_of(sources.stamps, shape)
    found = decode(encode(sources, shape, encoding), total, centers)
    snr = source_snr(sources, np.asarray(scene.frame.uncertainty.array, dtype=np.float64))
    for true, own, place in zip(sources.stamps, found, centers, strict=True):
        if snr[true.id] < WANTED_SNR:
            continue
        light = true.data.sum(dtype=np.float64)
        missing = true.data[on_box(true, own) == 0].astype(np.float64)
        tally.lost.append(float(missing.sum() / light))
        tally.light_lost += missing.sum()
        tally.faint_lost += missing[missing < _FAINT * scene.notes["noise"]].sum()
        tally.error.append(float(abs(own.data.sum(dtype=np.float64) / light - 1)))
        first, second = profiles(true, own, place)
        tally.distance.append(float(np.abs(first - second).max()))
        tally.chance.append(float(ks_2samp(first, second, method="asymp").pvalue))
        tally.snr.append(snr[true.id])


def parsed() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--count", type=int, default=6, help="scenes of each family")
    parser.add_argument("--first", type=int, default=8200, help="seed of the first scene")
    parser.add_argument("--side", type=int, default=256, help="pixels")
    parser.add_argument("--only", default="", help="part of the names of the families")
    return parser.parse_args()


def main() -> None:
    """Print the table."""
    given = parsed()
    print(told_machine("numpy", "scipy"))
    for name, config in FAMILIES.items():
        if given.only not in name:
            continue
        tallies = {encoding: Tally() for encoding in ENCODINGS}
        counts, start = [], time.perf_counter()
        for seed in range(given.first, given.first + given.count):
            scene = simulate_blends(seed=seed, shape=(given.side, given.side), config=config)
            counts.append(len(scene.sources))
            for encoding, tally in tallies.items():
                judge(scene, ENCODINGS[encoding], tally)
        seconds = time.perf_counter() - start
        print(
            f"\n{name}: {given.count} scenes of {given.side} x {given.side}, {min(counts)} to "
            f"{max(counts)} sources, {len(tallies['3 nearest'].error)} counted; {seconds:.0f} s\n"
        )
        print(
            "| sources of a pixel | flux error, median | mean | 90th percentile | over 10 % | "
            "lost, median | mean | S/N above 50: error, mean | over 10 % | KS, median | "
            "90th percentile | p below .05 |"
        )
        print("| --- " * 12 + "|")
        for encoding, tally in tallies.items():
            print(tally.row(encoding))
        best = tallies["5 largest"]
        faint = best.faint_lost / best.light_lost if best.light_lost else float("nan")
        print(
            f"\nOf the light that five largest lose, {faint:.0%} lies in pixels where the source "
            "has less than a tenth of the noise."
        )


if __name__ == "__main__":
    main()
