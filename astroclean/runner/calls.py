"""What an executor is given: a function, and the run that it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from astroclean.core.run_cache import begin_run

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["OfRun"]


@dataclass(frozen=True)
class OfRun:
    """A function as the calls of one run make it, on workers that may have served others."""

    run: str
    """Name of the run; no other has it."""
    function: Callable[[Any], Any]

    def __call__(self, item: Any) -> Any:
        """Forget what was remembered for other runs, and call the function."""
        begin_run(self.run)
        return self.function(item)
