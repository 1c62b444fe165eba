"""Exposures with contaminants of all classes and their exact truth."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - simulate.options reads the annotations
from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003 - same
from typing import TYPE_CHECKING

import numpy as np
from astropy.nddata import StdDevUncertainty

from astroclean.core.frame import Frame
from astroclean.core.planes import MaskPlane
from astroclean.simulate.contaminants.bright import bright_planes
from astroclean.simulate.contaminants.cosmic_rays import CosmicRayRange, add_cosmic_rays
from astroclean.simulate.contaminants.crosstalk import add_crosstalk
from astroclean.simulate.contaminants.fringes import add_fringes
from astroclean.simulate.contaminants.ghosts import add_ghosts
from astroclean.simulate.contaminants.layers import empty_planes
from astroclean.simulate.contaminants.lines import add_dead_lines, add_hot_lines
from astroclean.simulate.contaminants.nebulosity import add_nebulosity
from astroclean.simulate.contaminants.overscan import add_overscan
from astroclean.simulate.contaminants.persistence import add_persistence
from astroclean.simulate.contaminants.pixels import (
    add_dead_clusters,
    add_dead_pixels,
    add_hot_pixels,
)
from astroclean.simulate.contaminants.saturation import add_saturation
from astroclean.simulate.contaminants.spikes import add_spikes
from astroclean.simulate.contaminants.trails import add_trails
from astroclean.simulate.detector import Camera, CameraRange, draw_camera
from astroclean.simulate.draws import Range, log_uniform, uniform
from astroclean.simulate.fields import Field, FieldRange, draw_field, draw_stars, render_stars
from astroclean.simulate.psfs import PsfModel, PsfRange, draw_psf
from astroclean.simulate.scene import Scene

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ContaminatedConfig", "simulate_contaminated"]

CHANCES = {
    "cosmic_rays": 0.85,
    "hot_lines": 0.3,
    "dead_lines": 0.3,
    "hot_pixels": 0.6,
    "dead_pixels": 0.6,
    "dead_clusters": 0.3,
    "persistence": 0.3,
    "trails": 0.35,
    "fringes": 0.3,
    "nebulosity": 0.3,
    "bright_star": 0.4,
    "spikes": 0.6,
    "overscan": 0.2,
    "ghosts": 0.25,
    "crosstalk": 0.2,
}
"""How often each class is in a frame."""
_BLEEDING = 0.8


@dataclass(frozen=True)
class ContaminatedConfig:
    """What contaminated exposures are drawn from."""

    chances: Mapping[str, float] = field(default_factory=lambda: dict(CHANCES))
    """Probability of each class; the names are those of `CHANCES`."""
    psf: PsfRange = field(
        default_factory=lambda: PsfRange(kinds=("moffat", "moffat", "kolmogorov", "airy"))
    )
    """Without struts: spikes are a class of their own, with truth."""
    camera: CameraRange = field(default_factory=CameraRange)
    sources: FieldRange = field(default_factory=FieldRange)
    cosmic_rays: CosmicRayRange = field(default_factory=CosmicRayRange)
    bright_star: Range = (1e5, 5e6)
    """Flux over noise of the star that makes saturation and spikes."""
    data: Path | None = None
    """Folder with ``cosmic_rays_itl_even.fits.gz``, or such a file: half of the hits are then real
    ones."""


@dataclass(eq=False)
class _Draft:
    """An exposure in the making: electrons and truth, changed by each contaminant."""

    image: NDArray[np.float64]
    planes: NDArray[np.uint32]
    rng: np.random.Generator
    chosen: frozenset[str]
    camera: Camera


def simulate_contaminated(
    *, seed: int, shape: tuple[int, int] = (256, 256), config: ContaminatedConfig | None = None
) -> Scene:
    """Simulate a raw exposure with a random choice of contaminants.

    Parameters
    ----------
    seed : int
        The same seed gives the same bytes.
    shape : (int, int)
        (ny, nx) in pixels.
    config : ContaminatedConfig, optional
        Ranges and probabilities.

    Returns
    -------
    Scene
        ``frame`` in adu with bias, ``planes``, ``clean`` (the exposure that a perfect detector
        would have taken, in adu with bias), ``sources`` with flux in adu.
    """
    config = config or ContaminatedConfig()
    rng = np.random.default_rng(seed)
    camera, psf = draw_camera(rng, config.camera), draw_psf(rng, config.psf)
    chosen = frozenset(name for name, chance in config.chances.items() if rng.random() < chance)
    stars = _bright_stars(rng, shape, camera, config, chosen)
    scene = draw_field(rng, shape, psf, noise=camera.noise, limits=config.sources)
    light = scene.image + render_stars(stars, psf, shape) + _aureoles(rng, shape, stars, psf)
    draft = _Draft(light + camera.sky, empty_planes(shape), rng, chosen, camera)
    draft.planes |= bright_planes(light, noise=camera.noise)
    clean = camera.to_adu(draft.image)
    _in_the_sky(draft, _with_bright(scene, stars), psf)
    uncertainty = camera.uncertainty(draft.image)
    draft.image = camera.expose(np.maximum(draft.image, 0), rng)
    _on_the_chip(draft, config)
    frame = Frame(
        camera.read_out(draft.image, rng),
        unit="adu",
        uncertainty=StdDevUncertainty(uncertainty),
        psf=psf.psf,
        meta=camera.meta(),
        frame_id=f"contaminated {seed}",
    )
    scene.sources.table["flux"] /= camera.gain
    notes: dict[str, float | str] = {
        "fwhm_pixels": psf.fwhm_pixels,
        "psf": psf.kind,
        "sky": camera.sky,
    }
    notes |= {"gain": camera.gain, "noise": camera.noise / camera.gain, "bias": camera.bias}
    return Scene(frame, draft.planes, clean, sources=scene.sources, notes=notes)


def _bright_stars(
    rng: np.random.Generator,
    shape: tuple[int, int],
    camera: Camera,
    config: ContaminatedConfig,
    chosen: frozenset[str],
) -> NDArray[np.float64]:
    flux = np.zeros(0)
    if "bright_star" in chosen:
        flux = np.array([log_uniform(rng, config.bright_star) * camera.noise])
    return draw_stars(rng, shape, flux=flux)


def _aureoles(
    rng: np.random.Generator, shape: tuple[int, int], stars: NDArray[np.float64], psf: PsfModel
) -> NDArray[np.float64]:
    """Return the light that dust on mirrors and the air scatter widely, in addition to the flux."""
    share, width = uniform(rng, (0.01, 0.05)), uniform(rng, (3.0, 8.0)) * psf.fwhm_pixels
    image = np.zeros(shape)
    for x, y, flux in stars:
        r2 = (np.arange(shape[0])[:, None] - y) ** 2 + (np.arange(shape[1])[None, :] - x) ** 2
        # King's aureole falls as r^-2; a little steeper it has a finite flux.
        image += share * flux * 0.3 / (np.pi * width**2) / (1 + r2 / width**2) ** 1.3
    return image


def _with_bright(scene: Field, stars: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (x, y, flux) of all stars, the bright one included."""
    table = scene.sources.table
    own = table[table["kind"] == "star"]
    rows = np.column_stack([np.asarray(own[name], dtype=float) for name in ("x", "y", "flux")])
    return np.concatenate([stars, rows])


def _in_the_sky(draft: _Draft, stars: NDArray[np.float64], psf: PsfModel) -> None:
    """Add what reaches the chip as light, hence with noise of its own."""
    image, rng, noise = draft.image, draft.rng, draft.camera.noise
    if "nebulosity" in draft.chosen:
        draft.planes |= add_nebulosity(image, rng, noise=noise)
    if "spikes" in draft.chosen:
        draft.planes |= add_spikes(image, rng, stars, noise=noise, fwhm=psf.fwhm_pixels)
    if "ghosts" in draft.chosen:
        draft.planes |= add_ghosts(image, rng, noise=noise)
    if "trails" in draft.chosen:
        draft.planes |= add_trails(image, rng, noise=noise, fwhm=psf.fwhm_pixels)
    if "fringes" in draft.chosen:
        draft.planes |= add_fringes(image, rng, noise=noise)
    if "persistence" in draft.chosen:
        draft.planes |= add_persistence(image, rng, noise=noise)


def _on_the_chip(draft: _Draft, config: ContaminatedConfig) -> None:
    """Add what happens in the detector and its electronics."""
    image, rng, camera = draft.image, draft.rng, draft.camera
    noise, sky, chosen = camera.noise, camera.sky, draft.chosen
    if "cosmic_rays" in chosen:
        draft.planes |= add_cosmic_rays(
            image, rng, noise=noise, limits=config.cosmic_rays, data=config.data
        )
    if "hot_pixels" in chosen:
        draft.planes |= add_hot_pixels(image, rng, noise=noise)
    if "hot_lines" in chosen:
        draft.planes |= add_hot_lines(image, rng, noise=noise)
    bleeds = bool(rng.random() < _BLEEDING)
    draft.planes |= add_saturation(image, full_well=camera.ceiling, threshold=noise, bleeds=bleeds)
    if "dead_pixels" in chosen:
        _replace(draft, add_dead_pixels(image, rng, sky=sky, noise=noise))
    if "dead_lines" in chosen:
        _replace(draft, add_dead_lines(image, rng, sky=sky, noise=noise))
    if "dead_clusters" in chosen:
        _replace(draft, add_dead_clusters(image, rng, sky=sky, noise=noise))
    if "crosstalk" in chosen:
        draft.planes |= add_crosstalk(image, rng, noise=noise, full_well=camera.ceiling)
    if "overscan" in chosen:
        _replace(draft, add_overscan(image, rng, sky=sky, noise=noise))


def _replace(draft: _Draft, planes: NDArray[np.uint32]) -> None:
    """Enter planes of pixels whose earlier content is gone, and with it its truth."""
    dead = planes != 0
    keeps = np.uint32(MaskPlane.DEAD_LINE | MaskPlane.DEAD_PIXEL)
    draft.planes[dead] = (draft.planes[dead] & keeps) | planes[dead]
    overscan = (planes & np.uint32(MaskPlane.OVERSCAN)) != 0
    draft.planes[overscan] = MaskPlane.OVERSCAN
