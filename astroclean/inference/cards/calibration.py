"""What was learned about a network after its training: thresholds, corrections, scales of errors.

Measured on samples that no training saw, kept in the card, and applied by the stage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from astroclean.core.configs import read_toml
from astroclean.errors import ConfigurationError
from astroclean.inference.cards.card_parts import Declared

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Calibration", "ClassSettings", "FluxCorrection", "ProbabilityMap", "read_classes"]

_Positive = Annotated[float, Field(gt=0)]
_EDGE = 1e-7
"""Probabilities nearer to 0 or 1 have the log odds of this one: float32 cannot tell them apart."""


class ClassSettings(Declared):
    """What is known of one class of one set of weights."""

    training_prior: float = Field(default=0.5, gt=0, lt=1)
    """Fraction of pixels in the training set. With the same ``prior`` nothing is updated."""
    prior: float = Field(default=0.5, gt=0, lt=1)
    """Fraction expected in frames."""
    threshold: float = Field(ge=0, le=1)
    """Probability above which a pixel is flagged."""


class ProbabilityMap(Declared):
    """A line in log odds that makes answers of a network probabilities (Platt 1999)."""

    slope: float = Field(default=1.0, gt=0)
    """Of the log odds; it keeps their order."""
    offset: float = 0.0
    """Added to them."""

    def of(self, answers: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities, of the shape of the answers, which lie between 0 and 1."""
        inside = np.clip(answers.astype(np.float64), _EDGE, 1 - _EDGE)
        odds = self.slope * (np.log(inside) - np.log1p(-inside)) + self.offset
        return np.asarray(1 / (1 + np.exp(-odds)), dtype=np.float32)


class FluxCorrection(Declared):
    """How many times too large recovered fluxes are, by their recovered S/N."""

    coefficients: tuple[float, ...] = Field(min_length=1)
    """Of 1, L, L^2, ... with L the decimal logarithm of the S/N."""
    snr: tuple[_Positive, _Positive]
    """Lowest and highest S/N that was measured; beyond, the nearest counts."""

    @model_validator(mode="after")
    def _is_positive(self) -> Self:
        low, high = self.snr
        if not low < high:
            raise ValueError(f"snr: must rise, got {list(self.snr)}")
        # A polynomial of low order has no narrow dips.
        if not (self.factor(np.geomspace(low, high, 1000)) > 0).all():
            raise ValueError("coefficients: the factor must be positive at each S/N")
        return self

    def factor(self, snr: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return recovered over true flux, of the shape of ``snr``; NaN where that is NaN."""
        level = np.log10(np.clip(snr, *self.snr))
        return np.asarray(np.polynomial.polynomial.polyval(level, self.coefficients))


class Calibration(Declared):
    """All that was learned of one set of weights; nothing where a table is empty."""

    classes: dict[str, ClassSettings] = Field(default_factory=dict)
    """By channel."""
    probabilities: dict[str, ProbabilityMap] = Field(default_factory=dict)
    """By channel."""
    fluxes: dict[str, FluxCorrection] = Field(default_factory=dict)
    """By model of the source."""
    deviations: dict[str, _Positive] = Field(default_factory=dict)
    """By quantity: what its stated standard deviation is multiplied by, so that intervals hold as
    many truths as they say (conformal scales)."""


def read_classes(path: Path) -> dict[str, ClassSettings]:
    """Read the classes of a set of weights from a table of their own.

    Parameters
    ----------
    path : Path
        TOML file with a table for each class, named by its channel.

    Returns
    -------
    dict of str to ClassSettings
        By channel, in the order of the file.

    Raises
    ------
    ConfigurationError
        The file cannot be read, or a value is wrong; every problem is listed.
    """
    problems, found = [], {}
    for name, table in read_toml(path).items():
        try:
            found[name] = ClassSettings.model_validate(table)
        except ValidationError as error:
            problems += [
                f"{'.'.join((name, *map(str, one['loc'])))}: {one['msg']}" for one in error.errors()
            ]
    if problems:
        raise ConfigurationError(problems, where=str(path))
    return found
