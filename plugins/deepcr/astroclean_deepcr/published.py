"""`astroclean weights import deepcr`: the authors' weights, from their installed package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from astroclean.errors import PluginError
from astroclean.inference.cards.weights import need_once, published_folder
from astroclean_deepcr.network import write_network

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["NETWORKS", "import_published", "published_state"]

NETWORKS = {"acs-wfc": "ACS-WFC", "wfc3-uvis": "WFC3-UVIS", "decam": "decam"}
"""Our name of the weights to the authors'."""
_DISTRIBUTION, _VERSION = "deepCR", "0.3.1"


def import_published(folder: Path) -> Sequence[Path]:
    """Write the published networks for masks as ONNX.

    Parameters
    ----------
    folder : Path
        Where.

    Returns
    -------
    sequence of Path
        ``deepcr-acs-wfc.onnx``, ``deepcr-wfc3-uvis.onnx`` and ``deepcr-decam.onnx``.

    Raises
    ------
    PluginError
        deepCR 0.3.1, PyTorch or onnx is not installed, or a file is not what it should be.
    """
    paths = []
    for name in NETWORKS:
        path = folder / f"deepcr-{name}.onnx"
        write_network(published_state(name), path)
        paths.append(path)
    return paths


def published_state(name: str) -> dict[str, NDArray[Any]]:
    """Return the parameters of a published network by PyTorch's names.

    No code of the package is run, and none that could be in the file: PyTorch reads arrays alone.

    Parameters
    ----------
    name : str
        One of :data:`NETWORKS`.

    Raises
    ------
    PluginError
        As in :func:`import_published`.
    """
    package = (_DISTRIBUTION, _VERSION)
    folder = published_folder(package, "learned_models/mask", importer="deepcr")
    remedy = "`pip install 'astroclean-deepcr[import]'`."
    need_once(("torch", "onnx"), importer="deepcr", remedy=remedy)
    path = folder / f"{NETWORKS[name]}.pth"
    import torch  # noqa: PLC0415 - only here

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what torch raises for a damaged file has no class of its own
        raise PluginError(f"cannot be read: {error}", where=str(path)) from error
    return {key: tensor.numpy() for key, tensor in state.items()}
