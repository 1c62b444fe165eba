"""Kind `deconvolve`: what would be seen without (or with a narrower) PSF?"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from astropy.nddata import StdDevUncertainty

from astroclean.core.image.layer import Layer, LayerSpec
from astroclean.core.psf.beam import beam_of_values, is_per_beam
from astroclean.core.stage.metrics import Ratio, Total
from astroclean.core.stage.needs import Needs, Provides
from astroclean.core.stage.results import Deconvolution, StageResult
from astroclean.core.stage.scope import chunk_of
from astroclean.core.stage.stage import Stage
from astroclean.errors import AstrocleanWarning

if TYPE_CHECKING:
    from astroclean.core.image.frame import Frame

__all__ = ["Deconvolver"]


class Deconvolver(Stage):
    """Changes data, uncertainty and PSF on the same grid; WCS and flags stay.

    The result goes to the HDU ``DECONV``; the science HDU is left alone unless the pipeline says
    ``[products] replace = true``. With a
    ``halo`` of finite rows it works on chunks of a frame, too, whose results must have one PSF.
    """

    kind = "deconvolve"
    takes_colors = False
    answers = Deconvolution
    branch: ClassVar[str] = "DECONV"

    @abstractmethod
    def deconvolve(self, frame: Frame) -> Deconvolution:
        """Return the sharper image and its PSF."""

    def needs(self) -> Needs:
        """Return the PSF of the frame."""
        return Needs(frozenset({"psf"}))

    def provides(self) -> Provides:
        """Return the PSF of the result."""
        return Provides(frozenset({"psf"}))

    def layers(self) -> tuple[LayerSpec, ...]:
        """Return the sharper image."""
        return (LayerSpec(self.branch, "the image with a narrower PSF", always=True),)

    def _ask(self, frame: Any) -> Deconvolution:
        return self.deconvolve(frame)

    def _apply(self, frame: Frame, answer: Deconvolution) -> StageResult:
        data = self._checked(frame, "data", answer.data).astype(np.float32, copy=False)
        uncertainty = None
        if answer.uncertainty is not None:
            checked = self._checked(frame, "uncertainty", answer.uncertainty)
            uncertainty = StdDevUncertainty(checked)
        own = chunk_of(frame).own
        before, after = (
            Total.from_pixels(np.where(np.isnan(image), 0, image)[own])
            for image in (frame.data, data)
        )
        metrics = {
            "flux ratio": Ratio(after, before),
            "fwhm before (pixels)": frame.psf.fwhm_pixels if frame.psf else float("nan"),
            "fwhm after (pixels)": answer.psf.fwhm_pixels,
            **answer.metrics,
        }
        result = frame.replace(
            data=data, uncertainty=uncertainty, psf=answer.psf, meta=self._meta(frame, answer)
        )
        deviation = None if uncertainty is None else uncertainty.array
        layers = {self.branch: Layer(data, uncertainty=deviation, psf=answer.psf)}
        return StageResult(result, self._layers(frame, answer.layers, layers), metrics)

    def _meta(self, frame: Frame, answer: Deconvolution) -> Any:
        """Return the header, with the beam that values refer to; tell that it is not the PSF."""
        if not is_per_beam(frame.unit):
            return frame.meta
        beam, scale = beam_of_values(frame), frame.detector.pixel_scale
        told = "the PSF of the input, which is no round Gaussian: no BMAJ tells it"
        if beam:
            told = f"{3600 * beam['BMAJ']:.4g} x {3600 * beam['BMIN']:.4g} arcsec (BMAJ, BMIN)"
        width = answer.psf.fwhm_pixels
        seen = f"{width:.3g} pixels" if scale is None else f"{width * scale:.3g} arcsec"
        warnings.warn(
            f"{self.where(frame)}: values stay in {frame.unit}, of the beam of "
            f"the input, {told}, so that sums of pixels over this beam are fluxes; peaks are not. "
            f"The image itself has a PSF of {seen} FWHM",
            AstrocleanWarning,
            stacklevel=4,
        )
        meta = frame.meta.copy()
        meta.update(beam)
        return meta
