"""Many stamps at once are what the stage makes of each, and wrong ones are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from astroclean_psf_cae.stage import PsfCaeOptions
from astroclean_psf_cae.stamps import deconvolve_stamps

from astroclean.core.psf.psf import Psf
from astroclean.errors import FrameError

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
PSFS = [Psf.gaussian(fwhm_pixels=width) for width in (3.0, 4.0, 5.0)]
TARGET = Psf.gaussian(fwhm_pixels=2.0)
BOX = (slice(0, 64), slice(0, 64))


@pytest.fixture(scope="module")
def stars() -> np.ndarray:
    noise = np.random.default_rng(8).standard_normal((3, 64, 64))
    drawn = [psf.drawn_at(31.0, 33.0, 4000.0, box=BOX).data for psf in PSFS]
    return np.stack(drawn) + noise


@pytest.mark.parametrize("fit", [True, False])
def test_stars_become_the_target_psf(stars: np.ndarray, fit: bool) -> None:
    result = deconvolve_stamps(stars, PSFS, 1.0, options=PsfCaeOptions(fit=fit))
    true = TARGET.drawn_at(31.0, 33.0, 4000.0, box=BOX).data
    assert result.images.shape == stars.shape
    # Without a fit nothing tells that a bright star has no size.
    assert np.abs(result.images - true).max() < (0.05 if fit else 0.6) * true.max()
    assert np.abs(result.images.sum(axis=(1, 2)) / 4000 - 1).max() < 0.05
    assert (result.errors > 0).all()
    np.testing.assert_allclose(result.fit.flux, 4000 if fit else 0, rtol=0.02)


def test_stamps_do_not_see_each_other(stars: np.ndarray) -> None:
    together = deconvolve_stamps(stars, PSFS, 1.0)
    alone = deconvolve_stamps(stars[1:2], PSFS[1], 1.0)
    np.testing.assert_allclose(together.images[1], alone.images[0], atol=0.02)


def test_unit_and_bad_pixels(stars: np.ndarray) -> None:
    damaged = np.array(stars)
    damaged[:, 40, 12] = np.nan
    result = deconvolve_stamps(7 * damaged, PSFS, 7 * np.ones(3))
    assert np.isfinite(result.images).all()
    np.testing.assert_allclose(result.fit.flux, 4000, rtol=0.02)


@pytest.mark.parametrize(
    ("images", "psf", "noise", "match"),
    [
        (np.zeros((2, 50, 50)), PSFS[0], 1.0, "multiple of 8"),
        (np.zeros((64, 64)), PSFS[0], 1.0, "multiple of 8"),
        (np.zeros((2, 64, 64)), PSFS, 1.0, "one PSF"),
        (np.zeros((2, 64, 64)), PSFS[0], 0.0, "positive"),
    ],
)
def test_wrong_stamps_are_refused(images: Any, psf: Any, noise: float, match: str) -> None:
    with pytest.raises(FrameError, match=match):
        deconvolve_stamps(images, psf, noise)


def test_no_stamps() -> None:
    result = deconvolve_stamps(np.zeros((0, 64, 64)), PSFS[0], 1.0)
    assert result.images.shape == (0, 64, 64)
