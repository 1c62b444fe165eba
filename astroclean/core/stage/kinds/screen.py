"""Kind `screen`: is the whole exposure usable?"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from astroclean.core.stage.results import Score, StageResult
from astroclean.core.stage.stage import Stage
from astroclean.errors import ContractError

if TYPE_CHECKING:
    from astroclean.core.image.frame import Frame

__all__ = ["Screener"]


class Screener(Stage):
    """Scores a frame; changes nothing. The runner averages the scores of an exposure."""

    kind = "screen"
    answers = Score

    @abstractmethod
    def score(self, frame: Frame) -> Score:
        """Return the probability that the exposure is unusable."""

    def _ask(self, frame: Any) -> Score:
        return self.score(frame)

    def _apply(self, frame: Frame, answer: Score) -> StageResult:
        if not 0 <= answer.probability <= 1:
            raise ContractError(
                "the score of a screening stage is a probability",
                where=self.where(frame),
                received=answer.probability,
                remedy="This is a fault of the plugin.",
            )
        metrics = {"probability": float(answer.probability), **answer.metrics}
        return StageResult(frame, self._layers(frame, answer.layers), metrics, score=answer)
