"""Training samples of the variant `paper`: galaxies seen through Moffat PSFs, and sharp.

The paper's truths have no PSF at all: its network is asked for what no pixels can show. Here they
are at the target PSF of the plugin (`astroclean_psf_cae.filters.TARGET_FWHM`), as those of every
method, so that they can be compared.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.psf.target import target_psf
from astroclean.core.psf.transform import (
    HALVES,
    angular_frequencies,
    convolved,
    psf_transform,
    sampled_images,
)
from astroclean.simulate.draws import log_uniform
from astroclean.simulate.galaxy_library import GalaxyLibrary, build_galaxies
from astroclean.simulate.psfs import PsfModel, PsfRange, draw_psf
from astroclean_psf_cae.paper.channels import (
    CHANNELS,
    ChannelSettings,
    paper_channels,
    scaled,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BLANK", "FWHM", "VALIDATION", "PaperSampleMaker"]

VALIDATION = 40_000_000
"""Numbers of validation samples begin here: no step reaches them."""
BLANK = 3 / 13
"""Share of stamps without a galaxy: 30 000 of 130 000."""
FWHM = (2.5, 6.0)
"""Of the PSF in pixels. The pixels of the paper, which GalSim chooses, are 0.30 of the FWHM of one
of its bands; other bands, and real frames, have others."""
_PSF = PsfRange(fwhm=FWHM, kinds=("moffat",), moffat_beta=(2.0, 5.0), ellipticity=(0.0, 0.12))
_SNR = (3.0, 500.0)
"""Of the best fit to the galaxy, were its shape known."""
_RADIUS = (1.0, 6.0)
"""Half-light radius before the PSF, pixels."""
_OFFSET = 5.0
"""Pixels that a galaxy lies off the middle, along each axis, at most."""
_LIBRARY_SEED, _HELD_OUT_SEED = 20_231_019, 20_240_605
_SEEDS = 8_000_000_000
"""Seeds of this training; those of evaluations and of other networks are others."""
_PSF_HALF = 20


@functools.lru_cache(maxsize=2)
def _library(seed: int, per_family: int) -> GalaxyLibrary:
    return build_galaxies(seed=seed, per_family=per_family)


@dataclass(frozen=True)
class PaperSampleMaker:
    """Makes the sample of a number; a function that other processes can be given."""

    seed: int
    """Of the training."""
    side: int = 64
    """Pixels, a multiple of 8."""
    settings: ChannelSettings = field(default_factory=ChannelSettings)
    """How channels are made. All are in a sample, in the order of `CHANNELS`, each scaled alone."""
    galaxies: int = 40
    """Of each family, in the library that they are drawn from."""
    offset: int = 0
    """Added to numbers, for a set of its own."""
    held_out: bool = False
    """Whether galaxies are those of the validation."""
    scored: bool = True
    """Whether a sample holds what scores need, and not only what steps do."""

    def __call__(self, number: int) -> dict[str, NDArray[Any]]:
        """Return one stamp, in units of the noise of a pixel.

        Parameters
        ----------
        number : int
            The same number gives the same bytes.

        Returns
        -------
        dict
            ``channels`` (3, side, side) float16, each with a maximum of 1, and their ``scales``
            (3,) float32; ``target`` (side, side) float16, the truth scaled to a maximum of 1, all 0
            for a blank. If scored, too: ``truth`` (side, side) float32 at the target PSF; ``data``
            (side, side) float32; ``psf`` (41, 41) float32; ``about`` (4,) float32: S/N (0: blank),
            half-light radius, and x, y of the galaxy, pixels.
        """
        rng = np.random.default_rng(_SEEDS + 100_000_000 * self.seed + self.offset + number)
        snr = log_uniform(rng, _SNR) * float(rng.random() >= BLANK)
        radius = log_uniform(rng, _RADIUS)
        offset = rng.uniform(-_OFFSET, _OFFSET, 2)
        library = _library(_HELD_OUT_SEED if self.held_out else _LIBRARY_SEED, self.galaxies)
        galaxy, matrix = library.draw(rng)
        light = galaxy.placed(matrix, HALVES * radius, HALVES * self.side)
        clean, truth, psf = _seen(light.astype(np.float32), offset, draw_psf(rng, _PSF))
        flux = snr / np.sqrt(np.sum(clean**2))
        data = flux * clean + rng.standard_normal(clean.shape)
        made = paper_channels(
            data[np.newaxis], psf, self.settings.model_copy(update={"names": CHANNELS})
        )
        channels, scales = scaled(made)
        seen = {
            "channels": channels[0].astype(np.float16),
            "scales": scales[0],
            "target": (truth / truth.max() * (flux > 0)).astype(np.float16),
        }
        if not self.scored:
            return seen
        about = np.array([snr, radius, *(self.side // 2 + offset[::-1])])
        return {
            **seen,
            "truth": (flux * truth).astype(np.float32),
            "data": data.astype(np.float32),
            "psf": psf.astype(np.float32),
            "about": about.astype(np.float32),
        }


def _seen(
    light: NDArray[np.float32], offset: NDArray[np.float64], model: PsfModel
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return a galaxy through a PSF and at the target PSF, and the PSF's stamp.

    Parameters
    ----------
    light : (2 side, 2 side) float32
        The galaxy before the PSF on half pixels, of sum 1.
    offset : (2,) float64
        (y, x) of the galaxy from the middle, pixels.
    model : PsfModel
        The PSF.
    """
    side = light.shape[0] // HALVES
    target = _target(side)
    blur = _transform(model, len(target))
    galaxy, places = light[np.newaxis], offset[np.newaxis]
    clean, truth = (convolved(one, places, galaxy, side)[0] for one in (blur, target))
    stamp = sampled_images(blur[np.newaxis], np.zeros((1, 2)), 2 * _PSF_HALF + 1)[0]
    stamp /= stamp.sum()
    return clean.astype(np.float64), truth.astype(np.float64), stamp.astype(np.float64)


@functools.lru_cache(maxsize=2)
def _target(side: int) -> NDArray[np.complex64]:
    return psf_transform(target_psf().fine[0], side)


def _transform(model: PsfModel, count: int) -> NDArray[np.complex64]:
    """Return what `psf_transform` does, of a PSF that is used once: drawn on half pixels alone."""
    from scipy.fft import rfft2  # noqa: PLC0415 - slow to import

    half = count // 2 - 1
    kernel = np.zeros((count, count))
    kernel[: 2 * half + 1, : 2 * half + 1] = model.kernel(per_pixel=HALVES, half=half)
    ky, kx = angular_frequencies(count)
    # The kernel is not integrated over pixels.
    pixel = np.sinc(ky / (2 * np.pi)) * np.sinc(kx / (2 * np.pi))
    return np.asarray(rfft2(np.roll(kernel, (-half, -half), axis=(0, 1))) * pixel, np.complex64)
