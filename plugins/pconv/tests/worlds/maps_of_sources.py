"""Frames with sources, and the stage `pconv` run on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.nddata import StdDevUncertainty
from astropy.table import QTable

from astroclean.core.image.frame import Frame
from astroclean.core.sources.sources import Sources
from astroclean.registry.load import load_stage
from astroclean.simulate.fields import render_stars
from astroclean.simulate.psfs import make_psf

if TYPE_CHECKING:
    from astroclean.core.stage.results import StageResult

SHAPE = (110, 130)
FWHM = 3.2
PSF = make_psf("pacs", fwhm_pixels=FWHM)
NOISE = 0.1
ONE_SIZE = {
    "hole_unit": "pixel",
    "hole_limits": (),
    "hole_radii": (7.0,),
    "hole_source": 7.0,
    "hole_annulus": (9.0, 18.0),
}
"""Holes of one size, whatever the S/N."""
ROWS = np.array(
    [
        [30.2, 30.4, 60.0],
        [41.0, 36.2, 20.0],
        [90.6, 28.0, 250.0],
        [64.4, 72.6, 12.0],
        [4.2, 96.0, 80.0],
        [108.0, 84.8, 35.0],
    ]
)
"""x, y, flux; two whose holes touch, and one at the border. In fifths of a pixel."""


def sky() -> np.ndarray:
    """Smooth emission."""
    y, x = np.indices(SHAPE)
    return 10 + np.sin(x / 17.0) * np.cos(y / 21.0) + 0.01 * x


def image_of(rows: np.ndarray = ROWS, *, seed: int = 1) -> np.ndarray:
    noise = NOISE * np.random.default_rng(seed).standard_normal(SHAPE)
    return sky() + noise + render_stars(np.asarray(rows, dtype=float), PSF, SHAPE)


def listed(rows: np.ndarray, ids: Any = None) -> Sources:
    rows = np.asarray(rows, dtype=float).reshape(-1, np.shape(rows)[-1])
    numbers = np.arange(1, len(rows) + 1) if ids is None else np.asarray(ids)
    return Sources(QTable({"id": numbers, "x": rows[:, 0], "y": rows[:, 1]}))


def frame_of(
    image: np.ndarray | None = None, rows: np.ndarray = ROWS, *, ids: Any = None, **fields: Any
) -> Frame:
    data = image_of() if image is None else image
    error = StdDevUncertainty(np.full(data.shape, NOISE, dtype=np.float32))
    told = {"unit": "Jy / pix", "psf": PSF.psf, "uncertainty": error, "frame_id": "map"} | fields
    return Frame(data.astype(np.float32), sources=listed(rows, ids), **told)


def run(frame: Frame, **options: Any) -> StageResult:
    return load_stage("pconv", **options).run(frame)
