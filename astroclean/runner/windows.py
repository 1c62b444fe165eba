"""Frames larger than the memory limit: bands of rows with a halo, one after the other.

A band is read with the rows above and below it that can influence it, goes through all stages, and
leaves its own rows on scratch disk. Where every stage is local, the result is that of the whole
frame to the byte.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.planes import count_planes
from astroclean.errors import NeedError
from astroclean.io.output import FrameOutput
from astroclean.io.rowstore import RowStore
from astroclean.report.model import FrameRecord, StageRecord
from astroclean.runner.frames import FrameState, FrameWork, finish_frame, run_stages
from astroclean.runner.outputs import kept_output

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from astroclean.config.schema import PipelineConfig
    from astroclean.core.stage import Stage
    from astroclean.io.grouping import FrameSlot
    from astroclean.io.read import Exposure
    from astroclean.runner.plan import FilePlan

__all__ = ["BYTES_PER_PIXEL", "WindowPlan", "plan_windows", "run_by_windows"]

BYTES_PER_PIXEL = 145
"""What a pixel of a frame takes at the most, measured with lacosmic and interpolate."""
BASE_BYTES = 250_000_000
"""What Python and the libraries take before the first pixel."""


@dataclass(frozen=True)
class WindowPlan:
    """How a frame is cut."""

    rows: int
    """Rows of a band, without halo."""
    halo: int
    """Rows above and below that all stages together can look at."""

    def bands(self, height: int) -> Iterator[tuple[slice, slice]]:
        """Yield (rows to read, the band's own rows within them)."""
        for start in range(0, height, self.rows):
            stop = min(start + self.rows, height)
            first, last = max(start - self.halo, 0), min(stop + self.halo, height)
            yield slice(first, last), slice(start - first, stop - first)


def plan_windows(
    exposure: Exposure, stages: Sequence[Stage], config: PipelineConfig, *, limit: int
) -> WindowPlan | None:
    """Return how the frames of a file are cut, or None where they fit into memory.

    Parameters
    ----------
    exposure : Exposure
        The input; one pixel is read, for the halos.
    stages : sequence of Stage
        In order.
    config : PipelineConfig
        The pipeline.
    limit : int
        Bytes for one process.

    Returns
    -------
    WindowPlan or None
        The same for all frames of the file.

    Raises
    ------
    NeedError
        A stage, or the form of the file, needs the whole frame, or the limit is too low.
    """
    height, width = max((s.science.shape[-2:] for s in exposure.slots), key=lambda s: s[0] * s[1])
    if height * width * BYTES_PER_PIXEL + BASE_BYTES <= limit:
        return None
    where = exposure.source.path.name
    corner = exposure.frame(exposure.slots[0], (slice(0, 1), slice(0, 1)))
    halos = {stage.name: stage.halo(corner) for stage in stages}
    problem = _obstacle(exposure, stages, config, halos)
    if problem is not None:
        raise NeedError(
            f"{height} x {width} pixels do not fit into the memory limit, and {problem}",
            where=where,
            remedy="Raise --max-memory, lower -j, or leave the stage out.",
        )
    halo = sum(own or 0 for own in halos.values())
    rows = int((limit - BASE_BYTES) / (BYTES_PER_PIXEL * width)) - 2 * halo
    if rows < 1:
        needed = BASE_BYTES + (2 * halo + 1) * width * BYTES_PER_PIXEL
        raise NeedError(
            f"a band of one row and its halo of {halo} needs {needed / 1e6:.0f} MB a process",
            where=where,
            received=f"{limit / 1e6:.0f} MB",
            remedy="Raise --max-memory or lower -j.",
        )
    return WindowPlan(rows, halo)


def _obstacle(
    exposure: Exposure,
    stages: Sequence[Stage],
    config: PipelineConfig,
    halos: Mapping[str, int | None],
) -> str | None:
    """Return what forbids windows, if anything does."""
    for stage in stages:
        if halos[stage.name] is None:
            return f"stage '{stage.name}' needs the whole frame"
        if stage.branch is not None or "sources" in stage.provides().fields:
            return f"what stage '{stage.name}' makes is of the whole frame"
    packed = any(slot.science.is_compressed for slot in exposure.slots)
    estimated = config.psf is not None and config.psf.estimate
    reasons = {
        "a tile-compressed file is written as a whole (funpack it first)": packed,
        "aligned bands are processed as a whole": bool(config.bands),
        "stages are saved as a whole (run.keep_stages)": config.run.keep_stages,
        "the PSF is estimated from the whole frame": estimated,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


@dataclass
class _Stores:
    """The images of one frame as they grow."""

    folder: Path
    shape: tuple[int, int]
    images: dict[str, RowStore] = field(default_factory=dict)

    def append(self, name: str, rows: Any) -> None:
        if name not in self.images:
            path = self.folder / f"{len(self.images)}.rows"
            self.images[name] = RowStore(path, self.shape, np.asarray(rows).dtype)
        self.images[name].append(rows)


@dataclass
class _Sums:
    """What is counted over the bands, own rows only."""

    changed: int = 0
    flagged: int = 0
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    total_before: float = 0.0
    total_after: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)


def run_by_windows(
    exposure: Exposure,
    slot: FrameSlot,
    stages: Sequence[Stage],
    *,
    file_plan: FilePlan,
    scratch: Path,
) -> FrameWork:
    """Run stages on one frame, band by band.

    Parameters
    ----------
    exposure : Exposure
        The input, open.
    slot : FrameSlot
        The frame.
    stages : sequence of Stage
        In order; all local.
    file_plan : FilePlan
        How the frame is cut, where the PSF comes from, and what is kept.
    scratch : Path
        Empty folder for the images of the frame.

    Returns
    -------
    FrameWork
        Its images are :class:`RowStore`; metrics of the stages are left out of the record, since
        bands overlap.
    """
    plan, source = file_plan.windows, file_plan.psf_source
    assert plan is not None
    keep = file_plan.pipeline.config.products.keep
    height, width = slot.science.shape[-2:]
    stores, sums = _Stores(scratch, (height, width)), _Sums()
    for read, own in plan.bands(height):
        before = exposure.frame(slot, (read, slice(0, width)))
        states = run_stages({"": FrameState(before)}, stages, psf_sources={"": source})
        work = finish_frame(before, states[""], slot, pictures=False)
        _store(stores, kept_output(work.output, keep), own)
        _add(sums, before.flags[own], before.data[own], work, own)
    return _joined(work, stores, sums, plan)


def _store(stores: _Stores, output: FrameOutput, own: slice) -> None:
    for name in ("data", "changed", "flags", "uncertainty"):
        image = getattr(output, name)
        if image is not None:
            stores.append(name, image[own])
    if output.uncertainty is not None:
        touched = output.uncertainty_changed
        none = np.zeros(output.data.shape, dtype=bool)
        stores.append("uncertainty_changed", (none if touched is None else touched)[own])
    for name, image in output.products.items():
        stores.append(f"product {name}", np.asarray(image)[own])


def _add(sums: _Sums, flags: Any, data: Any, work: FrameWork, own: slice) -> None:
    output = work.output
    sums.changed += int(np.count_nonzero(output.changed[own]))
    sums.flagged += int(np.count_nonzero(output.flags[own]))
    for counts, planes in ((sums.before, flags), (sums.after, output.flags[own])):
        for name, count in count_planes(planes).items():
            counts[name] = counts.get(name, 0) + count
    sums.total_before += float(np.nansum(data, dtype=np.float64))
    sums.total_after += float(np.nansum(output.data[own], dtype=np.float64))
    for stage in work.record.stages:
        sums.seconds[stage.name] = sums.seconds.get(stage.name, 0.0) + stage.seconds
    sums.notes.update(dict.fromkeys(work.notes))


def _joined(last: FrameWork, stores: _Stores, sums: _Sums, plan: WindowPlan) -> FrameWork:
    """Return the work of the frame from its bands; ``last`` tells what all have in common."""
    images = stores.images
    touched = images.get("uncertainty_changed")
    output = FrameOutput(
        slot=last.output.slot,
        data=images["data"],
        changed=images["changed"],
        flags=images["flags"],
        uncertainty=images.get("uncertainty"),
        uncertainty_changed=touched if touched is not None and touched.any() else None,
        history=last.output.history,
        products={
            name.removeprefix("product "): image
            for name, image in images.items()
            if name.startswith("product ")
        },
    )
    order = {name: number for number, name in enumerate(last.record.flagged_after)}
    record = FrameRecord(
        frame_id=last.record.frame_id,
        hdu=last.record.hdu,
        plane=last.record.plane,
        shape=stores.shape,
        unit=last.record.unit,
        pixels_changed=sums.changed,
        pixels_flagged=sums.flagged,
        flagged_before=sums.before,
        flagged_after=dict(sorted(sums.after.items(), key=lambda kv: order.get(kv[0], 99))),
        statistics={"sum before": sums.total_before, "sum after": sums.total_after},
        psf=last.record.psf,
        stages=[_without_metrics(stage, sums) for stage in last.record.stages],
    )
    bands = -(-stores.shape[0] // plan.rows)
    note = (
        f"{last.record.frame_id}: processed in {bands} windows of {plan.rows} rows with a halo of "
        f"{plan.halo}; no pictures, and metrics of the stages are left out"
    )
    return FrameWork(output, record, None, {}, (*sums.notes, note))


def _without_metrics(stage: StageRecord, sums: _Sums) -> StageRecord:
    return stage.model_copy(update={"seconds": sums.seconds[stage.name], "metrics": {}})
