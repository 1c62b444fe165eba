"""`matched-filter`: point sources found with a matched filter, drawn sharper on a finer grid."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from astroclean.core.length import LengthIn
from astroclean.core.psf.psf import Psf
from astroclean.core.psf.stamp import FWHM_PER_SIGMA
from astroclean.core.stage.kinds.superres import SuperResolver
from astroclean.core.stage.options import StageOptions
from astroclean.core.stage.results import Upsampling
from astroclean_classical.psf_subtract.fit import Fit, Scene, Settings, fitted
from astroclean_classical.restore.matched_peaks import peaks, significance
from astroclean_classical.restore.restoration import (
    central_stamp,
    holes_filled,
    unusable_pixels,
)
from astroclean_classical.sources.catalogue import make_sources

if TYPE_CHECKING:
    from astropy.units import UnitBase
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.sources.sources import Sources

__all__ = ["MatchedFilter", "MatchedFilterOptions"]

_PLACE = "position, pixels of the fine grid; the first center is 0"
_MEANINGS = {
    "id": "number of the source",
    "x": _PLACE,
    "y": _PLACE,
    "flux": "of the fitted PSF, sum over pixels of the original grid",
    "flag": "bits of photutils.psf.PSFPhotometry, 0 for none",
}

# Radii of the fit and of its first background, in FWHM.
_RADIUS, _ANNULUS = 1.5, (2.0, 4.0)
_TOGETHER, _LEAST_RADIUS = 1.5, 1.5


class MatchedFilterOptions(StageOptions):
    """Settings of :class:`MatchedFilter`."""

    factor: Annotated[int, Field(ge=2, le=8)] = 2
    """By how much the grid becomes finer (no unit)."""
    nsigma: Annotated[float, Field(ge=3, le=1000)] = 5.0
    """Least signal to noise of a source after the filter, in standard deviations."""
    target_fwhm: Annotated[float, Field(ge=1, le=50), LengthIn("pixel", finer="factor")] = 2.5
    """Width of the sources that are drawn: FWHM of a Gaussian, in pixels of the fine grid."""
    background_fwhm: Annotated[float, Field(ge=2, le=100)] = 5.0
    """Scale of the background that is taken away before the search, in FWHM of the PSF."""
    smooth: Annotated[float, Field(ge=0, le=10)] = 0.5
    """What is no source is smoothed with a Gaussian of this FWHM, in FWHM of the PSF, and kept; 0:
    as it is, with its noise."""


class MatchedFilter(SuperResolver):
    """Draws the point sources of a frame anew, narrower, on a finer grid: a baseline.

    Sources are the peaks of the matched filter (Turin 1960) of PSF and noise; their
    positions and fluxes are fitted together with their neighbors. What is no point source stays at
    the resolution of the frame. A PSF that varies is taken at its center for the search, and at
    each source for the fit. Needs the whole frame.
    """

    Options = MatchedFilterOptions

    def upsample(self, frame: Frame) -> Upsampling:
        """Return the image on the finer grid.

        Parameters
        ----------
        frame : Frame
            Any unit, with a PSF. Values per solid angle or beam stay so, all others are shared out
            among the finer pixels. Not modified.

        Returns
        -------
        Upsampling
            ``psf`` is that of the sources drawn. ``support``: share of the PSF's light at each
            pixel that fell on usable pixels. ``sources``: ``flux`` (sum over pixels of the frame),
            ``flux_err``, ``snr``, ``x``, ``y`` on the fine grid. Metrics ``sources`` and ``noise
            scale`` (scatter of the filtered image in its own standard deviations).

        Raises
        ------
        StageError
            No usable pixel.
        """
        bad = unusable_pixels(frame, self.name)
        noise = frame.noise()
        fits, scale = self._sources(frame, bad, noise)
        scene = Scene(frame, bad, noise, _settings(frame))
        rest = np.where(bad, 0.0, frame.data.astype(np.float64))
        for fit in fits:
            stamp = scene.stamp(fit)
            rest[stamp.slices()] -= stamp.data
        fine = self._drawn(frame, holes_filled(rest.astype(np.float32), bad), fits)
        support = _correlated((~bad).astype(float), central_stamp(frame))
        repeated = np.ones((self.options.factor, self.options.factor))
        return Upsampling(
            np.where(np.kron(np.isfinite(frame.data), repeated), fine, np.nan).astype(np.float32),
            self._target,
            support=np.kron(np.clip(support, 0, 1), repeated).astype(np.float32),
            sources=_catalogue(frame, fits, self.options.factor),
            metrics={"sources": float(len(fits)), "noise scale": scale},
        )

    def _sources(
        self, frame: Frame, bad: NDArray[np.bool_], noise: NDArray[np.float64]
    ) -> tuple[list[Fit], float]:
        """Return the sources above the limit, and how rough the sky is for its noise."""
        from astropy.table import Table  # noqa: PLC0415 - heavy

        assert frame.psf is not None  # needed, hence checked by the base class
        options, fwhm = self.options, frame.psf.fwhm_pixels
        image, scale = significance(
            frame, bad, noise, psf=central_stamp(frame), scale=options.background_fwhm * fwhm
        )
        places = peaks(image, options.nsigma, factor=options.factor, separation=0.5 * fwhm)
        if not len(places):
            return [], scale
        ids = np.arange(1, len(places) + 1)
        table = Table({"id": ids, "x": places[:, 0], "y": places[:, 1]})
        scene = Scene(frame, bad, noise * scale, _settings(frame))
        found = [fit for fit in fitted(scene, table) if fit.usable and fit.snr >= options.nsigma]
        return [replace(fit, id=index) for index, fit in enumerate(found, start=1)], scale

    @property
    def _target(self) -> Psf:
        return Psf.gaussian(fwhm_pixels=self.options.target_fwhm)

    def _drawn(
        self, frame: Frame, rest: NDArray[np.float64], fits: list[Fit]
    ) -> NDArray[np.float64]:
        """Return the fine image: what is left without sources, and the narrow sources."""
        from scipy.ndimage import gaussian_filter, zoom  # noqa: PLC0415 - heavy

        assert frame.psf is not None  # needed, hence checked by the base class
        factor = self.options.factor
        sigma = self.options.smooth * frame.psf.fwhm_pixels / FWHM_PER_SIGMA
        smooth = gaussian_filter(rest, sigma, mode="reflect") if sigma > 0 else rest
        image: NDArray[np.float64] = zoom(smooth, factor, order=1, grid_mode=True, mode="nearest")
        image /= factor**2
        x, y = (factor * (np.array([getattr(f, n) for f in fits]) + 0.5) - 0.5 for n in ("x", "y"))
        self._target.drawn_at(x, y, [fit.flux for fit in fits]).add_to(image)
        return image * factor**2 if _per_area(frame.unit) else image


def _settings(frame: Frame) -> Settings:
    assert frame.psf is not None  # needed, hence checked by the base class
    fwhm = frame.psf.fwhm_pixels
    inner = max(_ANNULUS[0] * fwhm, 1.0)
    return Settings(
        fixed=False,
        max_shift=max(0.5 * fwhm, 0.5),
        radius=max(_RADIUS * fwhm, _LEAST_RADIUS),
        order=0,
        annulus=(inner, max(_ANNULUS[1] * fwhm, inner + 1)),
        separation=_TOGETHER * fwhm,
    )


def _correlated(image: NDArray[np.float64], stamp: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.signal import fftconvolve  # noqa: PLC0415 - heavy

    result: NDArray[np.float64] = fftconvolve(image, stamp[::-1, ::-1], mode="same")
    return result


def _per_area(unit: UnitBase) -> bool:
    """Tell whether values are per solid angle or beam, so that they do not depend on the pixel."""
    from astropy import units as u  # noqa: PLC0415 - heavy

    areas = (u.sr, u.beam)
    return any(
        power < 0 and (base in areas or base.is_equivalent(u.rad))
        for base, power in zip(unit.bases, unit.powers, strict=True)
    )


def _catalogue(frame: Frame, fits: list[Fit], factor: int) -> Sources:
    columns = {name: [getattr(fit, name) for fit in fits] for name in ("id", "x", "y", "flux")}
    columns |= {"flux_err": [f.error for f in fits], "flag": [f.flag for f in fits]}
    columns["snr"] = [fit.snr for fit in fits]
    blank = np.zeros(frame.shape, dtype=np.int32)
    # Places on the sky are told by the grid of the frame, whose WCS is known here.
    sources = make_sources(frame, columns, blank, meanings=_MEANINGS).with_sky(frame.wcs)
    table = sources.table
    for name in ("x", "y"):
        table[name][:] = (np.asarray(table[name], dtype=float) + 0.5) * factor - 0.5
    return replace(sources, segmentation=None)
