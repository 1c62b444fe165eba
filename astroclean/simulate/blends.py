"""Blended galaxies, with the image of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from astropy.nddata import StdDevUncertainty

from astroclean.core.frame import Frame
from astroclean.core.options import Options
from astroclean.core.planes import MaskPlane
from astroclean.core.sources import Sources, SourceStamp
from astroclean.simulate.detector import Camera, CameraRange, draw_camera
from astroclean.simulate.draws import Range, log_uniform, uniform, whole
from astroclean.simulate.galaxies import KINDS, GalaxyRange, draw_galaxy, galaxy_stamp
from astroclean.simulate.psfs import OVERSAMPLING, PsfRange, draw_psf
from astroclean.simulate.scene import Scene

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.simulate.psfs import PsfModel

__all__ = ["BlendConfig", "simulate_blends"]

_PER = 256 * 256
_SIDE = 71
"""Pixels of the stamps of the truth."""


class BlendConfig(Options):
    """What blends are drawn from."""

    groups: Range = (6.0, 16.0)
    """In 256 x 256 pixels."""
    members: tuple[int, int] = (1, 4)
    separation: Range = (0.8, 3.5)
    """Between members of a group, in FWHM."""
    snr: Range = (15.0, 400.0)
    """Flux over the noise of a matched filter for a point source."""
    stars: float = 0.15
    """Share of point sources among the members."""
    galaxy: GalaxyRange = GalaxyRange(half_light_radius=(1.2, 5.0))
    psf: PsfRange = PsfRange(fwhm=(2.5, 5.5), kinds=("moffat", "kolmogorov"))
    camera: CameraRange = CameraRange()


def simulate_blends(
    *, seed: int, shape: tuple[int, int] = (256, 256), config: BlendConfig | None = None
) -> Scene:
    """Simulate blended galaxies on an empty sky.

    Parameters
    ----------
    seed : int
        The same seed gives the same bytes.
    shape : (int, int)
        (ny, nx) in pixels.
    config : BlendConfig, optional
        Ranges.

    Returns
    -------
    Scene
        ``frame`` in electrons with the sky taken off; ``clean`` without noise; ``sources`` with
        flux (electrons), ``blendedness`` and the stamp of each; ``planes`` has SOURCE where
        their light exceeds the noise.
    """
    config = config or BlendConfig()
    rng = np.random.default_rng(seed)
    camera, psf = draw_camera(rng, config.camera), draw_psf(rng, config.psf)
    stamps, rows = _draw_members(rng, shape, psf, camera, config)
    clean = np.zeros(shape)
    for stamp in stamps:
        clean[stamp.slices()] += stamp.data
    data = camera.expose(clean + camera.sky, rng) - camera.sky
    data += camera.read_noise * rng.standard_normal(shape)
    variance = clean + camera.sky + camera.read_noise**2
    frame = Frame(
        data,
        unit="electron",
        uncertainty=StdDevUncertainty(np.sqrt(variance).astype(np.float32)),
        psf=psf.psf,
        meta=camera.meta(),
        frame_id=f"blends {seed}",
    )
    is_source = clean > camera.noise
    return Scene(
        frame,
        planes=np.where(is_source, np.uint32(MaskPlane.SOURCE), np.uint32(0)),
        clean=clean.astype(np.float32),
        sources=_sources(stamps, rows, clean, is_source),
        notes={"fwhm_pixels": psf.fwhm_pixels, "noise": camera.noise},
    )


def _draw_members(
    rng: np.random.Generator,
    shape: tuple[int, int],
    psf: PsfModel,
    camera: Camera,
    config: BlendConfig,
) -> tuple[list[SourceStamp], list[tuple[float, float, float, str]]]:
    ny, nx = shape
    aperture = camera.noise / np.sqrt(np.sum(psf.stamp() ** 2))
    stamps: list[SourceStamp] = []
    rows: list[tuple[float, float, float, str]] = []
    for _ in range(max(int(rng.poisson(log_uniform(rng, config.groups) * ny * nx / _PER)), 1)):
        place = np.array([rng.integers(0, ny), rng.integers(0, nx)], dtype=float)
        for _ in range(whole(rng, config.members)):
            y, x = place
            if not (0 <= y <= ny - 1 and 0 <= x <= nx - 1):
                break
            flux = log_uniform(rng, config.snr) * aperture
            image, kind = _member(rng, psf, config, (y - np.rint(y), x - np.rint(x)))
            corner = int(np.rint(y)) - _SIDE // 2, int(np.rint(x)) - _SIDE // 2
            stamps.append(_cut(len(stamps) + 1, flux * image, corner, shape))
            rows.append((x, y, flux, kind))
            angle, step = uniform(rng, (0, 2 * np.pi)), uniform(rng, config.separation)
            place = place + step * psf.fwhm_pixels * np.array([np.sin(angle), np.cos(angle)])
            place = np.rint(place * OVERSAMPLING) / OVERSAMPLING
    return stamps, rows


def _member(
    rng: np.random.Generator, psf: PsfModel, config: BlendConfig, offset: tuple[float, float]
) -> tuple[NDArray[np.float64], str]:
    """Return the image of one member, of flux 1 within its stamp, and what it is."""
    if rng.random() < config.stars:
        phase = int(np.rint(offset[0] * OVERSAMPLING)), int(np.rint(offset[1] * OVERSAMPLING))
        return psf.stamp(phase, half=_SIDE // 2), "star"
    kind = str(rng.choice(KINDS))
    radius = log_uniform(rng, config.galaxy.half_light_radius)
    profile = draw_galaxy(rng, config.galaxy, kind=kind, radius=radius)
    image = galaxy_stamp(profile, psf, side=_SIDE, offset=offset)
    return image / image.sum(), kind


def _cut(
    number: int, image: NDArray[np.float64], corner: tuple[int, int], shape: tuple[int, int]
) -> SourceStamp:
    """Return the part of an image that lies in the frame."""
    (y, x), (ny, nx) = corner, shape
    top, left = max(y, 0), max(x, 0)
    part = image[top - y : ny - y, left - x : nx - x]
    return SourceStamp(number, (top, left), np.ascontiguousarray(part, dtype=np.float32))


def _sources(
    stamps: list[SourceStamp],
    rows: list[tuple[float, float, float, str]],
    clean: NDArray[np.float64],
    is_source: NDArray[np.bool_],
) -> Sources:
    import astropy.units as u  # noqa: PLC0415 - half a second to import
    from astropy.table import QTable  # noqa: PLC0415 - same

    strongest = np.zeros(clean.shape)
    segmentation = np.zeros(clean.shape, dtype=np.int32)
    blendedness = []
    for stamp in stamps:
        box = stamp.slices()
        wins = stamp.data > strongest[box]
        strongest[box][wins] = stamp.data[wins]
        segmentation[box][wins] = stamp.id
        # 1 - S.S / S.M, weighted by the source's own light (Bosch et al. 2018).
        own, every = np.sum(stamp.data.astype(float) ** 2), np.sum(stamp.data * clean[box])
        blendedness.append(1 - own / max(every, 1e-30))
    table = QTable(
        {
            "id": np.arange(1, len(rows) + 1),
            "x": [row[0] for row in rows],
            "y": [row[1] for row in rows],
            "flux": [row[2] for row in rows] * u.electron,
            "kind": [row[3] for row in rows],
            "blendedness": np.clip(blendedness, 0, 1),
        }
    )
    return Sources(table, np.where(is_source, segmentation, 0).astype(np.int32), tuple(stamps))
