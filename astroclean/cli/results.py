"""What a verb gives as JSON comes alone on stdout, whatever plugins and libraries print there."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["print_result", "results_alone"]

_kept: list[str] | None = None
"""Results that wait for stdout; None where nothing is kept from it."""


def print_result(text: str) -> None:
    """Print a result on stdout: at once, or alone at the end of :func:`results_alone`."""
    if _kept is None:
        print(text)
    else:
        _kept.append(text)


@contextlib.contextmanager
def results_alone() -> Iterator[None]:
    """Keep stdout for results: all else that is printed while it lasts goes to stderr.

    So does what libraries in C and worker processes write to the descriptor of stdout.
    """
    global _kept
    before, _kept = _kept, []
    try:
        with _descriptor_to_stderr(), contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        results, _kept = _kept, before
        for text in results:
            print_result(text)


@contextlib.contextmanager
def _descriptor_to_stderr() -> Iterator[None]:
    """Point the descriptor of stdout to stderr, where both are files of the system."""
    try:
        out, err = sys.stdout.fileno(), sys.stderr.fileno()
        sys.stdout.flush()
        kept = os.dup(out)
    except (AttributeError, OSError, ValueError):  # a notebook, a test: Python's own streams
        yield
        return
    try:
        os.dup2(err, out)
        yield
    finally:
        _flush_libraries()
        os.dup2(kept, out)
        os.close(kept)


def _flush_libraries() -> None:
    """Write what C has buffered of stdout while that still is stderr."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).fflush(None)
