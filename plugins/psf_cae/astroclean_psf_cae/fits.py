"""Profiles fitted to the sources of a region, each with its neighbors taken off."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.arrays import add_box, overlap
from astroclean.core.psf.transform import psf_transform
from astroclean_psf_cae.spergel import sharp_images, sharp_variances, spergel_images
from astroclean_psf_cae.spergel_fit import SpergelFit, fit_spergel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean_psf_cae.region import Region

    Image = NDArray[np.float32]

__all__ = ["Fits", "Light", "Targets", "fit_again", "fit_sources"]

_SIDE, _LARGE_SIDE = 64, 128
"""Pixels along the stamp of a source, and of one that does not fit into it."""
_LARGE = 7.0
"""Half-light radius from which a source gets the larger stamp, pixels."""
_FADED = 0.1
"""Light at the border of a stamp from which its source gets the larger one, noise of a pixel."""
_FAR = 1.5
"""FWHM of the PSF by which a profile may lie beside where it was sought."""
_WHOLE = 0.6
"""Part of the half side of a stamp from which its profile fades."""
_LEAST_SNR = 3.5
"""Significance of a fit from which its profile is drawn; of fainter sources the network sees the
image alone, as in its training."""
_NO_IMAGE = np.zeros((0, 0), np.float32)
_ITERATIONS, _MORE = 8, 3
"""Iterations of a fit, and of one that begins with one."""


@dataclass(frozen=True, eq=False)
class Light:
    """Images of sources on a region, each in a box that may reach beyond it."""

    images: tuple[Image, ...]
    """n images."""
    origins: tuple[tuple[int, int], ...]
    """(y, x) of the first pixel of each."""
    shape: tuple[int, int]
    """(ny, nx) of the region."""

    def taken(self, rows: NDArray[np.integer]) -> Light:
        """Return some of them."""
        return Light(
            tuple(self.images[row] for row in rows),
            tuple(self.origins[row] for row in rows),
            self.shape,
        )

    @functools.cached_property
    def total(self) -> Image:
        """(ny, nx): the sum of all."""
        image = np.zeros(self.shape)
        for one, origin in zip(self.images, self.origins, strict=True):
            add_box(image, one, origin)
        return image.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Targets:
    """Sources to fit, in pixels of a region."""

    rows: NDArray[np.intp]
    """(n,) of the catalogue."""
    places: NDArray[np.float64]
    """(n, 2): (y, x)."""
    models: Light | None = None
    """Light of each by a deblender, by which neighbors are taken off; None: by the fits."""

    def __len__(self) -> int:
        return len(self.rows)

    def taken(self, rows: NDArray[np.integer]) -> Targets:
        """Return some of them."""
        models = None if self.models is None else self.models.taken(rows)
        return Targets(self.rows[rows], self.places[rows], models)


@dataclass(frozen=True, eq=False)
class Fits:
    """Profiles of the sources of a region."""

    rows: NDArray[np.intp]
    """(n,) of the catalogue."""
    profiles: SpergelFit
    """Places are told from `middles`."""
    middles: NDArray[np.intp]
    """(n, 2): pixel (y, x) of the region in the middle of the stamp of each."""
    sides: NDArray[np.intp]
    """(n,) of the stamps, pixels."""
    blurred: Light
    """As the region shows them."""
    sharp: Light
    """At the target PSF."""
    variance: Light
    """Of those, by the errors of the fits; of a source that is not drawn, all that it may have."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def places(self) -> NDArray[np.float64]:
        """(n, 2): (y, x) in pixels of the region."""
        return np.asarray(self.profiles.values[:, :2] + self.middles)


def fit_sources(region: Region, targets: Targets) -> Fits:
    """Fit a profile to each source.

    Parameters
    ----------
    region : Region
        Not modified.
    targets : Targets
        Its sources.

    Returns
    -------
    Fits
        In the order of the targets. Without models of a deblender all are fitted twice, the second
        time to the share of the light that the first gives them; with them, those are fitted twice
        that need a larger stamp. A profile that goes far from where it was sought is none.
    """
    middles = np.rint(targets.places).astype(np.intp)
    offsets = targets.places - middles
    work = _Work(region, middles)
    small = np.full(len(targets), _SIDE)
    profiles = work.fitted(small, offsets, targets.models)
    reach = np.array([_at_border(image) for image in work.blurred(profiles, small).images])
    sides = np.where((profiles.radius > _LARGE) | (reach > _FADED), _LARGE_SIDE, small)
    if targets.models is None:
        # Taken off each other, two entries of one source would leave nothing to either.
        shares = work.blurred(profiles, sides)
        profiles = work.fitted(sides, offsets, shares, is_shared=True)
    elif (sides > _SIDE).any():
        profiles = work.fitted(sides, offsets, targets.models)
    return work.drawn(targets.rows, profiles.held(offsets, _FAR * region.fwhm), sides)


def fit_again(region: Region, fits: Fits) -> Fits:
    """Fit the sources of a region anew, with other noise, beginning with a fit.

    Parameters
    ----------
    region : Region
        With other data than the one that was fitted.
    fits : Fits
        Of the same pixels.
    """
    work = _Work(region, fits.middles)
    values = fits.profiles.values
    profiles = work.fitted(fits.sides, values[:, :2], fits.blurred, start=values)
    return work.drawn(fits.rows, profiles, fits.sides)


@functools.lru_cache(maxsize=4)
def _fading(side: int) -> Image:
    """Return 1 in a stamp, falling to 0 at its border: what is larger must not end in a square."""
    away = np.abs(np.arange(side) - side // 2) / (side // 2)
    edge = np.cos(np.pi / 2 * np.clip((away - _WHOLE) / (1 - _WHOLE), 0, 1)) ** 2
    return np.asarray(np.outer(edge, edge), dtype=np.float32)


def _standing_out(profiles: SpergelFit) -> SpergelFit:
    return profiles.where(profiles.significance >= _LEAST_SNR)


def _at_border(image: Image) -> float:
    """Return the most light at the border of a stamp."""
    return float(max(image[[0, -1]].max(), image[:, [0, -1]].max()))


class _Work:
    """Fits on the stamps around some pixels of a region."""

    def __init__(self, region: Region, middles: NDArray[np.intp]) -> None:
        self._region = region
        self._middles = middles
        self._kept: dict[tuple[int, ...], NDArray[np.complex64]] = {}

    def fitted(
        self,
        sides: NDArray[np.intp],
        offsets: NDArray[np.float64],
        light: Light | None,
        *,
        start: NDArray[np.float64] | None = None,
        is_shared: bool = False,
    ) -> SpergelFit:
        """Return the fit to each source, where ``light`` of the others is taken off.

        Shared, each gets the part of the light in a pixel that its own is of all.
        """
        region, count = self._region, len(sides)
        parts, order = [], []
        for side in np.unique(sides):
            rows = np.flatnonzero(sides == side)
            weights = np.stack([self._cut(region.weights, int(row), int(side)) for row in rows])
            images = np.stack([self._cut(region.data, int(row), int(side)) for row in rows])
            if light is not None:
                for number, row in enumerate(rows):
                    every = self._cut(light.total, int(row), int(side))
                    own = np.zeros_like(every)
                    y, x = np.array(light.origins[row]) - (self._middles[row] - side // 2)
                    add_box(own, light.images[row], (int(y), int(x)))
                    if is_shared:
                        part = np.clip(own / np.maximum(every, 1), 0, 1)
                        images[number] *= np.where(every > 1, part, 1)
                    else:
                        images[number] += own - every
            fit = fit_spergel(
                images,
                weights,
                self._psf(rows, int(side)),
                offsets[rows],
                fwhm=region.fwhm,
                iterations=_ITERATIONS if start is None else _MORE,
                start=None if start is None else start[rows],
            )
            parts.append(fit)
            order.append(rows)
        sorting = np.argsort(np.concatenate(order)) if count else np.zeros(0, np.intp)
        return SpergelFit.joined(parts).taken(sorting)

    def blurred(self, profiles: SpergelFit, sides: NDArray[np.intp]) -> Light:
        """Return profiles as the region shows them, those that stand out."""
        images: list[Image] = [_NO_IMAGE] * len(sides)
        for side in np.unique(sides):
            rows = np.flatnonzero(sides == side)
            seen = _standing_out(profiles.taken(rows))
            drawn = spergel_images(seen.values, self._psf(rows, int(side)), int(side))
            for row, image in zip(rows, drawn, strict=True):
                images[row] = image * _fading(int(side))
        return self._light(images, sides)

    def drawn(self, rows: NDArray[np.intp], profiles: SpergelFit, sides: NDArray[np.intp]) -> Fits:
        """Return profiles with their images."""
        sharp: list[Image] = [_NO_IMAGE] * len(sides)
        variances = list(sharp)
        for side in np.unique(sides):
            some = np.flatnonzero(sides == side)
            own = profiles.taken(some)
            seen = _standing_out(own)
            at_target = sharp_images(seen.values, int(side))
            # Of what does not stand out there is nothing to see; all of it is what may be there.
            unseen = sharp_images(own.values, int(side)) - at_target
            spread = sharp_variances(own.values, own.covariance, int(side))
            spread = spread + np.nan_to_num(unseen) ** 2
            fading = _fading(int(side))
            for row, image, variance in zip(some, at_target, spread, strict=True):
                sharp[row], variances[row] = image * fading, variance * fading**2
        return Fits(
            rows,
            profiles,
            self._middles,
            sides,
            self.blurred(profiles, sides),
            self._light(sharp, sides),
            self._light(variances, sides),
        )

    def _light(self, images: list[Image], sides: NDArray[np.intp]) -> Light:
        corners = self._middles - sides[:, np.newaxis] // 2
        return Light(tuple(images), tuple((int(y), int(x)) for y, x in corners), self._region.shape)

    def _cut(self, image: Image, row: int, side: int) -> Image:
        """Return the stamp of a source; 0 beyond the region."""
        y, x = self._middles[row] - side // 2
        stamp = np.zeros((side, side), np.float32)
        inside, own = overlap((int(y), int(x)), stamp.shape, image.shape)
        stamp[own] = image[inside]
        return stamp

    def _psf(self, rows: NDArray[np.intp], side: int) -> NDArray[np.complex64]:
        """Return the transform of the PSF: one where it is constant, else of each source."""
        if self._region.psf.is_constant:
            return self._psf_at(0, 0, side)
        return np.stack([self._psf_at(int(y), int(x), side) for y, x in self._middles[rows]])

    def _psf_at(self, y: int, x: int, side: int) -> NDArray[np.complex64]:
        if (side, y, x) not in self._kept:
            top, left = self._region.origin
            fine = self._region.psf.fine_at(left + x, top + y)
            self._kept[side, y, x] = psf_transform(fine, side, samples=1)
        return self._kept[side, y, x]
