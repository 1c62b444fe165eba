"""How often each class has each score on validation samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.evaluation.metrics.mask import count_scores
from astroclean_maximask.classes import CHANNELS
from astroclean_maximask.train.samples import doubtful, labels_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from astroclean.evaluation.metrics.mask import ScoreCounts

__all__ = ["answers_of", "class_counts"]


def answers_of(model: Any, pixels: NDArray[np.float16], *, batch: int) -> Iterator[Any]:
    """Yield what a network answers to stored tiles, batch by batch.

    Parameters
    ----------
    model : keras.Model
        Takes pixels in units of the noise of the sky.
    pixels : (n, ny, nx) float16
        Tiles as they are stored: arcsinh of these.
    batch : int
        Tiles given together.

    Yields
    ------
    array or list of array
        Of each batch.
    """
    for start in range(0, len(pixels), batch):
        values = np.sinh(pixels[start : start + batch].astype(np.float32))
        yield model.predict_on_batch(values[..., np.newaxis])


def class_counts(
    model: Any, samples: Mapping[str, NDArray[Any]], *, batch: int
) -> dict[str, ScoreCounts]:
    """Count true and untrue pixels of each class by the score that a network gives them.

    Rims of hits are left out, as in every evaluation, and what is not known of real frames.

    Parameters
    ----------
    model : keras.Model
        Gives logits at full resolution, alone or before others.
    samples : mapping of str to array
        Validation samples, as `SampleMaker` makes them.
    batch : int
        Tiles given together.

    Returns
    -------
    dict of str to ScoreCounts
        By the name of the output.
    """
    pooled: dict[str, ScoreCounts] = {}
    for index, answer in enumerate(answers_of(model, samples["pixels"], batch=batch)):
        logits = np.asarray(answer[0] if isinstance(answer, list) else answer, dtype=np.float64)
        planes = samples["planes"][index * batch : (index + 1) * batch]
        labels, unsure = labels_of(planes) > 0, doubtful(planes)
        scores = 1 / (1 + np.exp(-logits))
        # The paper's network has the first 14 of them.
        for channel, name in enumerate(CHANNELS[: scores.shape[-1]]):
            found = count_scores(scores[..., channel], labels[..., channel], ignored=unsure)
            pooled[name] = pooled[name] + found if name in pooled else found
    return pooled
