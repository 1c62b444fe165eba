"""What a finder is asked for turns with the image, and says where the sources are."""

from __future__ import annotations

import numpy as np
import pytest
from astroclean_pais.models import shape_matrix
from astroclean_pais.train.labels import COLUMNS, MOST, maps_of, rows_of, turned_rows
from astroclean_pais.train.scenes import SIDE, DrawnScene

from astroclean.core.psf.psf import Psf

WIDE = 40


def some_rows(count: int = 12) -> np.ndarray:
    rng = np.random.default_rng(2)
    rows = rng.uniform(-0.4, 0.4, (count, len(COLUMNS))).astype(np.float32)
    rows[:, 0] = rng.integers(1, 3, count)
    rows[:, 1:3] = rng.uniform(0, WIDE - 1, (count, 2))
    rows[:, 3] = rng.uniform(2, 50, count)
    rows[:, 4] = 0.8
    return rows


@pytest.mark.parametrize("turn", range(8))
def test_turned_rows_make_the_turned_maps(turn: int) -> None:
    rows = some_rows()
    expected = maps_of(rows, WIDE)
    _, _, care, y, x, _, _, e1, e2, _, _ = range(11)
    if turn >= 4:
        expected = expected[:, ::-1].copy()
        expected[..., x] *= -1
        expected[..., e2] *= -1
    for _ in range(turn % 4):
        expected = np.rot90(expected).copy()
        expected[..., [y, x]] = np.stack([-expected[..., x], expected[..., y]], axis=-1)
        expected[..., [e1, e2]] *= -1
    found = maps_of(turned_rows(rows, turn, WIDE), WIDE)
    assert found[..., care].any()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_ellipticities_turn_as_images_do() -> None:
    """Second moments of light that is turned, against the row that is turned."""
    y, x = np.indices((WIDE, WIDE))
    row = some_rows(1)
    row[0, 1:3], row[0, COLUMNS.index("e1")], row[0, COLUMNS.index("e2")] = (20.2, 17.7), 0.2, 0.15

    def drawn(one: np.ndarray) -> np.ndarray:
        yy, xx, xy = shape_matrix(np.array([3.0]), one[7:8], one[8:9])[0]
        inverse = np.linalg.inv([[yy, xy], [xy, xx]])
        away = np.stack([y - one[1], x - one[2]])
        return np.exp(-0.5 * np.einsum("iyx,ij,jyx->yx", away, inverse, away))

    image = drawn(row[0])
    for turn in range(8):
        turned = np.rot90(image[:, ::-1] if turn >= 4 else image, turn % 4)
        np.testing.assert_allclose(drawn(turned_rows(row, turn, WIDE)[0]), turned, atol=1e-5)


def test_maps_say_where_and_what() -> None:
    row = np.array([[1, 12.3, 20.8, 30.0, 0.8, 2.5, -0.3, 0.1, -0.2, 1.0, 0.0]], dtype=np.float32)
    maps = maps_of(row, WIDE)
    assert maps[12, 21, 0] == 1
    assert (maps[..., 0] == 1).sum() == 1
    for py, px in ((12, 21), (13, 21), (12, 20), (11, 21)):
        assert maps[py, px, 2] > 0
        np.testing.assert_allclose(maps[py, px, 3:5], [12.3 - py, 20.8 - px], atol=1e-5)
        np.testing.assert_allclose(maps[py, px, 5:], row[0, 5:])
    assert maps[30, 30].tolist() == [0, 1, *[0] * 9]
    # Of two sources a pixel tells of the nearer one.
    two = np.concatenate([row, row])
    two[1, 1:3], two[1, 5] = (14.1, 20.9), 7.0
    both = maps_of(two, WIDE)
    assert both[12, 21, 5] == 2.5
    assert both[14, 21, 5] == 7.0


def test_open_sources_are_neither_asked_for_nor_forbidden() -> None:
    row = np.array([[2, 12.3, 20.8, 2.5, 0.8, *[0.5] * 6]], dtype=np.float32)
    maps = maps_of(row, WIDE)
    assert maps[12, 21, 1] == 0
    assert not maps[..., 0].any()
    assert not maps[..., 2].any()
    assert maps[20, 20, 1] == 1


def test_sources_outside_are_left_out() -> None:
    row = np.array([[1, -30.0, 20.8, 30.0, 0.8, *[0.5] * 6]], dtype=np.float32)
    np.testing.assert_array_equal(maps_of(row, WIDE), maps_of(row[:0], WIDE))


def scene_of(places: list[tuple[float, float]], snr: list[float]) -> DrawnScene:
    """Return stars of a Gaussian PSF, of their S/N over white noise."""
    psf = Psf.gaussian(fwhm_pixels=4.0)
    count = len(places)
    drawn = psf.drawn_at([x for _, x in places], [y for y, _ in places])
    power = np.sqrt(np.sum(drawn.data**2, axis=(1, 2)))
    flux = np.array(snr) / power
    clean = np.zeros((SIDE, SIDE), dtype=np.float32)
    images = tuple((f * d).astype(np.float32) for f, d in zip(flux, drawn.data, strict=True))
    for image, (top, left) in zip(images, drawn.origin, strict=True):
        clean[top : top + image.shape[0], left : left + image.shape[1]] += image
    y, x = np.array(places).T
    return DrawnScene(
        data=clean,
        clean=clean,
        noise=np.ones_like(clean),
        usable=np.ones(clean.shape, dtype=bool),
        psf=psf,
        width=4.0,
        fwhm=4.0,
        x=x,
        y=y,
        flux=flux,
        snr=np.array(snr),
        radius=np.zeros(count),
        moments=np.zeros((count, 3)),
        images=images,
        origins=np.asarray(drawn.origin),
    )


def test_rows_are_the_sources_of_a_scene() -> None:
    """One alone; one too faint to ask for; one below that; a pair that nobody could tell apart."""
    places = [(40.0, 50.0), (90.0, 60.0), (90.0, 120.0), (140.0, 50.0), (140.6, 50.6)]
    rows = rows_of(scene_of(places, [50.0, 2.8, 1.0, 80.0, 20.0]))
    assert rows.shape == (MOST, len(COLUMNS))
    told = rows[rows[:, 0] > 0]
    assert told[:, 0].tolist() == [1, 2, 1, 2]
    np.testing.assert_allclose(told[:, 1:3], [places[i] for i in (0, 1, 3, 4)])
    assert told[:, COLUMNS.index("star")].all()
    assert told[:, COLUMNS.index("blend")].tolist() == [0, 0, 1, 0]
