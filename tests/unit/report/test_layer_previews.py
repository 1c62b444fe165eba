"""Layers: each beside the image at the same place of the sky, whatever its grid."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from astropy.wcs import WCS
from PIL import Image

from astroclean.core.image.grid import Grid
from astroclean.core.image.layer import Layer, LayerSpec
from astroclean.report.layer_previews import make_layer_previews, make_raw_preview

FINE = LayerSpec("SUPERRES", "the image on a finer grid", own_grid=True, always=True)
SHARE = LayerSpec("SUPPORT", "0 to 1", unit="", own_grid=True, always=True)


def gray(uri: str) -> np.ndarray:
    """Gray of each pixel, row 0 first."""
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
        pixels = np.asarray(image.convert("RGB"))[::-1].astype(int)
    return np.where(pixels[..., 0] == pixels[..., 2], pixels[..., 0], -1)


def sky(shape: tuple[int, int], angle: float = 0.0) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [150.0, 2.0]
    wcs.wcs.crpix = [shape[1] / 2, shape[0] / 2]
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    wcs.wcs.cd = 1e-4 * np.array([[-1.0, 0], [0, 1.0]]) @ turn
    wcs.wcs.set()
    return wcs


def star(shape: tuple[int, int], y: float, x: float, width: float) -> np.ndarray:
    rows, columns = np.indices(shape)
    light = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * width**2))
    noise = np.random.default_rng(1).normal(0, 0.01, shape)
    return (1000 * light + 10 + noise).astype(np.float32)


def middle(picture: np.ndarray) -> Any:
    """Middle of what is brightest."""
    return np.argwhere(picture >= np.percentile(picture, 99.9)).mean(0)


@pytest.mark.parametrize("wcs", [None, sky((90, 120))])
def test_finer_image_shows_the_same_sky(wcs: WCS | None) -> None:
    science = star((90, 120), 60, 30, 3)
    grid = Grid((90, 120), wcs)
    fine = star((540, 720), 6 * 60.5 - 0.5, 6 * 30.5 - 0.5, 6)
    layers = {"SUPERRES": Layer(fine, grid.finer(6), declared=FINE)}
    whole, detail = make_layer_previews(layers, science, grid)
    assert (whole.title, detail.title) == ("SUPERRES", "SUPERRES, detail")
    assert (whole.width, whole.height, whole.step) == (360, 270, 2)
    assert (detail.width, detail.height, detail.zoom, detail.step) == (160, 160, 4, 1)
    for view, tolerance in ((whole, 2.0), (detail, 4.0)):
        assert view.labels == ("science", "SUPERRES")
        before, after = gray(view.before), gray(view.after)
        assert (before >= 0).all()  # every pixel is covered
        assert middle(before) == pytest.approx(middle(after), abs=tolerance)


def test_the_image_comes_before_what_is_told_of_it() -> None:
    grid, image = Grid((40, 40)), star((40, 40), 20, 20, 2)
    told = {name: Layer(np.ones((40, 40)), grid, declared=SHARE) for name in "ABCDEFGHI"}
    result = Layer(image, grid.finer(2), declared=FINE)
    views = make_layer_previews({**told, "SUPERRES": result}, image, grid)
    assert [view.title for view in views] == ["SUPERRES", *"ABCDEFG"]


def test_grid_that_is_turned_on_the_sky() -> None:
    frame = Grid((100, 100), sky((100, 100)))
    other = Grid((100, 100), sky((100, 100), angle=0.5))
    science = star((100, 100), 70, 40, 2)
    x, y = other.wcs.world_to_pixel(frame.wcs.pixel_to_world(40, 70))
    layer = Layer(star((100, 100), float(y), float(x), 2), other, declared=FINE)
    (whole,) = make_layer_previews({"SUPERRES": layer}, science, frame)
    before, after = gray(whole.before), gray(whole.after)
    assert middle(before) == pytest.approx(middle(after), abs=1)
    assert (before[0] == -1).any()  # corners that the image does not cover
    assert (after >= 0).all()


def test_share_is_drawn_from_0_to_1_alone() -> None:
    grid = Grid((50, 60))
    share = np.full((50, 60), 0.5, np.float32)
    share[0, 0], share[0, 1] = 0, 1
    (view,) = make_layer_previews({"SUPPORT": Layer(share, grid, declared=SHARE)}, share, grid)
    assert view.before == ""
    picture = gray(view.after)
    assert (picture[0, 0], picture[0, 1]) == (0, 255)
    assert 0 < picture[5, 5] < 255


def test_zero_is_the_middle_gray_of_what_has_either_sign() -> None:
    grid = Grid((60, 80))
    chi = np.random.default_rng(2).normal(0, 1, (60, 80)).astype(np.float32)
    chi[:2, :2], chi[5, 5], chi[5, 7] = 40, 0, np.nan  # one source that is not explained
    chi[3, 3], chi[3, 5] = 2.5, -2.5
    (view,) = make_layer_previews({"CHI": Layer(chi, grid, declared=SHARE)}, chi, grid)
    picture = gray(view.after)
    assert picture[5, 5] == pytest.approx(127.5, abs=1)
    assert picture[3, 3] + picture[3, 5] == pytest.approx(255, abs=2)
    assert picture[3, 3] == pytest.approx(191, abs=6)  # the ends are about 5 standard deviations
    assert (picture[0, 0], picture[5, 7]) == (255, -1)
    assert "0 is the middle gray" in view.note
    flat = np.zeros((4, 4), np.float32)
    flat[0, 0] = -1
    (view,) = make_layer_previews({"CHI": Layer(flat, grid, declared=SHARE)}, chi, grid)
    assert "from -1 to 1" in view.note


def test_labels_and_probabilities_are_no_images() -> None:
    grid = Grid((20, 20))
    spec = LayerSpec("PROB_*", "probability", unit="")
    labels = LayerSpec("SEGMENTATION", "ids", "")
    layers = {
        "PROB_CR": Layer(np.zeros((20, 20), np.float32), grid, declared=spec),
        "SEGMENTATION": Layer(np.zeros((20, 20), np.int32), grid, declared=labels),
    }
    assert make_layer_previews(layers, np.zeros((20, 20), np.float32), grid) == []


def test_raw_image_beside_the_calibrated_one() -> None:
    raw = star((300, 700), 100, 200, 4) + np.linspace(0, 500, 700)
    view = make_raw_preview(raw, (raw - np.linspace(0, 500, 700)).astype(np.float32))
    assert view.labels == ("raw", "calibrated")
    assert (view.width, view.height, view.step) == (350, 150, 2)
    before, after = gray(view.before), gray(view.after)
    assert before[10, 340] > before[10, 5] + 30  # the slope of the bias
    assert abs(int(after[10, 340]) - int(after[10, 5])) < 30
