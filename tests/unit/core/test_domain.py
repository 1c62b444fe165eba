"""`Domain`: how a frame differs from what a method is for."""

from __future__ import annotations

import numpy as np
import pytest

from astroclean.core.image.frame import Frame
from astroclean.core.psf.psf import Psf
from astroclean.core.stage.domain import Domain, combination_of, known_fwhm_pixels
from astroclean.inference.cards.card import NetworkCard


def frame_of(**meta: object) -> Frame:
    return Frame(np.zeros((9, 9)), unit="adu", meta=meta)


def test_what_a_frame_does_not_tell_is_not_compared() -> None:
    domain = Domain(instruments=("decam",), pixel_scale=(0.2, 0.3), fwhm_pixels=(2, 5), coadd=False)
    assert domain.differences(frame_of()) == ()
    assert Domain().differences(frame_of(ACINSTR="decam", NCOMBINE=4)) == ()


@pytest.mark.parametrize(
    ("meta", "told"),
    [
        ({"ACINSTR": "hst-stis"}, "instrument hst-stis, made for decam"),
        ({"ACPIXSC": 0.05}, "pixel scale 0.05 arcsec, made for 0.2 to 0.3"),
        ({"ACPIXSC": 0.25, "ACFWHM": 0.3}, "PSF width 1.2 pixels, made for 2 to 5"),
        ({"NCOMBINE": 4}, "4 exposures combined, made for single exposures"),
        ({"NDRIZIM": 2}, "2 exposures combined, made for single exposures"),
        ({"RESAMPT1": "LANCZOS3"}, "combined or resampled by SWarp, made for single exposures"),
    ],
)
def test_each_difference_is_a_clause(meta: dict[str, object], told: str) -> None:
    domain = Domain(instruments=("decam",), pixel_scale=(0.2, 0.3), fwhm_pixels=(2, 5), coadd=False)
    assert domain.differences(frame_of(**meta)) == (told,)


def test_a_measured_width_goes_before_what_is_known_and_the_psf_before_the_header() -> None:
    frame = frame_of(ACPIXSC=0.5, ACFWHM=1.5)
    assert known_fwhm_pixels(frame) == pytest.approx(3)
    with_psf = frame.replace(psf=Psf.gaussian(fwhm_pixels=6))
    assert known_fwhm_pixels(with_psf) == pytest.approx(6, rel=0.05)
    domain = Domain(fwhm_pixels=(2, 5))
    assert domain.differences(frame) == ()
    assert domain.differences(frame, fwhm_pixels=1.5) != ()
    assert domain.differences(with_psf, of="trained on")[0].endswith("trained on 2 to 5")


@pytest.mark.parametrize("value", [0, 1, -1, "", "many", float("nan"), float("inf"), None, True])
def test_counts_of_one_or_of_nonsense_are_no_combination(value: object) -> None:
    assert combination_of({"NCOMBINE": value}) is None


def test_on_coadds_a_single_exposure_differs() -> None:
    assert Domain(coadd=True).differences(frame_of(NCOMBINE=1)) != ()
    assert Domain(coadd=True).differences(frame_of(NCOMBINE=9)) == ()


def test_cards_of_networks_hold_the_same_object() -> None:
    assert NetworkCard.model_fields["domain"].annotation is Domain
