"""Truth from the DQ of observatories: made up, and of DECam."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.io import fits

from astroclean.core.flags.conventions import load_convention
from astroclean.core.flags.planes import MaskPlane
from astroclean.errors import ConfigurationError
from astroclean.evaluation.observatory import classes_of_quality, observatory_dq
from astroclean.io.frames.read import ReadSettings

if TYPE_CHECKING:
    from pathlib import Path

DEFECTS = {"HOT_LINE", "DEAD_LINE", "HOT_PIXEL", "DEAD_PIXEL", "BAD_PIXEL"}


def names(planes: MaskPlane) -> set[str]:
    return {str(plane.name) for plane in MaskPlane if plane & planes}


def test_which_planes_answer_which_code_of_decam() -> None:
    decam = load_convention("decam")
    rows = [row for row in decam.values if row.sets & ~MaskPlane.NO_DATA]
    quality = np.array([[0, 1, 3, 4, 5, 8]], dtype=np.int32)
    classes = classes_of_quality(rows, quality, encoding="codes")
    assert names(classes["bad"].answers) == DEFECTS
    assert names(classes["cosmic ray"].answers) == {"COSMIC_RAY"}
    assert names(classes["long streak"].answers) == {"TRAIL"}
    for name, code in (("saturated", 3), ("bleed", 4)):
        assert names(classes[name].answers) == {"SATURATED"}
        np.testing.assert_array_equal(classes[name].true, quality == code)
        # The other of the two is neither true nor false.
        np.testing.assert_array_equal(classes[name].ignored, quality == 7 - code)
    both = classes["saturated or bleed"]
    np.testing.assert_array_equal(both.true, (quality == 3) | (quality == 4))
    assert both.ignored is None


def test_bits_of_one_pixel_count_in_each_class() -> None:
    stis = load_convention("hst-stis")
    rows = [row for row in stis.values if row.value in (256, 8192)]
    quality = np.array([[0, 256, 8192, 8448]], dtype=np.int16)
    classes = classes_of_quality(rows, quality, encoding="bits")
    (saturated,) = (c.true for c in classes.values() if names(c.answers) == {"SATURATED"})
    (hits,) = (c.true for c in classes.values() if names(c.answers) == {"COSMIC_RAY"})
    assert saturated.tolist() == [[False, True, False, True]]
    assert hits.tolist() == [[False, False, True, True]]


def test_real_cutouts_of_decam(real_data: Path) -> None:
    path = str(real_data / "decam_dq_cutouts_a.fits.gz")
    scenes = list(observatory_dq(path, ReadSettings()))
    assert len(scenes) == 5
    total = {
        name: sum(np.count_nonzero(scene.classes[name].true) for scene in scenes)
        for name in scenes[0].classes
    }
    assert total == {
        "bad": 151,
        "saturated": 2760,
        "bleed": 2297,
        "saturated or bleed": 5057,
        "cosmic ray": 177,
    }
    for scene in scenes:
        assert not scene.frame.flags.any()  # nothing tells a plugin what is true
        assert scene.frame.uncertainty is None


def test_pixels_without_a_value_stay_flagged(tmp_path: Path) -> None:
    path = tmp_path / "x.fits"
    quality = np.zeros((40, 40), np.int32)
    quality[3, 3], quality[5, 5] = 2, 5
    header = fits.Header({"INSTRUME": "DECam", "BUNIT": "adu"})
    science = fits.ImageHDU(np.ones((40, 40), np.float32), header, name="SCI")
    dq = fits.ImageHDU(quality, header, name="DQ")
    fits.HDUList([fits.PrimaryHDU(), science, dq]).writeto(path)
    (scene,) = observatory_dq(str(path), ReadSettings())
    assert np.argwhere(scene.frame.flags).tolist() == [[3, 3]]
    assert list(scene.classes) == ["cosmic ray"]


@pytest.mark.parametrize(("quality", "told"), [(None, "with DQ"), (0, "no pixel bad")])
def test_files_that_tell_nothing_are_refused(
    tmp_path: Path, quality: int | None, told: str
) -> None:
    path = tmp_path / "x.fits"
    header = fits.Header({"INSTRUME": "DECam", "BUNIT": "adu"})
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(np.ones((9, 9), np.float32), header, name="SCI")]
    if quality is not None:
        hdus.append(fits.ImageHDU(np.full((9, 9), quality, np.int32), header, name="DQ"))
    fits.HDUList(hdus).writeto(path)
    with pytest.raises(ConfigurationError, match=told):
        list(observatory_dq(str(path), ReadSettings()))
