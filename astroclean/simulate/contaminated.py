"""Exposures with contaminants of all classes and their exact truth."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - simulate.options reads the annotations
from pathlib import Path  # noqa: TC003 - same
from typing import TYPE_CHECKING

import numpy as np
from astropy.nddata import StdDevUncertainty

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.stage.options import Options
from astroclean.simulate.composition import compose
from astroclean.simulate.contaminants.bright import bright_planes
from astroclean.simulate.contaminants.cosmic_rays import (
    CosmicRayRange,
    add_cosmic_rays,
    rims_of_hits,
)
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
from astroclean.simulate.contaminants.spikes import add_spikes
from astroclean.simulate.contaminants.trails import add_trails
from astroclean.simulate.detector import Camera, CameraRange, draw_camera
from astroclean.simulate.draws import Range, log_uniform, uniform, whole
from astroclean.simulate.fields import Field, FieldRange, draw_field, draw_stars, render_stars
from astroclean.simulate.lookalikes import LookalikeRange, draw_lookalikes
from astroclean.simulate.psfs import PsfModel, PsfRange, draw_psf
from astroclean.simulate.scene import Scene
from astroclean.simulate.sky_structure import SkyStructureRange, draw_readout, shaded_sky

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from astroclean.simulate.composition import Pair

__all__ = [
    "BLEEDING",
    "CHANCES",
    "HARMLESS",
    "ContaminatedConfig",
    "draw_light",
    "simulate_contaminated",
]

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
    "lookalikes": 0.5,
    "shading": 0.3,
    "readout": 0.15,
}
"""How often each class is in a frame."""
HARMLESS = frozenset({"lookalikes", "shading", "readout"})
"""Those of `CHANCES` that are no defects: what is mistaken for them."""
BLEEDING = 0.8
"""How often the detector is one whose surplus charge runs along columns."""


class ContaminatedConfig(Options):
    """What contaminated exposures are drawn from."""

    chances: Mapping[str, float] = CHANCES
    """Probability of each class; the names are those of `CHANCES`."""
    psf: PsfRange = PsfRange(kinds=("moffat", "moffat", "kolmogorov", "airy"))
    """Without struts: spikes are a class of their own, with truth."""
    camera: CameraRange = CameraRange()
    sources: FieldRange = FieldRange()
    cosmic_rays: CosmicRayRange = CosmicRayRange()
    bright_star: Range = (1e5, 5e6)
    """Flux over noise of the stars that make saturation and spikes."""
    bright_stars: tuple[int, int] = (1, 3)
    """How many there are where there is one."""
    lookalikes: LookalikeRange = LookalikeRange()
    structure: SkyStructureRange = SkyStructureRange()
    data: Path | None = None
    """Folder with ``cosmic_rays_itl_even.fits.gz``, or such a file: half of the hits are then real
    ones."""


_DARK = 4.0
"""Sky over its noise below which nobody could tell a dead pixel from a live one."""
_DEAD_CLASSES = frozenset({"dead_pixels", "dead_lines", "dead_clusters"})


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
    chosen -= _DEAD_CLASSES if camera.sky < _DARK * camera.noise else frozenset()
    noise, bright = camera.noise, "bright_star" in chosen
    light, scene, stars = draw_light(rng, shape, psf, noise=noise, config=config, is_bright=bright)
    if "lookalikes" in chosen:
        light += draw_lookalikes(rng, shape, psf, noise=noise, limits=config.lookalikes)
    sky = np.full(shape, camera.sky)
    if "shading" in chosen:
        sky = shaded_sky(rng, shape, sky=camera.sky, noise=noise, limits=config.structure)
    clean = camera.to_adu(light + sky)
    steps = _Drawn(rng, camera, config, chosen=chosen, stars=stars, fwhm=psf.fwhm_pixels)
    electrons, planes = compose(
        light + sky,
        bright_planes(light, noise=noise),
        steps,
        ceiling=camera.ceiling,
        threshold=noise,
    )
    if "readout" in chosen:
        electrons = electrons + camera.noise * draw_readout(rng, shape, config.structure)
    frame = Frame(
        camera.read_out(electrons, rng),
        unit="adu",
        uncertainty=StdDevUncertainty(steps.uncertainty),
        psf=psf.psf,
        meta=camera.meta(),
        frame_id=f"contaminated {seed}",
    )
    scene.sources.table["flux"] /= camera.gain
    planes, notes = planes.astype(np.uint32), _notes(camera, psf)
    suspect = np.uint32(MaskPlane.SUSPECT)
    ignored = rims_of_hits(planes) | ((planes & suspect) != 0)
    planes &= ~suspect
    return Scene(frame, planes, clean, sources=scene.sources, notes=notes, ignored=ignored)


def _notes(camera: Camera, psf: PsfModel) -> dict[str, float | str]:
    return {
        "fwhm_pixels": psf.fwhm_pixels,
        "psf": psf.kind,
        "sky": camera.sky,
        "gain": camera.gain,
        "noise": camera.noise / camera.gain,
        "bias": camera.bias,
    }


def draw_light(
    rng: np.random.Generator,
    shape: tuple[int, int],
    psf: PsfModel,
    *,
    noise: float,
    config: ContaminatedConfig,
    is_bright: bool,
) -> tuple[NDArray[np.float64], Field, NDArray[np.float64]]:
    """Draw stars and galaxies, and render them without sky.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    shape : (int, int)
        (ny, nx) in pixels.
    psf : PsfModel
        Image of a star.
    noise : float
        Standard deviation of empty sky in electrons, with which all light scales.
    config : ContaminatedConfig
        Ranges.
    is_bright : bool
        Whether there is a star that saturates.

    Returns
    -------
    light : (ny, nx) float64
        Electrons.
    field : Field
        The sources but for the bright stars.
    stars : (n, 3) float64
        x, y and flux of all stars, the bright ones included.
    """
    count = whole(rng, config.bright_stars) if is_bright else 0
    flux = [log_uniform(rng, config.bright_star) * noise for _ in range(count)]
    bright = draw_stars(rng, shape, flux=np.array(flux))
    field = draw_field(rng, shape, psf, noise=noise, limits=config.sources)
    light = field.image + render_stars(bright, psf, shape) + _aureoles(rng, shape, bright, psf)
    return light, field, _with_bright(field, bright)


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


class _Drawn:
    """The steps of an exposure of which everything is drawn when its turn comes."""

    def __init__(
        self,
        rng: np.random.Generator,
        camera: Camera,
        config: ContaminatedConfig,
        *,
        chosen: frozenset[str],
        stars: NDArray[np.float64],
        fwhm: float,
    ) -> None:
        self._rng, self._camera, self._config = rng, camera, config
        self._chosen, self._stars, self._fwhm = chosen, stars, fwhm
        self.uncertainty: NDArray[np.float32] | None = None
        """Of the expected electrons, once they were counted; in adu."""

    def in_the_sky(self, image: NDArray[np.float64]) -> Pair:
        """Add what reaches the chip as light, hence with noise of its own."""
        rng, chosen, noise, fwhm = self._rng, self._chosen, self._camera.noise, self._fwhm
        planes = empty_planes((image.shape[0], image.shape[1]))
        if "nebulosity" in chosen:
            planes |= add_nebulosity(image, rng, noise=noise)
        if "spikes" in chosen:
            planes |= add_spikes(image, rng, self._stars, noise=noise, fwhm=fwhm)
        if "ghosts" in chosen:
            planes |= add_ghosts(image, rng, noise=noise)
        if "trails" in chosen:
            planes |= add_trails(image, rng, noise=noise, fwhm=fwhm)
        if "fringes" in chosen:
            planes |= add_fringes(image, rng, noise=noise)
        if "persistence" in chosen:
            planes |= add_persistence(image, rng, noise=noise)
        return image, planes

    def photons(self, expected: NDArray[np.float64]) -> NDArray[np.float64]:
        """Count electrons."""
        self.uncertainty = self._camera.uncertainty(expected)
        return self._camera.expose(expected, self._rng)

    def charge(self, image: NDArray[np.float64]) -> Pair:
        """Add particle hits, hot pixels and hot lines."""
        rng, noise, config = self._rng, self._camera.noise, self._config
        planes = empty_planes((image.shape[0], image.shape[1]))
        if "cosmic_rays" in self._chosen:
            planes |= add_cosmic_rays(
                image, rng, noise=noise, limits=config.cosmic_rays, data=config.data
            )
        if "hot_pixels" in self._chosen:
            planes |= add_hot_pixels(image, rng, noise=noise)
        if "hot_lines" in self._chosen:
            planes |= add_hot_lines(image, rng, noise=noise)
        return image, planes

    def bleeds(self) -> bool:
        """Draw whether surplus charge runs along columns."""
        return bool(self._rng.random() < BLEEDING)

    def dead(self, image: NDArray[np.float64]) -> Pair:
        """Replace dead pixels, lines and clusters."""
        sky, noise = self._camera.sky, self._camera.noise
        planes = empty_planes((image.shape[0], image.shape[1]))
        for name, add in _DEAD.items():
            if name in self._chosen:
                planes |= add(image, self._rng, sky=sky, noise=noise)
        return image, planes

    def crosstalk(self, image: NDArray[np.float64]) -> Pair:
        """Add what another amplifier reads."""
        if "crosstalk" not in self._chosen:
            return image, empty_planes((image.shape[0], image.shape[1]))
        camera = self._camera
        well = camera.ceiling
        return image, add_crosstalk(image, self._rng, noise=camera.noise, full_well=well)

    def overscan(self, image: NDArray[np.float64]) -> Pair:
        """Replace strips at the border."""
        if "overscan" not in self._chosen:
            return image, empty_planes((image.shape[0], image.shape[1]))
        camera = self._camera
        return image, add_overscan(image, self._rng, sky=camera.sky, noise=camera.noise)


_DEAD: dict[str, Callable[..., NDArray[np.uint32]]] = {
    "dead_pixels": add_dead_pixels,
    "dead_lines": add_dead_lines,
    "dead_clusters": add_dead_clusters,
}
