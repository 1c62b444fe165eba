"""Real frames as skies: those that no training may have as background."""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.noise import SIGMA_PER_MAD
from astroclean.simulate.draws import whole
from astroclean.simulate.injected.ground import Chip, Ground
from astroclean.simulate.injected.optics import draw_optics

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FRAMES", "RealFrame", "available", "draw_frame"]

_LAG = 4
"""Pixels between the two of a difference: beyond the correlation of the noise of mosaics."""
_BRIGHT_ENOUGH, _DARK_ENOUGH = 6.0, 4.5
_STAR = 0.22
"""Least mean of two opposite neighbors over a pixel, in every direction, of a star of FWHM 1.5."""


@dataclass(frozen=True)
class RealFrame:
    """A frame, its window without margins, and what is known of it."""

    file: str
    hdu: int
    window: tuple[int, int, int, int]
    """First and last-but-one row, then column."""
    fwhm: float
    """Of a star, pixels, measured."""
    gain: float
    """Electrons per data number: of the header, or such that the noise is that of the sky."""
    bias: float = 0.0
    well: float = 1.2e5
    """Electrons."""
    read_noise: float = 5.0
    dq: int | None = None
    """HDU of the observatory's flags; whatever is flagged is ignored."""
    grown: int = 0xFFFF
    """Flags of which the neighbors are ignored too."""
    marked: tuple[tuple[int, int, int, int], ...] = ()
    """Windows with contaminants, found by eye; ignored."""
    sharp: bool = True
    """Whether pixels sharper than a star, or darker than the sky, are ignored as defects."""
    saturated: float = np.inf
    """Data number from which stars are; a wide disc around them is ignored, for their spikes."""


FRAMES = (
    RealFrame(
        "hst_wfpc2_omegacen_pc1_wf3.fits.gz",
        1,
        (90, 795, 75, 795),
        1.7,
        7.0,
        dq=2,
        well=2.8e4,
        saturated=15000,
    ),
    RealFrame(
        "hst_wfpc2_omegacen_pc1_wf3.fits.gz",
        3,
        (70, 795, 60, 795),
        1.4,
        7.0,
        dq=4,
        well=2.8e4,
        saturated=15000,
    ),
    RealFrame(
        "hst_stis_m33_pair_top_flt.fits.gz",
        1,
        (12, 495, 28, 1004),
        1.7,
        1.0,
        dq=3,
        read_noise=4.0,
        well=1.2e5,
        grown=8192 | 256,
    ),
    RealFrame(
        "hst_stis_m33_pair_top_flt.fits.gz",
        4,
        (12, 495, 28, 1004),
        1.7,
        1.0,
        dq=6,
        read_noise=4.0,
        well=1.2e5,
        grown=8192 | 256,
    ),
    RealFrame(
        "hst_wfc3ir_a2744_f105w.fits.gz", 0, (2, 398, 2, 398), 3.0, 68952.0, sharp=False, well=3e6
    ),
    RealFrame("ntt_emmi_na36_r.fits.gz", 0, (0, 256, 0, 256), 3.6, 1.58, well=3e5),
    RealFrame(
        "saao_ste3_rf0420_raw.fits", 0, (10, 500, 24, 510), 5.0, 1.9, bias=214.0, saturated=60000
    ),
    RealFrame(
        "ystar_saao_trail.fits",
        0,
        (0, 512, 0, 512),
        2.6,
        2.85,
        bias=200.0,
        well=1.5e5,
        marked=((298, 352, 8, 352),),
    ),
    RealFrame("decam_dq_cutouts_a.fits.gz", 10, (0, 251, 0, 245), 3.8, 3.87, dq=11, well=1.7e5),
)
"""The frames, with what a look at them found."""


def available(data: Path | None) -> tuple[RealFrame, ...]:
    """Return the frames that a folder has."""
    if data is None:
        return ()
    folder = Path(data).expanduser()
    return tuple(frame for frame in FRAMES if (folder / frame.file).is_file())


@functools.lru_cache(maxsize=16)
def _read(frame: RealFrame, data: Path) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return electrons of the window, and what is ignored there."""
    from astropy.io import fits  # noqa: PLC0415 - only where frames are read
    from astropy.utils.exceptions import AstropyUserWarning  # noqa: PLC0415 - same
    from scipy.ndimage import binary_dilation, distance_transform_edt  # noqa: PLC0415

    top, bottom, left, right = frame.window
    box = slice(top, bottom), slice(left, right)
    # Old headers are not what is read here.
    silent = warnings.catch_warnings(action="ignore", category=AstropyUserWarning)
    with silent, fits.open(Path(data).expanduser() / frame.file) as hdus:
        values = np.asarray(hdus[frame.hdu].data, dtype=np.float64)
        bad = ~np.isfinite(values)
        alone = bad
        if frame.dq is not None:
            flags = np.asarray(hdus[frame.dq].data, dtype=np.int64)
            alone, bad = (flags & ~frame.grown) != 0, bad | ((flags & frame.grown) != 0)
    for first, last, begin, end in frame.marked:
        bad[first:last, begin:end] = True
    full = np.nan_to_num(values) > frame.saturated
    electrons = (np.nan_to_num(values) - frame.bias)[box] * frame.gain
    ignored = binary_dilation(bad, np.ones((3, 3))) | alone
    if full.any():
        ignored |= distance_transform_edt(~full) < 30  # noqa: PLR2004 - pixels of a spike
    ignored = ignored[box]
    if frame.sharp:
        ignored |= binary_dilation(_odd_pixels(electrons), np.ones((3, 3)))
    return electrons, ignored


def _spread(image: NDArray[np.float64]) -> float:
    """Return the standard deviation of empty sky, from differences of pixels that are near."""
    pairs = image[:, _LAG:] - image[:, :-_LAG]
    return float(SIGMA_PER_MAD * np.median(np.abs(pairs)) / np.sqrt(2))


def _odd_pixels(image: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return dark pixels, and bright ones with less beside them, on a line, than any star has."""
    from scipy.ndimage import median_filter  # noqa: PLC0415 - slow to import

    over = image - median_filter(image, 7)
    padded = np.pad(over, 1, mode="reflect")
    ny, nx = image.shape
    least = np.full(image.shape, np.inf)
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        one = padded[1 + dy : 1 + dy + ny, 1 + dx : 1 + dx + nx]
        two = padded[1 - dy : 1 - dy + ny, 1 - dx : 1 - dx + nx]
        reach = 1.0 if dy * dx == 0 else 0.5  # a star falls faster along diagonals
        least = np.minimum(least, (one + two) / 2 / reach)
    sigma = _spread(image)
    bright = (over > _BRIGHT_ENOUGH * sigma) & (least < _STAR * over)
    return np.asarray(bright | (over < -_DARK_ENOUGH * sigma))


def draw_frame(rng: np.random.Generator, shape: tuple[int, int], data: Path) -> Ground:
    """Draw a cut of a real frame.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    shape : (int, int)
        (ny, nx) in pixels; where the frame is smaller, its size is taken.
    data : Path
        Folder of frames.

    Returns
    -------
    Ground
        Measured electrons, turned over at random; ``ignored`` has contaminants of its own. Bright
        objects are those of the smoothed frame, since the light without noise is not known.
    """
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - slow to import

    have = available(data)
    files = sorted({frame.file for frame in have})
    file = files[int(rng.integers(len(files)))]
    of_file = [frame for frame in have if frame.file == file]
    frame = of_file[int(rng.integers(len(of_file)))]
    image, ignored = _read(frame, data)
    height, width = min(shape[0], image.shape[0]), min(shape[1], image.shape[1])
    y, x = whole(rng, (0, image.shape[0] - height)), whole(rng, (0, image.shape[1] - width))
    box = slice(y, y + height), slice(x, x + width)
    flips = tuple(slice(None, None, int(rng.choice([1, -1]))) for _ in range(2))
    cut, left_out = image[box][flips].copy(), ignored[box][flips].copy()
    sky, noise = float(np.median(cut)), _spread(cut)
    light = np.clip(gaussian_filter(cut, 0.6) - sky, 0, None)
    own = cut[~left_out]
    well = max(frame.well, 1.05 * float(own.max())) if own.size else frame.well
    cut[left_out] = np.minimum(cut[left_out], 0.9 * well)
    return Ground(
        cut,
        light,
        sky,
        noise,
        Chip(frame.gain, frame.read_noise, frame.bias, well, whole=False),
        draw_optics(rng, frame.fwhm),
        stars=np.empty((0, 3)),
        label=f"{frame.file}[{frame.hdu}]",
        ignored=left_out,
        counted=True,
    )
