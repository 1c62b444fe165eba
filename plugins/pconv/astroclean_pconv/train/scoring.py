"""How well holes are filled, on samples whose truth is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Answer = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]

__all__ = ["hole_scores"]


def hole_scores(
    answer: Answer, samples: Mapping[str, NDArray[Any]], *, batch: int
) -> dict[str, float]:
    """Score an answer in the holes.

    Parameters
    ----------
    answer : callable
        Of images and masks, (n, 1, ny, nx) float32 each, to backgrounds of this shape.
    samples : mapping of str to array
        As `SampleMaker` gives them, in a row: (maps, cuts, ny, nx).
    batch : int
        Cut-outs given at once.

    Returns
    -------
    dict of str to float
        ``error mean`` and ``error median``: |answer - noiseless sky| in the holes, over the scatter
        of what lies beneath in that cut-out; ``flux``: median over cut-outs of |ratio - 1|, the
        light taken out of all holes over that which is there; ``score``: more is better.
    """
    names = ("image", "target", "sky", "valid", "hole")
    flat = {name: samples[name].reshape(-1, *samples[name].shape[-2:]) for name in names}
    errors, ratios = [], []
    for first in range(0, len(flat["image"]), batch):
        part = {name: values[first : first + batch] for name, values in flat.items()}
        image = part["image"].astype(np.float32)
        found = answer(image[:, np.newaxis], part["valid"][:, np.newaxis].astype(np.float32))[:, 0]
        for index, hole in enumerate(part["hole"]):
            target = part["target"][index].astype(np.float64)
            inside = hole | part["valid"][index]
            scatter = target[inside].std()
            sky = part["sky"][index].astype(np.float64)
            errors.append(np.abs(found[index] - sky)[hole] / scatter)
            light = (image[index] - target)[hole].sum()
            ratios.append((image[index] - found[index])[hole].sum() / light)
    every = np.concatenate(errors)
    mean = float(every.mean())
    return {
        "score": -mean,
        "error mean": mean,
        "error median": float(np.median(every)),
        "flux": float(np.median(np.abs(np.array(ratios) - 1))),
    }
