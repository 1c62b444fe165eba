"""Thresholds and priors of the classes, by name, and the update of probabilities by priors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.flags.planes import parse_planes
from astroclean.errors import ConfigurationError, PlaneError
from astroclean.inference.cards.calibration import ClassSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

__all__ = ["known_alias", "raw_threshold", "update_priors", "with_overrides"]


def with_overrides(
    classes: Mapping[str, ClassSettings], key: str, values: Mapping[str, float]
) -> dict[str, ClassSettings]:
    """Return classes with one setting replaced for some of them.

    Parameters
    ----------
    classes : mapping of str to ClassSettings
        By alias.
    key : str
        ``prior`` or ``threshold``.
    values : mapping of str to float
        By name or alias of a plane.

    Returns
    -------
    dict of str to ClassSettings
        New.

    Raises
    ------
    ConfigurationError
        No such class, or a value out of range; every problem is listed.
    """
    changed, problems = dict(classes), []
    for name, value in values.items():
        try:
            alias = known_alias(name, classes)
            checked = {**changed[alias].model_dump(), key: value}
            changed[alias] = ClassSettings.model_validate(checked)
        except ConfigurationError as error:
            problems += [f"{key}s: {problem}" for problem in error.problems]
        except ValueError:
            problems.append(f"{key}s.{name}: between 0 and 1 (got {value})")
    if problems:
        raise ConfigurationError(problems)
    return changed


def known_alias(name: str, classes: Iterable[str]) -> str:
    """Return the alias of a class that was given by name or alias.

    Raises
    ------
    ConfigurationError
        The network has no such class.
    """
    if name.upper() in classes:
        return name.upper()
    try:
        alias = parse_planes(name).alias
    except PlaneError as error:
        raise ConfigurationError(str(error)) from error
    if alias not in classes:
        known = ", ".join(classes)
        raise ConfigurationError(f"the network has no class '{name}'; it has {known}")
    return alias


def raw_threshold(settings: ClassSettings) -> float:
    """Return the probability of the network that an update takes to the threshold.

    The update is monotonic, so flags need no updated probabilities:
    ``p' > T`` where ``p > T f / (1 - T + T f)``, with f as in `update_priors`.

    Parameters
    ----------
    settings : ClassSettings
        Of the class.

    Returns
    -------
    float
        Between 0 and 1.
    """
    trained, wanted = settings.training_prior, settings.prior
    factor = trained / (1 - trained) * ((1 - wanted) / wanted)
    limit = settings.threshold
    return limit * factor / (1 - limit + limit * factor)


def update_priors(
    probabilities: NDArray[np.float32], training: NDArray[np.float32], wanted: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return probabilities for frames in which classes are rarer than in the training set.

    ``p' = p / (p + f (1 - p))`` with ``f = t / (1 - t) (1 - o) / o`` (paper, section 5; Saerens
    et al. 2002): Bayes' rule with another prior and the same likelihood.

    Parameters
    ----------
    probabilities : (classes, ...) float32
        Of the network.
    training, wanted : (classes,) float32
        Priors t and o, between 0 and 1.

    Returns
    -------
    (classes, ...) float32
        A new array.
    """
    factor = training / (1 - training) * ((1 - wanted) / wanted)
    factor = factor.reshape(-1, *[1] * (probabilities.ndim - 1))
    with np.errstate(invalid="ignore"):  # 0 / 0 where a class that is certain not to be is so
        updated = probabilities / (probabilities + factor * (1 - probabilities))
    return np.asarray(updated, dtype=np.float32)
