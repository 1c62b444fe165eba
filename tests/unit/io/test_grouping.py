"""Which HDUs make a frame, and what is said of the others."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import InverseVariance, StdDevUncertainty, VarianceUncertainty

from astroclean.core.flags.planes import MaskPlane
from astroclean.errors import FitsReadError
from astroclean.io.frames.read import ReadSettings, open_exposure, read_frame

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SHAPE = (9, 11)
SPIRE = {"TELESCOP": "Herschel Space Observatory", "INSTRUME": "SPIRE", "DETECTOR": "PSW"}


def image(name: str, value: float = 1.0, version: int = 1, dtype: str = "f4", **cards: Any) -> Any:
    hdu = fits.ImageHDU(np.full(SHAPE, value, dtype), name=name, ver=version)
    hdu.header.update(cards)
    return hdu


def memory(hdus: Sequence[Any], **cards: Any) -> fits.HDUList:
    primary = fits.PrimaryHDU()
    primary.header.update(cards)
    return fits.HDUList([primary, *hdus])


def roles(hdus: fits.HDUList, instrument: str = "auto") -> list[dict[str, int]]:
    with open_exposure(hdus, ReadSettings(instrument)) as exposure:
        return [
            {"science": s.science.index, **{role: h.index for role, h in s.companions.items()}}
            for s in exposure.slots
        ]


@pytest.mark.parametrize(
    ("name", "role"),
    [("ERR", "error"), ("VAR", "variance"), ("IVAR", "inverse_variance"), ("WHT", "coverage")],
)
def test_companions_are_found_by_name_and_version(name: str, role: str) -> None:
    hdus = memory(
        [
            image("SCI", 1, 1),
            image(name, 2, 1),
            image("DQ", 0, 1, "i2"),
            image("DQ", 0, 2, "i2"),
            image("SCI", 1, 2),
            image(name, 2, 2),
        ]
    )
    assert roles(hdus) == [{"science": 1, role: 2, "dq": 3}, {"science": 5, role: 6, "dq": 4}]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("ERR", StdDevUncertainty), ("VAR", VarianceUncertainty), ("IVAR", InverseVariance)],
)
def test_the_uncertainty_keeps_its_kind(name: str, kind: type) -> None:
    frame = read_frame(memory([image("SCI"), image(name, 4)]))
    assert type(frame.uncertainty) is kind
    assert (frame.uncertainty.array == 4).all()


def test_masks_of_lsst_go_by_the_bits_that_the_file_declares() -> None:
    mask = image("MASK", 0, 1, "i4", MP_CR=7, MP_SAT=0)
    mask.header["HIERARCH MP_DETECTED"] = 3
    mask.data[0, 0], mask.data[0, 1], mask.data[0, 2] = 1 << 7, 1 << 0, 1 << 3
    hdus = memory([image("IMAGE"), mask, image("VARIANCE", 9)], INSTRUME="HSC")
    assert roles(hdus) == [{"science": 1, "variance": 3, "dq": 2}]
    flags = read_frame(hdus).flags
    assert [int(f) for f in flags[0, :4]] == [
        MaskPlane.COSMIC_RAY,
        MaskPlane.SATURATED,
        MaskPlane.SOURCE,
        0,
    ]


def test_coverage_of_herschel_tells_where_there_are_no_data() -> None:
    coverage = image("coverage", 3)
    coverage.data[2, 3], coverage.data[4, 5] = 0, np.nan
    science = image("image", 1, BUNIT="Jy/pixel")
    frame = read_frame(memory([science, image("error", 0.5), coverage], **SPIRE))
    assert np.argwhere(frame.where("NO_DATA")).tolist() == [[2, 3], [4, 5]]
    assert (frame.uncertainty.array == 0.5).all()


def test_what_is_skipped_is_named_with_its_reason() -> None:
    hdus = memory(
        [
            fits.BinTableHDU(np.zeros(3, [("a", "f4")]), name="CAT"),
            image("IMAGE"),
            fits.ImageHDU(np.zeros(7, "f4"), name="SPECTRUM"),
            image("OTHER"),
        ],
        INSTRUME="HSC",
    )
    with open_exposure(hdus) as exposure:
        skipped = exposure.grouping.skipped
    assert set(skipped) == {"[CAT,1]", "[SPECTRUM,1]", "[OTHER,1]"}
    assert skipped["[CAT,1]"] == "a table"
    assert skipped["[SPECTRUM,1]"] == "one-dimensional"
    assert "OTHER" in skipped["[OTHER,1]"]


def test_an_address_leaves_the_others_out(tmp_path: Path) -> None:
    path = tmp_path / "raw.fits"
    memory([image("SCI", 1, 1), image("SCI", 2, 2)]).writeto(path)
    with open_exposure(f"{path}[SCI,2]") as exposure:
        (slot,) = exposure.slots
        assert (slot.science.index, slot.ordinal) == (2, 2)
        assert exposure.grouping.skipped == {"[SCI,1]": "not addressed"}
        assert (exposure.frame(slot).data == 2).all()


def test_names_are_compared_without_case_and_trailing_blanks(tmp_path: Path) -> None:
    path = tmp_path / "raw.fits"
    buffer = io.BytesIO()
    memory([image("X"), image("Y", 3)]).writeto(buffer)
    content = buffer.getvalue().replace(b"'X       ' ", b"'Sci      '")
    path.write_bytes(content.replace(b"'Y       '", b"'err     '"))
    assert (read_frame(f"{path}[SCI]").uncertainty.array == 3).all()
    assert read_frame(f"{path}[sci  ]").frame_id == "raw.fits[SCI,1]"


def test_each_plane_of_a_cube_is_a_frame() -> None:
    cube = fits.HDUList([fits.PrimaryHDU(np.stack([np.full(SHAPE, n, "f4") for n in range(3)]))])
    with open_exposure(cube) as exposure:
        assert [slot.plane for slot in exposure.slots] == [0, 1, 2]
        assert [exposure.frame(s).data[0, 0] for s in exposure.slots] == [0, 1, 2]
    assert (read_frame(cube, plane=2).data == 2).all()
    with pytest.raises(FitsReadError, match="address one frame"):
        read_frame(cube)
    with pytest.raises(FitsReadError, match="no plane 5"):
        read_frame(cube, plane=5)


def test_four_axes_are_refused_unless_degenerate() -> None:
    with pytest.raises(FitsReadError, match="4 axes"):
        read_frame(fits.HDUList([fits.PrimaryHDU(np.zeros((2, 3, *SHAPE), "f4"))]))
    flat = fits.HDUList([fits.PrimaryHDU(np.ones((1, 1, *SHAPE), "f4"))])
    assert read_frame(flat).shape == SHAPE


@pytest.mark.parametrize("shape", [(3, 4), (2, *SHAPE), (2, 3, *SHAPE)])
@pytest.mark.parametrize("name", ["ERR", "DQ", "WHT"])
def test_a_companion_of_another_shape_is_told_and_not_used(
    name: str, shape: tuple[int, ...]
) -> None:
    other = fits.ImageHDU(np.ones(shape, "f4"), name=name)
    with open_exposure(memory([image("SCI"), other])) as exposure:
        (slot,) = exposure.slots
        assert slot.companions == {}
        assert exposure.frame(slot).uncertainty is None
        assert str(shape) in exposure.grouping.skipped[f"[{name},1]"]
        assert [n for n in exposure.notes if name in n and str(shape) in n]


def test_an_axis_of_length_one_is_no_other_shape() -> None:
    error = fits.ImageHDU(np.full((1, *SHAPE), 3, "f4"), name="ERR")
    frame = read_frame(memory([image("SCI"), error]))
    assert frame.uncertainty.array.shape == SHAPE
    assert (frame.uncertainty.array == 3).all()


@pytest.mark.parametrize("shape", [(1, 3, *SHAPE), (3, 1, *SHAPE), (1, 1, 3, *SHAPE)])
def test_axes_of_length_one_do_not_hide_the_planes_of_a_cube(shape: tuple[int, ...]) -> None:
    data = np.stack([np.full(SHAPE, n, "f4") for n in range(3)]).reshape(shape)
    with open_exposure(fits.HDUList([fits.PrimaryHDU(data)])) as exposure:
        assert [slot.plane for slot in exposure.slots] == [0, 1, 2]
        assert [exposure.frame(s).data[0, 0] for s in exposure.slots] == [0, 1, 2]


def test_a_file_without_an_image_tells_what_it_holds() -> None:
    table = fits.BinTableHDU(np.zeros(3, [("a", "f4")]), name="CAT")
    with pytest.raises(FitsReadError, match=r"CAT,1.*a table"):
        read_frame(memory([table]))


def test_hdus_in_memory_are_not_modified() -> None:
    hdus = memory([image("SCI", 5, dtype="i2"), image("ERR", 2)])
    before = [(repr(h.header), None if h.data is None else h.data.copy()) for h in hdus]
    read_frame(hdus)
    for hdu, (header, data) in zip(hdus, before, strict=True):
        assert repr(hdu.header) == header
        np.testing.assert_array_equal(hdu.data, data)
