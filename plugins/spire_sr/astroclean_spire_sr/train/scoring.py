"""How the validation of a training scores: of maps, and of sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean_spire_sr.answers import LARGEST, SCALE
from astroclean_spire_sr.train.samples import source_targets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

__all__ = ["field_scores"]


def field_scores(
    answer: Callable[[NDArray[np.float32]], list[NDArray[np.float32]]],
    samples: Mapping[str, NDArray[Any]],
) -> dict[str, float]:
    """Return correlation and RMS of maps, and how well sources are told.

    Parameters
    ----------
    answer : callable
        The network.
    samples : mapping of str to array
        As `astroclean_spire_sr.train.samples.SampleMaker` makes them, stacked.

    Returns
    -------
    dict of str to float
        ``score`` is what decides: the correlation, less half the cross-entropy of sources.
    """
    told: list[tuple[float, ...]] = []
    for number in range(len(samples["planes"])):
        planes = samples["planes"][number : number + 1].astype(np.float32)
        raw, _, sources = answer(planes)
        image = SCALE * np.exp(np.minimum(raw[0, 0], LARGEST))
        truth = samples["truth"][number].astype(np.float32)
        known = np.kron(samples["known"][number], np.ones((3, 3), dtype=bool))
        clipped = known & (truth < 50)  # noqa: PLR2004 - one bright source would be all there is
        error = (image - truth)[clipped]
        targets = source_targets(samples["sources"][number], planes.shape[-2:])
        own = samples["known"][number]
        told.append(
            (
                float(np.corrcoef(image[clipped], truth[clipped])[0, 1]),
                float(np.sqrt(np.mean(error**2))),
                _entropy(sources[0, 0][own], targets[0][own] >= 1.5),  # noqa: PLR2004
                _flux_error(sources[0], targets, own),
            )
        )
    correlation, rms, entropy, flux = np.mean(told, axis=0)
    return {
        "score": float(correlation - 5 * entropy),
        "correlation": float(correlation),
        "rms": float(rms),
        "entropy": float(entropy),
        "flux error": float(flux),
    }


def _entropy(logit: NDArray[np.float32], there: NDArray[np.bool_]) -> float:
    signed = np.where(there, -logit, logit)
    return float(np.mean(np.logaddexp(0, signed)))


def _flux_error(
    sources: NDArray[np.float32], targets: NDArray[np.float32], known: NDArray[np.bool_]
) -> float:
    """Return the RMS of the logarithm of flux of sources of 6 to 30 mJy."""
    chosen = known & (targets[0] >= 6) & (targets[0] < 30)  # noqa: PLR2004
    if not chosen.any():
        return 0.3
    error = sources[3][chosen] - np.log(targets[0][chosen] / SCALE)
    return float(np.sqrt(np.mean(error**2)))
