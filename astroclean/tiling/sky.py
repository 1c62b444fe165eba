"""Sky and noise of a frame, and whether the noise that it states is the one that it has."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.uncertainty import deviation_of
from astroclean.core.stage.scope import Survey, chunk_of
from astroclean.errors import SuspectWarning
from astroclean.tiling.background import Background, MeshGatherer, MeshSettings
from astroclean.tiling.noise import NOISE_FACTOR

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["Sky", "SkySurvey"]


@dataclass(frozen=True, eq=False)
class Sky:
    """What was measured of a whole frame."""

    background: Background
    stated: Background | None
    """Stated standard deviation of the pixels of sky; None where the frame states none."""

    @property
    def ratio(self) -> float:
        """Measured noise of the sky over the stated one, median over the mesh; 1 without it."""
        if self.stated is None:
            return 1.0
        known = (self.stated.level_mesh > 0) & (self.background.rms_mesh > 0)
        if not known.any():
            return 1.0
        return float(np.median(self.background.rms_mesh[known] / self.stated.level_mesh[known]))

    @property
    def is_believed(self) -> bool:
        """Whether the stated noise is the noise."""
        return self.stated is not None and 1 / NOISE_FACTOR <= self.ratio <= NOISE_FACTOR

    def tell_of_noise(self, where: str) -> None:
        """Warn where the frame states another noise than it has.

        Parameters
        ----------
        where : str
            Frame and stage, for the message.

        Warns
        -----
        SuspectWarning
            The stated noise is not believed.
        """
        if self.stated is not None and not self.is_believed:
            warnings.warn(
                f"{where}: the uncertainty of the frame is not its noise: that of the sky is "
                f"{self.ratio:.3g} times as large. The larger counts. Correct the ERR or VAR of "
                "the file.",
                SuspectWarning,
                stacklevel=3,
            )

    def noise(self, origin: tuple[int, int], shape: tuple[int, int]) -> NDArray[np.float32]:
        """Return the noise of the sky in a part of the frame, (ny, nx) float32, positive.

        The stated one where it is believed: sources of a crowded field add to a scatter.
        """
        measured = self.background.rms(origin, shape)
        if self.is_believed:
            assert self.stated is not None  # else it is not believed
            known = self.stated.level(origin, shape)
            measured = np.where(known > 0, known, measured)
        usual = self.background.typical_rms or 1.0
        return np.where(measured > 0, measured, np.float32(usual))

    def variance(self, frame: Frame) -> NDArray[np.float64]:
        """Return the variance of each pixel of a frame or a chunk of it, (ny, nx), positive."""
        noise = self.noise(chunk_of(frame).origin, frame.shape).astype(np.float64)
        stated = deviation_of(frame.uncertainty)
        if stated is None:
            return np.asarray(noise**2)
        known = np.isfinite(stated) & (stated > 0)
        deviation = np.where(known, stated, noise).astype(np.float64)
        if not self.is_believed:
            deviation = np.maximum(deviation, noise)
        # Infinite where the frame gives a pixel no weight.
        return np.where(np.isposinf(stated), np.inf, deviation**2)


class SkySurvey(Survey):
    """Measures `Sky`, the same however the frame is cut."""

    def __init__(self, settings: MeshSettings) -> None:
        self._settings = settings
        self._gatherer: MeshGatherer | None = None
        self._stated: MeshGatherer | None = None

    def add(self, frame: Frame, rows: slice) -> None:
        """Take the next rows."""
        deviation = deviation_of(frame.uncertainty)
        if self._gatherer is None:  # the frame tells how large it is
            self._gatherer = MeshGatherer(self._settings, chunk_of(frame).shape)
            if deviation is not None:
                self._stated = MeshGatherer(self._settings, chunk_of(frame).shape)
        usable = frame.usable[rows]
        self._gatherer.add(frame.data[rows], usable)
        if self._stated is not None and deviation is not None:
            stated = deviation[rows]
            self._stated.add(stated, usable & np.isfinite(stated) & (stated > 0))

    def finish(self) -> Sky:
        """Return sky and noise."""
        assert self._gatherer is not None  # a frame has rows
        stated = None if self._stated is None else self._stated.finish()
        return Sky(self._gatherer.finish(), stated)
