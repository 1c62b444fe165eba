"""A frame on its way through the stages, and what is left of it in the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from astroclean.core.psf.equality import is_same_psf
from astroclean.core.stage.change import Change
from astroclean.core.stage.hooks import FAULT
from astroclean.core.stage.metrics import joined_metrics
from astroclean.core.stage.results import Outcome
from astroclean.errors import ContractError
from astroclean.runner.work.remarks import Remarks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.table import QTable

    from astroclean.core.image.frame import Frame
    from astroclean.core.image.layer import Layer
    from astroclean.core.image.rewriting import Rewriting
    from astroclean.core.psf.psf import Psf
    from astroclean.core.sources.sources import Sources
    from astroclean.core.stage.results import Score
    from astroclean.io.products.output import FrameOutput
    from astroclean.report.model import FrameRecord, StageRecord

__all__ = ["Account", "FrameState", "FrameWork", "joined_tables"]


@dataclass(frozen=True, eq=False)
class Account:
    """What the stages say of a frame; those of its chunks add up."""

    records: Mapping[str, StageRecord] = field(default_factory=dict)
    """Stage to who it is, how it ended and how long it took."""
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Stage to its numbers."""
    changes: Mapping[str, Change] = field(default_factory=dict)
    """Stage to what it flagged and replaced."""
    scores: Mapping[str, Score] = field(default_factory=dict)
    """Screening stage to what it answered."""
    psf_origin: str = ""
    remarks: Remarks = field(default_factory=Remarks)
    survey_seconds: Mapping[str, float] = field(default_factory=dict)
    """Stage to the time it took to measure the frame before its chunks."""
    tables: Mapping[str, Mapping[str, QTable]] = field(default_factory=dict)
    """Stage to what it lists, such as trails, by name; in pixels of the whole frame."""
    psfs: Mapping[str, Mapping[str, Psf | None]] = field(default_factory=dict)
    """Stage to the PSFs after it: of its layers by their names, and of the frame, which has none.
    Those of all chunks are that of the whole frame."""

    def __add__(self, other: Account) -> Account:
        """Return the account of two chunks, or of two groups of stages, together.

        Raises
        ------
        ContractError
            What a stage gave has another PSF in each of two chunks.
        """
        records = {**self.records, **other.records}
        for name in self.records.keys() & other.records.keys():
            ours, theirs = self.records[name], other.records[name]
            outcome = ours.outcome if ours.outcome == Outcome.DONE else theirs.outcome
            seconds = ours.seconds + theirs.seconds
            records[name] = ours.model_copy(update={"seconds": seconds, "outcome": outcome})
        pairs = {name: [self.metrics.get(name), other.metrics.get(name)] for name in records}
        return Account(
            records,
            {
                name: joined_metrics(m for m in pair if m is not None)
                for name, pair in pairs.items()
            },
            {
                name: self.changes.get(name, Change()) + other.changes.get(name, Change())
                for name in (*self.changes, *(n for n in other.changes if n not in self.changes))
            },
            {**self.scores, **other.scores},
            other.psf_origin or self.psf_origin,
            self.remarks + other.remarks,
            {**self.survey_seconds, **other.survey_seconds},
            {
                stage: joined_tables(self.tables.get(stage, {}), other.tables.get(stage, {}))
                for stage in {**self.tables, **other.tables}
            },
            {
                stage: _joined_psfs(stage, self.psfs.get(stage, {}), other.psfs.get(stage, {}))
                for stage in {**self.psfs, **other.psfs}
            },
        )


def joined_tables(ours: Mapping[str, QTable], theirs: Mapping[str, QTable]) -> dict[str, QTable]:
    """Return the tables of rows of a frame and of the next ones, by name, as one."""
    from astropy.table import vstack  # noqa: PLC0415 - heavy

    joined = {**ours, **theirs}
    for name in ours.keys() & theirs.keys():
        # A table without rows may not know the types of its columns.
        filled = [table for table in (ours[name], theirs[name]) if len(table)] or [ours[name]]
        joined[name] = vstack(filled, metadata_conflicts="silent")
    return joined


def _joined_psfs(
    stage: str, ours: Mapping[str, Psf | None], theirs: Mapping[str, Psf | None]
) -> dict[str, Psf | None]:
    for name in ours.keys() & theirs.keys():
        if not is_same_psf(ours[name], theirs[name]):
            what = f"layer {name}" if name else "the result"
            raise ContractError(
                f"the PSF of {what} differs from chunk to chunk",
                where=f"stage '{stage}'",
                remedy=f"{FAULT} Raise --max-memory.",
            )
    return {**theirs, **ours}


@dataclass(frozen=True, eq=False)
class FrameState:
    """A frame, or a chunk of one, on its way through the stages."""

    frame: Frame
    science: Frame | None = None
    """The frame before it was deconvolved or upsampled; None where it was not."""
    branch: str | None = None
    """Layer that `frame` is then."""
    sources: Sources | None = None
    """Those that the last stage found that found any."""
    given: Sources | None = None
    """Of a chunk, those that an earlier pass over the frame found."""
    sources_of: str | None = None
    """Layer on whose pixels the sources were found; None: the science image."""
    layers: Mapping[str, Layer] = field(default_factory=dict)
    """By name in capitals. Their PSFs have places in pixels of the whole frame."""
    account: Account = field(default_factory=Account)
    rewriting: Rewriting | None = None
    """How the science image became another one than that of the file."""
    begun: Frame | None = None
    """The science image that it became: later stages are compared with it."""


@dataclass(frozen=True, eq=False)
class FrameWork:
    """What is left of a frame when all stages are done."""

    output: FrameOutput
    record: FrameRecord
    sources: Any
    """`Sources` or None."""
    scores: Mapping[str, Score]
    remarks: Remarks
    sources_label: str = ""
    """HDU on whose pixels the sources are, such as ``[SCI,1]``."""
    sources_unit: Any = None
    """Unit of the pixels that their images are in."""
    tables: Mapping[str, QTable] = field(default_factory=dict)
    """Name to what stages list, such as trails."""
    changed_by_result: int | None = None
    """Pixels in which the layer that may take the place of the science image differs from what was
    read; None where there is none, or it has other pixels."""
