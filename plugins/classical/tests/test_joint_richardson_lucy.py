"""`joint-richardson-lucy`: sources of several maps come back in one, finer, with their fluxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from astroclean_classical.joint.stage import JointRichardsonLucy, JointRichardsonLucyOptions
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from astropy.wcs import WCS

from astroclean.core.image.frame import Frame
from astroclean.core.image.frameset import FrameSet
from astroclean.core.psf.beam import flux_unit_per_beam
from astroclean.core.psf.psf import Psf
from astroclean.core.stage.results import Outcome
from astroclean.errors import AstrocleanWarning, StageError, UnitError
from astroclean.testing.contracts import SuperResolverContract

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from astroclean.core.stage.results import StageResult

FIELD = 360.0
"""Side in arcsec."""
PIXELS = {"250": 6.0, "350": 8.0, "500": 12.0}
BEAMS = {"250": 18.1, "350": 24.9, "500": 36.6}
COLORS = {"250": 1.9, "350": 1.5, "500": 0.81}
SOURCES = ((-90.0, -60.0, 20.0), (-76.0, -60.0, 15.0), (80.0, 70.0, 30.0), (60.0, -90.0, 12.0))
"""East and north in arcsec of the middle, mJy at 450 um; the first two are one to every beam."""
MJY = u.mJy / u.beam


def wcs_of(side: int, scale: float, angle: float = 0.0) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval = 150.0, 2.0
    wcs.wcs.crpix = (side + 1) / 2, (side + 1) / 2
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    wcs.wcs.cd = scale / 3600 * np.array([[-cosine, sine], [sine, cosine]])
    return WCS(wcs.to_header())  # with the digits that a file has


def map_of(band: str, *, unit: Any = MJY, level: float = 0.0, angle: float = 0.0) -> Frame:
    """Return a map of the sources with noise of .5 mJy/beam."""
    scale, side = PIXELS[band], int(FIELD / PIXELS[band])
    wcs = wcs_of(side, scale, angle)
    y, x = np.indices((side, side))
    # A beam that pixels have not widened, as map makers give it.
    reach = np.arange(-int(90 / scale), int(90 / scale) + 1) * scale
    line = np.exp(-4 * np.log(2) * reach**2 / BEAMS[band] ** 2)
    psf = Psf(np.outer(line, line), computed=True)
    image = np.random.default_rng(int(band)).normal(level, 0.5, (side, side))
    for east, north, flux in SOURCES:
        x0, y0 = pixel_of(wcs, east, north)
        square = ((x - x0) ** 2 + (y - y0) ** 2) * scale**2
        image += COLORS[band] * flux * np.exp(-4 * np.log(2) * square / BEAMS[band] ** 2)
    factor = flux_unit_per_beam(unit, psf, scale)
    noise = StdDevUncertainty(np.full(image.shape, 0.5 / factor, np.float32))
    return Frame(
        image / factor, unit=unit, uncertainty=noise, wcs=wcs, psf=psf, frame_id=f"{band}.fits"
    )


def pixel_of(wcs: WCS, east: float, north: float) -> tuple[float, float]:
    ra = 150.0 + east / 3600 / np.cos(np.radians(2.0))
    x, y = wcs.world_to_pixel_values(ra, 2.0 + north / 3600)
    return float(x), float(y)


def maps(bands: str = "250 350 500", **settings: Any) -> FrameSet:
    return FrameSet({band: map_of(band, **settings) for band in bands.split()})


def joined(frames: FrameSet, **options: Any) -> StageResult:
    results = JointRichardsonLucy(JointRichardsonLucyOptions(**options)).run_set(frames)
    first, *others = frames.bands
    assert all(results[band].outcome == Outcome.NO_WORK for band in others)
    return results[first]


class TestContract(SuperResolverContract):
    plugin = "joint-richardson-lucy"
    options: ClassVar[dict[str, Any]] = {"iterations": 5}

    @pytest.fixture
    def frame(self) -> Frame:
        return map_of("250")

    @pytest.fixture
    def bands(self) -> FrameSet:
        return maps()


def assert_found(result: StageResult, *, rel: float, within: float = 2.0) -> None:
    """Check each source of the truth against the catalogue."""
    table, wcs = result.frame.sources.table, result.frame.wcs
    for east, north, flux in SOURCES:
        x, y = pixel_of(wcs, east, north)
        distance = np.hypot(table["x"] - x, table["y"] - y)
        nearest = int(np.argmin(distance))
        assert distance[nearest] < within
        assert table["flux"][nearest].to_value("mJy") == pytest.approx(flux, rel=rel)


@pytest.mark.parametrize("angle", [0.0, 27.0])
def test_sources_come_back_at_their_places_with_their_fluxes(angle: float) -> None:
    frames = maps()
    frames = frames.replace(**{"350": map_of("350", angle=angle)})
    result = joined(frames, iterations=300)
    assert_found(result, rel=0.1)
    layer = result.layers["SUPERRES"]
    assert layer.unit == MJY
    assert layer.grid.shape == (360, 360)
    assert layer.grid.pixel_scale == pytest.approx(1.0)
    assert len(result.frame.sources) == len(SOURCES)
    x, y = pixel_of(layer.grid.wcs, *SOURCES[2][:2])
    peak = layer.data[round(y) - 3 : round(y) + 4, round(x) - 3 : round(x) + 4].max()
    assert 0.6 * SOURCES[2][2] < peak < 1.05 * SOURCES[2][2]
    assert 7.9 < result.metrics["source fwhm"] < 11


def test_sum_over_the_area_of_the_beam_is_the_flux_of_all() -> None:
    result = joined(maps())
    layer = result.layers["SUPERRES"]
    wcs = layer.grid.wcs
    total = 0.0
    for east, north in ((-83.0, -60.0), (80.0, 70.0), (60.0, -90.0)):
        x, y = (round(place) for place in pixel_of(wcs, east, north))
        total += float(layer.data[y - 28 : y + 29, x - 28 : x + 29].sum())
    assert result.frame.meta["BMAJ"] * 3600 == pytest.approx(7.9, rel=1e-3)
    area = result.frame.meta["BMAJ"] * result.frame.meta["BMIN"] * 3600**2 * np.pi / 4 / np.log(2)
    assert total / area == pytest.approx(sum(flux for *_, flux in SOURCES), rel=0.06)


@pytest.mark.parametrize("unit", ["Jy / beam", "Jy / pix", "MJy / sr"])
def test_unit_and_zero_point_of_the_maps_do_not_matter(unit: str) -> None:
    plain = joined(maps(), iterations=20)
    other = joined(maps(unit=u.Unit(unit), level=30.0), iterations=20)
    ours, theirs = (result.layers["SUPERRES"].data for result in (plain, other))
    np.testing.assert_allclose(theirs, ours, atol=0.02 * ours.max())
    assert other.frame.unit == MJY


def test_borders_and_holes_without_data_stay_so() -> None:
    frames = maps()
    data = frames["250"].data.copy()
    data[:, :12] = np.nan
    data[40, 40] = np.nan
    frames = frames.replace(**{"250": frames["250"].replace(data=data)})
    result = joined(frames)
    layers = result.layers
    nan = np.isnan(layers["SUPERRES"].data)
    assert nan[:, :72].all()
    assert nan[240:246, 240:246].all()
    assert nan.sum() == 360 * 72 + 36
    support = layers["SUPPORT"].data
    assert support.min() >= 0
    assert support[180, 180] == pytest.approx(1, abs=0.02)
    assert support[180, 40] < 0.5 < support[180, 100]
    table = result.frame.sources.table
    assert np.isfinite(table["flux"].value).all()
    assert (table["x"] > 71).all()
    for east, north, flux in SOURCES[2:]:
        x, y = pixel_of(result.frame.wcs, east, north)
        nearest = int(np.argmin(np.hypot(table["x"] - x, table["y"] - y)))
        assert table["flux"][nearest].to_value("mJy") == pytest.approx(flux, rel=0.15)


@pytest.mark.parametrize("bands", ["250 500", "250 350", "350 500"])
def test_bands_may_be_missing(bands: str) -> None:
    result = joined(maps(bands), iterations=200)
    assert result.metrics["bands"] == 2
    table = result.frame.sources.table
    x, y = pixel_of(result.frame.wcs, *SOURCES[2][:2])
    nearest = int(np.argmin(np.hypot(table["x"] - x, table["y"] - y)))
    assert table["flux"][nearest].to_value("mJy") == pytest.approx(SOURCES[2][2], rel=0.15)


@pytest.mark.parametrize("band", ["250", "500"])
def test_a_map_alone_is_of_the_band_that_its_beam_tells(band: str) -> None:
    frame = map_of(band)
    result = JointRichardsonLucy().run(frame)
    found = result.frame.sources.table["flux"].to_value("mJy")
    # By the color of another band, it would be twice as much or half.
    alone = [flux for *_, flux in SOURCES[2:3]]
    assert np.min(np.abs(found[:, None] / alone - 1), axis=0) < 0.15


def test_other_beams_names_and_units_are_refused() -> None:
    wide = map_of("250").replace(psf=Psf.gaussian(fwhm_pixels=8.0 / 6))
    with pytest.raises(StageError, match=r"beam.*FWHM"):
        JointRichardsonLucy().run(wide)
    frame = map_of("250")
    with pytest.raises(StageError, match=r"250, 350, 500.*got g"):
        JointRichardsonLucy().run_set(FrameSet({"g": frame, "r": frame}))
    adu = frame.replace(unit=u.adu, uncertainty=None)
    with pytest.raises(UnitError, match="flux density"):
        JointRichardsonLucy().run(adu)
    with pytest.raises(UnitError, match="flux density"):
        JointRichardsonLucy().check_header(adu)
    with pytest.raises(StageError, match="wcs"):
        JointRichardsonLucy().run(frame.replace(wcs=None))
    oblong = frame.wcs.deepcopy()
    oblong.wcs.cdelt = oblong.wcs.cdelt * [1.1, 1.0]
    with pytest.raises(StageError, match="square"):
        JointRichardsonLucy().run(frame.replace(wcs=oblong))


def test_a_band_without_color_is_told_and_not_used() -> None:
    frames = maps()
    more = FrameSet({**frames.frames, "24": map_of("250")})
    with pytest.warns(AstrocleanWarning, match="bands 24 are not used"):
        result = joined(more, iterations=5)
    plain = joined(frames, iterations=5)
    np.testing.assert_array_equal(result.frame.data, plain.frame.data)


def test_a_band_elsewhere_on_the_sky_is_refused() -> None:
    frames = maps("250 350")
    far = frames["350"].wcs.deepcopy()
    far.wcs.crval = 10.0, -40.0
    with pytest.raises(StageError, match=r"350\.fits.*does not lie on the first band"):
        joined(frames.replace(**{"350": frames["350"].replace(wcs=far)}))


def test_cirrus_is_taken_off_and_sources_stay() -> None:
    frames = maps()
    tilted = {}
    for band in frames:
        _, nx = frames[band].shape
        slope = np.linspace(-60, 60, nx) * COLORS[band]
        tilted[band] = frames[band].replace(data=frames[band].data + slope)
    result = joined(FrameSet(tilted), iterations=300, background=120.0)
    table = result.frame.sources.table
    x, y = pixel_of(result.frame.wcs, *SOURCES[2][:2])
    nearest = int(np.argmin(np.hypot(table["x"] - x, table["y"] - y)))
    assert table["flux"][nearest].to_value("mJy") == pytest.approx(SOURCES[2][2], rel=0.25)


def test_faint_peaks_are_left_out_by_flux_and_by_noise() -> None:
    frames = maps()
    faint = joined(frames, flux_limit=0.1, nsigma=1)
    assert len(faint.frame.sources) > len(SOURCES)
    assert len(joined(frames, flux_limit=18).frame.sources) == 2
    table = joined(frames, nsigma=30, flux_limit=0.1).frame.sources.table
    assert (table["snr"] >= 30).all()
    assert (np.diff(table["flux"].value) <= 0).all()


def test_simulated_field_is_nearer_to_its_truth_than_the_narrowest_band() -> None:
    from scipy.ndimage import zoom

    from astroclean.simulate.far_infrared.scene import simulate_far_infrared

    scene = simulate_far_infrared(seed=11, shape=(50, 50))
    result = joined(FrameSet({band: scene.bands[band].frame for band in ("250", "350", "500")}))
    truth = np.asarray(scene.fine.data).ravel()

    def likeness(image: np.ndarray) -> float:
        return float(np.corrcoef(image.ravel(), truth)[0, 1])

    alone = zoom(scene.bands["250"].frame.data, 6, order=3, grid_mode=True, mode="nearest")
    assert likeness(result.frame.data) > 0.8 > likeness(alone)


def test_real_map(real_data: Callable[[str], Path]) -> None:
    frame = Frame.read(real_data("herschel_spire250_ngc5584.fits.gz"))[200:340, 200:340]
    path = real_data("psf_herschel_spire250_measured_beam_1arcsec.fits.gz")
    with pytest.warns(AstrocleanWarning, match="scaled"):
        psf = Psf.read(path, pixel_scale_arcsec=6.0)
    result = JointRichardsonLucy().run(frame.replace(psf=psf))
    assert result.frame.shape == (840, 840)
    assert np.isfinite(result.frame.data).all()
    assert result.frame.data.min() >= 0
    table = result.frame.sources.table
    assert 20 < len(table) < 500
    # The galaxy is resolved: its light is there, at its place.
    y, x = np.unravel_index(np.argmax(frame.data), frame.shape)
    brightest = table[:5]
    near = np.hypot(brightest["x"] / 6 - x, brightest["y"] / 6 - y)
    assert near.min() < 10
