"""From the images of the Partial Contribution Representation back to one image per source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import maximum_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from astroclean.core.sources.sources import SourceStamp
from astroclean.errors import FrameError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from astroclean_pais.contributions.encode import Contributions

__all__ = ["decode", "find_centers"]


def find_centers(
    center: NDArray[np.floating], *, window: int = 7, threshold: float = 0.1
) -> NDArray[np.float64]:
    """Return the peaks of a center-of-mass image, by non-maximum suppression.

    Parameters
    ----------
    center : (ny, nx) float array
        True or predicted.
    window : int
        Odd side of the square in which a peak is the highest pixel. Neighbors in blends can be 1.3
        FWHM apart, so the paper's 7 is too wide where a star is narrow.
    threshold : float
        What a peak must exceed.

    Returns
    -------
    (m, 2) float64
        (y, x), row by row; equal pixels within a window are one peak, in their middle.

    Raises
    ------
    ValueError
        The window is even, or not positive.
    """
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window: an odd number of pixels, got {window}")
    values = np.where(np.isfinite(center), center, -np.inf)
    is_peak = (values == maximum_filter(values, window, mode="nearest")) & (values > threshold)
    peaks = np.argwhere(is_peak).astype(np.float64)
    if not len(peaks):
        return peaks
    pairs = cKDTree(peaks).query_pairs(window // 2, p=np.inf, output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), tuple(pairs.T)), shape=(len(peaks),) * 2)
    count, group = connected_components(links, directed=False)
    members = np.bincount(group, minlength=count)
    middles = [np.bincount(group, peaks[:, axis], count) / members for axis in (0, 1)]
    found = np.stack(middles, axis=-1)
    return found[np.lexsort((found[:, 1], found[:, 0]))]


def decode(
    contributions: Contributions,
    image: NDArray[np.floating] | Mapping[str, NDArray[np.floating]],
    centers: NDArray[np.float64],
    *,
    ids: Sequence[int] | None = None,
) -> tuple[SourceStamp, ...]:
    """Share the light of an image among sources.

    Each vector of a pixel goes to the nearest center, and the pixel's light times its share is
    added to that source (paper, section 2).

    Parameters
    ----------
    contributions : Contributions
        True ones, from `encode`, or predicted.
    image : (ny, nx) array or mapping of str to such
        What is shared, with noise or without; of several bands, by the names of the maps. Pixels
        that are not finite go to nobody.
    centers : (m, 2) float64
        (y, x) of the sources: true ones, or those that `find_centers` found. Without any, nothing
        is shared.
    ids : sequence of int, optional
        Of the sources; without them 1 to m.

    Returns
    -------
    tuple of SourceStamp
        One for each source and band, in the order of the centers; the box holds all pixels that the
        source has light of, and its middle pixel alone where it has none. Added up they are the
        image, to rounding, wherever it is finite.

    Raises
    ------
    FrameError
        Shapes or bands do not fit, or two centers are in the same place: no vector tells them
        apart.
    """
    images = dict(image) if isinstance(image, Mapping) else {"": image}
    ids = range(1, len(centers) + 1) if ids is None else ids
    _check(contributions, images, centers, ids)
    if not len(centers):
        return ()
    ny, nx = contributions.shape
    vectors = contributions.vectors.reshape(-1, 2, ny * nx)
    used = _used(contributions, images)
    place, pixel = np.nonzero(used)
    rows, columns = np.divmod(pixel, nx)
    ends = vectors[place, :, pixel] + np.stack([rows, columns], axis=-1)
    _, owner = cKDTree(centers).query(ends)
    stamps: list[SourceStamp] = []
    for band, values in images.items():
        shares = contributions.maps[band].reshape(used.shape)[place, pixel].astype(np.float64)
        pixels = np.asarray(values, dtype=np.float64).ravel()[pixel]
        light = shares * np.where(np.isfinite(pixels), pixels, 0.0)
        # What several vectors of a pixel give to one source is added.
        given = coo_array((light, (owner, pixel)), shape=(len(centers), ny * nx)).tocsr()
        given.eliminate_zeros()
        stamps += [
            replace(_stamp(given, index, centers[index], (ny, nx)), id=int(number), band=band)
            for index, number in enumerate(ids)
        ]
    return tuple(stamps)


def _check(
    contributions: Contributions,
    images: Mapping[str, NDArray[Any]],
    centers: NDArray[np.float64],
    ids: Sequence[int],
) -> None:
    if set(images) != set(contributions.maps):
        raise FrameError(
            f"contributions are of bands {sorted(contributions.maps)}; give an image of each",
            received=sorted(images),
        )
    for band, values in images.items():
        if values.shape != contributions.shape:
            raise FrameError(
                f"image must have the shape of the contributions {contributions.shape}",
                where=band or None,
                received=values.shape,
            )
    if len(ids) != len(centers):
        raise FrameError(f"{len(centers)} centers need as many ids", received=len(ids))
    if len(np.unique(centers, axis=0)) != len(centers):
        raise FrameError(
            "two centers are in the same place", remedy="Make them one source, or move one."
        )


def _used(contributions: Contributions, images: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Return (n, pixels): whether a vector has light to give, in any band."""
    count = contributions.vectors.shape[0]
    used = np.zeros((count, contributions.center.size), dtype=bool)
    for band, values in images.items():
        is_lit = np.isfinite(values) & (values != 0)
        used |= (contributions.maps[band].reshape(count, -1) != 0) & is_lit.ravel()
    return used


def _stamp(
    given: Any, index: int, center: NDArray[np.float64], shape: tuple[int, int]
) -> SourceStamp:
    """Return the light of a row of a sparse array (sources, pixels) within its box."""
    part = slice(given.indptr[index], given.indptr[index + 1])
    pixel, values = given.indices[part], given.data[part]
    if not pixel.size:
        y, x = (
            int(np.clip(np.rint(c), 0, side - 1)) for c, side in zip(center, shape, strict=True)
        )
        return SourceStamp(0, (y, x), np.zeros((1, 1), dtype=np.float32))
    rows, columns = np.divmod(pixel, shape[1])
    top, left = int(rows.min()), int(columns.min())
    data = np.zeros((int(rows.max()) - top + 1, int(columns.max()) - left + 1), dtype=np.float32)
    data[rows - top, columns - left] = values
    return SourceStamp(0, (top, left), data)
