"""Masks of observatories: which of their values reject, in which convention, and what told it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

AFW = ("BAD", "SAT", "INTRP", "CR", "EDGE", "DETECTED", "DETECTED_NEGATIVE", "SUSPECT", "NO_DATA")
MP = {f"MP_{name}": bit for bit, name in enumerate(AFW)}
SHUFFLED = {f"MP_{name}": 8 - bit for bit, name in enumerate(AFW)}
DP2 = ("NO_DATA", "BAD", "INTERPOLATED", "SATURATED", "COSMIC_RAY", "DETECTED", "NEW_PLANE")
TRIPLES: dict[str, Any] = {}
for _bit, _name in enumerate(DP2):
    TRIPLES |= {f"MSKN{_bit:04d}": _name, f"MSKM{_bit:04d}": 1 << _bit, f"MSKD{_bit:04d}": "text"}
PS1 = ("DETECTOR", "FLAT", "DARK", "BLANK", "CTE", "SAT", "LOW", "SUSPECT", "CR")
MSKNAM: dict[str, Any] = {}
for _bit, _name in enumerate(PS1):
    MSKNAM |= {f"MSKNAM{_bit:02d}": _name, f"MSKVAL{_bit:02d}": 1 << _bit}
ZTF = {
    "BIT00": (0, "AIRCRAFT/SATELLITE TRACK"),
    "BIT01": (1, "CONTAINS SEXTRACTOR DETECTION"),
    "BIT05": (5, "GHOST ** not yet implemented **"),
    "BIT08": (8, "SATURATED"),
    "BIT11": (11, "CONTAINS PSF-EXTRACTED SOURCE POSITION"),
}
DES_BITS = {"BIT1": "BADPIX_BPM", "BIT5": "BADPIX_STAR", "BIT4": "BADPIX_CRAY", "BIT0": "NEW"}
SPHEREX = {"MP_TRANSIENT": 0, "MP_OVERFLOW": 1, "MP_HOT": 10, "MP_SOURCE": 21}
SPHEREX_3 = {"MSKN0000": "TRANSIENT", "MSKN0012": "FULLSAMPLE", "MSKN0021": "SOURCE"}
HST = {"TELESCOP": "HST"}
JWST = {"TELESCOP": "JWST"}
GEMINI = {"TELESCOP": "Gemini-North"}
EUCLID = {"TELESCOP": "EUCLID"}


@dataclass(frozen=True)
class Layout:
    """One observatory's file."""

    name: str
    primary: Mapping[str, Any]
    rejects: tuple[int, ...]
    informs: tuple[int, ...]
    convention: str
    why: str
    instrument: str = "generic-ccd"
    unknown: tuple[int, ...] = ()
    science: str = "SCI"
    dq: str = "DQ"
    cards: Mapping[str, Any] = field(default_factory=dict)
    dtype: type = np.int32


LAYOUTS = [
    # Rubin and its kin state their planes in each file.
    Layout(
        "rubin-lsstcam",
        {"INSTRUME": "LSSTCam"},
        (1, 2, 8, 256),
        (4, 16, 32, 64, 128),
        "lsst",
        "MP_ cards",
        "rubin",
        (512,),
        "IMAGE",
        "MASK",
        MP,
    ),
    Layout(
        "rubin-comcam",
        {"INSTRUME": "LSSTComCam"},
        (1, 1 | 32, 8 | 32),
        (32, 64, 32 | 128),
        "lsst",
        "MP_ cards",
        "rubin",
        (),
        "IMAGE",
        "MASK",
        MP,
    ),
    Layout(
        "rubin-latiss-other-order",
        {"INSTRUME": "LATISS"},
        (256, 128, 32, 1),
        (64, 16, 8, 4, 2),
        "lsst",
        "MP_ cards",
        "rubin",
        (),
        "IMAGE",
        "MASK",
        SHUFFLED,
    ),
    Layout(
        "rubin-dp2",
        {"INSTRUME": "LSSTCam"},
        (1, 2, 8, 16),
        (4, 32),
        "lsst",
        "MSKN cards",
        "rubin",
        (64,),
        "IMAGE",
        "MASK",
        TRIPLES,
    ),
    Layout(
        "rubin-without-cards",
        {"INSTRUME": "LSSTCam"},
        (1, 2, 8),
        (32, 64),
        "lsst",
        "instrument 'rubin'",
        "rubin",
        (1 << 30,),
        "IMAGE",
        "MASK",
    ),
    Layout(
        "hsc",
        {"INSTRUME": "Hyper Suprime-Cam"},
        (1, 2, 8, 256),
        (4, 16, 32, 64, 128),
        "lsst",
        "MP_ cards",
        "hsc",
        (1 << 20,),
        "IMAGE",
        "MASK",
        MP,
    ),
    Layout(
        "afw-of-an-unknown-camera",
        {"INSTRUME": "NewCam"},
        (1, 2, 8),
        (32, 64),
        "lsst",
        "MP_ cards",
        unknown=(2048,),
        dq="MASK",
        cards=MP,
    ),
    Layout(
        "decam-by-the-lsst-pipeline",
        {"INSTRUME": "DECam"},
        (1, 2, 8),
        (32, 64),
        "lsst",
        "MP_ cards",
        "decam",
        cards=MP,
    ),
    Layout(
        "spherex",
        {"TELESCOP": "SPHEREx"},
        (1, 1024),
        (2, 1 << 21),
        "spherex",
        "MP_ cards",
        "spherex",
        (1 << 22,),
        "IMAGE",
        "FLAGS",
        SPHEREX,
    ),
    Layout(
        "spherex-qr3",
        {"TELESCOP": "SPHEREx"},
        (1,),
        (4096, 1 << 21),
        "spherex",
        "MSKN cards",
        "spherex",
        (2,),
        "IMAGE",
        "FLAGS",
        SPHEREX_3,
    ),
    Layout(
        "panstarrs",
        {"TELESCOP": "PS1"},
        (1, 2, 4, 8, 16, 32, 64, 256),
        (128,),
        "panstarrs",
        "MSKNAM cards",
        unknown=(512,),
        dq="MASK",
        cards=MSKNAM,
    ),
    Layout(
        "ztf",
        {"INSTRUME": "ZTF/MOSAIC"},
        (1, 32, 256, 4, 4096),
        (2, 2048),
        "ztf",
        "BITnn cards",
        "ztf",
        (1 << 13,),
        dq="MSK",
        cards=ZTF,
        dtype=np.int16,
    ),
    Layout(
        "ztf-without-cards",
        {"INSTRUME": "ZTF/MOSAIC"},
        (1, 4, 8, 16, 128, 256, 512, 1024),
        (2, 2048),
        "ztf",
        "instrument 'ztf'",
        "ztf",
        dq="MASK",
        dtype=np.int16,
    ),
    Layout(
        "named-bits-of-an-unknown-camera",
        {},
        (2, 16),
        (32,),
        "des",
        "BITnn cards",
        unknown=(1, 4),
        dq="MSK",
        cards=DES_BITS,
    ),
    # DES and the Community Pipeline: one camera, three tables.
    Layout(
        "des",
        {"INSTRUME": "DECam"},
        (1, 2, 16, 64, 128, 1024),
        (4, 32, 2048, 4096, 8192),
        "des",
        "header INSTRUME = DECam, DES_EXT = MASK",
        "decam",
        dq="MSK",
        cards={"DES_EXT": "MASK"},
    ),
    Layout(
        "decam-codes",
        {"INSTRUME": "DECam", "PLVER": "V4.8.2"},
        (1, 2, 3, 4, 5, 6, 8),
        (7,),
        "decam",
        "instrument 'decam'",
        "decam",
        (9,),
    ),
    Layout(
        "decam-bits",
        {"INSTRUME": "DECam", "PLVER": "V2.9"},
        (1, 2, 16, 64),
        (4, 128),
        "decam-bits",
        "PLVER = V2.9",
        "decam",
        (8,),
    ),
    Layout(
        "bok-90prime",
        {"INSTRUME": "90prime"},
        (1, 2, 3, 4, 5),
        (7,),
        "decam",
        "instrument 'bok-90prime'",
        "bok-90prime",
    ),
    Layout(
        "mosaic3",
        {"INSTRUME": "Mosaic3"},
        (1, 3, 5, 8),
        (7,),
        "decam",
        "instrument 'mosaic'",
        "mosaic",
    ),
    # JWST: DO_NOT_USE alone.
    *(
        Layout(
            f"jwst-{inst.lower()}",
            {**JWST, "INSTRUME": inst},
            (1, 1 | 2, 1 | 4),
            (2, 4, 1024, 2048, 65536, 1 << 31),
            "jwst",
            "instrument 'jwst-",
            f"jwst-{inst.lower()}",
            dtype=np.uint32,
        )
        for inst in ("NIRCAM", "MIRI", "NIRISS", "FGS", "NIRSPEC")
    ),
    Layout(
        "jwst-of-a-new-instrument",
        {**JWST, "INSTRUME": "NEW"},
        (1,),
        (2, 4),
        "jwst",
        "header TELESCOP = JWST",
        dtype=np.uint32,
    ),
    # HST.
    Layout(
        "acs-wfc",
        {**HST, "INSTRUME": "ACS", "DETECTOR": "WFC"},
        (4, 32, 128, 256, 4096, 8192),
        (16, 64),
        "hst-acs",
        "instrument",
        "hst-acs-wfc",
        dtype=np.int16,
    ),
    Layout(
        "acs-hrc",
        {**HST, "INSTRUME": "ACS", "DETECTOR": "HRC"},
        (4, 256, 8192),
        (16, 64),
        "hst-acs",
        "instrument",
        "hst-acs-hrc-sbc",
        dtype=np.int16,
    ),
    Layout(
        "wfc3-uvis",
        {**HST, "INSTRUME": "WFC3", "DETECTOR": "UVIS"},
        (4, 16, 256, 8192),
        (32, 64, 512),
        "hst-wfc3",
        "instrument",
        "hst-wfc3-uvis",
        dtype=np.int16,
    ),
    Layout(
        "wfc3-ir",
        {**HST, "INSTRUME": "WFC3", "DETECTOR": "IR"},
        (4, 256),
        (512, 2048),
        "hst-wfc3",
        "instrument",
        "hst-wfc3-ir",
        dtype=np.int16,
    ),
    Layout(
        "nicmos",
        {**HST, "INSTRUME": "NICMOS"},
        (16, 32, 64, 128, 256, 512),
        (2, 4, 8, 1024, 2048),
        "hst-nicmos",
        "instrument",
        "hst-nicmos",
        (8192,),
        dtype=np.int16,
    ),
    Layout(
        "stis-mama",
        {**HST, "INSTRUME": "STIS", "DETECTOR": "FUV-MAMA"},
        (4, 16, 512),
        (1024, 2048),
        "hst-stis",
        "header TELESCOP = HST, INSTRUME = STIS",
        dtype=np.int16,
    ),
    Layout(
        "wfpc2",
        {**HST, "INSTRUME": "WFPC2"},
        (2, 8, 16, 512),
        (256, 1024),
        "hst-wfpc2",
        "instrument",
        "hst-wfpc2",
        dtype=np.int16,
    ),
    # Gemini.
    *(
        Layout(
            f"gemini-{inst.lower()}",
            {**GEMINI, "INSTRUME": inst},
            (1, 4, 8, 16, 64),
            (2, 32),
            "dragons",
            "instrument",
            own,
            (256,),
            dtype=np.uint16,
        )
        for inst, own in (
            ("NIRI", "gemini-niri"),
            ("F2", "gemini-f2"),
            ("GSAOI", "gemini-gsaoi"),
            ("GMOS-N", "gmos"),
        )
    ),
    Layout(
        "gemini-of-a-new-instrument",
        {**GEMINI, "INSTRUME": "NEW"},
        (1, 4),
        (2, 32),
        "dragons",
        "header TELESCOP = Gemini-North",
        dtype=np.uint16,
    ),
    # Euclid: INVALID alone.
    Layout(
        "euclid-vis",
        {**EUCLID, "INSTRUME": "VIS"},
        (1, 1 | 16),
        (16, 1 << 18, 1 << 20, 1 << 24),
        "euclid-vis",
        "instrument",
        "euclid-vis",
        (1 << 28,),
        "1-1.E.SCI",
        "1-1.E.FLG",
    ),
    Layout(
        "euclid-nisp",
        {**EUCLID, "INSTRUME": "NISP"},
        (1, 3),
        (),
        "euclid-nisp",
        "instrument",
        "euclid-nisp",
        (1 << 10,),
        "DET11.SCI",
        "DET11.DQ",
    ),
    # Others.
    Layout(
        "lco",
        {"INSTRUME": "fa15", "TELESCOP": "1m0-04", "ORIGIN": "LCOGT"},
        (1, 2, 4, 8),
        (),
        "lco",
        "instrument",
        "lco",
        (16,),
        dq="BPM",
        dtype=np.uint8,
    ),
    Layout(
        "irac",
        {"TELESCOP": "Spitzer", "INSTRUME": "IRAC"},
        (8, 256, 512, 8192, 16384),
        (4, 64, 128),
        "spitzer-irac",
        "instrument",
        "spitzer-irac",
        (2,),
        dq="IMASK",
        dtype=np.int16,
    ),
    Layout(
        "mips-70",
        {"TELESCOP": "Spitzer", "INSTRUME": "MIPS", "CHNLNUM": 2},
        (256, 16384),
        (4, 8),
        "spitzer-mips",
        "header",
        "spitzer-mips",
        (32,),
        dq="PMASK",
        dtype=np.int16,
    ),
    Layout(
        "mips-24",
        {"TELESCOP": "Spitzer", "INSTRUME": "MIPS", "CHNLNUM": 1},
        (),
        (),
        "unknown",
        "neither",
        "spitzer-mips",
        (4, 8),
        dq="BMASK",
        dtype=np.int16,
    ),
    Layout(
        "wise",
        {"TELESCOP": "WISE"},
        (1, 4, 1 << 10, 1 << 21, 1 << 27),
        (8, 64, 1 << 26),
        "wise",
        "instrument",
        "wise",
        (1 << 8,),
        dq="MSK",
    ),
    Layout(
        "scuba2",
        {"INSTRUME": "SCUBA-2"},
        (),
        (1, 2, 4),
        "scuba2",
        "instrument",
        "scuba2",
        (8,),
        "PRIMARY",
        "QUALITY",
        dtype=np.uint8,
    ),
    # Nobody tells: good and bad, or nothing.
    Layout(
        "boolean",
        {"INSTRUME": "HomeCam"},
        (1,),
        (),
        "boolean",
        "values 0 and 1 alone",
        dtype=np.uint8,
    ),
    Layout("all-bits-set", {}, (255,), (), "boolean", "255 is taken as bad", dtype=np.uint8),
    Layout("many-bits", {"INSTRUME": "HomeCam"}, (), (), "unknown", "neither", unknown=(1, 4, 32)),
    Layout("one-bit-that-may-be-sources", {}, (), (), "unknown", "neither", unknown=(32,)),
]
