"""Mask conventions: official values, round trips, values that no table knows."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from astroclean.core.configs import list_configs
from astroclean.core.flags.conventions import Convention, load_convention
from astroclean.core.flags.planes import REJECTING, MaskPlane, parse_planes
from astroclean.errors import ConventionError

NAMES = [*list_configs("conventions"), "astroclean"]

# Values as printed in the official documents, with the planes that they mean (none: harmless).
OFFICIAL = [
    ("hst-acs", 2, "NO_DATA"),
    ("hst-acs", 4, "BAD_PIXEL"),
    ("hst-acs", 8, "OVERSCAN"),
    ("hst-acs", 16, "SUSPECT"),
    ("hst-acs", 32, "HOT_PIXEL"),
    ("hst-acs", 64, "SUSPECT"),
    ("hst-acs", 128, "HOT_LINE"),
    ("hst-acs", 256, "SATURATED"),
    ("hst-acs", 2048, "SATURATED"),
    ("hst-acs", 4096, "COSMIC_RAY"),
    ("hst-acs", 8192, "COSMIC_RAY"),
    ("hst-wfc3", 16, "HOT_PIXEL"),
    ("hst-wfc3", 256, "SATURATED"),
    ("hst-wfc3", 4096, "COSMIC_RAY"),
    ("hst-wfc3", 8192, "COSMIC_RAY"),
    ("hst-stis", 16, "HOT_PIXEL"),
    ("hst-stis", 128, "OVERSCAN"),
    ("hst-stis", 256, "SATURATED"),
    ("hst-stis", 512, "BAD_PIXEL"),
    ("hst-stis", 1024, "SUSPECT"),
    ("hst-stis", 8192, "COSMIC_RAY"),
    ("hst-stis", 16384, ""),
    ("hst-wfpc2", 8, "SATURATED"),
    ("hst-wfpc2", 16, "NO_DATA"),
    ("hst-wfpc2", 256, "SUSPECT"),
    ("hst-wfpc2", 512, "HOT_PIXEL"),
    ("hst-wfpc2", 1024, "SUSPECT"),
    ("hst-wfpc2", 4096, "COSMIC_RAY"),
    ("jwst", 1, "BAD_PIXEL"),
    # A reason without DO_NOT_USE informs.
    ("jwst", 2, "SUSPECT"),
    ("jwst", 4, "SUSPECT"),
    ("jwst", 1024, "SUSPECT"),
    ("jwst", 4096, "SUSPECT"),
    ("jwst", 65536, "SUSPECT"),
    ("jwst", 1 << 28, "INTERPOLATED"),
    ("jwst", 1 | 2, "BAD_PIXEL|SATURATED"),
    ("jwst", 1 | 4, "BAD_PIXEL|COSMIC_RAY"),
    ("jwst", 1 | 8, "BAD_PIXEL|NO_DATA"),
    ("jwst", 1 | 32, "BAD_PIXEL|PERSISTENCE"),
    ("jwst", 1 | 512, "BAD_PIXEL|OVERSCAN"),
    ("jwst", 1 | 1024, "BAD_PIXEL|DEAD_PIXEL"),
    ("jwst", 1 | 2048, "BAD_PIXEL|HOT_PIXEL"),
    ("jwst", 1 | 1 << 31, "BAD_PIXEL|OVERSCAN"),
    ("des", 1, "BAD_PIXEL"),
    ("des", 2, "SATURATED"),
    ("des", 4, "INTERPOLATED"),
    ("des", 16, "COSMIC_RAY"),
    ("des", 32, "BRIGHT"),
    ("des", 1024, "TRAIL"),
    ("des", 2048, "SUSPECT"),
    ("decam-bits", 2, "SATURATED"),
    ("decam-bits", 16, "COSMIC_RAY"),
    ("decam-bits", 128, "SUSPECT"),
    ("ztf", 1, "TRAIL"),
    ("ztf", 2, "SOURCE"),
    ("ztf", 256, "SATURATED"),
    ("ztf", 2048, "SOURCE"),
    ("hst-nicmos", 2, "SUSPECT"),
    ("hst-nicmos", 64, "SATURATED"),
    ("hst-nicmos", 512, "COSMIC_RAY"),
    ("hst-nicmos", 1024, "SOURCE"),
    ("euclid-vis", 1, "BAD_PIXEL"),
    ("euclid-vis", 1 | 16, "BAD_PIXEL|COSMIC_RAY"),
    ("euclid-vis", 16, "SUSPECT"),
    ("euclid-vis", 1 << 20, ""),
    ("euclid-vis", 1 << 24, "SOURCE"),
    ("euclid-nisp", 1, "BAD_PIXEL"),
    ("spitzer-irac", 512, "COSMIC_RAY"),
    ("spitzer-irac", 64, "SUSPECT"),
    ("spitzer-irac", 16384, "BAD_PIXEL"),
    ("spitzer-mips", 16384, "BAD_PIXEL"),
    ("wise", 1 << 9, "NO_DATA"),
    ("wise", 1 << 28, "COSMIC_RAY"),
    ("scuba2", 1, ""),
    ("spherex", 1, "COSMIC_RAY"),
    ("spherex", 1 << 21, "SOURCE"),
    ("panstarrs", 8, "NO_DATA"),
    ("panstarrs", 256, "COSMIC_RAY"),
    ("lsst", 1, "BAD_PIXEL"),
    ("lsst", 2, "SATURATED"),
    ("lsst", 4, "INTERPOLATED"),
    ("lsst", 8, "COSMIC_RAY"),
    ("lsst", 16, "EDGE"),
    ("lsst", 32, "SOURCE"),
    ("lsst", 128, "SUSPECT"),
    ("lsst", 256, "NO_DATA"),
    ("dragons", 1, "BAD_PIXEL"),
    ("dragons", 2, "SUSPECT"),
    ("dragons", 4, "SATURATED"),
    ("dragons", 8, "COSMIC_RAY"),
    ("dragons", 16, "NO_DATA"),
    ("dragons", 32, ""),
    ("dragons", 64, "OVERSCAN"),
    ("decam", 1, "BAD_PIXEL"),
    ("decam", 2, "NO_DATA"),
    ("decam", 3, "SATURATED"),
    ("decam", 4, "SATURATED"),
    ("decam", 5, "COSMIC_RAY"),
    ("decam", 8, "TRAIL"),
    ("lco", 1, "BAD_PIXEL"),
    ("lco", 2, "SATURATED"),
    ("lco", 8, "COSMIC_RAY"),
    ("sextractor", 1, ""),
    ("sextractor", 4, "SATURATED"),
    ("sextractor", 8, "EDGE"),
    ("boolean", 1, "BAD_PIXEL"),
]

# A value that the convention's own document does not define.
UNKNOWN = [
    ("hst-acs", np.int32, 1 << 20),
    ("hst-stis", np.int16, -32768),
    ("hst-wfpc2", np.int16, 8192),
    ("jwst", np.int64, 1 << 40),
    ("lsst", np.int32, 1 << 30),
    ("dragons", np.uint16, 1 << 9),
    ("decam", np.int16, 9),
    ("decam", np.int16, -1),
    ("maximask", np.int32, 1 << 13),
    ("lco", np.uint8, 128),
    ("euclid-nisp", np.int32, 2),
    ("ztf", np.int16, 1 << 13),
]


def answered(convention: Convention) -> MaskPlane:
    """Planes that the convention can hold."""
    return MaskPlane.union(row.answers for row in convention.values)


def kept(convention: Convention) -> list[MaskPlane]:
    """Planes with a value of their own: it is written for them and means them when read."""
    own = MaskPlane.union(row.sets & row.answers for row in convention.values)
    return [plane for plane in MaskPlane if plane & own]


def one(value: int, dtype: type = np.int64) -> np.ndarray:
    return np.full((1, 1), value, dtype=dtype)


def test_the_documented_conventions_are_there() -> None:
    expected = {"hst-acs", "hst-wfc3", "hst-stis", "hst-wfpc2", "jwst", "lsst", "dragons"}
    expected |= {"decam", "sextractor", "maximask", "lco", "boolean"}
    assert expected <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_table_says_what_it_is(name: str) -> None:
    convention = load_convention(name)
    assert convention.name == name
    assert convention.title
    assert convention.source
    assert all(row.name and row.meaning for row in convention.values)
    assert len({row.name for row in convention.values}) == len(convention.values)
    assert convention.good not in {row.value for row in convention.values}


@pytest.mark.parametrize("name", NAMES)
def test_good_pixels_stay_good_both_ways(name: str) -> None:
    convention = load_convention(name)
    good = np.full((2, 3), convention.good, dtype=np.int32)
    assert not convention.to_planes(good).any()
    written = convention.from_planes(np.zeros((2, 3), dtype=np.uint32))
    assert (written == convention.good).all()


@pytest.mark.parametrize("name", NAMES)
def test_planes_with_a_value_of_their_own_come_back(name: str) -> None:
    convention = load_convention(name)
    assert kept(convention) or name == "scuba2"  # it calls nothing bad
    for plane in kept(convention):
        back = convention.to_planes(convention.from_planes(one(plane, np.uint32)))[0, 0]
        assert back & plane, plane.name


@pytest.mark.parametrize("name", NAMES)
def test_a_rejected_pixel_that_can_be_written_stays_rejected(name: str) -> None:
    convention = load_convention(name)
    for plane in MaskPlane:
        if plane & answered(convention) and plane.rejects:
            back = convention.to_planes(convention.from_planes(one(plane, np.uint32)))[0, 0]
            assert back & REJECTING, plane.name


@pytest.mark.parametrize("name", NAMES)
def test_a_pixel_that_is_not_rejected_does_not_become_so(name: str) -> None:
    convention = load_convention(name)
    for plane in MaskPlane:
        if not plane.rejects:
            back = convention.to_planes(convention.from_planes(one(plane, np.uint32)))[0, 0]
            assert not back & REJECTING, plane.name


@pytest.mark.parametrize("name", NAMES)
def test_each_plane_is_written_as_one_value(name: str) -> None:
    convention = load_convention(name)
    for plane in MaskPlane:
        rows = [row.name for row in convention.values if row.answers & plane]
        assert len(rows) <= 1, (plane.name, rows)


@pytest.mark.parametrize("name", NAMES)
def test_writing_settles_after_one_translation(name: str) -> None:
    convention = load_convention(name)
    rng = np.random.default_rng(1)
    chosen = rng.integers(0, len(MaskPlane), size=(3, 200))
    bits = np.array([int(plane) for plane in MaskPlane], dtype=np.uint32)[chosen]
    flags = np.bitwise_or.reduce(bits, axis=0)[None, :]
    before = flags.copy()
    once = convention.to_planes(convention.from_planes(flags))
    twice = convention.to_planes(convention.from_planes(once))
    np.testing.assert_array_equal(flags, before)
    np.testing.assert_array_equal(once & REJECTING != 0, twice & REJECTING != 0)


@pytest.mark.parametrize("name", NAMES)
def test_every_value_reads_as_its_row(name: str) -> None:
    convention = load_convention(name)
    for row in convention.values:
        assert convention.to_planes(one(row.value))[0, 0] == int(convention.alone(row)), row.name
        assert convention.explain(row.value) == [(row, row.value)]


@pytest.mark.parametrize("name", NAMES)
def test_untranslated_planes_are_the_ones_without_a_value(name: str) -> None:
    convention = load_convention(name)
    every = one(int(MaskPlane.union(MaskPlane)), np.uint32)
    lost = convention.untranslated(every)
    assert not lost & answered(convention)
    assert lost | answered(convention) == MaskPlane.union(MaskPlane)
    assert not convention.untranslated(np.zeros((1, 1), dtype=np.uint32))


@pytest.mark.parametrize(("name", "value", "planes"), OFFICIAL)
def test_official_value(name: str, value: int, planes: str) -> None:
    assert load_convention(name).to_planes(one(value))[0, 0] == int(parse_planes(planes))


@pytest.mark.parametrize(("name", "dtype", "value"), UNKNOWN)
def test_unknown_value_rejects_nothing_and_is_counted(name: str, dtype: type, value: int) -> None:
    convention = load_convention(name)
    assert not convention.to_planes(one(value, dtype)).any()
    asked = value % (1 << 16) if convention.encoding == "bits" else value
    found = convention.unknown(one(value, dtype))
    assert found == {asked or value: 1}
    # Beside a known bit, and many times.
    if convention.encoding == "bits":
        both = np.array([[0, value, value | 1, 1]], dtype=dtype)
        assert convention.unknown(both) == {asked or value: 2}
        read = convention.to_planes(both)
        np.testing.assert_array_equal(read[0, 2:], convention.to_planes(one(1))[0, 0])


def test_any_value_but_zero_of_a_boolean_mask_is_bad() -> None:
    boolean = load_convention("boolean")
    for value in (1, 7, 255, -1):
        assert boolean.to_planes(one(value))[0, 0] == MaskPlane.BAD_PIXEL
        assert not boolean.unknown(one(value))


@pytest.mark.parametrize("name", [n for n in NAMES if load_convention(n).encoding == "bits"])
def test_bits_read_together_as_they_read_alone(name: str) -> None:
    convention = load_convention(name)
    total = sum(row.value for row in convention.values)
    joined = MaskPlane.union(row.sets for row in convention.values)
    assert convention.to_planes(one(total))[0, 0] == int(joined)
    assert int(convention.provides) & ~int(MaskPlane.SUSPECT) == joined & ~MaskPlane.SUSPECT


@pytest.mark.parametrize("name", NAMES)
def test_rejecting_values_are_those_that_reject_a_pixel_that_has_them_alone(name: str) -> None:
    convention = load_convention(name)
    rejecting = convention.rejecting_values()
    for row in convention.values:
        rejects = bool(convention.to_planes(one(row.value))[0, 0] & REJECTING)
        assert rejects == (row in rejecting), row.name
    assert not convention.rejecting_values(MaskPlane(0))


@pytest.mark.parametrize("name", ["jwst", "euclid-vis", "euclid-nisp"])
def test_one_value_alone_rejects_where_the_observatory_says_so(name: str) -> None:
    convention = load_convention(name)
    assert [row.value for row in convention.rejecting_values()] == [1]
    every = sum(row.value for row in convention.values)
    assert convention.to_planes(one(every))[0, 0] & REJECTING
    assert not convention.to_planes(one(every - 1))[0, 0] & REJECTING
    quality = np.array([[0, 1, every, every - 1]])
    np.testing.assert_array_equal(convention.of_unusable(quality), [[0, 1, every, 0]])


def test_names_and_aliases_give_rows_wherever_a_file_puts_their_bits() -> None:
    lsst = load_convention("lsst").with_bits({"SATURATED": 3, "COSMIC_RAY": 0, "NEW": 5})
    assert {row.value: row.name for row in lsst.values} == {8: "SAT", 1: "CR"}
    assert lsst.unknown(one(1 | 8 | 32)) == {32: 1}
    des = load_convention("des").with_bits({"BADPIX_CRAY": 1, "badpix star": 2})
    assert des.to_planes(one(2))[0, 0] == MaskPlane.COSMIC_RAY
    assert des.to_planes(one(4))[0, 0] == MaskPlane.BRIGHT
    # Two names of one bit stand for either.
    both = load_convention("panstarrs").with_bits({"SUSPECT": 7, "BURNTOOL": 7, "CR": 7})
    assert both.to_planes(one(128))[0, 0] == int(MaskPlane.SUSPECT | MaskPlane.COSMIC_RAY)


@pytest.mark.parametrize("name", NAMES)
def test_dtype_of_the_mask_does_not_matter(name: str) -> None:
    convention = load_convention(name)
    values = np.array([[row.value for row in convention.values if row.value < 128]])
    wide = convention.to_planes(values)
    for dtype in (np.uint8, np.int16, np.uint16, ">i2", ">i4", np.uint32):
        np.testing.assert_array_equal(convention.to_planes(values.astype(dtype)), wide)


def test_signed_mask_reads_as_unsigned() -> None:
    acs = load_convention("hst-wfc3")
    unsigned = np.array([[0, 4096, 32768, 32768 | 4096, 65535]], dtype=np.uint16)
    signed = unsigned.view(np.int16)
    assert (signed < 0).any()
    np.testing.assert_array_equal(acs.to_planes(signed), acs.to_planes(unsigned))


def test_signed_jwst_mask_reads_as_unsigned() -> None:
    jwst = load_convention("jwst")
    unsigned = np.array([[1 << 31, (1 << 31) | 4]], dtype=np.uint32)
    np.testing.assert_array_equal(jwst.to_planes(unsigned.view(np.int32)), jwst.to_planes(unsigned))


def test_jwst_has_all_32_bits() -> None:
    assert {row.value for row in load_convention("jwst").values} == {1 << n for n in range(32)}


@pytest.mark.parametrize("plane", [plane for plane in MaskPlane if plane.rejects])
def test_jwst_marks_every_rejected_pixel_do_not_use(plane: MaskPlane) -> None:
    jwst = load_convention("jwst")
    flags = one(plane, np.uint32)
    assert jwst.from_planes(flags)[0, 0] & 1
    assert not jwst.from_planes(flags, reject=MaskPlane(0))[0, 0] & 1


def test_jwst_jump_that_is_not_to_be_used_round_trips() -> None:
    jwst = load_convention("jwst")
    flags = jwst.to_planes(one(1 | 4))
    assert jwst.from_planes(flags)[0, 0] & (1 | 4) == 1 | 4


def test_maximask_codes_are_our_bits_0_to_12() -> None:
    maximask = load_convention("maximask")
    values = np.arange(1 << 13, dtype=np.int32).reshape(64, -1)
    flags = maximask.to_planes(values)
    np.testing.assert_array_equal(flags, values.astype(np.uint32))
    np.testing.assert_array_equal(maximask.from_planes(flags), values)


def test_decam_values_are_codes_not_bits() -> None:
    decam = load_convention("decam")
    assert decam.encoding == "codes"
    saturated = decam.to_planes(one(3))[0, 0]
    assert not saturated & MaskPlane.BAD_PIXEL
    assert decam.from_planes(one(saturated, np.uint32))[0, 0] == 3


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16])
def test_boolean_mask_takes_every_rejected_plane_and_nothing_else(dtype: type) -> None:
    boolean = load_convention("boolean")
    bits = np.array([[int(plane) for plane in MaskPlane]], dtype=np.uint32)
    written = boolean.from_planes(bits)
    assert set(np.unique(written)) == {0, 1}
    np.testing.assert_array_equal(written == 1, (bits & REJECTING) != 0)
    np.testing.assert_array_equal(boolean.to_planes(written.astype(dtype)) != 0, written == 1)


def test_hst_cosmic_rays_survive_the_reset_of_astrodrizzle() -> None:
    for name in ("hst-acs", "hst-wfc3"):
        written = load_convention(name).from_planes(one(MaskPlane.COSMIC_RAY, np.uint32))
        assert written[0, 0] == 8192


def test_unknown_name_suggests_a_known_one() -> None:
    with pytest.raises(ConventionError, match="hst-acs"):
        load_convention("hst-asc")


@pytest.mark.parametrize(
    "rows",
    [
        [{"value": 3, "name": "three"}],
        [{"value": 1, "name": "a"}, {"value": 1, "name": "b"}],
        [{"value": 0, "name": "zero"}],
    ],
)
def test_malformed_table_is_refused(rows: list[dict[str, object]]) -> None:
    with pytest.raises(ValidationError):
        Convention.model_validate({"name": "x", "title": "x", "source": "x", "value": rows})
