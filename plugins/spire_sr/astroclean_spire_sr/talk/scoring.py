"""How the validation of a training of the variant `talk` scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.psf.beam import TARGET_FWHM_ARCSEC
from astroclean_spire_sr.bands import FINE
from astroclean_spire_sr.talk.peaks import peak_catalogue
from astroclean_spire_sr.talk.restore import talk_sky

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

__all__ = ["map_scores"]

_BRIGHT = 9.0
"""mJy: above it the talk finds its fluxes good."""
_BRIGHTEST = 50.0
"""mJy a beam: pixels above are left out, for one such source would be all there is."""


def map_scores(
    answer: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    samples: Mapping[str, NDArray[Any]],
    *,
    side: int,
) -> dict[str, float]:
    """Return how like the truth the maps of the network are.

    Parameters
    ----------
    answer : callable
        The network: (1, 1, side, side), 0 to 1, to the same.
    samples : mapping of str to array
        As `astroclean_spire_sr.talk.samples.TalkSampleMaker` makes them, stacked.
    side : int
        Pixels of what the network sees.

    Returns
    -------
    dict of str to float
        Means over fields of ``correlation`` and ``rms`` (mJy a beam), of pixels below 50 mJy;
        ``flux ratio``, median over true peaks of 9 mJy or more of what is told at their places
        over what is true; ``light``, all light told over all that is true.
    """
    maps: list[tuple[float, float]] = []
    ratios: list[NDArray[np.floating]] = []
    light = np.zeros(2)
    for number, known in enumerate(samples["known"]):
        data, truth = (samples[name][number].astype(np.float32) for name in ("data", "truth"))
        image = talk_sky(data, known, answer, side=side).image
        used = known & (truth < _BRIGHTEST)
        error = image[used] - truth[used]
        maps.append((_correlation(image[used], truth[used]), float(np.sqrt(np.mean(error**2)))))
        ratios.append(_ratios(image, np.where(known, truth, np.nan)))
        light += image[used].sum(), truth[used].sum()
    correlation, rms = np.mean(maps, axis=0)
    ratio = np.concatenate(ratios)
    return {
        "correlation": float(correlation),
        "rms": float(rms),
        "flux ratio": float(np.median(ratio)) if ratio.size else float("nan"),
        "light": float(light[0] / light[1]),
    }


def _correlation(image: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Return the correlation; 0 for an image that is the same everywhere."""
    if not image.std():
        return 0.0
    return float(np.corrcoef(image, truth)[0, 1])


def _ratios(image: NDArray[np.floating], truth: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the highest pixel around each bright true peak, over that peak."""
    from scipy.ndimage import maximum_filter  # noqa: PLC0415 - heavy

    peaks = peak_catalogue(truth)
    flux = peaks["flux"].to_value("mJy")
    near = 2 * round(TARGET_FWHM_ARCSEC / FINE / 2) + 1
    highest = maximum_filter(np.nan_to_num(image), near)
    row, column = (np.rint(peaks[name]).astype(int) for name in ("y", "x"))
    ratio: NDArray[np.floating] = highest[row, column] / flux
    return np.asarray(ratio[flux >= _BRIGHT])
