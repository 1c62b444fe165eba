"""`Change`: how much of a frame a stage flagged and replaced, and whether that is plausible."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.flags.planes import MaskPlane, count_planes
from astroclean.core.stage.limits import BELOW_SKY, CHANGED, PLAUSIBLE, SOURCE_LIGHT
from astroclean.core.stage.low_pixels import filled_far_below, sample_step, sky_of
from astroclean.core.stage.metrics import Total
from astroclean.core.stage.scope import chunk_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["Change", "change_between"]

_SIGMAS = 3.0
_STEP = 0.7
"""Of the mean height of a group, beyond which edges are steps: hits end on the sky. For a star of
FWHM 2.5 pixels, whatever part is in the group, they are at most .67."""
_DIGITS = 15
"""That decimal numbers keep as float64."""


@dataclass(frozen=True)
class Change:
    """What a stage did to the pixels of a frame, or to those of a part of it; parts add up."""

    pixels: int = 0
    """Of the frame, those without data left out."""
    flagged: Mapping[str, int] = field(default_factory=dict)
    """Plane to pixels that gained it."""
    replaced: int = 0
    """Pixels with another value."""
    light: Total = field(default_factory=Total)
    """Of sources before, in the unit of the frame: of what is wide and has soft edges, so that hits
    do not count."""
    light_filled: Total = field(default_factory=Total)
    """That of pixels that were rejected and then filled."""
    below: int = 0
    """Pixels that were rejected, and filled with values far below the sky around them."""

    def __add__(self, other: Change) -> Change:
        """Return the change of two parts together."""
        names = [*self.flagged, *(name for name in other.flagged if name not in self.flagged)]
        return Change(
            self.pixels + other.pixels,
            {name: self.flagged.get(name, 0) + other.flagged.get(name, 0) for name in names},
            self.replaced + other.replaced,
            self.light.joined(other.light),
            self.light_filled.joined(other.light_filled),
            self.below + other.below,
        )

    def shares(self) -> dict[str, float]:
        """Return plane, ``changed``, ``source light``, ``below sky`` to its share (0 to 1)."""
        pixels = max(self.pixels, 1)
        shares = {name: min(count / pixels, 1.0) for name, count in self.flagged.items()}
        if self.replaced:
            shares[CHANGED] = min(self.replaced / pixels, 1.0)
            shares[SOURCE_LIGHT] = self.light_filled / self.light if self.light > 0 else 0.0
        if self.below:
            shares[BELOW_SKY] = min(self.below / pixels, 1.0)
        return shares

    def implausible(self, limits: Mapping[str, float]) -> list[str]:
        """Return one clause for each share above its limit.

        Parameters
        ----------
        limits : mapping of str to float
            Plane, ``changed``, ``source light`` or ``below sky`` to the largest plausible share;
            others as in `PLAUSIBLE`.

        Returns
        -------
        list of str
            What to tell; empty where all is plausible.
        """
        known = {**PLAUSIBLE, **limits}
        return [
            f"{_WORDS.get(name, f'flagged {name} on')} {_percent(share, above=known[name])} of "
            f"{'the light of sources' if name == SOURCE_LIGHT else 'the pixels'}, "
            f"more than the plausible {_percent(known[name])} (option `limits`)"
            for name, share in self.shares().items()
            if share > known.get(name, 1.0)
        ]


_WORDS = {
    CHANGED: "replaced",
    SOURCE_LIGHT: "filled flagged pixels with",
    BELOW_SKY: "filled, with values far below the sky around them,",
}


def _percent(share: float, *, above: float | None = None) -> str:
    """Return a share in percent, with digits enough to differ from a limit that it is above."""
    told = ""
    for digits in range(2, _DIGITS):
        told = f"{float(f'{100 * share:.{digits}g}'):.{_DIGITS}g} %"
        if above is None or told != _percent(above):
            break
    return told


def change_between(before: Frame, after: Frame, rows: slice) -> Change:
    """Measure what a stage did.

    Parameters
    ----------
    before, after : Frame
        The frame that the stage got, and the one that it gave. Of one shape. Not modified.
    rows : slice
        Rows that count: all but the halo of a part of a larger frame.

    Returns
    -------
    Change
        Of these rows. Sky and noise, for the light of sources, are those that the runner measured
        before the first stage, else those of the whole of ``before``.
    """
    gained = after.flags[rows] & ~before.flags[rows]
    pixels = gained.size - int(np.count_nonzero(before.where(MaskPlane.NO_DATA)[rows]))
    flagged = count_planes(gained)
    if after.data is before.data:
        return Change(pixels, flagged)
    old, new = before.data, after.data
    replaced_everywhere = (old != new) & ~(np.isnan(old) & np.isnan(new))
    replaced = replaced_everywhere[rows]
    filled = replaced & before.mask[rows]
    if not filled.any():
        return Change(pixels, flagged, int(np.count_nonzero(replaced)))
    filled_everywhere = replaced_everywhere & before.mask
    light = _source_light(before, filled_everywhere)[rows]
    return Change(
        pixels,
        flagged,
        int(np.count_nonzero(replaced)),
        Total.from_pixels(light),
        Total.from_pixels(np.where(filled, light, 0)),
        int(np.count_nonzero(filled_far_below(before, new, filled_everywhere)[rows])),
    )


def _source_light(frame: Frame, filled: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return what lies above the sky and looks like a source: wide, and with soft edges.

    Wide is what fills squares of 3 by 3 pixels. A group of pixels that are filled has soft edges
    where the steps across its border are small beside its height: so it is in the wings of a
    source, or where a whole source is in the group. Hits and hot columns end from one pixel to the
    next.
    """
    from scipy.ndimage import binary_opening  # noqa: PLC0415 - heavy

    step = sample_step(frame.shape)
    measured = chunk_of(frame).sky or sky_of(frame.data[::step, ::step])
    if measured is None:
        return np.zeros_like(frame.data)
    sky, noise = measured
    above = np.where(np.isfinite(frame.data), frame.data - np.float32(sky), 0)
    wide = binary_opening(above > _SIGMAS * noise, np.ones((3, 3)))
    light: NDArray[np.float32] = np.where(wide & ~_sharp(above, filled), above, 0)
    return light


def _sharp(above: NDArray[np.float32], filled: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the groups of filled pixels whose edges are steps."""
    from scipy.ndimage import label  # noqa: PLC0415 - heavy

    labels, count = label(filled, structure=np.ones((3, 3)))
    y, x = np.nonzero(filled)
    groups, heights = labels[y, x], above[y, x]
    edges, steps = [], []
    for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        # Beyond the border lies the pixel itself: no edge.
        beside = np.clip(y + dy, 0, filled.shape[0] - 1), np.clip(x + dx, 0, filled.shape[1] - 1)
        edge = ~filled[beside]
        edges.append(groups[edge])
        steps.append((heights - above[beside])[edge])
    groups_of, step = np.concatenate(edges), np.concatenate(steps)
    number = np.bincount(groups_of, minlength=count + 1)
    mean = np.bincount(groups_of, step, minlength=count + 1) / np.maximum(number, 1)
    size = np.maximum(np.bincount(groups, minlength=count + 1), 1)
    height = np.bincount(groups, heights, minlength=count + 1) / size
    sharp = np.zeros(filled.shape, dtype=bool)
    sharp[y, x] = (mean > _STEP * height)[groups]
    return sharp
