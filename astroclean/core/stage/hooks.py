"""Call the hook of a plugin, and name what it does that no hook may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.flags.planes import MaskPlane, count_planes
from astroclean.errors import AstrocleanError, ContractError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

__all__ = ["FAULT", "call_hook", "refuse_booleans", "refuse_undeclared"]

_READ_ONLY = ("read-only", "cannot set WRITEABLE flag")
"""What numpy says where an array is written to that may not be, or made writable."""
FAULT = "This is a fault of the plugin."


def call_hook(ask: Callable[[Any], Any], given: Any, *, where: str) -> Any:
    """Return what a hook answers.

    Parameters
    ----------
    ask : callable
        The hook.
    given : Frame or FrameSet
        With arrays that cannot be written to.
    where : str
        Frame and stage, for messages.

    Raises
    ------
    ContractError
        The plugin wrote to its input, or names what an answer no longer has.
    """
    try:
        return ask(given)
    except ValueError as error:
        if not any(words in str(error) for words in _READ_ONLY):
            raise
        raise ContractError(
            "the plugin writes to the arrays of the frame, which are shared",
            where=where,
            received=str(error),
            remedy=f"{FAULT} It must work on a copy.",
        ) from error
    except TypeError as error:
        if "argument 'products'" not in str(error):
            raise
        raise ContractError(
            "the images of an answer are `layers` now, which the stage declares in `layers()`",
            where=where,
            received="products",
            remedy=FAULT,
        ) from error
    except AstrocleanError as error:
        raise error.at(where) from error.__cause__
    except Exception as error:
        error.add_note(f"{where}: raised by the plugin")
        raise


def refuse_undeclared(flags: NDArray[np.uint32], sets: MaskPlane, *, kind: str, where: str) -> None:
    """Raise where flags that a hook adds are not among the planes that its stage declares.

    Parameters
    ----------
    flags : (ny, nx) uint32
        Bits to add.
    sets : MaskPlane
        What the stage declares.
    kind, where : str
        Kind of the stage; frame and stage, for the message.

    Raises
    ------
    ContractError
        There are others.
    """
    undeclared = flags & ~np.uint32(sets)
    if undeclared.any():
        raise ContractError(
            f"a {kind} stage may only set the planes that it declares in `sets`",
            where=where,
            received=", ".join(count_planes(undeclared)) or "reserved bits",
            remedy=FAULT,
        )


def refuse_booleans(metrics: Mapping[str, Any], where: str) -> None:
    """Raise where a metric is true or false: it counts nothing, and a report would tell 1.

    Raises
    ------
    ContractError
        One is.
    """
    wrong = [name for name, value in metrics.items() if isinstance(value, (bool, np.bool_))]
    if wrong:
        raise ContractError(
            "metrics are numbers, and none is true or false",
            where=where,
            received=", ".join(f"{name} = {metrics[name]}" for name in wrong),
            remedy=FAULT,
        )
