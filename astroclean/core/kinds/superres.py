"""Kind `superres`: what would be seen on a finer grid?"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.nddata import StdDevUncertainty

from astroclean.core.results import Upsampling
from astroclean.core.stage import Needs, Provides, Stage, StageResult
from astroclean.errors import ContractError

if TYPE_CHECKING:
    from astropy.wcs import WCS
    from numpy.typing import NDArray

    from astroclean.core.frame import Frame

__all__ = ["SuperResolver"]


class SuperResolver(Stage):
    """Makes a frame on a grid finer by a whole factor; flags and WCS follow.

    The result goes to the HDU ``SUPERRES``; the science HDU is left alone.
    """

    kind = "superres"
    takes_colors = False
    answers = Upsampling
    branch = "SUPERRES"

    @abstractmethod
    def upsample(self, frame: Frame) -> Upsampling:
        """Return the image on the finer grid."""

    def needs(self) -> Needs:
        """Return the PSF of the frame."""
        return Needs(frozenset({"psf"}))

    def provides(self) -> Provides:
        """Return the PSF of the result."""
        return Provides(frozenset({"psf"}))

    def _ask(self, frame: Any) -> Upsampling:
        return self.upsample(frame)

    def _apply(self, frame: Frame, answer: Upsampling) -> StageResult:
        data = np.asarray(answer.data, dtype=np.float32)
        factor = self._factor(frame, data.shape)
        flags = _finer(frame.flags, factor)
        before = float(np.nansum(frame.data, dtype=np.float64))
        uncertainty = None if answer.uncertainty is None else StdDevUncertainty(answer.uncertainty)
        result = type(frame)(
            data,
            unit=frame.unit,
            uncertainty=uncertainty,
            flags=flags,
            wcs=answer.wcs or _finer_wcs(frame.wcs, factor),
            meta=frame.meta,
            psf=answer.psf,
            sources=answer.sources,
            frame_id=frame.frame_id,
            history=frame.history,
            reject_bits=frame.reject_bits,
            filled=_finer(frame.filled, factor),
        )
        after = float(np.nansum(data, dtype=np.float64))
        metrics = {
            "factor": float(factor),
            "flux ratio": after / before if before else float("nan"),
            **answer.metrics,
        }
        products = dict(answer.products)
        if answer.support is not None:
            products["SUPPORT"] = answer.support
        return StageResult(result, products, metrics)

    def _factor(self, frame: Frame, shape: tuple[int, ...]) -> int:
        ny, nx = frame.shape
        factor = shape[0] // max(ny, 1) if len(shape) == 2 else 0  # noqa: PLR2004
        if factor < 1 or shape != (ny * factor, nx * factor):
            raise ContractError(
                f"the finer grid must be a whole multiple of {frame.shape}",
                where=f"{frame.frame_id}, stage '{self.name}'",
                received=shape,
                remedy="This is a fault of the plugin.",
            )
        return factor


def _finer(pixels: NDArray[Any], factor: int) -> NDArray[Any]:
    return np.repeat(np.repeat(pixels, factor, axis=0), factor, axis=1)


def _finer_wcs(wcs: WCS | None, factor: int) -> WCS | None:
    """Return the WCS of a grid whose pixels are smaller by ``factor``."""
    if wcs is None or factor == 1:
        return wcs
    if wcs.has_distortion:
        raise ContractError(
            "a WCS with distortions cannot be derived for the finer grid",
            remedy="The plugin must return the WCS itself.",
        )
    step = 1 / factor
    finer = wcs.deepcopy()
    finer.wcs.crpix = (wcs.wcs.crpix - 0.5) * factor + 0.5
    if finer.wcs.has_cd():
        finer.wcs.cd = wcs.wcs.cd * step
    else:
        finer.wcs.cdelt = wcs.wcs.cdelt * step
    finer.wcs.set()
    return finer
