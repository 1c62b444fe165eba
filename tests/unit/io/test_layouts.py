"""Layouts of files as observatories write them: what is science, what belongs to it, what is kept.

One row a layout. HDUs are written in a shorthand, ``NAME:TYPE``: the type is that of the pixels,
with the axes before the image, as in ``f4x3`` for a cube of three planes; ``table`` is a table,
``-`` an HDU without pixels. The first is the primary HDU. ``NAME,2`` has EXTVER 2. Cards follow.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from astroclean.errors import FitsReadError
from astroclean.io.frames.read import open_exposure

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (9, 11)
Cards = dict[str, Any]
Hdu = str | tuple[str, Cards]


@dataclass(frozen=True)
class Layout:
    """One kind of file and how it is understood."""

    hdus: list[Hdu]
    frames: dict[int, dict[str, int]]
    """Index of a science HDU to its companions by role."""
    kept: dict[int, str] = field(default_factory=dict)
    """Index of an HDU that is copied and told, to a part of the reason."""
    notes: tuple[str, ...] = ()
    """Parts of what is noted of the file."""


def at(x: float, y: float = 0.0, **cards: Any) -> Cards:
    """Return the cards of an image somewhere on the sky."""
    sky = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0}
    return {**sky, "CRPIX1": x, "CRPIX2": y, "CDELT1": -1e-4, "CDELT2": 1e-4, **cards}


def sections(n: int) -> Cards:
    return {"DETSEC": f"[{11 * n + 1}:{11 * n + 11},1:9]", "DATASEC": "[1:11,1:9]"}


LAYOUTS: dict[str, Layout] = {
    # ------------------------------------------------------------- space telescopes
    "JWST MIRI rate": Layout(
        [
            ("-", {"TELESCOP": "JWST", "INSTRUME": "MIRI"}),
            *("SCI,1:f4", "ERR,1:f4", "DQ,1:u4", "VAR_POISSON,1:f4", "VAR_RNOISE,1:f4"),
            *("AREA,1:f4", "ASDF:table"),
        ],
        {1: {"error": 2, "dq": 3}},
        {4: "VAR_POISSON", 5: "VAR_RNOISE", 6: "AREA", 7: "a table"},
    ),
    "JWST resampled": Layout(
        [
            ("-", {"TELESCOP": "JWST", "INSTRUME": "MIRI"}),
            *("SCI,1:f4", "ERR,1:f4", "CON,1:i4x2", "WHT,1:f4", "VAR_POISSON,1:f4"),
        ],
        {1: {"error": 2, "coverage": 4}},
        {3: "CON", 5: "VAR_POISSON"},
    ),
    "HST NICMOS": Layout(
        [
            ("-", {"TELESCOP": "HST", "INSTRUME": "NICMOS"}),
            *("SCI,1:f4", "ERR,1:f4", "DQ,1:i2", "SAMP,1:i2", "TIME,1:f4"),
        ],
        {1: {"error": 2, "dq": 3, "coverage": 4}},
        {5: "TIME"},
    ),
    "HST drizzled": Layout(
        [
            ("-", {"TELESCOP": "HST", "INSTRUME": "ACS", "DETECTOR": "HRC"}),
            *("SCI,1:f4", "WHT,1:f4", "CTX,1:i4", "HDRTAB:table"),
        ],
        {1: {"coverage": 2}},
        {3: "CTX", 4: "a table"},
    ),
    "HST ACS with lookup tables": Layout(
        [
            ("-", {"TELESCOP": "HST", "INSTRUME": "ACS", "DETECTOR": "WFC"}),
            *("SCI,1:f4", "ERR,1:f4", "DQ,1:i2", "SCI,2:f4", "ERR,2:f4", "DQ,2:i2"),
            *("D2IMARR,1:f4", "WCSDVARR,1:f4", "WCSDVARR,2:f4", "WCSCORR,1:table"),
        ],
        {1: {"error": 2, "dq": 3}, 4: {"error": 5, "dq": 6}},
        {7: "D2IMARR", 8: "WCSDVARR", 9: "WCSDVARR", 10: "a table"},
    ),
    "Euclid VIS": Layout(
        ["-", "1-1.E.SCI:f4", "1-1.E.RMS:f4", "1-1.E.FLG:i4", "1-1.F.SCI:f4", "1-1.F.RMS:f4"],
        {1: {"error": 2, "dq": 3}, 4: {"error": 5}},
    ),
    "Euclid NISP": Layout(
        ["-", "DET11.SCI:f4", "DET11.RMS:f4", "DET11.DQ:i4", "DET12.SCI:f4", "DET12.DQ:i4"],
        {1: {"error": 2, "dq": 3}, 4: {"dq": 5}},
    ),
    "Herschel HIFI map": Layout(
        ["-", "image:f8", "error:f8", "coverage:f8", "History:table"],
        {1: {"error": 2, "coverage": 3}},
        {4: "a table"},
    ),
    "TESS full frame": Layout(
        ["-", "CAMERA.CCD 1.1 cal:f4", "CAMERA.CCD 1.1 uncert:f4", "CAMERA.CCD 1.1:table"],
        {1: {"error": 2}},
        {3: "a table"},
    ),
    # ------------------------------------------------------------- observatories on the ground
    "Rubin": Layout(
        ["-", "IMAGE:f4", "MASK:i4", "VARIANCE:f4", "ARCHIVE_INDEX:table"],
        {1: {"dq": 2, "variance": 3}},
        {4: "a table"},
    ),
    "Rubin by EXTTYPE": Layout(
        [
            "-",
            (":f4", {"EXTTYPE": "IMAGE"}),
            (":i4", {"EXTTYPE": "MASK"}),
            (":f4", {"EXTTYPE": "VARIANCE"}),
        ],
        {1: {"dq": 2, "variance": 3}},
    ),
    "Rubin raw amplifiers": Layout(
        ["-", "Segment10:i4", "Segment11:i4", "Segment12:i4", "REB_COND:table"],
        {1: {}, 2: {}, 3: {}},
        {4: "a table"},
    ),
    "DES": Layout(["-", "SCI:f4", "MSK:i2", "WGT:f4"], {1: {"dq": 2, "coverage": 3}}),
    "DES by DES_EXT": Layout(
        [
            "-",
            ("ONE:f4", {"DES_EXT": "IMAGE"}),
            ("TWO:i4", {"DES_EXT": "MASK"}),
            ("THREE:f4", {"DES_EXT": "WEIGHT"}),
        ],
        {1: {"dq": 2, "coverage": 3}},
    ),
    "Legacy Surveys cut-out": Layout(
        [
            "-",
            (":f4", at(5, IMAGETYP="image", BAND="g")),
            (":f4", at(5, IMAGETYP="invvar", BAND="g")),
            (":f4", at(5, IMAGETYP="image", BAND="r")),
            (":f4", at(5, IMAGETYP="invvar", BAND="r")),
        ],
        {1: {"inverse_variance": 2}, 3: {"inverse_variance": 4}},
        notes=("order",),
    ),
    "ESO with HDUCLAS": Layout(
        [
            "-",
            ("DATA:f4", {"HDUCLAS1": "IMAGE", "HDUCLAS2": "DATA"}),
            ("STAT:f4", {"HDUCLAS2": "ERROR", "HDUCLAS3": "MSE", "SCIDATA": "DATA"}),
            ("BAD:i4", {"HDUCLAS2": "QUALITY", "HDUCLAS3": "FLAG32BIT", "SCIDATA": "DATA"}),
        ],
        {1: {"variance": 2, "dq": 3}},
    ),
    "ESO with two chips linked by cards": Layout(
        [
            "-",
            ("CHIP1.INT1:f4", {"HDUCLAS2": "DATA"}),
            ("CHIP2.INT1:f4", {"HDUCLAS2": "DATA"}),
            ("B:f4", {"HDUCLAS2": "ERROR", "HDUCLAS3": "RMSE", "SCIDATA": "CHIP2.INT1"}),
            ("A:f4", {"HDUCLAS2": "ERROR", "HDUCLAS3": "RMSE", "SCIDATA": "CHIP1.INT1"}),
        ],
        {1: {"error": 4}, 2: {"error": 3}},
    ),
    "VISTA": Layout(["-", "DET1.CHIP1:f4", "DET1.CHIP2:f4"], {1: {}, 2: {}}),
    "OmegaCAM": Layout(["-", "ESO_CCD_#65:u2", "ESO_CCD_#66:u2"], {1: {}, 2: {}}),
    "Gemini NIRI": Layout(
        [
            ("-", {"TELESCOP": "Gemini-North", "INSTRUME": "NIRI"}),
            *("SCI,1:f4", "VAR,1:f4", "DQ,1:u2", "SKYFIT,1:f4", "OBJMASK,1:u1"),
        ],
        {1: {"variance": 2, "dq": 3}},
        {4: "SKYFIT", 5: "OBJMASK"},
    ),
    "Gemini GMOS raw": Layout(
        [("-", {"INSTRUME": "GMOS-S"}), *((":u2", sections(n)) for n in range(4))],
        {1: {}, 2: {}, 3: {}, 4: {}},
    ),
    "LCO": Layout(
        ["-", "SCI,1:f4", "CAT,1:table", "BPM,1:u1", "ERR,1:f4"],
        {1: {"dq": 3, "error": 4}},
        {2: "a table"},
    ),
    "CFHT": Layout(["-", *(f"ccd{n:02d}:u2" for n in range(5))], {n: {} for n in range(1, 6)}),
    "CFHT WIRCam cubes": Layout(
        [
            "-",
            ("HAWAII-2RG-#77-ASIC-#1:u2x3", at(1)),
            ("HAWAII-2RG-#52-ASIC-#2:u2x3", at(3000)),
        ],
        {1: {}, 2: {}},
    ),
    "KPNO Mosaic": Layout(
        ["-", *(f"im{n}:f4" for n in range(1, 17))], {n: {} for n in range(1, 17)}
    ),
    "Kepler full frame": Layout(["-", "MOD.OUT 2.1:f4", "MOD.OUT 2.2:f4"], {1: {}, 2: {}}),
    "SCUBA-2": Layout(
        [("f4x1", {}), "VARIANCE:f4x1", "QUALITY:u1x1", "EXP_TIME:f4x1", "HISTORY:table"],
        {0: {"variance": 1, "dq": 2}},
        {3: "EXP", 4: "a table"},
    ),
    "SDSS frame": Layout(
        ["f4", ":line", ":table", ":table"],
        {0: {}},
        {1: "one-dimensional", 2: "a table", 3: "a table"},
    ),
    # ------------------------------------------------------------- programs and scripts
    "CCDData of astropy": Layout(["f8", "MASK:u1", "UNCERT:f8"], {0: {"dq": 1, "error": 2}}),
    "GALFIT": Layout(
        [
            "-",
            (":f4", {"OBJECT": "ngc1234[1:11,1:9]"}),
            (":f4", {"OBJECT": "model"}),
            (":f4", {"OBJECT": "residual map"}),
        ],
        {1: {}},
        {2: "GALFIT", 3: "GALFIT"},
    ),
    "image and maps without names": Layout(
        [("f4", at(5)), (":f4", at(5)), (":i2", at(5))], {0: {}}, {1: "nothing", 2: "integers"}
    ),
    "image and an error without any card": Layout(["f4", ":f4"], {0: {}}, {1: "nothing"}),
    "image and an error with the cards of the image": Layout(
        [("f4", at(5, IMAGETYP="image", FILTER="r")), (":f4", at(5, IMAGETYP="image", FILTER="r"))],
        {0: {}},
        {1: "nothing"},
    ),
    "image and a map that IMAGETYP tells": Layout(
        [("f4", at(5, IMAGETYP="science")), (":f4", at(5, IMAGETYP="variance"))],
        {0: {"variance": 1}},
    ),
    "CFITSIO's name for an image without one": Layout(["-", "COMPRESSED_IMAGE:f4"], {1: {}}),
    "mosaic without names": Layout(
        ["-", *((":f4", at(-20 * n)) for n in range(6))], {n: {} for n in range(1, 7)}
    ),
    "mosaic without names, with its mask": Layout(
        ["-", (":f4", at(0)), (":f4", at(-20)), (":f4", at(-40)), (":u1", at(0))],
        {1: {}, 2: {}, 3: {}},
        {4: "integers"},
    ),
    "sixty images without any card": Layout(["-", *([":u2"] * 60)], {n: {} for n in range(1, 61)}),
    "bands under their letters": Layout(["-", "g:f4", "r:f4", "i:f4"], {1: {}, 2: {}, 3: {}}),
    "bands under unknown names": Layout(
        ["-", ("BLUE:f4", at(5)), ("GREEN:f4", at(5))],
        {1: {}},
        {2: "nothing"},
        notes=("not cleaned, as nothing says that they are science: [GREEN,1]",),
    ),
    "numbered companions": Layout(
        ["-", "SCI1:f4", "SCI2:f4", "ERR1:f4", "ERR2:f4", "DQ2:i2"],
        {1: {"error": 3}, 2: {"error": 4, "dq": 5}},
    ),
    "companions under the name of the detector": Layout(
        ["-", "CCD1:f4", "CCD1_ERR:f4", "CCD2:f4", "CCD2_ERR:f4", "CCD2_MASK:u1"],
        {1: {"error": 2}, 3: {"error": 4, "dq": 5}},
    ),
    "models, residuals and the like": Layout(
        ["-", "SCI:f4"]
        + [
            f"{name}:f4"
            for name in (
                *("MODEL", "RESIDUAL", "CHI", "SKY", "BACKGROUND", "PSF", "SEGMENTATION"),
                *("COVAR", "VAR_FLAT", "CON", "TIME", "IMAGE_MODEL", "REFERENCE"),
            )
        ],
        {1: {}},
        dict.fromkeys(range(2, 15), ""),
    ),
    # ------------------------------------------------------------- EXTVER missing or repeated
    "triples without EXTVER": Layout(
        ["-", "SCI:f4", "ERR:f4", "DQ:i2", "SCI:f4", "ERR:f4", "DQ:i2"],
        {1: {"error": 2, "dq": 3}, 4: {"error": 5, "dq": 6}},
        notes=("order",),
    ),
    "triples of which the first has no mask": Layout(
        ["-", "SCI:f4", "ERR:f4", "SCI:f4", "ERR:f4", "DQ:i2"],
        {1: {"error": 2}, 3: {"error": 4, "dq": 5}},
        notes=("order",),
    ),
    "kinds after one another without EXTVER": Layout(
        ["-", "SCI:f4", "SCI:f4", "ERR:f4", "ERR:f4", "WHT:f4", "WHT:f4"],
        {1: {"error": 3, "coverage": 5}, 2: {"error": 4, "coverage": 6}},
        notes=("order",),
    ),
    "EXTVER of the images alone": Layout(
        ["-", "SCI,1:f4", "ERR:f4", "SCI,2:f4", "ERR:f4"],
        {1: {"error": 2}, 3: {"error": 4}},
        notes=("order",),
    ),
    "one error for two images": Layout(
        ["-", "SCI:f4", "SCI:f4", "ERR:f4"],
        {1: {}, 2: {}},
        {3: "which of 2"},
        notes=("which of 2",),
    ),
    "one mask for numbered detectors": Layout(
        ["-", "CCD1:f4", "CCD2:f4", "DQ:i2"], {1: {}, 2: {}}, {3: "which of 2"}
    ),
    "two errors for one image": Layout(
        ["-", "SCI,1:f4", "ERR,1:f4", "SIGMA,1:f4"], {1: {"error": 2}}, {3: "[ERR,1] is"}
    ),
    "an error of a missing image": Layout(
        ["-", "SCI,1:f4", "ERR,2:f4"], {1: {}}, {2: "no science HDU has its number, 2"}
    ),
    # ------------------------------------------------------------- cubes
    "cube and flat companions": Layout(
        ["f4x3", "ERR:f4x3", "DQ:i2"], {0: {"error": 1}}, {2: "shape"}, notes=("shape",)
    ),
    "image and cubes of companions": Layout(
        ["-", "SCI:f4", "ERR:f4x3", "DQ:i2x2x3"],
        {1: {}},
        {2: "shape", 3: "shape"},
        notes=("[ERR,1]", "[DQ,1]"),
    ),
    "radio cube": Layout(["f4x1x3", "BEAMS:table"], {0: {}}, {1: "a table"}),
}

# No image of these is science; the message tells what there is.
REFUSED: dict[str, list[Hdu]] = {
    "a mask of the Community Pipeline": [("-", {"PRODTYPE": "dqmask"}), "N4:i4", "S4:i4"],
    "its weights, by the name of its camera": [
        ("-", {"PRODTYPE": "wtmap", "INSTRUME": "DECam"}),
        *("N4:f4", "S4:f4"),
    ],
    "a Kepler aperture": ["-", "TARGETTABLES:table", "APERTURE:i4"],
    "weights alone": ["-", "WHT:f4"],
    "an invvar image": [("f4", {"IMTYPE": "invvar"})],
}


def made(hdu: Hdu, *, is_primary: bool) -> Any:
    """Return one HDU of the shorthand."""
    text, cards = (hdu, {}) if isinstance(hdu, str) else hdu
    name, _, kind = text.rpartition(":")
    name, _, version = name.partition(",")
    if kind == "table":
        made_hdu = fits.BinTableHDU(np.zeros(2, [("a", "f4")]))
    else:
        dtype, *planes = kind.split("x")
        shape = (7,) if kind == "line" else (*map(int, planes), *SHAPE)
        data = None if kind == "-" else np.ones(shape, "f4" if kind == "line" else dtype)
        made_hdu = fits.PrimaryHDU(data) if is_primary else fits.ImageHDU(data)
    if name:
        made_hdu.header["EXTNAME"] = name
    if version:
        made_hdu.header["EXTVER"] = int(version)
    made_hdu.header.update(cards)
    return made_hdu


def file_of(hdus: list[Hdu]) -> fits.HDUList:
    return fits.HDUList([made(hdu, is_primary=not n) for n, hdu in enumerate(hdus)])


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_a_layout_is_understood(layout: Layout) -> None:
    with open_exposure(file_of(layout.hdus)) as exposure:
        grouping = exposure.grouping
        frames = {
            slot.science.index: {role: hdu.index for role, hdu in slot.companions.items()}
            for slot in grouping.slots
        }
        roles = {role.hdu.index: role for role in grouping.roles}
        notes = " ".join(exposure.notes)
    assert frames == layout.frames
    # Every HDU has a role and a reason, and what is neither a frame nor of one is told.
    assert list(roles) == list(range(len(layout.hdus)))
    assert all(role.why for role in roles.values())
    used = {*frames, *(index for own in frames.values() for index in own.values())}
    others = {i: roles[i] for i in roles if i not in used and (i or layout.hdus[0] == "f4")}
    assert all(role.role == "kept" for role in others.values())
    told = {i: r for i, r in others.items() if i or r.hdu.shape}
    assert set(told) == set(layout.kept)
    for index, part in layout.kept.items():
        assert part in roles[index].why
        assert grouping.skipped[f"[{roles[index].hdu.label}]"] == roles[index].why
    for index, own in layout.frames.items():
        assert roles[index].role == "science"
        for role, companion in own.items():
            assert roles[companion].role == role
            assert f"belongs to [{roles[index].hdu.label}]" in roles[companion].why
    for part in layout.notes:
        assert part in notes


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_no_companion_belongs_to_two_frames(layout: Layout) -> None:
    with open_exposure(file_of(layout.hdus)) as exposure:
        owned = {s.science.index: s.companions for s in exposure.slots}
    companions = [hdu.index for own in owned.values() for hdu in own.values()]
    assert len(companions) == len(set(companions))
    assert not set(companions) & set(owned)


@pytest.mark.parametrize("hdus", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_science_is_refused_until_addressed(hdus: list[Hdu]) -> None:
    with (
        pytest.raises(FitsReadError, match="no image to clean") as caught,
        open_exposure(file_of(hdus)),
    ):
        pass
    assert "Address an HDU" in str(caught.value)
    assert "[" in str(caught.value.received)


def test_an_addressed_hdu_takes_no_companion_of_another(tmp_path: Path) -> None:
    path = tmp_path / "raw.fits"
    file_of(["-", "SCI:f4", "ERR:f4", "OTHER:f4"]).writeto(path)
    with open_exposure(f"{path}[OTHER]") as exposure:
        (slot,) = exposure.slots
        assert (slot.science.index, dict(slot.companions)) == (3, {})
        assert exposure.grouping.skipped["[SCI,1]"] == "not addressed"
    with open_exposure(f"{path}[ERR]") as exposure:
        (slot,) = exposure.slots
        assert (slot.science.index, dict(slot.companions)) == (2, {})


def test_labels_of_namesakes_are_numbers() -> None:
    layout = LAYOUTS["triples without EXTVER"]
    with open_exposure(file_of(layout.hdus)) as exposure:
        assert [slot.label for slot in exposure.slots] == ["[1]", "[4]"]
        assert [exposure.frame_id(slot)[-3:] for slot in exposure.slots] == ["[1]", "[4]"]


NAMES = [
    "",
    "SCI",
    "ERR",
    "DQ",
    "WHT",
    "VAR_FLAT",
    "CCD1",
    "CCD2",
    "CCD2.RMS",
    "MODEL",
    "FOO",
    "B-9",
]
HDUS = st.tuples(
    st.sampled_from(NAMES), st.sampled_from(["", ",1", ",2"]), st.sampled_from(["f4", "i2", "f4x2"])
)


@settings(max_examples=120, deadline=None)
@given(hdus=st.lists(HDUS, min_size=1, max_size=7))
def test_any_file_is_sorted_without_sharing(hdus: list[tuple[str, str, str]]) -> None:
    texts: list[Hdu] = [f"{name}{version}:{kind}" for name, version, kind in hdus]
    try:
        with open_exposure(file_of(["-", *texts])) as exposure:
            owned = {s.science.index: s.companions for s in exposure.slots}
            roles = exposure.grouping.roles
            labels = [role.hdu.label for role in roles]
            skipped = set(exposure.grouping.skipped)
    except FitsReadError as error:
        assert "no image to clean" in str(error)  # noqa: PT017 - only then is it allowed
        return
    companions = [hdu.index for own in owned.values() for hdu in own.values()]
    assert len(companions) == len(set(companions))
    assert not set(companions) & set(owned)
    assert len(labels) == len(set(labels)) == len(texts) + 1
    rest = {r.hdu.index for r in roles} - set(companions) - set(owned) - {0}
    assert skipped == {f"[{labels[index]}]" for index in rest}
    assert all(role.why for role in roles)
