"""Deconvolve real fields and draw them; HSC beside the Hubble image of the same sky, in figures.

    python benchmarks/deconvolve_pictures.py DATA docs/how_to/figures

``DATA`` is the folder of real exposures. ``deconvolve_pair.png`` has for each method the result and
the result less the Hubble image at the target PSF, after the HSC image (i) and that image itself
(F814W, brought to the HSC pixels and the target PSF). ``deconvolve_decals.png`` has the coadd (r),
the result, `CHI` from -5 to 5, and `SUPPORT`. Prints a table: correlation with Hubble, and power of
the difference over that of the Hubble image. Its scale is that of the HSC image, by the least
squares between that and Hubble under the PSF of HSC; all results but those of `psf-cae` and
`parametric` are convolved with the target PSF first.
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
from deblend_pictures import cosmos_hsc, decals
from machine import told_machine
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates, uniform_filter
from scipy.signal import fftconvolve

from astroclean.core.psf.psf import Psf
from astroclean.core.psf.target import TARGET_FWHM
from astroclean.errors import AstrocleanWarning
from astroclean.evaluation.target import at_target
from astroclean.registry.load import load_stage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.float64]

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "psf-cae": ("psf-cae", {}),
    "parametric": ("parametric", {"target_fwhm": 2.0}),
    "richardson-lucy": ("richardson-lucy", {"num_iter": 30}),
    "wiener": ("wiener", {}),
}
HSC_PIXEL, HST_PIXEL, HST_FWHM = 0.168, 0.03, 0.10
"""Arcsec."""
EDGE = 3
GAP = 3


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
    pair(told.data, told.figures)
    large(told.data, told.figures)


def pair(data: Path, figures: Path) -> None:
    """Deconvolve the HSC image, and compare with Hubble."""
    frame = cosmos_hsc(data)["i"]
    psf = frame.psf
    assert psf is not None
    sharp, seen = hubble(data, psf.stamps[0], frame.shape)
    known = np.isfinite(sharp)
    light = frame.data - np.median(frame.data)
    scale = float(np.sum((light * seen)[known]) / np.sum(seen[known] ** 2))
    truth = scale * sharp
    found = load_stage("pais").run(frame).frame
    peak = float(np.nanmax(truth))
    panels = [gray(light, peak), gray(np.nan_to_num(truth), peak)]
    print("| method | correlation | power of the difference | seconds |")
    print("| --- | --- | --- | --- |")
    for name, (plugin, options) in METHODS.items():
        begun = perf_counter()
        result = load_stage(plugin, **options).run(found)
        seconds = perf_counter() - begun
        judged = at_target(result.frame)
        image = judged.image if judged.smoothed is None else judged.smoothed
        image = image - np.median(image)
        off = np.where(known, image - truth, 0)
        print(
            f"| {name} | {np.corrcoef(image[known], truth[known])[0, 1]:.4f} "
            f"| {np.sum(off**2) / np.sum(truth[known] ** 2):.4f} | {seconds:.1f} |"
        )
        panels += [gray(image, peak), half(off, 0.3 * peak)]
        if name == "psf-cae":
            panels.append(np.clip(result.layers["SUPPORT"].data, 0, 1))
    save(panels, figures / "deconvolve_pair.png", zoom=4, rows=2)


def hubble(data: Path, psf: Pixels, shape: tuple[int, int]) -> tuple[Pixels, Pixels]:
    """Return the Hubble image on the HSC pixels: at the target PSF, and under the PSF of HSC."""
    fine = fits.getdata(data / "cosmos_blend_hst_acs.fits.gz").astype(float)
    fine -= np.median(fine)
    factor = HSC_PIXEL / HST_PIXEL
    width = np.sqrt((TARGET_FWHM * HSC_PIXEL) ** 2 - HST_FWHM**2) / HST_PIXEL
    wide = gaussian_filter(fine, width / np.sqrt(8 * np.log(2)))
    own = WCS(fits.getheader(data / "cosmos_blend_hst_acs.fits.gz"))
    other = WCS(fits.getheader(data / "cosmos_blend_hsc_grizy.fits.gz")).celestial
    y, x = np.indices(shape)
    places = own.world_to_pixel(other.pixel_to_world(x, y))[::-1]

    def sampled(image: Pixels) -> Pixels:
        # A pixel of HSC is the sum of those of Hubble within it.
        summed = uniform_filter(image, round(factor)) * factor**2
        return map_coordinates(summed, places, order=1, mode="constant", cval=np.nan)

    sharp = sampled(wide)
    inside = np.isfinite(sampled(np.pad(fine, 0)))
    grid = np.arange(-40, 41) / factor
    stamp = map_coordinates(
        Psf(psf).stamps[0], np.meshgrid(*(2 * [grid + psf.shape[0] // 2]), indexing="ij"), order=3
    )
    seen = fftconvolve(fine, stamp / stamp.sum(), mode="same")
    # The PSF of HSC holds its pixel already.
    under = map_coordinates(seen * factor**2, places, order=1, mode="constant", cval=np.nan)
    edge = np.zeros(shape, dtype=bool)
    edge[EDGE:-EDGE, EDGE:-EDGE] = True
    known = inside & edge & np.isfinite(under)
    return np.where(known, sharp, np.nan), np.where(known, under, np.nan)


def large(data: Path, figures: Path) -> None:
    """Deconvolve a coadd with everything in it."""
    frame = decals(data)["r"]
    found = load_stage("pais").run(frame).frame
    begun = perf_counter()
    result = load_stage("psf-cae").run(found)
    told = {key: round(float(value), 4) for key, value in result.metrics.items()}
    print(f"decals r, {frame.shape}: {perf_counter() - begun:.1f} s, {told}")
    peak = float(np.percentile(frame.data, 99.9))
    sharp = result.frame.data - np.median(frame.data)
    light = frame.data - np.median(frame.data)
    chi = np.nan_to_num(result.layers["CHI"].data)
    support = np.nan_to_num(result.layers["SUPPORT"].data)
    panels = [gray(light, peak), gray(sharp, peak), half(chi, 5.0), np.clip(support, 0, 1)]
    save(panels, figures / "deconvolve_decals.png", zoom=1, rows=1)


def gray(image: Any, peak: float) -> Any:
    """Return an image as 0 to 1: linear when faint, logarithmic when bright."""
    return np.clip(np.arcsinh(30 * image / peak) / np.arcsinh(30), 0, 1)


def half(image: Any, most: float) -> Any:
    """Return differences as 0 to 1, 0 in the middle."""
    return np.clip(image / most, -1, 1) / 2 + 0.5


def save(panels: list[Any], path: Path, *, zoom: int, rows: int) -> None:
    """Write panels in rows."""
    size = -(-len(panels) // rows)
    blank = np.ones_like(panels[0])
    filled = [*panels, *[blank] * (rows * size - len(panels))]
    lines = []
    for row in range(rows):
        parts = []
        for panel in filled[row * size : (row + 1) * size]:
            shown = np.kron(panel[::-1], np.ones((zoom, zoom)))
            parts.append(np.pad(shown, GAP, constant_values=1))
        lines.append(np.hstack(parts))
    image = (255 * np.vstack(lines)).astype(np.uint8)
    Image.fromarray(image).quantize(64).save(path, optimize=True)


if __name__ == "__main__":
    main()
