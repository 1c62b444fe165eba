"""What a training leaves: network, card, an input with its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.training.keras_shipping import PlanesCard, ship_network
from astroclean_pais.network.finder import HEADS, build_finder
from astroclean_pais.network.profile import build_profile
from astroclean_pais.profiles import OUTPUTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["FINDER", "PROFILE", "export_finder", "export_profile"]

FINDER, PROFILE = "pais-astroclean", "pais-astroclean-profile"
_SIDE = 64
_FWHM = (1.5, 7.0)
_DESCRIPTION = "crowded fields of galaxies and stars: 25 to 500 sources in 256 x 256 pixels"
_FINDER_CARD = PlanesCard(
    name=FINDER,
    architecture="U-Net, five resolutions, {millions:.2g} M parameters",
    halo=64,
    multiple=16,
    batches=((1, 768, 768),),
    answer="maps",
    channels=HEADS,
    builder="astroclean_pais.network.finder:build_finder",
    fwhm=_FWHM,
    description=_DESCRIPTION,
)
_PROFILE_CARD = PlanesCard(
    name=PROFILE,
    architecture="U-Net on stamps, three resolutions, {millions:.2g} M parameters",
    halo=32,
    multiple=4,
    batches=((32, 32, 32), (32, 64, 64), (4, 128, 128)),
    answer="profile",
    channels=OUTPUTS,
    builder="astroclean_pais.network.profile:build_profile",
    fwhm=_FWHM,
    description=_DESCRIPTION,
)


def export_finder(
    weights: Sequence[NDArray[Any]], samples: Mapping[str, NDArray[Any]], folder: Path
) -> list[Path]:
    """Write the finder as it is shipped.

    Parameters
    ----------
    weights : sequence of array
        In the order of the variables of `build_finder`.
    samples : mapping of str to array
        Of a validation; the first is the example.
    folder : Path
        Where.

    Returns
    -------
    list of Path
        ONNX file, example, card.
    """
    model = build_finder()
    model.set_weights(list(weights))
    planes = samples["planes"][0][:, :_SIDE, :_SIDE].astype(np.float32)
    return ship_network(model, np.moveaxis(planes, 0, -1)[np.newaxis], folder, _FINDER_CARD)


def export_profile(
    weights: Sequence[NDArray[Any]], samples: Mapping[str, NDArray[Any]], folder: Path
) -> list[Path]:
    """Write the profile network as it is shipped; arguments as of `export_finder`."""
    model = build_profile()
    model.set_weights(list(weights))
    stamp = samples["inputs"][0][0].astype(np.float32)
    return ship_network(model, np.moveaxis(stamp, 0, -1)[np.newaxis], folder, _PROFILE_CARD)
