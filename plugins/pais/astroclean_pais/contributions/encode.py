"""Partial Contribution Representation: whose light is in a pixel, and in what shares.

Hausen & Robertson (2021), section 2 and 3.1. Three images stand for any number of sources: one that
peaks where the centers are; for each pixel, vectors to n sources; and the shares of the pixel's
light that these have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field
from scipy.sparse import coo_array
from scipy.spatial import cKDTree

from astroclean.core.stage.options import Options
from astroclean.errors import FrameError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.sources.sources import Sources

__all__ = ["PAPER", "Contributions", "Encoding", "center_image", "encode"]

_NONE = -1
"""Where a pixel has no further source."""
_ROUNDING = 1e-6
"""Negative light that is none, as a part of the brightest pixel: images drawn by FFT have it."""


class Encoding(Options):
    """How sources are put into images; the defaults lose no light where five overlap."""

    n: int = Field(default=5, ge=1, le=64)
    """Sources that a pixel may have."""
    mode: Literal["nearest", "largest"] = "largest"
    """Which: those whose centers are nearest to the pixel, or those with the most light in it."""
    sigma: float = Field(default=8.0, gt=0)
    """Standard deviation of the Gaussians at the centers, in units of ``scale``."""
    scale: float = Field(default=1.0, gt=0)
    """Pixels that ``sigma`` is told in; with the FWHM of the PSF, the widths follow it."""


PAPER = Encoding(n=3, mode="nearest")
"""That of the paper."""


@dataclass(frozen=True, eq=False)
class Contributions:
    """Sources as images, true ones or those that a network predicts."""

    center: NDArray[np.float32]
    """(ny, nx): 1 at the center of a source, falling off as a Gaussian."""
    vectors: NDArray[np.float32]
    """(n, 2, ny, nx): (y, x) from a pixel to the center of each of its sources, in pixels."""
    maps: dict[str, NDArray[np.float32]]
    """By band, ``""`` where there is a frame alone: (n, ny, nx) shares of each source in the light
    of a pixel, adding up to 1."""

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        ny, nx = self.center.shape
        return ny, nx


def center_image(
    centers: NDArray[np.float64], shape: tuple[int, int], *, sigma: float = 8.0, scale: float = 1.0
) -> NDArray[np.float32]:
    """Return the center-of-mass image: a Gaussian of peak 1 at each center; of two, the higher.

    Parameters
    ----------
    centers : (m, 2) float64
        (y, x), between pixels too; they may lie outside.
    shape : (int, int)
        (ny, nx).
    sigma : float
        Standard deviation in units of ``scale``; the paper's is 8 pixels.
    scale : float
        Pixels; the FWHM of the PSF, for widths that follow it.

    Returns
    -------
    (ny, nx) float32
        0 to 1.
    """
    if not len(centers):
        return np.zeros(shape, dtype=np.float32)
    # The highest of equal Gaussians is that of the nearest center.
    distance, _ = cKDTree(centers).query(_pixels(shape))
    image = np.exp(-0.5 * (distance / (sigma * scale)) ** 2)
    return np.asarray(image.reshape(shape), dtype=np.float32)


def encode(
    sources: Sources, shape: tuple[int, int], encoding: Encoding | None = None
) -> Contributions:
    """Encode the images of single sources.

    Parameters
    ----------
    sources : Sources
        Centers (``x``, ``y``) and an image of each, in one band or in several aligned ones. Their
        order does not matter. A source without an image is one without light.
    shape : (int, int)
        (ny, nx) of the frame.
    encoding : Encoding, optional
        Number and choice of the sources of a pixel.

    Returns
    -------
    Contributions
        The sources of a pixel are the same in all bands: in mode ``largest`` those whose shares,
        added over the bands, are largest; where fewer have light, the nearest others follow with
        shares of 0. Equal ones go by place. Where no source has light in a band, all shares are
        1/n, as in the paper. Where there are fewer than n sources, the nearest stands in for the
        others.

    Raises
    ------
    FrameError
        A center or a pixel of an image is not finite, an image has negative light or no row in the
        catalogue.
    """
    encoding = encoding or Encoding()
    ids, centers = _ordered(sources)
    light = {band: _light(sources, band, ids, shape) for band in sources.bands or ("",)}
    center = center_image(centers, shape, sigma=encoding.sigma, scale=encoding.scale)
    chosen, is_repeated = _chosen(centers, light, shape, encoding)
    vectors = np.zeros((encoding.n, 2, *shape), dtype=np.float32)
    if len(centers):
        away = centers[chosen] - _pixels(shape)[:, np.newaxis]
        vectors = np.ascontiguousarray(np.moveaxis(away, 0, -1), dtype=np.float32)
        vectors = vectors.reshape(encoding.n, 2, *shape)
    maps = {band: _shares(own, chosen, is_repeated, shape) for band, own in light.items()}
    return Contributions(center, vectors, maps)


def _pixels(shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return (y, x) of each pixel, row by row."""
    return np.indices(shape).reshape(2, -1).T.astype(np.float64)


def _ordered(sources: Sources) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return ids and (y, x) of the sources by place, whatever order they come in."""
    ids = np.asarray(sources.table["id"], dtype=np.int64)
    centers = np.stack([np.asarray(sources.table[name], dtype=float) for name in "yx"], axis=-1)
    lost = ids[~np.isfinite(centers).all(axis=1)]
    if lost.size:
        raise FrameError("a source without a place cannot be encoded", received=f"source {lost[0]}")
    unknown = {int(stamp.id) for stamp in sources.stamps} - set(ids.tolist())
    if unknown:
        raise FrameError(
            "an image of a source that is not in the catalogue", received=f"source {min(unknown)}"
        )
    totals = dict.fromkeys(ids.tolist(), 0.0)
    for stamp in sources.stamps:
        totals[int(stamp.id)] += float(stamp.data.sum(dtype=np.float64))
    flux = np.array([totals[number] for number in ids.tolist()])
    order = np.lexsort((flux, centers[:, 1], centers[:, 0]))
    return ids[order], centers[order]


def _light(sources: Sources, band: str, ids: NDArray[np.int64], shape: tuple[int, int]) -> Any:
    """Return the light of a band as a sparse array (pixels, sources) of float64."""
    column = {number: place for place, number in enumerate(ids.tolist())}
    pixels, columns, values = [], [], []
    for number, stamp in sources.images(band).items():
        on_frame, of_box = stamp.overlap(shape)
        data = stamp.data[of_box].astype(np.float64)
        least = -_ROUNDING * data.max(initial=0.0)
        if not ((data >= least) & (data < np.inf)).all():  # NaN is neither
            raise FrameError(
                "an image that is negative or not finite somewhere has no shares of light",
                where=f"source {number} {band}".rstrip(),
                remedy="Give noise-free images, clipped at 0.",
            )
        rows, own = np.nonzero(data > 0)
        pixels.append((rows + on_frame[0].start) * shape[1] + own + on_frame[1].start)
        columns.append(np.full(rows.size, column[number]))
        values.append(data[rows, own])
    places = tuple(np.concatenate([np.empty(0, dtype=np.int64), *p]) for p in (pixels, columns))
    size = shape[0] * shape[1], max(len(ids), 1)
    return coo_array((np.concatenate([np.empty(0), *values]), places), shape=size).tocsr()


def _chosen(
    centers: NDArray[np.float64], light: dict[str, Any], shape: tuple[int, int], encoding: Encoding
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return (pixels, n) sources, and which of them only stand in for one that does not exist."""
    count = len(centers)
    chosen = np.full((shape[0] * shape[1], encoding.n), _NONE, dtype=np.intp)
    if not count:
        return chosen, np.ones(chosen.shape, dtype=bool)
    known = min(encoding.n, count)
    _, near = cKDTree(centers).query(_pixels(shape), k=np.arange(1, known + 1))
    if encoding.mode == "largest":
        _enter_largest(chosen, light)
        _enter_nearest(chosen, near)
    else:
        chosen[:, :known] = near
    missing = chosen == _NONE
    chosen[missing] = np.broadcast_to(near[:, :1], chosen.shape)[missing]
    return chosen, missing


def _enter_largest(chosen: NDArray[np.intp], light: dict[str, Any]) -> None:
    """Enter the sources with the most light in a pixel, the first with the most."""
    score = sum(_fractions(own) for own in light.values()).tocsr()
    rows = np.repeat(np.arange(chosen.shape[0]), np.diff(score.indptr))
    order = np.lexsort((score.indices, -score.data, rows))
    rank = np.arange(rows.size) - score.indptr[rows]
    kept = rank < chosen.shape[1]
    chosen[rows[kept], rank[kept]] = score.indices[order][kept]


def _fractions(light: Any) -> Any:
    """Return the shares of all sources in a pixel, which add up to 1 where there is light."""
    made = light.copy()
    total = np.repeat(light.sum(axis=1), np.diff(light.indptr))
    made.data = made.data / total
    return made


def _enter_nearest(chosen: NDArray[np.intp], near: NDArray[np.intp]) -> None:
    """Fill places that are free with the nearest sources that a pixel has not yet."""
    rows = np.flatnonzero(chosen[:, -1] == _NONE)
    mine, others = chosen[rows], near[rows]
    has = np.zeros(others.shape, dtype=bool)
    for place in range(mine.shape[1]):
        has |= others == mine[:, place : place + 1]
    # Of the n nearest at least as many are new as places are free.
    new = np.take_along_axis(others, np.argsort(has, axis=1, kind="stable"), axis=1)
    new_count = (~has).sum(axis=1, keepdims=True)
    taken = (mine != _NONE).sum(axis=1, keepdims=True)
    which = np.arange(mine.shape[1]) - taken
    fits = (which >= 0) & (which < new_count)
    filled = np.take_along_axis(new, np.clip(which, 0, new.shape[1] - 1), axis=1)
    chosen[rows] = np.where(fits, filled, mine)


def _shares(
    light: Any, chosen: NDArray[np.intp], is_repeated: NDArray[np.bool_], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Return (n, ny, nx) shares of the chosen sources in the light that these have together."""
    count, n = chosen.shape
    light.sort_indices()
    # One number for pixel and source: these rise, so that each is found by bisection.
    rows = np.repeat(np.arange(count), np.diff(light.indptr))
    known = np.append(rows * light.shape[1] + light.indices, np.iinfo(np.int64).max)
    wanted = np.arange(count)[:, np.newaxis] * light.shape[1] + chosen
    place = np.searchsorted(known, wanted)
    is_lit = (known[place] == wanted) & ~is_repeated
    found = np.where(is_lit, np.append(light.data, 0.0)[place], 0.0)
    total = found.sum(axis=1, keepdims=True)
    dark = total == 0
    shares = np.where(dark, 1 / n, found / np.where(dark, 1, total))
    return np.ascontiguousarray(shares.T.reshape(n, *shape), dtype=np.float32)
