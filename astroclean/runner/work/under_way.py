"""How far frames in chunks have come, told through the scratch folder of the run.

A worker has no other way to tell anything before its call ends, wherever it is.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

__all__ = ["UnderWay", "Watch", "all_under_way"]

_SUFFIX = ".under_way"
_LARGEST = 1 << 16  # bytes
Item = TypeVar("Item")


@dataclass(frozen=True)
class UnderWay:
    """Which chunk of a frame is worked on."""

    input: str
    doing: str
    """Names of the stages, or what is surveyed for which."""
    chunk: int
    """From 1."""
    chunks: int

    def __str__(self) -> str:
        return f"{self.input}: {self.doing}, chunk {self.chunk} of {self.chunks}"


@dataclass(frozen=True)
class Watch:
    """Tells how far one frame has come.

    Parameters
    ----------
    input : str
        Its file.
    folder : Path
        Of this frame on scratch disk: what is told lies beside it.
    """

    input: str
    folder: Path

    def through(self, chunks: Iterable[Item], doing: str) -> Generator[Item]:
        """Yield chunks, and tell which one is worked on where there are several."""
        every = list(chunks)
        yield from self.beside(every, doing, len(every))

    def beside(self, items: Iterable[Item], doing: str, count: int) -> Generator[Item]:
        """Yield items of which there are so many, as they come, and tell how many have come."""
        if count == 1:
            yield from items
            return
        try:
            for number, item in enumerate(items, 1):
                self.tell(doing, number, count)
                yield item
        finally:
            self.end()

    def tell(self, doing: str, chunk: int, chunks: int) -> None:
        """Tell which chunk is worked on; no file fails because that cannot be told."""
        text = json.dumps(asdict(UnderWay(self.input, doing, chunk, chunks)))
        unfinished = self._path.with_suffix(".telling")
        with contextlib.suppress(OSError, UnicodeError):
            unfinished.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_text(text, "utf-8")
            unfinished.replace(self._path)

    def end(self) -> None:
        """Tell nothing any more."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    @property
    def _path(self) -> Path:
        return self.folder.with_suffix(_SUFFIX)


def all_under_way(scratch: Path) -> list[UnderWay]:
    """Return what is told of frames now.

    Parameters
    ----------
    scratch : Path
        Scratch folder of the run; it need not be there.
    """
    found = []
    # Bands that are taken apart have folders of their own.
    for path in sorted([*scratch.glob(f"*{_SUFFIX}"), *scratch.glob(f"*/*{_SUFFIX}")]):
        # It may have gone by now.
        with contextlib.suppress(OSError, ValueError, TypeError), path.open("rb") as stream:
            found.append(UnderWay(**json.loads(stream.read(_LARGEST))))
    return found
