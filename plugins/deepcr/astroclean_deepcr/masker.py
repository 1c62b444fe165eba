"""`deepcr`: cosmic rays by the published networks of deepCR."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from astropy import units as u
from pydantic import Field

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.stage.kinds.mask import Masker
from astroclean.core.stage.results import Mask
from astroclean.core.stage.scope import Scope, Survey
from astroclean.inference.stage_network import NetworkOptions, NetworkTiles, StageNetwork
from astroclean_deepcr.network import OUTPUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.needs import Identity

__all__ = ["DeepCR", "DeepCROptions"]

_CARDS = Path(__file__).parent / "cards"


class DeepCROptions(NetworkOptions):
    """Settings of :class:`DeepCR`."""

    weights: Literal["acs-wfc", "wfc3-uvis", "decam"] = "acs-wfc"
    """Which network, by the camera that it was trained for; imported with `astroclean weights
    import deepcr`."""
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    """Probability above which a pixel is flagged; none: as the authors advise, 0.5, and for
    ``wfc3-uvis`` 0.15 (they say 0.1 to 0.2)."""
    probabilities: bool = False
    """Whether to return the probability of each pixel: 4 bytes a pixel of memory."""


class DeepCR(NetworkTiles, Masker):
    """Flags COSMIC_RAY with deepCR (Zhang & Bloom 2020, ApJ 889, 24).

    Networks for ACS/WFC (Kwon, Zhang & Bloom 2021, RNAAS 5, 98), WFC3/UVIS (Chen et al. 2024, ApJ
    962, 7) and DECam. The first sees electrons and the last data numbers, sky included; frames in
    another unit are converted by gain and exposure time. To the second the unit does not matter.
    Pixels without a value are filled with the sky and never flagged. Rejected ones are seen as they
    are, as in training: beside filled ones, stars look like hits.
    """

    sets = MaskPlane.COSMIC_RAY
    Options = DeepCROptions

    def __init__(
        self, options: DeepCROptions | None = None, *, identity: Identity | None = None
    ) -> None:
        super().__init__(options, identity=identity)
        self._network = StageNetwork(
            _CARDS / f"deepcr-{self.options.weights}.card.toml", self.options
        )

    @property
    def _threshold(self) -> float:
        chosen = self.options.threshold
        advised = self._network.card.calibration.classes[MaskPlane.COSMIC_RAY.alias]
        return advised.threshold if chosen is None else chosen

    def scope(self, frame: Frame) -> Scope:
        """Return that of the network; the frame is measured in the unit of the network."""
        scope = super().scope(frame)
        if scope.survey is None:
            return scope
        return replace(scope, survey=_Converting(scope.survey, self._converted))

    def find(self, frame: Frame) -> Mask:
        """Return the cosmic rays.

        Parameters
        ----------
        frame : Frame
            Electrons or data numbers, per second or not, sky included. Not modified.

        Returns
        -------
        Mask
            COSMIC_RAY; its probability where the option asks for it.

        Raises
        ------
        StageError
            The unit is another, or gain or exposure time are needed and not known.
        """
        seen = self._converted(frame)
        self._network.warn_outside_domain(seen)
        found = self._network.predictor.predict(
            seen,
            measured=self.measured(frame),
            digest=None if self.options.probabilities else self._flags_of,
        )[OUTPUT]
        metrics = {"threshold": self._threshold}
        if not self.options.probabilities:
            return Mask(found[0], metrics=metrics)
        probabilities = {MaskPlane.COSMIC_RAY.alias: found[0]}
        return Mask(self._flags_of(found)[0], probabilities=probabilities, metrics=metrics)

    def check_header(self, frame: Frame) -> None:
        """Raise where the frame cannot be turned into the unit of the network."""
        self._converted(frame)

    def _converted(self, frame: Frame) -> Frame:
        """Return the frame in the unit of the network."""
        unit = self._network.card.unit
        if unit == "any":
            return frame
        wanted: Any = u.Unit(unit)
        scale = frame.detector.require_scale(
            wanted,
            frame=frame,
            stage=self.name,
            otherwise='Give a frame in electrons or data numbers, or `weights = "wfc3-uvis"`.',
        )
        if scale == 1:
            return frame if frame.unit == wanted else _of(frame, frame.data, wanted)
        return _of(frame, frame.data * np.float32(scale), wanted)

    def _flags_of(self, answer: NDArray[np.float32]) -> NDArray[np.uint32]:
        # NaN, where there is no value, is above no threshold.
        return (answer > self._threshold) * np.uint32(MaskPlane.COSMIC_RAY)


def _of(frame: Frame, data: NDArray[np.float32], unit: Any) -> Frame:
    # The network does not see the uncertainty, which is in the other unit.
    return frame.replace(data=data, unit=unit, uncertainty=None)


class _Converting(Survey):
    """Shows frames in another unit to a survey."""

    def __init__(self, inner: Survey, converted: Callable[[Frame], Frame]) -> None:
        self._inner = inner
        self._converted = converted

    def add(self, frame: Frame, rows: slice) -> None:
        """Take the next rows."""
        self._inner.add(self._converted(frame), rows)

    def finish(self) -> Any:
        """Return what was found."""
        return self._inner.finish()
