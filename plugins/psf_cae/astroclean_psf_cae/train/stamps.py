"""Stamps to train on: galaxies, stars and blanks under PSFs of all kinds, with what fits leave."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.psf.stamp import FINER, half_maximum_width
from astroclean.core.psf.target import target_psf
from astroclean.core.psf.transform import HALVES, convolved, psf_transform
from astroclean.simulate.draws import log_uniform, uniform
from astroclean.simulate.galaxy_library import GalaxyLibrary, build_galaxies
from astroclean.simulate.psfs import PsfRange, draw_psf
from astroclean_psf_cae.channels import seen_of
from astroclean_psf_cae.filters import make_bank
from astroclean_psf_cae.spergel import sharp_images, spergel_images
from astroclean_psf_cae.spergel_fit import fit_spergel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean_psf_cae.filters import FilterBank

    Images = NDArray[np.float32]

__all__ = ["PER_SAMPLE", "STAMP", "StampMaker", "Stamps", "draw_stamps"]

STAMP = 64
"""Pixels along a stamp."""
PER_SAMPLE = 16
"""Stamps under one PSF."""
_PSFS = PsfRange(
    fwhm=(2.0, 8.0),
    kinds=("moffat", "moffat", "kolmogorov", "airy", "optical"),
    ellipticity=(0.0, 0.2),
)
_SNR = (3.0, 500.0)
_RADIUS = (0.12, 2.0)
"""Half-light radius, FWHM of the PSF."""
_LARGEST = 9.0
_REACH = 5.0
"""Pixels from the middle of a stamp within which its source lies."""
_BLANK, _STAR, _NEIGHBOR, _UNFITTED = 0.2, 0.12, 0.3, 0.15
_SEEDS = 7_000_000_000
_LIBRARY_SEED, _HELD_OUT_SEED = 20_261_119, 20_261_130
_FOUND = 3.5
"""S/N from which a source is fitted, most often."""
_LIMIT = 6e4
"""Of what a stored number can be."""


@dataclass(frozen=True, eq=False)
class Stamps:
    """Stamps in units of the noise of their sky."""

    data: Images
    """(n, s, s), sky subtracted as far as anyone could."""
    weights: Images
    """(n, s, s): one over the variance as it is told, 0 where a pixel is not usable."""
    clean: Images
    """(n, s, s): all light, without noise."""
    sharp: Images
    """(n, s, s): the same light at the target PSF."""
    fine: NDArray[np.float64]
    """The PSF as it is told, as of `Psf.fine_at`."""
    places: NDArray[np.float64]
    """(n, 2, 2): (y, x) of source and neighbor, from the middle of pixel ``s // 2``."""
    snr: NDArray[np.float64]
    """(n, 2): of the best fit to each alone; 0 where there is none."""

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Usable pixels."""
        return np.asarray(self.weights > 0)


@functools.lru_cache(maxsize=2)
def _library(seed: int) -> GalaxyLibrary:
    return build_galaxies(seed=seed, per_family=60)


def draw_stamps(rng: np.random.Generator, *, held_out: bool = False) -> Stamps:
    """Draw stamps under one PSF.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    held_out : bool
        Whether galaxies are those of the validation.
    """
    fine = draw_psf(rng, _PSFS).psf.fine[0]
    width = half_maximum_width(fine[::FINER, ::FINER])
    count = PER_SAMPLE
    snr = np.stack(
        [np.exp(rng.uniform(np.log(_SNR[0]), np.log(_SNR[1]), count)) for _ in range(2)], axis=1
    )
    snr[:, 1] = np.minimum(snr[:, 0] * np.exp(rng.normal(-0.5, 1.0, count)), _SNR[1])
    snr[rng.random(count) >= _NEIGHBOR, 1] = 0
    snr[rng.random(count) < _BLANK] = 0
    places = rng.uniform(-_REACH, _REACH, (count, 2, 2))
    away = rng.uniform(1.2 * width, 26.0, count)
    angle = rng.uniform(0, 2 * np.pi, count)
    places[:, 1] = places[:, 0] + away[:, np.newaxis] * np.stack([np.sin(angle), np.cos(angle)], 1)
    lights = _lights(rng, width, _library(_HELD_OUT_SEED if held_out else _LIBRARY_SEED))
    clean, sharp = (np.zeros((count, STAMP, STAMP), np.float32) for _ in range(2))
    seen = psf_transform(fine, STAMP)
    target = psf_transform(target_psf().fine[0], STAMP)
    for which in range(2):
        rows = np.flatnonzero(snr[:, which])
        if not len(rows):
            continue
        light, place = lights[rows + which * count], places[rows, which]
        blurred = np.maximum(convolved(seen, place, light, STAMP), 0)
        power = np.sqrt(np.sum(blurred.astype(float) ** 2, axis=(1, 2)))
        flux = (snr[rows, which] / np.maximum(power, 1e-9)).astype(np.float32)
        clean[rows] += flux[:, np.newaxis, np.newaxis] * blurred
        sharp[rows] += flux[:, np.newaxis, np.newaxis] * convolved(target, place, light, STAMP)
    data, weights = _exposed(rng, clean)
    return Stamps(data, weights, clean, sharp, _mistaken(rng, fine), places, snr)


def _lights(rng: np.random.Generator, width: float, library: GalaxyLibrary) -> Images:
    """Return sources before the PSF on half pixels, each of flux 1."""
    side, count = HALVES * STAMP, 2 * PER_SAMPLE
    lights = np.zeros((count, side, side), np.float32)
    for light in lights:
        if rng.random() < _STAR:
            light[side // 2, side // 2] = 1.0
            continue
        galaxy, matrix = library.draw(rng)
        radius = min(width * log_uniform(rng, _RADIUS), _LARGEST)
        light[:] = galaxy.placed(matrix, HALVES * radius, side)
    return lights


def _exposed(rng: np.random.Generator, clean: Images) -> tuple[Images, Images]:
    """Return noisy data and what is told of the variance, with pixels that are lost."""
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - slow to import

    electrons = log_uniform(rng, (4.0, 1000.0))
    variance = 1 + np.maximum(clean, 0) / electrons
    draw = rng.standard_normal(clean.shape)
    if rng.random() < 0.25:  # noqa: PLR2004 - a share: coadds
        width = uniform(rng, (0.3, 0.6))
        draw = gaussian_filter(draw, (0, width, width), mode="wrap")
        draw /= draw.std()
    sky = rng.normal(0, 0.05, (len(clean), 1, 1))
    data = (clean + np.sqrt(variance) * draw + sky).astype(np.float32)
    told = (1 if rng.random() < 0.5 else variance) * np.exp(2 * rng.normal(0, 0.03))  # noqa: PLR2004
    weights = np.broadcast_to(1 / told, clean.shape).astype(np.float32)
    for stamp, weight in zip(data, weights, strict=True):
        if rng.random() < 0.2:  # noqa: PLR2004 - a share
            _lose(rng, stamp, weight)
    return data, weights


def _lose(rng: np.random.Generator, stamp: Images, weight: Images) -> None:
    """Damage some pixels of a stamp, and tell it."""
    for _ in range(int(rng.integers(1, 6))):
        y, x = rng.integers(STAMP, size=2)
        tall, wide = rng.integers(1, 5, size=2)
        box = np.s_[y : y + tall, x : x + wide]
        if rng.random() < 0.15:  # noqa: PLR2004 - a share
            box = np.s_[:, x : x + 1]
        stamp[box] = 1000.0
        weight[box] = 0


def _mistaken(rng: np.random.Generator, fine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a PSF as it is known: its width and its shape are off by a per cent or two."""
    from scipy.ndimage import affine_transform  # noqa: PLC0415 - slow to import

    g1, g2 = rng.normal(0, 0.008, 2)
    matrix = np.exp(rng.normal(0, 0.012)) * np.array([[1 + g1, g2], [g2, 1 - g1]])
    middle = np.full(2, fine.shape[0] // 2)
    known = affine_transform(fine, matrix, middle - matrix @ middle, order=1)
    return np.asarray(np.maximum(known, 0) * fine.sum() / known.sum())


@dataclass(frozen=True)
class StampMaker:
    """Makes the sample of a number; a function that other processes can be given."""

    seed: int
    """Of the training."""
    offset: int = 0
    """Added to numbers, for a set of its own."""
    held_out: bool = False
    """Whether galaxies are those of the validation."""

    def __call__(self, number: int) -> dict[str, NDArray[Any]]:
        """Return stamps under one PSF.

        Parameters
        ----------
        number : int
            The same number gives the same bytes.

        Returns
        -------
        dict
            ``planes``, (16, 11, 64, 64) float16 of `CHANNELS`; ``truth``, (16, 2, 64, 64) float16:
            the light at the target PSF over the local scale, and that scale; ``snr``, (16,) of the
            source.
        """
        rng = np.random.default_rng(_SEEDS + 100_000_000 * self.seed + self.offset + number)
        stamps = draw_stamps(rng, held_out=self.held_out)
        bank = make_bank(stamps.fine, STAMP)
        seen = seen_of(stamps.data, stamps.valid, *_fitted(rng, stamps, bank), bank)
        truth = np.stack([stamps.sharp / seen.scale, seen.scale], axis=1)
        return {
            "planes": np.clip(seen.planes, -_LIMIT, _LIMIT).astype(np.float16),
            "truth": np.clip(truth, -_LIMIT, _LIMIT).astype(np.float16),
            "snr": stamps.snr[:, 0].astype(np.float32),
        }


def _fitted(rng: np.random.Generator, stamps: Stamps, bank: FilterBank) -> tuple[Images, Images]:
    """Return the fits to the sources that a catalogue has, as data show them and sharp.

    The brighter one first, which is fitted once more when the other is known, as by a stage.
    """
    blurred = np.zeros_like(stamps.data)
    models, targets = (np.zeros((2, *stamps.data.shape), np.float32) for _ in range(2))
    width = half_maximum_width(stamps.fine[::FINER, ::FINER])
    is_known = (stamps.snr > _FOUND) & (rng.random(stamps.snr.shape) < 0.95)  # noqa: PLR2004 - most
    is_known[:, 1] &= rng.random(len(is_known)) < 0.7  # noqa: PLR2004 - a catalogue misses some
    is_known[rng.random(len(is_known)) < _UNFITTED] = False
    for sweep in range(2):
        for which in range(2):
            # Once more where there are two, each without the other.
            is_wanted = is_known[:, which] if sweep == 0 else is_known.all(axis=1)
            rows = np.flatnonzero(is_wanted)
            if not len(rows):
                continue
            if sweep:
                blurred[rows] -= models[which][rows]
            error = 0.03 + 0.4 / stamps.snr[rows, which, np.newaxis]
            moved = width * error * rng.normal(size=(len(rows), 2))
            fit = fit_spergel(
                stamps.data[rows] - blurred[rows],
                stamps.weights[rows],
                bank.psf,
                stamps.places[rows, which] + moved,
                fwhm=width,
            )
            models[which][rows] = spergel_images(fit.values, bank.psf, STAMP)
            targets[which][rows] = sharp_images(fit.values, STAMP)
            blurred[rows] += models[which][rows]
    return blurred, targets[0] + targets[1]
