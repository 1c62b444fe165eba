"""How super-resolvers are scored: against the image on finer pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.grid import Grid
from astroclean.errors import ConfigurationError
from astroclean.evaluation.binning import class_quantiles, log_means
from astroclean.evaluation.evaluation import nothing_to_inject
from astroclean.evaluation.figure import Axes, Axis, Boxes, Curve, Panel
from astroclean.evaluation.light import source_snr
from astroclean.evaluation.matching import WANTED_SNR, positions
from astroclean.evaluation.metrics.deblend import (
    Detections,
    magnitude_errors,
    match_positions,
    scatter,
)
from astroclean.evaluation.metrics.remove import spread
from astroclean.evaluation.metrics.superres import aperture_sums, find_peaks, moved, on_grid, rms
from astroclean.evaluation.superres_fields import grid_of
from astroclean.evaluation.superres_fluxes import FLUX_COLUMNS, flux_panels, flux_rows
from astroclean.evaluation.superresolved import Superresolved, superresolved
from astroclean.evaluation.table import Column, Row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.image.layer import Layer
    from astroclean.core.stage.stage import Stage
    from astroclean.evaluation.evaluation import Trial
    from astroclean.simulate.scene import Scene

__all__ = ["SuperresEvaluation"]

_LEAST_RADIUS = 1.5
_LEAST_SCATTER = 0.1
"""Of a result, in noise of the frame, for finding peaks in it."""
_EDGES = (WANTED_SNR, 10.0, 30.0, 100.0, np.inf)
_NAMES = ("S/N 5-10", "S/N 10-30", "S/N 30-100", "S/N > 100")
_SNR = (5.0, 1000.0)
_COMPLETENESS = Axes(
    "Completeness",
    Axis("S/N of the best fit in the frame", *_SNR, "log"),
    Axis("share of the true sources", 0.0, 1.0),
)
_FLUX = Axes("Flux", Axis("", names=_NAMES), Axis("-2.5 log10(flux / true flux) [mag]", -1.0, 1.0))


@dataclass(frozen=True, eq=False)
class _Measured:
    """What is kept of one frame; of its wanted sources, how each fared."""

    rms: float
    rms_before: float
    width: float
    snr: NDArray[np.float64]
    found: NDArray[np.bool_]
    error: NDArray[np.float64]
    counts: Detections
    unsupported: float
    lost: float
    beyond: float


@dataclass(frozen=True, eq=False)
class _Seen:
    """A result beside the truth, on the pixels of the truth."""

    image: NDArray[np.float64]
    truth: NDArray[np.float64]
    grid: Grid
    noise: NDArray[np.float64]
    """Of the frame, pixel by pixel."""
    unit: float
    """Noise of the frame for a pixel of the truth."""


class SuperresEvaluation:
    """Images on finer pixels against the true one, pixel by pixel and source by source.

    The true image has a PSF of its own; a result with another is compared as it is. Wanted are the
    true sources whose best fit in the frame has an S/N of 5 or more and that are peaks of the true
    image. The catalogue is that of the plugin, else the peaks of its image; peaks stand five times
    the scatter above the median. Entries are matched within half the FWHM of the true image's PSF
    (at least 1.5 of its pixels). One beside a peak of the true image is not false, be it a clump
    of a galaxy. Fluxes are sums in a circle whose radius is the FWHM of the frame's PSF, in the
    result and in the true image alike.

    Scenes of several bands with one truth for all are judged by fluxes in mJy, see
    `superresolved`; a plugin of frames gets their first band.
    """

    simulator = "finer"
    columns = (
        Column("RMS", "rms of result less truth, in noise of the frame for such a pixel"),
        Column("gain", "by how much that is less than of the frame's own pixels", "dB", ".2f"),
        Column("FWHM", "of the PSF that the plugin states, over that of the truth"),
        Column("sources", "true sources, S/N of 5 or more, that the true image shows", form=".0f"),
        Column("completeness", "share of them that was found"),
        Column("purity", "share of the catalogue that is a true source"),
        Column("F1", "harmonic mean of completeness and purity"),
        Column("dm", "median of -2.5 log10(flux / true flux) in a circle", "mag"),
        Column("scatter", "1.4826 median absolute deviation of that", "mag"),
        Column("unsupported", "share of the pixels outside the support"),
        Column("lost", "share of the true light outside the support"),
        Column("beyond", "RMS outside the support over that inside"),
        *FLUX_COLUMNS,
    )

    def present(self, scene: Scene, stage: Stage) -> Frame:
        """Return the frame; with a catalogue for those alone who ask for one."""
        if stage.needs().fields & {"sources", "segmentation"}:
            return scene.frame
        return scene.frame.replace(sources=None)

    def inject(self, frame: Frame, *, seed: int) -> Scene:  # noqa: ARG002 - nothing to inject
        """Raise: nobody knows what a real frame is on finer pixels."""
        raise nothing_to_inject(frame, "no truth for `superres`")

    def has_joint_truth(self, scene: Scene) -> bool:
        """Return whether the bands of a scene have one truth: an image on finer pixels of none."""
        return bool(scene.bands) and scene.fine is not None

    def measure_joint(self, scene: Scene, trials: Mapping[str, Trial]) -> Superresolved:
        """Compare the one map and catalogue of several bands with the truth."""
        return superresolved(scene, trials)

    def measure(self, trial: Trial) -> _Measured:
        """Compare image and sources."""
        scene, fine = trial.scene, trial.scene.fine
        if fine is None or fine.grid is None or scene.sources is None:
            raise ConfigurationError(
                f"{trial.frame.frame_id}: the scene does not tell the image on finer pixels; take "
                f"`--simulator {self.simulator}`, or `--set simulator.finer=2`"
            )
        layer = trial.result.layers[str(trial.stage.branch)]
        grid, truth = fine.grid, np.asarray(fine.data, dtype=np.float64)
        own = on_grid(trial.frame.data, Grid.from_frame(trial.frame), grid, order=0)
        noise = scene.frame.noise("scatter")
        unit = float(np.median(noise)) * grid.step**2
        seen = _Seen(on_grid(layer.data, grid_of(layer, trial), grid), truth, grid, noise, unit)
        return _Measured(
            rms(seen.image - truth) / unit,
            rms(own - truth) / unit,
            _width(layer, fine),
            *_sources(trial, seen),
            *_support(trial, seen),
        )

    def rows(self, measured: Sequence[_Measured] | Sequence[Superresolved]) -> list[Row]:
        """Return a row for all sources and pixels, and one for each range of S/N or flux."""
        if not measured:
            return []
        if isinstance(measured[0], Superresolved):
            return flux_rows([one for one in measured if isinstance(one, Superresolved)])
        return self._rows([one for one in measured if isinstance(one, _Measured)])

    def _rows(self, measured: Sequence[_Measured]) -> list[Row]:
        snr, found, error = (
            np.concatenate([getattr(one, name) for one in measured])
            for name in ("snr", "found", "error")
        )
        counts = sum((one.counts for one in measured), Detections())
        after, before, *means = (
            spread([getattr(one, name) for one in measured]).mean
            for name in ("rms", "rms_before", "width", "unsupported", "lost", "beyond")
        )
        everything = dict(zip(("FWHM", "unsupported", "lost", "beyond"), means, strict=True))
        everything |= {"RMS": after, "purity": counts.purity, "F1": counts.f1}
        everything["gain"] = 20 * float(np.log10(before / after)) if after > 0 else float("inf")
        rows = [Row("all", everything | _values(found, error))]
        for name, low, high in zip(_NAMES, _EDGES, _EDGES[1:], strict=False):
            inside = (snr >= low) & (snr < high)
            if inside.any():
                rows.append(Row(name, _values(found[inside], error[inside])))
        return rows

    def panels(self, measured: Sequence[_Measured] | Sequence[Superresolved]) -> list[Panel]:
        """Return completeness and errors of fluxes by S/N, or what is told by flux."""
        if not measured:
            return []
        if isinstance(measured[0], Superresolved):
            return flux_panels([one for one in measured if isinstance(one, Superresolved)])
        return self._panels([one for one in measured if isinstance(one, _Measured)])

    def _panels(self, measured: Sequence[_Measured]) -> list[Panel]:
        snr, found, error = (
            np.concatenate([getattr(one, name) for one in measured])
            for name in ("snr", "found", "error")
        )
        panels = [
            Panel(_COMPLETENESS, (Curve(*log_means(found, snr, _SNR, bins=12)),)),
            Panel(_FLUX, (Boxes(class_quantiles(error, snr, _EDGES)),)),
        ]
        return [panel for panel in panels if panel.is_told]


def _values(found: NDArray[np.bool_], error: NDArray[np.float64]) -> dict[str, float]:
    return {
        "sources": float(found.size),
        "completeness": float(found.mean()) if found.size else float("nan"),
        "dm": spread(error).median,
        "scatter": scatter(error),
    }


def _width(layer: Layer, fine: Layer) -> float:
    """Return the FWHM of a result's PSF over that of the truth, both in pixels of the frame."""
    if layer.psf is None or fine.psf is None or layer.grid is None or fine.grid is None:
        return float("nan")
    mine, true = layer.psf.fwhm_pixels * layer.grid.step, fine.psf.fwhm_pixels * fine.grid.step
    return mine / true


def _sources(
    trial: Trial, seen: _Seen
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64], Detections]:
    """Return S/N, whether found, and flux error of the wanted sources; and counts."""
    grid, scene, fine = seen.grid, trial.scene, trial.scene.fine
    assert scene.sources is not None
    assert fine is not None
    width = fine.psf.fwhm_pixels if fine.psf is not None else 2 * _LEAST_RADIUS
    found = trial.result.frame.sources
    layer = trial.result.layers[str(trial.stage.branch)]
    if found is not None and layer.grid is not None:
        places = moved(positions(found), layer.grid, grid)
    else:
        places = find_peaks(seen.image, fwhm=width, noise=_LEAST_SCATTER * seen.unit)
    true = moved(positions(scene.sources), Grid.from_frame(scene.frame), grid)
    shown = find_peaks(seen.truth, fwhm=width, noise=_LEAST_SCATTER * seen.unit)
    near = max(width / 2, _LEAST_RADIUS)
    recovered = _have_partner(true, places, near)
    genuine = _have_partner(places, true, near) | _have_partner(places, shown, near)
    told = source_snr(scene.sources, seen.noise)
    snr = np.array([told.get(int(i), np.inf) for i in scene.sources.table["id"]], dtype=float)
    wanted = (snr >= WANTED_SNR) & _have_partner(true, shown, near)
    found_of_wanted = int((wanted & recovered).sum())
    counts = Detections(int(wanted.sum()), found_of_wanted, len(places), int(genuine.sum()))
    radius = (scene.true_psf.fwhm_pixels if scene.true_psf is not None else 3.0) / grid.step
    sums = (aperture_sums(one, true[wanted], radius=radius) for one in (seen.image, seen.truth))
    return snr[wanted], recovered[wanted], magnitude_errors(*sums), counts


def _have_partner(
    places: NDArray[np.float64], others: NDArray[np.float64], radius: float
) -> NDArray[np.bool_]:
    """Return which places have another for themselves within a radius."""
    partners = np.zeros(len(places), dtype=bool)
    partners[match_positions(places, others, radius=radius)[0]] = True
    return partners


def _support(trial: Trial, seen: _Seen) -> tuple[float, float, float]:
    """Return the share of pixels and of light outside the support, and the RMS there."""
    layer = trial.result.layers.get("SUPPORT")
    if layer is None or layer.grid is None:
        return (float("nan"),) * 3
    grid, truth, error = seen.grid, seen.truth, seen.image - seen.truth
    scale = (layer.grid.step / grid.step) ** 2  # a share, no light
    support = on_grid(layer.data, layer.grid, grid, order=0) * scale
    outside = ~(support > 0)
    light = float(truth.sum())
    lost = float(truth[outside].sum()) / light if light > 0 else float("nan")
    inner = rms(error, ~outside)
    beyond = rms(error, outside) / inner if inner > 0 else float("nan")
    return float(outside.mean()), lost, beyond
