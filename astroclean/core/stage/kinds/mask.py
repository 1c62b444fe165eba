"""Kind `mask`: which pixels are contaminated, by what, how probably?"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from astroclean.core.flags.planes import NO_PLANE, MaskPlane, count_planes, parse_planes
from astroclean.core.image.layer import LayerSpec
from astroclean.core.stage.hooks import refuse_undeclared
from astroclean.core.stage.metrics import Share, Total
from astroclean.core.stage.needs import Provides
from astroclean.core.stage.results import Mask, Outcome, StageResult
from astroclean.core.stage.scope import chunk_of
from astroclean.core.stage.stage import Stage

if TYPE_CHECKING:
    from astroclean.core.image.frame import Frame

__all__ = ["PROBABILITY", "Masker"]

PROBABILITY = "PROB_"
"""Begins the names of layers of probabilities; the alias of the plane follows."""


class Masker(Stage):
    """Finds contaminated pixels; may add bits declared in ``sets`` and changes nothing else."""

    kind = "mask"
    answers = Mask
    sets: ClassVar[MaskPlane] = NO_PLANE
    """Every plane that the stage may set."""

    @abstractmethod
    def find(self, frame: Frame) -> Mask:
        """Return the bits to add."""

    def provides(self) -> Provides:
        """Return the planes that later stages find."""
        return Provides(planes=self.sets)

    def layers(self) -> tuple[LayerSpec, ...]:
        """Return the probabilities of the planes."""
        return (
            LayerSpec(
                f"{PROBABILITY}*",
                "probability that a pixel is of the plane of this alias",
                unit="",
                join="max",
                keep="probabilities",
            ),
        )

    def _ask(self, frame: Any) -> Mask:
        return self.find(frame)

    def _apply(self, frame: Frame, answer: Mask) -> StageResult:
        flags = self._checked(frame, "flags", answer.flags, kinds="uib").astype(
            np.uint32, copy=False
        )
        refuse_undeclared(flags, self.sets, kind=self.kind, where=self.where(frame))
        own = flags[chunk_of(frame).own]
        counts = count_planes(own)
        metrics: dict[str, float] = {f"pixels {name}": Total(n) for name, n in counts.items()}
        metrics["fraction flagged"] = Share(int(np.count_nonzero(own)), own.size)
        chances = {}
        for plane, probability in answer.probabilities.items():
            values = self._checked(frame, f"probability of {plane}", probability)
            name = f"{PROBABILITY}{parse_planes(plane).alias}"
            chances[name] = values.astype(np.float32, copy=False)
        # What is found after a pixel was filled rejects the value that was put there.
        refuted = (flags & np.uint32(frame.reject_bits)) != 0
        return StageResult(
            frame.replace(flags=frame.flags | flags, filled=frame.filled & ~refuted),
            self._layers(frame, answer.layers, chances),
            {**metrics, **answer.metrics},
            Outcome.DONE if counts else Outcome.NO_WORK,
        )
