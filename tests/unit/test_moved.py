"""Names that plugins and users knew before keep working, and say the new ones."""

from __future__ import annotations

import importlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import astroclean
from astroclean.core.image.detector import Detector
from astroclean.core.image.frame import Frame
from astroclean.core.image.grid import Grid
from astroclean.core.stage.metrics import Share, Total
from astroclean.moved import MOVED


@pytest.mark.parametrize(
    ("old", "name"),
    [
        ("astroclean.core.frame", "Frame"),
        ("astroclean.core.kinds.mask", "Masker"),
        ("astroclean.core.planes", "MaskPlane"),
        ("astroclean.core.psf", "Psf"),
        ("astroclean.core.stage", "Stage"),
        ("astroclean.core.sources", "Sources"),
        ("astroclean.io.read", "open_exposure"),
        ("astroclean.inference.card", "NetworkCard"),
    ],
)
def test_old_names_are_the_new_ones(old: str, name: str) -> None:
    if old in MOVED and not MOVED[old].startswith(f"{old}."):
        sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=r"is (in )?astroclean\..* now; authors of plugins"):
        found = getattr(importlib.import_module(old), name)
    new = MOVED.get(old) or "astroclean.core.stage.kinds.mask"
    assert found is getattr(importlib.import_module(new), name)


def test_every_new_name_is_there() -> None:
    for new in MOVED.values():
        assert importlib.util.find_spec(new) is not None, new


def test_a_name_that_never_was_is_missing() -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("astroclean.core.nothing")
    with pytest.raises(AttributeError):
        importlib.import_module("astroclean.core.psf").Nothing  # noqa: B018 - it raises


def test_the_package_itself_uses_no_old_name() -> None:
    code = "import astroclean; [getattr(astroclean, n) for n in astroclean.__all__]"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert astroclean.__version__


@pytest.mark.parametrize(
    ("owner", "argument", "new"),
    [
        (Detector, {"ACGAIN": 2.0}, "Detector.from_meta"),
        (Total, np.ones((2, 3)), "Total.from_pixels"),
    ],
)
def test_old_names_of_methods_say_the_new_one(owner: Any, argument: Any, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=rf"{owner.__name__}\.of is {new} now"):
        made = owner.of(argument)
    assert made == getattr(owner, new.split(".")[1])(argument)


def test_old_names_of_attributes_say_the_new_one() -> None:
    share = Share(1, 4)
    with pytest.warns(DeprecationWarning, match=r"Share\.of is Share\.total now"):
        assert share.of == share.total == 4


def test_a_grid_is_from_its_frame_under_both_names() -> None:
    frame = Frame(np.zeros((3, 5)), unit="adu")
    assert Grid.from_frame(frame).shape == Grid.from_frame(frame).shape == (3, 5)
