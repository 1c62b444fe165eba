"""What the default network is asked for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from astroclean_spire_sr.answers import LARGEST, SCALE

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["losses_of"]

_NOISE, _RELATIVE = 0.4, 0.12
"""Of a pixel of the map: errors count in units of mJy a beam and of the truth, both."""
_APERTURES = ((9, 1.0), (21, 2.0))
"""Side in pixels of 1 arcsec, noise of the sum in mJy."""
_BEAM = math.pi / (4 * math.log(2)) * 7.9**2
"""Pixels of 1 arcsec in the beam of the truth."""
LEAST_FLUX = 1.5
"""mJy, from which the network tells whether there is a source."""
_SHARPEST = -2.5
"""Least logarithm of the error of a logarithm of flux."""


def losses_of(answers: Any, truth: Any, known: Any, targets: Any) -> Mapping[str, Any]:
    """Return the loss and its parts.

    Parameters
    ----------
    answers : tuple of tensors
        Of the network, in float32.
    truth : (n, 1, 3 ny, 3 nx) tensor
        mJy a beam.
    known : (n, 1, ny, nx) tensor
        1 where 250 um was observed.
    targets : (n, 4, ny, nx) tensor
        As `astroclean_spire_sr.train.samples.source_targets` gives them.
    """
    raw, log_error, sources = answers
    image = SCALE * torch.exp(raw.clamp(max=LARGEST))
    fine = functional.interpolate(known, scale_factor=3, mode="nearest")
    residual = (image - truth) * fine
    parts = {"map": _mean(residual**2 / (_NOISE**2 + (_RELATIVE * truth) ** 2), fine)}
    aperture = truth.new_zeros(())
    for side, noise in _APERTURES:
        per = side**2 / _BEAM
        summed = functional.avg_pool2d(residual, side, stride=3) * per
        total = functional.avg_pool2d(truth, side, stride=3) * per
        aperture = aperture + (summed**2 / (noise**2 + (_RELATIVE * total) ** 2)).mean()
    parts["aperture"] = aperture
    squared = functional.avg_pool2d(residual.detach() ** 2, 3)
    spread = log_error.clamp(-6, 5)
    # Student's t of 4: what single bright sources miss must not rule the errors of all others.
    scaled = torch.log1p(squared * torch.exp(-2 * spread) / 4)
    parts["error"] = _mean(spread + 2.5 * scaled, known)
    parts |= _of_sources(sources, known, targets)
    loss = parts["map"] + 0.3 * parts["aperture"] + 0.05 * parts["error"]
    loss = loss + 25.0 * parts["found"] + 0.15 * parts["place"] + 0.15 * parts["flux"]
    return {"loss": loss, **parts}


def _of_sources(sources: Any, known: Any, targets: Any) -> Mapping[str, Any]:
    logit, dx, dy, log_flux, log_error = sources.unbind(1)
    inside, (own, x, y, flux) = known[:, 0], targets.unbind(1)
    found = functional.binary_cross_entropy_with_logits(
        logit, (own >= LEAST_FLUX).float(), reduction="none"
    )
    there = inside * (flux >= 1.0)
    # Brighter sources have places; faint ones are told by what is around them.
    weight = there * flux.clamp(max=20.0) / (flux.clamp(max=20.0) + 5.0)
    place = functional.huber_loss(dx, x, reduction="none")
    place = place + functional.huber_loss(dy, y, reduction="none")
    wanted = torch.log(flux.clamp(min=1.0) / SCALE)
    spread = log_error.clamp(_SHARPEST, 2)
    error = spread + 0.5 * (log_flux - wanted) ** 2 * torch.exp(-2 * spread)
    return {
        "found": _mean(found, inside),
        "place": _mean(place, weight),
        "flux": _mean(error, there),
    }


def _mean(values: Any, weight: Any) -> Any:
    return (values * weight).sum() / weight.sum().clamp(min=1.0)
