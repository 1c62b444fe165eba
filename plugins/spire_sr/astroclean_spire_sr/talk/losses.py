"""The losses of the talk: pixels, mean, median, and apertures at sources."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch.nn import functional

from astroclean.core.psf.beam import TARGET_FWHM_ARCSEC
from astroclean_spire_sr.bands import FINE

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LEAST", "LossWeights", "aperture_fluxes", "sources_in", "talk_losses"]

LEAST = 3.0
"""mJy a beam of the faintest source that counts: three times the confusion noise of SCUBA-2."""
_NEAR = 3
"""Pixels around a source within which there is no other."""
_RADIUS = TARGET_FWHM_ARCSEC / FINE
"""Of an aperture, pixels: a FWHM, which holds 94 % of a source."""


class LossWeights(BaseModel):
    """Of the terms. All are in mJy a beam, or mJy; the talk does not tell its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    pixels: float = Field(default=1.0, ge=0)
    """Of the mean absolute difference of pixels."""
    mean: float = Field(default=1.0, ge=0)
    """Of the difference of the means of two images."""
    median: float = Field(default=1.0, ge=0)
    """Of the difference of their medians."""
    aperture: float = Field(default=1.0, ge=0)
    """Of the mean absolute difference of fluxes at sources of the target."""
    cross: float = Field(default=1.0, ge=0)
    """Of the same at sources of the generated image, of samples that stand for real data."""


def talk_losses(
    generated: Any, target: Any, known: Any, is_real: Any, weights: LossWeights
) -> Mapping[str, Any]:
    """Return the loss and its terms.

    Parameters
    ----------
    generated, target : (n, 1, ny, nx) tensor
        mJy a beam on pixels of 1 arcsec.
    known : (n, 1, ny, nx) tensor
        1 where the sky was observed, else 0: nothing counts there.
    is_real : (n,) tensor
        1 for samples that stand for real data: theirs is the cross term, too.
    weights : LossWeights
        Of the terms.

    Returns
    -------
    mapping of str to tensor
        ``loss`` and, unweighted, ``pixels``, ``mean``, ``median``, ``aperture``, ``cross``: means
        over samples, the last over those that stand for real data.
    """
    residual = (generated - target) * known
    area = known.sum((1, 2, 3)).clamp(min=1.0)
    off = aperture_fluxes(residual).abs()
    crossed = _at(off, sources_in(generated, known))
    terms = {
        "pixels": (residual.abs().sum((1, 2, 3)) / area).mean(),
        "mean": (residual.sum((1, 2, 3)).abs() / area).mean(),
        "median": (_medians(generated, known) - _medians(target, known)).abs().mean(),
        "aperture": _at(off, sources_in(target, known)).mean(),
        "cross": (crossed * is_real).sum() / is_real.sum().clamp(min=1.0),
    }
    # The cross term is one of real samples, in the loss of a batch as in that of each of them.
    share = {name: is_real.mean() if name == "cross" else 1.0 for name in terms}
    loss = sum(getattr(weights, name) * share[name] * term for name, term in terms.items())
    return {"loss": loss, **terms}


def sources_in(image: Any, known: Any) -> Any:
    """Return where the sources of images are: the highest pixels around, if they are bright.

    Parameters
    ----------
    image, known : (n, 1, ny, nx) tensor
        mJy a beam; 1 where it counts.

    Returns
    -------
    (n, 1, ny, nx) tensor
        1 at sources, else 0; without a gradient.
    """
    seen = (image * known).detach()
    highest = functional.max_pool2d(seen, 2 * _NEAR + 1, stride=1, padding=_NEAR)
    return ((seen >= highest) & (seen >= LEAST)).to(image.dtype)


def aperture_fluxes(image: Any) -> Any:
    """Return the flux in the aperture around each pixel, corrected for what it does not hold.

    Parameters
    ----------
    image : (n, 1, ny, nx) tensor
        mJy a beam of 7.9 arcsec on pixels of 1 arcsec.

    Returns
    -------
    (n, 1, ny, nx) tensor
        mJy: that of a point source in the middle.
    """
    kernel = torch.from_numpy(_aperture()).to(image)
    return functional.conv2d(image, kernel, padding=kernel.shape[-1] // 2)


@functools.cache
def _aperture() -> Any:
    reach = int(_RADIUS)
    y, x = np.indices((2 * reach + 1, 2 * reach + 1)) - reach
    square = x**2 + y**2
    inside = square <= _RADIUS**2
    beam = np.exp(-4 * np.log(2) * square / (TARGET_FWHM_ARCSEC / FINE) ** 2)
    return (inside / beam[inside].sum()).astype(np.float32)[np.newaxis, np.newaxis]


def _at(values: Any, places: Any) -> Any:
    """Return the mean of values at the places of each image, 0 where there are none; (n,)."""
    return (values * places).sum((1, 2, 3)) / places.sum((1, 2, 3)).clamp(min=1.0)


def _medians(image: Any, known: Any) -> Any:
    """Return the median of what is known of each image, 0 where nothing is; (n,)."""
    found = []
    for one, seen in zip(image, known, strict=True):
        values = one[seen > 0]
        found.append(values.median() if values.numel() else image.new_zeros(()))
    return torch.stack(found)
