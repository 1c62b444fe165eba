"""Calls in this process, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from astroclean.runner.executors.executor import called

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

__all__ = ["SerialExecutor"]


class SerialExecutor:
    """Calls in this process, one after the other; what kills one call kills them all."""

    workers = 1
    workers_of_host = 1

    def prepare(self) -> None:
        """Do nothing: this process has imported what the caller needs."""

    def map(
        self, function: Callable[[Any], Any], items: Sequence[Any]
    ) -> Generator[tuple[int, Any]]:
        """Yield (index of the item, result or exception)."""
        for index, item in enumerate(items):
            yield index, called(function, item)

    def close(self) -> None:
        """Hold nothing, hence do nothing."""
