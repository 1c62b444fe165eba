"""Kind `deblend`: which source owns how much of each pixel?"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.grid import Grid
from astroclean.core.image.layer import LayerSpec
from astroclean.core.sources.shares import model_image
from astroclean.core.sources.source_planes import with_plane_columns
from astroclean.core.stage.hooks import FAULT
from astroclean.core.stage.metrics import Total
from astroclean.core.stage.needs import Provides
from astroclean.core.stage.results import Outcome, Separation, StageResult
from astroclean.core.stage.scope import chunk_of, is_own
from astroclean.core.stage.stage import Stage
from astroclean.errors import ContractError, SuspectWarning

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.image.frameset import FrameSet
    from astroclean.core.sources.sources import Sources

__all__ = ["MODEL", "SEGMENTATION", "Deblender"]

SEGMENTATION = LayerSpec("SEGMENTATION", "id of the source that dominates each pixel, 0: sky", "")
MODEL = LayerSpec("MODEL", "light of all sources without noise, the sum of their models")
"""Declared by stages that give a model of each source as its stamp; the base class adds them up."""


class Deblender(Stage):
    """Finds sources and sets ``frame.sources`` and the plane SOURCE; no pixel value changes.

    Where the method gives a segmentation, the catalogue gains the columns ``n_saturated``,
    ``n_filled``, ``n_flagged`` and ``planes``, whatever the plugin: see
    `astroclean.core.sources.source_planes`.

    Of bands that are deblended together, each result has the images of its own band: the hook may
    give the same sources, with the images of all bands, for each of them.
    """

    kind = "deblend"
    takes_colors = False
    answers = Separation

    @abstractmethod
    def separate(self, frame: Frame) -> Separation:
        """Return the sources and, where the method gives it, the flux that none owns.

        A plugin that ``accepts`` a set gets a `FrameSet`, and returns a dict of band to
        `Separation`.
        """

    def provides(self) -> Provides:
        """Return the catalogue and its plane."""
        return Provides(frozenset({"sources", "segmentation"}), MaskPlane.SOURCE)

    def layers(self) -> tuple[LayerSpec, ...]:
        """Return the light that no source owns, and which owns each pixel."""
        return (LayerSpec("UNASSIGNED", "light of the frame that no source owns"), SEGMENTATION)

    def _ask(self, frame: Any) -> Separation:
        return self.separate(frame)

    def _answers(self, frames: FrameSet) -> dict[str, Separation]:
        answers = super()._answers(frames)
        given = [stamp.band for answer in answers.values() for stamp in answer.sources.stamps]
        unknown = sorted(set(given) - {"", *frames.bands})
        if unknown:
            raise ContractError(
                f"gives images of sources in bands that the set does not have: {', '.join(frames)}",
                where=f"stage '{self.name}'",
                received=", ".join(unknown),
                remedy=FAULT,
            )
        return {
            band: replace(answer, sources=answer.sources.of_band(band))
            for band, answer in answers.items()
        }

    def _apply(self, frame: Frame, answer: Separation) -> StageResult:
        self._check_places(frame, answer.sources)
        sources = answer.sources.on_grid(Grid.from_frame(frame))
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
        if MODEL in self.layers() and MODEL.name not in {name.upper() for name in answer.layers}:
            rest[MODEL.name] = model_image(sources, frame.shape)
        metrics = {"sources": _own_sources(frame, sources), **answer.metrics}
        outcome = Outcome.DONE if len(sources) else Outcome.NO_WORK
        return StageResult(result, self._layers(frame, answer.layers, rest), metrics, outcome)

    def _check_places(self, frame: Frame, sources: Sources) -> None:
        """Refuse rows that are nowhere; tell of those that lie off the frame."""
        ny, nx = frame.shape
        x, y = (_numbers(sources.table[name]) for name in ("x", "y"))
        where = self.where(frame)
        nowhere = ~(np.isfinite(x) & np.isfinite(y))
        if nowhere.any():
            raise ContractError(
                "sources must have a finite `x` and `y`",
                where=where,
                received=f"{np.count_nonzero(nowhere)} of {len(sources)} without",
                remedy=FAULT,
            )
        off = (x < -1) | (x > nx)
        if chunk_of(frame).shape == frame.shape:  # of a chunk, they may lie in another one
            off |= (y < -1) | (y > ny)
        if off.any():
            counted = f"{np.count_nonzero(off)} of {len(sources)} sources"
            warnings.warn(f"{where}: {counted} lie off the frame.", SuspectWarning, stacklevel=2)


def _own_sources(frame: Frame, sources: Sources) -> Total:
    """Return how many sources there are; of a chunk, those whose centre lies in its own rows."""
    if chunk_of(frame).shape == frame.shape:
        return Total(len(sources))
    return Total(int(np.count_nonzero(is_own(frame, sources.table["y"]))))


def _numbers(column: Any) -> NDArray[np.float64]:
    """Return a column with NaN in its gaps."""
    filled: NDArray[np.float64] = np.ma.filled(np.ma.asarray(column, float), np.nan)
    return filled
