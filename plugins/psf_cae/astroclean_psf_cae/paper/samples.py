"""Training samples of the variant `paper`: galaxies seen through Moffat PSFs, and without them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.psf.stamp import FWHM_PER_SIGMA
from astroclean.simulate.draws import log_uniform
from astroclean.simulate.galaxy_library import GalaxyLibrary, build_galaxies
from astroclean.simulate.psfs import PsfModel, PsfRange, draw_psf
from astroclean_psf_cae.paper.channels import (
    CHANNELS,
    TARGET_FWHM,
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
"""Of the PSF in pixels. The pixels of the paper, which GalSim chooses, are 0.30 of the FWHM; its other
bands, and real frames, have others."""
_PSF = PsfRange(fwhm=FWHM, kinds=("moffat",), moffat_beta=(2.0, 5.0), ellipticity=(0.0, 0.12))
_SNR = (3.0, 500.0)
"""Of the best fit to the galaxy, were its shape known."""
_RADIUS = (1.0, 6.0)
"""Half-light radius before the PSF, pixels."""
_OFFSET = 5.0
"""Pixels that a galaxy lies off the middle, along each axis, at most."""
_PER_FAMILY = 40
_LIBRARY_SEED, _HELD_OUT_SEED = 20_231_019, 20_240_605
_SEEDS = 7_000_000_000
"""Seeds of this training; those of evaluations and of other networks are others."""
_HALVES = 2
"""Samples along a pixel: half pixels hold what a PSF of 2 pixels lets pass."""
_ROOM = 1.5
"""Side of the transform over that of the stamp: light that leaves it must not come in again."""
_PSF_HALF = 20


@functools.lru_cache(maxsize=2)
def _library(seed: int) -> GalaxyLibrary:
    return build_galaxies(seed=seed, per_family=_PER_FAMILY)


@dataclass(frozen=True)
class PaperSampleMaker:
    """Makes the sample of a number; a function that other processes can be given."""

    seed: int
    """Of the training."""
    side: int = 64
    """Pixels, a multiple of 8."""
    settings: ChannelSettings = ChannelSettings()
    """How channels are made. All of them are in a sample, in the order of `CHANNELS`."""
    offset: int = 0
    """Added to numbers, for a set of its own."""
    held_out: bool = False
    """Whether galaxies are those of the validation."""

    def __call__(self, number: int) -> dict[str, NDArray[Any]]:
        """Return one stamp, in units of the noise of a pixel.

        Parameters
        ----------
        number : int
            The same number gives the same bytes.

        Returns
        -------
        dict
            ``channels`` (3, side, side) float16, scaled; ``target`` (side, side) float16, the truth
            scaled to a maximum of 1, all 0 for a blank; ``truth`` (side, side) float32 at the PSF
            of `TARGET_FWHM`; ``data`` (side, side) float32; ``psf`` (41, 41) float32; ``about``
            (4,) float32: S/N (0: blank), half-light radius, and x, y of the galaxy, pixels.
        """
        rng = np.random.default_rng(_SEEDS + 100_000_000 * self.seed + self.offset + number)
        snr = log_uniform(rng, _SNR) * float(rng.random() >= BLANK)
        radius = log_uniform(rng, _RADIUS)
        place = self.side // 2 + rng.uniform(-_OFFSET, _OFFSET, 2)
        galaxy, matrix = _library(_HELD_OUT_SEED if self.held_out else _LIBRARY_SEED).draw(rng)
        model = draw_psf(rng, _PSF)
        light = galaxy.placed(matrix, _HALVES * radius, _HALVES * self.side)
        clean, truth, psf = _seen(light, place, model)
        flux = snr / np.sqrt(np.sum(clean**2))
        data = flux * clean + rng.standard_normal(clean.shape)
        made = paper_channels(
            data[np.newaxis], psf, self.settings.model_copy(update={"names": CHANNELS})
        )
        channels, _ = scaled(made, self.settings.scaling)
        about = np.array([snr, radius, place[1], place[0]])
        return {
            "channels": channels[0].astype(np.float16),
            "target": (truth / truth.max() * (flux > 0)).astype(np.float16),
            "truth": (flux * truth).astype(np.float32),
            "data": data.astype(np.float32),
            "psf": psf.astype(np.float32),
            "about": about.astype(np.float32),
        }


def _seen(
    light: NDArray[np.float64], place: NDArray[np.float64], model: PsfModel
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return a galaxy through a PSF and at the target PSF, and the PSF's stamp.

    Parameters
    ----------
    light : (2 side, 2 side) float64
        The galaxy before the PSF on half pixels, of sum 1, at pixel ``side``.
    place : (2,) float64
        (y, x) where it shall be, pixels.
    model : PsfModel
        The PSF.
    """
    from scipy.fft import irfft2, next_fast_len, rfft2  # noqa: PLC0415 - optional extra

    side = light.shape[0] // _HALVES
    count = int(next_fast_len(int(_ROOM * _HALVES * side), real=True))
    fy = _HALVES * np.fft.fftfreq(count)[:, np.newaxis]  # cycles a pixel
    fx = _HALVES * np.fft.rfftfreq(count)[np.newaxis]
    pixel = np.sinc(fy) * np.sinc(fx)
    narrow = np.exp(-2 * (np.pi * TARGET_FWHM / FWHM_PER_SIGMA) ** 2 * (fy**2 + fx**2))
    half = count // 2 - 1
    kernel = np.zeros((count, count))
    kernel[: 2 * half + 1, : 2 * half + 1] = model.kernel(per_pixel=_HALVES, half=half)
    blur = rfft2(np.roll(kernel, (-half, -half), axis=(0, 1))) * pixel
    room = np.zeros((count, count))
    room[: light.shape[0], : light.shape[1]] = light
    dy, dx = place - side // 2
    moved = rfft2(room) * np.exp(-2j * np.pi * (fy * dy + fx * dx))
    images = irfft2(np.stack([moved * blur, moved * narrow * pixel, blur]), s=(count, count))
    # Of sum 1 on half pixels: four of them are a pixel.
    clean, truth, psf = _HALVES**2 * images
    steps = _HALVES * np.arange(-_PSF_HALF, _PSF_HALF + 1)
    stamp = psf[np.ix_(steps, steps)]
    kept = slice(0, _HALVES * side, _HALVES)
    return clean[kept, kept], truth[kept, kept], stamp / stamp.sum()
