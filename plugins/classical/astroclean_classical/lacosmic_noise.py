"""For `lacosmic`: where the noise of a pixel comes from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u

from astroclean.core.detector import Detector
from astroclean.core.survey import Survey, part_of
from astroclean.core.uncertainty import deviation_of
from astroclean.errors import StageError
from astroclean.tiling.background import Background, BackgroundSurvey, MeshSettings
from astroclean.tiling.sample import SampleGatherer
from astroclean_classical.filling import nearest_filled

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from astroclean.core.frame import Frame
    from astroclean_classical.lacosmic import LACosmicOptions

__all__ = ["Noise", "noise_of", "noise_survey"]

# Below this share of usable pixels with an uncertainty, the plane does not describe the frame.
_ENOUGH_UNCERTAINTY = 0.5
_BACKGROUND_BOX = 64


@dataclass(frozen=True, eq=False)
class Noise:
    """How astroscrappy is to know the noise; ``scale`` takes the frame to ``settings``' unit."""

    source: str
    scale: float
    settings: dict[str, Any]
    metrics: dict[str, float]


@dataclass(frozen=True, eq=False)
class _Choice:
    """Where the noise comes from, and what was measured of it on the whole frame."""

    source: str
    typical: float = 0.0
    """In the unit of the frame."""
    background: Background | None = None


def noise_survey(options: LACosmicOptions, frame: Frame) -> Survey | None:
    """Return what chooses and measures the noise; None where it is told.

    Parameters
    ----------
    options : LACosmicOptions
        Its ``noise``, ``gain`` and ``read_noise`` count.
    frame : Frame
        Any part of the frame, for its header.
    """
    told = options.gain is not None or options.read_noise is not None
    told = told or (frame.uncertainty is None and _has_detector(options, frame))
    if options.noise == "detector" or (options.noise == "auto" and told):
        return None
    return _NoiseSurvey(options, frame)


def _has_detector(options: LACosmicOptions, frame: Frame) -> bool:
    detector = _detector(options, frame)
    return bool(detector.scale(frame.unit)) and detector.read_noise is not None


class _NoiseSurvey(Survey):
    """Resolves ``noise = "auto"``."""

    def __init__(self, options: LACosmicOptions, frame: Frame) -> None:
        self._wanted = options.noise
        self._has_detector = _has_detector(options, frame)
        self._variances = SampleGatherer(part_of(frame).shape)
        self._usable = self._known = 0

    def add(self, frame: Frame, rows: slice) -> None:
        """Take the next rows."""
        variance = _variance(frame)
        usable = ~frame.mask[rows]
        self._usable += int(np.count_nonzero(usable))
        if variance is not None:
            known = _is_known(variance[rows])
            self._known += int(np.count_nonzero(known & usable))
            self._variances.add(variance[rows], known)

    def finish(self) -> _Choice | Survey:
        """Return the choice; where the background is chosen, the survey of it."""
        enough = self._known > _ENOUGH_UNCERTAINTY * self._usable
        if self._wanted != "background" and enough:
            typical = np.sqrt(np.median(self._variances.finish()))
            return _Choice("uncertainty", float(typical))
        if self._wanted == "uncertainty":
            return _Choice("none")
        if self._wanted == "auto" and self._has_detector:
            return _Choice("detector")
        return _SkySurvey(MeshSettings(box=_BACKGROUND_BOX))


class _SkySurvey(BackgroundSurvey):
    def finish(self) -> _Choice:  # type: ignore[override]
        """Return the scatter of the background around each pixel."""
        background = super().finish()
        return _Choice("background", background.typical_rms, background)


def _variance(frame: Frame) -> NDArray[np.float32] | None:
    deviation = deviation_of(frame.uncertainty)
    return None if deviation is None else deviation**2


def _is_known(variance: NDArray[np.float32]) -> NDArray[np.bool_]:
    known: NDArray[np.bool_] = np.isfinite(variance) & (variance > 0)
    return known


def noise_of(options: LACosmicOptions, frame: Frame, choice: _Choice | None, stage: str) -> Noise:
    """Return the noise of a frame, or of a part of one.

    Parameters
    ----------
    options : LACosmicOptions
        Gain, read noise, sky and saturation, where given.
    frame : Frame
        Not modified.
    choice : _Choice or None
        What the survey found.
    stage : str
        Name of the stage, for messages.

    Raises
    ------
    StageError
        The noise asked for cannot be told from the frame.
    """
    if choice is None or choice.source == "detector":
        return _of_detector(options, frame, stage)
    if choice.source == "none":
        raise StageError(
            "the frame has no uncertainty for most of its pixels",
            where=f"{frame.frame_id}, stage '{stage}'",
            remedy='Use `noise = "detector"` or `noise = "background"`.',
        )
    variance = _variance(frame)
    if choice.background is not None or variance is None:
        assert choice.background is not None
        variance = choice.background.rms(part_of(frame).origin, frame.shape) ** 2
    return _of_variance(options, frame, variance, choice)


def _detector(options: LACosmicOptions, frame: Frame) -> Detector:
    detector = Detector.of(frame.meta)
    return detector if options.gain is None else replace(detector, gain=options.gain)


def _of_detector(options: LACosmicOptions, frame: Frame, stage: str) -> Noise:
    detector = _detector(options, frame)
    electrons = detector.require_scale(
        frame=frame,
        stage=stage,
        otherwise='Use `noise = "background"`, or give the frame an uncertainty.',
    )
    if frame.unit == u.electron and options.gain is not None:
        electrons = options.gain  # the user knows better than the header
    read_noise = options.read_noise
    if read_noise is None:
        read_noise = detector.require("read_noise", frame=frame, stage=stage)
    # The photons of a sky that is no longer in the data make the same noise everywhere.
    settings: dict[str, Any] = {
        "readnoise": float(np.hypot(read_noise, np.sqrt(options.sky * electrons))),
        "satlevel": _saturation(options, frame) * electrons,
    }
    metrics = {"electrons per unit": electrons, "read noise (electrons)": float(read_noise)}
    return Noise("detector", electrons, settings, metrics)


def _of_variance(
    options: LACosmicOptions, frame: Frame, variance: NDArray[np.float32], choice: _Choice
) -> Noise:
    filled = nearest_filled(variance, ~_is_known(variance))
    typical = choice.typical or 1.0
    # astroscrappy raises variances to 1e-5 whatever the unit, hence values in units of the noise.
    scale = 1.0 / typical
    settings: dict[str, Any] = {
        "invar": (filled * np.float64(scale) ** 2).astype(np.float32),
        "satlevel": _saturation(options, frame) * scale,
    }
    return Noise(choice.source, scale, settings, {"typical noise": typical})


def _saturation(options: LACosmicOptions, frame: Frame) -> float:
    known = options.saturation or Detector.of(frame.meta).saturation
    return np.inf if known is None else float(known)
