"""How deblenders are scored: which sources they find, their fluxes, and how light is shared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.arrays import add_box
from astroclean.core.sources import SourceStamp
from astroclean.errors import ConfigurationError
from astroclean.evaluation.binning import class_quantiles, log_means
from astroclean.evaluation.figure import Axes, Axis, Boxes, Curve, Panel
from astroclean.evaluation.inject import inject_sources
from astroclean.evaluation.light import light_of, own_and_total, source_snr
from astroclean.evaluation.metrics.deblend import (
    Detections,
    blendedness,
    magnitude_errors,
    match_positions,
    scatter,
    soft_iou,
)
from astroclean.evaluation.metrics.remove import spread
from astroclean.evaluation.table import Column, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from astroclean.core.frame import Frame
    from astroclean.core.sources import Sources
    from astroclean.core.stage import Stage
    from astroclean.evaluation.evaluation import Trial
    from astroclean.simulate.scene import Scene

__all__ = ["DeblendEvaluation"]

_WANTED_SNR = 5.0
_LEAST_RADIUS = 1.5
_EDGES = (-np.inf, 0.01, 0.1, 0.5, np.inf)
_NAMES = ("blend < 0.01", "blend 0.01-0.1", "blend 0.1-0.5", "blend > 0.5")
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
_TOTAL_FLUXES = ("flux_total", "flux_auto", "flux")


@dataclass(frozen=True, eq=False)
class _Measured:
    """What is kept of one frame: counts, and for each wanted source how it fared."""

    counts: Detections
    blend: NDArray[np.float64]
    found: NDArray[np.bool_]
    error: NDArray[np.float64]
    iou: NDArray[np.float64]
    snr: NDArray[np.float64]
    genuine: NDArray[np.bool_]
    """Of each entry of the catalogue: whether it is a true source."""
    found_snr: NDArray[np.float64]
    """Of each entry: its flux over the noise of a point source's best fit."""
    injected: bool


class DeblendEvaluation:
    """Catalogues and images of sources against the true ones.

    Wanted are the true sources whose best fit has an S/N of 5 or more. A detection is matched with
    the nearest true source, faint ones too, within half the FWHM of the PSF (at least 1.5 pixels);
    each counts once. Fluxes are total where a plugin gives them (``flux_total``, ``flux_auto``).
    The image of a source is its stamp, else the pixels of its segment less the background.
    """

    simulator = "blends"
    columns = (
        Column("sources", "true sources with S/N of 5 or more", form=".0f"),
        Column("completeness", "share of them that was found"),
        Column("purity", "share of the catalogue that is a true source"),
        Column("F1", "harmonic mean of completeness and purity"),
        Column("dm", "median of -2.5 log10(flux / true flux)", "mag"),
        Column("scatter", "1.4826 median absolute deviation of that", "mag"),
        Column("soft IoU", "sum min / sum max of found and true light, median"),
    )

    def present(self, scene: Scene, stage: Stage) -> Frame:  # noqa: ARG002 - alike for all
        """Return the frame without any catalogue."""
        return scene.frame.replace(sources=None)

    def inject(self, frame: Frame, *, seed: int) -> Scene:
        """Return the frame with point sources of known light; its own spoil only the purity."""
        return inject_sources(frame, seed=seed)

    def measure(self, trial: Trial) -> _Measured:
        """Match the catalogue with the truth."""
        scene, true = trial.scene, trial.scene.sources
        if true is None:
            raise ConfigurationError(
                f"{scene.frame.frame_id}: the scene has no true sources to compare with"
            )
        found = trial.result.frame.sources
        assert found is not None  # a deblender always gives sources
        pairs = match_positions(_positions(found), _positions(true), radius=_radius(scene))
        sigma = scene.frame.noise("scatter")
        told = source_snr(true, sigma)
        ids = [int(i) for i in true.table["id"]]
        snr = np.array([told.get(i, np.inf) for i in ids], dtype=float)
        wanted = snr >= _WANTED_SNR
        recovered = np.zeros(len(true), dtype=bool)
        recovered[pairs[1]] = True
        genuine = np.zeros(len(found), dtype=bool)
        genuine[pairs[0]] = True
        counts = Detections(
            int(wanted.sum()), int((wanted & recovered).sum()), len(found), len(pairs[0])
        )
        error = np.full(len(true), np.nan)
        if "flux" in true.table.colnames and len(pairs[0]):
            fluxes = _total_flux(found)[pairs[0]], _plain(true.table["flux"])[pairs[1]]
            error[pairs[1]] = magnitude_errors(*fluxes)
        return _Measured(
            counts,
            _blendedness(scene, ids)[wanted],
            recovered[wanted],
            error[wanted],
            _overlaps(trial, true, found, pairs)[wanted],
            snr[wanted],
            genuine,
            _point_snr(scene, found, sigma),
            "injected" in scene.notes,
        )

    def rows(self, measured: Sequence[_Measured]) -> list[Row]:
        """Return a row for all sources and one for each range of blendedness."""
        if not measured:
            return []
        blend, found, error, iou = (
            np.concatenate([getattr(one, name) for one in measured])
            for name in ("blend", "found", "error", "iou")
        )
        counts = sum((one.counts for one in measured), Detections())
        everything = _values(found, error, iou)
        if not any(one.injected for one in measured):
            everything = {**everything, "purity": counts.purity, "F1": counts.f1}
        rows = [Row("all", everything)]
        for name, low, high in zip(_NAMES, _EDGES, _EDGES[1:], strict=False):
            inside = (blend >= low) & (blend < high)
            if inside.any():
                rows.append(Row(name, _values(found[inside], error[inside], iou[inside])))
        return rows

    def panels(self, measured: Sequence[_Measured]) -> list[Panel]:
        """Return completeness and purity by S/N, completeness and flux by blendedness."""
        if not measured:
            return []
        blend, found, error, snr, genuine, found_snr = (
            np.concatenate([getattr(one, name) for one in measured])
            for name in ("blend", "found", "error", "snr", "genuine", "found_snr")
        )
        panels = [
            Panel(_COMPLETENESS, (Curve(*log_means(found, snr, _SNR, bins=12)),)),
            Panel(_COMPLETENESS_OF_BLENDS, (Curve(*log_means(found, blend, _BLEND, bins=10)),)),
            Panel(_FLUX, (Boxes(class_quantiles(error, blend, _EDGES)),)),
        ]
        if not any(one.injected for one in measured):
            purity = log_means(genuine, found_snr, _SNR, bins=12)
            panels.insert(1, Panel(_PURITY, (Curve(*purity),)))
        return [panel for panel in panels if panel.is_told]


def _values(
    found: NDArray[np.bool_], error: NDArray[np.float64], iou: NDArray[np.float64]
) -> dict[str, float]:
    return {
        "sources": float(found.size),
        "completeness": float(found.mean()) if found.size else float("nan"),
        "dm": spread(error).median,
        "scatter": scatter(error),
        "soft IoU": spread(iou).median,
    }


def _plain(column: Any) -> NDArray[np.float64]:
    return np.asarray(getattr(column, "value", column), dtype=np.float64)


def _positions(sources: Sources) -> NDArray[np.float64]:
    return np.column_stack([_plain(sources.table["x"]), _plain(sources.table["y"])])


def _radius(scene: Scene) -> float:
    psf = scene.frame.psf
    return _LEAST_RADIUS if psf is None else max(psf.fwhm_pixels / 2, _LEAST_RADIUS)


def _total_flux(sources: Sources) -> NDArray[np.float64]:
    for name in _TOTAL_FLUXES:
        if name in sources.table.colnames:
            return _plain(sources.table[name])
    return np.full(len(sources), np.nan)


def _point_snr(scene: Scene, found: Sources, sigma: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return fluxes over the noise of a point source's best fit; NaN without a PSF."""
    if scene.frame.psf is None:
        return np.full(len(found), np.nan)
    pixels = 1 / float(np.sum(scene.frame.psf.stamps[0] ** 2))
    noise = float(np.median(sigma)) * math.sqrt(pixels)
    return _total_flux(found) / noise


def _blendedness(scene: Scene, ids: Sequence[int]) -> NDArray[np.float64]:
    light = light_of(scene)
    assert scene.sources is not None
    if light is None or not scene.sources.stamps:
        return np.full(len(ids), np.nan)
    blend = {
        int(stamp.id): blendedness(*own_and_total(stamp, light)) for stamp in scene.sources.stamps
    }
    return np.array([blend.get(i, np.nan) for i in ids])


def _overlaps(
    trial: Trial,
    true: Sources,
    found: Sources,
    pairs: tuple[NDArray[np.intp], NDArray[np.intp]],
) -> NDArray[np.float64]:
    """Return the soft IoU of each true source; 0 where it was not found."""
    overlap = np.zeros(len(true))
    theirs = true.images()
    images = _images(trial, found)
    if not theirs or images is None:
        return np.full(len(true), np.nan)
    for mine, other in zip(*pairs, strict=True):
        image = images.get(int(found.table["id"][mine]))
        stamp = theirs.get(int(true.table["id"][other]))
        if image is not None and stamp is not None:
            overlap[other] = soft_iou(*_on_one_grid(image, stamp))
    return overlap


def _images(trial: Trial, found: Sources) -> dict[int, SourceStamp] | None:
    if found.stamps or found.segmentation is None:
        return found.images() or None
    from scipy.ndimage import find_objects  # noqa: PLC0415 - optional extra

    level = trial.result.products.get("BACKGROUND")
    if level is None:
        level = float(np.nanmedian(trial.frame.data))
    light = np.nan_to_num(trial.frame.data - level)
    images = {}
    for label, box in enumerate(find_objects(found.segmentation), start=1):
        if box is not None:
            part = np.where(found.segmentation[box] == label, light[box], 0).astype(np.float32)
            images[label] = SourceStamp(label, (box[0].start, box[1].start), part)
    return images


def _on_one_grid(
    first: SourceStamp, second: SourceStamp
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both stamps on the smallest box that holds both."""
    (y0, x0), (y1, x1) = (
        tuple(pick(a, b) for a, b in zip(ends[0], ends[1], strict=True))
        for pick, ends in (
            (min, (first.origin, second.origin)),
            (max, (_end(first), _end(second))),
        )
    )
    planes = []
    for stamp in (first, second):
        plane = np.zeros((y1 - y0, x1 - x0))
        add_box(plane, stamp.data, (stamp.origin[0] - y0, stamp.origin[1] - x0))
        planes.append(plane)
    return planes[0], planes[1]


def _end(stamp: SourceStamp) -> tuple[int, int]:
    return stamp.origin[0] + stamp.data.shape[0], stamp.origin[1] + stamp.data.shape[1]
