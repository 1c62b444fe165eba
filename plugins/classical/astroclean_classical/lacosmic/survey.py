"""For `lacosmic`: what must be measured on the whole frame before hits are looked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.uncertainty import deviation_of
from astroclean.core.stage.scope import Survey, chunk_of
from astroclean.tiling.background import Background, BackgroundSurvey, MeshSettings
from astroclean.tiling.noise import SkyNoise, SkyNoiseGatherer
from astroclean.tiling.sample import SampleGatherer
from astroclean_classical.lacosmic.width import Stars, WidthGatherer
from astroclean_classical.saturation.bleeding import Clipping

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.detector import Detector
    from astroclean.core.image.frame import Frame
    from astroclean_classical.lacosmic.stage import LACosmicOptions

__all__ = ["FrameFacts", "FrameSurvey", "is_known", "known_detector", "to_electrons", "variance_of"]

# Below this share of usable pixels with an uncertainty, the plane does not describe the frame.
_ENOUGH_UNCERTAINTY = 0.5
_BACKGROUND_BOX = 64
# Of the saturation level: cores of brighter stars are flat, and no measure of the width.
_LINEAR_FRACTION = 0.8


@dataclass(frozen=True, eq=False)
class FrameFacts:
    """Where the noise of a frame comes from, and what was measured on the whole of it."""

    source: str
    """``detector``, ``uncertainty``, ``background``, or ``none``."""
    sky: SkyNoise
    """Its scatter, with what the source predicts for the same pixels."""
    stars: Stars | None
    """Its own point sources; None where it has few."""
    typical: float = 0.0
    """Noise in the unit of the frame, where it is a plane."""
    background: Background | None = None
    clipped: float | None = None
    """Level at which the values of the frame are cut off; None where they are not."""

    @property
    def fwhm_pixels(self) -> float | None:
        """Width of its own point sources, in pixels."""
        return None if self.stars is None else self.stars.fwhm_pixels


class FrameSurvey(Survey):
    """Resolves ``noise = "auto"``; measures the scatter of the sky, and the width of stars.

    Parameters
    ----------
    options : LACosmicOptions
        Its ``noise``, ``gain``, ``read_noise``, ``sky`` and ``saturation`` count.
    frame : Frame
        Any part of the frame, for its header.
    """

    def __init__(self, options: LACosmicOptions, frame: Frame) -> None:
        shape = chunk_of(frame).shape
        self._options = options
        self._electrons = to_electrons(options, frame)
        known = options.read_noise
        self._read_noise = frame.detector.read_noise if known is None else known
        self._saturation = options.saturation or frame.detector.saturation or np.inf
        self._variances = SampleGatherer(shape)
        self._usable = self._known = 0
        self._widths = WidthGatherer(shape)
        self._clipping = Clipping()
        # By what predicts the noise: which of them counts is known at the end.
        self._skies = {source: SkyNoiseGatherer(shape) for source in self._sources(frame)}

    @property
    def _has_detector(self) -> bool:
        return bool(self._electrons) and self._read_noise is not None

    def _sources(self, frame: Frame) -> tuple[str, ...]:
        """Return what may predict the noise."""
        options = self._options
        told = options.gain is not None or options.read_noise is not None
        if options.noise == "detector" or (options.noise == "auto" and told):
            return ("detector",)
        if options.noise == "background":
            return ("background",)
        sources = () if frame.uncertainty is None else ("uncertainty",)
        if options.noise == "uncertainty":
            return (*sources, "none")
        return (*sources, "detector" if self._has_detector else "background")

    def add(self, frame: Frame, rows: slice) -> None:
        """Take the next rows."""
        valid = frame.usable
        unsaturated = valid & (frame.data < _LINEAR_FRACTION * self._saturation)
        self._widths.add(frame.data, unsaturated, rows)
        data, valid = frame.data[rows], valid[rows]
        self._clipping.add(data)
        for source, gatherer in self._skies.items():
            if source == "uncertainty":
                self._add_uncertainty(frame, rows, valid)
            elif source == "detector" and self._has_detector:
                gatherer.add(data, valid, self._of_detector(data))
            else:
                gatherer.add(data, valid)

    def _add_uncertainty(self, frame: Frame, rows: slice, valid: NDArray[np.bool_]) -> None:
        variance = variance_of(frame)
        if variance is None:
            return
        known = is_known(variance[rows])
        self._usable += int(np.count_nonzero(~frame.mask[rows]))
        self._known += int(np.count_nonzero(known & ~frame.mask[rows]))
        self._variances.add(variance[rows], known)
        self._skies["uncertainty"].add(frame.data[rows], valid & known, variance[rows])

    def _of_detector(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the variance that gain and read noise predict, in the square of the unit."""
        assert self._electrons is not None
        assert self._read_noise is not None
        gain = self._electrons
        photons = np.maximum(data, 0) + np.float32(self._options.sky)
        return np.asarray(photons / gain + (self._read_noise / gain) ** 2, dtype=np.float32)

    def finish(self) -> FrameFacts | Survey:
        """Return what was found; where the background is the noise, the survey of it."""
        skies = {source: gatherer.finish() for source, gatherer in self._skies.items()}
        source = next(reversed(skies))
        if self._known > _ENOUGH_UNCERTAINTY * self._usable:
            source = "uncertainty"
        sky = skies[source]
        stars = self._widths.finish(sky.measured or sky.predicted or 0.0)
        clipped = self._clipping.level or self._clipping.plateau(sky.level, sky.measured)
        facts = FrameFacts(source, sky, stars, clipped=clipped)
        if source == "uncertainty":
            typical = float(np.sqrt(np.median(self._variances.finish())))
            return replace(facts, typical=typical)
        if source == "background" and (sky.measured > 0 or not sky.cells):
            return _MeshSurvey(facts)
        return facts


class _MeshSurvey(BackgroundSurvey):
    """Measures the scatter around each pixel."""

    def __init__(self, facts: FrameFacts) -> None:
        super().__init__(MeshSettings(box=_BACKGROUND_BOX))
        self._facts = facts

    def finish(self) -> FrameFacts:  # type: ignore[override]
        """Return what was found, with the background."""
        background = super().finish()
        scatter = background.rms_mesh[background.rms_mesh > 0]
        typical = float(np.median(scatter)) if scatter.size else 0.0
        return replace(self._facts, typical=typical, background=background)


def variance_of(frame: Frame) -> NDArray[np.float32] | None:
    """Return the variance that the frame carries."""
    deviation = deviation_of(frame.uncertainty)
    return None if deviation is None else deviation**2


def is_known(variance: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where a variance is a number of sense."""
    known: NDArray[np.bool_] = np.isfinite(variance) & (variance > 0)
    return known


def known_detector(options: LACosmicOptions, frame: Frame) -> Detector:
    """Return the detector; the gain of the options goes before that of the header."""
    detector = frame.detector
    return detector if options.gain is None else replace(detector, gain=options.gain)


def to_electrons(options: LACosmicOptions, frame: Frame) -> float | None:
    """Return electrons per unit of the frame; None where nothing tells."""
    return known_detector(options, frame).scale(frame.unit)
