"""What the rules keep and drop; quiet skies, on which nothing is contaminated."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astroclean_maximask.mask.evidence.judge import RULES, judge
from astroclean_maximask.mask.evidence.overscan import sections
from scipy.ndimage import gaussian_filter, label

from astroclean.core.flags.planes import REJECTING, MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.errors import AstrocleanWarning
from astroclean.inference.tiles.normalize import BackgroundSigma
from astroclean.registry.load import load_stage
from astroclean.simulate.contaminated import simulate_contaminated
from astroclean.testing.chunks import run_in_chunks

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Image = NDArray[np.float64]

SKY, READ_NOISE, GAIN, BIAS, LEVEL = 400.0, 5.0, 2.0, 300.0, 60000.0
NOISE = float(np.hypot(np.sqrt(SKY), READ_NOISE))
SIDE = 320


def exposed(light: Image, rng: np.random.Generator, **meta: Any) -> Frame:
    """Return electrons as a camera writes them."""
    electrons = rng.poisson(np.maximum(light + SKY, 0)) + rng.normal(0, READ_NOISE, light.shape)
    header = {"ACGAIN": GAIN, "ACRDNOIS": READ_NOISE, "ACSATUR": LEVEL, **meta}
    return Frame(np.minimum(np.round(electrons / GAIN + BIAS), 65535), unit="adu", meta=header)


def seen(light: Image, fwhm: float) -> Image:
    return np.asarray(gaussian_filter(light, fwhm / 2.3548))


def disc(shape: tuple[int, int], place: Any, scale: float, ratio: float, angle: float) -> Image:
    """An exponential disc, 1 in its middle."""
    y, x = np.indices(shape) - np.reshape(place, (2, 1, 1))
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return np.asarray(np.exp(-np.hypot(along, across / ratio) / scale))


def stars(rng: np.random.Generator, count: int, fwhm: float, brightest: float = 300) -> Image:
    """Moffat profiles, mean over four points of a pixel."""
    width = fwhm / 2 / np.sqrt(2 ** (1 / 3) - 1)
    image = np.zeros((SIDE, SIDE))
    for _ in range(count):
        peak = NOISE * np.exp(rng.uniform(np.log(5), np.log(brightest)))
        y, x = rng.uniform(0, SIDE, 2)
        box = tuple(slice(max(int(c) - 25, 0), min(int(c) + 25, SIDE)) for c in (y, x))
        rows, columns = np.mgrid[box] - np.array([y, x])[:, None, None]
        image[box] += np.mean(
            [
                peak * (1 + (np.hypot(rows + j, columns + i) / width) ** 2) ** -3.0
                for j in (-0.25, 0.25)
                for i in (-0.25, 0.25)
            ],
            axis=0,
        )
    return image


def discs(rng: np.random.Generator) -> Image:
    light, fwhm = np.zeros((SIDE, SIDE)), rng.uniform(2.5, 5)
    for _ in range(4):
        scale, ratio = np.exp(rng.uniform(np.log(5), np.log(30))), rng.uniform(0.05, 0.2)
        peak = NOISE * np.exp(rng.uniform(np.log(5), np.log(200)))
        place = rng.uniform(0, SIDE, 2)
        light += peak * disc(light.shape, place, scale, ratio, rng.uniform(0, np.pi))
    return seen(light, fwhm) + stars(rng, 10, fwhm)


def arcs(rng: np.random.Generator) -> Image:
    light, fwhm = np.zeros((SIDE, SIDE)), rng.uniform(2.5, 5)
    for _ in range(3):
        y, x = np.indices(light.shape) - rng.uniform(60, SIDE - 60, 2)[:, None, None]
        radius, width = rng.uniform(30, 110), rng.uniform(0.8, 2.5)
        half = np.radians(rng.uniform(20, 60)) / 2
        turn = np.arctan2(y, x) - rng.uniform(-np.pi, np.pi)
        beyond = np.maximum(np.abs((turn + np.pi) % (2 * np.pi) - np.pi) - half, 0) * radius
        peak = NOISE * np.exp(rng.uniform(np.log(5), np.log(200)))
        light += peak * np.exp(-(((np.hypot(y, x) - radius) / width) ** 2 + beyond**2 / 4) / 2)
        light += NOISE * rng.uniform(50, 600) * np.exp(-(np.hypot(y, x) ** 0.5) / 0.8)
    return seen(light, fwhm) + stars(rng, 10, fwhm)


def halos(rng: np.random.Generator) -> Image:
    """Nuclei with peaks of a tenth to three tenths of saturation."""
    light, fwhm = np.zeros((SIDE, SIDE)), rng.uniform(2.5, 5)
    for _ in range(3):
        y, x = np.indices(light.shape) - rng.uniform(40, SIDE - 40, 2)[:, None, None]
        r = np.hypot(y, x / rng.uniform(0.5, 1)) / rng.uniform(10, 40)
        nucleus = seen(np.exp(-7.67 * (r + 1e-3) ** 0.25), fwhm)
        light += nucleus / nucleus.max() * rng.uniform(0.1, 0.3) * LEVEL * GAIN
    return light + stars(rng, 10, fwhm)


def nebulae(rng: np.random.Generator) -> Image:
    """A bright nebula that ends within a few pixels; dark sky is beside it."""
    angle, edge = rng.uniform(0, 2 * np.pi), gaussian_filter(rng.normal(size=(SIDE, SIDE)), 30)
    y, x = np.indices((SIDE, SIDE)) - SIDE / 2
    depth = x * np.cos(angle) + y * np.sin(angle) + 40 * edge / edge.std()
    texture = gaussian_filter(rng.normal(size=(SIDE, SIDE)), 6)
    nebula = (1 + 0.2 * texture / texture.std()) / (1 + np.exp(-depth / rng.uniform(3, 25)))
    return nebula * NOISE * np.exp(rng.uniform(np.log(3), np.log(60))) + stars(rng, 15, 3.0)


def crowds(rng: np.random.Generator) -> Image:
    return stars(rng, 600, rng.uniform(1.5, 3.0), 2000)


def undersampled(rng: np.random.Generator) -> Image:
    return stars(rng, 60, rng.uniform(1.2, 1.6), 2000)


QUIET: dict[str, tuple[Callable[[np.random.Generator], Image], float]] = {
    "discs": (discs, 1e-4),
    "arcs": (arcs, 1e-4),
    "halos": (halos, 1e-4),
    "nebulae": (nebulae, 2e-3),
    "crowds": (crowds, 1e-4),
    "undersampled": (undersampled, 2e-4),
}
"""Sky, and the largest share of its pixels that may be rejected."""


def flags_of(frame: Frame, **options: Any) -> NDArray[np.uint32]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstrocleanWarning)  # that much was dropped
        flags: NDArray[np.uint32] = load_stage("maximask", **options).run(frame).frame.flags
    return flags


@pytest.mark.parametrize("name", QUIET)
def test_quiet_skies_stay_quiet(name: str) -> None:
    """No object of 20 sigma is touched in the most, and hardly a pixel rejected."""
    draw, most = QUIET[name]
    rejected = touched = objects = 0
    for seed in range(3):
        rng = np.random.default_rng((seed, 41))
        light = draw(rng)
        flags = flags_of(exposed(light, rng)) & np.uint32(REJECTING)
        rejected += int(np.count_nonzero(flags))
        labels, count = label(light > 20 * NOISE)
        objects += count
        touched += len(set(labels[flags != 0].tolist()) - {0})
    assert rejected <= most * 3 * SIDE**2
    assert objects > 3
    assert touched <= 0.02 * objects


@pytest.mark.slow
def test_pure_noise_has_no_contaminants() -> None:
    """Of a million pixels at most ten are rejected."""
    rng = np.random.default_rng(9)
    flags = flags_of(exposed(np.zeros((1024, 1024)), rng)) & np.uint32(REJECTING)
    assert np.count_nonzero(flags) <= 10


def kept(frame: Frame, plane: MaskPlane, found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return what the rules keep of flags on a frame."""
    transform = BackgroundSigma(box=64)
    gatherer = transform.gatherer(frame.shape)
    gatherer.add(frame.data, np.isfinite(frame.data))
    measured = transform.measurement(gatherer.finish())
    flags = found * np.uint32(plane)
    judged = judge(frame, flags, measured, height=frame.shape[0], margin=96)
    left = judged != 0
    assert not (left & ~found).any()
    return np.asarray(left)


def star(peak: float, fwhm: float) -> Image:
    """One star in the middle, in adu above the bias."""
    y, x = np.indices((SIDE, SIDE)) - SIDE // 2
    return np.asarray(GAIN * peak * np.exp(-0.5 * (np.hypot(y, x) / fwhm * 2.3548) ** 2))


@pytest.mark.parametrize("fwhm", [2.0, 3.5, 8.0])
@pytest.mark.parametrize("known", [True, False])
def test_saturated_is_a_level_or_a_plateau(fwhm: float, known: bool) -> None:
    rng = np.random.default_rng(3)
    meta = {} if known else {"ACSATUR": None}
    bright = exposed(np.minimum(star(4 * LEVEL, fwhm), GAIN * LEVEL), rng, **meta)
    faint = exposed(star(LEVEL / 4, fwhm), rng, **meta)
    core = star(1, fwhm) > GAIN * 0.2
    assert kept(bright, MaskPlane.SATURATED, core).sum() >= 0.8 * np.count_nonzero(
        bright.data > 0.95 * LEVEL
    )
    assert not kept(faint, MaskPlane.SATURATED, core).any()


def test_what_bled_from_a_full_pixel_is_kept_and_a_nucleus_beside_is_not() -> None:
    light = np.minimum(star(4 * LEVEL, 4.0), GAIN * LEVEL)
    light[100:220, 160] = 0.6 * GAIN * LEVEL
    light[155:166, 158:163] = GAIN * LEVEL
    light += np.roll(star(LEVEL / 4, 4.0), 60, axis=1)
    found = light > 0.15 * GAIN * LEVEL
    left = kept(exposed(light, np.random.default_rng(1)), MaskPlane.SATURATED, found)
    assert left[100:220, 160].all()
    assert not left[:, 200:].any()


@pytest.mark.parametrize("side", ["left", "right", "bottom", "top"])
def test_overscan_is_a_strip_along_a_border(side: str) -> None:
    rng = np.random.default_rng(5)
    data = exposed(np.zeros((SIDE, SIDE)), rng).data.copy()
    turned = data.T if side in {"left", "right"} else data
    turned = turned[::-1] if side in {"right", "top"} else turned
    dark = np.round(rng.normal(BIAS, READ_NOISE / GAIN, turned.shape))
    turned[:24] = dark[:24]
    truth = np.abs(data - BIAS) < 1e9
    strip = truth.T if side in {"left", "right"} else truth
    strip = strip[::-1] if side in {"right", "top"} else strip
    strip[24:] = False
    ragged = truth & (rng.random(truth.shape) < 0.9)
    frame = Frame(data, unit="adu", meta={})
    assert np.array_equal(kept(frame, MaskPlane.OVERSCAN, ragged), ragged)
    # An island, a corner, and a strip along a border on which nothing is darker.
    island, corner = np.zeros_like(truth), np.zeros_like(truth)
    island[100:200, 100:160] = corner[:60, :60] = True
    plain = exposed(np.zeros((SIDE, SIDE)), rng)
    for wrong in (island, corner, truth):
        assert not kept(plain, MaskPlane.OVERSCAN, wrong).any()


def test_overscan_of_headers_counts_where_it_lies_in_the_frame() -> None:
    shape = (100, 200)
    header = {"BIASSEC": "[91:110,1:100]", "BIASSEC2": "[191:260,1:100]", "TRIMSEC": "[1:9,1:9]"}
    assert sections(header, shape) == [(slice(0, 100), slice(90, 110))]
    rng = np.random.default_rng(2)
    data = exposed(np.zeros(shape), rng).data.copy()
    data[:, 90:110] = BIAS
    found = np.zeros(shape, dtype=bool)
    found[:, 85:115] = True
    left = kept(Frame(data, unit="adu", meta=header), MaskPlane.OVERSCAN, found)
    assert left[:, 90:110].all()
    assert left.sum() == 100 * 20
    assert not kept(Frame(data, unit="adu", meta={}), MaskPlane.OVERSCAN, found).any()


def along(angle: float, offset: float = 0.0) -> tuple[Image, Image]:
    """Return places along and across a line through the middle."""
    y, x = np.indices((SIDE, SIDE)) - SIDE / 2
    return (
        x * np.cos(angle) + y * np.sin(angle),
        y * np.cos(angle) - x * np.sin(angle) - offset,
    )


@pytest.mark.parametrize("angle", [0.0, 0.4, np.pi / 2, 2.5])
@pytest.mark.parametrize("peak", [4.0, 40.0])
def test_trails_are_kept(angle: float, peak: float) -> None:
    """From border to border, with an end in the frame, and with both; with stars on it."""
    rng = np.random.default_rng(7)
    t, u = along(angle)
    for part in (t > -1e9, t < 40, np.abs(t) < 90):
        light = peak * NOISE * np.exp(-0.5 * (u / 2) ** 2) * part
        frame = exposed(light + stars(rng, 15, 3.5, 60), rng)
        found = (light > NOISE) & (rng.random(light.shape) < 0.9)
        assert kept(frame, MaskPlane.TRAIL, found).sum() > 0.95 * found.sum()


@pytest.mark.parametrize("peak", [6.0, 30.0, 200.0])
def test_discs_and_arcs_are_no_trails(peak: float) -> None:
    rng = np.random.default_rng(8)
    y, x = np.indices((SIDE, SIDE)) - SIDE / 2
    arc = np.exp(-0.5 * ((np.hypot(y - 60, x) - 110) / 2) ** 2) * (y < 0) * (np.abs(x) < 50)
    edge_on = [disc((SIDE, SIDE), (160, 160), scale, 0.07, 0.5) for scale in (8, 20, 40)]
    cut = disc((SIDE, SIDE), (160, 4), 25, 0.1, 0.2)
    for shape in (arc, *edge_on, cut):
        light = peak * NOISE * seen(shape, 3.0)
        assert not kept(exposed(light, rng), MaskPlane.TRAIL, light > NOISE).any()


def test_ghosts_have_an_edge_and_halos_none() -> None:
    rng = np.random.default_rng(4)
    y, x = np.indices((SIDE, SIDE)) - SIDE / 2
    ring = (np.hypot(y, x) < 50) & (np.hypot(y - 3, x) > 16)
    frame = exposed(2 * NOISE * seen(ring.astype(float), 4), rng)
    assert kept(frame, MaskPlane.GHOST, ring).sum() == ring.sum()
    # Of a halo, a piece on one side; of a nebula, what is beside its brightest part.
    halo = 4000 * NOISE / (1 + np.hypot(y, x) ** 2)
    piece = (halo > NOISE) & (halo < 8 * NOISE) & (x > 20)
    assert not kept(exposed(halo, rng), MaskPlane.GHOST, piece).any()
    slope = 6 * NOISE / (1 + np.exp(-x / 30))
    assert not kept(exposed(slope, rng), MaskPlane.GHOST, np.hypot(y, x) < 40).any()


def test_crosstalk_has_a_star_or_a_bleed_trail() -> None:
    rng = np.random.default_rng(6)
    y, x = np.indices((SIDE, SIDE)) - np.array([160, 90])[:, None, None]
    figure = np.where(np.hypot(y, x) < 9, 1.0, 0.0)
    found = figure > 0
    bled = np.maximum(figure, (np.abs(x) < 1.5) & (np.abs(y) < 50))
    for sign in (1, -1):
        frame = exposed(sign * 4 * NOISE * bled, rng)
        assert kept(frame, MaskPlane.CROSSTALK, found).sum() == found.sum()
    mirrored = 4 * NOISE * figure + 4000 * NOISE * figure[:, ::-1]
    assert kept(exposed(mirrored, rng), MaskPlane.CROSSTALK, found).any()
    galaxy = 30 * NOISE * np.exp(-np.hypot(y, x) / 6)
    for light in (galaxy, 4 * NOISE * figure, 20 * NOISE * disc(y.shape, (160, 90), 20, 0.1, 1.5)):
        assert not kept(exposed(light, rng), MaskPlane.CROSSTALK, found).any()


@pytest.mark.parametrize("fwhm", [1.5, 2.0, 3.0, 5.0])
def test_stars_are_no_hits_and_hits_are(fwhm: float) -> None:
    rng = np.random.default_rng(2)
    light = star(100 * NOISE / GAIN, fwhm)
    core = light > 0.4 * light.max()
    assert not kept(exposed(light, rng), MaskPlane.COSMIC_RAY, core).any()
    track = np.zeros((SIDE, SIDE))
    track[150, 150] = track[100, 40:60] = 60 * NOISE
    track[200:206, 200:206] = np.diag([40 * NOISE] * 6)
    frame = exposed(track + star(50 * NOISE, 20), rng)
    assert kept(frame, MaskPlane.COSMIC_RAY, track > 0).sum() == np.count_nonzero(track)


def test_a_dead_pixel_is_below_the_noise() -> None:
    frame = exposed(np.zeros((64, 64)), np.random.default_rng(1))
    data = frame.data.copy()
    data[20, 20] = BIAS
    found = np.zeros(data.shape, dtype=bool)
    found[20, 20] = found[40, 40] = True
    left = kept(Frame(data, unit="adu", meta={}), MaskPlane.DEAD_PIXEL, found)
    assert left[20, 20]
    assert not left[40, 40]


def test_dead_lines_are_straight_or_deep() -> None:
    """Dark patches of correlated noise, as resampled images have, are neither."""
    rng = np.random.default_rng(1)
    data = exposed(np.zeros((128, 128)), rng).data.copy()
    line, cluster, patch = (np.zeros(data.shape, dtype=bool) for _ in range(3))
    line[30:80, 40:42] = cluster[90:96, 90:97] = patch[20:25, 90:96] = True
    data[line] -= 1.5 * NOISE / GAIN
    data[cluster] = BIAS
    data[patch] -= 1.5 * NOISE / GAIN
    frame = Frame(data, unit="adu", meta={})
    left = kept(frame, MaskPlane.DEAD_LINE, line | cluster | patch)
    assert np.array_equal(left, line | cluster)


def test_spikes_are_long_and_have_a_star() -> None:
    t, u = along(0.6)
    arm = 10 * NOISE * np.exp(-0.5 * u**2) * (np.abs(t) < 40)
    found = (arm > 3 * NOISE) & (np.abs(t) > 8)
    rng = np.random.default_rng(1)
    assert kept(exposed(arm + star(5e4, 3.0), rng), MaskPlane.SPIKE, found).sum() == found.sum()
    assert not kept(exposed(arm, rng), MaskPlane.SPIKE, found).any()
    assert not kept(exposed(arm + star(5e4, 3.0), rng), MaskPlane.SPIKE, found & (t < 13)).all()


@pytest.fixture(scope="module")
def scene() -> Any:
    """Several strips high, with contaminants on either side of their borders."""
    return simulate_contaminated(seed=5023, shape=(1300, 300))


@pytest.mark.slow
def test_bands_of_several_strips_give_the_same_bytes(scene: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstrocleanWarning)
        stage = load_stage("maximask", tile=256)
        assert 512 <= stage.scope(scene.frame).step < 650
        whole = stage.run(scene.frame)
        bands = run_in_chunks(stage, scene.frame, rows=1)
    assert bands["flags"].tobytes() == whole.frame.flags.tobytes()
    assert any(key.startswith("dropped ") for key in whole.metrics)


def test_what_was_dropped_is_counted_and_told() -> None:
    rng = np.random.default_rng((0, 41))
    frame = exposed(nebulae(rng), rng)
    everything = load_stage("maximask", evidence=False).run(frame)
    with pytest.warns(AstrocleanWarning, match=r"dropped: .* `evidence = false`"):
        judged = load_stage("maximask").run(frame)
    before, after = everything.metrics, judged.metrics
    for plane in RULES:
        name = plane.name
        lost = before.get(f"pixels {name}", 0) - after.get(f"pixels {name}", 0)
        assert after.get(f"dropped {name}", 0) == lost
    assert not any(key.startswith("dropped ") for key in before)


@pytest.mark.slow
def test_other_planes_and_few_classes_are_left_alone(scene: Any) -> None:
    classes = {"classes": ["FR", "NEB", "BBG", "HCL"]}
    some = [flags_of(scene.frame, **classes, evidence=judged) for judged in (True, False)]
    assert np.array_equal(*some)
    assert not np.count_nonzero(
        flags_of(scene.frame, classes=["TRL"]) & ~np.uint32(64) & ~scene.frame.flags
    )
