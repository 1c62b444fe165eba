"""How much of a frame a stage must see, and what it must know of the whole: scope and survey."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.stage.hooks import FAULT
from astroclean.core.stage.lengths import at_scale
from astroclean.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import ArrayLike, NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.psf.psf import Psf
    from astroclean.core.stage.stage import Stage

__all__ = [
    "WHOLE",
    "Chunk",
    "Scope",
    "Survey",
    "chunk_of",
    "is_own",
    "measure",
    "rows_of",
    "scope_of",
]

_DIGITS = 6
"""Of a row, after the point: the half between two rows comes out otherwise in its last digits
where it is counted from another row."""


@dataclass(frozen=True, eq=False)
class Chunk:
    """Where a frame lies in the larger one of which it is processed at once."""

    origin: tuple[int, int]
    """(y, x) of its first pixel."""
    shape: tuple[int, int]
    """(ny, nx) of the larger frame."""
    measured: Mapping[str, Any] = field(default_factory=dict)
    """Name of a stage to what its survey found on the larger frame."""
    own: slice = field(default_factory=lambda: slice(None))
    """Rows of the frame that are wanted; the others are there for their influence."""
    sky: tuple[float, float] | None = None
    """Level and noise of the larger frame before the first stage, where they were measured."""

    def of_whole(self, psf: Psf | None) -> Psf | None:
        """Return a PSF of the chunk as that of the larger frame: its positions are other pixels."""
        y, x = self.origin
        return psf if psf is None or self.origin == (0, 0) else psf.seen_from(-x, -y)


def chunk_of(frame: Frame) -> Chunk:
    """Return where a frame lies in the larger one; a frame that was not cut is its own."""
    return Chunk((0, 0), frame.shape) if frame.chunk is None else frame.chunk


def rows_of(frame: Frame, y: ArrayLike) -> NDArray[np.float64]:
    """Return the rows of the larger frame in which places of a chunk lie, whole numbers.

    Parameters
    ----------
    frame : Frame
        The chunk.
    y : (n,) array_like
        Finite, in pixels of the chunk, of which row 0 reaches from -0.5 to 0.5.
    """
    rows: NDArray[np.float64] = np.rint(
        np.round(np.asarray(y, dtype=float) + chunk_of(frame).origin[0], _DIGITS)
    )
    return rows


def is_own(frame: Frame, y: ArrayLike) -> NDArray[np.bool_]:
    """Return which places lie in the own rows of a chunk; each is of one chunk of a frame alone.

    Parameters
    ----------
    frame, y
        As for :func:`rows_of`. What lies beyond the larger frame is of its first or last chunk.
    """
    chunk, rows = chunk_of(frame), rows_of(frame, y)
    own = range(frame.shape[0])[chunk.own]
    begins, ends = (chunk.origin[0] + row for row in (own.start, own.stop))
    is_first, is_last = begins == 0, ends == chunk.shape[0]
    inside: NDArray[np.bool_] = ((rows >= begins) | is_first) & ((rows < ends) | is_last)
    return inside


class Survey(ABC):
    """Measures a whole frame from its rows, in order, a band at a time.

    What it finds must not depend on how the rows were shared among bands: that is what makes a
    frame in windows equal, to the bit, the frame in one piece.
    """

    @abstractmethod
    def add(self, frame: Frame, rows: slice) -> None:
        """Take the next rows.

        Parameters
        ----------
        frame : Frame
            A band, with the rows around it that the stage's ``halo`` asks for. Not modified, and
            not kept.
        rows : slice
            The rows of ``frame`` that are new; each row of the whole frame is new once.
        """

    @abstractmethod
    def finish(self) -> Any:
        """Return what was found; another :class:`Survey` where a further pass is needed."""


@dataclass(frozen=True, eq=False)
class Scope:
    """How much of a frame a stage must see to answer for a pixel."""

    halo: int | None = None
    """Rows above and below a pixel that influence it; None: the whole frame."""
    step: int = 1
    """Chunks begin at multiples of so many rows, as tiles do."""
    survey: Survey | None = None
    """New and empty, where the hook asks for what was `Stage.measured` on the whole frame. What it
    finds is no obstacle to a ``halo`` in pixels."""


WHOLE = Scope()
"""Of a stage that must see the whole frame."""


def scope_of(stage: Stage, frame: Frame) -> Scope:
    """Return how much of a frame a stage must see, checked.

    Parameters
    ----------
    stage : Stage
        Its ``scope`` is called.
    frame : Frame
        A frame, or a single pixel of one.

    Returns
    -------
    Scope
        With whole numbers of rows.

    Raises
    ------
    ContractError
        It is no `Scope`, or holds what cannot be rows or a survey.
    """
    scope = at_scale(stage, [frame]).scope(frame)
    problem = _problem_of(scope)
    if problem is not None:
        raise ContractError(
            problem[0],
            where=stage.where(frame),
            received=problem[1],
            remedy=FAULT,
        )
    return scope


def _problem_of(scope: Any) -> tuple[str, str] | None:
    """Return what is wrong with the answer of ``scope``, and what was received."""
    if not isinstance(scope, Scope):
        return "`scope` must return a Scope", type(scope).__name__
    for name, least in (("halo", 0), ("step", 1)):
        rows = getattr(scope, name)
        is_whole = isinstance(rows, Integral) and not isinstance(rows, bool)
        if not (is_whole and rows >= least) and not (name == "halo" and rows is None):
            return f"'{name}' of a scope must be rows, {least} or more", repr(rows)
    survey: Any = scope.survey
    if not (survey is None or isinstance(survey, Survey)):
        return "'survey' of a scope must be a Survey", type(survey).__name__
    return None


def measure(survey: Survey, bands: Callable[[], Iterable[tuple[Frame, slice]]]) -> Any:
    """Return what a survey finds.

    Parameters
    ----------
    survey : Survey
        New; it is used up.
    bands : callable
        Gives the bands of the frame from the first row to the last, anew for each pass, as (frame,
        rows that are new).

    Returns
    -------
    Any
        What the last survey of the chain gives.
    """
    found: Any = survey
    while isinstance(found, Survey):
        for frame, rows in bands():
            found.add(frame, rows)
            del frame  # before the next is read
        found = found.finish()
    return found
