"""Kind `deblend`: which source owns how much of each pixel?"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.grid import Grid
from astroclean.core.image.layer import LayerSpec
from astroclean.core.sources.source_planes import with_plane_columns
from astroclean.core.stage.metrics import Total
from astroclean.core.stage.needs import Provides
from astroclean.core.stage.results import Outcome, Separation, StageResult
from astroclean.core.stage.scope import chunk_of
from astroclean.core.stage.stage import Stage

if TYPE_CHECKING:
    from astroclean.core.image.frame import Frame
    from astroclean.core.sources.sources import Sources

__all__ = ["SEGMENTATION", "Deblender"]

SEGMENTATION = LayerSpec("SEGMENTATION", "id of the source that dominates each pixel, 0: sky", "")


class Deblender(Stage):
    """Finds sources and sets ``frame.sources`` and the plane SOURCE; no pixel value changes.

    Where the method gives a segmentation, the catalogue gains the columns ``n_saturated``,
    ``n_filled``, ``n_flagged`` and ``planes``, whatever the plugin: see
    `astroclean.core.sources.source_planes`.
    """

    kind = "deblend"
    takes_colors = False
    answers = Separation

    @abstractmethod
    def separate(self, frame: Frame) -> Separation:
        """Return the sources and, where the method gives it, the flux that none owns."""

    def provides(self) -> Provides:
        """Return the catalogue and its plane."""
        return Provides(frozenset({"sources", "segmentation"}), MaskPlane.SOURCE)

    def layers(self) -> tuple[LayerSpec, ...]:
        """Return the light that no source owns, and which owns each pixel."""
        return (LayerSpec("UNASSIGNED", "light of the frame that no source owns"), SEGMENTATION)

    def _ask(self, frame: Any) -> Separation:
        return self.separate(frame)

    def _apply(self, frame: Frame, answer: Separation) -> StageResult:
        sources = answer.sources.on_grid(Grid.of(frame))
        assert sources.grid is not None  # of a set it may be that of another band
        sources = sources.with_sky(sources.grid.wcs)
        result = frame.replace(sources=sources)
        if sources.segmentation is not None:
            labels = self._checked(frame, "segmentation", sources.segmentation)
            sources = replace(sources, segmentation=labels.astype(np.int32, copy=False))
            sources = with_plane_columns(sources, frame)
            result = result.replace(sources=sources).add_planes(labels > 0, MaskPlane.SOURCE)
        rest = {} if answer.unassigned is None else {"UNASSIGNED": answer.unassigned}
        # A plugin that declares layers of its own alone has none of those of the kind.
        if sources.segmentation is not None and SEGMENTATION in self.layers():
            rest[SEGMENTATION.name] = sources.segmentation
        metrics = {"sources": _own_sources(frame, sources), **answer.metrics}
        outcome = Outcome.DONE if len(sources) else Outcome.NO_WORK
        return StageResult(result, self._layers(frame, answer.layers, rest), metrics, outcome)


def _own_sources(frame: Frame, sources: Sources) -> Total:
    """Return how many sources there are; of a chunk, those whose centre lies in its own rows."""
    if chunk_of(frame).shape == frame.shape:
        return Total(len(sources))
    rows = range(frame.shape[0])[chunk_of(frame).own]
    middle = np.rint(np.asarray(sources.table["y"], dtype=float))
    return Total(int(np.count_nonzero((middle >= rows.start) & (middle < rows.stop))))
