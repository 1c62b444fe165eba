"""Compare simulated frames with real ones: ``python benchmarks/realism.py DATA_FOLDER FIGURES``.

Prints the tables of ``docs/explanation/realism.md`` and draws its figures. Needs matplotlib, sep,
scipy and GalSim; nothing of astroclean needs matplotlib.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import sep
from astropy.io import fits
from astropy.stats import mad_std
from scipy.optimize import curve_fit
from scipy.stats import ks_2samp

from astroclean.simulate.cirrus import simulate_cirrus
from astroclean.simulate.contaminants.cosmic_rays import load_hits, simulate_hit
from astroclean.simulate.contaminated import ContaminatedConfig, simulate_contaminated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

mpl.use("Agg")
import matplotlib.pyplot as plt

# Name, file, HDU, window (rows, columns), gain and read noise where the header or README has them.
FRAMES = (
    ("KPNO 0.9 m, A671", "kpno09m_a671_r_1200s.fits.fz", 1, (300, 1200, 200, 1100), 5.6, 4.0),
    ("NTT EMMI, NA36", "ntt_emmi_na36_r.fits.gz", 0, None, None, None),
    ("SAAO 1.0 m, raw", "saao_ste3_rf0420_raw.fits", 0, (20, 500, 20, 480), 1.9, None),
    ("DECam, z, cut 4", "decam_dq_cutouts_a.fits.gz", ("SCI", 4), None, None, None),
    ("STIS, M33", "hst_stis_m33_pair_top_flt.fits.gz", 1, (100, 400, 300, 700), 1.0, 3.99),
)
MEASURES = {
    "length (px)": lambda hit: float(np.hypot(*hit.shape)),
    "width (px)": lambda hit: _width(hit),  # noqa: PLW0108 - defined below
    "charge (electron)": lambda hit: float(hit.sum()),
    "area (px)": lambda hit: float(np.count_nonzero(hit)),
    "peak (electron)": lambda hit: float(hit.max()),
}


def _width(hit: NDArray[np.float64]) -> float:
    """Return the full width across a hit, of a box with the same variance."""
    y, x = np.nonzero(hit)
    if y.size == 1:
        return 1.0
    spread = np.cov(np.vstack([x, y]), aweights=hit[y, x], bias=True)
    return float(np.sqrt(12 * (max(np.linalg.eigvalsh(spread)[0], 0) + 1 / 12)))


def cosmic_rays(data: Path, figures: Path) -> None:
    """Compare the distributions of hits."""
    rng = np.random.default_rng(3)
    groups = {
        "real, for training": load_hits(data),
        "real, for tests": load_hits(data, test=True),
        "simulated": [simulate_hit(rng) for _ in range(4000)],
    }
    print("| measure | simulated - training | simulated - tests | training - tests |")
    fig, axes = plt.subplots(1, 5, figsize=(15, 3.2), layout="constrained")
    for axis, (name, measure) in zip(axes, MEASURES.items(), strict=True):
        values = {key: np.sort([measure(hit) for hit in hits]) for key, hits in groups.items()}
        train, test, simulated = values.values()
        pairs = ((simulated, train), (simulated, test), (train, test))
        numbers = " | ".join(f"{ks_2samp(a, b).statistic:.3f}" for a, b in pairs)
        print(f"| {name} | {numbers} |")
        for key, value in values.items():
            axis.plot(value, np.linspace(0, 1, value.size), label=key, lw=1.2)
        axis.set(xscale="log", xlabel=name)
    axes[0].set_ylabel("share of hits below")
    axes[0].legend(fontsize=7)
    fig.savefig(figures / "realism_cosmic_rays.png", dpi=70)
    _hit_sheet(groups, figures)


def _hit_sheet(groups: dict[str, Sequence[NDArray[np.float64]]], figures: Path) -> None:
    rng = np.random.default_rng(5)
    fig, axes = plt.subplots(2, 1, figsize=(11, 4.6), layout="constrained")
    for axis, key in zip(axes, ("real, for training", "simulated"), strict=True):
        large = [h for h in groups[key] if 5 < max(h.shape) < 40]  # noqa: PLR2004
        sheet = np.zeros((84, 420))
        for row in range(2):
            for column in range(10):
                hit = large[int(rng.integers(len(large)))]
                y, x = 42 * row + 1, 42 * column + 1
                sheet[y : y + hit.shape[0], x : x + hit.shape[1]] = hit
        axis.imshow(np.arcsinh(sheet / 100), cmap="gray_r", origin="lower")
        axis.set(title=key, xticks=[], yticks=[])
    fig.savefig(figures / "realism_hits.png", dpi=60)


def _loaded(data: Path) -> dict[str, tuple[NDArray[np.float32], float | None, float | None]]:
    frames = {}
    for name, file, hdu, window, gain, read_noise in FRAMES:
        image = np.asarray(fits.getdata(data / file, hdu), dtype=np.float32)
        if window:
            image = image[window[0] : window[1], window[2] : window[3]]
        frames[name] = np.ascontiguousarray(image), gain, read_noise
    return frames


def _statistics(image: NDArray[np.float32]) -> dict[str, float]:
    """Return noise, correlation of neighbours, excess of the wings, and detections."""
    background = sep.Background(image, bw=64, bh=64)
    residual = image - background.back()
    sigma = background.globalrms
    sources, segmentation = sep.extract(residual, 1.5, err=sigma, minarea=5, segmentation_map=True)
    empty = (segmentation == 0) & (np.abs(residual) < 5 * sigma)
    pairs = empty[:, 1:] & empty[:, :-1]
    correlation = np.corrcoef(residual[:, 1:][pairs], residual[:, :-1][pairs])[0, 1]
    values = residual[empty] / sigma
    flux = np.sort(sources["flux"][sources["flux"] > 0])[::-1]
    # Slope of the cumulative counts by its maximum likelihood, above the median (complete).
    bright = flux[: max(flux.size // 2, 2)]
    slope = (bright.size - 1) / np.sum(np.log(bright / bright[-1])) if bright.size > 2 else np.nan  # noqa: PLR2004
    return {
        "sky": float(background.globalback),
        "noise": float(sigma),
        "correlation": float(correlation),
        "beyond 3 sigma": float(np.mean(np.abs(values) > 3)),  # noqa: PLR2004
        "sources": sources.size * 65536 / image.size,
        "slope": float(slope),
    }


def _profile(image: NDArray[np.float32]) -> tuple[float, float, NDArray, NDArray] | None:
    """Return FWHM and exponent of a Moffat profile through the stacked isolated stars."""
    background = sep.Background(image, bw=64, bh=64)
    residual = image - background.back()
    found = sep.extract(residual, 5.0, err=background.globalrms, minarea=5)
    ratio = found["b"] / found["a"]
    peak = found["peak"]
    good = (ratio > 0.8) & (peak > 30 * background.globalrms) & (peak < 0.5 * residual.max())  # noqa: PLR2004
    radius, light = [], []
    rows, columns = np.indices(image.shape)
    sizes = np.sqrt(found["a"] * found["b"])[good]
    if good.sum() < 4:  # noqa: PLR2004
        return None
    typical = np.quantile(sizes, 0.3)  # galaxies are larger
    for star in found[good][np.abs(sizes / typical - 1) < 0.3][:40]:  # noqa: PLR2004
        gaps = np.hypot(found["x"] - star["x"], found["y"] - star["y"])
        if np.sort(gaps)[1] < 14:  # noqa: PLR2004
            continue
        r = np.hypot(columns - star["x"], rows - star["y"])
        near = r < 9  # noqa: PLR2004
        radius.append(r[near])
        light.append(residual[near] / star["flux"])
    if len(radius) < 3:  # noqa: PLR2004
        return None
    r, v = np.concatenate(radius), np.concatenate(light)
    edges = np.arange(0, 9.5, 0.5)
    which = np.digitize(r, edges) - 1
    middle = np.array([np.mean(r[which == k]) for k in range(18)])
    mean = np.array([np.median(v[which == k]) for k in range(18)])
    # The median of the ring is not misled by neighbours; what is left of the sky is fitted.
    (peak_, gamma, beta, sky), _ = curve_fit(
        lambda x, p, g, b, c: p * (1 + (x / g) ** 2) ** -b + c,
        middle,
        mean,
        p0=(mean.max(), 2.0, 3.0, 0.0),
        bounds=((0, 0.3, 1.5, -0.1), (10, 30, 8, 0.1)),
    )
    fwhm = 2 * gamma * np.sqrt(2 ** (1 / beta) - 1)
    # Narrower things are particle hits and hot pixels, no stars.
    if fwhm < 1.3:  # noqa: PLR2004
        return None
    return fwhm, beta, middle / fwhm, (mean - sky) / peak_


def frames(data: Path, figures: Path) -> None:
    """Compare noise, source counts and star profiles."""
    sep.set_extract_pixstack(3_000_000)
    fig, axis = plt.subplots(figsize=(5.5, 3.8), layout="constrained")
    print("\n| frame | noise | from gain | correlation | beyond 3 sigma | sources | slope |")
    for name, (image, gain, read_noise) in _loaded(data).items():
        s = _statistics(image)
        told = ""
        if gain and read_noise:
            told = f"{np.sqrt(max(s['sky'], 0) * gain + read_noise**2) / gain:.2f}"
        print(_row(name, s, told))
        _draw_profile(axis, name, _profile(image), "-")
    clean = ContaminatedConfig(chances={"cosmic_rays": 0.0})
    rows = []
    for seed in range(24):
        scene = simulate_contaminated(seed=seed, shape=(512, 512), config=clean)
        s = _statistics(scene.frame.data)
        s["ratio"] = s["noise"] / float(scene.notes["noise"])
        rows.append(s)
        if seed < 5:  # noqa: PLR2004
            fwhm = f"simulated, true {scene.notes['fwhm_pixels']:.1f}"
            _draw_profile(axis, fwhm, _profile(scene.frame.data), ":")
    for quantile in (0.1, 0.5, 0.9):
        s = {key: float(np.nanquantile([row[key] for row in rows], quantile)) for key in rows[0]}
        print(_row(f"simulated, {100 * quantile:.0f} %", s, f"measured/true {s['ratio']:.3f}"))
    axis.set(yscale="log", ylim=(1e-3, 1.5), xlabel="radius / FWHM", ylabel="light / peak")
    axis.set_xlim(0, 3)
    axis.legend(fontsize=6)
    fig.savefig(figures / "realism_profiles.png", dpi=70)


def _row(name: str, s: dict[str, float], told: str) -> str:
    return (
        f"| {name} | {s['noise']:.2f} | {told} | {s['correlation']:.3f} | "
        f"{s['beyond 3 sigma']:.4f} | {s['sources']:.0f} | {s['slope']:.2f} |"
    )


def _draw_profile(axis: plt.Axes, name: str, profile: tuple | None, line: str) -> None:
    if profile is None:
        return
    fwhm, beta, radius, light = profile
    print(f"profile, measured: {name}: FWHM {fwhm:.2f} px, beta {beta:.2f}")
    axis.plot(radius, light, line, lw=1.2, label=f"{name}: {fwhm:.1f} px, beta {beta:.1f}")


def sheet(data: Path, figures: Path) -> None:
    """Draw real frames above simulated ones."""
    fig, axes = plt.subplots(3, 5, figsize=(12.5, 7.6), layout="constrained")
    for axis, (name, (image, _, _)) in zip(axes[0], _loaded(data).items(), strict=True):
        _show(axis, image[:256, :256], name)
    for axis, seed in zip(axes[1], (1, 2, 5, 6, 9), strict=True):
        scene = simulate_contaminated(seed=seed, shape=(256, 256))
        _show(axis, scene.frame.data, f"contaminated, seed {seed}")
    maps = {
        "SPIRE 250, real": ("herschel_spire250_ngc5584.fits.gz", (150, 406)),
        "WISE 12, W5, real": ("wise12_w5_nebula.fits.gz", (500, 756)),
    }
    for axis, (name, (file, (low, high))) in zip(axes[2], maps.items(), strict=False):
        image = np.asarray(fits.getdata(data / file), dtype=np.float32)
        _show(axis, image[low:high, low:high], name, linear=True)
    for axis, seed in zip(axes[2][2:], (0, 2, 4), strict=True):
        image = simulate_cirrus(seed=seed, shape=(256, 256)).frame.data
        _show(axis, image, f"cirrus, seed {seed}", linear=True)
    fig.savefig(figures / "realism_frames.png", dpi=60)


def _show(axis: plt.Axes, image: NDArray[np.float32], title: str, *, linear: bool = False) -> None:
    axis.set(title=title, xticks=[], yticks=[])
    if linear:
        low, high = np.nanpercentile(image, [1, 99.5])
        axis.imshow(image, cmap="gray", vmin=low, vmax=high, origin="lower")
        return
    middle = np.median(image)
    sigma = mad_std(image)
    axis.imshow(
        np.arcsinh((image - middle) / sigma / 2), cmap="gray", vmin=-1.5, vmax=4, origin="lower"
    )


def main() -> None:
    """Print all tables and draw all figures."""
    data, figures = Path(sys.argv[1]), Path(sys.argv[2])
    figures.mkdir(parents=True, exist_ok=True)
    cosmic_rays(data, figures)
    frames(data, figures)
    sheet(data, figures)


if __name__ == "__main__":
    main()
