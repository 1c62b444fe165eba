"""The sources of a frame that is processed in chunks: each once, whole, and numbered."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.image.grid import Grid
from astroclean.core.sources.columns import UCD, column_of
from astroclean.core.sources.sources import Sources
from astroclean.core.stage.kinds.deblend import SEGMENTATION
from astroclean.core.stage.scope import chunk_of, is_own
from astroclean.io.products.segmentation import listed_labels
from astroclean.io.scratch.rowstore import RowStore

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from astropy.table import QTable
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.image.layer import Layer
    from astroclean.core.sources.sources import SourceStamp

__all__ = ["JoinedSources", "numbered_layers"]

_SAME = 1.5
"""Pixels within which two chunks that see the same rows mean the same source."""
_LINK = "meta.id.assoc"
"""UCD of columns of integers that have the ``id`` of another source, 0 for none."""


def numbered_layers(layers: Mapping[str, Layer], sources: Sources | None) -> dict[str, Layer]:
    """Return layers of a frame whose segmentation counts as its sources do.

    Each chunk has numbers of its own, and a later stage may have given other sources than the one
    that gave the layer. Where nothing tells which are the same, the layer is left out: numbers that
    are those of other sources would be worse than none.

    Parameters
    ----------
    layers : mapping of str to Layer
        By name.
    sources : Sources or None
        Of the frame, after all stages; of chunks as `JoinedSources` gives them.
    """
    name = SEGMENTATION.name
    if name not in layers:
        return dict(layers)
    labels = None
    if sources is not None and sources.segmentation is not None:
        labels = listed_labels(sources)
    if labels is None or labels.shape != layers[name].data.shape:
        return {other: layer for other, layer in layers.items() if other != name}
    # In its place: the order of layers is that of the HDUs.
    return {**layers, name: replace(layers[name], data=labels)}


@dataclass
class _Seen:
    """The sources that a chunk saw."""

    places: NDArray[np.float64]
    """(n, 2) x and y in pixels of the frame."""
    labels: NDArray[np.int64]
    """Of each, in the segmentation on disk."""


@dataclass
class JoinedSources:
    """Sources of chunks, in order of their rows, as those of the frame.

    A source is taken from the chunk in whose own rows its centre lies. Two chunks see the rows at
    their border with other neighbours, so that a centre may move a little: what one of them has
    taken, the other does not take again. In the segmentation each chunk writes its own rows, with
    labels of its own; which of them are the same source is looked up when rows are read.
    """

    shape: tuple[int, int]
    folder: Path
    cut: int = 0
    """Sources that reach beyond the rows that their chunk saw."""
    _tables: list[QTable] = field(default_factory=list)
    _stamps: list[SourceStamp] = field(default_factory=list)
    _ids: list[int] = field(default_factory=lambda: [0])
    """Number of the source that each label on disk is; 0 for none."""
    _older: dict[int, int] = field(default_factory=dict)
    """Label to that of the same source in the chunk before."""
    _count: int = 0
    _ids_stay: bool = False
    _before: _Seen | None = None
    _segmentation: RowStore | None = None
    _whole: Sources | None = None
    """What has been joined; every chunk of the next pass asks for it."""

    def add(
        self, frame: Frame, sources: Sources, own: slice, *, given: Sources | None = None
    ) -> None:
        """Add those of a chunk.

        Parameters
        ----------
        frame : Frame
            The chunk.
        sources : Sources
            In pixels of the chunk. Not modified.
        own : slice
            Rows of the chunk that are its own.
        given : Sources, optional
            Those that an earlier pass found there: where all are among them, numbers stay.
        """
        chunk = chunk_of(frame)
        top = chunk.origin[0]
        ends = top + range(frame.shape[0])[own].stop
        table = sources.table.copy()
        _enter(table, "y", np.asarray(table["y"], dtype=float) + top)
        places = np.column_stack([np.asarray(table[name], dtype=float) for name in ("x", "y")])
        is_taken = is_own(frame, sources.table["y"])
        ids, labels = np.asarray(table["id"]), len(self._ids) + np.arange(len(table))
        numbers = np.zeros(len(table), dtype=int)
        stays = sources.ids_stay or (
            given is not None and bool(np.isin(ids, np.asarray(given.table["id"])).all())
        )
        self._ids_stay = sources.ids_stay
        if stays:
            numbers[:] = ids
        else:
            same = self._known(places, ends, is_taken)
            self.cut += self._cut_off(sources, ids[is_taken], top)
            numbers[is_taken] = self._count + 1 + np.arange(np.count_nonzero(is_taken))
            for position, label in same.items():
                numbers[position] = self._ids[label] or numbers[position]
                self._name(label, int(numbers[position]))
                self._older[int(labels[position])] = label
        self._count += int(np.count_nonzero(is_taken))
        self._write(sources.segmentation, ids, labels, own)
        self._ids += numbers.tolist()
        _enter(table, "id", numbers.astype(table["id"].dtype))
        for name in _links(table):
            named = np.asarray(table[name])
            # Which number the other source gets is not known before the last chunk; one that is
            # known already is kept as a negative one: its source may lie beyond this chunk.
            table[name][:] = -named if stays else _labels_of(named, ids, labels)
        self._tables.append(table[is_taken])
        number_of = dict(zip(ids[is_taken].tolist(), numbers[is_taken].tolist(), strict=True))
        self._stamps += [
            replace(s, id=number_of[int(s.id)], origin=(s.origin[0] + top, s.origin[1]))
            for s in sources.stamps
            if int(s.id) in number_of
        ]
        self._before, self._whole = _Seen(places, labels), None

    def _known(
        self, places: NDArray[np.float64], ends: int, is_taken: NDArray[np.bool_]
    ) -> dict[int, int]:
        """Return position to label of what the chunk before saw, too; decide who has it."""
        from scipy.spatial import cKDTree  # noqa: PLC0415 - slow to import

        before = self._before
        if before is None or not len(before.places) or not len(places):
            return {}
        distances, nearest = cKDTree(before.places).query(places, distance_upper_bound=_SAME)
        same = {}
        for position in np.flatnonzero(np.isfinite(distances)):
            seen = int(nearest[position])
            label = int(before.labels[seen])
            # Once it is taken, it is not taken again; what nobody took is taken before it is past.
            is_taken[position] = not self._ids[label] and round(places[position, 1]) < ends
            same[int(position)] = label
        return same

    def _name(self, label: int | None, number: int) -> None:
        """Enter the number of a source under all labels that it had in earlier chunks."""
        while label is not None and not self._ids[label]:
            self._ids[label] = number
            label = self._older.get(label)

    def _write(
        self,
        segmentation: NDArray[np.int32] | None,
        ids: NDArray[Any],
        labels: NDArray[np.int64],
        own: slice,
    ) -> None:
        if segmentation is None:
            return
        if self._segmentation is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._segmentation = RowStore(self.folder / "labels.rows", self.shape, np.int32)
        self._segmentation.append(_labels_of(segmentation[own], ids, labels))

    def _cut_off(self, sources: Sources, ids: NDArray[Any], top: int) -> int:
        """Return how many sources reach the first or last row seen, where the frame goes on."""
        labels = sources.segmentation
        if labels is None:
            return 0
        edges = []
        if top > 0:
            edges.append(labels[0])
        if top + len(labels) < self.shape[0]:
            edges.append(labels[-1])
        touched = np.unique(np.concatenate(edges)) if edges else np.empty(0, int)
        return int(np.count_nonzero(np.isin(ids, touched)))

    def _labels(self, pixels: NDArray[np.int32]) -> NDArray[np.int32]:
        return np.asarray(self._ids, dtype=np.int32)[pixels]

    def whole(self) -> Sources | None:
        """Return the sources of the frame; None where no chunk gave any catalogue.

        Their segmentation is a `RowStore`.
        """
        if self._whole is None and self._tables:
            self._whole = self._joined()
        return self._whole

    def _joined(self) -> Sources:
        from astropy.table import vstack  # noqa: PLC0415 - heavy

        table = vstack(self._tables, metadata_conflicts="silent")
        for name in _links(table):
            named = np.asarray(table[name])
            table[name][:] = np.where(named < 0, -named, self._labels(np.maximum(named, 0)))
        # A pass with other chunks meets them in another order.
        table = table[np.argsort(np.asarray(table["id"]), kind="stable")]
        stamps = sorted(self._stamps, key=lambda stamp: int(stamp.id))
        segmentation: Any = self._segmentation and self._segmentation.mapped(self._labels)
        grid = Grid(self.shape)
        return Sources(table, segmentation, tuple(stamps), grid, ids_stay=self._ids_stay)

    def within(self, frame: Frame) -> Sources | None:
        """Return the sources whose centre lies in a chunk, in its pixels.

        Parameters
        ----------
        frame : Frame
            The chunk.
        """
        whole = self.whole()
        if whole is None:
            return None
        top, height = chunk_of(frame).origin[0], frame.shape[0]
        y = np.asarray(whole.table["y"], dtype=float)
        here = (np.rint(y) >= top) & (np.rint(y) < top + height)
        table = whole.table[here]
        _enter(table, "y", np.asarray(table["y"], dtype=float) - top)
        ids = {int(number) for number in table["id"]}
        labels = whole.segmentation
        return Sources(
            table,
            None if labels is None else labels[slice(top, top + height)],
            tuple(
                replace(s, origin=(s.origin[0] - top, s.origin[1]))
                for s in whole.stamps
                if int(s.id) in ids
            ),
            Grid.from_frame(frame),
            whole.ids_stay,
        )


def _enter(table: QTable, name: str, values: NDArray[Any]) -> None:
    """Give a column other values, in place; its description stays."""
    told = table[name].info
    description, meta = told.description, told.meta
    table[name] = values
    table[name].info.description = description
    if meta:
        table[name].info.meta = meta


def _links(table: QTable) -> list[str]:
    """Return the columns that name another source."""
    known = {name: column_of(name) for name in table.colnames}
    ucds = {name: "" if column is None else column.ucd for name, column in known.items()}
    return [
        name
        for name in table.colnames
        if (table[name].info.meta or {}).get(UCD, ucds[name]) == _LINK
        and table[name].dtype.kind == "i"
    ]


def _labels_of(
    named: NDArray[Any], ids: NDArray[Any], labels: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Return the label of the source that each number names, 0 where it is none of ``ids``."""
    if not len(ids):
        return np.zeros(named.shape, dtype=np.int32)
    order = np.argsort(ids)
    of_source = order[np.searchsorted(ids, named, sorter=order).clip(0, len(ids) - 1)]
    return np.where(ids[of_source] == named, labels[of_source], 0).astype(np.int32)
