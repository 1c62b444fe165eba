"""`peer-maximask`: the published MaxiMask (Paillassa, Bertin & Bouy 2020)."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.stage.kinds.mask import Masker
from astroclean.core.stage.options import StageOptions
from astroclean.core.stage.results import Mask
from astroclean.errors import StageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["MaxiMask", "MaxiMaskOptions"]

# Its classes 0 to 12 are the bits 0 to 12 of our planes; class 13 is the background.
_CLASSES = 14
_PLANES = tuple(plane for plane in MaskPlane if plane.bit < _CLASSES - 1)
_LEAST = 400


class MaxiMaskOptions(StageOptions):
    """Settings of :class:`MaxiMask`."""

    priors: Literal["default", "training"] = "default"
    """The command's own priors, or those of the training set (no change of probabilities)."""
    batch_size: Annotated[int, Field(ge=1, le=64)] = 8
    """Tiles at a time."""


class MaxiMask(Masker):
    """Flags all classes of MaxiMask at its own thresholds, as the command ``maximask`` does."""

    sets = MaskPlane.union(_PLANES)
    Options = MaxiMaskOptions

    def find(self, frame: Frame) -> Mask:
        """Return the contaminants and their probabilities.

        Raises
        ------
        StageError
            The frame is smaller than a tile.
        """
        if min(frame.shape) < _LEAST:
            raise StageError(
                f"MaxiMask takes frames of at least {_LEAST} pixels a side",
                where=f"{frame.frame_id}, stage '{self.name}'",
                received=str(frame.shape),
            )
        found = _probabilities(frame.data, self.options)
        flags = np.zeros(frame.shape, dtype=np.uint32)
        probabilities = {}
        thresholds = _configured("classes.thresh")
        for index, plane in enumerate(_PLANES):
            probability = np.ascontiguousarray(found[..., index])
            flags[probability > thresholds[index]] |= np.uint32(plane)
            probabilities[plane.alias] = probability
        return Mask(flags, probabilities)


def _probabilities(data: NDArray[np.float32], options: MaxiMaskOptions) -> NDArray[np.float32]:
    from maximask_and_maxitrack import utils  # noqa: PLC0415 - heavy
    from maximask_and_maxitrack.maximask.maximask import MaxiMask_inference  # noqa: PLC0415

    priors = _configured("classes.priors") if options.priors == "default" else None
    every = np.ones(_CLASSES, dtype=bool)
    upstream = MaxiMask_inference(None, None, every, priors, None, False, options.batch_size)
    normalized, _ = utils.image_norm(data.copy())
    found = np.zeros((*data.shape, _CLASSES), dtype=np.float32)
    upstream.process_image(normalized, found, _network())
    return found


@lru_cache(maxsize=1)
def _network() -> Any:
    import tensorflow as tf  # noqa: PLC0415 - heavy

    return tf.saved_model.load(str(_folder() / "model"))


@lru_cache(maxsize=2)
def _configured(name: str) -> NDArray[np.float32]:
    """Return the numbers, one a class, of a file of the command's configuration."""
    from maximask_and_maxitrack import utils  # noqa: PLC0415 - heavy

    path = str(_folder() / "config" / name)
    values: NDArray[np.float32] = utils.read_config_file(path, _CLASSES, logging, to_float=True)
    return values


def _folder() -> Path:
    from maximask_and_maxitrack import maximask  # noqa: PLC0415 - heavy

    return Path(maximask.__file__).parent
