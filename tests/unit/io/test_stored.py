"""Frames that options name: found, hashed, read when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.io import fits
from pydantic import ValidationError

from astroclean.core.image.frame import Frame
from astroclean.core.image.sections import parse_section, section_text
from astroclean.core.stage.options import StageOptions
from astroclean.core.stage.resources import FrameResource
from astroclean.errors import FitsReadError
from astroclean.io.resources import load_resource, load_resources

if TYPE_CHECKING:
    from pathlib import Path


class Options(StageOptions):
    """Options with frames."""

    bias: FrameResource | None = None
    """Frames."""


def _file(path: Path, value: float, *, count: int = 1) -> Path:
    images = [
        fits.ImageHDU(np.full((4, 5), value + n, "f4"), name="CCD", ver=n + 1) for n in range(count)
    ]
    for hdu in images:
        hdu.header["BUNIT"], hdu.header["GAIN"] = "adu", 2.5
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(path, overwrite=True)
    return path


@pytest.mark.parametrize("given", ["b*.fits", ["b1.fits", "b2.fits"], ["b*.fits", "b1.fits"]])
def test_paths_lists_and_globs_name_frames(given: str | list[str], tmp_path: Path) -> None:
    _file(tmp_path / "b1.fits", 1)
    _file(tmp_path / "b2.fits", 2, count=2)
    options = Options(bias=given)
    assert options.record()["bias"] == given
    loaded = load_resources(options, base=tmp_path)
    frames = loaded.resources()["bias"].frames
    assert [f.name for f in frames] == ["b1.fits[CCD,1]", "b2.fits[CCD,1]", "b2.fits[CCD,2]"]
    assert [f.shape for f in frames] == [(4, 5)] * 3
    assert frames[0].header.detector.gain == 2.5
    assert [float(f.read().data.mean()) for f in frames] == [1, 2, 3]


def test_the_digest_is_of_names_and_content(tmp_path: Path) -> None:
    resource = FrameResource("b*.fits")
    _file(tmp_path / "b1.fits", 1)
    first = load_resource(resource, base=tmp_path).digest
    assert load_resource(resource, base=tmp_path).digest == first
    _file(tmp_path / "b2.fits", 1)
    second = load_resource(resource, base=tmp_path).digest
    (tmp_path / "b2.fits").rename(tmp_path / "b3.fits")
    third = load_resource(resource, base=tmp_path).digest
    assert len({first, second, third}) == 3


def test_a_file_that_was_changed_meanwhile_is_refused(tmp_path: Path) -> None:
    _file(tmp_path / "b1.fits", 1)
    (stored,) = load_resource(FrameResource("b1.fits"), base=tmp_path).content
    _file(tmp_path / "b1.fits", 7, count=2)
    with pytest.raises(FitsReadError, match="was changed"):
        stored.read()


def test_what_is_missing_or_no_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FitsReadError, match="no such file"):
        load_resource(FrameResource("b1.fits"), base=tmp_path)
    with pytest.raises(FitsReadError, match="no file matches"):
        load_resource(FrameResource("b*.fits"), base=tmp_path)
    for wrong in ("", ["a.fits", " "], 3, [], np.ones((2, 2))):
        with pytest.raises(ValidationError):
            Options(bias=wrong)


def test_frames_themselves_are_taken() -> None:
    frame = Frame(np.ones((3, 4)), unit="adu")
    options = Options(bias=[frame, frame])
    (first, _) = options.resources()["bias"].frames
    assert first.read() is frame
    assert first.shape == (3, 4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1:4,2:3]", (slice(1, 3), slice(0, 4))),
        ("[  17: 528,   1: 520]", (slice(0, 520), slice(16, 528))),
        ("[4:1,2:3]", None),
        ("[0:4,2:3]", None),
        ("[1:4]", None),
        ("[1:4:2,2:3]", None),
        ("", None),
        (None, None),
        (3, None),
    ],
)
def test_sections(text: object, expected: tuple[slice, slice] | None) -> None:
    assert parse_section(text) == expected
    if expected is not None:
        assert parse_section(section_text(*expected)) == expected
