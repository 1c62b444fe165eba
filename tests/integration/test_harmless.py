"""No ready pipeline takes light away that is the sky's: objects of known light, added, are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.io import fits
from scipy.ndimage import binary_dilation

import astroclean
from astroclean.simulate.exposure import (
    FWHM,
    GAIN,
    PIXEL_SCALE,
    READ_NOISE,
    SATURATION,
    simulate_exposure,
)
from astroclean.simulate.shapes import SHAPES, AddedShape, add_shapes

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (420, 400)
MOST = 0.02
"""Part of its light that an object of S/N above 20 may lose."""


def exposure_with_objects(seed: int) -> tuple[np.ndarray, list[AddedShape], np.ndarray]:
    """Return adu: sky, hits, objects with their noise; the objects; where defects are."""
    rng = np.random.default_rng(seed)
    truth = simulate_exposure(seed=seed, shape=SHAPE, cosmic_rays=40, stars=0)
    noise = float(np.sqrt(220 / GAIN + (READ_NOISE / GAIN) ** 2))
    blank = np.zeros(SHAPE)
    light, added = add_shapes(blank, rng, noise=noise, fwhm=FWHM, snr=(20, 400))
    grain = rng.normal(size=SHAPE) * np.sqrt(light / GAIN)
    spoiled = binary_dilation(truth.truth != 0, np.ones((3, 3)), iterations=2)
    return truth.data.astype(float) + light + grain, added, spoiled


@pytest.fixture(scope="module")
def exposures(
    tmp_path_factory: pytest.TempPathFactory,
) -> list[tuple[Path, list[AddedShape], np.ndarray]]:
    folder = tmp_path_factory.mktemp("objects")
    written = []
    for seed in (11, 12):
        image, added, spoiled = exposure_with_objects(seed)
        primary = fits.PrimaryHDU(np.clip(np.rint(image), 0, 65535).astype(np.uint16))
        cards = {
            "BUNIT": "adu",
            "GAIN": GAIN,
            "RDNOISE": READ_NOISE,
            "SATURATE": SATURATION,
            "PIXSCALE": PIXEL_SCALE,
            "SEEING": FWHM * PIXEL_SCALE,
        }
        primary.header.update(cards)
        primary.writeto(folder / f"objects{seed}.fits")
        written.append((folder / f"objects{seed}.fits", added, spoiled))
    return written


def lost_parts(
    pipeline: str, path: Path, added: list[AddedShape], spoiled: np.ndarray, output: Path
) -> dict[str, list[float]]:
    """Return shape to the part of its light that each object lost to changed pixels."""
    report = astroclean.run(pipeline, path, output=output, settings=["products.report=false"])
    assert report.exit_code == 0, report.files[0].error
    before = fits.getdata(path).astype(float)
    after = fits.getdata(output / f"{path.stem}_clean.fits").astype(float)
    lost: dict[str, list[float]] = {shape: [] for shape in SHAPES}
    for one in added:
        # What is filled in and beside true defects is no harm.
        taken = np.where(spoiled, 0, np.clip(before - after, 0, None))[one.box]
        lost[one.shape].append(float(taken.sum() / one.light.sum()))
    return lost


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", ["ccd", "maximask", "sharpen"])
def test_objects_keep_their_light(
    pipeline: str, exposures: list[tuple[Path, list[AddedShape], np.ndarray]], tmp_path: Path
) -> None:
    for number, (path, added, spoiled) in enumerate(exposures):
        lost = lost_parts(pipeline, path, added, spoiled, tmp_path / str(number))
        for shape, parts in lost.items():
            told = (pipeline, path.name, shape, np.round(sorted(parts)[-5:], 3))
            # Halos of hits reach beyond the truth of hits: one object of a kind may be crossed.
            assert sum(part > MOST for part in parts) <= 1, told
            assert max(parts) < 5 * MOST, told
