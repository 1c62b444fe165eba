"""A catalogue of the user's in a pipeline: its ids go to the end, in one piece and in chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from toy_runs import run, write_fits

from astroclean.core.psf.psf import Psf
from astroclean.registry.discover import list_plugins

if TYPE_CHECKING:
    from pathlib import Path

PLACES = {40: (20.3, 30.1), 7: (45.0, 12.6), 1234: (33.3, 55.5)}


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    if "catalog" not in {entry.name for entry in list_plugins()}:
        pytest.skip("install plugins/classical again: its entry point `catalog` is new")
    psf = Psf.gaussian(fwhm_pixels=3)
    image = np.random.default_rng(1).normal(50, 1, (80, 64))
    for x, y in PLACES.values():
        psf.drawn_at(x, y, flux=900.0).add_to(image)
    write_fits(tmp_path / "x.fits", image.astype(np.float32))
    x, y = np.array(list(PLACES.values())).T + 1  # as FITS counts
    Table({"id": [*PLACES, 99], "x": [*x, 900.0], "y": [*y, 3.0]}).write(tmp_path / "mine.csv")
    return tmp_path


def test_point_sources_of_a_catalogue_are_subtracted(inputs: Path) -> None:
    options = {"file": str(inputs / "mine.csv"), "first_pixel": 1}
    stages: list[Any] = [
        {"plugin": "catalog", "options": options},
        {"plugin": "psf-subtract", "options": {"order": 0}},
    ]
    report = run(inputs, *stages, psf={"fwhm": "3 pixel"})
    assert report.exit_code == 0, report.files[0].error
    assert "off the frame: ids 99" in " ".join(report.files[0].notes)
    table = Table.read(inputs / "out" / "x_sources.fits", 1)
    assert table["id"].tolist() == sorted(PLACES)
    np.testing.assert_allclose(table["flux"], 900, rtol=0.1)
    cleaned = fits.getdata(inputs / "out" / "x_clean.fits")
    assert np.abs(cleaned - 50).max() < 6
