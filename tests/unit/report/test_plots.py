"""Plots of a frame: what is counted, what the spectra compare, odd frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from astroclean.core.flags.planes import MaskPlane
from astroclean.report.plots import make_histogram, make_spectrum

if TYPE_CHECKING:
    from astroclean.report.picture_records import Histogram, Spectrum

CR = np.uint32(MaskPlane.COSMIC_RAY)


def noise(shape: tuple[int, int], seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 5, shape)


@pytest.mark.parametrize(
    "image",
    [
        np.full((30, 40), np.nan),
        np.full((30, 40), np.inf),
        np.zeros((30, 40)),
        np.full((30, 40), 7e4),
        np.full((30, 40), -3e38),
        np.array([[5.0]]),
        np.array([[np.nan]]),
        np.arange(3000.0)[None, :],
        np.arange(3000.0)[:, None],
        np.where(np.eye(900, dtype=bool), np.nan, 3.0),
        np.where(np.eye(900, dtype=bool), 3e38, -3e38),
        np.where(np.eye(900, dtype=bool), 1e-42, 0.0),
    ],
)
def test_odd_frames_are_counted_without_a_warning(image: np.ndarray) -> None:
    before = image.astype(np.float32)
    finite = int(np.isfinite(before).sum())
    histogram = make_histogram(before, before)
    assert (histogram is None) == (finite == 0)
    if histogram is not None:
        assert sum(histogram.before) == finite
        assert (np.diff(histogram.edges) > 0).all()
    after = np.where(np.isfinite(before), np.roll(before, 1), 0)
    spectrum = make_spectrum(before, after, np.zeros(before.shape, np.uint32))
    if spectrum is not None:
        assert np.isfinite([*spectrum.before, *spectrum.after]).all()


def test_frame_without_pixels_has_no_histogram() -> None:
    assert make_histogram(np.zeros((0, 5), np.float32), np.zeros((0, 5), np.float32)) is None


def counted(before: np.ndarray, after: np.ndarray) -> Histogram:
    histogram = make_histogram(before.astype(np.float32), after.astype(np.float32))
    assert histogram is not None
    return histogram


def test_histogram_counts_every_finite_pixel_once() -> None:
    before, after = noise((200, 200)), noise((200, 200), 2)
    before[0, :20] = 1e6
    before[1, :30] = np.nan
    found = counted(before, after)
    assert sum(found.before) == 40_000 - 30
    assert sum(found.after) == 40_000
    assert len(found.edges) == len(found.before) + 1 == len(found.after) + 1
    assert (np.diff(found.edges) > 0).all()
    independent = np.histogram(before[np.isfinite(before)], bins=found.edges)[0]
    assert np.array_equal(found.before[1:-1], independent[1:-1])


def test_histogram_is_not_stretched_by_a_few_outliers() -> None:
    before = noise((200, 200))
    after = before.copy()
    before[0, :10] = 1e6
    found = counted(before, after)
    assert found.edges[-1] < 150
    assert found.before[-1] >= found.after[-1] + 9


def test_whole_numbers_leave_no_comb() -> None:
    counts = np.random.default_rng(3).poisson(900, (300, 300))
    found = counted(counts, counts)
    middle = np.array(found.before[len(found.before) // 4 : -len(found.before) // 4])
    ratio = middle[1:] / middle[:-1]
    assert (ratio > 0.6).all()
    assert (ratio < 1.6).all()
    width = np.diff(found.edges)
    assert np.array_equal(width, np.rint(width))


def measured(
    before: np.ndarray, after: np.ndarray, flags: np.ndarray | None = None, **limit: int
) -> Spectrum:
    flags = np.zeros(before.shape, np.uint32) if flags is None else flags
    spectrum = make_spectrum(before.astype(np.float32), after.astype(np.float32), flags, **limit)
    assert spectrum is not None
    return spectrum


def starry(background: np.ndarray) -> np.ndarray:
    """An image with a point source of 2 pixels width in it."""
    y, x = np.indices(background.shape) - np.array(background.shape).reshape(2, 1, 1) // 2
    return background + 50_000 * (1 + (x**2 + y**2)) ** -2.5


def test_spectrum_of_white_noise_is_flat() -> None:
    found = measured(noise((400, 300)), noise((400, 300), 2))
    assert len(found.frequency) <= 64
    assert (np.diff(found.frequency) > 0).all()
    for power in (found.before, found.after):
        scatter = np.log10(power) - np.log10(np.median(power))
        # The lowest rings have less than a dozen waves; their scatter is that of chance.
        assert np.abs(scatter[8:]).max() < 0.15
        slope = np.polyfit(np.log10(found.frequency[8:]), scatter[8:], 1)[0]
        assert abs(slope) < 0.05


def test_power_of_a_removed_source_is_gone_at_all_frequencies() -> None:
    sky = noise((256, 256))
    found = measured(starry(sky), sky)
    assert (np.array(found.after) < np.array(found.before)).all()


def test_bins_of_frequency_are_means_of_the_rings() -> None:
    before, after = noise((200, 180)).astype(np.float32), noise((200, 180), 2).astype(np.float32)
    found = measured(before, after)
    window = np.outer(np.hanning(202)[1:-1], np.hanning(182)[1:-1])
    radius = np.rint(np.hypot(np.fft.fftfreq(200)[:, None], np.fft.fftfreq(180)) * 180)
    edges = np.geomspace(1 / 180, 0.5, 65)
    for image, powers in ((before, found.before), (after, found.after)):
        centered = image.astype(float) - image.mean(dtype=float)
        plane = np.abs(np.fft.fft2(centered * window)) ** 2
        rings = np.array([plane[radius == n].mean() for n in range(1, 91)])
        place = np.digitize(np.arange(1, 91) / 180, edges[1:-1])
        expected = [rings[place == n].mean() for n in np.unique(place)]
        assert powers == pytest.approx(expected, rel=1e-6)


def test_pixels_without_a_value_are_the_same_before_and_after() -> None:
    sky = noise((200, 200))
    before, after = starry(sky), sky.copy()
    before[20:40, 30:50], after[20:40, 30:50] = np.nan, 1e6
    before[60, 60], after[60, 60] = 70, np.inf
    flags = np.zeros(sky.shape, np.uint32)
    flags[:, 180:] = MaskPlane.NO_DATA
    before[:, 180:] = -9e5
    lost = np.zeros(sky.shape, bool)
    lost[20:40, 30:50] = lost[60, 60] = lost[:, 180:] = True
    value = np.median(before.astype(np.float32)[~lost])
    patched = (np.where(lost, value, image) for image in (before, after))
    assert measured(before, after, flags) == measured(*patched)


def test_changes_of_rejected_pixels_are_seen() -> None:
    sky = noise((100, 100))
    before = starry(sky)
    flags = np.where(before != sky, CR | np.uint32(MaskPlane.SATURATED), 0).astype(np.uint32)
    assert measured(before, sky, flags) == measured(before, sky)


def test_large_frame_is_measured_in_its_middle() -> None:
    before, after = noise((130, 90)), noise((130, 90), 2)
    found = measured(before, after, limit=64)
    middle = slice(33, 97), slice(13, 77)
    assert found.note == "Of the central 64 \N{MULTIPLICATION SIGN} 64 pixels"
    assert found.model_copy(update={"note": ""}) == measured(before[middle], after[middle])
    assert not measured(before, after).note


@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (1, 400), (3, 3), (30, 40)])
def test_no_spectrum_without_a_change_or_a_line(shape: tuple[int, int]) -> None:
    image, flags = noise(shape).astype(np.float32), np.zeros(shape, np.uint32)
    assert make_spectrum(image, image, flags) is None
    if min(shape) < 4:
        assert make_spectrum(image, image + 1, flags) is None
    lost = np.full_like(image, np.nan)
    assert make_spectrum(lost, image, flags) is None
    assert make_spectrum(image, lost, flags) is None
    everywhere = np.full(shape, MaskPlane.NO_DATA, np.uint32)
    assert make_spectrum(image, image + 1, everywhere) is None


def test_spectrum_of_constants_has_no_power() -> None:
    ones = np.ones((32, 32), np.float32)
    assert make_spectrum(ones, 2 * ones, np.zeros(ones.shape, np.uint32)) is None


def test_images_of_a_spectrum_are_not_modified() -> None:
    before, after = noise((50, 60)).astype(np.float32), noise((50, 60), 2).astype(np.float32)
    before[3, 4] = np.nan
    copies = before.copy(), after.copy()
    measured(before, after)
    assert np.array_equal(before, copies[0], equal_nan=True)
    assert np.array_equal(after, copies[1])
