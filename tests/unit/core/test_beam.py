"""Beams: a point source of 1 Jy is 1000 mJy/beam, whatever the unit of the map."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS

from astroclean.core.image.detector import DETECTOR_KEYWORDS
from astroclean.core.image.fluxes import flux_scale
from astroclean.core.image.frame import Frame
from astroclean.core.image.grid import Grid
from astroclean.core.image.text_unit import TextUnit
from astroclean.core.psf.beam import (
    beam_area,
    beam_cards,
    flux_unit_per_beam,
    header_beam,
    tell_of_beam,
)
from astroclean.core.psf.psf import Psf
from astroclean.core.stage.kinds.deconvolve import Deconvolver
from astroclean.core.stage.kinds.superres import SuperResolver
from astroclean.core.stage.results import Deconvolution, Upsampling
from astroclean.errors import AstrocleanWarning, SuspectWarning, UnitError
from astroclean.io.header.header_values import BASE, Context, Remarked, header_value
from astroclean.io.products.layers import layer_images

if TYPE_CHECKING:
    from astroclean.core.stage.stage import Stage

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


class _Sharper(Deconvolver):
    """Puts all light of a source into its middle pixel, or in a narrower PSF."""

    def deconvolve(self, frame: Frame) -> Deconvolution:
        return Deconvolution(frame.data.sum() * NARROW.stamps[0], NARROW)


class _Finer(SuperResolver):
    """Shares each pixel out among four."""

    def upsample(self, frame: Frame) -> Upsampling:
        ones = np.ones((2, 2))
        psf = Psf.gaussian(fwhm_pixels=2.5)
        return Upsampling(np.kron(frame.data, ones), psf, support=np.kron(frame.data * 0, ones))


NARROW = Psf.gaussian(fwhm_pixels=1.5)


def _map(**cards: float) -> Frame:
    """Return the map of a source of 70 mJy, in mJy per beam of a Gaussian of 18.1 arcsec."""
    part = SCALE**2 / GAUSSIAN
    grid = _grid(SCALE)
    side = NARROW.shape[0]
    image = PSF.at(0, 0)[
        tuple(slice(n // 2 - side // 2, n // 2 + side // 2 + 1) for n in PSF.shape)
    ]
    meta = {DETECTOR_KEYWORDS["pixel_scale"]: SCALE, **cards}
    image = image / image.sum() * 70 / part
    return Frame(image, unit=u.mJy / u.beam, wcs=grid.wcs, meta=meta, psf=PSF)


@pytest.mark.parametrize("stage", [_Sharper(), _Finer()], ids=["deconvolve", "superres"])
@pytest.mark.parametrize("told", [True, False], ids=["header", "psf"])
@pytest.mark.filterwarnings("ignore::astroclean.errors.AstrocleanWarning")
def test_a_sharper_image_keeps_its_fluxes_and_the_beam_of_its_values(
    stage: Stage, told: bool
) -> None:
    cards = {"BMAJ": 18.1 / 3600, "BMIN": 18.1 / 3600, "BPA": 12.0}
    frame = _map(**cards) if told else _map()
    result = stage.run(frame)
    scale = flux_scale(result.frame)
    assert scale.unit == u.mJy
    assert result.frame.data.sum() * scale.factor == pytest.approx(70, rel=0.01 if told else 0.06)
    assert stage.branch is not None
    layer = result.layers[stage.branch]
    common = fits.Header({"EXTVER": 1, "ACOWNER": "x", "ACWRITER": "x"})
    header = next(iter(layer_images(stage.branch, [layer], common))).header
    kept = {name: header[name] for name in ("BMAJ", "BMIN")}
    assert kept == {name: result.frame.meta[name] for name in kept}
    if told:
        assert {name: header[name] for name in cards} == cards
    # The image is narrower than that, so it is no width of its PSF to who reads the file.
    reader = header_value("psf_fwhm", BASE["psf_fwhm"], header, Context(), Remarked())
    assert reader is None


def test_the_beam_that_values_keep_is_told() -> None:
    with pytest.warns(AstrocleanWarning, match=r"beam of the input, 18\.1 x 18\.1 arcsec"):
        _Sharper().run(_map(BMAJ=18.1 / 3600, BMIN=18.1 / 3600))


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, "x", True, None])
def test_a_header_without_both_axes_tells_no_beam(value: object) -> None:
    assert header_beam({"BMAJ": 0.01, "BMIN": value}) == {}
    assert header_beam({"BMAJ": 0.01, "BMIN": 0.005}) == {"BMAJ": 0.01, "BMIN": 0.005}


@pytest.mark.parametrize("unit", ["mJy / beam", "Jy / pix"])
def test_a_beam_that_is_not_the_psf_is_told(unit: str) -> None:
    doubled = _map(BMAJ=36.2 / 3600, BMIN=36.2 / 3600).replace(unit=u.Unit(unit))
    with pytest.warns(AstrocleanWarning, match=r"a beam of 36\.2 x 36\.2 arcsec") as caught:
        tell_of_beam(doubled, PSF)
    # Where values do not depend on the beam, nothing is wrong with them.
    assert issubclass(caught[0].category, SuspectWarning) == ("beam" in unit)


@pytest.mark.parametrize("axes", [(18.1, 18.1), (19.6, 19.6), (19.0, 17.2), (17.0, 17.0)])
def test_a_beam_that_may_be_the_psf_is_not(axes: tuple[float, float]) -> None:
    frame = _map(BMAJ=axes[0] / 3600, BMIN=axes[1] / 3600)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tell_of_beam(frame, PSF)
        tell_of_beam(_map(), Psf.gaussian(fwhm_pixels=20))


def test_a_long_beam_is_no_round_psf() -> None:
    frame = _map(BMAJ=22.0 / 3600, BMIN=15.0 / 3600)
    with pytest.warns(AstrocleanWarning, match=r"22 x 15 arcsec .* wide by 1\.47.*by 1:"):
        tell_of_beam(frame, PSF)
    y, x = np.indices((61, 61)) - 30
    sigma_x, sigma_y = (PSF.fwhm_pixels / 2.3548 * factor for factor in (1.2, 1 / 1.2))
    long = Psf(np.exp(-0.5 * ((x / sigma_x) ** 2 + (y / sigma_y) ** 2))[np.newaxis])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tell_of_beam(frame, long)
