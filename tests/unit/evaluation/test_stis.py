"""Truth that two exposures of one field tell: made up, and of HST STIS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.nddata import StdDevUncertainty

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.errors import ConfigurationError
from astroclean.evaluation.stis import difference_truth, stis_pair
from astroclean.io.frames.read import ReadSettings

if TYPE_CHECKING:
    from pathlib import Path


def frames() -> tuple[Frame, Frame]:
    first = np.zeros((9, 9))
    first[4, 4], first[1, 1] = 100, 12
    deviation = StdDevUncertainty(np.ones((9, 9), np.float32))
    return (
        Frame(first, unit="adu", uncertainty=deviation),
        Frame(np.zeros((9, 9)), unit="adu", uncertainty=deviation),
    )


def test_positives_negatives_and_the_rest() -> None:
    frame, other = frames()
    quality = np.zeros((9, 9), dtype=np.int16)
    quality[4, 4] = quality[1, 7] = 8192
    planes, unsure = difference_truth(frame, other, quality)
    assert planes[4, 4] == MaskPlane.COSMIC_RAY
    assert unsure[1, 7]  # the bit, but no difference
    assert unsure[4, 5]  # beside one
    assert planes[1, 1] == 0  # a difference, but not the bit
    assert not unsure[1, 1]
    assert np.count_nonzero(planes) == 1
    assert np.count_nonzero(unsure) == 9 + 8


def test_without_uncertainty_there_is_no_truth() -> None:
    frame, other = frames()
    with pytest.raises(ConfigurationError, match="uncertainties"):
        difference_truth(frame, other.replace(uncertainty=None), np.zeros((9, 9), np.int16))


def test_hits_of_the_real_pair(real_data: Path) -> None:
    path = real_data / "hst_stis_m33_pair_top_flt.fits.gz"
    scenes = list(stis_pair(str(path), ReadSettings()))
    hits = [(s.planes & MaskPlane.COSMIC_RAY) != 0 for s in scenes]
    assert [np.count_nonzero(h) for h in hits] == [880, 791]
    # Hot pixels and bad reference pixels are rejected already, and not scored.
    scored = [np.count_nonzero(h & ~s.frame.mask) for h, s in zip(hits, scenes, strict=True)]
    assert scored == [738, 695]
    for scene in scenes:
        assert not scene.frame.where("COSMIC_RAY").any()
        assert set(np.unique(scene.planes)) == {0, MaskPlane.COSMIC_RAY}


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.fits"
    frames()[0].write(path)
    with pytest.raises(ConfigurationError, match="two exposures"):
        list(stis_pair(str(path), ReadSettings()))
