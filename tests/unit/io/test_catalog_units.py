"""Units of catalogues come back from every format that is written, electrons too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable

from astroclean.core.image.text_unit import TextUnit
from astroclean.core.sources.sources import Sources
from astroclean.io.products.catalogs import write_catalog
from astroclean.io.resources import read_table

if TYPE_CHECKING:
    from pathlib import Path

UNITS = {
    "a": u.electron / u.s,
    "b": u.electron,
    "c": u.Jy,
    "d": u.nmgy,
    "e": u.adu / u.s,
    "f": 1e-17 * u.erg / u.s / u.cm**2,
    "g": u.electron / u.pix / u.s,
    "h": u.MJy * u.pix / u.sr,
    "i": u.Unit(0.5 * u.mJy),
    "j": u.Unit(0.25 * u.electron**2),
}


def written(path: Path, units: dict[str, u.UnitBase]) -> Path:
    table = QTable({"id": [1, 2], "x": [1.0, 2.0], "y": [1.0, 2.0]})
    for name, unit in units.items():
        table[name] = u.Quantity([1.0, 2.0], unit)
    with path.open("wb") as target:
        write_catalog(
            [("[SCI,1]", Sources(table)), ("[SCI,2]", Sources(table))], target, suffix=path.suffix
        )
    return path


@pytest.mark.parametrize("suffix", [".fits", ".ecsv"])
def test_units_come_back(tmp_path: Path, suffix: str) -> None:
    table = read_table(written(tmp_path / f"a{suffix}", UNITS))
    assert len(table) == 4
    for name, unit in UNITS.items():
        assert table[name].unit == u.Unit(unit), name
        np.testing.assert_allclose(table[name].to_value(unit), [1, 2, 1, 2])


def test_electrons_are_told_in_the_form_of_the_standard(tmp_path: Path) -> None:
    header = fits.getheader(written(tmp_path / "a.fits", UNITS), 1)
    told = {header[f"TTYPE{n}"]: header.get(f"TUNIT{n}") for n in range(1, header["TFIELDS"] + 1)}
    assert told["a"] == "electron s-1"
    assert told["b"] == "electron"
    assert told["d"] == "nmgy"


@pytest.mark.parametrize("suffix", [".fits", ".ecsv"])
def test_an_unknown_unit_stays_as_text(tmp_path: Path, suffix: str) -> None:
    table = read_table(written(tmp_path / f"a{suffix}", {"a": TextUnit("furlong/fortnight")}))
    assert str(table["a"].unit) == "furlong/fortnight"
