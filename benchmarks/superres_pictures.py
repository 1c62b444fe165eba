"""Draw what `spire-sr` makes of a simulated field and of the SPIRE map of NGC 5584.

    python benchmarks/superres_pictures.py DATA docs/how_to/figures

``DATA`` is the folder of real exposures. ``superres_field.png``: a part of a simulated field at
250, 350 and 500 um; the truth at 450 um, `spire-sr`, `joint-richardson-lucy`.
``superres_ngc5584.png``: the map at 250 um, the result, and its support; the galaxy in the same,
and WISE at 12 um. Prints what is known of the real map: light in circles, before and after.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from deconvolve_pictures import save
from machine import told_machine
from scipy.ndimage import gaussian_filter, map_coordinates

from astroclean.core.image.frame import Frame
from astroclean.core.image.grid import Grid
from astroclean.core.psf.beam import TARGET_FWHM_ARCSEC
from astroclean.core.psf.psf import Psf
from astroclean.errors import AstrocleanWarning
from astroclean.registry.load import load_stage
from astroclean.simulate.far_infrared.population import PopulationRange
from astroclean.simulate.far_infrared.scene import FarInfraredConfig, simulate_far_infrared

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.float64]

SIDE = 360
"""Pixels of a panel, 1 arcsec each in parts of fields."""


def main() -> None:
    """Draw and tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("figures", type=Path)
    told = parser.parse_args()
    warnings.simplefilter("ignore", AstrocleanWarning)
    print(told_machine("numpy", "scipy", "onnxruntime"))
    field(told.figures)
    galaxy(told.data, told.figures)


def gray(image: Pixels, low: float, high: float) -> Pixels:
    """Return an image from 0 to 1, its square root, so that what is faint is seen."""
    return np.sqrt(np.clip((np.nan_to_num(image, nan=low) - low) / (high - low), 0, 1))


def field(figures: Path) -> None:
    """Draw a simulated field of a population that no training had."""
    config = FarInfraredConfig(population=PopulationRange(model="counts"))
    scene = simulate_far_infrared(seed=41, shape=(150, 150), config=config)
    assert scene.fine is not None
    part = np.s_[270 : 270 + SIDE, 270 : 270 + SIDE]
    panels = []
    for name, high in (("250", 40.0), ("350", 35.0), ("500", 30.0)):
        frame = scene.bands[name].frame
        panels.append(gray(on_fine(frame, scene.fine.grid)[part], -4, high))
    panels.append(gray(scene.fine.data[part], 0, 15))
    for plugin in ("spire-sr", "joint-richardson-lucy"):
        result = load_stage(plugin).run_set(scene.frames)["250"]
        panels.append(gray(result.layers["SUPERRES"].data[part], 0, 15))
    save(panels, figures / "superres_field.png", zoom=1, rows=2)


def on_fine(frame: Frame, grid: Grid | None) -> Pixels:
    """Return a map on other pixels, each with the value of the pixel that it lies in."""
    assert grid is not None
    y, x = grid.places_in(Grid.from_frame(frame))
    return map_coordinates(np.nan_to_num(frame.data), [y, x], order=0, mode="nearest")


def galaxy(data: Path, figures: Path) -> None:
    """Super-resolve the real map."""
    frame = Frame.read(data / "herschel_spire250_ngc5584.fits.gz")
    beam = Psf.read(
        data / "psf_herschel_spire250_measured_beam_1arcsec.fits.gz", pixel_scale_arcsec=6.0
    )
    begun = perf_counter()
    result = load_stage("spire-sr").run(frame.replace(psf=beam))
    print(f"{frame.shape}: {perf_counter() - begun:.1f} s, {dict(result.metrics)}")
    image, support = (result.layers[name].data for name in ("SUPERRES", "SUPPORT"))
    grid = result.layers["SUPERRES"].grid
    assert grid is not None
    level = float(np.nanmedian(frame.data))
    noise = 1.48 * float(np.nanmedian(np.abs(frame.data - level)))
    step = len(image) // SIDE
    whole = on_fine(frame, grid)
    center = np.unravel_index(np.nanargmax(gaussian_filter(np.nan_to_num(image), 20)), image.shape)
    part = tuple(slice(int(c) - SIDE // 2, int(c) + SIDE // 2) for c in center)
    panels = [
        gray(whole[::step, ::step][:SIDE, :SIDE], level - 2 * noise, level + 15 * noise),
        gray(image[::step, ::step][:SIDE, :SIDE], 0, 12),
        np.clip(support[::step, ::step][:SIDE, :SIDE], 0, 1),
        gray(whole[part], level - 2 * noise, float(np.nanmax(whole[part]))),
        gray(image[part], 0, float(np.nanmax(image[part]))),
        gray(wise(data, grid)[part], 0, 1),
    ]
    save(panels, figures / "superres_ngc5584.png", zoom=1, rows=2)
    assert result.frame.sources is not None
    told_light(frame, image, result.frame.sources.table)


def wise(data: Path, grid: Grid) -> Pixels:
    """Return WISE at 12 um on the fine pixels, from 0 to 1."""
    with fits.open(data / "wise12_ngc5584.fits.gz") as file:
        image, wcs = file[0].data.astype(float), WCS(file[0].header).celestial
    image -= np.nanmedian(image)
    image = np.nan_to_num(gaussian_filter(np.nan_to_num(image), 1.0))
    own = Grid((image.shape[0], image.shape[1]), wcs)
    y, x = grid.places_in(own)
    seen = map_coordinates(image, [y, x], order=1, mode="constant")
    return seen / np.quantile(image, 0.9995)


def told_light(frame: Frame, image: Pixels, table: Any) -> None:
    """Print light at 250 um, and what the result says of it, in circles around bright sources."""
    data = np.asarray(frame.data, dtype=float)
    data = data - np.nanmedian(data)
    light = (image - np.nanmedian(image)) / (np.pi / (4 * np.log(2)) * TARGET_FWHM_ARCSEC**2)
    print("| id | at 450 um | at 250 um, fitted | map at 250 um, 48 arcsec around | result, too |")
    print("| --- | --- | --- | --- | --- |")
    for row in table[:6]:
        x, y = (float(row[name]) for name in ("x", "y"))
        before = circle(data, (x + 0.5) / 6 - 0.5, (y + 0.5) / 6 - 0.5, 8.0)
        print(
            f"| {row['id']} | {row['flux'].value:.1f} | {row['flux_250'].value:.1f} "
            f"| {1000 * before:.1f} | {circle(light, x, y, 48.0):.1f} |"
        )


def circle(image: Pixels, x: float, y: float, radius: float) -> float:
    """Return the sum within a circle."""
    rows, columns = np.ogrid[: image.shape[0], : image.shape[1]]
    return float(np.nansum(image[np.hypot(columns - x, rows - y) < radius]))


if __name__ == "__main__":
    main()
