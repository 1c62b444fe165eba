"""The inputs of the paper's network keep the laws of convolution, and know of holes and borders."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from astroclean_psf_cae.paper.channels import (
    CHANNELS,
    SIGMA_PER_FWHM,
    ChannelSettings,
    effective_sigma,
    paper_channels,
    reconvolved,
    scaled,
)
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

from astroclean.core.psf.psf import Psf
from astroclean.core.psf.stamp import FWHM_PER_SIGMA
from astroclean.errors import PsfError, StageError

ALL = ChannelSettings()
Array = np.ndarray[Any, Any]


def gaussian_psf(fwhm: float, *, half: int = 14, stretch: float = 1.0) -> Array:
    y, x = np.mgrid[-half : half + 1, -half : half + 1] / (fwhm / FWHM_PER_SIGMA)
    image = np.exp(-((y * stretch) ** 2 + (x / stretch) ** 2) / 2)
    return np.asarray(image / image.sum())


def moffat(fwhm: float, beta: float, *, half: int = 20, stretch: float = 1.0) -> Array:
    y, x = np.mgrid[-half : half + 1, -half : half + 1] / (fwhm / 2)
    square = (y * stretch) ** 2 + (x / stretch) ** 2
    image = (1 + square * (2 ** (1 / beta) - 1)) ** -beta
    return np.asarray(image / image.sum())


def blob(side: int = 64, *, at: tuple[float, float] = (30.0, 33.0), width: float = 3.0) -> Array:
    y, x = np.mgrid[:side, :side]
    return np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / (2 * width**2))


def channel(name: Any, image: Array, psf: Array, **settings: Any) -> Array:
    usable = settings.pop("usable", None)
    chosen = ChannelSettings(names=(name,), **settings)
    given = None if usable is None else usable[np.newaxis]
    return paper_channels(image[np.newaxis], psf, chosen, usable=given)[0, 0].astype(np.float64)


def test_the_first_is_the_image_convolved_with_the_psf() -> None:
    image, psf = blob(), moffat(4.0, 2.5, stretch=1.2)
    right = fftconvolve(image, psf, mode="same")
    np.testing.assert_allclose(channel("psf", image, psf), right, atol=1e-5)


def test_the_psf_is_not_mirrored() -> None:
    psf = gaussian_psf(3.0, half=6)
    psf[6, 9] += 0.05
    star = np.zeros((40, 40))
    star[20, 15] = 1.0
    seen = channel("psf", star, psf)
    np.testing.assert_allclose(seen[14:27, 9:22], psf / psf.sum(), atol=1e-6)


def test_the_inverse_gives_back_what_the_psf_took() -> None:
    image, psf = blob(width=2.0), moffat(2.5, 3.5, stretch=1.1)
    seen = fftconvolve(image, psf, mode="same")
    np.testing.assert_allclose(channel("ipsf", seen, psf), image, atol=2e-3)
    # The image of a star is one: the PSF itself gives a point, blurred by the guard alone.
    star = np.zeros((65, 65))
    star[12:53, 12:53] = psf
    point = channel("ipsf", star, psf, floor=1e-6)
    assert point[32, 32] > 0.95
    assert np.abs(np.delete(point.ravel(), 32 * 65 + 32)).max() < 0.05


def test_the_third_is_the_second_under_a_gaussian() -> None:
    image, psf = blob(width=2.0), gaussian_psf(3.0, stretch=1.15)
    seen = fftconvolve(image, psf, mode="same")
    found = channel("ipsf1", seen, psf, sigma=2.5)
    np.testing.assert_allclose(found, gaussian_filter(image, 2.5, truncate=8), atol=1e-3)


def test_by_default_the_gaussian_follows_the_psf_and_nothing_is_amplified() -> None:
    """Noise comes out weaker, whatever the PSF; without the Gaussian it is hundreds of times."""
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(96, 96))
    for psf in (gaussian_psf(2.5, stretch=1.25), gaussian_psf(6.0, half=20), moffat(4.0, 2.5)):
        sigma = SIGMA_PER_FWHM * FWHM_PER_SIGMA * effective_sigma(psf[np.newaxis])[0]
        found = channel("ipsf1", noise, psf)
        np.testing.assert_allclose(
            found, channel("ipsf1", noise, psf, sigma=float(sigma)), atol=1e-6
        )
        assert found.std() < 0.4
        assert channel("ipsf", noise, psf).std() > 50


def test_the_effective_width_of_a_gaussian_is_its_own() -> None:
    stamps = np.stack([gaussian_psf(3.0, half=20), gaussian_psf(7.0, half=20)])
    np.testing.assert_allclose(effective_sigma(stamps) * FWHM_PER_SIGMA, [3, 7], rtol=1e-3)


def test_what_the_psf_does_not_pass_is_not_divided_by() -> None:
    """At its zeros the inverse is 0, and nowhere is it above one over the floor."""
    box = np.zeros((9, 9))
    box[3:6, 3:6] = 1 / 9  # zeros at thirds of a cycle
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(90, 90))
    for floor in (1e-2, 1e-3):
        point = np.zeros((90, 90))
        point[45, 45] = 1.0
        gain = np.abs(np.fft.fft2(channel("ipsf", point, box, floor=floor)))
        assert gain.max() < 1.05 / floor
        assert np.isfinite(channel("ipsf", noise, box, floor=floor)).all()
    wave = np.cos(2 * np.pi * np.arange(90) / 3)[np.newaxis] * np.ones((90, 1))
    # Divided by what a float holds instead of 0, it would be of 1e10 and more.
    assert np.abs(channel("ipsf", wave, box)[30:60, 30:60]).max() < 20


@pytest.mark.parametrize("name", CHANNELS)
def test_channels_are_linear(name: str) -> None:
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(2, 48, 40))
    usable = rng.random((48, 40)) > 0.1
    psf = moffat(3.0, 3.0, half=12)

    def made(image: Array) -> Array:
        return channel(name, image, psf, usable=usable)

    right = 3 * made(first) - 0.25 * made(second)
    scale = np.abs(right).max()
    np.testing.assert_allclose(made(3 * first - 0.25 * second), right, atol=1e-5 * scale)


@pytest.mark.parametrize("name", CHANNELS)
def test_a_moved_image_has_moved_channels(name: str) -> None:
    psf = gaussian_psf(3.0, half=12, stretch=1.1)
    image = blob(80, at=(38.3, 40.6), width=2.5)
    moved = np.roll(image, (5, -7), axis=(0, 1))
    right = np.roll(channel(name, image, psf), (5, -7), axis=(0, 1))
    scale = np.abs(right).max()
    found = channel(name, moved, psf)
    np.testing.assert_allclose(found[16:-16, 16:-16], right[16:-16, 16:-16], atol=1e-3 * scale)


@pytest.mark.parametrize("name", CHANNELS)
def test_light_at_one_border_does_not_come_in_at_the_other(name: str) -> None:
    psf = moffat(4.0, 3.0, half=16)
    image = blob(64, at=(3.0, 40.0), width=2.0)
    seen = channel(name, image, psf)
    far = np.abs(seen[-12:]).max() / np.abs(seen).max()
    assert far < (0.01 if name != "ipsf" else 0.03)


def test_a_constant_stays_one_up_to_the_borders() -> None:
    """What lies beyond them is taken to be as what is there: no dark frame."""
    image, psf = np.full((64, 64), 5.0), gaussian_psf(4.0)
    np.testing.assert_allclose(channel("psf", image, psf), 5, rtol=0.01)
    np.testing.assert_allclose(channel("ipsf1", image, psf)[8:-8, 8:-8], 5, rtol=0.01)


def test_holes_are_filled_from_around_them_and_never_read() -> None:
    image, psf = blob(width=5.0), gaussian_psf(4.0)
    usable = np.ones(image.shape, dtype=bool)
    usable[24:27, 33:36] = False
    usable[:, 50] = False
    for name, limit in (("psf", 0.03), ("ipsf1", 0.03)):
        right = channel(name, image, psf)
        for lie in (1e9, np.nan, -np.inf):
            spoiled = np.where(usable, image, lie)
            found = channel(name, spoiled, psf, usable=usable)
            np.testing.assert_allclose(found, right, atol=limit)
    spoiled = np.where(usable, image, np.nan)
    with_mask, without = (channel("ipsf", spoiled, psf, usable=u) for u in (usable, None))
    np.testing.assert_array_equal(with_mask, without)


def test_far_from_usable_pixels_there_is_sky() -> None:
    image, psf = np.full((96, 96), 5.0), gaussian_psf(3.0)
    usable = np.ones(image.shape, dtype=bool)
    usable[20:76, 20:76] = False
    seen = channel("psf", image, psf, usable=usable)
    assert np.abs(seen[40:56, 40:56]).max() < 1e-3
    assert not channel("ipsf", image, psf, usable=np.zeros_like(usable)).any()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_subset_comes_in_its_order(count: int) -> None:
    image, psf = blob()[np.newaxis], moffat(3.0, 3.0)
    whole = dict(zip(CHANNELS, paper_channels(image, psf, ALL)[0], strict=True))
    for names in itertools.permutations(CHANNELS, count):
        found = paper_channels(image, psf, ChannelSettings(names=names))
        assert found.shape == (1, count, 64, 64)
        for name, plane in zip(names, found[0], strict=True):
            np.testing.assert_array_equal(plane, whole[name])


def test_each_image_has_its_own_psf_and_nothing_of_its_neighbors() -> None:
    images = np.stack([blob(width=w) for w in (1.5, 2.5, 3.5)])
    psfs = np.stack([moffat(f, 3.0, half=12) for f in (2.5, 4.0, 6.0)])
    together = paper_channels(images, psfs, ALL)
    for image, psf, found in zip(images, psfs, together, strict=True):
        np.testing.assert_array_equal(paper_channels(image[np.newaxis], psf, ALL)[0], found)


def test_inputs_are_not_modified() -> None:
    image, psf = blob()[np.newaxis], gaussian_psf(3.0)
    usable = image[0] > 0.1
    before = image.copy(), psf.copy(), usable.copy()
    paper_channels(image, psf, ALL, usable=usable)
    for now, then in zip((image, psf, usable), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_scaling_is_told_and_undone_by_it() -> None:
    rng = np.random.default_rng(4)
    channels = rng.normal(size=(3, 2, 16, 16)) * np.array([1, 1000])[:, np.newaxis, np.newaxis]
    channels[1] = -np.abs(channels[1])
    channels[2, 0] = 0
    for scaling in ("channel", "object"):
        values, scales = scaled(channels, scaling)
        assert scales.shape == (3, 2)
        assert (scales > 0).all()
        back = values * scales[..., np.newaxis, np.newaxis]
        np.testing.assert_allclose(back, channels, rtol=1e-6)
    each, _ = scaled(channels)
    np.testing.assert_allclose(each.max(axis=(2, 3))[0], 1)
    assert each.max() <= 1
    whole, scales = scaled(channels, "object")
    assert whole[0].max() == 1
    assert whole[0, 0].max() < 0.01
    assert (scales[:, 0] == scales[:, 1]).all()


def test_an_image_twice_as_bright_has_the_same_scaled_channels() -> None:
    image, psf = blob()[np.newaxis], moffat(3.0, 3.0)
    first, low = scaled(paper_channels(image, psf, ALL))
    second, high = scaled(paper_channels(2**20 * image, psf, ALL))
    np.testing.assert_allclose(second, first, atol=1e-6)
    np.testing.assert_allclose(high, 2**20 * low, rtol=1e-6)


def test_a_sharp_image_is_seen_through_the_psf_again() -> None:
    """Against a convolution of the galaxy itself."""
    target, psf = Psf.gaussian(fwhm_pixels=2.0).stamps[0], moffat(4.0, 3.0, stretch=1.15)
    galaxy = blob(width=2.0)
    sharp = fftconvolve(galaxy, target, mode="same")
    right = fftconvolve(galaxy, psf, mode="same")
    found = reconvolved(sharp[np.newaxis], psf, target)[0]
    np.testing.assert_allclose(found, right, atol=2e-3 * right.max())


def test_settings_are_checked() -> None:
    with pytest.raises(ValidationError, match="each channel once, got psf, ipsf, psf"):
        ChannelSettings(names=("psf", "ipsf", "psf"))
    for wrong in ({"names": ()}, {"names": ("image",)}, {"sigma": 0}, {"floor": 0}):
        with pytest.raises(ValidationError):
            ChannelSettings(**wrong)


def test_what_does_not_fit_is_an_error() -> None:
    image, psf = blob()[np.newaxis], gaussian_psf(3.0)
    with pytest.raises(StageError, match=r"\(n, ny, nx\)"):
        paper_channels(image[0], psf, ALL)
    with pytest.raises(StageError, match="usable pixels"):
        paper_channels(image, psf, ALL, usable=np.ones((3, 3), bool))
    with pytest.raises(PsfError, match="one, or 1"):
        paper_channels(image, np.stack([psf, psf]), ALL)
    with pytest.raises(PsfError, match="odd"):
        paper_channels(image, psf[:-1], ALL)
    with pytest.raises(PsfError, match="centre"):
        paper_channels(image, np.roll(psf, 5, axis=0), ALL)
    with pytest.raises(PsfError, match="finite"):
        paper_channels(image, np.where(psf > 0.01, np.nan, psf), ALL)
    with pytest.raises(PsfError, match="ky, kx"):
        paper_channels(image, psf[0], ALL)
