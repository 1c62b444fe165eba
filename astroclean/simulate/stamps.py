"""Stamps of single galaxies with PSF and noise, and the galaxy before the PSF."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from astropy.nddata import StdDevUncertainty
from pydantic import AfterValidator, Field

from astroclean.core.image.frame import Frame
from astroclean.core.image.layer import Layer
from astroclean.core.psf.stamp import FWHM_PER_SIGMA
from astroclean.core.psf.target import TARGET_FWHM, target_psf
from astroclean.core.sources.sources import Sources, SourceStamp
from astroclean.core.stage.options import Options
from astroclean.simulate.detector import Camera, CameraRange, draw_camera
from astroclean.simulate.draws import Range, Share, log_uniform, uniform
from astroclean.simulate.galaxies import KINDS, GalaxyRange, galaxy_stamp
from astroclean.simulate.held_out import EVERY_KIND, draw_any
from astroclean.simulate.psfs import PsfModel, PsfRange, draw_psf
from astroclean.simulate.scene import Scene

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["StampConfig", "simulate_stamp"]

_STEPS = 100
"""Each at least halves the logarithm of what is wrong with a flux."""


def _known(kinds: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [kind for kind in kinds if kind not in EVERY_KIND]
    if unknown or not kinds:
        raise ValueError(f"must be some of {', '.join(EVERY_KIND)}; not {', '.join(unknown)}")
    return kinds


class StampConfig(Options):
    """What stamps are drawn from."""

    kinds: Annotated[tuple[str, ...], AfterValidator(_known)] = KINDS
    """Families of galaxies, drawn evenly; ``ring``, ``barred``, ``tidal`` and ``dust_lane`` are
    those that no training sees."""
    snr: Range = (3.0, 500.0)
    """Of the best fit of the galaxy's own image, in noise that is independent from pixel to
    pixel."""
    blank: Share = 0.0
    """Share of stamps without a galaxy."""
    offset: Annotated[float, Field(ge=0, le=20)] = 5.0
    """Most pixels from the middle, along either axis."""
    galaxy: GalaxyRange = GalaxyRange(half_light_radius=(1.5, 8.0))
    psf: PsfRange = PsfRange(
        fwhm=(2.0, 6.0), kinds=("moffat", "kolmogorov", "airy"), ellipticity=(0.0, 0.25)
    )
    camera: CameraRange = CameraRange()
    correlation: Range = (0.0, 0.0)
    """FWHM in pixels of the Gaussian that noise was smoothed with, as by resampling; its deviation
    stays what the uncertainty tells. 0: none."""
    paired: bool = False
    """Whether an odd seed shows what the even one before it does (galaxy, noise, catalogue), but
    through its PSF turned by 90 degrees: what a method makes of both differs by what it leaves of
    the ellipticity of the PSF."""


def simulate_stamp(
    *, seed: int, shape: tuple[int, int] = (64, 64), config: StampConfig | None = None
) -> Scene:
    """Simulate a galaxy near the middle of a stamp.

    Parameters
    ----------
    seed : int
        The same seed gives the same bytes.
    shape : (int, int)
        (ny, nx) in pixels.
    config : StampConfig, optional
        Ranges.

    Returns
    -------
    Scene
        ``frame`` in electrons with the sky taken off, with PSF and uncertainty; ``sharp`` the
        galaxy integrated over the pixels before the PSF; ``target`` under a Gaussian of 2 pixels
        in place of the PSF; ``clean`` after the PSF, without noise. ``catalogue`` is what a
        detection would tell: the place, off by its error, of an empty stamp too. Photon noise
        follows the normal law, so that both stamps of a pair have the same. ``notes`` tell the
        S/N and, of pairs, their number.
    """
    config = config or StampConfig()
    rng = np.random.default_rng(seed // 2 if config.paired else seed)
    turn = np.pi / 2 if config.paired and seed % 2 else 0.0
    camera, upright = draw_camera(rng, config.camera), rng.bit_generator.state
    psf = draw_psf(rng, config.psf)
    if turn:
        rng.bit_generator.state = upright
        psf = draw_psf(rng, config.psf, turn=turn)
    kind = str(rng.choice(config.kinds))
    y, x = rng.uniform(-config.offset, config.offset, 2)
    # A galaxy larger than the stamp would be a picture of its middle.
    radius = min(log_uniform(rng, config.galaxy.half_light_radius), min(shape) / 8)
    snr = log_uniform(rng, config.snr) * float(rng.random() >= config.blank)
    profile = draw_any(rng, config.galaxy, kind=kind, radius=radius)
    noise, missed = _noise(rng, config.correlation, shape), rng.standard_normal(2)
    side, place = max(shape) | 1, (float(y), float(x))
    unit = _cut(galaxy_stamp(profile, psf, side=side, offset=place), shape)
    flux = _flux_of(snr, unit, camera)
    sharp = flux * _cut(galaxy_stamp(profile, None, side=side, offset=place), shape)
    target = flux * _cut(_at_target(profile, side=side, offset=place), shape)
    seen = np.hypot(radius, psf.fwhm_pixels / 2) / max(snr, config.snr[0])
    notes: dict[str, float | str] = {
        "fwhm_pixels": psf.fwhm_pixels,
        "noise": camera.noise,
        "kind": kind,
        "radius": radius,
        "flux": flux,
        "snr": snr,
    }
    return Scene(
        _frame(flux * unit, noise, camera, psf, name=f"stamp {seed}"),
        clean=(flux * unit).astype(np.float32),
        sharp=sharp.astype(np.float32),
        target=Layer(target.astype(np.float32), psf=target_psf()),
        sources=_source(flux, place, radius, flux * unit),
        catalogue=_detection(place, seen * missed, shape),
        notes={**notes, "pair": float(seed // 2)} if config.paired else notes,
    )


def _noise(
    rng: np.random.Generator, correlation: Range, shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Return noise of deviation 1 in every pixel."""
    field = rng.standard_normal(shape)
    if correlation[1] <= 0:
        return field
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - slow to import

    width = uniform(rng, correlation) / FWHM_PER_SIGMA
    point = np.zeros(shape)
    point[0, 0] = 1.0
    smoothed, kernel = (gaussian_filter(image, width, mode="wrap") for image in (field, point))
    return np.asarray(smoothed / np.sqrt(np.sum(kernel**2)))


def _flux_of(snr: float, unit: NDArray[np.float64], camera: Camera) -> float:
    """Return the flux at which an image of flux 1 has an S/N, its own photon noise in it.

    ``sum (f u)^2 / (f u + n^2) = snr^2`` for f by iteration.
    """
    flux = snr * camera.noise / float(np.sqrt(np.sum(unit**2)))
    for _ in range(_STEPS if snr else 0):
        before = flux
        flux = snr / float(np.sqrt(np.sum(unit**2 / (flux * unit + camera.noise**2))))
        if abs(flux / before - 1) < 1e-9:  # noqa: PLR2004 - rounding
            break
    return flux


def _at_target(profile: Any, *, side: int, offset: tuple[float, float]) -> NDArray[np.float64]:
    """Return a galaxy under the Gaussian of the target, integrated over pixels, of flux 1."""
    import galsim  # noqa: PLC0415 - optional extra

    y, x = offset
    seen = galsim.Convolve(profile, galsim.Gaussian(fwhm=TARGET_FWHM)).shift(x, y)
    return np.asarray(seen.drawImage(nx=side, ny=side, scale=1.0, dtype=float).array)


def _frame(
    clean: NDArray[np.float64],
    noise: NDArray[np.float64],
    camera: Camera,
    psf: PsfModel,
    *,
    name: str,
) -> Frame:
    deviation = np.sqrt(clean + camera.noise**2)
    return Frame(
        clean + deviation * noise,
        unit="electron",
        uncertainty=StdDevUncertainty(deviation.astype(np.float32)),
        psf=psf.psf,
        meta=camera.meta(),
        frame_id=name,
    )


def _cut(image: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the middle of a square stamp; its centre becomes pixel (ny // 2, nx // 2)."""
    middle = image.shape[0] // 2
    top, left = middle - shape[0] // 2, middle - shape[1] // 2
    return image[top : top + shape[0], left : left + shape[1]]


def _source(
    flux: float, offset: tuple[float, float], radius: float, clean: NDArray[np.float64]
) -> Sources:
    import astropy.units as u  # noqa: PLC0415 - half a second to import
    from astropy.table import QTable  # noqa: PLC0415 - same

    ny, nx = clean.shape
    columns = {
        "id": [1],
        "x": [nx // 2 + offset[1]],
        "y": [ny // 2 + offset[0]],
        "flux": [flux] * u.electron,
        "radius": [radius],
    }
    stamp = SourceStamp(1, (0, 0), clean.astype(np.float32))
    return Sources(QTable(columns), stamps=(stamp,))


def _detection(
    offset: tuple[float, float], error: NDArray[np.float64], shape: tuple[int, int]
) -> Sources:
    """Return the catalogue of a detection at a place that is off by an error (y, x)."""
    from astropy.table import QTable  # noqa: PLC0415 - half a second to import

    y, x = (side // 2 + o + e for side, o, e in zip(shape, offset, error, strict=True))
    return Sources(QTable({"id": [1], "x": [x], "y": [y]}))
