"""Images of stars by GalSim: the air, a telescope with aberrations, a detector's pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.simulate.draws import add_stamp, uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Optics", "draw_optics", "paint_stars"]

_PHASES = 3
"""Places within a pixel, along an axis, for which a star is drawn."""
_BRIGHT = 3000.0
"""Flux over noise from which the wings of a star are drawn farther out."""
_FAR = 120
_SHARP = 2.2
"""FWHM in pixels below which the frame may come from space."""


@dataclass(frozen=True, eq=False)
class Optics:
    """The image of a star."""

    profile: Any
    """GalSim's, of flux 1, without the pixel."""
    fwhm: float
    """Pixels."""
    kind: str

    def drawn(self, half: int, dx: float = 0.0, dy: float = 0.0) -> NDArray[np.float64]:
        """Return a stamp of 2 half + 1 pixels a side, of a star off its middle by (dx, dy)."""
        side = 2 * half + 1
        image = self.profile.drawImage(nx=side, ny=side, scale=1.0, offset=(dx, dy))
        # Transforms ring about zero; light is not negative.
        return np.clip(np.asarray(image.array, dtype=np.float64), 0, None)


def draw_optics(rng: np.random.Generator, fwhm: float) -> Optics:
    """Draw the image of a star of a given width.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    fwhm : float
        Pixels.

    Returns
    -------
    Optics
        Of turbulent air (Kolmogorov), a Moffat profile, or the aberrated pupil of a telescope
        in space; slightly elongated.
    """
    import galsim as library  # noqa: PLC0415 - optional extra

    rough = library.GSParams(folding_threshold=2e-2, maxk_threshold=3e-3, maximum_fft_size=8192)
    kind = str(rng.choice(["kolmogorov", "moffat", "moffat"]))
    if fwhm < _SHARP and rng.random() < 0.6:  # noqa: PLR2004 - a coin
        kind = "optical"
    if kind == "kolmogorov":
        profile = library.Kolmogorov(fwhm=fwhm, gsparams=rough)
    elif kind == "moffat":
        profile = library.Moffat(beta=uniform(rng, (2.5, 4.8)), fwhm=fwhm, gsparams=rough)
    else:
        defocus, astigmatism, coma = rng.normal(0, (0.04, 0.03, 0.03))
        profile = library.OpticalPSF(
            lam_over_diam=fwhm / 1.05,
            obscuration=uniform(rng, (0.1, 0.35)),
            defocus=defocus,
            astig1=astigmatism,
            coma1=coma,
            gsparams=rough,
        )
        # Jitter of the pointing, and the diffusion of charge.
        profile = library.Convolve(profile, library.Gaussian(sigma=0.25), gsparams=rough)
    stretch = library.Shear(
        g=min(abs(rng.normal(0, 0.025)), 0.12), beta=uniform(rng, (0, np.pi)) * library.radians
    )
    return Optics(profile.shear(stretch), fwhm, kind)


def paint_stars(
    image: NDArray[np.float64], stars: NDArray[np.float64], optics: Optics, *, noise: float
) -> None:
    """Add stars to an image, in place.

    Parameters
    ----------
    image : (ny, nx) float64
        Electrons; changed.
    stars : (n, 3) float64
        x, y in pixels, and flux in electrons.
    optics : Optics
        Image of a star.
    noise : float
        Standard deviation of empty sky, electrons; wings are drawn until they are lost in it.
    """
    near, far = int(np.ceil(5 * optics.fwhm)) + 5, _FAR
    made: dict[tuple[int, int, int], NDArray[np.float64]] = {}
    for x, y, flux in stars:
        half = far if flux > _BRIGHT * noise else near
        column, row = int(np.floor(x)), int(np.floor(y))
        px, py = int((x - column) * _PHASES), int((y - row) * _PHASES)
        key = half, px, py
        if key not in made:
            dx, dy = (px + 0.5) / _PHASES, (py + 0.5) / _PHASES
            made[key] = optics.drawn(half, dx, dy)
        add_stamp(image, flux * made[key], row - half, column - half)
