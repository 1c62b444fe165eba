"""What the record of a file says of its frames, once it is known what was written of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astroclean.io.products.groups import by_science
from astroclean.report.model import LayerRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astroclean.core.image.layer import Layer
    from astroclean.report.model import FrameRecord
    from astroclean.runner.plan.plan import FilePlan
    from astroclean.runner.work.state import FrameWork

__all__ = ["frame_records", "kept_science"]


def frame_records(plan: FilePlan, works: Sequence[FrameWork]) -> list[FrameRecord]:
    """Return the records of the frames of a file, with the layers that were written.

    Where a layer took the place of the science image, it is told, and changed pixels are those in
    which that layer differs from what was read.

    Parameters
    ----------
    plan : FilePlan
        What was to be done.
    works : sequence of FrameWork
        All its frames, in order.
    """
    replaced = _replaced(plan, works)
    records = []
    for work in works:
        told: dict[str, object] = {"layers": _layer_records(work.output.layers)}
        if work.output.slot.science.index in replaced:
            told |= {"replaced_by": work.output.result, "pixels_changed": work.changed_by_result}
        records.append(work.record.model_copy(update=told))
    return records


def kept_science(plan: FilePlan, works: Sequence[FrameWork]) -> list[str]:
    """Return a note for each science image that was to be replaced, and stays."""
    if not plan.products.replace:
        return []
    replaced = _replaced(plan, works)
    return [
        f"{work.output.slot.label}: replace: {work.output.result} lies on pixels of its own; it is "
        "an HDU beside the science image, which stays"
        for work in works
        if work.output.result is not None and work.output.slot.science.index not in replaced
    ]


def _replaced(plan: FilePlan, works: Sequence[FrameWork]) -> set[int]:
    """Return the science HDUs in whose place a layer was written."""
    if not (plan.products.replace and plan.products.science):
        return set()
    groups = by_science([work.output for work in works])
    return {index for index, group in groups.items() if all(o.can_be_replaced for o in group)}


def _layer_records(layers: Mapping[str, Layer]) -> list[LayerRecord]:
    """Return what the record of a frame says of its layers."""
    records = []
    for name, layer in layers.items():
        assert layer.declared is not None
        ny, nx = layer.data.shape
        records.append(
            LayerRecord(
                name=name,
                meaning=layer.declared.meaning,
                shape=(ny, nx),
                unit="" if layer.unit is None else layer.unit.to_string(),
                uncertainty=layer.uncertainty is not None,
                psf=layer.psf is not None,
            )
        )
    return records
