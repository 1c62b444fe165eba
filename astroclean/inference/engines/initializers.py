"""Parameters out of an ONNX file, matched to an architecture by name and shape."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.errors import PluginError
from astroclean.inference.cards.card import foreign_code
from astroclean.inference.engines.engine import EngineError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from astroclean.inference.cards.card import NetworkCard

__all__ = ["build_network", "match_parameters", "read_initializers"]

_KERNEL_AXES = 2
_SHOWN = 6


def read_initializers(path: Path) -> dict[str, NDArray[Any]]:
    """Return the initializers of an ONNX file.

    Parameters
    ----------
    path : Path
        ONNX file, parameters inside.

    Returns
    -------
    dict of str to array
        Name to values as stored; float16 becomes float32.

    Raises
    ------
    EngineError
        Not an ONNX file.
    """
    import onnx  # noqa: PLC0415 - only the engines that train need it

    try:
        graph = onnx.load(str(path)).graph
    except Exception as error:  # protobuf's exceptions differ between its implementations
        raise EngineError(f"cannot load {path.name}: {error}") from error
    arrays = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
    return {
        name: array.astype(np.float32) if array.dtype == np.float16 else array
        for name, array in arrays.items()
    }


def match_parameters(
    wanted: Mapping[str, tuple[int, ...]],
    found: Mapping[str, NDArray[Any]],
    *,
    constants: Collection[str] = (),
) -> dict[str, NDArray[Any]]:
    """Return an initializer for every parameter.

    Parameters
    ----------
    wanted : mapping of str to tuple of int
        Name and shape of each parameter of the architecture.
    found : mapping of str to array
        Initializers.
    constants : collection of str
        Initializers with two or more axes that are no parameters.

    Returns
    -------
    dict of str to array
        One for each name in ``wanted``.

    Raises
    ------
    EngineError
        A parameter has no initializer or one of another shape, or an initializer with two or more
        axes belongs to no parameter: the architecture is not the one of the weights. (With fewer
        axes it may be a constant of the graph, such as the factors of a resize.)
    """
    problems = [f"'{name}' is missing" for name in wanted if name not in found]
    problems += [
        f"'{name}' must be {tuple(shape)}, the file has {found[name].shape}"
        for name, shape in wanted.items()
        if name in found and found[name].shape != tuple(shape)
    ]
    problems += [
        f"'{name}' {array.shape} belongs to no parameter"
        for name, array in found.items()
        if name not in wanted
        and name not in constants
        and array.ndim >= _KERNEL_AXES
        and array.dtype.kind == "f"
    ]
    if problems:
        more = len(problems) - _SHOWN
        told = "; ".join(problems[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
        raise EngineError(f"the architecture is not that of the weights: {told}")
    return {name: found[name] for name in wanted}


def build_network(card: NetworkCard, target: str) -> Any:
    """Call a plugin's builder.

    Parameters
    ----------
    card : NetworkCard
        The card that names it, of an installed plugin.
    target : str
        ``module:function``, without arguments.

    Returns
    -------
    object
        The network.

    Raises
    ------
    EngineError
        The card is not that of an installed plugin; the function cannot be imported or fails.
    """
    why = foreign_code(card, target)
    if why is not None:
        raise EngineError(f"builder {target} is not called: {why}")
    module, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)()
    except PluginError:
        raise
    except Exception as error:  # a plugin may raise anything
        raise EngineError(f"builder {target} failed: {type(error).__name__}: {error}") from error
