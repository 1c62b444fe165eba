"""How removers and fillers are scored: what they leave in the holes, and what they take out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.uncertainty import deviation_of
from astroclean.core.sources.holes import HoleRule
from astroclean.evaluation.binning import class_quantiles, cumulative_share, log_means
from astroclean.evaluation.figure import Axes, Axis, Boxes, Curve, Panel
from astroclean.evaluation.holes import HoleTruth, truth_of_holes
from astroclean.evaluation.inject import inject_sources
from astroclean.evaluation.metrics.remove import (
    bootstrap_iqr_error,
    distribution_change,
    flux_ratios,
    hole_errors,
    ks_distance,
    local_scatter,
    power_spectrum_change,
    spread,
    wasserstein_distance,
)
from astroclean.evaluation.table import Column, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.stage import Stage
    from astroclean.evaluation.evaluation import Trial
    from astroclean.simulate.scene import Scene

__all__ = ["RemoveEvaluation"]

_SNR_EDGES = (-np.inf, *HoleRule().hole_limits, np.inf)
_SNR_NAMES = ("S/N < 4", "S/N 4-8", "S/N 8-13", "S/N 13-140", "S/N 140-300", "S/N > 300")
_FREQUENCIES, _ERRORS = (1 / 512, 0.5), (0.01, 100.0)
_SHARE = Axis("share of the pixels below", 0.0, 1.0)
_FLUX = Axes("Flux taken out", Axis("", names=_SNR_NAMES), Axis("flux over true flux", 0.0, 2.0))
_POWER = Axes(
    "Power spectrum",
    Axis("cycles a pixel", *_FREQUENCIES, "log"),
    Axis("(power - true power) / true power"),
)
_HOLE_ERRORS = Axes(
    "Errors in the holes",
    Axis("|value - noiseless truth| / local scatter", *_ERRORS, "log"),
    _SHARE,
)
_FIT_ERRORS = Axes(
    "Errors of the fit",
    Axis("|value - frame without sources| / local scatter", *_ERRORS, "log"),
    _SHARE,
)


@dataclass(frozen=True, eq=False)
class _Measured:
    """What is kept of one frame: values of pixels, of holes, of the frame."""

    hole: NDArray[np.float64]
    """Errors of the pixels in the holes, in units of the local scatter."""
    fit: NDArray[np.float64]
    """The same against the frame without its sources, with its noise."""
    stated: NDArray[np.float64]
    """Errors against the noiseless truth over the standard deviation that the stage gave them."""
    pixel_snr: NDArray[np.float64]
    """S/N of the hole of each of these pixels."""
    ratio: NDArray[np.float64]
    """Flux taken out over true flux, of each hole."""
    snr: NDArray[np.float64]
    """Of each hole."""
    frame: dict[str, float]
    spectrum: tuple[NDArray[np.float64], NDArray[np.float64]]
    """Frequencies, and the relative change of power at each."""


class RemoveEvaluation:
    """Pixels under sources (or under contaminants) against what is truly beneath.

    The holes are the disks of the paper on compact source removal (sections 2.4.4, 5), at the
    true positions and as large as S/N (its equation 1) and the true PSF ask for. A stage that asks
    for sources gets the catalogue; one that does not gets the holes as BAD_PIXEL. In scenes
    without sources the holes are the true rejecting planes.
    """

    simulator = "cirrus"
    columns = (
        Column("holes", "connected holes", form=".0f"),
        Column("hole mean", "|value - noiseless truth| over the local scatter of the truth, mean"),
        Column("hole median", "the same, median (judges fillers)"),
        Column("fit hole mean", "|value - frame without its sources, same noise| over that, mean"),
        Column("fit hole median", "the same, median (judges subtraction)"),
        Column("flux", "light taken out over true light of a hole, median", form=".4f"),
        Column("flux IQR", "interquartile range of that", form=".4f"),
        Column("IQR error", "its standard error by bootstrap over the holes", form=".4f"),
        Column("flux error", "|flux - 1|, median", form=".4f"),
        Column("stated", "(value - noiseless truth) over its stated deviation, rms (1 is right)"),
        Column("within", "share of the pixels within one stated deviation (0.68 is right)"),
        Column("power", "|relative difference of the power spectrum|, median", form=".4f"),
        Column("PDF mean", "values in the holes: |relative difference of the mean|"),
        Column("PDF median", "of the median"),
        Column("PDF std", "of the standard deviation"),
        Column("PDF skew", "|difference of the skewness|"),
        Column("PDF IQR", "|relative difference of the interquartile range|"),
        Column("KS", "Kolmogorov-Smirnov distance of the values in the holes"),
        Column("EMD", "Wasserstein (earth mover's) distance of them", "sigma"),
    )

    def present(self, scene: Scene, stage: Stage) -> Frame:
        """Return the frame with the catalogue, or with the holes flagged."""
        frame = scene.frame
        if stage.needs().fields & {"sources", "segmentation"}:
            return frame
        truth = truth_of_holes(scene)
        if truth.light is not None:
            return frame.add_planes(truth.holes, MaskPlane.BAD_PIXEL)
        assert scene.planes is not None  # or there would be no holes
        return frame.replace(flags=frame.flags | scene.planes.astype(np.uint32))

    def inject(self, frame: Frame, *, seed: int) -> Scene:
        """Return the frame with point sources of known light, evenly of all classes of S/N."""
        return inject_sources(frame, seed=seed, classes=True)

    def measure(self, trial: Trial) -> _Measured:
        """Compare pixels and holes with the truth."""
        truth, new = truth_of_holes(trial.scene), trial.result.frame.data
        ratio = np.full(len(truth.snr), np.nan)
        if truth.light is not None:
            removed = trial.frame.data.astype(np.float64) - new
            ratio = flux_ratios(removed, truth.light, labels=truth.labels)
        scatter = local_scatter(truth.beneath)

        def errors(reference: NDArray[Any] | None) -> NDArray[np.float64]:
            if reference is None:
                return np.full(np.count_nonzero(truth.holes), np.nan)
            return hole_errors(new, reference, sigma=scatter, holes=truth.holes)

        return _Measured(
            errors(truth.beneath if truth.sky is None else truth.sky),
            errors(truth.observed),
            _over_stated(trial, truth),
            np.concatenate([[np.nan], truth.snr])[truth.labels[truth.holes]],
            ratio,
            truth.snr,
            *_of_frame(trial, truth),
        )

    def rows(self, measured: Sequence[_Measured]) -> list[Row]:
        """Return a row for all holes and one for each range of S/N."""
        if not measured:
            return []
        errors, pixel_snr, ratio, snr = _together(measured)
        whole = {
            key: spread([one.frame[key] for one in measured]).mean for key in measured[0].frame
        }
        rows = [Row("all", {**_values(errors, ratio), **whole})]
        edges = zip(_SNR_NAMES, _SNR_EDGES, _SNR_EDGES[1:], strict=False)
        for name, low, high in edges:
            pixels, holes = (pixel_snr >= low) & (pixel_snr < high), (snr >= low) & (snr < high)
            if holes.any():
                rows.append(Row(name, _values(errors[:, pixels], ratio[holes])))
        return rows

    def panels(self, measured: Sequence[_Measured]) -> list[Panel]:
        """Return flux by S/N, change of the power spectrum, and errors in the holes."""
        if not measured:
            return []
        (hole, fit, _), _, ratio, snr = _together(measured)
        spectra = zip(*(one.spectrum for one in measured), strict=True)
        frequency, change = (np.concatenate(parts) for parts in spectra)
        power = log_means(change, frequency, _FREQUENCIES, bins=24)
        panels = [
            Panel(_FLUX, (Boxes(class_quantiles(ratio, snr, _SNR_EDGES)),)),
            Panel(_POWER, (Curve(*power),)),
            Panel(_HOLE_ERRORS, (Curve(*cumulative_share(hole, _ERRORS)),)),
            Panel(_FIT_ERRORS, (Curve(*cumulative_share(fit, _ERRORS)),)),
        ]
        return [panel for panel in panels if panel.is_told]


def _together(measured: Sequence[_Measured]) -> tuple[NDArray[np.float64], ...]:
    """Return errors (three rows) and S/N of the pixels, flux ratio and S/N of the holes."""
    names = ("hole", "fit", "stated", "pixel_snr", "ratio", "snr")
    joined = [np.concatenate([getattr(one, name) for one in measured]) for name in names]
    return np.stack(joined[:3]), *joined[3:]


def _over_stated(trial: Trial, truth: HoleTruth) -> NDArray[np.float64]:
    """Return errors over what the stage states of them; NaN where it, or the truth, tells none."""
    deviation = deviation_of(trial.result.frame.uncertainty)
    if truth.sky is None or deviation is None:
        return np.full(np.count_nonzero(truth.holes), np.nan)
    new = trial.result.frame.data
    return hole_errors(new, truth.sky, sigma=deviation, holes=truth.holes)


def _of_frame(
    trial: Trial, truth: HoleTruth
) -> tuple[dict[str, float], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return the measures of which a frame gives one value, and the change of its spectrum."""
    data, new, holes = trial.scene.frame.data, trial.result.frame.data, truth.holes
    # Outside the holes nobody is judged, and values that are not finite have no spectrum.
    reference = np.where(holes, truth.beneath, data)
    reference = np.where(np.isfinite(reference), reference, np.nanmedian(data))
    image = np.where(holes & np.isfinite(new), new, reference)
    typical = float(np.median(trial.scene.frame.noise("scatter")))
    frequency, change = power_spectrum_change(image, reference)
    moments = distribution_change(new[holes], reference[holes])
    values = {
        "power": spread(np.abs(change)).median,
        **{f"PDF {name}": abs(value) for name, value in moments.items()},
        "KS": ks_distance(new[holes], reference[holes]),
        "EMD": wasserstein_distance(new[holes], reference[holes]) / typical,
    }
    return values, (frequency, change)


def _values(errors: NDArray[np.float64], ratio: NDArray[np.float64]) -> dict[str, float]:
    hole, fit, flux = (spread(values) for values in (*errors[:2], ratio))
    stated = errors[2][np.isfinite(errors[2])]
    return {
        "holes": float(ratio.size),
        "hole mean": hole.mean,
        "hole median": hole.median,
        "fit hole mean": fit.mean,
        "fit hole median": fit.median,
        "flux": flux.median,
        "flux IQR": flux.iqr,
        "IQR error": bootstrap_iqr_error(ratio),
        "flux error": spread(np.abs(ratio - 1)).median,
        "stated": float(np.sqrt(np.mean(stated**2))) if stated.size else np.nan,
        "within": float(np.mean(stated < 1)) if stated.size else np.nan,
    }
