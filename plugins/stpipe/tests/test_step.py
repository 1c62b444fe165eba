"""The step: what comes back in a data model is what astroclean did, and nothing else."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from astroclean.errors import AstrocleanError, ConfigurationError
from astroclean.simulate.exposure import simulate_exposure

pytest.importorskip("stpipe", reason="needs stpipe (astroclean-stpipe)")
datamodels = pytest.importorskip(
    "stdatamodels.jwst.datamodels", reason="needs stdatamodels (astroclean-stpipe)"
)

from astroclean_stpipe.integration import get_steps  # noqa: E402
from astroclean_stpipe.step import AstrocleanStep  # noqa: E402

# By the observatory's own table, not by that of astroclean.
JUMP_DET, DO_NOT_USE, SATURATED, DEAD, FLUX_ESTIMATED = (
    datamodels.dqflags.pixel[name]
    for name in ("JUMP_DET", "DO_NOT_USE", "SATURATED", "DEAD", "FLUX_ESTIMATED")
)
SHAPE = (120, 130)
LACOSMIC = {"stage": "lacosmic", "options": ["sigclip=6"]}


def model_of(image: np.ndarray, kind: str = "ImageModel") -> Any:
    model = getattr(datamodels, kind)(image.astype(np.float32))
    model.err = np.full(image.shape, 0.05, dtype=np.float32)
    model.dq = np.zeros(image.shape, dtype=np.uint32)
    model.var_poisson = np.full(image.shape, 0.001, dtype=np.float32)
    model.meta.telescope = "JWST"
    model.meta.instrument.name = "NIRCAM"
    model.meta.instrument.filter = "F200W"
    model.meta.bunit_data = "MJy/sr"
    model.meta.filename = "jw01_cal.fits"
    model.meta.wcsinfo.crval1 = 10.0
    return model


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    rng = np.random.default_rng(2)
    y, x = np.indices(SHAPE)
    stars = sum(
        f * np.exp(-((x - a) ** 2 + (y - b) ** 2) / 4.5)
        for f, a, b in zip(
            rng.uniform(1, 9, 25), rng.uniform(5, 125, 25), rng.uniform(5, 115, 25), strict=True
        )
    )
    return 1 + stars + rng.normal(0, 0.05, SHAPE)


@pytest.fixture
def hit(image: np.ndarray) -> tuple[Any, np.ndarray]:
    """A model with three bright pixels of a hit, and with what the observatory flagged."""
    where = np.zeros(SHAPE, dtype=bool)
    where[60, 30:33] = True
    model = model_of(np.where(where, 9.0, image))
    model.dq[10, 10] = SATURATED
    model.dq[20, 20] = DO_NOT_USE | DEAD
    return model, where


@pytest.mark.slow
def test_one_stage_flags_and_changes_no_pixel(hit: tuple[Any, np.ndarray]) -> None:
    model, where = hit
    before = {name: getattr(model, name).copy() for name in ("data", "err", "dq", "var_poisson")}
    result = AstrocleanStep.call(model, **LACOSMIC)
    assert type(result) is type(model)
    assert np.array_equal(result.data, before["data"])
    assert (result.dq[where] == (JUMP_DET | DO_NOT_USE)).all()
    assert result.dq[10, 10] & SATURATED
    assert result.dq[20, 20] & (DO_NOT_USE | DEAD) == DO_NOT_USE | DEAD
    assert np.count_nonzero(result.dq[~where] & JUMP_DET) <= 3
    assert (result.dq & before["dq"] == before["dq"]).all(), "no value is taken away"
    assert result.meta.cal_step.astroclean == "COMPLETE"
    assert (result.meta.filename, result.meta.wcsinfo.crval1) == ("jw01_cal.fits", 10.0)
    assert result.meta.bunit_data == "MJy/sr"
    for name, values in before.items():
        assert np.array_equal(getattr(model, name), values), "the input is the caller's"


@pytest.mark.slow
def test_a_pipeline_fills_what_is_bad_and_tells_it(
    hit: tuple[Any, np.ndarray], tmp_path: Path
) -> None:
    model, _ = hit
    path = tmp_path / "fill.toml"
    path.write_text(
        'schema = 1\n[[stage]]\nplugin = "lacosmic"\n[[stage]]\nplugin = "interpolate"\n'
    )
    result = AstrocleanStep.call(model, pipeline=str(path), options=["lacosmic.sigclip=6"])
    changed = result.data != model.data
    assert changed[60, 30:33].all()
    assert np.abs(result.data[60, 30:33]).max() < 5
    assert changed[20, 20], "a dead pixel holds nothing of the sky"
    assert not changed[10, 10], "a saturated one is a star"
    assert (result.dq[changed] & FLUX_ESTIMATED).all()
    assert not (result.dq[~changed] & FLUX_ESTIMATED).any()
    assert np.isnan(result.err[changed]).all()
    assert np.array_equal(result.err[~changed], model.err[~changed])
    assert np.array_equal(result.var_poisson, model.var_poisson)


@pytest.mark.slow
def test_integrations_are_cleaned_each_by_itself(hit: tuple[Any, np.ndarray]) -> None:
    model, where = hit
    other = np.roll(model.data, 40, axis=0)
    cube = model_of(np.stack([model.data, other]), "CubeModel")
    result = AstrocleanStep.call(cube, **LACOSMIC)
    hits = (result.dq & JUMP_DET) != 0
    assert hits[0][where].all()
    assert hits[1][np.roll(where, 40, axis=0)].all()
    assert not hits[1][where].any()


def test_what_is_suspect_comes_in_the_log_of_stpipe(
    image: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    model = model_of(image)
    model.err = model.err * 20
    with caplog.at_level(logging.INFO, logger="stpipe"):
        AstrocleanStep.call(model, stage="lacosmic", configure_log=False)
    told = [record for record in caplog.records if record.name.startswith("stpipe.")]
    assert any(r.levelno == logging.WARNING and "suspect" in r.message for r in told)
    assert any("pixels changed" in r.message for r in told)


@pytest.mark.slow
def test_a_model_without_err_and_dq_gets_the_dq_alone(hit: tuple[Any, np.ndarray]) -> None:
    model, where = hit
    bare = datamodels.ImageModel(model.data)
    bare.meta.telescope, bare.meta.instrument.name = "JWST", "NIRCAM"
    with pytest.raises(AstrocleanError, match="unit of the pixel values"):
        AstrocleanStep.call(bare, **LACOSMIC)
    options = ["sigclip=6", "instrument.unit=MJy/sr"]
    result = AstrocleanStep.call(bare, stage="lacosmic", options=options)
    assert (result.dq[where] & JUMP_DET).all()
    assert result.err is None


@pytest.mark.slow
def test_an_exposure_that_is_rejected_comes_back_as_it_was(
    hit: tuple[Any, np.ndarray], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "screen.toml"
    path.write_text(
        'schema = 1\n[run]\non_reject = "skip"\n[[stage]]\nplugin = "maxitrack"\n'
        'options = { threshold = 0.0 }\n[[stage]]\nplugin = "lacosmic"\n'
    )
    model, _ = hit
    result = AstrocleanStep.call(model, pipeline=str(path), configure_log=False)
    assert result.meta.cal_step.astroclean == "SKIPPED"
    assert np.array_equal(result.data, model.data)
    assert np.array_equal(result.dq, model.dq)
    assert "unusable, says stage 'maxitrack'" in caplog.text


def test_real_stars_of_jwst_stay(tmp_path: Path) -> None:
    """Undersampled ones, with spikes: what is flagged is told, and no pixel changes."""
    folder = Path(os.environ.get("ASTROCLEAN_TEST_DATA", tmp_path / "none"))
    path = folder / "jwst_nircam_f090w_stars_a.fits.gz"
    if not path.is_file():
        pytest.skip("no real data; set ASTROCLEAN_TEST_DATA")
    with fits.open(path) as hdus:
        star = next(np.array(h.data) for h in hdus if h.data is not None and h.data.ndim == 2)
    sky = 1.4826 * np.median(np.abs(star - np.median(star)))
    model = model_of(star)
    model.err[:] = np.hypot(sky, 0.01 * np.abs(star)).astype(np.float32)
    model.meta.instrument.filter = "F090W"
    result = AstrocleanStep.call(model, stage="lacosmic")
    assert np.array_equal(result.data, model.data)
    bright = star > star.max() / 4
    assert not (result.dq[bright] & JUMP_DET).any(), "the core of a star is no hit"


@pytest.mark.slow
def test_an_instrument_is_named(hit: tuple[Any, np.ndarray]) -> None:
    model, where = hit
    result = AstrocleanStep.call(model, **LACOSMIC, instrument="jwst-niriss")
    assert (result.dq[where] & JUMP_DET).all()
    with pytest.raises(AstrocleanError, match="jwst-nirkam"):
        AstrocleanStep.call(model, **LACOSMIC, instrument="jwst-nirkam")


@pytest.mark.slow
def test_what_is_asked_wrongly_is_told(image: np.ndarray) -> None:
    model = model_of(image)
    for asked in ({}, {"pipeline": "demo", "stage": "lacosmic"}):
        with pytest.raises(ConfigurationError, match="give one of"):
            AstrocleanStep.call(model, **asked)
    with pytest.raises(ConfigurationError, match="Did you mean 'sigclip'"):
        AstrocleanStep.call(model, stage="lacosmic", options=["sigclp=4"])
    with pytest.raises(AstrocleanError, match="lacosmik"):
        AstrocleanStep.call(model, stage="lacosmik")
    ramp = datamodels.RampModel(np.zeros((1, 2, 8, 8), dtype=np.float32))
    with pytest.raises(AstrocleanError, match="after the fit of ramps"):
        AstrocleanStep.call(ramp, stage="lacosmic")


def test_stpipe_lists_the_step_without_importing_it() -> None:
    from stpipe.utilities import import_class

    ((name, alias, is_pipeline),) = get_steps()
    assert import_class(name) is AstrocleanStep
    assert (alias, is_pipeline) == (AstrocleanStep.class_alias, False)
    code = "import sys, astroclean_stpipe.integration as i; i.get_steps(); "
    code += "sys.exit('stpipe' in sys.modules or 'astroclean' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert (
        subprocess.run([sys.executable, "-c", code], check=False, env=environment).returncode == 0
    )


@pytest.mark.slow
def test_strun_runs_it_on_a_file(hit: tuple[Any, np.ndarray], tmp_path: Path) -> None:
    model, where = hit
    model.save(str(tmp_path / "jw01_cal.fits"))
    words = ["astroclean_stpipe.step.AstrocleanStep", "jw01_cal.fits", "--stage=lacosmic"]
    words += ["--options=sigclip=6,", "--save_results=true"]
    code = "import sys; from stpipe._cli.strun import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    written = tmp_path / "jw01_cal_astroclean.fits"
    with fits.open(written) as hdus:
        assert (hdus["DQ"].data[where] == (JUMP_DET | DO_NOT_USE)).all()
        assert np.array_equal(hdus["SCI"].data, model.data)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::astroclean.errors.AstrocleanWarning")
def test_the_flags_are_those_of_a_run_on_the_file(tmp_path: Path) -> None:
    """Against astroclean itself, with its own simulated exposure."""
    import astroclean
    from astroclean.core.flags.conventions import load_convention

    frame = simulate_exposure(seed=4, shape=(150, 160))
    model = model_of(np.asarray(frame.data) / 100)
    model.err[:] = 0.163
    model.save(str(tmp_path / "jw02_cal.fits"))
    result = AstrocleanStep.call(str(tmp_path / "jw02_cal.fits"), stage="lacosmic")
    own = astroclean.Frame.read(tmp_path / "jw02_cal.fits")
    flags = astroclean.load_stage("lacosmic").run(own).frame.flags & ~own.flags
    assert flags.any()
    assert np.array_equal(result.dq, load_convention("jwst").from_planes(flags))
