"""The cards of every flavour of WCS go into new HDUs, and pixels lie where they did."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from astroclean.core.flags.conventions import load_convention
from astroclean.core.flags.planes import REJECTING
from astroclean.core.image.layer import Layer
from astroclean.io.frames.read import open_exposure
from astroclean.io.header.wcs_cards import wcs_cards_of
from astroclean.io.products.masks import write_mask
from astroclean.io.products.output import FrameOutput
from astroclean.io.products.write import OutputPlan, write_clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Cards = dict[str, Any]

NY, NX = 20, 30
# Not of the WCS: they must not be copied into masks.
FOREIGN: Cards = {
    "OBJECT": "M 31",
    "EXPTIME": 30.0,
    "BUNIT": "adu",
    "CCDSUM": "1 1",
    "CRPIXEL": 3,
    "WATER": 1.0,
    "PLTS": 2,
    "DATASEC": "[1:30,1:20]",
    "AIRMASS": 1.2,
}


def sky(projection: str, suffix: str = "", **cards: Any) -> Cards:
    made = {
        f"CTYPE1{suffix}": f"RA---{projection}",
        f"CTYPE2{suffix}": f"DEC--{projection}",
        f"CRVAL1{suffix}": 150.0,
        f"CRVAL2{suffix}": 2.0,
        f"CRPIX1{suffix}": 12.5,
        f"CRPIX2{suffix}": 9.0,
    }
    matrix = {"CD1_1": -1e-4, "CD1_2": 2e-6, "CD2_1": 1e-6, "CD2_2": 1.1e-4}
    return {**made, **{f"{k}{suffix}": v for k, v in matrix.items()}, **cards}


def iraf(kind: str) -> Cards:
    grid = "3. 2. 2. 2. -0.3 0.3 -0.3 0.3"
    wat = {
        1: f'wtype={kind} axtype=ra lngcor = "{grid} 1.2E-3 -2.1E-4 3.3E-4 "',
        2: f'wtype={kind} axtype=dec latcor = "{grid} -1.0E-3 1.1E-4 2.3E-4 "',
    }
    if kind == "zpx":
        wat = {n: text.replace(" l", " projp1=1.0 projp3=40.0 l") for n, text in wat.items()}
    parts = {
        f"WAT{axis}_{n // 68 + 1:03d}": text[n : n + 68]
        for axis, text in wat.items()
        for n in range(0, len(text), 68)
    }
    return {**sky(kind.upper()), "WCSDIM": 2, "WAT0_001": "system=image", **parts}


def plate() -> Cards:
    """Return the cards of a plate of the Digitized Sky Survey (values of the survey's kind)."""
    names = ("PLTRAH", "PLTRAM", "PLTRAS", "PLTDECSN", "PLTDECD", "PLTDECM", "PLTDECS")
    made: Cards = dict(zip(names, (12, 30, 15.5, "+", 12, 20, 30.0), strict=True))
    made |= {"PLTSCALE": 67.2, "XPIXELSZ": 25.28445, "YPIXELSZ": 25.28445}
    made |= {"CNPIX1": 6000, "CNPIX2": 7000}
    made |= {f"PPO{n}": v for n, v in enumerate((0.0, 0.0, 177500.0, 0.0, 0.0, 177500.0), 1)}
    x = (67.2, 0.05, -0.3, 1e-5, 2e-5, -1e-5, 0.0, 2e-6, 1e-8, 2e-6, 1e-7, 0.0, 0.0)
    made |= {f"AMDX{n}": v for n, v in enumerate(x, 1)}
    return made | {f"AMDY{n}": v * (1 + n / 50) for n, v in enumerate(x, 1)}


FLAVOURS: dict[str, Cards] = {
    "TAN with CD": sky("TAN", RADESYS="ICRS", EQUINOX=2000.0, LONPOLE=180.0, LATPOLE=2.0),
    "TAN with PC": {
        **{k: v for k, v in sky("TAN").items() if not k.startswith("CD")},
        "PC1_1": 0.9,
        "PC1_2": 0.1,
        "PC2_1": -0.1,
        "PC2_2": 0.9,
        "CDELT1": -1e-4,
        "CDELT2": 1e-4,
        "CUNIT1": "deg",
        "CUNIT2": "deg",
        "WCSNAME": "fit",
        "WCSAXES": 2,
    },
    "CROTA": {
        **{k: v for k, v in sky("TAN").items() if not k.startswith("CD")},
        "CDELT1": -1e-4,
        "CDELT2": 1e-4,
        "CROTA1": 0.0,
        "CROTA2": 12.0,
        "RADECSYS": "FK5",
        "EPOCH": 1950.0,
    },
    "SIP": {
        **sky("TAN-SIP"),
        "A_ORDER": 2,
        "B_ORDER": 2,
        "A_2_0": 2e-4,
        "A_1_1": -1e-5,
        "B_0_2": -3e-4,
        "A_DMAX": 1.5,
        "B_DMAX": 1.1,
        "AP_ORDER": 1,
        "BP_ORDER": 1,
        "AP_1_0": 1e-6,
    },
    "TPV": {
        **sky("TPV"),
        **{f"PV{a}_{n}": v for a in (1, 2) for n, v in ((0, 1e-4), (1, 1.01), (4, 0.3), (10, 0.1))},
    },
    "ZPN": {**sky("ZPN"), "PV2_1": 1.0, "PV2_3": 42.0, "CNAME1": "longitude", "CRDER1": 1e-5},
    "TNX": iraf("tnx"),
    "ZPX": iraf("zpx"),
    "DSS plate": plate(),
    "section of a raw frame": {
        **sky("TAN"),
        "LTV1": -100.0,
        "LTV2": 3.0,
        "LTM1_1": 0.5,
        "LTM2_2": 0.5,
        "LTM1_2": 0.0,
    },
    "physical pixels": {
        **sky("TAN"),
        "WCSNAMEP": "PHYSICAL",
        "WCSTY1P": "PHYSICAL",
        "CTYPE1P": "X",
        "CTYPE2P": "Y",
        "CRPIX1P": 0.5,
        "CRPIX2P": 0.5,
        "CRVAL1P": 4000.0,
        "CRVAL2P": 3000.0,
        "CDELT1P": 2.0,
        "CDELT2P": 2.0,
    },
    "galactic alternate": {
        **sky("TAN"),
        **sky("TAN", "G"),
        "CTYPE1G": "GLON-TAN",
        "CTYPE2G": "GLAT-TAN",
        "RADESYSG": "FK5",
        "EQUINOXG": 1975.0,
        "LONPOLEG": 170.0,
        "WCSNAMEG": "galactic",
        "CUNIT1G": "deg",
    },
    "alternate of the pointing model": {**sky("TAN"), **sky("TPV", "Z"), "PV1_1Z": 1.02},
    "radio": {
        **{k: v for k, v in sky("SIN").items() if not k.startswith("CD")},
        "PC001001": 1.0,
        "CDELT1": -1e-4,
        "CDELT2": 1e-4,
        "SPECSYS": "LSRK",
        "RESTFRQ": 1.42e9,
        "VELREF": 257,
        "ALTRVAL": 1.0,
        "ALTRPIX": 1.0,
    },
    "polynomial of a plate fit": {**sky("TAN"), **{f"CO1_{n}": 0.1 * n for n in range(1, 8)}},
    "distortion that is a function": {
        **sky("TAN"),
        "CQDIS1": "TPD",
        "CQDIS2": "TPD",
        "DQ1.NAXES": 2,
        "DQ1.AXIS.1": 1,
        "DQ1.AXIS.2": 2,
        "DQ1.DOCORR": 1,
        "DQ1.TPD.FWD.0": 0.2,
        "DQ1.TPD.FWD.1": 1e-3,
    },
}
# Where the standard allows it only by record-valued cards.
_RECORD = "DQ1."


def header_of(cards: Cards) -> fits.Header:
    header = fits.Header()
    for keyword, value in {**FOREIGN, **cards}.items():
        if keyword.startswith(_RECORD):
            for axis in (1, 2):
                header.append((f"DQ{axis}", f"{keyword.removeprefix(_RECORD)}: {value}"), end=True)
        else:
            header[keyword] = (value, "" if keyword.startswith("WAT") else "as measured")
    return header


@pytest.fixture(params=FLAVOURS)
def flavour(request: pytest.FixtureRequest) -> Cards:
    return FLAVOURS[request.param]


@pytest.fixture
def science(flavour: Cards) -> fits.PrimaryHDU:
    return fits.PrimaryHDU(np.ones((NY, NX), "f4"), header_of(flavour))


def written(
    hdus: fits.HDUList, write: Callable[..., None], *args: Any, **keys: Any
) -> fits.HDUList:
    target = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with open_exposure(hdus) as exposure:
            frames = [(slot, exposure.frame(slot)) for slot in exposure.slots]
            outputs = [
                FrameOutput(
                    slot,
                    frame.data,
                    np.zeros(frame.shape, bool),
                    frame.flags,
                    layers={"REMOVED": Layer(frame.data)},
                )
                for slot, frame in frames
            ]
            write(exposure.source, outputs, target, *args, **keys)
        target.seek(0)
        return fits.open(target)


@pytest.fixture
def cleaned(science: fits.PrimaryHDU) -> Iterator[fits.HDUList]:
    with written(fits.HDUList([science]), write_clean, OutputPlan()) as hdus:
        yield hdus


def positions(header: fits.Header, key: str) -> np.ndarray | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wcs = WCS(header, key=key)
        x, y = [0, NX - 1, 3.5], [0, NY - 1, 7.25]
        return np.array(wcs.all_pix2world(x, y, 0))


@pytest.mark.parametrize("name", ["FLAGS", "REMOVED"])
def test_new_hdus_carry_every_card_as_it_stands(
    name: str, cleaned: fits.HDUList, flavour: Cards
) -> None:
    given = [c.image for c in header_of(flavour).cards if c.keyword not in FOREIGN]
    given = [image for image in given if not image.startswith("EPOCH")]
    new = [c.image for c in cleaned[name].header.cards]
    assert [image for image in new if image in given] == given
    assert not {*FOREIGN} & {*cleaned[name].header}


@pytest.mark.parametrize("name", ["FLAGS", "REMOVED"])
def test_new_hdus_lie_on_the_sky_as_the_science_does(
    name: str, cleaned: fits.HDUList, flavour: Cards
) -> None:
    letters = {k[-1] for k in flavour if k.startswith("CTYPE1") and k[-1].isalpha()}
    for key in (" ", *letters):
        before, after = (positions(cleaned[n].header, key) for n in (0, name))
        np.testing.assert_array_equal(after, before)


def test_a_mask_alone_lies_there_too(science: fits.PrimaryHDU) -> None:
    convention = load_convention("maximask")
    with written(
        fits.HDUList([science]), write_mask, convention=convention, reject=REJECTING
    ) as hdus:
        expected = positions(science.header, " ")
        np.testing.assert_array_equal(positions(hdus["MASK"].header, " "), expected)


@pytest.mark.parametrize("flavour", ["TNX", "DSS plate", "SIP", "TPV"], indirect=True)
def test_these_flavours_differ_from_their_linear_part(flavour: Cards) -> None:
    """The test above would not see a distortion that astropy ignores."""
    whole = header_of(flavour)
    linear = header_of(sky("TAN"))
    assert not np.allclose(positions(whole, " "), positions(linear, " "), rtol=0, atol=1e-6)


TABULATED = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 1.0,
    "CRPIX1": 1.0,
    "CTYPE1W": "XX---TAB",
    "CTYPE2W": "YY---TAB",
    "PS1_0W": "TABLE",
    "PS1_1W": "COORDS",
    "PV1_1W": 1,
    "CRVAL1W": 0.0,
    "CPDIS1": "LOOKUP",
    "CPDIS2": "TPD",
    "D2IMDIS1": "LOOKUP",
    "AXISCORR": 1,
}


def test_cards_that_name_a_table_stay_where_the_table_is() -> None:
    header = header_of(TABULATED)
    header["DP1"] = "EXTVER: 1"
    header["DP2"] = "NAXES: 2"
    there = set(wcs_cards_of(header, lookups=True))
    alone = set(wcs_cards_of(header, lookups=False))
    assert there == {*TABULATED, "DP1.EXTVER", "DP2.NAXES"} | ({"DP1", "DP2"} & there)
    gone = {keyword for keyword in there if keyword not in alone}
    assert gone == {
        *(k for k in TABULATED if k.endswith("W")),
        *("CPDIS1", "DP1.EXTVER", "D2IMDIS1", "AXISCORR"),
    }
