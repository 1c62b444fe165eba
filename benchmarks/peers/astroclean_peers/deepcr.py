"""`peer-deepcr`: the published networks of deepCR (Zhang & Bloom 2020)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.stage.kinds.mask import Masker
from astroclean.core.stage.options import StageOptions
from astroclean_peers.pixels import cosmic_ray_mask, in_electrons

if TYPE_CHECKING:
    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.results import Mask

__all__ = ["DeepCR", "DeepCROptions"]


class DeepCROptions(StageOptions):
    """Settings of :class:`DeepCR`."""

    model: Literal["ACS-WFC", "WFC3-UVIS", "decam"] = "ACS-WFC"
    """Which of the published networks."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Probability above which a pixel is flagged; the authors advise 0.5 for ACS-WFC, 0.1 to 0.2
    for WFC3-UVIS."""
    sky: Literal["keep", "subtract"] = "keep"
    """Whether the median of the frame is taken off; the networks were made for frames with sky."""


class DeepCR(Masker):
    """Flags COSMIC_RAY; calls deepCR as its documentation does, in patches of 1024 pixels."""

    sets = MaskPlane.COSMIC_RAY
    Options = DeepCROptions

    def find(self, frame: Frame) -> Mask:
        """Return the cosmic rays and their probability."""
        options = self.options
        electrons = in_electrons(frame, stage=self.name)
        if options.sky == "subtract":
            electrons -= np.median(electrons)
        found = _network(options.model).clean(electrons, inpaint=False, binary=False)
        return cosmic_ray_mask(found.astype(np.float32), options.threshold)


@lru_cache(maxsize=1)
def _network(model: str) -> Any:
    from deepCR import deepCR  # noqa: PLC0415 - heavy

    return deepCR(mask=model, device="CPU")
