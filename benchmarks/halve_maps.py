"""Halves of real maps: the lower ones to train with, the upper ones to judge by.

    python benchmarks/halve_maps.py DATA OUT

``OUT/train/maps`` and ``OUT/test/maps`` get one FITS file a map, ``OUT/test`` PSFs, each also
turned by 20 degrees. A strip
between both halves stays out, so that no cut-out of one reaches into the other. Maps of `HELD_OUT`
are for judging alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from astropy.io import fits
from scipy.ndimage import rotate

HALVED = (
    "herschel_pacs100_ngc5584.fits.gz",
    "herschel_spire250_ngc5584.fits.gz",
    "wise12_ngc5584.fits.gz",
    "wise12_w5_nebula.fits.gz",
)
HELD_OUT = ("spitzer_irac_galplane.fits.gz", "jcmt_scuba850_l1551.fits")
PSFS = {
    "pacs_green.fits": ("psf_model_herschel_pacs.fits.gz", "GREEN"),
    "irac_2.fits": ("psf_spitzer_irac_flight_ch1-4.fits.gz", "IRAC2"),
    "spire_250.fits": ("psf_herschel_spire250_measured_beam_1arcsec.fits.gz", 0),
}
"""PSFs by file and HDU, each to a file of its own."""
TURN = 20.0
"""Degrees."""
STRIP = 48
"""Rows on either side of the middle that stay out."""


def halves(path: Path) -> dict[str, fits.PrimaryHDU]:
    """Return the lower half of a map as ``train``, the upper one as ``test``."""
    with fits.open(path) as hdus:
        hdu = next(hdu for hdu in hdus if hdu.data is not None)
        data, header = np.squeeze(hdu.data).astype(np.float32), hdu.header.copy()
    middle = len(data) // 2
    made = {}
    for name, rows in (("train", slice(0, middle - STRIP)), ("test", slice(middle + STRIP, None))):
        part = header.copy()
        if "CRPIX2" in part:
            part["CRPIX2"] -= rows.start
        made[name] = fits.PrimaryHDU(data[rows], part)
    return made


def main() -> None:
    """Write both folders."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder of the maps")
    parser.add_argument("out", type=Path, help="folder to write")
    told = parser.parse_args()
    for name in HALVED:
        for part, hdu in halves(told.data / name).items():
            folder = told.out / part / "maps"
            folder.mkdir(parents=True, exist_ok=True)
            hdu.writeto(folder / name, overwrite=True)
    for name, (source, extension) in PSFS.items():
        with fits.open(told.data / source) as hdus:
            hdu = fits.PrimaryHDU(hdus[extension].data, hdus[extension].header)
        hdu.writeto(told.out / "test" / name, overwrite=True)
        # No interpolation rings where a PSF is sampled well, as these are.
        hdu.data = rotate(np.nan_to_num(hdu.data), TURN, reshape=False)
        hdu.writeto(told.out / "test" / f"turned_{name}", overwrite=True)


if __name__ == "__main__":
    main()
