"""Masks of observatories as small files: what their values mean, what told it, which reject."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits
from observatory_layouts import LAYOUTS, Layout

from astroclean import Frame
from astroclean.core.flags.conventions import load_convention
from astroclean.core.flags.planes import MaskPlane
from astroclean.errors import AstrocleanError, AstrocleanWarning
from astroclean.io.frames.read import Exposure, ReadSettings, open_exposure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IDS = [layout.name for layout in LAYOUTS]


def made(layout: Layout) -> tuple[fits.HDUList, list[int]]:
    """The file of a layout, each value in a pixel of its own, and the values."""
    values = [0, *layout.rejects, *layout.informs, *layout.unknown]
    quality = np.zeros((8, 12), dtype=np.int64)
    quality.ravel()[: len(values)] = values
    data = np.random.default_rng(1).normal(100, 5, quality.shape).astype(np.float32)
    primary = fits.PrimaryHDU(data if layout.science == "PRIMARY" else None)
    primary.header.update(layout.primary)
    hdus = fits.HDUList([primary])
    if layout.science != "PRIMARY":
        hdus.append(fits.ImageHDU(data, name=layout.science, ver=1))
    hdus[-1].header["BUNIT"] = "adu"
    dq = fits.ImageHDU(quality.astype(layout.dtype), name=layout.dq, ver=1)
    for key, value in layout.cards.items():
        dq.header[f"HIERARCH {key}" if len(key) > 8 else key] = value
    hdus.append(dq)
    return hdus, values


@contextlib.contextmanager
def opened(layout: Layout, folder: Path, **overrides: Any) -> Iterator[Exposure]:
    """Write the file of a layout and open it."""
    path = folder / f"{layout.name}.fits"
    made(layout)[0].writeto(path, overwrite=True)
    with open_exposure(path, ReadSettings(overrides=overrides)) as exposure:
        yield exposure


def rejected(exposure: Exposure, values: list[int]) -> set[int]:
    """The values whose pixels are masked; no pixel beyond them is."""
    mask = exposure.frame(exposure.slots[0]).mask.ravel()
    assert not mask[len(values) :].any()
    return {value for value, masked in zip(values, mask, strict=False) if masked}


def test_there_are_thirty_layouts() -> None:
    assert len(set(IDS)) == len(IDS) >= 30


@pytest.mark.parametrize("layout", LAYOUTS, ids=IDS)
def test_values_of_an_observatory(layout: Layout, tmp_path: Path) -> None:
    values = made(layout)[1]
    with opened(layout, tmp_path) as exposure:
        (slot,) = exposure.slots
        assert exposure.instrument.name == layout.instrument
        told = exposure.convention(slot)
        assert told is not None
        assert told[0].name == layout.convention
        assert layout.why in told[1]
        assert rejected(exposure, values) == set(layout.rejects)
        # One note a file, and only where something is not known.
        notes = [note for note in exposure.mask_notes() if "reject nothing" in note]
    assert len(notes) == bool(layout.unknown)
    is_codes = told[0].encoding == "codes"
    for value in layout.unknown:
        assert (f"code {value}:" if is_codes else f"({value})") in notes[0]
        assert is_codes or "bad_bits" in notes[0]


@pytest.mark.parametrize("layout", LAYOUTS, ids=IDS)
def test_a_window_reads_as_the_whole(layout: Layout, tmp_path: Path) -> None:
    with opened(layout, tmp_path) as exposure:
        (slot,) = exposure.slots
        # First the windows: the values in one of them must not tell what all mean.
        rows = [exposure.frame(slot, (slice(y, y + 1), slice(0, 12))).flags for y in range(8)]
        np.testing.assert_array_equal(np.concatenate(rows), exposure.frame(slot).flags)


@pytest.mark.parametrize("layout", LAYOUTS, ids=IDS)
@pytest.mark.parametrize("setting", ["bad_bits", "good_bits"])
def test_the_users_bits_take_the_place_of_every_convention(
    layout: Layout, setting: str, tmp_path: Path
) -> None:
    values = made(layout)[1]
    with opened(layout, tmp_path, **{setting: "4,32"}) as exposure:
        if setting == "bad_bits":
            expected = {v for v in values if v & (4 | 32)}
        else:
            expected = {v for v in values if v & ~(4 | 32)}
        assert rejected(exposure, values) == expected
        assert not exposure.mask_notes()
        (slot,) = exposure.slots
        found = exposure.frame(slot).flags
        assert set(np.unique(found)) <= {0, int(MaskPlane.BAD_PIXEL)}


def layout_named(name: str) -> Layout:
    """One of the table."""
    return next(layout for layout in LAYOUTS if layout.name == name)


def test_a_convention_of_the_user_goes_before_cards_and_camera(tmp_path: Path) -> None:
    layout = layout_named("rubin-comcam")
    with opened(layout, tmp_path, dq="boolean") as exposure:
        told = exposure.convention(exposure.slots[0])
        assert told is not None
        assert (told[0].name, told[1]) == ("boolean", "setting instrument.dq = boolean")
        values = made(layout)[1]
        assert rejected(exposure, values) == set(values) - {0}


def test_a_plane_that_a_file_declares_and_nobody_knows_is_told_by_its_name(tmp_path: Path) -> None:
    with opened(layout_named("rubin-dp2"), tmp_path) as exposure:
        (note,) = exposure.mask_notes()
    assert "bit 6 (64) NEW_PLANE: 1 pixel:" in note
    assert "convention 'lsst'" in note


def test_frames_of_a_file_share_one_note(tmp_path: Path) -> None:
    hdus = fits.HDUList([fits.PrimaryHDU()])
    for version in (1, 2, 3):
        hdus.append(fits.ImageHDU(np.ones((5, 6), np.float32), name="SCI", ver=version))
        quality = np.zeros((5, 6), np.int16)
        quality[0, :version] = 4
        quality[1, 0] = 2
        hdus.append(fits.ImageHDU(quality, name="DQ", ver=version))
    hdus.writeto(tmp_path / "three.fits")
    with open_exposure(tmp_path / "three.fits") as exposure:
        exposure.frame(exposure.slots[1])  # read or not, all are counted
        (note,) = exposure.mask_notes()
        assert "bit 1 (2): 3 pixels; bit 2 (4): 6 pixels" in note
        (own,) = exposure.mask_notes(exposure.slots[2:])
        assert "bit 1 (2): 1 pixel; bit 2 (4): 3 pixels" in own


def test_one_frame_read_in_python_warns(tmp_path: Path) -> None:
    made(layout_named("many-bits"))[0].writeto(tmp_path / "x.fits")
    with pytest.warns(AstrocleanWarning, match=r"bit 0 \(1\): 1 pixel;.*bad_bits"):
        frame = Frame.read(tmp_path / "x.fits[SCI]")
    assert not frame.mask.any()
    bad = Frame.read(tmp_path / "x.fits[SCI]", bad_bits="~1")
    assert bad.mask.sum() == 2
    with pytest.raises(AstrocleanError, match="bits"):
        Frame.read(tmp_path / "x.fits[SCI]", bad_bit="1")


@pytest.mark.parametrize(
    ("values", "rejecting"),
    [
        ([0, 1], {1}),
        ([0, 255], {255}),
        ([0, -1], {-1}),
        ([0, 100], {100}),
        ([0], set()),
        # A bit among several, or a bit that may mean anything.
        ([0, 1, 2], set()),
        ([0, 2], set()),
        ([0, 64], set()),
        ([0, 1, 255], set()),
    ],
)
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_values_of_an_unknown_camera(
    values: list[int], rejecting: set[int], dtype: type, tmp_path: Path
) -> None:
    quality = np.zeros((40, 9), dtype)
    quality.ravel()[: len(values)] = values
    data = fits.ImageHDU(np.ones(quality.shape, np.float32), name="SCI")
    hdus = fits.HDUList([fits.PrimaryHDU(), data, fits.ImageHDU(quality, name="DQ")])
    hdus.writeto(tmp_path / "x.fits")
    with open_exposure(tmp_path / "x.fits") as exposure:
        assert rejected(exposure, values) == rejecting
        is_plain = set(values) <= {0, 1}
        assert bool(exposure.mask_notes()) == (not is_plain)


@pytest.mark.parametrize("name", ["jwst", "decam", "maximask", "hst-acs"])
def test_a_mask_that_astroclean_wrote_names_its_convention(name: str, tmp_path: Path) -> None:
    flags = np.zeros((8, 12), dtype=np.uint32)
    flags[0, 0], flags[0, 1] = MaskPlane.COSMIC_RAY, MaskPlane.SATURATED
    data = fits.ImageHDU(np.ones(flags.shape, np.float32), name="SCI")
    mask = fits.ImageHDU(load_convention(name).from_planes(flags), name="MASK")
    mask.header["ACMASK"] = name
    fits.HDUList([fits.PrimaryHDU(), data, mask]).writeto(tmp_path / "x.fits")
    with open_exposure(tmp_path / "x.fits") as exposure:
        told = exposure.convention(exposure.slots[0])
        read = exposure.frame(exposure.slots[0]).flags
    assert told is not None
    assert (told[0].name, told[1]) == (name, "card ACMASK")
    assert (read & flags == flags).all()
