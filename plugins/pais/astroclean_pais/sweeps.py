"""From detections to profiles and fluxes: models by the finder, then two sweeps of the profiles."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.psf.transform import psf_transform
from astroclean.core.sources.sources import SourceStamp
from astroclean_pais.fit import AmplitudeFit, joint_fit
from astroclean_pais.fit_flags import FitFlag
from astroclean_pais.light import model_image
from astroclean_pais.models import elliptical_models, shape_matrix
from astroclean_pais.profiles import SIDES, drawn_profile, profile_inputs, side_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from astroclean.inference.engines.engine import Engine
    from astroclean_pais.detect import Detections

__all__ = ["Drawn", "Pixels", "draw_sources"]

_BATCH = 32
"""Stamps that are drawn together."""
_EMPTY = {
    "flux": np.nan,
    "flux_err": np.nan,
    "neighbor": 0,
    "covariance": 0.0,
    "chi2": np.nan,
    "lit": 0,
    "flags": int(FitFlag.NO_PIXELS),
}
"""What the fit says of a source of which there are no pixels."""
_POINT = 0.02
"""Half-light radius over FWHM below which a source is a point."""


@dataclass(frozen=True, eq=False)
class Pixels:
    """Pixels of one band, all of one shape (ny, nx), in the unit of the frame."""

    light: NDArray[np.float32]
    """Data less the sky."""
    variance: NDArray[np.float64]
    usable: NDArray[np.bool_]
    noise: float
    """Of a typical pixel of sky."""
    fine: NDArray[np.float64]
    """PSF, as `astroclean.core.psf.psf.Psf.fine_at` gives it."""
    fwhm: float
    """Of the PSF, pixels."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Sources with their profiles and fluxes."""

    profiles: list[SourceStamp]
    """Of unit flux through the PSF; boxes may reach beyond the pixels."""
    fit: AmplitudeFit
    """Its images of the pixels are empty once sources were taken."""

    def taken(
        self, rows: NDArray[np.intp], names: NDArray[np.intp] | None, origin: tuple[int, int]
    ) -> Drawn:
        """Return some of the sources, on other pixels.

        Parameters
        ----------
        rows : (m,) int
            Of the sources.
        names : (n,) int or None
            Number that each source has among those of the frame, from 0; None leaves ids.
        origin : (int, int)
            (y, x) of the first pixel in the new ones.
        """
        fit, (y, x) = self.fit, origin
        ids = fit.id if names is None else (np.asarray(names) + 1).astype(np.int32)
        known = self._numbers()
        known[fit.id] = ids
        empty = np.empty((0, 0))
        kept = {
            name: getattr(fit, name)[rows] for name in ("flux", "flux_err", "covariance", "chi2")
        }
        profiles = [
            replace(stamp, id=int(ids[row]), origin=(stamp.origin[0] + y, stamp.origin[1] + x))
            for row, stamp in ((int(row), self.profiles[int(row)]) for row in rows)
        ]
        return Drawn(
            profiles,
            AmplitudeFit(
                id=ids[rows],
                neighbor=known[fit.neighbor[rows]],
                lit=fit.lit[rows],
                flags=fit.flags[rows],
                residual=empty,
                weight=empty,
                **kept,
            ),
        )

    @classmethod
    def joined(cls, parts: Sequence[Drawn]) -> Drawn:
        """Return the sources of several parts; at least one."""
        told = {
            field.name: np.concatenate([getattr(part.fit, field.name) for part in parts])
            for field in fields(AmplitudeFit)
            if field.name not in {"residual", "weight"}
        }
        empty = np.empty((0, 0))
        profiles = [stamp for part in parts for stamp in part.profiles]
        return cls(profiles, AmplitudeFit(**told, residual=empty, weight=empty))

    def filled(self, rows: NDArray[np.intp], count: int) -> Drawn:
        """Return all of so many sources, of which only some rows could be drawn.

        The others have no light, and no flux.
        """
        profiles = [
            SourceStamp(number + 1, (0, 0), np.zeros((1, 1), dtype=np.float32))
            for number in range(count)
        ]
        for row, stamp in zip(rows, self.profiles, strict=True):
            profiles[int(row)] = stamp
        told: dict[str, Any] = {"id": np.arange(1, count + 1, dtype=np.int32)}
        for name, empty in _EMPTY.items():
            values = np.full(count, empty, dtype=getattr(self.fit, name).dtype)
            values[rows] = getattr(self.fit, name)
            told[name] = values
        none = np.empty((0, 0))
        return Drawn(profiles, AmplitudeFit(**told, residual=none, weight=none))

    def numbered(self, rows: NDArray[np.intp]) -> Drawn:
        """Return some of the sources with ids from 1; a neighbor that is left out is none."""
        part = self.taken(rows, None, (0, 0))
        ids = np.arange(1, len(rows) + 1, dtype=np.int32)
        known = self._numbers()
        known[part.fit.id] = ids
        neighbor = known[part.fit.neighbor]
        covariance = np.where(neighbor > 0, part.fit.covariance, 0.0)
        fit = replace(part.fit, id=ids, neighbor=neighbor, covariance=covariance)
        profiles = [
            replace(stamp, id=int(number)) for number, stamp in zip(ids, part.profiles, strict=True)
        ]
        return Drawn(profiles, fit)

    def _numbers(self) -> NDArray[np.int32]:
        """Return zeros for each id that is named; a neighbor may be a source of another part."""
        most = max(int(self.fit.id.max(initial=0)), int(self.fit.neighbor.max(initial=0)))
        return np.zeros(most + 1, dtype=np.int32)

    def models(self, band: str) -> list[SourceStamp]:
        """Return the light of the sources in the unit of the frame; nothing without a flux."""
        flux = np.nan_to_num(self.fit.flux)
        return [
            replace(stamp, data=(amount * stamp.data).astype(np.float32), band=band)
            for stamp, amount in zip(self.profiles, flux, strict=True)
        ]


def draw_sources(found: Detections, pixels: Pixels, engine: Engine, *, sweeps: int) -> Drawn:
    """Draw the profiles of detected sources, and fit their fluxes.

    Parameters
    ----------
    found : Detections
        Sources; places in pixels of the image.
    pixels : Pixels
        The image.
    engine : Engine
        Of the profile network.
    sweeps : int
        How often all profiles are drawn; 0 leaves the exponential disks of the finder.

    Returns
    -------
    Drawn
        In the order of the detections.
    """
    places = np.column_stack([found.y, found.x])
    middle = np.rint(places).astype(np.intp)
    radius = np.where(found.radius < _POINT * pixels.fwhm, 0.0, found.radius)
    matrices = shape_matrix(radius, found.e1, found.e2)
    sides = side_of(radius, pixels.fwhm)
    stamps = _Stamps(middle, sides, pixels)
    profiles = stamps.models(places - middle, matrices)
    psfs = stamps.models(places - middle, np.zeros_like(matrices))
    fit = _fitted(profiles, pixels)
    for _ in range(sweeps):
        profiles = stamps.redrawn(profiles, psfs, fit, engine)
        fit = _fitted(profiles, pixels)
    return Drawn(profiles, fit)


def _fitted(profiles: Sequence[SourceStamp], pixels: Pixels) -> AmplitudeFit:
    return joint_fit(profiles, pixels.light, pixels.variance, pixels.usable)


class _Stamps:
    """The boxes of sources on an image, in groups of one side."""

    def __init__(self, middle: NDArray[np.intp], sides: NDArray[np.intp], pixels: Pixels) -> None:
        self._middle, self._sides, self._pixels = middle, sides, pixels
        self._room = max(SIDES)

    def _groups(self) -> list[tuple[int, NDArray[np.intp]]]:
        """Return sides and rows; a batch never depends on what is far away in another image."""
        groups = []
        for side in SIDES:
            rows = np.flatnonzero(self._sides == side)
            groups += [(side, rows[k : k + _BATCH]) for k in range(0, len(rows), _BATCH)]
        return groups

    def models(
        self, offsets: NDArray[np.float64], matrices: NDArray[np.float64]
    ) -> list[SourceStamp]:
        """Return exponential disks of unit flux."""
        kept: dict[int, SourceStamp] = {}
        transforms: dict[int, Any] = {}
        for side, rows in self._groups():
            if side not in transforms:
                transforms[side] = psf_transform(self._pixels.fine, side)
            drawn = elliptical_models(transforms[side], offsets[rows], matrices[rows], side)
            kept |= self._stamps(rows, side, np.maximum(drawn, 0))
        return [kept[row] for row in range(len(offsets))]

    def _stamps(
        self, rows: NDArray[np.intp], side: int, images: NDArray[np.float32]
    ) -> dict[int, SourceStamp]:
        corners = self._middle[rows] - side // 2
        return {
            int(row): SourceStamp(int(row) + 1, (int(y), int(x)), image)
            for row, (y, x), image in zip(rows, corners, images, strict=True)
        }

    def redrawn(
        self,
        profiles: Sequence[SourceStamp],
        psfs: Sequence[SourceStamp],
        fit: AmplitudeFit,
        engine: Engine,
    ) -> list[SourceStamp]:
        """Return profiles as the network draws them from the data less all other sources."""
        pixels = self._pixels
        # A source without positive light is no light; its profile is drawn from what is there.
        flux = np.where(np.isfinite(fit.flux), np.maximum(fit.flux, 0), 0.0)
        every = model_image(profiles, flux, pixels.light.shape) / pixels.noise
        light, total, usable = (
            np.pad(image, self._room)
            for image in (pixels.light / pixels.noise, every, pixels.usable)
        )
        floor = 3 * fit.flux_err / pixels.noise
        kept: dict[int, SourceStamp] = {}
        for side, rows in self._groups():
            boxes = [self._box(row, side) for row in rows]
            unit, psf = (
                np.stack([stamps[row].data for row in rows]) for stamps in (profiles, psfs)
            )
            amount = (flux[rows] / pixels.noise)[:, np.newaxis, np.newaxis]
            least = np.nan_to_num(floor[rows], nan=1.0)[:, np.newaxis, np.newaxis]
            seen, whole, valid = (
                np.stack([image[box] for box in boxes]) for image in (light, total, usable)
            )
            inputs = profile_inputs(
                seen, np.maximum(amount, least) * unit, psf, whole - amount * unit, valid
            )
            answer = engine.infer({"stamp": inputs})["profile"]
            kept |= self._stamps(rows, side, drawn_profile(answer, unit))
        return [kept[row] for row in range(len(profiles))]

    def _box(self, row: int, side: int) -> tuple[slice, slice]:
        y, x = self._middle[row] - side // 2 + self._room
        return slice(y, y + side), slice(x, x + side)
