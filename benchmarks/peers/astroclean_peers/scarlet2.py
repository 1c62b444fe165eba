"""`peer-scarlet2`: the sources of SourceExtractor, each fitted as a free image by scarlet2."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from astroclean.core.image.layer import BACKGROUND, LayerSpec
from astroclean.core.image.uncertainty import deviation_of
from astroclean.core.sources.sources import Sources, SourceStamp
from astroclean.core.stage.kinds.deblend import Deblender
from astroclean.core.stage.needs import Needs
from astroclean.core.stage.results import Separation
from astroclean.errors import StageError
from astroclean_peers.source_extractor import SourceExtractor, SourceExtractorOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["Scarlet2", "Scarlet2Options"]

# Standard deviation of the PSF of the model, in pixels: what its quick start takes.
_MODEL_PSF = 0.7
# Light below this share of the peak is left out of the stamps.
_FAINTEST = 1e-4


class Scarlet2Options(SourceExtractorOptions):
    """Settings of :class:`Scarlet2`: those of the detection, and of the fit."""

    max_iter: Annotated[int, Field(ge=1, le=10000)] = 100
    """Most steps of the fit."""
    e_rel: Annotated[float, Field(gt=0, le=1)] = 1e-3
    """Relative change at which it ends (no unit)."""


class Scarlet2(Deblender):
    """Shares the light among sources; it detects none itself, so SourceExtractor does.

    Spectrum (flux) and morphology of each source are free, positive, and start from its moments,
    or from a point where they fail, as in the quick start of scarlet2. Centers stay.
    """

    Options = Scarlet2Options

    def needs(self) -> Needs:
        """Return what a frame must have."""
        return Needs(frozenset({"psf"}))

    def layers(self) -> tuple[LayerSpec, ...]:
        """Return the sky, beside the layers of the kind."""
        return (*super().layers(), BACKGROUND)

    def separate(self, frame: Frame) -> Separation:
        """Return the catalogue of the detection with fitted ``flux``, and a stamp of each source.

        Raises
        ------
        StageError
            The frame has no PSF or no uncertainty, or SourceExtractor failed.
        """
        deviation = deviation_of(frame.uncertainty)
        if frame.psf is None or deviation is None:
            raise StageError(
                "scarlet2 needs a PSF and the noise of each pixel",
                where=f"{frame.frame_id}, stage '{self.name}'",
            )
        detection = {
            name: getattr(self.options, name) for name in SourceExtractorOptions.model_fields
        }
        found = SourceExtractor(SourceExtractorOptions(**detection)).run(frame)
        sources, level = found.frame.sources, found.products["BACKGROUND"]
        products = {"BACKGROUND": level}
        if sources is None or not len(sources):
            return Separation(sources, layers=products)
        usable = frame.usable & np.isfinite(deviation) & (deviation > 0)
        data = np.where(usable, frame.data - level, 0)
        weights = np.where(usable, 1 / np.where(usable, deviation, 1) ** 2, 0)
        images = _fitted(data, weights, _stamp(frame), sources.table, self.options)
        return Separation(_with_images(sources, images), layers=products)


def _stamp(frame: Frame) -> NDArray[np.floating]:
    ny, nx = frame.shape
    assert frame.psf is not None
    return frame.psf.at(nx / 2, ny / 2)


def _fitted(
    data: NDArray[np.floating],
    weights: NDArray[np.floating],
    psf: NDArray[np.floating],
    table: Any,
    options: Scarlet2Options,
) -> list[NDArray[np.float32]]:
    """Return the image of each source under the PSF, as large as the frame."""
    import scarlet2  # noqa: PLC0415 - heavy

    scarlet2.set_validation(state=False)  # else it prints a line a source
    model = scarlet2.Frame(
        scarlet2.Box((1, *data.shape)), psf=scarlet2.GaussianPSF(_MODEL_PSF), channels=[0]
    )
    seen = scarlet2.Observation(
        data[None], weights[None], psf=scarlet2.ArrayPSF(psf[None]), channels=[0]
    )
    seen.match(model)
    with scarlet2.Scene(model) as scene:
        for y, x in zip(table["y"], table["x"], strict=True):
            center = np.array([float(y), float(x)])
            scarlet2.Source(center, *_start(seen, center))
    _free(scene)
    fit = scene.fit(seen, max_iter=options.max_iter, e_rel=options.e_rel, progress_bar=False)
    return [np.asarray(seen.render(fit.evaluate_source(s)))[0] for s in fit.sources]


def _free(scene: Any) -> None:
    """Declare what is fitted, with the steps of the quick start."""
    import scarlet2  # noqa: PLC0415 - heavy
    from numpyro.distributions import constraints  # noqa: PLC0415 - heavy

    step = partial(scarlet2.relative_step, factor=0.05)
    positive, share = constraints.positive, constraints.unit_interval
    with scarlet2.Parameters(scene):
        for i, source in enumerate(scene.sources):
            name = f"flux:{i}"
            scarlet2.Parameter(source.spectrum, name=name, constraint=positive, stepsize=step)
            name = f"morphology:{i}"
            scarlet2.Parameter(source.morphology, name=name, constraint=share, stepsize=0.1)


def _start(seen: Any, center: NDArray[np.float64]) -> tuple[Any, Any]:
    """Return spectrum and morphology to start from."""
    from scarlet2 import init  # noqa: PLC0415 - heavy

    try:
        spectrum, morphology = init.from_gaussian_moments(seen, center, min_corr=-1)
    except ValueError:  # moments of blended sources may describe no ellipse
        spectrum = morphology = np.array([np.nan])
    if np.isfinite(morphology).all() and np.isfinite(spectrum).all() and (spectrum > 0).all():
        return spectrum, morphology
    least = 1 / np.sqrt(float(np.median(seen.weights)) or 1.0)
    spectrum = np.maximum(init.pixel_spectrum(seen, center, correct_psf=True), least)
    return spectrum, init.compact_morphology()


def _with_images(sources: Sources, images: list[NDArray[np.float32]]) -> Sources:
    stamps, table = [], sources.table.copy()
    for label, image in zip(table["id"], images, strict=True):
        rows, columns = np.nonzero(image > _FAINTEST * image.max())
        y, x = int(rows.min()), int(columns.min())
        box = image[y : int(rows.max()) + 1, x : int(columns.max()) + 1]
        stamps.append(SourceStamp(int(label), (y, x), np.ascontiguousarray(box, np.float32)))
    table["flux"] = np.array([float(image.sum()) for image in images]) * table["flux"].unit
    table.remove_columns(["flux_err", "flux_auto", "flux_auto_err"])
    return Sources(table, sources.segmentation, tuple(stamps))
