"""One integer mask with the codes of the authors' command, for every class and combination."""

from __future__ import annotations

import numpy as np
import pytest
from astroclean_maximask.classes import CONTAMINANTS, EXTRA_CLASSES, OUTPUTS

from astroclean.core.flags.conventions import load_convention
from astroclean.core.flags.planes import MaskPlane, parse_planes

# Of the package MaxiMask 1.4.1; background is 0.
CODES = {
    "CR": 1,
    "HCL": 2,
    "DCL": 4,
    "HP": 8,
    "DP": 16,
    "P": 32,
    "TRL": 64,
    "FR": 128,
    "NEB": 256,
    "SAT": 512,
    "SP": 1024,
    "OV": 2048,
    "BBG": 4096,
}


@pytest.mark.parametrize("alias", CODES)
def test_each_class_has_its_code(alias: str) -> None:
    flags = np.array([[0, int(parse_planes(alias))]], dtype=np.uint32)
    assert load_convention("maximask").from_planes(flags).tolist() == [[0, CODES[alias]]]


def test_all_combinations_add_up_in_the_order_of_the_outputs() -> None:
    assert tuple(CODES) == OUTPUTS[:13]
    numbers = np.arange(2**13).reshape(64, 128)
    flags = np.zeros(numbers.shape, dtype=np.uint32)
    expected = np.zeros(numbers.shape, dtype=np.int64)
    for index, plane in enumerate(CONTAMINANTS):
        chosen = (numbers >> index & 1).astype(bool)
        flags[chosen] |= np.uint32(plane)
        expected[chosen] += CODES[plane.alias]
    convention = load_convention("maximask")
    np.testing.assert_array_equal(convention.from_planes(flags), expected)
    assert convention.from_planes(flags).max() < 2**15  # as the command writes it: int16
    np.testing.assert_array_equal(convention.to_planes(expected.astype(np.int16)), flags)


def test_planes_that_upstream_does_not_know_leave_the_codes_alone() -> None:
    others = MaskPlane.union(plane for plane in MaskPlane if plane.alias not in CODES)
    assert set(EXTRA_CLASSES) <= {plane for plane in MaskPlane if plane & others}
    flags = np.array([[int(others), int(others | MaskPlane.TRAIL)]], dtype=np.uint32)
    convention = load_convention("maximask")
    assert convention.from_planes(flags).tolist() == [[0, 64]]
    assert convention.untranslated(flags) == others
