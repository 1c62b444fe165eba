"""How removers and fillers are scored: what they leave in the holes, and what they take out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.planes import REJECTING, MaskPlane
from astroclean.errors import ConfigurationError
from astroclean.evaluation.binning import class_quantiles, cumulative_share, log_means
from astroclean.evaluation.figure import Axes, Axis, Boxes, Curve, Panel
from astroclean.evaluation.inject import inject_sources
from astroclean.evaluation.light import light_of, local_sigma
from astroclean.evaluation.metrics.remove import (
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

    from astroclean.core.frame import Frame
    from astroclean.core.stage import Stage
    from astroclean.evaluation.evaluation import Trial
    from astroclean.simulate.scene import Scene

__all__ = ["RemoveEvaluation"]

_HOLE = 0.5
"""Light in local sigma from which a pixel belongs to the hole of a source."""
_SNR_EDGES = (0.0, 10.0, 30.0, 100.0, np.inf)
_SNR_NAMES = ("S/N < 10", "S/N 10-30", "S/N 30-100", "S/N > 100")
_FREQUENCIES, _ERRORS = (1 / 512, 0.5), (0.01, 100.0)
_SHARE = Axis("share of the pixels below", 0.0, 1.0)
_FLUX = Axes("Flux taken out", Axis("", names=_SNR_NAMES), Axis("flux over true flux", 0.0, 2.0))
_POWER = Axes(
    "Power spectrum",
    Axis("cycles a pixel", *_FREQUENCIES, "log"),
    Axis("(power - true power) / true power"),
)
_SKY_ERRORS = Axes(
    "Errors in the holes", Axis("|value - noiseless background| / sigma", *_ERRORS, "log"), _SHARE
)
_FIT_ERRORS = Axes(
    "Errors of the fit", Axis("|value - frame without sources| / sigma", *_ERRORS, "log"), _SHARE
)


@dataclass(frozen=True, eq=False)
class _Truth:
    """What a scene tells of its holes."""

    holes: NDArray[np.bool_]
    light: NDArray[np.float64] | None
    """Of the sources; None where the holes are contaminated pixels."""
    sky: NDArray[Any] | None
    """Beneath the holes, without noise."""
    observed: NDArray[Any] | None
    """The frame without the light, with the noise that it has."""


@dataclass(frozen=True, eq=False)
class _Measured:
    """What is kept of one frame: values of pixels, of holes, of the frame."""

    sky: NDArray[np.float64]
    observed: NDArray[np.float64]
    rough: NDArray[np.float64]
    """As ``sky``, in units of the local scatter."""
    pixel_snr: NDArray[np.float64]
    ratio: NDArray[np.float64]
    snr: NDArray[np.float64]
    frame: dict[str, float]
    spectrum: tuple[NDArray[np.float64], NDArray[np.float64]]
    """Frequencies, and the relative change of power at each."""


class RemoveEvaluation:
    """Pixels under sources (or under contaminants) against what is truly beneath.

    The holes are the pixels where the true light of all sources is above half the local noise.
    A stage that asks for sources gets the catalogue; one that does not gets the holes as
    BAD_PIXEL. In scenes without sources the holes are the true rejecting planes.
    """

    simulator = "cirrus"
    columns = (
        Column("holes", "connected holes", form=".0f"),
        Column("err mean", "|value - noiseless background| in the holes, mean", "sigma"),
        Column("err median", "the same, median (judges fillers)", "sigma"),
        Column("hole mean", "the same over the local scatter of what lies beneath, mean"),
        Column("hole median", "the same, median (compares scenes of unlike noise)"),
        Column("fit mean", "|value - frame without its sources, same noise|, mean", "sigma"),
        Column("fit median", "the same, median (judges subtraction)", "sigma"),
        Column("flux", "light taken out over true light of a hole, median"),
        Column("flux IQR", "interquartile range of that"),
        Column("power", "relative difference of the power spectrum, mean over frequencies"),
        Column("KS", "Kolmogorov-Smirnov distance of the values in the holes"),
        Column("PDF", "Wasserstein distance of the values in the holes", "sigma"),
    )

    def present(self, scene: Scene, stage: Stage) -> Frame:
        """Return the frame with the catalogue, or with the holes flagged."""
        frame = scene.frame
        if stage.needs().fields & {"sources", "segmentation"}:
            return frame
        truth = _truth_of(scene)
        if truth.light is not None:
            return frame.add_planes(truth.holes, MaskPlane.BAD_PIXEL)
        assert scene.planes is not None  # or there would be no holes
        return frame.replace(flags=frame.flags | scene.planes.astype(np.uint32))

    def inject(self, frame: Frame, *, seed: int) -> Scene:
        """Return the frame with point sources of known light."""
        return inject_sources(frame, seed=seed)

    def measure(self, trial: Trial) -> _Measured:
        """Compare pixels and holes with the truth."""
        from scipy.ndimage import label  # noqa: PLC0415 - optional extra

        truth, new = _truth_of(trial.scene), trial.result.frame.data
        sigma = local_sigma(trial.scene.frame)
        labels, _ = label(truth.holes, np.ones((3, 3)))
        empty = np.empty(0)
        ratio, snr, of_hole = empty, empty, np.full(int(labels.max(initial=0)) + 1, np.nan)
        if truth.light is not None:
            removed = trial.frame.data.astype(np.float64) - new
            ratio, snr = flux_ratios(removed, truth.light, sigma=sigma, labels=labels)
            of_hole[1:] = snr  # every hole has light

        def errors(reference: NDArray[Any] | None, unit: NDArray[Any]) -> NDArray[np.float64]:
            if reference is None:
                return np.full(np.count_nonzero(truth.holes), np.nan)
            return hole_errors(new, reference, sigma=unit, holes=truth.holes)

        return _Measured(
            errors(truth.sky, sigma),
            errors(truth.observed, sigma),
            errors(*_in_scatter(truth)),
            of_hole[labels[truth.holes]],
            ratio if ratio.size else np.full(len(of_hole) - 1, np.nan),
            snr if snr.size else np.full(len(of_hole) - 1, np.nan),
            *_of_frame(trial, truth, sigma),
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
        (sky, observed, _), _, ratio, snr = _together(measured)
        spectra = zip(*(one.spectrum for one in measured), strict=True)
        frequency, change = (np.concatenate(parts) for parts in spectra)
        power = log_means(change, frequency, _FREQUENCIES, bins=24)
        panels = [
            Panel(_FLUX, (Boxes(class_quantiles(ratio, snr, _SNR_EDGES)),)),
            Panel(_POWER, (Curve(*power),)),
            Panel(_SKY_ERRORS, (Curve(*cumulative_share(sky, _ERRORS)),)),
            Panel(_FIT_ERRORS, (Curve(*cumulative_share(observed, _ERRORS)),)),
        ]
        return [panel for panel in panels if panel.is_told]


def _together(measured: Sequence[_Measured]) -> tuple[NDArray[np.float64], ...]:
    """Return errors (three rows) and S/N of the pixels, flux ratio and S/N of the holes."""
    names = ("sky", "observed", "rough", "pixel_snr", "ratio", "snr")
    joined = [np.concatenate([getattr(one, name) for one in measured]) for name in names]
    return np.stack(joined[:3]), *joined[3:]


def _in_scatter(truth: _Truth) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return what lies beneath, without noise where it is known, and its local scatter."""
    beneath = truth.sky if truth.observed is None else truth.observed
    assert beneath is not None  # a truth has one of them
    return beneath if truth.sky is None else truth.sky, local_scatter(beneath)


def _truth_of(scene: Scene) -> _Truth:
    frame, light = scene.frame, light_of(scene)
    if light is not None:
        holes = light > _HOLE * local_sigma(frame)
        # Without `clean` the background is that of a real frame: with noise.
        sky = scene.background if scene.clean is not None else None
        return _Truth(_known(scene, holes & ~frame.mask), light, sky, frame.data - light)
    if scene.planes is None or scene.clean is None:
        raise ConfigurationError(
            f"{frame.frame_id}: the scene tells neither its sources nor its contaminants and what "
            "lies beneath, so removal cannot be scored on it"
        )
    holes = (scene.planes & np.uint32(REJECTING)) != 0
    return _Truth(_known(scene, holes & np.isfinite(frame.data)), None, scene.clean, None)


def _known(scene: Scene, holes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return holes if scene.ignored is None else holes & ~scene.ignored


def _of_frame(
    trial: Trial, truth: _Truth, sigma: NDArray[np.float32]
) -> tuple[dict[str, float], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return the measures of which a frame gives one value, and the change of its spectrum."""
    data, new = trial.scene.frame.data, trial.result.frame.data
    beneath = truth.observed if truth.observed is not None else truth.sky
    assert beneath is not None
    # Outside the holes nobody is judged, and values that are not finite have no spectrum.
    reference = np.where(truth.holes, beneath, data)
    reference = np.where(np.isfinite(reference), reference, np.nanmedian(data))
    judged = truth.holes & np.isfinite(new)
    image = np.where(judged, new, reference)
    typical = float(np.median(sigma))
    frequency, change = power_spectrum_change(image, reference)
    values = {
        "power": spread(np.abs(change)).mean,
        "KS": ks_distance(new[truth.holes], reference[truth.holes]),
        "PDF": wasserstein_distance(new[truth.holes], reference[truth.holes]) / typical,
    }
    return values, (frequency, change)


def _values(errors: NDArray[np.float64], ratio: NDArray[np.float64]) -> dict[str, float]:
    beneath, fit, rough, flux = (spread(values) for values in (*errors, ratio))
    return {
        "holes": float(ratio.size),
        "err mean": beneath.mean,
        "err median": beneath.median,
        "hole mean": rough.mean,
        "hole median": rough.median,
        "fit mean": fit.mean,
        "fit median": fit.median,
        "flux": flux.median,
        "flux IQR": flux.iqr,
    }
