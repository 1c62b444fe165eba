"""Fill holes of a frame with the network: cut-out by cut-out, the same whatever the order."""

from __future__ import annotations

import itertools
import zlib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.parallel import in_threads
from astroclean_pconv.fill.cutouts import BATCHES, cut, plan_cutouts
from astroclean_pconv.fill.noise import draw_noise, measure_noise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from astroclean.inference.stage_network import StageNetwork
    from astroclean_pconv.fill.cutouts import CutOut
    from astroclean_pconv.fill.noise import Noise

    _View = tuple[NDArray[np.float32], NDArray[np.bool_]]
    _Part = tuple[CutOut, tuple[NDArray[Any], ...]]

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
    counts = {side: count for count, side, _ in network.card.batches} or BATCHES
    cutouts = plan_cutouts(around.holes, origin=around.origin, sides=counts)
    usual = None
    if around.given is not None:
        seen = around.usable & ~around.holes
        usual = measure_noise(np.where(seen, around.data, 0), seen)

    def work(batch: Sequence[CutOut]) -> list[_Part]:
        shown = [_show(one, around) for one in batch]
        answers = _answers(network, shown, counts[batch[0].side])
        parts = []
        for one, view, answer in zip(batch, shown, answers, strict=True):
            if answer is not None:
                noise = _noise_of(one, view, around, usual)
                parts.append((one, (*answer, *_drawn(one, view, around, noise, seed))))
        return parts

    def work_alone(batch: Sequence[CutOut]) -> None:
        for one, layers in work(batch):
            for target, values in zip(_layers(filled), layers, strict=True):
                one.put(target, values)

    alone = [one for one in cutouts if not one.shared]
    in_threads(work_alone, _batches(alone, counts), network.engine.parallel)
    shared = [one for one in cutouts if one.shared]
    if shared:
        _join(filled, shared, lambda some: in_threads(work, some, network.engine.parallel), counts)
    filled.noisy[filled.known] = 0
    return filled


def _layers(filled: Filled) -> tuple[NDArray[np.float32], ...]:
    """Return what a cut-out tells of its pixels, in the order of a `_Part`."""
    return filled.background, filled.deviation, filled.sigma, filled.correlation, filled.noise


def _join(
    filled: Filled,
    cutouts: Sequence[CutOut],
    work: Callable[[Sequence[Sequence[CutOut]]], list[list[_Part]]],
    counts: Mapping[int, int],
) -> None:
    """Enter what cut-outs that overlap tell together, each pixel by its weight in them."""
    shape = filled.background.shape
    weights, squares = np.zeros((2, *shape), dtype=np.float32)
    sums = np.zeros((len(_layers(filled)), *shape), dtype=np.float32)
    batches = list(_batches(cutouts, counts))
    # Sums in another order round differently, and views of all at once take too much memory.
    for first in range(0, len(batches), _AT_ONCE):
        for one, layers in itertools.chain(*work(batches[first : first + _AT_ONCE])):
            weight = one.weight
            one.add(weights, weight)
            one.add(squares, weight * weight)
            for total, values in zip(sums, layers, strict=True):
                one.add(total, (weight * values).astype(np.float32))
    # Where those are missing that see too little, the others say it at their very rims.
    known = weights > _LEAST_WEIGHT
    for target, total in zip(_layers(filled), sums, strict=True):
        # A sum of noises has less of it than each: it gets the strength of one.
        over = np.sqrt(squares[known]) if target is filled.noise else weights[known]
        target[known] = total[known] / over


def _answers(
    network: StageNetwork, shown: Sequence[_View], count: int
) -> Iterator[tuple[NDArray[Any], NDArray[Any]] | None]:
    """Yield background and its deviation of each cut-out; None where too little is seen.

    Engines compile for batches of one length: what is missing of it stays empty.
    """
    normalization = network.card.normalization
    prepared = [normalization.forward(image, valid) for image, valid in shown]
    side = shown[0][1].shape[0]
    images, masks = np.zeros((2, count, 1, side, side), dtype=np.float32)
    for index, ((image, _), (_, valid)) in enumerate(zip(prepared, shown, strict=True)):
        images[index, 0], masks[index, 0] = image, valid
    answers = network.engine.infer({"image": images, "mask": masks})
    for index, ((_, valid), (_, state)) in enumerate(zip(shown, prepared, strict=True)):
        if valid.mean() < _LEAST_SEEN:
            yield None
            continue
        background = answers["background"][index, 0]
        width = np.full_like(background, np.nan)  # of a network that tells no error
        if "spread" in answers:
            width = normalization.inverse_width(answers["spread"][index, 0], state)
        yield normalization.inverse(background, state), _DEVIATION * width


def _noise_of(one: CutOut, view: _View, around: Surroundings, usual: Noise | None) -> Noise:
    """Return the noise around a hole; the usual one where too little of it is seen."""
    image, valid = view
    if around.given is not None:
        valid = valid & ~cut(around.given, one, outside=False)
        if usual is not None and valid.mean() < _LEAST_SEEN:
            return usual
    return measure_noise(image, valid)


def _drawn(
    one: CutOut, view: _View, around: Surroundings, noise: Noise, seed: int | None
) -> tuple[NDArray[np.float64], ...]:
    """Return strength and correlation of the noise around a hole, and more of it, or zeros."""
    image, valid = view
    drawn = np.zeros(image.shape)
    if seed is not None:
        place = one.y + around.origin[0], one.x + around.origin[1]
        drawn = draw_noise(_generator(seed, place, image, valid), noise, image.shape)
    return np.full(image.shape, noise.sigma), np.full(image.shape, noise.correlation), drawn


def _show(one: CutOut, around: Surroundings) -> _View:
    valid = cut(around.usable, one, outside=False) & ~cut(around.holes, one, outside=False)
    if around.given is not None:
        valid |= cut(around.given, one, outside=False)
    image = np.where(valid, cut(around.data, one, outside=0), 0).astype(np.float32)
    return image, valid


def _batches(cutouts: Sequence[CutOut], counts: Mapping[int, int]) -> Iterator[Sequence[CutOut]]:
    """Yield cut-outs of one side together, at most so many as are told for it."""
    alike: dict[int, list[CutOut]] = {}
    for one in cutouts:
        alike.setdefault(one.side, []).append(one)
    for side, group in alike.items():
        for first in range(0, len(group), counts[side]):
            yield group[first : first + counts[side]]


def _generator(
    seed: int, place: tuple[int, int], image: NDArray[np.float32], valid: NDArray[np.bool_]
) -> np.random.Generator:
    """Return a source of chance of a cut-out; exposures that are stacked must not share noise."""
    shown = zlib.crc32(image[valid].tobytes())
    return np.random.default_rng([seed, shown, *(abs(value) for value in place)])
