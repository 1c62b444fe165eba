"""What stpipe asks for its list of steps; nothing is imported for it."""

from __future__ import annotations

__all__ = ["get_steps"]


def get_steps() -> list[tuple[str, str, bool]]:
    """Return the steps of this package, as the entry points ``stpipe.steps`` have them.

    Returns
    -------
    list of (str, str, bool)
        Name of the class, its alias, and whether it is a pipeline.
    """
    return [("astroclean_stpipe.step.AstrocleanStep", "astroclean", False)]
