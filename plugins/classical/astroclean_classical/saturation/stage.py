"""`saturation`: pixels at full well and the charge that bled from them along a column."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.length import IN_PIXELS
from astroclean.core.stage.kinds.mask import Masker
from astroclean.core.stage.metrics import counted
from astroclean.core.stage.options import StageOptions
from astroclean.core.stage.results import Mask
from astroclean.core.stage.scope import Scope, chunk_of
from astroclean.errors import AstrocleanWarning, StageError, SuspectWarning
from astroclean_classical.saturation.bleeding import BleedingSurvey, Saturated
from astroclean_classical.saturation.holes import small_holes
from astroclean_classical.saturation.levels import Levels
from astroclean_classical.saturation.piles import ClippedSurvey

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.scope import Survey

__all__ = ["Saturation", "SaturationOptions"]

_SAME = 0.95
"""Of the level: where values pile up that near, flat fields or rounding are the cause."""


class SaturationOptions(StageOptions):
    """Settings of :class:`Saturation`."""

    level: Annotated[float, Field(gt=0)] | Literal["clipped"] | None = None
    """Value from which a pixel is saturated, in the unit of the frame; none: of the detector.
    ``clipped``: where the stars of the frame are cut off, each amplifier of its own; flags nothing
    where none is."""
    if_unknown: Literal["skip", "error"] = "skip"
    """Where neither ``level`` nor header nor instrument tell the level: flag nothing and warn, or
    fail."""
    bleed_axis: Literal["y", "x"] = "y"
    """Axis along which charge bleeds; columns run along ``y``."""
    bleed_fraction: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Pixels above this fraction of the level that join a saturated one along the bleed axis are
    flagged with it (no unit)."""
    max_hole: Annotated[int, Field(ge=0, le=10000)] = 100
    """Largest group enclosed by saturated pixels that is flagged too, in pixels: cores whose
    values wrapped around or are NaN."""
    grow: Annotated[int, Field(ge=0, le=50), IN_PIXELS] = 1
    """Pixels by which the result is widened."""


class Saturation(Masker):
    """Flags SATURATED: level, bleed trails, enclosed pixels, a rim of ``grow`` pixels.

    A trail may cross the whole frame; a survey finds it.
    """

    sets = MaskPlane.SATURATED
    Options = SaturationOptions

    def scope(self, frame: Frame) -> Scope:
        """Return the rim and the widest group that is filled, with what encloses it, in pixels.

        Surveyed are the level and the trails, where a level is known.
        """
        return Scope(int(self.options.grow + self.options.max_hole + 1), survey=self._survey(frame))

    def check_header(self, frame: Frame) -> None:
        """Raise where no level is known and that is to be an error."""
        options = self.options
        if options.if_unknown == "error" and options.level is None and self._level(frame) is None:
            self._tell_unknown(frame)

    def _survey(self, frame: Frame) -> Survey | None:
        fraction = self.options.bleed_fraction
        if self.options.level == "clipped":
            return ClippedSurvey(chunk_of(frame).shape, fraction)
        level = self._level(frame)
        return None if level is None else BleedingSurvey(Levels.same(level), fraction)

    def find(self, frame: Frame) -> Mask:
        """Return the saturated pixels.

        Parameters
        ----------
        frame : Frame
            Any unit. Not modified.

        Returns
        -------
        Mask
            SATURATED; metrics ``saturation level`` (unit of the frame, the lowest where amplifiers
            have their own, NaN where nothing is clipped), ``pixels at level`` and, with
            ``level = "clipped"``, ``clipped stars``.

        Raises
        ------
        StageError
            No level is given or known, and ``if_unknown = "error"``.
        """
        found: Saturated | None = self.measured(frame)
        if found is None:
            self._tell_unknown(frame)
            return Mask(np.zeros(frame.shape, dtype=np.uint32))
        self._tell_pile(frame, found)
        self._tell_stars(frame, found)
        # Comparisons with NaN are false: neither seeds nor bleeding.
        seeds = frame.data >= found.levels.over(frame)
        metrics = {
            "saturation level": found.levels.lowest,
            "pixels at level": counted(frame, seeds),
        }
        if found.stars is not None:
            metrics["clipped stars"] = float(found.stars)
        saturated = self._with_rim(self._with_bleeding(frame, seeds, found))
        return Mask(saturated * np.uint32(MaskPlane.SATURATED), metrics=metrics)

    def _level(self, frame: Frame) -> float | None:
        given = self.options.level
        known = frame.detector.saturation if given is None else given
        return None if known is None else float(known)

    def _tell_unknown(self, frame: Frame) -> None:
        unknown = StageError(
            "saturation level is given neither by header nor by instrument; nothing is flagged",
            where=self.where(frame),
            remedy="Give the option `level` (a value, or 'clipped' for data cut at their "
            "maximum), or `--set instrument.saturation=...`.",
        )
        if self.options.if_unknown == "error":
            raise unknown
        # A map of a bolometer has no such level, and one pipeline may serve many instruments.
        warnings.warn(str(unknown), AstrocleanWarning, stacklevel=2)

    def _tell_pile(self, frame: Frame, found: Saturated) -> None:
        """Warn where the frame is cut off below the level at which it is said to saturate."""
        if found.piled_up is None or found.stars is not None:
            return
        if found.piled_up[0] >= _SAME * found.levels.lowest:
            return
        value, count = found.piled_up
        text = (
            f"{self.where(frame)}: {count} pixels share the highest value "
            f"{value:g}, below the saturation level {found.levels.lowest:g}: is that level "
            f"right? Give `level = {value:g}`, or 'clipped'"
        )
        warnings.warn(text, SuspectWarning, stacklevel=2)

    def _tell_stars(self, frame: Frame, found: Saturated) -> None:
        """Tell which level was found from the stars, or that none was."""
        if found.stars is None:
            return
        where = self.where(frame)
        if found.doubt:
            text = f"{where}: stars seem to be cut off at {found.levels.told()}, but {found.doubt}"
            warnings.warn(f"{text}. Give `level` if you know it", SuspectWarning, stacklevel=3)
        elif not found.stars:
            text = f"{where}: no level at which stars are cut off was found; nothing is flagged"
            if found.piled_up is not None:
                value, count = found.piled_up
                text += f" ({count} pixels share the highest value {value:.7g}, not as stars do)"
            warnings.warn(f"{text}. Give `level` if you know it", AstrocleanWarning, stacklevel=3)
        elif not found.levels.is_single:
            text = f"{where}: stars are cut off at different levels: {found.levels.told()}"
            warnings.warn(text, AstrocleanWarning, stacklevel=3)

    def _with_bleeding(
        self, frame: Frame, seeds: NDArray[np.bool_], found: Saturated
    ) -> NDArray[np.bool_]:
        if self.options.bleed_axis == "y":
            return found.paint(frame)
        from scipy.ndimage import binary_propagation  # noqa: PLC0415 - heavy

        line = np.zeros((3, 3), dtype=bool)
        line[1] = True
        candidates = seeds | (
            frame.data >= np.float32(self.options.bleed_fraction) * found.levels.over(frame)
        )
        bled: NDArray[np.bool_] = binary_propagation(seeds, structure=line, mask=candidates)
        return bled

    def _with_rim(self, saturated: NDArray[np.bool_]) -> NDArray[np.bool_]:
        from scipy.ndimage import distance_transform_edt  # noqa: PLC0415 - heavy

        if not saturated.any():
            return saturated
        saturated = saturated | small_holes(saturated, self.options.max_hole)
        if self.options.grow:
            saturated = distance_transform_edt(~saturated) <= self.options.grow
        found: NDArray[np.bool_] = saturated
        return found
