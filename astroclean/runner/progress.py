"""How far a run has come, as one line on the standard error: for runs from Python."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

from astroclean.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["told_progress"]


@contextlib.contextmanager
def told_progress(
    progress: bool | Callable[[int, int], None],
) -> Iterator[Callable[[int, int], None] | None]:
    """Yield what a runner calls with (finished, total) inputs.

    Parameters
    ----------
    progress : bool or callable
        True: a line that is written again and again, also where there is no terminal, such as in
        a notebook. False: nothing. Or the function itself.
    """
    if not (isinstance(progress, bool) or progress is None or callable(progress)):
        raise ConfigurationError(
            f"progress is True, False or a function of (finished, total) (got {progress!r})"
        )
    if progress is not True:
        yield progress or None
        return
    begun, stream = time.monotonic(), sys.stderr

    def tell(done: int, total: int) -> None:
        seconds = time.monotonic() - begun
        stream.write(f"\r{done:,} of {total:,} files, {seconds:.0f} s")
        stream.flush()

    try:
        yield tell
    finally:
        stream.write("\n")
        stream.flush()
