"""Sources of chunks: each once, with all of its pixels, whatever the chunks were."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import QTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from astroclean.core.image.frame import Frame
from astroclean.core.sources.sources import Sources, SourceStamp
from astroclean.core.stage.scope import Chunk
from astroclean.runner.work.joined_sources import JoinedSources

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHAPE = (120, 40)
REACH = 6
"""Rows to which a disc reaches; the halo is more."""
CUTS = st.sets(st.integers(1, 119), max_size=6).map(lambda cuts: [0, *sorted(cuts), 120])
PLACES = st.lists(st.tuples(st.integers(0, 119), st.integers(0, 3)), unique=True, max_size=14)


def chunks(cuts: list[int], halo: int) -> Iterator[tuple[Frame, slice]]:
    for begins, ends in itertools.pairwise(cuts):
        first, last = max(begins - halo, 0), min(ends + halo, SHAPE[0])
        own = slice(begins - first, ends - first)
        chunk = Chunk((first, 0), SHAPE, own=own)
        frame = Frame(np.zeros((last - first, SHAPE[1])), unit="adu").replace(chunk=chunk)
        yield frame, own


def apart(places: list[tuple[int, int]]) -> list[tuple[float, float]]:
    """Return centres of discs that do not overlap: one column each, 16 rows apart there."""
    kept: list[tuple[float, float]] = []
    for y, column in sorted(places):
        x = 5.0 + 10 * column
        if all(x != other or y - row > 2 * REACH + 3 for row, other in kept):
            kept.append((float(y), x))
    return kept


def seen(frame: Frame, centres: list[tuple[float, float]], rng: Any) -> Sources:
    """Return the discs that a chunk sees, with labels of its own and centres a little off."""
    assert frame.chunk is not None
    top = frame.chunk.origin[0]
    y, x = np.indices(frame.shape)
    labels = np.zeros(frame.shape, np.int32)
    rows = []
    order = rng.permutation(len(centres))
    for number in order:
        cy, cx = centres[number]
        disc = (np.abs(y + top - cy) <= REACH - 2) & (np.abs(x - cx) <= 2)
        if disc.any():
            label = 3 + 2 * len(rows)
            labels[disc] = label
            rows.append((label, cx, cy - top + rng.uniform(-0.45, 0.45)))
    columns = list(zip(*rows, strict=True)) if rows else [[], [], []]
    table = QTable([np.asarray(c) for c in columns], names=["id", "x", "y"])
    table["id"] = table["id"].astype(int)
    stamps = tuple(
        SourceStamp(label, (round(cy), round(cx)), np.ones((1, 1), np.float32))
        for label, cx, cy in rows
    )
    return Sources(table, labels, stamps)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)
@given(places=PLACES, cuts=CUTS, seed=st.integers(0, 99))
def test_each_source_is_there_once_with_its_pixels(
    tmp_path: Path, places: list[tuple[int, int]], cuts: list[int], seed: int
) -> None:
    rng, centres = np.random.default_rng(seed), apart(places)
    joined = JoinedSources(SHAPE, tmp_path / "labels")
    for frame, own in chunks(cuts, halo=2 * REACH):
        joined.add(frame, seen(frame, centres, rng), own)
    whole = joined.whole()
    assert whole is not None
    assert whole.table["id"].tolist() == list(range(1, len(centres) + 1))
    found = sorted(zip(np.asarray(whole.table["x"]), np.asarray(whole.table["y"]), strict=True))
    wanted = sorted((x, y) for y, x in centres)
    assert np.allclose(found, wanted, atol=0.5) if wanted else not found
    assert joined.cut == 0
    assert len(whole.stamps) == len(centres)
    labels = whole.segmentation[slice(0, SHAPE[0])]
    y, x = np.indices(SHAPE)
    left = labels.copy()
    for cy, cx in centres:
        disc = (np.abs(y - cy) <= REACH - 2) & (np.abs(x - cx) <= 2)
        (number,) = np.unique(labels[disc])
        (row,) = whole.table[whole.table["id"] == number]
        assert row["x"] == cx
        assert abs(row["y"] - cy) < 0.5
        left[disc] = 0
    assert not left.any()


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None
)
@given(places=PLACES, cuts=CUTS, others=CUTS, seed=st.integers(0, 99))
def test_numbers_stay_in_later_passes(
    tmp_path: Path,
    places: list[tuple[int, int]],
    cuts: list[int],
    others: list[int],
    seed: int,
) -> None:
    rng, centres = np.random.default_rng(seed), apart(places)
    first = JoinedSources(SHAPE, tmp_path / "first")
    for frame, own in chunks(cuts, halo=2 * REACH):
        first.add(frame, seen(frame, centres, rng), own)
    second = JoinedSources(SHAPE, tmp_path / "second", first.cut)
    for frame, own in chunks(others, halo=2):
        given_there = first.within(frame)
        assert given_there is not None
        second.add(frame, given_there, own, given=given_there)
    before, after = first.whole(), second.whole()
    assert before is not None
    assert after is not None
    assert np.array_equal(after.table["id"], before.table["id"])
    assert np.allclose(after.table["y"], before.table["y"])
    assert np.allclose(after.table["x"], before.table["x"])


def test_a_column_that_names_another_source_names_it_in_the_whole_frame(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    centres = [(12.0 + 16 * row, 5.0 + 10 * column) for row in range(6) for column in range(4)]

    def linked(sources: Sources) -> Sources:
        """Name the source to the right, in the last column that to the left; none for the first."""
        table = sources.table
        number = {(round(float(r["x"])), round(float(r["y"]))): int(r["id"]) for r in table}
        other = []
        for row in table:
            x, y = round(float(row["x"])), round(float(row["y"]))
            beside = x + 10 if x < 35 else x - 10
            other.append(0 if x == 5 else number[(beside, y)])
        table["flux_covariance_id"] = np.array(other, dtype=np.int32)
        # Other numbers, of no source of the frame, are left alone.
        table["survey_id"] = np.arange(len(table)) + 10**12
        return sources

    def checked(sources: Sources | None, *, whole: bool) -> None:
        assert sources is not None
        table = sources.table
        place = {int(row["id"]): (float(row["x"]), float(row["y"])) for row in table}
        for row in table:
            x, y = place[int(row["id"])]
            other = int(row["flux_covariance_id"])
            assert (other == 0) == (x == 5)
            if other and (whole or other in place):
                assert place[other][0] == (x + 10 if x < 35 else x - 10)
                assert abs(place[other][1] - y) < 1
            assert row["survey_id"] >= 10**12

    first = JoinedSources(SHAPE, tmp_path / "first")
    for frame, own in chunks([0, 33, 64, 120], halo=20):
        sources = seen(frame, centres, rng)
        sources.table["y"] = np.rint(sources.table["y"])
        sources.table["y"].info.description = "center"
        first.add(frame, linked(sources), own)
    checked(first.whole(), whole=True)
    assert first.whole().table["y"].info.description == "center"  # type: ignore[union-attr]
    later = JoinedSources(SHAPE, tmp_path / "later")
    for frame, own in chunks([0, 50, 120], halo=3):
        given = first.within(frame)
        assert given is not None
        checked(given, whole=False)
        later.add(frame, given, own, given=given)
    checked(later.whole(), whole=True)


def test_a_source_that_a_chunk_does_not_see_whole_is_counted(tmp_path: Path) -> None:
    joined = JoinedSources(SHAPE, tmp_path / "labels")
    for frame, own in chunks([0, 60, 120], halo=2):
        joined.add(frame, seen(frame, [(59.0, 15.0)], np.random.default_rng(1)), own)
    assert joined.cut == 1
    assert len(joined.whole() or ()) == 1
