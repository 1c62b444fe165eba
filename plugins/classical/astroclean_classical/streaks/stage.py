"""`streaks`: straight trails of satellites, meteors and aircraft, by the Radon transform."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.length import IN_PIXELS
from astroclean.core.stage.kinds.mask import Masker
from astroclean.core.stage.options import StageOptions
from astroclean.core.stage.results import Mask
from astroclean_classical.streaks.lines import Search, candidates
from astroclean_classical.streaks.profiles import Limits, Trail, trail_along
from astroclean_classical.streaks.sky import significance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["Streaks", "StreaksOptions"]


class StreaksOptions(StageOptions):
    """Settings of :class:`Streaks`."""

    nsigma: Annotated[float, Field(ge=3, le=1000)] = 7.0
    """Significance of a trail over its whole length, in standard deviations of the noise."""
    min_length: Annotated[float, Field(ge=20, le=100000), IN_PIXELS] = 100.0
    """Shortest trail, in pixels."""
    width: Annotated[float, Field(ge=1, le=200), IN_PIXELS] = 20.0
    """Widest trail, in pixels."""
    axis_margin: Annotated[float, Field(ge=0, le=45)] = 1.0
    """Lines closer than this to rows or columns are left, in degrees: they are bad columns, bleed
    trails and spikes; 0 takes them too."""
    max_trails: Annotated[int, Field(ge=1, le=100)] = 10
    """Most trails to look for."""
    grow: Annotated[float, Field(ge=0, le=100), IN_PIXELS] = 1.0
    """Pixels by which a trail is widened on each side."""
    size: Annotated[int, Field(ge=64, le=4096)] = 256
    """The search is on an image binned to at most this many pixels a side; more is slower, and
    finds thinner and shorter trails."""


class Streaks(Masker):
    """Flags TRAIL: long straight lines that stand above the sky all along.

    Compact sources are masked and the rest is clipped, so that no bright pixel makes a line; the
    Radon transform of scikit-image then gives the significance of every line, as in the search of
    Stark et al. (2022). Each candidate is followed on the image itself: most of its length must be
    seen, as a trail is and a row of stars or a spike is not. Needs the whole frame.
    """

    sets = MaskPlane.TRAIL
    Options = StreaksOptions

    def find(self, frame: Frame) -> Mask:
        """Return the trails.

        Parameters
        ----------
        frame : Frame
            Any unit. Not modified.

        Returns
        -------
        Mask
            TRAIL; metrics ``trails`` and, as ``longest: ...``, of the longest ``length (pixels)``,
            ``width (pixels)``, ``angle (degrees)`` from +x towards +y, and ``brightness`` (sigma of
            a pixel).
        """
        options = self.options
        flags = np.zeros(frame.shape, dtype=np.uint32)
        bad = ~frame.usable
        if bad.all() or max(frame.shape) < options.min_length:
            return Mask(flags, metrics={"trails": 0.0})
        image, known = significance(frame, bad, min_length=options.min_length, width=options.width)
        trails: list[Trail] = []
        for _ in range(2 * options.max_trails):  # lines along the axes are found to be left
            trail = _next_trail(image, known, options)
            if trail is None or len(trails) == options.max_trails:
                break
            known = known & ~trail.pixels(frame.shape, max(options.grow, 0.5 * trail.width))
            if trail.line.from_axes < options.axis_margin:
                continue
            found = trail.pixels(frame.shape, options.grow)
            flags[found & np.isfinite(frame.data)] |= np.uint32(MaskPlane.TRAIL)
            trails.append(trail)
        return Mask(flags, metrics=_metrics(trails))


def _next_trail(
    image: NDArray[np.float32], known: NDArray[np.bool_], options: StreaksOptions
) -> Trail | None:
    """Return the most significant line that is a trail."""
    search = Search(options.nsigma, options.size, options.width, options.axis_margin)
    limits = Limits(
        nsigma=options.nsigma,
        min_length=options.min_length,
        width=options.width,
        slack=2.0 * math.ceil(max(image.shape) / options.size) + 1,
    )
    for line in candidates(image, known, search):
        trail = trail_along(image, known, line, limits)
        if trail is not None:
            return trail
    return None


def _metrics(trails: list[Trail]) -> dict[str, float]:
    metrics = {"trails": float(len(trails))}
    if trails:
        longest = max(trails, key=lambda trail: trail.length)
        metrics.update(
            {
                "longest: length (pixels)": longest.length,
                "longest: width (pixels)": longest.width,
                "longest: angle (degrees)": longest.line.angle,
                "longest: brightness": longest.brightness,
            }
        )
    return metrics
