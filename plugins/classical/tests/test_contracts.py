"""What every stage holds, for those that have no further contract in their own tests."""

from __future__ import annotations

from typing import Any, ClassVar

from astroclean.testing.contracts import (
    DeblenderContract,
    DeconvolverContract,
    MaskerContract,
    SourceRemoverContract,
)


class TestBadpix(MaskerContract):
    plugin = "badpix"


class TestInterpolate(SourceRemoverContract):
    plugin = "interpolate"


class TestLACosmic(MaskerContract):
    plugin = "lacosmic"


class TestSaturation(MaskerContract):
    plugin = "saturation"
    options: ClassVar[dict[str, Any]] = {"level": 900.0}


class TestSep(DeblenderContract):
    plugin = "sep"
    options: ClassVar[dict[str, Any]] = {"noise": "map", "bh": 16, "bw": 16}


class TestPhotutils(DeblenderContract):
    plugin = "photutils"
    options: ClassVar[dict[str, Any]] = {"box": 16}


class TestRichardsonLucy(DeconvolverContract):
    plugin = "richardson-lucy"
