"""Let a step end before an interruption is heeded: half a step is no state to go on from."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["Interrupts", "deferred_interrupts"]


class Interrupts:
    """Whether the user, or a batch system, asked to stop."""

    def __init__(self) -> None:
        self.asked = False

    def heed(self) -> None:
        """Raise `KeyboardInterrupt` if it was asked for."""
        if self.asked:
            raise KeyboardInterrupt

    def note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a handler
        """Take note of a signal; a second one stops at once."""
        self.heed()
        self.asked = True


@contextlib.contextmanager
def deferred_interrupts() -> Iterator[Interrupts]:
    """Note SIGINT and SIGTERM (which ends a job of a batch system) instead of stopping at once.

    Yields
    ------
    Interrupts
        To be heeded between steps. Outside the main thread, where Python delivers no signals, it
        stays silent.
    """
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, interrupts.note) for number in numbers]
    try:
        yield interrupts
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
