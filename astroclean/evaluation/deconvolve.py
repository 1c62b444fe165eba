"""How deconvolvers are scored: against the true image at a narrow PSF."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.evaluation.binning import class_quantiles
from astroclean.evaluation.deconvolved import QUANTITIES, Deconvolved, Images, Recovered, compared
from astroclean.evaluation.evaluation import nothing_to_inject
from astroclean.evaluation.figure import Axes, Axis, Boxes, Curve, Panel
from astroclean.evaluation.metrics.deconvolve import paired_leak, shape_slope
from astroclean.evaluation.metrics.recovery import Coverage, share_within, snr_classes
from astroclean.evaluation.metrics.remove import spread
from astroclean.evaluation.table import Column, Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.stage import Stage
    from astroclean.evaluation.evaluation import Trial
    from astroclean.simulate.scene import Scene

__all__ = ["DeconvolveEvaluation"]

_CLASSES = ("blank", "low", "medium", "high")
_FAINTEST = 3.0
"""Recovered S/N from which a stamp has a source: the least of those that `stamps` draws."""
_FEWEST = 9
"""Sources that are sorted into terciles."""
_SNR_EDGES = (0.0, 10.0, 30.0, 100.0, np.inf)
_SNR = Axis("S/N of the source", names=("< 10", "10-30", "30-100", "> 100"))
_LIGHT = Axis("S/N of the light in the frame", 1.0, 1e4, "log")
_GAIN = Axes("Gain of PSNR", _LIGHT, Axis("PSNR after - before [dB]"))
_SSIM = Axes("Structural similarity", _LIGHT, Axis("SSIM with the truth"))
_FLUX = Axes("Flux", _SNR, Axis("flux / true flux - 1", -0.5, 0.5))
_SIZE = Axes("Size", _SNR, Axis("size / true size - 1", -0.5, 0.5))
_SHAPE = Axes("Ellipticity", _SNR, Axis("|e - true e|", 0.0, 0.5))
_SLOPE = Axes(
    "Ellipticity against truth",
    Axis("true e1, e2", -0.8, 0.8),
    Axis("e1, e2, mean", -0.8, 0.8),
)
_SLOPE_BINS = np.linspace(-0.8, 0.8, 9)
_STATED = (("flux", ("flux",)), ("place", ("x", "y")), ("e", ("e1", "e2")), ("size", ("size",)))


class DeconvolveEvaluation:
    """Images against the true one at the target PSF, a Gaussian of 2 pixels.

    A result that states a narrower PSF is convolved with what that lacks. Pixels of one that states
    another PSF than the target are compared as they are and convolved with the target, and the
    better PSNR counts. They are compared in units of the range of the truth, so that all stamps
    count alike, and each image less its median: the level of the sky is not judged.

    Moments are measured at the 50 brightest true sources that stand alone (blendedness below 0.05),
    in result and truth alike, under a Gaussian weight whose standard deviation is the FWHM of the
    frame's PSF, at least 3 pixels. Fluxes are sums in a circle of three true sizes, but at least 4
    pixels. Low, medium and high are terciles of the S/N of the best fit in the frame, given where
    frames show one source each. The recovered S/N is the true one times recovered over true flux;
    of an empty stamp it is the flux over that of a source as wide as the one that was left out, at
    S/N 1. Below 3 a stamp counts as blank.
    """

    simulator = "stamps"
    columns = (
        Column("frames", "frames whose pixels are compared", form=".0f"),
        Column("PSNR", "10 log10(range^2 / mean square error) at the target PSF", "dB", ".2f"),
        Column("gain", "PSNR less that of the frame before", "dB", ".2f"),
        Column("1-SSIM", "1 less structural similarity with the truth", form=".4f"),
        Column("spurious", "groups of pixels above the truth by 5 errors, a frame", form=".2f"),
        Column("sources", "sources whose moments were asked for", form=".0f"),
        Column("lost", "share of them without moments in the result"),
        Column("flux", "flux over true flux - 1, mean"),
        Column("flux RMS", "root of the mean square of that"),
        Column("size", "size over true size - 1, mean"),
        Column("size RMS", "root of the mean square of that"),
        Column("abs e", "|e| - |true e|, mean"),
        Column("abs e RMS", "root of the mean square of that"),
        Column("e RMS", "root of the mean square of e - true e, of a component"),
        Column("slope", "slope of e on true e; below 1: shrunk"),
        Column("leak", "share of the PSF's ellipticity in that of sources, from pairs", form=".4f"),
        Column("as blank", "share of the class whose recovered S/N is below 3"),
        *(
            Column(f"as {name}", f"share of the class whose recovered S/N is {name}")
            for name in _CLASSES[1:]
        ),
        Column("accuracy", "share that is recovered in its own class"),
        Column("pixels 68", "share of pixels within the stated interval of 68 percent"),
        Column("pixels 95", "the same of 95 percent"),
        Column("lit 68", "the same of 68 percent where the true light is above the noise"),
        Column("lit 95", "the same of 95 percent"),
        *(
            Column(f"{name} {level}", f"the same of {level} percent, of the moments stated: {name}")
            for name, _ in _STATED
            for level in (68, 95)
        ),
    )

    def present(self, scene: Scene, stage: Stage) -> Frame:  # noqa: ARG002 - alike for all
        """Return the frame as it is, with the catalogue for those who fit sources."""
        return scene.frame

    def inject(self, frame: Frame, *, seed: int) -> Scene:  # noqa: ARG002 - nothing to inject
        """Raise: nobody knows what a real frame is without its PSF."""
        raise nothing_to_inject(frame, "no truth for `deconvolve`")

    def measure(self, trial: Trial) -> Deconvolved:
        """Compare pixels and moments."""
        return compared(trial)

    def rows(self, measured: Sequence[Deconvolved]) -> list[Row]:
        """Return a row for all, and one for empty stamps and each tercile of S/N."""
        if not measured:
            return []
        images = Images.joined([one.images for one in measured])
        sources = Recovered.joined([one.sources for one in measured])
        rows = [Row("all", {**_of_images(images), **_of_sources(sources)})]
        if len(images.snr) != len(sources.snr):  # terciles of sources are none of frames
            return rows
        edges = _edges(sources)
        if edges is None:
            return rows
        true = _true_classes(sources, edges)
        found = snr_classes(sources.found, edges)
        rows[0] = Row("all", {**rows[0].values, "accuracy": float(np.mean(true == found))})
        for index, inside in _members(true):
            values = {**_of_images(images.where(inside)), **_of_sources(sources.where(inside))}
            shares = np.bincount(found[inside], minlength=len(_CLASSES)) / inside.sum()
            values |= {
                f"as {name}": float(share) for name, share in zip(_CLASSES, shares, strict=True)
            }
            rows.append(Row(_CLASSES[index], {**values, "accuracy": float(shares[index])}))
        return rows

    def panels(self, measured: Sequence[Deconvolved]) -> list[Panel]:
        """Return PSNR and SSIM of each frame by its S/N, moments by S/N, shapes by true shapes."""
        if not measured:
            return []
        images = Images.joined([one.images for one in measured])
        sources = Recovered.joined([one.sources for one in measured])
        snr, lit = tuple(images.snr), sources.where(sources.snr != 0)
        gain = tuple(images.psnr - images.before)
        boxes = [
            Panel(axes, (Boxes(class_quantiles(values, lit.snr, _SNR_EDGES)),))
            for axes, values in (
                (_FLUX, lit.flux),
                (_SIZE, lit.size),
                (_SHAPE, np.abs(lit.shape_error)),
            )
        ]
        panels = [
            Panel(_GAIN, (Curve(snr, gain, joined=False),)),
            Panel(_SSIM, (Curve(snr, tuple(1 - images.dissimilar), joined=False),)),
            *boxes,
            Panel(_SLOPE, (Curve(*_mean_shapes(lit)),)),
        ]
        return [panel for panel in panels if panel.is_told]


def _edges(sources: Recovered) -> tuple[float, float, float] | None:
    """Return the S/N at which low, medium and high begin; None where terciles say nothing."""
    snr = sources.snr[sources.snr > 0]
    if len(snr) < _FEWEST:
        return None
    low, high = (max(float(edge), _FAINTEST) for edge in np.quantile(snr, (1 / 3, 2 / 3)))
    return _FAINTEST, low, high


def _true_classes(sources: Recovered, edges: Sequence[float]) -> NDArray[np.intp]:
    """Return the class of each source; one that is fainter than the faintest is no empty stamp."""
    return np.where(sources.snr > 0, np.maximum(snr_classes(sources.snr, edges), 1), 0)


def _members(classes: NDArray[np.intp]) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    for index in range(len(_CLASSES)):
        if (inside := classes == index).any():
            yield index, inside


def _of_images(images: Images) -> dict[str, float]:
    told = np.isfinite(images.psnr)
    values = {
        "frames": float(len(images.psnr)),
        "PSNR": spread(images.psnr).mean,
        "gain": spread((images.psnr - images.before)[told]).mean,
        "1-SSIM": spread(images.dissimilar).mean,
        "spurious": float(np.mean(images.spurious)),
    }
    for name, counts in (("pixels", images.pixels), ("lit", images.lit)):
        values |= _intervals(name, Coverage(*(int(n) for n in counts.sum(axis=0))).shares)
    return values


def _of_sources(sources: Recovered) -> dict[str, float]:
    lit = sources.where(sources.snr != 0)
    values = {"sources": float(len(lit.snr))}
    if not len(lit.snr):
        return values
    modulus = np.abs(lit.shape) - np.abs(lit.true_shape)
    error = lit.shape_error
    values |= {
        "lost": float(np.mean(~np.isfinite(lit.size) | ~np.isfinite(lit.flux))),
        "flux": spread(lit.flux).mean,
        "flux RMS": _rms(lit.flux),
        "size": spread(lit.size).mean,
        "size RMS": _rms(lit.size),
        "abs e": spread(modulus).mean,
        "abs e RMS": _rms(modulus),
        "e RMS": _rms(np.concatenate([error.real, error.imag])),
        "slope": shape_slope(lit.shape, lit.true_shape),
        "leak": paired_leak(lit.shape, lit.psf_shape, lit.pair),
    }
    for name, quantities in _STATED:
        columns = [QUANTITIES.index(quantity) for quantity in quantities]
        values |= _intervals(name, share_within(lit.pulls[:, columns]))
    return values


def _intervals(name: str, shares: tuple[float, float]) -> Mapping[str, float]:
    return {f"{name} 68": shares[0], f"{name} 95": shares[1]}


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(spread(values**2).mean))


def _mean_shapes(sources: Recovered) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean of both components of e in bins of the true ones."""
    true, found = (
        np.concatenate([shapes.real, shapes.imag]) for shapes in (sources.true_shape, sources.shape)
    )
    used = np.isfinite(true) & np.isfinite(found)
    place = np.digitize(true[used], _SLOPE_BINS)
    told = [index for index in np.unique(place) if np.count_nonzero(place == index) >= _FEWEST]
    means = [
        (float(true[used][place == index].mean()), float(found[used][place == index].mean()))
        for index in told
    ]
    return tuple(x for x, _ in means), tuple(y for _, y in means)
