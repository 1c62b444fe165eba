"""`astroclean simulate` writes frames that can be read and truth beside them."""

from __future__ import annotations

from argparse import ArgumentParser
from importlib import metadata
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.io import fits

from astroclean.cli import simulate as verb
from astroclean.core.image.frame import Frame
from astroclean.core.sources import points as points_module
from astroclean.errors import ConfigurationError, FitsReadError, OutputError, PluginLoadError
from astroclean.evaluation.evaluation import SIMULATORS_GROUP
from astroclean.simulate.contaminated import simulate_contaminated

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("galsim")
TARGETS = {
    "contaminated": "astroclean.simulate.contaminated:simulate_contaminated",
    "cirrus": "astroclean.simulate.cirrus:simulate_cirrus",
    "blends": "astroclean.simulate.blends:simulate_blends",
    "finer": "astroclean.simulate.blends:simulate_finer",
    "crowded": "astroclean.simulate.crowded:simulate_crowded",
    "stamps": "astroclean.simulate.stamps:simulate_stamp",
    "tracking": "astroclean.simulate.tracking:simulate_tracking",
    "guiding": "astroclean.simulate.guiding:simulate_guiding",
    "injected": "astroclean.simulate.injected.scenes:simulate_injected",
    "broken": "astroclean.no_such_module:simulate",
}
HDUS = {
    "contaminated": ["TRUTH", "IGNORED", "CLEAN", "PSF", "SOURCES"],
    "cirrus": ["CLEAN", "BACKGROUND", "PSF", "SOURCES", "STAMPS"],
    "blends": ["TRUTH", "CLEAN", "PSF", "SEGMENTATION", "SOURCES", "STAMPS"],
    "finer": ["TRUTH", "CLEAN", "FINE", "SEGMENTATION", "SOURCES", "STAMPS"],
    "crowded": ["TRUTH", "CLEAN", "PSF", "SEGMENTATION", "SOURCES", "STAMPS"],
    "stamps": ["CLEAN", "SHARP", "TARGET", "PSF", "SOURCES", "STAMPS", "GIVEN_SOURCES"],
    "tracking": ["CLEAN", "PSF", "SOURCES"],
    "guiding": ["CLEAN"],
    "injected": ["TRUTH", "IGNORED", "CLEAN", "PSF"],
}


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [metadata.EntryPoint(name, value, SIMULATORS_GROUP) for name, value in TARGETS.items()]
    # Only as the verb sees it: pydantic asks for entry points too.
    found = SimpleNamespace(entry_points=lambda **_kwargs: points)
    monkeypatch.setattr(points_module, "metadata", found)


def _run(*words: object) -> int:
    parser = ArgumentParser()
    verb.add_arguments(parser)
    return verb.run(parser.parse_args([str(word) for word in words]))


@pytest.mark.parametrize("kind", HDUS)
def test_writes_frame_and_truth(kind: str, tmp_path: Path) -> None:
    assert _run(kind, "-o", tmp_path / "out", "--seed", 7, "--shape", 64, 72) == 0
    frame = Frame.read(tmp_path / "out" / f"{kind}_000007.fits")
    assert frame.shape == (64, 72)
    assert frame.uncertainty is not None
    with fits.open(tmp_path / "out" / f"{kind}_000007_truth.fits") as hdus:
        names = [hdu.name for hdu in hdus[1:]]
        assert [n for n in dict.fromkeys(names) if "PSF" not in n] == [
            n for n in HDUS[kind] if n != "PSF"
        ]
        assert all(hdu.data.shape == (64, 72) for hdu in hdus if hdu.name in {"TRUTH", "CLEAN"})


def test_written_frame_is_the_scene(tmp_path: Path) -> None:
    _run("contaminated", "-o", tmp_path, "--count", 2, "--shape", 64, 64)
    for seed in (0, 1):
        scene = simulate_contaminated(seed=seed, shape=(64, 64))
        frame = Frame.read(tmp_path / f"contaminated_{seed:06d}.fits")
        assert np.array_equal(frame.data, scene.frame.data)
        assert fits.getdata(tmp_path / f"contaminated_{seed:06d}.fits").dtype.kind == "u"
        with fits.open(tmp_path / f"contaminated_{seed:06d}_truth.fits") as hdus:
            assert np.array_equal(hdus["TRUTH"].data, scene.planes)
            assert np.array_equal(hdus["CLEAN"].data, scene.clean)
            assert len(hdus["SOURCES"].data) == len(scene.sources)


def test_same_seed_same_files(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        _run("contaminated", "-o", tmp_path / folder, "--shape", 64, 64)
    for name in ("contaminated_000000.fits", "contaminated_000000_truth.fits"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_existing_files_are_kept(tmp_path: Path) -> None:
    _run("stamps", "-o", tmp_path, "--shape", 48, 48)
    with pytest.raises(OutputError, match="--overwrite"):
        _run("stamps", "-o", tmp_path, "--shape", 48, 48)
    assert _run("stamps", "-o", tmp_path, "--shape", 48, 48, "--overwrite") == 0


def test_bands_are_files_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("blends", "-o", tmp_path, "--shape", 64, 64, "--set")
    assert _run(*words, "bands=g,r") == 0
    assert capsys.readouterr().out.split() == [
        str(tmp_path / "blends_000000_g.fits"),
        "blends_000000_g_truth.fits",
        "blends_000000_r.fits",
        "blends_000000_r_truth.fits",
        "blends_000000_truth.fits",
    ]
    before = (tmp_path / "blends_000000_r.fits").read_bytes()
    (tmp_path / "blends_000000_truth.fits").unlink()  # one is enough to be kept
    with pytest.raises(OutputError, match=r"blends_000000_g\.fits and 3 more"):
        _run(*words, "bands=g,r")
    assert (tmp_path / "blends_000000_r.fits").read_bytes() == before
    scales = ("--set", "bands.g.pixel_scale=0.4", "--set", "bands.r.pixel_scale=0.2")
    assert _run("blends", "-o", tmp_path / "fine", "--shape", 64, 64, *scales) == 0
    assert Frame.read(tmp_path / "fine" / "blends_000000_r.fits").shape == (128, 128)


def test_options_of_the_simulator(tmp_path: Path) -> None:
    assert _run("stamps", "-o", tmp_path, "--shape", 48, 48, "--set", "blank=1") == 0
    with fits.open(tmp_path / "stamps_000000_truth.fits") as hdus:
        assert not hdus["CLEAN"].data.any()


def test_real_hits(tmp_path: Path, real_data: Path) -> None:
    words = ("contaminated", "--shape", 96, 96, "--set", "chances.cosmic_rays=1", "-o")
    hits = ("--set", "cosmic_rays.count=[200, 201]")
    _run(*words, tmp_path / "drawn", *hits)
    for name in (real_data, real_data / "cosmic_rays_itl_even.fits.gz"):
        folder = tmp_path / name.name
        _run(*words, folder, *hits, "--set", f"data={name}")
    drawn, *real = (
        fits.getdata(tmp_path / name / "contaminated_000000.fits")
        for name in ("drawn", real_data.name, "cosmic_rays_itl_even.fits.gz")
    )
    assert np.array_equal(*real)
    assert not np.array_equal(drawn, real[0])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["contaminatd"], "Did you mean 'contaminated'"),
        (["stamps", "--count", 0], "--count"),
        (["stamps", "--seed", -1], "--seed"),
        (["stamps", "--shape", 5, 64], "--shape"),
        (["stamps", "--set", "blank"], "must read key=value"),
        (["stamps", "--set", "blnk=1"], "Did you mean 'blank'"),
        (["blends", "--set", "bands=g,g"], "named twice"),
        (["blends", "--set", "bands="], "names no band; as in bands=g,r"),
        (["blends", "--set", "bands=a/b"], "should match pattern"),
        (["blends", "--set", "bands.g.pixl=1"], r"bands\.g\.pixl: no such option.*pixel_scale"),
        (["blends", "--set", "bands=g", "--set", "bands.r.sky=[2,3]"], "'bands' is set as a whole"),
        (["contaminated", "--set", "data=no/such/folder"], "no table of cosmic-ray hits"),
    ],
)
def test_wrong_words(words: list[str | int], message: str, tmp_path: Path) -> None:
    with pytest.raises((ConfigurationError, FitsReadError), match=message):
        _run(*words, "-o", tmp_path)


def test_broken_simulator(tmp_path: Path) -> None:
    with pytest.raises(PluginLoadError, match="broken"):
        _run("broken", "-o", tmp_path)
