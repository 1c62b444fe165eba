"""Frames larger than the memory limit: how they are cut into chunks of rows with a halo.

Stages that share a pass over the frame take each chunk one after the other. A stage that must know
the whole frame, or whose chunks begin at multiples of a step, begins a pass of its own, which reads
what the pass before it left on scratch disk.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from astroclean.core.stage.scope import Chunk, chunk_of, scope_of
from astroclean.errors import NeedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from astroclean.config.schema import PipelineConfig
    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.stage import Stage
    from astroclean.io.frames.read import Exposure
    from astroclean.runner.plan.psf_source import PsfSource

__all__ = ["BASE_BYTES", "BYTES_PER_PIXEL", "ChunkPlan", "ChunkRows", "Pass", "plan_chunks"]

BYTES_PER_PIXEL = 100
"""What a pixel takes at the most. Measured as peak memory of frames of two sizes: lacosmic and
interpolate 75 (1500 and 2500 pixels a side), maximask 93 (1200 and 1800); in chunks 71."""
BASE_BYTES = 250_000_000
"""What Python and the libraries take before the first pixel: measured 110 MB with lacosmic, and
with the engine of maximask, which is not counted, 210 MB. The process that waits for a single
worker takes 105 MB more, most of which the two share."""
_CHUNKS_OF_WORKER = 2
"""That each worker gets at the least: they do not all take the same time."""
_HALOS = 4
"""The least rows of a chunk, in halos."""
_HIGHEST_TILE = 512
"""Rows, as many as are written at a time."""


class ChunkRows(NamedTuple):
    """Where a chunk lies."""

    seen: slice
    """Rows of the frame that are read, with the halo."""
    own: slice
    """Those that are wanted, counted in ``seen``."""


@dataclass(frozen=True)
class Pass:
    """Stages that take each chunk one after the other."""

    stages: int
    """How many, after those of the pass before."""
    rows: int
    """Rows of a chunk, without halo."""
    halo: int
    """Rows above and below that its stages together can look at."""
    step: int = 1
    """Of which ``rows`` is a multiple."""

    def shared(self, height: int, workers: int) -> Pass:
        """Return the pass with so many chunks that all workers have one, where that is worth it.

        Parameters
        ----------
        height : int
            Rows of the frame.
        workers : int
            That work on it.
        """
        # A halo is read and worked on twice: chunks of less than some halos would cost more.
        least = max(_HALOS * self.halo, self.step)
        most = min(self.rows, max(-(-height // (_CHUNKS_OF_WORKER * workers)), least))
        # As many for each, so that none works on a last one while the others wait.
        even = -(-height // (-(-height // (most * workers)) * workers))
        rows = -(-max(even, min(least, most)) // self.step) * self.step
        return replace(self, rows=min(self.rows, rows))

    def chunks(self, height: int) -> Iterator[ChunkRows]:
        """Yield the chunks of a frame of so many rows."""
        for start in range(0, height, self.rows):
            stop = min(start + self.rows, height)
            first, last = max(start - self.halo, 0), min(stop + self.halo, height)
            yield ChunkRows(slice(first, last), slice(start - first, stop - first))


@dataclass(frozen=True)
class ChunkPlan:
    """How a frame is cut, pass by pass."""

    passes: tuple[Pass, ...]
    is_exact: bool = True
    """Whether all that is written is the same however a frame is cut; catalogues need not be."""

    def shared(self, height: int, workers: int) -> ChunkPlan:
        """Return the plan with chunks for so many workers, where that changes no byte."""
        if not self.is_exact:
            return self
        return replace(self, passes=tuple(one.shared(height, workers) for one in self.passes))

    def described(self, height: int) -> str:
        """Return how a frame of so many rows is cut, in words."""
        return ", then ".join(
            f"{-(-height // one.rows)} chunks of {one.rows} rows with a halo of {one.halo}"
            for one in self.passes
        )


def plan_chunks(
    exposure: Exposure,
    stages: Sequence[Stage],
    config: PipelineConfig,
    *,
    limit: int | None,
    psf: PsfSource | None = None,
) -> ChunkPlan | None:
    """Return how the frames of a file are cut, or None where they fit into memory.

    Parameters
    ----------
    exposure : Exposure
        The input; one pixel is read, for the halos.
    stages : sequence of Stage
        In order.
    config : PipelineConfig
        The pipeline.
    limit : int or None
        Bytes for one process; without a limit every frame fits.
    psf : PsfSource, optional
        Where the PSF comes from: how far a stage looks may depend on it.

    Returns
    -------
    ChunkPlan or None
        The same for all frames of the file.

    Raises
    ------
    NeedError
        A stage, or the form of the file, needs the whole frame, or the limit is too low.
    """
    if limit is None:
        return None
    height, width = max((s.science.shape[-2:] for s in exposure.slots), key=lambda s: s[0] * s[1])
    bands = max(len(config.bands), 1)
    kept = _not_given_back(stages)
    if height * width * bands * (BYTES_PER_PIXEL + kept) + BASE_BYTES <= limit:
        return None
    where = exposure.source.path.name
    if any(slot.color is not None for slot in exposure.slots):
        raise NeedError(
            f"{height} x {width} pixels do not fit into the memory limit, and the colors of a "
            "mosaic are taken from the whole frame",
            where=where,
            remedy="Raise --max-memory, or lower -j.",
        )
    corner = exposure.frame(exposure.slots[0], (slice(0, 1), slice(0, 1)))
    corner = corner.replace(chunk=Chunk((0, 0), (height, width)))
    if psf is not None and any(stage.needs().uses_psf for stage in stages):
        corner = corner.replace(psf=psf.psf_expected(corner))
    problem = _obstacle(exposure, stages, config, corner)
    if problem is not None:
        raise NeedError(
            f"{height} x {width} pixels do not fit into the memory limit, and {problem}",
            where=where,
            remedy="Raise --max-memory, lower -j, or leave the stage out.",
        )
    cut = _Cut(corner, limit, where, bands)
    for group in _groups(stages, corner, config):
        cut.add(group)
    finds = any("sources" in stage.provides().fields for stage in stages)
    return ChunkPlan(tuple(cut.passes), is_exact=not finds)


@dataclass
class _Cut:
    """Passes within a limit, one after the other."""

    corner: Frame
    limit: int
    where: str
    bands: int
    """Frames of which each chunk holds the rows."""
    passes: list[Pass] = field(default_factory=list)
    lost: float = 0.0
    """Bytes that the passes so far have not given back."""

    def add(self, group: Sequence[Stage]) -> None:
        """Add stages as one pass, or each alone where their halos together ask for too much."""
        scopes = [scope_of(stage, self.corner) for stage in group]
        halo = sum(scope.halo or 0 for scope in scopes)
        step = max((scope.step for scope in scopes), default=1)
        whole = chunk_of(self.corner).shape
        # Bands lie one beside the other, as if the frame were so much wider.
        shape = (whole[0], whole[1] * self.bands)
        cost = _Cost(shape, halo, step, _not_given_back(group), self.lost)
        rows = cost.rows_within(self.limit)
        if rows:
            self.passes.append(Pass(len(group), rows, halo, step))
            self.lost += cost.lost_in(rows)
        elif len(group) > 1:
            for stage in group:
                self.add([stage])
        else:
            asked = "".join(f" that stage '{stage.name}' asks for" for stage in group)
            raise NeedError(
                f"chunks with the halo of {halo} rows{asked} need {cost.least() / 1e6:.0f} MB a "
                "process",
                where=self.where,
                received=f"{self.limit / 1e6:.0f} MB",
                remedy="Raise --max-memory or lower -j.",
            )


@dataclass(frozen=True)
class _Cost:
    """What the chunks of a pass take."""

    shape: tuple[int, int]
    halo: int
    step: int
    kept: float
    """Bytes a pixel that are not given back."""
    lost: float = 0.0
    """Bytes that passes before have not given back."""

    def of(self, rows: int) -> float:
        """Return the bytes at the end of the frame, with chunks of so many rows."""
        seen = rows + 2 * self.halo
        own = BYTES_PER_PIXEL * self.shape[1] * seen
        return BASE_BYTES + own + self.lost_in(rows) + self.lost

    def lost_in(self, rows: int) -> float:
        """Return the bytes that are not given back; chunks overlap."""
        height, width = self.shape
        return self.kept * height * width * (rows + 2 * self.halo) / rows

    def rows_within(self, limit: int) -> int:
        """Return the most rows that a limit allows, a multiple of the step; 0 where none do."""
        return max((rows for rows in self._choices() if self.of(rows) <= limit), default=0)

    def least(self) -> float:
        """Return the bytes of the cheapest chunks."""
        return min(self.of(rows) for rows in self._choices())

    def _choices(self) -> range:
        most = max(self.shape[0], self.step)
        return range(self.step, most + 1, self.step)


def _not_given_back(stages: Sequence[Stage]) -> float:
    """Return the bytes a pixel that libraries keep for each pixel they examined.

    A plugin says so in ``bytes_not_given_back`` of its class; chunks overlap, so that narrow ones
    lose more.
    """
    return sum(float(getattr(stage, "bytes_not_given_back", 0.0)) for stage in stages)


def _groups(stages: Sequence[Stage], corner: Frame, config: PipelineConfig) -> list[list[Stage]]:
    """Share the stages among passes: a halo adds to those of its pass only.

    Where screening may end the work on an exposure, its last stage ends a pass; where the PSF is
    estimated, the first stage that uses it begins one.
    """
    groups: list[list[Stage]] = [[]]
    alone = False
    begins = {0}
    if config.run.on_reject == "skip":
        begins.add(1 + max((n for n, s in enumerate(stages) if s.kind == "screen"), default=-1))
    if config.psf is not None and config.psf.estimate:
        begins.add(next((n for n, s in enumerate(stages) if s.needs().uses_psf), 0))
    for number, stage in enumerate(stages):
        scope = scope_of(stage, corner)
        was_alone, alone = alone, scope.step > 1
        measures = number in begins or scope.survey is not None
        if groups[-1] and (was_alone or alone or measures):
            groups.append([])
        groups[-1].append(stage)
    return groups


def _obstacle(
    exposure: Exposure,
    stages: Sequence[Stage],
    config: PipelineConfig,
    corner: Frame,
) -> str | None:
    """Return what forbids chunks, if anything does."""
    for stage in stages:
        if scope_of(stage, corner).halo is None:
            return f"stage '{stage.name}' needs the whole frame"
        if stage.tables and not stage.y_columns:
            return f"the tables of stage '{stage.name}' are of the whole frame"
        own = [spec.name for spec in stage.layers() if spec.own_grid]
        if own:
            return f"layer {own[0]} of stage '{stage.name}' has a grid of its own"
    reasons = {
        "tiles of its compression are too large (funpack it first)": _has_large_tiles(exposure),
        "stages are saved as a whole (run.keep_stages)": config.run.keep_stages,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _has_large_tiles(exposure: Exposure) -> bool:
    """Return whether reading a row means to unpack much of the image, such as all of it."""
    packed = (slot.science for slot in exposure.slots if slot.science.is_compressed)
    tiles = [exposure.source.tile_shape(info.index) for info in packed]
    return any(math.prod(tile[:-1]) > _HIGHEST_TILE for tile in tiles)
