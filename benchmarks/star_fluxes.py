"""How fillers bias the fluxes of stars that hits and bad columns cross.

    python benchmarks/star_fluxes.py [--count 24] [--seed 7001]

Fields of stars and galaxies of `astroclean.simulate`, FWHM 1.5 to 6 pixels, with columns, rows and
tracks flagged. Aperture fluxes (radius 1.5 FWHM) of stars of S/N above 50 whose aperture is between
2 and 60 percent flagged, against the same field without noise.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np
from astroclean_pconv.train.samples import draw_defects
from machine import processor, today
from photutils.aperture import CircularAperture, aperture_photometry

from astroclean.core.image.frame import Frame
from astroclean.registry.load import load_stage
from astroclean.simulate.fields import FieldRange, draw_field
from astroclean.simulate.psfs import PsfRange, draw_psf

SHAPE = (256, 256)
PSFS = PsfRange(fwhm=(1.5, 6.0))
LIMITS = FieldRange(stars=(60.0, 300.0), galaxies=(2.0, 10.0))
LEAST_SNR, PARTS = 50.0, (0.02, 0.6)
FILLERS = {
    "left as it is": None,
    "interpolate": ("interpolate", {}),
    "interpolate, maskfill": ("interpolate", {"method": "maskfill"}),
    "pconv": ("pconv", {"fill": "flags", "noise": "none"}),
}


def errors_of(seed: int) -> dict[str, list[float]]:
    """Return (flux - true flux) / true flux of the stars of a field, by filler."""
    rng = np.random.default_rng(seed)
    psf = draw_psf(rng, PSFS)
    field = draw_field(rng, SHAPE, psf, noise=1.0, limits=LIMITS)
    data = field.image + np.sqrt(1 + field.image / 20) * rng.standard_normal(SHAPE)
    holes = draw_defects(rng, SHAPE)
    table = field.sources.table[field.sources.table["kind"] == "star"]
    places = np.column_stack([np.asarray(table["x"]), np.asarray(table["y"])])
    radius = 1.5 * psf.fwhm_pixels
    inside = np.all((places > radius) & (places < SHAPE[0] - 1 - radius), axis=1)
    circles = CircularAperture(places[inside], radius)
    true = np.asarray(aperture_photometry(field.image, circles)["aperture_sum"])
    flagged = np.asarray(aperture_photometry(holes.astype(float), circles)["aperture_sum"])
    part = flagged / circles.area
    snr = true / np.sqrt(circles.area + true / 20)
    chosen = (snr > LEAST_SNR) & (part > PARTS[0]) & (part < PARTS[1])
    # What a defect leaves is far from what was there.
    broken = Frame(np.where(holes, 1e4, data), unit="adu").add_planes(holes, "BAD_PIXEL")
    found = {}
    for name, told in FILLERS.items():
        image = np.where(holes, 0, data)
        if told is not None:
            image = load_stage(told[0], **told[1]).run(broken).frame.data
        flux = np.asarray(aperture_photometry(image.astype(float), circles)["aperture_sum"])
        found[name] = list((flux / true - 1)[chosen])
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--seed", type=int, default=7001)
    told = parser.parse_args()
    every: dict[str, list[float]] = defaultdict(list)
    for seed in range(told.seed, told.seed + told.count):
        for name, errors in errors_of(seed).items():
            every[name] += errors
    print(f"{today()}, {processor()}; {len(every['pconv'])} stars")
    print("| filler | median error | median absolute error | 90 % within |")
    print("| --- | --- | --- | --- |")
    for name, errors in every.items():
        size = np.abs(errors)
        print(
            f"| {name} | {np.median(errors):+.4f} | {np.median(size):.4f} "
            f"| {np.percentile(size, 90):.3f} |"
        )


if __name__ == "__main__":
    main()
