"""Stamps of single galaxies with PSF and noise, and the galaxy before the PSF."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from astropy.nddata import StdDevUncertainty

from astroclean.core.image.frame import Frame
from astroclean.core.sources.sources import Sources, SourceStamp
from astroclean.core.stage.options import Options
from astroclean.simulate.detector import CameraRange, draw_camera
from astroclean.simulate.draws import Range, Share, log_uniform
from astroclean.simulate.galaxies import KINDS, GalaxyRange, draw_galaxy, galaxy_stamp
from astroclean.simulate.psfs import PsfRange, draw_psf
from astroclean.simulate.scene import Scene

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["StampConfig", "simulate_stamp"]


class StampConfig(Options):
    """What stamps are drawn from."""

    snr: Range = (20.0, 1000.0)
    """Flux over the noise inside twice the half-light area of galaxy and PSF."""
    blank: Share = 0.0
    """Share of stamps without a galaxy."""
    galaxy: GalaxyRange = GalaxyRange(half_light_radius=(1.5, 8.0))
    psf: PsfRange = PsfRange(fwhm=(2.0, 6.0), kinds=("moffat", "kolmogorov", "airy"))
    camera: CameraRange = CameraRange()


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
        galaxy integrated over the pixels before the PSF; ``clean`` after it, without noise.
    """
    config = config or StampConfig()
    rng = np.random.default_rng(seed)
    camera, psf = draw_camera(rng, config.camera), draw_psf(rng, config.psf)
    kind, offset = str(rng.choice(KINDS)), rng.uniform(-0.5, 0.5, 2)
    # A galaxy larger than the stamp would be a picture of its middle.
    radius = min(log_uniform(rng, config.galaxy.half_light_radius), min(shape) / 8)
    area = 2 * np.pi * (radius**2 + (psf.fwhm_pixels / 2) ** 2)
    flux = log_uniform(rng, config.snr) * camera.noise * np.sqrt(area)
    flux *= float(rng.random() >= config.blank)
    profile = draw_galaxy(rng, config.galaxy, kind=kind, radius=radius)
    side = max(shape) | 1
    place = float(offset[0]), float(offset[1])
    clean = flux * _cut(galaxy_stamp(profile, psf, side=side, offset=place), shape)
    sharp = flux * _cut(galaxy_stamp(profile, None, side=side, offset=place), shape)
    data = camera.expose(clean + camera.sky, rng) - camera.sky
    data += camera.read_noise * rng.standard_normal(shape)
    variance = clean + camera.sky + camera.read_noise**2
    frame = Frame(
        data,
        unit="electron",
        uncertainty=StdDevUncertainty(np.sqrt(variance).astype(np.float32)),
        psf=psf.psf,
        meta=camera.meta(),
        frame_id=f"stamp {seed}",
    )
    notes: dict[str, float | str] = {
        "fwhm_pixels": psf.fwhm_pixels,
        "noise": camera.noise,
        "kind": kind,
    }
    return Scene(
        frame,
        clean=clean.astype(np.float32),
        sharp=sharp.astype(np.float32),
        sources=_source(flux, place, radius, clean),
        notes={**notes, "radius": radius, "flux": flux},
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
