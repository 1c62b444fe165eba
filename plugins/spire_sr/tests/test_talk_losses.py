"""The losses of the talk are 0 for the truth, and what its formulas say for known errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from astroclean_spire_sr.talk.losses import (  # noqa: E402 - imports torch
    LossWeights,
    aperture_fluxes,
    sources_in,
    talk_losses,
)

ALL = LossWeights()


def sky(*sources: tuple[float, float, float], level: float = 0.0, side: int = 64) -> Any:
    """Return (1, 1, side, side): sources (y, x, mJy) in a beam of 7.9 arcsec."""
    y, x = np.indices((side, side), dtype=float)
    image = np.full((side, side), level)
    for row, column, flux in sources:
        square = (y - row) ** 2 + (x - column) ** 2
        image += flux * np.exp(-4 * np.log(2) * square / 7.9**2)
    return torch.from_numpy(image.astype(np.float32))[np.newaxis, np.newaxis]


def losses(
    generated: Any, target: Any, *, real: float = 0.0, known: Any = None
) -> dict[str, float]:
    known = torch.ones_like(target) if known is None else known
    is_real = torch.full((len(target),), real)
    told = talk_losses(generated, target, known, is_real, ALL)
    return {name: float(value) for name, value in told.items()}


def test_the_truth_costs_nothing() -> None:
    truth = sky((20, 30, 12.0), (45, 40, 5.0), level=0.5)
    assert losses(truth, truth, real=1.0) == dict.fromkeys(
        ("loss", "pixels", "mean", "median", "aperture", "cross"), 0.0
    )


def test_an_aperture_has_the_flux_of_a_source_in_its_middle() -> None:
    fluxes = aperture_fluxes(sky((30, 25, 7.0)))
    assert float(fluxes[0, 0, 30, 25]) == pytest.approx(7.0, rel=1e-5)
    # By the formula of a Gaussian an aperture of one FWHM holds 15/16 of it; here it is whole.
    plain = float(sky((30, 25, 7.0)).sum()) * 4 * np.log(2) / (np.pi * 7.9**2)
    assert plain == pytest.approx(7.0, rel=1e-3)


def test_sources_are_bright_peaks() -> None:
    image = sky((20, 30, 12.0), (45, 40, 5.0), (10, 50, 2.0))
    found = np.argwhere(sources_in(image, torch.ones_like(image))[0, 0].numpy())
    np.testing.assert_array_equal(found, [[20, 30], [45, 40]])
    known = torch.ones_like(image)
    known[..., :30, :] = 0
    found = np.argwhere(sources_in(image, known)[0, 0].numpy())
    np.testing.assert_array_equal(found, [[45, 40]])


def test_terms_are_those_of_the_formulas() -> None:
    target = sky((20, 30, 12.0), (48, 40, 6.0))
    told = losses(sky((20, 30, 9.0), (48, 40, 7.0)), target)
    # |12 - 9| and |6 - 7|, over two sources.
    assert told["aperture"] == pytest.approx((3 + 1) / 2, abs=0.01)
    assert told["cross"] == 0
    area = np.pi * 7.9**2 / (4 * np.log(2))
    assert told["pixels"] == pytest.approx((3 + 1) * area / 64**2, rel=0.01)
    assert told["mean"] == pytest.approx((3 - 1) * area / 64**2, rel=0.01)
    shifted = losses(target + 0.5, target)
    for name in ("pixels", "mean", "median"):
        assert shifted[name] == pytest.approx(0.5, rel=1e-4), name


def test_what_is_made_up_costs_in_the_cross_term_of_real_data_alone() -> None:
    target, generated = sky((20, 30, 12.0)), sky((20, 30, 12.0), (48, 40, 8.0))
    simulated, real = losses(generated, target), losses(generated, target, real=1.0)
    assert simulated["aperture"] == real["aperture"] == pytest.approx(0, abs=1e-3)
    # Two generated sources: one is right, the other is 8 mJy too much.
    assert real["cross"] == pytest.approx(8 / 2, abs=0.01)
    assert simulated["cross"] == 0
    assert real["loss"] - simulated["loss"] == pytest.approx(4, abs=0.01)


def test_the_cross_term_counts_real_samples_of_a_batch() -> None:
    target = sky((20, 30, 12.0)).repeat(2, 1, 1, 1)
    generated = torch.cat([sky((20, 30, 12.0), (48, 40, 8.0)), sky((20, 30, 12.0))])
    known = torch.ones_like(target)
    for is_real, cross, share in (([1, 0], 4, 0.5), ([0, 1], 0, 0.5), ([1, 1], 2, 1)):
        told = talk_losses(generated, target, known, torch.tensor(is_real).float(), ALL)
        assert float(told["cross"]) == pytest.approx(cross, abs=0.01)
        alone = talk_losses(
            generated, target, known, torch.tensor(is_real).float(), LossWeights(cross=0)
        )
        added = float(told["loss"] - alone["loss"])
        assert added == pytest.approx(cross * share, abs=0.01)


def test_what_was_not_observed_does_not_count() -> None:
    target = sky((20, 30, 12.0), level=0.4)
    known = torch.ones_like(target)
    known[..., 40:] = 0
    wrong = target.clone()
    wrong[..., 40:] += 30.0
    told = losses(wrong, target, real=1.0, known=known)
    assert all(value == pytest.approx(0, abs=1e-6) for value in told.values()), told
    nothing = losses(wrong, target, real=1.0, known=torch.zeros_like(target))
    assert set(nothing.values()) == {0.0}


def test_every_term_has_a_gradient() -> None:
    # Of pixels that are all darker than the truth; the median's goes to one pixel.
    target = sky((20, 30, 12.0), level=0.5)
    for name in ("pixels", "mean", "median", "aperture", "cross"):
        generated = (0.8 * target).requires_grad_()
        weights = LossWeights(**{**dict.fromkeys(LossWeights.model_fields, 0.0), name: 1.0})
        told = talk_losses(generated, target, torch.ones_like(target), torch.ones(1), weights)
        told["loss"].backward()
        assert generated.grad is not None
        assert float(generated.grad.min()) < 0, name
        assert float(generated.grad.max()) <= 0, name
