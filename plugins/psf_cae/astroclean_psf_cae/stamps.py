"""Many stamps of single sources at once, each with its PSF: the fast way for catalogues."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.parallel import in_threads
from astroclean.core.psf.psf import Psf
from astroclean.errors import FrameError
from astroclean_psf_cae.channels import seen_of
from astroclean_psf_cae.filters import FilterBank, filtered, make_bank
from astroclean_psf_cae.sharpen import Sharpener
from astroclean_psf_cae.spergel import sharp_images, sharp_variances, spergel_images
from astroclean_psf_cae.spergel_fit import SpergelFit, fit_spergel
from astroclean_psf_cae.stage import PsfCae

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

    from astroclean_psf_cae.stage import PsfCaeOptions

    Images = NDArray[np.float32]

__all__ = ["SharpStamps", "deconvolve_stamps"]

_AT_ONCE = 16
_SIDES = (32, 256)
_MULTIPLE = 8


@dataclass(frozen=True, eq=False)
class SharpStamps:
    """Stamps at the target PSF."""

    images: Images
    """(n, s, s), unit of the stamps given, without sky."""
    errors: Images
    """(n, s, s): standard deviation of each pixel."""
    flux: NDArray[np.float64]
    """(n,) of the fits, unit of the stamps given; 0 where nothing stands out or none was wanted."""
    fit: SpergelFit
    """(n,) profiles, in the unit of the noise."""


def deconvolve_stamps(
    images: NDArray[np.floating],
    psf: Psf | Sequence[Psf],
    noise: NDArray[np.floating] | float,
    *,
    usable: NDArray[np.bool_] | None = None,
    options: PsfCaeOptions | None = None,
) -> SharpStamps:
    """Bring stamps of single sources to the target PSF, a Gaussian of FWHM 2 pixels.

    What the stage `psf-cae` does for a frame, without what is around: no frames, no layers.

    Parameters
    ----------
    images : (n, s, s) float
        Any unit, sky and neighbors subtracted; s a multiple of 8 from 32 to 256. Not modified.
    psf : Psf or sequence of Psf
        Of all stamps, or of each.
    noise : (n,) float or float
        Standard deviation of the pixels of the sky, unit of the images.
    usable : (n, s, s) bool, optional
        Pixels that count; by default those that are finite.
    options : PsfCaeOptions, optional
        Of the stage: ``fit = False`` is the fast way.

    Returns
    -------
    SharpStamps
        In the order of the stamps; NaN where a stamp has no usable pixel. What is darker than the
        sky becomes sky.

    Raises
    ------
    FrameError
        Stamps of another shape, another number of PSFs, or a noise that is not positive.
    """
    given = np.asarray(images, dtype=np.float32)
    stage = PsfCae(options)
    psfs = _checked(given, psf, np.asarray(noise), usable)
    sigma = np.broadcast_to(np.asarray(noise, dtype=np.float32), (len(given),))
    valid = np.isfinite(given) & (True if usable is None else np.asarray(usable, dtype=bool))
    light = np.where(valid, given / sigma[:, np.newaxis, np.newaxis], np.float32(0))

    def work(part: slice) -> SharpStamps:
        own = [psfs[0]] if len(psfs) == 1 else psfs[part]
        return _sharpened(light[part], valid[part], own, stage)

    starts = range(0, len(given), _AT_ONCE)
    parts = in_threads(work, [slice(at, at + _AT_ONCE) for at in starts], stage.engine.parallel)
    scale = sigma[:, np.newaxis, np.newaxis]
    none = np.zeros_like(given[:0])
    return SharpStamps(
        scale * np.concatenate([none, *(part.images for part in parts)]),
        scale * np.concatenate([none, *(part.errors for part in parts)]),
        sigma * np.concatenate([np.zeros(0), *(part.flux for part in parts)]),
        SpergelFit.joined([part.fit for part in parts]),
    )


def _checked(
    images: Images,
    psf: Psf | Sequence[Psf],
    noise: NDArray[Any],
    usable: NDArray[np.bool_] | None,
) -> list[Psf]:
    """Return the PSFs, one for all or one for each, or raise where the stamps cannot be used."""
    psfs: list[Psf] = [psf] if isinstance(psf, Psf) else list(psf or ())
    side = images.shape[-1]
    low, high = _SIDES
    if images.ndim != 3 or images.shape[1] != side or side % _MULTIPLE or not low <= side <= high:  # noqa: PLR2004 - (n, s, s)
        raise FrameError(
            f"stamps must be (n, s, s) with s a multiple of {_MULTIPLE} from {low} to {high}",
            where="psf-cae",
            received=images.shape,
        )
    if any(not isinstance(one, Psf) for one in psfs):
        raise FrameError(
            "a PSF must be a Psf",
            where="psf-cae",
            received=next(type(one).__name__ for one in psfs if not isinstance(one, Psf)),
            remedy="Make it of an array: `astroclean.core.psf.psf.Psf(stamp)`.",
        )
    for name, array, shapes in (
        ("noise", noise, ((), (len(images),))),
        ("usable", usable, (images.shape,)),
    ):
        if array is not None and np.shape(array) not in shapes:
            raise FrameError(
                f"`{name}` must have the shape {' or '.join(map(str, shapes))}",
                where="psf-cae",
                received=np.shape(array),
            )
    if len(psfs) not in {1, len(images)}:
        raise FrameError(
            "there must be one PSF, or one for each stamp",
            where="psf-cae",
            received=f"{len(psfs)} for {len(images)} stamps",
        )
    if not (np.isfinite(noise) & (noise > 0)).all():
        raise FrameError("the noise must be positive", where="psf-cae", received=noise.min())
    return psfs


def _sharpened(
    light: Images, valid: NDArray[np.bool_], psfs: Sequence[Psf], stage: PsfCae
) -> SharpStamps:
    side = light.shape[-1]
    middle = side / 2
    bank = FilterBank.stacked([make_bank(one.fine_at(middle, middle), side) for one in psfs])
    blurred, sharp, spread = (np.zeros_like(light) for _ in range(3))
    fit = SpergelFit.of_nothing(len(light))
    if stage.options.fit:
        fit = _fitted(light, valid, bank, psfs, stage)
        blurred = spergel_images(fit.values, bank.psf, side)
        sharp = sharp_images(fit.values, side)
        spread = sharp_variances(fit.values, fit.covariance, side)
    seen = seen_of(light, valid, blurred, sharp, bank)
    image, error = Sharpener(stage.engine, stage.options.turns).stamps(seen)
    told = stage.calibration.pixel.of(np.sqrt(error**2 + spread), image)
    unknown = ~valid.any(axis=(1, 2), keepdims=True)
    return SharpStamps(
        np.where(unknown, np.float32(np.nan), image),
        np.where(unknown, np.float32(np.nan), told),
        fit.flux,
        fit,
    )


def _fitted(
    light: Images,
    valid: NDArray[np.bool_],
    bank: FilterBank,
    psfs: Sequence[Psf],
    stage: PsfCae,
) -> SpergelFit:
    """Return the profile of the brightest source of each stamp; of flux 0 where there is none."""
    count, side = len(light), light.shape[-1]
    (matched,) = filtered(light, bank.matched)
    level = np.asarray(bank.noise)[..., 1, np.newaxis, np.newaxis]
    snr = np.where(valid, matched / level, 0).reshape(count, -1)
    places = np.stack(np.unravel_index(snr.argmax(axis=1), (side, side)), axis=1) - side // 2
    width = np.array([one.fwhm_pixels for one in psfs])
    fit = fit_spergel(light, valid.astype(np.float32), bank.psf, places, fwhm=width)
    return fit.where(snr.max(axis=1) >= stage.calibration.snr)
