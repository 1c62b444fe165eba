"""What shines in the far infrared: laws of light, dust and number; beams that files show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from astroclean.core.psf.psf import Psf
from astroclean.errors import PsfError
from astroclean.simulate.far_infrared.band import MapRange
from astroclean.simulate.far_infrared.light import Beam, Light
from astroclean.simulate.far_infrared.measured_beam import MeasuredBeam, read_beam
from astroclean.simulate.far_infrared.places import clustered_places
from astroclean.simulate.far_infrared.population import (
    PopulationRange,
    _of_luminosity,
    draw_population,
)
from astroclean.simulate.far_infrared.scene import FarInfraredConfig, simulate_far_infrared
from astroclean.simulate.far_infrared.spectrum import (
    band_fluxes,
    comoving_volume,
    luminosity_distance,
    mid_infrared,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

GRID = (48, 54)
LIMITS = {
    "brighter": (0.0, 0.0),
    "denser": (0.0, 0.0),
    "faint_slope": (1.2, 1.2),
    "faintest": 1.0,
}


def gaussian(x: float, y: float, fwhm: float) -> NDArray[np.float64]:
    """Return a Gaussian of peak 1 on a grid that goes round."""
    rows, columns = np.indices(GRID)
    dy, dx = (
        (place - middle + side / 2) % side - side / 2
        for place, middle, side in ((rows, y, GRID[0]), (columns, x, GRID[1]))
    )
    return np.asarray(np.exp(-4 * np.log(2) * (dx**2 + dy**2) / fwhm**2))


places = st.tuples(
    st.floats(0, GRID[1], exclude_max=True),
    st.floats(0, GRID[0], exclude_max=True),
    st.floats(0.01, 1e4),
)


@given(sources=st.lists(places, min_size=1, max_size=4), fwhm=st.floats(4, 9))
@settings(max_examples=60, deadline=None)
def test_light_shows_sources_wherever_they_lie_and_adds_them(
    sources: list[tuple[float, float, float]], fwhm: float
) -> None:
    x, y, flux = np.array(sources).T
    seen = Light(x, y, flux, shape=GRID, pixel=1.0).seen(Beam(fwhm))
    expected = sum(f * gaussian(a, b, fwhm) for a, b, f in sources)
    np.testing.assert_allclose(seen, expected, atol=2e-3 * flux.sum())
    area = np.pi * fwhm**2 / (4 * np.log(2))
    assert seen.sum() == pytest.approx(flux.sum() * area, rel=1e-6)


@given(
    fwhm=st.floats(6, 9),
    ellipticity=st.floats(0, 0.2),
    angle=st.floats(0, 3),
    wings=st.floats(0, 1),
)
@settings(max_examples=30, deadline=None)
def test_transfer_and_stamp_tell_the_same_beam(
    fwhm: float, ellipticity: float, angle: float, wings: float
) -> None:
    beam = Beam(fwhm, ellipticity=ellipticity, angle=angle, wings=wings)
    middle = np.array([60.0])
    light = Light(middle, middle, np.array([1.0]), shape=(121, 121), pixel=1.0)
    stamp = beam.stamp(1.0)
    half = min(stamp.shape[0] // 2, 30)
    inner = slice(stamp.shape[0] // 2 - half, stamp.shape[0] // 2 + half + 1)
    seen = light.seen(beam)[60 - half : 61 + half, 60 - half : 61 + half]
    # What the wings of the periodic grid add is not in the stamp.
    np.testing.assert_allclose(seen, stamp[inner, inner], atol=2e-3)


def beam_file(folder: Path, *, pixel: float = 1.3, name: str = "", side: int = 140) -> Path:
    """Write an elliptical beam of 18.1 arcsec whose middle is no pixel."""
    rows, columns = np.indices((side, side))
    dy, dx = rows - 70.3, columns - 68.6
    c, s, sigma = np.cos(0.5), np.sin(0.5), 18.1 / 2.3548 / pixel
    square = ((c * dx + s * dy) / 1.1) ** 2 + ((c * dy - s * dx) / 0.9) ** 2
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"})
    header.update(CDELT1=-pixel / 3600, CDELT2=pixel / 3600, CUNIT1="deg", CUNIT2="deg")
    image = fits.ImageHDU(7.0 * np.exp(-square / 2 / sigma**2), header, name=name)
    path = folder / "beam.fits"
    other = fits.ImageHDU(np.ones((9, 9)), header, name="COVERAGE")
    fits.HDUList([fits.PrimaryHDU(), other, image] if name else [fits.PrimaryHDU(), image]).writeto(
        path, overwrite=True
    )
    return path


@pytest.mark.parametrize("pixel", [0.7, 1.0, 1.3, 2.5])
def test_a_beam_of_a_file_is_that_of_its_formula(tmp_path: Path, pixel: float) -> None:
    measured = read_beam(beam_file(tmp_path, pixel=pixel), "250")
    true = Beam(18.1, ellipticity=0.1, angle=0.5)
    assert measured.pixel == pytest.approx(pixel)
    x, y = np.array([70.0, 40.37]), np.array([60.0, 90.81])
    light = Light(x, y, np.array([3.0, 1.0]), shape=(150, 160), pixel=1.0)
    np.testing.assert_allclose(light.seen(measured), light.seen(true), atol=3e-3)
    for step in (1.0, 6.0):
        stamps = [beam.stamp(step) for beam in (measured, true)]
        half = min(stamp.shape[0] // 2 for stamp in stamps)
        inner = [
            stamp[tuple(slice(side // 2 - half, side // 2 + half + 1) for side in stamp.shape)]
            for stamp in stamps
        ]
        np.testing.assert_allclose(*inner, atol=3e-3)
        assert stamps[0][tuple(side // 2 for side in stamps[0].shape)] == pytest.approx(1, abs=1e-4)
    wider = measured.stretched(1.2)
    assert light.seen(wider).sum() == pytest.approx(1.44 * light.seen(measured).sum(), rel=1e-3)


@pytest.mark.parametrize("told", ["file", "gaussian"])
def test_maps_are_seen_through_the_beam_of_the_file(tmp_path: Path, told: str) -> None:
    path = beam_file(tmp_path, name="psw")
    quiet: dict[str, Any] = {"noise": (1e-6, 1e-6), "correlated": (0, 0)}
    given: dict[str, Any] = {"beam_files": {"250": path}, "beam_told": told}
    maps = [
        MapRange(**quiet, ellipticity=(0.1, 0.1)),
        MapRange(**quiet, **given),
    ]
    one, two = (
        simulate_far_infrared(seed=1, shape=(30, 30), config=FarInfraredConfig(maps=limits))
        for limits in maps
    )
    # The same galaxies, gains and shifts are drawn with a file as without one.
    np.testing.assert_array_equal(one.fine.data, two.fine.data)
    assert one.bands["500"].frame.data.shape == two.bands["500"].frame.data.shape
    first, second = one.frame.data, two.frame.data
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.97
    assert np.abs(first - second).max() > 0.1  # the angles of the two beams differ
    stamp = two.frame.psf.stamps[0]
    is_round = np.allclose(stamp, stamp.T, atol=1e-6)
    assert is_round is (told == "gaussian")
    if told == "file":
        expected = Psf(read_beam(path, "250").stamp(6.0), computed=True)
        np.testing.assert_array_equal(stamp, expected.stamps[0])


def test_files_that_show_no_beam_are_refused_with_their_name(tmp_path: Path) -> None:
    with pytest.raises(PsfError, match="no such file"):
        read_beam(tmp_path / "none.fits", "250")
    several = beam_file(tmp_path, name="psw")
    with pytest.raises(PsfError, match=r"350 or PMW .*COVERAGE.*PSW"):
        read_beam(several, "350")
    holes = tmp_path / "holes.fits"
    image = np.ones((9, 9))
    image[4, 4] = np.nan
    fits.PrimaryHDU(image, fits.getheader(several, 1)).writeto(holes)
    with pytest.raises(PsfError, match=r"holes\.fits.*1 not finite"):
        read_beam(holes, "250")
    bare = tmp_path / "bare.fits"
    fits.PrimaryHDU(np.ones((9, 9))).writeto(bare)
    with pytest.raises(PsfError, match="must tell the size"):
        read_beam(bare, "250")
    with pytest.raises(PsfError, match="light"):
        MeasuredBeam(np.zeros((9, 9)), 1.0)


def test_beams_of_spire_are_as_wide_as_published(real_data: Path) -> None:
    model = real_data / "psf_model_herschel_spire_theoretical.fits.gz"
    measured = real_data / "psf_herschel_spire250_measured_beam_1arcsec.fits.gz"
    files = [(measured, "250", 18.2), (model, "250", 17.8), (model, "350", 24.8)]
    for path, band, fwhm in [*files, (model, "500", 35.6)]:
        if not path.is_file():
            pytest.skip(f"{path.name} is not in the folder of real data")
        beam = read_beam(path, band)
        psf = Psf(beam.stamp(2.0), computed=True)
        assert psf.fwhm_pixels * 2 == pytest.approx(fwhm, abs=0.6), (path.name, band)
        middle = np.array([80.0])
        light = Light(middle + 0.4, middle, np.array([5.0]), shape=(180, 190), pixel=1.0)
        assert light.seen(beam).max() == pytest.approx(5.0, rel=0.02)
    # Solid angle, arcsec2: more than the Gaussian of its width, for it has wings.
    zero = np.zeros((1, 1))
    area = read_beam(measured, "250").transfer(zero, zero, 1.0)[0, 0].real
    assert 1.1 < area / (np.pi * 18.2**2 / (4 * np.log(2))) < 1.35


def variance(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return the variance of counts in cells of 60 arcsec over their mean."""
    cells = np.histogram2d(y, x, bins=20, range=[[-0.5, 1199.5]] * 2)[0]
    return float(cells.var() / cells.mean())


def test_clustering_raises_the_variance_of_counts_in_cells() -> None:
    z = np.full(20000, 1.2)
    spread = []
    for strength in (0.0, 0.3, 0.8):
        rng = np.random.default_rng(4)
        x, y = clustered_places(rng, z, shape=(1200, 1200), pixel=1.0, strength=strength)
        for place in (x, y):
            assert -0.5 <= place.min() < 10
            assert 1190 < place.max() <= 1199.5
        spread.append(variance(x, y))
    assert spread[0] == pytest.approx(1, abs=0.25)  # 400 cells: 7 percent
    assert spread[0] < 1.4 < spread[1] < spread[2]


def test_only_galaxies_of_like_redshift_cluster_together() -> None:
    near, far = np.full(20000, 0.8), np.full(20000, 2.0)
    rng = np.random.default_rng(4)
    x, y = clustered_places(
        rng, np.concatenate([near, far]), shape=(1200, 1200), pixel=1.0, strength=0.8
    )
    cells = [
        np.histogram2d(y[part], x[part], bins=20, range=[[-0.5, 1199.5]] * 2)[0].ravel()
        for part in (slice(0, 20000), slice(20000, None))
    ]
    assert abs(np.corrcoef(*cells)[0, 1]) < 0.3
    assert np.corrcoef(cells[0], cells[0])[0, 1] > 0.99


def test_what_dust_radiates_adds_up_to_its_luminosity() -> None:
    sun, mpc, light = 3.828e26, 3.0857e22, 2.99792458e14
    for dust in ((0.5, 25.0, 1.6), (2.0, 35.0, 1.8), (4.0, 50.0, 2.0)):
        z, _, beta = dust
        galaxy = [np.array([value]) for value in (1e12, *dust)]
        rest = np.geomspace(8, 1000, 4000)
        seen = band_fluxes(*galaxy, rest * (1 + z))[0]
        hertz = light / (rest * (1 + z))
        power = -np.trapezoid(seen * 1e-29, hertz)  # W/m2
        area = 4 * np.pi * (luminosity_distance(np.array([z]))[0] * mpc) ** 2
        assert power * area / sun == pytest.approx(1e12, rel=0.02)
        # Far from the peak, a modified black body falls as a power of the wavelength.
        long = band_fluxes(*galaxy, (2e4, 4e4))[0]
        assert np.log2(long[0] / long[1]) == pytest.approx(2 + beta, abs=0.1)


def test_warm_and_near_galaxies_are_blue() -> None:
    def color(z: float, temperature: float) -> float:
        unit = np.ones(1)
        first, last = band_fluxes(unit, z * unit, temperature * unit, 1.8 * unit, (250, 500))[0]
        return float(first / last)

    assert color(1.0, 35) > color(2.0, 35) > color(4.0, 35)
    assert color(2.0, 45) > color(2.0, 35) > color(2.0, 25)


def test_pah_make_galaxies_at_redshift_two_bright_at_24_um() -> None:
    z = np.array([1.5, 2.1])  # the trough of the silicates, and the band at 7.7 um, at 24 um
    flux = mid_infrared(np.full(2, 1e12), z)
    nearer = luminosity_distance(z)[1] ** 2 / luminosity_distance(z)[0] ** 2
    assert flux[1] * nearer > 1.5 * flux[0]
    assert 0.05 < flux[1] < 0.5  # mJy: about .15 for 10^12 suns at z = 2 (Elbaz et al. 2011)


def test_distances_are_those_of_astropy() -> None:
    from astropy.cosmology import FlatLambdaCDM

    cosmology, z = FlatLambdaCDM(H0=70, Om0=0.3), np.array([0.11, 1.03, 2.7, 5.9])
    np.testing.assert_allclose(
        luminosity_distance(z), cosmology.luminosity_distance(z).value, rtol=1e-3
    )
    np.testing.assert_allclose(
        comoving_volume(z),
        cosmology.differential_comoving_volume(z).value * (np.pi / 180) ** 2,
        rtol=2e-3,
    )


# Gruppioni et al. (2013, MNRAS 432, 23), table 7: redshifts, log L*, log phi*; alpha 1.2, sigma .5.
TABLE_7 = (
    (0.6, 0.8, 10.71, -2.35),
    (0.8, 1.0, 10.97, -2.40),
    (1.0, 1.2, 11.13, -2.43),
    (1.2, 1.7, 11.37, -2.70),
    (1.7, 2.0, 11.50, -3.00),
    (2.0, 2.5, 11.60, -3.01),
)


@pytest.mark.parametrize(("low", "high", "knee", "density"), TABLE_7)
def test_luminous_galaxies_are_as_many_as_published(
    low: float, high: float, knee: float, density: float
) -> None:
    from astroclean.simulate.far_infrared.population import _LOG_L, _Z

    middle = 0.5 * (_LOG_L[:-1] + _LOG_L[1:])
    z = 0.5 * (_Z[:-1] + _Z[1:])
    inside, bright = (z > low) & (z < high), (middle > 11.5) & (middle < 12.5)
    ours = _of_luminosity(0.0, 0.0, 1.2)[np.ix_(inside, bright)].sum()
    ratio = 10 ** (middle - knee)
    function = 10**density * ratio**-0.2 * np.exp(-2 * np.log10(1 + ratio) ** 2)
    volume = (comoving_volume(z) * np.diff(_Z))[inside].sum()
    theirs = (function * np.diff(_LOG_L))[bright].sum() * volume
    # Their smooth evolution leaves their own bins by as much.
    assert 0.5 < ours / theirs < 2


def drawn(model: str, seed: int, area: float = 0.5) -> Any:
    rng = np.random.default_rng(seed)
    return draw_population(rng, PopulationRange(model=model, **LIMITS)).draw(rng, area)


def test_the_counts_model_has_the_counts_that_it_tells() -> None:
    galaxies = drawn("counts", 1)
    flux = galaxies.fluxes["450"]
    for low, high in ((1, 2), (2, 5), (5, 10), (10, 40)):
        s = np.geomspace(low, high, 400)
        expected = 0.5 * np.trapezoid(800 / ((s / 9) ** 1.5 + (s / 9) ** 4), s)
        found = np.count_nonzero((flux > low) & (flux < high))
        assert abs(found - expected) < 5 * np.sqrt(expected) + 0.02 * expected, (low, high)
    assert np.median(galaxies.z[flux > 8]) > np.median(galaxies.z[flux < 2]) + 0.3


def test_the_two_models_differ_in_counts_and_redshifts() -> None:
    one, two = drawn("luminosity", 2), drawn("counts", 2)
    shapes = []
    for galaxies in (one, two):
        flux = galaxies.fluxes["450"]
        shapes.append(np.count_nonzero(flux > 10) / np.count_nonzero(flux > 2))
        for values in galaxies.fluxes.values():
            assert values.shape == galaxies.z.shape
            assert (values > 0).all()
    assert abs(np.log(shapes[0] / shapes[1])) > 0.1


def test_more_and_brighter_galaxies_where_the_ranges_say_so() -> None:
    def count(**told: Any) -> int:
        rng = np.random.default_rng(3)
        limits = PopulationRange(**{**LIMITS, **told})
        return int((draw_population(rng, limits).draw(rng, 0.5).fluxes["450"] > 5).sum())

    usual = count()
    assert count(denser=(0.3, 0.3)) == pytest.approx(2 * usual, rel=0.1)
    assert count(brighter=(0.2, 0.2)) > 1.3 * usual
