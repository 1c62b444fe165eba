"""What holds for every plugin: pure functions, whatever the frame."""

from __future__ import annotations

import warnings
from importlib import metadata
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astroclean_classical.badpix import BadPixels
from astroclean_classical.interpolate import Interpolate, InterpolateOptions
from astroclean_classical.lacosmic.stage import LACosmic, LACosmicOptions
from astroclean_classical.restore.richardson_lucy import RichardsonLucy
from astroclean_classical.restore.wiener import Wiener
from astroclean_classical.saturation.stage import Saturation, SaturationOptions
from astroclean_classical.sources.photutils_sources import PhotutilsDeblender
from astroclean_classical.sources.sep_sources import SepDeblender
from astroclean_classical.streaks.stage import Streaks
from astropy.nddata import StdDevUncertainty

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.psf.psf import Psf
from astroclean.core.stage.results import Outcome
from astroclean.errors import AstrocleanWarning, StageError
from astroclean.registry.discover import list_plugins

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = {
    "badpix": "mask",
    "catalog": "deblend",
    "ccdproc": "calibrate",
    "interpolate": "remove",
    "joint-richardson-lucy": "superres",
    "lacosmic": "mask",
    "matched-filter": "superres",
    "parametric": "deconvolve",
    "photutils": "deblend",
    "psf-subtract": "remove",
    "richardson-lucy": "deconvolve",
    "saturation": "mask",
    "sep": "deblend",
    "streaks": "mask",
    "wiener": "deconvolve",
}

# The frames of these laws have one star, or none.
pytestmark = pytest.mark.filterwarnings("ignore:.*no level at which stars are cut off")

STAGES = {
    "lacosmic": LACosmic,
    "lacosmic-detector": lambda: LACosmic(LACosmicOptions(gain=1.5, read_noise=5)),
    "lacosmic-psf": lambda: LACosmic(LACosmicOptions(fsmode="convolve", objlim=2)),
    "saturation": lambda: Saturation(SaturationOptions(level=3000)),
    "saturation-clipped": lambda: Saturation(SaturationOptions(level="clipped")),
    "badpix": BadPixels,
    "interpolate": Interpolate,
    "interpolate-maskfill": lambda: Interpolate(InterpolateOptions(method="maskfill")),
    "interpolate-noise": lambda: Interpolate(InterpolateOptions(noise="match")),
    "sep": SepDeblender,
    "photutils": PhotutilsDeblender,
    "richardson-lucy": RichardsonLucy,
    "streaks": Streaks,
    "wiener": Wiener,
}


def sky(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Noise with a star in the middle."""
    ny, nx = shape
    yy, xx = np.mgrid[:ny, :nx]
    star = 4000 * np.exp(-((yy - ny // 2) ** 2 + (xx - nx // 2) ** 2) / 4.0)
    return np.random.default_rng(seed).normal(100, 10, shape) + star


def frame_of(image: np.ndarray, *, deviation: float | None = None) -> Frame:
    uncertainty = None
    if deviation is not None:
        uncertainty = StdDevUncertainty(np.full(image.shape, deviation, dtype=np.float32))
    return Frame(
        image,
        unit="adu",
        uncertainty=uncertainty,
        psf=Psf.gaussian(fwhm_pixels=3.3),
        frame_id="test.fits",
    )


def test_every_entry_point_has_its_manifest() -> None:
    ours = {e.name: e for e in list_plugins() if e.distribution == "astroclean-classical"}
    assert {name: entry.kind for name, entry in ours.items()} == NAMES
    for entry in ours.values():
        assert entry.problem is None
        assert entry.manifest is not None
        assert entry.manifest.citation
        for work in entry.manifest.citation:
            assert f"{{{work.key}," in work.bibtex


@pytest.mark.parametrize("name", NAMES)
def test_entry_point_loads_a_stage_of_its_kind(name: str) -> None:
    (point,) = metadata.entry_points(group=f"astroclean.{NAMES[name]}", name=name)
    stage = point.load()
    assert stage.kind == NAMES[name]
    assert all(field.description for field in stage.Options.model_fields.values())


@pytest.mark.parametrize("name", STAGES)
def test_same_bytes_twice_and_input_untouched(
    name: str, fingerprint: Callable[[Frame], str]
) -> None:
    image = sky((90, 110))
    image[40:43, 60] = np.nan
    frame = frame_of(image, deviation=10.0).add_planes(image > 4000, MaskPlane.COSMIC_RAY)
    other = frame_of(sky((70, 64), seed=5))
    before = fingerprint(frame)
    stage = STAGES[name]()
    first = stage.run(frame)
    stage.run(other)  # state left behind by another frame would show
    second = stage.run(frame)
    assert fingerprint(frame) == before
    assert fingerprint(first.frame) == fingerprint(second.frame)
    # As text, for NaN does not equal itself.
    assert repr(dict(first.metrics)) == repr(dict(second.metrics))
    for product, image_of in first.products.items():
        assert np.asarray(image_of).tobytes() == np.asarray(second.products[product]).tobytes()


@pytest.mark.parametrize("name", STAGES)
def test_unit_wcs_meta_and_earlier_flags_stay(name: str) -> None:
    frame = frame_of(sky((64, 64))).add_planes(np.eye(64, dtype=bool), MaskPlane.USER_2)
    result = STAGES[name]().run(frame).frame
    assert result.unit == frame.unit
    assert result.meta == frame.meta
    assert result.where(MaskPlane.USER_2).sum() == 64
    assert result.history[-1].plugin
    if STAGES[name]().kind in ("mask", "deblend"):
        assert result.data.tobytes() == frame.data.tobytes()


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 5), (8, 150), (40, 40)])
@pytest.mark.parametrize("content", ["noise", "constant", "zero", "nan edge", "negative", "inf"])
def test_any_frame_gives_a_result(name: str, shape: tuple[int, int], content: str) -> None:
    image = sky(shape)
    if content == "constant":
        image[:] = 7
    elif content == "zero":
        image[:] = 0
    elif content == "nan edge":
        image[:, 0] = np.nan
    elif content == "negative":
        image = -image * 1e-6
    elif content == "inf":
        image.flat[0] = np.inf
    frame = frame_of(image)
    if frame.mask.all() and name in {"richardson-lucy", "wiener"}:
        with pytest.raises(StageError, match="no usable pixel"):
            STAGES[name]().run(frame)
        return
    has_no_noise = content in {"constant", "zero"} or shape == (1, 1)
    if name in {"lacosmic", "lacosmic-psf"} and has_no_noise and not frame.mask.all():
        with pytest.raises(StageError, match="no noise that hits could be compared with"):
            STAGES[name]().run(frame)
        return
    with warnings.catch_warnings():
        # Noise that contradicts the gain and read noise of the stage is said, and is right here.
        warnings.simplefilter("ignore", AstrocleanWarning)
        result = STAGES[name]().run(frame)
    assert result.frame.shape == shape
    assert np.isfinite(result.frame.data).sum() >= np.isfinite(frame.data).sum()


@pytest.mark.parametrize("name", sorted(set(STAGES) - {"richardson-lucy", "wiener"}))
@pytest.mark.parametrize("deviation", [None, 0.0, np.nan])
def test_frames_without_a_usable_pixel_give_nothing(name: str, deviation: float | None) -> None:
    frame = frame_of(np.full((40, 50), np.nan), deviation=deviation)
    result = STAGES[name]().run(frame)
    assert result.outcome is Outcome.NO_WORK
    assert result.frame.flags.tobytes() == frame.flags.tobytes()
