"""What the autoencoder of the paper sees of an image: it, convolved with its PSF and the inverse.

Sreejith et al. (2023, arXiv:2310.19605), section III. All of it is linear: an image twice as bright
has channels twice as bright.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from astroclean.core.psf.stamp import FWHM_PER_SIGMA, checked_stamp
from astroclean.errors import PsfError, StageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "CHANNELS",
    "FLOOR",
    "SIGMA_PER_FWHM",
    "ChannelName",
    "ChannelSettings",
    "effective_sigma",
    "paper_channels",
    "reconvolved",
    "scaled",
]

ChannelName = Literal["psf", "ipsf", "ipsf1"]
CHANNELS: tuple[ChannelName, ...] = ("psf", "ipsf", "ipsf1")
"""Convolved with the PSF; with its inverse; with its inverse and a Gaussian."""
FLOOR = 1e-3
"""Least modulus of the PSF's Fourier transform that is inverted as it is.

The pixels of the paper vary with the PSF, as those do that GalSim chooses: at their highest
frequency a PSF has a modulus of 1e-3, `maxk_threshold`. If so, the inverse of the paper, which has
no guard of its own, amplifies nothing by much more than 1000."""
SIGMA_PER_FWHM = 0.6
"""Standard deviation of the Gaussian over the effective FWHM of the PSF.

The paper has 1 arcsec, 4 to 11 of its pixels, whatever the PSF, and finds the results stable. One
width for all PSFs either lets the noise of a wide one through or blurs what a narrow one shows. 0.6
is the least that amplifies nothing, by a twentieth at most, of Moffat, Kolmogorov, Gaussian and
Airy PSFs of a reduced shear up to 0.25: a Gaussian must fall faster than the PSF in each direction.
"""
_AREA_PER_FWHM = 2.266
"""Noise-equivalent area of a Gaussian, 4 pi sigma^2, in units of its FWHM squared."""
_REACH = 4.0
"""Standard deviations after which a Gaussian is nothing."""
_FAINTEST = 1e-3
"""Weight of usable pixels, of all that a Gaussian covers, below which what they say fades to 0."""
_AXES = (-2, -1)


class ChannelSettings(BaseModel):
    """Which channels a network sees, and how they are made; the network is trained with them."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True
    )

    names: tuple[ChannelName, ...] = Field(default=CHANNELS, min_length=1)
    """Channels, in the order of the network."""
    sigma: Annotated[float, Field(gt=0, le=100)] | None = None
    """Standard deviation of the Gaussian of ``ipsf1`` in pixels; none: 0.6 of the effective FWHM of
    each PSF."""
    floor: float = Field(default=FLOOR, gt=0, le=1)
    """Modulus of the PSF's Fourier transform H up to which the inverse is ``1 / H``; below, it is
    ``conj(H) / floor^2``, which falls to 0 where H does."""
    scaling: Literal["channel", "object"] = "channel"
    """What the pixels of an object are divided by: the maximum of each channel, as the paper's text
    reads, or one maximum over all channels, which noise in ``ipsf`` then sets."""

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"names: each channel once, got {', '.join(self.names)}")
        return self


def paper_channels(
    images: NDArray[np.floating],
    psfs: NDArray[np.floating],
    settings: ChannelSettings,
    *,
    usable: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Return the channels of images.

    Pixels that are not usable, and those beyond the borders, are filled first: with the mean of
    the usable ones around, under a Gaussian as wide as the PSF (normalized convolution), which
    fades to 0 about three of its standard deviations from the nearest. Convolutions are by FFT on a
    grid so much larger that nothing comes in again on the other side.

    Parameters
    ----------
    images : (n, ny, nx) float
        Without sky. Not modified.
    psfs : (n, ky, kx) or (ky, kx) float
        PSF of each image, or of all: odd sides, the peak in the middle.
    settings : ChannelSettings
        Which, and how.
    usable : (n, ny, nx) or (ny, nx) bool, optional
        Pixels to be believed; none: all. Those that are not finite never are.

    Returns
    -------
    (n, channels, ny, nx) float32
        In the order of the settings, in the unit of the images. Of an image without a usable pixel
        0 throughout.

    Raises
    ------
    StageError
        ``images`` or ``usable`` have another shape.
    PsfError
        A stamp is no PSF, or there are neither one nor n.
    """
    light, spread, shape = _prepared(images, psfs, usable, _room(settings.sigma))
    inverse = _inverse(spread.transfer, settings.floor)
    sigma = settings.sigma
    blur = SIGMA_PER_FWHM * FWHM_PER_SIGMA * spread.sigma if sigma is None else np.array([sigma])
    made = []
    for name in settings.names:
        filtering = spread.transfer if name == "psf" else inverse
        if name == "ipsf1":
            filtering = inverse * _gaussian(blur, spread.shape)
        made.append(_cut(light * filtering, spread.shape, shape))
    return np.stack(made, axis=1).astype(np.float32)


def reconvolved(
    images: NDArray[np.floating], psfs: NDArray[np.floating], target: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Return images of one PSF as they would be seen through others.

    Parameters
    ----------
    images : (n, ny, nx) float
        Of the PSF ``target``; those that are not finite are filled.
    psfs : (n, ky, kx) or (ky, kx) float
        PSF of each, or of all.
    target : (my, mx) float
        Stamp of the PSF that the images have, narrower than the others. Where its Fourier
        transform has a modulus below `FLOOR` it is not taken out.

    Returns
    -------
    (n, ny, nx) float32
        What leaves the images is lost, and from beyond their borders comes what `paper_channels`
        supposes there.

    Raises
    ------
    StageError, PsfError
        As of `paper_channels`.
    """
    light, spread, shape = _prepared(images, psfs, None, 2 * max(target.shape))
    (narrow,) = _transfers(_checked(target), spread.shape)
    filtering = spread.transfer * _inverse(narrow, FLOOR)
    return _cut(light * filtering, spread.shape, shape).astype(np.float32)


def scaled(
    channels: NDArray[np.floating], scaling: Literal["channel", "object"] = "channel"
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return channels with a maximum of 1, and what they were divided by.

    Parameters
    ----------
    channels : (n, c, ny, nx) float
        As `paper_channels` gives them; negative pixels stay negative.
    scaling : {"channel", "object"}
        As of `ChannelSettings`.

    Returns
    -------
    scaled : (n, c, ny, nx) float32
        A new array.
    scales : (n, c) float32
        Above 0: the maximum; the largest modulus where no pixel is above 0, and 1 where all are 0.
    """
    axes = _AXES if scaling == "channel" else (-3, -2, -1)
    values = np.asarray(channels, dtype=np.float64)
    highest = values.max(axis=axes, keepdims=True)
    other = np.abs(values).max(axis=axes, keepdims=True)
    scales = np.where(highest > 0, highest, np.where(other > 0, other, 1.0))
    told = np.broadcast_to(scales[..., 0, 0], values.shape[:2])
    return (values / scales).astype(np.float32), np.array(told, dtype=np.float32)


def effective_sigma(stamps: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the standard deviations of Gaussians with the noise-equivalent areas of PSFs.

    Parameters
    ----------
    stamps : (n, ky, kx) float
        Each of sum 1.

    Returns
    -------
    (n,) float64
        Pixels: ``sqrt(1 / sum(p^2) / 2.266)`` is the effective FWHM, as the Rubin Observatory
        defines it.
    """
    area = 1 / np.sum(np.asarray(stamps, dtype=np.float64) ** 2, axis=_AXES)
    return np.asarray(np.sqrt(area / _AREA_PER_FWHM) / FWHM_PER_SIGMA)


class _Spread:
    """PSFs on the grid of the transforms."""

    def __init__(self, stamps: NDArray[np.float64], shape: tuple[int, int]) -> None:
        self.shape = shape
        self.sigma = effective_sigma(stamps)
        self.transfer = _transfers(stamps, shape)


def _prepared(
    images: Any, psfs: Any, usable: Any, room: int
) -> tuple[NDArray[np.complex128], _Spread, tuple[int, int]]:
    """Return transforms of images without holes, their PSFs, and the shape of an image."""
    from scipy.fft import next_fast_len, rfft2  # noqa: PLC0415 - slow to import

    values = np.asarray(images, dtype=np.float64)
    if values.ndim != 3 or not values.size:  # noqa: PLR2004 - n, ny, nx
        raise StageError("images must be (n, ny, nx)", where="psf-cae", received=values.shape)
    good = np.isfinite(values)
    if usable is not None:
        given = np.asarray(usable, dtype=bool)
        if given.shape not in {values.shape, values.shape[1:]}:
            raise StageError(
                f"usable pixels must have the shape of the images, {values.shape}",
                where="psf-cae",
                received=given.shape,
            )
        good &= given
    stamps = _checked(psfs)
    if len(stamps) not in {1, len(values)}:
        raise PsfError(f"PSF stamps must be one, or {len(values)}", received=len(stamps))
    # By the stamp, not by the PSF in it: a batch must not change what becomes of one image.
    ny, nx = values.shape[1:]
    padding = [max(2 * side, room) for side in stamps.shape[1:]]
    wide = [next_fast_len(n + pad, real=True) for n, pad in zip((ny, nx), padding, strict=True)]
    spread = _Spread(stamps, (wide[0], wide[1]))
    return rfft2(_continued(values, good, spread)), spread, (ny, nx)


def _room(sigma: float | None) -> int:
    """Return the pixels between the borders that a Gaussian needs; a PSF's own fits its stamp."""
    return 0 if sigma is None else int(np.ceil(2 * _REACH * sigma))


def _checked(psfs: Any) -> NDArray[np.float64]:
    """Return stamps (n, ky, kx) of sum 1, or raise."""
    stamps = np.asarray(psfs, dtype=np.float64)
    if stamps.ndim not in {2, 3} or not stamps.size:
        raise PsfError("PSF stamps must be (ky, kx) or (n, ky, kx)", received=stamps.shape)
    return np.stack([checked_stamp(one) for one in stamps.reshape(-1, *stamps.shape[-2:])])


def _transfers(stamps: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.complex128]:
    from scipy.fft import rfft2  # noqa: PLC0415 - slow to import

    count, ky, kx = stamps.shape
    room = np.zeros((count, *shape))
    room[:, :ky, :kx] = stamps
    return np.asarray(rfft2(np.roll(room, (-(ky // 2), -(kx // 2)), axis=_AXES)))


def _inverse(transfer: NDArray[np.complex128], floor: float) -> NDArray[np.complex128]:
    """Return one over a transfer function, where that is large enough."""
    modulus = np.maximum(np.abs(transfer), floor)
    return np.asarray(np.conj(transfer) / modulus**2)


def _gaussian(sigma: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the Fourier transforms of Gaussians of integral 1, (n, ny, nx // 2 + 1)."""
    fy, fx = np.fft.fftfreq(shape[0])[:, np.newaxis], np.fft.rfftfreq(shape[1])[np.newaxis]
    variance = np.asarray(sigma, dtype=np.float64)[:, np.newaxis, np.newaxis] ** 2
    return np.asarray(np.exp(-2 * np.pi**2 * variance * (fy**2 + fx**2)))


def _continued(
    values: NDArray[np.float64], good: NDArray[np.bool_], spread: _Spread
) -> NDArray[np.float64]:
    """Return images on the larger grid, with what is not known filled from what is around."""
    from scipy.fft import irfft2, rfft2  # noqa: PLC0415 - slow to import

    count, ny, nx = values.shape
    known = np.zeros((count, *spread.shape), dtype=bool)
    known[:, :ny, :nx] = good
    light = np.zeros(known.shape)
    light[:, :ny, :nx] = np.where(good, values, 0.0)
    smooth = _gaussian(spread.sigma, spread.shape)
    total = irfft2(rfft2(light) * smooth, s=spread.shape)
    weight = irfft2(rfft2(known.astype(np.float64)) * smooth, s=spread.shape)
    return np.where(known, light, total / np.maximum(weight, _FAINTEST))


def _cut(
    transform: NDArray[np.complex128], wide: tuple[int, int], shape: tuple[int, int]
) -> NDArray[np.float64]:
    from scipy.fft import irfft2  # noqa: PLC0415 - slow to import

    return np.asarray(irfft2(transform, s=wide)[:, : shape[0], : shape[1]])
