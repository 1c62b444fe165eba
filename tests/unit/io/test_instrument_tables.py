"""Instrument files: each header finds its own, units parse, HDUs get their roles."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest
from astropy import units as u
from astropy.io import fits

from astroclean.core.configs import list_configs
from astroclean.core.flags.conventions import known_conventions, load_convention
from astroclean.io.frames.instruments import (
    AUTO,
    GENERIC,
    VALUE_NAMES,
    Instrument,
    ValueRule,
    detect_instrument,
    load_instrument,
)
from astroclean.io.header.header_values import BASE

NAMES = list(list_configs("instruments"))
DATA = Path(
    os.environ.get("ASTROCLEAN_TEST_DATA", Path(__file__).parents[3] / ".." / "shared" / "data")
)

HST = {"TELESCOP": "HST"}
ACS = {**HST, "INSTRUME": "ACS", "DETECTOR": "WFC"}
JWST = {"TELESCOP": "JWST", "INSTRUME": "NIRCAM"}
# Archive products and Scanamorphos maps name the same things differently.
PACS = {"TELESCOP": "Herschel Space Observatory", "INSTRUME": "PACS"}
SCANAMORPHOS = {"TELESCOP": "Herschel", "INSTRMNT": "PACS", "SIGUNIT": "Jy/pix"}
SPIRE = {"TELESCOP": "Herschel Space Observatory", "INSTRUME": "SPIRE", "BUNIT": "Jy/beam"}

# Instrument, header as its data have it.
HEADERS: list[tuple[str, dict[str, Any]]] = [
    ("decam", {"INSTRUME": "DECam", "TELESCOP": "CTIO 4.0-m telescope", "CCDNUM": 28}),
    ("decam", {"INSTRUME": "DECam", "EXTNAME": "N4", "DETECTOR": "S3-214_124750-21-3"}),
    ("megacam", {"TELESCOP": "CFHT 3.6m", "INSTRUME": "MegaPrime", "DETECTOR": "MegaCam"}),
    ("megacam", {"TELESCOP": "CFHT 3.6m", "DETECTOR": "MegaCam ", "EXTNAME": "ccd13"}),
    ("hsc", {"TELESCOP": "Subaru", "INSTRUME": "Hyper Suprime-Cam", "DETECTOR": "HSC"}),
    ("hsc", {"INSTRUME": "HSC", "MP_BAD": 0}),
    ("gmos", {"INSTRUME": "GMOS-S", "TELESCOP": "Gemini-South"}),
    ("gmos", {"INSTRUME": "GMOS-N", "TELESCOP": "Gemini-North", "BUNIT": "electron"}),
    ("hst-acs-wfc", {**ACS, "CCDAMP": "ABCD", "CCDCHIP": 2, "BUNIT": "ELECTRONS"}),
    ("hst-wfpc2", {**HST, "INSTRUME": "WFPC2", "ATODGAIN": 7.0, "BUNIT": "COUNTS"}),
    ("hst-wfpc2", {**HST, "INSTRUME": "WFPC2", "ATODGAIN": 15.0, "DETECTOR": 1}),
    ("hst-stis", {**HST, "INSTRUME": "STIS", "DETECTOR": "CCD", "PRIMESI": "WFPC2"}),
    ("hst-wfc3-uvis", {**HST, "INSTRUME": "WFC3", "DETECTOR": "UVIS"}),
    ("hst-wfc3-ir", {**HST, "INSTRUME": "WFC3", "DETECTOR": "IR"}),
    ("jwst-nircam", {**JWST, "DETECTOR": "NRCA1", "CHANNEL": "SHORT", "FILTER": "F090W"}),
    ("herschel-pacs", {**PACS, "CAMERA": "PHOTBLUE", "CUSMODE": "PacsPhoto"}),
    ("herschel-pacs", {**SCANAMORPHOS, "DETECTOR": "GREEN", "OBSMODE": "PARALLEL"}),
    ("herschel-spire", {**SPIRE, "DETECTOR": "PLW"}),
    ("hst-acs-hrc-sbc", {**HST, "INSTRUME": "ACS", "DETECTOR": "HRC"}),
    ("hst-acs-hrc-sbc", {**HST, "INSTRUME": "ACS", "DETECTOR": "SBC"}),
    ("hst-nicmos", {**HST, "INSTRUME": "NICMOS", "CAMERA": 3}),
    ("jwst-miri", {"TELESCOP": "JWST", "INSTRUME": "MIRI", "DETECTOR": "MIRIMAGE"}),
    ("jwst-niriss", {"TELESCOP": "JWST", "INSTRUME": "NIRISS", "DETECTOR": "NIS"}),
    ("jwst-fgs", {"TELESCOP": "JWST", "INSTRUME": "FGS", "DETECTOR": "GUIDER1"}),
    ("jwst-nirspec", {"TELESCOP": "JWST", "INSTRUME": "NIRSPEC", "DETECTOR": "NRS1"}),
    ("rubin", {"INSTRUME": "LSSTCam", "TELESCOP": "Simonyi Survey Telescope"}),
    ("rubin", {"INSTRUME": "LSSTComCam"}),
    ("rubin", {"INSTRUME": "LATISS", "TELESCOP": "Rubin Auxiliary Telescope"}),
    ("euclid-vis", {"TELESCOP": "EUCLID", "INSTRUME": "VIS"}),
    ("euclid-nisp", {"TELESCOP": "Euclid", "INSTRUME": "NISP"}),
    ("ztf", {"INSTRUME": "ZTF/MOSAIC", "TELESCOP": "Palomar 48-inch"}),
    ("lco", {"INSTRUME": "fa15", "TELESCOP": "1m0-04", "ORIGIN": "LCOGT"}),
    ("spitzer-irac", {"TELESCOP": "Spitzer", "INSTRUME": "IRAC", "CHNLNUM": 2}),
    ("spitzer-mips", {"TELESCOP": "Spitzer", "INSTRUME": "MIPS", "CHNLNUM": 1}),
    ("wise", {"TELESCOP": "WISE", "BAND": 3}),
    ("scuba2", {"TELESCOP": "JCMT", "INSTRUME": "SCUBA-2", "FILTER": "850"}),
    ("gemini-niri", {"TELESCOP": "Gemini-North", "INSTRUME": "NIRI"}),
    ("gemini-f2", {"TELESCOP": "Gemini-South", "INSTRUME": "F2"}),
    ("gemini-gsaoi", {"TELESCOP": "Gemini-South", "INSTRUME": "GSAOI"}),
    ("eso-fors", {"TELESCOP": "ESO-VLT-U1", "INSTRUME": "FORS2"}),
    ("eso-vimos", {"TELESCOP": "ESO-VLT-U3", "INSTRUME": "VIMOS"}),
    ("eso-omegacam", {"TELESCOP": "ESO-VST", "INSTRUME": "OMEGACAM"}),
    ("eso-hawki", {"TELESCOP": "ESO-VLT-U4", "INSTRUME": "HAWKI"}),
    ("eso-vircam", {"TELESCOP": "VISTA", "INSTRUME": "VIRCAM"}),
    ("suprimecam", {"TELESCOP": "Subaru", "INSTRUME": "SuprimeCam"}),
    ("wircam", {"TELESCOP": "CFHT 3.6m", "INSTRUME": "WIRCam", "DETECTOR": "WIRCam"}),
    ("mosaic", {"TELESCOP": "KPNO 4.0 meter telescope", "INSTRUME": "Mosaic3"}),
    ("mosaic", {"TELESCOP": "KPNO 4.0 meter telescope", "INSTRUME": "mosaic_1_1"}),
    ("bok-90prime", {"TELESCOP": "bok23m", "INSTRUME": "90prime"}),
    ("sdss", {"TELESCOP": "2.5m", "ORIGIN": "SDSS    "}),
    ("spherex", {"TELESCOP": "SPHEREx"}),
    ("ukirt-wfcam", {"TELESCOP": "UKIRT", "INSTRUME": "WFCAM"}),
    ("int-wfc", {"TELESCOP": "INT", "INSTRUME": "WFC"}),
    # Not ours: another telescope, detector or channel.
    (GENERIC, {}),
    (GENERIC, {"TELESCOP": "kp09m", "INSTRUME": "test", "DETECTOR": "te2k"}),
    (GENERIC, {**HST, "INSTRUME": "STIS", "DETECTOR": "FUV-MAMA"}),
    (GENERIC, {"TELESCOP": "HST", "INSTRUME": "FOC"}),
    (GENERIC, {"TELESCOP": "Spitzer", "INSTRUME": "IRS"}),
    (GENERIC, {"TELESCOP": "Herschel Space Observatory", "INSTRUME": "HIFI"}),
    (GENERIC, {"TELESCOP": "MMT", "DETECTOR": "Megacam"}),
]

# Instrument, header, variant, pixel scale and PSF FWHM (arcsec).
BEAMS: list[tuple[str, dict[str, Any], str, float, float]] = [
    (
        "herschel-pacs",
        {**PACS, "CAMERA": "PHOTBLUE", "CUSMODE": "PacsPhoto"},
        "scan-blue",
        1.6,
        5.6,
    ),
    ("herschel-pacs", {**PACS, "CAMERA": "PHOTGREEN"}, "scan-green", 1.6, 6.8),
    ("herschel-pacs", {**PACS, "CAMERA": "PHOTRED", "CUSMODE": "PacsPhoto"}, "scan-red", 3.2, 11.4),
    (
        "herschel-pacs",
        {**PACS, "CAMERA": "PHOTRED", "CUSMODE": "SpirePacsParallel"},
        "parallel-red",
        3.2,
        13.5,
    ),
    (
        "herschel-pacs",
        {**SCANAMORPHOS, "DETECTOR": "GREEN", "OBSMODE": "PARALLEL"},
        "parallel-green",
        3.2,
        9.4,
    ),
    (
        "herschel-pacs",
        {**SCANAMORPHOS, "DETECTOR": "blue", "OBSMODE": "Scan"},
        "scan-blue",
        1.6,
        5.6,
    ),
    ("herschel-spire", {**SPIRE, "DETECTOR": "PSW"}, "psw", 6.0, 18.1),
    ("herschel-spire", {**SPIRE, "DETECTOR": "PMW"}, "pmw", 8.33, 24.9),
    ("herschel-spire", {**SPIRE, "DETECTOR": "PLW     / Name of the detector"}, "plw", 12.0, 36.6),
    ("jwst-nircam", {**JWST, "CHANNEL": "SHORT", "FILTER": "F200W"}, "f200w", 0.031, 0.066),
    ("jwst-nircam", {**JWST, "CHANNEL": "LONG", "FILTER": "F444W"}, "f444w", 0.063, 0.145),
]

# File, science HDU, instrument.
REAL = [
    ("decam_dq_cutouts_a.fits.gz", 1, "decam"),
    ("gmos_s_spectrum2d_cr.fits", 1, "gmos"),
    ("herschel_pacs100_ngc5584.fits.gz", 0, "herschel-pacs"),
    ("herschel_spire250_ngc5584.fits.gz", 0, "herschel-spire"),
    ("hst_stis_bias_hotcolumns.fits.gz", 1, "hst-stis"),
    ("hst_stis_m33_pair_top_flt.fits.gz", 1, "hst-stis"),
    ("hst_wfc3ir_a2744_group_f105w.fits.gz", 0, "hst-wfc3-ir"),
    ("hst_wfpc2_ngc4151_cr_c0f.fits.gz", 0, "hst-wfpc2"),
    ("hst_wfpc2_omegacen_pc1_wf3.fits.gz", 1, "hst-wfpc2"),
    ("kpno09m_a671_r_1200s.fits.fz", 1, GENERIC),
    ("saao_ste3_rf0420_raw.fits", 0, GENERIC),
    ("ystar_saao_trail.fits", 0, GENERIC),
]

# Instrument, EXTNAME, role (None: left out).
ROLES: list[tuple[str, str, str | None]] = [
    *[
        (name, ext, role)
        for name in ("hst-acs-wfc", "hst-stis", "hst-wfpc2", "hst-wfc3-ir", "jwst-nircam")
        for ext, role in (("SCI", "science"), ("ERR", "error"), ("DQ", "dq"), ("CTX", None))
    ],
    ("hst-acs-wfc", "WHT", "coverage"),
    ("hst-acs-wfc", "D2IMARR", None),
    ("jwst-nircam", "VAR_POISSON", None),
    ("gmos", "SCI", "science"),
    ("gmos", "VAR", "variance"),
    ("gmos", "DQ", "dq"),
    ("gmos", "SKYFIT", None),
    ("hsc", "IMAGE", "science"),
    ("hsc", "MASK", "dq"),
    ("hsc", "VARIANCE", "variance"),
    ("decam", "SCI", "science"),
    ("decam", "DQ", "dq"),
    ("decam", "WT", "inverse_variance"),
    ("decam", "N29", "science"),
    ("decam", "FN1", None),
    ("megacam", "ccd13", "science"),
    ("herschel-pacs", "image", "science"),
    ("herschel-pacs", "stDev", "error"),
    ("herschel-pacs", "coverage", "coverage"),
    ("herschel-pacs", "History", None),
    ("herschel-spire", "image   ", "science"),
    ("herschel-spire", "error", "error"),
    (GENERIC, "ERR", "error"),
    (GENERIC, "VARIANCE", "variance"),
    (GENERIC, "IVAR", "inverse_variance"),
    (GENERIC, "mask", "dq"),
    (GENERIC, "BPM", "dq"),
    (GENERIC, "WHT", "coverage"),
    (GENERIC, "SCI", None),
]


def rules_of(instrument: Instrument) -> list[tuple[str, ValueRule]]:
    """Every value rule, those of the variants too."""
    tables = [instrument.values, *(variant.values for variant in instrument.variant)]
    return [(name, rule) for table in tables for name, rule in table.items()]


def header_of(name: str, hdu: int) -> dict[str, Any]:
    """Header of the primary updated with that of one HDU, without reading pixels."""
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"{name} is not in {DATA}; set ASTROCLEAN_TEST_DATA")
    with fits.open(path) as hdus:
        return {**dict(hdus[0].header), **dict(hdus[hdu].header)}


@pytest.mark.parametrize("name", NAMES)
def test_file_loads_and_says_where_its_numbers_come_from(name: str) -> None:
    instrument = load_instrument(name)
    assert instrument.name == name
    assert instrument.title
    assert instrument.source.strip()
    assert bool(instrument.match) != (name == GENERIC)


def test_titles_differ() -> None:
    assert len({load_instrument(name).title for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_value_has_the_type_and_size_of_its_quantity(name: str) -> None:
    for key, rule in rules_of(load_instrument(name)):
        assert key in VALUE_NAMES
        if key in {"unit", "filter"}:
            assert rule.default is None or isinstance(rule.default, str)
        elif rule.default is not None:
            assert isinstance(rule.default, float)
            assert math.isfinite(rule.default)
            assert rule.default > 0


@pytest.mark.parametrize("name", NAMES)
def test_every_unit_and_its_meaning_parse(name: str) -> None:
    for key, rule in rules_of(load_instrument(name)):
        if key == "unit":
            texts = [*rule.aliases.values(), *([rule.default] if rule.default is not None else [])]
            for text in texts:
                assert u.Unit(text).to_string() is not None


@pytest.mark.parametrize("name", NAMES)
def test_keywords_are_fits_keywords(name: str) -> None:
    instrument = load_instrument(name)
    words = [word for _, rule in rules_of(instrument) for word in rule.keywords]
    words += [key for rules in instrument.match for key in rules]
    words += [key for variant in instrument.variant for key in variant.match]
    words += [instrument.trim_keyword] if instrument.trim_keyword else []
    for word in words:
        for part in word.split("&"):
            if part.startswith("ESO "):  # HIERARCH
                assert all(p.isalnum() and p == p.upper() for p in part.split())
                continue
            assert 1 <= len(part) <= 8, part
            assert part.replace("_", "").replace("-", "").isalnum(), part
            assert part == part.upper()


@pytest.mark.parametrize("name", NAMES)
def test_dq_of_an_instrument_has_a_convention(name: str) -> None:
    instrument = load_instrument(name)
    assert bool(instrument.hdus.dq) == (instrument.dq is not None)
    if instrument.dq and instrument.dq != AUTO:
        convention = load_convention(instrument.dq)
        assert convention.values
        # By its files the convention is told also without the instrument.
        headers = [header for other, header in HEADERS if other == name]
        known = [c.recognises(header) for c in (convention,) for header in headers]
        assert max(known) > 0


def test_there_are_thirty_instruments() -> None:
    assert len(NAMES) >= 30


@pytest.mark.parametrize(("name", "header"), HEADERS)
def test_no_header_is_of_two_conventions(name: str, header: dict[str, Any]) -> None:
    scores = {c.name: c.recognises(header) for c in known_conventions()}
    best = max(scores.values())
    assert not best or list(scores.values()).count(best) == 1, (name, scores)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_without_a_name_is_science(name: str) -> None:
    hdus = load_instrument(name).hdus
    if hdus.science:
        assert hdus.role("") == ("science", "")
        assert hdus.role("PRIMARY") == ("science", "")
    else:
        assert hdus.role("") is None


@pytest.mark.parametrize("name", NAMES)
def test_every_instrument_has_a_header_here(name: str) -> None:
    assert name in {instrument for instrument, _ in HEADERS}


@pytest.mark.parametrize(("name", "header"), HEADERS)
def test_header_is_recognised_by_one_instrument_only(name: str, header: dict[str, Any]) -> None:
    assert detect_instrument(header, where="x.fits").name == name
    found = [other for other in NAMES if load_instrument(other).recognises(header)]
    assert found == ([] if name == GENERIC else [name])


@pytest.mark.parametrize(("name", "header", "variant", "scale", "fwhm"), BEAMS)
def test_variant_gives_pixel_and_beam(
    name: str, header: dict[str, Any], variant: str, scale: float, fwhm: float
) -> None:
    instrument = load_instrument(name)
    found = instrument.variant_for(header)
    assert found is not None
    assert found.name == variant
    assert instrument.rule("pixel_scale", header).default == scale
    assert instrument.rule("psf_fwhm", header).default == fwhm


@pytest.mark.parametrize("name", NAMES)
def test_beam_is_wider_than_a_pixel_where_both_are_fixed(name: str) -> None:
    instrument = load_instrument(name)
    for values in [instrument.values, *(variant.values for variant in instrument.variant)]:
        scale, fwhm = (values.get(k, ValueRule()).default for k in ("pixel_scale", "psf_fwhm"))
        if isinstance(scale, float) and isinstance(fwhm, float):
            assert 0.9 < fwhm / scale < 10


def test_longer_waves_have_wider_beams() -> None:
    for name, order in (
        ("herschel-spire", ["psw", "pmw", "plw"]),
        ("herschel-pacs", ["scan-blue", "scan-green", "scan-red"]),
        ("herschel-pacs", ["parallel-blue", "parallel-green", "parallel-red"]),
    ):
        table = {v.name: v.values["psf_fwhm"].default for v in load_instrument(name).variant}
        widths = [table[key] for key in order]
        assert widths == sorted(widths)


def test_fast_scanning_smears_the_pacs_beam() -> None:
    table = {v.name: v.values["psf_fwhm"].default for v in load_instrument("herschel-pacs").variant}
    for band in ("blue", "green", "red"):
        assert table[f"parallel-{band}"] > table[f"scan-{band}"]


@pytest.mark.parametrize("bunit", ["ELECTRONS/S", "COUNTS/S"])
@pytest.mark.parametrize("name", ["hst-acs-wfc", "hst-wfpc2", "hst-stis", "hst-wfc3-uvis"])
def test_a_rate_has_no_saturation_level(name: str, bunit: str) -> None:
    rule = load_instrument(name).rule("saturation", {"BUNIT": bunit, "CCDGAIN": 4})
    assert rule == ValueRule()


@pytest.mark.parametrize(
    ("header", "keyword"),
    [
        ({"CCDAMP": "ABCD", "CCDCHIP": 2, "BUNIT": "ELECTRONS"}, "READNSEC&READNSED"),
        ({"CCDAMP": "ABCD", "CCDCHIP": 1, "BUNIT": "ELECTRONS"}, "READNSEA&READNSEB"),
        ({"CCDAMP": "B", "CCDCHIP": 1, "BUNIT": "ELECTRONS"}, "READNSEB"),
    ],
)
def test_acs_read_noise_is_that_of_the_amplifiers_used(
    header: dict[str, Any], keyword: str
) -> None:
    assert load_instrument("hst-acs-wfc").rule("read_noise", header).keywords == (keyword,)


def test_wfpc2_bay_sets_gain_and_noise() -> None:
    wfpc2 = load_instrument("hst-wfpc2")
    low, high = {"ATODGAIN": 7.0}, {"ATODGAIN": 15.0}
    assert wfpc2.rule("gain", low).keywords == ("ATODGAIN",)
    assert wfpc2.rule("gain", high).default == pytest.approx(14, abs=0.5)
    noise = [wfpc2.rule("read_noise", header).default for header in (low, high)]
    assert noise == sorted(noise)


@pytest.mark.parametrize(("name", "extname", "role"), ROLES)
def test_role_of_an_hdu(name: str, extname: str, role: str | None) -> None:
    found = load_instrument(name).hdus.role(extname)
    assert (found and found[0]) == role


def test_ccds_of_a_mosaic_are_grouped_by_name() -> None:
    assert load_instrument("decam").hdus.role("S4") == ("science", "S4")
    assert load_instrument("megacam").hdus.role("CCD05") == ("science", "CCD05")


@pytest.mark.parametrize("name", NAMES)
def test_options_are_for_plugins_that_have_such_numbers(name: str) -> None:
    instrument = load_instrument(name)
    holes = {"unit", "limits", "radii", "source", "annulus"}
    apertures = {"apertures", "aperture_corrections"}
    known = {
        "lacosmic": {"sigclip", "objlim"},
        "pconv": {f"hole_{key}" for key in holes} | apertures,
    }
    for table in [instrument.options, *(variant.options for variant in instrument.variant)]:
        for plugin, options in table.items():
            assert set(options) <= known[plugin]


@pytest.mark.parametrize(("file", "hdu", "name"), REAL)
def test_real_header_is_recognised(file: str, hdu: int, name: str) -> None:
    assert detect_instrument(header_of(file, hdu), where=file).name == name


@pytest.mark.parametrize(
    ("file", "name", "variant"),
    [
        ("herschel_pacs100_ngc5584.fits.gz", "herschel-pacs", "parallel-green"),
        ("herschel_spire250_ngc5584.fits.gz", "herschel-spire", "psw"),
    ],
)
def test_real_herschel_map_has_its_band_and_unit(file: str, name: str, variant: str) -> None:
    header = header_of(file, 0)
    instrument = load_instrument(name)
    found = instrument.variant_for(header)
    assert found is not None
    assert found.name == variant
    rule = instrument.rule("unit", header)
    text = next(header[key] for key in rule.keywords if key in header)
    assert u.Unit(rule.aliases.get(text, text)) == u.Jy / u.pix


@pytest.mark.parametrize(("file", "hdu", "name"), REAL)
def test_real_header_gives_a_unit(file: str, hdu: int, name: str) -> None:
    header = header_of(file, hdu)
    rule = load_instrument(name).rule("unit", header)
    texts = [str(header[key]) for key in rule.keywords if header.get(key)]
    text = texts[0] if texts else rule.default
    assert isinstance(text, str)
    u.Unit(rule.aliases.get(text, text))


@pytest.mark.parametrize(("file", "hdu", "name"), REAL)
def test_real_header_gives_an_exposure_time_where_it_is_one(file: str, hdu: int, name: str) -> None:
    header = header_of(file, hdu)
    keywords = load_instrument(name).rule("exposure", header).keywords
    if name == GENERIC:
        keywords = tuple(key.keyword for key in BASE["exposure"])
    if name.startswith("herschel"):
        assert not keywords
    else:
        assert any(key in header for key in keywords)
