"""Kind `superres`: what would be seen on a finer grid?"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from astropy.nddata import StdDevUncertainty

from astroclean.core.image.detector import DETECTOR_KEYWORDS
from astroclean.core.image.grid import Grid
from astroclean.core.image.layer import Layer, LayerSpec
from astroclean.core.psf.beam import BEAM_KEYWORDS, beam_cards, beam_of_values, is_per_beam
from astroclean.core.stage.needs import Needs, Provides
from astroclean.core.stage.results import StageResult, Upsampling
from astroclean.core.stage.stage import Stage
from astroclean.errors import ContractError

if TYPE_CHECKING:
    from astroclean.core.image.frame import Frame
    from astroclean.core.image.frameset import FrameSet

__all__ = ["SuperResolver"]


class SuperResolver(Stage):
    """Makes a frame on a finer grid; flags and WCS follow.

    The result goes to the HDU ``SUPERRES``; the science HDU is left alone. Of bands that are taken
    together there is one result: that of the first band, whose pixels its grid counts in. The other
    bands go on as they are.
    """

    kind = "superres"
    takes_colors = False
    answers = Upsampling
    branch: ClassVar[str] = "SUPERRES"

    @abstractmethod
    def upsample(self, frame: Frame) -> Upsampling:
        """Return the image on the finer grid.

        A plugin that ``accepts`` a set gets a `FrameSet`, and returns one `Upsampling`.
        """

    def needs(self) -> Needs:
        """Return the PSF of the frame."""
        return Needs(frozenset({"psf"}))

    def provides(self) -> Provides:
        """Return the PSF of the result."""
        return Provides(frozenset({"psf"}))

    def layers(self) -> tuple[LayerSpec, ...]:
        """Return the finer image, and where the input supports it."""
        support = "0 where the input does not support what the method added, 1 where it does"
        return (
            LayerSpec(self.branch, "the image on a finer grid", own_grid=True, always=True),
            # Without it a finer image cannot be judged.
            LayerSpec("SUPPORT", support, unit="", own_grid=True, always=True),
        )

    def _ask(self, frame: Any) -> Upsampling:
        return self.upsample(frame)

    def _answers(self, frames: FrameSet) -> dict[str, Upsampling]:
        answer = self._called(frames.read_only(), ", ".join(frames.bands))
        return {frames.bands[0]: self._known(answer, frames[frames.bands[0]].frame_id)}

    def _apply(self, frame: Frame, answer: Upsampling) -> StageResult:
        data = np.asarray(answer.data, dtype=np.float32)
        grid = self._grid(frame, answer, data.shape)
        uncertainty = None if answer.uncertainty is None else StdDevUncertainty(answer.uncertainty)
        unit = frame.unit if answer.unit is None else answer.unit
        result = type(frame)(
            data,
            unit=unit,
            uncertainty=uncertainty,
            flags=grid.seen_by(frame.flags),
            wcs=grid.wcs,
            meta=_meta(frame, grid, answer),
            psf=answer.psf,
            sources=None if answer.sources is None else answer.sources.on_grid(grid),
            frame_id=frame.frame_id,
            history=frame.history,
            reject_bits=frame.reject_bits,
            filled=grid.seen_by(frame.filled),
        )
        metrics = {"factor": 1 / grid.step, **answer.metrics}
        # Values per beam do not add up to a flux, nor do two units compare.
        if unit == frame.unit and not is_per_beam(unit):
            before, after = (
                float(np.nansum(image, dtype=np.float64)) for image in (frame.data, data)
            )
            metrics = {"flux ratio": after / before if before else float("nan"), **metrics}
        finer = {self.branch: Layer(data, grid, answer.unit, answer.uncertainty, answer.psf)}
        if answer.support is not None:
            finer["SUPPORT"] = Layer(answer.support, grid)
        return StageResult(result, self._layers(frame, answer.layers, finer), metrics)

    def _grid(self, frame: Frame, answer: Upsampling, shape: tuple[int, ...]) -> Grid:
        """Return the grid that the plugin gives, or that its image tells."""
        ny, nx = frame.shape
        factor = shape[0] // max(ny, 1) if len(shape) == 2 else 0  # noqa: PLR2004
        is_given = answer.grid is not None
        fits = shape == answer.grid.shape if answer.grid else shape == (ny * factor, nx * factor)
        if not fits or (factor < 1 and not is_given):
            wanted = answer.grid.shape if answer.grid else f"a whole multiple of {frame.shape}"
            raise ContractError(
                f"the finer image must have the shape of its grid, {wanted}",
                where=self.where(frame),
                received=shape,
                remedy="This is a fault of the plugin.",
            )
        if answer.grid is not None:
            return answer.grid
        if answer.wcs is None:
            return Grid.from_frame(frame).finer(factor)
        return replace(replace(Grid.from_frame(frame), wcs=None).finer(factor), wcs=answer.wcs)


def _meta(frame: Frame, grid: Grid, answer: Upsampling) -> Any:
    """Return the header of a frame with what is told of other pixels and another beam."""
    scale = frame.detector.pixel_scale
    # Values in the unit of the frame are of the frame's beam, whatever PSF they are seen with.
    is_new = answer.unit is not None
    beam = beam_cards(answer.unit, answer.psf, grid) if is_new else beam_of_values(frame)
    changed = frame.meta.copy()
    for keyword in (*BEAM_KEYWORDS, DETECTOR_KEYWORDS["psf_fwhm"]):
        if keyword in changed:
            del changed[keyword]
    # Fluxes of catalogues are made with these.
    changed.update(beam)
    if scale is not None:
        changed[DETECTOR_KEYWORDS["pixel_scale"]] = scale * grid.step
    return changed
