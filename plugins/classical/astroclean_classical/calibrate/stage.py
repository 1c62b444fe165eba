"""`ccdproc`: raw frames become images of the sky in electrons, with uncertainty and flags."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Annotated

import astropy.units as u
import numpy as np
from astropy.nddata import StdDevUncertainty
from pydantic import Field, field_validator

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.sections import parse_section
from astroclean.core.stage.kinds.calibrate import Calibrator
from astroclean.core.stage.options import StageOptions
from astroclean.core.stage.resources import FrameResource  # noqa: TC001 - read by pydantic
from astroclean.core.stage.results import Calibration
from astroclean.errors import StageError, SuspectWarning
from astroclean_classical.calibrate.cards import cards_of
from astroclean_classical.calibrate.making import Bench
from astroclean_classical.calibrate.masters import (
    Master,
    check_bias,
    check_dark,
    check_flat,
    in_unit_of,
    prepared,
)
from astroclean_classical.calibrate.planes import (
    PLANES,
    lost_pixels,
    planes_of_flat,
    planes_of_masters,
    planes_of_raw,
)
from astroclean_classical.calibrate.plausible import checked_sky
from astroclean_classical.calibrate.raw import (
    RawFrame,
    check_overscan,
    refuse_calibrated,
    refuse_others,
    require_read_noise,
    tell_doubts,
)
from astroclean_classical.calibrate.sections import sections_of
from astroclean_classical.calibrate.selection import (
    Wanted,
    chosen_master,
    is_same_exposure,
    tells_its_chip,
)
from astroclean_classical.calibrate.steps import (
    corrected_for_flat,
    deviation,
    in_electrons,
    without_bias,
    without_dark,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from astropy.nddata import CCDData
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.masters import LeftOut, MadeMaster
    from astroclean.core.stage.resources import StoredFrame

__all__ = ["Ccdproc", "CcdprocOptions"]

_FAR_SCALED = 5.0
"""Exposure time of a frame over that of a dark, from which it is doubtful."""


class CcdprocOptions(StageOptions):
    """Settings of :class:`Ccdproc`."""

    bias: FrameResource | None = None
    """Master bias: a path, a list of paths or a glob; the one that fits a frame is taken."""
    dark: FrameResource | None = None
    """Master darks. That of the exposure time of the frame is taken; where there is none, and
    ``bias`` is given, the nearest one is scaled."""
    flat: FrameResource | None = None
    """Master flats; that of the filter of the frame is taken."""
    overscan: str = "header"
    """Section that tells the level of the camera, ``"[x1:x2,y1:y2]"`` from 1; ``header``: BIASSEC
    where the header has it; ``none``."""
    trim: str = "header"
    """Section that is left, in the same form; ``header``: TRIMSEC or DATASEC; ``none``: all."""
    overscan_degree: Annotated[int, Field(ge=0, le=9)] | None = None
    """Degree of the polynomial that is drawn along the medians of the overscan; none: each row has
    its own median."""
    min_value: Annotated[float, Field(ge=0.001, lt=1)] = 0.05
    """Lowest value of a flat, as a part of its mean; lower ones are taken for it, and flagged
    BAD_PIXEL."""
    max_value: Annotated[float, Field(gt=1, le=1000)] = 5.0
    """Highest value of a flat, as a multiple of its mean; higher ones are flagged BAD_PIXEL."""
    temperature_difference: Annotated[float, Field(ge=0, le=1000)] = 5.0
    """Largest difference of temperature between frame and dark, in K, where both tell it."""
    trusted: bool = False
    """Whether flats and darks that do not tell that a bias was taken off them are taken as if."""

    least_frames: Annotated[int, Field(ge=2, le=1000)] = 3
    """Frames that a master is made of, at least: of fewer, cosmic rays are not found."""

    @field_validator("overscan", "trim")
    @classmethod
    def _is_section(cls, value: str) -> str:
        if value not in {"header", "none"} and parse_section(value) is None:
            raise ValueError("must be a section \"[x1:x2,y1:y2]\" from 1, 'header' or 'none'")
        return value


class Ccdproc(Calibrator):
    """Overscan, trim, bias, dark, flat and gain by the functions of ccdproc, in this order.

    Planes that it sets: SATURATED where a raw value reaches the level of the detector, which is
    not known afterwards; BAD_PIXEL where a master is not usable or a flat not from ``min_value`` to
    ``max_value``; NO_DATA where a value lies so far below the level of the camera that it was not
    read; SUSPECT in rows that have the level of their neighbours.
    """

    sets = PLANES
    makes_masters = True
    Options = CcdprocOptions

    def check_header(self, frame: Frame) -> None:
        """Raise where the header tells that the frame is not raw, or lacks what is needed."""
        where = self.where(frame)
        refuse_calibrated(frame, where)
        refuse_others(frame, where)
        detector = frame.detector
        detector.require("gain", frame=frame, stage=self.name)
        require_read_noise(frame, self.name)
        if self.options.dark is not None:
            detector.require("exposure", frame=frame, stage=self.name)

    def calibrate(self, frame: Frame) -> Calibration:
        """Return the frame in electrons, without what the camera added.

        Parameters
        ----------
        frame : Frame
            Raw, in data numbers. Not modified.

        Returns
        -------
        Calibration
            Metrics ``overscan level``, ``overscan scatter``, ``bias level``, ``dark factor`` and
            ``flat mean`` of the steps that were done, and ``sky``, the median in electrons.

        Raises
        ------
        StageError
            The frame is not raw; a section or master does not fit; gain, read noise or exposure
            time are not told; nothing takes the level of the camera off.
        """
        self.check_header(frame)
        raw = self.raw_frame(frame)
        tell_doubts(frame, raw.where)
        check_overscan(raw)
        bias, dark, flat = self._masters(raw)
        self._check_level(raw, bias, dark)
        metrics = _told(raw, bias)
        level = raw.levelled()
        masters = [master for master in (bias, dark, flat) if master is not None]
        flags = planes_of_masters(masters, planes_of_raw(raw))
        flags[_lost(raw, level, bias, dark)] |= np.uint32(MaskPlane.NO_DATA)
        ccd = self._without_additions(raw, level, bias, dark, metrics)
        if flat is not None:
            mean = flat.mean_within(self.options.min_value, self.options.max_value)
            least, most = self.options.min_value * mean, self.options.max_value * mean
            told = flat.ccd.copy()
            told.mask = ~flat.usable
            ccd = corrected_for_flat(ccd, told, mean=mean, least=least)
            flags = planes_of_flat(flat, flags, least=least, most=most)
            metrics["flat mean"] = mean
        ccd = in_electrons(ccd, gain=raw.gain)
        metrics["sky"] = checked_sky(raw, ccd, flags)
        return Calibration(
            ccd.data,
            u.electron,
            ccd.uncertainty.array,
            flags=flags,
            window=raw.sections.trim,
            detector={"gain": 1.0, "saturation": None},
            cards=cards_of(raw, bias=bias, dark=dark, flat=flat),
            metrics=metrics,
        )

    def make(
        self, frames: Sequence[StoredFrame], *, memory: float
    ) -> Iterator[MadeMaster | LeftOut]:
        """Yield masters of raw frames: bias, dark without it, flat without both.

        Parameters
        ----------
        frames : sequence of StoredFrame
            Sorted by type, camera, HDU, binning, gain, exposure time and filter.
        memory : float
            Bytes that may be held while frames are combined.

        Yields
        ------
        MadeMaster or LeftOut
            By `ccdproc.combine`: clipped means, with the standard error of the mean.
        """
        bench = Bench(
            self.raw_frame,
            memory,
            least=self.options.least_frames,
            temperature=self.options.temperature_difference,
        )
        yield from bench.masters(frames, where=f"stage '{self.name}'")

    def raw_frame(self, frame: Frame) -> RawFrame:
        """Return a frame with its sections and detector; also of frames to make masters of."""
        where = self.where(frame)
        options, detector = self.options, frame.detector
        return RawFrame(
            frame,
            sections_of(frame, overscan=options.overscan, trim=options.trim, where=where),
            options.overscan_degree,
            detector.require("gain", frame=frame, stage=self.name),
            require_read_noise(frame, self.name),
            where,
        )

    def _masters(self, raw: RawFrame) -> tuple[Master | None, Master | None, Master | None]:
        """Return bias, dark and flat for a frame, checked, in data numbers of the frame."""
        options = self.options
        bias = self._master("bias", options.bias, raw)
        if bias is not None:
            bias = in_unit_of(raw, bias)
            check_bias(bias, raw)
        dark = self._master("dark", options.dark, raw)
        if dark is not None:
            dark = in_unit_of(raw, dark)
            check_dark(dark, raw, bias)
        flat = self._master("flat", options.flat, raw)
        if flat is not None:
            check_flat(flat, raw, is_trusted=options.trusted)
        return bias, dark, flat

    def _master(self, kind: str, given: FrameResource | None, raw: RawFrame) -> Master | None:
        if given is None:
            return None
        shapes = (raw.sections.shape, raw.sections.trimmed)
        wanted = Wanted(
            kind,
            raw.frame,
            shapes,
            scales=self.options.bias is not None,
            temperature=self.options.temperature_difference,
        )
        chosen = chosen_master(given.frames, wanted, where=raw.where)
        if not tells_its_chip(chosen, raw.frame):
            text = f"{raw.where}: '{chosen.name}' does not tell that it is of this chip."
            warnings.warn(text, SuspectWarning, stacklevel=2)
        return prepared(chosen, raw)

    def _check_level(self, raw: RawFrame, bias: Master | None, dark: Master | None) -> None:
        if raw.is_levelled or bias is not None or dark is not None:
            return
        raise StageError(
            "nothing takes the level of the camera off the frame",
            where=raw.where,
            received="no BIASSEC in the header, no `overscan`, no `bias`",
            remedy='Give `bias = "masters/bias.fits"`, or the section of the overscan.',
        )

    def _without_additions(
        self,
        raw: RawFrame,
        ccd: CCDData,
        bias: Master | None,
        dark: Master | None,
        metrics: dict[str, float],
    ) -> CCDData:
        """Return the image without bias and dark, with its uncertainty; adds a metric."""
        factor = 1.0 if dark is None else self._dark_factor(raw, dark)
        if ccd.uncertainty is None:
            # The level of the camera has no noise of photons. Where the overscan does not take it
            # off, the bias does, or the dark that holds it.
            held = None if raw.is_levelled else (bias or dark)
            light = ccd if held is None else _less(ccd, held)
            noise = {"gain": raw.gain, "read_noise": raw.read_noise, "more": raw.level_error}
            ccd.uncertainty = StdDevUncertainty(deviation(light, **noise))
        if bias is not None:
            ccd = without_bias(ccd, bias.ccd)
        if dark is not None:
            ccd = without_dark(ccd, dark.ccd, factor=factor)
            metrics["dark factor"] = factor
        return ccd

    def _dark_factor(self, raw: RawFrame, dark: Master) -> float:
        """Return what a dark is multiplied by: the ratio of the exposure times."""
        needed = raw.frame.detector.require("exposure", frame=raw.frame, stage=self.name)
        assert dark.exposure is not None
        if is_same_exposure(dark.exposure, needed):
            return 1.0
        if "bias" not in dark.done and not self.options.trusted:
            raise StageError(
                f"'{dark.name}' of {dark.exposure:g} s does not tell that a bias was taken off it, "
                f"and cannot be scaled to {needed:g} s",
                where=raw.where,
                remedy="Give a dark of this exposure time, or one of which the bias was taken off.",
            )
        factor = needed / dark.exposure
        if factor > _FAR_SCALED:
            text = f"{raw.where}: '{dark.name}' of {dark.exposure:g} s is scaled by {factor:.3g}."
            warnings.warn(text, SuspectWarning, stacklevel=2)
        return factor


def _lost(
    raw: RawFrame, ccd: CCDData, bias: Master | None, dark: Master | None
) -> NDArray[np.bool_]:
    """Return the pixels that were not read."""
    held = bias if bias is not None else (None if raw.is_levelled else dark)
    light, error = ccd if held is None else _less(ccd, held), raw.level_error
    if held is not None and held.ccd.uncertainty is not None:
        error = np.hypot(error, held.ccd.uncertainty.array)
    level = raw.level if raw.is_levelled or held is None else held.level
    return lost_pixels(raw, light.data, level=level, error=error)


def _less(ccd: CCDData, master: Master) -> CCDData:
    light = ccd.copy()
    light.data = ccd.data - master.ccd.data
    return light


def _told(raw: RawFrame, bias: Master | None) -> dict[str, float]:
    """Return the numbers of the steps."""
    told: dict[str, float] = {}
    if raw.is_levelled:
        told |= {"overscan level": raw.level, "overscan scatter": raw.scatter}
    if bias is not None:
        told["bias level"] = bias.level
    return told
