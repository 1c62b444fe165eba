"""Call the hook of a plugin, and name what it does that no hook may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from astroclean.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FAULT", "call_hook"]

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
        if "read-only" not in str(error):
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
