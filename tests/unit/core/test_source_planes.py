"""Catalogues say how many pixels of a source are saturated, filled and flagged, and by what."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.sources.source_planes import (
    PLANE_COLUMNS,
    with_plane_columns,
    with_plane_columns_of,
)
from astroclean.core.sources.sources import Sources
from astroclean.core.stage.kinds.deblend import Deblender
from astroclean.core.stage.options import StageOptions
from astroclean.core.stage.results import Separation
from astroclean.io.products.catalogs import write_catalog

if TYPE_CHECKING:
    from collections.abc import Sequence

SHAPE = (40, 60)
P = MaskPlane


def catalogue(segmentation: np.ndarray | None, ids: Sequence[int]) -> Sources:
    table = QTable({"id": list(ids), "x": np.zeros(len(ids)), "y": np.zeros(len(ids))})
    return Sources(table, segmentation=segmentation)


class TwoSquares(Deblender):
    """A deblender that, as all do, reads no rejected pixel."""

    Options = StageOptions

    def separate(self, frame: Frame) -> Separation:
        labels = np.zeros(frame.shape, dtype=np.int32)
        labels[5:16, 5:16] = 7
        labels[20:31, 30:41] = 3
        labels[frame.mask] = 0
        return Separation(catalogue(labels, [3, 7]))


def columns(table: QTable, number: int) -> tuple[int, ...]:
    (row,) = table[table["id"] == number]
    return tuple(int(row[name]) for name in PLANE_COLUMNS)


def test_a_saturated_core_and_a_filled_hit() -> None:
    core, hit = np.zeros(SHAPE, dtype=bool), np.zeros(SHAPE, dtype=bool)
    core[8:13, 8:13] = True
    hit[25, 33:37] = True
    frame = Frame(np.ones(SHAPE), unit="adu").add_planes(core, P.SATURATED)
    frame = frame.add_planes(hit, P.COSMIC_RAY | P.INTERPOLATED)
    table = TwoSquares().run(frame).frame.sources.table
    assert columns(table, 7) == (25, 0, 25, P.SATURATED)
    assert columns(table, 3) == (0, 4, 4, P.COSMIC_RAY | P.INTERPOLATED)
    assert table.colnames[-4:] == list(PLANE_COLUMNS)
    assert [table[name].dtype for name in PLANE_COLUMNS] == ["i4", "i4", "i4", "u4"]


def test_an_inpainted_pixel_is_filled_and_what_informs_only_is_in_planes() -> None:
    frame = Frame(np.ones(SHAPE), unit="adu")
    flags = frame.flags.copy()
    flags[10, 10] = P.INPAINTED
    flags[11, 11] = P.FRINGE | P.SOURCE
    flags[12, 12] = P.USER_3
    table = TwoSquares().run(frame.replace(flags=flags)).frame.sources.table
    assert columns(table, 7) == (0, 1, 0, P.INPAINTED | P.FRINGE | P.USER_3)
    assert columns(table, 3) == (0, 0, 0, 0)


def test_rejecting_planes_are_those_of_the_run() -> None:
    frame = Frame(np.ones(SHAPE), unit="adu", reject_bits=P.NEBULOSITY)
    flags = frame.flags.copy()
    flags[8:10, 8] = P.NEBULOSITY
    flags[25, 35] = P.SATURATED
    table = TwoSquares().run(frame.replace(flags=flags)).frame.sources.table
    assert columns(table, 7) == (0, 0, 2, P.NEBULOSITY)
    assert columns(table, 3) == (1, 0, 0, P.SATURATED)


def test_a_bleed_trail_counts_within_the_box_of_its_star() -> None:
    labels = np.zeros(SHAPE, dtype=np.int32)
    labels[10:21, 10:21] = 1
    labels[10:21, 15] = 0
    trail = np.zeros(SHAPE, dtype=bool)
    trail[:, 15] = True
    frame = Frame(np.ones(SHAPE), unit="adu").add_planes(trail, P.SATURATED)
    table = with_plane_columns(catalogue(labels, [1]), frame).table
    assert columns(table, 1) == (11, 0, 11, P.SATURATED)


def test_rejected_pixels_between_sources_belong_to_the_nearest() -> None:
    labels = np.zeros(SHAPE, dtype=np.int32)
    labels[10:15, 10:14], labels[10:15, 16:20] = 1, 2
    labels[9, 10:20], labels[9, 15] = 1, 2  # the boxes overlap
    between = np.zeros(SHAPE, dtype=bool)
    between[10:15, 14] = between[10:15, 15] = True
    frame = Frame(np.ones(SHAPE), unit="adu").add_planes(between, P.HOT_PIXEL)
    table = with_plane_columns(catalogue(labels, [1, 2]), frame).table
    counts = [columns(table, number)[2] for number in (1, 2)]
    assert sum(counts) == 10
    assert min(counts) >= 4


def test_rejected_pixels_away_from_sources_count_for_none() -> None:
    labels = np.zeros(SHAPE, dtype=np.int32)
    labels[10:15, 10:15] = 1
    away = np.zeros(SHAPE, dtype=bool)
    away[0, :], away[17, 12], away[12, 17] = True, True, True
    frame = Frame(np.ones(SHAPE), unit="adu").add_planes(away, P.DEAD_PIXEL)
    assert columns(with_plane_columns(catalogue(labels, [1]), frame).table, 1) == (0, 0, 0, 0)


def test_the_input_stays_and_ids_may_be_any() -> None:
    labels = np.zeros(SHAPE, dtype=np.int32)
    labels[0, 0], labels[0, 1], labels[0, 2] = 2_000_000_000, 5, 8  # 8 has no row
    sources = catalogue(labels, [5, 2_000_000_000, 6])
    flags = np.full(SHAPE, int(P.BRIGHT), dtype=np.uint32)
    counted = with_plane_columns(sources, Frame(np.ones(SHAPE), unit="adu", flags=flags))
    assert list(counted.table["planes"]) == [P.BRIGHT, P.BRIGHT, 0]
    assert sources.table.colnames == ["id", "x", "y"]
    assert np.array_equal(sources.segmentation, counted.segmentation)


def test_without_a_segmentation_nothing_is_counted() -> None:
    sources = catalogue(None, [1])
    assert with_plane_columns(sources, Frame(np.ones(SHAPE), unit="adu")) is sources


def test_a_later_catalogue_of_the_same_sources_keeps_what_was_counted() -> None:
    core = np.zeros(SHAPE, dtype=bool)
    core[8:13, 8:13] = True
    frame = Frame(np.ones(SHAPE), unit="adu").add_planes(core, P.SATURATED)
    earlier = TwoSquares().run(frame).frame.sources
    fitted = with_plane_columns_of(catalogue(None, [7]), earlier)
    assert columns(fitted.table, 7) == (25, 0, 25, P.SATURATED)
    assert fitted.table["planes"].dtype == "u4"
    assert fitted.table["planes"].info.description == PLANE_COLUMNS["planes"]
    assert len(with_plane_columns_of(catalogue(None, []), earlier)) == 0


def test_a_later_catalogue_of_other_sources_gains_nothing() -> None:
    earlier = TwoSquares().run(Frame(np.ones(SHAPE), unit="adu")).frame.sources
    other = catalogue(None, [7, 8])
    assert with_plane_columns_of(other, earlier) is other
    assert with_plane_columns_of(earlier, earlier) is earlier
    assert with_plane_columns_of(other, None) is other
    assert with_plane_columns_of(other, catalogue(None, [7, 8])) is other


def test_no_source_at_all_has_the_columns() -> None:
    empty = catalogue(np.zeros(SHAPE, dtype=np.int32), [])
    flags = np.full(SHAPE, int(P.SATURATED), dtype=np.uint32)
    table = with_plane_columns(empty, Frame(np.ones(SHAPE), unit="adu", flags=flags)).table
    assert table.colnames[-4:] == list(PLANE_COLUMNS)
    assert len(table) == 0


def test_a_sum_by_hand_on_random_flags() -> None:
    random = np.random.default_rng(1)
    planes = np.array([0, 0, 0, P.SATURATED, P.INTERPOLATED, P.FRINGE], dtype=np.uint32)
    flags = random.choice(planes, SHAPE) | random.choice(planes, SHAPE)
    labels = np.kron(random.permutation(24).reshape(4, 6), np.ones((10, 10))).astype(np.int32)
    ids = [number for number in random.permutation(24) if number]
    frame = Frame(np.ones(SHAPE), unit="adu", flags=flags)
    # Rejected pixels of sky beside sources are counted elsewhere.
    frame = frame.replace(flags=np.where(labels == 0, 0, flags).astype(np.uint32))
    table = with_plane_columns(catalogue(labels, ids), frame).table
    for number in ids:
        own = frame.flags[labels == number]
        saturated = np.count_nonzero(own & np.uint32(P.SATURATED))
        filled = np.count_nonzero(own & np.uint32(P.INTERPOLATED))
        joined = int(np.bitwise_or.reduce(own))
        assert columns(table, number) == (saturated, filled, saturated, joined)


@pytest.mark.parametrize("suffix", [".fits", ".ecsv"])
def test_files_hold_the_columns_and_explain_them(suffix: str) -> None:
    core = np.zeros(SHAPE, dtype=bool)
    core[8:13, 8:13] = True
    flags = np.where(core, P.SATURATED | P.USER_3, 0).astype(np.uint32)
    frame = Frame(np.ones(SHAPE), unit="adu", flags=flags)
    sources = TwoSquares().run(frame).frame.sources
    target = io.BytesIO()
    write_catalog([("[SCI,1]", sources)], target, suffix=suffix)
    target.seek(0)
    if suffix == ".fits":
        hdu = fits.open(target)[1]
        table, header = hdu.data, hdu.header
        place = table.names.index("planes") + 1
        told = header[f"TCOMM{place}"]
        assert header["TCOMM1"] == "frame of the input file"
    else:
        table = QTable.read(target.read().decode(), format="ascii.ecsv")
        told = table["planes"].info.description
    assert list(table["planes"]) == [0, P.SATURATED | P.USER_3]
    assert list(table["n_saturated"]) == [0, 25]
    for name in ("9 SATURATED", "20 INTERPOLATED", "31 USER_3"):
        assert name in told
