"""A PSF of the wrong kind is told; a right one, turned or a little wide, raises no alarm."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from maps_of_sources import listed

from astroclean.core.image.frame import Frame
from astroclean.core.psf.psf import Psf
from astroclean.errors import SuspectWarning
from astroclean.registry.load import load_stage
from astroclean.simulate.cirrus import simulate_cirrus
from astroclean.simulate.fields import render_stars
from astroclean.simulate.psfs import PsfModel, make_psf

FWHM = 3.2
SCENE = simulate_cirrus(seed=21, shape=(220, 220))
SKY = np.asarray(SCENE.background, dtype=float)
NOISE = float(SCENE.notes["noise"])
RNG = np.random.default_rng(4)
PLACES = np.array([(x, y) for x in range(25, 210, 36) for y in range(25, 210, 36)], dtype=float)
PLACES += 0.2 * RNG.integers(-10, 11, PLACES.shape)
FLUXES = 10 ** RNG.uniform(2, 4.2, len(PLACES)) * NOISE


def of(kind: str, *, angle: float = 0.0, fwhm: float = FWHM) -> PsfModel:
    return make_psf(kind, fwhm_pixels=fwhm, angle=np.radians(angle))


def frame(truth: PsfModel, told: Psf, *, flux: Any = FLUXES) -> Frame:
    light = render_stars(np.column_stack([PLACES, flux]), truth, SKY.shape)
    noise = NOISE * np.random.default_rng(1).standard_normal(SKY.shape)
    image = (SKY + light + noise).astype(np.float32)
    return Frame(image, unit="Jy", psf=told, sources=listed(PLACES), frame_id="map")


def round_for(psf: PsfModel) -> Psf:
    return Psf.gaussian(fwhm_pixels=psf.psf.fwhm_pixels)


STAGES = {
    "separate": ("pconv", {"mode": "separate", "noise": "none"}),
    "psf-subtract": ("psf-subtract", {"fix_positions": True}),
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("kind", ["pacs", "optical", "airy"])
def test_a_round_gaussian_for_another_kind_is_told(stage: str, kind: str) -> None:
    truth = of(kind)
    plugin, options = STAGES[stage]
    with pytest.warns(SuspectWarning, match="the PSF does not fit") as caught:
        result = load_stage(plugin, limits={"changed": 1}, **options).run(
            frame(truth, round_for(truth))
        )
    told = str(caught[0].message)
    assert "map" in told
    assert plugin in told
    assert "[psf] file" in told
    assert result.metrics["psf chi2"] > 4
    assert result.metrics["psf sources judged"] >= 5
    table = result.frame.sources.table
    flux, error = (np.asarray(table[name].value) for name in ("flux", "flux_err"))
    bright = FLUXES > 300 * NOISE
    pulls = ((flux - FLUXES) / error)[bright]
    assert np.sqrt(np.mean(pulls**2)) < 1.6
    assert np.std(pulls) < 1.5
    if stage == "separate":
        assert (np.asarray(table["quality"]) & 32).all()
        assert "32" in table["quality"].info.description


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("kind", ["pacs", "optical", "gaussian", "airy"])
def test_the_right_psf_raises_no_alarm(stage: str, kind: str) -> None:
    plugin, options = STAGES[stage]
    with warnings.catch_warnings():
        warnings.simplefilter("error", SuspectWarning)
        result = load_stage(plugin, limits={"changed": 1}, **options).run(
            frame(of(kind), of(kind).psf)
        )
    assert result.metrics["psf chi2"] < 2
    assert result.metrics["psf sources judged"] >= 5
    if stage == "separate":
        assert not (np.asarray(result.frame.sources.table["quality"]) & 32).any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("truth", "told"),
    [
        (of("pacs", angle=20), of("pacs")),
        (of("gaussian", fwhm=1.08 * FWHM), of("gaussian")),
        (of("optical", angle=15), of("optical")),
    ],
    ids=["turned", "wider", "struts turned"],
)
def test_nor_does_one_that_the_stage_tunes_itself(truth: PsfModel, told: PsfModel) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", SuspectWarning)
        load_stage("pconv", mode="separate", noise="none", limits={"changed": 1}).run(
            frame(truth, told.psf)
        )


def test_faint_sources_tell_nothing() -> None:
    truth = of("pacs")
    faint = np.full(len(PLACES), 20 * NOISE)
    result = load_stage("pconv", mode="separate").run(frame(truth, round_for(truth), flux=faint))
    assert result.metrics["psf sources judged"] < 5
    assert not (np.asarray(result.frame.sources.table["quality"]) & 32).any()
