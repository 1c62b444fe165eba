"""Crowded scenes to train on: galaxies of a library and stars, through any PSF, in units of noise.

The recipe is not that of the evaluations (`astroclean.simulate`): other galaxies, other number
counts, other clustering, denser.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.arrays import add_box
from astroclean.core.psf.transform import HALVES, convolved, psf_transform
from astroclean.simulate.draws import log_uniform, uniform
from astroclean.simulate.galaxy_library import FAMILIES, GalaxyLibrary, build_galaxies
from astroclean.simulate.psfs import PsfModel, PsfRange, draw_psf

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.psf.psf import Psf

__all__ = ["SIDE", "DrawnScene", "draw_scene"]

SIDE = 192
"""Pixels along a scene."""
_STAMPS = (33, 65, 129)
"""Sides of the images of sources, in pixels."""
_REACH = 4.5
"""Half-light radii to which a galaxy is drawn."""
_DENSITY = (25.0, 500.0)
"""Sources in 256 x 256 pixels, bright and faint."""
_SNR = (2.0, 1500.0)
_SLOPE = 0.75
"""Of the number counts: how fast sources above an S/N become fewer."""
_SPACE = PsfRange(fwhm=(1.5, 3.5), kinds=("optical", "airy", "gaussian"))
_GROUND = PsfRange(fwhm=(2.3, 7.0), kinds=("moffat", "moffat", "kolmogorov"))
_NARROW = 2.8
"""FWHM in pixels below which pixels are mostly those of space telescopes: the same galaxies are
larger on them."""
_RADIUS, _LARGE_RADIUS = (0.9, 4.0), (1.3, 6.5)
"""Half-light radius of a usual galaxy, pixels."""
_FAMILIES = (*FAMILIES, "clumpy", "irregular", "knots", "spiral")
"""Those in parts twice: they must not fall into pieces."""
_LIBRARY_SEED = 20_231_117
_HELD_OUT_SEED = 20_240_229


@dataclass(frozen=True, eq=False)
class DrawnScene:
    """A scene in units of the noise of the sky."""

    data: NDArray[np.float32]
    """(ny, nx), sky subtracted, as far as anyone could."""
    clean: NDArray[np.float32]
    """All light without noise."""
    noise: NDArray[np.float32]
    """Standard deviation of each pixel, photon noise of sources included."""
    usable: NDArray[np.bool_]
    psf: Psf
    width: float
    """FWHM of the PSF, pixels."""
    fwhm: float
    """As it is known: 5 % off."""
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    flux: NDArray[np.float64]
    """Over the noise of a pixel of sky."""
    snr: NDArray[np.float64]
    """Of the best fit to the source alone."""
    radius: NDArray[np.float64]
    """Half-light radius before the PSF, pixels; 0 for stars."""
    moments: NDArray[np.float64]
    """(n, 3): yy, xx, xy of `shape_matrix` that the galaxy is most alike; 0 for stars."""
    images: tuple[NDArray[np.float32], ...]
    """Light of each source, through the PSF."""
    origins: NDArray[np.intp]
    """(n, 2): (y, x) of the first pixel of each image; may lie beyond the scene."""

    @property
    def is_star(self) -> NDArray[np.bool_]:
        """Which sources are stars."""
        return np.asarray(self.radius == 0)


@functools.lru_cache(maxsize=2)
def _library(seed: int) -> GalaxyLibrary:
    return build_galaxies(seed=seed, per_family=50, families=_FAMILIES)


def draw_scene(rng: np.random.Generator, *, side: int = SIDE, held_out: bool = False) -> DrawnScene:
    """Draw a scene.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    side : int
        Pixels along it.
    held_out : bool
        Whether galaxies are those of the validation.

    Returns
    -------
    DrawnScene
        With sources from far below the noise up.
    """
    is_ground = rng.random() < 0.5  # noqa: PLR2004 - a coin
    model = draw_psf(rng, _GROUND if is_ground else _SPACE)
    psf = model.psf
    width = psf.fwhm_pixels
    places = _places(rng, side, width)
    library = _library(_HELD_OUT_SEED if held_out else _LIBRARY_SEED)
    radius, moments, images, origins = _profiles(rng, places, model, width, library)
    snr = _snr(rng, len(places))
    power = np.array([float(np.sum(image.astype(float) ** 2)) for image in images])
    flux = snr / np.sqrt(np.maximum(power, 1e-12))
    clean = np.zeros((side, side))
    lit = []
    for one, image in enumerate(images):
        lit.append(np.asarray(flux[one] * image, dtype=np.float32))
        add_box(clean, lit[-1], tuple(origins[one]))
    data, noise = _exposed(rng, clean)
    usable = _usable(rng, clean, width)
    return DrawnScene(
        data.astype(np.float32),
        clean.astype(np.float32),
        noise.astype(np.float32),
        usable,
        psf,
        float(width),
        float(width * np.exp(rng.normal(0, 0.05))),
        places[:, 1],
        places[:, 0],
        flux,
        snr,
        radius,
        moments,
        tuple(lit),
        origins,
    )


def _snr(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Draw S/N from number counts that fall as a power, to some brightest."""
    low, high = _SNR[0], log_uniform(rng, (100.0, _SNR[1]))
    chance = rng.random(count)
    steep = -_SLOPE * uniform(rng, (0.6, 1.6))
    return np.asarray((low**steep + chance * (high**steep - low**steep)) ** (1 / steep))


def _places(rng: np.random.Generator, side: int, width: float) -> NDArray[np.float64]:
    """Draw (y, x): some anywhere, some around others."""
    count = max(int(rng.poisson(log_uniform(rng, _DENSITY) * (side / 256) ** 2)), 2)
    places = rng.uniform(-4, side + 3, (count, 2))
    companions = int(count * uniform(rng, (0.0, 0.6)))
    if companions:
        hosts = rng.integers(count - companions, size=companions) if count > companions else 0
        away = width * np.exp(rng.uniform(np.log(0.3), np.log(4.0), companions))
        angle = rng.uniform(0, 2 * np.pi, companions)
        steps = away[:, np.newaxis] * np.column_stack([np.sin(angle), np.cos(angle)])
        places[count - companions :] = places[hosts] + steps
    return places


def _profiles(
    rng: np.random.Generator,
    places: NDArray[np.float64],
    psf: PsfModel,
    width: float,
    library: GalaxyLibrary,
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[NDArray[np.float32]], NDArray[np.intp]]:
    """Return radii, moments, unit-flux images through the PSF, and where these begin."""
    count = len(places)
    usual = log_uniform(rng, _RADIUS if width > _NARROW else _LARGE_RADIUS)
    radius = np.clip(usual * np.exp(rng.normal(0, 0.5, count)), 0.3, 14.0)
    radius[rng.random(count) < uniform(rng, (0.05, 0.4))] = 0.0
    moments = np.zeros((count, 3))
    reach = _REACH * radius + 2.5 * width
    stamp = np.searchsorted(np.array(_STAMPS[:-1]) // 2, reach)
    middle = np.rint(places).astype(np.intp)
    images: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * count
    fine = psf.psf.fine_at(0.0, 0.0)
    for index, side in enumerate(_STAMPS):
        rows = np.flatnonzero(stamp == index)
        if not len(rows):
            continue
        light = np.zeros((len(rows), HALVES * side, HALVES * side), dtype=np.float32)
        for number, row in enumerate(rows):
            if radius[row] == 0:
                light[number, side, side] = 1.0
                continue
            galaxy, matrix = library.draw(rng)
            size = HALVES * radius[row]
            light[number] = galaxy.placed(matrix, size, HALVES * side)
            moments[row] = _matrix_of(matrix @ galaxy.second @ matrix.T, radius[row])
        transform = psf_transform(fine, side)
        for part in np.array_split(np.arange(len(rows)), max(len(rows) // 16, 1)):
            drawn = convolved(transform, (places - middle)[rows[part]], light[part], side)
            for number, row in enumerate(rows[part]):
                images[row] = np.maximum(drawn[number], 0)
    sides = np.array(_STAMPS)[stamp]
    return radius, moments, images, middle - sides[:, np.newaxis] // 2


def _matrix_of(second: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """Return second moments as the matrix of a disk of the same shape and a radius."""
    scaled = second * radius**2 / np.sqrt(max(float(np.linalg.det(second)), 1e-12))
    return np.array([scaled[0, 0], scaled[1, 1], scaled[0, 1]])


def _exposed(
    rng: np.random.Generator, clean: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Add photon noise, correlated in some scenes, and what is left of the sky."""
    from scipy.ndimage import gaussian_filter, zoom  # noqa: PLC0415 - slow to import

    electrons = log_uniform(rng, (4.0, 200.0))
    noise = np.sqrt(1 + np.maximum(clean, 0) / electrons)
    draw = rng.standard_normal(clean.shape)
    if rng.random() < 0.3:  # noqa: PLR2004 - a share: coadds
        draw = gaussian_filter(draw, uniform(rng, (0.3, 0.65)), mode="wrap")
        draw /= draw.std()
    data = clean + noise * draw
    if rng.random() < 0.6:  # noqa: PLR2004 - a share
        coarse = rng.normal(0, log_uniform(rng, (0.02, 0.3)), (4, 4))
        data += zoom(coarse, clean.shape[0] / 4, order=3)[: clean.shape[0], : clean.shape[1]]
    # The noise is known as well as it can be measured.
    return data * np.exp(rng.normal(0, 0.05)), noise


def _usable(
    rng: np.random.Generator, clean: NDArray[np.float64], width: float
) -> NDArray[np.bool_]:
    """Draw pixels that are saturated or masked."""
    from scipy.ndimage import binary_dilation  # noqa: PLC0415 - slow to import

    bad = np.zeros(clean.shape, dtype=bool)
    if rng.random() < 0.3:  # noqa: PLR2004 - a share
        bad |= clean > log_uniform(rng, (100.0, 3000.0))
        bad = binary_dilation(bad)
    if rng.random() < 0.4:  # noqa: PLR2004 - a share
        for _ in range(int(rng.integers(1, 12))):
            y, x = rng.integers(clean.shape[0], size=2)
            tall, wide = rng.integers(1, int(2 + width), size=2)
            bad[y : y + tall, x : x + wide] = True
    if rng.random() < 0.1:  # noqa: PLR2004 - a share
        column = int(rng.integers(clean.shape[1]))
        bad[:, column : column + 2] = True
    return ~bad
