"""How deconvolvers are scored: against the image before the PSF."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.sources.blendedness import blendedness
from astroclean.errors import ConfigurationError
from astroclean.evaluation.binning import class_quantiles
from astroclean.evaluation.evaluation import nothing_to_inject
from astroclean.evaluation.figure import Axes, Axis, Boxes, Curve, Panel
from astroclean.evaluation.light import light_of, own_and_total, source_snr
from astroclean.evaluation.metrics.deblend import scatter
from astroclean.evaluation.metrics.deconvolve import Shape, psf_leak, psnr, shape_of, ssim
from astroclean.evaluation.metrics.remove import spread
from astroclean.evaluation.table import Column, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.stage import Stage
    from astroclean.evaluation.evaluation import Trial
    from astroclean.simulate.scene import Scene

__all__ = ["DeconvolveEvaluation"]

_MOST_SOURCES = 50
_ALONE = 0.05
"""Blendedness up to which moments are those of one source."""
_LEAST_RADIUS = 3.0
_SNR_EDGES = (0.0, 10.0, 30.0, 100.0, np.inf)
_CLASSES = Axis("S/N of the source", names=("< 10", "10-30", "30-100", "> 100"))
_LIGHT = Axis("S/N of the light in the frame", 1.0, 1e4, "log")
_GAIN = Axes("Gain of PSNR", _LIGHT, Axis("PSNR after - before [dB]"))
_SSIM = Axes("Structural similarity", _LIGHT, Axis("SSIM with the truth"))
_SIZE = Axes("Size", _CLASSES, Axis("size / true size - 1", -0.5, 0.5))
_SHAPE = Axes("Ellipticity", _CLASSES, Axis("|e - true e|", 0.0, 0.5))


@dataclass(frozen=True, eq=False)
class _Measured:
    """What is kept of one frame."""

    psnr: float
    psnr_before: float
    ssim: float
    size_error: NDArray[np.float64]
    shape_error: NDArray[np.complex128]
    psf_shape: NDArray[np.complex128]
    source_snr: NDArray[np.float64]
    snr: float
    """Of all light in the frame, for the best weights; NaN where the scene does not tell it."""


class DeconvolveEvaluation:
    """Images against the true one before the PSF, pixel by pixel and by moments.

    Moments are measured at the brightest 50 true sources that stand alone (blendedness below
    0.05), in the result and in the truth alike, under one Gaussian weight as wide as the PSF.
    """

    simulator = "stamps"
    columns = (
        Column("PSNR", "10 log10(range^2 / mean square error)", "dB", ".2f"),
        Column("gain", "PSNR less that of the frame before", "dB", ".2f"),
        Column("SSIM", "structural similarity with the truth"),
        Column("sources", "sources whose moments were measured", form=".0f"),
        Column("size", "size over true size - 1, median"),
        Column("size scatter", "1.4826 median absolute deviation of that"),
        Column("ellipticity", "|e - true e|, median"),
        Column("leak", "slope of e - true e against the ellipticity of the PSF"),
    )

    def present(self, scene: Scene, stage: Stage) -> Frame:  # noqa: ARG002 - alike for all
        """Return the frame as it is, with the catalogue for those who fit sources."""
        return scene.frame

    def inject(self, frame: Frame, *, seed: int) -> Scene:  # noqa: ARG002 - nothing to inject
        """Raise: nobody knows what a real frame is without its PSF."""
        raise nothing_to_inject(frame, "no truth for `deconvolve`")

    def measure(self, trial: Trial) -> _Measured:
        """Compare image and moments."""
        sharp = trial.scene.sharp
        if sharp is None:
            raise ConfigurationError(
                f"{trial.frame.frame_id}: the scene does not tell the image before the PSF"
            )
        data = trial.result.frame.data
        before = psnr(trial.frame.data, sharp)
        moments = _moments(trial, data, sharp)
        snr = _light_snr(trial.scene)
        return _Measured(psnr(data, sharp), before, ssim(data, sharp), *moments, snr)

    def rows(self, measured: Sequence[_Measured]) -> list[Row]:
        """Return one row: means over frames, medians over sources."""
        if not measured:
            return []
        size, shape, psf = (
            np.concatenate([getattr(one, name) for one in measured])
            for name in ("size_error", "shape_error", "psf_shape")
        )
        before = spread([one.psnr - one.psnr_before for one in measured]).mean
        values = {
            "PSNR": spread([one.psnr for one in measured]).mean,
            "gain": before,
            "SSIM": spread([one.ssim for one in measured]).mean,
            "sources": float(np.count_nonzero(np.isfinite(size))),
            "size": spread(size).median,
            "size scatter": scatter(size),
            "ellipticity": spread(np.abs(shape)).median,
            "leak": psf_leak(shape, psf),
        }
        return [Row("all", values)]

    def panels(self, measured: Sequence[_Measured]) -> list[Panel]:
        """Return PSNR and SSIM of each frame against its S/N, and moments by S/N of sources."""
        if not measured:
            return []
        snr = tuple(one.snr for one in measured)
        gain = tuple(one.psnr - one.psnr_before for one in measured)
        similar = tuple(one.ssim for one in measured)
        size, shape, of_source = (
            np.concatenate([getattr(one, name) for one in measured])
            for name in ("size_error", "shape_error", "source_snr")
        )
        panels = [
            Panel(_GAIN, (Curve(snr, gain, joined=False),)),
            Panel(_SSIM, (Curve(snr, similar, joined=False),)),
            Panel(_SIZE, (Boxes(class_quantiles(size, of_source, _SNR_EDGES)),)),
            Panel(_SHAPE, (Boxes(class_quantiles(np.abs(shape), of_source, _SNR_EDGES)),)),
        ]
        return [panel for panel in panels if panel.is_told]


def _moments(
    trial: Trial, data: NDArray[Any], sharp: NDArray[Any]
) -> tuple[
    NDArray[np.float64], NDArray[np.complex128], NDArray[np.complex128], NDArray[np.float64]
]:
    """Return size error, ellipticity error, the PSF's ellipticity and the S/N of each source."""
    psf, level = trial.scene.frame.psf, float(np.median(sharp))
    radius = _LEAST_RADIUS if psf is None else max(psf.fwhm_pixels, _LEAST_RADIUS)
    size, shape, of_psf = [], [], []
    places = _places(trial.scene)
    for x, y, _ in places:
        found = _shape_at(data, x, y, radius)
        true = _shape_at(sharp - level, x, y, radius, level=0.0)
        size.append(found.size / true.size - 1 if true.size else np.nan)
        shape.append(found.ellipticity - true.ellipticity)
        if psf is None:
            of_psf.append(complex(np.nan))
            continue
        ky, kx = psf.shape
        of_psf.append(shape_of(psf.at(x, y), center=(kx // 2, ky // 2), radius=radius).ellipticity)
    snr = np.array([place[2] for place in places], float)
    return np.array(size, float), np.array(shape, complex), np.array(of_psf, complex), snr


def _light_snr(scene: Scene) -> float:
    light = light_of(scene)
    if light is None:
        return float("nan")
    return float(np.sqrt(np.sum((light / scene.frame.noise("scatter")) ** 2)))


def _shape_at(
    image: NDArray[Any], x: float, y: float, radius: float, *, level: float | None = None
) -> Shape:
    """Return the moments in a box of four radii around a place, background subtracted."""
    half = int(np.ceil(4 * radius))
    top, left = max(round(y) - half, 0), max(round(x) - half, 0)
    box = image[top : round(y) + half + 1, left : round(x) + half + 1]
    base = float(np.nanmedian(image)) if level is None else level
    return shape_of(box - base, center=(x - left, y - top), radius=radius)


def _places(scene: Scene) -> list[tuple[float, float, float]]:
    """Return (x, y, S/N) of the sources to measure, the brightest first."""
    sources = scene.sources
    if sources is None:
        assert scene.sharp is not None
        y, x = np.unravel_index(int(np.argmax(scene.sharp)), scene.sharp.shape)
        return [(float(x), float(y), float("nan"))]
    table, light = sources.table, light_of(scene)
    crowded = set()
    if light is not None:
        blends = {int(s.id): blendedness(*own_and_total(s, light)) for s in sources.stamps}
        crowded = {i for i, value in blends.items() if not value <= _ALONE}
    rows = [i for i in range(len(table)) if int(table["id"][i]) not in crowded]
    if "flux" in table.colnames:
        flux = np.asarray(getattr(table["flux"], "value", table["flux"]), dtype=float)
        rows.sort(key=lambda i: -flux[i])
    snr = source_snr(sources, scene.frame.noise("scatter"))
    return [
        (float(table["x"][i]), float(table["y"][i]), snr.get(int(table["id"][i]), float("nan")))
        for i in rows[:_MOST_SOURCES]
    ]
