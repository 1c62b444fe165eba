"""The background mesh: the same from bands as from the frame, and what other programs measure."""

from __future__ import annotations

import numpy as np
import pytest
import sep
from hypothesis import given, settings
from hypothesis import strategies as st
from photutils.background import Background2D

from astroclean.core.image.frame import Frame
from astroclean.core.stage.scope import measure
from astroclean.testing.chunks import frame_chunks
from astroclean.tiling.background import (
    Background,
    BackgroundSurvey,
    MeshGatherer,
    MeshSettings,
)


def sky(shape: tuple[int, int], seed: int = 1) -> np.ndarray:
    """A slope and a wave under noise that grows to the right, with stars."""
    rng = np.random.default_rng(seed)
    x = np.arange(shape[1])
    image = true_sky(shape) + (5 + 5 * x / shape[1]) * rng.normal(size=shape)
    stars = rng.integers(0, shape[0] * shape[1], shape[0] * shape[1] // 400)
    image.ravel()[stars] += 5000
    return image.astype(np.float32)


def true_sky(shape: tuple[int, int]) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return 300 + 0.02 * y + 4 * np.sin(x / 90)


def gathered(
    data: np.ndarray,
    valid: np.ndarray,
    heights: list[int],
    mesh: MeshSettings,
    threads: int = 1,
) -> Background:
    gatherer = MeshGatherer(mesh, data.shape, threads=threads)
    start = 0
    for height in [*heights, data.shape[0]]:
        rows = slice(start, start + height)
        if data[rows].size:
            gatherer.add(data[rows], valid[rows])
        start += height
    return gatherer.finish()


@given(
    shape=st.tuples(st.integers(1, 90), st.integers(1, 60)),
    heights=st.lists(st.integers(1, 40), max_size=6),
    box=st.integers(4, 30),
    seed=st.integers(0, 99),
    masked=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    whole_cells=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_bands_of_any_height_give_the_same_mesh_and_any_part_the_same_map(
    shape: tuple[int, int],
    heights: list[int],
    box: int,
    seed: int,
    masked: float,
    whole_cells: bool,
) -> None:
    data = sky(shape, seed)
    valid = np.random.default_rng(seed).random(shape) >= masked
    data[~valid] = np.nan
    mesh = MeshSettings(box=box, whole_cells=whole_cells)
    whole, bands = gathered(data, valid, [], mesh), gathered(data, valid, heights, mesh)
    assert np.array_equal(whole.level_mesh, bands.level_mesh)
    assert np.array_equal(whole.rms_mesh, bands.rms_mesh)
    level, rms = whole.level(), whole.rms()
    assert np.isfinite(level).all()
    y, x = shape[0] // 3, shape[1] // 4
    part = ((y, x), (shape[0] - y, shape[1] - x))
    assert np.array_equal(bands.level(*part), level[y:, x:])
    assert np.array_equal(bands.rms(*part), rms[y:, x:])


@pytest.mark.parametrize("heights", [[], [13, 40, 8, 8]])
def test_threads_measure_the_same_mesh(heights: list[int]) -> None:
    data = sky((150, 90))
    valid = np.random.default_rng(2).random(data.shape) > 0.1
    mesh = MeshSettings(box=16)
    alone, together = (gathered(data, valid, heights, mesh, threads=n) for n in (1, 3))
    assert np.array_equal(alone.level_mesh, together.level_mesh)
    assert np.array_equal(alone.rms_mesh, together.rms_mesh)


def test_sky_and_noise_are_those_that_were_put_in() -> None:
    shape = (500, 700)
    data = sky(shape)
    # A median over 150 pixels would flatten the wave.
    found = gathered(data, np.ones(shape, bool), [], MeshSettings(box=50, filter_size=1))
    inner = (slice(25, -25), slice(25, -25))
    # 2.5 medians less 1.5 means of 2500 pixels with a noise of 7.5.
    assert np.std((found.level() - true_sky(shape))[inner]) < 0.6
    x = np.arange(700)
    np.testing.assert_allclose(found.rms()[250], 5 + 5 * x / 700, rtol=0.12)


def test_as_sep_and_photutils_measure() -> None:
    shape = (512, 640)
    data = sky(shape)
    ours = gathered(data, np.ones(shape, bool), [], MeshSettings(box=64, filter_size=1))
    inner = (slice(32, -32), slice(32, -32))
    theirs = sep.Background(data, bw=64, bh=64, fw=1, fh=1)
    assert np.max(np.abs(ours.level() - theirs.back())[inner]) < 1.5
    np.testing.assert_allclose(ours.rms()[inner], theirs.rms()[inner], rtol=0.1)
    assert ours.typical_rms == pytest.approx(theirs.globalrms, rel=0.05)
    mesh = Background2D(data, 64, filter_size=1, exclude_percentile=100).background_mesh
    np.testing.assert_allclose(ours.level_mesh, mesh, rtol=1e-6)


@pytest.mark.parametrize("side", ["bottom", "top", "left", "right"])
def test_the_sky_beside_an_overscan_is_the_sky(side: str) -> None:
    shape = (330, 340)
    data, sky_level = sky(shape), true_sky(shape)
    strip = {
        "bottom": (slice(0, 22), slice(None)),
        "top": (slice(-22, None), slice(None)),
        "left": (slice(None), slice(0, 22)),
        "right": (slice(None), slice(-22, None)),
    }[side]
    exposed = np.ones(shape, bool)
    exposed[strip] = False
    noise = np.random.default_rng(5).normal(size=shape)
    data[~exposed] = 100 + 5 * noise[~exposed]
    valid = np.ones(shape, bool)
    whole = gathered(data, valid, [], MeshSettings(box=100, whole_cells=True))
    # Without the median filter a cell speaks for itself.
    alone = MeshSettings(box=100, filter_size=1, whole_cells=True)
    for found in (whole, gathered(data, valid, [], alone)):
        assert np.max(np.abs(found.level() - sky_level)[exposed]) < 15, "noise is 5 to 10"
        assert np.max(found.rms()) < 12
        # So the overscan itself is far below the sky.
        assert np.median(((data - found.level()) / found.rms())[~exposed]) < -15
    # Cells as narrow as what is left over hold the overscan alone: at the far borders it is sky.
    partial = gathered(data, valid, [], MeshSettings(box=100, filter_size=1))
    if side in {"top", "right"}:
        assert np.median(((data - partial.level()) / partial.rms())[~exposed]) > -10


@pytest.mark.parametrize(
    ("length", "first", "count"), [(99, 49, 1), (230, 64.5, 2), (300, 49.5, 3)]
)
def test_whole_cells_lie_in_the_middle(length: int, first: float, count: int) -> None:
    data = sky((length, 100))
    mesh = MeshSettings(box=100, whole_cells=True)
    found = gathered(data, np.ones(data.shape, bool), [7, 60], mesh)
    assert found.shape == data.shape
    np.testing.assert_array_equal(found.centers[0], first + 100 * np.arange(count))
    assert found.level_mesh.shape == (count, 1)
    top = int(first - 49.5) if length >= 100 else 0
    cell = data[top : top + 100].astype(float)
    alone = gathered(cell.astype(np.float32), np.ones(cell.shape, bool), [], MeshSettings(box=100))
    unfiltered = MeshSettings(box=100, filter_size=1, whole_cells=True)
    first_cell = gathered(data, np.ones(data.shape, bool), [], unfiltered).level_mesh[0, 0]
    assert first_cell == alone.level_mesh[0, 0]


def test_cells_without_pixels_take_the_sky_of_those_near_them() -> None:
    data = sky((300, 300))
    valid = np.ones(data.shape, bool)
    valid[100:200, 100:200] = False
    data[~valid] = 1e9
    found = gathered(data, valid, [], MeshSettings(box=25))
    assert np.max(np.abs(found.level() - true_sky(data.shape))) < 5
    none = gathered(data, np.zeros_like(valid), [], MeshSettings(box=25))
    assert not none.level().any()
    assert none.typical_rms == 0


def test_the_survey_leaves_out_what_is_rejected() -> None:
    data = sky((200, 90))
    flags = np.zeros(data.shape, np.uint32)
    data[::3, ::2] = 2000
    flags[::3, ::2] = 1
    frame = Frame(data, unit="adu", flags=flags)
    clean = gathered(data, flags == 0, [], MeshSettings(box=40))
    survey = BackgroundSurvey(MeshSettings(box=40))
    found = measure(survey, lambda: frame_chunks(frame, rows=33, halo=5))
    assert np.array_equal(found.level_mesh, clean.level_mesh)
