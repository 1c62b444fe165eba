"""`psf-subtract`: point sources fitted with the frame's PSF and taken out, with photutils."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.uncertainty import deviation_of
from astroclean.core.length import IN_PIXELS
from astroclean.core.psf.misfit import misfit_warning, misfits_of
from astroclean.core.stage.kinds.remove import SourceRemover
from astroclean.core.stage.needs import Needs
from astroclean.core.stage.options import StageOptions
from astroclean.core.stage.results import Removal
from astroclean.errors import SuspectWarning
from astroclean_classical.psf_subtract.fit import Fit, Scene, Settings, fitted
from astroclean_classical.sources.catalogue import make_sources

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.psf.misfit import Misfits
    from astroclean.core.sources.sources import Sources, SourceStamp

_PLACE = "fitted position, pixels; the first pixel's center is 0"
_MEANINGS = {
    "id": "as in the catalogue",
    "x": _PLACE,
    "y": _PLACE,
    "flux": "of the fitted PSF",
    "flux_err": "standard deviation of flux, by the noise and by how far the PSF fits",
    "flag": "bits of photutils.psf.PSFPhotometry, 0 for none",
}

__all__ = ["PsfSubtract", "PsfSubtractOptions"]


class PsfSubtractOptions(StageOptions):
    """Settings of :class:`PsfSubtract`."""

    fix_positions: bool = False
    """Whether sources stay where the catalogue has them; else photutils fits their positions."""
    max_shift: Annotated[float, Field(gt=0, le=100), IN_PIXELS] = 1.0
    """How far a fitted position may lie from the catalogue's, in pixels."""
    radius: Annotated[float, Field(ge=0.5, le=10)] = 2.0
    """Radius of the pixels to fit, in FWHM of the PSF."""
    order: Annotated[int, Field(ge=0, le=4)] = 4
    """Degree of the polynomial that stands for the background of each source: 0 a constant; 4
    follows structured emission."""
    inner: Annotated[float, Field(ge=0.5, le=20)] = 1.5
    """Inner radius of the annulus for the first background, in FWHM of the PSF."""
    outer: Annotated[float, Field(ge=1, le=50)] = 3.0
    """Outer radius of that annulus, in FWHM; at least one FWHM is left between both."""
    min_snr: Annotated[float, Field(ge=0, le=1000)] = 5.0
    """Sources fainter than this many standard deviations of their flux are left."""
    fraction: Annotated[float, Field(gt=0, le=10)] = 0.1
    """Pixels change in which the sources are above this many standard deviations of the noise."""


class PsfSubtract(SourceRemover):
    """Subtracts the sources of the catalogue as images of the PSF; sets REMOVED.

    photutils fits positions first; flux, position and a polynomial background of each source are
    then fitted together, without which structured emission counts as flux. What
    lies under a source is thus measured, not guessed. A PSF that varies is taken at each source.
    """

    reason = MaskPlane.REMOVED
    Options = PsfSubtractOptions

    def needs(self) -> Needs:
        """Return the PSF, and the sources of an earlier stage."""
        return Needs(frozenset({"psf", "sources"}))

    def remove(self, frame: Frame) -> Removal:
        """Return the frame without its point sources.

        Parameters
        ----------
        frame : Frame
            Any unit, with a PSF and sources. Not modified.

        Returns
        -------
        Removal
            ``sources``: every source fitted, with ``flux``, ``flux_err``, ``snr``, ``misfit`` (sum
            of the absolute residuals over the flux), ``flag`` (bits of photutils) and ``removed``;
            an image of each that was. Uncertainty, where the frame has one, includes that of the
            flux; errors include the misfit of a PSF that does not fit the bright sources, which a
            `SuspectWarning` tells. Metrics ``psf chi2``, ``sources fitted``, ``sources removed``,
            ``median misfit``.
        """
        assert frame.sources is not None  # needed, hence checked by the base class
        bad = ~frame.usable
        noise = frame.noise()
        if bad.all() or not len(frame.sources):
            nothing = np.zeros(frame.shape, dtype=bool)
            return Removal(frame.data, nothing, metrics=_metrics([], []))
        scene = Scene(frame, bad, noise, self._settings(frame))
        fits = fitted(scene, frame.sources.table)
        misfits = self._judged(scene, fits)
        if misfits.wrong:
            where = self.where(frame)
            warnings.warn(misfit_warning(misfits, where), SuspectWarning, stacklevel=2)
        doubt = misfits.flux_part
        removed = [fit.usable and fit.snr >= self.options.min_snr for fit in fits]
        stamps = [scene.stamp(fit) for fit, gone in zip(fits, removed, strict=True) if gone]
        fits = [replace(f, error=float(np.hypot(f.error, doubt * f.flux))) for f in fits]
        model, variance = _model(frame.shape, stamps, fits)
        where = (np.abs(model) > self.options.fraction * noise) & np.isfinite(frame.data)
        before = deviation_of(frame.uncertainty)
        return Removal(
            np.where(where, frame.data - model, frame.data).astype(np.float32),
            where,
            None if before is None else np.sqrt(before.astype(np.float64) ** 2 + variance),
            _catalogue(frame, frame.sources, fits, removed, stamps),
            metrics=_metrics(fits, removed) | misfits.metrics,
        )

    def _judged(self, scene: Scene, fits: list[Fit]) -> Misfits:
        """Return how well the PSF fits the sources, by what all fits leave."""
        assert scene.frame.psf is not None
        usable = [fit for fit in fits if fit.usable]
        left = (
            scene.data - _model(scene.frame.shape, [scene.stamp(fit) for fit in usable], usable)[0]
        )

        def light(
            index: int, rows: NDArray[np.intp], columns: NDArray[np.intp]
        ) -> NDArray[np.float64]:
            fit = usable[index]
            return fit.flux * scene.psf.image_at(fit.x, fit.y).at(rows - fit.y, columns - fit.x)

        return misfits_of(
            left,
            ~scene.bad,
            fwhm=scene.frame.psf.fwhm_pixels,
            positions=np.array([(fit.x, fit.y) for fit in usable]).reshape(-1, 2),
            light=light,
            fluxes=[fit.flux for fit in usable],
        )

    def _settings(self, frame: Frame) -> Settings:
        assert frame.psf is not None  # needed, hence checked by the base class
        options, fwhm = self.options, frame.psf.fwhm_pixels
        inner = max(options.inner * fwhm, 1.0)
        return Settings(
            fixed=options.fix_positions,
            max_shift=options.max_shift,
            radius=max(options.radius * fwhm, 1.5),
            order=options.order,
            annulus=(inner, max(options.outer * fwhm, inner + max(fwhm, 1.0))),
            separation=1.5 * fwhm,
        )


def _model(
    shape: tuple[int, int], stamps: list[SourceStamp], fits: list[Fit]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sum of the sources and its variance."""
    by_id = {fit.id: fit for fit in fits}
    model, variance = np.zeros(shape), np.zeros(shape)
    for stamp in stamps:
        fit, part = by_id[stamp.id], stamp.data.astype(np.float64)
        model[stamp.slices()] += part
        variance[stamp.slices()] += (part / fit.snr) ** 2
    return model, variance


def _catalogue(
    frame: Frame,
    earlier: Sources,
    fits: list[Fit],
    removed: list[bool],
    stamps: list[SourceStamp],
) -> Sources:
    columns = {name: [getattr(fit, name) for fit in fits] for name in ("id", "x", "y", "flux")}
    columns |= {"flux_err": [f.error for f in fits], "flag": [f.flag for f in fits]}
    columns |= {name: [getattr(fit, name) for fit in fits] for name in ("snr", "misfit")}
    columns["removed"] = removed
    labels = earlier.segmentation
    blank = np.zeros(frame.shape, dtype=np.int32) if labels is None else labels
    sources = make_sources(frame, columns, blank, meanings=_MEANINGS)
    given = replace(sources, segmentation=labels, stamps=tuple(stamps), ids_stay=earlier.ids_stay)
    return given.with_sky(frame.wcs)


def _metrics(fits: list[Fit], removed: list[bool]) -> dict[str, float]:
    misfits = [fit.misfit for fit, gone in zip(fits, removed, strict=True) if gone]
    return {
        "sources fitted": float(len(fits)),
        "sources removed": float(sum(removed)),
        "median misfit": float(np.median(misfits)) if misfits else float("nan"),
    }
