"""Hits are found in darks without labels; what all darks have is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from astroclean_maximask.train.harvest import hits_of, hits_of_files, write_hits
from astropy.io import fits
from scipy.ndimage import binary_dilation

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.detector import DETECTOR_KEYWORDS
from astroclean.core.image.frame import Frame
from astroclean.errors import AstrocleanWarning
from astroclean.simulate.contaminants.cosmic_rays import load_hits, simulate_hit
from astroclean.simulate.draws import add_stamp

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytest.importorskip("scipy", reason="SciPy is not installed")
SIDE, GAIN, BIAS = 256, 2.0, 300.0
READ_NOISE, DARK = 6.0, 20.0
NOISE = np.hypot(READ_NOISE, np.sqrt(DARK))


def hot_pixels(rng: np.random.Generator) -> NDArray[np.float64]:
    """Electrons of the pixels that are hot in every dark, and of a hot column."""
    hot = np.zeros((SIDE, SIDE))
    hot.reshape(-1)[rng.choice(hot.size, 60, replace=False)] = rng.uniform(100, 20_000, 60)
    hot[:, 77] += 400
    return hot


def darks(
    seed: int, count: int, *, hits: int = 15
) -> tuple[list[Frame], list[NDArray[np.float64]], NDArray[np.float64]]:
    """Darks of one detector, the charge of the hits in each, and of the hot pixels in all."""
    rng = np.random.default_rng(seed)
    hot = hot_pixels(rng)
    header = fits.Header({DETECTOR_KEYWORDS["gain"]: GAIN})
    frames, layers = [], []
    for _ in range(count):
        layer = np.zeros((SIDE, SIDE))
        for _ in range(hits):
            add_stamp(layer, simulate_hit(rng), *rng.integers(0, SIDE, 2))
        electrons = rng.poisson(DARK + hot) + layer + rng.normal(0, READ_NOISE, layer.shape)
        # The bias level wanders from one exposure to the next.
        adu = np.round(electrons / GAIN + BIAS + rng.normal(0, 3))
        frames.append(Frame(adu, unit="adu", meta=header))
        layers.append(layer)
    return frames, layers, hot


def found_in(frames: list[Frame], index: int) -> NDArray[np.float64]:
    """Return an image of the charge of the hits that one dark is found to have."""
    image = np.zeros((SIDE, SIDE))
    for hit in hits_of(frames[index], frames[:index] + frames[index + 1 :]):
        add_stamp(image, hit.charge, *hit.origin)
    return image


@pytest.mark.parametrize("count", [2, 3, 6])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_hits_are_recovered_with_their_charge_and_hot_pixels_are_not(seed: int, count: int) -> None:
    frames, layers, hot = darks(seed, count)
    image = found_in(frames, 0)
    plain = (layers[0] > 8 * NOISE) & (hot == 0)
    # A hit that another dark happens to have at the same place is lost.
    for other in layers[1:]:
        plain &= other < 2 * NOISE
    assert plain.sum() > 20
    assert (image[plain] > 0).mean() > 0.99
    ratio = image[plain].sum() / layers[0][plain].sum()
    assert abs(ratio - 1) < 0.03
    false = (image > 0) & (layers[0] < NOISE)
    # Beside a hit a hot pixel may add what its noise is, never its charge.
    hottest = false & (hot > 0)
    assert (image[hottest] < 4 * np.sqrt(hot[hottest] + NOISE**2)).all()
    assert not (hottest & ~binary_dilation(layers[0] > 0, np.ones((3, 3)))).any()
    assert false.sum() <= 0.03 * (image > 0).sum()


def test_pixels_that_the_dq_rejects_are_no_hits_but_flagged_hits_are() -> None:
    frames, _, _ = darks(4, 3, hits=0)
    flags = np.zeros((SIDE, SIDE), dtype=np.uint32)
    flags[50, 50], flags[90, 90] = MaskPlane.BAD_PIXEL, MaskPlane.COSMIC_RAY
    data = frames[0].data.copy()
    data[[50, 90], [50, 90]] += 5000
    image = found_in([frames[0].replace(data=data, flags=flags), *frames[1:]], 0)
    assert image[50, 50] == 0
    assert image[90, 90] == pytest.approx(5000 * GAIN, rel=0.02)


def test_a_lone_dark_gives_no_single_pixels_for_these_may_be_hot() -> None:
    frames, layers, hot = darks(5, 1, hits=40)
    hits = hits_of(frames[0], [])
    assert hits
    assert all(hit.charge.size > 1 for hit in hits)
    image = found_in(frames, 0)
    plain = (layers[0] > 20 * NOISE) & (hot == 0)
    assert (image[plain] > 0).mean() > 0.5


def written(folder: Path, frames: list[Frame], **header: float) -> list[str]:
    paths = []
    for number, frame in enumerate(frames):
        hdu = fits.PrimaryHDU(frame.data, fits.Header({"EXPTIME": 600.0, **header}))
        paths.append(folder / f"dark_{number}.fits")
        hdu.writeto(paths[-1])
    return [str(path) for path in paths]


def test_files_are_compared_by_detector_and_what_is_missing_is_told(tmp_path: Path) -> None:
    frames, layers, _ = darks(6, 3, hits=40)
    files = written(tmp_path, frames, GAIN=GAIN)
    hits = hits_of_files(files)
    total = sum(hit.charge.sum() for hit in hits)
    assert total == pytest.approx(sum(layer.sum() for layer in layers), rel=0.05)
    fits.setval(files[2], "EXPTIME", value=60.0)
    with pytest.warns(AstrocleanWarning, match="there is one alone"):
        assert len(hits_of_files(files)) < len(hits)
    for file in files:
        fits.delval(file, "GAIN")
        fits.setval(file, "EXPTIME", value=600.0)
    with pytest.warns(AstrocleanWarning, match="without a gain, the charge of hits is in adu"):
        in_adu = sum(hit.charge.sum() for hit in hits_of_files(files))
    assert in_adu == pytest.approx(total / GAIN, rel=1e-6)


def test_written_hits_are_those_that_the_simulator_loads(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    stamps = [simulate_hit(rng) for _ in range(11)]
    write_hits(tmp_path / "hits.fits", stamps[:8], apart=stamps[8:])
    for loaded, kept in (
        (load_hits(tmp_path / "hits.fits"), stamps[:8]),
        (load_hits(tmp_path / "hits.fits", test=True), stamps[8:]),
    ):
        assert len(loaded) == len(kept)
        for one, other in zip(loaded, kept, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6)
