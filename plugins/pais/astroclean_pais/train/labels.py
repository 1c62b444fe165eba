"""What a finder is asked for: a row for each source, and the maps that rows make."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean_pais.train.scenes import DrawnScene

__all__ = ["COLUMNS", "MOST", "is_hidden_in", "maps_of", "rows_of", "turned_rows"]

COLUMNS = ("state", "y", "x", "snr", "width", "flux", "radius", "e1", "e2", "star", "blend")
"""State: 1 to be found, 2 neither asked for nor forbidden, 0 no row; width: of the heat, pixels;
the rest as `astroclean_pais.network.finder.HEADS` has them."""
MOST = 700
"""Rows of a scene."""
_FOUND = 3.3
"""S/N from which a source is asked for; fainter ones, down to the faintest, are left open."""
_OPEN = 2.0
_WANTED = 5.0
_CLOSE = 0.45
"""FWHM within which the fainter of two is part of the brighter."""
_CONTRAST = 0.06
"""Part of the light at its own centre below which nobody sees a source."""
_STAR = 0.1
"""Smallest half-light radius over FWHM that is told."""
_AROUND = 4


def rows_of(scene: DrawnScene) -> NDArray[np.float32]:
    """Return the rows of a scene, (MOST, 11) float32 of `COLUMNS`."""
    is_hidden, is_blend = _hidden(scene)
    rows = np.zeros((MOST, len(COLUMNS)), dtype=np.float32)
    inside = (np.minimum(scene.x, scene.y) > -1) & (
        np.maximum(scene.x, scene.y) < scene.data.shape[0]
    )
    kept = np.flatnonzero((scene.snr > _OPEN) & inside)[:MOST]
    is_open = (scene.snr < _FOUND) | is_hidden
    yy, xx, xy = scene.moments.T
    whole = np.maximum(yy + xx + 2 * np.sqrt(np.maximum(yy * xx - xy**2, 0)), 1e-9)
    columns = (
        np.where(is_open, 2, 1),
        scene.y,
        scene.x,
        scene.snr,
        np.full(len(scene.x), max(0.6, 0.2 * scene.fwhm)),
        np.log(scene.flux / scene.fwhm),
        np.log(np.maximum(scene.radius / scene.fwhm, _STAR)),
        (xx - yy) / whole,
        2 * xy / whole,
        scene.is_star,
        is_blend,
    )
    rows[: len(kept)] = np.column_stack([column[kept] for column in columns])
    return rows


def is_hidden_in(scene: DrawnScene) -> NDArray[np.bool_]:
    """Return which sources of a scene, (n,), nobody could tell from others."""
    return _hidden(scene)[0]


def _hidden(scene: DrawnScene) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which sources nobody could tell from another, and which have such in them."""
    from scipy.spatial import cKDTree  # noqa: PLC0415 - slow to import

    count, side = len(scene.x), scene.data.shape[0]
    width = scene.width
    hidden, blend = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    for one in range(count):
        y, x = round(scene.y[one]), round(scene.x[one])
        if 0 <= y < side and 0 <= x < side:
            top, left = scene.origins[one]
            own = scene.images[one][y - top, x - left]
            hidden[one] = own < _CONTRAST * scene.clean[y, x] or not scene.usable[y, x]
    places = np.column_stack([scene.y, scene.x])
    match = max(0.5 * width, 1.5)
    pairs = cKDTree(places).query_pairs(max(match, _CLOSE * width), output_type="ndarray")
    for first, second in pairs:
        bright, faint = (
            (first, second) if scene.flux[first] >= scene.flux[second] else (second, first)
        )
        away = float(np.hypot(*(places[bright] - places[faint])))
        hidden[faint] |= away < max(_CLOSE * width, 0.9)
        wanted = scene.snr[faint] > _WANTED and scene.snr[bright] > _FOUND
        blend[bright] |= bool(hidden[faint]) and wanted and away < match
    return hidden, blend


def turned_rows(rows: NDArray[np.float32], turn: int, side: int) -> NDArray[np.float32]:
    """Return the rows of an image in one of its eight orientations, as a training turns images.

    Parameters
    ----------
    rows : (n, 11) float32
        Of an image.
    turn : int
        0 to 7; from 4 on the image is mirrored in x first.
    side : int
        Pixels along the image.

    Returns
    -------
    (n, 11) float32
        A new array.
    """
    rows = rows.copy()
    y, x, e1, e2 = (COLUMNS.index(name) for name in ("y", "x", "e1", "e2"))
    if turn >= 4:  # noqa: PLR2004 - mirrored ones
        rows[:, x] = side - 1 - rows[:, x]
        rows[:, e2] *= -1
    for _ in range(turn % 4):
        rows[:, [y, x]] = np.column_stack([side - 1 - rows[:, x], rows[:, y]])
        rows[:, [e1, e2]] *= -1
    return rows


def maps_of(rows: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Return what `astroclean_pais.network.losses.finder_loss` compares with.

    Parameters
    ----------
    rows : (n, 11) float32
        Places count in pixels of the maps; those outside are left out but for their surroundings.
    side : int
        Pixels along the maps.

    Returns
    -------
    (side, side, 11) float32
        As the loss takes them.
    """
    maps = np.zeros((side, side, 11), dtype=np.float32)
    maps[..., 1] = 1
    state, y, x, snr, width = rows[:, :5].T
    step = np.arange(-_AROUND, _AROUND + 1)
    dy, dx = (part.ravel() for part in np.meshgrid(step, step, indexing="ij"))
    py = np.rint(y).astype(int)[:, np.newaxis] + dy
    px = np.rint(x).astype(int)[:, np.newaxis] + dx
    away = np.hypot(py - y[:, np.newaxis], px - x[:, np.newaxis])
    inside = (py >= 0) & (py < side) & (px >= 0) & (px < side)
    is_middle = (dy == 0) & (dx == 0)
    _open(maps, inside & (state == 2)[:, np.newaxis] & (away < 2), (py, px))  # noqa: PLR2004
    asked = inside & (state == 1)[:, np.newaxis]
    height = np.exp(-0.5 * (away / width[:, np.newaxis]) ** 2)
    np.maximum.at(maps[..., 0], (py[asked], px[asked]), 0.97 * height[asked])
    middle = asked & is_middle
    maps[py[middle], px[middle], 0] = 1
    sure = np.clip(snr / 5, 0.5, 1)[:, np.newaxis] * np.ones_like(height)
    maps[py[middle], px[middle], 1] = sure[middle]
    _heads(maps, rows, asked & (away < 1.6), (py, px, away))  # noqa: PLR2004 - the pixels around
    return maps


def _open(
    maps: NDArray[np.float32], where: NDArray[np.bool_], places: tuple[NDArray[np.intp], ...]
) -> None:
    """Ask for nothing around sources that may be found or not."""
    py, px = places
    maps[py[where], px[where], 1] = 0


def _heads(
    maps: NDArray[np.float32],
    rows: NDArray[np.float32],
    where: NDArray[np.bool_],
    places: tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]],
) -> None:
    """Ask pixels around a centre for what is there: each for its nearest."""
    py, px, away = places
    source, _ = np.nonzero(where)
    py, px, away = py[where], px[where], away[where]
    order = np.argsort(-away, kind="stable")  # the nearest is written last
    source, py, px, away = source[order], py[order], px[order], away[order]
    told = rows[source]
    maps[py, px, 2] = np.where(away < 0.75, 1.0, 0.4) * np.clip(told[:, 3] / 10, 0.3, 1)  # noqa: PLR2004
    maps[py, px, 3] = told[:, 1] - py
    maps[py, px, 4] = told[:, 2] - px
    maps[py, px, 5:] = told[:, 5:]
