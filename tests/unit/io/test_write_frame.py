"""A frame written alone comes back as it was, and other programs can read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import fitsio
import numpy as np
import pytest

from astroclean import Frame
from astroclean.core.flags.planes import count_planes
from astroclean.core.image.uncertainty import deviation_of
from astroclean.errors import FitsWriteError
from astroclean.registry.load import load_stage
from astroclean.simulate.exposure import write_exposure
from astroclean.testing.frames import synthetic_frame

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import FitsVerify


@pytest.mark.parametrize("suffix", [".fits", ".fits.gz", ".fits.fz"])
def test_frame_comes_back_with_flags_uncertainty_and_sky(
    tmp_path: Path, suffix: str, fitsverify: FitsVerify
) -> None:
    frame = load_stage("lacosmic").run(synthetic_frame(seed=4)).frame
    path = tmp_path / f"frame{suffix}"
    frame.write(path)
    assert fitsverify.counts(path) == (0, 0)
    back = Frame.read(path)
    assert np.array_equal(back.data, frame.data, equal_nan=True)
    assert np.array_equal(back.flags, frame.flags)
    assert np.array_equal(deviation_of(back.uncertainty), deviation_of(frame.uncertainty))
    assert back.unit == frame.unit
    sky = back.wcs.pixel_to_world(10, 20), frame.wcs.pixel_to_world(10, 20)
    assert sky[0].separation(sky[1]).arcsec < 1e-9
    assert np.array_equal(fitsio.read(str(path), ext="FLAGS"), frame.flags)


def test_frame_read_with_a_cd_matrix_is_written_by_the_standard(
    tmp_path: Path, fitsverify: FitsVerify
) -> None:
    write_exposure(tmp_path / "raw.fits", seed=1, shape=(60, 70))
    frame = Frame.read(tmp_path / "raw.fits")
    frame.write(tmp_path / "copy.fits")
    assert fitsverify.counts(tmp_path / "copy.fits") == (0, 0)


def test_existing_file_is_kept_unless_asked(tmp_path: Path) -> None:
    frame = synthetic_frame(seed=4)
    path = tmp_path / "frame.fits"
    path.write_text("mine")
    with pytest.raises(FitsWriteError, match="overwrite=True"):
        frame.write(path)
    assert path.read_text() == "mine"
    frame.write(path, overwrite=True)
    assert count_planes(Frame.read(path).flags) == count_planes(frame.flags)
