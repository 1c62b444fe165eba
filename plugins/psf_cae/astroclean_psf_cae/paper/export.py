"""What a training of the variant `paper` leaves: ONNX file, card, example, channel settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astroclean.training.keras_shipping import PlanesCard, ship_network
from astroclean_psf_cae.paper.channels import CHANNELS
from astroclean_psf_cae.paper.network import MULTIPLE, OUTPUT, build_paper
from astroclean_psf_cae.paper.samples import FWHM
from astroclean_psf_cae.paper.weights import NAME, write_settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from astroclean_psf_cae.paper.channels import ChannelSettings

__all__ = ["HALO", "export_paper"]

HALO = 32
"""Reach of the convolutions, 29 pixels, as a multiple of 8."""
_BUILDER = "astroclean_psf_cae.paper.network:build_paper"


def export_paper(
    weights: Sequence[NDArray[np.float32]],
    example: NDArray[np.float32],
    settings: ChannelSettings,
    folder: Path,
) -> list[Path]:
    """Write the network of the paper with all that is needed to run it.

    Parameters
    ----------
    weights : sequence of array
        In the order of the variables of `build_paper`.
    example : (1, ny, nx, channels) float32
        Scaled channels of a stamp, whose answer is stored.
    settings : ChannelSettings
        How they were made.
    folder : Path
        Where.

    Returns
    -------
    list of Path
        ONNX file, example, card, settings.
    """
    count = len(settings.names)
    model = build_paper(count)
    model.set_weights(list(weights))
    card = PlanesCard(
        name=NAME,
        architecture=f"Convolutional autoencoder of {', '.join(settings.names)}, "
        "{millions:.2f} M parameters",
        paper="2310.19605",
        halo=HALO,
        multiple=MULTIPLE,
        answer=OUTPUT,
        channels=("image",),
        precision={"f32": (1e-4, 1e-3)},
        # Engines build an architecture without arguments: that of all three channels.
        builder=_BUILDER if count == len(CHANNELS) else None,
        fwhm=FWHM,
        description="one galaxy near the middle, S/N 3 to 500; Moffat PSFs; "
        "answers at 2 pixels FWHM",
    )
    return [*ship_network(model, example, folder, card), write_settings(settings, folder)]
