"""Masters of raw frames: sorted, clipped, with the uncertainty of the mean, the same each time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astroclean_classical.calibrate.combining import combined, typical_scatter
from astroclean_classical.calibrate.header import IMAGE_TYPES, frame_type
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.stats import mad_std

from astroclean.cli.main import main
from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.errors import ConfigurationError, NoInputError, OutputError
from astroclean.registry.load import load_stage
from astroclean.runner.masters import MasterRequest, make_masters
from astroclean.simulate.raw_night import GAIN, RawNight, write_night

if TYPE_CHECKING:
    from pathlib import Path

MASTERS = {"bias.fits", "dark_300s.fits", "flat_B.fits", "flat_R.fits"}


def test_pulls_of_masters_have_unit_width(night: Any) -> None:
    chip: RawNight = night.chip
    good = np.arange(140) != chip.bad_column
    flat = night.master("flat_R")
    truths = {
        "bias": chip.bias_pattern,
        "dark_300s": chip.dark_rate * 300 / GAIN,
        "flat_R": chip.sensitivity("R") * flat.data[:, good].mean(),
    }
    for stem, truth in truths.items():
        master = night.master(stem)
        pulls = (master.data - truth) / master.uncertainty.array
        assert abs(pulls.mean()) < 0.05, stem
        assert mad_std(pulls) == pytest.approx(1, abs=0.06), stem
        assert pulls.std() == pytest.approx(1, abs=0.12), stem  # heavy tails of a few frames


@pytest.mark.parametrize("count", [3, 5, 12])
def test_uncertainty_is_that_of_the_mean(count: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(count)
    images = [rng.normal(10, 4, (60, 70)) for _ in range(count)]
    images[1][20, 30] = 5000.0  # a cosmic ray
    paths = []
    for number, image in enumerate(images):
        paths.append(tmp_path / f"{number}.fits")
        CCDData(image, unit="adu", mask=np.zeros(image.shape, dtype=bool)).write(paths[-1])
    scatter = typical_scatter(images)
    assert scatter == pytest.approx(4, rel=0.03)
    mean = combined(paths, scatter=scatter, memory=1e9)
    assert mean.data[20, 30] == pytest.approx(10, abs=12)
    pulls = (mean.data - 10) / mean.error
    assert pulls.std() == pytest.approx(1, abs=0.08)
    assert not mean.bad.any()
    in_tiles = combined(paths, scatter=scatter, memory=2e5)
    assert np.array_equal(in_tiles.data, mean.data)
    assert np.array_equal(in_tiles.error, mean.error)


def test_header_tells_what_a_master_is_for(night: Any) -> None:
    header = night.master("dark_300s").meta
    assert header["IMAGETYP"] == "DARK"
    assert header["EXPTIME"] == 300
    assert header["NCOMBINE"] == 7
    assert header["IMCMB003"] == "dark_3.fits[0]"
    assert header["ZEROCOR"] == "bias"
    assert header["CCD-TEMP"] == -100
    flat = night.master("flat_B")
    assert flat.meta["FILTER"] == "B"
    assert flat.meta["DARKCOR"] == "dark_300s"
    assert flat.data[~flat.where(MaskPlane.BAD_PIXEL)].mean() == pytest.approx(1, abs=1e-5)


def test_the_same_frames_give_the_same_bytes(night: Any, tmp_path: Path) -> None:
    made, left = night.make(night.raw, tmp_path / "again")
    assert set(made) == MASTERS
    assert set(left) == {"field_B.fits[0]", "field_R.fits[0]"}
    assert all("exposure of the sky" in why for why in left.values())
    for name in MASTERS:
        assert (tmp_path / "again" / name).read_bytes() == (night.masters / name).read_bytes()


def test_several_hdus_give_masters_of_several_hdus(tmp_path: Path) -> None:
    chips = write_night(tmp_path / "raw", seed=2, shape=(60, 70), chips=2, count=3)
    masters = tmp_path / "masters"
    made = dict(
        one
        for one in make_masters(MasterRequest([str(tmp_path / "raw")], masters))
        if isinstance(one, tuple)
    )
    assert {path.name for path in made} == MASTERS
    with fits.open(masters / "bias.fits") as hdus:
        names = [(hdu.name, hdu.ver) for hdu in hdus[1:]]
        assert names == [(n, v) for v in (1, 2) for n in ("SCI", "FLAGS", "UNCERT")]
        assert hdus["SCI", 2].header["ACRAWHDU"] == "CCD2,1"
    files = {kind: str(masters / f"{kind}*.fits") for kind in ("bias", "dark", "flat")}
    stage = load_stage("ccdproc", **files)
    for number, chip in enumerate(chips, start=1):
        frame = stage.run(Frame.read(f"{tmp_path}/raw/field_R.fits[CCD{number},1]")).frame
        assert frame.meta["ZEROCOR"] == f"bias.fits[SCI,{number}]"
        pulls = (frame.data - chip.sky("R")) / frame.uncertainty.array
        assert mad_std(pulls[frame.usable]) == pytest.approx(1, abs=0.08)


def _change(path: Path, **cards: Any) -> None:
    with fits.open(path, mode="update") as hdus:
        for keyword, value in cards.items():
            hdus[0].header[keyword.replace("_", "-")] = value


def test_frames_that_do_not_belong_are_left_out_with_the_reason(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    write_night(raw, seed=3, shape=(60, 70), count=5)
    _change(raw / "bias_1.fits", IMAGETYP="arc")
    _change(raw / "bias_2.fits", EXPTIME=20.0)
    _change(raw / "dark_1.fits", CCDPROC="done")
    _change(raw / "dark_2.fits", INSTRUME="another camera")
    _change(raw / "flat_R_1.fits", IMAGETYP="dark")
    _change(raw / "flat_B_5.fits", CCDSUM="2 2")
    light = RawNight(3, (60, 70)).light(9, "R", exposure=3000.0)
    with fits.open(raw / "bias_5.fits", mode="update") as hdus:
        hdus[0].data = light.data
    (raw / "broken.fits").write_bytes(b"no FITS")
    made, left = night_make(raw, tmp_path / "masters")
    reasons = {name.split("[")[0].rsplit("/", 1)[-1]: why for name, why in left.items()}
    assert "no bias, dark or flat: IMAGETYP = 'arc'" in reasons["bias_1.fits"]
    assert "a bias of 20 s" in reasons["bias_2.fits"]
    assert "calibrated before" in reasons["dark_1.fits"]
    assert "only one frame" in reasons["dark_2.fits"]
    assert "only one frame for dark_4s" in reasons["flat_R_1.fits"]
    assert "only one frame for flat_B" in reasons["flat_B_5.fits"]
    assert "broken.fits" in reasons
    # Of three, one of which is no bias, no master is made.
    assert "is it a bias?" in reasons["bias_5.fits"]
    assert "only 2 usable for bias" in reasons["bias_3.fits"]
    assert "bias.fits" not in made


def night_make(raw: Path, output: Path) -> tuple[dict[str, Any], dict[str, str]]:
    made: dict[str, Any] = {}
    left: dict[str, str] = {}
    for one in make_masters(MasterRequest([str(raw)], output)):
        if isinstance(one, tuple):
            made[one[0].name] = one[1]
        else:
            left[one.name] = one.why
    return made, left


def test_flats_of_wrong_exposure_are_left_out(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    write_night(raw, seed=4, shape=(60, 70), count=4)
    for name, value in (("flat_R_1.fits", 50000), ("flat_R_2.fits", 1010)):
        with fits.open(raw / name, mode="update") as hdus:
            hdus[0].data[:, 8:78] = value
    made, left = night_make(raw, tmp_path / "masters")
    assert "overexposed" in left["flat_R_1.fits[0]"]
    assert "underexposed" in left["flat_R_2.fits[0]"]
    assert "flat_R.fits" not in made
    assert "flat_B.fits" in made


def test_without_bias_it_is_said(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    write_night(raw, seed=6, shape=(60, 70), count=3)
    for path in raw.glob("bias*"):
        path.unlink()
    made, _ = night_make(raw, tmp_path / "masters")
    assert any("no bias of this camera" in note for note in made["flat_R.fits"].notes)
    assert "ZEROCOR" not in made["dark_300s.fits"].frames[0].meta
    assert "OVERSCAN" in made["dark_300s.fits"].frames[0].meta


def test_what_is_asked_wrongly_ends_before_the_first_frame(night: Any, tmp_path: Path) -> None:
    def made(*inputs: str, **more: Any) -> list[Any]:
        return list(make_masters(MasterRequest(inputs, tmp_path / "out", **more)))

    with pytest.raises(OutputError, match="holds FITS files already"):
        list(make_masters(MasterRequest([str(night.raw)], night.masters)))
    with pytest.raises(NoInputError):
        made(str(tmp_path / "nothing*.fits"))
    with pytest.raises(ConfigurationError, match="makes no masters"):
        made(str(night.raw), plugin="lacosmic")
    with pytest.raises(ConfigurationError, match="no such value"):
        made(str(night.raw), settings={"instrument.gian": 2})
    with pytest.raises(ConfigurationError, match="overscam"):
        made(str(night.raw), settings={"overscam": "none"})


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("zero", "bias"),
        ("Bias Frame", "bias"),
        ("Master Dark", "dark"),
        ("dark flat", "dark"),
        ("DOME FLAT", "flat"),
        ("FLAT,SKY", "flat"),
        ("Flat Field", "flat"),
        ("twilight flat", "flat"),
        ("OBJECT (0)", "light"),
        ("OBJECT,SKY", "light"),
        ("Light Frame", "light"),
        ("arc", None),
        ("comp", None),
        ("focus", None),
        ("not a flat", None),
        ("", None),
    ],
)
def test_types_of_frames_are_understood(text: str, kind: str | None) -> None:
    assert frame_type({"IMAGETYP": text}) == kind
    assert frame_type({"OBSTYPE": text.upper()}) == kind


def test_every_word_of_the_table_is_its_type() -> None:
    for kind, words in IMAGE_TYPES.items():
        assert {frame_type({"IMAGETYP": word}) for word in words} == {kind}


def test_the_verb_tells_what_it_made_and_ends_with_what_it_means(
    night: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["calibrate", "make", str(night.raw / "bias*.fits"), "-o", str(tmp_path / "masters")]
    assert main(words) == 0
    assert "bias.fits: of 7 frames: bias_1.fits[0]" in capsys.readouterr().out
    assert main(words) != 0
    assert "--overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite", "--set", "overscan=none"]) == 0
    assert Frame.read(tmp_path / "masters" / "bias.fits").data.mean() > 900
    fields = str(night.raw / "field*.fits")
    assert main(["calibrate", "make", fields, "-o", str(tmp_path / "none")]) == 1
    assert "no master was made" in capsys.readouterr().out
    missing = str(tmp_path / "nothing*.fits")
    assert main(["calibrate", "make", missing, "-o", str(tmp_path / "none")]) == 4
