"""Simulated samples, made ahead by processes, kept on disk and drawn several times.

To simulate a sample takes longer than to learn from it. So each is drawn a few times, among many
others, while new ones take the places of the oldest.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future
    from pathlib import Path

    from numpy.typing import NDArray

    Sample = Mapping[str, NDArray[Any]]

__all__ = ["SampleStream", "StreamPlan", "StreamSettings", "fixed_samples", "stream_of"]

_INDICES = "indices"
_EMPTY = -1


@dataclass(frozen=True)
class StreamPlan:
    """Which samples a step may draw from; it depends on the step alone, not on the machine."""

    first: int
    """Samples before the first step."""
    fresh: float
    """New samples for each step."""
    keep: int
    """Samples that are drawn from, the newest ones; at least `first`."""

    def window(self, step: int) -> tuple[int, int]:
        """Return the first sample that a step may draw from, and the one after the last."""
        end = self.first + int(self.fresh * (step - 1))
        return max(0, end - self.keep), end


class SampleStream:
    """Draws samples for the steps of a training.

    Parameters
    ----------
    make : callable
        A function of the number of a sample that returns named arrays, always of the same shapes
        and types. It is sent to other processes.
    folder : Path
        For the arrays; made where it is missing. What an interrupted training left is used again.
    plan : StreamPlan
        Which samples are used when.
    workers : int
        Processes that make samples.
    """

    def __init__(
        self,
        make: Callable[[int], Sample],
        folder: Path,
        *,
        plan: StreamPlan,
        workers: int = 1,
    ) -> None:
        self._make = make
        self._plan = plan
        self._ahead = 4 * workers
        self._slots = max(plan.keep, plan.first) + self._ahead
        self._store = _Store(folder, self._slots)
        self._pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
        self._coming: dict[int, Future[Any]] = {}

    def draw(self, step: int, numbers: NDArray[np.float64]) -> list[Sample]:
        """Return samples for a step; waits until they are made.

        Parameters
        ----------
        step : int
            The first is 1.
        numbers : (n,) float64
            Chance, 0 to 1: which samples of the window.

        Returns
        -------
        list of mapping of str to array
            Views of the stored arrays; not to be written to.
        """
        low, high = self._plan.window(step)
        self._order(low, high + self._ahead)
        for index in [index for index in self._coming if index < high]:
            self._take(index)
        chosen = low + (numbers * (high - low)).astype(int)
        return [self._store.read(int(index)) for index in chosen]

    def _order(self, low: int, end: int) -> None:
        """Have every sample made that is, or soon will be, in the window."""
        for index in range(low, end):
            if index not in self._coming and not self._store.holds(index):
                self._coming[index] = self._pool.submit(self._make, index)
        # What has come leaves the memory of the pool.
        for index in [i for i, future in self._coming.items() if future.done()]:
            self._take(index)

    def _take(self, index: int) -> None:
        self._store.write(index, self._coming.pop(index).result())

    def close(self) -> None:
        """Stop the processes; what was made stays on disk."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class StreamSettings(Protocol):
    """What a recipe says of its stream of samples."""

    @property
    def first(self) -> int:
        """As `StreamPlan.first`."""

    @property
    def fresh(self) -> float:
        """As `StreamPlan.fresh`."""

    @property
    def keep(self) -> int:
        """As `StreamPlan.keep`."""

    @property
    def workers(self) -> int:
        """Processes that make samples."""


def stream_of(make: Callable[[int], Sample], folder: Path, recipe: StreamSettings) -> SampleStream:
    """Return the stream that a recipe asks for.

    Parameters
    ----------
    make, folder
        As for `SampleStream`.
    recipe : StreamSettings
        Of the training.
    """
    plan = StreamPlan(recipe.first, recipe.fresh, recipe.keep)
    return SampleStream(make, folder, plan=plan, workers=recipe.workers)


def fixed_samples(
    make: Callable[[int], Sample], folder: Path, *, count: int, workers: int = 1
) -> dict[str, NDArray[Any]]:
    """Return samples that stay the same for a whole training, such as those of its validation.

    Parameters
    ----------
    make : callable
        As for `SampleStream`.
    folder : Path
        For the arrays; what is there is used again.
    count : int
        Samples 0 to ``count - 1`` are made.
    workers : int
        Processes that make them.

    Returns
    -------
    dict of str to array
        The samples of each name, in a row.
    """
    stream = SampleStream(make, folder, plan=StreamPlan(count, 0.0, count), workers=workers)
    try:
        samples = stream.draw(1, (np.arange(count) + 0.5) / count)
        return {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}
    finally:
        stream.close()


class _Store:
    """A ring of samples in memory-mapped files, one for each name."""

    def __init__(self, folder: Path, slots: int) -> None:
        self._folder = folder
        self._slots = slots
        folder.mkdir(parents=True, exist_ok=True)
        self._arrays: dict[str, NDArray[Any]] = {}
        path = folder / f"{_INDICES}.npy"
        known = np.load(path, mmap_mode="r+") if path.is_file() else np.empty(0)
        if known.size != slots:
            known = np.lib.format.open_memmap(path, "w+", dtype=np.int64, shape=(slots,))
            known[:] = _EMPTY
        self._indices = known

    def holds(self, index: int) -> bool:
        return bool(self._indices[index % self._slots] == index)

    def write(self, index: int, sample: Sample) -> None:
        slot = index % self._slots
        # While a slot changes it holds no sample: an interruption leaves no mixture.
        self._indices[slot] = _EMPTY
        for name, array in sample.items():
            self._array(name, array)[slot] = array
        self._indices[slot] = index

    def read(self, index: int) -> Sample:
        for path in self._folder.glob("*.npy"):
            if path.stem not in {*self._arrays, _INDICES}:
                self._arrays[path.stem] = np.load(path, mmap_mode="r+")
        slot = index % self._slots
        return {name: array[slot] for name, array in self._arrays.items()}

    def _array(self, name: str, like: NDArray[Any]) -> NDArray[Any]:
        if name not in self._arrays:
            path, shape = self._folder / f"{name}.npy", (self._slots, *like.shape)
            kept = np.load(path, mmap_mode="r+") if path.is_file() else None
            if kept is None or kept.shape != shape or kept.dtype != like.dtype:
                kept = np.lib.format.open_memmap(path, "w+", dtype=like.dtype, shape=shape)
            self._arrays[name] = kept
        return self._arrays[name]
