"""Exposures with contaminants by a second recipe, for validation, and quiet ones without any."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - simulate.options reads the annotations
from pathlib import Path  # noqa: TC003 - same
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits
from astropy.nddata import StdDevUncertainty
from pydantic import Field

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.detector import DETECTOR_KEYWORDS
from astroclean.core.image.frame import Frame
from astroclean.core.psf.psf import Psf
from astroclean.core.stage.options import Options
from astroclean.simulate.injected.frames import available, draw_frame
from astroclean.simulate.injected.ground import Ground, shown
from astroclean.simulate.injected.layers import Layers, lit
from astroclean.simulate.injected.readout import read_out
from astroclean.simulate.injected.skies import QUIET_KINDS, SKIES, add_bright_star, draw_sky
from astroclean.simulate.scene import Scene

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CHANCES", "InjectedConfig", "simulate_injected"]

CHANCES = {
    "cosmic_rays": 0.85,
    "hot_lines": 0.3,
    "dead_lines": 0.3,
    "hot_pixels": 0.6,
    "dead_pixels": 0.6,
    "persistence": 0.3,
    "trails": 0.45,
    "fringes": 0.25,
    "nebulosity": 0.25,
    "bright_star": 0.5,
    "spikes": 0.7,
    "overscan": 0.25,
    "ghosts": 0.25,
    "crosstalk": 0.3,
}
"""How often each class is in a frame; spikes only where a star is bright enough."""
_DEFECTS = frozenset({"hot_lines", "dead_lines", "hot_pixels", "dead_pixels"})
_OF_ONE_EXPOSURE = _DEFECTS | {"cosmic_rays", "overscan", "crosstalk"}
"""What a stack has no more."""
_DARK = 4.0
"""Sky over its noise below which nobody could tell a dead pixel or overscan from dark sky."""
_BRIGHT = 10.0
"""Light of objects over the noise of empty sky from which it is true BRIGHT."""


class InjectedConfig(Options):
    """What exposures of the second recipe are drawn from."""

    chances: Mapping[str, float] = CHANCES
    """Probability of each class; the names are those of `CHANCES`."""
    data: Path | None = None
    """Folder of real hits, real maps of defects and real frames; without it all is simulated."""
    real: float = Field(default=0.5, ge=0, le=1)
    """Share of scenes whose sky is a real frame, where ``data`` has some."""
    skies: tuple[str, ...] = ()
    """Kinds of simulated skies to draw from; none: all of them."""
    quiet: bool = False
    """Whether there is nothing that a mask should reject: simulated skies alone."""


def simulate_injected(
    *, seed: int, shape: tuple[int, int] = (512, 512), config: InjectedConfig | None = None
) -> Scene:
    """Simulate an exposure with contaminants, in a real or a simulated sky.

    No generator of contaminants, PSFs or galaxies is shared with
    :func:`astroclean.simulate.contaminated.simulate_contaminated`, so that scores of what was
    trained on that one are not those of the generator. The truth means the same: a pixel is of a
    class when the class changed it by more than 3 (COSMIC_RAY), 1 (PERSISTENCE, TRAIL,
    NEBULOSITY, CROSSTALK), 0.5 (GHOST; FRINGE, by its local amplitude) or 2 standard deviations of
    the pixel without it plus a quarter of the light beneath (SPIKE, outside 3 FWHM); HOT_LINE and
    HOT_PIXEL got 15 to 100 standard deviations of empty sky; DEAD_LINE, DEAD_PIXEL and OVERSCAN
    were replaced; SATURATED is at the level of the header or took more than 1 standard deviation
    of surplus; BRIGHT has more than 10 of light of objects.

    Parameters
    ----------
    seed : int
        The same seed gives the same bytes.
    shape : (int, int)
        (ny, nx) in pixels; a scene in a smaller real frame has the size of that.
    config : InjectedConfig, optional
        Chances, data, kinds of skies.

    Returns
    -------
    Scene
        ``frame`` in adu, with gain, read noise and saturation in its header; ``planes``;
        ``clean``, the expected sky in adu (of a real frame: the frame as it was); ``ignored``,
        where a real frame has contaminants of its own, beside hits, and where a trail is fainter
        than its truth or has a gap. Notes tell the sky, the FWHM and each passage.
    """
    config = config or InjectedConfig()
    rng = np.random.default_rng((seed, 0x2ED))
    ground = _ground(rng, shape, config)
    chosen = frozenset(name for name, chance in config.chances.items() if rng.random() < chance)
    chosen = frozenset() if config.quiet else chosen - _impossible(ground)
    if "bright_star" in chosen:
        ground = add_bright_star(rng, ground)
    noise = ground.noise
    planes = np.where(ground.light > _BRIGHT * noise, np.uint32(MaskPlane.BRIGHT), np.uint32(0))
    haze = np.clip(ground.image - ground.sky - ground.light, 0, None)
    if not ground.counted:
        planes |= shown(ground.light, haze, MaskPlane.NEBULOSITY, noise=noise, least=(1.0, 0.0))
    layers = lit(rng, ground, chosen)
    planes |= layers.planes
    data, planes = read_out(rng, ground, layers, (planes, chosen), config.data)
    ignored = _ignored(ground, layers, planes)
    return _scene(seed, ground, layers, (data, planes, ignored))


def _ground(rng: np.random.Generator, shape: tuple[int, int], config: InjectedConfig) -> Ground:
    is_real = rng.random() < config.real and bool(available(config.data))
    if is_real and not config.quiet:
        assert config.data is not None
        return draw_frame(rng, shape, config.data)
    kinds = config.skies or (QUIET_KINDS if config.quiet else SKIES)
    return draw_sky(rng, shape, kinds[int(rng.integers(len(kinds)))])


def _impossible(ground: Ground) -> frozenset[str]:
    """Return the classes that this sky cannot have."""
    gone = frozenset(_OF_ONE_EXPOSURE) if ground.correlation else frozenset()
    if ground.sky < _DARK * ground.noise:
        gone |= {"dead_lines", "dead_pixels", "overscan"}
    return gone


def _ignored(ground: Ground, layers: Layers, planes: NDArray[np.uint32]) -> NDArray[np.bool_]:
    from scipy.ndimage import binary_dilation  # noqa: PLC0415 - slow to import

    hits = (planes & np.uint32(MaskPlane.COSMIC_RAY)) != 0
    ignored = binary_dilation(hits, np.ones((3, 3))) & ~hits
    ignored |= layers.paths & ((planes & np.uint32(MaskPlane.TRAIL)) == 0)
    if ground.ignored is not None:
        ignored |= ground.ignored
    return np.asarray(ignored)


def _scene(
    seed: int,
    ground: Ground,
    layers: Layers,
    told: tuple[NDArray[np.float32], NDArray[np.uint32], NDArray[np.bool_]],
) -> Scene:
    data, planes, ignored = told
    chip = ground.chip
    header = fits.Header()
    values = {
        "instrument": "injected",
        "gain": chip.gain,
        "read_noise": chip.read_noise,
        "saturation": chip.level / chip.gain + chip.bias,
    }
    for name, value in values.items():
        header[DETECTOR_KEYWORDS[name]] = value
    header["SATURATE"] = values["saturation"]
    variance = ground.noise**2 + np.maximum(ground.image + layers.light - ground.sky, 0)
    half = int(np.ceil(4 * ground.optics.fwhm))
    frame = Frame(
        data,
        unit="adu",
        uncertainty=StdDevUncertainty(np.sqrt(variance).astype(np.float32) / chip.gain),
        psf=Psf(ground.optics.drawn(half), computed=True),
        meta=header,
        frame_id=f"injected {seed}",
    )
    notes: dict[str, float | str] = {
        "sky": ground.label,
        "fwhm_pixels": ground.optics.fwhm,
        "psf": ground.optics.kind,
        "noise": ground.noise / chip.gain,
        "gain": chip.gain,
    }
    notes |= {f"trail_{n}": one.told() for n, one in enumerate(layers.passages, start=1)}
    clean = (ground.image / chip.gain + chip.bias).astype(np.float32)
    return Scene(frame, planes, clean, notes=notes, ignored=ignored)
