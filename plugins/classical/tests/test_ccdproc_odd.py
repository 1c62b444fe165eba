"""`ccdproc` with frames in which something is odd: each is told, and no pixel is wrong without."""

from __future__ import annotations

import shutil
import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astroclean_classical.calibrate.filters import filter_of
from astroclean_classical.calibrate.overscan import odd_lines
from astroclean_classical.calibrate.sections import Sections
from astropy.io import fits

from astroclean.cli.main import main
from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.stage.masters import LeftOut
from astroclean.errors import (
    AstrocleanWarning,
    ConfigurationError,
    PluginLoadError,
    StageError,
    SuspectWarning,
)
from astroclean.registry.doctor import diagnose
from astroclean.registry.load import load_stage
from astroclean.runner.masters import MasterRequest, make_masters
from astroclean.simulate.raw_night import PRESCAN, write_night

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (100, 140)
WIDE = Sections((slice(0, 100), slice(120, 140)), (slice(0, 100), slice(0, 120)), SHAPE)
NARROW = Sections((slice(0, 100), slice(120, 122)), (slice(0, 100), slice(0, 120)), (100, 122))


@pytest.mark.parametrize(
    ("cards", "name"),
    [
        ({"FILTER1": "ND3", "FILTER2": "R"}, "ND3+R"),
        ({"FILTER": "R", "FILTER2": "ND4"}, "R+ND4"),
        ({"FILTNAM1": "R", "FILTNAM2": "Halpha"}, "R+Halpha"),
        ({"FILTER1": "CLEAR", "FILTER2": "r'"}, "r'"),
        ({"FILTER1": "open1-6", "FILTER2": "g_G0301"}, "g_G0301"),
        ({"FILTER1": "CLEAR1L", "FILTER2": "F606W"}, "F606W"),
        ({"FILTER": "R", "FILTER1": "R", "FILTER2": "air"}, "R"),
        ({"FILTER": "ND3+R", "FILTER1": "ND3", "FILTER2": "R"}, "ND3+R"),
        ({"FILTERS": "ND3 R", "FILTER1": "ND3", "FILTER2": "R"}, "ND3 R"),
        ({"FILTER": "R", "FILTER1": 3}, "R"),
        ({"FILTER1": 3, "FILTER2": "R"}, "3+R"),
        ({"FILTER": "CLEAR"}, "CLEAR"),
        ({}, None),
    ],
)
def test_all_wheels_make_the_filter(tmp_path: Path, cards: dict[str, Any], name: str) -> None:
    frame = _read(tmp_path, **cards)
    assert filter_of(frame) == name
    given = frame.meta.copy()
    given["ACFILTER"] = "mine"  # as `--set instrument.filter` leaves it
    assert filter_of(frame.replace(meta=given)) == "mine"


def _read(folder: Path, **cards: Any) -> Frame:
    hdu = fits.PrimaryHDU(np.ones((20, 20), dtype=np.int16))
    hdu.header.update(cards)
    hdu.writeto(folder / "one.fits")
    return Frame.read(folder / "one.fits")


def test_a_flat_of_one_of_two_filters_is_refused(night: Any) -> None:
    raw = night.frame(night.chip.light(1, "R"), FILTER2="Halpha")
    with pytest.raises(StageError, match=r"filter 'R', not 'R\+Halpha'"):
        night.stage(flat=night.master("flat_R")).run(raw)


def _raw(seed: int, *, width: int = 20, sky: float = 250.0) -> np.ndarray:
    """Return a frame of level 1000 and read noise 4 adu, with its overscan on the right."""
    rng = np.random.default_rng(seed)
    exposed = rng.poisson(sky * 1.6, (100, 120)) / 1.6
    image = np.hstack([exposed, np.zeros((100, width))]) + rng.normal(1000, 4, (100, 120 + width))
    return np.round(image)


@pytest.mark.parametrize(
    "cards",
    [
        {"GAIN": "1.6 e-/ADU"},
        {"GAIN1": 1.6},
        {"BIASSEC1": "[151:172, 1:120]"},
        {"BIASSEC": "[151:172,*]"},
        {"BIASSEC": "[151:172, *]", "TRIMSEC": "[9:148,*]"},
    ],
)
def test_headers_of_one_amplifier_are_understood(night: Any, cards: dict[str, Any]) -> None:
    hdu = night.chip.light(1, "R")
    assert hdu.header["BIASSEC"] == "[151:172,1:120]"
    plain = night.stage().run(night.frame(hdu)).frame
    assert np.array_equal(night.stage().run(night.frame(hdu, **cards)).frame.data, plain.data)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sky", [0.0, 250.0, 20000.0])
def test_a_good_overscan_is_believed(seed: int, sky: float) -> None:
    assert not odd_lines(_raw(seed, sky=sky), WIDE).any()
    assert not odd_lines(_raw(seed, width=2, sky=sky), NARROW).any()
    drift = 1 + 40 * np.sin(np.arange(100) / 30)[:, np.newaxis]
    assert not odd_lines(_raw(seed, sky=sky) + drift, WIDE).any()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("first", [0, 40, 90])
@pytest.mark.parametrize("count", [1, 3, 10])
@pytest.mark.parametrize("step", [25, -25, 200])
def test_lines_with_charge_are_odd(seed: int, first: int, count: int, step: float) -> None:
    image = _raw(seed)
    image[first : first + count, 120:] += step * 4 * np.sqrt(np.pi / 2 / 20)
    found = np.flatnonzero(odd_lines(image, WIDE))
    assert list(found) == list(range(first, first + count))
    turned = Sections((WIDE.overscan or ())[::-1], WIDE.trim[::-1], SHAPE[::-1])
    assert list(np.flatnonzero(odd_lines(image.T, turned))) == list(found)


def test_a_step_of_the_camera_is_no_charge() -> None:
    image = _raw(3)
    image[40:43] += 60  # the exposed pixels have it, too
    image[60:] += 100
    assert not odd_lines(image, WIDE).any()


def test_a_hit_in_one_of_two_columns_is_odd() -> None:
    image = _raw(2, width=2)
    image[50, 120] += 3000
    assert list(np.flatnonzero(odd_lines(image, NARROW))) == [50]


@pytest.mark.parametrize("options", [{}, {"overscan_degree": 3}])
def test_rows_behind_a_star_have_the_level_of_their_neighbours(
    night: Any, options: dict[str, int]
) -> None:
    hdu = night.chip.light(1, "R")
    clean = night.stage(**options).run(night.frame(hdu)).frame
    hdu.data[40:43, -22:-8] = np.linspace(30000, 1500, 14).astype(np.uint16)
    with pytest.warns(AstrocleanWarning, match=r"overscan of 3 of 120 rows, the first at 41"):
        frame = night.stage(**options).run(night.frame(hdu)).frame
    off = np.median(frame.data - clean.data, axis=1)
    assert np.abs(off[40:43]).max() < 4 * np.median(clean.uncertainty.array)
    assert np.abs(np.delete(off, [40, 41, 42])).max() < 1
    suspect = frame.where(MaskPlane.SUSPECT).all(axis=1)
    assert list(np.flatnonzero(suspect)) == ([] if options else [40, 41, 42])
    assert not frame.where(MaskPlane.SUSPECT)[~suspect].any()


def test_many_odd_rows_make_the_frame_suspect(night: Any) -> None:
    hdu = night.chip.light(1, "R")
    hdu.data[40:50, -22:] += 300
    with pytest.warns(SuspectWarning, match=r"overscan of 10 of 120 rows"):
        night.stage().run(night.frame(hdu))


@pytest.mark.parametrize("overscan", ["header", "none"])
def test_pixels_that_were_not_read_are_no_data(night: Any, overscan: str) -> None:
    hdu = night.chip.light(1, "R")
    hdu.data[24] = 0
    hdu.data[30, PRESCAN + 30] = 0
    hdu.data[31, PRESCAN + 30] = 500
    bias = night.master("bias")
    if overscan == "none":
        bias = bias.replace(data=bias.data + 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstrocleanWarning)
        stage = night.stage(overscan=overscan, bias=bias, dark=None, flat=None)
        frame = stage.run(night.frame(hdu)).frame
    lost = frame.where(MaskPlane.NO_DATA)
    assert lost[24].all()
    assert lost[30:32, 30].all()
    assert lost.sum() == 142
    assert frame.mask[lost].all()


def test_a_flat_far_above_its_mean_is_bad(night: Any) -> None:
    raw, flat = Frame.read(night.raw / "field_R.fits"), night.master("flat_R")
    plain = night.stage(flat=flat).run(raw)
    data = flat.data.copy()
    data[50, 60], data[51, 60] = 6.0, 1e6
    result = night.stage(flat=flat.replace(data=data)).run(raw)
    assert result.frame.where(MaskPlane.BAD_PIXEL)[50:52, 60].all()
    assert result.metrics["flat mean"] == pytest.approx(plain.metrics["flat mean"], rel=1e-3)
    assert result.frame.where(MaskPlane.BAD_PIXEL).sum() == 122  # and the dead column
    data[52, 60] = 4.0
    loose = night.stage(flat=flat.replace(data=data), max_value=3.0).run(raw)
    assert loose.frame.where(MaskPlane.BAD_PIXEL)[50:53, 60].all()


@pytest.mark.parametrize(
    ("cards", "match"),
    [
        ({"NCOMBINE": 5}, "NCOMBINE = 5: a mean or sum"),
        ({"HISTORY": "Bias frame subtracted with zero.fits"}, "was it calibrated"),
        ({"HISTORY": "divided by the master flat"}, "was it calibrated"),
    ],
)
def test_doubtful_headers_are_suspect(night: Any, cards: dict[str, Any], match: str) -> None:
    with pytest.warns(SuspectWarning, match=match):
        night.stage().run(night.frame(night.chip.light(1, "R"), **cards))


def test_an_unknown_word_for_the_type_is_told(night: Any) -> None:
    with pytest.warns(AstrocleanWarning, match="IMAGETYP = 'arc' is not known"):
        night.stage().run(night.frame(night.chip.light(1, "R"), IMAGETYP="arc"))


@pytest.mark.parametrize(
    "cards",
    [
        {"NCOMBINE": 1},
        {"HISTORY": "bias not subtracted"},
        {"HISTORY": "flat lamp off; reduced by nobody"},
        {"IMAGETYP": "Light Frame"},
    ],
)
def test_plain_headers_are_not_doubted(night: Any, cards: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", AstrocleanWarning)
        night.stage().run(night.frame(night.chip.light(1, "R"), **cards))


def test_a_card_is_named_once(night: Any) -> None:
    frame = night.frame(night.chip.light(1, "R"), CALSTAT="BDF")
    with pytest.raises(StageError) as told:
        night.stage().run(frame)
    assert str(told.value).count("CALSTAT") == 1


def _night_of(raw: Path, output: Path) -> tuple[dict[str, Any], dict[str, str]]:
    made, left = {}, {}
    for one in make_masters(MasterRequest([str(raw)], output)):
        if isinstance(one, LeftOut):
            left[one.name] = one.why
        else:
            made[one[0].name] = one[1]
    return made, left


def _few(raw: Path, pattern: str) -> list[Path]:
    """Write a small night, and leave the frames of that name alone."""
    write_night(raw, seed=4, shape=(60, 70), count=4)
    for path in raw.glob("*.fits"):
        if not path.match(pattern):
            path.unlink()
    return sorted(raw.glob("*.fits"))


def test_copies_are_left_out_of_masters(tmp_path: Path) -> None:
    first, *others = _few(tmp_path / "raw", "bias*.fits")
    shutil.copy(first, tmp_path / "raw" / "bias_9.fits")
    made, left = _night_of(tmp_path / "raw", tmp_path / "masters")
    assert left == {"bias_9.fits[0]": "has the same pixels as bias_1.fits[0]"}
    assert len(made["bias.fits"].parts) == 1 + len(others)
    for path in others:
        shutil.copy(first, path)
    made, left = _night_of(tmp_path / "raw", tmp_path / "none")
    assert not made
    assert len(left) == 5


def test_masters_tell_of_odd_rows_and_leave_out_lost_pixels(tmp_path: Path) -> None:
    for path in _few(tmp_path / "raw", "*bias*.fits"):
        with fits.open(path, mode="update") as hdus:
            x1, x2 = hdus[0].header["BIASSEC"].strip("[]").split(",")[0].split(":")
            hdus[0].data[20, PRESCAN + 20] = 0
            if path.name.endswith("_2.fits"):
                hdus[0].data[30, int(x1) - 1 : int(x2)] += 3000
    made, _ = _night_of(tmp_path / "raw", tmp_path / "masters")
    (note,) = made["bias.fits"].notes
    assert note.startswith("bias_2.fits[0]: the overscan of 1 of 60 rows, the first at 31")
    frame = Frame.read(tmp_path / "masters" / "bias.fits")
    assert frame.where(MaskPlane.BAD_PIXEL).sum() == 1
    assert frame.where(MaskPlane.BAD_PIXEL)[20, 20]
    assert np.median(frame.data[30]) == pytest.approx(np.nanmedian(frame.data), abs=8)


@pytest.mark.parametrize(
    ("cards", "why"),
    [({"RDNOISE": 0.0}, "read noise not told"), ({"NCOMBINE": 5}, "NCOMBINE = 5")],
)
def test_raw_frames_of_masters_are_doubted(tmp_path: Path, cards: dict[str, Any], why: str) -> None:
    first, *_ = _few(tmp_path / "raw", "bias*.fits")
    with fits.open(first, mode="update") as hdus:
        hdus[0].header.update(cards)
    _, left = _night_of(tmp_path / "raw", tmp_path / "masters")
    assert left["bias_1.fits[0]"].startswith(why)


def test_pixels_without_a_number_are_no_warning_of_a_library(tmp_path: Path) -> None:
    for path in _few(tmp_path / "raw", "bias*.fits"):
        with fits.open(path) as hdus:
            data, header = hdus[0].data.astype(np.float32), hdus[0].header
        data[10, PRESCAN + 10] = np.nan
        fits.PrimaryHDU(data, header).writeto(path, overwrite=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made, _ = _night_of(tmp_path / "raw", tmp_path / "masters")
    assert made["bias.fits"].frames[0].where(MaskPlane.BAD_PIXEL).sum() == 1


def test_a_missing_ccdproc_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ccdproc", None)
    monkeypatch.delitem(sys.modules, "astroclean_classical.calibrate")
    with pytest.raises(PluginLoadError, match="pip install ccdproc"):
        load_stage("ccdproc")
    problems = {entry.name: problem for entry, problem in diagnose()}
    assert "package ccdproc is not installed" in str(problems["ccdproc"])
    assert main(["calibrate", "make", str(tmp_path), "-o", str(tmp_path / "out")]) != 0
    assert "pip install ccdproc" in capsys.readouterr().err


def test_without_a_plugin_its_distribution_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("astroclean.runner.masters.list_plugins", lambda _kind: [])
    with pytest.raises(ConfigurationError, match="pip install astroclean-classical"):
        list(make_masters(MasterRequest([str(tmp_path)], tmp_path / "out")))
