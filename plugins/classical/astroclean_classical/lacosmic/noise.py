"""For `lacosmic`: the noise of each pixel; where prediction and sky differ, the larger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.detector import Detector
from astroclean.core.stage.scope import chunk_of
from astroclean.errors import StageError
from astroclean_classical.filling import nearest_filled
from astroclean_classical.lacosmic.survey import (
    is_known,
    known_detector,
    to_electrons,
    variance_of,
)

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean_classical.lacosmic.stage import LACosmicOptions
    from astroclean_classical.lacosmic.survey import FrameFacts

__all__ = ["Noise", "check_noise", "noise_of"]


@dataclass(frozen=True, eq=False)
class Noise:
    """How astroscrappy is to know the noise; ``scale`` takes the frame to ``settings``' unit."""

    source: str
    scale: float
    settings: dict[str, Any]
    metrics: dict[str, float]
    doubt: str | None = None
    """How prediction and sky contradict each other, with what to do; None where they do not."""

    def variance(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the variance of the pixels of an image in the unit of the settings."""
        if "invar" in self.settings:
            return np.asarray(self.settings["invar"], dtype=np.float32)
        return np.maximum(image, 0) + np.float32(self.settings["readnoise"] ** 2)


def noise_of(options: LACosmicOptions, frame: Frame, facts: FrameFacts, stage: str) -> Noise:
    """Return the noise of a frame, or of a part of one.

    Parameters
    ----------
    options : LACosmicOptions
        Gain, read noise, sky and saturation, where given.
    frame : Frame
        Not modified.
    facts : FrameFacts
        What the survey found.
    stage : str
        Name of the stage, for messages.

    Raises
    ------
    StageError
        The noise asked for cannot be told from the frame, or the frame has none.
    """
    where = f"{frame.frame_id}, stage '{stage}'"
    if facts.source == "detector":
        return _of_detector(options, frame, facts, stage)
    if facts.source == "none":
        raise _no_uncertainty(where)
    if facts.source == "background" and not facts.typical > 0:
        share = f"{facts.sky.constant:.0%} of the sky is constant" if facts.sky.cells else None
        raise StageError(
            "the frame has no noise that hits could be compared with: single counts, values that "
            "were clipped, or too few pixels",
            where=where,
            received=share,
            remedy="Take the frame before it was clipped or scaled to 8 bits, or give `gain` and "
            "`read_noise`.",
        )
    if facts.background is None:
        variance = variance_of(frame)
        assert variance is not None
    else:
        variance = facts.background.rms(chunk_of(frame).origin, frame.shape) ** 2 / _CLIPPED
    return _of_variance(options, frame, variance, facts)


def check_noise(options: LACosmicOptions, frame: Frame, stage: str) -> None:
    """Raise StageError where the header of a frame does not tell the noise that is asked for."""
    told = options.gain is not None or options.read_noise is not None
    if options.noise == "detector" or (options.noise == "auto" and told):
        _required(options, frame, stage)
    if options.noise == "uncertainty" and frame.uncertainty is None:
        raise _no_uncertainty(f"{frame.frame_id}, stage '{stage}'")


def _no_uncertainty(where: str) -> StageError:
    return StageError(
        "the frame has no uncertainty for most of its pixels",
        where=where,
        remedy='Use `noise = "detector"` or `noise = "background"`.',
    )


def _required(options: LACosmicOptions, frame: Frame, stage: str) -> tuple[float, float]:
    """Return electrons per unit of the frame and read noise, or raise."""
    electrons = to_electrons(options, frame)
    if options.gain not in {None, 1.0} and _in_electrons(frame):
        raise StageError(
            f"the values are in {frame.unit}: no gain makes electrons of them",
            where=f"{frame.frame_id}, stage '{stage}'",
            received=f"gain = {options.gain:g}",
            remedy="Leave out `gain`; or say that they are data numbers: unit adu in Python, "
            "`--set instrument.unit=adu` of a file.",
        )
    if electrons is None:
        electrons = known_detector(options, frame).require_scale(
            frame=frame,
            stage=stage,
            otherwise='Use `noise = "background"`, or give the frame an uncertainty.',
        )
    read_noise = options.read_noise
    if read_noise is None:
        read_noise = frame.detector.require("read_noise", frame=frame, stage=stage)
    return electrons, read_noise


def _in_electrons(frame: Frame) -> bool:
    return Detector(exposure=1.0).scale(frame.unit) is not None


def _of_detector(options: LACosmicOptions, frame: Frame, facts: FrameFacts, stage: str) -> Noise:
    electrons, read_noise = _required(options, frame, stage)
    metrics = {"electrons per unit": electrons, "read noise (electrons)": float(read_noise)}
    # The photons of a sky that is no longer in the data make the same noise everywhere.
    constant = float(np.hypot(read_noise, np.sqrt(options.sky * electrons)))
    scale, cause = electrons, None
    sky = facts.sky
    if sky.exceeds_prediction:
        assert sky.predicted is not None
        if sky.level > _THERE * sky.measured and sky.level * electrons > constant**2:
            # Photons are most of what was predicted, and they are there: each counts too many.
            scale, constant = electrons / sky.ratio**2, constant / sky.ratio
            cause = "gain"
        else:
            missing = (sky.measured**2 - sky.predicted**2) * electrons**2
            constant = float(np.hypot(constant, np.sqrt(missing)))
            cause = "sky"
    settings: dict[str, Any] = {
        "readnoise": constant,
        "satlevel": _saturation(options, frame, facts) * scale,
    }
    told = (
        f"gain and read noise ({electrons:g} electrons per {frame.unit}, {read_noise:g} electrons)"
    )
    doubt = _doubt(facts, frame, told, cause)
    metrics = {"noise from detector": constant / scale, **metrics, **_metrics(facts)}
    return Noise("detector", scale, settings, metrics, doubt)


def _of_variance(
    options: LACosmicOptions, frame: Frame, variance: NDArray[np.float32], facts: FrameFacts
) -> Noise:
    filled = nearest_filled(variance, ~is_known(variance))
    factor = facts.sky.ratio if facts.sky.exceeds_prediction else 1.0
    # astroscrappy raises variances to 1e-5 whatever the unit, hence values in units of the noise.
    scale = 1.0 / (facts.typical * factor)
    settings: dict[str, Any] = {
        "invar": (filled * np.float64(scale * factor) ** 2).astype(np.float32),
        "satlevel": _saturation(options, frame, facts) * scale,
    }
    doubt = _doubt(facts, frame, "its uncertainty", "unit")
    metrics = {f"noise from {facts.source}": facts.typical * factor, **_metrics(facts)}
    return Noise(facts.source, scale, settings, metrics, doubt)


def _metrics(facts: FrameFacts) -> dict[str, float]:
    metrics = {"scatter of the sky": facts.sky.measured}
    if facts.sky.predicted is not None:
        metrics["predicted noise of the sky"] = facts.sky.predicted
    return metrics


_CAUSES = {
    "sky": "A sky that was subtracted is the likely cause: give its level as `sky`, or use "
    '`noise = "background"`.',
    "gain": "A wrong gain is the likely cause, such as a setting of the camera in its place: give "
    'what is right, `--set instrument.gain=...`, or use `noise = "background"`.',
    "unit": "An uncertainty in another unit, or of the read noise alone, is the likely cause: mend "
    'it, or use `noise = "background"`.',
}


def _doubt(facts: FrameFacts, frame: Frame, source: str, cause: str | None) -> str | None:
    """Return what is to be said where predicted and measured noise contradict each other."""
    sky = facts.sky
    if not (sky.exceeds_prediction or sky.falls_short_of_prediction):
        return None
    told = (
        f"{source} predict{'s' if source == 'its uncertainty' else ''} a noise of "
        f"{sky.predicted:.3g} {frame.unit} in the sky, and its scatter is {sky.measured:.3g}; the "
        "larger counts."
    )
    if sky.exceeds_prediction:
        return f"{told} {_CAUSES[cause or 'unit']}"
    if sky.measured == 0:
        return f"{told} {sky.constant:.0%} of the sky is constant: clipped, or no exposure."
    if sky.correlation > _CORRELATED:
        return (
            f"{told} The noise of neighbors is correlated ({sky.correlation:.2f}): a frame that "
            "was resampled, drizzled or smoothed, in which hits are missed and no longer sharp."
        )
    return (
        f"{told} Hits are missed: a wrong gain or read noise, an uncertainty in another unit, or a "
        'mean of several exposures. Mend it, or use `noise = "background"`.'
    )


_CORRELATED = 0.25
# Clipping at three standard deviations leaves so much of the variance of a normal distribution.
_CLIPPED = 0.9733
# A level of so many times its scatter is a sky that was not subtracted.
_THERE = 3.0


def _saturation(options: LACosmicOptions, frame: Frame, facts: FrameFacts) -> float:
    """Return the level of saturation: as given, else where the values of the frame are cut off."""
    known = options.saturation or frame.detector.saturation or facts.clipped
    return np.inf if known is None else float(known)
