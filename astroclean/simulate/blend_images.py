"""Members of blends: images on the pixels of any band, exposures of them, and the catalogue."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.nddata import StdDevUncertainty

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.image.grid import Grid
from astroclean.core.sources.blendedness import blendedness
from astroclean.core.sources.sources import Sources, SourceStamp
from astroclean.simulate.galaxies import galaxy_stamp
from astroclean.simulate.psfs import HALF, OVERSAMPLING
from astroclean.simulate.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from astroclean.simulate.band_grids import Band
    from astroclean.simulate.psfs import PsfModel

__all__ = ["Canvas", "Member", "Shown", "cut_stamp", "exposed", "joint_sources", "sum_of"]

_HALF = 35


@dataclass(frozen=True, eq=False)
class Member:
    """A source, in pixels of the first band."""

    x: float
    y: float
    kind: str
    flux: tuple[float, ...]
    """Electrons, one a band."""
    profiles: tuple[Any, ...]
    """galsim.GSObject or None for a star, one a band."""
    half: int = _HALF
    """Pixels of the first band from the middle of its stamp to the edge."""


@dataclass(frozen=True, eq=False)
class Canvas:
    """Pixels on which members are drawn, with a PSF."""

    psf: PsfModel
    shape: tuple[int, int]
    middle: tuple[float, float]
    """(y, x) of the middle of the first band, in its pixels."""
    ratio: float = 1.0
    """Pixels along one of the first band."""

    def place(self, member: Member) -> tuple[float, float]:
        """Return (y, x) of a member."""
        if self.ratio == 1:
            return member.y, member.x
        away = member.y - self.middle[0], member.x - self.middle[1]
        y, x = (
            self.ratio * shift + (side - 1) / 2
            for shift, side in zip(away, self.shape, strict=True)
        )
        return y, x

    def image(self, member: Member, band: int) -> tuple[NDArray[np.float64], tuple[int, int]]:
        """Return the light of a member in its box, of sum 1, and (y, x) of its first pixel."""
        y, x = self.place(member)
        row, column = int(np.rint(y)), int(np.rint(x))
        half = max(member.half, int(member.half * self.ratio))
        profile, offset = member.profiles[band], (y - row, x - column)
        if profile is None and self.ratio == 1:
            phase = int(np.rint(offset[0] * OVERSAMPLING)), int(np.rint(offset[1] * OVERSAMPLING))
            image = self.psf.stamp(phase, half=half)
        elif profile is None:
            half = min(half, HALF)
            image = self.psf.placed(offset, half=half)
        else:
            profile = profile if self.ratio == 1 else profile.dilate(self.ratio)
            image = galaxy_stamp(profile, self.psf, side=2 * half + 1, offset=offset)
            image = image / image.sum()
        return image, (row - half, column - half)

    def stamp(self, number: int, member: Member, band: int) -> SourceStamp:
        """Return the light of a member, all of it within the box before its edges are cut."""
        image, corner = self.image(member, band)
        return cut_stamp(number, member.flux[band] * image, corner, self.shape)

    def stamps(self, members: Sequence[Member], band: int) -> list[SourceStamp]:
        """Return the light of all members."""
        return [self.stamp(number, member, band) for number, member in enumerate(members, start=1)]


@dataclass(frozen=True, eq=False)
class Shown:
    """Members as one band shows them, without noise."""

    members: Sequence[Member]
    canvas: Canvas
    stamps: Sequence[SourceStamp]
    """One of each member, in their order."""
    index: int = 0
    """Which of their fluxes is that of the band."""


def exposed(rng: np.random.Generator, seen: Band, shown: Shown, *, name: str) -> Scene:
    """Return one exposure of a band with its truth; the sky is taken off.

    Parameters
    ----------
    rng : Generator
        Draws the noise.
    seen : Band
        Camera, PSF and WCS.
    shown : Shown
        What there is to see.
    name : str
        ``frame_id``.
    """
    camera, shape = seen.camera, shown.canvas.shape
    clean = sum_of(shown.stamps, shape)
    data = camera.expose(clean + camera.sky, rng) - camera.sky
    data += camera.read_noise * rng.standard_normal(shape)
    variance = clean + camera.sky + camera.read_noise**2
    frame = Frame(
        data,
        unit="electron",
        uncertainty=StdDevUncertainty(np.sqrt(variance).astype(np.float32)),
        psf=seen.psf.psf,
        wcs=seen.wcs,
        meta=seen.meta(),
        frame_id=name,
    )
    is_source = clean > camera.noise
    return Scene(
        frame,
        planes=np.where(is_source, np.uint32(MaskPlane.SOURCE), np.uint32(0)),
        clean=clean.astype(np.float32),
        sources=_sources_of(shown, clean, is_source),
        notes={"fwhm_pixels": seen.psf.fwhm_pixels, "noise": camera.noise},
    )


def sum_of(stamps: Sequence[SourceStamp], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return all stamps on one image."""
    total = np.zeros(shape)
    for stamp in stamps:
        stamp.add_to(total)
    return total


def cut_stamp(
    number: int, image: NDArray[np.float64], corner: tuple[int, int], shape: tuple[int, int]
) -> SourceStamp:
    """Return the part of an image with its first pixel at ``corner`` that lies in the frame."""
    (y, x), (ny, nx) = corner, shape
    top, left = max(y, 0), max(x, 0)
    part = image[top - y : ny - y, left - x : nx - x]
    return SourceStamp(number, (top, left), np.ascontiguousarray(part, dtype=np.float32))


def _sources_of(shown: Shown, clean: NDArray[np.float64], is_source: NDArray[np.bool_]) -> Sources:
    """Return catalogue, segmentation and stamps of one band."""
    members, stamps = shown.members, shown.stamps
    places = [shown.canvas.place(member) for member in members]
    strongest = np.zeros(clean.shape)
    segmentation = np.zeros(clean.shape, dtype=np.int32)
    blends = []
    for stamp in stamps:
        box = stamp.slices()
        wins = stamp.data > strongest[box]
        strongest[box][wins] = stamp.data[wins]
        segmentation[box][wins] = stamp.id
        blends.append(blendedness(stamp.data, clean[box]))
    columns = {
        "x": [x for _, x in places],
        "y": [y for y, _ in places],
        "flux": _electrons(members, shown.index),
        "kind": [member.kind for member in members],
        "blendedness": np.clip(blends, 0, 1),
    }
    labels = np.where(is_source, segmentation, 0).astype(np.int32)
    return Sources(_table(columns), labels, tuple(stamps))


def joint_sources(
    members: Sequence[Member], bands: Sequence[Band], stamps: Mapping[str, Sequence[SourceStamp]]
) -> Sources:
    """Return the catalogue of all bands on the pixels of the first, and the stamps of each."""
    columns = {
        "x": [member.x for member in members],
        "y": [member.y for member in members],
        "kind": [member.kind for member in members],
        **{f"flux_{band.name}": _electrons(members, i) for i, band in enumerate(bands)},
    }
    images = tuple(replace(one, band=band) for band, own in stamps.items() for one in own)
    first = bands[0]
    sources = Sources(_table(columns), None, images, Grid(first.shape, first.wcs))
    return sources.with_sky(first.wcs)


def _electrons(members: Sequence[Member], index: int) -> Any:
    import astropy.units as u  # noqa: PLC0415 - half a second to import

    return [member.flux[index] for member in members] * u.electron


def _table(columns: dict[str, Any]) -> Any:
    from astropy.table import QTable  # noqa: PLC0415 - half a second to import

    count = len(next(iter(columns.values())))
    return QTable({"id": np.arange(1, count + 1), **columns})
