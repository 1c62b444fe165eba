"""`peer-cosmic-conn`: the published networks of Cosmic-CoNN (Xu et al. 2023)."""

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

__all__ = ["CosmicConn", "CosmicConnOptions"]


class CosmicConnOptions(StageOptions):
    """Settings of :class:`CosmicConn`."""

    model: Literal["ground_imaging", "HST_ACS_WFC", "NRES"] = "ground_imaging"
    """Which of the published networks."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Probability above which a pixel is flagged."""


class CosmicConn(Masker):
    """Flags COSMIC_RAY; calls Cosmic-CoNN as its documentation does, in patches of 1024 pixels."""

    sets = MaskPlane.COSMIC_RAY
    Options = CosmicConnOptions

    def find(self, frame: Frame) -> Mask:
        """Return the cosmic rays and their probability."""
        electrons = in_electrons(frame, stage=self.name)
        found = _network(self.options.model).detect_cr(electrons)
        return cosmic_ray_mask(found.astype(np.float32), self.options.threshold)


@lru_cache(maxsize=1)
def _network(model: str) -> Any:
    from cosmic_conn import init_model  # noqa: PLC0415 - heavy

    return init_model(model)
