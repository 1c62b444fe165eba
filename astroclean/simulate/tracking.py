"""What spoils a whole exposure: tracking errors, a telescope out of focus, lost charge."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from astropy.nddata import StdDevUncertainty

from astroclean.core.frame import Frame
from astroclean.simulate.charge_transfer import trail_charge
from astroclean.simulate.contaminants.cosmic_rays import CosmicRayRange, add_cosmic_rays
from astroclean.simulate.contaminants.pixels import add_hot_pixels
from astroclean.simulate.detector import CameraRange, draw_camera
from astroclean.simulate.draws import Range, log_uniform, uniform, whole
from astroclean.simulate.fields import FieldRange, draw_field
from astroclean.simulate.psfs import OVERSAMPLING, PsfRange, draw_psf
from astroclean.simulate.scene import Scene

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CHARGE", "DEFOCUS", "KINDS", "TrackingConfig", "simulate_tracking", "tracking_kernel"]

KINDS = ("walk", "jumps", "shake", "drift")
"""Of tracking errors."""
DEFOCUS, CHARGE = "defocus", "charge-transfer"
"""Other kinds of spoiled exposures, which `TrackingConfig.kinds` may name."""
_STEPS = 4000
_REACH = 40 * OVERSAMPLING


@dataclass(frozen=True)
class TrackingConfig:
    """What exposures with tracking errors are drawn from."""

    share: float = 0.5
    """Of exposures that have an error."""
    extent: Range = (0.8, 6.0)
    """How long the image is drawn out, in FWHM, as `tracking_kernel` counts it; of ``defocus``, the
    diameter of the pupil's image."""
    kinds: tuple[str, ...] = KINDS
    """Drawn evenly: tracking errors, ``defocus``, ``charge-transfer``."""
    charge_loss: Range = (0.05, 0.4)
    """Part of its charge that the farthest row loses."""
    charge_length: Range = (2.0, 25.0)
    """Mean length of the trails of charge, pixels."""
    psf: PsfRange = field(
        default_factory=lambda: PsfRange(
            fwhm=(2.0, 5.0), kinds=("moffat", "kolmogorov"), ellipticity=(0.0, 0.05)
        )
    )
    """Of exposures without error: their stars are round to a tenth of the axis."""
    camera: CameraRange = field(default_factory=CameraRange)
    sources: FieldRange = field(default_factory=FieldRange)
    particles: float = 0.6
    """Of exposures with particle hits and hot pixels, which no error of the telescope smears."""
    cosmic_rays: CosmicRayRange = field(default_factory=CosmicRayRange)


def tracking_kernel(rng: np.random.Generator, *, kind: str, extent: float) -> NDArray[np.float64]:
    """Return where the image was during the exposure.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    kind : str
        ``walk`` (guiding), ``jumps`` (guide star lost and found, earthquake), ``shake`` (wind),
        ``drift`` (no guiding), ``defocus`` (the image of a pupil with a hole).
    extent : float
        Length of an even drift that blurs as much along the direction of the most motion, pixels;
        at most 60. (A guiding walk is seldom at its ends: by its greatest distance it would blur
        a fifth as much.)

    Returns
    -------
    (401, 401) float64
        Share of time on fine pixels (fifths), sum 1, its centre of mass in the middle.
    """
    if kind == DEFOCUS:
        return _pupil(rng, extent)
    y, x = _PATHS[kind](rng)
    y, x = y - y.mean(), x - x.mean()
    # An even drift of length L has a variance of L^2 / 12.
    span = float(np.sqrt(12 * np.linalg.eigvalsh(np.cov(y, x))[-1]))
    scale = min(extent, 60.0) * OVERSAMPLING / max(span, 1e-9)
    edges = np.arange(-_REACH, _REACH + 2) - 0.5
    kernel, _, _ = np.histogram2d(y * scale, x * scale, bins=(edges, edges))
    return np.asarray(kernel / kernel.sum())


Path = tuple["NDArray[np.float64]", "NDArray[np.float64]"]


def _along(rng: np.random.Generator, along: NDArray[np.float64], across: float) -> Path:
    """Return a path along one direction with some motion across it."""
    angle = uniform(rng, (0, np.pi))
    other = across * along.std() * np.cumsum(rng.standard_normal(along.size)) / along.size**0.5
    return (
        along * np.sin(angle) + other * np.cos(angle),
        along * np.cos(angle) - other * np.sin(angle),
    )


def _walk(rng: np.random.Generator) -> Path:
    # Guiding pulls back: a walk with a memory of a fraction of the exposure.
    memory = uniform(rng, (0.98, 0.9995))
    steps = rng.standard_normal((2, _STEPS)) * [[1.0], [uniform(rng, (0.2, 1.0))]]
    path = np.zeros((2, _STEPS))
    for step in range(1, _STEPS):
        path[:, step] = memory * path[:, step - 1] + steps[:, step]
    angle = uniform(rng, (0, np.pi))
    y, x = path
    return y * np.cos(angle) + x * np.sin(angle), x * np.cos(angle) - y * np.sin(angle)


def _jumps(rng: np.random.Generator) -> Path:
    count = whole(rng, (2, 4))
    places = rng.standard_normal((2, count))
    shares = rng.dirichlet(np.full(count, 2.0))
    times = np.searchsorted(np.cumsum(shares)[:-1], np.linspace(0, 1, _STEPS))
    y, x = places[:, times] + 0.02 * rng.standard_normal((2, _STEPS))
    if rng.random() < 0.5:  # noqa: PLR2004 - the shutter was open on the way, or not
        way = np.linspace(0, 1, _STEPS // 10)
        for axis, path in ((0, y), (1, x)):
            path[: way.size] = np.interp(way, np.linspace(0, 1, count), places[axis])
    return y, x


def _shake(rng: np.random.Generator) -> Path:
    time = np.linspace(0, 1, _STEPS)
    gusts = 1 + 0.6 * np.sin(2 * np.pi * uniform(rng, (1, 4)) * time + uniform(rng, (0, 6)))
    swing = gusts * np.sin(2 * np.pi * uniform(rng, (60, 300)) * time)
    return _along(rng, swing, uniform(rng, (0.05, 0.4)))


def _drift(rng: np.random.Generator) -> Path:
    time = np.linspace(0, 1, _STEPS)
    period = uniform(rng, (0.5, 4.0))
    motion = time + uniform(rng, (0, 0.2)) * np.sin(2 * np.pi * period * time)
    return _along(rng, motion, uniform(rng, (0.02, 0.2)))


_PATHS = {"walk": _walk, "jumps": _jumps, "shake": _shake, "drift": _drift}


def _pupil(rng: np.random.Generator, diameter: float) -> NDArray[np.float64]:
    grid = np.arange(-_REACH, _REACH + 1)
    radius = np.hypot(grid[:, np.newaxis], grid) / OVERSAMPLING
    outer = min(diameter, 60.0) / 2
    ring = (radius <= outer) & (radius >= outer * uniform(rng, (0.0, 0.5)))
    return np.asarray(ring / ring.sum())


def simulate_tracking(
    *, seed: int, shape: tuple[int, int] = (256, 256), config: TrackingConfig | None = None
) -> Scene:
    """Simulate an exposure with or without a tracking error.

    Parameters
    ----------
    seed : int
        The same seed gives the same bytes.
    shape : (int, int)
        (ny, nx) in pixels.
    config : TrackingConfig, optional
        Ranges.

    Returns
    -------
    Scene
        ``frame`` in adu with bias, its PSF the true one; ``notes["tracking_error"]`` is 1.0 or
        0.0 (1.0 for every spoiled exposure), ``notes["kind"]`` tells which,
        ``notes["extent_pixels"]`` how large.
    """
    config = config or TrackingConfig()
    rng = np.random.default_rng(seed)
    camera, psf = draw_camera(rng, config.camera), draw_psf(rng, config.psf)
    kind, extent = "none", 0.0
    if rng.random() < config.share:
        kind = str(rng.choice(config.kinds))
        if kind != CHARGE:
            extent = log_uniform(rng, config.extent) * psf.fwhm_pixels
            psf = psf.convolved(tracking_kernel(rng, kind=kind, extent=extent), kind=kind)
    scene = draw_field(rng, shape, psf, noise=camera.noise, limits=config.sources)
    expected = scene.image + camera.sky
    electrons = camera.expose(expected, rng)
    if rng.random() < config.particles:
        add_cosmic_rays(electrons, rng, noise=camera.noise, limits=config.cosmic_rays)
        add_hot_pixels(electrons, rng, noise=camera.noise)
    electrons = np.minimum(electrons, camera.ceiling)
    if kind == CHARGE:
        extent = log_uniform(rng, config.charge_length)
        electrons = trail_charge(
            electrons, loss=log_uniform(rng, config.charge_loss), length=extent
        )
    stamp = psf.stamp()
    peak = np.unravel_index(int(np.argmax(stamp)), stamp.shape)
    is_centred = all(abs(int(p) - stamp.shape[0] // 2) <= 1 for p in peak)
    frame = Frame(
        camera.read_out(electrons, rng),
        unit="adu",
        uncertainty=StdDevUncertainty(camera.uncertainty(expected)),
        # A path may have its longest halt off the centre, which no `Psf` may.
        psf=psf.psf if is_centred else None,
        meta=camera.meta(),
        frame_id=f"tracking {seed}",
    )
    scene.sources.table["flux"] /= camera.gain
    notes: dict[str, float | str] = {
        "tracking_error": float(kind != "none"),
        "kind": kind,
        "extent_pixels": extent,
    }
    return Scene(frame, clean=camera.to_adu(expected), sources=scene.sources, notes=notes)
