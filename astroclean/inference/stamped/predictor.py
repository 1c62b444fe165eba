"""`StampPredictor`: one network on the sources of a frame, each in a stamp of its own."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.stage.scope import chunk_of
from astroclean.errors import AstrocleanWarning, ContractError, SuspectWarning
from astroclean.inference.cards.domain import check_unit
from astroclean.inference.cards.stamp_card import planes_given
from astroclean.inference.engines.engine import EngineError
from astroclean.inference.stamped.runner import StampRunner
from astroclean.inference.stamped.views import SourceStamps
from astroclean.inference.tiles.predictor import valid_pixels
from astroclean.tiling.stamps import stamp_boxes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.inference.cards.card import NetworkCard
    from astroclean.inference.engines.engine import Engine
    from astroclean.inference.stamped.runner import Answer, StampView
    from astroclean.inference.stamped.views import Given, SourceBox

    Keep = Callable[[SourceBox, StampView, Answer], Any]

__all__ = ["StampAnswers", "StampPredictor"]

_FEW = 5


@dataclass(frozen=True, eq=False)
class StampAnswers:
    """What a network answered for the sources of a frame, in their order."""

    boxes: tuple[SourceBox, ...]
    """Where the stamps lie, in pixels of the frame."""
    kept: Sequence[Any]
    """What was kept of each; the outputs by name where nothing else was asked for. None where the
    network was not asked."""
    scales: NDArray[np.float64]
    """(n,): what each was divided by, in the unit of the frame; NaN where the normalization of the
    card measures it, and where the network was not asked."""
    asked: NDArray[np.bool_]
    """(n,): False where a stamp touches no row that is wanted of a chunk of a frame, lies beyond
    what is there, or shows too little of its source."""
    _shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def stacked(self, name: str) -> NDArray[np.float32]:
        """Return one output for all sources, where all outputs were kept.

        Parameters
        ----------
        name : str
            Of the output.

        Returns
        -------
        (n, channels, side * scale, side * scale) float32
            A new array; NaN where the network was not asked.
        """
        stack = np.full((len(self.boxes), *self._shapes[name]), np.nan, dtype=np.float32)
        for index in np.flatnonzero(self.asked).tolist():
            stack[index] = self.kept[index][name]
        return stack


class StampPredictor:
    """Applies one network to stamps around sources: cut, scale, infer, undo.

    The answer for a source is the same to the bit whichever others there are, in whatever order,
    and whether the frame is whole or a chunk of a larger one. Of a chunk, the network is asked
    about all stamps that touch the rows that are wanted of it, so that they can be put back; with
    :attr:`halo` rows more the chunk holds all of them.

    Parameters
    ----------
    card : NetworkCard
        The network; it has a table ``stamp``.
    engine : Engine
        Its weights, opened.
    batch : int, optional
        Stamps given to the engine together; by default as the card says. It changes the speed, and
        the answer by rounding at most.

    Raises
    ------
    ContractError
        The network does not look at stamps.
    """

    def __init__(self, card: NetworkCard, engine: Engine, *, batch: int | None = None) -> None:
        if card.stamp is None:
            raise ContractError(
                "takes frames tile by tile: its card has no table [stamp]",
                where=f"network '{card.name}'",
                remedy="Use Predictor.",
            )
        self.card = card
        self.engine = engine
        self._stamp = card.stamp
        self._runner = StampRunner(
            card, engine, batches={card.stamp.side: batch or card.stamp.batch}
        )

    @property
    def halo(self) -> int:
        """Rows around those wanted within which all stamps lie that touch one of these."""
        return 2 * self._stamp.reach

    def predict(
        self,
        frame: Frame,
        positions: NDArray[np.floating],
        given: Mapping[str, Given] | None = None,
        *,
        less: Given | None = None,
        noise: NDArray[np.floating] | float | None = None,
        keep: Keep | None = None,
    ) -> StampAnswers:
        """Return what the network answers for sources.

        Parameters
        ----------
        frame : Frame
            The frame, in the unit of the card. Not modified.
        positions : (n, 2) array
            x, y of the sources, pixels of the frame.
        given : mapping of str to plane, optional
            The planes that the card names and that are neither pixels, their validity, PSF nor
            noise. Each is a number, (n,) numbers, a map (ny, nx), stamps (n, side, side), or a
            function of the `SourceBox` that returns (side, side). Beyond the border they are 0.
        less : plane, optional
            Light that is not the source's, such as sky and neighbours, in the unit of the frame:
            it is subtracted from the pixels before anything is measured. Where it is not finite
            a pixel is not valid.
        noise : (ny, nx) array or float, optional
            Standard deviation of the noise, in the unit of the frame; by default the uncertainty
            of the frame, or what is measured of it if there is none and it is whole.
        keep : callable, optional
            What is kept of an answer, such as sums or pixels of it: a function of the `SourceBox`,
            the `StampView` and the outputs by name. All outputs of many sources are large. It may
            be called from several threads at once.

        Returns
        -------
        StampAnswers
            In the order of the sources.

        Raises
        ------
        UnitError
            The frame has another unit than the network needs.
        FrameError
            A position is not finite.
        EngineError
            The engine failed, or planes are missing, unknown, or of another shape.
        ContractError
            The network needs the PSF, and the frame has none, or the noise of a chunk.

        Warns
        -----
        SuspectWarning
            The stamps of some sources lie beyond the halo of a chunk of a larger frame.
        AstrocleanWarning
            Of some sources too little is valid; the network was not asked.
        """
        check_unit(self.card, frame)
        self._check_planes(given or {})
        sources = SourceStamps(
            self.card, frame, valid_pixels(self.card, frame), given or {}, less, noise
        )
        origin = chunk_of(frame).origin
        places = np.asarray(positions, dtype=np.float64).reshape(-1, 2)
        boxes = sources.boxes(places, stamp_boxes(places, self._stamp.side, origin=origin))
        wanted = [box for box in boxes if sources.wants(box)]
        inside = [box for box in wanted if sources.holds(box)]
        kept: list[Any] = [None] * len(boxes)
        asked = np.zeros(len(boxes), dtype=bool)
        scales = np.full(len(boxes), np.nan)

        def take(box: SourceBox, view: StampView, answer: Answer) -> None:
            kept[box.number] = answer if keep is None else keep(box, view, answer)
            asked[box.number] = True
            scales[box.number] = np.nan if view.scale is None else view.scale

        self._runner.run(inside, sources.view, take)
        beyond = [box for box in wanted if not sources.holds(box)]
        unseen = [box for box in inside if not asked[box.number]]
        self._tell(frame, beyond, unseen)
        return StampAnswers(tuple(boxes), kept, scales, asked, self._shapes())

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        fine = self._stamp.side * self.card.scale
        return {o.name: (len(o.channels), fine, fine) for o in self.card.outputs}

    def _check_planes(self, given: Mapping[str, Given]) -> None:
        wanted = planes_given(self.card.inputs)
        if set(given) != wanted:
            raise EngineError(
                f"needs planes {', '.join(sorted(wanted)) or 'none'}",
                where=f"network '{self.card.name}'",
                received=", ".join(given) or "none",
            )

    def _tell(self, frame: Frame, beyond: Sequence[SourceBox], unseen: Sequence[SourceBox]) -> None:
        about = f"{frame.frame_id}, network '{self.card.name}'"
        origin = chunk_of(frame).origin
        if beyond:
            text = (
                f"{about}: the stamps of {len(beyond)} sources ({_listed(beyond, origin)}) lie "
                "beyond the chunk of the frame that is there, and were not looked at; the stage "
                f"needs a halo of {self.halo} pixels"
            )
            warnings.warn(text, SuspectWarning, stacklevel=3)
        if unseen:
            text = (
                f"{about}: {len(unseen)} sources ({_listed(unseen, origin)}) have too few valid "
                "pixels and were not looked at"
            )
            warnings.warn(text, AstrocleanWarning, stacklevel=3)


def _listed(boxes: Sequence[SourceBox], origin: tuple[int, int]) -> str:
    """Return where sources are in the larger frame, for a message."""
    y, x = origin
    places = [f"x {box.place[0] + x:.1f} y {box.place[1] + y:.1f}" for box in boxes[:_FEW]]
    return "; ".join(places) + ("; ..." if len(boxes) > _FEW else "")
