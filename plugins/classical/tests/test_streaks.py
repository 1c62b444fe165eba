"""`streaks`: trails are found to about the noise of a pixel; stars, spikes and columns are left."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest
from astroclean_classical.streaks.lines import Line
from astroclean_classical.streaks.stage import Streaks, StreaksOptions
from hypothesis import given, settings
from hypothesis import strategies as st

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.stage.results import Outcome
from astroclean.testing.contracts import MaskerContract

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from astroclean.core.stage.results import StageResult

SHAPE = (300, 340)
SKY, NOISE = 200.0, 10.0


class TestContract(MaskerContract):
    plugin = "streaks"
    options: ClassVar = {"min_length": 40, "size": 128}


def run(frame: Frame, **options: object) -> StageResult:
    return Streaks(StreaksOptions(**options)).run(frame)


def field(seed: int, *, stars: int = 40, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Sky, noise and stars of all brightnesses."""
    generator = np.random.default_rng(seed)
    image = generator.normal(SKY, NOISE, shape)
    y, x = np.indices(shape)
    flux = 300 * generator.pareto(0.8, stars).clip(0.1, 2000)
    for amount, cx, cy in zip(
        flux,
        generator.uniform(0, shape[1], stars),
        generator.uniform(0, shape[0], stars),
        strict=True,
    ):
        image += amount / 14 * (1 + ((x - cx) ** 2 + (y - cy) ** 2) / 5.0) ** -2.5
    return image


def trail(
    line: Line, *, peak: float, fwhm: float = 3.0, length: float = np.inf, shape: tuple = SHAPE
) -> tuple[np.ndarray, np.ndarray]:
    """Brightness in sigma of a pixel, and the pixels within half maximum."""
    y, x = np.indices(shape, dtype=float)
    dx, dy = line.direction
    along = (x - line.x) * dx + (y - line.y) * dy
    across = (y - line.y) * dx - (x - line.x) * dy
    inside = np.abs(along) <= length / 2
    profile = np.exp(-4 * np.log(2) * (across / fwhm) ** 2)
    return peak * NOISE * profile * inside, inside & (np.abs(across) <= fwhm / 2)


def scene(
    seed: int, peak: float, *, fwhm: float = 3.0, length: float = np.inf
) -> tuple[Frame, np.ndarray]:
    """A field with one trail at a random place, not along an axis."""
    generator = np.random.default_rng([seed, 1])
    angle = float(generator.uniform(3, 87) * generator.choice([-1, 1]))
    ny, nx = SHAPE
    line = Line(nx * generator.uniform(0.35, 0.65), ny * generator.uniform(0.35, 0.65), angle)
    light, truth = trail(line, peak=peak, fwhm=fwhm, length=length)
    return Frame(field(seed) + light, unit="adu"), truth


def found(frame: Frame, truth: np.ndarray, **options: object) -> tuple[float, float]:
    """Return completeness and false positive rate, by pixels beyond 3 of the trail."""
    from scipy.ndimage import distance_transform_edt

    mask = run(frame, **options).frame.where("TRAIL")
    away = distance_transform_edt(~truth) > 3
    return float(mask[truth].mean()), float(mask[away].mean())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("peak", "length", "least"), [(1.0, np.inf, 0.7), (2.0, 250.0, 0.8), (30.0, 150.0, 0.95)]
)
def test_trails_are_found_down_to_the_noise(peak: float, length: float, least: float) -> None:
    scores = np.array([found(*scene(seed, peak, length=length)) for seed in range(4)])
    assert scores[:, 0].mean() > least
    assert scores[:, 1].max() < 0.02


@pytest.mark.slow
def test_fields_without_trails_stay_clean() -> None:
    for seed in range(5):
        result = run(Frame(field(seed + 100), unit="adu"))
        assert result.outcome is Outcome.NO_WORK
        assert result.metrics["trails"] == 0


@pytest.mark.slow
@settings(max_examples=6, deadline=None)
@given(angle=st.floats(2, 88), x=st.floats(120, 220), y=st.floats(110, 190))
def test_place_angle_and_width_are_measured(angle: float, x: float, y: float) -> None:
    line = Line(x, y, angle)
    light, truth = trail(line, peak=20, fwhm=4)
    result = run(Frame(field(1, stars=0) + light, unit="adu"))
    assert result.metrics["trails"] == 1
    assert result.metrics["longest: angle (degrees)"] == pytest.approx(angle, abs=0.3)
    assert 4 <= result.metrics["longest: width (pixels)"] <= 14
    assert result.frame.where("TRAIL")[truth].mean() > 0.98


def test_two_trails_that_cross_are_both_found() -> None:
    parts = [trail(Line(170, 150, angle), peak=8) for angle in (25.0, -50.0)]
    image = field(3) + parts[0][0] + parts[1][0]
    result = run(Frame(image, unit="adu"))
    assert result.metrics["trails"] == 2
    mask = result.frame.where("TRAIL")
    for _, truth in parts:
        assert mask[truth].mean() > 0.95


@pytest.mark.slow
def test_only_the_length_of_the_trail_is_flagged() -> None:
    light, truth = trail(Line(170, 150, 40), peak=10, length=160)
    result = run(Frame(field(4) + light, unit="adu"))
    assert result.metrics["longest: length (pixels)"] == pytest.approx(160, abs=25)
    assert found(Frame(field(4) + light, unit="adu"), truth)[1] < 0.005


@pytest.mark.slow
def test_bad_columns_and_rows_are_left_unless_asked_for() -> None:
    image = field(5)
    image[:, 200] += 100
    image[150, 30:300] += 80
    frame = Frame(image, unit="adu")
    assert run(frame).metrics["trails"] == 0
    asked = run(frame, axis_margin=0).frame.where("TRAIL")
    assert asked[:, 200].mean() > 0.9
    assert asked[150, 40:290].mean() > 0.9


@pytest.mark.slow
def test_spikes_along_the_axes_are_left() -> None:
    image = field(6)
    y, x = np.indices(SHAPE)
    for dx, dy in ((1, 0), (0, 1)):
        along, across = (x - 170) * dx + (y - 150) * dy, (y - 150) * dx - (x - 170) * dy
        image += 3e4 / (1 + np.abs(along)) * np.exp(-0.5 * across**2)
    assert run(Frame(image, unit="adu")).metrics["trails"] == 0


def test_the_flank_of_a_star_beyond_the_border_is_no_trail() -> None:
    image = field(7)
    y, x = np.indices(SHAPE)
    image += 3e5 / (1 + (x - 200) ** 2 + (y + 10) ** 2) ** 0.75
    assert run(Frame(image, unit="adu")).metrics["trails"] == 0


def test_a_row_of_stars_is_no_trail() -> None:
    image = field(8, stars=0)
    y, x = np.indices(SHAPE)
    for step in range(-150, 151, 30):
        cx, cy = 170 + step * 0.8, 150 + step * 0.6
        image += 800 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 4)
    assert run(Frame(image, unit="adu")).metrics["trails"] == 0


@pytest.mark.slow
def test_rejected_pixels_are_not_read() -> None:
    frame, _ = scene(2, 5.0)
    bad = np.random.default_rng(1).random(SHAPE) < 0.02
    masks = [
        run(frame.replace(data=np.where(bad, value, frame.data)).add_planes(bad, "HP")).frame.flags
        for value in (0.0, 1e9)
    ]
    assert np.array_equal(*masks)
    assert (masks[0] & np.uint32(MaskPlane.TRAIL)).any()


@pytest.mark.slow
@pytest.mark.parametrize("scale", [2.0**-30, 2.0**20])
def test_unit_and_level_do_not_matter(scale: float) -> None:
    frame, _ = scene(1, 4.0)
    plain = run(frame).frame.where("TRAIL")
    assert plain.any()
    scaled = run(Frame((frame.data - 200) * scale, unit="MJy / sr")).frame.where("TRAIL")
    assert np.mean(scaled != plain) < 1e-3


@pytest.mark.slow
def test_real_trail_is_found(real_data: Callable[[str], Path]) -> None:
    frame = Frame.read(real_data("ystar_saao_trail.fits"), unit="adu")
    result = run(frame)
    assert result.metrics["trails"] == 1
    assert result.metrics["longest: length (pixels)"] == pytest.approx(319, abs=16)
    mask = result.frame.where("TRAIL")
    # By eye: the trail goes from (24, 339) to (340, 309), seven pixels wide at half its height.
    for x in range(30, 335, 5):
        y = 339 - (x - 24) * 30 / 316
        assert mask[round(y) - 2 : round(y) + 3, x].all()
    assert mask.sum() < 319 * 20


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "kpno09m_a671_r_1200s.fits.fz",
        "ntt_emmi_na36_r.fits.gz",
        "hst_wfpc2_omegacen_pc1_wf3.fits.gz[1]",
        "kpno_m51_b.fits.gz",
    ],
)
def test_real_fields_without_trails_stay_clean(real_data: Callable[[str], Path], name: str) -> None:
    file, bracket, address = name.partition("[")
    frame = Frame.read(f"{real_data(file)}{bracket}{address}", unit="adu")
    assert run(frame).metrics["trails"] == 0
