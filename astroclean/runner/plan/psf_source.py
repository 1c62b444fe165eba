"""Where a frame's PSF comes from: a file, a width, the instrument, or the frame's own stars."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.psf.psf import Psf
from astroclean.core.psf.stars import LARGEST_STAMP
from astroclean.core.regular import user_path
from astroclean.errors import AstrocleanWarning, PsfError
from astroclean.io.frames.psf import read_psf
from astroclean.io.resources import file_digest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from astroclean.config.schema import PsfConfig
    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.scope import Survey

__all__ = ["PsfSource"]

_ANY_WIDTH = 3.0


@dataclass(frozen=True)
class PsfSource:
    """The `[psf]` table, bound to one input file."""

    config: PsfConfig
    base: Path
    stem: str
    digest: str = ""
    """SHA-256 of the file when the run was planned; empty where nothing was planned yet."""
    known: tuple[Psf, str] | None = None
    """What `psf_for` returns, where it was estimated from the rows of a frame before."""

    @property
    def path(self) -> Path | None:
        """The PSF's file for this input, where there is one."""
        if self.config.file is None:
            return None
        return self.base / user_path(self.config.file.replace("{stem}", self.stem))

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
            No pixel scale, no such file, another one than was planned, or too few stars.
        """
        if self.known is not None:
            return self.known
        if self.path is not None:
            self._check_content(self.path)
            scale = frame.detector.pixel_scale
            psf = read_psf(self.path, scale, file_pixel_scale=self.config.file_pixel_scale)
            origin = f"file {self.path.name}"
        elif self.config.fwhm is not None:
            psf = self._gaussian(frame, self.config.fwhm)
            origin = self._told_width(self.config.fwhm)
        elif self.config.instrument:
            width = frame.detector.require("psf_fwhm", frame=frame, stage="psf")
            psf = self._gaussian(frame, f"{width} arcsec")
            origin = self._told_width(f"{width:g} arcsec of the instrument")
        else:
            from astroclean.core.psf.estimation import estimate_psf  # noqa: PLC0415 - photutils

            return _told(*estimate_psf(frame))
        return psf, _with_width(origin, psf)

    def survey(self, frame: Frame) -> Survey | None:
        """Return what estimates the PSF of a frame from its rows; None where nothing is to be."""
        if not self.config.estimate or self.known is not None:
            return None
        from astroclean.core.psf.estimation import psf_survey  # noqa: PLC0415 - photutils

        return psf_survey(frame)

    def estimated(self, found: tuple[Psf, dict[str, float]]) -> PsfSource:
        """Return a source that gives what a survey found."""
        return replace(self, known=_told(*found))

    def psf_expected(self, frame: Frame) -> Psf:
        """Return the PSF of a frame of which only the header is known, as :meth:`psf_for` does.

        Where it is to be estimated from stars, any PSF, of the largest stamp that there can be:
        that there will be one is all that counts, and how far a stage may look with it.
        """
        if self.config.estimate:
            narrow = Psf.gaussian(fwhm_pixels=_ANY_WIDTH).stamps[0]
            rim = max(LARGEST_STAMP - len(narrow), 0) // 2
            return Psf(np.pad(narrow, rim))
        with warnings.catch_warnings():
            # The run says it of each frame that it concerns, in the report.
            warnings.simplefilter("ignore", AstrocleanWarning)
            return self.psf_for(frame)[0]

    def _check_content(self, path: Path) -> None:
        """Refuse another PSF than the one of the resume key, which goes on record."""
        if self.digest and file_digest(path) != self.digest:
            raise PsfError(
                "was changed while the run lasted",
                where=str(path),
                remedy="Run again; what is finished is kept.",
            )

    def _gaussian(self, frame: Frame, fwhm: str) -> Psf:
        try:
            return Psf.from_fwhm(
                fwhm,
                pixel_scale_arcsec=frame.detector.pixel_scale,
                includes_pixel=self.config.fwhm_includes_pixel,
            )
        except PsfError as error:
            raise error.at(f"{frame.frame_id}, psf.fwhm") from error

    def _told_width(self, width: str) -> str:
        if self.config.fwhm_includes_pixel:
            return f"Gaussian, fwhm = {width}, the pixel included"
        return f"Gaussian, fwhm = {width} before the pixels widen it"


def _told(psf: Psf, metrics: Mapping[str, float]) -> tuple[Psf, str]:
    return psf, _with_width(f"estimated from {metrics['stars used']:.0f} stars", psf)


def _with_width(origin: str, psf: Psf) -> str:
    return f"{origin}; {psf.fwhm_pixels:.2f} pixels FWHM on the pixels"
