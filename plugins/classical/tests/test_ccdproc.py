"""`ccdproc`: against ccdproc called by hand, truth, and with everything that can be wrong."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, ClassVar

import astropy.units as u
import ccdproc
import numpy as np
import pytest
from astroclean_classical.calibrate.sections import sections_of
from astroclean_classical.calibrate.steps import levelled
from astropy.nddata import CCDData
from astropy.stats import mad_std
from hypothesis import given, settings
from hypothesis import strategies as st

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.image.sections import parse_section, section_text
from astroclean.errors import AstrocleanWarning, ConfigurationError, StageError, SuspectWarning
from astroclean.registry.load import load_stage
from astroclean.simulate.raw_night import GAIN, PRESCAN, READ_NOISE, SATURATION, RawNight
from astroclean.testing.contracts import CalibratorContract

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STEP = {"gain": GAIN * u.electron / u.adu, "readnoise": READ_NOISE * u.electron}


def by_hand(raw: Frame, bias: Frame, dark: Frame, flat: Frame) -> CCDData:
    """Return what ccdproc makes of a raw frame, step by step, in its own order."""
    overscan, trim = raw.meta["BIASSEC"], raw.meta["TRIMSEC"]
    ccd = CCDData(raw.data.astype(float), unit="adu")
    ccd = ccdproc.subtract_overscan(ccd, fits_section=overscan, median=True)
    ccd = ccdproc.trim_image(ccd, fits_section=trim)
    ccd = ccdproc.create_deviation(ccd, **STEP, disregard_nan=True)
    masters = [
        CCDData(m.data.astype(float), unit=m.unit, uncertainty=m.uncertainty)
        for m in (bias, dark, flat)
    ]
    ccd = ccdproc.subtract_bias(ccd, masters[0])
    times = {"dark_exposure": 300 * u.s, "data_exposure": 150 * u.s}
    ccd = ccdproc.subtract_dark(ccd, masters[1], **times, scale=True)
    good = masters[2].data >= 0.05 * masters[2].data.mean()
    mean = masters[2].data[good].mean()
    ccd = ccdproc.flat_correct(ccd, masters[2], min_value=0.05 * mean, norm_value=mean)
    return ccdproc.gain_correct(ccd, STEP["gain"])


@pytest.mark.parametrize("name", ["R", "B"])
def test_it_is_what_ccdproc_gives_by_hand(night: Any, name: str) -> None:
    raw = Frame.read(night.raw / f"field_{name}.fits")
    masters = [night.master(stem) for stem in ("bias", "dark_300s", f"flat_{name}")]
    expected = by_hand(raw, *masters)
    result = night.stage().run(raw)
    assert result.frame.unit == u.electron
    assert np.array_equal(result.frame.data, expected.data.astype(np.float32))
    # The noise of the overscan, a median of 22 pixels, is what ccdproc leaves out.
    level = result.metrics["overscan scatter"] * np.sqrt(np.pi / 2 / 22) * GAIN
    sensitivity = night.master(f"flat_{name}").data
    sensitivity = np.maximum(sensitivity, 0.05) / result.metrics["flat mean"]
    wanted = np.hypot(expected.uncertainty.array, level / sensitivity)
    good = result.frame.usable
    assert np.allclose(result.frame.uncertainty.array[good], wanted[good], rtol=1e-4)


@pytest.mark.parametrize("name", ["R", "B"])
def test_truth_is_met_within_the_stated_noise(night: Any, name: str) -> None:
    frame = night.stage().run(Frame.read(night.raw / f"field_{name}.fits")).frame
    pulls = (frame.data - night.chip.sky(name)) / frame.uncertainty.array
    pulls = pulls[frame.usable]
    assert pulls.size > 0.95 * frame.data.size
    assert mad_std(pulls) == pytest.approx(1, abs=0.04)
    assert abs(np.median(pulls)) < 0.08  # the median overscan of a row is good to 0.5 adu
    assert np.mean(np.abs(pulls) > 5) < 1e-3


def test_without_overscan_the_level_has_no_photon_noise(night: Any, tmp_path: Path) -> None:
    cut = {"trim": "header", "overscan": "none"}
    night.make(night.raw, tmp_path / "masters", cut)
    files = {kind: str(tmp_path / "masters" / f"{kind}*.fits") for kind in ("bias", "dark", "flat")}
    raw = Frame.read(night.raw / "field_B.fits")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SuspectWarning)
        frame = load_stage("ccdproc", **files, **cut).run(raw).frame
    # Frames differ by 5 adu and rows drift by 4: what overscans are for.
    sky = 0.8 * 150
    expected = np.sqrt(sky + 0.06 * 150 + READ_NOISE**2)
    assert np.median(frame.uncertainty.array) == pytest.approx(expected, rel=0.15)
    with_pedestal = np.sqrt(1000 * GAIN)
    assert np.median(frame.uncertainty.array) < 0.6 * with_pedestal


def test_flags_survive_and_saturation_is_told_by_raw_values(night: Any) -> None:
    hdu = night.chip.light(1, "R")
    raw = night.frame(hdu)
    flags = raw.flags.copy()
    flags[50, PRESCAN + 60] |= np.uint32(MaskPlane.HOT_PIXEL | MaskPlane.CROSSTALK)
    result = night.stage().run(raw.replace(flags=flags))
    frame = result.frame
    assert frame.flags[50, 60] == int(MaskPlane.HOT_PIXEL | MaskPlane.CROSSTALK)
    full = night.chip.saturated(hdu)
    assert full.sum() > 5
    assert np.array_equal(frame.where(MaskPlane.SATURATED), full)
    assert np.ptp(frame.data[full]) > 0.01 * SATURATION  # no level tells them any more
    assert frame.detector.saturation is None
    assert frame.detector.gain == 1
    assert not frame.where(MaskPlane.OVERSCAN).any()
    column = np.zeros(frame.shape, dtype=bool)
    column[:, night.chip.bad_column] = True
    assert np.array_equal(frame.where(MaskPlane.BAD_PIXEL), column)


def test_bad_pixels_of_masters_are_bad_and_gaps_are_no_data(night: Any) -> None:
    bias = night.master("bias").add_planes(_at((120, 140), 10, 20), MaskPlane.HOT_PIXEL)
    flat = night.master("flat_R")
    holes = flat.data.copy()
    holes[30, 40], holes[31, 40] = np.nan, -0.2
    dark = night.master("dark_300s")
    gaps = dark.data.copy()
    gaps[5, 6] = np.nan
    stage = night.stage(bias=bias, flat=flat.replace(data=holes), dark=dark.replace(data=gaps))
    frame = stage.run(Frame.read(night.raw / "field_R.fits")).frame
    for y, x in ((10, 20), (30, 40), (31, 40), (5, 6)):
        assert frame.where(MaskPlane.BAD_PIXEL)[y, x]
        assert frame.mask[y, x]
    assert frame.where(MaskPlane.NO_DATA)[5, 6]
    assert np.isfinite(frame.data).sum() == frame.data.size - 1


def _at(shape: tuple[int, int], y: int, x: int) -> np.ndarray:
    found = np.zeros(shape, dtype=bool)
    found[y, x] = True
    return found


def test_cards_tell_what_was_done_and_a_second_time_is_refused(night: Any) -> None:
    frame = night.stage().run(Frame.read(night.raw / "field_R.fits")).frame
    assert "BIASSEC" not in frame.meta
    assert "TRIMSEC" not in frame.meta
    assert frame.meta["DATASEC"] == "[1:140,1:120]"
    assert frame.meta["ZEROCOR"] == "bias.fits[SCI,1]"
    assert frame.meta["FLATCOR"] == "flat_R.fits[SCI,1]"
    with pytest.raises(StageError, match="calibrated before"):
        night.stage().run(frame)


CALIBRATED = {
    "overscan": {"OVERSCAN": "Feb  8 16:20 Overscan section is [2049:2080,1:2048]"},
    "flat": {"FLATCOR": "Feb  9 Flat field image is ncrFlat4.imh"},
    "maxim": {"CALSTAT": "BDF"},
    "ccdproc": {"SUBBIAS": "ccd=<CCDData>, master=<CCDData>"},
    "hst": {"FLATCORR": "COMPLETE"},
    "own": {"HISTORY": "astroclean ccdproc 0.1.0"},
}


@pytest.mark.parametrize("cards", CALIBRATED.values(), ids=CALIBRATED)
def test_calibrated_frames_are_refused(night: Any, cards: dict[str, str]) -> None:
    frame = night.frame(night.chip.light(1, "R"), **cards)
    with pytest.raises(StageError, match="calibrated before"):
        night.stage().run(frame)
    with pytest.raises(StageError, match="calibrated before"):
        night.stage().check_header(frame[:1, :1])


@pytest.mark.parametrize("cards", [{"BI_FLAG": 0}, {"FLATCORR": "PERFORM"}, {"OVERSCAN": 24}])
def test_cards_of_raw_frames_are_no_calibration(night: Any, cards: dict[str, Any]) -> None:
    night.stage().check_header(night.frame(night.chip.light(1, "R"), **cards))


@pytest.mark.parametrize(
    ("cards", "match"),
    [
        ({"BUNIT": "electron"}, "no data numbers"),
        ({"GAIN": None}, "gain is needed"),
        ({"RDNOISE": None}, "read noise is needed"),
        ({"EXPTIME": None}, "exposure is needed"),
        ({"BIASSEC": "[151:400,1:120]"}, "does not lie in the frame"),
        ({"BIASSEC": "[151:172,1:60]"}, "tells no level of some rows"),
        ({"BIASSEC": "[140:160,1:120]"}, "among the pixels that are left"),
        ({"BIASSEC": "[172:151,1:120]"}, "is no section"),
        ({"NAMPS": 4}, "several amplifiers"),
        ({"GAIN": "1.6,1.7"}, "several amplifiers"),
        ({"GAIN": "(1.6, 1.7)"}, "several amplifiers"),
        ({"GAIN2": 2.0}, r"GAIN = '1.6', GAIN2 = '2.0'"),
        ({"GAINA": 1.5, "GAINB": 1.7, "GAIN": None}, "several amplifiers"),
        ({"BIASSEC2": "[1:2,1:120]"}, "several amplifiers"),
        ({"RDNOISE2": 9.0}, "several amplifiers"),
        ({"RDNOISE": 0.0}, "no camera reads without"),
        ({"BIASSECA": "[1:8,1:120]", "BIASSECB": "[151:172,1:120]"}, "several amplifiers"),
    ],
)
def test_headers_that_cannot_be_right_are_refused(
    night: Any, cards: dict[str, Any], match: str
) -> None:
    with pytest.raises(StageError, match=match):
        night.stage().run(night.frame(night.chip.light(1, "R"), **cards))


def test_nothing_takes_the_level_off(night: Any) -> None:
    frame = night.frame(night.chip.light(1, "R"), BIASSEC=None)
    with pytest.raises(StageError, match="nothing takes the level"):
        load_stage("ccdproc").run(frame)
    # A bias without level is no help where no overscan tells it.
    with pytest.raises(StageError, match="has no level of the camera"):
        night.stage(dark=None, flat=None).run(frame)


def test_an_overscan_among_exposed_pixels_is_refused(night: Any) -> None:
    bright = night.chip.light(1, "R", exposure=1400.0)
    night.stage().run(night.frame(bright))
    with pytest.raises(StageError, match="as bright and as noisy"):
        night.stage(overscan="[120:135,1:120]", trim="[9:119,1:120]", flat=None, bias=None).run(
            night.frame(bright)
        )


def test_a_noisy_overscan_is_suspect(night: Any) -> None:
    hdu = night.chip.light(1, "R")
    hdu.data[:, -20:] += np.random.default_rng(1).integers(0, 60, (120, 20)).astype(np.uint16)
    with pytest.warns(SuspectWarning, match="read noise is"):
        load_stage("ccdproc").run(night.frame(hdu))


def test_rows_without_light_are_suspect(night: Any) -> None:
    hdu = night.chip.light(1, "R")
    hdu.data[-4:, PRESCAN : PRESCAN + 140] = 1004
    with pytest.warns(SuspectWarning, match=r"4 rows \(last\)"):
        load_stage("ccdproc").run(night.frame(hdu))


def test_a_sky_below_zero_is_suspect(night: Any) -> None:
    dark = night.master("dark_300s")
    dark = dark.replace(data=dark.data * 20)
    # The level of the dark is no matter: its header tells that the bias is off.
    with pytest.warns(SuspectWarning, match="below zero") as told:
        night.stage(dark=dark, flat=None).run(Frame.read(night.raw / "field_B.fits"))
    assert not any("level" in str(w.message) for w in told)


def _with(frame: Frame, **cards: Any) -> Frame:
    meta = frame.meta.copy()
    for keyword, value in cards.items():
        if value is None:
            meta.remove(keyword, ignore_missing=True)
        else:
            meta[keyword] = value
    return frame.replace(meta=meta)


@pytest.mark.parametrize(
    ("option", "stem", "cards", "match"),
    [
        ("bias", "dark_300s", {}, "is no bias: IMAGETYP = 'DARK'"),
        ("flat", "bias", {}, "is no flat"),
        ("flat", "flat_B", {}, "filter 'B', not 'R'"),
        ("bias", "bias", {"CCDSUM": "2 2"}, "binning 2x2, not 1x1"),
        ("bias", "bias", {"CCDNAME": "chip 7"}, "CCDNAME = 'chip 7'"),
        ("bias", "bias", {"ACGAIN": 9.0}, "gain 9, not 1.6"),
        ("dark", "dark_300s", {"CCD-TEMP": -70.0}, "temperature -70, not -100"),
        ("dark", "dark_300s", {"ACEXPTIM": None}, "tells no exposure time"),
        ("dark", "dark_300s", {"ZEROCOR": None}, "does not tell that a bias was taken off"),
    ],
)
def test_wrong_masters_are_refused_with_what_differs(
    night: Any, option: str, stem: str, cards: dict[str, Any], match: str
) -> None:
    master = _with(night.master(stem), **cards)
    with pytest.raises(StageError, match=match):
        night.stage(**{option: master}).run(Frame.read(night.raw / "field_R.fits"))


def test_several_masters_that_fit_are_refused(night: Any) -> None:
    with pytest.raises(StageError, match="several of the masters"):
        night.stage(bias=[night.master("bias")] * 2).run(Frame.read(night.raw / "field_R.fits"))


def test_a_master_of_another_shape_is_refused(night: Any) -> None:
    small = night.master("bias")[:100]
    with pytest.raises(StageError, match="140 x 100 pixels, not 172 x 120 or 140 x 120"):
        night.stage(bias=small).run(Frame.read(night.raw / "field_R.fits"))


def test_masters_with_the_level_of_the_camera_are_refused(night: Any) -> None:
    raw = Frame.read(night.raw / "field_R.fits")
    for option, stem in (("bias", "bias"), ("dark", "dark_300s")):
        master = night.master(stem)
        master = master.replace(data=master.data + 1000)
        with pytest.raises(StageError, match="still has the level"):
            night.stage(**{option: master}).run(raw)
    with pytest.warns(SuspectWarning, match="part of the level"):
        night.stage(bias=(b := night.master("bias")).replace(data=b.data + 150), flat=None).run(raw)


def test_a_flat_that_tells_no_bias_is_refused_unless_trusted(night: Any) -> None:
    raw = Frame.read(night.raw / "field_R.fits")
    flat = _with(night.master("flat_R"), ZEROCOR=None, OVERSCAN=None)
    with pytest.warns(SuspectWarning, match="does not tell that bias"):
        night.stage(flat=flat).run(raw)
    with pytest.raises(StageError, match="does not tell that bias"):
        night.stage(flat=flat.replace(data=flat.data * 14000)).run(raw)
    scaled = night.stage(flat=flat.replace(data=flat.data * 14000), trusted=True).run(raw)
    plain = night.stage().run(raw)
    assert scaled.metrics["flat mean"] == pytest.approx(14000, rel=0.02)
    assert np.allclose(scaled.frame.data, plain.frame.data, rtol=1e-4, atol=1e-2)


def test_an_untold_filter_is_suspect(night: Any) -> None:
    raw = night.frame(night.chip.light(1, "R"), FILTER=None)
    with pytest.warns(SuspectWarning, match="tells no filter"):
        night.stage(flat=night.master("flat_R")).run(raw)
    with pytest.raises(StageError, match="several of the masters"):
        night.stage().run(raw)


def test_the_dark_of_the_exposure_time_goes_before_a_scaled_one(night: Any, tmp_path: Path) -> None:
    for number in range(4):
        hdu = night.chip.dark(number, exposure=150.0)
        _write(hdu, tmp_path / "raw", f"d{number}.fits")
        _write(night.chip.bias(number), tmp_path / "raw", f"b{number}.fits")
    made, _ = night.make(tmp_path / "raw", tmp_path / "masters")
    assert set(made) == {"bias.fits", "dark_150s.fits"}
    both = [str(night.masters / "dark_300s.fits"), str(tmp_path / "masters" / "dark_150s.fits")]
    raw = Frame.read(night.raw / "field_R.fits")
    result = night.stage(dark=both).run(raw)
    assert result.metrics["dark factor"] == 1
    assert result.frame.meta["DARKCOR"].startswith("dark_150s")
    with pytest.raises(StageError, match="scaled only where `bias`"):
        night.stage(bias=None, dark=str(night.masters / "dark_300s.fits")).run(raw)


def _write(hdu: Any, folder: Path, name: str) -> None:
    from astropy.io import fits

    folder.mkdir(exist_ok=True)
    header = hdu.header.copy()
    for keyword in ("XTENSION", "PCOUNT", "GCOUNT", "EXTNAME", "BSCALE", "BZERO"):
        header.remove(keyword, ignore_missing=True)
    fits.PrimaryHDU(hdu.data, header).writeto(folder / name)


def test_masters_of_raw_shape_and_in_electrons_give_the_same(night: Any) -> None:
    raw = Frame.read(night.raw / "field_R.fits")
    plain = night.stage(dark=None, flat=None).run(raw).frame
    bias = night.master("bias")
    wide = raw.replace(data=np.full(raw.shape, 700.0), uncertainty=None, flags=raw.flags * 0)
    data = wide.data.copy()
    data[:, PRESCAN : PRESCAN + 140] += bias.data
    wide = _with(wide.replace(data=data), IMAGETYP="zero")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstrocleanWarning)  # it tells no uncertainty
        same = night.stage(bias=wide, dark=None, flat=None).run(raw).frame
    assert np.allclose(same.data, plain.data, atol=1e-3)
    electrons = bias.multiply(GAIN * u.electron / u.adu)
    electrons = night.master("bias").replace(
        data=electrons.data, unit=u.electron, uncertainty=electrons.uncertainty
    )
    told = night.stage(bias=electrons, dark=None, flat=None).run(raw).frame
    assert np.allclose(told.data, plain.data, atol=1e-3)
    assert np.allclose(told.uncertainty.array, plain.uncertainty.array, rtol=1e-5)


def test_a_polynomial_is_calmer_than_rows(night: Any) -> None:
    raw = Frame.read(night.raw / "field_B.fits")
    rows = night.stage().run(raw).frame
    drawn = night.stage(overscan_degree=5).run(raw).frame
    assert np.median(drawn.uncertainty.array) < np.median(rows.uncertainty.array)
    pulls = ((drawn.data - night.chip.sky("B")) / drawn.uncertainty.array)[drawn.usable]
    assert mad_std(pulls) == pytest.approx(1, abs=0.05)


def test_real_raw_frame_of_saao(real_data: Callable[[str], Path]) -> None:
    path = real_data("saao_ste3_rf0420_raw.fits")
    raw = Frame.read(path)
    with pytest.warns(AstrocleanWarning) as told:
        result = load_stage("ccdproc").run(raw)
    # Its own TRIMSEC leaves eight rows at the top that saw no light.
    assert any("8 rows (last)" in str(w.message) for w in told)
    assert any("no saturation level" in str(w.message) for w in told)
    ccd = CCDData.read(path, unit="adu")
    ccd.data = ccd.data.astype(float)
    ccd = ccdproc.subtract_overscan(ccd, fits_section=ccd.header["BIASSEC"], median=True)
    ccd = ccdproc.trim_image(ccd, fits_section=ccd.header["TRIMSEC"])
    ccd = ccdproc.create_deviation(
        ccd, gain=1.9 * u.electron / u.adu, readnoise=5 * u.electron, disregard_nan=True
    )
    ccd = ccdproc.gain_correct(ccd, 1.9 * u.electron / u.adu)
    assert np.array_equal(result.frame.data, ccd.data.astype(np.float32))
    assert result.frame.shape == (520, 512)
    sky = result.frame.data[:512][result.frame.usable[:512]]
    scatter = mad_std(sky)
    assert np.median(result.frame.uncertainty.array[:512]) == pytest.approx(scatter, rel=0.1)


@pytest.mark.parametrize("name", ["kpno09m_a671_r_1200s.fits.fz", "kpno_m51_b.fits.gz"])
def test_real_calibrated_frames_are_refused(real_data: Callable[[str], Path], name: str) -> None:
    with pytest.raises(StageError, match="calibrated before"):
        load_stage("ccdproc").run(Frame.read(real_data(name)))


@pytest.mark.parametrize("text", ["1:2,3:4", "[0:4,1:5]", "[5:4,1:5]", "[1:5]", "[1:5,1:5,1:2]"])
def test_options_that_are_no_sections_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="must be a section"):
        load_stage("ccdproc", overscan=text)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_sections_of_any_place_take_their_level_off(data: st.DataObject) -> None:
    ny, nx = data.draw(st.integers(8, 30)), data.draw(st.integers(8, 30))
    width, is_vertical = data.draw(st.integers(1, 4)), data.draw(st.booleans())
    is_first = data.draw(st.booleans())
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    level, sky = rng.uniform(200, 900, (ny, 1)), rng.uniform(0, 500, (ny, nx))
    strip = np.zeros((ny, width))
    raw = np.hstack([strip, sky] if is_first else [sky, strip]) + level
    columns = (slice(0, width), slice(width, width + nx))
    if not is_first:
        columns = (slice(nx, nx + width), slice(0, nx))
    low = data.draw(st.integers(0, ny - 2))
    left = (slice(low, data.draw(st.integers(low + 1, ny))), columns[1])
    over, kept = (slice(0, ny), columns[0]), left
    if not is_vertical:
        raw, over, kept = raw.T, over[::-1], kept[::-1]
    assert parse_section(section_text(*over)) == over
    sections = sections_of(
        Frame(raw, unit="adu"),
        overscan=section_text(*over),
        trim=section_text(*kept),
        where="here",
    )
    result = levelled(CCDData(raw, unit="adu"), sections, degree=None)
    expected = sky[left[0]] if is_vertical else sky[left[0]].T
    if min(ny, nx) > width:  # else the short side of the strip is the other one
        assert np.allclose(result.data, expected)


class TestCcdproc(CalibratorContract):
    plugin = "ccdproc"
    options: ClassVar[dict[str, Any]] = {"trim": "[9:98,1:80]"}

    @pytest.fixture
    def frame(self, night: Any) -> Frame:
        return night.frame(RawNight(8, (80, 90)).light(1, "R"))


def test_frames_that_calibrate_others_are_refused(night: Any) -> None:
    for hdu in (night.chip.bias(1), night.chip.dark(1), night.chip.flat(1, "R")):
        with pytest.raises(StageError, match="no exposure of the sky"):
            night.stage().run(night.frame(hdu))


def test_a_master_that_may_be_of_another_chip_is_suspect(night: Any) -> None:
    raw = _with(Frame.read(night.raw / "field_R.fits"), EXTNAME="CCD2")
    stage = night.stage(bias=_with(night.master("bias"), ACRAWHDU=None), dark=None, flat=None)
    with pytest.raises(StageError, match=r"is for HDU \[SCI,1\], not \[CCD2,1\]"):
        stage.run(raw)
    nameless = _with(night.master("bias"), ACRAWHDU=None, EXTNAME=None)
    night.stage(bias=nameless, dark=None, flat=None).run(raw)  # CCDNAME tells it
    untold = _with(nameless, CCDNAME=None)
    with pytest.warns(SuspectWarning, match="of this chip"):
        night.stage(bias=untold, dark=None, flat=None).run(raw)


def test_counts_are_data_numbers_too(night: Any) -> None:
    hdu = night.chip.light(1, "R")
    plain = night.stage().run(night.frame(hdu)).frame
    counts = night.stage().run(night.frame(hdu, BUNIT="count")).frame
    assert counts.unit == u.electron
    assert np.array_equal(counts.data, plain.data)
