"""Exposures with errors of guiding by a second recipe, for judging what the first has trained.

Seeing and optics are GalSim's, the motion comes from spectra (`guide_errors`), stars cluster and
have a luminosity function with a bend, hits are plain segments: with `tracking` this shares the
camera's noise and the definition of an error's size, and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from astropy.nddata import StdDevUncertainty

from astroclean.core.image.frame import Frame
from astroclean.core.psf.stamp import half_maximum_width
from astroclean.core.stage.options import Options
from astroclean.simulate.detector import CameraRange, draw_camera
from astroclean.simulate.draws import Range, Share, add_stamp, log_uniform, uniform, whole
from astroclean.simulate.guide_errors import GUIDE_ERRORS, guide_path
from astroclean.simulate.scene import Scene

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["GuidingConfig", "simulate_guiding"]

_FINE = 3
"""Fine pixels along one of the frame."""
_MARGIN = 48
"""Pixels around the frame in which stars lie whose light reaches into it."""
_HALF = 48
"""Half side of the stamp of the PSF, pixels of the frame."""
_PER = 256 * 256
_WIDTHS = {"plain": (1.5, 6.0), "hard": (2.0, 8.0)}
_STARS = {"plain": (30.0, 800.0), "hard": (300.0, 3000.0)}
_EXTENTS = {"plain": (2.0, 5.0), "hard": (1.0, 2.0)}


class GuidingConfig(Options):
    """What these exposures are drawn from."""

    level: Literal["plain", "hard"] = "plain"
    """``plain``: errors of 2 to 5 FWHM, 30 to 800 stars in 256 x 256 pixels, seeing of 1.5 to 6
    pixels; ``hard``: 1 to 2 FWHM, 300 to 3000 stars, seeing of 2 to 8 pixels."""
    share: Share = 0.5
    """Of exposures that have an error."""
    extent: Range | None = None
    """Of an error, in FWHM, as `astroclean.simulate.tracking` counts it; None: as `level`."""
    fwhm: Range | None = None
    """Seeing in pixels; None: as `level`."""
    stars: Range | None = None
    """Stars in 256 x 256 pixels; None: as `level`."""
    residual: Range = (0.0, 0.25)
    """Size of what is left of good guiding, in FWHM: exposures with it are good ones."""
    shear: Range = (0.0, 0.045)
    """Reduced shear of good and spoiled PSFs."""
    aberration: Range = (0.0, 0.03)
    """Waves rms of each low-order aberration of the telescope: good stars stay round to about a
    tenth of the axis."""
    kinds: tuple[str, ...] = tuple(GUIDE_ERRORS)
    """Drawn evenly."""
    camera: CameraRange = CameraRange()
    hits: Range = (1.0, 80.0)
    """Particle hits in 256 x 256 pixels, in half of the exposures."""


def simulate_guiding(
    *, seed: int, shape: tuple[int, int] = (256, 256), config: GuidingConfig | None = None
) -> Scene:
    """Simulate an exposure with or without an error of guiding.

    Parameters
    ----------
    seed : int
        The same seed gives the same bytes.
    shape : (int, int)
        (ny, nx) in pixels.
    config : GuidingConfig, optional
        Ranges.

    Returns
    -------
    Scene
        ``frame`` in adu with bias, without a PSF; ``notes["tracking_error"]`` is 1.0 or 0.0,
        ``notes["kind"]`` tells which, ``notes["extent_pixels"]`` how large (that of good guiding
        too), ``notes["seeing_pixels"]`` the FWHM without it, ``notes["stars"]`` their number.
    """
    config = config or GuidingConfig()
    rng = np.random.default_rng((seed, 2))
    camera = draw_camera(rng, config.camera)
    fwhm = log_uniform(rng, config.fwhm or _WIDTHS[config.level])
    is_spoiled = rng.random() < config.share
    kind = str(rng.choice(config.kinds))
    limits = config.extent or _EXTENTS[config.level]
    size = log_uniform(rng, limits) if is_spoiled else uniform(rng, config.residual)
    still = _still(rng, fwhm, config)
    seeing = float(half_maximum_width(still)) / _FINE
    psf = _blurred(still, guide_path(rng, kind=kind, extent=size * seeing * _FINE))
    density = log_uniform(rng, config.stars or _STARS[config.level])
    light, count = _light(rng, shape, psf, faintest=4 * camera.noise * fwhm, density=density)
    expected = light + camera.sky
    electrons = camera.expose(expected, rng)
    if rng.random() < 0.5:  # noqa: PLR2004 - long exposures, and short ones
        _add_hits(rng, electrons, camera.noise, log_uniform(rng, config.hits))
    electrons = np.minimum(electrons, camera.ceiling)
    frame = Frame(
        camera.read_out(electrons, rng),
        unit="adu",
        uncertainty=StdDevUncertainty(camera.uncertainty(expected)),
        meta=camera.meta(),
        frame_id=f"guiding {seed}",
    )
    notes: dict[str, float | str] = {
        "tracking_error": float(is_spoiled),
        "kind": kind if is_spoiled else "none",
        "extent_pixels": size * seeing,
        "seeing_pixels": seeing,
        "stars": float(count),
    }
    return Scene(frame, clean=camera.to_adu(expected), notes=notes)


def _still(rng: np.random.Generator, fwhm: float, config: GuidingConfig) -> NDArray[np.float64]:
    """Return seeing and optics on fine pixels, sum 1, without the width of a pixel."""
    import galsim  # noqa: PLC0415 - optional extra

    aberrations = np.zeros(12)
    # Defocus, astigmatism, coma, trefoil, spherical: places 4 to 11 of Noll's order.
    aberrations[4:] = uniform(rng, config.aberration) * rng.standard_normal(8)
    share = uniform(rng, (0.15, 0.5))
    optics = galsim.OpticalPSF(
        lam_over_diam=share * fwhm * _FINE,
        aberrations=list(aberrations),
        obscuration=uniform(rng, (0.1, 0.45)),
        nstruts=whole(rng, (0, 1)) * 4,
        strut_thick=0.02,
        strut_angle=uniform(rng, (0, 90)) * galsim.degrees,
        oversampling=1.0,
        pad_factor=1.0,
    )
    width = np.sqrt(1 - share**2) * fwhm * _FINE
    air = galsim.Kolmogorov(fwhm=width)
    if rng.random() < 0.5:  # noqa: PLR2004 - the dome adds air of its own, or not
        part = uniform(rng, (0.05, 0.3))
        air = (1 - part) * air + part * galsim.Kolmogorov(fwhm=uniform(rng, (1.4, 2.2)) * width)
    angle = uniform(rng, (0, np.pi)) * galsim.radians
    whole_psf = galsim.Convolve(optics, air).shear(g=uniform(rng, config.shear), beta=angle)
    side = (2 * _HALF + 1) * _FINE
    drawn = whole_psf.drawImage(nx=side, ny=side, scale=1.0, method="no_pixel", dtype=float)
    image = np.clip(drawn.array, 0, None)
    return np.asarray(image / image.sum())


def _blurred(psf: NDArray[np.float64], path: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.signal import fftconvolve  # noqa: PLC0415 - slow to import

    edges = np.arange(psf.shape[0] + 1) - psf.shape[0] / 2
    kernel, _, _ = np.histogram2d(path[0], path[1], bins=(edges, edges))
    moved = np.clip(fftconvolve(psf, kernel / kernel.sum(), mode="same"), 0, None)
    return np.asarray(moved / moved.sum())


def _light(
    rng: np.random.Generator,
    shape: tuple[int, int],
    psf: NDArray[np.float64],
    *,
    faintest: float,
    density: float,
) -> tuple[NDArray[np.float64], int]:
    """Return stars and galaxies in electrons, and the number of stars within the frame."""
    from scipy.signal import fftconvolve  # noqa: PLC0415 - slow to import

    sides = np.array(shape) + 2 * _MARGIN
    count = rng.poisson(density * sides.prod() / _PER)
    places = rng.uniform(0, sides, (count, 2))
    if rng.random() < 0.3:  # noqa: PLR2004 - some fields have a cluster
        members = rng.random(count) < uniform(rng, (0.2, 0.7))
        spread = uniform(rng, (30, 120))
        center = rng.uniform(0, sides)
        places[members] = center + spread * rng.standard_normal((int(members.sum()), 2))
    flux = _fluxes(rng, count, faintest)
    canvas = np.zeros(sides * _FINE)
    _deposit(canvas, places * _FINE, flux)
    for _ in range(rng.poisson(uniform(rng, (1, 15)) * sides.prod() / _PER)):
        _add_galaxy(rng, canvas, 3 * faintest * (1 + rng.pareto(0.9)))
    blurred = np.clip(fftconvolve(canvas, psf, mode="same"), 0, None)
    folded = blurred.reshape(sides[0], _FINE, sides[1], _FINE).sum(axis=(1, 3))
    inside = ((places > _MARGIN) & (places < sides - _MARGIN)).all(axis=1)
    cut = folded[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    return np.ascontiguousarray(cut), int(inside.sum())


def _fluxes(rng: np.random.Generator, count: int, faintest: float) -> NDArray[np.float64]:
    # Many faint stars, fewer beyond a bend: two Pareto laws.
    bend = faintest * log_uniform(rng, (5.0, 60.0))
    flux = faintest * (1 + rng.pareto(0.5, count))
    beyond = flux > bend
    flux[beyond] = bend * (1 + rng.pareto(1.1, int(beyond.sum())))
    return np.asarray(np.minimum(flux, 3e4 * faintest))


def _deposit(
    canvas: NDArray[np.float64], places: NDArray[np.float64], flux: NDArray[np.float64]
) -> None:
    """Share each star's light among the four fine pixels around it, in place."""
    whole_part = np.floor(places).astype(int)
    rest = places - whole_part
    for dy in (0, 1):
        for dx in (0, 1):
            y, x = whole_part[:, 0] + dy, whole_part[:, 1] + dx
            share = np.abs(1 - dy - rest[:, 0]) * np.abs(1 - dx - rest[:, 1])
            inside = (y >= 0) & (y < canvas.shape[0]) & (x >= 0) & (x < canvas.shape[1])
            np.add.at(canvas, (y[inside], x[inside]), (flux * share)[inside])


def _add_galaxy(rng: np.random.Generator, canvas: NDArray[np.float64], flux: float) -> None:
    import galsim  # noqa: PLC0415 - optional extra

    radius = log_uniform(rng, (1.0, 6.0)) * _FINE
    profile = galsim.Sersic(
        n=float(rng.choice([1.0, 2.0, 4.0])), half_light_radius=radius, trunc=6 * radius
    )
    shape = galsim.Shear(q=uniform(rng, (0.2, 1.0)), beta=uniform(rng, (0, np.pi)) * galsim.radians)
    half = int(6 * radius)
    side = 2 * half + 1
    drawn = profile.shear(shape).drawImage(
        nx=side, ny=side, scale=1.0, method="no_pixel", dtype=float
    )
    y, x = (int(rng.integers(0, length)) for length in canvas.shape)
    add_stamp(canvas, flux * drawn.array / drawn.array.sum(), y - half, x - half)


def _add_hits(
    rng: np.random.Generator, electrons: NDArray[np.float64], noise: float, density: float
) -> None:
    """Add straight tracks and points of one pixel, in place."""
    ny, nx = electrons.shape
    for _ in range(rng.poisson(density * ny * nx / _PER)):
        length = 1 + rng.exponential(4) * (rng.random() < 0.6)  # noqa: PLR2004 - the rest: points
        angle, charge = uniform(rng, (0, np.pi)), log_uniform(rng, (8 * noise, 5000.0 + 8 * noise))
        steps = np.arange(0, length, 0.5)
        y = (rng.uniform(0, ny) + steps * np.sin(angle)).astype(int)
        x = (rng.uniform(0, nx) + steps * np.cos(angle)).astype(int)
        inside = (y < ny) & (x >= 0) & (x < nx)
        pixels = np.unique(np.stack([y[inside], x[inside]]), axis=1)
        electrons[pixels[0], pixels[1]] += charge * rng.uniform(0.5, 1.5, pixels.shape[1])
