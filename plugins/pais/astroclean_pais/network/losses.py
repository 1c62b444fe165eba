"""Losses of the finder."""

from __future__ import annotations

from typing import Any

from keras import ops

__all__ = ["PARAMETERS", "WEIGHTS", "finder_loss"]

PARAMETERS = 8
"""Heads beside the centre, in the order of `astroclean_pais.network.finder.HEADS`."""
WEIGHTS = (1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.3, 0.3)
"""Of their losses."""
_LOGITS = 2
"""The last of them are logits."""
_ROUND = 0.05
"""Errors below it count as their squares."""


def finder_loss(target: Any, answer: Any) -> Any:
    """Return the loss of centres (Zhou et al. 2019, arXiv:1904.07850, eq. 1) and of their heads.

    Parameters
    ----------
    target : (n, ny, nx, 11) tensor
        Height of the map of centres, 1 at centres; weight of that pixel; weight of its heads; the
        heads.
    answer : (n, ny, nx, 9) tensor
        Of the finder.

    Returns
    -------
    tensor
        A number: the sum over pixels by the number of centres.
    """
    answer = ops.cast(answer, "float32")
    height, weight, cares = target[..., 0], target[..., 1], target[..., 2]
    logit = answer[..., 0]
    is_centre = ops.cast(height > 0.999, "float32")  # noqa: PLR2004 - 1, rounded
    chance = ops.sigmoid(logit)
    hit = (1 - chance) ** 2 * -ops.log_sigmoid(logit)
    miss = (1 - height) ** 4 * chance**2 * -ops.log_sigmoid(-logit)
    count = ops.maximum(ops.sum(is_centre), 1.0)
    centres = ops.sum(weight * (is_centre * hit + (1 - is_centre) * miss)) / count
    wanted, given = target[..., 3:], answer[..., 1:]
    plain = ops.sqrt((given[..., :-_LOGITS] - wanted[..., :-_LOGITS]) ** 2 + _ROUND**2) - _ROUND
    logits, labels = given[..., -_LOGITS:], wanted[..., -_LOGITS:]
    entropy = ops.relu(logits) - logits * labels + ops.log1p(ops.exp(-ops.abs(logits)))
    errors = ops.concatenate([plain, entropy], axis=-1) * ops.convert_to_tensor(WEIGHTS, "float32")
    heads = ops.sum(cares[..., None] * errors) / ops.maximum(ops.sum(cares), 1.0)
    return centres + heads
