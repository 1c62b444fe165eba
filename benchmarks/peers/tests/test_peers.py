"""Peers as plugins: units, truth, and SourceExtractor against its other implementation."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import StdDevUncertainty

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.detector import DETECTOR_KEYWORDS
from astroclean.core.image.frame import Frame
from astroclean.core.psf.psf import Psf
from astroclean.errors import StageError
from astroclean.registry.load import load_stage
from astroclean.simulate.blends import simulate_blends

NETWORKS = {"peer-deepcr": "deepCR", "peer-cosmic-conn": "cosmic_conn"}


def frame_with_hits(gain: float = 1.0) -> tuple[Frame, np.ndarray]:
    """Return an empty sky of 60 electrons with straight hits of 3000 electrons, in adu."""
    rng = np.random.default_rng(5)
    hits = np.zeros((128, 160), dtype=bool)
    for y, x in ((20, 30), (60, 100), (100, 50)):
        hits[y, x : x + 6] = True
    electrons = rng.normal(60, 8, hits.shape) + 3000 * hits
    meta = {DETECTOR_KEYWORDS["gain"]: gain}
    return Frame((electrons / gain).astype(np.float32), unit="adu", meta=meta), hits


@pytest.mark.parametrize("plugin", NETWORKS)
def test_networks_see_electrons_whatever_the_gain(plugin: str) -> None:
    pytest.importorskip(NETWORKS[plugin])
    stage = load_stage(plugin)
    plain, hits = frame_with_hits()
    found = stage.run(plain)
    assert found.frame.where(MaskPlane.COSMIC_RAY)[hits].mean() > 0.9
    assert found.frame.where(MaskPlane.COSMIC_RAY)[~hits].mean() < 0.005
    other, _ = frame_with_hits(gain=2.5)
    np.testing.assert_allclose(
        stage.run(other).products["PROB_CR"], found.products["PROB_CR"], atol=2e-3
    )


def test_networks_refuse_what_is_not_charge() -> None:
    pytest.importorskip("deepCR")
    with pytest.raises(StageError, match="electrons"):
        load_stage("peer-deepcr").run(Frame(np.ones((64, 64), np.float32), unit=u.mJy))


def test_maximask_finds_hits_and_refuses_small_frames() -> None:
    pytest.importorskip("maximask_and_maxitrack")
    frame, hits = frame_with_hits()
    with pytest.raises(StageError, match="400"):
        load_stage("peer-maximask").run(frame)
    large = np.random.default_rng(6).normal(60, 8, (420, 450)).astype(np.float32)
    large[150:278, 150:310] = frame.data
    found = load_stage("peer-maximask").run(Frame(large, unit="adu"))
    assert found.products["PROB_CR"][150:278, 150:310][hits].mean() > 0.7
    assert found.frame.where(MaskPlane.COSMIC_RAY)[:140].mean() < 1e-3


@pytest.mark.skipif(shutil.which("source-extractor") is None, reason="needs source-extractor")
def test_sourceextractor_agrees_with_sep() -> None:
    frame = simulate_blends(seed=3).frame.replace(sources=None)
    ours = load_stage("peer-sourceextractor").run(frame).frame.sources
    theirs = load_stage("sep", noise="global").run(frame).frame.sources
    assert ours is not None
    assert theirs is not None
    places = [np.column_stack([s.table["x"], s.table["y"]]) for s in (ours, theirs)]
    nearest = np.hypot(*(places[0][:, None] - places[1][None]).transpose(2, 0, 1)).min(axis=1)
    assert len(ours) == pytest.approx(len(theirs), abs=2)
    assert np.median(nearest) < 0.1
    np.testing.assert_array_equal(
        np.unique(ours.segmentation)[1:], np.sort(np.asarray(ours.table["id"]))
    )


@pytest.mark.skipif(shutil.which("source-extractor") is None, reason="needs source-extractor")
def test_scarlet2_measures_the_flux_of_a_lone_source() -> None:
    pytest.importorskip("scarlet2")
    rng = np.random.default_rng(8)
    yy, xx = np.indices((64, 64))
    light = np.exp(-((xx - 30.3) ** 2 + (yy - 33.6) ** 2) / (2 * 1.7**2))
    light *= 20000 / light.sum()
    frame = Frame(
        light + rng.normal(0, 4, light.shape),
        unit="electron",
        uncertainty=StdDevUncertainty(np.full(light.shape, 4.0, np.float32)),
        psf=Psf.from_fwhm("4 pixel"),
    )
    found = load_stage("peer-scarlet2").run(frame).frame.sources
    assert found is not None
    brightest = int(np.argmax(found.table["flux"].value))
    assert found.table["flux"].value[brightest] == pytest.approx(20000, rel=0.03)
    assert found.stamps[brightest].data.sum() == pytest.approx(20000, rel=0.03)
