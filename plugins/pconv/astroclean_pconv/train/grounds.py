"""What lies beneath the holes of a sample: simulated emission, real maps, fields of stars."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from astroclean.core.image.frame import Frame
from astroclean.errors import ConfigurationError
from astroclean.simulate.cirrus import draw_emission, mapping_noise
from astroclean.simulate.draws import log_uniform, uniform
from astroclean.simulate.fields import FieldRange, draw_field
from astroclean.simulate.psfs import PsfModel, PsfRange, draw_psf

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = [
    "FAMILIES",
    "SIDE",
    "Ground",
    "find_maps",
    "real_ground",
    "simulated_ground",
    "star_ground",
]

SIDE = 192
"""Pixels of a ground."""
_WIDTHS = (2.0, 5.0)
_HALO = (0.0, 0.2)
FAMILIES = (
    PsfRange(fwhm=_WIDTHS, kinds=("pacs",)),
    PsfRange(fwhm=_WIDTHS, kinds=("gaussian",), ellipticity=(0.1, 0.3), halo=_HALO),
    PsfRange(fwhm=_WIDTHS, kinds=("airy",), halo=_HALO),
    PsfRange(fwhm=_WIDTHS, kinds=("gaussian",), ellipticity=(0.0, 0.05), halo=_HALO),
)
"""Tri-lobed, elongated, Airy, Gaussian; each at any angle, with the halo of a real telescope: the
three-lobed one has its own."""
_FIELD = FieldRange(stars=(40.0, 600.0), galaxies=(2.0, 20.0))
_ELECTRONS = (3.0, 300.0)
"""Standard deviation of the sky in electrons."""
_FOLDER = "maps"
_NARROWEST, _WIDEST = 1.5, 8.0
"""Pixels; a PSF beyond is drawn instead."""


class Ground(NamedTuple):
    """A map to put sources on."""

    target: NDArray[np.float64]
    """(192, 192), with noise."""
    sky: NDArray[np.float64]
    """The same without noise, where that is known."""
    psf: PsfModel
    """For the sources."""
    known: bool = True
    """Whether ``sky`` is free of noise."""
    bare: bool = False
    """Whether sources stay away: what is to be filled are the defects of a detector."""


class _Map(NamedTuple):
    data: NDArray[np.float32]
    corners: NDArray[np.intp]
    """Flat indices of the first pixels of windows without a pixel that is not usable."""
    fwhm_pixels: float | None


def simulated_ground(rng: np.random.Generator) -> Ground:
    """Draw a ground from simulations.

    Parameters
    ----------
    rng : Generator
        Source of chance.

    Returns
    -------
    Ground
        In mJy a pixel.
    """
    shape = (SIDE, SIDE)
    psf = draw_psf(rng, FAMILIES[int(rng.integers(len(FAMILIES)))])
    emission = draw_emission(rng, shape, psf)
    noise = emission.noise * mapping_noise(rng, shape, uniform(rng, (0.0, 0.8)))
    return Ground(emission.background + noise, emission.background, psf)


def star_ground(rng: np.random.Generator) -> Ground:
    """Draw a field of stars and galaxies as a CCD sees it, for holes by defects.

    Parameters
    ----------
    rng : Generator
        Source of chance.

    Returns
    -------
    Ground
        In units of the noise of the sky; photons of the sources add noise of their own.
    """
    shape = (SIDE, SIDE)
    psf = draw_psf(rng)
    light = draw_field(rng, shape, psf, noise=1.0, limits=_FIELD).image
    electrons = log_uniform(rng, _ELECTRONS)
    noise = np.sqrt(1 + light / electrons) * rng.standard_normal(shape)
    return Ground(light + noise, light, psf, bare=True)


def real_ground(rng: np.random.Generator, path: Path) -> Ground:
    """Draw a window of a real map; what sources it has stay in it.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    path : Path
        FITS file.

    Returns
    -------
    Ground
        In the unit of the map; its noise is not known, so ``sky`` has it too. The PSF is of a drawn
        family, as wide as header or instrument file tell, where they do.

    Raises
    ------
    ConfigurationError
        The map has no window of 192 x 192 usable pixels.
    """
    found = _read(path)
    corner = int(found.corners[int(rng.integers(len(found.corners)))])
    row, column = divmod(corner, found.data.shape[1] - SIDE + 1)
    window = found.data[row : row + SIDE, column : column + SIDE].astype(np.float64)
    family = FAMILIES[int(rng.integers(len(FAMILIES)))]
    if found.fwhm_pixels is not None and _NARROWEST <= found.fwhm_pixels <= _WIDEST:
        family = family.model_copy(update={"fwhm": (found.fwhm_pixels, found.fwhm_pixels)})
    return Ground(window, window, draw_psf(rng, family), known=False)


def find_maps(data: Path) -> tuple[Path, ...]:
    """Return the real maps of a folder, each checked.

    Parameters
    ----------
    data : Path
        Its subfolder ``maps`` has FITS files, one map each.

    Returns
    -------
    tuple of Path
        Sorted.

    Raises
    ------
    ConfigurationError
        There is none, or one has no window of 192 x 192 usable pixels.
    """
    found = tuple(sorted((data / _FOLDER).glob("*.fits*")))
    if not found:
        raise ConfigurationError(f"data: no FITS file in {data / _FOLDER}")
    for path in found:
        _read(path)
    return found


@functools.lru_cache(maxsize=16)
def _read(path: Path) -> _Map:
    frame = Frame.read(path)
    bad = ~frame.usable
    # How many pixels of each window are bad: differences of sums from the first pixel on.
    total = np.pad(bad.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    counts = total[SIDE:, SIDE:] - total[:-SIDE, SIDE:] - total[SIDE:, :-SIDE]
    counts = counts + total[:-SIDE, :-SIDE]
    corners = np.flatnonzero(counts == 0)
    if not corners.size:
        raise ConfigurationError(
            f"data: {path.name} has no window of {SIDE} x {SIDE} usable pixels; take it away"
        )
    detector = frame.detector
    fwhm, scale = detector.psf_fwhm, detector.pixel_scale
    width = float(fwhm / scale) if fwhm and scale else None
    return _Map(np.asarray(frame.data, dtype=np.float32), corners, width)
