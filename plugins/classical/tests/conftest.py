"""Frames with exact truth, and the folder of real data."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits

from astroclean.core.image.frame import Frame
from astroclean.core.stage.masters import LeftOut
from astroclean.registry.load import load_stage
from astroclean.runner.masters import MasterRequest, make_masters
from astroclean.simulate.raw_night import write_night

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from astroclean.core.stage.stage import Stage
    from astroclean.simulate.raw_night import RawNight

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


@dataclass(frozen=True)
class Night:
    """A simulated night of raw frames, its masters, and its truth."""

    raw: Path
    masters: Path
    chip: RawNight

    def stage(self, **options: Any) -> Stage:
        """Return the stage with all masters, but for the options that are given."""
        files = {
            "bias": str(self.masters / "bias.fits"),
            "dark": str(self.masters / "dark*.fits"),
            "flat": str(self.masters / "flat*.fits"),
        }
        return load_stage("ccdproc", **{**files, **options})

    def master(self, name: str) -> Frame:
        """Return a master."""
        return Frame.read(self.masters / f"{name}.fits")

    @staticmethod
    def frame(hdu: fits.ImageHDU, **cards: Any) -> Frame:
        """Return a raw frame of a simulated HDU, with other cards; None takes one out."""
        header = hdu.header.copy()
        for keyword in ("XTENSION", "PCOUNT", "GCOUNT", "EXTNAME", "BSCALE", "BZERO"):
            header.remove(keyword, ignore_missing=True)
        for keyword, value in cards.items():
            card = keyword.replace("_", "-")
            if value is None:
                header.remove(card, ignore_missing=True)
            else:
                header[card] = value
        return Frame.read(fits.HDUList([fits.PrimaryHDU(hdu.data, header)]))

    @staticmethod
    def make(
        raw: Path, output: Path, settings: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
        """Make masters; return parts by name of the file, and what was left out and why."""
        made, left = {}, {}
        for one in make_masters(MasterRequest([str(raw)], output, settings=settings or {})):
            if isinstance(one, LeftOut):
                left[one.name] = one.why
            else:
                made[one[0].name] = one[1].parts
        return made, left


@pytest.fixture(scope="session")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    """Return a simulated night of one chip, with masters of seven frames each."""
    folder = tmp_path_factory.mktemp("night")
    (chip,) = write_night(folder / "raw", seed=5, shape=(120, 140))
    Night.make(folder / "raw", folder / "masters")
    return Night(folder / "raw", folder / "masters", chip)
