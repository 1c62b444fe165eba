"""For `parametric`: one galaxy as a GalSim profile, fitted under the PSF by least squares."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from astroclean.errors import StageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Galaxy", "Painter", "Stamp", "fit_galaxy"]

# Index of each profile: least, start, most. Cuspier ones cannot be drawn without a PSF.
_INDEX = {"spergel": (-0.6, 0.5, 3.5), "sersic": (0.4, 1.5, 6.0)}
_LEAST_RADIUS, _MOST_SHEAR = 0.2, 0.85
_FFT = 16384
_EVALUATIONS = 60
# The steps of derivatives are relative, hence no shear of zero to start from.
_STEP, _FIRST_SHEAR = 1e-4, 0.02


@dataclass(frozen=True)
class Galaxy:
    """A profile; flux 0 where nothing could be fitted."""

    x: float
    y: float
    radius: float
    """Half-light radius in pixels."""
    shear: tuple[float, float]
    index: float
    flux: float = 1.0
    sky: float = 0.0
    chi2: float = math.nan
    """Of the fit, for each degree of freedom."""


@dataclass(frozen=True, eq=False)
class Stamp:
    """Part of a frame with one galaxy; x and y of galaxies are in its pixels."""

    data: NDArray[np.float64]
    noise: NDArray[np.float64]
    used: NDArray[np.bool_]


class Painter:
    """Draws galaxies with GalSim, under the PSF of the frame or sharp.

    Parameters
    ----------
    profile : {"spergel", "sersic"}
        Family.
    psf : (ky, kx) float64
        PSF of the frame on its pixels, which are part of it.
    target_fwhm : float
        Of the Gaussian of sharp images, in pixels. Without any, cusps could not be drawn.

    Raises
    ------
    StageError
        GalSim is not installed.
    """

    def __init__(
        self, profile: Literal["spergel", "sersic"], psf: NDArray[np.float64], target_fwhm: float
    ) -> None:
        try:
            import galsim  # noqa: PLC0415 - optional extra, and heavy
        except ImportError as error:
            raise StageError(
                "GalSim is not installed",
                where="plugin 'parametric'",
                remedy='Install it: pip install "astroclean-classical[parametric]".',
            ) from error
        self._galsim = galsim
        self.profile = profile
        self.bounds = _INDEX[profile]
        self._settings = galsim.GSParams(maximum_fft_size=_FFT)
        image = galsim.Image(np.ascontiguousarray(psf), scale=1.0)
        self._psf = galsim.InterpolatedImage(image, gsparams=self._settings)
        self._target = galsim.Gaussian(fwhm=target_fwhm)

    def blurred(self, galaxy: Galaxy, shape: tuple[int, int]) -> NDArray[np.float64]:
        """Return the galaxy as the frame shows it, without sky."""
        # The stamp of the PSF holds the response of the pixel already.
        return self._drawn(self._of(galaxy), self._psf, galaxy, shape, "no_pixel")

    def sharp(self, galaxy: Galaxy, shape: tuple[int, int]) -> NDArray[np.float64]:
        """Return the galaxy under the target PSF, integrated over pixels."""
        return self._drawn(self._of(galaxy), self._target, galaxy, shape, "auto")

    def _of(self, galaxy: Galaxy) -> Any:
        shape = {"half_light_radius": galaxy.radius, "gsparams": self._settings}
        if self.profile == "spergel":
            round_one = self._galsim.Spergel(nu=galaxy.index, **shape)
        else:
            round_one = self._galsim.Sersic(n=galaxy.index, **shape)
        g1, g2 = galaxy.shear
        return round_one.shear(g1=g1, g2=g2)

    def _drawn(
        self, profile: Any, psf: Any, galaxy: Galaxy, shape: tuple[int, int], method: str
    ) -> NDArray[np.float64]:
        ny, nx = shape
        blurred = self._galsim.Convolve(profile, psf, gsparams=self._settings)
        offset = galaxy.x - (nx - 1) / 2, galaxy.y - (ny - 1) / 2
        image = blurred.drawImage(
            nx=nx, ny=ny, scale=1.0, offset=offset, method=method, dtype=np.float64
        )
        drawn: NDArray[np.float64] = galaxy.flux * image.array
        return drawn


def fit_galaxy(
    stamp: Stamp, painter: Painter, start: tuple[float, float], radius: float
) -> Galaxy | None:
    """Return the galaxy that fits a stamp best.

    Flux and sky enter linearly, so they are solved for each shape and are no parameters.

    Parameters
    ----------
    stamp : Stamp
        Values, noise, and the pixels to fit.
    painter : Painter
        Profile and PSF.
    start : (float, float)
        (x, y) in pixels of the stamp.
    radius : float
        First guess of the half-light radius, in pixels.

    Returns
    -------
    Galaxy or None
        None where too few pixels are usable, or the flux is not positive.
    """
    from scipy.optimize import least_squares  # noqa: PLC0415 - heavy

    least, index, most = painter.bounds
    largest = max(max(stamp.data.shape) / 2, 4 * _LEAST_RADIUS)
    first = float(np.clip(radius, 2 * _LEAST_RADIUS, 0.9 * largest))
    guess = np.array([*start, math.log(first), _FIRST_SHEAR, _FIRST_SHEAR, index])
    if stamp.used.sum() <= guess.size + 2:
        return None
    reach = max(0.25 * max(stamp.data.shape), 1.0)
    low = [start[0] - reach, start[1] - reach, math.log(_LEAST_RADIUS), -1, -1, least]
    high = [start[0] + reach, start[1] + reach, math.log(largest), 1, 1, most]
    weights = 1 / stamp.noise[stamp.used]

    def residuals(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return _solved(stamp, painter, values, weights)[1]

    solution = least_squares(
        residuals,
        guess,
        bounds=(low, high),
        x_scale=[1, 1, 0.3, 0.2, 0.2, 0.5],
        diff_step=_STEP,
        max_nfev=_EVALUATIONS,
    )
    galaxy, left = _solved(stamp, painter, solution.x, weights)
    freedom = left.size - guess.size - 2
    chi2 = float(np.sum(left**2)) / max(freedom, 1)
    return Galaxy(**{**vars(galaxy), "chi2": chi2}) if galaxy.flux > 0 else None


def _solved(
    stamp: Stamp, painter: Painter, values: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[Galaxy, NDArray[np.float64]]:
    """Return the galaxy of this shape with its best flux and sky, and its residuals in sigma."""
    x, y, size, g1, g2, index = (float(value) for value in values)
    # Beyond a shear of 1 there is no ellipse.
    length = math.hypot(g1, g2)
    scale = math.tanh(length) * _MOST_SHEAR / length if length > 0 else 0.0
    galaxy = Galaxy(x, y, math.exp(size), (g1 * scale, g2 * scale), index)
    shape = painter.blurred(galaxy, (stamp.data.shape[0], stamp.data.shape[1]))[stamp.used]
    design = np.stack([shape, np.ones(shape.size)], axis=1) * weights[:, None]
    target = stamp.data[stamp.used] * weights
    (flux, sky), *_ = np.linalg.lstsq(design, target, rcond=None)
    left = design @ np.array([flux, sky]) - target
    return Galaxy(**{**vars(galaxy), "flux": float(flux), "sky": float(sky)}), left
