"""A small sky with contaminants, and the authors' package where it is installed."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def upstream() -> Path:
    """Folder of the installed package MaxiMask 1.4.1, or skip."""
    spec = importlib.util.find_spec("maximask_and_maxitrack")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the package MaxiMask 1.4.1 is not installed")
    return Path(spec.submodule_search_locations[0])


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Folder of real data, or skip."""
    folder = Path(os.environ.get("ASTROCLEAN_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no real data; set ASTROCLEAN_TEST_DATA")
    return folder
