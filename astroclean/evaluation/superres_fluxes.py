"""Rows and panels of super-resolved fields: what is told of sources by their flux."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from astroclean.evaluation.binning import class_quantiles, log_means
from astroclean.evaluation.figure import Axes, Axis, Boxes, Curve, Panel
from astroclean.evaluation.metrics.counts import beyond_chance, told_bins, told_error
from astroclean.evaluation.metrics.deblend import scatter
from astroclean.evaluation.metrics.recovery import coverage
from astroclean.evaluation.metrics.remove import spread
from astroclean.evaluation.superresolved import (
    LEAST_PARTNER,
    RADII,
    Entries,
    Superresolved,
    Truths,
)
from astroclean.evaluation.table import Column, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Values = NDArray[np.float64]

__all__ = ["FLUX_COLUMNS", "flux_panels", "flux_rows"]

_EDGES = (3.0, 6.0, 9.0, 15.0, 30.0, np.inf)
_NAMES = ("3-6 mJy", "6-9 mJy", "9-15 mJy", "15-30 mJy", "> 30 mJy")
_BRIGHT = 9.0
_CLASSES = (
    ("all", _EDGES[0], np.inf),
    *zip(_NAMES, _EDGES[:-1], _EDGES[1:], strict=True),
    (f"> {_BRIGHT:g} mJy", _BRIGHT, np.inf),
)
_PLACED = 6.0
"""mJy of the true sources whose offsets are told for all."""
_HALF = 0.5
"""Of the measured flux, of a partner that is not much fainter."""
_FEWEST = 5
"""Of entries from which the factor of a plugin of one band is told by bright ones alone; of sources
of which a share means something."""
_STEPS = 10
"""Of choosing bright entries anew, with the factor that they tell."""


def _shares(radius: float) -> tuple[Column, ...]:
    near = f"within {radius:g} arcsec"
    freed = f"{near}, freed of chance"
    return (
        Column(f"compl {radius:g}", f"share of true sources with an entry {freed}"),
        Column(f"purity {radius:g}", f"share of entries with a true source of 1 mJy {freed}"),
        Column(f"half {radius:g}", f"the same of one with at least half their flux {freed}"),
        Column(f"raw compl {radius:g}", f"share of true sources with an entry {near}"),
        Column(f"raw purity {radius:g}", f"share of entries with a true source of 1 mJy {near}"),
        Column(f"raw half {radius:g}", f"the same of one with at least half their flux {near}"),
    )


FLUX_COLUMNS = (
    Column("true", "true sources, by true flux at 450 um; all: from 3 mJy", form=".0f"),
    Column("entries", "of the catalogue, by measured flux, likewise", form=".0f"),
    Column("counts", "entries over true sources"),
    *(column for radius in RADII for column in _shares(radius)),
    Column("place", "median distance of entry and true source; all: from 6 mJy", "arcsec", ".2f"),
    Column("place 90", "90 percent of these distances are below", "arcsec", ".2f"),
    Column("ratio", "flux / true flux by measured flux, median"),
    Column("mean ratio", "mean of that"),
    Column("ratio scatter", "1.4826 median absolute deviation of that"),
    Column("true ratio", "flux / true flux by true flux, median"),
    Column("mean true ratio", "mean of that"),
    Column("true ratio scatter", "1.4826 median absolute deviation of that"),
    Column("flux 68", "share of the fluxes, by measured flux, within 1 stated deviation"),
    Column("flux 95", "within 1.96"),
    Column("told compl", "harmonic mean of the completeness of entries: should be raw compl 12"),
    Column("told purity", "mean of the reliability of entries: should be raw half 12"),
    Column("reliability ECE", "expected calibration error of that"),
    Column("faintest", "1 percent of the catalogue is fainter", "mJy", ".2f"),
    Column("factor", "by which fluxes of a plugin of one band were multiplied", form=".4f"),
    Column("map corr", "correlation of map and truth, 7.9 arcsec"),
    Column("map RMS", "rms of map less truth", "mJy/beam"),
    Column("offset", "mean of map less truth", "mJy/beam"),
    Column("missing", "share of the pixels that the map does not have"),
    Column("width", "FWHM of bright isolated sources in the map", "arcsec", ".2f"),
    Column("stated width", "FWHM of the PSF that the plugin states", "arcsec", ".2f"),
    Column("light", "light around bright sources over the true light, circles of one beam"),
)

_FLUX, _BINS = (3.0, 60.0), 9
_TRUE_FLUX = Axis("true flux [mJy]", 1.0, 100.0, "log")
_MEASURED = Axis("measured flux [mJy]", 1.0, 100.0, "log")
_COMPLETENESS = Axes(
    "Completeness", _TRUE_FLUX, Axis("share of true sources, 12 arcsec, less chance", 0.0, 1.0)
)
_PURITY = Axes("Purity", _MEASURED, Axis("share of entries, 12 arcsec, less chance", 0.0, 1.0))
_COUNTS = Axes("Counts", Axis("flux [mJy]", 1.0, 100.0, "log"), Axis("entries / true sources", 0.0))
_FLUXES = Axes("Fluxes", _TRUE_FLUX, _MEASURED, diagonal=True)
_RATIO = Axes("Flux ratio", Axis("", names=_NAMES), Axis("flux / true flux", 0.0, 2.5))
_OFFSET = Axes(
    "Offsets",
    Axis("distance of entry and true source [arcsec]", 0.0, RADII[0]),
    Axis("share of those found, true flux above 6 mJy", 0.0),
)
_RELIABILITY = Axes(
    "Reliability",
    Axis("reliability that entries tell", 0.0, 1.0),
    Axis("share with a true source of half the flux, 12 arcsec", 0.0, 1.0),
    diagonal=True,
)
_MOST_POINTS = 300


@dataclass(frozen=True, eq=False)
class _Told:
    """All fields of one plugin, with fluxes in mJy at 450 um."""

    truths: Truths
    entries: Entries
    factor: float
    whole: Superresolved

    @classmethod
    def of(cls, measured: Sequence[Superresolved]) -> _Told:
        """Pool fields; fluxes of a plugin of one band are scaled by one factor for all."""
        whole = reduce(Superresolved.pooled, measured)
        factor = _factor(whole.entries) if whole.one_band else 1.0
        truths, entries = whole.truths, whole.entries
        scaled = replace(truths, measured=truths.measured * factor, error=truths.error * factor)
        return cls(scaled, replace(entries, flux=entries.flux * factor), factor, whole)


def _factor(entries: Entries) -> float:
    """Return the median of true over measured flux of bright entries.

    Bright is the geometric mean of both fluxes: those of bright true sources would be too faint in
    the median, and those that are measured bright would be too bright.
    """
    partner = entries.partner[:, -1]
    used = (partner > 0) & (entries.flux > 0)
    flux, ratio = entries.flux[used], partner[used] / entries.flux[used]
    factor = float(np.median(ratio)) if ratio.size else float("nan")
    for _ in range(_STEPS):
        bright = ratio[flux * np.sqrt(factor * ratio) >= _BRIGHT]
        if bright.size < _FEWEST:
            break
        factor = float(np.median(bright))
    return factor


def flux_rows(measured: Sequence[Superresolved]) -> list[Row]:
    """Return a row for all, and one for each class of flux.

    Parameters
    ----------
    measured : sequence of Superresolved
        Of one plugin; one at least.
    """
    told = _Told.of(measured)
    rows = []
    for name, low, high in _CLASSES:
        truths = told.truths.where(_within(told.truths.flux, low, high))
        entries = told.entries.where(_within(told.entries.flux, low, high))
        values = _of_counts(truths, entries) | _of_fluxes(truths, entries)
        if name == "all":
            placed = told.truths.where(told.truths.flux >= _PLACED)
            rows.append(Row(name, values | _of_places(placed) | _of_field(told)))
        elif len(truths.flux) or len(entries.flux):
            rows.append(Row(name, values | _of_places(truths)))
    return rows


def _within(flux: Values, low: float, high: float) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        return np.asarray((flux >= low) & (flux < high))


def _of_counts(truths: Truths, entries: Entries) -> dict[str, float]:
    """Return completeness and purity at each radius, as they are and freed of chance."""
    count, found = len(truths.flux), len(entries.flux)
    values = {"true": float(count), "entries": float(found)}
    values["counts"] = found / count if count else float("nan")
    for index, radius in enumerate(RADII):
        raw = {
            "compl": (truths.found[:, index].astype(float), truths.chance[:, index]),
            "purity": _partners(entries, index),
            "half": _partners(entries, index, share=_HALF),
        }
        for name, (matched, chance) in raw.items():
            share = spread(matched).mean
            values[f"raw {name} {radius:g}"] = share
            values[f"{name} {radius:g}"] = beyond_chance(share, spread(chance).mean)
    return values


def _partners(entries: Entries, index: int, *, share: float = 0.0) -> tuple[Values, Values]:
    """Return whether each entry has a partner of a share of its flux, and how often by chance."""
    least = np.maximum(LEAST_PARTNER, share * entries.flux)
    after = entries.chance[:, index]
    known = np.isfinite(after)
    hits = np.where(known, after, 0) >= least[:, np.newaxis]
    with np.errstate(invalid="ignore"):
        by_chance = hits.sum(axis=1) / known.sum(axis=1)
    return (entries.partner[:, index] >= least).astype(float), by_chance


def _of_fluxes(truths: Truths, entries: Entries) -> dict[str, float]:
    """Return ratios and pulls of fluxes, and what entries tell of themselves."""
    by_measured, by_true = _ratio(entries), truths.measured[:, 0] / truths.flux
    values = {}
    for name, ratio in (("ratio", by_measured), ("true ratio", by_true)):
        values[name], values[f"mean {name}"] = spread(ratio).median, spread(ratio).mean
        values[f"{name} scatter"] = scatter(ratio)
    values["told compl"] = _harmonic_mean(entries.complete)
    values["told purity"] = spread(entries.reliable).mean
    is_right, _ = _partners(entries, 0, share=_HALF)
    values["reliability ECE"] = told_error(entries.reliable, is_right)
    partner = np.where(entries.partner[:, 0] > 0, entries.partner[:, 0], np.nan)
    within = coverage(entries.flux - partner, entries.error).shares
    return values | dict(zip(("flux 68", "flux 95"), within, strict=True))


def _harmonic_mean(told: Values) -> float:
    """Return the mean that completeness has: an entry stands for 1 / completeness true sources."""
    known = told[np.isfinite(told)]
    if not known.size:
        return float("nan")
    return float(known.size / np.sum(1 / known)) if (known > 0).all() else 0.0


def _ratio(entries: Entries) -> Values:
    """Return flux over true flux of each entry; NaN without a true source."""
    partner = entries.partner[:, 0]
    return np.asarray(entries.flux / np.where(partner > 0, partner, np.nan))


def _of_places(truths: Truths) -> dict[str, float]:
    offset = truths.offset[truths.found[:, 0], 0]
    if not offset.size:
        return {}
    median, most = np.percentile(offset, (50, 90))
    return {"place": float(median), "place 90": float(most)}


def _of_field(told: _Told) -> dict[str, float]:
    """Return what is told of maps, and of catalogues as a whole."""
    whole, sums = told.whole, told.whole.sums
    flux = told.entries.flux[np.isfinite(told.entries.flux)]
    values = {
        "faintest": float(np.percentile(flux, 1)) if flux.size else float("nan"),
        "map corr": sums.correlation,
        "map RMS": sums.rms,
        "offset": sums.offset,
        "missing": sums.missing,
        "width": whole.stack.fwhm * whole.pixel,
        "stated width": whole.stated,
    }
    if whole.one_band:
        # Its values are of another band, and may have another zero.
        del values["offset"]
        return values | {"map RMS": sums.fitted_rms, "factor": told.factor}
    found, true = whole.light
    return values | {"light": found / true if true > 0 else float("nan")}


def flux_panels(measured: Sequence[Superresolved]) -> list[Panel]:
    """Return completeness, purity and counts by flux, fluxes, and offsets.

    Parameters
    ----------
    measured : sequence of Superresolved
        Of one plugin; one at least.
    """
    told = _Told.of(measured)
    truths = told.truths.where(told.truths.flux >= _EDGES[0])
    entries = told.entries.where(_within(told.entries.flux, _EDGES[0], np.inf))
    is_pure, by_chance = _partners(entries, 0)
    panels = [
        Panel(_COMPLETENESS, (_freed(truths.found[:, 0], truths.chance[:, 0], truths.flux),)),
        Panel(_PURITY, (_freed(is_pure, by_chance, entries.flux),)),
        Panel(_COUNTS, (_counts(truths.flux, entries.flux),)),
        Panel(_FLUXES, (_points(truths),)),
        Panel(_RATIO, (Boxes(class_quantiles(_ratio(entries), entries.flux, _EDGES)),)),
        Panel(_OFFSET, (_histogram(truths),)),
        Panel(_RELIABILITY, (_reliability(entries),)),
    ]
    return [panel for panel in panels if panel.is_told]


def _freed(matched: NDArray[np.generic], chance: Values, flux: Values) -> Curve:
    """Return shares freed of chance, by flux."""
    used = np.isfinite(chance)
    middles, share = log_means(matched[used], flux[used], _FLUX, bins=_BINS)
    _, by_chance = log_means(chance[used], flux[used], _FLUX, bins=_BINS)
    return Curve(middles, tuple(np.atleast_1d(beyond_chance(share, by_chance)).tolist()))


def _counts(true: Values, found: Values) -> Curve:
    edges = np.geomspace(*_FLUX, _BINS + 1)
    of_true, of_found = (np.histogram(flux, edges)[0] for flux in (true, found))
    full = of_true >= _FEWEST
    middles = np.sqrt(edges[1:] * edges[:-1])[full]
    return Curve(tuple(middles.tolist()), tuple((of_found[full] / of_true[full]).tolist()))


def _points(truths: Truths) -> Curve:
    """Return some of the sources that were found, evenly chosen by flux."""
    found = np.flatnonzero(truths.found[:, 0])
    rising = found[np.argsort(truths.flux[found])]
    some = rising[np.linspace(0, len(rising) - 1, min(len(rising), _MOST_POINTS)).astype(int)]
    x, y = truths.flux[some].tolist(), truths.measured[some, 0].tolist()
    return Curve(tuple(x), tuple(y), joined=False)


def _histogram(truths: Truths) -> Curve:
    """Return the outline of the histogram of offsets, in bins of an arcsec."""
    offset = truths.offset[truths.found[:, 0] & (truths.flux >= _PLACED), 0]
    if not offset.size:
        return Curve((), ())
    edges = np.arange(RADII[0] + 1)
    share = np.histogram(offset, edges)[0] / offset.size
    return Curve(tuple(np.repeat(edges, 2)[1:-1].tolist()), tuple(np.repeat(share, 2).tolist()))


def _reliability(entries: Entries) -> Curve:
    """Return how many entries of those that tell one reliability are right."""
    is_right, _ = _partners(entries, 0, share=_HALF)
    count, stated, observed = told_bins(entries.reliable, is_right)
    full = count >= _FEWEST
    return Curve(tuple(stated[full].tolist()), tuple(observed[full].tolist()))
