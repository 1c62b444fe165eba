"""PSFs have the width asked for; rendering keeps flux; catalogues agree with apertures."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from astroclean.simulate.detector import Camera
from astroclean.simulate.draws import add_stamp, power_law_field
from astroclean.simulate.fields import FieldRange, draw_field, render_stars
from astroclean.simulate.galaxies import KINDS, GalaxyRange, draw_galaxy, galaxy_stamp
from astroclean.simulate.psfs import PsfModel, PsfRange, draw_psf, make_psf

pytest.importorskip("galsim")


def _psf(fwhm: float = 3.0, kind: str = "moffat") -> PsfModel:
    return make_psf(kind, fwhm_pixels=fwhm, beta=3.0)


@pytest.mark.parametrize("kind", ["moffat", "kolmogorov", "gaussian", "airy", "optical", "pacs"])
@pytest.mark.parametrize("fwhm", [1.5, 3.3, 8.0])
def test_psf_has_its_width(kind: str, fwhm: float) -> None:
    psf = make_psf(kind, fwhm_pixels=fwhm)
    assert psf.fwhm_pixels == pytest.approx(fwhm, rel=0.06)
    assert psf.psf.stamps.sum() == pytest.approx(1)
    # The frame's PSF has the pixel in it as well.
    assert psf.psf.fwhm_pixels > 0.97 * fwhm


def test_pacs_psf_is_elongated_and_has_three_lobes() -> None:
    fine = make_psf("pacs", fwhm_pixels=4.0).fine
    half = fine.shape[0] // 2
    angles = np.linspace(0, 2 * np.pi, 360, endpoint=False)
    radius = 1.15 * 4.0 * 5
    ring = fine[
        np.rint(half + radius * np.sin(angles)).astype(int),
        np.rint(half + radius * np.cos(angles)).astype(int),
    ]
    power = np.abs(np.fft.rfft(ring))
    assert power[3] > 2 * power[4]
    assert power[3] > 2 * power[5]


def test_drawn_psfs_lie_in_the_range() -> None:
    rng = np.random.default_rng(3)
    limits = PsfRange(fwhm=(2.0, 4.0), kinds=("moffat",))
    widths = [draw_psf(rng, limits).fwhm_pixels for _ in range(10)]
    assert 1.9 < min(widths) < max(widths) < 4.15


def test_a_halo_has_its_light_and_leaves_the_core_where_it_is() -> None:
    bare = make_psf("gaussian", fwhm_pixels=3.0)
    haloed = bare.with_halo(0.15, 5.0)
    assert haloed.fine.sum() == pytest.approx(1)
    assert haloed.fwhm_pixels == pytest.approx(3.0, rel=0.03)
    half = bare.fine.shape[0] // 2
    y, x = np.indices(bare.fine.shape) - half
    # Half of a round Gaussian's light lies beyond half its FWHM.
    beyond = np.hypot(x, y) > 7.5 * 5
    assert haloed.fine[beyond].sum() == pytest.approx(0.15 / 2, rel=0.1)
    rng = np.random.default_rng(1)
    limits = PsfRange(fwhm=(3.0, 3.0), kinds=("gaussian",), ellipticity=(0, 0), halo=(0.15, 0.15))
    drawn = draw_psf(rng, limits).fine
    assert 0.1 < drawn[np.hypot(x, y) > 7.5 * 3].sum() < 0.15


@pytest.mark.parametrize(("x", "y"), [(60, 70), (60.4, 69.8), (59.6, 70.2)])
@pytest.mark.parametrize("bright", [0.0, np.inf])
def test_stars_have_their_flux_and_place(x: float, y: float, bright: float) -> None:
    image = render_stars(np.array([[x, y, 1e4]]), _psf(), (140, 140), bright=bright)
    rows, columns = np.indices(image.shape)
    assert image.sum() == pytest.approx(1e4, rel=1e-6)
    assert np.sum(image * columns) / image.sum() == pytest.approx(x, abs=0.01)
    assert np.sum(image * rows) / image.sum() == pytest.approx(y, abs=0.01)


def test_field_apertures_recover_the_catalogue() -> None:
    limits = FieldRange(
        stars=(3, 4), galaxies=(2, 3), galaxy=GalaxyRange(half_light_radius=(1.5, 2.5))
    )
    table, found, truth = None, [], []
    for seed in range(16):
        scene = draw_field(
            np.random.default_rng(seed), (256, 256), _psf(), noise=10.0, limits=limits
        )
        table = scene.sources.table
        x, y, flux = (np.asarray(table[name], dtype=float) for name in ("x", "y", "flux"))
        rows, columns = np.indices(scene.image.shape)
        for number in range(len(table)):
            gap = np.hypot(np.delete(x, number) - x[number], np.delete(y, number) - y[number])
            edge = min(x[number], y[number], 255 - x[number], 255 - y[number])
            lonely = np.all(np.delete(flux, number) < 5 * flux[number])
            if edge > 22 and gap.min() > 50 and lonely:
                inside = np.hypot(columns - x[number], rows - y[number]) < 20
                found.append(scene.image[inside].sum())
                truth.append(flux[number])
    assert len(found) > 8
    ratio = np.array(found) / np.array(truth)
    assert np.median(ratio) == pytest.approx(1, abs=0.02)
    assert np.all((ratio > 0.93) & (ratio < 1.2))


def test_counts_follow_the_slope() -> None:
    limits = FieldRange(stars=(3000, 3001), galaxies=(1, 1.1), slope=(0.75, 0.7501))
    scene = draw_field(np.random.default_rng(0), (128, 128), _psf(), noise=10.0, limits=limits)
    table = scene.sources.table
    flux = np.asarray(table["flux"][table["kind"] == "star"])
    above = [np.sum(flux > factor * flux.min()) for factor in (2, 20)]
    assert np.log10(above[0] / above[1]) == pytest.approx(0.75, abs=0.15)


@pytest.mark.parametrize("kind", KINDS)
def test_galaxies_keep_flux_through_the_psf(kind: str) -> None:
    profile = draw_galaxy(np.random.default_rng(1), GalaxyRange(), kind=kind, radius=3.0)
    sharp = galaxy_stamp(profile, None, side=121)
    seen = galaxy_stamp(profile, _psf(), side=121)
    assert sharp.sum() == pytest.approx(1, abs=0.01)
    assert seen.sum() == pytest.approx(sharp.sum(), abs=0.01)
    assert seen.max() < sharp.max()


def test_stamps_are_cut_at_the_border() -> None:
    image = np.zeros((10, 10))
    add_stamp(image, np.ones((5, 5)), -2, 8)
    add_stamp(image, np.ones((5, 5)), 20, 20)
    assert image.sum() == 6


def test_power_law_field_has_its_slope() -> None:
    field = power_law_field(np.random.default_rng(2), (256, 256), index=-3.0)
    window = np.hanning(256)[:, None] * np.hanning(256)[None, :]
    power = np.abs(np.fft.fft2(field * window)) ** 2
    k = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None, :])
    bins = np.geomspace(0.02, 0.3, 10)
    mean = [power[(k >= a) & (k < b)].mean() for a, b in pairwise(bins)]
    slope = np.polyfit(np.log(np.sqrt(bins[:-1] * bins[1:])), np.log(mean), 1)[0]
    assert slope == pytest.approx(-3, abs=0.3)
    assert field.std() == pytest.approx(1)


def test_camera_noise_and_range() -> None:
    camera, rng = Camera(), np.random.default_rng(4)
    expected = np.full((300, 300), camera.sky)
    data = camera.read_out(camera.expose(expected, rng), rng)
    assert data.std() == pytest.approx(camera.noise / camera.gain, rel=0.02)
    assert data.mean() == pytest.approx(camera.to_adu(expected).mean(), abs=0.2)
    assert np.array_equal(data, np.rint(data))
    few = camera.expose(np.full((300, 300), 0.5), rng)
    assert few.mean() == pytest.approx(few.var(), rel=0.05)


def test_pacs_psf_has_the_encircled_energy_of_flight() -> None:
    fine = make_psf("pacs", fwhm_pixels=3.5).fine
    rows, columns = np.indices(fine.shape) - fine.shape[0] // 2
    radius = np.hypot(rows, columns) / (3.5 * 5)
    # Vesta, scan map, 70 micron; FWHM 5.6 arcsec.
    for within, share in ((0.71, 0.560), (1.07, 0.705), (1.43, 0.794), (2.14, 0.882)):
        assert fine[radius < within].sum() == pytest.approx(share, abs=0.04)


@pytest.mark.parametrize("offset", [(0.0, 0.0), (0.4, -0.3)])
def test_galaxies_are_convolved_as_galsim_does(offset: tuple[float, float]) -> None:
    import galsim

    profile = galsim.Exponential(half_light_radius=2.5).shear(q=0.5, beta=0.4 * galsim.radians)
    ours = galaxy_stamp(profile, _psf(), side=61, offset=offset)
    both = galsim.Convolve(profile, galsim.Moffat(beta=3.0, fwhm=3.0))
    theirs = both.shift(offset[1], offset[0]).drawImage(nx=61, ny=61, scale=1.0).array
    assert np.abs(ours - theirs).max() < 0.02 * theirs.max()
    rows, columns = np.indices(ours.shape) - 30
    assert np.sum(ours * rows) / ours.sum() == pytest.approx(offset[0], abs=0.02)
    assert np.sum(ours * columns) / ours.sum() == pytest.approx(offset[1], abs=0.02)
