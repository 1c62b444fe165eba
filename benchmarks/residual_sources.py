"""What is left of the sources of real maps: a matched filter on what each remover leaves.

    python benchmarks/residual_sources.py DATA [--pictures FOLDER]

Sources are found by the stage `photutils`, as in the pipeline `compact-sources`. The map less its
median in boxes of 5 FWHM is filtered with the PSF; S/N is what that gives over its scatter at
places where no source was found. A source that is gone leaves the S/N of such places.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from astropy.stats import mad_std
from astropy.visualization import AsinhStretch, ManualInterval, PercentileInterval
from machine import processor, today
from PIL import Image
from scipy.ndimage import maximum_filter, median_filter
from scipy.signal import fftconvolve

from astroclean.config.schema import PsfConfig
from astroclean.core.image.frame import Frame
from astroclean.registry.load import load_stage
from astroclean.runner.plan.psf_source import PsfSource

if TYPE_CHECKING:
    from astroclean.core.sources.sources import Sources


class Map(NamedTuple):
    """A map, and what tells its PSF."""

    file: str
    psf: dict[str, str]


MAPS = (
    Map(
        "herschel_spire250_ngc5584.fits.gz",
        {"file": "psf_herschel_spire250_measured_beam_1arcsec.fits.gz"},
    ),
    Map("herschel_pacs100_ngc5584.fits.gz", {"fwhm": "9 arcsec"}),
    Map("spitzer_irac_galplane.fits.gz", {"file": "irac_2.fits"}),
    Map("wise12_w5_nebula.fits.gz", {"fwhm": "1.6 pixel"}),
    Map("jcmt_scuba850_l1551.fits", {"fwhm": "14 arcsec"}),
)
REMOVERS = {
    "as it is": None,
    "inpaint": ("pconv", {"noise": "none"}),
    "separate": ("pconv", {"noise": "none", "mode": "separate"}),
    "psf-subtract": ("psf-subtract", {"min_snr": 0.0}),
}
"""Positions are those that were found, and may be moved."""
MOST = 600
"""Side of the middle that is looked at, pixels."""
STRONG = 5.0
BOX = 5


def read(data: Path, psfs: Path, one: Map) -> Frame:
    """Return a map with its PSF and the sources found on it."""
    whole = Frame.read(data / one.file)
    parts = (slice(max((side - MOST) // 2, 0), (side + MOST) // 2) for side in whole.shape)
    frame = whole[tuple(parts)]
    told = dict(one.psf)
    if "file" in told:
        folder = psfs if (psfs / told["file"]).exists() else data
        told["file"] = str(folder / told["file"])
    psf, _ = PsfSource(PsfConfig.model_validate(told), Path(), "").psf_for(frame)
    return load_stage("photutils").run(frame.replace(psf=psf)).frame


def filtered(frame: Frame, bad: np.ndarray) -> np.ndarray:
    """Return the map filtered with its PSF; NaN where that tells nothing."""
    assert frame.psf is not None
    side = int(BOX * frame.psf.fwhm_pixels) | 1
    data = np.where(bad, np.median(frame.data[~bad]), frame.data)
    flat = np.where(bad, 0, data - median_filter(data, side))
    stamp = frame.psf.stamps[0]
    return np.where(bad, np.nan, fftconvolve(flat, stamp[::-1, ::-1], mode="same"))


def places_of(sources: Sources) -> tuple[np.ndarray, ...]:
    """Return rows and columns of the pixels of sources."""
    return tuple(np.rint(np.asarray(sources.table[name])).astype(int) for name in ("y", "x"))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--psfs", type=Path, default=Path(), help="OUT/test of halve_maps.py")
    parser.add_argument("--pictures", type=Path, help="folder for a picture of each map")
    told = parser.parse_args()
    print(f"{today()}, {processor()}")
    print("| map | sources | remover | median S/N | median abs S/N | above 5 | below -5 |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for one in MAPS:
        frame = read(told.data, told.psfs, one)
        assert frame.sources is not None
        assert frame.psf is not None
        bad = ~frame.usable
        rows, columns = places_of(frame.sources)
        near = np.zeros(frame.shape, dtype=bool)
        near[rows, columns] = True
        reach = int(2 * frame.psf.fwhm_pixels)
        apart = ~bad & ~maximum_filter(near, 2 * reach + 1)
        images = {}
        for name, stage in REMOVERS.items():
            left = frame if stage is None else load_stage(stage[0], **stage[1]).run(frame).frame
            images[name] = left.data
            image = filtered(left, bad)
            snr = image[rows, columns] / mad_std(filtered(frame, bad)[apart])
            snr = snr[np.isfinite(snr)]
            shares = [float(np.mean(part)) for part in (snr > STRONG, snr < -STRONG)]
            print(
                f"| {one.file.partition('.')[0]} | {len(snr)} | {name} | {np.median(snr):.1f} | "
                f"{np.median(np.abs(snr)):.1f} | {shares[0]:.3f} | {shares[1]:.3f} |",
                flush=True,
            )
        if told.pictures:
            draw(images, told.pictures / f"{one.file.partition('.')[0]}.png")


def draw(images: dict[str, np.ndarray], path: Path) -> None:
    """Draw the map as it was and what each remover left, side by side in one stretch."""
    path.parent.mkdir(parents=True, exist_ok=True)
    first = images["as it is"]
    limits = ManualInterval(*PercentileInterval(99.5).get_limits(first[np.isfinite(first)]))
    shown = AsinhStretch(0.1) + limits
    parts = [shown(np.nan_to_num(image)[::-1]) for image in images.values()]
    picture = np.clip(255 * np.concatenate(parts, axis=1), 0, 255).astype(np.uint8)
    Image.fromarray(picture).save(path)


if __name__ == "__main__":
    main()
