"""Whole scenes: deterministic, exact, and every class occurs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.detector import Detector
from astroclean.core.image.frame import Frame
from astroclean.core.sources.holes import HoleRule, measure_peaks
from astroclean.core.sources.sources import Sources
from astroclean.errors import ConfigurationError
from astroclean.evaluation.metrics.deconvolve import shape_of
from astroclean.simulate.blends import (
    BlendConfig,
    FinerConfig,
    _color,
    _draw_member,
    simulate_blends,
    simulate_finer,
)
from astroclean.simulate.cirrus import CirrusConfig, simulate_cirrus
from astroclean.simulate.compact import SNR_CLASSES
from astroclean.simulate.contaminated import (
    CHANCES,
    HARMLESS,
    ContaminatedConfig,
    simulate_contaminated,
)
from astroclean.simulate.crowded import simulate_crowded
from astroclean.simulate.held_out import EVERY_KIND
from astroclean.simulate.psfs import PsfRange
from astroclean.simulate.stamps import StampConfig, simulate_stamp
from astroclean.simulate.tracking import (
    KINDS,
    TrackingConfig,
    simulate_tracking,
    tracking_kernel,
)
from astroclean.simulate.write import scene_paths, write_scene

if TYPE_CHECKING:
    from pathlib import Path

    from astroclean.simulate.scene import Scene, Simulator

pytest.importorskip("galsim")
SIMULATORS = [
    simulate_contaminated,
    simulate_cirrus,
    simulate_blends,
    simulate_crowded,
    simulate_stamp,
    simulate_tracking,
]
SHAPE = (96, 110)


def _bytes(scene: Scene) -> bytes:
    arrays = [scene.frame.data, scene.frame.uncertainty.array]
    arrays += [
        a for a in (scene.planes, scene.clean, scene.background, scene.sharp) if a is not None
    ]
    arrays += [np.asarray(scene.sources.table["flux"])]
    return b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)


@pytest.mark.parametrize("simulate", SIMULATORS)
def test_same_seed_same_bytes(simulate: Simulator) -> None:
    one, two = simulate(seed=11, shape=SHAPE), simulate(seed=11, shape=SHAPE)
    assert _bytes(one) == _bytes(two)
    assert _bytes(one) != _bytes(simulate(seed=12, shape=SHAPE))


@pytest.mark.parametrize("simulate", SIMULATORS)
def test_scenes_are_whole(simulate: Simulator) -> None:
    for seed in range(3):
        scene = simulate(seed=seed, shape=SHAPE)
        assert scene.frame.shape == SHAPE
        assert np.isfinite(scene.frame.data).all()
        assert not scene.frame.flags.any()
        for name in ("clean", "background", "sharp"):
            image = getattr(scene, name)
            assert image is None or (image.shape == SHAPE and image.dtype == np.float32)
        if scene.planes is not None:
            assert scene.planes.dtype == np.uint32


@pytest.mark.slow
def test_every_class_occurs() -> None:
    seen = 0
    for seed in range(40):
        scene = simulate_contaminated(seed=seed, shape=(128, 128))
        seen |= int(np.bitwise_or.reduce(scene.planes, axis=None))
    expected = [plane for plane in MaskPlane if plane.bit <= MaskPlane.CROSSTALK.bit]
    assert [plane.name for plane in expected if not seen & plane] == []


def test_without_contaminants_only_noise_remains() -> None:
    config = ContaminatedConfig(chances={})
    for seed in range(4):
        scene = simulate_contaminated(seed=seed, shape=(128, 128), config=config)
        planes = scene.planes & ~np.uint32(MaskPlane.BRIGHT)
        clear = planes == 0
        pull = (scene.frame.data - scene.clean) / scene.frame.uncertainty.array
        # Rounding to whole adu adds a twelfth to the variance, which matters for low noise.
        rounding = np.sqrt(1 + 1 / 12 / scene.notes["noise"] ** 2)
        assert pull[clear].mean() == pytest.approx(0, abs=0.05)
        assert pull[clear].std() == pytest.approx(rounding, abs=0.05)


@pytest.mark.parametrize("name", sorted(CHANCES.keys() - HARMLESS - {"bright_star"}))
def test_each_class_can_be_asked_for(name: str) -> None:
    config = ContaminatedConfig(chances={name: 1.0, "bright_star": 1.0})
    seen = 0
    for seed in range(6):
        scene = simulate_contaminated(seed=seed, shape=(128, 128), config=config)
        seen |= int(np.bitwise_or.reduce(scene.planes, axis=None))
    plane = {
        "dead_clusters": MaskPlane.DEAD_LINE,
        "spikes": MaskPlane.SPIKE,
        "fringes": MaskPlane.FRINGE,
        "nebulosity": MaskPlane.NEBULOSITY,
        "overscan": MaskPlane.OVERSCAN,
        "persistence": MaskPlane.PERSISTENCE,
        "crosstalk": MaskPlane.CROSSTALK,
    }.get(name) or MaskPlane[name.upper().removesuffix("S")]
    others = MaskPlane.BRIGHT | MaskPlane.SATURATED | plane
    assert seen & plane
    assert not seen & ~int(others)


def test_overscan_has_no_other_plane() -> None:
    config = ContaminatedConfig(chances=dict.fromkeys(CHANCES, 1.0))
    scene = simulate_contaminated(seed=3, shape=(128, 128), config=config)
    overscan = (scene.planes & np.uint32(MaskPlane.OVERSCAN)) != 0
    assert overscan.any()
    assert np.all(scene.planes[overscan] == MaskPlane.OVERSCAN)


def test_cirrus_is_background_and_sources() -> None:
    for seed in range(3):
        scene = simulate_cirrus(seed=seed, shape=SHAPE)
        total = scene.background.astype(float)
        for stamp in scene.sources.stamps:
            total[stamp.slices()] += stamp.data
        flux = np.asarray(scene.sources.table["flux"].value)
        assert np.allclose(total, scene.clean, atol=2e-3 * flux.max() / 50 + 1e-4 * total.max())
        residual = (scene.frame.data - scene.clean) / scene.frame.uncertainty.array
        assert residual.std() == pytest.approx(1, abs=0.02)
        assert (scene.sources.table["snr"] >= 1.99).all()


def test_cirrus_apertures_recover_flux() -> None:
    scene = simulate_cirrus(seed=5, shape=(256, 256))
    table, light = scene.sources.table, scene.clean.astype(float) - scene.background
    inside = light.sum() / np.sum(table["flux"].value)
    assert 0.9 < inside <= 1.0001


def test_classes_of_snr_come_evenly() -> None:
    config = CirrusConfig(classes=True, sources=(80.0, 80.0))
    snr: list[float] = []
    for seed in range(12):
        scene = simulate_cirrus(seed=seed, shape=(128, 128), config=config)
        psf, table = scene.frame.psf, scene.sources.table
        sizes = HoleRule().in_pixels(fwhm_pixels=psf.fwhm_pixels)
        beneath = scene.frame.data - (scene.clean.astype(float) - scene.background)
        places = np.column_stack([table["x"], table["y"]])
        scatter = measure_peaks(beneath, np.ones(beneath.shape, bool), places, sizes).deviation
        snr += list(table["flux"].value * psf.stamps[0].max() / scatter)
    counts = np.histogram(snr, SNR_CLASSES)[0]
    assert counts.sum() >= 0.98 * len(snr) > 200
    # Six standard deviations of an even draw.
    assert np.abs(counts - len(snr) / 6).max() < 6 * np.sqrt(len(snr) / 6)
    assert _bytes(scene) == _bytes(simulate_cirrus(seed=11, shape=(128, 128), config=config))


def test_a_turned_psf_is_only_what_the_frame_is_told() -> None:
    plain = simulate_cirrus(seed=3, shape=SHAPE)
    scene = simulate_cirrus(seed=3, shape=SHAPE, config=CirrusConfig(psf_turn=20.0))
    assert _bytes(scene) == _bytes(plain)
    assert plain.psf is None
    true, told = scene.true_psf.stamps, scene.frame.psf.stamps
    np.testing.assert_array_equal(true, plain.frame.psf.stamps)
    assert np.abs(told - true).max() > 0.02 * true.max()
    assert scene.frame.psf.fwhm_pixels == pytest.approx(scene.true_psf.fwhm_pixels, rel=0.03)
    assert scene.notes["psf_turn"] == 20
    around = simulate_cirrus(seed=3, shape=SHAPE, config=CirrusConfig(psf_turn=360.0))
    np.testing.assert_allclose(around.frame.psf.stamps, true, atol=1e-12)


def test_what_stages_are_told_wrong_is_written_beside_the_truth(tmp_path: Path) -> None:
    config = CirrusConfig(psf_turn=20.0, catalog_error=0.5)
    scene = simulate_cirrus(seed=3, shape=SHAPE, config=config)
    _, truth = write_scene(scene, tmp_path, name="wrong", seed=3)
    with fits.open(truth) as hdus:
        np.testing.assert_array_equal(hdus["PSF"].data, scene.psf.stamps[0])
        np.testing.assert_array_equal(hdus["GIVEN_PSF"].data, scene.frame.psf.stamps[0])
        np.testing.assert_array_equal(hdus["SOURCES"].data["x"], scene.sources.table["x"])
        np.testing.assert_array_equal(hdus["GIVEN_SOURCES"].data["x"], scene.catalogue.table["x"])
        assert "psf_turn = 20" in str(hdus[1].header["COMMENT"])


def test_a_round_psf_does_not_turn() -> None:
    psf = PsfRange(fwhm=(2.0, 5.0), kinds=("gaussian",), ellipticity=(0.0, 0.0))
    scene = simulate_cirrus(seed=3, shape=SHAPE, config=CirrusConfig(psf=psf, psf_turn=120.0))
    np.testing.assert_allclose(scene.frame.psf.stamps, scene.true_psf.stamps, atol=1e-9)


def test_positions_that_err_are_only_what_stages_are_given() -> None:
    plain = simulate_cirrus(seed=3, shape=(256, 256))
    config = CirrusConfig(catalog_error=0.5)
    scene = simulate_cirrus(seed=3, shape=(256, 256), config=config)
    assert _bytes(scene) == _bytes(plain)
    assert plain.catalogue is None
    assert not scene.catalogue.stamps
    moves = [scene.catalogue.table[n] - scene.sources.table[n] for n in ("x", "y")]
    assert np.std(moves) == pytest.approx(0.5, abs=0.12)
    for name in ("x", "y"):
        assert scene.catalogue.table[name].min() >= 0
        assert scene.catalogue.table[name].max() <= 255
    assert scene.notes["catalog_error"] == 0.5


def test_blends_are_the_sum_of_their_stamps() -> None:
    scene = simulate_blends(seed=4, shape=SHAPE)
    total = np.zeros(SHAPE)
    for stamp in scene.sources.stamps:
        total[stamp.slices()] += stamp.data
    assert np.allclose(total, scene.clean, rtol=1e-5, atol=1e-3)
    table = scene.sources.table
    assert list(table["id"]) == [stamp.id for stamp in scene.sources.stamps]
    assert set(np.unique(scene.sources.segmentation)) <= {0, *table["id"]}
    blendedness = np.asarray(table["blendedness"])
    assert np.all((blendedness >= 0) & (blendedness < 1))
    inner = (table["x"] > 36) & (table["x"] < 73) & (table["y"] > 36) & (table["y"] < 59)
    for row in table[inner]:
        stamp = scene.sources.stamps[row["id"] - 1]
        assert stamp.data.sum() == pytest.approx(row["flux"].value, rel=1e-4)


def test_stamp_before_and_after_the_psf() -> None:
    for seed in range(6):
        scene = simulate_stamp(seed=seed, shape=(64, 64))
        flux = scene.notes["flux"]
        assert scene.sharp.sum() == pytest.approx(flux, rel=0.03)
        assert scene.clean.sum() == pytest.approx(flux, rel=0.06)
        assert scene.sharp.max() > scene.clean.max()
        blurred = np.fft.irfft2(
            np.fft.rfft2(scene.sharp, s=(124, 124))
            * np.fft.rfft2(scene.frame.psf.stamps[0], s=(124, 124)),
            s=(124, 124),
        )[30:94, 30:94]
        # The stamp's PSF has the pixel in it once more, which widens a little.
        assert np.corrcoef(blurred.ravel(), scene.clean.ravel())[0, 1] > 0.99


def test_blank_stamps() -> None:
    scene = simulate_stamp(seed=1, shape=(48, 48), config=StampConfig(blank=1.0))
    assert not scene.clean.any()
    assert not scene.sharp.any()
    assert not scene.target.data.any()
    assert scene.notes["snr"] == 0
    assert len(scene.catalogue) == 1  # a false detection, which is the question


PAIRED = StampConfig(paired=True, snr=(10.0, 300.0))


def test_stamps_of_a_pair_differ_by_the_turn_of_their_psf_alone() -> None:
    for seed in (4, 10):
        one, two = (simulate_stamp(seed=s, config=PAIRED) for s in (seed, seed + 1))
        assert one.notes["pair"] == two.notes["pair"] == seed // 2
        # The same galaxy; fluxes differ by what the S/N under either PSF asks for.
        ratio = two.notes["flux"] / one.notes["flux"]
        assert ratio == pytest.approx(1, abs=0.05)
        assert np.allclose(two.target.data, ratio * one.target.data, rtol=1e-4, atol=1e-2)
        noise, again = ((s.frame.data - s.clean) / s.frame.uncertainty.array for s in (one, two))
        assert np.allclose(noise, again, atol=1e-3)
        # A quarter turn of a square of odd side is a transposition and a mirror image.
        turned = np.rot90(one.frame.psf.stamps[0])
        assert np.abs(two.frame.psf.stamps[0] - turned).max() < 1e-3 * turned.max()
        shape = shape_of(one.frame.psf.stamps[0], center=(30, 30), radius=4.0)
        back = shape_of(two.frame.psf.stamps[0], center=(30, 30), radius=4.0)
        assert back.ellipticity == pytest.approx(-shape.ellipticity, abs=1e-3)


def test_stamps_have_the_sn_that_is_asked_for() -> None:
    for seed in range(6):
        scene = simulate_stamp(seed=seed, config=StampConfig(snr=(40.0, 40.0)))
        variance = scene.frame.uncertainty.array.astype(float) ** 2
        assert np.sum(scene.clean.astype(float) ** 2 / variance) == pytest.approx(1600, rel=1e-4)


def test_the_target_is_the_galaxy_under_a_gaussian() -> None:
    """Drawn again as `clean` is, by another way: on thirds of a pixel, through a PSF model."""
    psf = {"fwhm": (2.0, 2.0), "kinds": ("gaussian",), "ellipticity": (0.0, 0.0)}
    for seed, kind in enumerate(EVERY_KIND):
        config = StampConfig.model_validate({"kinds": [kind], "psf": psf, "snr": (100.0, 100.0)})
        scene = simulate_stamp(seed=seed, config=config)
        assert scene.notes["kind"] == kind
        assert np.abs(scene.target.data - scene.clean).max() < 0.01 * scene.clean.max()
        assert scene.target.psf.fwhm_pixels == pytest.approx(scene.frame.psf.fwhm_pixels, rel=0.02)


def test_stamps_lie_where_their_catalogue_says_and_detections_near() -> None:
    distances = []
    for seed in range(12):
        scene = simulate_stamp(seed=seed, config=StampConfig(snr=(30.0, 500.0)))
        (row,), (told,) = scene.sources.table, scene.catalogue.table
        rows, columns = np.indices(scene.target.data.shape)
        light = scene.target.data / scene.target.data.sum()
        assert np.sum(light * columns) == pytest.approx(row["x"], abs=0.4)  # cut at the edges
        assert np.sum(light * rows) == pytest.approx(row["y"], abs=0.4)
        assert max(abs(row["x"] - 32), abs(row["y"] - 32)) <= 5
        distances.append(np.hypot(told["x"] - row["x"], told["y"] - row["y"]))
    assert 0 < np.max(distances) < 1


def test_noise_of_stamps_can_be_correlated_and_keeps_its_deviation() -> None:
    plain, smooth = (
        np.concatenate(
            [
                (scene.frame.data - scene.clean) / scene.frame.uncertainty.array
                for scene in (
                    simulate_stamp(seed=s, config=StampConfig(correlation=width)) for s in range(8)
                )
            ]
        )
        for width in ((0.0, 0.0), (2.0, 2.0))
    )
    for noise, expected in ((plain, 0.0), (smooth, np.exp(-1 / (4 * (2.0 / 2.3548) ** 2)))):
        assert noise.std() == pytest.approx(1, abs=0.03)
        assert np.mean(noise[:, 1:] * noise[:, :-1]) == pytest.approx(expected, abs=0.03)


def test_families_of_stamps_that_do_not_exist_are_named() -> None:
    with pytest.raises(ValueError, match=r"must be some of .*ring.*; not spiral"):
        StampConfig(kinds=("spiral",))


@pytest.mark.parametrize("kind", KINDS)
def test_tracking_kernels(kind: str) -> None:
    for seed in range(4):
        kernel = tracking_kernel(np.random.default_rng(seed), kind=kind, extent=10.0)
        rows, columns = np.indices(kernel.shape)
        middle = kernel.shape[0] // 2
        assert kernel.sum() == pytest.approx(1)
        assert np.sum(kernel * rows) == pytest.approx(middle, abs=0.6)
        assert np.sum(kernel * columns) == pytest.approx(middle, abs=0.6)
        # All blur as an even drift of this length, in fifths of a pixel, along the main direction.
        away = np.stack([rows - middle, columns - middle]).reshape(2, -1)
        variance = np.linalg.eigvalsh((away * kernel.ravel()) @ away.T)[-1]
        assert variance == pytest.approx((10.0 * 5) ** 2 / 12, rel=0.05)


def test_tracking_errors_widen_stars() -> None:
    good = simulate_tracking(seed=1, config=TrackingConfig(share=0.0))
    assert good.notes["tracking_error"] == 0.0
    bad = [simulate_tracking(seed=s, config=TrackingConfig(share=1.0)) for s in range(4)]
    assert all(scene.notes["tracking_error"] == 1.0 for scene in bad)
    assert all(scene.notes["kind"] in KINDS for scene in bad)


BANDS = {"g": {"pixel_scale": 0.4}, "r": {"pixel_scale": 0.3}, "i": {"pixel_scale": 0.4}}


def _in_bands(*, seed: int, shape: tuple[int, int] = SHAPE, **options: object) -> Scene:
    config = BlendConfig.model_validate({"bands": BANDS, "groups": (20, 21), **options})
    return simulate_blends(seed=seed, shape=shape, config=config)


def test_bands_of_blends_are_the_same_sky_on_their_own_pixels() -> None:
    scene = _in_bands(seed=3)
    assert scene.frames.bands == ("g", "r", "i")
    assert [one.frame.shape for one in scene.bands.values()] == [SHAPE, (128, 147), SHAPE]
    joint = scene.sources.table
    sky = scene.frame.wcs.pixel_to_world(joint["x"], joint["y"])
    widths = set()
    for band, one in scene.bands.items():
        table, frame = one.sources.table, one.frame
        assert list(table["id"]) == list(joint["id"])
        assert list(table["flux"]) == list(joint[f"flux_{band}"])
        away = frame.wcs.pixel_to_world(table["x"], table["y"]).separation(sky).arcsec
        assert away.max() < 1e-3
        total = np.zeros(frame.shape)
        for stamp in one.sources.stamps:
            total[stamp.slices()] += stamp.data
        assert np.allclose(total, one.clean, rtol=1e-5, atol=1e-3)
        residual = (frame.data - one.clean) / frame.uncertainty.array
        assert residual.std() == pytest.approx(1, abs=0.03)
        assert Detector.from_meta(frame.meta).filter == band
        assert Detector.from_meta(frame.meta).pixel_scale == BANDS[band]["pixel_scale"]
        widths.add((one.notes["fwhm_pixels"], one.notes["noise"]))
    assert len(widths) == 3  # PSF and depth of each
    again = _in_bands(seed=3)
    for band, one in scene.bands.items():
        assert _bytes(one) == _bytes(again.bands[band])


def test_stars_lie_where_the_catalogue_says_in_every_band() -> None:
    scene = _in_bands(seed=5, shape=(180, 190), stars=1.0, members=(1, 1))
    checked = 0
    for one in scene.bands.values():
        for stamp, row in zip(one.sources.stamps, one.sources.table, strict=True):
            if min(stamp.data.shape) < 71:
                continue  # cut by the edge
            sides = zip(stamp.data.shape, stamp.origin, strict=True)
            offsets = [np.arange(count) + first for count, first in sides]
            y, x = (
                np.sum(stamp.data.sum(axis=1 - axis) * along) / stamp.data.sum()
                for axis, along in enumerate(offsets)
            )
            assert (x, y) == pytest.approx((row["x"], row["y"]), abs=0.02)
            checked += 1
    assert checked > 10


def test_bulges_are_redder_than_disks() -> None:
    gains = {"disk": [], "bulge": [], "clumps": []}
    for seed in range(40):
        rng = np.random.default_rng(seed)
        disk = float(rng.uniform(0.1, 0.6))
        for kind, found in gains.items():
            found.append(_color(rng, kind, disk, BlendConfig()) - disk)
    assert set(gains["disk"]) == {0.0}
    assert min(gains["bulge"]) >= 0.15
    assert max(gains["clumps"]) <= -0.15
    # What is drawn of it: bulge and disk have other shares of the light in each band.
    config = BlendConfig.model_validate({"bands": BANDS, "reddening": (1.0, 1.01), "stars": 0.0})
    profiles = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        member = _draw_member(rng, (0.0, 0.0), 1.0, 3, config)
        if member.kind == "bulge_disk":
            profiles.append(member.profiles)
            assert member.flux[2] > member.flux[1] > member.flux[0]
    assert profiles
    for first, _, last in profiles:
        ratio = [a.flux / b.flux for a, b in zip(last.obj_list, first.obj_list, strict=True)]
        assert 2.5 * np.log10(ratio[1] / ratio[0]) == pytest.approx(2.0, abs=0.03)


def test_truth_on_finer_pixels() -> None:
    scene = simulate_finer(seed=2, shape=SHAPE, config=FinerConfig(groups=(20, 21)))
    fine = scene.fine
    assert fine.grid.shape == (192, 220)
    assert fine.grid.step == 0.5
    assert fine.psf.fwhm_pixels == pytest.approx(scene.notes["fwhm_pixels"], rel=0.05)
    folded = fine.data.reshape(96, 2, 110, 2).sum(axis=(1, 3))
    assert folded.sum() == pytest.approx(scene.clean.sum(), rel=0.02)
    # The same light, less blurred.
    assert np.corrcoef(folded.ravel(), scene.clean.ravel())[0, 1] > 0.8
    assert fine.data.max() * 4 > scene.clean.max()
    plain = simulate_blends(seed=2, shape=SHAPE, config=BlendConfig(groups=(20, 21)))
    assert _bytes(plain) == _bytes(scene)
    assert plain.fine is None


def test_a_finer_psf_that_does_not_fit_its_stamp_is_refused() -> None:
    wide = {"finer": 8, "sharper": 1.0, "psf": {"fwhm": (4.0, 5.0)}}
    with pytest.raises(ConfigurationError, match="15 fit on its stamp"):
        simulate_blends(seed=1, shape=SHAPE, config=BlendConfig.model_validate(wide))


def test_scenes_of_several_bands_are_written_band_by_band(tmp_path: Path) -> None:
    scene = _in_bands(seed=3, finer=2)
    paths = write_scene(scene, tmp_path, name="set", seed=3)
    assert [path.name for path in paths] == [
        *(f"set_{band}{end}.fits" for band in BANDS for end in ("", "_truth")),
        "set_truth.fits",
    ]
    assert paths == scene_paths(scene, tmp_path, name="set")
    for band, one in scene.bands.items():
        frame = Frame.read(tmp_path / f"set_{band}.fits")
        np.testing.assert_array_equal(frame.data, one.frame.data)
        assert Detector.from_meta(frame.meta).pixel_scale == pytest.approx(
            BANDS[band]["pixel_scale"]
        )
        with fits.open(tmp_path / f"set_{band}_truth.fits") as hdus:
            np.testing.assert_array_equal(hdus["CLEAN"].data, one.clean)
            np.testing.assert_array_equal(hdus["FINE"].data, one.fine.data)
            np.testing.assert_array_equal(hdus["FINE_PSF"].data, one.fine.psf.stamps[0])
            seen = WCS(hdus["FINE"].header).pixel_to_world(9.5, 19.5)
            assert seen.separation(frame.wcs.pixel_to_world(4.5, 9.5)).arcsec < 1e-6
    with fits.open(tmp_path / "set_truth.fits") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "SOURCES", "STAMPS"]
        red = scene.sources.table["flux_i"].value
        np.testing.assert_allclose(hdus["SOURCES"].data["flux_i"], red)
        assert len(hdus["STAMPS"].data) == 3 * len(red)
    assert scene.sources.bands == ("g", "r", "i")
    read = Sources.read(paths[-1], stamps=paths[-1])
    for band, one in scene.bands.items():
        for stamp in one.sources.stamps:
            np.testing.assert_array_equal(read.images(band)[stamp.id].data, stamp.data)
