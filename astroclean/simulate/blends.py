"""Blended galaxies, with the image of each, in one band or in several."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from astroclean.core.image.grid import Grid
from astroclean.core.image.layer import Layer
from astroclean.core.stage.options import Options
from astroclean.errors import ConfigurationError
from astroclean.simulate.band_grids import Band, Bands, draw_bands
from astroclean.simulate.blend_images import (
    Canvas,
    Member,
    Shown,
    exposed,
    joint_sources,
    sum_of,
)
from astroclean.simulate.detector import CameraRange
from astroclean.simulate.draws import Range, Share, log_uniform, uniform, whole
from astroclean.simulate.galaxies import KINDS, GalaxyRange, draw_components
from astroclean.simulate.psfs import OVERSAMPLING, PSF_HALF, PsfRange, make_psf
from astroclean.simulate.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astroclean.core.image.frame import Frame

__all__ = ["BlendConfig", "FinerConfig", "simulate_blends", "simulate_finer"]

_PER = 256 * 256
_WIDEST = PSF_HALF / 2
"""FWHM up to which a Gaussian is whole on the stamp that an image carries."""


class BlendConfig(Options):
    """What blends are drawn from."""

    groups: Range = (6.0, 16.0)
    """In 256 x 256 pixels."""
    members: tuple[int, int] = (1, 4)
    separation: Range = (0.8, 3.5)
    """Between members of a group, in FWHM."""
    snr: Range = (15.0, 400.0)
    """Flux over the noise of a matched filter for a point source, in the first band."""
    stars: Share = 0.15
    """Share of point sources among the members."""
    galaxy: GalaxyRange = GalaxyRange(half_light_radius=(1.2, 5.0))
    psf: PsfRange = PsfRange(fwhm=(2.5, 5.5), kinds=("moffat", "kolmogorov"))
    camera: CameraRange = CameraRange()
    bands: Bands = Field(default_factory=dict)
    """Bands of the scene from blue to red; none: one band."""
    star_color: Range = (0.0, 1.2)
    """By how many magnitudes a star is brighter in a band than in the one before."""
    disk_color: Range = (0.1, 0.6)
    """The same of disks."""
    reddening: Range = (0.15, 0.6)
    """How much redder than its disk a bulge is, and how much bluer clumps are, magnitudes."""
    finer: int = Field(default=1, ge=1, le=8)
    """Pixels of the truth on a finer grid along one of the frame; 1: no such truth."""
    sharper: float = Field(default=0.5, gt=0, le=1)
    """FWHM of the PSF of that truth, a Gaussian, over that of the frame."""


class FinerConfig(BlendConfig):
    """The same with truth on half pixels, unless told otherwise."""

    finer: int = Field(default=2, ge=1, le=8)
    """Pixels of the truth on a finer grid along one of the frame; 1: no such truth."""


def simulate_blends(
    *, seed: int, shape: tuple[int, int] = (256, 256), config: BlendConfig | None = None
) -> Scene:
    """Simulate blended galaxies on an empty sky.

    Parameters
    ----------
    seed : int
        The same seed gives the same bytes.
    shape : (int, int)
        (ny, nx) in pixels; of the first band.
    config : BlendConfig, optional
        Ranges.

    Returns
    -------
    Scene
        ``frame`` in electrons with the sky taken off; ``clean`` without noise; ``sources`` with
        flux (electrons), ``blendedness`` and the stamp of each; ``planes`` has SOURCE where
        their light exceeds the noise; ``fine`` where the config asks for it. Of several bands
        such a scene for each, and a joint catalogue with ``flux_BAND``.
    """
    config = config or BlendConfig()
    rng = np.random.default_rng(seed)
    bands = draw_bands(rng, shape, config.bands, camera=config.camera, psf=config.psf)
    members = _draw_members(rng, shape, bands, config)
    middle = (shape[0] - 1) / 2, (shape[1] - 1) / 2
    scenes = {}
    for index, band in enumerate(bands):
        canvas = Canvas(band.psf, band.shape, middle, band.ratio)
        name = f"blends {seed} {band.name}".rstrip()
        scenes[band.name] = _band_scene(rng, (band, index), members, canvas, (name, config))
    if not config.bands:
        return scenes[""]
    stamps = {name: one.sources.stamps for name, one in scenes.items() if one.sources is not None}
    return Scene.of_bands(scenes, sources=joint_sources(members, bands, stamps))


def simulate_finer(
    *, seed: int, shape: tuple[int, int] = (128, 128), config: FinerConfig | None = None
) -> Scene:
    """Simulate blends as :func:`simulate_blends` does, with the image on finer pixels as truth."""
    return simulate_blends(seed=seed, shape=shape, config=config or FinerConfig())


def _draw_members(
    rng: np.random.Generator, shape: tuple[int, int], bands: Sequence[Band], config: BlendConfig
) -> list[Member]:
    (ny, nx), first = shape, bands[0]
    aperture = first.camera.noise / np.sqrt(np.sum(first.psf.stamp() ** 2))
    members: list[Member] = []
    for _ in range(max(int(rng.poisson(log_uniform(rng, config.groups) * ny * nx / _PER)), 1)):
        place = np.array([rng.integers(0, ny), rng.integers(0, nx)], dtype=float)
        for _ in range(whole(rng, config.members)):
            y, x = place
            if not (0 <= y <= ny - 1 and 0 <= x <= nx - 1):
                break
            flux = log_uniform(rng, config.snr) * aperture
            members.append(_draw_member(rng, (x, y), flux, len(bands), config))
            angle, step = uniform(rng, (0, 2 * np.pi)), uniform(rng, config.separation)
            place = place + step * first.psf.fwhm_pixels * np.array([np.sin(angle), np.cos(angle)])
            place = np.rint(place * OVERSAMPLING) / OVERSAMPLING
    return members


def _draw_member(
    rng: np.random.Generator,
    place: tuple[float, float],
    flux: float,
    count: int,
    config: BlendConfig,
) -> Member:
    """Draw what a member is, and its flux and light in each of some bands."""
    if rng.random() < config.stars:
        color = uniform(rng, config.star_color) if count > 1 else 0.0
        fluxes = tuple(flux * 10 ** (0.4 * color * band) for band in range(count))
        return Member(*place, "star", fluxes, (None,) * count)
    import galsim  # noqa: PLC0415 - optional extra

    kind = str(rng.choice(KINDS))
    radius = log_uniform(rng, config.galaxy.half_light_radius)
    parts = draw_components(rng, config.galaxy, kind=kind, radius=radius)
    profiles = [galsim.Sum([part.profile for part in parts])]
    if count > 1:
        disk = uniform(rng, config.disk_color)
        colors = [_color(rng, part.kind, disk, config) for part in parts]
        for band in range(1, count):
            gains = [10 ** (0.4 * color * band) for color in colors]
            pairs = zip(gains, parts, strict=True)
            profiles.append(galsim.Sum([gain * part.profile for gain, part in pairs]))
    # The components of the first band add up to 1, those of the others to their gain over it.
    gains = [1.0, *(profile.flux / profiles[0].flux for profile in profiles[1:])]
    return Member(*place, kind, tuple(flux * gain for gain in gains), tuple(profiles))


def _color(rng: np.random.Generator, kind: str, disk: float, config: BlendConfig) -> float:
    """Return the magnitudes by which a component gains from band to band."""
    if kind == "patch":  # of an irregular galaxy, each as old as it is
        return uniform(rng, config.disk_color)
    redder = {"disk": 0, "bulge": 1, "clumps": -1}[kind]
    return disk + redder * uniform(rng, config.reddening) if redder else disk


def _band_scene(
    rng: np.random.Generator,
    band: tuple[Band, int],
    members: Sequence[Member],
    canvas: Canvas,
    about: tuple[str, BlendConfig],
) -> Scene:
    """Expose one band, and tell its truth."""
    (seen, index), (name, config) = band, about
    shown = Shown(members, canvas, canvas.stamps(members, index), index)
    scene = exposed(rng, seen, shown, name=name)
    return replace(scene, fine=_fine(scene.frame, members, canvas, index, config))


def _fine(
    frame: Frame, members: Sequence[Member], canvas: Canvas, index: int, config: BlendConfig
) -> Layer | None:
    """Return the light of all members on finer pixels, as a sharper PSF shows it."""
    if config.finer == 1:
        return None
    grid = Grid.from_frame(frame).finer(config.finer)
    width = config.sharper * canvas.psf.fwhm_pixels * config.finer
    if width > _WIDEST:
        raise ConfigurationError(
            f"sharper x finer: the PSF of the finer truth would have a FWHM of {width:.1f} of its "
            f"pixels, and {_WIDEST:.0f} fit on its stamp. Give less of either, or a narrower "
            "`psf.fwhm`."
        )
    psf = make_psf("gaussian", fwhm_pixels=width)
    finer = Canvas(psf, grid.shape, canvas.middle, canvas.ratio * config.finer)
    light = sum_of(finer.stamps(members, index), grid.shape)
    return Layer(light.astype(np.float32), grid, frame.unit, None, psf.psf)
