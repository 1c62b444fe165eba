"""Pictures: orientation, masks that survive, one stretch for both, odd frames."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from astroclean.core.flags.planes import MaskPlane
from astroclean.report.chances import THRESHOLDS, counts_above
from astroclean.report.drawing import PLANE_COLORS, Stretch
from astroclean.report.preview import make_previews

if TYPE_CHECKING:
    from astroclean.report.picture_records import Preview

CR = np.uint32(MaskPlane.COSMIC_RAY)


def opened(uri: str) -> np.ndarray:
    """RGBA pixels of a data URI."""
    kind, _, text = uri.partition(",")
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        return np.asarray(image.convert("RGBA"))


def previews(
    before: np.ndarray,
    after: np.ndarray | None = None,
    flags: np.ndarray | None = None,
    limit: int = 720,
) -> list[Preview]:
    """Previews with defaults for what a test does not care about."""
    before = before.astype(np.float32)
    after = before if after is None else after.astype(np.float32)
    flags = np.zeros(before.shape, np.uint32) if flags is None else flags
    changed = (before != after) & ~(np.isnan(before) & np.isnan(after))
    return make_previews(before, after, flags, changed, limit=limit)


def noise(shape: tuple[int, int], seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 5, shape)


def test_every_plane_has_a_color_of_its_own() -> None:
    assert list(PLANE_COLORS) == list(MaskPlane.__members__)
    assert len(set(PLANE_COLORS.values())) == len(PLANE_COLORS)
    for color in PLANE_COLORS.values():
        assert len(bytes.fromhex(color.removeprefix("#"))) == 3


def test_a_picture_of_one_value_says_so_and_one_of_few_others_shows_these() -> None:
    picture, usable = np.zeros((20, 30)), np.ones((20, 30), bool)
    assert str(Stretch.of(picture, usable)) == "all usable pixels are 0"
    assert set(Stretch.of(picture, usable).index(picture, 15).ravel()) < set(range(1, 16))
    picture[3, 4:6] = 5, 50
    stretch = Stretch.of(picture, usable)
    assert str(stretch) == "asinh stretch from 0 to 50"
    assert 1 < stretch.index(picture, 15)[3, 4] < stretch.index(picture, 15)[3, 5] == 15


@pytest.mark.parametrize("seed", range(25))
def test_one_flagged_pixel_is_seen_where_it_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ny, nx, limit = (int(n) for n in rng.integers((1, 1, 16), (300, 300, 90)))
    y, x = int(rng.integers(ny)), int(rng.integers(nx))
    flags = np.zeros((ny, nx), np.uint32)
    flags[y, x] = CR
    overview = previews(np.zeros((ny, nx)), flags=flags, limit=limit)[0]
    assert max(overview.width, overview.height) <= limit
    mask = opened(overview.planes["COSMIC_RAY"])[::-1, :, 3] > 0
    rows, columns = np.nonzero(mask)
    factor = -(-max(ny, nx) // limit)
    zoom = overview.zoom if overview.is_outlined else 1
    assert set(rows // zoom) == {y // factor}
    assert set(columns // zoom) == {x // factor}
    assert list(overview.planes) == ["COSMIC_RAY"]


def test_overlay_has_the_color_of_the_legend_and_is_clear_elsewhere() -> None:
    flags = np.zeros((40, 50), np.uint32)
    flags[3, 7] = MaskPlane.SATURATED
    overlay = opened(previews(noise((40, 50)), flags=flags)[0].planes["SATURATED"])
    shown = overlay[overlay[..., 3] == 255]
    assert {bytes(pixel[:3]).hex() for pixel in shown} == {PLANE_COLORS["SATURATED"][1:]}
    assert set(np.unique(overlay[..., 3])) == {0, 255}


def test_row_zero_is_at_the_bottom_and_column_zero_at_the_left() -> None:
    image = noise((200, 100))
    image[:20, :10] += 500
    picture = opened(previews(image)[0].before)[..., 0].astype(float)
    ny, nx = picture.shape
    corners = {
        "lower left": picture[-ny // 12 :, : nx // 12].mean(),
        "upper left": picture[: ny // 12, : nx // 12].mean(),
        "lower right": picture[-ny // 12 :, -nx // 12 :].mean(),
    }
    assert corners["lower left"] > 2 * corners["upper left"]
    assert corners["lower left"] > 2 * corners["lower right"]


def test_both_pictures_have_one_stretch() -> None:
    before = noise((120, 120))
    after = before.copy()
    after[40:60, 40:60] = 1e5
    for preview in previews(before, after):
        old, new = opened(preview.before), opened(preview.after)
        same = old == new
        assert 0.4 < same.mean() < 1
    # What the pixels have become must not change how those before are drawn.
    assert previews(before, after)[0].before == previews(before)[0].before


def test_gray_follows_the_value() -> None:
    ramp = np.tile(np.linspace(0, 1000, 160), (160, 1))
    gray = opened(previews(ramp)[0].before)[80, :, 0].astype(int)
    assert (np.diff(gray) >= 0).all()
    assert gray[0] == 0


def test_binned_picture_is_the_mean_of_valid_pixels() -> None:
    image = noise((400, 400))
    image[::2, ::2] = np.nan
    whole = opened(previews(noise((400, 400)), limit=200)[0].before)
    holed = opened(previews(image, limit=200)[0].before)
    colored = holed[..., 0] != holed[..., 2]
    assert not colored.any()
    assert whole.shape == holed.shape == (200, 200, 4)
    image[:100] = np.nan
    colored = opened(previews(image, limit=200)[0].before)
    assert (colored[-50:, :, 0] != colored[-50:, :, 2]).all()
    assert (colored[:-50, :, 0] == colored[:-50, :, 2]).all()


def test_details_show_where_most_pixels_changed() -> None:
    before = noise((900, 1200))
    after = before.copy()
    before[100:104, 200:204] += 900
    before[700:720, 1000:1030] += 900
    before[400, 600] += 900  # not worth a picture beside 600 pixels
    overview, first, second = previews(before, after)
    assert [p.title for p in (overview, first, second)] == ["overview", "detail 1", "detail 2"]
    for detail, count, middle in ((first, 20 * 30, (709.5, 1014.5)), (second, 16, (101.5, 201.5))):
        assert (detail.width, detail.height, detail.zoom, detail.step) == (160, 160, 4, 1)
        old, new = (opened(uri)[..., 0].astype(int) for uri in (detail.before, detail.after))
        differ = np.argwhere((old - new > 100)[::-1]) + np.array([detail.y, detail.x])
        assert len(differ) == count
        assert np.abs(differ.mean(0) - middle).max() < 0.6
    # The changed pixels lie in the middle of the window.
    assert (first.y, first.x) == pytest.approx((709.5 - 80, 1014.5 - 80), abs=1)


@pytest.mark.parametrize("seed", range(5))
def test_details_do_not_overlap(seed: int) -> None:
    rng = np.random.default_rng(seed)
    before = noise((700, 900))
    after = before + np.where(rng.random(before.shape) < 0.001, 500, 0)
    after[:, 100:400:7] += 300
    _, *details = previews(before, after)
    assert len(details) == 3
    for one in details:
        for other in details:
            apart = max(abs(one.x - other.x), abs(one.y - other.y))
            assert one is other or apart >= 160


def test_flags_of_a_detail_are_outlines_that_leave_the_values_to_be_seen() -> None:
    flags = np.zeros((800, 800), np.uint32)
    flags[300, 400] = CR
    flags[310:320, 410:430] = MaskPlane.SATURATED
    overview, detail = previews(noise((800, 800)), flags=flags)
    assert not overview.is_outlined
    assert detail.is_outlined
    pixel = opened(detail.planes["COSMIC_RAY"])[::-1, :, 3] > 0
    assert pixel.shape == (640, 640)
    y, x = 4 * (300 - detail.y), 4 * (400 - detail.x)
    square = np.ones((4, 4), bool)
    square[1:3, 1:3] = False
    assert np.array_equal(pixel[y : y + 4, x : x + 4], square)
    assert pixel.sum() == square.sum()
    group = opened(detail.planes["SATURATED"])[..., 3] > 0
    assert group.sum() == 2 * (40 + 80) - 4


def test_probabilities_are_drawn_to_the_threshold() -> None:
    rng = np.random.default_rng(4)
    chance = rng.random((300, 900)).astype(np.float32)
    chance[5, 5] = np.nan
    flags = np.zeros(chance.shape, np.uint32)
    flags[150, 400] = CR
    image = noise(chance.shape).astype(np.float32)
    found = make_previews(image, image, flags, flags != 0, chances={"COSMIC_RAY": chance})
    overview, detail = (opened(p.chances["COSMIC_RAY"])[::-1, :, 0] for p in found)
    place = slice(found[1].y, found[1].y + 160), slice(found[1].x, found[1].x + 160)
    counts = counts_above(chance)
    for number, threshold in enumerate(THRESHOLDS):
        above = chance > np.float32(threshold)
        assert np.array_equal(detail > number, above[place])
        assert counts[number] == np.count_nonzero(above)
        blocks = np.add.reduceat(np.add.reduceat(above, range(0, 300, 2)), range(0, 900, 2), axis=1)
        assert np.array_equal(overview > number, blocks > 0)


def test_detail_prefers_defects_to_regions_without_data() -> None:
    image = noise((800, 800))
    flags = np.zeros(image.shape, np.uint32)
    image[:, :200] = np.nan
    flags[:, :200] = MaskPlane.NO_DATA
    flags[600, 600] = CR
    detail = previews(image, flags=flags)[1]
    assert set(detail.planes) == {"COSMIC_RAY"}


def test_no_detail_where_nothing_happened_or_all_is_seen() -> None:
    assert [p.title for p in previews(noise((500, 500)))] == ["overview"]
    small = noise((100, 150))
    flags = np.full(small.shape, CR)
    found = previews(small, flags=flags)
    assert [(p.title, p.width, p.height, p.zoom) for p in found] == [("overview", 150, 100, 4)]


@pytest.mark.parametrize(
    "image",
    [
        np.full((30, 40), np.nan),
        np.full((30, 40), np.inf),
        np.zeros((30, 40)),
        np.full((30, 40), 7e4),
        np.full((30, 40), -3e38),
        np.array([[5.0]]),
        np.array([[np.nan]]),
        np.arange(3000.0)[None, :],
        np.arange(3000.0)[:, None],
        np.where(np.eye(900, dtype=bool), np.nan, 3.0),
        np.where(np.eye(900, dtype=bool), 3e38, -3e38),
        np.where(np.eye(900, dtype=bool), 1e-42, 0.0),
    ],
)
def test_odd_frames_are_drawn_without_a_warning(image: np.ndarray) -> None:
    flags = np.zeros(image.shape, np.uint32)
    flags[0, 0] = CR
    for preview in previews(image, flags=flags):
        for uri in (preview.before, preview.after):
            assert opened(uri).shape[:2] == (preview.height, preview.width)
        side = preview.zoom if preview.is_outlined else 1
        for uri in preview.planes.values():
            assert opened(uri).shape[:2] == (side * preview.height, side * preview.width)
        assert preview.zoom * max(preview.width, preview.height) <= 720
        assert preview.zoom <= 4


def test_frame_without_pixels_has_no_picture() -> None:
    assert previews(np.zeros((0, 5))) == []


def test_pictures_of_noise_stay_small() -> None:
    for preview in previews(noise((720, 720)), noise((720, 720), seed=2)):
        assert len(preview.before) < 400_000  # 300 kB in base64


def test_same_input_gives_same_bytes_and_is_not_modified() -> None:
    before, after = noise((300, 300)).astype(np.float32), noise((300, 300), 2).astype(np.float32)
    flags = (before > 110).astype(np.uint32)
    copies = before.copy(), after.copy(), flags.copy()
    assert previews(before, after, flags) == previews(before, after, flags)
    for used, copy in zip((before, after, flags), copies, strict=True):
        assert np.array_equal(used, copy)
