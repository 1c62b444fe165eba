"""The second recipe: exact truth, every class, quiet skies, no generator of the first."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import numpy as np
import pytest

import astroclean.simulate.injected
from astroclean.core.flags.planes import REJECTING, MaskPlane
from astroclean.simulate.injected.defects import draw_defects
from astroclean.simulate.injected.frames import available
from astroclean.simulate.injected.ground import Chip, shown
from astroclean.simulate.injected.particles import draw_hits, held_out_hits
from astroclean.simulate.injected.passages import Passage, draw_passages, render_passage
from astroclean.simulate.injected.pupils import Pupil, diffraction
from astroclean.simulate.injected.scenes import CHANCES, InjectedConfig, simulate_injected
from astroclean.simulate.injected.skies import QUIET_KINDS
from astroclean.simulate.injected.wells import filled_wells

pytest.importorskip("galsim")

SHAPE = (160, 160)
DATA = os.environ.get("ASTROCLEAN_TEST_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="ASTROCLEAN_TEST_DATA is not set")
NONE = dict.fromkeys(CHANCES, 0.0)
PLANES = {
    "cosmic_rays": MaskPlane.COSMIC_RAY,
    "hot_lines": MaskPlane.HOT_LINE,
    "dead_lines": MaskPlane.DEAD_LINE,
    "hot_pixels": MaskPlane.HOT_PIXEL,
    "dead_pixels": MaskPlane.DEAD_PIXEL,
    "persistence": MaskPlane.PERSISTENCE,
    "trails": MaskPlane.TRAIL,
    "fringes": MaskPlane.FRINGE,
    "nebulosity": MaskPlane.NEBULOSITY,
    "bright_star": MaskPlane.SATURATED,
    "spikes": MaskPlane.SPIKE,
    "overscan": MaskPlane.OVERSCAN,
    "ghosts": MaskPlane.GHOST,
    "crosstalk": MaskPlane.CROSSTALK,
}


def has(planes: np.ndarray, plane: MaskPlane) -> np.ndarray:
    return (planes & np.uint32(plane)) != 0


def test_same_seed_same_bytes_and_another_seed_another_sky() -> None:
    one, two, other = (simulate_injected(seed=seed, shape=SHAPE) for seed in (5, 5, 6))
    for name in ("planes", "clean", "ignored"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes()
    assert one.frame.data.tobytes() == two.frame.data.tobytes()
    assert one.frame.data.tobytes() != other.frame.data.tobytes()


@pytest.mark.parametrize("name", CHANCES)
def test_every_class_appears_alone_and_where_it_is_chosen(name: str) -> None:
    """A class that is not chosen is in no pixel; the brightest stars alone may saturate."""
    chances = NONE | {name: 1.0} | ({"bright_star": 1.0} if name == "spikes" else {})
    config = InjectedConfig(chances=chances, skies=("field", "discs"))
    found = 0
    for seed in range(8):
        planes = simulate_injected(seed=seed, shape=(256, 256), config=config).planes
        assert planes is not None
        found += np.count_nonzero(has(planes, PLANES[name]))
        alike = {"spikes": MaskPlane.SATURATED}.get(name, PLANES[name])
        allowed = PLANES[name] | alike | MaskPlane.BRIGHT
        assert not (planes & ~np.uint32(allowed)).any()
    assert found > 0


def test_what_is_true_differs_from_the_clean_frame_and_the_rest_does_not() -> None:
    """Beyond the noise: where there is no contaminant, 99 percent lie within 3.5 sigma."""
    config = InjectedConfig(chances=CHANCES | {"fringes": 0.0}, skies=("field", "spirals"))
    for seed in range(6):
        scene = simulate_injected(seed=seed, shape=(200, 200), config=config)
        assert scene.planes is not None
        assert scene.clean is not None
        assert scene.frame.uncertainty is not None
        sigma = scene.frame.uncertainty.array
        pull = (scene.frame.data - scene.clean) / sigma
        fine = ((scene.planes & ~np.uint32(MaskPlane.BRIGHT)) == 0) & ~scene.ignored
        assert np.mean(np.abs(pull[fine]) < 3.5) > 0.985
        changed = has(scene.planes, MaskPlane.COSMIC_RAY | MaskPlane.HOT_PIXEL)
        saturated = has(scene.planes, MaskPlane.SATURATED | MaskPlane.CROSSTALK)
        assert (pull[changed & ~saturated] > -1.0).all()


def test_replaced_pixels_have_lost_their_earlier_truth() -> None:
    scene = simulate_injected(
        seed=1,
        shape=SHAPE,
        config=InjectedConfig(chances=dict.fromkeys(CHANCES, 1.0), skies=("field",)),
    )
    assert scene.planes is not None
    strip = has(scene.planes, MaskPlane.OVERSCAN)
    assert strip.any()
    assert set(np.unique(scene.planes[strip])) == {int(MaskPlane.OVERSCAN)}


@pytest.mark.parametrize("kind", QUIET_KINDS)
def test_quiet_skies_have_nothing_that_a_mask_should_reject(kind: str) -> None:
    config = InjectedConfig(quiet=True, skies=(kind,))
    for seed in range(3):
        scene = simulate_injected(seed=seed, shape=SHAPE, config=config)
        assert scene.planes is not None
        assert not (scene.planes & np.uint32(REJECTING)).any()
        assert scene.frame.data.max() < scene.frame.detector.saturation
        assert not np.any(scene.ignored)


def test_the_header_has_the_level_of_saturation() -> None:
    chances = NONE | {"bright_star": 1.0}
    scene = simulate_injected(
        seed=3, shape=(256, 256), config=InjectedConfig(chances=chances, skies=("field",))
    )
    assert scene.planes is not None
    level = scene.frame.detector.saturation
    assert level is not None
    assert scene.frame.meta["SATURATE"] == level
    noise = 5 * float(scene.notes["noise"])
    assert has(scene.planes, MaskPlane.SATURATED)[scene.frame.data > level + noise].all()


def test_shown_is_a_change_above_the_noise_of_the_pixel() -> None:
    beneath = np.array([[0.0, 900.0, 0.0, 0.0]])
    layer = np.array([[21.0, 21.0, -21.0, 19.0]])
    truth = shown(beneath, layer, MaskPlane.TRAIL, noise=20.0, least=(1.0, 0.0))
    assert truth.tolist() == [[64, 0, 64, 0]]


def test_surplus_of_a_column_is_kept_and_others_are_not_touched() -> None:
    image = np.full((101, 9), 100.0)
    image[50, 4] = 21_000.0
    chip = Chip(gain=1.0, read_noise=1.0, bias=0.0, well=2000.0)
    ways = set()
    for seed in range(20):
        after, planes = filled_wells(np.random.default_rng(seed), image, chip, noise=10.0)
        assert after.max() <= chip.well
        column = has(planes, MaskPlane.SATURATED)
        if column.sum() == 1:
            ways.add("lost")
        elif column.any(axis=0).sum() == 1:
            ways.add("columns")
            assert after.sum() == pytest.approx(image.sum())
            assert (np.delete(after, 4, axis=1) == 100).all()
        else:
            ways.add("blooms")
            assert after.sum() <= image.sum() + 1e-6
    assert ways == {"columns", "blooms", "lost"}


def test_spikes_follow_from_the_vanes_of_the_pupil() -> None:
    """Light of a vane lies on the line through the star at right angles to it."""
    pattern = diffraction(
        Pupil(vanes=(0.0, np.pi), thickness=0.01, hole=0.3), 100, pixels=0.5, band=0.1, seeing=2.0
    )
    y, x = np.mgrid[-100:101, -100:101]
    far = np.hypot(x, y) > 30
    upright = far & (np.abs(x) < 4)
    assert pattern[upright].sum() > 0.8 * pattern[far].sum()
    assert 0.001 < pattern.sum() < 0.2


def test_a_passage_has_the_signal_to_noise_that_it_tells() -> None:
    fwhm, snr = 4.0, 9.0
    passage = Passage("steady", (-200.0, 80.0, 400.0, 80.0), 0.0, snr, 0.0)
    light, path = render_passage(np.random.default_rng(2), SHAPE, passage, fwhm=fwhm)
    box = light[78:83, 40:120].mean(axis=1) * fwhm
    # Light of a box of one FWHM a side, over the noise of its 16 pixels.
    core = box[1:4].sum() + 0.5 * (box[0] + box[4])
    assert core / fwhm == pytest.approx(snr, rel=0.15)
    assert path[80].all()
    assert not path[70].any()


def test_passages_out_of_focus_have_two_ridges() -> None:
    passage = Passage("defocused", (-200.0, 80.0, 400.0, 80.0), 0.0, 30.0, 24.0)
    light, _ = render_passage(np.random.default_rng(2), SHAPE, passage, fwhm=2.5)
    profile = light[:, 60:100].mean(axis=1)
    assert profile[80] < 0.9 * profile[60:80].max()
    assert profile[80] < 0.9 * profile[81:100].max()


def test_dashes_and_gaps_are_no_truth_but_ignored() -> None:
    kinds = {
        p.kind for n in range(60) for p in draw_passages(np.random.default_rng(n), SHAPE, fwhm=3.0)
    }
    assert {"steady", "dashed", "tumbling", "defocused", "aircraft", "meteor"} <= kinds
    chances = NONE | {"trails": 1.0}
    config = InjectedConfig(chances=chances, skies=("field",))
    scenes = [simulate_injected(seed=n, shape=SHAPE, config=config) for n in range(12)]
    told = [v for scene in scenes for k, v in scene.notes.items() if k.startswith("trail_")]
    assert len(told) >= len(scenes)
    for scene in scenes:
        assert not (scene.ignored & has(scene.planes, MaskPlane.TRAIL)).any()
    assert any(scene.ignored.any() for scene in scenes)


def test_hits_have_points_and_long_tracks() -> None:
    from scipy.ndimage import label

    charge = sum(draw_hits(np.random.default_rng(n), (400, 400), data=None) for n in range(4))
    labels, count = label(charge > 60, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())[1:]
    assert count > 30
    assert (sizes <= 3).any()
    assert (sizes > 40).any()


@needs_data
def test_real_hits_are_those_that_no_training_sees() -> None:
    from astropy.table import Table

    assert DATA is not None
    table = Table.read(Path(DATA) / "cosmic_rays_itl_even.fits.gz", hdu=1)
    numbers = np.unique(np.asarray(table["fp_id"]))
    hits = held_out_hits(Path(DATA))
    assert len(hits) == np.count_nonzero(numbers % 4 == 0)
    rows = table[np.asarray(table["fp_id"]) % 4 == 0]
    charge = sum(float(np.sum(row["pixel_values"])) for row in rows)
    assert sum(hit.sum() for hit in hits) == pytest.approx(charge, rel=1e-5)


@needs_data
def test_defects_of_real_maps_are_sorted_by_their_form() -> None:
    assert DATA is not None
    for seed in range(6):
        found = draw_defects(np.random.default_rng(seed), (300, 300), data=Path(DATA))
        assert found.pixels.any()
        assert found.lines.any()
        assert not (found.pixels & found.lines).any()
        assert found.pixels.mean() < 1e-3


@pytest.mark.slow
@needs_data
def test_half_of_the_skies_are_real_frames_that_no_training_sees() -> None:
    assert DATA is not None
    config = InjectedConfig(data=Path(DATA), real=1.0)
    allowed = ("hst_", "jwst_", "decam_dq", "gmos", "ntt", "saao", "ystar")
    assert all(frame.file.startswith(allowed) for frame in available(Path(DATA)))
    seen = set()
    for seed in range(16):
        scene = simulate_injected(seed=seed, shape=SHAPE, config=config)
        sky = str(scene.notes["sky"])
        assert sky.startswith(allowed)
        assert np.isfinite(scene.frame.data).all()
        assert scene.ignored.mean() < 0.6
        seen.add(sky.partition("[")[0])
    assert len(seen) > 3


def test_nothing_is_shared_with_the_first_recipe() -> None:
    """Generators of contaminants, PSFs and galaxies of training are not imported, also not later.

    Only those of the package, of its own folder, and numeric helpers are.
    """
    folder = Path(astroclean.simulate.injected.__file__).parent
    allowed = {"draws", "scene", "injected"}
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                if name.startswith("astroclean.simulate"):
                    assert name.split(".")[2] in allowed, f"{path.name} imports {name}"
