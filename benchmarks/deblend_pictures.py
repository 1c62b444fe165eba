"""Pictures of `pais` on real fields: image, models, what they leave, beside the segments of `sep`.

    python benchmarks/deblend_pictures.py DATA docs/how_to/figures [--only NAME ...]

``DATA`` is the folder of real exposures. One PNG for each field, with these panels: the frame less
its sky; the sum of all models; frame less sky and models over the noise, from -5 (black) to 5
(white); the segments of `pais` with the centers; those of `sep`. Prints a table of the fields.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from astropy.nddata import StdDevUncertainty
from machine import told_machine
from PIL import Image

from astroclean.core.image.frame import Frame
from astroclean.core.image.frameset import FrameSet
from astroclean.core.psf.psf import Psf
from astroclean.errors import AstrocleanWarning
from astroclean.registry.load import load_stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from astroclean.core.sources.sources import Sources

COLORS = 64
GAP = 4
SPREAD = 5.0
DEEP = 60.0
LIT = 3.0


@dataclass(frozen=True)
class Field:
    """A real field: how it is read, the band that is shown, pixels of the picture along one."""

    read: Callable[[Path], FrameSet]
    band: str
    zoom: int


def scarlet_field(data: Path) -> FrameSet:
    """Return the HSC blend of scarlet with its variances, masks and PSFs."""
    with np.load(data / "scarlet_hsc_cosmos_35.npz") as told:
        planes = {name: told[name] for name in told.files}
    frames = {}
    for index, band in enumerate(planes["filters"]):
        frames[str(band)] = Frame(
            planes["images"][index],
            unit="adu",
            uncertainty=StdDevUncertainty(np.sqrt(planes["variance"][index])),
            mask=~np.isfinite(planes["variance"][index]),
            psf=Psf(planes["psfs"][index]),
            frame_id=f"scarlet_hsc_cosmos_35.npz[{band}]",
        )
    return FrameSet(frames)


def cosmos_hsc(data: Path) -> FrameSet:
    """Return the same sky as `cosmos_hst` with HSC; its noise is measured."""
    images = fits.getdata(data / "cosmos_blend_hsc_grizy.fits.gz")
    psfs = fits.getdata(data / "cosmos_blend_hsc_grizy_psf.fits.gz")
    return FrameSet(
        {
            band: Frame(image, unit="adu", psf=Psf(psf), frame_id=f"cosmos_blend_hsc[{band}]")
            for band, image, psf in zip("grizy", images, psfs, strict=True)
        }
    )


def cosmos_hst(data: Path) -> FrameSet:
    """Return the field of HST ACS; its noise is measured."""
    psf = fits.getdata(data / "cosmos_blend_hst_acs_psf.fits.gz")
    image = fits.getdata(data / "cosmos_blend_hst_acs.fits.gz")
    return FrameSet({"F814W": Frame(image, unit="adu", psf=Psf(psf), frame_id="cosmos_blend_hst")})


def group_hst(data: Path) -> FrameSet:
    """Return the group of WFC3/IR; the PSF is the model of F160W, which is 10 % too wide."""
    with fits.open(data / "psf_model_jwst_hst_ceers.fits.gz") as hdus:
        psf = Psf.resampled(hdus["WFC3_F160W"].data, scale=0.06 / 0.04)
    frame = Frame.read(data / "hst_wfc3ir_a2744_group_f105w.fits.gz")
    return FrameSet({"F105W": frame.replace(psf=psf)})


def decals(data: Path) -> FrameSet:
    """Return the coadds of the Legacy Survey with their inverse variances and PSFs."""
    frames = {}
    with (
        fits.open(data / "decals_grz_cutout.fits.gz") as hdus,
        fits.open(data / "decals_grz_cutout_psf.fits.gz") as psfs,
    ):
        for index, band in enumerate("grz"):
            weight = np.asarray(hdus[2 * index + 2].data, dtype=float)
            with np.errstate(divide="ignore"):
                deviation = 1 / np.sqrt(weight)
            frames[band] = Frame(
                hdus[2 * index + 1].data,
                unit="nmgy",
                uncertainty=StdDevUncertainty(deviation),
                mask=weight <= 0,
                psf=Psf(psfs[index].data),
                frame_id=f"decals_grz_cutout[{band}]",
            )
    return FrameSet(frames)


FIELDS = {
    "hsc": Field(scarlet_field, "i", 4),
    "cosmos_hsc": Field(cosmos_hsc, "i", 4),
    "cosmos_hst": Field(cosmos_hst, "F814W", 1),
    "hst_group": Field(group_hst, "F105W", 2),
    "decals": Field(decals, "r", 1),
}


def main() -> None:
    """Draw what the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("figures", type=Path)
    parser.add_argument("--only", nargs="*", default=sorted(FIELDS))
    told = parser.parse_args()
    told.figures.mkdir(parents=True, exist_ok=True)
    print(told_machine())
    print("| field | sources | `sep` | chi2 where lit | beyond 5 sigma | seconds | said |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, field in FIELDS.items():
        if name in told.only:
            print(one_field(name, field, told.data, told.figures), flush=True)


def one_field(name: str, field: Field, data: Path, figures: Path) -> str:
    """Deblend a field and draw it; return its row of the table."""
    frames = field.read(data)
    stage = load_stage("pais")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", AstrocleanWarning)
        begin = perf_counter()
        if len(frames.bands) > 1:
            result = stage.run_set(frames)[field.band]
        else:
            result = stage.run(frames[field.band])
        seconds = perf_counter() - begin
        other = load_stage("sep").run(frames[field.band]).frame.sources
    frame, sources = result.frame, result.frame.sources
    assert sources is not None
    assert other is not None
    sky = result.layers["BACKGROUND"].data
    model = result.layers["MODEL"].data
    noise = frame.noise("scatter")
    light = frame.data - sky
    left = np.where(frame.usable, (light - model) / noise, 0)
    panels = [
        stretched(light, noise),
        stretched(model, noise),
        (np.clip(left, -SPREAD, SPREAD) + SPREAD) / (2 * SPREAD),
        segments(sources),
        segments(other),
    ]
    image = joined([painted(panel, field.zoom) for panel in panels])
    for places, number in ((sources, 3), (other, 4)):
        dots(image, places, number, field.zoom, frame.shape)
    Image.fromarray(image).quantize(COLORS, dither=Image.Dither.NONE).save(
        figures / f"deblend_{name}.png", optimize=True
    )
    lit = frame.usable & (model > LIT * noise)
    chi2 = float(np.mean(left[lit] ** 2)) if lit.any() else float("nan")
    strong = float(np.mean(np.abs(left[lit]) > SPREAD)) if lit.any() else float("nan")
    told = "; ".join(sorted({str(one.message).split(": ", 1)[-1][:60] for one in said})) or "-"
    return (
        f"| {name} | {len(sources)} | {len(other)} | {chi2:.2f} | {100 * strong:.1f} % "
        f"| {seconds:.1f} | {told} |"
    )


def stretched(light: Any, noise: Any) -> Any:
    """Return light as gray, 0 to 1: linear in the noise, logarithmic far above it."""
    scaled = np.nan_to_num(light / noise)
    top = max(float(np.percentile(scaled, 99.7)), DEEP)
    return np.clip((np.arcsinh(scaled / 2) + 1) / (np.arcsinh(top / 2) + 1), 0, 1)


def segments(sources: Sources) -> Any:
    """Return the segments, each with a color, (ny, nx, 3)."""
    labels = sources.segmentation
    assert labels is not None
    # Fixed colors far from each other: turns of the golden section.
    turn = np.arange(int(labels.max()) + 1) * 0.618034 * 2 * np.pi
    colors = 0.55 + 0.3 * np.cos(turn[:, np.newaxis] + np.array([0, 2.1, 4.2]))
    colors[0] = 0
    return colors[labels]


def painted(panel: Any, zoom: int) -> Any:
    """Return a panel as bytes, the first row at the bottom."""
    shown = np.asarray(panel)
    if shown.ndim == 2:  # noqa: PLR2004 - gray
        shown = np.repeat(shown[..., np.newaxis], 3, axis=2)
    large = shown[::-1].repeat(zoom, axis=0).repeat(zoom, axis=1)
    return np.asarray(np.rint(large * (COLORS - 1)) * (255 / (COLORS - 1)), dtype=np.uint8)


def joined(panels: list[Any]) -> Any:
    """Return panels side by side with white between them."""
    white = np.full((panels[0].shape[0], GAP, 3), 255, dtype=np.uint8)
    row = [part for panel in panels for part in (panel, white)]
    return np.concatenate(row[:-1], axis=1)


def dots(image: Any, sources: Sources, panel: int, zoom: int, shape: tuple[int, int]) -> None:
    """Mark the centers on a panel, in place."""
    half = max(zoom // 2, 1)
    for x, y in zip(sources.table["x"], sources.table["y"], strict=True):
        row = int((shape[0] - 0.5 - float(y)) * zoom)
        column = int((float(x) + 0.5) * zoom) + panel * (shape[1] * zoom + GAP)
        image[max(row - half, 0) : row + half, max(column - half, 0) : column + half] = 255


if __name__ == "__main__":
    main()
