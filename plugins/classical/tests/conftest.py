"""Frames with exact truth, and the folder of real data."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from astroclean.core.image.frame import Frame

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Return the path of a real file, or skip."""
    folder = Path(os.environ.get("ASTROCLEAN_TEST_DATA", REPOSITORY.parent / "shared" / "data"))

    def path_of(name: str) -> Path:
        path = folder / name
        if not path.is_file():
            pytest.skip(f"real data '{name}' not found; set ASTROCLEAN_TEST_DATA")
        return path

    return path_of


@pytest.fixture(scope="session")
def gaussian_stars() -> Callable[..., np.ndarray]:
    """Return an image of circular Gaussians: ``stars`` is rows of (x, y, flux)."""

    def image_of(shape: tuple[int, int], stars: np.ndarray, *, fwhm: float) -> np.ndarray:
        sigma = fwhm / 2.3548
        yy, xx = np.mgrid[: shape[0], : shape[1]].astype(float)
        image = np.zeros(shape)
        for x, y, flux in stars:
            image += (
                flux
                / (2 * np.pi * sigma**2)
                * np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * sigma**2))
            )
        return image

    return image_of


@pytest.fixture(scope="session")
def star_grid() -> np.ndarray:
    """Rows of (x, y, flux): 30 isolated stars off the centers of pixels, for (200, 240) pixels."""
    generator = np.random.default_rng(11)
    places = [(x, y) for y in range(20, 200, 40) for x in range(20, 240, 40)][:30]
    rows = [
        (x + generator.uniform(-4, 4), y + generator.uniform(-4, 4), generator.uniform(4e3, 4e4))
        for x, y in places
    ]
    return np.array(rows)


@pytest.fixture(scope="session")
def fingerprint() -> Callable[[Frame], str]:
    """Return a function that hashes everything a frame holds in arrays."""

    def digest_of(frame: Frame) -> str:
        arrays = [frame.data, frame.flags, frame.mask]
        if frame.uncertainty is not None:
            arrays.append(frame.uncertainty.array)
        if frame.psf is not None:
            arrays.append(frame.psf.stamps)
        if frame.sources is not None and frame.sources.segmentation is not None:
            arrays.append(frame.sources.segmentation)
        digest = hashlib.sha256()
        for array in arrays:
            digest.update(np.ascontiguousarray(array).tobytes())
        if frame.sources is not None:
            for name in frame.sources.table.colnames:
                digest.update(np.asarray(frame.sources.table[name]).tobytes())
        return digest.hexdigest()

    return digest_of
