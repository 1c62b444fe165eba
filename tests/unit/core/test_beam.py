"""Beams: a point source of 1 Jy is 1000 mJy/beam, whatever the unit of the map."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.wcs import WCS

from astroclean.core.image.grid import Grid
from astroclean.core.image.text_unit import TextUnit
from astroclean.core.psf.beam import beam_area, beam_cards, flux_unit_per_beam
from astroclean.core.psf.psf import Psf
from astroclean.errors import UnitError

SCALE = 6.0
PSF = Psf.gaussian(fwhm_pixels=18.1 / SCALE)
GAUSSIAN = np.pi / (4 * np.log(2)) * 18.1**2


def test_solid_angle_is_that_of_the_gaussian_that_pixels_have_widened() -> None:
    wide = np.hypot(18.1, SCALE * np.sqrt(8 * np.log(2) / 12))
    assert beam_area(PSF, SCALE) == pytest.approx(np.pi / (4 * np.log(2)) * wide**2, rel=0.01)
    fine = Psf.gaussian(fwhm_pixels=18.1)
    assert beam_area(fine, 1.0) == pytest.approx(GAUSSIAN, rel=0.01)


@pytest.mark.parametrize(
    ("unit", "values"),
    [
        (u.Jy / u.pix, 1.0),  # the light of a source, pixel by pixel, sums up to its flux
        (u.mJy / u.pix, 1e3),
        (u.MJy / u.sr, 1e-6 / (SCALE * u.arcsec).to_value(u.rad) ** 2),
        (u.Jy / u.arcsec**2, 1 / SCALE**2),
    ],
)
def test_a_source_of_1_jansky_has_a_peak_of_1000(unit: u.UnitBase, values: float) -> None:
    image = PSF.stamps[0] * values
    peak = image.max() * flux_unit_per_beam(unit, PSF, SCALE)
    assert peak == pytest.approx(1000.0, rel=1e-6)


def test_values_per_beam_do_not_depend_on_the_beam() -> None:
    assert flux_unit_per_beam(u.Jy / u.beam, PSF, SCALE) == pytest.approx(1000)
    assert flux_unit_per_beam(u.mJy / u.beam, PSF, SCALE) == pytest.approx(1)


@pytest.mark.parametrize(
    "unit", [u.adu, u.Jy, u.dimensionless_unscaled, u.mJy / u.s, TextUnit("Jy/bm")]
)
def test_other_units_are_refused_by_name(unit: u.UnitBase) -> None:
    with pytest.raises(UnitError, match="Jy/beam") as caught:
        flux_unit_per_beam(unit, PSF, SCALE)
    assert str(unit) in str(caught.value)


def _grid(scale: float) -> Grid:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.cdelt = -scale / 3600, scale / 3600
    return Grid((60, 60), wcs)


def test_beam_in_the_header_gives_the_flux_of_a_sum_of_pixels() -> None:
    image = PSF.stamps[0] / PSF.stamps[0].max() * 70  # mJy/beam
    cards = beam_cards(u.mJy / u.beam, PSF, _grid(SCALE))
    area = np.pi / (4 * np.log(2)) * cards["BMAJ"] * cards["BMIN"] * 3600**2
    assert image.sum() * SCALE**2 / area == pytest.approx(70, rel=1e-3)
    assert cards["BMAJ"] * 3600 == pytest.approx(18.5, abs=0.1)  # 18.1 and the pixel's width
    assert cards["BPA"] == 0


def test_a_beam_is_told_where_there_is_one_alone() -> None:
    beam, grid = u.mJy / u.beam, _grid(SCALE)
    y, x = np.mgrid[-15:16, -15:16]
    moffat = Psf((1 + (x**2 + y**2) / 4.0) ** -1.5)
    two = Psf(np.repeat(PSF.stamps, 2, axis=0), [[0, 0], [50, 50]], computed=True)
    for unit, psf, pixels in (
        (u.MJy / u.sr, PSF, grid),
        (None, PSF, grid),
        (TextUnit("Jy/bm"), PSF, grid),
        (beam, None, grid),
        (beam, PSF, Grid((60, 60))),
        (beam, PSF, None),
        (beam, moffat, grid),
        (beam, two, grid),
    ):
        assert beam_cards(unit, psf, pixels) == {}
