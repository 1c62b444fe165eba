"""What a run does not change comes out as it went in, whatever the form of the FITS file.

The outputs are judged by readers that are not ours: CFITSIO (fitsio), fitsverify and funpack.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import subprocess
import time
import warnings
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import astropy.units as u
import fitsio
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import InverseVariance, VarianceUncertainty
from astropy.wcs import WCS

from astroclean.core.image.grid import Grid
from astroclean.core.image.layer import BACKGROUND, Layer, LayerSpec
from astroclean.core.image.uncertainty import deviation_of
from astroclean.io.frames.read import Exposure, open_exposure
from astroclean.io.products.names import clean_name
from astroclean.io.products.output import FrameOutput
from astroclean.io.products.write import OutputPlan, write_clean
from astroclean.io.scratch.atomic import atomic_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from astroclean.io.frames.grouping import FrameSlot

NY, NX = 24, 31
BLOCK = 2880
FILLED = np.float32(1234.5)
HIGH_BIT = 0x80000001
EXTENDED = b"EXTEND  =" + b" " * 20 + b"T"
DENIED = "EXTEND  =" + " " * 20 + "F"


# ---------------------------------------------------------------------------- input files


def pixels(dtype: str, shape: tuple[int, ...] = (NY, NX)) -> np.ndarray:
    """Return values that use the whole range of small integer types."""
    generator = np.random.default_rng(20)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return (generator.normal(100, 7, shape)).astype(kind)
    limits = np.iinfo(kind)
    low, high = max(limits.min, -40000), min(limits.max, 70000)
    values = generator.integers(low, high, shape, endpoint=True).astype(kind)
    values.flat[1], values.flat[2] = low, high
    return values


def sky_cards(header: fits.Header) -> None:
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = 150.1, 2.2
    header["CRPIX1"], header["CRPIX2"] = 12.5, 9.0
    header["CD1_1"], header["CD1_2"] = -5.1e-5, 1.0e-6
    header["CD2_1"], header["CD2_2"] = 1.1e-6, 5.2e-5


def sip_cards(header: fits.Header) -> None:
    sky_cards(header)
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
    header["A_ORDER"], header["B_ORDER"] = 2, 2
    header["A_2_0"], header["A_1_1"], header["B_0_2"] = 2.3e-4, -1.1e-5, -3.1e-4
    header["AP_ORDER"], header["BP_ORDER"] = 1, 1
    header["AP_1_0"], header["BP_0_1"] = 1e-6, -1e-6


def tpv_cards(header: fits.Header) -> None:
    sky_cards(header)
    header["CTYPE1"], header["CTYPE2"] = "RA---TPV", "DEC--TPV"
    for axis in (1, 2):
        for number, value in ((0, 1e-5), (1, 1.01), (2, 2e-4), (4, 3e-2), (10, 1e-3)):
            header[f"PV{axis}_{number}"] = value


def odd_cards(header: fits.Header) -> None:
    sky_cards(header)
    header["BUNIT"] = ("electron", "[sic] of the pixels")
    header["INHERIT"] = (True, "inherits the primary")
    header["HIERARCH ESO DET CHIP1 NAME"] = ("EEV 42-80", "chip")
    header["HIERARCH ESO INS TEMP lower"] = 12.25
    header["LONGTEXT"] = "a sentence that goes on " * 12
    header["UNKNOWN"] = (1.0e-30, "nobody knows this card")
    header["GAIN"] = (1.5, "with a comment of its own")
    for number in range(90):
        header[f"ODD{number}"] = (number * 1.1, f"odd card {number}")
    header.add_comment("a comment & an ampersand = sign")
    header.add_history("made by hand")
    header.add_blank("blank with text")


RAW_CARDS = (
    "TIGHT   =1",
    "FREEFORM=     1.5D+03 / exponent D",
    "NOVALUE =  / undefined",
    "ESO-LOG 00:00:00> DATE = '1992-10-26'",
    "lowerkey= 'non-standard'",
)


def with_raw_cards(content: bytes) -> bytes:
    """Insert cards that no writer of ours would make before END."""
    end = content.index(b"END" + b" " * 77)
    cards = "".join(card.ljust(80) for card in RAW_CARDS).encode()
    header = content[:end] + cards + b"END".ljust(80)
    start = end // BLOCK * BLOCK + BLOCK
    return header + b" " * (-len(header) % BLOCK) + content[start:]


def primary(data: np.ndarray, *cards: Callable[[fits.Header], None], **keys: Any) -> bytes:
    hdu = fits.PrimaryHDU(data)
    for add in cards:
        add(hdu.header)
    hdu.header.update(keys)
    return joined([hdu])


def joined(hdus: list[Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fits.verify.VerifyWarning)
        fits.HDUList(hdus).writeto(buffer, output_verify="ignore", **options)
    return buffer.getvalue()


def image(name: str, data: np.ndarray, version: int = 1, **cards: Any) -> fits.ImageHDU:
    hdu = fits.ImageHDU(data, name=name, ver=version)
    sky_cards(hdu.header)
    hdu.header.update(cards)
    return hdu


def stored_scaled(dtype: str, **cards: Any) -> bytes:
    """Return a primary whose pixels are stored integers and whose cards scale them."""
    hdu = fits.PrimaryHDU(pixels(dtype))
    content = joined([hdu])
    header = hdu.header.copy()
    header.update(cards)
    return header.tostring().encode() + content[len(hdu.header.tostring()) :]


def with_blank(dtype: str, blank: int, **cards: Any) -> bytes:
    content = stored_scaled(dtype, BLANK=blank, **cards)
    header_size = content.index(b"END" + b" " * 77) // BLOCK * BLOCK + BLOCK
    data = bytearray(content)
    cell = np.array([blank], dtype=np.dtype(dtype).newbyteorder(">")).tobytes()
    for position in (3, 40, NX * NY - 5):
        start = header_size + position * len(cell)
        data[start : start + len(cell)] = cell
    return bytes(data)


def exposure_with(role: str, *, versions: int = 2, dtype: str = "f4") -> bytes:
    hdus: list[Any] = [fits.PrimaryHDU()]
    hdus[0].header["OBSERVER"] = "Caroline"
    for version in range(1, versions + 1):
        error = np.abs(pixels("f4")) / 50
        error[2, 3] = 0 if role in {"IVAR", "WHT"} else np.nan
        hdus += [image("SCI", pixels(dtype), version, BUNIT="electron")]
        hdus += [image(role, error, version)]
        hdus += [image("DQ", (pixels("i2") > 30000).astype("i2"), version)]
    return joined(hdus)


def compressed(
    data: np.ndarray, kind: str, quantize: float = 16, *, checksum: bool = False, **cards: Any
) -> bytes:
    hdu = fits.CompImageHDU(data, compression_type=kind, quantize_level=quantize, name="SCI")
    sky_cards(hdu.header)
    hdu.header.update(cards)
    return joined([fits.PrimaryHDU(), hdu], checksum=checksum)


def by_cfitsio(data: np.ndarray, folder: Path, **options: Any) -> bytes:
    """Return a tile-compressed file as CFITSIO writes it."""
    path = folder / "cfitsio.fits.fz"
    with fitsio.FITS(str(path), "rw", clobber=True) as file:
        file.write(data, header={"BUNIT": "electron", "OBJECT": "M 31"}, **options)
    return path.read_bytes()


def with_infinities() -> np.ndarray:
    data = pixels("f8")
    data[4, 5], data[6, 7], data[8, 9] = np.nan, np.inf, -np.inf
    return data


def with_nan(dtype: str = "f4") -> np.ndarray:
    data = pixels(dtype)
    data[4, 5:9] = np.nan
    return data


def with_tables() -> bytes:
    column = fits.Column(name="flux", format="E", array=np.arange(5.0))
    table = fits.BinTableHDU.from_columns([column], name="CATALOG")
    text = fits.TableHDU.from_columns([fits.Column(name="t", format="I4", array=[1, 2])])
    line = fits.ImageHDU(np.arange(7, dtype="f4"), name="SPECTRUM")
    return joined(
        [fits.PrimaryHDU(), table, image("A", pixels("i2")), text, line, image("B", pixels("f4"))]
    )


def with_odd_names() -> bytes:
    hdus = [fits.PrimaryHDU(), image("X", pixels("f4")), image("Y", np.abs(pixels("f4")))]
    content = joined(hdus)
    content = content.replace(b"EXTNAME = 'X       '", b"EXTNAME = 'sci     '")
    return content.replace(b"EXTNAME = 'Y       '", b"EXTNAME = 'Err     '")


def with_blanks_in_name() -> bytes:
    card = b"EXTNAME = 'X       '           / extension name".ljust(80)
    content = joined([fits.PrimaryHDU(), image("X", pixels("i2"))])
    start = content.index(b"EXTNAME = 'X")
    return content[:start] + b"EXTNAME = 'SCI         '".ljust(80) + content[start + len(card) :]


def with_lookup_table() -> bytes:
    header = fits.Header()
    sky_cards(header)
    for axis in (1, 2):
        header[f"CPDIS{axis}"] = "LOOKUP"
        header[f"DP{axis}"] = f"EXTVER: {axis}"
        header[f"DP{axis}.NAXES"] = 2
        header[f"DP{axis}.AXIS.1"], header[f"DP{axis}.AXIS.2"] = 1, 2
    hdus: list[Any] = [fits.PrimaryHDU(), fits.ImageHDU(pixels("f4"), header, name="SCI")]
    for axis in (1, 2):
        table = fits.ImageHDU(np.full((4, 5), 0.3 * axis, "f4"), name="WCSDVARR", ver=axis)
        table.header["CRPIX1"] = table.header["CRPIX2"] = 0.0
        table.header["CRVAL1"] = table.header["CRVAL2"] = 0.0
        table.header["CDELT1"] = table.header["CDELT2"] = 8.0
        hdus.append(table)
    hdus[1].header["INSTRUME"], hdus[1].header["TELESCOP"] = "STIS", "HST"
    hdus[1].header["DETECTOR"] = "CCD"
    return joined(hdus)


def sums(content: bytes) -> bytes:
    with fits.open(io.BytesIO(content), disable_image_compression=True) as hdus:
        return joined([hdu.copy() for hdu in hdus], checksum=True)


def packed_by_nasa(content: bytes, folder: Path) -> bytes:
    """Return a file as fpack makes it: a compressed primary, with the sums of the plain file."""
    program = shutil.which("fpack")
    if program is None:
        end = pytest.fail if os.environ.get("ASTROCLEAN_CI") == "1" else pytest.skip
        end("fpack is not installed (a Debian package, see requirements/apt.txt)")
    plain = folder / "plain.fits"
    plain.write_bytes(content)
    subprocess.run([program, "-O", str(folder / "packed"), str(plain)], check=True)
    return (folder / "packed").read_bytes()


CUBE = (3, NY, NX)

PLAIN: dict[str, Callable[[], bytes]] = {
    **{f"primary-{t}": lambda t=t: primary(pixels(t)) for t in ("u1", "i2", "i4", "i8", "f4")},
    "primary-f8-infinite": lambda: primary(with_infinities(), sky_cards),
    "primary-i1": lambda: primary(pixels("i1")),
    "primary-u2": lambda: primary(pixels("u2"), sky_cards),
    "primary-u4": lambda: primary(pixels("u4")),
    "scaled-i2": lambda: stored_scaled("i2", BSCALE=0.25, BZERO=-10.5, BUNIT="Jy/beam"),
    "scaled-u1": lambda: stored_scaled("u1", BSCALE=2.0, BZERO=7.0),
    "scaled-i4": lambda: stored_scaled("i4", BSCALE=1e-3, BZERO=3.0),
    "scaled-f4": lambda: stored_scaled("f4", BSCALE=2.0, BZERO=1.0),
    "blank-i2": lambda: with_blank("i2", -32768),
    "blank-i4": lambda: with_blank("i4", -2147483648),
    "blank-u2": lambda: with_blank("i2", 77, BZERO=32768, BSCALE=1),
    "blank-scaled": lambda: with_blank("i2", -999, BSCALE=0.5, BZERO=100.0),
    "odd-cards": lambda: with_raw_cards(primary(pixels("f4"), odd_cards)),
    "odd-cards-i2": lambda: with_raw_cards(primary(pixels("i2"), odd_cards)),
    "sip": lambda: primary(pixels("f4"), sip_cards),
    "tpv": lambda: primary(pixels("i2"), tpv_cards),
    "lookup-table": with_lookup_table,
    "sci-err-dq": lambda: exposure_with("ERR"),
    "sci-var-dq": lambda: exposure_with("VAR", dtype="i2"),
    "sci-ivar-dq": lambda: exposure_with("IVAR"),
    "sci-weight-dq": lambda: exposure_with("WHT"),
    "tables": with_tables,
    "lower-case-names": with_odd_names,
    "blanks-in-name": with_blanks_in_name,
    "cube-f4": lambda: primary(pixels("f4", CUBE), sky_cards),
    "cube-i2": lambda: primary(pixels("i2", CUBE), sky_cards),
    "cube-degenerate": lambda: primary(pixels("f4", (1, 1, NY, NX)), sky_cards),
    "checksum-f4": lambda: sums(primary(pixels("f4"), sky_cards)),
    "checksum-mef": lambda: sums(exposure_with("ERR", dtype="i2")),
}

PACKED: dict[str, Callable[[Path], bytes]] = {
    "rice-i2": lambda _: compressed(pixels("i2"), "RICE_1"),
    "rice-i4": lambda _: compressed(pixels("i4"), "RICE_1"),
    "rice-u1": lambda _: compressed(pixels("u1"), "RICE_1"),
    "rice-u2": lambda _: compressed(pixels("u2"), "RICE_1"),
    "gzip-i4": lambda _: compressed(pixels("i4"), "GZIP_1"),
    "quantized-f4": lambda _: compressed(with_nan(), "RICE_1"),
    "quantized-f8": lambda _: compressed(with_nan("f8"), "RICE_1"),
    "exact-f4": lambda _: compressed(with_nan(), "GZIP_2", 0),
    "exact-f8": lambda _: compressed(with_nan("f8"), "GZIP_1", 0),
    "hcompress-i2": lambda _: compressed(pixels("i2") // 8, "HCOMPRESS_1"),
    "cube": lambda _: compressed(pixels("f4", CUBE), "GZIP_2", 0),
    "checksum": lambda _: compressed(pixels("i2"), "RICE_1", checksum=True),
    "cfitsio-i2": lambda f: by_cfitsio(pixels("i2"), f, compress="RICE"),
    "cfitsio-i4": lambda f: by_cfitsio(pixels("i4"), f, compress="RICE", tile_dims=[7, 9]),
    "cfitsio-f4": lambda f: by_cfitsio(with_nan(), f, compress="RICE"),
    "cfitsio-dithered": lambda f: by_cfitsio(
        with_nan(), f, compress="RICE", qlevel=4, qmethod="SUBTRACTIVE_DITHER_2"
    ),
    "fpack-i2": lambda f: packed_by_nasa(primary(pixels("i2"), sky_cards), f),
    "fpack-u2": lambda f: packed_by_nasa(primary(pixels("u2"), sip_cards), f),
    "fpack-f4": lambda f: packed_by_nasa(primary(with_nan(), odd_cards), f),
    "fpack-blank": lambda f: packed_by_nasa(with_blank("i2", 77), f),
    "fpack-sums": lambda f: packed_by_nasa(sums(exposure_with("ERR", dtype="i2")), f),
    "cfitsio-exact": lambda f: by_cfitsio(with_nan(), f, compress="GZIP", qlevel=0),
}

GZIPPED = ("primary-i2", "primary-f8-infinite", "blank-scaled", "sci-err-dq", "cube-f4")
FORMS = [*PLAIN, *(f"{name}.gz" for name in GZIPPED), *(f"{name}.fz" for name in PACKED)]


def form_path(form: str, folder: Path) -> Path:
    """Write the input file of a form."""
    name, _, packing = form.partition(".")
    content = PACKED[name](folder) if packing == "fz" else PLAIN[name]()
    path = folder / f"raw.fits{'.' if packing else ''}{packing}"
    path.write_bytes(gzip.compress(content) if packing == "gz" else content)
    return path


@pytest.fixture(params=FORMS)
def any_form(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return form_path(request.param, tmp_path)


REAL = (
    "cosmos_blend_hsc_grizy.fits.gz",
    "decals_grz_cutout.fits.gz",
    "decam_dq_cutouts_a.fits.gz",
    "gmos_s_spectrum2d_cr.fits",
    "herschel_spire250_ngc5584.fits.gz",
    "hst_stis_bias_hotcolumns.fits.gz",
    "hst_stis_m33_pair_top_flt.fits.gz",
    "hst_wfc3ir_a2744_group_f105w.fits.gz",
    "hst_wfpc2_ngc4151_cr_c0f.fits.gz",
    "jcmt_scuba850_l1551.fits",
    "kpno09m_a671_r_1200s.fits.fz",
    "kpno_m51_b.fits.gz",
    "ntt_emmi_na36_r.fits.gz",
    "saao_ste3_rf0420_raw.fits",
    "ystar_saao_trail.fits",
)


@pytest.fixture(params=REAL)
def real_file(request: pytest.FixtureRequest, real_data: Path) -> Path:
    path: Path = real_data / request.param
    return path


# ---------------------------------------------------------------------------- a run on a file


@dataclass(frozen=True)
class Run:
    """One cleaned file and what was asked of it."""

    source: Path
    target: Path
    outputs: list[FrameOutput]
    changed: dict[int, np.ndarray] = field(default_factory=dict)
    """HDU index to changed pixels, with the axes of the HDU."""


def some_pixels(shape: tuple[int, int]) -> np.ndarray:
    """Return pixels that include corners, a block and a whole row."""
    where = np.zeros(shape, dtype=bool)
    where[0, 0] = where[-1, -1] = where[0, -1] = True
    where[3:6, 2:5] = True
    where[shape[0] // 2] = True
    return where


def is_to_change(slot: FrameSlot) -> bool:
    """Leave the second science HDU and the first plane of a cube as they are."""
    is_first_of_cube = slot.plane == 0 and max(slot.science.shape[:-2]) > 1
    return slot.ordinal != 2 and not is_first_of_cube


def outcome(exposure: Exposure, slot: FrameSlot, *, change: bool) -> FrameOutput:
    frame = exposure.frame(slot)
    changed = some_pixels(frame.shape) & change
    data = np.where(changed, FILLED, frame.data)
    flags = frame.flags.copy()
    flags[3, 4] |= HIGH_BIT
    deviation = deviation_of(frame.uncertainty)
    return FrameOutput(
        slot,
        data,
        changed,
        flags,
        uncertainty=None if deviation is None else np.where(changed, np.nan, deviation),
        uncertainty_changed=changed if change and deviation is not None else None,
        history=("astroclean x 1.0: y",),
    )


def cleaned(
    path: Path,
    *,
    change: Callable[[FrameSlot], bool] = is_to_change,
    folder: Path | None = None,
    amend: Callable[[FrameOutput], FrameOutput] = lambda output: output,
    plan: OutputPlan | None = None,
) -> Run:
    folder = folder or path.parent
    target = folder / clean_name(path)
    with open_exposure(path) as exposure:
        outputs = [amend(outcome(exposure, s, change=change(s))) for s in exposure.slots]
        with atomic_file(target) as stream:
            write_clean(exposure.source, outputs, stream, plan or OutputPlan())
    run = Run(path, target, outputs)
    for output in outputs:
        info = output.slot.science
        whole = run.changed.setdefault(info.index, np.zeros(info.shape, dtype=bool))
        whole.reshape(-1, *info.shape[-2:])[output.slot.plane or 0] = output.changed
    return run


@pytest.fixture(scope="module", params=FORMS)
def form_run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A synthetic file with some pixels changed."""
    return cleaned(form_path(request.param, tmp_path_factory.mktemp("form")))


@pytest.fixture(scope="module", params=REAL)
def real_run(
    request: pytest.FixtureRequest, real_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """A real file with some pixels changed."""
    return cleaned(real_data / request.param, folder=tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="module", params=[form for form in FORMS if form.endswith(".fz")])
def packed_run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A tile-compressed file with some pixels changed."""
    return cleaned(form_path(request.param, tmp_path_factory.mktemp("packed")))


def nothing(_: FrameSlot) -> bool:
    return False


def unpacked(path: Path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


def hdu_parts(content: bytes) -> list[tuple[list[str], bytes]]:
    """Return the cards and all bytes of each HDU, as stored."""
    parts = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hdus = fits.open(io.BytesIO(content), disable_image_compression=True)
    with hdus:
        for place in [hdu.fileinfo() for hdu in hdus]:
            start, data = place["hdrLoc"], place["datLoc"]
            text = content[start:data].decode("ascii")
            cards = [text[n : n + 80] for n in range(0, len(text), 80)]
            parts.append((cards, content[start : data + place["datSpan"]]))
    return parts


def opened(path: Path) -> fits.HDUList:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fits.open(path)


def header_of(path: Path, index: int) -> fits.Header:
    with opened(path) as hdus:
        return hdus[index].header.copy()


def seen_by_cfitsio(path: Path, index: int) -> np.ndarray:
    with fitsio.FITS(str(path)) as file:
        return file[index].read()


def physical(path: Path, index: int) -> np.ndarray:
    """Return the pixel values by CFITSIO; integers with a BLANK become floats."""
    values = seen_by_cfitsio(path, index)
    header = header_of(path, index)
    blank = header.get("BLANK", header.get("ZBLANK"))
    if blank is None or header.get("BITPIX", -1) < 0:
        return values
    told = blank * header.get("BSCALE", 1) + header.get("BZERO", 0)
    return np.where(values == told, np.nan, values.astype("f8"))


def image_indices(path: Path) -> list[int]:
    with opened(path) as hdus:
        return [
            n for n, hdu in enumerate(hdus) if hdu.is_image and hdu.shape and 0 not in hdu.shape
        ]


def stored_type(path: Path, index: int) -> np.dtype[Any]:
    """Return the type that a changed HDU must have."""
    bits = header_of(path, index)["BITPIX"]
    if bits < 0:
        return np.dtype(f"f{-bits // 8}")
    return np.dtype("f4" if bits <= 16 else "f8")


# ---------------------------------------------------------------------------- unchanged pixels


def test_an_unchanged_file_begins_with_the_bytes_of_its_input(any_form: Path) -> None:
    run = cleaned(any_form, change=nothing)
    before, after = unpacked(run.source), unpacked(run.target)
    assert after[: len(before)] == before
    assert len(after) > len(before)


def test_an_unchanged_real_file_begins_with_the_bytes_of_its_input(
    real_file: Path, tmp_path: Path
) -> None:
    run = cleaned(real_file, change=nothing, folder=tmp_path)
    # HDUs follow: the standard does not allow a primary to deny it.
    before = unpacked(run.source).replace(DENIED.encode(), EXTENDED)
    after = unpacked(run.target)[: len(before)]
    at = after.find(EXTENDED)
    assert (after[:at], after[at + 80 :]) == (before[:at], before[at + 80 :])


def test_a_missing_last_padding_is_added(tmp_path: Path) -> None:
    path = tmp_path / "raw.fits"
    whole = primary(pixels("f4"))
    path.write_bytes(whole[: len(whole) - (-NY * NX * 4 % BLOCK)])
    assert len(path.read_bytes()) % BLOCK
    assert unpacked(cleaned(path, change=nothing).target)[: len(whole)] == whole


def test_hdus_without_changes_keep_their_bytes_beside_changed_ones(form_run: Run) -> None:
    run = form_run
    before, after = hdu_parts(unpacked(run.source)), hdu_parts(unpacked(run.target))
    touched = {index for index, changed in run.changed.items() if changed.any()}
    touched |= {
        info.index
        for output in run.outputs
        if output.uncertainty_changed is not None
        for role, info in output.slot.companions.items()
        if role in {"error", "variance", "inverse_variance"}
    }
    assert touched
    for index, (_, content) in enumerate(before):
        assert (after[index][1] == content) is (index not in touched), index


# ---------------------------------------------------------------------------- changed pixels


def check_pixels(run: Run) -> None:
    """Only the changed pixels differ, as CFITSIO reads them, and floats keep their type."""
    for index, changed in run.changed.items():
        before, after = physical(run.source, index), seen_by_cfitsio(run.target, index)
        assert after.shape == before.shape
        if not changed.any():
            np.testing.assert_array_equal(after, seen_by_cfitsio(run.source, index))
            continue
        where = changed.reshape(before.shape)
        assert after.dtype.newbyteorder("=") == stored_type(run.source, index)
        assert (after[where] == FILLED).all()
        np.testing.assert_array_equal(after[~where], before[~where].astype(after.dtype))


def test_only_the_changed_pixels_differ(form_run: Run) -> None:
    check_pixels(form_run)


def test_only_the_changed_pixels_of_a_real_file_differ(real_run: Run) -> None:
    check_pixels(real_run)


def test_floats_stored_as_they_are_keep_every_bit(tmp_path: Path) -> None:
    data = pixels("f4")
    payload = np.array([0x7FC00123, 0xFF800000, 0x80000000, 0x00000001], dtype=np.uint32)
    data[1, 1:5] = payload.view("f4")  # a NaN with a payload, -inf, -0, the smallest number
    path = tmp_path / "raw.fits"
    path.write_bytes(primary(data))
    stored = hdu_parts(unpacked(cleaned(path).target))[0][1][BLOCK:]
    after = np.frombuffer(stored, dtype=">u4", count=NY * NX).reshape(NY, NX)
    np.testing.assert_array_equal(after[1, 1:5], payload)


def test_a_blank_integer_becomes_nan(tmp_path: Path) -> None:
    path = form_path("blank-i2", tmp_path)
    after = seen_by_cfitsio(cleaned(path).target, 0)
    with fitsio.FITS(str(path)) as file:
        blank = file[0].read() == -32768
    changed = some_pixels((NY, NX))
    assert (blank & ~changed).any()
    np.testing.assert_array_equal(np.isnan(after), blank & ~changed)


# ---------------------------------------------------------------------------- headers

REPLACED = ("BITPIX", "BSCALE", "BZERO", "BLANK", "CHECKSUM", "DATASUM")
# Cards of the table that holds a compressed image, and of its compression.
PACKING = re.compile(
    r"NAXIS\d|PCOUNT|GCOUNT|TFIELDS|TTYPE\d|TFORM\d|THEAP|ZBITPIX|ZTILE\d|ZCMPTYPE|ZNAME\d|ZVAL\d"
    r"|ZSIMPLE|ZTENSION|ZQUANTIZ|ZDITHER0|ZSCALE|ZZERO|ZBLANK|ZNAXIS\d?|ZHECKSUM|ZDATASUM|XTENSION|NAXIS|ZIMAGE"
)


def kept_cards(cards: list[str], *, packed: bool) -> list[str]:
    kept = [card for card in cards if not card.startswith((*REPLACED, "HISTORY astroclean"))]
    if packed:
        kept = [card for card in kept if not PACKING.fullmatch(card[:8].rstrip())]
    end = kept.index("END".ljust(80))
    return kept[:end]


def check_headers(run: Run) -> None:
    before, after = hdu_parts(unpacked(run.source)), hdu_parts(unpacked(run.target))
    assert len(after) > len(before)
    for index, (cards, _) in enumerate(before):
        for marker in ("ZSIMPLE", "ZTENSION"):
            marked = [
                [c for c in part if c.startswith(marker)] for part in (cards, after[index][0])
            ]
            assert marked[0] == marked[1]
        packed = any(card.startswith("ZIMAGE") for card in cards)
        kept, now = (kept_cards(c, packed=packed) for c in (cards, after[index][0]))
        if index == 0:  # HDUs follow: the standard does not allow a primary to deny it
            kept = [
                EXTENDED.decode() + now[n][30:] if DENIED in c else c for n, c in enumerate(kept)
            ]
        assert now == kept


def test_every_other_card_is_kept_as_it_stands(form_run: Run) -> None:
    check_headers(form_run)


def test_every_other_card_of_a_real_file_is_kept_as_it_stands(real_run: Run) -> None:
    check_headers(real_run)


def test_a_changed_hdu_tells_so_in_its_history(form_run: Run) -> None:
    run = form_run
    for index, changed in run.changed.items():
        with fitsio.FITS(str(run.target)) as file:
            cards = file[index].read_header().records()
        history = [card["value"] for card in cards if card["name"] == "HISTORY"]
        assert ("astroclean x 1.0: y" in history) == bool(changed.any())


def corners_on_sky(path: Path, index: int | str) -> np.ndarray | None:
    """Return what astropy's WCS makes of the corners, or None where there is no WCS."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(path) as hdus:
            header = hdus[index].header
            if not header.get("CTYPE1"):
                return None
            wcs = WCS(header, fobj=hdus, naxis=2)
            ny, nx = hdus[index].shape[-2:]
            return np.array(wcs.all_pix2world([0, nx - 1, 0, nx / 3], [0, 0, ny - 1, ny / 2], 0))


def check_sky(run: Run) -> None:
    for index in run.changed:
        before = corners_on_sky(run.source, index)
        after = corners_on_sky(run.target, index)
        assert (before is None) == (after is None)
        if before is not None and after is not None:
            np.testing.assert_array_equal(after, before)
    first = next(iter(run.changed))
    expected = corners_on_sky(run.source, first)
    if expected is not None:
        seen = corners_on_sky(run.target, "FLAGS")
        assert seen is not None
        np.testing.assert_array_equal(seen, expected)


def test_science_and_flags_lie_on_the_sky_as_before(form_run: Run) -> None:
    check_sky(form_run)


def test_science_and_flags_of_a_real_file_lie_on_the_sky_as_before(real_run: Run) -> None:
    check_sky(real_run)


# ---------------------------------------------------------------------------- compression, sums


def test_a_packed_image_stays_packed(packed_run: Run) -> None:
    run = packed_run
    with fitsio.FITS(str(run.source)) as before, fitsio.FITS(str(run.target)) as after:
        for hdu in after:
            if hdu.get_exttype() == "IMAGE_HDU" and hdu.has_data():
                assert hdu.is_compressed()
        for index in [n for n, changed in run.changed.items() if changed.any()]:
            old, new = (f[index].read_header() for f in (before, after))
            assert new["ZCMPTYPE"] == "GZIP_2"
            assert [new[f"ZTILE{n}"] for n in (1, 2)] == [old[f"ZTILE{n}"] for n in (1, 2)]
        assert after["FLAGS"].read_header()["ZCMPTYPE"] == "RICE_1"


def test_funpack_opens_a_packed_output(packed_run: Run, funpack: str, tmp_path: Path) -> None:
    run = packed_run
    plain = tmp_path / "funpacked.fits"
    done = subprocess.run(
        [funpack, "-O", str(plain), str(run.target)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with fitsio.FITS(str(plain)) as unpacked_file, fitsio.FITS(str(run.target)) as target:
        for hdu in target:
            if hdu.get_exttype() != "IMAGE_HDU" or not hdu.has_data():
                continue
            again = next(h for h in unpacked_file if h.has_data() and same_name(h, hdu))
            np.testing.assert_array_equal(again.read(), hdu.read())


def same_name(ours: Any, theirs: Any) -> bool:
    headers = [hdu.read_header() for hdu in (ours, theirs)]
    names = [str(header.get("EXTNAME", "")) for header in headers]
    names = [name.replace("COMPRESSED_IMAGE", "") for name in names]
    versions = [header.get("EXTVER", 1) for header in headers]
    return names[0] == names[1] and versions[0] == versions[1]


@pytest.mark.parametrize("form", ["checksum-f4", "checksum-mef", "checksum.fz"])
def test_sums_of_changed_hdus_are_valid(form: str, tmp_path: Path) -> None:
    run = cleaned(form_path(form, tmp_path))
    count = len(hdu_parts(unpacked(run.source)))
    with fitsio.FITS(str(run.target)) as file:
        for index in range(count):
            assert "CHECKSUM" in file[index].read_header()
            file[index].verify_checksum()  # raises where CFITSIO finds another sum
    with fits.open(run.target, checksum=True, disable_image_compression=True) as hdus:
        hdus.readall()  # warns, hence fails, where astropy finds another sum
        assert all("CHECKSUM" in hdu.header for hdu in hdus[:count])


def check_verified(run: Run, fitsverify: Any) -> None:
    errors, warned = fitsverify.counts(run.source)
    new_errors, newly_warned = fitsverify.counts(run.target)
    assert new_errors <= errors
    assert newly_warned <= warned


def test_fitsverify_finds_no_more_than_in_the_input(form_run: Run, fitsverify: Any) -> None:
    check_verified(form_run, fitsverify)


def test_fitsverify_finds_no_more_than_in_a_real_input(real_run: Run, fitsverify: Any) -> None:
    check_verified(real_run, fitsverify)


# ---------------------------------------------------------------------------- new HDUs


def check_flags(run: Run) -> None:
    with fitsio.FITS(str(run.target)) as file:
        groups: dict[int, list[FrameOutput]] = {}
        for output in run.outputs:
            groups.setdefault(output.slot.ordinal, []).append(output)
        for ordinal, group in groups.items():
            hdu = file["FLAGS", ordinal]
            values = hdu.read()
            science = group[0].slot.science
            assert values.dtype.newbyteorder("=") == np.uint32
            assert values.shape == science.shape
            expected = np.stack([o.flags for o in group]).reshape(science.shape)
            np.testing.assert_array_equal(values, expected)
            assert hdu.read_header()["ACSCI"] == science.label


def test_flags_are_exact_to_the_highest_bit(form_run: Run) -> None:
    run = form_run
    assert all(output.flags[3, 4] & HIGH_BIT == HIGH_BIT for output in run.outputs)
    check_flags(run)


def test_flags_of_a_real_file_are_exact(real_run: Run) -> None:
    check_flags(real_run)


def test_new_hdus_come_last(form_run: Run) -> None:
    run = form_run
    with fitsio.FITS(str(run.source)) as before, fitsio.FITS(str(run.target)) as after:
        names = [hdu.get_extname() for hdu in after]
        assert names[: len(before)] == [hdu.get_extname() for hdu in before]
        assert set(names[len(before) :]) == {"FLAGS"}


def test_products_and_branches_are_exact(any_form: Path) -> None:
    background = pixels("f4")
    finer = pixels("f4", (2 * NY, 2 * NX))

    wcs = WCS(naxis=2)
    wcs.wcs.crpix, wcs.wcs.cdelt = (24.5, 3.0), (-2.55e-5, 2.55e-5)

    def with_layers(output: FrameOutput) -> FrameOutput:
        layers = {"BACKGROUND": Layer(background, declared=BACKGROUND)}
        if output.slot.plane is None:
            layers["SUPERRES"] = finer_layer(finer, wcs)
        return replace(output, layers=layers, result="SUPERRES" if len(layers) > 1 else None)

    run = cleaned(any_form, amend=with_layers)
    with fitsio.FITS(str(run.target)) as file:
        found = file["BACKGROUND"].read()
        assert found.shape == run.outputs[0].slot.science.shape
        np.testing.assert_array_equal(found.reshape(-1, NY, NX)[0], background)
        if run.outputs[0].result is not None:
            np.testing.assert_array_equal(file["SUPERRES"].read(), finer)
            header = file["SUPERRES"].read_header()
            assert (header["CRPIX1"], header["CDELT1"]) == (24.5, -2.55e-5)


def finer_layer(image: NDArray[Any], wcs: WCS) -> Layer:
    spec = LayerSpec("SUPERRES", "finer", own_grid=True, always=True)
    return Layer(image, Grid((2 * NY, 2 * NX), wcs, step=0.5), u.adu, declared=spec)


@pytest.mark.parametrize("form", ["sci-err-dq", "sip", "tpv", "lookup-table", "odd-cards-i2"])
def test_a_finer_image_has_its_own_place_on_the_sky(form: str, tmp_path: Path) -> None:
    finer = WCS(naxis=2)
    finer.wcs.ctype, finer.wcs.crval = ("RA---TAN", "DEC--TAN"), (150.1, 2.2)
    finer.wcs.crpix, finer.wcs.cdelt = (24.5, 17.5), (-2.5e-5, 2.5e-5)
    layer = finer_layer(pixels("f4", (2 * NY, 2 * NX)), finer)

    def with_result(output: FrameOutput) -> FrameOutput:
        return replace(output, layers={"SUPERRES": layer}, result="SUPERRES")

    run = cleaned(form_path(form, tmp_path), amend=with_result)
    seen = corners_on_sky(run.target, "SUPERRES")
    expected = finer.all_pix2world([0, 2 * NX - 1, 0, 2 * NX / 3], [0, 0, 2 * NY - 1, NY], 0)
    np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-10)


def test_a_replacing_result_takes_the_place_of_the_science(tmp_path: Path) -> None:
    path = form_path("sci-err-dq", tmp_path)
    sharper = pixels("f4") * np.float32(1.5)
    spec = LayerSpec("DECONV", "sharper", always=True)

    def deconvolved(output: FrameOutput) -> FrameOutput:
        layer = Layer(sharper, unit=u.electron, declared=spec)
        return replace(output, layers={"DECONV": layer}, result="DECONV")

    run = cleaned(path, amend=deconvolved, plan=OutputPlan(replace=True))
    with fitsio.FITS(str(run.target)) as file:
        np.testing.assert_array_equal(file["SCI", 1].read(), sharper)
        assert "DECONV" not in file


def test_masks_alone_carry_no_science(tmp_path: Path) -> None:
    run = cleaned(form_path("sci-err-dq", tmp_path), plan=OutputPlan(science=False))
    with fitsio.FITS(str(run.target)) as file:
        assert [hdu.get_extname() for hdu in file] == ["", "FLAGS", "FLAGS"]
    check_flags(run)


# ---------------------------------------------------------------------------- uncertainties

KINDS = {
    "ERR": lambda deviation: deviation,
    "VAR": np.square,
    "IVAR": lambda deviation: 1 / np.square(deviation),
}


@pytest.mark.parametrize("role", KINDS)
@pytest.mark.filterwarnings("error")
def test_a_stored_uncertainty_is_updated_in_its_own_form(role: str, tmp_path: Path) -> None:
    path = tmp_path / "raw.fits"
    path.write_bytes(exposure_with(role, versions=1))
    deviation = np.float32(3.0)

    def known(output: FrameOutput) -> FrameOutput:
        values = np.where(output.changed, deviation, np.asarray(output.uncertainty))
        return FrameOutput(
            output.slot,
            output.data,
            output.changed,
            output.flags,
            uncertainty=values,
            uncertainty_changed=output.changed,
        )

    run = cleaned(path, amend=known)
    before, after = (seen_by_cfitsio(p, 2) for p in (run.source, run.target))
    changed = run.changed[1]
    np.testing.assert_array_equal(after[~changed], before[~changed])
    np.testing.assert_allclose(after[changed], KINDS[role](deviation), rtol=1e-6)
    with fitsio.FITS(str(run.target)) as file:
        assert "UNCERT" not in file


@pytest.mark.parametrize("role", KINDS)
def test_an_unknown_uncertainty_is_nan_in_changed_pixels_only(role: str, tmp_path: Path) -> None:
    path = tmp_path / "raw.fits"
    path.write_bytes(exposure_with(role, versions=1))
    run = cleaned(path)
    before, after = (seen_by_cfitsio(p, 2) for p in (run.source, run.target))
    changed = run.changed[1]
    if role == "IVAR":  # as a weight, unknown is zero
        np.testing.assert_array_equal(after == 0, (before == 0) | changed)
        np.testing.assert_array_equal(np.isnan(after), np.isnan(before) & ~changed)
        return
    np.testing.assert_array_equal(np.isnan(after), np.isnan(before) | changed)


@pytest.mark.parametrize(
    ("role", "kind"), [("VAR", VarianceUncertainty), ("IVAR", InverseVariance)]
)
def test_a_frame_carries_the_kind_that_the_file_has(role: str, kind: type, tmp_path: Path) -> None:
    path = tmp_path / "raw.fits"
    path.write_bytes(exposure_with(role, versions=1))
    with open_exposure(path) as exposure:
        assert type(exposure.frame(exposure.slots[0]).uncertainty) is kind


def test_uncert_is_added_where_the_input_has_none(any_form: Path) -> None:
    deviation = np.abs(pixels("f4"))

    def estimated(output: FrameOutput) -> FrameOutput:
        return FrameOutput(
            output.slot, output.data, output.changed, output.flags, uncertainty=deviation
        )

    run = cleaned(any_form, amend=estimated)
    stored = {"error", "variance", "inverse_variance"} & set(run.outputs[0].slot.companions)
    with fitsio.FITS(str(run.target)) as file:
        assert ("UNCERT" in file) == (not stored)
        if not stored:
            found = file["UNCERT"].read().reshape(-1, NY, NX)
            np.testing.assert_array_equal(found[0], deviation)


# ---------------------------------------------------------------------------- same bytes


def test_the_same_run_writes_the_same_bytes_on_another_day(
    any_form: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cleaned(any_form).target.read_bytes()
    tomorrow = time.time() + 86400
    monkeypatch.setattr(time, "time", lambda: tomorrow)
    again = cleaned(any_form).target.read_bytes()
    assert again == first


def test_gzip_headers_hold_neither_time_nor_name(tmp_path: Path) -> None:
    content = cleaned(form_path("primary-i2.gz", tmp_path)).target.read_bytes()
    assert content[:2] == b"\x1f\x8b"
    assert content[3] == 0  # no name, no comment
    assert content[4:8] == bytes(4)


def test_masks_and_weights_of_the_input_come_back_unchanged(tmp_path: Path) -> None:
    run = cleaned(form_path("sci-err-dq", tmp_path))
    for index in (3, 6):
        np.testing.assert_array_equal(
            seen_by_cfitsio(run.target, index), seen_by_cfitsio(run.source, index)
        )
