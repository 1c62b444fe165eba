"""What an executor is given: a function, and the run that it belongs to."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from astroclean.core.run_cache import begin_run
from astroclean.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["OfRun"]


@dataclass(frozen=True)
class OfRun:
    """A function as the calls of one run make it, on workers that may have served others."""

    run: str
    """Name of the run; no other has it."""
    function: Callable[[Any], Any]
    mark: Path | None = None
    """A file that the worker must see, where outputs go to a store; none otherwise."""

    def __call__(self, item: Any) -> Any:
        """Forget what was remembered for other runs, and call the function.

        Raises
        ------
        OutputError
            The worker does not share the folder in which outputs for a store are made.
        """
        begin_run(self.run)
        if self.mark is not None and not self.mark.exists():
            raise OutputError(
                f"a worker on {platform.node()} does not see the folder in which outputs for a "
                "store are made",
                where=str(self.mark.parent),
                remedy="Start the run with TMPDIR in a folder that all machines share, or write to "
                "such a folder with -o.",
            )
        return self.function(item)
