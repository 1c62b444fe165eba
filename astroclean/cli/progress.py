"""Progress of a run on the standard error: a bar on a terminal, now and then a line in a log."""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TextIO

__all__ = ["shown_progress"]

_LOOK = 1.0  # seconds between two looks at frames in chunks, on a terminal
_LINE = 60.0  # seconds between two lines in a log
_BELOW = "\n\x1b[2K{}\x1b[1A\r"
"""Writes below the bar, and goes back to it."""


@contextlib.contextmanager
def shown_progress(
    look: Callable[[], Sequence[object]], *, quiet: bool, every: float | None = None
) -> Iterator[Callable[[int, int], None] | None]:
    """Yield what draws how many files are done; show how far frames in chunks have come.

    Parameters
    ----------
    look : callable
        Gives what is told of frames in chunks now.
    quiet : bool
        Whether to show nothing.
    every : float, optional
        Seconds between two looks.
    """
    if quiet:
        yield None
        return
    shown = _OnTerminal() if sys.stderr.isatty() else _InLog()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(every or shown.every):
            shown.tell([str(one) for one in look()])

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield shown.draw
    finally:
        ended.set()
        thread.join()
        shown.end()


class _InLog:
    """Lines of what takes long; none of files, which are told when the run ends."""

    every = _LINE
    draw: Callable[[int, int], None] | None = None

    def tell(self, lines: Sequence[str]) -> None:
        """Print where frames in chunks are."""
        for line in lines:
            print(line, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave what was printed."""


class _OnTerminal(_InLog):
    """A bar of files, with a line below it."""

    every = _LOOK

    def __init__(self) -> None:
        self._file: TextIO = sys.stderr
        self._bar: Any = None
        self._told = ""
        self._lock = threading.Lock()
        self.draw = self._draw

    def _draw(self, done: int, total: int) -> None:
        from astropy.utils.console import ProgressBar  # noqa: PLC0415 - on a terminal only

        with self._lock:
            if self._bar is None and total:
                self._bar = ProgressBar(total, file=self._file)
            if self._bar is not None:
                self._bar.update(done)

    def tell(self, lines: Sequence[str]) -> None:
        """Write where the first of the frames in chunks is, and how many others there are."""
        more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        text = f"{lines[0]}{more}" if lines else ""
        with self._lock:
            if text != self._told:
                width = shutil.get_terminal_size().columns - 1
                self._file.write(_BELOW.format(text[:width]))
                self._file.flush()
                self._told = text

    def end(self) -> None:
        """Clear what is below the bar, and go there."""
        self.tell([])
        if self._bar is not None:
            print(file=self._file)
