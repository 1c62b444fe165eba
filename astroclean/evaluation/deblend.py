"""How deblenders are scored: which sources they find, their fluxes, and how light is shared."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.arrays import add_box
from astroclean.core.image.grid import Grid
from astroclean.core.sources.sources import SourceStamp
from astroclean.errors import ConfigurationError
from astroclean.evaluation.binning import class_quantiles, log_means
from astroclean.evaluation.figure import Axes, Axis, Boxes, Curve, Panel
from astroclean.evaluation.inject import inject_source_set, inject_sources
from astroclean.evaluation.light import light_of, own_and_total, source_snr
from astroclean.evaluation.matching import WANTED_SNR, match_catalogue, positions, total_flux
from astroclean.evaluation.metrics.deblend import Detections, blendedness, scatter, soft_iou
from astroclean.evaluation.metrics.remove import spread
from astroclean.evaluation.table import Column, Row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.image.frameset import FrameSet
    from astroclean.core.sources.sources import Sources
    from astroclean.core.stage.stage import Stage
    from astroclean.evaluation.evaluation import Trial
    from astroclean.simulate.scene import Scene

__all__ = ["DeblendEvaluation"]

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


@dataclass(frozen=True, eq=False)
class _Measured:
    """What is kept of one frame: counts, and for each wanted source how it fared."""

    ids: tuple[int, ...]
    """Of all true sources, those that are not wanted among them."""
    blend: NDArray[np.float64]
    found: NDArray[np.bool_]
    error: NDArray[np.float64]
    iou: NDArray[np.float64]
    snr: NDArray[np.float64]
    color: NDArray[np.float64]
    """Error of the color, first band less last, magnitudes; NaN with one band."""
    genuine: NDArray[np.bool_]
    """Of each entry of the catalogue: whether it is a true source."""
    found_snr: NDArray[np.float64]
    """Of each entry: its flux over the noise of a point source's best fit."""
    injected: bool

    @property
    def counts(self) -> Detections:
        """Wanted sources, entries of the catalogue, and what is right of both."""
        genuine = int(self.genuine.sum())
        return Detections(self.found.size, int(self.found.sum()), self.genuine.size, genuine)


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

    def measure(self, trial: Trial) -> _Measured:
        """Match the catalogue with the truth."""
        return _wanted(_compared(trial))

    def measure_set(self, trials: Mapping[str, Trial]) -> _Measured:
        """Match the catalogues of all bands with the truth: a source is found in any of them.

        Its S/N is that of all bands together; flux, image and blendedness are those of the band in
        which its S/N is greatest, of those in which it is found. Entries of the catalogues are
        counted band by band.
        """
        bands = [_compared(trial) for trial in trials.values()]
        if len({one.ids for one in bands}) > 1:
            raise ConfigurationError(
                f"{next(iter(trials.values())).frame.frame_id}: the true catalogues of the bands "
                "do not have the same sources"
            )
        snr, found = (np.stack([getattr(one, name) for one in bands]) for name in ("snr", "found"))
        seen = np.where(found | ~found.any(axis=0), snr, -1.0)
        best = np.argmax(seen, axis=0), np.arange(snr.shape[1])
        blend, error, iou = (
            np.stack([getattr(one, name) for one in bands])[best]
            for name in ("blend", "error", "iou")
        )
        joined = replace(
            bands[0],
            blend=blend,
            error=error,
            iou=iou,
            snr=np.sqrt(np.sum(snr**2, axis=0)),
            found=np.asarray(found.any(axis=0)),
            genuine=np.concatenate([one.genuine for one in bands]),
            found_snr=np.concatenate([one.found_snr for one in bands]),
            color=bands[0].error - bands[-1].error,
        )
        return _wanted(joined)

    def rows(self, measured: Sequence[_Measured]) -> list[Row]:
        """Return a row for all sources and one for each range of blendedness."""
        if not measured:
            return []
        blend, found, error, iou, color = (
            np.concatenate([getattr(one, name) for one in measured])
            for name in ("blend", "found", "error", "iou", "color")
        )
        counts = sum((one.counts for one in measured), Detections())
        everything = _values(found, error, iou, color)
        if not any(one.injected for one in measured):
            everything = {**everything, "purity": counts.purity, "F1": counts.f1}
        rows = [Row("all", everything)]
        for name, low, high in zip(_NAMES, _EDGES, _EDGES[1:], strict=False):
            inside = (blend >= low) & (blend < high)
            if inside.any():
                parts = (values[inside] for values in (found, error, iou, color))
                rows.append(Row(name, _values(*parts)))
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
    found: NDArray[np.bool_],
    error: NDArray[np.float64],
    iou: NDArray[np.float64],
    color: NDArray[np.float64],
) -> dict[str, float]:
    values = {
        "sources": float(found.size),
        "completeness": float(found.mean()) if found.size else float("nan"),
        "dm": spread(error).median,
        "scatter": scatter(error),
        "soft IoU": spread(iou).median,
    }
    if np.isfinite(color).any():
        values |= {"color": spread(color).median, "color scatter": scatter(color)}
    return values


def _compared(trial: Trial) -> _Measured:
    """Return how each true source fared, wanted or not."""
    scene, true = trial.scene, trial.scene.sources
    if true is None:
        raise ConfigurationError(
            f"{scene.frame.frame_id}: the scene has no true sources to compare with"
        )
    found = trial.result.frame.sources
    assert found is not None  # a deblender always gives sources
    flux = total_flux(found, trial.band)
    places = positions(found, Grid.of(scene.frame))
    matching = match_catalogue(places, flux, true, radius=_radius(scene))
    sigma = scene.frame.noise("scatter")
    told = source_snr(true, sigma)
    ids = [int(i) for i in true.table["id"]]
    return _Measured(
        tuple(ids),
        _blendedness(scene, ids),
        matching.recovered,
        matching.error,
        _overlaps(trial, true, found, matching.pairs),
        np.array([told.get(i, np.inf) for i in ids], dtype=float),
        np.full(len(ids), np.nan),
        matching.genuine,
        _point_snr(scene, flux, sigma),
        "injected" in scene.notes,
    )


def _wanted(every: _Measured) -> _Measured:
    """Keep the true sources that should be found."""
    wanted = every.snr >= WANTED_SNR
    names = ("blend", "found", "error", "iou", "snr", "color")
    return replace(every, **{name: getattr(every, name)[wanted] for name in names})


def _radius(scene: Scene) -> float:
    psf = scene.frame.psf
    return _LEAST_RADIUS if psf is None else max(psf.fwhm_pixels / 2, _LEAST_RADIUS)


def _point_snr(
    scene: Scene, flux: NDArray[np.float64], sigma: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return fluxes over the noise of a point source's best fit; NaN without a PSF."""
    if scene.frame.psf is None:
        return np.full(len(flux), np.nan)
    pixels = 1 / float(np.sum(scene.frame.psf.stamps[0] ** 2))
    noise = float(np.median(sigma)) * math.sqrt(pixels)
    return flux / noise


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
        return found.images(trial.band if trial.band in found.bands else None) or None
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
