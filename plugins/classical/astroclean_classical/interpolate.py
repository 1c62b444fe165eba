"""`interpolate`: fill rejected pixels from their surroundings, with astropy or maskfill."""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from astroclean.core.flags.plane_choice import (
    ISOLATED_REACH,
    PlaneChoice,
    chosen_planes,
    pixels_to_fill,
)
from astroclean.core.flags.planes import MaskPlane
from astroclean.core.length import IN_PIXELS
from astroclean.core.stage.kinds.remove import SourceRemover
from astroclean.core.stage.low_pixels import LOW_REACH, far_below_sky
from astroclean.core.stage.metrics import counted
from astroclean.core.stage.needs import Needs
from astroclean.core.stage.options import StageOptions
from astroclean.core.stage.results import Removal
from astroclean.core.stage.scope import WHOLE, Scope
from astroclean.errors import SuspectWarning
from astroclean_classical.filling import (
    KERNEL_REACH,
    convolution_filled,
    distance_to_good,
    hole_boxes,
)
from astroclean_classical.low import tell_unflagged

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["Interpolate", "InterpolateOptions"]

# maskfill looks at the eight neighbors and smooths once at the end.
_MASKFILL_REACH = 2
_SMOOTHING_SIGMA = 2.0
_NOISE_BOX = 32


class InterpolateOptions(StageOptions):
    """Settings of :class:`Interpolate`."""

    planes: PlaneChoice = "fillable"
    """Planes to fill, by name or alias. ``fillable``: COSMIC_RAY, HOT and DEAD pixels and lines,
    BAD_PIXEL and small groups of NO_DATA, where nothing else rejects the pixel. ``reject``: all
    that the run rejects, OVERSCAN apart; saturated stars and trails among them."""
    method: Literal["convolve", "maskfill"] = "convolve"
    """Gaussian-weighted mean of measured pixels (astropy), or inward growth (maskfill)."""
    sigma: Annotated[float, Field(ge=0.3, le=20), IN_PIXELS] = 1.0
    """Standard deviation of the smallest kernel of ``convolve``, in pixels; doubled for deeper
    pixels of a hole."""
    max_distance: Annotated[float, Field(ge=1, le=500), IN_PIXELS] = 16.0
    """Holes with a pixel farther than this from a measured one are left as they are, in pixels;
    what hangs on them farther than twice this is filled. NO_DATA along the border of the frame is
    left too, over more than twice this."""
    noise: Literal["none", "match"] = "none"
    """``match`` adds Gaussian noise as strong as that of the surroundings."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of that noise (no unit); each frame gets noise of its own."""


class Interpolate(SourceRemover):
    """Fills holes from measured pixels around them; sets INTERPOLATED.

    Pixels that the run rejects are never read, nor those far below the sky, which no light tells.
    The uncertainty of filled ones becomes NaN.
    """

    reason = MaskPlane.INTERPOLATED
    Options = InterpolateOptions

    def needs(self) -> Needs:
        """Return the planes that are named; the choices need none, for they may find nothing."""
        return Needs(planes=chosen_planes(self.options.planes))

    def scope(self, frame: Frame) -> Scope:  # noqa: ARG002 - the same for every frame
        """Return the reach; all of the frame with ``noise = "match"``, measured there."""
        if self.options.noise == "match":
            return WHOLE
        distance = float(self.options.max_distance)
        # Which holes are deep is told within three distances: the depth, then twice around it.
        # The widest kernel has less than twice the deviation that the depth asks for (half of it).
        widest = max(distance, float(self.options.sigma))
        reach = KERNEL_REACH * widest if self.options.method == "convolve" else distance
        return Scope(
            max(math.ceil(3 * distance + reach) + _MASKFILL_REACH + LOW_REACH, ISOLATED_REACH)
        )

    def remove(self, frame: Frame) -> Removal:
        """Return the filled pixels.

        Parameters
        ----------
        frame : Frame
            Any unit. Not modified.

        Returns
        -------
        Removal
            Metrics ``pixels left`` (all rejected ones that stay as they were), and of these
            ``pixels left unfillable`` (no chosen plane, or another reason beside it), ``pixels
            left outside coverage`` and ``pixels left too deep``.
        """
        target = pixels_to_fill(self.options.planes, frame)
        low = far_below_sky(frame) & ~target
        bad = ~frame.usable | target | low
        tell_unflagged(low, frame, self.name, SuspectWarning)
        outside = target & _outside_coverage(frame, self.options.max_distance)
        deep = target & ~outside & _deep(bad, self.options.max_distance)
        holes = target & ~outside & ~deep
        if not holes.any():
            data, where = frame.data, holes
        else:
            data, where = self._filled(frame, holes, bad)
        metrics = {
            "pixels left": counted(frame, (target | frame.mask) & ~where),
            "pixels left unfillable": counted(frame, frame.mask & ~target),
            "pixels left outside coverage": counted(frame, outside),
            "pixels left too deep": counted(frame, deep),
        }
        if low.any():
            metrics["unflagged pixels far below the sky"] = counted(frame, low)
        return Removal(data, where, metrics=metrics)

    def _filled(
        self, frame: Frame, holes: NDArray[np.bool_], bad: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        blank = np.where(holes, np.float32(np.nan), frame.data)
        if self.options.method == "convolve":
            data = convolution_filled(blank, holes=holes, bad=bad, sigma=self.options.sigma)
        else:
            data = _maskfilled(blank, holes, bad)
        where = holes & np.isfinite(data)
        data = np.where(where, data, frame.data)
        if self.options.noise == "match" and where.any():
            noise = _matching_noise(frame, bad, self.options.seed)
            data[where] += noise[where]
        return data, where


def _outside_coverage(frame: Frame, distance: float) -> NDArray[np.bool_]:
    """Return NO_DATA that belongs to what lies beyond the border of the frame.

    That is where a square as wide as twice ``distance`` fits in without data, when nothing is
    known around the frame either. Beside a dead column that ends at the border none fits.
    """
    from scipy.ndimage import maximum_filter, minimum_filter  # noqa: PLC0415 - heavy

    side = 2 * math.ceil(distance) + 1
    beyond = np.pad(frame.where(MaskPlane.NO_DATA), side, constant_values=True)
    opened = maximum_filter(minimum_filter(beyond, side, mode="nearest"), side, mode="nearest")
    outside: NDArray[np.bool_] = opened[side:-side, side:-side]
    return outside


def _deep(bad: NDArray[np.bool_], distance: float) -> NDArray[np.bool_]:
    """Return pixels too far from measured ones, with the rest of such holes around them."""
    from scipy.ndimage import distance_transform_edt  # noqa: PLC0415 - heavy

    core = distance_to_good(bad) > distance
    if not core.any():
        return core
    deep: NDArray[np.bool_] = bad & (distance_transform_edt(~core) <= 2 * distance)
    return deep


def _maskfilled(
    blank: NDArray[np.float32], holes: NDArray[np.bool_], bad: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Fill each hole in a cut-out of its own: maskfill goes on until no NaN is left anywhere."""
    from maskfill import maskfill  # noqa: PLC0415 - heavy

    filled = blank.copy()
    for box, chosen in hole_boxes(holes, margin=_MASKFILL_REACH, together=False):
        unusable = bad[box]
        if unusable.all():  # enclosed by rejected pixels that are left; it would never end
            continue
        values, _ = maskfill(np.where(unusable, np.float32(np.nan), blank[box]), unusable)
        filled[box][chosen] = values[chosen]
    return filled


def _matching_noise(frame: Frame, bad: NDArray[np.bool_], seed: int) -> NDArray[np.float32]:
    """Return Gaussian noise with the local standard deviation of the measured pixels."""
    import sep  # noqa: PLC0415 - heavy
    from astropy.convolution import Gaussian2DKernel, convolve  # noqa: PLC0415 - heavy

    # Structure of the sky is no noise: it is in the smoothed image, which is subtracted.
    kernel = Gaussian2DKernel(_SMOOTHING_SIGMA)
    smooth = convolve(frame.data, kernel, boundary="extend", mask=bad, preserve_nan=True)
    rough = np.where(bad, 0, frame.data - smooth).astype(np.float32)
    own = kernel.array.max()
    lost = 1 - 2 * own + float(np.sum(kernel.array**2))
    rms = sep.Background(rough, mask=bad, bw=_NOISE_BOX, bh=_NOISE_BOX).rms() / np.sqrt(lost)
    # Seeded by the pixels as well, or exposures to be stacked would all get the same pattern.
    generator = np.random.default_rng([seed, zlib.crc32(frame.data.tobytes())])
    noise: NDArray[np.float32] = rms * generator.standard_normal(frame.shape, dtype=np.float32)
    return noise
