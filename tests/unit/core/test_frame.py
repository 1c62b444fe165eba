"""Laws of frames: flags, PSF and identity survive what NDData does; inputs are never modified."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import ccdproc
import numpy as np
import pytest
from astropy import log
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, Cutout2D, NDData, StdDevUncertainty
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from photutils.aperture import CircularAperture, aperture_photometry
from photutils.background import Background2D

from astroclean.core.flags.planes import REJECTING, MaskPlane
from astroclean.core.image.convert import as_frame
from astroclean.core.image.frame import Frame
from astroclean.core.image.grid import Grid
from astroclean.core.psf.psf import Psf
from astroclean.errors import FrameError, PsfError

if TYPE_CHECKING:
    from pathlib import Path

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))
EVERY = int(MaskPlane.union(MaskPlane))


def sky(kind: str = "TAN") -> fits.Header:
    header = fits.Header()
    header["CTYPE1"] = f"RA---{kind[:3]}" + ("-SIP" if kind == "TAN-SIP" else "")
    header["CTYPE2"] = f"DEC--{kind[:3]}" + ("-SIP" if kind == "TAN-SIP" else "")
    header.update(CRVAL1=10.0, CRVAL2=20.0, CRPIX1=3.0, CRPIX2=2.0)
    header.update(CD1_1=-1e-4, CD1_2=1e-6, CD2_1=1e-6, CD2_2=1e-4)
    if kind == "TAN-SIP":
        header.update(A_ORDER=2, B_ORDER=2, A_2_0=1e-4, B_1_1=-2e-4)
    if kind == "TPV":
        header.update(PV1_1=1.01, PV2_1=0.99, PV1_2=1e-3)
    return header


def star_frame(**fields: Any) -> Frame:
    data = np.random.default_rng(5).normal(100, 5, (8, 10)).astype(np.float32)
    flags = np.zeros(data.shape, dtype=np.uint32)
    flags[1, 2], flags[3, 4], flags[5, 6] = MaskPlane.COSMIC_RAY, MaskPlane.SOURCE, 1 << 31
    given_fields = {
        "unit": "electron",
        "flags": flags,
        "uncertainty": StdDevUncertainty(np.full(data.shape, 2, np.float32)),
        "psf": Psf.gaussian(fwhm_pixels=2.0),
        "wcs": WCS(sky()),
        "meta": fits.Header([("GAIN", 1.5)]),
        "frame_id": "raw.fits[SCI,1]",
    }
    return Frame(data, **{**given_fields, **fields})


def same(ours: Frame, theirs: Frame) -> None:
    np.testing.assert_array_equal(ours.data, theirs.data)
    np.testing.assert_array_equal(ours.flags, theirs.flags)
    np.testing.assert_array_equal(ours.mask, theirs.mask)
    assert (ours.unit, ours.frame_id) == (theirs.unit, theirs.frame_id)


# ------------------------------------------------------------------------- data and flags


@pytest.mark.parametrize("dtype", ["i1", "u2", "i4", "i8", "f4", ">f4", ">i2", "f8", "?"])
def test_data_are_native_contiguous_float32(dtype: str) -> None:
    given_data = np.asfortranarray(np.arange(12).reshape(3, 4).astype(dtype))
    before = given_data.copy()
    frame = Frame(given_data, unit="adu")
    assert frame.data.dtype == np.float32
    assert frame.data.dtype.isnative
    assert frame.data.flags.c_contiguous
    np.testing.assert_array_equal(frame.data, before.astype("f4"))
    np.testing.assert_array_equal(given_data, before)


@pytest.mark.parametrize("data", [np.zeros((2, 3, 4)), np.zeros(5), np.full((2, 2), 1j)])
def test_what_is_no_image_is_refused(data: np.ndarray) -> None:
    with pytest.raises(FrameError, match="2-D array of real numbers"):
        Frame(data, unit="adu")


def test_flags_of_another_shape_are_refused() -> None:
    with pytest.raises(FrameError, match=r"\(3, 4\)"):
        Frame(np.zeros((3, 4)), unit="adu", flags=np.zeros((4, 3), int))


@given(
    data=hnp.arrays(
        np.float32, SHAPES, elements=st.floats(width=32, allow_nan=True, allow_infinity=True)
    ),
    bits=st.integers(0, EVERY),
)
def test_pixels_that_are_not_finite_have_no_data(data: np.ndarray, bits: int) -> None:
    before = data.copy()
    flags = np.full(data.shape, bits & EVERY & ~int(MaskPlane.NO_DATA), dtype=np.uint32)
    frame = Frame(data, unit="adu", flags=flags)
    np.testing.assert_array_equal(frame.where("NO_DATA"), ~np.isfinite(data))
    np.testing.assert_array_equal(data, before)
    assert not (flags & np.uint32(MaskPlane.NO_DATA)).any()


def test_values_beyond_float32_have_no_data() -> None:
    frame = Frame(np.array([[1e300, 1.0]]), unit="adu")
    assert frame.where("NO_DATA").tolist() == [[True, False]]


@given(
    flags=hnp.arrays(np.uint32, SHAPES),
    reject=st.sets(st.sampled_from(list(MaskPlane))).map(MaskPlane.union),
)
def test_the_mask_is_what_the_rejecting_planes_say(flags: np.ndarray, reject: MaskPlane) -> None:
    frame = Frame(np.ones(flags.shape), unit="adu", flags=flags, reject_bits=reject)
    np.testing.assert_array_equal(frame.mask, (flags & np.uint32(reject)) != 0)
    np.testing.assert_array_equal(frame.flags, flags)


def test_a_mask_from_elsewhere_becomes_bad_pixels_unless_already_rejected() -> None:
    mask = np.array([[True, True, False]])
    flags = np.array([[int(MaskPlane.COSMIC_RAY), int(MaskPlane.SOURCE), 0]])
    frame = Frame(np.ones((1, 3)), unit="adu", mask=mask, flags=flags)
    assert frame.flags.tolist() == [
        [MaskPlane.COSMIC_RAY, MaskPlane.SOURCE | MaskPlane.BAD_PIXEL, 0]
    ]
    np.testing.assert_array_equal(frame.mask, mask)


def test_planes_are_added_in_a_new_frame() -> None:
    frame = star_frame()
    where = np.zeros(frame.shape, dtype=bool)
    where[0] = True
    added = frame.add_planes(where, "TRAIL")
    np.testing.assert_array_equal(added.where("TRL"), where)
    np.testing.assert_array_equal(added.flags & ~np.uint32(MaskPlane.TRAIL), frame.flags)
    assert added.mask[0].all()
    assert not frame.where("TRAIL").any()


# ------------------------------------------------------------------------- what NDData does


def slices(length: int) -> st.SearchStrategy[slice]:
    return st.tuples(st.integers(0, length - 1), st.integers(1, length)).map(
        lambda ends: slice(ends[0], max(ends[1], ends[0] + 1))
    )


@settings(deadline=None)
@given(rows=slices(8), columns=slices(10))
def test_a_slice_keeps_flags_psf_and_place(rows: slice, columns: slice) -> None:
    frame = star_frame()
    part = frame[rows, columns]
    assert isinstance(part, Frame)
    np.testing.assert_array_equal(part.flags, frame.flags[rows, columns])
    np.testing.assert_array_equal(part.mask, frame.mask[rows, columns])
    np.testing.assert_array_equal(part.uncertainty.array, frame.uncertainty.array[rows, columns])
    assert part.psf is frame.psf
    assert part.frame_id == frame.frame_id
    here = part.wcs.wcs_pix2world(0, 0, 0)
    there = frame.wcs.wcs_pix2world(columns.start, rows.start, 0)
    np.testing.assert_allclose(here, there, rtol=0, atol=1e-10)


def stepped_sky(form: str) -> WCS:
    header = sky()
    if form != "CD":
        for keyword in ("CD1_1", "CD1_2", "CD2_1", "CD2_2"):
            del header[keyword]
        header.update(CDELT1=-1e-4, CDELT2=2e-4)
        header.update({"PC": {"PC1_2": 0.1, "PC2_1": -0.2}, "CROTA": {"CROTA2": 30.0}}[form])
    return WCS(header)


@pytest.mark.parametrize("form", ["CD", "PC", "CROTA"])
@pytest.mark.parametrize("item", [np.s_[::2, ::2], np.s_[1::3], np.s_[..., 2:9:2]])
def test_every_so_many_pixels_stay_where_they_are(form: str, item: Any, tmp_path: Path) -> None:
    frame = star_frame(wcs=stepped_sky(form), psf=None, meta={"ACPIXSC": 0.5})
    rows, columns = np.indices(frame.shape)
    part = frame[item]
    part.write(tmp_path / "part.fits")
    read = Frame.read(tmp_path / "part.fits")
    y, x = np.indices(part.shape)
    there = frame.wcs.wcs_pix2world(columns[item].ravel(), rows[item].ravel(), 0)
    for wcs in (part.wcs, read.wcs):
        here = wcs.wcs_pix2world(x.ravel(), y.ravel(), 0)
        np.testing.assert_allclose(here, there, rtol=0, atol=1e-9)
    step = np.sqrt(np.ptp(rows[item][:2, 0]) * np.ptp(columns[item][0, :2]))
    assert part.detector.pixel_scale == pytest.approx(0.5 * step)
    assert frame.detector.pixel_scale == 0.5
    scales = [Grid.from_frame(one).pixel_scale for one in (frame, part)]
    assert scales[1] == pytest.approx(scales[0] * step, rel=1e-6)


@pytest.mark.parametrize(
    ("item", "told"),
    [
        (5, r"as a slice.*\[5\].*frame\[5:6\]"),
        ((slice(2), 3), "as a slice"),
        (np.ones((8, 10), dtype=bool), "as a slice.*ndarray"),
        (np.s_[::-1], "in order.*step of -1"),
        (np.s_[::2], "PSF.*steps of 2 rows and 1 columns.*psf=None"),
    ],
)
@pytest.mark.parametrize("wcs", [None, WCS(sky())])
def test_what_no_frame_can_be_is_refused(item: Any, told: str, wcs: WCS | None) -> None:
    with pytest.raises(FrameError, match=f"(?s){told}"):
        star_frame(wcs=wcs)[item]


def test_steps_through_a_distorted_sky_are_refused() -> None:
    with pytest.raises(FrameError, match=r"distortions.*wcs=None"):
        star_frame(psf=None, wcs=WCS(sky("TAN-SIP")))[::2, ::2]


def test_arithmetic_joins_flags_and_propagates_uncertainty() -> None:
    frame, other = star_frame(), star_frame(flags=np.full((8, 10), 1 << 6, np.uint32))
    total = frame.add(other)
    assert isinstance(total, Frame)
    np.testing.assert_array_equal(total.flags, frame.flags | other.flags)
    np.testing.assert_allclose(total.data, frame.data + other.data)
    np.testing.assert_allclose(total.uncertainty.array, np.sqrt(8))
    assert (total.unit, total.psf, total.frame_id) == (u.electron, frame.psf, frame.frame_id)
    assert total.data.dtype == np.float32


@pytest.mark.parametrize("operand", [2, 2.5, 2 * u.s, np.full((8, 10), 2.0)])
def test_arithmetic_with_numbers_keeps_flags(operand: Any) -> None:
    frame = star_frame()
    before = frame.data.copy()
    result = frame.multiply(operand)
    np.testing.assert_array_equal(result.flags, frame.flags)
    np.testing.assert_allclose(result.data, before * u.Quantity(operand).value, rtol=1e-6)
    assert result.psf is frame.psf
    np.testing.assert_array_equal(frame.data, before)


def test_copies_share_nothing_that_can_be_written() -> None:
    frame = star_frame()
    for other in (copy.deepcopy(frame), frame.copy()):
        same(other, frame)
        other.data[0, 0] += 1
        other.flags[0, 0] = 1
        assert frame.data[0, 0] != other.data[0, 0]
        assert frame.flags[0, 0] == 0


@pytest.mark.parametrize("kind", ["TAN", "TAN-SIP", "TPV"])
def test_a_frame_survives_pickling_with_its_wcs(kind: str) -> None:
    frame = star_frame(wcs=WCS(sky(kind)))
    again = pickle.loads(pickle.dumps(frame))  # noqa: S301 - our own bytes
    same(again, frame)
    assert again.reject_bits == frame.reject_bits
    np.testing.assert_array_equal(again.psf.stamps, frame.psf.stamps)
    np.testing.assert_array_equal(again.uncertainty.array, frame.uncertainty.array)
    assert again.meta["GAIN"] == 1.5
    corners = np.array([[0, 0], [9, 7], [0, 7]], dtype=float)
    np.testing.assert_array_equal(
        again.wcs.all_pix2world(corners, 0), frame.wcs.all_pix2world(corners, 0)
    )


# ------------------------------------------------------------------------- replace, convert


def test_replace_changes_one_field_and_shares_the_rest() -> None:
    frame = star_frame()
    changed = frame.replace(data=np.zeros(frame.shape, np.float32), reject_bits=MaskPlane.SOURCE)
    assert (changed.data == 0).all()
    np.testing.assert_array_equal(changed.flags, frame.flags)
    np.testing.assert_array_equal(changed.mask, frame.where("SOURCE"))
    assert changed.wcs is frame.wcs
    assert changed.psf is frame.psf
    assert np.shares_memory(frame.replace(frame_id="x").data, frame.data)
    assert frame.reject_bits == REJECTING


@pytest.mark.parametrize("name", ["mask", "flag", "dat"])
def test_a_field_that_does_not_exist_cannot_be_replaced(name: str) -> None:
    with pytest.raises(FrameError, match=f"'{name}'"):
        star_frame().replace(**{name: 1})


def test_a_frame_of_a_frame_is_the_same() -> None:
    frame = star_frame(reject_bits=MaskPlane.SOURCE, history=())
    again = Frame(frame)
    same(again, frame)
    assert again.reject_bits == MaskPlane.SOURCE
    assert again.psf is frame.psf


def test_ccddata_and_back_loses_nothing() -> None:
    frame = star_frame()
    plain = frame.to_ccddata()
    assert type(plain) is CCDData
    np.testing.assert_array_equal(plain.mask, frame.mask)
    np.testing.assert_array_equal(plain.flags, frame.flags)
    assert plain.psf.sum() == pytest.approx(1)
    back = as_frame(plain)
    np.testing.assert_array_equal(back.flags, frame.flags)
    np.testing.assert_array_equal(back.data, frame.data)
    assert back.wcs is plain.wcs


@pytest.mark.parametrize(
    "image",
    [
        np.ones((3, 4)),
        [[1, 2], [3, 4]],
        np.ones((3, 4)) * u.Jy,
        NDData(np.ones((3, 4)), mask=np.eye(3, 4, dtype=bool), unit="Jy"),
        fits.HDUList([fits.PrimaryHDU(np.ones((3, 4), "f4"))]),
    ],
    ids=["array", "list", "quantity", "nddata", "hdulist"],
)
def test_whatever_holds_an_image_becomes_a_frame(image: Any) -> None:
    frame = as_frame(image)
    assert frame.shape in {(3, 4), (2, 2)}
    assert frame.unit == (getattr(image, "unit", None) or u.adu)
    expected = getattr(image, "mask", None)
    np.testing.assert_array_equal(frame.mask, False if expected is None else expected)


def test_what_holds_no_image_is_refused() -> None:
    with pytest.raises(FrameError, match="dict"):
        as_frame({})


# ------------------------------------------------------------------------- other packages


def test_ccdproc_takes_frames_as_they_are() -> None:
    frame = star_frame(unit="adu")
    before = frame.data.copy()
    result = ccdproc.gain_correct(frame, 2.0 * u.electron / u.adu)
    assert isinstance(result, Frame)
    assert result.unit == u.electron
    np.testing.assert_array_equal(result.flags, frame.flags)
    np.testing.assert_allclose(result.data, 2 * before, rtol=1e-6)
    flat = star_frame(unit="adu", flags=None)
    divided = ccdproc.flat_correct(frame, flat)
    np.testing.assert_array_equal(divided.flags, frame.flags)
    np.testing.assert_array_equal(frame.data, before)


def test_photutils_takes_frames_as_they_are() -> None:
    frame = Frame(np.full((40, 40), 7.0), unit="electron")
    frame = frame.add_planes(np.eye(40, dtype=bool), "COSMIC_RAY")
    table = aperture_photometry(frame, CircularAperture((20.0, 10.0), 3.0))
    assert table["aperture_sum"][0].to_value("electron") == pytest.approx(7 * np.pi * 9)
    background = Background2D(frame, 10)
    np.testing.assert_allclose(u.Quantity(background.background).value, 7.0)


def test_a_cutout_of_a_frame_has_its_data() -> None:
    frame = star_frame()
    cutout = Cutout2D(frame.data, (4, 3), 3, wcs=frame.wcs)
    np.testing.assert_array_equal(cutout.data, frame.data[2:5, 3:6])


def test_a_masked_array_keeps_its_mask() -> None:
    values = np.ma.masked_greater(np.arange(12.0).reshape(3, 4), 9)
    for frame in (as_frame(values), as_frame(CCDData(values, unit="adu"))):
        assert np.array_equal(frame.mask, values.mask)
        assert np.array_equal(frame.where("BAD"), values.mask)


@pytest.mark.parametrize(
    "flags", [np.full((3, 4), 0.3), np.full((3, 4), -1), np.full((3, 4), 2**32)]
)
def test_flags_that_are_no_bits_are_refused(flags: np.ndarray) -> None:
    with pytest.raises(FrameError, match="flags are bits"):
        Frame(np.ones((3, 4)), unit="adu", flags=flags)


def test_filled_pixels_survive_slicing_and_count_in_arithmetic_only_where_both_are_good() -> None:
    hit = np.eye(4, dtype=bool)
    filled = Frame(np.ones((4, 4)), unit="adu").add_planes(hit, "CR").replace(filled=hit)
    assert not filled.mask.any()
    assert np.array_equal(filled[1:].filled, hit[1:])
    other = Frame(np.ones((4, 4)), unit="adu").add_planes(hit & (np.arange(4) > 1), "BAD")
    total = filled.add(other)
    assert np.array_equal(total.mask, other.mask)
    assert not filled.multiply(2).mask.any()


def test_a_pixel_without_a_value_is_not_filled() -> None:
    image = np.ones((4, 4))
    image[2, 2] = np.nan
    frame = Frame(image, unit="adu", filled=np.ones((4, 4), dtype=bool))
    assert frame.mask[2, 2]
    assert frame.mask.sum() == 1


@pytest.mark.parametrize(
    "given_fields",
    [
        {},
        {"unit": "electron", "uncertainty": StdDevUncertainty(np.full((4, 4), 3.0))},
        {"meta": {"B": 2}},
        {"header": {"B": 2}},
        {"mask": np.eye(4, dtype=bool)},
        {"wcs": None, "uncertainty": StdDevUncertainty(np.full((4, 4), 3.0))},
    ],
)
def test_other_containers_become_frames_without_a_word(given_fields: dict[str, Any]) -> None:
    """What astropy logs goes to the standard output, which may be that of a program."""
    mask = np.zeros((4, 4), bool)
    mask[1, 2] = True
    plain = CCDData(
        np.ones((4, 4)),
        unit="adu",
        mask=mask,
        uncertainty=StdDevUncertainty(np.full((4, 4), 2.0)),
        wcs=WCS(sky()),
        meta={"A": 1},
    )
    with log.log_to_list() as lines:
        frame = Frame(plain, **given_fields)
        again = as_frame(plain)
        Frame(frame, flags=frame.flags, meta={"C": 3})
    assert lines == []
    with log.log_to_list():
        expected = CCDData(plain, **given_fields)
    assert frame.unit == expected.unit
    assert dict(frame.meta) == dict(expected.meta)
    np.testing.assert_array_equal(frame.mask, expected.mask)
    np.testing.assert_array_equal(frame.uncertainty.array, expected.uncertainty.array)
    assert (frame.wcs is None) == (expected.wcs is None)
    np.testing.assert_array_equal(again.mask, mask)


@pytest.mark.parametrize("wrong", ["14 arcsec", 2.5, [[1.0]]])
def test_what_is_no_psf_is_refused_where_it_is_given(wrong: Any) -> None:
    frame = Frame(np.zeros((4, 4)), unit="adu")
    with pytest.raises(PsfError, match=r"is a Psf.*Psf\.from_fwhm"):
        frame.replace(psf=wrong)
