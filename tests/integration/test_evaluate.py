"""`astroclean evaluate`: from the command line to the table, with the classical plugins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from astropy.io import fits

from astroclean.cli import main as command_line
from astroclean.core.psf.psf import Psf
from astroclean.evaluation.evaluation import evaluated_kinds, find_evaluation
from astroclean.simulate.exposure import write_exposure

if TYPE_CHECKING:
    from collections.abc import Callable

TINY = Path(__file__).parents[1] / "unit" / "evaluation"
POINTS = """\
[astroclean.simulators]
tiny-contaminated = tiny_scenes:contaminated
tiny-cirrus = tiny_scenes:cirrus
tiny-blends = tiny_scenes:blends
tiny-stamps = tiny_scenes:stamps
tiny-infrared = astroclean.simulate.far_infrared.scene:simulate_far_infrared
broken = tiny_scenes:not_there
"""
SMALL = ("--count", "1", "--shape", "100", "120")


# What stages doubt of small, crowded frames is printed as a warning, and no fault here.
pytestmark = pytest.mark.filterwarnings("ignore::astroclean.errors.AstrocleanWarning")


@pytest.fixture
def evaluate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run the verb where the tiny simulators are installed; return what it prints."""
    info = tmp_path / "site" / "tiny-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text(POINTS, "utf-8")
    monkeypatch.syspath_prepend(str(info.parent))
    monkeypatch.syspath_prepend(str(TINY))

    def told(*words: str, status: int = 0) -> str:
        assert command_line.main(["evaluate", *words]) == status
        captured = capsys.readouterr()
        return captured.out if status == 0 else captured.err

    return told


def rows_of(text: str) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["plugin"], row["class"]): row for row in json.loads(text)["rows"]}


def test_every_kind_with_an_evaluation_follows_the_protocol() -> None:
    assert {"mask", "remove", "deblend", "deconvolve"} <= set(evaluated_kinds())
    for kind in evaluated_kinds():
        evaluation = find_evaluation(kind)
        assert evaluation.simulator
        assert len({column.name for column in evaluation.columns}) == len(evaluation.columns)
        assert evaluation.rows([]) == []
        assert evaluation.panels([]) == []


def test_maskers_stand_side_by_side(evaluate: Callable[..., str], tmp_path: Path) -> None:
    figure = tmp_path / "roc.svg"
    words = ("mask", "--plugins", "lacosmic,saturation", "--simulator", "tiny-contaminated", *SMALL)
    rows = rows_of(
        evaluate(*words, "--json", "--figure", str(figure), "--sweep", "lacosmic.sigclip=10,30,100")
    )
    assert {plugin for plugin, _ in rows} == {"lacosmic", "saturation"}
    hits = rows["lacosmic", "CR"]
    assert hits["TPR"] > 0.8
    assert hits["best MCC"] >= hits["MCC"] > 0.3
    assert hits["masks"] == 4
    assert hits["TPR"] * (1 - hits["FPR"]) - 1e-9 <= hits["AUC"] < 1
    assert rows["saturation", "SAT"]["masks"] == 1
    assert rows["saturation", "SAT"]["AUC"] is None
    assert rows["saturation", "SAT"]["MCC"] > 0.5
    assert "CR: ROC" in figure.read_text("utf-8")


def test_text_is_the_same_but_for_the_speed(evaluate: Callable[..., str]) -> None:
    words = ("mask", "--plugins", "saturation", "--simulator", "tiny-contaminated", *SMALL)
    first, again = evaluate(*words), evaluate(*words)
    # The last two columns are speed and time.
    cut = [line.rsplit(maxsplit=2)[0] for line in first.splitlines() if line]
    assert cut == [line.rsplit(maxsplit=2)[0] for line in again.splitlines() if line]
    assert first.startswith("mask: simulator tiny-contaminated, seed 1, count 1, shape 100 x 120\n")


def test_options_reach_their_plugin(evaluate: Callable[..., str]) -> None:
    words = ("mask", "--plugins", "lacosmic", "--simulator", "tiny-contaminated", *SMALL, "--json")
    loose = rows_of(evaluate(*words, "--set", "lacosmic.sigclip=2"))["lacosmic", "CR"]
    strict = rows_of(evaluate(*words, "--set", "lacosmic.sigclip=50"))["lacosmic", "CR"]
    assert loose["FPR"] > strict["FPR"]
    assert loose["TPR"] > strict["TPR"]


def test_removers_deblenders_and_deconvolvers(evaluate: Callable[..., str], tmp_path: Path) -> None:
    tiny = {
        "remove": ("tiny-cirrus", "interpolate", "hole median", 0.0, 0.6),
        "deblend": ("tiny-blends", "sep", "F1", 0.6, 1.0),
        "deconvolve": ("tiny-stamps", "richardson-lucy", "gain", 2.0, 30.0),
    }
    panels = {
        "remove": ["Flux taken out", "Power spectrum", "Errors in the holes", "Errors of the fit"],
        "deblend": ["Completeness", "Purity", "Completeness of blends", "Flux"],
        "deconvolve": [
            *("Gain of PSNR", "Structural similarity", "Flux", "Size", "Ellipticity"),
            "Ellipticity against truth",
        ],
    }
    for kind, (simulator, plugin, column, low, high) in tiny.items():
        figure = tmp_path / f"{kind}.svg"
        words = (kind, "--plugins", plugin, "--simulator", simulator, *SMALL, "--json")
        words = (*words, "--figure", str(figure))
        value = rows_of(evaluate(*words))[plugin, "all"][column]
        assert low < value <= high, kind
        drawn = ET.parse(figure).iter("{http://www.w3.org/2000/svg}g")  # noqa: S314 - our own
        titles = [group.get("aria-label") for group in drawn if group.get("aria-label")]
        assert titles == panels[kind]


def test_truth_is_added_to_frames_of_the_user(evaluate: Callable[..., str], tmp_path: Path) -> None:
    raw = tmp_path / "raw.fits"
    noise = np.random.default_rng(1).normal(200, 5, (160, 170)).astype(np.float32)
    fits.PrimaryHDU(noise, fits.Header({"BUNIT": "adu"})).writeto(raw)
    before = raw.read_bytes()
    words = ("--frames", str(raw), "--json")
    told = evaluate("mask", "--plugins", "lacosmic", *words)
    assert rows_of(told)["lacosmic", "CR"]["TPR"] > 0.5
    assert json.loads(told)["about"]["truth"] == "injected"
    wide = ("--psf-fwhm", "3.2 pixel")
    rows = rows_of(evaluate("deblend", "--plugins", "sep", *words, *wide))
    assert rows["sep", "all"]["completeness"] > 0.3
    assert rows["sep", "all"]["purity"] is None
    with_gain = ("--set", "instrument.gain=2.5")
    rows = rows_of(evaluate("remove", "--plugins", "interpolate", *words, *wide, *with_gain))
    assert 0.8 < rows["interpolate", "all"]["flux"] < 1.2
    assert raw.read_bytes() == before


@pytest.mark.slow
def test_sets_of_files_are_scored_joined_and_band_by_band(
    evaluate: Callable[..., str], tmp_path: Path
) -> None:
    scales = {"g": (150, 0.4), "r": (200, 0.3)}
    for seed, (band, (side, scale)) in enumerate(scales.items()):
        noise = np.random.default_rng(seed).normal(200, 5, (side, side)).astype(np.float32)
        header = fits.Header({"BUNIT": "adu", "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"})
        for axis, sign in ((1, -1), (2, 1)):
            header[f"CRPIX{axis}"] = (side + 1) / 2
            header[f"CDELT{axis}"], header[f"CUNIT{axis}"] = sign * scale / 3600, "deg"
        fits.PrimaryHDU(noise, header).writeto(tmp_path / f"field_{band}.fits")
    bands = ("--set", "bands.g=*_g.fits", "--set", "bands.r=*_r.fits")
    words = ("--frames", str(tmp_path), "--psf-fwhm", "1.2 arcsec", *bands, "--json")
    told = evaluate("deblend", "--plugins", "sep", *words)
    rows = rows_of(told)
    assert json.loads(told)["about"]["bands.r"] == "*_r.fits"
    both, g, r = (rows["sep", name] for name in ("all", "g: all", "r: all"))
    assert both["completeness"] >= max(g["completeness"], r["completeness"]) > 0.5
    assert both["sources"] >= g["sources"]
    assert abs(both["color"]) < 0.2
    assert g["color"] is None
    hits = rows_of(evaluate("mask", "--plugins", "saturation,lacosmic", *words))
    pixels = [hits["lacosmic", name]["pixels"] for name in ("CR", "g: CR", "r: CR")]
    assert pixels[0] == pixels[1] + pixels[2] > pixels[1] > 0
    fails = {
        ("--set", "bands.i=*_i.fits", *bands): "lacks i",
        ("--set", "bands.g=*_g.fits"): "field_r.fits fits none of *_g.fits",
        ("--truth", "dq", *bands): "--set bands is for truth that is added",
    }
    for more, named in fails.items():
        given = ("--frames", str(tmp_path), "--psf-fwhm", "1.2 arcsec", *more)
        assert named in evaluate("mask", "--plugins", "lacosmic", *given, status=2)


def test_hdus_are_bands(evaluate: Callable[..., str], real_data: Path) -> None:
    cutout = str(real_data / "decals_grz_cutout.fits.gz")
    bands = [f"bands.{band}=[{hdu}]" for band, hdu in (("g", 1), ("r", 3), ("z", 5))]
    words = [word for text in bands for word in ("--set", text)]
    unit = ("--set", "instrument.unit=count", "--psf-fwhm", "4 pixel", "--json")
    rows = rows_of(evaluate("deblend", "--plugins", "sep", "--frames", cutout, *words, *unit))
    assert {name.partition(":")[0] for _, name in rows if ":" in name} == {"g", "r", "z"}
    assert rows["sep", "all"]["completeness"] > 0.7


@pytest.mark.slow
def test_hits_of_stis_tell_their_own_truth(evaluate: Callable[..., str], real_data: Path) -> None:
    pair = str(real_data / "hst_stis_m33_pair_top_flt.fits.gz")
    told = evaluate(
        "mask", "--plugins", "lacosmic", "--frames", pair, "--truth", "stis-pair", "--json"
    )
    row = rows_of(told)["lacosmic", "CR"]
    assert row["pixels"] == 1433
    assert row["TPR"] > 0.95
    # Stars of 1.7 pixels are no hits: it was nearly a percent of the pixels.
    assert row["FPR"] < 1e-3


def test_the_dq_of_an_observatory_is_truth(evaluate: Callable[..., str], real_data: Path) -> None:
    cutouts = str(real_data / "decam_dq_cutouts_a.fits.gz")
    words = ("mask", "--plugins", "saturation,lacosmic", "--frames", cutouts, "--truth", "dq")
    rows = rows_of(evaluate(*words, "--json"))
    # Each plugin has the rows that it can answer, and no other.
    assert set(rows) == {
        ("saturation", "saturated"),
        ("saturation", "bleed"),
        ("saturation", "saturated or bleed"),
        ("lacosmic", "cosmic ray"),
    }
    assert rows["saturation", "saturated"]["TPR"] > 0.99
    assert rows["saturation", "saturated or bleed"]["pixels"] == 5057
    assert rows["lacosmic", "cosmic ray"]["purity"] > 0.8


def test_a_plugin_takes_part_twice_under_another_name(evaluate: Callable[..., str]) -> None:
    words = ("mask", "--plugins", "loose=lacosmic,lacosmic", "--simulator", "tiny-contaminated")
    rows = rows_of(evaluate(*words, *SMALL, "--json", "--set", "loose.sigclip=2"))
    assert rows["loose", "CR"]["FPR"] > rows["lacosmic", "CR"]["FPR"]
    told = evaluate("mask", "--plugins", "lacosmic,lacosmic", status=2)
    assert "named twice" in told
    assert "no name" in evaluate("mask", "--plugins", "psf=lacosmic", status=2)


def test_a_figure_of_chosen_panels(evaluate: Callable[..., str], tmp_path: Path) -> None:
    words = ("mask", "--plugins", "lacosmic,saturation", "--simulator", "tiny-contaminated", *SMALL)
    every, hits = tmp_path / "all.svg", tmp_path / "hits.svg"
    evaluate(*words, "--figure", str(every), "--figure", f"{hits}=cr:")
    titles = [
        [
            group.get("aria-label")
            for group in ET.parse(path).iter("{http://www.w3.org/2000/svg}g")  # noqa: S314 - our own
            if group.get("aria-label")
        ]
        for path in (every, hits)
    ]
    assert titles == [["CR: ROC", "SAT: ROC"], ["CR: ROC"]]
    told = evaluate(*words, "--figure", f"{hits}=calibration", status=2)
    assert "there are CR: ROC, SAT: ROC" in told


def test_options_reach_the_simulator_and_are_told(evaluate: Callable[..., str]) -> None:
    simulator = ("--simulator", "tiny-contaminated", *SMALL)
    words = ("mask", "--plugins", "saturation", *simulator, "--json")
    assert rows_of(evaluate(*words))["saturation", "SAT"]["FPR"] < 0.1
    raised = evaluate(*words, "--set", "simulator.level=1e5")
    assert rows_of(raised)["saturation", "SAT"]["FPR"] == 1  # everything is above full well
    assert json.loads(raised)["about"]["simulator.level"] == 1e5


def test_frames_may_be_folders_a_glob_or_a_list(
    evaluate: Callable[..., str], tmp_path: Path
) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for seed, folder in enumerate(folders):
        folder.mkdir()
        write_exposure(folder / "raw.fits", seed=seed, shape=(64, 64))
    own = fits.Header({"ACVERS": "0.1.0"})
    fits.PrimaryHDU(np.zeros((64, 64), np.float32), own).writeto(folders[0] / "raw_clean.fits")
    (tmp_path / "list.txt").write_text("\n".join(f"{f}/raw.fits" for f in folders), "utf-8")
    words = ("mask", "--plugins", "lacosmic", "--json", "--frames")
    hits = rows_of(evaluate(*words, *map(str, folders)))["lacosmic", "CR"]["pixels"]
    assert hits > rows_of(evaluate(*words, str(folders[0])))["lacosmic", "CR"]["pixels"] > 0
    for given in (f"{tmp_path}/?/raw.fits", f"@{tmp_path}/list.txt"):
        assert rows_of(evaluate(*words, given))["lacosmic", "CR"]["pixels"] == hits
    missing = evaluate(*words, str(tmp_path / "no.fits"), str(folders[0]), status=2)
    assert "no.fits: no such file" in missing
    assert "no input matched" in evaluate(*words, str(tmp_path / "*.fit"), status=4)
    truth = ("--truth", "stis")
    assert "no truth 'stis'" in evaluate(*words, str(folders[0]), *truth, status=2)


@pytest.mark.slow
def test_the_psf_comes_from_a_file_or_from_the_stars(
    evaluate: Callable[..., str], tmp_path: Path
) -> None:
    raw = tmp_path / "raw.fits"
    write_exposure(raw, seed=3, shape=(300, 300))
    stamp = Psf.gaussian(fwhm_pixels=3.2).stamps[0]
    fits.PrimaryHDU(stamp, fits.Header({"OVERSAMP": 1})).writeto(tmp_path / "raw_psf.fits")
    words = ("remove", "--plugins", "interpolate", "--frames", str(raw), "--json")
    given = {
        "file": ("--psf", str(tmp_path / "{stem}_psf.fits")),
        "width": ("--psf-fwhm", "3.2 pixel"),
        "stars": ("--psf", "estimate"),
    }
    flux = {name: rows_of(evaluate(*words, *psf)) for name, psf in given.items()}
    told = {name: rows["interpolate", "all"]["holes"] for name, rows in flux.items()}
    assert told["file"] == told["width"] > 0
    assert told["stars"] != told["width"]  # the stars are Moffat's, with wings
    assert "no such file" in evaluate(*words, "--psf", str(tmp_path / "no.fits"), status=1)


@pytest.mark.slow
def test_plugins_may_be_told_another_psf_than_that_of_the_sources(
    evaluate: Callable[..., str], tmp_path: Path
) -> None:
    raw = tmp_path / "raw.fits"
    write_exposure(raw, seed=3, shape=(300, 300))
    for name, width in (("right", 3.2), ("wrong", 4.2)):
        stamp = Psf.gaussian(fwhm_pixels=width).stamps[0]
        header = fits.Header({"OVERSAMP": 1})
        fits.PrimaryHDU(stamp, header).writeto(tmp_path / f"{name}.fits")
    words = ("remove", "--plugins", "psf-subtract", "--frames", str(raw), "--json")
    words = (*words, "--psf", str(tmp_path / "right.fits"))
    wrong = ("--given-psf", str(tmp_path / "wrong.fits"))
    right, told = (evaluate(*words, *more) for more in ((), wrong))
    assert json.loads(told)["about"]["given PSF"] == wrong[1]
    one, other = (rows_of(text)["psf-subtract", "all"] for text in (right, told))
    assert one["holes"] > 0  # their sizes go by the PSF too
    assert other["fit hole mean"] > 1.2 * one["fit hole mean"]
    stis = ("--truth", "stis")
    assert "is for truth that is added" in evaluate(*words, *wrong, *stis, status=2)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--plugins", "sep"), "'sep' is of kind 'deblend', not 'mask'"),
        (("--plugins", ","), "name at least one"),
        (("--plugins", "lacosmic,lacosmic"), "named twice"),
        (("--plugins", "lacosmic", "--set", "lacosmc.sigclip=3"), "Did you mean 'lacosmic'?"),
        (("--plugins", "lacosmic", "--set", "lacosmic=3"), "must read plugin.key=value"),
        (("--plugins", "lacosmic", "--set", "lacosmic.sigclp=3"), "Did you mean 'sigclip'?"),
        (("--plugins", "lacosmic", "--sweep", "lacosmic.sigclip=3,x"), "sigclip"),
        (("--plugins", "lacosmic", "--simulator", "tiny-cirus"), "Did you mean 'tiny-cirrus'?"),
        (("--plugins", "lacosmic", "--psf-fwhm", "2 pixel"), "--psf-fwhm is for `--frames`"),
        (("--plugins", "lacosmic", "--set", "instrument.gain=2"), "is for `--frames`"),
        (("--plugins", "lacosmic", "--set", "psf.fwhm=3"), "--set psf.fwhm is for `--frames`"),
        (("--plugins", "lacosmic", "--set", "bands.g=*_g.fits"), "--set bands.g is for `--frames`"),
        (("--plugins", "lacosmic", "--psf", "estimate"), "--psf is for `--frames`"),
        (("--plugins", "lacosmic", "--told-psf", "x.fits"), "--given-psf is for `--frames`"),
        (("--plugins", "lacosmic", "--set", "simulator.x=1", "--frames", "x.fits"), "simulated"),
        (("--plugins", "lacosmic", "--set", "simulator.chances.trail=1"), "Did you mean 'trails'?"),
        (("--plugins", "lacosmic", "--set", "simulator.psf.fwhm=3"), "psf.fwhm: must be"),
        (("--plugins", "lacosmic", "--figure", "roc.png"), "SVG"),
        (("--plugins", "lacosmic", "--figure", "no/such/roc.svg"), "there is no folder no/such"),
        (("--plugins", "lacosmic", "--with", "saturation"), "not 'deblend'"),
    ],
)
def test_errors_name_what_is_wrong(
    evaluate: Callable[..., str], words: tuple[str, ...], named: str
) -> None:
    assert named in evaluate("mask", *words, status=2)


def test_an_old_name_of_an_option_says_the_new_one(evaluate: Callable[..., str]) -> None:
    words = ("mask", "--plugins", "lacosmic", "--told-psf", "x.fits")
    assert "evaluate: --told-psf is --given-psf now" in evaluate(*words, status=2)


def test_what_cannot_be_loaded_is_named(evaluate: Callable[..., str]) -> None:
    words = ("mask", "--plugins", "lacosmic", "--simulator", "broken")
    assert "entry point 'broken'" in evaluate(*words, status=3)
    assert "no plugin 'lacosmc'" in evaluate("mask", "--plugins", "lacosmc", status=3)


def test_there_is_no_truth_to_add_for_deconvolution(
    evaluate: Callable[..., str], tmp_path: Path
) -> None:
    raw = tmp_path / "raw.fits"
    write_exposure(raw, seed=5, shape=(64, 64))
    words = ("--plugins", "richardson-lucy", "--frames", str(raw))
    assert "leave out `--frames`" in evaluate("deconvolve", *words, status=2)


def test_bands_with_one_truth_have_one_result(evaluate: Callable[..., str], tmp_path: Path) -> None:
    figure = tmp_path / "spire.svg"
    words = ("superres", "--plugins", "matched-filter", "--simulator", "tiny-infrared")
    small = ("--count", "1", "--shape", "70", "70", "--set", "simulator.maps.uncovered=0")
    rows = rows_of(evaluate(*words, *small, "--json", "--figure", str(figure)))
    assert {plugin for plugin, _ in rows} == {"matched-filter"}
    assert {"all", "3-6 mJy", "> 9 mJy"} <= {name for _, name in rows}
    row = rows["matched-filter", "all"]
    assert row["true"] > 10
    assert row["factor"] > 0
    assert row["speed"] == pytest.approx(70 * 70 / 1e6 / row["time"])  # of the first band alone
    assert row["RMS"] is None
    drawn = ET.parse(figure).iter("{http://www.w3.org/2000/svg}g")  # noqa: S314 - our own
    titles = {group.get("aria-label") for group in drawn}
    assert {"Completeness", "Offsets"} <= titles
