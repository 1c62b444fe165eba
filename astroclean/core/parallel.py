"""The same work on many parts, in threads: numpy and engines let go of Python as they compute."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["in_threads"]

Part = TypeVar("Part")
Result = TypeVar("Result")


def in_threads(work: Callable[[Part], Result], parts: Iterable[Part], threads: int) -> list[Result]:
    """Do the same work on each part.

    Parameters
    ----------
    work : callable
        May be called from several threads at once.
    parts : iterable
        What it is called with.
    threads : int
        How many at a time; with 1 no thread is begun.

    Returns
    -------
    list
        What it returned, in the order of the parts.

    Raises
    ------
    Exception
        What the work raised for the first part that failed; parts not begun are left.
    """
    if threads <= 1:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(work, part) for part in parts]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
