"""What a training leaves: network, card, an input with its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.training.keras_shipping import PlanesCard, ship_network
from astroclean_psf_cae.channels import ANSWERS
from astroclean_psf_cae.network.residual import build_residual

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["NAME", "export_residual"]

NAME = "psf-cae-astroclean"
_CARD = PlanesCard(
    name=NAME,
    architecture="U-Net, four resolutions, {millions:.2g} M parameters",
    halo=32,
    multiple=8,
    batches=((16, 64, 64), (1, 320, 320)),
    answer="answer",
    channels=ANSWERS,
    precision={"f32": (2e-3, 2e-3), "bf16": (0.5, 0.05)},
    builder="astroclean_psf_cae.network.residual:build_residual",
    fwhm=(2.2, 9.0),
    description="galaxies and stars of S/N 3 to 500 under PSFs of ellipticities up to 0.2",
)


def export_residual(
    weights: Sequence[NDArray[Any]], samples: Mapping[str, NDArray[Any]], folder: Path
) -> list[Path]:
    """Write the network as it is shipped.

    Parameters
    ----------
    weights : sequence of array
        In the order of the variables of `build_residual`.
    samples : mapping of str to array
        Of a validation; its first stamp is the example.
    folder : Path
        Where.

    Returns
    -------
    list of Path
        ONNX file, example, card.
    """
    model = build_residual()
    model.set_weights(list(weights))
    planes = samples["planes"][0][0].astype(np.float32)
    return ship_network(model, np.moveaxis(planes, 0, -1)[np.newaxis], folder, _CARD)
