"""What a network is shown of the sources of a frame: their stamps, scales and planes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.image.uncertainty import deviation_of
from astroclean.core.stage.scope import chunk_of
from astroclean.errors import ContractError
from astroclean.inference.cards.stamp_card import NOISE, PSF, planes_of
from astroclean.inference.stamped.runner import StampView
from astroclean.tiling.stamps import StampBox

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.psf.psf import Psf
    from astroclean.inference.cards.card import NetworkCard

    Given = float | NDArray[np.floating] | Callable[["SourceBox"], NDArray[np.floating]]

__all__ = ["SourceBox", "SourceStamps"]

_MAP_AXES = 2
_LEAST_SEEN = 0.1
"""Part of the power of a point source's image that must lie in valid pixels, else its brightness
is a guess."""


@dataclass(frozen=True, eq=False)
class SourceBox(StampBox):
    """The stamp of one source."""

    number: int
    """Of the source, from 0, in the order in which they were given."""
    place: tuple[float, float]
    """x, y of the source in pixels of the frame."""


class SourceStamps:
    """Makes the views of a network's stamps.

    Parameters
    ----------
    card : NetworkCard
        The network, with a table ``stamp``.
    frame : Frame
        The frame. Not modified.
    valid : (ny, nx) bool
        Its pixels to believe.
    given, less, noise
        As of `StampPredictor.predict`.
    """

    def __init__(
        self,
        card: NetworkCard,
        frame: Frame,
        valid: NDArray[np.bool_],
        given: Mapping[str, Given],
        less: Given | None,
        noise: NDArray[np.floating] | float | None,
    ) -> None:
        assert card.stamp is not None  # checked by the predictor
        self._stamp, self._network = card.stamp, card.name
        self._frame, self._valid = frame, valid
        self._given, self._less, self._noise = given, less, noise
        self._chunk = chunk_of(frame)
        self._planes = {name for tensor in card.inputs for name in planes_of(tensor)}

    def boxes(self, places: NDArray[np.float64], boxes: Sequence[StampBox]) -> list[SourceBox]:
        """Return stamps that know their sources."""
        return [
            SourceBox(box.y, box.x, box.side, number, (float(x), float(y)))
            for number, ((x, y), box) in enumerate(zip(places, boxes, strict=True))
        ]

    def holds(self, box: SourceBox) -> bool:
        """Whether all that the larger frame has of a stamp is in the frame."""
        moved = [
            first + start for first, start in zip((box.y, box.x), self._chunk.origin, strict=True)
        ]
        for first, start, side, whole in zip(
            moved, self._chunk.origin, self._frame.shape, self._chunk.shape, strict=True
        ):
            if max(first, 0) < start or min(first + box.side, whole) > start + side:
                return False
        return True

    def wants(self, box: SourceBox) -> bool:
        """Whether a stamp touches the wanted rows, or lies beyond the border next to them."""
        low, height = self._chunk.origin[0], self._chunk.shape[0]
        rows = range(low, low + self._frame.shape[0])[self._chunk.own]
        first = box.y + low
        return (rows.start == 0 or first + box.side > rows.start) and (
            rows.stop == height or first < rows.stop
        )

    def view(self, box: SourceBox) -> StampView | None:
        """Return what is known of a stamp; None where too little of its source is valid."""
        data = box.cut(self._frame.data, outside=0)
        valid = box.cut(self._valid, outside=False)
        if self._less is not None:
            # In float64: the light of a neighbour may be far more than what it leaves.
            data = data.astype(np.float64) - self._plane(self._less, box)
            valid = valid & np.isfinite(data)
        if not valid.any():
            return None
        planes = {name: self._plane(plane, box) for name, plane in self._given.items()}
        if PSF in self._planes:
            planes[PSF] = self._kernel(box)
        scale: float | None = None
        if NOISE in self._planes or self._stamp.scaling != "normalization":
            noise = self._noise_at(box, valid)
            if noise is None:
                return None
            planes |= {NOISE: np.asarray(noise)} if NOISE in self._planes else {}
            if self._stamp.scaling == "noise":
                scale = noise
            elif self._stamp.scaling == "matched_filter":
                scale = self._brightness(box, data, valid, noise)
                if scale is None:
                    return None
        return StampView(data, valid, planes, scale)

    def _plane(self, plane: Given, box: SourceBox) -> NDArray[Any]:
        if callable(plane):
            return np.asarray(plane(box))
        values = np.asarray(plane)
        if values.ndim == _MAP_AXES:
            return box.cut(values, outside=0)
        return np.asarray(values[box.number] if values.ndim else values)

    def _in_whole(self, box: SourceBox) -> tuple[float, float, int, int]:
        """Return x, y of the source, and of the stamp's first pixel, in the larger frame."""
        y, x = self._chunk.origin
        return box.place[0] + x, box.place[1] + y, box.x + x, box.y + y

    @cached_property
    def _psf(self) -> Psf:
        """The PSF, which counts in pixels of the larger frame as `_in_whole` does."""
        if self._frame.psf is None:
            raise self._lacking("PSF", "Name one in the pipeline's table [psf].")
        y, x = self._chunk.origin
        return self._frame.psf.seen_from(-x, -y)

    @cached_property
    def _deviations(self) -> NDArray[np.float32]:
        noise = deviation_of(self._frame.uncertainty) if self._noise is None else self._noise
        if noise is None and self._chunk.shape == self._frame.shape:
            noise = self._frame.noise()
        if noise is None:
            raise self._lacking("noise", "Give what a survey measured of the whole frame.")
        return np.broadcast_to(np.asarray(noise, dtype=np.float32), self._frame.shape)

    def _lacking(self, what: str, remedy: str) -> ContractError:
        return ContractError(
            f"network '{self._network}' needs the {what}, and the frame has none",
            where=self._frame.frame_id,
            remedy=remedy,
        )

    def _kernel(self, box: SourceBox) -> NDArray[np.float64]:
        """Return the PSF of sum 1, its middle in the pixel ``side // 2``."""
        x, y, _, _ = self._in_whole(box)
        stamp = self._psf.at(x, y)
        first = [side // 2 - box.side // 2 for side in stamp.shape]
        return StampBox(first[0], first[1], box.side).cut(stamp, outside=0)

    def _noise_at(self, box: SourceBox, valid: NDArray[np.bool_]) -> float | None:
        """Return the median of the noise in the valid pixels of a stamp."""
        values = box.cut(self._deviations, outside=0)[valid]
        known = values[np.isfinite(values) & (values > 0)]
        return float(np.median(known)) if known.size else None

    def _brightness(
        self, box: SourceBox, data: NDArray[Any], valid: NDArray[np.bool_], noise: float
    ) -> float | None:
        """Return the peak of the point source that fits best, at least its standard deviation."""
        x, y, left, low = self._in_whole(box)
        rows, columns = (slice(first, first + box.side) for first in (low, left))
        image = self._psf.drawn_at(x, y, box=(rows, columns)).data
        power = np.sum(image * image)
        seen = np.where(valid, image, 0)
        left_power = np.sum(seen * seen)
        if not left_power > _LEAST_SEEN * power:
            return None
        flux = np.sum(seen * np.where(valid, data, 0)) / left_power
        return float(max(flux, noise / np.sqrt(left_power)) * self._psf.at(x, y).max())
