"""What is to be written and reported of a frame, gathered from its chunks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.stats import mad_std

from astroclean.core.flags.planes import MaskPlane, count_planes
from astroclean.core.image.grid import Grid
from astroclean.core.image.layer import Layer, LayerSpec
from astroclean.core.image.uncertainty import deviation_of
from astroclean.core.stage.metrics import Total
from astroclean.core.stage.scope import chunk_of
from astroclean.io.products.output import FrameOutput
from astroclean.io.scratch.rowstore import blocks_of
from astroclean.report.model import FrameRecord
from astroclean.report.plots import finite_sample
from astroclean.runner.output.outputs import kept_layers
from astroclean.runner.work.joined_sources import numbered_layers
from astroclean.runner.work.known import known_values, with_measured
from astroclean.runner.work.pictures import chances_of, pictures_of
from astroclean.runner.work.remarks import Remarks
from astroclean.runner.work.state import Account, FrameState, FrameWork
from astroclean.runner.work.statestore import images_of, layers_of, without_pixels

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.image.rewriting import Rewriting
    from astroclean.core.sources.sources import Sources
    from astroclean.core.stage.stage import Stage
    from astroclean.io.frames.grouping import FrameSlot
    from astroclean.report.model import StageRecord, ValueRecord
    from astroclean.runner.work.joined_sources import JoinedSources
    from astroclean.runner.work.statestore import Images

__all__ = ["RESIDUAL", "FinishedFrame"]

RESIDUAL = LayerSpec("RESIDUAL", "what the pipeline took away: before less after, where changed")
"""The layer that the runner itself gives."""
_ROUNDING = 1e-6  # a few units in the last place of float32


@dataclass(frozen=True, eq=False)
class _Common:
    """What the chunks of a frame have in common: no pixels, of which one chunk has too many."""

    frame_id: str
    unit: str
    history: tuple[str, ...]
    branch: str | None
    sources: Sources | None
    """Of a frame in one piece."""
    sources_of: str | None
    sources_unit: Any
    """Unit of the pixels that they were found on."""
    values: Mapping[str, ValueRecord]

    @classmethod
    def of(cls, state: FrameState, *, is_whole: bool) -> _Common:
        """Return what a state tells."""
        science = state.science or state.frame
        return cls(
            science.frame_id,
            science.unit.to_string(),
            tuple(line for entry in state.frame.history for line in entry.cards()),
            state.branch,
            state.sources if is_whole else None,
            state.sources_of,
            science.unit if state.sources_of is None else state.layers[state.sources_of].unit,
            known_values(science),
        )


@dataclass
class FinishedFrame:
    """The chunks of a frame that are through all stages, in order of their rows."""

    slot: FrameSlot
    """Where the frame lies in its file."""
    shape: tuple[int, int]
    images: Images
    """Own rows of all that is written, and of the frame as it was read."""
    keep: Collection[str]
    """``[products] keep``: layers that are not written are not gathered."""
    account: Account = field(default_factory=Account)
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    changed: int = 0
    changed_by_result: int | None = None
    flagged: int = 0
    common: _Common | None = None
    """What all chunks have in common, once there was one."""
    layers: dict[str, Layer] = field(default_factory=dict)
    """Those that any chunk gave, without pixels."""
    joined: JoinedSources | None = None
    """Sources of the chunks, where there are several."""
    wcs: Any = None
    """Of the frame: that of its first chunk, which begins with its first row."""
    rewriting: Rewriting | None = None
    meta: Any = None
    """Header as it was read, of a frame that was rewritten."""
    raw: NDArray[np.float32] | None = None
    """Pixels as they were read, of a frame that was rewritten; it is in one piece."""
    chances: dict[str, Layer] = field(default_factory=dict)
    """Layers of probabilities of a frame in one piece, for the page, whether written or not."""

    def add(self, before: Frame, state: FrameState, own: slice) -> None:
        """Add a chunk.

        Parameters
        ----------
        before : Frame
            As read.
        state : FrameState
            After the last stage.
        own : slice
            Rows of both that are the chunk's own.
        """
        after = state.science or state.frame
        read, before = before, state.begun or before
        if state.rewriting is not None:
            self.shape, self.rewriting, self.meta = before.shape, state.rewriting, read.meta
            read = read.replace(chunk=None)[state.rewriting.window]
            self.raw = read.data
        self.wcs = after.wcs if self.common is None else self.wcs
        flags = after.flags
        if state.frame.flags.shape == flags.shape:
            flags = flags | state.frame.flags
        changed = _differs(before.data, after.data)
        images = {"before": before.data, "data": after.data, "changed": changed, "flags": flags}
        deviation, old = deviation_of(after.uncertainty), deviation_of(before.uncertainty)
        if deviation is not None:
            images["uncertainty"] = deviation
            if old is not None:
                # Variances go to deviations and back: what differs by rounding is unchanged.
                same = np.isclose(old, deviation, rtol=_ROUNDING, atol=0, equal_nan=True)
                images["uncertainty changed"] = ~same
        layers = {**state.layers, **_residual(before, after, changed), **_result_layer(state)}
        self.chances = {} if self.joined is not None else chances_of(layers)
        layers = kept_layers(layers, self.keep)
        rows = {name: image[own] for name, image in images.items()}
        self.images.append({**rows, **images_of(layers, own)})
        self.layers |= without_pixels(layers, known=self.layers)
        self.account += state.account
        self.changed += int(np.count_nonzero(rows["changed"]))
        if state.branch is not None and state.frame.shape == before.shape:
            replaced = _differs(before.data, state.frame.data)[own]
            count = int(np.count_nonzero(replaced))
            self.changed_by_result = count + (self.changed_by_result or 0)
        self.flagged += int(np.count_nonzero(rows["flags"]))
        _count(self.before, read.flags[own])
        _count(self.after, rows["flags"])
        if self.joined is not None and state.sources is not None:
            self.joined.add(state.frame, state.sources, own, given=state.given)
        self.common = _Common.of(state, is_whole=self.joined is None)

    def work(self, stages: Sequence[Stage], *, pictures: bool, note: str = "") -> FrameWork:
        """Return what is left of the frame.

        Parameters
        ----------
        stages : sequence of Stage
            That it went through.
        pictures : bool
            Whether to draw previews for the report.
        note : str
            How it was cut, where it was.
        """
        common = self.common
        assert common is not None
        images, touched = self.images.images, self.images.images.get("uncertainty changed")
        layers = layers_of(images, self.layers)
        account, label, sources = self.account, self.slot.label, common.sources
        if self.joined is not None:
            sources = self.joined.whole()
            suspect = [*self._implausible(stages, common.frame_id), *self._cut_sources(common)]
            account += Account(remarks=Remarks(notes=[note], suspect=suspect))
        layers = numbered_layers(layers, sources)
        drawn = self._drawn(layers, stages) if pictures else {}
        output = FrameOutput(
            slot=self.slot,
            data=images["data"],
            changed=images["changed"],
            flags=images["flags"],
            uncertainty=images.get("uncertainty"),
            uncertainty_changed=touched if touched is not None and touched.any() else None,
            history=common.history,
            layers=layers,
            result=common.branch,
            rewriting=self.rewriting,
            meta=self.meta,
        )
        if common.sources_of is not None:
            label = self.slot.label_of(common.sources_of)
        return FrameWork(
            output,
            self._record(common, images, sources, drawn),
            self._on_the_sky(sources),
            account.scores,
            account.remarks,
            sources_label=label,
            sources_unit=common.sources_unit,
            # Where several stages give a table of one name, that of the last.
            tables={n: t for s in stages for n, t in account.tables.get(s.name, {}).items()},
            changed_by_result=self.changed_by_result,
        )

    def _on_the_sky(self, sources: Sources | None) -> Sources | None:
        """Give sources on pixels of the frame its WCS, which chunks and saved states leave out."""
        if sources is None or sources.grid is None or not sources.grid.is_frame:
            return sources
        return replace(sources, grid=replace(sources.grid, wcs=sources.grid.wcs or self.wcs))

    def _drawn(self, layers: Mapping[str, Layer], stages: Sequence[Stage]) -> dict[str, Any]:
        """Return pictures for the record of the frame."""
        shown, images = {**layers, **self.chances}, self.images.images
        return pictures_of(images, shown, self.account, stages=stages, wcs=self.wcs, raw=self.raw)

    def _implausible(self, stages: Sequence[Stage], frame_id: str) -> list[str]:
        """Return what is implausible in the whole of a frame that no stage saw whole."""
        changes = self.account.changes
        return [
            text
            for stage in stages
            if stage.name in changes
            for text in stage.implausible(changes[stage.name], frame_id)
        ]

    def _cut_sources(self, common: _Common) -> list[str]:
        """Return that sources are larger than what their chunk saw, where any are."""
        assert self.joined is not None
        if not self.joined.cut:
            return []
        text = (
            f"{common.frame_id}: {self.joined.cut} sources reach beyond the rows that a chunk "
            "sees around its own, and are measured in part; raise --max-memory"
        )
        return [text]

    def _record(
        self,
        common: _Common,
        images: Mapping[str, Any],
        sources: Sources | None,
        drawn: Mapping[str, Any],
    ) -> FrameRecord:
        before, after = images["before"], images["data"]
        samples = [finite_sample(image) for image in (before, after)]
        records = [self._stage_record(record) for record in self.account.records.values()]
        return FrameRecord(
            frame_id=common.frame_id,
            hdu=self.slot.science.label,
            plane=self.slot.plane,
            shape=self.shape,
            unit=common.unit,
            pixels_changed=self.changed,
            result=common.branch or "",
            is_calibrated=self.rewriting is not None,
            pixels_flagged=self.flagged,
            flagged_before=_in_order(self.before),
            flagged_after=_in_order(self.after),
            statistics={
                **_statistics(before, samples[0], "before"),
                **_statistics(after, samples[1], "after"),
            },
            psf=self.account.psf_origin,
            values=with_measured(
                common.values, self.account, common.unit if self.rewriting is None else None
            ),
            sources=None if sources is None else len(sources),
            stages=records,
            **drawn,
        )

    def _stage_record(self, record: StageRecord) -> StageRecord:
        metrics = self.account.metrics.get(record.name, {})
        change = self.account.changes[record.name]
        told = {
            "seconds": record.seconds + self.account.survey_seconds.get(record.name, 0.0),
            "metrics": {key: float(value) for key, value in metrics.items()},
            "shares": change.shares(),
        }
        return record.model_copy(update=told)


def _differs(old: NDArray[Any], new: NDArray[Any]) -> NDArray[np.bool_]:
    different: NDArray[np.bool_] = (old != new) & ~(np.isnan(old) & np.isnan(new))
    return different


def _residual(before: Frame, after: Frame, changed: NDArray[np.bool_]) -> dict[str, Layer]:
    with np.errstate(invalid="ignore"):  # infinite pixels
        taken = np.where(changed, np.nan_to_num(before.data - after.data), 0)
    return {RESIDUAL.name: Layer(taken, Grid.from_frame(before), before.unit, declared=RESIDUAL)}


def _result_layer(state: FrameState) -> dict[str, Layer]:
    """Return the layer that the frame is after all stages; later ones may have changed it."""
    if state.branch is None:
        return {}
    frame = state.frame
    made = state.layers[state.branch]
    deviation, psf = deviation_of(frame.uncertainty), chunk_of(frame).of_whole(frame.psf)
    return {
        state.branch: replace(
            made, data=frame.data, unit=frame.unit, uncertainty=deviation, psf=psf
        )
    }


def _count(counts: dict[str, int], flags: NDArray[np.uint32]) -> None:
    for name, number in count_planes(flags).items():
        counts[name] = counts.get(name, 0) + number


def _in_order(counts: Mapping[str, int]) -> dict[str, int]:
    return {str(p.name): counts[str(p.name)] for p in MaskPlane if str(p.name) in counts}


def _statistics(image: Any, sample: NDArray[np.float64], when: str) -> dict[str, float | None]:
    """Return sum, median and noise of finite pixels, the last two of a sample of them."""
    if not sample.size:
        return {f"median {when}": None, f"noise {when}": None, f"sum {when}": None}
    total = Total()
    for (rows,) in blocks_of(image):
        total = total.joined(Total.from_pixels(np.where(np.isfinite(rows), rows, 0)))
    return {
        f"median {when}": float(np.median(sample)),
        f"noise {when}": float(mad_std(sample)),
        f"sum {when}": float(total),
    }
