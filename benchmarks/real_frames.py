"""Ready pipelines on real frames: what is flagged, changed and warned of, and what light is lost.

    python benchmarks/real_frames.py DATA -o OUT [--only NAME ...]

``DATA`` is the folder of real exposures. Each is run as it is, and again with stars, edge-on discs,
arcs, halos and rings of known light added (`astroclean.simulate.shapes`, S/N 20 to 300). What these
lose to fillers is told in percent. Writes ``real_frames.md`` (tables for the documentation) and a
picture of each run: the frame, its flags, the result.
"""

from __future__ import annotations

import argparse
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from astropy.stats import mad_std
from machine import told_machine
from PIL import Image

import astroclean
from astroclean.core.flags.planes import MADE_UP, MaskPlane
from astroclean.io.frames.read import open_exposure
from astroclean.report.drawing import PLANE_COLORS
from astroclean.simulate.shapes import SHAPES, AddedShape, add_shapes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

CCD = ("ccd", "maximask", "masks", "sharpen")
HST = ("hst", "maximask", "ccd")
MAPS = ("compact-sources", "far-infrared")

FRAMES: dict[str, tuple[float, tuple[str, ...], dict[str, Any]]] = {
    # FWHM in pixels, pipelines, settings that the header does not tell.
    "saao_ste3_rf0420_raw.fits": (3.0, CCD, {}),
    "ystar_saao_trail.fits": (2.0, CCD, {}),
    "kpno09m_a671_r_1200s.fits.fz": (2.5, CCD, {}),
    "kpno_m51_b.fits.gz": (2.5, CCD, {}),
    "ntt_emmi_na36_r.fits.gz": (3.0, CCD, {}),
    "decam_dq_cutouts_a.fits.gz": (4.0, CCD, {}),
    "decals_grz_cutout.fits.gz": (3.5, ("maximask", "ccd"), {"instrument.unit": "nmgy"}),
    "cosmos_blend_hsc_grizy.fits.gz": (4.0, ("maximask", "ccd"), {}),
    "cosmos_blend_hst_acs.fits.gz": (3.3, ("maximask", "ccd"), {}),
    "gmos_s_spectrum2d_cr.fits": (3.0, ("ccd",), {}),
    "hst_stis_m33_pair_top_flt.fits.gz": (1.6, HST, {}),
    "hst_wfpc2_ngc4151_cr_c0f.fits.gz": (1.5, HST, {}),
    "hst_wfpc2_omegacen_pc1_wf3.fits.gz": (1.6, HST, {}),
    "hst_wfc3ir_a2744_f105w.fits.gz": (3.0, HST, {}),
    "hst_wfc3ir_a2744_group_f105w.fits.gz": (3.0, HST, {}),
    "jwst_nircam_f090w_stars_a.fits.gz": (2.0, ("maximask", "ccd"), {"instrument.unit": "MJy/sr"}),
    "herschel_spire250_ngc5584.fits.gz": (3.0, MAPS, {}),
    "herschel_pacs100_ngc5584.fits.gz": (3.0, MAPS, {}),
    "jcmt_scuba850_l1551.fits": (2.4, MAPS[:1], {"psf.fwhm": "14 arcsec"}),
    # Its header tells pixels of half the size that they have.
    "wise12_ngc5584.fits.gz": (8.8, MAPS[:1], {"psf.fwhm": "8.8 pixel"}),
    "wise12_w5_nebula.fits.gz": (1.6, MAPS[:1], {"psf.fwhm": "1.6 pixel"}),
    "spitzer_irac_galplane.fits.gz": (1.6, MAPS[:1], {"psf.fwhm": "1.9 arcsec"}),
}
_MOST_LOST = 0.02
_MOST_FLAGGED = 0.05  # of the box of an added object: beyond, the place itself was bad


@dataclass(frozen=True)
class Loss:
    """What one added object lost."""

    shape: str
    snr: float
    part: float


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=())
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    rows, losses = [], []
    for name, (fwhm, pipelines, settings) in FRAMES.items():
        if arguments.only and not any(part in name for part in arguments.only):
            continue
        for pipeline in pipelines:
            try:
                row, lost = run_one(arguments, name, pipeline, fwhm, settings)
            except astroclean.AstrocleanError as error:
                row, lost = [name, pipeline, "refused", "", str(error)], []
            print(" | ".join(row), flush=True)
            for loss in lost:
                if loss.part > _MOST_LOST:
                    print(
                        f"    lost {loss.part:.1%} of a {loss.shape} of S/N {loss.snr:.0f}",
                        flush=True,
                    )
            rows.append(row)
            losses.append((name, pipeline, lost))
    (arguments.output / "real_frames.md").write_text(page(rows, losses), "utf-8")


def run_one(
    arguments: Any, name: str, pipeline: str, fwhm: float, settings: dict[str, Any]
) -> tuple[list[str], list[Loss]]:
    """Run one pipeline on one frame, as it is and with objects added."""
    stem = name.split(".", maxsplit=1)[0]
    folder = arguments.output / "runs" / f"{stem}-{pipeline}"
    set_by = [f"{key}={value}" for key, value in settings.items()]
    source = arguments.data / name
    record = run(pipeline, source, folder / "as_is", set_by)
    if record.status == "failed":
        return [name, pipeline, "refused", "", record.error or ""], []
    before, after, flags = images(source, folder / "as_is", record)
    picture(arguments.output / f"{stem}-{pipeline}.png", before, after, flags)
    lost = []
    if pipeline not in MAPS:
        path = folder / "added.fits"
        added = with_objects(source, path, fwhm, zlib.crc32(name.encode()))
        second = run(pipeline, path, folder / "added", set_by) if added else None
        if second is not None and second.status != "failed":
            given, result, marked = images(path, folder / "added", second)
            lost = list(lost_light(added, (before, after, flags), (given, result, marked)))
    frame = record.frames[0]
    pixels = frame.shape[0] * frame.shape[1]
    gained = {
        plane: count - frame.flagged_before.get(plane, 0)
        for plane, count in frame.flagged_after.items()
    }
    told = ", ".join(f"{p} {100 * n / pixels:.2g}" for p, n in gained.items() if n > 0)
    changed = f"{100 * frame.pixels_changed / pixels:.2g}"
    return [name, pipeline, told, changed, "; ".join(short(t) for t in record.suspect)], lost


def short(text: str) -> str:
    """Return a warning without the place that the table tells."""
    return text.split("stage ", 1)[-1].replace(" (option `limits`)", "")


def run(pipeline: str, path: Path, folder: Path, settings: list[str]) -> Any:
    """Run a ready pipeline; return the record of the file."""
    report = astroclean.run(
        pipeline, [str(path)], output=folder, settings=[*settings, "products.report=false"]
    )
    return report.files[0]


def images(
    source: Path, folder: Path, record: Any
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the first frame before, after, and its flags."""
    (name,) = [n for n in record.outputs if "_clean" in n or "_flags" in n]
    with open_exposure(str(source)) as one, open_exposure(str(folder / name)) as other:
        old, new = one.frame(one.slots[0]), other.frame(other.slots[0])
    return old.data, new.data, new.flags


def with_objects(source: Path, path: Path, fwhm: float, seed: int) -> list[AddedShape]:
    """Write a copy of a file whose first frame has objects added."""
    with open_exposure(str(source)) as exposure:
        slot = exposure.slots[0]
        data = exposure.frame(slot).data
    if min(data.shape) < 20 * fwhm:
        return []
    noise = float(mad_std(data - np.roll(data, 1, axis=0), ignore_nan=True)) / np.sqrt(2)
    rng = np.random.default_rng(seed)
    image, added = add_shapes(data, rng, noise=noise, fwhm=fwhm)
    keep = rng.permutation(len(added))[:60]
    image = np.array(data, dtype=np.float64)
    for number in keep:
        image[added[number].box] += added[number].light
    with fits.open(source) as hdus:
        hdu = hdus[slot.science.index]
        values = np.array(hdu.data, dtype=np.float32)
        values[slot.plane if slot.plane is not None else ...] = image
        copies = [
            type(h)(values, h.header)
            if h is hdu and not isinstance(h, fits.CompImageHDU)
            else fits.ImageHDU(values, h.header)
            if h is hdu
            else h.copy()
            for h in hdus
        ]
        if not isinstance(copies[0], fits.PrimaryHDU):
            copies.insert(0, fits.PrimaryHDU())
        fits.HDUList(copies).writeto(path, overwrite=True, output_verify="silentfix")
    return [added[number] for number in keep]


def lost_light(added: list[AddedShape], plain: Any, other: Any) -> Iterator[Loss]:
    """Yield what each object lost, beyond what was taken from its place without it."""
    (before, after, flags), (given, result, _) = plain, other
    taken = np.nan_to_num(given.astype(float) - result) - np.nan_to_num(
        before.astype(float) - after
    )
    bad = (flags & np.uint32(MADE_UP | MaskPlane.SATURATED | MaskPlane.NO_DATA)) != 0
    for one in added:
        if bad[one.box].mean() < _MOST_FLAGGED:
            yield Loss(one.shape, one.snr, float(taken[one.box].sum() / one.light.sum()))


def picture(path: Path, before: NDArray[Any], after: NDArray[Any], flags: NDArray[Any]) -> None:
    """Draw frame, flags and result side by side."""
    finite = before[np.isfinite(before)]
    low, high = np.percentile(finite, [5, 99.5])
    noise = max(float(mad_std(finite)), 1e-30)
    low, high = low - noise, max(high, low + 20 * noise)

    def gray(image: NDArray[Any]) -> NDArray[np.uint8]:
        part = np.clip((np.nan_to_num(image, nan=low) - low) / (high - low), 0, 1)
        values = np.rint(255 * np.arcsinh(part * 10) / np.arcsinh(10)).astype(np.uint8)
        return np.repeat(values[::-1, :, np.newaxis], 3, axis=2)

    overlay = gray(before)
    for plane in MaskPlane:
        if plane & (MaskPlane.SOURCE | MaskPlane.BRIGHT | MaskPlane.NEBULOSITY | MADE_UP):
            continue
        color = tuple(int(PLANE_COLORS[str(plane.name)][i : i + 2], 16) for i in (1, 3, 5))
        overlay[((flags & np.uint32(plane)) != 0)[::-1]] = color
    joined = np.concatenate([gray(before), overlay, gray(after)], axis=1)
    scale = max(1, 600 // before.shape[1])
    size = (joined.shape[1] * scale, joined.shape[0] * scale)
    Image.fromarray(joined).resize(size, Image.Resampling.NEAREST).save(path)


def page(rows: list[list[str]], losses: list[tuple[str, str, list[Loss]]]) -> str:
    """Return the tables as Markdown."""
    lines = [
        f"{told_machine('numpy', 'astropy')}.",
        "",
        "| frame | pipeline | newly flagged, % of the pixels | changed, % | suspect |",
        "| --- | --- | --- | --- | --- |",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        f"| frame | pipeline | objects | {' | '.join(SHAPES)} | above 2 % |",
        f"| --- | --- | --- | {' | '.join('---' for _ in SHAPES)} | --- |",
    ]
    for name, pipeline, lost in losses:
        if not lost:
            continue
        worst = [
            max((100 * loss.part for loss in lost if loss.shape == shape), default=float("nan"))
            for shape in SHAPES
        ]
        above = sum(loss.part > _MOST_LOST for loss in lost)
        cells = " | ".join(f"{value:.2g}" for value in worst)
        lines.append(f"| {name} | {pipeline} | {len(lost)} | {cells} | {above} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
