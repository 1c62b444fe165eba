"""`richardson-lucy`: deconvolution by maximum likelihood, an adapter over scikit-image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from astroclean.core.psf.psf import Psf
from astroclean.core.psf.sharpness import tell_of_sharpness
from astroclean.core.stage.kinds.deconvolve import Deconvolver
from astroclean.core.stage.options import StageOptions
from astroclean.core.stage.results import Deconvolution
from astroclean_classical.restore.restoration import (
    central_stamp,
    holes_filled,
    sky_statistics,
    unusable_pixels,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["RichardsonLucy", "RichardsonLucyOptions"]


class RichardsonLucyOptions(StageOptions):
    """Settings of :class:`RichardsonLucy`."""

    num_iter: Annotated[int, Field(ge=1, le=1000)] = 20
    """Iterations (no unit): more are sharper, and noisier."""
    filter_epsilon: Annotated[float, Field(gt=0, le=1)] | None = None
    """Ratios where the model is below this become 0, in units of the mean level of the image;
    none: no such cut."""
    pedestal_sigma: Annotated[float, Field(ge=1, le=100)] = 5.0
    """The method needs positive values: so many standard deviations of the noise are left between
    background and zero. More damps the noise and the sharpening of faint sources."""


class RichardsonLucy(Deconvolver):
    """Richardson-Lucy deconvolution (Richardson 1972; Lucy 1974) of scikit-image.

    Rejected pixels are filled first, pixels that are not finite stay so. A PSF that varies over
    the frame is taken at its center, which is reported. Needs the whole frame.
    """

    Options = RichardsonLucyOptions

    def deconvolve(self, frame: Frame) -> Deconvolution:
        """Return the sharper image.

        Parameters
        ----------
        frame : Frame
            Any unit, with a PSF. Not modified.

        Returns
        -------
        Deconvolution
            ``psf`` is the PSF deconvolved like the brightest source of the frame: the method is
            not linear, fainter ones stay wider. Metrics ``pedestal`` (unit of the frame), ``pixels
            clipped`` (below zero in spite of it), ``pixels filled``, ``psf nodes``.

        Raises
        ------
        StageError
            No usable pixel.

        Warns
        -----
        SuspectWarning
            Sources are narrower than the PSF; see `astroclean.core.psf.sharpness`.
        """
        assert frame.psf is not None  # needed, hence checked by the base class
        stamp = central_stamp(frame)
        bad = unusable_pixels(frame, self.name)
        tell_of_sharpness(frame, frame.psf, self.where(frame))
        image = holes_filled(frame.data, bad)
        median, deviation = sky_statistics(image[~bad])
        # One pixel at -32768 must not raise the whole frame, so the floor follows the background.
        floor = median - self.options.pedestal_sigma * deviation
        raised = image - floor
        clipped = raised < 0
        sharper = self._iterated(np.maximum(raised, 0), stamp) + floor
        data = np.where(np.isfinite(frame.data), sharper, np.nan).astype(np.float32)
        metrics = {
            "pedestal": -floor,
            "pixels clipped": float(np.count_nonzero(clipped & ~bad)),
            "pixels filled": float(np.count_nonzero(bad)),
            "psf nodes": float(len(frame.psf.stamps)),
        }
        return Deconvolution(data, self._effective_psf(stamp, raised, bad), metrics=metrics)

    def _iterated(
        self, image: NDArray[np.float64], stamp: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Run scikit-image on an image that is not negative, with its borders continued."""
        from skimage.restoration import richardson_lucy  # noqa: PLC0415 - heavy

        mean = float(image.mean())
        if mean <= 0:
            return image.copy()
        ky, kx = stamp.shape
        padded = np.pad(image, ((ky, ky), (kx, kx)), mode="symmetric")
        result = richardson_lucy(
            padded / mean,  # its guard against division by zero supposes values around 1
            stamp,
            num_iter=self.options.num_iter,
            clip=False,
            filter_epsilon=self.options.filter_epsilon,
        )
        inner: NDArray[np.float64] = result[ky:-ky, kx:-kx] * mean
        return inner

    def _effective_psf(
        self, stamp: NDArray[np.float64], raised: NDArray[np.float64], bad: NDArray[np.bool_]
    ) -> Psf:
        """Return what becomes of the brightest point source of the frame."""
        level = float(np.median(raised[~bad]))
        height = max(float(raised[~bad].max()) - level, 0.0)
        star = np.maximum(stamp, 0) * (height / stamp.max()) + level
        sharper = self._iterated(star, stamp) - level
        usable = height > 0 and sharper.sum() > 0
        return Psf(sharper if usable else stamp, computed=True)
