"""Point spread functions for simulations, sampled finely so that a star is one slice and a product.

A PSF is drawn once on pixels of 1/5 of the frame's. Stars are placed at multiples of a fifth of a
pixel: a stamp for such a position is a strided slice of the same array, exact and fast.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.psf.psf import Psf
from astroclean.core.psf.stamp import FINER, half_maximum_width
from astroclean.core.stage.options import Options
from astroclean.simulate.draws import Range, log_uniform, uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["HALF", "OVERSAMPLING", "PsfModel", "PsfRange", "draw_psf", "make_psf"]

OVERSAMPLING = 5
"""Fine pixels along one pixel of the frame."""
HALF = 64
"""Half side of the largest stamp, in pixels of the frame."""
PSF_HALF = 30
"""Half side of the stamp that a frame carries as its `Psf`."""
_SIDE = (2 * HALF + 1) * OVERSAMPLING
# GalSim takes a third of a second to draw an aperture with struts: the library has few of them.
_OPTICAL_WIDTHS = (1.5, 2.0, 2.7, 3.6, 4.9, 6.5)
_STRUTS = (0, 3, 4, 4)
_OBSCURATIONS = (0.12, 0.30, 0.25, 0.40)

# Rings are washed out by the width of a filter.
_BAND = (0.90, 0.96, 1.04, 1.10)


class PsfRange(Options):
    """What PSFs are drawn from."""

    fwhm: Range = (1.5, 8.0)
    """Pixels."""
    kinds: tuple[str, ...] = ("moffat", "moffat", "kolmogorov", "optical")
    """Drawn evenly: ``moffat``, ``kolmogorov``, ``gaussian``, ``airy``, ``optical``, ``pacs``."""
    moffat_beta: Range = (2.3, 5.0)
    ellipticity: Range = (0.0, 0.12)
    """Reduced shear of the ground-based kinds."""
    halo: Range = (0.0, 0.0)
    """Part of the light that a halo has, for which the core gives way; none by default."""
    halo_width: Range = (3.0, 7.0)
    """FWHM of that halo over that of the core."""


@dataclass(frozen=True, eq=False)
class PsfModel:
    """A PSF on fine pixels."""

    kind: str
    fine: NDArray[np.float64]
    """Odd square, pixels of 1/5 of the frame's, sum 1, centred."""

    @functools.cached_property
    def fwhm_pixels(self) -> float:
        """Full width at half maximum in pixels of the frame, before the pixel's own width."""
        area = np.count_nonzero(self.fine >= self.fine.max() / 2)
        reach = min(int(1.5 * np.sqrt(area)) + 3, _SIDE // 2)
        middle = slice(_SIDE // 2 - reach, _SIDE // 2 + reach + 1)
        return float(half_maximum_width(self.fine[middle, middle])) / OVERSAMPLING

    @functools.cached_property
    def _integrated(self) -> NDArray[np.float64]:
        from scipy.ndimage import uniform_filter  # noqa: PLC0415 - slow to import

        pixel = uniform_filter(self.fine, OVERSAMPLING, mode="constant")
        return np.asarray(pixel * OVERSAMPLING**2)

    @functools.cached_property
    def _phases(self) -> dict[tuple[int, int, int], NDArray[np.float64]]:
        return {}

    @functools.cached_property
    def _kernels(self) -> dict[tuple[int, int], NDArray[np.float64]]:
        return {}

    def stamp(self, phase: tuple[int, int] = (0, 0), *, half: int = HALF) -> NDArray[np.float64]:
        """Return the image of a star of flux 1.

        Parameters
        ----------
        phase : (int, int)
            Offset (y, x) of the star from the middle pixel in fifths of a pixel, -2 to 2.
        half : int
            Half side in pixels, at most 64.

        Returns
        -------
        (2 half + 1, 2 half + 1) float64
            Sum 1: light beyond the stamp is put back in proportion.
        """
        found = self._phases.get((*phase, half))
        if found is None:
            first = [_SIDE // 2 - half * OVERSAMPLING - step for step in phase]
            rows, columns = (slice(f, f + 2 * half * OVERSAMPLING + 1, OVERSAMPLING) for f in first)
            found = np.ascontiguousarray(self._integrated[rows, columns])
            found /= found.sum()
            self._phases[*phase, half] = found
        return np.asarray(found)

    def placed(self, offset: tuple[float, float], *, half: int = HALF) -> NDArray[np.float64]:
        """Return the image of a star of flux 1 anywhere between the pixels.

        Parameters
        ----------
        offset : (float, float)
            (y, x) of the star from the middle pixel, in pixels.
        half : int
            Half side in pixels, at most 64.

        Returns
        -------
        (2 half + 1, 2 half + 1) float64
            Sum 1, as of :meth:`stamp`.
        """
        from scipy.ndimage import map_coordinates  # noqa: PLC0415 - slow to import

        steps = np.arange(-half, half + 1)
        places = [_SIDE // 2 + OVERSAMPLING * (steps - shift) for shift in offset]
        image = map_coordinates(self._integrated, np.meshgrid(*places, indexing="ij"))
        return np.asarray(image / image.sum())

    @functools.cached_property
    def psf(self) -> Psf:
        """The PSF as a frame carries it, known between pixels."""
        from scipy.ndimage import map_coordinates  # noqa: PLC0415 - slow to import

        steps = np.arange(-PSF_HALF * FINER, PSF_HALF * FINER + 1) / FINER
        places = _SIDE // 2 + OVERSAMPLING * steps
        fine = map_coordinates(self._integrated, np.meshgrid(places, places, indexing="ij"))
        return Psf.from_fine(fine)

    def kernel(self, *, per_pixel: int, half: int) -> NDArray[np.float64]:
        """Return the PSF sampled for a convolution on other pixels than the fine ones.

        Parameters
        ----------
        per_pixel : int
            Samples along one pixel of the frame.
        half : int
            Half side in such samples; what would lie beyond the PSF is zero.

        Returns
        -------
        (2 half + 1, 2 half + 1) float64
            Sum 1, not integrated over pixels.
        """
        from scipy.ndimage import map_coordinates  # noqa: PLC0415 - slow to import

        key = (per_pixel, half)
        if key not in self._kernels:
            places = _SIDE // 2 + OVERSAMPLING / per_pixel * np.arange(-half, half + 1)
            grid = np.meshgrid(places, places, indexing="ij")
            sampled = map_coordinates(self.fine, grid, order=1, mode="constant")
            self._kernels[key] = sampled / sampled.sum()
        return self._kernels[key]

    def with_halo(self, share: float, width: float) -> PsfModel:
        """Return this PSF with a round Gaussian halo.

        Parameters
        ----------
        share : float
            Part of the light in the halo, 0 to 1.
        width : float
            FWHM of the halo over that of this PSF.

        Returns
        -------
        PsfModel
            Of sum 1.
        """
        offsets = (np.arange(_SIDE) - _SIDE // 2) / (OVERSAMPLING * self.fwhm_pixels)
        halo = _gauss(offsets[np.newaxis, :], offsets[:, np.newaxis], width, width) * _window()
        return PsfModel(self.kind, (1 - share) * self.fine + share * halo / halo.sum())

    def convolved(self, kernel: NDArray[np.float64], *, kind: str) -> PsfModel:
        """Return this PSF convolved with a kernel on the same fine pixels."""
        from scipy.signal import fftconvolve  # noqa: PLC0415 - slow to import

        blurred = np.clip(fftconvolve(self.fine, kernel, mode="same"), 0, None)
        return PsfModel(kind, blurred / blurred.sum())


def draw_psf(
    rng: np.random.Generator, limits: PsfRange | None = None, *, turn: float = 0.0
) -> PsfModel:
    """Draw a PSF.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    limits : PsfRange, optional
        Kinds and widths.
    turn : float
        Added to the angle that is drawn, radians: the same draw gives the same PSF, turned.

    Returns
    -------
    PsfModel
        Centred, of sum 1.
    """
    limits = limits or PsfRange()
    kind = str(rng.choice(limits.kinds))
    psf = make_psf(
        kind,
        fwhm_pixels=log_uniform(rng, limits.fwhm),
        beta=uniform(rng, limits.moffat_beta),
        shear=uniform(rng, limits.ellipticity),
        angle=uniform(rng, (0.0, np.pi)) + turn,
    )
    if limits.halo[1] > 0:
        psf = psf.with_halo(uniform(rng, limits.halo), log_uniform(rng, limits.halo_width))
    return psf


def make_psf(
    kind: str,
    *,
    fwhm_pixels: float,
    beta: float = 3.0,
    shear: float = 0.0,
    angle: float = 0.0,
) -> PsfModel:
    """Make a PSF of a kind.

    Parameters
    ----------
    kind : str
        ``moffat``, ``kolmogorov``, ``gaussian``, ``airy`` (obscured aperture), ``optical`` (the
        same with struts) or ``pacs`` (elongated core with three lobes, as of the Herschel
        telescope).
    fwhm_pixels : float
        Full width at half maximum in pixels.
    beta : float
        Exponent of the Moffat profile; chooses the struts of an optical PSF.
    shear, angle : float
        Reduced shear, and its position angle in radians.

    Returns
    -------
    PsfModel
        Centred, of sum 1.
    """
    if kind in {"airy", "optical"}:
        entry = 0 if kind == "airy" else 1 + int(beta * 100) % (len(_STRUTS) - 1)
        fine = _optical(fwhm_pixels, entry=entry, angle=angle)
    elif kind == "pacs":
        fine = _tri_lobed(fwhm_pixels, angle)
    else:
        fine = _seeing(kind, fwhm_pixels, beta, shear, angle)
    fine = np.clip(fine, 0, None) * _window()
    return PsfModel(kind, fine / fine.sum())


@functools.lru_cache(maxsize=1)
def _window() -> NDArray[np.float64]:
    """Return 1 in the middle, falling to 0 at the edge, so that no star ends in a square."""
    offsets = (np.arange(_SIDE) - _SIDE // 2) / (_SIDE // 2)
    r = np.clip((np.hypot(offsets[:, None], offsets[None, :]) - 0.7) / 0.3, 0, 1)
    return np.asarray(np.cos(np.pi / 2 * r) ** 2)


def _drawn(profile: Any) -> NDArray[np.float64]:
    # Scale 1: profiles are told in fine pixels. The pixel is integrated later.
    image = profile.drawImage(nx=_SIDE, ny=_SIDE, scale=1.0, method="no_pixel", dtype=np.float64)
    return np.asarray(image.array)


def _seeing(kind: str, fwhm: float, beta: float, shear: float, angle: float) -> NDArray[np.float64]:
    import galsim  # noqa: PLC0415 - optional extra

    width = fwhm * OVERSAMPLING
    profiles = {
        "moffat": lambda: galsim.Moffat(beta=beta, fwhm=width),
        "kolmogorov": lambda: galsim.Kolmogorov(fwhm=width),
        "gaussian": lambda: galsim.Gaussian(fwhm=width),
    }
    return _drawn(profiles[kind]().shear(g=shear, beta=angle * galsim.radians))


@functools.lru_cache(maxsize=len(_OPTICAL_WIDTHS) * len(_STRUTS))
def _aperture(width: float, entry: int) -> PsfModel:
    import galsim  # noqa: PLC0415 - optional extra

    patterns = [
        _drawn(
            galsim.OpticalPSF(
                # Its FWHM is about lambda/D; what it is exactly is measured when used.
                lam_over_diam=width * OVERSAMPLING * wavelength,
                obscuration=_OBSCURATIONS[entry],
                nstruts=_STRUTS[entry],
                strut_thick=0.03 if _STRUTS[entry] else 0.0,
                oversampling=1.5,
                pad_factor=1.5,
            )
        )
        for wavelength in _BAND
    ]
    return PsfModel("optical", np.mean(patterns, axis=0))


def _optical(fwhm: float, *, entry: int, angle: float) -> NDArray[np.float64]:
    from scipy.ndimage import affine_transform  # noqa: PLC0415 - slow to import

    # The nearest narrower pattern of the library, widened and turned.
    width = max((w for w in _OPTICAL_WIDTHS if w <= fwhm), default=_OPTICAL_WIDTHS[0])
    pattern = _aperture(width, entry)
    zoom = pattern.fwhm_pixels / fwhm
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.full(2, (_SIDE - 1) / 2)
    turned = affine_transform(pattern.fine, turn, middle - turn @ middle, order=1)
    return np.asarray(turned)


def _tri_lobed(fwhm: float, angle: float) -> NDArray[np.float64]:
    """Return a core, elongated by the scan by a quarter, with three lobes and a faint halo."""
    half = _SIDE // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1] / (OVERSAMPLING * fwhm)
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    # The shares follow the encircled energy of PACS in flight at 70 micron (Vesta, scan maps):
    # 56, 71, 79, 88 and 93 percent within 0.71, 1.07, 1.43, 2.14 and 3.2 FWHM.
    image = 0.68 * _gauss(along, across, 1.12, 0.893)
    for lobe in range(3):
        place = angle + 2 * np.pi * lobe / 3
        shift_x, shift_y = 1.25 * np.cos(place), 1.25 * np.sin(place)
        image += 0.05 * _gauss(x - shift_x, y - shift_y, 0.9, 0.9)
    return np.asarray(image + 0.17 * _gauss(x, y, 5.0, 5.0))


def _gauss(
    x: NDArray[np.float64], y: NDArray[np.float64], width_x: float, width_y: float
) -> NDArray[np.float64]:
    """Return a Gaussian of integral 1 with these full widths at half maximum."""
    scale = 4 * np.log(2)
    shape = np.exp(-scale * ((x / width_x) ** 2 + (y / width_y) ** 2))
    return np.asarray(shape * scale / (np.pi * width_x * width_y))
