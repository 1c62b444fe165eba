"""Where a frame's PSF comes from: a file, a width, the instrument, or the frame's own stars."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import astropy.units as u

from astroclean.core.detector import Detector
from astroclean.core.psf import Psf
from astroclean.errors import PsfError
from astroclean.io.psf import read_psf

if TYPE_CHECKING:
    from astroclean.config.schema import PsfConfig
    from astroclean.core.frame import Frame

__all__ = ["PsfSource"]


@dataclass(frozen=True)
class PsfSource:
    """The `[psf]` table, bound to one input file."""

    config: PsfConfig
    base: Path
    stem: str

    @property
    def path(self) -> Path | None:
        """The PSF's file for this input, where there is one."""
        if self.config.file is None:
            return None
        return self.base / Path(self.config.file.replace("{stem}", self.stem)).expanduser()

    def psf_for(self, frame: Frame) -> tuple[Psf, str]:
        """Return the PSF of a frame and a line that says where it came from.

        Parameters
        ----------
        frame : Frame
            As it is when the first stage needs the PSF: contaminants found before are left out.

        Returns
        -------
        (Psf, str)
            PSF and origin.

        Raises
        ------
        PsfError
            No pixel scale, no such file, or too few stars.
        """
        if self.path is not None:
            scale = self._arcsec(frame)
            psf = read_psf(self.path, scale, file_pixel_scale=self.config.file_pixel_scale)
            origin = f"file {self.path.name}"
        elif self.config.fwhm is not None:
            psf = Psf.gaussian(fwhm_pixels=self._fwhm_pixels(frame, self.config.fwhm))
            origin = f"Gaussian, fwhm = {self.config.fwhm}"
        elif self.config.instrument:
            width = Detector.of(frame.meta).require("psf_fwhm", frame=frame, stage="psf")
            psf = Psf.gaussian(fwhm_pixels=self._fwhm_pixels(frame, f"{width} arcsec"))
            origin = f"Gaussian, fwhm = {width:g} arcsec of the instrument"
        else:
            from astroclean.core.psf_estimation import estimate_psf  # noqa: PLC0415 - photutils

            psf, metrics = estimate_psf(frame)
            origin = f"estimated from {metrics['stars used']:.0f} stars"
        return psf, f"{origin}; {psf.fwhm_pixels:.2f} pixels FWHM"

    def _arcsec(self, frame: Frame) -> float | None:
        return Detector.of(frame.meta).pixel_scale

    def _fwhm_pixels(self, frame: Frame, text: str) -> float:
        try:
            width = u.Quantity(text)
        except (TypeError, ValueError) as error:
            raise PsfError(
                "psf.fwhm is not understood",
                where=frame.frame_id,
                received=repr(text),
                remedy='Write a number with its unit: "0.9 arcsec" or "2.5 pixel".',
            ) from error
        if width.unit.is_equivalent(u.pixel):
            return float(width.to_value(u.pixel))
        if not width.unit.is_equivalent(u.arcsec):
            raise PsfError(
                "psf.fwhm must be an angle or a number of pixels",
                where=frame.frame_id,
                received=repr(text),
                remedy='Write "0.9 arcsec" or "2.5 pixel".',
            )
        scale = self._arcsec(frame)
        if scale is None:
            raise PsfError(
                "psf.fwhm is an angle but the pixel scale of the frame is not known",
                where=frame.frame_id,
                remedy="Give `--set instrument.pixel_scale=...` in arcsec, or the width in pixels.",
            )
        return float(width.to_value(u.arcsec)) / scale
