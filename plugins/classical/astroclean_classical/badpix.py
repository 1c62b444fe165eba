"""`badpix`: bad pixels and lines from a map, a drawing, or the statistics of the frame."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Annotated, Self

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from astroclean.core.flags.bitflags import BitFlags  # noqa: TC001 - read by pydantic
from astroclean.core.flags.planes import MaskPlane, parse_planes
from astroclean.core.length import IN_PIXELS
from astroclean.core.stage.kinds.mask import Masker
from astroclean.core.stage.low_pixels import far_below_sky
from astroclean.core.stage.needs import Provides
from astroclean.core.stage.options import StageOptions
from astroclean.core.stage.resources import (  # noqa: TC001 - read by pydantic
    ImageResource,
    RegionResource,
)
from astroclean.core.stage.results import Mask
from astroclean.core.stage.scope import WHOLE, Scope
from astroclean.errors import AstrocleanWarning, PlaneError
from astroclean_classical.bad_map import BadMap
from astroclean_classical.filling import nearest_filled
from astroclean_classical.flanks import around_cores
from astroclean_classical.lines import found_lines
from astroclean_classical.star_lines import full_pixels, star_cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["BadPixels", "BadPixelsOptions"]

_PIXEL_BOX, _NOISE_BOX = 5, 32

_MEASURED = (
    MaskPlane.BAD_PIXEL
    | MaskPlane.HOT_PIXEL
    | MaskPlane.DEAD_PIXEL
    | MaskPlane.HOT_LINE
    | MaskPlane.DEAD_LINE
)
# What a person may see in a frame; the others tell what stages did, or what holds no value.
_DRAWABLE = (
    _MEASURED
    | MaskPlane.union(
        plane
        for plane in MaskPlane
        if plane.bit <= MaskPlane.SUSPECT.bit or plane.bit >= MaskPlane.USER_0.bit
    )
    & ~MaskPlane.NO_DATA
)


def _drawable(name: str) -> str:
    try:
        plane = parse_planes(name)
    except PlaneError as error:
        # pydantic collects ValueErrors into one report.
        raise ValueError(str(error)) from error
    if plane not in _DRAWABLE or plane.bit_count() != 1:
        known = ", ".join(str(p.name) for p in MaskPlane if p in _DRAWABLE)
        raise ValueError(f"name one of {known}")
    return str(plane.name)


class BadPixelsOptions(StageOptions):
    """Settings of :class:`BadPixels`."""

    map: ImageResource | None = None
    """FITS image of bad pixels (not zero = bad), or a 2-D array in Python."""
    bad_bits: BitFlags | None = None
    """Bits of the map that are bad, and no others, in the syntax of astropy's bit flags, such as
    ``"1,4096"`` or ``"~4096"`` (all but this); none: every value but 0."""
    good_bits: BitFlags | None = None
    """Or, bits of the map that are not bad, while all others are."""
    regions: RegionResource | None = None
    """DS9 region file of what a person has drawn: pixels whose centres lie in a region are bad,
    those in an excluded region (a leading minus) are not. With ``{stem}`` in the path, an input
    without such a file is noted, and nothing is drawn on it."""
    regions_plane: Annotated[str, AfterValidator(_drawable)] = "BAD_PIXEL"
    """Plane, by name or alias, of pixels in regions."""
    statistics: bool | None = None
    """Whether the frame itself is searched; none: only without a map and regions."""
    hot_sigma: Annotated[float, Field(gt=0, le=1000)] = 8.0
    """Height of a hot pixel over its surroundings, in standard deviations of the noise."""
    dead_sigma: Annotated[float, Field(gt=0, le=1000)] = 8.0
    """Depth of a dead pixel, in the same."""
    neighbor_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Highest neighbor of a bad pixel as a fraction of the pixel (no unit): stars are wider. Lower
    it for undersampled stars."""
    line_sigma: Annotated[float, Field(gt=0, le=1000)] = 8.0
    """Deviation of a line from the lines beside it, in standard deviations of such deviations."""
    line_length: Annotated[int, Field(ge=16, le=100000), IN_PIXELS] = 64
    """Lines are judged in pieces of this length that overlap by half, in pixels; a piece is flagged
    as a whole."""
    rows: bool = True
    """Whether rows are searched as well as columns."""

    @model_validator(mode="after")
    def _bits_of_a_map(self) -> Self:
        given = [n for n in ("bad_bits", "good_bits") if getattr(self, n) is not None]
        if len(given) > 1:
            raise ValueError("bad_bits and good_bits say the same; give one of them")
        if given and self.map is None:
            raise ValueError(f"{given[0]} tells what values of a map mean; give `map`")
        return self


class BadPixels(Masker):
    """Flags bad pixels: BAD_PIXEL from a map; what is drawn; hot and dead ones from statistics.

    One frame cannot tell a hot pixel from a cosmic ray of one pixel; a map from darks can.
    """

    sets = _DRAWABLE
    Options = BadPixelsOptions

    def provides(self) -> Provides:
        """Return the planes of map and statistics, and that of regions where there are any."""
        if self.options.regions is None:
            return Provides(planes=_MEASURED)
        return Provides(planes=_MEASURED | parse_planes(self.options.regions_plane))

    def scope(self, frame: Frame) -> Scope:  # noqa: ARG002 - the same for every frame
        """Return a pixel for map and regions alone; all of the frame where that is searched."""
        return WHOLE if self._is_searched() else Scope(0)

    def _is_searched(self) -> bool:
        told = self.options.statistics
        if told is not None:
            return bool(told)
        return self.options.map is None and self.options.regions is None

    def find(self, frame: Frame) -> Mask:
        """Return the bad pixels.

        Parameters
        ----------
        frame : Frame
            Any unit. Not modified.

        Returns
        -------
        Mask
            Metrics ``hot lines`` and ``dead lines`` count columns and rows that are so anywhere,
            ``regions`` those that mark pixels of the frame. Trails and spikes of stars are no
            lines; of lines that go through a star, the pixels upon it are not flagged.

        Raises
        ------
        StageError
            The map does not fit the frame, or holds fractions where bits are asked for; regions
            cannot lie on the frame.
        """
        flags = np.zeros(frame.shape, dtype=np.uint32)
        metrics: dict[str, float] = {}
        if self.options.map is not None:
            bits = {"bad_bits": self.options.bad_bits, "good_bits": self.options.good_bits}
            self._mark_map(BadMap(self.options.map, **bits), frame, flags)
        if self.options.regions is not None:
            metrics |= self._drawn(self.options.regions, frame, flags)
        if self._is_searched():
            bad = ~frame.usable | (flags != 0)
            if not bad.all():
                metrics |= self._search(frame, bad, flags)
        return Mask(flags, metrics=metrics)

    def _mark_map(self, given: BadMap, frame: Frame, flags: NDArray[np.uint32]) -> None:
        """Add what a map marks to ``flags``, which is this stage's own array."""
        where = self.where(frame)
        flags[given.bad_in(frame, where=where)] |= np.uint32(MaskPlane.BAD_PIXEL)
        for note in given.notes(frame, where=where):
            warnings.warn(f"{where}: {note}", AstrocleanWarning, stacklevel=3)

    def _drawn(
        self, regions: RegionResource, frame: Frame, flags: NDArray[np.uint32]
    ) -> dict[str, float]:
        """Add what a person has drawn to ``flags``, which is this stage's own array."""
        drawn = regions.drawn_on(frame)
        for note in drawn.notes:
            text = f"{self.where(frame)}: {note}"
            warnings.warn(text, AstrocleanWarning, stacklevel=3)
        flags[drawn.where] |= np.uint32(parse_planes(self.options.regions_plane))
        return {"regions": float(drawn.count)}

    def _search(
        self, frame: Frame, bad: NDArray[np.bool_], flags: NDArray[np.uint32]
    ) -> dict[str, float]:
        """Add what statistics find to ``flags``, which is this stage's own array."""
        data = nearest_filled(frame.data, bad)
        full, is_flagged = full_pixels(frame)
        # A star that is flagged is filled in `data`, and its trail would come out of nothing.
        cores = star_cores(np.where(np.isfinite(frame.data), frame.data, data), full)
        lines = np.zeros(data.shape, dtype=bool)
        counts = {"hot lines": 0, "dead lines": 0}
        left = False
        for axis in (0, 1) if self.options.rows else (0,):
            found = found_lines(
                data,
                bad,
                cores,
                axis=axis,
                length=self.options.line_length,
                sigma=self.options.line_sigma,
            )
            flags[found.hot] |= np.uint32(MaskPlane.HOT_LINE)
            flags[found.dead] |= np.uint32(MaskPlane.DEAD_LINE)
            lines |= found.hot | found.dead
            left |= bool((found.of_stars & full).any())
            counts["hot lines"] += int(np.count_nonzero(found.hot.any(axis=axis)))
            counts["dead lines"] += int(np.count_nonzero(found.dead.any(axis=axis)))
        if left and not is_flagged:
            self._tell_unflagged(frame)
        low = far_below_sky(frame, self.options.dead_sigma) & ~bad & ~lines
        usable = ~bad & ~lines & ~low
        flat, noise = _residual(np.where(low, nearest_filled(data, low), data), ~usable)
        context = {"usable": usable, "neighbor_fraction": self.options.neighbor_fraction}
        hot_pixels = _isolated(flat, noise * self.options.hot_sigma, **context)
        dead_pixels = _isolated(-flat, noise * self.options.dead_sigma, **context)
        flags[hot_pixels] |= np.uint32(MaskPlane.HOT_PIXEL)
        flags[dead_pixels] |= np.uint32(MaskPlane.DEAD_PIXEL)
        flags[around_cores(full)] &= ~np.uint32(MaskPlane.HOT_PIXEL | MaskPlane.DEAD_PIXEL)
        # No light of a star is below the sky.
        flags[low] |= np.uint32(MaskPlane.DEAD_PIXEL)
        return {name: float(count) for name, count in counts.items()}

    def _tell_unflagged(self, frame: Frame) -> None:
        """Tell of saturated stars that no stage before has flagged."""
        was_asked = any(entry.plugin == "saturation" for entry in frame.history)
        text = (
            f"{self.where(frame)}: stars are saturated, and no stage before has "
            "flagged them; their trails are left. "
        ) + (
            "Give the stage `saturation` the option `level`, a value or 'clipped'"
            if was_asked
            else "Put `saturation` before this stage"
        )
        warnings.warn(text, AstrocleanWarning, stacklevel=4)


def _residual(
    data: NDArray[np.float32], bad: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the image over its local median, and the noise around each pixel."""
    import sep  # noqa: PLC0415 - heavy
    from scipy.ndimage import median_filter  # noqa: PLC0415 - heavy

    flat = data - median_filter(data, size=_PIXEL_BOX, mode="reflect")
    noise = sep.Background(flat, mask=bad, bw=_NOISE_BOX, bh=_NOISE_BOX)
    # Quiet boxes do not make a pixel conspicuous that is usual in the frame.
    return flat, np.maximum(noise.rms(), np.float32(noise.globalrms))


def _isolated(
    flat: NDArray[np.float32],
    least: NDArray[np.float32],
    *,
    usable: NDArray[np.bool_],
    neighbor_fraction: float,
) -> NDArray[np.bool_]:
    """Return usable pixels above ``least`` whose usable neighbors all stay far below them."""
    from scipy.ndimage import maximum_filter  # noqa: PLC0415 - heavy

    ring = np.ones((3, 3), dtype=bool)
    ring[1, 1] = False
    # Neither filled pixels nor what lies beyond the border count as neighbors.
    known = np.where(usable, flat, np.float32(-np.inf))
    highest = maximum_filter(known, footprint=ring, mode="constant", cval=-np.inf)
    found: NDArray[np.bool_] = (flat > least) & (highest <= neighbor_fraction * flat)
    return found & usable & (least > 0)
