"""`joint-richardson-lucy`: far-infrared maps of several beams deconvolved into one finer map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from astroclean.core.image.grid import Grid
from astroclean.core.length import IN_ARCSEC
from astroclean.core.psf.beam import (
    MJY_PER_BEAM,
    TARGET_FWHM_ARCSEC,
    TARGET_PIXEL_ARCSEC,
    flux_unit_per_beam,
)
from astroclean.core.psf.joint_deconvolution import joint_richardson_lucy
from astroclean.core.psf.spire import bands_of, map_scale
from astroclean.core.stage.kinds.superres import SuperResolver
from astroclean.core.stage.needs import Needs
from astroclean.core.stage.options import StageOptions
from astroclean.core.stage.results import Upsampling
from astroclean_classical.joint.bands import Color, prepared_band
from astroclean_classical.joint.drawing import beam_of, drawn, support_of
from astroclean_classical.joint.peaks import (
    catalogue,
    flux_errors,
    noise_at,
    source_width,
    sources_in,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.image.frameset import FrameSet
    from astroclean.core.psf.joint_deconvolution import JointSky
    from astroclean.core.sources.sources import Sources
    from astroclean_classical.joint.bands import Band

__all__ = ["JointRichardsonLucy", "JointRichardsonLucyOptions"]

_BANDS = ("250", "350", "500")
PER_COARSE = 3
"""Pixels of the result along one of those that the sky is estimated on."""
_Positive = Annotated[float, Field(gt=0, le=100)]
_Scatter = Annotated[float, Field(ge=0, le=10)]


class JointRichardsonLucyOptions(StageOptions):
    """Settings of :class:`JointRichardsonLucy`."""

    iterations: Annotated[int, Field(ge=1, le=5000)] = 100
    """Iterations (no unit): more are sharper, and noisier. They have momentum: each counts for
    several plain ones."""
    colors: tuple[_Positive, _Positive, _Positive] = (1.9, 1.5, 0.81)
    """Flux of a mean galaxy at 250, 350 and 500 um over that at the wavelength of the result, 450
    um (no unit): dust at 35 K, redshift 1.7."""
    color_scatter: tuple[_Scatter, _Scatter, _Scatter] = (0.45, 0.16, 0.06)
    """Standard deviation of these from galaxy to galaxy, over their means (no unit): where a band
    is bright, it counts the less."""
    pixel: Annotated[float, Field(ge=0.1, le=20), IN_ARCSEC] = TARGET_PIXEL_ARCSEC
    """Side of a pixel of the result, in arcsec; pixels of the first band are divided into the whole
    number that comes nearest. The sky is estimated on pixels three times as wide."""
    fwhm: Annotated[float, Field(ge=1, le=60), IN_ARCSEC] = TARGET_FWHM_ARCSEC
    """FWHM of the Gaussian beam that the result is drawn with, in arcsec."""
    background: Annotated[float, Field(ge=0, le=36000), IN_ARCSEC] = 600.0
    """Side of the boxes, in arcsec, in which what is broader than sources, such as cirrus, is
    measured and taken off; 0: a level alone."""
    flux_limit: Annotated[float, Field(gt=0, le=1e6)] = 3.0
    """Least flux of a source of the catalogue, in mJy."""
    nsigma: Annotated[float, Field(ge=1, le=1000)] = 5.0
    """Least flux over that of the noise, in standard deviations; blends do not count as noise."""


class JointRichardsonLucy(SuperResolver):
    """Estimates the sky at 450 um that explains SPIRE's maps at 250, 350 and 500 um together.

    Joint Richardson-Lucy deconvolution for Gaussian noise: see
    `astroclean.core.psf.joint_deconvolution`. Takes a set whose bands are called ``250``, ``350``
    and ``500``, the narrowest beam first, each on its own pixels, or a map alone. Bands are brought
    to common pixels by splines, which loses nothing of a beam of three pixels, but noise of
    neighbors is then alike, which weights take into account on the mean alone. Beams are those of
    the middle of each map, and lie as on its own pixels. Needs the whole frame.
    """

    Options = JointRichardsonLucyOptions
    accepts = frozenset({"frame", "set"})

    def needs(self) -> Needs:
        """Return beam and sky coordinates of each band; bands may lie on grids of their own."""
        return Needs(frozenset({"psf", "wcs"}), aligned=False)

    def check_header(self, frame: Frame) -> None:
        """Raise where unit or pixels are none that the method takes."""
        scale = map_scale(frame)
        if frame.psf is not None:
            flux_unit_per_beam(frame.unit, frame.psf, scale)

    def upsample(self, given: Frame | FrameSet) -> Upsampling:
        """Return the sky at 450 um.

        Parameters
        ----------
        given : Frame or FrameSet
            Flux density per beam, pixel or solid angle, with a PSF and a celestial WCS. Of a frame
            alone, its beam tells the band. Not modified.

        Returns
        -------
        Upsampling
            In mJy/beam, NaN where the first band is. ``psf`` is the beam that values refer to:
            sums give fluxes with it. Sources that are not deconvolved to the end are wider:
            metric ``source fwhm`` (arcsec). ``support``: share of the beams' weight that fell on
            usable pixels. ``sources``: ``flux`` (mJy, within the FWHM of the result), ``flux_err``,
            ``snr``, ``peak``, ``x``, ``y`` on the finer grid. Further metrics: ``sources``,
            ``bands``, and ``offset BAND``, the zero point of each map in mJy/beam.

        Raises
        ------
        StageError
            Names of bands, beam, pixels or WCS are none that the method takes; no usable pixel.
        UnitError
            The unit is not understood.
        """
        options, frames = self.options, bands_of(given, _BANDS, where=f"stage '{self.name}'")
        first = next(iter(frames.values()))
        scale = map_scale(first)
        fine = Grid.from_frame(first).finer(max(round(scale / options.pixel), 1))
        coarse = fine.with_step(PER_COARSE)
        bands = {
            band: prepared_band(
                frame, coarse, color=self._color(band), background=options.background
            )
            for band, frame in frames.items()
        }
        images = [band.image for band in bands.values()]
        sky = joint_richardson_lucy(images, iterations=options.iterations)
        pixel = float(fine.pixel_scale or 1)
        fwhm = options.fwhm / pixel
        data = drawn(sky.flux, fwhm, shape=fine.shape, spacing=PER_COARSE)
        seen = fine.seen_by(np.isfinite(first.data))
        sources = self._sources(np.where(seen, data, 0), sky, list(bands.values()), radius=fwhm)
        width = source_width(data, sources)
        metrics = {
            "sources": float(len(sources)),
            "bands": float(len(bands)),
            **{f"offset {band}": value for band, value in zip(bands, sky.offsets, strict=True)},
            **({} if width is None else {"source fwhm": width * pixel}),
        }
        return Upsampling(
            np.where(seen, data, np.nan).astype(np.float32),
            beam_of(fwhm),
            grid=fine,
            support=support_of(images, shape=fine.shape, spacing=PER_COARSE),
            sources=sources.with_sky(fine.wcs),
            metrics=metrics,
            unit=MJY_PER_BEAM,
        )

    def _sources(
        self, data: NDArray[np.float32], sky: JointSky, bands: list[Band], *, radius: float
    ) -> Sources:
        """Return the catalogue of a map."""
        limit = self.options.flux_limit
        places, flux = sources_in(data, sky.flux, radius=radius, spacing=PER_COARSE, limit=limit)
        noise = noise_at(places, bands, spacing=PER_COARSE)
        bright = flux >= self.options.nsigma * noise
        places, flux, noise = places[bright], flux[bright], noise[bright]
        return catalogue(data, places, flux, noise=noise, error=flux_errors(flux, noise, bands))

    def _color(self, band: str) -> Color:
        index = _BANDS.index(band)
        return Color(self.options.colors[index], self.options.color_scatter[index])
