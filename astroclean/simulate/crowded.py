"""Crowded fields to judge deblenders by: a second recipe, with families that no training sees.

Number counts rise to sources that are too faint to be found, sizes follow the flux, and part of the
sources lie beside others. `astroclean.simulate.blends` and what networks are trained on draw
otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from astroclean.core.stage.options import Options
from astroclean.errors import ConfigurationError
from astroclean.simulate.band_grids import Band, make_wcs
from astroclean.simulate.blend_images import Canvas, Member, Shown, cut_stamp, exposed
from astroclean.simulate.detector import CameraRange, draw_camera
from astroclean.simulate.draws import Range, Share, log_uniform, uniform
from astroclean.simulate.galaxies import KINDS, GalaxyRange
from astroclean.simulate.held_out import HELD_OUT_KINDS, draw_any
from astroclean.simulate.psfs import HALF, OVERSAMPLING, PsfRange, draw_psf
from astroclean.simulate.scene import Scene  # noqa: TC001 - read for the options

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.sources.sources import Sources, SourceStamp

__all__ = ["CrowdedConfig", "View", "simulate_crowded"]

_PER = 256 * 256
_WANTED = 5.0
"""S/N from which sources are counted; that of `astroclean.evaluation.matching`."""
_OF_RADIUS = 30.0
"""S/N of sources with the typical radius."""
_SMALLEST, _LARGEST = 0.5, 12.0
_SOFTENING = 0.15
"""Pixels; far below what any PSF here leaves to see."""
_STEP = 6
"""Stamps have few sizes, so that few kernels are made of a PSF."""


class View(Options):
    """What a telescope shows."""

    pixel_scale: float = Field(default=0.2, gt=0)
    """Arcsec."""
    psf: PsfRange = PsfRange(fwhm=(3.0, 5.0), kinds=("moffat", "kolmogorov"))
    camera: CameraRange = CameraRange(sky=(200.0, 4000.0))
    radius: float = Field(default=1.8, gt=0)
    """Half-light radius of a typical galaxy of S/N 30 in pixels, before the PSF."""


class CrowdedConfig(Options):
    """What crowded fields are drawn from."""

    view: Literal["both", "space", "ground"] = "both"
    """``both``: seeds that are even are seen from space, the others from the ground."""
    sources: Range = (20.0, 200.0)
    """With S/N of 5 or more, in 256 x 256 pixels; the logarithm is drawn evenly."""
    snr: Range = (2.5, 2000.0)
    """Of the best fit of a source alone, in the noise of an empty sky."""
    slope: float = Field(default=0.8, gt=0)
    """Sources brighter than a flux are as many as its power of minus this."""
    clustered: Share = 0.4
    """Share of sources that lie beside another."""
    separation: Range = (0.6, 2.4)
    """From that other, in units of the FWHM and twice its radius, added in squares."""
    stars: Share = 0.15
    """Share of point sources."""
    held_out: Share = 0.5
    """Share of families that no training sees, among the galaxies."""
    size_slope: float = 0.25
    """Power of the flux that radii follow."""
    size_scatter: float = Field(default=0.35, ge=0)
    """Standard deviation of the natural logarithm of the radii."""
    galaxy: GalaxyRange = GalaxyRange()
    space: View = View(
        pixel_scale=0.06,
        psf=PsfRange(fwhm=(1.6, 2.2), kinds=("optical", "airy")),
        camera=CameraRange(sky=(30.0, 300.0)),
        radius=3.0,
    )
    ground: View = View()


@dataclass(frozen=True)
class _Draw:
    """A source before its light is drawn."""

    x: float
    y: float
    snr: float
    radius: float
    """Pixels; 0 for a star."""


def simulate_crowded(
    *, seed: int, shape: tuple[int, int] = (256, 256), config: CrowdedConfig | None = None
) -> Scene:
    """Simulate a crowded field on an empty sky, as a space or a ground-based telescope sees it.

    Parameters
    ----------
    seed : int
        The same seed gives the same bytes.
    shape : (int, int)
        (ny, nx) in pixels.
    config : CrowdedConfig, optional
        Ranges.

    Returns
    -------
    Scene
        ``frame`` in electrons with the sky taken off, with PSF, uncertainty and WCS; ``clean``
        without noise; ``sources`` at the centroids of their light, with ``flux`` (electrons),
        ``snr`` of the best fit in the noise of the frame, ``radius`` (pixels, before the PSF; 0 for
        stars), ``kind``, ``blendedness``, and the stamp of each, of those below S/N 5 too.
    """
    config = config or CrowdedConfig()
    if config.snr[0] > _WANTED or config.snr[1] <= _WANTED:
        raise ConfigurationError(f"snr {config.snr}: must begin at or below 5, and end above it")
    rng = np.random.default_rng((seed, 1808))
    from_space = config.view == "space" or (config.view == "both" and seed % 2 == 0)
    view = config.space if from_space else config.ground
    band = _band(rng, view, shape)
    canvas = Canvas(band.psf, shape, ((shape[0] - 1) / 2, (shape[1] - 1) / 2))
    drawn = _draw_sources(rng, shape, band.psf.fwhm_pixels, config, view)
    members, stamps = [], []
    for number, one in enumerate(drawn, start=1):
        member = _member(rng, one, band.psf.fwhm_pixels, config)
        image, corner = canvas.image(member, 0)
        # Patterns of apertures are interpolated, which leaves -1e-15 of the light far out.
        image = np.clip(image, 0, None)
        flux = one.snr * band.camera.noise / float(np.sqrt(np.sum(image**2)))
        members.append(replace(member, flux=(flux,)))
        stamps.append(cut_stamp(number, flux * image, corner, shape))
    name = f"crowded {seed} {'space' if from_space else 'ground'}"
    scene = exposed(rng, band, Shown(members, canvas, stamps), name=name)
    assert scene.sources is not None
    sources = _with_columns(scene.sources, scene.frame.noise(), [one.radius for one in drawn])
    return replace(
        scene, sources=sources, notes={**scene.notes, "view": "space" if from_space else "ground"}
    )


def _band(rng: np.random.Generator, view: View, shape: tuple[int, int]) -> Band:
    camera, psf = draw_camera(rng, view.camera), draw_psf(rng, view.psf)
    wcs = make_wcs(shape, view.pixel_scale)
    return Band("", camera, psf, shape, wcs=wcs, pixel_scale=view.pixel_scale)


def _draw_sources(
    rng: np.random.Generator,
    shape: tuple[int, int],
    fwhm: float,
    config: CrowdedConfig,
    view: View,
) -> list[_Draw]:
    """Draw place, S/N and radius of each source."""
    ny, nx = shape
    wanted = log_uniform(rng, config.sources) * ny * nx / _PER
    drawn: list[_Draw] = []
    for snr in _counts(rng, wanted, config):
        x, y = rng.uniform(0, nx - 1), rng.uniform(0, ny - 1)
        if drawn and rng.random() < config.clustered:
            near = drawn[rng.integers(len(drawn))]
            step = uniform(rng, config.separation) * np.hypot(fwhm, 2 * near.radius)
            angle = uniform(rng, (0, 2 * np.pi))
            beside = near.x + step * np.cos(angle), near.y + step * np.sin(angle)
            if 0 <= beside[0] <= nx - 1 and 0 <= beside[1] <= ny - 1:
                x, y = beside
        # Point sources are known on fifths of a pixel; the others keep to them, too.
        x, y = (float(np.rint(place * OVERSAMPLING) / OVERSAMPLING) for place in (x, y))
        radius = view.radius * (snr / _OF_RADIUS) ** config.size_slope
        radius *= float(np.exp(config.size_scatter * rng.standard_normal()))
        is_star = rng.random() < config.stars
        radius = 0.0 if is_star else float(np.clip(radius, _SMALLEST, _LARGEST))
        drawn.append(_Draw(x, y, float(snr), radius))
    return drawn


def _counts(rng: np.random.Generator, wanted: float, config: CrowdedConfig) -> NDArray[np.float64]:
    """Draw the S/N of all sources: a power law with ends, `wanted` of them at 5 or more."""
    low, high = (limit**-config.slope for limit in config.snr)
    among = (_WANTED**-config.slope - high) / (low - high)
    count = max(int(rng.poisson(wanted / among)), 1)
    return np.asarray(rng.uniform(high, low, count) ** (-1 / config.slope))


def _member(rng: np.random.Generator, one: _Draw, fwhm: float, config: CrowdedConfig) -> Member:
    """Draw what a source is; its flux is not known yet."""
    # As far out as the light of the source matters beside the noise.
    depth = 3 + np.log10(one.snr)
    wide = depth * (one.radius or 0.5 * fwhm) + 3 * fwhm + 4
    half = min(_STEP * int(np.ceil(wide / _STEP)), HALF)
    if one.radius == 0:
        return Member(one.x, one.y, "star", (1.0,), (None,), half)
    import galsim  # noqa: PLC0415 - optional extra

    families = HELD_OUT_KINDS if rng.random() < config.held_out else KINDS
    kind = str(rng.choice(families))
    light = draw_any(rng, config.galaxy, kind=kind, radius=one.radius)
    # Cusps of small galaxies have Fourier transforms without end, which take most of the time.
    profile: Any = galsim.Convolve(light, galsim.Gaussian(sigma=_SOFTENING))
    return Member(one.x, one.y, kind, (1.0,), (profile,), half)


def _with_columns(sources: Sources, sigma: NDArray[np.float64], radii: list[float]) -> Sources:
    table = sources.table.copy()
    table["snr"] = [_snr(stamp, sigma) for stamp in sources.stamps]
    table["radius"] = radii
    return replace(sources, table=table)


def _snr(stamp: SourceStamp, sigma: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.sum((stamp.data / sigma[stamp.slices()]) ** 2)))
