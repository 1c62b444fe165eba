"""Kind `calibrate`: what did the sky send, without what the camera added to it?"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from astropy.nddata import StdDevUncertainty

from astroclean.core.flags.planes import NO_PLANE, MaskPlane
from astroclean.core.image.rewriting import Rewriting
from astroclean.core.stage.hooks import FAULT, refuse_undeclared
from astroclean.core.stage.low_pixels import sample_step, sky_of
from astroclean.core.stage.needs import Provides
from astroclean.core.stage.results import Calibration, StageResult
from astroclean.core.stage.scope import Chunk
from astroclean.core.stage.stage import Stage
from astroclean.errors import ContractError, StageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.masters import LeftOut, MadeMaster
    from astroclean.core.stage.resources import StoredFrame

__all__ = ["Calibrator"]


class Calibrator(Stage):
    """Makes an image of the sky of a raw one: other values, perhaps another unit, fewer pixels.

    Its result is written in place of the science image, whose header follows. Flags that were set
    stay; later stages and the report compare with the result, not with the raw frame.
    """

    kind = "calibrate"
    takes_colors = False
    answers = Calibration
    sets: ClassVar[MaskPlane] = NO_PLANE
    """Every plane that the stage may set."""
    makes_masters: ClassVar[bool] = False
    """Whether it has `make`."""

    def __init_subclass__(cls) -> None:
        """Refuse a scope of its own: rows that are cut off are none of a chunk's."""
        super().__init_subclass__()
        if "scope" in vars(cls):
            raise ContractError(
                "a calibrate stage gets the whole frame, of which rows may go",
                where=f"{cls.__module__}.{cls.__qualname__}",
                remedy="Leave out `scope`.",
            )

    @abstractmethod
    def calibrate(self, frame: Frame) -> Calibration:
        """Return the calibrated image."""

    def make(
        self,
        frames: Sequence[StoredFrame],  # noqa: ARG002 - a calibrator may need no masters
        *,
        memory: float,  # noqa: ARG002
    ) -> Iterator[MadeMaster | LeftOut]:
        """Yield the masters that can be made of raw frames, and the frames that were left out.

        Parameters
        ----------
        frames : sequence of StoredFrame
            Of any type: the stage sorts them.
        memory : float
            Bytes that may be held while frames are combined.

        Raises
        ------
        StageError
            This stage makes none.
        """
        raise StageError("makes no masters", where=f"stage '{self.name}'")

    def provides(self) -> Provides:
        """Return the planes that later stages find."""
        return Provides(planes=self.sets)

    def _ask(self, frame: Any) -> Calibration:
        return self.calibrate(frame)

    def _apply(self, frame: Frame, answer: Calibration) -> StageResult:
        if frame.sources is not None:
            raise StageError(
                "sources that were found on the raw frame are not those of the calibrated one",
                where=self.where(frame),
                remedy="Put it before the stages of kind `deblend`.",
            )
        if frame.uncertainty is not None and answer.uncertainty is None:
            raise ContractError(
                "a calibration must say what became of the uncertainty that the frame had",
                where=self.where(frame),
                remedy=FAULT,
            )
        window = self._window(frame, answer)
        rewriting = Rewriting(window, answer.unit, answer.cards, answer.detector)
        left = rewriting.applied(frame.replace(chunk=None))
        data = self._checked(left, "data", answer.data).astype(np.float32, copy=False)
        deviation = answer.uncertainty
        if deviation is not None:
            deviation = self._checked(left, "uncertainty", deviation).astype(np.float32, copy=False)
        step = sample_step(data.shape)
        result = left.replace(
            data=data,
            uncertainty=None if deviation is None else StdDevUncertainty(deviation),
            flags=left.flags | self._flags(left, answer),
            chunk=Chunk((0, 0), left.shape, sky=sky_of(data[::step, ::step])),
        )
        trimmed = frame.data.size - data.size
        metrics = {"pixels trimmed": float(trimmed), **answer.metrics}
        return StageResult(
            result, self._layers(result, answer.layers), metrics, rewriting=rewriting
        )

    def _finished(self, before: Frame, result: StageResult) -> StageResult:
        assert result.rewriting is not None
        # No pixel is replaced where all are other ones: what counts is what was flagged.
        seen = result.rewriting.applied(before.replace(chunk=None)).replace(data=result.frame.data)
        return replace(super()._finished(seen, result), rewriting=result.rewriting)

    def _window(self, frame: Frame, answer: Calibration) -> tuple[slice, slice]:
        if answer.window is None:
            return slice(0, frame.shape[0]), slice(0, frame.shape[1])
        steps = [part.indices(n) for part, n in zip(answer.window, frame.shape, strict=True)]
        if any(step != 1 or stop <= start for start, stop, step in steps):
            raise ContractError(
                "the window of a calibration must hold pixels of the frame, without gaps",
                where=self.where(frame),
                received=f"{answer.window} of {frame.shape} pixels",
                remedy=FAULT,
            )
        rows, columns = (slice(start, stop) for start, stop, _ in steps)
        wcs = frame.wcs
        looks_up = any(
            getattr(wcs, name, None) is not None
            for name in ("cpdis1", "cpdis2", "det2im1", "det2im2")
        )
        if looks_up and (rows.start or columns.start):
            raise StageError(
                "the WCS looks up a distortion by pixel, which would be that of other pixels in a "
                "trimmed image",
                where=self.where(frame),
                remedy="Do not trim this frame.",
            )
        return rows, columns

    def _flags(self, left: Frame, answer: Calibration) -> NDArray[np.uint32]:
        if answer.flags is None:
            return np.zeros(left.shape, dtype=np.uint32)
        added = self._checked(left, "flags", answer.flags, kinds="uib").astype(np.uint32)
        refuse_undeclared(added, self.sets, kind=self.kind, where=self.where(left))
        return added
