"""Holes of compact sources: how large each is by its S/N, and what they cover together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from astroclean.core.stage.options import StageOptions
from astroclean.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = [
    "HoleRule",
    "HoleSizes",
    "Peaks",
    "SourceHoles",
    "disks",
    "measure_peaks",
    "source_holes",
]

_Positive = Annotated[float, Field(gt=0)]
_LEAST_SHARE = 0.25
"""Part of an annulus that must be left without neighbours, else they stay in."""


class HoleRule(StageOptions):
    """How large the hole of a source is, by its S/N (paper, sections 2.4.4 and table 3).

    The defaults are the means of the paper's three bands of scan maps in units of the FWHM of each.
    Instrument files hold the paper's own numbers where it has some.
    """

    hole_unit: Literal["fwhm", "arcsec", "pixel"] = "fwhm"
    """Unit of the lengths below: FWHM of the PSF, arcsec, or pixels."""
    hole_limits: tuple[_Positive, ...] = (4.0, 8.0, 13.0, 140.0, 300.0)
    """S/N, rising, from which on the next larger hole is used."""
    hole_radii: Annotated[tuple[_Positive, ...], Field(min_length=1)] = (
        1.25,
        1.6,
        1.95,
        2.4,
        2.75,
        3.1,
    )
    """Radii of holes; one more than limits."""
    hole_source: _Positive = 2.1
    """Radius of the circle in which the peak of a source is looked for."""
    hole_annulus: tuple[_Positive, _Positive] = (2.7, 5.9)
    """Radii of the annulus in which the background of a source is measured."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.hole_radii) != len(self.hole_limits) + 1:
            raise ValueError(
                f"hole_radii: {len(self.hole_limits)} limits need {len(self.hole_limits) + 1} "
                f"radii, got {len(self.hole_radii)}"
            )
        for name in ("hole_limits", "hole_radii", "hole_annulus"):
            values = getattr(self, name)
            if list(values) != sorted(values):
                raise ValueError(f"{name} must rise, got {list(values)}")
        return self

    def in_pixels(
        self, *, fwhm_pixels: float | None = None, pixel_scale: float | None = None
    ) -> HoleSizes:
        """Return the rule for one frame.

        Parameters
        ----------
        fwhm_pixels : float, optional
            FWHM of its PSF in pixels.
        pixel_scale : float, optional
            Arcsec.

        Returns
        -------
        HoleSizes
            In pixels.

        Raises
        ------
        StageError
            The unit of the rule needs what is not known.
        """
        known = {
            "pixel": 1.0,
            "fwhm": fwhm_pixels,
            "arcsec": 1 / pixel_scale if pixel_scale else None,
        }
        factor = known[self.hole_unit]
        if factor is None:
            missing = {"fwhm": "the PSF", "arcsec": "the pixel scale"}[self.hole_unit]
            raise StageError(
                f"hole radii are in {self.hole_unit}, and {missing} of the frame is not known",
                where="option 'hole_unit'",
                remedy='Give it, or radii in pixels: `hole_unit = "pixel"`, `hole_radii = [...]`.',
            )
        inner, outer = self.hole_annulus
        return HoleSizes(
            self.hole_limits,
            tuple(factor * radius for radius in self.hole_radii),
            factor * self.hole_source,
            (factor * inner, factor * outer),
        )


@dataclass(frozen=True)
class HoleSizes:
    """A `HoleRule` in pixels."""

    limits: tuple[float, ...]
    radii: tuple[float, ...]
    source: float
    annulus: tuple[float, float]

    def radii_of(self, snr: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the radius for each S/N; the largest where it is not known."""
        classes = np.searchsorted(self.limits, np.nan_to_num(snr, nan=np.inf), side="right")
        return np.asarray(self.radii, dtype=np.float64)[classes]


class SourceHoles(NamedTuple):
    """Holes of the sources of a catalogue."""

    holes: NDArray[np.bool_]
    """(ny, nx): the union of all."""
    snr: NDArray[np.float64]
    """Of each source, by the paper's equation 1."""
    radii: NDArray[np.float64]
    """Pixels."""


def source_holes(
    data: NDArray[Any],
    usable: NDArray[np.bool_],
    positions: NDArray[np.float64],
    sizes: HoleSizes,
) -> SourceHoles:
    """Return the holes of sources.

    Everything is measured on the frame as it is, before any source is taken out, so the order of
    the catalogue does not matter.

    Parameters
    ----------
    data : (ny, nx)
        Pixels, any unit.
    usable : (ny, nx) bool
        Pixels to believe.
    positions : (n, 2) float64
        x, y in pixels; the first pixel's center is 0.
    sizes : HoleSizes
        Rule.

    Returns
    -------
    SourceHoles
        Their union, and S/N and radius of each.
    """
    snr = measure_peaks(data, usable, positions, sizes).snr
    radii = sizes.radii_of(snr)
    return SourceHoles(disks(usable.shape, positions, radii), snr, radii)


class Peaks(NamedTuple):
    """Peaks of sources, and the sky around them; NaN where no usable pixel tells."""

    peak: NDArray[np.float64]
    """(n,) greatest pixel of the source circle."""
    mean: NDArray[np.float64]
    """(n,) of the annulus."""
    deviation: NDArray[np.float64]
    """(n,) standard deviation in the annulus."""

    @property
    def snr(self) -> NDArray[np.float64]:
        """``(peak - mean) / deviation`` (paper, equation 1); NaN without scatter."""
        scatter = np.where(self.deviation > 0, self.deviation, np.nan)
        return np.asarray((self.peak - self.mean) / scatter)


def measure_peaks(
    data: NDArray[Any],
    usable: NDArray[np.bool_],
    positions: NDArray[np.float64],
    sizes: HoleSizes,
) -> Peaks:
    """Measure each source in its circle and its annulus (paper, section 2.4.4).

    Unlike in the paper, the smallest holes of other sources are left out of the annulus, unless
    less than a quarter of it would be left: in a crowd their light would count as background.

    Parameters
    ----------
    data, usable, positions, sizes
        As of `source_holes`.

    Returns
    -------
    Peaks
        In the unit of the pixels.
    """
    crowd = disks(usable.shape, positions, np.full(len(positions), sizes.radii[0]))
    inner, outer = sizes.annulus
    found = np.full((3, len(positions)), np.nan)
    for index, box, distance in _boxes(usable.shape, positions, max(outer, sizes.source)):
        near = usable[box] & (distance <= sizes.source)
        ring = usable[box] & (distance >= inner) & (distance <= outer)
        alone = ring & ~crowd[box]
        if np.count_nonzero(alone) >= _LEAST_SHARE * np.count_nonzero(ring):
            ring = alone
        if near.any() and ring.any():
            # In float64: on a high level the squares of float32 values lose the scatter.
            sky = data[box][ring].astype(np.float64)
            found[:, index] = data[box][near].max(), sky.mean(), sky.std()
    return Peaks(*found)


def disks(
    shape: Sequence[int], positions: NDArray[np.float64], radii: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return the union of disks.

    Parameters
    ----------
    shape : (int, int)
        (ny, nx).
    positions : (n, 2) float64
        x, y of their centers in pixels; they may lie outside.
    radii : (n,) float64
        Pixels; a pixel belongs to a disk when its center does.

    Returns
    -------
    (ny, nx) bool
        A new array.
    """
    union = np.zeros(tuple(shape), dtype=bool)
    reach = float(radii.max(initial=0.0))
    for index, box, distance in _boxes(shape, positions, reach):
        union[box] |= distance <= radii[index]
    return union


def _boxes(
    shape: Sequence[int], positions: NDArray[np.float64], reach: float
) -> Iterator[tuple[int, tuple[slice, slice], NDArray[np.float64]]]:
    """Yield index, window and distances of each position whose surroundings are in the frame."""
    for index, (x, y) in enumerate(np.asarray(positions, dtype=np.float64)):
        if not (np.isfinite(x) and np.isfinite(y)):
            continue
        low = [max(int(np.ceil(p - reach)), 0) for p in (y, x)]
        high = [
            min(int(np.floor(p + reach)) + 1, side) for p, side in zip((y, x), shape, strict=True)
        ]
        if low[0] < high[0] and low[1] < high[1]:
            rows, columns = np.arange(low[0], high[0]) - y, np.arange(low[1], high[1]) - x
            box = slice(low[0], high[0]), slice(low[1], high[1])
            yield index, box, np.hypot(rows[:, None], columns[None, :])
