"""Members of blends: their images on the pixels of any band, and the catalogue of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.image.grid import Grid
from astroclean.core.sources.blendedness import blendedness
from astroclean.core.sources.sources import Sources, SourceStamp
from astroclean.simulate.galaxies import galaxy_stamp
from astroclean.simulate.psfs import HALF, OVERSAMPLING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from astroclean.simulate.band_grids import Band
    from astroclean.simulate.psfs import PsfModel

__all__ = ["Canvas", "Member", "joint_sources", "sources_of", "sum_of"]

_HALF = 35
"""Pixels of the first band from the middle of a stamp to its edge."""


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

    def stamp(self, number: int, member: Member, band: int) -> SourceStamp:
        """Return the light of a member, all of it within the box before its edges are cut."""
        y, x = self.place(member)
        row, column = int(np.rint(y)), int(np.rint(x))
        half = max(_HALF, int(_HALF * self.ratio))
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
        return _cut(number, member.flux[band] * image, (row - half, column - half), self.shape)

    def stamps(self, members: Sequence[Member], band: int) -> list[SourceStamp]:
        """Return the light of all members."""
        return [self.stamp(number, member, band) for number, member in enumerate(members, start=1)]


def sum_of(stamps: Sequence[SourceStamp], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return all stamps on one image."""
    total = np.zeros(shape)
    for stamp in stamps:
        stamp.add_to(total)
    return total


def _cut(
    number: int, image: NDArray[np.float64], corner: tuple[int, int], shape: tuple[int, int]
) -> SourceStamp:
    """Return the part of an image that lies in the frame."""
    (y, x), (ny, nx) = corner, shape
    top, left = max(y, 0), max(x, 0)
    part = image[top - y : ny - y, left - x : nx - x]
    return SourceStamp(number, (top, left), np.ascontiguousarray(part, dtype=np.float32))


def sources_of(
    members: Sequence[Member],
    canvas: Canvas,
    stamps: Sequence[SourceStamp],
    seen: tuple[NDArray[np.float64], NDArray[np.bool_], int],
) -> Sources:
    """Return catalogue, segmentation and stamps of one band."""
    (clean, is_source, index), places = seen, [canvas.place(member) for member in members]
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
        "flux": _electrons(members, index),
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
