"""`Stage`: one step of a pipeline, a pure function of frame and options."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from astroclean.core.image.history import HistoryEntry
from astroclean.core.image.layer import checked_layers
from astroclean.core.stage.change import Change, change_between
from astroclean.core.stage.hooks import FAULT, call_hook, refuse_booleans
from astroclean.core.stage.lengths import at_scale
from astroclean.core.stage.needs import Identity, Needs, Provides
from astroclean.core.stage.options import StageOptions
from astroclean.core.stage.results import Answer, Outcome, StageResult
from astroclean.core.stage.scope import WHOLE, Scope, chunk_of, measure, scope_of
from astroclean.core.stage.tables import checked_tables
from astroclean.errors import ContractError, StageError, SuspectWarning

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astropy.table import QTable
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.image.frameset import FrameSet
    from astroclean.core.image.layer import Layer, LayerSpec

__all__ = ["Stage"]


class Stage(ABC):
    """One step of a pipeline: a frame in, a result out, no files, no state.

    A plugin subclasses the base class of its kind (`astroclean.core.stage.kinds`), which implements
    ``_ask`` and ``_apply``, and writes that kind's one hook.

    Parameters
    ----------
    options : StageOptions, optional
        Settings; defaults where none.
    identity : Identity, optional
        Set by the registry.
    """

    kind: ClassVar[str]
    answers: ClassVar[type[Answer]] = Answer
    """What the hook returns."""
    Options: ClassVar[type[StageOptions]] = StageOptions
    accepts: ClassVar[frozenset[str]] = frozenset({"frame"})
    """``frame``, ``set`` or both."""
    takes_colors: ClassVar[bool] = True
    """Whether one color of a mosaic is a frame to it."""
    tables: ClassVar[frozenset[str]] = frozenset()
    """Names of the tables that the stage gives, in lower case; each is a file of its own."""
    y_columns: ClassVar[tuple[str, ...]] = ()
    """Columns of its tables that are y, the first that of the thing itself. With them tables may be
    of chunks: the hook lists all that it finds, in pixels of the frame that it gets; the base class
    takes the things of the chunk's own rows, in order of these, with y of the whole frame."""
    branch: ClassVar[str | None] = None
    """Layer that the result is, where it must not replace the science image."""

    def __init_subclass__(cls) -> None:
        """Refuse names that `scope` has taken the place of."""
        super().__init_subclass__()
        old = [name for name in ("halo", "survey", "row_step") if name in vars(cls)]
        if old:
            raise ContractError(
                f"`{'`, `'.join(old)}` of a stage: these are `scope` now",
                where=f"{cls.__module__}.{cls.__qualname__}",
                remedy="Return `Scope(halo=..., step=..., survey=...)` from `scope(frame)`.",
            )

    def __init__(
        self, options: StageOptions | None = None, *, identity: Identity | None = None
    ) -> None:
        plugin = type(self).__name__.lower()
        self.options: Any = self.Options() if options is None else options
        self.identity = identity or Identity(name=plugin, plugin=plugin)

    @property
    def name(self) -> str:
        """Name of the stage in its pipeline."""
        return self.identity.name

    def where(self, frame: Frame | str) -> str:
        """Return the words that errors and warnings begin with: frame, or its id, and stage."""
        frame_id = frame if isinstance(frame, str) else frame.frame_id
        return f"{frame_id}, stage '{self.name}'"

    def needs(self) -> Needs:
        """Return what the stage cannot do without, with these options."""
        return Needs()

    def provides(self) -> Provides:
        """Return what later stages find in the frame."""
        return Provides()

    def layers(self) -> tuple[LayerSpec, ...]:
        """Return the layers that the stage may give: those of the kind, and what a plugin adds."""
        return ()

    def check_header(self, frame: Frame) -> None:  # noqa: B027 - most stages need nothing
        """Raise StageError where the hook would, for what the header of a frame does not tell.

        Called before the first pixel. ``frame`` is a single pixel: only its unit, WCS and ``meta``
        count, whether it has an uncertainty, and its PSF where the pipeline tells one.
        """

    def scope(self, frame: Frame) -> Scope:  # noqa: ARG002 - others depend on the frame
        """Return how much of a frame the stage must see; by default all of it.

        ``frame`` may be a single pixel: only what its header and ``chunk`` tell counts.
        """
        return WHOLE

    def measured(self, frame: Frame) -> Any:
        """Return what the survey found; for the hook.

        On a chunk of a larger frame, that of the larger frame, which the runner measured before.

        Raises
        ------
        ContractError
            The frame is a chunk of a larger one that was not measured.
        """
        chunk = chunk_of(frame)
        if self.name in chunk.measured:
            return chunk.measured[self.name]
        survey = scope_of(self, frame).survey
        if survey is not None and chunk.shape != frame.shape:
            raise ContractError(
                "needs what its survey finds on the whole frame, of which this is a chunk",
                where=self.where(frame),
                remedy="`scope` must have a survey for all chunks or for none.",
            )
        return survey and measure(survey, lambda: [(frame, slice(0, frame.shape[0]))])

    def link(self, name: str, tables: Sequence[QTable]) -> list[QTable]:  # noqa: ARG002
        """Return a table of each frame of a file, with what only all of them together tell.

        Called once a file, before it is written.

        Parameters
        ----------
        name : str
            Of the table, among :attr:`tables`.
        tables : sequence of QTable
            One a frame, in order. Not modified.

        Returns
        -------
        list of QTable
            As many.
        """
        return list(tables)

    def fingerprint(self) -> dict[str, str]:
        """Return hashes of what the stage reads beside frame and options, such as weights.

        They are part of the resume key: other weights, and finished files are done again.
        """
        return {}

    @abstractmethod
    def _ask(self, frame: Any) -> Answer:
        """Call the hook of the kind."""

    @abstractmethod
    def _apply(self, frame: Frame, answer: Any) -> StageResult:
        """Check the answer against the remit of the kind and make the result."""

    def run(self, frame: Any) -> StageResult:
        """Run the stage on one frame.

        Parameters
        ----------
        frame : Frame, path, HDUList, NDData or (ny, nx) array
            Whatever can be made a frame; plain arrays are taken to be in adu. Not modified.

        Returns
        -------
        StageResult
            The new frame, products and metrics.

        Raises
        ------
        ContractError
            The plugin changed what its kind may not change, or wrote to the arrays it was given.
        StageError
            The plugin could not do its work.
        SuspectWarning
            (A warning) more was flagged or replaced than is plausible.
        """
        from astroclean.core.image.convert import as_frame  # noqa: PLC0415 - Frame needs astropy

        image = as_frame(frame)
        if "frame" not in self.accepts:
            remedy = "Give a FrameSet to `run_set`, or `[bands]` in the pipeline."
            where = f"stage '{self.name}'"
            raise StageError("works on several bands together", where=where, remedy=remedy)
        if (here := at_scale(self, [image])) is not self:
            return here.run(image)
        self.needs().require(image, stage=self.name)
        scope_of(self, image)  # or a wrong one would show where a frame is too large alone
        answer = self._known(self._called(image.read_only(), image.frame_id), image.frame_id)
        return self._finished(image, self._applied(image, answer))

    def run_set(self, frames: FrameSet) -> dict[str, StageResult]:
        """Run the stage on the bands of a set: together where it can, else one by one.

        Parameters
        ----------
        frames : FrameSet
            One frame a band. Not modified.

        Returns
        -------
        dict of str to StageResult
            Band to result. Bands that a stage only looks at go on as they are, ``NO_WORK``.
        """
        if "set" not in self.accepts:
            return {band: self.run(frames[band]) for band in frames}
        if (here := at_scale(self, [frames[band] for band in frames])) is not self:
            return here.run_set(frames)
        missing = [band for band in self.needs().bands if band not in frames.frames]
        if missing:
            raise StageError(
                f"needs bands {', '.join(missing)}",
                where=f"stage '{self.name}'",
                received=", ".join(frames.bands),
            )
        if self.needs().aligned:
            frames.require_aligned(f"stage '{self.name}'")
        for band in frames:
            self.needs().require(frames[band], stage=self.name)
            scope_of(self, frames[band])
        results = {band: StageResult(frames[band], outcome=Outcome.NO_WORK) for band in frames}
        for band, answer in self._answers(frames).items():
            results[band] = self._finished(frames[band], self._applied(frames[band], answer))
        return results

    def _answers(self, frames: FrameSet) -> dict[str, Any]:
        """Call the hook with a set, and check that it answers for each band."""
        where = ", ".join(frames.bands)
        answers = self._called(frames.read_only(), where)
        if not isinstance(answers, dict) or set(answers) != set(frames.bands):
            raise ContractError(
                "the hook of a set must return a dict with an answer for each band",
                where=self.where(where),
                received=", ".join(map(str, answers))
                if isinstance(answers, dict)
                else type(answers).__name__,
                remedy=FAULT,
            )
        return {band: self._known(answer, band) for band, answer in answers.items()}

    def _called(self, given: Any, frame_id: str) -> Any:
        return call_hook(self._ask, given, where=self.where(frame_id))

    def _known(self, answer: Any, frame_id: str) -> Any:
        """Return the answer of a hook if it is one of this kind."""
        if not isinstance(answer, self.answers):
            raise ContractError(
                f"a stage of kind '{self.kind}' must return a {self.answers.__name__}",
                where=self.where(frame_id),
                received=type(answer).__name__,
                remedy=FAULT,
            )
        return answer

    def _layers(self, frame: Frame, *given: Mapping[str, Any]) -> dict[str, Layer]:
        """Return the layers of an answer, checked; PSFs with positions of the larger frame."""
        joined = {name: layer for layers in given for name, layer in layers.items()}
        where = self.where(frame)
        layers = checked_layers(joined, self.layers(), frame, where=where)
        psf_of = chunk_of(frame).of_whole
        return {name: replace(layer, psf=psf_of(layer.psf)) for name, layer in layers.items()}

    def _applied(self, frame: Frame, answer: Any) -> StageResult:
        """Return the result of an answer, with its tables."""
        where = self.where(frame)
        tables = checked_tables(
            answer.tables, self.tables, frame, y_columns=self.y_columns, where=where
        )
        return replace(self._apply(frame, answer), tables=tables)

    def _finished(self, before: Frame, result: StageResult) -> StageResult:
        """Enter the stage in the frame's history; measure what it changed, and judge that."""
        refuse_booleans(result.metrics, self.where(before))
        changed = ", ".join(f"{key} = {value:.6g}" for key, value in result.metrics.items())
        entry = HistoryEntry(
            stage=self.name,
            plugin=self.identity.plugin,
            version=self.identity.version,
            options=self.options.record(),
            summary=changed or str(result.outcome),
        )
        frame = result.frame.replace(history=(*result.frame.history, entry))
        if self.branch is not None:
            return replace(result, frame=frame)
        chunk = chunk_of(before)
        change = change_between(before, result.frame, chunk.own)
        if chunk.shape == before.shape:
            for text in self.implausible(change, before.frame_id):
                warnings.warn(text, SuspectWarning, stacklevel=3)
        return replace(result, frame=frame, change=change)

    def implausible(self, change: Change, frame_id: str) -> list[str]:
        """Return what is implausible in what the stage did to a whole frame, one text each."""
        where = self.where(frame_id)
        return [f"{where}: {clause}." for clause in change.implausible(self.options.limits)]

    def _checked(self, frame: Frame, name: str, array: Any, *, kinds: str = "fiub") -> NDArray[Any]:
        """Return an array of the answer, or raise where shape or kind of number are wrong.

        ``kinds`` are codes of numpy: float, integer, unsigned, boolean. Nothing else is converted:
        flags of 0.3 would be no flags, without a word.
        """
        checked = np.asarray(array)
        wrong = checked.shape != frame.shape
        if wrong or checked.dtype.kind not in kinds:
            wanted = f"the shape of the frame {frame.shape}" if wrong else _NUMBERS[kinds]
            raise ContractError(
                f"'{name}' must have {wanted}",
                where=self.where(frame),
                received=checked.shape if wrong else f"type {checked.dtype}",
                remedy=FAULT,
            )
        return checked


_NUMBERS = {"fiub": "real numbers", "uib": "whole numbers or truth values"}
