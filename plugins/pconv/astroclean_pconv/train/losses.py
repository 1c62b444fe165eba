"""The losses of the paper (section 3.3), each of which can be left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Features = Callable[[torch.Tensor], Sequence[torch.Tensor]]

__all__ = [
    "RELEASE",
    "Batch",
    "LossWeights",
    "gram_matrix",
    "losses_of",
    "simple_error",
    "ssim",
    "style_loss",
]

_SSIM_WINDOW, _SSIM_SIGMA = 5, 1.5
_K1, _K2 = 0.01, 0.03
_BRIGHT = 5.0
"""Normalized values from which relative errors count."""
_NARROW = 1e-2
"""Least expected error; the gradients of a smaller one are too large for the rest."""
_LEAST = 0.02
"""Least unit of errors."""


class LossWeights(BaseModel):
    """Weights of the terms, by default the paper's (equation 7); what has 0 is not computed."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    valid: float = Field(default=2.0, ge=0)
    """Of the absolute error where the network sees pixels."""
    hole: float = Field(default=6.0, ge=0)
    """Of the absolute error in the holes."""
    style: float = Field(default=120.0, ge=0)
    """Of the differences of Gram matrices; it needs a network that gives features."""
    ssim: float = Field(default=0.4, ge=0)
    """Of the structural dissimilarity."""
    source: float = Field(default=1.0, ge=0)
    """Of the absolute error of the source that is taken out."""
    spread: float = Field(default=0.0, ge=0)
    """Of the expected error that the network tells, for one that does (not in the paper)."""


RELEASE = LossWeights(valid=6.0)
"""As in the configuration that the authors released."""


class Batch(NamedTuple):
    """Cut-outs, each (n, 1, ny, nx) float32."""

    image: torch.Tensor
    """With sources."""
    target: torch.Tensor
    """Without."""
    valid: torch.Tensor
    """1 where the network sees pixels, else 0."""
    hole: torch.Tensor
    """1 where it fills pixels, else 0; beyond the border of a map neither is 1."""
    known: torch.Tensor
    """(n, 1, 1, 1): 1 where the target in the holes has no noise, so that errors are errors."""
    unit: torch.Tensor
    """(n, 1, 1, 1): errors count in this unit; 1 for those of the paper, see `simple_error`."""


def losses_of(
    found: torch.Tensor,
    batch: Batch,
    weights: LossWeights,
    *,
    spread: torch.Tensor | None = None,
    features: Features | None = None,
) -> dict[str, torch.Tensor]:
    """Return the weighted sum of the losses as ``loss``, and each term that has a weight.

    Parameters
    ----------
    found : (n, 1, ny, nx) tensor
        The network's answer.
    batch : Batch
        Truth.
    weights : LossWeights
        Which terms, and how much of each.
    spread : (n, 1, ny, nx) tensor, optional
        The error that the network expects; without it that term is left out.
    features : callable, optional
        A frozen network that gives feature maps of an image, for the style loss.

    Returns
    -------
    dict of str to tensor
        Scalars.

    Raises
    ------
    ValueError
        The style loss has a weight and there are no features.
    """
    if weights.style and features is None:
        raise ValueError("the style loss needs a network that gives features; or `style = 0`")
    inside = batch.valid + batch.hole
    # Beyond the border of a map nothing is known, and nothing is asked.
    out = found * inside
    filled = torch.where(batch.hole > 0, out, batch.target)
    error = _softened(out - batch.target, batch)
    terms: dict[str, Callable[[], torch.Tensor]] = {
        "valid": (batch.valid * error).mean,
        "hole": (batch.hole * error).mean,
        "style": lambda: style_loss(out, filled, batch.target, features),
        "ssim": lambda: 1 - ssim(batch.target, out).mean(),
        "source": lambda: _source_loss(filled, batch),
    }
    if spread is not None:
        terms["spread"] = lambda: _spread_loss(spread, out, batch)
    made = {name: term() for name, term in terms.items() if getattr(weights, name)}
    total = sum((getattr(weights, name) * value for name, value in made.items()), out.new_zeros(()))
    return {"loss": total, **made}


def _softened(difference: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return absolute errors in their unit; where much light lies beneath, relative ones.

    Without this a batch with one bright star teaches nothing else. Emission is fainter than that.
    """
    return difference.abs() / (batch.unit * torch.sqrt(1 + (batch.target / _BRIGHT) ** 2))


def simple_error(simple: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return how far a simple filling is off in the holes of each cut-out.

    As a unit of errors it makes cut-outs alike: smooth emission, where a tenth of the scatter is
    much, and fields of stars or maps of noise, where nobody can do better than its multiple.

    Parameters
    ----------
    simple : (n, 1, ny, nx) tensor
        The filling.
    batch : Batch
        Truth; its unit is not read.

    Returns
    -------
    (n, 1, 1, 1) tensor
        Mean absolute error, and a little more, so that it is never 0.
    """
    axes = (1, 2, 3)
    plain = batch._replace(unit=torch.ones_like(batch.known))
    error = batch.hole * _softened(simple - batch.target, plain)
    mean = error.sum(axes, keepdim=True) / batch.hole.sum(axes, keepdim=True).clamp(min=1)
    return (mean + _LEAST).detach()


def _spread_loss(spread: torch.Tensor, out: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return the negative logarithm of the likelihood of the errors under a Laplace distribution.

    Its scale is the expected absolute error. The background does not feel this term.
    """
    error = (out - batch.target).detach().abs()
    scale = spread.clamp(min=_NARROW)
    told = batch.hole * batch.known
    lost = told * (torch.log(scale) + error / scale)
    return lost.sum() / told.sum().clamp(min=1)


def _source_loss(filled: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return the mean of equation 6: the true source against the extracted one.

    The image cancels, so this is the error of the composite: that of the holes once more.
    """
    return _softened((batch.image - batch.target) - (batch.image - filled), batch).mean()


def style_loss(
    out: torch.Tensor, filled: torch.Tensor, target: torch.Tensor, features: Any
) -> torch.Tensor:
    """Return equation 3, for the answer and for the composite, as a mean over the batch.

    Parameters
    ----------
    out, filled, target : (n, 1, ny, nx) tensor
        Answer; answer in the holes and truth elsewhere; truth.
    features : callable
        Gives feature maps (n, channels, my, mx).

    Returns
    -------
    tensor
        Scalar; ``K`` is 1 over the number of values of a feature map.
    """
    with torch.no_grad():
        truth = [gram_matrix(part) for part in features(target)]
    total = out.new_zeros(())
    for image in (out, filled):
        for part, wanted in zip(features(image), truth, strict=True):
            total = total + (gram_matrix(part) - wanted).abs().mean()
    return total


def gram_matrix(features: torch.Tensor) -> torch.Tensor:
    """Return products of channels, summed over pixels, over the number of values.

    Parameters
    ----------
    features : (n, channels, ny, nx) tensor
        Feature maps.

    Returns
    -------
    (n, channels, channels) tensor
        Symmetric.
    """
    count, channels, ny, nx = features.shape
    flat = features.reshape(count, channels, ny * nx)
    return flat @ flat.transpose(1, 2) / (channels * ny * nx)


def ssim(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return the structural similarity of each pixel (Wang et al. 2004; paper, equation 5).

    Gaussian window of 5 pixels and standard deviation 1.5. The dynamic range L is that of the
    first image, each its own, so that the measure has no unit.

    Parameters
    ----------
    one, other : (n, 1, ny, nx) tensor
        Truth, answer.

    Returns
    -------
    (n, 1, ny - 4, nx - 4) tensor
        1 where they are the same.
    """
    offsets = torch.arange(_SSIM_WINDOW, dtype=one.dtype, device=one.device) - _SSIM_WINDOW // 2
    line = torch.exp(-0.5 * (offsets / _SSIM_SIGMA) ** 2)
    kernel = torch.outer(line, line)[None, None] / line.sum() ** 2

    def smooth(image: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(image, kernel)

    span = one.amax((1, 2, 3), keepdim=True) - one.amin((1, 2, 3), keepdim=True)
    # A flat image has no range; something small keeps the quotient finite.
    span = span.clamp(min=torch.finfo(one.dtype).eps)
    c1, c2 = (_K1 * span) ** 2, (_K2 * span) ** 2
    mean, mean_other = smooth(one), smooth(other)
    variance = smooth(one * one) - mean**2
    variance_other = smooth(other * other) - mean_other**2
    covariance = smooth(one * other) - mean * mean_other
    upper = (2 * mean * mean_other + c1) * (2 * covariance + c2)
    lower = (mean**2 + mean_other**2 + c1) * (variance + variance_other + c2)
    return upper / lower
