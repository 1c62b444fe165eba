"""Bands of one field: the camera, PSF and pixels of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from astropy.wcs import WCS
from pydantic import BeforeValidator, Field

from astroclean.core.image.detector import DETECTOR_KEYWORDS
from astroclean.core.stage.options import Options
from astroclean.simulate.detector import Camera, draw_camera
from astroclean.simulate.draws import Range  # noqa: TC001 - pydantic reads the annotations
from astroclean.simulate.psfs import PsfModel, draw_psf

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from astropy.io import fits

    from astroclean.simulate.detector import CameraRange
    from astroclean.simulate.psfs import PsfRange

__all__ = ["Band", "BandRange", "Bands", "draw_bands", "make_wcs"]

_CENTER = 150.1, 2.2
"""ICRS of the middle of every field, deg."""


class BandRange(Options):
    """What is a band's own; the rest is drawn for it as for a single band."""

    pixel_scale: float = Field(default=0.4, gt=0)
    """Arcsec."""
    fwhm: Range | None = None
    """Pixels of the band; None: as of a single band."""
    sky: Range | None = None
    """Electrons a pixel, which sets the depth; None: as of a single band."""


def _by_name(told: Any) -> Any:
    """Return bands by name, where their names alone are told."""
    if isinstance(told, str):
        told = [name for name in map(str.strip, told.split(",")) if name]
    if not isinstance(told, (list, tuple)):
        return told
    if not told:
        raise ValueError("names no band; as in bands=g,r, or leave it out for one image")
    if len(set(told)) != len(told):
        raise ValueError("a band is named twice")
    return {name: {} for name in told}


Bands = Annotated[
    dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_+-]*$")], BandRange],
    BeforeValidator(_by_name),
]
"""Band to what is its own, from blue to red; names alone, ``"g,r"``, do."""


@dataclass(frozen=True, eq=False)
class Band:
    """The pixels of a band, and what looks through them."""

    name: str
    camera: Camera
    psf: PsfModel
    shape: tuple[int, int]
    """(ny, nx) in its own pixels."""
    ratio: float = 1.0
    """Its pixels along one of the first band."""
    wcs: WCS | None = None
    pixel_scale: float | None = None
    """Arcsec; None: that of the camera."""

    def meta(self) -> fits.Header:
        """Return what ``Frame.meta`` holds of the camera and the band."""
        header = self.camera.meta()
        if self.pixel_scale is not None:
            header[DETECTOR_KEYWORDS["pixel_scale"]] = self.pixel_scale
            header[DETECTOR_KEYWORDS["filter"]] = self.name
        return header


def draw_bands(
    rng: np.random.Generator,
    shape: tuple[int, int],
    bands: Mapping[str, BandRange],
    *,
    camera: CameraRange,
    psf: PsfRange,
) -> list[Band]:
    """Draw camera and PSF of each band.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    shape : (int, int)
        (ny, nx) of the first band; the others see the same field, to half a pixel at its edges.
    bands : mapping of str to BandRange
        Empty: one band without name and WCS.
    camera, psf : CameraRange, PsfRange
        What they are drawn from where a band does not tell.

    Returns
    -------
    list of Band
        In order. All have the same middle.
    """
    if not bands:
        return [Band("", draw_camera(rng, camera), draw_psf(rng, psf), shape)]
    first = next(iter(bands.values())).pixel_scale
    drawn = []
    for name, limits in bands.items():
        ratio = first / limits.pixel_scale
        sides = max(round(shape[0] * ratio), 1), max(round(shape[1] * ratio), 1)
        skies, widths = limits.sky or camera.sky, limits.fwhm or psf.fwhm
        drawn.append(
            Band(
                name,
                draw_camera(rng, camera.model_copy(update={"sky": skies})),
                draw_psf(rng, psf.model_copy(update={"fwhm": widths})),
                sides,
                ratio,
                make_wcs(sides, limits.pixel_scale),
                limits.pixel_scale,
            )
        )
    return drawn


def make_wcs(shape: tuple[int, int], pixel_scale: float) -> WCS:
    """Return a tangential WCS with north up whose middle is that of every field.

    Parameters
    ----------
    shape : (int, int)
        (ny, nx) in pixels.
    pixel_scale : float
        Arcsec.
    """
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval = _CENTER
    wcs.wcs.crpix = (shape[1] + 1) / 2, (shape[0] + 1) / 2
    wcs.wcs.cdelt = -pixel_scale / 3600, pixel_scale / 3600
    wcs.wcs.cunit = "deg", "deg"
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.set()
    return wcs
