"""UCDs of catalogues: words of the IVOA's list, written and read again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable.ucd import check_ucd
from astropy.table import QTable

from astroclean.core.sources.source_planes import PLANE_COLUMNS
from astroclean.core.sources.sources import Sources
from astroclean.io.products.catalogs import write_catalog
from astroclean.io.products.ucds import UCD, UCDS, with_ucds

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", UCDS)
def test_each_is_of_the_controlled_vocabulary(name: str) -> None:
    assert check_ucd(UCDS[name], check_controlled_vocabulary=True)


@pytest.mark.parametrize("suffix", [".fits", ".ecsv"])
def test_they_are_written_and_come_back(suffix: str, tmp_path: Path) -> None:
    table = QTable({"id": [1, 2], "x": [1.0, 2.0], "y": [1.0, 2.0], "own": [3, 4], "odd": [5, 6]})
    for name in PLANE_COLUMNS:
        table[name] = np.zeros(2, dtype=np.int32)
    table["own"].info.meta = {UCD: "meta.number"}
    path = tmp_path / f"x_sources{suffix}"
    with path.open("wb") as target:
        write_catalog([("[SCI,1]", Sources(table))], target, suffix=suffix)
    found = Sources.read(path).table
    expected = {name: UCDS.get(name) for name in table.colnames} | {"own": "meta.number"}
    assert {n: (found[n].info.meta or {}).get(UCD) for n in found.colnames} == expected
    assert expected["odd"] is None
    assert not table["x"].info.meta  # the catalogue itself is not modified
    if suffix == ".fits":
        header = fits.getheader(path, 1)
        assert (header["TTYPE1"], header["TUCD1"]) == ("hdu", UCDS["hdu"])


def test_a_plugins_own_stays() -> None:
    table = QTable({"x": [1.0]})
    table["x"].info.meta = {UCD: "pos.bodyrc.x", "more": 1}
    assert with_ucds(table)["x"].info.meta == {UCD: "pos.bodyrc.x", "more": 1}
