"""TERM and HUP end a run like Ctrl-C: what is finished is told, and nothing is left behind."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Ended", "ends_like_interrupt"]

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Ended(KeyboardInterrupt):
    """The run was asked to end."""


@contextlib.contextmanager
def ends_like_interrupt() -> Iterator[None]:
    """Raise :class:`Ended` on TERM and HUP while the context lasts.

    A handler of the calling program stays, and so does a signal that it ignores (``nohup``). Only
    the main thread can have handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [number for number in _SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _end(number: int, _: object) -> NoReturn:
    # Whoever asks twice would stop the clearing away.
    signal.signal(number, signal.SIG_IGN)
    raise Ended(signal.Signals(number).name)
