"""Counts, colors and confusion noise of the far-infrared simulator, beside published ones.

    python benchmarks/far_infrared_counts.py FIGURE.svg [--seeds 8] [--area 1]

Prints the tables of ``docs/explanation/far_infrared_sky.md`` and draws its figure. Published
counts, with their sources, are in ``data/far_infrared_counts.csv``.
"""

from __future__ import annotations

import argparse
import csv
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy.stats import sigma_clip
from machine import told_machine

from astroclean.evaluation.figure import Axes, Axis, Curve, Panel, draw_figure
from astroclean.simulate.far_infrared.band import MapRange
from astroclean.simulate.far_infrared.population import PopulationRange, draw_population
from astroclean.simulate.far_infrared.scene import FarInfraredConfig, simulate_far_infrared

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Values = NDArray[np.float64]

_COUNTS = Path(__file__).with_name("data") / "far_infrared_counts.csv"
_MODELS = ("luminosity", "counts")
_TITLES = {
    "bethermin2010": "Béthermin et al. 2010",
    "bethermin2012": "Béthermin et al. 2012",
    "oliver2010": "Oliver et al. 2010",
    "wang2017": "Wang et al. 2017, their power law",
}
_BANDS = {"24": (0.04, 20.0), "250": (2.0, 100.0), "350": (2.0, 100.0), "450": (1.0, 40.0)}
_BANDS["500"] = _BANDS["350"]
"""Fluxes between which counts are shown, mJy."""
_AT = {"24": (0.1, 0.3, 1.0, 3.0), "450": (2.0, 3.5, 5.0, 10.0, 20.0)}
_SPIRE_AT = (3.0, 6.0, 11.9, 23.8, 47.4, 67.0)
"""Fluxes of the table, mJy."""
_FAINTEST = 0.05
"""Of galaxies drawn, at 450 um, mJy: fainter ones are below all counts shown."""
_STERADIAN = (180 / np.pi) ** 2
"""Square degrees."""
_DENSITIES = (300, 1000, 3000)
"""Galaxies per square degree, where colors are compared."""
_CONFUSION = {"250": "5.8", "350": "6.3", "500": "6.8", "450": "0.65"}
"""mJy/beam: Nguyen et al. (2010, A&A 518, L5), who define it as the spatial variation of the sky in
the limit of infinite integration; at 450 um Gao et al. (2024, arXiv:2405.20616)."""


@dataclass(frozen=True)
class Published:
    """Counts of one source in one band."""

    source: str
    is_curve: bool
    flux: Values
    """mJy."""
    count: Values
    """Per mJy and square degree."""


def published() -> dict[str, list[Published]]:
    """Return published counts by band."""
    with _COUNTS.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    found: dict[str, list[Published]] = {band: [] for band in _BANDS}
    for band, source in dict.fromkeys((row["band"], row["source"]) for row in rows):
        here = [row for row in rows if (row["band"], row["source"]) == (band, source)]
        flux, count = (np.array([float(row[key]) for row in here]) for key in ("flux", "count"))
        found[band].append(Published(source, here[0]["kind"] == "curve", flux, count))
    return found


def main() -> int:
    """Draw, print, and write the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figure", type=Path)
    parser.add_argument("--seeds", type=int, default=8, help="draws of the parameters")
    parser.add_argument("--area", type=float, default=1.0, help="square degrees of a draw")
    parser.add_argument(
        "--fields", type=int, default=4, help="noise-free fields of each model; 0: none"
    )
    told = parser.parse_args()
    known = published()
    drawn = {
        model: [_galaxies(model, seed, told.area) for seed in range(told.seeds)]
        for model in _MODELS
    }
    print(told_machine("numpy", "scipy", "astropy"))
    _print_counts(drawn, known, told.area)
    _print_colors(drawn, known, told.area)
    if told.fields:
        _print_confusion(told.fields)
    panels = [_panel(band, drawn, known[band], told.area) for band in _BANDS]
    title = "Number counts of simulated far-infrared galaxies beside published ones"
    told.figure.write_text(draw_figure(panels, title), encoding="utf-8")
    return 0


def _galaxies(model: str, seed: int, area: float) -> dict[str, Values]:
    """Return the fluxes, by band, of the galaxies of one draw of all parameters."""
    rng = np.random.default_rng(seed)
    limits = PopulationRange.model_validate({"model": model, "faintest": _FAINTEST})
    return draw_population(rng, limits).draw(rng, area).fluxes


def _counts(flux: Values, band: str, area: float) -> tuple[Values, Values]:
    """Return fluxes, and counts per mJy and square degree."""
    edges = np.geomspace(*_BANDS[band], 17)
    count = np.histogram(flux, edges)[0] / np.diff(edges) / area
    return np.sqrt(edges[:-1] * edges[1:]), count


def _spread(draws: Sequence[Mapping[str, Values]], band: str, area: float) -> tuple[Values, ...]:
    """Return fluxes, and lowest, middle and highest counts of the draws."""
    each = [_counts(draw[band], band, area) for draw in draws]
    many = np.array([count for _, count in each])
    return each[0][0], many.min(axis=0), np.median(many, axis=0), many.max(axis=0)


def _at(flux: float, known: Values, count: Values) -> float:
    """Return counts at a flux, between those known; NaN beyond."""
    if not known[0] * 0.9 < flux < known[-1] * 1.1:
        return float("nan")
    logarithms = np.log(np.maximum(count, 1e-9))
    return float(np.exp(np.interp(np.log(flux), np.log(known), logarithms)))


def _print_counts(
    drawn: Mapping[str, list[dict[str, Values]]],
    known: Mapping[str, list[Published]],
    area: float,
) -> None:
    print("\n| band | mJy | published | by | luminosity: middle (range) | counts: middle (range) |")
    print("| --- | --- | --- | --- | --- | --- |")
    for band in _BANDS:
        spreads = [_spread(drawn[model], band, area) for model in _MODELS]
        for source in known[band]:
            for flux in _AT.get(band, _SPIRE_AT):
                value = _at(flux, source.flux, source.count)
                if not np.isfinite(value):
                    continue
                cells = []
                for known_flux, *three in spreads:
                    low, middle, high = (_at(flux, known_flux, count) for count in three)
                    cells.append(f"{middle / value:.2f} ({low / value:.2f}-{high / value:.2f})")
                print(f"| {band} | {flux:g} | {value:.3g} | {_TITLES[source.source]} | ", end="")
                print(" | ".join(cells), "|")


def _brighter_than(counts: Published, density: float) -> float:
    """Return the flux above which published counts have a density, mJy."""
    # Trapezoids of the logarithms, from the bright end; beyond it there are few.
    flux, count = counts.flux, counts.count * counts.flux
    steps = 0.5 * (count[1:] + count[:-1]) * np.diff(np.log(flux))
    above = np.append(np.cumsum(steps[::-1])[::-1], 0)
    return float(np.exp(np.interp(-density, -above, np.log(flux))))


def _print_colors(
    drawn: Mapping[str, list[dict[str, Values]]],
    known: Mapping[str, list[Published]],
    area: float,
) -> None:
    print("\n| galaxies per square degree | published, mJy | luminosity | counts |")
    print("| --- | --- | --- | --- |")
    bands = ("250", "350", "500")
    for density in _DENSITIES:
        cells = [" / ".join(f"{_brighter_than(known[band][0], density):.1f}" for band in bands)]
        for model in _MODELS:
            each = [
                [np.sort(draw[band])[-int(density * area)] for band in bands]
                for draw in drawn[model]
            ]
            cells.append(" / ".join(f"{value:.1f}" for value in np.median(each, axis=0)))
        print(f"| {density} | {' | '.join(cells)} |")
    print("\n| model | galaxies | S350/S250: 16, 50, 84 % | S500/S350 | S450/S250 |")
    print("| --- | --- | --- | --- | --- |")
    for model in _MODELS:
        for low, high in ((5, 10), (20, 40)):
            joined = {
                band: np.concatenate([draw[band] for draw in drawn[model]]) for band in _BANDS
            }
            chosen = (joined["250"] > low) & (joined["250"] < high)
            cells = []
            for first, second in (("350", "250"), ("500", "350"), ("450", "250")):
                ratio = (joined[first] / joined[second])[chosen]
                cells.append(" ".join(f"{v:.2f}" for v in np.percentile(ratio, [16, 50, 84])))
            print(f"| {model} | {low}-{high} mJy at 250 um | {' | '.join(cells)} |")


def _print_confusion(fields: int) -> None:
    """Print the standard deviation of maps without noise."""
    maps = MapRange(noise=(1e-6, 1e-6), correlated=(0, 0), gain=(1, 1), shift=(0, 0))
    print("\n| model | band | published | all pixels | clipped at 5 sigma | clipped at 3 sigma |")
    print("| --- | --- | --- | --- | --- | --- |")
    for model in _MODELS:
        population = PopulationRange.model_validate({"model": model})
        config = FarInfraredConfig(population=population, maps=maps)
        images: dict[str, list[Values]] = {band: [] for band in _CONFUSION}
        for seed in range(fields):
            scene = simulate_far_infrared(seed=seed, shape=(200, 200), config=config)
            for band, one in scene.bands.items():
                images[band].append(one.frame.data.astype(float))
            images["450"].append(scene.fine.data.astype(float))
        for band, told in _CONFUSION.items():
            cells = []
            for sigma in (None, 5.0, 3.0):
                each = [_deviation(image, sigma) for image in images[band]]
                cells.append(f"{np.median(each):.2f} ({min(each):.2f}-{max(each):.2f})")
            print(f"| {model} | {band} | {told} | {' | '.join(cells)} |")


def _deviation(image: Values, sigma: float | None) -> float:
    """Return the standard deviation of pixels, clipped until none is left to clip."""
    if sigma is None:
        return float(image.std())
    kept = sigma_clip(image, sigma=sigma, maxiters=None, masked=False, copy=True)
    return float(kept.std())


def _panel(
    band: str,
    drawn: Mapping[str, list[dict[str, Values]]],
    known: Sequence[Published],
    area: float,
) -> Panel:
    """Return the panel of a band: counts times flux to the power of 2.5, Jy^1.5 / sr."""
    marks = []
    for model, title in zip(_MODELS, ("luminosity function", "counts, held out"), strict=True):
        flux, *three = _spread(drawn[model], band, area)
        for count, what in zip(three, ("range", "middle", "range"), strict=True):
            y = _euclidean(flux, np.where(count > 0, count, np.nan))
            marks.append(Curve(tuple(flux), y, label=f"{title}, {what}"))
    # Labels get their styles by their order: the middle of a model is a plain line.
    marks.sort(key=lambda mark: (mark.label.startswith("counts"), mark.label.endswith("range")))
    low, high = _BANDS[band]
    for source in known:
        shown = (source.flux >= low * 0.9) & (source.flux <= high * 1.1)
        y = _euclidean(source.flux[shown], source.count[shown])
        told = _TITLES[source.source]
        marks.append(Curve(tuple(source.flux[shown]), y, joined=source.is_curve, label=told))
    ends = (10.0, 1000.0) if band == "24" else (300.0, 1e5)
    x = Axis("flux density (mJy)", low * 0.9, high * 1.1, "log")
    y_axis = Axis("S^2.5 dN/dS (Jy^1.5 / sr)", *ends, "log")
    return Panel(Axes(f"{band} um", x, y_axis), tuple(marks))


def _euclidean(flux: Values, count: Values) -> tuple[float, ...]:
    """Return counts times flux to the power of 2.5."""
    per_jansky = count * 1000 * _STERADIAN
    return tuple(float(value) for value in (flux / 1000) ** 2.5 * per_jansky)


if __name__ == "__main__":
    sys.exit(main())
