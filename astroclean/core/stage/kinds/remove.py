"""Kind `remove`: what lies under the compact sources, or under bad pixels?"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from astroclean.core.flags.planes import MADE_UP, MaskPlane
from astroclean.core.image.grid import Grid
from astroclean.core.image.layer import LayerSpec
from astroclean.core.image.uncertainty import deviation_of, with_deviation
from astroclean.core.sources.source_planes import with_plane_columns_of
from astroclean.core.stage.metrics import Total, counted
from astroclean.core.stage.results import Outcome, Removal, StageResult
from astroclean.core.stage.scope import chunk_of
from astroclean.core.stage.stage import Stage
from astroclean.errors import AstrocleanWarning, ContractError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.sources.sources import Sources

__all__ = ["SourceRemover"]


class SourceRemover(Stage):
    """Replaces pixels inside ``where``; every other pixel stays bit for bit.

    A replaced pixel keeps its flags and gains the planes of ``reason``. Where that is INTERPOLATED
    or INPAINTED the new value is made up, and what was wrong with the old one rejects no longer.
    Its uncertainty becomes NaN unless the method gives one: a filled value is no measurement.
    """

    kind = "remove"
    answers = Removal
    reason: ClassVar[MaskPlane] = MaskPlane.REMOVED

    @abstractmethod
    def remove(self, frame: Frame) -> Removal:
        """Return the new values and where they are."""

    def layers(self) -> tuple[LayerSpec, ...]:
        """Return what was taken away."""
        return (LayerSpec("REMOVED", "light that stages of kind `remove` took away", join="add"),)

    def _ask(self, frame: Any) -> Removal:
        return self.remove(frame)

    def _apply(self, frame: Frame, answer: Removal) -> StageResult:
        data = self._checked(frame, "data", answer.data).astype(np.float32, copy=False)
        where = self._pixels(frame, "where", answer.where)
        self._check_remit(frame, data, where)
        new = np.where(where, data, frame.data)
        self._tell_lost(frame, new)
        with np.errstate(invalid="ignore"):  # an infinite pixel that stays
            removed = np.where(where, np.nan_to_num(frame.data - new, posinf=0, neginf=0), 0)
        result = frame.replace(
            data=new,
            uncertainty=self._uncertainty(frame, answer.uncertainty, where),
            sources=self._sources(frame, answer),
        )
        reasons = self._reasons(frame, answer, where)
        for plane, pixels in reasons.items():
            result = result.add_planes(pixels, plane)
        result = result.replace(filled=frame.filled | _made_up(reasons, where))
        count = counted(frame, where)
        metrics = {
            "pixels replaced": count,
            "flux removed": Total.from_pixels(removed[chunk_of(frame).own]),
            **answer.metrics,
        }
        taken = {"REMOVED": removed.astype(np.float32)}
        outcome = Outcome.DONE if count else Outcome.NO_WORK
        return StageResult(result, self._layers(frame, taken, answer.layers), metrics, outcome)

    def _tell_lost(self, frame: Frame, new: NDArray[np.float32]) -> None:
        own = chunk_of(frame).own
        # A bad value may go without another one in its place.
        if (np.isnan(new) & frame.usable)[own].any():
            # Without their number, so that chunks of a frame say the same.
            text = f"{self.where(frame)}: gave NaN to pixels that had a good value."
            warnings.warn(text, AstrocleanWarning, stacklevel=2)

    def _sources(self, frame: Frame, answer: Removal) -> Sources | None:
        if answer.sources is None:
            return frame.sources
        sources = with_plane_columns_of(answer.sources, frame.sources)
        return sources.on_grid(Grid.from_frame(frame))

    def _reasons(
        self, frame: Frame, answer: Removal, where: NDArray[np.bool_]
    ) -> dict[MaskPlane, NDArray[np.bool_]]:
        if answer.reasons is None:
            return {self.reason: where}
        told = {
            plane: self._checked(frame, f"reasons[{plane.name}]", pixels, kinds="uib").astype(
                bool, copy=False
            )
            for plane, pixels in answer.reasons.items()
        }
        named = np.logical_or.reduce([np.zeros_like(where), *told.values()])
        if not np.array_equal(named, where):
            raise ContractError(
                "the reasons of a removal together are the pixels of `where`",
                where=self.where(frame),
                received=f"{np.count_nonzero(named != where)} pixels that are in one of them alone",
                remedy="This is a fault of the plugin.",
            )
        return told

    def _pixels(self, frame: Frame, name: str, array: Any) -> NDArray[np.bool_]:
        return self._checked(frame, name, array, kinds="uib").astype(bool, copy=False)

    def _check_remit(
        self, frame: Frame, data: NDArray[np.float32], where: NDArray[np.bool_]
    ) -> None:
        touched = (data != frame.data) & ~where & ~(np.isnan(data) & np.isnan(frame.data))
        if touched.any():
            raise ContractError(
                "a remove stage may only change pixels inside `where`",
                where=self.where(frame),
                received=f"{np.count_nonzero(touched)} other pixels changed",
                remedy="This is a fault of the plugin.",
            )

    def _uncertainty(
        self, frame: Frame, given: NDArray[Any] | None, where: NDArray[np.bool_]
    ) -> Any:
        before = deviation_of(frame.uncertainty)
        if not where.any() or (before is None and given is None):
            return frame.uncertainty
        old = np.full(frame.shape, np.nan, np.float32) if before is None else before
        new = np.nan if given is None else self._checked(frame, "uncertainty", given)
        return with_deviation(frame.uncertainty, np.where(where, new, old))


def _made_up(
    reasons: Mapping[MaskPlane, NDArray[np.bool_]], where: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return the pixels that hold nothing of what was measured there."""
    filled = [pixels for plane, pixels in reasons.items() if plane & MADE_UP]
    made_up: NDArray[np.bool_] = np.logical_or.reduce([np.zeros_like(where), *filled])
    return made_up
