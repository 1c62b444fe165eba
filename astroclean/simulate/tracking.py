"""What spoils a whole exposure: tracking errors, a telescope out of focus, lost charge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from astropy.nddata import StdDevUncertainty

from astroclean.core.image.frame import Frame
from astroclean.core.stage.options import Options
from astroclean.simulate.charge_transfer import trail_charge
from astroclean.simulate.contaminants.cosmic_rays import CosmicRayRange, add_cosmic_rays
from astroclean.simulate.contaminants.pixels import add_hot_pixels
from astroclean.simulate.detector import CameraRange, draw_camera
from astroclean.simulate.draws import Range, Share, log_uniform, uniform
from astroclean.simulate.fields import FieldRange, draw_field
from astroclean.simulate.motion import PATHS
from astroclean.simulate.psfs import OVERSAMPLING, PsfRange, draw_psf
from astroclean.simulate.scene import Scene

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.simulate.psfs import PsfModel

__all__ = ["CHARGE", "DEFOCUS", "KINDS", "TrackingConfig", "simulate_tracking", "tracking_kernel"]

KINDS = tuple(PATHS)
"""Of tracking errors."""
DEFOCUS, CHARGE = "defocus", "charge-transfer"
"""Other kinds of spoiled exposures, which `TrackingConfig.kinds` may name."""
_REACH = 40 * OVERSAMPLING
_RAYS = 20_000


class TrackingConfig(Options):
    """What exposures with tracking errors are drawn from."""

    share: Share = 0.5
    """Of exposures that have an error."""
    extent: Range = (0.8, 6.0)
    """How long the image is drawn out, in FWHM, as `tracking_kernel` counts it; of ``defocus``, the
    diameter of the pupil's image."""
    defocus: Range | None = None
    """Diameter of the pupil's image in FWHM where it is to be another than `extent`: a small one is
    poor seeing to everyone."""
    residual: Range = (0.0, 0.0)
    """Size of the error that good guiding leaves, in FWHM: exposures with it are good ones. None by
    default."""
    kinds: tuple[str, ...] = KINDS
    """Drawn evenly: tracking errors, ``defocus``, ``charge-transfer``."""
    charge_loss: Range = (0.05, 0.4)
    """Part of its charge that the farthest row loses."""
    charge_length: Range = (2.0, 25.0)
    """Mean length of the trails of charge, pixels."""
    psf: PsfRange = PsfRange(
        fwhm=(2.0, 5.0), kinds=("moffat", "kolmogorov"), ellipticity=(0.0, 0.05)
    )
    """Of exposures without error: their stars are round to a tenth of the axis."""
    aberration: Range = (0.0, 0.0)
    """Diameter of the spot that coma, astigmatism and defocus of a decent telescope make, in FWHM;
    in exposures with and without error. None by default."""
    camera: CameraRange = CameraRange()
    sources: FieldRange = FieldRange()
    particles: Share = 0.6
    """Of exposures with particle hits and hot pixels, which no error of the telescope smears."""
    cosmic_rays: CosmicRayRange = CosmicRayRange()


def tracking_kernel(rng: np.random.Generator, *, kind: str, extent: float) -> NDArray[np.float64]:
    """Return where the image was during the exposure.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    kind : str
        ``walk`` (guiding), ``jumps`` (guide star lost and found, earthquake), ``shake`` (wind),
        ``drift`` (no guiding), ``jitter`` (fast, nearly round), ``oscillation`` (of both axes),
        ``defocus`` (the image of a pupil with a hole).
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
    y, x = PATHS[kind](rng)
    y, x = y - y.mean(), x - x.mean()
    # An even drift of length L has a variance of L^2 / 12.
    span = float(np.sqrt(12 * np.linalg.eigvalsh(np.cov(y, x))[-1]))
    scale = min(extent, 60.0) * OVERSAMPLING / max(span, 1e-9)
    return _histogram(y * scale, x * scale)


def _pupil(rng: np.random.Generator, diameter: float) -> NDArray[np.float64]:
    grid = np.arange(-_REACH, _REACH + 1)
    radius = np.hypot(grid[:, np.newaxis], grid) / OVERSAMPLING
    outer = min(diameter, 60.0) / 2
    ring = (radius <= outer) & (radius >= outer * uniform(rng, (0.0, 0.5)))
    return np.asarray(ring / ring.sum())


def _spot(rng: np.random.Generator, diameter: float) -> NDArray[np.float64]:
    """Return where rays of an annular pupil meet the detector: third-order aberrations."""
    radius = np.sqrt(rng.uniform(0.1, 1.0, _RAYS))
    angle = rng.uniform(0, 2 * np.pi, _RAYS)
    focus, astigmatism, coma = rng.dirichlet(np.ones(3))
    y = radius * np.sin(angle) * (focus - astigmatism) + coma * radius**2 * np.sin(2 * angle)
    x = radius * np.cos(angle) * (focus + astigmatism) + coma * radius**2 * (2 + np.cos(2 * angle))
    turn = uniform(rng, (0, 2 * np.pi))
    y, x = y * np.cos(turn) + x * np.sin(turn), x * np.cos(turn) - y * np.sin(turn)
    y, x = y - y.mean(), x - x.mean()
    # A disc has a mean squared radius of an eighth of its squared diameter.
    scale = diameter * OVERSAMPLING / np.sqrt(8 * np.mean(y**2 + x**2))
    return _histogram(y * scale, x * scale)


def _histogram(y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    edges = np.arange(-_REACH, _REACH + 2) - 0.5
    kernel, _, _ = np.histogram2d(y, x, bins=(edges, edges))
    return np.asarray(kernel / kernel.sum())


def _error(
    rng: np.random.Generator, config: TrackingConfig, seeing: float
) -> tuple[str, float, list[NDArray[np.float64]]]:
    """Draw what spoils an exposure: its kind, its size in pixels, and the kernel, if it has one."""
    if rng.random() >= config.share:
        if config.residual[1] <= 0:
            return "none", 0.0, []
        extent = uniform(rng, config.residual) * seeing
        kernel = tracking_kernel(rng, kind=str(rng.choice(KINDS)), extent=extent)
        return "none", extent, [kernel]
    kind = str(rng.choice(config.kinds))
    if kind == CHARGE:
        return kind, 0.0, []
    limits = (config.defocus or config.extent) if kind == DEFOCUS else config.extent
    extent = log_uniform(rng, limits) * seeing
    return kind, extent, [tracking_kernel(rng, kind=kind, extent=extent)]


def _together(kernels: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    from scipy.signal import fftconvolve  # noqa: PLC0415 - slow to import

    first, *rest = kernels
    for kernel in rest:
        first = np.clip(fftconvolve(first, kernel, mode="same"), 0, None)
    return first


def _is_centred(psf: PsfModel) -> bool:
    stamp = psf.stamp()
    peak = np.unravel_index(int(np.argmax(stamp)), stamp.shape)
    return all(abs(int(place) - stamp.shape[0] // 2) <= 1 for place in peak)


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
        ``notes["extent_pixels"]`` how large, ``notes["seeing_pixels"]`` the FWHM without it,
        ``notes["stars"]`` the number of sources.
    """
    config = config or TrackingConfig()
    rng = np.random.default_rng(seed)
    camera, psf = draw_camera(rng, config.camera), draw_psf(rng, config.psf)
    seeing = psf.fwhm_pixels
    kind, extent, kernels = _error(rng, config, seeing)
    if config.aberration[1] > 0:
        kernels.append(_spot(rng, uniform(rng, config.aberration) * seeing))
    if kernels:
        psf = psf.convolved(_together(kernels), kind=psf.kind if kind == "none" else kind)
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
    frame = Frame(
        camera.read_out(electrons, rng),
        unit="adu",
        uncertainty=StdDevUncertainty(camera.uncertainty(expected)),
        # A path may have its longest halt off the centre, which no `Psf` may.
        psf=psf.psf if _is_centred(psf) else None,
        meta=camera.meta(),
        frame_id=f"tracking {seed}",
    )
    scene.sources.table["flux"] /= camera.gain
    notes: dict[str, float | str] = {
        "tracking_error": float(kind != "none"),
        "kind": kind,
        "extent_pixels": extent,
        "seeing_pixels": seeing,
        "stars": float(len(scene.sources.table)),
    }
    return Scene(frame, clean=camera.to_adu(expected), sources=scene.sources, notes=notes)
