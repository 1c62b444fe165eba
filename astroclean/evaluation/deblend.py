"""How deblenders are scored: which sources they find, their fluxes, and how light is shared."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from astroclean.errors import ConfigurationError
from astroclean.evaluation.binning import class_quantiles, log_means
from astroclean.evaluation.deblended import Deblended, Entries, Fates, compared
from astroclean.evaluation.figure import Axes, Axis, Boxes, Curve, Panel
from astroclean.evaluation.inject import inject_source_set, inject_sources
from astroclean.evaluation.metrics.calibration import reliability
from astroclean.evaluation.metrics.deblend import Detections, scatter
from astroclean.evaluation.metrics.mask import count_scores
from astroclean.evaluation.metrics.models import Chi2
from astroclean.evaluation.metrics.remove import spread
from astroclean.evaluation.table import Column, Row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.image.frameset import FrameSet
    from astroclean.core.stage.stage import Stage
    from astroclean.evaluation.evaluation import Trial
    from astroclean.simulate.scene import Scene

__all__ = ["DeblendEvaluation"]

_EDGES = (-np.inf, 0.05, 0.35, np.inf)
_NAMES = ("isolated", "mild", "strong")
"""Classes of blendedness."""
_SNR_EDGES = (5.0, 10.0, 30.0, 100.0, np.inf)
_SNR_NAMES = ("S/N 5-10", "S/N 10-30", "S/N 30-100", "S/N > 100")
_SNR, _BLEND = (5.0, 1000.0), (1e-3, 1.0)
_SHARE = Axis("share of the true sources", 0.0, 1.0)
_COMPLETENESS = Axes("Completeness", Axis("S/N of the best fit", *_SNR, "log"), _SHARE)
_COMPLETENESS_OF_BLENDS = Axes(
    "Completeness of blends", Axis("blendedness", *_BLEND, "log"), _SHARE
)
_PURITY = Axes(
    "Purity",
    Axis("S/N as a point source, of the catalogue", *_SNR, "log"),
    Axis("share of the catalogue that is true", 0.0, 1.0),
)
_FLUX = Axes("Flux", Axis("", names=_NAMES), Axis("-2.5 log10(flux / true flux) [mag]", -2.0, 2.0))


class DeblendEvaluation:
    """Catalogues and images of sources against the true ones.

    Wanted are the true sources whose best fit has an S/N of 5 or more. Detections are assigned to
    true sources, faint ones too, within half the FWHM of the PSF (at least 1.5 pixels); each counts
    once. Fluxes are total where a plugin gives them (``flux_total``, ``flux_auto``). The model of a
    source is its stamp, else the pixels of its segment less the background. Sources are isolated
    below a blendedness of 0.05, mildly blended below 0.35, else strongly.
    """

    simulator = "blends"
    columns = (
        Column("sources", "true sources with S/N of 5 or more", form=".0f"),
        Column("completeness", "share of them that was found"),
        Column("purity", "share of the catalogue that is a true source"),
        Column("F1", "harmonic mean of completeness and purity"),
        Column("dm", "median of -2.5 log10(flux / true flux)", "mag"),
        Column("scatter", "1.4826 median absolute deviation of that", "mag"),
        Column("bias", "median of flux / true flux, less 1"),
        Column("ratio scatter", "1.4826 median absolute deviation of flux / true flux"),
        Column("pull", "the same of (flux - true flux) / error of the flux"),
        Column("soft IoU", "sum min / sum max of found and true light, median of those found"),
        Column("cosine", "between found and true light, median"),
        Column("KS", "largest difference of cumulative profiles within R90, median"),
        Column("chi2", "of a pixel where the true light is above the noise, less all models"),
        Column("unshared", "largest |frame - shares - unassigned|, over the noise", form=".0e"),
        Column("unrecognized", "share of the catalogue that hides a further wanted source"),
        Column("stated", "mean of blend_probability, which should be that share"),
        Column("blend ECE", "expected calibration error of blend_probability"),
        Column("duplicates", "pairs of entries that are one source, a scene", form=".2f"),
        Column("color", "error of the color, first band less last, median", "mag"),
        Column("color scatter", "1.4826 median absolute deviation of that", "mag"),
    )

    def present(self, scene: Scene, stage: Stage) -> Frame:  # noqa: ARG002 - alike for all
        """Return the frame without any catalogue."""
        return scene.frame.replace(sources=None)

    def inject(self, frame: Frame, *, seed: int) -> Scene:
        """Return the frame with point sources of known light; its own spoil only the purity."""
        return inject_sources(frame, seed=seed)

    def inject_set(self, frames: FrameSet, *, seed: int) -> Scene:
        """Return the frames with the same point sources in all bands."""
        return inject_source_set(frames, seed=seed)

    def measure(self, trial: Trial) -> Deblended:
        """Match the catalogue with the truth."""
        return compared(trial).wanted()

    def measure_set(self, trials: Mapping[str, Trial]) -> Deblended:
        """Match the catalogues of all bands with the truth: a source is found in any of them.

        Its S/N is that of all bands together; flux, image and blendedness are those of the band in
        which its S/N is greatest, of those in which it is found. Entries of the catalogues are
        counted band by band.
        """
        bands = [compared(trial) for trial in trials.values()]
        if len({one.ids for one in bands}) > 1:
            raise ConfigurationError(
                f"{next(iter(trials.values())).frame.frame_id}: the true catalogues of the bands "
                "do not have the same sources"
            )
        return Deblended(
            bands[0].ids,
            _best_of([one.fates for one in bands]),
            Entries.joined([one.entries for one in bands]),
            sum((one.chi2 for one in bands), Chi2()),
            _largest([one.unshared for one in bands]),
            sum(one.duplicates for one in bands),
            bands[0].injected,
        ).wanted()

    def rows(self, measured: Sequence[Deblended]) -> list[Row]:
        """Return a row for all sources, and one for each range of blendedness and of S/N."""
        if not measured:
            return []
        fates = Fates.joined([one.fates for one in measured])
        entries = Entries.joined([one.entries for one in measured])
        knows_all = not any(one.injected for one in measured)
        everything = {**_values(fates), **_of_frames(measured)}
        if knows_all:
            everything |= _of_catalogue(entries)
            counts = sum((one.counts for one in measured), Detections())
            everything |= {"purity": counts.purity, "F1": counts.f1}
        rows = [Row("all", everything)]
        for name, inside in _classes(fates.blend, _NAMES, _EDGES):
            rows.append(Row(name, _values(fates.where(inside))))
        for name, inside in _classes(fates.snr, _SNR_NAMES, _SNR_EDGES):
            values = _values(fates.where(inside))
            if knows_all:
                values |= _purity_between(entries, _SNR_EDGES[_SNR_NAMES.index(name) :])
            rows.append(Row(name, values))
        return rows

    def panels(self, measured: Sequence[Deblended]) -> list[Panel]:
        """Return completeness and purity by S/N, completeness and flux by blendedness."""
        if not measured:
            return []
        fates = Fates.joined([one.fates for one in measured])
        entries = Entries.joined([one.entries for one in measured])
        of_blends = log_means(fates.found, fates.blend, _BLEND, bins=10)
        panels = [
            Panel(_COMPLETENESS, (Curve(*log_means(fates.found, fates.snr, _SNR, bins=12)),)),
            Panel(_COMPLETENESS_OF_BLENDS, (Curve(*of_blends),)),
            Panel(_FLUX, (Boxes(class_quantiles(fates.error, fates.blend, _EDGES)),)),
        ]
        if not any(one.injected for one in measured):
            purity = log_means(entries.genuine, entries.snr, _SNR, bins=12)
            panels.insert(1, Panel(_PURITY, (Curve(*purity),)))
        return [panel for panel in panels if panel.is_told]


def _best_of(bands: Sequence[Fates]) -> Fates:
    """Return how each source fared in the band that shows it best of those where it was found."""
    snr, found = (np.stack([getattr(one, name) for one in bands]) for name in ("snr", "found"))
    seen = np.where(found | ~found.any(axis=0), snr, -1.0)
    best = np.argmax(seen, axis=0), np.arange(snr.shape[1])
    names = ("blend", "ratio", "pull", "iou", "cosine", "profile")
    chosen = {name: np.stack([getattr(one, name) for one in bands])[best] for name in names}
    return replace(
        bands[0],
        snr=np.sqrt(np.sum(snr**2, axis=0)),
        found=np.asarray(found.any(axis=0)),
        color=bands[0].error - bands[-1].error,
        **chosen,
    )


def _classes(
    values: NDArray[np.float64], names: Sequence[str], edges: Sequence[float]
) -> list[tuple[str, NDArray[np.bool_]]]:
    """Return the classes that have members, and which these are."""
    limits = zip(names, edges, edges[1:], strict=False)
    found = [(name, (values >= low) & (values < high)) for name, low, high in limits]
    return [(name, inside) for name, inside in found if inside.any()]


def _values(fates: Fates) -> dict[str, float]:
    """Return what a row tells of true sources."""
    found = fates.found
    values = {
        "sources": float(found.size),
        "completeness": float(found.mean()) if found.size else float("nan"),
        "dm": spread(fates.error).median,
        "scatter": scatter(fates.error),
        "bias": spread(fates.ratio).median - 1,
        "ratio scatter": scatter(fates.ratio),
        "pull": scatter(fates.pull),
        "soft IoU": spread(fates.iou).median,
        "cosine": spread(fates.cosine).median,
        "KS": spread(fates.profile).median,
    }
    if np.isfinite(fates.color).any():
        values |= {"color": spread(fates.color).median, "color scatter": scatter(fates.color)}
    return values


def _of_frames(measured: Sequence[Deblended]) -> dict[str, float]:
    """Return what is told of frames as a whole."""
    chi2 = sum((one.chi2 for one in measured), Chi2())
    duplicates = sum(one.duplicates for one in measured)
    unshared = _largest([one.unshared for one in measured])
    return {"chi2": chi2.mean, "unshared": unshared, "duplicates": duplicates / len(measured)}


def _largest(values: Sequence[float]) -> float:
    """Return the largest value that is told; NaN where none is."""
    return float(np.fmax.reduce(values))


def _of_catalogue(entries: Entries) -> dict[str, float]:
    """Return how many entries are unrecognized blends, and whether that is what they state."""
    values = {"unrecognized": float(entries.blended.mean()) if entries.blended.size else np.nan}
    told = np.isfinite(entries.stated)
    if told.any():
        counts = count_scores(entries.stated[told], entries.blended[told])
        values |= {
            "stated": float(entries.stated[told].mean()),
            "blend ECE": reliability(counts).error,
        }
    return values


def _purity_between(entries: Entries, edges: Sequence[float]) -> dict[str, float]:
    """Return the purity of the entries between the first two edges of S/N."""
    genuine = entries.genuine[(entries.snr >= edges[0]) & (entries.snr < edges[1])]
    return {"purity": float(genuine.mean())} if genuine.size else {}
