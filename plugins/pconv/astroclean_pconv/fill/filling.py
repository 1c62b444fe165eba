"""Fill holes of a frame with the network: cut-out by cut-out, the same whatever the order."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.inference.stamped.runner import StampRunner, StampView
from astroclean_pconv.fill.cutouts import BATCHES, plan_cutouts
from astroclean_pconv.fill.noise import draw_noise, measure_noise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from astroclean.inference.stage_network import StageNetwork
    from astroclean_pconv.fill.cutouts import CutOut
    from astroclean_pconv.fill.noise import Noise

    _Told = tuple[NDArray[Any], ...]

__all__ = ["Filled", "Surroundings", "fill_holes"]

_LEAST_SEEN = 0.05
"""Part of a cut-out that must be seen, else its holes stay as they are."""
_LEAST_WEIGHT = 0.05
"""Weight in all cut-outs together from which a pixel is filled."""
_AT_ONCE = 16
"""Batches of cut-outs that overlap, whose answers are kept until they are joined."""
_MEASURED = 0.5
"""Part of the noise from which a value counts as measured."""
_DEVIATION = 1.2533141373155003
"""Standard deviation over mean absolute error, of a Gaussian."""


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What is known of a frame around its holes."""

    data: NDArray[Any]
    """(ny, nx); what stands in holes is not read."""
    usable: NDArray[np.bool_]
    """(ny, nx): pixels to believe, in holes too."""
    holes: NDArray[np.bool_]
    """(ny, nx): pixels to fill; they are not looked at."""
    origin: tuple[int, int] = (0, 0)
    """(y, x) of the first pixel in a larger frame."""
    given: NDArray[np.bool_] | None = None
    """(ny, nx): pixels of holes whose ``data`` is known, without noise, from elsewhere."""


@dataclass(frozen=True, eq=False)
class Filled:
    """What lies in the holes, each (ny, nx) float32, in the unit of the frame; NaN elsewhere.

    Arrays are written to until all is known.
    """

    background: NDArray[np.float32]
    """Without noise, unless ``noisy`` says otherwise."""
    deviation: NDArray[np.float32]
    """Standard deviation of what is truly there, without noise, about ``background``; NaN of a
    network that does not tell it."""
    sigma: NDArray[np.float32]
    """Standard deviation of the noise of the surroundings."""
    correlation: NDArray[np.float32]
    """Of the noise of neighboring pixels."""
    noise: NDArray[np.float32]
    """Noise as that of the surroundings; drawn where it was asked for, else 0."""
    noisy: NDArray[np.float32]
    """Part of ``sigma`` that is in ``background`` with it, 0 to 1."""

    @property
    def uncertainty(self) -> NDArray[np.float32]:
        """Standard deviation of ``background`` and ``noise`` about what is there without noise."""
        # What is drawn takes the place of the noise that is not there.
        noise = np.where(self.noise != 0, 1.0, self.noisy) * self.sigma
        return np.asarray(np.hypot(self.deviation, noise), dtype=np.float32)

    @property
    def made_up(self) -> NDArray[np.bool_]:
        """Pixels of whose own noise next to nothing is left: they were not measured."""
        return self.known & (self.noisy < _MEASURED)

    def put_measured(
        self, where: NDArray[np.bool_], values: NDArray[Any], doubt: NDArray[Any]
    ) -> None:
        """Enter pixels of which light alone was taken away.

        Written in place: maps are large.

        Parameters
        ----------
        where : (ny, nx) bool
            Those pixels; they keep their noise.
        values : (ny, nx)
            The frame less that light.
        doubt : (ny, nx)
            Standard deviation of that light.
        """
        sigma = self.usual_sigma
        self.sigma[where & ~self.known] = sigma
        self.background[where] = values[where]
        self.deviation[where] = doubt[where]
        self.noise[where] = 0
        self.noisy[where] = 1

    @property
    def usual_sigma(self) -> float:
        """Median of ``sigma`` over the pixels that were filled; 0 where none was."""
        return float(np.median(self.sigma[self.known])) if self.known.any() else 0.0

    @property
    def known(self) -> NDArray[np.bool_]:
        """Pixels that were filled."""
        return np.isfinite(self.background)


def fill_holes(network: StageNetwork, around: Surroundings, *, seed: int | None = None) -> Filled:
    """Fill holes from what surrounds them.

    Parameters
    ----------
    network : StageNetwork
        Takes ``image`` and ``mask``, gives ``background`` and, if it knows, ``spread``.
    around : Surroundings
        The frame. Not modified.
    seed : int, optional
        Of the noise that is drawn; without it there is none. Each cut-out has noise of its own,
        which depends on the pixels that it shows.

    Returns
    -------
    Filled
        New arrays. Holes with next to nothing around them stay NaN.
    """
    shape = around.data.shape
    filled = Filled(*(np.full(shape, np.nan, dtype=np.float32) for _ in fields(Filled)))
    batches = None if network.card.batches else BATCHES
    runner = StampRunner(network.card, network.engine, batches=batches)
    cutouts = plan_cutouts(around.holes, origin=around.origin, sides=runner.batches)
    usual = None
    if around.given is not None:
        seen = around.usable & ~around.holes
        usual = measure_noise(np.where(seen, around.data, 0), seen)

    def show(one: CutOut) -> StampView | None:
        view = _view(one, around)
        return None if view.valid.mean() < _LEAST_SEEN else view

    def told(one: CutOut, view: StampView, answer: Mapping[str, NDArray[Any]]) -> _Told:
        noise = _noise_of(one, view, around, usual)
        return *_background(answer), *_drawn(one, view, around, noise, seed)

    def put(one: CutOut, view: StampView, answer: Mapping[str, NDArray[Any]]) -> None:
        for target, values in zip(_layers(filled), told(one, view, answer), strict=True):
            one.put(target, values, one.own)

    runner.run([one for one in cutouts if not one.shared], show, put)
    shared = [one for one in cutouts if one.shared]
    if shared:
        at_once = _AT_ONCE * runner.batches[shared[0].side]
        _join(filled, shared, lambda some: runner.run(some, show, told), at_once)
    filled.noisy[filled.known] = 0
    return filled


def _layers(filled: Filled) -> tuple[NDArray[np.float32], ...]:
    """Return what a cut-out tells of its pixels, in the order of `_Told`."""
    return filled.background, filled.deviation, filled.sigma, filled.correlation, filled.noise


def _join(
    filled: Filled,
    cutouts: Sequence[CutOut],
    ask: Callable[[Sequence[CutOut]], list[_Told | None]],
    at_once: int,
) -> None:
    """Enter what cut-outs that overlap tell together, each pixel by its weight in them."""
    shape = filled.background.shape
    weights, squares = np.zeros((2, *shape), dtype=np.float32)
    sums = np.zeros((len(_layers(filled)), *shape), dtype=np.float32)
    # Sums in another order round differently, and answers of all at once take too much memory.
    for first in range(0, len(cutouts), at_once):
        some = cutouts[first : first + at_once]
        for one, layers in zip(some, ask(some), strict=True):
            if layers is None:
                continue
            weight = one.weight
            one.add(weights, weight, one.own)
            one.add(squares, weight * weight, one.own)
            for total, values in zip(sums, layers, strict=True):
                one.add(total, (weight * values).astype(np.float32), one.own)
    # Where those are missing that see too little, the others say it at their very rims.
    known = weights > _LEAST_WEIGHT
    for target, total in zip(_layers(filled), sums, strict=True):
        # A sum of noises has less of it than each: it gets the strength of one.
        over = np.sqrt(squares[known]) if target is filled.noise else weights[known]
        target[known] = total[known] / over


def _background(answer: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return background and its deviation, NaN of a network that tells no error."""
    background = answer["background"][0]
    if "spread" not in answer:
        return background, np.full_like(background, np.nan)
    return background, _DEVIATION * answer["spread"][0]


def _noise_of(one: CutOut, view: StampView, around: Surroundings, usual: Noise | None) -> Noise:
    """Return the noise around a hole; the usual one where too little of it is seen."""
    valid = view.valid
    if around.given is not None:
        valid = valid & ~one.cut(around.given, outside=False)
        if usual is not None and valid.mean() < _LEAST_SEEN:
            return usual
    return measure_noise(view.data, valid)


def _drawn(
    one: CutOut, view: StampView, around: Surroundings, noise: Noise, seed: int | None
) -> tuple[NDArray[np.float64], ...]:
    """Return strength and correlation of the noise around a hole, and more of it, or zeros."""
    shape = (one.side, one.side)
    drawn = np.zeros(shape)
    if seed is not None:
        place = one.y + around.origin[0], one.x + around.origin[1]
        drawn = draw_noise(_generator(seed, place, view), noise, shape)
    return np.full(shape, noise.sigma), np.full(shape, noise.correlation), drawn


def _view(one: CutOut, around: Surroundings) -> StampView:
    valid = one.cut(around.usable, outside=False) & ~one.cut(around.holes, outside=False)
    if around.given is not None:
        valid |= one.cut(around.given, outside=False)
    return StampView(np.where(valid, one.cut(around.data, outside=0), 0).astype("f4"), valid)


def _generator(seed: int, place: tuple[int, int], view: StampView) -> np.random.Generator:
    """Return a source of chance of a cut-out; exposures that are stacked must not share noise."""
    shown = zlib.crc32(view.data[view.valid].tobytes())
    return np.random.default_rng([seed, shown, *(abs(value) for value in place)])
