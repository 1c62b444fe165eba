"""What a star looks like on a tile, in the mean: all that the compact screening network sees.

An error of tracking or focus is in every star alike. Two averages show it whatever the field: the
median of stars, each centred to a part of a pixel, which rejects neighbors and hits; and the
autocorrelation of the tile, to which all light adds, be it so crowded that no star is alone.

Both are laid on a grid whose step is a part of the star's width along its shorter axis, with its
longer axis along x: seeing and direction make no difference to what is left, and the network need
not learn them. It is told the width, the direction and the noise beside. The picture is folded at
both axes: what is alike on both sides of an axis, and how much is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean_maximask.star_choice import Peaks, choose_stars, find_peaks, without_points

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CHANNELS", "INPUT", "PICTURES", "SIDE", "average_star"]

INPUT = "average_star"
"""Name of the network's input."""
SIDE = 21
"""Steps of the folded grid."""
_MIDDLE = SIDE - 1
PICTURES, CHANNELS = 8, 13
"""Four folded pictures and four differences of their sides; with five numbers."""
_NEAR, _WIDE = 1 / 6, 1 / 2
"""Steps of the two grids in widths."""
_LAGS = 81
_ENVELOPE = 31
"""Pixels of the box whose highest value stands for how bright stars are there."""
_SOFT = 5.0
"""Noise units of an envelope at which a place begins to count."""
_NARROWEST, _WIDEST = 1.2, 40.0
"""Pixels between which the width is held."""
_FEWEST = 3
"""Stars without which the autocorrelation tells the width."""
_FAINT = 0.1
"""Part of the peak at which compression sets in: wings count, noise does not rule."""
_TURNS = 1


def average_star(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean star of a tile, scaled, turned, folded.

    Parameters
    ----------
    pixels : (ny, nx) float32
        Sky-subtracted values in units of the noise; sides of at least 81 pixels.

    Returns
    -------
    (13, 21, 21) float32
        Autocorrelation and median star on the near grid, both on the wide grid; differences
        of the two sides of the star across and along, near and wide; then constants: width, number
        of stars, their noise, cosine and sine of twice the angle of the longer axis.
    """
    calm = without_points(np.asarray(pixels, dtype=np.float32))
    peaks = find_peaks(calm)
    stars = choose_stars(peaks, calm)
    lags = _autocorrelation(calm, peaks)
    width, angle = _ellipse(lags, _LAGS, narrower=np.sqrt(2))
    width = float(np.clip(width, _NARROWEST, _WIDEST))
    near = np.zeros((2 * _MIDDLE + 1,) * 2)
    wide, faint = near, 1.0
    if len(stars):
        for _ in range(_TURNS):
            smooth, centers, height = _centered(calm, stars, width)
            near = _stacked(calm, centers, height, step=width * _NEAR, angle=angle)
            if len(stars) < _FEWEST:
                break
            # What the stars themselves say of width and direction counts more.
            again, turn = _ellipse(near, _MIDDLE)
            width = float(np.clip(width * again * _NEAR, _NARROWEST, _WIDEST))
            angle += turn
        smooth, centers, height = _centered(calm, stars, width)
        near = _stacked(calm, centers, height, step=width * _NEAR, angle=angle)
        wide = _stacked(smooth, centers, height, step=width * _WIDE, angle=angle, order=1)
        faint = float(np.median(1 / height))
    maps = [
        _at(lags, _grid(width * _NEAR, angle), _LAGS),
        near,
        _at(lags, _grid(width * _WIDE, angle), _LAGS),
        wide,
    ]
    folded = _folded([_compressed(one) for one in maps])
    numbers = [
        np.log(width / 4),
        np.log1p(len(stars)) / 4,
        np.clip(np.log10(faint) + 1.5, -2, 2) / 2,
        np.cos(2 * angle),
        np.sin(2 * angle),
    ]
    constants = [np.full((SIDE, SIDE), number) for number in numbers]
    return np.stack([*folded, *constants]).astype(np.float32)


def _autocorrelation(calm: NDArray[np.float32], peaks: Peaks) -> NDArray[np.float64]:
    """Return the autocorrelation up to 81 pixels, 1 in the middle, of stars made alike bright."""
    from scipy import fft  # noqa: PLC0415 - optional extra
    from scipy.ndimage import maximum_filter, uniform_filter  # noqa: PLC0415 - optional extra

    light = calm.copy()
    for y, x in zip(peaks.y[~peaks.is_compact], peaks.x[~peaks.is_compact], strict=True):
        light[max(y - 4, 0) : y + 5, max(x - 4, 0) : x + 5] = 0
    near = np.clip(uniform_filter(light, 3), 0, None)
    envelope = uniform_filter(maximum_filter(near, _ENVELOPE), _ENVELOPE)
    weight = envelope / (envelope**2 + _SOFT**2)
    # Bright stars reach 1; what stands out of its surroundings is cut.
    light = np.clip(light * weight, -1, 1.5)
    light -= light.mean()
    shape = [fft.next_fast_len(side + _LAGS, real=True) for side in light.shape]
    power = np.abs(fft.rfft2(light, s=shape)) ** 2
    lags = np.roll(fft.irfft2(power, s=shape), (_LAGS, _LAGS), axis=(0, 1))
    lags = lags[: 2 * _LAGS + 1, : 2 * _LAGS + 1].astype(np.float64)
    steps = np.abs(np.arange(-_LAGS, _LAGS + 1))
    overlap = [np.maximum(side - steps, 1) for side in light.shape]
    lags /= overlap[0][:, np.newaxis] * overlap[1]
    # Noise correlates with itself at lag zero alone: there it is taken away.
    beside = lags[[_LAGS - 1, _LAGS, _LAGS, _LAGS + 1], [_LAGS, _LAGS - 1, _LAGS + 1, _LAGS]].mean()
    lags[_LAGS, _LAGS] = max(lags[_LAGS, _LAGS] - np.mean(weight**2), beside)
    return np.asarray(lags / max(lags[_LAGS, _LAGS], 1e-6))


def _ellipse(
    image: NDArray[np.float64], middle: int, *, narrower: float = 1.0
) -> tuple[float, float]:
    """Return the full width at half maximum of the shorter axis and the angle of the longer one."""
    from scipy.ndimage import label, zoom  # noqa: PLC0415 - optional extra

    finer = 1
    half = 0.5 * image[middle, middle]
    if np.count_nonzero(image > half) < 150:  # noqa: PLR2004 - so few that their edges matter
        finer, reach = 6, min(13, middle)
        part = image[middle - reach : middle + reach + 1, middle - reach : middle + reach + 1]
        image = zoom(part, (2 * reach * finer + 1) / (2 * reach + 1), order=3)
        middle = reach * finer
    labels, _ = label(image > half)
    rows, columns = np.nonzero((labels == labels[middle, middle]) & (image > half))
    if rows.size < 5:  # noqa: PLR2004 - nothing there
        return _NARROWEST, 0.0
    values, vectors = np.linalg.eigh(np.cov(rows - middle, columns - middle) / finer**2)
    # A filled ellipse has a variance of a quarter of its squared half axis.
    width = 4 * np.sqrt(max(float(values[0]), 1e-3)) / narrower
    return float(width), float(np.arctan2(vectors[0, 1], vectors[1, 1]))


def _grid(step: float, angle: float) -> NDArray[np.float64]:
    """Return offsets (y, x) in pixels of the points of a grid, its columns along an angle."""
    along, across = np.meshgrid(*[np.arange(-_MIDDLE, _MIDDLE + 1) * step] * 2)
    y = across * np.cos(angle) + along * np.sin(angle)
    return np.stack([y, along * np.cos(angle) - across * np.sin(angle)])


def _at(image: NDArray[np.float64], grid: NDArray[np.float64], middle: int) -> NDArray[np.float64]:
    from scipy.ndimage import map_coordinates  # noqa: PLC0415 - optional extra

    return np.asarray(map_coordinates(image, grid + middle, order=3, mode="constant"))


def _centered(
    calm: NDArray[np.float32], stars: Peaks, width: float
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Return the tile smoothed to the width, centres to a part of a pixel, heights there."""
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - optional extra

    smooth = gaussian_filter(calm, max(0.34 * width, 0.6))
    y, x = stars.y.copy(), stars.x.copy()
    ny, nx = smooth.shape
    for _ in range(3):
        # The peak of the smoothed tile may lie some pixels beside that of the noisy one.
        steps = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        y, x = np.clip(y, 2, ny - 3), np.clip(x, 2, nx - 3)
        best = np.argmax([smooth[y + dy, x + dx] for dy, dx in steps], axis=0)
        moves = np.array(steps)[best]
        y, x = np.clip(y + moves[:, 0], 2, ny - 3), np.clip(x + moves[:, 1], 2, nx - 3)
    height = np.maximum(smooth[y, x].astype(np.float64), 1e-3)
    shifts = [
        _vertex(smooth[y - dy, x - dx], smooth[y, x], smooth[y + dy, x + dx])
        for dy, dx in ((1, 0), (0, 1))
    ]
    return smooth, np.stack([y + shifts[0], x + shifts[1]]), height


def _vertex(
    before: NDArray[np.float32], here: NDArray[np.float32], after: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return the place of the top of a parabola through three points."""
    bend = np.minimum(before - 2.0 * here + after, -1e-9)
    return np.asarray(np.clip(0.5 * (before - after) / bend, -0.7, 0.7), dtype=np.float64)


def _stacked(
    image: NDArray[np.float32],
    centers: NDArray[np.float64],
    height: NDArray[np.float64],
    *,
    step: float,
    angle: float,
    order: int = 3,
) -> NDArray[np.float64]:
    """Return the median of stars on a grid, each in units of its height."""
    from scipy.ndimage import map_coordinates, spline_filter  # noqa: PLC0415 - optional extra

    grid = _grid(step, angle)[:, np.newaxis] + centers[:, :, np.newaxis, np.newaxis]
    source = spline_filter(image, order=3, output=np.float32) if order > 1 else image
    stamps = map_coordinates(
        source, grid, order=order, prefilter=False, mode="constant", cval=np.nan
    )
    stamps = np.sort(stamps / height[:, np.newaxis, np.newaxis], axis=0)
    # What lies beyond the tile sorts last.
    known = np.isfinite(stamps).sum(axis=0)
    low, high = np.maximum((known - 1) // 2, 0), np.minimum(known // 2, len(stamps) - 1)
    middle = [np.take_along_axis(stamps, index[np.newaxis], 0)[0] for index in (low, high)]
    return np.asarray(np.nan_to_num(np.mean(middle, axis=0) * np.where(known, 1.0, 0.0)))


def _compressed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    limited = np.clip(values, -1, 3)
    return np.asarray(np.arcsinh(limited / _FAINT) / np.arcsinh(1 / _FAINT))


def _folded(maps: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Fold pictures at both axes; of the stars (the second and fourth) also tell the differences.

    A mirrored sky gives the same: an error has no handedness.
    """
    found, differences = [], []
    for index, image in enumerate(maps):
        mirrored = [image, image[:, ::-1], image[::-1], image[::-1, ::-1]]
        found.append(np.mean(mirrored, axis=0)[_MIDDLE:, _MIDDLE:])
        if index % 2:
            along, across = np.abs(image - mirrored[1]), np.abs(image - mirrored[2])
            for one, axis in ((along, 0), (across, 1)):
                both = (one + np.flip(one, axis)) / 2
                differences.append(both[_MIDDLE:, _MIDDLE:])
    return [*found, *differences]
