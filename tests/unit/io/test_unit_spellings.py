"""Spellings of BUNIT in manuals and archives, each read to the unit that its source means."""

from __future__ import annotations

import pickle

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import InverseVariance, VarianceUncertainty

from astroclean import Frame
from astroclean.core.image.text_unit import TextUnit, is_understood
from astroclean.errors import UnitError
from astroclean.io.header.units import parsed_unit

FLAMBDA = u.erg / u.s / u.cm**2 / u.AA
PER_S = 1 / u.s

# Where it is from, the text, the unit.
SPELLINGS: list[tuple[str, str, u.UnitBase]] = [
    ("FITS standard 4.0, table 5", "adu", u.adu),
    ("FITS standard 4.0, table 5", "ct", u.adu),
    ("FITS standard 4.0, table 5", "photon", u.photon),
    ("FITS standard 4.0, section 4.3.2", "MJy.sr-1", u.MJy / u.sr),
    ("FITS standard 4.0, section 4.3.1", "10**(-16)erg/cm2/s/A", 1e-16 * FLAMBDA),
    ("IRAF images", "ADU", u.adu),
    ("IRAF onedspec, FLAM", "erg/cm2/s/A", FLAMBDA),
    ("ESO raw", "[adu]", u.adu),
    ("ESO phase 3 standard, section 5.1", "erg/s/cm**2/Angstrom", FLAMBDA),
    ("ESO phase 3, MUSE cubes", "10**(-20)*erg/s/cm**2/Angstrom", 1e-20 * FLAMBDA),
    ("ESO phase 3, HAWK-I", "COUNTS/S", u.adu * PER_S),
    ("ESO APEX, ATLASGAL", "Jy/beam", u.Jy / u.beam),
    ("HST ACS data handbook", "ELECTRONS", u.electron),
    ("HST ACS drizzled", "ELECTRONS/S", u.electron * PER_S),
    ("HST WFC3 data handbook, IR flt", "ELECTRONS/S", u.electron * PER_S),
    ("HST WFPC2, c0f", "COUNTS", u.adu),
    ("HST NICMOS data handbook", "COUNTS/S", u.adu * PER_S),
    ("HST NICMOS data handbook", "DN/s", u.adu * PER_S),
    ("HST STIS, x2d", "erg/s/cm**2/angstrom/arcsec**2", FLAMBDA / u.arcsec**2),
    ("JWST pipeline, rate", "DN/s", u.adu * PER_S),
    ("JWST pipeline, cal", "MJy/sr", u.MJy / u.sr),
    ("JWST pipeline, uncal", "DN", u.adu),
    ("Spitzer IRAC instrument handbook", "MJy/sr", u.MJy / u.sr),
    ("Spitzer MOPEX", "MJY/SR", u.MJy / u.sr),
    ("Spitzer MIPS, raw", "DN/sec", u.adu * PER_S),
    ("WISE explanatory supplement", "DN", u.adu),
    ("Herschel HIPE, PACS", "Jy/pixel", u.Jy / u.pix),
    ("Herschel HIPE, SPIRE", "Jy/beam", u.Jy / u.beam),
    ("Herschel Scanamorphos", "Jy/pix              / Unit of the map", u.Jy / u.pix),
    ("Planck legacy maps, HFI at high frequencies", "MJy/sr", u.MJy / u.sr),
    ("IRAS IRIS", "MJY/SR", u.MJy / u.sr),
    ("AKARI FIS maps", "MJy sr-1", u.MJy / u.sr),
    ("Euclid MER", "uJy", u.uJy),
    ("Rubin DP1", "nJy", u.nJy),
    ("Rubin raw", "adu", u.adu),
    ("HSC pipeline", "counts", u.adu),
    ("DECam community pipeline", "electrons", u.electron),
    ("DECam community pipeline", "ADU", u.adu),
    ("Legacy surveys bricks", "nanomaggy", u.nmgy),
    ("SDSS frames", "nanomaggy", u.nmgy),
    ("SDSS frames, as nmgy", "nmgy", u.nmgy),
    ("SDSS, in plural", "nanomaggies", u.nmgy),
    ("SDSS BOSS spectra", "1E-17 erg/cm^2/s/Ang", 1e-17 * FLAMBDA),
    ("SDSS MaNGA", "1E-17 erg/s/cm^2/Ang/spaxel", 1e-17 * FLAMBDA / u.pix),
    ("DESI spectra", "10**-17 erg/(s cm2 Angstrom)", 1e-17 * FLAMBDA),
    ("Gemini DRAGONS", "electron", u.electron),
    ("Gemini IRAF gemini.gmos", "electrons", u.electron),
    ("MegaCam Elixir", "ADU", u.adu),
    ("LCO BANZAI", "electron", u.electron),
    ("Swift UVOT", "count/s", u.adu * PER_S),
    ("XMM-Newton OM", "COUNTS", u.adu),
    ("Fermi LAT", "photon/cm**2/s", u.photon / u.cm**2 / u.s),
    ("Fermi LAT diffuse", "photon/cm2/s/MeV/sr", u.photon / u.cm**2 / u.s / u.MeV / u.sr),
    ("GALEX", "counts per second", u.adu * PER_S),
    ("TESS FFI", "electrons/s", u.electron * PER_S),
    ("Kepler pixel files", "e-/s", u.electron * PER_S),
    ("Keck OSIRIS", "DN/s", u.adu * PER_S),
    ("Keck DEIMOS, raw", "DN", u.adu),
    ("NOAO Mosaic", "DN", u.adu),
    ("MaxIm DL", "Data Number", u.adu),
    ("SBIG", "ANALOG", u.adu),
    ("AIPS", "JY/BEAM", u.Jy / u.beam),
    ("AIPS continuum, small letters", "mJy/beam", u.mJy / u.beam),
    ("CASA", "Jy/beam", u.Jy / u.beam),
    ("CASA moment maps", "Jy/beam.km/s", u.Jy / u.beam * u.km / u.s),
    ("AIPS moment maps", "JY/BEAM*M/S", u.Jy / u.beam * u.m / u.s),
    ("Miriad", "JY/BEAM", u.Jy / u.beam),
    ("LoTSS", "JY/BEAM", u.Jy / u.beam),
    ("radio, in short", "mJy/bm", u.mJy / u.beam),
    ("GILDAS", "K (Tmb)", u.K),
    ("GILDAS", "K (TA*)", u.K),
    ("HI surveys", "K km/s", u.K * u.km / u.s),
    ("HI surveys, in capitals", "K.KM/S", u.K * u.km / u.s),
    ("JCMT SCUBA-2", "pW", u.pW),
    ("JCMT SCUBA-2", "mJy/beam", u.mJy / u.beam),
    ("JCMT SCUBA-2, per area", "mJy/arcsec**2", u.mJy / u.arcsec**2),
    ("JCMT, Starlink", "Jy/arcsec^2", u.Jy / u.arcsec**2),
    ("ALMA, per steradian", "Jy steradian^-1", u.Jy / u.sr),
    ("surface photometry", "mag/arcsec2", u.mag / u.arcsec**2),
    ("surface photometry, in words", "mag per square arcsec", u.mag / u.arcsec**2),
    ("UKIRT WFCAM", "counts/sec", u.adu * PER_S),
    ("2MASS", "DN", u.adu),
    ("DIRBE", "W m-2 sr-1", u.W / u.m**2 / u.sr),
    ("SOFIA HAWC+", "Jy/pixel", u.Jy / u.pix),
    ("astropy", "electron / (pix s)", u.electron / u.pix / u.s),
    ("CCD test benches", "E-", u.electron),
    ("CCD test benches", "e-/pixel/s", u.electron / u.pix / u.s),
    ("CCD test benches", "photo-electrons", u.electron),
    ("CCD test benches", "ELECTRONS/SEC", u.electron * PER_S),
    ("LaTeX of a paper", r"erg s^{-1} cm^{-2} \AA^{-1}", FLAMBDA),
    ("flats", "UNITLESS", u.dimensionless_unscaled),
    ("flats", "None", u.dimensionless_unscaled),
    ("bolometers", "Volts", u.V),
    ("rotation measures", "rad/m/m", u.rad / u.m**2),
    ("velocity fields, in capitals", "KM/S", u.km / u.s),
]


@pytest.mark.parametrize(("source", "text", "unit"), SPELLINGS)
def test_a_spelling_of_the_field_is_read_to_its_unit(
    source: str, text: str, unit: u.UnitBase
) -> None:
    read = parsed_unit(text)
    assert read is not None, source
    assert read == u.Unit(unit), source


def test_the_list_is_as_long_as_was_promised() -> None:
    assert len({text for _, text, _ in SPELLINGS}) >= 60


@pytest.mark.parametrize("text", ["ADU", "[adu]", "(ADU)", " adu ", "Adu", "'adu'", "{ADU}"])
def test_case_blanks_and_brackets_do_not_matter(text: str) -> None:
    assert parsed_unit(text) == u.adu


@pytest.mark.parametrize(
    "text", ["MJY/BEAM", "MJY", "furlong", "m/s/s/", "log(counts)", "UNKNOWN", "?", "arb. units"]
)
def test_what_has_several_meanings_or_none_is_not_guessed(text: str) -> None:
    assert parsed_unit(text) is None


def test_a_wavelength_is_no_current_and_a_second_no_siemens() -> None:
    assert parsed_unit("pA") == u.pA
    assert parsed_unit("erg/cm2/s/A") == FLAMBDA
    assert parsed_unit("ADU/S") == u.adu / u.s


def frame_in(unit: str, kind: type = VarianceUncertainty) -> Frame:
    ones = np.ones((5, 6), np.float32)
    return Frame(ones, unit=TextUnit(unit), uncertainty=kind(4 * ones))


@pytest.mark.parametrize("kind", [VarianceUncertainty, InverseVariance])
def test_a_frame_in_an_unknown_unit_is_sliced_pickled_and_given_on(kind: type) -> None:
    frame = frame_in("furlong", kind)
    again = pickle.loads(pickle.dumps(frame))  # noqa: S301 - our own
    part = again[1:3, 2:4].replace(frame_id="part")
    assert part.unit == frame.unit == TextUnit("furlong")
    assert part.uncertainty.array.shape == (2, 2)
    assert not is_understood(part.unit)


def test_an_unknown_unit_equals_itself_alone_and_is_never_converted() -> None:
    unit = TextUnit("furlong")
    assert unit != u.adu
    assert unit != TextUnit("fathom")
    assert (unit**2) ** 0.5 == unit
    for product in (lambda: unit * u.pix, lambda: unit / u.s):
        with pytest.raises((UnitError, ValueError)):
            product()
    with pytest.raises(ValueError, match="furlong"):
        (np.ones(3) * unit).to(u.adu)


def test_a_file_in_an_unknown_unit_keeps_its_text(tmp_path: object) -> None:
    hdu = fits.PrimaryHDU(np.ones((4, 5), "f4"))
    hdu.header["BUNIT"] = "furlong"
    frame = Frame.read(fits.HDUList([hdu]))
    path = tmp_path / "out.fits"  # type: ignore[operator]
    frame.write(path)
    assert fits.getval(path, "BUNIT", "SCI") == "furlong"
    assert Frame.read(path).unit == frame.unit
